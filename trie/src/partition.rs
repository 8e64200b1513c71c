//! One part of the key space: its cells, its root, and the versions it retains.
//!
//! A version is a root, and the moment at which it was retained. What cells were then is kept in a log before an
//! update changes them ([`Partition::own_node`]; see `past.rs`), and the number of a cell that the current content no
//! longer reaches is noted with the newest version, as long as that or an older one reaches it. Versions go oldest
//! first, and with each its part of the log and its noted cells.

#![allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "arithmetic kernel: turns are 0 to 2, depths at most 162, counters count cells in memory"
)]

mod read;

use crate::cell::{LeafCell, LongValues, Named, NodeCell, Ref, Stamp};
use crate::levels::Levels;
use crate::past::{Moments, Past};
use crate::slab::Slab;
use smt_trie_proof::{EMPTY_HASH, Hash, Key, KeyPath, LEADING_TRITS, block_hash};
use std::collections::VecDeque;

/// A part of the key space: all keys that share the trits before its slot.
#[derive(Clone, Debug)]
pub(crate) struct Partition {
    /// Depth of its slot.
    pub(crate) slot: u8,
    pub(crate) nodes: Slab<NodeCell>,
    pub(crate) leaves: Slab<LeafCell>,
    pub(crate) long: LongValues,
    pub(crate) root: PartitionRoot,
    versions: VecDeque<Version>,
    past_nodes: Past,
    past_leaves: Past,
    /// When the newest version was retained: it may see cells that have not changed since.
    newest: Moments,
    /// BLAKE3 compressions done so far.
    pub(crate) compressions: u64,
}

/// The content of a partition, by hash; enough to hash its topmost node anew for another slot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PartitionRoot {
    pub(crate) at: Ref,
    /// As in the partition's own slot.
    pub(crate) hash: Hash,
    pub(crate) sum: u64,
    /// Number of keys.
    pub(crate) len: u64,
    pub(crate) apex: Apex,
}

/// The topmost cell of a partition, by value.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Apex {
    Empty,
    Leaf(LeafCell),
    /// With the path of some key below where the cell does not hold the whole prefix.
    Node(NodeCell, Option<KeyPath>),
}

impl PartitionRoot {
    pub(crate) const EMPTY: Self = Self { at: Ref::NOTHING, hash: EMPTY_HASH, sum: 0, len: 0, apex: Apex::Empty };

    /// The hash it has in a slot at depth `slot`, and how many hashes that took.
    pub(crate) fn hash_at(&self, slot: u8) -> (Hash, u64) {
        match &self.apex {
            Apex::Empty => (EMPTY_HASH, 0),
            Apex::Leaf(leaf) => (block_hash(&leaf.block(slot)), 1),
            Apex::Node(cell, path) => {
                let path = || path.expect("a deep apex comes with its path");
                let levels = Levels::new(cell, slot, path);
                (crate::levels::hash(levels.top()), 1 + u64::from(levels.chain.is_some()))
            }
        }
    }

    /// Some key, or its beginning: 40 trits.
    pub(crate) fn head(&self) -> u64 {
        match &self.apex {
            Apex::Empty => 0,
            Apex::Leaf(leaf) => smt_trie_proof::leading_trits(&leaf.key),
            Apex::Node(cell, _) => cell.head,
        }
    }
}

/// Same content, wherever its cells stand.
impl PartialEq for PartitionRoot {
    fn eq(&self, other: &Self) -> bool {
        (self.hash, self.sum, self.len) == (other.hash, other.sum, other.len)
    }
}

#[derive(Clone, Debug)]
struct Version {
    epoch: u64,
    root: PartitionRoot,
    moments: Moments,
    /// Cells kept in the log since, until the next version, that are not noted below as well.
    past_nodes: usize,
    past_leaves: usize,
    /// Cells that this version is the newest to reach.
    last_nodes: Vec<u32>,
    last_leaves: Vec<u32>,
    /// Long values of leaves that it is the newest to reach.
    last_long: Vec<u32>,
}

