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

    /// Clears bit `index`; beyond the end nothing happens.
    pub fn clear(&mut self, index: u16) {
        if index < self.count
            && let Some(byte) = self.bytes.get_mut(usize::from(index / 8))
        {
            *byte &= !(1 << (index % 8));
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

    /// The bits set in at least `quorum` of `maps`; maps of another count have no say.
    ///
    /// Cost: one pass over the bytes of each map, whatever the number of bits: the counts of eight positions are kept as
    /// five bit planes, enough for 31 maps.
    #[must_use]
    pub fn at_least<'a>(count: u16, quorum: usize, maps: impl Iterator<Item = &'a Bitmap>) -> Bitmap {
        let mut planes: Vec<[u8; 5]> = vec![[0; 5]; usize::from(count).div_ceil(8)];
        for map in maps.filter(|map| map.count == count).take(31) {
            for (plane, byte) in planes.iter_mut().zip(&map.bytes) {
                let mut carry = *byte;
                for digit in plane.iter_mut() {
                    (*digit, carry) = (*digit ^ carry, *digit & carry);
                }
            }
        }
        let enough = |plane: &[u8; 5]| {
            // Compares the eight counts with the quorum, highest digit first.
            let (mut above, mut equal) = (0u8, 0xffu8);
            for (place, digit) in plane.iter().enumerate().rev() {
                if quorum >> place & 1 == 1 {
                    equal &= digit;
                } else {
                    above |= equal & digit;
                    equal &= !digit;
                }
            }
            above | equal
        };
        let mut bytes: Vec<u8> = match quorum {
            0 => vec![0xff; planes.len()],
            1..=31 => planes.iter().map(enough).collect(),
            _ => vec![0; planes.len()],
        };
        if let Some(last) = bytes.last_mut().filter(|_| !count.is_multiple_of(8)) {
            *last &= (1u8 << (count % 8)).wrapping_sub(1);
        }
        Bitmap { count, bytes }
    }

    /// The bits set here and not in `other`; those of a map of another count are all taken as unset.
    #[must_use]
    pub fn without(&self, other: &Bitmap) -> Bitmap {
        if self.count != other.count {
            return self.clone();
        }
        let bytes = self.bytes.iter().zip(&other.bytes).map(|(a, b)| a & !b).collect();
        Bitmap { count: self.count, bytes }
    }

    /// The bits set in both; none if the counts differ.
    #[must_use]
    pub fn both(&self, other: &Bitmap) -> Bitmap {
        if self.count != other.count {
            return Bitmap::zeros(self.count);
        }
        let bytes = self.bytes.iter().zip(&other.bytes).map(|(a, b)| a & b).collect();
        Bitmap { count: self.count, bytes }
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
        let bits = self.bytes.iter().zip(0u16..).filter(|(byte, _)| **byte != 0);
        bits.flat_map(|(byte, place)| {
            (0..8u16)
                .filter(move |bit| byte >> bit & 1 == 1)
                .map(move |bit| place.saturating_mul(8).saturating_add(bit))
        })
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
    fn counting_by_planes_is_counting_bit_by_bit() {
        for (count, maps) in [(1u16, 3u16), (9, 3), (64, 9), (1023, 27), (1024, 31), (0, 2)] {
            let seen: Vec<Bitmap> = (0..maps)
                .map(|m| Bitmap::from_fn(count, |i| (i.wrapping_mul(7919) ^ m.wrapping_mul(31)) % 3 == 0))
                .collect();
            for quorum in [0usize, 1, 2, 7, 19, 31, 32] {
                let want = Bitmap::from_fn(count, |i| seen.iter().filter(|map| map.get(i)).count() >= quorum);
                assert_eq!(Bitmap::at_least(count, quorum, seen.iter()), want, "{count} {maps} {quorum}");
            }
            let [a, b, ..] = seen.as_slice() else { panic!() };
            assert_eq!(a.without(b), Bitmap::from_fn(count, |i| a.get(i) && !b.get(i)));
            assert_eq!(a.both(b), Bitmap::from_fn(count, |i| a.get(i) && b.get(i)));
            assert_eq!(a.iter().collect::<Vec<_>>(), (0..count).filter(|i| a.get(*i)).collect::<Vec<_>>());
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
