//! The address book `network.toml`: who is where, and of which network.
//!
//! It names no secrets and decides nothing: a peer is believed for the identity it proves, a record for its signature, and
//! both go back to the genesis. The book only says where to knock. One entry a replica, and every replica has one.

use serde::{Deserialize, Serialize};
use smt_gossip::swarm::{Multiaddr, PeerAddr, PeerId};
use smt_types::message::NodeId;
use smt_types::{Digest, Genesis, ReplicaIndex, ShardAddress};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

/// Version of the format.
const VERSION: u32 = 1;

/// Longest address book, bytes.
const BYTES_MAX: usize = 16 << 20;

/// Where a replica is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Who must answer there.
    pub peer: PeerId,
    /// Where peers find it.
    pub addr: SocketAddr,
    /// Where clients find it.
    pub rpc: SocketAddr,
}

impl Place {
    /// As the swarm takes it.
    #[must_use]
    pub fn peer_addr(&self) -> PeerAddr {
        PeerAddr { peer: self.peer, addr: multiaddr(self.addr) }
    }
}

/// Everybody's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressBook {
    /// Which network this is.
    pub genesis_hash: Digest,
    /// Whether its keys are known to everybody.
    pub development: bool,
    /// Places in shard and replica order.
    pub places: BTreeMap<NodeId, Place>,
}

/// Why a file is no address book, or not this network's.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BookError {
    /// It cannot be read.
    #[error("reading the address book {}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is no address book.
    #[error("{} is no address book: {detail}", file.display())]
    Malformed {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// A later program wrote it.
    #[error("the address book {} has version {found}, this program reads version {VERSION}", file.display())]
    Version {
        /// The file.
        file: PathBuf,
        /// Its version.
        found: i64,
    },
    /// It lacks a replica of the genesis.
    #[error("the address book names no replica {0}, which the genesis has")]
    Missing(NodeId),
    /// It has one that the genesis lacks.
    #[error("the address book names replica {0}, which the genesis does not have")]
    Stranger(NodeId),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    genesis_hash: String,
    development: bool,
    replica: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    shard: String,
    replica: u8,
    peer_id: String,
    multiaddr: String,
    rpc: String,
}

impl AddressBook {
    /// The file's text.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let entry = |(node, place): (&NodeId, &Place)| Entry {
            shard: node.shard.to_string(),
            replica: node.replica.0,
            peer_id: place.peer.to_string(),
            multiaddr: multiaddr(place.addr).to_string(),
            rpc: place.rpc.to_string(),
        };
        let file = File {
            version: VERSION,
            genesis_hash: self.genesis_hash.to_hex(),
            development: self.development,
            replica: self.places.iter().map(entry).collect(),
        };
        // Numbers and texts: writing them as TOML cannot fail.
        toml::to_string(&file).unwrap_or_default()
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`BookError`].
    pub fn read(file: &Path) -> Result<AddressBook, BookError> {
        let failed = |source| BookError::Read { file: file.to_owned(), source };
        let malformed = |detail: String| BookError::Malformed { file: file.to_owned(), detail };
        let bytes = crate::wallet::durable::read(file, BYTES_MAX).map_err(failed)?;
        let text = String::from_utf8(bytes).map_err(|_| malformed("it is not text".to_owned()))?;
        let table: toml::Table = toml::from_str(&text).map_err(|error| malformed(error.to_string()))?;
        // First of all: a later version may have other fields.
        match table.get("version").and_then(toml::Value::as_integer) {
            Some(found) if found != i64::from(VERSION) => {
                return Err(BookError::Version { file: file.to_owned(), found });
            }
            _ => {}
        }
        let parsed: File = table.try_into().map_err(|error: toml::de::Error| malformed(error.to_string()))?;
        AddressBook::parse(&parsed).map_err(malformed)
    }

    fn parse(file: &File) -> Result<AddressBook, String> {
        let genesis_hash = Digest::from_hex(&file.genesis_hash).ok_or("genesis_hash is not 64 hex digits")?;
        let (mut places, mut peers) = (BTreeMap::new(), BTreeSet::new());
        for Entry { shard, replica, peer_id, multiaddr, rpc } in &file.replica {
            let shard: ShardAddress = shard.parse().map_err(|error| format!("{error}"))?;
            let node = NodeId { shard, replica: ReplicaIndex(*replica) };
            let wrong = |what: &str, text: &str, rule: &str| format!("{what} of replica {node} is {text:?}: {rule}");
            let peer: PeerId =
                peer_id.parse().map_err(|_| wrong("peer_id", peer_id, "it has to be a libp2p peer id"))?;
            let addr = socket_addr(multiaddr).filter(|addr| addr.port() != 0).ok_or_else(|| {
                wrong("multiaddr", multiaddr, "it has to be /ip4/ADDRESS/tcp/PORT or /ip6/ADDRESS/tcp/PORT")
            })?;
            let rpc = rpc.parse().map_err(|_| wrong("rpc", rpc, "it has to be ADDRESS:PORT"))?;
            if !peers.insert(peer) {
                return Err(wrong("peer_id", peer_id, "another replica has the same"));
            }
            if places.insert(node, Place { peer, addr, rpc }).is_some() {
                return Err(format!("replica {node} is named twice"));
            }
        }
        Ok(AddressBook { genesis_hash, development: file.development, places })
    }

    /// Checks that exactly the replicas of `genesis` are named.
    ///
    /// # Errors
    /// [`BookError`] naming one that is missing or too many.
    pub fn check(&self, genesis: &Genesis) -> Result<(), BookError> {
        let mut strangers = self.places.clone();
        for (shard, committee) in ShardAddress::all(genesis.level).zip(genesis.committees.iter()) {
            let size = u8::try_from(committee.len()).unwrap_or(u8::MAX);
            for node in (0..size).map(|replica| NodeId { shard, replica: ReplicaIndex(replica) }) {
                strangers.remove(&node).ok_or(BookError::Missing(node))?;
            }
        }
        strangers.keys().next().map_or(Ok(()), |node| Err(BookError::Stranger(*node)))
    }

    /// All replicas, in shard order.
    #[must_use]
    pub fn nodes(&self) -> Vec<NodeId> {
        self.places.keys().copied().collect()
    }

    /// Whether somebody is on a loopback address.
    #[must_use]
    pub fn loopback(&self) -> bool {
        self.places.values().any(|place| place.addr.ip().is_loopback())
    }
}

