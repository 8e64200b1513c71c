//! What the holder of a root needs: the format of the ternary Merkle *sum* trie over BLAKE3, its proofs and
//! their checks.
//!
//! A trie maps 32-byte keys to a value (0 to [`VALUE_BYTES_MAX`] bytes) and a sum (u64). Its [`Root`] commits to
//! all of it, the total of the sums included, and is a function of the key set alone: neither the order nor the
//! batching of updates shows in it. [`prove`] answers a key with a [`Proof`] of inclusion or absence, [`prove_many`]
//! many keys at once; [`open_sums`] lets anyone recheck additions.
//!
//! Without std (it needs an allocator), so that it also compiles to WASM. The trie itself is `smt-trie`, which
//! re-exports everything here. [`Nodes`] is how the builders of proofs read a trie; what else implementers of tries
//! need are the preimages ([`inner_block`], [`leaf_block`], [`content`], [`Skip`]) and their hashes
//! ([`block_hash`], [`hash_blocks`], [`midstate`], [`finish_many`]).
//!
//! Everything below is the format; `scripts/vectors_trie.py` recomputes `trie/vectors/*.json` from this text alone.
//!
//! # Key path
//!
//! A key, read as a big-endian integer, is the fraction `key / 2^256`. Its path is that fraction's
//! first 162 base-3 digits (*trits*), most significant first: with `x = key`, `floor(x * 3^40 /
//! 2^256)` is the number whose 40 trits come first, and `x = x * 3^40 mod 2^256` gives the next 40.
//! Equivalently the path is `floor(key * 3^162 / 2^256)` written with 162 trits. As `3^162 > 2^256`,
//! two keys never share a path, and path order is key order.
//!
//! # Structure
//!
//! A *slot* at depth `p` is where all keys with given first `p` trits go; the root's slot has the
//! depth the trie was created with (its *root depth*: 0, or h for the sub-trie of a shard whose
//! address has h trits; all keys of a trie share their first root-depth trits). For the set of
//! keys in a slot at depth `p`:
//!
//! * no key: the slot is *empty*, its hash is 32 zero bytes and its sum 0;
//! * one key: the slot holds a *leaf*;
//! * more: with `L` the number of trits, from trit `p` on, that all of them share, the slot holds an
//!   *inner node* with a skip of `s = min(L, 105)` trits, those at `p .. p + s`. Trit `p + s` then
//!   leads each key to one of three child slots at depth `p + s + 1`.
//!
//! Metadata holds 105 skipped trits. Where `L` is larger, the rule gives a node with one child (the
//! only case of one), whose child is again an inner node: a *chain*. Two keys sharing 161 trits
//! make a node of skip 105, one child, and below it a node of skip 55 with two leaves.
//!
//! # Hashes
//!
//! A node's hash is plain BLAKE3 of exactly 128 bytes. Integers are little-endian.
//!
//! | bytes | inner node | leaf |
//! | --- | --- | --- |
//! | 0..32 | hash of child 0 | key |
//! | 32..64 | hash of child 1 | content: the value, zeros after it, |
//! | 64..96 | hash of child 2 | or the value's digest and 32 zero bytes |
//! | 96 | tag 1 | tag 2 |
//! | 97 | depth `p` of its slot | depth `p` of its slot |
//! | 98 | `s`, skipped trits, 0 to 105 | zero |
//! | 99..107 | sum (u64): the children's sums added | sum (u64) |
//! | 107..128 | skipped trits: 21 bytes, five a byte | value's length (u16), then 19 zero bytes |
//!
//! Skipped trits `a b c d e` make the byte `81a + 27b + 9c + 3d + e`, first trit first; those beyond `s` count
//! as 0. A value of at most 64 bytes stands in its leaf itself; of a longer one the digest does, BLAKE3 in keyed mode
//! with key [`VALUE_DIGEST_KEY`]. Sums are u64 and never wrap: an update whose total does not fit is refused. The
//! empty trie's root is the empty slot's: 32 zero bytes, sum 0.
//!
//! # Proof encoding
//!
//! `root depth (u8), level count (u8), levels, end`. A *level* is an inner node on the key's path, root side first:
//! `s (u8), flags (u8), sum (u64), hashes`. The key's trit at which the node branches decides its form:
//!
//! * trit 0 or 1, *siblings*: the children off the path, in child order; bit 0 of the flags says that the first is
//!   not empty, bit 1 the second; only non-empty ones follow, 32 bytes each;
//! * trit 2, *midstate*: flags 0x80 and 32 bytes, BLAKE3's chaining value (eight u32) after the first 64 bytes of the
//!   node's preimage, which are children 0 and 1: `compress(IV, block, counter 0, length 64, CHUNK_START)`. The
//!   verifier goes on from there: `compress(midstate, bytes 64..128, 0, 64, CHUNK_END | ROOT)` is the node's hash.
//!   It saves the level 32 bytes, and checking it a compression.
//!
//! The *end* is what stands in the slot the levels lead to:
//!
//! | tag (u8) | end | body |
//! | --- | --- | --- |
//! | 0 | empty slot: absence | nothing |
//! | 1 | the key's leaf: inclusion | sum (u64), length (u16), value |
//! | 2 | another key's leaf: absence | its key, sum (u64), length (u16), value; its digest if longer than 64 bytes |
//! | 3 | inner node whose skip the key leaves: absence | `s` (u8), `ceil(s / 5)` bytes of skipped trits, flags (u8, bits 0 to 2: children), sum (u64), non-empty children |
//!
//! A proof in the empty trie has root depth 0, no levels and an empty end, whatever the trie's root depth. The
//! formats of multi-proofs, snapshot chunks and the history of roots head their own modules.
//!
//! # Why this binds
//!
//! Assumed of BLAKE3: collision resistance; that nobody finds a preimage of zero; and of its compression function,
//! that nobody finds another chaining value and block for a given output (2^256 by trying), nor, building a trie, a
//! pair of them with one output (2^128), though the chaining value is theirs to choose.
//!
//! * *Collision, second preimage.* Every input has 128 bytes at fixed offsets, so equal hashes mean equal fields; by
//!   induction from the root, equal roots mean equal tries.
//! * *Leaf or inner node.* The tag has its own byte, and the verifier writes it, so neither a key and value nor a
//!   chosen digest (of keyed mode, another function) passes for children. Whether a leaf's bytes 32..96 are a value or
//!   a digest is decided by its length, which is hashed.
//! * *Position.* Depth and skipped trits are hashed. In a proof the skip is not even sent: the verifier takes it from
//!   the key it asks about. A leaf carries its full key and depth.
//! * *Sum.* Every node's own sum is in its preimage, so a hash has one sum.
//! * *Midstate.* Tag, depth, skip, sum and the child on the path are all in the second half, which the verifier
//!   writes itself. With them altered, only another chaining value that leads to the same node hash would do: the
//!   second preimage excluded above. What a midstate hides is what children 0 and 1 are, which no answer about a key
//!   under child 2 depends on. It is not a hash of this format: a node's hash comes out of flags CHUNK_END and ROOT.
//! * *One form.* The trit decides between siblings and midstate, and [`Proof::verify`] refuses the other, though
//!   siblings would lead to the same root; counts, flags, packed trits and padding have one form each, and decoding
//!   refuses the rest. Each trie and key have one proof, and each proof one encoding.
//!
//! What an inclusion proof shows: this key has this value and this sum in the trie of this hash, and
//! this hash states this total. What it does **not** show: that the total is the sum of the leaves.
//! Siblings enter a proof by their hash, without their sums; checked are only `child <= parent` along the path and,
//! where the siblings are sent, equality in one-child nodes. That the sums add up is established by those
//! who compute the root (each replica), and for a single node by [`SumOpening`]: the node and its
//! children as 128-byte preimages, which shows a wrong addition to anyone.
#![no_std]

