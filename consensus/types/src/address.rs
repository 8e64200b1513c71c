//! Account addresses, their text form, and the words that name shards.
//!
//! An address is read as a fraction in base 3: its *key path* is floor(key · 3ⁿ / 2²⁵⁶) written with n trits, most
//! significant first. A shard's word is a prefix of key paths, so the shard of an account is read off its address.

use crate::codec::invalid;
use bech32::primitives::decode::{CheckedHrpstring, CheckedHrpstringError};
use bech32::{Bech32m, Hrp as Prefix};
use borsh::{BorshDeserialize, BorshSerialize};
use std::fmt;
use std::io::Read;
use std::str::FromStr;

/// Why text is not an address or a shard word.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// Not of the form prefix, `1`, data.
    #[error("not an address: {0}")]
    Form(String),
    /// Another network's, or no address at all.
    #[error("address has prefix {found:?}, wanted \"smt\" or \"smtdev\"")]
    Prefix {
        /// The prefix found.
        found: String,
    },
    /// The checksum does not fit: mistyped.
    #[error("address is mistyped: its checksum does not fit")]
    Checksum,
    /// The wrong number of bytes.
    #[error("address has {got} characters of data, wanted {want}")]
    Length {
        /// Characters of data found.
        got: usize,
        /// Characters of data that 32 bytes take.
        want: usize,
    },
    /// The four bits after the 32 bytes are not 0.
    #[error("address does not end in zero bits")]
    SpareBits,
    /// Not trits joined by dots, or more than 9 of them.
    #[error("not a shard word: {0:?}")]
    ShardWord(String),
}

/// Which networks' accounts a text address names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hrp {
    /// `smt`.
    Main,
    /// `smtdev`: development networks.
    Dev,
}

impl Hrp {
    /// The prefix as it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Hrp::Main => "smt",
            Hrp::Dev => "smtdev",
        }
    }
}

/// Characters of data of a text address: 32 bytes in groups of 5 bits.
const DATA_CHARACTERS: usize = 52;

/// An account: the hash of its owner's key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, BorshSerialize, BorshDeserialize)]
pub struct Address(pub [u8; 32]);

impl Address {
    /// The text form: bech32m, lower case.
    #[must_use]
    pub fn to_bech32(&self, hrp: Hrp) -> String {
        let text = bech32::encode_lower::<Bech32m>(Prefix::parse_unchecked(hrp.as_str()), &self.0);
        text.expect("prefix and 32 bytes are far below bech32m's length limit")
    }

    /// Reads a text form, all lower or all upper case.
    ///
    /// # Errors
    /// [`AddressError`]: prefix, form, checksum, length or spare bits, asked in this order.
    pub fn parse(text: &str) -> Result<(Hrp, Address), AddressError> {
        let prefix = text.rsplit_once('1').map(|(prefix, _)| prefix.to_ascii_lowercase());
        let hrp = match prefix.as_deref() {
            Some("smt") => Hrp::Main,
            Some("smtdev") => Hrp::Dev,
            Some(found) => {
                return Err(AddressError::Prefix { found: found.chars().take(16).collect() });
            }
            None => return Err(AddressError::Form("no separator \"1\"".into())),
        };
        let checked = CheckedHrpstring::new::<Bech32m>(text).map_err(|e| match e {
            CheckedHrpstringError::Checksum(_) => AddressError::Checksum,
            other => AddressError::Form(other.to_string()),
        })?;
        let got = checked.data_part_ascii_no_checksum().len();
        if got != DATA_CHARACTERS {
            return Err(AddressError::Length { got, want: DATA_CHARACTERS });
        }
        let mut bytes = [0; 32];
        for (byte, read) in bytes.iter_mut().zip(checked.byte_iter()) {
            *byte = read;
        }
        let address = Address(bytes);
        // 52 characters are 260 bits: the four left over must be 0, or one address had 16 texts.
        if address.to_bech32(hrp).eq_ignore_ascii_case(text) {
            Ok((hrp, address))
        } else {
            Err(AddressError::SpareBits)
        }
    }

    /// The shard of `level` (at most 9) that holds this account: the first `level` trits of its key path.
    #[must_use]
    pub fn shard(&self, level: u8) -> ShardAddress {
        let level = level.min(ShardAddress::MAX_LEVEL);
        let count = ShardAddress::count(level);
        // key · 3^level, 64 bits at a time from the low end; what is carried out of the top is the whole part.
        let mut carry = 0u128;
        for limb in self.0.as_chunks::<8>().0.iter().rev() {
            // count ≤ 3⁹ and carry < count: below 2^64 · 3⁹.
            carry = u128::from(u64::from_be_bytes(*limb)).saturating_mul(count.into()).saturating_add(carry) >> 64;
        }
        ShardAddress { level, index: u32::try_from(carry).unwrap_or(u32::MAX) }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0.iter().take(4) {
            write!(f, "{byte:02x}")?;
        }
        f.write_str("…")
    }
}

