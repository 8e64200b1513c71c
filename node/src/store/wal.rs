//! Reads the write-ahead log before RocksDB does, to tell a torn tail from lost data (why: module header of [`super`]).
//!
//! A record of the log is a write batch {sequence number of its first write: 8, number of writes: 4, operations}. Every batch of ours
//! begins with a log-only operation that holds a [`Mark`].
//!
//! Let *end* be the last sequence number that replay reaches: all records up to the first damage, going on in the next log file only
//! if that continues at end + 1 (the form a crash, a recovery and a second crash leave behind). A mark found intact behind the damage
//! says that all up to `synced` had been on the disk. Data is lost iff the largest such `synced` exceeds *end* and what the table files
//! hold: every `floor` (what was in synced table files when the writer opened the store) and the manifest's last sequence number.
//!
//! The manifest is read as well, since RocksDB takes a manifest cut short for one whose last edit was torn: if it knows less than a
//! `floor`, or the log begins behind a gap, edits are missing and with them table files.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};

use super::StoreError;
use super::frames::{FRAGMENT_HEADER, Frame, fragment, walk};

const BATCH_HEADER: usize = 12;
/// Tag of a log-only operation and the length of its payload.
const MARK_PREFIX: [u8; 2] = [3, 32];
/// Bytes of a record that hold batch header and mark.
const BATCH_HEAD: usize = BATCH_HEADER + 2 + 32;
/// Bytes of a manifest's edit that reach its last sequence number: id and comparator are below 128 bytes each.
const EDIT_HEAD: usize = 512;

/// What a commit says about its store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// Secret of the store: nobody else can make a mark that counts.
    pub(super) store: [u8; 16],
    /// Sequence number up to which table files held everything when the writer opened the store.
    pub(super) floor: u64,
    /// Sequence number up to which everything was synced when this commit began.
    pub(super) synced: u64,
}

impl Mark {
    pub(super) fn encode(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        let parts = self.store.into_iter().chain(self.floor.to_le_bytes()).chain(self.synced.to_le_bytes());
        for (byte, part) in bytes.iter_mut().zip(parts) {
            *byte = part;
        }
        bytes
    }

