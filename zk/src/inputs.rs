//! Inputs of the templates, by name.

use crate::statement::Statement;
use crate::step::Step;
use smt_types::crypto::Field;
use smt_types::header::{CertifiedHeader, HeaderSignature};
use smt_types::hierarchy::GlobalPath;
use smt_types::{Committee, Digest, Header, JubPublicKey, JubSignature};

/// Inputs of one template: name, then its elements with the last index running fastest, as circom's witness programs
/// take them. Each name once.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Inputs(pub Vec<(&'static str, Vec<Field>)>);

/// Why a record has no inputs: it holds something that no circuit can even be asked about.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InputError {
    /// Bytes that are no curve point: a circuit takes coordinates.
    #[error("{what} is no point of BabyJubJub")]
    Point {
        /// Whose it is.
        what: &'static str,
    },
    /// An S that is not even a field element; a valid one is below l, an eighth of that.
    #[error("S is not below the field's modulus")]
    Scalar,
    /// A signer that the committee lacks.
    #[error("the committee has no replica {0}")]
    Signer(smt_types::ReplicaIndex),
    /// More header levels than the shard has, or fewer.
    #[error("a header of a shard of level {level} carries {levels} levels")]
    Levels {
        /// The shard's.
        level: u8,
        /// The header's.
        levels: usize,
    },
}

impl Inputs {
    fn put(&mut self, name: &'static str, values: Vec<Field>) {
        self.0.push((name, values));
    }

    fn put_one(&mut self, name: &'static str, value: impl Into<u64>) {
        self.put(name, vec![Field::from_u64(value.into())]);
    }

    fn put_digest(&mut self, name: &'static str, digest: &Digest) {
        self.put(name, halves(digest));
    }

    fn extend(&mut self, other: Inputs) {
        self.0.extend(other.0);
    }
}

fn halves(digest: &Digest) -> Vec<Field> {
    let (high, low) = Field::from_digest_halves(digest);
    vec![high, low]
}

fn point(what: &'static str, bytes: [u8; 32]) -> Result<[Field; 2], InputError> {
    let key = JubPublicKey::from_bytes(bytes).map_err(|_| InputError::Point { what })?;
    let (x, y) = key.coordinates().ok_or(InputError::Point { what })?;
    Ok([x, y])
}

/// R's coordinates and S.
fn parts(signature: &JubSignature) -> Result<([Field; 2], Field), InputError> {
    let (r, s) = signature.0.split_at(32);
    let mut bytes = [[0; 32]; 2];
    bytes[0].copy_from_slice(r);
    bytes[1].copy_from_slice(s);
    let [r, mut s] = bytes;
    s.reverse();
    Ok((point("R", r)?, Field::from_bytes(s).map_err(|_| InputError::Scalar)?))
}

/// `HeaderDigest(level)`, whose output is [`Header::poseidon`].
///
/// # Errors
/// [`InputError::Levels`]: the template has the shard's level as a parameter.
pub fn header_digest(header: &Header) -> Result<Inputs, InputError> {
    let (level, levels) = (header.shard.level(), header.levels.levels.len());
    if levels != usize::from(level) {
        return Err(InputError::Levels { level, levels });
    }
    let mut inputs = Inputs::default();
    inputs.put_one("network", header.network.0);
    inputs.put_one("shard", header.shard.index());
    inputs.put_one("epoch", header.epoch.0);
    inputs.put_digest("predecessor", &header.predecessor);
    inputs.put_digest("state", &header.state);
    inputs.put_one("supply", header.supply.0);
    inputs.put_digest("vector", &header.vector);
    inputs.put_one("lamport", header.lamport.0);
    let dense = &header.dense;
    let stamp = [dense.time_us, u64::from(dense.shard), u64::from(dense.replica), u64::from(dense.counter)];
    inputs.put("dense", stamp.into_iter().map(Field::from_u64).collect());
    inputs.put_digest("committee", &header.committee);
    let entries = header.levels.levels.iter().flatten();
    let values =
        entries.flat_map(|e| [Field::from_u128(e.sent), Field::from_u128(e.received), Field::from_u64(e.epoch)]);
    inputs.put("levels", values.collect());
    inputs.put_digest("links", &header.links);
    Ok(inputs)
}

