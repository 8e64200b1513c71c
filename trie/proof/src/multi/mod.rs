//! One proof for many keys: what they share is sent once.
//!
//! A [`MultiProof`] is made by [`prove_many`] and checked by [`MultiProof::verify`] for a set of keys: sorted, without
//! duplicates, 1 to [`MULTI_PROOF_KEYS_MAX`] of them. Sorted means by their trits from the root depth on, then as
//! bytes; for keys that belong to the trie that is key order.
//!
//! # What it holds
//!
//! The *union* of the keys' paths, in pre-order (a node, then what is below its children 0, 1, 2). Each element is a
//! slot together with the keys that lead there, starting with the root's slot and all keys:
//!
//! * an *empty* slot: all its keys are absent;
//! * a *leaf*: a key of the slot that is the leaf's own is present, all others are absent;
//! * an inner node with whose skipped trits no key of the slot agrees (*diverging*): all are absent;
//! * any other inner node. Keys that do not agree with its skipped trits are absent. Those that agree turn to a child
//!   by their trit behind the skip: such a child is *on the path*, and its slot, empty or not, is an element of the
//!   union with the keys that turn there.
//!
//! # Encoding
//!
//! `root depth (u8) · number of elements (u32 LE) · codes · bodies`, at most [`multi_proof_bytes_max`] bytes. A code has
//! four bits; the first of a byte is in its low half, an unused last half is zero. Bodies stand in the same order. In the
//! empty trie the root depth is 0 and the one element is empty, whatever the trie's root depth.
//!
//! | code | element | body |
//! | --- | --- | --- |
//! | 0 | empty slot | nothing |
//! | 1 | leaf of the only key of the slot | `number(sum) · number(length) · value` |
//! | 2 | leaf of one of several keys of the slot | `number(index of that key among them) ·` as for 1 |
//! | 3 | another key's leaf | `key · number(sum) · number(length) · content` |
//! | 4 | diverging inner node | `s (u8) · skipped trits · flags (u8) · number(sum) · children` |
//! | 5 + p | inner node without skip, sibling form | `number(rest) · hashes` |
//! | 9 | inner node without skip, midstate form | `number(rest) · midstate` |
//! | 10 + p | inner node with a skip, sibling form | `skip · number(rest) · hashes` |
//! | 14 | inner node with a skip, midstate form | `skip · number(rest) · midstate` |
//!
//! * `number` is unsigned LEB128 of a u64: seven bits a byte, low ones first, bit 7 set on all but the last byte; the
//!   last byte is not zero unless it is the only one.
//! * `content`: the value if its length is at most 64, else its digest (32 bytes).
//! * Skipped trits are packed as in the node's preimage, `ceil(s / 5)` bytes. Flags and children of a diverging node are
//!   as in a single proof: bit i says that child i is not empty, and only those follow.
//! * *Midstate form*, if child 2 and no other is on the path: 32 bytes, what BLAKE3 has made of children 0 and 1 (see
//!   the crate header). *Sibling form* otherwise: the children off the path that are not empty, in child order; bit 0 of
//!   `p` says that the first of the children off the path is not empty, bit 1 the second; bits without a child are 0.
//! * `rest` is the node's sum less the sums of its children on the path. In sibling form with `p = 0` it is not sent: it
//!   is 0.
//! * `skip` is the byte `s`, 1 to 105, where all keys of the slot share the skipped trits; otherwise the byte
//!   `128 + s` and then the skipped trits.
//!
//! Everything else is refused: each trie and set of keys have one multi-proof, and each multi-proof has one encoding.
//! The rules on children and sums of a single proof hold here as far as they can be decided: too few children are
//! refused in sibling form and in diverging nodes, and sums that do not fit u64 everywhere.
//!
//! Why it binds, and what is shown of sums: as for single proofs.

mod codec;
mod keys;
mod prove;
mod verify;

pub use codec::{MultiDecodeError, multi_proof_bytes_max};
pub use prove::prove_many;
pub use verify::{MultiProofError, VerifiedEntries};

use alloc::vec::Vec;

/// Most keys a multi-proof is for.
pub const MULTI_PROOF_KEYS_MAX: usize = 1 << 16;

/// A proof that each of several keys has a certain value and sum under a root, or is absent.
///
/// It answers nothing by itself: only the [`VerifiedEntries`] that [`MultiProof::verify`] returns do. Held as it is
/// encoded: about the encoding's size in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MultiProof {
    root_depth: u8,
    /// One code an element, in pre-order.
    codes: Vec<u8>,
    /// Well-formed bodies of all elements, each readable by its code.
    bodies: Vec<u8>,
}

/// Not as many keys as a multi-proof can be for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{got} keys, a multi-proof is for 1 to {MULTI_PROOF_KEYS_MAX}")]
pub struct KeyCountError {
    /// How many keys there are, duplicates not counted.
    pub got: usize,
}
