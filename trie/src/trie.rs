//! The trie: partitions, what joins them, and the versions it retains.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "arithmetic kernel: at most 3^6 partitions, batches of fewer than 2^32 items, sums in u128"
)]

use crate::cell::{POWERS, common_head, span};
use crate::error::UpdateError;
use crate::partition::{Apex, Partition, PartitionRoot};
use crate::settings::{Parallel, Settings};
use crate::top::Top;
use crate::update::{self, Batch, Change, Scratch};
use crate::view::View;
use rayon::prelude::*;
use smt_trie_proof::{
    Key, KeyCountError, KeyPath, LEADING_TRITS, MultiProof, Proof, Root, SumOpening, VALUE_BYTES_MAX, leading_trits,
};
use std::collections::VecDeque;
use std::ops::Range;

/// Batches from this size on are worth the hand-over to other threads.
const PARALLEL_FROM: usize = 2_048;
/// From this size on, sorting is as well.
const PARALLEL_SORT_FROM: usize = 50_000;

/// What a key is to map to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaf<V = Vec<u8>> {
    /// At most [`VALUE_BYTES_MAX`] bytes.
    pub value: V,
    /// The leaf's share of the root's sum.
    pub sum: u64,
}

/// What a key maps to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The value.
    pub value: &'a [u8],
    /// The leaf's share of the root's sum.
    pub sum: u64,
}

/// What a trie holds and has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Leaves in memory, those of retained versions included.
    pub leaves: usize,
    /// Inner nodes in memory, those of retained versions included.
    pub nodes: usize,
    /// Bytes of memory held for both, in use or set aside.
    pub resident_bytes: usize,
    /// BLAKE3 compressions that updates have computed.
    pub compressions: u64,
}

/// A ternary Merkle sum trie in memory.
///
/// All of it, retained versions included, is read through `&self`, so any number of threads may read at once; an update
/// needs it alone. Cloning copies every node.
#[derive(Clone)]
pub struct Trie {
    settings: Settings,
    /// `None` is evicted; see `residency.rs`.
    pub(crate) partitions: Vec<Option<Box<Partition>>>,
    pub(crate) top: Top,
    pub(crate) versions: VecDeque<(u64, Top)>,
    /// One for each job that runs at a time.
    scratch: Vec<Scratch>,
    changes: Vec<Change>,
    /// Compressions above the partitions and in partitions that were given away.
    pub(crate) compressions: u64,
}

impl std::fmt::Debug for Trie {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let retained: Vec<u64> = self.retained().collect();
        f.debug_struct("Trie")
            .field("root", &self.root())
            .field("len", &self.len())
            .field("retained", &retained)
            .finish()
    }
}

impl Default for Trie {
    /// The empty trie with root depth 0.
    fn default() -> Self {
        Self::new(0)
    }
}

impl Trie {
    /// An empty trie with default settings whose root slot is at `root_depth` trits from the network's root.
    ///
    /// All keys it will hold must share their first `root_depth` trits.
    ///
    /// # Panics
    ///
    /// If `root_depth` is above [`crate::ROOT_DEPTH_MAX`]. It is a constant of the network, never input.
    pub fn new(root_depth: u8) -> Self {
        Self::with_settings(Settings { root_depth, ..Settings::default() })
    }

    /// An empty trie.
    ///
    /// # Panics
    ///
    /// If the settings are out of range. They are constants of a program, never input.
    pub fn with_settings(settings: Settings) -> Self {
        let settings = settings.checked();
        let count = POWERS.get(usize::from(settings.partition_trits)).map_or(1, |&count| count as usize);
        let slot = settings.partition_slot();
        let partition = || Some(Box::new(Partition::new(slot, settings.huge_pages)));
        Self {
            settings,
            partitions: std::iter::repeat_with(partition).take(count).collect(),
            top: Top::new(vec![PartitionRoot::EMPTY; count], settings.root_depth, settings.partition_trits),
            versions: VecDeque::new(),
            scratch: Vec::new(),
            changes: Vec::new(),
            compressions: 0,
        }
    }

