//! ed25519 under [ZIP-215](https://zips.z.cash/zip-0215) rules, single and in batches.
//!
//! ZIP-215 says exactly which signatures are valid: `A` and `R` may be any encoding of any curve point, `S` is below
//! the group order, and the equation is checked times the cofactor. Batch and single check then accept the same set,
//! so replicas that verify one way and the other never disagree.
//!
//! One rule is added: a key of small order is refused when it is decoded, since anyone can sign for it. Whether the
//! bytes are a curve point at all is decided at the first check and not at decoding: it costs a square root
//! (about 4 µs), and the check needs it anyway.
//!
//! Keys and signatures are here; [`batch`] is the equation that checks many at once, [`lanes`] evaluates it eight points
//! at a time where the processor can, [`cache`] remembers the points of keys.

mod batch;
mod cache;
#[cfg(target_arch = "x86_64")]
mod lanes;

use super::{CONTEXT_BATCH_CHECK, CONTEXT_RESEED};
use crate::codec::{DecodeError, WEAK_KEY, invalid};
use crate::{Address, Digest, Domain};
use borsh::{BorshDeserialize, BorshSerialize};
use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::IsIdentity;
use ed25519_zebra::{SigningKey, VerificationKey};
use std::fmt;
use std::io::Read;
use zeroize::Zeroize;

use batch::Engine;
pub use cache::KeyCache;

/// What is checked: whether the signature is the key's for the digest.
pub type Item = (PublicKey, Digest, Signature);

/// The seven `y` (little endian, sign bit clear) under which a point of small order can be written; with either sign
/// bit they make 14 encodings. The group of order 8 has y = 0, 1, −1 and ±y₈; 0 and 1 fit below 2²⁵⁵ once more as p
/// and p + 1. Encodings with the sign bit set at x = 0 are among the 14: ZIP-215 accepts them as points.
const SMALL_ORDER_Y: [[u8; 32]; 7] = [
    first_byte(0x00),
    first_byte(0x01),
    below_two_to_255(0xec),
    below_two_to_255(0xed),
    below_two_to_255(0xee),
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20,
        0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ],
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf,
        0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ],
];

const fn first_byte(byte: u8) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[0] = byte;
    bytes
}

const fn below_two_to_255(first: u8) -> [u8; 32] {
    let mut bytes = [0xff; 32];
    bytes[0] = first;
    bytes[31] = 0x7f;
    bytes
}

fn is_small_order(bytes: &[u8; 32]) -> bool {
    let mut y = *bytes;
    if let Some(last) = y.last_mut() {
        *last &= 0x7f;
    }
    SMALL_ORDER_Y.contains(&y)
}

/// An ed25519 public key that is not of small order. May be no curve point: then nothing verifies under it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// Takes a key from outside.
    ///
    /// # Errors
    /// [`DecodeError::WeakKey`] for each of the 14 encodings of a point of small order.
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, DecodeError> {
        if is_small_order(&bytes) { Err(DecodeError::WeakKey) } else { Ok(PublicKey(bytes)) }
    }

    /// The encoding, as it is hashed and signed.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether the bytes are a curve point, so that a signature under this key can exist. Cost: about 4 µs.
    #[must_use]
    pub fn is_point(&self) -> bool {
        VerificationKey::try_from(self.0).is_ok()
    }

    /// Whether `signature` is valid for `message` under ZIP-215. Cost: about 50 µs.
    #[must_use]
    pub fn verify(&self, message: &[u8], signature: &Signature) -> bool {
        let signature = ed25519_zebra::Signature::from_bytes(&signature.0);
        VerificationKey::try_from(self.0).is_ok_and(|key| key.verify(&signature, message).is_ok())
    }

    /// [`PublicKey::verify`] with a key that `cache` knows or will know. Cost: about 33 µs then.
    #[must_use]
    pub fn verify_cached(&self, message: &[u8], signature: &Signature, cache: &KeyCache) -> bool {
        let (r, s) = signature.halves();
        let Some(s) = Option::<Scalar>::from(Scalar::from_canonical_bytes(s)) else { return false };
        let (Some(key), Some(nonce)) = (cache.point(self), CompressedEdwardsY(r).decompress()) else { return false };
        let k = batch::challenge(&r, self, message);
        // 8·(S·B − k·A − R) = 0
        #[allow(clippy::arithmetic_side_effects, reason = "points and scalars: no result is out of range")]
        let rest = EdwardsPoint::vartime_double_scalar_mul_basepoint(&-k, &key, &s) - nonce;
        rest.mul_by_cofactor().is_identity()
    }

    fn decompress(&self) -> Option<EdwardsPoint> {
        CompressedEdwardsY(self.0).decompress()
    }

    /// The account of this key's owner: the key, hashed in [`Domain::Address`].
    #[must_use]
    pub fn address(&self) -> Address {
        Address(crate::hash::hash(Domain::Address, &self.0).0)
    }
}

