//! The log: segments of records, appended to and deleted, never changed.
//!
//! A segment is `SMTSEG\0\1`, the [`Link`] it follows (sequence u64, position u64, checksum 32) and a keyed BLAKE3 of
//! both; then records. It is named after its first record's sequence number. Once it is long enough the next record
//! begins another one, whose header and name are synced before the record is written.
//!
//! # What may end the log
//!
//! Each record is synced before the next is written. So what a loss of power leaves unfinished is the last record of
//! the last segment, or the header of a segment without records; both are dropped. Anything else that cannot be read
//! was durable once, and is refused: a bad record in a segment that is not the last, one with bytes behind its end,
//! one behind which a later record stands, and a log that ends before the record the manifest names as durable. What
//! cannot be told from a record cut off by a loss of power is damage to the very last record after it was durable.

use super::bytes::{Bytes, wide};
use super::error::Fault;
use super::files::{Append, Files, LOG_NEW, Name};
use super::record::{BODY_BYTES_MAX, Head, Link};
use crate::Root;
use std::collections::VecDeque;

const MAGIC: &[u8; 8] = b"SMTSEG\0\x01";
const KEY: &[u8; 32] = b"smt-trie disk log segment      1";
const HEADER_BYTES: usize = 88;
/// From this length on a segment is always followed by another. 1 GiB.
const SEGMENT_BYTES_MAX: u64 = 1 << 30;
/// More than a segment that was almost so long has with the largest record behind that.
const BYTES_MAX: u64 = SEGMENT_BYTES_MAX + BODY_BYTES_MAX + (1 << 20);

/// Where the part of a record stands that concerns one partition.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    /// The record's sequence number.
    pub(super) sequence: u64,
    /// The segment, by its first record.
    pub(super) segment: u64,
    /// Where in the segment.
    pub(super) offset: u64,
    pub(super) bytes: u32,
}

/// A segment on disk.
#[derive(Clone, Copy, Debug)]
struct Segment {
    /// What its first record follows.
    start: Link,
    /// Its length in bytes, header included.
    bytes: u64,
}

impl Segment {
    fn first(&self) -> u64 {
        self.start.sequence.saturating_add(1)
    }
}

/// The log being written.
pub(super) struct Log {
    /// Oldest first; the last is the one being written, if any is.
    segments: VecDeque<Segment>,
    writer: Option<Box<dyn Append>>,
    /// Up to the last record.
    pub(super) tail: Link,
    segment_bytes: u64,
}

/// Where a record was written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) segment: u64,
    pub(super) offset: u64,
}

impl Log {
    /// Appends a record and syncs it. After an error it is unknown whether the log has it.
    pub(super) fn append(&mut self, files: &dyn Files, record: &[u8], link: Link) -> Result<Place, Fault> {
        if self.segments.back().is_none_or(|segment| segment.bytes >= self.segment_bytes) {
            self.writer = None;
        }
        let mut writer = match self.writer.take() {
            Some(writer) => writer,
            None => self.begin_segment(files)?,
        };
        let name = self.segments.back().map_or_else(String::new, |segment| Name::Segment(segment.first()).text());
        writer.append(record).map_err(Fault::io("writing", &name))?;
        writer.sync().map_err(Fault::io("syncing", &name))?;
        self.writer = Some(writer);
        self.tail = link;
        let Some(segment) = self.segments.back_mut() else { return Ok(Place { segment: 0, offset: 0 }) };
        let offset = segment.bytes;
        segment.bytes = offset.saturating_add(wide(record.len()));
        Ok(Place { segment: segment.first(), offset })
    }

    fn begin_segment(&mut self, files: &dyn Files) -> Result<Box<dyn Append>, Fault> {
        let segment = Segment { start: self.tail, bytes: wide(HEADER_BYTES) };
        let name = Name::Segment(segment.first()).text();
        let mut writer = files.create(&name).map_err(Fault::io("creating", &name))?;
        writer.append(&header(&self.tail)).map_err(Fault::io("writing", &name))?;
        writer.sync().map_err(Fault::io("syncing", &name))?;
        files.sync_directory().map_err(Fault::io("syncing the directory of", &name))?;
        self.segments.push_back(segment);
        Ok(writer)
    }

    /// How many segments hold nothing but records up to `sequence`, and what the first of the others follows.
    /// The segment being written is always one of the others.
    pub(super) fn droppable(&self, sequence: u64) -> (usize, Link) {
        let starts = || self.segments.iter().map(|segment| segment.start);
        let count = starts().skip(1).take_while(|start| start.sequence <= sequence).count();
        (count, starts().nth(count).unwrap_or(self.tail))
    }

    /// Bytes of all segments.
    pub(super) fn bytes(&self) -> u64 {
        self.segments.iter().fold(0, |sum, segment| sum.saturating_add(segment.bytes))
    }

    /// Removes the oldest `count` segments. Their names may come back after a loss of power.
    pub(super) fn drop_oldest(&mut self, files: &dyn Files, count: usize) -> Result<(), Fault> {
        for segment in self.segments.drain(..count) {
            let name = Name::Segment(segment.first()).text();
            files.remove(&name).map_err(Fault::io("removing", &name))?;
        }
        Ok(())
    }
}

fn header(start: &Link) -> [u8; HEADER_BYTES] {
    let mut fields = Vec::with_capacity(HEADER_BYTES);
    fields.extend_from_slice(MAGIC);
    fields.extend_from_slice(&start.sequence.to_le_bytes());
    fields.extend_from_slice(&start.position.to_le_bytes());
    fields.extend_from_slice(&start.checksum);
    let checksum = *blake3::keyed_hash(KEY, &fields).as_bytes();
    fields.extend_from_slice(&checksum);
    let mut header = [0; HEADER_BYTES];
    header.copy_from_slice(&fields);
    header
}

