//! Readers beside a writer.

use crate::model::options;
use crate::simulated::Simulated;
use smt_trie::disk::{Database, Error, Options, Reader, Touch, Version};
use smt_trie::{Key, Leaf};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, Ordering};

const KEYS: u64 = 200;

fn key(n: u64) -> Key {
    *blake3::hash(&n.to_le_bytes()).as_bytes()
}

/// Batch `round`: every key has the round as its sum.
fn batch(round: u64) -> Vec<(Key, Option<Leaf>)> {
    (0..KEYS).map(|n| (key(n), Some(Leaf { value: round.to_le_bytes().to_vec(), sum: round }))).collect()
}

/// Each look must see one round everywhere.
fn look(reader: &Reader, version: Version, round: &mut u64) {
    let keys: Vec<Key> = (0..KEYS).step_by(17).map(key).collect();
    let seen = reader.view(version, Touch::Keys(&keys), |view| {
        let sums: Vec<u64> = keys.iter().map(|key| view.get(key).unwrap().sum).collect();
        (view.root(), sums)
    });
    let (root, sums) = seen.unwrap();
    assert!(sums.iter().all(|sum| *sum == sums[0]), "{sums:?}");
    assert_eq!(root.sum, KEYS * sums[0]);
    assert!(sums[0] >= *round, "the past comes back");
    *round = sums[0];
    let (root, proof) = reader.prove(version, &keys[3]).unwrap();
    assert_eq!(proof.verify(&root, &keys[3]).unwrap().value().map(<[u8]>::len), Some(8));
}

fn readers_see_whole_batches(cache_bytes: Option<u64>) {
    let mut database = Database::open(Simulated::default(), Options { cache_bytes, ..options(2) }).unwrap();
    database.update(&batch(1)).unwrap();
    database.commit_epoch(1).unwrap();
    let reader = database.reader();
    let pin = reader.pin(1).unwrap();
    let pinned = reader.root(Version::Epoch(1)).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            let (reader, done) = (database.reader(), &done);
            scope.spawn(move || {
                let (mut current, mut looks) = (1, 0);
                while !done.load(Ordering::Relaxed) || looks < 20 {
                    look(&reader, Version::Current, &mut current);
                    // The newest epoch stays long enough to be looked at.
                    let newest = reader.epochs().unwrap().pop().unwrap();
                    match reader.root(Version::Epoch(newest)) {
                        Ok(root) => assert_eq!(root.sum % KEYS, 0),
                        Err(error) => assert!(matches!(error, Error::EpochNotRetained { .. })),
                    }
                    looks += 1;
                }
            });
        }
        for round in 2..60 {
            database.update(&batch(round)).unwrap();
            // Three epochs are retained, so the pin alone keeps the first one.
            if round % 12 == 0 {
                database.commit_epoch(round).unwrap();
                assert_eq!(reader.root(Version::Epoch(pin.epoch())).unwrap(), pinned);
            }
        }
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn readers_see_whole_batches_with_all_in_memory() {
    readers_see_whole_batches(None);
}

#[test]
fn readers_see_whole_batches_with_little_in_memory() {
    readers_see_whole_batches(Some(1));
}

#[test]
fn a_pin_holds_an_epoch_for_as_long_again_as_it_is_retained() {
    let mut database = Database::open(Simulated::default(), options(1)).unwrap();
    let reader = database.reader();
    for epoch in 1..=3 {
        database.update(&batch(epoch)).unwrap();
        database.commit_epoch(epoch).unwrap();
    }
    let (first, second) = (reader.pin(1).unwrap(), reader.pin(1).unwrap());
    assert!(matches!(reader.pin(9), Err(Error::EpochNotRetained { epoch: 9 })));
    drop(first);
    for epoch in 4..=6 {
        database.commit_epoch(epoch).unwrap();
    }
    database.prune(5).unwrap();
    assert_eq!(reader.epochs().unwrap(), [1, 2, 3, 4, 5, 6]);
    database.commit_epoch(7).unwrap();
    assert_eq!(reader.epochs().unwrap(), [5, 6, 7]);
    drop(second);
    let third = reader.pin(6).unwrap();
    database.prune(u64::MAX).unwrap();
    assert_eq!(reader.epochs().unwrap(), [6, 7]);
    drop(third);
    database.prune(u64::MAX).unwrap();
    assert_eq!(reader.epochs().unwrap(), [7]);
}

#[test]
fn after_a_restart_as_many_epochs_are_there_as_asked_for_and_still_kept() {
    let files = Simulated::default();
    let retaining = |count| Options { retain_epochs: NonZeroU32::new(count).unwrap(), ..options(1) };
    let mut database = Database::open(files.clone(), retaining(4)).unwrap();
    let mut roots = Vec::new();
    for epoch in 1..=6 {
        database.update(&batch(epoch)).unwrap();
        roots.push(database.commit_epoch(epoch).unwrap());
    }
    drop(database);
    for (count, kept) in [(9, 3..=6), (2, 5..=6), (9, 5..=6)] {
        let mut database = Database::open(files.clone(), retaining(count)).unwrap();
        let reader = database.reader();
        assert_eq!(reader.epochs().unwrap(), kept.clone().collect::<Vec<_>>(), "retaining {count}");
        for epoch in kept {
            assert_eq!(reader.root(Version::Epoch(epoch)).unwrap(), roots[epoch as usize - 1]);
        }
        assert!(matches!(database.commit_epoch(6), Err(Error::EpochOrder { newest: 6, .. })));
    }
}
