//! The bucket method beside dalek's sums: any digits, any number of terms, points that meet themselves in a bucket.
#![allow(clippy::unwrap_used, unsafe_code, reason = "tests")]

use super::super::field::edge_tests::Draws;
use super::super::{available, biased};
use super::{Term, bias, decompress_all};
use curve25519_dalek::constants::EIGHT_TORSION;
use curve25519_dalek::edwards::EdwardsPoint;
use curve25519_dalek::scalar::Scalar;

/// What eight digits, in words, stand for mod ℓ: the bias taken off.
fn scalar<const WORDS: usize>(words: &[u64; WORDS], width: u32) -> Scalar {
    let (mut number, mut bits) = ([0; 64], [0; 64]);
    for (i, word) in words.iter().enumerate() {
        number[8 * i..8 * i + 8].copy_from_slice(&word.to_le_bytes());
        bits[8 * i..8 * i + 8].copy_from_slice(&bias(width).to_le_bytes());
    }
    Scalar::from_bytes_mod_order_wide(&number) - Scalar::from_bytes_mod_order_wide(&bits)
}

/// A word of extreme digits, of equal ones, or any.
fn word(draws: &mut Draws) -> u64 {
    let bytes = |byte: u8| u64::from_le_bytes([byte; 8]);
    match draws.below(4) {
        0 => {
            let corners = [0, 1, 7, 8, 9, 0x7f, 0x80, 0x81, 0x88, 0xf7, 0xff, 0x10];
            u64::from_le_bytes(std::array::from_fn(|_| draws.of(&corners)))
        }
        1 => bytes(draws.word() as u8),
        _ => draws.word(),
    }
}

fn check(width: u32, draws: &mut Draws, points: &[EdwardsPoint], long: usize, short: usize) {
    let mut sum = EIGHT_TORSION[0];
    let point = |draws: &mut Draws| draws.of(points);
    let mut longs: Vec<Term<4>> = Vec::new();
    let mut shorts: Vec<Term<2>> = Vec::new();
    for _ in 0..long {
        let (point, words) = (point(draws), std::array::from_fn(|_| word(draws)));
        sum += point * scalar(&words, width);
        longs.push((point.compress().0, words));
    }
    for _ in 0..short {
        let (point, words) = (point(draws), std::array::from_fn(|_| word(draws)));
        sum += point * scalar(&words, width);
        shorts.push((point.compress().0, words));
    }
    let at = draws.below(longs.len() + 1);
    let minus_one = biased((-Scalar::ONE).as_bytes(), width);
    longs.insert(at, (sum.compress().0, minus_one));
    assert!(super::super::is_small(width, &longs, &shorts), "{width} {long} {short}");
    // Off by 2ⁿ·B.
    let off = EdwardsPoint::mul_base(&scalar(&[1 << draws.below(64), 0], width))
        - EdwardsPoint::mul_base(&scalar(&[0, 0], width));
    longs[at].0 = (sum + off).compress().0;
    assert!(!super::super::is_small(width, &longs, &shorts), "{width} {long} {short}");
    // Off by a small order only: the factor 8 takes it away.
    longs[at].0 = (sum + draws.of(&EIGHT_TORSION)).compress().0;
    assert!(super::super::is_small(width, &longs, &shorts), "{width} {long} {short}");
    // No point, anywhere: refused.
    let mut none = [0; 32];
    none[0] = 2;
    let place = draws.below(longs.len() + shorts.len());
    match longs.get_mut(place) {
        Some(term) => term.0 = none,
        None => shorts[place - longs.len()].0 = none,
    }
    assert!(!super::super::is_small(width, &longs, &shorts), "{width} {long} {short}");
}

/// Of few points, so that P + P, P − P and sums of small order happen in buckets.
#[test]
fn sums_agree_with_dalek() {
    if !available() {
        return;
    }
    let mut draws = Draws::new(7);
    let base = EdwardsPoint::mul_base(&Scalar::from(11u8));
    let few = [base, -base, base + EIGHT_TORSION[1], EIGHT_TORSION[1], EIGHT_TORSION[4], EIGHT_TORSION[0]];
    let many: Vec<EdwardsPoint> =
        (0..60u64).map(|k| EdwardsPoint::mul_base(&Scalar::from(k)) + EIGHT_TORSION[k as usize % 8]).collect();
    for width in [4, 8] {
        for count in 0..18 {
            for points in [few.as_slice(), &many] {
                check(width, &mut draws, points, count, 0);
                check(width, &mut draws, points, 0, count);
                check(width, &mut draws, points, count, 17 - count);
            }
        }
        check(width, &mut draws, &few, 100, 200);
        check(width, &mut draws, &many, 200, 100);
    }
}

/// Every scalar that the batch can have keeps within four words: ℓ − 1 is the greatest.
#[test]
fn the_bias_carries_out_of_no_scalar() {
    for width in [4, 8] {
        let top = (-Scalar::ONE).to_bytes();
        assert_eq!(scalar(&biased(&top, width), width), -Scalar::ONE);
        let mut beyond = [0xff; 32];
        beyond[31] = 0x1f;
        assert!(top.iter().rev().lt(beyond.iter().rev()));
        // 2²⁵³ − 1 does not carry out either: the last word stays above its bias.
        assert!(biased(&beyond, width)[3] > bias(width));
        for lane in 0..64 / width {
            assert_eq!(bias(width) >> (lane * width) & ((1 << width) - 1), 1 << (width - 1));
        }
    }
}

/// Bytes that are no point are refused as such, in every lane and every last group: that the sum would come out wrong
/// anyway is luck, not a check.
#[test]
fn no_point_is_refused_at_every_place() {
    if !available() {
        return;
    }
    let point = EdwardsPoint::mul_base(&Scalar::from(5u8)).compress().0;
    let mut none = [0; 32];
    none[0] = 2;
    for count in 0..26 {
        let mut encodings = vec![point; count];
        // SAFETY: the processor can, as just seen.
        let decompressed = unsafe { decompress_all(&encodings) }.unwrap();
        assert!(decompressed.len() == count && decompressed.iter().all(|stored| *stored == decompressed[0]));
        for place in 0..count {
            encodings[place] = none;
            // SAFETY: the processor can, as just seen.
            assert!(unsafe { decompress_all(&encodings) }.is_none(), "{place} of {count}");
            encodings[place] = point;
        }
    }
}
