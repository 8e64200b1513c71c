//! The verifier: clients' payments wait here, bounded, and their signatures are checked many at a time.
//!
//! One thread takes whole calls, as many as have queued up to [`CHECKED_MAX`] payments, checks them in one batch and hands the
//! valid ones to the core as one job. A single payment at low load is checked at once. Messages of peers are checked elsewhere
//! (ingress), so that neither side waits for the other's signatures.
//!
//! A payment holds one of [`WAITING_MAX`] places from its submission to the core's answer: whatever stands still, the checks or
//! the core, clients are refused and nothing grows.

use super::handle::{Admitted, Job, Refusal};
use smt_consensus::verify::{Gate, Submission};
use smt_consensus::{Reject, Stage, Verified};
use smt_types::message::NodeId;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, TryRecvError, channel};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Payments of clients that wait for the core's answer at one time.
pub const WAITING_MAX: usize = 16_384;

/// From so many payments on nothing more is waited for.
const GATHERED: usize = 256;

/// Longest wait of calls for one another.
const GATHER: Duration = Duration::from_millis(5);

/// Most payments of one call, and of one check: beyond this a batch check gains nothing.
pub const CHECKED_MAX: usize = 1 << INDEX_BITS;

/// Bits of a token that number the payment within its call.
const INDEX_BITS: u32 = 10;

/// Payments on their way to the core.
#[derive(Debug, Default)]
struct Gauge {
    /// Submitted and not answered.
    waiting: AtomicUsize,
    /// Of these, not checked yet.
    unchecked: AtomicUsize,
    /// That the core's queue has room for, as the core last said.
    room: AtomicUsize,
}

impl Gauge {
    /// Payments that may be on their way to the core.
    fn room(&self) -> usize {
        self.room.load(Ordering::Relaxed).min(WAITING_MAX)
    }

    /// Those that may still come.
    fn free(&self) -> usize {
        self.room().saturating_sub(self.waiting.load(Ordering::Relaxed))
    }
}

/// The core's end of the gauge.
#[derive(Debug)]
pub(crate) struct Room(Arc<Gauge>);

impl Room {
    /// So many more payments find room in the core's queue.
    pub(crate) fn set(&self, payments: usize) {
        self.0.room.store(payments, Ordering::Relaxed);
    }
}

/// Places of one call's payments; given back when it is dropped.
#[derive(Debug)]
struct Places {
    gauge: Arc<Gauge>,
    count: usize,
}

impl Drop for Places {
    fn drop(&mut self) {
        self.gauge.waiting.fetch_sub(self.count, Ordering::AcqRel);
    }
}

/// One call.
struct Call {
    payments: Vec<Submission>,
    answers: Answers,
}

/// The outcomes of one call; they leave together, when the last one is there.
#[derive(Debug)]
pub struct Answers {
    outcomes: Vec<Option<Admitted>>,
    missing: usize,
    reply: oneshot::Sender<Vec<Admitted>>,
    _places: Places,
}

impl Answers {
    /// Notes the outcome of the payment at `index`. True when it was the last that was missing.
    fn note(&mut self, index: usize, outcome: Admitted) -> bool {
        if let Some(place @ None) = self.outcomes.get_mut(index) {
            *place = Some(outcome);
            self.missing = self.missing.saturating_sub(1);
        }
        self.missing == 0
    }

    fn send(self) {
        // The client may have gone away.
        drop(self.reply.send(self.outcomes.into_iter().flatten().collect()));
    }
}

/// What the core gets of a call: the payments whose signatures are valid, each with its place in the call.
#[derive(Debug)]
pub struct Checked {
    payments: Vec<(usize, Verified<Submission>)>,
    answers: Answers,
}

/// The way in: owned by the replica's handle.
#[derive(Debug)]
pub struct Verifier {
    calls: Sender<Call>,
    gauge: Arc<Gauge>,
}

