//! Proofs over circom's artefacts. The small ones are in `circuits/vectors`; the statement's are compiled by `scripts/circuits`,
//! whose `--prove` runs the test that needs them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "tests")]

mod common;

use common::Network;
use sha2::{Digest, Sha256};
use smt_types::Amount;
use smt_types::crypto::Field;
use smt_types::signer::RealChecker;
use smt_zk::{Inputs, ProveError, Prover, R1cs, Statement, WitnessError, WitnessProgram};
use std::path::{Path, PathBuf};
use std::time::Instant;

const SEED: [u8; 32] = [7; 32];

/// Constraint system and witness program of an instance. Another system than `circuits/hashes.json` names is refused.
fn artefacts(r1cs: &Path, program: &Path) -> (Vec<u8>, Vec<u8>) {
    let bytes = std::fs::read(r1cs).unwrap();
    let hashes = std::fs::read_to_string(circuits().join("hashes.json")).unwrap();
    let hashes: serde_json::Value = serde_json::from_str(&hashes).unwrap();
    let instance = &hashes["instances"][r1cs.file_stem().unwrap().to_str().unwrap()];
    assert_eq!(instance["r1cs"].as_str().unwrap(), hex::encode(Sha256::digest(&bytes)), "{}", r1cs.display());
    assert_eq!(instance["rows"].as_u64(), u64::try_from(R1cs::read(&bytes).unwrap().rows()).ok());
    (bytes, std::fs::read(program).unwrap())
}

fn circuits() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../circuits")
}

/// `Triangle(4)`: outputs what is in flight between three triangles.
fn triangle() -> (Vec<u8>, Vec<u8>) {
    let vectors = circuits().join("vectors");
    artefacts(&vectors.join("triangle-4.r1cs"), &vectors.join("triangle-4.wasm"))
}

fn flows(sent: [u64; 6], received: [u64; 6]) -> Inputs {
    Inputs(vec![("sent", sent.map(Field::from_u64).to_vec()), ("received", received.map(Field::from_u64).to_vec())])
}

#[test]
fn a_proof_is_about_its_public_values_and_under_its_key_alone() {
    let (r1cs, program) = triangle();
    let prover = Prover::with_insecure_key(&r1cs, &program, SEED).unwrap();
    let good = flows([3, 15, 0, 1, 8, 7], [0, 8, 3, 7, 15, 1]);
    let (proof, public) = prover.prove(&good).unwrap();
    assert_eq!((proof.len(), public.clone()), (128, vec![Field::ZERO]));
    let verifier = prover.verifier();
    assert!(verifier.verify(&proof, &public));
    let (again, open) = prover.prove(&flows([3, 15, 0, 1, 8, 7], [0; 6])).unwrap();
    assert_eq!(open, vec![Field::from_u64(34)]);
    assert!(verifier.verify(&again, &open));
    assert!(!verifier.verify(&proof, &open) && !verifier.verify(&again, &public));
    assert_ne!(prover.prove(&good).unwrap().0, proof, "proofs hide which witness they are of");

    for wrong in [vec![], vec![Field::ZERO; 2], vec![Field::from_u64(1)]] {
        assert!(!verifier.verify(&proof, &wrong));
    }
    for bit in 0..proof.len() * 8 {
        let mut flipped = proof.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(!verifier.verify(&flipped, &public), "bit {bit}");
    }
    for length in [0, 32, 127] {
        assert!(!verifier.verify(&proof[..length], &public));
    }
    assert!(!verifier.verify(&[proof.clone(), vec![0]].concat(), &public));

    let same = Prover::with_insecure_key(&r1cs, &program, SEED).unwrap();
    assert_eq!(same.verifying_key(), prover.verifying_key());
    assert!(same.verifier().verify(&proof, &public));
    let other = Prover::with_insecure_key(&r1cs, &program, [8; 32]).unwrap();
    assert_ne!(other.verifying_key(), prover.verifying_key());
    assert!(!other.verifier().verify(&proof, &public));
}

#[test]
fn false_statements_and_foreign_inputs_have_no_witness() {
    let (r1cs, program) = triangle();
    let prover = Prover::with_insecure_key(&r1cs, &program, SEED).unwrap();
    let refused = |inputs: &Inputs| match prover.prove(inputs) {
        Err(ProveError::Witness(error)) => error,
        other => panic!("{other:?}"),
    };
    let more = flows([3, 15, 0, 1, 8, 7], [1, 8, 3, 7, 15, 1]);
    assert!(matches!(refused(&more), WitnessError::False));
    let mut few = flows([0; 6], [0; 6]);
    few.0[1].1.pop();
    assert!(matches!(refused(&few), WitnessError::Size { name: "received", got: 5, want: 6 }));
    few.0.pop();
    assert!(matches!(refused(&few), WitnessError::Missing { got: 6, want: 12 }));
    few.0.push(("given", vec![Field::ZERO; 6]));
    let foreign = refused(&few);
    assert!(matches!(foreign, WitnessError::Size { name: "given", got: 6, want: ..=0 }), "{foreign:?}");
    assert!(WitnessProgram::read(&program[..1000]).is_err());
}

