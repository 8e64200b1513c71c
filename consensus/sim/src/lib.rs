//! Seeded simulator of whole networks: the same cores as in the node, on a network and on disks made of chance.
//!
//! One thread, one event queue, one seed that draws everything: the shape of the network, which faults this run uses at
//! all ([`faults`]), delays, loss, repetition, overtaking, partitions, crashes with loss of unsynced writes, slow replicas,
//! clock offsets, sync times, and what owners pay ([`clients`]). Signatures are a stand-in ([`keys`]); everything else is
//! the real thing: every message passes the real gate, every write and every read goes through the one rule of the driver
//! (writes, then sync, then messages), every restart recovers from the store alone.
//!
//! Invariants ([`watch`]) are checked at every record, message, cut and header that *leaves* a replica: what a crash takes
//! back has never been said. Then faults end, all replicas are up, and progress is demanded ([`world::World::run`]).
//!
//! Equal seeds give equal runs: the digest of all effects says so.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "a simulator is a test: a panic ends the seed and is reported with it"
)]

pub mod clients;
pub mod faults;
pub mod keys;
pub mod lab;
pub mod random;
pub mod run;
pub mod shape;
pub mod store;
pub mod watch;
pub mod world;

pub use run::{Options, Outcome, Verdict, simulate, sweep};
