//! When whom is asked for address records: the bookkeeping of [`super::seek`], without clock, network or disk.
//!
//! Meeting somebody says *that* it is to be asked, not how often: each replica is asked by one question at a time and at most once in
//! [`ASKED_MIN`], whatever comes and goes, and no question waits for another replica's answer. So one that comes again and again, answers
//! slowly or has news each time takes nothing from the others. Besides, somebody drawn by lot is asked when `drawn` is due; that moment
//! stands, and what happens meanwhile can bring it nearer but not put it off.

use smt_types::message::NodeId;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// Shortest time between two questions to one replica.
pub(super) const ASKED_MIN: Duration = Duration::from_secs(1);
/// Shortest time between two writes of the file.
pub(super) const SAVED_MIN: Duration = Duration::from_secs(2);
/// First wait before somebody is drawn while partners are missing; doubles up to [`MISSING_MAX`].
const MISSING_MIN: Duration = Duration::from_millis(500);
/// Longest such wait.
const MISSING_MAX: Duration = Duration::from_secs(15);
/// Wait between two draws when no partner is missing.
const SETTLED: Duration = Duration::from_secs(60);

/// At most one entry of each kind a replica of the genesis.
pub(super) struct Turns {
    wanted: BTreeSet<NodeId>,
    under_way: BTreeSet<NodeId>,
    /// When each was asked last.
    asked: BTreeMap<NodeId, Instant>,
    wait: Duration,
    draw_at: Instant,
    save_at: Option<Instant>,
    saved: Option<Instant>,
}

impl Turns {
    /// `lot`: anything at random, here and below.
    pub(super) fn new(now: Instant, lot: u8) -> Turns {
        Turns {
            wanted: BTreeSet::new(),
            under_way: BTreeSet::new(),
            asked: BTreeMap::new(),
            wait: MISSING_MIN,
            draw_at: later(now, jitter(MISSING_MIN, lot)),
            save_at: None,
            saved: None,
        }
    }

    /// A replica is met: it is to be asked, and who is still missing may be known to it soon.
    pub(super) fn met(&mut self, node: NodeId, now: Instant, lot: u8) {
        self.want(node);
        self.wait = MISSING_MIN;
        self.draw_at = self.draw_at.min(later(now, jitter(MISSING_MIN, lot)));
    }

    /// A replica is to be asked, when it may be.
    pub(super) fn want(&mut self, node: NodeId) {
        self.wanted.insert(node);
    }

    fn due(&self, node: &NodeId) -> Option<Instant> {
        self.asked.get(node).map(|at| later(*at, ASKED_MIN))
    }

    /// A replica to be asked now; [`Turns::done`] has to follow.
    pub(super) fn next(&mut self, now: Instant) -> Option<NodeId> {
        let may = |node: &&NodeId| !self.under_way.contains(*node) && self.due(node).is_none_or(|due| due <= now);
        let node = *self.wanted.iter().find(may)?;
        self.wanted.remove(&node);
        self.under_way.insert(node);
        self.asked.insert(node, now);
        Some(node)
    }

    /// It has answered, or will not.
    pub(super) fn done(&mut self, node: NodeId) {
        self.under_way.remove(&node);
    }

    /// Whether somebody is to be drawn now. `is_settled`: no partner is missing.
    pub(super) fn draw(&mut self, now: Instant, lot: u8, is_settled: impl FnOnce() -> bool) -> bool {
        if now < self.draw_at {
            return false;
        }
        self.wait = if is_settled() { SETTLED } else { self.wait.saturating_mul(2).min(MISSING_MAX) };
        self.draw_at = later(now, jitter(self.wait, lot));
        true
    }

    /// There is something to be written.
    pub(super) fn news(&mut self, now: Instant) {
        let soonest = self.saved.map_or(now, |saved| later(saved, SAVED_MIN).max(now));
        self.save_at.get_or_insert(soonest);
    }

    /// Whether to write now.
    pub(super) fn save(&mut self, now: Instant) -> bool {
        let due = self.save_at.is_some_and(|at| at <= now);
        if due {
            self.save_at = None;
            self.saved = Some(now);
        }
        due
    }

    /// When there is something to do, if nothing happens before. A replica that is being asked is no reason: its answer is.
    pub(super) fn wake(&self) -> Instant {
        let waiting = self.wanted.iter().filter(|node| !self.under_way.contains(*node));
        let due = waiting.filter_map(|node| self.due(node));
        due.chain(self.save_at).fold(self.draw_at, Instant::min)
    }
}

