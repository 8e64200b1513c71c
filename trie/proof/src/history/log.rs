//! All nodes of a history: what proofs are made from.

use alloc::vec::Vec;

use super::{History, HistoryFull, HistoryRoot, bag};
use crate::Hash;

/// A history whose complete subtrees can be read: in memory [`HistoryLog`], on disk whatever a node keeps.
///
/// What to keep comes from [`History::append_with`]; a node, once complete, never changes.
pub trait HistoryNodes {
    /// Number of entries.
    fn size(&self) -> u64;

    /// Hash of the complete subtree over entries `index << height .. (index + 1) << height`, if it is kept.
    fn node(&self, height: u8, index: u64) -> Option<Hash>;
}

/// A node that is needed but not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("node {index} of height {height} of the history is not kept")]
pub struct MissingNode {
    /// Its height; 0 is an entry.
    pub height: u8,
    /// Its index among the nodes of its height.
    pub index: u64,
}

/// All nodes of a history in memory: 64 bytes an entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistoryLog {
    history: History,
    /// Nodes by height, then by index.
    levels: Vec<Vec<Hash>>,
}

impl HistoryLog {
    /// The history without entries.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an entry behind all others. Cost: two hashes on average.
    ///
    /// # Errors
    ///
    /// [`HistoryFull`]; nothing is changed then.
    pub fn append(&mut self, entry: &Hash) -> Result<(), HistoryFull> {
        let levels = &mut self.levels;
        self.history.append_with(entry, |height, _, hash| {
            if levels.len() <= usize::from(height) {
                levels.push(Vec::new());
            }
            // Nodes of one height complete in the order of their indices.
            if let Some(level) = levels.get_mut(usize::from(height)) {
                level.push(*hash);
            }
        })
    }

    /// The commitment to all entries.
    pub fn root(&self) -> HistoryRoot {
        self.history.root()
    }

    /// The commitment to the first `size` entries; `None` if there are fewer.
    pub fn root_at(&self, size: u64) -> Option<HistoryRoot> {
        if size > self.size() {
            return None;
        }
        Some(HistoryRoot { size, hash: range_hash(self, 0, size).ok()? })
    }

    /// The appender of this history.
    pub fn history(&self) -> &History {
        &self.history
    }
}

impl HistoryNodes for HistoryLog {
    fn size(&self) -> u64 {
        self.history.size()
    }

    fn node(&self, height: u8, index: u64) -> Option<Hash> {
        self.levels.get(usize::from(height))?.get(usize::try_from(index).ok()?).copied()
    }
}

/// Hash of the tree over `len` entries from `start` on, where `start` is a multiple of the largest power of two up to `len`.
pub(super) fn range_hash<N: HistoryNodes>(nodes: &N, start: u64, len: u64) -> Result<Hash, MissingNode> {
    let mut peaks = Vec::new();
    let mut from = start;
    for height in (0..64u8).rev().filter(|height| len >> height & 1 == 1) {
        let index = from >> height;
        peaks.push(nodes.node(height, index).ok_or(MissingNode { height, index })?);
        from = from.saturating_add(1 << height);
    }
    Ok(bag(peaks.into_iter()))
}
