pragma circom 2.1.6;

include "bits.circom";

// Comparisons. Ranges are the caller's duty where a header says so: a comparison of numbers that may wrap means
// nothing.

// out = 1 if in = 0, otherwise 0.
//
// in: any field element. Rows: 2.
//
// Why: in * out = 0 makes out 0 where in is not; where in = 0 the other row says out = 1.
// Not pinned: inverse where in = 0. Nothing else reads it.
template IsZero() {
    signal input in;
    signal output out;
    signal inverse;
    inverse <-- in == 0 ? 0 : 1 / in;
    out <== 1 - in * inverse;
    in * out === 0;
}

// out = 1 if a = b, otherwise 0.
//
// a, b: any field elements. Rows: 2 as a part, and 1 more for the difference at O1.
template IsEqual() {
    signal input a;
    signal input b;
    signal output out;
    component zero = IsZero();
    zero.in <== a - b;
    out <== zero.out;
}

// in != 0.
//
// in: any field element. Rows: 1. Why: 0 has no inverse, and any other number has one.
template NotZero() {
    signal input in;
    signal inverse;
    inverse <-- 1 / in;
    in * inverse === 1;
}

// out = 1 if a < b, otherwise 0.
//
// a, b: below 2^n, the caller's duty. n: 1 to 252. Rows: n + 1.
//
// Why: out is 0 or 1, and a - b + 2^n out has n bits. a - b is in (-2^n, 2^n): negative, it needs 2^n to have bits at
// all; otherwise 2^n would be one bit too many. n <= 252 keeps a - b mod p apart from numbers of n bits.
template LessThan(n) {
    signal input a;
    signal input b;
    signal output out;
    assert(1 <= n && n <= 252);
    // 2^n + a - b is a number of n + 1 bits, whose top bit says a >= b.
    out <-- 1 - (((2**n + a - b) >> n) & 1);
    out * (out - 1) === 0;
    signal bit[n - 1];
    var number = a - b + 2**n * out;
    var rest = number;
    for (var i = 1; i < n; i++) {
        bit[i - 1] <-- (number >> i) & 1;
        bit[i - 1] * (bit[i - 1] - 1) === 0;
        rest -= bit[i - 1] * 2**i;
    }
    rest * (rest - 1) === 0;
}

// a <= b.
//
// a, b: below 2^n, the caller's duty. n: 1 to 252. Rows: n, and 1 more for the difference at O1.
//
// Why: b - a in [0, 2^n). A negative difference is at least p - 2^n, which has more than n bits.
template AssertAtMost(n) {
    signal input a;
    signal input b;
    assert(1 <= n && n <= 252);
    component range = Range(n);
    range.in <== b - a;
}

// a < b. As AssertAtMost, for b - a - 1.
template AssertLess(n) {
    signal input a;
    signal input b;
    assert(1 <= n && n <= 252);
    component range = Range(n);
    range.in <== b - a - 1;
}

// least is the least of count numbers.
//
// count: at least 1. n: 1 to 252. in - least: within 2^252 of 0, the caller's duty. Rows: count (n + 2)
// at O1.
//
// Why: no difference is negative, and their product is 0, so one of them is. For the greatest, all with their signs
// turned.
template AssertLeast(count, n) {
    signal input in[count];
    signal input least;
    assert(1 <= n && n <= 252);
    component range[count];
    signal product[count];
    for (var i = 0; i < count; i++) {
        range[i] = Range(n);
        range[i].in <== in[i] - least;
        product[i] <== (i == 0 ? 1 : product[i == 0 ? 0 : i - 1]) * (in[i] - least);
    }
    product[count - 1] === 0;
}

// out = on if bit = 1, off if bit = 0.
//
// bit: 0 or 1, the caller's duty. Rows: 1.
template Choose() {
    signal input bit;
    signal input on;
    signal input off;
    signal output out;
    out <== off + bit * (on - off);
}
