//! What the tests try against true statements: changes after which somebody has signed and described everything anew.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "tests")]

use crate::common::{self, Network, keys, sign};
use smt_types::crypto::{Field, poseidon};
use smt_types::hierarchy::global_root;
use smt_types::{Committee, Digest, Epoch, Header, JubSignature, Lamport, NetworkId, ReplicaIndex};
use smt_zk::{PublicState, Statement, Step};

fn root(headers: &[Header]) -> Field {
    global_root(headers[0].shard.level(), &headers.iter().map(Header::poseidon).collect::<Vec<_>>()).unwrap()
}

pub(crate) fn news(statement: &Statement) -> Vec<Header> {
    statement.steps.iter().map(|step| step.new.clone()).collect()
}

/// State n says what the headers say, whatever they are.
pub(crate) fn describe(statement: &mut Statement) {
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

/// Its name, and what it changes.
pub(crate) type Attack<'a> = (&'static str, Box<dyn Fn(&mut Statement) + 'a>);

/// What an attacker may try at number 2, the committees' help included: an altered header is signed by its committee.
pub(crate) fn attacks<'a>(network: &'a Network, older: &'a Header) -> Vec<Attack<'a>> {
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
pub(crate) fn genesis_attacks() -> Vec<Attack<'static>> {
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
