//! Clients that pay without pause and remember what they were told, across crashes of the network.

use super::net::{Endpoint, LONG, Net, Person, Process, Rng, eventually, is_final, wire};
use smt_node::rpc::schema::{SubmitTransactions, WaitFor};
use smt_node::rpc::table::SubmitTransactions as SubmitAll;
use smt_types::{PaymentId, Seq, SignedPayment};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Payments of one payer under way at a time, at most.
const PIPELINE: usize = 6;

/// A signed payment and what a client was told of it.
pub struct Sent {
    pub signed: SignedPayment,
    /// The receipt, once somebody was told that it is final.
    pub receipt: Option<Vec<u8>>,
}

impl Sent {
    pub fn id(&self) -> PaymentId {
        self.signed.payment.id()
    }
}

/// One payer with all it ever signed: seqs without gaps, never two at one.
pub struct Payer {
    pub person: Person,
    pub sent: Vec<Sent>,
}

impl Payer {
    /// Those that nobody was told are final, in seq order.
    fn open(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.sent.len()).filter(|place| self.sent[*place].receipt.is_none())
    }

    pub fn finals(&self) -> usize {
        self.sent.iter().filter(|sent| sent.receipt.is_some()).count()
    }
}

/// Sends everything open of a payer once more, in seq order, and notes what became final. Answers how many did, or the
/// first answer that no honest network gives.
fn send_open(net: &Net, payer: &mut Payer, entry: &Endpoint, timeout_ms: u32) -> Result<usize, String> {
    let open: Vec<usize> = payer.open().collect();
    if open.is_empty() {
        return Ok(0);
    }
    let params = SubmitTransactions {
        payments: open.iter().map(|place| wire(&payer.sent[*place].signed)).collect(),
        wait: Some(WaitFor::Final),
        timeout_ms: Some(timeout_ms),
    };
    let reply = match entry.client.call::<SubmitAll>(&params) {
        Ok(reply) => reply,
        Err(error) if error.retryable() => return Ok(0),
        Err(error) => return Err(format!("{}: {error}", entry.node)),
    };
    let mut done = 0;
    for (place, outcome) in open.iter().zip(reply.outcomes) {
        let sent = &mut payer.sent[*place];
        match (outcome.result, outcome.error) {
            (Some(submitted), _) => {
                if submitted.receipt.is_none() && is_final(submitted.stage) {
                    // It is in a cut; the signatures of its receipt may be with another replica of the shard.
                    let elsewhere = net
                        .of(payer.person.shard)
                        .filter_map(|other| Some((other.node, other.receipt(sent.id()).ok()?)))
                        .next();
                    println!(
                        "{} says {:?} of {} without a receipt; elsewhere: {:?}",
                        entry.node,
                        submitted.stage,
                        sent.id(),
                        elsewhere.as_ref().map(|(node, _)| node)
                    );
                    continue;
                }
                sent.receipt = Some(net.check_final(&sent.signed, &submitted));
                done += 1;
            }
            (None, Some(error)) if error.retryable => {}
            (None, error) => {
                return Err(format!(
                    "{}: payment {:?} is refused for good: {error:?}",
                    entry.node,
                    sent.signed.payment.slot()
                ));
            }
        }
    }
    Ok(done)
}

/// Clients and their memory.
pub struct Load {
    pub payers: Vec<Payer>,
    start_balance: u64,
    rng: Rng,
}

impl Load {
    pub fn new(net: &Net, rng: Rng) -> Load {
        let payers = net.people.iter().map(|person| Payer { person: person.clone(), sent: Vec::new() }).collect();
        Load { payers, start_balance: net.start_balance, rng }
    }

    pub fn finals(&self) -> usize {
        self.payers.iter().map(Payer::finals).sum()
    }

