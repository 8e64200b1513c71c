//! Between the node's records and the circuits in `circuits/`: what a proof is about, what a template takes, from the
//! records it is about.
//!
//! [`Statement`] is the native form of what a proof shows, with [`PublicState`] as the one record behind its public
//! inputs. [`Statement::check`] decides as the circuit does. [`Inputs`] decide nothing: a wrong record becomes inputs for
//! which there is no witness. [`Prover`] makes Groth16 proofs from inputs and circom's artefacts.
//!
//! [`verifier`] has the hints of the circuits that verify a Groth16 proof.
//!
//! `tests/` keeps `circuits/vectors` equal to what this code and the native checks say; `scripts/circuits --test` holds the
//! compiled circuits against those files.

mod flows;
mod inputs;
mod prover;
mod r1cs;
mod state;
mod statement;
mod step;
pub mod verifier;
mod witness;

pub use inputs::{
    InputError, Inputs, certified_header, committee_leaf, header_digest, quorum, signature, statement, ternary_path,
};
pub use prover::{ProveError, Prover, Verifier};
pub use r1cs::{R1cs, R1csError};
pub use state::{Origin, PublicState};
pub use statement::{SHAPES, Statement, StatementError};
pub use step::Step;
pub use witness::{WitnessError, WitnessProgram};
