//! Points of G1 as (U, V) = (-x / y, 1 / y); infinity is (0, 0).
#![expect(clippy::arithmetic_side_effects, clippy::indexing_slicing, reason = "field arithmetic over fixed sizes")]

use super::{Claim, Ring, Word};
use ark_bn254::{Fq, G1Affine};
use ark_ec::AffineRepr as _;
use ark_ff::Field as _;

/// The claim of `G1Points(n)`: each four words are U, V, U^2, V^2 of a point of the curve or (0, 0).
#[derive(Clone, Copy, Debug)]
pub struct G1Points;

impl G1Points {
    /// The words of one point.
    #[must_use]
    pub fn words(point: &G1Affine) -> [Word; 4] {
        // No point of G1 has y = 0, as its order is a prime; infinity has no coordinates.
        let v = point.y().and_then(|y| y.inverse()).unwrap_or_default();
        let u = -point.x().unwrap_or_default() * v;
        [u, v, u * u, v * v].map(Word::from)
    }

    /// (U, V) with its squares as words, whatever it is.
    #[must_use]
    pub fn words_of(u: Fq, v: Fq) -> [Word; 4] {
        [u, v, u * u, v * v].map(Word::from)
    }
}

impl Claim for G1Points {
    const TAG: u64 = 1;

    fn relations<T: Ring>(&self, words: &[T]) -> Vec<T> {
        let point = |w: &[T]| {
            let [u, v, uu, vv] = [w[0].clone(), w[1].clone(), w[2].clone(), w[3].clone()];
            [
                u.clone() * u.clone() - uu.clone(),
                v.clone() * v.clone() - vv.clone(),
                v.clone() + u * uu - T::small(3) * v * vv,
            ]
        };
        words.chunks_exact(4).flat_map(point).collect()
    }
}
