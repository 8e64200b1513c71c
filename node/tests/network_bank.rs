//! Ten thousand payments among all shards while everybody watches the sums.
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

use net::{Endpoint, LONG, Local, Net, Person, Rng, eventually, seed, turn, wire};
use smt_node::rpc::schema::{SubmitTransactions, WaitFor};
use smt_node::rpc::table::SubmitTransactions as SubmitAll;
use smt_types::{PaymentId, SignedPayment};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const PAYMENTS: usize = 10_500;
/// Accounts beside the printed ones.
const PEOPLE: usize = 60;
/// What each of them gets first; no payer can spend more than that, whatever it receives.
const START: u64 = 1_000_000;
const THREADS: usize = 4;
/// Payments of a payer in one call.
const RUN: usize = 25;

/// CPU time of this process so far, seconds.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let ticks = |field: usize| -> f64 {
        let after = stat.rsplit(')').next().unwrap_or_default();
        after.split_whitespace().nth(field).and_then(|word| word.parse().ok()).unwrap_or(0.0)
    };
    (ticks(11) + ticks(12)) / 100.0
}

/// Sends until everything is final, the same bytes each time.
fn pay_all(net: &Net, payments: &[SignedPayment], entry: &Endpoint) {
    let mut open: Vec<&SignedPayment> = payments.iter().collect();
    eventually("all payments of a call final", LONG, || {
        let params = SubmitTransactions {
            payments: open.iter().map(|signed| wire(signed)).collect(),
            wait: Some(WaitFor::Final),
            timeout_ms: Some(20_000),
        };
        let reply = entry.client.call::<SubmitAll>(&params).map_err(|error| error.to_string())?;
        let mut seen = String::new();
        let mut left = Vec::new();
        for (signed, outcome) in open.iter().zip(&reply.outcomes) {
            match (&outcome.result, &outcome.error) {
                (Some(submitted), _) => assert_eq!(PaymentId::from(submitted.id), signed.payment.id()),
                (None, Some(error)) if error.retryable => {
                    left.push(*signed);
                    seen = error.to_string();
                }
                (None, error) => panic!("{}: {:?}: {error:?}", entry.node, signed.payment.slot()),
            }
        }
        open = left;
        if open.is_empty() { Ok(()) } else { Err(format!("{} open, the last: {seen}", open.len())) }
    });
    // One receipt of each call is checked to the end.
    let signed = payments.last().unwrap();
    let receipt = entry.receipt(signed.payment.id()).unwrap();
    assert_eq!(net.verify(&receipt).unwrap().payment(), signed);
}

