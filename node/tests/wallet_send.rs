//! Paying through faults: whatever the endpoint does, no two payments at one seq, and paid only with a receipt.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    unreachable_pub,
    missing_docs,
    dead_code,
    reason = "tests"
)]

#[path = "support/paynode.rs"]
mod paynode;

use paynode::{Fault, PayNode, payer};
use proptest::prelude::*;
use smt_node::rpc::schema::{Stage, WaitFor};
use smt_node::rpc::{ErrorKind, RpcError};
use smt_node::wallet::journal::{Journal, JournalError, PlanError, Progress};
use smt_node::wallet::network::{Network, NetworkError, verify_receipt};
use smt_node::wallet::send::{Patience, Request, SendError, Sender, Sent};
use smt_types::{Address, Amount, PaymentId, Seq};
use std::path::Path;
use std::time::Duration;

/// One try, no waiting.
const ONCE: Duration = Duration::ZERO;
/// Tries until it works.
const LONG: Duration = Duration::from_secs(20);

fn request(amount: u64) -> Request {
    Request { payee: Address([9; 32]), amount: Amount(amount), memo: b"hi".to_vec(), again: false, seq: None }
}

fn journal(dir: &Path, network: &Network) -> Journal {
    Journal::open(network.dir(), network.id(), payer().public().address()).unwrap_or_else(|e| panic!("{dir:?}: {e}"))
}

fn run(dir: &Path, node: &PayNode, request: &Request, wait: WaitFor, time: Duration) -> Result<Sent, SendError> {
    let network = Network::contact(dir, node, None).unwrap();
    let on_resend = |_: Seq, _: PaymentId| {};
    let sender = Sender { endpoint: node, network: &network, journal: journal(dir, &network), on_resend: &on_resend };
    let outcome = sender.send(&payer(), request, Patience::new(wait, time));
    if let Ok(sent) = &outcome {
        // What the command does once it has printed.
        sender.journal.reported(sent.payment.payment.seq).unwrap();
    }
    outcome
}

fn pay(dir: &Path, node: &PayNode, amount: u64) -> Result<Sent, SendError> {
    run(dir, node, &request(amount), WaitFor::Final, ONCE)
}

#[test]
fn payment_is_paid_with_a_receipt_that_verifies_and_is_kept() {
    let (dir, node) = (tempfile::tempdir().unwrap(), PayNode::new(7, 0));
    for amount in [5, 6] {
        let sent = pay(dir.path(), &node, amount).unwrap();
        assert_eq!((sent.stage, sent.epoch, sent.resumed), (Stage::Final, Some(4), false));
        let network = Network::contact(dir.path(), &node, None).unwrap();
        let kept = journal(dir.path(), &network).receipt(sent.payment.payment.seq).unwrap();
        assert_eq!(kept, sent.receipt);
        assert!(network.verify(&kept.unwrap()).is_ok());
    }
    // The same request after its outcome was told is a second payment.
    assert!(!pay(dir.path(), &node, 6).unwrap().resumed);
    assert_eq!(node.applied().iter().map(|signed| signed.payment.amount.0).collect::<Vec<_>>(), [5, 6, 6]);
    node.assert_one_payment_per_seq();
}

#[test]
fn lost_request_or_reply_is_taken_up_by_the_same_command() {
    for fault in [Fault::LoseRequest, Fault::LoseReply] {
        let (dir, node) = (tempfile::tempdir().unwrap(), PayNode::new(7, 0));
        node.fault([fault]);
        assert!(matches!(pay(dir.path(), &node, 5), Err(SendError::Unfinished { seq: Seq(0), .. })));
        let sent = pay(dir.path(), &node, 5).unwrap();
        assert!(sent.resumed);
        assert_eq!(node.applied().len(), 1);
        assert!(!pay(dir.path(), &node, 5).unwrap().resumed);
        assert_eq!(node.applied().len(), 2);
        node.assert_one_payment_per_seq();
    }
}

#[test]
fn patient_command_sends_until_it_works() {
    let (dir, node) = (tempfile::tempdir().unwrap(), PayNode::new(7, 0));
    let busy = RpcError::new(ErrorKind::Overloaded, "busy");
    node.fault([Fault::LoseReply, Fault::Answer(busy), Fault::Only(Stage::Certified)]);
    let sent = run(dir.path(), &node, &request(5), WaitFor::Final, LONG).unwrap();
    assert_eq!((sent.stage, node.shown(), node.applied().len()), (Stage::Final, 4, 1));
}

