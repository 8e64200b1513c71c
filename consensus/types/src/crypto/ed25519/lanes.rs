//! The batch equation on processors with AVX-512 IFMA.
#![allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::needless_range_loop,
    reason = "kernel on fixed-size arrays; every index is bounded by a constant length, every number by a digit's width"
)]

mod field;
mod point;
mod sum;

pub(super) use sum::{Term, bias};

/// Whether this processor can.
pub(super) fn available() -> bool {
    std::arch::is_x86_feature_detected!("avx512f") && std::arch::is_x86_feature_detected!("avx512ifma")
}

/// Whether 8·(Σ long + Σ short) is the neutral point.
#[allow(unsafe_code, reason = "a function compiled for more than the baseline may only run where that exists")]
pub(super) fn is_small(width: u32, long: &[Term<4>], short: &[Term<2>]) -> bool {
    assert!(available(), "asked for on a processor that cannot");
    // SAFETY: the processor has what the functions are compiled for, as just seen.
    unsafe { if width == 8 { sum::is_small::<8>(long, short) } else { sum::is_small::<4>(long, short) } }
}

/// A number of 128 bits as a coefficient.
pub(super) fn words(bits: u128) -> [u64; 2] {
    [bits as u64, (bits >> 64) as u64]
}

/// A scalar, below 2²⁵³, with [`bias`] added to every word: no carry leaves the last one.
pub(super) fn biased(scalar: &[u8; 32], width: u32) -> [u64; 4] {
    let mut words = [0; 4];
    let mut carry = 0;
    for (word, bytes) in words.iter_mut().zip(scalar.as_chunks().0) {
        let sum = u128::from(u64::from_le_bytes(*bytes)) + u128::from(bias(width)) + carry;
        (*word, carry) = (sum as u64, sum >> 64);
    }
    words
}