/// `EdDSAPoseidon` with `enabled` = 1: there is a witness iff [`JubPublicKey::verify`] says yes (but for 60
/// values of the challenge, see the template).
///
/// # Errors
/// [`InputError::Point`], [`InputError::Scalar`]. The native check refuses all of these.
pub fn signature(key: &JubPublicKey, message: &Field, signature: &JubSignature) -> Result<Inputs, InputError> {
    let [ax, ay] = point("the key", *key.as_bytes())?;
    let ([rx, ry], s) = parts(signature)?;
    let mut inputs = Inputs::default();
    inputs.put_one("enabled", 1u8);
    for (name, value) in [("ax", ax), ("ay", ay), ("rx", rx), ("ry", ry), ("s", s), ("message", *message)] {
        inputs.put(name, vec![value]);
    }
    Ok(inputs)
}

fn keys(committee: &Committee) -> Result<Vec<Field>, InputError> {
    let keys = committee.indices().filter_map(|place| committee.keys(place));
    let points = keys.map(|keys| point("a replica's key", *keys.jub.as_bytes()));
    Ok(points.collect::<Result<Vec<_>, _>>()?.concat())
}

/// `CommitteeLeaf(n)`, whose output is smt-ledger's `committee_leaf`.
///
/// # Errors
/// [`InputError::Point`], never for a committee whose possession proofs were checked.
pub fn committee_leaf(committee: &Committee) -> Result<Inputs, InputError> {
    let mut inputs = Inputs::default();
    inputs.put_digest("list", &committee.digest());
    inputs.put("key", keys(committee)?);
    Ok(inputs)
}

/// `pick`, `r` and `s` of the signatures given, in their order.
fn signers(committee: &Committee, signatures: &[HeaderSignature]) -> Result<Inputs, InputError> {
    let (mut pick, mut r, mut s) = (Vec::new(), Vec::new(), Vec::new());
    for signature in signatures {
        committee.keys(signature.replica).ok_or(InputError::Signer(signature.replica))?;
        pick.extend(committee.indices().map(|place| Field::from_u64(u64::from(place == signature.replica))));
        let (point, scalar) = parts(&signature.jub)?;
        r.extend(point);
        s.push(scalar);
    }
    Ok(Inputs(vec![("pick", pick), ("r", r), ("s", s)]))
}

/// `Quorum(n, q)` with `enabled` = 1, for as many signatures as there are.
///
/// # Errors
/// [`InputError`] for points, scalars and signers that do not exist.
pub fn quorum(committee: &Committee, message: &Field, signatures: &[HeaderSignature]) -> Result<Inputs, InputError> {
    let mut inputs = Inputs::default();
    inputs.put_one("enabled", 1u8);
    inputs.put("message", vec![*message]);
    inputs.put("key", keys(committee)?);
    inputs.extend(signers(committee, signatures)?);
    Ok(inputs)
}

/// `CertifiedHeader(level, n, q)` with `enabled` = 1. Whether the header names this committee is for the circuit to say.
///
/// # Errors
/// [`InputError`], as of [`header_digest`] and [`quorum`].
pub fn certified_header(certified: &CertifiedHeader, committee: &Committee) -> Result<Inputs, InputError> {
    let mut inputs = Inputs::default();
    inputs.put_one("enabled", 1u8);
    inputs.extend(header_digest(&certified.header)?);
    inputs.put("key", keys(committee)?);
    inputs.extend(signers(committee, &certified.signatures)?);
    Ok(inputs)
}

