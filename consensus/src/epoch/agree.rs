//! Agreement on one value per epoch: propose, prepare, commit, view change.

use super::join::join;
use crate::archive;
use crate::effect::Effect;
use crate::planted::{Bug, planted};
use crate::ports::{Column, Ledger};
use crate::replica::{Cx, Replica, Timer};
use smt_types::cut::{CutVote, Decision, Phase, PhaseCertificate, Proposal, ViewChange};
use smt_types::evidence::Evidence;
use smt_types::message::{Message, NodeId};
use smt_types::report::{BatchBits, Report};
use smt_types::{Bounded, CutValue, Digest, Epoch, ReplicaIndex, Signature, View};
use std::collections::BTreeMap;

/// How long a proposer waits for more than q reports.
const REPORT_GRACE_US: u64 = 10_000;

/// Views a replica remembers messages for beyond its own.
const VIEWS_AHEAD: u32 = 16;

impl<L: Ledger> Replica<L> {
    fn is_proposer(&self, view: View) -> bool {
        self.committee.proposer(self.epoch.current(), view) == self.me().replica
    }

    /// Proposes if it is our turn, q reports are here and their certificates too.
    pub(crate) fn try_propose(&mut self, cx: &mut Cx<'_>) {
        let (epoch, view, me) = (self.epoch.current(), self.epoch.view, self.me().replica);
        let quorum = self.committee.quorum();
        if !self.is_voting()
            || self.epoch.forked
            || !self.is_proposer(view)
            || self.epoch.proposals.contains_key(&view)
            || !self.epoch.reports.contains_key(&me)
            || archive::cut_vote(cx.reader, epoch, view, Phase::Prepare).is_some()
        {
            return;
        }
        let mut view_changes = Vec::new();
        let mut forced: Option<CutValue> = None;
        if view > View(0) {
            let changes = self.epoch.view_changes.get(&view);
            view_changes = changes.map(|c| c.values().take(quorum).cloned().collect()).unwrap_or_default();
            if view_changes.len() < quorum {
                return;
            }
            if let Some(prepared) = highest_prepared(&view_changes).filter(|_| !planted(Bug::IgnorePrepared)) {
                match self.epoch.values.get(&prepared) {
                    Some(value) => forced = Some(value.clone()),
                    None => return,
                }
            }
        }
        let (value, reports) = match forced {
            Some(value) => (value, Vec::new()),
            None => match self.own_value(cx) {
                Some(found) => found,
                None => return,
            },
        };
        let mut proposal = Proposal {
            committee: self.committee.digest(),
            epoch,
            view,
            value,
            reports: Bounded::truncated(reports),
            view_changes: Bounded::truncated(view_changes),
            replica: me,
            signature: Signature([0; 64]),
        };
        proposal.signature = self.signer.sign(&proposal.digest());
        // Durable, so that a restarted proposer repeats it and never gives its stamp to something else.
        cx.write(archive::put(Column::Proposal, Vec::new(), &proposal));
        cx.sync();
        cx.out(Effect::Broadcast(Message::Proposal(Box::new(proposal.clone()))));
        self.epoch.values.insert(proposal.value.digest(), proposal.value.clone());
        self.epoch.proposals.insert(view, proposal);
    }

