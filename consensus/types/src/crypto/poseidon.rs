//! Poseidon over the scalar field of BN254 with circom's parameters (x⁵, 8 full rounds), and its field elements.
//!
//! The permutation is light-poseidon's; its constants are circomlib's, pinned by circomlibjs vectors.

use crate::Digest;
use crate::codec::{DecodeError, invalid};
use ark_bn254::Fr;
use ark_ff::{BigInt, PrimeField};
use borsh::{BorshDeserialize, BorshSerialize};
use light_poseidon::{Poseidon, PoseidonHasher};
use std::cell::RefCell;
use std::fmt;
use std::io::Read;

/// The field's modulus p, big endian:
/// 21888242871839275222246405745257275088548364400416034343698204186575808495617.
pub const MODULUS: [u8; 32] = [
    0x30, 0x64, 0x4e, 0x72, 0xe1, 0x31, 0xa0, 0x29, 0xb8, 0x50, 0x45, 0xb6, 0x81, 0x81, 0x58, 0x5d, 0x28, 0x33, 0xe8,
    0x48, 0x79, 0xb9, 0x70, 0x91, 0x43, 0xe1, 0xf5, 0x93, 0xf0, 0x00, 0x00, 0x01,
];

/// Inputs one Poseidon hash takes at most.
pub const MAX_INPUTS: usize = 12;

/// An element of the scalar field of BN254: 32 bytes, big endian, below the modulus.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, BorshSerialize)]
pub struct Field([u8; 32]);

impl Field {
    /// Zero.
    pub const ZERO: Field = Field([0; 32]);

    /// Takes 32 bytes, big endian.
    ///
    /// # Errors
    /// [`DecodeError::Malformed`] for a number that is not below the modulus.
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Field, DecodeError> {
        if bytes < MODULUS { Ok(Field(bytes)) } else { Err(DecodeError::Malformed("field element ≥ p".into())) }
    }

    /// The bytes, big endian.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// A small number.
    #[must_use]
    pub fn from_u64(value: u64) -> Field {
        Field::from_u128(u128::from(value))
    }

    /// A number of 128 bits.
    #[must_use]
    pub fn from_u128(value: u128) -> Field {
        let mut bytes = [0; 32];
        if let Some(low) = bytes.last_chunk_mut::<16>() {
            *low = value.to_be_bytes();
        }
        Field(bytes)
    }

    /// A digest as two numbers of 128 bits: bytes 0–15 and bytes 16–31, each big endian. One element cannot hold it.
    #[must_use]
    pub fn from_digest_halves(digest: &Digest) -> (Field, Field) {
        let whole = &digest.0;
        let half = |part: Option<&[u8; 16]>| Field::from_u128(part.map_or(0, |bytes| u128::from_be_bytes(*bytes)));
        (half(whole.first_chunk()), half(whole.last_chunk()))
    }

    /// The element in arkworks' form.
    #[must_use]
    pub fn to_ark(&self) -> Fr {
        let mut limbs = [0u64; 4];
        for (limb, bytes) in limbs.iter_mut().rev().zip(self.0.as_chunks::<8>().0) {
            *limb = u64::from_be_bytes(*bytes);
        }
        // `from_bigint` refuses only numbers ≥ p, which this type never holds.
        Fr::from_bigint(BigInt::new(limbs)).unwrap_or_default()
    }

    /// From arkworks' form.
    #[must_use]
    pub fn from_ark(value: &Fr) -> Field {
        let mut bytes = [0; 32];
        for (out, limb) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(value.into_bigint().0.iter().rev()) {
            *out = limb.to_be_bytes();
        }
        Field(bytes)
    }

