//! The command line of `smt-bench tps`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use serde::Serialize;
use smt_node::dev::Shape;

use crate::network::namespaces::Links;
use crate::network::processes::Layout;

/// Certified, read-back payments a second and their latencies, through JSON-RPC.
///
/// Starts a network, by default one process per replica on loopback (or uses --endpoints), pays from funded accounts, counts what another replica
/// than the gateway reports, checks money, roots, receipts and balances at the end, and stops the network.
///
/// What is offered: --rate (open loop, latency from the intended time), --closed, --sweep or --find-max.
#[derive(Clone, Debug, Args, Serialize)]
pub struct Options {
    /// Open loop: payments a second and shard, on a schedule that does not wait for the network [default: 1000]
    #[arg(long, value_name = "R", conflicts_with_all = ["closed", "sweep"])]
    pub rate: Option<f64>,
    /// Closed loop: always so many payments in flight per shard. Its latencies hide what waits outside.
    #[arg(long, value_name = "N", conflicts_with = "find_max")]
    pub closed: Option<u64>,
    /// Open loop at several rates, one after another: the load–latency curve.
    #[arg(long, value_name = "R,R,…", value_delimiter = ',', conflicts_with_all = ["closed", "find_max"])]
    pub sweep: Vec<f64>,
    /// Find the highest rate with certified p99 under --p99-bound and no growing backlog, then measure there. Starts from --rate.
    #[arg(long)]
    pub find_max: bool,
    /// Bound on the 99th percentile of `certified` for --find-max, milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 200.0)]
    pub p99_bound: f64,
    /// After the measurement offer this many times its rate, then look how the network recovers.
    #[arg(long, value_name = "FACTOR")]
    pub overload: Option<f64>,
    /// A long run: at 70 % of the maximum with --find-max, at --rate without; ten minutes unless --duration says otherwise.
    #[arg(long)]
    pub soak: bool,
    /// Measured seconds [default: 30; 10 with --short; 600 with --soak]
    #[arg(long, value_name = "S")]
    pub duration: Option<f64>,
    /// Seconds before, not measured [default: 5; 2 with --short]
    #[arg(long, value_name = "S")]
    pub warm_up: Option<f64>,
    /// Everything shorter, under 90 s in all.
    #[arg(long)]
    pub short: bool,

    /// Number of shards: 1, 3 or 9.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub shards: u16,
    /// Replicas per shard: 3 or 9.
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub replicas: u8,
    /// Length of an epoch, milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 1_000)]
    pub epoch_ms: u32,
    /// Funded accounts per shard. Each has one payment in flight, so rate × time to final is the least [default: 50000; 20000 with --short]
    #[arg(long, value_name = "N")]
    pub accounts: Option<u32>,
    /// Base units of each account at genesis.
    #[arg(long, value_name = "B", default_value_t = 1_000_000_000)]
    pub balance: u64,
    /// Keys, accounts and the choice of payees follow from this.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,

    /// Share of payments to another shard, 0 to 1.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    pub cross_share: f64,
    /// Share of payments whose payee is a hot account, 0 to 1.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    pub hot_share: f64,
    /// Hot accounts per shard.
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub hot_accounts: u32,
    /// Exponential gaps between payments instead of even ones.
    #[arg(long)]
    pub poisson: bool,
    /// Sign while the clock runs, instead of before.
    #[arg(long)]
    pub live_signed: bool,
    /// Most signatures made in advance for one step, 64 bytes each; payments beyond are signed live.
    #[arg(long, value_name = "N", default_value_t = 8_000_000)]
    pub pre_signed_max: u64,

    /// Give every payment to this replica of its shard, instead of all in turn.
    #[arg(long, value_name = "I")]
    pub gateway: Option<u8>,
    /// Connections to each gateway.
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub connections: usize,
    /// What is due is sent every so many milliseconds, as one call to the next gateway; 0: each payment at once
    /// [default: 0 up to 2000/s in all, else 4]
    #[arg(long, value_name = "MS")]
    pub pulse_ms: Option<f64>,
    /// Seconds after its intended time at which a payment is given up.
    #[arg(long, value_name = "S", default_value_t = 10.0)]
    pub give_up: f64,
    /// Fetch and verify the receipt of every n-th final payment (at most 2000); 0: none [default: 1000; 100 with --short]
    #[arg(long, value_name = "N")]
    pub every_receipt: Option<u64>,

