//! Taking a payment at its home shard and following it.

use super::convert::{rank, reject, stage_of};
use super::local::RECEIPT;
use super::local::{Local, WaitCredited};
use crate::replica::hub::{Progress, Watch};
use crate::rpc::error::{ErrorKind, RpcError};
use crate::rpc::schema::{ById, ReceiptReply, Stage, Submitted, WaitFor};
use crate::rpc::wire::{Decimal, HexBytes};
use smt_consensus::verify::Refused;
use smt_consensus::{Reject, archive};
use smt_types::batch::BatchPath;
use smt_types::receipt::{AppliedPart, MAX_RECEIPT_BYTES, Receipt};
use smt_types::{Bounded, Canonical, Digest, Epoch, PaymentId, SignedPayment, Slot};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Longest wait for a receipt of a payment that a cut already holds, and how often it is looked for.
const RECEIPT_WAIT: Duration = Duration::from_secs(1);
const RECEIPT_LOOK: Duration = Duration::from_millis(50);

impl Local {
    /// Submits a payment whose home is this shard and waits for a stage of the payer's side (`credited` is the caller's).
    pub(crate) async fn submit_here(
        &self,
        signed: SignedPayment,
        wait: WaitFor,
        patience: Duration,
    ) -> Result<Submitted, RpcError> {
        let deadline = after(patience);
        let (id, slot) = (signed.payment.id(), signed.payment.slot());
        let checked = tokio::task::block_in_place(|| self.handle.gate.payment(signed.clone()));
        let verified = checked.map_err(|refused| match refused {
            Refused::Signature(_) => RpcError::new(ErrorKind::BadSignature, "the payer's signature does not verify"),
            other => RpcError::new(ErrorKind::Internal, other.to_string()),
        })?;
        // Watching begins before the payment goes in, so that no stage is missed.
        let progress = self.handle.hub.watch(id);
        let admitted = self.handle.submit(verified).await?;
        let mut stage = match admitted {
            Ok(stage) => super::convert::core_stage(stage),
            Err(refused) => return Err(self.explain(&slot, &id, refused).await),
        };
        let wanted = rank(stage_of(wait)).min(rank(Stage::Snapshotted));
        let mut epoch = None;
        if rank(stage) < wanted {
            (stage, epoch) = self.follow(progress, stage, wanted, deadline).await?;
        }
        self.submitted(id, slot, stage, epoch, deadline).await
    }

    /// Reads progress until `wanted` or the deadline.
    async fn follow(
        &self,
        mut progress: Watch,
        mut stage: Stage,
        wanted: u8,
        deadline: Instant,
    ) -> Result<(Stage, Option<Epoch>), RpcError> {
        let mut epoch = None;
        while rank(stage) < wanted {
            match timeout_at(deadline, progress.recv()).await {
                Ok(Some(Progress::Reached { stage: reached, epoch: at })) => {
                    if rank(reached) > rank(stage) {
                        stage = reached;
                        epoch = at.or(epoch);
                    }
                }
                Ok(Some(Progress::GaveUp(refused))) => return Err(self.gave_up(&refused).at_stage(stage)),
                Ok(None) => {
                    return Err(RpcError::new(ErrorKind::ShardUnavailable, "the replica has stopped").at_stage(stage));
                }
                Err(_) => return Err(self.too_late(stage)),
            }
        }
        Ok((stage, epoch))
    }

    fn gave_up(&self, refused: &Reject) -> RpcError {
        if matches!(refused, Reject::Expired { .. }) && !self.has_quorum() {
            return self.no_quorum();
        }
        reject(refused)
    }

    fn too_late(&self, stage: Stage) -> RpcError {
        if !self.has_quorum() {
            return self.no_quorum().at_stage(stage);
        }
        RpcError::new(ErrorKind::Timeout, "the wanted stage was not reached in time; the payment goes on")
            .at_stage(stage)
    }

    /// Whether enough replicas of the shard are connected to make a quorum with this one.
    pub(crate) fn has_quorum(&self) -> bool {
        self.reachable() >= self.quorum()
    }

    fn no_quorum(&self) -> RpcError {
        let (have, want) = (self.reachable(), self.quorum());
        let shard = self.handle.node().shard;
        let text = format!(
            "{have} of the {want} replicas of shard {shard} that make a quorum are reachable; the same bytes may be sent again"
        );
        RpcError::new(ErrorKind::ShardUnavailable, text)
    }

    /// A refusal for a used slot, with the payment that used it where that is known.
    async fn explain(&self, slot: &Slot, id: &PaymentId, refused: Reject) -> RpcError {
        let Reject::SeqTooLow { next, .. } = &refused else { return reject(&refused) };
        let next = *next;
        let asked = *slot;
        let held = self.handle.ask(move |replica, _| replica.holder(&asked)).await.ok().flatten();
        let used = held.or_else(|| self.payer_row(slot).map(|row| row.id)).filter(|used| used != id);
        match used {
            Some(used) => {
                let text = format!("seq {} was used by payment {used}; the next is {next}", slot.seq);
                RpcError::new(ErrorKind::SeqUsed, text).with("used_by", used).with("next_seq", next)
            }
            None => reject(&refused),
        }
    }

