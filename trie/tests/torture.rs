//! Long random lives of tries against a model: every layout, every root depth, versions that come and go.
//!
//! `SEED=<n> CASES=<n> cargo test --release -p smt-trie --test torture` draws other lives, or one again.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

mod oracle;

use oracle::Model;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use smt_trie::{
    EMPTY_HASH, Entry, Hash, Key, KeyPath, Leaf, Nodes, Parallel, ROOT_DEPTH_MAX, Root, Settings, Slot, Trie,
    UpdateError, VALUE_BYTES_MAX, View, block_hash,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// Lives in a run without `CASES`.
const CASES: u64 = 240;
/// Most versions retained at a time.
const VERSIONS_MAX: usize = 5;

type Batch = Vec<(Key, Option<Leaf>)>;

#[test]
fn tries_live_as_their_models_do() {
    let (first, cases) = (setting("SEED").unwrap_or(1), setting("CASES").unwrap_or(CASES));
    // Some threads, also on a machine with one core.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
    for seed in first..first + cases {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| pool.install(|| Life::new(seed).run()))) {
            eprintln!("again: SEED={seed} CASES=1 cargo test --release -p smt-trie --test torture");
            resume_unwind(panic);
        }
    }
}

/// Cells, values and what versions leave behind are used again: the same rounds over and over need no more memory.
#[test]
fn memory_does_not_grow_with_age() {
    let mut trie = Trie::with_settings(Settings { partition_trits: 1, ..Settings::default() });
    let key = |number: u64| *blake3::hash(&number.to_le_bytes()).as_bytes();
    let mut sizes = Vec::new();
    for round in 1..=60 {
        let change = |number: u64| {
            let value = vec![round as u8; if (number + round).is_multiple_of(3) { VALUE_BYTES_MAX } else { 8 }];
            (key(number), Some(Leaf { value, sum: 1 }).filter(|_| !(number + round).is_multiple_of(4)))
        };
        let batch: Batch = (0..400).filter(|number| (number / 2 + round).is_multiple_of(2)).map(change).collect();
        trie.update(&batch).unwrap();
        trie.retain(round);
        trie.prune(round - round % 4);
        sizes.push(trie.stats().resident_bytes);
    }
    let (young, old) = sizes.split_at(30);
    assert!(old.iter().max() <= young.iter().max(), "{sizes:?}");
}

#[allow(clippy::disallowed_methods, reason = "a person chooses the cases; without that they are always the same")]
fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("SEED and CASES are numbers"))
}

/// The one source of chance of a life.
struct Draw(ChaCha8Rng);

impl Draw {
    fn below(&mut self, end: usize) -> usize {
        (self.0.next_u64() % end as u64) as usize
    }

    fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// 1 to `max`, small ones as likely as large ones.
    fn size(&mut self, max: usize) -> usize {
        let bits = self.below(max.ilog2() as usize + 1);
        (1 + self.below(2 << bits)).min(max)
    }

    /// `key` with its last `bits` bits drawn anew.
    fn near(&mut self, key: &Key, bits: usize) -> Key {
        let mut key = *key;
        for (byte, place) in key.iter_mut().rev().zip((0usize..).step_by(8)) {
            let mask = ((1u16 << bits.saturating_sub(place).min(8)) - 1) as u8;
            *byte ^= self.0.next_u64() as u8 & mask;
        }
        key
    }

    fn settings(&mut self) -> Settings {
        let depth = match self.below(10) {
            0..4 => 0,
            4 => self.below(34) as u8,
            5..8 => 34 + self.below(9) as u8,
            8 => self.pick(&[55, 56, 57, 120, ROOT_DEPTH_MAX]),
            _ => self.below(usize::from(ROOT_DEPTH_MAX) + 1) as u8,
        };
        Settings {
            root_depth: depth,
            partition_trits: if self.percent(5) { 6 } else { self.below(4) as u8 },
            parallel: self.pick(&[Parallel::Auto, Parallel::Never]),
            huge_pages: self.percent(50),
        }
    }