    /// Pays from several threads, among all accounts at all endpoints, until `stop`.
    pub fn run(&mut self, net: &Net, threads: usize, stop: &AtomicBool, meanwhile: impl FnOnce()) {
        let payees: Vec<Person> = self.payers.iter().map(|payer| payer.person.clone()).collect();
        let share = self.payers.len().div_ceil(threads);
        std::thread::scope(|scope| {
            let workers: Vec<_> = self
                .payers
                .chunks_mut(share)
                .map(|payers| {
                    let (mut rng, payees) = (Rng(self.rng.next()), &payees);
                    scope.spawn(move || -> Result<(), String> {
                        while !stop.load(Ordering::Acquire) {
                            let payer = &mut payers[rng.below(payers.len())];
                            for _ in 0..=rng.below(PIPELINE) {
                                if payer.open().count() >= PIPELINE {
                                    break;
                                }
                                let payee = loop {
                                    let payee = &payees[rng.below(payees.len())];
                                    if payee.address != payer.person.address {
                                        break payee;
                                    }
                                };
                                let seq = payer.sent.len() as u64;
                                let amount = 1 + rng.below(1000) as u64;
                                let signed = net.sign(&payer.person, seq, payee, amount);
                                payer.sent.push(Sent { signed, receipt: None });
                            }
                            let entry = &net.endpoints[rng.below(net.endpoints.len())];
                            if send_open(net, payer, entry, 5_000)? == 0 {
                                std::thread::sleep(Duration::from_millis(5));
                            }
                        }
                        Ok(())
                    })
                })
                .collect();
            meanwhile();
            for worker in workers {
                worker.join().expect("a client thread ends").unwrap_or_else(|error| panic!("{error}"));
            }
        });
    }

    /// What every account must hold once all payments are credited: balance and next seq.
    pub fn model(&self) -> BTreeMap<smt_types::Address, (u64, u64)> {
        let mut model: BTreeMap<_, _> = self
            .payers
            .iter()
            .map(|payer| (payer.person.address, (self.start_balance, payer.sent.len() as u64)))
            .collect();
        for sent in self.payers.iter().flat_map(|payer| &payer.sent) {
            let payment = &sent.signed.payment;
            model.get_mut(&payment.payer.address()).expect("a payer").0 -= payment.amount.0;
            model.get_mut(&payment.payee).expect("a payee").0 += payment.amount.0;
        }
        model
    }

    /// Nothing that a client was told is forgotten: every final payment is known as final at any endpoint, its receipt
    /// still verifies, no payer's next seq lies below its finals. Looks at the payments from `since` on of each payer.
    pub fn check_kept(&mut self, net: &Net, since: &[usize]) {
        for (payer, since) in self.payers.iter().zip(since) {
            for sent in payer.sent.iter().skip(*since) {
                let Some(receipt) = &sent.receipt else { continue };
                let id = sent.id();
                let entry = &net.endpoints[self.rng.below(net.endpoints.len())];
                let what = format!("payment {id}, reported final before the crash, final at {}", entry.node);
                eventually(&what, LONG, || match entry.transaction(id) {
                    Ok(found) if is_final(found.stage) => Ok(()),
                    Ok(found) => Err(format!("stage {:?}", found.stage)),
                    Err(error) => Err(error.to_string()),
                });
                assert_eq!(net.verify(receipt).expect("a receipt stays valid").id(), id);
            }
            // At least what is final, and of what was sent, no more than all.
            let entry = &net.endpoints[self.rng.below(net.endpoints.len())];
            let next = eventually("the payer's account", LONG, || entry.account(&payer.person)).next_seq.0;
            let first_open = payer.open().next().unwrap_or(payer.sent.len()) as u64;
            assert!(
                (first_open..=payer.sent.len() as u64).contains(&next),
                "next seq of {} is {next} at {}: {first_open} payments in a row are final, {} were sent",
                payer.person.text(),
                entry.node,
                payer.sent.len()
            );
        }
    }

    /// Sends the same bytes of everything without an answer until all of it is final.
    pub fn finish(&mut self, net: &Net) {
        let share = self.payers.len().div_ceil(4);
        std::thread::scope(|scope| {
            for (turn, payers) in self.payers.chunks_mut(share).enumerate() {
                scope.spawn(move || {
                    for payer in payers {
                        let mut entry = turn;
                        eventually(&format!("all payments of {} final", payer.person.text()), LONG, || {
                            entry += 1;
                            let at = &net.endpoints[entry % net.endpoints.len()];
                            send_open(net, payer, at, 5_000).unwrap_or_else(|error| panic!("{error}"));
                            match payer.open().next() {
                                None => Ok(()),
                                Some(place) => Err(format!("seq {:?} is open", Seq(place as u64))),
                            }
                        });
                    }
                });
            }
        });
    }

