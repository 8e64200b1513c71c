//! `circuits/vectors/native.json`: inputs of the circuits and what the native code says about them. Here the file is held
//! against the native code, in `scripts/circuits --test` against the compiled circuits; so the two agree.
//!
//! To write it anew: `SMT_WRITE_VECTORS=1 cargo test --release -p smt-zk`. Then the circuits are about other values.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "tests")]

use serde_json::{Value, json};
use smt_ledger::genesis::committee_leaf;
use smt_types::clock::{LevelEntry, SierpinskiClock};
use smt_types::codec::Bounded;
use smt_types::crypto::{Field, JubSecretKey, SecretKey, poseidon};
use smt_types::header::{CertifiedHeader, HeaderSignature, LinkChanges};
use smt_types::hierarchy::{GlobalPath, global_root};
use smt_types::signer::{Checker, RealChecker, Signer};
use smt_types::{
    Amount, Committee, DenseTime, Digest, Epoch, Header, JubPublicKey, JubSignature, Lamport, NetworkId, ReplicaIndex,
    ReplicaKeys, ShardAddress, Signature,
};
use smt_zk::{InputError, Inputs};
use std::path::PathBuf;

const NETWORK: NetworkId = NetworkId(7);
/// l, little endian.
const ORDER: &str = "f1262139dc9772670aee2039b8ed3eab0b2b30d0b6080a370534265cce890c06";