    /// The value that q reports with obtainable certificates give, with those reports.
    fn own_value(&mut self, cx: &mut Cx<'_>) -> Option<(CutValue, Vec<Report>)> {
        let quorum = self.committee.quorum();
        if self.epoch.reports.len() < quorum || (self.epoch.propose_armed && cx.now < self.epoch.propose_at) {
            return None;
        }
        let backed: Vec<&Report> = self.epoch.reports.values().filter(|report| self.backs(report)).collect();
        let all = backed.len() >= self.committee.size();
        let waited = cx.now.saturating_sub(self.epoch.last_report_at) >= REPORT_GRACE_US;
        if backed.len() < quorum || (!all && !waited) {
            // Looked at again then, or when another report is here, and not with every payment.
            self.epoch.propose_at = cx.now.saturating_add(REPORT_GRACE_US / 2);
            if !self.epoch.propose_armed {
                self.epoch.propose_armed = true;
                self.timers.insert((self.epoch.propose_at, Timer::Propose));
            }
            self.arm_ask(cx);
            return None;
        }
        let me = self.me().replica;
        let mut chosen: Vec<Report> = backed.iter().filter(|r| r.replica == me).map(|r| (*r).clone()).collect();
        chosen.extend(backed.iter().filter(|r| r.replica != me).map(|r| (*r).clone()));
        // More than q are welcome: every further report puts more payments into this cut rather than the next.
        let whole = self.value_of(&chosen);
        let Some((mut value, chosen)) = self.best_join(chosen) else {
            if let Some(Err(error)) = whole.map(|value| self.check_value(&value)) {
                self.note_fork(cx, &error);
            }
            return None;
        };
        // Both clocks of every report were found near when it came.
        self.clock.resume(&value.dense);
        self.clock.resume(&self.epoch.header.dense);
        self.lamport = self.lamport.max(value.lamport).tick().ok()?;
        (value.lamport, value.dense) = (self.lamport, self.clock.stamp(cx.now));
        Some((value, chosen))
    }

    /// The join of all `reports` if it can be carried out. If not, one of them is false: then those that fit, own first.
    fn best_join(&self, reports: Vec<Report>) -> Option<(CutValue, Vec<Report>)> {
        let possible = |reports: &[Report]| {
            let value = self.value_of(reports)?;
            self.check_value(&value).is_ok().then_some(value)
        };
        let sorted = |mut reports: Vec<Report>| {
            reports.sort_by_key(|report| report.replica);
            reports
        };
        let whole = sorted(reports.clone());
        if let Some(value) = possible(&whole) {
            return Some((value, whole));
        }
        let mut fitting: Vec<Report> = Vec::new();
        for report in reports {
            fitting.push(report);
            if possible(&sorted(fitting.clone())).is_none() {
                fitting.pop();
            }
        }
        let fitting = sorted(fitting);
        let value = possible(&fitting)?;
        (fitting.len() >= self.committee.quorum()).then_some((value, fitting))
    }

    /// The value that `reports` join to, with the largest clocks among them in place of its stamps.
    fn value_of(&self, reports: &[Report]) -> Option<CutValue> {
        let joined = join(reports.iter())?;
        Some(CutValue {
            network: self.network.id,
            shard: self.me().shard,
            epoch: self.epoch.current(),
            base: self.epoch.base,
            bits: Bounded::new(joined.bits).ok()?,
            voids: Bounded::default(),
            settled: Bounded::default(),
            consumed: Bounded::new(joined.consumed).ok()?,
            lamport: joined.lamport,
            dense: joined.dense,
        })
    }

    /// Every certificate and credit that a report needs is held here.
    fn backs(&self, report: &Report) -> bool {
        self.holds_bits(&report.bits)
            && report.sources.iter().all(|source| self.is_source(source) && self.holds_credits(source))
    }

    /// Every batch named is held, under that gateway and number, and certified that far.
    fn holds_bits(&self, bits: &[BatchBits]) -> bool {
        bits.iter().all(|entry| self.holds_entry(entry))
    }

    fn holds_entry(&self, entry: &BatchBits) -> bool {
        self.certify.batches.get(&entry.header).is_some_and(|state| {
            let header = &state.batch.header;
            (header.gateway, header.number) == (entry.gateway, entry.number) && entry.bits.is_subset(&state.certified)
        })
    }

