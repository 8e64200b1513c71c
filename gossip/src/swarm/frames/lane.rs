//! The messages for one peer, on whichever of its connections carries them. No I/O and no clock: time comes in.
//!
//! One connection at a time is the *carrier*. It takes frames in order and keeps each until it is acknowledged; when it fails, whoever carries
//! next sends all that is not acknowledged again, in the same order and before anything new.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    task::Waker,
    time::Instant,
};

use bytes::Bytes;
use libp2p::swarm::ConnectionId;

use super::super::{
    config::Limits,
    outbox::{Frame, Outbox},
};

/// Frames that may be on their way without an acknowledgement: one being read, one on the wire and room for acknowledgements to come together.
/// More would only cut what waits into smaller frames.
pub(crate) const WINDOW_FRAMES: usize = 8;
/// Bytes of such frames after which no further frame starts; a peer that reads but never acknowledges makes us hold this and a frame.
pub(crate) const WINDOW_BYTES: usize = 512 << 10;

/// Shared by the application's handle and the connections to the peer.
#[derive(Debug)]
pub(crate) struct Lane(Mutex<State>);

#[derive(Debug)]
struct State {
    outbox: Outbox,
    /// Taken from the outbox and not acknowledged, oldest first.
    window: VecDeque<Frame>,
    window_bytes: usize,
    /// How many of the window's frames, oldest first, the carrier has taken.
    taken: usize,
    carrier: Option<ConnectionId>,
    /// The connections' tasks.
    tasks: Vec<(ConnectionId, Waker)>,
    /// A frame has been acknowledged since somebody asked.
    carried: bool,
}

/// What a carrier gets when it asks for the next frame.
#[derive(Debug, Default)]
pub(crate) struct Next {
    pub(crate) frame: Option<Bytes>,
    /// The frame was sent before.
    pub(crate) again: bool,
    /// Messages that became too old for sending.
    pub(crate) expired: u64,
}

