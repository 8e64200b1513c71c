//! The one encoding of a multi-proof. Format: module header.

use alloc::vec::Vec;

use super::{MULTI_PROOF_KEYS_MAX, MultiProof};
use crate::codec::{
    DecodeError, Reader, ShapeError, check_skip, checked_len, content_bytes, flags, present, read_children,
    read_content, read_skip, skip_bytes, write_children,
};
use crate::node::{Content, SKIP_BYTES, SKIP_TRITS_MAX, Skip, VALUE_BYTES_MAX};
use crate::proof::OffPath;
use crate::{Hash, Key, PATH_TRITS, ROOT_DEPTH_MAX};

pub(super) const EMPTY: u8 = 0;
const SOLE_LEAF: u8 = 1;
const OWN_LEAF: u8 = 2;
const OTHER_LEAF: u8 = 3;
const DIVERGING: u8 = 4;
const INNER: u8 = 5;
const INNER_MIDSTATE: u8 = 9;
const SKIPPING: u8 = 10;
const SKIPPING_MIDSTATE: u8 = 14;

/// Set in a skip's byte where the skipped trits follow.
const TRITS_FOLLOW: u8 = 0x80;
/// Bytes before the codes: root depth and number of elements.
const HEAD_BYTES: usize = 5;

/// Longest encoding of a multi-proof for `keys` keys, in bytes: for decoding as for whoever receives one.
///
/// As if each key had a path of 162 nodes to itself, and the longest value: more than can occur.
pub const fn multi_proof_bytes_max(keys: usize) -> usize {
    // Code, length of a skip and a byte of its trits (of which five trits share one), number, two hashes.
    const LEVEL: usize = 1 + 2 + 10 + 64;
    const END: usize = 1 + 32 + 10 + 3 + 2 + VALUE_BYTES_MAX;
    const KEY: usize = PATH_TRITS as usize * LEVEL + END;
    HEAD_BYTES.saturating_add(keys.saturating_mul(KEY))
}

/// Why bytes are not a multi-proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MultiDecodeError {
    /// Too long, too short, or against a rule of shape that single proofs have too.
    #[error(transparent)]
    Proof(#[from] DecodeError),
    /// No element, or a last half byte that is not zero.
    #[error("{0} elements, or a code beyond them")]
    Elements(u32),
    /// A code no element has.
    #[error("element code {0}")]
    Code(u8),
    /// A number that is not in its shortest form, or does not fit u64.
    #[error("a number is not in its one form")]
    Number,
}

impl From<ShapeError> for MultiDecodeError {
    fn from(error: ShapeError) -> Self {
        Self::Proof(error.into())
    }
}

/// An element of the union.
#[derive(Debug)]
pub(super) enum Part<'a> {
    Empty,
    /// The leaf of the slot's key with this index; without it, of the only one.
    Own {
        index: Option<u64>,
        value: &'a [u8],
        sum: u64,
    },
    Other {
        key: Key,
        content: Content,
        value_len: u16,
        sum: u64,
    },
    Diverging {
        skip: Skip,
        sum: u64,
        children: [Hash; 3],
    },
    Inner {
        skip_len: u8,
        /// The skipped trits, where the slot's keys do not share them.
        skip: Option<Skip>,
        rest: u64,
        /// Siblings in child order, those on the path left out, then [`crate::EMPTY_HASH`].
        off_path: OffPath,
    },
}

impl MultiProof {
    /// The proof's encoding; at most [`multi_proof_bytes_max`] bytes.
    pub fn encode(&self) -> Vec<u8> {
        let count = u32::try_from(self.codes.len()).expect("65 536 keys lead to fewer than 2^24 slots");
        let mut bytes =
            Vec::with_capacity(HEAD_BYTES.saturating_add(self.codes.len()).saturating_add(self.bodies.len()));
        bytes.push(self.root_depth);
        bytes.extend(count.to_le_bytes());
        let (pairs, last) = self.codes.as_chunks();
        bytes.extend(pairs.iter().map(|[low, high]| low | high << 4));
        bytes.extend(last);
        bytes.extend(&self.bodies);
        bytes
    }

