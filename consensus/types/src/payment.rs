//! A payment and its slot.
//!
//! Byte layout of a payment (all integers little endian): network u32 · payer key 32 B · seq u64 · payee address 32 B ·
//! amount u64 · memo length u32 and that many bytes (≤ 64) · after u64. Its id is the hash of these bytes in
//! [`Domain::Payment`]; the payer signs the 32 bytes of the id with ed25519. A signed payment is the payment followed by
//! the 64-byte signature.

use crate::codec::Bounded;
use crate::hash::{self, Digest, Domain};
use crate::{Address, Amount, Canonical, Lamport, NetworkId, PublicKey, Seq, Signature};
use borsh::{BorshDeserialize, BorshSerialize};
use std::fmt;

/// Longest memo, in bytes.
pub const MAX_MEMO_BYTES: usize = 64;

/// Longest signed payment, in bytes.
pub const MAX_PAYMENT_BYTES: usize = 4 + 32 + 8 + 32 + 8 + 4 + MAX_MEMO_BYTES + 8 + 64;

/// Hash of a payment without its signature: a second signature over the same payment is the same payment.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct PaymentId(pub Digest);

impl fmt::Debug for PaymentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for PaymentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The place a payment takes in its payer's own order. At most one payment is ever kept per slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct Slot {
    /// The payer's account.
    pub payer: Address,
    /// The payer's payment number.
    pub seq: Seq,
}

/// What an owner signs: pay `amount` to `payee` as my payment number `seq`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub struct Payment {
    /// The network this payment is for.
    pub network: NetworkId,
    /// The payer's key; the account paid from is its address.
    pub payer: PublicKey,
    /// The payer's payment number, from 0, without gaps.
    pub seq: Seq,
    /// Who is paid.
    pub payee: Address,
    /// Base units.
    pub amount: Amount,
    /// Free bytes for the payee.
    pub memo: Bounded<u8, MAX_MEMO_BYTES>,
    /// Largest Lamport value the wallet has seen; advisory, decides nothing.
    pub after: Lamport,
}

impl Payment {
    /// The id: what the payer signs and what a slot is compared by.
    #[must_use]
    pub fn id(&self) -> PaymentId {
        PaymentId(hash::hash_of(Domain::Payment, self))
    }

    /// The slot this payment takes.
    #[must_use]
    pub fn slot(&self) -> Slot {
        Slot { payer: self.payer.address(), seq: self.seq }
    }

    /// Signs with the payer's key. The caller makes sure that `key` is the payer's.
    #[must_use]
    pub fn sign(self, key: &crate::crypto::SecretKey) -> SignedPayment {
        let signature = key.sign(self.id().0.as_bytes());
        SignedPayment { payment: self, signature }
    }
}

/// A payment with its payer's signature over the payment id.
#[derive(Clone, Debug, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub struct SignedPayment {
    /// The payment.
    pub payment: Payment,
    /// ed25519 over the 32 bytes of the payment id, ZIP-215 rules.
    pub signature: Signature,
}

impl SignedPayment {
    /// Checks the payer's signature. Cost: one ed25519 verification.
    #[must_use]
    pub fn is_signed(&self) -> bool {
        self.payment.payer.verify(self.payment.id().0.as_bytes(), &self.signature)
    }

    /// Hash as a leaf of a batch tree; commits to the signature too, so that a bad one convicts the gateway.
    #[must_use]
    pub fn leaf(&self) -> Digest {
        hash::hash(Domain::BatchLeaf, &self.to_bytes())
    }
}
