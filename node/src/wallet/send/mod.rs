//! Paying: choose a seq, sign, make it durable, send the same bytes until they have come far enough.
//!
//! 1. Under the account's lock: an earlier request of the same content whose outcome nobody was told *is* this request
//!    (a wallet that died cannot tell, and paying twice is worse than asking): its payment is taken up, nothing is signed.
//! 2. Recorded payments in the way that are not known to be certified are sent again, in seq order. While one of them
//!    does not get there, nothing new is signed.
//! 3. The new payment is signed and recorded ([`LockedJournal::record`](super::journal::LockedJournal::record)); only then does it leave the process. The lock
//!    is given back: the next payment of this account can be signed as soon as this one is certified.
//! 4. It is sent, as often as needed within the time allowed. From `final` on its receipt is fetched and verified
//!    against the pinned genesis; only a verified receipt makes a payment paid.
//!
//! After a crash or a timeout at any point the same request goes on where it stopped.

mod outcome;

pub use outcome::{Patience, Request, SendError, Sent, check, rank};

use super::endpoint::{CallError, Endpoint};
use super::journal::{Journal, Note, Progress, plan};
use super::network::Network;
use crate::rpc::error::{ErrorKind, RpcError};
use crate::rpc::schema::{Stage, Submitted, WaitFor};
use outcome::{memo_too_long, progress_of, wanted};
use smt_types::crypto::SecretKey;
use smt_types::{Address, Amount, Bounded, Lamport, Payment, PaymentId, Seq, SignedPayment};
use std::collections::BTreeMap;
use std::time::Duration;

/// First pause between two tries; doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(50);

/// Longest pause between two tries.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// One account's payments in one network, through one endpoint.
pub struct Sender<'a> {
    /// Where payments go.
    pub endpoint: &'a dyn Endpoint,
    /// The network, pinned.
    pub network: &'a Network,
    /// The account's journal.
    pub journal: Journal,
    /// Hears of every payment that is sent again before a new one: seq, id.
    pub on_resend: &'a dyn Fn(Seq, PaymentId),
}

