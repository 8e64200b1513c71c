//! History accumulator: an append-only Merkle tree over 32-byte entries, one root at any time.
//!
//! An entry is opaque here; a node appends one digest an epoch, that of the epoch's transactions. [`History`] appends
//! and gives the root while holding at most 48 hashes; whoever keeps all nodes ([`HistoryNodes`], in memory
//! [`HistoryLog`]) proves that an entry is in a history ([`InclusionProof`]) and that one history begins with another
//! ([`ConsistencyProof`]).
//!
//! # Tree
//!
//! The shape is that of RFC 6962 and RFC 9162 (section 2.1), the hashes are our own. For entries `D = d[0], …, d[n-1]`:
//!
//! * `n = 0`: the tree's hash `H(D)` is 32 zero bytes;
//! * `n = 1`: `H(D)` is keyed BLAKE3 of `d[0]` (32 bytes) under [`HISTORY_LEAF_KEY`];
//! * `n > 1`: with `k` the largest power of two *below* `n`, `H(D)` is keyed BLAKE3 of the 64 bytes
//!   `H(d[0..k]) ‖ H(d[k..n])` under [`HISTORY_NODE_KEY`].
//!
//! The two keys are ASCII: `smt-trie history leaf BLAKE3 k 1` and `smt-trie history node BLAKE3 k 1`. What is
//! committed to is the [`HistoryRoot`], the pair of size `n` and `H(D)`; encoded `n (u64) ‖ H(D)`, 40 bytes. `n` is at
//! most [`HISTORY_SIZE_MAX`]. All integers are little-endian.
//!
//! # Proofs
//!
//! *Inclusion* of entry `m` in a history of `n` entries, `m < n`: `m (u64) · n (u64) · hashes`. The hashes are the RFC's
//! `PATH(m, D)`, leaf side first:
//!
//! * `n = 1`: none;
//! * else, `k` as above: `PATH(m, d[0..k])` and then `H(d[k..n])` if `m < k`, else `PATH(m - k, d[k..n])` and then
//!   `H(d[0..k])`.
//!
//! *Consistency* of the first `m` of `n` entries, `m <= n`: `m (u64) · n (u64) · hashes`. None if `m = 0`, since every
//! history begins with the empty one. Else they are the RFC's `PROOF(m, D) = SUBPROOF(m, D, true)`, where
//! `SUBPROOF(m, D, whole)` is
//!
//! * `m = n`: nothing if `whole`, else `H(D)`;
//! * `m <= k`: `SUBPROOF(m, d[0..k], whole)` and then `H(d[k..n])`;
//! * `m > k`: `SUBPROOF(m - k, d[k..n], false)` and then `H(d[0..k])`.
//!
//! The two numbers decide how many hashes there are, so a proof has one encoding; other lengths are refused.
//!
//! # Why this binds
//!
//! Leaves and nodes are hashed under different keys, so neither passes for the other; the shape is a function of the
//! size, and the root states it, so an index or a size cannot be read another way. Finding two histories with one root
//! is finding a collision of keyed BLAKE3. The size is in no hash: under a false size, a true hash shows entries at
//! indices they do not have. Whoever vouches for a history vouches for the pair.

mod log;
mod proof;

pub use log::{HistoryLog, HistoryNodes, MissingNode};
pub use proof::{
    ConsistencyProof, HISTORY_PROOF_BYTES_MAX, HistoryDecodeError, HistoryError, InclusionProof, VerifiedExtension,
    VerifiedHistoryEntry,
};

use alloc::string::ToString;
use alloc::vec::Vec;
use borsh::io::{Error, ErrorKind, Read, Result as IoResult, Write};
use borsh::{BorshDeserialize, BorshSerialize};

use crate::Hash;

/// Key of the keyed BLAKE3 that hashes an entry: 32 ASCII bytes.
pub const HISTORY_LEAF_KEY: &[u8; 32] = b"smt-trie history leaf BLAKE3 k 1";
/// Key of the keyed BLAKE3 that hashes two subtrees: 32 ASCII bytes.
pub const HISTORY_NODE_KEY: &[u8; 32] = b"smt-trie history node BLAKE3 k 1";
/// Most entries of a history: no path is longer than 48 hashes.
pub const HISTORY_SIZE_MAX: u64 = 1 << 48;

