//! Each way a store refuses, and that damage is always seen and never mended by forgetting.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use smt_node::store::{
    Column, Durability, FORMAT_VERSION, KeyRange, MAX_WRITE_SET_BYTES, Order, Store, StoreContext, StoreError, WriteSet,
};

const IDENTITY: &[u8] = b"genesis and replica";

fn context() -> StoreContext {
    StoreContext::new(4 << 20, 1 << 20)
}

fn open(dir: &Path) -> Result<Store, StoreError> {
    Store::open(dir, &context(), IDENTITY)
}

fn put(store: &Store, n: u32, durability: Durability) {
    let mut set = WriteSet::new();
    set.put(Column::Payment, &n.to_be_bytes(), record(n));
    store.commit(set, durability).unwrap();
}

fn record(n: u32) -> Vec<u8> {
    (0..200).flat_map(|i: u32| (n ^ i.wrapping_mul(0x9e37_79b1)).wrapping_mul(0x85eb_ca6b).to_le_bytes()).collect()
}

fn records(store: &Store) -> Result<usize, StoreError> {
    let found = store.scan(Column::Payment, &KeyRange::all(), Order::Ascending, usize::MAX)?;
    for (n, (key, value)) in (0u32..).zip(&found) {
        assert_eq!((key.as_slice(), value), (&n.to_be_bytes()[..], &record(n)));
    }
    Ok(found.len())
}

#[test]
fn what_is_committed_is_read_back_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    let mut set = WriteSet::new();
    for key in ["a", "b1", "b2", "b3", "c"] {
        set.put(Column::History, key.as_bytes(), key);
    }
    set.put(Column::Inbox, b"b2", "another column");
    set.delete(Column::History, b"never there");
    assert_eq!((set.len(), set.is_empty()), (7, false));
    store.commit(set, Durability::Synced).unwrap();
    let keys = |range: KeyRange, order, limit| -> Vec<String> {
        let entries = store.scan(Column::History, &range, order, limit).unwrap();
        entries.into_iter().map(|(key, _)| String::from_utf8(key).unwrap()).collect()
    };
    use Order::{Ascending, Descending};
    assert_eq!(keys(KeyRange::all(), Ascending, 9), ["a", "b1", "b2", "b3", "c"]);
    assert_eq!(keys(KeyRange::prefix(b"b"), Ascending, 9), ["b1", "b2", "b3"]);
    assert_eq!(keys(KeyRange::prefix(b"b"), Descending, 2), ["b3", "b2"]);
    assert_eq!(keys(KeyRange::prefix(b"b").before(b"b2"), Descending, 2), ["b1"]);
    assert_eq!(keys(KeyRange::prefix(b"b").after(b"b2"), Ascending, 9), ["b3"]);
    assert_eq!(keys(KeyRange::all().from(b"b2"), Ascending, 2), ["b2", "b3"]);
    assert!(keys(KeyRange::all(), Ascending, 0).is_empty());
    assert!(keys(KeyRange::prefix(b"b").before(b"a"), Ascending, 9).is_empty());
    assert_eq!(store.get(Column::Inbox, b"b2").unwrap().unwrap(), b"another column");
    assert_eq!(store.get(Column::Outbox, b"b2").unwrap(), None);
    // Later writes of a set win.
    let (mut set, mut later) = (WriteSet::new(), WriteSet::new());
    set.put(Column::Meta, b"k", "1");
    later.delete(Column::Meta, b"k");
    later.put(Column::Meta, b"k", "2");
    set.append(later);
    store.commit(set, Durability::Buffered).unwrap();
    assert_eq!(store.get(Column::Meta, b"k").unwrap().unwrap(), b"2");
    let counters = store.counters();
    assert_eq!((counters.synced_commits, counters.buffered_commits), (1, 1));
    assert!(counters.bytes_written > 0);
}

#[test]
fn stores_of_one_context_are_apart_and_outlive_their_handles() {
    let (home, context) = (tempfile::tempdir().unwrap(), context());
    for round in 0..3u8 {
        let stores: Vec<Store> =
            (0..9u8).map(|n| Store::open(&home.path().join(n.to_string()), &context, &[n]).unwrap()).collect();
        for (n, store) in stores.iter().enumerate() {
            let found = store.get(Column::Meta, b"who").unwrap();
            assert_eq!(found, round.checked_sub(1).map(|before| vec![n as u8, before]));
            let mut set = WriteSet::new();
            set.put(Column::Meta, b"who", [n as u8, round]);
            store.commit(set, Durability::Synced).unwrap();
        }
        assert!(context.write_buffer_bytes_used() > 0);
    }
}

