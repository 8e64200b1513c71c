//! Ternary, path-compressed Merkle *sum* trie over BLAKE3.
//!
//! A [`Trie`] maps 32-byte keys to a value (0 to [`VALUE_BYTES_MAX`] bytes) and a sum (u64). Its
//! [`Root`] commits to all of it, the total of the sums included, and is a function of the key set
//! alone: neither the order nor the batching of updates shows in it. [`Trie::prove`] answers a key
//! with a [`Proof`] of inclusion or absence; [`Trie::open_sums`] lets anyone recheck additions.
//!
//! Everything below is the format; `scripts/vectors_trie.py` recomputes `vectors/*.json` from this
//! text alone.
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
//! | 32..64 | hash of child 1 | value digest |
//! | 64..96 | hash of child 2 | zero |
//! | 96 | tag 1 | tag 2 |
//! | 97 | depth `p` of its slot | depth `p` of its slot |
//! | 98 | `s`, skipped trits, 0 to 105 | zero |
//! | 99..107 | sum (u64): the children's sums added | sum (u64) |
//! | 107..128 | skipped trits: 21 bytes, five a byte | value's length (u16), then 19 zero bytes |
//!
//! Skipped trits `a b c d e` make the byte `81a + 27b + 9c + 3d + e`, first trit first; those beyond
//! `s` count as 0. The value digest is BLAKE3 in keyed mode of the value, key [`VALUE_DIGEST_KEY`],
//! for values of every length. Sums are u64 and never wrap: an update whose total does not fit is
//! refused. The empty trie's root is the empty slot's: 32 zero bytes, sum 0.
//!
//! # Why this binds
//!
//! Assume BLAKE3 collision resistant and zero not a hash anyone can find a preimage of.
//! * *Collision, second preimage.* Every input has 128 bytes at fixed offsets, so equal hashes mean
//!   equal fields; by induction from the root, equal roots mean equal tries.
//! * *Leaf or inner node.* The tag has its own byte, and the verifier writes it, so neither a key and
//!   digest nor a chosen value (hashed in keyed mode, which is another function) passes for children.
//! * *Position.* Depth and skipped trits are hashed. In a proof the skip is not even sent: the
//!   verifier takes it from the key it asks about. A leaf carries its full key and depth.
//! * *Sum.* Every node's own sum is in its preimage, so a hash has one sum.
//!
//! What an inclusion proof shows: this key has this value and this sum in the trie of this hash, and
//! this hash states this total. What it does **not** show: that the total is the sum of the leaves.
//! Siblings enter a proof by their hash, without their sums; checked are only `child <= parent`
//! along the path and equality in one-child nodes. That the sums add up is established by those
//! who compute the root (each replica), and for a single node by [`SumOpening`]: the node and its
//! children as 128-byte preimages, which shows a wrong addition to anyone.
//!
//! # Proof encoding
//!
//! `root depth (u8), level count (u8), levels, end`. A *level* is an inner node on the key's path,
//! root side first: `s (u8), flags (u8), sum (u64), siblings`. The siblings are the children off the
//! path, in child order; bit 0 of the flags says that the first is not empty, bit 1 the second; only
//! non-empty ones follow, 32 bytes each. The *end* is what stands in the slot the levels lead to:
//!
//! | tag (u8) | end | body |
//! | --- | --- | --- |
//! | 0 | empty slot: absence | nothing |
//! | 1 | the key's leaf: inclusion | sum (u64), length (u16), value |
//! | 2 | another key's leaf: absence | its key, value digest, sum (u64), length (u16) |
//! | 3 | inner node whose skip the key leaves: absence | `s` (u8), `ceil(s / 5)` bytes of skipped trits, flags (u8, bits 0 to 2: children), sum (u64), non-empty children |
//!
//! A proof in the empty trie has root depth 0, no levels and an empty end, whatever the trie's root
//! depth. Each trie and key have one proof and each proof one encoding; anything else is refused.

mod audit;
mod codec;
mod hash;
mod key_path;
mod node;
mod proof;
mod prove;
mod trie;
mod update;

pub use audit::{AuditError, NodeSums, SumOpening};
pub use codec::{DecodeError, PROOF_BYTES_MAX, ShapeError};
pub use hash::{EMPTY_HASH, NODE_BYTES, SKIP_TRITS_MAX, TAG_INNER, TAG_LEAF, VALUE_BYTES_MAX, VALUE_DIGEST_KEY};
pub use key_path::{KeyPath, PATH_TRITS};
pub use proof::{Proof, ProofError, VerifiedEntry};
pub use trie::{Entry, Iter, Leaf, ROOT_DEPTH_MAX, Root, Trie};
pub use update::UpdateError;

/// A key: 32 bytes, ordered as bytes. Keys should be hashes; ground ones cost depth, not soundness.
pub type Key = [u8; 32];

/// A BLAKE3 digest of a node, or [`EMPTY_HASH`].
pub type Hash = [u8; 32];
