//! What the store holds after a power loss, on a file layer that forgets everything after the last sync.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "tests")]

#[path = "support/dropsync.rs"]
mod dropsync;

use std::io::{BufRead as _, BufReader, Write as _};
use std::ops::ControlFlow;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use dropsync::Disk;
use smt_node::store::{Column, Durability, KeyRange, Order, Store, StoreContext, StoreError, WriteSet};

const IDENTITY: &[u8] = b"power loss test";
/// How many of the newest records the writer keeps; older ones it deletes.
const KEPT: u64 = 200;

fn context() -> StoreContext {
    // Small, so that a short run flushes and compacts.
    StoreContext::new(1 << 20, 128 << 10)
}

fn open(dir: &Path) -> Store {
    Store::open(dir, &context(), IDENTITY).unwrap()
}

/// Steps of a 64-bit linear congruential generator: reproducible, good enough to choose sizes and moments.
fn draw(seed: u64) -> u64 {
    let x = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (x ^ (x >> 29)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16
}

fn value(n: u64) -> Vec<u8> {
    let length = if draw(n).is_multiple_of(23) { 90_000 } else { draw(n) % 2_000 };
    (0..length).map(|i| draw(n ^ (i << 20)).to_le_bytes()[0]).collect()
}

fn set(n: u64) -> WriteSet {
    let mut set = WriteSet::new();
    set.put(Column::Batch, &n.to_be_bytes(), value(n));
    set.put(Column::Meta, b"last", n.to_be_bytes());
    if let Some(old) = n.checked_sub(KEPT) {
        set.delete(Column::Batch, &old.to_be_bytes());
    }
    set
}

/// The last record; every one of the kept ones before it is there, byte for byte, and nothing else.
fn last(store: &Store) -> u64 {
    let last =
        store.get(Column::Meta, b"last").unwrap().map_or(0, |bytes| u64::from_be_bytes(bytes.try_into().unwrap()));
    let mut expected = last.saturating_sub(KEPT);
    store
        .visit(Column::Batch, &KeyRange::all(), Order::Ascending, |key, found| {
            expected += 1;
            assert_eq!(key, expected.to_be_bytes());
            assert_eq!(found, value(expected), "record {expected}");
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(expected, last, "records up to the last one");
    last
}

fn ack(n: u64) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\nack {n}").unwrap();
    out.flush().unwrap();
}

/// The processes under test. `STORE_CHILD` says which.
#[test]
#[ignore = "started by the other tests as a process of its own"]
fn child() {
    let (Ok(role), Some(dir)) = (std::env::var("STORE_CHILD"), std::env::var_os("STORE_DIR")) else {
        return;
    };
    let dir = Path::new(&dir);
    let store = open(dir);
    let first =
        store.get(Column::Meta, b"last").unwrap().map_or(0, |bytes| u64::from_be_bytes(bytes.try_into().unwrap())) + 1;
    match role.as_str() {
        // Every third commit on average is only buffered, and vouched for by the next synced one.
        "honest" => {
            for n in first.. {
                if draw(n ^ 99).is_multiple_of(3) {
                    store.commit(set(n), Durability::Buffered).unwrap();
                } else {
                    store.commit(set(n), Durability::Synced).unwrap();
                    ack(n);
                }
            }
        }
        // The bug to be caught: durable is said, buffered is done.
        "planted" => {
            for n in first.. {
                store.commit(set(n), Durability::Buffered).unwrap();
                ack(n);
            }
        }
        "short" => (first..first + 4).for_each(|n| {
            store.commit(set(n), Durability::Synced).unwrap();
            ack(n);
        }),
        "barrier" => {
            (first..first + 9).for_each(|n| store.commit(set(n), Durability::Buffered).unwrap());
            store.commit(WriteSet::new(), Durability::Synced).unwrap();
            ack(first + 8);
        }
        "failing" => failing(&store, first),
        other => panic!("no role {other}"),
    }
}

/// A sync fails once and would succeed the next time: the store must not try.
fn failing(store: &Store, first: u64) {
    for n in first..first + 5 {
        store.commit(set(n), Durability::Synced).unwrap();
        ack(n);
    }
    let flag = std::env::var_os("STORE_FAIL").unwrap();
    std::fs::write(&flag, b"").unwrap();
    let error = store.commit(set(first + 5), Durability::Synced).unwrap_err();
    assert!(matches!(error, StoreError::Write { .. }), "{error}");
    assert!(store.is_failed());
    std::fs::remove_file(&flag).unwrap();
    for durability in [Durability::Synced, Durability::Buffered] {
        let error = store.commit(set(first + 6), durability).unwrap_err();
        assert!(matches!(error, StoreError::Failed { .. }), "{error}");
    }
    let error = store.commit(WriteSet::new(), Durability::Synced).unwrap_err();
    assert!(matches!(error, StoreError::Failed { .. }), "{error}");
    assert_eq!(store.counters().synced_commits, 5);
    // What was there before can still be served.
    assert!(store.get(Column::Batch, &first.to_be_bytes()).unwrap().is_some());
    println!("\nrefused");
}

fn spawn(disk: &Disk, role: &str, kill_at: Option<u64>) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "child", "--include-ignored", "--nocapture"])
        .env("STORE_CHILD", role)
        .env("STORE_DIR", disk.dir())
        .env("STORE_FAIL", disk.fail_flag())
        .stdout(Stdio::piped());
    disk.attach(&mut command);
    if let Some(kill_at) = kill_at {
        command.env("DROPSYNC_KILL_AT", kill_at.to_string()).stderr(Stdio::null());
    }
    command.spawn().unwrap()
}

