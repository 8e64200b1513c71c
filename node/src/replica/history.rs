//! The account history: one row per account and payment, in the same durable write as the cut that holds the payment.
//!
//! Key: address ‖ epoch ‖ side (0 out, 1 in) ‖ seq ‖ payment id, numbers big endian, so that key order is time order.

use borsh::{BorshDeserialize, BorshSerialize};
use smt_consensus::{Column, Reader, Write, archive};
use smt_types::credit::Credit;
use smt_types::{Address, Amount, Batch, Canonical, Digest, Epoch, PaymentId, Seq, ShardAddress};
use std::collections::BTreeMap;

/// One payment as one account's history has it.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct HistoryRow {
    /// Whether the account paid.
    pub out: bool,
    /// The payment.
    pub id: PaymentId,
    /// The other side.
    pub counterparty: Address,
    /// Base units.
    pub amount: Amount,
    /// The payer's seq.
    pub seq: Seq,
    /// Epoch of the account's shard.
    pub epoch: Epoch,
    /// The memo; empty on the payee's side of a payment between shards, whose credits carry none.
    pub memo: Vec<u8>,
}

/// Longest stored row, bytes.
pub const MAX_ROW_BYTES: usize = 512;

/// Key of a row.
#[must_use]
pub fn key(address: &Address, row: &HistoryRow) -> Vec<u8> {
    let mut key = address.0.to_vec();
    key.extend(row.epoch.0.to_be_bytes());
    key.push(u8::from(!row.out));
    key.extend(row.seq.0.to_be_bytes());
    key.extend(row.id.0.0);
    key
}

/// The rows that follow from `writes`: payments joining a cut and credits consumed by one.
#[must_use]
pub fn rows(shard: ShardAddress, writes: &[Write], reader: &dyn Reader) -> Vec<Write> {
    let mut out = Vec::new();
    // A cut lists payments batch by batch and in payer order: every batch is decoded once, whatever the order.
    let mut batches: BTreeMap<Digest, Option<Batch>> = BTreeMap::new();
    for write in writes {
        let Some(value) = &write.value else { continue };
        match write.column {
            Column::Payment => {
                let Ok((digest, index, epoch)) = <(Digest, u16, Epoch)>::from_bytes(value, 64) else { continue };
                let decoded =
                    batches.entry(digest).or_insert_with(|| archive::batch(reader, &digest).map(|(batch, _)| batch));
                let Some(batch) = decoded else { continue };
                let Some(signed) = batch.payments.get(usize::from(index)) else { continue };
                let payment = &signed.payment;
                let payer = payment.payer.address();
                let row = HistoryRow {
                    out: true,
                    id: payment.id(),
                    counterparty: payment.payee,
                    amount: payment.amount,
                    seq: payment.seq,
                    epoch,
                    memo: payment.memo.to_vec(),
                };
                out.push(archive::put(Column::History, key(&payer, &row), &row));
                if shard.contains(&payment.payee) {
                    let row = HistoryRow { out: false, counterparty: payer, ..row };
                    out.push(archive::put(Column::History, key(&payment.payee, &row), &row));
                }
            }
            Column::Credited => {
                let Ok((source, number, epoch)) = <(ShardAddress, u64, Epoch)>::from_bytes(value, 64) else { continue };
                let stored = reader.get(Column::Inbox, &archive::shard_number_key(source, number));
                let Some(credit) = stored.and_then(|bytes| Credit::from_bytes(&bytes, 512).ok()) else { continue };
                let row = HistoryRow {
                    out: false,
                    id: credit.payment,
                    counterparty: credit.payer,
                    amount: credit.amount,
                    seq: credit.seq,
                    epoch,
                    memo: Vec::new(),
                };
                out.push(archive::put(Column::History, key(&credit.payee, &row), &row));
            }
            _ => {}
        }
    }
    out
}
