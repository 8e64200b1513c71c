//! `circuits/vectors/verifier.json`: hints for the circuits of the Groth16 verifier, honest ones and an attacker's.
//! Here the file is held against this crate and against ark-bn254; in `scripts/circuits --test` against the compiled
//! circuits.
//!
//! A row is accepted, or says how many rows of the circuit it violates, with everything computed from what was altered;
//! the altered inputs are then written as changes of the accepted row named `base`.
//!
//! To write it anew: `SMT_WRITE_VECTORS=1 cargo test --release -p smt-zk`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "tests")]

mod comb;
mod machinery;
mod twist;

use ark_bn254::{Bn254, Fq, Fq2, Fq12, Fr, G1Affine, G2Affine};
use ark_ec::pairing::{MillerLoopOutput, Pairing};
use ark_ec::{AffineRepr, CurveGroup};
use ark_ff::{Field as _, PrimeField};
use num_bigint::{BigInt, BigUint};
use serde_json::{Map, Value, json};
use smt_types::crypto::Field;
use smt_zk::Inputs;
use smt_zk::verifier::{
    Claim, Closing, Comb, G1Points, Polynomial, Ring, Transcript, TwistLines, Weight, Word, carry_bits, comb_origin,
};
use std::path::PathBuf;

/// What the circuit says about a row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Verdict {
    Accepted,
    /// This many rows are violated.
    Violates(usize),
}

struct Row {
    what: String,
    instance: &'static str,
    inputs: Inputs,
    verdict: Verdict,
}

impl Row {
    /// The row; one that is refused as changes of `base`.
    fn json(&self, base: &Row) -> Value {
        let mut out = Map::new();
        out.insert("what".into(), json!(self.what));
        out.insert("instance".into(), json!(self.instance));
        let Verdict::Violates(rows) = self.verdict else {
            let inputs = self.inputs.0.iter().map(|(name, values)| {
                let texts: Vec<_> = values.iter().map(Field::to_decimal).collect();
                ((*name).to_owned(), json!(texts))
            });
            out.insert("inputs".into(), Value::Object(inputs.collect()));
            return Value::Object(out);
        };
        let mut changes = Map::new();
        for ((name, values), (_, old)) in self.inputs.0.iter().zip(&base.inputs.0) {
            let changed = values.iter().zip(old).enumerate().filter(|(_, (new, old))| new != old);
            let changed: Map<_, _> = changed.map(|(i, (new, _))| (i.to_string(), json!(new.to_decimal()))).collect();
            if !changed.is_empty() {
                out.entry("base").or_insert(json!(base.what));
                changes.insert((*name).into(), Value::Object(changed));
            }
        }
        out.insert("changes".into(), Value::Object(changes));
        out.insert("violates".into(), json!(rows));
        Value::Object(out)
    }
}

/// Rows for one instance.
struct Rows<'a, C: Claim> {
    instance: &'static str,
    claim: &'a C,
    rows: &'a mut Vec<Row>,
}

impl<C: Claim> Rows<'_, C> {
    fn put(&mut self, what: &str, words: &[Word], closing: &Closing, verdict: Verdict) {
        let row =
            Row { what: what.into(), instance: self.instance, inputs: self.claim.inputs(words, closing), verdict };
        self.rows.push(row);
    }

    /// The claim is true and accepted.
    fn accepted(&mut self, what: &str, words: &[Word]) -> Closing {
        assert!(self.claim.holds(words), "{what}");
        let closing = self.claim.close(words).unwrap();
        self.put(what, words, &closing, Verdict::Accepted);
        closing
    }

    /// The claim is false: one row, the equation's, is against the nearest that a prover gets.
    fn refused(&mut self, what: &str, words: &[Word]) {
        assert!(!self.claim.holds(words), "{what}");
        let open = self.claim.close(words).unwrap_err();
        self.put(what, words, &open.nearest, Verdict::Violates(1));
    }

    /// With any one word replaced by its number plus 1, everything after it computed from that.
    fn each_word_plus_one(&mut self, words: &[Word], step: usize) {
        for i in (0..words.len()).step_by(step) {
            let mut other = words.to_vec();
            other[i] = plus(&words[i], 1);
            self.refused(&format!("word {i} plus 1"), &other);
        }
    }

    /// Words replaced by word + p wherever that has 254 bits: the same claim.
    fn other_representatives(&mut self, words: &[Word]) {
        let other: Vec<Word> = words.iter().map(|word| word.other_representative().unwrap_or(*word)).collect();
        assert_ne!(other, words);
        self.accepted("words plus p", &other);
    }
}

fn plus(word: &Word, n: i64) -> Word {
    Word::from(word.value() + Fq::from(n))
}

fn limbs_of(number: &BigUint) -> [u64; 4] {
    let digits = number.to_u64_digits();
    std::array::from_fn(|i| digits.get(i).copied().unwrap_or(0))
}

fn base() -> BigInt {
    BigInt::from(1u64 << 32)
}

/// The inputs with other numbers at some places.
fn with(inputs: &Inputs, name: &str, places: &[(usize, Field)]) -> Inputs {
    let mut out = inputs.clone();
    for (key, values) in &mut out.0 {
        if *key == name {
            for (place, value) in places {
                values[*place] = *value;
            }
        }
    }
    out
}

fn field(value: &BigInt) -> Field {
    let r: BigInt = BigUint::from(Fr::MODULUS).into();
    let value = ((value % &r) + &r) % &r;
    Field::from_ark(&Fr::from(value.magnitude().clone()))
}

