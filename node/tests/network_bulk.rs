//! Payments by the thousand through one endpoint: outcomes in order, the stream of stages, records read back, and a flood.
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

use futures::{SinkExt, StreamExt};
use net::{Endpoint, LONG, Local, Net, eventually, turn, wire};
use serde_json::{Value, json};
use smt_node::rpc::ErrorKind;
use smt_node::rpc::schema::{ByIds, Counters, Empty, Stage, SubmitOutcome, SubmitTransactions, WaitFor};
use smt_node::rpc::table::{GetCounters, GetTransactions, SubmitTransactions as SubmitAll};
use smt_node::rpc::wire::{Hex32, HexBytes};
use smt_types::{NetworkId, PaymentId, SignedPayment};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio_tungstenite::tungstenite::Message;

fn submit(endpoint: &Endpoint, payments: Vec<HexBytes>, wait: WaitFor) -> Vec<SubmitOutcome> {
    let params = SubmitTransactions { payments, wait: Some(wait), timeout_ms: Some(30_000) };
    endpoint.client.call::<SubmitAll>(&params).unwrap().outcomes
}

fn counters(endpoint: &Endpoint) -> Counters {
    endpoint.client.call::<GetCounters>(&Empty {}).unwrap()
}

fn kind(outcome: &SubmitOutcome) -> Option<ErrorKind> {
    outcome.error.as_ref().map(|error| error.kind)
}

/// Follows stages at an endpoint until `done` says so of what was told so far.
fn follow(
    endpoint: &Endpoint,
    stages: &[&str],
    ready: impl FnOnce(),
    done: impl Fn(&BTreeMap<(String, Option<String>), BTreeSet<String>>) -> bool,
) -> BTreeMap<(String, Option<String>), BTreeSet<String>> {
    let url = endpoint.client.url().replace("http://", "ws://");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut socket = tokio_tungstenite::connect_async(format!("{url}/")).await.unwrap().0;
        let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "smt_subscribe",
                           "params": { "topic": "stages", "stages": stages } });
        socket.send(Message::text(call.to_string())).await.unwrap();
        let (mut told, mut ready) = (BTreeMap::<_, BTreeSet<String>>::new(), Some(ready));
        let deadline = tokio::time::Instant::now() + LONG;
        while !done(&told) {
            let message = tokio::time::timeout_at(deadline, socket.next()).await;
            let Ok(Some(Ok(message))) = message else { panic!("the stream ended early: {message:?}, after {told:?}") };
            let Message::Text(text) = message else { continue };
            let value: Value = serde_json::from_str(&text).unwrap();
            if let Some(ready) = ready.take() {
                assert_eq!(value["result"]["subscription"], "1", "{value}");
                ready();
                continue;
            }
            assert_eq!((&value["method"], &value["params"]["topic"]), (&json!("smt_subscription"), &json!("stages")));
            let event = &value["params"]["event"];
            let ids = event["ids"].as_array().unwrap_or_else(|| panic!("{value}"));
            assert!((1..=1_024).contains(&ids.len()));
            let head = (event["stage"].as_str().unwrap().to_owned(), event["epoch"].as_str().map(ToOwned::to_owned));
            for id in ids {
                let new = told.entry(head.clone()).or_default().insert(id.as_str().unwrap().to_owned());
                assert!(new, "told twice: {head:?} {id}");
            }
        }
        told
    })
}

/// Everything told of one stage.
fn at(told: &BTreeMap<(String, Option<String>), BTreeSet<String>>, stage: &str) -> BTreeSet<String> {
    told.iter().filter(|((name, _), _)| name == stage).flat_map(|(_, ids)| ids.clone()).collect()
}

