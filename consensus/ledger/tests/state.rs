//! Genesis, account proofs and the store.
#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, clippy::indexing_slicing, reason = "tests")]

mod common;

use common::{Store, genesis, ledger, owners};
use smt_consensus::ports::{Column, Write};
use smt_ledger::{
    Account, AccountProof, AccountProofError, GenesisState, LedgerError, MAX_ACCOUNT_PROOF_BYTES, ShardLedger,
};
use smt_types::codec::{Bounded, Canonical};
use smt_types::crypto::Field;
use smt_types::hierarchy::global_root;
use smt_types::{Address, Amount, Epoch, Genesis, Header, Seq, ShardAddress};

fn network() -> (Genesis, Vec<Address>) {
    let addresses: Vec<_> = owners(1, 3).into_iter().flatten().map(|owner| owner.address).collect();
    let accounts = addresses.iter().zip(1..).map(|(address, n)| (*address, Amount(n * 100))).collect();
    (genesis(1, accounts), addresses)
}

#[test]
fn genesis_state_binds_every_part() {
    let (genesis, _) = network();
    let committees = genesis.check().unwrap();
    let state = GenesisState::build(&genesis, &committees).unwrap();
    assert_eq!(state.headers.len(), 3);
    for (header, committee) in state.headers.iter().zip(&committees) {
        let (ledger, snapshot) = ShardLedger::genesis(&genesis, committee.shard()).unwrap();
        assert_eq!((header.state, header.supply), (snapshot.state, snapshot.supply));
        assert_eq!((header.state, header.epoch), (ledger.state_root(), Epoch(0)));
        assert_eq!((header.shard, header.committee), (committee.shard(), committee.digest()));
        assert_eq!(header.levels.levels.len(), 1);
    }
    let in_shards: u64 = state.headers.iter().map(|header| header.supply.0).sum();
    assert_eq!(Amount(in_shards), state.supply);
    let leaves: Vec<Field> = state.headers.iter().map(Header::poseidon).collect();
    assert_eq!(global_root(1, &leaves), Some(state.global_root));
    assert_ne!(state.hash_with(&genesis, &Field::from_u64(1)), state.genesis_hash);

    // Another balance: another global root. Another committee: another committee root. Both: another hash.
    let mut richer = genesis.clone();
    let mut accounts = genesis.accounts.to_vec();
    accounts[0].1 = Amount(1);
    richer.accounts = Bounded::new(accounts).unwrap();
    let other = GenesisState::build(&richer, &committees).unwrap();
    assert_ne!(other.global_root, state.global_root);
    assert_eq!(other.committee_root, state.committee_root);
    assert_ne!(other.genesis_hash, state.genesis_hash);
    let mut swapped = genesis.clone();
    let mut keys = genesis.committees.to_vec();
    keys[1] = Bounded::new(keys[1].iter().rev().cloned().collect()).unwrap();
    swapped.committees = Bounded::new(keys).unwrap();
    let other = GenesisState::build(&swapped, &swapped.check().unwrap()).unwrap();
    assert_ne!(other.committee_root, state.committee_root);
    assert_ne!(other.genesis_hash, state.genesis_hash);
}

#[test]
fn genesis_with_committees_of_other_shards_is_refused() {
    let (genesis, _) = network();
    let mut committees = genesis.check().unwrap();
    committees.swap(1, 2);
    let wrong = |place, index| (place, ShardAddress::new(1, index).unwrap());
    let fault = |result| match result {
        Err(LedgerError::Committee { place, want }) => (place, want),
        other => panic!("{other:?}"),
    };
    assert_eq!(fault(GenesisState::build(&genesis, &committees)), wrong(1, 1));
    assert_eq!(fault(GenesisState::build(&genesis, &committees[..1])), wrong(1, 1));
    let mut deep = genesis.clone();
    deep.level = 2;
    assert!(matches!(GenesisState::build(&deep, &committees), Err(LedgerError::Genesis(_))));
}

/// The shards' account roots are the children of the root of one trie over all accounts.
#[test]
fn shard_tries_are_cut_from_one() {
    let (genesis, addresses) = network();
    let leaves = genesis.accounts.iter().map(|(address, balance)| {
        let account = Account { balance: *balance, next_seq: Seq(0) };
        (address.0, smt_trie::Leaf { value: account.to_bytes(), sum: balance.0 })
    });
    let whole = smt_trie::Trie::build(smt_trie::Settings::default(), leaves).unwrap();
    let root = whole.open_sums(&addresses[0].0).remove(0);
    for (child, shard) in root.node.chunks(32).zip(ShardAddress::all(1)) {
        let (ledger, _) = ShardLedger::genesis(&genesis, shard).unwrap();
        assert_eq!(child, ledger.parts().accounts.as_bytes());
    }
}

