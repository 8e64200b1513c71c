//! BLAKE3 of 128 bytes, whole or from its middle, one at a time or many side by side.
//!
//! A node's preimage is one BLAKE3 chunk of two 64-byte blocks: two compressions. *Many whole* preimages go
//! to the `blake3` crate's own many-input code. *Many second halves*, each after another first half, it does
//! not offer (its lanes share one key), so [`finish_many`] is ours: BLAKE3's compression function written once,
//! over arrays of one word a lane, and compiled for AVX-512. On lesser processors, AVX2's included, what the compiler
//! makes of it is slower than `blake3`'s single compression, which then does the work.

#![allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "hashing kernel on fixed-size arrays; every index is a constant or bounded by a constant length"
)]

#[cfg(any(test, all(target_arch = "x86_64", feature = "std")))]
mod lanes;

use blake3::IncrementCounter;
use blake3::platform::Platform;

use crate::Hash;
use crate::node::{Block, NODE_BYTES};

/// Half of a node's preimage: what one compression takes.
pub type Half = [u8; NODE_BYTES / 2];

/// BLAKE3's chaining value between the halves of a preimage: eight u32, little-endian.
pub type Midstate = [u8; 32];

/// The second half of a preimage and what its first half has become.
pub type Tail = (Midstate, Half);
pub(crate) type TailRef<'a> = (&'a Midstate, &'a Half);

const HALF_BYTES: u8 = 64;
/// The initial chaining value, and BLAKE3's constants; those of SHA-256.
const IV: [u32; 8] =
    [0x6A09_E667, 0xBB67_AE85, 0x3C6E_F372, 0xA54F_F53A, 0x510E_527F, 0x9B05_688C, 0x1F83_D9AB, 0x5BE0_CD19];
const CHUNK_START: u8 = 1;
const CHUNK_END: u8 = 2;
const ROOT: u8 = 8;

/// How many references to blocks stand on the stack for one call.
pub(crate) const GROUP: usize = 64;

/// The hashes of many preimages, `hashes[i]` that of `blocks[i]`; what is longer on one side is left alone.
///
/// Cost: two compressions a block, up to sixteen blocks side by side.
pub fn hash_blocks(blocks: &[Block], hashes: &mut [Hash]) {
    hash_blocks_on(Platform::detect(), blocks, hashes);
}

fn hash_blocks_on(platform: Platform, blocks: &[Block], hashes: &mut [Hash]) {
    for (blocks, hashes) in blocks.chunks(GROUP).zip(hashes.chunks_mut(GROUP)) {
        let count = blocks.len().min(hashes.len());
        let mut refs = [&[0; NODE_BYTES]; GROUP];
        refs.iter_mut().zip(blocks).for_each(|(to, block)| *to = block);
        hash_refs(platform, &refs[..count], &mut hashes[..count]);
    }
}

/// [`hash_blocks`] of blocks that lie apart; as many hashes as blocks, at most [`GROUP`].
pub(crate) fn hash_group(blocks: &[&Block], hashes: &mut [Hash]) {
    hash_refs(Platform::detect(), blocks, hashes);
}

fn hash_refs(platform: Platform, blocks: &[&Block], hashes: &mut [Hash]) {
    let out = hashes.as_flattened_mut();
    platform.hash_many(blocks, &IV, 0, IncrementCounter::No, 0, CHUNK_START, CHUNK_END | ROOT, out);
}

/// The hash of one preimage, without the `blake3` crate's general entry. Cost: two compressions.
pub(crate) fn hash_block(block: &Block) -> Hash {
    let platform = Platform::detect();
    let (halves, _) = block.as_chunks();
    let mut state = IV;
    platform.compress_in_place(&mut state, &halves[0], HALF_BYTES, 0, CHUNK_START);
    platform.compress_in_place(&mut state, &halves[1], HALF_BYTES, 0, CHUNK_END | ROOT);
    to_bytes(&state)
}

/// What BLAKE3 has made of the first half of a preimage. Cost: one compression.
pub fn midstate(first: &Half) -> Midstate {
    let mut state = IV;
    Platform::detect().compress_in_place(&mut state, first, HALF_BYTES, 0, CHUNK_START);
    to_bytes(&state)
}

/// The hash of a preimage of which `midstate` stands for the first half. Cost: one compression.
pub fn finish(midstate: &Midstate, second: &Half) -> Hash {
    let mut state = [0; 8];
    for (word, bytes) in state.iter_mut().zip(midstate.as_chunks().0) {
        *word = u32::from_le_bytes(*bytes);
    }
    Platform::detect().compress_in_place(&mut state, second, HALF_BYTES, 0, CHUNK_END | ROOT);
    to_bytes(&state)
}

fn to_bytes(state: &[u32; 8]) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (bytes, word) in bytes.as_chunks_mut().0.iter_mut().zip(state) {
        *bytes = word.to_le_bytes();
    }
    bytes
}

/// [`finish`] of many preimages, `hashes[i]` that of `tails[i]`; what is longer on one side is left alone.
///
/// Cost: one compression each, with AVX-512 sixteen side by side.
pub fn finish_many(tails: &[Tail], hashes: &mut [Hash]) {
    for (tails, hashes) in tails.chunks(GROUP).zip(hashes.chunks_mut(GROUP)) {
        let count = tails.len().min(hashes.len());
        let mut refs = [(&[0; 32], &[0; 64]); GROUP];
        refs.iter_mut().zip(tails).for_each(|(to, (midstate, half))| *to = (midstate, half));
        finish_group(&refs[..count], &mut hashes[..count]);
    }
}

/// [`finish_many`] of halves that lie apart; as many hashes as halves.
#[allow(unsafe_code, reason = "a function compiled for more than the baseline may only run where that exists")]
pub(crate) fn finish_group(tails: &[TailRef<'_>], hashes: &mut [Hash]) {
    #[cfg(all(target_arch = "x86_64", feature = "std"))]
    if std::arch::is_x86_feature_detected!("avx512f") && std::arch::is_x86_feature_detected!("avx512vl") {
        // SAFETY: the processor has what the function is compiled for, as just seen.
        return unsafe { lanes::finish_avx512(tails, hashes) };
    }
    finish_each(tails, hashes);
}

/// [`finish_group`] where there is no AVX-512.
fn finish_each(tails: &[TailRef<'_>], hashes: &mut [Hash]) {
    hashes.iter_mut().zip(tails).for_each(|(hash, (midstate, half))| *hash = finish(midstate, half));
}

#[cfg(test)]
mod tests;
