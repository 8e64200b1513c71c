//! A key as a fraction in base 3: exact integer arithmetic, no division of big numbers.

#![allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "arithmetic kernel on fixed-size arrays; every index and width is bounded by a constant"
)]

use crate::Key;

/// Trits in a key path. `3^162 > 2^256 > 3^161`: fewer would let two keys share a path.
pub const PATH_TRITS: u8 = 162;

/// Trits that [`leading_trits`] gives, and one 64-bit multiplication yields: `3^40 < 2^64 < 3^41`.
pub const LEADING_TRITS: u8 = 40;
const STEP_TRITS: u32 = LEADING_TRITS as u32;
const STEP: u64 = 3u64.pow(STEP_TRITS);
/// Trits left for the fifth step.
const LAST_TRITS: u32 = PATH_TRITS as u32 - 4 * STEP_TRITS;

/// Two-bit forms of all numbers of five trits, first trit in the highest bits.
const FIVE_TRITS: [u16; 243] = {
    let mut table = [0; 243];
    let mut n = 0;
    while n < 243 {
        let (a, b, c, d, e) = (n / 81, n / 27 % 3, n / 9 % 3, n / 3 % 3, n % 3);
        table[n] = (a << 8 | b << 6 | c << 4 | d << 2 | e) as u16;
        n += 1;
    }
    table
};

/// The two-bit form of a number of forty trits. Halving it each time keeps the divisions independent.
fn forty_trits(number: u64) -> u128 {
    let ten = |number: u32| {
        u64::from(FIVE_TRITS[(number / 243) as usize]) << 10 | u64::from(FIVE_TRITS[(number % 243) as usize])
    };
    let twenty = |number: u32| ten(number / 3u32.pow(10)) << 20 | ten(number % 3u32.pow(10));
    let half = 3u64.pow(20);
    u128::from(twenty((number / half) as u32)) << 40 | u128::from(twenty((number % half) as u32))
}

/// The 162 trits of a key, most significant first; ordered as their keys are.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyPath {
    /// Two bits a trit, 32 trits a word, first trit in the highest bits; the unused tail is zero.
    words: [u64; 6],
}

/// The first 40 trits of the path of `key`, as one number: `floor(key * 3^40 / 2^256)`, below `3^40`.
///
/// Ordered as keys are, so most work on paths is work on this number. Cost: four multiplications.
#[inline]
pub fn leading_trits(key: &Key) -> u64 {
    take_whole(&mut limbs(key), STEP)
}

impl KeyPath {
    /// The path of `key`: `floor(key * 3^162 / 2^256)` in base 3, computed 40 trits at a time.
    pub fn new(key: &Key) -> Self {
        let mut fraction = limbs(key);
        let [a, b, c, d] = [(); 4].map(|()| forty_trits(take_whole(&mut fraction, STEP)));
        let last = take_whole(&mut fraction, 3u64.pow(LAST_TRITS));
        // Four pieces of 80 bits, cut anew into words of 64, and one of four bits.
        let words = [
            (a >> 16) as u64,
            (a << 48) as u64 | (b >> 32) as u64,
            (b << 32) as u64 | (c >> 48) as u64,
            (c << 16) as u64 | (d >> 64) as u64,
            d as u64,
            (last / 3) << 62 | (last % 3) << 60,
        ];
        Self { words }
    }

    /// Trit `index`, 0 to 2; index 0 decides at the root of the network's trie.
    ///
    /// Indices from [`PATH_TRITS`] on answer 0.
    pub fn trit(&self, index: u8) -> u8 {
        let index = usize::from(index);
        self.words.get(index / 32).map_or(0, |word| (word >> (62 - 2 * (index % 32)) & 3) as u8)
    }

    /// How many leading trits two paths share; [`PATH_TRITS`] iff they are equal.
    pub fn common_trits(&self, other: &Self) -> u8 {
        for (i, (a, b)) in self.words.iter().zip(&other.words).enumerate() {
            if a != b {
                return (i * 32) as u8 + ((a ^ b).leading_zeros() / 2) as u8;
            }
        }
        PATH_TRITS
    }

    /// Whether trits `from..to` of two paths are equal.
    pub fn agrees(&self, other: &Self, from: u8, to: u8) -> bool {
        (from..to).all(|i| self.trit(i) == other.trit(i))
    }
}

impl core::fmt::Debug for KeyPath {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        (0..PATH_TRITS).try_for_each(|i| write!(f, "{}", self.trit(i)))
    }
}

/// Little-endian limbs of the key as a fraction, in units of 2^-256.
#[inline]
fn limbs(key: &Key) -> [u64; 4] {
    let mut fraction = [0u64; 4];
    for (limb, bytes) in fraction.iter_mut().rev().zip(key.chunks_exact(8)) {
        *limb = bytes.iter().fold(0, |n, &byte| n << 8 | u64::from(byte));
    }
    fraction
}

/// Multiplies the fraction by `factor`, keeps the new fraction and returns the whole part.
#[inline]
fn take_whole(fraction: &mut [u64; 4], factor: u64) -> u64 {
    let mut carry = 0u64;
    for limb in fraction {
        let product = u128::from(*limb) * u128::from(factor) + u128::from(carry);
        *limb = product as u64;
        carry = (product >> 64) as u64;
    }
    carry
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    /// One trit at a time by tripling the bytes: the definition, with no 40-trit steps.
    fn trits_by_tripling(key: &Key) -> Vec<u8> {
        let mut rest = *key;
        let mut trits = Vec::new();
        for _ in 0..PATH_TRITS {
            let mut carry = 0u16;
            for byte in rest.iter_mut().rev() {
                let tripled = u16::from(*byte) * 3 + carry;
                *byte = tripled as u8;
                carry = tripled >> 8;
            }
            trits.push(carry as u8);
        }
        trits
    }

    fn trits(path: &KeyPath) -> Vec<u8> {
        (0..PATH_TRITS).map(|i| path.trit(i)).collect()
    }

    #[test]
    fn smallest_and_largest_key() {
        assert_eq!(trits(&KeyPath::new(&[0; 32])), vec![0; 162]);
        let largest = KeyPath::new(&[255; 32]);
        assert_eq!(trits(&largest), trits_by_tripling(&[255; 32]));
        assert_eq!(largest.trit(0), 2);
        assert_eq!(largest.trit(PATH_TRITS), 0);
        assert_eq!(largest.trit(255), 0);
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            failure_persistence: None,
            rng_seed: proptest::test_runner::RngSeed::Fixed(1),
            ..ProptestConfig::default()
        })]

        #[test]
        fn path_is_the_base_3_expansion(key: Key) {
            prop_assert_eq!(trits(&KeyPath::new(&key)), trits_by_tripling(&key));
        }

        #[test]
        fn order_and_common_trits(a: Key, cut in 0usize..32, b: Key) {
            let mut b = b;
            b[..cut].copy_from_slice(&a[..cut]);
            let (pa, pb) = (KeyPath::new(&a), KeyPath::new(&b));
            prop_assert_eq!(pa.cmp(&pb), a.cmp(&b));
            let (ta, tb) = (trits(&pa), trits(&pb));
            let shared = ta.iter().zip(&tb).take_while(|(x, y)| x == y).count();
            prop_assert_eq!(usize::from(pa.common_trits(&pb)), shared);
        }
    }
}
