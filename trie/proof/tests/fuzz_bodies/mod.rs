//! What the fuzz targets do with their bytes; `tests/fuzz_smoke.rs` does the same with seeded ones.
//!
//! The oracles are the reference trie and lists of entries, which share no code with what is fuzzed. Random bytes are
//! hardly ever an encoding, so all targets but `decode` take an input in one of two forms: [`encoding`].

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "test code, of which every user takes a part"
)]

use std::collections::BTreeSet;
use std::sync::OnceLock;

use smt_trie_proof::{
    Chunk, ChunkEntry, ChunkId, ConsistencyProof, Hash, HistoryLog, HistoryRoot, InclusionProof, Key, MultiProof,
    Nodes, Proof, Root, SnapshotIndex, chunks, import_snapshot, prove, prove_many, verify_batch,
};

use crate::reference::{self, Reference};

/// The tries of [`reference::cases`], with the keys to ask.
pub fn cases() -> &'static [(Reference, Vec<Key>)] {
    static CASES: OnceLock<Vec<(Reference, Vec<Key>)>> = OnceLock::new();
    CASES.get_or_init(reference::cases)
}

/// A case by any number.
fn case(which: u8) -> &'static (Reference, Vec<Key>) {
    pick(cases(), which)
}

/// An item by any number.
fn pick<T>(items: &[T], which: u8) -> &T {
    &items[usize::from(which) % items.len()]
}

/// A root that no trie has.
const NOTHINGS: Root = Root { hash: [1; 32], sum: 1 };

/// A root with a trie's hash and not its sum.
fn false_sum(root: Root) -> Root {
    Root { sum: root.sum ^ 1, ..root }
}

/// Bytes of one [`alter`] step.
pub const STEP: usize = 4;

/// One step of what fuzzers do to an input: what to do, where (two bytes), and a number to do it with.
pub fn alter(bytes: &mut Vec<u8>, other: &[u8], [what, low, high, number]: [u8; STEP]) {
    if bytes.is_empty() {
        return bytes.push(number);
    }
    let at = usize::from(u16::from_le_bytes([low, high])) % bytes.len();
    match what % 8 {
        0 => bytes[at] ^= 1 << (number % 8),
        1 => bytes[at] = number,
        2 => bytes[at] = bytes[at].wrapping_add(1),
        3 => bytes.truncate(at),
        4 => bytes.insert(at, number),
        5 => _ = bytes.remove(at),
        6 => bytes.splice(at.., other[other.len().min(at)..].iter().copied()).for_each(drop),
        _ => {
            let piece = bytes[at..bytes.len().min(at + 1 + usize::from(number % 64))].to_vec();
            bytes.splice(at..at, piece).for_each(drop);
        }
    }
}

/// The encoding an input stands for. In raw form it is the input; else the input is up to eight steps that alter a
/// valid encoding, into which they may paste from another one.
fn encoding(raw: bool, input: &[u8], valid: impl FnOnce() -> [Vec<u8>; 2]) -> Vec<u8> {
    if raw {
        return input.to_vec();
    }
    let [mut bytes, other] = valid();
    input.as_chunks().0.iter().take(8).for_each(|step| alter(&mut bytes, &other, *step));
    bytes
}

/// Any bytes: what decodes has this encoding, and shows nothing under a root that no trie has.
pub fn decode(bytes: &[u8]) {
    if let Ok(proof) = Proof::decode(bytes) {
        assert_eq!(proof.encode(), bytes);
        assert!(proof.verify(&NOTHINGS, &[0x5a; 32]).is_err());
    }
}

/// Bytes that choose a trie, a key to ask about, a key whose proof is altered, the form (even: raw), and the input: if
/// the proof shows something, then the truth.
pub fn verify(bytes: &[u8]) {
    let [which, key, of, form, input @ ..] = bytes else { return };
    let (trie, asked) = case(*which);
    let key = pick(asked, *key);
    let genuine = |of| prove(trie, pick(asked, of)).encode();
    let bytes = encoding(form % 2 == 0, input, || [genuine(*of), genuine(of.wrapping_add(1))]);
    let Ok(proof) = Proof::decode(&bytes) else { return };
    assert_eq!(proof.encode(), bytes);
    let root = trie.root();
    let verified = proof.verify(&root, key);
    assert_eq!(verify_batch(&[(&root, key, &proof)]).first(), Some(&verified));
    assert!(proof.verify(&false_sum(root), key).is_err());
    if let Ok(verified) = verified {
        let truth = trie.get(key).map(|(value, sum)| (value.as_slice(), *sum));
        assert_eq!(verified.value().zip(verified.sum()), truth);
        // A key has one proof, and the bytes are it.
        assert_eq!(bytes, prove(trie, key).encode());
    }
}

