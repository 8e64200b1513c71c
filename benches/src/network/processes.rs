//! A network that the harness starts itself, in a directory of its own: all replicas in one process, or one process each, on loopback or in
//! network namespaces.
//!
//! The processes end with the value: SIGTERM first, SIGKILL for what has not ended in time. That covers errors, panics and Ctrl-C (which the
//! harness turns into an early end); only a harness killed with SIGKILL leaves processes behind, and each of them has `--state` in its
//! command line.

use std::ffi::OsString;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use smt_node::dev::Shape;
use smt_types::{Canonical, ShardAddress};

use super::child::Running;
use super::namespaces::{self, Links};
use crate::load::sockets::Endpoint;
use crate::result::Mode;

/// Longest wait for the network to be ready: replicas read the genesis and build a tree of all accounts first.
const READY: Duration = Duration::from_secs(120);
/// Ports tried for the first replica.
const PORTS: std::ops::Range<u16> = 21_000..60_000;

/// What network to make.
#[derive(Clone, Debug)]
pub struct Spec {
    /// The `smt-node` program.
    pub node: PathBuf,
    /// Seed of keys and accounts, numbers of shards, replicas and load accounts, length of an epoch.
    pub shape: Shape,
    /// Where replicas run.
    pub layout: Layout,
}

/// Where replicas run.
#[derive(Clone, Debug)]
pub enum Layout {
    /// All in one process, `smt-node dev`.
    OneProcess,
    /// Each in a process of its own, `smt-node run`, on loopback.
    Processes,
    /// The same in a network namespace each, joined by `scripts/shaper` (its path is given).
    Namespaces(PathBuf, Links),
}

impl Layout {
    /// The kind of run that it makes.
    pub fn mode(&self) -> Mode {
        match self {
            Layout::OneProcess => Mode::Process,
            Layout::Processes => Mode::Processes,
            Layout::Namespaces(..) => Mode::Namespaces,
        }
    }
}

/// Turns the command line of a process into the one that is run. A tracer has to leave the process id to the process. The name is that
/// of [`Processes::pids`].
pub type Wrap<'a> = &'a dyn Fn(&str, Vec<OsString>) -> Vec<OsString>;

/// A running network. Ends when dropped.
#[derive(Debug)]
pub struct Processes {
    dir: PathBuf,
    /// Ends after the replicas, so it stands apart.
    shaper: Option<Running>,
    replicas: Vec<Running>,
    endpoints: Vec<Endpoint>,
}

#[derive(Deserialize)]
struct Book {
    replica: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(deserialize_with = "shard")]
    shard: ShardAddress,
    replica: u8,
}

#[derive(Deserialize)]
struct Ready {
    rpc: String,
}

#[derive(Deserialize)]
struct DevReady {
    genesis: String,
    rpc: Vec<DevEndpoint>,
}

#[derive(Deserialize)]
struct DevEndpoint {
    #[serde(deserialize_with = "shard")]
    shard: ShardAddress,
    replica: u8,
    url: String,
}

impl Processes {
    /// Makes a network in `dir` and starts it; answers when every replica serves.
    ///
    /// # Errors
    /// What `smt-node` or `scripts/shaper` say, a replica that ends or is not ready in time.
    pub fn start(spec: &Spec, dir: &Path, wrap: Wrap<'_>) -> Result<Processes> {
        fs::create_dir_all(dir.join("log")).context("making a directory for logs")?;
        fs::create_dir_all(dir.join("network")).context("making a directory for the genesis")?;
        let mut running = Processes { dir: dir.to_owned(), shaper: None, replicas: Vec::new(), endpoints: Vec::new() };
        let deadline = Instant::now().checked_add(READY).context("the clock stands at its end")?;
        match &spec.layout {
            Layout::OneProcess => running.start_one(spec, wrap, deadline)?,
            Layout::Processes => {
                let count = u16::try_from(spec.shape.nodes().len()).context("too many replicas")?;
                let port = free_ports(count.saturating_mul(2))?;
                running.start_each(spec, &[Ipv4Addr::LOCALHOST.into()], port, wrap, deadline)?;
            }
            Layout::Namespaces(shaper, links) => {
                let nodes = spec.shape.nodes().len();
                let words = links.words(shaper, nodes);
                let shaper = Running::spawn("scripts/shaper", &words, running.log("shaper"))?;
                shaper.wait_for(deadline, |line| (line == "ready").then_some(()))?;
                running.shaper = Some(shaper);
                // Nobody else is in there.
                running.start_each(spec, &namespaces::hosts(nodes)?, PORTS.start, wrap, deadline)?;
            }
        }
        Ok(running)
    }

