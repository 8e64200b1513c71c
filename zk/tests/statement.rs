//! The statement of a proof over real cuts, and everything that must be refused: `circuits/vectors/statement.json` says for
//! each what the native check says. `scripts/circuits --test` holds the circuits against that file.
//!
//! To write it anew: `SMT_WRITE_VECTORS=1 cargo test --release -p smt-zk`. Then the circuits are about other values.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "tests")]

mod common;

use common::{Network, keys, sign};
use serde_json::{Map, Value, json};
use smt_types::codec::Canonical;
use smt_types::crypto::{Field, poseidon};
use smt_types::hierarchy::global_root;
use smt_types::signer::RealChecker;
use smt_types::{Committee, Digest, Epoch, Header, JubSignature, Lamport, NetworkId, ReplicaIndex};
use smt_zk::{PublicState, Statement, StatementError, Step};
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

fn root(headers: &[Header]) -> Field {
    global_root(headers[0].shard.level(), &headers.iter().map(Header::poseidon).collect::<Vec<_>>()).unwrap()
}

fn news(statement: &Statement) -> Vec<Header> {
    statement.steps.iter().map(|step| step.new.clone()).collect()
}

/// State n says what the headers say, whatever they are.
fn describe(statement: &mut Statement) {
    let headers = news(statement);
    statement.current.global_root = root(&headers);
    statement.current.epoch = headers.iter().map(|header| header.epoch).min().unwrap();
    statement.current.time_us = headers.iter().map(|header| header.dense.time_us).max().unwrap();
}

/// State n - 1 has the previous headers, whatever they are.
fn describe_previous(statement: &mut Statement) {
    let headers: Vec<Header> = statement.steps.iter().map(|step| step.old.clone()).collect();
    statement.previous.as_mut().unwrap().global_root = root(&headers);
}

