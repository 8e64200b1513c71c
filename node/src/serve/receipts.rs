//! Receipts of final payments, many at a time: a batch and its applied records are read once, whatever the number of payments
//! asked for.

use super::local::{Local, RECEIPTS};
use crate::rpc::error::{ErrorKind, RpcError};
use crate::rpc::schema::ByIds;
use crate::rpc::wire::HexBytes;
use smt_consensus::archive;
use smt_types::batch::{Batch, BatchTree};
use smt_types::receipt::{AppliedPart, MAX_RECEIPT_BYTES, Receipt};
use smt_types::vote::Applied;
use smt_types::{Bounded, Canonical, Digest, Epoch, PaymentId, SignedPayment, Slot};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Longest wait for another replica's receipts.
const NEAR_WAIT: Duration = Duration::from_secs(1);

/// Ids asked of another replica at one time: their receipts fit one answer.
const NEAR_MAX: usize = 256;

/// A payment whose receipt is wanted. With its slot it is found without looking through the live window.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub(crate) id: PaymentId,
    pub(crate) slot: Option<Slot>,
}

/// A stored batch with what its receipts are made of.
pub(crate) struct BatchRecord {
    pub(crate) batch: Batch,
    applied: Vec<Applied>,
    /// Computed for the first receipt.
    tree: Option<BatchTree>,
}

impl BatchRecord {
    /// The records of `index` that make the receipt with the earliest epoch, by replica; none if a quorum is missing.
    fn parts(&self, index: u16, quorum: usize) -> Option<Vec<&Applied>> {
        let mut parts: Vec<&Applied> = self.applied.iter().filter(|applied| applied.bits.get(index)).collect();
        // Of more than q signatures those with the smallest open epochs: the receipt names the earliest epoch it can.
        parts.sort_by_key(|part| (part.open_epoch, part.replica));
        parts.truncate(quorum);
        if parts.len() < quorum {
            return None;
        }
        parts.sort_by_key(|part| part.replica);
        Some(parts)
    }

    /// The epoch that the payment at `index` is final in.
    pub(crate) fn final_epoch(&self, index: u16, quorum: usize) -> Option<Epoch> {
        self.parts(index, quorum)?.iter().map(|part| part.open_epoch).max()
    }

    fn receipt(&mut self, index: u16, quorum: usize) -> Option<Receipt> {
        let payment = self.batch.payments.get(usize::from(index))?.clone();
        if self.tree.is_none() {
            self.tree = BatchTree::of(self.batch.payments.iter().map(SignedPayment::leaf).collect());
        }
        let path = self.tree.as_ref()?.path(index)?;
        let parts = self.parts(index, quorum)?.into_iter().map(|applied| AppliedPart {
            replica: applied.replica,
            bits: applied.bits.clone(),
            open_epoch: applied.open_epoch,
            signature: applied.signature,
        });
        let applied = Bounded::truncated(parts.collect());
        Some(Receipt { header: self.batch.header.clone(), payment, path, applied })
    }
}

/// Batches read for one call, each once.
#[derive(Default)]
pub(crate) struct Batches(BTreeMap<Digest, Option<BatchRecord>>);

impl Batches {
    /// A stored batch, if this replica has it.
    pub(crate) fn get(&mut self, local: &Local, digest: &Digest) -> Option<&mut BatchRecord> {
        let read = || {
            let reader = local.committed();
            let (batch, _) = archive::batch(&reader, digest)?;
            Some(BatchRecord { batch, applied: archive::applied(&reader, digest), tree: None })
        };
        self.0.entry(*digest).or_insert_with(read).as_mut()
    }
}

fn unknown(id: &PaymentId) -> RpcError {
    RpcError::new(ErrorKind::UnknownTransaction, format!("no payment {id} is known here"))
}

fn not_yet(id: &PaymentId) -> RpcError {
    RpcError::new(ErrorKind::NotYet, format!("payment {id} is not final yet"))
}

