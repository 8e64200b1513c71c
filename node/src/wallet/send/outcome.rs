//! What is asked of the sender and what it answers.

use crate::rpc::error::ErrorKind;
use crate::rpc::schema::{Stage, WaitFor};
use crate::wallet::endpoint::CallError;
use crate::wallet::journal::{JournalError, PlanError, Progress};
use crate::wallet::network::ProofError;
use smt_types::payment::MAX_MEMO_BYTES;
use smt_types::{Address, Amount, PaymentId, Seq, SignedPayment};
use std::time::{Duration, Instant};

/// What to pay.
#[derive(Clone, Debug)]
pub struct Request {
    /// Who is paid.
    pub payee: Address,
    /// Base units.
    pub amount: Amount,
    /// Free bytes, at most 64.
    pub memo: Vec<u8>,
    /// A second payment even if an equal request was not finished.
    pub again: bool,
    /// The user's own choice of seq.
    pub seq: Option<Seq>,
}

/// How far, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// The stage to wait for.
    pub wait: WaitFor,
    /// When to give up for now.
    pub deadline: Instant,
}

impl Patience {
    /// Waits for `wait`, at most `timeout` from now.
    #[must_use]
    pub fn new(wait: WaitFor, timeout: Duration) -> Patience {
        let now = Instant::now();
        Patience { wait, deadline: now.checked_add(timeout).unwrap_or(now) }
    }

    pub(super) fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }
}

/// A payment and how far it came.
#[derive(Clone, Debug)]
pub struct Sent {
    /// The payment.
    pub payment: SignedPayment,
    /// The stage reached, as the endpoint says; `final` and beyond only with a verified receipt.
    pub stage: Stage,
    /// The epoch it is final in.
    pub epoch: Option<u64>,
    /// The receipt, verified; from `final` on.
    pub receipt: Option<Vec<u8>>,
    /// Whether an earlier request was taken up rather than a payment signed.
    pub resumed: bool,
    /// Earlier payments that were sent again first.
    pub resent: Vec<(Seq, PaymentId, Stage)>,
}

/// Why a payment did not come as far as wanted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// Nothing was signed: the request cannot succeed.
    #[error("{message}; nothing was signed")]
    Refused {
        /// Stable word.
        kind: &'static str,
        /// For people.
        message: String,
    },
    /// Nothing was signed: the endpoint does not answer.
    #[error("{0}; nothing was signed")]
    Call(#[source] CallError),
    /// Nothing was signed: an earlier payment has to be certified first.
    #[error(
        "payment {id} at seq {seq}, signed before, has been sent again and is not certified ({cause}); nothing new is \
         signed before it is"
    )]
    InTheWay {
        /// Its seq.
        seq: Seq,
        /// Its id.
        id: PaymentId,
        /// What became of it this time.
        #[source]
        cause: Box<SendError>,
    },
    /// Signed and on disk, not far enough yet: the same request goes on.
    #[error("payment {id} at seq {seq} is {}, not yet as far as wanted: {cause}", word(*stage))]
    Unfinished {
        /// Its seq.
        seq: Seq,
        /// Its id.
        id: PaymentId,
        /// The stage reached, if a node said one.
        stage: Option<Stage>,
        /// The last answer.
        #[source]
        cause: CallError,
    },
    /// It will never be applied: its seq went to another payment or was voided.
    #[error("payment {id} at seq {seq} is dead: {cause}")]
    Dead {
        /// Its seq.
        seq: Seq,
        /// Its id.
        id: PaymentId,
        /// What the endpoint says.
        #[source]
        cause: CallError,
    },
    /// The endpoint refuses it for good; it stays in the journal.
    #[error("payment {id} at seq {seq} is refused: {cause}")]
    Rejected {
        /// Its seq.
        seq: Seq,
        /// Its id.
        id: PaymentId,
        /// What the endpoint says.
        #[source]
        cause: CallError,
    },
    /// The endpoint says final and cannot show it.
    #[error("the endpoint calls payment {id} at seq {seq} final, but its receipt proves nothing: {cause}")]
    Unproven {
        /// Its seq.
        seq: Seq,
        /// Its id.
        id: PaymentId,
        /// What is wrong with the receipt.
        #[source]
        cause: ProofError,
    },
    /// The receipt is of another payment.
    #[error("the endpoint answers for payment {found} when asked for {id} at seq {seq}")]
    Confused {
        /// Its seq.
        seq: Seq,
        /// The payment asked for.
        id: PaymentId,
        /// The payment answered for.
        found: String,
    },
    /// The journal refuses or cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// No seq can be chosen.
    #[error(transparent)]
    Plan(#[from] PlanError),
}

fn word(stage: Option<Stage>) -> &'static str {
    stage.map_or("signed", Stage::word)
}

/// How far along the payer's path a stage is; ends and the payee's own stages count by what they imply.
#[must_use]
pub fn rank(stage: Stage) -> u8 {
    match stage {
        Stage::Received => 1,
        Stage::Certified => 2,
        Stage::Final | Stage::Incoming => 3,
        Stage::Snapshotted => 4,
        Stage::Credited => 5,
        Stage::Proven => 6,
        Stage::Rejected | Stage::Void | Stage::Expired => 0,
    }
}

pub(super) fn wanted(wait: WaitFor) -> u8 {
    match wait {
        WaitFor::Received => 1,
        WaitFor::Certified => 2,
        WaitFor::Final => 3,
        WaitFor::Snapshotted => 4,
        WaitFor::Credited => 5,
    }
}

pub(super) fn progress_of(stage: Stage) -> Progress {
    match rank(stage) {
        0 => Progress::Signed,
        1 => Progress::Received,
        // Without a receipt nothing is more than certified.
        _ => Progress::Certified,
    }
}

pub(super) fn memo_too_long(bytes: usize) -> SendError {
    SendError::Refused {
        kind: ErrorKind::MemoTooLong.word(),
        message: format!("the memo has {bytes} bytes, at most {MAX_MEMO_BYTES} are allowed"),
    }
}

/// What can be refused before anybody is asked and anything is signed.
///
/// # Errors
/// [`SendError::Refused`].
pub fn check(payer: &Address, request: &Request) -> Result<(), SendError> {
    let refuse =
        |kind: ErrorKind, message: &str| Err(SendError::Refused { kind: kind.word(), message: message.into() });
    if request.amount == Amount::ZERO {
        return refuse(ErrorKind::AmountZero, "a payment of nothing");
    }
    if request.payee == *payer {
        return refuse(ErrorKind::SelfPayment, "payer and payee are one account");
    }
    if request.memo.len() > MAX_MEMO_BYTES {
        return Err(memo_too_long(request.memo.len()));
    }
    Ok(())
}
