//! Who waits for which payment, and who follows the epochs.

use crate::rpc::schema::{EpochEvent, Stage};
use smt_consensus::{Event, Reject};
use smt_types::header::CertifiedHeader;
use smt_types::{Epoch, PaymentId};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{broadcast, mpsc};

/// One step of a payment.
#[derive(Clone, Debug)]
pub enum Progress {
    /// It reached a stage.
    Reached {
        /// The stage.
        stage: Stage,
        /// The epoch that goes with it, from `final` on.
        epoch: Option<Epoch>,
    },
    /// This replica has given it up.
    GaveUp(Reject),
}

#[derive(Debug, Default)]
struct Watchers {
    by_payment: HashMap<PaymentId, Vec<mpsc::UnboundedSender<Progress>>>,
}

/// Fan-out of a replica's events to waiting clients. The lists hold only clients that still wait: a request is bounded by the
/// interface's limits, and each is told of at most six stages.
#[derive(Debug)]
pub struct Hub {
    watchers: Mutex<Watchers>,
    epochs: broadcast::Sender<EpochEvent>,
}

/// A payment being followed. Dropping it ends that, so that a client who gives up leaves nothing behind.
#[derive(Debug)]
pub struct Watch {
    hub: Arc<Hub>,
    id: PaymentId,
    progress: mpsc::UnboundedReceiver<Progress>,
}

impl Watch {
    /// The next step; `None` only if the hub is gone.
    pub async fn recv(&mut self) -> Option<Progress> {
        self.progress.recv().await
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.progress.close();
        self.hub.unwatch(&self.id);
    }
}

impl Default for Hub {
    fn default() -> Self {
        Hub { watchers: Mutex::default(), epochs: broadcast::channel(256).0 }
    }
}

impl Hub {
    fn lock(&self) -> MutexGuard<'_, Watchers> {
        // The map is valid after any panic of a holder: every change is one insertion or removal.
        self.watchers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Follows a payment from now on, until the answer is dropped.
    pub fn watch(self: &Arc<Self>, id: PaymentId) -> Watch {
        let (sender, progress) = mpsc::unbounded_channel();
        self.lock().by_payment.entry(id).or_default().push(sender);
        Watch { hub: self.clone(), id, progress }
    }

    fn unwatch(&self, id: &PaymentId) {
        let mut watchers = self.lock();
        if let Some(list) = watchers.by_payment.get_mut(id) {
            list.retain(|other| !other.is_closed());
            if list.is_empty() {
                watchers.by_payment.remove(id);
            }
        }
    }

    /// Follows headers of all shards.
    pub fn epochs(&self) -> broadcast::Receiver<EpochEvent> {
        self.epochs.subscribe()
    }

    /// Tells whoever waits for what happened.
    pub fn tell(&self, event: &Event) {
        match event {
            Event::Stage { id, stage, epoch, .. } => {
                use smt_consensus::Stage as Core;
                let (stage, epoch) = match stage {
                    Core::Received => (Stage::Received, None),
                    Core::Certified => (Stage::Certified, None),
                    Core::Final => (Stage::Final, Some(*epoch)),
                    Core::Snapshotted => (Stage::Snapshotted, Some(*epoch)),
                    Core::Void => (Stage::Void, Some(*epoch)),
                };
                self.send(*id, Progress::Reached { stage, epoch });
            }
            Event::Credited { id, epoch, .. } => {
                self.send(*id, Progress::Reached { stage: Stage::Credited, epoch: Some(*epoch) });
            }
            Event::Incoming { id, .. } => self.send(*id, Progress::Reached { stage: Stage::Incoming, epoch: None }),
            Event::GaveUp { id, reject } => self.send(*id, Progress::GaveUp(reject.clone())),
            Event::Header(header) => self.tell_header(header),
            _ => {}
        }
    }

    /// Tells of a certified header of any shard.
    pub fn tell_header(&self, header: &CertifiedHeader) {
        let event = EpochEvent {
            shard: header.header.shard.into(),
            epoch: crate::rpc::wire::Decimal(header.header.epoch.0),
            digest: header.header.digest().into(),
            supply: crate::rpc::wire::Decimal(u128::from(header.header.supply.0)),
        };
        // Nobody listening is no fault.
        drop(self.epochs.send(event));
    }

    fn send(&self, id: PaymentId, progress: Progress) {
        let mut watchers = self.lock();
        if let Some(list) = watchers.by_payment.get_mut(&id) {
            list.retain(|watcher| watcher.send(progress.clone()).is_ok());
            if list.is_empty() {
                watchers.by_payment.remove(&id);
            }
        }
    }
}
