//! The schedules that break naive versions of the protocol, one test each. Names in brackets are those of the list of
//! schedules; unlock is not part of this version, and neither are its schedules.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

use smt_consensus::archive;
use smt_consensus::ports::Column;
use smt_consensus::replica::Voting;
use smt_consensus::{Event, Stage};
use smt_sim::keys::StandIn;
use smt_sim::lab::{Lab, Mail, pay};
use smt_types::batch::{self, Batch, BatchHeader};
use smt_types::committee::quorum;
use smt_types::message::Message;
use smt_types::vote::{Certificate, Vote, VotePart};
use smt_types::{
    BatchNumber, Bitmap, Bounded, Canonical, DenseTime, Epoch, Lamport, PaymentId, ReplicaIndex, Signature,
    SignedPayment, Signer,
};

/// A batch that the replica at `place` would sign, over any payments.
fn batch_of(lab: &Lab, place: usize, number: u64, payments: Vec<SignedPayment>) -> Batch {
    let at = lab.places[place].id;
    let leaves: Vec<_> = payments.iter().map(SignedPayment::leaf).collect();
    let header = BatchHeader {
        network: lab.shape.network.id,
        shard: at.shard,
        committee: lab.shape.network.committee(at.shard).unwrap().digest(),
        gateway: at.replica,
        number: BatchNumber(number),
        root: batch::root(&leaves),
        count: payments.len() as u16,
        lamport: Lamport(number + 1),
        dense: DenseTime { time_us: lab.now, shard: at.shard.index(), replica: at.replica.0, counter: number as u32 },
    };
    let signature = StandIn::new(place as u64).sign(&header.digest());
    Batch { header, signature, payments: Bounded::truncated(payments) }
}

/// A vote as the replica at `place` would sign it.
fn vote_of(place: usize, batch: &Batch, set: &[u16]) -> Vote {
    let header = &batch.header;
    let mut vote = Vote {
        committee: header.committee,
        gateway: header.gateway,
        number: header.number,
        header: header.digest(),
        replica: ReplicaIndex((place % 3) as u8),
        bits: Bitmap::from_fn(header.count, |index| set.contains(&index)),
        signature: Signature([0; 64]),
    };
    vote.signature = StandIn::new(place as u64).sign(&vote.digest());
    vote
}

fn certificate(votes: &[Vote]) -> Certificate {
    let first = &votes[0];
    let mut parts: Vec<VotePart> =
        votes.iter().map(|v| VotePart { replica: v.replica, bits: v.bits.clone(), signature: v.signature }).collect();
    parts.sort_by_key(|part| part.replica);
    Certificate {
        committee: first.committee,
        gateway: first.gateway,
        number: first.number,
        header: first.header,
        votes: Bounded::truncated(parts),
    }
}

fn is_cut(mail: &Mail) -> bool {
    matches!(
        mail.message,
        Message::Report(_)
            | Message::Proposal(_)
            | Message::CutVote(_)
            | Message::ViewChange(..)
            | Message::Decision(_)
    )
}

fn stages(lab: &Lab, place: usize, stage: Stage) -> Vec<PaymentId> {
    let told = lab.events.iter().filter_map(|(at, event)| match event {
        Event::Stages { stage: s, payments, .. } if *at == place && *s == stage => Some(payments),
        _ => None,
    });
    told.flatten().map(|(id, _)| *id).collect()
}

fn evidence(lab: &Lab) -> Vec<(usize, &'static str, ReplicaIndex)> {
    let told = lab.events.iter().filter_map(|(at, event)| match event {
        Event::Evidence(evidence, replica) => Some((*at, evidence.kind(), *replica)),
        _ => None,
    });
    told.collect()
}