    /// Keys of one prefix: spread evenly, or close to each other at all distances, or both.
    fn keys(&mut self, settings: &Settings) -> Vec<Key> {
        let want = self.pick(&[1, 2, 3, 6, 12, 40, 40, 150, 150, 500, 5_000]);
        let skewed = self.pick(&[0, 50, 98]);
        let mut keys = vec![self.near(&[0; 32], 256)];
        // Bits in which keys with the prefix can differ.
        let free = 256 - (f64::from(settings.root_depth) * 3f64.log2()) as usize;
        for _ in 0..4 * want {
            let bits = if self.percent(skewed) { self.below(free + 1) } else { free };
            let near = if self.percent(skewed) { self.below(keys.len()) } else { 0 };
            let key = self.near(&keys[near].clone(), bits);
            if keys.len() < want && KeyPath::new(&key).common_trits(&KeyPath::new(&keys[0])) >= settings.root_depth {
                keys.push(key);
            }
        }
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    fn leaf(&mut self, sum_max: u64) -> Leaf {
        let len = self.pick(&[0, 1, 33, 33, 33, 63, 64, 65, 128, VALUE_BYTES_MAX]);
        let sum = if self.percent(2) { sum_max } else { self.0.next_u64() % (sum_max / 16 + 1) };
        Leaf { value: vec![self.0.next_u64() as u8; len], sum }
    }
}

/// One trie, and what it should hold now and at each retained epoch.
struct Life {
    draw: Draw,
    settings: Settings,
    keys: Vec<Key>,
    sum_max: u64,
    trie: Trie,
    now: State,
    versions: VecDeque<(u64, State)>,
    clock: u64,
}

#[derive(Clone)]
struct State {
    model: Model,
    /// When each leaf was last put.
    put: BTreeMap<Key, u64>,
    root: Root,
}

impl Life {
    fn new(seed: u64) -> Self {
        let mut draw = Draw(ChaCha8Rng::seed_from_u64(seed));
        let settings = draw.settings();
        let keys = draw.keys(&settings);
        Self {
            settings,
            keys,
            sum_max: draw.pick(&[0, 1_000_000, u64::MAX]),
            draw,
            trie: Trie::with_settings(settings),
            now: State { model: Model::new(), put: BTreeMap::new(), root: Root::EMPTY },
            versions: VecDeque::new(),
            clock: 0,
        }
    }

    fn run(mut self) {
        let steps = if self.keys.len() > 500 { 15 } else { 40 };
        for _ in 0..steps {
            self.clock += 1;
            match self.draw.below(100) {
                0..60 => self.update(),
                60..70 => self.refused(),
                70..83 => self.retain(),
                83..93 => self.prune(),
                93..97 => self.leave_for_a_clone(),
                _ => self.import(),
            }
            self.check();
        }
        self.assert_no_leak();
        let all: Batch = self.now.model.keys().map(|key| (*key, None)).collect();
        assert_eq!(self.trie.update(&all).unwrap(), Root::EMPTY);
        self.trie.prune(u64::MAX);
        let stats = self.trie.stats();
        assert_eq!((stats.leaves, stats.nodes, self.trie.len()), (0, 0, 0));
    }

    /// Distinct keys in no order, put or removed.
    fn batch(&mut self) -> Batch {
        let removed = self.draw.pick(&[0, 0, 10, 50, 50, 90, 100]);
        let (mut batch, mut named) = (Batch::new(), BTreeSet::new());
        for _ in 0..self.draw.size(self.keys.len()) {
            let key = self.draw.pick(&self.keys);
            if named.insert(key) {
                let leaf = self.draw.leaf(self.sum_max);
                batch.push((key, Some(leaf).filter(|_| !self.draw.percent(removed))));
            }
        }
        if self.draw.percent(10) {
            batch = self.now.model.keys().map(|key| (*key, None)).collect();
        }
        batch
    }