    async fn submitted(
        &self,
        id: PaymentId,
        slot: Slot,
        stage: Stage,
        epoch: Option<Epoch>,
        deadline: Instant,
    ) -> Result<Submitted, RpcError> {
        let mut reply = Submitted {
            id: id.into(),
            stage,
            shard: slot.payer.shard(self.view.genesis.level).into(),
            epoch: epoch.map(|epoch| Decimal(epoch.0)),
            receipt: None,
        };
        if rank(stage) >= rank(Stage::Final) {
            // A cut can be decided before the last signature of the receipt is here.
            let enough = deadline.min(after(RECEIPT_WAIT));
            let found = loop {
                match self.receipt_here_or_near(&id).await {
                    Err(error) if error.kind == ErrorKind::NotYet && Instant::now() < enough => {
                        tokio::time::sleep(RECEIPT_LOOK).await;
                    }
                    found => break found,
                }
            };
            if let Ok(receipt) = found {
                let final_epoch = receipt.applied.iter().map(|part| part.open_epoch).max();
                reply.epoch = reply.epoch.or(final_epoch.map(|epoch| Decimal(epoch.0)));
                reply.receipt = Some(HexBytes(receipt.to_bytes()));
            }
        }
        Ok(reply)
    }

    /// Where a payment of this shard stands in a batch: in a cut, or live.
    pub(crate) async fn place_of(&self, id: &PaymentId) -> Result<Option<(Digest, u16)>, RpcError> {
        let reader = self.committed();
        if let Some((digest, index, _)) = archive::payment(&reader, id) {
            return Ok(Some((digest, index)));
        }
        let id = *id;
        let found = self.handle.ask(move |replica, disk| match replica.find_payment(&id) {
            Some((_, place)) => place,
            // A cut may have taken it out of the live state since the look above.
            None => archive::payment(disk, &id).map(|(digest, index, _)| (digest, index)),
        });
        Ok(found.await?)
    }

    /// The receipt of a final payment, and the epoch it is final in.
    pub(crate) async fn receipt_of(&self, id: &PaymentId) -> Result<(Receipt, Epoch), RpcError> {
        let unknown = || RpcError::new(ErrorKind::UnknownTransaction, format!("no payment {id} is known here"));
        let not_yet = || RpcError::new(ErrorKind::NotYet, format!("payment {id} is not final yet"));
        let (digest, index) = self.place_of(id).await?.ok_or_else(unknown)?;
        let reader = self.committed();
        let (batch, _) = archive::batch(&reader, &digest).ok_or_else(not_yet)?;
        let payment = batch.payments.get(usize::from(index)).ok_or_else(unknown)?.clone();
        let leaves: Vec<Digest> = batch.payments.iter().map(SignedPayment::leaf).collect();
        let path = BatchPath::of(&leaves, index).ok_or_else(unknown)?;
        let mut parts: Vec<AppliedPart> = archive::applied(&reader, &digest)
            .into_iter()
            .filter(|applied| applied.bits.get(index))
            .map(|a| AppliedPart { replica: a.replica, bits: a.bits, open_epoch: a.open_epoch, signature: a.signature })
            .collect();
        let quorum = self.quorum();
        // Of more than q signatures those with the smallest open epochs: the receipt names the earliest epoch it can.
        parts.sort_by_key(|part| (part.open_epoch, part.replica));
        parts.truncate(quorum);
        if parts.len() < quorum {
            return Err(not_yet());
        }
        let epoch = parts.iter().map(|part| part.open_epoch).max().unwrap_or_default();
        parts.sort_by_key(|part| part.replica);
        Ok((Receipt { header: batch.header, payment, path, applied: Bounded::truncated(parts) }, epoch))
    }

    /// The receipt of a final payment; where this replica lacks signatures, because it was down when they were sent, from
    /// another replica of the shard.
    pub(crate) async fn receipt_here_or_near(&self, id: &PaymentId) -> Result<Receipt, RpcError> {
        let lacking = match self.receipt_of(id).await {
            Ok((receipt, _)) => return Ok(receipt),
            Err(error) if error.kind == ErrorKind::NotYet => error,
            Err(error) => return Err(error),
        };
        for place in self.view.peers.keys().filter(|place| place.shard == self.handle.node().shard) {
            let params = ById { id: (*id).into() };
            let Ok(reply) = self.ask_replica::<_, ReceiptReply>(*place, RECEIPT, &params, RECEIPT_WAIT).await else {
                continue;
            };
            if let Ok(receipt) = Receipt::from_bytes(&reply.receipt.0, MAX_RECEIPT_BYTES) {
                return Ok(receipt);
            }
        }
        Err(lacking)
    }

    /// Waits until a payment to an account of this shard is credited: the epoch that did it.
    pub(crate) async fn wait_credited(&self, wish: &WaitCredited) -> Result<Epoch, RpcError> {
        let id: PaymentId = wish.id.into();
        let deadline = after(Duration::from_millis(u64::from(wish.timeout_ms)));
        let mut progress = self.handle.hub.watch(id);
        loop {
            if let Some(epoch) = self.credited_epoch(&id) {
                return Ok(epoch);
            }
            // Looked at again at times, because a credit may be consumed by a cut caught up on rather than announced.
            let again = after(Duration::from_millis(250));
            if again > deadline {
                return Err(self.too_late(Stage::Snapshotted));
            }
            drop(timeout_at(again, progress.recv()).await);
        }
    }
}

/// The instant in `wait` from now.
pub(crate) fn after(wait: Duration) -> Instant {
    let now = Instant::now();
    // Only a wait of centuries does not fit.
    now.checked_add(wait).unwrap_or(now)
}
