//! What is measured beside the load: processes, syncs and the nodes' own counters, at the two ends of a step's window.
//!
//! A mark is taken on a thread of its own, since reading `/proc` and asking the nodes takes milliseconds that the generator does not have.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Instant, SystemTime};

use anyhow::Result;
use serde::Deserialize;
use serde_json::json;

use super::engine::Mark;
use super::schedule::to_f64;
use super::sockets::Endpoint;
use crate::measure::recorder::{Recorder, Snapshot, Usage, Watched};
use crate::measure::syncs::SyncLog;
use crate::network::target::client;
use crate::result::Second;

/// A replica's counters, those that the report uses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Counters {
    synced_commits: String,
    bytes_written: String,
    contested_slots: String,
    /// Batches held back until they could be judged; not every node counts them.
    held_batches: Option<String>,
}

/// The instruments of a run.
#[derive(Debug)]
pub struct Meter {
    recorder: Arc<Recorder>,
    endpoints: Vec<Endpoint>,
    /// Sync logs by process name; empty without a tracer.
    logs: BTreeMap<String, PathBuf>,
    begin: Option<JoinHandle<Moment>>,
    end: Option<JoinHandle<Moment>>,
}

#[derive(Debug)]
struct Moment {
    snapshot: Snapshot,
    wall: SystemTime,
    counters: Vec<Counters>,
}

/// What a window used.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Used {
    /// Processes and stages.
    pub usage: Usage,
    /// Whether replicas were among the processes.
    pub has_replicas: bool,
    /// Syncs of all replicas, and who counted them.
    pub syncs: Option<(u64, &'static str)>,
    /// Bytes that all replicas wrote.
    pub bytes_written: Option<u64>,
    /// Contested slots at the end, the most any replica knows.
    pub conflicts: Option<u64>,
    /// Batches held back in the window, all replicas.
    pub holds: Option<u64>,
}

impl Meter {
    /// Starts to watch the replicas' processes (name and id) and this one.
    ///
    /// # Errors
    /// A process that cannot be read.
    pub fn start(
        replicas: &[(String, u32)],
        endpoints: Vec<Endpoint>,
        logs: BTreeMap<String, PathBuf>,
    ) -> Result<Meter> {
        let mut watched: Vec<Watched> =
            replicas.iter().map(|(name, pid)| Watched { name: name.clone(), pid: *pid, replica: true }).collect();
        watched.push(Watched { name: GENERATOR.into(), pid: std::process::id(), replica: false });
        let recorder = Arc::new(Recorder::start(watched)?);
        Ok(Meter { recorder, endpoints, logs, begin: None, end: None })
    }

    /// Takes a mark, without waiting for it.
    pub fn mark(&mut self, mark: Mark) {
        let (recorder, endpoints) = (Arc::clone(&self.recorder), self.endpoints.clone());
        let taking = std::thread::spawn(move || {
            let (snapshot, wall) = (recorder.snapshot(), SystemTime::now());
            let counters = endpoints.iter().filter_map(counters).collect();
            Moment { snapshot, wall, counters }
        });
        match mark {
            Mark::Begin => self.begin = Some(taking),
            Mark::End => self.end = Some(taking),
        }
    }

    /// What was used between the last two marks; `None` if they were not both taken.
    pub fn used(&mut self) -> Option<Used> {
        let begin = self.begin.take()?.join().ok()?;
        let end = self.end.take()?.join().ok()?;
        let mut usage = end.snapshot.usage_since(&begin.snapshot);
        let has_replicas = usage.processes.iter().any(|process| process.name != GENERATOR);
        let whole = begin.counters.len() == end.counters.len() && end.counters.len() == self.endpoints.len();
        let difference = |of: fn(&Counters) -> Option<u64>| {
            let pairs = begin.counters.iter().zip(&end.counters);
            let sum = |sum: u64, (a, b): (&Counters, &Counters)| sum.checked_add(of(b)?.checked_sub(of(a)?)?);
            pairs.filter(|_| whole).try_fold(0, sum).filter(|_| whole && !end.counters.is_empty())
        };
        let traced = self.traced(&mut usage, begin.wall, end.wall);
        let stored = difference(|c| c.synced_commits.parse().ok()).map(|count| (count, "store"));
        let written = difference(|c| c.bytes_written.parse().ok());
        Some(Used {
            bytes_written: usage.replica_bytes_written.filter(|_| has_replicas).or(written),
            usage,
            has_replicas,
            syncs: traced.map(|count| (count, "kernel (strace)")).or(stored),
            conflicts: end.counters.iter().filter_map(|c| c.contested_slots.parse().ok()).max(),
            holds: difference(|c| c.held_batches.as_ref()?.parse().ok()),
        })
    }

    /// Syncs in the window by the tracer's logs, also put into the processes.
    fn traced(&self, usage: &mut Usage, from: SystemTime, to: SystemTime) -> Option<u64> {
        let mut sum = None;
        for (name, log) in &self.logs {
            let count = SyncLog::read(log).ok()?.count(from, to);
            sum = Some(count.saturating_add(sum.unwrap_or(0)));
            if let Some(process) = usage.processes.iter_mut().find(|process| process.name == *name) {
                process.fsyncs = Some(count);
            }
        }
        sum
    }

    /// Puts CPU and memory of the replicas into the seconds of a step whose window began at `origin`.
    pub fn fill(&self, seconds: &mut [Second], origin: Instant) {
        self.recorder.fill(seconds, origin);
    }
}

/// The name of this process in reports.
const GENERATOR: &str = "generator";

impl Used {
    /// CPU of all replicas, microseconds per payment.
    pub fn replica_cpu_us(&self, payments: u64) -> Option<f64> {
        (self.has_replicas && payments > 0).then(|| self.usage.replica_cpu_s * 1e6 / to_f64(payments))
    }

    /// CPU of the generator, microseconds per payment.
    pub fn generator_cpu_us(&self, payments: u64) -> Option<f64> {
        (payments > 0).then(|| self.usage.other_cpu_s * 1e6 / to_f64(payments))
    }

    /// Share of a core that the generator's busiest thread used.
    pub fn busiest_thread(&self, window_s: f64) -> Option<f64> {
        let generator = self.usage.processes.iter().find(|process| process.name == GENERATOR)?;
        let busiest = generator.threads.iter().map(|thread| thread.cpu_s).fold(0.0, f64::max);
        (window_s > 0.0).then(|| busiest / window_s)
    }
}

fn counters(endpoint: &Endpoint) -> Option<Counters> {
    let reply = client(endpoint.rpc).call_value("smt_getCounters", json!({})).ok()?;
    serde_json::from_value(reply).ok()
}
