//! The vectors that `scripts/vectors_trie.py` computes from the written rules, against proofs without a trie of ours.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod reference;

use std::collections::BTreeMap;

use reference::Reference;
use serde::Deserialize;
use smt_trie_proof::{
    Chunk, ChunkId, ConsistencyProof, HistoryLog, InclusionProof, Key, MultiProof, Root, SnapshotIndex, chunks,
    import_snapshot, prove_many,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EntryCase {
    key: String,
    value: String,
    sum: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RootCase {
    name: String,
    root_depth: u8,
    entries: Vec<EntryCase>,
    hash: String,
    sum: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MultiCase {
    trie: String,
    keys: Vec<String>,
    /// What each key's slot holds, for the reader.
    kinds: Vec<String>,
    encoded: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChunksCase {
    trie: String,
    entries_max: usize,
    chunks: Vec<String>,
    index: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HistoryCase {
    entries: Vec<String>,
    root: String,
    inclusion: Vec<String>,
    consistency: Vec<String>,
}

fn read<T: for<'a> Deserialize<'a>>(name: &str) -> Vec<T> {
    let path = format!("{}/../vectors/{name}", env!("CARGO_MANIFEST_DIR"));
    let cases: Vec<T> = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert!(!cases.is_empty(), "{name} is empty");
    cases
}

fn bytes32(text: &str) -> [u8; 32] {
    hex::decode(text).unwrap().try_into().unwrap()
}

fn tries() -> BTreeMap<String, Reference> {
    let trie = |case: RootCase| {
        let entry = |entry: &EntryCase| {
            let value = hex::decode(&entry.value).unwrap();
            (bytes32(&entry.key), (value, entry.sum.parse().unwrap()))
        };
        let trie = Reference::new(case.root_depth, case.entries.iter().map(entry));
        assert_eq!(trie.root(), Root { hash: bytes32(&case.hash), sum: case.sum.parse().unwrap() }, "{}", case.name);
        (case.name, trie)
    };
    read("roots.json").into_iter().map(trie).collect()
}

#[test]
fn multi_proofs() {
    let tries = tries();
    for case in read::<MultiCase>("multi.json") {
        let trie = &tries[&case.trie];
        let keys: Vec<Key> = case.keys.iter().map(|key| bytes32(key)).collect();
        assert_eq!(
            hex::encode(prove_many(trie, &keys).unwrap().encode()),
            case.encoded,
            "{} {:?}",
            case.trie,
            case.keys
        );
        let proof = MultiProof::decode(&hex::decode(&case.encoded).unwrap()).unwrap();
        let verified = proof.verify(&trie.root(), &keys).unwrap();
        for (key, kind) in keys.iter().zip(&case.kinds) {
            let shown = verified.get(key).unwrap();
            let want = trie.get(key).map(|(value, sum)| (value.as_slice(), *sum));
            assert_eq!(shown.value().zip(shown.sum()), want);
            assert_eq!(want.is_some(), kind == "included");
        }
    }
}

#[test]
fn snapshots() {
    let tries = tries();
    for case in read::<ChunksCase>("chunks.json") {
        let name = format!("{}, {} entries a chunk", case.trie, case.entries_max);
        let trie = &tries[&case.trie];
        let cut: Vec<_> = chunks(trie, case.entries_max).map(|chunk| hex::encode(chunk.encode())).collect();
        assert_eq!(cut, case.chunks, "{name}");
        let encoded: Vec<_> = case.chunks.iter().map(|chunk| hex::decode(chunk).unwrap()).collect();
        let ids = encoded.iter().map(|bytes| ChunkId::of(bytes)).collect();
        let entries = trie.leaves().len().try_into().unwrap();
        let index = SnapshotIndex::new(trie.root(), entries, ids).unwrap();
        assert_eq!(hex::encode(index.encode()), case.index, "{name}");
        for bytes in &encoded {
            assert!(Chunk::decode(bytes).unwrap().verify(&trie.root()).is_ok(), "{name}");
        }
        let (_, imported) = import_snapshot(index, &trie.root(), &encoded).unwrap();
        assert!(imported.iter().map(|entry| &entry.key).eq(trie.keys()), "{name}");
    }
}

#[test]
fn histories() {
    for case in read::<HistoryCase>("history.json") {
        let entries: Vec<_> = case.entries.iter().map(|entry| bytes32(entry)).collect();
        let mut log = HistoryLog::new();
        entries.iter().for_each(|entry| log.append(entry).unwrap());
        let size = log.root().size;
        assert_eq!(hex::encode(borsh::to_vec(&log.root()).unwrap()), case.root, "{size} entries");
        for want in &case.inclusion {
            let proof = InclusionProof::decode(&hex::decode(want).unwrap()).unwrap();
            let index = proof.index();
            assert_eq!(InclusionProof::new(&log, index, size), Ok(proof.clone()));
            let entry = &entries[usize::try_from(index).unwrap()];
            assert!(proof.verify(&log.root(), index, entry).is_ok(), "{index} of {size}");
        }
        for want in &case.consistency {
            let proof = ConsistencyProof::decode(&hex::decode(want).unwrap()).unwrap();
            let old = proof.old_size();
            assert_eq!(ConsistencyProof::new(&log, old, size), Ok(proof.clone()));
            assert!(proof.verify(&log.root_at(old).unwrap(), &log.root()).is_ok(), "{old} of {size}");
        }
    }
}
