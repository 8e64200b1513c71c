pragma circom 2.1.6;

include "closing.circom";

// B, the proof's point of G2: that it is on the twist and in the subgroup of order r, and the lines of its Miller loop.
//
// Elements of Fp2 = Fp[u] / (u^2 + 1) are two words, the real one first. The twist is y^2 = x^3 + b'. A line y = l x -
// n has a slope l and an intercept n = l x - y. Each step of the loop has six words: l, n, and the abscissa x' of the
// point after it; ordinates never appear. All is affine, so B is not the point at infinity.
//
// The loop: T = B; for each signed digit of 6 x + 2 below its leading 1: T = 2 T, and T = T +- B where it is not 0;
// then T + psi(B) and T - psi^2(B), with psi the Frobenius of the twist. -psi^2(x, y) = (psi^2 x, y).
//
// Why the lines are the right ones. Let T be right before a step (the line before it, or for the first step the pair
// l = 0, n = y_B, gives T's ordinate as n_p - l_p x). Both lines meet at x: l x - n = n_p - l_p x = y, so the new line
// goes through T. Tangent: with x' = l^2 - 2 x and n = l x - y the third relation 2 x' x + x^2 = 2 n l is 2 l y = 3
// x^2. Linear in l, and y != 0, for the order of the twist is odd. Chord: the line goes through Q too, and x != x_Q
// leaves one slope. x = x_Q never happens, whatever point of the twist B is: T = -Q has no slope, and T = Q would leave
// it free, but for no prime factor of the twist's order is a prefix of the digits +-1, nor 6 x + 2 = +-mu, nor 6 x + 2
// + mu = +-mu^2 for an eigenvalue mu of psi. (The order is r c, c = 10069 * 5864401 * 1875725156269 * a prime of 178
// bits, all different. That depends on these very digits; circuit_constants.py recomputes it.)
//
// Why the subgroup. The end point is -psi^3(B): 6 x + 2 + psi - psi^2 + psi^3 annihilates B. Modulo psi^2 - t psi + p
// its norm has the greatest common divisor r with the order of the twist (recomputed there as well), so B has order r.

// What relations weigh (closing.circom).
function twistPointWeights() {
    return [0, 10, 22, 0];
}

function tangentWeights() {
    return [0, 10, 32, 0];
}

function chordWeights() {
    return [0, 14, 16, 0];
}

// The end, with what its abscissa, four products, adds to the last chord in the place of two words.
function twistEndWeights() {
    return [0, 2, 8, 8];
}

// B is on the twist, and its images under psi.
//
// word: x, y, x^2, psi(B)'s x and y, psi^2(B)'s x; two words each, at y. power: y^2, y^4, y^6, for constants. Rows: 27.
template TwistPoint() {
    signal input word[12];
    signal input power[3];
    signal input nu[10];
    signal output weighted[10];
    var B[2][4] = twistB();
    var PSI[9][4] = twistPsi();
    var b[2];
    for (var i = 0; i < 2; i++) {
        b[i] = B[i][0] + B[i][1] * power[0] + B[i][2] * power[1] + B[i][3] * power[2];
    }
    var psi[5];
    for (var i = 0; i < 5; i++) {
        psi[i] = PSI[i][0] + PSI[i][1] * power[0] + PSI[i][2] * power[1] + PSI[i][3] * power[2];
    }
    // Squares of x and y: (a + b u)^2 = (a - b)(a + b) + 2 a b u.
    signal square[2][2];
    for (var i = 0; i < 2; i++) {
        square[i][0] <== (word[2 * i] - word[2 * i + 1]) * (word[2 * i] + word[2 * i + 1]);
        square[i][1] <== 2 * word[2 * i] * word[2 * i + 1];
    }
    weighted[0] <== nu[0] * (square[0][0] - word[4]);
    weighted[1] <== nu[1] * (square[0][1] - word[5]);
    signal cube[3];
    cube[0] <== word[4] * word[0];
    cube[1] <== word[5] * word[1];
    cube[2] <== (word[4] + word[5]) * (word[0] + word[1]);
    weighted[2] <== nu[2] * (square[1][0] - cube[0] + cube[1] - b[0]);
    weighted[3] <== nu[3] * (square[1][1] - cube[2] + cube[0] + cube[1] - b[1]);
    // psi: (c + d u) conj(a + b u) = c a + d b + (d a - c b) u.
    signal image[2][4];
    for (var i = 0; i < 2; i++) {
        image[i][0] <== psi[2 * i] * word[2 * i];
        image[i][1] <== psi[2 * i + 1] * word[2 * i + 1];
        image[i][2] <== psi[2 * i + 1] * word[2 * i];
        image[i][3] <== psi[2 * i] * word[2 * i + 1];
        weighted[4 + 2 * i] <== nu[4 + 2 * i] * (image[i][0] + image[i][1] - word[6 + 2 * i]);
        weighted[5 + 2 * i] <== nu[5 + 2 * i] * (image[i][2] - image[i][3] - word[7 + 2 * i]);
    }
    signal second[2];
    for (var i = 0; i < 2; i++) {
        second[i] <== psi[4] * word[i];
        weighted[8 + i] <== nu[8 + i] * (second[i] - word[10 + i]);
    }
}

