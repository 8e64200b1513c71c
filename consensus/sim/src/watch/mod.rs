//! The invariants, each in a module of its own with its number in the design's list (§12).
//!
//! | module | checks |
//! | --- | --- |
//! | [`records`] | 5: nothing signed leaves before its record is durable; one slot, one byte string, across crashes |
//! | [`model`] | 1 uniqueness, 3 conservation, 6 exactly-once credit, 14 joins: a second, plain ledger that follows the agreed cuts |
//! | [`cuts`] | agreement, 2 confluence (equal cut, equal S), 12 clock laws, 3 and 4 on global cuts |
//! | [`finals`] | 13: a final payment is in its epoch's cut |
//! | [`states`] | 2 (equal applied set, equal live balances), 7 trie root independent of order |
//!
//! Honest replicas only: any evidence, fork, divergence or loss of the vote is a failure too.

pub mod cuts;
pub mod finals;
pub mod model;
pub mod records;
pub mod states;

use crate::shape::Shape;
use crate::store::Store;
use smt_consensus::archive::{self, StoredHeader};
use smt_consensus::ports::{Column, Reader as _, Write};
use smt_consensus::{Event, Stage};
use smt_types::cut::Decision;
use smt_types::message::{Message, NodeId};
use smt_types::{Bitmap, Canonical, Digest, PaymentId, ReplicaIndex, ShardAddress, SignedPayment, Slot};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