/// A shard, or a triangle above it: a word of up to 9 trits, written `0.2.1`; the empty word is `root`.
///
/// Ordered by level, then as a number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize)]
pub struct ShardAddress {
    level: u8,
    index: u32,
}

impl ShardAddress {
    /// The longest word.
    pub const MAX_LEVEL: u8 = 9;

    /// The empty word: the whole network, and the only shard of a network with one.
    pub const ROOT: ShardAddress = ShardAddress { level: 0, index: 0 };

    /// The word of `level` trits whose value is `index`; `None` if there is none.
    #[must_use]
    pub const fn new(level: u8, index: u32) -> Option<ShardAddress> {
        if level <= Self::MAX_LEVEL && index < Self::count(level) { Some(ShardAddress { level, index }) } else { None }
    }

    /// 3^level for levels up to 9; the count of level 9 above.
    #[must_use]
    pub const fn count(level: u8) -> u32 {
        // A match of constants: `pow` would be one more sum that could overflow.
        match level {
            0 => 1,
            1 => 3,
            2 => 9,
            3 => 27,
            4 => 81,
            5 => 243,
            6 => 729,
            7 => 2_187,
            8 => 6_561,
            _ => 19_683,
        }
    }

    /// All words of `level` (at most 9), in order.
    pub fn all(level: u8) -> impl Iterator<Item = ShardAddress> {
        let level = level.min(Self::MAX_LEVEL);
        (0..Self::count(level)).map(move |index| ShardAddress { level, index })
    }

    /// Number of trits.
    #[must_use]
    pub const fn level(&self) -> u8 {
        self.level
    }

    /// The word's value in base 3, below 3^level.
    #[must_use]
    pub const fn index(&self) -> u32 {
        self.index
    }

    /// Trit `i`, 0 the most significant; `None` from `level` on.
    #[must_use]
    pub fn trit(&self, i: u8) -> Option<u8> {
        let below = self.level.checked_sub(i)?.checked_sub(1)?;
        let trit = self.index.checked_div(Self::count(below))?.checked_rem(3)?;
        u8::try_from(trit).ok()
    }

    /// The word without its last trit; `None` at the root.
    #[must_use]
    pub fn parent(&self) -> Option<ShardAddress> {
        Some(ShardAddress { level: self.level.checked_sub(1)?, index: self.index / 3 })
    }

    /// The word with `trit` (0, 1, 2) added; `None` for another trit or at level 9.
    #[must_use]
    pub fn child(&self, trit: u8) -> Option<ShardAddress> {
        if trit > 2 {
            return None;
        }
        let index = self.index.checked_mul(3)?.checked_add(u32::from(trit))?;
        ShardAddress::new(self.level.checked_add(1)?, index)
    }

    /// The other two children of the parent, in order; `None` at the root.
    #[must_use]
    pub fn siblings(&self) -> Option<[ShardAddress; 2]> {
        let parent = self.parent()?;
        let (first, second) = match self.index % 3 {
            0 => (1, 2),
            1 => (0, 2),
            _ => (0, 1),
        };
        Some([parent.child(first)?, parent.child(second)?])
    }

    /// The first `level` trits; `None` if the word is shorter.
    #[must_use]
    pub fn prefix(&self, level: u8) -> Option<ShardAddress> {
        let dropped = self.level.checked_sub(level)?;
        Some(ShardAddress { level, index: self.index.checked_div(Self::count(dropped))? })
    }

    /// Whether `address` lives here: whether this word is a prefix of its key path.
    #[must_use]
    pub fn contains(&self, address: &Address) -> bool {
        address.shard(self.level) == *self
    }
}

impl BorshDeserialize for ShardAddress {
    fn deserialize_reader<R: Read>(reader: &mut R) -> std::io::Result<Self> {
        let level = u8::deserialize_reader(reader)?;
        let index = u32::deserialize_reader(reader)?;
        ShardAddress::new(level, index).ok_or_else(|| invalid("shard address"))
    }
}

impl fmt::Display for ShardAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.level == 0 {
            return f.write_str("root");
        }
        for (i, trit) in (0..self.level).filter_map(|i| self.trit(i)).enumerate() {
            write!(f, "{}{trit}", if i == 0 { "" } else { "." })?;
        }
        Ok(())
    }
}

impl fmt::Debug for ShardAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for ShardAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if text == "root" {
            return Ok(ShardAddress::ROOT);
        }
        let mut word = ShardAddress::ROOT;
        for part in text.split('.') {
            let trit = match part {
                "0" => 0,
                "1" => 1,
                "2" => 2,
                _ => 3,
            };
            let wrong = || AddressError::ShardWord(text.chars().take(32).collect());
            word = word.child(trit).ok_or_else(wrong)?;
        }
        Ok(word)
    }
}

#[cfg(test)]
#[path = "address_tests.rs"]
mod tests;
