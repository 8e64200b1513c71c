//! Inclusion and absence proofs: what they hold and how they are checked.
//!
//! A [`Proof`] comes from [`crate::prove`] or from [`Proof::decode`], both of which give only the canonical
//! shape (see `codec.rs`: skips and depths in range, sums that do not shrink upwards, one-child nodes by the
//! rule). [`Proof::verify`] does what depends on key and root.

use alloc::vec::Vec;

use crate::kernel::{self, Midstate};
use crate::key_path::KeyPath;
use crate::node::{
    Block, Content, EMPTY_BLOCK, Skip, block_hash, content, inner_block, leaf_block, pack_trits, second_half,
    second_half_mut, write_inner_head, write_inner_tail,
};
use crate::{EMPTY_HASH, Hash, Key, Root};

/// A proof that a key has a certain value and sum under a root, or that it is absent.
///
/// It answers nothing by itself: only the [`VerifiedEntry`] that [`Proof::verify`] returns does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    pub(crate) root_depth: u8,
    /// Inner nodes on the key's path, root side first.
    pub(crate) levels: Vec<Level>,
    pub(crate) end: End,
}

/// An inner node on the key's path. Its skip's trits and its depth are the key's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Level {
    pub(crate) skip_len: u8,
    pub(crate) sum: u64,
    pub(crate) off_path: OffPath,
}

/// The children of a level that are not on the path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum OffPath {
    /// For a key that turns to child 0 or 1: the other two in child order, [`EMPTY_HASH`] where there is none.
    Siblings([Hash; 2]),
    /// For a key that turns to child 2: what BLAKE3 has made of children 0 and 1.
    Midstate(Midstate),
}

/// What stands in the slot the levels lead to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Empty,
    Present { value: Vec<u8>, sum: u64 },
    OtherLeaf { key: Key, content: Content, value_len: u16, sum: u64 },
    Diverging { skip: Skip, sum: u64, children: [Hash; 3] },
}

/// Why a well-formed proof does not show what it should.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError {
    /// The proof leads to another root: something in it is altered, or it belongs to another trie
    /// or another key.
    #[error("proof leads to root {} with sum {}, expected {} with sum {}",
        blake3::Hash::from_bytes(got.hash).to_hex(), got.sum,
        blake3::Hash::from_bytes(want.hash).to_hex(), want.sum)]
    RootMismatch {
        /// Where the proof leads.
        got: Root,
        /// The root it was checked against.
        want: Root,
    },
    /// A level carries siblings where the key's trit asks for a midstate, or the other way round.
    #[error("the level at depth {depth} has the form of another turn")]
    LevelForm {
        /// Depth of the node's slot.
        depth: u8,
    },
    /// An absence proof by another leaf names the very key, or one that does not belong there.
    #[error("the other leaf, at depth {depth}, cannot show that the key is absent")]
    OtherLeafUnfit {
        /// Depth of the leaf's slot.
        depth: u8,
    },
    /// An absence proof by a diverging skip whose trits are the key's own.
    #[error("the skip at depth {depth} does not part from the key")]
    NotDiverging {
        /// Depth of the node's slot.
        depth: u8,
    },
}

/// What a proof has shown about a key; it comes from nothing but a check that passed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct VerifiedEntry {
    key: Key,
    entry: Option<(Vec<u8>, u64)>,
}

impl VerifiedEntry {
    /// For checks alone: `entry` is the value and sum shown, `None` if absence was.
    pub(crate) fn new(key: Key, entry: Option<(Vec<u8>, u64)>) -> Self {
        Self { key, entry }
    }

    /// The key that was asked about.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// The key's value; `None` if it is absent.
    pub fn value(&self) -> Option<&[u8]> {
        self.entry.as_ref().map(|(value, _)| value.as_slice())
    }

    /// The key's sum; `None` if it is absent.
    pub fn sum(&self) -> Option<u64> {
        self.entry.as_ref().map(|(_, sum)| *sum)
    }

    /// Whether the key is not in the trie.
    pub fn is_absent(&self) -> bool {
        self.entry.is_none()
    }
}

impl Proof {
    /// Checks the proof for `key` against `root`.
    ///
    /// Shown are the key's value and own sum (or its absence) in the trie with this root, and that
    /// the root's hash states this total; not that the siblings' sums add up to it (see the crate
    /// header and [`crate::SumOpening`]). Whether the key belongs to the trie at all, by its first
    /// root-depth trits, is the caller's question: a foreign key is absent.
    /// Cost: one hash of 128 bytes a level.
    ///
    /// # Errors
    ///
    /// [`ProofError`], whenever anything was altered or belongs to another key or root.
    pub fn verify(&self, root: &Root, key: &Key) -> Result<VerifiedEntry, ProofError> {
        let path = KeyPath::new(key);
        let slot = self.end_slot();
        self.end.check(self.root_depth, slot, key, &path)?;
        let mut block = EMPTY_BLOCK;
        let ends = self.end.write_block(slot, key, &mut block);
        let hash = if ends { block_hash(&block) } else { EMPTY_HASH };
        let hash = Level::climb(&self.levels, slot, &path, hash)?;
        self.conclude(hash, root, key)
    }