    /// Reads a multi-proof; accepts exactly what [`MultiProof::encode`] can give for some keys. Who knows how many keys
    /// were asked refuses what is longer than [`multi_proof_bytes_max`] of them before it comes here.
    ///
    /// # Errors
    ///
    /// [`MultiDecodeError`] for anything else; it never panics, and allocates at most twice what `bytes` has.
    pub fn decode(bytes: &[u8]) -> Result<Self, MultiDecodeError> {
        let mut reader = Reader::new(bytes, multi_proof_bytes_max(MULTI_PROOF_KEYS_MAX))?;
        let root_depth = reader.u8()?;
        let count = u32::from_le_bytes(reader.array()?);
        let packed = reader.bytes(usize::try_from(count.div_ceil(2)).unwrap_or(usize::MAX))?;
        let mut codes: Vec<u8> = packed.iter().flat_map(|byte| [byte & 15, byte >> 4]).collect();
        if count == 0 || (count % 2 == 1 && codes.pop() != Some(0)) {
            return Err(MultiDecodeError::Elements(count));
        }
        // Nothing of the empty trie says a depth.
        if root_depth > if codes.first() == Some(&EMPTY) { 0 } else { ROOT_DEPTH_MAX } {
            return Err(ShapeError::RootDepth(root_depth).into());
        }
        let bodies = bytes.get(HEAD_BYTES.saturating_add(packed.len())..).unwrap_or_default().to_vec();
        for &code in &codes {
            Part::read(code, &mut reader)?;
        }
        reader.finish()?;
        Ok(Self { root_depth, codes, bodies })
    }
}

impl<'a> Part<'a> {
    /// Reads the body of an element with this code.
    pub(super) fn read(code: u8, reader: &mut Reader<'a>) -> Result<Self, MultiDecodeError> {
        Ok(match code {
            EMPTY => Self::Empty,
            SOLE_LEAF | OWN_LEAF => {
                let index = if code == OWN_LEAF { Some(read_number(reader)?) } else { None };
                let sum = read_number(reader)?;
                let len = read_len(reader)?;
                Self::Own { index, value: reader.bytes(usize::from(len))?, sum }
            }
            OTHER_LEAF => {
                let key = reader.array()?;
                let sum = read_number(reader)?;
                let value_len = read_len(reader)?;
                Self::Other { key, content: read_content(value_len, reader)?, value_len, sum }
            }
            DIVERGING => {
                let skip = read_skip(reader)?;
                let flags = reader.u8()?;
                let sum = read_number(reader)?;
                let children = read_children(flags, reader)?;
                // One child is a chain's; its skip is full.
                if present(&children) < if skip.len == SKIP_TRITS_MAX { 1 } else { 2 } {
                    return Err(ShapeError::FewChildren(0).into());
                }
                Self::Diverging { skip, sum, children }
            }
            INNER..=INNER_MIDSTATE => Self::read_inner(0, None, code.saturating_sub(INNER), reader)?,
            SKIPPING..=SKIPPING_MIDSTATE => {
                let (skip_len, skip) = read_inner_skip(reader)?;
                Self::read_inner(skip_len, skip, code.saturating_sub(SKIPPING), reader)?
            }
            _ => return Err(MultiDecodeError::Code(code)),
        })
    }

    /// `form`: bits of siblings, or 4 for the midstate form.
    fn read_inner(
        skip_len: u8,
        skip: Option<Skip>,
        form: u8,
        reader: &mut Reader<'a>,
    ) -> Result<Self, MultiDecodeError> {
        let rest = if form == 0 { 0 } else { read_number(reader)? };
        let off_path = if form == 4 {
            OffPath::Midstate(reader.array()?)
        } else {
            OffPath::Siblings(read_children(form, reader)?)
        };
        Ok(Self::Inner { skip_len, skip, rest, off_path })
    }

