//! What is proven at the door: which replica a peer is, by its consensus key.
//!
//! ```text
//! proof    = 0                                   a follower: no replica, no vote
//!          | 1 · node · ed25519 signature        a replica
//! signed   = BLAKE3 in the domain `Handshake` of (genesis hash, node, peer id of who proves, peer id of who asks, nonce of who asks)
//! ```
//!
//! The connection proves both peer ids and the nonce is new, so a proof that is overheard, kept or passed on is of no use elsewhere.

use super::Places;
use borsh::{BorshDeserialize, BorshSerialize};
use smt_consensus::Network;
use smt_gossip::swarm::{Admission, Challenge, PROOF_BYTES_MAX, PeerId, Standing};
use smt_types::hash::{self, Domain};
use smt_types::message::NodeId;
use smt_types::{Canonical, Digest, Signature, Signer};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use tracing::warn;

#[derive(Debug, BorshSerialize, BorshDeserialize)]
enum Proof {
    Follower,
    Replica(NodeId, Signature),
}

/// Stands at one node's door.
pub struct Doorkeeper {
    node: NodeId,
    genesis_hash: Digest,
    network: Arc<Network>,
    places: Arc<Places>,
    // Signers need not be shareable between threads.
    signer: Mutex<Box<dyn Signer>>,
}

impl fmt::Debug for Doorkeeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Doorkeeper").field("node", &self.node).finish_non_exhaustive()
    }
}

impl Doorkeeper {
    /// For replica `node`, which signs with `signer`. Who proves to be a replica is entered in `places` when its connection stands.
    #[must_use]
    pub fn new(
        node: NodeId,
        signer: Box<dyn Signer>,
        genesis_hash: Digest,
        network: Arc<Network>,
        places: Arc<Places>,
    ) -> Doorkeeper {
        Doorkeeper { node, genesis_hash, network, places, signer: Mutex::new(signer) }
    }

    fn digest(&self, node: NodeId, challenge: &Challenge) -> Digest {
        let (speaker, listener) = (challenge.speaker.to_bytes(), challenge.listener.to_bytes());
        hash::hash_of(Domain::Handshake, &(self.genesis_hash, node, speaker, listener, challenge.nonce))
    }

    fn admit(&self, node: NodeId, challenge: &Challenge, signature: &Signature) -> Result<(), String> {
        let committee = self.network.committee(node.shard);
        let Some(keys) = committee.and_then(|committee| committee.keys(node.replica)) else {
            return Err(format!("the genesis has no replica {node}"));
        };
        if !keys.ed25519.verify(self.digest(node, challenge).as_bytes(), signature) {
            return Err(format!("it is not signed by the consensus key of replica {node}"));
        }
        if node == self.node {
            // Were both to go on, they would sign two things for one place.
            return Err(format!(
                "it holds the consensus key of replica {node}, which is ours: two nodes run with one key"
            ));
        }
        Ok(())
    }
}

impl Admission for Doorkeeper {
    fn introduce(&self, challenge: &Challenge) -> Vec<u8> {
        let digest = self.digest(self.node, challenge);
        let signature = self.signer.lock().unwrap_or_else(PoisonError::into_inner).sign(&digest);
        Proof::Replica(self.node, signature).to_bytes()
    }

    /// One signature check for a replica, some 50 µs.
    fn judge(&self, challenge: &Challenge, proof: &[u8]) -> Result<Standing, String> {
        match Proof::from_bytes(proof, PROOF_BYTES_MAX) {
            Ok(Proof::Replica(node, signature)) => {
                self.admit(node, challenge, &signature).map(|()| Standing::Member(node.to_bytes()))
            }
            // With a replica's stolen identity one could otherwise stand in its way.
            Ok(Proof::Follower) => match self.places.node(&challenge.speaker) {
                Some(node) => {
                    Err(format!("its peer id is that of replica {node}, whose consensus key it does not show"))
                }
                None => Ok(Standing::Guest),
            },
            Err(error) => Err(error.to_string()),
        }
    }

    fn enter(&self, member: &[u8], peer: PeerId) {
        // The bytes are `judge`'s own.
        let Ok(node) = NodeId::from_bytes(member, PROOF_BYTES_MAX) else { return };
        if let Some(before) = self.places.bind(node, peer) {
            warn!(%node, %peer, %before, "a replica has another peer id than it had");
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "tests")]
    use super::*;
    use crate::dev::Shape;
    use crate::keys::ReplicaSecrets;
    use crate::member::network_of;
    use smt_types::{ReplicaIndex, ShardAddress};

    struct Both {
        network: Arc<Network>,
        hash: Digest,
    }