#[test]
fn a_call_of_many_keeps_its_order_and_refuses_only_what_is_wrong() {
    let _turn = turn();
    let local = Local::start(3, 3, 300);
    let net = &local.net;
    let shards = net.shards();
    // Sixty payments of each shard in turns, all in one call; some of what lies between them is wrong.
    let mut payments: Vec<HexBytes> = Vec::new();
    let mut wanted: Vec<Result<PaymentId, ErrorKind>> = Vec::new();
    let mut good: Vec<SignedPayment> = Vec::new();
    for seq in 0..60 {
        for (place, shard) in shards.iter().enumerate() {
            // A third of them to another shard.
            let payee = net.person(shards[(place + usize::from(seq % 3 == 0)) % 3], 1);
            let signed = net.sign(net.person(*shard, 0), seq, payee, 1 + seq);
            payments.push(wire(&signed));
            wanted.push(Ok(signed.payment.id()));
            let mut bad = net.sign(net.person(*shard, 2), seq, net.person(*shard, 1), 5);
            let (bytes, error) = match seq % 4 {
                0 => {
                    bad.signature.0[7] ^= 1;
                    (wire(&bad), ErrorKind::BadSignature)
                }
                1 => {
                    bad.payment.network = NetworkId(net.network.0 ^ 1);
                    (wire(&bad), ErrorKind::WrongNetwork)
                }
                2 => (HexBytes(vec![1, 2, 3]), ErrorKind::BadEncoding),
                _ => {
                    bad.payment.payee = bad.payment.payer.address();
                    (wire(&bad), ErrorKind::SelfPayment)
                }
            };
            payments.push(bytes);
            wanted.push(Err(error));
            good.push(signed);
        }
    }
    let entry = &net.endpoints[0];
    let outcomes = submit(entry, payments.clone(), WaitFor::Final);
    assert_eq!(outcomes.len(), payments.len());
    for (outcome, wanted) in outcomes.iter().zip(&wanted) {
        match wanted {
            Ok(id) => {
                let result = outcome.result.as_ref().unwrap_or_else(|| panic!("{outcome:?}"));
                assert_eq!(PaymentId::from(result.id), *id);
                let receipt = net.verify(&result.receipt.as_ref().unwrap().0).unwrap();
                assert_eq!(receipt.id(), *id);
            }
            Err(error) => assert_eq!(kind(outcome), Some(*error)),
        }
    }
    // The same bytes again, now until everybody's money has arrived.
    for outcome in submit(entry, good.iter().map(wire).collect(), WaitFor::Credited) {
        assert_eq!(outcome.result.unwrap_or_else(|| panic!("{:?}", outcome.error)).stage, Stage::Credited);
    }
    // Another payment at a used slot names the one that used it, also among many.
    let again = net.sign(net.person(shards[0], 0), 3, net.person(shards[0], 2), 77);
    let refused = submit(entry, vec![wire(&good[0]), wire(&again)], WaitFor::Received);
    assert_eq!((kind(&refused[0]), kind(&refused[1])), (None, Some(ErrorKind::SeqUsed)));
    let used = refused[1].error.as_ref().unwrap().details["used_by"].clone();
    assert_eq!(used, good[9].payment.id().to_string());

    // Records: this shard's, null for others' and for what nobody sent.
    let mut ids: Vec<Hex32> = good.iter().map(|signed| signed.payment.id().into()).collect();
    ids.push(Hex32([7; 32]));
    let records = entry.client.call::<GetTransactions>(&ByIds { ids }).unwrap().transactions;
    for (signed, record) in good.iter().zip(&records) {
        let ours = signed.payment.payer.address().shard(net.level) == shards[0];
        assert_eq!(record.is_some(), ours);
        let Some(record) = record else { continue };
        assert_eq!(PaymentId::from(record.id), signed.payment.id());
        assert!(net::is_final(record.stage) && record.epoch.is_some() && record.batch.is_some(), "{record:?}");
        let single = entry.transaction(signed.payment.id()).unwrap();
        assert_eq!((single.payment, single.batch), (record.payment.clone(), record.batch.clone()));
    }
    assert_eq!(records.len(), good.len() + 1);
    assert!(records[good.len()].is_none());

    let seen = counters(entry);
    let refused: u64 = seen.payments_refused.iter().map(|refused| refused.count.0).sum();
    assert!(seen.payments_received.0 >= 60 && refused >= 1 && seen.synced_commits.0 > 0, "{seen:?}");
    assert_eq!((seen.waiting.0, seen.unchecked.0), (0, 0));
    net.wait_nothing_in_flight();
    net.check_same_history(2);
}

