//! Attacks on words, multipliers and the closing equation.

use super::*;

/// Attacks on the machinery itself, by numbers outside their ranges: each equation holds, and only ranges are against
/// it.
pub(crate) fn rows(rows: &mut Vec<Row>, honest: &[Word], closing: &Closing) {
    const INSTANCE: &str = "g1-points-2";
    let weight = G1Points.weight(honest.len());
    let offset = BigInt::from(1) << (carry_bits(weight) - 1);
    let plain = G1Points.inputs(honest, closing);
    let mut put = |what: &str, inputs: Inputs, verdict| {
        rows.push(Row { what: what.into(), instance: INSTANCE, inputs, verdict });
    };
    let terms: Vec<Polynomial> = honest.iter().map(Polynomial::word).collect();
    let absorbed = |words: &[Word]| {
        let mut transcript = Transcript::new(G1Points::TAG);
        transcript.absorb(&Word::elements(words));
        transcript
    };

    // A limb too large by 2^64 and the next one smaller by 1: the same word and pack, another polynomial.
    for limb in 0..3 {
        let mut moved = terms.clone();
        let values = &mut moved[2].0;
        values[2 * limb] += BigInt::from(1) << 64;
        values[2 * limb + 2] -= 1;
        let places = [(8 + limb, field(&moved[2].0[2 * limb])), (9 + limb, field(&moved[2].0[2 * limb + 2]))];
        let closing = Closing::new(&mut absorbed(honest), &G1Points.relations(&moved), weight).unwrap();
        let inputs = with(&G1Points.inputs(honest, &closing), "word", &places);
        put(&format!("limb {limb} plus 2^64, the next minus 1"), inputs, Verdict::Violates(1));
    }

    // y is not the transcript's. The equation is an identity, so it holds there too.
    let mut other = closing.clone();
    other.y += Fr::from(1u8);
    put("y plus 1", G1Points.inputs(honest, &other), Verdict::Violates(1));

    // Another k or C, y the transcript's.
    let squeezed = |k: &[u64; 16], c: &[Fr]| {
        let mut transcript = absorbed(honest);
        transcript.squeeze(37usize.div_ceil(2));
        let y = Closing::point(&mut transcript, k, c);
        G1Points.inputs(honest, &Closing { k: *k, c: c.to_vec(), y })
    };
    assert_eq!(squeezed(&closing.k, &closing.c), plain);
    for i in [0, 1, 7, 15] {
        for (name, change) in [("plus", 1u64), ("minus", u64::MAX)] {
            let mut k = closing.k;
            k[i] = k[i].wrapping_add(change);
            put(&format!("k {i} {name} 1"), squeezed(&k, &closing.c), Verdict::Violates(1));
        }
    }
    for i in [0, 1, 18, 34, 35] {
        for (name, change) in [("plus", 1i8), ("minus", -1)] {
            let mut c = closing.c.clone();
            c[i] += Fr::from(change);
            put(&format!("C {i} {name} 1"), squeezed(&closing.k, &c), Verdict::Violates(1));
        }
    }
    for (what, value) in [("its least", BigInt::from(0)), ("its largest", &offset * 2 - 1)] {
        let mut c = closing.c.clone();
        c[3] = field(&value).to_ark();
        put(&format!("C 3 at {what}"), squeezed(&closing.k, &c), Verdict::Violates(1));
    }

    // A limb of k too large by 2^64 and the next smaller by 1: the pack and y are the same, and C can follow.
    // (2^64 - Y^2) p(Y) = (Y - 2^32) (-(Y + 2^32) p(Y)).
    let p = Polynomial::word(&Word::new(Fq::MODULUS.0).unwrap());
    let shift = (Polynomial::default() - p * Polynomial(vec![base(), BigInt::from(1)])).0;
    let mut c = closing.c.clone();
    for (i, value) in shift.iter().enumerate() {
        c[i] -= field(value).to_ark();
    }
    let mut transcript = absorbed(honest);
    transcript.squeeze(19);
    let y = Closing::point(&mut transcript, &closing.k, &c);
    let closing_moved = Closing { k: closing.k, c: c.clone(), y };
    let moved = [(0, BigInt::from(closing.k[0]) + (BigInt::from(1) << 64)), (1, BigInt::from(closing.k[1]) - 1)];
    let moved = moved.map(|(i, value)| (i, field(&value)));
    put(
        "k 0 plus 2^64, k 1 minus 1",
        with(&G1Points.inputs(honest, &closing_moved), "k", &moved),
        Verdict::Violates(1),
    );

    // A false claim with carries that are any field elements: k with the left side = k p mod r, and C by division in
    // Fr.
    let mut lie = honest.to_vec();
    lie[1] = plus(&lie[1], 5);
    assert!(!G1Points.holds(&lie));
    let lie_terms: Vec<Polynomial> = lie.iter().map(Polynomial::word).collect();
    let (k, c) = wrapped(&mut absorbed(&lie), &G1Points.relations(&lie_terms));
    let outside = c.iter().filter(|c| BigInt::from(BigUint::from(c.into_bigint())) >= &offset * 2).count();
    assert!(outside > 0);
    let mut transcript = absorbed(&lie);
    transcript.squeeze(19);
    let y = Closing::point(&mut transcript, &k, &c);
    put("a false claim with carries mod r", G1Points.inputs(&lie, &Closing { k, c, y }), Verdict::Violates(outside));

    // A word of 255 bits: + 2 p, the top limb outside its range.
    let number = BigUint::from(honest[0].value()) + BigUint::from(Fq::MODULUS) * 2u8;
    let limbs = limbs_of(&number);
    assert!(Word::new(limbs).is_none());
    let mut wide = terms;
    for (i, limb) in limbs.iter().enumerate() {
        wide[0].0[2 * i] = (*limb).into();
    }
    let mut elements = Word::elements(honest);
    let spill = (limbs[3] >> 61) & 1;
    elements[0] = Fr::from(number - (BigUint::from(spill) << 253u32));
    elements[8] += Fr::from(spill) - Fr::from(honest[0].limbs()[3] >> 61);
    let mut transcript = Transcript::new(G1Points::TAG);
    transcript.absorb(&elements);
    let closing = Closing::new(&mut transcript, &G1Points.relations(&wide), weight).unwrap();
    let places: Vec<_> = limbs.iter().enumerate().map(|(i, limb)| (i, Field::from_u64(*limb))).collect();
    put("word 0 plus 2 p", with(&G1Points.inputs(honest, &closing), "word", &places), Verdict::Violates(1));
}

