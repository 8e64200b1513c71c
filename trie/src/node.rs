//! Nodes in memory: fully path-compressed, shared between versions of a trie, and changed in place
//! only where a version has them alone.
//!
//! A skip of any length is one node here; the chain of the hash format exists only in [`Levels`].

use std::sync::Arc;

use crate::hash::{Block, EMPTY_HASH, SKIP_TRITS_MAX, Skip, block_hash, inner_block, leaf_block, value_digest};
use crate::key_path::KeyPath;
use crate::{Hash, Key};

/// What a key maps to, as stored and hashed; independent of the slot it stands in.
#[derive(Clone, Debug)]
pub(crate) struct LeafContent {
    pub(crate) value: Box<[u8]>,
    /// Length of the value in bytes, as hashed.
    pub(crate) value_len: u16,
    pub(crate) digest: Hash,
    pub(crate) sum: u64,
}

impl LeafContent {
    /// `None` if the value's length does not fit the format.
    pub(crate) fn new(value: Vec<u8>, sum: u64) -> Option<Self> {
        if value.len() > crate::VALUE_BYTES_MAX {
            return None;
        }
        Some(Self {
            value_len: u16::try_from(value.len()).ok()?,
            digest: value_digest(&value),
            value: value.into_boxed_slice(),
            sum,
        })
    }
}

/// The content of a non-empty slot.
#[derive(Clone, Debug)]
pub(crate) enum Node {
    Leaf(LeafNode),
    Inner(InnerNode),
}

/// A leaf in a slot.
#[derive(Clone, Debug)]
pub(crate) struct LeafNode {
    pub(crate) key: Key,
    pub(crate) content: LeafContent,
    /// Depth of the slot.
    slot: u8,
    hash: Hash,
}

impl LeafNode {
    pub(crate) fn new(slot: u8, key: Key, content: LeafContent) -> Self {
        let mut leaf = Self { key, content, slot, hash: EMPTY_HASH };
        leaf.hash = block_hash(&leaf.block());
        leaf
    }

    /// The preimage of the leaf's hash.
    pub(crate) fn block(&self) -> Block {
        let content = &self.content;
        leaf_block(self.slot, &self.key, &content.digest, content.value_len, content.sum)
    }
}

/// A slot with two or more keys; two or three children.
#[derive(Clone, Debug)]
pub(crate) struct InnerNode {
    /// Depth of the slot.
    slot: u8,
    /// Trit at which the keys part; `slot <= branch`.
    pub(crate) branch: u8,
    /// Path of some key, not necessarily present, that shares the trits before `branch` with all
    /// keys below; its later trits mean nothing.
    pub(crate) path: KeyPath,
    /// Each in a slot at `branch + 1`.
    pub(crate) children: [Slot; 3],
    sum: u64,
    count: usize,
    hash: Hash,
}

/// A place for keys: empty, or a node that versions of a trie may share.
pub(crate) type Slot = Option<Arc<Node>>;

impl InnerNode {
    /// A node over two or three children in slots at `branch + 1`.
    ///
    /// The update has checked that the total of all sums fits u64, so these do.
    pub(crate) fn new(slot: u8, branch: u8, path: KeyPath, children: [Slot; 3]) -> Self {
        let mut node = Self { slot, branch, path, children, sum: 0, count: 0, hash: EMPTY_HASH };
        node.recompute();
        node
    }

    /// Sum, count and hash anew from slot and children.
    pub(crate) fn recompute(&mut self) {
        let children = || self.children.iter().flatten();
        let sum = children().try_fold(0u64, |total, node| total.checked_add(node.sum()));
        self.sum = sum.expect("an update checks that the total of all sums fits u64");
        self.count = children().map(|node| node.count()).sum();
        self.hash = self.levels().top().hash();
    }

    /// The child a path leads to.
    pub(crate) fn child(&self, path: &KeyPath) -> Option<&Arc<Node>> {
        self.children.get(usize::from(path.trit(self.branch))).and_then(Option::as_ref)
    }

    /// This node as the hash format has it.
    pub(crate) fn levels(&self) -> Levels {
        let hashes = self.children.each_ref().map(slot_hash);
        Levels::new(self.slot, self.branch, &self.path, hashes, self.sum)
    }
}

