//! Carrying out a decided cut: the ledger moves, the header follows, q double signatures certify it.

use super::OpenHeader;
use crate::archive::{self, StoredHeader};
use crate::certify::Certify;
use crate::effect::{Effect, Event, Stage};
use crate::index::{JoinedPayment, Owed};
use crate::planted::{Bug, planted};
use crate::ports::{Column, CutError, Joined, Known, Ledger};
use crate::replica::{Cx, Replica, Timer};
use smt_types::evidence::{Evidence, SignedHeader};
use smt_types::hash::{self, Domain};
use smt_types::header::{CertifiedHeader, HeaderSignature};
use smt_types::message::{Message, NodeId};
use smt_types::{Bounded, CutValue, Digest, Epoch, Header, PaymentId};
use std::collections::BTreeMap;

/// Own headers without a quorum that are kept and repeated; a shard that far behind has lost its quorum anyway.
pub(crate) const OPEN_HEADERS_MAX: usize = 256;

/// Epochs a batch stays live after its cut while some of its payments lack their q applied records here: they make the
/// receipt, and only live batches are sent again.
const KEEP_FOR_RECEIPTS: u64 = 16;

/// How long replicas other than the proposer wait before they publish a certified header themselves.
const PUBLISH_GRACE_US: u64 = 300_000;

/// The payments that a value names.
#[derive(Default)]
struct Named<'a> {
    payments: Vec<Known<'a>>,
    /// Their places: batch among `batches`, index.
    places: Vec<(u16, u16)>,
    batches: Vec<Digest>,
}

impl<'a> Named<'a> {
    /// `None` if a batch is not held.
    fn of(certify: &'a Certify, value: &CutValue) -> Option<Named<'a>> {
        let mut named = Named::default();
        let by_counts = planted(Bug::JoinByCounts).then(|| certify.bits_up_to_counts(&value.bits));
        for (entry, batch) in by_counts.as_deref().unwrap_or(&value.bits).iter().zip(0u16..) {
            let state = certify.batches.get(&entry.header)?;
            named.batches.push(entry.header);
            for index in entry.bits.iter() {
                named.payments.push(state.known(index)?);
                named.places.push((batch, index));
            }
        }
        Some(named)
    }

    /// What the index needs of a payment that joined.
    fn joined(&self, joined: &Joined) -> Option<JoinedPayment> {
        let place = usize::try_from(joined.place).ok()?;
        let payee = self.payments.get(place)?.payment.payee;
        Some(JoinedPayment { slot: joined.slot, id: joined.id, payee, place: *self.places.get(place)? })
    }
}

impl<L: Ledger> Replica<L> {
    /// Whether the value can be carried out on this replica's cut.
    pub(crate) fn check_value(&self, value: &CutValue) -> Result<(), CutError> {
        let Named { payments, .. } = Named::of(&self.certify, value).unwrap_or_default();
        let credits = self.credits_of(value).unwrap_or_default();
        self.ledger.check_cut(value, &payments, &credits)
    }

