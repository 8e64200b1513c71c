//! The clock laws, on random histories.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "tests")]

use super::*;
use crate::Canonical;
use proptest::prelude::*;
use std::collections::BTreeSet;

/// An event of a random history: replica `at` acts when its wall clock has moved by `passed` µs (back, if negative), and
/// before that learns the stamps of the event `from`, if there is one so far.
#[derive(Clone, Debug)]
struct Event {
    at: usize,
    from: Option<usize>,
    passed: i64,
}

fn histories(replicas: usize) -> impl Strategy<Value = Vec<Event>> {
    let event = (0..replicas, proptest::option::of(0..200usize), -3i64..4);
    prop::collection::vec(event.prop_map(|(at, from, passed)| Event { at, from, passed }), 1..200)
}

/// For every event the set of events before it (in the sense of →), by plain reachability.
fn pasts(history: &[Event], replicas: usize) -> Vec<BTreeSet<usize>> {
    let mut last = vec![None; replicas];
    let mut pasts: Vec<BTreeSet<usize>> = Vec::new();
    for (index, event) in history.iter().enumerate() {
        let mut past = BTreeSet::new();
        for cause in [last[event.at], event.from.filter(|from| *from < index)].into_iter().flatten() {
            past.extend(pasts[cause].iter().copied());
            past.insert(cause);
        }
        last[event.at] = Some(index);
        pasts.push(past);
    }
    pasts
}

proptest! {
    #[test]
    fn lamport_grows_along_causality(history in histories(4)) {
        let mut clocks = [Lamport(0); 4];
        let mut stamps: Vec<Lamport> = Vec::new();
        for (index, event) in history.iter().enumerate() {
            let own = clocks[event.at];
            let new = match event.from.filter(|from| *from < index) {
                Some(from) => own.receive(stamps[from]).unwrap(),
                None => own.tick().unwrap(),
            };
            clocks[event.at] = new;
            stamps.push(new);
        }
        for (b, past) in pasts(&history, 4).iter().enumerate() {
            for a in past {
                prop_assert!(stamps[*a] < stamps[b], "{a} -> {b}: {:?} {:?}", stamps[*a], stamps[b]);
            }
        }
    }

    #[test]
    fn dense_time_is_unique_and_grows_along_causality(history in histories(6), restart in 0usize..200) {
        // Two replicas in each of three shards; wall clocks apart, and going back now and then.
        let new = |at: usize| HybridClock::new(u32::try_from(at / 2).unwrap(), u8::try_from(at % 2).unwrap());
        let mut clocks: Vec<HybridClock> = (0..6).map(new).collect();
        let mut walls: Vec<i64> = (0..6).map(|at| 1_000_000 + 7 * at).collect();
        let mut stamps: Vec<DenseTime> = Vec::new();
        for (index, event) in history.iter().enumerate() {
            walls[event.at] += event.passed;
            let now = u64::try_from(walls[event.at]).unwrap();
            if index == restart {
                // A restart keeps only the last timestamp, and that is enough.
                let last = clocks[event.at].last();
                clocks[event.at] = new(event.at);
                clocks[event.at].resume(&last);
            }
            if let Some(from) = event.from.filter(|from| *from < index) {
                clocks[event.at].merge(&stamps[from], now).unwrap();
            }
            stamps.push(clocks[event.at].stamp(now));
        }
        prop_assert_eq!(stamps.iter().collect::<BTreeSet<_>>().len(), stamps.len());
        for (b, past) in pasts(&history, 6).iter().enumerate() {
            for a in past {
                prop_assert!(stamps[*a] < stamps[b], "{a} -> {b}: {:?} {:?}", stamps[*a], stamps[b]);
            }
        }
    }

    #[test]
    fn vector_clock_grows_along_causality(history in histories(5)) {
        // Replicas of one shard, each adding to its copy and joining the copies it sees.
        let own: ShardAddress = "1.0.2".parse().unwrap();
        let others: Vec<ShardAddress> = ShardAddress::all(3).filter(|word| *word != own).collect();
        let mut clocks = vec![SierpinskiClock::new(3); 5];
        let mut stamps: Vec<SierpinskiClock> = Vec::new();
        for (index, event) in history.iter().enumerate() {
            if let Some(from) = event.from.filter(|from| *from < index) {
                clocks[event.at].merge(&stamps[from]).unwrap();
            }
            let peer = others[index * 7 % others.len()];
            if event.passed > 0 {
                clocks[event.at].send(&own, &peer, 10).unwrap();
            } else {
                clocks[event.at].receive(&own, &peer, 5, u64::try_from(index).unwrap()).unwrap();
            }
            stamps.push(clocks[event.at].clone());
        }
        for (b, past) in pasts(&history, 5).iter().enumerate() {
            for a in past {
                prop_assert!(stamps[*a].le(&stamps[b]) && stamps[*a] != stamps[b]);
            }
        }
        for a in stamps.iter().take(20) {
            for b in stamps.iter().take(20) {
                // A join is the least upper bound, and the same from either side.
                let (mut ab, mut ba) = (a.clone(), b.clone());
                ab.merge(b).unwrap();
                ba.merge(a).unwrap();
                prop_assert_eq!(&ab, &ba);
                prop_assert!(a.le(&ab) && b.le(&ab));
                prop_assert_eq!(a.le(b), ab == *b);
            }
        }
    }

    #[test]
    fn accepted_clocks_have_one_form(bytes in prop::collection::vec(0u8..4, 0..200), time: [u8; 17]) {
        if let Ok(clock) = SierpinskiClock::from_bytes(&bytes, 1000) {
            prop_assert_eq!(clock.to_bytes(), bytes);
        }
        match DenseTime::from_bytes(&time, 17) {
            Ok(stamp) => prop_assert_eq!(stamp.to_bytes(), time),
            Err(_) => prop_assert!(time[7] >= 0x80),
        }
    }
}

