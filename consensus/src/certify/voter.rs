//! The voter: one vote per (gateway, number), ever.

use super::BatchState;
use crate::archive;
use crate::effect::Effect;
use crate::planted::{Bug, planted};
use crate::ports::{Column, Ledger};
use crate::replica::{Cx, Replica, Timer};
use crate::table::Table;
use smt_types::batch::Batch;
use smt_types::clock::MAX_LAMPORT_AHEAD;
use smt_types::evidence::{Evidence, SignedBatchHeader};
use smt_types::message::{Message, NodeId, Refusal};
use smt_types::vote::{Vote, VotePart};
use smt_types::{Address, Amount, Bitmap, Bounded, Digest, Seq, Signature};

impl<L: Ledger> Replica<L> {
    /// A gateway's batch: take it in and answer it.
    pub(crate) fn on_batch(&mut self, cx: &mut Cx<'_>, from: NodeId, batch: Batch) {
        let header = &batch.header;
        let digest = header.digest();
        let slot = (header.gateway, header.number);
        let known = self.certify.numbers.get(&slot).copied().or_else(|| archive::number(cx.reader, slot.0, slot.1));
        if let Some(other) = known.filter(|known| *known != digest) {
            self.two_batches(cx, &batch, other);
            // Not voted on, ever; but what a quorum has certified or decided must still be carried out here.
            if self.wanted_batches().contains(&digest) && !self.certify.batches.contains_key(&digest) {
                self.take_in(cx, batch, digest);
                self.store_batch(cx, &digest, None);
                self.poll_epoch(cx);
            }
            return;
        }
        let gateway = NodeId { shard: from.shard, replica: header.gateway };
        if known.is_none() && gateway == self.me() {
            self.lost_record(cx, "a batch");
            return;
        }
        if known.is_none() && self.is_overloaded(gateway.replica) && !self.wanted_batches().contains(&digest) {
            // Too much of this gateway is in no cut yet. It sends the batch again, later.
            return;
        }
        if known.is_some() {
            let voted = self.certify.batches.get(&digest).is_none_or(|state| state.voted);
            if voted && !planted(Bug::RecomputeVote) {
                // Only its gateway asks by sending it.
                if from.replica == gateway.replica {
                    self.answer_again(cx, gateway, &digest);
                }
                return;
            }
        }
        // A batch that comes because we asked for it, from someone else than its gateway, is answered all the same: the
        // vote is ours to give once, and it may be what the gateway is still waiting for.
        if !self.certify.batches.contains_key(&digest) {
            self.take_in(cx, batch, digest);
        }
        if self.is_voting() {
            self.vote_on(cx, digest, gateway);
        } else if known.is_none() {
            self.store_batch(cx, &digest, None);
        }
        if let Some(certificate) = self.certify.orphans.remove(&digest) {
            self.merge_certificate(cx, certificate);
        }
        self.settle(cx);
        self.poll_epoch(cx);
    }

    /// Indexes a batch in the live window. Nothing is decided here.
    pub(crate) fn take_in(&mut self, cx: &mut Cx<'_>, batch: Batch, digest: Digest) {
        let header = &batch.header;
        self.certify.numbers.entry((header.gateway, header.number)).or_insert(digest);
        let load = self.certify.load.entry(header.gateway).or_default();
        load.batches = load.batches.saturating_add(1);
        load.payments = load.payments.saturating_add(usize::from(header.count));
        let mut state = BatchState::new(batch);
        let mut contested = Vec::new();
        for index in 0..state.count() {
            let Some((_, id, slot)) = state.item(index) else { continue };
            // A payment applied through another batch, or joined by a cut, counts as applied in this one too.
            let passed = slot.seq < self.ledger.cut_seq(&slot.payer);
            let joined = if passed { self.joined(cx.reader, &id) } else { None };
            let entry = self.certify.slots.entry(slot).or_default();
            entry.add_place((id, digest, index));
            if entry.is_contested() {
                contested.push(slot);
            }
            if let Some((_, _, epoch)) = joined.filter(|(batch, _, _)| *batch == digest) {
                state.decided.set(index);
                state.decided_at = state.decided_at.max(epoch);
            }
            if entry.applied.is_none() && joined.is_some() {
                entry.applied = Some(id);
            }
            if entry.applied == Some(id) {
                state.applied_here.set(index);
            }
        }
        self.certify.batches.insert(digest, state);
        for slot in contested {
            self.note_contested(cx, slot);
        }
    }

    /// Whether a gateway has as much in the live window as its share of a cut allows.
    pub(crate) fn is_overloaded(&self, gateway: smt_types::ReplicaIndex) -> bool {
        let load = self.certify.load.get(&gateway).copied().unwrap_or_default();
        let share = |whole: usize| whole.checked_div(self.committee.size()).unwrap_or(whole);
        load.batches >= share(smt_types::report::MAX_CUT_BATCHES) || load.payments >= share(super::MAX_LIVE_PAYMENTS)
    }

