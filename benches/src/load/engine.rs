//! One step of load: a thread that sends what is due and enters what comes back into the books.
//!
//! The thread sleeps until the next payment is due or something comes back, whichever is first. Payments are grouped into calls by
//! *pulses*: one pulse serves one gateway of each shard, in turn, with everything that is due by then. A pulse of 0 sends every payment as
//! soon as it is due; at high rates a few milliseconds spare both sides most of the cost per call, and count against us as latency.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::books::Books;
use super::figures::Figures;
use super::flight::Key;
use super::ids::Prefix;
use super::schedule::{SECOND, Schedule};
use super::wire::{Answer, CALL_MAX, CallText, Refused, Stage};
use crate::result::Second;

/// Longest sleep: retries and deadlines are looked at this often.
const NAP: u64 = 2_000_000;

/// What the sockets deliver. `seen`: when the message was read off the socket.
#[derive(Debug)]
pub enum Event {
    /// The answer to a call.
    Answered {
        /// The call.
        call: u64,
        /// The answer.
        answer: Answer,
    },
    /// Payments reached a stage.
    Told {
        /// Number of the telling replica's shard.
        shard: u32,
        /// Its index.
        reader: u8,
        /// The stage.
        stage: Stage,
        /// The payments.
        ids: Vec<Prefix>,
        /// When.
        seen: Instant,
    },
    /// A connection is gone with these calls unanswered.
    Lost {
        /// The calls.
        calls: Vec<u64>,
    },
    /// A subscription had a gap.
    Gap {
        /// What happened.
        reason: String,
    },
}

/// Where calls go. `false`: the socket's queue is full, nothing was taken.
pub trait Wire {
    /// Sends a call to a gateway of a shard.
    fn send(&mut self, shard: u32, gateway: u8, call: u64, text: String) -> bool;
}

/// How payments become due.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Load {
    /// So many a second and shard, whatever happens.
    Open {
        /// Payments a second and shard.
        rate: f64,
        /// Exponential gaps instead of even ones, from this seed.
        poisson: Option<u64>,
    },
    /// So many in flight and shard.
    Closed {
        /// Payments in flight.
        in_flight: u64,
    },
}

/// One step of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// The load.
    pub load: Load,
    /// Not measured.
    pub warm_up: Duration,
    /// Measured.
    pub duration: Duration,
    /// Longest wait afterwards for stages after `final`; `None` goes on as soon as nothing is open.
    pub settle: Option<Duration>,
    /// Whether to wait afterwards until nothing is open.
    pub drain: bool,
}

/// Moments of a step that others want to know of, to take their own measurements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// The window begins.
    Begin,
    /// It ends.
    End,
}

/// Who is told while a step runs. Called on the generator's thread: has to be quick.
pub trait Watcher {
    /// A second is over. `false` ends the run.
    fn second(&mut self, second: &Second) -> bool;
    /// The window begins or ends.
    fn mark(&mut self, mark: Mark);
}

/// The generator.
#[derive(Debug)]
pub struct Engine<W> {
    /// The books of the whole run.
    pub books: Books,
    wire: W,
    events: Receiver<Event>,
    origin: Instant,
    stop: Arc<AtomicBool>,
    calls: HashMap<u64, Vec<Key>>,
    next_call: u64,
    pulse: u64,
    turn: usize,
    /// Gaps in subscriptions so far.
    pub gaps: Vec<String>,
}

impl<W: Wire> Engine<W> {
    /// A generator over `wire`; ends early once `stop` is set.
    pub fn new(books: Books, wire: W, events: Receiver<Event>, stop: Arc<AtomicBool>) -> Engine<W> {
        let origin = Instant::now();
        let (calls, gaps) = (HashMap::new(), Vec::new());
        Engine { books, wire, events, origin, stop, calls, next_call: 1, pulse: 0, turn: 0, gaps }
    }

    /// Nanoseconds since the engine was made.
    fn now(&self) -> u64 {
        self.at(Instant::now())
    }

    fn at(&self, instant: Instant) -> u64 {
        u64::try_from(instant.saturating_duration_since(self.origin).as_nanos()).unwrap_or(u64::MAX)
    }

