//! A replica's secrets.
//!
//! Identity (who a peer is on the wire) and consensus keys (what it signs) are apart: losing one does not lose the other.

use smt_gossip::swarm::{PeerId, SpawnError, keypair_from_seed};
use smt_types::committee::ReplicaKeys;
use smt_types::crypto::{Field, JubSecretKey, SecretKey};
use smt_types::hash::{self, Domain};
use smt_types::message::NodeId;
use smt_types::{Digest, JubSignature, Signature, Signer};
use zeroize::Zeroizing;

/// What a replica's secrets are made from, and what its key file holds.
#[derive(Clone)]
pub struct ReplicaSeeds {
    /// Of the libp2p identity key.
    pub identity: Zeroizing<[u8; 32]>,
    /// Of the ed25519 key.
    pub ed25519: Zeroizing<[u8; 32]>,
    /// Of the BabyJubJub key.
    pub babyjubjub: Zeroizing<[u8; 32]>,
}

impl ReplicaSeeds {
    /// Development seeds: anyone who knows the network's seed has them.
    #[must_use]
    pub fn development(seed: u64, node: NodeId) -> ReplicaSeeds {
        let derive = |what| Zeroizing::new(development_seed(seed, what, &node));
        ReplicaSeeds {
            identity: derive("replica identity"),
            ed25519: derive("replica ed25519"),
            babyjubjub: derive("replica babyjubjub"),
        }
    }

    /// New seeds from the operating system.
    ///
    /// # Errors
    /// What the system says if it has none to give.
    pub fn generate() -> Result<ReplicaSeeds, getrandom::Error> {
        let draw = || {
            let mut bytes = Zeroizing::new([0u8; 32]);
            getrandom::fill(bytes.as_mut()).map(|()| bytes)
        };
        Ok(ReplicaSeeds { identity: draw()?, ed25519: draw()?, babyjubjub: draw()? })
    }
}

/// All secrets of one replica.
#[derive(Clone)]
pub struct ReplicaSecrets {
    ed25519: SecretKey,
    jub: JubSecretKey,
    identity: Zeroizing<[u8; 32]>,
}

impl ReplicaSecrets {
    /// The secrets of these seeds.
    #[must_use]
    pub fn new(seeds: &ReplicaSeeds) -> ReplicaSecrets {
        ReplicaSecrets {
            ed25519: SecretKey::from_seed(*seeds.ed25519),
            jub: JubSecretKey::from_seed(*seeds.babyjubjub),
            identity: seeds.identity.clone(),
        }
    }

    /// Development secrets: anyone who knows the seed has them.
    #[must_use]
    pub fn development(seed: u64, node: NodeId) -> ReplicaSecrets {
        ReplicaSecrets::new(&ReplicaSeeds::development(seed, node))
    }

    /// The same with another identity.
    #[must_use]
    pub fn with_identity(self, identity: Zeroizing<[u8; 32]>) -> ReplicaSecrets {
        ReplicaSecrets { identity, ..self }
    }

    /// The public half, with proof of possession.
    #[must_use]
    pub fn public(&self) -> ReplicaKeys {
        ReplicaKeys::prove(&self.ed25519, &self.jub)
    }

    /// Who this replica is on the wire.
    ///
    /// # Errors
    /// [`SpawnError`] if libp2p refuses the key.
    pub fn peer_id(&self) -> Result<PeerId, SpawnError> {
        Ok(keypair_from_seed(&mut self.identity_seed())?.public().to_peer_id())
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
