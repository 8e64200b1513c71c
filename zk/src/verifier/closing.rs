//! The one equation that closes all relations: multipliers, quotient and carries.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "big integers do not overflow; sizes fit"
)]

use super::{Polynomial, Ring as _, Transcript, Weight, Word};
use ark_bn254::{Fq, Fr};
use ark_ff::PrimeField as _;
use num_bigint::{BigInt, BigUint, Sign};

/// Relations a block.
const BLOCK: usize = 36;
const LIMBS_K: usize = 16;
const CARRIES: usize = 36;

/// The hints of `Closing`, plus their offsets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closing {
    /// The quotient by p plus 2^1020, lowest limb first.
    pub k: [u64; LIMBS_K],
    /// The coefficients of C, each plus 2^([`carry_bits`] - 1).
    pub c: Vec<Fr>,
    /// Where the equation is checked: the transcript's.
    pub y: Fr,
}

/// Some relation is not 0 mod p, so the equation has no solution.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a relation does not hold")]
pub struct Open {
    /// A solution up to a remainder, for tests: every hint is in range, and the equation alone stands against it.
    pub nearest: Closing,
}

fn modulus() -> BigInt {
    BigUint::from(Fq::MODULUS).into()
}

/// Multipliers out of squeezed elements: 8 coefficients of 15 bits, two multipliers an element.
fn multipliers(elements: &[Fr], count: usize) -> Vec<Polynomial> {
    let halves = elements.iter().flat_map(|element| {
        let bits = BigUint::from(element.into_bigint());
        [0u32, 120].map(|start| {
            let part = |i: u32| (&bits >> (start + 15 * i)) % (1u32 << 15);
            Polynomial((0..8).map(|i| part(i).into()).collect())
        })
    });
    halves.take(count).collect()
}

/// Bits that a coefficient of C takes for relations of this weight, its offset included; the circuit computes the same.
///
/// # Panics
/// Where the circuit's assertions fail: weights too large for the field.
#[must_use]
pub fn carry_bits(weight: Weight) -> u32 {
    let most =
        Polynomial::word(&Word::new([u64::MAX, u64::MAX, u64::MAX, (1 << 62) - 1]).unwrap_or_else(|| unreachable!()));
    let random = Polynomial(vec![BigInt::from((1 << 15) - 1); 8]);
    let mut left = Polynomial::default();
    let mut product = random.clone() * random;
    for t in weight.0 {
        left = left + product.clone() * Polynomial(vec![t.into()]);
        product = product * most.clone();
    }
    left.0.resize(CARRIES + 1, BigInt::ZERO);
    let (mut carry, mut largest_carry, mut largest) = (BigInt::ZERO, BigInt::ZERO, BigInt::ZERO);
    for size in left.0 {
        let size = size + (BigInt::from(4) << 128);
        carry = ((carry + &size) >> 32) + 1;
        largest_carry = largest_carry.max(carry.clone());
        largest = largest.max(size);
    }
    let bits = u32::try_from(largest_carry.bits()).unwrap_or(u32::MAX) + 1;
    let carried = BigInt::from(1) << (bits - 1);
    let sum = largest + &carried + (carried << 32);
    assert!(sum < BigUint::from(Fr::MODULUS).into(), "coefficients wrap");
    bits
}

impl Closing {
    /// Closes relations whose words the transcript has absorbed; they weigh `weight` in all.
    ///
    /// # Errors
    /// [`Open`] if one of them is not 0 mod p (but for a chance of 2^-119).
    pub fn new(transcript: &mut Transcript, relations: &[Polynomial], weight: Weight) -> Result<Closing, Box<Open>> {
        let blocks = relations.len().div_ceil(BLOCK);
        let count = blocks + BLOCK;
        let drawn = multipliers(&transcript.squeeze(count.div_ceil(2)), count);
        let (mu, nu) = drawn.split_at(blocks);
        let mut left = Polynomial::default();
        for (mu, block) in mu.iter().zip(relations.chunks(BLOCK)) {
            let terms = block.iter().zip(nu).map(|(relation, nu)| nu.clone() * relation.clone());
            left = left + mu.clone() * terms.fold(Polynomial::default(), |sum, term| sum + term);
        }
        let (p, base) = (modulus(), BigInt::from(1u64 << 32));
        let value = left.at(&base);
        let mut k: BigInt = &value / &p;
        let mut rest = value - &k * &p;
        if rest.sign() == Sign::Minus {
            rest += &p;
            k -= 1;
        }

        let k: BigInt = k + (BigInt::from(1) << 1020);
        let digits = k.magnitude().to_u64_digits();
        assert!(k.sign() != Sign::Minus && digits.len() <= LIMBS_K, "the quotient is out of its range");
        let mut limbs = [0; LIMBS_K];
        limbs[..digits.len()].copy_from_slice(&digits);
        let mut quotient = vec![BigInt::ZERO; 2 * LIMBS_K];
        for (i, limb) in limbs.iter().enumerate() {
            quotient[2 * i] = (*limb).into();
        }
        quotient[30] -= BigInt::from(1u64 << 60);

        // Without the rest, in digits of 32 bits, the difference is 0 at 2^32, and the division comes out even.
        let modulus = Polynomial::word(&Word::new(Fq::MODULUS.0).unwrap_or_else(|| unreachable!()));
        let mut difference = left - Polynomial(quotient) * modulus;
        difference.0.resize(CARRIES + 1, BigInt::ZERO);
        for (coefficient, digit) in difference.0.iter_mut().zip(rest.iter_u32_digits()) {
            *coefficient -= digit;
        }
        let offset = BigInt::from(1) << (carry_bits(weight) - 1);
        let mut carry = BigInt::ZERO;
        let mut c = Vec::with_capacity(CARRIES);
        for coefficient in &difference.0[..CARRIES] {
            carry = (carry - coefficient) / &base;
            let shifted = &carry + &offset;
            assert!(shifted.sign() != Sign::Minus && shifted < &offset * 2, "a carry is out of its range");
            c.push(Fr::from(shifted.magnitude().clone()));
        }
        assert_eq!(carry, difference.0[CARRIES], "the division comes out even");

        let k = limbs;
        let y = Closing::point(transcript, &k, &c);
        let closing = Closing { k, c, y };
        if rest == BigInt::ZERO { Ok(closing) } else { Err(Box::new(Open { nearest: closing })) }
    }

    /// Absorbs the hints and squeezes y.
    pub fn point(transcript: &mut Transcript, k: &[u64; LIMBS_K], c: &[Fr]) -> Fr {
        let packs = k.chunks(3).map(|limbs| Fr::from(BigUint::from_slice(&halves(limbs))));
        let section: Vec<Fr> = packs.chain(c.iter().copied()).collect();
        transcript.absorb(&section);
        transcript.squeeze(1)[0]
    }
}

/// 64-bit limbs as the 32-bit ones that `BigUint` takes.
fn halves(limbs: &[u64]) -> Vec<u32> {
    limbs
        .iter()
        .flat_map(|limb| [*limb & 0xffff_ffff, limb >> 32])
        .filter_map(|half| u32::try_from(half).ok())
        .collect()
}