    /// Writes the body and answers the code.
    pub(super) fn write(&self, bodies: &mut Vec<u8>) -> u8 {
        match self {
            Self::Empty => EMPTY,
            Self::Own { index, value, sum } => {
                index.iter().for_each(|&index| write_number(index, bodies));
                write_number(*sum, bodies);
                write_len(value.len(), bodies);
                bodies.extend(*value);
                if index.is_some() { OWN_LEAF } else { SOLE_LEAF }
            }
            Self::Other { key, content, value_len, sum } => {
                bodies.extend(key);
                write_number(*sum, bodies);
                write_number(u64::from(*value_len), bodies);
                bodies.extend(content.iter().take(content_bytes(*value_len)));
                OTHER_LEAF
            }
            Self::Diverging { skip, sum, children } => {
                bodies.push(skip.len);
                bodies.extend(skip.packed.iter().take(skip_bytes(skip.len)));
                bodies.push(flags(children));
                write_number(*sum, bodies);
                write_children(children, bodies);
                DIVERGING
            }
            Self::Inner { skip_len, skip, rest, off_path } => {
                if let Some(skip) = skip {
                    bodies.push(skip.len | TRITS_FOLLOW);
                    bodies.extend(skip.packed.iter().take(skip_bytes(skip.len)));
                } else if *skip_len > 0 {
                    bodies.push(*skip_len);
                }
                let form = match off_path {
                    OffPath::Siblings(hashes) => flags(hashes),
                    OffPath::Midstate(_) => 4,
                };
                if form != 0 {
                    write_number(*rest, bodies);
                }
                match off_path {
                    OffPath::Siblings(hashes) => write_children(hashes, bodies),
                    OffPath::Midstate(midstate) => bodies.extend(midstate),
                }
                if *skip_len == 0 { INNER.saturating_add(form) } else { SKIPPING.saturating_add(form) }
            }
        }
    }
}

/// The skip of an inner node that has one: its length, and its trits where they follow.
fn read_inner_skip(reader: &mut Reader<'_>) -> Result<(u8, Option<Skip>), MultiDecodeError> {
    let byte = reader.u8()?;
    let len = byte & !TRITS_FOLLOW;
    check_skip(len, 0)?;
    if len == 0 {
        return Err(ShapeError::SkipLength { skip: 0, depth: 0 }.into());
    }
    if byte & TRITS_FOLLOW == 0 {
        return Ok((len, None));
    }
    let mut packed = [0; SKIP_BYTES];
    packed.iter_mut().zip(reader.bytes(skip_bytes(len))?).for_each(|(to, from)| *to = *from);
    let skip = Skip { len, packed };
    if skip.is_canonical() { Ok((len, Some(skip))) } else { Err(ShapeError::SkipTrits.into()) }
}

fn read_len(reader: &mut Reader<'_>) -> Result<u16, MultiDecodeError> {
    // Whatever is too long for u16 is too long for a value.
    let len = u16::try_from(read_number(reader)?).unwrap_or(u16::MAX);
    Ok(checked_len(len)?)
}

fn write_len(len: usize, bytes: &mut Vec<u8>) {
    write_number(u64::try_from(len).unwrap_or(u64::MAX), bytes);
}

/// Unsigned LEB128 in its shortest form.
fn read_number(reader: &mut Reader<'_>) -> Result<u64, MultiDecodeError> {
    let mut number = 0u64;
    for shift in (0..64).step_by(7) {
        let byte = reader.u8()?;
        let bits = u64::from(byte & 0x7f);
        let placed = bits.unbounded_shl(shift);
        if placed.unbounded_shr(shift) != bits || (byte == 0 && shift > 0) {
            return Err(MultiDecodeError::Number);
        }
        number |= placed;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(MultiDecodeError::Number)
}

fn write_number(mut number: u64, bytes: &mut Vec<u8>) {
    loop {
        let low = number.to_le_bytes()[0] & 0x7f;
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return;
        }
        bytes.push(low | 0x80);
    }
}
