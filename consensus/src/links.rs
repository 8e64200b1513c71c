//! Payments between shards (design §6): credits received, staged, and consumed at cuts.
//!
//! A source's credits for us are numbered; its certified header carries {count, sum, chain} of them. Here they are checked
//! against that chain once per header and kept until a cut of ours consumes them; the cut names counts only, and the
//! cursor in the ledger's state makes each number enter a balance exactly once (invariant 6). A silent source delays only
//! its own payments.

use crate::archive;
use crate::effect::{Effect, Event};
use crate::planted::{Bug, planted};
use crate::ports::{Column, Ledger};
use crate::replica::{Cx, Replica};
use smt_types::credit::{Channel, Credit, CreditBundle, MAX_BUNDLE_CREDITS};
use smt_types::header::CertifiedHeader;
use smt_types::message::{Ask, MAX_MESSAGE_BYTES, Message, NodeId};
use smt_types::report::SourceCount;
use smt_types::{Bounded, Canonical, CutValue, Digest, Epoch, ShardAddress};
use std::collections::BTreeMap;

/// Credits of one source that may be staged before they reach the header's count.
const STAGED_MAX: usize = 1 << 20;

/// What is known of one source's outbox for us.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    /// Verified up to here.
    tip: Channel,
    /// The header that shows the tip.
    shown_by: (Epoch, Digest),
    /// Verified and not consumed, by number.
    credits: BTreeMap<u64, Credit>,
    /// Credits beyond the tip that do not reach a header's count yet.
    staged: Option<(Channel, Vec<Credit>)>,
    /// The largest count any certified header has shown.
    promised: u64,
}

/// All inboxes, by source.
#[derive(Debug, Default)]
pub(crate) struct Links {
    inboxes: BTreeMap<ShardAddress, Inbox>,
}

impl Links {
    pub(crate) fn unconsumed(&self) -> impl Iterator<Item = &Credit> + '_ {
        self.inboxes.values().flat_map(|inbox| inbox.credits.values())
    }
}

impl<L: Ledger> Replica<L> {
    /// The newest counts held per source, where they are above the cut's cursors.
    pub(crate) fn source_counts(&self) -> Vec<SourceCount> {
        let newer =
            self.links.inboxes.iter().filter(|(source, inbox)| inbox.tip.count > self.ledger.cursor(**source).count);
        newer
            .map(|(source, inbox)| SourceCount {
                source: *source,
                count: inbox.tip.count,
                epoch: inbox.shown_by.0,
                header: inbox.shown_by.1,
            })
            .collect()
    }

    /// Whether a named count can be consumed by the next cut at all: another shard's, and above the cursor.
    pub(crate) fn is_source(&self, source: &SourceCount) -> bool {
        source.source.level() == self.level()
            && source.source != self.me().shard
            && source.count > self.ledger.cursor(source.source).count
    }

    /// Whether all credits up to a named count are held and verified.
    pub(crate) fn holds_credits(&self, source: &SourceCount) -> bool {
        let cursor = self.ledger.cursor(source.source).count;
        source.count <= cursor
            || self.links.inboxes.get(&source.source).is_some_and(|inbox| inbox.tip.count >= source.count)
    }

    /// The credits a value consumes, per source in number order; `None` if some are not held.
    pub(crate) fn credits_of(&self, value: &CutValue) -> Option<Vec<(ShardAddress, Vec<Credit>)>> {
        let mut all = Vec::new();
        for source in value.consumed.iter() {
            let cursor = self.ledger.cursor(source.source).count;
            if source.count <= cursor {
                continue;
            }
            let inbox = self.links.inboxes.get(&source.source)?;
            let wanted = source.count.saturating_sub(cursor);
            let first = if planted(Bug::CreditTwice) { 0 } else { cursor };
            let held = inbox.credits.range(first..source.count).map(|(_, credit)| *credit);
            let credits: Vec<Credit> = held.take(usize::try_from(wanted).unwrap_or(usize::MAX)).collect();
            if u64::try_from(credits.len()) != Ok(wanted) {
                return None;
            }
            all.push((source.source, credits));
        }
        Some(all)
    }

    /// Drops what a decided cut has consumed.
    pub(crate) fn consume(&mut self, value: &CutValue) {
        for source in value.consumed.iter() {
            if let Some(inbox) = self.links.inboxes.get_mut(&source.source)
                && !planted(Bug::CreditTwice)
            {
                inbox.credits = inbox.credits.split_off(&source.count);
            }
        }
    }

