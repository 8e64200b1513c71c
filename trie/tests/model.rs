//! The trie against a `BTreeMap` whose root is recomputed from the definition.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

mod oracle;

use std::collections::{BTreeMap, VecDeque};

use oracle::Model;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use smt_trie::{Entry, Key, Leaf, ROOT_DEPTH_MAX, Root, Settings, Trie, UpdateError, VALUE_BYTES_MAX, View};

/// Keys that meet: near a few centres, at every distance from 1 to 2^255.
fn key() -> impl Strategy<Value = Key> {
    let centre = prop_oneof![Just([0u8; 32]), Just([255; 32]), Just([0x55; 32]), Just([0xa7; 32]),];
    let near = (centre, 0usize..32, 0u8..=8).prop_map(|(mut key, byte, delta)| {
        key[byte] = key[byte].wrapping_add(delta);
        key
    });
    prop_oneof![4 => near, 1 => any::<Key>()]
}

fn leaf() -> impl Strategy<Value = Leaf> {
    let sum = prop_oneof![Just(0), 1..10u64, Just(u64::MAX >> 12)];
    let value = prop_oneof![
        4 => proptest::collection::vec(any::<u8>(), 0..40),
        1 => proptest::collection::vec(any::<u8>(), 60..130),
    ];
    (value, sum).prop_map(|(value, sum)| Leaf { value, sum })
}

/// Batches of changes, the last change of a key in a batch being the one that counts.
fn batches() -> impl Strategy<Value = Vec<BTreeMap<Key, Option<Leaf>>>> {
    let change = prop_oneof![2 => leaf().prop_map(Some), 1 => Just(None)];
    let batch = proptest::collection::btree_map(key(), change, 0..24);
    proptest::collection::vec(batch, 0..8)
}

fn assert_same(trie: View<'_>, model: &Model, root_depth: usize) {
    assert_eq!(trie.root(), oracle::root(model, root_depth));
    assert_eq!(trie.len(), model.len());
    let listed: Vec<_> = trie.iter().collect();
    let want: Vec<_> = model.iter().map(|(key, leaf)| (key, entry(leaf))).collect();
    assert_eq!(listed, want);
}

fn entry(leaf: &Leaf) -> Entry<'_> {
    Entry { value: &leaf.value, sum: leaf.sum }
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
    #![proptest_config(config(192))]

    #[test]
    fn any_batches_give_the_models_root(
        batches in batches(),
        asked in proptest::collection::vec(key(), 8),
        partition_trits in 0u8..4,
        retain_every in 1usize..4,
        keep in 0usize..4,
    ) {
        // Of two tries one retains versions, so that updates copy what they change, and one never does.
        let settings = Settings { partition_trits, ..Settings::default() };
        let (mut trie, mut alone) = (Trie::with_settings(settings), Trie::new(0));
        let (mut model, mut versions) = (Model::new(), VecDeque::new());
        for (epoch, batch) in (10u64..).zip(batches) {
            for (key, leaf) in &batch {
                match leaf {
                    Some(leaf) => model.insert(*key, leaf.clone()),
                    None => model.remove(key),
                };
            }
            let batch: Vec<_> = batch.into_iter().collect();
            trie.update(&batch).unwrap();
            alone.update(&batch).unwrap();
            if (epoch as usize).is_multiple_of(retain_every) {
                trie.retain(epoch);
                versions.push_back((epoch, model.clone()));
                while versions.len() > keep {
                    versions.pop_front();
                    trie.prune(versions.front().map_or(epoch + 1, |(epoch, _)| *epoch));
                }
            }
            assert_same(trie.current(), &model, 0);
            assert_same(alone.current(), &model, 0);
            prop_assert!(trie.retained().eq(versions.iter().map(|(epoch, _)| *epoch)));
            for (epoch, model) in &versions {
                assert_same(trie.view(*epoch).unwrap(), model, 0);
            }
            let now = (trie.current(), &model);
            let oldest = versions.front().map(|(epoch, model)| (trie.view(*epoch).unwrap(), model));
            for (view, model) in oldest.into_iter().chain([now]) {
                let one_by_one: Vec<_> = asked.iter().map(|key| view.prove(key)).collect();
                prop_assert_eq!(view.prove_each(&asked), one_by_one);
                for key in asked.iter().chain(model.keys()) {
                    prop_assert_eq!(view.get(key), model.get(key).map(entry));
                    let verified = view.prove(key).verify(&view.root(), key).unwrap();
                    prop_assert_eq!(verified.value(), model.get(key).map(|leaf| leaf.value.as_slice()));
                    prop_assert_eq!(verified.sum(), model.get(key).map(|leaf| leaf.sum));
                }
            }
        }
        // Nothing is left behind: cells in use are those of the keys.
        trie.prune(u64::MAX);
        prop_assert_eq!(trie.stats().leaves, model.len());
        prop_assert!(trie.stats().nodes < model.len().max(1));
        prop_assert!(trie.clone().iter().eq(trie.iter()));
    }

    #[test]
    fn root_is_independent_of_order_and_batching(
        entries in proptest::collection::btree_map(key(), leaf(), 0..40),
        passing in proptest::collection::btree_map(key(), leaf(), 0..10),
        chunk in 1usize..12,
        seed: u64,
    ) {
        let whole = Trie::build(Settings::small(0), entries.clone()).unwrap();

        // The same entries in an order drawn by the seed, among keys that come and go.
        let mut shuffled: Vec<_> = entries.iter().collect();
        shuffled.sort_by_key(|(key, _)| *blake3::keyed_hash(&[seed as u8; 32], *key).as_bytes());
        let mut parts = Trie::new(0);
        parts.update(&puts(&passing)).unwrap();
        for part in shuffled.chunks(chunk) {
            let part: Vec<_> = part.iter().map(|(key, leaf)| (**key, Some((*leaf).clone()))).collect();
            parts.update(&part).unwrap();
        }
        parts.update(&removals(passing.keys().filter(|key| !entries.contains_key(*key)))).unwrap();
        prop_assert_eq!(parts.root(), whole.root());

        parts.update(&removals(entries.keys())).unwrap();
        prop_assert_eq!(parts.root(), Root::EMPTY);
        prop_assert!(parts.is_empty());
    }

    #[test]
    fn deeper_roots_hold_keys_with_one_prefix(
        entries in proptest::collection::btree_map(key(), leaf(), 1..20),
        root_depth in 1u8..=ROOT_DEPTH_MAX,
    ) {
        let first = entries.keys().next().copied().unwrap();
        let prefix = &oracle::trits(&first)[..usize::from(root_depth)];
        let (inside, outside): (Model, Model) =
            entries.into_iter().partition(|(key, _)| oracle::trits(key).starts_with(prefix));
        let mut trie = Trie::new(root_depth);
        trie.update(&puts(&inside)).unwrap();
        assert_same(trie.current(), &inside, usize::from(root_depth));
        for key in inside.keys() {
            prop_assert!(!trie.prove(key).verify(&trie.root(), key).unwrap().is_absent());
        }
        for (key, leaf) in outside {
            let refused = trie.update(&[(key, Some(leaf))]);
            let foreign = matches!(refused, Err(UpdateError::ForeignKey { want, .. }) if want == root_depth);
            prop_assert!(foreign);
            prop_assert!(trie.prove(&key).verify(&trie.root(), &key).unwrap().is_absent());
        }
        assert_same(trie.current(), &inside, usize::from(root_depth));
    }
}

