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
pub(crate) mod settle;
pub(crate) mod voter;

use smt_types::batch::Batch;
use smt_types::vote::{Applied, VotePart};
use smt_types::{BatchNumber, Bitmap, Digest, PaymentId, ReplicaIndex, SignedPayment, Slot};
use std::collections::{BTreeMap, BTreeSet};

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
    /// Bits with q applied records.
    pub(crate) finals: Bitmap,
    /// Whether the voting of this replica has answered.
    pub(crate) voted: bool,
    /// Certified bits that have been sent out from here.
    pub(crate) sent: Bitmap,
    /// Bits handed back to the queue after the vote.
    pub(crate) returned: bool,
    /// How often this batch was sent again.
    pub(crate) resent: u32,
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
            finals: Bitmap::zeros(count),
            voted: false,
            sent: Bitmap::zeros(count),
            returned: false,
            resent: 0,
        }
    }

    pub(crate) fn count(&self) -> u16 {
        self.batch.header.count
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
    /// The payment applied here.
    pub(crate) applied: Option<PaymentId>,
    /// Two different certified payments: beyond the fault bound. Nothing is voted or applied here any more.
    pub(crate) forked: bool,
    /// Every place where a payment of this slot stands: (payment, batch, index).
    pub(crate) places: BTreeSet<(PaymentId, Digest, u16)>,
    /// A second payment seen outside any batch.
    pub(crate) rival: Option<Box<SignedPayment>>,
    /// How often the replica itself has tried to get the lock certified.
    pub(crate) relocks: u32,
}

impl SlotState {
    /// The different payments known for this slot.
    pub(crate) fn known(&self) -> BTreeSet<PaymentId> {
        let rival = self.rival.iter().map(|p| p.payment.id());
        self.places.iter().map(|(id, _, _)| *id).chain(rival).chain(self.lock).collect()
    }
}

/// A payment in the gateway's queue.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) payment: SignedPayment,
    pub(crate) id: PaymentId,
    pub(crate) received_at: u64,
    /// Not batched again before this time.
    pub(crate) not_before: u64,
    pub(crate) tries: u32,
    /// In a batch of ours whose vote is open.
    pub(crate) in_batch: bool,
    /// Taken from a client, who is told when it is given up.
    pub(crate) from_client: bool,
}

/// All certification state of one replica.
#[derive(Debug, Default)]
pub(crate) struct Certify {
    pub(crate) batches: BTreeMap<Digest, BatchState>,
    pub(crate) slots: BTreeMap<Slot, SlotState>,
    /// (gateway, number) → header digest, for live batches.
    pub(crate) numbers: BTreeMap<(ReplicaIndex, BatchNumber), Digest>,
    /// The next number of our own.
    pub(crate) next_number: BatchNumber,
    /// The gateway's queue.
    pub(crate) pool: BTreeMap<Slot, Pending>,
    /// Payers whose queue may have something to batch.
    pub(crate) hot: BTreeSet<smt_types::Address>,
    /// When the open flush is due.
    pub(crate) flush_at: Option<u64>,
    /// Payers whose next certified payment may be applicable.
    pub(crate) work: BTreeSet<smt_types::Address>,
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

/// Batches and payments of one gateway in the live window.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Load {
    pub(crate) batches: usize,
    pub(crate) payments: usize,
}

/// Most certificates kept without their batch; more are dropped, they can be asked for again.
pub(crate) const MAX_ORPHANS: usize = 256;
