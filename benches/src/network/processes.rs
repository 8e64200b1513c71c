//! A network of separate processes: made with `smt-node genesis`, one `smt-node run` per replica, all on loopback.
//!
//! The processes end with the value: SIGTERM first, SIGKILL for what has not ended in time. That covers errors, panics and Ctrl-C (which the
//! harness turns into an early end); only a harness killed with SIGKILL leaves processes behind, and each of them has `--state` in its
//! command line.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;

use crate::load::sockets::Endpoint;

/// Longest wait for a replica to be ready: it reads the genesis and builds a tree of all accounts first.
const READY: Duration = Duration::from_secs(120);
/// Longest wait for a replica to end by itself.
const STOP: Duration = Duration::from_secs(6);
/// Ports tried for the first replica.
const PORTS: std::ops::Range<u16> = 21_000..60_000;

/// What network to make.
#[derive(Clone, Debug)]
pub struct Spec {
    /// The `smt-node` program.
    pub node: PathBuf,
    /// Number of shards.
    pub shards: u16,
    /// Replicas per shard.
    pub replicas: u8,
    /// Seed of keys and accounts.
    pub seed: u64,
    /// Length of an epoch, milliseconds.
    pub epoch_ms: u32,
    /// Load accounts per shard.
    pub accounts: u32,
    /// Base units of each.
    pub balance: u64,
}

/// Turns the command line of a replica into the one that is run. A tracer has to leave the process id to the replica. The name is
/// `SHARD-REPLICA`.
pub type Wrap<'a> = &'a dyn Fn(&str, Vec<OsString>) -> Vec<OsString>;

/// A running network. Ends when dropped.
#[derive(Debug)]
pub struct Processes {
    dir: PathBuf,
    replicas: Vec<Replica>,
    seed: u64,
}

#[derive(Debug)]
struct Replica {
    name: String,
    endpoint: Endpoint,
    child: Child,
}

#[derive(Deserialize)]
struct Book {
    replica: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    shard: String,
    replica: u8,
}

#[derive(Deserialize)]
struct Ready {
    rpc: String,
}

impl Processes {
    /// Makes a network in `dir` and starts it; answers when every replica serves.
    ///
    /// # Errors
    /// What `smt-node` says, a replica that ends or is not ready in time.
    pub fn start(spec: &Spec, dir: &Path, wrap: Wrap<'_>) -> Result<Processes> {
        let count = u16::from(spec.replicas).saturating_mul(spec.shards);
        let port = free_ports(count.saturating_mul(2))?;
        let network = dir.join("network");
        let mut genesis = Command::new(&spec.node);
        genesis.arg("genesis").arg("--out").arg(&network);
        for (flag, value) in [
            ("--shards", u64::from(spec.shards)),
            ("--replicas", u64::from(spec.replicas)),
            ("--seed", spec.seed),
            ("--epoch-ms", u64::from(spec.epoch_ms)),
            ("--accounts", u64::from(spec.accounts)),
            ("--balance", spec.balance),
            ("--base-port", u64::from(port)),
        ] {
            genesis.arg(flag).arg(value.to_string());
        }
        let made = genesis.output().with_context(|| format!("running {} genesis", spec.node.display()))?;
        ensure!(made.status.success(), "smt-node genesis failed: {}", String::from_utf8_lossy(&made.stderr).trim());
        let text = fs::read_to_string(network.join("network.toml")).context("reading the address book")?;
        let book: Book = toml::from_str(&text).context("reading the address book")?;
        fs::create_dir_all(dir.join("log")).context("making a directory for logs")?;
        let mut running = Processes { dir: dir.to_owned(), replicas: Vec::new(), seed: spec.seed };
        let started = Instant::now();
        let mut waiting = Vec::new();
        for entry in &book.replica {
            waiting.push(running.spawn(spec, &network, entry, wrap)?);
        }
        for (replica, ready) in running.replicas.iter_mut().zip(waiting) {
            let patience = READY.saturating_sub(started.elapsed());
            let Ok(endpoint) = ready.recv_timeout(patience) else {
                let log = tail(&dir.join("log").join(format!("{}.log", replica.name)));
                bail!("replica {} was not ready within {} s; its log ends with:\n{log}", replica.name, READY.as_secs());
            };
            replica.endpoint.rpc = endpoint;
        }
        Ok(running)
    }

