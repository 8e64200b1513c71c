//! Commits: one writer at a time, poisoned by the first failure.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use rocksdb::{DB, WriteBatch, WriteOptions};

use super::wal::Mark;
use super::{Column, StoreError};

/// Largest write set, in bytes of keys and values: far below what RocksDB takes (4 GiB), and above the largest cut: the core
/// keeps at most 262,144 payments out of cuts, at some 700 bytes each.
pub const MAX_WRITE_SET_BYTES: usize = 1024 * 1024 * 1024;

/// When a commit returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Once it is on the disk, with all that was committed before.
    Synced,
    /// Once it is in the log file: survives the process, not the machine.
    Buffered,
}

/// Puts and deletes that become visible and durable together, applied in the order given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WriteSet {
    /// Key on disk; `None` deletes.
    writes: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    bytes: usize,
}

impl WriteSet {
    /// An empty set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets `key` to `value`.
    pub fn put(&mut self, column: Column, key: &[u8], value: impl Into<Vec<u8>>) {
        self.push(column.key(key), Some(value.into()));
    }

    /// Removes `key`, which need not exist.
    pub fn delete(&mut self, column: Column, key: &[u8]) {
        self.push(column.key(key), None);
    }

    /// Takes over the writes of `later`, behind its own.
    pub fn append(&mut self, later: WriteSet) {
        self.bytes = self.bytes.saturating_add(later.bytes);
        self.writes.extend(later.writes);
    }

    /// Number of puts and deletes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.writes.len()
    }

    /// Whether there is nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    /// Bytes of keys and values.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    fn push(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) {
        let bytes = key.len().saturating_add(value.as_ref().map_or(0, Vec::len));
        self.bytes = self.bytes.saturating_add(bytes);
        self.writes.push((key, value));
    }
}

/// What was committed through one handle, for reports and metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreCounters {
    /// Commits that returned after a sync.
    pub synced_commits: u64,
    /// Commits that returned without one.
    pub buffered_commits: u64,
    /// Bytes handed to the write-ahead log, before its framing.
    pub bytes_written: u64,
}

/// The write side of a store.
#[derive(Debug)]
pub(super) struct Writer {
    state: Mutex<State>,
    failed: AtomicBool,
    synced_commits: AtomicU64,
    buffered_commits: AtomicU64,
    bytes_written: AtomicU64,
}

#[derive(Debug)]
struct State {
    mark: Mark,
    failure: Option<String>,
}

impl Writer {
    /// `floor`: sequence number up to which opening the store found, and so made, everything durable.
    pub(super) fn new(store_mark: [u8; 16], floor: u64) -> Self {
        Self {
            state: Mutex::new(State { mark: Mark { store: store_mark, floor, synced: floor }, failure: None }),
            failed: AtomicBool::new(false),
            synced_commits: AtomicU64::new(0),
            buffered_commits: AtomicU64::new(0),
            bytes_written: AtomicU64::new(0),
        }
    }

    pub(super) fn commit(&self, db: &DB, dir: &Path, set: WriteSet, durability: Durability) -> Result<(), StoreError> {
        if set.bytes > MAX_WRITE_SET_BYTES {
            return Err(StoreError::TooLarge { got: set.bytes, max: MAX_WRITE_SET_BYTES });
        }
        // One commit at a time, although RocksDB could join concurrent ones: the mark needs the order of the log, and no commit may
        // slip in between a failure and the refusal of what follows. The caller joins what should share a sync into one set.
        // A thread that panicked in here left the state whole, since it is changed only after RocksDB has answered.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cause) = &state.failure {
            return Err(StoreError::Failed { dir: dir.to_path_buf(), cause: cause.clone() });
        }
        let synced = durability == Durability::Synced;
        if set.is_empty() && !synced {
            return Ok(());
        }
        let (written, result) = if set.is_empty() {
            (0, db.flush_wal(true))
        } else {
            let mut batch = WriteBatch::with_capacity_bytes(
                set.bytes.saturating_add(set.len().saturating_mul(8)).saturating_add(64),
            );
            // First in the batch, where the check of the log looks for it.
            batch.put_log_data(state.mark.encode());
            for (key, value) in set.writes {
                match value {
                    Some(value) => batch.put(key, value),
                    None => batch.delete(key),
                }
            }
            let mut options = WriteOptions::default();
            options.set_sync(synced);
            (batch.size_in_bytes(), db.write_opt(batch, &options))
        };
        if let Err(source) = result {
            state.failure = Some(source.to_string());
            self.failed.store(true, Ordering::Release);
            return Err(StoreError::Write {
                dir: dir.to_path_buf(),
                operation: if synced { "write and sync" } else { "write" },
                source,
            });
        }
        self.bytes_written.fetch_add(u64::try_from(written).unwrap_or(u64::MAX), Ordering::Relaxed);
        if synced {
            state.mark.synced = db.latest_sequence_number();
            self.synced_commits.fetch_add(1, Ordering::Relaxed);
        } else {
            self.buffered_commits.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    pub(super) fn is_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    pub(super) fn counters(&self) -> StoreCounters {
        StoreCounters {
            synced_commits: self.synced_commits.load(Ordering::Relaxed),
            buffered_commits: self.buffered_commits.load(Ordering::Relaxed),
            bytes_written: self.bytes_written.load(Ordering::Relaxed),
        }
    }
}
