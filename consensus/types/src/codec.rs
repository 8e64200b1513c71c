//! The canonical byte form: borsh with bounds.
//!
//! borsh has fixed order, fixed width, little endian, and one form per value. Decoding refuses trailing bytes, any list
//! longer than its bound (before allocating for it), and whatever a type's own rule refuses; so
//! `to_bytes(from_bytes(b)) == b` for every accepted `b`.

use borsh::{BorshDeserialize, BorshSerialize};
use std::io::{Error, ErrorKind, Read, Write};
use std::ops::Deref;

/// Why bytes are not a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// More bytes than this kind of value may have.
    #[error("{got} bytes, at most {max} are allowed")]
    TooLong {
        /// Bytes given.
        got: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// Not the canonical form.
    #[error("not a canonical encoding: {0}")]
    Malformed(String),
    /// A key of small order: anyone could sign for it.
    #[error("weak key: a public key of small order")]
    WeakKey,
}

/// Text of the error a decoder raises for a small-order key; turned into [`DecodeError::WeakKey`].
pub(crate) const WEAK_KEY: &str = "weak_key";

/// A value with one byte form.
pub trait Canonical: BorshSerialize + BorshDeserialize {
    /// The canonical bytes.
    #[must_use]
    fn to_bytes(&self) -> Vec<u8> {
        to_bytes(self)
    }

    /// Reads exactly the canonical form, at most `max` bytes.
    ///
    /// # Errors
    /// [`DecodeError`] for anything but one whole canonical value.
    fn from_bytes(bytes: &[u8], max: usize) -> Result<Self, DecodeError> {
        if bytes.len() > max {
            return Err(DecodeError::TooLong { got: bytes.len(), max });
        }
        borsh::from_slice(bytes).map_err(|e| {
            let text = e.to_string();
            if text.contains(WEAK_KEY) { DecodeError::WeakKey } else { DecodeError::Malformed(text) }
        })
    }
}

impl<T: BorshSerialize + BorshDeserialize> Canonical for T {}

/// The canonical bytes of anything that can be written, borrowed tuples included.
#[must_use]
pub fn to_bytes<T: BorshSerialize + ?Sized>(value: &T) -> Vec<u8> {
    // Most values, a signed payment among them, fit; growing from nothing would take several moves.
    let mut bytes = Vec::with_capacity(256);
    // Writing to a vector fails only for a list over 2^32 items, which no bounded type can hold.
    if value.serialize(&mut bytes).is_err() {
        unreachable!("a bounded value encodes into memory");
    }
    bytes
}

/// Error of a type's own decoding rule.
pub(crate) fn invalid(rule: &'static str) -> Error {
    Error::new(ErrorKind::InvalidData, rule)
}

/// A list of at most `MAX` items; the bound is checked before anything is read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bounded<T, const MAX: usize>(Vec<T>);

impl<T, const MAX: usize> Bounded<T, MAX> {
    /// Wraps `items`, or gives them back if there are more than `MAX`.
    ///
    /// # Errors
    /// The items, if there are too many.
    pub fn new(items: Vec<T>) -> Result<Self, Vec<T>> {
        if items.len() > MAX { Err(items) } else { Ok(Bounded(items)) }
    }

    /// Keeps the first `MAX` items.
    #[must_use]
    pub fn truncated(mut items: Vec<T>) -> Self {
        items.truncate(MAX);
        Bounded(items)
    }

    /// The items.
    #[must_use]
    pub fn into_inner(self) -> Vec<T> {
        self.0
    }
}

impl<T, const MAX: usize> Default for Bounded<T, MAX> {
    fn default() -> Self {
        Bounded(Vec::new())
    }
}

impl<T, const MAX: usize> Deref for Bounded<T, MAX> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T: BorshSerialize, const MAX: usize> BorshSerialize for Bounded<T, MAX> {
    fn serialize<W: Write>(&self, writer: &mut W) -> std::io::Result<()> {
        self.0.serialize(writer)
    }
}

impl<T: BorshDeserialize, const MAX: usize> BorshDeserialize for Bounded<T, MAX> {
    fn deserialize_reader<R: Read>(reader: &mut R) -> std::io::Result<Self> {
        let count = u32::deserialize_reader(reader)?;
        let count = usize::try_from(count).map_err(|_| invalid("list count"))?;
        if count > MAX {
            return Err(invalid("list longer than its bound"));
        }
        // Items come from the input one by one, so a false count costs at most this first reservation.
        let mut items = Vec::with_capacity(count.min(64));
        for _ in 0..count {
            items.push(T::deserialize_reader(reader)?);
        }
        Ok(Bounded(items))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn list_over_its_bound_is_refused() {
        let bytes = vec![1u8, 2, 3].to_bytes();
        assert!(Bounded::<u8, 2>::from_bytes(&bytes, 100).is_err());
        assert_eq!(&*Bounded::<u8, 3>::from_bytes(&bytes, 100).unwrap(), [1, 2, 3]);
    }

    #[test]
    fn trailing_bytes_are_refused() {
        assert!(u16::from_bytes(&[1, 2, 3], 10).is_err());
        assert_eq!(u16::from_bytes(&[1; 11], 10), Err(DecodeError::TooLong { got: 11, max: 10 }));
    }
}
