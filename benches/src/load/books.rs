//! The books of a run: every payment that was due, where it stands, and what became of it. No sockets, no clock: times are passed in.
//!
//! An *arrival* is a payment that was due. It waits in its lane (shard and gateway) until an account of that lane is free, takes that
//! account's next payment, and becomes a *flight*. An account has one payment in flight, so a payer's order never depends on the network.
//! A flight ends in one of four ways: final, rejected, expired (every gateway that answered refused it for now, until we gave up) or timed
//! out (taken, or never answered, and not final in time). The account of an expired flight is free again, *with the same payment*; that of
//! a timed-out one is so once the payment turns out to be final; that of a rejected one is not used again.
//!
//! Invariant, checked at every end: offered = final + rejected + expired + timed out + still open.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};

use super::accounts::Accounts;
use super::figures::Figures;
use super::flight::{
    CROSS, ENDED, Flight, Key, Lane, Outgoing, QUEUED, RECEIVED, Rules, Sample, TIMED_OUT, UNANSWERED,
};
use super::ids::{IdTable, Prefix};
use super::wire::{CALL_MAX, Refused, Stage};
use crate::result::Counts;

/// First wait before a refused payment is sent again; doubles.
const BACKOFF: u64 = 100_000_000;
/// Longest such wait.
const BACKOFF_MAX: u64 = 1_000_000_000;
/// Most payments kept for the check of receipts.
const SAMPLES_MAX: usize = 2_000;

/// The books.
#[derive(Debug)]
pub struct Books {
    rules: Rules,
    accounts: Accounts,
    lanes: Vec<Lane>,
    flights: Vec<Flight>,
    vacant: Vec<u32>,
    ids: IdTable,
    retries: BinaryHeap<Reverse<(u64, Key)>>,
    deadlines: VecDeque<(u64, Key)>,
    rechecks: VecDeque<(u64, Key)>,
    counts: Counts,
    /// Arrivals waiting for an account and flights not ended.
    open: u64,
    /// Ended flights that wait for later stages.
    tails: u64,
    awaited: u8,
    step: u32,
    samples: Vec<Sample>,
    finals_since_sample: u64,
}

impl Books {
    /// Empty books over `accounts`, which are dealt to the lanes in turn.
    pub fn new(accounts: Accounts, shards: u32, rules: Rules) -> Books {
        let mut lanes: Vec<Lane> = (0..shards)
            .flat_map(|shard| rules.gateways.iter().map(move |gateway| (shard, *gateway)))
            .map(|(shard, gateway)| Lane { shard, gateway, ..Lane::default() })
            .collect();
        let width = rules.gateways.len().max(1);
        for account in 0..accounts.len() {
            let shard = usize::try_from(accounts.shard_of(account)).unwrap_or(0);
            let turn = usize::try_from(account).unwrap_or(0).checked_rem(width).unwrap_or(0);
            if let Some(lane) = lanes.get_mut(shard.saturating_mul(width).saturating_add(turn)) {
                lane.free.push_back(account);
            }
        }
        Books {
            rules,
            accounts,
            lanes,
            flights: Vec::new(),
            vacant: Vec::new(),
            ids: IdTable::default(),
            retries: BinaryHeap::new(),
            deadlines: VecDeque::new(),
            rechecks: VecDeque::new(),
            counts: Counts::default(),
            open: 0,
            tails: 0,
            awaited: Stage::ALL.iter().fold(0, |bits, stage| bits | stage.bit()),
            step: 0,
            samples: Vec::new(),
            finals_since_sample: 0,
        }
    }

    /// Rules in force.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Sets how long payments that become due from now on are tried.
    pub fn set_give_up(&mut self, give_up: u64) {
        self.rules.give_up = give_up;
    }

    /// The accounts.
    pub fn accounts(&self) -> &Accounts {
        &self.accounts
    }

    /// The accounts, to sign ahead.
    pub fn accounts_mut(&mut self) -> &mut Accounts {
        &mut self.accounts
    }

    /// The counts so far, what is open as in flight.
    pub fn counts(&self) -> Counts {
        Counts { in_flight_at_end: self.open, ..self.counts.clone() }
    }

    /// Payments due and not ended.
    pub fn open(&self) -> u64 {
        self.open
    }

    /// Final payments whose later stages have not been seen.
    pub fn tails(&self) -> u64 {
        self.tails
    }

