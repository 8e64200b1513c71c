//! Every planted bug is caught by some seed.
#![allow(missing_docs, clippy::unwrap_used, clippy::arithmetic_side_effects, reason = "tests")]

use smt_consensus::planted::{Bug, plant};
use smt_sim::{Options, Verdict, simulate};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Seeds each bug may take.
const SEEDS: u64 = 200;

#[test]
fn every_planted_bug_is_caught_within_200_seeds() {
    let next = AtomicUsize::new(0);
    let missed = Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(bug) = Bug::ALL.get(next.fetch_add(1, Ordering::SeqCst)) {
                    plant(Some(*bug));
                    let caught = (0..SEEDS).find_map(|seed| match simulate(seed, Options::default()).verdict {
                        Verdict::Failed(name, what) => Some((seed, name, what)),
                        _ => None,
                    });
                    plant(None);
                    match caught {
                        Some((seed, name, what)) => println!("{bug:?}: seed {seed}: {name}: {what}"),
                        None => missed.lock().unwrap().push(*bug),
                    }
                }
            });
        }
    });
    let missed = missed.into_inner().unwrap();
    assert!(missed.is_empty(), "not caught within {SEEDS} seeds: {missed:?}");
}
