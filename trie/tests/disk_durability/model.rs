//! A seeded workload and what it must lead to: a `BTreeMap` and the root of a trie that never was on disk.

use crate::simulated::Simulated;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use smt_trie::disk::{Database, Error, OpenError, Options, Version};
use smt_trie::{Key, Leaf, Parallel, Root, Settings, Trie};
use std::collections::BTreeMap;
use std::num::NonZeroU32;

pub(crate) type Batch = Vec<(Key, Option<Leaf>)>;

/// One call.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Update(Batch),
    Commit(u64),
    Prune(u64),
    Fold,
}

/// What must be there after a number of steps.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Expected {
    pub(crate) entries: BTreeMap<Key, Leaf>,
    pub(crate) root: Root,
    pub(crate) sequence: u64,
    pub(crate) retained: BTreeMap<u64, Root>,
}

pub(crate) const RETAIN: u32 = 3;

/// Small files, so that everything happens often.
pub(crate) fn options(partition_trits: u8) -> Options {
    Options {
        trie: Settings { root_depth: 0, partition_trits, parallel: Parallel::Never, huge_pages: false },
        retain_epochs: NonZeroU32::new(RETAIN).unwrap(),
        cache_bytes: None,
        segment_bytes: 2_000,
    }
}

/// `count` steps.
pub(crate) fn steps(seed: u64, count: usize) -> Vec<Step> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut below = move |bound: u32| rng.next_u32() % bound;
    let keys: Vec<Key> = (0..40u8).map(|n| *blake3::hash(&[n, seed as u8]).as_bytes()).collect();
    let mut epoch = 0;
    let mut steps = Vec::new();
    for _ in 0..count {
        steps.push(match below(20) {
            0..14 => {
                let mut batch = BTreeMap::new();
                for _ in 0..=below(8) {
                    let key = keys[below(40) as usize];
                    let length = if below(30) == 0 { 1024 } else { below(90) };
                    let value = (0..length).map(|_| below(256) as u8).collect();
                    let leaf = Leaf { value, sum: u64::from(below(1000)) };
                    batch.insert(key, (below(4) > 0).then_some(leaf));
                }
                // Not in key order.
                Step::Update(batch.into_iter().rev().collect())
            }
            14..18 => {
                epoch += 1 + u64::from(below(2));
                Step::Commit(epoch)
            }
            18 => Step::Prune(epoch.saturating_sub(u64::from(below(3)))),
            _ => Step::Fold,
        });
    }
    steps
}

/// The states before the first and after each step.
pub(crate) fn expected(steps: &[Step]) -> Vec<Expected> {
    let mut trie = Trie::with_settings(Settings::small(0));
    let mut state = Expected { entries: BTreeMap::new(), root: Root::EMPTY, sequence: 0, retained: BTreeMap::new() };
    let mut states = vec![state.clone()];
    for step in steps {
        match step {
            Step::Update(batch) => {
                for (key, leaf) in batch {
                    match leaf {
                        Some(leaf) => state.entries.insert(*key, leaf.clone()),
                        None => state.entries.remove(key),
                    };
                }
                state.root = trie.update(batch).unwrap();
                state.sequence += 1;
            }
            Step::Commit(epoch) => {
                state.retained.insert(*epoch, state.root);
                state.sequence += 1;
                while state.retained.len() > RETAIN as usize {
                    state.retained.pop_first();
                }
            }
            Step::Prune(before) => {
                let newest = state.retained.keys().next_back().copied().unwrap_or(0);
                state.retained.retain(|epoch, _| *epoch >= (*before).min(newest));
            }
            Step::Fold => {}
        }
        states.push(state.clone());
    }
    states
}

pub(crate) fn run(database: &mut Database, step: &Step) -> Result<(), Error> {
    match step {
        Step::Update(batch) => database.update(batch).map(|_| ()),
        Step::Commit(epoch) => database.commit_epoch(*epoch).map(|_| ()),
        Step::Prune(before) => database.prune(*before),
        Step::Fold => database.fold(),
    }
}

/// What a database shows, without the entries: the root stands for them.
pub(crate) fn observe(database: &Database) -> (Root, u64, BTreeMap<u64, Root>) {
    let reader = database.reader();
    let epochs = reader.epochs().unwrap();
    let retained = epochs.into_iter().map(|epoch| (epoch, reader.root(Version::Epoch(epoch)).unwrap())).collect();
    (database.root().unwrap(), database.sequence(), retained)
}

impl Expected {
    pub(crate) fn is_shown_by(&self, database: &Database) -> bool {
        observe(database) == (self.root, self.sequence, self.retained.clone())
    }

    /// Compares every entry.
    pub(crate) fn assert_entries(&self, database: &Database, context: &str) {
        assert_eq!(database.len().unwrap(), self.entries.len(), "{context}");
        for (key, leaf) in &self.entries {
            assert_eq!(database.get(key).unwrap().as_ref(), Some(leaf), "{context}");
        }
    }
}

pub(crate) fn open(files: &Simulated, options: &Options) -> Result<Database, OpenError> {
    Database::open(files.clone(), options.clone())
}
