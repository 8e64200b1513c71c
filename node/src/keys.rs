//! A replica's secrets.
//!
//! Identity (who a peer is on the wire) and consensus keys (what it signs) are apart: losing one does not lose the other.

use smt_types::committee::ReplicaKeys;
use smt_types::crypto::{Field, JubSecretKey, SecretKey};
use smt_types::hash::{self, Domain};
use smt_types::message::NodeId;
use smt_types::{Digest, JubSignature, Signature, Signer};
use zeroize::Zeroizing;

/// All secrets of one replica.
#[derive(Clone)]
pub struct ReplicaSecrets {
    ed25519: SecretKey,
    jub: JubSecretKey,
    identity: Zeroizing<[u8; 32]>,
}

impl ReplicaSecrets {
    /// Development secrets: anyone who knows the seed has them.
    #[must_use]
    pub fn development(seed: u64, node: NodeId) -> ReplicaSecrets {
        ReplicaSecrets {
            ed25519: SecretKey::from_seed(development_seed(seed, "replica ed25519", &node)),
            jub: JubSecretKey::from_seed(development_seed(seed, "replica babyjubjub", &node)),
            identity: Zeroizing::new(development_seed(seed, "replica identity", &node)),
        }
    }

    /// The public half, with proof of possession.
    #[must_use]
    pub fn public(&self) -> ReplicaKeys {
        ReplicaKeys::prove(&self.ed25519, &self.jub)
    }

    /// Seed of the libp2p identity key.
    #[must_use]
    pub fn identity_seed(&self) -> [u8; 32] {
        *self.identity
    }
}

impl Signer for ReplicaSecrets {
    fn sign(&self, digest: &Digest) -> Signature {
        self.ed25519.sign(digest.as_bytes())
    }

    fn sign_jub(&self, message: &Field) -> JubSignature {
        self.jub.sign(message)
    }
}

/// A 32-byte secret of a development network.
#[must_use]
pub fn development_seed<T: borsh::BorshSerialize>(seed: u64, what: &str, index: &T) -> [u8; 32] {
    hash::hash_of(Domain::DevelopmentSeed, &(seed, what, index)).0
}