impl Lane {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self(Mutex::new(State {
            outbox: Outbox::new(limits.outbox_count_max, limits.outbox_bytes_max),
            window: VecDeque::new(),
            window_bytes: 0,
            taken: 0,
            carrier: None,
            tasks: Vec::new(),
            carried: false,
        }))
    }

    /// Sections under this lock only move bytes; a panic there leaves nothing half done that a queue could not bear.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a message and wakes whoever carries; returns how many older messages were dropped for it.
    pub(crate) fn push(&self, now: Instant, message: Bytes) -> u64 {
        let mut state = self.state();
        let dropped = state.outbox.push(now, message);
        // With messages waiting before this one the carrier has been woken, or waits for an acknowledgement.
        let wake = if state.outbox.len() > 1 { Vec::new() } else { state.wakers() };
        drop(state);
        wake.iter().for_each(Waker::wake_by_ref);
        dropped
    }

    #[cfg(test)]
    pub(crate) fn carrier(&self) -> Option<ConnectionId> {
        self.state().carrier
    }

    /// Messages waiting for their first sending.
    pub(crate) fn waiting(&self) -> usize {
        self.state().outbox.len()
    }

    /// Tells whether a frame has been acknowledged since the last call.
    pub(crate) fn has_carried(&self) -> bool {
        std::mem::take(&mut self.state().carried)
    }

    /// Makes `connection` the carrier if there is something to send and nobody else does; true if it is the carrier now. From the first call
    /// on `task` is woken when that may have changed, and for every message that finds the outbox empty.
    pub(crate) fn claim(&self, connection: ConnectionId, task: &Waker) -> bool {
        let mut state = self.state();
        match state.tasks.iter_mut().find(|(id, _)| *id == connection) {
            Some((_, known)) => known.clone_from(task),
            None => state.tasks.push((connection, task.clone())),
        }
        if state.carrier.is_none() && (state.outbox.len() > 0 || !state.window.is_empty()) {
            state.carrier = Some(connection);
        }
        state.carrier == Some(connection)
    }

    /// The next frame for `connection` to write: first what was on the way when the carrier before it failed.
    pub(crate) fn next(&self, connection: ConnectionId, now: Instant, limits: &Limits) -> Next {
        let mut next = Next::default();
        let mut state = self.state();
        if state.carrier != Some(connection) {
            return next;
        }
        while let Some(frame) = state.window.get(state.taken) {
            if now.saturating_duration_since(frame.first_sent) <= limits.frame_age_max {
                break;
            }
            let at = state.taken;
            if let Some(frame) = state.window.remove(at) {
                state.window_bytes = state.window_bytes.saturating_sub(frame.bytes.len());
                next.expired = next.expired.saturating_add(frame.count);
            }
        }
        let full = state.window.len() >= WINDOW_FRAMES || state.window_bytes >= WINDOW_BYTES;
        if state.taken >= state.window.len() && !full && state.outbox.len() > 0 {
            let (frame, stale) = state.outbox.frame(now, limits.message_age_max);
            next.expired = next.expired.saturating_add(stale);
            if let Some(frame) = frame {
                state.window_bytes = state.window_bytes.saturating_add(frame.bytes.len());
                state.window.push_back(frame);
            }
        }
        let at = state.taken;
        if let Some(frame) = state.window.get_mut(at) {
            next.again = frame.attempts > 0;
            frame.attempts = frame.attempts.saturating_add(1);
            next.frame = Some(frame.bytes.clone());
            state.taken = at.saturating_add(1);
        }
        next
    }

    /// The peer has `frames` more of those that `connection` took; returns how many messages that are, or nothing if it took fewer.
    pub(crate) fn acknowledged(&self, connection: ConnectionId, frames: usize) -> Option<u64> {
        let mut state = self.state();
        if state.carrier != Some(connection) || frames > state.taken {
            return None;
        }
        let mut messages = 0u64;
        for frame in state.window.drain(..frames).collect::<Vec<_>>() {
            state.window_bytes = state.window_bytes.saturating_sub(frame.bytes.len());
            messages = messages.saturating_add(frame.count);
        }
        state.taken = state.taken.saturating_sub(frames);
        state.carried = true;
        Some(messages)
    }

    /// `connection` carries no longer; another one may.
    pub(crate) fn release(&self, connection: ConnectionId) {
        let mut state = self.state();
        if state.carrier != Some(connection) {
            return;
        }
        state.carrier = None;
        state.taken = 0;
        let wake = state.wakers();
        drop(state);
        wake.iter().for_each(Waker::wake_by_ref);
    }

    /// `connection` is gone: as [`Self::release`], and it is not woken any more.
    pub(crate) fn leave(&self, connection: ConnectionId) {
        self.state().tasks.retain(|(id, _)| *id != connection);
        self.release(connection);
    }
}

impl State {
    /// Whom fresh messages concern: the carrier, or everybody while there is none.
    fn wakers(&self) -> Vec<Waker> {
        let concerned = |id: ConnectionId| self.carrier.is_none_or(|carrier| carrier == id);
        self.tasks.iter().filter(|(id, _)| concerned(*id)).map(|(_, task)| task.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, reason = "tests")]
    use std::{
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        task::Wake,
        time::Duration,
    };

    use super::*;
    use crate::swarm::frames::wire::{PREFIX_BYTES, decode_messages};

    #[derive(Default)]
    struct Task(AtomicUsize);

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn connection(id: usize) -> ConnectionId {
        ConnectionId::new_unchecked(id)
    }

    struct Fixture {
        lane: Lane,
        limits: Limits,
        now: Instant,
    }

    impl Fixture {
        fn new() -> Self {
            let limits = Limits::default();
            Self { lane: Lane::new(&limits), limits, now: Instant::now() }
        }

        fn claim(&self, id: usize) -> bool {
            self.lane.claim(connection(id), Waker::noop())
        }

        /// The single messages of the frames that can be taken now.
        fn take(&self, id: usize) -> Vec<u8> {
            let next = || self.lane.next(connection(id), self.now, &self.limits).frame;
            std::iter::from_fn(next).map(|frame| decode_messages(&frame.slice(PREFIX_BYTES..)).unwrap()[0][0]).collect()
        }

        /// Each message in a frame of its own.
        fn push_and_take(&self, id: usize, messages: &[u8]) -> Vec<u8> {
            let each = messages.iter().flat_map(|&message| {
                self.lane.push(self.now, Bytes::copy_from_slice(&[message]));
                assert!(self.claim(id));
                self.take(id)
            });
            each.collect()
        }
    }

