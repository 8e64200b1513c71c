//! Groth16 on BN254 over circom's artefacts: a key, a proof, its check.

use crate::r1cs::{R1cs, R1csError};
use crate::witness::{WitnessError, WitnessProgram};
use crate::{Inputs, Statement};
use ark_bn254::{Bn254, Fr, G1Projective, G2Projective};
use ark_ec::PrimeGroup;
use ark_ff::{Field as _, PrimeField};
use ark_groth16::{Groth16, PreparedVerifyingKey, Proof, ProvingKey, prepare_verifying_key};
use ark_relations::gr1cs::{ConstraintSynthesizer, ConstraintSystemRef, LinearCombination, SynthesisError, Variable};
use ark_serialize::{CanonicalDeserialize, CanonicalSerialize};
use ark_std::UniformRand;
use ark_std::rand::{self, RngCore};
use smt_types::crypto::Field;
use smt_types::{Domain, hash};

/// A circuit with everything that a proof of it takes.
pub struct Prover {
    r1cs: R1cs,
    program: WitnessProgram,
    key: ProvingKey<Bn254>,
}

/// What a proof is checked with.
pub struct Verifier(PreparedVerifyingKey<Bn254>);

/// Why there is no proof.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProveError {
    /// A constraint system that cannot be read.
    #[error("reading the constraint system")]
    R1cs(#[from] R1csError),
    /// No witness.
    #[error("computing the witness")]
    Witness(#[from] WitnessError),
    /// A record that has no inputs.
    #[error("making the inputs")]
    Inputs(#[from] crate::InputError),
    /// A witness for other rows than these: program and constraint system do not belong together.
    #[error("the witness violates row {0}")]
    Row(usize),
    /// The operating system gives no random numbers.
    #[error("no random numbers: {0}")]
    Random(getrandom::Error),
    /// The library refuses.
    #[error("Groth16: {0}")]
    Groth16(SynthesisError),
}

impl From<SynthesisError> for ProveError {
    fn from(error: SynthesisError) -> ProveError {
        ProveError::Groth16(error)
    }
}

/// The rows as the library's set-up asks for them.
struct Rows<'a>(&'a R1cs);

impl ConstraintSynthesizer<Fr> for Rows<'_> {
    fn generate_constraints(self, cs: ConstraintSystemRef<Fr>) -> Result<(), SynthesisError> {
        let missing = || Err(SynthesisError::AssignmentMissing);
        let mut wires = vec![Variable::One];
        for wire in 1..self.0.wires {
            let public = wire < self.0.public;
            wires.push(if public { cs.new_input_variable(missing)? } else { cs.new_witness_variable(missing)? });
        }
        let form = |terms: &[(Fr, usize)]| {
            let terms = terms.iter().map(|(factor, wire)| Some((*factor, *wires.get(*wire)?)));
            LinearCombination(terms.collect::<Option<Vec<_>>>().unwrap_or_default())
        };
        let [a, b, c] = &self.0.forms;
        for ((a, b), c) in a.iter().zip(b).zip(c) {
            cs.enforce_r1cs_constraint(|| form(a), || form(b), || form(c))?;
        }
        Ok(())
    }
}

/// Numbers that a seed determines, by BLAKE3.
struct Seeded(blake3::OutputReader);

impl RngCore for Seeded {
    fn next_u32(&mut self) -> u32 {
        let mut bytes = [0; 4];
        self.0.fill(&mut bytes);
        u32::from_le_bytes(bytes)
    }

    fn next_u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        self.0.fill(bytes);
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), rand::Error> {
        self.0.fill(bytes);
        Ok(())
    }
}

/// An element that nobody can guess.
fn secret() -> Result<Fr, ProveError> {
    // 512 bits: the remainder is as good as uniform.
    let mut bytes = [0; 64];
    getrandom::fill(&mut bytes).map_err(ProveError::Random)?;
    Ok(Fr::from_le_bytes_mod_order(&bytes))
}

