//! All replicas lose power at once: after `kill -9` everything that was not synced is gone.
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

#[path = "support/dropsync.rs"]
mod dropsync;
#[path = "support/load.rs"]
mod load;
#[path = "support/net.rs"]
mod net;

use dropsync::Disk;
use load::{Crash, crash_cycles};
use net::{Rng, seed, turn};
use std::process::Command;

struct PowerLoss<'a>(&'a Disk);

impl Crash for PowerLoss<'_> {
    fn attach(&mut self, command: &mut Command) {
        self.0.attach(command);
    }

    fn after_kill(&mut self) {
        self.0.lose_power();
    }
}

#[test]
fn power_losses_lose_nothing() {
    let _turn = turn();
    let rng = Rng(seed("power_losses_lose_nothing", 5));
    let disk = Disk::new();
    crash_cycles("power loss", &disk.dir(), 5, rng, 1000, &mut PowerLoss(&disk));
}
