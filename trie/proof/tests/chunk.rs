//! Snapshots: cutting, checking and putting together again, and every alteration refused.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

mod reference;

use std::slice::from_ref;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use reference::{Reference, cases, flipped, random_key, trie_of};
use smt_trie_proof::{
    CHUNK_ENTRIES_MAX, CHUNK_ID_KEY, Chunk, ChunkDecodeError, ChunkEntry, ChunkError, ChunkId, DecodeError,
    ImportError, IndexError, Key, Nodes, ProofError, Root, SNAPSHOT_CHUNKS_MAX, ShapeError, SnapshotImport,
    SnapshotIndex, SubtreeError, chunks, import_snapshot, subtree_root,
};

/// A trie's index and its encoded chunks in key order.
fn export(trie: &Reference, entries_max: usize) -> (SnapshotIndex, Vec<Vec<u8>>) {
    let encoded: Vec<_> = chunks(trie, entries_max).map(|chunk| chunk.encode()).collect();
    let ids = encoded.iter().map(|bytes| ChunkId::of(bytes)).collect();
    (SnapshotIndex::new(trie.root(), trie.leaves().len() as u64, ids).unwrap(), encoded)
}

fn entries(trie: &Reference) -> Vec<ChunkEntry> {
    let entry =
        |(key, (value, sum)): (&Key, &(Vec<u8>, u64))| ChunkEntry { key: *key, sum: *sum, value: value.clone() };
    trie.leaves().iter().map(entry).collect()
}

/// Keys with long shared beginnings among others.
fn skewed(count: u32) -> Reference {
    let near = (0..count / 2).map(|seed| {
        let mut key = random_key(seed);
        key[..20].copy_from_slice(&[0x5a; 20]);
        key
    });
    trie_of((0..count / 2).map(random_key).chain(near), 0)
}

fn tries() -> Vec<Reference> {
    let mut tries: Vec<_> = cases().into_iter().map(|(trie, _)| trie).collect();
    tries.push(skewed(300));
    tries
}

#[test]
fn tries_survive_export_and_import() {
    for (number, trie) in tries().iter().enumerate() {
        for entries_max in [0, 1, 2, 3, 7, 50, usize::MAX] {
            let (index, mut encoded) = export(trie, entries_max);
            let index = SnapshotIndex::decode(&index.encode()).unwrap();
            for bytes in &encoded {
                let chunk = Chunk::decode(bytes).unwrap();
                assert!(chunk.entries().len() <= entries_max.max(1), "trie {number}, {entries_max} entries a chunk");
                assert_eq!(chunk.encode(), *bytes);
            }
            // Any order will do.
            encoded.reverse();
            let (verified, imported) = import_snapshot(index, &trie.root(), &encoded).unwrap();
            assert_eq!(imported, entries(trie), "trie {number}, {entries_max} entries a chunk");
            assert_eq!((verified.root(), verified.entries()), (&trie.root(), imported.len() as u64));
            assert_eq!(verified.root_depth(), if imported.is_empty() { 0 } else { trie.root_depth() });
        }
    }
}

#[test]
fn chunks_are_few() {
    let trie = trie_of((0..3000).map(random_key), 0);
    let sizes: Vec<_> = chunks(&trie, 100).map(|chunk| chunk.entries().len()).collect();
    assert_eq!(sizes.iter().sum::<usize>(), 3000);
    // Random keys: a slot of more than 100 entries has three of more than 33 or so.
    assert!(sizes.len() < 100, "{sizes:?}");
    let (slots, depth): (Vec<_>, _) = (chunks(&trie, 100).collect(), trie.root_depth());
    let whole = chunks(&trie, 3000).next().unwrap().verify(&trie.root()).unwrap();
    assert_eq!((whole.slot(), whole.entries()), (depth, &entries(&trie)[..]));
    for chunk in slots {
        let verified = chunk.verify(&trie.root()).unwrap();
        assert_eq!(verified.root_depth(), depth);
        // 27 slots of 111 at depth 3.
        assert!((3..=6).contains(&verified.slot()), "depth {}", verified.slot());
    }
}

