pragma circom 2.1.6;

include "eddsa.circom";

// A committee as one element; smt-ledger's `committee_leaf`: Poseidon of the list digest in two halves and all keys.
//
// n: 1 to 27. list: the halves. key: x and y of each replica. Any field elements. Rows: those of PoseidonMany(2 + 2 n).
template CommitteeLeaf(n) {
    signal input list[2];
    signal input key[n][2];
    signal output leaf;
    component hash = PoseidonMany(2 + 2 * n);
    hash.in[0] <== list[0];
    hash.in[1] <== list[1];
    for (var i = 0; i < n; i++) {
        hash.in[2 + 2 * i] <== key[i][0];
        hash.in[3 + 2 * i] <== key[i][1];
    }
    leaf <== hash.out;
}

// For enabled != 0: q different places of the list of keys hold keys under which message has a valid signature.
//
// n, q: 1 <= q <= n <= 27. key: x and y of each replica. pick[j][i]: 1 if signature j is replica i's, otherwise 0. r,
// s: the signatures. Any field elements; for enabled = 0 the picked keys must be keys and s below l. Rows: 2,835 q + 3
// q n + 3 q + n at O1: 5,697 for 2 of 3.
//
// Why: each row of pick is bits that add up to 1, so it names one replica; each column adds up to 0 or 1, so no replica
// is named twice. Sums of at most 27 bits do not wrap. Places differ; that the keys do too is the committee's duty.
template Quorum(n, q) {
    signal input enabled;
    signal input message;
    signal input key[n][2];
    signal input pick[q][n];
    signal input r[q][2];
    signal input s[q];
    assert(1 <= q && q <= n && n <= 27);

    signal chosen[q][n][2];
    component signature[q];
    var named[n];
    for (var j = 0; j < q; j++) {
        var count = 0;
        var x = 0;
        var y = 0;
        for (var i = 0; i < n; i++) {
            pick[j][i] * (pick[j][i] - 1) === 0;
            count += pick[j][i];
            named[i] += pick[j][i];
            chosen[j][i][0] <== pick[j][i] * key[i][0];
            chosen[j][i][1] <== pick[j][i] * key[i][1];
            x += chosen[j][i][0];
            y += chosen[j][i][1];
        }
        count === 1;
        signature[j] = EdDSAPoseidon();
        signature[j].enabled <== enabled;
        signature[j].ax <== x;
        signature[j].ay <== y;
        signature[j].rx <== r[j][0];
        signature[j].ry <== r[j][1];
        signature[j].s <== s[j];
        signature[j].message <== message;
    }
    for (var i = 0; i < n; i++) {
        named[i] * (named[i] - 1) === 0;
    }
}
