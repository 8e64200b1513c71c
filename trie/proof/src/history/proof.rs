//! Proofs about a history: their one encoding, their making and their check. Format: module header.

use alloc::vec::Vec;

use super::log::range_hash;
use super::{HISTORY_SIZE_MAX, HistoryNodes, HistoryRoot, MissingNode, leaf_hash, node_hash};
use crate::Hash;

/// Longest encoding of a proof about a history, in bytes: two numbers and at most 49 hashes.
pub const HISTORY_PROOF_BYTES_MAX: usize = 16 + 49 * 32;

/// Why bytes are no proof about a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HistoryDecodeError {
    /// Fewer bytes than the two numbers have.
    #[error("history proof of {got} bytes")]
    TooShort {
        /// Length of the input.
        got: usize,
    },
    /// The numbers are no index in a history, or not the sizes of a history and a later one.
    #[error("history proof for {first} in {size}")]
    Numbers {
        /// Index, or old size.
        first: u64,
        /// Size, or new size.
        size: u64,
    },
    /// Not the length the two numbers ask for.
    #[error("history proof of {got} bytes, its numbers ask for {want}")]
    Length {
        /// Length of the input.
        got: usize,
        /// What it should be.
        want: usize,
    },
}

/// Why a proof about a history cannot be made, or does not show what it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HistoryError {
    /// There is no such entry, or no such old history.
    #[error("no proof of {first} in {size} entries: the history has {kept}")]
    OutOfRange {
        /// Index, or old size.
        first: u64,
        /// Size, or new size.
        size: u64,
        /// Entries the history has.
        kept: u64,
    },
    /// A node the proof needs is not kept.
    #[error("cannot read the history")]
    Missing(#[from] MissingNode),
    /// The proof is about another entry, or other sizes, than asked.
    #[error("history proof for {got_first} in {got_size}, asked for {want_first} in {want_size}")]
    OtherQuestion {
        /// The proof's index or old size.
        got_first: u64,
        /// The proof's size.
        got_size: u64,
        /// The index or old size asked about.
        want_first: u64,
        /// The size of the root given.
        want_size: u64,
    },
    /// The proof leads to another hash: something in it is altered or belongs elsewhere.
    #[error("history proof leads to {}, the history of {size} entries has {}",
        blake3::Hash::from_bytes(*got).to_hex(), blake3::Hash::from_bytes(*want).to_hex())]
    HashMismatch {
        /// Size of the history that does not fit.
        size: u64,
        /// Where the proof leads.
        got: Hash,
        /// What the root given has.
        want: Hash,
    },
}

/// A proof that a history has a certain entry at a certain index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InclusionProof {
    index: u64,
    size: u64,
    /// Leaf side first; as many as [`inclusion_path`] has.
    hashes: Vec<Hash>,
}

/// A proof that a history begins with an older one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsistencyProof {
    old: u64,
    new: u64,
    /// Leaf side first; as many as [`ConsistencyPath::hashes`] says.
    hashes: Vec<Hash>,
}

/// An entry shown to be in a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct VerifiedHistoryEntry {
    index: u64,
    entry: Hash,
}

impl VerifiedHistoryEntry {
    /// The entry's index in the history.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// The entry.
    pub fn entry(&self) -> &Hash {
        &self.entry
    }
}

/// Two histories, the newer of which has been shown to begin with the older.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct VerifiedExtension {
    old: HistoryRoot,
    new: HistoryRoot,
}

impl VerifiedExtension {
    /// The older history.
    pub fn older(&self) -> &HistoryRoot {
        &self.old
    }

    /// The newer history.
    pub fn newer(&self) -> &HistoryRoot {
        &self.new
    }
}

impl InclusionProof {
    /// The proof for entry `index` in the first `size` entries of a history. Cost: at most 96 reads of nodes.
    ///
    /// # Errors
    ///
    /// [`HistoryError::OutOfRange`], [`HistoryError::Missing`].
    pub fn new<N: HistoryNodes>(nodes: &N, index: u64, size: u64) -> Result<Self, HistoryError> {
        let kept = nodes.size();
        if index >= size || size > kept {
            return Err(HistoryError::OutOfRange { first: index, size, kept });
        }
        let hashes = inclusion_path(index, size).into_iter().rev().map(|sibling| sibling.hash(nodes));
        Ok(Self { index, size, hashes: hashes.collect::<Result<_, MissingNode>>()? })
    }

    /// The index the proof is for.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// The size of the history the proof is for.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The proof's encoding; at most [`HISTORY_PROOF_BYTES_MAX`] bytes.
    pub fn encode(&self) -> Vec<u8> {
        encode(self.index, self.size, &self.hashes)
    }