    /// Carries out the decision if everything it names is here.
    pub(crate) fn try_carry(&mut self, cx: &mut Cx<'_>) {
        let Some(decision) = self.epoch.decision.clone() else { return };
        let value = &decision.value;
        let (Some(named), Some(credits)) = (Named::of(&self.certify, value), self.credits_of(value)) else {
            self.arm_ask(cx);
            return;
        };
        let mut writes = Vec::new();
        let snapshot = match self.ledger.decide(value, &named.payments, &credits, &mut writes) {
            Ok(snapshot) => snapshot,
            Err(error) => {
                // Decided by a quorum, and not possible on our state: somebody is beyond the fault bound.
                self.epoch.forked = true;
                self.epoch.decision = None;
                cx.out(Effect::Event(Event::Forked(error.to_string())));
                self.diverge(cx, "a decided cut cannot be carried out on this replica's state");
                return;
            }
        };
        cx.writes().append(&mut writes);
        let epoch = value.epoch;
        let digest = value.digest();
        cx.write(archive::put(Column::Cut, archive::epoch_key(epoch), &decision));
        let header = Header {
            network: self.network.id,
            shard: self.me().shard,
            epoch,
            predecessor: self.epoch.header.digest(),
            state: snapshot.state,
            supply: snapshot.supply,
            vector: hash::hash_of(Domain::Vector, &(self.epoch.header.vector, digest)),
            lamport: value.lamport,
            dense: value.dense,
            committee: self.committee.digest(),
            levels: snapshot.levels.clone(),
            links: snapshot.changes.digest(),
        };
        let payments = snapshot.joined.iter().filter_map(|joined| named.joined(joined)).collect();
        let owed = Owed::new(epoch, named.batches, payments, snapshot.credited);
        let joined = owed.places().collect();
        for JoinedPayment { slot, id, .. } in owed.payments() {
            let entry = self.certify.slots.entry(*slot).or_default();
            entry.certified.get_or_insert(*id);
            // Mostly this replica has applied it: then the cut is news to the ledger alone.
            if entry.applied != Some(*id) {
                self.certify.mark_applied(slot, *id);
                self.done_in_pool(cx, slot, id);
                self.certify.look_at(slot.payer);
            }
        }
        for (_, _, credit) in owed.credits() {
            let event = Event::Credited { id: credit.payment, payee: credit.payee, amount: credit.amount, epoch };
            cx.out(Effect::Event(event));
            self.certify.look_at(credit.payee);
        }
        self.owe(cx, owed);
        // The cut may bring funds that this replica had not seen.
        for payer in std::mem::take(&mut self.certify.unfunded) {
            self.certify.look_at(payer);
        }
        if planted(Bug::ForgetLateBits) {
            self.epoch.listed.extend(value.bits.iter().map(|entry| entry.header));
        }
        for entry in value.bits.iter() {
            if let Some(state) = self.certify.batches.get_mut(&entry.header) {
                state.decided.join(&entry.bits);
                state.decided_at = epoch;
            }
            self.recount(cx, entry.header);
        }
        let clocks = (value.lamport, value.dense);
        self.lamport = self.lamport.max(clocks.0);
        self.clock.resume(&clocks.1);
        self.consume(&decision.value);
        self.epoch.decided = epoch;
        self.epoch.base = digest;
        self.epoch.header = header.clone();
        self.epoch.begin_next();
        // Reports that came early were not held against this base yet.
        self.epoch.reports.retain(|_, report| report.base == digest);
        cx.out(Effect::Event(Event::Decided(epoch)));
        self.sign_header(cx, OpenHeader { header, changes: snapshot.changes, signed: None, joined });
        self.settle(cx);
        self.forget(cx);
        // In a step of its own: certifying reads the credits that this step has just written.
        self.timers.insert((cx.now.saturating_add(1), Timer::Certify(epoch)));
        if self.epoch.target > self.epoch.decided {
            if let Some(peer) = self.next_peer(self.me().shard) {
                let ask = smt_types::message::Ask::Cut(self.epoch.current());
                cx.out(Effect::Send(peer, Message::Ask(ask)));
            }
            self.arm_ask(cx);
        }
    }

    /// Drops batches of which each slot is passed, and slots that no live batch names.
    fn forget(&mut self, cx: &mut Cx<'_>) {
        let passed = |slot: &smt_types::Slot| slot.seq < self.ledger.cut_seq(&slot.payer);
        let done: Vec<Digest> = self
            .certify
            .batches
            .iter()
            .filter(|(_, state)| {
                let kept_long = self.epoch.decided.0.saturating_sub(state.decided_at.0) >= KEEP_FOR_RECEIPTS;
                let in_cuts = state.decided.ones() == u32::from(state.count());
                (in_cuts || state.slots.iter().all(passed)) && (kept_long || state.certified.is_subset(&state.finals))
            })
            .map(|(digest, _)| *digest)
            .collect();
        for digest in done {
            let Some(state) = self.certify.batches.remove(&digest) else { continue };
            let header = &state.batch.header;
            if self.certify.numbers.get(&(header.gateway, header.number)) == Some(&digest) {
                self.certify.numbers.remove(&(header.gateway, header.number));
            }
            if let Some(load) = self.certify.load.get_mut(&header.gateway) {
                load.batches = load.batches.saturating_sub(1);
                load.payments = load.payments.saturating_sub(usize::from(header.count));
            }
            cx.write(archive::delete(Column::Live, digest.0.to_vec()));
            for (index, (slot, id)) in state.slots.iter().zip(&state.ids).enumerate() {
                let Some(entry) = self.certify.slots.get_mut(slot) else { continue };
                let place = (*id, digest, u16::try_from(index).unwrap_or(u16::MAX));
                entry.places.retain(|other| *other != place);
                entry.certified_at = entry.certified_at.filter(|(other, _)| *other != digest);
                // A slot is there as long as a live batch names it; all slots of this one are passed.
                if entry.places.is_empty() {
                    self.certify.slots.remove(slot);
                }
            }
        }
        let ledger = &self.ledger;
        self.certify.contested.retain(|slot| slot.seq >= ledger.cut_seq(&slot.payer));
    }