/// [A1] Votes 11, 01, 11: {A, B} and {B, C} certify payment 0, {A, C} certifies both. A replica applies what its own votes
/// certify, and more when more votes come; its second applied record is the larger set.
#[test]
fn a1_different_vote_sets_certify_different_payments() {
    let mut lab = Lab::new(0);
    let (a, b) = (lab.owner(0, 0), lab.owner(0, 1));
    let (p0, p1) = (pay(&a, 0, b.address, 5), pay(&b, 0, a.address, 7));
    let batch = batch_of(&lab, 0, 0, vec![p0.clone(), p1.clone()]);
    let votes = [vote_of(0, &batch, &[0, 1]), vote_of(1, &batch, &[0]), vote_of(2, &batch, &[0, 1])];
    let sets = [(&votes[..2], vec![0]), (&votes[1..], vec![0])];
    for (set, certified) in sets {
        assert_eq!(certificate(set).certified(2, 2).iter().collect::<Vec<_>>(), certified);
    }
    assert_eq!(certificate(&[votes[0].clone(), votes[2].clone()]).certified(2, 2).ones(), 2);

    // Replica 2 has voted 11 itself and learns B's vote first.
    lab.hand(0, 2, Message::Batch(Box::new(batch.clone())));
    lab.hand(1, 2, Message::Certificate(Box::new(certificate(&votes[1..2]))));
    assert_eq!(stages(&lab, 2, Stage::Certified), [p0.payment.id()]);
    assert_eq!(lab.balance(2, &b.address), 405);
    lab.hand(0, 2, Message::Certificate(Box::new(certificate(&votes[..2]))));
    assert_eq!(stages(&lab, 2, Stage::Certified), [p0.payment.id(), p1.payment.id()]);
    let digest = batch.header.digest();
    let applied = archive::applied_by(&lab.places[2].store, &digest, ReplicaIndex(2)).unwrap();
    assert_eq!(applied.bits.ones(), 2);
}

/// [A3] b pays on what a is about to pay it. A replica with b's certificate and without a's holds it: applied before its
/// funding, a join of honest reports could leave b negative.
#[test]
fn a3_a_debit_waits_for_its_funding() {
    let mut lab = Lab::new(0);
    let (a, b, c) = (lab.owner(0, 0), lab.owner(0, 1), lab.owner(0, 2));
    let (p1, p2) = (pay(&a, 0, b.address, 100), pay(&b, 0, c.address, 450));
    let (first, second) = (batch_of(&lab, 0, 0, vec![p1]), batch_of(&lab, 0, 1, vec![p2.clone()]));
    let certified = certificate(&[vote_of(0, &second, &[0]), vote_of(1, &second, &[0])]);
    lab.hand(0, 2, Message::Batch(Box::new(second)));
    lab.hand(0, 2, Message::Certificate(Box::new(certified)));
    assert_eq!(stages(&lab, 2, Stage::Certified), [p2.payment.id()]);
    assert_eq!((lab.balance(2, &b.address), lab.balance(2, &c.address)), (400, 400));
    let certified = certificate(&[vote_of(0, &first, &[0]), vote_of(1, &first, &[0])]);
    lab.hand(0, 2, Message::Batch(Box::new(first)));
    lab.hand(0, 2, Message::Certificate(Box::new(certified)));
    assert_eq!((lab.balance(2, &b.address), lab.balance(2, &c.address)), (50, 850));
}

