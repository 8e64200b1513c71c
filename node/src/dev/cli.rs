//! The command line of `smt-node dev`.

use super::network::{DevNetwork, DevOptions};
use super::shape::{ACCOUNT_AMOUNT, Shape};
use super::state::StateDir;
use crate::rpc::config::RpcConfig;
use anyhow::Context;
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde_json::json;
use smt_types::address::Hrp;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Longest wait for the network to be ready.
const READY: Duration = Duration::from_secs(60);
/// Longest graceful stop.
const STOP: Duration = Duration::from_secs(5);

/// Run a whole local network in this process: shards, replicas, faucet, endpoints. For development only: all keys follow
/// from the seed.
#[derive(Debug, Args)]
pub struct DevCommand {
    /// Number of shards.
    #[arg(long, default_value = "3", value_parser = PossibleValuesParser::new(["1", "3", "9"]).map(|s| s.parse::<u16>().unwrap_or(3)))]
    shards: u16,
    /// Replicas per shard: 3 survives one crash (2 of 3 sign), 9 survives two Byzantine replicas (7 of 9 sign).
    #[arg(long, default_value = "3", value_parser = PossibleValuesParser::new(["3", "9"]).map(|s| s.parse::<u8>().unwrap_or(3)))]
    replicas: u8,
    /// All keys and the network's number are derived from this.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Keep the state in this directory and go on from it next time. Without it, state is temporary.
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Delete the network kept in --state and begin anew.
    #[arg(long, requires = "state")]
    fresh: bool,
    /// Length of an epoch, milliseconds.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(100..=60_000))]
    epoch_ms: u32,
    /// First port of the JSON-RPC endpoints, one per replica; 0 lets the system choose.
    #[arg(long, default_value_t = 9100, value_name = "PORT")]
    rpc_port: u16,
    /// Refuse to start when a port is busy, instead of taking the next free one.
    #[arg(long)]
    exact_ports: bool,
    /// Print one JSON line on standard output when the network takes payments, and nothing else there.
    #[arg(long)]
    json: bool,
}

impl DevCommand {
    /// Runs until interrupted.
    ///
    /// # Errors
    /// Whatever keeps the network from starting, or a store that fails while it runs.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let started = Instant::now();
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting the runtime")?;
        let code = runtime.block_on(self.serve(started));
        // Tasks that still wait for a peer or a client have nothing to save.
        runtime.shutdown_timeout(Duration::from_millis(200));
        code
    }

    async fn serve(self, started: Instant) -> anyhow::Result<ExitCode> {
        let shape = Shape { shards: self.shards, replicas: self.replicas, seed: self.seed, epoch_ms: self.epoch_ms };
        let state = StateDir::prepare(self.state.as_deref(), &shape, self.fresh)?;
        let options = DevOptions { shape, rpc_port: self.rpc_port, next_port: !self.exact_ports, rpc: RpcConfig::default() };
        let mut interrupts = Interrupts::new()?;
        let network = tokio::select! {
            network = DevNetwork::start(options, state) => network?,
            () = interrupts.next() => return Ok(ExitCode::from(130)),
        };
        tokio::select! {
            ready = network.wait_ready(READY) => ready?,
            () = interrupts.next() => {
                end(network, &mut interrupts).await;
                return Ok(ExitCode::SUCCESS);
            }
        }
        if self.json { print_json(&network)? } else { print_human(&network, started)? }
        let mut look = tokio::time::interval(Duration::from_millis(500));
        loop {
            tokio::select! {
                () = interrupts.next() => break,
                _ = look.tick() => {
                    if let Some((node, reason)) = network.failure() {
                        end(network, &mut interrupts).await;
                        anyhow::bail!("replica {node} has stopped: {reason}");
                    }
                }
            }
        }
        if !self.json {
            eprintln!("stopping (a second Ctrl-C aborts)");
        }
        end(network, &mut interrupts).await;
        Ok(ExitCode::SUCCESS)
    }
}

/// Stops within the promised time; a second interrupt aborts at once, which is as safe as a power cut.
async fn end(network: DevNetwork, interrupts: &mut Interrupts) {
    tokio::select! {
        () = network.stop() => {}
        () = tokio::time::sleep(STOP) => tracing::warn!("not everything stopped in time; what was promised is on disk"),
        () = interrupts.next() => {
            eprintln!("aborted");
            std::process::abort();
        }
    }
}

/// Ctrl-C and the request to terminate.
struct Interrupts {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

impl Interrupts {
    fn new() -> anyhow::Result<Interrupts> {
        Ok(Interrupts {
            #[cfg(unix)]
            terminate: tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
                .context("listening for signals")?,
        })
    }

    async fn next(&mut self) {
        #[cfg(unix)]
        tokio::select! {
            outcome = tokio::signal::ctrl_c() => drop(outcome),
            _ = self.terminate.recv() => {}
        }
        #[cfg(not(unix))]
        drop(tokio::signal::ctrl_c().await);
    }
}

fn print_json(network: &DevNetwork) -> anyhow::Result<()> {
    let rpc: Vec<_> = network
        .endpoints()
        .iter()
        .map(|(node, addr)| json!({"shard": node.shard.to_string(), "replica": node.replica.0, "url": format!("http://{addr}")}))
        .collect();
    let keys: Vec<_> = network
        .shape()
        .accounts()
        .iter()
        .map(|account| {
            json!({
                "address": account.key.public().address().to_bech32(Hrp::Dev),
                "seed": hex::encode(account.seed),
                "shard": account.shard.to_string(),
                "balance": ACCOUNT_AMOUNT.to_string(),
            })
        })
        .collect();
    let line = json!({
        "network": network.genesis().network.0,
        "genesis": network.genesis_hash().to_hex(),
        "resumed": network.state().is_resumed(),
        "state": network.state().path(),
        "rpc": rpc,
        "keys": keys,
    });
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").context("writing to standard output")?;
    out.flush().context("writing to standard output")
}

fn print_human(network: &DevNetwork, started: Instant) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    let mut text = String::new();
    let resumed = if network.state().is_resumed() { "resumed" } else { "new" };
    text.push_str(&format!(
        "\nsmt-node dev: {} ({resumed})\ngenesis  {}\nnetwork  {}\nstate    {}\n\n",
        network.shape(),
        network.genesis_hash(),
        network.genesis().network,
        network.state().path().display(),
    ));
    text.push_str("endpoints (each takes payments and questions for every shard)\n");
    for (node, addr) in network.endpoints() {
        text.push_str(&format!("  shard {:<6} replica {}  http://{addr}\n", node.shard.to_string(), node.replica));
    }
    text.push_str(&format!("\nfunded keys, {ACCOUNT_AMOUNT} base units each at genesis (development only: anyone can make them)\n"));
    for (place, account) in network.shape().accounts().iter().enumerate() {
        text.push_str(&format!(
            "  dev{place}  shard {:<6} {}  seed {}\n",
            account.shard.to_string(),
            account.key.public().address().to_bech32(Hrp::Dev),
            hex::encode(account.seed),
        ));
    }
    text.push_str(&format!("\ntakes payments, {} ms after start. Ctrl-C stops.\n", started.elapsed().as_millis()));
    out.write_all(text.as_bytes()).context("writing to standard output")?;
    out.flush().context("writing to standard output")
}