    // --- headers --------------------------------------------------------------------------------------------------

    fn sign_header(&mut self, cx: &mut Cx<'_>, mut open: OpenHeader) {
        let me = self.me().replica;
        if self.is_voting() && !self.epoch.diverged {
            let signature = open.header.sign(me, self.signer.as_ref());
            let signed = SignedHeader { header: open.header.clone(), signature };
            cx.out(Effect::Broadcast(Message::HeaderSignature(Box::new(signed.clone()))));
            self.epoch.header_signatures.entry(open.header.epoch).or_default().insert(me, signed.clone());
            open.signed = Some(signed);
        }
        let stored =
            StoredHeader { header: open.header.clone(), changes: open.changes.clone(), signed: open.signed.clone() };
        cx.write(archive::put(Column::OwnHeader, archive::epoch_key(open.header.epoch), &stored));
        // The cut and the header are one synced record: what was decided is never decided again.
        cx.sync();
        self.epoch.open_headers.insert(open.header.epoch, open);
        while self.epoch.open_headers.len() > OPEN_HEADERS_MAX {
            self.epoch.open_headers.pop_first();
        }
    }

    /// A peer's signature of a header of ours.
    pub(crate) fn on_header_signature(&mut self, cx: &mut Cx<'_>, from: NodeId, signed: SignedHeader) {
        let epoch = signed.header.epoch;
        let replica = signed.signature.replica;
        if signed.header.shard != self.me().shard || replica == self.me().replica {
            return;
        }
        if let Some(header) = archive::header(cx.reader, self.me().shard, epoch) {
            if header.header == signed.header {
                // Whoever still sends it lacks the quorum.
                let has = header.signatures.iter().any(|s| s.replica == replica);
                if !has || from.replica == replica {
                    cx.out(Effect::Send(from, Message::Header(Box::new(header))));
                }
            }
            return;
        }
        if epoch.0 > self.epoch.decided.0.saturating_add(4) {
            self.fell_behind(cx, from, epoch);
            return;
        }
        let known = self.epoch.header_signatures.entry(epoch).or_default();
        if let Some(first) = known.get(&replica).filter(|first| first.header != signed.header) {
            let pair = [first.clone(), signed];
            self.convict(cx, Evidence::Headers(Box::new(pair)), replica);
            return;
        }
        known.insert(replica, signed);
        if epoch > self.epoch.decided {
            self.fell_behind(cx, from, epoch);
        }
        self.certify_header(cx, epoch);
    }

    /// Certifies our header of `epoch` if q signatures of it are here.
    pub(crate) fn certify_header(&mut self, cx: &mut Cx<'_>, epoch: Epoch) {
        let quorum = self.committee.quorum();
        let Some(open) = self.epoch.open_headers.get(&epoch) else { return };
        let Some(known) = self.epoch.header_signatures.get(&epoch) else { return };
        let same: Vec<HeaderSignature> = known
            .values()
            .filter(|signed| signed.header == open.header)
            .map(|signed| signed.signature.clone())
            .take(quorum)
            .collect();
        let mut others: BTreeMap<Digest, usize> = BTreeMap::new();
        for signed in known.values().filter(|signed| signed.header != open.header) {
            let count = others.entry(signed.header.digest()).or_default();
            *count = count.saturating_add(1);
        }
        if others.values().any(|count| *count >= quorum) {
            self.diverge(cx, "a quorum signed another header for a cut this replica carried out");
            return;
        }
        if same.len() < quorum {
            return;
        }
        let certified = CertifiedHeader {
            header: open.header.clone(),
            changes: open.changes.clone(),
            signatures: Bounded::truncated(same),
        };
        self.header_is_certified(cx, certified);
    }

