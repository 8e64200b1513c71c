//! From a node in memory to the one or two nodes of the hash format.

use crate::cell::NodeCell;
use smt_trie_proof::{EMPTY_HASH, Hash, InnerNode, KeyPath, LEADING_TRITS, SKIP_TRITS_MAX, Skip, block_hash};

/// An inner node as the hash format has it: for a long skip, two nodes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Levels {
    /// The one-child node above `last`, where the skip does not fit `last` alone.
    pub(crate) chain: Option<InnerNode>,
    /// The node at which the keys part.
    pub(crate) last: InnerNode,
}

impl Levels {
    /// The node of `cell` in a slot at depth `slot`. `path` is that of any key below; it is asked for only where the
    /// cell does not hold enough of it.
    pub(crate) fn new(cell: &NodeCell, slot: u8, path: impl FnOnce() -> KeyPath) -> Self {
        let len = cell.branch.saturating_sub(slot);
        let node = |slot, skip, children| InnerNode { slot, skip, sum: cell.sum, children };
        if let Some(skip) = short_skip(cell, len) {
            return Self { chain: None, last: node(slot, skip, cell.hashes) };
        }
        let path = path();
        let Some(rest) = len.checked_sub(SKIP_TRITS_MAX.saturating_add(1)) else {
            return Self { chain: None, last: node(slot, Skip::of_path(&path, slot, len), cell.hashes) };
        };
        let below = cell.branch.saturating_sub(rest);
        let last = node(below, Skip::of_path(&path, below, rest), cell.hashes);
        let hash = hash(&last);
        let turn = path.trit(below.saturating_sub(1));
        let only = [0, 1, 2].map(|trit| if trit == turn { hash } else { EMPTY_HASH });
        Self { chain: Some(node(slot, Skip::of_path(&path, slot, SKIP_TRITS_MAX), only)), last }
    }

    /// The node that stands in the slot.
    pub(crate) fn top(&self) -> &InnerNode {
        self.chain.as_ref().unwrap_or(&self.last)
    }
}

/// The skip of the last `len` trits before the branch, if the cell holds them.
#[inline]
pub(crate) fn short_skip(cell: &NodeCell, len: u8) -> Option<Skip> {
    match len {
        0 => Some(Skip::NONE),
        _ if cell.branch <= LEADING_TRITS => {
            let prefix = cell.head.checked_div(crate::cell::span(cell.branch))?;
            Some(Skip::of_number(prefix, len))
        }
        _ => None,
    }
}

/// Hash of one node.
pub(crate) fn hash(node: &InnerNode) -> Hash {
    block_hash(&node.block())
}
