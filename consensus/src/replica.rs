//! The composition: one replica of one shard, one [`Replica::step`].

use crate::archive;
use crate::certify::Certify;
use crate::config::{Config, Network, Params};
use crate::effect::{Effect, Effects, Event, Input};
use crate::epoch::EpochState;
use crate::global::Global;
use crate::index::Index;
use crate::links::Links;
use crate::ports::{Column, Ledger, Reader, Write};
use smt_types::clock::{MAX_DRIFT_US, MAX_LAMPORT_AHEAD};
use smt_types::evidence::Evidence;
use smt_types::message::{Message, NodeId};
use smt_types::{
    Committee, DenseTime, Digest, Epoch, HybridClock, Lamport, ReplicaIndex, ShardAddress, Signer, Slot, View,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What a step works with besides the state.
pub(crate) struct Cx<'a> {
    /// Now, microseconds on the driver's clock.
    pub(crate) now: u64,
    /// What earlier steps have made durable.
    pub(crate) reader: &'a dyn Reader,
    pub(crate) effects: &'a mut Effects,
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
    /// Payments of the queue whose first wait is over.
    Waits,
    /// Locks of a batch that may have no certificate yet.
    Locks(Digest),
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
    /// Rows of the index that cuts still owe.
    Index,
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
    pub(crate) node: NodeId,
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
    pub(crate) index: Index,
    pub(crate) timers: BTreeSet<(u64, Timer)>,
    /// Ask timer armed.
    pub(crate) asking: bool,
    /// Wants batches it lacks since this time.
    pub(crate) since_wanted: bool,
    /// Turns for whom to ask next.
    pub(crate) turn: BTreeMap<ShardAddress, u64>,
    /// Convictions known, to tell each once.
    pub(crate) convicted: BTreeSet<(ReplicaIndex, &'static str)>,
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
            index: Index::default(),
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
                Timer::Waits => self.on_waits_timer(cx),
                Timer::Locks(digest) => self.on_locks_timer(cx, digest),
                Timer::Epoch => self.on_epoch_timer(cx),
                Timer::View(epoch, view) => self.on_view_timer(cx, epoch, view),
                Timer::Propose => {
                    self.epoch.propose_armed = false;
                    self.poll_epoch(cx);
                }
                Timer::Ask => self.on_ask_timer(cx),
                Timer::Certify(epoch) => self.certify_header(cx, epoch),
                Timer::Header => self.on_header_timer(cx),
                Timer::Index => self.on_index_timer(cx),
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
}
