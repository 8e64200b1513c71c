//! The one encoding of a proof, and the checks that make it the only one.
//!
//! Layout: crate header. Every length is bounded before it is read, so decoding allocates at most
//! what the longest proof needs.

use borsh::io::{Error, ErrorKind, Read, Result as IoResult, Write};
use borsh::{BorshDeserialize, BorshSerialize};

use crate::hash::{SKIP_BYTES, SKIP_TRITS_MAX, Skip, VALUE_BYTES_MAX};
use crate::key_path::PATH_TRITS;
use crate::proof::{End, Level, Proof};
use crate::trie::ROOT_DEPTH_MAX;
use crate::{EMPTY_HASH, Hash};

/// Longest encoding of a proof, in bytes: 162 levels with both siblings and the longest value.
pub const PROOF_BYTES_MAX: usize = 2 + PATH_TRITS as usize * (2 + 8 + 64) + 1 + 8 + 2 + VALUE_BYTES_MAX;

/// Why bytes are not a proof.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// More bytes than any proof has.
    #[error("proof of {got} bytes, at most {PROOF_BYTES_MAX} are allowed")]
    TooLong {
        /// Length of the input.
        got: usize,
    },
    /// Bytes are left after the proof.
    #[error("{left} bytes follow the proof")]
    Trailing {
        /// How many.
        left: usize,
    },
    /// The bytes end early or break a rule of shape; the cause is a [`ShapeError`] then.
    #[error("malformed proof")]
    Malformed(#[source] Error),
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

impl From<ShapeError> for Error {
    fn from(error: ShapeError) -> Self {
        Self::new(ErrorKind::InvalidData, error)
    }
}

impl Proof {
    /// The proof's encoding; at most [`PROOF_BYTES_MAX`] bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        // A vector takes every byte, and no length in a proof is out of range.
        self.serialize(&mut bytes).expect("writing a canonical proof to memory cannot fail");
        bytes
    }

    /// Reads a proof; accepts exactly what [`Proof::encode`] can give.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] for anything else; it never panics and never allocates past a proof's bounds.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.len() > PROOF_BYTES_MAX {
            return Err(DecodeError::TooLong { got: bytes.len() });
        }
        let mut rest = bytes;
        let proof = Self::deserialize(&mut rest).map_err(DecodeError::Malformed)?;
        if !rest.is_empty() {
            return Err(DecodeError::Trailing { left: rest.len() });
        }
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
        let mut slot = self.root_depth;
        let mut levels = self.levels.iter().peekable();
        while let Some(level) = levels.next() {
            check_skip(level.skip_len, slot)?;
            let below = match levels.peek() {
                Some(next) => Below::Inner(next.sum),
                None => self.end.below(),
            };
            level.check_children(slot, below)?;
            slot = level.child_slot(slot);
        }
        self.end.check_shape(slot)
    }
}

/// What stands below a level, with its sum.
#[derive(Clone, Copy)]
enum Below {
    Empty,
    Leaf(u64),
    Inner(u64),
}

impl Level {
    fn check_children(&self, slot: u8, below: Below) -> Result<(), ShapeError> {
        let siblings = self.siblings.iter().flatten().count();
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
        if !skip.is_canonical() {
            return Err(ShapeError::SkipTrits);
        }
        match children.iter().flatten().count() {
            0 => Err(ShapeError::FewChildren(slot)),
            1 if skip.len != SKIP_TRITS_MAX => Err(ShapeError::FewChildren(slot)),
            _ => Ok(()),
        }
    }
}

/// A node's skip fits its metadata and leaves a trit of the path to branch by.
fn check_skip(skip: u8, depth: u8) -> Result<(), ShapeError> {
    if skip > SKIP_TRITS_MAX || depth.saturating_add(skip) >= PATH_TRITS {
        return Err(ShapeError::SkipLength { skip, depth });
    }
    Ok(())
}

