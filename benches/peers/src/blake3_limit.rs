//! How fast this machine can do BLAKE3 at best: the limit that compressions per update are held against.

use crate::measure::cpu;
use blake3::platform::{MAX_SIMD_DEGREE, Platform};
use blake3::{BLOCK_LEN, IncrementCounter, OUT_LEN};
use serde::Serialize;
use std::hint::black_box;
use std::time::Duration;

/// Compressions in one hash of a node.
pub(crate) const COMPRESSIONS_PER_NODE: f64 = (NODE_BYTES / BLOCK_LEN) as f64;

const NODE_BYTES: usize = 128;
/// Inputs a `hash_many` call gets, whatever the machine's degree: 16 fills the widest vectors there are.
const LANES: usize = 16;
const ROUNDS: usize = 15;
const ROUND: Duration = Duration::from_millis(20);

/// BLAKE3's initial chaining value and flags; the crate does not export them.
const IV: [u32; 8] =
    [0x6A09_E667, 0xBB67_AE85, 0x3C6E_F372, 0xA54F_F53A, 0x510E_527F, 0x9B05_688C, 0x1F83_D9AB, 0x5BE0_CD19];
const CHUNK_START: u8 = 1;
const CHUNK_END_AND_ROOT: u8 = 2 | 8;

/// Hashes of 128 bytes per CPU-second, one thread: the median of short rounds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Blake3Limit {
    /// Independent inputs, as many at a time as the vectors hold.
    pub(crate) many: f64,
    /// One input after the other.
    pub(crate) single: f64,
}

impl Blake3Limit {
    pub(crate) fn measure() -> Self {
        Self { many: many(), single: single() }
    }

    /// The better of two measurements, since other load on the machine only ever slows one down.
    pub(crate) fn max(self, other: Self) -> Self {
        Self { many: self.many.max(other.many), single: self.single.max(other.single) }
    }
}

/// Which instructions BLAKE3 uses here.
pub(crate) fn platform() -> String {
    format!("{:?}, {} lanes", Platform::detect(), Platform::detect().simd_degree())
}

fn many() -> f64 {
    const { assert!(LANES >= MAX_SIMD_DEGREE) };
    let platform = Platform::detect();
    let inputs: [[u8; NODE_BYTES]; LANES] = std::array::from_fn(|lane| [lane as u8; NODE_BYTES]);
    let mut output = [0; LANES * OUT_LEN];
    let mut hash = || {
        let inputs: [&[u8; NODE_BYTES]; LANES] = black_box(&inputs).each_ref();
        platform.hash_many(&inputs, &IV, 0, IncrementCounter::No, 0, CHUNK_START, CHUNK_END_AND_ROOT, &mut output);
        black_box(&output);
    };
    let rate = rate(LANES, &mut hash);
    let hashes = output.chunks_exact(OUT_LEN);
    let right = hashes.zip(&inputs).all(|(hash, input)| hash == blake3::hash(input).as_bytes());
    assert!(right, "hash_many disagrees with hash: its interface has changed");
    rate
}

fn single() -> f64 {
    let input = [7; NODE_BYTES];
    rate(1, &mut || {
        black_box(blake3::hash(black_box(&input)));
    })
}

/// Rate of something that does `operations` at a time.
fn rate(operations: usize, run: &mut impl FnMut()) -> f64 {
    let mut rates = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let (start, mut done) = (cpu(), 0);
        let spent = loop {
            for _ in 0..256 {
                run();
            }
            done += 256 * operations;
            let spent = cpu() - start;
            if spent >= ROUND {
                break spent;
            }
        };
        rates.push(done as f64 / spent.as_secs_f64());
    }
    rates.sort_unstable_by(f64::total_cmp);
    rates[ROUNDS / 2]
}