    /// A proposal for the current epoch.
    pub(crate) fn on_proposal(&mut self, cx: &mut Cx<'_>, from: NodeId, proposal: Proposal) {
        let current = self.epoch.current();
        if proposal.epoch < current {
            self.send_decision(cx, from, proposal.epoch);
            return;
        }
        if proposal.epoch > current {
            self.fell_behind(cx, from, Epoch(proposal.epoch.0.saturating_sub(1)));
            return;
        }
        let right = proposal.replica == self.committee.proposer(current, proposal.view);
        let near = proposal.view >= self.epoch.view && proposal.view.0 <= self.epoch.view.0.saturating_add(VIEWS_AHEAD);
        if !right || !near || proposal.replica == self.me().replica {
            return;
        }
        for change in proposal.view_changes.iter() {
            self.take_view_change(change.clone());
        }
        self.follow_views(cx);
        // Reports and view changes in a proposal are not covered by the proposer's signature: a copy with some of them
        // stripped must not keep the whole one out.
        let better = self.epoch.proposals.get(&proposal.view).is_none_or(|known| !self.is_valid(cx.now, known));
        if better {
            if let Some(old) = self.epoch.proposals.get(&proposal.view).map(|old| old.value.digest())
                && !self.epoch.votes.keys().any(|(_, _, value)| *value == old)
            {
                self.epoch.values.remove(&old);
            }
            self.epoch.values.insert(proposal.value.digest(), proposal.value.clone());
            self.epoch.proposals.insert(proposal.view, proposal);
            self.epoch.lacking = None;
        }
        self.arm_ask(cx);
        self.poll_epoch(cx);
    }

    /// Prepares the proposal of the current view if it is valid and everything it names is held here.
    pub(crate) fn try_prepare(&mut self, cx: &mut Cx<'_>) {
        let (epoch, view) = (self.epoch.current(), self.epoch.view);
        if !self.is_voting() || self.epoch.forked || archive::cut_vote(cx.reader, epoch, view, Phase::Prepare).is_some()
        {
            return;
        }
        let voted = self.has_cast(view, Phase::Prepare);
        let Some(proposal) = self.epoch.proposals.get(&view).filter(|_| !voted) else { return };
        // Every message of a payment leads here: what is missing costs one look-up, and only a proposal of which nothing is
        // missing costs the join.
        if let Some((of, lacking)) = &self.epoch.lacking
            && *of == view
            && !self.holds_entry(lacking)
        {
            return;
        }
        let lacking = proposal.value.bits.iter().find(|entry| !self.holds_entry(entry));
        self.epoch.lacking = lacking.map(|entry| (view, entry.clone()));
        if self.epoch.lacking.is_some()
            || !proposal.value.consumed.iter().all(|source| self.holds_credits(source))
            || !self.is_valid(cx.now, proposal)
        {
            return;
        }
        let value = proposal.value.clone();
        if let Err(error) = self.check_value(&value) {
            self.note_fork(cx, &error);
            return;
        }
        self.cast(cx, view, Phase::Prepare, value.digest());
    }

    /// Two payments at one slot in a join: the shard's cuts stop, and it says so.
    fn note_fork(&mut self, cx: &mut Cx<'_>, error: &crate::ports::CutError) {
        if matches!(error, crate::ports::CutError::TwoAtSlot { .. }) && !self.epoch.forked {
            self.epoch.forked = true;
            cx.out(Effect::Event(crate::effect::Event::Forked(error.to_string())));
        }
    }

    /// The proposal follows from what it carries. Signatures have been checked at the gate.
    fn is_valid(&self, now: u64, proposal: &Proposal) -> bool {
        let quorum = self.committee.quorum();
        let value = &proposal.value;
        if self.is_ahead(now, value.lamport, &value.dense)
            || !value.consumed.iter().all(|source| self.is_source(source))
        {
            return false;
        }
        if value.base != self.epoch.base || !value.voids.is_empty() || !value.settled.is_empty() {
            return false;
        }
        if proposal.view > View(0) {
            let distinct: BTreeMap<ReplicaIndex, &ViewChange> =
                proposal.view_changes.iter().map(|change| (change.replica, change)).collect();
            let right = distinct.values().all(|c| c.epoch == proposal.epoch && c.view == proposal.view);
            if distinct.len() < quorum || !right {
                return false;
            }
            if let Some(prepared) = highest_prepared(&proposal.view_changes).filter(|_| !planted(Bug::IgnorePrepared)) {
                return value.digest() == prepared;
            }
        }
        let distinct: BTreeMap<ReplicaIndex, &Report> = proposal.reports.iter().map(|r| (r.replica, r)).collect();
        let right = distinct.values().all(|r| r.epoch == proposal.epoch && r.base == self.epoch.base);
        if distinct.len() < quorum || distinct.len() != proposal.reports.len() || !right {
            return false;
        }
        let Some(joined) = join(proposal.reports.iter()) else { return false };
        *value.bits == *joined.bits
            && *value.consumed == *joined.consumed
            && value.lamport > joined.lamport
            && value.dense > joined.dense
            && value.dense > self.epoch.header.dense
    }

