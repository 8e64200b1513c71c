//! Who waits for which payment, and who follows stages and epochs.
//!
//! Told by the core's thread. A payment that nobody asked for costs two loads of an atomic: no lock, no look-up. What is told
//! of many payments at once is encoded once, however many follow.

use crate::rpc::backend::EventSink;
use crate::rpc::schema::{self, EpochEvent, STAGES_FOLLOWED, Stage, StagesEvent, StagesText};
use crate::rpc::wire::Decimal;
use crate::serve::convert::core_stage;
use smt_consensus::{Event, Reject};
use smt_types::header::CertifiedHeader;
use smt_types::{Epoch, PaymentId};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{broadcast, mpsc};

/// Most ids of one event of topic `stages`.
pub const IDS_MAX: usize = 1_024;

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

/// One client's end of a watch: its number, to take it out again, and where steps go.
type Watcher = (u64, mpsc::UnboundedSender<(PaymentId, Progress)>);

/// Consecutive payments that reached one stage, not told yet.
#[derive(Debug, Default)]
struct Run {
    head: Option<(Stage, Option<Epoch>)>,
    ids: Vec<PaymentId>,
}

#[derive(Debug)]
struct Follower {
    stages: Vec<Stage>,
    sink: EventSink,
}

/// Fan-out of a replica's events to waiting clients. The lists hold only clients that still wait: a request is bounded by the
/// interface's limits, and each is told of at most six stages of each of its payments; a follower's queue is bounded by its sink.
#[derive(Debug)]
pub struct Hub {
    watchers: Mutex<HashMap<PaymentId, Vec<Watcher>>>,
    /// Ids in `watchers`.
    watched: AtomicUsize,
    next_watch: AtomicU64,
    followers: Mutex<Vec<Follower>>,
    /// One bit for each stage that somebody follows.
    followed: AtomicUsize,
    run: Mutex<Run>,
    epochs: broadcast::Sender<EpochEvent>,
}

/// Payments being followed together. Dropping it ends that, so that a client who gives up leaves nothing behind.
#[derive(Debug)]
pub struct Watch {
    hub: Arc<Hub>,
    number: u64,
    ids: Vec<PaymentId>,
    progress: mpsc::UnboundedReceiver<(PaymentId, Progress)>,
}

impl Watch {
    /// The next step of any of them; `None` only if the hub is gone.
    pub async fn recv(&mut self) -> Option<(PaymentId, Progress)> {
        self.progress.recv().await
    }

    /// A step that is there already.
    pub fn try_recv(&mut self) -> Option<(PaymentId, Progress)> {
        self.progress.try_recv().ok()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.hub.unwatch(self.number, &self.ids);
    }
}

impl Default for Hub {
    fn default() -> Self {
        Hub {
            watchers: Mutex::default(),
            watched: AtomicUsize::new(0),
            next_watch: AtomicU64::new(0),
            followers: Mutex::default(),
            followed: AtomicUsize::new(0),
            run: Mutex::default(),
            epochs: broadcast::channel(256).0,
        }
    }
}

/// The tables are valid after any panic of a holder: every change is one insertion or removal.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A stage's place in the set of followed ones; 0 for one that cannot be followed.
fn bit(stage: Stage) -> usize {
    STAGES_FOLLOWED.iter().position(|other| *other == stage).map_or(0, |place| 1 << place)
}

impl Hub {
    /// Follows payments from now on, until the answer is dropped.
    pub fn watch(self: &Arc<Self>, ids: Vec<PaymentId>) -> Watch {
        let (sender, progress) = mpsc::unbounded_channel();
        let number = self.next_watch.fetch_add(1, Ordering::Relaxed);
        let mut watchers = lock(&self.watchers);
        for id in &ids {
            watchers.entry(*id).or_default().push((number, sender.clone()));
        }
        self.watched.store(watchers.len(), Ordering::Release);
        Watch { hub: self.clone(), number, ids, progress }
    }

    fn unwatch(&self, number: u64, ids: &[PaymentId]) {
        let mut watchers = lock(&self.watchers);
        for id in ids {
            if let Some(list) = watchers.get_mut(id) {
                list.retain(|(other, _)| *other != number);
                if list.is_empty() {
                    watchers.remove(id);
                }
            }
        }
        self.watched.store(watchers.len(), Ordering::Release);
    }

    /// Delivers every payment that reaches one of `stages` from now on, until the sink is closed.
    pub fn follow(&self, stages: Vec<Stage>, sink: EventSink) {
        let mut followers = lock(&self.followers);
        followers.retain(|follower| !follower.sink.is_closed());
        followers.push(Follower { stages, sink });
        self.note_followed(&followers);
    }