    /// Where calls go.
    pub fn wire(&self) -> &W {
        &self.wire
    }

    /// The instant of a time in the figures.
    pub fn instant(&self, ns: u64) -> Instant {
        self.origin.checked_add(Duration::from_nanos(ns)).unwrap_or(self.origin)
    }

    /// Whether the run was told to end.
    pub fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Runs one step to its end.
    pub fn run(&mut self, step: &Step, pulse: Duration, watcher: &mut dyn Watcher) -> Figures {
        self.books.begin_step();
        self.pulse = nanos(pulse);
        let start = self.now().saturating_add(SECOND / 20);
        let begin = start.saturating_add(nanos(step.warm_up));
        let end = begin.saturating_add(nanos(step.duration));
        let shards = self.shards();
        let mut figures = Figures::new(start, (begin, end), shards);
        let mut source = Source::new(step.load, start, end, shards);
        let mut marks = [(begin, Mark::Begin), (end, Mark::End)].into_iter().peekable();
        let (mut last_pulse, mut pulse_before) = (0, 0);
        loop {
            let now = self.now();
            if let Some((_, mark)) = marks.next_if(|(at, _)| *at <= now) {
                watcher.mark(mark);
            }
            if now.saturating_sub(last_pulse) >= self.pulse {
                source.issue(now, &mut self.books, self.turn, &mut figures);
                // What was due before the pulse before this one was not kept back by the pulse.
                self.send(now, pulse_before, &mut figures);
                (pulse_before, last_pulse) = (last_pulse, now);
            }
            self.books.tick(now, &mut figures);
            if let Some(second) = figures.tick(now, self.books.open())
                && !watcher.second(second)
            {
                break;
            }
            // What is due in the last pulse of the window is still to be sent.
            let over = now >= end && source.is_done() && (!step.drain || self.books.open() == 0);
            if over || self.stopped() {
                break;
            }
            let next_send = source.next().map_or(u64::MAX, |due| due.max(last_pulse.saturating_add(self.pulse)));
            let wake = now.saturating_add(NAP).min(next_send);
            self.listen(wake.saturating_sub(now), &mut figures);
        }
        for (_, mark) in marks {
            watcher.mark(mark);
        }
        self.settle(step, &mut figures, watcher);
        figures
    }

    /// Waits for the later stages of what is final.
    fn settle(&mut self, step: &Step, figures: &mut Figures, watcher: &mut dyn Watcher) {
        let Some(patience) = step.settle else { return };
        let until = self.now().saturating_add(nanos(patience));
        while self.books.tails() > 0 && self.now() < until && !self.stopped() {
            self.listen(NAP, figures);
            let now = self.now();
            self.books.tick(now, figures);
            if let Some(second) = figures.tick(now, self.books.open())
                && !watcher.second(second)
            {
                return;
            }
        }
    }

    fn shards(&self) -> usize {
        let last = self.books.lanes().map(|(shard, _)| shard).max().unwrap_or(0);
        usize::try_from(last).unwrap_or(0).saturating_add(1)
    }

    /// Sends what is due: first sends of this turn's gateway, resends of all.
    fn send(&mut self, now: u64, since: u64, figures: &mut Figures) {
        let lanes: Vec<(u32, u8)> = self.books.lanes().collect();
        for (lane, (shard, gateway)) in lanes.into_iter().enumerate() {
            while self.books.has_outgoing(lane) {
                let outgoing = self.books.outgoing(lane, now, since, figures);
                let full = outgoing.len() >= CALL_MAX;
                let mut text = CallText::new(outgoing.len());
                let mut keys = Vec::with_capacity(outgoing.len());
                for payment in &outgoing {
                    text.push(&payment.bytes);
                    keys.push(payment.key);
                }
                if keys.is_empty() {
                    break;
                }
                let call = self.next_call;
                self.next_call = call.saturating_add(1);
                if self.wire.send(shard, gateway, call, text.finish(call)) {
                    self.calls.insert(call, keys);
                } else {
                    self.books.lost(&keys, false, now, figures);
                }
                if !full {
                    break;
                }
            }
        }
        self.turn = self.turn.wrapping_add(1);
    }