/// One vector: what the instance of this name gives for these inputs, or `None` where it has no witness.
struct Row(&'static str, String, Inputs, Option<Vec<Field>>);

impl Row {
    fn json(&self) -> Value {
        let texts = |fields: &[Field]| fields.iter().map(Field::to_decimal).collect::<Vec<_>>();
        let inputs = self.2.0.iter().map(|(name, values)| ((*name).to_owned(), json!(texts(values))));
        let inputs: serde_json::Map<String, Value> = inputs.collect();
        json!({ "what": self.0, "instance": self.1, "inputs": inputs, "outputs": self.3.as_deref().map(texts) })
    }
}

/// Both keys of a replica.
struct Keys(SecretKey, JubSecretKey);

impl Signer for Keys {
    fn sign(&self, digest: &Digest) -> Signature {
        self.0.sign(digest.as_bytes())
    }

    fn sign_jub(&self, message: &Field) -> JubSignature {
        self.1.sign(message)
    }
}

fn shard(level: u8, index: u32) -> ShardAddress {
    ShardAddress::new(level, index).unwrap()
}

fn digest(seed: u8) -> Digest {
    Digest(std::array::from_fn(|i| {
        seed.wrapping_mul(83).wrapping_add(u8::try_from(i).unwrap().wrapping_mul(151)) ^ 0xa5
    }))
}

fn keys(replica: u8) -> Keys {
    Keys(SecretKey::from_seed([0x40 + replica; 32]), JubSecretKey::from_seed([0x60 + replica; 32]))
}

fn committee(shard: ShardAddress) -> Committee {
    let keys = (0..3).map(keys).map(|keys| ReplicaKeys::prove(&keys.0, &keys.1));
    Committee::new(NETWORK, shard, keys.collect()).unwrap()
}

/// Every field with bits in its top and bottom; `extreme`: with the largest value of its type.
fn header(shard: ShardAddress, committee: &Committee, extreme: bool) -> Header {
    let mut levels = SierpinskiClock::new(shard.level());
    for (i, entry) in levels.levels.iter_mut().flatten().enumerate() {
        let i = u128::try_from(i).unwrap();
        *entry = LevelEntry { sent: (1 << 127) + i, received: 5 * i, epoch: (1 << 63) + 7 };
        if extreme {
            *entry = LevelEntry { sent: u128::MAX, received: u128::MAX, epoch: u64::MAX };
        }
    }
    let largest = |value: u64| if extreme { u64::MAX } else { value };
    let bytes = |seed: u8| if extreme { Digest([0xff; 32]) } else { digest(seed) };
    Header {
        network: NetworkId(if extreme { u32::MAX } else { NETWORK.0 }),
        shard,
        epoch: Epoch(largest(3)),
        predecessor: bytes(1),
        state: bytes(2),
        supply: Amount(largest((1 << 63) + 1)),
        vector: bytes(3),
        lamport: Lamport(largest(1234)),
        dense: DenseTime { time_us: largest(1_770_000_001_000_000), shard: shard.index(), replica: 2, counter: 9 },
        committee: committee.digest(),
        levels,
        links: LinkChanges::default().digest(),
    }
}

fn headers(rows: &mut Vec<Row>) {
    for (level, index) in [(0, 0), (1, 2), (2, 5), (3, 26)] {
        let shard = shard(level, index);
        for (what, extreme) in [("header", false), ("header of largest values", true)] {
            let header = header(shard, &committee(shard), extreme);
            let inputs = smt_zk::header_digest(&header).unwrap();
            rows.push(Row(what, format!("header-digest-{level}"), inputs, Some(vec![header.poseidon()])));
        }
    }
}

fn tree(rows: &mut Vec<Row>) {
    for level in 0..=2u8 {
        let leaves: Vec<Field> =
            (0..ShardAddress::count(level)).map(|i| poseidon(&[Field::from_u64(i.into())])).collect();
        let root = global_root(level, &leaves).unwrap();
        rows.push(Row(
            "root",
            format!("ternary-root-{level}"),
            Inputs(vec![("leaf", leaves.clone())]),
            Some(vec![root]),
        ));
        if level == 0 {
            continue;
        }
        for shard in ShardAddress::all(level) {
            let path = GlobalPath::of(&leaves, shard).unwrap();
            let leaf = leaves[usize::try_from(shard.index()).unwrap()];
            assert_eq!(path.root(leaf), Some(root));
            let inputs = smt_zk::ternary_path(&path, leaf);
            rows.push(Row("path", format!("ternary-path-{level}"), inputs.clone(), Some(vec![root])));
            let mut both = inputs;
            both.0[1].1[..2].fill(Field::from_u64(1));
            rows.push(Row("path with two children at once", format!("ternary-path-{level}"), both, None));
        }
    }
}

/// Poseidon over three digests and three sums of 80 bits in one element; the sums' sum.
fn sums(rows: &mut Vec<Row>) {
    let most = (1u128 << 80) - 1;
    for sums in [[0, 0, 0], [1, 2, 3], [u128::from(u64::MAX); 3], [most, most, most], [0, 0, most]] {
        let digests = [1, 2, 3].map(|i| poseidon(&[Field::from_u64(i)]));
        // Big endian, 10 bytes a sum, the first sum last.
        let mut bytes = [0; 32];
        for (i, sum) in sums.iter().enumerate() {
            bytes[22 - 10 * i..32 - 10 * i].copy_from_slice(&sum.to_be_bytes()[6..]);
        }
        let packed = Field::from_bytes(bytes).unwrap();
        let [a, b, c] = digests;
        let outputs = vec![poseidon(&[a, b, c, packed]), Field::from_u128(sums.iter().sum())];
        let inputs = Inputs(vec![("digest", digests.to_vec()), ("sum", sums.map(Field::from_u128).to_vec())]);
        rows.push(Row("sum node", "ternary-sum-node".into(), inputs, Some(outputs)));
    }
}

/// One row per signature: the circuit has a witness iff the native check says yes.
fn signatures(rows: &mut Vec<Row>) {
    let mut row = |what: &'static str, key: &JubPublicKey, message: &Field, signature: &JubSignature| {
        let valid = key.verify(message, signature);
        match smt_zk::signature(key, message, signature) {
            Ok(inputs) => rows.push(Row(what, "eddsa-poseidon".into(), inputs, valid.then(Vec::new))),
            Err(error) => assert!(!valid, "{what}: {error}"),
        }
        valid
    };
    let order: [u8; 32] = hex::decode(ORDER).unwrap().try_into().unwrap();
    for seed in 0..4u8 {
        let key = JubSecretKey::from_seed([seed; 32]);
        let other = JubSecretKey::from_seed([seed + 100; 32]).public();
        let message = poseidon(&[Field::from_u64(seed.into())]);
        let signature = key.sign(&message);
        assert!(row("signed", &key.public(), &message, &signature));
        assert!(!row("another message", &key.public(), &Field::from_u64(1), &signature));
        assert!(!row("another key", &other, &message, &signature));
        // S + l: the same point, another form.
        let mut more = signature;
        let mut carry = 0;
        for (byte, l) in more.0[32..].iter_mut().zip(order) {
            let sum = u16::from(*byte) + u16::from(l) + carry;
            *byte = u8::try_from(sum & 0xff).unwrap();
            carry = sum >> 8;
        }
        assert!(!row("S + l", &key.public(), &message, &more));
        let mut wrong = signature;
        wrong.0[31] ^= 0x80;
        assert!(!row("R with the other sign", &key.public(), &message, &wrong));
        // Bits all over; where the altered R is no point there are no inputs.
        for bit in (0..512).step_by(37) {
            let mut altered = signature;
            altered.0[bit / 8] ^= 1 << (bit % 8);
            assert!(!row("one bit altered", &key.public(), &message, &altered));
        }
    }
    // Keys of small order: (0, 1), (0, -1), (±x, 0) verify nothing.
    let mut minus_one = smt_types::crypto::poseidon::MODULUS;
    minus_one.reverse();
    minus_one[0] -= 1;
    let mut one = [0; 32];
    one[0] = 1;
    let mut negative = [0; 32];
    negative[31] = 0x80;
    for bytes in [one, minus_one, [0; 32], negative] {
        let key = JubPublicKey::from_bytes(bytes).unwrap();
        let mut forged = [0; 64];
        forged[0] = 1;
        assert!(!row("key of small order", &key, &Field::from_u64(1), &JubSignature(forged)));
    }
}

