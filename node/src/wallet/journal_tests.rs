#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

use super::*;
use crate::wallet::durable::crash;
use proptest::prelude::*;
use smt_types::crypto::SecretKey;
use smt_types::{Amount, Bounded, Lamport, Payment};
use std::collections::BTreeSet;
use std::fs;
use std::sync::{Arc, Barrier};

const NETWORK: NetworkId = NetworkId(7);

fn key() -> SecretKey {
    SecretKey::from_seed([1; 32])
}

fn signed(seq: u64, amount: u64) -> SignedPayment {
    let payment = Payment {
        network: NETWORK,
        payer: key().public(),
        seq: Seq(seq),
        payee: Address([9; 32]),
        amount: Amount(amount),
        memo: Bounded::default(),
        after: Lamport(0),
    };
    payment.sign(&key())
}

fn open(dir: &Path) -> Journal {
    Journal::open(dir, NETWORK, key().public().address()).unwrap()
}

fn lock(dir: &Path) -> LockedJournal {
    open(dir).lock(Duration::from_secs(20)).unwrap()
}

/// What `send` does up to the moment the payment may leave.
fn sign_next(dir: &Path, next: u64, amount: u64) -> Result<SignedPayment, JournalError> {
    let lock = open(dir).lock(Duration::from_secs(20))?;
    let held = lock.journal().notes()?.into_iter().map(|(seq, note)| (seq, note.progress)).collect();
    let plan = plan(Seq(next), None, &held).unwrap();
    lock.record(&signed(plan.sign_at.0, amount))
}

#[test]
fn entry_reads_back_and_is_made_once() {
    let dir = tempfile::tempdir().unwrap();
    let lock = lock(dir.path());
    assert_eq!(lock.record(&signed(3, 5)).unwrap(), signed(3, 5));
    assert_eq!(lock.record(&signed(3, 5)).unwrap(), signed(3, 5));
    assert!(matches!(lock.record(&signed(3, 6)), Err(JournalError::OtherPayment { seq: Seq(3), .. })));
    assert_eq!(open(dir.path()).payment(Seq(3)).unwrap(), Some(signed(3, 5)));
    assert_eq!(open(dir.path()).payment(Seq(4)).unwrap(), None);
}

#[test]
fn payment_of_another_network_or_account_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let lock = lock(dir.path());
    let other = Payment { network: NetworkId(8), ..signed(0, 5).payment }.sign(&key());
    assert!(matches!(lock.record(&other), Err(JournalError::Foreign { network: NetworkId(8), .. })));
    let stranger = SecretKey::from_seed([2; 32]);
    let other = Payment { payer: stranger.public(), ..signed(0, 5).payment }.sign(&stranger);
    assert!(matches!(lock.record(&other), Err(JournalError::Foreign { .. })));
    assert!(open(dir.path()).notes().unwrap().is_empty());
}

#[test]
fn damaged_entry_still_holds_its_seq() {
    let dir = tempfile::tempdir().unwrap();
    let lock = lock(dir.path());
    lock.record(&signed(0, 5)).unwrap();
    let path = open(dir.path()).path(Seq(0), "payment");
    let intact = fs::read(&path).unwrap();
    for at in 0..intact.len() - 1 {
        let mut bytes = intact.clone();
        bytes[at] ^= 1;
        fs::write(&path, &bytes).unwrap();
        assert!(open(dir.path()).payment(Seq(0)).is_err(), "byte {at}");
        assert!(lock.record(&signed(0, 5)).is_err());
    }
    fs::write(&path, b"").unwrap();
    assert!(lock.record(&signed(0, 6)).is_err());
    assert!(open(dir.path()).notes().unwrap().contains_key(&Seq(0)));
}

#[test]
fn knowledge_only_grows() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    lock(dir.path()).record(&signed(0, 5)).unwrap();
    assert_eq!(journal.note(Seq(0)).unwrap(), Note::FRESH);
    journal.learn(Seq(0), Progress::Certified, "").unwrap();
    journal.learn(Seq(0), Progress::Received, "timeout").unwrap();
    journal.reported(Seq(0)).unwrap();
    journal.finish(Seq(0), b"first").unwrap();
    journal.finish(Seq(0), b"second").unwrap();
    assert_eq!(journal.receipt(Seq(0)).unwrap().unwrap(), b"first");
    let note = journal.note(Seq(0)).unwrap();
    assert_eq!(note, Note { progress: Progress::Final, reported: true, reason: String::new() });
}

