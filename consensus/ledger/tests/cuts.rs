//! Single cuts: every error once, voids, forks, and the schedule that signed balances would fail.
#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, clippy::indexing_slicing, reason = "tests")]

mod common;

use common::{Owner, ledger, owners, value};
use smt_consensus::ports::{ApplyError, CutError, Known, Ledger, LiveAccount};
use smt_ledger::{Account, ShardLedger};
use smt_types::credit::{Channel, Credit};
use smt_types::{Amount, CutValue, Digest, PaymentId, Seq, ShardAddress, SignedPayment};
use std::collections::BTreeMap;

const HERE: ShardAddress = ShardAddress::new(1, 0).unwrap();
const THERE: ShardAddress = ShardAddress::new(1, 2).unwrap();

fn credit(payer: &Owner, payee: &Owner, amount: u64) -> Credit {
    let payment = PaymentId(Digest([9; 32]));
    Credit { payer: payer.address, seq: Seq(0), payment, payee: payee.address, amount: Amount(amount) }
}

/// Both ways of asking refuse alike, and nothing is changed.
fn refused(
    ledger: &mut ShardLedger,
    value: &CutValue,
    payments: &[&SignedPayment],
    credits: &[(ShardAddress, Vec<Credit>)],
) -> CutError {
    let (before, live, mut writes) = (ledger.writes(), format!("{:?}", ledger.ahead().collect::<Vec<_>>()), Vec::new());
    let payments = &known(payments);
    let error = ledger.check_cut(value, payments, credits).unwrap_err();
    assert_eq!(ledger.decide(value, payments, credits, &mut writes).unwrap_err(), error);
    assert_eq!((ledger.writes(), format!("{:?}", ledger.ahead().collect::<Vec<_>>())), (before, live));
    assert!(writes.is_empty());
    error
}

fn known<'a>(payments: &[&'a SignedPayment]) -> Vec<Known<'a>> {
    payments.iter().map(|payment| Known::from(*payment)).collect()
}

fn decide(ledger: &mut ShardLedger, value: &CutValue, payments: &[&SignedPayment]) {
    let (mut writes, payments) = (Vec::new(), known(payments));
    ledger.decide(value, &payments, &[], &mut writes).unwrap();
    assert!(!writes.is_empty());
}

