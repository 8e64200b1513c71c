//! The one encoding of a proof, and the checks that make it the only one.
//!
//! Layout: crate header. Every length is bounded before it is read, so decoding allocates at most what the
//! longest proof needs.

use alloc::vec::Vec;

use crate::node::{Content, SKIP_BYTES, SKIP_TRITS_MAX, Skip, VALUE_BYTES_MAX, VALUE_INLINE_MAX};
use crate::proof::{End, Level, OffPath, Proof};
use crate::{EMPTY_HASH, Hash, PATH_TRITS, ROOT_DEPTH_MAX};

/// Longest encoding of a proof, in bytes: 162 levels with both siblings and the longest value.
pub const PROOF_BYTES_MAX: usize = 2 + PATH_TRITS as usize * (2 + 8 + 64) + 1 + 8 + 2 + VALUE_BYTES_MAX;

/// Flags of a level in midstate form.
const MIDSTATE_FLAGS: u8 = 0x80;

/// Why bytes are not a proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// More bytes than any proof has.
    #[error("{got} bytes, at most {max} are allowed")]
    TooLong {
        /// Length of the input.
        got: usize,
        /// Length of the longest encoding.
        max: usize,
    },
    /// The bytes end within the proof.
    #[error("the bytes end early")]
    Truncated,
    /// Bytes are left after the proof.
    #[error("{left} bytes follow the proof")]
    Trailing {
        /// How many.
        left: usize,
    },
    /// The bytes break a rule of shape.
    #[error("malformed proof")]
    Malformed(#[from] ShapeError),
}

/// Which rule of shape a proof breaks. No trie has such a proof, whatever the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShapeError {
    /// A root deeper than paths go, or any depth at all for the empty trie.
    #[error("root depth {0}")]
    RootDepth(u8),
    /// More levels than a path has trits.
    #[error("{0} levels")]
    LevelCount(u8),
    /// A skip longer than a node holds, or leading past the path's end.
    #[error("skip of {skip} trits at depth {depth}")]
    SkipLength {
        /// Skipped trits.
        skip: u8,
        /// Depth of the node's slot.
        depth: u8,
    },
    /// Skipped trits not in the packed form.
    #[error("skipped trits are not packed canonically")]
    SkipTrits,
    /// Unknown bits in the flags.
    #[error("flags {0:#04x}")]
    Flags(u8),
    /// A child said to be present has the empty slot's hash.
    #[error("a child that is present has the empty hash")]
    EmptyChild,
    /// A node without children, or with one but not as part of a chain.
    #[error("the node at depth {0} has too few children")]
    FewChildren(u8),
    /// A child's sum is above its parent's, or differs from it in a one-child node.
    #[error("sum {child} under a node of sum {parent}")]
    Sum {
        /// The parent's sum.
        parent: u64,
        /// The child's sum.
        child: u64,
    },
    /// Unknown tag of an end.
    #[error("end tag {0}")]
    EndTag(u8),
    /// A value longer than allowed.
    #[error("value of {0} bytes")]
    ValueLength(u16),
}

impl Proof {
    /// The proof's encoding; at most [`PROOF_BYTES_MAX`] bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.levels.len().saturating_mul(64).saturating_add(128));
        let count = u8::try_from(self.levels.len()).expect("a canonical proof has at most 162 levels");
        bytes.extend([self.root_depth, count]);
        self.levels.iter().for_each(|level| level.write(&mut bytes));
        self.end.write(&mut bytes);
        bytes
    }

    /// Reads a proof; accepts exactly what [`Proof::encode`] can give.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] for anything else; it never panics and never allocates past a proof's bounds.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes, PROOF_BYTES_MAX)?;
        let [root_depth, count] = reader.array()?;
        if count > PATH_TRITS {
            return Err(ShapeError::LevelCount(count).into());
        }
        let levels = (0..count).map(|_| Level::read(&mut reader)).collect::<Result<_, _>>()?;
        let proof = Self { root_depth, levels, end: End::read(&mut reader)? };
        reader.finish()?;
        proof.check_shape()?;
        Ok(proof)
    }

    /// The rules of shape that do not depend on key or root.
    fn check_shape(&self) -> Result<(), ShapeError> {
        let is_root = self.levels.is_empty();
        let root_depth_max = match self.end {
            End::Empty if is_root => 0,
            _ => ROOT_DEPTH_MAX,
        };
        if self.root_depth > root_depth_max {
            return Err(ShapeError::RootDepth(self.root_depth));
        }
        let slot = check_levels(self.root_depth, &self.levels, self.end.below())?;
        self.end.check_shape(slot)
    }
}

