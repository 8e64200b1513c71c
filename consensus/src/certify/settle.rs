//! Counting, applying, `applied` and `final`.

use super::Certify;
use crate::archive;
use crate::effect::{Effect, Event, Stage};
use crate::planted::{Bug, planted};
use crate::ports::{ApplyError, Column, Ledger};
use crate::replica::{Cx, Replica};
use smt_types::batch::BatchPath;
use smt_types::evidence::{Acceptance, Evidence};
use smt_types::message::{Ask, Message, NodeId};
use smt_types::vote::{Applied, Certificate, Vote, VotePart};
use smt_types::{Bitmap, Bounded, Digest, Epoch, PaymentId, ReplicaIndex, Signature, SignedPayment, Slot};
use std::collections::{BTreeMap, BTreeSet};

impl<L: Ledger> Replica<L> {
    /// Votes for a batch, from anyone.
    pub(crate) fn on_certificate(&mut self, cx: &mut Cx<'_>, from: NodeId, certificate: Certificate) {
        let digest = certificate.header;
        if let Some(state) = self.certify.batches.get(&digest) {
            let known = state.certified.clone();
            self.merge_certificate(cx, certificate);
            self.settle(cx);
            let grown = self.certify.batches.get(&digest).is_some_and(|state| state.certified != known);
            if !grown {
                self.send_applied(cx, from, &digest);
            }
            self.poll_epoch(cx);
        } else if archive::batch(cx.reader, &digest).is_some() {
            self.send_applied(cx, from, &digest);
        } else {
            if self.certify.orphans.len() >= super::MAX_ORPHANS {
                self.certify.orphans.pop_first();
            }
            self.certify.orphans.insert(digest, certificate);
            cx.out(Effect::Send(from, Message::Ask(Ask::Batch(digest))));
        }
    }

    fn send_applied(&self, cx: &mut Cx<'_>, to: NodeId, digest: &Digest) {
        if let Some(applied) = archive::applied_by(cx.reader, digest, self.me().replica) {
            cx.out(Effect::Send(to, Message::Applied(Box::new(applied))));
        }
    }

    /// Adds votes to a known batch.
    pub(crate) fn merge_certificate(&mut self, cx: &mut Cx<'_>, certificate: Certificate) {
        let digest = certificate.header;
        for vote in certificate.votes() {
            self.merge_vote(cx, vote);
        }
        self.recount(cx, digest);
    }

    /// Adds one vote to a known batch; a second, different one convicts the voter and is not counted.
    pub(crate) fn merge_vote(&mut self, cx: &mut Cx<'_>, vote: Vote) {
        if vote.replica == self.me().replica {
            self.check_own_vote(cx, &vote);
            return;
        }
        let Some(state) = self.certify.batches.get_mut(&vote.header) else { return };
        let header = &state.batch.header;
        if (header.gateway, header.number, header.count) != (vote.gateway, vote.number, vote.bits.count()) {
            return;
        }
        match state.votes.get(&vote.replica) {
            None => {
                let part = VotePart { replica: vote.replica, bits: vote.bits.clone(), signature: vote.signature };
                state.votes.insert(vote.replica, part);
            }
            Some(part) if part.bits == vote.bits => {}
            Some(part) => {
                let first = Vote { bits: part.bits.clone(), signature: part.signature, ..vote.clone() };
                let replica = vote.replica;
                self.convict(cx, Evidence::Votes(Box::new([first, vote])), replica);
            }
        }
    }

    /// Counts the votes of a batch again: bit by bit.
    pub(crate) fn recount(&mut self, cx: &mut Cx<'_>, digest: Digest) {
        let quorum = self.committee.quorum();
        let Some(state) = self.certify.batches.get_mut(&digest) else { return };
        let count = state.count();
        let certified = if planted(Bug::AndInsteadOfCount) {
            let enough = state.votes.len() >= quorum;
            Bitmap::from_fn(count, |index| enough && state.votes.values().all(|part| part.bits.get(index)))
        } else if planted(Bug::CountVotesPerBatch) {
            let enough = state.votes.len() >= quorum;
            Bitmap::from_fn(count, |index| enough && state.votes.values().any(|part| part.bits.get(index)))
        } else {
            Bitmap::at_least(count, quorum, state.votes.values().map(|part| &part.bits))
        };
        let mut certified = certified;
        certified.join(&state.decided);
        let fresh = certified.without(&state.certified);
        state.certified.join(&fresh);
        if fresh.is_empty() {
            return;
        }
        if let Some(certificate) = self.certificate(&digest) {
            cx.write(archive::put(Column::Certificate, digest.0.to_vec(), &certificate));
        }
        self.certify.dirty.insert(digest);
        self.on_certified(cx, digest, &fresh);
    }

