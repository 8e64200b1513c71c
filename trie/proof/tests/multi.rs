//! Multi-proofs: what they show, their one form, and every alteration refused.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

mod reference;

use std::sync::OnceLock;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use reference::{Reference, cases, flipped, random_key, trie_of};
use smt_trie_proof::{
    DecodeError, Key, KeyCountError, MULTI_PROOF_KEYS_MAX, MultiDecodeError, MultiProof, MultiProofError, RebuildError,
    Root, ShapeError, multi_proof_bytes_max, prove, prove_many,
};

/// Proves, encodes, decodes and verifies; compares with the trie.
fn check(trie: &Reference, asked: &[Key]) {
    let proof = prove_many(trie, asked).unwrap();
    let bytes = proof.encode();
    assert!(bytes.len() <= multi_proof_bytes_max(asked.len()), "{} bytes", bytes.len());
    let decoded = MultiProof::decode(&bytes).unwrap();
    assert_eq!((&decoded, decoded.encode()), (&proof, bytes));
    let verified = decoded.verify(&trie.root(), asked).unwrap();
    let mut sorted = asked.to_vec();
    sorted.sort();
    sorted.dedup();
    assert_eq!(verified.iter().map(|entry| *entry.key()).collect::<Vec<_>>(), sorted);
    for key in asked {
        let shown = verified.get(key).unwrap();
        let want = trie.get(key).map(|(value, sum)| (value.as_slice(), *sum));
        assert_eq!(shown.value().zip(shown.sum()), want);
        assert_eq!(shown.is_absent(), want.is_none());
        assert_eq!(*shown, prove(trie, key).verify(&trie.root(), key).unwrap());
    }
    assert_eq!(verified.get(&[0x77; 32]).is_some(), asked.contains(&[0x77; 32]));
}

#[test]
fn all_shapes_verify() {
    for (trie, asked) in cases() {
        check(&trie, &asked);
        let present: Vec<_> = trie.keys().copied().collect();
        check(&trie, &[present, asked.clone()].concat());
        for pair in asked.windows(2) {
            check(&trie, pair);
        }
        asked.iter().for_each(|key| check(&trie, &[*key]));
    }
}

#[test]
fn order_and_repetition_of_keys_do_not_matter() {
    let trie = trie_of((0..100).map(random_key), 0);
    let asked: Vec<_> = (90..110).map(random_key).collect();
    let proof = prove_many(&trie, &asked).unwrap();
    let mut other: Vec<_> = asked.iter().rev().copied().collect();
    other.extend(asked.iter().step_by(3));
    assert_eq!(prove_many(&trie, &other).unwrap(), proof);
    assert_eq!(proof.verify(&trie.root(), &other), proof.verify(&trie.root(), &asked));
}

/// Keys of a trie of root depth 4, and keys that differ in the first four trits and share later ones.
#[test]
fn foreign_keys_are_absent() {
    let own = |seed| {
        let mut key = random_key(seed);
        key[0] = 0x30;
        key
    };
    let trie = trie_of((0..40).map(own), 4);
    let mut asked: Vec<_> = (30..50).map(own).collect();
    asked.extend((0..60).map(random_key));
    // The same trits behind the fourth: the key plus a multiple of 3^-4.
    for shift in 1..4u128 {
        let head = u128::from_be_bytes(own(3)[..16].try_into().unwrap()).wrapping_add(u128::MAX / 81 * shift);
        let mut key = own(3);
        key[..16].copy_from_slice(&head.to_be_bytes());
        asked.push(key);
    }
    check(&trie, &asked);
}

fn accepts(bytes: &[u8], root: &Root, asked: &[Key]) -> bool {
    MultiProof::decode(bytes).is_ok_and(|proof| {
        assert_eq!(proof.encode(), bytes);
        proof.verify(root, asked).is_ok()
    })
}

#[test]
fn any_altered_bit_is_refused() {
    for (number, (trie, asked)) in cases().into_iter().enumerate() {
        let root = trie.root();
        let bytes = prove_many(&trie, &asked).unwrap().encode();
        assert!(accepts(&bytes, &root, &asked));
        for at in 0..bytes.len() {
            // All bits of the head and the codes; the long bodies one bit a byte.
            for bit in if at < 100 || bytes.len() < 1000 { 0..8 } else { at % 8..at % 8 + 1 } {
                let mut altered = bytes.clone();
                altered[at] ^= 1 << bit;
                assert!(!accepts(&altered, &root, &asked), "case {number}: bit {bit} of byte {at} of {}", bytes.len());
            }
            assert!(!accepts(&bytes[..at], &root, &asked));
        }
        assert!(!accepts(&[&bytes[..], &[0]].concat(), &root, &asked));
    }
}

