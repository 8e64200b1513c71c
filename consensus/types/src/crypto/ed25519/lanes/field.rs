//! Eight elements of the field mod p = 2²⁵⁵ − 19 side by side, one a lane, by AVX-512's 52-bit multiply-add (IFMA).
//!
//! An element is five limbs of 51 bits. *Invariant:* every limb of a [`Field`] is at most [`LIMB_MAX`], below 2⁵¹ + 2¹⁵; it
//! is what [`reduce`] leaves of limbs up to [`WIDE_MAX`], below 2⁶¹. So a limb always fits the 52 bits that the multiplier
//! reads, and two of them added do not: sums and differences are reduced too.
//!
//! | operation | limbs in, below | before [`reduce`], below | why |
//! | --- | --- | --- | --- |
//! | `add` | 2⁵¹ + 2¹⁵ | 2⁵² + 2¹⁶ | |
//! | `sub` | 2⁵¹ + 2¹⁵ | 2⁵³ | 2p is added first: each of its limbs is at least 2⁵² − 38, so nothing falls below 0 |
//! | `mul`, `square` | 2⁵¹ + 2¹⁵ | 2⁶⁰ | 5 low halves below 2⁵² and twice 5 high ones below 2⁵⁰ + 2¹⁶ make a column below 2⁵⁵; 19 times another is added |
//! | `canonical` | 2⁶¹ | | reduced, the value is below 2p: p is taken off once or not at all |
//!
//! The constants below prove the table when they are compiled; tests look at the limbs themselves.

use core::arch::x86_64::{
    __m512i, __mmask8, _mm512_add_epi64, _mm512_and_si512, _mm512_cmpeq_epi64_mask, _mm512_cmple_epu64_mask,
    _mm512_loadu_si512, _mm512_madd52hi_epu64, _mm512_madd52lo_epu64, _mm512_mask_blend_epi64, _mm512_or_si512,
    _mm512_set1_epi64, _mm512_setzero_si512, _mm512_slli_epi64, _mm512_srli_epi64, _mm512_storeu_si512,
    _mm512_sub_epi64, _mm512_test_epi64_mask,
};

/// Bits of a limb.
const BITS: u32 = 51;
const MASK: u64 = (1 << BITS) - 1;
/// Limbs of 2p, above every limb of an element: what a difference is lifted by.
const TWICE_P: [u64; 5] = [2 * (MASK - 18), 2 * MASK, 2 * MASK, 2 * MASK, 2 * MASK];

/// The greatest limb of an element.
const LIMB_MAX: u64 = MASK + (1 << 15);
/// The greatest limb that [`reduce`] takes.
const WIDE_MAX: u64 = (1 << 61) - 1;

/// The table of the module head. A constant that leaves 64 bits does not compile, nor does one that fails an assertion.
const _: () = {
    // What the multiplier reads.
    assert!(LIMB_MAX < 1 << 52);
    // `reduce`: its own factor is read whole, and it keeps the invariant.
    let carry = WIDE_MAX >> BITS;
    let (first, other) = (MASK + 19 * carry, MASK + carry);
    assert!(19 * carry < 1 << 52 && first <= LIMB_MAX && other <= LIMB_MAX);
    // `add`, and `sub`, which never borrows; what it adds is 2p = 2²⁵⁶ − 38.
    assert!(2 * LIMB_MAX <= WIDE_MAX);
    assert!(TWICE_P[0] + 38 == 1 << 52);
    let mut k = 0;
    while k < 5 {
        assert!(TWICE_P[k] >= LIMB_MAX && LIMB_MAX + TWICE_P[k] <= WIDE_MAX);
        assert!(k == 0 || TWICE_P[k] + 2 == 1 << 52);
        k += 1;
    }
    // `mul`: column k has so many low halves as pairs of limbs make k, and twice the high halves of those that make
    // k − 1. `square` counts the same halves otherwise.
    let low = (1 << 52) - 1;
    let high = ((LIMB_MAX as u128 * LIMB_MAX as u128) >> 52) as u64;
    let pairs = [1, 2, 3, 4, 5, 4, 3, 2, 1, 0];
    let mut columns = [0; 10];
    k = 0;
    while k < 10 {
        columns[k] = low * pairs[k] + if k > 0 { 2 * high * pairs[k - 1] } else { 0 };
        assert!(columns[k] < 1 << 55);
        k += 1;
    }
    k = 0;
    while k < 5 {
        assert!(columns[k] + 19 * columns[k + 5] < 1 << 60);
        k += 1;
    }
    // `canonical`: the carry out of value + 19 is 0 or 1, as the greatest limbs have the greatest.
    let mut out = (first + 19) >> BITS;
    k = 1;
    while k < 5 {
        out = (other + out) >> BITS;
        k += 1;
    }
    assert!(out == 1);
};

/// One element, as constants and memory hold it.
pub(super) type Limbs = [u64; 5];

/// Eight elements.
#[derive(Clone, Copy)]
pub(super) struct Field([__m512i; 5]);

