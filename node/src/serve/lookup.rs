//! Payments of this shard by id, as far as this replica knows: one question to the core and one reading of each batch a call.

use super::convert::{self, hex32};
use super::local::Local;
use super::receipts::Batches;
use crate::rpc::error::{ErrorKind, RpcError};
use crate::rpc::schema::{self, Stage};
use crate::rpc::wire::Decimal;
use smt_consensus::archive;
use smt_types::{Digest, Epoch, PaymentId, SignedPayment};
use std::collections::{BTreeMap, BTreeSet};

/// What is known of one payment.
enum Known {
    /// In a decided cut.
    Joined((Digest, u16, Epoch)),
    /// In the queue or in a live batch.
    Live(Box<SignedPayment>, Option<(Digest, u16)>, Stage),
}

impl Local {
    /// One payment of this shard.
    pub(crate) async fn transaction(&self, id: &PaymentId) -> Result<schema::Transaction, RpcError> {
        let found = self.transactions(&[*id]).await?.into_iter().next().flatten();
        found.ok_or_else(|| RpcError::new(ErrorKind::UnknownTransaction, format!("no payment {id} is known")))
    }

    /// Payments of this shard, in the order of `ids`; none where this replica does not know one.
    pub(crate) async fn transactions(&self, ids: &[PaymentId]) -> Result<Vec<Option<schema::Transaction>>, RpcError> {
        let reader = self.committed();
        let mut known: BTreeMap<PaymentId, Known> = ids
            .iter()
            .filter_map(|id| archive::payment(&reader, id).map(|place| (*id, Known::Joined(place))))
            .collect();
        let open: BTreeSet<PaymentId> = ids.iter().filter(|id| !known.contains_key(id)).copied().collect();
        if !open.is_empty() {
            let found = self.handle.ask(move |replica, disk| {
                let mut live = replica.find_payments(&open);
                let each = open.into_iter().filter_map(|id| {
                    // In a cut whose rows are not written yet: its batch may be live still.
                    if let Some(place) = replica.joined_unindexed(&id) {
                        return Some((id, Known::Joined(place)));
                    }
                    let Some((signed, place)) = live.remove(&id) else {
                        // A cut may have taken it out of the live state since the look above.
                        return archive::payment(disk, &id).map(|place| (id, Known::Joined(place)));
                    };
                    let stage = replica.stage(disk, &signed.payment.slot(), &id)?;
                    Some((id, Known::Live(Box::new(signed), place, convert::core_stage(stage))))
                });
                each.collect::<Vec<_>>()
            });
            known.extend(found.await?);
        }
        let (mut batches, mut certified) = (Batches::default(), BTreeMap::new());
        let each = ids.iter().map(|id| self.record(id, known.get(id)?, &mut batches, &mut certified));
        Ok(tokio::task::block_in_place(|| each.collect()))
    }

    fn record(
        &self,
        id: &PaymentId,
        known: &Known,
        batches: &mut Batches,
        certified: &mut BTreeMap<Epoch, bool>,
    ) -> Option<schema::Transaction> {
        let (signed, place, stage, joined) = match known {
            Known::Live(signed, place, stage) => (signed.as_ref().clone(), *place, *stage, None),
            Known::Joined((digest, index, epoch)) => {
                let batch = &batches.get(self, digest)?.batch;
                let signed = batch.payments.get(usize::from(*index))?.clone();
                let here = self.handle.node().shard;
                let read = || archive::header(&self.committed(), here, *epoch).is_some();
                let certified = *certified.entry(*epoch).or_insert_with(read);
                let stage = if certified { Stage::Snapshotted } else { Stage::Final };
                (signed, Some((*digest, *index)), stage, Some(*epoch))
            }
        };
        let record = place.and_then(|(digest, index)| Some((digest, index, batches.get(self, &digest)?)));
        let is_final = convert::rank(stage) >= convert::rank(Stage::Final);
        let batch = record.as_ref().map(|(digest, index, record)| schema::BatchPosition {
            header: hex32(digest),
            gateway: record.batch.header.gateway.0,
            number: Decimal(record.batch.header.number.0),
            index: u32::from(*index),
        });
        let quorum = self.quorum();
        let shown = || record.filter(|_| is_final).and_then(|(_, index, record)| record.final_epoch(index, quorum));
        let epoch = joined.or_else(shown);
        let level = self.view.genesis.level;
        let payment = &signed.payment;
        let local_payee = payment.payee.shard(level) == self.handle.node().shard;
        Some(schema::Transaction {
            id: (*id).into(),
            payment: convert::payment_fields(&signed, self.view.hrp()),
            stage,
            shard: payment.payer.address().shard(level).into(),
            payee_shard: payment.payee.shard(level).into(),
            reason: None,
            batch,
            epoch: epoch.map(|epoch| Decimal(epoch.0)),
            credited_epoch: joined.filter(|_| local_payee).map(|epoch| Decimal(epoch.0)),
        })
    }
}
