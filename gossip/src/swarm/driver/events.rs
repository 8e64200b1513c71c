//! What libp2p reports, and what follows from it.

use std::time::{Duration, Instant};

use libp2p::{
    PeerId, Swarm, gossipsub, ping,
    request_response::{self, Message, OutboundFailure, OutboundRequestId, ResponseChannel},
    swarm::SwarmEvent as Happened,
};

use super::super::{
    behaviour::{Behaviour, BehaviourEvent, TalkEvent},
    codec::Request,
    door::Refusal,
    event::{GossipId, ReplySlot, RequestError, SwarmEvent, Verdict},
    handle::{Peer, count},
};
use super::{Bytes, Driver, Question};

/// Time between two refusals of strangers that are told.
const REFUSALS_APART: Duration = Duration::from_secs(1);
/// Failures a peer is charged with that was hung up on at the door: it will not change its mind soon.
const REFUSED_FAILURES: u32 = 8;

impl From<Verdict> for gossipsub::MessageAcceptance {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Accept => Self::Accept,
            Verdict::Reject => Self::Reject,
            Verdict::Ignore => Self::Ignore,
        }
    }
}

impl Driver {
    pub(super) fn on_swarm(&mut self, swarm: &mut Swarm<Behaviour>, happened: Happened<BehaviourEvent>) {
        match happened {
            Happened::Behaviour(BehaviourEvent::Talk(TalkEvent::Exchange(event))) => self.on_exchange(event),
            Happened::Behaviour(BehaviourEvent::Talk(TalkEvent::Gossip(event))) => self.on_gossip(swarm, event),
            Happened::Behaviour(BehaviourEvent::Talk(TalkEvent::Frames(event))) => match event {},
            Happened::Behaviour(BehaviourEvent::Ping(event)) => self.on_ping(swarm, event),
            // Guests do not count: with a copy of a member's identity one could stand in its way. And the application is told nothing of them:
            // it could be told by the thousand.
            Happened::ConnectionEstablished { peer_id, connection_id, .. }
                if swarm.behaviour().talk.is_member(connection_id) =>
            {
                self.on_connection(peer_id, swarm.behaviour().talk.connections(peer_id));
            }
            Happened::ConnectionClosed { peer_id, cause, .. } => {
                tracing::debug!(peer = %peer_id, ?cause, "connection closed");
                let connections = swarm.behaviour().talk.connections(peer_id);
                let Some(link) = self.links.get_mut(&peer_id).filter(|link| link.connections != connections) else {
                    return;
                };
                link.connections = connections;
                if connections == 0 {
                    self.on_disconnected(peer_id);
                    self.retry_or_forget(peer_id);
                }
            }
            Happened::OutgoingConnectionError { peer_id: Some(peer), error, .. } => {
                tracing::debug!(%peer, %error, "dialling failed");
                if self.links.get(&peer).is_some_and(|link| link.connections == 0) {
                    self.retry_or_forget(peer);
                }
            }
            Happened::NewListenAddr { address, .. } if address != self.config.listen => {
                self.inbox.push(SwarmEvent::Listening(address), None);
            }
            Happened::ListenerClosed { reason, .. } => {
                // Accepting can fail for good only by an error of the system; connections that stand are kept.
                tracing::error!(?reason, "no longer listening");
            }
            _ => {}
        }
    }

    fn on_connection(&mut self, peer: PeerId, connections: u32) {
        let link = self.links.entry(peer).or_default();
        if std::mem::replace(&mut link.connections, connections) > 0 {
            return;
        }
        let mut book = self.shared.book();
        let entry = book.peers.entry(peer);
        entry.or_insert_with(|| Peer::new(&self.config.limits)).connected = true;
        drop(book);
        self.notify(SwarmEvent::Connected(peer));
        self.unschedule(peer);
    }

    /// The last connection is gone: tells the application and clears what was true of the connection.
    pub(super) fn on_disconnected(&mut self, peer: PeerId) {
        let mut carried = false;
        self.with_peer(peer, |entry| {
            entry.connected = false;
            entry.round_trip = None;
            entry.topics.clear();
            carried = entry.lane.has_carried();
        });
        // A connection that carried is the end of a row of failures; one that only opens and closes is not.
        if carried && let Some(link) = self.links.get_mut(&peer) {
            link.failures = 0;
        }
        self.notify(SwarmEvent::Disconnected(peer));
    }

    /// Known peers are dialled again; strangers leave nothing behind.
    fn retry_or_forget(&mut self, peer: PeerId) {
        let known = self.shared.book().peers.get(&peer).is_some_and(|entry| !entry.addrs.is_empty());
        if known {
            self.retry(peer);
        } else {
            self.forget(peer);
        }
    }

    /// Drops what is kept of a peer without connections.
    pub(super) fn forget(&mut self, peer: PeerId) {
        self.shared.book().peers.remove(&peer);
        self.unschedule(peer);
        self.links.remove(&peer);
    }

    /// A peer was hung up on at the door.
    pub(super) fn on_refusal(&mut self, peer: PeerId, refusal: Refusal) {
        if let Some(link) = self.links.get_mut(&peer) {
            link.failures = link.failures.max(REFUSED_FAILURES);
        } else if self.told.is_some_and(|at| at.elapsed() < REFUSALS_APART) {
            // Strangers can cause any number of these, and they would be in everybody's way.
            return;
        } else {
            self.told = Some(Instant::now());
        }
        self.notify(SwarmEvent::Refused { peer, refusal });
    }