#[test]
fn subtree_root_is_the_tries() {
    for trie in tries() {
        assert_eq!(subtree_root(trie.root_depth(), &entries(&trie)), Ok(trie.root()));
    }
    let [a, b] = [1, 2].map(|number| ChunkEntry { key: [number; 32], sum: 1, value: Vec::new() });
    let sum = |sum| ChunkEntry { sum, ..a.clone() };
    assert_eq!(subtree_root(0, &[b.clone(), a.clone()]), Err(SubtreeError::KeyOrder([1; 32])));
    assert_eq!(subtree_root(0, &[a.clone(), a.clone()]), Err(SubtreeError::KeyOrder([1; 32])));
    assert_eq!(subtree_root(9, &[a.clone(), b.clone()]), Err(SubtreeError::Prefix { got: 4, want: 9 }));
    assert_eq!(subtree_root(163, from_ref(&a)), Err(SubtreeError::Slot(163)));
    assert_eq!(subtree_root(200, &[]), Err(SubtreeError::Slot(200)));
    assert_eq!(subtree_root(0, &[sum(u64::MAX), b.clone()]), Err(SubtreeError::SumOverflow));
    let long = ChunkEntry { value: vec![0; 1025], ..a.clone() };
    assert_eq!(subtree_root(0, &[long]), Err(SubtreeError::ValueLength(1025)));
}

#[test]
fn any_altered_bit_is_refused() {
    let centre = random_key(0);
    let near = [0, 1, 88, 97, 200].map(|bit| flipped(&centre, bit));
    for (trie, entries_max) in [(skewed(20), 3), (trie_of([centre], 9), 1), (trie_of(near, 0), 2)] {
        let (index, encoded) = export(&trie, entries_max);
        for bytes in &encoded {
            let refused = |altered: &[u8]| {
                let genuine = Chunk::decode(altered).is_ok_and(|chunk| {
                    assert_eq!(chunk.encode(), altered);
                    chunk.verify(&trie.root()).is_ok()
                });
                let mut import = SnapshotImport::new(index.clone(), &trie.root()).unwrap();
                !genuine && import.take(altered).is_err()
            };
            assert!(!refused(bytes));
            for at in 0..bytes.len() {
                // All bits of the head and the levels, one of each byte of the entries.
                for bit in if at < 300 { 0..8 } else { at % 8..at % 8 + 1 } {
                    let mut altered = bytes.clone();
                    altered[at] ^= 1 << bit;
                    assert!(refused(&altered), "bit {bit} of byte {at} of {}", bytes.len());
                }
                assert!(refused(&bytes[..at]));
            }
            assert!(refused(&[&bytes[..], &[0]].concat()));
        }
    }
}

#[test]
fn altered_index_does_not_import() {
    let trie = skewed(20);
    let (index, encoded) = export(&trie, 4);
    let bytes = index.encode();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut altered = bytes.clone();
            altered[at] ^= 1 << bit;
            let imported = SnapshotIndex::decode(&altered).is_ok_and(|index| {
                assert_eq!(index.encode(), altered);
                import_snapshot(index, &trie.root(), &encoded).is_ok()
            });
            assert!(!imported, "bit {bit} of byte {at}");
        }
        assert!(SnapshotIndex::decode(&bytes[..at]).is_err());
    }
    assert_eq!(
        SnapshotIndex::decode(&[&bytes[..], &[0]].concat()),
        Err(IndexError::Decode(DecodeError::Trailing { left: 1 }))
    );
}

#[test]
fn chunks_of_another_trie_are_refused() {
    let (ours, theirs) = (skewed(40), trie_of((1000..1040).map(random_key), 0));
    for chunk in chunks(&theirs, 5) {
        let refused = chunk.clone().verify(&ours.root());
        assert!(matches!(refused, Err(ChunkError::Proof(ProofError::RootMismatch { .. }))));
        let bytes = chunk.encode();
        let mut import = SnapshotImport::new(export(&ours, 5).0, &ours.root()).unwrap();
        assert_eq!(import.take(&bytes).map(|_| ()), Err(ImportError::NotInIndex(ChunkId::of(&bytes))));
        // An index that names it cannot make it ours.
        let id = ChunkId::of(&bytes);
        let index = SnapshotIndex::new(ours.root(), chunk.entries().len() as u64, vec![id]).unwrap();
        let mut import = SnapshotImport::new(index, &ours.root()).unwrap();
        assert!(matches!(import.take(&bytes), Err(ImportError::Foreign { .. })));
        assert_eq!(import.missing().collect::<Vec<_>>(), [&id]);
    }
    let (index, _) = export(&theirs, 5);
    assert_eq!(SnapshotImport::new(index, &ours.root()).map(|_| ()), Err(ImportError::OtherRoot));
    // The same sum under another hash, and the other way round.
    let chunk = chunks(&ours, 5).next().unwrap();
    let Root { hash, sum } = ours.root();
    assert!(chunk.clone().verify(&Root { hash, sum: sum + 1 }).is_err());
    assert!(chunk.verify(&Root { hash: [1; 32], sum }).is_err());
}

