//! Steps run one after another over one network: signing ahead, marks, progress, and a look whether the network is still there.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};

use super::books::Books;
use super::engine::{Engine, Load, Mark, Step, Watcher};
use super::figures::{Figures, quantile_ms};
use super::meter::{Meter, Used};
use super::options::Options;
use super::progress::Progress;
use super::schedule::{to_f64, to_u64};
use super::sockets::{Pressure, Sockets};
use super::steps::{Observed, judge};
use super::wire::Stage;
use crate::network::processes::Processes;
use crate::result::{Counts, Second, SweepPoint};

/// A generator later than this is the limit itself, milliseconds.
const LAG_MS_MAX: f64 = 20.0;
/// And so is one whose busiest thread uses more of a core.
const BUSY_MAX: f64 = 0.9;

/// A step that was run.
#[derive(Debug)]
pub struct Measured {
    /// What the generator wrote down.
    pub figures: Figures,
    /// What was used, if both marks could be taken.
    pub used: Option<Used>,
    /// Counts at the step's begin and end.
    pub counts: (Counts, Counts),
    /// Longest wait for a socket, as a share of the window.
    pub socket_wait: f64,
}

impl Measured {
    /// Certified in the window, all shards.
    pub fn certified(&self) -> u64 {
        self.figures.certified.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Certified a second, the mean of the shards.
    pub fn certified_per_second(&self) -> f64 {
        let shards = u64::try_from(self.figures.certified.len()).unwrap_or(1).max(1);
        to_f64(self.certified()) / self.figures.window_s() / to_f64(shards)
    }

    /// Whether the generator was the limit, and why, or how far it was from it.
    pub fn generator(&self) -> (bool, String) {
        let lag = quantile_ms(&self.figures.lag, 0.99);
        let busy = self.used.as_ref().and_then(|used| used.busiest_thread(self.figures.window_s()));
        let not_sent = refusals(&self.counts.1, "not_sent").saturating_sub(refusals(&self.counts.0, "not_sent"));
        let mut limits = Vec::new();
        if lag > LAG_MS_MAX {
            let idle = busy.filter(|busy| *busy < BUSY_MAX / 2.0);
            let why = idle.map_or(String::new(), |busy| {
                format!(", although its busiest thread used {:.0} % of a core: others had the cores", busy * 100.0)
            });
            limits.push(format!("sends were late by {lag:.0} ms at p99{why}"));
        }
        if let Some(busy) = busy.filter(|busy| *busy > BUSY_MAX) {
            limits.push(format!("its busiest thread used {:.0} % of a core", busy * 100.0));
        }
        let limited = !limits.is_empty();
        if !limited {
            let busy = busy.map_or(String::new(), |busy| format!(", busiest thread {:.0} % of a core", busy * 100.0));
            limits.push(format!("sends late by {lag:.1} ms at p99{busy}"));
        }
        if self.figures.waited > 0 {
            limits.push(format!(
                "{} payments waited for a free account (their latency includes it)",
                self.figures.waited
            ));
        }
        if not_sent > 0 {
            limits.push(format!("{not_sent} times a gateway's connections were full"));
        }
        (limited, limits.join("; "))
    }
}

fn refusals(counts: &Counts, kind: &str) -> u64 {
    counts.refusals.get(kind).copied().unwrap_or(0)
}

/// The steps of one run.
#[derive(Debug)]
pub struct Session<'a> {
    engine: Engine<Sockets>,
    pressure: Arc<Pressure>,
    eyes: Eyes<'a>,
    options: &'a Options,
    shards: f64,
}

/// Who looks on while a step runs.
#[derive(Debug)]
struct Eyes<'a> {
    meter: Meter,
    progress: Progress,
    processes: Option<&'a mut Processes>,
    failure: Option<String>,
}

impl Watcher for Eyes<'_> {
    fn second(&mut self, second: &Second) -> bool {
        self.progress.second(second);
        if self.failure.is_none() {
            self.failure = self.processes.as_mut().and_then(|processes| processes.failure());
        }
        self.failure.is_none()
    }

    fn mark(&mut self, mark: Mark) {
        self.meter.mark(mark);
    }
}

