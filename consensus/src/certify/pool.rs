//! The gateway's queue: payments by payer and seq, and which payers may have something to batch.

use crate::table::Table;
use smt_types::{Address, PaymentId, Seq, SignedPayment, Slot};
use std::collections::VecDeque;

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

/// One payer's payments, ascending by seq; few, and mostly added at the end.
#[derive(Debug, Default)]
struct Queue {
    waiting: Vec<(Seq, Pending)>,
    /// Stands in the line of payers to look at.
    hot: bool,
}

impl Queue {
    fn place(&self, seq: Seq) -> Result<usize, usize> {
        self.waiting.binary_search_by_key(&seq, |(seq, _)| *seq)
    }
}

/// Longest that a full queue may take to empty, microseconds.
const WAIT_US: u64 = 250_000;

/// Payments that find room whatever the rate has been: a burst after a silence.
const ROOM_MIN: usize = 1_024;

/// Length of the windows in which a [`Rate`] counts, microseconds.
const WINDOW_US: u64 = 100_000;

/// How many payments a second, as the last few tenths of a second in which there were any show it.
#[derive(Debug, Default)]
pub(crate) struct Rate {
    /// Number of the window that is being counted.
    window: u64,
    counted: u64,
    /// Payments a second before it.
    rate: u64,
}

impl Rate {
    /// One more payment.
    pub(crate) fn count(&mut self, now: u64) {
        let window = now / WINDOW_US;
        if window != self.window {
            // Half of what was known, half of what is new; windows in which nothing came halve it each.
            let gone = u32::try_from(window.saturating_sub(self.window).saturating_sub(1)).unwrap_or(u32::MAX);
            let seen = self.counted.saturating_mul(1_000_000 / WINDOW_US);
            self.rate = (self.rate.saturating_add(seen) / 2).checked_shr(gone).unwrap_or(0);
            (self.window, self.counted) = (window, 0);
        }
        self.counted = self.counted.saturating_add(1);
    }

    pub(crate) fn per_second(&self) -> u64 {
        self.rate
    }
}

/// The queue of one gateway.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    pub(crate) arrivals: Rate,
    /// Payments that left the queue because they are applied.
    pub(crate) departures: Rate,
    payers: Table<Address, Queue>,
    payments: usize,
    /// Payers to look at, in the order in which they turned up: nobody is overtaken because of an address.
    line: VecDeque<Address>,
    /// When the first wait of a payment ends; in that order, since all wait equally long. May name payments long gone.
    waits: VecDeque<(u64, Slot)>,
}

impl Pool {
    /// Payments that may still come in, where the queue may hold `max` at most. What waits must be done within [`WAIT_US`]
    /// at the rate at which payments leave: a longer queue only makes everybody late, and those most who are refused
    /// nothing (Nichols and Jacobson, "Controlling Queue Delay", ACM Queue 2012).
    pub(crate) fn room(&self, max: usize) -> usize {
        let soon = self.departures.per_second().saturating_mul(WAIT_US) / 1_000_000;
        let limit = usize::try_from(soon).unwrap_or(max).max(ROOM_MIN).min(max);
        limit.saturating_sub(self.payments)
    }

    /// Number of payments.
    pub(crate) fn len(&self) -> usize {
        self.payments
    }

    pub(crate) fn get(&self, slot: &Slot) -> Option<&Pending> {
        let queue = self.payers.get(&slot.payer)?;
        queue.place(slot.seq).ok().and_then(|place| queue.waiting.get(place)).map(|(_, pending)| pending)
    }

    pub(crate) fn get_mut(&mut self, slot: &Slot) -> Option<&mut Pending> {
        let queue = self.payers.get_mut(&slot.payer)?;
        let place = queue.place(slot.seq).ok()?;
        queue.waiting.get_mut(place).map(|(_, pending)| pending)
    }

    /// Adds a payment at a slot that has none; its first wait ends at `wait_until`, which never goes back.
    pub(crate) fn insert(&mut self, slot: Slot, pending: Pending, wait_until: u64) {
        let queue = self.payers.entry(slot.payer).or_default();
        match queue.place(slot.seq) {
            Ok(place) => {
                if let Some((_, known)) = queue.waiting.get_mut(place) {
                    *known = pending;
                }
            }
            Err(place) => {
                queue.waiting.insert(place, (slot.seq, pending));
                self.payments = self.payments.saturating_add(1);
            }
        }
        self.waits.push_back((wait_until, slot));
    }

    pub(crate) fn remove(&mut self, slot: &Slot) -> Option<Pending> {
        let queue = self.payers.get_mut(&slot.payer)?;
        let place = queue.place(slot.seq).ok()?;
        let (_, pending) = queue.waiting.remove(place);
        self.payments = self.payments.saturating_sub(1);
        if queue.waiting.is_empty() && !queue.hot {
            self.payers.remove(&slot.payer);
        }
        Some(pending)
    }

    /// Puts a payer into the line if it has payments and does not stand there; answers whether it was put there.
    pub(crate) fn heat(&mut self, payer: Address) -> bool {
        let Some(queue) = self.payers.get_mut(&payer).filter(|queue| !queue.hot && !queue.waiting.is_empty()) else {
            return false;
        };
        queue.hot = true;
        self.line.push_back(payer);
        true
    }

    /// The next payer in the line, which leaves it.
    pub(crate) fn next_hot(&mut self) -> Option<Address> {
        let payer = self.line.pop_front()?;
        if let Some(queue) = self.payers.get_mut(&payer) {
            queue.hot = false;
            if queue.waiting.is_empty() {
                self.payers.remove(&payer);
            }
        }
        Some(payer)
    }

    /// When the first of the waits ends.
    pub(crate) fn first_wait(&self) -> Option<u64> {
        self.waits.front().map(|(at, _)| *at)
    }

    /// A payment whose first wait is over at `now`.
    pub(crate) fn waited(&mut self, now: u64) -> Option<Slot> {
        let (at, _) = self.waits.front()?;
        if *at > now {
            return None;
        }
        self.waits.pop_front().map(|(_, slot)| slot)
    }

    /// Visits all payments, in no order: for answers that are sorted afterwards.
    pub(crate) fn for_each(&self, mut visit: impl FnMut(&Pending)) {
        self.payers.for_each(|queue| queue.waiting.iter().for_each(|(_, pending)| visit(pending)));
    }
}
