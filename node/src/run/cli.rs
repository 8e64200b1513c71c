//! The command line of `smt-node run`.

use super::papers::Papers;
use super::settings::{RunSettings, bootnode};
use crate::clock::Clock;
use crate::config::{ConfigError, Layered};
use crate::dev::shape::{FAUCET_DEFAULT, FAUCET_MAX};
use crate::genesis::book::{Place, multiaddr, socket_addr};
use crate::join::{Places, Records, Seek};
use crate::member::{Front, Member, params, partners};
use crate::process::{self, Interrupts};
use crate::replica::start::{self, StartReplica};
use crate::rpc::server;
use crate::serve::{FaucetKey, NetworkView};
use crate::store::StoreContext;
use crate::wallet::durable;
use anyhow::{Context, bail, ensure};
use clap::Args;
use figment::value::Value;
use serde_json::json;
use smt_gossip::swarm::{Multiaddr, PeerAddr, SwarmHandle};
use smt_types::Committee;
use smt_types::message::NodeId;
use std::collections::BTreeSet;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// Where a replica listens that neither a setting nor an address book gives a place.
const LISTEN_DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9400);
/// Where it serves clients.
const RPC_DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9401);

/// Block cache and write buffers of the store, bytes.
const CACHE_BYTES: usize = 192 << 20;
/// The part of it that unflushed writes may take.
const WRITE_BUFFER_BYTES: usize = 128 << 20;

/// How often it is looked whether the replica still runs.
const LOOK: Duration = Duration::from_millis(500);

/// Run one replica of a network made with `smt-node genesis`.
///
/// The others are found by the address book of --network, or from any running replica given as --bootnode: replicas sign where they are
/// and tell each other. --listen and --announce say where that is. With an identity made by `smt-node init` in the state directory, that one is
/// used instead of the key file's.
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
    /// The network's address book; with a bootnode there need be none.
    #[arg(long, value_name = "FILE")]
    network: Option<PathBuf>,
    /// A peer of the network to begin with, /ip4/ADDRESS/tcp/PORT/p2p/PEER; may be repeated. The others are found through it.
    #[arg(long = "bootnode", value_name = "MULTIADDR")]
    bootnodes: Vec<String>,
    /// Where others find this replica, if not where it listens; may be repeated.
    #[arg(long, value_name = "MULTIADDR")]
    announce: Vec<String>,
    /// This replica's key file.
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
    /// Keep this replica's state in this directory. It belongs to one replica of one network.
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Serve clients here; port 0 lets the system choose [default: as in the address book, or 127.0.0.1:9401]
    #[arg(long, value_name = "ADDRESS:PORT")]
    rpc: Option<SocketAddr>,
    /// Listen for peers here [default: as in the address book, or /ip4/127.0.0.1/tcp/9400]
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
        let texts = |texts: &Vec<String>| (!texts.is_empty()).then(|| Value::from(texts.clone()));
        let flags = [
            ("--genesis", "genesis", path(&self.genesis)),
            ("--network", "network", path(&self.network)),
            ("--keys", "keys", path(&self.keys)),
            ("--bootnode", "bootnodes", texts(&self.bootnodes)),
            ("--announce", "announce", texts(&self.announce)),
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
    let (member, seek) = tokio::select! {
        running = start(settings, started) => running?,
        // Nothing has been promised to anybody yet.
        () = interrupts.next() => return Ok(ExitCode::from(130)),
    };
    let mut seek = Some(seek);
    let mut look = tokio::time::interval(LOOK);
    let failure = loop {
        tokio::select! {
            () = interrupts.next() => break None,
            why = given_up(&mut seek) => break Some(why),
            _ = look.tick() => {
                if let Some(reason) = member.replica().status().stopped {
                    break Some(format!("replica {} has stopped: {reason}", member.replica().node()));
                }
            }
        }
    };
    if let Some(seek) = &seek {
        seek.abort();
    }
    process::end(member.stop(), &mut interrupts).await;
    match failure {
        None => Ok(ExitCode::SUCCESS),
        Some(why) => bail!("{why}"),
    }
}

