pragma circom 2.1.6;

include "bits.circom";
include "transcript.circom";

// Random multipliers out of the transcript. A multiplier is a polynomial in Y of 8 coefficients of 15 bits each: 2^120
// of them. At Y = 2^32 the coefficients do not overlap: the values are below 2^(7 * 32 + 15) = 2^239 < p, so different
// polynomials are different numbers mod p and their differences are units.

// The powers y^0 ... y^(n - 1). Rows: n - 2.
template Powers(n) {
    signal input y;
    signal output out[n];
    out[0] <== 1;
    out[1] <== y;
    for (var i = 2; i < n; i++) {
        out[i] <== out[i - 1] * y;
    }
}

// Two multipliers, at y, out of the lowest 240 bits of an element.
//
// element: any. power: y^1 to y^7. Rows: 322.
//
// Why canonical bits: an element below 2^254 - r has a second row of 254 bits that spells it, element + r. With n
// elements a prover could choose among 2^n lists of multipliers.
template Multipliers() {
    signal input element;
    signal input power[7];
    signal output out[2];
    // Fits below p, see above; and what Closing counts with.
    assert(7 * 32 + 15 < 254);
    component bits = ToBitsCanonical();
    bits.in <== element;
    signal term[2][6];
    for (var half = 0; half < 2; half++) {
        var sum = 0;
        for (var i = 0; i < 8; i++) {
            var part = 0;
            for (var j = 0; j < 15; j++) {
                part += bits.out[120 * half + 15 * i + j] * 2**j;
            }
            if (i == 0) {
                sum += part;
            } else if (i < 7) {
                term[half][i - 1] <== part * power[i - 1];
                sum += term[half][i - 1];
            } else {
                out[half] <== sum + part * power[6];
            }
        }
    }
}

// n multipliers from a transcript, at y.
//
// state: after the section that binds whatever the multipliers are for; that is the caller's duty. power: y^1 to y^7.
// next: the state to go on from. Rows: 323 for every two, 612 for every 32 beyond the first 32.
template Challenges(n) {
    signal input state[17];
    signal input power[7];
    signal output out[n];
    signal output next[17];
    var elements = (n + 1) \ 2;
    var blocks = (elements + 15) \ 16;
    component more[blocks - 1];
    component squeezed[blocks];
    component multipliers[elements];
    for (var b = 0; b < blocks; b++) {
        if (b > 0) {
            more[b - 1] = TranscriptSection(0, 0);
            if (b == 1) {
                more[0].state <== state;
            } else {
                more[b - 1].state <== more[b - 2].out;
            }
        }
        var size = elements - 16 * b < 16 ? elements - 16 * b : 16;
        squeezed[b] = Squeezed(size);
        if (b == 0) {
            squeezed[0].state <== state;
        } else {
            squeezed[b].state <== more[b - 1].out;
        }
        for (var i = 0; i < size; i++) {
            var e = 16 * b + i;
            multipliers[e] = Multipliers();
            multipliers[e].element <== squeezed[b].out[i];
            multipliers[e].power <== power;
            out[2 * e] <== multipliers[e].out[0];
            if (2 * e + 1 < n) {
                out[2 * e + 1] <== multipliers[e].out[1];
            }
        }
    }
    if (blocks == 1) {
        next <== state;
    } else {
        next <== more[blocks - 2].out;
    }
}