// l, n is the tangent at the point with abscissa x on the line before, x' the abscissa of twice that point.
//
// line: l, n, x'. before: l, n of the line before. Rows: 17.
template Tangent() {
    signal input line[6];
    signal input before[4];
    signal input x[2];
    signal input nu[6];
    signal output weighted[6];
    // l^2 = 2 x + x'
    signal square[2];
    square[0] <== (line[0] - line[1]) * (line[0] + line[1]);
    square[1] <== 2 * line[0] * line[1];
    weighted[0] <== nu[0] * (square[0] - 2 * x[0] - line[4]);
    weighted[1] <== nu[1] * (square[1] - 2 * x[1] - line[5]);
    // (l + l_p) x = n + n_p
    signal meet[3];
    meet[0] <== (line[0] + before[0]) * x[0];
    meet[1] <== (line[1] + before[1]) * x[1];
    meet[2] <== (line[0] + before[0] + line[1] + before[1]) * (x[0] + x[1]);
    weighted[2] <== nu[2] * (meet[0] - meet[1] - line[2] - before[2]);
    weighted[3] <== nu[3] * (meet[2] - meet[0] - meet[1] - line[3] - before[3]);
    // (2 x' + x) x = 2 n l
    signal left[3];
    left[0] <== (2 * line[4] + x[0]) * x[0];
    left[1] <== (2 * line[5] + x[1]) * x[1];
    left[2] <== (2 * line[4] + x[0] + 2 * line[5] + x[1]) * (x[0] + x[1]);
    signal right[3];
    right[0] <== line[0] * line[2];
    right[1] <== line[1] * line[3];
    right[2] <== (line[0] + line[1]) * (line[2] + line[3]);
    weighted[4] <== nu[4] * (left[0] - left[1] - 2 * (right[0] - right[1]));
    weighted[5] <== nu[5] * (left[2] - left[0] - left[1] - 2 * (right[2] - right[0] - right[1]));
}

// l, n is the chord through Q and the point with abscissa x on the line before, x' the abscissa of their sum.
//
// As Tangent; q: Q's coordinates. Rows: 14.
template Chord() {
    signal input line[6];
    signal input before[4];
    signal input x[2];
    signal input q[4];
    signal input nu[6];
    signal output weighted[6];
    // l^2 = x + x_Q + x'
    signal square[2];
    square[0] <== (line[0] - line[1]) * (line[0] + line[1]);
    square[1] <== 2 * line[0] * line[1];
    weighted[0] <== nu[0] * (square[0] - x[0] - q[0] - line[4]);
    weighted[1] <== nu[1] * (square[1] - x[1] - q[1] - line[5]);
    // (l + l_p) x = n + n_p
    signal meet[3];
    meet[0] <== (line[0] + before[0]) * x[0];
    meet[1] <== (line[1] + before[1]) * x[1];
    meet[2] <== (line[0] + before[0] + line[1] + before[1]) * (x[0] + x[1]);
    weighted[2] <== nu[2] * (meet[0] - meet[1] - line[2] - before[2]);
    weighted[3] <== nu[3] * (meet[2] - meet[0] - meet[1] - line[3] - before[3]);
    // l x_Q = n + y_Q
    signal through[3];
    through[0] <== line[0] * q[0];
    through[1] <== line[1] * q[1];
    through[2] <== (line[0] + line[1]) * (q[0] + q[1]);
    weighted[4] <== nu[4] * (through[0] - through[1] - line[2] - q[2]);
    weighted[5] <== nu[5] * (through[2] - through[0] - through[1] - line[3] - q[3]);
}

