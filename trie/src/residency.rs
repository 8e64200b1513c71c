//! Partitions that leave memory and come back. For `disk`, which keeps them in files.
//!
//! What is evicted is still part of the trie: its roots, now and at every retained epoch, stay. Whoever evicts
//! partitions makes sure that those a call needs are resident before it calls.

use crate::partition::{Partition, PartitionRoot};
use crate::top::Top;
use crate::trie::Trie;
use smt_trie_proof::{Key, Root, leading_trits};

/// A partition does not have the content it had when it was evicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mismatch {
    /// The retained epoch at which it differs; `None` is now.
    pub(crate) epoch: Option<u64>,
}

impl Trie {
    /// Number of partitions.
    pub(crate) fn partition_count(&self) -> usize {
        self.partitions.len()
    }

    /// The partition a key belongs to.
    pub(crate) fn partition_of(&self, key: &Key) -> usize {
        self.partition_of_head(leading_trits(key))
    }

    /// A partition, if it is in memory.
    pub(crate) fn partition(&self, part: usize) -> Option<&Partition> {
        self.partitions.get(part).and_then(Option::as_deref)
    }

    /// Content of a partition, resident or not: now, or at a retained epoch.
    pub(crate) fn partition_root(&self, part: usize, epoch: Option<u64>) -> Option<&PartitionRoot> {
        let top = match epoch {
            None => &self.top,
            Some(epoch) => self.version(epoch)?,
        };
        top.parts.get(part)
    }

    /// The root at a retained epoch.
    pub(crate) fn root_at(&self, epoch: u64) -> Option<Root> {
        self.version(epoch).map(|top| top.root)
    }

    /// Drops a partition's memory; its roots stay.
    pub(crate) fn evict(&mut self, part: usize) {
        if let Some(partition) = self.partitions.get_mut(part).and_then(Option::take) {
            self.compressions = self.compressions.saturating_add(partition.compressions);
        }
    }

    /// Takes an evicted partition back. Versions older than the oldest retained one are dropped from it.
    ///
    /// # Errors
    ///
    /// If one of its roots is not the remembered one, or one of the two has a version that the other lacks; it is not
    /// taken then.
    pub(crate) fn admit(&mut self, part: usize, mut partition: Partition) -> Result<(), Mismatch> {
        partition.prune(self.retained().next().unwrap_or(u64::MAX));
        let differs = |epoch: Option<u64>| {
            let found = epoch.map_or(Some(&partition.root), |epoch| partition.root_at(epoch));
            found != self.partition_root(part, epoch)
        };
        // All versions of both: one that only the partition has would come to the trie without the other partitions.
        let epochs = self.retained().chain(partition.version_roots().map(|(epoch, _)| epoch)).map(Some);
        let differing = std::iter::once(None).chain(epochs).find(|&epoch| differs(epoch));
        match differing {
            Some(epoch) => Err(Mismatch { epoch }),
            None => {
                self.install(part, partition);
                Ok(())
            }
        }
    }

    /// Puts a partition in place and remembers its roots, now and at its versions, whatever was there. After all are
    /// in place [`Trie::seal`] must follow.
    pub(crate) fn install(&mut self, part: usize, partition: Partition) {
        if let Some(root) = self.top.parts.get_mut(part) {
            *root = partition.root;
        }
        for (epoch, found) in partition.version_roots() {
            if self.version(epoch).is_none() {
                let at = self.versions.partition_point(|(other, _)| *other < epoch);
                let empty = vec![PartitionRoot::EMPTY; self.partitions.len()];
                self.versions.insert(at, (epoch, self.top_of(empty)));
            }
            let known = self.versions.iter_mut().find(|(other, _)| *other == epoch);
            if let Some(root) = known.and_then(|(_, top)| top.parts.get_mut(part)) {
                *root = *found;
            }
        }
        if let Some(place) = self.partitions.get_mut(part) {
            *place = Some(Box::new(partition));
        }
    }

    /// Computes the roots of all versions from those of the partitions.
    pub(crate) fn seal(&mut self) {
        for index in 0..self.versions.len() {
            let parts = self.versions.get_mut(index).map(|(_, top)| std::mem::take(&mut top.parts));
            let top = parts.map(|parts| self.top_of(parts));
            if let (Some((_, old)), Some(top)) = (self.versions.get_mut(index), top) {
                *old = top;
            }
        }
        self.renew_top();
    }

