//! Honest proofs answer, altered, misdirected and malformed ones fail; openings show every sum.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

mod reference;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use reference::{Reference, cases, flipped, random_key, trie_of};
use smt_trie_proof::{
    AuditError, DecodeError, EMPTY_HASH, Key, KeyPath, Nodes, PROOF_BYTES_MAX, Proof, ProofError, Root, Slot,
    open_sums, prove, verify_batch,
};

/// What a proof of a key has to show, and by what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Shown {
    Present,
    Absent(&'static str),
}

/// Walks the trie as the format says, without the code under test.
fn shown(trie: &Reference, key: &Key) -> Shown {
    let path = reference::trits(key);
    let mut at = trie.root_slot();
    loop {
        match trie.open(at) {
            Slot::Empty => return Shown::Absent("empty trie"),
            Slot::Leaf(leaf) if leaf.key == key => return Shown::Present,
            Slot::Leaf(_) => return Shown::Absent("another leaf"),
            Slot::Inner(inner) => {
                let own = smt_trie_proof::Skip::of_path(&KeyPath::new(key), inner.slot, inner.skip.len());
                if own != inner.skip {
                    return Shown::Absent("skip");
                }
                let turn = path[usize::from(inner.slot + inner.skip.len())];
                if inner.children[usize::from(turn)] == EMPTY_HASH {
                    return Shown::Absent("empty slot");
                }
                at = trie.child(at, turn);
            }
        }
    }
}

#[test]
fn proofs_of_presence_and_all_absences_answer() {
    let mut counts = std::collections::BTreeMap::new();
    for (trie, asked) in cases() {
        for key in trie.keys().chain(&asked) {
            let proof = prove(&trie, key);
            let bytes = proof.encode();
            assert!(bytes.len() <= PROOF_BYTES_MAX);
            assert_eq!(Proof::decode(&bytes).as_ref(), Ok(&proof));
            let verified = proof.verify(&trie.root(), key).unwrap();
            assert_eq!(verified.key(), key);
            assert_eq!(
                verified.value().zip(verified.sum()),
                trie.get(key).map(|(value, sum)| (value.as_slice(), *sum))
            );
            let shown = shown(&trie, key);
            assert_eq!(verified.is_absent(), shown != Shown::Present);
            *counts.entry(shown).or_insert(0) += 1;
        }
    }
    assert!(counts.values().all(|count| *count >= 3) && counts.len() == 5, "{counts:?}");
}

#[test]
fn a_batch_answers_as_its_proofs_do_alone() {
    let cases = cases();
    let big = trie_of((0..2000).map(random_key), 0);
    let (wrong, nowhere) = (Root { sum: 1, ..big.root() }, Root { hash: [1; 32], sum: 1 });
    let mut proofs: Vec<(Root, Key, Proof)> = Vec::new();
    for (trie, asked) in &cases {
        for (key, other) in asked.iter().zip(asked.iter().rev()) {
            let proof = prove(trie, key);
            proofs.push((trie.root(), *key, proof.clone()));
            proofs.push((trie.root(), *other, proof.clone()));
            proofs.push((nowhere, *key, proof));
        }
    }
    for seed in 0..2500 {
        let key = random_key(seed);
        let root = if seed % 50 == 7 { wrong } else { big.root() };
        proofs.push((root, key, prove(&big, &random_key(seed - u32::from(seed % 90 == 8)))));
    }
    for count in [0, 1, 2, 255, 256, 257, 300, proofs.len()] {
        let asked: Vec<_> = proofs[..count].iter().map(|(root, key, proof)| (root, key, proof)).collect();
        let alone: Vec<_> = asked.iter().map(|(root, key, proof)| proof.verify(root, key)).collect();
        assert_eq!(verify_batch(&asked), alone);
    }
    // More than climb together, all of which fail before the first hash.
    let single = trie_of([random_key(1)], 0);
    let absence = prove(&single, &random_key(0));
    let (root, key) = (single.root(), random_key(1));
    let checked = verify_batch(&vec![(&root, &key, &absence); 700]);
    assert!(checked.iter().all(|checked| matches!(checked, Err(ProofError::OtherLeafUnfit { .. }))));

    let errors = proofs.iter().filter_map(|(root, key, proof)| proof.verify(root, key).err());
    let (mut mismatch, mut form, mut leaf, mut skip) = (0, 0, 0, 0);
    for error in errors {
        match error {
            ProofError::RootMismatch { .. } => mismatch += 1,
            ProofError::LevelForm { .. } => form += 1,
            ProofError::OtherLeafUnfit { .. } => leaf += 1,
            ProofError::NotDiverging { .. } => skip += 1,
            other => panic!("{other}"),
        }
    }
    assert!(mismatch > 9 && form > 9 && leaf > 0 && skip > 0, "{mismatch} {form} {leaf} {skip}");
}

