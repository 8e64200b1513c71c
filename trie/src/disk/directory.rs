//! A real directory.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::error::{Fault, OpenError};
use super::files::{Append, Files, Source};

/// Name of the file whose lock shows that a process has the directory open.
const LOCK: &str = "lock";

/// A directory of the file system, locked for this process as long as the value lives.
///
/// The lock is advisory (`flock`) and ends with the process however it ends.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    /// For `sync_directory`.
    handle: File,
    /// Holds the lock.
    _lock: File,
}

impl Directory {
    /// Opens `path`, creating it where it does not exist, and locks it.
    ///
    /// # Errors
    ///
    /// [`OpenError::Locked`] if another handle has it, in this process or another; otherwise what the file system says.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        let path = path.as_ref();
        let fault = |operation| {
            let file = path.display().to_string();
            move |source| OpenError::Disk(Fault::Io { operation, file, source })
        };
        if !path.is_dir() {
            create_durably(path).map_err(fault("creating the directory"))?;
        }
        let handle = File::open(path).map_err(fault("opening the directory"))?;
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(path.join(LOCK));
        let lock = lock.map_err(fault("opening the lock of"))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), handle, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(OpenError::Locked { directory: path.display().to_string() }),
            Err(TryLockError::Error(source)) => Err(fault("locking")(source)),
        }
    }
}

/// Creates a directory whose name outlives a loss of power. Parents are created, but only the last name is synced.
fn create_durably(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)?;
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

impl Files for Directory {
    fn create(&self, name: &str) -> io::Result<Box<dyn Append>> {
        let file = OpenOptions::new().create_new(true).append(true).open(self.path.join(name))?;
        Ok(Box::new(Appended(file)))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn Source>> {
        Ok(Box::new(Opened(File::open(self.path.join(name))?)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path.join(from), self.path.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path.join(name))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            // A name that is not UTF-8 is none of this format's.
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.handle.sync_all()
    }
}

struct Appended(File);

impl Append for Appended {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }
}

struct Opened(File);

impl Source for Opened {
    fn size(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(buffer, offset)
    }
}
