//! Folding: writing partitions anew as runs, so that the log behind them can go.
//!
//! # The rule
//!
//! Let `A` be the *allowance*: half of the bytes of all runs, but at least two log segments. A partition *lags* by
//! the bytes of log between its run and the oldest retained epoch. After each epoch, with `P` partitions in order of
//! their lag, largest first, the one of rank `r` (0 to P-1) may lag by at most `A * (P - r) / P`; the largest are
//! folded until all keep to it. So whenever `A / P` bytes of log become foldable, one partition is folded: none lags
//! by more than `A`, the log stays below `A` and what the retained epochs need, and no epoch folds everything at
//! once. Nothing but the lags enters, so it goes on after a restart where it was.
//!
//! Every byte of log is thus answered by two bytes of run, however long the epochs are. A partition in which nothing
//! has changed since its run moves on for nothing.
//!
//! # Order of writes
//!
//! New runs are written and synced, read back and compared with the trie, their names synced; then the manifest names
//! them; then old runs and segments are removed. Whatever ends it, there is a manifest all of whose files are there.

use super::bytes::wide;
use super::database::Database;
use super::error::{Error, Fault};
use super::files::Name;
use super::manifest::{Manifest, Mark, Run};
use super::run;
use super::state::State;
use crate::Root;

/// Part of the runs' bytes that the log may have before partitions are folded.
const RUNS_PER_LOG: u64 = 2;
/// Segments the log may have however small the runs are.
const SEGMENTS_MIN: u64 = 2;

/// How much log is allowed to wait for folding.
pub(super) fn allowance(runs: &[Run], segment_bytes: u64) -> u64 {
    let bytes = runs.iter().fold(0u64, |sum, run| sum.saturating_add(run.bytes));
    (bytes / RUNS_PER_LOG).max(segment_bytes.saturating_mul(SEGMENTS_MIN))
}

/// The partitions to fold, those that lag most first.
fn due(runs: &[Run], base: &Mark, allowance: u64) -> Vec<usize> {
    let lag = |partition: usize| base.position.saturating_sub(runs.get(partition).map_or(0, |run| run.position));
    let mut order: Vec<usize> = (0..runs.len()).collect();
    order.sort_by_key(|&partition| std::cmp::Reverse(lag(partition)));
    let count = wide(order.len());
    // What was folded has no lag and comes last; the others keep their order and move up.
    let keeps_to_it = |folded: usize| {
        let rest = order.iter().skip(folded);
        rest.zip((0..=count).rev()).all(|(&partition, left)| {
            u128::from(lag(partition)).saturating_mul(u128::from(count))
                <= u128::from(allowance).saturating_mul(u128::from(left))
        })
    };
    let folded = (0..=order.len()).find(|&folded| keeps_to_it(folded)).unwrap_or(order.len());
    order.truncate(folded);
    order
}

impl Database {
    /// Folds what lags too far behind the oldest retained epoch, and writes the manifest if anything was folded or
    /// `write_anyway`.
    ///
    /// # Errors
    ///
    /// All but a refused load leave memory and disk in an unknown relation: the caller poisons the handle.
    pub(super) fn fold_within(&mut self, allowance: u64, write_anyway: bool) -> Result<(), Error> {
        let (base, old) = {
            let state = self.shared.read()?;
            (state.retained.front().copied(), state.runs.clone())
        };
        let Some(base) = base else { return Ok(()) };
        let mut runs = old.clone();
        self.advance_unchanged(&mut runs, &base)?;
        let due = due(&runs, &base, allowance);
        if due.is_empty() && !write_anyway {
            return Ok(());
        }
        for &partition in &due {
            let folded = self.fold_one(partition, &base)?;
            if let Some(run) = runs.get_mut(partition) {
                *run = folded;
            }
        }
        self.switch_to(runs, &old, base)
    }

    /// Moves runs on whose partition was the same at `base`.
    fn advance_unchanged(&self, runs: &mut [Run], base: &Mark) -> Result<(), Error> {
        let state = self.shared.read()?;
        for (partition, run) in runs.iter_mut().enumerate() {
            if run.sequence < base.sequence && root_at(&state, partition, base.epoch) == Some(run.root) {
                (run.sequence, run.position) = (base.sequence, base.position);
            }
        }
        Ok(())
    }

