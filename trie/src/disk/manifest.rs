//! The manifest: which files count.
//!
//! `SMTMAN\0`, a format version (u16), then the fields of [`Manifest`] in order, then a keyed BLAKE3 of everything
//! before. It is replaced as a whole: written under another name, synced, renamed, and the directory synced. Until
//! the rename is durable the old one counts with all its files, which is why no file a manifest names is ever changed
//! or removed before.

use super::PARTITIONS_MAX;
use super::bytes::{Bytes, narrow};
use super::error::{Fault, OpenError};
use super::files::{Files, MANIFEST, MANIFEST_NEW};
use super::record::{Checksum, Link};
use crate::Root;

/// Version of all formats of this module: manifest, log and runs.
pub(super) const FORMAT_VERSION: u16 = 1;
const MAGIC: &[u8; 7] = b"SMTMAN\0";
const KEY: &[u8; 32] = b"smt-trie disk manifest         1";
/// More than all partitions need.
const BYTES_MAX: u64 = 1 << 20;

/// An epoch in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) epoch: u64,
    pub(super) sequence: u64,
    /// Bytes of the log up to and including the mark.
    pub(super) position: u64,
    pub(super) root: Root,
}

/// A partition as a file, at one epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// It holds all records up to this one: an epoch mark. 0 before the first fold.
    pub(super) sequence: u64,
    /// Bytes of the log up to and including that record.
    pub(super) position: u64,
    /// Names the file, with the partition: the mark it was written at. Smaller than `sequence` where nothing has
    /// changed since.
    pub(super) file: u64,
    /// Bytes of the file; 0 if there is none, since the partition is empty.
    pub(super) bytes: u64,
    /// Checksum at the end of the file.
    pub(super) checksum: Checksum,
    /// Hash and sum of the partition.
    pub(super) root: Root,
}

impl Run {
    /// The run of a partition that was always empty.
    pub(super) const EMPTY: Self =
        Self { sequence: 0, position: 0, file: 0, bytes: 0, checksum: [0; 32], root: Root::EMPTY };
}

/// Which files count, and what they must give.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Manifest {
    pub(super) root_depth: u8,
    pub(super) partition_trits: u8,
    /// The oldest retained epoch; runs hold no newer state. `None` before the first epoch.
    pub(super) base: Option<Mark>,
    /// What the first log segment that counts follows.
    pub(super) log_start: Link,
    /// The last record there was, all durable, and the root after it.
    pub(super) tail: Link,
    pub(super) tail_root: Root,
    /// One for each partition.
    pub(super) runs: Vec<Run>,
}

impl Manifest {
    /// The manifest, or `None` if there is none.
    pub(super) fn read(files: &dyn Files) -> Result<Option<Self>, OpenError> {
        let mut bytes = Vec::new();
        match super::read_file(files, MANIFEST, BYTES_MAX, &mut bytes) {
            Err(Fault::Missing { .. }) => return Ok(None),
            read => read?,
        }
        let mut fields = Bytes(&bytes);
        let corrupt = |what| OpenError::Disk(Fault::corrupt(MANIFEST, 0, what));
        if fields.take(MAGIC.len()) != Some(MAGIC) {
            return Err(corrupt("not a manifest"));
        }
        // Before the checksum: another version may have another one.
        let found = fields.u16().ok_or_else(|| corrupt("cut off"))?;
        if found != FORMAT_VERSION {
            return Err(OpenError::Version { found, supported: FORMAT_VERSION });
        }
        let (covered, checksum) = bytes.split_last_chunk::<32>().ok_or_else(|| corrupt("cut off"))?;
        if checksum != blake3::keyed_hash(KEY, covered).as_bytes() {
            return Err(corrupt("checksum"));
        }
        Self::decode(fields).map(Some).ok_or_else(|| corrupt("fields"))
    }

    /// The fields; what follows them is the checksum.
    fn decode(mut fields: Bytes<'_>) -> Option<Self> {
        let (root_depth, partition_trits) = (fields.u8()?, fields.u8()?);
        let base = match fields.u8()? {
            0 => None,
            _ => Some(Mark {
                epoch: fields.u64()?,
                sequence: fields.u64()?,
                position: fields.u64()?,
                root: take_root(&mut fields)?,
            }),
        };
        let (log_start, tail) = (take_link(&mut fields)?, take_link(&mut fields)?);
        let tail_root = take_root(&mut fields)?;
        let count = fields.u16().filter(|&count| count <= PARTITIONS_MAX)?;
        let mut runs = Vec::with_capacity(narrow(u64::from(count)));
        for _ in 0..count {
            runs.push(Run {
                sequence: fields.u64()?,
                position: fields.u64()?,
                file: fields.u64()?,
                bytes: fields.u64()?,
                checksum: fields.array()?,
                root: take_root(&mut fields)?,
            });
        }
        Some(Self { root_depth, partition_trits, base, log_start, tail, tail_root, runs })
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes.extend_from_slice(&[self.root_depth, self.partition_trits, u8::from(self.base.is_some())]);
        if let Some(mark) = &self.base {
            put_u64s(&mut bytes, &[mark.epoch, mark.sequence, mark.position]);
            put_root(&mut bytes, &mark.root);
        }
        for link in [&self.log_start, &self.tail] {
            put_u64s(&mut bytes, &[link.sequence, link.position]);
            bytes.extend_from_slice(&link.checksum);
        }
        put_root(&mut bytes, &self.tail_root);
        bytes.extend_from_slice(&u16::try_from(self.runs.len()).unwrap_or(u16::MAX).to_le_bytes());
        for run in &self.runs {
            put_u64s(&mut bytes, &[run.sequence, run.position, run.file, run.bytes]);
            bytes.extend_from_slice(&run.checksum);
            put_root(&mut bytes, &run.root);
        }
        let checksum = *blake3::keyed_hash(KEY, &bytes).as_bytes();
        bytes.extend_from_slice(&checksum);
        bytes
    }

    /// Makes this the manifest, durably. After an error it is unknown whether the old or the new one counts.
    pub(super) fn write(&self, files: &dyn Files) -> Result<(), Fault> {
        let mut file = files.create(MANIFEST_NEW).map_err(Fault::io("creating", MANIFEST_NEW))?;
        file.append(&self.encode()).map_err(Fault::io("writing", MANIFEST_NEW))?;
        file.sync().map_err(Fault::io("syncing", MANIFEST_NEW))?;
        files.rename(MANIFEST_NEW, MANIFEST).map_err(Fault::io("replacing", MANIFEST))?;
        files.sync_directory().map_err(Fault::io("syncing the directory of", MANIFEST))
    }
}

fn put_u64s(bytes: &mut Vec<u8>, numbers: &[u64]) {
    for number in numbers {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
}

fn put_root(bytes: &mut Vec<u8>, root: &Root) {
    bytes.extend_from_slice(&root.hash);
    bytes.extend_from_slice(&root.sum.to_le_bytes());
}

fn take_root(fields: &mut Bytes<'_>) -> Option<Root> {
    Some(Root { hash: fields.array()?, sum: fields.u64()? })
}

fn take_link(fields: &mut Bytes<'_>) -> Option<Link> {
    Some(Link { sequence: fields.u64()?, position: fields.u64()?, checksum: fields.array()? })
}
