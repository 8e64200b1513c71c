//! Every engine beside single checks, on signatures and keys with parts of small order.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "tests")]

use super::*;
use crate::crypto::ed25519::{SMALL_ORDER_Y, Signature};
use crate::{Digest, Domain};
use curve25519_dalek::constants::EIGHT_TORSION;
use proptest::prelude::*;

fn engines() -> Vec<Engine> {
    #[cfg(target_arch = "x86_64")]
    if lanes::available() {
        return vec![Engine::Portable, Engine::Lanes(4), Engine::Lanes(8)];
    }
    vec![Engine::Portable]
}

/// A signature under a·B + T₁ with R = r·B + T₂: valid whatever the small-order parts.
fn shifted(seed: u64, key_torsion: usize, nonce_torsion: usize) -> Item {
    let scalar = |tag: u8| {
        let hash = blake3::Hasher::new().update(&seed.to_le_bytes()).update(&[tag]).finalize();
        Scalar::from_bytes_mod_order(*hash.as_bytes())
    };
    let (a, r) = (scalar(0), scalar(1));
    let key = PublicKey((EdwardsPoint::mul_base(&a) + EIGHT_TORSION[key_torsion]).compress().0);
    let nonce = (EdwardsPoint::mul_base(&r) + EIGHT_TORSION[nonce_torsion]).compress().0;
    let digest = crate::hash::hash(Domain::Payment, &seed.to_le_bytes());
    let s = r + challenge(&nonce, &key, &digest.0) * a;
    let mut signature = [nonce, s.to_bytes()].as_flattened().to_vec();
    (key, digest, Signature(std::mem::take(&mut signature).try_into().unwrap()))
}

