//! A part of a trie put together from the root side down, then hashed from the leaves up, a level at a time.
//!
//! What checks a multi-proof or a chunk knows the nodes in pre-order. Hashing waits until all are known, so that
//! each level goes through the many-lane kernel in one call.

#![allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "indices come from this module alone; offsets are constants inside 128 bytes"
)]

use alloc::vec::Vec;

use crate::kernel::{GROUP, Midstate, finish_group, hash_group};
use crate::node::{
    Block, EMPTY_BLOCK, NODE_BYTES, SKIP_TRITS_MAX, Skip, block_fields, inner_block, inner_tail, second_half,
};
use crate::{EMPTY_HASH, Hash, Root};

/// Why nodes put together are not part of any trie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RebuildError {
    /// A node without children, or with one but not as part of a chain.
    #[error("the node at depth {0} has too few children")]
    FewChildren(u8),
    /// The children's sums do not fit u64.
    #[error("the sums below depth {0} overflow")]
    SumOverflow(u8),
}

/// Where a node hangs: a node added before it, and the turn to take there.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) parent: usize,
    pub(crate) turn: u8,
}

/// Nodes in an order in which parents come before children; the first is the root's.
#[derive(Default)]
pub(crate) struct Rebuild {
    nodes: Vec<Node>,
    /// By distance from the root in nodes.
    levels: Vec<Level>,
}

/// Indices of nodes as far from the root as one another, by what is left to hash.
#[derive(Default)]
struct Level {
    blocks: Vec<usize>,
    tails: Vec<usize>,
    hashed: Vec<usize>,
}

struct Node {
    /// The preimage so far. In midstate form the first 32 bytes are the midstate, and 32..64 mean nothing.
    block: Block,
    /// So far: what is not below a node added here.
    sum: u64,
    form: Form,
    place: Option<Place>,
    /// Distance from the root in nodes.
    level: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Hashed already; the hash is in the first 32 bytes.
    Hashed,
    Leaf,
    /// All of an inner node that stands below what was asked about.
    Closed,
    /// An inner node, all children known: how many so far, and whether one is a leaf.
    Whole {
        children: u8,
        leaf: bool,
    },
    /// An inner node of whose children only the last is known.
    Midstate,
}

impl Rebuild {
    /// A leaf.
    pub(crate) fn leaf(&mut self, place: Option<Place>, block: Block) {
        let (_, _, sum) = block_fields(&block);
        self.add(place, Form::Leaf, block, sum);
    }

    /// An inner node with nothing to be added below.
    pub(crate) fn closed(&mut self, place: Option<Place>, block: Block) {
        let (_, _, sum) = block_fields(&block);
        self.add(place, Form::Closed, block, sum);
    }

    /// A subtree of several keys whose root is known.
    pub(crate) fn subtree(&mut self, place: Option<Place>, root: &Root) {
        let mut block = [0; NODE_BYTES];
        block[..32].copy_from_slice(&root.hash);
        self.add(place, Form::Hashed, block, root.sum);
    }

    /// An inner node, to get further children; answers what to give as their parent.
    ///
    /// `children`: those that are not added; `rest`: their sum.
    pub(crate) fn inner(
        &mut self,
        place: Option<Place>,
        slot: u8,
        skip: &Skip,
        children: &[Hash; 3],
        rest: u64,
    ) -> usize {
        let count = children.iter().map(|hash| u8::from(*hash != EMPTY_HASH)).sum();
        let block = inner_block(slot, skip, children, 0);
        self.add(place, Form::Whole { children: count, leaf: false }, block, rest)
    }

    /// An inner node of which only child 2 can be added; `rest` is the sum of the other two.
    pub(crate) fn midstate(
        &mut self,
        place: Option<Place>,
        slot: u8,
        skip: &Skip,
        midstate: &Midstate,
        rest: u64,
    ) -> usize {
        let mut block = [0; NODE_BYTES];
        block[..32].copy_from_slice(midstate);
        block[64..].copy_from_slice(&inner_tail(slot, skip, &EMPTY_HASH, 0));
        self.add(place, Form::Midstate, block, rest)
    }

