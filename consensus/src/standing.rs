//! May this replica sign? After a start it asks its peers which of its own records they hold; if its store lacks one, it has
//! been lost, restored from a copy, or the key runs twice, and the replica never votes again.

use crate::archive;
use crate::effect::{Effect, Event};
use crate::ports::{Column, Ledger, Reader};
use crate::replica::{Cx, Replica, Timer, Voting};
use smt_types::cut::Phase;
use smt_types::message::{Ask, Message, NodeId, Records};
use smt_types::vote::Vote;
use smt_types::{Bounded, Digest, Epoch, ReplicaIndex};
use std::collections::BTreeMap;

impl<L: Ledger> Replica<L> {
    pub(crate) fn ask_records(&mut self, cx: &mut Cx<'_>) {
        if matches!(self.voting, Voting::Starting(_)) {
            cx.out(Effect::Broadcast(Message::Ask(Ask::Records)));
            self.timers.insert((cx.now.saturating_add(self.params.ask_us), Timer::Records));
        }
    }

    /// A peer's newest records signed by us. If our store lacks one, it has been lost or replaced: we never vote again.
    pub(crate) fn on_records(&mut self, cx: &mut Cx<'_>, from: NodeId, records: Records) {
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
}
