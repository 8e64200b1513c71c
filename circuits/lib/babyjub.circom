pragma circom 2.1.6;

include "babyjub-constants.circom";
include "bits.circom";

// BabyJubJub: a x^2 + y^2 = 1 + d x^2 y^2 with a = 168700 (a square), d = 168696 (none), over the scalar field of
// BN254. Its group is cyclic of order 8 l, l prime, 2^250 < l < 2^251. The same curve as Montgomery has it: v^2 = u^3 +
// A u^2 + u with A = 168698, by u = (1 + y) / (1 - y), v = u / x. EIP-2494.
//
// A quotient q = a / b is a hint with the row q b = a, which pins it iff b is not 0: each template says why b is not.

// (x, y) is a point of the curve.
//
// x, y: any field elements. x2, y2: their squares. Rows: 3.
template OnCurve() {
    signal input x;
    signal input y;
    signal output x2;
    signal output y2;
    x2 <== x * x;
    y2 <== y * y;
    168696 * x2 * y2 === 168700 * x2 + y2 - 1;
}

// (x, y) = (x1, y1) + (x2, y2).
//
// Inputs: two points of the curve, any, the caller's duty. Rows: 6.
//
// Why: a is a square and d is not, so the law is complete: d x1 x2 y1 y2 is never 1 or -1 on the curve.
template EdwardsAdd() {
    signal input x1;
    signal input y1;
    signal input x2;
    signal input y2;
    signal output x;
    signal output y;
    signal beta <== x1 * y2;
    signal gamma <== y1 * x2;
    signal delta <== (y1 - 168700 * x1) * (x2 + y2);
    signal tau <== beta * gamma;
    x <-- (beta + gamma) / (1 + 168696 * tau);
    x * (1 + 168696 * tau) === beta + gamma;
    // delta = y1 y2 - a x1 x2 - a beta + gamma
    y <-- (delta + 168700 * beta - gamma) / (1 - 168696 * tau);
    y * (1 - 168696 * tau) === delta + 168700 * beta - gamma;
}

// (x, y) = 2 (x1, y1), given the squares of x1 and y1.
//
// Inputs: a point of the curve, any, and its squares, the caller's duty. Rows: 3.
//
// Why: the sum of equal points, with d x1^2 y1^2 replaced by the curve's equation; the denominators are those of
// EdwardsAdd.
template EdwardsDouble() {
    signal input x1;
    signal input y1;
    signal input squareX;
    signal input squareY;
    signal output x;
    signal output y;
    signal xy <== x1 * y1;
    var sum = 168700 * squareX + squareY;
    x <-- 2 * xy / sum;
    x * sum === 2 * xy;
    y <-- (squareY - 168700 * squareX) / (2 - sum);
    y * (2 - sum) === squareY - 168700 * squareX;
}

// 4 A of a public key A: in Edwards form (x, y), and in Montgomery form (u, v). No solution if A is no point of the
// curve, or if 8 A is neutral.
//
// ax, ay: any field elements. Rows: 14.
//
// Why: 8 A is neutral iff 4 A is neutral or (0, -1), the one point of order 2; both have x = 0, and no other point of
// the curve has. So x != 0, whose inverse is one row, refuses just those, and then y != 1 and the map to (u, v) is
// defined. Its v is not 0.
template KeyTimesFour() {
    signal input ax;
    signal input ay;
    signal output x;
    signal output y;
    signal output u;
    signal output v;
    component curve = OnCurve();
    curve.x <== ax;
    curve.y <== ay;
    component twice = EdwardsDouble();
    twice.x1 <== ax;
    twice.y1 <== ay;
    twice.squareX <== curve.x2;
    twice.squareY <== curve.y2;
    signal twiceX2 <== twice.x * twice.x;
    signal twiceY2 <== twice.y * twice.y;
    component four = EdwardsDouble();
    four.x1 <== twice.x;
    four.y1 <== twice.y;
    four.squareX <== twiceX2;
    four.squareY <== twiceY2;
    x <== four.x;
    y <== four.y;
    signal inverse;
    inverse <-- 1 / x;
    x * inverse === 1;
    u <-- (1 + y) / (1 - y);
    u * (1 - y) === 1 + y;
    v <== u * inverse;
}

