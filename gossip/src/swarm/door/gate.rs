//! A behaviour that members alone have to do with.

use std::{
    collections::VecDeque,
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

use super::{
    Admission, Lobby, Standing,
    pending::{self, Pending},
};
use crate::swarm::handle::Shared;

/// Connections of a member that stay: both sides dialled at once, and one more that is dying unnoticed.
const STAYING_MAX: usize = 3;
/// Connections of a member with those that were hung up on and whose end does not come: it is the peer that lets them end.
const OF_MEMBER_MAX: usize = 12;

/// Why a connection does not stand although its hello is done.
#[derive(Debug, thiserror::Error)]
enum Denied {
    #[error("no hello is known of this connection")]
    NoHello,
    #[error("the peer that was dialled is no member")]
    NoMember,
    #[error("a guest has the peer id of a member that is connected")]
    InTheWay,
    #[error("the member has too many connections that do not end")]
    Crowd,
}

/// A member's connection.
struct Member {
    connection: ConnectionId,
    peer: PeerId,
    key: Vec<u8>,
    leaving: bool,
}

/// Bounds who waits at the door and who visits, and runs `B` on the connections of members; on those of guests it has no handler, and hears nothing of them.
pub(crate) struct Gated<B> {
    pub(crate) inner: B,
    shared: Arc<Shared>,
    pending: Pending,
    admission: Arc<dyn Admission>,
    /// Oldest first; few, see [`OF_MEMBER_MAX`].
    members: Vec<Member>,
    /// Guests that came to us, oldest first.
    guests: VecDeque<(ConnectionId, PeerId)>,
    guests_max: usize,
    /// To be hung up on.
    leaving: VecDeque<(ConnectionId, PeerId)>,
}

impl<B> Gated<B> {
    /// At most `guests_max` guests that came to us keep their connection.
    pub(crate) fn new(inner: B, shared: Arc<Shared>, admission: Arc<dyn Admission>, guests_max: usize) -> Self {
        let (members, guests, leaving) = Default::default();
        let pending = Pending::new(shared.limits.pending_max, shared.limits.pending_per_address_max);
        Self { inner, shared, admission, pending, members, guests, guests_max, leaving }
    }

    /// Whether this is a member's connection.
    pub(crate) fn is_member(&self, connection: ConnectionId) -> bool {
        self.members.iter().any(|member| member.connection == connection)
    }

    /// Connections of a peer as a member.
    pub(crate) fn connections(&self, peer: PeerId) -> u32 {
        let count = self.members.iter().filter(|member| member.peer == peer).count();
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    fn lobby(&self) -> &Lobby {
        &self.shared.lobby
    }

    /// Connections of a member beside `connection`.
    fn others(&self, peer: PeerId, connection: ConnectionId) -> usize {
        self.members.iter().filter(|member| member.peer == peer && member.connection != connection).count()
    }

    /// # Errors
    /// [`Denied::Crowd`].
    fn room_for(&self, key: &[u8]) -> Result<(), ConnectionDenied> {
        let count = self.members.iter().filter(|member| member.key == key).count();
        if count < OF_MEMBER_MAX { Ok(()) } else { Err(ConnectionDenied::new(Denied::Crowd)) }
    }

    /// A member's connection stands. Its connections under other peer ids end, whatever came in between: with one key one could otherwise be
    /// any number of peers. So do guests with its peer id, who may hold a copy of its identity.
    fn enter(&mut self, connection: ConnectionId, peer: PeerId, key: Vec<u8>) {
        self.admission.enter(&key, peer);
        let mut staying = 1usize;
        for member in self.members.iter_mut().rev().filter(|member| member.key == key && !member.leaving) {
            if member.peer == peer && staying < STAYING_MAX {
                staying = staying.saturating_add(1);
            } else {
                member.leaving = true;
                self.leaving.push_back((member.connection, member.peer));
            }
        }
        self.members.push(Member { connection, peer, key, leaving: false });
        let leaving = &mut self.leaving;
        self.guests.retain(|guest| {
            let stays = guest.1 != peer;
            if !stays {
                leaving.push_back(*guest);
            }
            stays
        });
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
        let before = self.members.len();
        self.members.retain(|member| member.connection != connection);
        self.members.len() < before
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
        let shared = &self.shared;
        let is_known =
            |ip| shared.book().peers.values().flat_map(|peer| &peer.addrs).any(|addr| pending::ip(addr) == Some(ip));
        self.pending.enter(connection, remote, is_known).map_err(ConnectionDenied::new)?;
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
            Some(Standing::Member(key)) => {
                self.room_for(&key)?;
                let handler = self.inner.handle_established_inbound_connection(connection, peer, local, remote)?;
                self.enter(connection, peer, key);
                Ok(Either::Left(handler))
            }
            Some(Standing::Guest) if self.connections(peer) > 0 => Err(ConnectionDenied::new(Denied::InTheWay)),
            Some(Standing::Guest) => {
                self.welcome(connection, peer);
                Ok(Either::Right(dummy::ConnectionHandler))
            }
            None => Err(ConnectionDenied::new(Denied::NoHello)),
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
            Some(Standing::Member(key)) => {
                self.room_for(&key)?;
                let handler = self.inner.handle_established_outbound_connection(connection, peer, addr, role, port)?;
                self.enter(connection, peer, key);
                Ok(Either::Left(handler))
            }
            // Only members are looked for: who answers in a member's place shall not count as found.
            Some(Standing::Guest) => Err(ConnectionDenied::new(Denied::NoMember)),
            None => Err(ConnectionDenied::new(Denied::NoHello)),
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
