//! The application's end of a swarm.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use libp2p::{Multiaddr, PeerId, request_response::ResponseChannel};
use tokio::sync::{Notify, mpsc, oneshot, watch};

use super::{
    config::{GOSSIP_BODY_BYTES_MAX, Limits, MESSAGE_BYTES_MAX, PeerAddr, REQUEST_BYTES_MAX},
    door::Lobby,
    event::{GossipId, PublishError, RequestError, SendError, Verdict},
    frames::lane::Lane,
};

/// What is known of a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerStatus {
    /// Who.
    pub peer: PeerId,
    /// Where, if it is in the address book; the first place of several.
    pub addr: Option<Multiaddr>,
    /// Whether a connection stands.
    pub connected: bool,
    /// Last measured round trip.
    pub round_trip: Option<Duration>,
    /// One-way messages waiting for it.
    pub waiting: usize,
}

/// Counts since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stats {
    /// One-way messages acknowledged by their receivers.
    pub messages_sent: u64,
    /// One-way messages handed to the application.
    pub messages_received: u64,
    /// One-way messages dropped because an outbox was full.
    pub messages_overflowed: u64,
    /// One-way messages dropped because they could not be delivered in time.
    pub messages_expired: u64,
    /// Frames sent again.
    pub frames_retried: u64,
    /// Questions, and news of connections, refused because the application is behind.
    pub inbound_refused: u64,
    /// Gossip not handed to the application because it is behind.
    pub gossip_ignored: u64,
    /// Gossip of ours that no peer took.
    pub gossip_unsent: u64,
    /// Connections that ended at the door.
    pub hellos_refused: u64,
    /// Times the swarm was built again after a panic.
    pub restarts: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) messages_sent: AtomicU64,
    pub(crate) messages_received: AtomicU64,
    pub(crate) messages_overflowed: AtomicU64,
    pub(crate) messages_expired: AtomicU64,
    pub(crate) frames_retried: AtomicU64,
    pub(crate) inbound_refused: AtomicU64,
    pub(crate) gossip_ignored: AtomicU64,
    pub(crate) gossip_unsent: AtomicU64,
    pub(crate) hellos_refused: AtomicU64,
    pub(crate) restarts: AtomicU64,
}

/// Adds to a counter; 2^64 events do not happen.
pub(crate) fn count(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Ordering::Relaxed);
}

/// What the swarm task is told, bounded.
#[derive(Debug)]
pub(crate) enum Command {
    Request {
        peer: PeerId,
        body: Bytes,
        answer: oneshot::Sender<Result<Bytes, RequestError>>,
    },
    Publish {
        topic: String,
        body: Bytes,
    },
    /// What a test does to libp2p itself.
    #[cfg(test)]
    Do(Deed),
}

#[cfg(test)]
pub(crate) type Swarm = libp2p::Swarm<super::behaviour::Behaviour>;

#[cfg(test)]
pub(crate) struct Deed(pub(crate) Box<dyn FnOnce(&mut Swarm) + Send>);

#[cfg(test)]
impl std::fmt::Debug for Deed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Deed")
    }
}

/// Answers of the application. The queue needs no bound of its own: there is at most one per question or gossip handed out, and those are
/// bounded; dropping one would leave a peer waiting.
#[derive(Debug)]
pub(crate) enum Answer {
    Reply(ResponseChannel<Bytes>, Bytes),
    Verdict(GossipId, Verdict),
}

/// One peer as both sides see it.
#[derive(Debug)]
pub(crate) struct Peer {
    /// Where it is dialled; none for a peer that is not in the address book.
    pub(crate) addrs: Vec<Multiaddr>,
    pub(crate) connected: bool,
    pub(crate) round_trip: Option<Duration>,
    pub(crate) topics: BTreeSet<String>,
    pub(crate) lane: Arc<Lane>,
}

impl Peer {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            addrs: Vec::new(),
            connected: false,
            round_trip: None,
            topics: BTreeSet::new(),
            lane: Arc::new(Lane::new(limits)),
        }
    }
}

