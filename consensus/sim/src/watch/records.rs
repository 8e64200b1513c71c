//! Invariant 5: nothing signed leaves before its record is durable, and after any crash the same slot is answered with the
//! same bytes. Slots: vote (gateway, number), applied (header, bits), report (epoch, view), cut vote (epoch, view, phase),
//! view change (epoch, view), header (epoch), batch (number).

use crate::hold;
use crate::store::Store;
use crate::watch::Check;
use smt_consensus::archive::{self, StoredHeader};
use smt_consensus::ports::Column;
use smt_types::cut::Phase;
use smt_types::message::{Message, NodeId};
use smt_types::vote::{Applied, Vote};
use smt_types::{BatchNumber, Bitmap, Canonical, Digest, Epoch, ReplicaIndex, View};
use std::collections::BTreeMap;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Slot {
    Vote(ReplicaIndex, BatchNumber),
    Applied(Digest, Bitmap),
    Report(Epoch, View),
    CutVote(Epoch, View, Phase),
    ViewChange(Epoch, View),
    Header(Epoch),
    Batch(BatchNumber),
}

const NAME: &str = "5 durable before it leaves";
const SAME: &str = "5 same slot, same bytes";

/// What each replica has let out.
#[derive(Debug, Default)]
pub struct Records {
    left: BTreeMap<(NodeId, Slot), Digest>,
}

impl Records {
    fn once(&mut self, from: NodeId, slot: Slot, digest: Digest) -> Check {
        let first = *self.left.entry((from, slot.clone())).or_insert(digest);
        hold!(SAME, first == digest, "{from} answers {slot:?} with {digest} after {first}");
        Ok(())
    }

    fn vote(&mut self, from: NodeId, vote: &Vote, store: &Store) -> Check {
        let stored = store.durable(Column::Batch, &vote.header.0);
        let held = stored.is_some_and(|bytes| bytes.ends_with(&vote.to_bytes()));
        hold!(NAME, held, "{from} sends a vote on batch {}/{} that a crash would lose", vote.gateway, vote.number);
        self.once(from, Slot::Vote(vote.gateway, vote.number), vote.digest())
    }

    /// Checks every record in `message` that its sender has signed.
    pub fn leaves(&mut self, from: NodeId, message: &Message, store: &Store) -> Check {
        let me = from.replica;
        match message {
            Message::Batch(batch) if batch.header.gateway == me => {
                let digest = batch.header.digest();
                let held =
                    store.durable(Column::Batch, &digest.0).is_some_and(|bytes| bytes.starts_with(&batch.to_bytes()));
                let header = &batch.header;
                hold!(NAME, held, "{from} sends its batch {} that a crash would lose", header.number);
                self.once(from, Slot::Batch(header.number), digest)
            }
            Message::Vote(vote, _) if vote.replica == me => self.vote(from, vote, store),
            Message::Certificate(certificate) => {
                let own = certificate.votes().find(|vote| vote.replica == me);
                own.map_or(Ok(()), |vote| self.vote(from, &vote, store))
            }
            Message::Applied(applied) if applied.replica == me => {
                let stored = store.durable(Column::Applied, &archive::applied_key(&applied.header, me));
                let stored = stored.and_then(|bytes| Applied::from_bytes(bytes, usize::MAX).ok());
                let held = stored.is_some_and(|record| applied.bits.is_subset(&record.bits));
                hold!(NAME, held, "{from} sends an applied record for {} that a crash would lose", applied.header);
                self.once(from, Slot::Applied(applied.header, applied.bits.clone()), applied.digest())
            }
            Message::Report(report) if report.replica == me => {
                let held = store.durable(Column::Report, &archive::view_key(report.epoch, report.view))
                    == Some(&report.to_bytes());
                hold!(NAME, held, "{from} sends a report for {}/{} that a crash would lose", report.epoch, report.view);
                self.once(from, Slot::Report(report.epoch, report.view), report.digest())
            }
            Message::CutVote(vote) if vote.replica == me => {
                let key = archive::phase_key(vote.epoch, vote.view, vote.phase);
                let held = store.durable(Column::CutVote, &key) == Some(&vote.to_bytes());
                hold!(NAME, held, "{from} sends a cut vote for {}/{} that a crash would lose", vote.epoch, vote.view);
                self.once(from, Slot::CutVote(vote.epoch, vote.view, vote.phase), vote.digest())
            }
            Message::ViewChange(change, _) if change.replica == me => {
                let held = store.durable(Column::ViewChange, &archive::view_key(change.epoch, change.view))
                    == Some(&change.to_bytes());
                hold!(
                    NAME,
                    held,
                    "{from} sends a view change to {}/{} that a crash would lose",
                    change.epoch,
                    change.view
                );
                self.once(from, Slot::ViewChange(change.epoch, change.view), change.digest())
            }
            Message::HeaderSignature(signed) if signed.signature.replica == me => {
                let epoch = signed.header.epoch;
                let stored = store.durable(Column::OwnHeader, &archive::epoch_key(epoch));
                let stored =
                    stored.and_then(|bytes| StoredHeader::from_bytes(bytes, usize::MAX).ok()).and_then(|s| s.signed);
                hold!(
                    NAME,
                    stored.as_ref() == Some(&**signed),
                    "{from} sends a header signature of {epoch} that a crash would lose"
                );
                self.once(from, Slot::Header(epoch), signed.header.digest())
            }
            _ => Ok(()),
        }
    }
}
