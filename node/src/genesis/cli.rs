//! The command line of `smt-node genesis`.

use super::book::{AddressBook, Place};
use super::plan::{DEVELOPMENT_NUMBERS, LOAD_ACCOUNTS_MAX, Made, Origin, Plan};
use super::{GENESIS_FILE, KEYS_DIR, KeyFile, NETWORK_FILE};
use crate::dev::settings::check_size;
use crate::wallet::durable;
use anyhow::{Context, bail, ensure};
use clap::Args;
use smt_types::address::Hrp;
use smt_types::{Address, Amount, Canonical, NetworkId};
use std::collections::BTreeMap;
use std::fs;
use std::io::{IsTerminal, Write};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Time between two reports of progress on a terminal, and elsewhere, where each is a line more.
const PROGRESS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(5)];

/// Make a network of separate processes: genesis file, address book and one key file per replica.
///
/// With --seed it is a development network: all keys follow from the seed and are INSECURE, each replica has a faucet
/// account, and --accounts funds load accounts. Without, keys come from the operating system, and money is where --account
/// puts it. Nothing that exists is ever written over.
#[derive(Debug, Args)]
pub struct GenesisCommand {
    /// Write genesis.bin, network.toml and keys/SHARD-REPLICA.key into this directory.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Number of shards: 1, 3 or 9.
    #[arg(long, value_name = "N", default_value_t = 3)]
    shards: u16,
    /// Replicas per shard: 3 survives one crash (2 of 3 sign), 9 survives two Byzantine replicas (7 of 9 sign).
    #[arg(long, value_name = "N", default_value_t = 3)]
    replicas: u8,
    /// Make a development network with all keys derived from this number: insecure, for everybody can do the same.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Length of an epoch, 100 to 60000 milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 1000)]
    epoch_ms: u32,
    /// Load accounts per shard, derived from --seed, at most 1000000.
    #[arg(long, value_name = "N", default_value_t = 0)]
    accounts: u32,
    /// Base units of each load account.
    #[arg(long, value_name = "B", default_value_t = 1_000_000_000)]
    balance: u64,
    /// Give an account an amount of base units; may be repeated.
    #[arg(long = "account", value_name = "ADDRESS=AMOUNT")]
    named: Vec<String>,
    /// The network's number, 1 to 2147483647; without --seed only, where it is drawn by lot otherwise.
    #[arg(long, value_name = "N", conflicts_with = "seed")]
    network_id: Option<u32>,
    /// Address all replicas are reached at, or one for each of them in order, shard by shard.
    #[arg(long, value_name = "ADDRESS,…", value_delimiter = ',', default_value = "127.0.0.1")]
    host: Vec<IpAddr>,
    /// First port: the n-th replica takes port P + 2n for peers and the one after it for JSON-RPC.
    #[arg(long, value_name = "P", default_value_t = 9400)]
    base_port: u16,
}

impl GenesisCommand {
    /// Makes the network and writes its files.
    ///
    /// # Errors
    /// Whatever is wrong with the wishes, and files that exist or cannot be written.
    pub fn run(&self) -> anyhow::Result<()> {
        let started = Instant::now();
        let plan = self.plan()?;
        let nodes = plan.nodes();
        let ports = usize::from(self.base_port).saturating_add(nodes.len().saturating_mul(2));
        ensure!(
            self.base_port > 0 && ports <= 65_536,
            "--base-port {}: {} replicas take two ports each, of 1 to 65535",
            self.base_port,
            nodes.len()
        );
        ensure!(
            [1, nodes.len()].contains(&self.host.len()),
            "--host: {} addresses, there has to be one for all or one for each of the {} replicas",
            self.host.len(),
            nodes.len()
        );
        let [genesis_file, network_file, keys] = [GENESIS_FILE, NETWORK_FILE, KEYS_DIR].map(|name| self.out.join(name));
        for path in [&genesis_file, &network_file, &keys] {
            ensure!(fs::symlink_metadata(path).is_err(), "{} exists; nothing is written over", path.display());
        }
        let made = plan.make(progress(started))?;
        let book = self.book(&made)?;
        durable::make_dir(&keys).with_context(|| format!("making {}", keys.display()))?;
        for (node, member) in &made.members {
            let file = KeyFile {
                node: *node,
                development: made.genesis.development,
                seeds: member.seeds.clone(),
                faucet: member.faucet.clone(),
            };
            file.create(&keys.join(KeyFile::name(*node)))?;
        }
        publish(&genesis_file, &made.genesis.to_bytes())?;
        publish(&network_file, book.to_toml().as_bytes())?;
        self.tell(&made, started)
    }

