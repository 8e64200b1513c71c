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
    /// When it came, an earlier seq or its funds were missing: it waits for others, and others do not wait for it.
    pub(crate) held: bool,
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
    /// Of these, how many are held.
    held: usize,
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
        // What is held keeps nobody waiting: it has the rest of `max`, and cannot shut out what could go at once.
        let moving = self.payments.saturating_sub(self.held);
        limit.saturating_sub(moving).min(max.saturating_sub(self.payments))
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
        self.held = self.held.saturating_add(usize::from(pending.held));
        match queue.place(slot.seq) {
            Ok(place) => {
                if let Some((_, known)) = queue.waiting.get_mut(place) {
                    self.held = self.held.saturating_sub(usize::from(known.held));
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
        self.held = self.held.saturating_sub(usize::from(pending.held));
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, reason = "tests")]
    use super::*;
    use smt_types::crypto::SecretKey;
    use smt_types::{Amount, Bounded, Lamport, NetworkId, Payment};

    const MAX: usize = 10_000;

    fn fill(pool: &mut Pool, count: u64, held: bool) {
        let key = SecretKey::from_seed([u8::from(held) + 1; 32]);
        for seq in 0..count {
            let body = Payment {
                network: NetworkId(1),
                payer: key.public(),
                seq: Seq(seq),
                payee: Address([7; 32]),
                amount: Amount(1),
                memo: Bounded::default(),
                after: Lamport(0),
            };
            let (slot, id) = (body.slot(), body.id());
            let payment = SignedPayment { payment: body, signature: smt_types::Signature([0; 64]) };
            let (received_at, not_before, tries, in_batch, from_client) = (0, 0, 0, false, true);
            pool.insert(slot, Pending { payment, id, received_at, not_before, tries, in_batch, from_client, held }, 0);
        }
    }

    #[test]
    fn what_is_held_takes_no_room_from_what_moves() {
        let mut pool = Pool::default();
        assert_eq!(pool.room(MAX), ROOM_MIN);
        fill(&mut pool, 1_024, true);
        assert_eq!(pool.room(MAX), ROOM_MIN, "payments that wait for an earlier seq shut nobody out");
        fill(&mut pool, 24, false);
        assert_eq!(pool.room(MAX), ROOM_MIN - 24);
        assert_eq!(pool.room(1_050), 2, "held or not, there are no more than so many");
        let first = SecretKey::from_seed([2; 32]).public().address();
        assert!(pool.remove(&Slot { payer: first, seq: Seq(0) }).unwrap().held);
        assert_eq!((pool.room(MAX), pool.room(1_050)), (ROOM_MIN - 24, 3));
    }

    #[test]
    fn room_follows_the_rate_at_which_payments_leave() {
        let mut pool = Pool::default();
        // 20,000 a second for a second.
        for n in 0..20_000 {
            pool.departures.count(n * 50);
        }
        let room = pool.room(MAX);
        assert!((4_000..=5_000).contains(&room), "{room} is a quarter of a second's worth");
        // Ten a second, for a while.
        for n in 0..30 {
            pool.departures.count(2_000_000 + n * 100_000);
        }
        assert_eq!(pool.room(MAX), ROOM_MIN);
    }
}
