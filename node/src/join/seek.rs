//! Finding the others: asks those who are connected for address records, and has the swarm dial whom they name.
//!
//! Pull only. A node that comes or moves knocks at its bootnodes and at everybody it learns of; whoever it meets asks it for its records in
//! turn. So a record spreads by its owner's own connections, nobody is handed anything that it has not asked for, and a bootnode serves like
//! any other replica.
//!
//! | when | asked |
//! | --- | --- |
//! | somebody is met | that peer |
//! | a partner is missing | somebody, after half a second, then more and more rarely, at most every 15 s |
//! | none is | somebody, every minute |
//!
//! A partner is missing that is neither connected nor has been found in this run: what was kept of an earlier one may be out of date.
//! [`super::turns`] says when, [`super::claims`] where to dial; here is what they are told and what is done about it.

use super::claims::{self, Claim};
use super::record::{RECORD_BYTES_MAX, RecordError};
use super::records::{PAGE_MAX, Records};
use super::turns::Turns;
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
use std::time::{Duration, Instant};
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio::task::JoinSet;
use tracing::{debug, info, warn};

/// Time for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

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
    /// Replicas whose records have come in this run.
    found: BTreeSet<NodeId>,
    refused: BTreeMap<PeerId, Refusal>,
    met: bool,
    random: RandomState,
    draws: u64,
}

impl Seek {
    /// Runs until the swarm ends, or until it is certain that no bootnode is of our network: then it returns why.
    pub async fn run(mut self) -> Option<String> {
        let mut progress = Progress::default();
        let mut turns = Turns::new(Instant::now(), progress.lot());
        let mut pulls: JoinSet<(NodeId, Vec<NodeId>)> = JoinSet::new();
        self.plan(&mut progress);
        loop {
            let now = Instant::now();
            let lot = progress.lot();
            if turns.draw(now, lot, || self.is_settled(&progress))
                && let Some(node) = self.somebody(&mut progress)
            {
                turns.want(node);
            }
            if turns.save(now) {
                self.save().await;
            }
            while let Some(node) = turns.next(now) {
                match self.view.places.peer(node).filter(|peer| self.swarm.connected().contains(peer)) {
                    Some(peer) => drop(pulls.spawn(self.pull(node, peer))),
                    // Gone again.
                    None => turns.done(node),
                }
            }
            tokio::select! {
                contact = self.contacts.recv() => match contact {
                    Ok(Contact::Met(peer)) => self.met(&[peer], &mut turns, &mut progress),
                    Ok(Contact::Refused(peer, refusal)) => {
                        if let Some(why) = self.refused(peer, refusal, &mut progress) {
                            return Some(why);
                        }
                    }
                    // Who was met meanwhile is among those who are connected; who is refused will be again.
                    Err(RecvError::Lagged(_)) => self.met(&self.swarm.connected(), &mut turns, &mut progress),
                    Err(RecvError::Closed) => return None,
                },
                Some(end) = pulls.join_next() => match end {
                    Ok((node, news)) => {
                        turns.done(node);
                        self.learned(news, &mut turns, &mut progress);
                    }
                    // Nobody aborts one: it has panicked.
                    Err(error) => std::panic::resume_unwind(error.into_panic()),
                },
                () = tokio::time::sleep_until(turns.wake().into()) => {}
            }
        }
    }

    /// Who is no replica is not asked: it would not answer.
    fn met(&self, peers: &[PeerId], turns: &mut Turns, progress: &mut Progress) {
        for node in peers.iter().filter_map(|peer| self.view.places.node(peer)) {
            progress.met = true;
            turns.met(node, Instant::now(), progress.lot());
        }
    }

    fn is_settled(&self, progress: &Progress) -> bool {
        let connected = self.swarm.connected();
        self.partners.iter().all(|node| {
            progress.found.contains(node) || self.view.places.peer(*node).is_some_and(|peer| connected.contains(&peer))
        })
    }

    /// A connected replica, drawn by lot.
    fn somebody(&self, progress: &mut Progress) -> Option<NodeId> {
        let connected = self.swarm.connected();
        let replicas: Vec<NodeId> = connected.iter().filter_map(|peer| self.view.places.node(peer)).collect();
        let draw = usize::try_from(progress.draw() >> 32).unwrap_or_default();
        replicas.get(draw.checked_rem(replicas.len())?).copied()
    }

