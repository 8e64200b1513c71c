pragma circom 2.1.6;

include "challenge.circom";
include "pairing-constants.circom";
include "word.circom";

// All congruences mod p at once. A relation is a polynomial R(Y) with integer coefficients, made of words' polynomials
// by sums and products of at most three; its claim is R(2^32) = 0 mod p. Relation j stands at place b = j mod 36 of
// block a = j div 36. With multipliers mu_a and nu_b drawn after every word is fixed, the prover gives k and C with
//
//     sum_a mu_a(Y) sum_b nu_b(Y) R_ab(Y) = k(Y) p(Y) + (Y - 2^32) C(Y),
//
// and after these are fixed the two sides are compared at one random y of Fr.
//
// Why that suffices. (1) Both sides are polynomials in Y fixed before y, of degree at most 36: if they differ in Fr[Y]
// they agree at y with probability 36/r. (2) Every coefficient of their difference is smaller than r (asserted, see
// closingCarryBits), so if they agree mod r they agree over the integers. (3) At Y = 2^32 the last term vanishes: the
// sum of mu_a nu_b R_ab is 0 mod p. (4) Let some R_ab not be 0 mod p. The mu_a, nu_b are drawn from 2^120 residues
// each, all different mod p (challenge.circom). For fixed nu the sum is linear in mu; it is the zero form only if, for
// each a, sum_b nu_b R_ab = 0: probability at most 2^-120 for the a in question; and if it is not the zero form, it
// vanishes with probability at most 2^-120. So 2^-119 in all, for each list of words that the prover tries.
//
// What a relation weighs is [t0, t1, t2, t3]: t_i is the sum of the absolute multipliers of its products of i words.
// Constants count as words where they are written in limbs, in t0 where they are small numbers.

// The worst coefficients, Y^0 first, of the left side for relations of these weights in all.
//
// The limbs of a word are at most 2^64 - 1 and 2^62 - 1, so no coefficient of a product of i words is larger than that
// of L^i, L = (2^64 - 1)(1 + Y^2 + Y^4) + (2^62 - 1) Y^6; multipliers are at most M = (2^15 - 1)(1 + ... + Y^7). The
// bound is M^2 (t0 + t1 L + t2 L^2 + t3 L^3). Nothing here wraps mod r: with weights below 2^16 each, a coefficient is
// below 4 * 2^16 * (64 * 2^30) * (64 * 2^192) = 2^252.
function closingBound(t0, t1, t2, t3) {
    var LIMB[7] = [2**64 - 1, 0, 2**64 - 1, 0, 2**64 - 1, 0, 2**62 - 1];
    var product[19];
    var sum[19];
    for (var i = 0; i < 19; i++) {
        product[i] = 0;
        sum[i] = 0;
    }
    product[0] = 1;
    sum[0] = t0;
    var t[3] = [t1, t2, t3];
    for (var d = 0; d < 3; d++) {
        var next[19];
        for (var i = 0; i < 19; i++) {
            next[i] = 0;
            for (var j = 0; j < 7; j++) {
                if (j <= i) {
                    next[i] += LIMB[j] * product[i - j];
                }
            }
        }
        for (var i = 0; i < 19; i++) {
            product[i] = next[i];
            sum[i] += t[d] * product[i];
        }
    }
    var out[33];
    for (var i = 0; i < 33; i++) {
        out[i] = 0;
    }
    for (var i = 0; i < 19; i++) {
        for (var j = 0; j < 15; j++) {
            out[i + j] += sum[i] * (j < 8 ? j + 1 : 15 - j) * (2**15 - 1)**2;
        }
    }
    return out;
}

// The bits of C's coefficients for relations of these weights: coefficients are written plus 2^(bits - 1). Asserts
// every bound there is.
//
// k is written in 16 limbs of 64 bits plus 2^1020. The left side at 2^32 must lie within 2^1020 p, p > 2^253: each of
// its 33 terms below 2^(1273 - 6). k p has, at any power, four products of limbs with |limb of k| < 2^64 (the offset
// moves limb 15 alone) and limbs of p below 2^64: 4 * 2^128.
// C: coefficient i is (C_(i-1) - D_i) / 2^32 for D = left side - k p, so |C_i| <= (|C_(i-1)| + |D_i|) / 2^32.
// Against wrapping: |left| + |k p| + |C_(i-1)| + 2^32 |C_i| < r for every power of Y, with C anywhere in its range.
function closingCarryBits(t0, t1, t2, t3) {
    assert(t0 < 2**16 && t1 < 2**16 && t2 < 2**16 && t3 < 2**16);
    var left[33] = closingBound(t0, t1, t2, t3);
    var carry = 0;
    var most = 0;
    var largest = 0;
    for (var i = 0; i < 37; i++) {
        var size = 4 * 2**128;
        if (i < 33) {
            size += left[i];
            var room = 1267 - 32 * i;
            assert(room > 251 || left[i] < 2**room);
        }
        carry = (carry + size) \ 2**32 + 1;
        most = carry > most ? carry : most;
        largest = size > largest ? size : largest;
    }
    var bits = 1;
    while (2**(bits - 1) <= most) {
        bits++;
    }
    assert(bits <= 219);
    // Below r / 2 (each term is below 2^252, so this sum does not wrap either), where r would be enough.
    assert(largest + 2**(bits - 1) + 2**(bits + 31) < 2**252);
    return bits;
}

