//! The seam between protocol code and signature schemes.
//!
//! The daemon uses [`RealChecker`] and real secrets. The simulator puts a keyed hash behind the same two traits, because
//! 200 seeds of real elliptic-curve arithmetic cost minutes and test nothing about the protocol.

use crate::crypto::{Field, KeyCache};
use crate::{Digest, JubPublicKey, JubSignature, PublicKey, Signature};

/// Signs as one replica.
pub trait Signer: Send {
    /// ed25519 over the 32 bytes of `digest`.
    fn sign(&self, digest: &Digest) -> Signature;
    /// EdDSA-Poseidon on BabyJubJub over `message`.
    fn sign_jub(&self, message: &Field) -> JubSignature;
}

/// Checks signatures.
pub trait Checker: Send + Sync {
    /// ed25519, ZIP-215 rules.
    fn check(&self, key: &PublicKey, digest: &Digest, signature: &Signature) -> bool;
    /// EdDSA-Poseidon on BabyJubJub.
    fn check_jub(&self, key: &JubPublicKey, message: &Field, signature: &JubSignature) -> bool;
    /// All of them, for many at once. The answer is that of single checks.
    fn check_all(&self, items: &[(PublicKey, Digest, Signature)]) -> bool {
        items.iter().all(|(key, digest, signature)| self.check(key, digest, signature))
    }
    /// Which of them are valid, in order. The answer is that of single checks.
    fn check_each(&self, items: &[(PublicKey, Digest, Signature)]) -> Vec<bool> {
        items.iter().map(|(key, digest, signature)| self.check(key, digest, signature)).collect()
    }
}

/// The real schemes.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealChecker;

impl Checker for RealChecker {
    fn check(&self, key: &PublicKey, digest: &Digest, signature: &Signature) -> bool {
        key.verify(digest.as_bytes(), signature)
    }

    fn check_jub(&self, key: &JubPublicKey, message: &Field, signature: &JubSignature) -> bool {
        key.verify(message, signature)
    }

    fn check_all(&self, items: &[(PublicKey, Digest, Signature)]) -> bool {
        crate::crypto::verify_batch(items)
    }
    fn check_each(&self, items: &[(PublicKey, Digest, Signature)]) -> Vec<bool> {
        crate::crypto::verify_each(items)
    }
}

/// The real schemes, and a bounded memory of keys: what a replica uses, which sees the same keys again and again.
///
/// Answers what [`RealChecker`] answers.
#[derive(Debug)]
pub struct CachedChecker {
    keys: KeyCache,
}

impl CachedChecker {
    /// Remembers up to `keys` keys, about 220 bytes each, allocated at once.
    #[must_use]
    pub fn new(keys: usize) -> CachedChecker {
        CachedChecker { keys: KeyCache::new(keys) }
    }
}

impl Default for CachedChecker {
    /// 16,384 keys: 3.5 MB.
    fn default() -> Self {
        CachedChecker::new(16_384)
    }
}

impl Checker for CachedChecker {
    fn check(&self, key: &PublicKey, digest: &Digest, signature: &Signature) -> bool {
        key.verify_cached(digest.as_bytes(), signature, &self.keys)
    }

    fn check_jub(&self, key: &JubPublicKey, message: &Field, signature: &JubSignature) -> bool {
        key.verify(message, signature)
    }

    fn check_all(&self, items: &[(PublicKey, Digest, Signature)]) -> bool {
        crate::crypto::verify_batch_cached(items, &self.keys)
    }

    fn check_each(&self, items: &[(PublicKey, Digest, Signature)]) -> Vec<bool> {
        crate::crypto::verify_each_cached(items, &self.keys)
    }
}
