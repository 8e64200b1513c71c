//! Points beside dalek's, in every lane another one: each pair of small-order points, opposites and doubles.
#![allow(clippy::unwrap_used, unsafe_code, reason = "tests")]

use super::super::available;
use super::super::field::edge_tests::{Draws, Slow, value};
use super::super::field::tests::{of_lanes, to_lanes};
use super::*;
use ark_ff::{AdditiveGroup, BigInteger, Field as _, PrimeField};
use curve25519_dalek::constants::EIGHT_TORSION;
use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::Identity;

/// What RFC 8032 writes for (x, y).
fn encoding(x: Slow, y: Slow) -> [u8; 32] {
    let mut bytes: [u8; 32] = y.into_bigint().to_bytes_le().try_into().unwrap();
    bytes[31] |= u8::from(x.into_bigint().is_odd()) << 7;
    bytes
}

/// Every small-order point; B, −B, 2B and a random point, each with every small-order part.
fn points() -> Vec<EdwardsPoint> {
    let scalars =
        [Scalar::ZERO, Scalar::ONE, -Scalar::ONE, Scalar::from(2u8), Scalar::from_bytes_mod_order([0x5a; 32])];
    scalars.iter().flat_map(|scalar| EIGHT_TORSION.map(|small| EdwardsPoint::mul_base(scalar) + small)).collect()
}

#[target_feature(enable = "avx512f,avx512ifma")]
fn affine(points: &[EdwardsPoint; 8]) -> Affine {
    let (affine, valid) = decompress(&points.map(|point| point.compress().0));
    assert_eq!(valid, 0xff);
    affine
}

/// The points with Z drawn at random, in limbs that reach the bounds.
#[target_feature(enable = "avx512f,avx512ifma")]
fn extended(points: &[EdwardsPoint; 8], draws: &mut Draws) -> Extended {
    let sum = Extended::neutral().add_affine(&affine(points), 0);
    let mut z = draws_lanes(draws);
    while z.is_zero() != 0 {
        z = draws_lanes(draws);
    }
    Extended { x: sum.x.mul(&z), y: sum.y.mul(&z), z: sum.z.mul(&z), t: sum.t.mul(&z) }
}

#[target_feature(enable = "avx512f,avx512ifma")]
fn draws_lanes(draws: &mut Draws) -> Field {
    of_lanes(&std::array::from_fn(|_| draws.limbs()))
}

/// Z ≠ 0, X·Y = Z·T, and the point is dalek's.
#[target_feature(enable = "avx512f,avx512ifma")]
fn assert_are(got: &Extended, want: &[EdwardsPoint; 8]) {
    let [x, y, z, t] = [got.x, got.y, got.z, got.t].map(|field| to_lanes(field.limbs()).map(|limbs| value(&limbs)));
    for lane in 0..8 {
        assert_eq!(x[lane] * y[lane], z[lane] * t[lane]);
        let inverse = z[lane].inverse().unwrap();
        assert_eq!(encoding(x[lane] * inverse, y[lane] * inverse), want[lane].compress().0, "lane {lane}");
        assert_eq!(got.is_neutral() >> lane & 1 == 1, want[lane] == EdwardsPoint::identity(), "lane {lane}");
    }
}

#[test]
fn constants() {
    let d = -Slow::from(121_665u64) / Slow::from(121_666u64);
    assert_eq!((value(&D), value(&TWICE_D)), (d, d.double()));
    assert_eq!(value(&ROOT_OF_MINUS_ONE).square(), -Slow::ONE);
    // Why the additions hold for every pair, and why v is never 0.
    assert!(d.legendre().is_qnr() && (-d.inverse().unwrap()).legendre().is_qnr());
}

/// All 1,600 ordered pairs of 40 points, added and subtracted, lanes in an order drawn anew.
#[test]
fn every_pair_of_points_adds() {
    if !available() {
        return;
    }
    let (points, mut draws) = (points(), Draws::new(4));
    let mut pairs: Vec<(EdwardsPoint, EdwardsPoint)> =
        points.iter().flat_map(|p| points.iter().map(move |q| (*p, *q))).collect();
    for _ in 0..3 {
        for i in (1..pairs.len()).rev() {
            pairs.swap(i, draws.below(i + 1));
        }
        for pairs in pairs.as_chunks::<8>().0 {
            let (p, q) = (pairs.map(|pair| pair.0), pairs.map(|pair| pair.1));
            let negative = draws.word() as u8;
            let sum = std::array::from_fn(|lane| p[lane] + q[lane]);
            let signed =
                std::array::from_fn(
                    |lane| if negative >> lane & 1 == 1 { p[lane] - q[lane] } else { p[lane] + q[lane] },
                );
            // SAFETY: the processor can, as just seen.
            unsafe {
                let (left, right) = (extended(&p, &mut draws), extended(&q, &mut draws));
                assert_are(&left.add(&right), &sum);
                assert_are(&left.add_affine(&affine(&q), negative), &signed);
                assert_are(&left.double(1), &p.map(|point| point + point));
                assert_are(&left.double(8), &p.map(|point| point * Scalar::from(256u16)));
                // As one point for all lanes, by way of memory.
                let stored = affine(&q).store()[3];
                let signed =
                    std::array::from_fn(|lane| if negative >> lane & 1 == 1 { p[lane] - q[3] } else { p[lane] + q[3] });
                assert_are(&left.add_affine(&Affine::splat(&stored), negative), &signed);
            }
        }
    }
}

