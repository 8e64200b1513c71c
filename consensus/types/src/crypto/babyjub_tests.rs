//! Tests of EdDSA-Poseidon; circomlibjs vectors are checked in `tests/vectors.rs`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use super::*;
use crate::Canonical;
use ark_ec::twisted_edwards::TECurveConfig;
use ark_ed_on_bn254::EdwardsConfig;
use proptest::prelude::*;

#[test]
fn constants_are_what_they_say() {
    let (a, d) = (Base::from(168_700u64), Base::from(168_696u64));
    assert_eq!(SQRT_A.square(), a);
    assert_eq!(SQRT_A * SQRT_A_INVERSE, Base::ONE);
    assert_eq!(D_OVER_A * a, d);
    assert_eq!(EdwardsConfig::COEFF_D, D_OVER_A);
    assert_eq!(EdwardsConfig::COEFF_A, Base::ONE);
    assert!(D_OVER_A.legendre().is_qnr());
    let base = base8().into_affine();
    assert!(base.is_on_curve() && base.is_in_correct_subgroup_assuming_on_curve());
    assert_eq!(a * BASE8_X.square() + BASE8_Y.square(), Base::ONE + d * BASE8_X.square() * BASE8_Y.square());
}

#[test]
fn keys_sign_and_verify() {
    let key = JubSecretKey::from_seed([7; 32]);
    let message = Field::from_u64(1234);
    let signature = key.sign(&message);
    assert!(key.public().is_valid());
    assert!(key.public().verify(&message, &signature));
    assert_eq!(JubSecretKey::from_seed([7; 32]).sign(&message), signature);
    assert_ne!(JubSecretKey::from_seed([8; 32]).public(), key.public());
    assert_ne!(key.sign(&Field::from_u64(1235)).0[..32], signature.0[..32], "a nonce is never used twice");
    assert!(!key.public().verify(&Field::from_u64(1235), &signature));
    assert_eq!(format!("{key:?}"), "JubSecretKey(…)");
}

#[test]
fn s_has_one_form() {
    let key = JubSecretKey::from_seed([9; 32]);
    let message = Field::from_u64(5);
    let mut signature = key.sign(&message);
    let mut s = little_endian(signature.0.last_chunk().unwrap());
    let carry = ark_ff::BigInteger::add_with_carry(&mut s, &Scalar::MODULUS);
    assert!(!carry);
    signature.0[32..].copy_from_slice(&to_little_endian(&s));
    assert!(!key.public().verify(&message, &signature));
}

#[test]
fn neutral_point_is_no_key_and_has_one_form() {
    let mut neutral = [0; 32];
    neutral[0] = 1;
    let key = JubPublicKey::from_bytes(neutral).unwrap();
    assert!(!key.is_valid());
    // R = 0, S = 0 would satisfy the equation for any message.
    let mut forged = [0; 64];
    forged[0] = 1;
    assert!(!key.verify(&Field::from_u64(1), &JubSignature(forged)));
    neutral[31] = 0x80;
    assert!(JubPublicKey::from_bytes(neutral).is_err());
    // y = p, and y = p + 1 for the neutral point.
    let mut p = crate::crypto::poseidon::MODULUS;
    p.reverse();
    assert!(<JubPublicKey as Canonical>::from_bytes(&p, 32).is_err());
    p[0] = 2;
    assert!(<JubPublicKey as Canonical>::from_bytes(&p, 32).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn any_changed_bit_is_refused(seed: [u8; 32], value: u64, byte in 0usize..64, bit in 0u8..8) {
        let key = JubSecretKey::from_seed(seed);
        let message = Field::from_u64(value);
        let mut signature = key.sign(&message);
        prop_assert!(key.public().verify(&message, &signature));
        signature.0[byte] ^= 1 << bit;
        prop_assert!(!key.public().verify(&message, &signature));
    }

    #[test]
    fn accepted_keys_have_one_form(bytes: [u8; 32], top in 0u8..0x40, sign: bool) {
        let mut bytes = bytes;
        bytes[31] = top | if sign { 0x80 } else { 0 };
        if let Ok(key) = <JubPublicKey as Canonical>::from_bytes(&bytes, 32) {
            prop_assert_eq!(key.to_bytes(), bytes);
            if let Some(point) = unpack(&bytes) {
                prop_assert!(point.is_on_curve());
                prop_assert_eq!(pack(&point), bytes);
                prop_assert_eq!(key.is_valid(), point.is_in_correct_subgroup_assuming_on_curve());
            } else {
                prop_assert!(!key.is_valid());
            }
        }
    }
}
