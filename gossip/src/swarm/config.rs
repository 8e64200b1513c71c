//! What a swarm is told at its start, and the numbers it keeps to.

use std::{fmt, io, net::IpAddr, str::FromStr, sync::Arc, time::Duration};

use libp2p::{Multiaddr, PeerId, identity::Keypair, multiaddr::Protocol};

use super::door::{Admission, NetworkTag};

/// Most bytes of a request's body, and of a frame of one-way messages.
pub const REQUEST_BYTES_MAX: usize = 4 << 20;
/// Most bytes of a response's body.
pub const RESPONSE_BYTES_MAX: usize = 8 << 20;
/// Most bytes of a one-way message: a frame less its length prefix.
pub const MESSAGE_BYTES_MAX: usize = REQUEST_BYTES_MAX - 4;
/// Most bytes of a gossiped body: libp2p's 64 KiB less room for the topic and the envelope.
pub const GOSSIP_BODY_BYTES_MAX: usize = 63 << 10;
/// Most topics of a swarm. Gossipsub ≥ 0.50 ignores subscriptions beyond 100 topics of a peer without a word, so more is refused at the start.
pub const TOPICS_MAX: usize = 100;

/// How a swarm is set up.
#[derive(Clone)]
pub struct SwarmConfig {
    /// Our identity; the peer id is its public half.
    pub keypair: Keypair,
    /// Where to listen, `/ip4/…/tcp/…`; port 0 lets the system choose.
    pub listen: Multiaddr,
    /// What peers must be of too, or they are hung up on.
    pub network: NetworkTag,
    /// What we say of ourselves, and what peers are to us.
    pub admission: Arc<dyn Admission>,
    /// All peers may sit on the loopback address (development networks): quick first heartbeat.
    pub loopback: bool,
    /// Gossip topics to subscribe to, at most [`TOPICS_MAX`]. Topics outside this list are neither heard nor published.
    pub topics: Vec<String>,
    /// Bounds.
    pub limits: Limits,
}

impl SwarmConfig {
    /// A swarm for one machine: loopback, port chosen by the system, default limits.
    ///
    /// `topics`: see [`Self::topics`].
    #[must_use]
    pub fn loopback(keypair: Keypair, network: NetworkTag, admission: Arc<dyn Admission>, topics: &[&str]) -> Self {
        Self {
            keypair,
            listen: Multiaddr::from(IpAddr::from([127, 0, 0, 1])).with(Protocol::Tcp(0)),
            network,
            admission,
            loopback: true,
            topics: topics.iter().map(|&topic| topic.to_owned()).collect(),
            limits: Limits::default(),
        }
    }
}

impl fmt::Debug for SwarmConfig {
    /// Leaves the key out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SwarmConfig")
            .field("peer", &self.keypair.public().to_peer_id())
            .field("listen", &self.listen)
            .field("network", &self.network)
            .field("loopback", &self.loopback)
            .field("topics", &self.topics)
            .finish_non_exhaustive()
    }
}

