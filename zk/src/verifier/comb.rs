//! vk_x = IC0 + h IC1 by a comb of signed bits; the circuit's head has the argument.
#![expect(clippy::arithmetic_side_effects, clippy::indexing_slicing, reason = "field arithmetic over fixed sizes")]

use super::relation::inputs;
use super::{Claim, Closing, Ring, Transcript, Word};
use crate::Inputs;
use ark_bn254::{Fq, Fr, G1Affine, G1Projective};
use ark_ec::{AffineRepr as _, CurveGroup as _};
use ark_ff::{AdditiveGroup as _, BigInteger as _, Field as _, PrimeField as _};
use num_bigint::BigUint;
use sha2::{Digest as _, Sha256};
use smt_types::crypto::Field;

/// What O is the hash of.
const ORIGIN: &[u8] = b"smt-node groth16 verifier comb origin ";

/// The claim of `Comb(columns)` about one key and one public input.
#[derive(Clone, Debug)]
pub struct Comb {
    columns: usize,
    /// The public input.
    pub h: Fr,
    /// The digits: 1 for +1, 0 for -1, lowest first.
    pub bits: Vec<bool>,
    /// 32 words of tables and 2 of the last point.
    pub key: Vec<Word>,
}

/// O: SHA-256 of a public string and a count of one byte, big endian mod p, as an abscissa; the first count that gives
/// a point, and its even ordinate. Nobody knows its discrete logarithm to any base.
pub fn comb_origin() -> G1Affine {
    let point = |count: u8| {
        let x = Fq::from_be_bytes_mod_order(&Sha256::new().chain_update(ORIGIN).chain_update([count]).finalize());
        let y = (x.square() * x + Fq::from(3u8)).sqrt()?;
        let y = if y.into_bigint().is_even() { y } else { -y };
        Some(G1Affine::new_unchecked(x, y))
    };
    (0..=u8::MAX).find_map(point).unwrap_or_else(|| unreachable!("half of all abscissas are points'"))
}

impl Comb {
    /// The words of a key: `ic` are IC0 and IC1. Infinity among them has none: `None`.
    #[must_use]
    pub fn key(columns: usize, ic: [G1Affine; 2]) -> Option<Vec<Word>> {
        let shift = |point: G1Affine, by: usize| point.into_group() * Fr::from(2u8).pow([by as u64]);
        let mut points = Vec::new();
        for table in 0..2 {
            let teeth: [G1Projective; 4] = std::array::from_fn(|tooth| shift(ic[1], columns * (4 * table + tooth)));
            for place in 0..8 {
                let sign = |bit: usize| if place >> bit & 1 == 1 { teeth[bit + 1] } else { -teeth[bit + 1] };
                points.push(sign(0) + sign(1) + sign(2) - teeth[0]);
            }
        }
        points.push(ic[0].into_group() - shift(comb_origin(), columns));
        let coordinates = points.into_iter().map(|point| point.into_affine().xy().map(|(x, y)| [x, y]));
        Some(coordinates.collect::<Option<Vec<_>>>()?.concat().into_iter().map(Word::from).collect())
    }

    /// For the number d = h mod r, odd and within 2^(8 columns); d is `negative` or not. `None` for other numbers.
    #[must_use]
    pub fn new(columns: usize, key: &[Word], d: &BigUint, negative: bool) -> Option<Comb> {
        let all = (BigUint::from(1u8) << (8 * columns)) - 1u8;
        if *d > all || !d.bit(0) {
            return None;
        }
        let b = (if negative { all - d } else { all + d }) >> 1u32;
        let bits = (0..8 * columns as u64).map(|i| b.bit(i)).collect();
        let h = Fr::from(d.clone());
        Some(Comb { columns, h: if negative { -h } else { h }, bits, key: key.to_vec() })
    }

    /// For any public input, with 32 columns.
    #[must_use]
    pub fn of(key: &[Word], h: Fr) -> Option<Comb> {
        let h = BigUint::from(h.into_bigint());
        let d = if h.bit(0) { h } else { h + BigUint::from(Fr::MODULUS) };
        Comb::new(32, key, &d, false)
    }

    /// Per column, the entries of both tables: place and whether negated.
    fn entries(&self, column: usize) -> [(usize, bool); 2] {
        [0, 1].map(|table| {
            let bit = |tooth: usize| self.bits[self.columns * (4 * table + tooth) + self.columns - 1 - column];
            let place = (0..3).map(|i| usize::from(bit(i + 1) ^ bit(0)) << i).sum::<usize>();
            (8 * table + place, bit(0))
        })
    }

    /// An entry's coordinates over a ring.
    fn entry<T: Ring>(&self, (place, negated): (usize, bool)) -> [T; 2] {
        let [x, y] = [0, 1].map(|i| T::word(&self.key[2 * place + i]));
        [x, if negated { T::small(-1) * y } else { y }]
    }

