//! The history accumulator against the definition in RFC 6962 / RFC 9162, and every alteration refused.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "a test may panic"
)]

use borsh::BorshDeserialize;
use smt_trie_proof::{
    ConsistencyProof, HISTORY_LEAF_KEY, HISTORY_NODE_KEY, HISTORY_PROOF_BYTES_MAX, HISTORY_SIZE_MAX, Hash, History,
    HistoryDecodeError, HistoryError, HistoryFull, HistoryLog, HistoryNodes, HistoryRoot, InclusionProof, MissingNode,
};

/// Sizes checked exhaustively: past a power of two with its neighbours.
const SIZES: usize = 70;

/// The text's definitions, entry slices and recursion, sharing no code with the crate.
mod definition {
    use super::*;

    fn keyed(key: &[u8; 32], bytes: &[u8]) -> Hash {
        *blake3::keyed_hash(key, bytes).as_bytes()
    }

    /// The largest power of two below `n`, at least 2.
    fn split(n: usize) -> usize {
        let mut k = 1;
        while 2 * k < n {
            k *= 2;
        }
        k
    }

    pub(crate) fn tree(entries: &[Hash]) -> Hash {
        match entries {
            [] => [0; 32],
            [entry] => keyed(HISTORY_LEAF_KEY, entry),
            _ => {
                let (left, right) = entries.split_at(split(entries.len()));
                keyed(HISTORY_NODE_KEY, &[tree(left), tree(right)].concat())
            }
        }
    }

    pub(crate) fn root(entries: &[Hash]) -> HistoryRoot {
        HistoryRoot { size: entries.len() as u64, hash: tree(entries) }
    }

    pub(crate) fn path(m: usize, entries: &[Hash]) -> Vec<Hash> {
        if entries.len() == 1 {
            return Vec::new();
        }
        let k = split(entries.len());
        let (left, right) = entries.split_at(k);
        let (mut hashes, sibling) = if m < k { (path(m, left), right) } else { (path(m - k, right), left) };
        hashes.push(tree(sibling));
        hashes
    }

    pub(crate) fn subproof(m: usize, entries: &[Hash], whole: bool) -> Vec<Hash> {
        if m == entries.len() {
            return if whole { Vec::new() } else { vec![tree(entries)] };
        }
        let k = split(entries.len());
        let (left, right) = entries.split_at(k);
        let (mut hashes, sibling) =
            if m <= k { (subproof(m, left, whole), right) } else { (subproof(m - k, right, false), left) };
        hashes.push(tree(sibling));
        hashes
    }

    pub(crate) fn encoding(first: usize, size: usize, hashes: &[Hash]) -> Vec<u8> {
        let mut bytes = [first as u64, size as u64].map(u64::to_le_bytes).concat();
        bytes.extend(hashes.iter().flatten());
        bytes
    }
}

fn entry(index: usize) -> Hash {
    *blake3::hash(&(index as u64).to_le_bytes()).as_bytes()
}

fn entries(size: usize) -> Vec<Hash> {
    (0..size).map(entry).collect()
}

fn log(size: usize) -> HistoryLog {
    let mut log = HistoryLog::new();
    entries(size).iter().for_each(|entry| log.append(entry).unwrap());
    log
}

#[test]
fn roots_are_the_definition() {
    let mut history = History::new();
    let mut log = HistoryLog::new();
    let all = entries(SIZES);
    assert_eq!(history.root(), HistoryRoot::EMPTY);
    for size in 0..SIZES {
        assert_eq!(history.root(), definition::root(&all[..size]), "{size} entries");
        assert_eq!(log.root(), history.root());
        assert_eq!(log.history(), &history);
        history.append(&all[size]).unwrap();
        log.append(&all[size]).unwrap();
    }
    for size in 0..=SIZES {
        assert_eq!(log.root_at(size as u64), Some(definition::root(&all[..size])), "{size} entries of {SIZES}");
    }
    assert_eq!(log.root_at(SIZES as u64 + 1), None);
}

