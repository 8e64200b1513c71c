//! Points of G2 and the lines of their Miller loop, affine on the twist: a line y = l x - n has a slope l and an
//! intercept n.
#![expect(clippy::arithmetic_side_effects, clippy::indexing_slicing, reason = "field arithmetic over fixed sizes")]

use super::{Claim, Ring, Weight, Word};
use ark_bn254::{Config, Fq, Fq2, G2Affine};
use ark_ec::AffineRepr as _;
use ark_ec::bn::BnConfig;
use ark_ec::short_weierstrass::SWCurveConfig as _;
use ark_ff::{AdditiveGroup as _, Field as _};

/// A point of the twist's plane.
type Point = [Fq2; 2];

/// An element of Fp2 over a ring, the real part first.
type Pair<T> = [T; 2];

fn add<T: Ring>(a: &Pair<T>, b: &Pair<T>) -> Pair<T> {
    [a[0].clone() + b[0].clone(), a[1].clone() + b[1].clone()]
}

fn sub<T: Ring>(a: &Pair<T>, b: &Pair<T>) -> Pair<T> {
    [a[0].clone() - b[0].clone(), a[1].clone() - b[1].clone()]
}

fn mul<T: Ring>(a: &Pair<T>, b: &Pair<T>) -> Pair<T> {
    let product = |i: usize, j: usize| a[i].clone() * b[j].clone();
    [product(0, 0) - product(1, 1), product(0, 1) + product(1, 0)]
}

fn twice<T: Ring>(a: &Pair<T>) -> Pair<T> {
    a.clone().map(|part| T::small(2) * part)
}

fn constant<T: Ring>(value: Fq2) -> Pair<T> {
    [T::constant(value.c0), T::constant(value.c1)]
}

/// c conj(a).
fn image<T: Ring>(c: Fq2, a: &Pair<T>) -> Pair<T> {
    let [re, im] = constant::<T>(c);
    let term = |c: &T, i: usize| c.clone() * a[i].clone();
    [term(&re, 0) + term(&im, 1), term(&im, 0) - term(&re, 1)]
}

fn pair<T: Ring>(words: &[T], at: usize) -> Pair<T> {
    [words[at].clone(), words[at + 1].clone()]
}

/// The factor of x in psi^2, an element of Fp.
fn psi2_x() -> Fq {
    let mut conjugate = Config::TWIST_MUL_BY_Q_X;
    conjugate.conjugate_in_place();
    (conjugate * Config::TWIST_MUL_BY_Q_X).c0
}

fn psi([mut x, mut y]: Point) -> Point {
    x.conjugate_in_place();
    y.conjugate_in_place();
    [x * Config::TWIST_MUL_BY_Q_X, y * Config::TWIST_MUL_BY_Q_Y]
}

/// One line of the loop and the abscissa after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// l.
    pub slope: Fq2,
    /// n = l x - y.
    pub intercept: Fq2,
    /// The abscissa of the sum.
    pub next: Fq2,
}

/// The claim of `TwistLines(steps, digits, whole)`.
#[derive(Clone, Debug)]
pub struct TwistLines {
    digits: Vec<i8>,
    whole: bool,
}

impl TwistLines {
    /// The whole loop.
    #[must_use]
    pub fn whole() -> TwistLines {
        let mut digits = Config::ATE_LOOP_COUNT.to_vec();
        // Lowest first; the leading 1 is where T = B starts.
        digits.pop();
        digits.reverse();
        TwistLines { digits, whole: true }
    }

    /// Some steps, without the end.
    #[must_use]
    pub fn steps(digits: &[i8]) -> TwistLines {
        TwistLines { digits: digits.to_vec(), whole: false }
    }

    /// The digits, highest first.
    #[must_use]
    pub fn digits(&self) -> &[i8] {
        &self.digits
    }

    /// The lines of the loop of a point, in order. `bend` may replace the slope of a line by another, of which the rest
    /// follows: for tests. `None` where two points of a chord have one abscissa, which no point of the twist leads to.
    #[must_use]
    pub fn lines(&self, b: Point, bend: impl Fn(usize, Fq2) -> Fq2) -> Option<Vec<Line>> {
        let mut lines = Vec::new();
        let mut t = b;
        let mut step = |q: Option<Point>| {
            let slope = match q {
                None => (t[0].square() * Fq2::from(3u8)) * t[1].double().inverse()?,
                Some(q) => (t[1] - q[1]) * (t[0] - q[0]).inverse()?,
            };
            let slope = bend(lines.len(), slope);
            let intercept = slope * t[0] - t[1];
            let next = slope.square() - t[0] - q.unwrap_or(t)[0];
            lines.push(Line { slope, intercept, next });
            t = [next, intercept - slope * next];
            Some(())
        };
        for digit in &self.digits {
            step(None)?;
            match digit {
                1 => step(Some(b))?,
                -1 => step(Some([b[0], -b[1]]))?,
                _ => {}
            }
        }
        if self.whole {
            let one = psi(b);
            let two = psi(one);
            step(Some(one))?;
            step(Some([two[0], -two[1]]))?;
        }
        Some(lines)
    }

    /// The words of a point and of lines.
    #[must_use]
    pub fn words_of(&self, b: Point, lines: &[Line]) -> Vec<Word> {
        let [x, y] = b;
        let one = psi(b);
        let mut parts = vec![x, y, x.square(), one[0], one[1], x * Fq2::new(psi2_x(), Fq::ZERO)];
        parts.extend(lines.iter().flat_map(|line| [line.slope, line.intercept, line.next]));
        if self.whole {
            // The circuit has psi^3(B)'s abscissa there.
            parts.pop();
        }
        parts.into_iter().flat_map(|part| [part.c0, part.c1]).map(Word::from).collect()
    }

