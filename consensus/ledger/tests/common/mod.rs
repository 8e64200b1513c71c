//! What the tests of this crate share: owners, a store in memory, cut values, and a small generator of random numbers.
#![allow(dead_code, reason = "each test file uses a part")]
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::arithmetic_side_effects, reason = "tests")]

use smt_consensus::ports::{Column, Reader, Write};
use smt_ledger::ShardLedger;
use smt_types::codec::Bounded;
use smt_types::crypto::{JubSecretKey, SecretKey};
use smt_types::report::SourceCount;
use smt_types::{
    Address, Amount, CutValue, DenseTime, Digest, Epoch, Genesis, Lamport, NetworkId, Payment, ReplicaKeys, Seq,
    ShardAddress, SignedPayment, Slot,
};
use std::collections::BTreeMap;

pub const NETWORK: NetworkId = NetworkId(7);

/// xorshift64*: a seed gives the same numbers everywhere.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed | 1)
    }

    pub fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let drawn = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        usize::try_from(drawn % u64::try_from(end.max(1)).unwrap()).unwrap()
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }
}

/// An account's owner.
pub struct Owner {
    pub key: SecretKey,
    pub address: Address,
}

impl Owner {
    pub fn pay(&self, seq: u64, payee: Address, amount: u64) -> SignedPayment {
        let payment = Payment {
            network: NETWORK,
            payer: self.key.public(),
            seq: Seq(seq),
            payee,
            amount: Amount(amount),
            memo: Bounded::default(),
            after: Lamport(0),
        };
        payment.sign(&self.key)
    }

    pub fn slot(&self, seq: u64) -> Slot {
        Slot { payer: self.address, seq: Seq(seq) }
    }
}

/// `count` owners in each shard of `level`, by shard.
pub fn owners(level: u8, count: usize) -> Vec<Vec<Owner>> {
    let shards = usize::try_from(ShardAddress::count(level)).unwrap();
    let mut owners: Vec<Vec<Owner>> = (0..shards).map(|_| Vec::new()).collect();
    let mut seed = 0u64;
    while owners.iter().any(|own| own.len() < count) {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        seed += 1;
        let key = SecretKey::from_seed(bytes);
        let address = key.public().address();
        let own = &mut owners[usize::try_from(address.shard(level).index()).unwrap()];
        if own.len() < count {
            own.push(Owner { key, address });
        }
    }
    owners
}

/// A genesis with a committee of 3 per shard.
pub fn genesis(level: u8, mut accounts: Vec<(Address, Amount)>) -> Genesis {
    accounts.sort();
    let keys = |shard: u32, place: u8| {
        let mut seed = [place + 1; 32];
        seed[..4].copy_from_slice(&shard.to_le_bytes());
        ReplicaKeys::prove(&SecretKey::from_seed(seed), &JubSecretKey::from_seed(seed))
    };
    let committee = |shard| Bounded::new((0..3).map(|place| keys(shard, place)).collect()).unwrap();
    Genesis {
        network: NETWORK,
        development: true,
        level,
        epoch_ms: 1000,
        committees: Bounded::new((0..ShardAddress::count(level)).map(committee).collect()).unwrap(),
        accounts: Bounded::new(accounts).unwrap(),
        faucets: Bounded::default(),
    }
}

/// A ledger whose genesis gives `balances`.
pub fn ledger(shard: ShardAddress, balances: &[(Address, u64)]) -> ShardLedger {
    let mut accounts: Vec<_> = balances.iter().map(|(address, balance)| (*address, Amount(*balance))).collect();
    accounts.sort();
    let genesis = Genesis {
        network: NETWORK,
        development: true,
        level: shard.level(),
        epoch_ms: 1000,
        committees: Bounded::default(),
        accounts: Bounded::new(accounts).unwrap(),
        faucets: Bounded::default(),
    };
    ShardLedger::genesis(&genesis, shard).unwrap().0
}

pub fn value(shard: ShardAddress, epoch: u64, voids: &[Slot], consumed: &[(ShardAddress, u64, u64)]) -> CutValue {
    let mut voids = voids.to_vec();
    voids.sort();
    let source = |(source, count, epoch): &(ShardAddress, u64, u64)| SourceCount {
        source: *source,
        count: *count,
        epoch: Epoch(*epoch),
        header: Digest::ZERO,
    };
    CutValue {
        network: NETWORK,
        shard,
        epoch: Epoch(epoch),
        base: Digest::ZERO,
        bits: Bounded::default(),
        voids: Bounded::new(voids).unwrap(),
        settled: Bounded::default(),
        consumed: Bounded::new(consumed.iter().map(source).collect()).unwrap(),
        lamport: Lamport(epoch),
        dense: DenseTime::ZERO,
    }
}

/// A store in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Store(pub BTreeMap<(Column, Vec<u8>), Vec<u8>>);

impl Store {
    pub fn write(&mut self, writes: Vec<Write>) {
        for Write { column, key, value } in writes {
            match value {
                Some(value) => self.0.insert((column, key), value),
                None => self.0.remove(&(column, key)),
            };
        }
    }
}

impl Reader for Store {
    fn get(&self, column: Column, key: &[u8]) -> Option<Vec<u8>> {
        self.0.get(&(column, key.to_vec())).cloned()
    }

    fn range(&self, column: Column, prefix: &[u8], from: &[u8], limit: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
        let start = (column, from.max(prefix).to_vec());
        let entries = self.0.range(start..).take_while(|((c, key), _)| *c == column && key.starts_with(prefix));
        entries.take(limit).map(|((_, key), value)| (key.clone(), value.clone())).collect()
    }
}
