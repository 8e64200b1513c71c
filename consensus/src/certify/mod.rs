//! Certification without ordering (design §4): gateway, voter, certificates, applied, final.
//!
//! A payment moves `received → certified → final` like this. Its gateway batches it ([`gateway`]); every replica answers
//! one vote per (gateway, number), ever ([`voter`]); bits are counted one by one, a certified payment is applied in the
//! payer's seq order once this replica's own applied set funds it, and q applied records make it final ([`settle`]).
//!
//! Invariants kept here: 1 (one payment kept per slot), 5 (nothing signed leaves before its record is durable: every
//! vote, applied record and batch is written with `sync` in the step that sends it).
//!
//! A slot where a payer signed two payments is *contested*. Contested slots are listed in reports and gossiped, and count
//! for safety only: freeing one (unlock) is not built yet, so such a payer may be stuck at that seq.

pub(crate) mod gateway;
pub(crate) mod pool;
pub(crate) mod settle;
pub(crate) mod voter;

use crate::ports::Known;
use crate::table::Table;
use smt_types::batch::Batch;
use smt_types::report::BatchBits;
use smt_types::vote::{Applied, VotePart};
use smt_types::{BatchNumber, Bitmap, Digest, PaymentId, ReplicaIndex, SignedPayment, Slot};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A batch in the live window: until each of its bits is in a cut or its slot is passed.
#[derive(Debug)]
pub(crate) struct BatchState {
    pub(crate) batch: Batch,
    /// Ids and slots of the payments, computed once.
    pub(crate) ids: Vec<PaymentId>,
    pub(crate) slots: Vec<Slot>,
    /// Votes seen, own included.
    pub(crate) votes: BTreeMap<ReplicaIndex, VotePart>,
    /// Bits with q votes, or in a decided cut: whoever decided it held the votes.
    pub(crate) certified: Bitmap,
    /// Bits in decided cuts.
    pub(crate) decided: Bitmap,
    /// The newest of those cuts.
    pub(crate) decided_at: smt_types::Epoch,
    /// The largest applied record seen of each replica, own included.
    pub(crate) applied: BTreeMap<ReplicaIndex, Applied>,
    /// Bits whose payments are applied here, by whichever batch.
    pub(crate) applied_here: Bitmap,
    /// Bits with q applied records.
    pub(crate) finals: Bitmap,
    /// Bits whose slots were first locked by the vote on this batch, and how often they have been asked for since.
    pub(crate) locked: Bitmap,
    pub(crate) relocks: u32,
    /// Whether the voting of this replica has answered.
    pub(crate) voted: bool,
    /// Certified bits that have been sent out from here.
    pub(crate) sent: Bitmap,
    /// Bits handed back to the queue after the vote.
    pub(crate) returned: bool,
    /// How often this batch was sent again.
    pub(crate) resent: u32,
    /// When its gateway was last sent the certificates because of which a repeated batch is refused.
    pub(crate) reasons_at: u64,
}

impl BatchState {
    pub(crate) fn new(batch: Batch) -> BatchState {
        let count = batch.header.count;
        let ids = batch.payments.iter().map(|p| p.payment.id()).collect();
        let slots = batch.payments.iter().map(|p| p.payment.slot()).collect();
        BatchState {
            batch,
            ids,
            slots,
            votes: BTreeMap::new(),
            certified: Bitmap::zeros(count),
            decided: Bitmap::zeros(count),
            decided_at: smt_types::Epoch(0),
            applied: BTreeMap::new(),
            applied_here: Bitmap::zeros(count),
            finals: Bitmap::zeros(count),
            locked: Bitmap::zeros(count),
            relocks: 0,
            voted: false,
            sent: Bitmap::zeros(count),
            returned: false,
            resent: 0,
            reasons_at: 0,
        }
    }

    pub(crate) fn count(&self) -> u16 {
        self.batch.header.count
    }

    /// Whether some of `bits`, applied by another, are neither certified nor applied here.
    pub(crate) fn lacks(&self, bits: &Bitmap) -> bool {
        !bits.without(&self.certified).without(&self.applied_here).is_empty()
    }

    /// The payment at `index`, with its hashes.
    pub(crate) fn known(&self, index: u16) -> Option<Known<'_>> {
        let place = usize::from(index);
        let (signed, id, slot) = (self.batch.payments.get(place)?, *self.ids.get(place)?, *self.slots.get(place)?);
        Some(Known { slot, id, payment: &signed.payment })
    }

    /// Payment, id and slot at `index`.
    pub(crate) fn item(&self, index: u16) -> Option<(&SignedPayment, PaymentId, Slot)> {
        let place = usize::from(index);
        Some((self.batch.payments.get(place)?, *self.ids.get(place)?, *self.slots.get(place)?))
    }
}

