//! The list of a snapshot's chunks.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use super::{CHUNK_ENTRIES_MAX, ChunkId};
use crate::Root;
use crate::codec::{DecodeError, Reader};

/// Most chunks of a snapshot: 2^34 entries in full chunks.
pub const SNAPSHOT_CHUNKS_MAX: usize = 1 << 20;
/// Bytes before the ids.
const HEAD_BYTES: usize = 32 + 8 + 8 + 4;

/// The chunks of one trie in key order.
///
/// What it says is the claim of whoever sent it, until the import of the chunks has confirmed it: an index of ids that do
/// not exist keeps an import waiting. Chunks that were taken stay true; ask another sender for an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotIndex {
    root: Root,
    entries: u64,
    chunks: Vec<ChunkId>,
}

/// Why there is no such index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IndexError {
    /// Too short, too long, or bytes left.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// More chunks than a snapshot has.
    #[error("{0} chunks, a snapshot has at most {SNAPSHOT_CHUNKS_MAX}")]
    TooManyChunks(usize),
    /// A number of entries that this many chunks cannot have.
    #[error("{entries} entries in {chunks} chunks")]
    EntryCount {
        /// Entries of all chunks.
        entries: u64,
        /// Number of chunks.
        chunks: usize,
    },
    /// Chunks of the empty trie, or none of another.
    #[error("{0} chunks, but none is what the empty trie has, and no other")]
    Empty(usize),
    /// An id that is there twice.
    #[error("chunk {0} is there twice")]
    Duplicate(ChunkId),
}

impl SnapshotIndex {
    /// The index of the trie with this root, which has `entries` keys, over its chunks in key order.
    ///
    /// # Errors
    ///
    /// [`IndexError`] if no trie has such chunks.
    pub fn new(root: Root, entries: u64, chunks: Vec<ChunkId>) -> Result<Self, IndexError> {
        let count = chunks.len();
        if count > SNAPSHOT_CHUNKS_MAX {
            return Err(IndexError::TooManyChunks(count));
        }
        let (least, most) = (as_u64(count), as_u64(count.saturating_mul(CHUNK_ENTRIES_MAX)));
        if entries < least || entries > most {
            return Err(IndexError::EntryCount { entries, chunks: count });
        }
        if (count == 0) != (root == Root::EMPTY) {
            return Err(IndexError::Empty(count));
        }
        let mut seen = BTreeSet::new();
        if let Some(id) = chunks.iter().find(|id| !seen.insert(**id)) {
            return Err(IndexError::Duplicate(*id));
        }
        Ok(Self { root, entries, chunks })
    }

    /// The trie's root.
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// Number of entries of all chunks.
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// The chunks in key order.
    pub fn chunks(&self) -> &[ChunkId] {
        &self.chunks
    }

    /// The index's encoding; at most 52 bytes and 32 a chunk.
    pub fn encode(&self) -> Vec<u8> {
        let count = u32::try_from(self.chunks.len()).expect("a snapshot has at most 2^20 chunks");
        let mut bytes = Vec::new();
        bytes.extend(self.root.hash);
        bytes.extend(self.root.sum.to_le_bytes());
        bytes.extend(self.entries.to_le_bytes());
        bytes.extend(count.to_le_bytes());
        self.chunks.iter().for_each(|id| bytes.extend(id.0));
        bytes
    }

    /// Reads an index; accepts exactly what [`SnapshotIndex::encode`] can give.
    ///
    /// # Errors
    ///
    /// [`IndexError`] for anything else; it never panics and allocates in proportion to `bytes`.
    pub fn decode(bytes: &[u8]) -> Result<Self, IndexError> {
        let mut reader = Reader::new(bytes, HEAD_BYTES.saturating_add(SNAPSHOT_CHUNKS_MAX.saturating_mul(32)))?;
        let root = Root { hash: reader.array()?, sum: reader.u64()? };
        let entries = reader.u64()?;
        let count = u32::from_le_bytes(reader.array()?);
        let chunks = (0..count).map(|_| reader.array().map(ChunkId)).collect::<Result<_, _>>()?;
        reader.finish()?;
        Self::new(root, entries, chunks)
    }
}

/// A length as a number.
pub(super) fn as_u64(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}
