//! What the tests share: a network of real ledgers whose cuts become headers with real signatures.
#![allow(missing_docs, unreachable_pub, dead_code, reason = "tests")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "tests")]

use smt_consensus::ports::{Column, Known, Ledger, Write};
use smt_ledger::{GenesisState, ShardLedger};
use smt_types::codec::{Bounded, Canonical};
use smt_types::credit::Credit;
use smt_types::crypto::{Field, JubSecretKey, SecretKey};
use smt_types::header::{CertifiedHeader, HeaderSignature};
use smt_types::report::SourceCount;
use smt_types::signer::Signer;
use smt_types::{
    Address, Amount, Committee, CutValue, DenseTime, Digest, Domain, Epoch, Genesis, Header, JubSignature, Lamport,
    NetworkId, Payment, ReplicaIndex, ReplicaKeys, Seq, ShardAddress, Signature, SignedPayment, hash,
};
use smt_zk::Origin;
use std::collections::BTreeMap;

pub const NETWORK: NetworkId = NetworkId(7);

/// Both keys of a replica.
pub struct Keys(SecretKey, JubSecretKey);

impl Keys {
    pub fn of(seed: [u8; 32]) -> Keys {
        Keys(SecretKey::from_seed(seed), JubSecretKey::from_seed(seed))
    }

    pub fn prove(&self) -> ReplicaKeys {
        ReplicaKeys::prove(&self.0, &self.1)
    }
}

impl Signer for Keys {
    fn sign(&self, digest: &Digest) -> Signature {
        self.0.sign(digest.as_bytes())
    }

    fn sign_jub(&self, message: &Field) -> JubSignature {
        self.1.sign(message)
    }
}

/// One shard: its ledger, what that has written, its committee's secrets, and one account with money.
pub struct Shard {
    pub ledger: ShardLedger,
    pub outbox: BTreeMap<Vec<u8>, Credit>,
    pub keys: Vec<Keys>,
    pub header: Header,
    owner: SecretKey,
    next_seq: u64,
}

pub struct Network {
    pub origin: Origin,
    pub shards: Vec<Shard>,
}

fn seed(shard: u32, replica: u8, purpose: u8) -> [u8; 32] {
    let mut seed = [purpose; 32];
    seed[..4].copy_from_slice(&shard.to_le_bytes());
    seed[4] = replica;
    seed
}

pub fn keys(shard: u32, replicas: u8, purpose: u8) -> Vec<Keys> {
    (0..replicas).map(|replica| Keys::of(seed(shard, replica, purpose))).collect()
}

/// The first key whose account lives in `shard`.
fn owner(shard: ShardAddress) -> SecretKey {
    let mut keys = (0..).map(|number| SecretKey::from_seed(seed(number, 0, 0xaa)));
    keys.find(|key| shard.contains(&key.public().address())).unwrap()
}

impl Network {
    /// `funds` base units in each shard.
    pub fn new(level: u8, replicas: u8, funds: u64) -> Network {
        let all = || ShardAddress::all(level);
        let mut accounts: Vec<_> = all().map(|shard| (owner(shard).public().address(), Amount(funds))).collect();
        accounts.sort();
        let committee =
            |shard: ShardAddress| keys(shard.index(), replicas, 1).iter().map(Keys::prove).collect::<Vec<_>>();
        let genesis = Genesis {
            network: NETWORK,
            development: true,
            level,
            epoch_ms: 1000,
            committees: Bounded::new(all().map(|shard| Bounded::new(committee(shard)).unwrap()).collect()).unwrap(),
            accounts: Bounded::new(accounts).unwrap(),
            faucets: Bounded::default(),
        };
        let committees = genesis.check().unwrap();
        let state = GenesisState::build(&genesis, &committees).unwrap();
        let vk_hash = Field::from_u64(0xabcdef);
        let origin = Origin::new(&genesis, &state, committees, vk_hash);
        assert_eq!(origin.hash(origin.committee_root().unwrap()), state.hash_with(&genesis, &vk_hash));
        let shards = all().zip(state.headers).map(|(shard, header)| Shard {
            ledger: ShardLedger::genesis(&genesis, shard).unwrap().0,
            outbox: BTreeMap::new(),
            keys: keys(shard.index(), replicas, 1),
            header,
            owner: owner(shard),
            next_seq: 0,
        });
        Network { origin, shards: shards.collect() }
    }

