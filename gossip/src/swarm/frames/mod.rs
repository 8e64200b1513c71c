//! One-way messages in frames, on one stream per connection and direction that stays open.
//!
//! A connection's own task takes frames from the peer's [`lane::Lane`], writes them, and hands what it reads to the application; the swarm's
//! task has no part in it. So a message costs one wake-up and one packet, where a stream for each frame costs a dozen of both.
//!
//! The streams are handled inside the connection's task (a `ConnectionHandler` of our own) and not in tasks of their own, since each
//! such task would be one more wake-up per packet, both ways.

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};

use libp2p::{
    Multiaddr, PeerId, StreamProtocol,
    core::{Endpoint, transport::PortUse},
    swarm::{
        ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent, THandlerOutEvent,
        ToSwarm,
    },
};

use super::{codec::Reading, handle::Shared, inbox::Delivery};

mod handler;
mod inbound;
pub(crate) mod lane;
mod outbound;
mod timer;
pub(crate) mod wire;

#[cfg(test)]
pub(super) mod tests;

use handler::Handler;

/// What every connection needs of its swarm.
#[derive(Debug, Clone)]
pub(crate) struct Parts {
    pub(crate) protocol: StreamProtocol,
    pub(crate) shared: Arc<Shared>,
    pub(crate) delivery: Delivery,
    pub(crate) reading: Reading,
}

/// Gives every connection its [`Handler`]; has nothing to say itself. It comes after all behaviours that may deny a connection: a peer it was
/// asked for has an entry in the book, which goes with its last connection.
#[derive(Debug)]
pub(crate) struct Behaviour {
    parts: Arc<Parts>,
}

impl Behaviour {
    pub(crate) fn new(parts: Parts) -> Self {
        Self { parts: Arc::new(parts) }
    }

    fn handler(&self, connection: ConnectionId, peer: PeerId) -> Handler {
        Handler::new(Arc::clone(&self.parts), connection, peer, self.parts.shared.lane(peer))
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = Handler;
    type ToSwarm = Infallible;

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(self.handler(connection, peer))
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(self.handler(connection, peer))
    }

    fn on_swarm_event(&mut self, _: FromSwarm<'_>) {}

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, event: THandlerOutEvent<Self>) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        Poll::Pending
    }
}
