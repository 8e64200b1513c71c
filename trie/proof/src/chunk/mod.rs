//! Snapshots of a trie in chunks, each of which can be checked on its own against the root.
//!
//! A [`Chunk`] is the whole content of one slot: its levels lead from the root to the slot as those of a single proof do,
//! its entries are all that stands below. [`chunks`] cuts a trie into them; [`Chunk::verify`] rebuilds the slot's hash from
//! the entries and climbs the levels. A [`SnapshotIndex`] names the chunks of one trie by their [`ChunkId`]s;
//! [`SnapshotImport`] takes chunks in any order from anyone and knows at the end that nothing is missing.
//!
//! # Cutting
//!
//! With `m` the largest number of entries of a chunk: a slot with 1 to `m` keys is one chunk; a slot with more is cut into
//! the chunks of its node's children; an empty slot has none. Starting at the root's slot this gives chunks in key order.
//!
//! # Encoding
//!
//! Integers are little-endian. A chunk, at most [`CHUNK_BYTES_MAX`] bytes:
//!
//! `root depth (u8) · level count (u8) · levels · entry count (u32) · entries`
//!
//! Levels are those of a single proof (crate header), root side first, for any key of the chunk; what stands below the
//! last is the leaf or inner node of the chunk's slot. An entry is `key (32) · sum (u64) · length (u16) · value`. There
//! are 1 to [`CHUNK_ENTRIES_MAX`] entries; their keys ascend strictly and share the trits before the slot's depth, and
//! their sums fit u64 together.
//!
//! A chunk's id is keyed BLAKE3 of its encoding under [`CHUNK_ID_KEY`]. An index is encoded as
//!
//! `root hash (32) · root sum (u64) · entries of all chunks (u64) · chunk count (u32) · ids (32 each), in key order`
//!
//! with at most [`SNAPSHOT_CHUNKS_MAX`] ids, no id twice, and none if and only if the root is the empty trie's.
//!
//! # What is shown
//!
//! A chunk that passes the check is the *complete* content of its slot: the slot's hash, which the root commits to, is
//! rebuilt by the rules of the format from nothing but the entries. That the chunks leave no slot out is shown at the end
//! of an import, where the nodes above all chunks are rebuilt from the chunks' hashes by the same rules: one slot
//! missing, and the root would be another. Sums are shown with it: all additions are redone.

mod export;
mod import;
mod index;
mod subtree;

pub use export::{Chunks, chunks};
pub use import::{ImportError, SnapshotImport, VerifiedSnapshot, import_snapshot};
pub use index::{IndexError, SNAPSHOT_CHUNKS_MAX, SnapshotIndex};
pub use subtree::{SubtreeError, subtree_root};

use alloc::vec::Vec;

use crate::codec::{Below, DecodeError, Reader, ShapeError, check_levels, checked_len};
use crate::node::VALUE_BYTES_MAX;
use crate::proof::{Level, ProofError};
use crate::{Hash, Key, KeyPath, PATH_TRITS, ROOT_DEPTH_MAX, Root};

/// Most entries of a chunk.
pub const CHUNK_ENTRIES_MAX: usize = 1 << 14;
/// Longest encoding of a chunk, in bytes: 162 levels and the most entries with the longest values.
pub const CHUNK_BYTES_MAX: usize = 6 + PATH_TRITS as usize * (10 + 64) + CHUNK_ENTRIES_MAX * (42 + VALUE_BYTES_MAX);
/// Key of the keyed BLAKE3 that names chunks: 32 ASCII bytes.
pub const CHUNK_ID_KEY: &[u8; 32] = b"smt-trie state chunk id BLAKE3 1";

/// Names a chunk by its encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChunkId(pub Hash);

impl ChunkId {
    /// The id of the chunk with this encoding. Cost: hashing it.
    pub fn of(encoding: &[u8]) -> Self {
        Self(*blake3::keyed_hash(CHUNK_ID_KEY, encoding).as_bytes())
    }
}

impl core::fmt::Display for ChunkId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&blake3::Hash::from_bytes(self.0).to_hex())
    }
}

/// A key with what it maps to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChunkEntry {
    /// The key.
    pub key: Key,
    /// Its sum.
    pub sum: u64,
    /// Its value, at most [`VALUE_BYTES_MAX`] bytes.
    pub value: Vec<u8>,
}

/// All entries of one slot of a trie, with the way there.
///
/// It answers nothing by itself: only the [`VerifiedChunk`] that [`Chunk::verify`] returns does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    root_depth: u8,
    levels: Vec<Level>,
    /// At least one, as [`subtree::check`] wants them.
    entries: Vec<ChunkEntry>,
}

