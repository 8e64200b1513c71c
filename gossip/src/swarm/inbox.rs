//! Events on their way to the application, bounded by count and bytes.
//!
//! What does not fit is *held*, its acknowledgement with it: the sender has one frame under way and so sends nothing more. Held events are
//! bounded too, for peers that ignore that rule; beyond the bound a frame is dropped unacknowledged and an honest sender tries again.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use libp2p::request_response::ResponseChannel;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::{codec::Budget, config::Limits, event::SwarmEvent};

/// Bookkeeping of an event, counted as bytes so that empty messages are not free.
const EVENT_BYTES: usize = 128;
/// Held events may take this many times the count that may wait for the application.
const HELD_FACTOR: usize = 16;

/// Where the application reads what arrived. Dropping it stops the swarm.
#[derive(Debug)]
pub struct EventReceiver {
    queue: mpsc::Receiver<Queued>,
}

impl EventReceiver {
    /// The next event; `None` once the swarm has stopped. Cancel-safe.
    pub async fn recv(&mut self) -> Option<SwarmEvent> {
        Some(self.queue.recv().await?.event)
    }

    /// The next event if one waits already.
    pub fn try_recv(&mut self) -> Option<SwarmEvent> {
        Some(self.queue.try_recv().ok()?.event)
    }
}

#[derive(Debug)]
struct Queued {
    event: SwarmEvent,
    /// Bytes of the queue this event takes until it is received.
    _room: OwnedSemaphorePermit,
}

#[derive(Debug)]
struct Held {
    event: SwarmEvent,
    cost: u32,
    /// Acknowledged once this event is in the application's queue.
    acknowledge: Option<ResponseChannel<Bytes>>,
    _budget: Budget,
}

/// The swarm's end.
#[derive(Debug)]
pub(crate) struct Inbox {
    queue: mpsc::Sender<Queued>,
    room: Arc<Semaphore>,
    room_max: u32,
    held: VecDeque<Held>,
    held_bytes: usize,
    held_count_max: usize,
    held_bytes_max: usize,
}

impl Inbox {
    pub(crate) fn new(limits: &Limits) -> (Self, EventReceiver) {
        let count = limits.inbox_count_max.clamp(1, 1 << 20);
        let bytes = limits.inbox_bytes_max.clamp(EVENT_BYTES, 1 << 30);
        let (sender, receiver) = mpsc::channel(count);
        let inbox = Self {
            queue: sender,
            room: Arc::new(Semaphore::new(bytes)),
            room_max: u32::try_from(bytes).unwrap_or(u32::MAX),
            held: VecDeque::new(),
            held_bytes: 0,
            held_count_max: count.saturating_mul(HELD_FACTOR),
            held_bytes_max: bytes,
        };
        (inbox, EventReceiver { queue: receiver })
    }

    /// Whether the application keeps up: nothing is held.
    pub(crate) fn is_clear(&self) -> bool {
        self.held.is_empty()
    }

    /// Whether `count` events of `bytes` in all may be held; a first frame always may, however large.
    pub(crate) fn has_room(&self, count: usize, bytes: usize) -> bool {
        let bytes = bytes.saturating_add(count.saturating_mul(EVENT_BYTES));
        self.held.is_empty()
            || (self.held.len().saturating_add(count) <= self.held_count_max
                && self.held_bytes.saturating_add(bytes) <= self.held_bytes_max)
    }

    /// Appends an event; [`Self::pump`] moves it on.
    pub(crate) fn push(&mut self, event: SwarmEvent, acknowledge: Option<ResponseChannel<Bytes>>, budget: Budget) {
        let cost = event.body_bytes().saturating_add(EVENT_BYTES);
        self.held_bytes = self.held_bytes.saturating_add(cost);
        self.held.push_back(Held {
            event,
            cost: u32::try_from(cost).unwrap_or(u32::MAX).min(self.room_max),
            acknowledge,
            _budget: budget,
        });
    }

    /// Moves events to the application as far as they fit; returns what is to be acknowledged.
    pub(crate) fn pump(&mut self) -> Vec<ResponseChannel<Bytes>> {
        let mut acknowledged = Vec::new();
        while let Some(next) = self.held.front() {
            let Ok(room) = Arc::clone(&self.room).try_acquire_many_owned(next.cost) else {
                break;
            };
            let Ok(slot) = self.queue.try_reserve() else {
                break;
            };
            let Some(next) = self.held.pop_front() else {
                break;
            };
            let cost = next.event.body_bytes().saturating_add(EVENT_BYTES);
            self.held_bytes = self.held_bytes.saturating_sub(cost);
            slot.send(Queued { event: next.event, _room: room });
            acknowledged.extend(next.acknowledge);
        }
        if self.held.is_empty() && self.held.capacity() > 4_096 {
            self.held = VecDeque::new();
        }
        acknowledged
    }

    /// Waits until the next held event fits. Never ends while nothing is held. Cancel-safe.
    pub(crate) async fn room(&self) {
        let Some(next) = self.held.front() else {
            return std::future::pending().await;
        };
        // Errors mean that the application is gone, which `closed` reports: then there is nothing to wait for.
        let room = self.room.acquire_many(next.cost).await;
        let slot = self.queue.reserve().await;
        if room.is_err() || slot.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Waits until the application has dropped its end.
    pub(crate) async fn closed(&self) {
        self.queue.closed().await;
    }
}
