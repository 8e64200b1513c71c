//! Which peer is which replica.

use smt_gossip::swarm::PeerId;
use smt_types::message::NodeId;
use std::collections::{BTreeMap, HashMap};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

/// One peer a replica and one replica a peer; so at most as many entries as the genesis has replicas, whoever knocks.
#[derive(Debug, Default)]
pub struct Places(RwLock<Tables>);

#[derive(Debug, Default)]
struct Tables {
    peers: BTreeMap<NodeId, PeerId>,
    nodes: HashMap<PeerId, NodeId>,
}

impl Places {
    /// What an address book says; a proof at the door overrules it.
    pub fn new(known: impl IntoIterator<Item = (NodeId, PeerId)>) -> Places {
        let places = Places::default();
        for (node, peer) in known {
            places.bind(node, peer);
        }
        places
    }

    /// Each change is whole before the lock is let go of.
    fn read(&self) -> RwLockReadGuard<'_, Tables> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The peer that is this replica.
    #[must_use]
    pub fn peer(&self, node: NodeId) -> Option<PeerId> {
        self.read().peers.get(&node).copied()
    }

    /// The replica that this peer is.
    #[must_use]
    pub fn node(&self, peer: &PeerId) -> Option<NodeId> {
        self.read().nodes.get(peer).copied()
    }

    /// All that is known, in shard and replica order.
    #[must_use]
    pub fn all(&self) -> Vec<(NodeId, PeerId)> {
        self.read().peers.iter().map(|(node, peer)| (*node, *peer)).collect()
    }

    /// `peer` has proven to be `node`. Whoever was it before is it no longer; returns that peer.
    pub fn bind(&self, node: NodeId, peer: PeerId) -> Option<PeerId> {
        if self.node(&peer) == Some(node) {
            return None;
        }
        let mut tables = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let before = tables.peers.insert(node, peer);
        if let Some(before) = before {
            tables.nodes.remove(&before);
        }
        if let Some(other) = tables.nodes.insert(peer, node) {
            tables.peers.remove(&other);
        }
        before
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use smt_types::{ReplicaIndex, ShardAddress};

    #[test]
    fn a_place_has_one_peer_and_a_peer_one_place() {
        let node = |replica| NodeId { shard: ShardAddress::ROOT, replica: ReplicaIndex(replica) };
        let [a, b] = [PeerId::random(), PeerId::random()];
        let places = Places::new([(node(0), a)]);
        assert_eq!((places.peer(node(0)), places.node(&a)), (Some(a), Some(node(0))));
        assert_eq!(places.bind(node(0), a), None);
        // A new identity takes the place.
        assert_eq!(places.bind(node(0), b), Some(a));
        assert_eq!((places.node(&a), places.all()), (None, vec![(node(0), b)]));
        // It moves to another place: the first is empty.
        assert_eq!(places.bind(node(1), b), None);
        assert_eq!((places.peer(node(0)), places.all()), (None, vec![(node(1), b)]));
        assert_eq!(places.bind(node(0), a), None);
        assert_eq!(places.bind(node(1), a), Some(b));
        assert_eq!(places.all(), vec![(node(1), a)]);
    }
}