    /// Changes of connections: never dropped for a slow application, except where peers come and go by the thousand meanwhile.
    fn notify(&mut self, event: SwarmEvent) {
        if self.inbox.has_room(0) {
            self.inbox.push(event, None);
        } else {
            count(&self.shared.counters.inbound_refused, 1);
        }
    }

    fn on_exchange(&mut self, event: request_response::Event<Request, Bytes>) {
        match event {
            request_response::Event::Message { peer, message: Message::Request { request, channel, .. }, .. } => {
                self.on_request(peer, request, channel)
            }
            request_response::Event::Message { message: Message::Response { request_id, response }, .. } => {
                self.on_response(request_id, response)
            }
            request_response::Event::OutboundFailure { request_id, error, .. } => self.on_failure(request_id, &error),
            request_response::Event::InboundFailure { peer, error, .. } => {
                tracing::debug!(%peer, %error, "inbound stream failed");
            }
            request_response::Event::ResponseSent { .. } => {}
        }
    }

    /// A question came in. Dropping `channel` is how the asker learns that it was refused.
    fn on_request(&mut self, from: PeerId, request: Request, channel: ResponseChannel<Bytes>) {
        // The other kind is only ever made on the writing side; and without a handle nobody could hand the answer back.
        let (Request::Question(body, budget), Some(answers)) = (request, self.reply_to.upgrade()) else {
            return;
        };
        if !self.inbox.has_room(body.len()) {
            count(&self.shared.counters.inbound_refused, 1);
            return;
        }
        let reply = ReplySlot { channel, answers };
        self.inbox.push(SwarmEvent::Request { from, body, reply }, budget);
    }

    fn on_response(&mut self, id: OutboundRequestId, response: Bytes) {
        if let Some(Question { peer, answer }) = self.pending.remove(&id) {
            self.question_done(peer);
            // The asker may have given up.
            drop(answer.send(Ok(response)));
        }
    }

    fn on_failure(&mut self, id: OutboundRequestId, error: &OutboundFailure) {
        let Some(Question { peer, answer }) = self.pending.remove(&id) else {
            return;
        };
        self.question_done(peer);
        let error = match error {
            OutboundFailure::DialFailure => RequestError::NotConnected,
            OutboundFailure::Timeout => RequestError::Timeout,
            OutboundFailure::UnsupportedProtocols => RequestError::WrongProtocol,
            OutboundFailure::ConnectionClosed | OutboundFailure::Io(_) => RequestError::NoAnswer,
        };
        // The asker may have given up.
        drop(answer.send(Err(error)));
    }

    fn question_done(&mut self, peer: PeerId) {
        if let Some(link) = self.links.get_mut(&peer) {
            link.questions = link.questions.saturating_sub(1);
        }
    }

    fn on_gossip(&mut self, swarm: &mut Swarm<Behaviour>, event: gossipsub::Event) {
        match event {
            gossipsub::Event::Message { propagation_source: from, message_id, message } => {
                let body = Bytes::from(message.data);
                // Gossip comes by many ways and again in the next epoch: it is what a slow application can miss.
                if !self.inbox.is_clear() {
                    count(&self.shared.counters.gossip_ignored, 1);
                    let ignore = gossipsub::MessageAcceptance::Ignore;
                    swarm.behaviour_mut().talk.inner.gossip.report_message_validation_result(
                        &message_id,
                        &from,
                        ignore,
                    );
                    return;
                }
                let topic = message.topic.into_string();
                let id = GossipId { message: message_id, source: from };
                let event = SwarmEvent::Gossip { from, topic, id, body };
                self.inbox.push(event, None);
            }
            gossipsub::Event::Subscribed { peer_id, topic } => {
                self.with_peer(peer_id, |entry| {
                    entry.topics.insert(topic.into_string());
                });
            }
            gossipsub::Event::Unsubscribed { peer_id, topic } => {
                self.with_peer(peer_id, |entry| {
                    entry.topics.remove(topic.as_str());
                });
            }
            gossipsub::Event::GossipsubNotSupported { peer_id } => {
                tracing::debug!(peer = %peer_id, "peer does not gossip");
            }
            gossipsub::Event::SlowPeer { peer_id, .. } => {
                tracing::debug!(peer = %peer_id, "peer is slow to take gossip");
            }
        }
    }

    fn on_ping(&mut self, swarm: &mut Swarm<Behaviour>, event: ping::Event) {
        match event.result {
            // What a guest measures says nothing of the member that it may pretend to be.
            Ok(_) if !swarm.behaviour().talk.is_member(event.connection) => {}
            Ok(round_trip) => {
                // A connection that carries is the end of a row of failures; one that only opens and closes is not.
                if let Some(link) = self.links.get_mut(&event.peer) {
                    link.failures = 0;
                }
                self.with_peer(event.peer, |entry| entry.round_trip = Some(round_trip));
            }
            Err(ping::Failure::Unsupported) => {}
            Err(error) => {
                // libp2p only reports it. A connection whose other end is gone without a word would keep its frames until their stream
                // times out, again and again; closed, it is dialled anew.
                tracing::debug!(peer = %event.peer, %error, "ping failed");
                swarm.close_connection(event.connection);
            }
        }
    }
}
