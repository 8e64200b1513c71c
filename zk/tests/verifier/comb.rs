//! The sum of a key's points, beside ark-bn254.

use super::*;

pub(crate) fn keys(columns: usize) -> ([G1Affine; 2], Vec<Word>) {
    let ic = [31u64, 1_000_003].map(|k| (G1Affine::generator() * Fr::from(k).inverse().unwrap()).into_affine());
    (ic, Comb::key(columns, ic).unwrap())
}

/// The words say (-x / y, 1 / y) of IC0 + h IC1, as ark has it.
fn is_arks(comb: &Comb, ic: [G1Affine; 2], words: &[Word]) {
    let point = (ic[0] + ic[1] * comb.h).into_affine();
    let [u, v, ..] = G1Points::words(&point);
    assert_eq!(words[words.len() - 2..], [v, u], "{}", comb.h);
}

pub(crate) fn rows(rows: &mut Vec<Row>) {
    let (ic, key) = keys(2);
    let new = |d: u64, negative: bool| Comb::new(2, &key, &BigUint::from(d), negative).unwrap();
    for (d, negative) in [(12345, false), (1, false), (1, true), (65535, false), (65535, true)] {
        let comb = new(d, negative);
        let words = comb.words().unwrap();
        is_arks(&comb, ic, &words);
        let sign = if negative { "-" } else { "" };
        Rows { instance: "comb-2", claim: &comb, rows }.accepted(&format!("h = {sign}{d}"), &words);
    }
    let honest = new(12345, false);
    let words = honest.words().unwrap();
    let mut claim = Rows { instance: "comb-2", claim: &honest, rows };
    claim.other_representatives(&words);
    claim.each_word_plus_one(&words, 1);
    // Bits of another number, with its sums: the row of h is against them, or the boolean ones.
    for bit in [0, 7, 15] {
        let mut other = honest.clone();
        other.bits[bit] ^= true;
        let words = other.words().unwrap();
        let closing = other.close(&words).unwrap();
        let what = format!("bit {bit} turned");
        Rows { instance: "comb-2", claim: &other, rows }.put(&what, &words, &closing, Verdict::Violates(1));
    }
    let mut other = honest.clone();
    other.h += Fr::from(2u8);
    let closing = other.close(&words).unwrap();
    Rows { instance: "comb-2", claim: &other, rows }.put("h plus 2", &words, &closing, Verdict::Violates(1));
    // 0, 1 -> 2, 0: the same number and pack. The bit that is 2, and the equation.
    let at = honest.bits.windows(2).position(|pair| pair == [false, true]).unwrap();
    let inputs = honest.inputs(&words, &honest.close(&words).unwrap());
    let inputs = with(&inputs, "bit", &[(at, Field::from_u64(2)), (at + 1, Field::from_u64(0))]);
    let what = "a bit that is 2".to_owned();
    rows.push(Row { what, instance: "comb-2", inputs, verdict: Verdict::Violates(2) });
    // A word of the key that is used, another one: another key, whose sums are others.
    let used = 2 * usize::from(honest.bits[2] ^ honest.bits[1]);
    for i in [0, 1, 16, 17, 32, 33].into_iter().chain([used]) {
        let mut other = honest.clone();
        other.key[i] = plus(&other.key[i], 1);
        if !other.holds(&words) {
            Rows { instance: "comb-2", claim: &other, rows }.refused(&format!("word {i} of the key plus 1"), &words);
        }
    }

    let (ic, key) = keys(32);
    let r = BigUint::from(Fr::MODULUS);
    let h = Fr::from(7u8).pow([1000]);
    let least = BigUint::from(h.into_bigint());
    // h and h - 2 r, or h - r and h + r: two ways to write it, one point.
    let odd = if least.bit(0) { least.clone() } else { &least + &r };
    let negative = if least.bit(0) { &r * 2u8 - &least } else { &r - &least };
    for (what, d, sign) in
        [("h = 0", r.clone(), false), ("some h", odd, false), ("the same h, negative", negative, true)]
    {
        let comb = Comb::new(32, &key, &d, sign).unwrap();
        let words = comb.words().unwrap();
        is_arks(&comb, ic, &words);
        let mut claim = Rows { instance: "comb", claim: &comb, rows };
        claim.accepted(what, &words);
        if what == "h = 0" {
            for i in [0, 130, 255, 260] {
                let mut other = words.clone();
                other[i] = plus(&other[i], 1);
                claim.refused(&format!("word {i} plus 1"), &other);
            }
            let mut other = comb.clone();
            other.bits[200] ^= true;
            let words = other.words().unwrap();
            let closing = other.close(&words).unwrap();
            Rows { instance: "comb", claim: &other, rows }.put("a bit turned", &words, &closing, Verdict::Violates(1));
        }
    }
}

#[test]
fn comb_is_arks_sum() {
    let (ic, key) = keys(32);
    let mut h = Fr::from(3u8);
    for _ in 0..50 {
        let comb = Comb::of(&key, h).unwrap();
        assert_eq!(comb.h, h);
        let words = comb.words().unwrap();
        is_arks(&comb, ic, &words);
        assert!(comb.holds(&words));
        h = h.square() + Fr::from(1u8);
    }
    assert!(comb_origin().is_on_curve());
    assert!(Comb::new(2, &key, &BigUint::from(2u8), false).is_none(), "even");
    assert!(Comb::new(2, &key, &BigUint::from(65_537u32), false).is_none(), "too large");
    assert!(Comb::key(32, [G1Affine::generator(), G1Affine::identity()]).is_none(), "IC1 at infinity");
}

/// Why nobody may know a logarithm of O: with a key made for it, the first entry of a column is O itself, the slope is
/// free, and the relations hold for a point that is not IC0 + h IC1.
#[test]
fn a_key_made_from_the_origin_forges() {
    // Two columns, h = 12345: the coefficient of the entry of table 0 in the first column.
    let (_, key) = keys(2);
    let honest = Comb::new(2, &key, &BigUint::from(12345u32), false).unwrap();
    let digit = |tooth: usize| if honest.bits[2 * tooth + 1] { Fr::from(1u8) } else { -Fr::from(1u8) };
    let coefficient: Fr = (0..4).map(|tooth| digit(tooth) * Fr::from(1u64 << (2 * tooth))).sum();
    let ic = [G1Affine::generator(), (comb_origin() * coefficient.inverse().unwrap()).into_affine()];
    let key = Comb::key(2, ic).unwrap();
    let trap = Comb::new(2, &key, &BigUint::from(12345u32), false).unwrap();
    assert!(trap.words().is_none(), "an honest prover stops");
    let forged = trap.words_from(|_| Fq::from(5u8)).unwrap();
    assert!(trap.holds(&forged));
    let [u, ..] = G1Points::words(&(ic[0] + ic[1] * trap.h).into_affine());
    assert_ne!(forged.last(), Some(&u));
}
