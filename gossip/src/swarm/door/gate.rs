//! A behaviour that members alone have to do with.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    task::{Context, Poll},
};

use either::Either;
use libp2p::{
    Multiaddr, PeerId,
    core::{Endpoint, transport::PortUse},
    swarm::{
        CloseConnection, ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
        THandlerOutEvent, ToSwarm, behaviour::ConnectionEstablished, dummy,
    },
};

use super::{Lobby, Standing, pending::Pending};
use crate::swarm::handle::Shared;

/// Why a connection does not stand although its hello is done.
#[derive(Debug, thiserror::Error)]
#[error("no hello is known of this connection")]
struct NoHello;

/// Bounds who waits at the door and who visits, and runs `B` on the connections of members; on those of guests it has no handler, and hears nothing of them.
pub(crate) struct Gated<B> {
    pub(crate) inner: B,
    shared: Arc<Shared>,
    pending: Pending,
    members: HashMap<ConnectionId, PeerId>,
    /// Guests that came to us, oldest first.
    guests: VecDeque<(ConnectionId, PeerId)>,
    guests_max: usize,
    /// To be hung up on.
    leaving: VecDeque<(ConnectionId, PeerId)>,
}

impl<B> Gated<B> {
    /// At most `guests_max` guests that came to us keep their connection.
    pub(crate) fn new(inner: B, shared: Arc<Shared>, guests_max: usize) -> Self {
        let (members, guests, leaving) = Default::default();
        let pending = Pending::new(shared.limits.pending_max, shared.limits.pending_per_address_max);
        Self { inner, shared, pending, members, guests, guests_max, leaving }
    }

    /// Whether this is a member's connection.
    pub(crate) fn is_member(&self, connection: ConnectionId) -> bool {
        self.members.contains_key(&connection)
    }

    fn lobby(&self) -> &Lobby {
        &self.shared.lobby
    }

    /// Connections of a member beside `connection`.
    fn others(&self, peer: PeerId, connection: ConnectionId) -> usize {
        self.members.iter().filter(|(id, who)| **who == peer && **id != connection).count()
    }

    /// The oldest guest makes room: were the newest refused, whoever came first and stays could keep everybody out.
    fn welcome(&mut self, connection: ConnectionId, peer: PeerId) {
        self.guests.push_back((connection, peer));
        while self.guests.len() > self.guests_max {
            self.leaving.extend(self.guests.pop_front());
        }
    }

    fn forget(&mut self, connection: ConnectionId) -> bool {
        self.pending.leave(connection);
        self.guests.retain(|(id, _)| *id != connection);
        self.leaving.retain(|(id, _)| *id != connection);
        self.members.remove(&connection).is_some()
    }
}

impl<B: NetworkBehaviour> NetworkBehaviour for Gated<B> {
    type ConnectionHandler = Either<THandler<B>, dummy::ConnectionHandler>;
    type ToSwarm = B::ToSwarm;

    fn handle_pending_inbound_connection(
        &mut self,
        connection: ConnectionId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        self.pending.enter(connection, remote).map_err(ConnectionDenied::new)?;
        self.inner.handle_pending_inbound_connection(connection, local, remote)
    }

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.pending.leave(connection);
        match self.lobby().take(peer, remote) {
            Some(Standing::Member) => {
                let handler = self.inner.handle_established_inbound_connection(connection, peer, local, remote)?;
                self.members.insert(connection, peer);
                Ok(Either::Left(handler))
            }
            Some(Standing::Guest) => {
                self.welcome(connection, peer);
                Ok(Either::Right(dummy::ConnectionHandler))
            }
            None => Err(ConnectionDenied::new(NoHello)),
        }
    }

    fn handle_pending_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: Option<PeerId>,
        addresses: &[Multiaddr],
        role: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        self.inner.handle_pending_outbound_connection(connection, peer, addresses, role)
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        addr: &Multiaddr,
        role: Endpoint,
        port: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        match self.lobby().take(peer, addr) {
            Some(Standing::Member) => {
                let handler = self.inner.handle_established_outbound_connection(connection, peer, addr, role, port)?;
                self.members.insert(connection, peer);
                Ok(Either::Left(handler))
            }
            // We went to it: its connection is ours to end.
            Some(Standing::Guest) => Ok(Either::Right(dummy::ConnectionHandler)),
            None => Err(ConnectionDenied::new(NoHello)),
        }
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            // What `B` counts are the connections it knows of.
            FromSwarm::ConnectionEstablished(event) if self.is_member(event.connection_id) => {
                let other_established = self.others(event.peer_id, event.connection_id);
                let event = ConnectionEstablished { other_established, ..event };
                self.inner.on_swarm_event(FromSwarm::ConnectionEstablished(event));
            }
            FromSwarm::ConnectionClosed(mut event) => {
                if self.forget(event.connection_id) {
                    event.remaining_established = self.others(event.peer_id, event.connection_id);
                    self.inner.on_swarm_event(FromSwarm::ConnectionClosed(event));
                }
            }
            FromSwarm::AddressChange(event) if self.is_member(event.connection_id) => {
                self.inner.on_swarm_event(FromSwarm::AddressChange(event));
            }
            FromSwarm::ConnectionEstablished(_) | FromSwarm::AddressChange(_) => {}
            other => {
                // Another behaviour may have refused it after we did not.
                match &other {
                    FromSwarm::ListenFailure(failure) => drop(self.forget(failure.connection_id)),
                    FromSwarm::DialFailure(failure) => drop(self.forget(failure.connection_id)),
                    _ => {}
                }
                self.inner.on_swarm_event(other);
            }
        }
    }

    fn on_connection_handler_event(&mut self, peer: PeerId, connection: ConnectionId, event: THandlerOutEvent<Self>) {
        match event {
            Either::Left(event) => self.inner.on_connection_handler_event(peer, connection, event),
            Either::Right(never) => match never {},
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        if let Some((connection, peer_id)) = self.leaving.pop_front() {
            let connection = CloseConnection::One(connection);
            return Poll::Ready(ToSwarm::CloseConnection { peer_id, connection });
        }
        self.inner.poll(cx).map(|event| event.map_in(Either::Left))
    }
}