    /// Everything sent is final: balances become those of the model, nothing stays in flight, replicas agree.
    pub fn check_settled(&mut self, net: &Net) {
        let model = self.model();
        for payer in &self.payers {
            let (balance, next_seq) = model[&payer.person.address];
            let entry = &net.endpoints[self.rng.below(net.endpoints.len())];
            entry.expect_account(&payer.person, balance, next_seq);
        }
        net.wait_nothing_in_flight();
        net.check_same_history(5);
    }
}

/// What one crash does beside killing the process.
pub trait Crash {
    /// Prepares a command before each start.
    fn attach(&mut self, command: &mut Command);
    /// After the process was killed.
    fn after_kill(&mut self);
}

/// Start, pay, kill -9 at a drawn moment; again and again on one state directory; each time everything is checked.
pub fn crash_cycles(name: &str, state: &Path, cycles: usize, mut rng: Rng, load_ms: usize, crash: &mut dyn Crash) {
    let more = ["--epoch-ms", "250"];
    let mut load: Option<Load> = None;
    for cycle in 0..cycles {
        let begin = Instant::now();
        // Every fourth cycle the process dies once more, somewhere in its start.
        if cycle % 4 == 3 {
            let moment = Duration::from_millis(rng.below(400) as u64);
            let mut process = Process::on(state, &more, |command| crash.attach(command));
            std::thread::sleep(moment);
            process.kill9();
            crash.after_kill();
            println!("{name}: cycle {cycle}: killed {} ms after its start", moment.as_millis());
        }
        let mut process = Process::on(state, &more, |command| crash.attach(command));
        let line = process.ready();
        let up = process.started.elapsed();
        assert_eq!(line["resumed"], cycle > 0, "resumed, in cycle {cycle}");
        let net = Process::net(&line);
        net.wait_ready();
        let load = load.get_or_insert_with(|| Load::new(&net, Rng(rng.next())));
        // Old ones are looked at in the last cycle again; each cycle looks at what the one before did, and a bit more.
        let since: Vec<usize> = load
            .payers
            .iter()
            .map(|payer| if cycle + 1 == cycles { 0 } else { payer.sent.len().saturating_sub(30) })
            .collect();
        load.check_kept(&net, &since);
        let checked = load.finals();
        load.finish(&net);
        load.check_settled(&net);
        let settled = begin.elapsed();
        let moment = Duration::from_millis(rng.below(load_ms) as u64 + 20);
        let stop = AtomicBool::new(false);
        load.run(&net, 4, &stop, || {
            std::thread::sleep(moment);
            process.kill9();
            stop.store(true, Ordering::Release);
        });
        crash.after_kill();
        let open: usize = load.payers.iter().map(|payer| payer.sent.len() - payer.finals()).sum();
        println!(
            "{name}: cycle {cycle}: up after {} ms, {checked} final payments were there, all settled {} ms after the start, killed after {} ms of load; final so far {}, without an answer {open}",
            up.as_millis(),
            settled.as_millis(),
            moment.as_millis(),
            load.finals(),
        );
    }
    // And once more up, whole, and down gracefully.
    let mut process = Process::on(state, &more, |command| crash.attach(command));
    let net = Process::net(&process.ready());
    net.wait_ready();
    let load = load.as_mut().expect("there was a cycle");
    let all = vec![0; load.payers.len()];
    load.check_kept(&net, &all);
    load.finish(&net);
    load.check_settled(&net);
    let evidence: usize = net
        .endpoints
        .iter()
        .map(|endpoint| {
            let found = endpoint.client.call::<smt_node::rpc::table::GetEvidence>(&smt_node::rpc::schema::Empty {});
            found.expect("evidence is answered").records.len()
        })
        .sum();
    assert_eq!(evidence, 0, "a crash makes no honest replica look dishonest");
    process.interrupt();
    let (status, _) = process.ended(Duration::from_secs(15));
    assert!(status.success(), "{status}: {}", process.errors());
    println!("{name}: {} payments, all final, all credited", load.finals());
    assert!(load.finals() > cycles * 10, "hardly any load: {} payments in {cycles} cycles", load.finals());
}