/// Three leaves below one root, one for each turn.
fn fan() -> (Reference, [Key; 3]) {
    let mut keys = [[1; 32], [1; 32], [1; 32]];
    for (turn, key) in keys.iter_mut().enumerate() {
        key[0] = [20, 120, 220][turn];
        assert_eq!(usize::from(KeyPath::new(key).trit(0)), turn);
    }
    (trie_of(keys, 0), keys)
}

#[test]
fn a_level_has_the_form_of_the_keys_turn_and_no_other() {
    let (trie, keys) = fan();
    let Slot::Inner(root) = trie.open(trie.root_slot()) else { panic!("three keys make an inner node") };
    let head = |flags: u8| [&[0, 1, 0, flags][..], &root.sum.to_le_bytes()].concat();
    let hashes = |turns: [usize; 2]| turns.map(|turn| root.children[turn]).concat();
    let ends: Vec<Vec<u8>> = keys
        .iter()
        .map(|key| {
            let (value, sum) = trie.get(key).unwrap();
            [&[1][..], &sum.to_le_bytes(), &(value.len() as u16).to_le_bytes(), value].concat()
        })
        .collect();
    let mut first = [0; 64];
    first.copy_from_slice(&hashes([0, 1]));
    let midstate = smt_trie_proof::midstate(&first);

    // By hand, the forms that are right.
    assert_eq!(prove(&trie, &keys[0]).encode(), [head(3), hashes([1, 2]), ends[0].clone()].concat());
    assert_eq!(prove(&trie, &keys[1]).encode(), [head(3), hashes([0, 2]), ends[1].clone()].concat());
    assert_eq!(prove(&trie, &keys[2]).encode(), [head(0x80), midstate.to_vec(), ends[2].clone()].concat());

    // The other form says the same of turn 2, and would hash to the root: it must not be a second proof of it.
    let siblings = Proof::decode(&[head(3), hashes([0, 1]), ends[2].clone()].concat()).unwrap();
    assert_eq!(siblings.verify(&trie.root(), &keys[2]), Err(ProofError::LevelForm { depth: 0 }));
    for turn in [0, 1] {
        let proof = Proof::decode(&[head(0x80), midstate.to_vec(), ends[turn].clone()].concat()).unwrap();
        assert_eq!(proof.verify(&trie.root(), &keys[turn]), Err(ProofError::LevelForm { depth: 0 }));
    }
}

/// Whether bytes decode to a proof that says anything of `key` under `root`.
fn accepted(bytes: &[u8], root: &Root, key: &Key) -> bool {
    Proof::decode(bytes).is_ok_and(|proof| proof.verify(root, key).is_ok())
}

