//! Log records and the entries in them.
//!
//! | bytes | head of a record |
//! | --- | --- |
//! | 0..8 | `SMTREC\0\1` |
//! | 8..16 | sequence number: 1 for the first record there ever was, then one more each |
//! | 16..24 | position: bytes of all records before this one |
//! | 24 | kind: 1 batch, 2 epoch mark |
//! | 25..33 | batch: number of entries; mark: the epoch |
//! | 33..65 | root hash after the batch, or of the epoch |
//! | 65..73 | root sum |
//! | 73..81 | bytes of the body |
//! | 81..113 | checksum of the body |
//! | 113..145 | checksum of the record before |
//! | 145..147 | number of parts |
//! | 147.. | per part: partition (u16), bytes (u32); partitions ascending |
//! | last 32 | checksum of the record: of all bytes of the head before it |
//!
//! The body is the parts one after the other: what the batch does to one partition. An entry is `key (32), length
//! (u16), sum (u64), value`; length 65,535 removes the key, and no sum and no value follow. Integers are
//! little-endian, checksums keyed BLAKE3.
//!
//! A record's checksum covers the one before it, so a record is only ever read in its place: one of another history,
//! or one that stale disk blocks bring back, does not follow. The body has its own, which the head covers; so the
//! chain can be walked by heads alone, and a part be read alone once its place is known.

use super::PARTITIONS_MAX;
use super::bytes::{Bytes, narrow, wide};
use crate::{Key, Leaf, Root, VALUE_BYTES_MAX};

/// Keyed BLAKE3 of heads, bodies, segment headers, runs and manifests.
pub(super) type Checksum = [u8; 32];

const HEAD_KEY: &[u8; 32] = b"smt-trie disk log record head  1";
const BODY_KEY: &[u8; 32] = b"smt-trie disk log record body  1";
const MAGIC: &[u8; 8] = b"SMTREC\0\x01";
/// Bytes of a head before the table of parts.
const FIXED_BYTES: usize = 147;
const PART_BYTES: usize = 6;
const CHECKSUM_BYTES: usize = 32;
/// Length that says that the key is removed.
const REMOVED: u16 = u16::MAX;
/// Most bytes of a record's body; what a batch may take in the log. 1 GiB.
pub(super) const BODY_BYTES_MAX: u64 = 1 << 30;

/// How far the log goes: up to and including a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Link {
    /// The record's sequence number; 0 if there is none yet.
    pub(super) sequence: u64,
    /// Bytes of all records so far.
    pub(super) position: u64,
    /// Its checksum; zero if there is none yet.
    pub(super) checksum: Checksum,
}

/// What a record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A batch with this many entries.
    Batch(u64),
    /// The state before is the state of this epoch.
    Epoch(u64),
}

/// A record but for its body.
#[derive(Clone, Debug)]
pub(super) struct Head {
    /// The record before.
    pub(super) before: Link,
    /// Up to this record.
    pub(super) link: Link,
    pub(super) kind: Kind,
    pub(super) root: Root,
    /// Bytes of the head itself.
    pub(super) head_bytes: usize,
    pub(super) body_bytes: u64,
    body_checksum: Checksum,
    /// Partition and bytes of each part.
    pub(super) parts: Vec<(u16, u32)>,
}

