pragma circom 2.1.6;

include "bits.circom";

// Money between triangles: no child has received more of a sibling than that one sent, and nothing comes or goes.

// The least b with 3^k <= 2^b: as many bits more has a sum of 3^k numbers.
function bitsOfShards(k) {
    var b = 0;
    while (2**b < 3**k) {
        b++;
    }
    return b;
}

// The three children of a node: for each ordered pair, received <= sent. inFlight: what has been sent and not received.
//
// width: 1 to 252. sent, received: per child, with its first and its second sibling in the order of their words, since
// genesis; below 2^width, the caller's duty. Rows: 6 width + 7 at O1.
//
// | child | siblings | its entry with them |
// | --- | --- | --- |
// | 0 | 1, 2 | 0, 0 |
// | 1 | 0, 2 | 0, 1 |
// | 2 | 0, 1 | 1, 1 |
//
// Why: a difference of two numbers below 2^width that has width bits is not negative.
template Triangle(width) {
    signal input sent[3][2];
    signal input received[3][2];
    signal output inFlight;
    component range[3][2];
    var sum = 0;
    for (var i = 0; i < 3; i++) {
        for (var s = 0; s < 2; s++) {
            var sibling = s < i ? s : s + 1;
            var back = i < sibling ? i : i - 1;
            range[i][s] = Range(width);
            range[i][s].in <== sent[i][s] - received[sibling][back];
            sum += sent[i][s] - received[sibling][back];
        }
    }
    inFlight <== sum;
}

// In every triangle received <= sent for each ordered pair of children, and all supplies with all that is in flight are
// total.
//
// height: 1 to 9. supply: below 2^64. sent, received: per shard, ancestor level (level 1 first) and sibling; below
// 2^128. The caller's duties. total: any field element. Rows: 776, 3,125, 10,184 for height 1 to 3.
//
// Why: sums of 3^k numbers of 128 bits have the width that Triangle asks for. In flight is then at least 0 and at most
// 2 height 3^height 2^128, so the last row is one of integers.
template Conservation(height) {
    var SHARDS = 3**height;
    signal input supply[SHARDS];
    signal input sent[SHARDS][height][2];
    signal input received[SHARDS][height][2];
    signal input total;
    assert(1 <= height && height <= 9);

    component triangle[(SHARDS - 1) \ 2];
    var at = 0;
    var sum = 0;
    for (var l = 0; l < height; l++) {
        var span = 3**(height - 1 - l);
        for (var node = 0; node < 3**l; node++) {
            triangle[at] = Triangle(128 + bitsOfShards(height - 1 - l));
            for (var child = 0; child < 3; child++) {
                for (var s = 0; s < 2; s++) {
                    var out = 0;
                    var in = 0;
                    for (var shard = 0; shard < span; shard++) {
                        out += sent[(3 * node + child) * span + shard][l][s];
                        in += received[(3 * node + child) * span + shard][l][s];
                    }
                    triangle[at].sent[child][s] <== out;
                    triangle[at].received[child][s] <== in;
                }
            }
            sum += triangle[at].inFlight;
            at++;
        }
    }
    for (var i = 0; i < SHARDS; i++) {
        sum += supply[i];
    }
    sum === total;
}
