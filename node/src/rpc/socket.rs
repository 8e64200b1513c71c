//! One WebSocket connection: calls side by side, subscriptions, pings.
//!
//! Three kinds of task: the reader (below), one writer that owns the sending half, and one forwarder per subscription. All
//! writing goes through one bounded channel to the writer, so a reader that stops reading first blocks its own forwarders,
//! then overruns its own subscription queues, and at last loses the connection; nothing else waits for it.

use super::dispatch::{Answer, Caller, Dispatcher, Start, body_too_large, failure};
use super::error::{ErrorKind, RpcError};
use super::schema::{Event, Notification, Topic};
use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;

/// Messages waiting for the writer of one connection.
const OUT_QUEUE: usize = 64;
/// A message up to this many times the limit is answered with an error; a longer one ends the connection (code 1009).
pub const OVERSIZE_FACTOR: usize = 4;
/// Time for the farewell of a connection that ends.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);

/// The subscriptions of one connection. A reserved place has no task until its reply is queued.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    issued: u64,
    active: BTreeMap<String, (Option<Topic>, Option<AbortHandle>)>,
}

impl Subscriptions {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place and names it.
    ///
    /// # Errors
    /// `too_many_subscriptions`.
    pub(crate) fn reserve(&self, max: usize) -> Result<String, RpcError> {
        let mut table = self.lock();
        if table.active.len() >= max {
            let text = format!("this connection has {max} subscriptions, the most allowed");
            return Err(RpcError::new(ErrorKind::TooManySubscriptions, text).with("max", max));
        }
        table.issued = table.issued.wrapping_add(1);
        let id = table.issued.to_string();
        table.active.insert(id.clone(), (None, None));
        Ok(id)
    }

    /// Ends a subscription; false if there is none of that id.
    pub(crate) fn remove(&self, id: &str) -> bool {
        match self.lock().active.remove(id) {
            Some((_, task)) => {
                if let Some(task) = task {
                    task.abort();
                }
                true
            }
            None => false,
        }
    }

    /// Starts the forwarder of a reserved place, unless it was removed meanwhile.
    fn start(self: &Arc<Self>, start: Start, out: &mpsc::Sender<Message>) {
        let mut table = self.lock();
        if let Some(entry) = table.active.get_mut(&start.id) {
            let task = tokio::spawn(forward(start.id, start.topic, start.source, out.clone(), self.clone()));
            *entry = (Some(start.topic), Some(task.abort_handle()));
        }
    }

    /// Ends all of them and says which there were.
    fn end(&self) -> Vec<(String, Topic)> {
        let active = std::mem::take(&mut self.lock().active);
        active
            .into_iter()
            .filter_map(|(id, (topic, task))| {
                if let Some(task) = task {
                    task.abort();
                }
                topic.map(|topic| (id, topic))
            })
            .collect()
    }
}

