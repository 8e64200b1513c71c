//! Agreement on cuts, and what follows from it: invariants 2, 3, 4 and 12.

use crate::hold;
use crate::shape::Shape;
use crate::store::Store;
use crate::watch::{Check, Watch};
use smt_consensus::archive::StoredHeader;
use smt_consensus::global::GlobalCut;
use smt_types::batch::BatchHeader;
use smt_types::cut::Decision;
use smt_types::message::NodeId;
use smt_types::{BatchNumber, DenseTime, Digest, Domain, Epoch, Header, Lamport, ReplicaIndex, ShardAddress, hash};
use std::collections::BTreeMap;

const CLOCKS: &str = "12 clock laws";

/// The agreed cuts of all shards.
#[derive(Debug)]
pub struct Cuts {
    /// Digest of each agreed value, from epoch 0.
    values: BTreeMap<ShardAddress, Vec<Digest>>,
    /// The one header of each agreed value, from epoch 0.
    pub(super) headers: BTreeMap<ShardAddress, Vec<Header>>,
    /// Every stamp ever given, by what it stamps.
    dense: BTreeMap<DenseTime, Digest>,
    /// Newest stamp per gateway.
    gateways: BTreeMap<(ShardAddress, ReplicaIndex), (BatchNumber, Lamport, DenseTime)>,
    /// Newest global cut each replica has told in this life.
    pub(crate) global: BTreeMap<NodeId, Vec<Epoch>>,
}

impl Cuts {
    pub(super) fn new(shape: &Shape) -> Cuts {
        let genesis = &shape.network.genesis_headers;
        Cuts {
            values: genesis.iter().map(|h| (h.shard, vec![Digest::ZERO])).collect(),
            headers: genesis.iter().map(|h| (h.shard, vec![h.clone()])).collect(),
            dense: BTreeMap::new(),
            gateways: BTreeMap::new(),
            global: BTreeMap::new(),
        }
    }

    fn stamp(&mut self, dense: DenseTime, what: Digest) -> Check {
        let first = *self.dense.entry(dense).or_insert(what);
        hold!(CLOCKS, first == what, "{dense:?} stamps {first} and {what}");
        Ok(())
    }

    /// A batch has left its gateway for the first time.
    pub(super) fn batch(&mut self, shard: ShardAddress, header: &BatchHeader) -> Check {
        self.stamp(header.dense, header.digest())?;
        let now = (header.number, header.lamport, header.dense);
        if let Some(before) = self.gateways.insert((shard, header.gateway), now) {
            let later = before.0 >= header.number || (before.1 < header.lamport && before.2 < header.dense);
            hold!(
                CLOCKS,
                later,
                "batch {} of {shard}/{} is not stamped above {before:?}",
                header.number,
                header.gateway
            );
        }
        Ok(())
    }
}

impl Watch {
    /// A replica has carried out a cut.
    pub(super) fn cut(&mut self, node: NodeId, decision: &Decision, store: &Store) -> Check {
        let value = &decision.value;
        let (epoch, digest) = (value.epoch, value.digest());
        let values = &self.cuts.values[&node.shard];
        let place = epoch.0 as usize;
        if let Some(agreed) = values.get(place) {
            hold!("agreement", *agreed == digest, "{node} carries out {digest} at {epoch}, {agreed} was agreed");
            return Ok(());
        }
        hold!("agreement", values.len() == place, "{node} carries out cut {epoch} after {}", values.len() - 1);
        hold!("agreement", values.last() == Some(&value.base), "{node} carries out cut {epoch} upon another base");
        for entry in value.bits.iter() {
            let Some((lamport, dense)) = self.stamps.get(&entry.header) else { continue };
            let later = *lamport < value.lamport && *dense < value.dense;
            hold!(
                CLOCKS,
                later,
                "cut {epoch} of {} is stamped {:?} {:?}, its batch {lamport:?} {dense:?}",
                node.shard,
                value.lamport,
                value.dense
            );
        }
        for entry in value.bits.iter() {
            let Some(batch) = self.batches.get(&entry.header).cloned() else { continue };
            for index in entry.bits.iter() {
                self.certified(node, batch[usize::from(index)].1, &entry.header, index, store)?;
            }
        }
        self.cuts.stamp(value.dense, digest)?;
        self.carry(value)?;
        if let Some(values) = self.cuts.values.get_mut(&node.shard) {
            values.push(digest);
        }
        self.finals_of(node.shard, epoch)
    }

