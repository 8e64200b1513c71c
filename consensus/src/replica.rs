//! The composition: one replica of one shard, one [`Replica::step`].

use crate::archive;
use crate::certify::Certify;
use crate::config::{Config, Network, Params};
use crate::effect::{Effect, Effects, Event, Input};
use crate::epoch::EpochState;
use crate::global::Global;
use crate::links::Links;
use crate::ports::{Column, Ledger, Reader, Write};
use smt_types::clock::{MAX_DRIFT_US, MAX_LAMPORT_AHEAD};
use smt_types::cut::Phase;
use smt_types::evidence::Evidence;
use smt_types::message::{Ask, Message, NodeId, Records};
use smt_types::vote::Vote;
use smt_types::{
    BatchNumber, Bounded, Committee, DenseTime, Digest, Epoch, HybridClock, Lamport, ReplicaIndex, ShardAddress,
    Signer, Slot, View,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Batches asked for in one round because others have applied more of them.
const LACKING_ASKED_MAX: usize = 64;

/// What a step works with besides the state.
pub(crate) struct Cx<'a> {
    /// Now, microseconds on the driver's clock.
    pub(crate) now: u64,
    /// What earlier steps have made durable.
    pub(crate) reader: &'a dyn Reader,
    effects: &'a mut Effects,
}

impl Cx<'_> {
    pub(crate) fn write(&mut self, write: Write) {
        self.effects.writes.push(write);
    }

    pub(crate) fn writes(&mut self) -> &mut Vec<Write> {
        &mut self.effects.writes
    }

    /// The writes of this step must be synced before its messages leave.
    pub(crate) fn sync(&mut self) {
        self.effects.sync = true;
    }

    pub(crate) fn out(&mut self, effect: Effect) {
        self.effects.out.push(effect);
    }
}

/// What a replica waits for. Stale entries are harmless: every handler looks at the state again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    Flush,
    Batch(Digest),
    Pending(Slot),
    Lock(Slot),
    Epoch,
    View(Epoch, View),
    /// More than q reports may have come.
    Propose,
    /// Questions that are still open.
    Ask,
    /// A header of ours may have its quorum already.
    Certify(Epoch),
    /// Own headers that have no quorum yet.
    Header,
    /// Records asked of peers after a start.
    Records,
    /// Publish a certified header if nobody else has.
    Publish(Epoch),
}

/// Whether this replica may sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Voting {
    /// Not yet: q − 1 peers have not answered which of our records they hold.
    Starting(BTreeSet<ReplicaIndex>),
    /// Yes.
    Yes,
    /// Never again in this life of the key, and why.
    No(String),
}

/// One replica. Not shared: whoever drives it owns it.
pub struct Replica<L> {
    node: NodeId,
    pub(crate) network: Arc<Network>,
    pub(crate) committee: Arc<Committee>,
    pub(crate) params: Params,
    pub(crate) signer: Box<dyn Signer>,
    pub(crate) ledger: L,
    pub(crate) lamport: Lamport,
    pub(crate) clock: HybridClock,
    pub(crate) voting: Voting,
    pub(crate) certify: Certify,
    pub(crate) epoch: EpochState,
    pub(crate) links: Links,
    pub(crate) global: Global,
    pub(crate) timers: BTreeSet<(u64, Timer)>,
    /// Ask timer armed.
    pub(crate) asking: bool,
    /// Wants batches it lacks since this time.
    pub(crate) since_wanted: bool,
    /// Turns for whom to ask next.
    pub(crate) turn: BTreeMap<ShardAddress, u64>,
    /// Convictions known, to tell each once.
    convicted: BTreeSet<(ReplicaIndex, &'static str)>,
}

impl<L: Ledger> Replica<L> {
    /// A replica with the state its store holds (an empty store: genesis). `ledger` must have been opened from the same store.
    ///
    /// Answers `None` if the network has no such shard or the shard no such replica.
    #[must_use]
    pub fn recover(config: Config, signer: Box<dyn Signer>, ledger: L, reader: &dyn Reader, now: u64) -> Option<Self> {
        let Config { node, network, params } = config;
        let committee = network.committee(node.shard)?.clone();
        if !committee.has(node.replica) {
            return None;
        }
        let genesis = network.genesis_headers.get(usize::try_from(node.shard.index()).ok()?)?.clone();
        let global = Global::new(&network);
        let mut replica = Replica {
            node,
            committee,
            signer,
            lamport: Lamport(0),
            clock: HybridClock::new(node.shard.index(), node.replica.0),
            voting: Voting::Starting(BTreeSet::new()),
            certify: Certify::default(),
            epoch: EpochState::genesis(genesis, now),
            links: Links::default(),
            global,
            timers: BTreeSet::new(),
            asking: false,
            since_wanted: false,
            turn: BTreeMap::new(),
            convicted: BTreeSet::new(),
            ledger,
            network,
            params,
        };
        replica.restore(reader, now);
        Some(replica)
    }