    /// Asks one replica for all it knows; whose records were news.
    fn pull(&self, node: NodeId, peer: PeerId) -> impl Future<Output = (NodeId, Vec<NodeId>)> + Send + use<> {
        // As many pages as there can be replicas.
        let pages = self.partners.len().checked_div(PAGE_MAX).unwrap_or_default().saturating_add(2);
        let (swarm, records) = (self.swarm.clone(), self.view.records.clone());
        async move {
            let (mut after, mut news) = (None, Vec::new());
            for _ in 0..pages {
                let page = match ask(&swarm, peer, after).await {
                    Ok(page) => page,
                    Err(why) => {
                        debug!(%peer, why, "no address records");
                        break;
                    }
                };
                let last = take(&records, peer, &page, &mut news);
                if page.len() < PAGE_MAX || last <= after {
                    break;
                }
                after = last;
            }
            (node, news)
        }
    }

    /// A question is over. Without news, too, it is looked whom to dial: a record may have come in a question that is still under way,
    /// to one that lets us wait for its next page.
    fn learned(&self, news: Vec<NodeId>, turns: &mut Turns, progress: &mut Progress) {
        self.plan(progress);
        if news.is_empty() {
            return;
        }
        if news.contains(&self.node) {
            // Of an earlier time, with a clock that was ahead: what we say now has to count.
            (self.announce)();
        }
        progress.found.extend(news);
        turns.news(Instant::now());
    }

    async fn save(&self) {
        let (records, dir) = (self.view.records.clone(), self.dir.clone());
        if let Ok(Err(error)) = tokio::task::spawn_blocking(move || records.save(&dir)).await {
            warn!(%error, "address records not kept");
        }
    }

    /// Tells the swarm whom to dial and where.
    fn plan(&self, progress: &mut Progress) {
        let places = &self.view.places;
        let claim = |node: &NodeId| {
            let record = self.view.records.of(*node)?;
            let peer = record.peer()?;
            Some(Claim { is_proven: places.node(&peer) == Some(*node), peer, addrs: record.multiaddrs() })
        };
        let claims: Vec<Claim> = self.partners.iter().filter_map(claim).collect();
        let mut wanted = claims::addresses(&self.fixed, &claims);
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

    fn lot(&mut self) -> u8 {
        u8::try_from(self.draw() & 0xff).unwrap_or_default()
    }
}

async fn ask(swarm: &SwarmHandle, peer: PeerId, after: Option<NodeId>) -> Result<Vec<String>, String> {
    let body = forward::encode(ADDRESSES, &Ask::after(after)).map_err(|error| error.to_string())?;
    let answer = swarm.request(peer, body, PATIENCE).await.map_err(|error| error.to_string())?;
    let records: Vec<String> = forward::decode(&answer).map_err(|error| error.to_string())?;
    if records.len() > PAGE_MAX { Err(format!("a page of {} records", records.len())) } else { Ok(records) }
}

/// Learns a page; returns its last replica. A record that is false whoever looks at it ends the page: who passes such on has not checked
/// it. One whose addresses are of no use *here* may be good there, so it is only left out: else one replica's record hid all after it.
fn take(records: &Records, peer: PeerId, page: &[String], news: &mut Vec<NodeId>) -> Option<NodeId> {
    let mut last = None;
    for text in page {
        let Ok(bytes) = hex::decode(text) else { return None };
        match records.learn(&bytes) {
            Ok(Some(record)) => {
                info!(replica = %record.node, sequence = record.sequence, "found by an address record");
                news.push(record.node);
            }
            Ok(None) => {}
            Err(error @ RecordError::Address(_)) => debug!(%peer, %error, "an address record is left out"),
            Err(error) => {
                warn!(%peer, %error, "an address record is refused");
                return None;
            }
        }
        let signed = SignedRecord::from_bytes(&bytes, RECORD_BYTES_MAX).ok()?;
        last = last.max(Some(signed.record.node));
    }
    last
}

#[cfg(test)]
#[path = "seek_tests.rs"]
mod tests;
