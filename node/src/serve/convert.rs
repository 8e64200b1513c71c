//! From the core's words to those of the interface.

use crate::replica::handle::{Refusal, Unavailable};
use crate::replica::verifier::WAITING_MAX;
use crate::rpc::error::{ErrorKind, RpcError};
use crate::rpc::schema::{self, Stage, WaitFor};
use crate::rpc::wire::{Decimal, Hex32, HexBytes};
use smt_consensus::Reject;
use smt_types::address::Hrp;
use smt_types::header::CertifiedHeader;
use smt_types::{Address, Canonical, Digest, SignedPayment};

/// The stage a wish means.
#[must_use]
pub fn stage_of(wait: WaitFor) -> Stage {
    match wait {
        WaitFor::Received => Stage::Received,
        WaitFor::Certified => Stage::Certified,
        WaitFor::Final => Stage::Final,
        WaitFor::Snapshotted => Stage::Snapshotted,
        WaitFor::Credited => Stage::Credited,
    }
}

/// Place of a stage in the order of progress on the payer's side.
#[must_use]
pub fn rank(stage: Stage) -> u8 {
    match stage {
        Stage::Received => 0,
        Stage::Certified => 1,
        Stage::Final | Stage::Incoming => 2,
        Stage::Snapshotted => 3,
        Stage::Credited | Stage::Proven => 4,
        Stage::Rejected | Stage::Void | Stage::Expired => 5,
    }
}

/// The core's stage in the interface's words.
#[must_use]
pub fn core_stage(stage: smt_consensus::Stage) -> Stage {
    match stage {
        smt_consensus::Stage::Received => Stage::Received,
        smt_consensus::Stage::Certified => Stage::Certified,
        smt_consensus::Stage::Final => Stage::Final,
        smt_consensus::Stage::Snapshotted => Stage::Snapshotted,
        smt_consensus::Stage::Void => Stage::Void,
    }
}

/// A payment that was not taken.
#[must_use]
pub fn refusal(refusal: &Refusal) -> RpcError {
    match refusal {
        Refusal::Signature => RpcError::new(ErrorKind::BadSignature, refusal.to_string()),
        Refusal::Busy => RpcError::new(ErrorKind::Overloaded, refusal.to_string()).with("max", WAITING_MAX),
        Refusal::Core(core) => reject(core),
    }
}

/// A refusal of the core.
#[must_use]
pub fn reject(reject: &Reject) -> RpcError {
    let text = reject.to_string();
    match reject {
        Reject::WrongNetwork { want, .. } => RpcError::new(ErrorKind::WrongNetwork, text).with("network", want),
        Reject::WrongShard { .. } => RpcError::new(ErrorKind::Internal, text),
        Reject::AmountZero => RpcError::new(ErrorKind::AmountZero, text),
        Reject::SelfPayment => RpcError::new(ErrorKind::SelfPayment, text),
        Reject::UnknownAccount => RpcError::new(ErrorKind::UnknownAccount, text),
        Reject::SeqTooLow { next, .. } => RpcError::new(ErrorKind::SeqTooLow, text).with("next_seq", next),
        Reject::SeqConflict { other, .. } => RpcError::new(ErrorKind::SeqConflict, text).with("other", other),
        Reject::SeqTooHigh { next, ahead, .. } => {
            RpcError::new(ErrorKind::SeqTooHigh, text).with("next_seq", next).with("ahead_max", ahead)
        }
        Reject::InsufficientFunds { balance, .. } => {
            RpcError::new(ErrorKind::InsufficientFunds, text).with("balance", balance)
        }
        Reject::Expired { waiting_for } => RpcError::new(ErrorKind::Expired, text).with("waiting_for", waiting_for),
        Reject::Overloaded { held } => RpcError::new(ErrorKind::Overloaded, text).with("held", held),
        Reject::NotVoting(_) => RpcError::new(ErrorKind::ShardUnavailable, text),
        other => RpcError::new(ErrorKind::Internal, other.to_string()),
    }
}

impl From<Unavailable> for RpcError {
    fn from(error: Unavailable) -> RpcError {
        match error {
            Unavailable::Stopped => {
                RpcError::new(ErrorKind::ShardUnavailable, "the replica behind this endpoint has stopped")
            }
            Unavailable::Busy => RpcError::new(ErrorKind::Overloaded, "the replica's queue is full"),
        }
    }
}

/// A digest as hex.
#[must_use]
pub fn hex32(digest: &Digest) -> Hex32 {
    (*digest).into()
}

/// A payment, decoded.
#[must_use]
pub fn payment_fields(signed: &SignedPayment, hrp: Hrp) -> schema::PaymentFields {
    let payment = &signed.payment;
    let text = |address: &Address| crate::rpc::convert::address_text(address, hrp);
    schema::PaymentFields {
        network: payment.network.0,
        payer: text(&payment.payer.address()),
        payer_key: Digest(*payment.payer.as_bytes()).into(),
        seq: Decimal(payment.seq.0),
        payee: text(&payment.payee),
        amount: Decimal(payment.amount.0),
        memo: HexBytes(payment.memo.to_vec()),
        after: Decimal(payment.after.0),
        signature: HexBytes(signed.signature.0.to_vec()),
    }
}

/// The signatures under a header.
#[must_use]
pub fn signatures(certified: &CertifiedHeader) -> Vec<schema::HeaderSignature> {
    let each = certified.signatures.iter();
    each.map(|signature| schema::HeaderSignature {
        replica: signature.replica.0,
        ed25519: HexBytes(signature.ed25519.0.to_vec()),
        jub: HexBytes(signature.jub.0.to_vec()),
    })
    .collect()
}

/// A header, decoded and canonical.
#[must_use]
pub fn snapshot(certified: &CertifiedHeader) -> schema::Snapshot {
    let header = &certified.header;
    schema::Snapshot {
        shard: header.shard.into(),
        epoch: Decimal(header.epoch.0),
        digest: hex32(&header.digest()),
        predecessor: hex32(&header.predecessor),
        state_root: hex32(&header.state),
        supply: Decimal(u128::from(header.supply.0)),
        vector_digest: hex32(&header.vector),
        lamport: Decimal(header.lamport.0),
        time: HexBytes(header.dense.to_bytes()),
        committee: hex32(&header.committee),
        header: HexBytes(header.to_bytes()),
        signatures: signatures(certified),
    }
}
