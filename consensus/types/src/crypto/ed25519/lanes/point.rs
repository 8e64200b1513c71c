//! Eight curve points side by side: decompression and the additions that a sum of multiples takes.
//!
//! The formulas are those of Hisil, Wong, Carter and Dawson for −x² + y² = 1 + d·x²·y² with a = −1 a square and d none:
//! they hold for **every** pair of points on the curve, equal, opposite, neutral or of small order, so nothing here asks
//! which case it is.

use super::field::{Field, Limbs, load, pow_p58, store};
use core::arch::x86_64::{__m512i, __mmask8, _mm512_shuffle_i64x2, _mm512_unpackhi_epi64, _mm512_unpacklo_epi64};

/// d = −121665/121666.
const D: Limbs = [0x34dca135978a3, 0x1a8283b156ebd, 0x5e7a26001c029, 0x739c663a03cbb, 0x52036cee2b6ff];
const TWICE_D: Limbs = [0x69b9426b2f159, 0x35050762add7a, 0x3cf44c0038052, 0x6738cc7407977, 0x2406d9dc56dff];
/// 2^((p − 1)/4), a square root of −1.
const ROOT_OF_MINUS_ONE: Limbs = [0x61b274a0ea0b0, 0xd5a5fc8f189d, 0x7ef5e9cbd0c60, 0x78595a6804c9e, 0x2b8324804fc1d];
const ZERO: Limbs = [0; 5];
const ONE: Limbs = [1, 0, 0, 0, 0];

/// One point in memory, ready to be added: y + x, y − x and 2·d·x·y, five limbs each; the last word is unused.
pub(super) type Stored = [u64; 16];
/// One point in memory as a bucket holds it: X, Y, Z, T, five limbs each; the last four words are unused.
pub(super) type Bucket = [[u64; 8]; 3];

/// The neutral point as a bucket.
pub(super) const NEUTRAL: Bucket = {
    let mut bucket = [[0; 8]; 3];
    bucket[0][5] = 1;
    bucket[1][2] = 1;
    bucket
};

/// Affine points, as [`Stored`].
#[derive(Clone, Copy)]
pub(super) struct Affine {
    plus: Field,
    minus: Field,
    product: Field,
}

/// Extended coordinates: x = X/Z, y = Y/Z, x·y = T/Z.
#[derive(Clone, Copy)]
pub(super) struct Extended {
    x: Field,
    y: Field,
    z: Field,
    t: Field,
}

/// Rows to columns, and columns to rows: word j of row i is word i of row j.
#[inline]
#[target_feature(enable = "avx512f")]
fn transpose(rows: [__m512i; 8]) -> [__m512i; 8] {
    let mut columns = rows;
    for odd in 0..2 {
        let mut pairs = [rows[0]; 4];
        for k in 0..4 {
            pairs[k] = match odd {
                0 => _mm512_unpacklo_epi64(rows[2 * k], rows[2 * k + 1]),
                _ => _mm512_unpackhi_epi64(rows[2 * k], rows[2 * k + 1]),
            };
        }
        let a = _mm512_shuffle_i64x2::<0x44>(pairs[0], pairs[1]);
        let b = _mm512_shuffle_i64x2::<0xee>(pairs[0], pairs[1]);
        let c = _mm512_shuffle_i64x2::<0x44>(pairs[2], pairs[3]);
        let d = _mm512_shuffle_i64x2::<0xee>(pairs[2], pairs[3]);
        columns[odd] = _mm512_shuffle_i64x2::<0x88>(a, c);
        columns[odd + 2] = _mm512_shuffle_i64x2::<0xdd>(a, c);
        columns[odd + 4] = _mm512_shuffle_i64x2::<0x88>(b, d);
        columns[odd + 6] = _mm512_shuffle_i64x2::<0xdd>(b, d);
    }
    columns
}

/// Decompresses eight points as ZIP-215 says: y is taken mod p, and the sign bit counts for nothing where x = 0. Returns
/// them and in which lanes the bytes are a point; in the others the answer means nothing.
///
/// Cost: the square root, 254 squarings in a row. They keep the multiplier busy: two roots at once are no faster.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn decompress(bytes: &[[u8; 32]; 8]) -> (Affine, __mmask8) {
    let one = Field::splat(&ONE);
    let y = Field::from_bytes(bytes);
    let yy = y.square();
    let u = yy.sub(&one);
    let v = yy.mul(&Field::splat(&D)).add(&one);
    // x = u·v³·(u·v⁷)^((p − 5)/8), as in RFC 8032, section 5.1.3. v is never 0, since −1/d is no square.
    let v3 = v.square().mul(&v);
    let start = u.mul(&v3);
    let x = start.mul(&pow_p58(&start.mul(&v3.mul(&v))));
    let check = x.square().mul(&v);
    let is_root = check.sub(&u).is_zero();
    let valid = is_root | check.add(&u).is_zero();
    let x = x.mul(&Field::splat(&ROOT_OF_MINUS_ONE)).select(&x, is_root);
    let mut sign = 0;
    for (lane, bytes) in bytes.iter().enumerate() {
        sign |= (bytes[31] >> 7) << lane;
    }
    let x = x.select(&Field::splat(&ZERO).sub(&x), x.is_odd() ^ sign);
    let product = x.mul(&y).mul(&Field::splat(&TWICE_D));
    (Affine { plus: y.add(&x), minus: y.sub(&x), product }, valid)
}

