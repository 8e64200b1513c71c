//! The trie itself: a root slot and its depth.

use crate::hash::EMPTY_HASH;
use crate::key_path::{KeyPath, PATH_TRITS};
use crate::node::{LeafNode, Node, Slot};
use crate::update::{self, UpdateError};
use crate::{Hash, Key};

/// Deepest root: one trit is left for keys to differ in.
pub const ROOT_DEPTH_MAX: u8 = PATH_TRITS - 1;

/// What a trie commits to: the hash of its root slot and the sum of all its leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, borsh::BorshSerialize, borsh::BorshDeserialize)]
pub struct Root {
    /// Hash of the root slot.
    pub hash: Hash,
    /// Sum of all leaves; the hash of a non-empty trie commits to it.
    pub sum: u64,
}

impl Root {
    /// The root of every trie without keys.
    pub const EMPTY: Self = Self { hash: EMPTY_HASH, sum: 0 };
}

/// What a key is to map to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// At most [`crate::VALUE_BYTES_MAX`] bytes.
    pub value: Vec<u8>,
    /// The leaf's share of the root's sum.
    pub sum: u64,
}

/// What a key maps to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The value.
    pub value: &'a [u8],
    /// The leaf's share of the root's sum.
    pub sum: u64,
}

/// A ternary Merkle sum trie in memory.
///
/// Cloning costs one reference count: a clone is a snapshot, and what later updates do to either
/// does not show in the other. While both live, updates copy the nodes they touch first; a trie
/// without clones is changed in place. Nothing is stored on disk; a trie is rebuilt from its leaves.
#[derive(Clone, Debug)]
pub struct Trie {
    pub(crate) root_depth: u8,
    pub(crate) slot: Slot,
}

impl Default for Trie {
    /// The empty trie with root depth 0.
    fn default() -> Self {
        Self::new(0)
    }
}

impl Trie {
    /// An empty trie whose root slot is at `root_depth` trits from the network's root.
    ///
    /// All keys it will hold must share their first `root_depth` trits.
    ///
    /// # Panics
    ///
    /// If `root_depth` is above [`ROOT_DEPTH_MAX`]. It is a constant of the network, never input.
    pub fn new(root_depth: u8) -> Self {
        assert!(root_depth <= ROOT_DEPTH_MAX, "root depth {root_depth} leaves no trit for keys to differ in");
        Self { root_depth, slot: None }
    }

    /// Depth of the root slot, in trits from the network's root.
    pub fn root_depth(&self) -> u8 {
        self.root_depth
    }

    /// The commitment to all keys, values and sums. Cost: none, it is kept.
    pub fn root(&self) -> Root {
        self.slot.as_ref().map_or(Root::EMPTY, |node| Root { hash: node.hash(), sum: node.sum() })
    }

    /// Number of keys.
    pub fn len(&self) -> usize {
        self.slot.as_ref().map_or(0, |node| node.count())
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.slot.is_none()
    }

    /// What `key` maps to.
    pub fn get(&self, key: &Key) -> Option<Entry<'_>> {
        let leaf = self.slot.as_ref()?.find(key, &KeyPath::new(key))?;
        Some(entry(leaf).1)
    }

    /// Puts (`Some`) and removes (`None`) keys, all or nothing, and returns the new root.
    ///
    /// The order within the batch does not matter; removing a key that is absent does nothing.
    /// Cost: O(b log b) for a batch of b, and each node above a changed leaf hashed once.
    ///
    /// # Errors
    ///
    /// A key named twice, a value too long, a key outside the root's prefix, or a total that does
    /// not fit u64; the trie is then as it was.
    pub fn update(&mut self, batch: impl IntoIterator<Item = (Key, Option<Leaf>)>) -> Result<Root, UpdateError> {
        update::apply(&mut self.slot, self.root_depth, batch)?;
        Ok(self.root())
    }

    /// All keys in key order.
    pub fn iter(&self) -> Iter<'_> {
        Iter { stack: self.slot.iter().map(|node| &**node).collect(), left: self.len() }
    }
}

impl<'a> IntoIterator for &'a Trie {
    type Item = (&'a Key, Entry<'a>);
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

/// The keys of a trie with their entries, in key order.
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    /// Slots still to visit, the next one last.
    stack: Vec<&'a Node>,
    left: usize,
}

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a Key, Entry<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.stack.pop()? {
                Node::Inner(inner) => {
                    let children = inner.children.iter().rev().flatten();
                    self.stack.extend(children.map(|node| &**node));
                }
                Node::Leaf(leaf) => {
                    self.left = self.left.saturating_sub(1);
                    return Some(entry(leaf));
                }
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Iter<'_> {}

fn entry(leaf: &LeafNode) -> (&Key, Entry<'_>) {
    let entry = Entry { value: &leaf.content.value, sum: leaf.content.sum };
    (&leaf.key, entry)
}