    fn update(&mut self) {
        let batch = self.batch();
        let mut next = self.now.clone();
        for (key, leaf) in &batch {
            next.model.remove(key);
            next.put.remove(key);
            if let Some(leaf) = leaf {
                next.model.insert(*key, leaf.clone());
                next.put.insert(*key, self.clock);
            }
        }
        let total = next.model.values().map(|leaf| u128::from(leaf.sum)).sum::<u128>();
        let updated = self.trie.update(&batch);
        if total > u128::from(u64::MAX) {
            assert_eq!(updated, Err(UpdateError::SumOverflow { total }));
        } else {
            next.root = oracle::root(&next.model, usize::from(self.settings.root_depth));
            assert_eq!(updated, Ok(next.root));
            self.now = next;
        }
    }

    /// A batch that is right but for one item.
    fn refused(&mut self) {
        let mut batch = self.batch();
        batch.iter_mut().for_each(|(_, leaf)| *leaf = None);
        let of_trie = self.draw.pick(&self.keys);
        if !batch.iter().any(|(key, _)| *key == of_trie) {
            batch.push((of_trie, None));
        }
        let leaf = self.draw.leaf(0);
        let kind = self.draw.below(3);
        let (key, leaf) = match kind {
            0 => (of_trie, Some(leaf).filter(|_| self.clock.is_multiple_of(2))),
            1 => (self.foreign(), Some(Leaf { value: vec![0; VALUE_BYTES_MAX + 1], ..leaf })),
            // Without a prefix no key is foreign.
            _ if self.settings.root_depth == 0 => return,
            _ => (self.foreign(), Some(leaf).filter(|_| self.clock.is_multiple_of(2))),
        };
        let at = self.draw.below(batch.len() + 1);
        batch.insert(at, (key, leaf));
        let fits = match self.trie.update(&batch).unwrap_err() {
            UpdateError::DuplicateKey { .. } => kind == 0,
            UpdateError::ValueTooLong { .. } => kind == 1,
            UpdateError::ForeignKey { .. } => kind == 2,
            _ => false,
        };
        assert!(fits);
    }

    /// A key outside the prefix, if there is one.
    fn foreign(&self) -> Key {
        let mut key = self.keys[0];
        key[0] ^= 0x80;
        key
    }

    fn retain(&mut self) {
        let epoch = self.clock * 10;
        self.trie.retain(epoch);
        self.versions.push_back((epoch, self.now.clone()));
        if self.versions.len() > VERSIONS_MAX {
            self.prune();
        }
    }

    /// Up to a random epoch, retained or not; often all.
    fn prune(&mut self) {
        let oldest = self.versions.front().map_or(0, |(epoch, _)| *epoch) as usize;
        let span = (self.clock as usize * 10 + 20).saturating_sub(oldest);
        let before = if self.draw.percent(30) { u64::MAX } else { (oldest + 1 + self.draw.below(span)) as u64 };
        self.trie.prune(before);
        self.versions.retain(|(epoch, _)| *epoch >= before);
    }

    fn leave_for_a_clone(&mut self) {
        let mut clone = self.trie.clone();
        std::mem::swap(&mut clone, &mut self.trie);
        // What becomes of the one left behind is nothing to the other.
        let all: Batch = self.keys.iter().map(|key| (*key, None)).collect();
        clone.update(&all).unwrap();
        clone.prune(u64::MAX);
    }

    /// A version, or the present, as a trie made from its chunks.
    fn import(&mut self) {
        let chosen = self.draw.below(self.versions.len() + 1);
        let (view, state) = match self.versions.get(chosen) {
            Some((epoch, state)) => (self.trie.view(*epoch).unwrap(), state),
            None => (self.trie.current(), &self.now),
        };
        let mut chunks = Vec::new();
        let index = view.export(self.draw.size(200), |_, bytes| chunks.push(bytes)).unwrap();
        let copy = Trie::import(self.settings, index, &state.root, chunks).unwrap();
        assert_holds(copy.current(), state);
    }