#[test]
fn account_proof_shows_the_account_and_nothing_else_passes() {
    let (genesis, addresses) = network();
    let headers = GenesisState::build(&genesis, &genesis.check().unwrap()).unwrap().headers;
    let shard = addresses[0].shard(1);
    let header = headers.iter().find(|header| header.shard == shard).unwrap();
    let (ledger, _) = ShardLedger::genesis(&genesis, shard).unwrap();
    let proof = ledger.account_proof(&addresses[0]);
    let shown = proof.verify(header, &addresses[0]).unwrap();
    assert_eq!(shown.account(), ledger.cut_account(&addresses[0]));
    assert_eq!((shown.address(), shown.account().unwrap().balance), (addresses[0], Amount(100)));
    let bytes = proof.to_bytes();
    assert_eq!(AccountProof::from_bytes(&bytes, MAX_ACCOUNT_PROOF_BYTES).unwrap(), proof);

    for at in 0..bytes.len() {
        for flip in [1, 0x80] {
            let mut altered = bytes.clone();
            altered[at] ^= flip;
            let accepted = AccountProof::from_bytes(&altered, MAX_ACCOUNT_PROOF_BYTES)
                .is_ok_and(|proof| proof.verify(header, &addresses[0]).is_ok());
            assert!(!accepted, "byte {at} may be {}", altered[at]);
        }
    }
    // For another account of the shard it proves nothing; for one elsewhere the shard is the wrong one to ask.
    assert!(matches!(proof.verify(header, &addresses[1]), Err(AccountProofError::Trie(_))));
    let foreign = addresses.iter().find(|address| !shard.contains(address)).unwrap();
    let of_foreign = ledger.account_proof(foreign);
    assert!(matches!(of_foreign.verify(header, foreign), Err(AccountProofError::Shard(_))));
    // Headers with another supply or state.
    let supply = Header { supply: Amount(1), ..header.clone() };
    assert!(matches!(proof.verify(&supply, &addresses[0]), Err(AccountProofError::Supply { .. })));
    let state = Header { state: header.predecessor, ..header.clone() };
    assert!(matches!(proof.verify(&state, &addresses[0]), Err(AccountProofError::State { .. })));
}

#[test]
fn absence_is_shown_in_full_and_in_empty_shards() {
    let level = 1;
    let by_shard = owners(level, 3);
    let shard = ShardAddress::new(level, 0).unwrap();
    let never_paid = by_shard[0][2].address;
    let balances: Vec<_> = by_shard[0][..2].iter().map(|owner| (owner.address, 5)).collect();
    for ledger in [ledger(shard, &balances), ledger(shard, &[])] {
        let (genesis, _) = network();
        let mut header = GenesisState::build(&genesis, &genesis.check().unwrap()).unwrap().headers.remove(0);
        (header.state, header.supply) = (ledger.state_root(), ledger.supply());
        let shown = ledger.account_proof(&never_paid).verify(&header, &never_paid).unwrap();
        assert_eq!(shown.account(), None);
    }
}

#[test]
fn damaged_stores_are_refused() {
    let shard = ShardAddress::new(1, 0).unwrap();
    let own = owners(1, 2);
    let ledger = ledger(shard, &[(own[0][0].address, 5), (own[0][1].address, 6)]);
    let mut store = Store::default();
    assert!(matches!(ShardLedger::open(shard, &store), Err(LedgerError::Empty)));
    store.write(ledger.writes());
    assert_eq!(ShardLedger::open(shard, &store).unwrap().state_root(), ledger.state_root());
    let other = ShardAddress::new(1, 1).unwrap();
    assert!(matches!(ShardLedger::open(other, &store), Err(LedgerError::Shard { .. })));

    let damaged = |column, key: Vec<u8>, value: Vec<u8>| {
        let mut store = store.clone();
        store.write(vec![Write { column, key, value: Some(value) }]);
        ShardLedger::open(shard, &store).unwrap_err()
    };
    let account = Account { balance: Amount(1), next_seq: Seq(0) };
    let page = |accounts: &[(Address, Account)]| accounts.to_vec().to_bytes();
    let (first, second) = (own[0][0].address.min(own[0][1].address), own[0][0].address.max(own[0][1].address));
    let pages = LedgerError::Record { kind: "account page", source: None }.to_string();
    for (key, value) in [
        (vec![0, 0, 0], page(&[(first, account)])),
        (vec![0, 0, 0, 1], page(&[(first, account)])),
        (vec![0, 0, 0, 0], page(&[(second, account), (first, account)])),
        (vec![0, 0, 0, 0], page(&[(first, account), (first, account)])),
        (vec![0, 0, 0, 0], [page(&[(first, account)]), vec![0]].concat()),
        (vec![0, 0, 0, 0], page(&vec![(first, account); 1025])),
    ] {
        let error = damaged(Column::Account, key, value).to_string();
        assert!(error.starts_with(pages.split(':').next().unwrap()), "{error}");
    }
    let elsewhere = page(&[(own[1][0].address, account)]);
    assert!(matches!(damaged(Column::Account, vec![0; 4], elsewhere), LedgerError::Accounts { .. }));
    // Changes of epoch 0 are in the base, those of epoch 1 are not decided, and none are counted.
    for epoch in [0u64, 1] {
        let key = epoch.to_be_bytes().to_vec();
        let error = damaged(Column::AccountDelta, key, page(&[(first, account)]));
        assert!(matches!(error, LedgerError::Record { kind: "account changes", .. }), "{error}");
    }
    for key in [vec![1, 0, 0, 0], vec![1, 0, 0, 0, 9], vec![1, 0, 0, 0, 0], vec![2, 0, 0, 0, 1]] {
        assert!(matches!(damaged(Column::Link, key, vec![0; 112]), LedgerError::Record { kind: "link", .. }));
    }
    assert!(matches!(
        damaged(Column::LedgerMeta, b"cut".to_vec(), vec![0; 9]),
        LedgerError::Record { kind: "meta", .. }
    ));
}

/// More accounts than one page of the store, and a root that does not depend on how they came in.
#[test]
fn opening_reads_page_by_page() {
    let shard = ShardAddress::ROOT;
    let address = |n: u32| {
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&n.wrapping_mul(0x9E37_79B9).to_be_bytes());
        bytes[4..8].copy_from_slice(&n.to_be_bytes());
        Address(bytes)
    };
    let balances: Vec<_> = (0..9_000).map(|n| (address(n), u64::from(n))).collect();
    let ledger = ledger(shard, &balances);
    let mut store = Store::default();
    store.write(ledger.writes());
    let reopened = ShardLedger::open(shard, &store).unwrap();
    assert_eq!(reopened.account_count(), 9_000);
    assert_eq!(reopened.state_root(), ledger.state_root());
}