/// Bytes that choose a trie, keys to ask about (a bit each, two bytes), keys whose proof is altered (two bytes), the
/// form (even: raw), and the input: if the multi-proof shows something, then the truth.
pub fn multi(bytes: &[u8]) {
    let [which, low, high, of_low, of_high, form, input @ ..] = bytes else { return };
    let (trie, asked) = case(*which);
    let chosen = |bits: u16| -> Vec<Key> {
        let chosen = asked.iter().enumerate().filter(|(index, _)| bits >> (index % 16) & 1 == 1);
        chosen.map(|(_, key)| *key).collect()
    };
    let genuine = |bits| prove_many(trie, &chosen(bits)).map(|proof| proof.encode()).unwrap_or_default();
    let of = u16::from_le_bytes([*of_low, *of_high]);
    let bytes = encoding(form % 2 == 0, input, || [genuine(of), genuine(of.rotate_left(1))]);
    let Ok(proof) = MultiProof::decode(&bytes) else { return };
    assert_eq!(proof.encode(), bytes);
    let keys = chosen(u16::from_le_bytes([*low, *high]));
    assert!(proof.verify(&NOTHINGS, &keys).is_err());
    assert!(proof.verify(&false_sum(trie.root()), &keys).is_err());
    if let Ok(verified) = proof.verify(&trie.root(), &keys) {
        let distinct: BTreeSet<&Key> = keys.iter().collect();
        assert!(verified.iter().map(|entry| entry.key()).eq(distinct));
        for key in &keys {
            let shown = verified.get(key).unwrap();
            let truth = trie.get(key).map(|(value, sum)| (value.as_slice(), *sum));
            assert_eq!(shown.value().zip(shown.sum()), truth);
        }
        // Keys have one multi-proof, and the bytes are it.
        assert_eq!(bytes, prove_many(trie, &keys).unwrap().encode());
    }
}

/// Bytes that choose a trie, the size of its chunks, the form, and the input: a chunk (0), one altered (1), an index
/// (2) or a list of chunks to import (3). What passes is the complete truth.
pub fn chunk(bytes: &[u8]) {
    let [which, entries_max, form, input @ ..] = bytes else { return };
    let (trie, _) = case(*which);
    let cuts = pick(cuts(), *which);
    match form % 4 {
        2 => index(trie, input, pick(cuts, *entries_max)),
        3 => snapshot(trie, input, cuts),
        form => {
            let [of, input @ ..] = input else { return };
            let cut = pick(cuts, *entries_max);
            let genuine = |of| if cut.is_empty() { Vec::new() } else { pick(cut, of).clone() };
            one_chunk(trie, &encoding(form == 0, input, || [genuine(*of), genuine(of.wrapping_add(1))]));
        }
    }
}

/// Encoded chunks of a trie in key order.
type Cut = Vec<Vec<u8>>;

/// Of each case its cuts into chunks of 1 to 40 entries.
fn cuts() -> &'static [Vec<Cut>] {
    static CUTS: OnceLock<Vec<Vec<Cut>>> = OnceLock::new();
    CUTS.get_or_init(|| {
        let cut = |trie: &Reference, most| chunks(trie, most).map(|chunk| chunk.encode()).collect();
        cases().iter().map(|(trie, _)| (1..=40).map(|most| cut(trie, most)).collect()).collect()
    })
}

/// The entries of a trie that share the first `shared` trits with `key`.
fn entries_beside(trie: &Reference, key: &Key, shared: u8) -> Vec<ChunkEntry> {
    let prefix = |key: &Key| reference::trits(key)[..usize::from(shared)].to_vec();
    let beside = trie.leaves().iter().filter(|(other, _)| prefix(other) == prefix(key));
    beside.map(|(key, (value, sum))| ChunkEntry { key: *key, sum: *sum, value: value.clone() }).collect()
}

fn one_chunk(trie: &Reference, bytes: &[u8]) {
    let Ok(chunk) = Chunk::decode(bytes) else { return };
    assert_eq!(chunk.encode(), bytes);
    assert!(chunk.clone().verify(&NOTHINGS).is_err());
    assert!(chunk.clone().verify(&false_sum(trie.root())).is_err());
    let Ok(verified) = chunk.verify(&trie.root()) else { return };
    let entries = verified.entries();
    assert_eq!(entries, entries_beside(trie, &entries[0].key, verified.slot()));
    assert_eq!(verified.root_depth(), trie.root_depth());
    // A slot has one chunk, and the bytes are it. Of slots with the same entries, one below the other, cutting gives
    // the upper one.
    let slot = |bytes: &[u8]| Chunk::decode(bytes).unwrap().verify(&trie.root()).unwrap().slot();
    let mut cut = chunks(trie, entries.len()).filter(|chunk| chunk.entries() == entries).map(|chunk| chunk.encode());
    let genuine = cut.next().unwrap();
    assert!(genuine == bytes || slot(&genuine) < verified.slot());
}

/// An index, raw or, after an odd byte, the genuine one altered. It shows something only with the trie's chunks, of which
/// it is then the index.
fn index(trie: &Reference, input: &[u8], cut: &Cut) {
    let [form, input @ ..] = input else { return };
    let count = trie.leaves().len() as u64;
    let genuine = SnapshotIndex::new(trie.root(), count, cut.iter().map(|bytes| ChunkId::of(bytes)).collect()).unwrap();
    let bytes = encoding(form % 2 == 0, input, || [genuine.encode(), Vec::new()]);
    let Ok(index) = SnapshotIndex::decode(&bytes) else { return };
    assert_eq!(index.encode(), bytes);
    assert_eq!(import_snapshot(index.clone(), &trie.root(), cut).is_ok(), index == genuine);
}

