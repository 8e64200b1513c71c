pragma circom 2.1.6;

include "header.circom";
include "quorum.circom";

// For enabled != 0: q different replicas of the committee that the header names signed its digest.
//
// level: of the shard, 0 to 9. n, q: 1 <= q <= n <= 27. The header's fields as HeaderDigest has them; key, pick, r, s
// as Quorum has them. digest: the header's, a leaf of the global root. committeeLeaf: of the committee with these keys
// and the list digest in the header, a leaf of the committee root. That it is the leaf at the shard's place is the
// caller's duty, and so are the ranges (HeaderRanges) and that the replicas' keys differ. Rows: the sum of the three
// parts; 7,437 for CertifiedHeader(1, 3, 2).
template CertifiedHeader(level, n, q) {
    signal input enabled;
    signal input network;
    signal input shard;
    signal input epoch;
    signal input predecessor[2];
    signal input state[2];
    signal input supply;
    signal input vector[2];
    signal input lamport;
    signal input dense[4];
    signal input committee[2];
    signal input levels[level][2][3];
    signal input links[2];
    signal input key[n][2];
    signal input pick[q][n];
    signal input r[q][2];
    signal input s[q];
    signal output digest;
    signal output committeeLeaf;

    component header = HeaderDigest(level);
    header.network <== network;
    header.shard <== shard;
    header.epoch <== epoch;
    header.predecessor <== predecessor;
    header.state <== state;
    header.supply <== supply;
    header.vector <== vector;
    header.lamport <== lamport;
    header.dense <== dense;
    header.committee <== committee;
    header.levels <== levels;
    header.links <== links;
    digest <== header.digest;

    component leaf = CommitteeLeaf(n);
    leaf.list <== committee;
    leaf.key <== key;
    committeeLeaf <== leaf.leaf;

    component quorum = Quorum(n, q);
    quorum.enabled <== enabled;
    quorum.message <== header.digest;
    quorum.key <== key;
    quorum.pick <== pick;
    quorum.r <== r;
    quorum.s <== s;
}