    fn note_followed(&self, followers: &[Follower]) {
        let stages = followers.iter().flat_map(|follower| &follower.stages);
        self.followed.store(stages.fold(0, |bits, stage| bits | bit(*stage)), Ordering::Release);
    }

    /// Follows headers of all shards.
    pub fn epochs(&self) -> broadcast::Receiver<EpochEvent> {
        self.epochs.subscribe()
    }

    /// Tells whoever waits for what happened. Steps of payments are gathered as long as stage and epoch stay the same, until
    /// [`Self::flush`].
    pub fn tell(&self, event: &Event) {
        match event {
            Event::Stages { stage, epoch, payments, .. } if self.is_wanted(core_stage(*stage)) => {
                let ids: Vec<PaymentId> = payments.iter().map(|(id, _)| *id).collect();
                self.tell_stages(*stage, *epoch, &ids);
            }
            Event::Credited { id, epoch, .. } => self.gather(Stage::Credited, Some(*epoch), *id),
            Event::Incoming { id, .. } => self.gather(Stage::Incoming, None, *id),
            Event::GaveUp { id, reject } => {
                self.flush();
                if self.watched.load(Ordering::Acquire) > 0 {
                    let progress = Progress::GaveUp(reject.clone());
                    send(&lock(&self.watchers), id, &progress);
                }
            }
            Event::Header(header) => self.tell_header(header),
            _ => {}
        }
    }

    /// Tells that payments have reached a stage, in one go.
    pub fn tell_stages(&self, stage: smt_consensus::Stage, epoch: Epoch, ids: &[PaymentId]) {
        self.flush();
        self.told(core_stage(stage), epoch_of(stage, epoch), ids);
    }

    /// Tells of a certified header of any shard.
    pub fn tell_header(&self, header: &CertifiedHeader) {
        let event = EpochEvent {
            shard: header.header.shard.into(),
            epoch: Decimal(header.header.epoch.0),
            digest: header.header.digest().into(),
            supply: Decimal(u128::from(header.header.supply.0)),
        };
        // Nobody listening is no fault.
        drop(self.epochs.send(event));
    }

    fn is_wanted(&self, stage: Stage) -> bool {
        self.watched.load(Ordering::Acquire) > 0 || self.followed.load(Ordering::Acquire) & bit(stage) != 0
    }

    fn gather(&self, stage: Stage, epoch: Option<Epoch>, id: PaymentId) {
        if !self.is_wanted(stage) {
            return;
        }
        let mut run = lock(&self.run);
        if run.head != Some((stage, epoch)) || run.ids.len() >= IDS_MAX {
            self.tell_run(&mut run);
            run.head = Some((stage, epoch));
        }
        run.ids.push(id);
    }

    /// Tells what is gathered.
    pub fn flush(&self) {
        let mut run = lock(&self.run);
        self.tell_run(&mut run);
    }

    fn tell_run(&self, run: &mut Run) {
        if let Some((stage, epoch)) = run.head.take() {
            self.told(stage, epoch, &run.ids);
            run.ids.clear();
        }
    }

    fn told(&self, stage: Stage, epoch: Option<Epoch>, ids: &[PaymentId]) {
        if self.watched.load(Ordering::Acquire) > 0 {
            let watchers = lock(&self.watchers);
            let progress = Progress::Reached { stage, epoch };
            ids.iter().for_each(|id| send(&watchers, id, &progress));
        }
        if self.followed.load(Ordering::Acquire) & bit(stage) != 0 {
            let mut followers = lock(&self.followers);
            for ids in ids.chunks(IDS_MAX) {
                let event = StagesEvent {
                    stage,
                    epoch: epoch.map(|epoch| Decimal(epoch.0)),
                    ids: ids.iter().map(|id| (*id).into()).collect(),
                };
                let event = schema::Event::Stages(StagesText::new(&event));
                // A sink that is full has ended its subscription and says so to its reader.
                followers.retain(|f| !f.stages.contains(&stage) || f.sink.send(event.clone()));
            }
            self.note_followed(&followers);
        }
    }
}

/// The epoch that goes with a stage: none before `final`.
fn epoch_of(stage: smt_consensus::Stage, epoch: Epoch) -> Option<Epoch> {
    (stage >= smt_consensus::Stage::Final).then_some(epoch)
}

fn send(watchers: &HashMap<PaymentId, Vec<Watcher>>, id: &PaymentId, progress: &Progress) {
    for (_, watcher) in watchers.get(id).into_iter().flatten() {
        // A client that has just gone away takes itself out of the list.
        drop(watcher.send((*id, progress.clone())));
    }
}