#[test]
fn each_error_is_given_for_its_fault_and_changes_nothing() {
    let all = owners(1, 2);
    let ([a, b], [far, _]) = (&all[0][..], &all[2][..]) else { panic!("two owners a shard") };
    let mut own = ledger(HERE, &[(a.address, 50), (b.address, 0)]);
    let plain = value(HERE, 1, &[], &[]);

    let (first, second) = (a.pay(0, b.address, 1), a.pay(0, b.address, 2));
    let error = refused(&mut own, &plain, &[&first, &second], &[]);
    let (id, other) = (first.payment.id(), second.payment.id());
    assert_eq!(error, CutError::TwoAtSlot { slot: a.slot(0), first: id.min(other), second: id.max(other) });
    assert_eq!(error, refused(&mut own, &plain, &[&second, &first], &[]));

    let gap = refused(&mut own, &plain, &[&a.pay(0, b.address, 1), &a.pay(2, b.address, 1)], &[]);
    assert_eq!(gap, CutError::Gap { slot: a.slot(2), next: Seq(1) });
    // A slot is kept or void, not both; and a void stands where it is next.
    let void = refused(&mut own, &value(HERE, 1, &[a.slot(0)], &[]), &[&first], &[]);
    assert_eq!(void, CutError::Gap { slot: a.slot(0), next: Seq(0) });
    let void = refused(&mut own, &value(HERE, 1, &[a.slot(1)], &[]), &[], &[]);
    assert_eq!(void, CutError::Gap { slot: a.slot(1), next: Seq(0) });
    let void = refused(&mut own, &value(HERE, 1, &[far.slot(0)], &[]), &[], &[]);
    assert_eq!(void, CutError::Gap { slot: far.slot(0), next: Seq(0) });

    assert_eq!(refused(&mut own, &plain, &[&a.pay(0, far.address, 51)], &[]), CutError::Negative(a.address));
    assert_eq!(refused(&mut own, &plain, &[&far.pay(0, a.address, 1)], &[]), CutError::Negative(far.address));

    let from = |source, count| value(HERE, 1, &[], &[(source, count, 1)]);
    let all_money = vec![(THERE, vec![credit(far, b, u64::MAX)])];
    assert_eq!(refused(&mut own, &from(THERE, 1), &[], &all_money), CutError::Overflow);
    let exceeds = vec![(THERE, vec![credit(far, a, u64::MAX)])];
    assert_eq!(refused(&mut own, &from(THERE, 1), &[], &exceeds), CutError::Overflow);

    let foreign = |source_shard, number| CutError::ForeignCredit { source_shard, number };
    let good = credit(far, b, 1);
    for (source, list, number) in [
        (THERE, vec![good, credit(far, far, 1)], 1),
        (THERE, vec![credit(a, b, 1)], 0),
        (THERE, vec![good], 1),
        (ShardAddress::new(1, 1).unwrap(), vec![good], 0),
        (HERE, vec![credit(a, b, 1)], 0),
        (ShardAddress::ROOT, vec![good], 0),
    ] {
        assert_eq!(refused(&mut own, &from(source, 2), &[], &[(source, list)]), foreign(source, number));
    }
    let mut last = ledger(HERE, &[(a.address, 50)]);
    decide(&mut last, &plain, &[&first]);
    assert_eq!(
        refused(&mut last, &value(HERE, 2, &[], &[]), &[&a.pay(2, b.address, 1)], &[]),
        CutError::Gap { slot: a.slot(2), next: Seq(1) }
    );
}

#[test]
fn credits_not_named_in_the_value_do_not_count() {
    let all = owners(1, 2);
    let (a, far) = (&all[0][0], &all[2][0]);
    let mut own = ledger(HERE, &[(a.address, 50)]);
    let given = vec![(THERE, vec![credit(far, a, 5), credit(far, a, 7)])];
    let mut writes = Vec::new();
    let none = own.decide(&value(HERE, 1, &[], &[]), &[], &given, &mut writes).unwrap();
    assert_eq!((none.credited.len(), none.supply), (0, Amount(50)));
    let one = own.decide(&value(HERE, 2, &[], &[(THERE, 1, 4)]), &[], &given, &mut writes).unwrap();
    assert_eq!((one.credited.len(), one.supply), (1, Amount(55)));
    assert_eq!(own.levels().levels[0][1].epoch, 4);
    // The same value again: its count is no longer above the cursor, so its epoch says nothing either, even where the link
    // changes by a payment there.
    let paid = a.pay(0, far.address, 1);
    let replay = value(HERE, 3, &[], &[(THERE, 1, 9)]);
    let again = own.decide(&replay, &known(&[&paid]), &given, &mut writes).unwrap();
    assert_eq!((again.credited.len(), again.supply), (0, Amount(54)));
    assert_eq!(again.changes.0[0].received.count, 1);
    assert_eq!(own.levels().levels[0][1].epoch, 4);
    assert_eq!(own.cursor(THERE), Channel::default().extend(&credit(far, a, 5)).unwrap());
    assert_eq!(own.account(&a.address).unwrap().balance, Amount(54));
}

