//! The epoch cut (design §5): which payments are in, agreed on once per epoch, off the payment path.
//!
//! Replicas apply in different orders, so a state root needs agreement on a **set** of bits. Steps of epoch e:
//!
//! 1. *Report*: each replica signs what it has applied that cut e − 1 does not hold. Signing its first report for e closes
//!    e: what it signs as applied afterwards carries open epoch e + 1.
//! 2. *Propose*: the proposer of the view joins q reports ([`join`]).
//! 3. *Prepare, commit* ([`agree`]): q prepares make a value prepared, q commits decide it. A view change carries the
//!    highest prepared value, durable before it is sent; the next proposer must propose it again.
//! 4. *Carry out* ([`carry`]): the ledger moves the cut, the header follows from it and is signed with both keys.
//!
//! The same rule serves n = 3 and BFT. For n = 3, q = 2 two quorums share one replica, and safety relies on that one being
//! honest; for n ≥ 4 they share an honest one by counting. A report quorum and an applied quorum share an honest replica,
//! so a final payment is in the cut of its epoch (invariant 13).

pub(crate) mod agree;
pub(crate) mod carry;
pub mod join;

use crate::archive;
use crate::effect::Effect;
use crate::planted::{Bug, planted};
use crate::ports::{Column, Ledger};
use crate::replica::{Cx, Replica, Timer};
use smt_types::cut::{CutVote, Phase, PhaseCertificate, Proposal, ViewChange};
use smt_types::evidence::{Evidence, Omission, SignedHeader};
use smt_types::header::LinkChanges;
use smt_types::message::{Ask, Message, NodeId};
use smt_types::report::{BatchBits, ContestedSlot, Report};
use smt_types::{Bitmap, Bounded, CutValue, Digest, Epoch, Header, PaymentId, ReplicaIndex, Signature, View};
use std::collections::{BTreeMap, BTreeSet};

/// A header of ours that has no quorum yet.
#[derive(Debug)]
pub(crate) struct OpenHeader {
    pub(crate) header: Header,
    pub(crate) changes: LinkChanges,
    pub(crate) signed: Option<SignedHeader>,
    /// Payments of its cut, told as snapshotted when it is certified.
    pub(crate) joined: Vec<(PaymentId, (Digest, u16))>,
}

impl From<archive::StoredHeader> for OpenHeader {
    fn from(stored: archive::StoredHeader) -> Self {
        OpenHeader { header: stored.header, changes: stored.changes, signed: stored.signed, joined: Vec::new() }
    }
}

/// All state of the epoch cut.
#[derive(Debug)]
pub(crate) struct EpochState {
    /// The newest cut carried out.
    pub(crate) decided: Epoch,
    /// Digest of its value.
    pub(crate) base: Digest,
    /// Its header.
    pub(crate) header: Header,
    /// When the last first report was signed, or the replica started.
    pub(crate) last_report_at: u64,
    /// The view of epoch `decided` + 1 this replica is in.
    pub(crate) view: View,
    /// Newest report per replica for epoch `decided` + 1.
    pub(crate) reports: BTreeMap<ReplicaIndex, Report>,
    /// Reports for the epoch after, from replicas that are ahead.
    pub(crate) early: BTreeMap<ReplicaIndex, Report>,
    pub(crate) proposals: BTreeMap<View, Proposal>,
    pub(crate) votes: BTreeMap<(View, Phase, Digest), BTreeMap<ReplicaIndex, Signature>>,
    pub(crate) view_changes: BTreeMap<View, BTreeMap<ReplicaIndex, ViewChange>>,
    pub(crate) values: BTreeMap<Digest, CutValue>,
    /// Highest prepared value known for epoch `decided` + 1.
    pub(crate) prepared: Option<PhaseCertificate>,
    /// A decided value that still lacks batches or credits here.
    pub(crate) decision: Option<smt_types::cut::Decision>,
    /// Newest epoch anyone has shown to be decided or reported beyond ours.
    pub(crate) target: Epoch,
    /// A look at the reports is due.
    pub(crate) propose_armed: bool,
    /// Not before this time, unless another report comes.
    pub(crate) propose_at: u64,
    /// The first entry of a view's proposal that was not held here when last looked at.
    pub(crate) lacking: Option<(View, BatchBits)>,
    /// Own headers without quorum.
    pub(crate) open_headers: BTreeMap<Epoch, OpenHeader>,
    /// Header signatures of the committee, by epoch.
    pub(crate) header_signatures: BTreeMap<Epoch, BTreeMap<ReplicaIndex, SignedHeader>>,
    /// Certified headers waiting to be published if nobody else does.
    pub(crate) unpublished: BTreeSet<Epoch>,
    /// Batches that were listed in a cut already (kept for a planted bug only).
    pub(crate) listed: BTreeSet<Digest>,
    /// The shard's cuts have stopped.
    pub(crate) forked: bool,
    /// A replica computed another state for an agreed value: it signs no more headers.
    pub(crate) diverged: bool,
}