#[test]
fn stages_are_told_in_chunks_once_each() {
    let _turn = turn();
    let local = Local::start(3, 3, 300);
    let net = &local.net;
    let (here, other) = (net.shards()[0], net.shards()[1]);
    let entry = &net.endpoints[0];
    assert_eq!(entry.node.shard, here);
    let payments: Vec<SignedPayment> =
        (0..200).map(|seq| net.sign(net.person(here, 0), seq, net.person(here, 1), 1)).collect();
    let incoming: Vec<SignedPayment> =
        (0..20).map(|seq| net.sign(net.person(other, 0), seq, net.person(here, 1), 1)).collect();
    let ids: BTreeSet<String> = payments.iter().map(|signed| signed.payment.id().to_string()).collect();
    let credits: BTreeSet<String> = incoming.iter().map(|signed| signed.payment.id().to_string()).collect();
    let told = std::thread::scope(|scope| {
        let (ready, start) = std::sync::mpsc::channel();
        let (payments, incoming) = (&payments, &incoming);
        scope.spawn(move || {
            start.recv().unwrap();
            let outcomes = submit(entry, payments.iter().map(wire).collect(), WaitFor::Received);
            assert!(outcomes.iter().all(|outcome| outcome.result.is_some()), "{outcomes:?}");
            let outcomes = submit(entry, incoming.iter().map(wire).collect(), WaitFor::Certified);
            assert!(outcomes.iter().all(|outcome| outcome.result.is_some()), "{outcomes:?}");
        });
        follow(
            entry,
            &["certified", "final", "snapshotted", "credited"],
            move || ready.send(()).unwrap(),
            |told| at(told, "snapshotted").is_superset(&ids) && at(told, "credited").is_superset(&credits),
        )
    });
    assert_eq!(at(&told, "certified"), ids);
    assert_eq!(at(&told, "final"), ids);
    assert_eq!(at(&told, "snapshotted"), ids);
    assert_eq!(at(&told, "credited"), credits);
    for (stage, epoch) in told.keys() {
        assert_eq!(epoch.is_some(), stage != "certified", "{stage} with epoch {epoch:?}");
    }
    let bad = json!({"topic": "stages", "stages": ["received"]});
    let call = entry.client.call_value("smt_subscribe", bad);
    assert_eq!(call.unwrap_err().kind(), Some(ErrorKind::InvalidParams));
}

/// Resident memory of this process, MiB.
fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

