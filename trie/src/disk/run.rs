//! Runs: all leaves of one partition at one epoch, in key order.
//!
//! `SMTRUN\0\1`, partition (u64), number of entries (u64); the entries as in the log (none removes); a keyed BLAKE3
//! of everything before, which the manifest repeats. So a leaf takes 42 bytes and its value.

use super::bytes::{Bytes, wide};
use super::error::Fault;
use super::files::{Files, Name};
use super::leaves::Frontier;
use super::record::{Checksum, put_entry, take_entry};
use crate::partition::Partition;
use crate::{Key, Leaf};

const KEY: &[u8; 32] = b"smt-trie disk run              1";
const MAGIC: &[u8; 8] = b"SMTRUN\0\x01";
const HEADER_BYTES: usize = 24;
const CHECKSUM_BYTES: usize = 32;
/// How much is written and read at once.
const PIECE_BYTES: usize = 1 << 20;

/// A run that has been written, synced and read back.
pub(super) struct Written {
    pub(super) bytes: u64,
    pub(super) checksum: Checksum,
}

/// Memory that writing runs uses again and again: the slots of one partition, its run and a piece of that.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    frontier: Frontier,
    run: Vec<u8>,
    piece: Vec<u8>,
}

/// Writes what partition number `partition` held at the retained `epoch` as file `name`, syncs it, reads it back and
/// compares.
///
/// The leaves are gone through once: what is compared with the file is the bytes they gave, and what those bytes say
/// is read with the code that reads runs and must agree with the partition's root: ascending keys, their number, the
/// total of their sums.
///
/// Cost: all bytes written, hashed and read back once. Memory: all bytes of the run.
pub(super) fn write(
    files: &dyn Files,
    name: &str,
    partition: usize,
    (held, epoch): (&Partition, u64),
    buffers: &mut Buffers,
) -> Result<Written, Fault> {
    let (count, sum) = held.root_at(epoch).map_or((0, 0), |root| (root.len, root.sum));
    let Buffers { frontier, run, piece } = buffers;
    run.clear();
    run.extend_from_slice(&header(partition, count));
    frontier.leaves(held, epoch, |key, entry| put_entry(run, key, Some((entry.value, entry.sum))));
    let read =
        Entries { name: name.to_owned(), bytes: Bytes(run.get(HEADER_BYTES..).unwrap_or_default()), left: count };
    check(read, sum)?;
    let checksum = *blake3::keyed_hash(KEY, run).as_bytes();
    run.extend_from_slice(&checksum);
    let mut file = files.create(name).map_err(Fault::io("creating", name))?;
    for piece in run.chunks(PIECE_BYTES) {
        file.append(piece).map_err(Fault::io("writing", name))?;
    }
    file.sync().map_err(Fault::io("syncing", name))?;
    compare(files, name, run, piece)?;
    Ok(Written { bytes: wide(run.len()), checksum })
}

/// The entries must be ascending, as many as they say, and add up to `sum`.
fn check(mut entries: Entries<'_>, sum: u64) -> Result<(), Fault> {
    let differs = |entries: &Entries<'_>| Fault::RunDiffers { file: entries.name.clone(), left: entries.left };
    let (mut last, mut total) = (None, 0u64);
    while let Some((key, leaf)) = entries.next()? {
        if last >= Some(key) {
            return Err(differs(&entries));
        }
        last = Some(key);
        total = total.wrapping_add(leaf.sum);
    }
    if total == sum { Ok(()) } else { Err(differs(&entries)) }
}

/// The file must hold `bytes` and nothing else.
fn compare(files: &dyn Files, name: &str, bytes: &[u8], piece: &mut Vec<u8>) -> Result<(), Fault> {
    let file = files.open(name).map_err(Fault::io("opening", name))?;
    if file.size().map_err(Fault::io("reading", name))? != wide(bytes.len()) {
        return Err(Fault::corrupt(name, 0, "length"));
    }
    let mut offset = 0u64;
    for want in bytes.chunks(PIECE_BYTES) {
        piece.resize(want.len(), 0);
        file.read_at(offset, piece).map_err(Fault::io("reading", name))?;
        if piece != want {
            return Err(Fault::corrupt(name, offset, "not what was written"));
        }
        offset = offset.saturating_add(wide(want.len()));
    }
    Ok(())
}

fn header(partition: usize, count: u64) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    let (magic, rest) = header.split_at_mut(8);
    let (number, rest) = rest.split_at_mut(8);
    magic.copy_from_slice(MAGIC);
    number.copy_from_slice(&wide(partition).to_le_bytes());
    rest.copy_from_slice(&count.to_le_bytes());
    header
}

/// Reads a run into `buffer` and returns its entries' bytes and number. `bytes` and `checksum` are the manifest's.
pub(super) fn read<'a>(
    files: &dyn Files,
    partition: usize,
    file: u64,
    bytes: u64,
    checksum: &Checksum,
    buffer: &'a mut Vec<u8>,
) -> Result<Entries<'a>, Fault> {
    let name = Name::Run(partition, file).text();
    super::read_file(files, &name, bytes, buffer)?;
    let corrupt = |what| Fault::corrupt(&name, 0, what);
    if wide(buffer.len()) != bytes {
        return Err(corrupt("length"));
    }
    let (covered, stored) = buffer.split_last_chunk::<CHECKSUM_BYTES>().ok_or_else(|| corrupt("cut off"))?;
    if stored != checksum || blake3::keyed_hash(KEY, covered).as_bytes() != checksum {
        return Err(corrupt("checksum"));
    }
    let (start, entries) = covered.split_first_chunk::<HEADER_BYTES>().ok_or_else(|| corrupt("cut off"))?;
    let count = start.last_chunk::<8>().map_or(0, |count| u64::from_le_bytes(*count));
    if *start != header(partition, count) {
        return Err(corrupt("header"));
    }
    Ok(Entries { name, bytes: Bytes(entries), left: count })
}

/// An entry of a run.
type Stored<'a> = (Key, Leaf<&'a [u8]>);

/// The entries of a run, in the order of the file.
pub(super) struct Entries<'a> {
    name: String,
    bytes: Bytes<'a>,
    left: u64,
}

impl<'a> Entries<'a> {
    /// The next entry; `None` after the last.
    #[inline]
    pub(super) fn next(&mut self) -> Result<Option<Stored<'a>>, Fault> {
        if self.left == 0 {
            return if self.bytes.is_empty() {
                Ok(None)
            } else {
                Err(Fault::corrupt(&self.name, 0, "bytes after the last entry"))
            };
        }
        self.left = self.left.saturating_sub(1);
        match take_entry(&mut self.bytes) {
            Some((key, Some(leaf))) => Ok(Some((key, leaf))),
            _ => Err(Fault::corrupt(&self.name, 0, "entry")),
        }
    }

    /// Number of entries still to come.
    pub(super) fn left(&self) -> u64 {
        self.left
    }
}
