//! The field beside arithmetic bit by bit. The limbs drawn reach the bounds that the module head names.
#![allow(clippy::unwrap_used, unsafe_code, reason = "tests")]

use super::super::available;
use super::*;
use proptest::prelude::*;

/// Numbers of 320 bits at most, little endian: what five limbs can stand for.
type Wide = [u64; 5];

const P: Wide = [u64::MAX - 18, u64::MAX, u64::MAX, u64::MAX >> 1, 0];

fn add(a: &Wide, b: &Wide) -> Wide {
    let (mut sum, mut carry) = ([0; 5], 0u128);
    for i in 0..5 {
        carry += u128::from(a[i]) + u128::from(b[i]);
        sum[i] = carry as u64;
        carry >>= 64;
    }
    assert_eq!(carry, 0);
    sum
}

/// mod p, by taking off p·2ⁿ.
fn modulo(mut a: Wide) -> Wide {
    for n in (0..60).rev() {
        let mut multiple = P;
        (0..n).for_each(|_| multiple = add(&multiple, &multiple));
        if a.iter().rev().ge(multiple.iter().rev()) {
            let mut borrow = 0i128;
            for i in 0..5 {
                borrow += i128::from(a[i]) - i128::from(multiple[i]);
                a[i] = borrow as u64;
                borrow >>= 64;
            }
        }
    }
    a
}

fn times(a: &Wide, b: &Wide) -> Wide {
    (0..320).rev().fold([0; 5], |sum, bit| {
        let doubled = modulo(add(&sum, &sum));
        if b[bit / 64] >> (bit % 64) & 1 == 1 { modulo(add(&doubled, a)) } else { doubled }
    })
}

fn value(limbs: &Limbs) -> Wide {
    let mut value = [0; 5];
    for limb in limbs.iter().rev() {
        (0..51).for_each(|_| value = add(&value, &value));
        value = add(&value, &[*limb, 0, 0, 0, 0]);
    }
    modulo(value)
}

#[target_feature(enable = "avx512f,avx512ifma")]
pub(in super::super) fn of_lanes(lanes: &[Limbs; 8]) -> Field {
    let mut rows = [[0; 8]; 5];
    for (lane, limbs) in lanes.iter().enumerate() {
        for k in 0..5 {
            rows[k][lane] = limbs[k];
        }
    }
    Field([load(&rows[0]), load(&rows[1]), load(&rows[2]), load(&rows[3]), load(&rows[4])])
}

#[target_feature(enable = "avx512f,avx512ifma")]
pub(in super::super) fn to_lanes(limbs: [__m512i; 5]) -> [Limbs; 8] {
    let mut lanes = [[0; 5]; 8];
    for k in 0..5 {
        let mut row = [0; 8];
        store(&mut row, limbs[k]);
        for lane in 0..8 {
            lanes[lane][k] = row[lane];
        }
    }
    lanes
}

#[target_feature(enable = "avx512f,avx512ifma")]
fn agrees(a: &[Limbs; 8], b: &[Limbs; 8]) {
    let (x, y) = (of_lanes(a), of_lanes(b));
    let results = [x.add(&y), x.sub(&y), x.mul(&y), x.square()];
    for (which, result) in results.iter().enumerate() {
        let loose = to_lanes(result.limbs());
        let strict = to_lanes(result.canonical());
        for lane in 0..8 {
            let (a, b) = (value(&a[lane]), value(&b[lane]));
            let got = value(&loose[lane]);
            assert!(loose[lane].iter().all(|limb| *limb < (1 << 51) + (1 << 15)), "the invariant");
            assert!(strict[lane].iter().all(|limb| *limb < 1 << 51));
            assert_eq!(value(&strict[lane]), got);
            match which {
                0 => assert_eq!(got, modulo(add(&a, &b))),
                1 => assert_eq!(modulo(add(&got, &b)), a),
                2 => assert_eq!(got, times(&a, &b)),
                _ => assert_eq!(got, times(&a, &a)),
            }
            assert_eq!(result.is_zero() >> lane & 1 == 1, got == [0; 5]);
            assert_eq!(result.is_odd() >> lane & 1 == 1, got[0] & 1 == 1);
        }
    }
}

fn limb() -> impl Strategy<Value = u64> {
    let top = (1u64 << 51) + (1 << 15) - 1;
    prop_oneof![Just(0), Just(1), Just(MASK - 18), Just(MASK), Just(MASK + 1), Just(top), 0..=top]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn field_agrees_with_slow_arithmetic(a in prop::array::uniform8(prop::array::uniform5(limb())), b in prop::array::uniform8(prop::array::uniform5(limb()))) {
        if available() {
            // SAFETY: the processor can, as just seen.
            unsafe { agrees(&a, &b) }
        }
    }
}

/// 0, p, 2p as sums of limbs; the greatest limbs times themselves.
#[test]
fn borders() {
    if !available() {
        return;
    }
    let top = [(1 << 51) + (1 << 15) - 1; 5];
    let p = [MASK - 18, MASK, MASK, MASK, MASK];
    let lanes = [
        [0; 5],
        p,
        TWICE_P.map(|limb| limb / 2),
        [1, 0, 0, 0, 0],
        top,
        [MASK; 5],
        [MASK - 19, MASK, MASK, MASK, MASK],
        [MASK - 17, MASK, MASK, MASK, MASK],
    ];
    // SAFETY: the processor can, as just seen.
    unsafe {
        agrees(&lanes, &lanes);
        agrees(&[top; 8], &lanes);
        assert_eq!(of_lanes(&lanes).is_zero(), 0b0000_0111);
    }
}