    /// Reads a proof; accepts exactly what [`InclusionProof::encode`] can give.
    ///
    /// # Errors
    ///
    /// [`HistoryDecodeError`] for anything else; nothing is allocated past the proof's bounds.
    pub fn decode(bytes: &[u8]) -> Result<Self, HistoryDecodeError> {
        let (index, size, rest) = numbers(bytes)?;
        if index >= size || size > HISTORY_SIZE_MAX {
            return Err(HistoryDecodeError::Numbers { first: index, size });
        }
        Ok(Self { index, size, hashes: read_hashes(bytes, rest, inclusion_path(index, size).len())? })
    }

    /// Checks that `root` is a history whose entry `index` is `entry`. Cost: at most 49 hashes.
    ///
    /// # Errors
    ///
    /// [`HistoryError::OtherQuestion`], [`HistoryError::HashMismatch`].
    pub fn verify(&self, root: &HistoryRoot, index: u64, entry: &Hash) -> Result<VerifiedHistoryEntry, HistoryError> {
        same_question((self.index, self.size), (index, root.size))?;
        let path = inclusion_path(self.index, self.size);
        let climb = path.iter().rev().zip(&self.hashes);
        let got = climb.fold(leaf_hash(entry), |below, (sibling, hash)| sibling.join(&below, hash));
        same_hash(&got, root)?;
        Ok(VerifiedHistoryEntry { index, entry: *entry })
    }
}

impl ConsistencyProof {
    /// The proof that the first `new` entries of a history begin with its first `old`. Cost: at most 96 reads of nodes.
    ///
    /// # Errors
    ///
    /// [`HistoryError::OutOfRange`], [`HistoryError::Missing`].
    pub fn new<N: HistoryNodes>(nodes: &N, old: u64, new: u64) -> Result<Self, HistoryError> {
        let kept = nodes.size();
        if old > new || new > kept {
            return Err(HistoryError::OutOfRange { first: old, size: new, kept });
        }
        let path = ConsistencyPath::new(old, new);
        let base = path.base.iter().map(|&(start, len)| range_hash(nodes, start, len));
        let siblings = path.siblings.iter().rev().map(|sibling| sibling.hash(nodes));
        Ok(Self { old, new, hashes: base.chain(siblings).collect::<Result<_, MissingNode>>()? })
    }

    /// Size of the older history.
    pub fn old_size(&self) -> u64 {
        self.old
    }

    /// Size of the newer history.
    pub fn new_size(&self) -> u64 {
        self.new
    }

    /// The proof's encoding; at most [`HISTORY_PROOF_BYTES_MAX`] bytes.
    pub fn encode(&self) -> Vec<u8> {
        encode(self.old, self.new, &self.hashes)
    }

    /// Reads a proof; accepts exactly what [`ConsistencyProof::encode`] can give.
    ///
    /// # Errors
    ///
    /// [`HistoryDecodeError`] for anything else; nothing is allocated past the proof's bounds.
    pub fn decode(bytes: &[u8]) -> Result<Self, HistoryDecodeError> {
        let (old, new, rest) = numbers(bytes)?;
        if old > new || new > HISTORY_SIZE_MAX {
            return Err(HistoryDecodeError::Numbers { first: old, size: new });
        }
        Ok(Self { old, new, hashes: read_hashes(bytes, rest, ConsistencyPath::new(old, new).hashes())? })
    }

    /// Checks that the history `new` begins with the history `old`. Cost: at most 96 hashes.
    ///
    /// # Errors
    ///
    /// [`HistoryError::OtherQuestion`], [`HistoryError::HashMismatch`].
    pub fn verify(&self, old: &HistoryRoot, new: &HistoryRoot) -> Result<VerifiedExtension, HistoryError> {
        same_question((self.old, self.new), (old.size, new.size))?;
        if self.old == 0 {
            // Every history begins with the empty one; there is nothing to lead up to `new`.
            same_hash(&HistoryRoot::EMPTY.hash, old)?;
            if self.new == 0 {
                same_hash(&HistoryRoot::EMPTY.hash, new)?;
            }
            return Ok(VerifiedExtension { old: *old, new: *new });
        }
        let path = ConsistencyPath::new(self.old, self.new);
        let mut hashes = self.hashes.iter();
        // Where the old history is a subtree of the new one, its hash is not sent.
        let base = if path.base.is_some() { hashes.next().copied().unwrap_or_default() } else { old.hash };
        let (mut old_hash, mut new_hash) = (base, base);
        for (sibling, hash) in path.siblings.iter().rev().zip(hashes) {
            new_hash = sibling.join(&new_hash, hash);
            if sibling.is_left {
                old_hash = sibling.join(&old_hash, hash);
            }
        }
        same_hash(&old_hash, old)?;
        same_hash(&new_hash, new)?;
        Ok(VerifiedExtension { old: *old, new: *new })
    }
}