    /// Credits from another shard, under a certified header of it.
    pub(crate) fn on_credits(&mut self, cx: &mut Cx<'_>, from: NodeId, bundle: CreditBundle) {
        let source = bundle.header.header.shard;
        let Some(outbox) = bundle.outbox() else { return };
        let shown_by = (bundle.header.header.epoch, bundle.header.header.digest());
        let cursor = self.ledger.cursor(source);
        let destination = self.me().shard;
        let inbox = self.links.inboxes.entry(source).or_default();
        if inbox.tip.count < cursor.count {
            // A cut has consumed further than this replica had received (it was caught up by a decision).
            inbox.tip = cursor;
            inbox.staged = None;
        }
        inbox.promised = inbox.promised.max(outbox.count);
        let (mut channel, mut staged) = inbox.staged.take().unwrap_or((inbox.tip, Vec::new()));
        if bundle.first > channel.count {
            inbox.staged = (!staged.is_empty()).then_some((channel, staged));
            cx.out(Effect::Send(from, Message::Ask(Ask::Credits { destination, first: channel.count })));
            self.arm_ask(cx);
            return;
        }
        let known = usize::try_from(channel.count.saturating_sub(bundle.first)).unwrap_or(usize::MAX);
        let level = destination.level();
        if !bundle.credits.iter().all(|c| c.payer.shard(level) == source && c.payee.shard(level) == destination) {
            // A source beyond its fault bound: its credits stop here, before any cut of ours could name them.
            return;
        }
        for credit in bundle.credits.iter().skip(known) {
            if channel.count >= outbox.count || staged.len() >= STAGED_MAX {
                break;
            }
            let Some(next) = channel.extend(credit) else { return };
            channel = next;
            staged.push(*credit);
        }
        if channel.count < outbox.count {
            // More of this header's credits are to come; nothing can be said of them before the chain meets.
            if !staged.is_empty() {
                let first = channel.count;
                cx.out(Effect::Send(from, Message::Ask(Ask::Credits { destination, first })));
                inbox.staged = Some((channel, staged));
            }
            self.arm_ask(cx);
            return;
        }
        if channel != outbox {
            // Not what the header commits to. Staged credits may be to blame: start over from the tip.
            self.arm_ask(cx);
            return;
        }
        let first = inbox.tip.count;
        inbox.tip = channel;
        if shown_by.0 >= inbox.shown_by.0 {
            inbox.shown_by = shown_by;
        }
        let tip = (inbox.tip, inbox.shown_by);
        for (number, credit) in (first..).zip(staged) {
            if number >= cursor.count {
                inbox.credits.insert(number, credit);
                cx.write(archive::put(Column::Inbox, archive::shard_number_key(source, number), &credit));
                let event = Event::Incoming { id: credit.payment, payee: credit.payee, amount: credit.amount };
                cx.out(Effect::Event(event));
            }
        }
        cx.write(archive::put(Column::InboxTip, archive::shard_key(source), &tip));
        self.poll_epoch(cx);
    }

    /// A certified header of another shard shows its outbox for us: if credits are missing, the ask timer fetches them.
    pub(crate) fn note_promise(&mut self, cx: &mut Cx<'_>, header: &CertifiedHeader) {
        let here = self.me().shard;
        let Some(change) = header.changes.0.iter().find(|change| change.peer == here) else { return };
        let inbox = self.links.inboxes.entry(header.header.shard).or_default();
        inbox.promised = inbox.promised.max(change.sent.count);
        if inbox.tip.count < inbox.promised {
            self.arm_ask(cx);
        }
    }

    /// Missing credits; true if there are any.
    pub(crate) fn ask_links(&mut self, cx: &mut Cx<'_>) -> bool {
        let mut wanted: BTreeMap<ShardAddress, u64> = BTreeMap::new();
        for (source, inbox) in &self.links.inboxes {
            if inbox.tip.count < inbox.promised {
                wanted.insert(*source, inbox.staged.as_ref().map_or(inbox.tip.count, |(channel, _)| channel.count));
            }
        }
        let named = self
            .epoch
            .decision
            .as_ref()
            .map(|d| &d.value)
            .or_else(|| self.epoch.proposals.get(&self.epoch.view).map(|proposal| &proposal.value));
        for source in named.map(|value| value.consumed.to_vec()).unwrap_or_default() {
            if !self.holds_credits(&source) {
                let tip = self.links.inboxes.get(&source.source).map_or(0, |inbox| inbox.tip.count);
                wanted.entry(source.source).or_insert(tip.max(self.ledger.cursor(source.source).count));
            }
        }
        let destination = self.me().shard;
        let open = !wanted.is_empty();
        for (source, first) in wanted {
            if let Some(peer) = self.next_peer(source) {
                cx.out(Effect::Send(peer, Message::Ask(Ask::Credits { destination, first })));
            }
        }
        open
    }

