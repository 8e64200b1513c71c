//! The task that owns libp2p: one loop, no await but for the next thing to do.

use std::{
    collections::{BTreeSet, HashMap},
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::StreamExt;
use libp2p::{
    PeerId, Swarm,
    request_response::OutboundRequestId,
    swarm::dial_opts::{DialOpts, PeerCondition},
};
use tokio::sync::{Notify, mpsc, oneshot};

use super::{
    behaviour::Behaviour,
    codec::Request,
    config::SwarmConfig,
    event::RequestError,
    handle::{Answer, Command, Peer, Shared, count},
    inbox::Inbox,
};

mod events;
mod start;

pub use start::spawn;

/// Of two peers that know each other the one with the larger id waits this long before it dials, so that usually one connection is made and
/// not two: each end of one takes some 70 KiB.
const SECOND_DIALLER_DELAY: Duration = Duration::from_secs(1);
enum Exit {
    Stopped,
    Panicked,
}

/// A question of ours.
struct Question {
    peer: PeerId,
    answer: oneshot::Sender<Result<Bytes, RequestError>>,
}

/// Our side of the relation to one peer.
#[derive(Default)]
struct Link {
    connections: u32,
    questions: usize,
    /// Failures in a row, of dialling or of connections that carried nothing.
    failures: u32,
    /// When to dial this peer.
    due: Option<Instant>,
}

struct Driver {
    config: SwarmConfig,
    shared: Arc<Shared>,
    commands: mpsc::Receiver<Command>,
    answers: mpsc::UnboundedReceiver<Answer>,
    /// For reply slots; weak, so that the task itself does not keep its own queue open.
    reply_to: mpsc::WeakUnboundedSender<Answer>,
    inbox: Inbox,
    links: HashMap<PeerId, Link>,
    pending: HashMap<OutboundRequestId, Question>,
    /// The `due` of every link, ordered.
    timers: BTreeSet<(Instant, PeerId)>,
    /// Random numbers drawn so far.
    draws: u64,
    random: RandomState,
    /// When the refusal of a peer outside the address book was told last.
    told: Option<Instant>,
    panicked: Arc<Notify>,
}

impl Driver {
    async fn run(&mut self, swarm: &mut Swarm<Behaviour>) -> Exit {
        let delivery = self.inbox.delivery().clone();
        loop {
            self.inbox.pump();
            let due = self.timers.first().map(|&(at, _)| at);
            tokio::select! {
                happened = swarm.select_next_some() => self.on_swarm(swarm, happened),
                () = self.shared.wake.notified() => self.on_wake(swarm),
                command = self.commands.recv() => match command {
                    Some(command) => self.on_command(swarm, command),
                    None => return Exit::Stopped,
                },
                Some(answer) = self.answers.recv() => Self::on_answer(swarm, answer),
                () = self.inbox.room(), if self.inbox.waits() => {}
                () = sleep_until(due), if due.is_some() => self.on_due(swarm),
                () = self.panicked.notified() => return Exit::Panicked,
                () = self.shared.stop.notified() => return Exit::Stopped,
                () = delivery.closed() => return Exit::Stopped,
            }
        }
    }

    /// The address book has changed, or somebody was hung up on.
    fn on_wake(&mut self, swarm: &mut Swarm<Behaviour>) {
        let mut book = self.shared.book();
        let (added, removed) = (std::mem::take(&mut book.added), std::mem::take(&mut book.removed));
        drop(book);
        for peer in added {
            self.admit(peer);
        }
        for peer in removed {
            self.dismiss(swarm, peer);
        }
        for (peer, refusal) in self.shared.lobby.refusals() {
            self.on_refusal(peer, refusal);
        }
    }

    /// A peer is in the address book: it is dialled.
    fn admit(&mut self, peer: PeerId) {
        let link = self.links.entry(peer).or_default();
        if link.connections > 0 {
            return;
        }
        // Who fails waits its time, whatever addresses it is given meanwhile: each record could else buy a dial at once.
        match (link.failures, link.due) {
            (0, _) => self.schedule(peer, self.turn(peer)),
            (_, Some(_)) => {}
            (_, None) => {
                let wait = self.backoff(peer).saturating_add(self.turn(peer));
                self.schedule(peer, wait);
            }
        }
    }

    /// A peer is no longer in the address book: its connections end, and with the last of them what is kept of it.
    fn dismiss(&mut self, swarm: &mut Swarm<Behaviour>, peer: PeerId) {
        if self.shared.book().peers.get(&peer).is_some_and(|entry| !entry.addrs.is_empty()) {
            // It has been added again meanwhile.
            return;
        }
        // The last connection of a member takes the rest with it; what guests have leaves nothing.
        if swarm.disconnect_peer_id(peer).is_err() {
            tracing::debug!(%peer, "nothing to hang up");
        }
        if self.links.get(&peer).is_none_or(|link| link.connections == 0) {
            self.forget(peer);
        }
    }

    /// After a restart: the whole address book.
    fn readmit(&mut self) {
        let book = self.shared.book();
        let known = book.peers.iter().filter(|(_, peer)| !peer.addrs.is_empty());
        let known: Vec<PeerId> = known.map(|(&id, _)| id).collect();
        drop(book);
        for peer in known {
            self.admit(peer);
        }
    }

    /// After a panic: no connection, no stream, no timer is left.
    fn reset(&mut self) {
        self.pending.clear(); // drops the askers' channels: they are told
        self.timers.clear();
        let gone: Vec<PeerId> = self
            .links
            .iter_mut()
            .filter_map(|(&peer, link)| {
                link.due = None;
                link.questions = 0;
                (std::mem::take(&mut link.connections) > 0).then_some(peer)
            })
            .collect();
        for peer in gone {
            self.on_disconnected(peer);
        }
    }

    fn on_command(&mut self, swarm: &mut Swarm<Behaviour>, command: Command) {
        match command {
            Command::Request { peer, body, answer } => self.ask(swarm, peer, body, answer),
            Command::Publish { topic, body } => {
                let topic = libp2p::gossipsub::TopicHash::from_raw(topic);
                match swarm.behaviour_mut().talk.inner.gossip.publish(topic, body) {
                    // A duplicate is on its way already, ours or another's.
                    Ok(_) | Err(libp2p::gossipsub::PublishError::Duplicate) => {}
                    Err(error) => {
                        count(&self.shared.counters.gossip_unsent, 1);
                        tracing::debug!(%error, "gossip not sent");
                    }
                }
            }
            #[cfg(test)]
            Command::Do(deed) => (deed.0)(swarm),
        }
    }

    fn ask(
        &mut self,
        swarm: &mut Swarm<Behaviour>,
        peer: PeerId,
        body: Bytes,
        answer: oneshot::Sender<Result<Bytes, RequestError>>,
    ) {
        let link = self.links.get_mut(&peer).filter(|link| link.connections > 0);
        let refusal = match link {
            // libp2p would dial addresses it does not have and keep the question meanwhile.
            None => RequestError::NotConnected,
            Some(link) if link.questions >= self.config.limits.requests_per_peer_max => RequestError::Busy,
            Some(link) => {
                link.questions = link.questions.saturating_add(1);
                let id = swarm.behaviour_mut().talk.inner.exchange.send_request(&peer, Request::Out(body));
                self.pending.insert(id, Question { peer, answer });
                return;
            }
        };
        // The asker may have given up by now.
        drop(answer.send(Err(refusal)));
    }

    fn on_answer(swarm: &mut Swarm<Behaviour>, answer: Answer) {
        match answer {
            Answer::Reply(channel, body) => {
                // Fails when the asker is gone: there is nobody to tell.
                drop(swarm.behaviour_mut().talk.inner.exchange.send_response(channel, body));
            }
            Answer::Verdict(id, verdict) => {
                let known = swarm.behaviour_mut().talk.inner.gossip.report_message_validation_result(
                    &id.message,
                    &id.source,
                    verdict.into(),
                );
                if !known {
                    tracing::debug!("verdict on a message that is no longer kept");
                }
            }
        }
    }

    fn on_due(&mut self, swarm: &mut Swarm<Behaviour>) {
        let now = Instant::now();
        while let Some(&(at, peer)) = self.timers.first() {
            if at > now {
                return;
            }
            self.timers.pop_first();
            let Some(link) = self.links.get_mut(&peer) else {
                continue;
            };
            link.due = None;
            if link.connections == 0 {
                self.dial(swarm, peer);
            }
        }
    }

    fn dial(&mut self, swarm: &mut Swarm<Behaviour>, peer: PeerId) {
        let addrs = self.shared.book().peers.get(&peer).map(|entry| entry.addrs.clone()).unwrap_or_default();
        if addrs.is_empty() {
            return;
        }
        let options = DialOpts::peer_id(peer)
            // A guest's connection is none, see `on_swarm`.
            .condition(PeerCondition::NotDialing)
            .addresses(addrs)
            // Dialling from the listening port, libp2p's default, helps against NATs; among fixed addresses it only makes a connection dialled
            // again collide with the remains of the last one.
            .allocate_new_port()
            .build();
        if let Err(error) = swarm.dial(options) {
            tracing::debug!(%peer, %error, "not dialled");
            self.retry(peer);
        }
    }

    /// Dials the peer again after a wait that grows with its failures.
    fn retry(&mut self, peer: PeerId) {
        let wait = self.backoff(peer).saturating_add(self.turn(peer));
        if let Some(link) = self.links.get_mut(&peer) {
            link.failures = link.failures.saturating_add(1);
        }
        self.schedule(peer, wait);
    }

    fn schedule(&mut self, peer: PeerId, wait: Duration) {
        let now = Instant::now();
        let at = now.checked_add(wait).unwrap_or(now);
        if let Some(link) = self.links.get_mut(&peer) {
            if let Some(old) = link.due.replace(at) {
                self.timers.remove(&(old, peer));
            }
            self.timers.insert((at, peer));
        }
    }

    fn unschedule(&mut self, peer: PeerId) {
        if let Some(old) = self.links.get_mut(&peer).and_then(|link| link.due.take()) {
            self.timers.remove(&(old, peer));
        }
    }

    /// Exponential in the failures so far, drawn between half and the whole: peers that lost the same node do not all come back at once.
    fn backoff(&mut self, peer: PeerId) -> Duration {
        let limits = &self.config.limits;
        let failures = self.links.get(&peer).map_or(0, |link| link.failures);
        let doubled = 1u32.checked_shl(failures.min(20)).unwrap_or(u32::MAX);
        let whole = limits.backoff_min.saturating_mul(doubled).min(limits.backoff_max);
        self.draws = self.draws.wrapping_add(1);
        // Keyed with system randomness; no secret hangs on it.
        let draw = u32::from(self.random.hash_one((self.draws, peer)).to_le_bytes()[0]);
        let half = whole.checked_div(2).unwrap_or_default();
        let part = half.saturating_mul(draw).checked_div(255).unwrap_or_default();
        half.saturating_add(part)
    }

    /// How much longer we leave the dialling to the peer, see [`SECOND_DIALLER_DELAY`].
    fn turn(&self, peer: PeerId) -> Duration {
        if self.shared.local < peer { Duration::ZERO } else { SECOND_DIALLER_DELAY }
    }

    /// The entry of a connected or known peer.
    fn with_peer(&self, peer: PeerId, change: impl FnOnce(&mut Peer)) {
        if let Some(entry) = self.shared.book().peers.get_mut(&peer) {
            change(entry);
        }
    }
}

async fn sleep_until(due: Option<Instant>) {
    if let Some(at) = due {
        tokio::time::sleep_until(at.into()).await;
    }
}