impl Head {
    /// Reads the head at the beginning of `bytes`; `None` unless it is whole and its checksum right.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut fields = Bytes(bytes);
        if fields.take(8)? != MAGIC {
            return None;
        }
        let (sequence, position) = (fields.u64()?, fields.u64()?);
        let (kind, number) = (fields.u8()?, fields.u64()?);
        let root = Root { hash: fields.array()?, sum: fields.u64()? };
        let (body_bytes, body_checksum, previous) = (fields.u64()?, fields.array()?, fields.array()?);
        // What is cheap to check comes before the hash: `find` tries many places.
        let part_count = fields.u16().filter(|&count| count <= PARTITIONS_MAX).map(usize::from)?;
        let mut parts = Vec::with_capacity(part_count);
        for _ in 0..part_count {
            parts.push((fields.u16()?, fields.u32()?));
        }
        let sum = parts.iter().try_fold(0u64, |sum, &(_, bytes)| sum.checked_add(u64::from(bytes)));
        let ascending = parts.is_sorted_by(|a, b| a.0 < b.0);
        if sum != Some(body_bytes) || body_bytes > BODY_BYTES_MAX || !ascending {
            return None;
        }
        let kind = match kind {
            1 => Kind::Batch(number),
            2 => Kind::Epoch(number),
            _ => return None,
        };
        let covered = FIXED_BYTES.checked_add(part_count.checked_mul(PART_BYTES)?)?;
        let checksum = fields.array()?;
        if checksum != *blake3::keyed_hash(HEAD_KEY, bytes.get(..covered)?).as_bytes() {
            return None;
        }
        let head_bytes = covered.checked_add(CHECKSUM_BYTES)?;
        let before = Link { sequence: sequence.checked_sub(1)?, position, checksum: previous };
        let position = position.checked_add(wide(head_bytes))?.checked_add(body_bytes)?;
        let link = Link { sequence, position, checksum };
        Some(Self { before, link, kind, root, head_bytes, body_bytes, body_checksum, parts })
    }

    /// Whether `body` is this record's.
    pub(super) fn has_body(&self, body: &[u8]) -> bool {
        self.body_checksum == *blake3::keyed_hash(BODY_KEY, body).as_bytes()
    }

    /// Bytes of the whole record.
    pub(super) fn bytes(&self) -> u64 {
        wide(self.head_bytes).saturating_add(self.body_bytes)
    }

    /// Whether a later record than the next stands in `bytes`, which are what follows `tail`: any whole head that
    /// says it belongs exactly where it stands. So a value that looks like a head passes for one only if its author
    /// foresaw the place in the log.
    pub(super) fn is_behind(tail: &Link, bytes: &[u8]) -> bool {
        let mut from = 1usize;
        while let Some(rest) = bytes.get(from..) {
            let Some(found) = rest.windows(MAGIC.len()).position(|window| window == MAGIC) else { return false };
            from = from.saturating_add(found);
            let later = bytes.get(from..).and_then(Self::parse).is_some_and(|head| {
                let position = tail.position.checked_add(wide(from));
                head.before.sequence > tail.sequence && Some(head.before.position) == position
            });
            if later {
                return true;
            }
            from = from.saturating_add(1);
        }
        false
    }
}

/// Writes records into memory that is used again and again.
#[derive(Debug, Default)]
pub(super) struct Encoder {
    record: Vec<u8>,
    /// Partition of each item of the batch.
    partition_of: Vec<u16>,
    /// Items grouped by partition, in the batch's order within one.
    order: Vec<u32>,
    /// Where each partition's items begin in `order`, and at last their number.
    starts: Vec<u32>,
    parts: Vec<(u16, u32)>,
}

impl Encoder {
    /// Sorts the items of a batch by partition. Cost: one evaluation of `partition_of` an item.
    pub(super) fn group<V>(
        &mut self,
        batch: &[(Key, Option<Leaf<V>>)],
        partitions: usize,
        partition_of: impl Fn(&Key) -> usize,
    ) {
        self.partition_of.clear();
        self.starts.clear();
        self.starts.resize(partitions.saturating_add(1), 0);
        for (key, _) in batch {
            let partition = partition_of(key);
            // At most 729 partitions.
            self.partition_of.push(u16::try_from(partition).unwrap_or(u16::MAX));
            if let Some(count) = self.starts.get_mut(partition) {
                *count = count.saturating_add(1);
            }
        }
        // From the number of items of each partition to where they begin.
        let mut begin = 0u32;
        for count in &mut self.starts {
            let items = std::mem::replace(count, begin);
            begin = begin.saturating_add(items);
        }
        self.order.clear();
        self.order.resize(batch.len(), 0);
        let mut next = self.starts.clone();
        for (item, &partition) in (0u32..).zip(&self.partition_of) {
            let Some(place) = next.get_mut(usize::from(partition)) else { continue };
            if let Some(slot) = self.order.get_mut(narrow(u64::from(*place))) {
                *slot = item;
            }
            *place = place.saturating_add(1);
        }
    }