impl BorshSerialize for Proof {
    fn serialize<W: Write>(&self, writer: &mut W) -> IoResult<()> {
        let count = u8::try_from(self.levels.len()).map_err(|_| ErrorKind::InvalidInput)?;
        (self.root_depth, count).serialize(writer)?;
        for level in &self.levels {
            (level.skip_len, flags(&level.siblings), level.sum).serialize(writer)?;
            level.siblings.iter().flatten().try_for_each(|hash| hash.serialize(writer))?;
        }
        match &self.end {
            End::Empty => 0u8.serialize(writer),
            End::Present { value, sum } => {
                let len = u16::try_from(value.len()).map_err(|_| ErrorKind::InvalidInput)?;
                (1u8, *sum, len).serialize(writer)?;
                writer.write_all(value)
            }
            End::OtherLeaf { key, digest, value_len, sum } => (2u8, key, digest, *sum, *value_len).serialize(writer),
            End::Diverging { skip, sum, children } => {
                (3u8, skip.len).serialize(writer)?;
                let used = skip_bytes(skip.len);
                skip.packed.iter().take(used).try_for_each(|byte| byte.serialize(writer))?;
                (flags(children), *sum).serialize(writer)?;
                children.iter().flatten().try_for_each(|hash| hash.serialize(writer))
            }
        }
    }
}

impl BorshDeserialize for Proof {
    fn deserialize_reader<R: Read>(reader: &mut R) -> IoResult<Self> {
        let (root_depth, count) = <(u8, u8)>::deserialize_reader(reader)?;
        if count > PATH_TRITS {
            return Err(ShapeError::LevelCount(count).into());
        }
        let mut levels = Vec::with_capacity(usize::from(count));
        for _ in 0..count {
            let (skip_len, flags, sum) = <(u8, u8, u64)>::deserialize_reader(reader)?;
            let siblings = read_children(flags, reader)?;
            levels.push(Level { skip_len, sum, siblings });
        }
        let end = read_end(reader)?;
        let proof = Self { root_depth, levels, end };
        proof.check_shape()?;
        Ok(proof)
    }
}

fn read_end<R: Read>(reader: &mut R) -> IoResult<End> {
    match u8::deserialize_reader(reader)? {
        0 => Ok(End::Empty),
        1 => {
            let (sum, len) = <(u64, u16)>::deserialize_reader(reader)?;
            let mut value = vec![0; usize::from(checked_len(len)?)];
            reader.read_exact(&mut value)?;
            Ok(End::Present { value, sum })
        }
        2 => {
            let (key, digest, sum, len) = <(_, _, u64, u16)>::deserialize_reader(reader)?;
            Ok(End::OtherLeaf { key, digest, value_len: checked_len(len)?, sum })
        }
        3 => {
            let len = u8::deserialize_reader(reader)?;
            check_skip(len, 0)?;
            let mut packed = [0; SKIP_BYTES];
            for byte in packed.iter_mut().take(skip_bytes(len)) {
                *byte = u8::deserialize_reader(reader)?;
            }
            let (flags, sum) = <(u8, u64)>::deserialize_reader(reader)?;
            let children = read_children(flags, reader)?;
            Ok(End::Diverging { skip: Skip { len, packed }, sum, children })
        }
        tag => Err(ShapeError::EndTag(tag).into()),
    }
}

fn checked_len(len: u16) -> Result<u16, ShapeError> {
    if usize::from(len) > VALUE_BYTES_MAX {
        return Err(ShapeError::ValueLength(len));
    }
    Ok(len)
}

/// Bytes that `len` skipped trits take.
fn skip_bytes(len: u8) -> usize {
    usize::from(len.div_ceil(5))
}

/// Bit i says that child i is not empty.
fn flags<const N: usize>(children: &[Option<Hash>; N]) -> u8 {
    (0u32..).zip(children).filter(|(_, child)| child.is_some()).fold(0, |flags, (bit, _)| flags | 1u8.wrapping_shl(bit))
}

fn read_children<const N: usize, R: Read>(flags: u8, reader: &mut R) -> IoResult<[Option<Hash>; N]> {
    let mut children = [None; N];
    let mut rest = flags;
    for child in &mut children {
        if rest & 1 == 1 {
            let hash = Hash::deserialize_reader(reader)?;
            if hash == EMPTY_HASH {
                return Err(ShapeError::EmptyChild.into());
            }
            *child = Some(hash);
        }
        rest >>= 1;
    }
    if rest != 0 {
        return Err(ShapeError::Flags(flags).into());
    }
    Ok(children)
}