/// A broken invariant: its name and what was seen.
pub type Broken = (&'static str, String);

/// The result of a check.
pub type Check = Result<(), Broken>;

/// Fails with an invariant's name unless a condition holds.
#[macro_export]
macro_rules! hold {
    ($name:expr, $condition:expr, $($text:tt)+) => {
        if !$condition {
            return Err(($name, format!($($text)+)));
        }
    };
}

/// What a step has decided, told when its writes are durable.
#[derive(Clone, Debug)]
pub enum Fact {
    /// A cut was carried out.
    Cut(Box<Decision>),
    /// Its header.
    Header(Box<StoredHeader>),
}

impl Fact {
    /// Whether a store holds its record.
    #[must_use]
    pub fn is_in(&self, store: &Store) -> bool {
        let (column, epoch, bytes) = match self {
            Fact::Cut(decision) => (Column::Cut, decision.value.epoch, decision.to_bytes()),
            Fact::Header(stored) => (Column::OwnHeader, stored.header.epoch, stored.to_bytes()),
        };
        store.get(column, &archive::epoch_key(epoch)) == Some(bytes)
    }
}

/// Facts in a step's writes.
#[must_use]
pub fn facts(writes: &[Write]) -> Vec<Fact> {
    let mut found = Vec::new();
    for write in writes {
        let Some(value) = &write.value else { continue };
        match write.column {
            Column::Cut => found.extend(Decision::from_bytes(value, usize::MAX).ok().map(|d| Fact::Cut(Box::new(d)))),
            Column::OwnHeader => {
                found.extend(StoredHeader::from_bytes(value, usize::MAX).ok().map(|h| Fact::Header(Box::new(h))));
            }
            _ => {}
        }
    }
    found
}

/// A batch as the watch knows it: slots and ids, in order.
pub type KnownBatch = Rc<Vec<(Slot, PaymentId)>>;

/// Everything that is watched.
#[derive(Debug)]
pub struct Watch {
    pub(crate) shape: Arc<Shape>,
    /// All payments ever signed.
    pub(crate) payments: BTreeMap<PaymentId, SignedPayment>,
    /// All batches that have left their gateway.
    pub(crate) batches: BTreeMap<Digest, KnownBatch>,
    /// Their stamps.
    pub(crate) stamps: BTreeMap<Digest, (smt_types::Lamport, smt_types::DenseTime)>,
    /// Votes that are durable, by batch.
    votes: BTreeMap<Digest, BTreeMap<ReplicaIndex, Bitmap>>,
    /// Payments certified anywhere, by slot.
    pub certified: BTreeMap<Slot, PaymentId>,
    /// Payments final by anyone's count.
    pub finals: BTreeSet<PaymentId>,
    /// Slots at which an owner signed two payments.
    pub contested: BTreeSet<Slot>,
    pub(crate) records: records::Records,
    /// The plain ledger that follows the agreed cuts.
    pub model: model::Model,
    pub(crate) cuts: cuts::Cuts,
    pub(crate) applied: finals::Finals,
}

impl Watch {
    /// Nothing seen yet.
    #[must_use]
    pub fn new(shape: Arc<Shape>) -> Watch {
        Watch {
            payments: BTreeMap::new(),
            batches: BTreeMap::new(),
            stamps: BTreeMap::new(),
            votes: BTreeMap::new(),
            certified: BTreeMap::new(),
            finals: BTreeSet::new(),
            contested: BTreeSet::new(),
            records: records::Records::default(),
            model: model::Model::new(&shape),
            cuts: cuts::Cuts::new(&shape),
            applied: finals::Finals::default(),
            shape,
        }
    }

    /// An owner has signed a payment.
    pub fn signed(&mut self, payment: &SignedPayment) {
        self.payments.insert(payment.payment.id(), payment.clone());
    }

    /// A message leaves `from`.
    pub fn leaves(&mut self, from: NodeId, message: &Message, store: &Store) -> Check {
        if let Message::Batch(batch) = message {
            let digest = batch.header.digest();
            if let Entry::Vacant(entry) = self.batches.entry(digest) {
                let items = batch.payments.iter().map(|p| (p.payment.slot(), p.payment.id())).collect();
                entry.insert(Rc::new(items));
                self.stamps.insert(digest, (batch.header.lamport, batch.header.dense));
                self.cuts.batch(from.shard, &batch.header)?;
            }
        }
        self.records.leaves(from, message, store)?;
        match message {
            Message::Vote(vote, _) if vote.replica == from.replica => {
                self.votes.entry(vote.header).or_default().insert(vote.replica, vote.bits.clone());
                Ok(())
            }
            Message::Certificate(certificate) => {
                if let Some(own) = certificate.votes.iter().find(|part| part.replica == from.replica) {
                    self.votes.entry(certificate.header).or_default().insert(own.replica, own.bits.clone());
                }
                Ok(())
            }
            Message::Applied(applied) if applied.replica == from.replica => self.applied_leaves(from, applied, store),
            Message::Report(report) if report.replica == from.replica => self.report_leaves(from, report),
            _ => Ok(()),
        }
    }

    /// A step's facts have become durable.
    pub fn fact(&mut self, node: NodeId, fact: &Fact, store: &Store) -> Check {
        match fact {
            Fact::Cut(decision) => self.cut(node, decision, store),
            Fact::Header(stored) => self.header(node, stored),
        }
    }

    /// An event is told.
    pub fn event(&mut self, node: NodeId, event: &Event, store: &Store) -> Check {
        match event {
            Event::Stages { stage, batch, epoch, payments } => {
                payments.iter().try_for_each(|(id, index)| match stage {
                    Stage::Certified => self.certified(node, *id, batch, *index, store),
                    Stage::Final => {
                        self.finals.insert(*id);
                        self.final_event(node, *id, *epoch)
                    }
                    Stage::Snapshotted => {
                        let known = self.model.joined.get(id);
                        hold!(
                            "13 stages",
                            known == Some(epoch),
                            "{node} says {id} is in cut {epoch}, the cuts say {known:?}"
                        );
                        Ok(())
                    }
                    Stage::Received | Stage::Void => Ok(()),
                })
            }
            Event::Credited { id, payee, amount, epoch } => {
                let known = self.model.credited.get(id).copied();
                let paid = self.payments.get(id).map(|p| (p.payment.payee, p.payment.amount));
                hold!(
                    "6 exactly-once credit",
                    known == Some((node.shard, *epoch)),
                    "{node} credits {id} at {epoch}, the cuts say {known:?}"
                );
                hold!(
                    "6 exactly-once credit",
                    paid == Some((*payee, *amount)),
                    "{node} credits {id} otherwise than it was signed"
                );
                Ok(())
            }
            Event::GlobalCut(cut) => self.global_cut(node, cut),
            Event::SupplyMismatch { got, want, .. } => {
                Err(("3 conservation", format!("{node}: {got} instead of {want}")))
            }
            Event::Evidence(evidence, replica) => Err(convicted(node, evidence.kind(), *replica)),
            Event::NotVoting(reason) => Err(("honest replicas go on", format!("{node}: {reason}"))),
            Event::Forked(reason) => Err(("1 uniqueness", format!("{node} stops its cuts: {reason}"))),
            _ => Ok(()),
        }
    }

    /// A replica holds a payment for certified: q replicas have voted for it, each durably, and it is the only one of its
    /// slot (invariant 1).
    fn certified(&mut self, node: NodeId, id: PaymentId, batch: &Digest, index: u16, store: &Store) -> Check {
        let slot = self.payments.get(&id).map(|p| p.payment.slot());
        let Some(slot) = slot else { return Err(("validity", format!("{id} is certified and nobody signed it"))) };
        if self.certified.get(&slot) == Some(&id) {
            return Ok(());
        }
        let quorum = self.shape.network.committee(node.shard).map_or(usize::MAX, |c| c.quorum());
        let votes = self.votes.entry(*batch).or_default();
        if let Some((_, Some(own))) = archive::batch(store, batch) {
            // Its own vote counts once it is durable, even if it has not left yet.
            votes.insert(node.replica, own.bits);
        }
        let count = votes.values().filter(|bits| bits.get(index)).count();
        hold!(
            "certificate on quorum",
            count >= quorum,
            "{node} holds {id} for certified, {count} replicas voted for it"
        );
        let first = *self.certified.entry(slot).or_insert(id);
        hold!("1 uniqueness", first == id, "{first} and {id} are certified at seq {} of {:?}", slot.seq, slot.payer);
        Ok(())
    }

    /// The place of a shard.
    #[must_use]
    pub fn place(&self, shard: ShardAddress) -> usize {
        usize::try_from(shard.index()).unwrap_or(0)
    }
}

fn convicted(node: NodeId, kind: &str, replica: ReplicaIndex) -> Broken {
    ("no honest replica is convicted", format!("{node} holds {kind} against replica {replica}"))
}
