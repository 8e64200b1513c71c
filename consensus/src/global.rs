//! The global cut (design §7): one certified header per shard, consistent, newest.
//!
//! A cut is valid iff for every ordered pair cursor(i ← j) ≤ outbox(j → i): nothing has been received that was not sent.
//! Valid cuts are closed under component-wise maximum, so the newest one exists and is unique: it is the fix-point of
//! lowering *receivers*, never below the previous cut. Nobody signs a cut; it is a function of its headers and is named by
//! its root. On every cut Σ supply + in flight must be the genesis supply (invariant 3).

use crate::archive;
use crate::config::Network;
use crate::effect::{Effect, Event};
use crate::ports::{Column, Ledger};
use crate::replica::{Cx, Replica};
use smt_types::header::CertifiedHeader;
use smt_types::hierarchy::global_root;
use smt_types::message::{Ask, Message, NodeId};
use smt_types::{Amount, Digest, Epoch, Header, ShardAddress};
use std::collections::BTreeMap;

/// Headers of one shard kept above the cut; a shard further ahead of the others than that waits.
const CHAIN_MAX: usize = 4096;

/// A cut: one header per shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GlobalCut {
    /// Root of the ternary tree of header digests (Poseidon).
    pub root: Digest,
    /// The smallest shard epoch in it.
    pub epoch: Epoch,
    /// Sum of the shards' supplies.
    pub supply: u128,
    /// Sent and not received yet.
    pub in_flight: u128,
    /// The headers, in shard order.
    pub headers: Vec<Header>,
}

/// (count, sum) of a shard's links at one of its headers, by peer: sent and received.
#[derive(Clone, Debug, Default)]
struct Totals {
    sent: BTreeMap<ShardAddress, (u64, u128)>,
    received: BTreeMap<ShardAddress, (u64, u128)>,
}

/// One shard's headers from the cut on, consecutive.
#[derive(Debug)]
struct Chain {
    /// The header in the cut, and its totals.
    base: (Header, Totals),
    /// Newer ones, with their totals.
    newer: BTreeMap<Epoch, (Header, Totals)>,
    /// Headers that came before their predecessors.
    waiting: BTreeMap<Epoch, CertifiedHeader>,
}

impl Chain {
    fn tip(&self) -> &(Header, Totals) {
        self.newer.values().next_back().unwrap_or(&self.base)
    }

    fn at(&self, epoch: Epoch) -> &(Header, Totals) {
        self.newer.get(&epoch).unwrap_or(&self.base)
    }

    /// Adds whatever of `waiting` follows the tip.
    fn advance(&mut self) {
        loop {
            let next = Epoch(self.tip().0.epoch.0.saturating_add(1));
            if self.newer.len() >= CHAIN_MAX {
                return;
            }
            let Some(certified) = self.waiting.remove(&next) else { return };
            let (tip, totals) = self.tip();
            if certified.header.predecessor != tip.digest() {
                return;
            }
            let mut totals = totals.clone();
            for change in certified.changes.0.iter() {
                totals.sent.insert(change.peer, (change.sent.count, change.sent.sum));
                totals.received.insert(change.peer, (change.received.count, change.received.sum));
            }
            self.newer.insert(next, (certified.header, totals));
        }
    }
}

/// Headers of all shards and the newest consistent cut of them.
#[derive(Debug)]
pub(crate) struct Global {
    chains: BTreeMap<ShardAddress, Chain>,
    cut: GlobalCut,
}

impl Global {
    pub(crate) fn new(network: &Network) -> Global {
        let chains = network
            .genesis_headers
            .iter()
            .map(|header| {
                let chain = Chain {
                    base: (header.clone(), Totals::default()),
                    newer: BTreeMap::new(),
                    waiting: BTreeMap::new(),
                };
                (header.shard, chain)
            })
            .collect();
        let mut global = Global {
            chains,
            cut: GlobalCut { root: Digest::ZERO, epoch: Epoch(0), supply: 0, in_flight: 0, headers: Vec::new() },
        };
        global.cut = global.describe(network.level);
        global
    }

    pub(crate) fn cut(&self) -> &GlobalCut {
        &self.cut
    }

    fn describe(&self, level: u8) -> GlobalCut {
        let headers: Vec<Header> = self.chains.values().map(|chain| chain.base.0.clone()).collect();
        let leaves: Vec<_> = headers.iter().map(Header::poseidon).collect();
        let (mut sent, mut received) = (0u128, 0u128);
        for chain in self.chains.values() {
            let totals = &chain.base.1;
            sent = totals.sent.values().fold(sent, |sum, (_, s)| sum.saturating_add(*s));
            received = totals.received.values().fold(received, |sum, (_, s)| sum.saturating_add(*s));
        }
        GlobalCut {
            // One leaf per shard, by construction.
            root: global_root(level, &leaves).map_or(Digest::ZERO, |root| Digest(*root.as_bytes())),
            epoch: headers.iter().map(|header| header.epoch).min().unwrap_or_default(),
            supply: headers.iter().fold(0u128, |sum, header| sum.saturating_add(u128::from(header.supply.0))),
            in_flight: sent.saturating_sub(received),
            headers,
        }
    }