    /// Where replicas run: each in a process of its own on loopback, all in one process (smt-node dev), or each in a network namespace of
    /// its own with delay and loss between them (needs root)
    #[arg(long, value_enum, default_value_t, conflicts_with = "endpoints")]
    pub layout: Place,
    /// Delay between namespaces, one way, milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 20.0)]
    pub delay_ms: f64,
    /// Uniform delay added to it, milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 0.0)]
    pub jitter_ms: f64,
    /// Share of packets lost between namespaces, 0 to 1.
    #[arg(long, value_name = "SHARE", default_value_t = 0.01)]
    pub loss: f64,
    /// The program that makes namespaces, scripts/shaper of the source tree.
    #[serde(skip)]
    #[arg(long, value_name = "FILE", env = "BENCH_SHAPER", default_value = "scripts/shaper")]
    pub shaper: PathBuf,
    /// Use the network with these JSON-RPC endpoints instead of starting one: all replicas of it.
    #[arg(long, value_name = "HOST:PORT,…", value_delimiter = ',')]
    pub endpoints: Vec<SocketAddr>,
    /// Genesis file of that network [default: asked from the first endpoint]
    #[arg(long, value_name = "FILE", requires = "endpoints")]
    pub genesis: Option<PathBuf>,
    /// The `smt-node` program [default: beside this one]
    #[arg(long, value_name = "FILE")]
    pub node: Option<PathBuf>,
    /// Keep the network's files in a new directory in this one [default: a temporary directory, deleted at the end]
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// Do not run replicas under strace to count syncs; the store's own count is used.
    #[arg(long)]
    pub no_trace: bool,

    /// Write what was found to this file.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write a report with plots to this file.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}

/// Where replicas run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// Each in a process of its own on loopback.
    #[default]
    Processes,
    /// All in one process.
    OneProcess,
    /// Each in a process and a network namespace of its own.
    Namespaces,
}

impl Options {
    /// Refuses what makes no sense.
    ///
    /// # Errors
    /// What is wrong.
    pub fn check(&self) -> Result<()> {
        for (name, share) in [("--cross-share", self.cross_share), ("--hot-share", self.hot_share)] {
            ensure!((0.0..=1.0).contains(&share), "{name} {share} is not between 0 and 1");
        }
        ensure!(
            self.cross_share <= 0.0 || !self.endpoints.is_empty() || self.shards > 1,
            "--cross-share needs --shards 3"
        );
        ensure!(
            [self.delay_ms, self.jitter_ms].iter().all(|ms| (0.0..=60_000.0).contains(ms))
                && (0.0..1.0).contains(&self.loss),
            "--delay-ms and --jitter-ms are 0 to 60000, --loss is 0 to below 1"
        );
        let rates = self.rate.into_iter().chain(self.sweep.iter().copied());
        for rate in rates {
            ensure!(rate.is_finite() && rate > 0.0 && rate <= 10_000_000.0, "a rate of {rate}/s cannot be offered");
        }
        let times = [self.duration(), self.warm_up(), Duration::try_from_secs_f64(self.give_up)?];
        ensure!(
            !self.duration().is_zero() && times.iter().all(|t| t.as_secs() < 86_400),
            "times are in seconds, below a day"
        );
        ensure!(self.accounts() >= 2 && self.accounts() <= 1_000_000, "--accounts: 2 to 1000000");
        ensure!(self.overload.is_none_or(|factor| (1.0..=100.0).contains(&factor)), "--overload: 1 to 100");
        Ok(())
    }

    /// The network to make.
    pub fn shape(&self) -> Shape {
        let Options { shards, replicas, seed, epoch_ms, balance, .. } = *self;
        Shape { shards, replicas, seed, epoch_ms, accounts: self.accounts(), balance }
    }

    /// Where its replicas run.
    ///
    /// # Errors
    /// No program that makes namespaces.
    pub fn layout(&self) -> Result<Layout> {
        Ok(match self.layout {
            Place::Processes => Layout::Processes,
            Place::OneProcess => Layout::OneProcess,
            Place::Namespaces => {
                let Options { delay_ms, jitter_ms, loss, seed, .. } = *self;
                let shaper = std::fs::canonicalize(&self.shaper).with_context(|| {
                    format!("--shaper {}: scripts/shaper of the source tree", self.shaper.display())
                })?;
                Layout::Namespaces(shaper, Links { delay_ms, jitter_ms, loss, seed })
            }
        })
    }