fn g1(rows: &mut Vec<Row>) {
    let generator = G1Affine::generator();
    let [one, two] = [12345u64, 987_654_321].map(|k| (generator * Fr::from(k)).into_affine());
    let infinity = G1Affine::identity();
    let all = |a: [Word; 4], b: [Word; 4]| [a, b].concat();
    let honest = all(G1Points::words(&one), G1Points::words(&two));
    let mut claim = Rows { instance: "g1-points-2", claim: &G1Points, rows };
    let closing = claim.accepted("two points", &honest);
    claim.accepted("a point and infinity", &all(G1Points::words(&infinity), G1Points::words(&-two)));
    claim.accepted("twice infinity", &all(G1Points::words(&infinity), G1Points::words(&infinity)));
    claim.other_representatives(&honest);
    claim.each_word_plus_one(&honest, 1);
    // Consistent squares of pairs that are no points.
    let [u, v] = [honest[0].value(), honest[1].value()];
    for (what, u, v) in [
        ("U negated", -u, v),
        ("the other order", v, u),
        ("U of another point", honest[4].value(), v),
        ("V = 0 with U = 1", Fq::from(1u8), Fq::from(0u8)),
        ("U = 0 with V = 1", Fq::from(0u8), Fq::from(1u8)),
        ("x and y themselves", one.x, one.y),
    ] {
        claim.refused(what, &all(G1Points::words_of(u, v), G1Points::words(&two)));
    }
    claim.accepted("negated point", &all(G1Points::words_of(-u, -v), G1Points::words(&two)));
    machinery::rows(rows, &honest, &closing);
}

fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    g1(&mut rows);
    twist::rows(&mut rows);
    comb::rows(&mut rows);
    comb::rows(&mut rows);
    rows
}

#[test]
fn vectors_are_what_the_native_code_says() {
    let rows = rows();
    let first = |instance| rows.iter().find(|row| row.instance == instance).unwrap();
    let lines: Vec<String> = rows.iter().map(|row| row.json(first(row.instance)).to_string()).collect();
    let text = format!("[\n{}\n]\n", lines.join(",\n"));
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../circuits/vectors/verifier.json");
    if std::env::var_os("SMT_WRITE_VECTORS").is_some() {
        std::fs::write(&file, &text).unwrap();
    }
    let kept = std::fs::read_to_string(&file).unwrap();
    for (line, (row, want)) in kept.lines().skip(1).zip(rows.iter().zip(&lines)) {
        assert_eq!(line.trim_end_matches(','), want, "{}", row.what);
    }
    assert!(kept == text, "another number of vectors");
}

/// The weights that the circuit's bounds start from are those of the formulas.
#[test]
fn weights_are_those_of_the_circuit() {
    let circuit = |file: &str, name: &str| -> Weight {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../circuits/lib");
        let text = std::fs::read_to_string(folder.join(file)).unwrap();
        let body = text.split(&format!("function {name}() {{")).nth(1).unwrap();
        let list = body.split("return [").nth(1).unwrap().split(']').next().unwrap();
        let numbers: Vec<u64> = list.split(',').map(|number| number.trim().parse().unwrap()).collect();
        Weight(numbers.try_into().unwrap())
    };
    assert_eq!(G1Points.weight(4), circuit("g1-point.circom", "g1PointWeights"));
    let names = ["twistPointWeights", "tangentWeights", "chordWeights", "twistEndWeights"];
    assert_eq!(TwistLines::weights(), names.map(|name| circuit("twist.circom", name)));
    let (_, key) = comb::keys(2);
    let comb = Comb::new(2, &key, &BigUint::from(1u8), false).unwrap();
    let parts = ["doubleAddWeights", "addWeights", "vkxWeights"].map(|name| circuit("comb.circom", name));
    let times = |weight: Weight, count| weight * Weight([count, 0, 0, 0]);
    assert_eq!(comb.weight(21), times(parts[0], 2) + times(parts[1], 3) + parts[2]);
    // Never below what the formulas weigh.
    let whole = TwistLines::whole();
    let words = vec![Weight([0, 1, 0, 0]); 12 + 6 * 87 - 2];
    let exact = whole.relations(&words).into_iter().fold(Weight::default(), |sum, weight| sum + weight);
    assert!(exact.0.iter().zip(whole.weight(0).0).all(|(exact, counted)| *exact <= counted));
}

/// For weights up to those of a whole verification nothing wraps, and the bound is one that can be reached: multipliers
/// and limbs at their largest give it.
#[test]
fn carry_bits_fit_the_largest_words() {
    let mut before = 0;
    for weight in [[0, 3, 6, 0], [10, 600, 4000, 100], [1000, 4000, 9000, 9000], [60_000; 4]] {
        let bits = carry_bits(Weight(weight));
        assert!(bits > before && bits <= 219, "{bits}");
        before = bits;
    }
    let largest = Word::new([u64::MAX, u64::MAX, u64::MAX, (1 << 62) - 1]).unwrap();
    let cube = Polynomial::word(&largest) * Polynomial::word(&largest) * Polynomial::word(&largest);
    let all = Polynomial(vec![BigInt::from((1 << 15) - 1); 8]);
    let top = (cube * all.clone() * all).0.into_iter().max().unwrap();
    let bits = carry_bits(Weight([0, 0, 0, 1]));
    assert!((top >> 32) < (BigInt::from(1) << (bits - 1)));
}

#[test]
#[should_panic(expected = "coefficients wrap")]
fn weights_too_large_for_the_field_are_refused() {
    assert_eq!(carry_bits(Weight([0, 0, 0, 1 << 24])), 0);
}
