pragma circom 2.1.6;

include "conservation.circom";
include "shard.circom";
include "state.circom";
include "ternary.circom";

// A cut from the one before, given the digests of all headers: everything that is not about one shard alone.
//
// height: 1 to 9. current, previous: hashes of the public states of this proof and of the one before; previous = 0 for
// number 0. vkHash, number, network, file: of the network and the proof. genesisRoot: the global root of genesis.
// total: the network's supply. cutEpoch, cutTime: of the previous state, of this one. digest: per shard, of its
// previous and its new header. committeeLeaf, moved, epoch, time, supply, sent, received: of the new headers, with the
// widths that ShardStep gives them. Any other field elements. Rows: 3,302 for height 1.
//
// Why. Both states have one genesis hash, committee root, supply and verifying key's hash because each is one signal
// here. The genesis hash is opened at every number: a proof is about the committees, the supply and the network of its
// genesis whatever the proofs before it were. The previous global root is computed from the previous headers, so
// other headers give another `previous`. number has 64 bits, so number - 1 is one less unless number is 0; then
// `first` is 1 and there is no previous state: the new headers are those of genesis, and their counters 0. (Nothing
// then rests on the previous ones, which no public value names.) A sum of numbers, none negative, that is far below p
// is 0 iff each is.
template CutStep(height) {
    var SHARDS = 3**height;
    signal input current;
    signal input previous;
    signal input vkHash;
    signal input number;
    signal input network;
    signal input file[2];
    signal input genesisRoot;
    signal input total;
    signal input cutEpoch[2];
    signal input cutTime[2];
    signal input digest[SHARDS][2];
    signal input committeeLeaf[SHARDS];
    signal input moved[SHARDS];
    signal input epoch[SHARDS];
    signal input time[SHARDS];
    signal input supply[SHARDS];
    signal input sent[SHARDS][height][2];
    signal input received[SHARDS][height][2];

    component numberRange = Range(64);
    numberRange.in <== number;
    component totalRange = Range(64);
    totalRange.in <== total;
    component first = IsZero();
    first.in <== number;

    component root[2];
    component committees = TernaryRoot(height);
    committees.leaf <== committeeLeaf;
    component genesis = GenesisHash();
    genesis.network <== network;
    genesis.file <== file;
    genesis.globalRoot <== genesisRoot;
    genesis.committeeRoot <== committees.root;
    genesis.supply <== total;
    genesis.vkHash <== vkHash;
    component result[2];
    for (var i = 0; i < 2; i++) {
        root[i] = TernaryRoot(height);
        for (var shard = 0; shard < SHARDS; shard++) {
            root[i].leaf[shard] <== digest[shard][i];
        }
        result[i] = PublicState();
        result[i].vkHash <== vkHash;
        result[i].number <== number - 1 + i;
        result[i].genesis <== genesis.hash;
        result[i].globalRoot <== root[i].root;
        result[i].committeeRoot <== committees.root;
        result[i].supply <== total;
        result[i].epoch <== cutEpoch[i];
        result[i].time <== cutTime[i];
    }
    current === result[1].hash;
    (1 - first.out) * result[0].hash === previous;

    var counters = 0;
    for (var shard = 0; shard < SHARDS; shard++) {
        counters += moved[shard];
    }
    first.out * (root[1].root - genesisRoot) === 0;
    first.out * counters === 0;

    component conservation = Conservation(height);
    conservation.supply <== supply;
    conservation.sent <== sent;
    conservation.received <== received;
    conservation.total <== total;
    component oldest = AssertLeast(SHARDS, 64);
    oldest.in <== epoch;
    oldest.least <== cutEpoch[1];
    // The greatest time is the least of the negatives.
    component newest = AssertLeast(SHARDS, 64);
    for (var shard = 0; shard < SHARDS; shard++) {
        newest.in[shard] <== -time[shard];
    }
    newest.least <== -cutTime[1];
}

// The statement of a proof, without recursion: `current` is the hash of a public state that follows from the one whose
// hash is `previous` by headers of all shards, each carried over or certified by its committee; or, with previous = 0,
// it is the state of genesis. Design section 8, (i) to (v); what a proof under this circuit does not show is that
// `previous` was ever proven, which is for its reader to see, or for the circuit that also verifies that proof.
//
// height: 1 to 9, of 3^height shards. n, q: replicas of each committee and signatures needed, 1 <= q <= n <= 27.
// Public: current, previous. The rest is as CutStep and ShardStep have it, per shard. Any field elements: where the
// numbers of previous headers must have widths, they have them if `previous` was proven. Rows: ShardStep for each
// shard, and CutStep; 35,246 for Statement(1, 3, 2).
template Statement(height, n, q) {
    var SHARDS = 3**height;
    signal input current;
    signal input previous;
    signal input vkHash;
    signal input number;
    signal input network;
    signal input file[2];
    signal input genesisRoot;
    signal input total;
    signal input cutEpoch[2];
    signal input cutTime[2];
    signal input committee[SHARDS][2];
    signal input fresh[SHARDS];
    signal input epoch[SHARDS][2];
    signal input predecessor[SHARDS][2][2];
    signal input state[SHARDS][2][2];
    signal input supply[SHARDS][2];
    signal input vector[SHARDS][2][2];
    signal input lamport[SHARDS][2];
    signal input dense[SHARDS][2][4];
    signal input levels[SHARDS][2][height][2][3];
    signal input links[SHARDS][2][2];
    signal input key[SHARDS][n][2];
    signal input pick[SHARDS][q][n];
    signal input r[SHARDS][q][2];
    signal input s[SHARDS][q];

    component cut = CutStep(height);
    cut.current <== current;
    cut.previous <== previous;
    cut.vkHash <== vkHash;
    cut.number <== number;
    cut.network <== network;
    cut.file <== file;
    cut.genesisRoot <== genesisRoot;
    cut.total <== total;
    cut.cutEpoch <== cutEpoch;
    cut.cutTime <== cutTime;
    component step[SHARDS];
    for (var i = 0; i < SHARDS; i++) {
        step[i] = ShardStep(height, n, q);
        step[i].network <== network;
        step[i].shard <== i;
        step[i].committee <== committee[i];
        step[i].fresh <== fresh[i];
        step[i].epoch <== epoch[i];
        step[i].predecessor <== predecessor[i];
        step[i].state <== state[i];
        step[i].supply <== supply[i];
        step[i].vector <== vector[i];
        step[i].lamport <== lamport[i];
        step[i].dense <== dense[i];
        step[i].levels <== levels[i];
        step[i].links <== links[i];
        step[i].key <== key[i];
        step[i].pick <== pick[i];
        step[i].r <== r[i];
        step[i].s <== s[i];

        cut.digest[i] <== step[i].digest;
        cut.committeeLeaf[i] <== step[i].committeeLeaf;
        cut.moved[i] <== step[i].moved;
        cut.epoch[i] <== epoch[i][1];
        cut.time[i] <== dense[i][1][0];
        cut.supply[i] <== supply[i][1];
        for (var l = 0; l < height; l++) {
            for (var t = 0; t < 2; t++) {
                cut.sent[i][l][t] <== levels[i][1][l][t][0];
                cut.received[i][l][t] <== levels[i][1][l][t][1];
            }
        }
    }
}