impl EpochState {
    pub(crate) fn genesis(header: Header, now: u64) -> EpochState {
        EpochState {
            decided: Epoch(0),
            base: Digest::ZERO,
            header,
            last_report_at: now,
            view: View(0),
            reports: BTreeMap::new(),
            early: BTreeMap::new(),
            proposals: BTreeMap::new(),
            votes: BTreeMap::new(),
            view_changes: BTreeMap::new(),
            values: BTreeMap::new(),
            prepared: None,
            decision: None,
            target: Epoch(0),
            propose_armed: false,
            propose_at: 0,
            lacking: None,
            open_headers: BTreeMap::new(),
            header_signatures: BTreeMap::new(),
            unpublished: BTreeSet::new(),
            listed: BTreeSet::new(),
            forked: false,
            diverged: false,
        }
    }

    /// The epoch to be cut next.
    pub(crate) fn current(&self) -> Epoch {
        Epoch(self.decided.0.saturating_add(1))
    }

    /// Forgets everything about the epoch that has just been decided.
    pub(crate) fn begin_next(&mut self) {
        self.view = View(0);
        self.reports = std::mem::take(&mut self.early);
        // A report upon another past cannot be joined, and would spoil a proposal.
        self.reports.retain(|_, report| report.base == self.base);
        self.proposals.clear();
        self.votes.clear();
        self.view_changes.clear();
        self.values.clear();
        self.prepared = None;
        self.decision = None;
        self.propose_at = 0;
        self.lacking = None;
    }

    pub(crate) fn newest_vote(&self, replica: ReplicaIndex, phase: Phase) -> Option<CutVote> {
        let found = self.votes.iter().rev().find(|((_, p, _), votes)| *p == phase && votes.contains_key(&replica));
        found.and_then(|((view, _, value), votes)| {
            Some(CutVote {
                committee: self.header.committee,
                epoch: self.current(),
                view: *view,
                phase,
                value: *value,
                replica,
                signature: *votes.get(&replica)?,
            })
        })
    }

    pub(crate) fn newest_report(&self, replica: ReplicaIndex) -> Option<Report> {
        self.early.get(&replica).or_else(|| self.reports.get(&replica)).cloned()
    }

    pub(crate) fn newest_view_change(&self, replica: ReplicaIndex) -> Option<ViewChange> {
        self.view_changes.values().rev().find_map(|changes| changes.get(&replica)).cloned()
    }
}

impl<L: Ledger> Replica<L> {
    /// The lowest epoch for which this replica has signed no report.
    pub(crate) fn open_epoch(&self) -> Epoch {
        let current = self.epoch.current();
        let closed = self.epoch.reports.contains_key(&self.me().replica) && !planted(Bug::KeepEpochOpen);
        if closed { Epoch(current.0.saturating_add(1)) } else { current }
    }

    /// Epochs start together: at multiples of their length on the shared clock. The clock only paces; numbers are
    /// consecutive whatever it says.
    pub(crate) fn schedule_epoch(&mut self, now: u64) {
        let length = self.params.epoch_us.max(1);
        let next = now.checked_div(length).unwrap_or(0).saturating_add(1).saturating_mul(length);
        self.timers.insert((next, Timer::Epoch));
    }

    pub(crate) fn on_epoch_timer(&mut self, cx: &mut Cx<'_>) {
        self.schedule_epoch(cx.now);
        let me = self.me().replica;
        if self.is_voting() && !self.epoch.forked && !self.epoch.reports.contains_key(&me) {
            self.sign_report(cx);
        }
        self.poll_epoch(cx);
    }