    fn spawn(
        &mut self,
        spec: &Spec,
        network: &Path,
        entry: &Entry,
        wrap: Wrap<'_>,
    ) -> Result<mpsc::Receiver<SocketAddr>> {
        let name = format!("{}-{}", entry.shard, entry.replica);
        let shard: smt_types::ShardAddress = entry.shard.parse().context("reading the address book")?;
        let state = self.dir.join("state").join(&name);
        fs::create_dir_all(&state).context("making a state directory")?;
        let mut words: Vec<OsString> = vec![spec.node.clone().into(), "run".into()];
        for (flag, path) in [
            ("--genesis", network.join("genesis.bin")),
            ("--network", network.join("network.toml")),
            ("--keys", network.join("keys").join(format!("{name}.key"))),
            ("--state", state),
        ] {
            words.extend([flag.into(), path.into()]);
        }
        let words = wrap(&name, words);
        let (program, arguments) = words.split_first().context("an empty command line")?;
        let log = File::create(self.dir.join("log").join(format!("{name}.log"))).context("making a log file")?;
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .with_context(|| format!("starting replica {name}"))?;
        let stdout = child.stdout.take();
        let rpc = SocketAddr::from(([127, 0, 0, 1], 0));
        let endpoint = Endpoint { shard: shard.index(), replica: entry.replica, rpc };
        // In the list before anything else can fail, so that it is ended.
        self.replicas.push(Replica { name, endpoint, child });
        let (found, ready) = mpsc::channel();
        std::thread::spawn(move || {
            for line in stdout.map(BufReader::new).into_iter().flat_map(BufRead::lines).map_while(Result::ok) {
                if let Some(endpoint) = ready_at(&line) {
                    // Nobody waits any more if another replica failed; the pipe is still to be kept empty.
                    found.send(endpoint).ok();
                }
            }
        });
        Ok(ready)
    }

    /// Where the files are.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The genesis file.
    pub fn genesis_file(&self) -> PathBuf {
        self.dir.join("network").join("genesis.bin")
    }

    /// Seed of keys and accounts.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Every replica's place and endpoint.
    pub fn endpoints(&self) -> Vec<Endpoint> {
        self.replicas.iter().map(|replica| replica.endpoint).collect()
    }

    /// Name (`SHARD-REPLICA`) and process id of every replica.
    pub fn pids(&self) -> Vec<(String, u32)> {
        self.replicas.iter().map(|replica| (replica.name.clone(), replica.child.id())).collect()
    }

    /// The first replica that has ended by itself, with the end of its log.
    pub fn failure(&mut self) -> Option<String> {
        let dir = &self.dir;
        self.replicas.iter_mut().find_map(|replica| {
            let status = replica.child.try_wait().ok().flatten()?;
            let log = tail(&dir.join("log").join(format!("{}.log", replica.name)));
            Some(format!("replica {} ended ({status}); its log ends with:\n{log}", replica.name))
        })
    }

    /// Ends all replicas and waits for that.
    pub fn stop(&mut self) {
        for replica in &self.replicas {
            if let Some(pid) = i32::try_from(replica.child.id()).ok().and_then(Pid::from_raw) {
                // It may have ended already.
                kill_process(pid, Signal::TERM).ok();
            }
        }
        let began = Instant::now();
        for replica in &mut self.replicas {
            while matches!(replica.child.try_wait(), Ok(None)) {
                if began.elapsed() > STOP {
                    replica.child.kill().ok();
                    replica.child.wait().ok();
                    break;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        self.replicas.clear();
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        self.stop();
    }
}

fn ready_at(line: &str) -> Option<SocketAddr> {
    let ready: Ready = serde_json::from_str(line.strip_prefix("ready ")?).ok()?;
    ready.rpc.strip_prefix("http://")?.trim_end_matches('/').parse().ok()
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

fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().rev().take(5).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
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
