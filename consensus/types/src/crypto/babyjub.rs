//! EdDSA-Poseidon on BabyJubJub, equal to circomlib's `EdDSAPoseidonVerifier` and circomlibjs.
//!
//! The curve is a·x² + y² = 1 + d·x²·y² over the scalar field of BN254, a = 168700, d = 168696, with a group of order
//! 8·l. A signature (R, S) of m under A is valid iff S < l and S·B₈ = R + Poseidon(Rx, Ry, Ax, Ay, m)·(8·A), where B₈
//! generates the subgroup of order l, and 8·A ≠ 0 (the circuit refuses a small-order key the same way).
//!
//! Arithmetic is arkworks' `ark-ed-on-bn254`: the same curve written with a = 1, by X = √a·x. The map keeps sums, so
//! only the two borders (packing, and the hash over x) convert.
//!
//! Arkworks' scalar multiplication is not constant time. Only a replica signs with these keys, once per epoch.
#![expect(clippy::arithmetic_side_effects, reason = "field and group operations do not overflow")]

use super::poseidon::{Field, permute};
use super::{CONTEXT_JUB_NONCE, CONTEXT_JUB_SCALAR};
use crate::codec::{DecodeError, invalid};
use ark_bn254::Fr as Base;
use ark_ec::{AffineRepr, CurveGroup};
use ark_ed_on_bn254::{EdwardsAffine, EdwardsProjective, Fr as Scalar};
use ark_ff::{AdditiveGroup, BigInt, Field as _, MontFp, PrimeField, Zero as _};
use borsh::{BorshDeserialize, BorshSerialize};
use std::fmt;
use std::io::Read;
use zeroize::Zeroize;

/// √168700, the smaller root; its choice cancels out, since both borders use it.
const SQRT_A: Base = MontFp!("7214280148105020021932206872019688659210616427216992810330019057549499971851");
/// 1 / √168700.
const SQRT_A_INVERSE: Base = MontFp!("2957874849018779266517920829765869116077630550401372566248359756137677864698");
/// d / a, the other form's d.
const D_OVER_A: Base = MontFp!("9706598848417545097372247223557719406784115219466060233080913168975159366771");
/// circomlib's B₈.
const BASE8_X: Base = MontFp!("5299619240641551281634865583518297030282874472190772894086521144482721001553");
const BASE8_Y: Base = MontFp!("16950150798460657717958625567821834550301663161624707787222815936182638968203");

/// A point in circomlib's coordinates.
struct Circom {
    x: Base,
    y: Base,
}

fn base8() -> EdwardsProjective {
    EdwardsAffine::new_unchecked(BASE8_X * SQRT_A, BASE8_Y).into_group()
}

fn coordinates(point: &EdwardsAffine) -> Circom {
    Circom { x: point.x * SQRT_A_INVERSE, y: point.y }
}

/// Whether x counts as negative: above (p − 1)/2.
fn is_negative(x: &Base) -> bool {
    x.into_bigint() > Base::MODULUS_MINUS_ONE_DIV_TWO
}

fn little_endian(bytes: &[u8; 32]) -> BigInt<4> {
    let mut limbs = [0; 4];
    for (limb, chunk) in limbs.iter_mut().zip(bytes.as_chunks::<8>().0) {
        *limb = u64::from_le_bytes(*chunk);
    }
    BigInt::new(limbs)
}

fn to_little_endian(number: &BigInt<4>) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (chunk, limb) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(number.0) {
        *chunk = limb.to_le_bytes();
    }
    bytes
}

/// circomlibjs' `packPoint`: y little endian, the top bit set iff x is negative.
fn pack(point: &EdwardsAffine) -> [u8; 32] {
    let Circom { x, y } = coordinates(point);
    let mut bytes = to_little_endian(&y.into_bigint());
    if let Some(last) = bytes.last_mut().filter(|_| is_negative(&x)) {
        *last |= 0x80;
    }
    bytes
}

/// Sign and y of a packed point; `None` if y is not below p, or the sign is set where x = 0.
fn split(packed: &[u8; 32]) -> Option<(bool, Base)> {
    let mut bytes = *packed;
    let last = bytes.last_mut()?;
    let negative = *last & 0x80 != 0;
    *last &= 0x7f;
    let y = Base::from_bigint(little_endian(&bytes))?;
    let x_is_zero = y == Base::ONE || y == -Base::ONE;
    (!(negative && x_is_zero)).then_some((negative, y))
}

/// The point, if `packed` is the one encoding of a point of the curve (of any order).
fn unpack(packed: &[u8; 32]) -> Option<EdwardsAffine> {
    let (negative, y) = split(packed)?;
    let y2 = y.square();
    // d/a is no square, so the denominator is never 0.
    let x2 = (Base::ONE - y2) * (Base::ONE - D_OVER_A * y2).inverse()?;
    let mut x = x2.sqrt()?;
    if is_negative(&(x * SQRT_A_INVERSE)) != negative {
        x = -x;
    }
    Some(EdwardsAffine::new_unchecked(x, y))
}

/// Poseidon(Rx, Ry, Ax, Ay, m), reduced mod l: it only ever multiplies a point of order l.
fn challenge(r: &EdwardsAffine, a: &EdwardsAffine, message: &Field) -> Scalar {
    let (r, a) = (coordinates(r), coordinates(a));
    let hash = permute(&[r.x, r.y, a.x, a.y, message.to_ark()]);
    Scalar::from_le_bytes_mod_order(&to_little_endian(&hash.into_bigint()))
}