fn puts(entries: &Model) -> Vec<(Key, Option<Leaf>)> {
    entries.iter().map(|(key, leaf)| (*key, Some(leaf.clone()))).collect()
}

fn removals<'a>(keys: impl Iterator<Item = &'a Key>) -> Vec<(Key, Option<Leaf>)> {
    keys.map(|key| (*key, None)).collect()
}

const NOTHING: [(Key, Option<Leaf>); 0] = [];

fn put(byte: u8, sum: u64) -> (Key, Option<Leaf>) {
    let value = vec![byte];
    ([byte; 32], Some(Leaf { value, sum }))
}

#[test]
fn refused_batches_change_nothing() {
    let mut trie = Trie::new(0);
    trie.update(&[put(1, 5), put(2, u64::MAX - 6)]).unwrap();
    let (root, listed) = (trie.root(), format!("{:?}", trie.iter().collect::<Vec<_>>()));
    assert_eq!(root.sum, u64::MAX - 1);

    let twice = trie.update(&[put(7, 0), put(3, 0), put(7, 1)]);
    assert_eq!(twice, Err(UpdateError::DuplicateKey { key: [7; 32] }));
    let twice = trie.update(&[put(7, 0), ([7; 32], None)]);
    assert_eq!(twice, Err(UpdateError::DuplicateKey { key: [7; 32] }));

    let overflow = trie.update(&[put(1, 6), put(3, 1)]);
    assert!(matches!(overflow, Err(UpdateError::SumOverflow { .. })));

    let value = vec![0; VALUE_BYTES_MAX + 1];
    let long = trie.update(&[put(9, 0), ([8; 32], Some(Leaf { value, sum: 0 }))]);
    let want = UpdateError::ValueTooLong { key: [8; 32], got: VALUE_BYTES_MAX + 1 };
    assert_eq!(long, Err(want));

    assert_eq!(trie.root(), root);
    assert_eq!(format!("{:?}", trie.iter().collect::<Vec<_>>()), listed);

    // The total counts, not the way to it: one leaf's share may move to another in one batch.
    let moved = trie.update(&[put(1, u64::MAX), put(2, 0)]).unwrap();
    assert_eq!(moved.sum, u64::MAX);
    // The longest value is accepted.
    let value = vec![0; VALUE_BYTES_MAX];
    trie.update(&[([8; 32], Some(Leaf { value, sum: 0 }))]).unwrap();
    assert_eq!(trie.get(&[8; 32]).unwrap().value.len(), VALUE_BYTES_MAX);
}

#[test]
fn empty_batches_and_absent_keys_change_nothing() {
    let mut trie = Trie::default();
    assert_eq!(trie.update(&NOTHING).unwrap(), Root::EMPTY);
    assert_eq!(trie.update(&[([1; 32], None::<Leaf>)]).unwrap(), Root::EMPTY);
    let root = trie.update(&[put(1, 1), put(200, 2)]).unwrap();
    assert_eq!(trie.update(&NOTHING).unwrap(), root);
    assert_eq!(trie.update(&[([9; 32], None::<Leaf>), ([250; 32], None)]).unwrap(), root);
    assert_eq!(trie.update(&[put(1, 1)]).unwrap(), root);
}

#[test]
#[should_panic(expected = "leaves no trit")]
fn root_depth_past_the_path_is_refused() {
    let _trie = Trie::new(ROOT_DEPTH_MAX + 1);
}
