//! The directory a development network keeps its state in.

use super::shape::Shape;
use crate::store::{LOCK_FILE, LockFile, StoreError};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Names the shape of the network kept in a directory, and marks the directory as ours.
const SHAPE_FILE: &str = "dev-network.json";
/// The same file while the network it names is being deleted: what is left of it is of no use to anybody.
const DELETED_FILE: &str = "dev-network.deleted.json";

/// Why a state directory is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// Another process uses it.
    #[error("{dir} is in use by {holder}", dir = dir.display())]
    InUse {
        /// The directory.
        dir: PathBuf,
        /// The process.
        holder: String,
    },
    /// It cannot be locked.
    #[error("locking {dir}", dir = dir.display())]
    Lock {
        /// The directory.
        dir: PathBuf,
        /// Why.
        #[source]
        source: StoreError,
    },
    /// Another shape is kept there.
    #[error("{dir} keeps a network of {kept}; asked for is one of {asked} (use another --state, or --fresh to begin anew)", dir = dir.display())]
    OtherShape {
        /// The directory.
        dir: PathBuf,
        /// The shape kept.
        kept: Shape,
        /// The shape asked for.
        asked: Shape,
    },
    /// Not empty and not ours.
    #[error("{dir} is not empty and keeps no development network; nothing in it is touched", dir = dir.display())]
    Foreign {
        /// The directory.
        dir: PathBuf,
    },
    /// The shape file is damaged.
    #[error("{file} is damaged: {detail}", file = file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// How.
        detail: String,
    },
    /// A file operation failed.
    #[error("{operation} {path}", path = path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// A directory made ready for a network.
#[derive(Debug)]
pub struct StateDir {
    dir: PathBuf,
    temporary: bool,
    resumed: bool,
    /// Held as long as the network runs, so that no second process resumes or deletes it.
    _lock: LockFile,
}

impl StateDir {
    /// Prepares `dir` for `shape`: creates it, or checks that it keeps this shape; with `fresh` an old network there is
    /// deleted first. Without `dir` a new temporary directory is used and removed at a graceful end.
    ///
    /// # Errors
    /// [`StateError`]; nothing has been changed then, unless a file operation failed half-way.
    pub fn prepare(dir: Option<&Path>, shape: &Shape, fresh: bool) -> Result<StateDir, StateError> {
        let Some(dir) = dir else {
            let dir = new_temporary()?;
            let lock = lock(&dir)?;
            write_shape(&dir, shape)?;
            return Ok(StateDir { dir, temporary: true, resumed: false, _lock: lock });
        };
        if is_foreign(dir) {
            return Err(StateError::Foreign { dir: dir.to_owned() });
        }
        let lock = lock(dir)?;
        let dir = dir.to_owned();
        if let Some(kept) = read_shape(&dir, SHAPE_FILE)? {
            if !fresh {
                if kept != *shape {
                    return Err(StateError::OtherShape { dir, kept, asked: *shape });
                }
                return Ok(StateDir { dir, temporary: false, resumed: true, _lock: lock });
            }
            let (from, to) = (dir.join(SHAPE_FILE), dir.join(DELETED_FILE));
            fs::rename(&from, to).map_err(|source| StateError::Io { operation: "renaming", path: from, source })?;
        }
        // Also after a deletion that was interrupted.
        if let Some(deleted) = read_shape(&dir, DELETED_FILE)? {
            for name in replica_dirs(&deleted) {
                remove(&dir.join(name))?;
            }
            let file = dir.join(DELETED_FILE);
            fs::remove_file(&file).map_err(|source| StateError::Io { operation: "deleting", path: file, source })?;
        }
        write_shape(&dir, shape)?;
        Ok(StateDir { dir, temporary: false, resumed: false, _lock: lock })
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// Whether an earlier network goes on.
    #[must_use]
    pub fn is_resumed(&self) -> bool {
        self.resumed
    }

    /// Where one replica's store is.
    #[must_use]
    pub fn replica(&self, node: smt_types::message::NodeId) -> PathBuf {
        self.dir.join(replica_dir(node))
    }

    /// Removes a temporary directory.
    pub fn clean(&self) {
        if self.temporary
            && let Err(error) = fs::remove_dir_all(&self.dir)
        {
            tracing::warn!(dir = %self.dir.display(), %error, "temporary state is left behind");
        }
    }
}

fn replica_dir(node: smt_types::message::NodeId) -> String {
    format!("shard-{}-replica-{}", node.shard, node.replica)
}

fn replica_dirs(shape: &Shape) -> Vec<String> {
    shape.nodes().into_iter().map(replica_dir).collect()
}

fn remove(path: &Path) -> Result<(), StateError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(StateError::Io { operation: "deleting", path: path.to_owned(), source: error })
        }
        _ => Ok(()),
    }
}

fn new_temporary() -> Result<PathBuf, StateError> {
    let made = tempfile::Builder::new().prefix("smt-dev-").tempdir();
    made.map(tempfile::TempDir::keep).map_err(|source| StateError::Io {
        operation: "creating a directory in",
        path: std::env::temp_dir(),
        source,
    })
}

fn lock(dir: &Path) -> Result<LockFile, StateError> {
    LockFile::acquire(dir).map_err(|error| match error {
        StoreError::Locked { dir, pid } => {
            let holder = pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"));
            StateError::InUse { dir, holder }
        }
        source => StateError::Lock { dir: dir.to_owned(), source },
    })
}

/// Whether something is in the directory that we did not put there. A lock alone, or the temporary file of a shape never
/// finished, is what a start leaves that was cut off at once.
fn is_foreign(dir: &Path) -> bool {
    let Ok(entries) = fs::read_dir(dir) else { return false };
    let names: Vec<_> = entries.filter_map(Result::ok).map(|entry| entry.file_name()).collect();
    let ours = |name: &str| name == LOCK_FILE || name.starts_with(crate::wallet::durable::TEMPORARY);
    let shape = names.iter().any(|name| name == SHAPE_FILE || name == DELETED_FILE);
    !shape && !names.iter().all(|name| name.to_str().is_some_and(ours))
}

fn read_shape(dir: &Path, name: &str) -> Result<Option<Shape>, StateError> {
    let file = dir.join(name);
    match fs::read(&file) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| StateError::Damaged { file, detail: error.to_string() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(StateError::Io { operation: "reading", path: file, source }),
    }
}

fn write_shape(dir: &Path, shape: &Shape) -> Result<(), StateError> {
    let file = dir.join(SHAPE_FILE);
    let text = serde_json::to_vec_pretty(shape).unwrap_or_default();
    crate::wallet::durable::replace(&file, &text).map_err(|source| StateError::Io {
        operation: "writing",
        path: file,
        source,
    })
}