/// The hash of what a slot holds.
pub(crate) fn slot_hash(slot: &Slot) -> Hash {
    slot.as_ref().map_or(EMPTY_HASH, |node| node.hash())
}

impl Node {
    /// The same keys in the slot at depth `slot`; hashed anew if the depth differs.
    pub(crate) fn at_slot(mut self: Arc<Self>, slot: u8) -> Arc<Self> {
        if self.slot() != slot {
            match Arc::make_mut(&mut self) {
                Self::Leaf(leaf) => {
                    leaf.slot = slot;
                    leaf.hash = block_hash(&leaf.block());
                }
                Self::Inner(inner) => {
                    inner.slot = slot;
                    inner.recompute();
                }
            }
        }
        self
    }

    fn slot(&self) -> u8 {
        match self {
            Self::Leaf(leaf) => leaf.slot,
            Self::Inner(node) => node.slot,
        }
    }

    pub(crate) fn hash(&self) -> Hash {
        match self {
            Self::Leaf(leaf) => leaf.hash,
            Self::Inner(node) => node.hash,
        }
    }

    pub(crate) fn sum(&self) -> u64 {
        match self {
            Self::Leaf(leaf) => leaf.content.sum,
            Self::Inner(node) => node.sum,
        }
    }

    pub(crate) fn count(&self) -> usize {
        match self {
            Self::Leaf(_) => 1,
            Self::Inner(node) => node.count,
        }
    }

    /// A path that shares with all keys of this slot what they share.
    pub(crate) fn path(&self) -> KeyPath {
        match self {
            Self::Leaf(leaf) => KeyPath::new(&leaf.key),
            Self::Inner(node) => node.path,
        }
    }

    /// The leaf of `key`, whose path is `path`.
    pub(crate) fn find(&self, key: &Key, path: &KeyPath) -> Option<&LeafNode> {
        let mut node = self;
        // Skips need no look: a leaf carries its key. Each step goes down at least one trit.
        loop {
            match node {
                Self::Inner(inner) => node = inner.child(path)?,
                Self::Leaf(leaf) => return (leaf.key == *key).then_some(leaf),
            }
        }
    }
}

/// An inner node of the hash format.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InnerLevel {
    pub(crate) slot: u8,
    pub(crate) skip: Skip,
    pub(crate) children: [Hash; 3],
    pub(crate) sum: u64,
}

impl InnerLevel {
    pub(crate) fn block(&self) -> Block {
        inner_block(self.slot, &self.skip, &self.children, self.sum)
    }

    pub(crate) fn hash(&self) -> Hash {
        block_hash(&self.block())
    }
}

/// An inner node as the hash format has it: for a long skip, two nodes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Levels {
    /// The one-child node above `last`, where the skip does not fit `last` alone.
    pub(crate) chain: Option<InnerLevel>,
    /// The node at which the keys part.
    pub(crate) last: InnerLevel,
}

impl Levels {
    fn new(slot: u8, branch: u8, path: &KeyPath, children: [Hash; 3], sum: u64) -> Self {
        let level =
            |slot: u8, skip: u8, children| InnerLevel { slot, skip: Skip::of_path(path, slot, skip), children, sum };
        let skipped = branch.saturating_sub(slot);
        let Some(rest) = skipped.checked_sub(SKIP_TRITS_MAX.saturating_add(1)) else {
            let last = level(slot, skipped, children);
            return Self { chain: None, last };
        };
        let last = level(branch.saturating_sub(rest), rest, children);
        let turn = path.trit(slot.saturating_add(SKIP_TRITS_MAX));
        let hash = last.hash();
        let only = [0, 1, 2].map(|trit| if trit == turn { hash } else { EMPTY_HASH });
        let chain = Some(level(slot, SKIP_TRITS_MAX, only));
        Self { chain, last }
    }

    /// The node that stands in the slot.
    pub(crate) fn top(&self) -> &InnerLevel {
        self.chain.as_ref().unwrap_or(&self.last)
    }

    /// Root side first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &InnerLevel> {
        self.chain.iter().chain([&self.last])
    }
}
