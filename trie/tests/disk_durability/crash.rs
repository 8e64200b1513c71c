//! The power goes after every operation of a recorded run, and of the recovery from it.

use crate::model::{self, Expected, Step, expected, observe, open, options, steps};
use crate::simulated::{Disk, Loss, Operation, Plant, Simulated};
use smt_trie::disk::Options;

/// A run: its operations, and how many of them there were when each call had returned; the first is `open`.
struct Recorded {
    trace: Vec<Operation>,
    returned: Vec<usize>,
}

fn record(steps: &[Step], options: &Options, plant: Plant) -> Recorded {
    let files = Simulated::new(Disk::planted(plant));
    let mut database = open(&files, options).unwrap();
    let mut returned = vec![files.operations()];
    for step in steps {
        model::run(&mut database, step).unwrap();
        returned.push(files.operations());
    }
    drop(database);
    let trace = files.disk().trace.clone();
    Recorded { trace, returned }
}

/// Opens what a loss of power left; the state must be one of `allowed`.
fn reopen(disk: Disk, allowed: &[Expected], options: &Options, check_entries: bool) -> Result<Simulated, String> {
    let files = Simulated::new(disk);
    let database = open(&files, options).map_err(|error| format!("refused: {error}"))?;
    let Some(state) = allowed.iter().find(|state| state.is_shown_by(&database)) else {
        return Err(format!("shows {:?}", observe(&database)));
    };
    if check_entries {
        state.assert_entries(&database, "after a loss of power");
    }
    Ok(files)
}

/// The first violation, with what it takes to see it again.
fn violation(seed: u64, count: usize, options: &Options, plant: Plant) -> Option<String> {
    let steps = steps(seed, count);
    let states = expected(&steps);
    let Recorded { trace, returned } = record(&steps, options, plant);
    let mut disk = Disk::default();
    for operations in 0..=trace.len() {
        if operations > 0 {
            disk = disk.replay(&trace[operations - 1..operations]);
        }
        // All calls that had returned must show, and no more than the one under way.
        let done = returned.partition_point(|&at| at <= operations);
        let allowed = &states[done.saturating_sub(1)..(done + 1).min(states.len())];
        let number = seed << 40 | (operations as u64) << 16;
        let losses = [Loss::None, Loss::All, Loss::Some(number), Loss::Some(number + 1)];
        for loss in losses {
            let context = |what| Some(format!("seed {seed}, {options:?}, operation {operations}, {loss:?}: {what}"));
            let left = disk.after_loss(loss);
            let files = match reopen(left.clone(), allowed, options, operations % 8 == 0) {
                Ok(files) => files,
                Err(what) => return context(what),
            };
            if operations % 4 == 1
                && let Err(what) = lose_power_in_recovery(&left, &files, allowed, options, number)
            {
                return context(what);
            }
            if operations % 4 == 0
                && let Err(what) = go_on(&files, options)
            {
                return context(what);
            }
        }
    }
    None
}

/// The power goes again after each operation of the recovery that `files` saw.
fn lose_power_in_recovery(
    left: &Disk,
    files: &Simulated,
    allowed: &[Expected],
    options: &Options,
    number: u64,
) -> Result<(), String> {
    let trace = files.disk().trace.clone();
    for operations in 0..=trace.len() {
        let disk = left.clone().replay(&trace[..operations]);
        for loss in [Loss::All, Loss::Some(number + 2 + operations as u64)] {
            let reopened = reopen(disk.after_loss(loss), allowed, options, false);
            reopened.map_err(|what| format!("recovery's operation {operations}, {loss:?}: {what}"))?;
        }
    }
    Ok(())
}

/// After a recovery, what is acknowledged is durable as ever.
fn go_on(files: &Simulated, options: &Options) -> Result<(), String> {
    let mut database = open(files, options).map_err(|error| format!("refused again: {error}"))?;
    let epoch = database.reader().epochs().unwrap().last().map_or(1, |newest| newest + 1);
    for step in steps(99, 6).iter().filter(|step| matches!(step, Step::Update(_))).chain([&Step::Commit(epoch)]) {
        model::run(&mut database, step).unwrap();
    }
    let shown = observe(&database);
    drop(database);
    let left = files.disk().after_loss(Loss::All);
    let database = open(&Simulated::new(left), options).map_err(|error| format!("later refused: {error}"))?;
    if observe(&database) == shown { Ok(()) } else { Err(format!("later shows {:?}", observe(&database))) }
}

#[test]
fn a_loss_of_power_after_any_operation_costs_nothing_acknowledged() {
    let evicting = Options { cache_bytes: Some(1), ..options(1) };
    for (seed, options) in [(1, options(1)), (2, options(2)), (3, options(0)), (4, options(1)), (5, evicting)] {
        assert_eq!(violation(seed, 70, &options, Plant::Nothing), None);
    }
}

#[test]
fn the_runs_tested_do_everything() {
    let steps = steps(1, 70);
    let Recorded { trace, .. } = record(&steps, &options(1), Plant::Nothing);
    let created = |prefix: &str| {
        trace
            .iter()
            .filter(|operation| matches!(operation, Operation::Create(name) if name.starts_with(prefix)))
            .count()
    };
    let removed = |prefix: &str| {
        trace
            .iter()
            .filter(|operation| matches!(operation, Operation::Remove(name) if name.starts_with(prefix)))
            .count()
    };
    assert!(created("run-") > 5 && created("log-") > 5 && created("manifest") > 5);
    assert!(removed("run-") > 2 && removed("log-") > 2);
    for kind in 0..4 {
        let is_of_kind = |step: &Step| match step {
            Step::Update(_) => kind == 0,
            Step::Commit(_) => kind == 1,
            Step::Prune(_) => kind == 2,
            Step::Fold => kind == 3,
        };
        assert!(steps.iter().any(is_of_kind), "kind {kind}");
    }
}

/// A segment that was only just created is dropped; it must not come back behind its predecessor, which grows again.
#[test]
fn a_dropped_segment_does_not_come_back() {
    let steps = steps(6, 40);
    let trace = record(&steps, &options(1), Plant::Nothing).trace;
    let is_segment = |operation: &Operation| matches!(operation, Operation::Create(name) if name.starts_with("log-0"));
    let created = trace.iter().rposition(is_segment).unwrap();
    let left = Disk::default().replay(&trace[..=created]).after_loss(Loss::None);
    let files = Simulated::new(left.clone());
    let long = Options { segment_bytes: 1 << 20, ..options(1) };
    let mut database = open(&files, &long).unwrap();
    let before = observe(&database);
    model::run(&mut database, steps.iter().find(|step| matches!(step, Step::Update(_))).unwrap()).unwrap();
    let after = observe(&database);
    let trace = files.disk().trace.clone();
    let is_append = |operation: &Operation| matches!(operation, Operation::Append(..));
    let appended = trace.iter().rposition(is_append).unwrap();
    for seed in 0..50 {
        let lost = left.clone().replay(&trace[..=appended]).after_loss(Loss::Some(seed));
        let database = open(&Simulated::new(lost), &long).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert!([&before, &after].contains(&&observe(&database)), "seed {seed}");
    }
}

/// The harness sees what it is for: with each of these mistakes some loss of power shows.
#[test]
fn missing_syncs_are_found() {
    let plants = [
        Plant::NoSync,
        Plant::NoSyncDirectory,
        Plant::NoSyncOf("log-"),
        Plant::NoSyncOf("run-"),
        Plant::NoSyncOf("manifest"),
    ];
    for plant in plants {
        assert!(violation(1, 70, &options(1), plant).is_some(), "{plant:?} goes unnoticed");
    }
}
