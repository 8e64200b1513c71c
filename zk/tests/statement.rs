//! The statement of a proof over real cuts, and everything that must be refused: `circuits/vectors/statement.json` says for
//! each what the native check says. `scripts/circuits --test` holds the circuits against that file.
//!
//! To write it anew: `SMT_WRITE_VECTORS=1 cargo test --release -p smt-zk`. Then the circuits are about other values.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "tests")]

#[path = "common/attacks.rs"]
mod attacks;
mod common;

use attacks::{attacks, describe, genesis_attacks, news};
use common::{Network, keys, sign};
use serde_json::{Map, Value, json};
use smt_types::codec::Canonical;
use smt_types::crypto::Field;
use smt_types::signer::RealChecker;
use smt_types::{Committee, Header};
use smt_zk::{PublicState, Statement, StatementError};
use std::path::PathBuf;

/// One vector. `of`: the accepted one it was made from, whose inputs it has where it names no others.
struct Row {
    what: String,
    instance: String,
    of: Option<usize>,
    inputs: Map<String, Value>,
    refused: Option<StatementError>,
}

fn inputs(statement: &Statement) -> Map<String, Value> {
    let texts = |fields: &[Field]| fields.iter().map(Field::to_decimal).collect::<Vec<_>>();
    let inputs = smt_zk::statement(statement).unwrap();
    inputs.0.iter().map(|(name, values)| ((*name).to_owned(), json!(texts(values)))).collect()
}

#[derive(Default)]
struct Rows(Vec<Row>);

impl Rows {
    fn add(&mut self, what: &str, statement: &Statement, of: Option<usize>) -> usize {
        let (level, replicas) = statement.shape().unwrap();
        let instance = format!("statement-{level}-{replicas}-{}", statement.origin.committees[0].quorum());
        let mut inputs = inputs(statement);
        if let Some(of) = of {
            inputs.retain(|name, value| self.0[of].inputs[name] != *value);
        }
        let refused = statement.check(&RealChecker).err();
        self.0.push(Row { what: what.into(), instance, of, inputs, refused });
        self.0.len() - 1
    }

    fn accepted(&mut self, what: &str, statement: &Statement) -> usize {
        let row = self.add(what, statement, None);
        assert_eq!(self.0[row].refused, None, "{what}");
        row
    }

    fn json(&self) -> String {
        let line = |row: &Row| {
            let refused = row.refused.as_ref().map(|error| {
                let text = format!("{error:?}");
                text.split(['(', ' ']).next().unwrap().to_owned()
            });
            json!({
                "what": row.what, "instance": row.instance, "of": row.of, "inputs": row.inputs, "refused": refused
            })
            .to_string()
        };
        format!("[\n{}\n]\n", self.0.iter().map(line).collect::<Vec<_>>().join(",\n"))
    }
}

/// Three shards, three statements: genesis; shards 0 and 1 pay, shard 2 is carried over; shards 1 and 2 take most of it in,
/// two epochs at once, shard 0 is carried over.
fn three() -> (Network, Vec<Statement>, Header) {
    let mut network = Network::new(1, 3, 1000);
    let origin = network.origin.clone();
    let first = Statement::genesis(origin.clone(), network.headers(), &RealChecker).unwrap();
    let old = network.headers();
    let paid = network.cut(0, &[(1, 100), (2, 30)], &[]);
    let older = network.cut(1, &[(2, 7)], &[]);
    let paid_too = network.cut(1, &[(0, 50)], &[0]);
    let certified = [paid, older.clone(), paid_too];
    let second = Statement::next(origin.clone(), first.current.clone(), old, &certified, &RealChecker).unwrap();
    let old = network.headers();
    let certified = [network.cut(1, &[], &[]), network.cut(1, &[(2, 1)], &[]), network.cut(2, &[], &[0, 1])];
    let third = Statement::next(origin, second.current.clone(), old, &certified, &RealChecker).unwrap();
    (network, vec![first, second, third], older.header)
}

