//! The field beside `ark-ff`'s, at every corner of the bounds: a carry that is lost once in 2³² elements is found here or
//! by an attacker.
#![allow(unsafe_code, reason = "tests")]

use super::super::available;
use super::tests::{of_lanes, to_lanes};
use super::*;
use ark_ff::{AdditiveGroup, BigInteger, Field as _, MontBackend, MontConfig, PrimeField};

/// 2²⁵⁵ − 19.
#[derive(MontConfig)]
#[modulus = "57896044618658097711785492504343953926634992332820282019728792003956564819949"]
#[generator = "2"]
pub(in super::super) struct Config;
/// The same field, by another hand.
pub(in super::super) type Slow = ark_ff::Fp256<MontBackend<Config, 4>>;

/// Draws for tests, the same ones in each run.
pub(in super::super) struct Draws(u64);

impl Draws {
    pub(in super::super) fn new(seed: u64) -> Draws {
        Draws(seed)
    }

    /// splitmix64.
    pub(in super::super) fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    pub(in super::super) fn below(&mut self, bound: usize) -> usize {
        (self.word() % bound as u64) as usize
    }

    pub(in super::super) fn of<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// Any limbs within the invariant, the corners more often than not.
    pub(in super::super) fn limbs(&mut self) -> Limbs {
        std::array::from_fn(|k| match self.below(3) {
            0 => self.word() % (LIMB_MAX + 1),
            _ => self.of(if k == 0 { &FIRST } else { &OTHER }),
        })
    }
}

/// Corners of the lowest limb: about 0, p, 2⁵¹ and the bound.
const FIRST: [u64; 13] =
    [0, 1, 18, 19, 20, MASK - 19, MASK - 18, MASK - 17, MASK, MASK + 1, MASK + 20, LIMB_MAX - 1, LIMB_MAX];
const OTHER: [u64; 6] = [0, 1, MASK - 1, MASK, MASK + 1, LIMB_MAX];
/// Corners of what `reduce` takes.
const WIDE: [u64; 9] = [0, 1, MASK - 18, MASK, MASK + 1, 2 * MASK + 1, (1 << 52) - 38, WIDE_MAX - MASK, WIDE_MAX];

/// Every choice of a first limb and four others.
fn corners(first: &[u64], other: &[u64]) -> Vec<Limbs> {
    let mut all = Vec::new();
    for &a in first {
        for code in 0..other.len().pow(4) {
            let digit = |k: u32| other[code / other.len().pow(k) % other.len()];
            all.push([a, digit(0), digit(1), digit(2), digit(3)]);
        }
    }
    all
}

/// Eight at a time, the last group filled up from the front.
fn groups(all: &[Limbs]) -> impl Iterator<Item = [Limbs; 8]> {
    (0..all.len()).step_by(8).map(|from| std::array::from_fn(|lane| all[(from + lane) % all.len()]))
}

pub(in super::super) fn value(limbs: &Limbs) -> Slow {
    let base = Slow::from(1u64 << 51);
    limbs.iter().rev().fold(Slow::ZERO, |value, limb| value * base + Slow::from(*limb))
}

/// The one form: limbs of 51 bits of the least representative.
fn canonical_limbs(value: Slow) -> Limbs {
    let bits = value.into_bigint().to_bits_le();
    std::array::from_fn(|k| (0..51).filter(|i| bits[51 * k + i]).map(|i| 1 << i).sum())
}

/// A result that must be within the invariant, and what must come out of it.
#[target_feature(enable = "avx512f,avx512ifma")]
fn assert_is(what: &str, got: &Field, want: &[Slow; 8]) {
    let (loose, strict) = (to_lanes(got.limbs()), to_lanes(got.canonical()));
    let (zero, odd) = (got.is_zero(), got.is_odd());
    for lane in 0..8 {
        assert!(loose[lane].iter().all(|limb| *limb <= LIMB_MAX), "{what}: {loose:x?}");
        assert_eq!(value(&loose[lane]), want[lane], "{what}, lane {lane}");
        assert_eq!(strict[lane], canonical_limbs(want[lane]), "{what}, lane {lane}");
        assert_eq!(zero >> lane & 1 == 1, want[lane] == Slow::ZERO, "{what}, lane {lane}");
        assert_eq!(odd >> lane & 1 == 1, want[lane].into_bigint().is_odd(), "{what}, lane {lane}");
    }
}

#[target_feature(enable = "avx512f,avx512ifma")]
fn agrees(a: &[Limbs; 8], b: &[Limbs; 8], mask: u8) {
    let (x, y) = (of_lanes(a), of_lanes(b));
    let (u, v) = (a.map(|limbs| value(&limbs)), b.map(|limbs| value(&limbs)));
    let each = |f: fn(Slow, Slow) -> Slow| std::array::from_fn(|lane| f(u[lane], v[lane]));
    assert_is("itself", &x, &u);
    assert_is("add", &x.add(&y), &each(|u, v| u + v));
    assert_is("sub", &x.sub(&y), &each(|u, v| u - v));
    assert_is("mul", &x.mul(&y), &each(|u, v| u * v));
    assert_is("square", &x.square(), &each(|u, _| u * u));
    let chosen = std::array::from_fn(|lane| if mask >> lane & 1 == 1 { v[lane] } else { u[lane] });
    assert_is("select", &x.select(&y, mask), &chosen);
}