impl<'a> Session<'a> {
    /// Steps over one network.
    pub fn new(
        engine: Engine<Sockets>,
        meter: Meter,
        progress: Progress,
        options: &'a Options,
        processes: Option<&'a mut Processes>,
    ) -> Session<'a> {
        let shards = engine.books.lanes().map(|(shard, _)| shard).max().map_or(1.0, |last| f64::from(last) + 1.0);
        let pressure = engine.wire().pressure();
        Session { engine, pressure, eyes: Eyes { meter, progress, processes, failure: None }, options, shards }
    }

    /// Number of shards.
    pub fn shards(&self) -> f64 {
        self.shards
    }

    /// Runs one step.
    ///
    /// # Errors
    /// A replica that ended.
    pub fn run(&mut self, step: &Step, name: &str) -> Result<Measured> {
        let seconds = step.warm_up.saturating_add(step.duration).as_secs_f64();
        let (total, rate) = match step.load {
            Load::Open { rate, .. } => (to_u64(rate * self.shards * seconds), Some(rate * self.shards)),
            // What a closed loop will reach is not known; a guess is enough, the rest is signed live.
            Load::Closed { in_flight } => (to_u64(to_f64(in_flight) * self.shards * seconds * 20.0), None),
        };
        if !self.options.live_signed {
            self.eyes.progress.begin(&format!("{name} (signing {total} payments first)"));
            self.engine.books.accounts_mut().sign_ahead(total, self.options.pre_signed_max);
        }
        self.eyes.progress.begin(name);
        let (waited, before) = (self.pressure.worst(), self.engine.books.counts());
        let mut figures = self.engine.run(step, self.options.pulse(rate), &mut self.eyes);
        if let Some(failure) = &self.eyes.failure {
            bail!("{failure}");
        }
        let used = self.eyes.meter.used();
        self.eyes.meter.fill(&mut figures.seconds, self.engine.instant(figures.window.0));
        let waited = self.pressure.worst().saturating_sub(waited).as_secs_f64();
        let socket_wait = waited / seconds.max(1e-9);
        Ok(Measured { figures, used, counts: (before, self.engine.books.counts()), socket_wait })
    }

    /// A step as a point of the load–latency curve.
    pub fn point(&self, rate: f64, measured: &Measured) -> SweepPoint {
        let all = measured.figures.all();
        let (before, after) = &measured.counts;
        let lost =
            |counts: &Counts| counts.rejected_total().saturating_add(counts.expired).saturating_add(counts.timed_out);
        let observed = Observed {
            rate,
            certified_per_second: measured.certified_per_second(),
            p99_ms: quantile_ms(all.of(Stage::Certified), 0.99),
            backlog_middle: measured.figures.backlog_middle.unwrap_or(0),
            backlog_end: measured.figures.backlog_end.unwrap_or(0),
            lost: lost(after).saturating_sub(lost(before)),
        };
        let (held, reason) = judge(&observed, self.options.p99_bound);
        let growth = i64::try_from(observed.backlog_end).unwrap_or(i64::MAX);
        SweepPoint {
            rate,
            certified_per_second: observed.certified_per_second,
            p50_ms: quantile_ms(all.of(Stage::Certified), 0.5),
            p99_ms: observed.p99_ms,
            replica_cpu_us_per_payment: measured
                .used
                .as_ref()
                .and_then(|used| used.replica_cpu_us(measured.certified())),
            backlog_growth: growth.saturating_sub(i64::try_from(observed.backlog_middle).unwrap_or(0)),
            held,
            reason,
            generator_limited: measured.generator().0,
        }
    }

    /// Says how a step went.
    pub fn tell(&self, point: &SweepPoint) {
        let SweepPoint { rate, certified_per_second, p50_ms, p99_ms, reason, .. } = point;
        let cpu = point.replica_cpu_us_per_payment.map_or(String::new(), |us| format!(", {us:.0} µs replica CPU each"));
        let verdict = if point.held { "held" } else { "missed" };
        let why = if reason.is_empty() { String::new() } else { format!(" ({reason})") };
        let limited = if point.generator_limited { "; the generator was the limit" } else { "" };
        self.eyes.progress.say(&format!(
            "  {rate:.0}/s: certified {certified_per_second:.0}/s, p50 {p50_ms:.1} ms, p99 {p99_ms:.1} ms{cpu}: {verdict}{why}{limited}"
        ));
    }

    /// Sets how long payments are tried from now on.
    pub fn set_give_up(&mut self, give_up: Duration) {
        self.engine.books.set_give_up(u64::try_from(give_up.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Refusals so far, of all kinds.
    pub fn refusals(&self) -> u64 {
        self.engine.books.counts().refusals.values().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Gaps in subscriptions so far.
    pub fn gaps(&self) -> Vec<String> {
        self.engine.gaps.clone()
    }

    /// Whether the run was told to end.
    pub fn stopped(&self) -> bool {
        self.engine.stopped()
    }

    /// The replica that ended, if one did.
    pub fn failure(&self) -> Option<String> {
        self.eyes.failure.clone()
    }

    /// No more steps.
    pub fn end(self) -> (Books, Progress) {
        (self.engine.books, self.eyes.progress)
    }
}
