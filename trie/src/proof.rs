//! Inclusion and absence proofs: what they hold and how they are checked.
//!
//! A [`Proof`] comes from [`crate::Trie::prove`] or from [`Proof::decode`], both of which give only
//! the canonical shape (see `codec.rs`: skips and depths in range, sums that do not shrink upwards,
//! one-child nodes by the rule). [`Proof::verify`] does what depends on key and root.

use crate::hash::{Skip, block_hash, inner_block, leaf_block, value_digest};
use crate::key_path::KeyPath;
use crate::node::InnerLevel;
use crate::trie::Root;
use crate::{EMPTY_HASH, Hash, Key};

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
    /// The children off the path in child order; `None` is empty.
    pub(crate) siblings: [Option<Hash>; 2],
}

/// What stands in the slot the levels lead to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Empty,
    Present { value: Vec<u8>, sum: u64 },
    OtherLeaf { key: Key, digest: Hash, value_len: u16, sum: u64 },
    Diverging { skip: Skip, sum: u64, children: [Option<Hash>; 3] },
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

/// What a proof has shown: the only type that answers for a key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct VerifiedEntry {
    key: Key,
    entry: Option<(Vec<u8>, u64)>,
}

impl VerifiedEntry {
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
        let mut slots = Vec::with_capacity(self.levels.len());
        let mut slot = self.root_depth;
        for level in &self.levels {
            slots.push(slot);
            slot = level.child_slot(slot);
        }
        let (entry, mut reached) = self.end.check(self.root_depth, slot, key, &path)?;
        for (level, &slot) in self.levels.iter().zip(&slots).rev() {
            reached = level.root(slot, &path, reached.hash);
        }
        if reached != *root {
            return Err(ProofError::RootMismatch { got: reached, want: *root });
        }
        Ok(VerifiedEntry { key: *key, entry })
    }
}

impl Level {
    /// Depth of the child slots of a level whose slot is at depth `slot`. The shape check bounds
    /// it by the path's length, so nothing saturates in a proof that decoded.
    pub(crate) fn child_slot(&self, slot: u8) -> u8 {
        slot.saturating_add(self.skip_len).saturating_add(1)
    }

    /// Hash and sum of this level, at depth `slot` on `path`, over the child `on_path`.
    fn root(&self, slot: u8, path: &KeyPath, on_path: Hash) -> Root {
        let [first, second] = self.siblings.map(|hash| hash.unwrap_or(EMPTY_HASH));
        let children = match path.trit(slot.saturating_add(self.skip_len)) {
            0 => [on_path, first, second],
            1 => [first, on_path, second],
            _ => [first, second, on_path],
        };
        let level = InnerLevel { slot, skip: Skip::of_path(path, slot, self.skip_len), children, sum: self.sum };
        Root { hash: level.hash(), sum: self.sum }
    }
}

/// Value and sum of a key that is present.
type Shown = Option<(Vec<u8>, u64)>;

impl End {
    /// What this end, in the slot at depth `slot`, says of the key, and its own hash and sum.
    fn check(&self, root_depth: u8, slot: u8, key: &Key, path: &KeyPath) -> Result<(Shown, Root), ProofError> {
        match self {
            Self::Empty => Ok((None, Root::EMPTY)),
            Self::Present { value, sum } => {
                // Decoding bounds the length far below u16.
                let value_len = u16::try_from(value.len()).unwrap_or(u16::MAX);
                let block = leaf_block(slot, key, &value_digest(value), value_len, *sum);
                let root = Root { hash: block_hash(&block), sum: *sum };
                Ok((Some((value.clone(), *sum)), root))
            }
            Self::OtherLeaf { key: other, digest, value_len, sum } => {
                if other == key || !KeyPath::new(other).agrees(path, root_depth, slot) {
                    return Err(ProofError::OtherLeafUnfit { depth: slot });
                }
                let block = leaf_block(slot, other, digest, *value_len, *sum);
                let root = Root { hash: block_hash(&block), sum: *sum };
                Ok((None, root))
            }
            Self::Diverging { skip, sum, children } => {
                if Skip::of_path(path, slot, skip.len) == *skip {
                    return Err(ProofError::NotDiverging { depth: slot });
                }
                let children = children.map(|hash| hash.unwrap_or(EMPTY_HASH));
                let root = Root { hash: block_hash(&inner_block(slot, skip, &children, *sum)), sum: *sum };
                Ok((None, root))
            }
        }
    }
}
