//! The definition in the header of `smt-trie-proof`, word for word and slow: trits by tripling, sets filtered.

#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::cast_possible_truncation, reason = "tests")]

use smt_trie::{Key, Leaf, Root};
use std::collections::BTreeMap;

/// What a trie is to hold.
pub(crate) type Model = BTreeMap<Key, Leaf>;

/// The path of a key.
pub(crate) fn trits(key: &Key) -> Vec<u8> {
    let mut rest = *key;
    let triple = |rest: &mut Key| {
        let mut carry = 0u16;
        for byte in rest.iter_mut().rev() {
            let tripled = u16::from(*byte) * 3 + carry;
            *byte = tripled as u8;
            carry = tripled >> 8;
        }
        carry as u8
    };
    (0..162).map(|_| triple(&mut rest)).collect()
}

/// The root of a trie of these keys.
pub(crate) fn root(model: &Model, root_depth: usize) -> Root {
    let entries: Vec<_> = model.iter().map(|(k, leaf)| (trits(k), *k, leaf)).collect();
    let (hash, sum) = slot(&entries.iter().collect::<Vec<_>>(), root_depth);
    Root { hash, sum }
}

fn slot(entries: &[&(Vec<u8>, Key, &Leaf)], depth: usize) -> ([u8; 32], u64) {
    let mut block = Vec::new();
    let sum: u64 = entries.iter().map(|(_, _, leaf)| leaf.sum).sum();
    match entries {
        [] => return ([0; 32], 0),
        [(_, key, leaf)] => {
            block.extend(key);
            if leaf.value.len() <= 64 {
                block.extend(&leaf.value);
            } else {
                let digest = blake3::keyed_hash(b"smt-trie leaf value BLAKE3 key 1", &leaf.value);
                block.extend(digest.as_bytes());
            }
            block.resize(96, 0);
            block.extend([2, depth as u8, 0]);
            block.extend(sum.to_le_bytes());
            block.extend((leaf.value.len() as u16).to_le_bytes());
        }
        [(first, ..), ..] => {
            let all = |at: usize| entries.iter().all(|(path, ..)| path[at] == first[at]);
            let common = (depth..).take_while(|&at| all(at)).count();
            let skip = common.min(105);
            for trit in 0..3 {
                let part: Vec<_> = entries.iter().copied().filter(|(path, ..)| path[depth + skip] == trit).collect();
                block.extend(slot(&part, depth + skip + 1).0);
            }
            block.extend([1, depth as u8, skip as u8]);
            block.extend(sum.to_le_bytes());
            for group in first[depth..depth + skip].chunks(5) {
                let digit = |i: usize| group.get(i).copied().unwrap_or(0);
                block.push((0..5).fold(0, |byte, i| byte * 3 + digit(i)));
            }
        }
    }
    block.resize(128, 0);
    (*blake3::hash(&block).as_bytes(), sum)
}