/// Kills the process at the moment it has said `acks` times that a commit is durable, and returns the last one it said so of.
fn kill_after(mut child: Child, acks: u64) -> u64 {
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let (mut seen, mut last) = (0, 0);
    while let Some(Ok(line)) = lines.next() {
        if let Some(n) = line.strip_prefix("ack ") {
            last = n.parse().unwrap();
            seen += 1;
            if seen == acks {
                // SIGKILL; what the process says until it dies is read on and counts.
                child.kill().unwrap();
            }
        }
    }
    child.wait().unwrap();
    assert!(seen >= acks, "the process ended by itself after {seen} acks");
    last
}

#[test]
fn what_was_synced_survives_every_power_loss() {
    let disk = Disk::new();
    let mut before = 0;
    for cycle in 0..12 {
        let acked = kill_after(spawn(&disk, "honest", None), 1 + draw(cycle) % 150);
        disk.lose_power();
        let found = last(&open(&disk.dir()));
        assert!(found >= acked, "cycle {cycle}: {acked} was synced, {found} is the last there");
        assert!(acked > before, "cycle {cycle} went on from {before}, acked {acked}");
        before = found;
    }
}

#[test]
fn a_missing_sync_is_caught() {
    let disk = Disk::new();
    let acked = kill_after(spawn(&disk, "planted", None), 30);
    disk.lose_power();
    let found = last(&open(&disk.dir()));
    assert!(found < acked, "{acked} was said to be synced and was not, yet {found} is there");
}

#[test]
fn a_synced_empty_set_is_a_barrier() {
    let disk = Disk::new();
    let mut child = spawn(&disk, "barrier", None);
    assert!(child.wait().unwrap().success());
    disk.lose_power();
    assert_eq!(last(&open(&disk.dir())), 9);
}

/// Loses power in the first sync, the second, … of a process, until one gets through; before that, `runs` of it went well.
fn lose_power_in_every_sync(runs: u64) {
    for kill_at in 1.. {
        let disk = Disk::new();
        for _ in 0..runs {
            assert!(spawn(&disk, "short", None).wait_with_output().unwrap().status.success());
            disk.lose_power();
        }
        let output = spawn(&disk, "short", Some(kill_at)).wait_with_output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let acked = 4 * runs + text.lines().filter(|line| line.starts_with("ack ")).count() as u64;
        disk.lose_power();
        let store = open(&disk.dir());
        let found = last(&store);
        assert!(found >= acked, "killed in sync {kill_at}: {acked} acked, {found} there");
        store.commit(set(found + 1), Durability::Synced).unwrap();
        if output.status.success() {
            assert_eq!(acked, 4 * runs + 4);
            assert!(kill_at > 6, "only {kill_at} syncs: the layer is not at work");
            return;
        }
    }
}

#[test]
fn a_power_loss_at_any_sync_of_creation_leaves_a_store_or_none() {
    lose_power_in_every_sync(0);
}

#[test]
fn a_power_loss_at_any_sync_of_recovery_loses_nothing() {
    lose_power_in_every_sync(2);
}

#[test]
fn a_failed_sync_is_fatal_until_reopened() {
    let disk = Disk::new();
    let output = spawn(&disk, "failing", None).wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && text.contains("\nrefused"), "{text}");
    disk.lose_power();
    // The sixth was never promised: here the layer dropped it.
    assert_eq!(last(&open(&disk.dir())), 5);
}