/// Address book and connected peers.
#[derive(Debug, Default)]
pub(crate) struct Book {
    pub(crate) peers: HashMap<PeerId, Peer>,
    /// Peers to be dialled.
    pub(crate) added: Vec<PeerId>,
    /// Peers to be hung up on.
    pub(crate) removed: Vec<PeerId>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) local: PeerId,
    /// Known before anybody has a handle.
    pub(crate) listen: OnceLock<Multiaddr>,
    pub(crate) topics: Vec<String>,
    pub(crate) limits: Limits,
    pub(crate) counters: Counters,
    pub(crate) lobby: Lobby,
    /// The book or the lobby has news.
    pub(crate) wake: Notify,
    pub(crate) stop: Notify,
    book: Mutex<Book>,
}

impl Shared {
    pub(crate) fn new(local: PeerId, topics: Vec<String>, limits: Limits) -> Self {
        Self {
            local,
            listen: OnceLock::new(),
            topics,
            limits,
            counters: Counters::default(),
            lobby: Lobby::default(),
            wake: Notify::new(),
            stop: Notify::new(),
            book: Mutex::new(Book::default()),
        }
    }

    /// Sections under this lock only move bytes; a panic there leaves nothing half done that a queue could not bear.
    pub(crate) fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What waits for a peer; a stranger gets an entry.
    pub(crate) fn lane(&self, peer: PeerId) -> Arc<Lane> {
        let mut book = self.book();
        let entry = book.peers.entry(peer).or_insert_with(|| Peer::new(&self.limits));
        Arc::clone(&entry.lane)
    }
}

/// Speaks to a running swarm; clones are cheap. The swarm stops when all clones or its [`super::EventReceiver`] are gone.
#[derive(Debug, Clone)]
pub struct SwarmHandle {
    pub(crate) shared: Arc<Shared>,
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) answers: mpsc::UnboundedSender<Answer>,
    pub(crate) done: watch::Receiver<()>,
}

impl SwarmHandle {
    /// Our own id.
    #[must_use]
    pub fn local_peer(&self) -> PeerId {
        self.shared.local
    }

    /// Where we listen, with the port the system chose; the first such address when listening on all interfaces.
    #[must_use]
    pub fn listen_addr(&self) -> &Multiaddr {
        self.shared.listen.get_or_init(Multiaddr::empty)
    }

    /// Puts a peer into the address book (or gives it another address), dials it and keeps it connected. Our own id is ignored.
    pub fn add_peer(&self, entry: PeerAddr) {
        self.set_peer(entry.peer, vec![entry.addr]);
    }

    /// The same for a peer that may be found at several addresses: all are dialled at once, and the first that answers counts.
    pub fn set_peer(&self, peer: PeerId, addrs: Vec<Multiaddr>) {
        if peer == self.shared.local || addrs.is_empty() {
            return;
        }
        let mut book = self.shared.book();
        let entry = book.peers.entry(peer).or_insert_with(|| Peer::new(&self.shared.limits));
        if entry.addrs != addrs {
            entry.addrs = addrs;
            book.added.push(peer);
            drop(book);
            self.shared.wake.notify_one();
        }
    }

    /// Takes a peer out of the address book and hangs up on it.
    pub fn remove_peer(&self, peer: PeerId) {
        let mut book = self.shared.book();
        if let Some(entry) = book.peers.get_mut(&peer) {
            entry.addrs.clear();
            book.removed.push(peer);
            drop(book);
            self.shared.wake.notify_one();
        }
    }

    /// Queues a one-way message. Never waits; when the peer's outbox is full its oldest message is dropped and counted in [`Stats`].
    ///
    /// # Errors
    /// [`SendError`].
    pub fn send(&self, peer: PeerId, body: Bytes) -> Result<(), SendError> {
        let max = MESSAGE_BYTES_MAX.min(self.shared.limits.outbox_bytes_max);
        if body.len() > max {
            let got = body.len();
            return Err(SendError::TooLarge { got, max });
        }
        let lane = self.shared.book().peers.get(&peer).map(|entry| Arc::clone(&entry.lane));
        let lane = lane.ok_or(SendError::UnknownPeer(peer))?;
        let dropped = lane.push(Instant::now(), body);
        count(&self.shared.counters.messages_overflowed, dropped);
        Ok(())
    }