/// [A4] A certifies p1 with B's vote and dies, C has locked p2: nobody alive can decide. The slot stays safe: no second
/// certificate, and all others go on.
#[test]
fn a4_a_lost_gateway_with_two_payments_forks_nothing() {
    let mut lab = Lab::new(0);
    let (payer, other) = (lab.owner(0, 0), lab.owner(0, 1));
    let (p1, p2) = (pay(&payer, 0, other.address, 5), pay(&payer, 0, lab.owner(0, 2).address, 5));
    lab.submit(0, &p1);
    lab.submit(2, &p2);
    lab.pass(2_000);
    lab.deliver(|mail| mail.from + mail.to == 1 && matches!(mail.message, Message::Batch(_) | Message::Vote(..)));
    assert!(stages(&lab, 0, Stage::Certified).contains(&p1.payment.id()));
    lab.stop(0);
    lab.lose(|mail| mail.from == 0 || mail.to == 0);
    let fine = pay(&other, 0, payer.address, 9);
    lab.submit(1, &fine);
    lab.live(6_000_000, |_| true);
    for place in [1, 2] {
        assert!(!stages(&lab, place, Stage::Certified).contains(&p2.payment.id()), "two certificates at one slot");
        assert_eq!(lab.balance(place, &payer.address), 409);
        assert!(lab.replica(place).decided() > Epoch(3), "cuts go on");
    }
    assert!(stages(&lab, 1, Stage::Snapshotted).contains(&fine.payment.id()));
    // The gateway is back, and with it the certificate.
    lab.start(0);
    lab.live(6_000_000, |_| true);
    for place in 0..3 {
        assert_eq!(lab.balance(place, &payer.address), 404, "p1 is applied at {place}");
    }
    assert_eq!(evidence(&lab), []);
}

/// [A5, A6] Between shards money moves at the consuming cut, under a certified header of the source, and once: not at
/// `final`, not again when the bundle is repeated, not again after a restart.
#[test]
fn a5_a6_a_credit_enters_once_and_only_at_the_consuming_cut() {
    let mut lab = Lab::new(1);
    let (payer, payee) = (lab.owner(0, 0), lab.owner(3, 0));
    let payment = pay(&payer, 0, payee.address, 60);
    lab.submit(0, &payment);
    lab.pass(2_000);
    lab.deliver(|mail| !is_cut(mail));
    assert!(stages(&lab, 0, Stage::Final).contains(&payment.payment.id()));
    assert_eq!((lab.balance(0, &payer.address), lab.balance(3, &payee.address)), (340, 400));
    let mut bundles = Vec::new();
    for _ in 0..600 {
        lab.pass(5_000);
        lab.deliver(|mail| !matches!(mail.message, Message::Credits(_)));
        bundles.extend(lab.mail.iter().filter(|mail| matches!(mail.message, Message::Credits(_))).cloned());
        lab.deliver(|_| true);
    }
    assert!(!bundles.is_empty());
    for place in 3..6 {
        assert_eq!(lab.balance(place, &payee.address), 460);
    }
    lab.stop(4);
    lab.start(4);
    for mail in bundles {
        lab.hand(mail.from, mail.to, mail.message.clone());
        lab.hand(mail.from, 4, mail.message);
    }
    lab.live(3_000_000, |_| true);
    for place in 3..6 {
        assert_eq!(lab.balance(place, &payee.address), 460);
    }
    let credits = lab.events.iter().filter(|(place, event)| *place == 5 && matches!(event, Event::Credited { .. }));
    assert_eq!(credits.count(), 1);
    for place in &lab.places[3..6] {
        let rows = [Column::Credited, Column::History, Column::Unindexed].map(|column| place.store.len(column));
        assert_eq!(rows, [1, 1, 0], "the consuming cut's rows are written, by a replica that was restarted too");
    }
}

/// [A7] Cuts that are valid pair by pair are closed under maximum; cuts that are valid for sums over a triangle are not.
#[test]
fn a7_pair_counts_are_closed_under_maximum_and_sums_are_not() {
    // Two senders into one receiver; the sum rule: received in all ≤ sent in all.
    let (x, y, out) = ([10u64, 0], [0u64, 10], 10u64);
    assert!(x.iter().sum::<u64>() <= out && y.iter().sum::<u64>() <= out);
    let join: u64 = x.iter().zip(&y).map(|(a, b)| a.max(b)).sum();
    assert!(join > out, "the maximum of two valid cuts is not valid");
    // The pair rule, exhaustively for counters up to 3: (sent, received) of one pair in two cuts.
    for (s1, r1, s2, r2) in (0..256u32).map(|n| (n & 3, n >> 2 & 3, n >> 4 & 3, n >> 6)) {
        if r1 <= s1 && r2 <= s2 {
            assert!(r1.max(r2) <= s1.max(s2));
        }
    }
}

