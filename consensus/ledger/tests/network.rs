//! A whole network of ledgers under random schedules, against a ledger that counts signed balances naively.
//!
//! Three replicas a shard. Owners sign payments in their own order, replicas apply them in orders and subsets of their
//! own, each cut joins the payments of two replicas, credits are delivered late, in parts and again. After every cut the
//! invariants are checked (numbers as in the list of the project): 2 confluence, 3 conservation with per-level sums,
//! 4 cursor ≤ outbox, 6 exactly-once credit, 14 non-negative joins, and that the store gives the same state back.
#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, clippy::indexing_slicing, reason = "tests")]

mod common;

use common::{Owner, Random, Store, genesis, owners, value};
use proptest::prelude::*;
use smt_consensus::ports::{Column, Known, Ledger, Reader};
use smt_ledger::ShardLedger;
use smt_types::clock::SierpinskiClock;
use smt_types::codec::Canonical;
use smt_types::credit::Credit;
use smt_types::{Address, Amount, Genesis, ShardAddress, SignedPayment, Slot};
use std::collections::{BTreeMap, BTreeSet};

const OWNERS: usize = 3;
const FUNDS: u64 = 100;

struct Shard {
    address: ShardAddress,
    replicas: Vec<ShardLedger>,
    stores: Vec<Store>,
    /// All payments of owners here, as certified, and what a cut holds of them.
    certified: BTreeMap<Slot, SignedPayment>,
    joined: BTreeSet<Slot>,
    /// Credits consumed: source → numbers, in order.
    credited: BTreeMap<ShardAddress, Vec<u64>>,
    naive: BTreeMap<Address, i128>,
}

#[derive(Default)]
struct Stats {
    joined: usize,
    credited: usize,
    replayed: usize,
    refused: usize,
    new_accounts: usize,
}

struct Network {
    level: u8,
    owners: Vec<Owner>,
    supply: u128,
    shards: Vec<Shard>,
    next_seq: BTreeMap<Address, u64>,
    random: Random,
    stats: Stats,
}

impl Network {
    fn new(level: u8, seed: u64) -> Network {
        let by_shard = owners(level, OWNERS);
        // The last owner of each shard starts with nothing, not even an account.
        let funded = by_shard.iter().flat_map(|own| &own[..OWNERS - 1]);
        let accounts: Vec<_> = funded.map(|owner| (owner.address, Amount(FUNDS))).collect();
        let genesis = genesis_of(level, &accounts);
        let shards = ShardAddress::all(level).map(|address| {
            let (ledger, snapshot) = ShardLedger::genesis(&genesis, address).unwrap();
            assert_eq!(snapshot.state, ledger.state_root());
            let mut store = Store::default();
            store.write(ledger.writes());
            Shard {
                address,
                replicas: vec![ledger; 3],
                stores: vec![store; 3],
                certified: BTreeMap::new(),
                joined: BTreeSet::new(),
                credited: BTreeMap::new(),
                naive: genesis.accounts_of(address).map(|(a, balance)| (a, i128::from(balance.0))).collect(),
            }
        });
        Network {
            level,
            supply: u128::from(genesis.supply().unwrap().0),
            shards: shards.collect(),
            owners: by_shard.into_iter().flatten().collect(),
            next_seq: BTreeMap::new(),
            random: Random::new(seed),
            stats: Stats::default(),
        }
    }

    fn step(&mut self) {
        match self.random.below(10) {
            0..=4 => self.pay(),
            5..=7 => self.apply(),
            _ => self.cut(),
        }
    }

    fn pay(&mut self) {
        let from = self.random.below(self.owners.len());
        let to = self.random.below(self.owners.len());
        if from == to {
            return;
        }
        let (payer, payee) = (&self.owners[from], self.owners[to].address);
        let seq = self.next_seq.entry(payer.address).or_default();
        let payment = payer.pay(*seq, payee, 1 + u64::try_from(self.random.below(60)).unwrap());
        *seq += 1;
        let home = index(payer.address.shard(self.level));
        self.shards[home].certified.insert(payment.payment.slot(), payment);
    }

    /// One replica applies some of the certified payments, in an order of its own.
    fn apply(&mut self) {
        let shard_index = self.random.below(self.shards.len());
        let shard = &mut self.shards[shard_index];
        let replica = &mut shard.replicas[self.random.below(3)];
        let mut payments: Vec<_> = shard.certified.values().collect();
        self.random.shuffle(&mut payments);
        for payment in payments.into_iter().filter(|_| self.random.below(4) > 0) {
            let before = replica.account(&payment.payment.slot().payer);
            if replica.apply(payment.into()).is_err() {
                self.stats.refused += 1;
                assert_eq!(replica.account(&payment.payment.slot().payer), before);
            }
        }
    }

