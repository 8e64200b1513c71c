//! How the rest of the process talks to a running replica.

use super::disk::Disk;
use super::hub::Hub;
use super::verifier::{Checked, Verifier};
use crate::join::Contact;
use crate::store::Store;
use smt_consensus::verify::{Gate, Submission};
use smt_consensus::{Reject, Replica, Stage, Verified};
use smt_gossip::swarm::SwarmHandle;
use smt_ledger::ShardLedger;
use smt_types::ReplicaIndex;
use smt_types::evidence::Evidence;
use smt_types::message::{Message, NodeId};
use std::sync::mpsc::{SyncSender, TrySendError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{broadcast, oneshot};

/// The answer to a submitted payment: how far it has come, or why it is not taken.
pub type Admitted = Result<Stage, Refusal>;

/// Why a payment is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Its signature does not verify.
    #[error("the payer's signature does not verify")]
    Signature,
    /// As many payments as may wait for the core wait for it.
    #[error("too many payments wait for this replica")]
    Busy,
    /// A rule of the core.
    #[error(transparent)]
    Core(#[from] Reject),
}

/// A question for the core's thread.
pub type Question = Box<dyn FnOnce(&Replica<ShardLedger>, &Disk) + Send>;

/// What the core's thread takes.
pub enum Job {
    /// A checked message of a replica.
    Message(NodeId, Box<Verified<Message>>),
    /// Clients' payments, call by call.
    Submit(Vec<Checked>),
    /// Evidence found at the gate.
    Evidence(Box<Evidence>, ReplicaIndex),
    /// A question about the state.
    Ask(Question),
    /// Commit what is there and end.
    Stop,
}

/// What a replica says of itself; written by its thread.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Newest decided epoch.
    pub epoch: u64,
    /// It votes.
    pub voting: bool,
    /// Why it does not and never will.
    pub not_voting: Option<String>,
    /// The shard's cuts have stopped, and why.
    pub forked: Option<String>,
    /// The thread has ended, and why.
    pub stopped: Option<String>,
}

/// A running replica.
pub struct ReplicaHandle {
    pub(crate) node: NodeId,
    pub(crate) jobs: SyncSender<Job>,
    pub(crate) swarm: SwarmHandle,
    pub(crate) store: Arc<Store>,
    pub(crate) gate: Gate,
    pub(crate) verifier: Verifier,
    pub(crate) hub: Arc<Hub>,
    pub(crate) status: Arc<Mutex<Status>>,
    pub(crate) contacts: broadcast::Sender<Contact>,
}

/// The replica's thread has ended or has too much to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// It has ended.
    #[error("the replica has stopped")]
    Stopped,
    /// Its queue is full.
    #[error("the replica's queue is full")]
    Busy,
}

impl ReplicaHandle {
    /// Its place.
    #[must_use]
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// What it says of itself.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Its store, for reads of committed records.
    #[must_use]
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// Who is met and who is hung up on from now on; a reader that is far behind misses some.
    #[must_use]
    pub fn contacts(&self) -> broadcast::Receiver<Contact> {
        self.contacts.subscribe()
    }

    /// Its place in the network.
    #[must_use]
    pub fn swarm(&self) -> &SwarmHandle {
        &self.swarm
    }

    /// Has clients' payments of one call checked and answered by the core, in order: one outcome each. Never waits for room:
    /// what the replica has no place for is refused at once ([`Refusal::Busy`]).
    ///
    /// # Errors
    /// [`Unavailable::Stopped`].
    pub async fn submit(&self, payments: Vec<Submission>) -> Result<Vec<Admitted>, Unavailable> {
        self.verifier.submit(payments).await.ok_or(Unavailable::Stopped)
    }

    /// The way clients' payments take, for its gauges.
    #[must_use]
    pub fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// Runs `question` on the core's thread.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Replica<ShardLedger>, &Disk) -> T + Send + 'static,
    ) -> Result<T, Unavailable> {
        let (reply, answer) = oneshot::channel();
        let boxed: Question = Box::new(move |replica, disk| {
            // The asker may have gone away meanwhile.
            drop(reply.send(question(replica, disk)));
        });
        self.push(Job::Ask(boxed)).await?;
        answer.await.map_err(|_| Unavailable::Stopped)
    }

    /// Queues a job, waiting a bounded time while the queue is full: clients are refused rather than kept.
    pub(crate) async fn push(&self, mut job: Job) -> Result<(), Unavailable> {
        for _ in 0..2_000 {
            match self.jobs.try_send(job) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Disconnected(_)) => return Err(Unavailable::Stopped),
                Err(TrySendError::Full(back)) => job = back,
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Err(Unavailable::Busy)
    }

    /// Tells the core's thread to end; it commits first.
    pub fn stop(&self) {
        // A thread that has ended needs no telling; one with a full queue gets it from a helper thread of its own.
        if let Err(TrySendError::Full(job)) = self.jobs.try_send(Job::Stop) {
            let jobs = self.jobs.clone();
            std::thread::spawn(move || drop(jobs.send(job)));
        }
    }
}