    fn plan(&self) -> anyhow::Result<Plan> {
        if let Err(broken) = check_size(self.shards, self.replicas, self.epoch_ms) {
            bail!("--{} {}: {}", broken.key.replace('_', "-"), broken.value, broken.rule);
        }
        ensure!(
            self.accounts <= LOAD_ACCOUNTS_MAX,
            "--accounts {}: at most {LOAD_ACCOUNTS_MAX} a shard",
            self.accounts
        );
        let origin = match self.seed {
            Some(seed) => Origin::Seed { seed, accounts: self.accounts, balance: Amount(self.balance) },
            None => {
                ensure!(
                    self.accounts == 0,
                    "--accounts are derived from --seed; a network with keys of its own names its accounts, each with --account ADDRESS=AMOUNT"
                );
                Origin::System { network: NetworkId(self.number()?) }
            }
        };
        let wanted = if self.seed.is_some() { Hrp::Dev } else { Hrp::Main };
        let mut named = BTreeMap::new();
        for text in &self.named {
            let (address, amount) = named_account(text, wanted).with_context(|| format!("--account {text}"))?;
            ensure!(named.insert(address, amount).is_none(), "--account {text}: the account is named twice");
        }
        Ok(Plan { shards: self.shards, replicas: self.replicas, epoch_ms: self.epoch_ms, named, origin })
    }

    fn number(&self) -> anyhow::Result<u32> {
        let allowed = 1..DEVELOPMENT_NUMBERS;
        if let Some(number) = self.network_id {
            ensure!(
                allowed.contains(&number),
                "--network-id {number}: allowed are 1 to {}",
                DEVELOPMENT_NUMBERS.saturating_sub(1)
            );
            return Ok(number);
        }
        let mut bytes = [0u8; 4];
        getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("the system gives no random bytes: {error}"))?;
        Ok((u32::from_le_bytes(bytes) % DEVELOPMENT_NUMBERS).max(1))
    }

    fn book(&self, made: &Made) -> anyhow::Result<AddressBook> {
        let mut places = BTreeMap::new();
        let mut port = self.base_port;
        for ((node, member), host) in made.members.iter().zip(self.host.iter().cycle()) {
            let secrets = crate::keys::ReplicaSecrets::new(&member.seeds);
            let peer = secrets.peer_id().with_context(|| format!("making the identity of replica {node}"))?;
            let at = |port| SocketAddr::new(*host, port);
            places.insert(*node, Place { peer, addr: at(port), rpc: at(port.saturating_add(1)) });
            port = port.saturating_add(2);
        }
        Ok(AddressBook { genesis_hash: made.genesis_hash, development: made.genesis.development, places })
    }

    fn tell(&self, made: &Made, started: Instant) -> anyhow::Result<()> {
        let Made { genesis, genesis_hash, members } = made;
        let dir = self.out.display();
        let first = members.keys().next().map(|node| KeyFile::name(*node)).unwrap_or_default();
        let insecure =
            if genesis.development { "\nINSECURE: all keys follow from the seed. For development only.\n" } else { "" };
        let text = format!(
            "genesis  {genesis_hash}\nnetwork  {}\nreplicas {} in {} shards, epochs of {} ms\naccounts {}, {} base units in all\n\
             made in  {} ms\n{insecure}\nstart each replica with its own key file and state directory:\n  \
             smt-node run --genesis {dir}/{GENESIS_FILE} --network {dir}/{NETWORK_FILE} --keys {dir}/{KEYS_DIR}/{first} --state STATE\n",
            genesis.network,
            members.len(),
            self.shards,
            genesis.epoch_ms,
            genesis.accounts.len(),
            genesis.supply().unwrap_or(Amount::ZERO).0,
            started.elapsed().as_millis(),
        );
        let mut out = std::io::stdout().lock();
        out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("writing to standard output")
    }
}

/// `ADDRESS=AMOUNT`
fn named_account(text: &str, wanted: Hrp) -> anyhow::Result<(Address, Amount)> {
    let (address, amount) = text.split_once('=').context("it has to be ADDRESS=AMOUNT")?;
    let (hrp, address) = Address::parse(address)?;
    ensure!(hrp == wanted, "this network's addresses begin with {:?}", wanted.as_str());
    let amount = amount.parse().context("the amount has to be a whole number of base units")?;
    Ok((address, Amount(amount)))
}

/// Writes a new file that everybody may read.
fn publish(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let written =
        durable::create(path, bytes).and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(0o644)));
    written.with_context(|| format!("writing {}", path.display()))
}

/// Tells on standard error how far the load accounts are: one line, or on a terminal one that changes.
fn progress(started: Instant) -> impl FnMut(u64, u64) {
    let terminal = std::io::stderr().is_terminal();
    let [short, long] = PROGRESS;
    let every = if terminal { short } else { long };
    let mut told = started;
    move |done, total| {
        let last = done >= total && told > started;
        if told.elapsed() < every && !last {
            return;
        }
        told = Instant::now();
        let line = format!("load accounts: {done} of {total}, {} s", started.elapsed().as_secs());
        if terminal {
            eprint!("\r{line}{}", if last { "\n" } else { "" });
        } else {
            eprintln!("{line}");
        }
    }
}