    /// Whether this replica has voted in this phase of this view of the open epoch, by what it remembers.
    fn has_cast(&self, view: View, phase: Phase) -> bool {
        let me = self.me().replica;
        self.epoch.votes.iter().any(|((v, p, _), votes)| *v == view && *p == phase && votes.contains_key(&me))
    }

    /// Signs, stores and sends a cut vote; one per (epoch, view, phase), ever.
    fn cast(&mut self, cx: &mut Cx<'_>, view: View, phase: Phase, value: Digest) {
        let (epoch, me) = (self.epoch.current(), self.me().replica);
        let mut vote = CutVote {
            committee: self.committee.digest(),
            epoch,
            view,
            phase,
            value,
            replica: me,
            signature: Signature([0; 64]),
        };
        vote.signature = self.signer.sign(&vote.digest());
        cx.write(archive::put(Column::CutVote, archive::phase_key(epoch, view, phase), &vote));
        cx.sync();
        cx.out(Effect::Broadcast(Message::CutVote(Box::new(vote.clone()))));
        self.count_cut_vote(cx, vote);
    }

    /// A peer's cut vote.
    pub(crate) fn on_cut_vote(&mut self, cx: &mut Cx<'_>, from: NodeId, vote: CutVote) {
        let current = self.epoch.current();
        if vote.replica == self.me().replica {
            if archive::cut_vote(cx.reader, vote.epoch, vote.view, vote.phase).is_none() {
                self.lost_record(cx, "a cut vote");
            }
            return;
        }
        if vote.epoch < current {
            self.send_decision(cx, from, vote.epoch);
        } else if vote.epoch > current {
            self.fell_behind(cx, from, Epoch(vote.epoch.0.saturating_sub(1)));
        } else if vote.view.0 <= self.epoch.view.0.saturating_add(VIEWS_AHEAD) {
            self.count_cut_vote(cx, vote);
            self.poll_epoch(cx);
        }
    }

    fn count_cut_vote(&mut self, cx: &mut Cx<'_>, vote: CutVote) {
        let other = self.epoch.votes.iter().find_map(|((view, phase, value), votes)| {
            let same = *view == vote.view && *phase == vote.phase && *value != vote.value;
            same.then(|| votes.get(&vote.replica).map(|signature| (*value, *signature))).flatten()
        });
        if let Some((value, signature)) = other {
            let first = CutVote { value, signature, ..vote.clone() };
            let replica = vote.replica;
            self.convict(cx, Evidence::CutVotes(Box::new([first, vote])), replica);
            return;
        }
        let key = (vote.view, vote.phase, vote.value);
        let votes = self.epoch.votes.entry(key).or_default();
        votes.insert(vote.replica, vote.signature);
        if votes.len() < self.committee.quorum() {
            return;
        }
        let certificate = PhaseCertificate {
            committee: self.committee.digest(),
            epoch: vote.epoch,
            view: vote.view,
            phase: vote.phase,
            value: vote.value,
            votes: Bounded::truncated(votes.iter().map(|(replica, signature)| (*replica, *signature)).collect()),
        };
        match vote.phase {
            Phase::Prepare => self.on_prepared(cx, certificate),
            Phase::Commit => self.on_committed(cx, certificate),
        }
    }

