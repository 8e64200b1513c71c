//! Files that are not as they were written.

use crate::model::{self, Expected, expected, open, options, steps};
use crate::simulated::{Disk, Loss, Plant, Simulated};
use smt_trie::disk::{Database, Error, Fault, OpenError, Options, Version};
use smt_trie::{Leaf, Settings};

/// A run's disk and the states it went through.
fn written(seed: u64) -> (Disk, Vec<Expected>) {
    let steps = steps(seed, 60);
    let files = Simulated::default();
    let mut database = open(&files, &options(1)).unwrap();
    for step in &steps {
        model::run(&mut database, step).unwrap();
    }
    drop(database);
    let disk = files.disk().after_loss(Loss::None);
    (disk, expected(&steps))
}

/// The last segment, and where its last record begins.
fn last_record(disk: &mut Disk) -> (String, usize) {
    let name = disk.names().into_iter().rfind(|name| name.starts_with("log-")).unwrap();
    let record = disk.bytes(&name).windows(8).rposition(|window| window == b"SMTREC\0\x01").unwrap();
    (name, record)
}

#[test]
fn a_flipped_bit_anywhere_is_refused_or_drops_the_last_record() {
    for seed in [7, 8] {
        let (mut disk, states) = written(seed);
        let (segment, record) = last_record(&mut disk);
        let last = states.last().unwrap();
        for name in disk.names() {
            let length = disk.bytes(&name).len();
            for at in (0..length).filter(|at| length < 1000 || at % 3 == seed as usize % 3) {
                let mut damaged = disk.clone();
                damaged.bytes(&name)[at] ^= 1 << (at % 8);
                let context = format!("seed {seed}, {name}, byte {at}");
                match open(&Simulated::new(damaged), &options(1)) {
                    Err(OpenError::Disk(Fault::Io { .. })) => panic!("{context}: not recognised"),
                    Err(_) => {}
                    Ok(database) => {
                        assert!(name == segment && at >= record, "{context}: unnoticed");
                        assert_eq!(database.sequence() + 1, last.sequence, "{context}");
                        assert!(states.iter().any(|state| state.root == database.root().unwrap()), "{context}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_cut_file_is_refused_or_gives_an_earlier_state() {
    let (disk, states) = written(9);
    for name in disk.names() {
        let length = disk.clone().bytes(&name).len();
        for cut in (0..length).step_by(7) {
            let mut damaged = disk.clone();
            damaged.bytes(&name).truncate(cut);
            if let Ok(database) = open(&Simulated::new(damaged), &options(1)) {
                assert!(name.starts_with("log-"), "{name} cut at {cut}");
                let (root, sequence) = (database.root().unwrap(), database.sequence());
                assert!(states.iter().any(|state| (state.root, state.sequence) == (root, sequence)), "{name} at {cut}");
            }
        }
    }
}

#[test]
fn a_missing_file_is_refused() {
    let (mut disk, _) = written(10);
    let (segment, _) = last_record(&mut disk);
    for name in disk.names() {
        let mut damaged = disk.clone();
        damaged.remove(&name);
        match open(&Simulated::new(damaged), &options(1)) {
            Err(OpenError::ManifestMissing { .. }) => assert_eq!(name, "manifest"),
            Err(OpenError::Disk(Fault::Missing { file })) => assert!(file.starts_with("run-"), "{name}"),
            Err(OpenError::Disk(Fault::Corrupt { .. } | Fault::LogTooShort { .. })) => {
                assert!(name.starts_with("log-"))
            }
            Err(error) => panic!("{name}: {error}"),
            // What tells of records behind the last manifest is the log alone.
            Ok(_) => assert_eq!(name, segment),
        }
    }
}

/// Of the log, only the end may be missing.
#[test]
fn a_damaged_record_before_the_last_is_named() {
    let (mut disk, _) = written(11);
    let (segment, record) = last_record(&mut disk);
    let header = 88;
    assert!(record > header, "the last segment has two records");
    let mut damaged = disk.clone();
    damaged.bytes(&segment)[header + 200] ^= 1;
    match open(&Simulated::new(damaged), &options(1)).err() {
        Some(OpenError::Disk(Fault::Corrupt { file, offset, what })) => {
            assert_eq!((file, offset), (segment, header as u64));
            assert!(what.contains("was durable"), "{what}");
        }
        other => panic!("{other:?}"),
    }
}

/// The record after it is cut off, but shows that the one before had been durable.
#[test]
fn a_damaged_record_before_one_that_is_cut_off_is_refused() {
    let (mut disk, _) = written(11);
    let (segment, record) = last_record(&mut disk);
    let bytes = disk.bytes(&segment);
    bytes[record - 1] ^= 1;
    bytes.truncate(record + 20);
    let error = open(&Simulated::new(disk), &options(1)).err();
    assert!(
        matches!(error, Some(OpenError::Disk(Fault::Corrupt { what, .. })) if what.contains("bytes follow")),
        "{error:?}"
    );
}

#[test]
fn the_record_a_manifest_names_as_durable_must_be_there() {
    let (disk, states) = written(12);
    let files = Simulated::new(disk);
    drop(open(&files, &options(1)).unwrap());
    let (segment, record) = last_record(&mut files.disk());
    let want = states.last().unwrap().sequence;
    let error = |change: &dyn Fn(&mut Disk)| {
        let mut damaged = files.disk().clone();
        change(&mut damaged);
        open(&Simulated::new(damaged), &options(1)).err()
    };
    for error in [
        error(&|disk| disk.remove(&segment)),
        error(&|disk| disk.bytes(&segment).truncate(record)),
        error(&|disk| disk.bytes(&segment).truncate(0)),
        error(&|disk| disk.bytes(&segment)[record + 30] ^= 1),
    ] {
        assert!(matches!(error, Some(OpenError::Disk(Fault::LogTooShort { want: at, .. })) if at == want), "{error:?}");
    }
}

#[test]
fn another_version_and_other_settings_are_refused() {
    let (mut disk, _) = written(12);
    let error = |disk: Disk, options| open(&Simulated::new(disk), &options).err().unwrap();
    let other = options(2);
    assert!(matches!(
        error(disk.clone(), other),
        OpenError::Settings { setting: "partition trits", stored: 1, asked: 2 }
    ));
    let mut other = options(1);
    other.trie = Settings { root_depth: 3, ..other.trie };
    assert!(matches!(error(disk.clone(), other), OpenError::Settings { setting: "root depth", stored: 0, asked: 3 }));
    disk.bytes("manifest")[7] = 9;
    assert!(matches!(error(disk, options(1)), OpenError::Version { found: 9, supported: 1 }));
}

#[test]
fn files_of_others_are_left_alone() {
    let (disk, states) = written(13);
    let files = Simulated::new(disk);
    for name in ["log-1", "run-0-zz", "README", "log-000000000000000g"] {
        drop(smt_trie::disk::Files::create(&files, name).unwrap());
    }
    let database = open(&files, &options(1)).unwrap();
    assert!(states.last().unwrap().is_shown_by(&database));
    for name in ["log-1", "run-0-zz", "README", "log-000000000000000g"] {
        assert!(files.disk().names().contains(&name.to_owned()), "{name}");
    }
}

/// Runs replace the log, so they are read back before they do.
#[test]
fn a_run_that_the_disk_garbles_never_counts() {
    let files = Simulated::default();
    let mut database = open(&files, &options(1)).unwrap();
    let batch: Vec<_> = (0..50).map(|n| ([n; 32], Some(Leaf { value: vec![n; 9], sum: 1 }))).collect();
    database.update(&batch).unwrap();
    database.commit_epoch(1).unwrap();
    let root = database.root().unwrap();
    files.disk().plant = Plant::Garble("run-");
    assert!(matches!(database.fold(), Err(Error::Disk(Fault::Corrupt { file, .. })) if file.starts_with("run-")));
    assert!(matches!(database.fold(), Err(Error::Poisoned)));
    drop(database);
    files.disk().plant = Plant::Nothing;
    let mut database = open(&files, &options(1)).unwrap();
    assert_eq!(database.reader().root(Version::Epoch(1)).unwrap(), root);
    database.fold().unwrap();
    let (log, runs) = database.disk_bytes().unwrap();
    assert_eq!((log > 0, runs), (true, 50 * 51 + 56), "all keys are in the first partition");
}

/// What comes back into memory must be what left it.
#[test]
fn a_partition_damaged_while_it_was_evicted_is_an_error_and_nothing_else_changes() {
    for prefix in ["run-", "log-"] {
        let files = Simulated::default();
        let mut database = Database::open(files.clone(), Options { cache_bytes: Some(1), ..options(1) }).unwrap();
        let batch: Vec<_> = (0..90).map(|n| ([n; 32], Some(Leaf { value: vec![n; 9], sum: 1 }))).collect();
        database.update(&batch[..60]).unwrap();
        database.commit_epoch(1).unwrap();
        database.fold().unwrap();
        let root = database.update(&batch).unwrap();
        let sound = files.disk().clone();
        for name in sound.names().iter().filter(|name| name.starts_with(prefix)) {
            // A value in a run, the last one of a log segment.
            let at = files.disk().bytes(name).len() - 34 - if prefix == "log-" { 0 } else { 60 };
            files.disk().bytes(name)[at] ^= 1;
        }
        let mut failed = 0;
        for (key, leaf) in &batch {
            match database.get(key) {
                Ok(found) => assert_eq!(found, *leaf),
                Err(Error::Disk(Fault::Corrupt { .. } | Fault::Partition { .. })) => failed += 1,
                Err(error) => panic!("{error}"),
            }
        }
        assert!(failed > 0, "{prefix}");
        let repaired = sound.after_loss(Loss::None);
        *files.disk() = repaired;
        assert_eq!(database.root().unwrap(), root);
        assert_eq!(database.get(&[80; 32]).unwrap(), batch[80].1);
    }
}