/// The rules of shape for levels from the root's slot down to what stands `below` them; answers that slot's depth.
pub(crate) fn check_levels(root_depth: u8, levels: &[Level], below: Below) -> Result<u8, ShapeError> {
    let mut slot = root_depth;
    let mut levels = levels.iter().peekable();
    while let Some(level) = levels.next() {
        check_skip(level.skip_len, slot)?;
        level.check_children(slot, levels.peek().map_or(below, |next| Below::Inner(next.sum)))?;
        slot = slot.saturating_add(level.skip_len).saturating_add(1);
    }
    Ok(slot)
}

/// What stands below a level, with its sum.
#[derive(Clone, Copy)]
pub(crate) enum Below {
    Empty,
    Leaf(u64),
    Inner(u64),
}

impl Level {
    fn check_children(&self, slot: u8, below: Below) -> Result<(), ShapeError> {
        let siblings = match &self.off_path {
            OffPath::Siblings(hashes) => present(hashes),
            // How many there are is not known; no rule refuses two.
            OffPath::Midstate(_) => 2,
        };
        // Two children at least, or else one, an inner node, below a full skip.
        let chain = match below {
            Below::Empty => siblings == 1,
            Below::Leaf(_) | Below::Inner(_) => siblings == 0,
        };
        let few = match below {
            Below::Empty => siblings == 0,
            Below::Leaf(_) => chain,
            Below::Inner(_) => false,
        };
        if few || (chain && self.skip_len != SKIP_TRITS_MAX) {
            return Err(ShapeError::FewChildren(slot));
        }
        let child = match below {
            Below::Empty => return Ok(()),
            Below::Leaf(sum) | Below::Inner(sum) => sum,
        };
        if child > self.sum || (chain && child != self.sum) {
            let parent = self.sum;
            return Err(ShapeError::Sum { parent, child });
        }
        Ok(())
    }
}

impl End {
    fn below(&self) -> Below {
        match self {
            Self::Empty => Below::Empty,
            Self::Present { sum, .. } | Self::OtherLeaf { sum, .. } => Below::Leaf(*sum),
            Self::Diverging { sum, .. } => Below::Inner(*sum),
        }
    }

    fn check_shape(&self, slot: u8) -> Result<(), ShapeError> {
        let Self::Diverging { skip, children, .. } = self else {
            return Ok(());
        };
        check_skip(skip.len, slot)?;
        match present(children) {
            0 => Err(ShapeError::FewChildren(slot)),
            1 if skip.len != SKIP_TRITS_MAX => Err(ShapeError::FewChildren(slot)),
            _ => Ok(()),
        }
    }
}

/// A node's skip fits its metadata and leaves a trit of the path to branch by.
pub(crate) fn check_skip(skip: u8, depth: u8) -> Result<(), ShapeError> {
    if skip > SKIP_TRITS_MAX || depth.saturating_add(skip) >= PATH_TRITS {
        return Err(ShapeError::SkipLength { skip, depth });
    }
    Ok(())
}

impl Level {
    pub(crate) fn write(&self, bytes: &mut Vec<u8>) {
        let flags = match &self.off_path {
            OffPath::Siblings(hashes) => flags(hashes),
            OffPath::Midstate(_) => MIDSTATE_FLAGS,
        };
        bytes.extend([self.skip_len, flags]);
        bytes.extend(self.sum.to_le_bytes());
        match &self.off_path {
            OffPath::Siblings(hashes) => write_children(hashes, bytes),
            OffPath::Midstate(midstate) => bytes.extend(midstate),
        }
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let [skip_len, flags] = reader.array()?;
        let sum = reader.u64()?;
        let off_path = match flags {
            MIDSTATE_FLAGS => OffPath::Midstate(reader.array()?),
            _ => OffPath::Siblings(read_children(flags, reader)?),
        };
        Ok(Self { skip_len, sum, off_path })
    }
}