    fn check(&mut self) {
        let states = self.versions.iter().map(|(_, state)| state).chain([&self.now]);
        // A leaf has one cell for each content that some version sees.
        let cells: BTreeSet<_> = states.flat_map(|state| &state.put).collect();
        assert_eq!(self.trie.stats().leaves, cells.len());
        assert!(self.trie.retained().eq(self.versions.iter().map(|(epoch, _)| *epoch)));
        assert!(self.trie.view(self.clock * 10 + 1).is_none());
        for (epoch, state) in &self.versions {
            assert_holds(self.trie.view(*epoch).unwrap(), state);
        }
        assert_holds(self.trie.current(), &self.now);

        let (view, state) = match self.versions.front() {
            Some((epoch, state)) if self.draw.percent(50) => (self.trie.view(*epoch).unwrap(), state),
            _ => (self.trie.current(), &self.now),
        };
        let mut asked: Vec<Key> = (0..4).map(|_| self.draw.pick(&self.keys)).collect();
        asked.extend([self.foreign(), [0; 32], [255; 32]]);
        let together = view.prove_many(&asked).unwrap().verify(&state.root, &asked).unwrap();
        for key in &asked {
            let want = state.model.get(key);
            assert_eq!(view.get(key), want.map(entry));
            let alone = view.prove(key).verify(&state.root, key).unwrap();
            for shown in [&alone, together.get(key).unwrap()] {
                assert_eq!((shown.value(), shown.sum()), (want.map(|leaf| &*leaf.value), want.map(|leaf| leaf.sum)));
            }
        }
        if self.draw.percent(10) {
            self.assert_no_leak();
        }
    }

    /// Without versions there are as many cells as in a trie that never had any.
    fn assert_no_leak(&self) {
        let mut bare = self.trie.clone();
        bare.prune(u64::MAX);
        let fresh = Trie::build(self.settings, self.now.model.clone()).unwrap();
        assert_eq!(fresh.root(), self.now.root);
        let cells = |trie: &Trie| (trie.stats().leaves, trie.stats().nodes);
        assert_eq!(cells(&bare), cells(&fresh));
    }
}

fn entry(leaf: &Leaf) -> Entry<'_> {
    Entry { value: &leaf.value, sum: leaf.sum }
}

/// The view has the root and the entries of `state`, and all its nodes lead to that root.
fn assert_holds(view: View<'_>, state: &State) {
    assert_eq!((view.root(), view.len()), (state.root, state.model.len()));
    assert!(view.iter().eq(state.model.iter().map(|(key, leaf)| (key, entry(leaf)))));
    let (hash, sum) = rehash(&view, view.root_slot());
    assert_eq!(Root { hash, sum }, state.root);
}

/// Hash and sum of a slot from the leaves up; what inner nodes keep of their children must be the same.
fn rehash<N: Nodes>(nodes: &N, at: N::At) -> (Hash, u64) {
    let slot = nodes.open(at);
    let sum = match &slot {
        Slot::Empty => return (EMPTY_HASH, 0),
        Slot::Leaf(leaf) => leaf.sum,
        Slot::Inner(inner) => {
            let below = (0u8..).zip(&inner.children).filter(|(_, kept)| **kept != EMPTY_HASH);
            let sums = below.map(|(turn, kept)| {
                let (hash, sum) = rehash(nodes, nodes.child(at, turn));
                assert_eq!(hash, *kept);
                sum
            });
            let sum = sums.sum();
            assert_eq!(sum, inner.sum);
            sum
        }
    };
    (slot.block().map_or(EMPTY_HASH, |block| block_hash(&block)), sum)
}
