//! Receipts: proof, checkable offline, that a payment is final.
//!
//! Byte layout: batch header · signed payment · batch path · count u32 and that many applied parts {replica u8, bits,
//! open epoch u64, signature 64 B}. Exactly q parts, replicas ascending, every one with the payment's bit set; every
//! byte is hashed or signed or fixed by a rule, so flipping any bit makes verification fail.

use crate::batch::{BatchHeader, BatchPath};
use crate::codec::Bounded;
use crate::committee::{Committee, MAX_REPLICAS};
use crate::payment::SignedPayment;
use crate::report::ascends;
use crate::signer::Checker;
use crate::vote::Applied;
use crate::{Bitmap, Epoch, PaymentId, ReplicaIndex, Signature};
use borsh::{BorshDeserialize, BorshSerialize};

/// Longest receipt, in bytes.
pub const MAX_RECEIPT_BYTES: usize = 8 * 1024;

/// One signer's part.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct AppliedPart {
    /// The signer.
    pub replica: ReplicaIndex,
    /// The bits it signed as applied.
    pub bits: Bitmap,
    /// Its open epoch then.
    pub open_epoch: Epoch,
    /// Its signature.
    pub signature: Signature,
}

/// Proof that a payment is final.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Receipt {
    /// Header of the batch that carried it.
    pub header: BatchHeader,
    /// The payment.
    pub payment: SignedPayment,
    /// Its path in the batch.
    pub path: BatchPath,
    /// q applied signatures.
    pub applied: Bounded<AppliedPart, MAX_REPLICAS>,
}

/// What a valid receipt shows. Comes only from [`Receipt::verify`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct FinalPayment {
    payment: SignedPayment,
    epoch: Epoch,
}

impl FinalPayment {
    /// The payment.
    #[must_use]
    pub fn payment(&self) -> &SignedPayment {
        &self.payment
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> PaymentId {
        self.payment.payment.id()
    }

    /// The epoch whose cut holds it: the largest open epoch among the signatures.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }
}

/// Why a receipt is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiptError {
    /// Another network, shard or committee than the verifier's genesis names.
    #[error("receipt is for another network, shard or committee")]
    Foreign,
    /// The payment is for another network.
    #[error("payment is for network {0}")]
    Network(crate::NetworkId),
    /// The payment is not in the batch.
    #[error("path does not lead from the payment to the batch root")]
    Path,
    /// The payer's signature does not verify.
    #[error("payer's signature does not verify")]
    Payer,
    /// Not exactly q distinct signers, ascending.
    #[error("receipt carries {got} applied signatures, exactly {want} in ascending order are needed")]
    Signers {
        /// Signatures given.
        got: usize,
        /// Signatures needed.
        want: usize,
    },
    /// A signer's part does not verify or does not cover the payment.
    #[error("applied signature of replica {0} does not verify for this payment")]
    Applied(ReplicaIndex),
}

impl Receipt {
    /// Checks everything against the committee of the payer's shard, as genesis names it.
    ///
    /// # Errors
    /// [`ReceiptError`] naming the first fault. Cost: q + 1 ed25519 verifications and the path.
    pub fn verify(&self, committee: &Committee, checker: &dyn Checker) -> Result<FinalPayment, ReceiptError> {
        let header = &self.header;
        if header.network != committee.network()
            || header.shard != committee.shard()
            || header.committee != committee.digest()
            || !committee.has(header.gateway)
        {
            return Err(ReceiptError::Foreign);
        }
        let payment = &self.payment.payment;
        if payment.network != header.network {
            return Err(ReceiptError::Network(payment.network));
        }
        if payment.payer.address().shard(header.shard.level()) != header.shard {
            return Err(ReceiptError::Foreign);
        }
        if self.path.root(self.payment.leaf(), header.count) != Some(header.root) {
            return Err(ReceiptError::Path);
        }
        if !checker.check(&payment.payer, &payment.id().0, &self.payment.signature) {
            return Err(ReceiptError::Payer);
        }
        let want = committee.quorum();
        if self.applied.len() != want || !ascends(&self.applied, |part| part.replica) {
            return Err(ReceiptError::Signers { got: self.applied.len(), want });
        }
        let digest = header.digest();
        for part in self.applied.iter() {
            let record = Applied {
                committee: header.committee,
                header: digest,
                replica: part.replica,
                bits: part.bits.clone(),
                open_epoch: part.open_epoch,
                signature: part.signature,
            };
            let covers = part.bits.count() == header.count && part.bits.get(self.path.index);
            let signed = committee
                .keys(part.replica)
                .is_some_and(|keys| checker.check(&keys.ed25519, &record.digest(), &part.signature));
            if !covers || !signed {
                return Err(ReceiptError::Applied(part.replica));
            }
        }
        let epoch = self.applied.iter().map(|part| part.open_epoch).max().unwrap_or_default();
        Ok(FinalPayment { payment: self.payment.clone(), epoch })
    }
}
