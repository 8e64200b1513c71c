//! Cutting a trie into chunks.

use alloc::vec::Vec;

use super::{CHUNK_ENTRIES_MAX, Chunk, ChunkEntry};
use crate::proof::Level;
use crate::prove::level;
use crate::{EMPTY_HASH, Nodes, Slot};

/// The chunks of a trie in key order, made one at a time.
///
/// `entries_max`: most entries of a chunk; below 1 it counts as 1, above [`CHUNK_ENTRIES_MAX`] as that. Smaller chunks
/// are checked and fetched again at less cost, but send more levels, about 60 bytes each.
/// Cost: each node is visited once for its chunk, and at most `entries_max` leaves for each node above the chunks.
pub fn chunks<N: Nodes>(nodes: &N, entries_max: usize) -> Chunks<'_, N> {
    Chunks {
        nodes,
        entries_max: entries_max.clamp(1, CHUNK_ENTRIES_MAX),
        stack: Vec::from([(nodes.root_slot(), Vec::new())]),
    }
}

/// See [`chunks`].
pub struct Chunks<'a, N: Nodes> {
    nodes: &'a N,
    entries_max: usize,
    /// Slots to come with their levels, the next one last.
    stack: Vec<(N::At, Vec<Level>)>,
}

impl<N: Nodes> Iterator for Chunks<'_, N> {
    type Item = Chunk;

    fn next(&mut self) -> Option<Chunk> {
        while let Some((at, levels)) = self.stack.pop() {
            match self.entries(at) {
                Some(entries) if entries.is_empty() => (),
                Some(entries) => return Some(Chunk { root_depth: self.nodes.root_depth(), levels, entries }),
                None => self.push_children(at, &levels),
            }
        }
        None
    }
}

impl<N: Nodes> Chunks<'_, N> {
    /// The entries of a slot in key order; `None` if there are too many, which is known once one too many is seen.
    fn entries(&self, at: N::At) -> Option<Vec<ChunkEntry>> {
        let mut leaves = Vec::new();
        let mut stack = Vec::from([at]);
        while let Some(at) = stack.pop() {
            match self.nodes.open(at) {
                Slot::Empty => (),
                Slot::Leaf(_) if leaves.len() == self.entries_max => return None,
                Slot::Leaf(leaf) => leaves.push(leaf),
                Slot::Inner(inner) => {
                    let present = [2, 1, 0].into_iter().zip(inner.children.iter().rev());
                    let present = present.filter(|(_, hash)| **hash != EMPTY_HASH);
                    stack.extend(present.map(|(turn, _)| self.nodes.child(at, turn)));
                }
            }
        }
        // Values are copied only now.
        let entry =
            |leaf: &crate::LeafNode<'_>| ChunkEntry { key: *leaf.key, sum: leaf.sum, value: leaf.value.to_vec() };
        Some(leaves.iter().map(entry).collect())
    }

    /// The slots below one that has too many entries.
    fn push_children(&mut self, at: N::At, levels: &[Level]) {
        let Slot::Inner(inner) = self.nodes.open(at) else {
            return;
        };
        for turn in [2, 1, 0] {
            if inner.child(turn) != EMPTY_HASH {
                let levels = levels.iter().cloned().chain([level(&inner, turn)]).collect();
                self.stack.push((self.nodes.child(at, turn), levels));
            }
        }
    }
}