    /// Lanes: shard and gateway each.
    pub fn lanes(&self) -> impl Iterator<Item = (u32, u8)> + '_ {
        self.lanes.iter().map(|lane| (lane.shard, lane.gateway))
    }

    /// Payments kept for the check of receipts.
    pub fn samples(&self) -> &[Sample] {
        &self.samples
    }

    /// Latencies of flights of earlier steps are not recorded any more.
    pub fn begin_step(&mut self) {
        self.step = self.step.wrapping_add(1);
    }

    /// A payment is due in a lane.
    pub fn arrive(&mut self, lane: usize, intended: u64, figures: &mut Figures) {
        if let Some(lane) = self.lanes.get_mut(lane) {
            lane.waiting.push_back(intended);
            self.counts.offered = self.counts.offered.saturating_add(1);
            self.open = self.open.saturating_add(1);
            figures.offered();
        }
    }

    /// Whether a lane has something to send.
    pub fn has_outgoing(&self, lane: usize) -> bool {
        self.lanes.get(lane).is_some_and(|l| !l.again.is_empty() || (!l.waiting.is_empty() && !l.free.is_empty()))
    }

    /// What a lane sends now, one call's worth: payments to be sent again first, then new ones as accounts are free.
    ///
    /// `since`: arrivals before it have waited for an account, which is not the generator's delay.
    pub fn outgoing(&mut self, lane: usize, now: u64, since: u64, figures: &mut Figures) -> Vec<Outgoing> {
        let mut all = Vec::new();
        while all.len() < CALL_MAX {
            let Some(key) = self.lanes.get_mut(lane).and_then(|lane| lane.again.pop_front()) else { break };
            let Some(flight) = self.flight(key) else { continue };
            flight.flags &= !QUEUED;
            if flight.has(ENDED) {
                continue;
            }
            flight.flags |= UNANSWERED;
            let account = flight.account;
            if let Some((payment, _)) = self.accounts.next_payment(account) {
                self.counts.resent = self.counts.resent.saturating_add(1);
                figures.entry_sent(now);
                all.push(Outgoing { key, bytes: smt_types::Canonical::to_bytes(&payment) });
            }
        }
        while all.len() < CALL_MAX {
            let Some(open) = self.lanes.get_mut(lane) else { break };
            let (Some(intended), Some(account)) = (open.waiting.front().copied(), open.free.front().copied()) else {
                break;
            };
            open.waiting.pop_front();
            open.free.pop_front();
            let Some((payment, signed_now)) = self.accounts.next_payment(account) else { continue };
            let id = payment.payment.id();
            let planned = self.accounts.planned(account, self.accounts.next_seq(account));
            figures.signed_live = figures.signed_live.saturating_add(u64::from(signed_now));
            figures.first_sent(intended, now, intended < since);
            figures.entry_sent(now);
            self.counts.cross_shard = self.counts.cross_shard.saturating_add(u64::from(planned.cross));
            let flags = UNANSWERED | if planned.cross { CROSS } else { 0 };
            let key = self.take_off(lane, account, intended, Prefix::of(id.0.as_bytes()), flags);
            all.push(Outgoing { key, bytes: smt_types::Canonical::to_bytes(&payment) });
        }
        all
    }

    fn take_off(&mut self, lane: usize, account: u32, intended: u64, id: Prefix, flags: u8) -> Key {
        let place = self.vacant.pop().unwrap_or_else(|| {
            self.flights.push(Flight::default());
            u32::try_from(self.flights.len().saturating_sub(1)).unwrap_or(u32::MAX)
        });
        let step = self.step;
        let lane = u16::try_from(lane).unwrap_or(u16::MAX);
        let mut key = Key { place, generation: 0 };
        if let Some(flight) = self.flights.get_mut(at(place)) {
            let generation = flight.generation.wrapping_add(1);
            *flight = Flight { id: Some(id), intended, account, generation, step, lane, flags, ..Flight::default() };
            key.generation = generation;
        }
        self.ids.insert(id, place);
        // Lanes take turns, so the order is right to within a pulse but for payments that waited long: those are given up a little late.
        let deadline = intended.saturating_add(self.rules.give_up);
        self.deadlines.push_back((deadline, key));
        key
    }

    fn flight(&mut self, key: Key) -> Option<&mut Flight> {
        self.flights.get_mut(at(key.place)).filter(|f| f.generation == key.generation && f.id.is_some())
    }

    /// A gateway answered for one payment.
    pub fn answered(&mut self, key: Key, refused: Option<Refused>, now: u64, figures: &mut Figures) {
        let recheck = now.saturating_add(self.rules.resend);
        let Some(flight) = self.flight(key) else { return };
        flight.flags &= !UNANSWERED;
        let Some(refused) = refused else {
            if !flight.has(RECEIVED) {
                flight.flags |= RECEIVED;
                self.counts.received = self.counts.received.saturating_add(1);
            }
            self.rechecks.push_back((recheck, key));
            return;
        };
        if flight.has(ENDED) || flight.reached != 0 {
            // A resend that crossed the good news.
            return;
        }
        figures.refused();
        let count = self.counts.refusals.entry(refused.kind.to_owned());
        if refused.retryable {
            add_one(count.or_default());
            self.retry(key, now);
        } else {
            add_one(self.counts.rejected.entry(refused.kind.to_owned()).or_default());
            self.end(key);
            self.land(key);
        }
    }

    /// A call was not delivered, or its answer was lost with the connection.
    pub fn lost(&mut self, keys: &[Key], delivered: bool, now: u64, figures: &mut Figures) {
        let kind = if delivered { "connection_lost" } else { "not_sent" };
        for key in keys {
            let Some(flight) = self.flight(*key) else { continue };
            if !delivered {
                flight.flags &= !UNANSWERED;
            }
            if flight.has(ENDED) || flight.reached != 0 {
                continue;
            }
            figures.refused();
            add_one(self.counts.refusals.entry(kind.to_owned()).or_default());
            self.retry(*key, now);
        }
    }

    fn retry(&mut self, key: Key, now: u64) {
        let Some(flight) = self.flight(key) else { return };
        if flight.has(QUEUED) {
            return;
        }
        flight.flags |= QUEUED;
        let doubled = BACKOFF.saturating_mul(1 << flight.tries.min(8)).min(BACKOFF_MAX);
        flight.tries = flight.tries.saturating_add(1);
        // Spread over half the wait by the place, so that a refused call does not come back as one.
        let spread = u64::from(key.place % 64).saturating_mul(doubled / 128);
        self.retries.push(Reverse((now.saturating_add(doubled / 2).saturating_add(spread), key)));
    }

    /// Payments reached a stage, as the replica `reader` of `shard` tells.
    pub fn told(&mut self, shard: u32, reader: u8, stage: Stage, ids: &[Prefix], seen: u64, figures: &mut Figures) {
        for id in ids {
            if let Some(place) = self.ids.get(id).copied() {
                self.reached(place, shard, reader, stage, seen, figures);
            }
        }
    }

    fn reached(&mut self, place: u32, shard: u32, reader: u8, stage: Stage, seen: u64, figures: &mut Figures) {
        let Some(flight) = self.flights.get(at(place)) else { return };
        let key = Key { place, generation: flight.generation };
        let Some(lane) = self.lanes.get(usize::from(flight.lane)) else { return };
        let counts = match stage {
            // The payee's side tells; its shard's first reader is enough, and it is the gateway of nothing there.
            Stage::Credited => flight.has(CROSS) && shard != lane.shard,
            _ => shard == lane.shard && self.rules.reader_for(lane.gateway) == Some(reader),
        };
        if !counts {
            return;
        }
        let (home, current) = (lane.shard, flight.step == self.step);
        // A stage implies those before it, should its own notice come first.
        let implied: &[Stage] = match stage {
            Stage::Certified => &[Stage::Certified],
            Stage::Final => &[Stage::Certified, Stage::Final],
            Stage::Snapshotted => &[Stage::Certified, Stage::Final, Stage::Snapshotted],
            Stage::Credited => &[Stage::Certified, Stage::Final, Stage::Credited],
        };
        for stage in implied {
            let Some(flight) = self.flight(key) else { return };
            if flight.reached & stage.bit() != 0 {
                continue;
            }
            flight.reached |= stage.bit();
            if !flight.has(RECEIVED) {
                // The news can be here before the answer of the gateway.
                flight.flags |= RECEIVED;
                add_one(&mut self.counts.received);
            }
            let Some(flight) = self.flight(key) else { return };
            let (intended, cross, late) = (flight.intended, flight.has(CROSS), flight.has(TIMED_OUT));
            if current && !late {
                figures.reached(*stage, intended, seen, at(home), cross);
            }
            match stage {
                Stage::Certified => add_one(&mut self.counts.certified),
                Stage::Final => self.became_final(key),
                Stage::Snapshotted => add_one(&mut self.counts.snapshotted),
                Stage::Credited => add_one(&mut self.counts.credited),
            }
        }
        self.land_if_complete(key);
    }

    fn became_final(&mut self, key: Key) {
        let every = self.rules.receipt_every;
        let Some(flight) = self.flight(key) else { return };
        let (account, lane, late) = (flight.account, usize::from(flight.lane), flight.has(TIMED_OUT));
        if !late {
            flight.flags |= ENDED;
            self.open = self.open.saturating_sub(1);
            add_one(&mut self.counts.r#final);
        }
        self.tails = self.tails.saturating_add(1);
        self.finals_since_sample = self.finals_since_sample.saturating_add(1);
        let shard = self.accounts.shard_of(account);
        if every > 0 && self.finals_since_sample >= every && self.samples.len() < SAMPLES_MAX {
            self.finals_since_sample = 0;
            if let Some((payment, _)) = self.accounts.next_payment(account) {
                self.samples.push(Sample { id: payment.payment.id(), shard });
            }
        }
        self.accounts.settle(account);
        if let Some(lane) = self.lanes.get_mut(lane) {
            lane.free.push_back(account);
        }
    }

    fn land_if_complete(&mut self, key: Key) {
        let awaited = self.awaited;
        let Some(flight) = self.flight(key) else { return };
        let wanted = awaited & !if flight.has(CROSS) { 0 } else { Stage::Credited.bit() };
        if flight.reached & wanted == wanted {
            self.tails = self.tails.saturating_sub(1);
            self.land(key);
        }
    }

    /// The open payment has ended otherwise than final.
    fn end(&mut self, key: Key) {
        if let Some(flight) = self.flight(key)
            && !flight.has(ENDED)
        {
            flight.flags |= ENDED;
            self.open = self.open.saturating_sub(1);
        }
    }

    /// Forgets a flight.
    fn land(&mut self, key: Key) {
        let Some(flight) = self.flight(key) else { return };
        if let Some(id) = flight.id.take() {
            self.ids.remove(&id);
            self.vacant.push(key.place);
        }
    }

    /// What time alone brings: payments to be sent again, and those given up.
    pub fn tick(&mut self, now: u64, figures: &mut Figures) {
        while let Some(Reverse((due, key))) = self.retries.peek().copied() {
            if due > now {
                break;
            }
            self.retries.pop();
            self.queue_again(key);
        }
        while let Some((_, key)) = self.rechecks.front().copied().filter(|(due, _)| *due <= now) {
            self.rechecks.pop_front();
            if self.flight(key).is_some_and(|f| f.reached == 0 && !f.has(ENDED) && !f.has(QUEUED)) {
                add_one(self.counts.refusals.entry("no_certificate_in_time".into()).or_default());
                self.retry(key, now);
            }
        }
        while let Some((_, key)) = self.deadlines.front().copied().filter(|(due, _)| *due <= now) {
            self.deadlines.pop_front();
            self.give_up(key);
        }
        let give_up = self.rules.give_up;
        for lane in &mut self.lanes {
            while lane.waiting.front().is_some_and(|intended| intended.saturating_add(give_up) <= now) {
                lane.waiting.pop_front();
                self.open = self.open.saturating_sub(1);
                add_one(&mut self.counts.expired);
                add_one(&mut self.counts.no_free_account);
                figures.refused();
            }
        }
    }

    fn queue_again(&mut self, key: Key) {
        let Some(flight) = self.flight(key) else { return };
        if flight.has(ENDED) || flight.reached != 0 {
            flight.flags &= !QUEUED;
            return;
        }
        let lane = usize::from(flight.lane);
        if let Some(lane) = self.lanes.get_mut(lane) {
            lane.again.push_back(key);
        }
    }

    fn give_up(&mut self, key: Key) {
        let Some(flight) = self.flight(key).filter(|f| !f.has(ENDED)) else { return };
        let (account, lane) = (flight.account, usize::from(flight.lane));
        if flight.has(RECEIVED) || flight.has(UNANSWERED) || flight.reached != 0 {
            flight.flags |= TIMED_OUT;
            add_one(&mut self.counts.timed_out);
            self.end(key);
            // Kept: should it become final after all, the account's books need to know.
        } else {
            add_one(&mut self.counts.expired);
            self.end(key);
            self.land(key);
            if let Some(lane) = self.lanes.get_mut(lane) {
                lane.free.push_back(account);
            }
        }
    }

    /// Accounts whose last payment's fate is not known: their balances cannot be predicted.
    pub fn uncertain(&self) -> BTreeMap<u32, ()> {
        let unknown = |f: &&Flight| f.id.is_some() && f.reached & Stage::Final.bit() == 0;
        self.flights.iter().filter(unknown).map(|f| (f.account, ())).collect()
    }

    /// Prefixes of payments that were sent and not seen final, with their whole ids, at most `max` of them, by shard.
    pub fn unseen(&self, max: usize) -> Vec<(u32, u8, smt_types::PaymentId)> {
        let unseen = self.flights.iter().filter(|f| f.id.is_some() && f.reached & Stage::Final.bit() == 0);
        let whole = |f: &Flight| {
            let lane = self.lanes.get(usize::from(f.lane))?;
            let (payment, _) = self.accounts.next_payment(f.account)?;
            Some((lane.shard, self.rules.reader_for(lane.gateway)?, payment.payment.id()))
        };
        unseen.filter_map(whole).take(max).collect()
    }
}

fn at(place: u32) -> usize {
    usize::try_from(place).unwrap_or(usize::MAX)
}

fn add_one(count: &mut u64) {
    *count = count.saturating_add(1);
}

#[cfg(test)]
#[path = "books_tests.rs"]
mod tests;
