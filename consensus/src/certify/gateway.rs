//! The gateway: the queue, batches, and what misses its quorum.

use super::pool::Pending;
use crate::effect::{Effect, Event, Reject, Stage, Token};
use crate::ports::Ledger;
use crate::replica::{Cx, Replica, Timer};
use crate::verify::{Submission, Verified};
use smt_types::batch::{self, Batch, BatchHeader};
use smt_types::message::{Ask, Message, NodeId, Refusal};
use smt_types::vote::Vote;
use smt_types::{Address, Amount, Bounded, Digest, PaymentId, Seq, SignedPayment, Slot};

/// How often a batch or its certificate is sent again to those who have not answered; then the cut catches them up.
const RESENDS: u32 = 8;

/// Payments a second beyond which a batch waits no longer than for these.
const RATE_MAX: u64 = 2_500;

/// Payments of one batch asked for one by one at a time: each answer may be a whole batch.
const LOCKS_ASKED_MAX: usize = 8;

impl<L: Ledger> Replica<L> {
    /// A client's payment. Idempotent: the same payment again is answered with how far it has come.
    pub(crate) fn on_submit(&mut self, cx: &mut Cx<'_>, token: Token, payment: Verified<Submission>) {
        let (payment, id, slot) = payment.into_inner().into_parts();
        let answer = match self.stage_of(cx, &slot, &id) {
            Some(stage) => Ok(stage),
            None => self.admit(&payment, &id, slot).map(|()| {
                self.enqueue(cx, payment, id, slot, true);
                Stage::Received
            }),
        };
        cx.out(Effect::Reply(token, id, answer));
    }

    /// How far a payment has come, as this replica knows.
    pub(crate) fn stage_of(&self, cx: &Cx<'_>, slot: &Slot, id: &PaymentId) -> Option<Stage> {
        // No cut holds what its payer's next seq has not passed, so the disk is asked for late repetitions alone.
        if slot.seq < self.ledger.cut_seq(&slot.payer) && self.joined(cx.reader, id).is_some() {
            return Some(Stage::Snapshotted);
        }
        let entry = self.certify.slots.get(slot);
        let is_final = entry.is_some_and(|e| {
            e.places.iter().any(|(other, digest, index)| {
                other == id && self.certify.batches.get(digest).is_some_and(|state| state.finals.get(*index))
            })
        });
        if is_final {
            return Some(Stage::Final);
        }
        if entry.is_some_and(|e| e.certified == Some(*id)) {
            return Some(Stage::Certified);
        }
        self.certify.pool.get(slot).filter(|pending| pending.id == *id).map(|_| Stage::Received)
    }

    /// The rules of admission that depend on state.
    fn admit(&self, payment: &SignedPayment, id: &PaymentId, slot: Slot) -> Result<(), Reject> {
        let body = &payment.payment;
        if let crate::replica::Voting::No(reason) = &self.voting {
            return Err(Reject::NotVoting(reason.clone()));
        }
        if body.network != self.network.id {
            return Err(Reject::WrongNetwork { got: body.network.0, want: self.network.id.0 });
        }
        let home = slot.payer.shard(self.level());
        if home != self.me().shard {
            return Err(Reject::WrongShard { home, here: self.me().shard });
        }
        if body.amount == Amount::ZERO {
            return Err(Reject::AmountZero);
        }
        if slot.payer == body.payee {
            return Err(Reject::SelfPayment);
        }
        let live = self.ledger.account(&slot.payer).ok_or(Reject::UnknownAccount)?;
        if slot.seq < live.next_seq {
            return Err(Reject::SeqTooLow { got: slot.seq, next: live.next_seq });
        }
        if slot.seq.0.saturating_sub(live.next_seq.0) > self.params.hold_per_payer {
            let ahead = self.params.hold_per_payer;
            return Err(Reject::SeqTooHigh { got: slot.seq, next: live.next_seq, ahead });
        }
        let other = self.certify.pool.get(&slot).map(|pending| pending.id);
        let entry = self.certify.slots.get(&slot);
        let other = other.or_else(|| entry.and_then(|e| e.certified.or(e.lock)));
        if let Some(other) = other.filter(|other| other != id) {
            return Err(Reject::SeqConflict { seq: slot.seq, other });
        }
        if self.room() == 0 {
            return Err(Reject::Overloaded { held: self.certify.pool.len() });
        }
        Ok(())
    }