    /// After a certified header: its new credits go to the replica of the same place in each destination.
    pub(crate) fn push_credits(&mut self, cx: &mut Cx<'_>, header: &CertifiedHeader) {
        for change in header.changes.0.iter() {
            let Some(size) = self.network.committee(change.peer).map(|c| c.size()) else { continue };
            let place = usize::from(self.me().replica.0).checked_rem(size).unwrap_or(0);
            let replica = smt_types::ReplicaIndex(u8::try_from(place).unwrap_or(0));
            let to = NodeId { shard: change.peer, replica };
            let first = self.sent_before(cx, change.peer, header.header.epoch);
            if change.sent.count > first {
                self.send_bundle(cx, to, header.clone(), change.sent, first);
            }
        }
    }

    /// Epoch of our newest certified header that changed our outbox for `peer`.
    pub(crate) fn last_change(&self, cx: &Cx<'_>, peer: ShardAddress) -> Option<Epoch> {
        let stored = cx.reader.get(Column::LastChange, &archive::shard_key(peer))?;
        Epoch::from_bytes(&stored, 8).ok()
    }

    /// Our outbox count for `peer` at the newest header before `epoch` that changed it. A lower answer only repeats
    /// credits, which the receiver skips.
    fn sent_before(&self, cx: &Cx<'_>, peer: ShardAddress, epoch: Epoch) -> u64 {
        let before = self.last_change(cx, peer).filter(|before| *before < epoch);
        let header = before.and_then(|before| archive::header(cx.reader, self.me().shard, before));
        let change = header.and_then(|h| h.changes.0.iter().find(|change| change.peer == peer).copied());
        change.map_or(0, |change| change.sent.count)
    }

    /// Answers a question for our credits from `first` on.
    pub(crate) fn send_credits(&mut self, cx: &mut Cx<'_>, to: NodeId, first: u64) {
        // The newest certified header that changed the outbox for them; remembered per destination.
        let Some(epoch) = self.last_change(cx, to.shard) else { return };
        let Some(header) = archive::header(cx.reader, self.me().shard, epoch) else { return };
        let Some(sent) = header.changes.0.iter().find(|change| change.peer == to.shard).map(|change| change.sent)
        else {
            return;
        };
        if first < sent.count {
            self.send_bundle(cx, to, header, sent, first);
        }
    }

    fn send_bundle(&self, cx: &mut Cx<'_>, to: NodeId, header: CertifiedHeader, sent: Channel, first: u64) {
        let key = archive::shard_number_key(to.shard, first);
        let limit = usize::try_from(sent.count.saturating_sub(first)).unwrap_or(usize::MAX).min(MAX_BUNDLE_CREDITS);
        let rows = cx.reader.range(Column::Outbox, &archive::shard_key(to.shard), &key, limit);
        let credits: Vec<Credit> =
            rows.iter().filter_map(|(_, value)| Credit::from_bytes(value, MAX_MESSAGE_BYTES).ok()).collect();
        let bundle = CreditBundle { header, destination: to.shard, first, credits: Bounded::truncated(credits) };
        cx.out(Effect::Send(to, Message::Credits(Box::new(bundle))));
    }

    pub(crate) fn restore_links(&mut self, cx: &mut Cx<'_>) {
        for shard in ShardAddress::all(self.level()) {
            if shard == self.me().shard {
                continue;
            }
            let Some(bytes) = cx.reader.get(Column::InboxTip, &archive::shard_key(shard)) else { continue };
            let Ok((tip, shown_by)) = <(Channel, (Epoch, Digest))>::from_bytes(&bytes, 1024) else { continue };
            let cursor = self.ledger.cursor(shard).count;
            let mut inbox = Inbox { tip, shown_by, promised: tip.count, ..Inbox::default() };
            let from = archive::shard_number_key(shard, cursor);
            for (key, value) in archive::rows(cx.reader, Column::Inbox, &archive::shard_key(shard), &from) {
                let number = key.last_chunk::<8>().map(|bytes| u64::from_be_bytes(*bytes));
                if let (Some(number), Ok(credit)) = (number, Credit::from_bytes(&value, archive::MAX_CREDIT_BYTES)) {
                    inbox.credits.insert(number, credit);
                }
            }
            if tip.count < cursor {
                inbox.tip = self.ledger.cursor(shard);
            }
            self.links.inboxes.insert(shard, inbox);
        }
    }
}