    /// Signs a report for the current epoch and view. One per (epoch, view), synced before it leaves.
    pub(crate) fn sign_report(&mut self, cx: &mut Cx<'_>) {
        let (epoch, view, me) = (self.epoch.current(), self.epoch.view, self.me().replica);
        if let Some(stored) = archive::report(cx.reader, epoch, view) {
            cx.out(Effect::Broadcast(Message::Report(Box::new(stored.clone()))));
            self.epoch.reports.insert(me, stored);
            return;
        }
        let Ok(bits) = Bounded::new(self.unjoined_bits()) else {
            // Cannot happen while gateways and voters hold back; signing less than the truth would be worse than waiting.
            return;
        };
        // A batch happens before the cut that holds its bits, also where a crash has taken the merge of its clock, or where
        // the payment was applied without a vote of ours. What a quorum has certified needs no drift bound.
        for entry in bits.iter() {
            if let Some(state) = self.certify.batches.get(&entry.header) {
                self.lamport = self.lamport.max(state.batch.header.lamport);
                self.clock.resume(&state.batch.header.dense);
            }
        }
        let mut report = Report {
            network: self.network.id,
            shard: self.me().shard,
            committee: self.committee.digest(),
            epoch,
            view,
            replica: me,
            base: self.epoch.base,
            bits,
            contested: Bounded::truncated(self.contested_slots()),
            sources: Bounded::truncated(self.source_counts()),
            lamport: self.lamport,
            dense: self.clock.last(),
            signature: Signature([0; 64]),
        };
        report.signature = self.signer.sign(&report.digest());
        cx.write(archive::put(Column::Report, archive::view_key(epoch, view), &report));
        cx.sync();
        cx.out(Effect::Broadcast(Message::Report(Box::new(report.clone()))));
        if !self.epoch.reports.contains_key(&me) {
            self.epoch.last_report_at = cx.now;
            self.arm_view_timer(cx);
        }
        self.epoch.reports.insert(me, report);
    }

    pub(crate) fn arm_view_timer(&mut self, cx: &Cx<'_>) {
        let (epoch, view) = (self.epoch.current(), self.epoch.view);
        let wait = self.params.view_timeout_us.saturating_mul(1 << view.0.min(6));
        self.timers.insert((cx.now.saturating_add(wait), Timer::View(epoch, view)));
    }

    /// Every applied bit that no cut holds, whichever cut its batch first appeared in.
    fn unjoined_bits(&self) -> Vec<BatchBits> {
        let mut entries = Vec::new();
        for (header, state) in &self.certify.batches {
            if planted(Bug::ForgetLateBits) && self.epoch.listed.contains(header) {
                continue;
            }
            let Some(applied) = self.applied_bits(header) else { continue };
            let (gateway, number) = (&state.batch.header.gateway, &state.batch.header.number);
            let bits = Bitmap::from_fn(state.count(), |index| {
                applied.get(index)
                    && !state.decided.get(index)
                    && state.item(index).is_some_and(|(_, _, slot)| slot.seq >= self.ledger.cut_seq(&slot.payer))
            });
            if !bits.is_empty() {
                entries.push(BatchBits { gateway: *gateway, number: *number, header: *header, bits });
            }
        }
        entries.sort_by_key(BatchBits::key);
        entries
    }

    fn contested_slots(&self) -> Vec<ContestedSlot> {
        let mut listed = Vec::new();
        for slot in &self.certify.contested {
            if slot.seq < self.ledger.cut_seq(&slot.payer) {
                continue;
            }
            let Some(entry) = self.certify.slots.get(slot) else { continue };
            let known: Vec<PaymentId> = entry.known().into_iter().collect();
            let [a, b, ..] = known.as_slice() else { continue };
            let certified = [a, b]
                .into_iter()
                .filter_map(|id| self.certified_place(slot, id).map(|(digest, index)| (*id, digest, index)));
            listed.push(ContestedSlot {
                slot: *slot,
                payments: [*a, *b],
                certified: Bounded::truncated(certified.collect()),
            });
        }
        listed
    }

