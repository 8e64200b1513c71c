//! ed25519 under [ZIP-215](https://zips.z.cash/zip-0215) rules, single and in batches.
//!
//! ZIP-215 says exactly which signatures are valid: `A` and `R` may be any encoding of any curve point, `S` is below
//! the group order, and the equation is checked times the cofactor. Batch and single check then accept the same set,
//! so replicas that verify one way and the other never disagree.
//!
//! One rule is added: a key of small order is refused when it is decoded, since anyone can sign for it. Whether the
//! bytes are a curve point at all is decided at the first check and not at decoding: it costs a square root
//! (about 4 µs), and the check needs it anyway.

use super::{CONTEXT_BATCH_CHECK, CONTEXT_RESEED};
use crate::codec::{DecodeError, WEAK_KEY, invalid};
use crate::{Address, Digest, Domain};
use borsh::{BorshDeserialize, BorshSerialize};
use ed25519_zebra::{SigningKey, VerificationKey, VerificationKeyBytes, batch};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use std::fmt;
use std::io::Read;
use zeroize::Zeroize;

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

/// Whether **all** signatures are valid, in about half the time of checking each. An empty batch is valid.
///
/// The check is Σ zᵢ·(equation i) = 0 for 128-bit zᵢ. Cores have no randomness, so the zᵢ come from ChaCha20 keyed by
/// a hash of all keys, digests and signatures (Fiat–Shamir). A batch with a false signature passes only if the zᵢ
/// solve one linear equation that was fixed before the hash was taken: chance at most 2⁻¹²⁸ for every batch an
/// attacker tries, as with true randomness; he may try at home, which costs him 2¹²⁸ hashes.
#[must_use]
pub fn verify_batch(items: &[(PublicKey, Digest, Signature)]) -> bool {
    match items {
        [] => return true,
        [(key, digest, signature)] => return key.verify(&digest.0, signature),
        _ => {}
    }
    let mut seed = blake3::Hasher::new_derive_key(CONTEXT_BATCH_CHECK);
    let mut verifier = batch::Verifier::new();
    for (key, digest, signature) in items {
        // Fixed width, so the items cannot be cut differently.
        seed.update(&key.0).update(&digest.0).update(&signature.0);
        let encoded = ed25519_zebra::Signature::from_bytes(&signature.0);
        verifier.queue((VerificationKeyBytes::from(key.0), encoded, &digest.0));
    }
    verifier.verify(ChaCha20Rng::from_seed(*seed.finalize().as_bytes())).is_ok()
}

/// Size of the groups in which [`verify_each`] looks for the false signatures of a failed batch.
const GROUP: usize = 32;

/// Which signatures are valid, in order. One batch check if all are; else one more over groups of 32, and single
/// checks within the groups that fail.
///
/// Two levels and not a full bisection: whoever sends only false signatures makes us pay about twice the single
/// checks, where bisection would cost log₂ n times.
#[must_use]
pub fn verify_each(items: &[(PublicKey, Digest, Signature)]) -> Vec<bool> {
    if verify_batch(items) {
        return vec![true; items.len()];
    }
    let mut valid = Vec::with_capacity(items.len());
    for group in items.chunks(GROUP) {
        // The only group is the whole batch, which has just failed.
        if group.len() < items.len() && verify_batch(group) {
            valid.extend(group.iter().map(|_| true));
        } else {
            valid.extend(group.iter().map(|(key, digest, signature)| key.verify(&digest.0, signature)));
        }
    }
    valid
}

#[cfg(test)]
#[path = "ed25519_tests.rs"]
mod tests;
