//! The command line of `smt-node dev`.

use super::network::{DevNetwork, DevOptions};
use super::settings::DevSettings;
use super::shape::{ACCOUNT_AMOUNT, Shape};
use super::state::StateDir;
use crate::config::{ConfigError, Layered};
use crate::process::{self, Interrupts};
use anyhow::Context;
use clap::Args;
use figment::value::Value;
use serde_json::json;
use smt_types::address::Hrp;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Longest wait for the network to be ready.
const READY: Duration = Duration::from_secs(60);

/// Run a whole local network in this process: shards, replicas, faucet, endpoints. For development only: all keys follow
/// from the seed.
///
/// Settings come in layers, later ones win: defaults, the file of --config (TOML; keys as the flags with underscores,
/// limits of the endpoints in a table `rpc`), environment variables SMT_SHARDS, SMT_EPOCH_MS, SMT_RPC_BATCH_CALLS_MAX, …,
/// flags. --print-config shows every value and where it comes from.
#[derive(Debug, Args)]
pub struct DevCommand {
    /// Read settings from this TOML file.
    #[arg(long, value_name = "FILE", env = "SMT_CONFIG")]
    config: Option<PathBuf>,
    /// Print every setting with its origin, as a file for --config, and end.
    #[arg(long)]
    print_config: bool,
    /// Number of shards: 1, 3 or 9 [default: 3]
    #[arg(long, value_name = "N")]
    shards: Option<u16>,
    /// Replicas per shard: 3 survives one crash (2 of 3 sign), 9 survives two Byzantine replicas (7 of 9 sign)
    /// [default: 3]
    #[arg(long, value_name = "N")]
    replicas: Option<u8>,
    /// All keys and the network's number are derived from this [default: 1]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Keep the state in this directory and go on from it next time. Without it, state is temporary.
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Delete the network kept in --state and begin anew.
    #[arg(long)]
    fresh: bool,
    /// Length of an epoch, 100 to 60000 milliseconds [default: 1000]
    #[arg(long, value_name = "MS")]
    epoch_ms: Option<u32>,
    /// Load accounts per shard, funded at genesis and derived from the seed: what smt-bench pays from [default: 0]
    #[arg(long, value_name = "N")]
    accounts: Option<u32>,
    /// Base units of each load account [default: 1000000000]
    #[arg(long, value_name = "B")]
    balance: Option<u64>,
    /// First port of the JSON-RPC endpoints, one per replica; 0 lets the system choose [default: 9100]
    #[arg(long, value_name = "PORT")]
    rpc_port: Option<u16>,
    /// Refuse to start when a port is busy, instead of taking the next free one [default: false]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    exact_ports: Option<bool>,
    /// Print one JSON line on standard output when the network takes payments, and nothing else there.
    #[arg(long)]
    json: bool,
}

impl DevCommand {
    /// The settings of all layers; `log` is the flag of that name, which belongs to the whole program.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn settings(&self, log: Option<&str>) -> Result<Layered<DevSettings>, ConfigError> {
        let path = |path: &PathBuf| Value::from(path.to_string_lossy().into_owned());
        let flags = [
            ("--shards", "shards", self.shards.map(Value::from)),
            ("--replicas", "replicas", self.replicas.map(Value::from)),
            ("--seed", "seed", self.seed.map(Value::from)),
            ("--state", "state", self.state.as_ref().map(path)),
            ("--epoch-ms", "epoch_ms", self.epoch_ms.map(Value::from)),
            ("--accounts", "accounts", self.accounts.map(Value::from)),
            ("--balance", "balance", self.balance.map(Value::from)),
            ("--rpc-port", "rpc_port", self.rpc_port.map(Value::from)),
            ("--exact-ports", "exact_ports", self.exact_ports.map(Value::from)),
            ("--log", "log", log.map(Value::from)),
        ];
        let given = flags.into_iter().filter_map(|(flag, key, value)| Some((flag, key, value?)));
        Layered::load(self.config.as_deref(), std::env::vars_os(), given.collect())
    }

    /// Runs until interrupted.
    ///
    /// # Errors
    /// Whatever keeps the network from starting, or a store that fails while it runs.
    pub fn run(self, layered: &Layered<DevSettings>) -> anyhow::Result<ExitCode> {
        let started = Instant::now();
        if self.print_config {
            let mut out = std::io::stdout().lock();
            out.write_all(layered.print().as_bytes()).context("writing to standard output")?;
            return Ok(ExitCode::SUCCESS);
        }
        let settings = layered.settings();
        anyhow::ensure!(!self.fresh || settings.state.is_some(), "--fresh deletes a kept network: it needs --state");
        process::block_on(self.serve(settings, started))
    }

    async fn serve(self, settings: &DevSettings, started: Instant) -> anyhow::Result<ExitCode> {
        let DevSettings { shards, replicas, seed, epoch_ms, rpc_port, exact_ports, accounts, balance, .. } = *settings;
        let shape =
            Shape { shards, replicas, seed, epoch_ms, accounts, balance: if accounts > 0 { balance } else { 0 } };
        process::raise_open_files();
        let state = StateDir::prepare(settings.state.as_deref(), &shape, self.fresh)?;
        let options = DevOptions { shape, rpc_port, next_port: !exact_ports, rpc: settings.rpc.clone() };
        let mut interrupts = Interrupts::new()?;
        let network = tokio::select! {
            network = DevNetwork::start(options, state) => network?,
            () = interrupts.next() => return Ok(ExitCode::from(130)),
        };
        tokio::select! {
            ready = network.wait_ready(READY) => ready?,
            () = interrupts.next() => {
                process::end(network.stop(), &mut interrupts).await;
                return Ok(ExitCode::SUCCESS);
            }
        }
        if self.json {
            print_json(&network)?
        } else {
            print_human(&network, started)?
        }
        let mut look = tokio::time::interval(Duration::from_millis(500));
        loop {
            tokio::select! {
                () = interrupts.next() => break,
                _ = look.tick() => {
                    if let Some((node, reason)) = network.failure() {
                        process::end(network.stop(), &mut interrupts).await;
                        anyhow::bail!("replica {node} has stopped: {reason}");
                    }
                }
            }
        }
        if !self.json {
            eprintln!("stopping (a second Ctrl-C aborts)");
        }
        process::end(network.stop(), &mut interrupts).await;
        Ok(ExitCode::SUCCESS)
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
    text.push_str(&format!(
        "\nfunded keys, {ACCOUNT_AMOUNT} base units each at genesis (development only: anyone can make them)\n"
    ));
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
