//! What the node implements: one async method per row of the table, and subscriptions.

use super::error::RpcError;
use super::schema::{self, Event, Readiness, Subscribe};
use super::table::for_each_method;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tokio::sync::mpsc;

/// Whether the node does its work, and why not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// The word.
    pub readiness: Readiness,
    /// For people; empty when ready.
    pub reasons: Vec<String>,
}

macro_rules! backend_trait {
    (
        backend {
            $($name:literal, $def:ident, $call:ident, $params:ty => $reply:ty,
              $permission:ident, $cost:literal, $per_item:expr, $errors:expr, $summary:literal;)*
        }
        server { $($ignored:tt)* }
    ) => {
        /// The node behind the interface. Every method answers with a reply or with an error whose kind its row lists; a
        /// panic inside one is answered as `internal` and logged, and costs nobody else anything.
        ///
        /// A future is dropped, at any await, when its client goes away or the call takes too long: work that has to go on
        /// (a payment that was taken) must not live in it.
        pub trait Backend: Send + Sync + 'static {
            $(
                #[doc = $summary]
                fn $call(&self, params: $params) -> impl Future<Output = Result<$reply, RpcError>> + Send;
            )*

            /// Delivers events of a topic into `sink` until [`EventSink::send`] answers false, or drops it when nothing
            /// more can happen. For `transaction` the current stage is the first event, so that nothing is missed
            /// between a query and the subscription.
            fn subscribe(&self, request: Subscribe, sink: EventSink) -> impl Future<Output = Result<(), RpcError>> + Send;

            /// Whether the node does its work. Must not block: it is asked on the connection's own task.
            fn health(&self) -> Health;
        }
    };
}
for_each_method!(backend_trait);

/// The sending end of a subscription: bounded, in events and in bytes, and never blocking. A subscriber who falls behind loses the subscription and
/// is told so; the node never waits for a reader.
#[derive(Clone, Debug)]
pub struct EventSink {
    events: mpsc::Sender<Event>,
    bytes_max: usize,
    queue: Arc<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    lagged: AtomicBool,
    /// Bytes of the events that wait.
    bytes: AtomicUsize,
}

/// The receiving end.
#[derive(Debug)]
pub(crate) struct EventSource {
    events: mpsc::Receiver<Event>,
    queue: Arc<Queue>,
}

impl EventSink {
    pub(crate) fn new(capacity: usize, bytes_max: usize) -> (EventSink, EventSource) {
        let (sender, receiver) = mpsc::channel(capacity.max(1));
        let queue = Arc::new(Queue::default());
        (EventSink { events: sender, bytes_max, queue: queue.clone() }, EventSource { events: receiver, queue })
    }

    /// Queues an event. False when the subscription is over (ended, connection gone, or its queue was full): drop the sink.
    #[must_use]
    pub fn send(&self, event: Event) -> bool {
        if self.queue.lagged.load(Ordering::Acquire) {
            return false;
        }
        let bytes = event.bytes();
        // Counted before it is queued, so that the reader never takes off what is not there yet.
        let before = self.queue.bytes.fetch_add(bytes, Ordering::AcqRel);
        let sent = if before > 0 && before.saturating_add(bytes) > self.bytes_max {
            Err(mpsc::error::TrySendError::Full(event))
        } else {
            self.events.try_send(event)
        };
        if sent.is_err() {
            self.queue.bytes.fetch_sub(bytes, Ordering::AcqRel);
        }
        match sent {
            Ok(()) => true,
            Err(mpsc::error::TrySendError::Full(_)) => {
                self.queue.lagged.store(true, Ordering::Release);
                false
            }
            Err(mpsc::error::TrySendError::Closed(_)) => false,
        }
    }

    /// Whether the subscription is over.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.queue.lagged.load(Ordering::Acquire) || self.events.is_closed()
    }
}

impl EventSource {
    /// The next event, or why there is none: `slow_reader` as soon as what was queued before the gap is delivered,
    /// `finished` when the back end dropped its sink.
    pub(crate) async fn next(&mut self) -> Result<Event, &'static str> {
        let next = if self.queue.lagged.load(Ordering::Acquire) {
            // Events already queued are in order and come before the gap.
            self.events.try_recv().ok()
        } else {
            self.events.recv().await
        };
        match next {
            Some(event) => {
                self.queue.bytes.fetch_sub(event.bytes(), Ordering::AcqRel);
                Ok(event)
            }
            None if self.queue.lagged.load(Ordering::Acquire) => Err("slow_reader"),
            None => Err("finished"),
        }
    }
}
