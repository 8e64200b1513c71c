//! The keys of a multi-proof, and how they part on their way down.

use alloc::vec::Vec;
use core::ops::Range;

use super::{KeyCountError, MULTI_PROOF_KEYS_MAX};
use crate::node::Skip;
use crate::{Key, KeyPath, PATH_TRITS};

/// A key with its path.
#[derive(Clone, Copy)]
pub(super) struct Asked {
    pub(super) key: Key,
    pub(super) path: KeyPath,
}

/// The keys in the order of the module header, without duplicates.
pub(super) struct AskedKeys {
    keys: Vec<Asked>,
}

impl AskedKeys {
    pub(super) fn new(keys: &[Key], root_depth: u8) -> Result<Self, KeyCountError> {
        let mut sorted = keys.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        let got = sorted.len();
        if got == 0 || got > MULTI_PROOF_KEYS_MAX {
            return Err(KeyCountError { got });
        }
        let mut keys: Vec<_> = sorted.iter().map(|key| Asked { key: *key, path: KeyPath::new(key) }).collect();
        if let [first, .., last] = keys.as_slice()
            && first.path.common_trits(&last.path) < root_depth
        {
            // Foreign keys: the trie leads them by trits that are not first in their order as bytes. The sort is stable.
            let tail = |asked: &Asked| (root_depth..PATH_TRITS).map(|index| asked.path.trit(index)).collect::<Vec<_>>();
            keys.sort_by_cached_key(tail);
        }
        Ok(Self { keys })
    }

    /// All keys, as a range of [`AskedKeys::get`].
    pub(super) fn all(&self) -> Range<usize> {
        0..self.keys.len()
    }

    /// Keys of a range that came from here.
    pub(super) fn get(&self, range: &Range<usize>) -> &[Asked] {
        self.keys.get(range.clone()).unwrap_or_default()
    }

    /// Some key of a range that is not empty: all keys of a slot lead there the same way.
    pub(super) fn first(&self, range: &Range<usize>) -> &Asked {
        self.get(range).first().expect("every element of the union has a key")
    }

    /// Whether the keys of the slot at depth `slot` share their next `len` trits.
    pub(super) fn share(&self, range: &Range<usize>, slot: u8, len: u8) -> bool {
        // In order, so the outermost two decide.
        match self.get(range) {
            [first, .., last] => first.path.agrees(&last.path, slot, slot.saturating_add(len)),
            _ => true,
        }
    }

    /// The keys of the slot at depth `slot` that have the skipped trits: neighbours, since in order.
    pub(super) fn agreeing(&self, range: &Range<usize>, slot: u8, skip: &Skip) -> Range<usize> {
        let keys = self.get(range);
        // Packed trits are ordered as the trits are. Searched, not scanned: many keys may pass many skips together.
        let packed = |asked: &Asked| Skip::of_path(&asked.path, slot, skip.len).packed;
        let before = keys.partition_point(|asked| packed(asked) < skip.packed);
        let up_to = keys.partition_point(|asked| packed(asked) <= skip.packed);
        range.start.saturating_add(before)..range.start.saturating_add(up_to)
    }

    /// The keys by the child they turn to at trit `branch`; before it they share all trits from the root depth on.
    pub(super) fn turns(&self, range: &Range<usize>, branch: u8) -> [Range<usize>; 3] {
        let keys = self.get(range);
        let up_to = |turn| range.start.saturating_add(keys.partition_point(|asked| asked.path.trit(branch) <= turn));
        let (one, two) = (up_to(0), up_to(1));
        [range.start..one, one..two, two..range.end]
    }
}

/// Whether child 2 and no other is on the path: the midstate form's case.
pub(super) fn only_last([first, second, last]: &[Range<usize>; 3]) -> bool {
    first.is_empty() && second.is_empty() && !last.is_empty()
}
