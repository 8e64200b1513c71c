//! State larger than memory.

use crate::model::{options, steps};
use crate::simulated::{Loss, Simulated};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use smt_trie::disk::{Database, Options, Touch, Version};
use smt_trie::{Key, Leaf};
use std::collections::BTreeMap;

fn key(n: u64) -> Key {
    *blake3::hash(&n.to_le_bytes()).as_bytes()
}

/// Two databases, one with little memory, must not differ in anything they show.
struct Pair {
    all: Database,
    few: Database,
}

impl Pair {
    fn assert_equal(&self, keys: &[Key], context: &str) {
        assert_eq!(self.all.root().unwrap(), self.few.root().unwrap(), "{context}");
        let (all, few) = (self.all.reader(), self.few.reader());
        assert_eq!(all.epochs().unwrap(), few.epochs().unwrap(), "{context}");
        let versions = all.epochs().unwrap().into_iter().map(Version::Epoch).chain([Version::Current]);
        for version in versions {
            assert_eq!(all.root(version).unwrap(), few.root(version).unwrap(), "{context}, {version}");
            for key in keys {
                assert_eq!(all.get(version, key).unwrap(), few.get(version, key).unwrap(), "{context}, {version}");
                assert_eq!(all.prove(version, key).unwrap(), few.prove(version, key).unwrap(), "{context}, {version}");
            }
            let many = |reader: &smt_trie::disk::Reader| reader.prove_many(version, keys).unwrap().1.encode();
            assert_eq!(many(&all), many(&few), "{context}, {version}");
        }
    }
}

#[test]
fn little_memory_changes_nothing_but_the_time() {
    let seed = 14;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let options = Options { segment_bytes: 40_000, ..options(5) };
    let disks = [Simulated::default(), Simulated::default()];
    let mut pair = Pair {
        all: Database::open(disks[0].clone(), options.clone()).unwrap(),
        few: Database::open(disks[1].clone(), options.clone()).unwrap(),
    };
    let mut batch = Vec::new();
    for n in 0..6_000u64 {
        batch.push((key(n), Some(Leaf { value: vec![n as u8; n as usize % 100], sum: n })));
    }
    for part in batch.chunks(1_000) {
        pair.all.update(part).unwrap();
        pair.few.update(part).unwrap();
    }
    let bytes = resident(&pair.all);
    let bounded = Options { cache_bytes: Some(bytes / 10), ..options.clone() };
    drop(pair.few);
    pair.few = Database::open(disks[1].clone(), bounded.clone()).unwrap();
    assert!(resident(&pair.few) <= bytes / 10);
    for round in 0..60u64 {
        // Few partitions a batch: neighbours of one key.
        let near = key(rng.next_u64() % 6_000);
        let changes: BTreeMap<Key, Option<Leaf>> = (0..20u8)
            .map(|n| {
                let mut key = near;
                key[5] = n;
                (key, (rng.next_u32() % 3 > 0).then(|| Leaf { value: vec![n; 40], sum: round }))
            })
            .collect();
        let changes: Vec<_> = changes.into_iter().collect();
        assert_eq!(pair.all.update(&changes).unwrap(), pair.few.update(&changes).unwrap());
        assert!(resident(&pair.few) <= bytes / 10, "round {round}");
        if round % 7 == 0 {
            assert_eq!(pair.all.commit_epoch(round + 1).unwrap(), pair.few.commit_epoch(round + 1).unwrap());
        }
        if round % 11 == 0 {
            let keys: Vec<Key> = (0..5).map(|_| key(rng.next_u64() % 7_000)).chain([near]).collect();
            pair.assert_equal(&keys, &format!("seed {seed}, round {round}"));
        }
        if round == 30 {
            // Again from disk, as if the power had gone.
            drop(pair.few);
            let left = Simulated::new(disks[1].disk().after_loss(Loss::All));
            pair.few = Database::open(left, bounded.clone()).unwrap();
        }
    }
    pair.all.fold().unwrap();
    pair.few.fold().unwrap();
    pair.assert_equal(&[near_of_last(&mut rng)], "folded");
}

fn near_of_last(rng: &mut ChaCha8Rng) -> Key {
    key(rng.next_u64() % 6_000)
}

fn resident(database: &Database) -> u64 {
    database.resident_bytes().unwrap()
}

#[test]
fn a_whole_state_can_be_read_partition_by_partition() {
    let files = Simulated::default();
    let bounded = Options { cache_bytes: Some(1), ..options(2) };
    let mut database = Database::open(files, bounded).unwrap();
    let batch: Vec<_> = (0..300).map(|n| (key(n), Some(Leaf { value: vec![1], sum: 2 }))).collect();
    database.update(&batch).unwrap();
    database.commit_epoch(1).unwrap();
    database.update(&batch[..50].iter().map(|(key, _)| (*key, None::<Leaf>)).collect::<Vec<_>>()).unwrap();
    let reader = database.reader();
    let pin = reader.pin(1).unwrap();
    let mut keys = Vec::new();
    for partition in 0..reader.partitions().unwrap() {
        let part = reader.entries(Version::Epoch(pin.epoch()), partition).unwrap();
        keys.extend(part.into_iter().map(|(key, _)| key));
    }
    let mut want: Vec<Key> = (0..300).map(key).collect();
    want.sort_unstable();
    assert_eq!(keys, want);
    let all = reader.view(Version::Current, Touch::All, |view| view.iter().count()).unwrap();
    assert_eq!(all, 250);
}

/// Records are found by partition also where the index is built by the writer, not by the scan at open.
#[test]
fn evicted_partitions_come_back_with_what_came_since_open() {
    for seed in 0..6 {
        let unbounded = options(1);
        let bounded = Options { cache_bytes: Some(1), ..options(1) };
        let mut all = Database::open(Simulated::default(), unbounded).unwrap();
        let mut few = Database::open(Simulated::default(), bounded).unwrap();
        for step in steps(seed, 40) {
            crate::model::run(&mut all, &step).unwrap();
            crate::model::run(&mut few, &step).unwrap();
            assert_eq!(crate::model::observe(&all), crate::model::observe(&few), "seed {seed}");
        }
    }
}
