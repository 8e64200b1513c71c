//! The vectors in `vectors/`: second origins of everything that is hashed or signed. A file that no test reads is a
//! failure. `scripts/vectors_types.py --check` recomputes them from the written rules; `poseidon.json` and
//! `babyjub.json` come from circomlibjs.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "tests")]

use serde_json::Value;
use smt_types::address::Hrp;
use smt_types::batch::{self, BatchPath};
use smt_types::crypto::{self, Field, JubSecretKey, SecretKey};
use smt_types::header::CertifiedHeader;
use smt_types::receipt::MAX_RECEIPT_BYTES;
use smt_types::vote::{Applied, Vote};
use smt_types::*;
use std::collections::BTreeSet;
use std::path::PathBuf;

const READ: [&str; 7] =
    ["addresses.json", "babyjub.json", "domains.json", "ed25519.json", "jub.json", "poseidon.json", "records.json"];

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("vectors")
}

fn read(name: &str) -> Value {
    assert!(READ.contains(&name));
    serde_json::from_slice(&std::fs::read(folder().join(name)).unwrap()).unwrap()
}

fn rows<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    let rows = value[name].as_array().unwrap();
    assert!(!rows.is_empty(), "{name}");
    rows
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap()
}

fn data(value: &Value, name: &str) -> Vec<u8> {
    hex::decode(text(value, name)).unwrap()
}

fn array<const N: usize>(value: &Value, name: &str) -> [u8; N] {
    data(value, name).try_into().unwrap()
}

fn field(value: &Value, name: &str) -> Field {
    Field::from_decimal(text(value, name)).unwrap()
}

fn fields(value: &Value, name: &str) -> Vec<Field> {
    value[name].as_array().unwrap().iter().map(|v| Field::from_decimal(v.as_str().unwrap()).unwrap()).collect()
}

/// Decodes, and checks that encoding gives the same bytes back and that no shorter or longer input is taken.
fn exact<T: Canonical>(bytes: &[u8]) -> T {
    let value = T::from_bytes(bytes, bytes.len()).unwrap();
    assert_eq!(value.to_bytes(), bytes);
    assert!(T::from_bytes(&bytes[..bytes.len() - 1], bytes.len()).is_err());
    let longer = [bytes, &[0]].concat();
    assert!(T::from_bytes(&longer, longer.len()).is_err());
    value
}