// (x, y) = scalar * B8, in Edwards form, for the generator B8 of the subgroup of order l. No solution for scalar >= l.
//
// scalar: any field element. Rows: 819 at O1 (816 at O2).
//
// Why. The 251 bits of scalar spell a number below 2^251 < p, and the bound makes it less than l: one row of bits. Bits
// 2k and 2k + 1, as signs s0 and s1, are the digit D = s0 + 2 s1 in {-3, -1, 1, 3} of 4^k, and with B' = B8 / 2
//   sum over k < 125 of D 4^k B' = (scalar mod 2^250) B8 - (4^125 - 1) B'.
// +-D is 3 iff both bits are equal: one product gives u of the digit's point, and v is a sum over the signs. Additions
// are chords, defined if the two points are not equal or opposite. The sum of the windows before k is m B' with m odd
// and |m| < 4^k, window k adds D 4^k B' with 4^k <= |D 4^k| < 4^(k+1): m +- D 4^k is not 0, and smaller than 4^(k+1) <=
// 4^125 < l, so it is not 0 mod l.
// The sum of all is m B' with m odd and |m| < 4^125 < l, a point of order l, so its v is not 0; u = -1 has no point,
// since A - 2 = d is no square. The last addition, of the shift and of bit 250, is the complete one.
template BaseTimes() {
    signal input scalar;
    signal output x;
    signal output y;
    var table[500] = babyJubWindows();
    var shift[4] = babyJubShift();
    var A = 168698;

    var L_MINUS_1 = 2736030358979909402780800718157159386076813972158567259200215660948447373040;
    component bits = ToBits(251);
    bits.in <== scalar;
    component bound = DigitsBound(251, 0, L_MINUS_1 >> 128, L_MINUS_1 & (2**128 - 1), 1);
    bound.digit <== bits.out;
    bound.unit <== 1;

    signal both[125];
    signal slope[124];
    signal sumU[124];
    signal sumV[124];
    var u;
    var v;
    for (var k = 0; k < 125; k++) {
        var b0 = bits.out[2 * k];
        var b1 = bits.out[2 * k + 1];
        both[k] <== b0 * b1;
        var equal = 1 - b0 - b1 + 2 * both[k];
        var windowU = table[4 * k] + equal * (table[4 * k + 1] - table[4 * k]);
        var windowV = table[4 * k + 2] * (2 * b0 - 1) + table[4 * k + 3] * (2 * b1 - 1);
        if (k == 0) {
            u = windowU;
            v = windowV;
        } else {
            slope[k - 1] <-- (windowV - v) / (windowU - u);
            slope[k - 1] * (windowU - u) === windowV - v;
            sumU[k - 1] <== slope[k - 1] * slope[k - 1] - A - u - windowU;
            sumV[k - 1] <== slope[k - 1] * (u - sumU[k - 1]) - v;
            u = sumU[k - 1];
            v = sumV[k - 1];
        }
    }
    component last = EdwardsAdd();
    signal edwardsX;
    signal edwardsY;
    edwardsX <-- u / v;
    edwardsX * v === u;
    edwardsY <-- (u - 1) / (u + 1);
    edwardsY * (u + 1) === u - 1;
    last.x1 <== edwardsX;
    last.y1 <== edwardsY;
    last.x2 <== shift[0] + bits.out[250] * (shift[2] - shift[0]);
    last.y2 <== shift[1] + bits.out[250] * (shift[3] - shift[1]);
    x <== last.x;
    y <== last.y;
}