// The multipliers of m relations: mu for their blocks, nu for their places.
//
// state: of the transcript after every word of every relation. Rows: those of Challenges.
template ClosingMultipliers(m) {
    signal input state[17];
    signal input power[7];
    var blocks = (m + 35) \ 36;
    signal output mu[blocks];
    signal output nu[36];
    signal output next[17];
    component challenges = Challenges(blocks + 36);
    challenges.state <== state;
    challenges.power <== power;
    for (var a = 0; a < blocks; a++) {
        mu[a] <== challenges.out[a];
    }
    for (var b = 0; b < 36; b++) {
        nu[b] <== challenges.out[blocks + b];
    }
    next <== challenges.next;
}

// The beginning of a claim whose words are all one section: their values at y, and the multipliers of its m relations.
//
// word: limbs. tag: the transcript's. digest: of the words. power: y^0 to y^35. Rows: 258 a word, the section's, the
// multipliers', 34.
template ClaimOpening(n, m, tag) {
    signal input word[n][4];
    signal input y;
    var blocks = (m + 35) \ 36;
    signal output digest;
    signal output at[n];
    signal output mu[blocks];
    signal output nu[36];
    signal output next[17];
    signal output power[36];
    component powers = Powers(36);
    powers.y <== y;
    power <== powers.out;
    component words = Words(n);
    component multipliers = ClosingMultipliers(m);
    words.limb <== word;
    for (var i = 0; i < 3; i++) {
        words.power[i] <== powers.out[2 * i + 2];
    }
    at <== words.at;
    component section = TranscriptSection(n + (n + 252) \ 253, tag);
    section.in <== words.element;
    component squeezed = Squeezed(1);
    squeezed.state <== section.out;
    digest <== squeezed.out[0];
    multipliers.state <== section.out;
    for (var i = 0; i < 7; i++) {
        multipliers.power[i] <== powers.out[i + 1];
    }
    mu <== multipliers.mu;
    nu <== multipliers.nu;
    next <== multipliers.next;
}

// The relations hold mod p.
//
// m: how many. t0 to t3: at least what they weigh in all, the caller's duty. weighted: per relation nu[j mod 36] times
// its value at y. mu, state: of ClosingMultipliers. k, c: hints, plus their offsets. power: y^0 to y^35. Rows, with C's
// bits w: 1,024 + 36 w for ranges, blocks + 52 for the equation, 3 blocks of the transcript, 7 linear ones.
template Closing(m, t0, t1, t2, t3) {
    signal input weighted[m];
    var blocks = (m + 35) \ 36;
    signal input mu[blocks];
    signal input state[17];
    signal input k[16];
    signal input c[36];
    signal input power[36];
    var CARRY = closingCarryBits(t0, t1, t2, t3);
    var P[1][4] = pairingModulus();

    component kRange[16];
    component cRange[36];
    component section = TranscriptSection(6 + 36, 0);
    section.state <== state;
    // Three limbs an element: 192 bits.
    for (var i = 0; i < 6; i++) {
        section.in[i] <== k[3 * i] + (i < 5 ? k[3 * i + 1] * 2**64 + k[3 * i + 2] * 2**128 : 0);
    }
    for (var i = 0; i < 36; i++) {
        section.in[6 + i] <== c[i];
    }
    // y is the transcript's, after k and C. It is an input only so that everything else can be computed from it.
    component squeezed = Squeezed(1);
    squeezed.state <== section.out;
    squeezed.out[0] === power[1];

    signal block[blocks];
    var left = 0;
    for (var a = 0; a < blocks; a++) {
        var sum = 0;
        for (var j = 36 * a; j < m && j < 36 * (a + 1); j++) {
            sum += weighted[j];
        }
        block[a] <== mu[a] * sum;
        left += block[a];
    }
    signal kTerm[16];
    var quotient = -(2**60) * power[30];
    for (var i = 0; i < 16; i++) {
        kRange[i] = Range(64);
        kRange[i].in <== k[i];
        kTerm[i] <== k[i] * power[2 * i];
        quotient += kTerm[i];
    }
    signal cTerm[36];
    var carry = 0;
    for (var i = 0; i < 36; i++) {
        cRange[i] = Range(CARRY);
        cRange[i].in <== c[i];
        cTerm[i] <== (c[i] - 2**(CARRY - 1)) * power[i];
        carry += cTerm[i];
    }
    signal multiple;
    multiple <== quotient * (P[0][0] + P[0][1] * power[2] + P[0][2] * power[4] + P[0][3] * power[6]);
    (power[1] - 2**32) * carry === left - multiple;
}