    /// The words of a point of G2; `None` for infinity, which has none.
    #[must_use]
    pub fn words(&self, point: &G2Affine) -> Option<Vec<Word>> {
        let (x, y) = point.xy()?;
        Some(self.words_of([x, y], &self.lines([x, y], |_, slope| slope)?))
    }

    /// What the circuit counts with: of a point, of a tangent, of a chord, of the end with what it adds to a chord.
    #[must_use]
    pub fn weights() -> [Weight; 4] {
        let word = || Weight([0, 1, 0, 0]);
        let two = || [word(), word()];
        let line = || [two(), two(), two()];
        let sum = |list: Vec<Weight>| list.into_iter().fold(Weight::default(), |sum, weight| sum + weight);
        let last = end(&[two(), two()], &line());
        [
            sum(point(&vec![word(); 12])),
            sum(tangent(&line(), &[two(), two()], &two())),
            sum(chord(&line(), &[two(), two()], &two(), &[two(), two()])),
            sum(last.1) + sum(last.0.to_vec()),
        ]
    }
}

/// The relations of `TwistPoint`.
fn point<T: Ring>(words: &[T]) -> Vec<T> {
    let [x, y, xx] = [0, 2, 4].map(|at| pair(words, at));
    let b = constant(ark_bn254::g2::Config::COEFF_B);
    let second = [0, 1].map(|i| T::constant(psi2_x()) * words[i].clone() - words[10 + i].clone());
    [
        sub(&mul(&x, &x), &xx),
        sub(&sub(&mul(&y, &y), &mul(&xx, &x)), &b),
        sub(&image(Config::TWIST_MUL_BY_Q_X, &x), &pair(words, 6)),
        sub(&image(Config::TWIST_MUL_BY_Q_Y, &y), &pair(words, 8)),
        second,
    ]
    .concat()
}

/// The relations of `Tangent`: line l, n, x'; l and n of the line before; x.
fn tangent<T: Ring>(line: &[Pair<T>; 3], before: &[Pair<T>; 2], x: &Pair<T>) -> Vec<T> {
    let [l, n, next] = line;
    [
        sub(&sub(&mul(l, l), &twice(x)), next),
        meet(l, n, before, x),
        sub(&mul(&add(&twice(next), x), x), &twice(&mul(n, l))),
    ]
    .concat()
}

/// The relations of `Chord`; q: x and y.
fn chord<T: Ring>(line: &[Pair<T>; 3], before: &[Pair<T>; 2], x: &Pair<T>, q: &[Pair<T>; 2]) -> Vec<T> {
    let [l, n, next] = line;
    [sub(&sub(&sub(&mul(l, l), x), &q[0]), next), meet(l, n, before, x), sub(&sub(&mul(l, &q[0]), n), &q[1])].concat()
}

fn meet<T: Ring>(l: &Pair<T>, n: &Pair<T>, before: &[Pair<T>; 2], x: &Pair<T>) -> Pair<T> {
    sub(&sub(&mul(&add(l, &before[0]), x), n), &before[1])
}

/// psi^3's abscissa, and the relations of `TwistEnd`; b: x and y.
fn end<T: Ring>(b: &[Pair<T>; 2], line: &[Pair<T>; 3]) -> (Pair<T>, Vec<T>) {
    let x = image(Config::TWIST_MUL_BY_Q_X * Fq2::new(psi2_x(), Fq::ZERO), &b[0]);
    let y = image(-Config::TWIST_MUL_BY_Q_Y, &b[1]);
    let relations = sub(&sub(&mul(&line[0], &x), &line[1]), &y);
    (x, relations.to_vec())
}

impl Claim for TwistLines {
    const TAG: u64 = 2;

    fn relations<T: Ring>(&self, words: &[T]) -> Vec<T> {
        let b = [pair(words, 0), pair(words, 2)];
        let zero = || [T::small(0), T::small(0)];
        let mut out = point(words);
        let mut before = [zero(), b[1].clone()];
        let mut x = b[0].clone();
        let mut at = 12;
        let mut take = |last: Option<Pair<T>>| {
            let next = last.unwrap_or_else(|| pair(words, at + 4));
            let line = [pair(words, at), pair(words, at + 2), next];
            at += 6;
            line
        };
        let mut go_on = |line: &[Pair<T>; 3], q: Option<[Pair<T>; 2]>| {
            out.extend(match q {
                None => tangent(line, &before, &x),
                Some(q) => chord(line, &before, &x, &q),
            });
            before = [line[0].clone(), line[1].clone()];
            x = line[2].clone();
        };
        for digit in &self.digits {
            go_on(&take(None), None);
            if *digit != 0 {
                let y = b[1].clone().map(|part| T::small(i64::from(*digit)) * part);
                go_on(&take(None), Some([b[0].clone(), y]));
            }
        }
        if self.whole {
            go_on(&take(None), Some([pair(words, 6), pair(words, 8)]));
            let (third, _) = end(&b, &[zero(), zero(), zero()]);
            let line = take(Some(third));
            go_on(&line, Some([pair(words, 10), b[1].clone()]));
            out.extend(end(&b, &line).1);
        }
        out
    }

    fn weight(&self, _: usize) -> Weight {
        // As the circuit counts: every tangent as one with a line before.
        let [point, tangent, chord, end] = TwistLines::weights();
        let times = |weight: Weight, count: usize| weight * Weight([count as u64, 0, 0, 0]);
        let chords = self.digits.iter().filter(|digit| **digit != 0).count() + 2 * usize::from(self.whole);
        point + times(tangent, self.digits.len()) + times(chord, chords) + times(end, usize::from(self.whole))
    }
}
