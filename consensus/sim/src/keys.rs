//! Stand-in signatures.
//!
//! The simulator does not test elliptic curves: 200 seeds of real ones cost minutes and say nothing about the protocol.
//! Here a signature is a hash keyed with a secret that is itself a function of the public key, behind the same
//! [`Signer`] and [`Checker`] traits. Nothing in the simulator forges, so that the checker could sign does not matter; a
//! wrong key, a wrong digest or an altered byte is refused as in the real schemes. Committees of such keys have no proof
//! of possession ([`smt_types::Committee::assume_possessed`]).

use smt_types::crypto::Field;
use smt_types::{
    Checker, Digest, Domain, JubPublicKey, JubSignature, Payment, PublicKey, ReplicaKeys, Signature, SignedPayment,
    Signer, hash,
};

fn stamp(key: &[u8; 32], message: &[u8; 32], scheme: u8) -> [u8; 64] {
    let mut hasher = hash::hasher(Domain::DevelopmentSeed);
    hasher.update(&[scheme]);
    hasher.update(key);
    hasher.update(message);
    let half = *hasher.finalize().as_bytes();
    let mut out = [0; 64];
    out[..32].copy_from_slice(&half);
    out[32..].copy_from_slice(key);
    out
}

/// The key number `number` of a kind.
#[must_use]
pub fn public_key(kind: u8, number: u64) -> PublicKey {
    let mut bytes = [kind; 9];
    bytes[1..].copy_from_slice(&number.to_le_bytes());
    let digest = hash::hash(Domain::DevelopmentSeed, &bytes);
    PublicKey::from_bytes(digest.0).expect("a hash is none of the 14 small-order encodings")
}

fn jub_key(number: u64) -> JubPublicKey {
    let mut bytes = public_key(2, number).as_bytes().to_owned();
    // Below the field's modulus, without sign bit.
    bytes[31] = 0;
    JubPublicKey::from_bytes(bytes).expect("a number below 2^248 is a packed form")
}

/// The keys of replica `number` of the network.
#[must_use]
pub fn replica_keys(number: u64) -> ReplicaKeys {
    ReplicaKeys {
        ed25519: public_key(1, number),
        jub: jub_key(number),
        ed25519_possession: Signature([0; 64]),
        jub_possession: JubSignature([0; 64]),
    }
}

/// Signs a payment as the owner of its payer key.
#[must_use]
pub fn sign_payment(payment: Payment) -> SignedPayment {
    let signature = Signature(stamp(payment.payer.as_bytes(), &payment.id().0.0, 1));
    SignedPayment { payment, signature }
}

/// One replica's stand-in secrets.
#[derive(Clone, Debug)]
pub struct StandIn {
    keys: ReplicaKeys,
}

impl StandIn {
    /// The secrets of replica `number`.
    #[must_use]
    pub fn new(number: u64) -> StandIn {
        StandIn { keys: replica_keys(number) }
    }
}

impl Signer for StandIn {
    fn sign(&self, digest: &Digest) -> Signature {
        Signature(stamp(self.keys.ed25519.as_bytes(), &digest.0, 1))
    }

    fn sign_jub(&self, message: &Field) -> JubSignature {
        JubSignature(stamp(self.keys.jub.as_bytes(), message.as_bytes(), 2))
    }
}

/// Checks stand-in signatures.
#[derive(Clone, Copy, Debug, Default)]
pub struct StandInChecker;

impl Checker for StandInChecker {
    fn check(&self, key: &PublicKey, digest: &Digest, signature: &Signature) -> bool {
        signature.0 == stamp(key.as_bytes(), &digest.0, 1)
    }

    fn check_jub(&self, key: &JubPublicKey, message: &Field, signature: &JubSignature) -> bool {
        signature.0 == stamp(key.as_bytes(), message.as_bytes(), 2)
    }
}