/// The log as it was found.
pub(super) struct Found {
    segments: Vec<Segment>,
    /// A segment without a whole header, to be removed.
    pub(super) unfinished: Option<u64>,
    /// Up to the last whole record, and the root after it.
    pub(super) tail: Link,
    pub(super) tail_root: Root,
}

/// Receives the records of the log in order, each with its place.
pub(super) trait Visit {
    fn record(&mut self, head: &Head, place: Place) -> Result<(), Fault>;
}

/// Reads the log from `start` on. `firsts` are the segments found, ascending; `durable` is a record that must be in it.
///
/// Cost: the whole log is read and hashed once, a segment at a time.
pub(super) fn scan(
    files: &dyn Files,
    firsts: &[u64],
    start: Link,
    durable: Link,
    durable_root: Root,
    visit: &mut dyn Visit,
) -> Result<Found, Fault> {
    let mut found = Found { segments: Vec::new(), unfinished: None, tail: start, tail_root: durable_root };
    let mut bytes = Vec::new();
    let mut passed = durable == start;
    for (index, &first) in firsts.iter().enumerate() {
        let name = Name::Segment(first).text();
        let last = index.checked_add(1) == Some(firsts.len());
        super::read_file(files, &name, BYTES_MAX, &mut bytes)?;
        let expected = header(&found.tail);
        if !bytes.starts_with(&expected) {
            // A header that is there with more behind it was synced; one alone may not have been.
            if last && bytes.len() <= HEADER_BYTES {
                found.unfinished = Some(first);
                break;
            }
            return Err(Fault::corrupt(&name, 0, "header, or not the continuation of the segment before"));
        }
        if found.tail.sequence.checked_add(1) != Some(first) {
            return Err(Fault::corrupt(&name, 0, "name"));
        }
        let mut segment = Segment { start: found.tail, bytes: wide(HEADER_BYTES) };
        let mut rest = Bytes(bytes.get(HEADER_BYTES..).unwrap_or_default());
        while !rest.is_empty() {
            let Some((head, body)) = whole_record(rest, &found.tail) else {
                refuse_durable(rest.0, &name, segment.bytes, last, &found.tail)?;
                break;
            };
            rest = Bytes(body);
            visit.record(&head, Place { segment: first, offset: segment.bytes })?;
            segment.bytes = segment.bytes.saturating_add(head.bytes());
            found.tail = head.link;
            if head.link.sequence > durable.sequence {
                found.tail_root = head.root;
            }
            passed |= head.link == durable;
        }
        found.segments.push(segment);
    }
    if passed { Ok(found) } else { Err(Fault::LogTooShort { got: found.tail.sequence, want: durable.sequence }) }
}

/// The record at the beginning of `bytes`, if it is whole and follows `tail`, and what is behind it.
fn whole_record<'a>(bytes: Bytes<'a>, tail: &Link) -> Option<(Head, &'a [u8])> {
    let head = Head::parse(bytes.0).filter(|head| head.before == *tail)?;
    let mut rest = bytes;
    rest.take(head.head_bytes)?;
    let body = rest.take(usize::try_from(head.body_bytes).ok()?)?;
    head.has_body(body).then_some((head, rest.0))
}

/// An error unless `bytes`, where no whole record begins, can be what a loss of power left of the last one.
fn refuse_durable(bytes: &[u8], name: &str, offset: u64, last: bool, tail: &Link) -> Result<(), Fault> {
    let corrupt = |what| Err(Fault::corrupt(name, offset, what));
    if !last {
        return corrupt("a record that was durable, as a segment follows");
    }
    if let Some(head) = Head::parse(bytes) {
        let next = tail.sequence.saturating_add(1);
        if head.link.sequence > next || (head.link.sequence == next && head.before != *tail) {
            return corrupt("a record that does not follow the one before");
        }
        if head.before == *tail && head.bytes() < wide(bytes.len()) {
            return corrupt("a record that was durable, as bytes follow it");
        }
    }
    if Head::is_behind(tail, bytes) { corrupt("a record that was durable, as a later one follows") } else { Ok(()) }
}

impl Found {
    /// Makes everything found durable and ready to append to.
    ///
    /// The last segment is written again and takes the old one's name: what was read of it may never have reached the
    /// disk, and after a failed sync the system does not try again, nor report the error twice. The others were
    /// synced before their successors were begun.
    pub(super) fn into_log(self, files: &dyn Files, segment_bytes: u64) -> Result<Log, Fault> {
        let segment_bytes = segment_bytes.min(SEGMENT_BYTES_MAX);
        let mut log = Log { segments: self.segments.into(), writer: None, tail: self.tail, segment_bytes };
        if let Some(segment) = log.segments.back() {
            let name = Name::Segment(segment.first()).text();
            let mut bytes = Vec::new();
            super::read_file(files, &name, BYTES_MAX, &mut bytes)?;
            bytes.truncate(super::bytes::narrow(segment.bytes));
            let mut writer = files.create(LOG_NEW).map_err(Fault::io("creating", LOG_NEW))?;
            writer.append(&bytes).map_err(Fault::io("writing", LOG_NEW))?;
            writer.sync().map_err(Fault::io("syncing", LOG_NEW))?;
            files.rename(LOG_NEW, &name).map_err(Fault::io("replacing", &name))?;
            // Before a manifest says that what is in it is durable.
            files.sync_directory().map_err(Fault::io("syncing the directory of", &name))?;
            log.writer = Some(writer);
        }
        Ok(log)
    }
}
