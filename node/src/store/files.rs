//! The files around the database: lock, version, creation.

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use super::StoreError;

/// The format this program writes and the newest it reads.
pub const FORMAT_VERSION: u32 = 3;

const IDENTITY_BYTES_MAX: usize = 256;
const HEADER_BYTES_MAX: u64 = 4096;
const TITLE: &str = "smt-node store";

/// Name of the lock's file in its directory.
pub(crate) const LOCK_FILE: &str = "lock";

/// An exclusive hold on a directory, freed when dropped or when the process ends, however it ends.
#[derive(Debug)]
pub(crate) struct LockFile(File);

impl Drop for LockFile {
    fn drop(&mut self) {
        // Closing would do, were it not for a child process being started at this moment: until it runs its program it holds a copy
        // of the descriptor and with it the lock. Nobody is left to tell should this fail.
        self.0.unlock().ok();
    }
}

impl LockFile {
    /// Creates `dir` if need be and locks it. The lock belongs to the open file (flock), so a second handle in this process is refused too.
    pub(crate) fn acquire(dir: &Path) -> Result<Self, StoreError> {
        fs::create_dir_all(dir).map_err(|source| StoreError::io("create the directory", dir, source))?;
        let path = dir.join(LOCK_FILE);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|source| StoreError::io("open", &path, source))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                // The note is a courtesy: without it the message names no process.
                let pid = (&file).take(32).read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok());
                return Err(StoreError::Locked { dir: dir.to_path_buf(), pid });
            }
            Err(TryLockError::Error(source)) => return Err(StoreError::io("lock", &path, source)),
        }
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(|source| StoreError::io("write", &path, source))?;
        Ok(Self(file))
    }
}

/// What `VERSION` says beyond the number and the identity, both checked when it is read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Secret mark of this store's commits in its log: random, so that no client can write one inside a payment.
    pub(super) mark: [u8; 16],
}

fn store_dir(dir: &Path) -> PathBuf {
    dir.join("store")
}

/// Where RocksDB lives.
pub(super) fn db_dir(dir: &Path) -> PathBuf {
    store_dir(dir).join("db")
}

/// Reads and checks the header; `None` where no store has been created.
pub(super) fn read_header(dir: &Path, identity: &[u8]) -> Result<Option<Header>, StoreError> {
    if identity.len() > IDENTITY_BYTES_MAX {
        return Err(StoreError::IdentityTooLong { got: identity.len(), max: IDENTITY_BYTES_MAX });
    }
    let store = store_dir(dir);
    match fs::symlink_metadata(&store) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(StoreError::io("look for", &store, source)),
    }
    let path = store.join("VERSION");
    let corrupt = |finding: &str| StoreError::Corrupt {
        dir: dir.to_path_buf(),
        operation: "read the version".to_owned(),
        detail: format!("{}: {finding}", path.display()),
    };
    let mut bytes = Vec::new();
    match File::open(&path) {
        Ok(file) => file
            .take(HEADER_BYTES_MAX)
            .read_to_end(&mut bytes)
            .map_err(|source| StoreError::io("read", &path, source))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(corrupt("missing")),
        Err(source) => return Err(StoreError::io("open", &path, source)),
    };
    let text = std::str::from_utf8(&bytes).map_err(|_| corrupt("not text"))?;
    let mut lines = text.lines();
    if lines.next() != Some(TITLE) {
        return Err(corrupt("not a store's version file"));
    }
    let found: u32 = lines
        .next()
        .and_then(|line| line.strip_prefix("version ")?.parse().ok())
        .ok_or_else(|| corrupt("no version number"))?;
    // The number comes first: what a later format writes behind it is not ours to judge.
    if found > FORMAT_VERSION {
        return Err(StoreError::Newer { dir: dir.to_path_buf(), found, supported: FORMAT_VERSION });
    }
    if found < FORMAT_VERSION {
        return Err(StoreError::Older { dir: dir.to_path_buf(), found, supported: FORMAT_VERSION });
    }
    let kept = lines
        .next()
        .and_then(|line| line.strip_prefix("identity "))
        .filter(|kept| kept.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')))
        .ok_or_else(|| corrupt("no identity"))?;
    let mark = lines.next().and_then(|line| parse_mark(line.strip_prefix("mark ")?));
    let (FORMAT_VERSION, Some(mark), Some("end"), None) = (found, mark, lines.next(), lines.next()) else {
        return Err(corrupt("cut short or altered"));
    };
    let expected = to_hex(identity);
    if kept != expected {
        return Err(StoreError::Identity { dir: dir.to_path_buf(), found: kept.to_owned(), expected });
    }
    Ok(Some(Header { mark }))
}

/// Creates a store beside its final place, syncs it and moves it there. `database` creates the database in the directory it is given.
pub(super) fn create(
    dir: &Path,
    identity: &[u8],
    database: impl FnOnce(&Path) -> Result<(), StoreError>,
) -> Result<Header, StoreError> {
    let (fresh, store) = (dir.join("store.new"), store_dir(dir));
    match fs::remove_dir_all(&fresh) {
        Ok(()) => tracing::info!(dir = %dir.display(), "an unfinished creation was cleared away"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(StoreError::io("clear", &fresh, source)),
    }
    fs::create_dir(&fresh).map_err(|source| StoreError::io("create", &fresh, source))?;
    database(&fresh.join("db"))?;
    let mut mark = [0; 16];
    getrandom::fill(&mut mark)
        .map_err(|source| StoreError::io("draw a random mark for", &fresh, io::Error::other(source.to_string())))?;
    let version = fresh.join("VERSION");
    let text =
        format!("{TITLE}\nversion {FORMAT_VERSION}\nidentity {}\nmark {}\nend\n", to_hex(identity), to_hex(&mark));
    File::create(&version)
        .and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        })
        .map_err(|source| StoreError::io("write", &version, source))?;
    sync_dir(&fresh.join("db"))?;
    sync_dir(&fresh)?;
    fs::rename(&fresh, &store).map_err(|source| StoreError::io("create", &store, source))?;
    sync_dir(dir)?;
    // The directory itself may be new. Its own parents were there before us or are the operator's.
    if let Some(parent) = dir.canonicalize().ok().as_deref().and_then(Path::parent) {
        sync_dir(parent)?;
    }
    Ok(Header { mark })
}

/// Damage that RocksDB would mend by starting an empty database, or report without naming the file.
pub(super) fn require_database(dir: &Path) -> Result<(), StoreError> {
    let current = db_dir(dir).join("CURRENT");
    match fs::metadata(&current) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(StoreError::Corrupt {
            dir: dir.to_path_buf(),
            operation: "open the database".to_owned(),
            detail: format!("{}: missing", current.display()),
        }),
        Err(source) => Err(StoreError::io("look for", &current, source)),
    }
}

pub(super) fn sync_dir(path: &Path) -> Result<(), StoreError> {
    File::open(path).and_then(|dir| dir.sync_all()).map_err(|source| StoreError::io("sync", path, source))
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string cannot fail");
        text
    })
}

fn parse_mark(text: &str) -> Option<[u8; 16]> {
    if text.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    u128::from_str_radix(text, 16).ok().map(u128::to_be_bytes)
}