#[test]
fn other_keys_or_roots_are_refused() {
    for (trie, asked) in cases() {
        let Root { hash, sum } = trie.root();
        let proof = prove_many(&trie, &asked).unwrap();
        assert!(proof.verify(&Root { hash, sum: sum ^ 1 }, &asked).is_err());
        assert!(proof.verify(&Root { hash: [3; 32], sum }, &asked).is_err());
        assert_eq!(proof.verify(&trie.root(), &[]), Err(KeyCountError { got: 0 }.into()));
        // With other keys it verifies only if it is their proof too, and then it tells the truth.
        for left_out in 0..asked.len() {
            let mut others = asked.clone();
            others[left_out] = flipped(&others[left_out], 7);
            for keys in [&asked[..left_out], &asked[left_out + 1..], &others] {
                let Ok(genuine) = prove_many(&trie, keys) else { continue };
                assert_eq!(proof.verify(&trie.root(), keys).is_ok(), genuine == proof);
            }
        }
    }
}

#[test]
fn key_count_is_bounded() {
    let trie = trie_of((0..5).map(random_key), 0);
    let mut keys: Vec<_> = (0..=MULTI_PROOF_KEYS_MAX as u32).map(random_key).collect();
    let refused = KeyCountError { got: MULTI_PROOF_KEYS_MAX + 1 };
    assert_eq!(prove_many(&trie, &keys), Err(refused));
    assert_eq!(prove_many(&trie, &[]), Err(KeyCountError { got: 0 }));
    keys.pop();
    // As many again do not count.
    keys.extend_from_within(..);
    let proof = prove_many(&trie, &keys).unwrap();
    assert_eq!(proof.verify(&trie.root(), &keys).unwrap().iter().filter(|entry| !entry.is_absent()).count(), 5);
    keys.push(random_key(u32::MAX));
    assert_eq!(proof.verify(&trie.root(), &keys), Err(refused.into()));
}

/// A multi-proof's encoding from its parts.
fn encoding(root_depth: u8, codes: &[u8], bodies: &[&[u8]]) -> Vec<u8> {
    let mut bytes = vec![root_depth];
    bytes.extend((codes.len() as u32).to_le_bytes());
    bytes.extend(codes.chunks(2).map(|pair| pair[0] | pair.get(1).unwrap_or(&0) << 4));
    bytes.extend(bodies.concat());
    bytes
}

#[test]
fn malformed_bytes_name_their_fault() {
    let decode = |bytes: &[u8]| MultiProof::decode(bytes).map(|_| ());
    let shape = |error: ShapeError| Err(MultiDecodeError::Proof(error.into()));
    assert_eq!(decode(&[0; 4]), Err(DecodeError::Truncated.into()));
    assert_eq!(decode(&[0, 255, 255, 255, 255]), Err(DecodeError::Truncated.into()));
    assert_eq!(decode(&[0, 0, 0, 0, 0]), Err(MultiDecodeError::Elements(0)));
    assert_eq!(decode(&[0, 1, 0, 0, 0, 0x10]), Err(MultiDecodeError::Elements(1)));
    assert_eq!(decode(&encoding(0, &[0], &[])), Ok(()));
    assert_eq!(decode(&encoding(1, &[0], &[])), shape(ShapeError::RootDepth(1)));
    assert_eq!(decode(&encoding(162, &[1], &[&[0, 0]])), shape(ShapeError::RootDepth(162)));
    assert_eq!(decode(&encoding(0, &[15], &[])), Err(MultiDecodeError::Code(15)));
    assert_eq!(decode(&encoding(0, &[1], &[&[0, 0, 0]])), Err(DecodeError::Trailing { left: 1 }.into()));
    // Numbers: shortest form, at most u64.
    let leaf = |sum: &[u8]| decode(&encoding(0, &[1], &[sum, &[0]]));
    assert_eq!(leaf(&[0x7f]), Ok(()));
    assert_eq!(leaf(&[0x80, 1]), Ok(()));
    assert_eq!(leaf(&[[0xff; 9].as_slice(), &[1]].concat()), Ok(()));
    for sum in [&[0x80, 0][..], &[0xff, 0x80, 0], &[[0xff; 9].as_slice(), &[2]].concat(), &[0xff; 10], &[0x80; 11]] {
        assert_eq!(leaf(sum), Err(MultiDecodeError::Number), "{sum:?}");
    }
    // Lengths, of which u16 takes some and a value none.
    assert_eq!(decode(&encoding(0, &[1], &[&[0, 0x81, 8], &[0; 1025]])), shape(ShapeError::ValueLength(1025)));
    assert_eq!(decode(&encoding(0, &[1], &[&[0, 0x80, 0x80, 4]])), shape(ShapeError::ValueLength(u16::MAX)));
    // Skips.
    let inner = |skip: &[u8]| decode(&encoding(0, &[10, 0, 0], &[skip]));
    assert_eq!(inner(&[1]), Ok(()));
    assert_eq!(inner(&[105]), Ok(()));
    assert_eq!(inner(&[0]), shape(ShapeError::SkipLength { skip: 0, depth: 0 }));
    assert_eq!(inner(&[0x80]), shape(ShapeError::SkipLength { skip: 0, depth: 0 }));
    assert_eq!(inner(&[106]), shape(ShapeError::SkipLength { skip: 106, depth: 0 }));
    assert_eq!(inner(&[0x82, 27]), Ok(()));
    assert_eq!(inner(&[0x82, 28]), shape(ShapeError::SkipTrits));
    assert_eq!(inner(&[0x85, 243]), shape(ShapeError::SkipTrits));
    // Diverging nodes and hashes.
    let diverging =
        |skip: &[u8], flags: u8, count: usize| decode(&encoding(0, &[4], &[skip, &[flags, 0], &vec![1; 32 * count]]));
    assert_eq!(diverging(&[1, 81], 3, 2), Ok(()));
    assert_eq!(diverging(&[1, 81], 4, 1), shape(ShapeError::FewChildren(0)));
    assert_eq!(diverging(&[1, 81], 8, 1), shape(ShapeError::Flags(8)));
    assert_eq!(diverging(&[[105].as_slice(), &[1; 21]].concat(), 4, 1), Ok(()));
    assert_eq!(diverging(&[[105].as_slice(), &[1; 21]].concat(), 0, 0), shape(ShapeError::FewChildren(0)));
    assert_eq!(decode(&encoding(0, &[6, 0, 0], &[&[0], &[0; 32]])), shape(ShapeError::EmptyChild));
}