    /// `smt-node dev`.
    fn start_one(&mut self, spec: &Spec, wrap: Wrap<'_>, deadline: Instant) -> Result<()> {
        let genesis = spec.shape.genesis();
        let (_, hash) = smt_node::member::network_of(&genesis).context("the network asked for")?;
        fs::write(self.genesis_file(), genesis.to_bytes()).context("writing the genesis file")?;
        let mut words: Vec<OsString> = vec![spec.node.clone().into(), "dev".into(), "--json".into()];
        words.extend(shape_flags(spec));
        words.extend(["--rpc-port".into(), "0".into(), "--state".into(), self.dir.join("state").into()]);
        let name = "all replicas";
        let process = Running::spawn(name, &wrap(name, words), self.log("dev"))?;
        self.replicas.push(process);
        let process = self.replicas.last().context("no process")?;
        let ready = process.wait_for(deadline, |line| serde_json::from_str::<DevReady>(line).ok())?;
        ensure!(ready.genesis == hash.to_hex(), "smt-node dev made another network than this program: build both anew");
        for DevEndpoint { shard, replica, url } in ready.rpc {
            let rpc = address(&url).with_context(|| format!("smt-node dev serves at {url:?}"))?;
            self.endpoints.push(Endpoint { shard: shard.index(), replica, rpc });
        }
        Ok(())
    }

    /// `smt-node genesis`, then `smt-node run` for each replica, on `hosts`: one for all or one each.
    fn start_each(
        &mut self,
        spec: &Spec,
        hosts: &[IpAddr],
        port: u16,
        wrap: Wrap<'_>,
        deadline: Instant,
    ) -> Result<()> {
        let network = self.dir.join("network");
        let mut genesis = Command::new(&spec.node);
        genesis.arg("genesis").arg("--out").arg(&network).args(shape_flags(spec));
        let hosts: Vec<String> = hosts.iter().map(ToString::to_string).collect();
        genesis.args(["--host", &hosts.join(","), "--base-port", &port.to_string()]);
        let made = genesis.output().with_context(|| format!("running {} genesis", spec.node.display()))?;
        ensure!(made.status.success(), "smt-node genesis failed: {}", String::from_utf8_lossy(&made.stderr).trim());
        let text = fs::read_to_string(network.join("network.toml")).context("reading the address book")?;
        let book: Book = toml::from_str(&text).context("reading the address book")?;
        for (place, entry) in book.replica.iter().enumerate() {
            let Entry { shard, replica } = entry;
            let label = format!("{shard}-{replica}");
            let state = self.dir.join("state").join(&label);
            fs::create_dir_all(&state).context("making a state directory")?;
            let mut words: Vec<OsString> = vec![spec.node.clone().into(), "run".into()];
            for (flag, path) in [
                ("--genesis", network.join("genesis.bin")),
                ("--network", network.join("network.toml")),
                ("--keys", network.join("keys").join(format!("{label}.key"))),
                ("--state", state),
            ] {
                words.extend([flag.into(), path.into()]);
            }
            let name = format!("replica {label}");
            let mut words = wrap(&name, words);
            if self.shaper.is_some() {
                words = namespaces::inside(place, words);
            }
            let log = self.log(&label);
            self.replicas.push(Running::spawn(&name, &words, log)?);
        }
        for (entry, process) in book.replica.iter().zip(&self.replicas) {
            let rpc = process.wait_for(deadline, ready_at)?;
            self.endpoints.push(Endpoint { shard: entry.shard.index(), replica: entry.replica, rpc });
        }
        Ok(())
    }

