//! What the driver may ask of a replica's state. Nothing here changes it.

use crate::effect::Effects;
use crate::ports::{Ledger, Reader};
use crate::replica::{Cx, Replica};
use smt_types::{Digest, Lamport, PaymentId, SignedPayment, Slot};
use std::collections::{BTreeMap, BTreeSet};

/// A payment and where it stands in a batch; queued ones stand in none.
pub type Found = (SignedPayment, Option<(Digest, u16)>);

impl<L: Ledger> Replica<L> {
    /// Payments in the gateway's queue.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.certify.pool.len()
    }

    /// Payments that the gateway's queue has room for.
    #[must_use]
    pub fn room(&self) -> usize {
        self.certify.pool.room(self.params.hold_max)
    }

    /// Live batches and the payments in them.
    #[must_use]
    pub fn live(&self) -> (usize, usize) {
        let loads = self.certify.load.values();
        loads.fold((0, 0), |(batches, payments), load| {
            (load.batches.saturating_add(batches), load.payments.saturating_add(payments))
        })
    }

    /// Slots for which two payments are known.
    #[must_use]
    pub fn contested(&self) -> usize {
        self.certify.contested.len()
    }

    /// Credits from other shards that are known and not consumed yet, for one payee.
    pub fn incoming<'a>(
        &'a self,
        payee: &'a smt_types::Address,
    ) -> impl Iterator<Item = &'a smt_types::credit::Credit> + 'a {
        self.links.unconsumed().filter(move |credit| credit.payee == *payee)
    }

    /// This replica's Lamport clock.
    #[must_use]
    pub fn lamport(&self) -> Lamport {
        self.lamport
    }

    /// The payment that holds a slot here: applied, else certified, else locked.
    #[must_use]
    pub fn holder(&self, slot: &Slot) -> Option<smt_types::PaymentId> {
        let entry = self.certify.slots.get(slot);
        let live = entry.and_then(|entry| entry.applied.or(entry.certified).or(entry.lock));
        live.or_else(|| self.unindexed_at(slot))
    }

    /// Payments of the queue and of the live window, with where they stand in a batch. For queries: one look through both,
    /// however many are asked for.
    #[must_use]
    pub fn find_payments(&self, ids: &BTreeSet<PaymentId>) -> BTreeMap<PaymentId, Found> {
        let mut found: BTreeMap<PaymentId, (Found, bool)> = BTreeMap::new();
        for (digest, state) in &self.certify.batches {
            for (index, id) in state.ids.iter().enumerate().filter(|(_, id)| ids.contains(id)) {
                let Some(index) = u16::try_from(index).ok() else { continue };
                let is_final = state.finals.get(index);
                // The batch in which it is final counts, else any.
                if found.get(id).is_none_or(|(_, known)| is_final && !known)
                    && let Some((payment, _, _)) = state.item(index)
                {
                    found.insert(*id, ((payment.clone(), Some((*digest, index))), is_final));
                }
            }
        }
        let mut found: BTreeMap<PaymentId, Found> = found.into_iter().map(|(id, (place, _))| (id, place)).collect();
        self.certify.pool.for_each(|pending| {
            if !pending.in_batch && ids.contains(&pending.id) {
                found.insert(pending.id, (pending.payment.clone(), None));
            }
        });
        found
    }

    /// Where a live payment stands: (batch header digest, index, stage), for queries.
    #[must_use]
    pub fn payment_place(&self, id: &smt_types::PaymentId, slot: &Slot) -> Option<(Digest, u16)> {
        let entry = self.certify.slots.get(slot)?;
        let best = self.certified_place(slot, id);
        best.or_else(|| {
            entry.places.iter().find(|(other, _, _)| other == id).map(|(_, digest, index)| (*digest, *index))
        })
    }

    /// How far a payment has come, for queries.
    #[must_use]
    pub fn stage(&self, reader: &dyn Reader, slot: &Slot, id: &smt_types::PaymentId) -> Option<crate::effect::Stage> {
        let mut effects = Effects::default();
        let cx = Cx { now: 0, reader, effects: &mut effects };
        self.stage_of(&cx, slot, id)
    }
}
