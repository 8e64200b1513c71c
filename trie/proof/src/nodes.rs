//! Read access to a trie's nodes: what the builders of proofs walk.

use crate::key_path::KeyPath;
use crate::node::{Block, Skip, content, inner_block, leaf_block};
use crate::{Hash, Key};

/// A trie as the hash format has it. Implemented by tries; everything that builds proofs or chunks is
/// generic over it.
pub trait Nodes {
    /// Names the content of one slot.
    type At: Copy;

    /// Depth of the root slot, in trits from the network's root.
    fn root_depth(&self) -> u8;

    /// The root slot.
    fn root_slot(&self) -> Self::At;

    /// What stands in a slot.
    fn open(&self, at: Self::At) -> Slot<'_>;

    /// The slot of child `turn` (0 to 2) of the inner node at `at`; only asked for children that are not empty.
    fn child(&self, at: Self::At, turn: u8) -> Self::At;
}

/// The content of a slot.
#[derive(Clone, Copy, Debug)]
pub enum Slot<'a> {
    /// No key.
    Empty,
    /// One key.
    Leaf(LeafNode<'a>),
    /// Several keys.
    Inner(InnerNode),
}

/// A leaf with its slot's depth.
#[derive(Clone, Copy, Debug)]
pub struct LeafNode<'a> {
    /// Depth of its slot.
    pub slot: u8,
    /// Its key.
    pub key: &'a Key,
    /// Its value.
    pub value: &'a [u8],
    /// Its sum.
    pub sum: u64,
}

/// An inner node as it is hashed; a skip too long for one node is two of these, the upper with one child.
#[derive(Clone, Copy, Debug)]
pub struct InnerNode {
    /// Depth of its slot.
    pub slot: u8,
    /// The trits it skips, `slot .. slot + skip.len()`.
    pub skip: Skip,
    /// Sum of all leaves below.
    pub sum: u64,
    /// Hashes of its children, [`crate::EMPTY_HASH`] where there is none.
    pub children: [Hash; 3],
}

impl Slot<'_> {
    /// The preimage of the slot's hash; `None` if it is empty.
    pub fn block(&self) -> Option<Block> {
        match self {
            Self::Empty => None,
            Self::Leaf(leaf) => Some(leaf.block()),
            Self::Inner(inner) => Some(inner.block()),
        }
    }
}

impl LeafNode<'_> {
    /// The preimage of its hash.
    pub fn block(&self) -> Block {
        leaf_block(self.slot, self.key, &content(self.value), self.value_len(), self.sum)
    }

    /// The value's length in bytes, as hashed.
    pub(crate) fn value_len(&self) -> u16 {
        // Tries hold no value longer than `VALUE_BYTES_MAX`.
        u16::try_from(self.value.len()).unwrap_or(u16::MAX)
    }
}

impl InnerNode {
    /// The preimage of its hash.
    pub fn block(&self) -> Block {
        inner_block(self.slot, &self.skip, &self.children, self.sum)
    }

    /// Whether a key with this path has the trits the node skips.
    pub(crate) fn agrees(&self, path: &KeyPath) -> bool {
        Skip::of_path(path, self.slot, self.skip.len) == self.skip
    }

    /// The hash of child `turn`, 0 to 2.
    pub(crate) fn child(&self, turn: u8) -> Hash {
        let [a, b, c] = self.children;
        match turn {
            0 => a,
            1 => b,
            _ => c,
        }
    }

    /// The child, 0 to 2, that a path leads to.
    pub(crate) fn turn(&self, path: &KeyPath) -> u8 {
        path.trit(self.slot.saturating_add(self.skip.len))
    }
}
