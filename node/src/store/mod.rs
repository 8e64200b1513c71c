//! The store of one replica: every record that must outlive the process, in one RocksDB behind one small interface.
//!
//! **Shape.** A directory holds `lock`, and `store/` with `VERSION` (format number, identity, WAL mark) and `db/` (RocksDB, one column
//! family). A [`Column`] is the first byte of a key, not a column family: dozens of stores share a process, and each column family would
//! bring its own write buffers and files. All stores of a process share the block cache, the write-buffer budget and the background
//! threads of one [`StoreContext`].
//!
//! **Promises.**
//! 1. A [`WriteSet`] is atomic: after any crash it is there whole or not at all, and no set survives that was committed after a lost one.
//! 2. [`Durability::Synced`] returns `Ok` only when this set and every earlier one is on the disk (`fdatasync` of the write-ahead log).
//! 3. After the first failed write or sync the store is *failed*: each later commit answers [`StoreError::Failed`] and nothing is tried
//!    again. A kernel reports a failed sync once and may have dropped the pages, so a second sync that succeeds proves nothing
//!    (Rebello et al., "Can Applications Recover from fsync Failures?", ATC 2020). The outcome of the failed set is unknown until the
//!    store is opened again: it may be there.
//! 4. Damage is an error ([`StoreError::Corrupt`]), never a panic, and what is damaged stays on the disk.
//! 5. One process at a time; a store of another replica, of another network or of a newer format is refused and left as it is.
//!
//! **Recovery of the write-ahead log.** A crash may tear the bytes that were never synced, in any order of pages. No RocksDB mode fits
//! both halves of what we need: *point in time* stops at the first bad byte and forgets everything behind it, synced or not;
//! *tolerate corrupted tail* refuses a garbled tail, yet a wrong length near the end or a zeroed page makes it skip synced records in
//! silence; *absolute* refuses every torn tail. So the log is replayed in point-in-time mode, and only after [`wal`] has read it: each commit
//! carries a mark that says up to which sequence number everything had been synced when it was written. If any intact
//! mark behind the first damage vouches for something at or behind that damage, synced data is lost and the store refuses to open.
//! One case nobody can tell apart: damage to the very last synced group with nothing intact behind it looks like a torn write. The
//! protocol covers it: a replica that starts asks its peers for the newest records it signed (design, §4).
//!
//! **Creation** happens in `store.new/`, is synced and then renamed: a crash leaves either no store (the next start begins anew) or a whole one.
//! An existing store is never re-created, so a missing file in it is damage and not an empty ledger.

mod column;
mod commit;
mod context;
mod error;
mod files;
mod frames;
mod wal;

pub use column::{Column, KeyRange, Order};
pub use commit::{Durability, MAX_WRITE_SET_BYTES, StoreCounters, WriteSet};
pub use context::StoreContext;
pub use error::StoreError;
pub use files::FORMAT_VERSION;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use rocksdb::{DB, ReadOptions};

use commit::Writer;
pub(crate) use files::{LOCK_FILE, LockFile};

/// A key without its column byte, and its value.
pub type Entry = (Vec<u8>, Vec<u8>);

/// One replica's store. Reads run in parallel; commits run one after another.
///
/// Dropping it closes the database and then frees the directory. Dropping does not sync: what was [`Durability::Buffered`] is in the
/// kernel's hands, which is enough for a process that ends and not for a machine that does.
#[derive(Debug)]
pub struct Store {
    writer: Writer,
    db: DB,
    dir: PathBuf,
    /// Last field, dropped last: the directory is free only once the database is closed.
    _lock: LockFile,
}