    /// The partitions the grouped batch changes, ascending.
    pub(super) fn touched(&self) -> impl Iterator<Item = usize> + '_ {
        let ends = self.starts.iter().skip(1);
        self.starts.iter().zip(ends).enumerate().filter(|(_, (begin, end))| begin < end).map(|(partition, _)| partition)
    }

    /// The record of the batch grouped last, and how far the log goes with it. `root` is the one after the batch.
    pub(super) fn batch<V: AsRef<[u8]>>(
        &mut self,
        before: Link,
        root: Root,
        batch: &[(Key, Option<Leaf<V>>)],
    ) -> (&[u8], Link, &[(u16, u32)]) {
        self.parts.clear();
        let touched = self.touched().count();
        let body_from = head_bytes(touched);
        self.record.clear();
        self.record.resize(body_from, 0);
        for (partition, range) in (0u16..).zip(self.starts.windows(2)) {
            let [begin, end] = range else { continue };
            if begin == end {
                continue;
            }
            let from = self.record.len();
            let range = narrow(u64::from(*begin))..narrow(u64::from(*end));
            for &item in self.order.get(range).unwrap_or_default() {
                if let Some((key, leaf)) = batch.get(narrow(u64::from(item))) {
                    put_entry(&mut self.record, key, leaf.as_ref().map(|leaf| (leaf.value.as_ref(), leaf.sum)));
                }
            }
            // `BODY_BYTES_MAX` is checked before.
            let bytes = u32::try_from(self.record.len().saturating_sub(from)).unwrap_or(u32::MAX);
            self.parts.push((partition, bytes));
        }
        let link = finish(&mut self.record, body_from, before, Kind::Batch(wide(batch.len())), root, &self.parts);
        (&self.record, link, &self.parts)
    }

    /// The record of an epoch mark, and how far the log goes with it.
    pub(super) fn mark(&mut self, before: Link, epoch: u64, root: Root) -> (&[u8], Link) {
        self.record.clear();
        self.record.resize(head_bytes(0), 0);
        let link = finish(&mut self.record, head_bytes(0), before, Kind::Epoch(epoch), root, &[]);
        (&self.record, link)
    }
}

/// Bytes of a batch's body.
pub(super) fn body_bytes<V: AsRef<[u8]>>(batch: &[(Key, Option<Leaf<V>>)]) -> u64 {
    let entry =
        |leaf: &Option<Leaf<V>>| leaf.as_ref().map_or(34, |leaf| wide(leaf.value.as_ref().len()).saturating_add(42));
    batch.iter().fold(0, |sum, (_, leaf)| sum.saturating_add(entry(leaf)))
}

fn head_bytes(parts: usize) -> usize {
    parts.saturating_mul(PART_BYTES).saturating_add(FIXED_BYTES).saturating_add(CHECKSUM_BYTES)
}

/// Fills in the head of a record whose body is there.
fn finish(record: &mut [u8], body_from: usize, before: Link, kind: Kind, root: Root, parts: &[(u16, u32)]) -> Link {
    let (head, body) = record.split_at_mut(body_from);
    let sequence = before.sequence.saturating_add(1);
    let (kind, number) = match kind {
        Kind::Batch(entries) => (1u8, entries),
        Kind::Epoch(epoch) => (2, epoch),
    };
    let mut fields = Vec::with_capacity(head.len());
    fields.extend_from_slice(MAGIC);
    fields.extend_from_slice(&sequence.to_le_bytes());
    fields.extend_from_slice(&before.position.to_le_bytes());
    fields.push(kind);
    fields.extend_from_slice(&number.to_le_bytes());
    fields.extend_from_slice(&root.hash);
    fields.extend_from_slice(&root.sum.to_le_bytes());
    fields.extend_from_slice(&wide(body.len()).to_le_bytes());
    fields.extend_from_slice(blake3::keyed_hash(BODY_KEY, body).as_bytes());
    fields.extend_from_slice(&before.checksum);
    // At most 729 partitions, so as many parts.
    fields.extend_from_slice(&u16::try_from(parts.len()).unwrap_or(u16::MAX).to_le_bytes());
    for (partition, bytes) in parts {
        fields.extend_from_slice(&partition.to_le_bytes());
        fields.extend_from_slice(&bytes.to_le_bytes());
    }
    let checksum = *blake3::keyed_hash(HEAD_KEY, &fields).as_bytes();
    fields.extend_from_slice(&checksum);
    head.copy_from_slice(&fields);
    let bytes = wide(head.len()).saturating_add(wide(body.len()));
    Link { sequence, position: before.position.saturating_add(bytes), checksum }
}

