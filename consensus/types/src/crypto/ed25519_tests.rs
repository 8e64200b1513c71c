//! Tests of ed25519; the ZIP-215 edge cases are vectors, checked in `tests/vectors.rs`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "tests")]

use super::*;
use crate::Canonical;
use proptest::prelude::*;

fn bytes<const N: usize>(text: &str) -> [u8; N] {
    hex::decode(text).unwrap().try_into().unwrap()
}

fn signed(count: u8) -> Vec<(PublicKey, Digest, Signature)> {
    let sign = |i: u8| {
        let key = SecretKey::from_seed([i % 7; 32]);
        let digest = crate::hash::hash(Domain::Payment, &[i]);
        (key.public(), digest, key.sign(&digest.0))
    };
    (0..count).map(sign).collect()
}

/// RFC 8032, section 7.1, tests 1 to 3.
#[test]
fn rfc_8032_signatures() {
    for (seed, public, message, signature) in [
        (
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ),
        (
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ),
        (
            "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
            "af82",
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
        ),
    ] {
        let key = SecretKey::from_seed(bytes(seed));
        let message = hex::decode(message).unwrap();
        assert_eq!(key.public().as_bytes(), &bytes::<32>(public));
        assert_eq!(key.sign(&message), Signature(bytes(signature)));
        assert_eq!(key.seed(), &bytes::<32>(seed));
        assert!(key.public().verify(&message, &key.sign(&message)));
    }
}

#[test]
fn all_14_small_order_encodings_are_weak_and_are_points() {
    let mut seen = std::collections::BTreeSet::new();
    for y in SMALL_ORDER_Y {
        for sign in [0, 0x80] {
            let mut encoding = y;
            encoding[31] |= sign;
            assert!(seen.insert(encoding));
            assert_eq!(PublicKey::from_bytes(encoding), Err(DecodeError::WeakKey));
            assert_eq!(<PublicKey as Canonical>::from_bytes(&encoding, 32), Err(DecodeError::WeakKey));
            // The library would take every one of them, and accept R = this point with S = 0 for any message.
            assert!(VerificationKey::try_from(encoding).is_ok());
            let mut forged = [0; 64];
            forged[..32].copy_from_slice(&encoding);
            let forged = ed25519_zebra::Signature::from_bytes(&forged);
            assert!(VerificationKey::try_from(encoding).unwrap().verify(&forged, b"anything").is_ok());
        }
    }
    assert_eq!(seen.len(), 14);
}

#[test]
fn bytes_that_are_no_point_verify_nothing() {
    let mut encoding = [0; 32];
    encoding[0] = 2;
    let key = PublicKey::from_bytes(encoding).unwrap();
    assert!(!key.is_point());
    assert!(!key.verify(b"", &Signature([0; 64])));
    let mut items = signed(3);
    items[1].0 = key;
    assert!(!verify_batch(&items));
    assert_eq!(verify_each(&items), [true, false, true]);
}

#[test]
fn verify_each_finds_every_false_signature() {
    assert!(verify_batch(&[]) && verify_each(&[]).is_empty());
    for count in [1, 2, 31, 32, 33, 100] {
        let items = signed(count);
        assert!(verify_batch(&items));
        for wrong in [0, count / 2, count - 1] {
            let mut items = items.clone();
            let place = usize::from(wrong);
            items[place].2.0[40] ^= 1;
            assert!(!verify_batch(&items));
            let want: Vec<bool> = (0..items.len()).map(|i| i != place).collect();
            assert_eq!(verify_each(&items), want);
            for cache in [KeyCache::new(0), KeyCache::new(4)] {
                assert_eq!([(); 2].map(|()| verify_each_cached(&items, &cache)), [want.clone(), want.clone()]);
            }
        }
    }
}

#[test]
fn signatures_that_cancel_each_other_are_refused() {
    // Without coefficients the two errors in S would add up to nothing.
    let mut items = signed(2);
    let (first, second) = (items[0].2.0[32], items[1].2.0[32]);
    assert!(first < 255 && second > 0, "the seeds were chosen so that neither step carries");
    items[0].2.0[32] = first.wrapping_add(1);
    items[1].2.0[32] = second.wrapping_sub(1);
    assert!(!verify_batch(&items));
    assert_eq!(verify_each(&items), [false, false]);
}

#[test]
fn secrets_are_not_shown() {
    let key = SecretKey::from_seed([0xab; 32]);
    assert_eq!(format!("{key:?}"), "SecretKey(…)");
    assert_eq!(key.clone().public(), key.public());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn batch_and_single_agree_on_changed_signatures(count in 2u8..20, place: prop::sample::Index, byte in 0usize..96, flip in 1u8..) {
        let mut items = signed(count);
        let at = place.index(items.len());
        if byte < 64 {
            items[at].2.0[byte] ^= flip;
        } else {
            items[at].1.0[byte - 64] ^= flip;
        }
        let single: Vec<bool> = items.iter().map(|(key, digest, signature)| key.verify(&digest.0, signature)).collect();
        prop_assert_eq!(verify_batch(&items), single.iter().all(|valid| *valid));
        prop_assert!(!single[at]);
        prop_assert_eq!(verify_each(&items), single);
    }

    #[test]
    fn accepted_keys_have_one_form(encoding: [u8; 32]) {
        if let Ok(key) = <PublicKey as Canonical>::from_bytes(&encoding, 32) {
            prop_assert_eq!(key.to_bytes(), encoding);
        }
    }
}