impl Partition {
    /// An empty partition whose slot is at depth `slot`.
    pub(crate) fn new(slot: u8, huge_pages: bool) -> Self {
        Self {
            slot,
            nodes: Slab::new(huge_pages),
            leaves: Slab::new(huge_pages),
            long: LongValues::default(),
            root: PartitionRoot::EMPTY,
            versions: VecDeque::new(),
            past_nodes: Past::default(),
            past_leaves: Past::default(),
            newest: Moments::START,
            compressions: 0,
        }
    }

    /// The current content becomes version `epoch`, newer than all others.
    pub(crate) fn retain(&mut self, epoch: u64) {
        self.rebase();
        self.newest = Moments { nodes: self.past_nodes.begin(), leaves: self.past_leaves.begin() };
        self.versions.push_back(Version {
            epoch,
            root: self.root,
            moments: self.newest,
            past_nodes: 0,
            past_leaves: 0,
            last_nodes: Vec::new(),
            last_leaves: Vec::new(),
            last_long: Vec::new(),
        });
    }

    /// Stamps do not reach for ever: once in some million records all positions are made smaller.
    fn rebase(&mut self) {
        if let Some(by) = self.past_nodes.to_rebase() {
            self.past_nodes.rebase(by);
            self.nodes.for_each_mut(|node| node.stamp.rebase(by));
            self.versions.iter_mut().for_each(|version| version.moments.nodes.rebase(by));
        }
        if let Some(by) = self.past_leaves.to_rebase() {
            self.past_leaves.rebase(by);
            self.leaves.for_each_mut(|leaf| leaf.stamp.rebase(by));
            self.versions.iter_mut().for_each(|version| version.moments.leaves.rebase(by));
        }
    }

    /// Drops all versions before `before`. Cost: the cells only they reach.
    pub(crate) fn prune(&mut self, before: u64) {
        while let Some(version) = self.versions.pop_front_if(|version| version.epoch < before) {
            for node in version.last_nodes {
                self.nodes.free(node);
            }
            for leaf in version.last_leaves {
                self.leaves.free(leaf);
            }
            for long in version.last_long {
                self.long.free(long);
            }
        }
        let oldest = self.versions.front().map_or(Moments::NOW, |version| version.moments);
        self.past_nodes.drop_before(oldest.nodes, &mut self.nodes);
        self.past_leaves.drop_before(oldest.leaves, &mut self.leaves);
        if self.versions.is_empty() {
            self.newest = Moments::START;
        }
    }

    /// Asks the processor to fetch a cell that is needed soon.
    #[inline]
    pub(crate) fn prefetch(&self, at: Ref) {
        match at.named() {
            Named::Node(node) => self.nodes.prefetch(node),
            Named::Leaf(leaf) => self.leaves.prefetch(leaf),
            Named::Nothing => {}
        }
    }

    /// Bytes of memory held.
    pub(crate) fn resident_bytes(&self) -> usize {
        let stale = |version: &Version| {
            let Version { last_nodes, last_leaves, last_long, .. } = version;
            4 * (last_nodes.capacity() + last_leaves.capacity() + last_long.capacity())
        };
        self.nodes.bytes()
            + self.leaves.bytes()
            + self.long.bytes()
            + self.versions.iter().map(stale).sum::<usize>()
            + size_of::<Self>()
    }

    /// Leaves in memory, those that only versions see included.
    pub(crate) fn leaf_count(&self) -> usize {
        self.leaves.used() + self.versions.iter().map(|version| version.past_leaves).sum::<usize>()
    }

    /// Inner nodes in memory, those that only versions see included.
    pub(crate) fn node_count(&self) -> usize {
        self.nodes.used() + self.versions.iter().map(|version| version.past_nodes).sum::<usize>()
    }