    /// Credits of `source` to `own` that its newest cut has numbered, read from its store.
    fn outbox(&self, source: &Shard, own: ShardAddress) -> Vec<Credit> {
        let mut prefix = vec![own.level()];
        prefix.extend(own.index().to_be_bytes());
        let rows = source.stores[0].range(Column::Outbox, &prefix, &[], usize::MAX);
        for (number, (key, _)) in rows.iter().enumerate() {
            assert_eq!(key[5..], u64::try_from(number).unwrap().to_be_bytes());
        }
        rows.iter().map(|(_, bytes)| Credit::from_bytes(bytes, 1000).unwrap()).collect()
    }

    fn cut(&mut self) {
        let shard_index = self.random.below(self.shards.len());
        let own = self.shards[shard_index].address;
        let left_out = self.random.below(3);
        // The join of two reports.
        let reports = self.shards[shard_index].replicas.iter().enumerate().filter(|(i, _)| *i != left_out);
        let join: BTreeSet<Slot> = reports.flat_map(|(_, replica)| replica.ahead().map(|(slot, _)| slot)).collect();

        let (mut consumed, mut credits) = (Vec::new(), Vec::new());
        for source in 0..self.shards.len() {
            if source == shard_index || self.random.below(3) == 0 {
                continue;
            }
            let list = self.outbox(&self.shards[source], own);
            let cursor =
                usize::try_from(self.shards[shard_index].replicas[0].cursor(self.shards[source].address).count)
                    .unwrap();
            let replay = cursor > 0 && self.random.below(4) == 0;
            let (count, given) = if replay {
                // Credits consumed before, named and delivered again.
                self.stats.replayed += 1;
                (cursor, list[..cursor].to_vec())
            } else {
                // Some of what is there; what is given beyond the count agreed on does not count.
                (cursor + self.random.below(list.len() - cursor + 1), list[cursor..].to_vec())
            };
            let epoch = self.shards[source].replicas[0].epoch().0;
            consumed.push((self.shards[source].address, u64::try_from(count).unwrap(), epoch));
            credits.push((self.shards[source].address, given));
        }
        let epoch = self.shards[shard_index].replicas[0].epoch().0 + 1;
        let value = value(own, epoch, &[], &consumed);

        let shard = &mut self.shards[shard_index];
        let mut snapshots = Vec::new();
        for (replica, store) in shard.replicas.iter_mut().zip(&mut shard.stores) {
            // Any order, each at least once, some twice, and some of earlier cuts.
            let old = shard.joined.iter().filter(|_| self.random.below(2) == 0);
            let mut payments: Vec<_> = join.iter().chain(old).map(|slot| &shard.certified[slot]).collect();
            payments.extend(join.iter().filter(|_| self.random.below(3) == 0).map(|slot| &shard.certified[slot]));
            self.random.shuffle(&mut payments);
            let root = replica.state_root();
            let payments: Vec<Known<'_>> = payments.into_iter().map(Known::from).collect();
            assert_eq!(replica.check_cut(&value, &payments, &credits), Ok(()), "14: a join of reports is non-negative");
            assert_eq!(replica.state_root(), root);
            let mut writes = Vec::new();
            let mut snapshot = replica.decide(&value, &payments, &credits, &mut writes).unwrap();
            for joined in &mut snapshot.joined {
                let given = &payments[usize::try_from(joined.place).unwrap()];
                assert_eq!((given.slot, given.id), (joined.slot, joined.id), "it says which payment it means");
                // Each replica was given them in an order of its own.
                joined.place = 0;
            }
            snapshots.push(snapshot);
            assert_eq!(replica.displaced(), []);
            store.write(writes);
        }
        let snapshot = snapshots[0].clone();
        assert!(snapshots.iter().all(|other| *other == snapshot), "2: equal sets, equal roots");
        assert_eq!(shard.stores[0], shard.stores[1]);
        assert!(snapshot.changes.is_well_formed());

        // The naive ledger.
        let joined: BTreeSet<Slot> = snapshot.joined.iter().map(|joined| joined.slot).collect();
        assert_eq!(joined, join);
        assert!(snapshot.joined.is_sorted());
        for slot in &join {
            assert!(shard.joined.insert(*slot), "1: one payment a slot");
            let payment = &shard.certified[slot].payment;
            *shard.naive.entry(slot.payer).or_default() -= i128::from(payment.amount.0);
            if own.contains(&payment.payee) {
                *shard.naive.entry(payment.payee).or_default() += i128::from(payment.amount.0);
            }
        }
        for (source, number, credit) in &snapshot.credited {
            shard.credited.entry(*source).or_default().push(*number);
            self.stats.new_accounts += usize::from(!shard.naive.contains_key(&credit.payee));
            *shard.naive.entry(credit.payee).or_default() += i128::from(credit.amount.0);
        }
        for numbers in shard.credited.values() {
            assert!(numbers.iter().copied().eq(0..u64::try_from(numbers.len()).unwrap()), "6: exactly once, in order");
        }
        self.stats.joined += join.len();
        self.stats.credited += snapshot.credited.len();
        self.check(shard_index);
    }

