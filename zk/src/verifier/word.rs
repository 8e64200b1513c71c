//! Elements of Fp as the circuits take them.
#![expect(clippy::arithmetic_side_effects, reason = "field elements and big integers do not overflow")]

use ark_bn254::{Fq, Fr};
use ark_ff::{BigInt as Limbs, BigInteger as _, PrimeField};
use num_bigint::BigUint;

/// An integer below 2^254, in limbs of 64 bits, lowest first; it stands for its class mod p.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word([u64; 4]);

impl Word {
    /// From limbs; `None` for 2^254 and above.
    #[must_use]
    pub fn new(limbs: [u64; 4]) -> Option<Word> {
        (limbs[3] >> 62 == 0).then_some(Word(limbs))
    }

    /// The limbs, lowest first.
    #[must_use]
    pub fn limbs(&self) -> [u64; 4] {
        self.0
    }

    /// The class.
    #[must_use]
    pub fn value(&self) -> Fq {
        Fq::from(self.number())
    }

    /// The same class plus p, if that is below 2^254.
    #[must_use]
    pub fn other_representative(&self) -> Option<Word> {
        let mut limbs = Limbs(self.0);
        limbs.add_with_carry(&Fq::MODULUS);
        Word::new(limbs.0)
    }

    fn number(self) -> BigUint {
        Limbs(self.0).into()
    }

    /// What the transcript absorbs for the words of one section: bits 0 to 252 of each, then the bits 253, as many as
    /// fit an element, 253, together.
    #[must_use]
    pub fn elements(words: &[Word]) -> Vec<Fr> {
        let low = (BigUint::from(1u8) << 253u32) - 1u8;
        let packs = words.iter().map(|word| Fr::from(word.number() & &low));
        let spills = words.chunks(253).map(|chunk| {
            let bits = chunk.iter().rev().map(|word| word.0[3] >> 61);
            Fr::from(bits.fold(BigUint::ZERO, |sum, bit| (sum << 1u32) + bit))
        });
        packs.chain(spills).collect()
    }
}

impl From<Fq> for Word {
    fn from(value: Fq) -> Word {
        Word(value.into_bigint().0)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn words_stop_at_254_bits() {
        let largest = [u64::MAX, u64::MAX, u64::MAX, (1 << 62) - 1];
        assert!(Word::new(largest).is_some());
        assert!(Word::new([0, 0, 0, 1 << 62]).is_none());
        assert!(Word::new(largest).unwrap().other_representative().is_none());
        let small = Word::from(Fq::from(5u8));
        let other = small.other_representative().unwrap();
        assert_ne!(small, other);
        assert_eq!(other.value(), Fq::from(5u8));
        assert!(other.other_representative().is_none(), "2 p has 255 bits");
    }

    #[test]
    fn every_bit_is_in_the_elements_once() {
        let zero = Word([0; 4]);
        let none = Word::elements(&vec![zero; 255]);
        assert_eq!(none.len(), 255 + 2);
        assert!(none.iter().all(|element| *element == Fr::from(0u8)));
        let mut seen = std::collections::HashSet::new();
        for place in [0, 1, 252, 253, 254] {
            for bit in 0..254 {
                let mut words = vec![zero; 255];
                words[place].0[bit / 64] = 1 << (bit % 64);
                assert!(seen.insert(Word::elements(&words)), "bit {bit} of word {place}");
            }
        }
    }
}