    /// Makes sure that a node may be changed: what versions see of it is kept first. Returns its number, which is
    /// another one where the log is full. Needs an open [`crate::stream::Stream`].
    #[inline]
    pub(crate) fn own_node(&mut self, number: u32) -> u32 {
        let node = *self.nodes.get(number);
        if self.newest.nodes.is_before(node.stamp) {
            return number;
        }
        let newest = self.versions.back_mut().expect("without versions every stamp is after the newest");
        let Some((stamp, place)) = self.past_nodes.push(&mut self.nodes) else {
            newest.last_nodes.push(number);
            return self.new_node(node);
        };
        newest.past_nodes += 1;
        crate::stream::write(self.nodes.get_mut(place), &node);
        self.nodes.get_mut(number).stamp = stamp;
        number
    }

    /// A new inner node.
    pub(crate) fn new_node(&mut self, cell: NodeCell) -> u32 {
        self.nodes.alloc(NodeCell { stamp: self.newest.nodes.stamp(), ..cell })
    }

    /// The current content no longer reaches the node.
    pub(crate) fn drop_node(&mut self, number: u32) {
        let stamp = self.nodes.get(number).stamp;
        match self.versions.back_mut() {
            // New since the newest version, and so nothing that any version sees.
            Some(_) if stamp == self.newest.nodes.stamp() => self.nodes.free(number),
            Some(newest) => {
                // Versions come to what is in the log by the cell's number.
                newest.past_nodes -= usize::from(self.newest.nodes.is_before(stamp));
                newest.last_nodes.push(number);
            }
            None => self.nodes.free(number),
        }
    }

    /// The current content no longer reaches the leaf.
    pub(crate) fn drop_leaf(&mut self, number: u32) {
        let LeafCell { long, stamp, .. } = *self.leaves.get(number);
        let changed = self.newest.leaves.is_before(stamp);
        match self.versions.back_mut() {
            Some(_) if stamp == self.newest.leaves.stamp() => self.leaves.free(number),
            Some(newest) => {
                newest.past_leaves -= usize::from(changed);
                newest.last_leaves.push(number);
            }
            None => self.leaves.free(number),
        }
        self.drop_long(long, changed);
    }

    /// The current content no longer has the long value `long`; `changed` says that no version has it either.
    fn drop_long(&mut self, long: u32, changed: bool) {
        match self.versions.back_mut() {
            _ if long == 0 => {}
            Some(newest) if !changed => newest.last_long.push(long),
            _ => self.long.free(long),
        }
    }

    /// A new leaf.
    pub(crate) fn new_leaf(&mut self, key: &Key, value: &[u8], sum: u64) -> u32 {
        let cell = self.leaf_cell(key, value, sum, self.newest.leaves.stamp());
        self.leaves.alloc(cell)
    }

    /// Another value for a leaf; returns its number, which is another one where the log is full, and the old sum.
    /// Needs an open [`crate::stream::Stream`].
    #[inline]
    pub(crate) fn set_leaf(&mut self, number: u32, value: &[u8], sum: u64) -> (u32, u64) {
        let old = *self.leaves.get(number);
        let LeafCell { key, sum: before, long, mut stamp, .. } = old;
        let changed = self.newest.leaves.is_before(stamp);
        if !changed {
            let Some((kept, place)) = self.past_leaves.push(&mut self.leaves) else {
                self.drop_leaf(number);
                return (self.new_leaf(&key, value, sum), before);
            };
            crate::stream::write(self.leaves.get_mut(place), &old);
            self.versions.back_mut().expect("without versions every stamp is after the newest").past_leaves += 1;
            stamp = kept;
        }
        self.drop_long(long, changed);
        *self.leaves.get_mut(number) = self.leaf_cell(&key, value, sum, stamp);
        (number, before)
    }

    fn leaf_cell(&mut self, key: &Key, value: &[u8], sum: u64, stamp: Stamp) -> LeafCell {
        let content = smt_trie_proof::content(value);
        let len = u16::try_from(value.len()).expect("an update checks that values are at most 1,024 bytes");
        let mut cell = LeafCell::new(*key, content, len, sum, stamp);
        if cell.short_value().is_none() {
            cell.long = self.long.put(value);
            // One compression per 64 bytes; a chunk of 1,024 bytes has no parents.
            self.compressions += value.len().div_ceil(64) as u64;
        }
        cell
    }
}

