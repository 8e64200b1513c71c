//! Files that are whole and on disk, or not there at all.
//!
//! A file is written under a temporary name in its own directory, synced, given its name, and the directory is synced.
//! [`create`] names it by a hard link, which fails if the name is taken: two processes never write over each other.
//! [`replace`] names it by a rename. What a crash leaves is at most a temporary file, which [`sweep`] removes.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Start of every temporary file's name.
pub(crate) const TEMPORARY: &str = ".tmp-";

/// Mode of every file the wallet writes: the owner alone reads and writes.
const FILE_MODE: u32 = 0o600;

/// Makes `path` and its missing parents, each for the owner alone, and syncs the directory it was made in.
///
/// # Errors
/// What the file system says.
pub fn make_dir(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        make_dir(parent)?;
    }
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => sync_dir(parent_of(path)),
        Err(error) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) => Err(error),
    }
}

/// Writes a new file. On `Ok` the bytes survive a power cut.
///
/// # Errors
/// [`ErrorKind::AlreadyExists`] if the name is taken, whatever it holds; otherwise what the file system says.
pub fn create(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = write_temporary(path, bytes)?;
    let linked = fs::hard_link(&temporary, path);
    step(Step::Named)?;
    let removed = fs::remove_file(&temporary);
    linked?;
    removed?;
    step(Step::Cleaned)?;
    sync_dir(parent_of(path))?;
    step(Step::Synced)
}

/// Writes a file over whatever has that name. On `Ok` the bytes survive a power cut.
///
/// # Errors
/// What the file system says; the earlier file is then still whole.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = write_temporary(path, bytes)?;
    fs::rename(&temporary, path)?;
    step(Step::Named)?;
    sync_dir(parent_of(path))?;
    step(Step::Synced)
}

/// Syncs a directory, so that the names in it survive a power cut.
///
/// # Errors
/// What the file system says.
pub fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Reads a file of at most `max` bytes.
///
/// # Errors
/// [`ErrorKind::FileTooLarge`] if it is longer; otherwise what the file system says.
pub fn read(path: &Path, max: usize) -> io::Result<Vec<u8>> {
    read_from(File::open(path)?, max)
}

/// Reads at most `max` bytes to the end of `source`.
///
/// # Errors
/// [`ErrorKind::FileTooLarge`] if there are more; otherwise what the source says.
pub fn read_from(source: impl Read, max: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
    source.take(limit).read_to_end(&mut bytes)?;
    if bytes.len() > max {
        return Err(io::Error::new(ErrorKind::FileTooLarge, format!("longer than {max} bytes")));
    }
    Ok(bytes)
}

/// The permission bits anyone but the owner has on a regular file or a directory; 0 for pipes and terminals.
///
/// # Errors
/// What the file system says.
pub fn foreign_mode(path: &Path) -> io::Result<u32> {
    let metadata = fs::metadata(path)?;
    let kept = metadata.is_file() || metadata.is_dir();
    Ok(if kept { metadata.mode() & 0o077 } else { 0 })
}

/// Removes what earlier crashes left. The caller holds the directory's lock: nobody else is writing here.
///
/// # Errors
/// What the file system says.
pub fn sweep(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(TEMPORARY) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn write_temporary(path: &Path, bytes: &[u8]) -> io::Result<PathBuf> {
    let mut nonce = [0u8; 8];
    getrandom::fill(&mut nonce).map_err(io::Error::other)?;
    let temporary = parent_of(path).join(format!("{TEMPORARY}{}", hex::encode(nonce)));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(&temporary)?;
    step(Step::Opened)?;
    let (first, rest) = bytes.split_at(bytes.len() / 2);
    file.write_all(first)?;
    step(Step::HalfWritten)?;
    file.write_all(rest)?;
    file.sync_all()?;
    step(Step::Written)?;
    Ok(temporary)
}

/// Where a crash can fall while a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// An empty temporary file.
    Opened,
    /// Half of the bytes.
    HalfWritten,
    /// All bytes, synced, under the temporary name.
    Written,
    /// Under its own name, the directory not yet synced.
    Named,
    /// The temporary name is gone.
    Cleaned,
    /// All done.
    Synced,
}

#[cfg(not(test))]
#[expect(clippy::unnecessary_wraps, reason = "under test a step can fail")]
fn step(_: Step) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
fn step(at: Step) -> io::Result<()> {
    crash::step(at)
}

/// Crashes to order, for the tests of this folder.
#[cfg(test)]
pub(super) mod crash {
    use super::Step;
    use std::cell::Cell;
    use std::io;

    thread_local! {
        static COUNTDOWN: Cell<Option<u32>> = const { Cell::new(None) };
    }

    /// The calling thread's file work fails at its `steps`-th step from here, and at every later one.
    pub(crate) fn after(steps: Option<u32>) {
        COUNTDOWN.set(steps);
    }

    pub(super) fn step(at: Step) -> io::Result<()> {
        match COUNTDOWN.get() {
            Some(0) => Err(io::Error::other(format!("crash at {at:?}"))),
            Some(left) => {
                COUNTDOWN.set(left.checked_sub(1));
                Ok(())
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn taken_name_is_never_written_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        create(&path, b"first").unwrap();
        assert_eq!(create(&path, b"second").unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"first");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        assert_eq!(foreign_mode(&path).unwrap(), 0);
    }

    #[test]
    fn crash_leaves_the_old_file_or_the_new_one() {
        for steps in 0..8 {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("a");
            create(&path, b"old file").unwrap();
            crash::after(Some(steps));
            let done = replace(&path, b"new one");
            crash::after(None);
            let held = fs::read(&path).unwrap();
            assert!(held == b"old file" || held == b"new one");
            assert!(done.is_err() || held == b"new one");
            sweep(dir.path()).unwrap();
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        }
    }

    #[test]
    fn read_is_bounded() {
        assert_eq!(read_from(&b"abc"[..], 3).unwrap(), b"abc");
        assert_eq!(read_from(&b"abcd"[..], 3).unwrap_err().kind(), ErrorKind::FileTooLarge);
    }
}
