//! How many proofs one processor verifies a second: `cargo run --release -p smt-trie-proof --example verify_rate`.
//!
//! Prints figures per second of processor time (Linux), best of several rounds. The number of keys in the trie
//! (1 000 000) and of proofs (100 000: more than caches hold) may follow.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_precision_loss,
    reason = "a measurement that may fail"
)]

#[path = "../tests/reference/mod.rs"]
mod reference;

use std::hint::black_box;

use reference::{Reference, random_key};
use smt_trie_proof::{Hash, Key, KeyPath, NODE_BYTES, Proof, Root, Tail};
use smt_trie_proof::{finish, finish_many, hash_blocks, midstate, prove, verify_batch};

/// Nanoseconds this thread has been on a processor; counted in ticks of some milliseconds.
fn cpu_ns() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    stat.split(' ').next().unwrap().parse().unwrap()
}

/// Prints how many things a second `work`, which does `count` of them, does.
fn rate(name: &str, count: usize, mut work: impl FnMut()) {
    let round = || {
        let (start, mut rounds) = (cpu_ns(), 0.0);
        loop {
            work();
            rounds += 1.0;
            let spent = cpu_ns() - start;
            if spent > 300_000_000 {
                return rounds * count as f64 / spent as f64;
            }
        }
    };
    let best = std::iter::repeat_with(round).take(5).fold(0.0, f64::max);
    println!("{name:<42} {:>9.0} k per CPU-second", best * 1e6);
}

fn main() {
    let keys: u32 = std::env::args().nth(1).map_or(1_000_000, |count| count.parse().unwrap());
    let count = std::env::args().nth(2).map_or(100_000, |count| count.parse().unwrap());
    let blocks: Vec<[u8; NODE_BYTES]> = (0..=255).cycle().take(1024).map(|i| [i; NODE_BYTES]).collect();
    let tails: Vec<Tail> = (0..=255).cycle().take(1024).map(|i| ([i; 32], [i; 64])).collect();
    let mut hashes: Vec<Hash> = vec![[0; 32]; 1024];
    rate("hash_blocks (two compressions each)", 1024 * 100, || {
        (0..100).for_each(|_| hash_blocks(black_box(&blocks), &mut hashes))
    });
    rate("finish_many", 1024 * 100, || (0..100).for_each(|_| finish_many(black_box(&tails), &mut hashes)));
    rate("finish", 1024 * 100, || {
        (0..100).for_each(|_| hashes.iter_mut().zip(&tails).for_each(|(hash, (cv, half))| *hash = finish(cv, half)));
    });
    rate("midstate", 1024 * 100, || {
        (0..100).for_each(|_| tails.iter().for_each(|tail| _ = black_box(midstate(&tail.1))))
    });
    let sample: Vec<Key> = (0..count).map(|i| random_key(i * 7 % keys)).collect();
    rate("key path", sample.len(), || sample.iter().for_each(|key| _ = black_box(KeyPath::new(key))));

    let trie = Reference::new(0, (0..keys).map(|seed| (random_key(seed), (vec![7; 64], 5))));
    let root: Root = trie.root();
    let proofs: Vec<Proof> = sample.iter().map(|key| prove(&trie, key)).collect();
    let encoded: Vec<Vec<u8>> = proofs.iter().map(Proof::encode).collect();
    let bytes: usize = encoded.iter().map(Vec::len).sum();
    println!("{keys} keys, {} bytes a proof", bytes / sample.len());
    let asked: Vec<(&Root, &Key, &Proof)> =
        sample.iter().zip(&proofs).map(|(key, proof)| (&root, key, proof)).collect();
    rate("encode", sample.len(), || proofs.iter().for_each(|proof| _ = black_box(proof.encode())));
    rate("decode", sample.len(), || encoded.iter().for_each(|bytes| _ = black_box(Proof::decode(bytes).unwrap())));
    rate("verify", sample.len(), || {
        asked.iter().for_each(|(root, key, proof)| _ = black_box(proof.verify(root, key).unwrap()));
    });
    rate("verify_batch", sample.len(), || assert!(verify_batch(black_box(&asked)).iter().all(Result::is_ok)));
}
