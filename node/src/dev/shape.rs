//! The shape of a development network and the genesis that follows from it.

use crate::genesis::load_addresses;
use crate::keys::{ReplicaSecrets, development_seed};
use serde::{Deserialize, Serialize};
use smt_types::crypto::SecretKey;
use smt_types::hash::{self, Domain};
use smt_types::message::NodeId;
use smt_types::{Amount, Bounded, Genesis, NetworkId, ReplicaIndex, ShardAddress};
use std::fmt;
use std::ops::RangeInclusive;

/// Base units of each printed account.
pub const ACCOUNT_AMOUNT: u64 = 1_000_000_000;
/// Base units of each replica's faucet account.
pub const FAUCET_AMOUNT: u64 = 1_000_000_000_000;
/// What the faucet gives when no amount is asked for.
pub const FAUCET_DEFAULT: u64 = 1_000_000;
/// The most the faucet gives at once.
pub const FAUCET_MAX: u64 = 1_000_000_000;

/// Everything a development network's genesis depends on: equal shapes give equal networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shape {
    /// Number of shards: 1, 3 or 9.
    pub shards: u16,
    /// Replicas per shard: 3 or 9.
    pub replicas: u8,
    /// What all keys are derived from.
    pub seed: u64,
    /// Length of an epoch, milliseconds.
    pub epoch_ms: u32,
    /// Load accounts per shard, see [`load_account`](crate::genesis::load_account).
    #[serde(default)]
    pub accounts: u32,
    /// Base units of each of those.
    #[serde(default)]
    pub balance: u64,
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shape { shards, replicas, seed, epoch_ms, accounts, balance } = self;
        let plural = if *shards == 1 { "shard" } else { "shards" };
        write!(f, "{shards} {plural} × {replicas} replicas, seed {seed}, epochs of {epoch_ms} ms")?;
        if *accounts > 0 {
            write!(f, ", {accounts} load accounts of {balance} base units a shard")?;
        }
        Ok(())
    }
}

/// A funded account of a development network.
pub struct DevAccount {
    /// Its secret seed: the same for everyone who knows the network's seed.
    pub seed: [u8; 32],
    /// Its key.
    pub key: SecretKey,
    /// Its home shard.
    pub shard: ShardAddress,
}

impl Shape {
    /// Numbers of shards to choose from: one, three and nine triangles.
    pub const SHARDS: &'static [u16] = &[1, 3, 9];
    /// Committee sizes to choose from.
    pub const REPLICAS: &'static [u8] = &[3, 9];
    /// Epoch lengths to choose from, milliseconds.
    pub const EPOCH_MS: RangeInclusive<u32> = 100..=60_000;

    /// h.
    #[must_use]
    pub fn level(&self) -> u8 {
        match self.shards {
            1 => 0,
            3 => 1,
            _ => 2,
        }
    }

    /// All places, in shard order.
    #[must_use]
    pub fn nodes(&self) -> Vec<NodeId> {
        let replicas = self.replicas;
        ShardAddress::all(self.level())
            .flat_map(|shard| (0..replicas).map(move |r| NodeId { shard, replica: ReplicaIndex(r) }))
            .collect()
    }

    /// A network number of its own per seed and size, so that a payment for one development network is none for another.
    #[must_use]
    pub fn network(&self) -> NetworkId {
        let size = ("network", self.shards, self.replicas, self.seed, self.epoch_ms);
        let digest = match self.accounts {
            0 => hash::hash_of(Domain::DevelopmentSeed, &size),
            accounts => hash::hash_of(Domain::DevelopmentSeed, &(size, accounts, self.balance)),
        };
        let [a, b, c, d, ..] = digest.0;
        // The upper half of the range is for development networks.
        NetworkId(u32::from_le_bytes([a, b, c, d]) | 0x8000_0000)
    }

    /// The printed accounts: ten or one per shard, spread evenly over the shards.
    #[must_use]
    pub fn accounts(&self) -> Vec<DevAccount> {
        let shards: Vec<ShardAddress> = ShardAddress::all(self.level()).collect();
        let count = shards.len().max(10);
        let homes = shards.into_iter().cycle().take(count);
        homes.enumerate().map(|(place, shard)| self.account_in("account", place, shard)).collect()
    }

    /// A replica's own faucet account, in its own shard.
    #[must_use]
    pub fn faucet(&self, node: NodeId) -> DevAccount {
        self.account_in("faucet", usize::from(node.replica.0), node.shard)
    }

    fn account_in(&self, what: &str, place: usize, shard: ShardAddress) -> DevAccount {
        let place = u64::try_from(place).unwrap_or(u64::MAX);
        let mut attempt = 0u64;
        loop {
            let seed = development_seed(self.seed, what, &(place, shard, attempt));
            let key = SecretKey::from_seed(seed);
            // One address in 3^h falls into the wanted shard.
            if shard.contains(&key.public().address()) {
                return DevAccount { seed, key, shard };
            }
            attempt = attempt.wrapping_add(1);
        }
    }

    /// The genesis.
    #[must_use]
    pub fn genesis(&self) -> Genesis {
        let nodes = self.nodes();
        let committee = |shard: ShardAddress| {
            let keys = nodes.iter().filter(|node| node.shard == shard);
            Bounded::truncated(keys.map(|node| ReplicaSecrets::development(self.seed, *node).public()).collect())
        };
        let faucets: Vec<_> = nodes.iter().map(|node| self.faucet(*node).key.public().address()).collect();
        let mut accounts: Vec<_> = faucets.iter().map(|address| (*address, Amount(FAUCET_AMOUNT))).collect();
        accounts.extend(self.accounts().iter().map(|a| (a.key.public().address(), Amount(ACCOUNT_AMOUNT))));
        let load = load_addresses(self.seed, self.level(), self.accounts, |_| {});
        accounts.extend(load.into_iter().map(|address| (address, Amount(self.balance))));
        accounts.sort_unstable_by_key(|(address, _)| *address);
        Genesis {
            network: self.network(),
            development: true,
            level: self.level(),
            epoch_ms: self.epoch_ms,
            committees: Bounded::truncated(ShardAddress::all(self.level()).map(committee).collect()),
            accounts: Bounded::truncated(accounts),
            faucets: Bounded::truncated(faucets),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn load_accounts_make_another_network_and_are_funded() {
        let kept: Shape = serde_json::from_str(r#"{"shards":3,"replicas":3,"seed":1,"epoch_ms":1000}"#).unwrap();
        assert_eq!((kept.accounts, kept.balance), (0, 0));
        let load = Shape { accounts: 4, balance: 77, ..kept };
        assert_ne!(load.network(), kept.network());
        assert_ne!(load.network(), Shape { balance: 78, ..load }.network());
        let (before, after) = (kept.genesis(), load.genesis());
        assert_eq!(after.accounts.len(), before.accounts.len() + 12);
        for shard in ShardAddress::all(1) {
            let address = crate::genesis::load_account(1, shard, 3).public().address();
            assert!(after.accounts.contains(&(address, Amount(77))), "{shard}");
        }
    }
}