impl Affine {
    /// The same point in every lane.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(super) fn splat(point: &Stored) -> Affine {
        let [plus, minus, product] = [&point[0..5], &point[5..10], &point[10..15]]
            .map(|limbs| [limbs[0], limbs[1], limbs[2], limbs[3], limbs[4]]);
        Affine { plus: Field::splat(&plus), minus: Field::splat(&minus), product: Field::splat(&product) }
    }

    /// One point for each lane's place in memory.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(super) fn store(&self) -> [Stored; 8] {
        let mut points = [[0; 16]; 8];
        let mut word = 0;
        for field in [&self.plus, &self.minus, &self.product] {
            for limb in field.limbs() {
                let mut lanes = [0; 8];
                store(&mut lanes, limb);
                for lane in 0..8 {
                    points[lane][word] = lanes[lane];
                }
                word += 1;
            }
        }
        points
    }
}

impl Extended {
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(super) fn neutral() -> Extended {
        let (zero, one) = (Field::splat(&ZERO), Field::splat(&ONE));
        Extended { x: zero, y: one, z: one, t: zero }
    }

    /// The points in `buckets[at[i]]`, one a lane.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(super) fn gather(buckets: &[Bucket], at: &[usize; 8]) -> Extended {
        let zero = load(&[0; 8]);
        let mut words = [[zero; 8]; 3];
        for (third, words) in words.iter_mut().enumerate() {
            for lane in 0..8 {
                words[lane] = load(&buckets[at[lane]][third]);
            }
            *words = transpose(*words);
        }
        let [a, b, c] = words;
        Extended {
            x: Field::from_limbs([a[0], a[1], a[2], a[3], a[4]]),
            y: Field::from_limbs([a[5], a[6], a[7], b[0], b[1]]),
            z: Field::from_limbs([b[2], b[3], b[4], b[5], b[6]]),
            t: Field::from_limbs([b[7], c[0], c[1], c[2], c[3]]),
        }
    }

    /// The way back.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(super) fn scatter(&self, buckets: &mut [Bucket], at: &[usize; 8]) {
        let zero = load(&[0; 8]);
        let (x, y, z, t) = (self.x.limbs(), self.y.limbs(), self.z.limbs(), self.t.limbs());
        let words = [
            [x[0], x[1], x[2], x[3], x[4], y[0], y[1], y[2]],
            [y[3], y[4], z[0], z[1], z[2], z[3], z[4], t[0]],
            [t[1], t[2], t[3], t[4], zero, zero, zero, zero],
        ];
        for (third, words) in words.into_iter().enumerate() {
            let words = transpose(words);
            for lane in 0..8 {
                store(&mut buckets[at[lane]][third], words[lane]);
            }
        }
    }

    /// Adds `point`, or takes it off in the lanes of `negative`. Cost: 7 multiplications.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(super) fn add_affine(&self, point: &Affine, negative: __mmask8) -> Extended {
        // −(x, y) = (−x, y): y + x and y − x change places, and 2·d·x·y its sign.
        let a = self.y.sub(&self.x).mul(&point.minus.select(&point.plus, negative));
        let b = self.y.add(&self.x).mul(&point.plus.select(&point.minus, negative));
        let c = self.t.mul(&point.product);
        let d = self.z.add(&self.z);
        let (less, more) = (d.sub(&c), d.add(&c));
        Extended::from_efgh(&b.sub(&a), &less.select(&more, negative), &more.select(&less, negative), &b.add(&a))
    }

    /// Cost: 9 multiplications.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(super) fn add(&self, other: &Extended) -> Extended {
        let a = self.y.sub(&self.x).mul(&other.y.sub(&other.x));
        let b = self.y.add(&self.x).mul(&other.y.add(&other.x));
        let c = self.t.mul(&other.t).mul(&Field::splat(&TWICE_D));
        let d = self.z.mul(&other.z);
        let d = d.add(&d);
        Extended::from_efgh(&b.sub(&a), &d.sub(&c), &d.add(&c), &b.add(&a))
    }

    /// 2^`times` times the point. Cost: 4 multiplications and 4 squarings each.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(super) fn double(&self, times: usize) -> Extended {
        let mut point = *self;
        for _ in 0..times {
            let (a, b, c) = (point.x.square(), point.y.square(), point.z.square());
            let h = a.add(&b);
            let e = h.sub(&point.x.add(&point.y).square());
            let g = a.sub(&b);
            let f = c.add(&c).add(&g);
            point = Extended::from_efgh(&e, &f, &g, &h);
        }
        point
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn from_efgh(e: &Field, f: &Field, g: &Field, h: &Field) -> Extended {
        Extended { x: e.mul(f), y: g.mul(h), z: f.mul(g), t: e.mul(h) }
    }

    /// In which lanes the point is the neutral one: x = 0 and y = 1, so X = 0 and Y = Z.
    ///
    /// Z = 0 is no point, and no sum of points leads to it. Four zeros would stay zeros through every formula above and
    /// pass here in the end, so they are refused: arithmetic gone wrong is to say no.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(super) fn is_neutral(&self) -> __mmask8 {
        self.x.is_zero() & self.y.sub(&self.z).is_zero() & !self.z.is_zero()
    }
}

#[cfg(test)]
#[path = "point_tests.rs"]
mod tests;
