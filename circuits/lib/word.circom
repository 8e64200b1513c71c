pragma circom 2.1.6;

// Elements of the base field Fp of BN254 in circuits over its scalar field Fr, where they do not fit. A word is any
// integer below 2^254 in four limbs of 64, 64, 64 and 62 bits, lowest first; it stands for its class mod p. Nothing
// compares words or hashes a class: every claim is a congruence mod p, and a word w + p in the place of w is harmless
// because what is hashed is the word, before any challenge.
//
// A word as a polynomial is w(Y) = w0 + w1 Y^2 + w2 Y^4 + w3 Y^6, and w(2^32) is the word. Arithmetic is done on values
// w(y) at one random y; Closing says why that is enough.

// One word: its value at y, and its 254 bits as what the transcript absorbs.
//
// limb: hints, pinned here to their widths. power: y^2, y^4, y^6. at: w(y). pack: bits 0 to 252 as a number; spill: bit
// 253. (pack, spill) is one to one with the word: pack < 2^253 < r. A number of 254 bits would not be, mod r. Rows: 254
// for bits, 3 for the value, 1 (linear) for the pack.
template Word() {
    signal input limb[4];
    signal input power[3];
    signal output at;
    signal output pack;
    signal output spill;
    signal wordBit[4][63];
    for (var k = 0; k < 4; k++) {
        // As in Range: the lowest bit is what the others leave over.
        var bits = k == 3 ? 62 : 64;
        var rest = limb[k];
        for (var i = 1; i < bits; i++) {
            wordBit[k][i - 1] <-- (limb[k] >> i) & 1;
            wordBit[k][i - 1] * (wordBit[k][i - 1] - 1) === 0;
            rest -= wordBit[k][i - 1] * 2**i;
        }
        rest * (rest - 1) === 0;
    }
    for (var i = 61; i < 63; i++) {
        wordBit[3][i] <== 0;
    }
    signal term[2];
    term[0] <== limb[1] * power[0];
    term[1] <== limb[2] * power[1];
    at <== limb[3] * power[2] + limb[0] + term[0] + term[1];
    spill <== wordBit[3][60];
    pack <== limb[0] + limb[1] * 2**64 + limb[2] * 2**128 + (limb[3] - spill * 2**61) * 2**192;
}

// n words of one section of the transcript.
//
// at: their values at y. element: what the section absorbs for them: n packs, then the spills, 253 an element. All of
// it goes into the same section: a spill that is absorbed after a challenge is a bit that the prover chooses knowing
// it. Rows: 258 n, and 1 (linear) for every 253 spills.
template Words(n) {
    signal input limb[n][4];
    signal input power[3];
    var spills = (n + 252) \ 253;
    signal output at[n];
    signal output element[n + spills];
    component word[n];
    for (var i = 0; i < n; i++) {
        word[i] = Word();
        word[i].limb <== limb[i];
        word[i].power <== power;
        at[i] <== word[i].at;
        element[i] <== word[i].pack;
    }
    for (var s = 0; s < spills; s++) {
        var sum = 0;
        for (var i = 253 * s; i < n && i < 253 * (s + 1); i++) {
            sum += word[i].spill * 2**(i - 253 * s);
        }
        element[n + s] <== sum;
    }
}