    /// Asks a peer and waits for the answer, at most `timeout` and at most [`Limits::stream_timeout`].
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn request(&self, peer: PeerId, body: Bytes, timeout: Duration) -> Result<Bytes, RequestError> {
        if body.len() > REQUEST_BYTES_MAX {
            return Err(RequestError::TooLarge { got: body.len(), max: REQUEST_BYTES_MAX });
        }
        let (answer, answered) = oneshot::channel();
        let ask = async {
            let command = Command::Request { peer, body, answer };
            let stopped = |_| RequestError::Stopped;
            self.commands.send(command).await.map_err(stopped)?;
            answered.await.unwrap_or(Err(RequestError::Stopped))
        };
        tokio::time::timeout(timeout, ask).await.unwrap_or(Err(RequestError::Timeout))
    }

    /// Gossips to every subscriber of one of our topics. Taken is not sent: without subscribers it goes nowhere (see
    /// [`Stats::gossip_unsent`]), and equal bytes on a topic travel once a minute at most.
    ///
    /// # Errors
    /// [`PublishError`].
    pub fn publish(&self, topic: &str, body: Bytes) -> Result<(), PublishError> {
        if body.len() > GOSSIP_BODY_BYTES_MAX {
            return Err(PublishError::TooLarge { got: body.len(), max: GOSSIP_BODY_BYTES_MAX });
        }
        if !self.shared.topics.iter().any(|known| known == topic) {
            return Err(PublishError::UnknownTopic);
        }
        let topic = topic.to_owned();
        self.commands.try_send(Command::Publish { topic, body }).map_err(|_| PublishError::Full)
    }

    /// Judges a gossiped message, within 15 s or it is forgotten.
    pub fn report(&self, id: GossipId, verdict: Verdict) {
        // A swarm that has stopped passes nothing on.
        drop(self.answers.send(Answer::Verdict(id, verdict)));
    }

    /// Peers we are connected to, in no particular order.
    #[must_use]
    pub fn connected(&self) -> Vec<PeerId> {
        let book = self.shared.book();
        let connected = book.peers.iter().filter(|(_, peer)| peer.connected);
        connected.map(|(&id, _)| id).collect()
    }

    /// Peers known or connected, ordered by id.
    #[must_use]
    pub fn peers(&self) -> Vec<PeerStatus> {
        let book = self.shared.book();
        let mut all: Vec<PeerStatus> = book
            .peers
            .iter()
            .map(|(&id, peer)| PeerStatus {
                peer: id,
                addr: peer.addrs.first().cloned(),
                connected: peer.connected,
                round_trip: peer.round_trip,
                waiting: peer.lane.waiting(),
            })
            .collect();
        drop(book);
        all.sort_unstable_by_key(|status| status.peer);
        all
    }

    /// Connected peers that subscribed to a topic of ours.
    #[must_use]
    pub fn subscribers(&self, topic: &str) -> usize {
        let book = self.shared.book();
        let subscribed = |peer: &&Peer| peer.topics.contains(topic);
        book.peers.values().filter(subscribed).count()
    }

    /// Counts since the start.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let counters = &self.shared.counters;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            messages_sent: read(&counters.messages_sent),
            messages_received: read(&counters.messages_received),
            messages_overflowed: read(&counters.messages_overflowed),
            messages_expired: read(&counters.messages_expired),
            frames_retried: read(&counters.frames_retried),
            inbound_refused: read(&counters.inbound_refused),
            gossip_ignored: read(&counters.gossip_ignored),
            gossip_unsent: read(&counters.gossip_unsent),
            hellos_refused: read(&counters.hellos_refused),
            restarts: read(&counters.restarts),
        }
    }

    /// Stops the swarm and waits until its port is free again. Messages still waiting are lost.
    pub async fn shutdown(&self) {
        self.shared.stop.notify_one();
        let mut done = self.done.clone();
        // The task never sends; its end closes the channel.
        while done.changed().await.is_ok() {}
    }
}