#[test]
fn a_second_handle_is_refused_and_the_holder_named() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    let error = open(dir.path()).unwrap_err();
    let own = std::process::id();
    assert!(matches!(&error, StoreError::Locked { pid: Some(pid), .. } if *pid == own));
    let text = error.to_string();
    assert!(text.contains(&own.to_string()) && text.contains(dir.path().to_str().unwrap()), "{text}");
    // Another process.
    let child = || {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--include-ignored", "--nocapture"])
            .env("STORE_DIR", dir.path())
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(child().contains(&format!("\nin use by {own}\n")));
    drop(store);
    assert!(child().contains("\nopened\n"));
    open(dir.path()).unwrap();
}

#[test]
#[ignore = "started by another test as a process of its own"]
fn child() {
    let Some(dir) = std::env::var_os("STORE_DIR") else {
        return;
    };
    match open(Path::new(&dir)) {
        Ok(_) => println!("\nopened"),
        Err(StoreError::Locked { pid: Some(pid), .. }) => println!("\nin use by {pid}"),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn a_newer_format_is_refused_with_both_numbers() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()).unwrap());
    let path = dir.path().join("store/VERSION");
    let text = fs::read_to_string(&path).unwrap();
    // A later format may say anything behind its number.
    fs::write(&path, "smt-node store\nversion 7\nsomething else\n").unwrap();
    let error = open(dir.path()).unwrap_err();
    let named = matches!(error, StoreError::Newer { found: 7, supported, .. } if supported == FORMAT_VERSION);
    assert!(named, "{error}");
    assert!(error.to_string().contains("format 7") && error.to_string().contains(&format!("format {FORMAT_VERSION}")));
    fs::write(&path, text.replace(&format!("version {FORMAT_VERSION}"), "version 1")).unwrap();
    let error = open(dir.path()).unwrap_err();
    assert!(matches!(error, StoreError::Older { found: 1, supported: FORMAT_VERSION, .. }), "{error}");
    fs::write(&path, text).unwrap();
    open(dir.path()).unwrap();
}

#[test]
fn a_store_of_another_identity_is_refused_naming_both() {
    let dir = tempfile::tempdir().unwrap();
    drop(Store::open(dir.path(), &context(), b"\x01\xab").unwrap());
    let error = Store::open(dir.path(), &context(), b"\x02").unwrap_err();
    assert!(matches!(error, StoreError::Identity { .. }));
    assert!(error.to_string().contains("belongs to 01ab, not to 02"), "{error}");
    let error = Store::open(dir.path(), &context(), &[0; 257]).unwrap_err();
    assert!(matches!(error, StoreError::IdentityTooLong { got: 257, max: 256 }));
}

#[test]
fn an_oversized_set_is_refused_and_the_store_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    let mut set = WriteSet::new();
    set.put(Column::Meta, b"k", vec![0; MAX_WRITE_SET_BYTES]);
    let error = store.commit(set, Durability::Buffered).unwrap_err();
    assert!(matches!(error, StoreError::TooLarge { .. }));
    assert!(!store.is_failed());
    put(&store, 0, Durability::Synced);
}

/// A store with tables of three sessions and a log, closed; and the number of its records.
fn filled(dir: &Path) -> usize {
    for session in 0..4 {
        let store = open(dir).unwrap();
        for n in session * 100..(session + 1) * 100 {
            put(&store, n, Durability::Synced);
        }
    }
    400
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (path, to) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &to);
        } else {
            fs::copy(&path, &to).unwrap();
        }
    }
}

