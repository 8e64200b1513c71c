//! What a batch of 1,024 payments costs beside its signatures: ids, leaves and root, encoding and decoding.
//!
//! `cargo bench -p smt-types --bench records`
#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark; criterion's macros")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use smt_types::batch::root;
use smt_types::crypto::SecretKey;
use smt_types::{
    Address, Amount, Batch, BatchHeader, BatchNumber, Bounded, Canonical, DenseTime, Digest, Lamport, NetworkId,
    Payment, ReplicaIndex, Seq, ShardAddress, SignedPayment,
};
use std::hint::black_box;

const COUNT: u16 = 1024;

fn batch() -> Batch {
    let gateway = SecretKey::from_seed([1; 32]);
    let payment = |i: u16| {
        let key = SecretKey::from_seed([u8::try_from(i % 251).unwrap(); 32]);
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
    let payments: Vec<SignedPayment> = (0..COUNT).map(payment).collect();
    let header = BatchHeader {
        network: NetworkId(1),
        shard: ShardAddress::all(0).next().unwrap(),
        committee: Digest([4; 32]),
        gateway: ReplicaIndex(0),
        number: BatchNumber(0),
        root: root(&payments.iter().map(SignedPayment::leaf).collect::<Vec<_>>()),
        count: COUNT,
        lamport: Lamport(5),
        dense: DenseTime::default(),
    };
    let signature = gateway.sign(&header.digest().0);
    Batch { header, signature, payments: Bounded::new(payments).unwrap() }
}

fn records(criterion: &mut Criterion) {
    let batch = batch();
    assert!(batch.is_consistent());
    let bytes = batch.to_bytes();
    assert_eq!(Batch::from_bytes(&bytes, bytes.len()).unwrap(), batch);
    let first = batch.payments.iter().next().unwrap().clone();

    criterion.bench_function("payment::id", |b| b.iter(|| black_box(&first).payment.id()));
    let mut group = criterion.benchmark_group(format!("batch::payments={COUNT} bytes={}", bytes.len()));
    group.throughput(Throughput::Elements(u64::from(COUNT))).sample_size(30);
    group.bench_function("leaves and root", |b| {
        b.iter(|| root(&batch.payments.iter().map(SignedPayment::leaf).collect::<Vec<_>>()));
    });
    group.bench_function("encode", |b| b.iter(|| batch.to_bytes()));
    group.bench_function("decode", |b| b.iter(|| Batch::from_bytes(black_box(&bytes), bytes.len()).unwrap()));
    group.finish();
}

criterion_group!(benches, records);
criterion_main!(benches);
