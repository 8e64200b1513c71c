pragma circom 2.1.6;

include "bits.circom";
include "poseidon.circom";

// The Poseidon digest of a snapshot header; smt-types' `Header::poseidon`, element by element in its order.
//
// level: 0 to 9, of the shard; it goes into the list too, so a header of another level has another digest. 128-bit
// halves of digests: high first. levels: per ancestor level, level 1 first, and sibling: value sent, value received,
// newest epoch. Any field elements; a digest of numbers out of range is no header's. HeaderRanges has the ranges that
// sums and comparisons need. Rows: those of PoseidonMany(20 + 6 level): 960, 1,326, 1,470, 1,863 for level 0 to 3.
template HeaderDigest(level) {
    signal input network;
    signal input shard;
    signal input epoch;
    signal input predecessor[2];
    signal input state[2];
    signal input supply;
    signal input vector[2];
    signal input lamport;
    // Time in microseconds, shard, replica, counter.
    signal input dense[4];
    signal input committee[2];
    signal input levels[level][2][3];
    signal input links[2];
    signal output digest;
    assert(0 <= level && level <= 9);

    component hash = PoseidonMany(20 + 6 * level);
    hash.in[0] <== network;
    hash.in[1] <== level;
    hash.in[2] <== shard;
    hash.in[3] <== epoch;
    for (var i = 0; i < 2; i++) {
        hash.in[4 + i] <== predecessor[i];
        hash.in[6 + i] <== state[i];
        hash.in[9 + i] <== vector[i];
        hash.in[16 + i] <== committee[i];
        hash.in[18 + 6 * level + i] <== links[i];
    }
    hash.in[8] <== supply;
    hash.in[11] <== lamport;
    for (var i = 0; i < 4; i++) {
        hash.in[12 + i] <== dense[i];
    }
    for (var l = 0; l < level; l++) {
        for (var s = 0; s < 2; s++) {
            for (var i = 0; i < 3; i++) {
                hash.in[18 + 6 * l + 3 * s + i] <== levels[l][s][i];
            }
        }
    }
    digest <== hash.out;
}

// The numbers of a header that are added or compared have their widths: epochs, supply and clocks 64 bits, values 128;
// in D time 64, shard 32, replica 8, counter 32.
//
// Any field elements. Rows: 328 + 640 level.
template HeaderRanges(level) {
    signal input epoch;
    signal input supply;
    signal input lamport;
    signal input dense[4];
    signal input levels[level][2][3];

    component epochRange = Range(64);
    epochRange.in <== epoch;
    component supplyRange = Range(64);
    supplyRange.in <== supply;
    component lamportRange = Range(64);
    lamportRange.in <== lamport;
    var WIDTH[4] = [64, 32, 8, 32];
    component denseRange[4];
    for (var i = 0; i < 4; i++) {
        denseRange[i] = Range(WIDTH[i]);
        denseRange[i].in <== dense[i];
    }
    component levelRange[level][2][3];
    for (var l = 0; l < level; l++) {
        for (var s = 0; s < 2; s++) {
            for (var i = 0; i < 3; i++) {
                levelRange[l][s][i] = Range(i == 2 ? 64 : 128);
                levelRange[l][s][i].in <== levels[l][s][i];
            }
        }
    }
}
