//! The fuzz targets on valid encodings altered at random, the same in every run.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

mod fuzz_bodies;
mod reference;

use fuzz_bodies::{STEP, alter, cases};
use smt_trie_proof::prove;

/// Numbers from a seed (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    fn byte(&mut self) -> u8 {
        self.next() as u8
    }

    /// A step of [`alter`], with a number at some border as often as with any.
    fn step(&mut self) -> [u8; STEP] {
        let border = [0, 1, 2, 3, 0x7f, 0x80, 105, 106, 161, 162, 0xff][self.below(11)];
        let [what, low, high, any, ..] = self.next().to_le_bytes();
        [what, low, high, if self.below(2) == 0 { border } else { any }]
    }

    /// Up to `most` steps. None as well: an unaltered proof asked of another key is an attack too.
    fn steps(&mut self, most: usize) -> impl Iterator<Item = [u8; STEP]> {
        (0..self.below(most + 1)).map(|_| self.step())
    }
}

/// Runs `body` on an input for each of `count` seeds, printing the seed of what fails.
fn smoke(count: u64, body: fn(&[u8]), input: impl Fn(&mut Random) -> Vec<u8>) {
    for seed in 0..count {
        let bytes = input(&mut Random(seed));
        if let Err(panic) = std::panic::catch_unwind(|| body(&bytes)) {
            eprintln!("seed {seed}: {bytes:?}");
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn decode() {
    let encoded = |(trie, keys): &'static (_, Vec<_>)| keys.iter().map(move |key| prove(trie, key).encode());
    let valid: Vec<Vec<u8>> = cases().iter().flat_map(encoded).collect();
    valid.iter().for_each(|bytes| fuzz_bodies::decode(bytes));
    smoke(2_500_000, fuzz_bodies::decode, |random| {
        let mut bytes = valid[random.below(valid.len())].clone();
        let other = &valid[random.below(valid.len())];
        random.steps(3).for_each(|step| alter(&mut bytes, other, step));
        bytes
    });
}

/// A key is asked about with its own proof as often as with another's.
#[test]
fn verify() {
    smoke(1_500_000, fuzz_bodies::verify, |random| {
        let [which, key, other, same, ..] = random.next().to_le_bytes();
        let of = if same % 2 == 0 { key } else { other };
        [which, key, of, 1].into_iter().chain(random.steps(3).flatten()).collect()
    });
}

#[test]
fn multi() {
    smoke(150_000, fuzz_bodies::multi, |random| {
        let [which, low, high, of_low, of_high, same, ..] = random.next().to_le_bytes();
        let [of_low, of_high] = if same % 2 == 0 { [low, high] } else { [of_low, of_high] };
        [which, low, high, of_low, of_high, 1].into_iter().chain(random.steps(3).flatten()).collect()
    });
}

#[test]
fn chunk() {
    smoke(60_000, fuzz_bodies::chunk, |random| {
        let [which, entries_max, first, ..] = random.next().to_le_bytes();
        let mut bytes = vec![which, entries_max];
        match random.below(3) {
            0 => bytes.extend([1, first].into_iter().chain(random.steps(3).flatten())),
            1 => bytes.extend([2, 1].into_iter().chain(random.steps(2).flatten())),
            // Chunks of up to four cuts, from the first one on or not.
            _ => {
                bytes.push(3);
                bytes.extend((0..=random.below(4)).flat_map(|_| [random.byte() % 4, random.byte() & 0x83]));
            }
        }
        bytes
    });
}

#[test]
fn history() {
    smoke(300_000, fuzz_bodies::history, |random| {
        let [form, first, size, other, same, ..] = random.next().to_le_bytes();
        let entry = if same % 2 == 0 { first } else { other };
        [form | 1, first, size, entry].into_iter().chain(random.steps(2).flatten()).collect()
    });
}
