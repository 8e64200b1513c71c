//! The worked example of `RPC.md`, computed from fixed seeds by the code that the node runs.

use smt_ledger::{Account, AccountProof, StateParts};
use smt_trie::{Leaf, Trie};
use smt_types::batch::{self, BatchPath};
use smt_types::codec::Bounded;
use smt_types::crypto::{JubSecretKey, SecretKey};
use smt_types::receipt::AppliedPart;
use smt_types::vote::Applied;
use smt_types::{
    Amount, BatchHeader, BatchNumber, Bitmap, Canonical, Committee, DenseTime, Digest, Epoch, Lamport, NetworkId,
    Payment, Receipt, ReplicaIndex, ReplicaKeys, Seq, ShardAddress, SignedPayment,
};

/// Network of the example.
pub const NETWORK: NetworkId = NetworkId(7);
/// Seed byte of the payer's key, 32 times.
pub const PAYER_SEED: u8 = 1;
/// Seed byte of the payee's key, 32 times.
pub const PAYEE_SEED: u8 = 2;
/// Seed bytes of the replicas: this and the next two.
pub const REPLICA_SEED: u8 = 16;
/// Memo of the example.
pub const MEMO: &str = "tea";

/// The payer's secret key.
#[must_use]
pub fn payer() -> SecretKey {
    SecretKey::from_seed([PAYER_SEED; 32])
}

/// The payment, signed.
#[must_use]
pub fn signed_payment() -> SignedPayment {
    Payment {
        network: NETWORK,
        payer: payer().public(),
        seq: Seq(0),
        payee: SecretKey::from_seed([PAYEE_SEED; 32]).public().address(),
        amount: Amount(1_000),
        memo: Bounded::truncated(MEMO.as_bytes().to_vec()),
        after: Lamport(0),
    }
    .sign(&payer())
}

/// A committee of three in the only shard of its network.
#[must_use]
pub fn committee() -> Committee {
    let keys = replicas().map(|(_, ed25519)| ReplicaKeys::prove(&ed25519, &JubSecretKey::from_seed(*ed25519.seed())));
    Committee::assume_possessed(NETWORK, ShardAddress::ROOT, keys.collect())
        .expect("three replicas with different seeds are a committee")
}

fn replicas() -> impl Iterator<Item = (ReplicaIndex, SecretKey)> {
    (0..3u8).map(|i| (ReplicaIndex(i), SecretKey::from_seed([REPLICA_SEED.saturating_add(i); 32])))
}

/// A receipt of the payment: the first of two in a batch, applied by replicas 0 and 2 in epochs 4 and 5.
#[must_use]
pub fn receipt() -> Receipt {
    let committee = committee();
    let payment = signed_payment();
    let mut other = payment.payment.clone();
    other.seq = Seq(1);
    let leaves = [payment.leaf(), other.sign(&payer()).leaf()];
    let header = BatchHeader {
        network: NETWORK,
        shard: ShardAddress::ROOT,
        committee: committee.digest(),
        gateway: ReplicaIndex(1),
        number: BatchNumber(3),
        root: batch::root(&leaves),
        count: 2,
        lamport: Lamport(9),
        dense: DenseTime { time_us: 1_000_000, shard: 0, replica: 1, counter: 0 },
    };
    let applied = replicas().filter(|(replica, _)| replica.0 != 1).map(|(replica, key)| {
        let open_epoch = if replica.0 == 0 { Epoch(4) } else { Epoch(5) };
        let mut record = Applied {
            committee: committee.digest(),
            header: header.digest(),
            replica,
            bits: Bitmap::from_fn(2, |_| true),
            open_epoch,
            signature: payment.signature,
        };
        record.signature = key.sign(record.digest().as_bytes());
        AppliedPart { replica, bits: record.bits, open_epoch, signature: record.signature }
    });
    Receipt {
        path: BatchPath::of(&leaves, 0).expect("the batch has a first payment"),
        applied: Bounded::truncated(applied.collect()),
        header,
        payment,
    }
}

/// The parts of a state with three accounts, a proof of the payer's and one of the absence of an address of 32 bytes ee.
#[must_use]
pub fn account_proofs() -> (StateParts, AccountProof, AccountProof) {
    let payer = payer().public().address().0;
    let payee = signed_payment().payment.payee.0;
    let third = SecretKey::from_seed([3; 32]).public().address().0;
    let leaf = |balance: u64, next_seq: u64| Leaf {
        value: Account { balance: Amount(balance), next_seq: Seq(next_seq) }.to_bytes(),
        sum: balance,
    };
    let mut trie = Trie::new(0);
    let accounts = [(payer, Some(leaf(5_000, 1))), (payee, Some(leaf(1_000, 0))), (third, Some(leaf(7, 0)))];
    let root = trie.update(&accounts).expect("three small balances fit a sum");
    let parts = StateParts {
        accounts: Digest(root.hash),
        supply: Amount(root.sum),
        outbox: Digest([0x0a; 32]),
        cursors: Digest([0x0b; 32]),
        history: Digest([0x0c; 32]),
    };
    let proof = |key| AccountProof { parts, trie: Bounded::truncated(trie.prove(&key).encode()) };
    (parts, proof(payer), proof([0xee; 32]))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use smt_types::RealChecker;

    #[test]
    fn the_example_receipt_verifies_and_reads_back() {
        let receipt = receipt();
        let shown = receipt.verify(&committee(), &RealChecker).unwrap();
        assert_eq!((shown.id(), shown.epoch()), (signed_payment().payment.id(), Epoch(5)));
        assert_eq!(Receipt::from_bytes(&receipt.to_bytes(), 8_192).unwrap(), receipt);
    }
}
