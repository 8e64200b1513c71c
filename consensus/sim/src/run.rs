//! Running seeds: one at a time, or many on all cores.

use crate::world::{Counts, World};
use smt_types::Digest;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// Payments a run must certify to count.
pub const CERTIFIED_MIN: u64 = 500;

/// How to run a seed.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Simulated seconds with faults.
    pub seconds: u64,
    /// Keep the event log and give its end with a failure.
    pub trace: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options { seconds: 30, trace: false }
    }
}

/// What a run says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All invariants held, and everything came to its end.
    Passed,
    /// The same, but no fault was injected or too little was paid: it shows nothing.
    Vacuous,
    /// The invariant and what was seen.
    Failed(&'static str, String),
}

/// One run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// What it says.
    pub verdict: Verdict,
    /// What happened.
    pub counts: Counts,
    /// Simulated seconds until the end.
    pub seconds: f64,
    /// Digest of all effects.
    pub digest: Digest,
    /// The end of the event log, if asked for.
    pub log: Vec<String>,
}

/// Runs one seed.
#[must_use]
pub fn simulate(seed: u64, options: Options) -> Outcome {
    let mut world = World::new(seed, options.seconds, options.trace);
    let result = catch_unwind(AssertUnwindSafe(|| world.run()));
    let verdict = match result {
        Err(panic) => Verdict::Failed("no panic", message(panic.as_ref())),
        Ok(Err((name, what))) => Verdict::Failed(name, what),
        Ok(Ok(())) if world.counts.faults.is_empty() || world.counts.certified < CERTIFIED_MIN => Verdict::Vacuous,
        Ok(Ok(())) => Verdict::Passed,
    };
    let log = if matches!(verdict, Verdict::Failed(..)) { world.log() } else { Vec::new() };
    Outcome { seed, verdict, seconds: world.seconds(), digest: world.digest(), counts: world.counts, log }
}

fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic without text".into())
}

/// The totals of many runs.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// Runs that count.
    pub passed: u64,
    /// Runs that show nothing.
    pub vacuous: Vec<u64>,
    /// Failures, by seed.
    pub failed: Vec<(u64, &'static str, String)>,
    /// Faults by kind, over all runs.
    pub faults: BTreeMap<&'static str, u64>,
    /// Payments certified.
    pub certified: u64,
    /// Payments credited in another shard.
    pub credited: u64,
    /// Cuts agreed.
    pub cuts: u64,
    /// Steps.
    pub steps: u64,
}

impl Totals {
    fn add(&mut self, outcome: &Outcome) {
        match &outcome.verdict {
            Verdict::Passed => self.passed += 1,
            Verdict::Vacuous => self.vacuous.push(outcome.seed),
            Verdict::Failed(name, what) => self.failed.push((outcome.seed, name, what.clone())),
        }
        for (kind, count) in &outcome.counts.faults {
            *self.faults.entry(kind).or_default() += count;
        }
        self.certified += outcome.counts.certified;
        self.credited += outcome.counts.credited;
        self.cuts += outcome.counts.cuts;
        self.steps += outcome.counts.steps;
    }
}

/// Runs seeds from `first` on, on `threads` cores, until `wanted` of them count; vacuous ones are replaced by further seeds.
/// `tell` is called after each run, in no particular order. Stops early after `failures_max` failures.
pub fn sweep(
    first: u64,
    wanted: u64,
    options: Options,
    threads: usize,
    failures_max: usize,
    tell: impl Fn(&Outcome, &Totals) + Sync,
) -> Totals {
    let totals = Mutex::new(Totals::default());
    let next = AtomicU64::new(first);
    let spare = wanted / 4 + 10;
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                loop {
                    let seed = {
                        let totals = totals.lock().unwrap();
                        let done = totals.passed + totals.failed.len() as u64;
                        let started = next.load(Ordering::SeqCst) - first;
                        let enough = started >= wanted + totals.vacuous.len() as u64 || done >= wanted;
                        if enough || started >= wanted + spare || totals.failed.len() >= failures_max {
                            return;
                        }
                        next.fetch_add(1, Ordering::SeqCst)
                    };
                    let outcome = simulate(seed, options);
                    let mut totals = totals.lock().unwrap();
                    totals.add(&outcome);
                    tell(&outcome, &totals);
                }
            });
        }
    });
    totals.into_inner().unwrap()
}