fn rows() -> Rows {
    let mut rows = Rows::default();
    let (network, statements, older) = three();
    let names = ["genesis", "two shards have paid", "two shards have received"];
    let places: Vec<usize> = names.iter().zip(&statements).map(|(name, s)| rows.accepted(name, s)).collect();
    for (base, attacks) in [(2, attacks(&network, &older)), (0, genesis_attacks())] {
        for (what, attack) in attacks {
            let mut statement = statements[base].clone();
            attack(&mut statement);
            let row = rows.add(what, &statement, Some(places[base]));
            assert_ne!(rows.0[row].refused, None, "{what}");
        }
    }
    for (level, replicas) in [(1, 9), (2, 3), (3, 3)] {
        let mut network = Network::new(level, replicas, 50);
        let first = Statement::genesis(network.origin.clone(), network.headers(), &RealChecker).unwrap();
        let old = network.headers();
        // To the neighbour, to the other end, and on from there.
        let last = network.shards.len() - 1;
        let certified = [
            network.cut(0, &[(1, 3), (last, 20)], &[]),
            network.cut(last, &[(0, 1), (last - 1, 2)], &[0]),
            network.cut(1, &[(last, 9)], &[0]),
        ];
        let next = Statement::next(network.origin.clone(), first.current, old, &certified, &RealChecker).unwrap();
        let of = rows.accepted("three shards have paid", &next);
        if level == 2 {
            // What the statement does not show. The unit is for an account of shard 0.0, and full nodes see that it is.
            let mut claimed = next;
            let step = &mut claimed.steps[1];
            step.new.levels.levels[0][1].received += 1;
            step.new.supply.0 += 1;
            step.signatures = Some(sign(&step.new, &network.origin.committees[1], &network.shards[1].keys));
            describe(&mut claimed);
            let row = rows.add("a committee takes what is in flight to its triangle", &claimed, Some(of));
            assert_eq!(rows.0[row].refused, None);
        }
    }
    rows
}

#[test]
fn vectors_are_what_the_native_check_says() {
    let text = rows().json();
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../circuits/vectors/statement.json");
    if std::env::var_os("SMT_WRITE_VECTORS").is_some() {
        std::fs::write(&file, &text).unwrap();
    }
    let kept = std::fs::read_to_string(&file).unwrap();
    for (line, (kept, want)) in kept.lines().zip(text.lines()).enumerate() {
        assert!(kept == want, "line {line}: {}…", want.chars().take(200).collect::<String>());
    }
    assert!(kept == text, "another number of vectors");
}

/// What no circuit can be asked about is an error before.
#[test]
fn statements_of_no_shape_are_errors() {
    let (_, statements, _) = three();
    let good = &statements[1];
    assert_eq!(good.shape(), Ok((1, 3)));
    let mut fewer = good.clone();
    fewer.steps.pop();
    assert_eq!(fewer.check(&RealChecker), Err(StatementError::Shards(2)));
    fewer.origin.committees.pop();
    assert_eq!(fewer.check(&RealChecker), Err(StatementError::Shards(2)));
    assert_eq!(fewer.shape(), Err(StatementError::Shards(2)));
    for replicas in [4, 9] {
        let mut mixed = good.clone();
        let proofs = keys(2, replicas, 1).iter().map(common::Keys::prove).collect();
        mixed.origin.committees[2] = Committee::new(common::NETWORK, mixed.steps[2].new.shard, proofs).unwrap();
        assert_eq!(mixed.shape(), Err(StatementError::Shape { level: 1, replicas: usize::from(replicas) }));
    }
    let single = Network::new(0, 3, 10);
    let first = Statement::genesis(single.origin.clone(), single.headers(), &RealChecker).unwrap();
    assert_eq!(first.shape(), Err(StatementError::Shape { level: 0, replicas: 3 }));
    let last = PublicState { number: u64::MAX, ..good.current.clone() };
    let next = Statement::next(good.origin.clone(), last, news(good), &[], &RealChecker);
    assert_eq!(next, Err(StatementError::Link("number")));
}

/// 160 bytes whatever is in them, and every field counts.
#[test]
fn public_states_have_one_size_and_one_hash() {
    let (_, statements, _) = three();
    let state = statements[2].current.clone();
    let bytes = smt_types::codec::to_bytes(&state);
    assert_eq!(bytes.len(), 160);
    assert_eq!(PublicState::from_bytes(&bytes, 160).unwrap(), state);
    let mut hashes: Vec<Field> = (0..bytes.len())
        .step_by(4)
        .map(|place| {
            let mut other = bytes.clone();
            // The top bytes of elements and of numbers stay.
            other[place + 3] ^= 1;
            PublicState::from_bytes(&other, 160).unwrap().hash()
        })
        .chain([state.hash()])
        .collect();
    hashes.sort();
    hashes.dedup();
    assert_eq!(hashes.len(), 41);
    assert_eq!(statements[1].public(), [statements[1].current.hash(), statements[0].current.hash()]);
    assert_eq!(statements[0].public(), [statements[0].current.hash(), Field::ZERO]);
}
