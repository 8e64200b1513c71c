//! The command line of `smt-node run`.

use super::papers::Papers;
use super::settings::RunSettings;
use crate::clock::Clock;
use crate::config::{ConfigError, Layered};
use crate::dev::shape::{FAUCET_DEFAULT, FAUCET_MAX};
use crate::genesis::book::multiaddr;
use crate::join::Places;
use crate::member::{Front, Member, params, partners};
use crate::process::{self, Interrupts};
use crate::replica::start::{self, StartReplica};
use crate::rpc::server;
use crate::serve::{FaucetKey, NetworkView};
use crate::store::StoreContext;
use anyhow::Context;
use clap::Args;
use figment::value::Value;
use serde_json::json;
use smt_gossip::swarm::PeerAddr;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Block cache and write buffers of the store, bytes.
const CACHE_BYTES: usize = 192 << 20;
/// The part of it that unflushed writes may take.
const WRITE_BUFFER_BYTES: usize = 128 << 20;

/// How often it is looked whether the replica still runs.
const LOOK: Duration = Duration::from_millis(500);

/// Run one replica of a network made with `smt-node genesis`.
///
/// When the endpoint answers, a line `ready {"rpc":…,"peer":…}` is written to standard output. Ctrl-C or SIGTERM stops
/// within five seconds; the exit code is 1 if the replica stops by itself.
///
/// Settings come in layers, later ones win: defaults, the file of --config (TOML; keys as the flags with underscores, --rpc
/// as rpc_addr, limits of the endpoint in a table `rpc`), environment variables SMT_GENESIS, SMT_RPC_ADDR,
/// SMT_RPC_BATCH_CALLS_MAX, …, flags. --print-config shows every value and where it comes from.
#[derive(Debug, Args)]
pub struct RunCommand {
    /// Read settings from this TOML file.
    #[arg(long, value_name = "FILE", env = "SMT_CONFIG")]
    config: Option<PathBuf>,
    /// Print every setting with its origin, as a file for --config, and end.
    #[arg(long)]
    print_config: bool,
    /// The network's genesis file.
    #[arg(long, value_name = "FILE")]
    genesis: Option<PathBuf>,
    /// The network's address book.
    #[arg(long, value_name = "FILE")]
    network: Option<PathBuf>,
    /// This replica's key file.
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
    /// Keep this replica's state in this directory. It belongs to one replica of one network.
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Serve clients here; port 0 lets the system choose [default: as in the address book]
    #[arg(long, value_name = "ADDRESS:PORT")]
    rpc: Option<SocketAddr>,
    /// Listen for peers here [default: as in the address book]
    #[arg(long, value_name = "MULTIADDR")]
    listen: Option<String>,
}

impl RunCommand {
    /// The settings of all layers; `log` is the flag of that name, which belongs to the whole program.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn settings(&self, log: Option<&str>) -> Result<Layered<RunSettings>, ConfigError> {
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| Value::from(path.to_string_lossy().into_owned()));
        let flags = [
            ("--genesis", "genesis", path(&self.genesis)),
            ("--network", "network", path(&self.network)),
            ("--keys", "keys", path(&self.keys)),
            ("--state", "state", path(&self.state)),
            ("--rpc", "rpc_addr", self.rpc.map(|addr| Value::from(addr.to_string()))),
            ("--listen", "listen", self.listen.clone().map(Value::from)),
            ("--log", "log", log.map(Value::from)),
        ];
        let given = flags.into_iter().filter_map(|(flag, key, value)| Some((flag, key, value?)));
        Layered::load(self.config.as_deref(), std::env::vars_os(), given.collect())
    }

    /// Runs until interrupted.
    ///
    /// # Errors
    /// Whatever keeps the replica from starting, or a store that fails while it runs.
    pub fn run(self, layered: &Layered<RunSettings>) -> anyhow::Result<ExitCode> {
        if self.print_config {
            let mut out = std::io::stdout().lock();
            out.write_all(layered.print().as_bytes()).context("writing to standard output")?;
            return Ok(ExitCode::SUCCESS);
        }
        process::block_on(serve(layered.settings(), Instant::now()))
    }
}