/// Why bytes are not a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChunkDecodeError {
    /// Too long, too short, or levels against a rule of shape.
    #[error(transparent)]
    Proof(#[from] DecodeError),
    /// No entries, or too many.
    #[error("{0} entries, a chunk has 1 to {CHUNK_ENTRIES_MAX}")]
    EntryCount(u32),
    /// The entries are not those of one slot.
    #[error("the entries are not those of one slot")]
    Entries(#[from] SubtreeError),
}

impl From<ShapeError> for ChunkDecodeError {
    fn from(error: ShapeError) -> Self {
        Self::Proof(error.into())
    }
}

/// Why a well-formed chunk is not one of the trie.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChunkError {
    /// The levels do not lead to the root.
    #[error("the chunk does not lead to the root")]
    Proof(#[from] ProofError),
    /// The entries are not those of one slot.
    #[error("the entries are not those of one slot")]
    Entries(#[from] SubtreeError),
}

/// The complete content of one slot, as a check has shown it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct VerifiedChunk {
    root_depth: u8,
    slot: u8,
    /// Hash and sum of the slot.
    subtree: Root,
    entries: Vec<ChunkEntry>,
}

impl VerifiedChunk {
    /// Depth of the trie's root slot.
    pub fn root_depth(&self) -> u8 {
        self.root_depth
    }

    /// Depth of the chunk's slot: all keys of the trie that share this many trits with the chunk's are in it.
    pub fn slot(&self) -> u8 {
        self.slot
    }

    /// The slot's entries in key order: at least one.
    pub fn entries(&self) -> &[ChunkEntry] {
        &self.entries
    }

    /// The entries themselves.
    pub fn into_entries(self) -> Vec<ChunkEntry> {
        self.entries
    }
}

impl Chunk {
    /// The slot's entries in key order: at least one.
    pub fn entries(&self) -> &[ChunkEntry] {
        &self.entries
    }

    /// The chunk's encoding; at most [`CHUNK_BYTES_MAX`] bytes.
    pub fn encode(&self) -> Vec<u8> {
        let levels = u8::try_from(self.levels.len()).expect("a path has at most 162 levels");
        let count = u32::try_from(self.entries.len()).expect("a chunk has at most 2^14 entries");
        let mut bytes = Vec::new();
        bytes.extend([self.root_depth, levels]);
        self.levels.iter().for_each(|level| level.write(&mut bytes));
        bytes.extend(count.to_le_bytes());
        for entry in &self.entries {
            let len = u16::try_from(entry.value.len()).expect("a value has at most 1024 bytes");
            bytes.extend(entry.key);
            bytes.extend(entry.sum.to_le_bytes());
            bytes.extend(len.to_le_bytes());
            bytes.extend(&entry.value);
        }
        bytes
    }

    /// Reads a chunk; accepts exactly what [`Chunk::encode`] can give.
    ///
    /// # Errors
    ///
    /// [`ChunkDecodeError`] for anything else; it never panics and allocates in proportion to `bytes`.
    pub fn decode(bytes: &[u8]) -> Result<Self, ChunkDecodeError> {
        let mut reader = Reader::new(bytes, CHUNK_BYTES_MAX)?;
        let [root_depth, level_count] = reader.array()?;
        if root_depth > ROOT_DEPTH_MAX {
            return Err(ShapeError::RootDepth(root_depth).into());
        }
        if level_count > PATH_TRITS {
            return Err(ShapeError::LevelCount(level_count).into());
        }
        let levels: Vec<_> = (0..level_count).map(|_| Level::read(&mut reader)).collect::<Result<_, _>>()?;
        let count = u32::from_le_bytes(reader.array()?);
        if count == 0 || usize::try_from(count).map_or(true, |count| count > CHUNK_ENTRIES_MAX) {
            return Err(ChunkDecodeError::EntryCount(count));
        }
        let entries = (0..count).map(|_| read_entry(&mut reader)).collect::<Result<Vec<_>, _>>()?;
        reader.finish()?;
        let chunk = Self { root_depth, levels, entries };
        let sum = subtree::check(chunk.slot(), &chunk.entries)?;
        let below = if count == 1 { Below::Leaf(sum) } else { Below::Inner(sum) };
        check_levels(root_depth, &chunk.levels, below)?;
        Ok(chunk)
    }

    /// Checks that the chunk is the complete content of its slot in the trie with this root.
    ///
    /// Cost: about two hashes of 128 bytes an entry, a level at a time through the many-lane kernel.
    ///
    /// # Errors
    ///
    /// [`ChunkError`], whenever anything was altered or belongs to another trie.
    pub fn verify(self, root: &Root) -> Result<VerifiedChunk, ChunkError> {
        let slot = self.slot();
        let subtree = subtree_root(slot, &self.entries)?;
        let path = self.entries.first().map_or(KeyPath::new(&[0; 32]), |entry| KeyPath::new(&entry.key));
        let hash = Level::climb(&self.levels, slot, &path, subtree.hash)?;
        let got = Root { hash, sum: self.levels.first().map_or(subtree.sum, |top| top.sum) };
        if got != *root {
            return Err(ProofError::RootMismatch { got, want: *root }.into());
        }
        Ok(VerifiedChunk { root_depth: self.root_depth, slot, subtree, entries: self.entries })
    }

    /// Depth of the slot; where levels lead past the path's end, some depth that the check of their shape refuses.
    fn slot(&self) -> u8 {
        Level::slot_below(&self.levels, self.root_depth)
    }
}

fn read_entry(reader: &mut Reader<'_>) -> Result<ChunkEntry, DecodeError> {
    let key = reader.array()?;
    let sum = reader.u64()?;
    let len = checked_len(reader.u16()?)?;
    Ok(ChunkEntry { key, sum, value: reader.bytes(usize::from(len))?.to_vec() })
}