    pub(crate) fn enqueue(
        &mut self,
        cx: &mut Cx<'_>,
        payment: SignedPayment,
        id: PaymentId,
        slot: Slot,
        from_client: bool,
    ) {
        if let Some(pending) = self.certify.pool.get_mut(&slot) {
            pending.from_client |= from_client && pending.id == id;
            return;
        }
        let held = self.is_held(&payment, &slot);
        let pending =
            Pending { payment, id, received_at: cx.now, not_before: 0, tries: 0, in_batch: false, from_client, held };
        self.certify.pool.arrivals.count(cx.now);
        let until = cx.now.saturating_add(self.params.hold_us);
        if self.certify.pool.first_wait().is_none() {
            self.timers.insert((until, Timer::Waits));
        }
        self.certify.pool.insert(slot, pending, until);
        self.heat(cx, slot.payer);
    }

    /// Whether an earlier seq or the funds of a payment are missing.
    fn is_held(&self, payment: &SignedPayment, slot: &Slot) -> bool {
        let live = self.ledger.account(&slot.payer).unwrap_or_default();
        if slot.seq <= live.next_seq {
            return live.balance < payment.payment.amount;
        }
        let Some(before) = slot.seq.0.checked_sub(1).map(|seq| Slot { payer: slot.payer, seq: Seq(seq) }) else {
            return false;
        };
        // One before it moves if a batch names it, whosever; one in the queue as that one does.
        let batched = self.certify.slots.get(&before).is_some_and(|entry| !entry.places.is_empty());
        !batched && self.certify.pool.get(&before).is_none_or(|pending| pending.held)
    }

    /// The payer's queue may have something to batch now.
    pub(crate) fn heat(&mut self, cx: &mut Cx<'_>, payer: Address) {
        if !self.certify.pool.heat(payer) {
            return;
        }
        if self.certify.flush_at.is_none() {
            // The more payments come in, the longer a batch waits to be filled; and the more batches are in no cut yet:
            // thin batches use up the share.
            let rate = self.certify.pool.arrivals.per_second().min(RATE_MAX);
            let by_rate = self.params.batch_delay_us.saturating_mul(rate) / 100;
            let live = self.certify.load.get(&self.me().replica).map_or(0, |load| load.batches);
            let share = smt_types::report::MAX_CUT_BATCHES.checked_div(self.committee.size()).unwrap_or(1).max(1);
            let stretch = live.saturating_mul(32).checked_div(share).and_then(|s| u64::try_from(s).ok()).unwrap_or(0);
            let by_share = self.params.batch_delay_us.saturating_mul(stretch);
            let at = cx.now.saturating_add(by_rate.max(by_share));
            self.certify.flush_at = Some(at);
            self.timers.insert((at, Timer::Flush));
        }
    }

    /// Makes batches of what is ready.
    pub(crate) fn flush(&mut self, cx: &mut Cx<'_>) {
        self.certify.flush_at = None;
        if !self.is_voting() {
            // Nothing is batched before this replica may vote; the queue stays.
            let at = cx.now.saturating_add(self.params.ask_us);
            self.certify.flush_at = Some(at);
            self.timers.insert((at, Timer::Flush));
            return;
        }
        if self.is_overloaded(self.me().replica) {
            // Cuts have fallen behind payments: the queue fills and says so to clients, rather than a cut growing too large.
            let at = cx.now.saturating_add(self.params.ask_us);
            self.certify.flush_at = Some(at);
            self.timers.insert((at, Timer::Flush));
            return;
        }
        let limit = usize::from(self.params.batch_max.clamp(1, batch::MAX_BATCH_PAYMENTS));
        let mut payments: Vec<SignedPayment> = Vec::new();
        while let Some(payer) = self.certify.pool.next_hot() {
            let room = limit.saturating_sub(payments.len());
            if self.ready_run(cx.now, payer, room, &mut payments) {
                self.certify.pool.heat(payer);
            }
            if payments.len() >= limit {
                self.open_batch(cx, std::mem::take(&mut payments));
            }
        }
        if !payments.is_empty() {
            self.open_batch(cx, payments);
        }
        self.settle(cx);
    }

