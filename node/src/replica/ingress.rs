//! From swarm events to verified inputs. Signatures are checked here, off the core's thread.

use super::handle::{Job, ReplicaHandle};
use crate::join::{Contact, Places};
use crate::serve::forward::Forwarded;
use smt_consensus::verify::Refused;
use smt_gossip::swarm::{EventReceiver, SwarmEvent, Verdict};
use smt_types::message::{MAX_MESSAGE_BYTES, Message, NodeId};
use smt_types::{Canonical, Digest, Epoch, ShardAddress};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tracing::{debug, warn};

/// Headers remembered as seen, so that the same one is not checked twice.
const SEEN_MAX: usize = 4096;

/// Payments from which a batch's check keeps a worker of the runtime so long that its other tasks move elsewhere.
const MANY: usize = 64;

/// Who answers forwarded requests of clients.
pub(crate) type Answerer = Arc<dyn Fn(Forwarded) + Send + Sync>;

/// Reads the swarm's events until it ends.
pub(crate) async fn run(handle: Arc<ReplicaHandle>, mut events: EventReceiver, places: Arc<Places>, answer: Answerer) {
    let mut seen: BTreeSet<(Epoch, ShardAddress, Digest)> = BTreeSet::new();
    while let Some(event) = events.recv().await {
        match event {
            SwarmEvent::Message { from, body } => {
                let Some(place) = places.node(&from) else {
                    debug!(%from, "message from a stranger dropped");
                    continue;
                };
                if let Some(message) = decode(place, &body)
                    && !take(&handle, place, message).await
                {
                    return;
                }
            }
            SwarmEvent::Gossip { from, id, body, .. } => {
                let verdict = gossip(&handle, places.node(&from), &body, &mut seen).await;
                handle.swarm.report(id, verdict);
            }
            // Only replicas of the network may have requests answered on their behalf.
            SwarmEvent::Request { from, body, reply } if places.node(&from).is_some() => {
                answer(Forwarded { body, reply })
            }
            SwarmEvent::Refused { peer, refusal } => {
                warn!(%peer, %refusal, "hung up on a peer");
                // Nobody need be listening.
                drop(handle.contacts.send(Contact::Refused(peer, refusal)));
            }
            SwarmEvent::Connected(peer) => drop(handle.contacts.send(Contact::Met(peer))),
            // Connections come and go by themselves; who is connected is asked of the swarm when it matters.
            _ => {}
        }
    }
}

fn decode(from: NodeId, body: &[u8]) -> Option<Message> {
    match Message::from_bytes(body, MAX_MESSAGE_BYTES) {
        Ok(message) => Some(message),
        Err(error) => {
            debug!(%from, %error, "message does not decode");
            None
        }
    }
}

/// Checks a message and hands it to the core; false if the core has ended.
async fn take(handle: &ReplicaHandle, from: NodeId, message: Message) -> bool {
    let kind = message.kind();
    // Handing this worker's other tasks to another thread costs more than the few signatures of most messages.
    let checked = match &message {
        Message::Batch(batch) if batch.payments.len() >= MANY => {
            tokio::task::block_in_place(|| handle.gate.message(from, message))
        }
        _ => handle.gate.message(from, message),
    };
    let job = match checked {
        Ok(message) => Job::Message(from, Box::new(message)),
        Err(Refused::Convicts(evidence)) => {
            warn!(%from, kind, "a gateway signed an invalid payment");
            let smt_types::evidence::Evidence::BadPayment(bad) = evidence.as_ref() else { return true };
            let gateway = bad.batch.header.gateway;
            Job::Evidence(evidence, gateway)
        }
        Err(refused) => {
            debug!(%from, kind, %refused, "message refused");
            return true;
        }
    };
    // Waiting here stops the reading of the swarm, which stops the sender: the queue never grows.
    let mut job = Some(job);
    while let Some(next) = job.take() {
        match handle.jobs.try_send(next) {
            Ok(()) => {}
            Err(std::sync::mpsc::TrySendError::Full(back)) => {
                job = Some(back);
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            Err(std::sync::mpsc::TrySendError::Disconnected(_)) => return false,
        }
    }
    true
}

async fn gossip(
    handle: &ReplicaHandle,
    from: Option<NodeId>,
    body: &[u8],
    seen: &mut BTreeSet<(Epoch, ShardAddress, Digest)>,
) -> Verdict {
    let Ok(Message::Header(certified)) = Message::from_bytes(body, MAX_MESSAGE_BYTES) else { return Verdict::Reject };
    let header = &certified.header;
    let key = (header.epoch, header.shard, header.digest());
    if seen.contains(&key) {
        // The same header with other signers: known already, and not worth passing on.
        return Verdict::Ignore;
    }
    let place = from.unwrap_or(NodeId { shard: header.shard, replica: smt_types::ReplicaIndex(0) });
    let copy = certified.clone();
    let checked = tokio::task::block_in_place(|| handle.gate.message(place, Message::Header(certified)));
    match checked {
        Ok(message) => {
            seen.insert(key);
            while seen.len() > SEEN_MAX {
                seen.pop_first();
            }
            if copy.header.shard != handle.node.shard {
                handle.hub.tell_header(&copy);
            }
            if handle.push(Job::Message(place, Box::new(message))).await.is_err() {
                return Verdict::Ignore;
            }
            Verdict::Accept
        }
        Err(refused) => {
            debug!(%refused, "gossiped header refused");
            Verdict::Reject
        }
    }
}
