pragma circom 2.1.6;

include "poseidon-17-constants.circom";

// The transcript of the verifier: a sponge over Poseidon with 17 elements of state, circomlib's parameters (8 full and
// 68 partial rounds). Element 0 is the capacity and is never given out; elements 1 to 16 are the rate. A transcript is
// a list of sections; how many there are, how long each is and what is squeezed where is fixed by the circuit, so no
// lengths are hashed. Every section starts at a block of its own: what is squeezed before it cannot depend on it, and
// the state after it depends on all of it.
//
// Between templates a state is handed on as the 17 S-box outputs of its last round, before the last linear layer: that
// layer is an expression of who goes on, and costs no rows. As Poseidon in poseidon.circom: no hints, one result.

// Adds n elements to the rate, 16 a block, and permutes after each block. n = 0 permutes once: for more to squeeze.
//
// tag: 0 goes on from `state`; any other number starts a transcript with that capacity, and there is no `state`. in:
// any field elements; the last block is filled with zeros. Rows: 612 a block, a few less for constants in the first.
template TranscriptSection(n, tag) {
    signal input state[tag == 0 ? 17 : 0];
    signal input in[n];
    signal output out[17];
    var blocks = n == 0 ? 1 : (n + 15) \ 16;
    var PARTIAL = 68;
    var ENTER = 8 * 17 + PARTIAL;
    var FEEDBACK = ENTER + 17 * 17;
    var TAPS = FEEDBACK + 16;
    var EXIT = TAPS + 16;
    var FULL = EXIT + 16 * 16;
    var k[FULL + 17 * 17] = poseidon17Constants();

    var boxes = 8 * 17 + PARTIAL;
    signal square[blocks * boxes];
    signal fourth[blocks * boxes];
    signal fifth[blocks * boxes];
    var at = 0;

    var s[17];
    var y[17];
    for (var i = 0; i < 17; i++) {
        s[i] = 0;
        if (tag == 0) {
            for (var j = 0; j < 17; j++) {
                s[i] += k[FULL + 17 * i + j] * state[j];
            }
        }
    }
    s[0] += tag;
    for (var block = 0; block < blocks; block++) {
        for (var i = 0; i < 16; i++) {
            if (16 * block + i < n) {
                s[1 + i] += in[16 * block + i];
            }
        }
        for (var round = 0; round < 8; round++) {
            if (round == 4) {
                // The partial rounds as a recurrence, in the basis in which it has few constants.
                for (var step = 0; step < PARTIAL; step++) {
                    var x = s[0] + k[8 * 17 + step];
                    square[at] <== x * x;
                    fourth[at] <== square[at] * square[at];
                    fifth[at] <== fourth[at] * x;
                    s[0] = k[FULL] * fifth[at];
                    for (var i = 0; i < 16; i++) {
                        s[0] += k[TAPS + i] * s[i + 1];
                    }
                    var last = s[16];
                    for (var i = 16; i > 0; i--) {
                        s[i] = (i == 1 ? fifth[at] : s[i - 1]) - k[FEEDBACK + i - 1] * last;
                    }
                    at++;
                }
                for (var i = 0; i < 16; i++) {
                    y[i] = 0;
                    for (var j = 0; j < 16; j++) {
                        y[i] += k[EXIT + i * 16 + j] * s[j + 1];
                    }
                }
                for (var i = 0; i < 16; i++) {
                    s[i + 1] = y[i];
                }
            }
            for (var i = 0; i < 17; i++) {
                var x = s[i] + k[round * 17 + i];
                square[at] <== x * x;
                fourth[at] <== square[at] * square[at];
                fifth[at] <== fourth[at] * x;
                y[i] = fifth[at];
                at++;
            }
            var matrix = round == 3 ? ENTER : FULL;
            for (var i = 0; i < 17; i++) {
                s[i] = 0;
                for (var j = 0; j < 17; j++) {
                    s[i] += k[matrix + i * 17 + j] * y[j];
                }
            }
        }
    }
    for (var i = 0; i < 17; i++) {
        out[i] <== y[i];
    }
}

// The first n elements of the rate. n: 1 to 16. Rows: n (linear).
template Squeezed(n) {
    signal input state[17];
    signal output out[n];
    assert(1 <= n && n <= 16);
    var FULL = 8 * 17 + 68 + 17 * 17 + 16 + 16 + 16 * 16;
    var k[FULL + 17 * 17] = poseidon17Constants();
    for (var i = 0; i < n; i++) {
        var sum = 0;
        for (var j = 0; j < 17; j++) {
            sum += k[FULL + 17 * (i + 1) + j] * state[j];
        }
        out[i] <== sum;
    }
}

// m elements that hash a list of n, as a transcript of one section.
//
// tag: not 0, one for each kind of list, so that no list of one kind is a list of another. m: 1 to 16. in: any field
// elements; lists of another length are other circuits. Rows: 612 a block of 16 and m.
template TranscriptDigest(n, tag, m) {
    signal input in[n];
    signal output out[m];
    assert(tag != 0);
    component section = TranscriptSection(n, tag);
    section.in <== in;
    component squeezed = Squeezed(m);
    squeezed.state <== section.out;
    out <== squeezed.out;
}