impl End {
    fn write(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Empty => bytes.push(0),
            Self::Present { value, sum } => {
                let len = u16::try_from(value.len()).expect("a value has at most 1024 bytes");
                bytes.push(1);
                bytes.extend(sum.to_le_bytes());
                bytes.extend(len.to_le_bytes());
                bytes.extend(value);
            }
            Self::OtherLeaf { key, content, value_len, sum } => {
                bytes.push(2);
                bytes.extend(key);
                bytes.extend(sum.to_le_bytes());
                bytes.extend(value_len.to_le_bytes());
                bytes.extend(content.iter().take(content_bytes(*value_len)));
            }
            Self::Diverging { skip, sum, children } => {
                bytes.extend([3, skip.len]);
                bytes.extend(skip.packed.iter().take(skip_bytes(skip.len)));
                bytes.push(flags(children));
                bytes.extend(sum.to_le_bytes());
                write_children(children, bytes);
            }
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match reader.u8()? {
            0 => Ok(Self::Empty),
            1 => {
                let sum = reader.u64()?;
                let len = checked_len(reader.u16()?)?;
                Ok(Self::Present { value: reader.bytes(usize::from(len))?.to_vec(), sum })
            }
            2 => {
                let key = reader.array()?;
                let sum = reader.u64()?;
                let value_len = checked_len(reader.u16()?)?;
                Ok(Self::OtherLeaf { key, content: read_content(value_len, reader)?, value_len, sum })
            }
            3 => {
                let skip = read_skip(reader)?;
                let flags = reader.u8()?;
                let sum = reader.u64()?;
                Ok(Self::Diverging { skip, sum, children: read_children(flags, reader)? })
            }
            tag => Err(ShapeError::EndTag(tag).into()),
        }
    }
}

/// Foreign bytes, read from the front.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Refuses input longer than `max` bytes.
    pub(crate) fn new(bytes: &'a [u8], max: usize) -> Result<Self, DecodeError> {
        let got = bytes.len();
        if got > max { Err(DecodeError::TooLong { got, max }) } else { Ok(Self { rest: bytes }) }
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let (bytes, rest) = self.rest.split_at_checked(len).ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(bytes)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(*bytes)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, DecodeError> {
        self.array().map(u8::from_le_bytes)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, DecodeError> {
        self.array().map(u64::from_le_bytes)
    }

    /// A hash that is not the empty slot's.
    pub(crate) fn child(&mut self) -> Result<Hash, DecodeError> {
        let hash = self.array()?;
        if hash == EMPTY_HASH { Err(ShapeError::EmptyChild.into()) } else { Ok(hash) }
    }

    /// Refuses bytes that are left.
    pub(crate) fn finish(self) -> Result<(), DecodeError> {
        let left = self.rest.len();
        if left > 0 { Err(DecodeError::Trailing { left }) } else { Ok(()) }
    }
}

pub(crate) fn checked_len(len: u16) -> Result<u16, ShapeError> {
    if usize::from(len) > VALUE_BYTES_MAX { Err(ShapeError::ValueLength(len)) } else { Ok(len) }
}

/// How many bytes of its content stand for a value of this length: the value's own, or a digest's.
pub(crate) fn content_bytes(value_len: u16) -> usize {
    let len = usize::from(value_len);
    if len > VALUE_INLINE_MAX { size_of::<Hash>() } else { len }
}

/// The content of a leaf whose value has `value_len` bytes.
pub(crate) fn read_content(value_len: u16, reader: &mut Reader<'_>) -> Result<Content, DecodeError> {
    let mut content = [0; VALUE_INLINE_MAX];
    let bytes = reader.bytes(content_bytes(value_len))?;
    content.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    Ok(content)
}

/// Bytes that `len` skipped trits take.
pub(crate) fn skip_bytes(len: u8) -> usize {
    usize::from(len.div_ceil(5))
}

/// A skip that fits some node: its length, then its trits.
pub(crate) fn read_skip(reader: &mut Reader<'_>) -> Result<Skip, DecodeError> {
    let len = reader.u8()?;
    check_skip(len, 0)?;
    let mut packed = [0; SKIP_BYTES];
    let bytes = reader.bytes(skip_bytes(len))?;
    packed.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    let skip = Skip { len, packed };
    if skip.is_canonical() { Ok(skip) } else { Err(ShapeError::SkipTrits.into()) }
}

/// How many children are not empty.
pub(crate) fn present(children: &[Hash]) -> usize {
    children.iter().filter(|hash| **hash != EMPTY_HASH).count()
}

/// Bit i says that child i is not empty.
pub(crate) fn flags(children: &[Hash]) -> u8 {
    children.iter().rev().fold(0, |flags, hash| flags << 1 | u8::from(*hash != EMPTY_HASH))
}

/// The children that are not empty, in order.
pub(crate) fn write_children(children: &[Hash], bytes: &mut Vec<u8>) {
    children.iter().filter(|hash| **hash != EMPTY_HASH).for_each(|hash| bytes.extend(hash));
}

/// The children that `flags` says are not empty.
pub(crate) fn read_children<const N: usize>(flags: u8, reader: &mut Reader<'_>) -> Result<[Hash; N], DecodeError> {
    let mut children = [EMPTY_HASH; N];
    let mut rest = flags;
    for child in &mut children {
        if rest & 1 == 1 {
            *child = reader.child()?;
        }
        rest >>= 1;
    }
    if rest == 0 { Ok(children) } else { Err(ShapeError::Flags(flags).into()) }
}
