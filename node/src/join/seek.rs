//! Finding the others: asks those who are connected for address records, and has the swarm dial whom they name.
//!
//! Pull only. A node that comes or moves knocks at its bootnodes and at everybody it learns of; whoever it meets asks it for its records in
//! turn. So a record spreads by its owner's own connections, nobody is handed anything that it has not asked for, and a bootnode serves like
//! any other replica.
//!
//! | when | asked |
//! | --- | --- |
//! | somebody is met | that peer |
//! | no record of a partner is known | somebody, after half a second, then more and more rarely, at most every 15 s |
//! | all are known | somebody, every minute |

use super::records::{PAGE_MAX, Records};
use super::{Contact, SignedRecord};
use crate::serve::NetworkView;
use crate::serve::forward::{self, ADDRESSES};
use serde::{Deserialize, Serialize};
use smt_gossip::swarm::{Multiaddr, PeerAddr, PeerId, Refusal, SwarmHandle};
use smt_types::Canonical as _;
use smt_types::message::NodeId;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher as _, RandomState};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tracing::{debug, info, warn};

/// First wait before somebody is asked while partners are missing; doubles up to [`MISSING_MAX`].
const MISSING_MIN: Duration = Duration::from_millis(500);
/// Longest such wait.
const MISSING_MAX: Duration = Duration::from_secs(15);
/// Wait between two questions when no partner is missing.
const SETTLED: Duration = Duration::from_secs(60);
/// Time for an answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Addresses at which a peer is dialled.
const ADDRESSES_MAX: usize = 16;

/// A question for records.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ask {
    /// Canonical bytes of the last replica of the page before, in hex.
    pub(crate) after: Option<String>,
}

impl Ask {
    fn after(node: Option<NodeId>) -> Ask {
        Ask { after: node.map(|node| hex::encode(node.to_bytes())) }
    }

    /// The answer: records in hex.
    pub(crate) fn answer(&self, records: &Records) -> Result<Vec<String>, String> {
        let after = match &self.after {
            Some(text) => {
                let bytes = hex::decode(text).map_err(|error| error.to_string())?;
                Some(NodeId::from_bytes(&bytes, 64).map_err(|error| error.to_string())?)
            }
            None => None,
        };
        Ok(records.page(after).iter().map(hex::encode).collect())
    }
}

/// What the search starts from.
pub struct Seek {
    /// The replica that looks for others.
    pub node: NodeId,
    /// Its swarm.
    pub swarm: SwarmHandle,
    /// Its network, places and records.
    pub view: Arc<NetworkView>,
    /// Where records are kept.
    pub dir: PathBuf,
    /// Whom to keep a connection to.
    pub partners: BTreeSet<NodeId>,
    /// Peers to be dialled whatever records say: of an address book, and bootnodes.
    pub fixed: Vec<PeerAddr>,
    /// Those of them whose word decides whether this is our network.
    pub bootnodes: BTreeSet<PeerId>,
    /// Signs anew where this replica is found.
    pub announce: Box<dyn Fn() + Send + Sync>,
    /// Who is met and who is refused.
    pub contacts: Receiver<Contact>,
}

/// What is known while it runs.
#[derive(Default)]
struct Progress {
    /// Peers given to the swarm, and where.
    dialled: BTreeMap<PeerId, Vec<Multiaddr>>,
    refused: BTreeMap<PeerId, Refusal>,
    met: bool,
    random: RandomState,
    draws: u64,
}

impl Seek {
    /// Runs until the swarm ends, or until it is certain that no bootnode is of our network: then it returns why.
    pub async fn run(mut self) -> Option<String> {
        let mut progress = Progress::default();
        self.plan(&mut progress);
        let mut wait = MISSING_MIN;
        loop {
            let pause = progress.jitter(wait);
            tokio::select! {
                contact = self.contacts.recv() => match contact {
                    Ok(Contact::Met(peer)) => {
                        progress.met |= self.view.places.node(&peer).is_some();
                        self.pull(peer, &mut progress).await;
                        wait = MISSING_MIN;
                    }
                    Ok(Contact::Refused(peer, refusal)) => {
                        if let Some(why) = self.refused(peer, refusal, &mut progress) {
                            return Some(why);
                        }
                    }
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return None,
                },
                () = tokio::time::sleep(pause) => {
                    if let Some(peer) = self.somebody(&mut progress) {
                        self.pull(peer, &mut progress).await;
                    }
                    wait = if self.is_settled() { SETTLED } else { wait.saturating_mul(2).min(MISSING_MAX) };
                }
            }
        }
    }

    fn is_settled(&self) -> bool {
        self.partners.iter().all(|node| self.view.records.of(*node).is_some())
    }

    /// A connected replica, drawn by lot.
    fn somebody(&self, progress: &mut Progress) -> Option<PeerId> {
        let mut replicas = self.swarm.connected();
        replicas.retain(|peer| self.view.places.node(peer).is_some());
        let draw = usize::try_from(progress.draw() >> 32).unwrap_or_default();
        replicas.get(draw.checked_rem(replicas.len())?).copied()
    }