    /// A header of our shard has its quorum, by our count or from a peer.
    pub(crate) fn header_is_certified(&mut self, cx: &mut Cx<'_>, certified: CertifiedHeader) {
        let epoch = certified.header.epoch;
        if archive::header(cx.reader, self.me().shard, epoch).is_some() {
            self.epoch.open_headers.remove(&epoch);
            return;
        }
        // A crash may have taken the certificate of a header that is no longer open: a peer's copy fills the hole.
        let stored = || archive::own_header(cx.reader, epoch).map(OpenHeader::from);
        let Some(open) = self.epoch.open_headers.remove(&epoch).or_else(stored) else { return };
        if open.header != certified.header {
            self.epoch.open_headers.insert(epoch, open);
            self.diverge(cx, "a quorum signed another header for a cut this replica carried out");
            return;
        }
        self.epoch.header_signatures = self.epoch.header_signatures.split_off(&epoch);
        self.epoch.header_signatures.remove(&epoch);
        let key = archive::shard_number_key(self.me().shard, epoch.0);
        cx.write(archive::put(Column::Header, key, &certified));
        let mut by_batch: BTreeMap<Digest, Vec<(PaymentId, u16)>> = BTreeMap::new();
        for (id, (batch, index)) in open.joined {
            by_batch.entry(batch).or_default().push((id, index));
        }
        for (batch, payments) in by_batch {
            cx.out(Effect::Event(Event::Stages { stage: Stage::Snapshotted, batch, epoch, payments }));
        }
        cx.out(Effect::Event(Event::Header(Box::new(certified.clone()))));
        // One replica publishes at once, the others only if they have not seen it by gossip: equal headers with different
        // signers are different messages.
        if self.committee.proposer(epoch, smt_types::View(0)) == self.me().replica {
            cx.out(Effect::Publish(Box::new(certified.clone())));
        } else {
            self.epoch.unpublished.insert(epoch);
            self.timers.insert((cx.now.saturating_add(PUBLISH_GRACE_US), Timer::Publish(epoch)));
        }
        for change in certified.changes.0.iter().filter(|change| change.sent.count > 0) {
            if self.last_change(cx, change.peer).is_none_or(|newest| newest < epoch) {
                cx.write(archive::put(Column::LastChange, archive::shard_key(change.peer), &epoch));
            }
        }
        self.push_credits(cx, &certified);
        self.take_header(cx, certified);
    }

    pub(crate) fn on_publish_timer(&mut self, cx: &mut Cx<'_>, epoch: Epoch) {
        if self.epoch.unpublished.remove(&epoch)
            && let Some(header) = archive::header(cx.reader, self.me().shard, epoch)
        {
            cx.out(Effect::Publish(Box::new(header)));
        }
    }

    /// Own headers without a quorum are said again.
    pub(crate) fn on_header_timer(&mut self, cx: &mut Cx<'_>) {
        let mut again = Vec::new();
        let me = self.me().replica;
        for (epoch, open) in self.epoch.open_headers.iter_mut().take(8) {
            if open.signed.is_none() && self.voting == crate::replica::Voting::Yes && !self.epoch.diverged {
                // Carried out before this replica might sign.
                let signature = open.header.sign(me, self.signer.as_ref());
                let signed = SignedHeader { header: open.header.clone(), signature };
                let stored = StoredHeader {
                    header: open.header.clone(),
                    changes: open.changes.clone(),
                    signed: Some(signed.clone()),
                };
                cx.write(archive::put(Column::OwnHeader, archive::epoch_key(*epoch), &stored));
                cx.sync();
                open.signed = Some(signed);
            }
            if let Some(signed) = &open.signed {
                self.epoch.header_signatures.entry(*epoch).or_default().insert(me, signed.clone());
                again.push(signed.clone());
            }
        }
        for signed in again {
            cx.out(Effect::Broadcast(Message::HeaderSignature(Box::new(signed))));
        }
        self.timers.insert((cx.now.saturating_add(self.params.ask_us.saturating_mul(2)), Timer::Header));
    }

    pub(crate) fn diverge(&mut self, cx: &mut Cx<'_>, reason: &str) {
        self.epoch.diverged = true;
        self.stop_voting(cx, reason.to_owned());
    }
}