#[test]
fn again_pays_once_more_but_first_what_is_in_the_way() {
    let (dir, node) = (tempfile::tempdir().unwrap(), PayNode::new(7, 0));
    node.fault([Fault::LoseRequest]);
    pay(dir.path(), &node, 5).unwrap_err();
    let sent = run(dir.path(), &node, &Request { again: true, ..request(5) }, WaitFor::Final, ONCE).unwrap();
    assert_eq!((sent.payment.payment.seq, sent.resent.len()), (Seq(1), 1));
    assert_eq!(node.applied().len(), 2);
}

#[test]
fn nothing_new_is_signed_while_an_earlier_payment_is_not_certified() {
    let (dir, node) = (tempfile::tempdir().unwrap(), PayNode::new(7, 0));
    let unavailable = RpcError::new(ErrorKind::ShardUnavailable, "no quorum");
    node.fault([Fault::LoseRequest, Fault::LoseRequest, Fault::Answer(unavailable)]);
    pay(dir.path(), &node, 5).unwrap_err();
    for _ in 0..2 {
        assert!(matches!(pay(dir.path(), &node, 6), Err(SendError::InTheWay { seq: Seq(0), .. })));
    }
    let network = Network::contact(dir.path(), &node, None).unwrap();
    assert_eq!(journal(dir.path(), &network).notes().unwrap().len(), 1);
    let sent = pay(dir.path(), &node, 6).unwrap();
    assert_eq!((sent.payment.payment.seq, sent.resent.len()), (Seq(1), 1));
    node.assert_one_payment_per_seq();
}

#[test]
fn receipt_that_proves_nothing_is_not_a_payment() {
    let (dir, node) = (tempfile::tempdir().unwrap(), PayNode::new(7, 0));
    node.fault([Fault::BadReceipt]);
    assert!(matches!(pay(dir.path(), &node, 5), Err(SendError::Unproven { .. })));
    let network = Network::contact(dir.path(), &node, None).unwrap();
    assert_eq!(journal(dir.path(), &network).receipt(Seq(0)).unwrap(), None);
    assert!(pay(dir.path(), &node, 5).unwrap().resumed);
    node.fault([Fault::OtherReceipt]);
    assert!(matches!(pay(dir.path(), &node, 6), Err(SendError::Confused { .. })));
}

#[test]
fn receipt_fails_with_any_bit_flipped() {
    let (dir, node) = (tempfile::tempdir().unwrap(), PayNode::new(7, 0));
    let receipt = pay(dir.path(), &node, 5).unwrap().receipt.unwrap();
    // One bit of every byte here; the types' own tests try all bits.
    for at in 0..receipt.len() {
        let mut bytes = receipt.clone();
        bytes[at] ^= 1 << (at % 8);
        assert!(verify_receipt(&node.genesis, &bytes).is_err(), "byte {at}");
    }
    assert!(verify_receipt(&PayNode::new(7, 1).genesis, &receipt).is_err());
    assert!(verify_receipt(&node.genesis, &receipt).is_ok());
}

#[test]
fn final_payment_is_paid_even_if_more_was_waited_for() {
    let (dir, node) = (tempfile::tempdir().unwrap(), PayNode::new(7, 0));
    node.fault([Fault::Only(Stage::Final)]);
    let outcome = run(dir.path(), &node, &request(5), WaitFor::Credited, ONCE);
    assert!(matches!(outcome, Err(SendError::Unfinished { stage: Some(Stage::Final), .. })), "{outcome:?}");
    let network = Network::contact(dir.path(), &node, None).unwrap();
    assert!(journal(dir.path(), &network).receipt(Seq(0)).unwrap().is_some());
}

#[test]
fn certified_is_not_paid() {
    let (dir, node) = (tempfile::tempdir().unwrap(), PayNode::new(7, 0));
    node.fault([Fault::Only(Stage::Certified)]);
    let outcome = pay(dir.path(), &node, 5);
    assert!(matches!(outcome, Err(SendError::Unfinished { stage: Some(Stage::Certified), .. })));
    let network = Network::contact(dir.path(), &node, None).unwrap();
    assert_eq!(journal(dir.path(), &network).note(Seq(0)).unwrap().progress, Progress::Certified);
}

#[test]
fn seq_taken_by_another_payment_is_told_once_and_then_passed() {
    let (dir, node) = (tempfile::tempdir().unwrap(), PayNode::new(7, 0));
    // The same key in a second wallet.
    let elsewhere = tempfile::tempdir().unwrap();
    node.fault([Fault::LoseRequest]);
    pay(dir.path(), &node, 5).unwrap_err();
    pay(elsewhere.path(), &node, 6).unwrap();
    assert!(matches!(pay(dir.path(), &node, 5), Err(SendError::Dead { seq: Seq(0), .. })));
    let network = Network::contact(dir.path(), &node, None).unwrap();
    journal(dir.path(), &network).reported(Seq(0)).unwrap();
    let sent = pay(dir.path(), &node, 5).unwrap();
    assert_eq!((sent.payment.payment.seq, sent.resumed), (Seq(1), false));
}