    /// Asks one peer for all it knows.
    async fn pull(&self, peer: PeerId, progress: &mut Progress) {
        let (mut after, mut news) = (None, 0usize);
        // As many pages as there can be replicas.
        let pages = self.partners.len().checked_div(PAGE_MAX).unwrap_or_default().saturating_add(2);
        for _ in 0..pages {
            let records = match self.ask(peer, after).await {
                Ok(records) => records,
                Err(why) => {
                    debug!(%peer, why, "no address records");
                    break;
                }
            };
            let last = self.take(peer, &records, &mut news);
            if records.len() < PAGE_MAX || last <= after {
                break;
            }
            after = last;
        }
        if news > 0 {
            debug!(%peer, news, "address records");
            self.plan(progress);
            let (records, dir) = (self.view.records.clone(), self.dir.clone());
            if let Ok(Err(error)) = tokio::task::spawn_blocking(move || records.save(&dir)).await {
                warn!(%error, "address records not kept");
            }
        }
    }

    async fn ask(&self, peer: PeerId, after: Option<NodeId>) -> Result<Vec<String>, String> {
        let body = forward::encode(ADDRESSES, &Ask::after(after)).map_err(|error| error.to_string())?;
        let answer = self.swarm.request(peer, body, PATIENCE).await.map_err(|error| error.to_string())?;
        let records: Vec<String> = forward::decode(&answer).map_err(|error| error.to_string())?;
        if records.len() > PAGE_MAX { Err(format!("a page of {} records", records.len())) } else { Ok(records) }
    }

    /// Learns a page; returns its last replica. The first record that does not check ends the page: who passes such on has not checked it.
    fn take(&self, peer: PeerId, records: &[String], news: &mut usize) -> Option<NodeId> {
        let mut last = None;
        for text in records {
            let Ok(bytes) = hex::decode(text) else { return None };
            match self.view.records.learn(&bytes) {
                Ok(Some(record)) => {
                    info!(replica = %record.node, sequence = record.sequence, "found by an address record");
                    *news = news.saturating_add(1);
                    if record.node == self.node {
                        // Of an earlier time, with a clock that was ahead: what we say now has to count.
                        (self.announce)();
                    }
                }
                Ok(None) => {}
                Err(error) => {
                    warn!(%peer, %error, "an address record is refused");
                    return None;
                }
            }
            let signed = SignedRecord::from_bytes(&bytes, super::record::RECORD_BYTES_MAX).ok()?;
            last = last.max(Some(signed.record.node));
        }
        last
    }

    /// Tells the swarm whom to dial and where: what is fixed, and what the partners' records say. Anybody can *claim* a peer id in a record, so
    /// a claim adds addresses and never takes any away, and the claim of who has proven to be that peer comes first.
    fn plan(&self, progress: &mut Progress) {
        let places = &self.view.places;
        let mut claims: Vec<(bool, PeerId, Vec<Multiaddr>)> = Vec::new();
        for node in &self.partners {
            let Some(record) = self.view.records.of(*node) else { continue };
            let Some(peer) = record.peer() else { continue };
            claims.push((places.node(&peer) != Some(*node), peer, record.multiaddrs()));
        }
        claims.sort_by_key(|(unproven, ..)| *unproven);
        let mut wanted: BTreeMap<PeerId, Vec<Multiaddr>> = BTreeMap::new();
        let fixed = self.fixed.iter().map(|entry| (entry.peer, vec![entry.addr.clone()]));
        for (peer, addrs) in fixed.chain(claims.into_iter().map(|(_, peer, addrs)| (peer, addrs))) {
            let known = wanted.entry(peer).or_default();
            for addr in addrs {
                if !known.contains(&addr) && known.len() < ADDRESSES_MAX {
                    known.push(addr);
                }
            }
        }
        wanted.remove(&self.swarm.local_peer());
        for (peer, addrs) in &wanted {
            if progress.dialled.get(peer) != Some(addrs) {
                self.swarm.set_peer(*peer, addrs.clone());
            }
        }
        // Somebody's former identity. Who has proven to be a replica keeps its connection whatever records say.
        for peer in progress.dialled.keys().filter(|peer| !wanted.contains_key(peer) && places.node(peer).is_none()) {
            self.swarm.remove_peer(*peer);
        }
        progress.dialled = wanted;
    }

    /// A peer was hung up on. When every bootnode is of another network and nobody else is known, waiting is of no use.
    fn refused(&self, peer: PeerId, refusal: Refusal, progress: &mut Progress) -> Option<String> {
        let foreign = matches!(refusal, Refusal::OtherNetwork { .. } | Refusal::OtherVersion { .. });
        if !foreign || !self.bootnodes.contains(&peer) {
            return None;
        }
        progress.refused.insert(peer, refusal.clone());
        let others = self.fixed.iter().any(|entry| !self.bootnodes.contains(&entry.peer))
            || self.partners.iter().any(|node| self.view.records.of(*node).is_some());
        let all = progress.refused.len() >= self.bootnodes.len();
        (all && !others && !progress.met).then(|| format!("no bootnode is of this network: {peer}: {refusal}"))
    }
}

impl Progress {
    /// Keyed with system randomness; no secret hangs on it.
    fn draw(&mut self) -> u64 {
        self.draws = self.draws.wrapping_add(1);
        self.random.hash_one(self.draws)
    }

    /// Between half and the whole of it: nodes that start together do not ask together.
    fn jitter(&mut self, whole: Duration) -> Duration {
        let draw = u32::try_from(self.draw() & 0xff).unwrap_or_default();
        let half = whole.checked_div(2).unwrap_or_default();
        half.saturating_add(half.saturating_mul(draw).checked_div(255).unwrap_or_default())
    }
}

#[cfg(test)]
#[path = "seek_tests.rs"]
mod tests;
