//! Opening: what the manifest names is read, checked against the roots written down, and only then is anything
//! changed on disk.
//!
//! 1. Manifest: version, settings. Without one there must be no other file of the format either; then an empty one is
//!    written.
//! 2. Log: all segments from the manifest's first one on are walked, record by record.
//! 3. Partitions, side by side: run, then the log, version by version.
//! 4. The root of every retained epoch and of the newest state must be the one in its record.
//! 5. The last segment and the manifest are written again, so that nothing rests on bytes whose sync once failed.
//! 6. Files the manifest does not name are removed, and the directory is synced.

use super::database::{Database, Options};
use super::error::{Fault, OpenError};
use super::files::{Files, MANIFEST, Name, is_unfinished};
use super::load::{load, load_each};
use super::log::{self, Found, Place, Visit};
use super::manifest::{Manifest, Mark, Run};
use super::reader::Version;
use super::record::{Head, Kind, Link};
use super::state::{Cache, Shared, State};
use crate::{Root, Trie};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, RwLock};

impl Database {
    /// Opens what `files` hold, or creates an empty trie where they hold nothing.
    ///
    /// Cost: runs and log are read once, all partitions hashed anew (side by side), one log segment written. With
    /// bounded memory partitions are dropped again as soon as they are checked.
    ///
    /// # Errors
    ///
    /// Why the files were refused. They are as before then, unless [`Fault::Io`] says that writing them failed.
    ///
    /// # Panics
    ///
    /// If the trie's settings are out of range. They are constants of a program, never input.
    pub fn open(files: impl Files, options: Options) -> Result<Self, OpenError> {
        let files: Box<dyn Files> = Box::new(files);
        let trie = Trie::with_settings(options.trie);
        let names = Names::list(&*files)?;
        let manifest = match Manifest::read(&*files)? {
            Some(manifest) => manifest,
            None => created(&trie, &names)?,
        };
        check_settings(&manifest, &trie)?;
        let (tail, start) = (manifest.tail, manifest.log_start);
        let firsts: Vec<u64> = names.segments.iter().copied().filter(|&first| first > start.sequence).collect();
        let bound = options.cache_bytes;
        let mut index = Index {
            base: manifest.base.map_or(0, |mark| mark.sequence),
            marks: manifest.base.into_iter().collect(),
            cache: Cache::new(bound, manifest.runs.len()),
        };
        let found = log::scan(&*files, &firsts, start, tail, manifest.tail_root, &mut index)?;
        let keep = usize::try_from(options.retain_epochs.get()).unwrap_or(usize::MAX);
        let Index { mut marks, cache, .. } = index;
        marks.drain(..marks.len().saturating_sub(keep));
        let mut state = State { trie, runs: manifest.runs, retained: marks, cache, poisoned: false };
        state.load_all(&*files)?;
        state.check_roots(found.tail_root)?;
        let log = settle(&*files, &names, found, &state, start, &options)?;
        state.cache.opened();
        let shared = Shared { files, state: RwLock::new(state), pins: Mutex::new(BTreeMap::new()) };
        Ok(Self::new(shared, log, options))
    }
}

/// The manifest of an empty trie, if that is what there is.
fn created(trie: &Trie, names: &Names) -> Result<Manifest, OpenError> {
    let segments = names.segments.iter().map(|&first| Name::Segment(first));
    let mut left = segments.chain(names.runs.iter().map(|&(partition, file)| Name::Run(partition, file)));
    if let Some(name) = left.next() {
        return Err(OpenError::ManifestMissing { file: name.text() });
    }
    let settings = trie.settings();
    Ok(Manifest {
        root_depth: settings.root_depth,
        partition_trits: settings.partition_trits,
        base: None,
        log_start: Link::default(),
        tail: Link::default(),
        tail_root: Root::EMPTY,
        runs: vec![Run::EMPTY; trie.partition_count()],
    })
}

fn check_settings(manifest: &Manifest, trie: &Trie) -> Result<(), OpenError> {
    let asked = trie.settings();
    for (setting, stored, asked) in [
        ("root depth", manifest.root_depth, asked.root_depth),
        ("partition trits", manifest.partition_trits, asked.partition_trits),
    ] {
        if stored != asked {
            return Err(OpenError::Settings { setting, stored, asked });
        }
    }
    if manifest.runs.len() != trie.partition_count() {
        return Err(Fault::corrupt(MANIFEST, 0, "number of partitions").into());
    }
    Ok(())
}

/// Files of the format, by name.
struct Names {
    unfinished: Vec<String>,
    /// Ascending.
    segments: Vec<u64>,
    runs: Vec<(usize, u64)>,
}

