#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

use super::super::frames::{BLOCK, crc32c};
use super::*;

const STORE: [u8; 16] = *b"0123456789abcdef";

fn mask(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// Appends one commit as RocksDB does.
fn append(log: &mut Vec<u8>, start: u64, count: u32, mark: Mark, padding: usize) {
    let mut record = start.to_le_bytes().to_vec();
    record.extend(count.to_le_bytes());
    record.extend(MARK_PREFIX);
    record.extend(mark.encode());
    record.resize(record.len() + padding, 0x5a);
    append_record(log, &record);
}

/// A manifest of two edits, the second of which says that table files reach `last_sequence` (below 128).
fn manifest(last_sequence: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    append_record(&mut bytes, b"\x81\x40\x02id\x01\x03cmp\x02\x05\x03\x09\x04\x07");
    append_record(&mut bytes, &[2, 6, 4, last_sequence, 103, 0xff]);
    bytes
}

fn append_record(log: &mut Vec<u8>, record: &[u8]) {
    let (mut rest, mut first) = (record, true);
    loop {
        let left = BLOCK - log.len() % BLOCK;
        if left < FRAGMENT_HEADER {
            log.resize(log.len() + left, 0);
            continue;
        }
        let (now, later) = rest.split_at(rest.len().min(left - FRAGMENT_HEADER));
        let kind = match (first, later.is_empty()) {
            (true, true) => 1,
            (true, false) => 2,
            (false, false) => 3,
            (false, true) => 4,
        };
        let covered = [&[kind], now].concat();
        log.extend(mask(crc32c(&covered)).to_le_bytes());
        log.extend((now.len() as u16).to_le_bytes());
        log.extend(covered);
        (rest, first) = (later, false);
        if rest.is_empty() {
            return;
        }
    }
}

/// Ten commits of two writes each. `synced(i)`: what the mark of commit i vouches for, the store having been opened at 100.
fn log(padding: usize, synced: impl Fn(u64) -> u64) -> (Vec<u8>, Vec<usize>) {
    let (mut bytes, mut offsets) = (Vec::new(), Vec::new());
    for i in 0..10 {
        offsets.push(bytes.len());
        let mark = Mark { store: STORE, floor: 100, synced: synced(i) };
        append(&mut bytes, 101 + 2 * i, 2, mark, padding);
    }
    (bytes, offsets)
}

fn all_synced(i: u64) -> u64 {
    100 + 2 * i
}

fn checked(tables: u8, files: &[&[u8]]) -> (tempfile::TempDir, Result<(), StoreError>) {
    let dir = tempfile::tempdir().unwrap();
    for (number, bytes) in files.iter().enumerate() {
        fs::write(dir.path().join(format!("{:06}.log", number + 7)), bytes).unwrap();
    }
    fs::write(dir.path().join("CURRENT"), "MANIFEST-000001\n").unwrap();
    fs::write(dir.path().join("MANIFEST-000001"), manifest(tables)).unwrap();
    let result = check(dir.path(), dir.path(), &STORE);
    (dir, result)
}

fn is_lost(files: &[&[u8]]) -> bool {
    is_lost_behind(100, files)
}

/// `tables`: what the manifest says table files reach.
fn is_lost_behind(tables: u8, files: &[&[u8]]) -> bool {
    match checked(tables, files).1 {
        Ok(()) => false,
        Err(StoreError::Corrupt { .. }) => true,
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn crc32c_matches_its_published_check_value() {
    assert_eq!(crc32c(b"123456789"), 0xe306_9283);
}

#[test]
fn every_cut_of_a_log_opens() {
    for padding in [0, 9_000, 40_000] {
        let (bytes, offsets) = log(padding, all_synced);
        let mut cuts: Vec<usize> = offsets
            .iter()
            .chain([&bytes.len()])
            .flat_map(|at| at.saturating_sub(9)..=at + 9)
            .filter(|cut| *cut <= bytes.len())
            .collect();
        cuts.extend((0..bytes.len()).step_by(1 + bytes.len() / 100));
        for cut in cuts {
            assert!(!is_lost(&[&bytes[..cut]]), "padding {padding} cut {cut}");
        }
    }
}

#[test]
fn any_flipped_byte_below_the_last_sync_is_lost_data() {
    for padding in [0, 9_000, 40_000] {
        let (bytes, offsets) = log(padding, all_synced);
        let step = 1 + bytes.len() / 250;
        // The mark of commit 9 vouches for commits 0 to 8.
        for at in (0..offsets[9]).step_by(step) {
            let mut bad = bytes.clone();
            bad[at] ^= 0x10;
            let in_block_padding = bytes[at] == 0 && BLOCK - at % BLOCK < FRAGMENT_HEADER;
            if !in_block_padding {
                assert!(is_lost(&[&bad]), "padding {padding} byte {at}");
            }
        }
        // What nothing intact vouches for may be a torn write.
        for at in (offsets[9]..bytes.len()).step_by(step) {
            let mut bad = bytes.clone();
            bad[at] ^= 0x10;
            assert!(!is_lost(&[&bad]), "padding {padding} byte {at}");
        }
    }
}

#[test]
fn a_zeroed_page_counts_as_damage() {
    let (bytes, offsets) = log(3_000, all_synced);
    let mut bad = bytes.clone();
    bad[offsets[3]..offsets[3] + 4_096].fill(0);
    assert!(is_lost(&[&bad]));
}

#[test]
fn a_hole_in_what_was_never_synced_is_cut_off() {
    // Commits 0 to 4 were synced, 5 to 9 only buffered.
    let (bytes, offsets) = log(3_000, |i| 100 + 2 * i.min(5));
    let mut torn = bytes.clone();
    torn[offsets[6]..offsets[7]].fill(0);
    let (dir, result) = checked(100, &[&torn]);
    result.unwrap();
    let kept = fs::read(dir.path().join("000007.log")).unwrap();
    assert_eq!(kept, bytes[..offsets[6]]);
    // The same hole in what was synced.
    let mut bad = bytes;
    bad[offsets[4]..offsets[5]].fill(0);
    assert!(is_lost(&[&bad]));
}

#[test]
fn a_log_that_goes_on_behind_a_recovered_tear_opens_and_one_with_a_gap_does_not() {
    let (first, offsets) = log(100, |i| 100 + 2 * i.min(8));
    let torn = &first[..offsets[8] + 20];
    // Replay reached 116; a store opened there goes on at 117.
    let next = |start: u64, floor, synced| {
        let (mut bytes, store) = (Vec::new(), STORE);
        append(&mut bytes, start, 1, Mark { store, floor, synced }, 10);
        append(&mut bytes, start + 1, 1, Mark { store, floor, synced: start }, 10);
        bytes
    };
    assert!(!is_lost_behind(116, &[torn, &next(117, 116, 116)]));
    // The same before the recovered tables were noted: the floor is not to be had.
    assert!(is_lost_behind(100, &[torn, &next(117, 116, 116)]));
    assert!(is_lost(&[torn, &next(121, 100, 116)]));
}

#[test]
fn a_manifest_that_knows_less_than_the_log_is_corrupt() {
    let (bytes, _) = log(0, all_synced);
    for (last_sequence, corrupt) in [(99, true), (100, false), (101, false)] {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("CURRENT"), "MANIFEST-000001\n").unwrap();
        fs::write(dir.path().join("MANIFEST-000001"), manifest(last_sequence)).unwrap();
        fs::write(dir.path().join("000007.log"), &bytes).unwrap();
        let result = check(dir.path(), dir.path(), &STORE);
        assert_eq!(result.is_err(), corrupt, "{last_sequence}: {result:?}");
    }
}

#[test]
fn a_mark_of_another_store_counts_for_nothing() {
    let (mut bytes, offsets) = log(0, |_| 100);
    // A payment that imitates a commit, checksum and all, behind a torn record.
    let forged = Mark { store: [7; 16], floor: 0, synced: u64::MAX };
    append(&mut bytes, 500, 1, forged, 0);
    bytes[offsets[9]] ^= 1;
    assert!(!is_lost(&[&bytes]));
}
