//! Account histories, read back: rows say where a payment is kept, the payment itself is in its batch or outbox.

use smt_consensus::Reader;
use smt_consensus::archive::{self, HistoryRow};
use smt_types::{Address, Amount, Batch, Canonical, Digest, Epoch, PaymentId, Seq};
use std::collections::BTreeMap;

/// One payment as one account's history has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryEntry {
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
const MAX_ROW_BYTES: usize = 64;

/// Reads entries, each batch once however many of its payments are asked for.
pub struct HistoryReader<'a> {
    reader: &'a dyn Reader,
    batches: BTreeMap<Digest, Option<Batch>>,
}

impl<'a> HistoryReader<'a> {
    /// Over the records of `reader`.
    #[must_use]
    pub fn new(reader: &'a dyn Reader) -> HistoryReader<'a> {
        HistoryReader { reader, batches: BTreeMap::new() }
    }

    /// The entry of a row; `None` if the row or what it points to is damaged.
    pub fn entry(&mut self, key: &[u8], value: &[u8]) -> Option<HistoryEntry> {
        let (epoch, out, _) = archive::read_history_key(key)?;
        match HistoryRow::from_bytes(value, MAX_ROW_BYTES).ok()? {
            HistoryRow::Payment(digest, index) => {
                let reader = self.reader;
                let read = || archive::batch(reader, &digest).map(|(batch, _)| batch);
                let batch = self.batches.entry(digest).or_insert_with(read).as_ref()?;
                let payment = &batch.payments.get(usize::from(index))?.payment;
                let counterparty = if out { payment.payee } else { payment.payer.address() };
                Some(HistoryEntry {
                    out,
                    id: payment.id(),
                    counterparty,
                    amount: payment.amount,
                    seq: payment.seq,
                    epoch,
                    memo: payment.memo.to_vec(),
                })
            }
            HistoryRow::Credit(source, number) => {
                let credit = archive::credit(self.reader, source, number)?;
                Some(HistoryEntry {
                    out: false,
                    id: credit.payment,
                    counterparty: credit.payer,
                    amount: credit.amount,
                    seq: credit.seq,
                    epoch,
                    memo: Vec::new(),
                })
            }
        }
    }
}