    /// The newest valid cut at or above the present one: epochs per shard.
    fn fix_point(&self) -> BTreeMap<ShardAddress, Epoch> {
        let mut chosen: BTreeMap<ShardAddress, Epoch> =
            self.chains.iter().map(|(shard, chain)| (*shard, chain.tip().0.epoch)).collect();
        // Every pass lowers at least one receiver by one epoch or ends; all are bounded below by the present cut.
        loop {
            let mut lowered = Vec::new();
            for (shard, chain) in &self.chains {
                let Some(epoch) = chosen.get(shard) else { continue };
                let (_, totals) = chain.at(*epoch);
                let ahead = totals.received.iter().any(|(source, (count, _))| {
                    let sent = self
                        .chains
                        .get(source)
                        .zip(chosen.get(source))
                        .and_then(|(other, at)| other.at(*at).1.sent.get(shard).map(|(sent, _)| *sent));
                    *count > sent.unwrap_or(0)
                });
                if ahead && *epoch > chain.base.0.epoch {
                    lowered.push((*shard, Epoch(epoch.0.saturating_sub(1))));
                }
            }
            if lowered.is_empty() {
                return chosen;
            }
            chosen.extend(lowered);
        }
    }

    /// Moves to the newest valid cut; true if it moved.
    fn advance(&mut self, level: u8) -> bool {
        let chosen = self.fix_point();
        let mut moved = false;
        for (shard, epoch) in chosen {
            let Some(chain) = self.chains.get_mut(&shard) else { continue };
            if epoch > chain.base.0.epoch {
                let above = chain.newer.split_off(&Epoch(epoch.0.saturating_add(1)));
                if let Some((_, base)) = std::mem::replace(&mut chain.newer, above).pop_last() {
                    chain.base = base;
                    moved = true;
                }
            }
        }
        if moved {
            self.cut = self.describe(level);
        }
        moved
    }
}

impl<L: Ledger> Replica<L> {
    /// A certified header of any shard, by gossip or on request.
    pub(crate) fn on_header(&mut self, cx: &mut Cx<'_>, from: NodeId, certified: CertifiedHeader) {
        let header = &certified.header;
        if header.shard == self.me().shard {
            self.epoch.unpublished.remove(&header.epoch);
            if header.epoch > self.epoch.decided {
                let epoch = header.epoch;
                self.fell_behind(cx, from, epoch);
                return;
            }
            self.header_is_certified(cx, certified);
            return;
        }
        self.note_promise(cx, &certified);
        self.take_header(cx, certified);
    }

    /// Stores a certified header and sees whether the global cut moves.
    pub(crate) fn take_header(&mut self, cx: &mut Cx<'_>, certified: CertifiedHeader) {
        let (shard, epoch) = (certified.header.shard, certified.header.epoch);
        let here = self.me().shard;
        let Some(chain) = self.global.chains.get_mut(&shard) else { return };
        let tip = chain.tip().0.epoch;
        let next = epoch.0 == tip.0.saturating_add(1);
        if epoch <= tip || chain.waiting.contains_key(&epoch) || (!next && chain.waiting.len() >= CHAIN_MAX) {
            return;
        }
        if shard != here {
            cx.write(archive::put(Column::Header, archive::shard_number_key(shard, epoch.0), &certified));
        }
        chain.waiting.insert(epoch, certified);
        chain.advance();
        if !chain.waiting.is_empty() {
            self.arm_ask(cx);
        }
        self.advance_global(cx);
    }

    fn advance_global(&mut self, cx: &mut Cx<'_>) {
        if !self.global.advance(self.network.level) {
            return;
        }
        let cut = self.global.cut().clone();
        let (got, want) = (cut.supply.saturating_add(cut.in_flight), u128::from(self.network.supply.0));
        if got != want {
            cx.out(Effect::Event(Event::SupplyMismatch { root: cut.root, got, want }));
        }
        let epochs: Vec<(ShardAddress, Epoch)> = cut.headers.iter().map(|h| (h.shard, h.epoch)).collect();
        cx.write(archive::put(Column::GlobalCut, Vec::new(), &epochs));
        cx.out(Effect::Event(Event::GlobalCut(Box::new(cut))));
    }

    /// Headers missing between the tips and what waits; true if there are any.
    pub(crate) fn ask_headers(&mut self, cx: &mut Cx<'_>) -> bool {
        let mut missing: Vec<(ShardAddress, Epoch)> = Vec::new();
        for (shard, chain) in &mut self.global.chains {
            chain.advance();
            if !chain.waiting.is_empty() {
                missing.push((*shard, Epoch(chain.tip().0.epoch.0.saturating_add(1))));
            }
        }
        let open = !missing.is_empty();
        for (shard, epoch) in missing {
            if let Some(peer) = self.next_peer(shard) {
                cx.out(Effect::Send(peer, Message::Ask(Ask::Headers(shard, epoch))));
            }
        }
        open
    }

    /// Reads the chains back: from genesis, since totals are cumulative over all changes.
    pub(crate) fn restore_global(&mut self, cx: &mut Cx<'_>) {
        let shards: Vec<ShardAddress> = self.global.chains.keys().copied().collect();
        for shard in shards {
            let mut from = Epoch(1);
            loop {
                let headers = archive::headers(cx.reader, shard, from, 256);
                let Some(last) = headers.last().map(|header| header.header.epoch) else { break };
                from = Epoch(last.0.saturating_add(1));
                if let Some(chain) = self.global.chains.get_mut(&shard) {
                    for header in headers {
                        chain.waiting.insert(header.header.epoch, header);
                    }
                    chain.advance();
                    // Long histories must not be cut off by the bound on what waits for other shards.
                    if chain.newer.len() >= CHAIN_MAX / 2 {
                        self.global.advance(self.network.level);
                    }
                }
            }
        }
        self.global.advance(self.network.level);
        self.arm_ask(cx);
    }
}

/// Supply plus money in flight of a cut.
#[must_use]
pub fn total(cut: &GlobalCut) -> Option<Amount> {
    cut.supply.checked_add(cut.in_flight).and_then(|sum| u64::try_from(sum).ok()).map(Amount)
}