    fn decode(bytes: &[u8], store: &[u8; 16]) -> Option<Self> {
        let rest = bytes.strip_prefix(store)?;
        Some(Self {
            store: *store,
            floor: u64::from_le_bytes(*rest.first_chunk()?),
            synced: u64::from_le_bytes(*rest.get(8..)?.first_chunk()?),
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Record {
    /// Sequence number of its first write.
    start: u64,
    /// Sequence number of its last write.
    end: u64,
    /// `None` for a record that RocksDB wrote for itself.
    mark: Option<Mark>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Finding {
    Record(Record),
    /// A mark whose fragment is intact although the place before it is not.
    Stray(Mark),
    /// From this byte of the file on, something is wrong or cut off.
    Damage(usize),
}

/// Checks the log in `db_dir` of the store in `dir`. Cuts a torn tail off where RocksDB would replay past it.
///
/// # Errors
/// [`StoreError::Corrupt`] if synced data is lost, [`StoreError::Io`] if a log cannot be read.
pub(super) fn check(dir: &Path, db_dir: &Path, store: &[u8; 16]) -> Result<(), StoreError> {
    let corrupt = |operation: &str, detail: String| StoreError::Corrupt {
        dir: dir.to_path_buf(),
        operation: operation.to_owned(),
        detail,
    };
    let tables = manifest_end(db_dir)?;
    let mut replay = Replay::default();
    for path in log_files(db_dir)? {
        let bytes = fs::read(&path).map_err(|source| StoreError::io("read", &path, source))?;
        replay.file(&path, &findings(&bytes, store));
    }
    let begin = replay.first.unwrap_or(0).max(replay.floor.saturating_add(1));
    if let Some((manifest, tables)) = &tables
        && begin.saturating_sub(1) > *tables
    {
        return Err(corrupt(
            "check the manifest",
            format!("{}: ends at write {tables}, the log begins at {begin}", manifest.display()),
        ));
    }
    let Some((path, offset)) = &replay.damage else {
        return Ok(());
    };
    let tables = tables.map_or(0, |(_, tables)| tables);
    let reach = replay.end.unwrap_or(0).max(replay.floor).max(tables);
    if replay.synced > reach {
        return Err(corrupt(
            "check the write-ahead log",
            format!(
                "{}: damaged at byte {offset}; writes up to {} had been synced, those behind {reach} cannot be read",
                path.display(),
                replay.synced
            ),
        ));
    }
    tracing::warn!(log = %path.display(), offset, "the log ends in a torn write that was never synced");
    if !replay.behind {
        return Ok(());
    }
    // Intact records behind the tear, none of them known to be synced. RocksDB skips a zeroed page in silence and would replay them:
    // a later commit without an earlier one. In the last file the tear is cut; a tear in an earlier one takes two power losses
    // within one flush, and is left to a human.
    if replay.behind_in_later_file {
        return Err(corrupt(
            "check the write-ahead log",
            format!("{}: damaged at byte {offset}, and a later log goes on behind a gap", path.display()),
        ));
    }
    OpenOptions::new()
        .write(true)
        .open(path)
        .and_then(|file| {
            file.set_len(u64::try_from(*offset).unwrap_or(u64::MAX))?;
            file.sync_all()
        })
        .map_err(|source| StoreError::io("cut the torn tail off", path, source))
}

/// The manifest in use and the last sequence number in table files by it. `None` if there is none to read: RocksDB says more about that.
fn manifest_end(db_dir: &Path) -> Result<Option<(PathBuf, u64)>, StoreError> {
    let current = db_dir.join("CURRENT");
    let name = fs::read(&current).map_err(|source| StoreError::io("read", &current, source))?;
    let Some(name) = std::str::from_utf8(&name)
        .ok()
        .and_then(|name| name.strip_suffix('\n'))
        .filter(|name| name.starts_with("MANIFEST-") && !name.contains('/'))
    else {
        return Ok(None);
    };
    let path = db_dir.join(name);
    let Ok(bytes) = fs::read(&path) else {
        return Ok(None);
    };
    let mut end = 0;
    walk(&bytes, EDIT_HEAD, |frame| {
        if let Frame::Record { head, .. } = frame {
            end = last_sequence(head).unwrap_or(0).max(end);
        }
    });
    Ok(Some((path, end)))
}

/// The last sequence number in an edit of the manifest (RocksDB `VersionEdit::EncodeTo`), which comes before anything of varying shape
/// but two strings.
fn last_sequence(mut edit: &[u8]) -> Option<u64> {
    loop {
        match varint(&mut edit)? {
            // Database id, comparator.
            0x2001 | 1 => {
                let length = usize::try_from(varint(&mut edit)?).ok()?;
                edit = edit.get(length..)?;
            }
            // Log numbers, file number, column families.
            2 | 3 | 9 | 10 | 203 => {
                varint(&mut edit)?;
            }
            4 => return varint(&mut edit),
            _ => return None,
        }
    }
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// The log files, oldest first.
fn log_files(db_dir: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let failed = |source| StoreError::io("list", db_dir, source);
    let mut files = Vec::new();
    for entry in fs::read_dir(db_dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let number = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".log")?.parse::<u64>().ok());
        if let Some(number) = number {
            files.push((number, path));
        }
    }
    files.sort();
    Ok(files.into_iter().map(|(_, path)| path).collect())
}

/// Where replay gets to, and what the marks say.
#[derive(Debug, Default)]
struct Replay {
    /// First sequence number in the log.
    first: Option<u64>,
    /// Last sequence number replayed.
    end: Option<u64>,
    floor: u64,
    synced: u64,
    /// The first damage not yet passed.
    damage: Option<(PathBuf, usize)>,
    /// Whether intact records lie behind it, …
    behind: bool,
    /// … and in a later file than the damage.
    behind_in_later_file: bool,
}

impl Replay {
    fn file(&mut self, path: &Path, findings: &[Finding]) {
        for (position, finding) in findings.iter().enumerate() {
            match finding {
                Finding::Record(record) => {
                    if let Some(mark) = &record.mark {
                        self.mark(mark);
                    }
                    let in_later_file = self.damage.as_ref().is_some_and(|(at, _)| at != path);
                    let continues = self.end.and_then(|end| end.checked_add(1)) == Some(record.start);
                    if in_later_file && position == 0 && continues {
                        self.damage = None;
                        self.behind = false;
                        self.behind_in_later_file = false;
                    }
                    if self.damage.is_none() {
                        self.first = self.first.or(Some(record.start));
                        self.end = Some(self.end.map_or(record.end, |end| end.max(record.end)));
                    } else {
                        self.behind = true;
                        self.behind_in_later_file |= in_later_file;
                    }
                }
                Finding::Stray(mark) => {
                    self.mark(mark);
                    self.behind = true;
                }
                Finding::Damage(offset) => {
                    if self.damage.is_none() {
                        self.damage = Some((path.to_path_buf(), *offset));
                    }
                }
            }
        }
    }

    fn mark(&mut self, mark: &Mark) {
        self.floor = self.floor.max(mark.floor);
        self.synced = self.synced.max(mark.synced);
    }
}

/// What one log file holds.
fn findings(bytes: &[u8], store: &[u8; 16]) -> Vec<Finding> {
    let mut findings = Vec::new();
    walk(bytes, BATCH_HEAD, |frame| match frame {
        Frame::Record { offset, head } => findings.push(match record(head, store) {
            Some(record) => Finding::Record(record),
            None => Finding::Damage(offset),
        }),
        Frame::Damage { offset, rest } => {
            findings.push(Finding::Damage(offset));
            findings.extend(stray_marks(rest, store).map(Finding::Stray));
        }
    });
    findings
}

/// The record that begins with `head`; `None` if it is no write batch.
fn record(head: &[u8], store: &[u8; 16]) -> Option<Record> {
    let start = u64::from_le_bytes(*head.first_chunk()?);
    let count = u32::from_le_bytes(*head.get(8..)?.first_chunk()?);
    let end = start.checked_add(u64::from(count))?.saturating_sub(1);
    let mark = head.get(BATCH_HEADER..).and_then(|rest| Mark::decode(rest.strip_prefix(&MARK_PREFIX)?, store));
    Some(Record { start, end, mark })
}

/// The marks in a damaged block whose own fragment is intact.
fn stray_marks<'a>(bytes: &'a [u8], store: &'a [u8; 16]) -> impl Iterator<Item = Mark> + use<'a> {
    const BEFORE: usize = FRAGMENT_HEADER + BATCH_HEADER + MARK_PREFIX.len();
    bytes.windows(store.len()).enumerate().filter(move |(_, window)| *window == store).filter_map(move |(at, _)| {
        let (kind, payload) = fragment(bytes.get(at.checked_sub(BEFORE)?..)?)?;
        if !matches!(kind, 1 | 2) {
            return None;
        }
        record(payload, store)?.mark
    })
}

#[cfg(test)]
mod tests;
