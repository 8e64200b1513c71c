//! The directory a development network keeps its state in.

use super::shape::Shape;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Names the shape of the network kept in a directory, and marks the directory as ours.
const SHAPE_FILE: &str = "dev-network.json";

/// Why a state directory is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
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
            write_shape(&dir, shape)?;
            return Ok(StateDir { dir, temporary: true, resumed: false });
        };
        let kept = read_shape(dir)?;
        match kept {
            Some(kept) if !fresh => {
                if kept != *shape {
                    return Err(StateError::OtherShape { dir: dir.to_owned(), kept, asked: *shape });
                }
                return Ok(StateDir { dir: dir.to_owned(), temporary: false, resumed: true });
            }
            Some(kept) => {
                for name in replica_dirs(&kept) {
                    remove(&dir.join(name))?;
                }
            }
            None => {
                let foreign = fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some());
                if foreign {
                    return Err(StateError::Foreign { dir: dir.to_owned() });
                }
            }
        }
        fs::create_dir_all(dir).map_err(|source| StateError::Io { operation: "creating", path: dir.to_owned(), source })?;
        write_shape(dir, shape)?;
        Ok(StateDir { dir: dir.to_owned(), temporary: false, resumed: false })
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

fn read_shape(dir: &Path) -> Result<Option<Shape>, StateError> {
    let file = dir.join(SHAPE_FILE);
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
    crate::wallet::durable::replace(&file, &text)
        .map_err(|source| StateError::Io { operation: "writing", path: file, source })
}
