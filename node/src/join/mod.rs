//! How a node comes into its network: who is which replica, and how that is shown.
//!
//! | module | holds |
//! | --- | --- |
//! | [`places`] | which peer is which replica, as far as it is known now |
//! | [`proof`] | what is proven at the door of each connection |
//! | [`identity`] | `smt-node init`: an identity apart from the consensus keys |
//! | [`record`], [`records`] | where replicas say they are, signed; the newest of each |
//! | [`seek`] | asking for records, and dialling whom they name; `turns`: when, `claims`: where |
//!
//! A replica has two keys that matter here: its *identity* (the libp2p peer id, which the connection proves) and its *consensus key* (in the
//! genesis, which nobody can change). At the door the consensus key signs both peer ids and a fresh nonce, and that, not the address book,
//! makes a peer a replica: the book says where to knock. So the identity may be drawn anew at any time, and a stolen one is of no use.

mod claims;
pub mod identity;
pub mod places;
pub mod proof;
pub mod record;
pub mod records;
pub mod seek;
mod turns;

pub use identity::{Identity, InitCommand};
pub use places::Places;
pub use proof::Doorkeeper;
pub use record::{AddressRecord, SignedRecord};
pub use records::Records;
pub use seek::Seek;

use smt_gossip::swarm::{NetworkTag, PeerId, Refusal};
use smt_types::{Digest, NetworkId};

/// News of the door.
#[derive(Clone, Debug)]
pub enum Contact {
    /// A peer is connected.
    Met(PeerId),
    /// A peer was hung up on.
    Refused(PeerId, Refusal),
}

/// Version of what is said between replicas: the swarm's protocols and the messages on them. Two versions do not talk to each other.
pub const PROTOCOL_VERSION: u16 = 2;

/// What every node of a network says first.
#[must_use]
pub fn tag(network: NetworkId, genesis_hash: Digest) -> NetworkTag {
    NetworkTag { version: PROTOCOL_VERSION, network: network.0, genesis: genesis_hash.0 }
}
