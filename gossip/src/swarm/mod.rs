//! The libp2p swarm: sockets, retries and bounds; what the bytes mean is not known here.
//!
//! One task per swarm on the ambient tokio runtime owns libp2p, and one per connection its bytes; [`SwarmHandle`]s talk to them over bounded
//! queues and [`EventReceiver`] hands out what arrived. Three ways to speak:
//!
//! * [`SwarmHandle::send`]: one-way messages to one peer. They wait in that peer's outbox and leave at once while few frames are under way,
//!   otherwise together in the next frame, so a single message is fast and a thousand cost few packets. Frames go over one stream per
//!   direction that stays open, in order; a frame without an acknowledgement is sent again, with those after it, on the next stream or
//!   connection, until it is [`Limits::frame_age_max`] old: a message may be lost or come twice, and the protocols above are built for that.
//! * [`SwarmHandle::request`]: question and answer, for what is large or needs a reply.
//! * [`SwarmHandle::publish`]: gossip to everyone who subscribed to a topic. Nothing is passed on before the application has said
//!   [`Verdict::Accept`].
//!
//! Memory is bounded everywhere: outboxes (count and bytes, oldest dropped), frames under way (eight, or half a megabyte and a frame), bodies
//! being read, events waiting for the application. When the application is slow, each connection holds one frame and reads and acknowledges
//! no more, so that soon no more come; questions are refused and gossip dropped. Nothing is ever awaited inside a task but the next event, so
//! a slow application cannot stop pings or answers.
//!
//! Before any of that a connection passes the door: peers of another network are hung up on, and only who proves to be a member is heard.
//!
//! A peer that makes libp2p panic costs the connections, not the task: the swarm is built again on the same port and the address book is
//! dialled again.

mod behaviour;
mod codec;
mod config;
mod door;
mod driver;
mod event;
mod frames;
mod handle;
mod inbox;
mod outbox;

#[cfg(test)]
mod tests;

pub use bytes::Bytes;
pub use config::{
    GOSSIP_BODY_BYTES_MAX, Limits, MESSAGE_BYTES_MAX, PeerAddr, PeerAddrError, REQUEST_BYTES_MAX, RESPONSE_BYTES_MAX,
    SpawnError, SwarmConfig, TOPICS_MAX, keypair_from_seed,
};
pub use door::{Admission, Challenge, NONCE_BYTES, NetworkTag, PROOF_BYTES_MAX, Refusal, Standing};
pub use driver::spawn;
pub use event::{GossipId, PublishError, ReplyError, ReplySlot, RequestError, SendError, SwarmEvent, Verdict};
pub use handle::{PeerStatus, Stats, SwarmHandle};
pub use inbox::EventReceiver;
pub use libp2p::{Multiaddr, PeerId, identity::Keypair};