    /// A trie of many keys at once, such as the transactions of an epoch.
    ///
    /// # Errors
    ///
    /// As [`Trie::update`].
    ///
    /// # Panics
    ///
    /// As [`Trie::with_settings`].
    pub fn build<V: AsRef<[u8]> + Sync>(
        settings: Settings,
        entries: impl IntoIterator<Item = (Key, Leaf<V>)>,
    ) -> Result<Self, UpdateError> {
        let mut trie = Self::with_settings(settings);
        let batch: Vec<_> = entries.into_iter().map(|(key, leaf)| (key, Some(leaf))).collect();
        trie.update(&batch)?;
        Ok(trie)
    }

    /// The layout.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Depth of the root slot, in trits from the network's root.
    pub fn root_depth(&self) -> u8 {
        self.settings.root_depth
    }

    /// The trie as it is now.
    pub fn current(&self) -> View<'_> {
        View { trie: self, top: &self.top, epoch: None }
    }

    /// The commitment to all keys, values and sums. Cost: none, it is kept.
    pub fn root(&self) -> Root {
        self.top.root
    }

    /// Number of keys.
    pub fn len(&self) -> usize {
        self.current().len()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.current().is_empty()
    }

    /// What `key` maps to.
    pub fn get(&self, key: &Key) -> Option<Entry<'_>> {
        self.current().get(key)
    }

    /// All keys in key order.
    pub fn iter(&self) -> impl Iterator<Item = (&Key, Entry<'_>)> {
        self.current().iter()
    }

    /// As [`View::prove`].
    pub fn prove(&self, key: &Key) -> Proof {
        self.current().prove(key)
    }

    /// As [`View::prove_each`].
    pub fn prove_each(&self, keys: &[Key]) -> Vec<Proof> {
        self.current().prove_each(keys)
    }

    /// As [`View::prove_many`].
    ///
    /// # Errors
    ///
    /// [`KeyCountError`] for no key, or more than [`smt_trie_proof::MULTI_PROOF_KEYS_MAX`].
    pub fn prove_many(&self, keys: &[Key]) -> Result<MultiProof, KeyCountError> {
        self.current().prove_many(keys)
    }

    /// As [`View::open_sums`].
    pub fn open_sums(&self, key: &Key) -> Vec<SumOpening> {
        self.current().open_sums(key)
    }

    /// What it holds and has done.
    pub fn stats(&self) -> Stats {
        let empty = Stats { compressions: self.compressions, ..Stats::default() };
        self.partitions.iter().flatten().fold(empty, |stats, partition| Stats {
            leaves: stats.leaves + partition.leaf_count(),
            nodes: stats.nodes + partition.node_count(),
            resident_bytes: stats.resident_bytes + partition.resident_bytes(),
            compressions: stats.compressions + partition.compressions,
        })
    }

    /// Puts (`Some`) and removes (`None`) keys, all or nothing, and returns the new root.
    ///
    /// The order within the batch does not matter; removing a key that is absent does nothing.
    /// Cost: O(b log b) for a batch of b, and each node above a changed leaf hashed once.
    ///
    /// # Errors
    ///
    /// A key named twice, a value too long, a key outside the root's prefix, or a total that does
    /// not fit u64; the trie is then as it was.
    pub fn update<V: AsRef<[u8]> + Sync>(&mut self, batch: &[(Key, Option<Leaf<V>>)]) -> Result<Root, UpdateError> {
        let mut changes = std::mem::take(&mut self.changes);
        let checked = self.sort(batch, &mut changes).and_then(|()| self.check(batch, &changes));
        if checked.is_ok() && !changes.is_empty() {
            self.apply(batch, &mut changes);
        }
        changes.clear();
        self.changes = changes;
        checked.map(|()| self.top.root)
    }

    /// Fills `changes` with the batch in key order.
    fn sort<V: AsRef<[u8]> + Sync>(
        &self,
        batch: &[(Key, Option<Leaf<V>>)],
        changes: &mut Vec<Change>,
    ) -> Result<(), UpdateError> {
        changes.clear();
        changes.reserve(batch.len());
        for (position, (key, leaf)) in (0u32..).zip(batch) {
            let got = leaf.as_ref().map_or(0, |leaf| leaf.value.as_ref().len());
            if got > VALUE_BYTES_MAX {
                return Err(UpdateError::ValueTooLong { key: *key, got });
            }
            changes.push(Change { head: leading_trits(key), position });
        }
        let order = |a: &Change, b: &Change| update::order(a, b, batch);
        if self.is_parallel(changes.len(), PARALLEL_SORT_FROM) {
            changes.par_sort_unstable_by(order);
        } else {
            changes.sort_unstable_by(order);
        }
        let twice = changes.windows(2).find_map(|pair| match pair {
            [a, b] if a.head == b.head && batch.key(a.position) == batch.key(b.position) => {
                Some(*batch.key(a.position))
            }
            _ => None,
        });
        twice.map_or(Ok(()), |key| Err(UpdateError::DuplicateKey { key }))
    }

    fn is_parallel(&self, len: usize, from: usize) -> bool {
        self.settings.parallel == Parallel::Auto && len >= from && rayon::current_num_threads() > 1
    }

    /// Prefix and total; `changes` are the batch in key order.
    fn check<V: AsRef<[u8]> + Sync>(
        &self,
        batch: &[(Key, Option<Leaf<V>>)],
        changes: &[Change],
    ) -> Result<(), UpdateError> {
        let (Some(first), Some(last)) = (changes.first(), changes.last()) else { return Ok(()) };
        let want = self.root_depth();
        let prefix = self.top.parts.iter().find(|root| root.len > 0);
        // What lies between the ends of the sorted batch shares what they share.
        for change in [first, last] {
            let key = batch.key(change.position);
            let got = match prefix.map(|root| &root.apex) {
                Some(Apex::Leaf(leaf)) => KeyPath::new(&leaf.key).common_trits(&KeyPath::new(key)),
                Some(Apex::Node(_, Some(path))) => path.common_trits(&KeyPath::new(key)),
                Some(Apex::Node(cell, None)) => common_head(cell.head, change.head),
                _ => KeyPath::new(batch.key(first.position)).common_trits(&KeyPath::new(key)),
            };
            if got < want {
                return Err(UpdateError::ForeignKey { key: *key, got, want });
            }
        }
        self.check_total(batch)
    }

    /// The total after the batch fits u64; then so does every sum below the root. It is the total that
    /// counts, not the way there: one leaf may give in a batch what another takes.
    fn check_total<V>(&self, batch: &[(Key, Option<Leaf<V>>)]) -> Result<(), UpdateError> {
        let new = |(_, leaf): &(Key, Option<Leaf<V>>)| leaf.as_ref().map_or(0, |leaf| u128::from(leaf.sum));
        let most = u128::from(self.root().sum) + batch.iter().map(new).sum::<u128>();
        if u64::try_from(most).is_ok() {
            return Ok(());
        }
        let old = |(key, _): &(Key, Option<Leaf<V>>)| self.get(key).map_or(0, |entry| u128::from(entry.sum));
        let total = most - batch.iter().map(old).sum::<u128>();
        match u64::try_from(total) {
            Ok(_) => Ok(()),
            Err(_) => Err(UpdateError::SumOverflow { total }),
        }
    }

    fn apply<B: Batch + ?Sized>(&mut self, batch: &B, changes: &mut [Change]) {
        let parallel = self.is_parallel(changes.len(), PARALLEL_FROM);
        let mut rest = changes;
        let mut work = Vec::with_capacity(self.partitions.len());
        let bounds: Vec<Range<u64>> = self.bounds(rest.first().map_or(0, |change| change.head)).collect();
        for (partition, bounds) in self.partitions.iter_mut().zip(bounds) {
            let here = rest.partition_point(|change| change.head < bounds.end);
            let (part, later) = rest.split_at_mut(here);
            rest = later;
            if !part.is_empty() {
                work.push((partition.as_deref_mut().expect(RESIDENT), part));
            }
        }
        if parallel {
            // Two jobs a thread, to even out what partitions differ by; each keeps its memory from batch to batch.
            let jobs = 2 * rayon::current_num_threads();
            let share = work.len().div_ceil(jobs).max(1);
            self.scratch.resize_with(self.scratch.len().max(jobs), Scratch::default);
            work.par_chunks_mut(share).zip(&mut self.scratch).for_each(|(work, scratch)| run(work, batch, scratch));
        } else {
            self.scratch.resize_with(self.scratch.len().max(1), Scratch::default);
            self.scratch.iter_mut().take(1).for_each(|scratch| run(&mut work, batch, scratch));
        }
        self.renew_top();
    }

    /// The heads of the keys in each partition; `head` is that of any key of the trie.
    fn bounds(&self, head: u64) -> impl Iterator<Item = Range<u64>> + use<> {
        let Settings { root_depth, partition_trits, .. } = self.settings;
        let count = self.partitions.len() as u64;
        // A trie deeper than heads reach has one partition, of all keys.
        let deep = root_depth.saturating_add(partition_trits) > LEADING_TRITS;
        let width = if deep { u64::MAX } else { span(root_depth + partition_trits) };
        let start = if deep { 0 } else { head / width / count * count };
        (start..start + count).map(move |part| part * width..(part + 1).saturating_mul(width))
    }

    /// The partition of a key that begins with `head`.
    pub(crate) fn partition_of_head(&self, head: u64) -> usize {
        if self.partitions.len() == 1 {
            return 0;
        }
        (head / span(self.settings.partition_slot()) % self.partitions.len() as u64) as usize
    }

    /// The levels above partitions of these contents.
    pub(crate) fn top_of(&self, parts: Vec<PartitionRoot>) -> Top {
        Top::new(parts, self.settings.root_depth, self.settings.partition_trits)
    }

    pub(crate) fn renew_top(&mut self) {
        let mut parts = std::mem::take(&mut self.top.parts);
        for (root, partition) in parts.iter_mut().zip(&self.partitions) {
            if let Some(partition) = partition {
                *root = partition.root;
            }
        }
        self.top = self.top_of(parts);
        self.compressions += 2 * self.top.hashes;
    }

    /// A partition that is in memory.
    pub(crate) fn resident(&self, part: usize) -> &Partition {
        self.partitions.get(part).and_then(Option::as_deref).expect(RESIDENT)
    }

    /// The current content becomes the retained version `epoch`. Cost: about a kilobyte a partition now,
    /// and a copy of what every node is that changes from here on, made when it first does.
    ///
    /// # Panics
    ///
    /// If `epoch` is not above all retained ones: epochs follow each other.
    pub fn retain(&mut self, epoch: u64) {
        let newest = self.versions.back().map(|(newest, _)| *newest);
        assert!(newest < Some(epoch), "epoch {epoch} does not follow epoch {newest:?}");
        for partition in self.partitions.iter_mut().flatten() {
            partition.retain(epoch);
        }
        self.versions.push_back((epoch, self.top.clone()));
    }

    /// Drops retained versions of epochs before `before`. Cost: the nodes that only they reach.
    pub fn prune(&mut self, before: u64) {
        for partition in self.partitions.iter_mut().flatten() {
            partition.prune(before);
        }
        while self.versions.pop_front_if(|(epoch, _)| *epoch < before).is_some() {}
    }

    /// Retained epochs, oldest first.
    pub fn retained(&self) -> impl Iterator<Item = u64> {
        self.versions.iter().map(|(epoch, _)| *epoch)
    }

    /// The trie as it was when `epoch` was retained; `None` if it is not (any more).
    pub fn view(&self, epoch: u64) -> Option<View<'_>> {
        let found = self.versions.binary_search_by_key(&epoch, |(epoch, _)| *epoch).ok()?;
        self.versions.get(found).map(|(_, top)| View { trie: self, top, epoch: Some(epoch) })
    }
}

/// Applies to each partition the changes that go there.
fn run<B: Batch + ?Sized>(work: &mut [(&mut Partition, &mut [Change])], batch: &B, scratch: &mut Scratch) {
    for (partition, part) in work {
        partition.apply(part, batch, scratch);
    }
}

/// What every caller has made sure of before it reads or changes a partition.
const RESIDENT: &str = "whoever evicts a partition admits it again before it is used";
