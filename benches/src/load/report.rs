//! From what a run has measured to its [`Outcome`].

use super::books::Books;
use super::figures::quantile_ms;
use super::meter::Used;
use super::options::Options;
use super::schedule::to_f64;
use super::session::Measured;
use crate::measure::calibrate::against_limit;
use crate::result::{
    Arrivals, Checks, FORMAT, Generator, Latencies, Machine, Mode, Outcome, Overload, Primitives, Soak, SweepPoint,
};

/// What is collected on the way.
#[derive(Debug, Default)]
pub struct Report {
    /// Start of the run.
    pub started_unix_s: u64,
    /// The source's commit.
    pub commit: String,
    /// Where it ran.
    pub machine: Machine,
    /// Kind of run.
    pub mode: Mode,
    /// Replicas per shard.
    pub replicas: u8,
    /// The rate of the measurement, open loop.
    pub rate: Option<f64>,
    /// What --find-max found.
    pub maximum: Option<f64>,
    /// The measurement.
    pub measured: Option<Measured>,
    /// Points of the load–latency curve.
    pub sweep: Vec<SweepPoint>,
    /// What --overload found.
    pub overload: Option<Overload>,
    /// What --soak found.
    pub soak: Option<Soak>,
    /// Gaps in subscriptions.
    pub gaps: Vec<String>,
    /// What the router between namespaces did with all packets.
    pub packets: Option<String>,
    /// Why the run ended early.
    pub stopped: Option<String>,
}

impl Report {
    /// The outcome.
    pub fn outcome(
        self,
        options: &Options,
        books: &Books,
        checks: Checks,
        before: Primitives,
        after: Option<Primitives>,
    ) -> Outcome {
        let not_shown = self.not_shown(options);
        let mut outcome = Outcome {
            format: FORMAT,
            complete: self.stopped.is_none(),
            stopped: self.stopped,
            mode: self.mode,
            arrivals: if options.closed.is_some() { Arrivals::ClosedLoop } else { Arrivals::OpenLoop },
            started_unix_s: self.started_unix_s,
            commit: self.commit,
            parameters: options.parameters(),
            machine: self.machine,
            sync: "every commit that a step asks to sync, one sync for all steps of a commit (the node's only setting)"
                .into(),
            counts: books.counts(),
            sweep: self.sweep,
            overload: self.overload,
            soak: self.soak,
            checks,
            not_shown,
            ..Outcome::default()
        };
        let mut set = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                outcome.parameters.insert(name.into(), value);
            }
        };
        set("rate_measured", self.rate.map(|rate| format!("{rate:.1}")));
        set("maximum_found", self.maximum.map(|rate| format!("{rate:.1}")));
        set("packets", self.packets);
        set("subscription_gaps", (!self.gaps.is_empty()).then(|| self.gaps.join("; ")));
        if let Some(measured) = self.measured {
            fill(&mut outcome, options, measured, self.replicas);
        }
        let cpu = outcome.replica_cpu_us_per_payment;
        outcome.calibration = Some(against_limit(before, after, u32::from(self.replicas), cpu));
        outcome
    }

    fn not_shown(&self, options: &Options) -> String {
        let mut parts = Vec::new();
        match self.mode {
            Mode::Namespaces => parts.push(
                "bandwidth and throughput of a real network (packets between replicas go through one router process, and all share one machine)"
                    .to_owned(),
            ),
            Mode::Endpoints => parts.push("what the network's processes used, since others started them".to_owned()),
            _ => parts.push(
                "delay, loss and bandwidth of a real network (all replicas and the generator share one machine's cores, memory, disk and loopback)"
                    .to_owned(),
            ),
        }
        if self.replicas < 9 {
            parts.push(format!("larger committees than {}", self.replicas));
        }
        if options.shards > 1 {
            parts.push("the throughput of a network whose shards have machines of their own: figures are per shard and are not added up".into());
        }
        if options.cross_share <= 0.0 {
            parts.push("payments between shards".into());
        }
        if options.closed.is_some() {
            parts.push("latency under a load that does not wait for the network (closed loop)".into());
        }
        parts.push("faulty replicas; wallets that send one payment a call (payments are grouped into calls of what is due); states of more accounts".into());
        let mut text = parts.join("; ") + ".";
        if let Some(first) = text.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        text
    }
}

fn fill(outcome: &mut Outcome, options: &Options, measured: Measured, replicas: u8) {
    let all = measured.figures.all();
    let window_s = measured.figures.window_s();
    let certified = measured.certified();
    let shards = measured.figures.certified.len();
    outcome.window_s = window_s;
    outcome.certified_per_second = measured.certified_per_second();
    outcome.certified_per_second_by_shard =
        measured.figures.certified.iter().map(|count| to_f64(*count) / window_s).collect();
    outcome.latency_ms = all.latencies();
    let of = |latencies: Latencies| (options.cross_share > 0.0).then_some(latencies);
    outcome.latency_same_shard_ms = of(measured.figures.same.latencies());
    outcome.latency_cross_shard_ms = of(measured.figures.cross.latencies());
    outcome.distributions = all.distributions();
    let (limited, reason) = measured.generator();
    outcome.generator_limited = limited;
    outcome.generator_reason = reason;
    outcome.generator = Generator {
        lag_p50_ms: quantile_ms(&measured.figures.lag, 0.5),
        lag_p99_ms: quantile_ms(&measured.figures.lag, 0.99),
        lag_max_ms: quantile_ms(&measured.figures.lag, 1.0),
        busiest_thread: measured.used.as_ref().and_then(|used| used.busiest_thread(window_s)),
        socket_wait: measured.socket_wait,
        pre_signed: !options.live_signed && measured.figures.signed_live == 0,
        placed: if options.endpoints.is_empty() { "same machine".into() } else { "as started".into() },
    };
    outcome.seconds = measured.figures.seconds;
    if let Some(used) = measured.used {
        let all_replicas = f64::from(replicas) * to_f64(u64::try_from(shards).unwrap_or(1));
        used_in(outcome, used, certified, all_replicas, to_f64(u64::try_from(shards).unwrap_or(1)));
    }
}

/// What was used, per payment. Each payment is written by the replicas of one shard, so a mean over all replicas is divided by the payments
/// of one shard.
fn used_in(outcome: &mut Outcome, used: Used, certified: u64, all_replicas: f64, shards: f64) {
    outcome.replica_cpu_us_per_payment = used.replica_cpu_us(certified);
    outcome.generator_cpu_us_per_payment = used.generator_cpu_us(certified);
    let per_payment = |sum: u64| {
        let payments = to_f64(certified) / shards;
        (payments > 0.0).then(|| to_f64(sum) / all_replicas / payments)
    };
    outcome.fsyncs_per_payment = used.syncs.and_then(|(count, _)| per_payment(count));
    outcome.fsyncs_counted_by = used.syncs.map(|(_, by)| by.to_owned());
    outcome.bytes_written_per_payment = used.bytes_written.and_then(per_payment);
    outcome.holds = used.holds;
    outcome.conflicts = used.conflicts;
    outcome.stages = used.usage.stages;
    outcome.processes = used.usage.processes;
}
