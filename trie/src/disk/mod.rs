//! The trie on disk: durable after every batch, and whole after a loss of power at any moment.
//!
//! All of the trie is in memory (or the part a bound allows, see `state.rs`); files are read at open, and for what
//! was evicted. A [`Database`] writes, any number of [`Reader`]s read beside it. Nothing written is ever changed:
//! files are appended to, replaced as a whole, or removed.
//!
//! # Files
//!
//! | name | holds | format |
//! | --- | --- | --- |
//! | `log-<sequence>` | batches and epoch marks, one record each | `log.rs`, `record.rs` |
//! | `run-<partition>-<sequence>` | one partition's leaves in key order, at one epoch | `run.rs` |
//! | `manifest` | which runs and segments count, the oldest retained epoch, a record known durable | `manifest.rs` |
//! | `manifest-new`, `log-new` | the same before they are complete | |
//! | `lock` | nothing; it is locked ([`Directory`]) | |
//!
//! A batch is one record: one write and one `fdatasync`. It states the root after the batch and is chained to the
//! record before it by a checksum. [`Database::commit_epoch`] writes a mark, retains the state, and *folds* some
//! partitions: writes their state at the oldest retained epoch as runs, so that the log before can be deleted
//! (`fold.rs` has the rule).
//!
//! # State on disk
//!
//! The manifest names for each partition a run, which holds all records up to a sequence number, and the segments
//! that hold all records from the smallest of these numbers on. So at any moment
//!
//! *state = runs + the log's records behind each*,
//!
//! and the same for each retained epoch, none of which is older than any run. Inner nodes and hashes are not stored:
//! they are computed at open, and the roots of all retained epochs and of the newest state must be those written in
//! the records.
//!
//! # Why a loss of power does no harm
//!
//! Assumed of the file system: what [`Files`] demands, no order of anything that was not synced.
//! * *A batch* is acknowledged after its record is synced, in a segment whose name was synced before. A record cut
//!   off fails its checksum and is dropped; as it is the last one, no acknowledged one is lost. Where later bytes
//!   show that a bad record was durable once, opening is refused: acknowledged batches are never dropped silently
//!   (`log.rs`).
//! * *A fold* writes new files, syncs them, their names and a new manifest, and renames that. Before the rename is
//!   durable the old manifest counts with all its files, after it the new one with all of its; files are removed only
//!   then. What no manifest names is removed at open.
//! * *A failed sync* may have lost bytes that still read back, and later syncs do not tell. So after a failed write
//!   the handle is dead, and opening writes the last segment and the manifest again as new files instead of trusting
//!   what it reads; older files were synced successfully before anything that depends on them was written.
//!
//! The tests stop a run after every operation, lose any part of what was not synced, and do the same to the recovery;
//! they fail every operation once; and they check that leaving out the syncs is found by all this.
//!
//! # Costs
//!
//! A million keys with values of 64 bytes, batches of 10,000 random keys, an epoch every 10 or 30 batches, 4 retained: an
//! update takes 0.9 to 1.0 µs of processor time in memory and 0.3 µs more here (record, checksum, write, `fdatasync`,
//! two thirds of it folding). 106 bytes a key in runs, and at most half of that in the log beyond what the retained
//! epochs span. Opening takes 0.6 to 1 s of processor time.
//!
//! # What is not promised
//!
//! * Damage to the very last record *after* it was durable looks like a record cut off, unless a manifest was written
//!   since: it is dropped. So is the end of the log if whole records or the last segments are cut away by hand.
//!   Whoever must know compares [`Database::sequence`].
//! * Checksums find accidents. Whoever can write the files can write checksums, too; only the roots bind, so a forged
//!   state needs a root that its reader trusts.
//! * A disk that acknowledges a sync and does not do it can lose acknowledged batches.
//! * One process writes. [`Files`] other than [`Directory`] must see to that themselves.

mod bytes;
mod database;
mod directory;
mod error;
mod files;
mod fold;
mod leaves;
mod load;
mod log;
mod manifest;
mod open;
mod reader;
mod record;
mod run;
mod state;

pub use database::{Database, Options};
pub use directory::Directory;
pub use error::{Error, Fault, OpenError};
pub use files::{Append, Files, Source};
pub use reader::{Pin, Reader, Touch, Version};

/// More partitions no settings give.
const PARTITIONS_MAX: u16 = 3u16.pow(crate::PARTITION_TRITS_MAX as u32);

/// A whole file of at most `bytes_max` bytes, into memory that is used again.
fn read_file(files: &dyn Files, name: &str, bytes_max: u64, bytes: &mut Vec<u8>) -> Result<(), Fault> {
    let file = files.open(name).map_err(Fault::io("opening", name))?;
    let size = file.size().map_err(Fault::io("reading", name))?;
    if size > bytes_max {
        return Err(Fault::corrupt(name, bytes_max, "longer than it can be"));
    }
    bytes.resize(self::bytes::narrow(size), 0);
    file.read_at(0, bytes).map_err(Fault::io("reading", name))
}