extern crate alloc;

#[cfg(feature = "std")]
extern crate std;

mod audit;
mod batch;
mod chunk;
mod codec;
mod history;
mod kernel;
mod key_path;
mod multi;
mod node;
mod nodes;
mod proof;
mod prove;
mod rebuild;
mod root;

pub use audit::{AuditError, NodeSums, SumOpening, open_sums};
pub use batch::verify_batch;
pub use chunk::{
    CHUNK_BYTES_MAX, CHUNK_ENTRIES_MAX, CHUNK_ID_KEY, Chunk, ChunkDecodeError, ChunkEntry, ChunkError, ChunkId, Chunks,
    ImportError, IndexError, SNAPSHOT_CHUNKS_MAX, SnapshotImport, SnapshotIndex, SubtreeError, VerifiedChunk,
    VerifiedSnapshot, chunks, import_snapshot, subtree_root,
};
pub use codec::{DecodeError, PROOF_BYTES_MAX, ShapeError};
pub use history::{
    ConsistencyProof, HISTORY_LEAF_KEY, HISTORY_NODE_KEY, HISTORY_PROOF_BYTES_MAX, HISTORY_SIZE_MAX, History,
    HistoryDecodeError, HistoryError, HistoryFull, HistoryLog, HistoryNodes, HistoryRoot, InclusionProof, MissingNode,
    VerifiedExtension, VerifiedHistoryEntry,
};
pub use kernel::{Half, Midstate, Tail, finish, finish_many, hash_blocks, midstate};
pub use key_path::{KeyPath, LEADING_TRITS, PATH_TRITS, leading_trits};
pub use multi::{
    KeyCountError, MULTI_PROOF_KEYS_MAX, MultiDecodeError, MultiProof, MultiProofError, VerifiedEntries,
    multi_proof_bytes_max, prove_many,
};
pub use node::{
    Block, Content, EMPTY_HASH, NODE_BYTES, SKIP_TRITS_MAX, Skip, TAG_INNER, TAG_LEAF, VALUE_BYTES_MAX,
    VALUE_DIGEST_KEY, VALUE_INLINE_MAX, block_hash, content, inner_block, leaf_block,
};
pub use nodes::{InnerNode, LeafNode, Nodes, Slot};
pub use proof::{Proof, ProofError, VerifiedEntry};
pub use prove::{prove, prove_each};
pub use rebuild::RebuildError;
pub use root::{ROOT_DEPTH_MAX, Root};

/// A key: 32 bytes, ordered as bytes. Keys should be hashes; ground ones cost depth, not soundness.
pub type Key = [u8; 32];

/// A BLAKE3 digest of a node, or [`EMPTY_HASH`].
pub type Hash = [u8; 32];