    /// The words: slopes and sums, V and U. `None` where points of a sum are equal or opposite, or vk_x is infinity.
    #[must_use]
    pub fn words(&self) -> Option<Vec<Word>> {
        self.words_or(|_| None)
    }

    /// The same with slopes for sums of two equal points, which the relations leave free: for tests of what a key could
    /// do that is made from O.
    #[must_use]
    pub fn words_from(&self, free: impl Fn(usize) -> Fq) -> Option<Vec<Word>> {
        self.words_or(|at| Some(free(at)))
    }

    fn words_or(&self, free: impl Fn(usize) -> Option<Fq>) -> Option<Vec<Word>> {
        let mut out: Vec<Fq> = Vec::new();
        let origin = comb_origin();
        let mut acc = [origin.x, origin.y];
        let slope = |a: [Fq; 2], q: [Fq; 2], at: usize| {
            if a == q { free(at) } else { Some((q[1] - a[1]) * (q[0] - a[0]).inverse()?) }
        };
        let add = |acc: &mut [Fq; 2], q: [Fq; 2], out: &mut Vec<Fq>| {
            let l = slope(*acc, q, out.len())?;
            let x = l.square() - acc[0] - q[0];
            *acc = [x, l * (acc[0] - x) - acc[1]];
            out.extend([l, acc[0], acc[1]]);
            Some(())
        };
        for column in 0..self.columns {
            let [first, second] = self.entries(column).map(|entry| self.entry::<Fq>(entry));
            let l = slope(acc, first, out.len())?;
            let x = l.square() - acc[0] - first[0];
            let m = -l - acc[1].double() * (x - acc[0]).inverse()?;
            let next = m.square() - x - acc[0];
            let y = m * (acc[0] - next) - acc[1];
            out.extend([l, x, m, next, y]);
            acc = [next, y];
            add(&mut acc, second, &mut out)?;
        }
        add(&mut acc, self.entry((16, false)), &mut out)?;
        let v = acc[1].inverse()?;
        out.extend([v, -v * acc[0]]);
        Some(out.into_iter().map(Word::from).collect())
    }
}

impl Claim for Comb {
    const TAG: u64 = 3;

    fn relations<T: Ring>(&self, words: &[T]) -> Vec<T> {
        let origin = comb_origin();
        let mut acc = [T::constant(origin.x), T::constant(origin.y)];
        let mut out = Vec::new();
        let word = |at: usize| words[at].clone();
        let add = |acc: &mut [T; 2], [qx, qy]: [T; 2], at: usize| {
            let [ax, ay] = acc.clone();
            let [l, x, y] = [word(at), word(at + 1), word(at + 2)];
            *acc = [x.clone(), y.clone()];
            [
                l.clone() * (qx.clone() - ax.clone()) - qy + ay.clone(),
                l.clone() * l.clone() - ax.clone() - qx - x.clone(),
                l * (ax - x) - ay - y,
            ]
        };
        for column in 0..self.columns {
            let [[qx, qy], second] = self.entries(column).map(|entry| self.entry::<T>(entry));
            let [ax, ay] = acc.clone();
            let [l, x, m, next, y] = std::array::from_fn(|i| word(8 * column + i));
            out.extend([
                l.clone() * (qx.clone() - ax.clone()) - qy + ay.clone(),
                l.clone() * l.clone() - ax.clone() - qx - x.clone(),
                (l + m.clone()) * (x.clone() - ax.clone()) + T::small(2) * ay.clone(),
                m.clone() * m.clone() - x - ax.clone() - next.clone(),
                m * (ax - next.clone()) - ay - y.clone(),
            ]);
            acc = [next, y];
            out.extend(add(&mut acc, second, 8 * column + 5));
        }
        let last = 8 * self.columns;
        out.extend(add(&mut acc, self.entry((16, false)), last));
        let [x, y] = acc;
        out.extend([word(last + 3) * y - T::small(1), word(last + 3) * x + word(last + 4)]);
        out
    }

    fn transcript(&self, words: &[Word]) -> Transcript {
        let mut transcript = Transcript::new(Self::TAG);
        transcript.absorb(&self.key.iter().flat_map(Word::limbs).map(Fr::from).collect::<Vec<_>>());
        let packs = self
            .bits
            .chunks(128)
            .map(|bits| Fr::from(bits.iter().rev().fold(0u128, |sum, bit| sum << 1 | u128::from(*bit))));
        let mut section = Word::elements(words);
        section.push(self.h);
        section.extend(packs);
        transcript.absorb(&section);
        transcript
    }

    fn inputs(&self, words: &[Word], closing: &Closing) -> Inputs {
        let mut out = inputs(words, closing);
        let bits = self.bits.iter().map(|bit| Field::from_u64(u64::from(*bit))).collect();
        let key = self.key.iter().flat_map(Word::limbs).map(Field::from_u64).collect();
        out.0.extend([("h", vec![Field::from_ark(&self.h)]), ("bit", bits), ("key", key)]);
        out
    }
}
