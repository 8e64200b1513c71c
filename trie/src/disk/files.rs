//! The few file operations durability rests on, as a trait: a real directory and a simulated one that loses power.

use std::io;

/// A flat directory of files that are written once, by appending, and never changed in place.
///
/// What an implementation must promise: bytes appended before a successful [`Append::sync`] outlive a loss of power,
/// and so do the creations, renames and removals before a successful [`Files::sync_directory`]. Nothing is promised
/// of anything else: unsynced bytes may survive in any part, unsynced changes of names in any subset. A rename is
/// atomic.
pub trait Files: Send + Sync + 'static {
    /// Creates an empty file to append to. An error if the name exists.
    fn create(&self, name: &str) -> io::Result<Box<dyn Append>>;

    /// Opens a file for reading. [`io::ErrorKind::NotFound`] if there is none of that name.
    fn open(&self, name: &str) -> io::Result<Box<dyn Source>>;

    /// Gives the file `from` the name `to`, replacing what had it. A file open for appending stays so.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// All names, in any order.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Makes the names durable: creations, renames, removals.
    fn sync_directory(&self) -> io::Result<()>;
}

/// A file being written.
pub trait Append: Send + Sync {
    /// Writes all of `bytes` at the end. After an error any part of them may be there.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Makes the file's bytes durable. An error is final: what it left behind is unknown, and is not retried.
    fn sync(&mut self) -> io::Result<()>;
}

/// A file being read.
pub trait Source: Send + Sync {
    /// Its length in bytes.
    fn size(&self) -> io::Result<u64>;

    /// Fills `buffer` from `offset` on; [`io::ErrorKind::UnexpectedEof`] if the file ends before.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;
}

/// Name of the manifest.
pub(super) const MANIFEST: &str = "manifest";
/// Name a manifest has until it is complete.
pub(super) const MANIFEST_NEW: &str = "manifest-new";
/// Name of a log segment being written again, until it is complete.
pub(super) const LOG_NEW: &str = "log-new";

/// Whether a file was being written when its writer ended; it never counted.
pub(super) fn is_unfinished(name: &str) -> bool {
    name == MANIFEST_NEW || name == LOG_NEW
}

/// A file that a manifest may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    /// The log segment whose first record has this sequence number.
    Segment(u64),
    /// A run: its partition, and the sequence number of the epoch mark it was written at.
    Run(usize, u64),
}

impl Name {
    /// What `name` is, or `None` if it is no name of this format's; such files are left alone.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let parsed = if let Some(first) = name.strip_prefix("log-") {
            Self::Segment(u64::from_str_radix(first, 16).ok()?)
        } else {
            let (partition, sequence) = name.strip_prefix("run-")?.split_once('-')?;
            Self::Run(partition.parse().ok()?, u64::from_str_radix(sequence, 16).ok()?)
        };
        // Only the one spelling that `text` gives.
        (parsed.text() == name).then_some(parsed)
    }

    /// The name in the directory.
    pub(super) fn text(self) -> String {
        match self {
            Self::Segment(first) => format!("log-{first:016x}"),
            Self::Run(partition, sequence) => format!("run-{partition:03}-{sequence:016x}"),
        }
    }
}
