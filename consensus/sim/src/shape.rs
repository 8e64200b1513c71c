//! A network's fixed part: shards, committees, owners, genesis. The same for every seed of one shape.

use crate::keys;
use smt_consensus::Network;
use smt_ledger::GenesisState;
use smt_types::codec::Bounded;
use smt_types::{Address, Amount, Committee, Genesis, NetworkId, PublicKey, ShardAddress};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The number of every simulated network.
pub const NETWORK: NetworkId = NetworkId(7);

/// Paying accounts per shard.
pub const OWNERS: usize = 10;

/// What each owner starts with.
pub const START: u64 = 400;

/// An account's owner.
#[derive(Clone, Copy, Debug)]
pub struct Owner {
    /// Its key.
    pub key: PublicKey,
    /// Its account.
    pub address: Address,
    /// Its shard.
    pub shard: ShardAddress,
}

/// The fixed part of a network.
#[derive(Debug)]
pub struct Shape {
    /// h.
    pub level: u8,
    /// Replicas per shard.
    pub replicas: usize,
    /// All shards.
    pub shards: Vec<ShardAddress>,
    /// The network as replicas see it.
    pub network: Arc<Network>,
    /// The genesis.
    pub genesis: Genesis,
    /// Owners of all shards.
    pub owners: Vec<Owner>,
}

/// The shape with 3^`level` shards of `replicas` replicas. Built once: genesis costs a millisecond a shard.
#[must_use]
pub fn shape(level: u8, replicas: usize) -> Arc<Shape> {
    static SHAPES: Mutex<BTreeMap<(u8, usize), Arc<Shape>>> = Mutex::new(BTreeMap::new());
    let mut shapes = SHAPES.lock().unwrap_or_else(PoisonError::into_inner);
    shapes.entry((level, replicas)).or_insert_with(|| Arc::new(build(level, replicas))).clone()
}

fn build(level: u8, replicas: usize) -> Shape {
    let shards: Vec<ShardAddress> = ShardAddress::all(level).collect();
    let mut owners: Vec<Owner> = Vec::new();
    let mut number = 0;
    while owners.len() < shards.len() * OWNERS {
        let key = keys::public_key(0, number);
        number += 1;
        let address = key.address();
        let shard = address.shard(level);
        if owners.iter().filter(|owner| owner.shard == shard).count() < OWNERS {
            owners.push(Owner { key, address, shard });
        }
    }
    let mut accounts: Vec<(Address, Amount)> = owners.iter().map(|owner| (owner.address, Amount(START))).collect();
    accounts.sort_unstable();
    let keys_of =
        |shard: usize| (0..replicas).map(|r| keys::replica_keys((shard * replicas + r) as u64)).collect::<Vec<_>>();
    let committees: Vec<Committee> = shards
        .iter()
        .enumerate()
        .map(|(place, shard)| Committee::assume_possessed(NETWORK, *shard, keys_of(place)).expect("keys are distinct"))
        .collect();
    let genesis = Genesis {
        network: NETWORK,
        development: true,
        level,
        epoch_ms: 1000,
        committees: Bounded::truncated((0..shards.len()).map(|s| Bounded::truncated(keys_of(s))).collect()),
        accounts: Bounded::truncated(accounts),
        faucets: Bounded::default(),
    };
    let state = GenesisState::build(&genesis, &committees).expect("the genesis is well formed");
    let network = Network {
        id: NETWORK,
        level,
        committees: committees.into_iter().map(Arc::new).collect(),
        supply: state.supply,
        genesis_headers: state.headers,
    };
    Shape { level, replicas, shards, network: Arc::new(network), genesis, owners }
}