    fn on_certified(&mut self, cx: &mut Cx<'_>, digest: Digest, fresh: &Bitmap) {
        let Certify { batches, slots, work, .. } = &mut self.certify;
        let Some(state) = batches.get(&digest) else { return };
        let (mut told, mut forks) = (Vec::new(), Vec::new());
        for index in fresh.iter() {
            let Some((_, id, slot)) = state.item(index) else { continue };
            let entry = slots.entry(slot).or_default();
            match entry.certified {
                None => (entry.certified, entry.certified_at) = (Some(id), Some((digest, index))),
                Some(other) if other == id => entry.certified_at = entry.certified_at.or(Some((digest, index))),
                Some(other) => {
                    // Only beyond the fault bound. Both are kept as evidence; nothing is voted or applied here any more.
                    entry.forked = true;
                    forks.push((slot, other, id));
                    continue;
                }
            }
            if work.back() != Some(&slot.payer) {
                work.push_back(slot.payer);
            }
            told.push((id, index));
        }
        if !told.is_empty() {
            let event = Event::Stages { stage: Stage::Certified, batch: digest, epoch: Epoch(0), payments: told };
            cx.out(Effect::Event(event));
        }
        for (slot, first, second) in forks {
            self.two_certificates(cx, slot, first, second);
        }
    }

    /// Applies whatever has become applicable, then signs what is new as applied.
    pub(crate) fn settle(&mut self, cx: &mut Cx<'_>) {
        while let Some(payer) = self.certify.work.pop_front() {
            while let Some(payee) = self.apply_next(cx, payer) {
                if payee != payer {
                    if self.certify.unfunded.remove(&payee) {
                        self.certify.look_at(payee);
                    }
                    self.heat(cx, payee);
                }
            }
            self.heat(cx, payer);
        }
        for digest in std::mem::take(&mut self.certify.dirty) {
            self.sign_applied(cx, &digest);
        }
    }

    /// Applies the payer's next payment if it is certified and funded; answers whom it paid.
    fn apply_next(&mut self, cx: &mut Cx<'_>, payer: smt_types::Address) -> Option<smt_types::Address> {
        let live = self.ledger.account(&payer).unwrap_or_default();
        let slot = Slot { payer, seq: live.next_seq };
        let entry = self.certify.slots.get(&slot)?;
        let id = entry.certified.filter(|_| !entry.forked && entry.applied.is_none())?;
        let (digest, index) = self.certified_place(&slot, &id)?;
        let payment = self.certify.batches.get(&digest)?.known(index)?;
        let payee = payment.payment.payee;
        match self.ledger.apply(payment) {
            Ok(()) => {}
            Err(ApplyError::Unfunded { .. }) if planted(Bug::NegativeIntermediates) => {}
            Err(ApplyError::Unfunded { .. }) => {
                // Its funding is certified somewhere, or the voters would not have accepted it.
                self.certify.unfunded.insert(payer);
                self.want_since(cx);
                return None;
            }
            Err(ApplyError::Seq { .. }) => return None,
        }
        self.certify.mark_applied(&slot, id);
        self.done_in_pool(cx, &slot, &id);
        Some(payee)
    }

    /// The certified bits of a batch whose payments are applied here.
    pub(crate) fn applied_bits(&self, digest: &Digest) -> Option<Bitmap> {
        let state = self.certify.batches.get(digest)?;
        Some(state.certified.both(&state.applied_here))
    }

