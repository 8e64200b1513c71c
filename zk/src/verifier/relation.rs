//! Relations between words, written once for every ring they are evaluated in.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "big integers do not overflow; sizes fit"
)]

use super::{Closing, Open, Transcript, Word};
use crate::Inputs;
use ark_bn254::Fq;
use num_bigint::BigInt;
use smt_types::crypto::Field;
use std::ops::{Add, Mul, Sub};

/// What a relation can be evaluated in.
pub trait Ring: Clone + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> {
    /// A small constant.
    fn small(value: i64) -> Self;
    /// A word, or a constant that the circuit writes in limbs.
    fn word(word: &Word) -> Self;
    /// A constant that the circuit writes in limbs.
    fn constant(value: Fq) -> Self {
        Self::word(&Word::from(value))
    }
}

impl Ring for Fq {
    fn small(value: i64) -> Fq {
        Fq::from(value)
    }

    fn word(word: &Word) -> Fq {
        word.value()
    }
}

/// An integer polynomial in Y, lowest coefficient first. A word is w0 + w1 Y^2 + w2 Y^4 + w3 Y^6.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Polynomial(pub Vec<BigInt>);

impl Polynomial {
    /// The value at an integer.
    #[must_use]
    pub fn at(&self, y: &BigInt) -> BigInt {
        self.0.iter().rev().fold(BigInt::ZERO, |sum, coefficient| sum * y + coefficient)
    }

    fn combine(mut self, other: &Polynomial, sign: i8) -> Polynomial {
        let size = self.0.len().max(other.0.len());
        self.0.resize(size, BigInt::ZERO);
        for (sum, term) in self.0.iter_mut().zip(&other.0) {
            *sum += term * sign;
        }
        self
    }
}

impl Add for Polynomial {
    type Output = Polynomial;
    fn add(self, other: Polynomial) -> Polynomial {
        self.combine(&other, 1)
    }
}

impl Sub for Polynomial {
    type Output = Polynomial;
    fn sub(self, other: Polynomial) -> Polynomial {
        self.combine(&other, -1)
    }
}

impl Mul for Polynomial {
    type Output = Polynomial;
    fn mul(self, other: Polynomial) -> Polynomial {
        let mut out = vec![BigInt::ZERO; (self.0.len() + other.0.len()).saturating_sub(1)];
        for (i, a) in self.0.iter().enumerate() {
            for (j, b) in other.0.iter().enumerate() {
                out[i + j] += a * b;
            }
        }
        Polynomial(out)
    }
}

impl Ring for Polynomial {
    fn small(value: i64) -> Polynomial {
        Polynomial(vec![value.into()])
    }

    fn word(word: &Word) -> Polynomial {
        let mut out = vec![BigInt::ZERO; 7];
        for (i, limb) in word.limbs().into_iter().enumerate() {
            out[2 * i] = limb.into();
        }
        Polynomial(out)
    }
}

/// What a formula weighs: per number of words in a product, 0 to 3, the sum of the products' absolute multipliers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weight(pub [u64; 4]);

impl Add for Weight {
    type Output = Weight;
    fn add(self, other: Weight) -> Weight {
        Weight(std::array::from_fn(|i| self.0[i] + other.0[i]))
    }
}

impl Sub for Weight {
    type Output = Weight;
    #[expect(clippy::suspicious_arithmetic_impl, reason = "absolute values add up")]
    fn sub(self, other: Weight) -> Weight {
        self + other
    }
}

impl Mul for Weight {
    type Output = Weight;
    fn mul(self, other: Weight) -> Weight {
        let mut out = [0; 4];
        for (i, a) in self.0.iter().enumerate() {
            for (j, b) in other.0.iter().enumerate() {
                assert!(i + j < 4 || a * b == 0, "a product of more than three words");
                if i + j < 4 {
                    out[i + j] += a * b;
                }
            }
        }
        Weight(out)
    }
}

impl Ring for Weight {
    fn small(value: i64) -> Weight {
        Weight([value.unsigned_abs(), 0, 0, 0])
    }

    fn word(_: &Word) -> Weight {
        Weight([0, 1, 0, 0])
    }
}

/// Something said about words by relations that are all 0 mod p.
pub trait Claim {
    /// How its transcript starts.
    const TAG: u64;
    /// The relations, in the circuit's order.
    fn relations<T: Ring>(&self, words: &[T]) -> Vec<T>;

    /// Whether the relations hold.
    fn holds(&self, words: &[Word]) -> bool {
        let values: Vec<Fq> = words.iter().map(Word::value).collect();
        self.relations(&values).iter().all(|value| *value == Fq::from(0u8))
    }

    /// What the relations weigh in all.
    fn weight(&self, words: usize) -> Weight {
        let words = vec![Weight([0, 1, 0, 0]); words];
        self.relations(&words).into_iter().fold(Weight::default(), Weight::add)
    }

    /// The transcript that has absorbed everything that the relations are about.
    fn transcript(&self, words: &[Word]) -> Transcript {
        let mut transcript = Transcript::new(Self::TAG);
        transcript.absorb(&Word::elements(words));
        transcript
    }

    /// The circuit's inputs.
    fn inputs(&self, words: &[Word], closing: &Closing) -> Inputs {
        inputs(words, closing)
    }

    /// The hints that close the claim.
    ///
    /// # Errors
    /// [`Open`] where the claim is false; it holds what comes nearest.
    fn close(&self, words: &[Word]) -> Result<Closing, Box<Open>> {
        let mut transcript = self.transcript(words);
        let terms: Vec<Polynomial> = words.iter().map(Polynomial::word).collect();
        Closing::new(&mut transcript, &self.relations(&terms), self.weight(words.len()))
    }
}

/// The inputs of every claim: `word`, `k`, `c`, `y`.
pub(super) fn inputs(words: &[Word], closing: &Closing) -> Inputs {
    let limbs = words.iter().flat_map(Word::limbs).map(Field::from_u64).collect();
    let k = closing.k.iter().map(|limb| Field::from_u64(*limb)).collect();
    let c = closing.c.iter().map(Field::from_ark).collect();
    Inputs(vec![("word", limbs), ("k", k), ("c", c), ("y", vec![Field::from_ark(&closing.y)])])
}
