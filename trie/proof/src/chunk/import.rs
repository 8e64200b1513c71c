//! Putting a trie together again from its chunks.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::index::as_u64;
use super::subtree::{Item, root_of};
use super::{Chunk, ChunkDecodeError, ChunkEntry, ChunkError, ChunkId, SnapshotIndex, SubtreeError, VerifiedChunk};
use crate::{KeyPath, Root};

/// Why a chunk is not taken, or an import is not complete.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The index is of a trie with another root.
    #[error("the index is of another root")]
    OtherRoot,
    /// The chunk is not in the index.
    #[error("chunk {0} is not in the index")]
    NotInIndex(ChunkId),
    /// The chunk has been taken before.
    #[error("chunk {0} has been taken")]
    Duplicate(ChunkId),
    /// The index names bytes that are not a chunk: whoever made it is at fault, not who sent the bytes.
    #[error("chunk {id} is malformed")]
    Malformed {
        /// The chunk.
        id: ChunkId,
        /// Why.
        source: ChunkDecodeError,
    },
    /// The index names a chunk that is not the trie's: whoever made it is at fault, not who sent the bytes.
    #[error("chunk {id} is not the trie's")]
    Foreign {
        /// The chunk.
        id: ChunkId,
        /// Why.
        source: ChunkError,
    },
    /// Chunks are missing.
    #[error("{0} chunks are missing")]
    Missing(usize),
    /// A chunk that, by the index, comes after one it does not follow, or is of another root depth.
    #[error("the chunk at position {0} does not follow the one before it")]
    Order(usize),
    /// The chunks have another number of entries than the index says.
    #[error("{got} entries, the index says {want}")]
    EntryCount {
        /// What the chunks have.
        got: u64,
        /// What the index says.
        want: u64,
    },
    /// The chunks' slots make no trie.
    #[error("the chunks make no trie")]
    Subtree(#[from] SubtreeError),
    /// The index leaves out some of the trie.
    #[error("the chunks of the index are not all of the trie")]
    Incomplete,
}

/// What is kept of a chunk that was taken.
#[derive(Clone, Copy, Debug)]
struct Taken {
    root_depth: u8,
    slot: u8,
    first: KeyPath,
    last: KeyPath,
    entries: u64,
    subtree: Root,
}

/// Takes the chunks of an index in any order and knows when a trie is complete.
///
/// It holds 300 bytes a chunk, to which [`SnapshotImport::finish`] adds up to one and a half KiB a chunk for its own
/// time. Entries are handed on as they come, to be stored in no particular order.
#[derive(Clone, Debug)]
pub struct SnapshotImport {
    index: SnapshotIndex,
    positions: BTreeMap<ChunkId, usize>,
    /// By position in the index.
    taken: Vec<Option<Taken>>,
}

/// A snapshot that has been shown to be all of a trie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct VerifiedSnapshot {
    root: Root,
    root_depth: u8,
    entries: u64,
}

impl VerifiedSnapshot {
    /// The trie's root.
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// The trie's root depth; 0 if it is empty.
    pub fn root_depth(&self) -> u8 {
        self.root_depth
    }

    /// Number of entries of all chunks: the trie's.
    pub fn entries(&self) -> u64 {
        self.entries
    }
}

impl SnapshotImport {
    /// An import of the trie with this root, which the caller knows from elsewhere.
    ///
    /// # Errors
    ///
    /// [`ImportError::OtherRoot`].
    pub fn new(index: SnapshotIndex, root: &Root) -> Result<Self, ImportError> {
        if index.root() != root {
            return Err(ImportError::OtherRoot);
        }
        let positions = index.chunks().iter().copied().zip(0..).collect();
        let taken = index.chunks().iter().map(|_| None).collect();
        Ok(Self { index, positions, taken })
    }