/// Bounds of a swarm's memory and patience.
#[derive(Debug, Clone)]
pub struct Limits {
    /// One-way messages waiting per peer; the oldest is dropped beyond.
    pub outbox_count_max: usize,
    /// Bytes of one-way messages waiting per peer; the oldest is dropped beyond. A message larger than this is refused.
    pub outbox_bytes_max: usize,
    /// A one-way message that waited longer for its first sending is dropped: a peer back after an hour needs state sync, not old votes.
    pub message_age_max: Duration,
    /// A frame without an acknowledgement is sent again until it is this old.
    pub frame_age_max: Duration,
    /// Time for a request, its answer included, after which libp2p gives the stream up.
    pub stream_timeout: Duration,
    /// Questions of ours under way per peer.
    pub requests_per_peer_max: usize,
    /// Events waiting for the application.
    pub inbox_count_max: usize,
    /// Bytes of bodies waiting for the application; at least one frame's worth is always allowed.
    pub inbox_bytes_max: usize,
    /// Bytes of bodies above 64 KiB being read at one time, over all peers.
    pub reading_bytes_max: usize,
    /// Connections from guests; the oldest makes room for the newest.
    pub strangers_max: u32,
    /// Connections from others whose hello is not done; further ones are refused, save a few
    /// from each address of the book. Each holds some 100 KiB of buffers, for 10 s at most.
    pub pending_max: usize,
    /// Of these, from one address (IPv6: one network of 48 bits).
    pub pending_per_address_max: usize,
    /// First wait before dialling again; doubles up to [`Self::backoff_max`], each drawn between half and the whole.
    pub backoff_min: Duration,
    /// Longest wait before dialling again.
    pub backoff_max: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            outbox_count_max: 16_384,
            outbox_bytes_max: 16 << 20,
            message_age_max: Duration::from_secs(30),
            frame_age_max: Duration::from_secs(45),
            stream_timeout: Duration::from_secs(20),
            requests_per_peer_max: 8,
            inbox_count_max: 1_024,
            inbox_bytes_max: 32 << 20,
            reading_bytes_max: 64 << 20,
            strangers_max: 64,
            pending_max: 512,
            // A whole development network may knock at once.
            pending_per_address_max: 96,
            backoff_min: Duration::from_millis(100),
            backoff_max: Duration::from_secs(5),
        }
    }
}

/// An entry of the address book.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerAddr {
    /// Who must answer there; anyone else is hung up on.
    pub peer: PeerId,
    /// Where, without the `/p2p/…` part.
    pub addr: Multiaddr,
}

impl fmt::Display for PeerAddr {
    /// `/ip4/127.0.0.1/tcp/4001/p2p/12D3…`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/p2p/{}", self.addr, self.peer)
    }
}

impl FromStr for PeerAddr {
    type Err = PeerAddrError;

    fn from_str(text: &str) -> Result<Self, PeerAddrError> {
        let mut addr: Multiaddr =
            text.parse().map_err(|source| PeerAddrError::Multiaddr { text: text.to_owned(), source })?;
        match addr.pop() {
            Some(Protocol::P2p(peer)) if !addr.is_empty() => Ok(Self { peer, addr }),
            _ => Err(PeerAddrError::NoPeer { text: text.to_owned() }),
        }
    }
}

/// Why a text is no entry of an address book.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PeerAddrError {
    /// Not a multiaddr at all.
    #[error("`{text}` is not a multiaddr")]
    Multiaddr {
        /// What was given.
        text: String,
        /// The parser's reason.
        source: libp2p::multiaddr::Error,
    },
    /// It does not say who answers there.
    #[error("`{text}` must name an address and end in /p2p/<peer id>")]
    NoPeer {
        /// What was given.
        text: String,
    },
}

/// Why a swarm did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpawnError {
    /// Somebody listens there already.
    #[error("cannot listen on {addr}: the port is in use")]
    PortInUse {
        /// Where we wanted to listen.
        addr: Multiaddr,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {addr}")]
    Listen {
        /// Where we wanted to listen.
        addr: Multiaddr,
        /// The transport's reason.
        source: io::Error,
    },
    /// A setting that libp2p refuses.
    #[error("swarm setting refused: {reason}")]
    Config {
        /// Which, and why.
        reason: String,
    },
    /// More topics than peers would notice.
    #[error("{got} topics, peers take note of {max}")]
    TooManyTopics {
        /// Topics asked for.
        got: usize,
        /// [`TOPICS_MAX`].
        max: usize,
    },
}

/// Ed25519 identity from a 32-byte secret seed; the seed is wiped.
///
/// # Errors
/// [`SpawnError::Config`] if the key is refused.
pub fn keypair_from_seed(seed: &mut [u8; 32]) -> Result<Keypair, SpawnError> {
    Keypair::ed25519_from_bytes(seed).map_err(|error| SpawnError::Config { reason: format!("identity key: {error}") })
}