// The last chord's third point is psi^3(B): its abscissa goes in the place of x' there, and l x - n is its ordinate.
//
// point: B's x and y. line: l and n of the last chord. x: psi^3(B)'s. Rows: 13.
template TwistEnd() {
    signal input point[4];
    signal input line[4];
    signal input power[3];
    signal input nu[2];
    signal output x[2];
    signal output weighted[2];
    var PSI[9][4] = twistPsi();
    var psi[4];
    for (var i = 0; i < 4; i++) {
        psi[i] = PSI[5 + i][0] + PSI[5 + i][1] * power[0] + PSI[5 + i][2] * power[1] + PSI[5 + i][3] * power[2];
    }
    signal part[2][2];
    signal y[2];
    part[0][0] <== psi[0] * point[0];
    x[0] <== psi[1] * point[1] + part[0][0];
    part[0][1] <== psi[1] * point[0];
    x[1] <== part[0][1] - psi[0] * point[1];
    part[1][0] <== psi[2] * point[2];
    y[0] <== psi[3] * point[3] + part[1][0];
    part[1][1] <== psi[3] * point[2];
    y[1] <== part[1][1] - psi[2] * point[3];
    signal product[3];
    product[0] <== line[0] * x[0];
    product[1] <== line[1] * x[1];
    product[2] <== (line[0] + line[1]) * (x[0] + x[1]);
    weighted[0] <== nu[0] * (product[0] - product[1] - line[2] - y[0]);
    weighted[1] <== nu[1] * (product[2] - product[0] - product[1] - line[3] - y[1]);
}

// How many chords digits have.
function twistChords(steps, digits) {
    var chords = 0;
    for (var i = 0; i < steps; i++) {
        chords += digits[i] == 0 ? 0 : 1;
    }
    return chords;
}