/// [A10] A vote is a record with its bitmap: after a restart the same bytes go out, though the replica would judge otherwise.
#[test]
fn a10_a_restarted_voter_repeats_its_bitmap() {
    let mut lab = Lab::new(0);
    let (a, b) = (lab.owner(0, 0), lab.owner(0, 1));
    // Refused at first: seq 1 is not next. Later it is.
    let (early, first) = (pay(&a, 1, b.address, 5), pay(&a, 0, b.address, 5));
    let batch = batch_of(&lab, 0, 0, vec![early]);
    lab.hand(0, 1, Message::Batch(Box::new(batch.clone())));
    let sent = |lab: &mut Lab| {
        let found = lab.mail.iter().find_map(|mail| match &mail.message {
            Message::Vote(vote, _) if mail.from == 1 && vote.number == BatchNumber(0) => Some(vote.to_bytes()),
            _ => None,
        });
        lab.lose(|_| true);
        found
    };
    let before = sent(&mut lab).unwrap();
    let second = batch_of(&lab, 0, 1, vec![first]);
    lab.hand(0, 1, Message::Batch(Box::new(second.clone())));
    lab.hand(
        0,
        1,
        Message::Certificate(Box::new(certificate(&[vote_of(0, &second, &[0]), vote_of(2, &second, &[0])]))),
    );
    assert_eq!(lab.balance(1, &b.address), 405);
    lab.lose(|_| true);
    lab.stop(1);
    lab.start(1);
    lab.live(50_000, |mail| matches!(mail.message, Message::Ask(_) | Message::Records(_)));
    assert_eq!(*lab.replica(1).voting(), Voting::Yes);
    lab.lose(|_| true);
    lab.hand(0, 1, Message::Batch(Box::new(batch)));
    assert_eq!(sent(&mut lab), Some(before));
}

/// [A11] A replica whose store is gone is told so by its own signatures and never votes again.
#[test]
fn a11_a_replica_that_lost_its_store_does_not_vote() {
    let mut lab = Lab::new(0);
    let (a, b) = (lab.owner(0, 0), lab.owner(0, 1));
    lab.submit(0, &pay(&a, 0, b.address, 5));
    lab.pass(2_000);
    lab.deliver(|_| true);
    lab.stop(1);
    lab.format(1);
    lab.start(1);
    lab.live(3_000_000, |_| true);
    assert!(matches!(lab.replica(1).voting(), Voting::No(_)), "{:?}", lab.replica(1).voting());
    assert_eq!(lab.balance(1, &b.address), 405, "it follows all the same");
    assert_eq!(evidence(&lab), []);
}

/// [A14] n = 3 and one replica that votes for two payments at one slot: two certificates. Nobody panics, the evidence names
/// it, and everybody else's payments go on.
#[test]
fn a14_two_certificates_are_evidence_and_no_panic() {
    let mut lab = Lab::new(0);
    let (payer, other) = (lab.owner(0, 0), lab.owner(0, 1));
    let (p1, p2) = (pay(&payer, 0, other.address, 5), pay(&payer, 0, other.address, 6));
    let (one, two) = (batch_of(&lab, 2, 0, vec![p1]), batch_of(&lab, 2, 1, vec![p2]));
    let first = certificate(&[vote_of(0, &one, &[0]), vote_of(2, &one, &[0])]);
    let second = certificate(&[vote_of(1, &two, &[0]), vote_of(2, &two, &[0])]);
    lab.stop(2);
    // Each honest replica votes for the payment it sees first.
    for (place, seen) in [(0, [&one, &two]), (1, [&two, &one])] {
        for batch in seen {
            lab.hand(2, place, Message::Batch(Box::new(batch.clone())));
        }
    }
    lab.lose(|_| true);
    // Each honest replica sees both.
    for (place, mine, others) in [(0, &first, &second), (1, &second, &first)] {
        for certificate in [mine, others] {
            let own = ReplicaIndex(place as u8);
            let parts: Vec<VotePart> = certificate.votes.iter().filter(|part| part.replica != own).cloned().collect();
            let message = Certificate { votes: Bounded::truncated(parts), ..certificate.clone() };
            lab.hand(2, place, Message::Certificate(Box::new(message)));
        }
    }
    lab.deliver(|_| true);
    let found = evidence(&lab);
    assert!(
        found.iter().all(|(_, kind, replica)| *kind == "two_acceptances" && *replica == ReplicaIndex(2)),
        "{found:?}"
    );
    let fine = pay(&other, 0, payer.address, 9);
    lab.submit(0, &fine);
    lab.live(3_000_000, |_| true);
    assert!(stages(&lab, 0, Stage::Final).contains(&fine.payment.id()));
    // Each has applied another payment at that slot: a join of both is not signed, the cuts stop and say so.
    assert!(lab.events.iter().any(|(_, event)| matches!(event, Event::Forked(_))));
}

