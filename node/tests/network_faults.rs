//! Replicas stopped and started again while payments go on.
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

use net::{LONG, Local, eventually, node, turn};
use smt_node::rpc::ErrorKind;
use smt_node::rpc::schema::WaitFor;
use smt_types::message::NodeId;
use std::time::Instant;

/// Waits until the replica's own core and endpoint are where the rest of its shard is.
fn caught_up(local: &Local, back: NodeId) {
    let begin = Instant::now();
    let net = &local.net;
    let others: Vec<NodeId> = net.of(back.shard).map(|endpoint| endpoint.node).filter(|other| *other != back).collect();
    eventually(&format!("{back} at the epoch and root of its shard"), LONG, || {
        let mine = local.head(back).ok_or("it is stopped")?;
        let theirs: Vec<_> = others.iter().filter_map(|other| local.head(*other)).collect();
        let same = theirs.contains(&mine);
        let far = theirs.iter().any(|(epoch, _)| *epoch > mine.0 + 1);
        if same && !far { Ok(()) } else { Err(format!("own {mine:?}, others {theirs:?}")) }
    });
    println!("{back} has caught up {:.0} ms after its start", begin.elapsed().as_secs_f64() * 1e3);
}

#[test]
fn any_one_replica_may_stop_and_come_back() {
    let _turn = turn();
    let mut local = Local::start(3, 3, 300);
    let net = local.net.clone();
    let shards = net.shards();
    let victim_shard = shards[1];
    let (payer, neighbour) = (net.person(victim_shard, 0), net.person(victim_shard, 1));
    let (far_payer, far_payee) = (net.person(shards[0], 0), net.person(shards[2], 0));
    let (mut seq, mut far_seq) = (0u64, 0u64);
    let (mut paid_near, mut paid_far, mut got) = (0u64, 0u64, 0u64);
    for replica in 0..3u8 {
        let victim = node(victim_shard, replica);
        // Payments in the hands of the victim when it goes: it is their gateway.
        let entry = net.at(victim);
        let mut in_hand = Vec::new();
        for _ in 0..5 {
            let signed = net.sign(payer, seq, neighbour, 1);
            entry.submit(&signed, WaitFor::Received, 5_000).unwrap_or_else(|error| panic!("{victim}: {error}"));
            (seq, paid_near) = (seq + 1, paid_near + 1);
            in_hand.push(signed);
        }
        local.stop(victim);
        assert!(entry.info().is_err(), "the endpoint of a stopped replica is closed");
        let helper = net.at(node(victim_shard, (replica + 1) % 3)).clone();
        for signed in &in_hand {
            let submitted = helper.pay(signed, WaitFor::Final);
            net.check_final(signed, &submitted);
        }
        // For several epochs: inside the shard, out of it, and into it; the slot of the stopped proposer costs a view change.
        let from_epoch = local.head(helper.node).unwrap().0;
        while local.head(helper.node).unwrap().0 < from_epoch + 5 {
            let near = net.sign(payer, seq, neighbour, 1);
            let out = net.sign(payer, seq + 1, far_payee, 1);
            let into = net.sign(far_payer, far_seq, neighbour, 1);
            for (signed, wait) in [(&near, WaitFor::Final), (&out, WaitFor::Credited), (&into, WaitFor::Credited)] {
                let begin = Instant::now();
                net.endpoints.iter().find(|endpoint| endpoint.node != victim).unwrap().pay(signed, wait);
                let took = begin.elapsed();
                assert!(took < LONG / 4, "a payment took {took:?} with one replica down");
            }
            (seq, far_seq) = (seq + 2, far_seq + 1);
            (paid_near, paid_far, got) = (paid_near + 1, paid_far + 1, got + 1);
        }
        // The faucet answers although one of the shard's replicas, perhaps the one that would pay, is gone.
        let wish = smt_node::rpc::schema::Faucet {
            address: far_payee.text(),
            amount: None,
            wait: None,
            timeout_ms: Some(20_000),
        };
        for endpoint in net.endpoints.iter().filter(|endpoint| endpoint.node != victim).take(4) {
            endpoint
                .client
                .call::<smt_node::rpc::table::CallFaucet>(&wish)
                .unwrap_or_else(|error| panic!("{}: {error}", endpoint.node));
        }
        local.resume(victim);
        caught_up(&local, victim);
        // Its own endpoint knows what happened meanwhile.
        entry.expect_account(payer, net.start_balance - paid_near - paid_far, seq);
        entry.expect_account(neighbour, net.start_balance + paid_near + got, 0);
        local.wait_ready();
        // And it takes payments as before.
        let signed = net.sign(payer, seq, neighbour, 1);
        let submitted = entry.pay(&signed, WaitFor::Final);
        net.check_final(&signed, &submitted);
        (seq, paid_near) = (seq + 1, paid_near + 1);
    }
    net.wait_nothing_in_flight();
    net.check_same_history(10);
    for endpoint in &net.endpoints {
        endpoint.expect_account(payer, net.start_balance - paid_near - paid_far, seq);
    }
}