    /// A peer's report.
    pub(crate) fn on_report(&mut self, cx: &mut Cx<'_>, from: NodeId, report: Report) {
        if report.replica == self.me().replica {
            if archive::report(cx.reader, report.epoch, report.view).is_none() {
                self.lost_record(cx, "a report");
            }
            return;
        }
        let current = self.epoch.current();
        if report.epoch < current {
            self.send_decision(cx, from, report.epoch);
            return;
        }
        if report.epoch > current {
            if report.epoch.0 == current.0.saturating_add(1) {
                self.epoch.early.insert(report.replica, report.clone());
            }
            self.fell_behind(cx, from, Epoch(report.epoch.0.saturating_sub(1)));
            return;
        }
        if report.base != self.epoch.base || self.is_ahead(cx.now, report.lamport, &report.dense) {
            return;
        }
        self.check_omission(cx, &report);
        let newer = self.epoch.reports.get(&report.replica).is_none_or(|known| known.view < report.view);
        if newer {
            self.epoch.reports.insert(report.replica, report);
            self.epoch.propose_at = 0;
        }
        // A peer's clock may be a little ahead: join it rather than make it wait, but never hurry a whole epoch.
        let me = self.me().replica;
        let due = cx.now.saturating_sub(self.epoch.last_report_at) >= self.params.epoch_us / 2;
        if due && self.is_voting() && !self.epoch.forked && !self.epoch.reports.contains_key(&me) {
            self.sign_report(cx);
        }
        self.poll_epoch(cx);
    }