/// The child of a node that branches at trit `branch` to which `key` goes; `head` is the key's.
#[inline]
pub(crate) fn turn(key: &Key, head: u64, branch: u8) -> usize {
    if branch < LEADING_TRITS {
        crate::cell::trit_of_head(head, branch)
    } else {
        usize::from(KeyPath::new(key).trit(branch))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trie::Leaf;
    use crate::update::Scratch;

    /// Versions 1 to 3 of three keys, of which each changes one after the one before was retained.
    fn assert_versions_hold(partition: &mut Partition) {
        let mut scratch = Scratch::default();
        let entry = |byte: u8, sum| ([byte; 32], Some(Leaf { value: vec![byte; 100], sum }));
        partition.update(&[entry(1, 1), entry(2, 2), entry(200, 3)], &mut scratch);
        for epoch in 1..4 {
            partition.retain(epoch);
            // Twice, as what changes again is not kept again; and one that comes and goes.
            partition.update(&[entry(1, 99), entry(2, 99), entry(3, 0)], &mut scratch);
            partition.update(&[entry(1, 10 * epoch), entry(2, 2), ([3; 32], None)], &mut scratch);
        }
        for epoch in 1..4 {
            let entries: Vec<_> = partition.iter(Some(epoch)).collect();
            assert!(entries.iter().all(|(key, entry)| entry.value == [key[0]; 100]));
            let sums: Vec<u64> = entries.iter().map(|(_, entry)| entry.sum).collect();
            assert_eq!(sums, [if epoch == 1 { 1 } else { 10 * (epoch - 1) }, 2, 3], "epoch {epoch}");
        }
        partition.prune(3);
        assert!(partition.iter(Some(3)).map(|(_, entry)| entry.sum).eq([20, 2, 3]));
        let removal = |byte: u8| ([byte; 32], None::<Leaf>);
        partition.update(&[removal(1), removal(2), removal(200)], &mut scratch);
        partition.prune(4);
        assert_eq!((partition.leaf_count(), partition.node_count()), (0, 0));
        assert!(partition.long.is_empty());
    }

    #[test]
    fn versions_outlive_the_count_of_records() {
        for skipped in [0, 1, 1 << 22, (1 << 22) + 1] {
            let mut partition = Partition::new(0, false);
            partition.past_nodes.skip(skipped);
            partition.past_leaves.skip(skipped);
            assert_versions_hold(&mut partition);
            assert_versions_hold(&mut partition);
        }
    }

    #[test]
    fn positions_become_smaller_under_versions_that_are_read() {
        let (mut partition, mut scratch) = (Partition::new(0, false), Scratch::default());
        partition.past_nodes.skip((1 << 22) - 1);
        partition.past_leaves.skip((1 << 22) - 1);
        let batch = |sum| -> Vec<_> { (0..=255).map(|byte| ([byte; 32], Some(Leaf { value: [byte], sum }))).collect() };
        partition.update(&batch(0), &mut scratch);
        let (mut smaller, mut last) = (0, partition.newest);
        for epoch in 1..12 {
            partition.retain(epoch);
            smaller += usize::from(partition.newest.nodes < last.nodes && partition.newest.leaves < last.leaves);
            last = partition.newest;
            partition.update(&batch(epoch), &mut scratch);
            partition.prune(epoch.saturating_sub(2));
            for retained in epoch.saturating_sub(2).max(1)..=epoch {
                let sums: Vec<u64> = partition.iter(Some(retained)).map(|(_, entry)| entry.sum).collect();
                assert_eq!(sums, [retained - 1; 256], "version {retained} at epoch {epoch}");
            }
        }
        assert_eq!(smaller, 1);
    }

    #[test]
    fn versions_hold_where_the_log_is_full() {
        for (nodes, leaves) in (0..8).flat_map(|nodes| (0..8).map(move |leaves| (nodes, leaves))) {
            let mut partition = Partition::new(0, false);
            partition.past_nodes.limit(nodes);
            partition.past_leaves.limit(leaves);
            assert_versions_hold(&mut partition);
        }
    }
}