#[test]
fn refused_payment_keeps_its_seq_and_is_sent_again_as_it_is() {
    let conflict = RpcError::new(ErrorKind::SeqConflict, "another payment is locked there");
    for fault in [Fault::Answer(conflict), Fault::End(Stage::Rejected)] {
        let (dir, node) = (tempfile::tempdir().unwrap(), PayNode::new(7, 0));
        node.fault([fault.clone(), fault]);
        let outcome = run(dir.path(), &node, &request(5), WaitFor::Final, LONG);
        assert!(matches!(outcome, Err(SendError::Rejected { seq: Seq(0), .. })));
        assert!(matches!(pay(dir.path(), &node, 6), Err(SendError::InTheWay { seq: Seq(0), .. })));
        assert!(pay(dir.path(), &node, 5).unwrap().resumed);
        node.assert_one_payment_per_seq();
    }
}

#[test]
fn void_ends_a_payment_and_expired_does_not() {
    let (dir, node) = (tempfile::tempdir().unwrap(), PayNode::new(7, 0));
    node.fault([Fault::End(Stage::Expired), Fault::End(Stage::Void)]);
    let outcome = run(dir.path(), &node, &request(5), WaitFor::Final, LONG);
    assert!(matches!(outcome, Err(SendError::Dead { seq: Seq(0), .. })));
}

#[test]
fn key_used_elsewhere_goes_on_from_the_endpoints_seq() {
    let (dir, elsewhere, node) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), PayNode::new(7, 0));
    for amount in 1..4 {
        pay(elsewhere.path(), &node, amount).unwrap();
    }
    assert_eq!(pay(dir.path(), &node, 9).unwrap().payment.payment.seq, Seq(3));
    node.assert_one_payment_per_seq();
}

#[test]
fn endpoint_that_is_behind_cannot_make_us_sign_a_used_seq() {
    let (dir, node) = (tempfile::tempdir().unwrap(), PayNode::new(7, 0));
    pay(dir.path(), &node, 1).unwrap();
    pay(dir.path(), &node, 2).unwrap();
    node.claim_next_seq(Some(0));
    assert_eq!(pay(dir.path(), &node, 3).unwrap().payment.payment.seq, Seq(2));
    // Far ahead: signed there, held by the node; nothing is signed below it without the user's word.
    node.claim_next_seq(Some(9));
    pay(dir.path(), &node, 4).unwrap_err();
    node.claim_next_seq(None);
    let gap = PlanError::Gap { missing: Seq(3), held: Seq(9) };
    assert!(matches!(pay(dir.path(), &node, 5), Err(SendError::Plan(found)) if found == gap));
    let asked = Request { seq: Some(Seq(3)), ..request(5) };
    assert_eq!(run(dir.path(), &node, &asked, WaitFor::Final, ONCE).unwrap().payment.payment.seq, Seq(3));
    let used = Request { seq: Some(Seq(1)), ..request(8) };
    assert!(matches!(
        run(dir.path(), &node, &used, WaitFor::Final, ONCE),
        Err(SendError::Plan(PlanError::Used { .. }))
    ));
    node.assert_one_payment_per_seq();
}

#[test]
fn hopeless_requests_are_refused_before_anything_is_signed() {
    let (dir, node) = (tempfile::tempdir().unwrap(), PayNode::new(7, 0));
    let own = payer().public().address();
    let cases = [
        (Request { amount: Amount(0), ..request(0) }, ErrorKind::AmountZero),
        (Request { payee: own, ..request(1) }, ErrorKind::SelfPayment),
        (Request { memo: vec![b'x'; 65], ..request(1) }, ErrorKind::MemoTooLong),
        (request(1_001), ErrorKind::InsufficientFunds),
    ];
    for (request, kind) in cases {
        let outcome = run(dir.path(), &node, &request, WaitFor::Final, ONCE);
        assert!(
            matches!(&outcome, Err(SendError::Refused { kind: found, .. }) if *found == kind.word()),
            "{outcome:?}"
        );
    }
    assert_eq!(node.shown(), 0);
    let network = Network::contact(dir.path(), &node, None).unwrap();
    assert!(journal(dir.path(), &network).notes().unwrap().is_empty());
}

