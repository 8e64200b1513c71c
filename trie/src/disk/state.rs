//! What writer and readers share, and which partitions of it are in memory.
//!
//! # Bounded memory
//!
//! With a bound on resident bytes, the least recently used partitions are dropped from memory after each operation
//! until the bound holds; the trie keeps their roots. What an operation needs is loaded before it, by the code that
//! loads a partition at open, and must have the very roots that were kept. The partitions *one* operation needs are
//! in memory together, whatever the bound: a batch of keys spread over all partitions needs all of them.
//!
//! To find a partition's part of the log, an index of all parts is kept: 32 bytes per partition a batch touches, as
//! long as the batch is in the log. It is not kept without a bound, and not counted in it.

use super::bytes::wide;
use super::error::{Error, Fault};
use super::files::Files;
use super::load::{load, load_each};
use super::log::{Part, Place};
use super::manifest::{Mark, Run};
use crate::Trie;
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Shared by the database and its readers.
pub(super) struct Shared {
    pub(super) files: Box<dyn Files>,
    pub(super) state: RwLock<State>,
    /// How often each epoch is pinned. Locked after `state` where both are.
    pub(super) pins: Mutex<BTreeMap<u64, usize>>,
}

/// The trie and what of it is where.
pub(super) struct State {
    pub(super) trie: Trie,
    pub(super) runs: Vec<Run>,
    /// Oldest first.
    pub(super) retained: VecDeque<Mark>,
    pub(super) cache: Cache,
    /// A write failed: memory may be ahead of the disk.
    pub(super) poisoned: bool,
}

/// Which partitions were used when, and where the log has their parts.
pub(super) struct Cache {
    /// Resident bytes allowed between operations.
    bound: Option<u64>,
    /// Parts of each partition, in log order; empty lists without a bound.
    parts: Vec<Vec<Part>>,
    /// When each partition was last used, by `clock`.
    used: Vec<AtomicU64>,
    clock: AtomicU64,
}

impl Shared {
    /// The state, to look at.
    pub(super) fn read(&self) -> Result<RwLockReadGuard<'_, State>, Error> {
        let state = self.state.read().map_err(|_| Error::Poisoned)?;
        if state.poisoned { Err(Error::Poisoned) } else { Ok(state) }
    }

    /// The state, to change.
    pub(super) fn write(&self) -> Result<RwLockWriteGuard<'_, State>, Error> {
        let state = self.state.write().map_err(|_| Error::Poisoned)?;
        if state.poisoned { Err(Error::Poisoned) } else { Ok(state) }
    }

    /// No operation succeeds any more.
    pub(super) fn poison(&self) {
        // Where a panic has poisoned the lock, that does it.
        if let Ok(mut state) = self.state.write() {
            state.poisoned = true;
        }
    }

    /// Calls `look` while the partitions named are in memory.
    pub(super) fn with<R>(
        &self,
        partitions: impl Fn(&Trie) -> Vec<usize>,
        look: impl FnOnce(&State) -> R,
    ) -> Result<R, Error> {
        {
            let state = self.read()?;
            let needed = partitions(&state.trie);
            if needed.iter().all(|&partition| state.trie.partition(partition).is_some()) {
                state.cache.touch(needed);
                return Ok(look(&state));
            }
        }
        let mut state = self.write()?;
        let needed = partitions(&state.trie);
        state.make_resident(&*self.files, &needed)?;
        // Other readers go on while this one looks, and a panic of its own is no harm to the state.
        let state = RwLockWriteGuard::downgrade(state);
        let answer = look(&state);
        drop(state);
        if let Ok(mut state) = self.write() {
            state.evict();
        }
        Ok(answer)
    }
}

