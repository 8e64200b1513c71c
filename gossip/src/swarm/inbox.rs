//! Events on their way to the application, bounded by count and bytes.
//!
//! What does not fit is *held* by who brought it: a frame by its connection, which reads and acknowledges nothing more meanwhile, so that its
//! sender soon stops; everything else by the swarm's task, up to a bound beyond which it is refused.

use std::{
    collections::VecDeque,
    fmt,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

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
pub(crate) struct Queued {
    event: SwarmEvent,
    /// Bytes of the queue this event takes until it is received.
    _room: OwnedSemaphorePermit,
}

/// A place in the application's queue.
#[derive(Debug)]
pub(crate) struct Place {
    room: OwnedSemaphorePermit,
    slot: mpsc::OwnedPermit<Queued>,
}

impl Place {
    /// Hands the event over.
    pub(crate) fn fill(self, event: SwarmEvent) {
        self.slot.send(Queued { event, _room: self.room });
    }
}

/// The way to the application; clones share its bounds.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    queue: mpsc::Sender<Queued>,
    room: Arc<Semaphore>,
    room_max: u32,
    /// Events and bytes held because there was no room, by whomever.
    held: Arc<Amounts>,
    held_count_max: usize,
    held_bytes_max: usize,
}

#[derive(Debug, Default)]
struct Amounts {
    count: AtomicUsize,
    bytes: AtomicUsize,
}

/// Events that are held, counted as long as this lives.
#[derive(Debug)]
pub(crate) struct Holding {
    held: Arc<Amounts>,
    count: usize,
    bytes: usize,
}

impl Drop for Holding {
    fn drop(&mut self) {
        self.held.count.fetch_sub(self.count, Ordering::Relaxed);
        self.held.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Delivery {
    pub(crate) fn new(limits: &Limits) -> (Self, EventReceiver) {
        let count = limits.inbox_count_max.clamp(1, 1 << 20);
        let bytes = limits.inbox_bytes_max.clamp(EVENT_BYTES, 1 << 30);
        let (sender, receiver) = mpsc::channel(count);
        let delivery = Self {
            queue: sender,
            room: Arc::new(Semaphore::new(bytes)),
            room_max: u32::try_from(bytes).unwrap_or(u32::MAX),
            held: Arc::default(),
            held_count_max: count.saturating_mul(HELD_FACTOR),
            held_bytes_max: bytes,
        };
        (delivery, EventReceiver { queue: receiver })
    }

    fn cost(&self, event: &SwarmEvent) -> u32 {
        u32::try_from(held_bytes(event)).unwrap_or(u32::MAX).min(self.room_max)
    }

    /// Hands an event over, or gives it back if there is no room now.
    #[must_use]
    pub(crate) fn offer(&self, event: SwarmEvent) -> Option<SwarmEvent> {
        let Ok(slot) = self.queue.try_reserve() else {
            return Some(event);
        };
        let Ok(room) = Arc::clone(&self.room).try_acquire_many_owned(self.cost(&event)) else {
            return Some(event);
        };
        slot.send(Queued { event, _room: room });
        None
    }

    /// Waits for a place for `event`.
    pub(crate) fn place(&self, event: &SwarmEvent) -> Waiting {
        let (queue, room, cost) = (self.queue.clone(), Arc::clone(&self.room), self.cost(event));
        Waiting(Box::pin(async move {
            if let Ok(room) = room.acquire_many_owned(cost).await
                && let Ok(slot) = queue.reserve_owned().await
            {
                return Place { room, slot };
            }
            std::future::pending().await
        }))
    }

    /// Counts events as held. While any are, the application does not keep up.
    pub(crate) fn hold(&self, count: usize, bytes: usize) -> Holding {
        self.held.count.fetch_add(count, Ordering::Relaxed);
        self.held.bytes.fetch_add(bytes, Ordering::Relaxed);
        Holding { held: Arc::clone(&self.held), count, bytes }
    }

    /// Waits until the application has dropped its end.
    pub(crate) async fn closed(&self) {
        self.queue.closed().await;
    }
}

/// The wait for a place in the application's queue; never ends once the application is gone, which [`Delivery::closed`] reports.
pub(crate) struct Waiting(Pin<Box<dyn Future<Output = Place> + Send>>);

impl Future for Waiting {
    type Output = Place;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Place> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Waiting")
    }
}

/// What an event counts for.
fn held_bytes(event: &SwarmEvent) -> usize {
    event.body_bytes().saturating_add(EVENT_BYTES)
}

#[derive(Debug)]
struct Held {
    event: SwarmEvent,
    _holding: Holding,
    _budget: Budget,
}

/// The events of the swarm's task.
#[derive(Debug)]
pub(crate) struct Inbox {
    delivery: Delivery,
    held: VecDeque<Held>,
    /// The wait of the first of them, kept as long as it lasts: whoever begins it anew stands behind every connection again.
    wait: Option<Waiting>,
}

impl Inbox {
    pub(crate) fn new(delivery: Delivery) -> Self {
        Self { delivery, held: VecDeque::new(), wait: None }
    }

