//! The vectors that `scripts/vectors_trie.py` computes from the written rules, against this crate.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::Deserialize;
use smt_trie::{
    ConsistencyProof, HistoryLog, InclusionProof, Key, KeyPath, Leaf, MultiProof, PATH_TRITS, Proof, Root, Settings,
    Trie,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PathCase {
    key: String,
    trits: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NodeCase {
    preimage: String,
    hash: String,
}

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
struct ProofCase {
    trie: String,
    key: String,
    kind: String,
    encoded: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MultiCase {
    trie: String,
    keys: Vec<String>,
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
    /// Of some of the entries.
    inclusion: Vec<String>,
    /// With some of the smaller histories.
    consistency: Vec<String>,
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("vectors")
}

fn read<T: for<'a> Deserialize<'a>>(name: &str) -> Vec<T> {
    let text = std::fs::read_to_string(folder().join(name)).unwrap();
    let cases: Vec<T> = serde_json::from_str(&text).unwrap();
    assert!(!cases.is_empty(), "{name} is empty");
    cases
}

fn bytes32(text: &str) -> [u8; 32] {
    hex::decode(text).unwrap().try_into().unwrap()
}

fn batch(case: &RootCase) -> Vec<(Key, Option<Leaf>)> {
    case.entries
        .iter()
        .map(|entry| {
            let leaf = Leaf { value: hex::decode(&entry.value).unwrap(), sum: entry.sum.parse().unwrap() };
            (bytes32(&entry.key), Some(leaf))
        })
        .collect()
}

fn tries() -> BTreeMap<String, (Trie, RootCase)> {
    read::<RootCase>("roots.json")
        .into_iter()
        .map(|case| {
            let mut trie = Trie::new(case.root_depth);
            trie.update(&batch(&case)).unwrap();
            (case.name.clone(), (trie, case))
        })
        .collect()
}

#[test]
fn every_file_is_read() {
    let found: BTreeSet<String> =
        std::fs::read_dir(folder()).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    let known = ["chunks", "history", "key_path", "multi", "nodes", "proofs", "roots"];
    assert_eq!(found, known.map(|name| format!("{name}.json")).into());
}

#[test]
fn key_paths() {
    for case in read::<PathCase>("key_path.json") {
        let path = KeyPath::new(&bytes32(&case.key));
        let trits: String = (0..PATH_TRITS).map(|i| char::from(b'0' + path.trit(i))).collect();
        assert_eq!(trits, case.trits, "path of {}", case.key);
    }
}

#[test]
fn roots_in_one_batch_and_one_by_one() {
    for (name, (trie, case)) in tries() {
        let want = Root { hash: bytes32(&case.hash), sum: case.sum.parse().unwrap() };
        assert_eq!(trie.root(), want, "{name}");
        assert_eq!(trie.len(), case.entries.len(), "{name}");
        let mut one_by_one = Trie::new(case.root_depth);
        for item in batch(&case).into_iter().rev() {
            one_by_one.update(&[item]).unwrap();
        }
        assert_eq!(one_by_one.root(), want, "{name}, one by one");
    }
}

#[test]
fn node_preimages() {
    let known: BTreeMap<String, String> =
        read::<NodeCase>("nodes.json").into_iter().map(|case| (case.preimage, case.hash)).collect();
    for (preimage, hash) in &known {
        let got = blake3::hash(&hex::decode(preimage).unwrap());
        assert_eq!(&got.to_hex().to_string(), hash);
    }
    // Every preimage the crate opens in these tries is one of the file's, and all are opened.
    let mut opened = BTreeSet::new();
    let tries = tries();
    for name in ["two keys sharing 5 trits", "two keys sharing 161 trits", "values of every form"] {
        let (trie, _) = &tries[name];
        for (key, _) in trie.iter() {
            for opening in trie.open_sums(key) {
                opened.insert(hex::encode(opening.node));
                opened.extend(opening.children.iter().flatten().map(hex::encode));
            }
        }
    }
    assert_eq!(opened, known.into_keys().collect());
}

#[test]
fn proofs_have_the_computed_encoding() {
    let tries = tries();
    for case in read::<ProofCase>("proofs.json") {
        let (trie, _) = &tries[&case.trie];
        let key = bytes32(&case.key);
        let proof = trie.prove(&key);
        let context = format!("{} in {}: {}", case.key, case.trie, case.kind);
        assert_eq!(hex::encode(proof.encode()), case.encoded, "{context}");
        let decoded = Proof::decode(&hex::decode(&case.encoded).unwrap()).unwrap();
        let verified = decoded.verify(&trie.root(), &key).unwrap();
        assert_eq!(verified.is_absent(), case.kind != "included", "{context}");
        let entry = trie.get(&key);
        assert_eq!(verified.value(), entry.map(|entry| entry.value));
        assert_eq!(verified.sum(), entry.map(|entry| entry.sum));
    }
}

#[test]
fn multi_proofs_have_the_computed_encoding() {
    let tries = tries();
    for case in read::<MultiCase>("multi.json") {
        let (trie, _) = &tries[&case.trie];
        let keys: Vec<Key> = case.keys.iter().map(|key| bytes32(key)).collect();
        let proof = trie.prove_many(&keys).unwrap();
        assert_eq!(hex::encode(proof.encode()), case.encoded, "{:?} in {}", case.keys, case.trie);
        let decoded = MultiProof::decode(&hex::decode(&case.encoded).unwrap()).unwrap();
        let verified = decoded.verify(&trie.root(), &keys).unwrap();
        for (key, kind) in keys.iter().zip(&case.kinds) {
            let shown = verified.get(key).unwrap();
            assert_eq!(shown.is_absent(), kind != "included", "{} in {}", hex::encode(key), case.trie);
            let entry = trie.get(key);
            assert_eq!(shown.value(), entry.map(|entry| entry.value));
            assert_eq!(shown.sum(), entry.map(|entry| entry.sum));
        }
    }
}

#[test]
fn chunks_have_the_computed_encoding() {
    let tries = tries();
    for case in read::<ChunksCase>("chunks.json") {
        let (trie, root) = &tries[&case.trie];
        let context = format!("{}, {} entries a chunk", case.trie, case.entries_max);
        let mut chunks = Vec::new();
        let index = trie.current().export(case.entries_max, |_, bytes| chunks.push(bytes)).unwrap();
        assert_eq!(chunks.iter().map(hex::encode).collect::<Vec<_>>(), case.chunks, "{context}");
        assert_eq!(hex::encode(index.encode()), case.index, "{context}");
        // Back again, in another order.
        let settings = Settings { root_depth: root.root_depth, ..Settings::default() };
        let imported = Trie::import(settings, index, &trie.root(), chunks.iter().rev()).unwrap();
        assert!(imported.iter().eq(trie.iter()), "{context}");
    }
}

#[test]
fn histories_have_the_computed_roots_and_proofs() {
    for case in read::<HistoryCase>("history.json") {
        let mut log = HistoryLog::default();
        for entry in &case.entries {
            log.append(&bytes32(entry)).unwrap();
        }
        let (size, root) = (case.entries.len() as u64, log.root());
        let encoded = [root.size.to_le_bytes().as_slice(), &root.hash].concat();
        assert_eq!(hex::encode(encoded), case.root, "size {size}");
        for want in &case.inclusion {
            let decoded = InclusionProof::decode(&hex::decode(want).unwrap()).unwrap();
            let index = decoded.index();
            let proof = InclusionProof::new(&log, index, size).unwrap();
            assert_eq!(hex::encode(proof.encode()), *want, "entry {index} of {size}");
            let entry = bytes32(&case.entries[usize::try_from(index).unwrap()]);
            assert_eq!(decoded.verify(&root, index, &entry).unwrap().entry(), &entry);
        }
        for want in &case.consistency {
            let decoded = ConsistencyProof::decode(&hex::decode(want).unwrap()).unwrap();
            let old = decoded.old_size();
            let proof = ConsistencyProof::new(&log, old, size).unwrap();
            assert_eq!(hex::encode(proof.encode()), *want, "{old} of {size}");
            let older = log.root_at(old).unwrap();
            assert_eq!(decoded.verify(&older, &root).unwrap().newer(), &root);
        }
    }
}