    fn store_batch(&mut self, cx: &mut Cx<'_>, digest: &Digest, vote: Option<Vote>) {
        let Some(state) = self.certify.batches.get(digest) else { return };
        let header = &state.batch.header;
        cx.write(archive::put(Column::Batch, digest.0.to_vec(), &(&state.batch, &vote)));
        cx.write(archive::put(Column::Number, archive::number_key(header.gateway, header.number), digest));
        cx.write(archive::put(Column::Live, digest.0.to_vec(), &()));
    }

    /// Votes on a batch in the live window: the batch with the bitmap voted is one synced record, and the vote leaves
    /// after it.
    pub(crate) fn vote_on(&mut self, cx: &mut Cx<'_>, digest: Digest, gateway: NodeId) {
        let Some(state) = self.certify.batches.get(&digest) else { return };
        let header = state.batch.header.clone();
        let ahead = header.lamport.0 > self.lamport.0.saturating_add(MAX_LAMPORT_AHEAD)
            || header.dense.time_us > self.reach(cx.now);
        let (bits, advice) = if ahead {
            (Bitmap::zeros(header.count), vec![(0, Refusal::Clock)])
        } else {
            self.merge_clocks(cx, header.lamport, &header.dense);
            self.judge(&digest)
        };
        let mut vote = Vote {
            committee: header.committee,
            gateway: header.gateway,
            number: header.number,
            header: digest,
            replica: self.me().replica,
            bits,
            signature: Signature([0; 64]),
        };
        vote.signature = self.signer.sign(&vote.digest());
        self.lock(cx, &digest, &vote.bits);
        self.store_batch(cx, &digest, Some(vote.clone()));
        if !planted(Bug::SkipVoteSync) {
            cx.sync();
        }
        let part = VotePart { replica: vote.replica, bits: vote.bits.clone(), signature: vote.signature };
        if let Some(state) = self.certify.batches.get_mut(&digest) {
            state.voted = true;
            state.votes.insert(vote.replica, part);
        }
        let held: Vec<Digest> = self.certificates_for(&digest, &advice, gateway);
        if gateway != self.me() {
            cx.out(Effect::Send(gateway, Message::Vote(Box::new(vote), Bounded::truncated(advice))));
            for other in held {
                self.send_certificate(cx, gateway, &other);
            }
        }
        self.recount(cx, digest);
    }

    /// Which payments of a batch this replica accepts now, and advice for the others. Depends on the state alone.
    fn judge(&self, digest: &Digest) -> (Bitmap, Vec<(u16, Refusal)>) {
        let Some(state) = self.certify.batches.get(digest) else { return (Bitmap::zeros(0), Vec::new()) };
        let mut bits = Bitmap::zeros(state.count());
        let mut advice = Vec::new();
        // Per payer: next seq and money left, as far as this batch has been accepted.
        let mut runs: Table<Address, (Seq, Amount)> = Table::new();
        for index in 0..state.count() {
            let Some((payment, id, slot)) = state.item(index) else { continue };
            let (next, left) = runs.get(&slot.payer).copied().unwrap_or_else(|| {
                let live = self.ledger.account(&slot.payer).unwrap_or_default();
                (live.next_seq, live.balance)
            });
            let entry = self.certify.slots.get(&slot);
            let other_lock = entry.and_then(|e| e.lock).filter(|lock| *lock != id && !planted(Bug::IgnoreLock));
            let refusal =
                if slot.payer.shard(self.level()) != self.me().shard || payment.payment.network != self.network.id {
                    Some(Refusal::Frozen)
                } else if entry.is_some_and(|e| e.certified == Some(id) || e.applied == Some(id)) {
                    Some(Refusal::Certified)
                } else if entry.is_some_and(|e| e.forked || e.certified.is_some()) {
                    Some(self.other_payment(&slot, &id).map_or(Refusal::Frozen, |p| Refusal::Locked(Box::new(p))))
                } else if slot.seq < next {
                    Some(Refusal::SeqPassed(next))
                } else if slot.seq > next {
                    Some(Refusal::SeqTooHigh(next))
                } else if other_lock.is_some() {
                    Some(self.other_payment(&slot, &id).map_or(Refusal::Frozen, |p| Refusal::Locked(Box::new(p))))
                } else if payment.payment.amount == Amount::ZERO || slot.payer == payment.payment.payee {
                    Some(Refusal::Frozen)
                } else {
                    match (left.checked_sub(payment.payment.amount), next.next()) {
                        (Some(rest), Some(after)) => {
                            runs.insert(slot.payer, (after, rest));
                            bits.set(index);
                            None
                        }
                        _ => Some(Refusal::Unfunded),
                    }
                };
            advice.extend(refusal.map(|refusal| (index, refusal)));
        }
        (bits, advice)
    }

