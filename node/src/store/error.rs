//! What can go wrong with a store.

use std::io;
use std::path::{Path, PathBuf};

use rocksdb::ErrorKind;

/// Why a store could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another handle, nearly always another process, holds the directory.
    #[error("store {} is in use by {}", dir.display(), holder(*pid))]
    Locked {
        /// The store's directory.
        dir: PathBuf,
        /// Process id noted by the holder, if it could be read.
        pid: Option<u32>,
    },
    /// Written by a later version of this program.
    #[error("store {} has format {found}, this program reads up to format {supported}", dir.display())]
    Newer {
        /// The store's directory.
        dir: PathBuf,
        /// Format of the store.
        found: u32,
        /// Newest format this program reads.
        supported: u32,
    },
    /// A format that was never released.
    #[error("store {} has format {found}, which only unreleased versions wrote; this program reads format {supported}", dir.display())]
    Older {
        /// The directory.
        dir: PathBuf,
        /// Its format.
        found: u32,
        /// The one this program reads.
        supported: u32,
    },
    /// The store belongs to another replica or network.
    #[error("store {} belongs to {found}, not to {expected}", dir.display())]
    Identity {
        /// The store's directory.
        dir: PathBuf,
        /// Identity kept in the store, hexadecimal.
        found: String,
        /// Identity asked for, hexadecimal.
        expected: String,
    },
    /// An identity longer than a store keeps.
    #[error("a store's identity has at most {max} bytes, got {got}")]
    IdentityTooLong {
        /// Bytes given.
        got: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// The bytes on disk are not what was written.
    #[error("store {} is corrupt: {operation}: {detail}", dir.display())]
    Corrupt {
        /// The store's directory.
        dir: PathBuf,
        /// What was being done.
        operation: String,
        /// File and finding.
        detail: String,
    },
    /// A file operation failed.
    #[error("cannot {operation} {}", path.display())]
    Io {
        /// What was being done.
        operation: &'static str,
        /// To which file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// RocksDB refused an operation other than a commit.
    #[error("store {}: cannot {operation}", dir.display())]
    Database {
        /// The store's directory.
        dir: PathBuf,
        /// What was being done.
        operation: String,
        /// The cause.
        source: rocksdb::Error,
    },
    /// A commit failed; the store takes no more.
    #[error("store {}: {operation} failed, no further writes until it is opened again", dir.display())]
    Write {
        /// The store's directory.
        dir: PathBuf,
        /// Write, or write and sync.
        operation: &'static str,
        /// The cause.
        source: rocksdb::Error,
    },
    /// An earlier commit failed.
    #[error("store {} takes no writes until it is opened again, since an earlier one failed: {cause}", dir.display())]
    Failed {
        /// The store's directory.
        dir: PathBuf,
        /// The first failure.
        cause: String,
    },
    /// A write set beyond the limit.
    #[error("write set of {got} bytes, at most {max} are allowed")]
    TooLarge {
        /// Bytes of keys and values given.
        got: usize,
        /// Bytes allowed.
        max: usize,
    },
}

impl StoreError {
    /// A failed operation of RocksDB: damage where RocksDB says so.
    pub(super) fn database(dir: &Path, operation: impl Into<String>, source: rocksdb::Error) -> Self {
        let (dir, operation) = (dir.to_path_buf(), operation.into());
        if source.kind() == ErrorKind::Corruption {
            let detail = source.into_string();
            StoreError::Corrupt { dir, operation, detail }
        } else {
            StoreError::Database { dir, operation, source }
        }
    }

    /// A failed opening of a store that exists: there, a missing file and an unreadable option are damage too.
    pub(super) fn opening(dir: &Path, source: rocksdb::Error) -> Self {
        const OPERATION: &str = "open the database";
        let damaged = match source.kind() {
            ErrorKind::InvalidArgument | ErrorKind::NotFound => true,
            ErrorKind::IOError => source.as_ref().contains("No such file"),
            _ => false,
        };
        if damaged {
            StoreError::Corrupt {
                dir: dir.to_path_buf(),
                operation: OPERATION.to_owned(),
                detail: source.into_string(),
            }
        } else {
            Self::database(dir, OPERATION, source)
        }
    }

    pub(super) fn io(operation: &'static str, path: &Path, source: io::Error) -> Self {
        StoreError::Io { operation, path: path.to_path_buf(), source }
    }
}

fn holder(pid: Option<u32>) -> String {
    match pid {
        Some(pid) => format!("process {pid}"),
        None => "another process".to_owned(),
    }
}
