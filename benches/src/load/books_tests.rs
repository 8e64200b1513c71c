#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "tests")]

use super::super::accounts::Plan;
use super::super::accounts::tests::{PLAN, accounts};
use super::super::schedule::SECOND;
use super::*;

const FULL: Option<Refused> = Some(Refused { kind: "overloaded", retryable: true });
const BAD: Option<Refused> = Some(Refused { kind: "seq_used", retryable: false });

struct Bench {
    books: Books,
    figures: Figures,
}

impl Bench {
    /// One shard of three replicas, everything through replica 0, read at replica 1; given up after 10 s.
    fn new(accounts_per_shard: u32) -> Bench {
        Bench::with(0, accounts_per_shard, PLAN)
    }

    fn with(level: u8, per_shard: u32, plan: Plan) -> Bench {
        let rules = Rules::new(3, Some(0), 10 * SECOND, 2);
        let shards = 3_u32.pow(u32::from(level));
        let books = Books::new(accounts(level, per_shard, plan), shards, rules);
        let figures = Figures::new(0, (0, 100 * SECOND), usize::try_from(shards).unwrap());
        Bench { books, figures }
    }

    fn arrive(&mut self, intended: u64) {
        self.books.arrive(0, intended, &mut self.figures);
    }

    fn send(&mut self, now: u64) -> Vec<Outgoing> {
        self.books.outgoing(0, now, 0, &mut self.figures)
    }

    fn answer(&mut self, key: Key, refused: Option<Refused>, now: u64) {
        self.books.answered(key, refused, now, &mut self.figures);
    }

    fn tell(&mut self, reader: u8, stage: Stage, sent: &Outgoing, now: u64) {
        self.tell_from(0, reader, stage, sent, now);
    }

    fn tell_from(&mut self, shard: u32, reader: u8, stage: Stage, sent: &Outgoing, now: u64) {
        let id = payment(sent).payment.id();
        self.books.told(shard, reader, stage, &[Prefix::of(id.0.as_bytes())], now, &mut self.figures);
    }

    fn tick(&mut self, now: u64) {
        self.books.tick(now, &mut self.figures);
    }

    #[track_caller]
    fn adds_up(&self) -> Counts {
        let counts = self.books.counts();
        assert!(counts.add_up(), "{counts:?}");
        counts
    }
}

fn payment(sent: &Outgoing) -> smt_types::SignedPayment {
    smt_types::Canonical::from_bytes(&sent.bytes, smt_types::payment::MAX_PAYMENT_BYTES).unwrap()
}