// (x, y) = -(2 e + 1) P, in Edwards form, for a challenge e as a number below the modulus and P in Montgomery form.
//
// challenge: any field element, see below. u, v: a point P of the curve of order l or 2 l, the caller's duty.
// Rows: 1,667.
//
// Why the bits are those of e. The number spelled is N = e + 12 l, of 255 bits with the top bit 1. The other 254 are
// b = (s + 1) / 2 for signs s. The signal sign[i] = s v carries one: sign^2 = v^2 has the roots v and -v, which differ
// since v is not 0 (P is not of order 2). The sum row says N = e + 12 l mod p, the two bounds say 12 l <= N < 12 l + p:
// so N is that number, and e has one row of bits. 24 l P is neutral, so (2 N + 1) P = (2 e + 1) P.
// Why the steps are additions. The top bit gives 3 P. Each further bit does Q -> (Q + s P) + Q, so Q = m P with
// m = 2 n + 1 for the number n that the bits up to there spell. A chord is undefined for equal and opposite points:
//   Q and s P: their u are equal iff m is 1 or -1 mod the order of P, and then n is 0 or -1 mod l. n is at least 1, and
//     less than l - 1 while it has less than 251 bits. For the last four steps a row says that the u differ. (It is met
//     for order 2 l alone: there Q may be of order 2, and the next Q is s P. A free slope would be a forgery.)
//   Q + s P and Q: s P is not neutral, so their u are equal iff 2 Q + s P is neutral. Then the row reads 0 = 2 v, and v
//     is 0 only for Q of order 2, where 2 Q + s P = s P. So it has no solution.
//   3 P: the tangent divides by 2 v; the chord after it is defined since 3 P is not neutral.
// So what is accepted is right, for every input. Refused although it may be right: challenges for which one of the last
// chords is undefined or the result has v = 0. For these N >> i is 0 or -1 mod l for an i from 1 on, or (l - 1) / 2 for
// any i. They are 60 numbers, 52 if P is of order 2 l. The challenge is to be a hash: nobody finds one of 60 values.
template MinusKeyTimesOdd() {
    signal input challenge;
    signal input u;
    signal input v;
    signal output x;
    signal output y;
    var A = 168698;
    // 12 l - 2^254
    var LOW = 3884341998429863977476862365713935669604271499492666100538191929403086066508;
    assert(LOW == 12 * 2736030358979909402780800718157159386076813972158567259200215660948447373041 - 4 * 2**252);

    signal square <== v * v;
    signal sign[254];
    signal slopeOne[254];
    signal middleU[254];
    signal slopeTwo[254];
    signal sumU[254];
    signal sumV[254];

    // 3 P = (P + P) + P.
    signal u2 <== u * u;
    signal tangent;
    tangent <-- (3 * u2 + 2 * A * u + 1) / (2 * v);
    tangent * 2 * v === 3 * u2 + 2 * A * u + 1;
    signal twiceU <== tangent * tangent - A - 2 * u;
    signal chord;
    chord <-- 2 * v / (u - twiceU) - tangent;
    (tangent + chord) * (u - twiceU) === 2 * v;
    signal threeU <== chord * chord - A - u - twiceU;
    signal threeV <== chord * (u - threeU) - v;

    // N - 2^254, which may be more than p, in two parts.
    var MASK = 2**128 - 1;
    var numberLow = (challenge & MASK) + (LOW & MASK);
    var numberHigh = (challenge >> 128) + (LOW >> 128) + (numberLow >> 128);
    var total = 0;
    signal apart[4];
    var atU = threeU;
    var atV = threeV;
    for (var i = 253; i >= 0; i--) {
        var shifted = i < 128 ? numberLow >> i : numberHigh >> (i - 128);
        sign[i] <-- (shifted & 1) == 1 ? v : -v;
        sign[i] * sign[i] === square;
        total += 2**i * sign[i];
        if (i < 4) {
            apart[i] <-- 1 / (u - atU);
            apart[i] * (u - atU) === 1;
        }
        slopeOne[i] <-- (sign[i] - atV) / (u - atU);
        slopeOne[i] * (u - atU) === sign[i] - atV;
        middleU[i] <== slopeOne[i] * slopeOne[i] - A - atU - u;
        slopeTwo[i] <-- 2 * atV / (atU - middleU[i]) - slopeOne[i];
        (slopeOne[i] + slopeTwo[i]) * (atU - middleU[i]) === 2 * atV;
        sumU[i] <== slopeTwo[i] * slopeTwo[i] - A - atU - middleU[i];
        sumV[i] <== slopeTwo[i] * (atU - sumU[i]) - atV;
        atU = sumU[i];
        atV = sumV[i];
    }
    // sum of s 2^i = 2 sum of b 2^i - (2^254 - 1)
    v * (2 * (challenge + LOW) - (4 * 2**252 - 1)) === total;
    component low = DigitsBound(254, -1, LOW >> 128, LOW & MASK, 0);
    var HIGH = (LOW & MASK) + (-1 & MASK);
    component high = DigitsBound(254, -1, (LOW >> 128) + (-1 >> 128) + (HIGH >> 128), HIGH & MASK, 1);
    low.digit <== sign;
    high.digit <== sign;
    low.unit <== v;
    high.unit <== v;

    // The result may be of order 2, where v is 0: a row says it is not. u = -1 has no point.
    signal inverse;
    inverse <-- 1 / atV;
    inverse * atV === 1;
    x <== -atU * inverse;
    y <-- (atU - 1) / (atU + 1);
    y * (atU + 1) === atU - 1;
}