#[test]
fn every_flipped_bit_fails() {
    for (trie, asked) in cases() {
        let root = trie.root();
        for key in asked {
            let mut bytes = prove(&trie, &key).encode();
            assert!(accepted(&bytes, &root, &key));
            for bit in 0..bytes.len() * 8 {
                bytes[bit / 8] ^= 1 << (bit % 8);
                assert!(!accepted(&bytes, &root, &key), "bit {bit} of the proof of {key:?}");
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
        }
    }
}

#[test]
fn every_cut_and_every_addition_fails() {
    for (trie, asked) in cases() {
        for key in asked {
            let mut bytes = prove(&trie, &key).encode();
            for len in 0..bytes.len() {
                assert!(Proof::decode(&bytes[..len]).is_err());
            }
            bytes.push(0);
            let trailing = Proof::decode(&bytes);
            assert!(matches!(trailing, Err(DecodeError::Trailing { left: 1 })));
        }
    }
    let long = Proof::decode(&vec![0; PROOF_BYTES_MAX + 1]);
    assert!(matches!(long, Err(DecodeError::TooLong { .. })));
}

#[test]
fn proof_of_another_key_or_root_fails() {
    for (trie, asked) in cases() {
        let root = trie.root();
        for key in &asked {
            let proof = prove(&trie, key);
            for other in &asked {
                // An absence proof speaks for all keys that leave the trie at the same place; it
                // must never say anything of a key that is there, nor an inclusion of another.
                if let Ok(verified) = proof.verify(&root, other) {
                    assert_eq!(verified.value(), trie.get(other).map(|(value, _)| value.as_slice()));
                    assert_eq!(verified.sum(), trie.get(other).map(|(_, sum)| *sum));
                    assert!(key == other || verified.is_absent());
                }
            }
            for bit in 0..256 {
                let mut wrong = root;
                wrong.hash[bit / 8] ^= 1 << (bit % 8);
                assert!(proof.verify(&wrong, key).is_err());
            }
            for bit in 0..64 {
                let sum = root.sum ^ 1 << bit;
                let wrong = proof.verify(&Root { sum, ..root }, key);
                assert!(matches!(wrong, Err(ProofError::RootMismatch { .. })));
            }
        }
    }
}

#[test]
fn absence_proof_fails_for_present_key() {
    let keys: Vec<Key> = (0..200).map(random_key).collect();
    let trie = trie_of(keys.iter().copied(), 0);
    for (i, key) in keys.iter().enumerate() {
        // The best an attacker has: honest absence proofs, of the keys nearest and others.
        let mut absent: Vec<Key> = [0, 50, 120, 200, 240, 255].map(|b| flipped(key, b)).into();
        absent.push(random_key(1000 + i as u32));
        for other in absent {
            let proof = prove(&trie, &other);
            assert!(proof.verify(&trie.root(), &other).unwrap().is_absent());
            assert!(proof.verify(&trie.root(), key).is_err());
        }
        // And absence from the trie before the key came.
        let before = trie_of(keys.iter().copied().filter(|other| other != key), 0);
        assert!(prove(&before, key).verify(&trie.root(), key).is_err());
        assert!(prove(&trie, key).verify(&before.root(), key).is_err());
    }
}

#[test]
fn root_depth_of_a_proof_is_bound() {
    let key = random_key(0);
    let roots: Vec<Root> = (0..10).map(|depth| trie_of([key], depth).root()).collect();
    for depth in 0..10 {
        let proof = prove(&trie_of([key], depth), &key);
        for (other, root) in (0..).zip(&roots) {
            assert_eq!(proof.verify(root, &key).is_ok(), depth == other);
        }
    }
}

/// Shapes no trie has, each one step from an honest proof; a decoder that let one pass would give
/// proofs a second form.
#[test]
fn malformed_shapes_are_refused() {
    let refused = |bytes: &[u8]| match Proof::decode(bytes) {
        Err(DecodeError::Malformed(cause)) => cause.to_string(),
        other => panic!("{other:?}"),
    };
    let level = |skip: u8, flags: u8, sum: u64| {
        let mut bytes = vec![skip, flags];
        bytes.extend(sum.to_le_bytes());
        bytes.extend(vec![7; 32 * flags.count_ones() as usize]);
        bytes
    };
    let midstate = 0x80;
    let leaf = |sum: u64| [&[1][..], &sum.to_le_bytes(), &[0, 0]].concat();
    let proof = |depth: u8, count: u8, parts: &[&[u8]]| [&[depth, count][..], &parts.concat()].concat();
    let diverging = |skip: &[u8], flags: u8| {
        let mut bytes = [&[3][..], skip, &[flags], &[0; 8]].concat();
        bytes.extend(vec![7; 32 * flags.count_ones() as usize]);
        bytes
    };

    assert_eq!(refused(&proof(1, 0, &[&[0]])), "root depth 1");
    assert_eq!(refused(&proof(162, 0, &[&leaf(0)])), "root depth 162");
    assert_eq!(refused(&proof(0, 163, &[])), "163 levels");
    assert_eq!(refused(&proof(0, 0, &[&[4]])), "end tag 4");
    assert_eq!(refused(&proof(0, 1, &[&level(0, 4, 0), &leaf(0)])), "flags 0x04");
    assert_eq!(refused(&proof(0, 1, &[&level(0, 0x81, 0), &leaf(0)])), "flags 0x81");
    assert_eq!(refused(&proof(0, 1, &[&level(0, 0x82, 0), &leaf(0)])), "flags 0x82");
    assert_eq!(refused(&proof(0, 1, &[&level(0, 0x40, 0), &leaf(0)])), "flags 0x40");
    let skip = refused(&proof(0, 1, &[&level(106, 1, 0), &leaf(0)]));
    assert_eq!(skip, "skip of 106 trits at depth 0");
    let skip = refused(&proof(100, 1, &[&level(62, 1, 0), &leaf(0)]));
    assert_eq!(skip, "skip of 62 trits at depth 100");
    let few = "the node at depth 0 has too few children";
    assert_eq!(refused(&proof(0, 1, &[&level(0, 0, 0), &leaf(0)])), few);
    assert_eq!(refused(&proof(0, 1, &[&level(105, 0, 0), &leaf(0)])), few);
    assert_eq!(refused(&proof(0, 1, &[&level(105, 0, 0), &[0]])), few);
    assert_eq!(refused(&proof(0, 1, &[&level(104, 1, 0), &[0]])), few);
    let inner = level(3, 1, 0);
    assert_eq!(refused(&proof(0, 2, &[&level(104, 0, 0), &inner, &leaf(0)])), few);
    let sum = refused(&proof(0, 1, &[&level(0, 3, 4), &leaf(5)]));
    assert_eq!(sum, "sum 5 under a node of sum 4");
    let sum = refused(&proof(0, 1, &[&level(0, midstate, 4), &leaf(5)]));
    assert_eq!(sum, "sum 5 under a node of sum 4");
    let sum = refused(&proof(0, 2, &[&level(105, 0, 1), &inner, &leaf(0)]));
    assert_eq!(sum, "sum 0 under a node of sum 1");
    let mut empty_child = level(0, 1, 9);
    empty_child.splice(10.., EMPTY_HASH);
    let child = refused(&proof(0, 1, &[&empty_child, &leaf(5)]));
    assert_eq!(child, "a child that is present has the empty hash");
    let long = [&[1][..], &[0; 8], &1025u16.to_le_bytes(), &[0; 1025]].concat();
    assert_eq!(refused(&proof(0, 0, &[&long])), "value of 1025 bytes");
    let packed = "skipped trits are not packed canonically";
    assert_eq!(refused(&proof(0, 0, &[&diverging(&[5, 243], 3)])), packed);
    assert_eq!(refused(&proof(0, 0, &[&diverging(&[4, 1], 3)])), packed);
    assert_eq!(refused(&proof(0, 0, &[&diverging(&[1, 27], 3)])), packed);
    assert_eq!(refused(&proof(0, 0, &[&diverging(&[1, 81], 1)])), few);
    assert_eq!(refused(&proof(0, 0, &[&diverging(&[1, 81], 0)])), few);
    assert_eq!(refused(&proof(0, 0, &[&diverging(&[1, 81], 8)])), "flags 0x08");

    // The controls: what the cases above differ from by one step is accepted.
    for good in [
        proof(0, 0, &[&[0]]),
        proof(161, 0, &[&leaf(0)]),
        proof(0, 1, &[&level(104, 1, 0), &leaf(0)]),
        proof(0, 1, &[&level(105, 1, 0), &[0]]),
        proof(0, 2, &[&level(105, 0, 0), &inner, &leaf(0)]),
        proof(100, 1, &[&level(61, 1, 0), &leaf(0)]),
        proof(0, 1, &[&level(0, midstate, 0), &leaf(0)]),
        proof(0, 1, &[&level(3, midstate, 0), &[0]]),
        proof(0, 2, &[&level(105, midstate, 0), &inner, &leaf(0)]),
        proof(0, 0, &[&diverging(&[1, 81], 3)]),
        proof(0, 0, &[&diverging(&[5, 242], 7)]),
    ] {
        assert_eq!(Proof::decode(&good).unwrap().encode(), good);
    }
}

#[test]
fn diverging_or_other_leaf_must_differ_from_the_key() {
    let key = random_key(0);
    let (first, second) = (flipped(&key, 100), flipped(&key, 101));
    let trie = trie_of([first, second], 0);
    let far = flipped(&key, 200);
    let proof = prove(&trie, &far);
    assert!(proof.verify(&trie.root(), &far).unwrap().is_absent());
    let error = proof.verify(&trie.root(), &first).unwrap_err();
    assert!(matches!(error, ProofError::NotDiverging { depth: 0 }));

    let single = trie_of([first], 0);
    let proof = prove(&single, &key);
    assert!(proof.verify(&single.root(), &key).unwrap().is_absent());
    let error = proof.verify(&single.root(), &first).unwrap_err();
    assert!(matches!(error, ProofError::OtherLeafUnfit { depth: 0 }));

    // Key 0 in the slot of keys that begin with trit 2, where no honest trie has it.
    let mut bytes = vec![0, 1, 0, 0x80];
    bytes.extend([0; 8]);
    bytes.extend([7; 32]);
    bytes.push(2);
    bytes.extend([0; 32 + 8 + 2]);
    let misplaced = Proof::decode(&bytes).unwrap();
    let error = misplaced.verify(&single.root(), &[255; 32]).unwrap_err();
    assert!(matches!(error, ProofError::OtherLeafUnfit { depth: 1 }));
}

#[test]
fn openings_lead_from_the_root_to_the_leaf_and_add_up() {
    for (trie, asked) in cases() {
        for key in trie.keys().chain(&asked) {
            let mut hashes = vec![trie.root().hash];
            for opening in open_sums(&trie, key) {
                // The node is one of the children opened before it.
                let node = *blake3::hash(&opening.node).as_bytes();
                assert!(hashes.contains(&node));
                let sums = opening.check(&node).unwrap();
                assert!(sums.add_up());
                let children = opening.children.iter().flatten();
                hashes = children.map(|block| *blake3::hash(block).as_bytes()).collect();
            }
            // The last opening shows the key's own leaf, whose preimage begins with the key.
            if trie.leaves().len() > 1 && trie.get(key).is_some() {
                let openings = open_sums(&trie, key);
                let children = &openings.last().unwrap().children;
                assert!(children.iter().flatten().any(|block| block.starts_with(key)));
            }
        }
    }
}

#[test]
fn a_wrong_sum_is_shown_by_one_node_and_its_children() {
    let trie = trie_of((0..3).map(random_key), 0);
    let key = random_key(0);
    let mut opening = open_sums(&trie, &key).remove(0);
    let honest = opening.check(&trie.root().hash).unwrap();
    assert_eq!(honest.stated, trie.root().sum);

    // A node whose sum is one too high has a hash of its own, and the opening convicts it.
    opening.node[99] ^= 1;
    assert_eq!(opening.check(&trie.root().hash), Err(AuditError::NodeHash));
    let forged = *blake3::hash(&opening.node).as_bytes();
    assert!(!opening.check(&forged).unwrap().add_up());
    opening.node[99] ^= 1;

    let hash = trie.root().hash;
    let index = opening.children.iter().position(Option::is_some).unwrap();
    let child = opening.children[index].take();
    assert_eq!(opening.check(&hash), Err(AuditError::Child(index as u8)));
    opening.children[index] = child.map(|mut block| {
        block[99] ^= 1;
        block
    });
    assert_eq!(opening.check(&hash), Err(AuditError::Child(index as u8)));

    // A leaf is not a node: its key and digest never pass for children.
    opening.node = child.unwrap();
    let leaf_hash = *blake3::hash(&opening.node).as_bytes();
    let tag = opening.node[96];
    let checked = opening.check(&leaf_hash);
    assert!(tag == 1 || checked == Err(AuditError::NotInner(2)));
}

/// The same cases in every run; `PROPTEST_RNG_SEED=<n>` draws others, and a failure repeats by it.
fn config(cases: u32) -> ProptestConfig {
    let mut config = ProptestConfig::with_cases(cases);
    config.failure_persistence = None;
    if config.rng_seed == RngSeed::Random {
        config.rng_seed = RngSeed::Fixed(1);
    }
    config
}

proptest! {
    #![proptest_config(config(512))]

    #[test]
    fn decoding_never_panics_and_has_one_form(
        head in proptest::collection::vec(0u8..4, 0..3),
        tail in proptest::collection::vec(any::<u8>(), 0..300),
        key: Key,
    ) {
        let bytes = [head, tail].concat();
        if let Ok(proof) = Proof::decode(&bytes) {
            prop_assert_eq!(proof.encode(), bytes);
            let nothings = Root { hash: [1; 32], sum: 1 };
            prop_assert!(proof.verify(&nothings, &key).is_err());
        }
    }

    #[test]
    fn altered_bytes_never_verify(seed in 0u32..64, at: prop::sample::Index, with: Vec<u8>) {
        let trie = trie_of((0..40).map(random_key), 0);
        let key = random_key(seed);
        let honest = prove(&trie, &key).encode();
        let mut bytes = honest.clone();
        let at = at.index(bytes.len());
        for (byte, new) in bytes[at..].iter_mut().zip(&with) {
            *byte = *new;
        }
        prop_assert_eq!(accepted(&bytes, &trie.root(), &key), bytes == honest);
    }
}