    /// Depth of the slot in which the proof ends. The shape check bounds it by the path's length, so nothing
    /// saturates in a proof that decoded.
    pub(crate) fn end_slot(&self) -> u8 {
        Level::slot_below(&self.levels, self.root_depth)
    }

    /// The last step of the check: `hash` is what the levels have led to.
    pub(crate) fn conclude(&self, hash: Hash, root: &Root, key: &Key) -> Result<VerifiedEntry, ProofError> {
        let sum = self.levels.first().map_or(self.end.sum(), |top| top.sum);
        let got = Root { hash, sum };
        if got != *root {
            return Err(ProofError::RootMismatch { got, want: *root });
        }
        Ok(VerifiedEntry { key: *key, entry: self.end.entry() })
    }
}

impl Level {
    /// Depth of the slot below all `levels`, the first of which stands at depth `slot`.
    pub(crate) fn slot_below(levels: &[Self], slot: u8) -> u8 {
        levels.iter().fold(slot, |slot, level| slot.saturating_add(level.skip_len).saturating_add(1))
    }

    /// Goes up from the slot at depth `slot` on `path`, below all `levels`, whose hash is `hash`; answers the hash of
    /// the first level's node.
    pub(crate) fn climb(levels: &[Self], slot: u8, path: &KeyPath, hash: Hash) -> Result<Hash, ProofError> {
        let mut block = EMPTY_BLOCK;
        let (mut slot, mut hash) = (slot, hash);
        for level in levels.iter().rev() {
            slot = level.slot_above(slot);
            hash = match level.write_block(slot, path, &hash, &mut block)? {
                None => block_hash(&block),
                Some(midstate) => kernel::finish(midstate, second_half(&block)),
            };
        }
        Ok(hash)
    }

    /// Depth of the slot of a level whose child slots are at depth `below`.
    pub(crate) fn slot_above(&self, below: u8) -> u8 {
        below.saturating_sub(self.skip_len).saturating_sub(1)
    }

    /// Writes the preimage of this level, at depth `slot` on `path`, over the child `on_path`; where the level has
    /// a midstate, which is given back, the second half alone.
    pub(crate) fn write_block(
        &self,
        slot: u8,
        path: &KeyPath,
        on_path: &Hash,
        block: &mut Block,
    ) -> Result<Option<&Midstate>, ProofError> {
        let turn = path.trit(slot.saturating_add(self.skip_len));
        let (last, midstate) = match &self.off_path {
            OffPath::Siblings([first, second]) if turn < 2 => {
                let (a, b) = if turn == 0 { (on_path, first) } else { (first, on_path) };
                write_inner_head(block, a, b);
                (second, None)
            }
            OffPath::Midstate(midstate) if turn == 2 => (on_path, Some(midstate)),
            _ => return Err(ProofError::LevelForm { depth: slot }),
        };
        let skip = write_inner_tail(second_half_mut(block), slot, self.skip_len, last, self.sum);
        pack_trits(path, slot, self.skip_len, skip);
        Ok(midstate)
    }
}

impl End {
    /// Whether this end, in the slot at depth `slot`, can say something of the key.
    pub(crate) fn check(&self, root_depth: u8, slot: u8, key: &Key, path: &KeyPath) -> Result<(), ProofError> {
        match self {
            Self::Empty | Self::Present { .. } => Ok(()),
            Self::OtherLeaf { key: other, .. } => {
                let fits = other != key && KeyPath::new(other).agrees(path, root_depth, slot);
                if fits { Ok(()) } else { Err(ProofError::OtherLeafUnfit { depth: slot }) }
            }
            Self::Diverging { skip, .. } => {
                let parts = Skip::of_path(path, slot, skip.len) != *skip;
                if parts { Ok(()) } else { Err(ProofError::NotDiverging { depth: slot }) }
            }
        }
    }

    /// Writes the preimage of what stands in the slot at depth `slot` to which `key` leads; `false` if nothing does.
    pub(crate) fn write_block(&self, slot: u8, key: &Key, block: &mut Block) -> bool {
        *block = match self {
            Self::Empty => return false,
            Self::Present { value, sum } => {
                // Decoding bounds the length far below u16.
                let value_len = u16::try_from(value.len()).unwrap_or(u16::MAX);
                leaf_block(slot, key, &content(value), value_len, *sum)
            }
            Self::OtherLeaf { key, content, value_len, sum } => leaf_block(slot, key, content, *value_len, *sum),
            Self::Diverging { skip, sum, children } => inner_block(slot, skip, children, *sum),
        };
        true
    }

    /// Sum of what stands in the slot.
    pub(crate) fn sum(&self) -> u64 {
        match self {
            Self::Empty => 0,
            Self::Present { sum, .. } | Self::OtherLeaf { sum, .. } | Self::Diverging { sum, .. } => *sum,
        }
    }

    /// Value and sum of the key if it is present.
    fn entry(&self) -> Option<(Vec<u8>, u64)> {
        match self {
            Self::Present { value, sum } => Some((value.clone(), *sum)),
            _ => None,
        }
    }
}