#[test]
fn payment_counts_only_by_the_word_of_a_replica_that_is_not_its_gateway() {
    let mut bench = Bench::new(4);
    bench.arrive(0);
    let sent = bench.send(5);
    bench.answer(sent[0].key, None, 6);
    for not_the_reader in [0, 2] {
        bench.tell(not_the_reader, Stage::Final, &sent[0], 7);
    }
    assert_eq!(bench.adds_up().r#final, 0);
    bench.tell(1, Stage::Certified, &sent[0], 8);
    bench.tell(1, Stage::Certified, &sent[0], 9);
    bench.tell(1, Stage::Final, &sent[0], 10);
    bench.tell(1, Stage::Snapshotted, &sent[0], 11);
    let counts = bench.adds_up();
    assert_eq!(
        (counts.offered, counts.received, counts.certified, counts.r#final, counts.snapshotted),
        (1, 1, 1, 1, 1)
    );
    assert_eq!((bench.books.open(), bench.books.tails()), (0, 0));
    assert!(bench.books.flights.iter().all(|flight| flight.id.is_none()) && bench.books.ids.is_empty());
    assert_eq!(bench.figures.all().latencies().certified.unwrap().count, 1);
}

#[test]
fn later_stage_implies_the_earlier_ones() {
    let mut bench = Bench::new(1);
    bench.arrive(0);
    let sent = bench.send(0);
    bench.tell(1, Stage::Snapshotted, &sent[0], 9);
    let counts = bench.adds_up();
    assert_eq!((counts.certified, counts.r#final, counts.snapshotted), (1, 1, 1));
}

#[test]
fn account_has_one_payment_in_flight_and_its_seqs_have_no_gap() {
    let mut bench = Bench::new(1);
    for at in 0..3 {
        bench.arrive(at);
    }
    let first = bench.send(3);
    assert_eq!(first.len(), 1, "one account, one payment");
    assert_eq!(payment(&first[0]).payment.seq.0, 0);
    bench.answer(first[0].key, None, 4);
    bench.tell(1, Stage::Certified, &first[0], 5);
    assert!(bench.send(5).is_empty(), "certified is not enough");
    bench.tell(1, Stage::Final, &first[0], 6);
    let second = bench.send(6);
    assert_eq!(payment(&second[0]).payment.seq.0, 1);
    assert_eq!(bench.adds_up().in_flight_at_end, 2);
}

#[test]
fn retryable_refusal_sends_the_same_bytes_until_they_are_taken() {
    let mut bench = Bench::new(1);
    bench.arrive(0);
    let sent = bench.send(1);
    let (mut key, mut now) = (sent[0].key, 1);
    for round in 1..=5_u64 {
        bench.answer(key, FULL, now);
        bench.tick(now + 1);
        assert!(bench.send(now + 1).is_empty(), "waits before it tries again");
        now += SECOND;
        bench.tick(now);
        let again = bench.send(now);
        assert_eq!(again.len(), 1);
        assert_eq!(again[0].bytes, sent[0].bytes);
        assert_eq!(bench.adds_up().resent, round);
        key = again[0].key;
    }
    bench.answer(key, None, now);
    bench.tell(1, Stage::Final, &sent[0], now);
    let counts = bench.adds_up();
    assert_eq!((counts.offered, counts.r#final, counts.refusals["overloaded"]), (1, 1, 5));
    // From the first intended time, not from the last try.
    assert!(bench.figures.all().latencies().certified.unwrap().max >= 5_000.0);
}

#[test]
fn expired_payment_leaves_its_account_with_the_same_payment() {
    let mut bench = Bench::new(1);
    bench.arrive(0);
    let sent = bench.send(1);
    bench.answer(sent[0].key, FULL, 2);
    bench.tick(11 * SECOND);
    let counts = bench.adds_up();
    assert_eq!((counts.expired, counts.timed_out), (1, 0));
    bench.arrive(12 * SECOND);
    let next = bench.send(12 * SECOND);
    assert_eq!(next[0].bytes, sent[0].bytes);
    assert_ne!(next[0].key, sent[0].key);
    // An answer to the earlier flight does not touch the new one.
    bench.answer(sent[0].key, BAD, 12 * SECOND);
    assert_eq!(bench.adds_up().rejected_total(), 0);
    bench.tell(1, Stage::Final, &next[0], 13 * SECOND);
    assert_eq!(bench.adds_up().r#final, 1);
}

#[test]
fn unanswered_or_taken_payment_times_out_and_may_be_final_later() {
    for taken in [false, true] {
        let mut bench = Bench::new(1);
        bench.arrive(0);
        let sent = bench.send(1);
        if taken {
            bench.answer(sent[0].key, None, 2);
        }
        bench.tick(11 * SECOND);
        assert_eq!(bench.adds_up().timed_out, 1);
        assert_eq!(bench.books.uncertain().len(), 1);
        bench.arrive(11 * SECOND);
        assert!(bench.send(11 * SECOND).is_empty(), "the account's slot may be taken");
        bench.tell(1, Stage::Final, &sent[0], 12 * SECOND);
        let counts = bench.adds_up();
        assert_eq!((counts.timed_out, counts.r#final), (1, 0), "late is late");
        assert_eq!(payment(&bench.send(12 * SECOND)[0]).payment.seq.0, 1, "and the account goes on");
        assert!(bench.figures.all().latencies().certified.is_none());
    }
}

#[test]
fn taken_payment_without_certificate_is_sent_again() {
    let mut bench = Bench::new(1);
    bench.arrive(0);
    let sent = bench.send(1);
    bench.answer(sent[0].key, None, 2);
    bench.tick(6 * SECOND);
    bench.tick(7 * SECOND);
    let again = bench.send(7 * SECOND);
    assert_eq!(again[0].bytes, sent[0].bytes);
    bench.answer(again[0].key, None, 7 * SECOND);
    assert_eq!(bench.adds_up().received, 1, "received once, however often it is taken");
}

#[test]
fn rejected_payment_ends_and_its_account_rests() {
    let mut bench = Bench::new(1);
    bench.arrive(0);
    bench.arrive(1);
    let sent = bench.send(1);
    bench.answer(sent[0].key, BAD, 2);
    assert_eq!(bench.adds_up().rejected["seq_used"], 1);
    assert!(bench.send(3).is_empty());
    bench.tick(11 * SECOND);
    let counts = bench.adds_up();
    assert_eq!((counts.expired, counts.no_free_account, counts.in_flight_at_end), (1, 1, 0));
}

#[test]
fn lost_call_is_sent_again_and_a_full_queue_is_not_a_send() {
    let mut bench = Bench::new(2);
    bench.arrive(0);
    bench.arrive(0);
    let sent = bench.send(1);
    bench.books.lost(&[sent[0].key], true, 2, &mut bench.figures);
    bench.books.lost(&[sent[1].key], false, 2, &mut bench.figures);
    bench.tick(11 * SECOND);
    let counts = bench.adds_up();
    assert_eq!((counts.timed_out, counts.expired), (1, 1), "nobody knows of the first; the second never left");
    assert_eq!((counts.refusals["connection_lost"], counts.refusals["not_sent"]), (1, 1));
}

#[test]
fn credited_is_told_by_the_payees_shard() {
    let mut bench = Bench::with(1, 8, Plan { cross_share: 1.0, ..PLAN });
    bench.arrive(0);
    let sent = bench.send(1);
    bench.tell(1, Stage::Snapshotted, &sent[0], 2);
    bench.tell_from(0, 1, Stage::Credited, &sent[0], 3);
    let counts = bench.adds_up();
    assert_eq!((counts.cross_shard, counts.credited, bench.books.tails()), (1, 0, 1));
    bench.tell_from(2, 1, Stage::Credited, &sent[0], 3);
    assert_eq!((bench.adds_up().credited, bench.books.tails()), (1, 0));
    assert!(bench.figures.cross.latencies().credited.is_some() && bench.figures.same.latencies().r#final.is_none());
}

#[test]
fn every_nth_final_payment_is_kept_for_its_receipt() {
    let mut bench = Bench::new(6);
    for at in 0..6 {
        bench.arrive(at);
    }
    let sent = bench.send(9);
    for one in &sent {
        bench.tell(1, Stage::Final, one, 10);
    }
    let kept: Vec<_> = bench.books.samples().iter().map(|sample| sample.id).collect();
    let ids: Vec<_> = sent.iter().map(|one| payment(one).payment.id()).collect();
    assert_eq!(kept, [ids[1], ids[3], ids[5]]);
}

#[test]
fn readers_are_never_the_gateway() {
    for (replicas, gateway) in [(3, None), (9, None), (3, Some(0)), (3, Some(2)), (9, Some(8))] {
        let rules = Rules::new(replicas, gateway, 0, 0);
        for gateway in rules.gateways.clone() {
            let reader = rules.reader_for(gateway).unwrap();
            assert!(reader != gateway && reader < replicas);
        }
        assert!(rules.readers.len() <= 2);
    }
}

#[test]
fn places_are_used_again_and_memory_follows_what_is_in_flight() {
    let mut bench = Bench::new(10);
    for round in 0..1_000_u64 {
        bench.arrive(round);
        let sent = bench.send(round);
        bench.answer(sent[0].key, None, round);
        bench.tell(1, Stage::Snapshotted, &sent[0], round);
    }
    assert_eq!(bench.books.flights.len(), 1);
    assert_eq!(bench.adds_up().r#final, 1_000);
    assert!(std::mem::size_of::<Flight>() <= 64);
}
