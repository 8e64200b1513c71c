//! What one run found: the JSON file, and all that the HTML report and the terminal's table are made from.
//!
//! The rule for every field: a figure that was not measured is `None` (absent from the file), never 0. A file whose `complete` is false
//! comes from a run that was stopped or failed; its figures are of no use but for finding out why.
//!
//! Units are in the names. Latencies run from the *intended* send time (open loop), so a generator that falls behind makes them worse and
//! not better; times over the run are seconds since the first intended send of the measured window, warm-up negative.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The version of this layout; readers refuse another one.
pub const FORMAT: u32 = 1;

/// One run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// [`FORMAT`].
    pub format: u32,
    /// Whether the run came to its end, checks included.
    pub complete: bool,
    /// Why not, if `complete` is false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<String>,
    /// What kind of run: named in every title.
    pub mode: Mode,
    /// How the load arrived.
    pub arrivals: Arrivals,
    /// Start of the run, seconds since 1970.
    pub started_unix_s: u64,
    /// The source's commit, with `+dirty` where the tree was changed; "unknown" outside a checkout.
    pub commit: String,
    /// Every flag in force, defaults included, and the seed: repeating the run needs nothing else.
    pub parameters: BTreeMap<String, String>,
    /// Where it ran.
    pub machine: Machine,
    /// What syncs what: the node's option in force, in words ("every commit that asks for it, grouped").
    pub sync: String,
    /// The measured window, without warm-up and settling.
    pub window_s: f64,

    /// Payments certified in the window, by second: read back from a replica that was not their gateway, per shard. With several shards on
    /// one machine this is the mean of the shards, never their sum.
    pub certified_per_second: f64,
    /// The same for every shard.
    pub certified_per_second_by_shard: Vec<f64>,
    /// CPU of all replicas of the network divided by the payments certified, both in the window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replica_cpu_us_per_payment: Option<f64>,
    /// CPU of the load generator divided by the payments certified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generator_cpu_us_per_payment: Option<f64>,
    /// Latencies of the payments intended in the window.
    pub latency_ms: Latencies,
    /// Latencies of the payments that stayed in their shard; only in runs with both kinds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_same_shard_ms: Option<Latencies>,
    /// Latencies of the payments to another shard; only in runs with both kinds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_cross_shard_ms: Option<Latencies>,
    /// Every payment of the run, warm-up included, and what became of it.
    pub counts: Counts,
    /// Syncs per payment and replica, in the window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fsyncs_per_payment: Option<f64>,
    /// Who counted the syncs: "kernel (strace)", "store".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fsyncs_counted_by: Option<String>,
    /// Bytes handed to the file system per payment and replica, in the window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_written_per_payment: Option<f64>,
    /// Batches that a replica held back because it could not judge them yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holds: Option<u64>,
    /// Slots with two payments. The generator makes none: anything but 0 is a fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conflicts: Option<u64>,
    /// What the machine's primitives cost in this run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration: Option<Calibration>,
    /// CPU and memory of every process.
    pub processes: Vec<Process>,
    /// CPU of all replicas by stage (threads grouped by name).
    pub stages: Vec<StageCpu>,
    /// The run by seconds, warm-up included.
    pub seconds: Vec<Second>,
    /// Latency distributions, one per stage that was measured.
    pub distributions: Vec<Distribution>,
    /// The load–latency curve: the rates tried by `--find-max` or `--sweep`; empty otherwise.
    pub sweep: Vec<SweepPoint>,
    /// What `--overload` and `--soak` found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overload: Option<Overload>,
    /// Growth over a long run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub soak: Option<Soak>,
    /// The checks made after the run.
    pub checks: Checks,
    /// Whether the generator, not the network, was the limit. Then the throughput is a lower bound and the latencies are too high.
    pub generator_limited: bool,
    /// Why it was, or how far it was from it.
    pub generator_reason: String,
    /// How the generator itself did.
    pub generator: Generator,
    /// What this run does not show, in a sentence or two.
    pub not_shown: String,
}

/// The kinds of run. Figures of different kinds are never compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Mode {
    /// The replicas' cores in one process: no sockets, no disk.
    Core,
    /// A whole network in one process (`smt-node dev`).
    Process,
    /// One process per replica, all on loopback.
    #[default]
    Processes,
    /// One process and one network namespace per replica, with delay and loss between them.
    Namespaces,
    /// A network that the harness did not start: nothing known of its processes.
    Endpoints,
}

impl Mode {
    /// The kind in words, for titles.
    pub fn words(self) -> &'static str {
        match self {
            Self::Core => "in-memory core, no sockets, no disk",
            Self::Process => "all replicas in one process",
            Self::Processes => "separate processes on loopback",
            Self::Namespaces => "separate network namespaces with delay and loss",
            Self::Endpoints => "a network started by somebody else",
        }
    }
}

