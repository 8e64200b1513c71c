//! The few levels above the partitions, computed anew after every batch.
//!
//! A partition alone in its part of the key space stands higher up than its own slot: its topmost node is
//! hashed for the slot it really has.

#![allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "arithmetic kernel: at most 3^6 partitions; sums are parts of a total that fits u64"
)]

use crate::cell::{NodeCell, POWERS, Ref};
use crate::levels::Levels;
use crate::partition::PartitionRoot;
use smt_trie_proof::{EMPTY_HASH, Hash, Root};
use std::ops::Range;

/// The root of a trie and what lies between it and the partitions.
#[derive(Clone, Debug)]
pub(crate) struct Top {
    /// Inner nodes above the partitions; a leaf's [`Ref`] names a partition here. Number 0 is not used.
    pub(crate) nodes: Vec<NodeCell>,
    pub(crate) parts: Vec<PartitionRoot>,
    /// What stands in the root slot.
    pub(crate) at: Ref,
    pub(crate) root: Root,
    /// Number of keys.
    pub(crate) len: u64,
    /// Node hashes computed.
    pub(crate) hashes: u64,
}

impl Top {
    /// Over `3^trits` partitions, in key order, of a trie whose root slot is at depth `root_depth`.
    pub(crate) fn new(parts: Vec<PartitionRoot>, root_depth: u8, trits: u8) -> Self {
        let len = parts.iter().map(|part| part.len).sum();
        let nodes = Vec::new();
        let mut top = Self { nodes, parts, at: Ref::NOTHING, root: Root::EMPTY, len, hashes: 0 };
        top.nodes.push(NodeCell::new(0, 0, 0));
        let (at, hash, sum) = top.slot(0..top.parts.len(), root_depth, root_depth, trits);
        (top.at, top.root) = (at, Root { hash, sum });
        top
    }

    /// What stands in the slot at depth `slot` for a range of partitions.
    fn slot(&mut self, range: Range<usize>, slot: u8, root_depth: u8, trits: u8) -> (Ref, Hash, u64) {
        let mut filled = range.filter(|&part| self.parts[part].len > 0);
        let Some(first) = filled.next() else { return (Ref::NOTHING, EMPTY_HASH, 0) };
        let Some(last) = filled.next_back() else {
            let part = &self.parts[first];
            let (hash, hashes) = if slot == root_depth + trits { (part.hash, 0) } else { part.hash_at(slot) };
            self.hashes += hashes;
            return (Ref::leaf(first as u32), hash, part.sum);
        };
        // The first trit at which the outermost two part, as numbers of `trits` trits.
        let width = |level: u8| POWERS[usize::from(trits - level)] as usize;
        let level = (1..=trits).find(|&level| first / width(level) != last / width(level)).unwrap_or(trits);
        let branch = root_depth + level - 1;
        let (start, width) = (first / width(level - 1) * width(level - 1), width(level));
        let mut cell = NodeCell::new(branch, self.parts[first].head(), 0);
        for turn in 0..3 {
            let from = start + turn * width;
            let (at, hash, sum) = self.slot(from..from + width, branch + 1, root_depth, trits);
            cell.children[turn] = at;
            cell.hashes[turn] = hash;
            // Of a state that an update has checked this never wraps; one read from files may, and has another root then.
            cell.sum = cell.sum.wrapping_add(sum);
        }
        let levels = Levels::new(&cell, slot, || unreachable!("prefixes above partitions have at most 40 trits"));
        let hash = crate::levels::hash(levels.top());
        self.hashes += 1;
        self.nodes.push(cell);
        (Ref::node(self.nodes.len() as u32 - 1), hash, cell.sum)
    }
}

#[cfg(test)]
mod tests {
    use crate::{Leaf, Settings, Trie};

    #[test]
    fn hashes_above_partitions_are_counted() {
        let mut trie = Trie::with_settings(Settings::default());
        let put = |byte: u8, sum| ([byte; 32], Some(Leaf { value: [], sum }));
        // A leaf in its partition's slot and in the root slot.
        trie.update(&[put(0, 1)]).unwrap();
        assert_eq!(trie.stats().compressions, 2 * 2);
        // One more in its partition's slot, both in the slots they have now, and the root.
        trie.update(&[put(255, 2)]).unwrap();
        assert_eq!(trie.stats().compressions, 2 * (2 + 1 + 2 + 1));
    }
}
