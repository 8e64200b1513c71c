//! What a swarm hands to the application, what it takes back, and how it says no.

use bytes::Bytes;
use libp2p::{Multiaddr, PeerId, gossipsub, request_response::ResponseChannel};
use tokio::sync::mpsc;

use super::{config::RESPONSE_BYTES_MAX, door::Refusal, handle::Answer};

/// Something arrived or changed.
#[derive(Debug)]
#[non_exhaustive]
pub enum SwarmEvent {
    /// A one-way message; messages of one sender come in the order they were sent, save those that were lost.
    Message {
        /// Who sent it; the connection proves it.
        from: PeerId,
        /// What was sent.
        body: Bytes,
    },
    /// A question.
    Request {
        /// Who asks; the connection proves it.
        from: PeerId,
        /// What was asked.
        body: Bytes,
        /// Where the answer goes. Dropped unused, the asker is told at once.
        reply: ReplySlot,
    },
    /// A gossiped message, to be judged with [`super::SwarmHandle::report`]; until then it is not passed on. Own messages do not come back.
    Gossip {
        /// Who passed it on, not who wrote it.
        from: PeerId,
        /// One of [`super::SwarmConfig::topics`].
        topic: String,
        /// Names it in the report.
        id: GossipId,
        /// What was published.
        body: Bytes,
    },
    /// The first connection to a member stands. Its messages may come a little before this.
    Connected(PeerId),
    /// The last such connection is gone. Peers of the address book are dialled again.
    Disconnected(PeerId),
    /// We listen here.
    Listening(Multiaddr),
    /// A peer was hung up on at the door. Of peers outside the address book one a second is told.
    Refused {
        /// Who; the connection proves it.
        peer: PeerId,
        /// Why.
        refusal: Refusal,
    },
}

impl SwarmEvent {
    /// Bytes of foreign data this event keeps alive.
    pub(crate) fn body_bytes(&self) -> usize {
        match self {
            Self::Message { body, .. } | Self::Request { body, .. } | Self::Gossip { body, .. } => body.len(),
            _ => 0,
        }
    }
}

/// Names a gossiped message and the peer that brought it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GossipId {
    pub(crate) message: gossipsub::MessageId,
    pub(crate) source: PeerId,
}

/// What the application thinks of a gossiped message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Valid: pass it on.
    Accept,
    /// Invalid, and whoever passed it on should have seen that: do not pass it on and count it against the peer.
    Reject,
    /// Of no use, or not to be judged now: do not pass it on, no blame.
    Ignore,
}

/// The way back for an answer.
#[derive(Debug)]
pub struct ReplySlot {
    pub(crate) channel: ResponseChannel<Bytes>,
    pub(crate) answers: mpsc::UnboundedSender<Answer>,
}

impl ReplySlot {
    /// Answers; an answer that comes after the asker gave up goes nowhere.
    ///
    /// # Errors
    /// [`ReplyError`] if the body is above [`RESPONSE_BYTES_MAX`]; the asker is then told that there is no answer.
    pub fn send(self, body: Bytes) -> Result<(), ReplyError> {
        if body.len() > RESPONSE_BYTES_MAX {
            return Err(ReplyError { got: body.len(), max: RESPONSE_BYTES_MAX });
        }
        // A swarm that has stopped has no asker either.
        drop(self.answers.send(Answer::Reply(self.channel, body)));
        Ok(())
    }
}

/// An answer too large to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("answer of {got} bytes, at most {max} can be sent")]
pub struct ReplyError {
    /// Bytes given.
    pub got: usize,
    /// [`RESPONSE_BYTES_MAX`].
    pub max: usize,
}

/// Why a one-way message was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// Larger than a frame or an outbox.
    #[error("message of {got} bytes, at most {max} can be sent")]
    TooLarge {
        /// Bytes given.
        got: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// Neither in the address book nor connected.
    #[error("peer {0} is neither known nor connected")]
    UnknownPeer(PeerId),
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The question is larger than [`super::REQUEST_BYTES_MAX`].
    #[error("question of {got} bytes, at most {max} can be sent")]
    TooLarge {
        /// Bytes given.
        got: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// No connection now; known peers are being dialled.
    #[error("not connected")]
    NotConnected,
    /// As many questions as allowed are under way to this peer.
    #[error("too many questions under way to this peer")]
    Busy,
    /// No answer in time.
    #[error("no answer in time")]
    Timeout,
    /// The peer gave no answer, or the connection broke before it came.
    #[error("the peer did not answer")]
    NoAnswer,
    /// The peer does not speak our protocol.
    #[error("the peer speaks another protocol")]
    WrongProtocol,
    /// This swarm has stopped.
    #[error("the swarm has stopped")]
    Stopped,
}

/// Why a message was not taken for publishing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// Larger than [`super::GOSSIP_BODY_BYTES_MAX`].
    #[error("gossip of {got} bytes, at most {max} can be published")]
    TooLarge {
        /// Bytes given.
        got: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// Not one of this swarm's topics.
    #[error("not a topic of this swarm")]
    UnknownTopic,
    /// The swarm is behind with its work, or has stopped.
    #[error("the swarm's queue is full")]
    Full,
}
