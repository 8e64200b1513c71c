//! Two development networks side by side, and everything else the command line promises of `smt-node dev`.
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

#[path = "support/net.rs"]
mod net;

use net::{Process, turn};
use smt_node::rpc::schema::WaitFor;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// The promise of a graceful stop, with room for a busy machine.
const STOP: Duration = Duration::from_secs(5);

fn ports(line: &serde_json::Value) -> BTreeSet<u16> {
    let urls = line["rpc"].as_array().unwrap().iter().map(|rpc| rpc["url"].as_str().unwrap());
    urls.map(|url| url.rsplit(':').next().unwrap().parse().unwrap()).collect()
}

/// One payment across shards where there are several, inside the only one otherwise.
fn takes_a_payment(line: &serde_json::Value, seq: u64) -> Duration {
    let net = Process::net(line);
    let shards = net.shards();
    let payer = net.person(shards[0], 0);
    let payee = if shards.len() == 1 { net.person(shards[0], 1) } else { net.person(*shards.last().unwrap(), 0) };
    let signed = net.sign(payer, seq, payee, 5);
    let begin = Instant::now();
    let last = net.endpoints.last().unwrap();
    let submitted = last.pay(&signed, WaitFor::Final);
    net.check_final(&signed, &submitted);
    let took = begin.elapsed();
    last.pay(&signed, WaitFor::Credited);
    took
}

#[test]
fn two_networks_run_side_by_side() {
    let _turn = turn();
    // Default ports: the second takes the next free ones.
    let mut first = Process::start(&["--seed", "1"], |_| {});
    let one = first.ready();
    let mut second = Process::start(&["--seed", "2"], |_| {});
    let two = second.ready();
    let (of_one, of_two) = (ports(&one), ports(&two));
    assert_eq!((of_one.len(), of_two.len()), (9, 9));
    assert!(of_one.is_disjoint(&of_two), "{of_one:?} {of_two:?}");
    println!("ports {of_one:?} and {of_two:?}");
    assert_ne!(one["genesis"], two["genesis"]);
    takes_a_payment(&one, 0);
    takes_a_payment(&two, 0);
    // A payment for one network is none for the other.
    let (a, b) = (Process::net(&one), Process::net(&two));
    let shard = a.shards()[0];
    let signed = a.sign(a.person(shard, 1), 0, a.person(shard, 0), 5);
    let error = b.endpoints[0].submit(&signed, WaitFor::Final, 2_000).unwrap_err();
    assert_eq!(error.kind(), Some(smt_node::rpc::ErrorKind::WrongNetwork), "{error}");
    // A busy port is an error where it was asked for.
    let busy = of_one.first().unwrap().to_string();
    let mut third = Process::start(&["--rpc-port", &busy, "--exact-ports"], |_| {});
    third.refused(&[&busy]);
    for process in [&mut first, &mut second] {
        process.interrupt();
        let (status, took) = process.ended(STOP * 3);
        assert!(status.success(), "{status}: {}", process.errors());
        println!("stopped in {} ms", took.as_millis());
        assert!(took <= STOP, "a graceful stop took {took:?}");
    }
}

#[test]
fn a_state_directory_belongs_to_one_process_and_one_shape() {
    let _turn = turn();
    let home = tempfile::tempdir().unwrap();
    let state = home.path().join("net");
    let shown = state.to_str().unwrap();
    let mut first = Process::on(&state, &[], |_| {});
    let line = first.ready();
    takes_a_payment(&line, 0);
    let pid = first.child.id().to_string();
    Process::on(&state, &[], |_| {}).refused(&[shown, &pid]);
    // Neither may a second process throw away what the first one uses.
    Process::on(&state, &["--fresh"], |_| {}).refused(&[shown, &pid]);
    takes_a_payment(&line, 1);
    first.interrupt();
    assert!(first.ended(STOP * 3).0.success(), "{}", first.errors());
    // Another shape: both are named.
    let mut other = Process::on(&state, &["--shards", "1"], |_| {});
    other.refused(&[shown, "3 shards", "1 shard ×", "--fresh"]);
    let mut other = Process::on(&state, &["--seed", "9"], |_| {});
    other.refused(&[shown, "seed 1", "seed 9"]);
    // The same shape goes on where it was.
    let mut again = Process::on(&state, &[], |_| {});
    let line = again.ready();
    assert_eq!(line["resumed"], true);
    takes_a_payment(&line, 2);
    again.interrupt();
    assert!(again.ended(STOP * 3).0.success(), "{}", again.errors());
    // --fresh begins anew, also in another shape.
    let mut fresh = Process::on(&state, &["--fresh", "--shards", "1"], |_| {});
    let line = fresh.ready();
    assert_eq!(line["resumed"], false);
    assert_eq!(line["rpc"].as_array().unwrap().len(), 3);
    takes_a_payment(&line, 0);
    fresh.interrupt();
    assert!(fresh.ended(STOP * 3).0.success(), "{}", fresh.errors());
    // A directory with something else in it is left alone.
    let foreign = home.path().join("foreign");
    std::fs::create_dir(&foreign).unwrap();
    std::fs::write(foreign.join("letter"), "dear").unwrap();
    for more in [&[][..], &["--fresh"]] {
        Process::on(&foreign, more, |_| {}).refused(&[foreign.to_str().unwrap()]);
    }
    assert_eq!(std::fs::read_to_string(foreign.join("letter")).unwrap(), "dear");
}

#[test]
fn larger_shapes_take_payments() {
    let _turn = turn();
    for (shards, replicas) in [("9", "3"), ("1", "9"), ("3", "9")] {
        let mut process = Process::start(&["--rpc-port", "0", "--shards", shards, "--replicas", replicas], |_| {});
        let line = process.ready();
        let up = process.started.elapsed();
        let took = takes_a_payment(&line, 0);
        process.interrupt();
        let (status, stopped) = process.ended(STOP * 3);
        assert!(status.success(), "{status}: {}", process.errors());
        println!(
            "{shards} shards × {replicas} replicas: ready after {} ms, a payment across them final in {} ms, stopped in {} ms",
            up.as_millis(),
            took.as_millis(),
            stopped.as_millis()
        );
    }
}