    fn check(&self, shard_index: usize) {
        let shard = &self.shards[shard_index];
        for (replica, store) in shard.replicas.iter().zip(&shard.stores) {
            // The cut is the naive ledger's, live is that and what is ahead.
            let mut live = shard.naive.clone();
            for (slot, _) in replica.ahead() {
                let payment = &shard.certified[&slot].payment;
                *live.entry(slot.payer).or_default() -= i128::from(payment.amount.0);
                if shard.address.contains(&payment.payee) {
                    *live.entry(payment.payee).or_default() += i128::from(payment.amount.0);
                }
            }
            for owner in self.owners.iter().filter(|owner| shard.address.contains(&owner.address)) {
                let address = owner.address;
                let cut = replica.cut_account(&address).map(|account| i128::from(account.balance.0));
                assert_eq!(cut, shard.naive.get(&address).copied());
                let now = replica.account(&address).map(|account| i128::from(account.balance.0));
                assert_eq!(now, live.get(&address).copied());
                let joined = shard.joined.iter().filter(|slot| slot.payer == address).count();
                assert_eq!(replica.cut_seq(&address).0, u64::try_from(joined).unwrap());
                let ahead = replica.ahead().filter(|(slot, _)| slot.payer == address).count();
                let next = replica.account(&address).unwrap_or_default().next_seq;
                assert_eq!(next.0, u64::try_from(joined + ahead).unwrap());
            }
            let reopened = ShardLedger::open(shard.address, store).unwrap();
            assert_eq!(reopened.state_root(), replica.state_root());
            assert_eq!(reopened.levels(), replica.levels());
            assert_eq!(reopened.epoch(), replica.epoch());
            assert!(reopened.links().eq(replica.links()));
            assert_eq!(reopened.writes(), replica.writes());
        }
        self.check_conservation();
    }

    /// 3 and 4, over the newest cuts of all shards, and every per-level sum against the payments themselves.
    fn check_conservation(&self) {
        let mut total = 0u128;
        for shard in &self.shards {
            let ledger = &shard.replicas[0];
            total += u128::from(ledger.supply().0);
            let mut levels = SierpinskiClock::new(self.level);
            for slot in &shard.joined {
                let payment = &shard.certified[slot].payment;
                let home = payment.payee.shard(self.level);
                if home != shard.address {
                    levels.send(&shard.address, &home, u128::from(payment.amount.0)).unwrap();
                }
            }
            for peer in self.shards.iter().filter(|peer| peer.address != shard.address) {
                let (sent, received) = (ledger.outbox(peer.address), peer.replicas[0].cursor(shard.address));
                assert!(received.count <= sent.count && received.sum <= sent.sum, "4");
                total += sent.sum - received.sum;
                levels.receive(&shard.address, &peer.address, ledger.cursor(peer.address).sum, 0).unwrap();
            }
            for (got, want) in ledger.levels().levels.iter().flatten().zip(levels.levels.iter().flatten()) {
                assert_eq!((got.sent, got.received), (want.sent, want.received));
                assert!((got.epoch > 0) >= (got.received > 0));
            }
        }
        assert_eq!(total, self.supply, "3: conservation");
    }
}

fn genesis_of(level: u8, accounts: &[(Address, Amount)]) -> Genesis {
    let mut genesis = genesis(0, accounts.to_vec());
    // Ledgers do not read the committees; proving possession of 27 pairs of keys would take longer than the test.
    genesis.level = level;
    genesis
}

fn index(shard: ShardAddress) -> usize {
    usize::try_from(shard.index()).unwrap()
}

fn run(level: u8, seed: u64, steps: usize) -> Stats {
    let mut network = Network::new(level, seed);
    for _ in 0..steps {
        network.step();
    }
    network.stats
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn three_shards_keep_all_invariants(seed in any::<u64>(), steps in 1usize..250) {
        run(1, seed, steps);
    }
}

#[test]
fn three_shards_in_a_long_run_do_all_there_is() {
    let stats = run(1, 20_261_120, 1_200);
    let Stats { joined, credited, replayed, refused, new_accounts } = stats;
    for (what, count) in [("joined", joined), ("credited", credited), ("replayed", replayed), ("refused", refused)] {
        assert!(count > 20, "{what}: {count}");
    }
    assert!(new_accounts > 0);
}

#[test]
fn nine_shards_sum_up_by_level() {
    for seed in [1, 2, 3] {
        let stats = run(2, seed, 500);
        assert!(stats.joined > 30 && stats.credited > 10, "{} {}", stats.joined, stats.credited);
    }
}

#[test]
fn one_shard_alone_has_no_levels() {
    let stats = run(0, 5, 300);
    assert!(stats.joined > 10 && stats.credited == 0);
}
