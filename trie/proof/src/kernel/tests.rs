use super::lanes::{PERMUTATION, finish_lanes};
use super::*;
use alloc::vec;
use alloc::vec::Vec;

/// Deterministic bytes.
fn random(len: usize, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

fn blocks(count: usize, seed: u64) -> Vec<Block> {
    random(count * NODE_BYTES, seed).as_chunks().0.to_vec()
}

/// BLAKE3's compression function from its paper, one word at a time.
fn compress_by_the_paper(h: [u32; 8], block: &Half, flags: u8) -> [u32; 8] {
    let mut m: [u32; 16] = core::array::from_fn(|i| u32::from_le_bytes(block[4 * i..4 * i + 4].try_into().unwrap()));
    let mut v = [0; 16];
    v[..8].copy_from_slice(&h);
    v[8..12].copy_from_slice(&IV[..4]);
    v[14] = 64;
    v[15] = flags.into();
    for _ in 0..7 {
        let columns_and_diagonals = [
            [0, 4, 8, 12],
            [1, 5, 9, 13],
            [2, 6, 10, 14],
            [3, 7, 11, 15],
            [0, 5, 10, 15],
            [1, 6, 11, 12],
            [2, 7, 8, 13],
            [3, 4, 9, 14],
        ];
        for (i, [a, b, c, d]) in columns_and_diagonals.into_iter().enumerate() {
            for (word, first, second) in [(m[2 * i], 16, 12), (m[2 * i + 1], 8, 7)] {
                v[a] = v[a].wrapping_add(v[b]).wrapping_add(word);
                v[d] = (v[d] ^ v[a]).rotate_right(first);
                v[c] = v[c].wrapping_add(v[d]);
                v[b] = (v[b] ^ v[c]).rotate_right(second);
            }
        }
        m = PERMUTATION.map(|from| m[from]);
    }
    core::array::from_fn(|i| v[i] ^ v[i + 8])
}

fn halves(block: &Block) -> (Half, Half) {
    (block[..64].try_into().unwrap(), block[64..].try_into().unwrap())
}

fn refs(tails: &[Tail]) -> Vec<TailRef<'_>> {
    tails.iter().map(|(midstate, half)| (midstate, half)).collect()
}

#[test]
fn every_path_gives_blake3() {
    for count in [0, 1, 2, 7, 8, 15, 16, 17, 31, 63, 64, 65, 130] {
        let blocks = blocks(count, count as u64);
        let want: Vec<Hash> = blocks.iter().map(|block| *blake3::hash(block).as_bytes()).collect();

        let mut got = vec![[0; 32]; count];
        hash_blocks(&blocks, &mut got);
        assert_eq!(got, want, "{count} blocks");
        hash_blocks_on(Platform::portable(), &blocks, &mut got);
        assert_eq!(got, want, "{count} blocks, portable");

        let tails: Vec<Tail> = blocks.iter().map(halves).map(|(first, second)| (midstate(&first), second)).collect();
        got.fill([0; 32]);
        finish_many(&tails, &mut got);
        assert_eq!(got, want, "{count} second halves");
        for finish in [finish_group, finish_each, finish_lanes] {
            got.fill([0; 32]);
            finish(&refs(&tails), &mut got);
            assert_eq!(got, want, "{count} second halves");
        }
        for ((block, (midstate, second)), want) in blocks.iter().zip(&tails).zip(&want) {
            assert_eq!(hash_block(block), *want);
            assert_eq!(finish(midstate, second), *want);
            let paper = compress_by_the_paper(IV, &halves(block).0, CHUNK_START);
            assert_eq!(to_bytes(&paper), *midstate);
            assert_eq!(to_bytes(&compress_by_the_paper(paper, second, CHUNK_END | ROOT)), *want);
        }
    }
}

#[test]
fn outputs_and_inputs_of_different_number() {
    let blocks = blocks(70, 2);
    let mut hashes = [[1; 32]; 66];
    hash_blocks(&blocks[..65], &mut hashes);
    assert_eq!(hashes[64], *blake3::hash(&blocks[64]).as_bytes());
    assert_eq!(hashes[65], [1; 32]);
    hashes.fill([1; 32]);
    hash_blocks(&blocks, &mut hashes[..3]);
    assert_eq!(hashes[2], *blake3::hash(&blocks[2]).as_bytes());
    assert_eq!(hashes[3], [1; 32]);
    let tails: Vec<Tail> = blocks.iter().map(halves).map(|(first, second)| (midstate(&first), second)).collect();
    hashes.fill([1; 32]);
    finish_many(&tails[..17], &mut hashes);
    assert_eq!(hashes[16], finish(&tails[16].0, &tails[16].1));
    assert_eq!(hashes[17], [1; 32]);
}