/// What a history commits to: how many entries it has, and the hash of the tree over them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub struct HistoryRoot {
    /// Number of entries.
    pub size: u64,
    /// Hash of the tree; zeros if there are no entries.
    pub hash: Hash,
}

impl HistoryRoot {
    /// The root of the history without entries.
    pub const EMPTY: Self = Self { size: 0, hash: [0; 32] };
}

/// The history has [`HISTORY_SIZE_MAX`] entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a history has at most {HISTORY_SIZE_MAX} entries")]
pub struct HistoryFull;

/// A history as its appender needs it: its size and the roots of its complete subtrees.
///
/// Encoded (borsh) as `size (u64) · peaks`, 32 bytes for each bit set in the size, highest bit first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    size: u64,
    /// Roots of the subtrees of `2^h` entries for each bit `h` of the size, largest first.
    peaks: Vec<Hash>,
}

impl History {
    /// The history without entries.
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of entries.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The commitment to all entries. Cost: at most 47 hashes.
    pub fn root(&self) -> HistoryRoot {
        HistoryRoot { size: self.size, hash: bag(self.peaks.iter().copied()) }
    }

    /// Adds an entry behind all others. Cost: two hashes on average.
    ///
    /// # Errors
    ///
    /// [`HistoryFull`]; nothing is changed then.
    pub fn append(&mut self, entry: &Hash) -> Result<(), HistoryFull> {
        self.append_with(entry, |_, _, _| ())
    }

    /// [`History::append`] that also gives every node the entry completes to `completed`, with its height and its index
    /// among the nodes of that height: what a [`HistoryNodes`] keeps. Leaf first.
    ///
    /// # Errors
    ///
    /// [`HistoryFull`]; nothing is changed then.
    pub fn append_with(&mut self, entry: &Hash, mut completed: impl FnMut(u8, u64, &Hash)) -> Result<(), HistoryFull> {
        let size = self.size.checked_add(1).filter(|&size| size <= HISTORY_SIZE_MAX).ok_or(HistoryFull)?;
        let mut hash = leaf_hash(entry);
        completed(0, self.size, &hash);
        // A carry as in binary addition: each trailing one of the old size is a peak that is now a left half.
        for height in (1..=48).take(usize_of_u32(self.size.trailing_ones())) {
            let left = self.peaks.pop().expect("there is a peak for each bit of the size");
            hash = node_hash(&left, &hash);
            completed(height, self.size >> height, &hash);
        }
        self.peaks.push(hash);
        self.size = size;
        Ok(())
    }
}

impl BorshSerialize for History {
    fn serialize<W: Write>(&self, writer: &mut W) -> IoResult<()> {
        self.size.serialize(writer)?;
        self.peaks.iter().try_for_each(|peak| writer.write_all(peak))
    }
}

impl BorshDeserialize for History {
    fn deserialize_reader<R: Read>(reader: &mut R) -> IoResult<Self> {
        let size = u64::deserialize_reader(reader)?;
        if size > HISTORY_SIZE_MAX {
            return Err(Error::new(ErrorKind::InvalidData, HistoryFull.to_string()));
        }
        let peaks = (0..size.count_ones()).map(|_| Hash::deserialize_reader(reader)).collect::<IoResult<_>>()?;
        Ok(Self { size, peaks })
    }
}

/// The hash of one entry.
fn leaf_hash(entry: &Hash) -> Hash {
    *blake3::keyed_hash(HISTORY_LEAF_KEY, entry).as_bytes()
}

/// The hash over two subtrees.
fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut both = [0; 64];
    both.split_at_mut(32).0.copy_from_slice(left);
    both.split_at_mut(32).1.copy_from_slice(right);
    *blake3::keyed_hash(HISTORY_NODE_KEY, &both).as_bytes()
}

/// The tree over complete subtrees of falling size, left to right: each is the left half of what follows it.
fn bag(peaks: impl DoubleEndedIterator<Item = Hash>) -> Hash {
    peaks.rev().reduce(|right, left| node_hash(&left, &right)).unwrap_or(HistoryRoot::EMPTY.hash)
}

/// A count below 2^32 as a length; no platform with fewer bits holds a trie.
fn usize_of_u32(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}