fn agree(items: &[Item]) -> Result<(), TestCaseError> {
    let single: Vec<bool> = items.iter().map(|(key, digest, signature)| key.verify(&digest.0, signature)).collect();
    let caches = [KeyCache::new(0), KeyCache::new(1), KeyCache::new(7), KeyCache::new(1024)];
    for cache in &caches {
        // Cold, then warm.
        for _ in 0..2 {
            for ((key, digest, signature), valid) in items.iter().zip(&single) {
                prop_assert_eq!(key.verify_cached(&digest.0, signature, cache), *valid);
            }
        }
    }
    for engine in engines() {
        for cache in caches.iter().map(Some).chain([None, Some(&KeyCache::new(64))]) {
            prop_assert_eq!(holds(engine, items, cache), single.iter().all(|valid| *valid), "{:?}", engine);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn valid_whatever_the_small_order_parts(seeds in prop::collection::vec((0u64..40, 0usize..8, 0usize..8), 0..40)) {
        let items: Vec<Item> = seeds.into_iter().map(|(seed, key, nonce)| shifted(seed, key, nonce)).collect();
        for (key, digest, signature) in &items {
            prop_assert!(key.verify(&digest.0, signature));
        }
        agree(&items)?;
    }

    #[test]
    fn every_engine_says_what_single_checks_say(
        seeds in prop::collection::vec((0u64..40, 0usize..8, 0usize..8), 1..30),
        place: prop::sample::Index, byte in 0usize..128, flip in 1u8..,
    ) {
        let mut items: Vec<Item> = seeds.into_iter().map(|(seed, key, nonce)| shifted(seed, key, nonce)).collect();
        let item = place.get(&items);
        let mut bytes = [item.0.0.as_slice(), &item.1.0, &item.2.0].concat();
        bytes[byte] ^= flip;
        let changed = (PublicKey(bytes[..32].try_into().unwrap()), Digest(bytes[32..64].try_into().unwrap()), Signature(bytes[64..].try_into().unwrap()));
        let index = place.index(items.len());
        items[index] = changed;
        agree(&items)?;
    }

    /// Any bytes: half of them are no points.
    #[test]
    fn every_engine_refuses_what_is_no_point(key: [u8; 32], r: [u8; 32], good in 0u64..9) {
        let item = (PublicKey(key), Digest([1; 32]), Signature([r, [0; 32]].as_flattened().try_into().unwrap()));
        agree(&[item])?;
        let mut items: Vec<Item> = (0..good).map(|seed| shifted(seed, 0, 0)).collect();
        items.push(item);
        agree(&items)?;
    }
}

/// A and R in every encoding of every small-order point, also those with y ≥ p and with the sign of x = 0: with S = 0
/// all are valid. Such keys are refused when decoded; the equation is to be right without that.
#[test]
fn small_order_points_in_every_encoding() {
    let mut encodings = Vec::new();
    for y in SMALL_ORDER_Y {
        for sign in [0, 0x80] {
            let mut encoding = y;
            encoding[31] |= sign;
            encodings.push(encoding);
        }
    }
    let mut items = Vec::new();
    for key in &encodings {
        for nonce in &encodings {
            let signature = Signature([*nonce, [0; 32]].as_flattened().try_into().unwrap());
            items.push((PublicKey(*key), Digest([3; 32]), signature));
        }
    }
    agree(&items).unwrap();
    for engine in engines() {
        assert!(holds(engine, &items, None));
        items[77].2.0[32] = 1;
        assert!(!holds(engine, &items, None));
        items[77].2.0[32] = 0;
    }
}

/// y in p..2²⁵⁵, with both signs: points and others, each read as dalek reads it.
#[test]
fn encodings_beyond_p() {
    for low in 0xed..=0xff {
        for last in [0x7f, 0xff] {
            let mut r = [0xff; 32];
            (r[0], r[31]) = (low, last);
            let mut item = shifted(5, 0, 0);
            item.2.0[..32].copy_from_slice(&r);
            agree(&[item, shifted(1, 2, 3)]).unwrap();
            // S·B = k·A + R has a solution for A = −R/k: here R is the key and the nonce at once, S = 0, k made 0 mod 8
            // by the factor only where R is of small order.
            agree(&[(PublicKey(r), Digest([9; 32]), Signature([r, [0; 32]].as_flattened().try_into().unwrap()))])
                .unwrap();
        }
    }
}

#[test]
fn one_false_signature_among_many() {
    let mut items: Vec<Item> = (0..300).map(|seed| shifted(seed, (seed % 8) as usize, 0)).collect();
    for engine in engines() {
        assert!(holds(engine, &items, None));
        for place in [0, 7, 8, 150, 299] {
            items[place].1.0[0] ^= 1;
            assert!(!holds(engine, &items, None), "{engine:?} {place}");
            items[place].1.0[0] ^= 1;
        }
    }
}

/// A sum that is off by one point of large order at exactly one lane, window or digit would show here.
#[cfg(target_arch = "x86_64")]
#[test]
fn lanes_sum_as_dalek_does() {
    if !lanes::available() {
        return;
    }
    let point = EdwardsPoint::mul_base(&Scalar::from(7u8)) + EIGHT_TORSION[3];
    let scalars = (0..256).map(|bit| {
        let mut bytes = [0; 32];
        bytes[bit / 8] = 1 << (bit % 8);
        Scalar::from_bytes_mod_order(bytes)
    });
    let special = [
        Scalar::ZERO,
        -Scalar::ONE,
        Scalar::from_bytes_mod_order([0x80; 32]),
        Scalar::from_bytes_mod_order([0x7f; 32]),
    ];
    for scalar in scalars.chain(special) {
        let product = (point * scalar).compress().0;
        for width in [4, 8] {
            let term = |point: [u8; 32], scalar: Scalar| (point, lanes::biased(scalar.as_bytes(), width));
            let long = [term(point.compress().0, scalar), term(product, -Scalar::ONE)];
            assert!(lanes::is_small(width, &long, &[]));
            let off = [long[0], long[1], term(ED25519_BASEPOINT_COMPRESSED.0, Scalar::ONE)];
            assert!(!lanes::is_small(width, &off, &[]));
        }
    }
    for bits in (0..128).map(|bit| 1u128 << bit).chain([0, u128::MAX, 0x8080 << 40]) {
        for width in [4, 8] {
            let engine = Engine::Lanes(width);
            let scalar = Scalar::from(bits) - Scalar::from(engine.bias());
            let short = [((point).compress().0, lanes::words(bits))];
            let long = [(point.compress().0, lanes::biased((-scalar).as_bytes(), width))];
            assert!(lanes::is_small(width, &long, &short));
            assert!(!lanes::is_small(width, &[], &short) || scalar == Scalar::ZERO);
        }
    }
}

#[test]
fn the_cache_is_bounded_and_true() {
    let cache = KeyCache::new(3);
    let keys: Vec<PublicKey> = (0..50).map(|seed| shifted(seed, 0, 0).0).collect();
    let mut none = [0; 32];
    none[0] = 2;
    for _ in 0..3 {
        for key in keys.iter().chain([&PublicKey(none)]) {
            assert_eq!(cache.point(key), key.decompress());
            assert_eq!(cache.point(key), key.decompress());
        }
    }
    assert_eq!(cache.point(&PublicKey(none)), None);
    assert_eq!(format!("{cache:?}"), "KeyCache of 3 keys");
}

/// Fiat–Shamir: a bit changed anywhere in the batch, an item moved, left out or repeated draws all coefficients anew.
#[test]
fn coefficients_are_bound_to_every_byte() {
    let drawn = |items: &[Item]| -> Vec<u128> {
        Sum::of(items, 0).map(|sum| sum.nonces.iter().map(|(_, bits)| *bits).collect()).unwrap()
    };
    let items: Vec<Item> = (0..3).map(|seed| shifted(seed, 1, 2)).collect();
    let mut seen: std::collections::BTreeSet<u128> = drawn(&items).into_iter().collect();
    assert_eq!(seen.len(), 3);
    let mut anew = |items: &[Item]| {
        for bits in drawn(items) {
            assert!(seen.insert(bits), "a coefficient that was drawn for another batch");
        }
    };
    for place in 0..3 {
        for byte in 0..128 {
            let mut items = items.clone();
            let (key, digest, signature) = &mut items[place];
            match byte {
                0..32 => key.0[byte] ^= 1,
                32..64 => digest.0[byte - 32] ^= 1,
                // The lowest bits of S: it stays below ℓ.
                _ => signature.0[byte - 64] ^= 1,
            }
            anew(&items);
        }
    }
    anew(&[items[1], items[0], items[2]]);
    anew(&items[..2]);
    anew(&[items[0], items[1], items[2], items[2]]);
}

/// Engines, widths and the order of the items do not change the answer; all four classes of fault, each at each place.
#[test]
fn faults_at_every_lane() {
    let good: Vec<Item> = (0..19).map(|seed| shifted(seed % 13, (seed % 8) as usize, (seed / 3) as usize)).collect();
    let mut none = [0; 32];
    none[0] = 2;
    for place in 0..good.len() {
        for fault in 0..5 {
            let mut items = good.clone();
            let (key, digest, signature) = &mut items[place];
            match fault {
                0 => digest.0[31] ^= 0x80,
                1 => signature.0[..32].copy_from_slice(&none),
                2 => *key = PublicKey(none),
                // S + ℓ: the same scalar, but not below ℓ.
                3 => {
                    let order = (-Scalar::ONE).to_bytes();
                    let mut carry = 1;
                    for (byte, of_order) in signature.0[32..].iter_mut().zip(order) {
                        carry += u16::from(*byte) + u16::from(of_order);
                        *byte = carry.to_le_bytes()[0];
                        carry >>= 8;
                    }
                }
                // −R for R.
                _ => signature.0[31] ^= 0x80,
            }
            assert!(!key.verify(&digest.0, signature), "{place} {fault}");
            for engine in engines() {
                assert!(!holds(engine, &items, None), "{engine:?} {place} {fault}");
                items.rotate_left(5);
            }
        }
    }
    for engine in engines() {
        assert!(holds(engine, &good, None));
    }
}
