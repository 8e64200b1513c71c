//! The newest address record of each replica, and the file they are kept in.
//!
//! At most one record a replica of the genesis, each at most [`RECORD_BYTES_MAX`] bytes, whoever offers them. The file
//! (`STATE/addresses`) only saves asking again: whatever of it does not check is left out, and a file that is lost is made anew.

use super::record::{AddressRecord, RECORD_BYTES_MAX, RecordError, SignedRecord};
use crate::wallet::durable;
use smt_consensus::Network;
use smt_gossip::swarm::PeerId;
use smt_types::message::NodeId;
use smt_types::{Bounded, Canonical as _, Digest, Signer};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::ops::Bound;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

/// Records of one page.
pub const PAGE_MAX: usize = 64;
/// Name of the file in the state directory.
pub const FILE: &str = "addresses";
/// Most records of a file: more replicas than any genesis has.
const FILE_RECORDS_MAX: usize = 1 << 20;
/// Most bytes of a file.
const FILE_BYTES_MAX: usize = FILE_RECORDS_MAX * RECORD_BYTES_MAX;

/// What replicas say of where they are.
#[derive(Debug)]
pub struct Records {
    genesis_hash: Digest,
    network: Arc<Network>,
    loopback: bool,
    newest: RwLock<BTreeMap<NodeId, SignedRecord>>,
}

impl Records {
    /// None yet. `loopback`: this node is found on its machine's loopback address.
    #[must_use]
    pub fn new(genesis_hash: Digest, network: Arc<Network>, loopback: bool) -> Records {
        Records { genesis_hash, network, loopback, newest: RwLock::default() }
    }