#[test]
fn inclusion_proofs_are_the_definition_and_verify() {
    let all = entries(SIZES);
    let log = log(SIZES);
    for size in 1..=SIZES {
        let root = definition::root(&all[..size]);
        for index in 0..size {
            let proof = InclusionProof::new(&log, index as u64, size as u64).unwrap();
            let bytes = proof.encode();
            assert_eq!(bytes, definition::encoding(index, size, &definition::path(index, &all[..size])));
            let decoded = InclusionProof::decode(&bytes).unwrap();
            assert_eq!(decoded, proof);
            let verified = decoded.verify(&root, index as u64, &all[index]).unwrap();
            assert_eq!((verified.index(), verified.entry()), (index as u64, &all[index]));
        }
    }
}

#[test]
fn consistency_proofs_are_the_definition_and_verify() {
    let all = entries(SIZES);
    let log = log(SIZES);
    for new in 0..=SIZES {
        let new_root = definition::root(&all[..new]);
        for old in 0..=new {
            let old_root = definition::root(&all[..old]);
            let proof = ConsistencyProof::new(&log, old as u64, new as u64).unwrap();
            let hashes = if old == 0 { Vec::new() } else { definition::subproof(old, &all[..new], true) };
            assert_eq!(proof.encode(), definition::encoding(old, new, &hashes), "{old} of {new}");
            let decoded = ConsistencyProof::decode(&proof.encode()).unwrap();
            let verified = decoded.verify(&old_root, &new_root).unwrap();
            assert_eq!((verified.older(), verified.newer()), (&old_root, &new_root));
        }
    }
}

#[test]
fn altered_inclusion_proof_is_refused() {
    let all = entries(SIZES);
    let log = log(SIZES);
    for (index, size) in [(0, 1), (0, 2), (1, 2), (2, 3), (0, 5), (4, 5), (5, 8), (40, 70), (69, 70), (63, 64)] {
        let root = log.root_at(size).unwrap();
        let bytes = InclusionProof::new(&log, index, size).unwrap().encode();
        let entry = all[index as usize];
        let accepts = |bytes: &[u8]| {
            let decoded = InclusionProof::decode(bytes);
            decoded.is_ok_and(|proof| {
                assert_eq!(proof.encode(), bytes);
                proof.verify(&root, index, &entry).is_ok()
            })
        };
        assert!(accepts(&bytes));
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut altered = bytes.clone();
                altered[at] ^= 1 << bit;
                assert!(!accepts(&altered), "{index} of {size}: bit {bit} of byte {at}");
            }
            assert!(!accepts(&bytes[..at]));
        }
        assert!(!accepts(&[&bytes[..], &[0]].concat()));
        assert!(!accepts(&[&bytes[..], &[0; 32]].concat()));
    }
}

#[test]
fn altered_consistency_proof_is_refused() {
    let log = log(SIZES);
    for (old, new) in [(0, 0), (0, 9), (1, 1), (1, 2), (3, 7), (4, 7), (6, 8), (64, 70), (65, 70), (70, 70)] {
        let (old_root, new_root) = (log.root_at(old).unwrap(), log.root_at(new).unwrap());
        let bytes = ConsistencyProof::new(&log, old, new).unwrap().encode();
        let accepts = |bytes: &[u8]| {
            let decoded = ConsistencyProof::decode(bytes);
            decoded.is_ok_and(|proof| {
                assert_eq!(proof.encode(), bytes);
                proof.verify(&old_root, &new_root).is_ok()
            })
        };
        assert!(accepts(&bytes));
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut altered = bytes.clone();
                altered[at] ^= 1 << bit;
                assert!(!accepts(&altered), "{old} of {new}: bit {bit} of byte {at}");
            }
            assert!(!accepts(&bytes[..at]));
        }
        assert!(!accepts(&[&bytes[..], &[0; 32]].concat()));
    }
}

