pragma circom 2.1.6;

include "certified.circom";
include "compare.circom";

// A shard's header beside the one it had in the cut before. In pairs place 0 is the previous header, place 1 the new one.

// No counter and no clock of the new header is lower; for fresh = 1 its epoch is higher.
//
// level: 0 to 9. fresh: 0 or 1. All numbers have the widths of HeaderRanges, in both headers. The caller's duties.
// Rows: 267 + 646 level at O1.
//
// Why: a difference of two numbers of n bits that has n bits is not negative. D is compared as one number of 136 bits:
// microseconds, shard, replica, counter, in the order in which native stamps are compared.
template NotLower(level) {
    signal input fresh;
    signal input epoch[2];
    signal input lamport[2];
    signal input dense[2][4];
    signal input levels[2][level][2][3];

    component epochRange = Range(64);
    epochRange.in <== epoch[1] - epoch[0] - fresh;
    component lamportRange = Range(64);
    lamportRange.in <== lamport[1] - lamport[0];
    var stamp[2];
    for (var i = 0; i < 2; i++) {
        stamp[i] = ((dense[i][0] * 2**32 + dense[i][1]) * 2**8 + dense[i][2]) * 2**32 + dense[i][3];
    }
    component denseRange = Range(136);
    denseRange.in <== stamp[1] - stamp[0];
    component levelRange[level][2][3];
    for (var l = 0; l < level; l++) {
        for (var s = 0; s < 2; s++) {
            for (var i = 0; i < 3; i++) {
                levelRange[l][s][i] = Range(i == 2 ? 64 : 128);
                levelRange[l][s][i].in <== levels[1][l][s][i] - levels[0][l][s][i];
            }
        }
    }
}

// What one shard has to show: its new header is the previous one (fresh = 0), or has a higher epoch and signatures of
// q different replicas (fresh = 1); nothing in it is lower than before; and its supply has changed by what it received
// and sent since.
//
// level, n, q: as CertifiedHeader has them. network, shard: both headers', the shard's index. committee: both headers'
// halves of the list digest. Header fields: per header, as HeaderDigest has them. key, pick, r, s: as Quorum has them,
// also for fresh = 0. digest: of both headers. committeeLeaf: of these keys and list. moved: 0 iff every counter and
// clock of the new header is 0, otherwise a number below 2^134 that is not. Any field elements, but: the numbers
// of the previous header have the widths of HeaderRanges. Rows: CertifiedHeader, HeaderDigest, HeaderRanges, NotLower,
// and 4; 10,648 for ShardStep(1, 3, 2) at O1.
//
// Why: two headers with one digest have the same fields, as far as Poseidon has no collisions. The previous header's
// widths are the caller's duty because it was the new one of the proof before; at number 0 nothing rests on it. All
// numbers being below 2^128, supply's row is one of integers.
template ShardStep(level, n, q) {
    signal input network;
    signal input shard;
    signal input committee[2];
    signal input fresh;
    signal input epoch[2];
    signal input predecessor[2][2];
    signal input state[2][2];
    signal input supply[2];
    signal input vector[2][2];
    signal input lamport[2];
    signal input dense[2][4];
    signal input levels[2][level][2][3];
    signal input links[2][2];
    signal input key[n][2];
    signal input pick[q][n];
    signal input r[q][2];
    signal input s[q];
    signal output digest[2];
    signal output committeeLeaf;
    signal output moved;

    component old = HeaderDigest(level);
    old.network <== network;
    old.shard <== shard;
    old.epoch <== epoch[0];
    old.predecessor <== predecessor[0];
    old.state <== state[0];
    old.supply <== supply[0];
    old.vector <== vector[0];
    old.lamport <== lamport[0];
    old.dense <== dense[0];
    old.committee <== committee;
    old.levels <== levels[0];
    old.links <== links[0];

    component new = CertifiedHeader(level, n, q);
    new.enabled <== fresh;
    new.network <== network;
    new.shard <== shard;
    new.epoch <== epoch[1];
    new.predecessor <== predecessor[1];
    new.state <== state[1];
    new.supply <== supply[1];
    new.vector <== vector[1];
    new.lamport <== lamport[1];
    new.dense <== dense[1];
    new.committee <== committee;
    new.levels <== levels[1];
    new.links <== links[1];
    new.key <== key;
    new.pick <== pick;
    new.r <== r;
    new.s <== s;

    digest[0] <== old.digest;
    digest[1] <== new.digest;
    committeeLeaf <== new.committeeLeaf;
    fresh * (fresh - 1) === 0;
    (1 - fresh) * (new.digest - old.digest) === 0;

    component ranges = HeaderRanges(level);
    ranges.epoch <== epoch[1];
    ranges.supply <== supply[1];
    ranges.lamport <== lamport[1];
    ranges.dense <== dense[1];
    ranges.levels <== levels[1];
    component rise = NotLower(level);
    rise.fresh <== fresh;
    rise.epoch <== epoch;
    rise.lamport <== lamport;
    rise.dense <== dense;
    rise.levels <== levels;

    var gained = 0;
    var counters = epoch[1] + lamport[1] + dense[1][0] + dense[1][1] + dense[1][2] + dense[1][3];
    for (var l = 0; l < level; l++) {
        for (var t = 0; t < 2; t++) {
            gained += levels[1][l][t][1] - levels[0][l][t][1];
            gained -= levels[1][l][t][0] - levels[0][l][t][0];
            counters += levels[1][l][t][0] + levels[1][l][t][1] + levels[1][l][t][2];
        }
    }
    supply[1] - supply[0] === gained;
    moved <== counters;
}
