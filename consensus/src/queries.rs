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
        let entry = self.certify.slots.get(slot)?;
        entry.applied.or(entry.certified).or(entry.lock)
    }

    /// A payment of the queue or of the live window, with where it stands in a batch. For queries: looks through both.
    #[must_use]
    pub fn find_payment(&self, id: &smt_types::PaymentId) -> Option<(smt_types::SignedPayment, Option<(Digest, u16)>)> {
        if let Some(pending) = self.certify.pool.values().find(|pending| pending.id == *id && !pending.in_batch) {
            return Some((pending.payment.clone(), None));
        }
        let mut found = None;
        for (digest, state) in &self.certify.batches {
            let Some(index) = state.ids.iter().position(|other| other == id).and_then(|i| u16::try_from(i).ok()) else {
                continue;
            };
            let place = Some((state.batch.payments.get(usize::from(index))?.clone(), Some((*digest, index))));
            if state.finals.get(index) {
                return place;
            }
            found = place;
        }
        found
    }

    /// As [`Self::find_payment`] for many: one look through queue and live window, however many are asked for.
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
        let queued = self.certify.pool.values().filter(|pending| !pending.in_batch && ids.contains(&pending.id));
        let queued = queued.map(|pending| (pending.id, (pending.payment.clone(), None)));
        found.into_iter().map(|(id, (place, _))| (id, place)).chain(queued).collect()
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