#[test]
fn another_genesis_of_the_same_number_is_refused_until_the_old_one_is_forgotten() {
    let (dir, node, other) = (tempfile::tempdir().unwrap(), PayNode::new(7, 0), PayNode::new(7, 1));
    pay(dir.path(), &node, 5).unwrap();
    let refused = Network::contact(dir.path(), &other, None);
    assert!(matches!(refused, Err(NetworkError::OtherGenesis { .. })));
    let wanted = Some(smt_types::Digest([1; 32]));
    assert!(matches!(Network::contact(dir.path(), &node, wanted), Err(NetworkError::Hash { .. })));
    let away = Network::forget(dir.path(), node.genesis.network).unwrap();
    assert!(away.join("pin.json").exists());
    assert_eq!(pay(dir.path(), &other, 5).unwrap().payment.payment.seq, Seq(0));
    // A third network of another number has a journal of its own.
    assert_eq!(pay(dir.path(), &PayNode::new(8, 0), 5).unwrap().payment.payment.seq, Seq(0));
}

#[test]
fn damaged_genesis_file_is_fetched_again_and_checked() {
    let (dir, node) = (tempfile::tempdir().unwrap(), PayNode::new(7, 0));
    let network = Network::contact(dir.path(), &node, None).unwrap();
    std::fs::write(network.dir().join("genesis"), b"x").unwrap();
    assert!(Network::known(dir.path(), network.id()).is_err());
    assert_eq!(Network::contact(dir.path(), &node, None).unwrap().hash(), network.hash());
    assert!(Network::by_hash(dir.path(), network.hash()).is_ok());
}

#[test]
fn submitting_another_payment_at_a_seq_of_ours_is_refused() {
    let (dir, node) = (tempfile::tempdir().unwrap(), PayNode::new(7, 0));
    let sent = pay(dir.path(), &node, 5).unwrap();
    let network = Network::contact(dir.path(), &node, None).unwrap();
    let on_resend = |_: Seq, _: PaymentId| {};
    let sender =
        Sender { endpoint: &node, network: &network, journal: journal(dir.path(), &network), on_resend: &on_resend };
    let mut other = sent.payment.payment.clone();
    other.amount = Amount(6);
    let outcome = sender.submit(&other.sign(&payer()), Patience::new(WaitFor::Final, ONCE));
    assert!(matches!(outcome, Err(SendError::Journal(JournalError::OtherPayment { .. }))));
    // The same bytes again are always fine.
    assert!(sender.submit(&sent.payment, Patience::new(WaitFor::Final, ONCE)).is_ok());
    node.assert_one_payment_per_seq();
}

#[test]
fn two_processes_paying_at_once_take_turns() {
    let (dir, node) = (tempfile::tempdir().unwrap(), PayNode::new(7, 0));
    std::thread::scope(|scope| {
        for wallet in 0..4u64 {
            let (dir, node) = (dir.path(), &node);
            scope.spawn(move || {
                for n in 0..3 {
                    run(dir, node, &request(1 + wallet * 3 + n), WaitFor::Final, LONG).unwrap();
                }
            });
        }
    });
    let mut amounts: Vec<_> = node.applied().iter().map(|signed| signed.payment.amount.0).collect();
    amounts.sort_unstable();
    assert_eq!(amounts, (1..=12).collect::<Vec<_>>());
    node.assert_one_payment_per_seq();
}

fn any_fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        3 => Just(Fault::LoseRequest),
        3 => Just(Fault::LoseReply),
        1 => Just(Fault::Answer(RpcError::new(ErrorKind::ShardUnavailable, "no quorum"))),
        1 => Just(Fault::Answer(RpcError::new(ErrorKind::Expired, "gave up"))),
        1 => Just(Fault::Only(Stage::Received)),
        1 => Just(Fault::Only(Stage::Certified)),
        1 => Just(Fault::BadReceipt),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Any run of faults and of claims about the next seq; the user repeats each command until it says paid. Then every
    /// wish was paid exactly once.
    #[test]
    fn every_wish_is_paid_once_through_any_faults(
        wishes in proptest::collection::vec((1u64..4, proptest::collection::vec(any_fault(), 0..4)), 1..5),
        behind in any::<bool>(),
    ) {
        let (dir, node) = (tempfile::tempdir().unwrap(), PayNode::new(7, 0));
        for (amount, faults) in &wishes {
            node.fault(faults.clone());
            if behind {
                node.claim_next_seq(Some(0));
            }
            let mut tries = 0;
            while pay(dir.path(), &node, *amount).is_err() {
                tries += 1;
                prop_assert!(tries < 12);
            }
            node.claim_next_seq(None);
        }
        let paid: Vec<_> = node.applied().iter().map(|signed| signed.payment.amount.0).collect();
        prop_assert_eq!(paid, wishes.iter().map(|(amount, _)| *amount).collect::<Vec<_>>());
        node.assert_one_payment_per_seq();
    }
}