async fn serve(settings: &RunSettings, started: Instant) -> anyhow::Result<ExitCode> {
    process::raise_open_files();
    let mut interrupts = Interrupts::new()?;
    let member = tokio::select! {
        member = start(settings, started) => member?,
        // Nothing has been promised to anybody yet.
        () = interrupts.next() => return Ok(ExitCode::from(130)),
    };
    let mut look = tokio::time::interval(LOOK);
    loop {
        tokio::select! {
            () = interrupts.next() => break,
            _ = look.tick() => {
                if let Some(reason) = member.replica().status().stopped {
                    let node = member.replica().node();
                    process::end(member.stop(), &mut interrupts).await;
                    anyhow::bail!("replica {node} has stopped: {reason}");
                }
            }
        }
    }
    process::end(member.stop(), &mut interrupts).await;
    Ok(ExitCode::SUCCESS)
}

/// From files to a member that serves and dials.
async fn start(settings: &RunSettings, started: Instant) -> anyhow::Result<Member> {
    let genesis = required(&settings.genesis, "genesis")?;
    let network = required(&settings.network, "network")?;
    let keys = required(&settings.keys, "keys")?;
    let state = required(&settings.state, "state")?;
    let clock = Clock::start();
    let (genesis, network, keys) = (genesis.to_owned(), network.to_owned(), keys.to_owned());
    // Both block for a hash an account; meanwhile signals are heard.
    let papers = tokio::task::spawn_blocking(move || Papers::read(&genesis, &network, &keys)).await??;
    let Papers { genesis, genesis_hash, network, book, node, place, secrets, faucet } = papers;
    // The port first: a busy one should be said before any store is created.
    let listener = server::bind(settings.rpc_addr.unwrap_or(place.rpc))?;
    let listen = match &settings.listen {
        Some(text) => text.parse().with_context(|| format!("listen is {text:?}"))?,
        None => multiaddr(place.addr),
    };
    let places = Arc::new(Places::new(book.places.iter().map(|(node, place)| (*node, place.peer))));
    let view = Arc::new(NetworkView {
        genesis: Arc::new(genesis),
        genesis_hash,
        network: Arc::new(network),
        places: places.clone(),
        clock,
    });
    let replica = StartReplica {
        node,
        secrets,
        dir: state.to_owned(),
        network: view.network.clone(),
        genesis: view.genesis.clone(),
        genesis_hash,
        params: params(view.genesis.epoch_ms),
        listen,
        neighbours: book.neighbours(),
        places,
        clock,
    };
    let context = StoreContext::new(CACHE_BYTES, WRITE_BUFFER_BYTES);
    let opened = tokio::task::spawn_blocking(move || start::open(replica, &context)).await??;
    let faucet = faucet.map(|key| FaucetKey { key, amount_default: FAUCET_DEFAULT, amount_max: FAUCET_MAX });
    let front = Front { listener, config: settings.rpc.clone(), faucet };
    let member = Member::start(opened, view.clone(), front).await?;
    let swarm = member.replica().swarm();
    for other in partners(node, &book.nodes()) {
        if let Some(place) = book.places.get(&other) {
            swarm.add_peer(place.peer_addr());
        }
    }
    let rpc = format!("http://{}", member.rpc());
    let peer = PeerAddr { peer: swarm.local_peer(), addr: swarm.listen_addr().clone() }.to_string();
    // For people, beside the log; standard output belongs to whoever waits for the line. Nobody may be listening.
    let ms = started.elapsed().as_millis();
    let said =
        format!("smt-node: replica {node} serves {rpc}, peers at {peer}, genesis {genesis_hash}, {ms} ms after start");
    drop(writeln!(std::io::stderr(), "{said}"));
    let line = json!({
        "rpc": rpc,
        "peer": peer,
        "shard": node.shard.to_string(),
        "replica": node.replica.0,
        "genesis": genesis_hash.to_hex(),
    });
    let mut out = std::io::stdout().lock();
    writeln!(out, "ready {line}").and_then(|()| out.flush()).context("writing to standard output")?;
    Ok(member)
}

fn required<'a>(path: &'a Option<PathBuf>, key: &str) -> anyhow::Result<&'a Path> {
    let upper = key.to_uppercase();
    path.as_deref()
        .with_context(|| format!("{key} is not set: give --{key}, SMT_{upper} or {key} in the file of --config"))
}