fn notification(id: &str, topic: Topic, event: Option<Event>, closed: Option<&str>) -> Message {
    let params = Notification { subscription: id.to_owned(), topic, event, closed: closed.map(ToOwned::to_owned) };
    // Text to text: an event that is JSON already is copied, not read.
    let params = serde_json::to_string(&params).unwrap_or_default();
    format!(r#"{{"jsonrpc":"2.0","method":"smt_subscription","params":{params}}}"#).into()
}

async fn forward(
    id: String,
    topic: Topic,
    mut source: super::backend::EventSource,
    out: mpsc::Sender<Message>,
    subscriptions: Arc<Subscriptions>,
) {
    loop {
        match source.next().await {
            Ok(event) => {
                if out.send(notification(&id, topic, Some(event), None)).await.is_err() {
                    return;
                }
            }
            Err(reason) => {
                // The writer may be gone; then nobody is left to be told.
                drop(out.send(notification(&id, topic, None, Some(reason))).await);
                subscriptions.remove(&id);
                return;
            }
        }
    }
}

async fn write(mut sink: SplitSink<WebSocket, Message>, mut queue: mpsc::Receiver<Message>, limit: Duration) {
    while let Some(message) = queue.recv().await {
        let last = matches!(message, Message::Close(_));
        match tokio::time::timeout(limit, sink.send(message)).await {
            Ok(Ok(())) if !last => {}
            _ => return,
        }
    }
}

/// Serves one connection until it closes, falls silent, or `stop` is cancelled.
pub(crate) async fn run(socket: WebSocket, dispatcher: Arc<Dispatcher>, ip: IpAddr, stop: CancellationToken) {
    let (sink, stream) = socket.split();
    let (out, queue) = mpsc::channel(OUT_QUEUE);
    let limit = Duration::from_millis(u64::from(dispatcher.config.write_timeout_ms));
    let mut writer = tokio::spawn(write(sink, queue, limit));
    let subscriptions = Arc::new(Subscriptions::default());
    let connection = Connection { dispatcher, ip, subscriptions: subscriptions.clone(), out: out.clone() };
    let code = tokio::select! {
        code = read(connection, stream) => code,
        () = stop.cancelled() => close_code::AWAY,
        _ = &mut writer => { subscriptions.end(); return; }
    };
    let farewell = async {
        for (id, topic) in subscriptions.end() {
            out.send(notification(&id, topic, None, Some("stopping"))).await?;
        }
        out.send(Message::Close(Some(CloseFrame { code, reason: "".into() }))).await
    };
    if tokio::time::timeout(CLOSE_TIMEOUT, farewell).await.is_ok_and(|sent| sent.is_ok()) {
        drop(out);
        drop(tokio::time::timeout(CLOSE_TIMEOUT, &mut writer).await);
    }
    writer.abort();
}

struct Connection {
    dispatcher: Arc<Dispatcher>,
    ip: IpAddr,
    subscriptions: Arc<Subscriptions>,
    out: mpsc::Sender<Message>,
}

/// The reader; answers the close code.
async fn read(connection: Connection, mut stream: SplitStream<WebSocket>) -> u16 {
    let Connection { dispatcher, ip, subscriptions, out } = connection;
    let period = Duration::from_millis(u64::from(dispatcher.config.ping_ms.max(1)));
    let silence_max = period.saturating_mul(2);
    let mut pings = tokio::time::interval(period);
    // The first tick is at once.
    pings.tick().await;
    pings.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut heard = Instant::now();
    let mut calls = JoinSet::new();
    loop {
        // With all call places taken the connection is not read: the client's own calls push back on it.
        let open = calls.len() < dispatcher.config.socket_calls_max;
        let message = tokio::select! {
            message = stream.next(), if open => message,
            Some(_) = calls.join_next(), if !calls.is_empty() => {
                if !open {
                    heard = Instant::now();
                }
                continue;
            }
            _ = pings.tick() => {
                if open && heard.elapsed() > silence_max {
                    return close_code::POLICY;
                }
                // A full queue means that the writer is busy writing, which tests the peer as well.
                drop(out.try_send(Message::Ping(Vec::new().into())));
                continue;
            }
        };
        heard = Instant::now();
        let body: axum::body::Bytes = match message {
            Some(Ok(Message::Text(text))) => text.into(),
            Some(Ok(Message::Binary(bytes))) => bytes,
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
            Some(Ok(Message::Close(_))) | None => return close_code::NORMAL,
            // Too long for an answer, or not a WebSocket any more.
            Some(Err(_)) => return close_code::SIZE,
        };
        let max = dispatcher.config.request_bytes_max;
        if body.len() > max {
            if out.send(failure(&body_too_large(body.len(), max)).into()).await.is_err() {
                return close_code::ERROR;
            }
            continue;
        }
        let (dispatcher, subscriptions, out) = (dispatcher.clone(), subscriptions.clone(), out.clone());
        calls.spawn(async move {
            let caller = Caller { ip, subscriptions: Some(&subscriptions) };
            let Answer { reply, starts } = dispatcher.process(&body, caller).await;
            if let Some(reply) = reply
                && out.send(reply.into()).await.is_err()
            {
                return;
            }
            for start in starts {
                subscriptions.start(start, &out);
            }
        });
    }
}
