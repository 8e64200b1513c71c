//! [`Bitmap`]: which payments of a batch, one bit each.

use crate::codec::invalid;
use borsh::{BorshDeserialize, BorshSerialize};
use std::io::{Read, Result, Write};

/// A fixed number of bits, index 0 first. Encoded as the count (u16) and ⌈count / 8⌉ bytes, bit i in byte i / 8 at
/// position i mod 8; spare bits are zero and anything else is refused, so equal sets have equal bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bitmap {
    count: u16,
    bytes: Vec<u8>,
}

impl Bitmap {
    /// All zero.
    #[must_use]
    pub fn zeros(count: u16) -> Bitmap {
        Bitmap { count, bytes: vec![0; usize::from(count).div_ceil(8)] }
    }

    /// Bit i of the result is `bit(i)`.
    #[must_use]
    pub fn from_fn(count: u16, mut bit: impl FnMut(u16) -> bool) -> Bitmap {
        let mut map = Bitmap::zeros(count);
        for index in 0..count {
            if bit(index) {
                map.set(index);
            }
        }
        map
    }

    /// Number of bits, set or not.
    #[must_use]
    pub fn count(&self) -> u16 {
        self.count
    }

    /// Bit `index`; false beyond the end.
    #[must_use]
    pub fn get(&self, index: u16) -> bool {
        index < self.count && self.bytes.get(usize::from(index / 8)).is_some_and(|byte| byte >> (index % 8) & 1 == 1)
    }

    /// Sets bit `index`; beyond the end nothing happens.
    pub fn set(&mut self, index: u16) {
        if index < self.count
            && let Some(byte) = self.bytes.get_mut(usize::from(index / 8))
        {
            *byte |= 1 << (index % 8);
        }
    }

    /// Sets every bit that `other` has; counts must agree, otherwise nothing happens and false is returned.
    pub fn join(&mut self, other: &Bitmap) -> bool {
        if self.count != other.count {
            return false;
        }
        for (mine, theirs) in self.bytes.iter_mut().zip(&other.bytes) {
            *mine |= theirs;
        }
        true
    }

    /// Every set bit here is set in `other` (and the counts agree).
    #[must_use]
    pub fn is_subset(&self, other: &Bitmap) -> bool {
        self.count == other.count && self.bytes.iter().zip(&other.bytes).all(|(a, b)| a & !b == 0)
    }

    /// Number of set bits.
    #[must_use]
    pub fn ones(&self) -> u32 {
        self.bytes.iter().map(|byte| byte.count_ones()).sum()
    }

    /// No bit is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.iter().all(|byte| *byte == 0)
    }

    /// The set bits, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u16> + '_ {
        (0..self.count).filter(|index| self.get(*index))
    }
}

impl BorshSerialize for Bitmap {
    fn serialize<W: Write>(&self, writer: &mut W) -> Result<()> {
        self.count.serialize(writer)?;
        writer.write_all(&self.bytes)
    }
}

impl BorshDeserialize for Bitmap {
    fn deserialize_reader<R: Read>(reader: &mut R) -> Result<Self> {
        let count = u16::deserialize_reader(reader)?;
        if count > crate::batch::MAX_BATCH_PAYMENTS {
            return Err(invalid("bitmap longer than a batch"));
        }
        let mut bytes = vec![0; usize::from(count).div_ceil(8)];
        reader.read_exact(&mut bytes)?;
        let spare = count % 8;
        if spare != 0 && bytes.last().is_some_and(|last| last >> spare != 0) {
            return Err(invalid("spare bits of a bitmap are set"));
        }
        Ok(Bitmap { count, bytes })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::Canonical;

    #[test]
    fn spare_bits_are_refused() {
        let map = Bitmap::from_fn(10, |i| i % 3 == 0);
        assert_eq!(Bitmap::from_bytes(&map.to_bytes(), 100).unwrap(), map);
        assert_eq!(map.iter().collect::<Vec<_>>(), [0, 3, 6, 9]);
        for spare in 2..8u8 {
            let mut bytes = map.to_bytes();
            *bytes.last_mut().unwrap() |= 1 << spare;
            assert!(Bitmap::from_bytes(&bytes, 100).is_err());
        }
    }

    #[test]
    fn join_is_union_and_order() {
        let a = Bitmap::from_fn(9, |i| i == 1 || i == 8);
        let mut b = Bitmap::from_fn(9, |i| i == 2);
        assert!(!a.is_subset(&b));
        assert!(b.join(&a));
        assert!(a.is_subset(&b));
        assert_eq!(b.ones(), 3);
        assert!(!b.join(&Bitmap::zeros(8)));
    }
}