impl Prover {
    /// A key from a fixed seed. **Insecure**: whoever knows the seed can prove anything. For development networks alone.
    ///
    /// gamma is 1 over the usual generators, which a circuit that verifies such proofs can have as constants; alpha,
    /// beta, delta and tau follow from the seed. Memory: some 3 KB a row.
    ///
    /// # Errors
    /// [`ProveError`] for artefacts that are none.
    pub fn with_insecure_key(r1cs: &[u8], program: &[u8], seed: [u8; 32]) -> Result<Prover, ProveError> {
        let r1cs = R1cs::read(r1cs)?;
        let program = WitnessProgram::read(program)?;
        let mut random = Seeded(hash::hasher(Domain::DevelopmentSeed).update(&seed).finalize_xof());
        let [alpha, beta, delta] = [(); 3].map(|()| Fr::rand(&mut random));
        let key = Groth16::<Bn254>::generate_parameters_with_qap(
            Rows(&r1cs),
            alpha,
            beta,
            Fr::ONE,
            delta,
            G1Projective::generator(),
            G2Projective::generator(),
            &mut random,
        )?;
        Ok(Prover { r1cs, program, key })
    }

    /// What the proofs of this key are checked with.
    #[must_use]
    pub fn verifier(&self) -> Verifier {
        Verifier(prepare_verifying_key(&self.key.vk))
    }

    /// The verifying key, compressed.
    #[must_use]
    pub fn verifying_key(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        // Writing to memory does not fail.
        if self.key.vk.serialize_compressed(&mut bytes).is_err() {
            bytes.clear();
        }
        bytes
    }

    /// A proof for these inputs, and the public values it is about: outputs, then public inputs. Two proofs of one
    /// statement differ.
    ///
    /// # Errors
    /// [`ProveError::Witness`] for a false statement.
    pub fn prove(&self, inputs: &Inputs) -> Result<(Vec<u8>, Vec<Field>), ProveError> {
        let wires = self.program.wires(inputs)?;
        if let Some(row) = self.r1cs.violated(&wires) {
            return Err(ProveError::Row(row));
        }
        let proof = Groth16::<Bn254>::create_proof_with_reduction_and_matrices(
            &self.key,
            secret()?,
            secret()?,
            &self.r1cs.forms,
            self.r1cs.public,
            self.r1cs.rows(),
            &wires,
        )?;
        let mut bytes = Vec::new();
        proof.serialize_compressed(&mut bytes).map_err(|_| ProveError::Groth16(SynthesisError::Unsatisfiable))?;
        let public = wires.iter().take(self.r1cs.public).skip(1).map(Field::from_ark);
        Ok((bytes, public.collect()))
    }

    /// A proof of a statement: 128 bytes, about [`Statement::public`].
    ///
    /// # Errors
    /// [`ProveError`], as of [`Prover::prove`].
    pub fn prove_statement(&self, statement: &Statement) -> Result<Vec<u8>, ProveError> {
        Ok(self.prove(&crate::statement(statement)?)?.0)
    }
}

impl Verifier {
    /// Whether these 128 bytes are a proof about these public values. Points are checked to be in their groups, and values
    /// to be as many as the key has: the library takes missing ones for 0 and leaves out what is too much.
    #[must_use]
    pub fn verify(&self, proof: &[u8], public: &[Field]) -> bool {
        let mut rest = proof;
        let Ok(proof) = Proof::<Bn254>::deserialize_compressed(&mut rest) else { return false };
        let public: Vec<Fr> = public.iter().map(Field::to_ark).collect();
        let values = self.0.vk.gamma_abc_g1.len().checked_sub(1);
        rest.is_empty()
            && values == Some(public.len())
            && Groth16::<Bn254>::verify_proof(&self.0, &proof, &public).unwrap_or(false)
    }
}
