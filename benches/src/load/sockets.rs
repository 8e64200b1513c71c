//! WebSockets to the network: some that carry calls to gateways, one per replica that is listened to.
//!
//! A connection that breaks is made again, and its unanswered calls are reported lost; whether the node acted on them is not known, so
//! their payments are sent again, same bytes. Queues are bounded: a gateway that does not take its calls makes [`Wire::send`] refuse.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc as queue;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

use super::engine::{Event, Wire};
use super::wire::{Notice, Stage, answer, notice, subscribe};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Calls waiting for one connection.
const QUEUE: usize = 64;
/// Wait before a connection is tried again.
const AGAIN: Duration = Duration::from_millis(200);
/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(5);

/// A replica's place and where it serves clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Number of its shard.
    pub shard: u32,
    /// Its index.
    pub replica: u8,
    /// JSON-RPC.
    pub rpc: SocketAddr,
}

/// How long connections waited until the node took their bytes.
#[derive(Debug, Default)]
pub struct Pressure {
    /// Nanoseconds spent in writes, by connection.
    waits: Mutex<Vec<Arc<AtomicU64>>>,
}

impl Pressure {
    fn connection(&self) -> Arc<AtomicU64> {
        let wait = Arc::default();
        self.waits.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&wait));
        wait
    }

    /// The most any connection has waited so far.
    pub fn worst(&self) -> Duration {
        let waits = self.waits.lock().unwrap_or_else(PoisonError::into_inner);
        Duration::from_nanos(waits.iter().map(|wait| wait.load(Ordering::Relaxed)).max().unwrap_or(0))
    }
}

/// The sending ends of the connections to all gateways.
#[derive(Debug)]
pub struct Sockets {
    gateways: Vec<Gateway>,
    pressure: Arc<Pressure>,
}

#[derive(Debug)]
struct Gateway {
    shard: u32,
    replica: u8,
    connections: Vec<queue::Sender<(u64, String)>>,
    turn: usize,
}

impl Sockets {
    /// Starts the connections on the runtime this is called in: `connections` to each gateway, one to each reader.
    ///
    /// Waits until every reader has subscribed, so that no payment is sent unheard.
    ///
    /// # Errors
    /// If a reader refuses the subscription or cannot be reached.
    pub async fn open(
        gateways: &[Endpoint],
        readers: &[Endpoint],
        connections: usize,
        events: &mpsc::Sender<Event>,
    ) -> anyhow::Result<Sockets> {
        let pressure = Arc::new(Pressure::default());
        for reader in readers {
            let (subscribed, done) = tokio::sync::oneshot::channel();
            tokio::spawn(listen(*reader, events.clone(), subscribed));
            let failed = |text: String| anyhow::anyhow!("subscribing to the stages at {}: {text}", reader.rpc);
            done.await.map_err(|error| failed(error.to_string()))?.map_err(failed)?;
        }
        let gateways = gateways
            .iter()
            .map(|endpoint| {
                let open = |_| {
                    let (sender, receiver) = queue::channel(QUEUE);
                    tokio::spawn(submit(endpoint.rpc, receiver, events.clone(), pressure.connection()));
                    sender
                };
                let connections = (0..connections.max(1)).map(open).collect();
                Gateway { shard: endpoint.shard, replica: endpoint.replica, connections, turn: 0 }
            })
            .collect();
        Ok(Sockets { gateways, pressure })
    }

    /// How the connections do.
    pub fn pressure(&self) -> Arc<Pressure> {
        Arc::clone(&self.pressure)
    }
}

impl Wire for Sockets {
    fn send(&mut self, shard: u32, gateway: u8, call: u64, text: String) -> bool {
        let Some(gateway) = self.gateways.iter_mut().find(|g| g.shard == shard && g.replica == gateway) else {
            return false;
        };
        gateway.turn = gateway.turn.wrapping_add(1);
        let mut text = text;
        for offset in 0..gateway.connections.len() {
            let place = gateway.turn.wrapping_add(offset).checked_rem(gateway.connections.len()).unwrap_or(0);
            let Some(connection) = gateway.connections.get(place) else { continue };
            match connection.try_send((call, text)) {
                Ok(()) => return true,
                Err(queue::error::TrySendError::Full((_, back)) | queue::error::TrySendError::Closed((_, back))) => {
                    text = back;
                }
            }
        }
        false
    }
}

async fn connect(rpc: SocketAddr) -> Result<Socket, String> {
    // Nagle's algorithm would hold small calls back for the delayed acknowledgement of the one before.
    let connecting = connect_async_with_config(format!("ws://{rpc}/"), None, true);
    match tokio::time::timeout(CONNECT, connecting).await {
        Ok(Ok((socket, _))) => Ok(socket),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no connection within {} s", CONNECT.as_secs())),
    }
}