/// A crash at every step of the file work; then the same wish again, as a new process would have it.
#[test]
fn no_crash_gives_a_seq_to_two_payments() {
    for steps in 0..10 {
        let dir = tempfile::tempdir().unwrap();
        let mut left: Vec<SignedPayment> = Vec::new();
        for round in 0..4u64 {
            crash::after(Some(steps));
            let first = sign_next(dir.path(), 0, 100 + round);
            crash::after(None);
            // Only what `record` returned may have been sent. Another wish follows a crash: the worst case.
            left.extend(first);
            left.push(sign_next(dir.path(), 0, 200 + round).unwrap());
        }
        let mut ids = BTreeMap::new();
        for payment in &left {
            let id = payment.payment.id();
            assert_eq!(*ids.entry(payment.payment.seq).or_insert(id), id, "{steps} steps");
            assert_eq!(open(dir.path()).payment(payment.payment.seq).unwrap().as_ref(), Some(payment));
        }
        // Seqs have no gap: a crash loses no number either.
        let held: Vec<_> = open(dir.path()).notes().unwrap().into_keys().collect();
        assert_eq!(held, (0..held.len() as u64).map(Seq).collect::<Vec<_>>());
        drop(lock(dir.path()));
        let files = fs::read_dir(open(dir.path()).dir).unwrap();
        let temporary = files.filter(|file| file.as_ref().unwrap().file_name().to_string_lossy().starts_with(".tmp"));
        assert_eq!(temporary.count(), 0);
    }
}

#[test]
fn racing_wallets_get_a_seq_each() {
    const WALLETS: u64 = 4;
    const PAYMENTS: u64 = 8;
    let dir = Arc::new(tempfile::tempdir().unwrap());
    let start = Arc::new(Barrier::new(WALLETS as usize));
    let threads: Vec<_> = (0..WALLETS)
        .map(|wallet| {
            let (dir, start) = (Arc::clone(&dir), Arc::clone(&start));
            std::thread::spawn(move || {
                start.wait();
                (0..PAYMENTS).map(|n| sign_next(dir.path(), 0, 1 + wallet * PAYMENTS + n).unwrap()).collect::<Vec<_>>()
            })
        })
        .collect();
    let all: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    let seqs: BTreeSet<_> = all.iter().map(|payment| payment.payment.seq.0).collect();
    assert_eq!(seqs, (0..WALLETS * PAYMENTS).collect());
}

/// Even if the lock does not work (a network file system without locks), the file's name can be taken once.
#[test]
fn racing_records_at_one_seq_have_one_winner() {
    let dir = Arc::new(tempfile::tempdir().unwrap());
    for seq in 0..16 {
        let start = Arc::new(Barrier::new(3));
        let threads: Vec<_> = (1..=3)
            .map(|amount| {
                let (dir, start) = (Arc::clone(&dir), Arc::clone(&start));
                std::thread::spawn(move || {
                    let journal = open(dir.path());
                    let path = journal.path(Seq(seq), "unlocked");
                    let unlocked = LockedJournal { journal, _lock: File::create(path).unwrap() };
                    start.wait();
                    unlocked.record(&signed(seq, amount))
                })
            })
            .collect();
        let outcomes: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1, "seq {seq}");
    }
}

#[test]
fn busy_lock_is_said_after_the_time_allowed() {
    let dir = tempfile::tempdir().unwrap();
    let held = lock(dir.path());
    assert!(matches!(open(dir.path()).lock(Duration::ZERO), Err(JournalError::Busy(_))));
    // Notes are written while another process signs.
    open(dir.path()).learn(Seq(0), Progress::Received, "").unwrap();
    drop(held);
    assert!(open(dir.path()).lock(Duration::ZERO).is_ok());
}

