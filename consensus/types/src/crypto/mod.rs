//! Keys, signatures and the field hash.
//!
//! | module | holds | used for |
//! | --- | --- | --- |
//! | [`ed25519`] | ed25519 under ZIP-215 rules, single and batch | everything a replica or a wallet signs |
//! | [`poseidon`](mod@poseidon) | [`Field`] and Poseidon over BN254 | digests a circuit recomputes |
//! | [`babyjub`] | EdDSA-Poseidon on BabyJubJub | snapshot headers, for the circuit |
//! | [`cpu`] | what the build asks of the processor | the start of every program |

pub mod babyjub;
pub mod cpu;
pub mod ed25519;
pub mod poseidon;

pub use babyjub::{JubPublicKey, JubSecretKey, JubSignature};
pub use ed25519::{
    KeyCache, PublicKey, SecretKey, Signature, verify_batch, verify_batch_cached, verify_each, verify_each_cached,
};
pub use poseidon::{Field, poseidon, poseidon_many};

/// BLAKE3 derive-key context: an ed25519 seed to the one that replaces it, should the first give a weak key.
pub(crate) const CONTEXT_RESEED: &str = "smt 2026-11-20 ed25519 seed after a weak one";
/// BLAKE3 derive-key context: a batch of signatures to the coefficients of its check.
pub(crate) const CONTEXT_BATCH_CHECK: &str = "smt 2026-11-20 ed25519 batch check";
/// BLAKE3 derive-key context: a 32-byte seed to a BabyJubJub secret scalar.
pub(crate) const CONTEXT_JUB_SCALAR: &str = "smt 2026-11-20 babyjubjub secret scalar";
/// BLAKE3 derive-key context: seed and message to a BabyJubJub signing nonce.
pub(crate) const CONTEXT_JUB_NONCE: &str = "smt 2026-11-20 babyjubjub nonce";

/// The contexts this module uses beside [`crate::Domain`]: none of them hashes a record of the protocol.
pub const CONTEXTS: [&str; 4] = [CONTEXT_RESEED, CONTEXT_BATCH_CHECK, CONTEXT_JUB_SCALAR, CONTEXT_JUB_NONCE];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Domain;

    #[test]
    fn contexts_differ_from_one_another_and_from_all_domains() {
        for (i, context) in CONTEXTS.iter().enumerate() {
            assert!(!CONTEXTS.iter().take(i).any(|other| other == context));
            assert!(!Domain::ALL.iter().any(|domain| domain.context() == *context));
        }
    }
}