/// [A24] What two quorums share, and how many silent replicas stall.
#[test]
fn a24_quorum_facts() {
    for (n, shared, silent) in [(3, 1, 1), (9, 5, 2), (27, 11, 8)] {
        let q = quorum(n);
        assert_eq!(2 * q - n, shared, "a fork of {n} takes {shared} that sign two things");
        assert_eq!(n - q, silent, "{n} replicas go on with {silent} silent ones");
    }
}

/// Invariant 8: majorities of majorities fork with one traitor among nine; the flat quorum does not.
#[test]
fn recursive_majorities_fork_with_one_traitor() {
    // Honest replicas of three triads say x (true) or y; the third of triad 0 is the traitor and says whatever is asked.
    let honest = [[Some(true), Some(false), None], [Some(true); 3], [Some(false); 3]];
    let says = |wanted: bool| honest.map(|triad| triad.map(|vote| vote.unwrap_or(wanted)));
    let recursive = |votes: [[bool; 3]; 3], wanted: bool| {
        let triads = votes.iter().filter(|triad| triad.iter().filter(|vote| **vote == wanted).count() >= 2).count();
        triads >= 2
    };
    let flat = |votes: [[bool; 3]; 3], wanted: bool| {
        votes.iter().flatten().filter(|vote| **vote == wanted).count() >= quorum(9)
    };
    assert!(recursive(says(true), true) && recursive(says(false), false));
    assert!(!flat(says(true), true) && !flat(says(false), false));
}

/// [second read, 2 and 5] Bit 1 of a batch is applied after a cut has taken bit 0: it joins a later cut, and the second applied
/// record of the batch convicts nobody.
#[test]
fn a_late_bit_of_a_cut_batch_joins_a_later_cut() {
    let mut lab = Lab::new(0);
    let (a, b) = (lab.owner(0, 0), lab.owner(0, 1));
    let (p0, p1) = (pay(&a, 0, b.address, 5), pay(&b, 1, a.address, 7));
    let missing = pay(&b, 0, a.address, 1);
    // A batch whose second payment no voter can accept yet.
    let batch = batch_of(&lab, 0, 0, vec![p0.clone(), p1.clone()]);
    for place in [1, 2] {
        lab.hand(0, place, Message::Batch(Box::new(batch.clone())));
    }
    lab.live(1_500_000, |mail| mail.to != 0 && mail.from != 0);
    lab.submit(1, &missing);
    lab.live(1_500_000, |mail| mail.to != 0 && mail.from != 0);
    lab.submit(1, &p1);
    lab.submit(1, &p0);
    lab.live(4_000_000, |mail| mail.to != 0 && mail.from != 0);
    for payment in [&p0, &missing, &p1] {
        assert!(stages(&lab, 1, Stage::Snapshotted).contains(&payment.payment.id()), "seq {}", payment.payment.seq);
    }
    assert_eq!(evidence(&lab), []);
}