/// A packed BabyJubJub public key: canonical bytes; whether they are a key one may use says [`JubPublicKey::is_valid`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize)]
pub struct JubPublicKey([u8; 32]);

impl JubPublicKey {
    /// Takes circomlibjs' packed form.
    ///
    /// # Errors
    /// [`DecodeError::Malformed`] for bytes that `packPoint` never writes.
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, DecodeError> {
        match split(&bytes) {
            Some(_) => Ok(JubPublicKey(bytes)),
            None => Err(DecodeError::Malformed("packed BabyJubJub point".into())),
        }
    }

    /// The packed form.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether this is a point of the curve, of the prime-order subgroup, and not the neutral one. Asked when a committee
    /// is built. Cost: well under 1 ms.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        unpack(&self.0).is_some_and(|point| !point.is_zero() && point.is_in_correct_subgroup_assuming_on_curve())
    }

    /// The point's x and y as the circuit takes them; `None` if the bytes are no curve point.
    #[must_use]
    pub fn coordinates(&self) -> Option<(Field, Field)> {
        let Circom { x, y } = coordinates(&unpack(&self.0)?);
        Some((x.into(), y.into()))
    }

    /// Whether `signature` is valid for `message`, exactly as the circuit decides it. Cost: well under 1 ms.
    #[must_use]
    pub fn verify(&self, message: &Field, signature: &JubSignature) -> bool {
        self.check(message, signature).unwrap_or(false)
    }

    fn check(&self, message: &Field, signature: &JubSignature) -> Option<bool> {
        let a = unpack(&self.0)?;
        let r = unpack(signature.0.first_chunk()?)?;
        // `from_bigint` refuses S ≥ l: S and S + l would both pass the equation.
        let s = Scalar::from_bigint(little_endian(signature.0.last_chunk()?))?;
        let a8 = a.into_group().double().double().double();
        if a8.is_zero() {
            return Some(false);
        }
        Some(base8() * s == a8 * challenge(&r, &a, message) + r)
    }
}

impl BorshDeserialize for JubPublicKey {
    fn deserialize_reader<R: Read>(reader: &mut R) -> std::io::Result<Self> {
        let bytes = <[u8; 32]>::deserialize_reader(reader)?;
        JubPublicKey::from_bytes(bytes).map_err(|_| invalid("packed BabyJubJub point"))
    }
}

impl fmt::Debug for JubPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// A signature: R packed, then S little endian. Any 64 bytes; the check decides.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct JubSignature(pub [u8; 64]);

impl fmt::Debug for JubSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// A BabyJubJub secret key. Wiped when dropped; its `Debug` shows nothing.
#[derive(Clone)]
pub struct JubSecretKey {
    seed: [u8; 32],
    scalar: Scalar,
    point: EdwardsAffine,
    public: JubPublicKey,
}

impl JubSecretKey {
    /// The key of `seed`: 64 bytes of BLAKE3 in its own context, little endian, mod l; a counter byte after the seed
    /// moves on from the zero scalar (chance 2⁻²⁵¹).
    #[must_use]
    pub fn from_seed(mut seed: [u8; 32]) -> JubSecretKey {
        let mut counter = 0u8;
        let scalar = loop {
            let scalar = wide(CONTEXT_JUB_SCALAR, &[&seed, &[counter]]);
            if !scalar.is_zero() {
                break scalar;
            }
            counter = counter.wrapping_add(1);
        };
        let point = (base8() * scalar).into_affine();
        let secret = JubSecretKey { seed, scalar, point, public: JubPublicKey(pack(&point)) };
        seed.zeroize();
        secret
    }

    /// The public key, always a valid one.
    #[must_use]
    pub fn public(&self) -> JubPublicKey {
        self.public
    }

    /// Signs `message`. The nonce is a hash of seed and message: no randomness, and no two messages share one.
    #[must_use]
    pub fn sign(&self, message: &Field) -> JubSignature {
        let nonce = wide(CONTEXT_JUB_NONCE, &[&self.seed, message.as_bytes()]);
        let r = (base8() * nonce).into_affine();
        // S = r + h·8·k, for S·B₈ = R + h·(8·A).
        let eight_k = self.scalar.double().double().double();
        let s = nonce + challenge(&r, &self.point, message) * eight_k;
        let mut bytes = [0; 64];
        if let Some(part) = bytes.first_chunk_mut::<32>() {
            *part = pack(&r);
        }
        if let Some(part) = bytes.last_chunk_mut::<32>() {
            *part = to_little_endian(&s.into_bigint());
        }
        JubSignature(bytes)
    }
}

/// 64 bytes of BLAKE3 over `parts` in `context`, little endian, mod l (bias below 2⁻²⁶⁰).
fn wide(context: &str, parts: &[&[u8]]) -> Scalar {
    let mut hasher = blake3::Hasher::new_derive_key(context);
    for part in parts {
        hasher.update(part);
    }
    let mut bytes = [0; 64];
    hasher.finalize_xof().fill(&mut bytes);
    let scalar = Scalar::from_le_bytes_mod_order(&bytes);
    bytes.zeroize();
    scalar
}

impl Drop for JubSecretKey {
    fn drop(&mut self) {
        self.seed.zeroize();
        self.scalar.zeroize();
    }
}

impl fmt::Debug for JubSecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JubSecretKey(…)")
    }
}

#[cfg(test)]
#[path = "babyjub_tests.rs"]
mod tests;
