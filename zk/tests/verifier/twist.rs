//! Points of G2 and their lines, beside ark-bn254.

use super::*;

/// A point with these lines.
fn bent(claim: &TwistLines, b: [Fq2; 2], at: usize, by: i64) -> Vec<Word> {
    let turn = |line: usize, slope: Fq2| if line == at { slope + Fq2::from(by) } else { slope };
    claim.words_of(b, &claim.lines(b, turn).unwrap())
}

/// The twist's point with the lowest abscissa k + u.
fn twist_point() -> G2Affine {
    let point = |k: u64| G2Affine::get_point_from_x_unchecked(Fq2::new(Fq::from(k), Fq::from(1u8)), false);
    (1..).find_map(point).unwrap()
}

/// Points of the twist outside the subgroup: one of the whole order, and one of each small prime order.
fn outside() -> Vec<(String, G2Affine)> {
    let any = twist_point();
    let [p, r]: [BigUint; 2] = [Fq::MODULUS.into(), Fr::MODULUS.into()];
    let cofactor = p * 2u8 - &r;
    let mut out = vec![("a point of the twist alone".to_owned(), any)];
    for order in [10069u64, 5_864_401, 1_875_725_156_269] {
        let point = any.mul_bigint((&cofactor / order * &r).to_u64_digits()).into_affine();
        assert!(!point.is_zero() && point.mul_bigint([order]).into_affine().is_zero(), "{order}");
        out.push((format!("a point of order {order}"), point));
    }
    assert!(out.iter().all(|(_, point)| point.is_on_curve() && !point.is_in_correct_subgroup_assuming_on_curve()));
    out
}

pub(crate) fn rows(rows: &mut Vec<Row>) {
    let generator = G2Affine::generator();
    let [one, two] = [123_456u64, 7].map(|k| (generator * Fr::from(k)).into_affine());
    let coordinates = |point: &G2Affine| [point.x, point.y];
    let few = TwistLines::steps(&[1, -1]);
    let honest = few.words(&one).unwrap();
    let lines = few.lines(coordinates(&one), |_, slope| slope).unwrap();
    assert_eq!(lines[3].next, (one * Fr::from(5u8)).into_affine().x, "2 (2 + 1) - 1 = 5");
    let mut claim = Rows { instance: "twist-lines-2", claim: &few, rows };
    claim.accepted("a point of G2", &honest);
    claim.accepted("another", &few.words(&two).unwrap());
    claim.accepted("outside the subgroup, which nothing looks at here", &few.words(&twist_point()).unwrap());
    claim.other_representatives(&honest);
    claim.each_word_plus_one(&honest, 1);
    for line in 0..4 {
        claim.refused(&format!("line {line} through its first point alone"), &bent(&few, coordinates(&one), line, 1));
    }
    let off = [one.x, one.y + Fq2::from(1)];
    claim.refused("a point of another twist", &few.words_of(off, &few.lines(off, |_, slope| slope).unwrap()));
    for digits in [[1, 1], [-1, -1]] {
        let other = TwistLines::steps(&digits).lines(coordinates(&one), |_, slope| slope).unwrap();
        claim.refused(&format!("the lines of {digits:?}"), &few.words_of(coordinates(&one), &other));
    }
    let other = few.lines(coordinates(&two), |_, slope| slope).unwrap();
    claim.refused("another point's lines", &few.words_of(coordinates(&one), &other));

    let whole = TwistLines::whole();
    let honest = whole.words(&one).unwrap();
    let mut claim = Rows { instance: "twist-lines", claim: &whole, rows };
    claim.accepted("a point of G2", &honest);
    // A slope, an intercept, an abscissa of the first and last tangent and chord, and B's own words.
    let last = honest.len() - 4;
    for i in
        [0, 3, 4, 7, 9, 11, 12, 14, 17, 18, 21, 22, last - 12, last - 10, last - 7, last - 6, last - 4, last, last + 3]
    {
        let mut other = honest.clone();
        other[i] = plus(&other[i], 1);
        claim.refused(&format!("word {i} plus 1"), &other);
    }
    let lines = whole.lines(coordinates(&one), |_, slope| slope).unwrap().len();
    assert_eq!(lines, 87);
    claim.refused("the last line through its first point alone", &bent(&whole, coordinates(&one), lines - 1, 1));
    for (what, point) in outside().into_iter().take(2) {
        claim.refused(&what, &whole.words(&point).unwrap());
    }
}

/// The product of the loop's lines at P is ark's pairing once both are raised to what kills factors of subfields. So
/// the digits, the constants and the kind of twist are right, whatever our formulas say.
#[test]
fn lines_give_arks_pairing() {
    let whole = TwistLines::whole();
    for k in 1..4u64 {
        let p = (G1Affine::generator() * Fr::from(3 * k)).into_affine();
        let b = (G2Affine::generator() * Fr::from(1000 + k)).into_affine();
        let [u, v, ..] = G1Points::words(&p).map(|word| word.value());
        let lines = whole.lines([b.x, b.y], |_, slope| slope).unwrap();
        let mut next = lines.iter().map(|line| {
            let mut value = Fq12::from(1u8);
            value.c1.c0 = line.slope;
            value.c1.c0.mul_assign_by_fp(&u);
            value.c1.c1 = line.intercept;
            value.c1.c1.mul_assign_by_fp(&v);
            value
        });
        let mut f = Fq12::from(1u8);
        for digit in whole.digits() {
            f.square_in_place();
            f *= next.next().unwrap();
            if *digit != 0 {
                f *= next.next().unwrap();
            }
        }
        f *= next.next().unwrap() * next.next().unwrap();
        assert!(next.next().is_none());
        let ours = Bn254::final_exponentiation(MillerLoopOutput(f)).unwrap();
        assert_eq!(ours, Bn254::pairing(p, b));
    }
}

/// For every point of the twist that was tried, the claim is true iff ark has it in the subgroup.
#[test]
fn end_of_the_loop_is_arks_subgroup() {
    let whole = TwistLines::whole();
    let mut seen = [0, 0];
    let inside = (1..6u64).map(|k| (G2Affine::generator() * Fr::from(k * k)).into_affine());
    let sums = outside().into_iter().map(|(_, point)| (point + G2Affine::generator()).into_affine());
    for point in inside.chain(outside().into_iter().map(|(_, point)| point)).chain(sums) {
        let member = point.is_in_correct_subgroup_assuming_on_curve();
        assert_eq!(whole.holds(&whole.words(&point).unwrap()), member, "{point}");
        seen[usize::from(member)] += 1;
    }
    assert_eq!(seen, [8, 5]);
}
