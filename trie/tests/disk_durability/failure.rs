//! Every operation fails once.

use crate::model::{self, Step, expected, observe, open, options, steps};
use crate::simulated::{Disk, Loss, Simulated};
use smt_trie::disk::{Error, Fault, OpenError, Version};
use std::io::ErrorKind;

/// Runs until an operation fails; returns how many steps had returned.
fn run_into(files: &Simulated, steps: &[Step]) -> Option<usize> {
    let mut database = match open(files, &options(1)) {
        Ok(database) => database,
        Err(error) => {
            assert!(matches!(error, OpenError::Disk(Fault::Io { .. })), "{error:?}");
            return Some(0);
        }
    };
    let reader = database.reader();
    for (done, step) in steps.iter().enumerate() {
        if let Err(error) = model::run(&mut database, step) {
            assert!(matches!(error, Error::Disk(Fault::Io { .. })), "step {done}: {error:?}");
            // Nothing works any more, whatever the disk would do now.
            let operations = files.operations();
            assert!(matches!(database.update(&[([1; 32], None::<smt_trie::Leaf>)]), Err(Error::Poisoned)));
            assert!(matches!(database.commit_epoch(u64::MAX), Err(Error::Poisoned)));
            assert!(matches!(database.prune(0), Err(Error::Poisoned)));
            assert!(matches!(database.fold(), Err(Error::Poisoned)));
            assert!(matches!(database.root(), Err(Error::Poisoned)));
            assert!(matches!(reader.root(Version::Current), Err(Error::Poisoned)));
            assert_eq!(files.operations(), operations);
            return Some(done);
        }
    }
    None
}

#[test]
fn after_any_failure_the_handle_is_dead_and_the_files_are_whole() {
    for (seed, kind) in [(5, ErrorKind::StorageFull), (6, ErrorKind::Other)] {
        let steps = steps(seed, 50);
        let states = expected(&steps);
        let later = model::steps(seed + 100, 5);
        for operation in 0.. {
            let context = format!("seed {seed}, operation {operation}");
            let files = Simulated::new(Disk::failing(operation, kind));
            let Some(done) = run_into(&files, &steps) else {
                assert!(operation > 100, "{context}");
                break;
            };
            let allowed = &states[done..(done + 2).min(states.len())];
            let check = |disk: Disk, what: &str| {
                let files = Simulated::new(disk);
                let database = open(&files, &options(1)).unwrap_or_else(|error| panic!("{context}, {what}: {error}"));
                let state = allowed.iter().find(|state| state.is_shown_by(&database));
                state.unwrap_or_else(|| panic!("{context}, {what}: {:?}", observe(&database)));
                (files, database)
            };
            check(files.disk().after_loss(Loss::All), "power lost");
            check(files.disk().after_loss(Loss::Some(operation as u64)), "power half lost");
            // The process alone starts again: it reads what was never made durable, and builds on it.
            let mut left = files.disk().clone();
            left.fail = None;
            left.trace.clear();
            let (files, mut database) = check(left.clone(), "restarted");
            let recovery = files.disk().trace.clone();
            for end in 0..=recovery.len() {
                let loss = Loss::Some(seed << 40 | (operation as u64) << 16 | end as u64);
                check(left.clone().replay(&recovery[..end]).after_loss(loss), "power lost in recovery");
            }
            for step in later.iter().filter(|step| matches!(step, Step::Update(_))) {
                model::run(&mut database, step).unwrap();
            }
            let shown = observe(&database);
            drop(database);
            let left = Simulated::new(files.disk().after_loss(Loss::All));
            let database = open(&left, &options(1)).unwrap_or_else(|error| panic!("{context}, later: {error}"));
            assert_eq!(observe(&database), shown, "{context}");
        }
    }
}

#[test]
fn refused_calls_change_nothing() {
    let files = Simulated::default();
    let mut database = open(&files, &options(1)).unwrap();
    let leaf = |value: Vec<u8>| Some(smt_trie::Leaf { value, sum: u64::MAX });
    database.update(&[([1; 32], leaf(vec![1]))]).unwrap();
    database.commit_epoch(5).unwrap();
    let (shown, operations) = (observe(&database), files.operations());
    assert!(matches!(database.update(&[([2; 32], leaf(vec![1]))]), Err(Error::Update(_))));
    assert!(matches!(database.update(&[([1; 32], leaf(vec![0; 1025]))]), Err(Error::Update(_))));
    assert!(matches!(database.update(&[([1; 32], leaf(vec![])), ([1; 32], None)]), Err(Error::Update(_))));
    assert!(matches!(database.commit_epoch(5), Err(Error::EpochOrder { got: 5, newest: 5 })));
    assert_eq!(database.update::<Vec<u8>>(&[]).unwrap(), shown.0);
    assert!(matches!(database.reader().root(Version::Epoch(4)), Err(Error::EpochNotRetained { epoch: 4 })));
    assert_eq!((observe(&database), files.operations()), (shown, operations));
}