impl Local {
    /// Where payments of this shard stand in a batch: in a cut, or live. The outer option: whether a payment is known at all.
    async fn places_of(&self, wanted: &[Wanted]) -> Result<Vec<Option<Option<(Digest, u16)>>>, RpcError> {
        let reader = self.committed();
        let mut places: Vec<Option<Option<(Digest, u16)>>> = wanted
            .iter()
            .map(|wish| archive::payment(&reader, &wish.id).map(|(digest, index, _)| Some((digest, index))))
            .collect();
        let open: Vec<Wanted> = places.iter().zip(wanted).filter(|(p, _)| p.is_none()).map(|(_, w)| *w).collect();
        if open.is_empty() {
            return Ok(places);
        }
        let found = self.handle.ask(move |replica, disk| {
            let blind: BTreeSet<PaymentId> = open.iter().filter(|w| w.slot.is_none()).map(|w| w.id).collect();
            let mut seen = if blind.is_empty() { BTreeMap::new() } else { replica.find_payments(&blind) };
            let place = |wish: &Wanted| {
                let live = match &wish.slot {
                    Some(slot) => replica.payment_place(&wish.id, slot).map(Some),
                    None => seen.remove(&wish.id).map(|(_, place)| place),
                };
                // A cut may have taken it out of the live state since the look above.
                let joined = || replica.joined(disk, &wish.id).map(|(digest, index, _)| Some((digest, index)));
                live.or_else(joined)
            };
            open.iter().map(place).collect::<Vec<_>>()
        });
        let mut found = found.await?.into_iter();
        for place in places.iter_mut().filter(|place| place.is_none()) {
            *place = found.next().flatten();
        }
        Ok(places)
    }

    /// Receipts of payments of this shard, from this replica's own records.
    pub(crate) async fn receipts(&self, wanted: &[Wanted]) -> Vec<Result<Receipt, RpcError>> {
        let places = match self.places_of(wanted).await {
            Ok(places) => places,
            Err(error) => return wanted.iter().map(|_| Err(error.clone())).collect(),
        };
        let quorum = self.quorum();
        let mut batches = Batches::default();
        let each = wanted.iter().zip(places).map(|(Wanted { id, .. }, place)| {
            let (digest, index) = place.ok_or_else(|| unknown(id))?.ok_or_else(|| not_yet(id))?;
            let record = batches.get(self, &digest).ok_or_else(|| not_yet(id))?;
            record.receipt(index, quorum).ok_or_else(|| not_yet(id))
        });
        // Reads and hashes: a thousand receipts are some milliseconds.
        tokio::task::block_in_place(|| each.collect())
    }

    /// Receipts of final payments; where this replica lacks signatures, because it was down when they were sent, from other
    /// replicas of the shard.
    pub(crate) async fn receipts_here_or_near(&self, wanted: &[Wanted]) -> Vec<Result<Receipt, RpcError>> {
        let mut receipts = self.receipts(wanted).await;
        let places = self.view.places.all();
        for (place, _) in places.into_iter().filter(|(place, _)| place.shard == self.handle.node().shard) {
            let is_lacking = |receipt: &Result<Receipt, RpcError>| {
                receipt.as_ref().is_err_and(|error| error.kind == ErrorKind::NotYet)
            };
            let lacking: Vec<usize> =
                (0..receipts.len()).filter(|at| receipts.get(*at).is_some_and(is_lacking)).collect();
            if lacking.is_empty() {
                break;
            }
            for part in lacking.chunks(NEAR_MAX) {
                let ids = part.iter().filter_map(|at| wanted.get(*at)).map(|wish| wish.id.into()).collect();
                let asked = self.ask_replica(place, RECEIPTS, &ByIds { ids }, NEAR_WAIT).await;
                let Ok(found) = asked as Result<Vec<Option<HexBytes>>, RpcError> else { break };
                for (at, bytes) in part.iter().zip(found) {
                    let receipt = bytes.and_then(|bytes| Receipt::from_bytes(&bytes.0, MAX_RECEIPT_BYTES).ok());
                    // A replica of our own committee, but still somebody else: at least it is the payment asked for.
                    let asked = wanted.get(*at).map(|wish| wish.id);
                    let receipt = receipt.filter(|receipt| Some(receipt.payment.payment.id()) == asked);
                    if let (Some(receipt), Some(slot)) = (receipt, receipts.get_mut(*at)) {
                        *slot = Ok(receipt);
                    }
                }
            }
        }
        receipts
    }

    /// The receipt of one payment, here or near.
    pub(crate) async fn receipt_of(&self, id: &PaymentId) -> Result<Receipt, RpcError> {
        let receipts = self.receipts_here_or_near(&[Wanted { id: *id, slot: None }]).await;
        receipts.into_iter().next().unwrap_or_else(|| Err(unknown(id)))
    }
}