    fn log(&self, label: &str) -> PathBuf {
        self.dir.join("log").join(format!("{label}.log"))
    }

    /// Where the files are.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The genesis file.
    pub fn genesis_file(&self) -> PathBuf {
        self.dir.join("network").join("genesis.bin")
    }

    /// Every replica's place and endpoint.
    pub fn endpoints(&self) -> Vec<Endpoint> {
        self.endpoints.clone()
    }

    /// Name (`replica SHARD-REPLICA` or `all replicas`) and id of every process with replicas.
    pub fn pids(&self) -> Vec<(String, u32)> {
        self.replicas.iter().map(|process| (process.name.clone(), process.pid())).collect()
    }

    /// The first process that has ended by itself, with the end of its log.
    pub fn failure(&mut self) -> Option<String> {
        self.replicas.iter_mut().chain(&mut self.shaper).find_map(Running::failure)
    }

    /// Ends all processes and waits for that; answers with what the shaper says of the packets that it carried.
    pub fn stop(&mut self) -> Option<String> {
        self.replicas.iter().for_each(Running::terminate);
        self.replicas.drain(..).for_each(|process| drop(process.stop()));
        self.shaper.take()?.stop().pop()
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        self.stop();
    }
}

/// What the network is made of, in flags that `smt-node genesis` and `smt-node dev` share.
fn shape_flags(spec: &Spec) -> Vec<OsString> {
    let Shape { shards, replicas, seed, epoch_ms, accounts, balance } = spec.shape;
    let flags = [
        ("--shards", u64::from(shards)),
        ("--replicas", u64::from(replicas)),
        ("--seed", seed),
        ("--epoch-ms", u64::from(epoch_ms)),
        ("--accounts", u64::from(accounts)),
        ("--balance", balance),
    ];
    flags.into_iter().flat_map(|(flag, value)| [flag.into(), value.to_string().into()]).collect()
}

fn shard<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<ShardAddress, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|_| serde::de::Error::custom(format!("{text:?} is no shard")))
}

fn ready_at(line: &str) -> Option<SocketAddr> {
    let ready: Ready = serde_json::from_str(line.strip_prefix("ready ")?).ok()?;
    address(&ready.rpc)
}

fn address(url: &str) -> Option<SocketAddr> {
    url.strip_prefix("http://")?.trim_end_matches('/').parse().ok()
}

/// The first of `count` neighbouring ports that nobody listens on, below the range that the system gives to clients where possible.
fn free_ports(count: u16) -> Result<u16> {
    let mut first =
        PORTS.start.saturating_add(u16::try_from(std::process::id() % 1_000).unwrap_or(0).saturating_mul(8));
    while first.saturating_add(count) < PORTS.end {
        let busy = (first..first.saturating_add(count)).find(|port| TcpListener::bind(("127.0.0.1", *port)).is_err());
        match busy {
            None => return Ok(first),
            Some(port) => first = port.saturating_add(1),
        }
    }
    bail!("no {count} neighbouring free ports from {} on", PORTS.start)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn ready_line_names_the_endpoint() {
        let line = r#"ready {"rpc":"http://127.0.0.1:9401","peer":"/ip4/127.0.0.1/tcp/9400"}"#;
        assert_eq!(ready_at(line), Some("127.0.0.1:9401".parse().unwrap()));
        for other in ["", "ready", "ready {}", r#"{"rpc":"http://127.0.0.1:1"}"#, r#"ready {"rpc":"ws://x"}"#] {
            assert_eq!(ready_at(other), None, "{other}");
        }
    }

    #[test]
    fn free_ports_are_free() {
        let first = free_ports(6).unwrap();
        let held: Vec<_> = (first..first + 6).map(|port| TcpListener::bind(("127.0.0.1", port)).unwrap()).collect();
        assert_eq!(held.len(), 6);
    }
}