/// Both states are of the statement's origin, whatever it is.
fn move_origin(statement: &mut Statement) {
    let committee_root = statement.origin.committee_root().unwrap();
    let genesis = statement.origin.hash(committee_root);
    let Statement { origin, previous, current, .. } = statement;
    for state in previous.iter_mut().chain([current]) {
        (state.genesis, state.committee_root) = (genesis, committee_root);
        (state.supply, state.vk_hash) = (origin.supply, origin.vk_hash);
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

type Attack<'a> = (&'static str, Box<dyn Fn(&mut Statement) + 'a>);

/// What an attacker may try at number 2, the committees' help included: an altered header is signed by its committee.
fn attacks<'a>(network: &'a Network, older: &'a Header) -> Vec<Attack<'a>> {
    let sign_again = |statement: &mut Statement, shard: usize| {
        let header = &statement.steps[shard].new;
        let signatures = sign(header, &statement.origin.committees[shard], &network.shards[shard].keys);
        statement.steps[shard].signatures = Some(signatures);
        describe(statement);
    };
    let mut list: Vec<Attack<'a>> = Vec::new();
    let mut add = |what, attack: Box<dyn Fn(&mut Statement) + 'a>| list.push((what, attack));
    // A change of a new header, signed and described.
    macro_rules! header {
        ($what:literal, $shard:literal, |$header:ident| $change:expr) => {
            add(
                $what,
                Box::new(move |statement| {
                    let $header = &mut statement.steps[$shard].new;
                    $change;
                    sign_again(statement, $shard);
                }),
            )
        };
    }
    // Any other change.
    macro_rules! change {
        ($what:literal, |$statement:ident| $change:expr) => {
            add($what, Box::new(move |$statement: &mut Statement| $change))
        };
    }
    macro_rules! previous {
        ($what:literal, |$state:ident| $change:expr) => {
            change!($what, |statement| {
                let $state = statement.previous.as_mut().unwrap();
                $change
            })
        };
    }

    change!("a skipped number", |statement| statement.current.number += 1);
    change!("the number before again", |statement| statement.current.number -= 1);
    change!("number 0 with a state before it", |statement| statement.current.number = 0);
    change!("no state before number 2", |statement| statement.previous = None);
    previous!("a state of another genesis before", |state| state.genesis = poseidon(&[state.genesis]));
    previous!("a state of other committees before", |state| state.committee_root = poseidon(&[state.genesis]));
    previous!("a state under another key before", |state| state.vk_hash = poseidon(&[state.genesis]));
    previous!("a state of another supply before", |state| state.supply.0 += 1);
    previous!("another global root before", |state| state.global_root = poseidon(&[state.global_root]));
    change!("another genesis", |statement| statement.current.genesis = poseidon(&[statement.current.genesis]));
    change!("a state of other committees", |statement| {
        statement.current.committee_root = poseidon(&[statement.current.genesis]);
    });
    change!("a state of another supply", |statement| statement.current.supply.0 += 1);
    change!("another global root", |statement| {
        statement.current.global_root = poseidon(&[statement.current.global_root]);
    });
    change!("another genesis file", |statement| statement.origin.file = Digest([1; 32]));
    change!("another genesis root", |statement| statement.origin.global_root = Field::ZERO);
    change!("a genesis of another network", |statement| statement.origin.network = NetworkId(8));
    change!("a smaller epoch", |statement| statement.current.epoch.0 -= 1);
    change!("a larger epoch", |statement| statement.current.epoch.0 += 1);
    change!("an earlier time", |statement| statement.current.time_us -= 1);
    change!("a later time", |statement| statement.current.time_us += 1);

    change!("previous headers other than those under the root", |statement| {
        let step = &mut statement.steps[0];
        step.old.state = Digest([9; 32]);
        step.new = step.old.clone();
        describe(statement);
    });
    change!("two shards' headers exchanged", |statement| {
        statement.steps.swap(1, 2);
        describe(statement);
    });
    change!("another shard's header at a leaf", |statement| {
        let Step { new, signatures, .. } = statement.steps[1].clone();
        (statement.steps[2].new, statement.steps[2].signatures) = (new, signatures);
        describe(statement);
    });
    change!("another shard's header before", |statement| {
        statement.steps[2].old = statement.steps[0].old.clone();
        describe_previous(statement);
    });
    change!("a replayed header", |statement| {
        statement.steps[1].new = older.clone();
        sign_again(statement, 1);
    });
    change!("the same header signed again", |statement| {
        statement.steps[2].new = statement.steps[2].old.clone();
        sign_again(statement, 2);
    });
    change!("another header carried over", |statement| statement.steps[1].signatures = None);
    header!("another header of the same epoch", 1, |header| header.epoch = Epoch(2));

    change!("one signature missing", |statement| {
        statement.steps[1].signatures.as_mut().unwrap()[1].jub = JubSignature([0; 64]);
    });
    change!("one signature doubled", |statement| {
        let signatures = statement.steps[1].signatures.as_mut().unwrap();
        signatures[1] = signatures[0].clone();
    });
    change!("a signature under another's name", |statement| {
        statement.steps[1].signatures.as_mut().unwrap()[1].replica = ReplicaIndex(0);
    });
    change!("a signature of another shard's replica", |statement| {
        let signature = statement.steps[1].new.sign(ReplicaIndex(2), &network.shards[2].keys[2]);
        statement.steps[1].signatures.as_mut().unwrap()[1] = signature;
    });
    change!("signatures of another header", |statement| {
        statement.steps[1].signatures = Some(sign(older, &statement.origin.committees[1], &network.shards[1].keys));
    });
    change!("a wrong committee", |statement| {
        let strangers = keys(1, 3, 2);
        let proofs = strangers.iter().map(common::Keys::prove).collect();
        let committee = Committee::new(common::NETWORK, statement.steps[1].new.shard, proofs).unwrap();
        let Step { old, new, .. } = &mut statement.steps[1];
        for header in [old, new] {
            header.committee = committee.digest();
        }
        statement.steps[1].signatures = Some(sign(&statement.steps[1].new, &committee, &strangers));
        statement.origin.committees[1] = committee;
        describe(statement);
        describe_previous(statement);
    });
    change!("a wrong committee that the new state names", |statement| {
        let (previous, genesis) = (statement.previous.clone(), statement.current.genesis);
        let strangers = keys(0, 3, 2);
        let proofs = strangers.iter().map(common::Keys::prove).collect();
        statement.origin.committees[0] = Committee::new(common::NETWORK, statement.steps[0].new.shard, proofs).unwrap();
        let Step { old, new, .. } = &mut statement.steps[0];
        for header in [old, new] {
            header.committee = statement.origin.committees[0].digest();
        }
        describe(statement);
        describe_previous(statement);
        let global_root = statement.previous.as_ref().unwrap().global_root;
        move_origin(statement);
        assert_ne!(statement.current.genesis, genesis);
        statement.previous = previous.map(|state| PublicState { global_root, ..state });
    });
    header!("a header that names another committee", 1, |header| header.committee = Digest([3; 32]));
    header!("a header of another network", 1, |header| header.network = NetworkId(8));

    header!("a lower Lamport time", 1, |header| header.lamport = Lamport(5));
    header!("an earlier D", 1, |header| header.dense.time_us = 1_770_000_000_000_000);
    change!("a D that differs in its replica alone", |statement| {
        let dense = statement.steps[1].old.dense;
        statement.steps[1].new.dense = dense;
        statement.steps[1].new.dense.replica -= 1;
        statement.steps[1].new.dense.counter += 1;
        sign_again(statement, 1);
    });
    change!("a D that differs in its counter alone", |statement| {
        statement.steps[1].new.dense = statement.steps[1].old.dense;
        statement.steps[1].new.dense.counter -= 1;
        sign_again(statement, 1);
    });
    // What is sent or received goes down, and the supply with it: nothing but the order of counters is hurt.
    header!("a lower sum sent", 1, |header| {
        header.levels.levels[0][0].sent -= 1;
        header.supply.0 += 1;
    });
    change!("a lower sum received", |statement| {
        let step = &mut statement.steps[1];
        step.new.levels.levels[0][0].received = step.old.levels.levels[0][0].received - 1;
        step.new.supply.0 -= 1;
        sign_again(statement, 1);
    });
    header!("a lower epoch consumed", 1, |header| header.levels.levels[0][0].epoch = 0);

    header!("one unit of money created", 1, |header| header.supply.0 += 1);
    header!("one unit of money destroyed", 1, |header| header.supply.0 -= 1);
    change!("one unit moved without being sent", |statement| {
        statement.steps[1].new.supply.0 += 1;
        statement.steps[2].new.supply.0 -= 1;
        sign_again(statement, 1);
        sign_again(statement, 2);
    });
    header!("one unit sent that stays", 2, |header| header.levels.levels[0][0].sent += 1);
    header!("one unit received that does not come", 2, |header| header.levels.levels[0][0].received += 1);
    // More than was sent, with the supply that goes with it: supplies and all in flight still add up.
    header!("one unit received more than sent", 2, |header| {
        header.levels.levels[0][0].received += 1;
        header.supply.0 += 1;
    });
    change!("one unit created before", |statement| {
        statement.steps[0].old.supply.0 += 1;
        statement.steps[0].new.supply.0 += 1;
        describe(statement);
        describe_previous(statement);
    });
    change!("a genesis of one unit less", |statement| {
        statement.origin.supply.0 -= 1;
        move_origin(statement);
    });
    list
}

/// Attacks at number 0, where there is no state before: the genesis hash is the attacker's unless it is said otherwise.
fn genesis_attacks() -> Vec<Attack<'static>> {
    fn alter(statement: &mut Statement, change: impl Fn(&mut Header)) {
        change(&mut statement.steps[1].new);
        statement.steps[1].old = statement.steps[1].new.clone();
        describe(statement);
    }
    macro_rules! counter {
        ($what:literal, |$header:ident| $change:expr) => {
            (
                $what,
                Box::new(|statement: &mut Statement| {
                    alter(statement, |$header| $change);
                    statement.origin.global_root = statement.current.global_root;
                    move_origin(statement);
                }) as Box<dyn Fn(&mut Statement)>,
            )
        };
    }
    vec![
        ("number 0 with another root", Box::new(|statement| alter(statement, |header| header.state = Digest([5; 32])))),
        ("number 1 without a state before it", Box::new(|statement| statement.current.number = 1)),
        ("number 0 with a state before it", Box::new(|statement| statement.previous = Some(statement.current.clone()))),
        ("another genesis hash", Box::new(|statement| statement.current.genesis = Field::from_u64(1))),
        counter!("a genesis of epoch 1", |header| header.epoch = Epoch(1)),
        counter!("a genesis with Lamport time 1", |header| header.lamport = Lamport(1)),
        counter!("a genesis with a time", |header| header.dense.time_us = 1),
        counter!("a genesis with a replica in D", |header| header.dense.replica = 1),
        counter!("a genesis with a counter in D", |header| header.dense.counter = 1),
        counter!("a genesis that has sent", |header| {
            header.levels.levels[0][1].sent = 1;
            header.supply.0 -= 1;
        }),
        counter!("a genesis that has consumed an epoch", |header| header.levels.levels[0][1].epoch = 1),
        counter!("a genesis of more money than it says", |header| header.supply.0 += 1),
    ]
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
