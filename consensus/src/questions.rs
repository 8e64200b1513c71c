//! What a replica lacks and whom it asks; what others lack and how it answers.

use crate::archive;
use crate::effect::Effect;
use crate::ports::Ledger;
use crate::replica::{Cx, Replica, Timer};
use smt_types::message::{Ask, Message, NodeId};
use smt_types::{BatchNumber, Bounded, Digest, ReplicaIndex, ShardAddress};

/// Batches asked for in one round because others have applied more of them.
const LACKING_ASKED_MAX: usize = 64;

impl<L: Ledger> Replica<L> {
    /// Asks for batches we lack at the next ask timer.
    pub(crate) fn want_since(&mut self, cx: &mut Cx<'_>) {
        self.since_wanted = true;
        self.arm_ask(cx);
    }

    pub(crate) fn arm_ask(&mut self, cx: &mut Cx<'_>) {
        if !self.asking {
            self.asking = true;
            self.timers.insert((cx.now.saturating_add(self.params.ask_us / 4), Timer::Ask));
        }
    }

    /// Another replica of `shard`, a different one each time; never this one.
    pub(crate) fn next_peer(&mut self, shard: ShardAddress) -> Option<NodeId> {
        let size = u64::try_from(self.network.committee(shard)?.size()).ok()?;
        // A turn per shard: with one for all, questions to several shards in step could always meet the same replica.
        let (own, me) = (shard == self.node.shard, self.node.replica);
        let turn = self.turn.entry(shard).or_insert_with(|| u64::from(me.0));
        *turn = turn.wrapping_add(1);
        let mut replica = ReplicaIndex(u8::try_from(turn.checked_rem(size)?).ok()?);
        if own && replica == me {
            *turn = turn.wrapping_add(1);
            replica = ReplicaIndex(u8::try_from(turn.checked_rem(size)?).ok()?);
        }
        Some(NodeId { shard, replica })
    }

    pub(crate) fn on_ask_timer(&mut self, cx: &mut Cx<'_>) {
        self.asking = false;
        let mut open = self.ask_epoch(cx);
        open |= self.ask_links(cx);
        open |= self.ask_headers(cx);
        // Unanswered ones come up again with the next applied record of those who have them.
        // What has come by itself meanwhile is not asked for.
        let lacking = std::mem::take(&mut self.certify.lacking);
        let lacking: Vec<Digest> = lacking.into_iter().filter(|digest| self.lacks(cx, digest)).collect();
        for digest in lacking.into_iter().take(LACKING_ASKED_MAX) {
            if let Some(peer) = self.next_peer(self.node.shard) {
                cx.out(Effect::Send(peer, Message::Ask(Ask::Batch(digest))));
            }
        }
        if self.since_wanted
            && let Some(peer) = self.next_peer(self.node.shard)
        {
            self.since_wanted = false;
            let have: Vec<BatchNumber> = self.committee.indices().map(|gateway| self.gapless(cx, gateway)).collect();
            cx.out(Effect::Send(peer, Message::Ask(Ask::Since(Bounded::truncated(have)))));
            open = true;
        }
        if open && !self.asking {
            self.asking = true;
            // Catching up goes faster: what a decided cut lacks is all that keeps this replica behind.
            let behind = self.epoch.decision.is_some() || self.epoch.target > self.epoch.decided;
            let wait = if behind { self.params.ask_us / 4 } else { self.params.ask_us };
            self.timers.insert((cx.now.saturating_add(wait), Timer::Ask));
        }
    }

    /// Whether somebody has applied what is neither certified nor applied here.
    fn lacks(&self, cx: &Cx<'_>, digest: &Digest) -> bool {
        match self.certify.batches.get(digest) {
            Some(state) => state.applied.values().any(|record| state.lacks(&record.bits)),
            None => archive::batch(cx.reader, digest).is_none(),
        }
    }

    /// The lowest number of `gateway` whose batch is missing or not fully certified here.
    fn gapless(&self, cx: &Cx<'_>, gateway: ReplicaIndex) -> BatchNumber {
        let live = self.certify.numbers.range((gateway, BatchNumber(0))..=(gateway, BatchNumber(u64::MAX)));
        let mut expected: Option<u64> = None;
        for ((_, number), digest) in live {
            let whole = self.certify.batches.get(digest).is_some_and(|s| s.certified.ones() == u32::from(s.count()));
            if expected.is_some_and(|e| e != number.0) || !whole {
                return BatchNumber(expected.unwrap_or(number.0));
            }
            expected = Some(number.0.saturating_add(1));
        }
        let next = expected.unwrap_or(0);
        if archive::number(cx.reader, gateway, BatchNumber(next)).is_some() {
            BatchNumber(next.saturating_add(1))
        } else {
            BatchNumber(next)
        }
    }

    pub(crate) fn on_ask(&mut self, cx: &mut Cx<'_>, from: NodeId, ask: Ask) {
        let own = from.shard == self.node.shard;
        match ask {
            Ask::Headers(shard, epoch) => {
                for header in archive::headers(cx.reader, shard, epoch, 16) {
                    cx.out(Effect::Send(from, Message::Header(Box::new(header))));
                }
            }
            Ask::Credits { destination, first } => {
                // Our own credits for them, or, within the shard, credits of another source are asked of that source.
                if destination == from.shard && destination != self.node.shard {
                    self.send_credits(cx, from, first);
                }
            }
            _ if !own => {}
            Ask::Batch(digest) => self.send_certificate(cx, from, &digest),
            Ask::Payment(slot, id) => {
                let place = self.certified_place(&slot, &id).map(|(digest, _)| digest);
                let joined = || self.joined(cx.reader, &id).map(|(digest, _, _)| digest);
                if let Some(digest) = place.or_else(joined) {
                    self.send_certificate(cx, from, &digest);
                }
            }
            Ask::Cut(epoch) => {
                if let Some(decision) = archive::decision(cx.reader, epoch) {
                    cx.out(Effect::Send(from, Message::Decision(Box::new(decision))));
                }
                if let Some(header) = archive::header(cx.reader, self.node.shard, epoch) {
                    cx.out(Effect::Send(from, Message::Header(Box::new(header))));
                }
            }
            Ask::Since(have) => {
                let mut left = 16usize;
                for (gateway, number) in self.committee.indices().zip(have.iter()) {
                    let newer: Vec<Digest> = self
                        .certify
                        .numbers
                        .range((gateway, *number)..=(gateway, BatchNumber(u64::MAX)))
                        .filter(|(_, digest)| self.certify.batches.get(digest).is_some_and(|s| !s.certified.is_empty()))
                        .map(|(_, digest)| *digest)
                        .take(left)
                        .collect();
                    left = left.saturating_sub(newer.len());
                    for digest in newer {
                        self.send_certificate(cx, from, &digest);
                    }
                }
            }
            Ask::Records => {
                let records = self.records_of(cx.reader, from.replica);
                cx.out(Effect::Send(from, Message::Records(Box::new(records))));
            }
            Ask::Applied(digest) => {
                for applied in archive::applied(cx.reader, &digest) {
                    cx.out(Effect::Send(from, Message::Applied(Box::new(applied))));
                }
            }
        }
    }
}