#[test]
fn plans_by_hand() {
    use Progress::{Certified, Final, Passed, Received, Signed};
    let held = |entries: &[(u64, Progress)]| entries.iter().map(|(seq, progress)| (Seq(*seq), *progress)).collect();
    let yes = |next, entries: &[(u64, Progress)]| {
        let plan = plan(Seq(next), None, &held(entries)).unwrap();
        (plan.resend.into_iter().map(|seq| seq.0).collect::<Vec<_>>(), plan.sign_at.0)
    };
    assert_eq!(yes(0, &[]), (vec![], 0));
    assert_eq!(yes(5, &[]), (vec![], 5), "used elsewhere: go on from there");
    assert_eq!(yes(5, &[(0, Signed)]), (vec![], 5), "passed without us");
    assert_eq!(yes(0, &[(0, Signed), (1, Received), (2, Certified)]), (vec![0, 1], 3));
    assert_eq!(yes(0, &[(0, Passed), (1, Certified)]), (vec![], 2));
    assert_eq!(yes(0, &[(0, Signed), (1, Final)]), (vec![], 2), "a receipt outranks an endpoint that is behind");
    let no = |next, entries: &[(u64, Progress)]| plan(Seq(next), None, &held(entries)).unwrap_err();
    assert_eq!(no(1, &[(3, Signed)]), PlanError::Gap { missing: Seq(1), held: Seq(3) });
    assert_eq!(no(u64::MAX, &[(u64::MAX, Signed)]), PlanError::Exhausted);
    assert_eq!(no(0, &[(u64::MAX, Final)]), PlanError::Exhausted);
    let asked = |next, seq, entries: &[(u64, Progress)]| plan(Seq(next), Some(Seq(seq)), &held(entries));
    assert_eq!(asked(1, 1, &[(3, Signed)]).unwrap(), Plan { resend: vec![], sign_at: Seq(1) });
    assert_eq!(asked(1, 3, &[(3, Signed)]), Err(PlanError::Used { asked: Seq(3), next: Seq(1) }));
    assert_eq!(asked(4, 2, &[]), Err(PlanError::Used { asked: Seq(2), next: Seq(4) }));
}

fn any_progress() -> impl Strategy<Value = Progress> {
    use Progress::{Certified, Final, Passed, Received, Signed};
    prop_oneof![Just(Signed), Just(Received), Just(Certified), Just(Passed), Just(Final)]
}

proptest! {
    #[test]
    fn plan_never_gives_a_seq_twice(
        next in 0u64..12,
        asked in proptest::option::of(0u64..16),
        held in proptest::collection::btree_map(0u64..16, any_progress(), 0..10),
    ) {
        let held: BTreeMap<Seq, Progress> = held.into_iter().map(|(seq, progress)| (Seq(seq), progress)).collect();
        let paid = held.iter().filter(|(_, progress)| **progress == Progress::Final).map(|(seq, _)| *seq).max();
        match plan(Seq(next), asked.map(Seq), &held) {
            Ok(plan) => {
                prop_assert!(!held.contains_key(&plan.sign_at));
                prop_assert!(plan.sign_at >= Seq(next));
                prop_assert!(paid.is_none_or(|paid| plan.sign_at > paid));
                prop_assert!(plan.resend.iter().all(|seq| held[seq] < Progress::Certified));
                if asked.is_none() {
                    // Nothing unfinished is left out before the new payment.
                    let floor = paid.map_or(next, |paid| next.max(paid.0 + 1));
                    let open = held.range(Seq(floor)..plan.sign_at).filter(|(_, p)| **p < Progress::Certified);
                    prop_assert_eq!(open.map(|(seq, _)| *seq).collect::<Vec<_>>(), plan.resend);
                    prop_assert!(held.range(plan.sign_at..).next().is_none());
                }
            }
            Err(PlanError::Gap { missing, held: later }) => {
                prop_assert!(missing < later && !held.contains_key(&missing) && held.contains_key(&later));
            }
            Err(PlanError::Used { asked: seq, .. }) => {
                prop_assert!(held.contains_key(&seq) || seq < Seq(next) || paid.is_some_and(|paid| seq <= paid));
            }
            Err(error) => prop_assert!(false, "{error}"),
        }
    }
}