/// What is known of one slot that is not passed by a cut, or that a live batch still names.
#[derive(Debug, Default)]
pub(crate) struct SlotState {
    /// The payment this replica has voted for.
    pub(crate) lock: Option<PaymentId>,
    /// The payment that holds a certificate.
    pub(crate) certified: Option<PaymentId>,
    /// A batch and index where it is certified.
    pub(crate) certified_at: Option<(Digest, u16)>,
    /// The payment applied here.
    pub(crate) applied: Option<PaymentId>,
    /// Two different certified payments: beyond the fault bound. Nothing is voted or applied here any more.
    pub(crate) forked: bool,
    /// Every place where a payment of this slot stands: (payment, batch, index), ascending. Mostly one.
    pub(crate) places: Vec<(PaymentId, Digest, u16)>,
    /// A second payment seen outside any batch.
    pub(crate) rival: Option<Box<SignedPayment>>,
}

impl SlotState {
    /// Adds a place.
    pub(crate) fn add_place(&mut self, place: (PaymentId, Digest, u16)) {
        if let Err(at) = self.places.binary_search(&place) {
            self.places.insert(at, place);
        }
    }

    /// Whether different payments are known for this slot.
    pub(crate) fn is_contested(&self) -> bool {
        let rival = self.rival.iter().map(|p| p.payment.id());
        let mut ids = self.places.iter().map(|(id, _, _)| *id).chain(rival).chain(self.lock);
        ids.next().is_some_and(|first| ids.any(|id| id != first))
    }

    /// The different payments known for this slot.
    pub(crate) fn known(&self) -> BTreeSet<PaymentId> {
        let rival = self.rival.iter().map(|p| p.payment.id());
        self.places.iter().map(|(id, _, _)| *id).chain(rival).chain(self.lock).collect()
    }
}

/// All certification state of one replica.
#[derive(Debug, Default)]
pub(crate) struct Certify {
    pub(crate) batches: BTreeMap<Digest, BatchState>,
    pub(crate) slots: Table<Slot, SlotState>,
    /// (gateway, number) → header digest, for live batches.
    pub(crate) numbers: BTreeMap<(ReplicaIndex, BatchNumber), Digest>,
    /// The next number of our own.
    pub(crate) next_number: BatchNumber,
    /// The gateway's queue.
    pub(crate) pool: pool::Pool,
    /// When the open flush is due.
    pub(crate) flush_at: Option<u64>,
    /// Payers whose next payment is certified and was not funded here when last looked at.
    pub(crate) unfunded: BTreeSet<smt_types::Address>,
    /// Payers whose next certified payment may be applicable.
    pub(crate) work: VecDeque<smt_types::Address>,
    /// Batches whose applied bits may have grown.
    pub(crate) dirty: BTreeSet<Digest>,
    /// Slots with two known payments, and whether both have been told to the peers.
    pub(crate) contested: BTreeSet<Slot>,
    /// What each gateway has in the live window.
    pub(crate) load: BTreeMap<ReplicaIndex, Load>,
    /// Batches of which others have applied what is not certified here.
    pub(crate) lacking: BTreeSet<Digest>,
    /// Certificates that arrived before their batch.
    pub(crate) orphans: BTreeMap<Digest, smt_types::vote::Certificate>,
}

/// Most payments of a shard that may be in live batches: bounds what one cut writes.
pub(crate) const MAX_LIVE_PAYMENTS: usize = 262_144;

impl Certify {
    /// Puts a payer to the work to do.
    pub(crate) fn look_at(&mut self, payer: smt_types::Address) {
        if self.work.back() != Some(&payer) {
            self.work.push_back(payer);
        }
    }

    /// The naive join that `planted` plants: all bits certified here of every batch up to the highest number named.
    pub(crate) fn bits_up_to_counts(&self, bits: &[BatchBits]) -> Vec<BatchBits> {
        let mut top: BTreeMap<ReplicaIndex, smt_types::BatchNumber> = BTreeMap::new();
        for entry in bits {
            let known = top.entry(entry.gateway).or_insert(entry.number);
            *known = (*known).max(entry.number);
        }
        let mut out = Vec::new();
        for ((gateway, number), header) in &self.numbers {
            let Some(state) = self.batches.get(header) else { continue };
            if top.get(gateway).is_some_and(|highest| number <= highest) && !state.certified.is_empty() {
                let entry =
                    BatchBits { gateway: *gateway, number: *number, header: *header, bits: state.certified.clone() };
                out.push(entry);
            }
        }
        out
    }

    /// Notes that the slot's payment `id` is applied here, in every batch that names the slot; those have more to sign for.
    pub(crate) fn mark_applied(&mut self, slot: &Slot, id: PaymentId) {
        let entry = self.slots.entry(*slot).or_default();
        entry.applied = Some(id);
        for (other, digest, index) in &entry.places {
            let Some(state) = self.batches.get_mut(digest) else { continue };
            if *other == id {
                state.applied_here.set(*index);
                self.dirty.insert(*digest);
            } else {
                state.applied_here.clear(*index);
            }
        }
    }
}

/// Batches and payments of one gateway in the live window.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Load {
    pub(crate) batches: usize,
    pub(crate) payments: usize,
}

/// Most certificates kept without their batch; more are dropped, they can be asked for again.
pub(crate) const MAX_ORPHANS: usize = 256;
