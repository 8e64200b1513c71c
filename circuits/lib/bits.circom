pragma circom 2.1.6;

// Bits and ranges. Every bit is a hint, pinned by bit (bit - 1) = 0 and by the sum of all bits: for n <= 253 bits the
// sum is below the field's modulus, so a number has at most one row of bits.

// in < 2^n, nothing else.
//
// in: any field element. n: 1 to 253. Rows: n. The lowest bit is what the others leave over and no signal of its own.
template Range(n) {
    signal input in;
    assert(1 <= n && n <= 253);
    signal bit[n - 1];
    var rest = in;
    for (var i = 1; i < n; i++) {
        bit[i - 1] <-- (in >> i) & 1;
        bit[i - 1] * (bit[i - 1] - 1) === 0;
        rest -= bit[i - 1] * 2**i;
    }
    rest * (rest - 1) === 0;
}

// The bits of in, lowest first; no solution for in >= 2^n.
//
// in: any field element. n: 1 to 253. out: 0 or 1 each. Rows: n + 1.
template ToBits(n) {
    signal input in;
    signal output out[n];
    assert(1 <= n && n <= 253);
    var sum = 0;
    for (var i = 0; i < n; i++) {
        out[i] <-- (in >> i) & 1;
        out[i] * (out[i] - 1) === 0;
        sum += out[i] * 2**i;
    }
    sum === in;
}

// The number that bits spell, lowest first.
//
// in: 0 or 1 each, the caller's duty. n: 1 to 253. Rows: 1, none where the sum is used by one other template alone.
template FromBits(n) {
    signal input in[n];
    signal output out;
    assert(1 <= n && n <= 253);
    var sum = 0;
    for (var i = 0; i < n; i++) {
        sum += in[i] * 2**i;
    }
    out <== sum;
}

// A row of n two-valued digits, lowest first, spells a number on the right side of the constant
// c = high 2^128 + low: at most c for side = 1, at least c for side = 0. (c may be larger than p.)
//
// digit: each zero * unit (meaning 0) or unit (meaning 1), the caller's duty. unit: not 0, the caller's duty. zero: 0
// for bits with unit 1; -1 for signs. n: 1 to 254. c: below 2^n. Rows: one for each run of zeros in c for side = 1, of
// ones for side = 0.
//
// Why: let distance be 0 where a digit equals c's bit and otherwise the same number d = (1 - zero) * unit, which is not
// 0. A sum of at most 254 distances is 0 iff each is. Take side = 1: a number exceeds c iff at some bit where c has 0
// it has 1 and all bits above are equal. So for each run of zeros: if all above are equal, the run is zeros. That is
// `above * ratio = run`: with above = 0 it forces run = 0; with above != 0 there is such a ratio for every run. Side =
// 0 is the same with zeros and ones exchanged.
// Not pinned: a ratio where above = 0. Nothing reads a ratio.
template DigitsBound(n, zero, high, low, side) {
    signal input digit[n];
    signal input unit;
    assert(1 <= n && n <= 254);
    assert((low >> 128) == 0 && (n > 128 ? (high >> (n - 128)) == 0 : high == 0 && (low >> n) == 0));
    var c[255];
    var runs = 0;
    c[n] = side;
    for (var i = n - 1; i >= 0; i--) {
        c[i] = (i < 128 ? low >> i : high >> (i - 128)) & 1;
        runs += c[i] != side && c[i + 1] == side ? 1 : 0;
    }
    signal ratio[runs];
    var above = 0;
    var run = 0;
    var at = 0;
    for (var i = n - 1; i >= 0; i--) {
        run += c[i] == 1 ? unit - digit[i] : digit[i] - zero * unit;
        if (c[i] == side) {
            above += run;
            run = 0;
        } else if (i == 0 || c[i == 0 ? 0 : i - 1] == side) {
            ratio[at] <-- above == 0 ? 0 : run / above;
            above * ratio[at] === run;
            at++;
            above += run;
            run = 0;
        }
    }
}

// The 254 bits, lowest first, of in as a number below the modulus: one row of bits for every field element.
//
// in: any field element. Rows: 308.
//
// Why: 254 bits spell numbers up to 2^254 - 1, and in + p is one of them for small in. The bound refuses it.
template ToBitsCanonical() {
    signal input in;
    signal output out[254];
    var sum = 0;
    for (var i = 0; i < 254; i++) {
        out[i] <-- (in >> i) & 1;
        out[i] * (out[i] - 1) === 0;
        sum += out[i] * 2**i;
    }
    sum === in;
    component bound = DigitsBound(254, 0, -1 >> 128, -1 & (2**128 - 1), 1);
    bound.digit <== out;
    bound.unit <== 1;
}