    impl Both {
        fn new(seed: u64) -> Both {
            let shape = Shape { shards: 1, replicas: 3, seed, epoch_ms: 500, accounts: 0, balance: 0 };
            let (network, hash) = network_of(&shape.genesis()).unwrap();
            Both { network: Arc::new(network), hash }
        }

        /// With the key of replica `key`, which may be another.
        fn keeper(&self, node: NodeId, key: NodeId, places: &Arc<Places>) -> Doorkeeper {
            let signer = Box::new(ReplicaSecrets::development(1, key));
            Doorkeeper::new(node, signer, self.hash, self.network.clone(), places.clone())
        }
    }

    fn node(replica: u8) -> NodeId {
        NodeId { shard: ShardAddress::ROOT, replica: ReplicaIndex(replica) }
    }

    fn challenge(nonce: u8) -> Challenge {
        Challenge { speaker: PeerId::random(), listener: PeerId::random(), nonce: [nonce; 32] }
    }

    /// What a swarm does with a proof that holds.
    fn enter(keeper: &Doorkeeper, challenge: &Challenge, proof: &[u8]) {
        let Ok(Standing::Member(member)) = keeper.judge(challenge, proof) else { panic!("no member") };
        keeper.enter(&member, challenge.speaker);
    }

    #[test]
    fn a_proof_is_for_one_replica_one_connection_and_one_network() {
        let net = Both::new(1);
        let places = Arc::new(Places::default());
        let (one, two) = (net.keeper(node(1), node(1), &places), net.keeper(node(2), node(2), &places));
        let now = challenge(1);
        let proof = one.introduce(&now);
        enter(&two, &now, &proof);
        assert_eq!(places.node(&now.speaker), Some(node(1)));
        let before = places.all();
        for (other, what) in [
            (Challenge { nonce: [2; 32], ..now }, "a later connection"),
            (Challenge { speaker: PeerId::random(), ..now }, "who overheard it"),
            (Challenge { listener: PeerId::random(), ..now }, "who was told it"),
        ] {
            assert!(two.judge(&other, &proof).unwrap_err().contains("not signed"), "{what}");
        }
        let foreign = Doorkeeper { genesis_hash: Digest([1; 32]), ..net.keeper(node(2), node(2), &places) };
        assert!(foreign.judge(&now, &proof).unwrap_err().contains("not signed"));
        // Each bit counts, and so does the length.
        for at in 0..proof.len() * 8 {
            let mut bad = proof.clone();
            bad[at / 8] ^= 1 << (at % 8);
            assert!(two.judge(&now, &bad).is_err(), "bit {at}");
        }
        assert!(two.judge(&now, &[&proof[..], &[0]].concat()).is_err());
        assert!(two.judge(&now, &proof[..proof.len() - 1]).is_err());
        assert!(two.judge(&now, &[]).is_err());
        assert_eq!(places.all(), before, "what is refused changes nothing");
    }

    #[test]
    fn other_keys_other_places_and_our_own_key_are_refused() {
        let net = Both::new(1);
        let places = Arc::new(Places::default());
        let two = net.keeper(node(2), node(2), &places);
        let now = challenge(1);
        let refused = |liar: &Doorkeeper, word: &str| {
            let error = two.judge(&now, &liar.introduce(&now)).unwrap_err();
            assert!(error.contains(word), "{word:?} is not in: {error}");
        };
        refused(&net.keeper(node(0), node(1), &places), "not signed");
        refused(&net.keeper(node(3), node(1), &places), "no replica");
        refused(&net.keeper(node(2), node(2), &places), "one key");
        assert!(places.all().is_empty());
    }

    #[test]
    fn a_new_identity_takes_the_place_and_a_stolen_one_takes_nothing() {
        let net = Both::new(1);
        let places = Arc::new(Places::default());
        let (one, two) = (net.keeper(node(1), node(1), &places), net.keeper(node(2), node(2), &places));
        let (old, new) = (challenge(1), challenge(2));
        let follower = Proof::Follower.to_bytes();
        assert_eq!(two.judge(&old, &follower), Ok(Standing::Guest));
        let proof = one.introduce(&old);
        assert_eq!(two.judge(&old, &proof), Ok(Standing::Member(node(1).to_bytes())));
        assert!(places.all().is_empty(), "no connection stands yet");
        enter(&two, &old, &proof);
        assert!(two.judge(&old, &follower).unwrap_err().contains("does not show"));
        enter(&two, &new, &one.introduce(&new));
        assert_eq!(places.all(), vec![(node(1), new.speaker)]);
        assert_eq!(two.judge(&old, &follower), Ok(Standing::Guest));
    }
}