#[test]
fn ten_thousand_payments_keep_the_supply() {
    let _turn = turn();
    let mut rng = Rng(seed("ten_thousand_payments_keep_the_supply", 10));
    let local = Local::start(3, 3, 500);
    let net = &local.net;
    let shards = net.shards();
    let people: Vec<Person> = (0..PEOPLE).map(|place| Person::in_shard(&mut rng, shards[place % 3])).collect();
    // The printed accounts fund everybody, from another shard each.
    let mut balances: BTreeMap<_, u64> = BTreeMap::new();
    let mut funding: Vec<Vec<SignedPayment>> = net.people.iter().map(|_| Vec::new()).collect();
    for (place, person) in people.iter().enumerate() {
        let at = place % net.people.len();
        let payer = &net.people[at];
        let signed = net.sign(payer, funding[at].len() as u64, person, START);
        funding[at].push(signed);
        *balances.entry(person.address).or_default() += START;
    }
    for (place, payments) in funding.iter().enumerate() {
        pay_all(net, payments, &net.endpoints[place % net.endpoints.len()]);
    }
    for person in &people {
        net.endpoints[0].expect_account(person, START, 0);
    }
    // Everybody pays anybody; all of it is signed in advance, so that the time is the network's.
    let each = PAYMENTS / PEOPLE;
    let mut plans: Vec<Vec<SignedPayment>> = Vec::new();
    for payer in &people {
        let plan = (0..each as u64).map(|seq| {
            let payee = loop {
                let payee = &people[rng.below(people.len())];
                if payee.address != payer.address {
                    break payee;
                }
            };
            let amount = 1 + rng.below(5_000) as u64;
            *balances.get_mut(&payer.address).unwrap() -= amount;
            *balances.get_mut(&payee.address).unwrap() += amount;
            net.sign(payer, seq, payee, amount)
        });
        plans.push(plan.collect());
    }
    let (done, cuts_seen) = (AtomicBool::new(false), AtomicUsize::new(0));
    let most_in_flight = Mutex::new(0u128);
    // Cut (the epoch of each shard) → its root: the same on every node.
    let roots: Mutex<BTreeMap<Vec<u64>, String>> = Mutex::new(BTreeMap::new());
    let look = |endpoint: &Endpoint| {
        let cut = endpoint.cut().unwrap();
        net.check_cut(&cut);
        let epochs: Vec<u64> = cut.headers.iter().map(|header| header.epoch.0).collect();
        assert_eq!(epochs.iter().min(), Some(&cut.epoch.0), "the epoch of a cut is its smallest");
        let root = cut.root.to_string();
        let kept = roots.lock().unwrap().entry(epochs.clone()).or_insert_with(|| root.clone()).clone();
        assert_eq!(kept, root, "root of cut {epochs:?} at {}", endpoint.node);
        let mut most = most_in_flight.lock().unwrap();
        *most = (*most).max(cut.in_flight.0);
        cuts_seen.fetch_add(1, Ordering::Relaxed);
    };
    let (begin, cpu) = (Instant::now(), cpu_seconds());
    let mut took = Duration::ZERO;
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            while !done.load(Ordering::Acquire) {
                net.endpoints.iter().for_each(look);
                std::thread::sleep(Duration::from_millis(40));
            }
        });
        let share = plans.len().div_ceil(THREADS);
        let workers: Vec<_> = plans
            .chunks(share)
            .enumerate()
            .map(|(thread, plans)| {
                scope.spawn(move || {
                    for start in (0..each).step_by(RUN) {
                        for (place, plan) in plans.iter().enumerate() {
                            let entry = &net.endpoints[(thread + place + start / RUN) % net.endpoints.len()];
                            pay_all(net, &plan[start..(start + RUN).min(each)], entry);
                        }
                    }
                })
            })
            .collect();
        let outcomes: Vec<_> = workers.into_iter().map(|worker| worker.join()).collect();
        took = begin.elapsed();
        done.store(true, Ordering::Release);
        watcher.join().expect("every cut adds up");
        assert!(outcomes.iter().all(Result::is_ok), "every payment becomes final");
    });
    let count = each * PEOPLE;
    let cpu = cpu_seconds() - cpu;
    println!(
        "{count} payments final in {:.1} s: {:.0} payments/s, {:.2} ms of CPU each (clients and nine replicas together)",
        took.as_secs_f64(),
        count as f64 / took.as_secs_f64(),
        cpu * 1e3 / count as f64
    );
    assert!(count >= 10_000);
    for (place, person) in people.iter().enumerate() {
        net.endpoints[place % net.endpoints.len()].expect_account(person, balances[&person.address], each as u64);
    }
    net.wait_nothing_in_flight();
    net.endpoints.iter().for_each(look);
    net.check_same_history(10);
    // Sums of all accounts of all shards, from the newest headers: what the global cut says again.
    let cut = net.endpoints[0].cut().unwrap();
    assert_eq!(cut.supply.0, net.supply);
    println!(
        "{} cuts looked at, {} different ones, at most {} in flight in one",
        cuts_seen.load(Ordering::Relaxed),
        roots.lock().unwrap().len(),
        most_in_flight.lock().unwrap()
    );
}