    /// Takes an encoded chunk; answers its position in the index and its entries, which are shown to be the trie's.
    ///
    /// # Errors
    ///
    /// [`ImportError::NotInIndex`], [`ImportError::Duplicate`], [`ImportError::Malformed`], [`ImportError::Foreign`];
    /// nothing is changed then. After the last two the index cannot be completed.
    pub fn take(&mut self, bytes: &[u8]) -> Result<(usize, VerifiedChunk), ImportError> {
        let id = ChunkId::of(bytes);
        let position = *self.positions.get(&id).ok_or(ImportError::NotInIndex(id))?;
        let taken = self.taken.get_mut(position).ok_or(ImportError::NotInIndex(id))?;
        if taken.is_some() {
            return Err(ImportError::Duplicate(id));
        }
        let chunk = Chunk::decode(bytes).map_err(|source| ImportError::Malformed { id, source })?;
        let chunk = chunk.verify(self.index.root()).map_err(|source| ImportError::Foreign { id, source })?;
        if let [first, ..] = chunk.entries()
            && let [.., last] = chunk.entries()
        {
            *taken = Some(Taken {
                root_depth: chunk.root_depth(),
                slot: chunk.slot(),
                first: KeyPath::new(&first.key),
                last: KeyPath::new(&last.key),
                entries: as_u64(chunk.entries().len()),
                subtree: chunk.subtree,
            });
        }
        Ok((position, chunk))
    }

    /// The index that is imported.
    pub fn index(&self) -> &SnapshotIndex {
        &self.index
    }

    /// The chunks not taken yet, in key order.
    pub fn missing(&self) -> impl Iterator<Item = &ChunkId> {
        self.index.chunks().iter().zip(&self.taken).filter(|(_, taken)| taken.is_none()).map(|(id, _)| id)
    }

    /// Checks that the chunks taken are all of the trie: rebuilds the nodes above them, two hashes a chunk.
    ///
    /// # Errors
    ///
    /// [`ImportError::Missing`] while there are chunks to come; otherwise whoever made the index is at fault.
    pub fn finish(&self) -> Result<VerifiedSnapshot, ImportError> {
        let taken: Vec<_> = self.taken.iter().flatten().collect();
        match self.taken.len().saturating_sub(taken.len()) {
            0 => (),
            missing => return Err(ImportError::Missing(missing)),
        }
        let follows = |[a, b]: &[&Taken; 2]| a.last < b.first && a.root_depth == b.root_depth;
        if let Some(position) = taken.array_windows().position(|pair| !follows(pair)) {
            return Err(ImportError::Order(position.saturating_add(1)));
        }
        let (got, want) = (taken.iter().map(|chunk| chunk.entries).sum(), self.index.entries());
        if got != want {
            return Err(ImportError::EntryCount { got, want });
        }
        let root_depth = taken.first().map_or(0, |chunk| chunk.root_depth);
        let item = |chunk: &&Taken| {
            let Taken { first, last, slot: depth, subtree: root, .. } = **chunk;
            Item::Slot { first, last, depth, root }
        };
        let items: Vec<_> = taken.iter().map(item).collect();
        if let [first, .., last] = taken.as_slice() {
            let got = first.first.common_trits(&last.last);
            if got < root_depth {
                return Err(SubtreeError::Prefix { got, want: root_depth }.into());
            }
        }
        if root_of(root_depth, &items)? != *self.index.root() {
            return Err(ImportError::Incomplete);
        }
        Ok(VerifiedSnapshot { root: *self.index.root(), root_depth, entries: want })
    }
}

/// All entries of a trie in key order, from its index and its encoded chunks in any order.
///
/// For tries that fit memory; larger ones are taken chunk by chunk with [`SnapshotImport`].
///
/// # Errors
///
/// [`ImportError`] of the first chunk that is refused, or if the chunks are not all of the trie.
pub fn import_snapshot<B: AsRef<[u8]>>(
    index: SnapshotIndex,
    root: &Root,
    chunks: impl IntoIterator<Item = B>,
) -> Result<(VerifiedSnapshot, Vec<ChunkEntry>), ImportError> {
    let mut import = SnapshotImport::new(index, root)?;
    let mut parts = BTreeMap::new();
    for bytes in chunks {
        let (position, chunk) = import.take(bytes.as_ref())?;
        parts.insert(position, chunk.into_entries());
    }
    Ok((import.finish()?, parts.into_values().flatten().collect()))
}