#[test]
fn lamport_refuses_what_is_too_far_ahead() {
    let own = Lamport(10);
    assert_eq!(own.receive(Lamport(10 + MAX_LAMPORT_AHEAD)), Ok(Lamport(11 + MAX_LAMPORT_AHEAD)));
    let seen = 11 + MAX_LAMPORT_AHEAD;
    assert_eq!(own.receive(Lamport(seen)), Err(ClockError::LamportAhead { own: 10, seen }));
    assert_eq!(own.receive(Lamport(3)), Ok(Lamport(11)));
    assert_eq!(Lamport(u64::MAX).tick(), Err(ClockError::LamportEnd));
    assert_eq!(Lamport(u64::MAX).receive(Lamport(0)), Err(ClockError::LamportEnd));
}

#[test]
fn merge_refuses_more_than_five_seconds_ahead_and_changes_nothing() {
    let mut clock = HybridClock::new(1, 1);
    clock.stamp(100);
    let before = clock.clone();
    let seen = |time_us| DenseTime { time_us, shard: 9, replica: 9, counter: 9 };
    let late = seen(1_000 + MAX_DRIFT_US + 1);
    assert_eq!(clock.merge(&late, 1_000), Err(ClockError::TimeAhead { seen_us: late.time_us, now_us: 1_000 }));
    assert!(clock.merge(&seen(u64::MAX), u64::MAX).is_err());
    assert_eq!(clock, before);
    clock.merge(&seen(1_000 + MAX_DRIFT_US), 1_000).unwrap();
    assert_eq!(clock.stamp(1_000).time_us, 1_001 + MAX_DRIFT_US);
}

#[test]
fn stamps_rise_with_counters_and_past_the_last_counter() {
    let mut clock = HybridClock::new(3, 2);
    let stamp = |time_us, counter| DenseTime { time_us, shard: 3, replica: 2, counter };
    assert_eq!([clock.stamp(50), clock.stamp(50), clock.stamp(40)], [stamp(50, 0), stamp(50, 1), stamp(50, 2)]);
    clock.resume(&stamp(50, u32::MAX));
    assert_eq!(clock.stamp(50), stamp(51, 0));
    // A foreign stamp of the same microsecond: below us we keep the microsecond, above us we take the next.
    clock.merge(&DenseTime { time_us: 60, shard: 2, replica: 7, counter: 5 }, 60).unwrap();
    assert_eq!(clock.stamp(60), stamp(60, 0));
    clock.merge(&DenseTime { time_us: 60, shard: 3, replica: 3, counter: 0 }, 60).unwrap();
    assert_eq!(clock.stamp(60), stamp(61, 0));
    // A wall clock at the end of the range does not end the clock.
    assert_eq!(clock.stamp(u64::MAX), stamp(MAX_TIME_US, 0));
    assert_eq!(clock.stamp(u64::MAX), stamp(MAX_TIME_US, 1));
    clock.resume(&DenseTime::ZERO);
    assert_eq!(clock.last(), stamp(MAX_TIME_US, 1));
}

#[test]
fn every_other_shard_has_its_place() {
    let word = |text: &str| text.parse::<ShardAddress>().unwrap();
    let own = word("0.2.1");
    let place = |other: &str| SierpinskiClock::place(&own, &word(other));
    assert_eq!(place("0.2.0"), Some((2, 0)));
    assert_eq!(place("0.2.2"), Some((2, 1)));
    assert_eq!(place("0.0.1"), Some((1, 0)));
    assert_eq!(place("0.1.2"), Some((1, 1)));
    assert_eq!(place("1.2.1"), Some((0, 0)));
    assert_eq!(place("2.0.0"), Some((0, 1)));
    assert_eq!(place("0.2.1"), None);
    assert_eq!(place("0.2"), None);
    // The place is that of the sibling triangle which holds the other shard.
    for own in ShardAddress::all(4) {
        for other in ShardAddress::all(4).filter(|other| *other != own) {
            let (level, sibling) = SierpinskiClock::place(&own, &other).unwrap();
            let level = u8::try_from(level + 1).unwrap();
            let triangle = own.prefix(level).unwrap().siblings().unwrap()[sibling];
            assert_eq!(other.prefix(level), Some(triangle));
        }
    }
}

#[test]
fn vector_clocks_that_do_not_fit_are_refused() {
    let (own, other) = ("0.1".parse().unwrap(), "0.2".parse().unwrap());
    let mut clock = SierpinskiClock::new(2);
    assert!(clock.merge(&SierpinskiClock::new(3)).is_err());
    assert!(!clock.le(&SierpinskiClock::new(3)));
    assert!(clock.send(&own, &own, 1).is_err());
    assert!(SierpinskiClock::new(3).send(&own, &other, 1).is_err());
    clock.send(&own, &other, u128::MAX).unwrap();
    let before = clock.clone();
    assert_eq!(clock.send(&own, &other, 1), Err(ClockError::ValueEnd));
    assert_eq!(clock, before);
    let ten = SierpinskiClock { levels: vec![Default::default(); 10] };
    assert!(SierpinskiClock::from_bytes(&ten.to_bytes(), 10_000).is_err());
    let nine = SierpinskiClock::new(200);
    assert_eq!(SierpinskiClock::from_bytes(&nine.to_bytes(), 10_000), Ok(nine));
}