    /// q prepares: remember the value as prepared, and commit to it if still in that view.
    fn on_prepared(&mut self, cx: &mut Cx<'_>, certificate: PhaseCertificate) {
        let (epoch, view) = (self.epoch.current(), certificate.view);
        let value = certificate.value;
        let Some(content) = self.epoch.values.get(&value).cloned() else { return };
        let higher = self.epoch.prepared.as_ref().is_none_or(|known| known.view < view);
        if higher {
            cx.write(archive::put(Column::Prepared, archive::epoch_key(epoch), &(&content, &certificate)));
            cx.sync();
            self.epoch.prepared = Some(certificate);
        }
        if view > self.epoch.view {
            // q replicas are in that view, so join them: a view change to anything lower could not carry this certificate.
            // Nothing is promised by entering without a view change; safety rests on those who sent one.
            self.epoch.view = view;
            self.arm_view_timer(cx);
        }
        let committed = self.has_cast(view, Phase::Commit);
        // A replica that has left the view has promised to carry what it knew then; it must not commit there any more.
        if view == self.epoch.view
            && !committed
            && self.is_voting()
            && archive::cut_vote(cx.reader, epoch, view, Phase::Commit).is_none()
        {
            self.cast(cx, view, Phase::Commit, value);
        }
    }

    /// q commits: decided.
    fn on_committed(&mut self, cx: &mut Cx<'_>, commits: PhaseCertificate) {
        let Some(value) = self.epoch.values.get(&commits.value).cloned() else {
            // The value itself was lost on the way: ask for the decision.
            self.epoch.target = self.epoch.target.max(commits.epoch);
            self.arm_ask(cx);
            return;
        };
        if self.epoch.decision.is_none() {
            self.epoch.decision = Some(Decision { value, commits });
            self.arm_ask(cx);
            self.try_carry(cx);
        }
    }

    /// A decided cut from a peer.
    pub(crate) fn on_decision(&mut self, cx: &mut Cx<'_>, decision: Decision) {
        if decision.value.epoch != self.epoch.current() || self.epoch.decision.is_some() {
            return;
        }
        if decision.value.base != self.epoch.base {
            // Agreed on by a quorum upon another past than ours: somebody is beyond the fault bound.
            self.diverge(cx, "a decided cut extends another past than this replica's");
            return;
        }
        self.epoch.decision = Some(decision);
        self.arm_ask(cx);
        self.try_carry(cx);
    }

    /// Says again what this replica has signed for the open epoch and its newest view: after a start, since what it sent
    /// before may never have left.
    pub(crate) fn repeat_epoch(&self, cx: &mut Cx<'_>) {
        let (epoch, view, me) = (self.epoch.current(), self.epoch.view, self.me().replica);
        if let Some(change) = self.epoch.view_changes.get(&view).and_then(|changes| changes.get(&me)) {
            let named = change.prepared.as_ref().map(|p| p.value);
            let value = named.and_then(|value| self.epoch.values.get(&value)).cloned().map(Box::new);
            // The store keeps the content of the highest prepared value alone; a view change that names an older one and
            // comes without it would be refused.
            if value.is_some() == named.is_some() {
                cx.out(Effect::Broadcast(Message::ViewChange(Box::new(change.clone()), value)));
            }
        }
        if let Some(report) = self.epoch.reports.get(&me) {
            cx.out(Effect::Broadcast(Message::Report(Box::new(report.clone()))));
        }
        if let Some(proposal) = self.epoch.proposals.get(&view).filter(|proposal| proposal.replica == me) {
            cx.out(Effect::Broadcast(Message::Proposal(Box::new(proposal.clone()))));
        }
        for vote in archive::cut_votes(cx.reader, epoch).into_iter().filter(|vote| vote.view == view) {
            cx.out(Effect::Broadcast(Message::CutVote(Box::new(vote))));
        }
    }

    // --- view change ----------------------------------------------------------------------------------------------

    pub(crate) fn on_view_timer(&mut self, cx: &mut Cx<'_>, epoch: Epoch, view: View) {
        if epoch != self.epoch.current() || view != self.epoch.view || self.epoch.decision.is_some() {
            return;
        }
        if !self.is_voting() || self.epoch.forked {
            self.arm_view_timer(cx);
            return;
        }
        if view > View(0) && !self.quorum_in_view(view) {
            // Going on alone would lead away from the others: a replica that is back must find us where it can follow.
            self.repeat_epoch(cx);
            self.arm_view_timer(cx);
            return;
        }
        if let Some(next) = view.next() {
            self.enter_view(cx, next);
        }
    }

