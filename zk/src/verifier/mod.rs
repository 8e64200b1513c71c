//! Hints for the circuits that verify a Groth16 proof on BN254 (`circuits/lib/closing.circom` and what builds on it),
//! and the second opinion about each of their formulas.
//!
//! A claim is a list of words (elements of Fp as integers below 2^254) and relations between them. Its formulas are
//! written once, over any [`Ring`]: over Fp they say whether a claim is true, over [`Polynomial`] they give the
//! prover's quotients, and over [`Weight`] the bounds that the circuit asserts. Nothing here decides anything for a
//! verifier: a wrong hint is a witness that the circuit refuses.
//!
//! | module | circuit |
//! | --- | --- |
//! | `transcript` | `transcript.circom` |
//! | `word` | `word.circom` |
//! | `relation` | what `closing.circom` calls relations and weights |
//! | `closing` | `closing.circom`, `challenge.circom` |
//! | `g1` | `g1-point.circom` |
//! | `twist` | `twist.circom` |
//! | `comb` | `comb.circom` |

mod closing;
mod comb;
mod g1;
mod relation;
mod transcript;
mod twist;
mod word;

pub use closing::{Closing, Open, carry_bits};
pub use comb::{Comb, comb_origin};
pub use g1::G1Points;
pub use relation::{Claim, Polynomial, Ring, Weight};
pub use transcript::Transcript;
pub use twist::{Line, TwistLines};
pub use word::Word;
