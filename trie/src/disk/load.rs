//! One partition from disk to memory: its run, then what the log adds, version by version.

use super::bytes::{Bytes, narrow};
use super::error::Fault;
use super::files::{Files, Name};
use super::log::Part;
use super::manifest::{Mark, Run};
use super::record::take_entry;
use super::run;
use crate::partition::Partition;
use crate::update::Scratch;
use crate::{Key, KeyPath, Leaf, Parallel, Trie};
use rayon::prelude::*;

type Changes<'a> = Vec<(Key, Option<Leaf<&'a [u8]>>)>;

/// Loads partition `partition` of `trie`: `run`, then its `parts` of the log (in order), with the epochs of `retained`
/// (ascending, none older than the run) as its retained versions.
///
/// Between two versions only the last change of each key is applied, all at once, so each version costs one bulk
/// update. Memory beyond the partition: the run's file and the parts, once, and 64 bytes an entry.
///
/// That the result is what was written is for the caller to check, by its roots.
pub(super) fn load(
    files: &dyn Files,
    trie: &Trie,
    partition: usize,
    run: &Run,
    parts: &[Part],
    retained: &[Mark],
) -> Result<Partition, Fault> {
    let first = parts.partition_point(|part| part.sequence <= run.sequence);
    let parts = parts.get(first..).unwrap_or_default();
    let logged = read_parts(files, parts)?;
    let mut stored = Vec::new();
    let mut changes = Changes::new();
    if run.bytes > 0 {
        let mut entries = run::read(files, partition, run.file, run.bytes, &run.checksum, &mut stored)?;
        changes.reserve(narrow(entries.left()).min(narrow(run.bytes)));
        while let Some((key, leaf)) = entries.next()? {
            changes.push((key, Some(leaf)));
        }
    }
    let mut loaded = Partition::new(trie.settings().partition_slot(), trie.settings().huge_pages);
    let mut scratch = Scratch::default();
    let mut rest = Bytes(&logged);
    let mut parts = parts.iter().peekable();
    for mark in retained {
        while let Some(part) = parts.next_if(|part| part.sequence < mark.sequence) {
            take_part(part, &mut rest, &mut changes)?;
        }
        apply(&mut loaded, trie, partition, &mut changes, &mut scratch)?;
        loaded.retain(mark.epoch);
    }
    for part in parts {
        take_part(part, &mut rest, &mut changes)?;
    }
    apply(&mut loaded, trie, partition, &mut changes, &mut scratch)?;
    Ok(loaded)
}

/// Calls `load` for each of `partitions`, on all threads if the trie's settings say so.
pub(super) fn load_each(
    trie: &Trie,
    partitions: &[usize],
    load: impl Fn(usize) -> Result<Partition, Fault> + Sync,
) -> Result<Vec<(usize, Partition)>, Fault> {
    let one = |&partition: &usize| Ok((partition, load(partition)?));
    match trie.settings().parallel {
        Parallel::Never => partitions.iter().map(one).collect(),
        Parallel::Auto => partitions.par_iter().map(one).collect(),
    }
}

/// The bytes of all parts, one after the other.
fn read_parts(files: &dyn Files, parts: &[Part]) -> Result<Vec<u8>, Fault> {
    let total = parts.iter().fold(0u64, |sum, part| sum.saturating_add(u64::from(part.bytes)));
    let mut bytes = vec![0; narrow(total)];
    let mut rest = bytes.as_mut_slice();
    for group in parts.chunk_by(|a, b| a.segment == b.segment) {
        let Some(part) = group.first() else { continue };
        let name = Name::Segment(part.segment).text();
        let segment = files.open(&name).map_err(Fault::io("opening", &name))?;
        for part in group {
            let (target, behind) = rest.split_at_mut(narrow(u64::from(part.bytes)));
            rest = behind;
            segment.read_at(part.offset, target).map_err(Fault::io("reading", &name))?;
        }
    }
    Ok(bytes)
}

/// Moves the entries of one part from `rest` to `changes`.
fn take_part<'a>(part: &Part, rest: &mut Bytes<'a>, changes: &mut Changes<'a>) -> Result<(), Fault> {
    let corrupt = || Fault::corrupt(&Name::Segment(part.segment).text(), part.offset, "entry");
    let mut entries = Bytes(rest.take(narrow(u64::from(part.bytes))).ok_or_else(corrupt)?);
    while !entries.is_empty() {
        changes.push(take_entry(&mut entries).ok_or_else(corrupt)?);
    }
    Ok(())
}

/// Applies `changes`, given in the order they were made, and empties them.
fn apply(
    loaded: &mut Partition,
    trie: &Trie,
    partition: usize,
    changes: &mut Changes<'_>,
    scratch: &mut Scratch,
) -> Result<(), Fault> {
    // Stable, so that of one key's changes the last stays last; fast where most is sorted already, as runs are.
    changes.sort_by_key(|(key, _)| *key);
    changes.dedup_by(|later, earlier| {
        let same = later.0 == earlier.0;
        if same {
            std::mem::swap(later, earlier);
        }
        same
    });
    // What lies between two keys of a partition belongs to it too.
    for (key, _) in changes.first().into_iter().chain(changes.last()) {
        if trie.partition_of(key) != partition {
            return Err(Fault::Partition { partition });
        }
    }
    // All keys that stay share the trits before the partition's slot; that the last batches removed may not.
    let mut puts = changes.iter().filter(|(_, leaf)| leaf.is_some()).map(|(key, _)| KeyPath::new(key));
    if let Some(first) = puts.next() {
        let held = loaded.iter(None).next().map_or(first, |(key, _)| KeyPath::new(key));
        let ends = [held, puts.next_back().unwrap_or(first)];
        if ends.iter().any(|end| end.common_trits(&first) < trie.settings().partition_slot()) {
            return Err(Fault::Partition { partition });
        }
    }
    loaded.update(changes, scratch);
    changes.clear();
    Ok(())
}