#[test]
fn forms_that_do_not_fit_the_keys_are_refused() {
    // Turns 0, 1, 2 at the root.
    let keys = [[0x10; 32], [0x60; 32], [0xc0; 32]];
    let near = flipped(&keys[0], 0);
    let verify = |bytes: &[u8], asked: &[Key]| {
        MultiProof::decode(bytes).unwrap().verify(&Root { hash: [9; 32], sum: 9 }, asked).map(|_| ())
    };
    let form = |depth| Err(MultiProofError::Form { depth });
    let (leaf, hash) = (&[1, 0][..], &[5; 32][..]);
    // A leaf of the only key where there are two, and the other way round; an index beyond the keys.
    assert_eq!(verify(&encoding(0, &[1], &[leaf]), &[keys[0], near]), form(0));
    assert_eq!(verify(&encoding(0, &[2], &[&[0], leaf]), &keys[..1]), form(0));
    assert_eq!(verify(&encoding(0, &[2], &[&[2], leaf]), &keys[..2]), form(0));
    // Midstate for child 0, siblings for child 2, more siblings than children.
    assert_eq!(verify(&encoding(0, &[9, 1], &[&[0], hash, leaf]), &keys[..1]), form(0));
    assert_eq!(verify(&encoding(0, &[8, 1], &[&[0], hash, hash, leaf]), &keys[2..]), form(0));
    assert_eq!(verify(&encoding(0, &[7, 1, 1], &[&[0], hash, leaf, leaf]), &keys[..2]), form(0));
    assert_eq!(verify(&encoding(0, &[6, 1, 1, 1], &[&[0], hash, leaf, leaf, leaf]), &keys), form(0));
    // Skipped trits sent where the keys share them, not sent where they do not, or those of no key.
    assert_eq!(verify(&encoding(0, &[13, 1], &[&[0x81, 0, 0], hash, hash, leaf]), &keys[..1]), form(0));
    assert_eq!(verify(&encoding(0, &[13, 1], &[&[1, 0], hash, hash, leaf]), &keys), form(0));
    assert_eq!(verify(&encoding(0, &[13, 1], &[&[0x82, 27, 0], hash, hash, leaf]), &keys[1..]), form(0));
    // Ends that do not say what they must.
    let other = |key: &Key| encoding(0, &[3], &[key, leaf]);
    assert_eq!(verify(&other(&keys[1]), &keys), Err(MultiProofError::OtherLeafUnfit { depth: 0 }));
    let diverging = encoding(0, &[4], &[&[1, 81, 3, 0], hash, hash]);
    assert_eq!(verify(&diverging, &keys), Err(MultiProofError::NotDiverging { depth: 0 }));
    // Too few elements, too many.
    for (codes, got) in [(&[8][..], 1), (&[8, 0, 0], 3)] {
        let refused = verify(&encoding(0, codes, &[&[0], hash, hash]), &keys[..1]);
        assert_eq!(refused, Err(MultiProofError::Elements { got }));
    }
    // A skip past the path's end; children too few; sums too large.
    let deep = encoding(100, &[13, 1], &[&[62, 0], hash, hash, leaf]);
    assert!(matches!(verify(&deep, &keys[..1]), Err(MultiProofError::Shape(ShapeError::SkipLength { .. }))));
    let few = [encoding(0, &[5, 0], &[]), encoding(0, &[5, 1], &[leaf]), encoding(0, &[10, 1], &[&[105], leaf])];
    for bytes in few {
        assert!(matches!(verify(&bytes, &keys[..1]), Err(MultiProofError::Rebuild(_))));
    }
    // As many as the keys could lead to, at half a byte each: refused at the first.
    let one_child_each = encoding(0, &[5; 162], &[]);
    assert_eq!(verify(&one_child_each, &keys[..1]), Err(RebuildError::FewChildren(0).into()));
    let max = [[0xff; 9].as_slice(), &[1, 0]].concat();
    let sums = encoding(0, &[7, 1], &[&[1], hash, &max]);
    assert!(matches!(verify(&sums, &keys[..1]), Err(MultiProofError::Rebuild(_))));
    let mismatch = verify(&encoding(0, &[7, 1], &[&[0], hash, &max]), &keys[..1]);
    assert!(matches!(mismatch, Err(MultiProofError::RootMismatch { .. })));
}

