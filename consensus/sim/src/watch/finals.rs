//! Invariant 13: a final payment is in its epoch's cut.
//!
//! Counted here from the applied records that have left their signers, whoever has seen them: once q replicas have signed
//! a payment as applied, it must be in the cut of the largest open epoch among the q smallest.

use crate::hold;
use crate::store::Store;
use crate::watch::{Check, Watch};
use smt_types::message::NodeId;
use smt_types::vote::Applied;
use smt_types::{Bitmap, Digest, Epoch, PaymentId, ReplicaIndex, ShardAddress};
use std::collections::BTreeMap;

const NAME: &str = "13 a final payment is in its epoch's cut";

/// Applied records by payment.
#[derive(Debug, Default)]
pub struct Finals {
    /// Bits already counted.
    seen: BTreeMap<(NodeId, Digest), Bitmap>,
    /// Per payment the smallest open epoch each replica has signed it under.
    signed: BTreeMap<PaymentId, BTreeMap<ReplicaIndex, Epoch>>,
    /// Payments whose epoch's cut is not agreed yet.
    due: BTreeMap<(ShardAddress, Epoch), Vec<PaymentId>>,
}

impl Watch {
    pub(super) fn applied_leaves(&mut self, from: NodeId, applied: &Applied, store: &Store) -> Check {
        let Some(batch) = self.batches.get(&applied.header).cloned() else {
            return Err(("validity", format!("{from} has applied a batch that nobody sent")));
        };
        let quorum = self.shape.network.committee(from.shard).map_or(usize::MAX, |c| c.quorum());
        let before = self.applied.seen.insert((from, applied.header), applied.bits.clone());
        for index in applied.bits.iter().filter(|index| before.as_ref().is_none_or(|b| !b.get(*index))) {
            let (_, id) = batch[usize::from(index)];
            self.certified(from, id, &applied.header, index, store)?;
            let signers = self.applied.signed.entry(id).or_default();
            let open = signers.entry(applied.replica).or_insert(applied.open_epoch);
            *open = (*open).min(applied.open_epoch);
            let mut epochs: Vec<Epoch> = signers.values().copied().collect();
            epochs.sort_unstable();
            let Some(epoch) = epochs.get(quorum - 1).copied() else { continue };
            self.finals.insert(id);
            if self.model.epoch(from.shard) >= epoch {
                self.is_joined(from.shard, id, epoch)?;
            } else {
                self.applied.due.entry((from.shard, epoch)).or_default().push(id);
            }
        }
        Ok(())
    }

    /// A replica's own count of a final payment.
    pub(super) fn final_event(&mut self, node: NodeId, id: PaymentId, epoch: Epoch) -> Check {
        if self.model.epoch(node.shard) >= epoch {
            return self.is_joined(node.shard, id, epoch);
        }
        self.applied.due.entry((node.shard, epoch)).or_default().push(id);
        Ok(())
    }

    /// The cut of `epoch` is agreed.
    pub(super) fn finals_of(&mut self, shard: ShardAddress, epoch: Epoch) -> Check {
        let due = self.applied.due.remove(&(shard, epoch)).unwrap_or_default();
        due.into_iter().try_for_each(|id| self.is_joined(shard, id, epoch))
    }

    fn is_joined(&self, shard: ShardAddress, id: PaymentId, epoch: Epoch) -> Check {
        let joined = self.model.joined.get(&id).copied();
        let signers = self.applied.signed.get(&id);
        hold!(
            NAME,
            joined.is_some_and(|at| at <= epoch),
            "{id} of {shard} is final for {epoch} by {signers:?} and in cut {joined:?}"
        );
        Ok(())
    }
}