    fn sign_applied(&mut self, cx: &mut Cx<'_>, digest: &Digest) {
        let Some(bits) = self.applied_bits(digest) else { return };
        let me = self.me().replica;
        let Some(state) = self.certify.batches.get(digest) else { return };
        let grown = state.applied.get(&me).is_none_or(|before| !bits.is_subset(&before.bits));
        if bits.is_empty() || !grown || !self.is_voting() {
            return;
        }
        let mut applied = Applied {
            committee: self.committee.digest(),
            header: *digest,
            replica: me,
            bits,
            open_epoch: self.open_epoch(),
            signature: Signature([0; 64]),
        };
        applied.signature = self.signer.sign(&applied.digest());
        cx.write(archive::put(Column::Applied, archive::applied_key(digest, me), &applied));
        if !planted(Bug::SkipAppliedSync) {
            cx.sync();
        }
        cx.out(Effect::Broadcast(Message::Applied(Box::new(applied.clone()))));
        self.merge_applied(cx, applied);
    }

    /// A peer's applied record.
    pub(crate) fn on_applied(&mut self, cx: &mut Cx<'_>, applied: Applied) {
        if applied.replica == self.me().replica {
            let mine = archive::applied_by(cx.reader, &applied.header, applied.replica);
            if mine.is_none_or(|mine| !applied.bits.is_subset(&mine.bits)) {
                self.lost_record(cx, "an applied record");
            }
            return;
        }
        if let Some(state) = self.certify.batches.get(&applied.header) {
            // Certified elsewhere and neither certified nor applied here: asked for with the next round of questions, never
            // at once, so that answers to answers cannot go round in circles.
            if state.lacks(&applied.bits) {
                self.certify.lacking.insert(applied.header);
                self.arm_ask(cx);
            }
            self.merge_applied(cx, applied);
        } else if archive::batch(cx.reader, &applied.header).is_some() {
            // Forgotten here: kept for receipts, the larger record if two come.
            let known = archive::applied_by(cx.reader, &applied.header, applied.replica);
            if known.is_none_or(|known| !applied.bits.is_subset(&known.bits)) {
                let key = archive::applied_key(&applied.header, applied.replica);
                cx.write(archive::put(Column::Applied, key, &applied));
            }
        } else {
            self.certify.lacking.insert(applied.header);
            self.arm_ask(cx);
        }
    }

    fn merge_applied(&mut self, cx: &mut Cx<'_>, applied: Applied) {
        let quorum = self.committee.quorum();
        let (digest, me) = (applied.header, self.me().replica);
        let Some(state) = self.certify.batches.get_mut(&digest) else { return };
        if applied.bits.count() != state.count() {
            return;
        }
        let newer = state.applied.get(&applied.replica).is_none_or(|before| !applied.bits.is_subset(&before.bits));
        if !newer {
            return;
        }
        if applied.replica != me {
            let key = archive::applied_key(&digest, applied.replica);
            cx.write(archive::put(Column::Applied, key, &applied));
        }
        state.applied.insert(applied.replica, applied);
        let finals = Bitmap::at_least(state.count(), quorum, state.applied.values().map(|record| &record.bits));
        let fresh = finals.without(&state.finals);
        state.finals.join(&fresh);
        let mut told: BTreeMap<Epoch, Vec<(PaymentId, u16)>> = BTreeMap::new();
        for index in fresh.iter() {
            let Some((_, id, _)) = state.item(index) else { continue };
            let epoch = final_epoch(state.applied.values(), index, quorum);
            told.entry(epoch).or_default().push((id, index));
        }
        for (epoch, payments) in told {
            cx.out(Effect::Event(Event::Stages { stage: Stage::Final, batch: digest, epoch, payments }));
        }
    }

    /// All votes known for a live batch.
    pub(crate) fn certificate(&self, digest: &Digest) -> Option<Certificate> {
        let state = self.certify.batches.get(digest)?;
        let header = &state.batch.header;
        Some(Certificate {
            committee: header.committee,
            gateway: header.gateway,
            number: header.number,
            header: *digest,
            votes: Bounded::truncated(state.votes.values().cloned().collect()),
        })
    }

