//! The in-memory core: three replicas of one shard on one thread, without sockets and without a disk.
//!
//! What is left is what the protocol itself costs: every message is encoded once and decoded and checked by each that gets
//! it, every replica checks each payer's signature once, votes, counts, applies, and joins the epochs' cuts, whose cost
//! is part of the figure. The clock is the run's own: it moves as fast as the machine works, and epochs come
//! after a given number of payments.
//!
//! What it leaves out: JSON-RPC, libp2p, RocksDB and its syncs, threads that wait for one another. A store of maps in
//! memory takes the records.
#![allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a benchmark of its own making: what is out of range ends it"
)]

mod committee;
mod store;

use crate::measure::calibrate::cpu;
use anyhow::{Result, ensure};
use committee::{Member, Post};
use serde::Serialize;
use smt_consensus::{Effect, Effects, Event, Input, Stage};
use smt_types::message::{MAX_MESSAGE_BYTES, Message};
use smt_types::{Canonical, SignedPayment};
use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::time::Duration;

/// Payments handed to a gateway at once; they make one batch.
const CALL: usize = 1024;

/// Steps of the run's own clock, microseconds.
const PULSE_US: u64 = 500;

/// Microseconds of the run's clock after the last payment in which everything has to be in a cut.
const SETTLE_US: u64 = 10_000_000;

/// What to run.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Payments.
    #[arg(long, default_value_t = 100_000, value_name = "N")]
    payments: usize,
    /// Funded accounts; each pays in turn.
    #[arg(long, default_value_t = 50_000, value_name = "N")]
    accounts: usize,
    /// Payments in an epoch.
    #[arg(long, default_value_t = 20_000, value_name = "N")]
    per_epoch: usize,
    /// What keys follow from.
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// Write the figures to this file.
    #[arg(long, value_name = "FILE")]
    pub json: Option<std::path::PathBuf>,
}

/// What came out.
#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    /// Payments certified, final and in a cut at every replica.
    pub payments: usize,
    /// Epochs cut.
    pub epochs: u64,
    /// CPU of the run, all three replicas, cuts included.
    pub cpu_s: f64,
    /// The one over the other.
    pub certified_per_cpu_second: f64,
    /// All three replicas together.
    pub cpu_us_per_payment: f64,
    /// Of it: checking clients' payments and what replicas send one another.
    pub gate_us_per_payment: f64,
    /// Of it: steps of the cores.
    pub step_us_per_payment: f64,
    /// Steps, by kind of input.
    pub step_us_by_kind: BTreeMap<String, f64>,
    /// Rows a replica wrote for each payment.
    pub rows_per_payment: f64,
    /// Bytes of them.
    pub bytes_per_payment: f64,
    /// How signatures are checked on this machine.
    pub signatures: String,
    /// The program's build.
    pub build: String,
}

impl Figures {
    /// The figures as a table.
    #[must_use]
    pub fn text(&self) -> String {
        let kinds: String =
            self.step_us_by_kind.iter().map(|(kind, us)| format!("  {kind:<18}{us:>8.2} µs\n")).collect();
        format!(
            "smt-bench core: in-memory core, three replicas on one thread, no sockets, no disk\n\n\
             {:.0} certified payments a CPU-second, all three replicas together (bound: 19,000 with the generic build)\n\
             {} payments in {} epochs, {:.2} CPU-s: {:.1} µs a payment\n\
             checks {:.1} µs, steps {:.1} µs, encoding and queues {:.1} µs\n\
             build {}, signatures {}\n\nsteps by kind of input, a payment\n{kinds}\n\
             rows a payment and replica {:.3}, bytes {:.0}\n\n\
             This run does not show sockets, JSON-RPC, the store and its syncs, nor waiting of any kind.\n",
            self.certified_per_cpu_second,
            self.payments,
            self.epochs,
            self.cpu_s,
            self.cpu_us_per_payment,
            self.gate_us_per_payment,
            self.step_us_per_payment,
            self.cpu_us_per_payment - self.gate_us_per_payment - self.step_us_per_payment,
            self.build,
            self.signatures,
            self.rows_per_payment,
            self.bytes_per_payment,
        )
    }
}

/// The run.
struct Run {
    members: Vec<Member>,
    queue: VecDeque<Post>,
    now: u64,
    gate: Duration,
    steps: BTreeMap<String, Duration>,
    /// Payments that reached a stage at the first replica.
    reached: BTreeMap<Stage, usize>,
    epochs: u64,
    rows: u64,
    bytes: u64,
}

/// Runs it.
///
/// # Errors
/// If a replica refuses an honest message, or payments do not reach a cut: the figures would mean nothing.
pub fn run(options: &Options) -> Result<Figures> {
    ensure!(options.payments > 0 && options.accounts > 1 && options.per_epoch > 0, "there has to be something to pay");
    let committee::Setup { members, payments } = committee::set_up(options.seed, options.accounts, options.payments)?;
    let mut run = Run {
        members,
        queue: VecDeque::new(),
        now: committee::START_US,
        gate: Duration::ZERO,
        steps: BTreeMap::new(),
        reached: BTreeMap::new(),
        epochs: 0,
        rows: 0,
        bytes: 0,
    };
    // Replicas find one another and may vote.
    run.pass(50_000)?;
    (run.gate, run.steps, run.epochs) = (Duration::ZERO, BTreeMap::new(), 0);
    (run.rows, run.bytes) = (0, 0);
    let begin = cpu()?;
    let call_us = (1_000_000 * CALL / options.per_epoch) as u64;
    for (place, call) in payments.chunks(CALL).enumerate() {
        run.submit(place % run.members.len(), call)?;
        run.pass(call_us)?;
    }
    let late = run.now + SETTLE_US;
    while run.reached(Stage::Snapshotted) < payments.len() && run.now < late {
        run.pass(20_000)?;
    }
    let used = cpu()?.saturating_sub(begin);
    for stage in [Stage::Certified, Stage::Final, Stage::Snapshotted] {
        ensure!(
            run.reached(stage) == payments.len(),
            "{} of {} payments are {stage:?}",
            run.reached(stage),
            payments.len()
        );
    }
    Ok(run.figures(payments.len(), used))
}

