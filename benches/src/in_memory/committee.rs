//! Three replicas, their owners, and what they send one another.
#![allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a benchmark of its own making: what is out of range ends it"
)]

use super::store::Store;
use anyhow::{Context, Result};
use smt_consensus::verify::Gate;
use smt_consensus::{Config, Network, Params, Replica};
use smt_ledger::{GenesisState, ShardLedger};
use smt_node::genesis::load_account;
use smt_node::keys::ReplicaSecrets;
use smt_types::crypto::SecretKey;
use smt_types::message::{Message, NodeId};
use smt_types::{
    Amount, Bounded, CachedChecker, Canonical, Committee, Genesis, Lamport, NetworkId, Payment, ReplicaIndex, Seq,
    ShardAddress, SignedPayment,
};
use std::sync::Arc;

/// The run's clock begins here.
pub(super) const START_US: u64 = 1_800_000_000_000_000;

const NETWORK: NetworkId = NetworkId(0x8000_0007);
const REPLICAS: u8 = 3;
const BALANCE: Amount = Amount(1_000_000_000);

/// One replica.
pub(super) struct Member {
    pub(super) node: NodeId,
    pub(super) replica: Replica<ShardLedger>,
    pub(super) gate: Gate,
    pub(super) store: Store,
}

/// A message on its way.
pub(super) struct Post {
    pub(super) to: usize,
    pub(super) from: NodeId,
    pub(super) bytes: Arc<Vec<u8>>,
}

impl Post {
    pub(super) fn to(from: NodeId, to: NodeId, message: &Message) -> Option<Post> {
        Some(Post { to: usize::from(to.replica.0), from, bytes: Arc::new(message.to_bytes()) })
    }

    /// One encoding for all others.
    pub(super) fn to_all(from: NodeId, members: usize, message: &Message) -> Vec<Post> {
        let bytes = Arc::new(message.to_bytes());
        let others = (0..members).filter(|place| *place != usize::from(from.replica.0));
        others.map(|to| Post { to, from, bytes: bytes.clone() }).collect()
    }
}

pub(super) struct Setup {
    pub(super) members: Vec<Member>,
    /// Signed, in the order in which they are sent.
    pub(super) payments: Vec<SignedPayment>,
}

pub(super) fn set_up(seed: u64, accounts: usize, payments: usize) -> Result<Setup> {
    let shard = ShardAddress::ROOT;
    let nodes: Vec<NodeId> = (0..REPLICAS).map(|replica| NodeId { shard, replica: ReplicaIndex(replica) }).collect();
    let secrets: Vec<ReplicaSecrets> = nodes.iter().map(|node| ReplicaSecrets::development(seed, *node)).collect();
    let owners: Vec<SecretKey> =
        (0..accounts).map(|index| Ok(load_account(seed, shard, u32::try_from(index)?))).collect::<Result<_>>()?;
    let mut funded: Vec<_> = owners.iter().map(|owner| (owner.public().address(), BALANCE)).collect();
    funded.sort_unstable();
    let genesis = Genesis {
        network: NETWORK,
        development: true,
        level: shard.level(),
        epoch_ms: 1000,
        committees: Bounded::truncated(vec![Bounded::truncated(secrets.iter().map(ReplicaSecrets::public).collect())]),
        accounts: Bounded::truncated(funded),
        faucets: Bounded::default(),
    };
    let committees: Vec<Committee> = genesis.check()?;
    let state = GenesisState::build(&genesis, &committees)?;
    let network = Arc::new(Network {
        id: NETWORK,
        level: shard.level(),
        committees: committees.into_iter().map(Arc::new).collect(),
        supply: state.supply,
        genesis_headers: state.headers,
    });
    let members = nodes.into_iter().zip(secrets).map(|(node, secrets)| {
        let (ledger, _) = ShardLedger::genesis(&genesis, shard)?;
        let mut store = Store::default();
        store.write(ledger.writes());
        let config = Config { node, network: network.clone(), params: Params::default() };
        let replica = Replica::recover(config, Box::new(secrets), ledger, &store, START_US);
        // Each replica remembers keys for itself, as separate processes do.
        let gate = Gate::new(node, network.clone(), Arc::new(CachedChecker::default()));
        Ok(Member {
            node,
            replica: replica.context("the genesis names this replica")?,
            gate: gate.context("the network has this shard")?,
            store,
        })
    });
    Ok(Setup { members: members.collect::<Result<_>>()?, payments: sign(&owners, payments) })
}

/// Every owner pays in turn, always another one.
fn sign(owners: &[SecretKey], payments: usize) -> Vec<SignedPayment> {
    let payment = |number: usize| {
        let (payer, round) = (number % owners.len(), number / owners.len());
        let step = 1 + (number.wrapping_mul(7919) ^ round) % (owners.len() - 1);
        let (owner, payee) = (&owners[payer], &owners[(payer + step) % owners.len()]);
        let payment = Payment {
            network: NETWORK,
            payer: owner.public(),
            seq: Seq(round as u64),
            payee: payee.public().address(),
            amount: Amount(1),
            memo: Bounded::default(),
            after: Lamport(0),
        };
        payment.sign(owner)
    };
    (0..payments).map(payment).collect()
}