/// Appends one entry; `None` removes the key. Values are at most [`VALUE_BYTES_MAX`] bytes, which the trie has checked.
#[inline]
pub(super) fn put_entry(bytes: &mut Vec<u8>, key: &Key, leaf: Option<(&[u8], u64)>) {
    let mut fixed = [0u8; 42];
    let (key_field, rest) = fixed.split_at_mut(32);
    let (length_field, sum_field) = rest.split_at_mut(2);
    key_field.copy_from_slice(key);
    match leaf {
        None => {
            length_field.copy_from_slice(&REMOVED.to_le_bytes());
            bytes.extend_from_slice(fixed.first_chunk::<34>().unwrap_or(&[0; 34]));
        }
        Some((value, sum)) => {
            let length = u16::try_from(value.len()).unwrap_or(REMOVED);
            length_field.copy_from_slice(&length.to_le_bytes());
            sum_field.copy_from_slice(&sum.to_le_bytes());
            bytes.extend_from_slice(&fixed);
            bytes.extend_from_slice(value);
        }
    }
}

/// The next entry of `bytes`, or `None` if what is there is none.
#[inline]
pub(super) fn take_entry<'a>(bytes: &mut Bytes<'a>) -> Option<(Key, Option<Leaf<&'a [u8]>>)> {
    let key = bytes.array()?;
    let length = bytes.u16()?;
    if length == REMOVED {
        return Some((key, None));
    }
    let length = usize::from(length);
    if length > VALUE_BYTES_MAX {
        return None;
    }
    let sum = bytes.u64()?;
    Some((key, Some(Leaf { value: bytes.take(length)?, sum })))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch() -> Vec<(Key, Option<Leaf<Vec<u8>>>)> {
        (0..50u8)
            .map(|n| ([n.wrapping_mul(37); 32], (n % 5 > 0).then(|| Leaf { value: vec![n; usize::from(n)], sum: 3 })))
            .collect()
    }

    #[test]
    fn a_record_reads_back_and_any_flipped_bit_shows() {
        let batch = batch();
        let mut encoder = Encoder::default();
        encoder.group(&batch, 3, |key| usize::from(key[0] / 86));
        let before = Link { sequence: 6, position: 1000, checksum: [9; 32] };
        let root = Root { hash: [7; 32], sum: 5 };
        let (record, link, _) = encoder.batch(before, root, &batch);
        let head = Head::parse(record).unwrap();
        assert_eq!((head.before, head.link, head.kind, head.root), (before, link, Kind::Batch(50), root));
        assert_eq!(link.position, 1000 + wide(record.len()));
        let (_, mut body) = record.split_at(head.head_bytes);
        assert!(head.has_body(body));
        assert_eq!(head.body_bytes, body_bytes(&batch));
        let mut read = Vec::new();
        for &(partition, bytes) in &head.parts {
            let (part, rest) = body.split_at(usize::try_from(bytes).unwrap());
            body = rest;
            let mut part = Bytes(part);
            while !part.is_empty() {
                let (key, leaf) = take_entry(&mut part).unwrap();
                assert_eq!(u16::from(key[0] / 86), partition);
                read.push((key, leaf.map(|leaf| Leaf { value: leaf.value.to_vec(), sum: leaf.sum })));
            }
        }
        let mut want = batch.clone();
        want.sort_by_key(|(key, _)| key[0] / 86);
        assert_eq!(read, want);
        for at in 0..record.len() {
            let mut flipped = record.to_vec();
            flipped[at] ^= 1 << (at % 8);
            let seen = Head::parse(&flipped).is_none_or(|head| !head.has_body(&flipped[head.head_bytes..]));
            assert!(seen, "flip at {at}");
        }
    }

    #[test]
    fn a_later_head_is_found_where_it_belongs_and_nowhere_else() {
        let rubbish = b"rubbish SMTREC\0\x01 and more";
        let tail = Link { sequence: 7, position: 100, checksum: [1; 32] };
        let position = tail.position + wide(rubbish.len());
        let mut encoder = Encoder::default();
        let mut is_behind = |sequence, position, cut: usize| {
            let (record, _) = encoder.mark(Link { sequence, position, checksum: [2; 32] }, 3, Root::EMPTY);
            let bytes = [rubbish, record].concat();
            Head::is_behind(&tail, &bytes[..bytes.len() - cut])
        };
        assert!(is_behind(8, position, 0));
        assert!(!is_behind(7, position, 0), "the record that is cut off itself");
        assert!(!is_behind(8, position + 1, 0), "elsewhere");
        assert!(!is_behind(8, position, 1), "not whole");
    }
}