impl Run {
    fn reached(&self, stage: Stage) -> usize {
        self.reached.get(&stage).copied().unwrap_or_default()
    }

    fn submit(&mut self, gateway: usize, call: &[SignedPayment]) -> Result<()> {
        let bytes: Vec<Vec<u8>> = call.iter().map(Canonical::to_bytes).collect();
        let begin = cpu()?;
        let decoded = bytes.iter().map(|bytes| SignedPayment::from_bytes(bytes, smt_types::payment::MAX_PAYMENT_BYTES));
        let decoded = decoded.map(|payment| payment.map(Into::into)).collect::<Result<Vec<_>, _>>()?;
        let checked = self.members[gateway].gate.payments(decoded).into_iter().collect::<Result<Vec<_>, _>>()?;
        self.gate += cpu()?.saturating_sub(begin);
        let begin = cpu()?;
        let mut effects = Effects::default();
        for payment in checked {
            let member = &mut self.members[gateway];
            member.replica.step(self.now, Input::Submit(0, payment), &member.store, &mut effects);
        }
        *self.steps.entry("submit".into()).or_default() += cpu()?.saturating_sub(begin);
        self.carry_out(gateway, effects)
    }

    /// Lets time pass and delivers everything.
    fn pass(&mut self, microseconds: u64) -> Result<()> {
        let end = self.now + microseconds;
        while self.now < end {
            self.now += PULSE_US;
            for place in 0..self.members.len() {
                if self.members[place].replica.deadline().is_some_and(|at| at <= self.now) {
                    self.step(place, Input::Tick, "tick")?;
                }
            }
            while let Some(post) = self.queue.pop_front() {
                let begin = cpu()?;
                let message = Message::from_bytes(&post.bytes, MAX_MESSAGE_BYTES)?;
                let kind = message.kind();
                let checked = self.members[post.to].gate.message(post.from, message)?;
                self.gate += cpu()?.saturating_sub(begin);
                self.step(post.to, Input::Message(post.from, checked), kind)?;
            }
        }
        Ok(())
    }

    fn step(&mut self, place: usize, input: Input, kind: &str) -> Result<()> {
        let begin = cpu()?;
        let mut effects = Effects::default();
        let member = &mut self.members[place];
        member.replica.step(self.now, input, &member.store, &mut effects);
        *self.steps.entry(kind.to_owned()).or_default() += cpu()?.saturating_sub(begin);
        self.carry_out(place, effects)
    }

    fn carry_out(&mut self, place: usize, effects: Effects) -> Result<()> {
        let me = self.members[place].node;
        if place == 0 {
            self.rows += effects.writes.len() as u64;
            let bytes = |write: &smt_consensus::Write| write.key.len() + write.value.as_ref().map_or(0, Vec::len);
            self.bytes += effects.writes.iter().map(bytes).sum::<usize>() as u64;
        }
        self.members[place].store.write(effects.writes);
        for effect in effects.out {
            match effect {
                Effect::Send(to, message) => self.queue.extend(Post::to(me, to, &message)),
                Effect::Broadcast(message) => self.queue.extend(Post::to_all(me, self.members.len(), &message)),
                Effect::Event(Event::Stages { stage, payments, .. }) if place == 0 => {
                    *self.reached.entry(stage).or_default() += payments.len();
                }
                Effect::Event(Event::Decided(_)) if place == 0 => self.epochs += 1,
                Effect::Reply(_, id, Err(refused)) => anyhow::bail!("payment {id} is refused: {refused}"),
                Effect::Event(Event::Forked(reason) | Event::NotVoting(reason)) => anyhow::bail!("{me}: {reason}"),
                _ => {}
            }
        }
        Ok(())
    }

    fn figures(&self, payments: usize, used: Duration) -> Figures {
        let each = |time: Duration| time.as_secs_f64() * 1e6 / payments as f64;
        Figures {
            payments,
            epochs: self.epochs,
            cpu_s: used.as_secs_f64(),
            certified_per_cpu_second: payments as f64 / used.as_secs_f64().max(1e-9),
            cpu_us_per_payment: each(used),
            gate_us_per_payment: each(self.gate),
            step_us_per_payment: each(self.steps.values().sum()),
            step_us_by_kind: self.steps.iter().map(|(kind, time)| (kind.clone(), each(*time))).collect(),
            rows_per_payment: self.rows as f64 / payments as f64,
            bytes_per_payment: self.bytes as f64 / payments as f64,
            signatures: smt_types::crypto::cpu::signatures().to_owned(),
            build: smt_types::crypto::cpu::build().to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_run_gets_every_payment_into_a_cut() {
        let options = Options { payments: 700, accounts: 100, per_epoch: 300, seed: 3, json: None };
        let figures = run(&options).unwrap();
        assert_eq!(figures.payments, 700);
        assert!(figures.epochs >= 2 && figures.cpu_s > 0.0, "{figures:?}");
        assert!(figures.text().contains("certified payments a CPU-second"));
    }
}