/// 64-byte values and sums below 2^20, as accounts have them.
#[test]
fn many_keys_take_less_than_half_of_their_single_proofs() {
    let content = |key: Key| (key, ([key, key].concat(), u64::from_le_bytes(key[..8].try_into().unwrap()) % (1 << 20)));
    let trie = Reference::new(0, (0..50_000).map(random_key).map(content));
    let asked: Vec<_> = (0..1000).map(random_key).collect();
    let values = 64 * asked.len();
    let multi = prove_many(&trie, &asked).unwrap().encode().len() - values;
    let singles = asked.iter().map(|key| prove(&trie, key).encode().len()).sum::<usize>() - values;
    // 28 % here; 36 % of 200 000 keys and 42 % of 1 000 000, where the paths share less.
    assert!(multi * 100 < singles * 30, "{multi} bytes, the single proofs have {singles}");
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 200,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(1),
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_trie_any_keys(
        tails in prop::collection::vec((0usize..33, any::<Key>()), 0..60),
        asked in prop::collection::vec((0usize..33, any::<Key>()), 1..40),
        some in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        root_depth in 0u8..3,
    ) {
        // Keys that share up to all bytes with one another, and so up to 161 trits.
        let skew = |(cut, mut key): (usize, Key)| {
            key[..cut].copy_from_slice(&[0x21; 32][..cut]);
            key
        };
        let near = |key: &Key| [flipped(key, 0), flipped(key, 3), flipped(key, 90)];
        // All keys of a trie share its first trits: this byte has two of them.
        let keys: Vec<_> = tails.into_iter().map(skew).map(|mut key| { key[0] = 0x21; key }).collect();
        let trie = trie_of(keys.iter().copied(), root_depth);
        let mut asked: Vec<_> = asked.into_iter().map(skew).collect();
        if !keys.is_empty() {
            for index in some {
                let key = index.get(&keys);
                asked.push(*key);
                asked.extend(near(key));
            }
        }
        check(&trie, &asked);
    }

    /// Several bytes changed, cut out or taken from another trie's proof: only the genuine bytes verify.
    #[test]
    fn altered_bytes_show_nothing(
        case: prop::sample::Index,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0u8..4), 1..6),
    ) {
        static CASES: OnceLock<Vec<(Reference, Vec<Key>)>> = OnceLock::new();
        let (trie, asked) = case.get(CASES.get_or_init(cases));
        let genuine = prove_many(trie, asked).unwrap().encode();
        let other = prove_many(&trie_of((0..10).map(random_key), 0), asked).unwrap().encode();
        let mut bytes = genuine.clone();
        for (at, byte, kind) in changes {
            let at = at.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => bytes[at] = byte % 16,
                2 => bytes.insert(at, byte),
                _ => bytes.splice(at.., other[at.min(other.len())..].iter().copied()).for_each(drop),
            }
            if bytes.is_empty() {
                break;
            }
        }
        prop_assert_eq!(accepts(&bytes, &trie.root(), asked), bytes == genuine);
    }

    #[test]
    fn foreign_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..300), codes in 0u32..20) {
        let trie = trie_of((0..10).map(random_key), 0);
        let asked: Vec<_> = (0..5).map(random_key).collect();
        prop_assert!(!accepts(&bytes, &trie.root(), &asked));
        let bytes = [&[0], &codes.to_le_bytes()[..], &bytes].concat();
        prop_assert!(!accepts(&bytes, &trie.root(), &asked));
    }
}