    pub fn headers(&self) -> Vec<Header> {
        self.shards.iter().map(|shard| shard.header.clone()).collect()
    }

    pub fn owner(&self, shard: usize) -> Address {
        self.shards[shard].owner.public().address()
    }

    fn payment(&mut self, payer: usize, payee: Address, amount: u64) -> SignedPayment {
        let shard = &mut self.shards[payer];
        let payment = Payment {
            network: NETWORK,
            payer: shard.owner.public(),
            seq: Seq(shard.next_seq),
            payee,
            amount: Amount(amount),
            memo: Bounded::default(),
            after: Lamport(0),
        };
        shard.next_seq += 1;
        payment.sign(&shard.owner)
    }

    /// The next epoch of `own`: payments (shard paid, amount) join it, and all credits in the outboxes of `sources`. The
    /// header with the signatures of the last q replicas.
    pub fn cut(&mut self, own: usize, payments: &[(usize, u64)], sources: &[usize]) -> CertifiedHeader {
        let payments: Vec<SignedPayment> = payments
            .iter()
            .map(|(payee, amount)| {
                let payee = self.owner(*payee);
                self.payment(own, payee, *amount)
            })
            .collect();
        let here = self.shards[own].header.shard;
        let (mut consumed, mut credits) = (Vec::new(), Vec::new());
        for source in sources {
            let source = &self.shards[*source];
            let mut prefix = vec![here.level()];
            prefix.extend(here.index().to_be_bytes());
            let rows = source.outbox.iter().filter(|(key, _)| key.starts_with(&prefix));
            let list: Vec<Credit> = rows.map(|(_, credit)| *credit).collect();
            let cursor = usize::try_from(self.shards[own].ledger.cursor(source.header.shard).count).unwrap();
            consumed.push(SourceCount {
                source: source.header.shard,
                count: u64::try_from(list.len()).unwrap(),
                epoch: source.header.epoch,
                header: source.header.digest(),
            });
            credits.push((source.header.shard, list[cursor..].to_vec()));
        }
        let shard = &mut self.shards[own];
        let last = shard.header.clone();
        let value = CutValue {
            network: NETWORK,
            shard: here,
            epoch: Epoch(last.epoch.0 + 1),
            base: Digest::ZERO,
            bits: Bounded::default(),
            voids: Bounded::default(),
            settled: Bounded::default(),
            consumed: Bounded::new(consumed).unwrap(),
            lamport: Lamport(last.lamport.0 + 11),
            dense: DenseTime {
                time_us: 1_770_000_000_000_000.max(last.dense.time_us) + u64::from(here.index()) + 5,
                shard: here.index(),
                replica: 1,
                counter: 40 - u32::try_from(last.epoch.0).unwrap(),
            },
        };
        let known: Vec<Known<'_>> = payments.iter().map(Known::from).collect();
        let mut writes = Vec::new();
        let snapshot = shard.ledger.decide(&value, &known, &credits, &mut writes).unwrap();
        for Write { column, key, value } in writes {
            if column == Column::Outbox {
                shard.outbox.insert(key, Credit::from_bytes(&value.unwrap(), 1000).unwrap());
            }
        }
        shard.header = Header {
            epoch: value.epoch,
            predecessor: last.digest(),
            state: snapshot.state,
            supply: snapshot.supply,
            vector: hash::hash_of(Domain::Vector, &(last.vector, value.digest())),
            lamport: value.lamport,
            dense: value.dense,
            levels: snapshot.levels,
            links: snapshot.changes.digest(),
            ..last
        };
        let committee = &self.origin.committees[own];
        let signatures = sign(&shard.header, committee, &shard.keys);
        CertifiedHeader {
            header: shard.header.clone(),
            changes: snapshot.changes,
            signatures: Bounded::new(signatures).unwrap(),
        }
    }
}

/// Signatures of the last q replicas.
pub fn sign(header: &Header, committee: &Committee, keys: &[Keys]) -> Vec<HeaderSignature> {
    let first = committee.size() - committee.quorum();
    let signers = keys.iter().enumerate().skip(first);
    signers.map(|(i, keys)| header.sign(ReplicaIndex(u8::try_from(i).unwrap()), keys)).collect()
}
