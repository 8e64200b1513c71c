//! The stages of a replica that a batch of 1,024 payments passes beside signatures: read from JSON, Merkle root and paths, commit.
//!
//! `cargo bench -p smt-bench --bench stages`. Signatures and the encoding of records are measured where they live, in `consensus/types`; the
//! trie by `scripts/bench trie`. Commits go to the temporary directory's file system: set `TMPDIR` to the one that counts.
#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark; criterion's macros")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use serde::Deserialize;
use smt_node::rpc::{convert, schema};
use smt_node::store::{Column, Durability, Store, StoreContext, WriteSet};
use smt_types::batch::{BatchPath, root};
use smt_types::crypto::SecretKey;
use smt_types::{Address, Amount, Bounded, Canonical, Digest, Lamport, NetworkId, Payment, Seq, SignedPayment};
use std::hint::black_box;

const COUNT: u16 = 1024;

fn payments() -> Vec<SignedPayment> {
    let payment = |i: u16| {
        let key = SecretKey::from_seed(*blake3::hash(&i.to_le_bytes()).as_bytes());
        let payment = Payment {
            network: NetworkId(1),
            payer: key.public(),
            seq: Seq(u64::from(i)),
            payee: Address([2; 32]),
            amount: Amount(u64::from(i)),
            memo: Bounded::default(),
            after: Lamport(3),
        };
        payment.sign(&key)
    };
    (0..COUNT).map(payment).collect()
}

/// What the server does with a call's bytes before anything is checked: JSON, hex, canonical decoding.
fn read_from_json(criterion: &mut Criterion) {
    #[derive(Deserialize)]
    struct Call {
        params: schema::SubmitTransactions,
    }
    let hex: Vec<String> = payments().iter().map(|payment| hex::encode(payment.to_bytes())).collect();
    let params = serde_json::json!({ "payments": hex, "wait": "received", "timeout_ms": 5000 });
    let call = serde_json::json!({ "jsonrpc": "2.0", "id": 1, "method": "smt_submitTransactions", "params": params });
    let body = serde_json::to_vec(&call).unwrap();
    let read = |body: &[u8]| -> Vec<SignedPayment> {
        let call: Call = serde_json::from_slice(body).unwrap();
        call.params.payments.iter().map(|bytes| convert::signed_payment(bytes).unwrap()).collect()
    };
    assert_eq!(read(&body), payments());
    let mut group = criterion.benchmark_group("json to payments");
    group.throughput(Throughput::Elements(u64::from(COUNT)));
    group.bench_function("1024", |bencher| bencher.iter(|| read(black_box(&body))));
    group.finish();
}

/// The tree over a batch: its root, the path of a receipt, and the check of one.
fn merkle(criterion: &mut Criterion) {
    let payments = payments();
    let leaves: Vec<Digest> = payments.iter().map(SignedPayment::leaf).collect();
    let (whole, path, leaf) = (root(&leaves), BatchPath::of(&leaves, 700).unwrap(), *leaves.get(700).unwrap());
    assert_eq!(path.root(leaf, COUNT), Some(whole));
    let mut group = criterion.benchmark_group("merkle");
    group.bench_function("leaves/1024", |bencher| {
        bencher.iter(|| black_box(&payments).iter().map(SignedPayment::leaf).collect::<Vec<_>>());
    });
    group.bench_function("root/1024", |bencher| bencher.iter(|| root(black_box(&leaves))));
    group.bench_function("path/1024", |bencher| bencher.iter(|| BatchPath::of(black_box(&leaves), 700)));
    group.bench_function("path check/1024", |bencher| bencher.iter(|| black_box(&path).root(leaf, COUNT)));
    group.finish();
}

/// One commit of a batch's record, in the log and on the disk.
fn commit(criterion: &mut Criterion) {
    let directory = tempfile::tempdir().unwrap();
    let context = StoreContext::new(64 << 20, 16 << 20);
    let store = Store::open(directory.path(), &context, b"bench").unwrap();
    let record: Vec<u8> = payments().iter().flat_map(Canonical::to_bytes).collect();
    let mut number = 0_u64;
    let mut set = || {
        number = number.wrapping_add(1);
        let mut set = WriteSet::new();
        set.put(Column::Batch, blake3::hash(&number.to_le_bytes()).as_bytes(), record.clone());
        set.put(Column::Number, &number.to_be_bytes(), [7; 32]);
        set
    };
    let mut group = criterion.benchmark_group("commit of a batch");
    group.throughput(Throughput::Bytes(record.len() as u64));
    group.sample_size(20);
    for (name, durability) in [("buffered", Durability::Buffered), ("synced", Durability::Synced)] {
        group.bench_function(name, |bencher| bencher.iter(|| store.commit(set(), durability).unwrap()));
    }
    group.finish();
}

criterion_group!(benches, read_from_json, merkle, commit);
criterion_main!(benches);