impl Sender<'_> {
    /// Pays as the module's head says.
    ///
    /// # Errors
    /// [`SendError`]; the variants say whether something was signed.
    pub fn send(&self, key: &SecretKey, request: &Request, patience: Patience) -> Result<Sent, SendError> {
        let payer = key.public().address();
        check(&payer, request)?;
        let lock = self.journal.lock(patience.left())?;
        let notes = self.journal.notes()?;
        if let Some((seq, earlier)) = self.earlier(&notes, request)? {
            let resent = self.clear(self.before(&notes, seq), patience)?;
            drop(lock);
            return Ok(Sent { resumed: true, resent, ..self.push(seq, &earlier, patience)? });
        }
        let (next, mut balance, mut lamport) = self.account(&payer)?;
        let held: BTreeMap<Seq, Progress> = notes.iter().map(|(seq, note)| (*seq, note.progress)).collect();
        let plan = plan(next, request.seq, &held)?;
        let resent = self.clear(plan.resend, patience)?;
        if !resent.is_empty() {
            (_, balance, lamport) = self.account(&payer)?;
        }
        if balance < request.amount {
            return Err(SendError::Refused {
                kind: ErrorKind::InsufficientFunds.word(),
                message: format!("the account has {balance}, {} are to be paid", request.amount),
            });
        }
        let memo = Bounded::new(request.memo.clone()).map_err(|memo| memo_too_long(memo.len()))?;
        let payment = Payment {
            network: self.network.id(),
            payer: key.public(),
            seq: plan.sign_at,
            payee: request.payee,
            amount: request.amount,
            memo,
            after: lamport,
        };
        let signed = lock.record(&payment.sign(key))?;
        drop(lock);
        Ok(Sent { resent, ..self.push(plan.sign_at, &signed, patience)? })
    }

    /// Sends a payment signed before, here or elsewhere; it is recorded first.
    ///
    /// # Errors
    /// [`SendError`].
    pub fn submit(&self, signed: &SignedPayment, patience: Patience) -> Result<Sent, SendError> {
        let lock = self.journal.lock(patience.left())?;
        let signed = lock.record(signed)?;
        drop(lock);
        self.push(signed.payment.seq, &signed, patience)
    }

    /// The lowest recorded payment of the same content whose outcome nobody was told.
    fn earlier(
        &self,
        notes: &BTreeMap<Seq, Note>,
        request: &Request,
    ) -> Result<Option<(Seq, SignedPayment)>, SendError> {
        if request.again {
            return Ok(None);
        }
        for seq in notes.iter().filter(|(_, note)| !note.reported).map(|(seq, _)| *seq) {
            let Some(signed) = self.journal.payment(seq)? else {
                continue;
            };
            let payment = &signed.payment;
            let same =
                payment.payee == request.payee && payment.amount == request.amount && *payment.memo == *request.memo;
            if same && request.seq.is_none_or(|asked| asked == seq) {
                return Ok(Some((seq, signed)));
            }
        }
        Ok(None)
    }

    /// Recorded payments before `seq` that are not known to be certified, back to the nearest one that is.
    fn before(&self, notes: &BTreeMap<Seq, Note>, seq: Seq) -> Vec<Seq> {
        let open = |note: &Note| note.progress < Progress::Certified;
        let mut before: Vec<Seq> =
            notes.range(..seq).rev().take_while(|(_, note)| open(note)).map(|(seq, _)| *seq).collect();
        before.reverse();
        before
    }

    fn account(&self, payer: &Address) -> Result<(Seq, Amount, Lamport), SendError> {
        match self.endpoint.account(&self.network.show(payer)) {
            Ok(account) => Ok((Seq(account.next_seq.0), Amount(account.balance.0), Lamport(account.lamport.0))),
            Err(CallError::Rpc(error)) if error.kind == ErrorKind::UnknownAccount => Err(SendError::Refused {
                kind: ErrorKind::UnknownAccount.word(),
                message: format!("nobody ever paid {}: it has nothing to spend", self.network.show(payer)),
            }),
            Err(error) => Err(SendError::Call(error)),
        }
    }

    /// Sends recorded payments again until each is certified (or known to be dead).
    fn clear(&self, seqs: Vec<Seq>, patience: Patience) -> Result<Vec<(Seq, PaymentId, Stage)>, SendError> {
        let patience = Patience { wait: WaitFor::Certified, ..patience };
        let mut resent = Vec::new();
        for seq in seqs {
            let Some(signed) = self.journal.payment(seq)? else {
                continue;
            };
            let id = signed.payment.id();
            (self.on_resend)(seq, id);
            match self.push(seq, &signed, patience) {
                Ok(sent) => resent.push((seq, id, sent.stage)),
                Err(SendError::Dead { .. }) => resent.push((seq, id, Stage::Void)),
                Err(cause) => {
                    return Err(SendError::InTheWay { seq, id, cause: Box::new(cause) });
                }
            }
        }
        Ok(resent)
    }

    /// Sends the same bytes until they have come far enough, time is up, or there is no hope.
    fn push(&self, seq: Seq, signed: &SignedPayment, patience: Patience) -> Result<Sent, SendError> {
        let id = signed.payment.id();
        if wanted(patience.wait) <= wanted(WaitFor::Final)
            && let Some(receipt) = self.journal.receipt(seq)?
        {
            return self.proven(seq, signed, Stage::Final, receipt);
        }
        let mut pause = PAUSE_MIN;
        let mut best: Option<Stage> = None;
        loop {
            let cause = match self.endpoint.submit(signed, patience.wait, patience.left()) {
                Ok(answer) if answer.id.0 != id.0.0 => {
                    return Err(SendError::Confused { seq, id, found: answer.id.to_string() });
                }
                Ok(answer) => match self.digest(seq, signed, &answer, patience.wait)? {
                    Ok(sent) => return Ok(sent),
                    Err(cause) => cause,
                },
                Err(cause) => cause,
            };
            if let CallError::Rpc(error) = &cause {
                best = error.stage.filter(|stage| rank(*stage) > 0).or(best);
                if let Some(sent) = self.give_up(seq, signed, &cause)? {
                    return Ok(sent);
                }
            }
            let left = patience.left();
            if left.is_zero() {
                if let Some(stage) = best {
                    self.journal.learn(seq, progress_of(stage), cause.kind())?;
                    // Final and not as far as wanted: paid all the same, once its receipt shows it.
                    if rank(stage) >= rank(Stage::Final)
                        && let Ok(receipt) = self.endpoint.receipt(id)
                    {
                        self.proven(seq, signed, stage, receipt)?;
                    }
                }
                return Err(SendError::Unfinished { seq, id, stage: best, cause });
            }
            std::thread::sleep(pause.min(left));
            pause = pause.saturating_mul(2).min(PAUSE_MAX);
        }
    }

    /// An answer with a stage: the payment as far as it came, or why to ask again.
    fn digest(
        &self,
        seq: Seq,
        signed: &SignedPayment,
        answer: &Submitted,
        wait: WaitFor,
    ) -> Result<Result<Sent, CallError>, SendError> {
        let id = signed.payment.id();
        let stage = answer.stage;
        let end = match stage {
            Stage::Void => Some(ErrorKind::SlotVoid),
            Stage::Rejected => Some(ErrorKind::Internal),
            Stage::Expired => Some(ErrorKind::Expired),
            _ => None,
        };
        if let Some(kind) = end {
            let error =
                RpcError::new(kind, format!("the payment is {}", stage.word())).retryable(stage == Stage::Expired);
            return Ok(Err(CallError::Rpc(error)));
        }
        let sent = if rank(stage) >= rank(Stage::Final) {
            let receipt = match &answer.receipt {
                Some(receipt) => receipt.0.clone(),
                None => match self.endpoint.receipt(id) {
                    Ok(receipt) => receipt,
                    Err(cause) => return Ok(Err(cause)),
                },
            };
            self.proven(seq, signed, stage, receipt)?
        } else {
            self.journal.learn(seq, progress_of(stage), "")?;
            unproven(signed, stage)
        };
        if rank(stage) >= wanted(wait) {
            return Ok(Ok(sent));
        }
        let error = RpcError::new(ErrorKind::Timeout, format!("the payment is {}", stage.word()));
        Ok(Err(CallError::Rpc(error.at_stage(stage))))
    }

    /// Verifies a receipt of the payment at `seq` and keeps it.
    fn proven(&self, seq: Seq, signed: &SignedPayment, stage: Stage, receipt: Vec<u8>) -> Result<Sent, SendError> {
        let id = signed.payment.id();
        let (_, shown) = self.network.verify(&receipt).map_err(|cause| SendError::Unproven { seq, id, cause })?;
        if shown.id() != id {
            return Err(SendError::Confused { seq, id, found: shown.id().to_string() });
        }
        self.journal.finish(seq, &receipt)?;
        Ok(Sent { epoch: Some(shown.epoch().0), receipt: Some(receipt), ..unproven(signed, stage) })
    }

    /// Stops if the endpoint's refusal leaves no hope for these bytes, or if they turn out to be paid.
    fn give_up(&self, seq: Seq, signed: &SignedPayment, cause: &CallError) -> Result<Option<Sent>, SendError> {
        let id = signed.payment.id();
        let CallError::Rpc(error) = cause else {
            return Ok(None);
        };
        match error.kind {
            ErrorKind::SeqUsed | ErrorKind::SlotVoid => {
                self.journal.learn(seq, Progress::Passed, error.kind.word())?;
                Err(SendError::Dead { seq, id, cause: cause.clone() })
            }
            // The node forgot what took the seq. It may have been this payment: a receipt would show it.
            ErrorKind::SeqTooLow => match self.endpoint.receipt(id) {
                Ok(receipt) => self.proven(seq, signed, Stage::Final, receipt).map(Some),
                Err(_) => Err(SendError::Rejected { seq, id, cause: cause.clone() }),
            },
            _ if error.retryable => Ok(None),
            _ => Err(SendError::Rejected { seq, id, cause: cause.clone() }),
        }
    }
}

fn unproven(signed: &SignedPayment, stage: Stage) -> Sent {
    Sent { payment: signed.clone(), stage, epoch: None, receipt: None, resumed: false, resent: Vec::new() }
}