fn certified(rows: &mut Vec<Row>) {
    for level in [0u8, 1] {
        let shard = shard(level, 0);
        let committee = committee(shard);
        let leaf = committee_leaf(&committee);
        rows.push(Row(
            "committee",
            "committee-leaf-3".into(),
            smt_zk::committee_leaf(&committee).unwrap(),
            Some(vec![leaf]),
        ));
        let header = header(shard, &committee, false);
        let message = header.poseidon();
        let sign = |i: u8| header.sign(ReplicaIndex(i), &keys(i));
        let bundle = |signatures: Vec<HeaderSignature>| CertifiedHeader {
            header: header.clone(),
            changes: LinkChanges::default(),
            signatures: Bounded::new(signatures).unwrap(),
        };
        let instance = format!("certified-header-{level}-3-2");
        for pair in [[0, 1], [0, 2], [1, 2]] {
            let certified = bundle(pair.map(sign).to_vec());
            certified.verify(&committee, &RealChecker).unwrap();
            let inputs = smt_zk::certified_header(&certified, &committee).unwrap();
            rows.push(Row("certified header", instance.clone(), inputs, Some(vec![message, leaf])));
            let quorum = smt_zk::quorum(&committee, &message, &certified.signatures).unwrap();
            rows.push(Row("quorum", "quorum-3-2".into(), quorum, Some(vec![])));
        }
        // One signer twice; a signature under another's name; another header.
        let mut misnamed = sign(2);
        misnamed.replica = ReplicaIndex(1);
        for (what, signatures) in [("one signer twice", [sign(1), sign(1)]), ("misnamed signer", [sign(0), misnamed])] {
            let certified = bundle(signatures.to_vec());
            assert!(certified.verify(&committee, &RealChecker).is_err());
            let inputs = smt_zk::certified_header(&certified, &committee).unwrap();
            rows.push(Row(what, instance.clone(), inputs, None));
            let quorum = smt_zk::quorum(&committee, &message, &certified.signatures).unwrap();
            rows.push(Row(what, "quorum-3-2".into(), quorum, None));
        }
        let mut changed = bundle(vec![sign(0), sign(1)]);
        changed.header.supply = Amount(changed.header.supply.0 + 1);
        assert!(changed.verify(&committee, &RealChecker).is_err());
        rows.push(Row("another supply", instance, smt_zk::certified_header(&changed, &committee).unwrap(), None));
    }
}

fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    headers(&mut rows);
    tree(&mut rows);
    sums(&mut rows);
    signatures(&mut rows);
    certified(&mut rows);
    rows
}

#[test]
fn vectors_are_what_the_native_code_says() {
    let rows = rows();
    let lines: Vec<String> = rows.iter().map(|row| row.json().to_string()).collect();
    let text = format!("[\n{}\n]\n", lines.join(",\n"));
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../circuits/vectors/native.json");
    if std::env::var_os("SMT_WRITE_VECTORS").is_some() {
        std::fs::write(&file, &text).unwrap();
    }
    let kept = std::fs::read_to_string(&file).unwrap();
    for (line, row) in kept.lines().skip(1).zip(&rows) {
        assert_eq!(line.trim_end_matches(','), row.json().to_string(), "{}", row.0);
    }
    assert!(kept == text, "another number of vectors");
}

/// The vectors say both yes and no about every template that can refuse.
#[test]
fn vectors_have_both_verdicts() {
    let rows = rows();
    for instance in ["eddsa-poseidon", "quorum-3-2", "certified-header-1-3-2", "ternary-path-2"] {
        for accepted in [true, false] {
            assert!(rows.iter().any(|row| row.1 == instance && row.3.is_some() == accepted), "{instance} {accepted}");
        }
    }
}

#[test]
fn records_that_no_circuit_can_be_asked_about_are_errors() {
    let key = JubSecretKey::from_seed([1; 32]);
    let message = Field::from_u64(1);
    let signature = key.sign(&message);
    let mut large = signature;
    large.0[63] = 0xff;
    assert_eq!(smt_zk::signature(&key.public(), &message, &large), Err(InputError::Scalar));
    // y = 2 is no point's.
    let mut off = [0; 32];
    off[0] = 2;
    let what = JubPublicKey::from_bytes(off).unwrap();
    assert!(what.coordinates().is_none());
    assert_eq!(smt_zk::signature(&what, &message, &signature), Err(InputError::Point { what: "the key" }));
    let mut off_r = signature;
    off_r.0[..32].copy_from_slice(&off);
    assert_eq!(smt_zk::signature(&key.public(), &message, &off_r), Err(InputError::Point { what: "R" }));

    let shard = shard(1, 0);
    let committee = committee(shard);
    let mut header = header(shard, &committee, false);
    let stranger = HeaderSignature { replica: ReplicaIndex(3), ..header.sign(ReplicaIndex(0), &keys(0)) };
    let error = smt_zk::quorum(&committee, &message, &[stranger]);
    assert_eq!(error, Err(InputError::Signer(ReplicaIndex(3))));
    header.levels.levels.push(Default::default());
    assert_eq!(smt_zk::header_digest(&header), Err(InputError::Levels { level: 1, levels: 2 }));
    assert!(RealChecker.check_jub(&key.public(), &message, &signature));
}