    pub(crate) fn send_certificate(&self, cx: &mut Cx<'_>, to: NodeId, digest: &Digest) {
        if let Some(state) = self.certify.batches.get(digest) {
            cx.out(Effect::Send(to, Message::Batch(Box::new(state.batch.clone()))));
            if let Some(certificate) = self.certificate(digest) {
                cx.out(Effect::Send(to, Message::Certificate(Box::new(certificate))));
            }
        } else if let Some((batch, _)) = archive::batch(cx.reader, digest) {
            cx.out(Effect::Send(to, Message::Batch(Box::new(batch))));
            if let Some(certificate) = archive::certificate(cx.reader, digest) {
                cx.out(Effect::Send(to, Message::Certificate(Box::new(certificate))));
            }
        }
    }

    /// Two payments at one slot: both are told to the peers once.
    pub(crate) fn note_contested(&mut self, cx: &mut Cx<'_>, slot: Slot) {
        if slot.seq < self.ledger.cut_seq(&slot.payer) || !self.certify.contested.insert(slot) {
            return;
        }
        let known: Vec<PaymentId> =
            self.certify.slots.get(&slot).map(|e| e.known().into_iter().collect()).unwrap_or_default();
        if let [a, b, ..] = known.as_slice()
            && let (Some(first), Some(second)) = (self.other_payment(&slot, b), self.other_payment(&slot, a))
            && first.payment.id() != second.payment.id()
        {
            cx.out(Effect::Broadcast(Message::Contested(Box::new([first, second]))));
        }
    }

    /// A peer knows two payments of one slot.
    pub(crate) fn on_contested(&mut self, cx: &mut Cx<'_>, pair: [SignedPayment; 2]) {
        for payment in pair {
            self.learn_rival(cx, payment);
        }
    }

    /// A payment seen outside a batch.
    pub(crate) fn learn_rival(&mut self, cx: &mut Cx<'_>, payment: SignedPayment) {
        let (slot, id) = (payment.payment.slot(), payment.payment.id());
        if slot.seq < self.ledger.cut_seq(&slot.payer) || slot.payer.shard(self.level()) != self.me().shard {
            return;
        }
        // Only slots that something here already names: a peer cannot fill memory with slots of its own making.
        let Some(entry) = self.certify.slots.get_mut(&slot) else { return };
        if !entry.known().contains(&id) {
            entry.rival = Some(Box::new(payment));
        }
        if entry.is_contested() {
            self.note_contested(cx, slot);
        }
    }

    fn two_certificates(&mut self, cx: &mut Cx<'_>, slot: Slot, first: PaymentId, second: PaymentId) {
        let of = |id: PaymentId| -> Vec<(ReplicaIndex, Acceptance)> {
            let Some((digest, index)) = self.certified_place(&slot, &id) else { return Vec::new() };
            let Some(state) = self.certify.batches.get(&digest) else { return Vec::new() };
            let leaves: Vec<Digest> = state.batch.payments.iter().map(SignedPayment::leaf).collect();
            let (Some(path), Some((payment, _, _))) = (BatchPath::of(&leaves, index), state.item(index)) else {
                return Vec::new();
            };
            let header = &state.batch.header;
            let accepting = state.votes.values().filter(|part| part.bits.get(index));
            accepting
                .map(|part| {
                    let vote = Vote {
                        committee: header.committee,
                        gateway: header.gateway,
                        number: header.number,
                        header: digest,
                        replica: part.replica,
                        bits: part.bits.clone(),
                        signature: part.signature,
                    };
                    let acceptance =
                        Acceptance { vote, header: header.clone(), payment: payment.clone(), path: path.clone() };
                    (part.replica, acceptance)
                })
                .collect()
        };
        let (one, two) = (of(first), of(second));
        let mut named = BTreeSet::new();
        for (replica, a) in one {
            if let Some((_, b)) = two.iter().find(|(other, _)| *other == replica)
                && named.insert(replica)
            {
                self.convict(cx, Evidence::Acceptances(Box::new([a, b.clone()])), replica);
            }
        }
    }
}

/// The epoch a final payment must be in: the largest open epoch among the q signatures with the smallest ones, which is
/// the set a receipt is made of.
pub(crate) fn final_epoch<'a>(records: impl Iterator<Item = &'a Applied>, index: u16, quorum: usize) -> Epoch {
    let mut epochs: Vec<Epoch> = records.filter(|record| record.bits.get(index)).map(|r| r.open_epoch).collect();
    epochs.sort_unstable();
    quorum.checked_sub(1).and_then(|place| epochs.get(place).copied()).unwrap_or_default()
}