    fn add(&mut self, place: Option<Place>, form: Form, block: Block, sum: u64) -> usize {
        let level = place.map_or(0, |place| self.nodes[place.parent].level + 1);
        let index = self.nodes.len();
        self.nodes.push(Node { block, sum, form, place, level });
        if level == self.levels.len() {
            self.levels.push(Level::default());
        }
        let level = &mut self.levels[level];
        match form {
            Form::Hashed => level.hashed.push(index),
            Form::Midstate => level.tails.push(index),
            Form::Leaf | Form::Closed | Form::Whole { .. } => level.blocks.push(index),
        }
        index
    }

    /// Hash and sum of the first node; of the empty slot if there is none.
    ///
    /// Cost: what hashing the nodes costs, many at a time.
    pub(crate) fn root(mut self) -> Result<Root, RebuildError> {
        let mut root = Root::EMPTY;
        let mut hashes = [EMPTY_HASH; GROUP];
        // All that hangs below a level has been hashed before it.
        while let Some(level) = self.levels.pop() {
            for &index in level.blocks.iter().chain(&level.tails) {
                self.nodes[index].close()?;
            }
            for group in level.blocks.chunks(GROUP) {
                let mut blocks = [&EMPTY_BLOCK; GROUP];
                blocks.iter_mut().zip(group).for_each(|(block, &index)| *block = &self.nodes[index].block);
                hash_group(&blocks[..group.len()], &mut hashes[..group.len()]);
                self.give(group, &hashes, &mut root)?;
            }
            for group in level.tails.chunks(GROUP) {
                let mut tails = [(&EMPTY_HASH, second_half(&EMPTY_BLOCK)); GROUP];
                for (tail, &index) in tails.iter_mut().zip(group) {
                    let block = &self.nodes[index].block;
                    *tail = (first_hash(block), second_half(block));
                }
                finish_group(&tails[..group.len()], &mut hashes[..group.len()]);
                self.give(group, &hashes, &mut root)?;
            }
            for group in level.hashed.chunks(GROUP) {
                hashes.iter_mut().zip(group).for_each(|(hash, &index)| *hash = *first_hash(&self.nodes[index].block));
                self.give(group, &hashes, &mut root)?;
            }
        }
        Ok(root)
    }

    /// Gives these nodes' hashes and sums to their parents, and the first node's to `root`.
    fn give(&mut self, group: &[usize], hashes: &[Hash], root: &mut Root) -> Result<(), RebuildError> {
        for (&index, hash) in group.iter().zip(hashes) {
            let Node { sum, place, form, .. } = self.nodes[index];
            match place {
                Some(place) => self.nodes[place.parent].take_child(place.turn, hash, sum, form == Form::Leaf)?,
                None => *root = Root { hash: *hash, sum },
            }
        }
        Ok(())
    }
}

/// The first 32 bytes: a midstate, or the hash of what is hashed already.
fn first_hash(block: &Block) -> &Hash {
    block.first_chunk().expect("a block is longer than a hash")
}

impl Node {
    fn slot(&self) -> u8 {
        self.block[97]
    }

    /// The node's sum is known now, and whether it has the children it must have.
    fn close(&mut self) -> Result<(), RebuildError> {
        if let Form::Whole { children, leaf } = self.form {
            // Two children at least, or else one, an inner node, below a full skip.
            let chain = children == 1 && !leaf && self.block[98] == SKIP_TRITS_MAX;
            if children < 2 && !chain {
                return Err(RebuildError::FewChildren(self.slot()));
            }
        }
        if matches!(self.form, Form::Whole { .. } | Form::Midstate) {
            self.block[99..107].copy_from_slice(&self.sum.to_le_bytes());
        }
        Ok(())
    }

    fn take_child(&mut self, turn: u8, hash: &Hash, sum: u64, is_leaf: bool) -> Result<(), RebuildError> {
        let at = usize::from(turn) * 32;
        self.block[at..at + 32].copy_from_slice(hash);
        self.sum = self.sum.checked_add(sum).ok_or(RebuildError::SumOverflow(self.slot()))?;
        if let Form::Whole { children, leaf } = &mut self.form {
            *children += 1;
            *leaf |= is_leaf;
        }
        Ok(())
    }
}
