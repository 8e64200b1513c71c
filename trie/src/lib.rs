//! Ternary, path-compressed Merkle *sum* trie over BLAKE3.
//!
//! A [`Trie`] maps 32-byte keys to a value (0 to [`VALUE_BYTES_MAX`] bytes) and a sum (u64). Its
//! [`Root`] commits to all of it, the total of the sums included, and is a function of the key set
//! alone: neither the order nor the batching of updates shows in it, nor the layout in memory.
//! [`Trie::prove`] answers a key with a [`Proof`] of inclusion or absence, [`Trie::prove_many`] many
//! keys at once; [`Trie::open_sums`] lets anyone recheck additions.
//!
//! The format (paths, nodes, hashes, proofs) and everything a verifier needs are the crate
//! `smt-trie-proof`, which works without std and is re-exported here.
//!
//! # In memory
//!
//! Keys are parted by their first trits into partitions, each with arenas of its own: cells of 128
//! bytes for inner nodes and leaves, named by 32-bit numbers. A batch is sorted once and goes through each
//! partition level by level: down, with the cells of the next level prefetched, and up, with each
//! level hashed many nodes at a time; partitions are spread over threads. See `update.rs`.
//!
//! [`Trie::retain`] keeps the present state as a version; later updates keep what nodes were before they
//! change them, in a log ([`Trie::prune`] gives it back). [`Trie::view`] reads a version while newer
//! batches come and go.

mod ascend;
mod cell;
mod descend;
pub mod disk;
mod error;
mod levels;
mod partition;
mod past;
mod prefetch;
mod residency;
mod settings;
mod slab;
mod snapshot;
mod stream;
mod top;
mod trie;
mod update;
mod view;

pub use error::UpdateError;
pub use settings::{PARTITION_TRITS_MAX, Parallel, Settings};
pub use smt_trie_proof::*;
pub use trie::{Entry, Leaf, Stats, Trie};
pub use view::View;
