//! What a trie commits to.

use crate::{EMPTY_HASH, Hash, PATH_TRITS};

/// Deepest root: one trit is left for keys to differ in.
pub const ROOT_DEPTH_MAX: u8 = PATH_TRITS - 1;

/// What a trie commits to: the hash of its root slot and the sum of all its leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, borsh::BorshSerialize, borsh::BorshDeserialize)]
pub struct Root {
    /// Hash of the root slot.
    pub hash: Hash,
    /// Sum of all leaves; the hash of a non-empty trie commits to it.
    pub sum: u64,
}

impl Root {
    /// The root of every trie without keys.
    pub const EMPTY: Self = Self { hash: EMPTY_HASH, sum: 0 };
}