/// k in its range and carries in Fr, for relations that do not hold.
fn wrapped(transcript: &mut Transcript, relations: &[Polynomial]) -> ([u64; 16], Vec<Fr>) {
    let elements = transcript.squeeze(19);
    let part = |element: &Fr, start: u32| {
        let bits = BigUint::from(element.into_bigint()) >> start;
        Polynomial((0..8u32).map(|i| BigInt::from((&bits >> (15 * i)) % (1u32 << 15))).collect())
    };
    let drawn: Vec<Polynomial> = elements.iter().flat_map(|e| [part(e, 0), part(e, 120)]).collect();
    let mut left = Polynomial::default();
    for (relation, nu) in relations.iter().zip(&drawn[1..]) {
        left = left + drawn[0].clone() * nu.clone() * relation.clone();
    }
    let p = Polynomial::word(&Word::new(Fq::MODULUS.0).unwrap());
    let number = |value: &BigInt| field(value).to_ark();
    let k = number(&left.at(&base())) / number(&p.at(&base()));
    let mut limbs = [0; 16];
    limbs[..4].copy_from_slice(&k.into_bigint().0);
    let mut quotient = vec![BigInt::from(0); 32];
    for (i, limb) in limbs.iter().enumerate() {
        quotient[2 * i] = (*limb).into();
    }
    let mut difference = left - Polynomial(quotient) * p;
    difference.0.resize(37, BigInt::from(0));
    let weight = G1Points.weight(8);
    let offset = Fr::from(2u8).pow([u64::from(carry_bits(weight)) - 1]);
    let mut carry = Fr::from(0u8);
    let mut c = Vec::new();
    for coefficient in &difference.0[..36] {
        carry = (carry - number(coefficient)) / number(&base());
        c.push(carry + offset);
    }
    assert_eq!(carry, number(&difference.0[36]), "closes mod r");
    limbs[15] += 1 << 60;
    (limbs, c)
}