/// All 16,848 corners, each beside three others.
#[test]
fn every_corner_of_the_invariant() {
    let all = corners(&FIRST, &OTHER);
    let mut draws = Draws::new(1);
    if available() {
        for a in groups(&all) {
            for b in [a, std::array::from_fn(|_| draws.of(&all)), std::array::from_fn(|_| draws.limbs())] {
                // SAFETY: the processor can, as just seen.
                unsafe { agrees(&a, &b, draws.word() as u8) }
            }
        }
    }
}

/// Limbs up to 2⁶¹, which no operation makes but `reduce` and `canonical` must take: 2p − 1, 2p and 2p + 1 among them.
#[test]
fn every_corner_of_what_is_reduced() {
    let mut all = corners(&WIDE, &WIDE);
    for low in [(1u64 << 52) - 39, (1 << 52) - 38, (1 << 52) - 37] {
        all.push([low, TWICE_P[1], TWICE_P[2], TWICE_P[3], TWICE_P[4]]);
    }
    if available() {
        for group in groups(&all) {
            // SAFETY: the processor can, as just seen.
            unsafe {
                let limbs = of_wide(&group);
                assert_is("reduce", &reduce(limbs), &group.map(|limbs| value(&limbs)));
                let strict = to_lanes(Field(limbs).canonical());
                assert_eq!(strict, group.map(|limbs| canonical_limbs(value(&limbs))));
            }
        }
    }
}

#[target_feature(enable = "avx512f,avx512ifma")]
fn of_wide(lanes: &[Limbs; 8]) -> [__m512i; 5] {
    std::array::from_fn(|k| load(&std::array::from_fn(|lane| lanes[lane][k])))
}

/// Columns as full as 25 products can make them, and fuller.
#[test]
fn the_fullest_columns_fold() {
    if !available() {
        return;
    }
    let pairs = [1u64, 2, 3, 4, 5, 4, 3, 2, 1];
    let base = Slow::from(1u64 << 51);
    for (low, high) in [((1u64 << 52) - 1, (1u64 << 50) + (1 << 16)), (0, (1 << 50) + (1 << 16)), ((1 << 52) - 1, 0)] {
        let mut want = Slow::ZERO;
        for (k, pairs) in pairs.iter().enumerate() {
            let shift = base.pow([k as u64]);
            want += shift * (Slow::from(low * pairs) + Slow::from(1u64 << 52) * Slow::from(high * pairs));
        }
        // SAFETY: the processor can, as just seen.
        unsafe {
            let got = fold(pairs.map(|pairs| splat(low * pairs)), pairs.map(|pairs| splat(high * pairs)));
            assert_is("fold", &got, &[want; 8]);
        }
    }
}

/// p − 40 … p + 40 and 2²⁵⁵ − 40 … 2²⁵⁵ − 1 as bytes, bit 255 set in every second lane, and x^((p − 5)/8) of them.
#[test]
fn bytes_about_p_and_their_powers() {
    if !available() {
        return;
    }
    let mut draws = Draws::new(2);
    let mut exponent = Slow::MODULUS;
    exponent.sub_with_borrow(&5u64.into());
    exponent >>= 3;
    for round in 0..60u8 {
        let bytes: [[u8; 32]; 8] = std::array::from_fn(|lane| {
            let mut bytes = [0xff; 32];
            match round {
                0..30 => bytes[0] = 0xd8 + (round * 8 + lane as u8) % 40,
                30..40 => (1..32).for_each(|i| bytes[i] = 0),
                _ => bytes.fill_with(|| draws.word() as u8),
            }
            bytes[31] = bytes[31] & 0x7f | (lane as u8 & 1) << 7;
            bytes
        });
        let want = bytes.map(|mut bytes| {
            bytes[31] &= 0x7f;
            Slow::from_le_bytes_mod_order(&bytes)
        });
        // SAFETY: the processor can, as just seen.
        unsafe {
            let got = Field::from_bytes(&bytes);
            assert!(to_lanes(got.limbs()).as_flattened().iter().all(|limb| *limb <= MASK));
            assert_is("from_bytes", &got, &want);
            assert_is("pow_p58", &pow_p58(&got), &want.map(|x| x.pow(exponent)));
        }
    }
}

/// 320,000 products in chains, from the corners on.
#[test]
fn long_chains() {
    if !available() {
        return;
    }
    let mut draws = Draws::new(3);
    for _ in 0..100 {
        let (a, b): ([Limbs; 8], [Limbs; 8]) =
            (std::array::from_fn(|_| draws.limbs()), std::array::from_fn(|_| draws.limbs()));
        let (mut u, mut v) = (a.map(|limbs| value(&limbs)), b.map(|limbs| value(&limbs)));
        // SAFETY: the processor can, as just seen.
        unsafe {
            let (mut x, mut y) = (of_lanes(&a), of_lanes(&b));
            for _ in 0..400 {
                (x, y) = (x.mul(&y).sub(&x), y.add(&x).square());
                for lane in 0..8 {
                    (u[lane], v[lane]) = (u[lane] * v[lane] - u[lane], (v[lane] + u[lane]).square());
                }
            }
            assert_is("chain", &x, &u);
            assert_is("chain", &y, &v);
        }
    }
}