#[test]
fn sizes_indices_and_roots_are_not_confused() {
    let all = entries(SIZES);
    let log = log(SIZES);
    for size in 1..=20u64 {
        for index in 0..size {
            let proof = InclusionProof::new(&log, index, size).unwrap();
            let entry = all[index as usize];
            for other in 0..=20 {
                // The right hash under a wrong size, and the history of that size.
                let hash = log.root_at(size).unwrap().hash;
                for root in [HistoryRoot { size: other, hash }, log.root_at(other).unwrap()] {
                    assert_eq!(proof.verify(&root, index, &entry).is_ok(), other == size);
                }
                let root = log.root_at(size).unwrap();
                assert_eq!(proof.verify(&root, other, &entry).is_ok(), other == index);
            }
            let wrong = all[index as usize + 1];
            let refused = proof.verify(&log.root_at(size).unwrap(), index, &wrong);
            assert!(matches!(refused, Err(HistoryError::HashMismatch { .. })));
        }
    }
    // A node's hash is not an entry, nor is an inner node's preimage a leaf's.
    let root = log.root_at(2).unwrap();
    let shorter = HistoryRoot { size: 1, hash: root.hash };
    let proof = InclusionProof::new(&log, 0, 1).unwrap();
    assert!(proof.verify(&shorter, 0, &all[0]).is_err());
}

#[test]
fn another_history_is_no_extension() {
    let log = log(SIZES);
    let mut fork = HistoryLog::new();
    for index in 0..SIZES {
        fork.append(&entry(if index == 5 { 1000 } else { index })).unwrap();
    }
    for old in 0..=20u64 {
        for new in old..=20 {
            let [ours, theirs] = [&log, &fork].map(|log| ConsistencyProof::new(log, old, new).unwrap());
            let (old_root, new_root) = (log.root_at(old).unwrap(), fork.root_at(new).unwrap());
            // Until the fork the two are one history; every history begins with the empty one.
            let same = old == 0 || new <= 5;
            assert_eq!(theirs.verify(&old_root, &new_root).is_ok(), same || old <= 5, "{old} of {new}");
            assert_eq!(ours.verify(&old_root, &new_root).is_ok(), same, "{old} of {new}");
        }
    }
    let false_empty = HistoryRoot { size: 0, hash: [1; 32] };
    let proof = ConsistencyProof::new(&log, 0, 3).unwrap();
    assert!(proof.verify(&false_empty, &log.root_at(3).unwrap()).is_err());
    // Nor are there two histories without entries.
    let proof = ConsistencyProof::new(&log, 0, 0).unwrap();
    assert!(proof.verify(&HistoryRoot::EMPTY, &HistoryRoot::EMPTY).is_ok());
    assert!(proof.verify(&HistoryRoot::EMPTY, &false_empty).is_err());
}

#[test]
fn numbers_out_of_range_are_refused() {
    let log = log(3);
    for (index, size) in [(0, 0), (3, 3), (0, 4), (u64::MAX, 3), (0, u64::MAX)] {
        let refused = InclusionProof::new(&log, index, size);
        assert_eq!(refused, Err(HistoryError::OutOfRange { first: index, size, kept: 3 }));
    }
    for (old, new) in [(2, 1), (0, 4), (4, 4), (u64::MAX, u64::MAX)] {
        let refused = ConsistencyProof::new(&log, old, new);
        assert_eq!(refused, Err(HistoryError::OutOfRange { first: old, size: new, kept: 3 }));
    }
    for (first, size) in [(0, 0), (1, 1), (0, HISTORY_SIZE_MAX + 1), (0, u64::MAX), (u64::MAX, u64::MAX)] {
        let bytes = [first, size].map(u64::to_le_bytes).concat();
        assert_eq!(InclusionProof::decode(&bytes), Err(HistoryDecodeError::Numbers { first, size }));
    }
    for (first, size) in [(2, 1), (0, HISTORY_SIZE_MAX + 1), (u64::MAX, u64::MAX)] {
        let bytes = [first, size].map(u64::to_le_bytes).concat();
        assert_eq!(ConsistencyProof::decode(&bytes), Err(HistoryDecodeError::Numbers { first, size }));
    }
    assert_eq!(InclusionProof::decode(&[0; 15]), Err(HistoryDecodeError::TooShort { got: 15 }));
    let most = [1, HISTORY_SIZE_MAX].map(u64::to_le_bytes).concat();
    assert_eq!(InclusionProof::decode(&most), Err(HistoryDecodeError::Length { got: 16, want: 16 + 48 * 32 }));
    let worst = [HISTORY_SIZE_MAX - 1, HISTORY_SIZE_MAX].map(u64::to_le_bytes).concat();
    let want = HISTORY_PROOF_BYTES_MAX;
    assert_eq!(ConsistencyProof::decode(&worst), Err(HistoryDecodeError::Length { got: 16, want }));
}