#[test]
fn two_stopped_stall_with_a_retryable_error_until_one_is_back() {
    let _turn = turn();
    let mut local = Local::start(3, 3, 300);
    let net = local.net.clone();
    let shards = net.shards();
    let shard = shards[2];
    let (payer, payee) = (net.person(shard, 0), net.person(shard, 1));
    let (first, second, left) = (node(shard, 0), node(shard, 2), node(shard, 1));
    let before = net.sign(payer, 0, payee, 3);
    net.at(left).pay(&before, WaitFor::Final);
    local.stop(first);
    local.stop(second);
    let signed = net.sign(payer, 1, payee, 4);
    // At the shard's own endpoint and at another shard's: the same clear answer.
    for endpoint in [net.at(left), net.at(node(shards[0], 0)), net.at(node(shards[1], 2))] {
        let refused = endpoint.submit(&signed, WaitFor::Final, 2_000).unwrap_err();
        assert_eq!(refused.kind(), Some(ErrorKind::ShardUnavailable), "{}: {refused}", endpoint.node);
        assert!(refused.retryable(), "{}: {refused}", endpoint.node);
        println!("{}: {refused}", endpoint.node);
    }
    // Others are not touched, and money for the silent shard waits.
    let into = net.sign(net.person(shards[0], 0), 0, payee, 50);
    net.endpoints[0].pay(&into, WaitFor::Snapshotted);
    let elsewhere = net.sign(net.person(shards[0], 0), 1, net.person(shards[1], 0), 60);
    net.endpoints[4].pay(&elsewhere, WaitFor::Credited);
    // What was known before is still answered.
    net.at(left).expect_account(payee, net.start_balance + 3, 0);
    local.resume(first);
    let submitted = net.at(left).pay(&signed, WaitFor::Final);
    net.check_final(&signed, &submitted);
    net.at(first).expect_account(payer, net.start_balance - 7, 2);
    // The waiting money arrives with the shard's next cuts.
    for known in [left, first] {
        net.at(known).expect_account(payee, net.start_balance + 57, 0);
    }
    local.resume(second);
    caught_up(&local, second);
    net.at(second).expect_account(payee, net.start_balance + 57, 0);
    net.wait_nothing_in_flight();
    net.check_same_history(10);
}

#[test]
fn a_whole_shard_may_stop_and_come_back() {
    let _turn = turn();
    let mut local = Local::start(3, 3, 300);
    let net = local.net.clone();
    let shards = net.shards();
    let shard = shards[0];
    let other = net.at(node(shards[1], 0)).clone();
    let (payer, payee) = (net.person(shard, 0), net.person(shards[1], 0));
    let signed = net.sign(payer, 0, payee, 8);
    other.pay(&signed, WaitFor::Final);
    for replica in 0..3 {
        local.stop(node(shard, replica));
    }
    let next = net.sign(payer, 1, payee, 9);
    let refused = other.submit(&next, WaitFor::Final, 2_000).unwrap_err();
    assert_eq!(refused.kind(), Some(ErrorKind::ShardUnavailable), "{refused}");
    assert!(refused.retryable());
    for replica in [2, 0, 1] {
        local.resume(node(shard, replica));
    }
    local.wait_ready();
    other.pay(&next, WaitFor::Credited);
    other.expect_account(payee, net.start_balance + 17, 0);
    for replica in 0..3 {
        net.at(node(shard, replica)).expect_account(payer, net.start_balance - 17, 2);
    }
    net.wait_nothing_in_flight();
    net.check_same_history(5);
}