/// A subtree beside the path, over `len` entries from `start` on.
struct Sibling {
    is_left: bool,
    start: u64,
    len: u64,
}

impl Sibling {
    fn hash<N: HistoryNodes>(&self, nodes: &N) -> Result<Hash, MissingNode> {
        range_hash(nodes, self.start, self.len)
    }

    /// The node over this sibling, which has `hash`, and the path's own subtree.
    fn join(&self, below: &Hash, hash: &Hash) -> Hash {
        if self.is_left { node_hash(hash, below) } else { node_hash(below, hash) }
    }
}

/// A subtree over `len` entries from `start` on, which a path goes down through.
#[derive(Clone, Copy)]
struct Range {
    start: u64,
    len: u64,
}

impl Range {
    /// Splits at the largest power of two below `len`, at least 2, and goes into the half of entry `index`.
    fn descend(&mut self, index: u64) -> Sibling {
        let left = 1 << self.len.saturating_sub(1).ilog2();
        let (middle, right) = (self.start.saturating_add(left), self.len.saturating_sub(left));
        if index < middle {
            self.len = left;
            Sibling { is_left: false, start: middle, len: right }
        } else {
            let sibling = Sibling { is_left: true, start: self.start, len: left };
            *self = Self { start: middle, len: right };
            sibling
        }
    }
}

/// The siblings of the path to entry `index` of `size`, root side first. `index` is below `size`.
fn inclusion_path(index: u64, size: u64) -> Vec<Sibling> {
    let mut range = Range { start: 0, len: size };
    let mut siblings = Vec::new();
    while range.len > 1 {
        siblings.push(range.descend(index));
    }
    siblings
}

/// What a consistency proof holds.
struct ConsistencyPath {
    /// Root side first.
    siblings: Vec<Sibling>,
    /// The subtree below the siblings, with which both histories begin to differ; `None` if it is the old history.
    base: Option<(u64, u64)>,
}

impl ConsistencyPath {
    /// For sizes `old <= new`.
    fn new(old: u64, new: u64) -> Self {
        let mut siblings = Vec::new();
        // The empty history is no subtree of any.
        let Some(last) = old.checked_sub(1) else {
            return Self { siblings, base: None };
        };
        let mut range = Range { start: 0, len: new };
        // Down to the subtree that ends where the old history ends, along the path of the old one's last entry.
        while range.start.saturating_add(range.len) != old {
            siblings.push(range.descend(last));
        }
        let base = (range.start > 0).then_some((range.start, range.len));
        Self { siblings, base }
    }

    /// Number of hashes sent.
    fn hashes(&self) -> usize {
        self.siblings.len().saturating_add(usize::from(self.base.is_some()))
    }
}

fn encode(first: u64, size: u64, hashes: &[Hash]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend_from_slice(&first.to_le_bytes());
    bytes.extend_from_slice(&size.to_le_bytes());
    bytes.extend(hashes.iter().flatten());
    bytes
}

/// The two numbers a proof starts with, and what follows them.
fn numbers(bytes: &[u8]) -> Result<(u64, u64, &[u8]), HistoryDecodeError> {
    let too_short = HistoryDecodeError::TooShort { got: bytes.len() };
    let (first, rest) = bytes.split_first_chunk().ok_or(too_short)?;
    let (second, rest) = rest.split_first_chunk().ok_or(too_short)?;
    Ok((u64::from_le_bytes(*first), u64::from_le_bytes(*second), rest))
}

/// The hashes of a proof `bytes`: exactly `count`, which is all of `rest`.
fn read_hashes(bytes: &[u8], rest: &[u8], count: usize) -> Result<Vec<Hash>, HistoryDecodeError> {
    let (hashes, left) = rest.as_chunks::<32>();
    if hashes.len() != count || !left.is_empty() {
        let want = count.saturating_mul(32).saturating_add(16);
        return Err(HistoryDecodeError::Length { got: bytes.len(), want });
    }
    Ok(hashes.to_vec())
}

fn same_question(got: (u64, u64), want: (u64, u64)) -> Result<(), HistoryError> {
    if got != want {
        let ((got_first, got_size), (want_first, want_size)) = (got, want);
        return Err(HistoryError::OtherQuestion { got_first, got_size, want_first, want_size });
    }
    Ok(())
}

fn same_hash(got: &Hash, root: &HistoryRoot) -> Result<(), HistoryError> {
    if *got != root.hash {
        return Err(HistoryError::HashMismatch { size: root.size, got: *got, want: root.hash });
    }
    Ok(())
}