    fn version(&self, epoch: u64) -> Option<&Top> {
        let found = self.versions.binary_search_by_key(&epoch, |(epoch, _)| *epoch).ok()?;
        self.versions.get(found).map(|(_, top)| top)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::cast_possible_truncation, clippy::arithmetic_side_effects, reason = "tests")]

    use super::*;
    use crate::{Leaf, Parallel, Settings};

    const SETTINGS: Settings =
        Settings { root_depth: 0, partition_trits: 2, parallel: Parallel::Never, huge_pages: false };

    fn key(number: u64) -> Key {
        *blake3::hash(&number.to_le_bytes()).as_bytes()
    }

    /// Changes of keys of some partitions, a third of them removals.
    fn batch(trie: &Trie, parts: &[usize], round: u64) -> Vec<(Key, Option<Leaf>)> {
        let numbers = (0..300).filter(|number| (number + round) % 5 < 2);
        let change = |number: u64| {
            let value = vec![round as u8; (number % 4 * 30) as usize];
            (key(number), Some(Leaf { value, sum: round }).filter(|_| !(number / 5 + round).is_multiple_of(3)))
        };
        numbers.map(change).filter(|(key, _)| parts.contains(&trie.partition_of(key))).collect()
    }

    fn assert_same(trie: &Trie, twin: &Trie) {
        assert!(trie.retained().eq(twin.retained()));
        for epoch in twin.retained().map(Some).chain([None]) {
            let view = |trie| epoch.map_or(Trie::current(trie), |epoch| Trie::view(trie, epoch).unwrap());
            let (got, want) = (view(trie), view(twin));
            assert_eq!(got.root(), want.root());
            assert!(got.iter().eq(want.iter()), "{epoch:?}");
            for number in 0..40 {
                assert_eq!(got.prove(&key(number)), want.prove(&key(number)));
            }
        }
    }

    /// Four rounds, a version after each; epochs 10 to 40.
    fn grown() -> Trie {
        let mut trie = Trie::with_settings(SETTINGS);
        for round in 1..=4 {
            trie.update(&batch(&trie, &[0, 1, 2, 3, 4, 5, 6, 7, 8], round)).unwrap();
            trie.retain(10 * round);
        }
        trie
    }

    #[test]
    fn partitions_leave_and_come_back() {
        let (mut trie, mut twin) = (grown(), grown());
        let before = trie.stats();
        let out = [0, 4, 8];
        let mut kept: Vec<(usize, Partition)> =
            out.iter().map(|&part| (part, trie.partition(part).unwrap().clone())).collect();
        out.iter().for_each(|&part| trie.evict(part));
        assert_eq!(trie.stats().compressions, before.compressions);
        assert!(trie.stats().leaves < before.leaves);

        // The others live on: a batch, a version more, and some fewer.
        let batch = batch(&trie, &[1, 2, 3, 5, 6, 7], 7);
        for trie in [&mut trie, &mut twin] {
            trie.update(&batch).unwrap();
            trie.retain(50);
            trie.prune(25);
        }
        assert_eq!(trie.root(), twin.root());
        for (part, mut partition) in kept.drain(..) {
            // What is stored of it knows the new version and still the pruned ones.
            partition.retain(50);
            trie.admit(part, partition).unwrap();
        }
        assert_same(&trie, &twin);
        let all: Vec<_> = (0..300).map(|number| (key(number), None::<Leaf>)).collect();
        for trie in [&mut trie, &mut twin] {
            assert_eq!(trie.update(&all).unwrap(), Root::EMPTY);
        }
        assert_same(&trie, &twin);
        trie.prune(u64::MAX);
        assert_eq!((trie.stats().leaves, trie.stats().nodes), (0, 0));
    }

    #[test]
    fn what_differs_is_not_admitted() {
        let mut trie = grown();
        let (part, root) = (4, trie.root());
        let right = trie.partition(part).unwrap().clone();
        trie.evict(part);
        let late = batch(&trie, &[part], 9);
        let altered = |change: &dyn Fn(&mut Partition)| {
            let mut partition = right.clone();
            change(&mut partition);
            partition
        };
        let changed = altered(&|partition| partition.update(&late, &mut crate::update::Scratch::default()));
        assert_eq!(trie.admit(part, changed), Err(Mismatch { epoch: None }));
        let bare = altered(&|partition| partition.prune(u64::MAX));
        assert_eq!(trie.admit(part, bare), Err(Mismatch { epoch: Some(10) }));
        let older = altered(&|partition| partition.prune(15));
        assert_eq!(trie.admit(part, older), Err(Mismatch { epoch: Some(10) }));
        let newer = altered(&|partition| partition.retain(45));
        assert_eq!(trie.admit(part, newer), Err(Mismatch { epoch: Some(45) }));
        assert!(trie.partition(part).is_none());
        assert!(trie.retained().eq([10, 20, 30, 40]));
        trie.admit(part, right).unwrap();
        assert_eq!(trie.root(), root);
        assert_same(&trie, &grown());
    }

    #[test]
    fn a_trie_is_put_together_from_partitions() {
        let (whole, mut trie) = (grown(), Trie::with_settings(SETTINGS));
        for part in (0..trie.partition_count()).rev() {
            trie.install(part, whole.partition(part).unwrap().clone());
            // As where memory is short: its roots stay.
            if part.is_multiple_of(2) {
                trie.evict(part);
            }
        }
        trie.seal();
        assert!((1..=4).all(|round| trie.root_at(10 * round) == whole.root_at(10 * round)));
        for part in (0..trie.partition_count()).step_by(2) {
            trie.admit(part, whole.partition(part).unwrap().clone()).unwrap();
        }
        assert_same(&trie, &whole);
    }
}