/// Of pairs of headers: one input a field, per shard its old and its new header.
fn header_pairs(steps: &[Step]) -> Result<Inputs, InputError> {
    let mut pairs = Inputs::default();
    for header in steps.iter().flat_map(|step| [&step.old, &step.new]) {
        for (place, (name, values)) in header_digest(header)?.0.into_iter().enumerate() {
            match pairs.0.get_mut(place) {
                Some((_, all)) => all.extend(values),
                None => pairs.put(name, values),
            }
        }
    }
    // These are the same in all headers, or follow from the shard's place.
    pairs.0.retain(|(name, _)| !["network", "shard", "committee"].contains(name));
    Ok(pairs)
}

/// What stands in the places of signatures that nobody asks for: the first q replicas, and numbers that are no
/// signatures.
fn no_signers(committee: &Committee) -> Inputs {
    let quorum = committee.quorum();
    let picks = committee.indices().take(quorum);
    let pick = picks.flat_map(|one| committee.indices().map(move |place| Field::from_u64(u64::from(place == one))));
    let zeros = |count: usize| vec![Field::ZERO; count];
    Inputs(vec![("pick", pick.collect()), ("r", zeros(quorum.saturating_mul(2))), ("s", zeros(quorum))])
}

/// `Statement(level, n, q)`, first its two public inputs.
///
/// # Errors
/// [`InputError`], as of [`header_digest`] and [`quorum`]. Whether the statement is true is for the circuit to say.
pub fn statement(statement: &Statement) -> Result<Inputs, InputError> {
    let Statement { origin, previous, current, steps } = statement;
    let mut inputs = Inputs::default();
    let [hash, previous_hash] = statement.public();
    for (name, value) in [("current", hash), ("previous", previous_hash), ("vkHash", current.vk_hash)] {
        inputs.put(name, vec![value]);
    }
    inputs.put_one("number", current.number);
    inputs.put_one("network", origin.network.0);
    inputs.put_digest("file", &origin.file);
    inputs.put("genesisRoot", vec![origin.global_root]);
    inputs.put_one("total", origin.supply.0);
    let (epoch, time) = previous.as_ref().map_or((0, 0), |state| (state.epoch.0, state.time_us));
    inputs.put("cutEpoch", vec![Field::from_u64(epoch), Field::from_u64(current.epoch.0)]);
    inputs.put("cutTime", vec![Field::from_u64(time), Field::from_u64(current.time_us)]);
    inputs.put("committee", origin.committees.iter().flat_map(|committee| halves(&committee.digest())).collect());
    inputs.put("fresh", steps.iter().map(|step| Field::from_u64(u64::from(step.signatures.is_some()))).collect());
    inputs.extend(header_pairs(steps)?);
    let all_keys = origin.committees.iter().map(keys).collect::<Result<Vec<_>, _>>()?;
    inputs.put("key", all_keys.concat());
    let mut all_signers = [("pick", Vec::new()), ("r", Vec::new()), ("s", Vec::new())];
    for (step, committee) in steps.iter().zip(&origin.committees) {
        let own = match &step.signatures {
            Some(signatures) => signers(committee, signatures)?,
            None => no_signers(committee),
        };
        for ((_, all), (_, values)) in all_signers.iter_mut().zip(own.0) {
            all.extend(values);
        }
    }
    inputs.0.extend(all_signers);
    Ok(inputs)
}

/// `TernaryPath(level)`, whose output is [`GlobalPath::root`].
#[must_use]
pub fn ternary_path(path: &GlobalPath, leaf: Field) -> Inputs {
    let mut index = path.shard.index();
    let mut trits = Vec::new();
    for _ in 0..path.siblings.len() {
        let trit = index % 3;
        trits.extend([Field::from_u64(u64::from(trit == 1)), Field::from_u64(u64::from(trit == 2))]);
        index /= 3;
    }
    Inputs(vec![("leaf", vec![leaf]), ("trit", trits), ("sibling", path.siblings.concat())])
}