/// One connection to a gateway, made again for as long as there may be calls.
async fn submit(
    rpc: SocketAddr,
    mut calls: queue::Receiver<(u64, String)>,
    events: mpsc::Sender<Event>,
    wait: Arc<AtomicU64>,
) {
    loop {
        let Ok(socket) = connect(rpc).await else {
            // Calls that were queued for it go back to the books.
            let mut lost = Vec::new();
            while let Ok((call, _)) = calls.try_recv() {
                lost.push(call);
            }
            if !lost.is_empty() && events.send(Event::Lost { calls: lost }).is_err() {
                return;
            }
            if calls.is_closed() {
                return;
            }
            tokio::time::sleep(AGAIN).await;
            continue;
        };
        let (sink, stream) = socket.split();
        let open = Mutex::new(BTreeSet::new());
        let over = tokio::select! {
            over = write(sink, &mut calls, &open, &wait) => over,
            () = read(stream, &events, &open) => false,
        };
        let calls: Vec<u64> = open.into_inner().unwrap_or_else(PoisonError::into_inner).into_iter().collect();
        let told = calls.is_empty() || events.send(Event::Lost { calls }).is_ok();
        if over || !told {
            return;
        }
    }
}

/// Writes calls until the connection breaks (`false`) or there will be no more (`true`).
async fn write(
    mut sink: SplitSink<Socket, Message>,
    calls: &mut queue::Receiver<(u64, String)>,
    open: &Mutex<BTreeSet<u64>>,
    wait: &AtomicU64,
) -> bool {
    while let Some((call, text)) = calls.recv().await {
        open.lock().unwrap_or_else(PoisonError::into_inner).insert(call);
        let began = Instant::now();
        if sink.send(Message::text(text)).await.is_err() {
            return false;
        }
        let spent = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        wait.fetch_add(spent, Ordering::Relaxed);
    }
    true
}

async fn read(mut stream: SplitStream<Socket>, events: &mpsc::Sender<Event>, open: &Mutex<BTreeSet<u64>>) {
    while let Some(Ok(message)) = stream.next().await {
        let Message::Text(text) = message else { continue };
        let Some((call, answer)) = answer(text.as_str()) else { continue };
        open.lock().unwrap_or_else(PoisonError::into_inner).remove(&call);
        if events.send(Event::Answered { call, answer }).is_err() {
            return;
        }
    }
}

/// Listens to the stages at one replica, and subscribes again should the connection break.
async fn listen(
    endpoint: Endpoint,
    events: mpsc::Sender<Event>,
    subscribed: tokio::sync::oneshot::Sender<Result<(), String>>,
) {
    let mut subscribed = Some(subscribed);
    loop {
        let reason = match connect(endpoint.rpc).await {
            Ok(socket) => hear(socket, endpoint, &events, &mut subscribed).await,
            Err(reason) => reason,
        };
        if let Some(subscribed) = subscribed.take() {
            // The run has not begun: no use in trying again.
            drop(subscribed.send(Err(reason)));
            return;
        }
        let reason = format!("replica {} of shard {}: {reason}", endpoint.replica, endpoint.shard);
        if events.send(Event::Gap { reason }).is_err() {
            return;
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// One connection of a reader until it ends: answers why.
async fn hear(
    mut socket: Socket,
    endpoint: Endpoint,
    events: &mpsc::Sender<Event>,
    subscribed: &mut Option<tokio::sync::oneshot::Sender<Result<(), String>>>,
) -> String {
    if let Err(error) = socket.send(Message::text(subscribe(&Stage::ALL, 1))).await {
        return error.to_string();
    }
    let Endpoint { shard, replica: reader, .. } = endpoint;
    loop {
        let text = match socket.next().await {
            Some(Ok(Message::Text(text))) => text,
            Some(Ok(_)) => continue,
            Some(Err(error)) => return error.to_string(),
            None => return "the connection was closed".into(),
        };
        match notice(text.as_str()) {
            Notice::Stages(stage, ids) => {
                let seen = Instant::now();
                if events.send(Event::Told { shard, reader, stage, ids, seen }).is_err() {
                    return "the run is over".into();
                }
            }
            Notice::Closed(reason) => return format!("the node ended the subscription: {reason}"),
            Notice::Subscribed(Ok(())) => {
                if let Some(subscribed) = subscribed.take() {
                    drop(subscribed.send(Ok(())));
                }
            }
            Notice::Subscribed(Err(text)) => return text,
            Notice::Other => {}
        }
    }
}
