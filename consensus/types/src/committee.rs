//! Who may sign for a shard, and how many must.
//!
//! | replicas | mode | quorum | survives |
//! | --- | --- | --- | --- |
//! | 3 | crash | 2 | one crashed replica, no Byzantine one; double signing is detected and provable |
//! | n ≥ 4 | BFT | ⌊2n/3⌋ + 1 | ⌊(n − 1)/3⌋ Byzantine or crashed |

use crate::codec::Bounded;
use crate::hash::{self, Digest, Domain};
use crate::{Canonical, JubPublicKey, JubSignature, NetworkId, PublicKey, ReplicaIndex, ShardAddress, Signature};
use borsh::{BorshDeserialize, BorshSerialize};

/// Largest committee.
pub const MAX_REPLICAS: usize = 27;

/// A replica's two public keys with proof that one owner holds both secrets.
#[derive(Clone, Debug, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub struct ReplicaKeys {
    /// Signs everything.
    pub ed25519: PublicKey,
    /// Signs headers a second time, for the circuit.
    pub jub: JubPublicKey,
    /// ed25519 signature over [`ReplicaKeys::possession_digest`].
    pub ed25519_possession: Signature,
    /// BabyJubJub signature over the same digest, taken as two 128-bit halves hashed with Poseidon.
    pub jub_possession: JubSignature,
}

impl ReplicaKeys {
    /// What both keys sign to prove possession: the two public keys together.
    #[must_use]
    pub fn possession_digest(ed25519: &PublicKey, jub: &JubPublicKey) -> Digest {
        hash::hash_of(Domain::Possession, &(ed25519, jub))
    }

    /// Makes the record from the two secrets.
    #[must_use]
    pub fn prove(ed25519: &crate::crypto::SecretKey, jub: &crate::crypto::JubSecretKey) -> ReplicaKeys {
        let digest = Self::possession_digest(&ed25519.public(), &jub.public());
        ReplicaKeys {
            ed25519: ed25519.public(),
            jub: jub.public(),
            ed25519_possession: ed25519.sign(digest.as_bytes()),
            jub_possession: jub.sign(&digest_field(&digest)),
        }
    }

    /// Both possession signatures verify and the BabyJubJub key is in the prime-order subgroup.
    #[must_use]
    pub fn are_possessed(&self) -> bool {
        let digest = Self::possession_digest(&self.ed25519, &self.jub);
        self.jub.is_valid()
            && self.ed25519.verify(digest.as_bytes(), &self.ed25519_possession)
            && self.jub.verify(&digest_field(&digest), &self.jub_possession)
    }
}

/// A BLAKE3 digest inside Poseidon: two 128-bit halves, hashed together.
#[must_use]
pub fn digest_field(digest: &Digest) -> crate::crypto::Field {
    let (high, low) = crate::crypto::Field::from_digest_halves(digest);
    crate::crypto::poseidon(&[high, low])
}

/// Why a list of keys is not a committee.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommitteeError {
    /// Not 3 to 27 replicas.
    #[error("a committee has 3 to {MAX_REPLICAS} replicas, not {0}")]
    Size(usize),
    /// Two replicas share a key.
    #[error("replicas {0} and {1} share a key")]
    Repeated(usize, usize),
    /// A key whose secret nobody has shown to hold.
    #[error("replica {0} does not prove possession of both its keys")]
    NotPossessed(usize),
}

/// A shard's committee. Cheap to share behind an `Arc`; the digest is computed once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committee {
    network: NetworkId,
    shard: ShardAddress,
    replicas: Bounded<ReplicaKeys, MAX_REPLICAS>,
    digest: Digest,
}

impl Committee {
    /// Checks sizes, distinctness and possession.
    ///
    /// # Errors
    /// [`CommitteeError`] naming the first fault.
    pub fn new(network: NetworkId, shard: ShardAddress, replicas: Vec<ReplicaKeys>) -> Result<Self, CommitteeError> {
        if let Some(index) = replicas.iter().position(|keys| !keys.are_possessed()) {
            return Err(CommitteeError::NotPossessed(index));
        }
        Self::assume_possessed(network, shard, replicas)
    }

    /// Like [`Committee::new`] without the possession check: for the simulator, whose signatures are a stand-in, and
    /// for a genesis whose possession has been checked already.
    ///
    /// # Errors
    /// [`CommitteeError`] for a wrong size or a repeated key.
    pub fn assume_possessed(
        network: NetworkId,
        shard: ShardAddress,
        replicas: Vec<ReplicaKeys>,
    ) -> Result<Self, CommitteeError> {
        let size = replicas.len();
        if size < 3 {
            return Err(CommitteeError::Size(size));
        }
        let replicas = Bounded::new(replicas).map_err(|_| CommitteeError::Size(size))?;
        for (i, a) in replicas.iter().enumerate() {
            if let Some(j) =
                replicas.iter().skip(i.saturating_add(1)).position(|b| a.ed25519 == b.ed25519 || a.jub == b.jub)
            {
                return Err(CommitteeError::Repeated(i, i.saturating_add(j).saturating_add(1)));
            }
        }
        let mut bytes = (network, shard).to_bytes();
        bytes.extend(replicas.to_bytes());
        let digest = hash::hash(Domain::Committee, &bytes);
        Ok(Committee { network, shard, replicas, digest })
    }

    /// The network.
    #[must_use]
    pub fn network(&self) -> NetworkId {
        self.network
    }

    /// The shard.
    #[must_use]
    pub fn shard(&self) -> ShardAddress {
        self.shard
    }

    /// Digest over network, shard and all keys: what votes and headers name.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Number of replicas.
    #[must_use]
    pub fn size(&self) -> usize {
        self.replicas.len()
    }

    /// Signatures needed: 2 of 3, ⌊2n/3⌋ + 1 of n ≥ 4.
    #[must_use]
    pub fn quorum(&self) -> usize {
        quorum(self.size())
    }

    /// All places.
    pub fn indices(&self) -> impl Iterator<Item = ReplicaIndex> + use<> {
        (0..u8::try_from(self.size()).unwrap_or(u8::MAX)).map(ReplicaIndex)
    }

    /// Whether `replica` is a place of this committee.
    #[must_use]
    pub fn has(&self, replica: ReplicaIndex) -> bool {
        usize::from(replica.0) < self.size()
    }

    /// The keys at a place.
    #[must_use]
    pub fn keys(&self, replica: ReplicaIndex) -> Option<&ReplicaKeys> {
        self.replicas.get(usize::from(replica.0))
    }

    /// The first proposer of `epoch`, then one place on per view.
    #[must_use]
    pub fn proposer(&self, epoch: crate::Epoch, view: crate::View) -> ReplicaIndex {
        let turn = epoch.0.wrapping_add(u64::from(view.0));
        let size = u64::try_from(self.size()).unwrap_or(u64::MAX);
        ReplicaIndex(u8::try_from(turn.checked_rem(size).unwrap_or(0)).unwrap_or(0))
    }
}

/// The quorum of a committee of `size`: 2 for 3, ⌊2n/3⌋ + 1 from 4 on.
#[must_use]
pub fn quorum(size: usize) -> usize {
    if size <= 3 { 2 } else { (size.saturating_mul(2) / 3).saturating_add(1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quorums_are_those_of_the_fault_model() {
        for (size, expected) in [(3, 2), (4, 3), (9, 7), (27, 19)] {
            assert_eq!(quorum(size), expected);
        }
    }
}