    /// Reads a decimal string below the modulus, without sign or leading zero, as circom's tools write numbers.
    #[must_use]
    pub fn from_decimal(text: &str) -> Option<Field> {
        let plain = !text.is_empty() && text.len() <= 77 && text.bytes().all(|b| b.is_ascii_digit());
        if !plain || (text.len() > 1 && text.starts_with('0')) {
            return None;
        }
        let mut bytes = [0u8; 32];
        for digit in text.bytes() {
            let mut carry = u16::from(digit.checked_sub(b'0')?);
            for byte in bytes.iter_mut().rev() {
                let wide = u16::from(*byte).checked_mul(10)?.checked_add(carry)?;
                let [high, low] = wide.to_be_bytes();
                *byte = low;
                carry = u16::from(high);
            }
            if carry != 0 {
                return None;
            }
        }
        Field::from_bytes(bytes).ok()
    }

    /// The decimal string, as circom's tools write numbers.
    #[must_use]
    pub fn to_decimal(&self) -> String {
        self.to_ark().into_bigint().to_string()
    }
}

impl From<Fr> for Field {
    fn from(value: Fr) -> Field {
        Field::from_ark(&value)
    }
}

impl From<Field> for Fr {
    fn from(value: Field) -> Fr {
        value.to_ark()
    }
}

impl BorshDeserialize for Field {
    fn deserialize_reader<R: Read>(reader: &mut R) -> std::io::Result<Self> {
        let bytes = <[u8; 32]>::deserialize_reader(reader)?;
        Field::from_bytes(bytes).map_err(|_| invalid("field element not below the modulus"))
    }
}

impl fmt::Debug for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{}", hex::encode(self.0))
    }
}

/// One hasher, and how many inputs it takes.
type Hasher = (usize, Poseidon<Fr>);

thread_local! {
    /// One hasher per number of inputs, built when it is first needed: building parses all round constants.
    static HASHERS: RefCell<Vec<Hasher>> = const { RefCell::new(Vec::new()) };
}

/// Poseidon of `1..=12` elements, equal to circomlib's `Poseidon(n)` and circomlibjs' `poseidon([..])`.
/// The number of inputs is checked when the call is compiled; [`poseidon_many`] takes any number.
/// Cost: about 20 µs for 2 inputs, 200 µs for 12.
#[must_use]
pub fn poseidon<const N: usize>(inputs: &[Field; N]) -> Field {
    const { assert!(N >= 1 && N <= MAX_INPUTS, "Poseidon takes 1 to 12 inputs") };
    let mut elements = [Fr::default(); N];
    for (element, input) in elements.iter_mut().zip(inputs) {
        *element = input.to_ark();
    }
    Field::from_ark(&permute(&elements))
}

/// Poseidon of any number of elements: h₀ = the number, hᵢ₊₁ = Poseidon(hᵢ, the next up to 11 elements), the last hᵢ is
/// the result; of no elements it is Poseidon(0). The number stands first, so that no list continues another.
#[must_use]
pub fn poseidon_many(inputs: &[Field]) -> Field {
    let mut state = Fr::from(u64::try_from(inputs.len()).unwrap_or(u64::MAX));
    if inputs.is_empty() {
        return Field::from_ark(&permute(&[state]));
    }
    for chunk in inputs.chunks(CHUNK) {
        let mut elements = Vec::with_capacity(MAX_INPUTS);
        elements.push(state);
        elements.extend(chunk.iter().map(Field::to_ark));
        state = permute(&elements);
    }
    Field::from_ark(&state)
}

/// Elements of a list that go into one hash, beside the state.
const CHUNK: usize = 11;

/// `elements`: 1 to 12; all callers in this crate keep to that.
pub(crate) fn permute(elements: &[Fr]) -> Fr {
    HASHERS.with_borrow_mut(|hashers| {
        let position = hashers.iter().position(|(count, _)| *count == elements.len()).unwrap_or_else(|| {
            let hasher = Poseidon::<Fr>::new_circom(elements.len());
            hashers.push((elements.len(), hasher.expect("circom parameters exist for 1 to 12 inputs")));
            hashers.len().saturating_sub(1)
        });
        match hashers.get_mut(position).map(|(_, hasher)| hasher.hash(elements)) {
            Some(Ok(hash)) => hash,
            _ => unreachable!("the hasher was built for this number of inputs"),
        }
    })
}

#[cfg(test)]
#[path = "poseidon_tests.rs"]
mod tests;