/// How payments arrive.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arrivals {
    /// On an absolute schedule, whatever the network does.
    #[default]
    OpenLoop,
    /// A fixed number in flight: a new one when one is certified. Latencies of a closed loop hide waiting, and say so.
    ClosedLoop,
}

/// The machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Model of the processor.
    pub cpu: String,
    /// Logical cores this process may use.
    pub cores: u32,
    /// Kernel release.
    pub kernel: String,
    /// Memory, bytes.
    pub memory_bytes: u64,
    /// File system of the replicas' state.
    pub file_system: String,
    /// SIMD extensions that matter for signatures, and what the build uses ("avx2", "avx512ifma").
    pub simd: String,
}

/// Latencies by stage; `None` where the stage was not waited for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Latencies {
    /// A batch with the payment has a certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certified: Option<Percentiles>,
    /// A quorum has applied it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub r#final: Option<Percentiles>,
    /// An epoch's header commits to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshotted: Option<Percentiles>,
    /// The payee has it (payments to another shard).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credited: Option<Percentiles>,
}

/// A latency distribution in five numbers, milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Percentiles {
    /// Payments in it.
    pub count: u64,
    /// Mean.
    pub mean: f64,
    /// Half are faster.
    pub p50: f64,
    /// 90 %.
    pub p90: f64,
    /// 99 %.
    pub p99: f64,
    /// 99.9 %.
    pub p999: f64,
    /// The slowest.
    pub max: f64,
}

/// What became of every payment: `offered = final + rejected + expired + timed out + in flight at the end`, always.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Payments that were due.
    pub offered: u64,
    /// Sent again after a retryable refusal or a lost connection: calls' entries, not payments.
    pub resent: u64,
    /// Taken by a gateway.
    pub received: u64,
    /// Read back as certified.
    pub certified: u64,
    /// Read back as final.
    pub r#final: u64,
    /// Read back as in a snapshot.
    pub snapshotted: u64,
    /// Payments to another shard among `offered`.
    pub cross_shard: u64,
    /// Read back as credited.
    pub credited: u64,
    /// Refused for good, by the error's kind.
    pub rejected: BTreeMap<String, u64>,
    /// Retryable refusals met on the way, by kind (each one a call's entry; the payment may have succeeded later).
    pub refusals: BTreeMap<String, u64>,
    /// Given up after retryable refusals only: never taken by a gateway.
    pub expired: u64,
    /// Taken by a gateway, or sent without an answer, and not final when the run gave up on it.
    pub timed_out: u64,
    /// Neither: the run was stopped before it could tell. 0 in a complete run.
    pub in_flight_at_end: u64,
    /// Due, but not sent: no free account (each has one payment in flight). Part of `expired`.
    pub no_free_account: u64,
}

impl Counts {
    /// All refused for good.
    pub fn rejected_total(&self) -> u64 {
        self.rejected.values().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Whether everything offered is accounted for.
    pub fn add_up(&self) -> bool {
        let ends = [self.r#final, self.rejected_total(), self.expired, self.timed_out, self.in_flight_at_end];
        ends.into_iter().try_fold(0_u64, u64::checked_add) == Some(self.offered)
    }
}

/// What the machine's primitives cost, before and after the load.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Before the load.
    pub before: Primitives,
    /// After it: a machine that others use drifts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Primitives>,
    /// Certified payments per CPU-second if each replica did nothing but check each payer's signature once.
    pub signature_limit_per_cpu_second: f64,
    /// Certified payments per replica CPU-second of this run, divided by that limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ratio_to_signature_limit: Option<f64>,
}

/// One calibration.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Primitives {
    /// ed25519 verifications per CPU-second, batches of 1,024.
    pub ed25519_batch_per_cpu_second: f64,
    /// BLAKE3 over 1 MiB, one thread, GB/s.
    pub blake3_gb_per_second: f64,
    /// `fdatasync` after a 4 KiB append in the state directory, median.
    pub fdatasync_p50_ms: f64,
    /// 99 %.
    pub fdatasync_p99_ms: f64,
}

/// One process of the run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Process {
    /// "replica 0-1", "generator".
    pub name: String,
    /// CPU seconds in the window.
    pub cpu_s: f64,
    /// Mean share of one core.
    pub cores: f64,
    /// Resident memory at the window's start, bytes.
    pub rss_start_bytes: u64,
    /// At its end.
    pub rss_end_bytes: u64,
    /// Bytes handed to the file system in the window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_written: Option<u64>,
    /// Syncs in the window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fsyncs: Option<u64>,
    /// Its busiest threads by name: CPU seconds in the window.
    pub threads: Vec<ThreadCpu>,
}

/// Threads of one name in one process.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ThreadCpu {
    /// The thread's name.
    pub name: String,
    /// CPU seconds in the window, all threads of that name.
    pub cpu_s: f64,
}

/// CPU of all replicas in one stage.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct StageCpu {
    /// Stage ("core", "verify", "network and RPC", "storage").
    pub name: String,
    /// CPU seconds in the window.
    pub cpu_s: f64,
    /// Its part of all replicas' CPU, 0 to 1.
    pub share: f64,
}