// B and all lines of its loop. whole = 0 leaves out the end, and then says nothing of the subgroup: for tests of few
// steps.
//
// word: at y, the 12 of TwistPoint and 6 a line, in the loop's order; the last line has no x'. nu: all 36. first: the
// place of the first relation. Rows: 27, 17 a tangent, 14 a chord, 13.
template TwistLoop(steps, digits, whole, first) {
    var chords = twistChords(steps, digits) + 2 * whole;
    var lines = steps + chords;
    signal input word[12 + 6 * lines - 2 * whole];
    signal input power[3];
    signal input nu[36];
    signal output weighted[10 + 6 * lines + 2 * whole];

    component point = TwistPoint();
    point.power <== power;
    for (var i = 0; i < 12; i++) {
        point.word[i] <== word[i];
    }
    for (var i = 0; i < 10; i++) {
        point.nu[i] <== nu[(first + i) % 36];
    }
    for (var i = 0; i < 10; i++) {
        weighted[i] <== point.weighted[i];
    }
    component end[whole];
    if (whole == 1) {
        end[0] = TwistEnd();
        end[0].power <== power;
        for (var i = 0; i < 4; i++) {
            end[0].point[i] <== word[i];
            end[0].line[i] <== word[12 + 6 * (lines - 1) + i];
        }
        for (var i = 0; i < 2; i++) {
            end[0].nu[i] <== nu[(first + 10 + 6 * lines + i) % 36];
        }
        for (var i = 0; i < 2; i++) {
            weighted[10 + 6 * lines + i] <== end[0].weighted[i];
        }
    }

    component tangent[steps];
    component chord[chords];
    var line = 0;
    var at = 0;
    for (var step = 0; step < steps + 2 * whole; step++) {
        if (step < steps) {
            tangent[step] = Tangent();
            for (var i = 0; i < 6; i++) {
                tangent[step].line[i] <== word[12 + 6 * line + i];
                tangent[step].nu[i] <== nu[(first + 10 + 6 * line + i) % 36];
            }
            for (var i = 0; i < 2; i++) {
                // Before the first step: a line of slope 0 through (x, -y), that is n = y.
                tangent[step].before[i] <== line == 0 ? 0 : word[6 + 6 * line + i];
                tangent[step].before[2 + i] <== line == 0 ? word[2 + i] : word[8 + 6 * line + i];
                tangent[step].x[i] <== line == 0 ? word[i] : word[10 + 6 * line + i];
            }
            for (var i = 0; i < 6; i++) {
                weighted[10 + 6 * line + i] <== tangent[step].weighted[i];
            }
            line++;
        }
        if (step >= steps || digits[step < steps ? step : 0] != 0) {
            chord[at] = Chord();
            for (var i = 0; i < 6; i++) {
                if (step == steps + 1 && i >= 4) {
                    chord[at].line[i] <== end[0].x[i - 4];
                } else {
                    chord[at].line[i] <== word[12 + 6 * line + i];
                }
                chord[at].nu[i] <== nu[(first + 10 + 6 * line + i) % 36];
            }
            for (var i = 0; i < 2; i++) {
                chord[at].before[i] <== word[6 + 6 * line + i];
                chord[at].before[2 + i] <== word[8 + 6 * line + i];
                chord[at].x[i] <== word[10 + 6 * line + i];
                if (step < steps) {
                    chord[at].q[i] <== word[i];
                    chord[at].q[2 + i] <== digits[step < steps ? step : 0] * word[2 + i];
                } else if (step == steps) {
                    chord[at].q[i] <== word[6 + i];
                    chord[at].q[2 + i] <== word[8 + i];
                } else {
                    chord[at].q[i] <== word[10 + i];
                    chord[at].q[2 + i] <== word[2 + i];
                }
            }
            for (var i = 0; i < 6; i++) {
                weighted[10 + 6 * line + i] <== chord[at].weighted[i];
            }
            at++;
            line++;
        }
    }
}

// B is a point of the twist, of the subgroup for whole = 1, and the words are the lines of its loop. digest: binds
// them.
//
// digits: 64, of which `steps` count, highest first. word: limbs. y, k, c: as Closing has them.
template TwistLines(steps, digits, whole) {
    var chords = twistChords(steps, digits) + 2 * whole;
    var lines = steps + chords;
    var words = 12 + 6 * lines - 2 * whole;
    var relations = 10 + 6 * lines + 2 * whole;
    signal input word[words][4];
    signal input k[16];
    signal input c[36];
    signal input y;
    signal output digest;
    var POINT[4] = twistPointWeights();
    var TANGENT[4] = tangentWeights();
    var CHORD[4] = chordWeights();
    var END[4] = twistEndWeights();
    var t[4];
    for (var i = 0; i < 4; i++) {
        t[i] = POINT[i] + steps * TANGENT[i] + chords * CHORD[i] + whole * END[i];
    }

    component opening = ClaimOpening(words, relations, 2);
    opening.word <== word;
    opening.y <== y;
    digest <== opening.digest;
    component loop = TwistLoop(steps, digits, whole, 0);
    loop.word <== opening.at;
    loop.nu <== opening.nu;
    for (var i = 0; i < 3; i++) {
        loop.power[i] <== opening.power[2 * i + 2];
    }
    component closing = Closing(relations, t[0], t[1], t[2], t[3]);
    closing.weighted <== loop.weighted;
    closing.mu <== opening.mu;
    closing.state <== opening.next;
    closing.k <== k;
    closing.c <== c;
    closing.power <== opening.power;
}