impl Names {
    fn list(files: &dyn Files) -> Result<Self, Fault> {
        let mut names = Self { unfinished: Vec::new(), segments: Vec::new(), runs: Vec::new() };
        for text in files.list().map_err(Fault::io("listing", "the directory"))? {
            match Name::parse(&text) {
                Some(Name::Segment(first)) => names.segments.push(first),
                Some(Name::Run(partition, file)) => names.runs.push((partition, file)),
                None if is_unfinished(&text) => names.unfinished.push(text),
                None => {}
            }
        }
        names.segments.sort_unstable();
        names.runs.sort_unstable();
        Ok(names)
    }
}

/// What the log says, by epoch and by partition.
struct Index {
    /// Sequence number of the oldest epoch that may be retained.
    base: u64,
    marks: VecDeque<Mark>,
    cache: Cache,
}

impl Visit for Index {
    fn record(&mut self, head: &Head, place: Place) -> Result<(), Fault> {
        let Link { sequence, position, .. } = head.link;
        match head.kind {
            Kind::Batch(_) => self.cache.note(sequence, place, super::bytes::wide(head.head_bytes), &head.parts),
            Kind::Epoch(epoch) if sequence > self.base => {
                let mark = Mark { epoch, sequence, position, root: head.root };
                // Only what this program did not write can break the order of epochs.
                if self.marks.back().is_some_and(|newest| newest.epoch >= epoch) {
                    let name = Name::Segment(place.segment).text();
                    return Err(Fault::corrupt(&name, place.offset, "epochs out of order"));
                }
                self.marks.push_back(mark);
            }
            Kind::Epoch(_) => {}
        }
        Ok(())
    }
}

impl State {
    /// Loads all partitions, as many at a time as there are threads where memory is bounded.
    fn load_all(&mut self, files: &dyn Files) -> Result<(), Fault> {
        let retained: Vec<Mark> = self.retained.iter().copied().collect();
        let partitions: Vec<usize> = (0..self.runs.len()).collect();
        let together = if self.cache.is_bounded() { rayon::current_num_threads() } else { partitions.len() };
        for partitions in partitions.chunks(together.max(1)) {
            let loaded = load_each(&self.trie, partitions, |partition| {
                let (run, parts) = self.stored(partition)?;
                load(files, &self.trie, partition, run, parts, &retained)
            })?;
            for (partition, loaded) in loaded {
                self.trie.install(partition, loaded);
            }
            self.evict();
        }
        self.trie.seal();
        Ok(())
    }

    /// Every retained epoch and the newest state must have the roots that were written when they were current.
    fn check_roots(&self, tail_root: Root) -> Result<(), OpenError> {
        let epochs =
            self.retained.iter().map(|mark| (Version::Epoch(mark.epoch), self.trie.root_at(mark.epoch), mark.root));
        for (version, got, want) in epochs.chain([(Version::Current, Some(self.trie.root()), tail_root)]) {
            let got = got.unwrap_or(Root::EMPTY);
            if got != want {
                return Err(OpenError::RootMismatch { version, want, got });
            }
        }
        Ok(())
    }
}

/// Makes what was found durable, and removes what does not count.
fn settle(
    files: &dyn Files,
    names: &Names,
    found: Found,
    state: &State,
    log_start: Link,
    options: &Options,
) -> Result<log::Log, Fault> {
    let remove = |name: &str| files.remove(name).map_err(Fault::io("removing", name));
    for name in &names.unfinished {
        remove(name)?;
    }
    let unfinished = found.unfinished;
    let tail_root = found.tail_root;
    let log = found.into_log(files, options.segment_bytes)?;
    let settings = state.trie.settings();
    let manifest = Manifest {
        root_depth: settings.root_depth,
        partition_trits: settings.partition_trits,
        base: state.retained.front().copied(),
        log_start,
        tail: log.tail,
        tail_root,
        runs: state.runs.clone(),
    };
    manifest.write(files)?;
    for &first in &names.segments {
        if first <= log_start.sequence || Some(first) == unfinished {
            remove(&Name::Segment(first).text())?;
        }
    }
    for &(partition, file) in &names.runs {
        let named = state.runs.get(partition).is_some_and(|run| run.bytes > 0 && run.file == file);
        if !named {
            remove(&Name::Run(partition, file).text())?;
        }
    }
    // Before anything is appended: a segment whose header was cut off must not come back behind one that has grown.
    files.sync_directory().map_err(Fault::io("syncing", "the directory"))?;
    Ok(log)
}