    /// Takes a record from anybody; `Some` if it is news.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn learn(&self, bytes: &[u8]) -> Result<Option<AddressRecord>, RecordError> {
        if let Ok(signed) = SignedRecord::from_bytes(bytes, RECORD_BYTES_MAX)
            && self.known(signed.record.node).as_ref() == Some(&signed)
        {
            // Known to the byte: most of what peers offer.
            return Ok(None);
        }
        let signed = SignedRecord::read(bytes, self.genesis_hash, &self.network, self.loopback)?;
        let record = signed.record.clone();
        Ok(self.keep(signed).then_some(record))
    }

    fn known(&self, node: NodeId) -> Option<SignedRecord> {
        self.newest.read().unwrap_or_else(PoisonError::into_inner).get(&node).cloned()
    }

    fn keep(&self, signed: SignedRecord) -> bool {
        let mut newest = self.newest.write().unwrap_or_else(PoisonError::into_inner);
        let before = newest.get(&signed.record.node);
        let news = before.is_none_or(|before| signed.supersedes(before, self.genesis_hash));
        if news {
            newest.insert(signed.record.node, signed);
        }
        news
    }

    /// The newest record of a replica.
    #[must_use]
    pub fn of(&self, node: NodeId) -> Option<AddressRecord> {
        self.known(node).map(|signed| signed.record)
    }

    /// Says where we are, so that it counts before whatever we have said before: `now` (milliseconds since 1970) is the sequence number,
    /// or one more than the newest known where the clock has gone back. Nothing new is signed while the newest says the same.
    pub fn announce(&self, node: NodeId, peer: PeerId, addresses: &[SocketAddr], now: u64, signer: &dyn Signer) {
        let newest = self.of(node);
        let next = newest.as_ref().map_or(0, |record| record.sequence.saturating_add(1));
        let record = AddressRecord::new(node, peer, now.max(next), addresses);
        if !newest.is_some_and(|newest| newest.says(&record)) {
            self.keep(record.sign(self.genesis_hash, signer));
        }
    }

    /// Up to [`PAGE_MAX`] records of the replicas after `after`, in order.
    #[must_use]
    pub fn page(&self, after: Option<NodeId>) -> Vec<Vec<u8>> {
        let newest = self.newest.read().unwrap_or_else(PoisonError::into_inner);
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        newest.range((from, Bound::Unbounded)).take(PAGE_MAX).map(|(_, signed)| signed.to_bytes()).collect()
    }

    /// Reads what was kept; returns how many records of the file do not check.
    ///
    /// # Errors
    /// What the file system says; a file that is not there is an empty one.
    pub fn load(&self, dir: &Path) -> io::Result<usize> {
        let bytes = match durable::read(&dir.join(FILE), FILE_BYTES_MAX) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            Err(error) => return Err(error),
        };
        let Ok(kept) = Bounded::<Bounded<u8, RECORD_BYTES_MAX>, FILE_RECORDS_MAX>::from_bytes(&bytes, FILE_BYTES_MAX)
        else {
            return Ok(1);
        };
        Ok(kept.iter().filter(|bytes| self.learn(bytes).is_err()).count())
    }

    /// Writes the file.
    ///
    /// # Errors
    /// What the file system says; the earlier file is then still whole.
    pub fn save(&self, dir: &Path) -> io::Result<()> {
        let newest = self.newest.read().unwrap_or_else(PoisonError::into_inner);
        let all: Vec<Vec<u8>> = newest.values().map(smt_types::Canonical::to_bytes).collect();
        drop(newest);
        durable::replace(&dir.join(FILE), &all.to_bytes())
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

    struct World {
        network: Arc<Network>,
        hash: Digest,
    }

    impl World {
        fn new() -> World {
            let shape = Shape { shards: 3, replicas: 3, seed: 1, epoch_ms: 500, accounts: 0, balance: 0 };
            let (network, hash) = network_of(&shape.genesis()).unwrap();
            World { network: Arc::new(network), hash }
        }

        fn records(&self, loopback: bool) -> Records {
            Records::new(self.hash, self.network.clone(), loopback)
        }

        fn signed(&self, node: NodeId, key: NodeId, sequence: u64, addresses: &[&str]) -> Vec<u8> {
            let addresses: Vec<SocketAddr> = addresses.iter().map(|text| text.parse().unwrap()).collect();
            let record = AddressRecord::new(node, peer(node), sequence, &addresses);
            record.sign(self.hash, &ReplicaSecrets::development(1, key)).to_bytes()
        }
    }

    fn node(shard: u32, replica: u8) -> NodeId {
        NodeId { shard: ShardAddress::new(1, shard).unwrap(), replica: ReplicaIndex(replica) }
    }

    fn peer(node: NodeId) -> PeerId {
        ReplicaSecrets::development(1, node).peer_id().unwrap()
    }

    const HERE: &[&str] = &["10.0.0.1:9400", "[2001:db8::1]:9400"];

    #[test]
    fn the_newest_record_counts_in_whatever_order_they_come() {
        let world = World::new();
        let at = node(1, 2);
        let [old, new, twin] = [(5, HERE), (6, &HERE[..1]), (6, &HERE[1..])].map(|(n, to)| world.signed(at, at, n, to));
        let orders = [[&old, &new, &twin], [&twin, &new, &old], [&new, &old, &twin], [&twin, &old, &new]];
        let ends = orders.map(|order| {
            let records = world.records(false);
            assert!(records.learn(order[0]).unwrap().is_some());
            assert!(records.learn(order[0]).unwrap().is_none(), "no news");
            order.iter().for_each(|bytes| drop(records.learn(bytes).unwrap()));
            records.of(at).unwrap()
        });
        assert_eq!(ends[0].sequence, 6);
        assert!(ends.iter().all(|end| *end == ends[0]), "two of one number leave everybody with the same");
        assert_eq!(ends[0].peer(), Some(peer(at)));
    }

    #[test]
    fn a_record_that_anything_is_wrong_with_is_refused_and_changes_nothing() {
        let world = World::new();
        let records = world.records(false);
        let at = node(0, 1);
        let refused = |bytes: &[u8]| records.learn(bytes).unwrap_err();
        assert_eq!(refused(&world.signed(at, node(0, 2), 1, HERE)), RecordError::Signature(at));
        let none = node(0, 3);
        assert_eq!(refused(&world.signed(none, at, 1, HERE)), RecordError::NoSuchReplica(none));
        for bad in ["0.0.0.0:1", "10.0.0.1:0", "127.0.0.1:22", "224.0.0.1:1", "255.255.255.255:1", "[::]:1", "[::1]:1"]
        {
            assert_eq!(refused(&world.signed(at, at, 1, &["10.0.0.1:9", bad])), RecordError::Address(at), "{bad}");
        }
        assert_eq!(refused(&world.signed(at, at, 1, &[])), RecordError::Address(at));
        let good = world.signed(at, at, 1, HERE);
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(records.learn(&bad).is_err(), "bit {bit}");
        }
        assert!(records.learn(&good[..good.len() - 1]).is_err());
        assert!(records.learn(&[&good[..], &[0]].concat()).is_err());
        assert!(records.learn(&vec![0; RECORD_BYTES_MAX + 1]).is_err());
        assert!(records.page(None).is_empty());
        let foreign = Records::new(Digest([3; 32]), world.network.clone(), false);
        assert_eq!(foreign.learn(&good), Err(RecordError::Signature(at)), "of another genesis");
        assert!(records.learn(&good).unwrap().is_some());
        assert!(good.len() < RECORD_BYTES_MAX);
        // On the loopback address itself others on it are found.
        assert!(world.records(true).learn(&world.signed(at, at, 1, &["127.0.0.1:22"])).unwrap().is_some());
    }

    #[test]
    fn what_we_say_of_ourselves_counts_before_all_we_have_said() {
        let world = World::new();
        let records = world.records(false);
        let (at, signer) = (node(2, 0), ReplicaSecrets::development(1, node(2, 0)));
        let here: Vec<SocketAddr> = HERE.iter().map(|text| text.parse().unwrap()).collect();
        // Said with a clock that was ahead, and learned from others after the own store was lost.
        records.learn(&world.signed(at, at, 900, &["10.9.9.9:1"])).unwrap();
        records.announce(at, peer(at), &here, 500, &signer);
        let said = records.of(at).unwrap();
        assert_eq!((said.sequence, said.multiaddrs().len()), (901, 2));
        records.announce(at, peer(at), &here, 5_000, &signer);
        assert_eq!(records.of(at).unwrap().sequence, 901, "nothing new to say");
        records.announce(at, PeerId::random(), &here, 5_000, &signer);
        assert_eq!(records.of(at).unwrap().sequence, 5_000);
        assert!(world.records(false).learn(&records.page(None)[0]).unwrap().is_some());
    }

    #[test]
    fn pages_and_the_file_hold_all_and_damage_costs_what_it_hits() {
        let world = World::new();
        let records = world.records(false);
        let all: Vec<NodeId> = (0..3).flat_map(|shard| (0..3).map(move |replica| node(shard, replica))).collect();
        all.iter().for_each(|at| drop(records.learn(&world.signed(*at, *at, 1, HERE)).unwrap()));
        assert_eq!(
            (records.page(None).len(), records.page(Some(all[3])).len(), records.page(Some(all[8])).len()),
            (9, 5, 0)
        );
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(world.records(false).load(dir.path()).unwrap(), 0);
        records.save(dir.path()).unwrap();
        let again = world.records(false);
        assert_eq!(again.load(dir.path()).unwrap(), 0);
        assert_eq!(again.page(None), records.page(None));
        let file = dir.path().join(FILE);
        let mut bytes = std::fs::read(&file).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        std::fs::write(&file, &bytes).unwrap();
        let most = world.records(false);
        assert_eq!((most.load(dir.path()).unwrap(), most.page(None).len()), (1, 8));
        std::fs::write(&file, &bytes[..last]).unwrap();
        let none = world.records(false);
        assert_eq!((none.load(dir.path()).unwrap(), none.page(None).len()), (1, 0));
    }
}
