//! `kill -9` of the whole network at any moment, and up again on the same state: twenty times in a row.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    unreachable_pub,
    missing_docs,
    dead_code,
    reason = "tests"
)]

#[path = "support/load.rs"]
mod load;
#[path = "support/net.rs"]
mod net;

use load::{Crash, crash_cycles};
use net::{Rng, seed, turn};
use std::process::Command;

/// The kernel survives: what was written is there, synced or not.
struct ProcessOnly;

impl Crash for ProcessOnly {
    fn attach(&mut self, _: &mut Command) {}
    fn after_kill(&mut self) {}
}

#[test]
fn twenty_kills_lose_nothing() {
    let _turn = turn();
    let rng = Rng(seed("twenty_kills_lose_nothing", 20));
    let state = tempfile::tempdir().unwrap();
    crash_cycles("kill -9", &state.path().join("net"), 20, rng, 1200, &mut ProcessOnly);
}
