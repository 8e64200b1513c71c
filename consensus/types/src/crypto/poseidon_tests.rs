//! Tests of Poseidon; circomlibjs vectors are checked in `tests/vectors.rs`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use super::*;
use crate::Canonical;
use ark_ff::{AdditiveGroup, Field as _};
use proptest::prelude::*;

/// Published in circomlib's and circomlibjs' own tests.
#[test]
fn circomlib_published_hashes() {
    let numbers = |n: u64| (1..=n).map(Field::from_u64).collect::<Vec<_>>();
    let two: [Field; 2] = numbers(2).try_into().unwrap();
    let four: [Field; 4] = numbers(4).try_into().unwrap();
    let six: [Field; 6] = numbers(6).try_into().unwrap();
    let decimal = |text| Field::from_decimal(text).unwrap();
    let want = "7853200120776062878684798364095072458815029376092732009249414926327459813530";
    assert_eq!(poseidon(&two), decimal(want));
    assert_eq!(poseidon(&two).to_decimal(), want);
    let want = "18821383157269793795438455681495246036402687001665670618754263018637548127333";
    assert_eq!(poseidon(&four), decimal(want));
    let want = "20400040500897583745843009878988256314335038853985262692600694741116813247201";
    assert_eq!(poseidon(&six), decimal(want));
}

#[test]
fn numbers_not_below_the_modulus_are_refused() {
    let mut largest = MODULUS;
    largest[31] = 0;
    assert_eq!(Field::from_bytes(largest).unwrap().to_ark(), -Fr::ONE);
    for bytes in [MODULUS, [0xff; 32]] {
        assert!(Field::from_bytes(bytes).is_err());
        assert!(<Field as Canonical>::from_bytes(&bytes, 32).is_err());
    }
    let p = "21888242871839275222246405745257275088548364400416034343698204186575808495617";
    for bad in [p, "", "00", "01", "-1", "+1", " 1", "1e3", &"9".repeat(77), &"1".repeat(500)] {
        assert_eq!(Field::from_decimal(bad), None, "{bad}");
    }
    assert_eq!(Field::from_decimal("0"), Some(Field::ZERO));
    assert_eq!(Field::ZERO.to_ark(), Fr::ZERO);
}

#[test]
fn halves_of_a_digest() {
    let mut digest = Digest([0; 32]);
    (digest.0[15], digest.0[31]) = (7, 9);
    assert_eq!(Field::from_digest_halves(&digest), (Field::from_u64(7), Field::from_u64(9)));
    let top = Field::from_u128(u128::MAX);
    assert_eq!(Field::from_digest_halves(&Digest([0xff; 32])), (top, top));
}

#[test]
fn lists_are_folded_with_their_length_first() {
    let list: Vec<Field> = (1..=23).map(Field::from_u64).collect();
    let fold = |state: Field, chunk: &[Field]| {
        let mut elements = vec![state.to_ark()];
        elements.extend(chunk.iter().map(Field::to_ark));
        Field::from_ark(&permute(&elements))
    };
    let count = Field::from_u64(23);
    assert_eq!(poseidon_many(&list), fold(fold(fold(count, &list[..11]), &list[11..22]), &list[22..]));
    assert_eq!(poseidon_many(&[]), poseidon(&[Field::ZERO]));
    assert_eq!(poseidon_many(&list[..1]), poseidon(&[Field::from_u64(1), list[0]]));
    let all: std::collections::BTreeSet<Field> = (0..=23).map(|n| poseidon_many(&list[..n])).collect();
    assert_eq!(all.len(), 24);
}

proptest! {
    #[test]
    fn accepted_elements_have_one_form(bytes: [u8; 32], low in 0u8..0x40) {
        let mut bytes = bytes;
        bytes[0] = low;
        if let Ok(field) = <Field as Canonical>::from_bytes(&bytes, 32) {
            prop_assert_eq!(field.to_bytes(), bytes);
            prop_assert_eq!(Field::from(Fr::from(field)), field);
            prop_assert_eq!(field.to_ark(), Fr::from_be_bytes_mod_order(&bytes));
            prop_assert_eq!(Field::from_decimal(&field.to_decimal()), Some(field));
        } else {
            prop_assert!(bytes >= MODULUS);
        }
    }

    #[test]
    fn numbers_keep_their_value(value: u128) {
        prop_assert_eq!(Field::from_u128(value).to_ark(), Fr::from(value));
    }
}
