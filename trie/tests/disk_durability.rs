//! The trie on disk: loss of power after every operation, failing operations, damaged files, bounded memory, readers.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

#[path = "disk_durability/cache.rs"]
mod cache;
#[path = "disk_durability/crash.rs"]
mod crash;
#[path = "disk_durability/damage.rs"]
mod damage;
#[path = "disk_durability/directory.rs"]
mod directory;
#[path = "disk_durability/failure.rs"]
mod failure;
#[path = "disk_durability/model.rs"]
mod model;
#[path = "disk_durability/readers.rs"]
mod readers;
#[path = "disk_durability/simulated.rs"]
mod simulated;