    /// Adds the payer's payments that can go into a batch now, in seq order, at most `room`; answers whether room was too
    /// small.
    fn ready_run(&mut self, now: u64, payer: Address, room: usize, batch: &mut Vec<SignedPayment>) -> bool {
        let live = self.ledger.account(&payer).unwrap_or_default();
        let (mut next, mut left) = (live.next_seq, live.balance);
        let full = batch.len().saturating_add(room);
        loop {
            let slot = Slot { payer, seq: next };
            let free = self.certify.slots.get(&slot).is_none_or(|e| e.certified.is_none() && !e.forked);
            let Some(pending) = self.certify.pool.get_mut(&slot) else { break };
            if !free || pending.in_batch || pending.not_before > now {
                break;
            }
            let (Some(rest), Some(after)) = (left.checked_sub(pending.payment.payment.amount), next.next()) else {
                break;
            };
            if batch.len() >= full {
                return true;
            }
            pending.in_batch = true;
            batch.push(pending.payment.clone());
            (next, left) = (after, rest);
        }
        false
    }

    /// Signs a batch over `payments`, votes on it, and sends it out. Header, payments and own vote are one synced record.
    fn open_batch(&mut self, cx: &mut Cx<'_>, payments: Vec<SignedPayment>) {
        let (Ok(count), Some(after)) = (u16::try_from(payments.len()), self.certify.next_number.next()) else { return };
        let (Ok(lamport), dense) = (self.lamport.tick(), self.clock.stamp(cx.now)) else { return };
        self.lamport = lamport;
        let leaves: Vec<Digest> = payments.iter().map(SignedPayment::leaf).collect();
        let header = BatchHeader {
            network: self.network.id,
            shard: self.me().shard,
            committee: self.committee.digest(),
            gateway: self.me().replica,
            number: self.certify.next_number,
            root: batch::root(&leaves),
            count,
            lamport,
            dense,
        };
        self.certify.next_number = after;
        let digest = header.digest();
        let signature = self.signer.sign(&digest);
        let batch = Batch { header, signature, payments: Bounded::truncated(payments) };
        self.take_in(cx, batch.clone(), digest);
        let me = self.me();
        self.vote_on(cx, digest, me);
        cx.out(Effect::Broadcast(Message::Batch(Box::new(batch))));
        self.timers.insert((cx.now.saturating_add(self.params.ask_us), Timer::Batch(digest)));
    }

    /// A voter's answer to one of our batches.
    pub(crate) fn on_vote(&mut self, cx: &mut Cx<'_>, from: NodeId, vote: Vote, advice: Vec<(u16, Refusal)>) {
        let digest = vote.header;
        if !self.certify.batches.contains_key(&digest) {
            return;
        }
        self.merge_vote(cx, vote);
        self.recount(cx, digest);
        for (index, refusal) in advice {
            match refusal {
                Refusal::Locked(other) => self.learn_rival(cx, *other),
                Refusal::SeqPassed(_) => {
                    let item = self.certify.batches.get(&digest).and_then(|state| state.item(index));
                    if let Some((_, id, slot)) = item
                        && self.certify.slots.get(&slot).is_none_or(|e| e.certified.is_none())
                    {
                        cx.out(Effect::Send(from, Message::Ask(Ask::Payment(slot, id))));
                    }
                }
                _ => {}
            }
        }
        // The certificate before the applied record: whoever gets the latter first would ask for the whole batch.
        self.announce(cx, digest);
        self.settle(cx);
        let all = self.certify.batches.get(&digest).is_some_and(|s| s.votes.len() >= self.committee.size());
        if all {
            self.return_uncertified(cx, &digest);
        }
        self.poll_epoch(cx);
    }