    /// Whether q replicas, this one included, have shown to be in `view` or above.
    fn quorum_in_view(&self, view: View) -> bool {
        let mut seen: std::collections::BTreeSet<ReplicaIndex> = std::collections::BTreeSet::from([self.me().replica]);
        seen.extend(self.epoch.view_changes.range(view..).flat_map(|(_, changes)| changes.keys().copied()));
        let voted = self.epoch.votes.iter().filter(|((at, _, _), _)| *at >= view);
        seen.extend(voted.flat_map(|(_, votes)| votes.keys().copied()));
        seen.len() >= self.committee.quorum()
    }

    /// Leaves all lower views: a durable promise that carries the highest prepared value known.
    fn enter_view(&mut self, cx: &mut Cx<'_>, view: View) {
        let (epoch, me) = (self.epoch.current(), self.me().replica);
        let mut change = ViewChange {
            committee: self.committee.digest(),
            epoch,
            view,
            prepared: self.epoch.prepared.clone(),
            replica: me,
            signature: Signature([0; 64]),
        };
        change.signature = self.signer.sign(&change.digest());
        cx.write(archive::put(Column::ViewChange, archive::view_key(epoch, view), &change));
        cx.sync();
        self.epoch.view = view;
        let value = change.prepared.as_ref().and_then(|p| self.epoch.values.get(&p.value)).cloned().map(Box::new);
        cx.out(Effect::Broadcast(Message::ViewChange(Box::new(change.clone()), value)));
        self.take_view_change(change);
        self.sign_report(cx);
        self.arm_view_timer(cx);
        self.poll_epoch(cx);
    }

    /// A peer has left lower views.
    pub(crate) fn on_view_change(
        &mut self,
        cx: &mut Cx<'_>,
        from: NodeId,
        change: ViewChange,
        value: Option<CutValue>,
    ) {
        let current = self.epoch.current();
        if change.replica == self.me().replica {
            if !archive::view_changes(cx.reader, change.epoch).iter().any(|c| c.view == change.view) {
                self.lost_record(cx, "a view change");
            }
            return;
        }
        if change.epoch < current {
            self.send_decision(cx, from, change.epoch);
            return;
        }
        if change.epoch > current {
            self.fell_behind(cx, from, Epoch(change.epoch.0.saturating_sub(1)));
            return;
        }
        if change.view.0 > self.epoch.view.0.saturating_add(VIEWS_AHEAD) {
            return;
        }
        if let Some(value) = value {
            self.epoch.values.insert(value.digest(), value);
        }
        self.take_view_change(change);
        self.follow_views(cx);
        self.poll_epoch(cx);
    }

    fn take_view_change(&mut self, change: ViewChange) {
        let near = change.view.0 <= self.epoch.view.0.saturating_add(VIEWS_AHEAD);
        if near && change.epoch == self.epoch.current() {
            self.epoch.view_changes.entry(change.view).or_default().entry(change.replica).or_insert(change);
        }
    }

    /// Enough replicas are in higher views that an honest one is among them: follow, so that views meet again.
    fn follow_views(&mut self, cx: &mut Cx<'_>) {
        let needed = self.committee.size().saturating_sub(self.committee.quorum()).saturating_add(1);
        let mut highest: BTreeMap<ReplicaIndex, View> = BTreeMap::new();
        for (view, changes) in self.epoch.view_changes.range(View(self.epoch.view.0.saturating_add(1))..) {
            for replica in changes.keys() {
                highest.insert(*replica, *view);
            }
        }
        let mut views: Vec<View> = highest.into_values().collect();
        views.sort_unstable_by(|a, b| b.cmp(a));
        let reached = needed.checked_sub(1).and_then(|place| views.get(place).copied());
        if let Some(view) = reached.filter(|view| *view > self.epoch.view && self.is_voting()) {
            self.enter_view(cx, view);
        }
    }
}

/// The value prepared in the highest view among `changes`, if any.
fn highest_prepared(changes: &[ViewChange]) -> Option<Digest> {
    let prepared = changes.iter().filter_map(|change| change.prepared.as_ref());
    prepared.max_by_key(|certificate| certificate.view).map(|certificate| certificate.value)
}
