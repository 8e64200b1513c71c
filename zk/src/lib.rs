//! Between the node's records and the circuits in `circuits/`: what a template takes, from the record it is about.
//!
//! Prover and keys will live here too. What there is has no dependency beside `smt-types`, and no part of it decides
//! whether a statement is true: a wrong record becomes inputs for which there is no witness.
//!
//! `tests/vectors.rs` keeps `circuits/vectors/native.json` equal to what this code and the native checks say;
//! `scripts/circuits --test` holds the compiled circuits against that file.

mod inputs;

pub use inputs::{
    InputError, Inputs, certified_header, committee_leaf, header_digest, quorum, signature, ternary_path,
};
