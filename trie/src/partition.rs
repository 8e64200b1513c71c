//! One part of the key space: its cells, its root, and the versions it retains.
//!
//! A version is a root. The cells it reaches are never changed while it is retained: an update copies
//! what it would change ([`Partition::own_node`]), and the number of a cell that a newer version no
//! longer reaches is noted with the newest version that does. Versions go oldest first, and with
//! each its noted cells.

#![allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "arithmetic kernel: turns are 0 to 2, depths at most 162, counters count cells in memory"
)]

use crate::cell::{GENERATION_MAX, LeafCell, LongValues, Named, NodeCell, Ref};
use crate::levels::Levels;
use crate::slab::Slab;
use crate::trie::Entry;
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
    /// Goes up with each version: cells of older generations may be seen by one, cells of this generation by none.
    generation: u32,
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
    /// Cells that this version is the newest to reach.
    last_nodes: Vec<u32>,
    last_leaves: Vec<u32>,
    /// The long values of these leaves.
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
            generation: 1,
            compressions: 0,
        }
    }

    /// The current content becomes version `epoch`, newer than all others.
    pub(crate) fn retain(&mut self, epoch: u64) {
        if self.generation == GENERATION_MAX {
            // Once in sixteen million versions all cells are made old, and counting begins anew.
            self.nodes.for_each_mut(|node| *node = node.born_in(0));
            self.leaves.for_each_mut(|leaf| leaf.born = 0);
            self.generation = 0;
        }
        self.generation += 1;
        let (last_nodes, last_leaves, last_long) = (Vec::new(), Vec::new(), Vec::new());
        self.versions.push_back(Version { epoch, root: self.root, last_nodes, last_leaves, last_long });
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
    }

    /// The content of a retained version.
    pub(crate) fn root_at(&self, epoch: u64) -> Option<&PartitionRoot> {
        let found = self.versions.binary_search_by_key(&epoch, |version| version.epoch).ok()?;
        self.versions.get(found).map(|version| &version.root)
    }

    /// The retained versions, oldest first.
    pub(crate) fn version_roots(&self) -> impl Iterator<Item = (u64, &PartitionRoot)> {
        self.versions.iter().map(|version| (version.epoch, &version.root))
    }

    /// Asks the processor to fetch what a batch soon needs of a cell: of a leaf that it replaces, the key and the sum.
    #[inline]
    pub(crate) fn prefetch_for_update(&self, at: Ref) {
        match at.named() {
            Named::Leaf(leaf) if !self.versions.is_empty() => self.leaves.prefetch_head(leaf),
            _ => self.prefetch(at),
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

    /// A cell with the same content that no version sees: itself or a copy.
    #[inline]
    pub(crate) fn own_node(&mut self, number: u32) -> u32 {
        let Some(newest) = self.versions.back_mut() else { return number };
        let node = self.nodes.get(number);
        if node.born() == self.generation {
            return number;
        }
        newest.last_nodes.push(number);
        let copy = node.born_in(self.generation);
        self.nodes.alloc(copy)
    }

    /// A new inner node.
    pub(crate) fn new_node(&mut self, cell: NodeCell) -> u32 {
        self.nodes.alloc(cell.born_in(self.generation))
    }

    /// The current content no longer reaches the node.
    pub(crate) fn drop_node(&mut self, number: u32) {
        match self.versions.back_mut() {
            Some(newest) if self.nodes.get(number).born() != self.generation => newest.last_nodes.push(number),
            _ => self.nodes.free(number),
        }
    }

    /// The current content no longer reaches the leaf.
    pub(crate) fn drop_leaf(&mut self, number: u32) {
        let LeafCell { long, born, .. } = *self.leaves.get(number);
        match self.versions.back_mut() {
            Some(newest) if born != self.generation => {
                newest.last_leaves.push(number);
                newest.last_long.extend((long != 0).then_some(long));
            }
            _ => {
                self.leaves.free(number);
                if long != 0 {
                    self.long.free(long);
                }
            }
        }
    }

    /// A new leaf.
    pub(crate) fn new_leaf(&mut self, key: &Key, value: &[u8], sum: u64) -> u32 {
        let cell = self.leaf_cell(key, value, sum);
        self.leaves.alloc(cell)
    }

    /// Another value for a leaf; returns its number, which may be a new one, and the old sum.
    #[inline]
    pub(crate) fn set_leaf(&mut self, number: u32, value: &[u8], sum: u64) -> (u32, u64) {
        let old = self.leaves.get(number);
        let (key, before) = (old.key, old.sum);
        let in_place = self.versions.is_empty() || old.born == self.generation;
        if !in_place {
            self.drop_leaf(number);
            return (self.new_leaf(&key, value, sum), before);
        }
        if old.long != 0 {
            let long = old.long;
            self.long.free(long);
        }
        *self.leaves.get_mut(number) = self.leaf_cell(&key, value, sum);
        (number, before)
    }

    fn leaf_cell(&mut self, key: &Key, value: &[u8], sum: u64) -> LeafCell {
        let content = smt_trie_proof::content(value);
        let len = u16::try_from(value.len()).expect("an update checks that values are at most 1,024 bytes");
        let mut cell = LeafCell::new(*key, content, len, sum, self.generation);
        if cell.short_value().is_none() {
            cell.long = self.long.put(value);
            // One compression per 64 bytes; a chunk of 1,024 bytes has no parents.
            self.compressions += value.len().div_ceil(64) as u64;
        }
        cell
    }

    /// The value of a leaf.
    pub(crate) fn value<'a>(&'a self, leaf: &'a LeafCell) -> &'a [u8] {
        leaf.short_value().unwrap_or_else(|| self.long.get(leaf.long))
    }

    /// The path of some key below a node. Cost: a walk down; needed only for prefixes of more than 40 trits.
    pub(crate) fn path_below(&self, node: &NodeCell) -> KeyPath {
        let mut node = node;
        loop {
            let turn = node.turns().next().expect("inner nodes have children");
            match node.children[turn].named() {
                Named::Leaf(leaf) => return KeyPath::new(&self.leaves.get(leaf).key),
                Named::Node(below) => node = self.nodes.get(below),
                Named::Nothing => unreachable!("`turns` names children that are there"),
            }
        }
    }

    /// The leaf of `key` below `at`.
    pub(crate) fn find(&self, mut at: Ref, key: &Key, head: u64) -> Option<&LeafCell> {
        // Skips need no look: a leaf carries its key. Each step goes down at least one trit.
        loop {
            match at.named() {
                Named::Nothing => return None,
                Named::Leaf(leaf) => return Some(self.leaves.get(leaf)).filter(|leaf| leaf.key == *key),
                Named::Node(node) => {
                    let node = self.nodes.get(node);
                    at = node.children[turn(key, head, node.branch)];
                }
            }
        }
    }

    /// All leaves below `at`, in key order.
    pub(crate) fn leaves_below(&self, at: Ref) -> impl Iterator<Item = (&Key, Entry<'_>)> {
        let mut stack = vec![at];
        std::iter::from_fn(move || {
            loop {
                match stack.pop()?.named() {
                    Named::Nothing => {}
                    Named::Node(node) => stack.extend(self.nodes.get(node).children.iter().rev()),
                    Named::Leaf(leaf) => {
                        let leaf = self.leaves.get(leaf);
                        return Some((&leaf.key, Entry { value: self.value(leaf), sum: leaf.sum }));
                    }
                }
            }
        })
    }

    /// All leaves of the current content, or of a retained version; none for a version that is not retained.
    pub(crate) fn iter(&self, epoch: Option<u64>) -> impl Iterator<Item = (&Key, Entry<'_>)> {
        let root = match epoch {
            None => Some(&self.root),
            Some(epoch) => self.root_at(epoch),
        };
        self.leaves_below(root.map_or(Ref::NOTHING, |root| root.at))
    }

    /// The topmost cell by value, to go with a root.
    pub(crate) fn apex(&self, at: Ref) -> Apex {
        match at.named() {
            Named::Nothing => Apex::Empty,
            Named::Leaf(leaf) => Apex::Leaf(*self.leaves.get(leaf)),
            Named::Node(node) => {
                let node = self.nodes.get(node);
                Apex::Node(*node, (node.branch > LEADING_TRITS).then(|| self.path_below(node)))
            }
        }
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

    #[test]
    fn versions_outlive_the_count_of_generations() {
        let mut partition = Partition::new(0, false);
        let mut scratch = Scratch::default();
        let entry = |byte: u8, sum| ([byte; 32], Some(Leaf { value: vec![byte; 3], sum }));
        partition.update(&[entry(1, 1), entry(2, 2), entry(200, 3)], &mut scratch);
        // Cells of generation 1 meet generation 1 again, two versions later.
        partition.generation = GENERATION_MAX;
        for epoch in 1..4 {
            partition.retain(epoch);
            partition.update(&[entry(1, 10 * epoch)], &mut scratch);
        }
        for epoch in 1..4 {
            let sums: Vec<u64> = partition.iter(Some(epoch)).map(|(_, entry)| entry.sum).collect();
            assert_eq!(sums, [if epoch == 1 { 1 } else { 10 * (epoch - 1) }, 2, 3], "epoch {epoch}");
        }
    }
}
