//! The index: rows that lead from a payment's id, and from its payer and payee, to the place where it is kept.
//!
//! Nothing in a cut depends on them, and they are three or more for each of its payments: written with the cut they would hold
//! up everything behind it. So a cut writes one row that says which payments it owes rows for ([`Owed`]), and a timer writes
//! those rows afterwards, a slice of the key space at a time; the last slice deletes the debt. A start finds the debts of
//! before and pays them. Until then look-ups by id are answered from memory.

use crate::archive::{self, HistoryRow};
use crate::ports::{Column, Ledger, Reader, Write};
use crate::replica::{Cx, Replica, Timer};
use crate::table::Table;
use borsh::{BorshDeserialize, BorshSerialize};
use smt_types::credit::Credit;
use smt_types::{Address, Canonical, Digest, Epoch, PaymentId, ShardAddress, Slot};
use std::collections::VecDeque;

/// Rows of one slice, about: as many as a commit takes in a millisecond or two.
const SLICE_ROWS: usize = 1024;

/// Wait between slices.
const PACE_US: u64 = 5_000;

/// The durable debt of a cut: batch digests; payments as (place of the batch among those, index), in the order in which they
/// joined; consumed credits as (source, first number, how many).
#[derive(Debug, Default, BorshSerialize, BorshDeserialize)]
struct Debt {
    batches: Vec<Digest>,
    payments: Vec<(u16, u16)>,
    credits: Vec<(ShardAddress, u64, u64)>,
}

/// A payment that joined: what its rows are made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct JoinedPayment {
    pub(crate) slot: Slot,
    pub(crate) id: PaymentId,
    pub(crate) payee: Address,
    /// Place of its batch among those of the cut, and index in it.
    pub(crate) place: (u16, u16),
}

/// A cut whose rows are not all written.
#[derive(Debug)]
pub(crate) struct Owed {
    epoch: Epoch,
    batches: Vec<Digest>,
    payments: Vec<JoinedPayment>,
    credits: Vec<(ShardAddress, u64, Credit)>,
    by_id: Table<PaymentId, u32>,
    credited: Table<PaymentId, ()>,
    /// The key space is cut into so many slices, a power of two up to 256; so many are written.
    slices: u16,
    written: u16,
}

impl Owed {
    pub(crate) fn new(
        epoch: Epoch,
        batches: Vec<Digest>,
        payments: Vec<JoinedPayment>,
        credits: Vec<(ShardAddress, u64, Credit)>,
    ) -> Owed {
        let rows = payments.len().saturating_mul(3).saturating_add(credits.len().saturating_mul(2));
        let slices = (rows / SLICE_ROWS).clamp(1, 256).next_power_of_two();
        let mut by_id = Table::new();
        by_id.reserve(payments.len());
        for (payment, place) in payments.iter().zip(0u32..) {
            by_id.insert(payment.id, place);
        }
        let mut credited = Table::new();
        credited.reserve(credits.len());
        for (_, _, credit) in &credits {
            credited.insert(credit.payment, ());
        }
        let slices = u16::try_from(slices).unwrap_or(256);
        Owed { epoch, batches, payments, credits, by_id, credited, slices, written: 0 }
    }

    /// The debt as one row.
    pub(crate) fn write(&self) -> Write {
        let mut credits: Vec<(ShardAddress, u64, u64)> = Vec::new();
        for (source, number, _) in &self.credits {
            match credits.last_mut() {
                Some((last, _, count)) if last == source => *count = count.saturating_add(1),
                _ => credits.push((*source, *number, 1)),
            }
        }
        let payments = self.payments.iter().map(|payment| payment.place).collect();
        let debt = Debt { batches: self.batches.clone(), payments, credits };
        archive::put(Column::Unindexed, archive::epoch_key(self.epoch), &debt)
    }

    /// Reads a debt back, with all it names.
    fn read(epoch: Epoch, debt: Debt, reader: &dyn Reader) -> Owed {
        let stored: Vec<_> = debt.batches.iter().map(|digest| archive::batch(reader, digest)).collect();
        let payment = |place: &(u16, u16)| {
            let (batch, _) = stored.get(usize::from(place.0))?.as_ref()?;
            let payment = &batch.payments.get(usize::from(place.1))?.payment;
            Some(JoinedPayment { slot: payment.slot(), id: payment.id(), payee: payment.payee, place: *place })
        };
        let payments = debt.payments.iter().filter_map(payment).collect();
        let mut credits = Vec::new();
        for (source, first, count) in debt.credits {
            let numbers = first..first.saturating_add(count);
            credits.extend(numbers.filter_map(|n| Some((source, n, archive::credit(reader, source, n)?))));
        }
        Owed::new(epoch, debt.batches, payments, credits)
    }

    /// Where each payment of this cut is kept.
    pub(crate) fn places(&self) -> impl Iterator<Item = (PaymentId, (Digest, u16))> {
        self.payments.iter().filter_map(|payment| Some((payment.id, self.kept(payment)?)))
    }

    /// The payments of this cut, in the order in which they joined.
    pub(crate) fn payments(&self) -> &[JoinedPayment] {
        &self.payments
    }

    /// Its consumed credits: source, number, credit.
    pub(crate) fn credits(&self) -> &[(ShardAddress, u64, Credit)] {
        &self.credits
    }

    /// Where a payment of this cut is kept.
    fn kept(&self, payment: &JoinedPayment) -> Option<(Digest, u16)> {
        let (batch, index) = payment.place;
        Some((*self.batches.get(usize::from(batch))?, index))
    }