/// Ends with the reason if the search for others gives up. Cancel-safe.
async fn given_up(seek: &mut Option<JoinHandle<Option<String>>>) -> String {
    if let Some(search) = seek {
        let end = search.await;
        *seek = None;
        match end {
            Ok(Some(why)) => return why,
            Ok(None) => {}
            // Those who are connected stay so; whoever moves from now on has to come by itself.
            Err(error) => {
                tracing::error!(%error, "the search for other replicas has broken off; start again to repair it")
            }
        }
    }
    std::future::pending().await
}

/// Where this replica listens, is found and serves clients.
struct Doors {
    listen: Multiaddr,
    /// None: where it listens, once the port is known.
    announce: Vec<SocketAddr>,
    rpc: SocketAddr,
}

impl Doors {
    /// By the settings, else by the address book, else on this machine alone.
    fn of(settings: &RunSettings, place: Option<&Place>) -> anyhow::Result<Doors> {
        let listen = match (&settings.listen, place) {
            (Some(text), _) => socket_addr(text).with_context(|| format!("listen is {text:?}"))?,
            (None, Some(place)) => place.addr,
            (None, None) => LISTEN_DEFAULT,
        };
        let mut announce: Vec<SocketAddr> = settings.announce.iter().filter_map(|text| socket_addr(text)).collect();
        if announce.is_empty() {
            announce.extend(place.map(|place| place.addr));
        }
        ensure!(
            !announce.is_empty() || !listen.ip().is_unspecified(),
            "listen is {}, which says nothing about where others find this replica: give --announce /ip4/ADDRESS/tcp/PORT",
            multiaddr(listen)
        );
        let rpc = settings.rpc_addr.or(place.map(|place| place.rpc)).unwrap_or(RPC_DEFAULT);
        Ok(Doors { listen: multiaddr(listen), announce, rpc })
    }

    /// Whether only who is on this machine finds it.
    fn is_found_on_loopback(&self) -> bool {
        let listen = socket_addr(&self.listen.to_string()).filter(|_| self.announce.is_empty());
        self.announce.iter().copied().chain(listen).any(|at| at.ip().is_loopback())
    }

    /// Where others find the replica whose swarm listens by now.
    fn found(&self, swarm: &SwarmHandle) -> Vec<SocketAddr> {
        let mut at = self.announce.clone();
        if at.is_empty() {
            // With the port that the system chose.
            at.extend(socket_addr(&swarm.listen_addr().to_string()));
        }
        at
    }
}

