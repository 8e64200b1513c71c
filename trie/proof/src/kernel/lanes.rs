//! BLAKE3's compression function on sixteen inputs side by side, each after a chaining value of its own.

use super::{CHUNK_END, HALF_BYTES, IV, ROOT, TailRef};
use crate::Hash;

/// Words side by side in a vector of AVX-512.
const LANES: usize = 16;

/// [`finish_lanes`] for processors with AVX-512.
#[cfg(all(target_arch = "x86_64", feature = "std"))]
#[target_feature(enable = "avx512f,avx512vl")]
pub(super) fn finish_avx512(tails: &[TailRef<'_>], hashes: &mut [Hash]) {
    finish_lanes(tails, hashes);
}

/// One word of each lane.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Word([u32; LANES]);

impl Word {
    const fn all(word: u32) -> Self {
        Self([word; LANES])
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self(core::array::from_fn(|lane| self.0[lane].wrapping_add(other.0[lane])))
    }

    /// Exclusive or, then a rotation to the right.
    #[inline(always)]
    fn mix(self, other: Self, bits: u32) -> Self {
        Self(core::array::from_fn(|lane| (self.0[lane] ^ other.0[lane]).rotate_right(bits)))
    }
}

/// [`super::finish_group`], sixteen at a time: fast where compiled for vectors of so many words.
#[inline(always)]
pub(super) fn finish_lanes(tails: &[TailRef<'_>], hashes: &mut [Hash]) {
    for (tails, hashes) in tails.chunks(LANES).zip(hashes.chunks_mut(LANES)) {
        let mut chaining = [Word::all(0); 8];
        let mut message = [Word::all(0); 16];
        for (lane, (midstate, half)) in tails.iter().enumerate() {
            for (word, bytes) in chaining.iter_mut().zip(midstate.as_chunks().0) {
                word.0[lane] = u32::from_le_bytes(*bytes);
            }
            for (word, bytes) in message.iter_mut().zip(half.as_chunks().0) {
                word.0[lane] = u32::from_le_bytes(*bytes);
            }
        }
        let words = compress(&chaining, &message);
        for (lane, hash) in hashes.iter_mut().enumerate().take(tails.len()) {
            for (bytes, word) in hash.as_chunks_mut().0.iter_mut().zip(&words) {
                *bytes = word.0[lane].to_le_bytes();
            }
        }
    }
}

/// Where round `i + 1` finds its message words, by round `i`'s.
pub(super) const PERMUTATION: [usize; 16] = [2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8];
/// Word indices of all rounds' message words.
const SCHEDULE: [[usize; 16]; 7] = {
    let mut schedule = [[0; 16]; 7];
    let mut word = 0;
    while word < 16 {
        schedule[0][word] = word;
        word += 1;
    }
    let mut round = 1;
    while round < 7 {
        let mut word = 0;
        while word < 16 {
            schedule[round][word] = schedule[round - 1][PERMUTATION[word]];
            word += 1;
        }
        round += 1;
    }
    schedule
};

/// BLAKE3's compression of a chunk's last block, which is the root's, section 2.2 of its paper.
#[inline(always)]
fn compress(h: &[Word; 8], m: &[Word; 16]) -> [Word; 8] {
    let mut v = [Word::all(0); 16];
    v[..8].copy_from_slice(h);
    for (word, iv) in v[8..12].iter_mut().zip(IV) {
        *word = Word::all(iv);
    }
    v[14] = Word::all(HALF_BYTES.into());
    v[15] = Word::all((CHUNK_END | ROOT).into());
    for s in &SCHEDULE {
        quarter(&mut v, [0, 4, 8, 12], &m[s[0]], &m[s[1]]);
        quarter(&mut v, [1, 5, 9, 13], &m[s[2]], &m[s[3]]);
        quarter(&mut v, [2, 6, 10, 14], &m[s[4]], &m[s[5]]);
        quarter(&mut v, [3, 7, 11, 15], &m[s[6]], &m[s[7]]);
        quarter(&mut v, [0, 5, 10, 15], &m[s[8]], &m[s[9]]);
        quarter(&mut v, [1, 6, 11, 12], &m[s[10]], &m[s[11]]);
        quarter(&mut v, [2, 7, 8, 13], &m[s[12]], &m[s[13]]);
        quarter(&mut v, [3, 4, 9, 14], &m[s[14]], &m[s[15]]);
    }
    core::array::from_fn(|i| v[i].mix(v[i + 8], 0))
}

/// The quarter-round G of BLAKE3's paper.
#[inline(always)]
fn quarter(v: &mut [Word; 16], [a, b, c, d]: [usize; 4], x: &Word, y: &Word) {
    v[a] = v[a].add(v[b]).add(*x);
    v[d] = v[d].mix(v[a], 16);
    v[c] = v[c].add(v[d]);
    v[b] = v[b].mix(v[c], 12);
    v[a] = v[a].add(v[b]).add(*y);
    v[d] = v[d].mix(v[a], 8);
    v[c] = v[c].add(v[d]);
    v[b] = v[b].mix(v[c], 7);
}
