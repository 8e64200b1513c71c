//! The 128-byte preimages of nodes and their BLAKE3 hashes; the crate header has the table.

#![allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "hashing kernel: offsets are constants inside 128 bytes, skips are at most 105 trits"
)]

use crate::kernel::{self, Half, Midstate};
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
/// Longest value a leaf's preimage holds itself; of a longer one it holds the digest.
pub const VALUE_INLINE_MAX: usize = 64;
/// Key of the keyed BLAKE3 that digests values: 32 ASCII bytes.
pub const VALUE_DIGEST_KEY: &[u8; 32] = b"smt-trie leaf value BLAKE3 key 1";

/// Bytes that hold a full skip.
pub(crate) const SKIP_BYTES: usize = 21;

// A chain needs at most one one-child node: what that leaves of the path fits one skip.
const _: () = assert!(PATH_TRITS - (SKIP_TRITS_MAX + 1) <= SKIP_TRITS_MAX);

/// The preimage of a node's hash.
pub type Block = [u8; NODE_BYTES];
/// A preimage to be written.
pub(crate) const EMPTY_BLOCK: Block = [0; NODE_BYTES];

/// Trits an inner node skips: their number and the packed form, zero beyond them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Skip {
    pub(crate) len: u8,
    pub(crate) packed: [u8; SKIP_BYTES],
}

impl Skip {
    /// No trits.
    pub const NONE: Self = Self { len: 0, packed: [0; SKIP_BYTES] };

    /// Number of trits.
    pub fn len(&self) -> u8 {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Trits `from .. from + len` of `path`; `len` is at most [`SKIP_TRITS_MAX`], `from + len` at most [`PATH_TRITS`].
    pub fn of_path(path: &KeyPath, from: u8, len: u8) -> Self {
        let mut packed = [0; SKIP_BYTES];
        pack_trits(path, from, len, &mut packed);
        Self { len, packed }
    }

    /// The last `len` trits of `number`; `len` is at most 40.
    pub fn of_number(mut number: u64, len: u8) -> Self {
        let mut packed = [0; SKIP_BYTES];
        for i in (0..usize::from(len)).rev() {
            packed[i / 5] += (number % 3) as u8 * POWERS[i % 5];
            number /= 3;
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

/// Writes the packed form of trits `from .. from + len` of `path`.
#[inline]
pub(crate) fn pack_trits(path: &KeyPath, from: u8, len: u8, packed: &mut [u8; SKIP_BYTES]) {
    *packed = [0; SKIP_BYTES];
    for i in 0..len {
        packed[usize::from(i / 5)] += path.trit(from + i) * POWERS[usize::from(i % 5)];
    }
}

/// Weight of each of the five trits of a byte.
const POWERS: [u8; 5] = [81, 27, 9, 3, 1];

/// The hash of one node.
pub fn block_hash(block: &Block) -> Hash {
    kernel::hash_block(block)
}

/// The preimage of an inner node in a slot at depth `slot`.
#[inline]
pub fn inner_block(slot: u8, skip: &Skip, children: &[Hash; 3], sum: u64) -> Block {
    let mut block = EMPTY_BLOCK;
    write_inner_head(&mut block, &children[0], &children[1]);
    *second_half_mut(&mut block) = inner_tail(slot, skip, &children[2], sum);
    block
}

/// Writes the first half of an inner node's preimage.
#[inline]
pub(crate) fn write_inner_head(block: &mut Block, child_0: &Hash, child_1: &Hash) {
    block[..32].copy_from_slice(child_0);
    block[32..64].copy_from_slice(child_1);
}

/// The part of a preimage that its second compression takes.
#[inline]
pub(crate) fn second_half(block: &Block) -> &Half {
    &block.as_chunks().0[1]
}

#[inline]
pub(crate) fn second_half_mut(block: &mut Block) -> &mut Half {
    &mut block.as_chunks_mut().0[1]
}

/// What a proof by way of child 2 has of the others.
pub(crate) fn midstate(child_0: &Hash, child_1: &Hash) -> Midstate {
    let mut first = [0; 64];
    first[..32].copy_from_slice(child_0);
    first[32..].copy_from_slice(child_1);
    kernel::midstate(&first)
}

/// The second half of an inner node's preimage: child 2 and the metadata.
#[inline]
pub(crate) fn inner_tail(slot: u8, skip: &Skip, child: &Hash, sum: u64) -> Half {
    let mut tail = [0; 64];
    *write_inner_tail(&mut tail, slot, skip.len, child, sum) = skip.packed;
    tail
}

/// Writes [`inner_tail`] but for the skipped trits, for which it gives the place.
#[inline]
pub(crate) fn write_inner_tail<'a>(
    tail: &'a mut Half,
    slot: u8,
    skip_len: u8,
    child: &Hash,
    sum: u64,
) -> &'a mut [u8; SKIP_BYTES] {
    tail[..32].copy_from_slice(child);
    tail[32] = TAG_INNER;
    tail[33] = slot;
    tail[34] = skip_len;
    tail[35..43].copy_from_slice(&sum.to_le_bytes());
    tail.last_chunk_mut().expect("a skip is shorter than half a preimage")
}

/// Bytes 32..96 of a leaf's preimage: the value padded with zeros, or its digest and zeros.
pub type Content = [u8; VALUE_INLINE_MAX];

/// What stands for a value of at most [`VALUE_BYTES_MAX`] bytes in its leaf's preimage.
///
/// Which of the two forms it has is a function of the length alone, which is hashed beside it.
/// Cost: none up to [`VALUE_INLINE_MAX`] bytes, one hash of the value beyond.
#[inline]
pub fn content(value: &[u8]) -> Content {
    let mut content = [0; VALUE_INLINE_MAX];
    match content.get_mut(..value.len()) {
        Some(inline) => inline.copy_from_slice(value),
        None => content[..32].copy_from_slice(blake3::keyed_hash(VALUE_DIGEST_KEY, value).as_bytes()),
    }
    content
}

/// The preimage of a leaf in a slot at depth `slot`; `value_len` is the value's length in bytes.
#[inline]
pub fn leaf_block(slot: u8, key: &Key, content: &Content, value_len: u16, sum: u64) -> Block {
    let mut block = [0; NODE_BYTES];
    block[..32].copy_from_slice(key);
    block[32..96].copy_from_slice(content);
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
