//! Money: unsigned base units with checked arithmetic only.

use borsh::{BorshDeserialize, BorshSerialize};
use std::fmt;

/// An amount in base units. Has no `+` or `-`: a sum that does not fit is an error at the place where it happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, BorshSerialize, BorshDeserialize)]
pub struct Amount(pub u64);

impl Amount {
    /// Nothing.
    pub const ZERO: Amount = Amount(0);

    /// The sum, or `None` if it does not fit 64 bits.
    #[must_use]
    pub fn checked_add(self, other: Amount) -> Option<Amount> {
        self.0.checked_add(other.0).map(Amount)
    }

    /// The difference, or `None` if it would be negative.
    #[must_use]
    pub fn checked_sub(self, other: Amount) -> Option<Amount> {
        self.0.checked_sub(other.0).map(Amount)
    }

    /// Reads a decimal string without sign, space or leading zero (`"0"` itself is fine).
    #[must_use]
    pub fn parse(text: &str) -> Option<Amount> {
        let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if !plain || (text.len() > 1 && text.starts_with('0')) {
            return None;
        }
        text.parse().ok().map(Amount)
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_text_form_only() {
        assert_eq!(Amount::parse("0"), Some(Amount(0)));
        assert_eq!(Amount::parse("18446744073709551615"), Some(Amount(u64::MAX)));
        for bad in ["", "+1", "-1", "01", " 1", "1.0", "1e3", "18446744073709551616"] {
            assert_eq!(Amount::parse(bad), None, "{bad:?}");
        }
    }
}