#[test]
fn missing_and_duplicate_chunks_are_noticed() {
    let trie = skewed(40);
    let (index, encoded) = export(&trie, 5);
    let mut import = SnapshotImport::new(index.clone(), &trie.root()).unwrap();
    for (position, bytes) in encoded.iter().enumerate() {
        let id = ChunkId::of(bytes);
        assert_eq!(import.finish(), Err(ImportError::Missing(encoded.len() - position)));
        assert_eq!(import.missing().collect::<Vec<_>>(), index.chunks()[position..].iter().collect::<Vec<_>>());
        assert_eq!(import.take(bytes).unwrap().0, position);
        assert_eq!(import.take(bytes).map(|_| ()), Err(ImportError::Duplicate(id)));
    }
    assert!(import.finish().is_ok());
}

/// An index over these chunks, true or not.
fn claim(root: Root, chunks: &[&Vec<u8>]) -> SnapshotIndex {
    let entries = chunks.iter().map(|bytes| Chunk::decode(bytes).unwrap().entries().len() as u64).sum();
    SnapshotIndex::new(root, entries, chunks.iter().map(|bytes| ChunkId::of(bytes)).collect()).unwrap()
}

#[test]
fn index_that_leaves_out_or_repeats_entries_is_not_complete() {
    for trie in [skewed(40), trie_of([flipped(&random_key(1), 97), random_key(1), random_key(2)], 0)] {
        let root = trie.root();
        let (_, encoded) = export(&trie, 2);
        let all: Vec<_> = encoded.iter().collect();
        for left_out in 0..all.len() {
            let mut some = all.clone();
            some.remove(left_out);
            let refused = import_snapshot(claim(root, &some), &root, &some);
            let seen = matches!(refused, Err(ImportError::Incomplete | ImportError::Subtree(_)));
            assert!(seen, "without chunk {left_out}: {refused:?}");
        }
        let mut swapped = all.clone();
        swapped.swap(0, 1);
        assert_eq!(import_snapshot(claim(root, &swapped), &root, &swapped).map(|_| ()), Err(ImportError::Order(1)));
        // The same entries once more, in a chunk of another cut.
        let whole = chunks(&trie, 100).next().unwrap().encode();
        let doubled: Vec<_> = [&whole].into_iter().chain(all.clone()).collect();
        assert_eq!(import_snapshot(claim(root, &doubled), &root, &doubled).map(|_| ()), Err(ImportError::Order(1)));
        // A count that is not the chunks'.
        let ids = all.iter().map(|bytes| ChunkId::of(bytes)).collect();
        let want = trie.leaves().len() as u64 + 1;
        let index = SnapshotIndex::new(root, want, ids).unwrap();
        let refused = import_snapshot(index, &root, &all).map(|_| ());
        assert_eq!(refused, Err(ImportError::EntryCount { got: want - 1, want }));
    }
}

#[test]
fn mixed_cuts_of_one_trie_import() {
    let trie = trie_of((0..200).map(random_key), 0);
    let key = |chunk: &Chunk| chunk.entries()[0].key;
    // Chunks of 70 for child 0, chunks of 5 for the others.
    let third = random_key(0).map(|_| 0x55);
    let coarse = chunks(&trie, 90).filter(|chunk| key(chunk) < third).map(|chunk| chunk.encode());
    let fine = chunks(&trie, 5).filter(|chunk| key(chunk) > third).map(|chunk| chunk.encode());
    let mixed: Vec<_> = coarse.chain(fine).collect();
    let index = claim(trie.root(), &mixed.iter().collect::<Vec<_>>());
    assert_eq!(import_snapshot(index, &trie.root(), &mixed).unwrap().1, entries(&trie));
}