impl Store {
    /// Opens the store in `dir`, creating directory and store where there is none.
    ///
    /// `identity` (at most 256 bytes, for example genesis hash and replica) is kept at creation and compared ever after.
    ///
    /// # Errors
    /// [`StoreError::Locked`] if another handle holds the directory, [`StoreError::Newer`] for a later format, [`StoreError::Identity`] for
    /// another owner, [`StoreError::Corrupt`] for damage, [`StoreError::Io`] and [`StoreError::Database`] if the disk or RocksDB refuses.
    pub fn open(dir: &Path, context: &StoreContext, identity: &[u8]) -> Result<Store, StoreError> {
        let lock = LockFile::acquire(dir)?;
        let header = match files::read_header(dir, identity)? {
            Some(header) => header,
            None => files::create(dir, identity, |db_dir| {
                DB::open(&context.options(true), db_dir)
                    .map(drop)
                    .map_err(|source| StoreError::database(dir, "create the database", source))
            })?,
        };
        let db_dir = files::db_dir(dir);
        files::require_database(dir)?;
        wal::check(dir, &db_dir, &header.mark)?;
        let db = DB::open(&context.options(false), &db_dir).map_err(|source| StoreError::opening(dir, source))?;
        // Opening replays the log into table files and syncs those: all it found is durable now.
        let floor = db.latest_sequence_number();
        Ok(Store { writer: Writer::new(header.mark, floor), db, dir: dir.to_path_buf(), _lock: lock })
    }

    /// The directory this store was opened in.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The value at `key`, if any. Sees every commit that has returned.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if the block that should hold it is damaged, [`StoreError::Database`] if it cannot be read.
    pub fn get(&self, column: Column, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.db
            .get_pinned(column.key(key))
            .map(|value| value.map(|value| value.to_vec()))
            .map_err(|source| self.read_error("read", column, source))
    }

    /// Up to `limit` entries of `range` in `order`, all of one moment.
    ///
    /// The next page starts at [`KeyRange::after`] (or, backward, [`KeyRange::before`]) the last key of this one.
    ///
    /// # Errors
    /// As [`Store::get`].
    pub fn scan(&self, column: Column, range: &KeyRange, order: Order, limit: usize) -> Result<Vec<Entry>, StoreError> {
        let mut entries = Vec::new();
        if limit == 0 {
            return Ok(entries);
        }
        self.visit(column, range, order, |key, value| {
            entries.push((key.to_vec(), value.to_vec()));
            if entries.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        Ok(entries)
    }

    /// Shows `visitor` the entries of `range` in `order`, all of one moment, until it breaks. Memory does not grow with the range.
    ///
    /// # Errors
    /// As [`Store::get`].
    pub fn visit(
        &self,
        column: Column,
        range: &KeyRange,
        order: Order,
        mut visitor: impl FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let (lower, upper) = range.bounds(column);
        if lower >= upper {
            return Ok(());
        }
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(lower);
        options.set_iterate_upper_bound(upper);
        let mut entries = self.db.raw_iterator_opt(options);
        match order {
            Order::Ascending => entries.seek_to_first(),
            Order::Descending => entries.seek_to_last(),
        }
        while let Some((key, value)) = entries.item() {
            // The bounds admit only keys of this column, so the first byte is there and is its tag.
            let key = key.get(1..).unwrap_or_default();
            if visitor(key, value).is_break() {
                return Ok(());
            }
            match order {
                Order::Ascending => entries.next(),
                Order::Descending => entries.prev(),
            }
        }
        // An iterator ends both at the end and at a damaged block; only the status tells.
        entries.status().map_err(|source| self.read_error("scan", column, source))
    }

    /// Commits `set` as one atomic write. With [`Durability::Synced`], also everything committed before it; an empty synced set is
    /// thus a barrier.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`] for a set over [`MAX_WRITE_SET_BYTES`] (nothing written, the store goes on); [`StoreError::Write`] for the
    /// first write or sync that fails, [`StoreError::Failed`] ever after.
    pub fn commit(&self, set: WriteSet, durability: Durability) -> Result<(), StoreError> {
        self.writer.commit(&self.db, &self.dir, set, durability)
    }

    /// What has been committed through this handle.
    #[must_use]
    pub fn counters(&self) -> StoreCounters {
        self.writer.counters()
    }

    /// Whether a write has failed, so that every further commit will.
    #[must_use]
    pub fn is_failed(&self) -> bool {
        self.writer.is_failed()
    }

    fn read_error(&self, operation: &'static str, column: Column, source: rocksdb::Error) -> StoreError {
        StoreError::database(&self.dir, format!("{operation} in column {column:?}"), source)
    }
}