/// From files to a member that serves and dials, and its search for the others.
async fn start(settings: &RunSettings, started: Instant) -> anyhow::Result<(Member, JoinHandle<Option<String>>)> {
    let genesis = required(&settings.genesis, "genesis")?.to_owned();
    let keys = required(&settings.keys, "keys")?.to_owned();
    let state = required(&settings.state, "state")?.to_owned();
    let (network, dir) = (settings.network.clone(), state.clone());
    let bootnodes: Vec<PeerAddr> = settings.bootnodes.iter().filter_map(|text| bootnode(text)).collect();
    let clock = Clock::start();
    // Both block for a hash an account; meanwhile signals are heard.
    let papers = tokio::task::spawn_blocking(move || Papers::read(&genesis, network.as_deref(), &keys, &dir)).await??;
    let Papers { genesis, genesis_hash, network, book, node, place, secrets, faucet } = papers;
    let doors = Doors::of(settings, place.as_ref())?;
    // The port first: a busy one should be said before any store is created.
    let listener = server::bind(doors.rpc)?;
    let network = Arc::new(network);
    let book = book.map(|book| book.places).unwrap_or_default();
    let places = Arc::new(Places::new(book.iter().map(|(node, place)| (*node, place.peer))));
    let is_found_on_loopback = doors.is_found_on_loopback();
    let loopback = is_found_on_loopback || book.values().any(|place| place.addr.ip().is_loopback());
    let view = Arc::new(NetworkView {
        genesis: Arc::new(genesis),
        genesis_hash,
        network: network.clone(),
        places: places.clone(),
        records: Arc::new(Records::new(genesis_hash, network.clone(), is_found_on_loopback)),
        clock,
    });
    let replica = StartReplica {
        node,
        secrets: secrets.clone(),
        dir: state.clone(),
        network: network.clone(),
        genesis: view.genesis.clone(),
        genesis_hash,
        params: params(view.genesis.epoch_ms),
        listen: doors.listen.clone(),
        loopback,
        places,
        clock,
    };
    let context = StoreContext::new(CACHE_BYTES, WRITE_BUFFER_BYTES);
    let opened = tokio::task::spawn_blocking(move || start::open(replica, &context)).await??;
    // What a crash has left half written; the store's lock is held, so nobody is writing.
    if let Err(error) = durable::sweep(&state) {
        tracing::warn!(%error, "temporary files cannot be removed from {}", state.display());
    }
    let faucet = faucet.map(|key| FaucetKey { key, amount_default: FAUCET_DEFAULT, amount_max: FAUCET_MAX });
    let front = Front { listener, config: settings.rpc.clone(), faucet };
    let member = Member::start(opened, view.clone(), front).await?;
    let swarm = member.replica().swarm().clone();
    match view.records.load(&state) {
        Ok(0) => {}
        Ok(bad) => tracing::warn!(bad, "address records that do not check are left out"),
        Err(error) => tracing::warn!(%error, "address records cannot be read; others will be asked"),
    }
    let found = doors.found(&swarm);
    let first = found.first().copied().context("the swarm listens at no address")?;
    let (of, peer) = (view.clone(), swarm.local_peer());
    let announce = Box::new(move || of.records.announce(node, peer, &found, of.clock.now() / 1_000, &secrets));
    announce();
    let all: Vec<NodeId> = network.committees.iter().flat_map(|committee| seats(committee)).collect();
    let partners: BTreeSet<NodeId> = partners(node, &all).into_iter().collect();
    let known = partners.iter().filter_map(|other| book.get(other)).map(Place::peer_addr);
    let fixed: Vec<PeerAddr> = known.chain(bootnodes.iter().cloned()).collect();
    for doubt in doubts(is_found_on_loopback, &fixed, partners.iter().any(|other| view.records.of(*other).is_some())) {
        tracing::warn!("{doubt}");
    }
    let seek = Seek {
        node,
        swarm: swarm.clone(),
        view: view.clone(),
        dir: state,
        fixed,
        bootnodes: bootnodes.iter().map(|entry| entry.peer).collect(),
        partners,
        announce,
        contacts: member.replica().contacts(),
    };
    let seek = tokio::spawn(seek.run());
    let rpc = format!("http://{}", member.rpc());
    let peer = PeerAddr { peer, addr: multiaddr(first) }.to_string();
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
    Ok((member, seek))
}

/// What may be meant, but keeps replicas apart if it is not. `fixed`: peers given; `is_kept`: records of an earlier run are there.
fn doubts(is_found_on_loopback: bool, fixed: &[PeerAddr], is_kept: bool) -> Vec<&'static str> {
    let is_far = |entry: &PeerAddr| socket_addr(&entry.addr.to_string()).is_some_and(|at| !at.ip().is_loopback());
    let alone = fixed.is_empty() && !is_kept;
    let alone =
        alone.then_some("neither an address book nor a bootnode is given: this replica waits until others come to it");
    let hidden = is_found_on_loopback && fixed.iter().any(is_far);
    let hidden = hidden.then_some(
        "this replica announces a loopback address, where peers on other machines do not find it: give --listen or --announce",
    );
    alone.into_iter().chain(hidden).collect()
}

/// The replicas of a committee.
fn seats(committee: &Committee) -> impl Iterator<Item = NodeId> {
    let shard = committee.shard();
    committee.indices().map(move |replica| NodeId { shard, replica })
}

fn required<'a>(path: &'a Option<PathBuf>, key: &str) -> anyhow::Result<&'a Path> {
    let upper = key.to_uppercase();
    path.as_deref()
        .with_context(|| format!("{key} is not set: give --{key}, SMT_{upper} or {key} in the file of --config"))
}