    #[test]
    fn window_is_bounded_and_what_waits_shares_the_next_frame() {
        let t = Fixture::new();
        let all: Vec<u8> = (0..100).collect();
        assert_eq!(t.push_and_take(1, &all), all[..WINDOW_FRAMES]);
        assert_eq!(t.lane.waiting(), 100 - WINDOW_FRAMES);
        assert_eq!(t.lane.acknowledged(connection(1), 2), Some(2));
        assert_eq!(t.take(1), [8]);
        assert_eq!(t.lane.waiting(), 0);
        assert_eq!(t.lane.acknowledged(connection(1), 7), Some(6 + 92));
        assert!(t.lane.has_carried() && !t.lane.has_carried());

        let t = Fixture::new();
        for _ in 0..10 {
            t.lane.push(t.now, Bytes::from(vec![7; WINDOW_BYTES / 2]));
        }
        assert!(t.claim(1));
        assert_eq!(t.take(1).len(), 2);
    }

    #[test]
    fn next_carrier_sends_again_in_order_and_before_anything_new() {
        let t = Fixture::new();
        assert_eq!(t.push_and_take(1, &[1, 2, 3]), [1, 2, 3]);
        assert_eq!(t.lane.acknowledged(connection(1), 1), Some(1));
        // Only the carrier has a say.
        assert!(!t.claim(2));
        assert_eq!(t.take(2), [0; 0]);
        assert_eq!(t.lane.acknowledged(connection(2), 1), None);
        t.lane.release(connection(2));
        assert!(!t.claim(2));
        t.lane.push(t.now, Bytes::from_static(&[4]));
        t.lane.leave(connection(1));
        assert_eq!(t.take(1), [0; 0]);
        assert!(t.claim(2));
        let again = t.lane.next(connection(2), t.now, &t.limits);
        assert!(again.again && again.frame.is_some());
        assert_eq!(t.take(2), [3, 4]);
        // The one before it has no say any more, and nobody may acknowledge more than was taken.
        assert_eq!(t.lane.acknowledged(connection(1), 1), None);
        assert_eq!(t.lane.acknowledged(connection(2), 4), None);
        assert_eq!(t.lane.acknowledged(connection(2), 3), Some(3));
        t.lane.release(connection(2));
        assert!(!t.claim(1), "there is nothing to carry");
    }

    #[test]
    fn frames_too_old_are_not_sent_again_and_messages_too_old_not_at_all() {
        let mut t = Fixture::new();
        assert_eq!(t.push_and_take(1, &[1, 2]), [1, 2]);
        t.lane.push(t.now, Bytes::from_static(&[3]));
        t.lane.release(connection(1));
        t.now += t.limits.frame_age_max + Duration::from_secs(1);
        t.lane.push(t.now, Bytes::from_static(&[4]));
        assert!(t.claim(1));
        let next = t.lane.next(connection(1), t.now, &t.limits);
        assert_eq!((next.expired, next.again), (3, false));
        assert_eq!(decode_messages(&next.frame.unwrap().slice(PREFIX_BYTES..)).unwrap(), [[4].as_slice()]);
        assert_eq!(t.lane.acknowledged(connection(1), 1), Some(1));
    }

    #[test]
    fn who_carries_is_woken_once_for_a_burst_and_all_when_nobody_carries() {
        let t = Fixture::new();
        let tasks: Vec<Arc<Task>> = (0..2).map(|_| Arc::default()).collect();
        let woken = || tasks.iter().map(|task| task.0.load(Ordering::Relaxed)).collect::<Vec<_>>();
        for (id, task) in tasks.iter().enumerate() {
            assert!(!t.lane.claim(connection(id), &Waker::from(Arc::clone(task))));
        }
        for message in 0..10 {
            t.lane.push(t.now, Bytes::copy_from_slice(&[message]));
        }
        assert_eq!(woken(), [1, 1]);
        assert!(t.lane.claim(connection(0), &Waker::from(Arc::clone(&tasks[0]))));
        assert_eq!(t.take(0), [0]);
        t.lane.push(t.now, Bytes::new());
        assert_eq!(woken(), [2, 1]);
        t.lane.leave(connection(0));
        assert_eq!(woken(), [2, 2]);
    }
}
