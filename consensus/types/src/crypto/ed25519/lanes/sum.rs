//! Whether a sum of multiples of curve points is of small order: Pippenger's bucket method, eight windows at a time.
//!
//! A coefficient is cut into digits of `WIDTH` bits. The eight lanes take eight neighbouring digits (a *group*) of the
//! same point, each lane with buckets of its own: 6 additions for a signature of two points at 8 bits, where points side by
//! side would take 11. Digits are signed, d − 2^(WIDTH−1) for a digit d of the coefficient plus [`bias`]: that halves
//! the buckets and nothing has to be carried. Digit 0 has a bucket too, which nobody reads.

use super::point::{Affine, Bucket, Extended, NEUTRAL, Stored, decompress};

/// A point's encoding, and what stands before it: a coefficient plus [`bias`], little endian.
pub(in super::super) type Term<const WORDS: usize> = ([u8; 32], [u64; WORDS]);

/// A one in the highest bit of every digit: 2^(WIDTH−1)·Σ 2^(WIDTH·i), repeated in every word.
pub(in super::super) const fn bias(width: u32) -> u64 {
    // 0x88…8 for 4 bits, 0x80…80 for 8.
    (u64::MAX / ((1 << width) - 1)) << (width - 1)
}

/// All points, in order; `None` if any of the encodings is none.
#[target_feature(enable = "avx512f,avx512ifma")]
fn decompress_all(encodings: &[[u8; 32]]) -> Option<Vec<Stored>> {
    let mut points = Vec::with_capacity(encodings.len());
    for group in encodings.chunks(8) {
        // The neutral point fills the last group.
        let mut bytes = [NEUTRAL_ENCODING; 8];
        bytes[..group.len()].copy_from_slice(group);
        let (affine, valid) = decompress(&bytes);
        if valid != 0xff {
            return None;
        }
        points.extend_from_slice(&affine.store()[..group.len()]);
    }
    Some(points)
}

const NEUTRAL_ENCODING: [u8; 32] = {
    let mut bytes = [0; 32];
    bytes[0] = 1;
    bytes
};

/// The places of a point in the buckets of the eight lanes, and in which lanes the digit is negative. `digits`: eight of
/// them, in the low bits.
#[inline]
fn places<const WIDTH: u32>(digits: u64) -> ([usize; 8], u8) {
    let half = 1i64 << (WIDTH - 1);
    let (mut at, mut negative) = ([0; 8], 0);
    for lane in 0..8u32 {
        let digit = (digits >> (lane * WIDTH)) & ((1 << WIDTH) - 1);
        let signed = digit.cast_signed() - half;
        at[lane as usize] = 8 * (signed.unsigned_abs() as usize) + lane as usize;
        negative |= u8::from(signed < 0) << lane;
    }
    (at, negative)
}

#[target_feature(enable = "avx512f,avx512ifma")]
fn add_terms<const WIDTH: u32, const WORDS: usize>(
    buckets: &mut [Bucket],
    terms: &[Term<WORDS>],
    points: &[Stored],
    group: usize,
) {
    let groups_in_word = (8 / WIDTH) as usize;
    let (word, shift) = (group / groups_in_word, 8 * WIDTH * (group % groups_in_word) as u32);
    if word >= WORDS {
        return;
    }
    for ((_, coefficient), point) in terms.iter().zip(points) {
        let (at, negative) = places::<WIDTH>(coefficient[word] >> shift);
        Extended::gather(buckets, &at).add_affine(&Affine::splat(point), negative).scatter(buckets, &at);
    }
}

/// Σ i·bucketᵢ in each lane, by a sum of running sums.
#[target_feature(enable = "avx512f,avx512ifma")]
fn add_buckets(buckets: &[Bucket]) -> Extended {
    let (mut running, mut total) = (Extended::neutral(), Extended::neutral());
    for digit in (1..buckets.len() / 8).rev() {
        let mut at = [8 * digit; 8];
        for (lane, at) in at.iter_mut().enumerate() {
            *at += lane;
        }
        running = running.add(&Extended::gather(buckets, &at));
        total = total.add(&running);
    }
    total
}

/// Whether 8·(Σ long + Σ short) is the neutral point. `false` too if bytes are no point.
#[target_feature(enable = "avx512f,avx512ifma")]
pub(in super::super) fn is_small<const WIDTH: u32>(long: &[Term<4>], short: &[Term<2>]) -> bool {
    let encodings: Vec<[u8; 32]> =
        long.iter().map(|(point, _)| *point).chain(short.iter().map(|(point, _)| *point)).collect();
    let Some(points) = decompress_all(&encodings) else { return false };
    let (long_points, short_points) = points.split_at(long.len());

    let mut buckets = vec![NEUTRAL; 8 * ((1 << (WIDTH - 1)) + 1)];
    let mut sum = Extended::neutral();
    for group in (0..(256 / (8 * WIDTH)) as usize).rev() {
        buckets.fill(NEUTRAL);
        add_terms::<WIDTH, 4>(&mut buckets, long, long_points, group);
        add_terms::<WIDTH, 2>(&mut buckets, short, short_points, group);
        sum = sum.double(8 * WIDTH as usize).add(&add_buckets(&buckets));
    }
    // Lane i stands for 2^(WIDTH·i): fold lanes 4 to 7 onto 0 to 3, and so on.
    for step in [4usize, 2, 1] {
        let mut lanes = [NEUTRAL; 8];
        sum.scatter(&mut lanes, &[0, 1, 2, 3, 4, 5, 6, 7]);
        let mut at = [0; 8];
        for (lane, at) in at.iter_mut().enumerate() {
            *at = (lane + step) % 8;
        }
        sum = sum.add(&Extended::gather(&lanes, &at).double(step * WIDTH as usize));
    }
    sum.double(3).is_neutral() & 1 == 1
}

#[cfg(test)]
#[path = "sum_tests.rs"]
mod tests;