#[test]
fn a_constraint_system_is_read_whole_or_not_at_all() {
    let (r1cs, program) = triangle();
    let read = R1cs::read(&r1cs).unwrap();
    assert_eq!((read.rows(), read.public), (31, 2));
    let mut wires = WitnessProgram::read(&program).unwrap().wires(&flows([1; 6], [1; 6])).unwrap();
    assert_eq!((wires.len(), read.violated(&wires)), (read.wires, None));
    for wire in 1..wires.len() {
        let kept = wires[wire];
        wires[wire] += kept + Field::from_u64(2).to_ark();
        assert!(read.violated(&wires).is_some(), "wire {wire}");
        wires[wire] = kept;
    }
    wires.pop();
    assert!(read.violated(&wires).is_some());
    for length in 0..r1cs.len() {
        // The last section names wires, which nothing here reads.
        let cut = R1cs::read(&r1cs[..length]);
        assert!(cut.is_err(), "{length} bytes");
    }
    // Name, version, modulus, and a wire that is not there.
    let modulus: Vec<u8> = smt_types::crypto::poseidon::MODULUS.iter().rev().copied().collect();
    let at = r1cs.windows(32).position(|bytes| bytes == modulus).unwrap();
    for place in (0..8).chain(at..at + 32) {
        let mut other = r1cs.clone();
        other[place] ^= 0x80;
        assert!(R1cs::read(&other).is_err(), "byte {place}");
    }
    let mut fewer = r1cs.clone();
    fewer[at + 32] -= 1;
    assert!(R1cs::read(&fewer).is_err());
}

/// Three statements over real cuts of three shards. Needs `SMT_CIRCUITS`, the folder with what is compiled.
#[test]
#[ignore = "needs compiled circuits: scripts/circuits --prove"]
fn statements_over_real_cuts_are_proven_and_link() {
    let build = PathBuf::from(std::env::var_os("SMT_CIRCUITS").unwrap());
    let name = "statement-1-3-2";
    let start = Instant::now();
    let (r1cs, program) = artefacts(&build.join(format!("{name}.r1cs")), &build.join(format!("{name}_js/{name}.wasm")));
    let prover = Prover::with_insecure_key(&r1cs, &program, SEED).unwrap();
    let verifier = prover.verifier();
    eprintln!("{name}: reading and key {:.1?}, verifying key {} bytes", start.elapsed(), prover.verifying_key().len());

    let mut network = Network::new(1, 3, 1000);
    let origin = network.origin.clone();
    let mut statement = Statement::genesis(origin.clone(), network.headers(), &RealChecker).unwrap();
    let inputs = smt_zk::statement(&statement).unwrap();
    let start = Instant::now();
    let wires = WitnessProgram::read(&program).unwrap().wires(&inputs).unwrap();
    eprintln!("{} wires in {:.1?}", wires.len(), start.elapsed());
    let mut proven: Vec<[Field; 2]> = Vec::new();
    for (payer, payee) in [(0, 1), (1, 2), (2, 0)] {
        let start = Instant::now();
        let proof = prover.prove_statement(&statement).unwrap();
        let proving = start.elapsed();
        let public = statement.public();
        let start = Instant::now();
        assert!(verifier.verify(&proof, &public));
        eprintln!("number {}: {proving:.1?}, verified in {:.1?}", statement.current.number, start.elapsed());
        assert_eq!(proof.len(), 128);
        let [current, previous] = public;
        assert!(!verifier.verify(&proof, &[previous, current]));
        assert!(!verifier.verify(&proof, &[current, current]));
        assert_eq!(previous, proven.last().map_or(Field::ZERO, |[before, _]| *before), "proofs link");
        proven.push(public);

        let mut money = statement.clone();
        money.steps[0].new.supply = Amount(money.steps[0].new.supply.0 + 1);
        let refused = prover.prove_statement(&money);
        assert!(matches!(refused, Err(ProveError::Witness(WitnessError::False))));

        let old = network.headers();
        let certified = [network.cut(payer, &[(payee, 10)], &[]), network.cut(payee, &[], &[payer])];
        statement = Statement::next(origin.clone(), statement.current, old, &certified, &RealChecker).unwrap();
    }
}
