//! The hash of a slot from its entries, by the rules of the format alone.

use alloc::vec::Vec;
use core::ops::Range;

use super::ChunkEntry;
use crate::node::{SKIP_TRITS_MAX, Skip, VALUE_BYTES_MAX, content, leaf_block};
use crate::rebuild::{Place, Rebuild, RebuildError};
use crate::{EMPTY_HASH, Key, KeyPath, PATH_TRITS, Root};

/// Why entries are not those of one slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SubtreeError {
    /// A slot no path has.
    #[error("slot at depth {0}")]
    Slot(u8),
    /// Keys that do not ascend strictly.
    #[error("key {} does not follow the one before it", blake3::Hash::from_bytes(*.0).to_hex())]
    KeyOrder(Key),
    /// Keys that part above the slot.
    #[error("the keys share {got} trits, those of the slot share {want}")]
    Prefix {
        /// Trits the first and the last key share.
        got: u8,
        /// Depth of the slot.
        want: u8,
    },
    /// A value longer than a trie holds.
    #[error("value of {0} bytes")]
    ValueLength(usize),
    /// Sums that do not fit u64 together.
    #[error("the sums overflow")]
    SumOverflow,
    /// Slots that do not tile the one above them.
    #[error("nothing else is in the slot at depth {above}, its content claims the one at depth {claimed}")]
    Tiling {
        /// Where the format puts the content.
        above: u8,
        /// Where it was said to be.
        claimed: u8,
    },
    /// Nodes that are part of no trie.
    #[error("the nodes make no trie")]
    Rebuild(#[from] RebuildError),
}

/// Hash and sum of the slot at depth `slot` that holds exactly these entries; with a trie's root depth and all its
/// entries, the trie's root.
///
/// Cost: about two hashes of 128 bytes an entry, a level at a time; up to one and a half KiB of memory an entry meanwhile.
///
/// # Errors
///
/// [`SubtreeError`] if the keys do not ascend strictly or do not share the trits before `slot`, if a value is too long, or
/// if the sums overflow.
pub fn subtree_root(slot: u8, entries: &[ChunkEntry]) -> Result<Root, SubtreeError> {
    check(slot, entries)?;
    let items: Vec<_> = entries.iter().map(|entry| Item::Entry(KeyPath::new(&entry.key), entry)).collect();
    root_of(slot, &items)
}

/// What entries of one slot have to fulfil; answers their sum.
pub(super) fn check(slot: u8, entries: &[ChunkEntry]) -> Result<u64, SubtreeError> {
    if let Some([_, entry]) = entries.array_windows().find(|[a, b]| a.key >= b.key) {
        return Err(SubtreeError::KeyOrder(entry.key));
    }
    if let [first, .., last] = entries {
        let got = KeyPath::new(&first.key).common_trits(&KeyPath::new(&last.key));
        if got < slot {
            return Err(SubtreeError::Prefix { got, want: slot });
        }
    } else if slot > PATH_TRITS {
        return Err(SubtreeError::Slot(slot));
    }
    if let Some(entry) = entries.iter().find(|entry| entry.value.len() > VALUE_BYTES_MAX) {
        return Err(SubtreeError::ValueLength(entry.value.len()));
    }
    entries.iter().try_fold(0u64, |sum, entry| sum.checked_add(entry.sum)).ok_or(SubtreeError::SumOverflow)
}

/// What a subtree is put together from.
pub(super) enum Item<'a> {
    /// A leaf with its key's path.
    Entry(KeyPath, &'a ChunkEntry),
    /// A slot that has been rebuilt: paths of its first and last key, its depth, its hash and sum.
    Slot { first: KeyPath, last: KeyPath, depth: u8, root: Root },
}

impl Item<'_> {
    fn first(&self) -> &KeyPath {
        match self {
            Self::Entry(path, _) => path,
            Self::Slot { first, .. } => first,
        }
    }

    fn last(&self) -> &KeyPath {
        match self {
            Self::Entry(path, _) => path,
            Self::Slot { last, .. } => last,
        }
    }

    /// Adds the item, which is alone in the slot at depth `slot`.
    fn add(&self, tree: &mut Rebuild, place: Option<Place>, slot: u8) -> Result<(), SubtreeError> {
        match self {
            Self::Entry(_, entry) => {
                let len = entry.value.len();
                let value_len = u16::try_from(len).map_err(|_| SubtreeError::ValueLength(len))?;
                tree.leaf(place, leaf_block(slot, &entry.key, &content(&entry.value), value_len, entry.sum));
            }
            Self::Slot { depth, root, .. } if *depth == slot => tree.subtree(place, root),
            Self::Slot { depth, .. } => return Err(SubtreeError::Tiling { above: slot, claimed: *depth }),
        }
        Ok(())
    }
}

/// Hash and sum of the slot at depth `slot` with these items: in order, apart, and sharing the trits before `slot`.
pub(super) fn root_of(slot: u8, items: &[Item<'_>]) -> Result<Root, SubtreeError> {
    let mut tree = Rebuild::default();
    // Slots to come: which items are in them, their depth and where they hang.
    let mut stack: Vec<(Range<usize>, u8, Option<Place>)> = Vec::from([(0..items.len(), slot, None)]);
    while let Some((range, slot, place)) = stack.pop() {
        let here = items.get(range.clone()).unwrap_or_default();
        let (first, last) = match here {
            [] => continue,
            [item] => {
                item.add(&mut tree, place, slot)?;
                continue;
            }
            [first, .., last] => (first.first(), last.last()),
        };
        let shared = first.common_trits(last).saturating_sub(slot).min(SKIP_TRITS_MAX);
        let branch = slot.saturating_add(shared);
        let parent = tree.inner(place, slot, &Skip::of_path(first, slot, shared), &[EMPTY_HASH; 3], 0);
        let up_to = |turn| range.start.saturating_add(here.partition_point(|item| item.first().trit(branch) <= turn));
        let (one, two) = (up_to(0), up_to(1));
        for (turn, range) in [(0, range.start..one), (1, one..two), (2, two..range.end)] {
            if !range.is_empty() {
                stack.push((range, branch.saturating_add(1), Some(Place { parent, turn })));
            }
        }
    }
    Ok(tree.root()?)
}
