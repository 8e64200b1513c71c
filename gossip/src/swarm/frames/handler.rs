//! One connection's frames, both directions, within the connection's task.

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};

use libp2p::{
    PeerId, StreamProtocol,
    core::upgrade::ReadyUpgrade,
    swarm::{
        ConnectionHandler, ConnectionHandlerEvent, ConnectionId, Stream, SubstreamProtocol, handler::ConnectionEvent,
    },
};

use super::{Parts, inbound::Inbound, lane::Lane, outbound::Outbound};

#[derive(Debug)]
pub(crate) struct Handler {
    parts: Arc<Parts>,
    inbound: Inbound<Stream>,
    outbound: Outbound<Stream>,
}

impl Handler {
    pub(super) fn new(parts: Arc<Parts>, connection: ConnectionId, peer: PeerId, lane: Arc<Lane>) -> Self {
        Self { parts, inbound: Inbound::new(peer), outbound: Outbound::new(connection, peer, lane) }
    }

    fn protocol(&self) -> SubstreamProtocol<ReadyUpgrade<StreamProtocol>> {
        SubstreamProtocol::new(ReadyUpgrade::new(self.parts.protocol.clone()), ())
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Infallible;
    type ToBehaviour = Infallible;
    type InboundProtocol = ReadyUpgrade<StreamProtocol>;
    type OutboundProtocol = ReadyUpgrade<StreamProtocol>;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = ();

    fn listen_protocol(&self) -> SubstreamProtocol<Self::InboundProtocol> {
        self.protocol()
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Self::OutboundProtocol, (), Self::ToBehaviour>> {
        self.inbound.poll(cx, &self.parts);
        if self.outbound.poll(cx, &self.parts) {
            return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol: self.protocol() });
        }
        Poll::Pending
    }

    /// Called instead of [`Self::poll`] once the connection is to end.
    fn poll_close(&mut self, _: &mut Context<'_>) -> Poll<Option<Self::ToBehaviour>> {
        self.outbound.leave();
        Poll::Ready(None)
    }

    fn on_behaviour_event(&mut self, event: Self::FromBehaviour) {
        match event {}
    }

    fn on_connection_event(&mut self, event: ConnectionEvent<'_, Self::InboundProtocol, Self::OutboundProtocol>) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(stream) => self.inbound.accept(&self.parts, stream.protocol),
            ConnectionEvent::FullyNegotiatedOutbound(stream) => self.outbound.opened(stream.protocol),
            ConnectionEvent::DialUpgradeError(failure) => {
                self.outbound.failed(&self.parts.shared.limits, &failure.error);
            }
            _ => {}
        }
    }
}