/// Confluence breaks without unsigned balances: the schedule of the rule "applied only when funded".
#[test]
fn join_of_reports_with_negative_intermediates_is_negative() {
    let all = owners(1, 3);
    let [a, b, c] = &all[0][..] else { panic!("three owners") };
    let balances = [(a.address, 10), (b.address, 0)];
    let (funding, spending) = (a.pay(0, b.address, 10), b.pay(0, c.address, 10));

    // A replica with signed balances applies whatever is next, funded or not.
    let mut signed: BTreeMap<_, i128> =
        balances.iter().map(|(address, balance)| (*address, i128::from(*balance))).collect();
    let joined_by_signed = [&spending];
    for payment in joined_by_signed.map(|signed| &signed.payment) {
        *signed.entry(payment.payer.address()).or_default() -= i128::from(payment.amount.0);
        *signed.entry(payment.payee).or_default() += i128::from(payment.amount.0);
    }
    // X has applied `spending` alone, Y reported before it applied anything: their join is negative at b.
    assert_eq!(signed[&b.address], -10);
    let mut own = ledger(HERE, &balances);
    assert_eq!(refused(&mut own, &value(HERE, 1, &[], &[]), &joined_by_signed, &[]), CutError::Negative(b.address));

    // Ours holds it until the funding is here, so every report that has it is non-negative.
    assert_eq!(own.apply((&spending).into()), Err(ApplyError::Unfunded { balance: Amount(0) }));
    own.apply((&funding).into()).unwrap();
    own.apply((&spending).into()).unwrap();
    let report: Vec<_> = own.ahead().map(|(slot, _)| slot).collect();
    assert!(report.contains(&a.slot(0)) && report.contains(&b.slot(0)));
    decide(&mut own, &value(HERE, 1, &[], &[]), &[&spending, &funding]);
    assert_eq!(own.cut_account(&c.address), Some(Account { balance: Amount(10), next_seq: Seq(0) }));
}

#[test]
fn apply_asks_for_seq_and_funds() {
    let all = owners(1, 2);
    let ([a, b], far) = (&all[0][..], &all[2][0]) else { panic!("two owners a shard") };
    let mut own = ledger(HERE, &[(a.address, 10)]);
    assert_eq!(own.account(&b.address), None);
    assert_eq!(own.apply((&a.pay(1, b.address, 1)).into()), Err(ApplyError::Seq { next: Seq(0) }));
    assert_eq!(own.apply((&a.pay(0, b.address, 11)).into()), Err(ApplyError::Unfunded { balance: Amount(10) }));
    assert!(own.apply((&far.pay(0, a.address, 0)).into()).is_err());
    own.apply((&a.pay(0, b.address, 4)).into()).unwrap();
    own.apply((&a.pay(1, a.address, 6)).into()).unwrap();
    own.apply((&a.pay(2, far.address, 6)).into()).unwrap();
    assert_eq!(own.account(&a.address), Some(LiveAccount { balance: Amount(0), next_seq: Seq(3) }));
    assert_eq!(own.account(&b.address), Some(LiveAccount { balance: Amount(4), next_seq: Seq(0) }));
    assert_eq!(own.cut_seq(&a.address), Seq(0));
    assert_eq!(own.outbox(THERE).count, 0);
    let mut writes = Vec::new();
    let payments = [&a.pay(2, far.address, 6), &a.pay(1, a.address, 6), &a.pay(0, b.address, 4)];
    let snapshot = own.decide(&value(HERE, 1, &[], &[]), &known(&payments), &[], &mut writes).unwrap();
    assert_eq!((snapshot.supply, own.outbox(THERE).sum, own.ahead().count()), (Amount(4), 6, 0));
    assert_eq!(snapshot.changes.0[0].peer, THERE);
    assert_eq!(snapshot.levels.levels[0][1].sent, 6);
}