/// One second of the run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Second {
    /// Seconds since the window began; negative in the warm-up.
    pub at_s: i64,
    /// Payments due in it.
    pub offered: u64,
    /// Certified in it (by when it was seen, all shards).
    pub certified: u64,
    /// Final in it.
    pub r#final: u64,
    /// Retryable refusals in it.
    pub refused: u64,
    /// Due and not yet final, rejected or given up, at its end.
    pub in_flight: u64,
    /// 99th percentile of `certified` for what was certified in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certified_p99_ms: Option<f64>,
    /// CPU of all replicas in it, cores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replica_cores: Option<f64>,
    /// Resident memory of all replicas at its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replica_rss_bytes: Option<u64>,
}

/// A latency distribution as points of its CDF.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Distribution {
    /// "certified", "final", "snapshotted", "credited".
    pub stage: String,
    /// Increasing in both.
    pub points: Vec<CdfPoint>,
}

/// One point of a CDF.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct CdfPoint {
    /// Latency.
    pub latency_ms: f64,
    /// Share of payments that took at most that, 0 to 1.
    pub share: f64,
}

/// One rate of a sweep.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SweepPoint {
    /// Offered, payments a second per shard.
    pub rate: f64,
    /// Certified a second per shard.
    pub certified_per_second: f64,
    /// Latency of `certified`.
    pub p50_ms: f64,
    /// 99 %.
    pub p99_ms: f64,
    /// Replica CPU per certified payment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replica_cpu_us_per_payment: Option<f64>,
    /// Payments in flight at the end of the step minus those at its middle: a growing backlog.
    pub backlog_growth: i64,
    /// Whether the rate was held: p99 under the bound, no growing backlog, nothing given up.
    pub held: bool,
    /// Why not.
    pub reason: String,
    /// Whether the generator was the limit at this rate.
    pub generator_limited: bool,
}

/// What happened under more load than the network can take.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Overload {
    /// The maximum that the factor refers to, payments a second per shard.
    pub maximum_per_second: f64,
    /// Offered (first sends and resends that really went out) over that maximum.
    pub factor: f64,
    /// Certified a second per shard while overloaded.
    pub certified_per_second: f64,
    /// Its ratio to the maximum.
    pub ratio: f64,
    /// Retryable refusals.
    pub refused: u64,
    /// From the end of the overload until p99 over a second is under the bound again at 70 % of the maximum; `None`: it did not recover.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovered_after_s: Option<f64>,
    /// The seconds after the overload, from its end on.
    pub recovery: Vec<Second>,
}

/// First fifth against last fifth of a long run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Soak {
    /// Length.
    pub duration_s: f64,
    /// Latency of `certified`, median of the seconds' p99, first fifth.
    pub p99_first_ms: f64,
    /// Last fifth.
    pub p99_last_ms: f64,
    /// In flight, mean of the first fifth.
    pub in_flight_first: f64,
    /// Last fifth.
    pub in_flight_last: f64,
    /// Resident memory of all replicas, mean of the first fifth.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rss_first_bytes: Option<u64>,
    /// Last fifth.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rss_last_bytes: Option<u64>,
}

/// The checks after the run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checks {
    /// Offered payments are all accounted for.
    pub accounting: Check,
    /// Supplies plus what is in flight between shards are genesis money.
    pub conservation: Check,
    /// All replicas of a shard signed the same header for one epoch.
    pub equal_roots: Check,
    /// Every n-th payment's receipt, verified here from the committee's keys.
    pub receipts_checked: Check,
    /// Balances and sequence numbers of a sample of accounts are those of the generator's own books.
    pub balances: Check,
}

impl Checks {
    /// Each check with its name.
    pub fn all(&self) -> [(&'static str, &Check); 5] {
        [
            ("accounting", &self.accounting),
            ("conservation", &self.conservation),
            ("equal roots", &self.equal_roots),
            ("receipts", &self.receipts_checked),
            ("balances", &self.balances),
        ]
    }
}

/// One check.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What came out.
    pub verdict: Verdict,
    /// The figures compared, or why it was not made.
    pub text: String,
}

/// What a check says. A check that could not be made has not passed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Held.
    Pass,
    /// Did not hold.
    Fail,
    /// Not made.
    #[default]
    NotMade,
}

/// How the generator did.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Generator {
    /// Actual minus intended send time of the first send, median.
    pub lag_p50_ms: f64,
    /// 99 %.
    pub lag_p99_ms: f64,
    /// The worst.
    pub lag_max_ms: f64,
    /// Share of one core its busiest thread used in the window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub busiest_thread: Option<f64>,
    /// Share of the window in which it waited for a socket to take bytes, the worst connection.
    pub socket_wait: f64,
    /// Whether payments were signed before the clock started.
    pub pre_signed: bool,
    /// Where it ran ("same machine").
    pub placed: String,
}
