//! What stands in memory for a leaf and for an inner node, and what names them.
//!
//! A cell does not know its slot's depth: who walks the trie knows it from the node above. So a node
//! that only moves up or down (a neighbour came or went) keeps its cell.

#![allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "arithmetic kernel: depths are below 162, powers are looked up for depths up to 40"
)]

use bytemuck::{Pod, Zeroable};
use smt_trie_proof::{Block, Content, Hash, Key, LEADING_TRITS, VALUE_INLINE_MAX, leaf_block};

/// Powers of three up to the number of trits in a head.
pub(crate) const POWERS: [u64; LEADING_TRITS as usize + 1] = {
    let mut powers = [1; LEADING_TRITS as usize + 1];
    let mut i = 1;
    while i < powers.len() {
        powers[i] = 3 * powers[i - 1];
        i += 1;
    }
    powers
};

/// Numbers that share their first `depth` trits (at most 40) with a given one: so many.
#[inline]
pub(crate) fn span(depth: u8) -> u64 {
    POWERS[usize::from(LEADING_TRITS - depth)]
}

/// Leading trits two heads share.
pub(crate) fn common_head(a: u64, b: u64) -> u8 {
    // Sharing `d` trits is monotone in `d`: find the first that differs.
    let (mut shared, mut apart) = (0, LEADING_TRITS + 1);
    while apart - shared > 1 {
        let middle = u8::midpoint(shared, apart);
        if a / span(middle) == b / span(middle) { shared = middle } else { apart = middle }
    }
    shared
}

/// Trit `branch`, below 40, of a head.
#[inline]
pub(crate) fn trit_of_head(head: u64, branch: u8) -> usize {
    // At most 2.
    (head / span(branch + 1) % 3) as usize
}

/// Says when a cell last changed, and where what it was before is kept; see `past.rs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(transparent)]
pub(crate) struct Stamp([u8; 3]);

impl Stamp {
    pub(crate) const MAX: u32 = (1 << 24) - 1;

    /// Of a number that is at most [`Self::MAX`].
    #[inline]
    pub(crate) fn new(number: u32) -> Self {
        let [a, b, c, _] = number.to_le_bytes();
        Self([a, b, c])
    }

    #[inline]
    pub(crate) fn number(self) -> u32 {
        let Self([a, b, c]) = self;
        u32::from_le_bytes([a, b, c, 0])
    }
}

/// Names a cell: nothing, a leaf, or an inner node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(transparent)]
pub(crate) struct Ref(u32);

/// What a [`Ref`] names, by its number in the slab of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Named {
    Nothing,
    Leaf(u32),
    Node(u32),
}

impl Ref {
    pub(crate) const NOTHING: Self = Self(0);
    const LEAF: u32 = 1 << 31;

    #[inline]
    pub(crate) fn leaf(number: u32) -> Self {
        Self(number | Self::LEAF)
    }

    #[inline]
    pub(crate) fn node(number: u32) -> Self {
        Self(number)
    }

    #[inline]
    pub(crate) fn named(self) -> Named {
        match self.0 {
            0 => Named::Nothing,
            leaf if leaf & Self::LEAF != 0 => Named::Leaf(leaf & !Self::LEAF),
            node => Named::Node(node),
        }
    }

    #[inline]
    pub(crate) fn is_nothing(self) -> bool {
        self.0 == 0
    }
}

/// An inner node of any skip; two or three children once an update is over.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C, align(128))]
pub(crate) struct NodeCell {
    /// The children's hashes; [`smt_trie_proof::EMPTY_HASH`] where there is none.
    pub(crate) hashes: [Hash; 3],
    pub(crate) children: [Ref; 3],
    /// Trit at which the keys part.
    pub(crate) branch: u8,
    pub(crate) stamp: Stamp,
    /// The first 40 trits of all keys below as far as they agree, zero from `branch` on.
    pub(crate) head: u64,
    /// Of all leaves below.
    pub(crate) sum: u64,
}

impl NodeCell {
    /// A node without children yet. `head` is that of any key below.
    pub(crate) fn new(branch: u8, head: u64, sum: u64) -> Self {
        let rest = if branch < LEADING_TRITS { head % span(branch) } else { 0 };
        Self { branch, head: head - rest, sum, ..Self::zeroed() }
    }

    /// Whether the prefix before `branch` is all in `head`.
    #[inline]
    pub(crate) fn is_shallow(&self) -> bool {
        self.branch < LEADING_TRITS
    }

    /// Number of children.
    #[inline]
    pub(crate) fn children_count(&self) -> usize {
        self.children.iter().filter(|child| !child.is_nothing()).count()
    }

    /// Numbers of child slots in use.
    pub(crate) fn turns(&self) -> impl Iterator<Item = usize> + '_ {
        (0..3).filter(|&turn| !self.children[turn].is_nothing())
    }
}

/// A leaf.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C, align(128))]
pub(crate) struct LeafCell {
    /// As hashed: the value, or the digest of a long one.
    pub(crate) content: Content,
    pub(crate) key: Key,
    pub(crate) sum: u64,
    /// Where a long value is kept; 0 for a short one.
    pub(crate) long: u32,
    _unused: u8,
    pub(crate) stamp: Stamp,
    /// Length of the value in bytes.
    pub(crate) value_len: u16,
    _unused_too: [u8; 14],
}

impl LeafCell {
    pub(crate) fn new(key: Key, content: Content, value_len: u16, sum: u64, stamp: Stamp) -> Self {
        Self { key, content, sum, value_len, stamp, ..Self::zeroed() }
    }

    /// The preimage of its hash in a slot at depth `slot`.
    #[inline]
    pub(crate) fn block(&self, slot: u8) -> Block {
        leaf_block(slot, &self.key, &self.content, self.value_len, self.sum)
    }

    /// The value, if it is short.
    pub(crate) fn short_value(&self) -> Option<&[u8]> {
        let len = usize::from(self.value_len);
        (len <= VALUE_INLINE_MAX).then(|| &self.content[..len])
    }
}

/// Values that do not fit their leaf's cell.
#[derive(Clone, Debug, Default)]
pub(crate) struct LongValues {
    values: Vec<Box<[u8]>>,
    free: Vec<u32>,
    bytes: usize,
}

impl LongValues {
    /// Stores a value and returns its number, from 1 on.
    pub(crate) fn put(&mut self, value: &[u8]) -> u32 {
        self.bytes += value.len();
        if let Some(number) = self.free.pop() {
            self.values[number as usize - 1] = value.into();
            return number;
        }
        self.values.push(value.into());
        u32::try_from(self.values.len()).expect("a partition holds fewer than 2^31 leaves")
    }

    pub(crate) fn get(&self, number: u32) -> &[u8] {
        &self.values[number as usize - 1]
    }

    pub(crate) fn free(&mut self, number: u32) {
        let value = std::mem::take(&mut self.values[number as usize - 1]);
        self.bytes -= value.len();
        self.free.push(number);
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes == 0 && self.free.len() == self.values.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes + self.values.capacity() * size_of::<Box<[u8]>>()
    }
}