#[test]
fn malformed_chunks_name_their_fault() {
    let trie = trie_of((0..20).map(random_key), 0);
    let chunk = chunks(&trie, 100).next().unwrap();
    let bytes = chunk.encode();
    assert_eq!(bytes[..6], [0, 0, 20, 0, 0, 0]);
    let altered = |at: usize, new: &[u8]| {
        let mut bytes = bytes.clone();
        bytes[at..at + new.len()].copy_from_slice(new);
        Chunk::decode(&bytes).map(|_| ())
    };
    let shape = |error: ShapeError| Err(ChunkDecodeError::Proof(error.into()));
    assert_eq!(altered(0, &[162]), shape(ShapeError::RootDepth(162)));
    assert_eq!(altered(1, &[163]), shape(ShapeError::LevelCount(163)));
    assert_eq!(altered(2, &[0; 4]), Err(ChunkDecodeError::EntryCount(0)));
    let most = CHUNK_ENTRIES_MAX as u32;
    assert_eq!(altered(2, &(most + 1).to_le_bytes()), Err(ChunkDecodeError::EntryCount(most + 1)));
    assert_eq!(altered(2, &[255; 4]), Err(ChunkDecodeError::EntryCount(u32::MAX)));
    assert_eq!(altered(2, &most.to_le_bytes()), Err(ChunkDecodeError::Proof(DecodeError::Truncated)));
    assert_eq!(altered(46, &1025u16.to_le_bytes()), shape(ShapeError::ValueLength(1025)));
    assert_eq!(altered(38, &[255; 8]), Err(ChunkDecodeError::Entries(SubtreeError::SumOverflow)));
    let second = entries(&trie)[1].key;
    assert_eq!(altered(6, &[255; 32]), Err(ChunkDecodeError::Entries(SubtreeError::KeyOrder(second))));
    assert!(matches!(altered(0, &[9]), Err(ChunkDecodeError::Entries(SubtreeError::Prefix { want: 9, .. }))));
    assert_eq!(Chunk::decode(&[]).map(|_| ()), Err(ChunkDecodeError::Proof(DecodeError::Truncated)));
}

#[test]
fn malformed_indexes_name_their_fault() {
    let id = |number: usize| ChunkId(*blake3::hash(&number.to_le_bytes()).as_bytes());
    let root = Root { hash: [1; 32], sum: 3 };
    let new = |root, entries, chunks| SnapshotIndex::new(root, entries, chunks).map(|_| ());
    assert_eq!(new(root, 2, vec![id(0), id(0)]), Err(IndexError::Duplicate(id(0))));
    assert_eq!(new(root, 1, vec![id(0), id(1)]), Err(IndexError::EntryCount { entries: 1, chunks: 2 }));
    let most = CHUNK_ENTRIES_MAX as u64;
    assert_eq!(new(root, most, vec![id(0)]), Ok(()));
    assert_eq!(new(root, most + 1, vec![id(0)]), Err(IndexError::EntryCount { entries: most + 1, chunks: 1 }));
    assert_eq!(new(root, 0, vec![]), Err(IndexError::Empty(0)));
    assert_eq!(new(Root::EMPTY, 1, vec![id(0)]), Err(IndexError::Empty(1)));
    assert_eq!(new(Root::EMPTY, 0, vec![]), Ok(()));
    let many = SNAPSHOT_CHUNKS_MAX + 1;
    assert_eq!(new(root, 1, vec![id(0); many]), Err(IndexError::TooManyChunks(many)));
}

#[test]
fn ids_are_keyed() {
    let bytes = chunks(&skewed(4), 4).next().unwrap().encode();
    assert_eq!(ChunkId::of(&bytes).0, *blake3::keyed_hash(CHUNK_ID_KEY, &bytes).as_bytes());
    assert_ne!(ChunkId::of(&bytes).0, *blake3::hash(&bytes).as_bytes());
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 200,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(1),
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_trie_survives(
        tails in prop::collection::vec((0usize..33, any::<Key>()), 0..80),
        entries_max in 1usize..40,
        root_depth in 0u8..3,
    ) {
        // Keys that share up to all bytes with one another; the first byte has the trits all keys of a trie share.
        let keys = tails.into_iter().map(|(cut, mut key)| {
            key[..cut.max(1)].copy_from_slice(&[0x21; 32][..cut.max(1)]);
            key
        });
        let trie = trie_of(keys, root_depth);
        let (index, encoded) = export(&trie, entries_max);
        prop_assert_eq!(import_snapshot(index, &trie.root(), &encoded).unwrap().1, entries(&trie));
        prop_assert_eq!(subtree_root(root_depth, &entries(&trie)), Ok(trie.root()));
    }

    #[test]
    fn altered_bytes_are_no_chunk(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0u8..3), 1..6),
    ) {
        let trie = trie_of((0..30).map(random_key), 0);
        let genuine: Vec<_> = chunks(&trie, 4).map(|chunk| chunk.encode()).collect();
        let mut bytes = genuine[0].clone();
        for (at, byte, kind) in changes {
            let at = at.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => bytes.splice(at.., genuine[1][at.min(genuine[1].len())..].iter().copied()).for_each(drop),
            }
        }
        let accepted = Chunk::decode(&bytes).is_ok_and(|chunk| {
            assert_eq!(chunk.encode(), bytes);
            chunk.verify(&trie.root()).is_ok()
        });
        prop_assert_eq!(accepted, genuine.contains(&bytes));
        prop_assert!(SnapshotIndex::decode(&bytes).is_err());
    }
}
