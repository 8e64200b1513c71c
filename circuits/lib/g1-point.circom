pragma circom 2.1.6;

include "closing.circom";

// Points of G1 as the pairing's lines want them: (U, V) with U = -x / y and V = 1 / y. The curve y^2 = x^3 + 3, times
// V^3, is V = -U^3 + 3 V^3. V = 0 forces U = 0, and (0, 0) is the point at infinity: its lines are 1, and so is its
// pairing. No other pair is special, for no point of G1 has y = 0: its order is a prime, r.

// What the relations of one point weigh: U U = U2; V V = V2; V + U U2 - 3 V V2 = 0.
function g1PointWeights() {
    return [0, 3, 6, 0];
}

// (U, V) is a point of the curve, or (0, 0).
//
// word: U, V, U^2, V^2 at y. nu: of the three relations. weighted: for Closing. Rows: 7.
template G1Point() {
    signal input word[4];
    signal input nu[3];
    signal output weighted[3];
    signal product[4];
    product[0] <== word[0] * word[0];
    product[1] <== word[1] * word[1];
    product[2] <== word[0] * word[2];
    product[3] <== word[1] * word[3];
    weighted[0] <== nu[0] * (product[0] - word[2]);
    weighted[1] <== nu[1] * (product[1] - word[3]);
    weighted[2] <== nu[2] * (word[1] + product[2] - 3 * product[3]);
}

// n points are on the curve: the smallest statement that takes every part of the machinery. digest: binds the words.
//
// word: U, V, U^2, V^2 of each point in limbs. y, k, c: as Closing has them.
template G1Points(n) {
    signal input word[4 * n][4];
    signal input k[16];
    signal input c[36];
    signal input y;
    signal output digest;
    var WEIGHTS[4] = g1PointWeights();
    component opening = ClaimOpening(4 * n, 3 * n, 1);
    opening.word <== word;
    opening.y <== y;
    digest <== opening.digest;
    component point[n];
    component closing = Closing(3 * n, n * WEIGHTS[0], n * WEIGHTS[1], n * WEIGHTS[2], n * WEIGHTS[3]);
    for (var i = 0; i < n; i++) {
        point[i] = G1Point();
        for (var j = 0; j < 4; j++) {
            point[i].word[j] <== opening.at[4 * i + j];
        }
        for (var j = 0; j < 3; j++) {
            point[i].nu[j] <== opening.nu[(3 * i + j) % 36];
        }
        for (var j = 0; j < 3; j++) {
            closing.weighted[3 * i + j] <== point[i].weighted[j];
        }
    }
    closing.mu <== opening.mu;
    closing.state <== opening.next;
    closing.k <== k;
    closing.c <== c;
    closing.power <== opening.power;
}