/// Eight words, `words[i]` in lane i.
#[inline]
#[target_feature(enable = "avx512f")]
#[allow(unsafe_code, reason = "the intrinsic takes a raw pointer")]
pub(super) fn load(words: &[u64; 8]) -> __m512i {
    // SAFETY: reads the 64 bytes of `words`, at any alignment.
    unsafe { _mm512_loadu_si512(words.as_ptr().cast()) }
}

/// The way back.
#[inline]
#[target_feature(enable = "avx512f")]
#[allow(unsafe_code, reason = "the intrinsic takes a raw pointer")]
pub(super) fn store(words: &mut [u64; 8], lanes: __m512i) {
    // SAFETY: writes the 64 bytes of `words`, at any alignment.
    unsafe { _mm512_storeu_si512(words.as_mut_ptr().cast(), lanes) }
}

/// The same word in every lane.
#[inline]
#[target_feature(enable = "avx512f")]
fn splat(word: u64) -> __m512i {
    _mm512_set1_epi64(word.cast_signed())
}

/// Looks at a bound in tests and debug builds.
#[inline]
#[target_feature(enable = "avx512f")]
fn assert_at_most(limbs: &[__m512i; 5], most: u64) {
    if cfg!(any(test, debug_assertions)) {
        for limb in limbs {
            assert!(_mm512_cmple_epu64_mask(*limb, splat(most)) == 0xff, "a limb above {most:#x}");
        }
    }
}

/// Carries once, all limbs at the same time; 2²⁵⁵ comes back as 19. `limbs`: up to [`WIDE_MAX`].
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn reduce(limbs: [__m512i; 5]) -> Field {
    assert_at_most(&limbs, WIDE_MAX);
    let mut carry = limbs;
    let mut kept = limbs;
    for k in 0..5 {
        carry[k] = _mm512_srli_epi64::<BITS>(limbs[k]);
        kept[k] = _mm512_and_si512(limbs[k], splat(MASK));
    }
    Field([
        _mm512_madd52lo_epu64(kept[0], carry[4], splat(19)),
        _mm512_add_epi64(kept[1], carry[0]),
        _mm512_add_epi64(kept[2], carry[1]),
        _mm512_add_epi64(kept[3], carry[2]),
        _mm512_add_epi64(kept[4], carry[3]),
    ])
}

/// Sums of low and of high halves to an element: `low[k]` stands for 2⁵¹ᵏ, `high[k]` for 2⁵¹ᵏ⁺⁵².
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn fold(low: [__m512i; 9], high: [__m512i; 9]) -> Field {
    let zero = _mm512_setzero_si512();
    let mut columns = [zero; 10];
    for k in 0..9 {
        columns[k] = _mm512_add_epi64(columns[k], low[k]);
        columns[k + 1] = _mm512_slli_epi64::<1>(high[k]);
    }
    let mut limbs = [zero; 5];
    for k in 0..5 {
        let above = columns[k + 5];
        let three = _mm512_add_epi64(above, _mm512_slli_epi64::<1>(above));
        let nineteen = _mm512_add_epi64(three, _mm512_slli_epi64::<4>(above));
        limbs[k] = _mm512_add_epi64(columns[k], nineteen);
    }
    reduce(limbs)
}

impl Field {
    /// The same element in every lane; its limbs up to [`LIMB_MAX`].
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(super) fn splat(limbs: &Limbs) -> Field {
        Field::from_limbs([splat(limbs[0]), splat(limbs[1]), splat(limbs[2]), splat(limbs[3]), splat(limbs[4])])
    }

