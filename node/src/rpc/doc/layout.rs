//! The byte formats of `RPC.md`. Each table is data with sizes from the types' own constants, and a test cuts the worked
//! example along it.

use super::vector::{self, MEMO, NETWORK, PAYEE_SEED, PAYER_SEED, REPLICA_SEED};
use super::{pretty, row};
use crate::rpc::convert::{MEMO_LENGTH_OFFSET, address_text};
use serde_json::json;
use smt_types::address::Hrp;
use smt_types::batch::{MAX_BATCH_PATH, MAX_BATCH_PAYMENTS};
use smt_types::committee::MAX_REPLICAS;
use smt_types::payment::{MAX_MEMO_BYTES, MAX_PAYMENT_BYTES};
use smt_types::receipt::MAX_RECEIPT_BYTES;
use smt_types::{Canonical, Domain, ShardAddress};

/// One field of a layout: name, length (a number, or in words), meaning.
pub(super) type Field = (&'static str, Length, &'static str);

#[derive(Clone, Copy)]
pub(super) enum Length {
    Bytes(usize),
    Words(&'static str),
}
use Length::{Bytes, Words};

/// A payment without signature.
const PAYMENT: &[Field] = &[
    ("network", Bytes(4), "u32, from `smt_nodeInfo`"),
    ("payer", Bytes(32), "ed25519 public key"),
    ("seq", Bytes(8), "u64, the payer's own payment number, from 0, without gaps"),
    ("payee", Bytes(32), "address of the payee, the 32 bytes behind the bech32m text"),
    ("amount", Bytes(8), "u64, base units, not 0"),
    ("memo length", Bytes(4), "u32, m"),
    ("memo", Words("m"), "any bytes"),
    (
        "after",
        Bytes(8),
        "u64, the largest Lamport value the wallet has seen (`lamport` of `smt_getAccount`); 0 is fine",
    ),
];

/// A batch header.
const BATCH_HEADER: &[Field] = &[
    ("network", Bytes(4), "u32"),
    ("shard", Bytes(5), "level u8, then the word as a number in base 3, u32"),
    ("committee", Bytes(32), "digest of the committee"),
    ("gateway", Bytes(1), "u8, index of the replica that made the batch"),
    ("number", Bytes(8), "u64, the gateway's own batch number"),
    ("root", Bytes(32), "root of the batch tree"),
    ("count", Bytes(2), "u16, payments in the batch"),
    ("lamport", Bytes(8), "u64"),
    ("dense time", Bytes(17), "time in µs u64, shard index u32, replica u8, counter u32"),
];

/// One part of a receipt.
const APPLIED_PART: &[Field] = &[
    ("replica", Bytes(1), "u8, index of the signer"),
    (
        "bits",
        Words("2 + ⌈count / 8⌉"),
        "bitmap: number of bits u16, then bit i in byte i / 8 at position i mod 8; spare bits are 0",
    ),
    ("open epoch", Bytes(8), "u64"),
    ("signature", Bytes(64), "ed25519 over the digest of the applied record"),
];

/// A snapshot header.
const HEADER: &[Field] = &[
    ("network", Bytes(4), "u32"),
    ("shard", Bytes(5), "level u8, index u32"),
    ("epoch", Bytes(8), "u64"),
    ("predecessor", Bytes(32), "digest of the header of the epoch before; zeros at epoch 0"),
    ("state root", Bytes(32), "S"),
    ("supply", Bytes(8), "u64, Σ balances of the shard"),
    ("vector digest", Bytes(32), "V"),
    ("lamport", Bytes(8), "u64, L"),
    ("dense time", Bytes(17), "D, as in a batch header"),
    ("committee", Bytes(32), "digest of the committee"),
    (
        "levels",
        Words("4 + 80 · level"),
        "u32 level, then per level and each of its two siblings: sent u128, received u128, epoch u64",
    ),
    ("links", Bytes(32), "digest of the changed cursors and outbox counts"),
];

/// A replica in a genesis file.
const REPLICA_KEYS: &[Field] = &[
    ("ed25519", Bytes(32), "public key"),
    ("jub", Bytes(32), "BabyJubJub public key, packed as circomlibjs does"),
    ("ed25519 possession", Bytes(64), "signature of both public keys, domain `Possession`"),
    ("jub possession", Bytes(64), "the same by the other key"),
];

pub(super) fn table(fields: &[Field]) -> String {
    let mut text = String::from("| field | bytes | meaning |\n| --- | --- | --- |\n");
    for (name, length, meaning) in fields {
        let length = match length {
            Bytes(count) => count.to_string(),
            Words(words) => (*words).to_owned(),
        };
        row(&mut text, &[name, &length, meaning]);
    }
    text
}

/// The section on byte formats.
pub(super) fn formats() -> String {
    [encoding(), keys(), payment(), receipt(), header(), super::proofs::account_proof(), super::proofs::evidence()]
        .concat()
}

fn encoding() -> String {
    let mut text = String::from(
        "## Byte formats\n\n\
         Everything hashed or signed has one byte form: fields in order, fixed width, integers little endian, a list as its \
         count (u32) and then its items, no padding and nothing after the end. A decoder refuses every other form.\n\n\
         ### Hashes\n\n\
         `H(domain, bytes)` is BLAKE3 in derive-key mode with the context string of the domain and `bytes` as key material, 32 \
         bytes of output. All domains:\n\n\
         | domain | context string |\n| --- | --- |\n",
    );
    for domain in Domain::ALL {
        row(&mut text, &[&format!("`{domain:?}`"), &format!("`{}`", domain.context())]);
    }
    text
}

fn keys() -> String {
    let max = ShardAddress::MAX_LEVEL;
    format!(
        "\n### Keys and addresses\n\n\
         - A key is an ed25519 key (RFC 8032). Signatures are checked by the rules of ZIP-215; a public key of small order is \
         refused (`weak_key`).\n\
         - *Address* = `H(Address, public key)`, 32 bytes.\n\
         - *Text form*: bech32m (BIP-350) of the 32 bytes, regrouped to 52 characters, no version byte, prefix `{}` or, on \
         development networks, `{}` (`address_prefix` of `smt_nodeInfo`). Written in lower case; all upper case is read too.\n\
         - *Shard of an account* in a network of level h (3^h shards, h ≤ {max}): read the address as a big-endian number a; the \
         shard is ⌊a · 3^h / 2^256⌋ written with h trits (digits in base 3), most significant first, joined by dots; `root` for \
         h = 0. A client needs this for checking receipts only: every endpoint takes every payment.\n",
        Hrp::Main.as_str(),
        Hrp::Dev.as_str(),
    )
}

fn payment() -> String {
    format!(
        "\n### Payment\n\n{}\n\
         - The memo has at most {MAX_MEMO_BYTES} bytes; its length stands at offset {MEMO_LENGTH_OFFSET}.\n\
         - *Id* = `H(Payment, these bytes)`.\n\
         - *Signature* = ed25519 by the payer's key over the 32 bytes of the id.\n\
         - *Signed payment* = these bytes followed by the 64 bytes of the signature: {} to {MAX_PAYMENT_BYTES} bytes. Its hex \
         is the `payment` of `smt_submitTransaction`.\n",
        table(PAYMENT),
        MAX_PAYMENT_BYTES.saturating_sub(MAX_MEMO_BYTES),
    )
}

fn receipt() -> String {
    format!(
        "\n### Receipt\n\n\
         A receipt proves that a payment is final: header of a batch, signed payment, path in the batch tree, applied parts. At \
         most {MAX_RECEIPT_BYTES} bytes.\n\n\
         1. Batch header:\n\n{}\n\
         2. Signed payment, as above.\n\
         3. Path: index u16, then a list (count u32, at most {MAX_BATCH_PATH}) of 32-byte siblings, leaf side first; levels at \
         which the node has no sibling are left out.\n\
         4. Applied parts: count u32 (at most {MAX_REPLICAS}), then each\n\n{}\n\
         **Verification**, against the committee that genesis names for the payer's shard (`smt_getGenesis`):\n\n\
         1. Network, shard and committee of the header are those of that committee, and the gateway is one of its replicas. The \
         payment names the same network, and the payer's address lies in that shard.\n\
         2. leaf = `H(BatchLeaf, signed payment)`. The path leads from the leaf to `root`: with place = index and width = count, \
         while width > 1: if place is odd, node = `H(BatchNode, next sibling ‖ node)`; else if place < width − 1, node = \
         `H(BatchNode, node ‖ next sibling)`; else the node moves up unchanged; then place = ⌊place / 2⌋, width = ⌈width / 2⌉. \
         All siblings are used up, index < count, and 1 ≤ count ≤ {MAX_BATCH_PAYMENTS}.\n\
         3. The payer's signature verifies over the payment's id.\n\
         4. There are exactly q parts (q = 2 for 3 replicas, ⌊2n/3⌋ + 1 for n ≥ 4), replicas strictly ascending and in the \
         committee; each bitmap has `count` bits and has the bit of the payment's index set.\n\
         5. Each part's signature verifies under the replica's ed25519 key over `H(Applied, committee ‖ header digest ‖ replica ‖ \
         bits ‖ open epoch)`, where header digest = `H(BatchHeader, batch header)`.\n\n\
         The payment is then final, in the epoch that is the largest open epoch of the parts. No flipped bit of a receipt \
         verifies.\n\n\
         *Committee digest* = `H(Committee, network u32 ‖ shard ‖ list of replicas)`, a replica being\n\n{}\n\
         *Genesis file* = network u32 ‖ development u8 ‖ level u8 ‖ epoch_ms u32 ‖ list, per shard in order, of lists of replicas ‖ \
         list of {{address 32, balance u64}} ‖ list of faucet addresses. Its digest is `H(GenesisFile, file)`.\n",
        table(BATCH_HEADER),
        table(APPLIED_PART),
        table(REPLICA_KEYS),
    )
}

fn header() -> String {
    format!(
        "\n### Snapshot header\n\n{}\n\
         Its digest is `H(Header, header)`. The levels are ordered from the root's children down, the two siblings of a level by their \
         words.\n\n\
         **Verification** of a certified header, against the committee that genesis names for the shard (`smt_getGenesis`):\n\n\
         1. Network, shard and committee are those of that committee, and the number of levels is the shard's level.\n\
         2. There are exactly q signatures, replicas strictly ascending and in the committee.\n\
         3. Each `ed25519` signature verifies over the 32 bytes of the digest, and each `jub` signature over the Poseidon digest. A \
         client without BabyJubJub may leave the second out: q ed25519 signatures bind an honest majority all the same.\n\n\
         Epoch 0 is fixed by genesis and not signed: its digest is taken from the genesis hash's own file. The chain of digests through \
         `predecessor` leads back to it.\n\n\
         *Poseidon digest*: Poseidon over the scalar field of BN254 with circomlib's parameters, of these elements in order: network, \
         shard level, shard index, epoch, predecessor, state root, supply, vector digest, lamport, dense time (µs, shard, replica, \
         counter), committee, per level and sibling (sent, received, epoch), links. A digest is two elements: its bytes 0–15 and 16–31 as \
         big-endian numbers. A list of n elements is hashed as h = n; then h = Poseidon(h, the next up to 11 elements) until all are used. \
         A `jub` signature is (R packed 32, S 32 little endian), EdDSA-Poseidon on BabyJubJub as circomlib's `EdDSAPoseidonVerifier` \
         checks it.\n",
        table(HEADER)
    )
}

/// The section with the worked example.
pub(super) fn worked_example() -> String {
    let signed = vector::signed_payment();
    let payment = &signed.payment;
    let (bytes, payer, payee) = (payment.to_bytes(), payment.payer.address(), payment.payee);
    let committee = vector::committee();
    let receipt = vector::receipt();
    let mut text = format!(
        "## Worked example\n\n\
         Network {NETWORK}; the payer's ed25519 seed is the byte {PAYER_SEED:02x} 32 times, the payee's the byte \
         {PAYEE_SEED:02x} 32 times; seq 0, amount {}, memo `{MEMO}`, after 0. ed25519 signatures are deterministic, so every byte \
         can be compared.\n\n| value | |\n| --- | --- |\n",
        payment.amount,
    );
    let shards: Vec<String> = [0, 1, 2, 9].iter().map(|level| payer.shard(*level).to_string()).collect();
    for (name, value) in [
        ("payer's public key", hex::encode(payment.payer.as_bytes())),
        ("payer's address", hex::encode(payer.0)),
        ("payer's address, text", address_text(&payer, Hrp::Dev).0),
        ("the same, prefix of a main network", address_text(&payer, Hrp::Main).0),
        ("payer's shard at levels 0, 1, 2, 9", shards.join(", ")),
        ("payee's address", hex::encode(payee.0)),
        ("payee's address, text", address_text(&payee, Hrp::Dev).0),
        ("payment", hex::encode(&bytes)),
        ("id", payment.id().to_string()),
        ("signature", hex::encode(signed.signature.0)),
        ("signed payment", hex::encode(signed.to_bytes())),
    ] {
        row(&mut text, &[name, &format!("`{value}`")]);
    }
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "smt_submitTransaction",
                       "params": { "payment": hex::encode(signed.to_bytes()), "wait": "final" } });
    text.push_str(&format!("\n```sh\ncurl -s http://127.0.0.1:PORT/ -d '{call}'\n```\n\n\
         A receipt of it, in the only shard of its network, the first of two payments in a batch; replicas have the ed25519 seeds \
         {:02x}, {:02x} and {:02x} (32 times each), replicas 0 and 2 signed, in open epochs 4 and 5, so the epoch is 5:\n\n\
         | value | |\n| --- | --- |\n",
        REPLICA_SEED,
        REPLICA_SEED.saturating_add(1),
        REPLICA_SEED.saturating_add(2),
    ));
    for (name, value) in [
        ("committee digest", committee.digest().to_hex()),
        ("leaf", signed.leaf().to_hex()),
        ("batch root", receipt.header.root.to_hex()),
        ("batch header digest", receipt.header.digest().to_hex()),
        ("receipt", hex::encode(receipt.to_bytes())),
    ] {
        row(&mut text, &[name, &format!("`{value}`")]);
    }
    let keys: serde_json::Map<_, _> = committee
        .indices()
        .filter_map(|index| committee.keys(index).map(|keys| (index.to_string(), json!(hex::encode(keys.to_bytes())))))
        .collect();
    text.push_str(&super::proofs::example());
    text.push_str(&format!("\nThe replicas as genesis has them (ed25519 key, BabyJubJub key, two proofs of possession), by index:\n\n```json\n{}\n```\n", pretty(&keys.into())));
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, reason = "tests")]
    use super::*;
    use smt_types::clock::SierpinskiClock;
    use smt_types::{Digest, Epoch, Header, Lamport};

    /// Cuts `bytes` along `fields`; words have the length given for them, in order. Nothing may be left.
    fn cut<'a>(fields: &[Field], bytes: &'a [u8], mut words: impl Iterator<Item = usize>) -> Vec<&'a [u8]> {
        let mut rest = bytes;
        let parts = fields.iter().map(|(name, length, _)| {
            let length = match length {
                Bytes(count) => *count,
                Words(_) => words.next().unwrap(),
            };
            let (part, after) = rest.split_at_checked(length).unwrap_or_else(|| panic!("{name}"));
            rest = after;
            part
        });
        let parts = parts.collect();
        assert!(rest.is_empty(), "{} bytes left", rest.len());
        parts
    }

    fn part<'a>(fields: &[Field], parts: &[&'a [u8]], name: &str) -> &'a [u8] {
        let place = fields.iter().position(|(field, ..)| *field == name).unwrap();
        parts.get(place).unwrap()
    }

    #[test]
    fn payment_table_is_the_encoding() {
        let signed = vector::signed_payment();
        let bytes = signed.payment.to_bytes();
        let parts = cut(PAYMENT, &bytes, [MEMO.len()].into_iter());
        assert_eq!(part(PAYMENT, &parts, "network"), NETWORK.0.to_le_bytes());
        assert_eq!(part(PAYMENT, &parts, "payer"), signed.payment.payer.as_bytes());
        assert_eq!(part(PAYMENT, &parts, "payee"), signed.payment.payee.0);
        assert_eq!(part(PAYMENT, &parts, "amount"), 1_000u64.to_le_bytes());
        assert_eq!(part(PAYMENT, &parts, "memo length"), 3u32.to_le_bytes());
        assert_eq!(part(PAYMENT, &parts, "memo"), MEMO.as_bytes());
        assert_eq!(signed.to_bytes(), [bytes.as_slice(), &signed.signature.0].concat());
    }

    #[test]
    fn receipt_tables_are_the_encoding() {
        let receipt = vector::receipt();
        let header = receipt.header.to_bytes();
        let parts = cut(BATCH_HEADER, &header, std::iter::empty());
        assert_eq!(part(BATCH_HEADER, &parts, "committee"), receipt.header.committee.0);
        assert_eq!(part(BATCH_HEADER, &parts, "root"), receipt.header.root.0);
        assert_eq!(part(BATCH_HEADER, &parts, "count"), 2u16.to_le_bytes());
        let mut whole = header;
        whole.extend(receipt.payment.to_bytes());
        whole.extend(receipt.path.index.to_le_bytes());
        whole.extend(1u32.to_le_bytes());
        for sibling in receipt.path.siblings.iter() {
            whole.extend(sibling.0);
        }
        whole.extend(2u32.to_le_bytes());
        for applied in receipt.applied.iter() {
            let bytes = applied.to_bytes();
            let parts = cut(APPLIED_PART, &bytes, [3].into_iter());
            assert_eq!(part(APPLIED_PART, &parts, "bits"), [2, 0, 0b11]);
            assert_eq!(part(APPLIED_PART, &parts, "signature"), applied.signature.0);
            whole.extend(bytes);
        }
        assert_eq!(whole, receipt.to_bytes());
        let committee = vector::committee();
        let keys = committee.keys(smt_types::ReplicaIndex(0)).unwrap().to_bytes();
        assert_eq!(
            part(REPLICA_KEYS, &cut(REPLICA_KEYS, &keys, std::iter::empty()), "ed25519"),
            keys.get(..32).unwrap()
        );
    }

    #[test]
    fn header_table_is_the_encoding() {
        let header = Header {
            network: NETWORK,
            shard: ShardAddress::new(2, 5).unwrap(),
            epoch: Epoch(6),
            predecessor: Digest([1; 32]),
            state: Digest([2; 32]),
            supply: smt_types::Amount(7),
            vector: Digest([3; 32]),
            lamport: Lamport(8),
            dense: smt_types::DenseTime::ZERO,
            committee: Digest([4; 32]),
            levels: SierpinskiClock::new(2),
            links: Digest([5; 32]),
        };
        let bytes = header.to_bytes();
        let parts = cut(HEADER, &bytes, [4 + 80 * 2].into_iter());
        assert_eq!(part(HEADER, &parts, "shard"), [2, 5, 0, 0, 0]);
        assert_eq!(part(HEADER, &parts, "state root"), [2; 32]);
        assert_eq!(part(HEADER, &parts, "links"), [5; 32]);
    }
}
