//! Why a batch is refused.

use smt_trie_proof::{Key, VALUE_BYTES_MAX};

/// Why a batch was refused; the trie is as before.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UpdateError {
    /// Two items of the batch have one key; the trie will not guess which is meant.
    #[error("batch names key {} twice", hex(key))]
    DuplicateKey {
        /// The key.
        key: Key,
    },
    /// A value is longer than the format allows.
    #[error("value of {got} bytes, at most {VALUE_BYTES_MAX} are allowed")]
    ValueTooLong {
        /// The key of the value.
        key: Key,
        /// Its length in bytes.
        got: usize,
    },
    /// A key does not share the first root-depth trits with the other keys of batch and trie.
    #[error("key {} shares {got} leading trits with the trie's keys, {want} are needed", hex(key))]
    ForeignKey {
        /// The key.
        key: Key,
        /// Trits it shares.
        got: u8,
        /// The trie's root depth.
        want: u8,
    },
    /// The total would not fit u64.
    #[error("the sums would add up to {total}, more than u64 holds")]
    SumOverflow {
        /// What all leaves would add up to.
        total: u128,
    },
}

fn hex(key: &Key) -> impl std::fmt::Display {
    blake3::Hash::from_bytes(*key).to_hex()
}