/// A clock does not come near its end.
fn later(at: Instant, by: Duration) -> Instant {
    at.checked_add(by).unwrap_or(at)
}

/// Between half and the whole of it: nodes that start together do not ask together.
fn jitter(whole: Duration, lot: u8) -> Duration {
    let half = whole.checked_div(2).unwrap_or_default();
    half.saturating_add(half.saturating_mul(u32::from(lot)).checked_div(255).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects, reason = "tests")]
    use super::*;
    use smt_types::{ReplicaIndex, ShardAddress};

    fn node(replica: u8) -> NodeId {
        NodeId { shard: ShardAddress::ROOT, replica: ReplicaIndex(replica) }
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn one_that_is_met_without_end_is_asked_once_a_second_and_others_at_once() {
        let start = Instant::now();
        let mut turns = Turns::new(start, 255);
        let mut asked = 0;
        for step in 0..1000u64 {
            let now = start + ms(10 * step);
            turns.met(node(1), now, 255);
            while let Some(next) = turns.next(now) {
                assert_eq!(next, node(1));
                asked += 1;
                turns.done(next);
            }
        }
        assert_eq!(asked, 10, "in ten seconds");
        let now = start + ms(9_999);
        turns.met(node(2), now, 255);
        assert_eq!((turns.next(now), turns.next(now)), (Some(node(2)), None));
    }

    #[test]
    fn one_that_does_not_answer_is_not_asked_again_and_holds_up_nobody() {
        let start = Instant::now();
        let mut turns = Turns::new(start, 0);
        turns.want(node(1));
        assert_eq!(turns.next(start), Some(node(1)));
        let late = start + ms(60_000);
        turns.want(node(1));
        turns.want(node(2));
        assert_eq!((turns.next(late), turns.next(late)), (Some(node(2)), None));
        turns.done(node(1));
        assert_eq!(turns.next(late), Some(node(1)), "what was wanted meanwhile is not lost");
        // Wanted again at once, it is the reason to wake and no earlier than it may be asked.
        turns.draw(late, 255, || true);
        turns.want(node(1));
        assert_eq!(turns.wake(), late + ms(60_000), "its answer comes first");
        turns.done(node(1));
        assert_eq!(turns.wake(), late + ASKED_MIN);
        assert_eq!((turns.next(late + ms(999)), turns.next(late + ASKED_MIN)), (None, Some(node(1))));
    }

    #[test]
    fn a_draw_comes_whatever_happens_and_more_rarely_when_it_brings_nothing() {
        let start = Instant::now();
        let mut turns = Turns::new(start, 255);
        // Something happens every 10 ms: the moment stands all the same.
        let mut drawn = 0;
        for step in 0..100u64 {
            let now = start + ms(10 * step);
            turns.met(node(1), now, 255);
            drawn += u32::from(turns.draw(now, 255, || false));
        }
        assert!((1..=2).contains(&drawn), "{drawn} draws in a second");
        let mut turns = Turns::new(start, 255);
        let (mut now, mut waits) = (start, Vec::new());
        for settled in [false, false, false, false, false, false, true] {
            let wake = turns.wake();
            assert!(!turns.draw(wake - ms(1), 255, || settled) && turns.draw(wake, 255, || settled));
            waits.push((wake - now).as_millis());
            now = wake;
        }
        assert_eq!(waits, [500, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000]);
        assert_eq!(turns.wake(), now + SETTLED);
        turns.met(node(1), now, 0);
        assert_eq!(turns.wake(), now + MISSING_MIN / 2, "somebody new: sooner again");
    }

    #[test]
    fn news_without_end_is_written_once_in_a_while_and_the_last_of_it_too() {
        let start = Instant::now();
        let mut turns = Turns::new(start, 255);
        let mut saved = 0;
        for step in 0..1000u64 {
            let now = start + ms(10 * step);
            turns.news(now);
            saved += u32::from(turns.save(now));
        }
        assert_eq!(saved, 5, "in ten seconds");
        assert!(!turns.save(start + ms(9_999)) && turns.save(start + ms(10_000)));
        assert!(!turns.save(start + ms(90_000)), "nothing new");
    }
}