    /// For those who bring events of their own.
    pub(crate) fn delivery(&self) -> &Delivery {
        &self.delivery
    }

    /// Whether the application keeps up: nothing is held, by nobody.
    pub(crate) fn is_clear(&self) -> bool {
        self.held.is_empty() && self.delivery.held.count.load(Ordering::Relaxed) == 0
    }

    /// Whether another event with a body of `bytes` may be held; a first one always may, however large.
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        let held = &self.delivery.held;
        let count = held.count.load(Ordering::Relaxed);
        let bytes = held.bytes.load(Ordering::Relaxed).saturating_add(bytes).saturating_add(EVENT_BYTES);
        count == 0 || (count < self.delivery.held_count_max && bytes <= self.delivery.held_bytes_max)
    }

    /// Appends an event; [`Self::pump`] moves it on.
    pub(crate) fn push(&mut self, event: SwarmEvent, budget: Budget) {
        let holding = self.delivery.hold(1, held_bytes(&event));
        self.held.push_back(Held { event, _holding: holding, _budget: budget });
    }

    /// Moves events to the application as far as they fit.
    pub(crate) fn pump(&mut self) {
        // The first one's place is on its way; none overtakes it.
        if self.wait.is_some() {
            return;
        }
        while let Some(next) = self.held.pop_front() {
            let Held { event, _holding, _budget } = next;
            if let Some(event) = self.delivery.offer(event) {
                self.held.push_front(Held { event, _holding, _budget });
                break;
            }
        }
        if self.held.is_empty() && self.held.capacity() > 4_096 {
            self.held = VecDeque::new();
        }
    }

    /// Waits for a place for the next event of the task's own and hands it over. Never ends while it holds nothing. Cancel-safe:
    /// the place in the line is kept.
    pub(crate) async fn room(&mut self) {
        let Some(next) = self.held.front() else {
            return std::future::pending().await;
        };
        let place = self.wait.get_or_insert_with(|| self.delivery.place(&next.event)).await;
        self.wait = None;
        if let Some(next) = self.held.pop_front() {
            place.fill(next.event);
        }
    }

    /// Whether [`Self::room`] is to be awaited.
    pub(crate) fn waits(&self) -> bool {
        !self.held.is_empty()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, reason = "tests")]
    use super::*;
    use libp2p::PeerId;

    #[tokio::test]
    async fn the_tasks_own_events_have_their_turn_among_waiting_connections() {
        let limits = Limits { inbox_count_max: 1, ..Limits::default() };
        let (delivery, mut receiver) = Delivery::new(&limits);
        let noise = || SwarmEvent::Connected(PeerId::random());
        assert!(delivery.offer(noise()).is_none());
        let connections: Vec<_> = (0..3)
            .map(|_| {
                let delivery = delivery.clone();
                tokio::spawn(async move {
                    loop {
                        let event = SwarmEvent::Connected(PeerId::random());
                        delivery.place(&event).await.fill(event);
                    }
                })
            })
            .collect();
        // They stand in the line before the task does.
        tokio::task::yield_now().await;
        let mut inbox = Inbox::new(delivery);
        inbox.push(SwarmEvent::Listening("/memory/1".parse().unwrap()), None);
        let mut received = 0;
        let found = loop {
            inbox.pump();
            // As in the task's loop: whatever else happens first ends this round's wait.
            tokio::select! {
                biased;
                () = tokio::task::yield_now() => {}
                () = inbox.room(), if inbox.waits() => {}
            }
            match receiver.try_recv() {
                Some(SwarmEvent::Listening(_)) => break true,
                Some(_) => received += 1,
                None => {}
            }
            if received > 100 {
                break false;
            }
        };
        connections.iter().for_each(tokio::task::JoinHandle::abort);
        assert!(found, "overtaken by {received} events of connections");
    }
}