fn files(dir: &Path, holds: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(dir.join("store/db"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_name().unwrap().to_str().unwrap().contains(holds))
        .collect();
    files.sort();
    files
}

/// Opens a copy of the store with `damage` done to one file. Either everything is there or an error says that it is not.
fn check_damage(
    original: &Path,
    records_in: usize,
    file: &Path,
    damage: &str,
    change: impl FnOnce(&mut Vec<u8>),
) -> bool {
    let home = tempfile::tempdir().unwrap();
    copy(original, home.path());
    let path = home.path().join(file.strip_prefix(original).unwrap());
    let mut bytes = fs::read(&path).unwrap();
    change(&mut bytes);
    fs::write(&path, &bytes).unwrap();
    match open(home.path()).and_then(|store| records(&store)) {
        Ok(found) => {
            assert_eq!(found, records_in, "{damage} in {}: records lost in silence", file.display());
            false
        }
        Err(StoreError::Corrupt { dir, operation, detail }) => {
            assert_eq!(dir, home.path());
            assert!(!operation.is_empty() && !detail.is_empty());
            true
        }
        Err(other) => panic!("{damage} in {}: {other:?}", file.display()),
    }
}

#[test]
fn a_damaged_version_file_is_corrupt() {
    let home = tempfile::tempdir().unwrap();
    drop(open(home.path()).unwrap());
    let path = home.path().join("store/VERSION");
    let text = fs::read(&path).unwrap();
    for cut in 0..text.len() - 1 {
        fs::write(&path, &text[..cut]).unwrap();
        assert!(matches!(open(home.path()), Err(StoreError::Corrupt { .. })), "cut at {cut}");
    }
    fs::write(&path, [0xff; 10]).unwrap();
    assert!(matches!(open(home.path()), Err(StoreError::Corrupt { .. })));
    fs::remove_file(&path).unwrap();
    assert!(matches!(open(home.path()), Err(StoreError::Corrupt { .. })));
}

#[test]
fn a_missing_file_is_corrupt_and_nothing_is_created_in_its_place() {
    let home = tempfile::tempdir().unwrap();
    filled(home.path());
    for name in ["CURRENT", "MANIFEST", ".sst"] {
        let copied = tempfile::tempdir().unwrap();
        copy(home.path(), copied.path());
        let path = files(copied.path(), name).pop().unwrap();
        fs::remove_file(&path).unwrap();
        for _ in 0..2 {
            let error = open(copied.path()).and_then(|store| records(&store)).unwrap_err();
            assert!(matches!(error, StoreError::Corrupt { .. }), "{name}: {error:?}");
        }
    }
    let copied = tempfile::tempdir().unwrap();
    copy(home.path(), copied.path());
    fs::remove_dir_all(copied.path().join("store/db")).unwrap();
    assert!(matches!(open(copied.path()), Err(StoreError::Corrupt { .. })));
}

#[test]
fn a_flipped_byte_is_seen_or_harmless() {
    let home = tempfile::tempdir().unwrap();
    let records_in = filled(home.path());
    for (name, must_see) in [("CURRENT", 1), ("MANIFEST", 5), (".sst", 5)] {
        let file = files(home.path(), name).pop().unwrap();
        let length = fs::metadata(&file).unwrap().len() as usize;
        let seen = (0..8)
            .filter(|part| {
                let at = length * part / 8;
                check_damage(home.path(), records_in, &file, &format!("byte {at}"), |bytes| {
                    bytes[at] ^= 0x20;
                })
            })
            .count();
        assert!(seen >= must_see, "{name}: {seen} of 8 flips seen");
    }
    // All but the newest record of the log are vouched for.
    let file = files(home.path(), ".log").pop().unwrap();
    let length = fs::metadata(&file).unwrap().len() as usize - 2_000;
    for part in 0..8 {
        let at = length * part / 8;
        assert!(check_damage(home.path(), records_in, &file, &format!("byte {at}"), |bytes| {
            bytes[at] ^= 0x20;
        }));
    }
}

#[test]
fn a_table_cut_short_is_corrupt() {
    let home = tempfile::tempdir().unwrap();
    let records_in = filled(home.path());
    for name in ["CURRENT", ".sst"] {
        let file = files(home.path(), name).pop().unwrap();
        for divisor in [1, 2, 3] {
            assert!(check_damage(home.path(), records_in, &file, "a cut", |bytes| {
                bytes.truncate(bytes.len() - bytes.len() / divisor);
            }));
        }
    }
}

#[test]
fn a_manifest_cut_anywhere_loses_no_record_in_silence() {
    let home = tempfile::tempdir().unwrap();
    let records_in = filled(home.path());
    let file = files(home.path(), "MANIFEST").pop().unwrap();
    let length = fs::metadata(&file).unwrap().len() as usize;
    for cut in (0..length).step_by(13) {
        check_damage(home.path(), records_in, &file, &format!("cut at {cut}"), |bytes| {
            bytes.truncate(cut);
        });
    }
}