    /// Sends a certificate of ours when it covers something new.
    fn announce(&mut self, cx: &mut Cx<'_>, digest: Digest) {
        let Some(state) = self.certify.batches.get_mut(&digest) else { return };
        if state.certified.is_empty() || state.certified.is_subset(&state.sent) {
            return;
        }
        state.sent = state.certified.clone();
        if let Some(certificate) = self.certificate(&digest) {
            cx.out(Effect::Broadcast(Message::Certificate(Box::new(certificate))));
        }
    }

    /// Payments of a batch of ours that missed the quorum go back to the queue, with growing waits.
    fn return_uncertified(&mut self, cx: &mut Cx<'_>, digest: &Digest) {
        let Some(state) = self.certify.batches.get_mut(digest) else { return };
        if state.returned {
            return;
        }
        state.returned = true;
        let missed: Vec<(Slot, PaymentId)> = (0..state.count())
            .filter(|index| !state.certified.get(*index))
            .filter_map(|index| state.item(index).map(|(_, id, slot)| (slot, id)))
            .collect();
        for (slot, id) in missed {
            let certified = self.certify.slots.get(&slot).is_some_and(|e| e.certified == Some(id));
            let Some(pending) = self.certify.pool.get_mut(&slot).filter(|p| p.id == id && !certified) else { continue };
            pending.in_batch = false;
            let wait = self.params.retry_us.saturating_mul(1 << pending.tries.min(6));
            pending.tries = pending.tries.saturating_add(1);
            pending.not_before = cx.now.saturating_add(wait);
            self.timers.insert((pending.not_before, Timer::Pending(slot)));
        }
    }

    /// A batch of ours has been out for a while: remind those who have not answered, hand back what missed.
    pub(crate) fn on_batch_timer(&mut self, cx: &mut Cx<'_>, digest: Digest) {
        let (me, size) = (self.me(), self.committee.size());
        let Some(state) = self.certify.batches.get_mut(&digest) else { return };
        let done = state.finals.ones() == u32::from(state.count()) && state.applied.len() >= size;
        if done || state.resent >= RESENDS {
            let (batch, slots) = (digest, state.slots.clone());
            self.return_uncertified(cx, &batch);
            for slot in slots {
                self.heat(cx, slot.payer);
            }
            return;
        }
        state.resent = state.resent.saturating_add(1);
        let wait = self.params.ask_us.saturating_mul(1 << state.resent.min(6));
        let unanswered: Vec<_> =
            self.committee.indices().filter(|r| *r != me.replica && !state.votes.contains_key(r)).collect();
        let unapplied: Vec<_> = self
            .committee
            .indices()
            .filter(|r| *r != me.replica && !state.certified.is_empty())
            .filter(|r| state.applied.get(r).is_none_or(|a| !state.certified.is_subset(&a.bits)))
            .collect();
        let complete = state.certified.ones() == u32::from(state.count());
        let batch = Message::Batch(Box::new(state.batch.clone()));
        if !complete {
            for replica in unanswered {
                cx.out(Effect::Send(NodeId { shard: me.shard, replica }, batch.clone()));
            }
        }
        for replica in unapplied {
            self.send_certificate(cx, NodeId { shard: me.shard, replica }, &digest);
        }
        self.return_uncertified(cx, &digest);
        self.timers.insert((cx.now.saturating_add(wait), Timer::Batch(digest)));
    }

    /// Payments whose first wait is over.
    pub(crate) fn on_waits_timer(&mut self, cx: &mut Cx<'_>) {
        while let Some(slot) = self.certify.pool.waited(cx.now) {
            self.on_pending_timer(cx, slot);
        }
        if let Some(at) = self.certify.pool.first_wait() {
            self.timers.insert((at, Timer::Waits));
        }
    }