    /// A replica has computed a header.
    pub(super) fn header(&mut self, node: NodeId, stored: &StoredHeader) -> Check {
        let header = &stored.header;
        let headers = &self.cuts.headers[&node.shard];
        let place = header.epoch.0 as usize;
        if let Some(known) = headers.get(place) {
            hold!(
                "2 confluence",
                known == header,
                "{node} computes {header:?} for an agreed cut, another replica {known:?}"
            );
            return Ok(());
        }
        let (Some(before), Some(value)) = (headers.last(), self.cuts.values[&node.shard].get(place)) else {
            return Err(("agreement", format!("{node} has a header for {} without a cut", header.epoch)));
        };
        hold!(
            "agreement",
            header.predecessor == before.digest(),
            "{node}: header {} has another predecessor",
            header.epoch
        );
        let later = before.lamport < header.lamport && before.dense < header.dense && before.levels.le(&header.levels);
        hold!(CLOCKS, later, "header {} of {} is not above its predecessor", header.epoch, node.shard);
        let vector = hash::hash_of(Domain::Vector, &(before.vector, *value));
        hold!(CLOCKS, header.vector == vector, "header {} of {} has another vector", header.epoch, node.shard);
        let supply = self.model.totals[&node.shard][place].supply;
        hold!(
            "3 conservation",
            i128::from(header.supply.0) == supply,
            "{node}: supply {} at {}, {supply} by the plain ledger",
            header.supply.0,
            header.epoch
        );
        if let Some(headers) = self.cuts.headers.get_mut(&node.shard) {
            headers.push(header.clone());
        }
        Ok(())
    }

    /// A replica has a new global cut.
    pub(super) fn global_cut(&mut self, node: NodeId, cut: &GlobalCut) -> Check {
        let epochs: Vec<Epoch> = cut.headers.iter().map(|h| h.epoch).collect();
        for header in &cut.headers {
            let agreed = self.cuts.headers[&header.shard].get(header.epoch.0 as usize);
            hold!("agreement", agreed == Some(header), "{node}: a global cut holds a header nobody agreed on");
        }
        let (mut supply, mut sent, mut received) = (0i128, 0u128, 0u128);
        for header in &cut.headers {
            let totals = &self.model.totals[&header.shard][header.epoch.0 as usize];
            supply += totals.supply;
            sent += totals.sent.values().map(|(_, sum)| sum).sum::<u128>();
            received += totals.received.values().map(|(_, sum)| sum).sum::<u128>();
            for (source, (count, _)) in &totals.received {
                let at = cut.headers.iter().find(|h| h.shard == *source).map_or(Epoch(0), |h| h.epoch);
                let issued =
                    self.model.totals[source][at.0 as usize].sent.get(&header.shard).map_or(0, |(count, _)| *count);
                hold!(
                    "4 cursor within outbox",
                    *count <= issued,
                    "{node}: {} has received {count} of {source}'s {issued}",
                    header.shard
                );
            }
        }
        let total = supply + sent as i128 - received as i128;
        let genesis = i128::from(self.shape.network.supply.0);
        hold!("3 conservation", total == genesis, "{node}: {total} on a global cut, {genesis} at genesis");
        hold!(
            "3 conservation",
            cut.supply as i128 == supply && cut.in_flight == sent - received,
            "{node}: sums of a global cut"
        );
        hold!("4 cuts are monotone", Some(cut.epoch) == epochs.iter().min().copied(), "{node}: epoch of a global cut");
        if let Some(before) = self.cuts.global.insert(node, epochs.clone()) {
            let up = before.iter().zip(&epochs).all(|(a, b)| a <= b) && before != epochs;
            hold!("4 cuts are monotone", up, "{node}: global cut {epochs:?} after {before:?}");
        }
        Ok(())
    }

    /// A replica has stopped: its next life starts from its store.
    pub fn stopped(&mut self, node: NodeId) {
        self.cuts.global.remove(&node);
    }
}