    /// A report must list what its signer signed as applied with an open epoch not above the report's.
    fn check_omission(&mut self, cx: &mut Cx<'_>, report: &Report) {
        let mut found = None;
        'batches: for (digest, state) in &self.certify.batches {
            let Some(applied) = state.applied.get(&report.replica).filter(|a| a.open_epoch <= report.epoch) else {
                continue;
            };
            let listed = report.bits.iter().find(|entry| entry.header == *digest);
            for index in applied.bits.iter() {
                let Some((payment, id, slot)) = state.item(index) else { continue };
                let passed = slot.seq < self.ledger.cut_seq(&slot.payer);
                if passed || listed.is_some_and(|entry| entry.bits.get(index)) {
                    continue;
                }
                // The payment may be listed through another batch: compared by payment, not by bit.
                let elsewhere = self.certify.slots.get(&slot).is_some_and(|entry| {
                    entry.places.iter().any(|(other, batch, place)| {
                        *other == id && report.bits.iter().any(|e| e.header == *batch && e.bits.get(*place))
                    })
                });
                if elsewhere {
                    continue;
                }
                let leaves: Vec<Digest> = state.batch.payments.iter().map(smt_types::SignedPayment::leaf).collect();
                if let Some(path) = smt_types::batch::BatchPath::of(&leaves, index) {
                    found = Some(Omission {
                        applied: applied.clone(),
                        header: state.batch.header.clone(),
                        payment: payment.clone(),
                        path,
                        report: report.clone(),
                    });
                    break 'batches;
                }
            }
        }
        if let Some(omission) = found {
            let replica = report.replica;
            self.convict(cx, Evidence::Omission(Box::new(omission)), replica);
        }
    }

    /// Somebody is beyond our epoch: fetch what was decided.
    pub(crate) fn fell_behind(&mut self, cx: &mut Cx<'_>, from: NodeId, decided: Epoch) {
        if decided <= self.epoch.decided {
            return;
        }
        // One voice may claim anything: believed a bounded way ahead, and further when that is reached.
        let decided = decided.min(Epoch(self.epoch.decided.0.saturating_add(64)));
        if decided > self.epoch.target {
            self.epoch.target = decided;
            cx.out(Effect::Send(from, Message::Ask(Ask::Cut(self.epoch.current()))));
        }
        self.arm_ask(cx);
    }

    pub(crate) fn send_decision(&self, cx: &mut Cx<'_>, to: NodeId, epoch: Epoch) {
        if let Some(decision) = archive::decision(cx.reader, epoch) {
            cx.out(Effect::Send(to, Message::Decision(Box::new(decision))));
        }
    }

    /// Open questions of the cut; true if there are any.
    pub(crate) fn ask_epoch(&mut self, cx: &mut Cx<'_>) -> bool {
        let mut open = false;
        if self.epoch.target > self.epoch.decided
            && self.epoch.decision.is_none()
            && let Some(peer) = self.next_peer(self.me().shard)
        {
            cx.out(Effect::Send(peer, Message::Ask(Ask::Cut(self.epoch.current()))));
            open = true;
        }
        let wanted = self.wanted_batches();
        open |= !wanted.is_empty();
        for digest in wanted.into_iter().take(32) {
            if let Some(peer) = self.next_peer(self.me().shard) {
                cx.out(Effect::Send(peer, Message::Ask(Ask::Batch(digest))));
            }
        }
        open
    }

    /// Batches that reports, proposals or a decision name and that are not certified as far here.
    pub(crate) fn wanted_batches(&self) -> BTreeSet<Digest> {
        let mut wanted = BTreeSet::new();
        let mut lack = |entries: &[BatchBits], decided: bool| {
            for entry in entries {
                let held = self
                    .certify
                    .batches
                    .get(&entry.header)
                    .is_some_and(|state| decided || entry.bits.is_subset(&state.certified));
                if !held {
                    wanted.insert(entry.header);
                }
            }
        };
        if let Some(decision) = &self.epoch.decision {
            lack(&decision.value.bits, true);
            return wanted;
        }
        let current = self.epoch.view;
        if let Some(proposal) = self.epoch.proposals.get(&current) {
            lack(&proposal.value.bits, false);
        } else if self.committee.proposer(self.epoch.current(), current) == self.me().replica {
            for report in self.epoch.reports.values() {
                lack(&report.bits, false);
            }
        }
        wanted
    }

    /// Takes whatever step of the cut has become possible.
    pub(crate) fn poll_epoch(&mut self, cx: &mut Cx<'_>) {
        if self.epoch.decision.is_some() {
            self.try_carry(cx);
            return;
        }
        self.try_propose(cx);
        self.try_prepare(cx);
    }

    pub(crate) fn restore_epoch(&mut self, cx: &mut Cx<'_>) {
        let me = self.me().replica;
        let decided = self.ledger.epoch();
        if decided > Epoch(0)
            && let (Some(decision), Some(stored)) =
                (archive::decision(cx.reader, decided), archive::own_header(cx.reader, decided))
        {
            self.epoch.decided = decided;
            self.epoch.base = decision.value.digest();
            self.clock.resume(&decision.value.dense);
            self.lamport = self.lamport.max(decision.value.lamport);
            self.epoch.header = stored.header.clone();
        }
        // Own headers that never got their quorum, or whose certificate the last crash took: there may be holes.
        let oldest = decided.0.saturating_sub(carry::OPEN_HEADERS_MAX as u64).saturating_add(1).max(1);
        for epoch in (oldest..=decided.0).map(Epoch) {
            if archive::header(cx.reader, self.me().shard, epoch).is_none()
                && let Some(stored) = archive::own_header(cx.reader, epoch)
            {
                self.epoch.open_headers.insert(epoch, OpenHeader::from(stored));
            }
        }
        let current = self.epoch.current();
        for change in archive::view_changes(cx.reader, current) {
            self.epoch.view = self.epoch.view.max(change.view);
            self.epoch.view_changes.entry(change.view).or_default().insert(me, change);
        }
        if let Some(report) = archive::reports(cx.reader, current).pop() {
            self.lamport = self.lamport.max(report.lamport);
            self.clock.resume(&report.dense);
            self.epoch.reports.insert(me, report);
        }
        for vote in archive::cut_votes(cx.reader, current) {
            let key = (vote.view, vote.phase, vote.value);
            self.epoch.votes.entry(key).or_default().insert(me, vote.signature);
        }
        if let Some((value, certificate)) = archive::prepared(cx.reader, current) {
            self.epoch.values.insert(certificate.value, value);
            self.epoch.view = self.epoch.view.max(certificate.view);
            self.epoch.prepared = Some(certificate);
        }
        if let Some(proposal) = archive::proposal(cx.reader) {
            self.lamport = self.lamport.max(proposal.value.lamport);
            self.clock.resume(&proposal.value.dense);
            if proposal.epoch == current {
                self.epoch.values.insert(proposal.value.digest(), proposal.value.clone());
                self.epoch.proposals.insert(proposal.view, proposal);
            }
        }
        if self.epoch.reports.contains_key(&me) {
            self.arm_view_timer(cx);
        }
    }
}
