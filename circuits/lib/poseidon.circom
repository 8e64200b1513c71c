pragma circom 2.1.6;

include "poseidon-constants.circom";

// Poseidon over the scalar field of BN254: x^5, 8 full rounds, circomlib's parameters. The only rows are those of the
// S-boxes, 3 each (square, fourth power, fifth power); all linear layers are expressions. Every signal is assigned by
// `<==`: there are no hints, and one output for every input.
// Source: eprint 2019/458. Constants and the form of the partial rounds: scripts/circuit_constants.py.

// Element 0 after the permutation of (0, in) for fixed = 1, of (0, head, in) for fixed = 2.
//
// t: 2 to 13 elements of state. in: any field elements. head: a constant. Rows: 3 (8 t + partial rounds - fixed):
// S-boxes of the first round on known elements are constants.
template PoseidonState(t, fixed, head) {
    signal input in[t - fixed];
    signal output out;
    assert(2 <= t && t <= 13);
    assert(fixed == 1 || fixed == 2);
    var n = t - 1;
    var PARTIAL = poseidonPartialRounds(t);
    var ENTER = 8 * t + PARTIAL;
    var FEEDBACK = ENTER + t * t;
    var TAPS = FEEDBACK + n;
    var EXIT = TAPS + n;
    var FULL = EXIT + n * n;
    var k[FULL + t * t] = poseidonConstants(t);

    var boxes = 8 * t + PARTIAL - fixed;
    signal square[boxes];
    signal fourth[boxes];
    signal fifth[boxes - 1];
    var at = 0;

    var s[t];
    var y[t];
    s[0] = 0;
    if (fixed == 2) {
        s[1] = head;
    }
    for (var i = fixed; i < t; i++) {
        s[i] = in[i - fixed];
    }
    for (var round = 0; round < 8; round++) {
        if (round == 4) {
            // Between the halves: the partial rounds as a recurrence, in the basis in which it has few constants.
            for (var step = 0; step < PARTIAL; step++) {
                var x = s[0] + k[8 * t + step];
                square[at] <== x * x;
                fourth[at] <== square[at] * square[at];
                fifth[at] <== fourth[at] * x;
                s[0] = k[FULL] * fifth[at];
                for (var i = 0; i < n; i++) {
                    s[0] += k[TAPS + i] * s[i + 1];
                }
                var last = s[n];
                for (var i = n; i > 0; i--) {
                    s[i] = (i == 1 ? fifth[at] : s[i - 1]) - k[FEEDBACK + i - 1] * last;
                }
                at++;
            }
            for (var i = 0; i < n; i++) {
                y[i] = 0;
                for (var j = 0; j < n; j++) {
                    y[i] += k[EXIT + i * n + j] * s[j + 1];
                }
            }
            for (var i = 0; i < n; i++) {
                s[i + 1] = y[i];
            }
        }
        for (var i = 0; i < t; i++) {
            s[i] += k[round * t + i];
        }
        if (round < 7) {
            for (var i = 0; i < t; i++) {
                if (round == 0 && i < fixed) {
                    y[i] = s[i]**5;
                } else {
                    square[at] <== s[i] * s[i];
                    fourth[at] <== square[at] * square[at];
                    fifth[at] <== fourth[at] * s[i];
                    y[i] = fifth[at];
                    at++;
                }
            }
            var matrix = round == 3 ? ENTER : FULL;
            for (var i = 0; i < t; i++) {
                s[i] = 0;
                for (var j = 0; j < t; j++) {
                    s[i] += k[matrix + i * t + j] * y[j];
                }
            }
        }
    }
    // The last fifth power and the sum that is the result share one row.
    var sum = 0;
    for (var i = 1; i < t; i++) {
        square[at] <== s[i] * s[i];
        fourth[at] <== square[at] * square[at];
        fifth[at] <== fourth[at] * s[i];
        sum += k[FULL + i] * fifth[at];
        at++;
    }
    square[at] <== s[0] * s[0];
    fourth[at] <== square[at] * square[at];
    out <== k[FULL] * fourth[at] * s[0] + sum;
}

// Poseidon of n elements; smt-types' `poseidon`, circomlib's `Poseidon(n)`.
//
// n: 1 to 12. in: any field elements. Rows: 213, 240, 261, 297, 321, 354, 381, 405, 417, 459, 465, 504 for n = 1 to 12.
template Poseidon(n) {
    signal input in[n];
    signal output out;
    component state = PoseidonState(n + 1, 1, 0);
    state.in <== in;
    out <== state.out;
}

// Poseidon of a list; smt-types' `poseidon_many`: h = n, then h = Poseidon(h, the next up to 11 elements).
//
// n: at least 1. in: any field elements. Rows: those of the hashes, 3 less for the first, whose head is a constant.
template PoseidonMany(n) {
    signal input in[n];
    signal output out;
    assert(1 <= n);
    var blocks = (n + 10) \ 11;
    var first = n < 11 ? n : 11;
    component head = PoseidonState(first + 2, 2, n);
    for (var i = 0; i < first; i++) {
        head.in[i] <== in[i];
    }
    component next[blocks - 1];
    for (var b = 1; b < blocks; b++) {
        var size = n - 11 * b < 11 ? n - 11 * b : 11;
        next[b - 1] = Poseidon(size + 1);
        next[b - 1].in[0] <== b == 1 ? head.out : next[b - 2].out;
        for (var i = 0; i < size; i++) {
            next[b - 1].in[i + 1] <== in[11 * b + i];
        }
    }
    if (blocks == 1) {
        out <== head.out;
    } else {
        out <== next[blocks - 2].out;
    }
}
