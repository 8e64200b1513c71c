//! The 128-byte preimages of nodes and their BLAKE3 hashes; the crate header has the table.

#![allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "hashing kernel: offsets are constants inside 128 bytes, skips are at most 105 trits"
)]

use crate::key_path::{KeyPath, PATH_TRITS};
use crate::{Hash, Key};

/// Bytes hashed for every node.
pub const NODE_BYTES: usize = 128;
/// Longest value, in bytes.
pub const VALUE_BYTES_MAX: usize = 1024;
/// Most trits one inner node skips: 21 bytes of five trits.
pub const SKIP_TRITS_MAX: u8 = 105;
/// Hash of the empty slot and of the empty trie.
pub const EMPTY_HASH: Hash = [0; 32];
/// Tag of an inner node, byte 96 of its preimage.
pub const TAG_INNER: u8 = 1;
/// Tag of a leaf, byte 96 of its preimage.
pub const TAG_LEAF: u8 = 2;
/// Key of the keyed BLAKE3 that digests values: 32 ASCII bytes.
pub const VALUE_DIGEST_KEY: &[u8; 32] = b"smt-trie leaf value BLAKE3 key 1";

/// Bytes that hold a full skip.
pub(crate) const SKIP_BYTES: usize = 21;

// A chain needs at most one one-child node: what that leaves of the path fits one skip.
const _: () = assert!(PATH_TRITS - (SKIP_TRITS_MAX + 1) <= SKIP_TRITS_MAX);

pub(crate) type Block = [u8; NODE_BYTES];

/// Trits an inner node skips: their number and the packed form, zero beyond them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Skip {
    pub(crate) len: u8,
    pub(crate) packed: [u8; SKIP_BYTES],
}

impl Skip {
    /// Trits `from .. from + len` of `path`; `len` is at most [`SKIP_TRITS_MAX`].
    pub(crate) fn of_path(path: &KeyPath, from: u8, len: u8) -> Self {
        let mut packed = [0; SKIP_BYTES];
        for i in 0..len {
            packed[usize::from(i / 5)] += path.trit(from + i) * POWERS[usize::from(i % 5)];
        }
        Self { len, packed }
    }

    /// Whether every byte is a number of five trits and the trits beyond `len` are zero.
    pub(crate) fn is_canonical(&self) -> bool {
        let len = usize::from(self.len);
        self.packed.iter().enumerate().all(|(i, &byte)| {
            // Trits of this byte that are in use; the others must be zero.
            let used = len.saturating_sub(5 * i);
            match used {
                0 => byte == 0,
                1..=4 => byte < 243 && byte % POWERS[used - 1] == 0,
                _ => byte < 243,
            }
        })
    }
}

/// Weight of each of the five trits of a byte.
const POWERS: [u8; 5] = [81, 27, 9, 3, 1];

pub(crate) fn value_digest(value: &[u8]) -> Hash {
    *blake3::keyed_hash(VALUE_DIGEST_KEY, value).as_bytes()
}

pub(crate) fn block_hash(block: &Block) -> Hash {
    *blake3::hash(block).as_bytes()
}

pub(crate) fn inner_block(slot: u8, skip: &Skip, children: &[Hash; 3], sum: u64) -> Block {
    let mut block = [0; NODE_BYTES];
    for (target, child) in block.chunks_exact_mut(32).zip(children) {
        target.copy_from_slice(child);
    }
    block[96] = TAG_INNER;
    block[97] = slot;
    block[98] = skip.len;
    block[99..107].copy_from_slice(&sum.to_le_bytes());
    block[107..].copy_from_slice(&skip.packed);
    block
}

pub(crate) fn leaf_block(slot: u8, key: &Key, digest: &Hash, value_len: u16, sum: u64) -> Block {
    let mut block = [0; NODE_BYTES];
    block[..32].copy_from_slice(key);
    block[32..64].copy_from_slice(digest);
    block[96] = TAG_LEAF;
    block[97] = slot;
    block[99..107].copy_from_slice(&sum.to_le_bytes());
    block[107..109].copy_from_slice(&value_len.to_le_bytes());
    block
}

/// The tag, the child hashes (or key and digest) and the sum a preimage states.
pub(crate) fn block_fields(block: &Block) -> (u8, [Hash; 3], u64) {
    let mut fields = [EMPTY_HASH; 3];
    for (field, source) in fields.iter_mut().zip(block.chunks_exact(32)) {
        field.copy_from_slice(source);
    }
    let mut sum = [0; 8];
    sum.copy_from_slice(&block[99..107]);
    (block[96], fields, u64::from_le_bytes(sum))
}