impl BorshDeserialize for PublicKey {
    fn deserialize_reader<R: Read>(reader: &mut R) -> std::io::Result<Self> {
        let bytes = <[u8; 32]>::deserialize_reader(reader)?;
        PublicKey::from_bytes(bytes).map_err(|_| invalid(WEAK_KEY))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// An ed25519 signature: `R`, then `S` little endian. Any 64 bytes; the check decides.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct Signature(pub [u8; 64]);

impl Signature {
    /// R and S.
    fn halves(&self) -> ([u8; 32], [u8; 32]) {
        let mut halves = [[0; 32]; 2];
        halves.as_flattened_mut().copy_from_slice(&self.0);
        (halves[0], halves[1])
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// An ed25519 secret key. Wiped when dropped; its `Debug` shows nothing.
pub struct SecretKey {
    key: SigningKey,
    public: PublicKey,
}

impl SecretKey {
    /// The key of RFC 8032 for `seed`. Should that key be of small order (chance about 2⁻²⁵⁰), the seed is replaced by
    /// its hash until it is not, and [`SecretKey::seed`] gives the replacement.
    #[must_use]
    pub fn from_seed(mut seed: [u8; 32]) -> SecretKey {
        loop {
            let mut key = SigningKey::from(seed);
            if let Ok(public) = PublicKey::from_bytes(key.verification_key().into()) {
                let secret = SecretKey { key, public };
                // `SigningKey` is `Copy`: this wipes the local copy, the one in `secret` goes in `drop`.
                key.zeroize();
                seed.zeroize();
                return secret;
            }
            key.zeroize();
            seed = blake3::derive_key(CONTEXT_RESEED, &seed);
        }
    }

    /// The public key.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        self.public
    }

    /// Signs `message` as RFC 8032 says: no randomness, equal input gives equal signatures.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Signature {
        Signature(self.key.sign(message).to_bytes())
    }

    /// The seed, for the keystore.
    #[must_use]
    pub fn seed(&self) -> &[u8; 32] {
        self.key.as_bytes()
    }
}

impl Clone for SecretKey {
    fn clone(&self) -> Self {
        SecretKey { key: self.key, public: self.public }
    }
}

impl Drop for SecretKey {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(…)")
    }
}

/// Whether **all** signatures are valid: what single checks say of each, with chance 2⁻¹²⁸ of being wrong. An empty
/// batch is valid. Cost: a signature of 1,024 about 4 µs with AVX-512 IFMA, 16 µs without.
#[must_use]
pub fn verify_batch(items: &[Item]) -> bool {
    match items {
        [] => true,
        [(key, digest, signature)] => key.verify(&digest.0, signature),
        _ => batch::holds(Engine::for_batch(items.len()), items, None),
    }
}

/// [`verify_batch`] that looks keys up in `cache` where that is faster than computing: 12 µs a signature without AVX-512
/// IFMA. With it, eight keys take their roots in the time of one and are not looked up.
#[must_use]
pub fn verify_batch_cached(items: &[Item], cache: &KeyCache) -> bool {
    match items {
        [] => true,
        [(key, digest, signature)] => key.verify_cached(&digest.0, signature, cache),
        _ => batch::holds(Engine::for_batch(items.len()), items, Some(cache)),
    }
}

/// Whether batches are checked eight points at a time on this processor.
pub(super) fn has_lanes() -> bool {
    #[cfg(target_arch = "x86_64")]
    return lanes::available();
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Size of the groups in which [`verify_each`] looks for the false signatures of a failed batch.
const GROUP: usize = 32;

/// Which signatures are valid, in order. One batch check if all are; else one more over groups of 32, and single
/// checks within the groups that fail.
///
/// Two levels and not a full bisection: whoever sends only false signatures makes us pay about twice the single
/// checks, where bisection would cost log₂ n times.
#[must_use]
pub fn verify_each(items: &[Item]) -> Vec<bool> {
    each(items, verify_batch)
}

/// [`verify_each`] that looks keys up in `cache`, as [`verify_batch_cached`] does.
#[must_use]
pub fn verify_each_cached(items: &[Item], cache: &KeyCache) -> Vec<bool> {
    each(items, |items| verify_batch_cached(items, cache))
}

/// `holds` of a single item is its single check.
fn each(items: &[Item], holds: impl Fn(&[Item]) -> bool) -> Vec<bool> {
    if holds(items) {
        return vec![true; items.len()];
    }
    let mut valid = Vec::with_capacity(items.len());
    for group in items.chunks(GROUP) {
        // The only group is the whole batch, which has just failed.
        if group.len() < items.len() && holds(group) {
            valid.extend(group.iter().map(|_| true));
        } else {
            valid.extend(group.chunks(1).map(&holds));
        }
    }
    valid
}

#[cfg(test)]
#[path = "ed25519_tests.rs"]
mod tests;
