//! The way up of an update: sums and hashes. See `update.rs`.

#![allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "arithmetic kernel: turns are 0 to 2, depths at most 162, and a batch has fewer than 2^32 items"
)]

use crate::cell::{Named, Ref};
use crate::levels::{Levels, short_skip};
use crate::partition::{Partition, PartitionRoot};
use crate::past::Moments;
use crate::update::{Buffers, Item};
use smt_trie_proof::{Block, EMPTY_HASH, Hash, hash_blocks, inner_block};

impl Partition {
    /// Finishes some items of one level: shape, sums and hashes, handed to the items above.
    pub(crate) fn ascend(&mut self, above: &mut [Item], here: &mut [Item], buffers: &mut Buffers) {
        let Buffers { blocks, hashes } = buffers;
        blocks.clear();
        for item in here.iter_mut() {
            if let Named::Node(number) = item.at.named() {
                let node = self.nodes.get_mut(number);
                node.sum = node.sum.wrapping_add(item.delta);
                if node.children_count() >= 2 {
                    if let Some(skip) = short_skip(node, node.branch - item.slot) {
                        blocks.push(inner_block(item.slot, &skip, &node.hashes, node.sum));
                        continue;
                    }
                } else {
                    // A node with one child would make the root depend on history.
                    item.at = node.children.into_iter().find(|child| !child.is_nothing()).unwrap_or(Ref::NOTHING);
                    self.drop_node(number);
                }
            }
            if let Some(block) = self.block(item.at, item.slot) {
                blocks.push(block);
            }
        }
        self.compressions += 2 * blocks.len() as u64;
        hashes.resize(blocks.len(), EMPTY_HASH);
        hash_blocks(blocks, hashes);
        let mut done = hashes.iter();
        for item in here.iter() {
            let hash = if item.at.is_nothing() { EMPTY_HASH } else { *done.next().expect("one hash a block") };
            let Some(parent) = above.get_mut(item.parent as usize) else {
                self.set_root(item, hash);
                continue;
            };
            parent.delta = parent.delta.wrapping_add(item.delta);
            if let Named::Node(number) = parent.at.named() {
                let node = self.nodes.get_mut(number);
                node.hashes[usize::from(item.turn)] = hash;
                node.children[usize::from(item.turn)] = item.at;
            }
        }
    }

    /// The preimage of what stands at `at`, in a slot at depth `slot`.
    fn block(&mut self, at: Ref, slot: u8) -> Option<Block> {
        match at.named() {
            Named::Nothing => None,
            Named::Leaf(number) => Some(self.leaves.get(number).block(slot)),
            Named::Node(number) => {
                let node = self.nodes.get(number);
                let levels = Levels::new(node, slot, || self.path_below(node, Moments::NOW));
                self.compressions += if levels.chain.is_some() { 2 } else { 0 };
                Some(levels.top().block())
            }
        }
    }

    fn set_root(&mut self, item: &Item, hash: Hash) {
        let PartitionRoot { sum, len, .. } = self.root;
        self.root =
            PartitionRoot { at: item.at, hash, sum: sum.wrapping_add(item.delta), len, apex: self.apex(item.at) };
    }
}
