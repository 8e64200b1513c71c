pragma circom 2.1.6;

include "poseidon.circom";

// The ternary tree above the shards; smt-types' `hierarchy`.

// The root over 3^height leaves in shard order: a node is Poseidon of its three children, as `global_root` has it.
//
// height: 0 to 9. leaf: any field elements. Rows: 261 a node, (3^height - 1) / 2 nodes.
template TernaryRoot(height) {
    signal input leaf[3**height];
    signal output root;
    assert(0 <= height && height <= 9);
    var nodes = (3**height - 1) \ 2;
    component node[nodes];
    // Lowest row first; its children are leaves.
    var below = 0;
    var at = 0;
    for (var row = 1; row <= height; row++) {
        var width = 3**(height - row);
        for (var i = 0; i < width; i++) {
            node[at + i] = Poseidon(3);
            for (var c = 0; c < 3; c++) {
                node[at + i].in[c] <== row == 1 ? leaf[3 * i + c] : node[below + 3 * i + c].out;
            }
        }
        below = at;
        at += width;
    }
    if (height == 0) {
        root <== leaf[0];
    } else {
        root <== node[nodes - 1].out;
    }
}

// The root that leaf has at a place of the tree; smt-types' `GlobalPath::root`.
//
// trit: the place, leaf side first, as two bits each: (0, 0) for child 0, (1, 0) for child 1, (0, 1) for child 2. Any
// field elements; others have no solution. sibling: per level, leaf side first, the two siblings in order. Rows: 267 a
// level at O1.
template TernaryPath(height) {
    signal input leaf;
    signal input trit[height][2];
    signal input sibling[height][2];
    signal output root;
    component node[height];
    signal first[height];
    signal third[height];
    for (var i = 0; i < height; i++) {
        var one = trit[i][0];
        var two = trit[i][1];
        one * (one - 1) === 0;
        two * (two - 1) === 0;
        one * two === 0;
        var own = i == 0 ? leaf : node[i - 1].out;
        // Child 0 is own or the first sibling, child 2 own or the second, and the three are the same numbers in any
        // order.
        first[i] <== own + (one + two) * (sibling[i][0] - own);
        third[i] <== sibling[i][1] + two * (own - sibling[i][1]);
        node[i] = Poseidon(3);
        node[i].in[0] <== first[i];
        node[i].in[1] <== own + sibling[i][0] + sibling[i][1] - first[i] - third[i];
        node[i].in[2] <== third[i];
    }
    if (height == 0) {
        root <== leaf;
    } else {
        root <== node[height - 1].out;
    }
}

// A node that commits to the sums below it: digest = Poseidon(three digests, three sums in one element), sum of the
// sums. For a tree of proofs, where sums travel without the headers; no record of this version has it.
//
// digest: any field elements. sum: below 2^80 each, the caller's duty; supplies of 64 bits add up to less in a tree of
// 3^9. Rows: 299 at O1 (298 at O2).
//
// Why: three numbers of 80 bits have one sum s0 + s1 2^80 + s2 2^160, and it is below p.
template TernarySumNode() {
    signal input digest[3];
    signal input sum[3];
    signal output parentDigest;
    signal output parentSum;
    component hash = Poseidon(4);
    for (var i = 0; i < 3; i++) {
        hash.in[i] <== digest[i];
    }
    hash.in[3] <== sum[0] + 2**80 * sum[1] + 2**160 * sum[2];
    parentDigest <== hash.out;
    parentSum <== sum[0] + sum[1] + sum[2];
}
