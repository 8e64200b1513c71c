//! The door: what is settled on a connection before anything else may be said on it.
//!
//! ```text
//! TCP · Noise (who is it?) · hello (of which network, and as what?) · Yamux · everything else
//! ```
//!
//! Both sides say hello at once (protocol version, network, genesis and a fresh nonce, [`hello`]), compare, and then each proves what it is
//! over the other's nonce. Whoever is of another network is hung up on, and both sides know both hashes; whoever proves to be a *member* gets
//! messages, questions and gossip; everybody else is a *guest* and gets none of them ([`gate::Gated`]): no byte of a guest is ever held for
//! the application. What a proof is, [`Admission`] decides: this crate carries it as bytes.
//!
//! A protocol of our own inside the connection's upgrade, and not libp2p's identify: identify runs beside the other protocols on a
//! connection that already counts as open, so frames and gossip of a stranger could be read and held before its answer is there, and it
//! proves no key but the connection's own. Here a connection whose hello is not done has no streams at all: what it can make us hold are
//! the buffers of Noise and of [`hello`], for at most the time limit of the transport, and of such
//! connections there are few at a time, and fewer from one address ([`super::Limits::pending_max`]).

use std::{
    collections::VecDeque,
    fmt,
    sync::{Mutex, PoisonError},
};

use libp2p::{Multiaddr, PeerId, multiaddr::Protocol};

pub(crate) mod gate;
pub(crate) mod hello;
mod pending;
pub(crate) mod upgrade;

#[cfg(test)]
mod tests;

/// Bytes of a nonce.
pub const NONCE_BYTES: usize = 32;
/// Most bytes of a proof.
pub const PROOF_BYTES_MAX: usize = 512;
/// Connections between the end of their hello and the swarm's word that they stand; far more than there can be, unless dials go astray.
const ADMITTED_MAX: usize = 1_024;
/// Refusals waiting to be told.
const REFUSALS_MAX: usize = 16;

/// Which network a node belongs to, and which protocol it speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NetworkTag {
    /// Version of everything that is said on a connection.
    pub version: u16,
    /// The network's number.
    pub network: u32,
    /// Its genesis hash.
    pub genesis: [u8; 32],
}

impl NetworkTag {
    /// Prefix of every protocol's name.
    #[must_use]
    pub fn prefix(&self) -> String {
        let genesis = Hex(&self.genesis).to_string();
        let short: String = genesis.chars().take(16).collect();
        format!("/smt/{}/{short}/{}", self.network, self.version)
    }
}

impl fmt::Display for NetworkTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "genesis {} (network {}, protocol {})", Hex(&self.genesis), self.network, self.version)
    }
}

struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What a proof is over. The nonce is the listener's and new on each connection; both ids are proven by the connection, so a proof is of no
/// use on another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Challenge {
    /// Who proves.
    pub speaker: PeerId,
    /// To whom.
    pub listener: PeerId,
    /// What the listener drew.
    pub nonce: [u8; NONCE_BYTES],
}

/// What a peer is on one connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Takes part: messages, questions, gossip. The bytes name which member it is: this crate compares them and no more, and a member has
    /// connections from one peer id at a time, the newest, and few of them.
    Member(Vec<u8>),
    /// Belongs to the network and proves no more.
    Guest,
}

/// Who we are to a peer, and what it is to us. Called on the connections' tasks, at most a few hundred microseconds a call.
pub trait Admission: fmt::Debug + Send + Sync {
    /// What we say of ourselves, at most [`PROOF_BYTES_MAX`] bytes.
    fn introduce(&self, challenge: &Challenge) -> Vec<u8>;

    /// What the speaker is, by its proof.
    ///
    /// # Errors
    /// Why it is hung up on, in words for the log.
    fn judge(&self, challenge: &Challenge, proof: &[u8]) -> Result<Standing, String>;

    /// A connection stands on which `peer` has proven to be `member`: before anything is heard on it, and in the order in which connections
    /// come to stand. Called on the swarm's task, so it must not wait.
    fn enter(&self, member: &[u8], peer: PeerId) {
        let _ = (member, peer);
    }
}

/// Why a peer was hung up on at the door.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// It starts from another genesis, or has another number.
    #[error("the peer is of another network: it has {theirs}, we have {ours}")]
    OtherNetwork {
        /// What it says of itself.
        theirs: NetworkTag,
        /// What we are.
        ours: NetworkTag,
    },
    /// The same network, spoken in another version.
    #[error("the peer speaks protocol {}, we speak {} (genesis {})", theirs.version, ours.version, Hex(&ours.genesis))]
    OtherVersion {
        /// What it says of itself.
        theirs: NetworkTag,
        /// What we are.
        ours: NetworkTag,
    },
    /// It claims to be what it does not prove.
    #[error("the peer's proof is refused: {0}")]
    Proof(String),
}

/// What the connections' upgrades leave for the swarm.
#[derive(Debug, Default)]
pub(crate) struct Lobby(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    /// Hello is done, the connection is not yet known to the swarm.
    admitted: VecDeque<(PeerId, Multiaddr, Standing)>,
    refusals: Vec<(PeerId, Refusal)>,
}

impl Lobby {
    fn with<T>(&self, change: impl FnOnce(&mut Waiting) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Hello is done. Remembered by peer and address: the transport does not know a connection's number, and the number not the hello.
    fn admit(&self, peer: PeerId, addr: &Multiaddr, standing: Standing) {
        self.with(|waiting| {
            // What a dial that met somebody else has left behind.
            while waiting.admitted.len() >= ADMITTED_MAX {
                waiting.admitted.pop_front();
            }
            waiting.admitted.push_back((peer, bare(addr), standing));
        });
    }

    /// The standing of a connection that is being established; each hello serves one connection.
    fn take(&self, peer: PeerId, addr: &Multiaddr) -> Option<Standing> {
        let addr = bare(addr);
        self.with(|waiting| {
            let found = waiting.admitted.iter().position(|(who, at, _)| *who == peer && *at == addr)?;
            waiting.admitted.remove(found).map(|(.., standing)| standing)
        })
    }

    /// Keeps a refusal to be told; strangers can cause more than anybody wants to read.
    fn refuse(&self, peer: PeerId, refusal: Refusal) {
        self.with(|waiting| {
            if waiting.refusals.len() < REFUSALS_MAX {
                waiting.refusals.push((peer, refusal));
            }
        });
    }

    /// What was refused since the last call.
    pub(crate) fn refusals(&self) -> Vec<(PeerId, Refusal)> {
        self.with(|waiting| std::mem::take(&mut waiting.refusals))
    }
}

/// Without a `/p2p/…` at its end, which a dialled address has and its connection may not.
fn bare(addr: &Multiaddr) -> Multiaddr {
    let mut addr = addr.clone();
    if let Some(Protocol::P2p(_)) = addr.iter().last() {
        addr.pop();
    }
    addr
}