    /// One transition. Equal state and equal input give equal effects.
    pub fn step(&mut self, now: u64, input: Input, reader: &dyn Reader, effects: &mut Effects) {
        let cx = &mut Cx { now, reader, effects };
        match input {
            Input::Submit(token, payment) => self.on_submit(cx, token, payment),
            Input::Message(from, message) => self.on_message(cx, from, message.into_inner()),
            Input::Tick => {}
        }
        self.run_timers(cx);
    }

    /// When the next [`Input::Tick`] is due.
    #[must_use]
    pub fn deadline(&self) -> Option<u64> {
        self.timers.first().map(|(at, _)| *at)
    }

    fn on_message(&mut self, cx: &mut Cx<'_>, from: NodeId, message: Message) {
        match message {
            Message::Batch(batch) => self.on_batch(cx, from, *batch),
            Message::Vote(vote, advice) => self.on_vote(cx, from, *vote, advice.into_inner()),
            Message::Certificate(certificate) => self.on_certificate(cx, from, *certificate),
            Message::Applied(applied) => self.on_applied(cx, *applied),
            Message::Report(report) => self.on_report(cx, from, *report),
            Message::Proposal(proposal) => self.on_proposal(cx, from, *proposal),
            Message::CutVote(vote) => self.on_cut_vote(cx, from, *vote),
            Message::ViewChange(change, value) => self.on_view_change(cx, from, *change, value.map(|v| *v)),
            Message::Decision(decision) => self.on_decision(cx, *decision),
            Message::HeaderSignature(signed) => self.on_header_signature(cx, from, *signed),
            Message::Header(header) => self.on_header(cx, from, *header),
            Message::Credits(bundle) => self.on_credits(cx, from, *bundle),
            Message::Contested(pair) => self.on_contested(cx, *pair),
            Message::Evidence(evidence) => self.on_evidence(cx, *evidence),
            Message::Ask(ask) => self.on_ask(cx, from, ask),
            Message::Records(records) => self.on_records(cx, from, *records),
        }
    }

    fn run_timers(&mut self, cx: &mut Cx<'_>) {
        // Handlers may arm timers for now; a bound keeps one step finite whatever they do.
        for _ in 0..1024 {
            let Some((at, timer)) = self.timers.first().copied() else { return };
            if at > cx.now {
                return;
            }
            self.timers.pop_first();
            match timer {
                Timer::Flush => {
                    if self.certify.flush_at.is_some_and(|due| due <= cx.now) {
                        self.flush(cx);
                    }
                }
                Timer::Batch(digest) => self.on_batch_timer(cx, digest),
                Timer::Pending(slot) => self.on_pending_timer(cx, slot),
                Timer::Lock(slot) => self.on_lock_timer(cx, slot),
                Timer::Epoch => self.on_epoch_timer(cx),
                Timer::View(epoch, view) => self.on_view_timer(cx, epoch, view),
                Timer::Propose => {
                    self.epoch.propose_armed = false;
                    self.poll_epoch(cx);
                }
                Timer::Ask => self.on_ask_timer(cx),
                Timer::Certify(epoch) => self.certify_header(cx, epoch),
                Timer::Header => self.on_header_timer(cx),
                Timer::Records => self.ask_records(cx),
                Timer::Publish(epoch) => self.on_publish_timer(cx, epoch),
            }
        }
    }

