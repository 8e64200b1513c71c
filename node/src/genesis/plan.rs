//! From wishes to a genesis and the secrets behind it.

use super::accounts;
use crate::dev::Shape;
use crate::keys::{ReplicaSecrets, ReplicaSeeds};
use crate::member::{NetworkError, network_of};
use smt_types::genesis::MAX_GENESIS_ACCOUNTS;
use smt_types::hash::{self, Domain};
use smt_types::message::NodeId;
use smt_types::{Address, Amount, Bounded, Digest, Genesis, NetworkId, ShardAddress};
use std::collections::BTreeMap;
use zeroize::Zeroizing;

/// Most load accounts of one shard.
pub const LOAD_ACCOUNTS_MAX: u32 = 1_000_000;

/// From here up network numbers are those of development networks.
pub const DEVELOPMENT_NUMBERS: u32 = 0x8000_0000;

/// What a network is made from.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Number of shards: 1, 3 or 9.
    pub shards: u16,
    /// Replicas per shard: 3 or 9.
    pub replicas: u8,
    /// Length of an epoch, milliseconds.
    pub epoch_ms: u32,
    /// Accounts named one by one.
    pub named: BTreeMap<Address, Amount>,
    /// Where keys come from.
    pub origin: Origin,
}

/// Where a network's keys come from.
#[derive(Clone, Debug)]
pub enum Origin {
    /// A development network: all keys, a faucet account per replica and the load accounts follow from a number.
    Seed {
        /// The number.
        seed: u64,
        /// Load accounts per shard.
        accounts: u32,
        /// Base units of each.
        balance: Amount,
    },
    /// Keys from the operating system; money only where it is named.
    System {
        /// The network's number.
        network: NetworkId,
    },
}

/// A replica's part of what was made.
pub struct MemberKeys {
    /// Its seeds.
    pub seeds: ReplicaSeeds,
    /// The seed of its faucet account.
    pub faucet: Option<Zeroizing<[u8; 32]>>,
}

/// A network that can be started.
pub struct Made {
    /// Its genesis.
    pub genesis: Genesis,
    /// Its genesis hash.
    pub genesis_hash: Digest,
    /// Everybody's secrets.
    pub members: BTreeMap<NodeId, MemberKeys>,
}

/// Why no network can be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// More accounts than a genesis holds.
    #[error("{got} accounts in all, a genesis holds at most {MAX_GENESIS_ACCOUNTS}")]
    Accounts {
        /// Accounts of all shards.
        got: u64,
    },
    /// Nobody could ever pay anybody.
    #[error("a network without money: name its accounts, each with --account ADDRESS=AMOUNT")]
    NoMoney,
    /// The system gives no randomness.
    #[error("the system gives no random bytes: {0}")]
    Random(getrandom::Error),
    /// What came out is no network.
    #[error(transparent)]
    Genesis(#[from] NetworkError),
}

impl Plan {
    fn shape(&self) -> Shape {
        // The seed counts only where there is one.
        let seed = if let Origin::Seed { seed, .. } = self.origin { seed } else { 0 };
        Shape { shards: self.shards, replicas: self.replicas, seed, epoch_ms: self.epoch_ms, accounts: 0, balance: 0 }
    }

    /// All places, in shard order.
    #[must_use]
    pub fn nodes(&self) -> Vec<NodeId> {
        self.shape().nodes()
    }

    /// Makes the network. `progress` hears how many of how many load accounts are done.
    ///
    /// Cost: one to three keys a load account, some 20 µs each and on all cores, a few milliseconds a replica, and the state of
    /// one shard after the other in memory.
    ///
    /// # Errors
    /// [`PlanError`].
    pub fn make(&self, mut progress: impl FnMut(u64, u64)) -> Result<Made, PlanError> {
        let shape = self.shape();
        let nodes = shape.nodes();
        self.check_count(nodes.len())?;
        let mut members = BTreeMap::new();
        let mut money: Vec<(Address, Amount)> =
            self.named.iter().map(|(address, amount)| (*address, *amount)).collect();
        let mut faucets = Vec::new();
        for node in &nodes {
            let keys = match self.origin {
                Origin::Seed { seed, .. } => {
                    let account = shape.faucet(*node);
                    let address = account.key.public().address();
                    faucets.push(address);
                    money.push((address, Amount(crate::dev::shape::FAUCET_AMOUNT)));
                    let seeds = ReplicaSeeds::development(seed, *node);
                    MemberKeys { seeds, faucet: Some(Zeroizing::new(account.seed)) }
                }
                Origin::System { .. } => {
                    MemberKeys { seeds: ReplicaSeeds::generate().map_err(PlanError::Random)?, faucet: None }
                }
            };
            members.insert(*node, keys);
        }
        if let Origin::Seed { seed, accounts, balance } = self.origin {
            let per_number = u64::from(self.shards);
            let total = u64::from(accounts).saturating_mul(per_number);
            let tell = |done: u32| progress(u64::from(done).saturating_mul(per_number), total);
            let addresses = accounts::addresses(seed, shape.level(), accounts, tell);
            money.extend(addresses.into_iter().map(|address| (address, balance)));
        }
        if money.is_empty() {
            return Err(PlanError::NoMoney);
        }
        money.sort_unstable_by_key(|(address, _)| *address);
        let committee = |shard: ShardAddress| {
            let own = members.iter().filter(|(node, _)| node.shard == shard);
            Bounded::truncated(own.map(|(_, keys)| ReplicaSecrets::new(&keys.seeds).public()).collect())
        };
        let genesis = Genesis {
            network: self.network(),
            development: matches!(self.origin, Origin::Seed { .. }),
            level: shape.level(),
            epoch_ms: self.epoch_ms,
            committees: Bounded::truncated(ShardAddress::all(shape.level()).map(committee).collect()),
            accounts: Bounded::truncated(money),
            faucets: Bounded::truncated(faucets),
        };
        let (_, genesis_hash) = network_of(&genesis)?;
        Ok(Made { genesis, genesis_hash, members })
    }

    fn check_count(&self, replicas: usize) -> Result<(), PlanError> {
        let (load, faucets) = match self.origin {
            Origin::Seed { accounts, .. } => (u64::from(accounts).saturating_mul(u64::from(self.shards)), replicas),
            Origin::System { .. } => (0, 0),
        };
        let others = u64::try_from(faucets.saturating_add(self.named.len())).unwrap_or(u64::MAX);
        let got = load.saturating_add(others);
        if got > u64::try_from(MAX_GENESIS_ACCOUNTS).unwrap_or(u64::MAX) {
            return Err(PlanError::Accounts { got });
        }
        Ok(())
    }

    /// A development network's number is a hash of all it is made from, so that a payment for one is none for another.
    fn network(&self) -> NetworkId {
        let (seed, accounts, balance) = match self.origin {
            Origin::Seed { seed, accounts, balance } => (seed, accounts, balance),
            Origin::System { network } => return network,
        };
        let size = (self.shards, self.replicas, self.epoch_ms);
        let named: Vec<(Address, Amount)> = self.named.iter().map(|(address, amount)| (*address, *amount)).collect();
        let all = ("network of processes", size, seed, (accounts, balance), named);
        let [a, b, c, d, ..] = hash::hash_of(Domain::DevelopmentSeed, &all).0;
        NetworkId(u32::from_le_bytes([a, b, c, d]) | DEVELOPMENT_NUMBERS)
    }
}
