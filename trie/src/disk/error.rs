//! What can go wrong between memory and disk.

use std::io;

use super::reader::Version;
use crate::{KeyCountError, Root, UpdateError};

/// Why a database was not opened. The files are as they were.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another handle has the directory open.
    #[error("{directory} is open in another process or another handle of this one")]
    Locked {
        /// The directory.
        directory: String,
    },
    /// There are runs or log segments but no manifest that says which of them count.
    #[error("there is no manifest, but {file} shows that there was one")]
    ManifestMissing {
        /// A file that is of no use without it.
        file: String,
    },
    /// The manifest is of another version of the format.
    #[error("the files have format version {found}, this program reads {supported}")]
    Version {
        /// The files' version.
        found: u16,
        /// The only version read.
        supported: u16,
    },
    /// The files were created with other settings, which cannot be changed later.
    #[error("the files were created with {setting} {stored}, asked for is {asked}")]
    Settings {
        /// The setting's name.
        setting: &'static str,
        /// Its value in the manifest.
        stored: u8,
        /// Its value in the options.
        asked: u8,
    },
    /// The state the files give is not the one they name.
    #[error("{version} has root {}, sum {}; files say {}, sum {}", hex(&got.hash), got.sum, hex(&want.hash), want.sum)]
    RootMismatch {
        /// Which state.
        version: Version,
        /// The root written when the state was current.
        want: Root,
        /// The root of what was read.
        got: Root,
    },
    /// A file cannot be read, or is not what was written.
    #[error(transparent)]
    Disk(#[from] Fault),
}

/// Why an operation on an open database failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The batch is not acceptable; nothing has changed, in memory or on disk.
    #[error("batch refused")]
    Update(#[from] UpdateError),
    /// The batch is larger than one log record may be; nothing has changed.
    #[error("batch of {got} bytes, at most {max} fit one record")]
    BatchTooLarge {
        /// Its size in the log.
        got: u64,
        /// The most allowed.
        max: u64,
    },
    /// Epochs increase strictly; nothing has changed.
    #[error("epoch {got} does not come after epoch {newest}")]
    EpochOrder {
        /// The epoch to be committed.
        got: u64,
        /// The newest committed one.
        newest: u64,
    },
    /// The epoch was never committed, or is no longer retained.
    #[error("epoch {epoch} is not retained")]
    EpochNotRetained {
        /// The epoch asked for.
        epoch: u64,
    },
    /// A proof of so many keys does not exist.
    #[error("no such proof")]
    KeyCount(#[from] KeyCountError),
    /// An earlier write failed, so memory and disk may differ. Opening the files again is the way on.
    #[error("an earlier write failed; open the files again")]
    Poisoned,
    /// A file cannot be read or written, or is not what was written.
    #[error(transparent)]
    Disk(#[from] Fault),
}

/// A file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The file system refused.
    #[error("{operation} {file}")]
    Io {
        /// What was being done.
        operation: &'static str,
        /// With which file.
        file: String,
        /// What the file system said.
        #[source]
        source: io::Error,
    },
    /// A file that must exist does not.
    #[error("{file} is missing")]
    Missing {
        /// Its name.
        file: String,
    },
    /// A file does not hold what was written to it.
    #[error("{file} is corrupt at byte {offset}: {what}")]
    Corrupt {
        /// Its name.
        file: String,
        /// Where the part at fault begins.
        offset: u64,
        /// What is wrong there.
        what: &'static str,
    },
    /// The log ends before records that were durable once.
    #[error("the log ends with record {got}, but record {want} was durable")]
    LogTooShort {
        /// The last record there is.
        got: u64,
        /// The last record when the manifest was written.
        want: u64,
    },
    /// A partition read back from disk is not the one that was dropped from memory.
    #[error("partition {partition} read from disk is not the one that was evicted")]
    Partition {
        /// Its index.
        partition: usize,
    },
    /// A new run does not hold what the trie says it holds: keys out of order, or another number or total.
    #[error("{file} differs from the trie, {left} entries before its end")]
    RunDiffers {
        /// Its name.
        file: String,
        /// Entries behind the one at fault.
        left: u64,
    },
}

impl Fault {
    /// Turns an error of the file system into a fault: for `map_err`.
    pub(super) fn io(operation: &'static str, file: &str) -> impl FnOnce(io::Error) -> Self + use<> {
        let file = file.to_owned();
        move |source| match source.kind() {
            io::ErrorKind::NotFound => Self::Missing { file },
            _ => Self::Io { operation, file, source },
        }
    }

    pub(super) fn corrupt(file: &str, offset: u64, what: &'static str) -> Self {
        Self::Corrupt { file: file.to_owned(), offset, what }
    }
}

fn hex(hash: &[u8; 32]) -> impl std::fmt::Display {
    blake3::Hash::from_bytes(*hash).to_hex()
}