impl State {
    /// Loads what is not in memory of `needed`, and notes the use. After an error some may have been loaded; nothing
    /// else changed.
    pub(super) fn make_resident(&mut self, files: &dyn Files, needed: &[usize]) -> Result<(), Fault> {
        self.cache.touch(needed.iter().copied());
        let missing = needed.iter().copied().filter(|&partition| self.trie.partition(partition).is_none());
        let missing: Vec<usize> = missing.collect();
        if missing.is_empty() {
            return Ok(());
        }
        let retained: Vec<Mark> = self.retained.iter().copied().collect();
        let loaded = load_each(&self.trie, &missing, |partition| {
            let (run, parts) = self.stored(partition)?;
            load(files, &self.trie, partition, run, parts, &retained)
        })?;
        for (partition, loaded) in loaded {
            self.trie.admit(partition, loaded).map_err(|_| Fault::Partition { partition })?;
        }
        Ok(())
    }

    /// The run and the parts of a partition.
    pub(super) fn stored(&self, partition: usize) -> Result<(&Run, &[Part]), Fault> {
        let run = self.runs.get(partition).ok_or(Fault::Partition { partition })?;
        Ok((run, self.cache.parts.get(partition).map_or(&[], Vec::as_slice)))
    }

    /// The partitions in memory and their bytes.
    fn held(&self) -> impl Iterator<Item = (usize, u64)> + '_ {
        let bytes = |partition| Some((partition, wide(self.trie.partition(partition)?.resident_bytes())));
        (0..self.trie.partition_count()).filter_map(bytes)
    }

    /// Bytes of memory held by partitions.
    pub(super) fn resident_bytes(&self) -> u64 {
        self.held().fold(0, |sum, (_, bytes)| sum.saturating_add(bytes))
    }

    /// Drops the least recently used partitions until the bound holds.
    pub(super) fn evict(&mut self) {
        let Some(bound) = self.cache.bound else { return };
        let mut total = self.resident_bytes();
        if total <= bound {
            return;
        }
        let held = self.held().map(|(partition, bytes)| (self.cache.used_at(partition), partition, bytes));
        let mut oldest_first: Vec<(u64, usize, u64)> = held.collect();
        oldest_first.sort_unstable();
        for (_, partition, bytes) in oldest_first {
            if total <= bound {
                return;
            }
            self.trie.evict(partition);
            total = total.saturating_sub(bytes);
        }
    }
}

impl Cache {
    pub(super) fn new(bound: Option<u64>, partitions: usize) -> Self {
        Self {
            bound,
            parts: vec![Vec::new(); partitions],
            used: (0..partitions).map(|_| AtomicU64::new(0)).collect(),
            clock: AtomicU64::new(0),
        }
    }

    /// Whether memory is bounded.
    pub(super) fn is_bounded(&self) -> bool {
        self.bound.is_some()
    }

    /// Notes that partitions are used now.
    pub(super) fn touch(&self, partitions: impl IntoIterator<Item = usize>) {
        if self.bound.is_none() {
            return;
        }
        // Only a hint which partition to drop: no order with other memory is needed.
        let now = self.clock.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        for used in partitions.into_iter().filter_map(|partition| self.used.get(partition)) {
            used.store(now, Ordering::Relaxed);
        }
    }

    fn used_at(&self, partition: usize) -> u64 {
        self.used.get(partition).map_or(0, |used| used.load(Ordering::Relaxed))
    }

    /// Notes where the parts of a record are. `head_bytes` is how far behind `place` its body begins.
    pub(super) fn note(&mut self, sequence: u64, place: Place, head_bytes: u64, parts: &[(u16, u32)]) {
        let mut offset = place.offset.saturating_add(head_bytes);
        for &(partition, bytes) in parts {
            if let Some(list) = self.parts.get_mut(usize::from(partition)) {
                list.push(Part { sequence, segment: place.segment, offset, bytes });
            }
            offset = offset.saturating_add(u64::from(bytes));
        }
    }

    /// Forgets the parts that runs hold.
    pub(super) fn forget(&mut self, runs: &[Run]) {
        for (list, run) in self.parts.iter_mut().zip(runs) {
            let held = list.partition_point(|part| part.sequence <= run.sequence);
            list.drain(..held);
        }
    }

    /// Forgets all parts, if memory is not bounded: nothing will be loaded again.
    pub(super) fn opened(&mut self) {
        if !self.is_bounded() {
            self.parts.iter_mut().for_each(|list| *list = Vec::new());
        }
    }
}