/// [second read, 4] What an honest replica may sign: two phases of one view, a smaller applied set before a larger one, the
/// same report twice. None of it convicts.
#[test]
fn honest_records_convict_nobody() {
    let mut lab = Lab::new(0);
    let (a, b) = (lab.owner(0, 0), lab.owner(0, 1));
    lab.submit(0, &pay(&a, 0, b.address, 5));
    let mut all: Vec<Mail> = Vec::new();
    for round in 0..400 {
        lab.pass(5_000);
        if round % 40 == 0 {
            lab.submit(round / 40 % 3, &pay(&a, 1 + round as u64 / 40, b.address, 5));
        }
        all.extend(lab.mail.iter().cloned());
        lab.deliver(|_| true);
    }
    // Everything once more, backwards.
    for mail in all.into_iter().rev() {
        lab.hand(mail.from, mail.to, mail.message);
    }
    lab.live(2_000_000, |_| true);
    assert_eq!(evidence(&lab), []);
    assert_eq!(lab.balance(0, &b.address), 400 + 5 * 11);
}

/// All replicas of a shard stop at once, in the middle of everything, and come back: nobody waits for anybody for ever.
#[test]
fn a_whole_shard_comes_back() {
    let mut lab = Lab::new(0);
    let (a, b) = (lab.owner(0, 0), lab.owner(0, 1));
    for seq in 0..5 {
        lab.submit(seq % 3, &pay(&a, seq as u64, b.address, 5));
        lab.live(330_000, |_| true);
        for place in 0..3 {
            lab.stop(place);
        }
        lab.mail.clear();
        for place in 0..3 {
            lab.start(place);
        }
        lab.live(1_200_000, |_| true);
    }
    for place in 0..3 {
        assert_eq!(*lab.replica(place).voting(), Voting::Yes);
        assert_eq!(lab.balance(place, &b.address), 425);
    }
    assert_eq!(evidence(&lab), []);
}

/// Two of three stop in the middle of a cut, one stays alone for long, one comes back and the third never does: the two meet
/// in a view and the shard goes on. (Views that a lone replica walks through by itself would never be met again.)
#[test]
fn views_meet_after_one_replica_was_alone() {
    let mut lab = Lab::new(0);
    let (a, b) = (lab.owner(0, 0), lab.owner(0, 1));
    lab.submit(0, &pay(&a, 0, b.address, 5));
    lab.live(1_500_000, |_| true);
    // Replica 1 alone, with a report signed and a view to leave.
    lab.stop(0);
    lab.stop(2);
    lab.mail.clear();
    lab.live(600_000_000, |mail| mail.to == 1 && mail.from == 1);
    lab.mail.clear();
    let stuck = lab.replica(1).decided();
    lab.start(0);
    lab.live(10_000_000, |mail| mail.to != 2 && mail.from != 2);
    for place in [0, 1] {
        assert!(lab.replica(place).decided().0 >= stuck.0 + 3, "place {place}: {:?}", lab.replica(place).decided());
        assert_eq!(*lab.replica(place).voting(), Voting::Yes);
    }
    lab.submit(1, &pay(&a, 1, b.address, 5));
    lab.live(3_000_000, |mail| mail.to != 2 && mail.from != 2);
    assert_eq!(lab.balance(0, &b.address), 410);
    assert_eq!(evidence(&lab), []);
}

