//! What a run has to know of its network.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use smt_node::rpc::client::Client;
use smt_node::rpc::schema::{ByAddress, Empty};
use smt_node::rpc::table::{GetAccount, GetGenesis, GetNodeInfo};
use smt_types::address::Hrp;
use smt_types::{Address, Committee, Genesis, ShardAddress};

use super::processes::Processes;
use crate::load::accounts::Accounts;
use crate::load::sockets::Endpoint;

/// Connections used to read what accounts hold.
const READERS: usize = 8;

/// A network to load.
#[derive(Debug)]
pub struct Target {
    /// Its genesis.
    pub genesis: Genesis,
    /// Committees in shard order, possession of keys checked.
    pub committees: Vec<Committee>,
    /// Every replica that can be reached.
    pub endpoints: Vec<Endpoint>,
}

/// What the accounts held before the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Initial {
    /// All the same: a network of our own.
    Same(u64),
    /// One by one.
    Each(Vec<u64>),
}

impl Initial {
    /// One account's.
    pub fn of(&self, account: u32) -> u64 {
        match self {
            Initial::Same(balance) => *balance,
            Initial::Each(balances) => {
                usize::try_from(account).ok().and_then(|place| balances.get(place).copied()).unwrap_or(0)
            }
        }
    }
}

impl Target {
    /// A network of our own.
    ///
    /// # Errors
    /// A genesis file that cannot be read.
    pub fn of(processes: &Processes) -> Result<Target> {
        let (genesis, committees) = read(&processes.genesis_file())?;
        Ok(Target { genesis, committees, endpoints: processes.endpoints() })
    }

    /// A network that is there. Each endpoint is asked which replica it is; the genesis comes from `file`, or from the first endpoint.
    ///
    /// # Errors
    /// An endpoint that does not answer, replicas of different networks, a genesis that cannot be had.
    pub fn at(endpoints: &[SocketAddr], file: Option<&Path>) -> Result<Target> {
        let mut found = Vec::new();
        let mut hash = None;
        for rpc in endpoints {
            let info =
                client(*rpc).call::<GetNodeInfo>(&Empty {}).with_context(|| format!("asking {rpc} who it is"))?;
            ensure!(*hash.get_or_insert(info.genesis_hash) == info.genesis_hash, "{rpc} is of another network");
            let shard: ShardAddress = info.shard.0.parse().with_context(|| format!("{rpc} names its shard"))?;
            found.push(Endpoint { shard: shard.index(), replica: info.replica, rpc: *rpc });
        }
        let Some(first) = endpoints.first() else { bail!("no endpoints") };
        let (genesis, committees) = match file {
            Some(file) => read(file)?,
            None => {
                let reply = client(*first).call::<GetGenesis>(&Empty {}).context("asking for the genesis file")?;
                let bytes = reply.file.context("the genesis file is too long for a reply: give it with --genesis")?;
                Genesis::read(&bytes.0).context("the endpoint's genesis")?
            }
        };
        Ok(Target { genesis, committees, endpoints: found })
    }

    /// Replicas per shard.
    pub fn replicas(&self) -> u8 {
        let size = self.genesis.committees.first().map_or(0, |committee| committee.len());
        u8::try_from(size).unwrap_or(u8::MAX)
    }

    /// Number of shards.
    pub fn shards(&self) -> u32 {
        ShardAddress::count(self.genesis.level)
    }

    /// Prefix of its addresses.
    pub fn hrp(&self) -> Hrp {
        if self.genesis.development { Hrp::Dev } else { Hrp::Main }
    }

    /// A replica's endpoint.
    pub fn endpoint(&self, shard: u32, replica: u8) -> Option<Endpoint> {
        self.endpoints.iter().copied().find(|endpoint| endpoint.shard == shard && endpoint.replica == replica)
    }

    /// One account as its shard has it now: balance and next seq.
    ///
    /// # Errors
    /// No endpoint, or none that answers.
    pub fn account(&self, client: &Client, address: &Address) -> Result<(u64, u64)> {
        let request = ByAddress { address: smt_node::rpc::convert::address_text(address, self.hrp()) };
        let account = client.call::<GetAccount>(&request)?;
        Ok((account.balance.0, account.next_seq.0))
    }

    /// Reads what all accounts hold, and where their seqs stand: a network may have seen other runs.
    ///
    /// # Errors
    /// An endpoint that does not answer, accounts that do not exist.
    pub fn read_accounts(&self, accounts: &mut Accounts) -> Result<Initial> {
        let all: Vec<u32> = (0..accounts.len()).collect();
        let chunk = all.len().div_ceil(READERS).max(1);
        let shared = &*accounts;
        let parts: Vec<Result<Vec<(u64, u64)>>> = std::thread::scope(|scope| {
            let read = |part: &[u32]| {
                let mut held = Vec::with_capacity(part.len());
                for account in part {
                    let shard = shared.shard_of(*account);
                    let endpoint = self.endpoints.iter().find(|endpoint| endpoint.shard == shard);
                    let endpoint = endpoint.with_context(|| format!("no endpoint of shard {shard}"))?;
                    held.push(self.account(&client(endpoint.rpc), &shared.address(*account))?);
                }
                Ok(held)
            };
            let threads: Vec<_> = all.chunks(chunk).map(|part| scope.spawn(move || read(part))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| bail!("a reader panicked"))).collect()
        });
        let mut balances = Vec::with_capacity(all.len());
        for (account, (balance, seq)) in all.into_iter().zip(parts.into_iter().collect::<Result<Vec<_>>>()?.concat()) {
            balances.push(balance);
            accounts.start_at(account, seq);
        }
        Ok(Initial::Each(balances))
    }
}

/// A client of an endpoint.
pub fn client(rpc: SocketAddr) -> Client {
    Client::new(format!("http://{rpc}"))
}

fn read(file: &Path) -> Result<(Genesis, Vec<Committee>)> {
    let bytes = fs::read(file).with_context(|| format!("reading {}", file.display()))?;
    Genesis::read(&bytes).with_context(|| format!("reading {}", file.display()))
}
