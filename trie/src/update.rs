//! One batch applied to one partition, level by level.
//!
//! *Descent.* Level 0 is a partition's slot with all changes; an item of the next level is a child
//! slot with the changes that go there. All structure is made on the way down: what a node was is kept where a
//! version sees it, leaves are put and removed, a slot where keys part anew gets its node. Items of
//! one level are independent, and the cells of the next one are prefetched while they are cut, so
//! that the cache misses of a batch overlap.
//!
//! *Ascent.* From the deepest level up, nodes that lost children are taken away or give way to their
//! only child, sums take up the changes from below, and nodes are hashed many at a time. (Fetching the next partition's
//! cells meanwhile was tried and is slower.)
//!
//! Each node above a change is touched once in each direction. Nothing here fails: what could be
//! wrong with a batch is checked before.

#![allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "arithmetic kernel: turns are 0 to 2, depths at most 162, and a batch has fewer than 2^32 items"
)]

use crate::cell::{Named, Ref};
use crate::partition::Partition;
use crate::stream::Stream;
use crate::trie::Leaf;
use smt_trie_proof::{Block, Hash, Key, leading_trits};
use std::cmp::Ordering;
use std::ops::Range;

/// Items that descend at a time, before what they hand down is fetched. Memory is asked for in bursts: the processor
/// waits for the translation of each address, and only for what stands close together in the program at once.
const DESCEND_ITEMS: usize = 8;
/// Items that ascend at a time: four groups of the hash kernel's lanes, whose inputs fit the first-level cache.
const ASCEND_ITEMS: usize = 64;

/// The changes of a batch, by position.
pub(crate) trait Batch: Sync {
    fn key(&self, position: u32) -> &Key;
    /// Value and sum to put; `None` removes.
    fn leaf(&self, position: u32) -> Option<(&[u8], u64)>;
    /// Asks the processor to fetch a change that is needed soon.
    fn prefetch(&self, position: u32);
}

impl<V: AsRef<[u8]> + Sync> Batch for [(Key, Option<Leaf<V>>)] {
    #[inline]
    fn key(&self, position: u32) -> &Key {
        &self[position as usize].0
    }

    #[inline]
    fn leaf(&self, position: u32) -> Option<(&[u8], u64)> {
        self[position as usize].1.as_ref().map(|leaf| (leaf.value.as_ref(), leaf.sum))
    }

    #[inline]
    fn prefetch(&self, position: u32) {
        crate::prefetch::prefetch(&self[position as usize]);
    }
}

/// A change by the beginning of its key, ready to be sorted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change {
    /// First 40 trits of the key.
    pub(crate) head: u64,
    /// Position in the batch.
    pub(crate) position: u32,
}

/// A slot on the way down and up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Item {
    /// What stands in the slot: before the batch on the way down, after it on the way up.
    pub(crate) at: Ref,
    /// Item of the level above whose node this is a child of, and which.
    pub(crate) parent: u32,
    pub(crate) turn: u8,
    /// Depth of the slot.
    pub(crate) slot: u8,
    /// Changes that go here.
    pub(crate) from: u32,
    pub(crate) to: u32,
    /// What the batch adds to the sum of the slot, modulo 2^64: exact, as both sums fit u64.
    pub(crate) delta: u64,
}

impl Item {
    pub(crate) fn range(&self) -> Range<usize> {
        self.from as usize..self.to as usize
    }
}

/// Memory that updates use again and again.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scratch {
    /// Items of every level of one partition, its slot first.
    levels: Vec<Vec<Item>>,
    buffers: Buffers,
}

/// Inputs and outputs of the hash kernel.
#[derive(Clone, Debug, Default)]
pub(crate) struct Buffers {
    pub(crate) blocks: Vec<Block>,
    pub(crate) hashes: Vec<Hash>,
}

impl Partition {
    /// Applies a batch that was checked before; all its keys belong here.
    pub(crate) fn update<V: AsRef<[u8]> + Sync>(&mut self, batch: &[(Key, Option<Leaf<V>>)], scratch: &mut Scratch) {
        let mut changes = Vec::with_capacity(batch.len());
        changes.extend((0..).zip(batch).map(|(position, (key, _))| Change { head: leading_trits(key), position }));
        changes.sort_unstable_by(|a, b| order(a, b, batch));
        if !changes.is_empty() {
            self.apply(&mut changes, batch, scratch);
        }
    }

    /// Applies `changes`, sorted by key; all keys belong here and none comes twice.
    pub(crate) fn apply<B: Batch + ?Sized>(&mut self, changes: &mut [Change], batch: &B, scratch: &mut Scratch) {
        // The log is written past the caches; nothing below reads it.
        let _stream = Stream::open();
        let Scratch { levels, buffers } = scratch;
        let (at, slot, to) = (self.root.at, self.slot, changes.len() as u32);
        levels.resize_with(levels.len().max(1), Vec::new);
        levels[0].clear();
        levels[0].push(Item { at, parent: 0, turn: 0, slot, from: 0, to, delta: 0 });
        let mut depth = 0;
        while !levels[depth].is_empty() {
            levels.resize_with(levels.len().max(depth + 2), Vec::new);
            let (here, below) = levels.split_at_mut(depth + 1);
            let next = &mut below[0];
            next.clear();
            let mut index = 0;
            for items in here[depth].chunks_mut(DESCEND_ITEMS) {
                let handed = next.len();
                for item in items {
                    self.descend(item, index, changes, batch, next);
                    index += 1;
                }
                self.fetch(&next[handed..], changes, batch);
            }
            depth += 1;
        }
        for level in (0..depth).rev() {
            let (above, here) = levels.split_at_mut(level);
            let above = above.last_mut().map_or(&mut [][..], Vec::as_mut_slice);
            for items in here[0].chunks_mut(ASCEND_ITEMS) {
                self.ascend(above, items, buffers);
            }
        }
    }

    /// Asks the processor to fetch what items need on their way down.
    #[inline]
    fn fetch<B: Batch + ?Sized>(&self, items: &[Item], changes: &[Change], batch: &B) {
        for item in items {
            self.prefetch(item.at);
        }
        for item in items {
            if !matches!(item.at.named(), Named::Node(_)) && item.from < item.to {
                // What is put there is needed as soon.
                batch.prefetch(changes[item.from as usize].position);
            }
        }
    }
}

/// Changes in the order of their keys.
#[inline]
pub(crate) fn order<B: Batch + ?Sized>(a: &Change, b: &Change, batch: &B) -> Ordering {
    a.head.cmp(&b.head).then_with(|| batch.key(a.position).cmp(batch.key(b.position)))
}
