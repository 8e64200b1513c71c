//! How a node comes into its network: who is which replica, and how that is shown.
//!
//! | module | holds |
//! | --- | --- |
//! | [`places`] | which peer is which replica, as far as it is known now |
//! | [`proof`] | what is proven at the door of each connection |
//!
//! A replica has two keys that matter here: its *identity* (the libp2p peer id, which the connection proves) and its *consensus key* (in the
//! genesis, which nobody can change). At the door the consensus key signs both peer ids and a fresh nonce, and that, not the address book,
//! makes a peer a replica: the book says where to knock. So the identity may be drawn anew at any time, and a stolen one is of no use.

pub mod places;
pub mod proof;

pub use places::Places;
pub use proof::Doorkeeper;

use smt_gossip::swarm::NetworkTag;
use smt_types::{Digest, NetworkId};

/// Version of what is said between replicas: the swarm's protocols and the messages on them. Two versions do not talk to each other.
pub const PROTOCOL_VERSION: u16 = 2;

/// What every node of a network says first.
#[must_use]
pub fn tag(network: NetworkId, genesis_hash: Digest) -> NetworkTag {
    NetworkTag { version: PROTOCOL_VERSION, network: network.0, genesis: genesis_hash.0 }
}
