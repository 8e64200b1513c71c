//! Signature checks: one, and batches beside the library's.
//!
//! `cargo bench -p smt-types --bench signatures`. Every key signs once, the worst case of a batch. The first line names the
//! build and what the processor has.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs, reason = "a benchmark; criterion's macros")]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use smt_types::crypto::{KeyCache, SecretKey, cpu, verify_batch, verify_batch_cached};
use smt_types::{Digest, PublicKey, Signature};
use std::hint::black_box;

type Item = (PublicKey, Digest, Signature);

fn signed(count: u16) -> Vec<Item> {
    let sign = |i: u16| {
        let mut seed = [7; 32];
        seed[..2].copy_from_slice(&i.to_le_bytes());
        let (key, digest) = (SecretKey::from_seed(seed), Digest(*blake3::hash(&seed).as_bytes()));
        (key.public(), digest, key.sign(&digest.0))
    };
    (0..count).map(sign).collect()
}

fn zebra(items: &[Item]) -> bool {
    let mut verifier = ed25519_zebra::batch::Verifier::new();
    for (key, digest, signature) in items {
        let key = ed25519_zebra::VerificationKeyBytes::from(*key.as_bytes());
        verifier.queue((key, ed25519_zebra::Signature::from_bytes(&signature.0), &digest.0));
    }
    verifier.verify(ChaCha20Rng::from_seed([1; 32])).is_ok()
}

fn one(criterion: &mut Criterion) {
    println!("build: {}; batches: {}", cpu::build(), cpu::signatures());
    let items = signed(1);
    let (key, digest, signature) = items[0];
    let cache = KeyCache::new(64);
    assert!(key.verify(&digest.0, &signature) && key.verify_cached(&digest.0, &signature, &cache));
    let mut group = criterion.benchmark_group("ed25519::one");
    group.bench_function("verify", |b| b.iter(|| key.verify(&digest.0, black_box(&signature))));
    group.bench_function("verify, key known", |b| {
        b.iter(|| key.verify_cached(&digest.0, black_box(&signature), &cache))
    });
    let secret = SecretKey::from_seed([7; 32]);
    group.bench_function("sign", |b| b.iter(|| secret.sign(black_box(&digest.0))));
    group.bench_function("small-order check", |b| b.iter(|| PublicKey::from_bytes(black_box(*key.as_bytes()))));
    group.finish();
}

fn batches(criterion: &mut Criterion) {
    let all = signed(1024);
    let mut group = criterion.benchmark_group("ed25519::batch");
    group.sample_size(20);
    for count in [2, 4, 8, 16, 128, 1024] {
        let items = &all[..count];
        let cache = KeyCache::new(16_384);
        assert!(verify_batch(items) && verify_batch_cached(items, &cache) && zebra(items));
        group.throughput(Throughput::Elements(count as u64));
        group.bench_with_input(BenchmarkId::new("ours", count), items, |b, items| b.iter(|| verify_batch(items)));
        group.bench_with_input(BenchmarkId::new("ours, keys known", count), items, |b, items| {
            b.iter(|| verify_batch_cached(items, &cache));
        });
        group.bench_with_input(BenchmarkId::new("ed25519-zebra", count), items, |b, items| b.iter(|| zebra(items)));
    }
    group.finish();
}

criterion_group!(benches, one, batches);
criterion_main!(benches);
