//! The core's thread: the only place where a replica's effects are carried out, in the one order that is safe.
//!
//! A *burst* is what has queued up: its inputs are stepped one after another, their writes form one write set, committed and
//! synced if any step asked for it, and only then does anything leave. So one sync serves every message of the burst.

use super::disk::Disk;
use super::handle::{Job, Question, Status};
use super::hub::Hub;
use super::verifier::{Replies, Room};
use crate::clock::Clock;
use crate::join::Places;
use crate::store::{Durability, StoreError};
use smt_consensus::{Effect, Effects, Event, Input, Replica};
use smt_gossip::swarm::{Bytes, SwarmHandle};
use smt_ledger::ShardLedger;
use smt_types::message::{Message, NodeId};
use smt_types::{Canonical, Committee};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tracing::{debug, error, info, warn};

/// Most inputs of one burst: bounds how long the first of them waits for its sync.
const BURST_MAX: usize = 256;

/// Longest sleep without looking at the clock, so that a stop is never far away.
const NAP_MAX: Duration = Duration::from_millis(500);

/// Gossip topic of certified headers at a level of the hierarchy.
#[must_use]
pub fn header_topic(level: u8) -> String {
    format!("headers/{level}")
}

/// Everything the thread owns.
pub(crate) struct Core {
    pub(crate) replica: Replica<ShardLedger>,
    pub(crate) disk: Disk,
    pub(crate) jobs: Receiver<Job>,
    pub(crate) swarm: SwarmHandle,
    pub(crate) places: Arc<Places>,
    pub(crate) committee: Arc<Committee>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) clock: Clock,
    pub(crate) status: Arc<Mutex<Status>>,
    pub(crate) replies: Replies,
    pub(crate) room: Room,
    pub(crate) questions: Vec<Question>,
}

impl Core {
    /// Runs until told to stop or until the store fails.
    pub(crate) fn run(mut self) {
        let _guard = PanicGuard(self.status.clone());
        let outcome = self.serve();
        let reason = match outcome {
            Ok(()) => "stopped".to_owned(),
            Err(failure) => {
                error!(node = %self.replica.me(), error = %failure, "the store failed; this replica stops");
                failure.to_string()
            }
        };
        self.with_status(|status| status.stopped = Some(reason.clone()));
    }

    fn serve(&mut self) -> Result<(), StoreError> {
        loop {
            let mut effects = Effects::default();
            let now = self.clock.now();
            let wait = self.replica.deadline().map_or(NAP_MAX, |at| Duration::from_micros(at.saturating_sub(now)));
            let mut going = match self.jobs.recv_timeout(wait.min(NAP_MAX)) {
                Ok(job) => self.take(job, &mut effects),
                Err(RecvTimeoutError::Timeout) => self.take_input(Input::Tick, &mut effects),
                Err(RecvTimeoutError::Disconnected) => false,
            };
            let mut taken = 1usize;
            while going && taken < BURST_MAX {
                let Ok(job) = self.jobs.try_recv() else { break };
                going = self.take(job, &mut effects);
                taken = taken.saturating_add(1);
            }
            if self.replica.deadline().is_some_and(|at| at <= self.clock.now()) {
                // A queue that never empties must not keep the clock from being looked at.
                self.take_input(Input::Tick, &mut effects);
            }
            self.finish(effects)?;
            // Answered after the commit: an answer must not tell of a state that a crash could still take back.
            for question in std::mem::take(&mut self.questions) {
                question(&self.replica, &self.disk);
            }
            if !going {
                // Whatever was written without a sync so far becomes durable with the end.
                return self.disk.commit(Durability::Synced);
            }
        }
    }

    fn take(&mut self, job: Job, effects: &mut Effects) -> bool {
        match job {
            Job::Message(from, message) => self.take_input(Input::Message(from, *message), effects),
            Job::Submit(calls) => {
                for call in calls {
                    for (token, payment) in self.replies.open(call) {
                        self.take_input(Input::Submit(token, payment), effects);
                    }
                }
                true
            }
            Job::Evidence(evidence, replica) => {
                self.replica.report_evidence(*evidence, replica, &self.disk, effects);
                true
            }
            Job::Ask(question) => {
                self.questions.push(question);
                true
            }
            Job::Stop => false,
        }
    }

    fn take_input(&mut self, input: Input, effects: &mut Effects) -> bool {
        let mut step = Effects::default();
        self.replica.step(self.clock.now(), input, &self.disk, &mut step);
        self.disk.push(step.writes);
        effects.sync |= step.sync;
        effects.out.append(&mut step.out);
        true
    }

    /// Makes the burst durable, then lets its messages go.
    fn finish(&mut self, effects: Effects) -> Result<(), StoreError> {
        if let Some(failure) = self.disk.failure() {
            return Err(failure);
        }
        self.disk.commit(if effects.sync { Durability::Synced } else { Durability::Buffered })?;
        for effect in effects.out {
            self.carry_out(effect);
        }
        self.hub.flush();
        self.room.set(self.replica.room());
        Ok(())
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Send(to, message) => self.send(to, Bytes::from(message.to_bytes())),
            Effect::Broadcast(message) => {
                let (me, body) = (self.replica.me(), Bytes::from(message.to_bytes()));
                for replica in self.committee.indices().filter(|replica| *replica != me.replica) {
                    self.send(NodeId { shard: me.shard, replica }, body.clone());
                }
            }
            Effect::Publish(header) => {
                let topic = header_topic(header.header.shard.level());
                let body = Bytes::from(Message::Header(header).to_bytes());
                if let Err(refused) = self.swarm.publish(&topic, body) {
                    debug!(node = %self.replica.me(), %refused, "header not gossiped");
                }
            }
            Effect::Reply(token, _, answer) => self.replies.answer(token, answer),
            Effect::Event(event) => self.tell(&event),
        }
    }

    fn send(&self, to: NodeId, body: Bytes) {
        let Some(peer) = self.places.peer(to) else { return };
        if let Err(refused) = self.swarm.send(peer, body) {
            debug!(node = %self.replica.me(), %to, %refused, "message not sent");
        }
    }

    fn tell(&self, event: &Event) {
        let node = self.replica.me();
        match event {
            Event::Decided(epoch) => {
                debug!(%node, epoch = epoch.0, "cut decided");
                self.with_status(|status| status.epoch = epoch.0);
            }
            Event::Voting => {
                info!(%node, "votes from now on");
                self.with_status(|status| status.voting = true);
            }
            Event::NotVoting(reason) => {
                error!(%node, %reason, "does not vote any more");
                self.with_status(|status| {
                    status.voting = false;
                    status.not_voting = Some(reason.clone());
                });
            }
            Event::Forked(reason) => {
                error!(%node, %reason, "the shard's cuts have stopped: forked");
                self.with_status(|status| status.forked = Some(reason.clone()));
            }
            Event::SupplyMismatch { root, got, want } => {
                error!(%node, %root, got, want, "supply and money in flight differ from the genesis supply");
            }
            Event::Evidence(evidence, replica) => {
                warn!(%node, kind = evidence.kind(), replica = replica.0, "evidence against a replica");
            }
            Event::GlobalCut(cut) => debug!(%node, epoch = cut.epoch.0, root = %cut.root, "global cut"),
            _ => {}
        }
        self.hub.tell(event);
    }

    fn with_status(&self, change: impl FnOnce(&mut Status)) {
        change(&mut self.status.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Says that the replica has stopped if its thread ends in a panic.
struct PanicGuard(Arc<Mutex<Status>>);

impl Drop for PanicGuard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let mut status = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            status.stopped = Some("its thread panicked; the log says where".to_owned());
        }
    }
}
