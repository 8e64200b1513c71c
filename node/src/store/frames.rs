//! The framing RocksDB gives its write-ahead log and its manifest (`db/log_format.h`).
//!
//! Blocks of 32 KiB; a fragment is {masked CRC-32C: 4, length: 2, type: 1, payload}, little endian, never across a block; types 1 whole,
//! 2 first, 3 middle, 4 last. Less than seven bytes at the end of a block are padding.

pub(super) const BLOCK: usize = 32 * 1024;
pub(super) const FRAGMENT_HEADER: usize = 7;

/// What a file holds, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Frame<'a> {
    /// An intact record.
    Record {
        /// Where it starts in the file.
        offset: usize,
        /// Its first bytes, as many as were asked for.
        head: &'a [u8],
    },
    /// Something is wrong or cut off.
    Damage {
        /// From here on.
        offset: usize,
        /// Rest of the block, whose framing cannot be trusted; empty if it can.
        rest: &'a [u8],
    },
}

/// A record whose last fragment has not been reached.
#[derive(Debug)]
struct Open {
    /// Where its first fragment starts.
    offset: usize,
    head: Vec<u8>,
}

/// Shows `visitor` the records of a file, with the first `head_bytes` of each, and the damage between them. Goes on behind damage.
pub(super) fn walk(bytes: &[u8], head_bytes: usize, mut visitor: impl FnMut(Frame<'_>)) {
    // A record may span blocks, so the open one lives across them.
    let mut open: Option<Open> = None;
    // Behind damage, fragments without a beginning are what is left of a record already counted as damaged.
    let mut resync = false;
    let mut block_start: usize = 0;
    for block in bytes.chunks(BLOCK) {
        let mut at: usize = 0;
        while let Some(left) = block.get(at..).filter(|left| left.len() >= FRAGMENT_HEADER) {
            let offset = block_start.saturating_add(at);
            let Some((kind, payload)) = fragment(left) else {
                // The length cannot be trusted, so the rest of the block is searched byte by byte.
                let torn = open.take().map_or(offset, |open| open.offset);
                visitor(Frame::Damage { offset: torn, rest: left });
                resync = true;
                at = block.len();
                break;
            };
            at = at.saturating_add(FRAGMENT_HEADER).saturating_add(payload.len());
            match kind {
                1 | 2 => {
                    if let Some(open) = open.take().filter(|open| !open.head.is_empty()) {
                        visitor(Frame::Damage { offset: open.offset, rest: &[] });
                    }
                    resync = false;
                    open = Some(Open { offset, head: Vec::new() });
                }
                3 | 4 if open.is_none() => {
                    if !resync {
                        visitor(Frame::Damage { offset, rest: &[] });
                        resync = true;
                    }
                    continue;
                }
                3 | 4 => {}
                // RocksDB's own notes between records.
                _ => continue,
            }
            if let Some(open) = &mut open {
                let missing = head_bytes.saturating_sub(open.head.len());
                open.head.extend(payload.iter().take(missing));
            }
            if matches!(kind, 1 | 4)
                && let Some(open) = open.take()
            {
                visitor(Frame::Record { offset: open.offset, head: &open.head });
            }
        }
        if at < block.len() && block.len() < BLOCK && open.is_none() {
            // Less than a fragment's header before the end of the file.
            visitor(Frame::Damage { offset: block_start.saturating_add(at), rest: &[] });
        }
        block_start = block_start.saturating_add(BLOCK);
    }
    if let Some(open) = open {
        visitor(Frame::Damage { offset: open.offset, rest: &[] });
    }
}

/// Type and payload of the fragment at the start of `bytes`, if it is intact.
pub(super) fn fragment(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let crc = u32::from_le_bytes(*bytes.first_chunk()?);
    let length = u16::from_le_bytes(*bytes.get(4..)?.first_chunk()?);
    let covered = bytes.get(6..)?.get(..usize::from(length).saturating_add(1))?;
    // RocksDB stores checksums masked (util/crc32c.h), since a checksum of data that holds checksums is weak.
    let unmasked = crc.wrapping_sub(0xa282_ead8).rotate_left(15);
    if crc32c(covered) != unmasked {
        return None;
    }
    let (&kind, payload) = covered.split_first()?;
    // Zero is the type of preallocated space.
    (kind != 0).then_some((kind, payload))
}

const CRC32C: [u32; 256] = crc32c_table();

#[expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "computed by the compiler, which refuses an overflow"
)]
const fn crc32c_table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut crc = index as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = (crc >> 1) ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 };
            bit += 1;
        }
        table[index] = crc;
        index += 1;
    }
    table
}

/// CRC-32C (Castagnoli), one table look-up a byte: a log is a few MiB, read once per start.
pub(super) fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc: u32, byte| {
        let [low, ..] = crc.to_le_bytes();
        // The index is a byte, the table has 256 entries.
        let entry = CRC32C.get(usize::from(low ^ byte)).copied().unwrap_or(0);
        (crc >> 8) ^ entry
    })
}