    /// A queued payment has waited: batch it again, or give it up.
    pub(crate) fn on_pending_timer(&mut self, cx: &mut Cx<'_>, slot: Slot) {
        let live = self.ledger.account(&slot.payer).unwrap_or_default();
        let Some(pending) = self.certify.pool.get(&slot) else { return };
        let age = cx.now.saturating_sub(pending.received_at);
        let (id, amount, tried) = (pending.id, pending.payment.payment.amount, pending.tries > 0 || pending.in_batch);
        let turn = slot.seq == live.next_seq;
        let reject = if slot.seq < live.next_seq {
            Some(Reject::SeqTooLow { got: slot.seq, next: live.next_seq })
        } else if tried {
            (age >= self.params.expire_us).then_some(Reject::Expired { waiting_for: "a quorum of votes" })
        } else if age < self.params.hold_us {
            None
        } else if !turn {
            Some(Reject::Expired { waiting_for: "an earlier payment of the same payer" })
        } else if live.balance < amount {
            Some(Reject::InsufficientFunds { balance: live.balance, amount })
        } else {
            (age >= self.params.expire_us).then_some(Reject::Expired { waiting_for: "a quorum of votes" })
        };
        match reject {
            Some(reject) => {
                let told = self.certify.pool.remove(&slot).is_some_and(|pending| pending.from_client);
                if told {
                    cx.out(Effect::Event(Event::GaveUp { id, reject }));
                }
            }
            None => {
                let again = cx.now.saturating_add(self.params.hold_us.max(1));
                self.timers.insert((again, Timer::Pending(slot)));
                self.heat(cx, slot.payer);
            }
        }
    }

    /// Locks of a batch may have no certificate: ask for one, then take their payments up ourselves. Tries back off.
    pub(crate) fn on_locks_timer(&mut self, cx: &mut Cx<'_>, digest: Digest) {
        let Some(state) = self.certify.batches.get(&digest) else { return };
        let open: Vec<(Slot, PaymentId, SignedPayment)> = state
            .locked
            .iter()
            .filter_map(|index| state.item(index))
            .filter(|(_, id, slot)| {
                let waits = |e: &super::SlotState| e.lock == Some(*id) && e.certified.is_none() && !e.forked;
                slot.seq >= self.ledger.cut_seq(&slot.payer) && self.certify.slots.get(slot).is_some_and(waits)
            })
            .map(|(payment, id, slot)| (slot, id, payment.clone()))
            .collect();
        if open.is_empty() {
            return;
        }
        let tries = state.relocks;
        // One answer about the batch settles most; a payment certified by way of another batch is asked for by itself.
        cx.out(Effect::Broadcast(Message::Ask(Ask::Batch(digest))));
        for (place, (slot, id, payment)) in open.into_iter().enumerate() {
            if place < LOCKS_ASKED_MAX {
                cx.out(Effect::Broadcast(Message::Ask(Ask::Payment(slot, id))));
            }
            if tries > 0 && self.certify.pool.get(&slot).is_none() {
                self.enqueue(cx, payment, id, slot, false);
            }
        }
        if let Some(state) = self.certify.batches.get_mut(&digest) {
            state.relocks = tries.saturating_add(1);
        }
        let wait = self.jitter(&digest, self.params.relock_us.saturating_mul(1 << tries.min(5)) / 2);
        self.timers.insert((cx.now.saturating_add(wait), Timer::Locks(digest)));
    }

    /// The slot is settled: its queue entry has done its work, or lost.
    pub(crate) fn done_in_pool(&mut self, cx: &mut Cx<'_>, slot: &Slot, id: &PaymentId) {
        let Some(pending) = self.certify.pool.remove(slot) else { return };
        self.certify.pool.departures.count(cx.now);
        if pending.id != *id && pending.from_client {
            let next = self.ledger.account(&slot.payer).unwrap_or_default().next_seq;
            let reject = Reject::SeqTooLow { got: slot.seq, next };
            cx.out(Effect::Event(Event::GaveUp { id: pending.id, reject }));
        }
    }
}