    /// Measured time.
    pub fn duration(&self) -> Duration {
        let otherwise = match (self.soak, self.short) {
            (true, _) => 600.0,
            (_, true) => 10.0,
            _ => 30.0,
        };
        seconds(self.duration.unwrap_or(otherwise))
    }

    /// Time before it.
    pub fn warm_up(&self) -> Duration {
        seconds(self.warm_up.unwrap_or(if self.short { 2.0 } else { 5.0 }))
    }

    /// Measured time of a step of --find-max or --sweep.
    pub fn step(&self) -> Duration {
        if self.short { Duration::from_secs(4) } else { Duration::from_secs(10) }
    }

    /// Accounts per shard.
    pub fn accounts(&self) -> u32 {
        self.accounts.unwrap_or(if self.short { 20_000 } else { 50_000 })
    }

    /// Every n-th receipt.
    pub fn every_receipt(&self) -> u64 {
        self.every_receipt.unwrap_or(if self.short { 100 } else { 1_000 })
    }

    /// When a payment is given up.
    pub fn give_up(&self) -> Duration {
        seconds(self.give_up)
    }

    /// The first rate.
    pub fn rate(&self) -> f64 {
        self.rate.unwrap_or(1_000.0)
    }

    /// Pulse for a total rate.
    pub fn pulse(&self, total_rate: Option<f64>) -> Duration {
        let otherwise = if total_rate.is_some_and(|rate| rate <= 2_000.0) { 0.0 } else { 4.0 };
        seconds(self.pulse_ms.unwrap_or(otherwise) / 1_000.0)
    }

    /// Every option, defaults filled in, as the report shows it.
    pub fn parameters(&self) -> BTreeMap<String, String> {
        let mut all = BTreeMap::new();
        if let Ok(serde_json::Value::Object(fields)) = serde_json::to_value(self) {
            let apart = self.layout == Place::Namespaces;
            for (name, value) in fields {
                if !apart && ["delay_ms", "jitter_ms", "loss"].contains(&name.as_str()) {
                    continue;
                }
                let text = match value {
                    serde_json::Value::Null => continue,
                    serde_json::Value::String(text) => text,
                    serde_json::Value::Array(items) if items.is_empty() => continue,
                    other => other.to_string(),
                };
                all.insert(name, text);
            }
        }
        all.insert("duration".into(), self.duration().as_secs_f64().to_string());
        all.insert("warm_up".into(), self.warm_up().as_secs_f64().to_string());
        all.insert("accounts".into(), self.accounts().to_string());
        all.insert("every_receipt".into(), self.every_receipt().to_string());
        all
    }
}

/// Out of range is 0, which [`Options::check`] refuses where it matters.
fn seconds(value: f64) -> Duration {
    Duration::try_from_secs_f64(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    fn parse(line: &str) -> Result<Options, String> {
        let words = std::iter::once("tps").chain(line.split_whitespace());
        let options = Line::try_parse_from(words).map_err(|error| error.to_string())?.options;
        options.check().map_err(|error| error.to_string())?;
        Ok(options)
    }

    #[test]
    fn defaults_depend_on_the_kind_of_run() {
        assert_eq!(parse("").unwrap().duration().as_secs(), 30);
        assert_eq!(parse("--short").unwrap().duration().as_secs(), 10);
        assert_eq!(parse("--soak --rate 7000").unwrap().duration().as_secs(), 600);
        assert_eq!(parse("--soak --duration 20").unwrap().duration().as_secs(), 20);
        assert_eq!(parse("--sweep 100,200").unwrap().sweep, [100.0, 200.0]);
        assert!(parse("--short").unwrap().pulse(Some(100.0)).is_zero());
        let parameters = parse("--short --rate 5").unwrap().parameters();
        assert_eq!((parameters["duration"].as_str(), parameters["rate"].as_str()), ("10", "5.0"));
    }

    #[test]
    fn nonsense_is_refused() {
        for line in [
            "--rate 0",
            "--rate nan",
            "--cross-share 0.5",
            "--cross-share 2 --shards 3",
            "--rate 5 --closed 5",
            "--duration 0",
            "--duration -1",
            "--accounts 1",
            "--overload 0.5",
            "--endpoints nowhere",
            "--endpoints 127.0.0.1:1 --layout one-process",
            "--layout namespaces --loss 1",
            "--layout namespaces --delay-ms -1",
            "--closed 5 --find-max",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