    /// Writes the next slice of rows; true when it was the last.
    fn pay(&mut self, shard: ShardAddress, mut write: impl FnMut(Write)) -> bool {
        // Addresses of a shard share their first bits, so a network of several shards is sliced by the second byte.
        let byte = usize::from(shard.level() > 0);
        let (slices, now) = (self.slices, self.written);
        let due = |key: &[u8; 32]| {
            let place = u16::from(key.get(byte).copied().unwrap_or_default()).saturating_mul(slices) >> 8;
            place == now
        };
        for (payment, number) in self.payments.iter().zip(0u64..) {
            let Some((batch, index)) = self.kept(payment) else { continue };
            let row = HistoryRow::Payment(batch, index);
            if due(&payment.id.0.0) {
                write(archive::put(Column::Payment, payment.id.0.0.to_vec(), &(batch, index, self.epoch)));
            }
            if due(&payment.slot.payer.0) {
                let key = archive::paid_key(&payment.slot.payer, self.epoch, payment.slot.seq);
                write(archive::put(Column::History, key, &row));
            }
            if shard.contains(&payment.payee) && due(&payment.payee.0) {
                write(archive::put(Column::History, archive::received_key(&payment.payee, self.epoch, number), &row));
            }
        }
        let places = u64::try_from(self.payments.len()).unwrap_or(u64::MAX)..;
        for ((source, number, credit), place) in self.credits.iter().zip(places) {
            if due(&credit.payment.0.0) {
                let row = (*source, *number, self.epoch);
                write(archive::put(Column::Credited, credit.payment.0.0.to_vec(), &row));
            }
            if due(&credit.payee.0) {
                let row = HistoryRow::Credit(*source, *number);
                write(archive::put(Column::History, archive::received_key(&credit.payee, self.epoch, place), &row));
            }
        }
        self.written = now.saturating_add(1);
        if self.written < slices {
            return false;
        }
        write(archive::delete(Column::Unindexed, archive::epoch_key(self.epoch)));
        true
    }
}

/// The cuts whose rows are not all written, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Index {
    owed: VecDeque<Owed>,
}

impl<L: Ledger> Replica<L> {
    /// Notes what a cut owes, durably with the cut.
    pub(crate) fn owe(&mut self, cx: &mut Cx<'_>, owed: Owed) {
        if owed.payments.is_empty() && owed.credits.is_empty() {
            return;
        }
        cx.write(owed.write());
        self.take_debt(cx.now, owed);
    }

    fn take_debt(&mut self, now: u64, owed: Owed) {
        if self.index.owed.is_empty() {
            self.timers.insert((now.saturating_add(PACE_US), Timer::Index));
        }
        self.index.owed.push_back(owed);
    }

    /// Pays the next slice; where several cuts wait, because epochs are short or this replica caught up, one slice for each.
    pub(crate) fn on_index_timer(&mut self, cx: &mut Cx<'_>) {
        for _ in 0..self.index.owed.len() {
            let Some(owed) = self.index.owed.front_mut() else { break };
            let writes = &mut cx.effects.writes;
            if owed.pay(self.node.shard, |write| writes.push(write)) {
                self.index.owed.pop_front();
            }
        }
        if !self.index.owed.is_empty() {
            self.timers.insert((cx.now.saturating_add(PACE_US), Timer::Index));
        }
    }

    /// Where a payment that is in a cut is kept: (header digest, index, epoch of its cut).
    #[must_use]
    pub fn joined(&self, reader: &dyn Reader, id: &PaymentId) -> Option<(Digest, u16, Epoch)> {
        self.joined_unindexed(id).or_else(|| archive::payment(reader, id))
    }

    /// The same of a cut that is not indexed yet; of all others the store knows.
    #[must_use]
    pub fn joined_unindexed(&self, id: &PaymentId) -> Option<(Digest, u16, Epoch)> {
        self.index.owed.iter().find_map(|owed| {
            let place = usize::try_from(*owed.by_id.get(id)?).ok()?;
            let (digest, index) = owed.kept(owed.payments.get(place)?)?;
            Some((digest, index, owed.epoch))
        })
    }

    /// The epoch whose cut credited a payment from another shard, if that cut is not indexed yet; else the store knows.
    #[must_use]
    pub fn credited_unindexed(&self, id: &PaymentId) -> Option<Epoch> {
        self.index.owed.iter().find(|owed| owed.credited.contains_key(id)).map(|owed| owed.epoch)
    }

    /// The payment that a cut not indexed yet holds at `slot`.
    pub(crate) fn unindexed_at(&self, slot: &Slot) -> Option<PaymentId> {
        self.index.owed.iter().find_map(|owed| {
            // In the order in which they joined: by slot.
            let place = owed.payments.binary_search_by_key(slot, |payment| payment.slot).ok()?;
            owed.payments.get(place).map(|payment| payment.id)
        })
    }

    /// The newest epoch of which every payment can be found in histories. Ends at the newest cut, some time after it.
    #[must_use]
    pub fn indexed(&self) -> Epoch {
        let open = self.index.owed.front().map(|owed| Epoch(owed.epoch.0.saturating_sub(1)));
        open.unwrap_or(self.epoch.decided)
    }

    /// Takes up the debts that the store holds.
    pub(crate) fn restore_index(&mut self, cx: &Cx<'_>) {
        for (key, value) in archive::rows(cx.reader, Column::Unindexed, &[], &[]) {
            let epoch = key.first_chunk::<8>().map(|bytes| Epoch(u64::from_be_bytes(*bytes)));
            if let (Some(epoch), Ok(debt)) = (epoch, Debt::from_bytes(&value, archive::MAX_DEBT_BYTES)) {
                self.take_debt(cx.now, Owed::read(epoch, debt, cx.reader));
            }
        }
    }
}
