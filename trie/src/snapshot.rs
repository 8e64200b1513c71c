//! A trie sent elsewhere: cut into chunks that are named by their content and each checked against the root.

use crate::settings::Settings;
use crate::trie::{Leaf, Trie};
use crate::view::View;
use smt_trie_proof::{Chunk, ChunkId, ImportError, IndexError, Root, SnapshotImport, SnapshotIndex};

impl View<'_> {
    /// The trie's chunks in key order, made one at a time; see [`smt_trie_proof::chunks`].
    pub fn chunks(&self, entries_max: usize) -> impl Iterator<Item = Chunk> {
        smt_trie_proof::chunks(self, entries_max)
    }

    /// Hands every chunk's name and encoding to `store` and returns the index that names them all.
    ///
    /// # Errors
    ///
    /// [`IndexError`] for a trie of more chunks than an index holds: allow more entries a chunk.
    pub fn export(
        &self,
        entries_max: usize,
        mut store: impl FnMut(ChunkId, Vec<u8>),
    ) -> Result<SnapshotIndex, IndexError> {
        let mut ids = Vec::new();
        for chunk in self.chunks(entries_max) {
            let bytes = chunk.encode();
            let id = ChunkId::of(&bytes);
            ids.push(id);
            store(id, bytes);
        }
        SnapshotIndex::new(self.root(), self.top.len, ids)
    }
}

impl Trie {
    /// The trie of an index, from its encoded chunks in any order. `root` is what the caller trusts; the root depth in
    /// `settings` must be the trie's.
    ///
    /// # Errors
    ///
    /// [`ImportError`] of the first chunk that is refused, or if the chunks are not all of the trie.
    ///
    /// # Panics
    ///
    /// As [`Trie::with_settings`].
    pub fn import<B: AsRef<[u8]>>(
        settings: Settings,
        index: SnapshotIndex,
        root: &Root,
        chunks: impl IntoIterator<Item = B>,
    ) -> Result<Self, ImportError> {
        let mut import = SnapshotImport::new(index, root)?;
        let mut trie = Self::with_settings(settings);
        for bytes in chunks {
            let (_, chunk) = import.take(bytes.as_ref())?;
            let entries = chunk.into_entries().into_iter();
            let batch: Vec<_> =
                entries.map(|entry| (entry.key, Some(Leaf { value: entry.value, sum: entry.sum }))).collect();
            // What a checked chunk holds is fit for a trie of its root depth; of another, the roots differ.
            trie.update(&batch).map_err(|_| ImportError::Incomplete)?;
        }
        let complete = import.finish()?;
        if trie.root() == *complete.root() { Ok(trie) } else { Err(ImportError::Incomplete) }
    }
}