/// A header of epoch 0 is fixed by genesis and signed by nobody. One that somebody sends, with credits of its own invention
/// and no signature, is refused at the gate, alone and inside a bundle of credits.
#[test]
fn a_header_of_epoch_zero_credits_nothing() {
    use smt_types::credit::{Channel, Credit, CreditBundle};
    use smt_types::header::{CertifiedHeader, LinkChange, LinkChanges};
    let lab = Lab::new(1);
    let (source, here) = (lab.places[3].id.shard, lab.places[0].id.shard);
    let (payer, payee) = (lab.owner(3, 0), lab.owner(0, 0));
    let credit = Credit {
        payer: payer.address,
        seq: smt_types::Seq(0),
        payment: PaymentId(smt_types::Digest([7; 32])),
        payee: payee.address,
        amount: smt_types::Amount(1_000_000),
    };
    let sent = Channel::default().extend(&credit).unwrap();
    let changes = LinkChanges(Bounded::truncated(vec![LinkChange { peer: here, sent, received: Channel::default() }]));
    let genesis = &lab.shape.network.genesis_headers[source.index() as usize];
    let header = smt_types::Header { links: changes.digest(), ..genesis.clone() };
    let header = CertifiedHeader { header, changes, signatures: Bounded::default() };
    let bundle =
        CreditBundle { header: header.clone(), destination: here, first: 0, credits: Bounded::truncated(vec![credit]) };
    for message in [Message::Header(Box::new(header)), Message::Credits(Box::new(bundle))] {
        assert!(lab.is_refused(3, 0, message));
    }
}

/// A replica that has stopped voting for good does not begin again with a restart.
#[test]
fn retirement_outlives_a_restart() {
    let mut lab = Lab::new(0);
    let (a, b) = (lab.owner(0, 0), lab.owner(0, 1));
    lab.submit(0, &pay(&a, 0, b.address, 5));
    lab.live(1_500_000, |_| true);
    // Its store is replaced by an empty one: peers hold records it has signed and lacks.
    lab.stop(2);
    lab.format(2);
    lab.start(2);
    lab.live(2_000_000, |_| true);
    assert!(matches!(lab.replica(2).voting(), Voting::No(_)), "{:?}", lab.replica(2).voting());
    lab.stop(2);
    lab.start(2);
    // Before any peer has said anything.
    assert!(matches!(lab.replica(2).voting(), Voting::No(_)));
}

/// A replica stops at every point while the rows of a large cut are written: the payments stay findable all the time, the next
/// start takes up what is owed, and in the end each row is there.
#[test]
fn a_crash_while_a_cut_is_indexed_loses_no_row() {
    let mut in_the_middle = 0;
    for ticks in 0..8 {
        let mut lab = Lab::new(0);
        let payee = lab.owner(0, 4).address;
        let payers: Vec<_> = (0..4).map(|n| lab.owner(0, n)).collect();
        let payments: Vec<SignedPayment> =
            payers.iter().flat_map(|payer| (0..390).map(|seq| pay(payer, seq, payee, 1))).collect();
        for (n, payment) in payments.iter().enumerate() {
            lab.submit(n / 390 % 3, payment);
        }
        let found = |lab: &Lab| {
            let replica = lab.replica(0);
            payments.iter().filter(|p| replica.joined(&lab.places[0].store, &p.payment.id()).is_some()).count()
        };
        let decided = (0..4_000).any(|_| {
            lab.pass(500);
            lab.deliver(|_| true);
            found(&lab) == payments.len()
        });
        assert!(decided, "all payments are in cuts");
        assert_eq!(lab.places[0].store.len(Column::Unindexed), 1, "the cut owes its rows");
        for _ in 0..ticks {
            lab.pass(2_500);
            assert_eq!(found(&lab), payments.len());
        }
        lab.stop(0);
        lab.start(0);
        let (owed, rows) = (lab.places[0].store.len(Column::Unindexed), lab.places[0].store.len(Column::Payment));
        in_the_middle += usize::from(owed == 1 && rows > 0 && rows < payments.len());
        assert_eq!(found(&lab), payments.len(), "after {ticks} ticks and a restart");
        lab.live(2_000_000, |_| true);
        for place in &lab.places {
            assert_eq!(place.store.len(Column::Unindexed), 0);
            assert_eq!(place.store.len(Column::Payment), payments.len());
            assert_eq!(
                place.store.len(Column::History),
                2 * payments.len(),
                "one row for the payer, one for the payee"
            );
        }
        assert_eq!(lab.replica(0).indexed(), lab.replica(0).decided());
    }
    assert!(in_the_middle > 0, "no stop came between two slices");
}