/// Pairs of bytes, each of which chooses how the trie is cut and one chunk of that cut; the index names them in this
/// order. They come in another one.
fn snapshot(trie: &Reference, input: &[u8], cuts: &[Cut]) {
    let mut picked: Cut = Vec::new();
    for [most, number] in input.as_chunks().0.iter().take(64) {
        let all = pick(cuts, *most);
        // Bit 7: all from this chunk on, so that complete lists are not rare.
        let from = usize::from(number % 128) % all.len().max(1);
        let count = if number >> 7 == 1 { all.len() } else { 1 };
        picked.extend(all.iter().skip(from).take(count).cloned());
    }
    let entries = picked.iter().map(|bytes| Chunk::decode(bytes).unwrap().entries().len() as u64).sum();
    let ids = picked.iter().map(|bytes| ChunkId::of(bytes)).collect();
    let Ok(index) = SnapshotIndex::new(trie.root(), entries, ids) else { return };
    let all: Vec<ChunkEntry> =
        picked.iter().flat_map(|bytes| Chunk::decode(bytes).unwrap().entries().to_vec()).collect();
    picked.reverse();
    let truth = entries_beside(trie, &[0; 32], 0);
    match import_snapshot(index, &trie.root(), &picked) {
        Ok((verified, imported)) => {
            assert_eq!(imported, truth);
            assert_eq!((verified.root(), verified.entries()), (&trie.root(), entries));
        }
        // Cuts of a chain's lower slot alone are no cuts of the trie, and there are none here.
        Err(_) => {
            let in_order = all.is_sorted_by(|a, b| a.key < b.key);
            assert!(!in_order || all != truth, "all of the trie is refused");
        }
    }
}

/// Entries of the histories that are asked about.
const HISTORY: u64 = 70;

/// Two histories of [`HISTORY`] entries that part at entry 37, with their entries.
fn histories() -> &'static [(HistoryLog, Vec<Hash>); 2] {
    static HISTORIES: OnceLock<[(HistoryLog, Vec<Hash>); 2]> = OnceLock::new();
    HISTORIES.get_or_init(|| {
        [0, 1000].map(|fork| {
            let entry = |index: u64| blake3::hash(&(index + if index < 37 { 0 } else { fork }).to_le_bytes());
            let entries: Vec<Hash> = (0..HISTORY).map(|index| *entry(index).as_bytes()).collect();
            let mut log = HistoryLog::new();
            entries.iter().for_each(|entry| log.append(entry).unwrap());
            (log, entries)
        })
    })
}

/// Bytes that choose the form (bit 0: altered; bit 1: consistency; bits 2 and 3: histories of the older and the newer
/// root), an index or old size, a size, an entry, and the input: what passes is the truth.
pub fn history(bytes: &[u8]) {
    let [form, first, size, entry, input @ ..] = bytes else { return };
    let [first, size, entry] = [first, size, entry].map(|number| u64::from(*number) % (HISTORY + 1));
    let side = |bit: u8| &histories()[usize::from(form >> bit & 1)];
    let (raw, (log, entries)) = (form & 1 == 0, side(3));
    if form & 2 == 0 {
        let genuine = |index| InclusionProof::new(log, index, size).map(|proof| proof.encode()).unwrap_or_default();
        let bytes = encoding(raw, input, || [genuine(first), genuine(first + 1)]);
        let Ok(proof) = InclusionProof::decode(&bytes) else { return };
        assert_eq!(proof.encode(), bytes);
        let foreign = HistoryRoot { size: proof.size(), hash: [1; 32] };
        assert!(proof.verify(&foreign, proof.index(), &[0; 32]).is_err());
        let asked = side(2).1.get(entry as usize).copied().unwrap_or_default();
        if proof.verify(&log.root_at(size).unwrap(), first, &asked).is_ok() {
            assert_eq!(entries[..size as usize].get(first as usize), Some(&asked));
            assert_eq!(bytes, genuine(first));
        }
    } else {
        let genuine = |old| ConsistencyProof::new(log, old, size).map(|proof| proof.encode()).unwrap_or_default();
        let bytes = encoding(raw, input, || [genuine(first), genuine(first + 1)]);
        let Ok(proof) = ConsistencyProof::decode(&bytes) else { return };
        assert_eq!(proof.encode(), bytes);
        let foreign = |size, byte| HistoryRoot { size, hash: [byte; 32] };
        assert!(proof.verify(&foreign(proof.old_size(), 1), &foreign(proof.new_size(), 2)).is_err());
        let (older, old_entries) = side(2);
        if proof.verify(&older.root_at(first).unwrap(), &log.root_at(size).unwrap()).is_ok() {
            assert!(entries[..size as usize].starts_with(&old_entries[..first as usize]));
            assert_eq!(bytes, genuine(first));
        }
    }
}
