//! Who talks to whom, and the sockets they talk over.
//!
//! [`topology`] is pure: the Sierpinski graph of shards, its tree, routes and long links. `swarm` (feature `libp2p`, on by default) runs
//! libp2p and carries opaque bytes; it knows nothing of payments, votes or headers, so an edit of the protocol never rebuilds it.

pub mod topology;

#[cfg(feature = "libp2p")]
pub mod swarm;