#[test]
fn every_file_is_read() {
    let files: BTreeSet<String> =
        std::fs::read_dir(folder()).unwrap().map(|f| f.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(files, READ.iter().map(|name| (*name).to_string()).collect());
}

#[test]
fn domains() {
    let file = read("domains.json");
    let inputs: Vec<Vec<u8>> =
        rows(&file, "inputs").iter().map(|v| hex::decode(v.as_str().unwrap()).unwrap()).collect();
    let names: Vec<&str> = rows(&file, "domains").iter().map(|row| text(row, "name")).collect();
    assert_eq!(names, Domain::ALL.iter().map(|d| format!("{d:?}")).collect::<Vec<_>>());
    for (row, domain) in rows(&file, "domains").iter().zip(Domain::ALL) {
        assert_eq!(text(row, "context"), domain.context());
        for (input, want) in inputs.iter().zip(rows(row, "digests")) {
            assert_eq!(hash::hash(*domain, input).to_hex(), want.as_str().unwrap());
        }
    }
}

#[test]
fn addresses() {
    for row in rows(&read("addresses.json"), "addresses") {
        let address = Address(array(row, "address"));
        if !row["public"].is_null() {
            assert_eq!(crypto::PublicKey::from_bytes(array(row, "public")).unwrap().address(), address);
        }
        for (hrp, name) in [(Hrp::Main, "smt"), (Hrp::Dev, "smtdev")] {
            assert_eq!(address.to_bech32(hrp), text(row, name));
            assert_eq!(Address::parse(text(row, name)), Ok((hrp, address)));
        }
        for (level, word) in (0..).zip(rows(row, "words")) {
            assert_eq!(address.shard(level).to_string(), word.as_str().unwrap());
        }
    }
}

#[test]
fn ed25519() {
    let file = read("ed25519.json");
    assert_eq!(rows(&file, "weak").len(), 14);
    for weak in rows(&file, "weak") {
        let bytes: [u8; 32] = hex::decode(weak.as_str().unwrap()).unwrap().try_into().unwrap();
        assert_eq!(PublicKey::from_bytes(bytes), Err(DecodeError::WeakKey));
        assert_eq!(<PublicKey as Canonical>::from_bytes(&bytes, 32), Err(DecodeError::WeakKey));
    }
    for row in rows(&file, "keys") {
        assert_eq!(SecretKey::from_seed(array(row, "seed")).public().as_bytes(), &array(row, "public"));
    }
    let item = |row: &Value| {
        let key = PublicKey::from_bytes(array(row, "public")).unwrap();
        (key, Digest(array(row, "digest")), Signature(array(row, "signature")))
    };
    let items: Vec<_> = rows(&file, "signatures").iter().map(item).collect();
    let valid: Vec<bool> = rows(&file, "signatures").iter().map(|row| row["valid"].as_bool().unwrap()).collect();
    let other = SecretKey::from_seed([1; 32]);
    let good = (other.public(), Digest([2; 32]), other.sign(&[2; 32]));
    for ((row, item), valid) in rows(&file, "signatures").iter().zip(&items).zip(&valid) {
        let (key, digest, signature) = item;
        assert_eq!(key.verify(&digest.0, signature), *valid, "{}", text(row, "what"));
        assert_eq!(crypto::verify_batch(&[*item, good]), *valid, "{}", text(row, "what"));
        assert_eq!(crypto::verify_batch(&[*item, *item, *item]), *valid, "{}", text(row, "what"));
    }
    assert_eq!(crypto::verify_each(&items), valid);
    let all_valid: Vec<_> = items.iter().zip(&valid).filter(|(_, valid)| **valid).map(|(item, _)| *item).collect();
    assert!(all_valid.len() > 30 && crypto::verify_batch(&all_valid));
}

#[test]
fn poseidon_equals_circomlib() {
    for row in rows(&read("poseidon.json"), "hashes") {
        let inputs = fields(row, "inputs");
        macro_rules! hash {
            ($($count:literal)*) => {
                match inputs.len() {
                    $($count => crypto::poseidon::<$count>(inputs.as_slice().try_into().unwrap()),)*
                    other => panic!("{other} inputs"),
                }
            };
        }
        assert_eq!(hash!(1 2 3 4 5 6 7 8 9 10 11 12), field(row, "hash"), "{inputs:?}");
    }
}

#[test]
fn babyjubjub_equals_circomlib() {
    let file = read("babyjub.json");
    for row in rows(&file, "points") {
        let key = JubPublicKey::from_bytes(array(row, "packed")).unwrap();
        let neutral = text(row, "x") == "0" && text(row, "y") == "1";
        assert_eq!(key.is_valid(), row["in_subgroup"].as_bool().unwrap() && !neutral, "{}", text(row, "what"));
        assert_eq!(key.coordinates(), Some((field(row, "x"), field(row, "y"))), "{}", text(row, "what"));
    }
    for row in rows(&file, "signatures") {
        let key = JubPublicKey::from_bytes(array(row, "public")).unwrap();
        assert!(key.is_valid());
        assert!(key.verify(&field(row, "message"), &JubSignature(array(row, "signature"))));
    }
    for row in rows(&file, "verdicts") {
        let key = JubPublicKey::from_bytes(array(row, "public")).unwrap();
        let verdict = key.verify(&field(row, "message"), &JubSignature(array(row, "signature")));
        assert_eq!(verdict, row["valid"].as_bool().unwrap(), "{}", text(row, "what"));
    }
}

#[test]
fn babyjubjub_keys_and_lists() {
    let file = read("jub.json");
    for row in rows(&file, "keys") {
        let key = JubSecretKey::from_seed(array(row, "seed"));
        assert_eq!(key.public().as_bytes(), &array(row, "public"));
        assert_eq!(key.sign(&field(row, "message")), JubSignature(array(row, "signature")));
    }
    for row in rows(&file, "lists") {
        assert_eq!(crypto::poseidon_many(&fields(row, "inputs")), field(row, "hash"));
    }
}

fn check_payments(file: &Value) -> Vec<SignedPayment> {
    let check = |row: &Value| {
        let number = |name| text(row, name).parse::<u64>().unwrap();
        let key = SecretKey::from_seed(array(row, "seed"));
        let payment = Payment {
            network: NetworkId(u32::try_from(row["network"].as_u64().unwrap()).unwrap()),
            payer: PublicKey::from_bytes(array(row, "payer")).unwrap(),
            seq: Seq(number("seq")),
            payee: Address(array(row, "payee")),
            amount: Amount(number("amount")),
            memo: Bounded::new(data(row, "memo")).unwrap(),
            after: Lamport(number("after")),
        };
        assert_eq!(key.public(), payment.payer);
        assert_eq!(payment.id().to_string(), text(row, "id"));
        let signed = payment.sign(&key);
        assert_eq!(hex::encode(signed.to_bytes()), text(row, "bytes"));
        assert_eq!(exact::<SignedPayment>(&data(row, "bytes")), signed);
        assert_eq!(signed.leaf().to_hex(), text(row, "leaf"));
        assert!(signed.is_signed());
        signed
    };
    rows(file, "payments").iter().map(check).collect()
}

fn check_committee(file: &Value) -> Committee {
    let row = &file["committee"];
    let members: Bounded<ReplicaKeys, 27> = exact(&data(row, "members"));
    for (i, keys) in (0..).zip(members.iter()) {
        let (ed25519, jub) = (SecretKey::from_seed([0x10 + i; 32]), JubSecretKey::from_seed([0x20 + i; 32]));
        assert_eq!(*keys, ReplicaKeys::prove(&ed25519, &jub));
    }
    let committee = Committee::new(NetworkId(7), text(row, "shard").parse().unwrap(), members.into_inner()).unwrap();
    assert_eq!(committee.digest().to_hex(), text(row, "digest"));
    committee
}

#[test]
fn records() {
    let file = read("records.json");
    let payments = check_payments(&file);
    let committee = check_committee(&file);
    let shard = committee.shard();

    let row = &file["batch"];
    let batch: Batch = exact(&data(row, "bytes"));
    let header = &batch.header;
    let leaves: Vec<Digest> = payments.iter().map(SignedPayment::leaf).collect();
    assert!(batch.is_consistent());
    assert_eq!(*batch.payments, *payments);
    assert_eq!(batch::root(&leaves).to_hex(), text(row, "root"));
    assert_eq!(header.digest().to_hex(), text(row, "digest"));
    assert_eq!((header.network, header.shard, header.committee), (NetworkId(7), shard, committee.digest()));
    assert_eq!((header.gateway, header.number, header.count), (ReplicaIndex(1), BatchNumber(5), 3));
    let dense = DenseTime { time_us: 1_770_000_000_000_000, shard: shard.index(), replica: 1, counter: 3 };
    assert_eq!((header.lamport, header.dense), (Lamport(99), dense));
    assert!(committee.keys(header.gateway).unwrap().ed25519.verify(header.digest().as_bytes(), &batch.signature));

    for (row, (replica, bits)) in rows(&file, "votes").iter().zip([(0, [true; 3]), (2, [false, true, true])]) {
        let vote: Vote = exact(&data(row, "bytes"));
        assert_eq!(vote.digest().to_hex(), text(row, "digest"));
        assert_eq!(vote.bits, Bitmap::from_fn(3, |i| bits[usize::from(i)]));
        assert_eq!((vote.replica, vote.header, vote.number), (ReplicaIndex(replica), header.digest(), BatchNumber(5)));
        let key = SecretKey::from_seed([0x10 + replica; 32]);
        assert_eq!(vote.signature, key.sign(vote.digest().as_bytes()));
    }
    for (row, replica) in rows(&file, "applied").iter().zip([0u8, 2]) {
        let applied: Applied = exact(&data(row, "bytes"));
        assert_eq!(applied.digest().to_hex(), text(row, "digest"));
        assert_eq!((applied.replica, applied.open_epoch), (ReplicaIndex(replica), Epoch(4 + u64::from(replica))));
        let key = SecretKey::from_seed([0x10 + replica; 32]);
        assert_eq!(applied.signature, key.sign(applied.digest().as_bytes()));
    }
    for row in rows(&file, "receipts") {
        let bytes = data(row, "bytes");
        let receipt: Receipt = exact(&bytes);
        let index = u16::try_from(row["index"].as_u64().unwrap()).unwrap();
        assert_eq!(receipt.path, BatchPath::of(&leaves, index).unwrap());
        let shown = receipt.verify(&committee, &RealChecker).unwrap();
        assert_eq!(shown.id().to_string(), text(row, "payment"));
        assert_eq!(shown.epoch(), Epoch(row["epoch"].as_u64().unwrap()));
    }
}

#[test]
fn receipt_with_any_bit_flipped_is_refused() {
    let file = read("records.json");
    let committee = check_committee(&file);
    let bytes = data(&rows(&file, "receipts")[0], "bytes");
    assert!(bytes.len() <= MAX_RECEIPT_BYTES);
    for place in 0..bytes.len() {
        for bit in 0..8 {
            let mut changed = bytes.clone();
            changed[place] ^= 1 << bit;
            let refused = match Receipt::from_bytes(&changed, MAX_RECEIPT_BYTES) {
                Ok(receipt) => receipt.verify(&committee, &RealChecker).is_err(),
                Err(_) => true,
            };
            assert!(refused, "byte {place}, bit {bit}");
        }
    }
}

#[test]
fn snapshot_header() {
    let file = read("records.json");
    let committee = check_committee(&file);
    let row = &file["header"];
    let header: Header = exact(&data(row, "bytes"));
    assert_eq!(header.digest().to_hex(), text(row, "digest"));
    assert_eq!(header.poseidon(), field(row, "poseidon"));
    assert_eq!((header.epoch, header.supply, header.lamport), (Epoch(3), Amount(10u64.pow(15)), Lamport(1234)));
    let [[first, second]] = header.levels.levels.as_slice() else { panic!("one level") };
    assert_eq!((first.sent, first.received, first.epoch), ((1 << 64) + 1, 5, 2));
    assert_eq!((second.sent, second.received, second.epoch), (0, 1 << 127, 1));
    let certified: CertifiedHeader = exact(&data(row, "certified"));
    assert_eq!(certified.header, header);
    assert_eq!(certified.verify(&committee, &RealChecker), Ok(()));
}

/// Decodes every change of one byte: what is accepted must encode to the bytes it came from.
fn one_form<T: Canonical>(bytes: &[u8]) {
    assert!(T::from_bytes(bytes, bytes.len()).is_ok());
    for place in 0..bytes.len() {
        for change in [0x01, 0x02, 0x04, 0x10, 0x40, 0x80, 0xff] {
            let mut changed = bytes.to_vec();
            changed[place] ^= change;
            if let Ok(value) = T::from_bytes(&changed, changed.len()) {
                assert_eq!(value.to_bytes(), changed, "byte {place}, change {change:02x}");
            }
        }
    }
}

#[test]
fn accepted_records_have_one_form() {
    let file = read("records.json");
    one_form::<SignedPayment>(&data(&rows(&file, "payments")[1], "bytes"));
    one_form::<Bounded<ReplicaKeys, 27>>(&data(&file["committee"], "members"));
    one_form::<Batch>(&data(&file["batch"], "bytes"));
    one_form::<Vote>(&data(&rows(&file, "votes")[0], "bytes"));
    one_form::<Applied>(&data(&rows(&file, "applied")[0], "bytes"));
    one_form::<Receipt>(&data(&rows(&file, "receipts")[1], "bytes"));
    one_form::<CertifiedHeader>(&data(&file["header"], "certified"));
}