/// All but one node of a log.
struct Gap(HistoryLog, u8, u64);

impl HistoryNodes for Gap {
    fn size(&self) -> u64 {
        self.0.size()
    }

    fn node(&self, height: u8, index: u64) -> Option<Hash> {
        if (height, index) == (self.1, self.2) { None } else { self.0.node(height, index) }
    }
}

#[test]
fn node_that_is_not_kept_is_named() {
    let gap = Gap(log(8), 1, 1);
    let missing = HistoryError::Missing(MissingNode { height: 1, index: 1 });
    assert_eq!(InclusionProof::new(&gap, 0, 8), Err(missing));
    assert!(InclusionProof::new(&gap, 2, 8).is_ok());
    assert_eq!(ConsistencyProof::new(&gap, 4, 7).map(|proof| proof.encode().len()), Ok(16 + 32));
    assert_eq!(ConsistencyProof::new(&gap, 5, 7).map(|_| ()), Ok(()));
    assert_eq!(ConsistencyProof::new(&gap, 2, 7), Err(missing));
}

#[test]
fn appender_survives_its_encoding() {
    let all = entries(SIZES);
    let mut history = History::new();
    for (size, entry) in all.iter().enumerate() {
        let bytes = borsh::to_vec(&history).unwrap();
        assert_eq!(bytes.len(), 8 + 32 * size.count_ones() as usize);
        let read = History::try_from_slice(&bytes).unwrap();
        assert_eq!(read, history);
        assert!(History::try_from_slice(&bytes[..bytes.len() - 1]).is_err());
        assert!(History::try_from_slice(&[&bytes[..], &[0]].concat()).is_err());
        history.append(entry).unwrap();
    }
    assert!(History::try_from_slice(&(HISTORY_SIZE_MAX + 1).to_le_bytes()).is_err());
    let root = history.root();
    let bytes = borsh::to_vec(&root).unwrap();
    assert_eq!(bytes, [&(SIZES as u64).to_le_bytes()[..], &root.hash].concat());
}

#[test]
fn full_history_takes_no_entry() {
    let bytes = [&HISTORY_SIZE_MAX.to_le_bytes()[..], &[7; 32]].concat();
    let mut history = History::try_from_slice(&bytes).unwrap();
    let full = history.clone();
    assert_eq!(history.append(&[0; 32]), Err(HistoryFull));
    assert_eq!(history, full);
    // The last one that fits carries through all heights.
    let bytes = [&(HISTORY_SIZE_MAX - 1).to_le_bytes()[..], &[7; 32 * 48]].concat();
    let mut history = History::try_from_slice(&bytes).unwrap();
    let mut heights = Vec::new();
    history.append_with(&[0; 32], |height, index, _| heights.push((height, index))).unwrap();
    assert_eq!(heights.len(), 49);
    assert_eq!(heights.last(), Some(&(48, 0)));
    assert_eq!(history.size(), HISTORY_SIZE_MAX);
}
