//! Payments in flight by their id, and ids out of hex.
//!
//! Ids are hashes, so their first 16 bytes serve as the key and eight of those as the hash: no second hashing, 24 bytes an entry.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// The first half of a payment id. Two payments of one run share it with probability 2⁻⁸⁰ or less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix(pub u128);

impl Prefix {
    /// Of a whole id.
    pub fn of(id: &[u8; 32]) -> Prefix {
        Prefix(id.first_chunk::<16>().map_or(0, |half| u128::from_be_bytes(*half)))
    }

    /// Of an id in hex: the first 32 characters count, `None` if they are not hex.
    pub fn from_hex(text: &[u8]) -> Option<Prefix> {
        let digits = text.first_chunk::<32>()?;
        let mut value: u128 = 0;
        // All digits are looked up before one decision at the end: a bad one sets a bit above four.
        let mut bad = 0_u8;
        for digit in digits {
            let nibble = NIBBLE.get(usize::from(*digit)).copied().unwrap_or(BAD);
            bad |= nibble;
            value = (value << 4) | u128::from(nibble & 0x0f);
        }
        (bad < BAD).then_some(Prefix(value))
    }
}

const BAD: u8 = 0x10;
const NIBBLE: [u8; 256] = nibbles();

#[expect(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "evaluated at compile time")]
const fn nibbles() -> [u8; 256] {
    let mut table = [BAD; 256];
    let mut digit = 0_u8;
    while digit < 10 {
        table[(b'0' + digit) as usize] = digit;
        digit += 1;
    }
    while digit < 16 {
        table[(b'a' + digit - 10) as usize] = digit;
        digit += 1;
    }
    table
}

impl std::hash::Hash for Prefix {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u128(self.0);
    }
}

/// Takes the low half of the only number it is given.
#[derive(Default)]
pub struct LowHalf(u64);

impl Hasher for LowHalf {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }
    fn write_u128(&mut self, value: u128) {
        self.0 = u64::try_from(value & u128::from(u64::MAX)).unwrap_or_default();
    }
}

/// From id to the place of a payment in flight.
pub type IdTable = HashMap<Prefix, u32, BuildHasherDefault<LowHalf>>;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use super::*;

    #[test]
    fn hex_and_bytes_agree_and_bad_digits_are_refused() {
        let id: [u8; 32] = std::array::from_fn(|i| u8::try_from(i * 7 % 256).unwrap());
        let text = hex::encode(id);
        assert_eq!(Prefix::from_hex(text.as_bytes()), Some(Prefix::of(&id)));
        assert_eq!(Prefix::from_hex(&text.as_bytes()[..31]), None);
        for place in [0, 15, 31] {
            for bad in [b'g', b'"', b'A', 0, 255] {
                let mut text = text.clone().into_bytes();
                text[place] = bad;
                assert_eq!(Prefix::from_hex(&text), None, "{place} {bad}");
            }
        }
        // What comes after the first half is not looked at.
        assert!(Prefix::from_hex(format!("{}zz", &text[..32]).as_bytes()).is_some());
    }

    #[test]
    fn table_finds_what_was_put_in() {
        let mut table = IdTable::default();
        for place in 0..10_000_u32 {
            let id = *smt_types::hash::hash(smt_types::Domain::Payment, &place.to_le_bytes()).as_bytes();
            assert_eq!(table.insert(Prefix::of(&id), place), None);
        }
        let id = *smt_types::hash::hash(smt_types::Domain::Payment, &77_u32.to_le_bytes()).as_bytes();
        assert_eq!(table.remove(&Prefix::of(&id)), Some(77));
        assert_eq!(table.get(&Prefix::of(&id)), None);
        assert_eq!(table.len(), 9_999);
    }
}