#[test]
fn void_passes_the_slot_for_ever_and_takes_back_what_rested_on_it() {
    let all = owners(1, 3);
    let [a, b, c] = &all[0][..] else { panic!("three owners") };
    let balances = [(a.address, 10), (b.address, 0), (c.address, 5)];
    let (lost, later) = (a.pay(0, b.address, 10), a.pay(1, c.address, 10));
    let (resting, unrelated) = (b.pay(0, c.address, 3), c.pay(0, b.address, 2));

    let mut applied = ledger(HERE, &balances);
    for payment in [&lost, &resting, &unrelated] {
        applied.apply(payment.into()).unwrap();
    }
    let mut innocent = ledger(HERE, &balances);
    let void = value(HERE, 1, &[a.slot(0)], &[]);
    decide(&mut applied, &void, &[]);
    decide(&mut innocent, &void, &[]);
    assert_eq!(applied.state_root(), innocent.state_root());
    assert_eq!(applied.displaced(), [lost.payment.id(), resting.payment.id()]);
    assert!(applied.ahead().eq([(c.slot(0), unrelated.payment.id())]));
    assert_eq!(applied.account(&a.address), Some(LiveAccount { balance: Amount(10), next_seq: Seq(1) }));
    assert_eq!(applied.account(&b.address), Some(LiveAccount { balance: Amount(2), next_seq: Seq(0) }));

    // A late certificate of the voided payment is refused; the next slot goes on, and what fell out may come again.
    assert_eq!(applied.apply((&lost).into()), Err(ApplyError::Seq { next: Seq(1) }));
    applied.apply((&later).into()).unwrap();
    assert_eq!(applied.apply((&resting).into()), Err(ApplyError::Unfunded { balance: Amount(2) }));
    let root = innocent.state_root();
    for own in [&mut applied, &mut innocent] {
        decide(own, &value(HERE, 2, &[a.slot(0)], &[]), &[&lost, &later, &unrelated]);
    }
    assert_eq!(applied.state_root(), innocent.state_root());
    assert_ne!(applied.state_root(), root);
    assert_eq!(applied.cut_account(&a.address), Some(Account { balance: Amount(0), next_seq: Seq(2) }));
}

#[test]
fn void_of_an_account_never_paid_makes_one() {
    let all = owners(1, 1);
    let a = &all[0][0];
    let mut own = ledger(HERE, &[]);
    decide(&mut own, &value(HERE, 1, &[a.slot(0)], &[]), &[]);
    assert_eq!(own.cut_account(&a.address), Some(Account { balance: Amount(0), next_seq: Seq(1) }));
    assert_eq!(own.account_count(), 1);
}

/// Beyond the fault bound two payments of one slot are certified: the decided cut wins over what was applied.
#[test]
fn decided_payment_replaces_another_applied_at_its_slot() {
    let all = owners(1, 3);
    let [a, b, c] = &all[0][..] else { panic!("three owners") };
    let mut own = ledger(HERE, &[(a.address, 10)]);
    let (ours, theirs) = (a.pay(0, b.address, 10), a.pay(0, c.address, 4));
    let next = a.pay(1, b.address, 6);
    own.apply((&ours).into()).unwrap();
    decide(&mut own, &value(HERE, 1, &[], &[]), &[&theirs]);
    assert_eq!(own.displaced(), [ours.payment.id()]);
    assert_eq!(own.account(&b.address), None);
    own.apply((&next).into()).unwrap();
    assert_eq!(own.account(&a.address), Some(LiveAccount { balance: Amount(0), next_seq: Seq(2) }));
}

#[test]
fn history_tells_epochs_and_payments_apart() {
    let all = owners(1, 2);
    let [a, b] = &all[0][..] else { panic!("two owners") };
    // Equal balances and seqs by different payments: the state still differs.
    let run = |amounts: [u64; 2]| {
        let mut own = ledger(HERE, &[(a.address, 10)]);
        let payments = [a.pay(0, b.address, amounts[0]), a.pay(1, b.address, amounts[1])];
        decide(&mut own, &value(HERE, 1, &[], &[]), &[&payments[0], &payments[1]]);
        own
    };
    let (one, other) = (run([1, 2]), run([2, 1]));
    assert_eq!(one.parts().accounts, other.parts().accounts);
    assert_ne!(one.state_root(), other.state_root());
    // An empty epoch moves the history too.
    let mut later = one.clone();
    decide(&mut later, &value(HERE, 2, &[], &[]), &[]);
    assert_ne!(later.state_root(), one.state_root());
}

#[test]
#[should_panic(expected = "consecutive")]
fn cut_of_another_epoch_is_our_own_fault() {
    let mut own = ledger(HERE, &[]);
    decide(&mut own, &value(HERE, 2, &[], &[]), &[]);
}