    /// Writes, syncs and checks the run of one partition at `base`.
    fn fold_one(&mut self, partition: usize, base: &Mark) -> Result<Run, Error> {
        let shared = &self.shared;
        let buffers = &mut self.buffers;
        shared.with(
            |_| vec![partition],
            |state| {
                let root = root_at(state, partition, base.epoch).ok_or(Fault::Partition { partition })?;
                let (sequence, position) = (base.sequence, base.position);
                let empty = Run { sequence, position, ..Run::EMPTY };
                let held = state.trie.partition(partition).ok_or(Fault::Partition { partition })?;
                if held.root_at(base.epoch).is_none_or(|root| root.len == 0) {
                    return Ok(empty);
                }
                let name = Name::Run(partition, sequence).text();
                let written = run::write(&*shared.files, &name, partition, (held, base.epoch), buffers)?;
                let run::Written { bytes, checksum } = written;
                Ok(Run { file: sequence, bytes, checksum, root, ..empty })
            },
        )?
    }

    /// Makes `runs` and `base` the manifest's, and removes what it no longer names.
    fn switch_to(&mut self, runs: Vec<Run>, old: &[Run], base: Mark) -> Result<(), Error> {
        let shared = &*self.shared;
        let files = &*shared.files;
        if runs.iter().zip(old).any(|(new, old)| new.bytes > 0 && new.file != old.file) {
            files.sync_directory().map_err(Fault::io("syncing the directory of", "runs"))?;
        }
        let folded_to = runs.iter().map(|run| run.sequence).min().unwrap_or(0);
        let (segments, log_start) = self.log.droppable(folded_to);
        {
            let mut state = shared.write()?;
            let settings = state.trie.settings();
            let manifest = Manifest {
                root_depth: settings.root_depth,
                partition_trits: settings.partition_trits,
                base: Some(base),
                log_start,
                tail: self.log.tail,
                tail_root: state.trie.root(),
                runs,
            };
            manifest.write(files)?;
            // From here on, loads must use the new runs, as the old ones are removed.
            state.cache.forget(&manifest.runs);
            state.runs = manifest.runs;
        }
        let state = shared.read()?;
        for (partition, (new, old)) in state.runs.iter().zip(old).enumerate() {
            if old.bytes > 0 && (new.bytes == 0 || new.file != old.file) {
                let name = Name::Run(partition, old.file).text();
                files.remove(&name).map_err(Fault::io("removing", &name))?;
            }
        }
        drop(state);
        Ok(self.log.drop_oldest(files, segments)?)
    }
}

/// Hash and sum of a partition at a retained epoch.
fn root_at(state: &State, partition: usize, epoch: u64) -> Option<Root> {
    state.trie.partition_root(partition, Some(epoch)).map(|root| Root { hash: root.hash, sum: root.sum })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(position: u64) -> Run {
        Run { position, ..Run::EMPTY }
    }

    #[test]
    fn partitions_take_turns_and_none_lags_by_more_than_the_allowance() {
        let mut runs = vec![at(0); 27];
        let mut base = Mark { epoch: 0, sequence: 0, position: 0, root: Root::EMPTY };
        let mut folds = Vec::new();
        for epoch in 0..200 {
            base = Mark { epoch, position: base.position + 1000, ..base };
            let due = due(&runs, &base, 27_000);
            assert!(due.len() <= 1, "one allowance / 27 of log, one fold");
            due.iter().for_each(|&partition| runs[partition] = at(base.position));
            folds.extend(due);
            assert!(runs.iter().all(|run| base.position - run.position <= 27_000));
        }
        assert!(folds.len() >= 190, "{} folds", folds.len());
        assert!(folds.windows(27).all(|window| (0..27).all(|partition| window.contains(&partition))));
    }

    #[test]
    fn without_allowance_all_that_lag_are_due() {
        let base = Mark { epoch: 0, sequence: 0, position: 10, root: Root::EMPTY };
        assert_eq!(due(&[at(10), at(4), at(10), at(0)], &base, 0), vec![3, 1]);
        assert_eq!(due(&[at(10), at(4)], &base, 100), Vec::<usize>::new());
    }
}