impl Verifier {
    /// Starts the thread. It ends with the core, or when the verifier is dropped.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(node: NodeId, gate: Gate, jobs: SyncSender<Job>, room: usize) -> std::io::Result<Verifier> {
        let (calls, queue) = channel();
        let gauge = Arc::new(Gauge { room: AtomicUsize::new(room), ..Gauge::default() });
        let shared = gauge.clone();
        std::thread::Builder::new().name(format!("verify {node}")).spawn(move || run(&gate, &queue, &jobs, &shared))?;
        Ok(Verifier { calls, gauge })
    }

    /// Queues payments, in order, as far as there are places; those without one are refused by the answer. `None` when the
    /// thread has ended.
    pub(super) async fn submit(&self, mut payments: Vec<Submission>) -> Option<Vec<Admitted>> {
        let places = self.take(payments.len().min(CHECKED_MAX));
        let refused = payments.split_off(places.count).len();
        let mut outcomes = Vec::new();
        if !payments.is_empty() {
            let (reply, answer) = oneshot::channel();
            let missing = payments.len();
            let answers = Answers { outcomes: vec![None; missing], missing, reply, _places: places };
            self.gauge.unchecked.fetch_add(missing, Ordering::Relaxed);
            self.calls.send(Call { payments, answers }).ok()?;
            outcomes = answer.await.ok()?;
        }
        outcomes.extend((0..refused).map(|_| Err(Refusal::Busy)));
        Some(outcomes)
    }

    /// The core's end of the gauge.
    pub(crate) fn room(&self) -> Room {
        Room(self.gauge.clone())
    }

    /// Whether a payment that came now would be refused, whatever it says.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.gauge.free() == 0
    }

    /// As many places as are free, at most `wanted`. What the core's queue has no room for is refused before its signature is
    /// checked: refusals have to stay cheap when there are most of them.
    fn take(&self, wanted: usize) -> Places {
        let room = self.gauge.room();
        let free = |waiting: usize| wanted.min(room.saturating_sub(waiting));
        let grown = |waiting: usize| Some(waiting.saturating_add(free(waiting)));
        let before = self.gauge.waiting.fetch_update(Ordering::AcqRel, Ordering::Acquire, grown);
        let count = before.map_or(0, free);
        Places { gauge: self.gauge.clone(), count }
    }

    /// Payments submitted and not answered by the core.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.gauge.waiting.load(Ordering::Relaxed)
    }

    /// Of these, those whose signatures are not checked yet.
    #[must_use]
    pub fn unchecked(&self) -> usize {
        self.gauge.unchecked.load(Ordering::Relaxed)
    }
}

fn run(gate: &Gate, queue: &Receiver<Call>, jobs: &SyncSender<Job>, gauge: &Gauge) {
    let mut held = None;
    let mut rested = Instant::now();
    while let Some(first) = held.take().or_else(|| queue.recv().ok()) {
        let mut count = first.payments.len();
        let mut calls = vec![first];
        // A call that comes alone is checked at once. Calls that come thick wait for one another until the last check is a
        // while ago: a signature in a batch of hundreds costs half of one in a batch of thirty.
        let more = |count: usize| match queue.try_recv() {
            Err(TryRecvError::Empty) if count < GATHERED => {
                queue.recv_timeout(rested.saturating_duration_since(Instant::now())).ok()
            }
            call => call.ok(),
        };
        while count < CHECKED_MAX
            && let Some(call) = more(count)
        {
            count = count.saturating_add(call.payments.len());
            if count > CHECKED_MAX {
                held = Some(call);
            } else {
                calls.push(call);
            }
        }
        let taken: usize = calls.iter().map(|call| call.payments.len()).sum();
        let checked = check(gate, calls);
        gauge.unchecked.fetch_sub(taken, Ordering::Relaxed);
        let now = Instant::now();
        rested = now.checked_add(GATHER).unwrap_or(now);
        // Waiting for the core is right here: the places stay taken, so clients are refused meanwhile.
        if !checked.is_empty() && jobs.send(Job::Submit(checked)).is_err() {
            return;
        }
    }
}

/// Checks all calls in one batch. Calls without a valid payment are answered at once.
fn check(gate: &Gate, calls: Vec<Call>) -> Vec<Checked> {
    let mut all = Vec::new();
    let mut open = Vec::new();
    for Call { payments, answers } in calls {
        open.push((payments.len(), answers));
        all.extend(payments);
    }
    let mut outcomes = gate.payments(all).into_iter();
    let mut checked = Vec::new();
    for (count, mut answers) in open {
        let mut payments = Vec::with_capacity(count);
        let mut done = false;
        for (index, outcome) in outcomes.by_ref().take(count).enumerate() {
            match outcome {
                Ok(payment) => payments.push((index, payment)),
                Err(_) => done = answers.note(index, Err(Refusal::Signature)),
            }
        }
        if done {
            answers.send();
        } else {
            checked.push(Checked { payments, answers });
        }
    }
    checked
}

/// Calls that the core works on, kept by its thread. Dropping it tells their clients that the replica has stopped.
#[derive(Debug, Default)]
pub(crate) struct Replies {
    open: HashMap<u64, Answers>,
    next: u64,
}

impl Replies {
    /// Takes up a call: its payments with the tokens under which [`Self::answer`] wants the outcomes.
    pub(crate) fn open(&mut self, call: Checked) -> impl Iterator<Item = (u64, Verified<Submission>)> + use<> {
        let number = self.next;
        // The number fits beside the index: 2^54 calls take a replica longer than its machine lasts.
        self.next = number.wrapping_add(1) & (u64::MAX >> INDEX_BITS);
        self.open.insert(number, call.answers);
        let token = move |index: usize| (number << INDEX_BITS) | u64::try_from(index).unwrap_or_default();
        call.payments.into_iter().map(move |(index, payment)| (token(index), payment))
    }

    /// The core's answer under a token.
    pub(crate) fn answer(&mut self, token: u64, outcome: Result<Stage, Reject>) {
        let number = token >> INDEX_BITS;
        let index = usize::try_from(token & ((1 << INDEX_BITS) - 1)).unwrap_or_default();
        let Some(answers) = self.open.get_mut(&number) else { return };
        if answers.note(index, outcome.map_err(Refusal::Core))
            && let Some(answers) = self.open.remove(&number)
        {
            answers.send();
        }
    }
}