/// Encodings as an attacker draws them: y about 0 and about p, either sign, and random ones, half of them no points.
fn encodings(draws: &mut Draws) -> Vec<[u8; 32]> {
    let mut all = Vec::new();
    for low in 0..=0xff {
        for fill in [0, 0xff] {
            for sign in [0, 0x80] {
                let mut bytes = [fill; 32];
                (bytes[0], bytes[31]) = (low, fill & 0x7f | sign);
                all.push(bytes);
            }
        }
    }
    for point in points() {
        let mut bytes = point.compress().0;
        all.push(bytes);
        bytes[31] ^= 0x80;
        all.push(bytes);
    }
    all.resize_with(3000, || {
        let mut bytes = [0; 32];
        bytes.fill_with(|| draws.word() as u8);
        bytes
    });
    all
}

/// Each lane says of its own bytes what dalek says of them, whatever is beside it.
#[test]
fn decompresses_as_dalek_does() {
    if !available() {
        return;
    }
    let mut draws = Draws::new(5);
    let mut all = encodings(&mut draws);
    let (mut good, mut bad, mut mixed) = (0, 0, 0);
    for _ in 0..3 {
        for i in (1..all.len()).rev() {
            all.swap(i, draws.below(i + 1));
        }
        for group in all.as_chunks::<8>().0 {
            let want = group.map(|bytes| CompressedEdwardsY(bytes).decompress());
            let mask = (0..8).fold(0, |mask, lane| mask | u8::from(want[lane].is_some()) << lane);
            // SAFETY: the processor can, as just seen.
            let (stored, valid) = unsafe {
                let (affine, valid) = decompress(group);
                (affine.store(), valid)
            };
            assert_eq!(valid, mask);
            mixed += usize::from(mask != 0 && mask != 0xff);
            for (stored, want) in stored.iter().zip(want) {
                let Some(want) = want else {
                    bad += 1;
                    continue;
                };
                good += 1;
                let [plus, minus, product] = [0, 5, 10].map(|from| value(&std::array::from_fn(|k| stored[from + k])));
                let half = Slow::from(2u64).inverse().unwrap();
                let (x, y) = ((plus - minus) * half, (plus + minus) * half);
                assert_eq!(encoding(x, y), want.compress().0);
                assert_eq!(product, value(&TWICE_D) * x * y);
            }
        }
    }
    assert!(good > 3000 && bad > 3000 && mixed > 300);
}

/// Every order in which eight lanes can meet eight places, there and back.
#[test]
fn every_permutation_of_places() {
    if !available() {
        return;
    }
    let mut draws = Draws::new(6);
    let buckets: [Bucket; 8] = std::array::from_fn(|_| {
        let mut bucket = [[0; 8]; 3];
        for coordinate in 0..4 {
            for (k, limb) in draws.limbs().into_iter().enumerate() {
                let word = 5 * coordinate + k;
                bucket[word / 8][word % 8] = limb;
            }
        }
        bucket
    });
    let coordinate =
        |bucket: &Bucket, which: usize| -> [u64; 5] { std::array::from_fn(|k| bucket.as_flattened()[5 * which + k]) };
    let (mut order, mut counts, mut i, mut seen) = ([0, 1, 2, 3, 4, 5, 6, 7], [0; 8], 0, 0);
    // Heap's algorithm.
    while i < 8 {
        // SAFETY: the processor can, as just seen.
        unsafe {
            let got = Extended::gather(&buckets, &order);
            for (which, field) in [got.x, got.y, got.z, got.t].into_iter().enumerate() {
                assert_eq!(to_lanes(field.limbs()), order.map(|at| coordinate(&buckets[at], which)));
            }
            let mut back = [NEUTRAL; 8];
            got.scatter(&mut back, &order);
            assert_eq!(back, buckets);
        }
        seen += 1;
        while i < 8 && counts[i] == i {
            counts[i] = 0;
            i += 1;
        }
        if i < 8 {
            order.swap(if i % 2 == 0 { 0 } else { counts[i] }, i);
            counts[i] += 1;
            i = 1;
        }
    }
    assert_eq!(seen, 40_320);
}

/// Four zeros are no point, and stay what they are through every formula: they must not pass for the neutral one.
#[test]
fn zeros_are_not_neutral() {
    if !available() {
        return;
    }
    // SAFETY: the processor can, as just seen.
    unsafe {
        let zero = Field::splat(&ZERO);
        let zeros = Extended { x: zero, y: zero, z: zero, t: zero };
        assert_eq!(zeros.is_neutral(), 0);
        assert_eq!(zeros.double(3).is_neutral(), 0);
        assert_eq!(zeros.add(&Extended::neutral()).is_neutral(), 0);
        assert_eq!(Extended::neutral().is_neutral(), 0xff);
    }
}