    /// Waits for events, at most `patience`, then takes all there are.
    fn listen(&mut self, patience: u64, figures: &mut Figures) {
        match self.events.recv_timeout(Duration::from_nanos(patience)) {
            Ok(event) => self.enter(event, figures),
            Err(RecvTimeoutError::Timeout) => return,
            // Nobody is left to deliver anything; time still passes.
            Err(RecvTimeoutError::Disconnected) => std::thread::sleep(Duration::from_nanos(patience)),
        }
        // Bounded, so that a flood of news does not keep payments from being sent.
        for _ in 0..64 {
            let Ok(event) = self.events.try_recv() else { return };
            self.enter(event, figures);
        }
    }

    fn enter(&mut self, event: Event, figures: &mut Figures) {
        let now = self.now();
        match event {
            Event::Answered { call, answer } => {
                let Some(keys) = self.calls.remove(&call) else { return };
                let mut outcomes = match answer {
                    Answer::Outcomes(outcomes) => outcomes.into_iter(),
                    Answer::Refused(refused) => vec![Some(refused); keys.len()].into_iter(),
                };
                // A list that is too short says nothing of the rest.
                let missing = Some(Refused { kind: "no_outcome", retryable: true });
                for key in keys {
                    self.books.answered(key, outcomes.next().unwrap_or(missing), now, figures);
                }
            }
            Event::Told { shard, reader, stage, ids, seen } => {
                let seen = self.at(seen);
                self.books.told(shard, reader, stage, &ids, seen, figures);
            }
            Event::Lost { calls } => {
                for call in calls {
                    if let Some(keys) = self.calls.remove(&call) {
                        self.books.lost(&keys, true, now, figures);
                    }
                }
            }
            Event::Gap { reason } => {
                if self.gaps.len() < 100 {
                    self.gaps.push(reason);
                }
            }
        }
    }
}

/// Where arrivals come from.
struct Source {
    load: Load,
    shards: usize,
    schedule: Schedule,
    start: u64,
    end: u64,
    shard: usize,
    closed_due: u64,
}

impl Source {
    fn new(load: Load, start: u64, end: u64, shards: usize) -> Source {
        let schedule = match load {
            Load::Open { rate, poisson } => {
                let shards = u32::try_from(shards).map_or(1.0, f64::from);
                Schedule::new(start, end, rate * shards, poisson)
            }
            Load::Closed { .. } => Schedule::new(start, end, 0.0, None),
        };
        Source { load, shards, schedule, start, end, shard: 0, closed_due: start }
    }

    fn next(&self) -> Option<u64> {
        match self.load {
            Load::Open { .. } => self.schedule.next(),
            Load::Closed { .. } => (self.closed_due < self.end).then_some(self.closed_due),
        }
    }

    /// Whether nothing will become due any more, once the end has passed.
    fn is_done(&self) -> bool {
        match self.load {
            Load::Open { .. } => self.schedule.next().is_none(),
            Load::Closed { .. } => true,
        }
    }

    /// Makes due what is due at `now`: shards in turn, each at the gateway whose turn it is.
    fn issue(&mut self, now: u64, books: &mut Books, turn: usize, figures: &mut Figures) {
        let width = books.rules().gateways.len().max(1);
        let lane = |shard: usize| shard.saturating_mul(width).saturating_add(turn.checked_rem(width).unwrap_or(0));
        match self.load {
            Load::Open { .. } => {
                while let Some(intended) = self.schedule.take(now) {
                    books.arrive(lane(self.shard), intended, figures);
                    self.shard = self.shard.saturating_add(1).checked_rem(self.shards).unwrap_or(0);
                }
            }
            Load::Closed { in_flight } => {
                let shards = u64::try_from(self.shards).unwrap_or(1);
                if now < self.start || now >= self.end {
                    return;
                }
                let mut missing = in_flight.saturating_mul(shards).saturating_sub(books.open());
                while missing > 0 {
                    books.arrive(lane(self.shard), now, figures);
                    self.shard = self.shard.saturating_add(1).checked_rem(self.shards).unwrap_or(0);
                    missing = missing.saturating_sub(1);
                }
                // Looked at again when something comes back, or after this.
                self.closed_due = now.saturating_add(500_000);
            }
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
