//! Where a replica says it is found, signed by its consensus key, so that it may be learned from anybody.
//!
//! ```text
//! record = node · peer id · sequence number: u64 · 1 to ADDRESSES_MAX addresses, each an IP address and a port
//! signed = BLAKE3 in the domain `AddressRecord` of (genesis hash, record)
//! ```
//!
//! Of two records of one replica the one with the higher sequence number counts; of two with the same number, which an honest replica
//! never signs, the one with the higher digest, so that everybody keeps the same. A record says where to knock and no more: who opens has
//! to prove at the door what it is. Whom else it could make a network knock at is bounded by what is refused as no address of a machine, by
//! [`ADDRESSES_MAX`] and by the back-off.

use borsh::{BorshDeserialize, BorshSerialize};
use smt_consensus::Network;
use smt_gossip::swarm::{Multiaddr, PeerId};
use smt_types::hash::{self, Domain};
use smt_types::message::NodeId;
use smt_types::{Bounded, Canonical as _, DecodeError, Digest, Signature, Signer};
use std::net::{IpAddr, SocketAddr};

/// Most addresses of a replica.
pub const ADDRESSES_MAX: usize = 4;
/// Most bytes of a peer id.
const PEER_BYTES_MAX: usize = 64;
/// Most bytes of a signed record.
pub const RECORD_BYTES_MAX: usize = 512;

/// Where a replica is found.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct AddressRecord {
    /// The replica.
    pub node: NodeId,
    peer: Bounded<u8, PEER_BYTES_MAX>,
    /// Grows with each record of the replica.
    pub sequence: u64,
    addresses: Bounded<(IpAddr, u16), ADDRESSES_MAX>,
}

/// A record with its replica's signature.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SignedRecord {
    /// What is signed.
    pub record: AddressRecord,
    signature: Signature,
}

/// Why a record is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// Not a record at all.
    #[error("not an address record")]
    Malformed(#[from] DecodeError),
    /// The genesis has no such replica.
    #[error("an address record of replica {0}, which the genesis does not have")]
    NoSuchReplica(NodeId),
    /// What is no peer id.
    #[error("the address record of replica {0} has no peer id")]
    Peer(NodeId),
    /// None, or one that nobody should knock at.
    #[error("the address record of replica {0} has no address that can be dialled from elsewhere")]
    Address(NodeId),
    /// Somebody else made it, or changed it.
    #[error("the address record of replica {0} is not signed by its consensus key")]
    Signature(NodeId),
}

impl AddressRecord {
    /// Replica `node` is `peer`, at the first [`ADDRESSES_MAX`] of `addresses`.
    #[must_use]
    pub fn new(node: NodeId, peer: PeerId, sequence: u64, addresses: &[SocketAddr]) -> AddressRecord {
        let addresses = addresses.iter().map(|addr| (addr.ip(), addr.port())).collect();
        AddressRecord {
            node,
            peer: Bounded::truncated(peer.to_bytes()),
            sequence,
            addresses: Bounded::truncated(addresses),
        }
    }

    /// The peer id; `None` for bytes that are none.
    #[must_use]
    pub fn peer(&self) -> Option<PeerId> {
        PeerId::from_bytes(&self.peer).ok()
    }

    /// Where to knock.
    #[must_use]
    pub fn multiaddrs(&self) -> Vec<Multiaddr> {
        self.addresses.iter().map(|(ip, port)| crate::genesis::book::multiaddr(SocketAddr::new(*ip, *port))).collect()
    }

    /// Whether `other` says the same, whatever its number.
    #[must_use]
    pub fn says(&self, other: &AddressRecord) -> bool {
        (self.node, &self.peer, &self.addresses) == (other.node, &other.peer, &other.addresses)
    }

    /// What is signed.
    #[must_use]
    pub fn digest(&self, genesis_hash: Digest) -> Digest {
        hash::hash_of(Domain::AddressRecord, &(genesis_hash, self))
    }

    /// Signs it.
    #[must_use]
    pub fn sign(self, genesis_hash: Digest, signer: &dyn Signer) -> SignedRecord {
        let signature = signer.sign(&self.digest(genesis_hash));
        SignedRecord { record: self, signature }
    }

    fn is_plain(&self, loopback: bool) -> bool {
        let plain = |(ip, port): &(IpAddr, u16)| is_plain(SocketAddr::new(*ip, *port), loopback);
        !self.addresses.is_empty() && self.addresses.iter().all(plain)
    }
}

/// Whether it is an address of a machine. Loopback is one only for who is on it too: elsewhere it would make everybody knock at their own
/// doors.
#[must_use]
pub fn is_plain(addr: SocketAddr, loopback: bool) -> bool {
    let ip = addr.ip();
    let broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
    addr.port() != 0 && !ip.is_unspecified() && !ip.is_multicast() && !broadcast && (loopback || !ip.is_loopback())
}

impl SignedRecord {
    /// Reads and checks a record of `network`. `loopback`: this node is found on its machine's loopback address itself.
    ///
    /// Cost: a signature check, some 50 µs.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn read(
        bytes: &[u8],
        genesis_hash: Digest,
        network: &Network,
        loopback: bool,
    ) -> Result<SignedRecord, RecordError> {
        let signed = SignedRecord::from_bytes(bytes, RECORD_BYTES_MAX)?;
        let record = &signed.record;
        let committee = network.committee(record.node.shard);
        let keys = committee.and_then(|committee| committee.keys(record.node.replica));
        let keys = keys.ok_or(RecordError::NoSuchReplica(record.node))?;
        if record.peer().is_none() {
            return Err(RecordError::Peer(record.node));
        }
        if !record.is_plain(loopback) {
            return Err(RecordError::Address(record.node));
        }
        if !keys.ed25519.verify(record.digest(genesis_hash).as_bytes(), &signed.signature) {
            return Err(RecordError::Signature(record.node));
        }
        Ok(signed)
    }

    /// Whether it counts and not `other`, of the same replica.
    #[must_use]
    pub fn supersedes(&self, other: &SignedRecord, genesis_hash: Digest) -> bool {
        let rank = |signed: &SignedRecord| (signed.record.sequence, signed.record.digest(genesis_hash));
        rank(self) > rank(other)
    }
}