/// `/ip4/…/tcp/…` of an address.
#[must_use]
pub fn multiaddr(addr: SocketAddr) -> Multiaddr {
    let family = if addr.is_ipv4() { "ip4" } else { "ip6" };
    // An address and a number are well-formed parts of a multiaddr.
    format!("/{family}/{}/tcp/{}", addr.ip(), addr.port()).parse().unwrap_or_else(|_| Multiaddr::empty())
}

/// The address of `/ip4/…/tcp/…` or `/ip6/…/tcp/…`, without anything behind it; these are all that the swarm speaks.
#[must_use]
pub fn socket_addr(multiaddr: &str) -> Option<SocketAddr> {
    let mut parts = multiaddr.split('/');
    let (before, family, ip, tcp, port) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let ip: IpAddr = ip.parse().ok()?;
    let fits = before.is_empty() && tcp == "tcp" && family == if ip.is_ipv4() { "ip4" } else { "ip6" };
    (fits && parts.next().is_none()).then_some(SocketAddr::new(ip, port.parse().ok()?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects, reason = "tests")]
    use super::*;
    use crate::dev::Shape;
    use crate::keys::ReplicaSecrets;

    fn book() -> (AddressBook, Genesis) {
        let shape = Shape { shards: 3, replicas: 3, seed: 1, epoch_ms: 500, accounts: 0, balance: 0 };
        let mut port = 9000;
        let place = |node: NodeId| {
            port += 2;
            let at = |port| SocketAddr::new([127, 0, 0, 1].into(), port);
            let peer = ReplicaSecrets::development(1, node).peer_id().unwrap();
            (node, Place { peer, addr: at(port), rpc: at(port + 1) })
        };
        let places = shape.nodes().into_iter().map(place).collect();
        (AddressBook { genesis_hash: Digest([7; 32]), development: true, places }, shape.genesis())
    }

    fn read(text: &str) -> Result<AddressBook, String> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("network.toml");
        std::fs::write(&file, text).unwrap();
        AddressBook::read(&file).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_written_reads_back() {
        let (book, genesis) = book();
        assert_eq!(read(&book.to_toml()).unwrap(), book);
        book.check(&genesis).unwrap();
        assert!(book.loopback());
    }

    #[test]
    fn missing_and_unknown_replicas_are_named() {
        let (mut book, genesis) = book();
        let node = NodeId { shard: ShardAddress::new(1, 2).unwrap(), replica: ReplicaIndex(1) };
        let place = book.places.remove(&node).unwrap();
        assert!(book.check(&genesis).unwrap_err().to_string().contains("no replica 2/1"));
        book.places.insert(node, place.clone());
        book.places.insert(NodeId { replica: ReplicaIndex(3), ..node }, place);
        assert!(book.check(&genesis).unwrap_err().to_string().contains("replica 2/3"));
    }

    #[test]
    fn faults_name_the_replica_and_the_rule() {
        let good = book().0.to_toml();
        for (from, to, word) in [
            ("version = 1", "version = 2", "version 2"),
            ("/ip4/127.0.0.1/tcp/9004", "/ip4/127.0.0.1/tcp/0", "replica 0/1"),
            ("/ip4/127.0.0.1/tcp/9004", "/dns4/example.org/tcp/1", "/ip4/ADDRESS/tcp/PORT"),
            ("127.0.0.1:9005", "127.0.0.1", "ADDRESS:PORT"),
            ("shard = \"0\"", "shard = \"3\"", "shard word"),
            ("peer_id = \"12D3", "peer_id = \"12D", "peer id"),
            ("rpc", "rcp", "rcp"),
            ("genesis_hash = \"07", "genesis_hash = \"7", "64 hex"),
        ] {
            let error = read(&good.replacen(from, to, 1)).unwrap_err();
            assert!(error.contains(word), "{word:?} is not in: {error}");
        }
        let peers: Vec<&str> = good.lines().filter(|line| line.starts_with("peer_id")).collect();
        assert!(read(&good.replace(peers[1], peers[0])).unwrap_err().contains("another replica has the same"));
        assert!(read(&good.replacen("replica = 1", "replica = 0", 1)).unwrap_err().contains("named twice"));
    }

    #[test]
    fn multiaddr_and_socket_address_are_each_other() {
        for text in ["/ip4/10.1.2.3/tcp/99", "/ip6/::1/tcp/7"] {
            assert_eq!(multiaddr(socket_addr(text).unwrap()).to_string(), text);
        }
        for text in
            ["", "/ip4/10.1.2.3/udp/99", "/ip6/10.1.2.3/tcp/9", "/ip4/1.2.3.4/tcp/9/p2p/x", "/ip4/1.2.3.4/tcp/70000"]
        {
            assert_eq!(socket_addr(text), None, "{text}");
        }
    }
}