    /// Locks what a vote of ours accepts, and sees to it later that locks get their certificates.
    pub(crate) fn lock(&mut self, cx: &mut Cx<'_>, digest: &Digest, bits: &Bitmap) {
        let Some(state) = self.certify.batches.get_mut(digest) else { return };
        for index in bits.iter() {
            let Some((_, id, slot)) = state.item(index) else { continue };
            let entry = self.certify.slots.entry(slot).or_default();
            if entry.lock.is_none() || planted(Bug::IgnoreLock) {
                entry.lock = Some(id);
                state.locked.set(index);
            }
        }
        if !state.locked.is_empty() {
            let wait = self.jitter(digest, self.params.relock_us);
            self.timers.insert((cx.now.saturating_add(wait), Timer::Locks(*digest)));
        }
    }

    /// Another payment known at `slot`.
    pub(crate) fn other_payment(
        &self,
        slot: &smt_types::Slot,
        id: &smt_types::PaymentId,
    ) -> Option<smt_types::SignedPayment> {
        let entry = self.certify.slots.get(slot)?;
        let place = entry.places.iter().find(|(other, _, _)| other != id);
        let stored = place.and_then(|(_, digest, index)| {
            self.certify.batches.get(digest).and_then(|state| state.item(*index)).map(|(payment, _, _)| payment.clone())
        });
        stored.or_else(|| entry.rival.as_deref().filter(|p| p.payment.id() != *id).cloned())
    }

    /// Batches whose certificates answer the bits refused as certified, but for payments that `to` is known to have applied.
    fn certificates_for(&self, digest: &Digest, advice: &[(u16, Refusal)], to: NodeId) -> Vec<Digest> {
        let Some(state) = self.certify.batches.get(digest) else { return Vec::new() };
        let mut found: Vec<Digest> = advice
            .iter()
            .filter(|(_, refusal)| matches!(refusal, Refusal::Certified))
            .filter_map(|(index, _)| state.item(*index))
            .filter_map(|(_, id, slot)| self.certified_place(&slot, &id))
            .filter(|(digest, index)| {
                let applied = self.certify.batches.get(digest).and_then(|state| state.applied.get(&to.replica));
                applied.is_none_or(|record| !record.bits.get(*index))
            })
            .map(|(digest, _)| digest)
            .collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    /// A batch and index where `id` is certified.
    pub(crate) fn certified_place(&self, slot: &smt_types::Slot, id: &smt_types::PaymentId) -> Option<(Digest, u16)> {
        let entry = self.certify.slots.get(slot)?;
        let newest = entry
            .certified_at
            .filter(|(digest, _)| entry.certified == Some(*id) && self.certify.batches.contains_key(digest));
        if newest.is_some() {
            return newest;
        }
        entry.places.iter().find_map(|(other, digest, index)| {
            let here = other == id && self.certify.batches.get(digest).is_some_and(|state| state.certified.get(*index));
            here.then_some((*digest, *index))
        })
    }

    /// The batch has been answered before: the same bytes go out again.
    fn answer_again(&mut self, cx: &mut Cx<'_>, gateway: NodeId, digest: &Digest) {
        if gateway == self.me() {
            return;
        }
        if let Some((_, Some(vote))) = archive::batch(cx.reader, digest) {
            let advice = match self.certify.batches.contains_key(digest) {
                true => self.judge(digest).1.into_iter().filter(|(index, _)| !vote.bits.get(*index)).collect(),
                false => Vec::new(),
            };
            // Two batches with one payment, each the reason why the other was refused, would be answered with one another
            // for ever, as fast as the network carries them.
            let again = self.params.ask_us / 2;
            let due = self.certify.batches.get_mut(digest).is_some_and(|state| {
                let due = cx.now >= state.reasons_at.saturating_add(again);
                state.reasons_at = if due { cx.now } else { state.reasons_at };
                due
            });
            let held = if due { self.certificates_for(digest, &advice, gateway) } else { Vec::new() };
            cx.out(Effect::Send(gateway, Message::Vote(Box::new(vote), Bounded::truncated(advice))));
            for other in held {
                self.send_certificate(cx, gateway, &other);
            }
        }
    }

    fn two_batches(&mut self, cx: &mut Cx<'_>, batch: &Batch, other: Digest) {
        let stored = match self.certify.batches.get(&other) {
            Some(state) => Some(state.batch.clone()),
            None => archive::batch(cx.reader, &other).map(|(batch, _)| batch),
        };
        if let Some(first) = stored {
            let signed = |b: &Batch| SignedBatchHeader { header: b.header.clone(), signature: b.signature };
            self.convict(cx, Evidence::Batches(Box::new([signed(&first), signed(batch)])), batch.header.gateway);
        }
    }
}