    /// Eight vectors of one limb each, as [`Field::limbs`] gave them.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(super) fn from_limbs(limbs: [__m512i; 5]) -> Field {
        assert_at_most(&limbs, LIMB_MAX);
        Field(limbs)
    }

    /// The limbs, for memory.
    #[inline]
    pub(super) fn limbs(&self) -> [__m512i; 5] {
        self.0
    }

    /// Eight integers below 2²⁵⁵ (bit 255 is dropped), little endian, `bytes[i]` into lane i. Limbs below 2⁵¹, the value
    /// not below p where the bytes are not.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(super) fn from_bytes(bytes: &[[u8; 32]; 8]) -> Field {
        let mut words = [[0; 8]; 4];
        for (lane, bytes) in bytes.iter().enumerate() {
            for (word, bytes) in words.iter_mut().zip(bytes.as_chunks().0) {
                word[lane] = u64::from_le_bytes(*bytes);
            }
        }
        let [a, b, c, d] = [load(&words[0]), load(&words[1]), load(&words[2]), load(&words[3])];
        let mut limbs = [
            a,
            _mm512_or_si512(_mm512_srli_epi64::<51>(a), _mm512_slli_epi64::<13>(b)),
            _mm512_or_si512(_mm512_srli_epi64::<38>(b), _mm512_slli_epi64::<26>(c)),
            _mm512_or_si512(_mm512_srli_epi64::<25>(c), _mm512_slli_epi64::<39>(d)),
            _mm512_srli_epi64::<12>(d),
        ];
        for limb in &mut limbs {
            *limb = _mm512_and_si512(*limb, splat(MASK));
        }
        Field(limbs)
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(super) fn add(&self, other: &Field) -> Field {
        let mut limbs = self.0;
        for k in 0..5 {
            limbs[k] = _mm512_add_epi64(limbs[k], other.0[k]);
        }
        reduce(limbs)
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(super) fn sub(&self, other: &Field) -> Field {
        assert_at_most(&other.0, LIMB_MAX);
        let mut limbs = self.0;
        for k in 0..5 {
            limbs[k] = _mm512_sub_epi64(_mm512_add_epi64(limbs[k], splat(TWICE_P[k])), other.0[k]);
        }
        reduce(limbs)
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(super) fn mul(&self, other: &Field) -> Field {
        assert_at_most(&self.0, LIMB_MAX);
        assert_at_most(&other.0, LIMB_MAX);
        let mut low = [_mm512_setzero_si512(); 9];
        let mut high = low;
        for i in 0..5 {
            for j in 0..5 {
                low[i + j] = _mm512_madd52lo_epu64(low[i + j], self.0[i], other.0[j]);
                high[i + j] = _mm512_madd52hi_epu64(high[i + j], self.0[i], other.0[j]);
            }
        }
        fold(low, high)
    }

    /// `self.mul(self)` with 15 products for 25.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(super) fn square(&self) -> Field {
        assert_at_most(&self.0, LIMB_MAX);
        let mut low = [_mm512_setzero_si512(); 9];
        let mut high = low;
        for i in 0..5 {
            for j in i + 1..5 {
                low[i + j] = _mm512_madd52lo_epu64(low[i + j], self.0[i], self.0[j]);
                high[i + j] = _mm512_madd52hi_epu64(high[i + j], self.0[i], self.0[j]);
            }
        }
        for k in 0..9 {
            low[k] = _mm512_slli_epi64::<1>(low[k]);
            high[k] = _mm512_slli_epi64::<1>(high[k]);
        }
        for i in 0..5 {
            low[2 * i] = _mm512_madd52lo_epu64(low[2 * i], self.0[i], self.0[i]);
            high[2 * i] = _mm512_madd52hi_epu64(high[2 * i], self.0[i], self.0[i]);
        }
        fold(low, high)
    }

    /// Where `mask` has a bit, `other`.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(super) fn select(&self, other: &Field, mask: __mmask8) -> Field {
        let mut limbs = self.0;
        for k in 0..5 {
            limbs[k] = _mm512_mask_blend_epi64(mask, limbs[k], other.0[k]);
        }
        Field(limbs)
    }

    /// The one representative below p.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn canonical(&self) -> [__m512i; 5] {
        let mut limbs = reduce(self.0).0;
        // q: how many times p fits, the carry out of value + 19. At most 1, since the value is below 2p.
        let mut carry = splat(19);
        for limb in limbs {
            carry = _mm512_srli_epi64::<BITS>(_mm512_add_epi64(limb, carry));
        }
        // value − q·p = value + 19·q − q·2²⁵⁵: the last carry falls away.
        carry = _mm512_madd52lo_epu64(_mm512_setzero_si512(), carry, splat(19));
        for limb in &mut limbs {
            let sum = _mm512_add_epi64(*limb, carry);
            carry = _mm512_srli_epi64::<BITS>(sum);
            *limb = _mm512_and_si512(sum, splat(MASK));
        }
        limbs
    }

    /// In which lanes the element is zero.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(super) fn is_zero(&self) -> __mmask8 {
        let limbs = self.canonical();
        let mut any = limbs[0];
        for limb in limbs {
            any = _mm512_or_si512(any, limb);
        }
        _mm512_cmpeq_epi64_mask(any, _mm512_setzero_si512())
    }

    /// In which lanes the element is odd: "negative" in RFC 8032.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(super) fn is_odd(&self) -> __mmask8 {
        _mm512_test_epi64_mask(self.canonical()[0], splat(1))
    }
}

/// `x` squared `times` times.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn square_times(mut x: Field, times: u32) -> Field {
    for _ in 0..times {
        x = x.square();
    }
    x
}

/// x^((p − 5)/8) = x^(2²⁵² − 3), by way of x^(2ⁿ − 1) for n = 2, 4, 5, 10, 20, 40, 50, 100, 200, 250.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn pow_p58(x: &Field) -> Field {
    let n2 = x.square().mul(x);
    let n4 = square_times(n2, 2).mul(&n2);
    let n5 = n4.square().mul(x);
    let n10 = square_times(n5, 5).mul(&n5);
    let n20 = square_times(n10, 10).mul(&n10);
    let n40 = square_times(n20, 20).mul(&n20);
    let n50 = square_times(n40, 10).mul(&n10);
    let n100 = square_times(n50, 50).mul(&n50);
    let n200 = square_times(n100, 100).mul(&n100);
    let n250 = square_times(n200, 50).mul(&n50);
    square_times(n250, 2).mul(x)
}

#[cfg(test)]
#[path = "field_tests.rs"]
pub(super) mod tests;

#[cfg(test)]
#[path = "field_edge_tests.rs"]
pub(super) mod edge_tests;