    // --- what everybody needs -------------------------------------------------------------------------------------

    /// This replica's place.
    #[must_use]
    pub fn me(&self) -> NodeId {
        self.node
    }

    /// h.
    #[must_use]
    pub fn level(&self) -> u8 {
        self.network.level
    }

    /// Whether this replica may sign, and why not.
    #[must_use]
    pub fn voting(&self) -> &Voting {
        &self.voting
    }

    pub(crate) fn is_voting(&self) -> bool {
        self.voting == Voting::Yes
    }

    /// The ledger, for queries.
    #[must_use]
    pub fn ledger(&self) -> &L {
        &self.ledger
    }

    /// The newest decided epoch.
    #[must_use]
    pub fn decided(&self) -> Epoch {
        self.epoch.decided
    }

    /// The newest global cut.
    #[must_use]
    pub fn global_cut(&self) -> &crate::global::GlobalCut {
        self.global.cut()
    }

    /// Payments in the gateway's queue.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.certify.pool.len()
    }

    /// Credits from other shards that are known and not consumed yet, for one payee.
    pub fn incoming<'a>(
        &'a self,
        payee: &'a smt_types::Address,
    ) -> impl Iterator<Item = &'a smt_types::credit::Credit> + 'a {
        self.links.unconsumed().filter(move |credit| credit.payee == *payee)
    }

    /// This replica's Lamport clock.
    #[must_use]
    pub fn lamport(&self) -> Lamport {
        self.lamport
    }

    /// The payment that holds a slot here: applied, else certified, else locked.
    #[must_use]
    pub fn holder(&self, slot: &Slot) -> Option<smt_types::PaymentId> {
        let entry = self.certify.slots.get(slot)?;
        entry.applied.or(entry.certified).or(entry.lock)
    }

    /// A payment of the queue or of the live window, with where it stands in a batch. For queries: looks through both.
    #[must_use]
    pub fn find_payment(&self, id: &smt_types::PaymentId) -> Option<(smt_types::SignedPayment, Option<(Digest, u16)>)> {
        if let Some(pending) = self.certify.pool.values().find(|pending| pending.id == *id && !pending.in_batch) {
            return Some((pending.payment.clone(), None));
        }
        let mut found = None;
        for (digest, state) in &self.certify.batches {
            let Some(index) = state.ids.iter().position(|other| other == id).and_then(|i| u16::try_from(i).ok()) else {
                continue;
            };
            let place = Some((state.batch.payments.get(usize::from(index))?.clone(), Some((*digest, index))));
            if state.finals.get(index) {
                return place;
            }
            found = place;
        }
        found
    }

    /// Where a live payment stands: (batch header digest, index, stage), for queries.
    #[must_use]
    pub fn payment_place(&self, id: &smt_types::PaymentId, slot: &Slot) -> Option<(Digest, u16)> {
        let entry = self.certify.slots.get(slot)?;
        let best = self.certified_place(slot, id);
        best.or_else(|| {
            entry.places.iter().find(|(other, _, _)| other == id).map(|(_, digest, index)| (*digest, *index))
        })
    }

    /// How far a payment has come, for queries.
    #[must_use]
    pub fn stage(&self, reader: &dyn Reader, slot: &Slot, id: &smt_types::PaymentId) -> Option<crate::effect::Stage> {
        let mut effects = Effects::default();
        let cx = Cx { now: 0, reader, effects: &mut effects };
        self.stage_of(&cx, slot, id)
    }

    /// A wait of 75 % to 125 % of `base`, the same on every run and different per replica and subject.
    pub(crate) fn jitter(&self, subject: &Digest, base: u64) -> u64 {
        let byte = subject.0.get(usize::from(self.node.replica.0) % 32).copied().unwrap_or(0);
        let share = u64::from(byte ^ self.node.replica.0.wrapping_mul(0x9d));
        (base / 4).saturating_mul(3).saturating_add((base / 2).saturating_mul(share) / 255)
    }

    /// The latest time that is not too far ahead. Time that a cut of ours carries has been agreed on, so a wall clock that
    /// was set back does not make it "ahead".
    pub(crate) fn reach(&self, now: u64) -> u64 {
        now.max(self.epoch.header.dense.time_us).saturating_add(MAX_DRIFT_US)
    }

    /// Whether clocks of a foreign record are too far ahead to be merged.
    pub(crate) fn is_ahead(&self, now: u64, lamport: Lamport, dense: &DenseTime) -> bool {
        lamport.0 > self.lamport.0.saturating_add(MAX_LAMPORT_AHEAD) || dense.time_us > self.reach(now)
    }

    /// Merges the clocks of a record signed by a replica; values too far ahead are not merged.
    pub(crate) fn merge_clocks(&mut self, cx: &Cx<'_>, lamport: Lamport, dense: &DenseTime) {
        let now = cx.now.max(self.epoch.header.dense.time_us);
        if let Ok(merged) = self.lamport.receive(lamport)
            && self.clock.merge(dense, now).is_ok()
        {
            self.lamport = merged;
        }
    }

    /// Stores evidence and tells it once.
    pub(crate) fn convict(&mut self, cx: &mut Cx<'_>, evidence: Evidence, replica: ReplicaIndex) {
        // One conviction of each kind is enough; a replica that misbehaves must not fill the store with more of them.
        if replica == self.node.replica || !self.convicted.insert((replica, evidence.kind())) {
            return;
        }
        let id = evidence.id();
        cx.write(archive::put(Column::Evidence, id.0.to_vec(), &(&evidence, replica)));
        cx.out(Effect::Broadcast(Message::Evidence(Box::new(evidence.clone()))));
        cx.out(Effect::Event(Event::Evidence(Box::new(evidence), replica)));
    }

    fn on_evidence(&mut self, cx: &mut Cx<'_>, evidence: Evidence) {
        let replica = match &evidence {
            Evidence::Batches(pair) => {
                let [first, _] = pair.as_ref();
                first.header.gateway
            }
            Evidence::Votes(pair) => {
                let [first, _] = pair.as_ref();
                first.replica
            }
            Evidence::Acceptances(pair) => {
                let [first, _] = pair.as_ref();
                first.vote.replica
            }
            Evidence::Headers(pair) => {
                let [first, _] = pair.as_ref();
                first.signature.replica
            }
            Evidence::CutVotes(pair) => {
                let [first, _] = pair.as_ref();
                first.replica
            }
            Evidence::Omission(omission) => {
                // Convicts only if neither the cut the report extends nor a void passed the slot: known here for the
                // newest cut only.
                let slot = omission.payment.payment.slot();
                let base_known = omission.report.base == self.epoch.base;
                if !base_known || slot.seq < self.ledger.cut_seq(&slot.payer) {
                    return;
                }
                omission.report.replica
            }
            Evidence::BadPayment(bad) => bad.batch.header.gateway,
        };
        self.convict(cx, evidence, replica);
    }

    /// The driver's gate has found evidence against a gateway.
    pub fn report_evidence(
        &mut self,
        evidence: Evidence,
        replica: ReplicaIndex,
        reader: &dyn Reader,
        effects: &mut Effects,
    ) {
        let cx = &mut Cx { now: 0, reader, effects };
        self.convict(cx, evidence, replica);
    }

    // --- after a start: may we vote? ------------------------------------------------------------------------------

    fn ask_records(&mut self, cx: &mut Cx<'_>) {
        if matches!(self.voting, Voting::Starting(_)) {
            cx.out(Effect::Broadcast(Message::Ask(Ask::Records)));
            self.timers.insert((cx.now.saturating_add(self.params.ask_us), Timer::Records));
        }
    }

    /// A peer's newest records signed by us. If our store lacks one, it has been lost or replaced: we never vote again.
    fn on_records(&mut self, cx: &mut Cx<'_>, from: NodeId, records: Records) {
        for vote in records.votes.iter() {
            self.check_own_vote(cx, vote);
        }
        if let Some(applied) = &records.applied {
            let mine = archive::applied_by(cx.reader, &applied.header, self.node.replica);
            if mine.is_none_or(|mine| !applied.bits.is_subset(&mine.bits)) {
                self.lost_record(cx, "an applied record");
            }
        }
        if let Some(report) = &records.report
            && archive::report(cx.reader, report.epoch, report.view).is_none_or(|mine| mine.digest() != report.digest())
        {
            self.lost_record(cx, "a report");
        }
        for vote in records.cut_votes.iter() {
            if archive::cut_vote(cx.reader, vote.epoch, vote.view, vote.phase)
                .is_none_or(|mine| mine.value != vote.value)
            {
                self.lost_record(cx, "a cut vote");
            }
        }
        if let Some(change) = &records.view_change
            && !archive::view_changes(cx.reader, change.epoch).iter().any(|c| c.view == change.view)
        {
            self.lost_record(cx, "a view change");
        }
        if let Some(batch) = &records.batch
            && archive::number(cx.reader, self.node.replica, batch.header.number) != Some(batch.header.digest())
        {
            self.lost_record(cx, "a batch");
        }
        let enough = self.committee.quorum().saturating_sub(1);
        if let Voting::Starting(answered) = &mut self.voting {
            answered.insert(from.replica);
            if answered.len() >= enough {
                self.voting = Voting::Yes;
                cx.out(Effect::Event(Event::Voting));
                self.begin_voting(cx);
            }
        }
    }

    /// What was left undone while this replica could not sign.
    fn begin_voting(&mut self, cx: &mut Cx<'_>) {
        let me = self.node.replica;
        let open: Vec<Digest> = self.certify.batches.keys().copied().collect();
        for digest in open {
            let Some(state) = self.certify.batches.get(&digest) else { continue };
            let gateway = NodeId { shard: self.node.shard, replica: state.batch.header.gateway };
            if !state.voted {
                self.vote_on(cx, digest, gateway);
            }
            if gateway.replica == me {
                // A restarted gateway finishes its open batches first.
                self.timers.insert((cx.now, Timer::Batch(digest)));
            }
            self.certify.dirty.insert(digest);
        }
        self.settle(cx);
        self.repeat_epoch(cx);
        self.poll_epoch(cx);
    }

    pub(crate) fn check_own_vote(&mut self, cx: &mut Cx<'_>, vote: &Vote) {
        let stored = archive::batch(cx.reader, &vote.header).and_then(|(_, own)| own);
        let live = self.certify.batches.get(&vote.header).and_then(|s| s.votes.get(&self.node.replica));
        let same = live.is_some_and(|part| part.bits == vote.bits) || stored.is_some_and(|own| own.bits == vote.bits);
        if !same {
            self.lost_record(cx, "a vote");
        }
    }

    pub(crate) fn lost_record(&mut self, cx: &mut Cx<'_>, what: &str) {
        let reason = format!(
            "peers hold {what} signed by this replica that its store lacks: the store was lost, restored from a copy, or the key runs twice"
        );
        self.stop_voting(cx, reason);
    }

    pub(crate) fn stop_voting(&mut self, cx: &mut Cx<'_>, reason: String) {
        if matches!(self.voting, Voting::No(_)) {
            return;
        }
        self.voting = Voting::No(reason.clone());
        // Durable: a restart must not make it sign again.
        cx.write(archive::put(Column::Retired, Vec::new(), &reason));
        cx.sync();
        cx.out(Effect::Event(Event::NotVoting(reason)));
    }

    /// The newest records of `asker` that are known here.
    pub(crate) fn records_of(&self, reader: &dyn Reader, asker: ReplicaIndex) -> Records {
        let mut votes: BTreeMap<ReplicaIndex, Vote> = BTreeMap::new();
        let mut batch: Option<&smt_types::Batch> = None;
        let mut applied = None;
        for ((gateway, number), digest) in &self.certify.numbers {
            let Some(state) = self.certify.batches.get(digest) else { continue };
            if *gateway == asker {
                batch = Some(&state.batch);
            }
            applied = state.applied.get(&asker).or(applied);
            if let Some(part) = state.votes.get(&asker) {
                let vote = Vote {
                    committee: state.batch.header.committee,
                    gateway: *gateway,
                    number: *number,
                    header: *digest,
                    replica: asker,
                    bits: part.bits.clone(),
                    signature: part.signature,
                };
                votes.insert(*gateway, vote);
            }
        }
        let live = [Phase::Prepare, Phase::Commit].into_iter().filter_map(|phase| self.epoch.newest_vote(asker, phase));
        let mut cut_votes: Vec<_> = live.collect();
        if cut_votes.is_empty() {
            // On a quiet shard, or just after a cut, memory holds nothing of the asker: the newest decided cut it signed does.
            let newest = self.epoch.decided.0;
            let epochs = (newest.saturating_sub(32)..=newest).rev().map(Epoch);
            let mut decisions = epochs.filter_map(|epoch| archive::decision(reader, epoch));
            cut_votes
                .extend(decisions.find_map(|decision| decision.commits.votes().find(|vote| vote.replica == asker)));
        }
        let stored = batch.is_none().then(|| archive::newest_number(reader, asker)).flatten();
        let stored = stored.and_then(|number| archive::number(reader, asker, number));
        let stored = stored.and_then(|digest| archive::batch(reader, &digest)).map(|(batch, _)| batch);
        let batch = batch.or(stored.as_ref());
        Records {
            votes: Bounded::truncated(votes.into_values().collect()),
            applied: applied.cloned(),
            report: self.epoch.newest_report(asker),
            cut_votes: Bounded::truncated(cut_votes),
            view_change: self.epoch.newest_view_change(asker),
            batch: batch
                .map(|b| smt_types::evidence::SignedBatchHeader { header: b.header.clone(), signature: b.signature }),
        }
    }

    // --- asking and answering -------------------------------------------------------------------------------------

    /// Asks for batches we lack at the next ask timer.
    pub(crate) fn want_since(&mut self, cx: &mut Cx<'_>) {
        self.since_wanted = true;
        self.arm_ask(cx);
    }

    pub(crate) fn arm_ask(&mut self, cx: &mut Cx<'_>) {
        if !self.asking {
            self.asking = true;
            self.timers.insert((cx.now.saturating_add(self.params.ask_us / 4), Timer::Ask));
        }
    }

    /// Another replica of `shard`, a different one each time; never this one.
    pub(crate) fn next_peer(&mut self, shard: ShardAddress) -> Option<NodeId> {
        let size = u64::try_from(self.network.committee(shard)?.size()).ok()?;
        // A turn per shard: with one for all, questions to several shards in step could always meet the same replica.
        let (own, me) = (shard == self.node.shard, self.node.replica);
        let turn = self.turn.entry(shard).or_insert_with(|| u64::from(me.0));
        *turn = turn.wrapping_add(1);
        let mut replica = ReplicaIndex(u8::try_from(turn.checked_rem(size)?).ok()?);
        if own && replica == me {
            *turn = turn.wrapping_add(1);
            replica = ReplicaIndex(u8::try_from(turn.checked_rem(size)?).ok()?);
        }
        Some(NodeId { shard, replica })
    }

    fn on_ask_timer(&mut self, cx: &mut Cx<'_>) {
        self.asking = false;
        let mut open = self.ask_epoch(cx);
        open |= self.ask_links(cx);
        open |= self.ask_headers(cx);
        // Unanswered ones come up again with the next applied record of those who have them.
        for digest in std::mem::take(&mut self.certify.lacking).into_iter().take(LACKING_ASKED_MAX) {
            if let Some(peer) = self.next_peer(self.node.shard) {
                cx.out(Effect::Send(peer, Message::Ask(Ask::Batch(digest))));
            }
        }
        if self.since_wanted
            && let Some(peer) = self.next_peer(self.node.shard)
        {
            self.since_wanted = false;
            let have: Vec<BatchNumber> = self.committee.indices().map(|gateway| self.gapless(cx, gateway)).collect();
            cx.out(Effect::Send(peer, Message::Ask(Ask::Since(Bounded::truncated(have)))));
            open = true;
        }
        if open && !self.asking {
            self.asking = true;
            // Catching up goes faster: what a decided cut lacks is all that keeps this replica behind.
            let behind = self.epoch.decision.is_some() || self.epoch.target > self.epoch.decided;
            let wait = if behind { self.params.ask_us / 4 } else { self.params.ask_us };
            self.timers.insert((cx.now.saturating_add(wait), Timer::Ask));
        }
    }

    /// The lowest number of `gateway` whose batch is missing or not fully certified here.
    fn gapless(&self, cx: &Cx<'_>, gateway: ReplicaIndex) -> BatchNumber {
        let live = self.certify.numbers.range((gateway, BatchNumber(0))..=(gateway, BatchNumber(u64::MAX)));
        let mut expected: Option<u64> = None;
        for ((_, number), digest) in live {
            let whole = self.certify.batches.get(digest).is_some_and(|s| s.certified.ones() == u32::from(s.count()));
            if expected.is_some_and(|e| e != number.0) || !whole {
                return BatchNumber(expected.unwrap_or(number.0));
            }
            expected = Some(number.0.saturating_add(1));
        }
        let next = expected.unwrap_or(0);
        if archive::number(cx.reader, gateway, BatchNumber(next)).is_some() {
            BatchNumber(next.saturating_add(1))
        } else {
            BatchNumber(next)
        }
    }

    fn on_ask(&mut self, cx: &mut Cx<'_>, from: NodeId, ask: Ask) {
        let own = from.shard == self.node.shard;
        match ask {
            Ask::Headers(shard, epoch) => {
                for header in archive::headers(cx.reader, shard, epoch, 16) {
                    cx.out(Effect::Send(from, Message::Header(Box::new(header))));
                }
            }
            Ask::Credits { destination, first } => {
                // Our own credits for them, or, within the shard, credits of another source are asked of that source.
                if destination == from.shard && destination != self.node.shard {
                    self.send_credits(cx, from, first);
                }
            }
            _ if !own => {}
            Ask::Batch(digest) => self.send_certificate(cx, from, &digest),
            Ask::Payment(slot, id) => {
                let place = self.certified_place(&slot, &id).map(|(digest, _)| digest);
                let joined = || archive::payment(cx.reader, &id).map(|(digest, _, _)| digest);
                if let Some(digest) = place.or_else(joined) {
                    self.send_certificate(cx, from, &digest);
                }
            }
            Ask::Cut(epoch) => {
                if let Some(decision) = archive::decision(cx.reader, epoch) {
                    cx.out(Effect::Send(from, Message::Decision(Box::new(decision))));
                }
                if let Some(header) = archive::header(cx.reader, self.node.shard, epoch) {
                    cx.out(Effect::Send(from, Message::Header(Box::new(header))));
                }
            }
            Ask::Since(have) => {
                let mut left = 16usize;
                for (gateway, number) in self.committee.indices().zip(have.iter()) {
                    let newer: Vec<Digest> = self
                        .certify
                        .numbers
                        .range((gateway, *number)..=(gateway, BatchNumber(u64::MAX)))
                        .filter(|(_, digest)| self.certify.batches.get(digest).is_some_and(|s| !s.certified.is_empty()))
                        .map(|(_, digest)| *digest)
                        .take(left)
                        .collect();
                    left = left.saturating_sub(newer.len());
                    for digest in newer {
                        self.send_certificate(cx, from, &digest);
                    }
                }
            }
            Ask::Records => {
                let records = self.records_of(cx.reader, from.replica);
                cx.out(Effect::Send(from, Message::Records(Box::new(records))));
            }
            Ask::Applied(digest) => {
                for applied in archive::applied(cx.reader, &digest) {
                    cx.out(Effect::Send(from, Message::Applied(Box::new(applied))));
                }
            }
        }
    }

    // --- restart --------------------------------------------------------------------------------------------------

    /// Rebuilds everything that is not in the ledger from the store.
    fn restore(&mut self, reader: &dyn Reader, now: u64) {
        let mut effects = Effects::default();
        let cx = &mut Cx { now, reader, effects: &mut effects };
        if let Some(reason) = archive::retired(reader) {
            self.voting = Voting::No(reason);
        }
        self.restore_epoch(cx);
        self.restore_links(cx);
        self.restore_global(cx);
        self.restore_batches(cx);
        // What follows from the store is durable already; only what it asks for is new, and timers ask again.
        self.settle(cx);
        self.timers.insert((now, Timer::Records));
        self.timers.insert((now.saturating_add(self.params.ask_us), Timer::Header));
        self.schedule_epoch(now);
    }

    fn restore_batches(&mut self, cx: &mut Cx<'_>) {
        let me = self.node.replica;
        let mut from = Vec::new();
        loop {
            let rows = cx.reader.range(Column::Live, &[], &from, 256);
            let Some((last, _)) = rows.last() else { break };
            from = last.clone();
            from.push(0);
            for (key, _) in &rows {
                let Ok(bytes) = <[u8; 32]>::try_from(key.as_slice()) else { continue };
                let digest = Digest(bytes);
                let Some((batch, vote)) = archive::batch(cx.reader, &digest) else { continue };
                self.restore_batch(cx, digest, batch, vote);
            }
        }
        // Own numbers go on after the highest ever used, forgotten batches included.
        let newest = archive::newest_number(cx.reader, me);
        self.certify.next_number = newest.and_then(BatchNumber::next).unwrap_or_default();
    }

    fn restore_batch(&mut self, cx: &mut Cx<'_>, digest: Digest, batch: smt_types::Batch, vote: Option<Vote>) {
        let me = self.node.replica;
        let header = batch.header.clone();
        // Stamps of batches that were accepted raise the floor without a drift bound; those refused for their clock do not.
        let accepted = header.gateway == me || vote.as_ref().is_some_and(|vote| !vote.bits.is_empty());
        if accepted {
            self.clock.resume(&header.dense);
            self.lamport = self.lamport.max(header.lamport);
        }
        self.take_in(cx, batch, digest);
        if let Some(vote) = vote {
            for index in vote.bits.iter() {
                let Some((_, id, slot)) = self.certify.batches.get(&digest).and_then(|s| s.item(index)) else {
                    continue;
                };
                let entry = self.certify.slots.entry(slot).or_default();
                if entry.lock.is_none() {
                    entry.lock = Some(id);
                    self.timers.insert((cx.now.saturating_add(self.params.relock_us), Timer::Lock(slot)));
                }
            }
            let part = smt_types::vote::VotePart { replica: me, bits: vote.bits, signature: vote.signature };
            if let Some(state) = self.certify.batches.get_mut(&digest) {
                state.voted = true;
                state.votes.insert(me, part);
            }
        }
        let applied = archive::applied(cx.reader, &digest);
        if let Some(state) = self.certify.batches.get_mut(&digest) {
            for record in applied {
                if record.bits.count() == state.count() {
                    state.applied.insert(record.replica, record);
                }
            }
            let quorum = self.committee.quorum();
            state.finals = smt_types::Bitmap::from_fn(state.count(), |index| {
                state.applied.values().filter(|record| record.bits.get(index)).count() >= quorum
            });
        }
        if let Some(certificate) = archive::certificate(cx.reader, &digest) {
            for vote in certificate.votes().filter(|vote| vote.replica != me) {
                self.merge_vote(cx, vote);
            }
        }
        self.recount(cx, digest);
    }
}