#[test]
fn a_flood_is_answered_payment_by_payment_and_the_replica_goes_on() {
    const SUBMISSIONS: usize = 200_000;
    /// Payments on their way at once are more than the replica takes.
    const CONNECTIONS: usize = 24;
    let _turn = turn();
    let local = Local::start(1, 3, 500);
    let net: &Net = &local.net;
    let entry = &net.endpoints[0];
    // One payer is kept for payments that must get through.
    let payers = &net.people[1..];
    let each = 4_000usize.div_ceil(payers.len());
    let mut payments: Vec<HexBytes> = payers
        .iter()
        .flat_map(|payer| (0..each as u64).map(move |seq| wire(&net.sign(payer, seq, &net.people[0], 1))))
        .collect();
    payments.truncate(4_000);
    let calls: Vec<&[HexBytes]> = payments.chunks(1_000).collect();
    // Buffers, caches and the clients' own memory grow at first; from a quarter of the flood on nothing does.
    let before = AtomicUsize::new(usize::MAX);
    let (answered, taken, overloaded) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    let (next, most, over) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicBool::new(false));
    let begin = Instant::now();
    std::thread::scope(|scope| {
        let floods: Vec<_> = (0..CONNECTIONS)
            .map(|_| {
                scope.spawn(|| {
                    let client = smt_node::rpc::Client::new(entry.client.url());
                    let mine = Endpoint { node: entry.node, client };
                    loop {
                        let turn = next.fetch_add(1_000, Ordering::Relaxed);
                        if turn >= SUBMISSIONS {
                            return;
                        }
                        let call = calls[turn / 1_000 % calls.len()];
                        let params = SubmitTransactions {
                            payments: call.to_vec(),
                            wait: Some(WaitFor::Received),
                            timeout_ms: Some(30_000),
                        };
                        let outcomes = match mine.client.call::<SubmitAll>(&params) {
                            Ok(reply) => reply.outcomes,
                            // No room for any of them: the call is refused unread.
                            Err(smt_node::rpc::ClientError::Rpc(error)) if error.kind == ErrorKind::Overloaded => {
                                assert!(error.retryable);
                                answered.fetch_add(call.len(), Ordering::Relaxed);
                                overloaded.fetch_add(call.len(), Ordering::Relaxed);
                                continue;
                            }
                            Err(other) => panic!("{other}"),
                        };
                        assert_eq!(outcomes.len(), call.len());
                        answered.fetch_add(outcomes.len(), Ordering::Relaxed);
                        for outcome in outcomes {
                            match (&outcome.result, &outcome.error) {
                                (Some(_), None) => drop(taken.fetch_add(1, Ordering::Relaxed)),
                                (None, Some(error)) if error.kind == ErrorKind::Overloaded => {
                                    assert!(error.retryable);
                                    overloaded.fetch_add(1, Ordering::Relaxed);
                                }
                                // A later seq whose call came before that of an earlier one.
                                (None, Some(error)) if error.retryable => {}
                                other => panic!("{other:?}"),
                            }
                        }
                    }
                })
            })
            .collect();
        let watcher = scope.spawn(|| {
            while !over.load(Ordering::Acquire) {
                let seen = counters(entry);
                most.fetch_max(seen.waiting.0 as usize, Ordering::Relaxed);
                if answered.load(Ordering::Relaxed) >= SUBMISSIONS / 4 {
                    before.fetch_min(resident_mib() as usize, Ordering::Relaxed);
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        floods.into_iter().for_each(|flood| flood.join().unwrap());
        over.store(true, Ordering::Release);
        watcher.join().unwrap();
    });
    let grown = (resident_mib() as usize).saturating_sub(before.load(Ordering::Relaxed));
    println!(
        "{} submissions in {:.1} s: {} taken, {} overloaded; at most {} waiting; {grown} MiB more",
        answered.load(Ordering::Relaxed),
        begin.elapsed().as_secs_f64(),
        taken.load(Ordering::Relaxed),
        overloaded.load(Ordering::Relaxed),
        most.load(Ordering::Relaxed),
    );
    assert_eq!(answered.load(Ordering::Relaxed), SUBMISSIONS);
    assert!(taken.load(Ordering::Relaxed) > 0);
    assert!(most.load(Ordering::Relaxed) <= 16_384);
    assert!(grown < 300, "{grown} MiB more in three quarters of the flood");
    // It recovers: queues empty, a payment is final in a moment, and everything that was taken certifies.
    let signed = net.sign(&net.people[0], 0, &net.people[1], 1);
    let submitted = entry.pay(&signed, WaitFor::Final);
    net.check_final(&signed, &submitted);
    eventually("empty queues", LONG, || {
        let seen = counters(entry);
        let left = seen.waiting.0 + seen.unchecked.0 + seen.pool.0;
        if left == 0 { Ok(()) } else { Err(format!("{seen:?}")) }
    });
    net.check_same_history(2);
}
