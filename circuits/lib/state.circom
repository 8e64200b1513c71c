pragma circom 2.1.6;

include "poseidon.circom";

// The hashes that stand for a whole network.

// The public state that a proof is about, as one element; smt-zk's `PublicState::hash`: Poseidon of the tag "smt public
// state" and the eight fields in this order. The tag stands where a list has its length, so no list is a state.
//
// vkHash: of the verifying key. number: of the proof. genesis: GenesisHash. globalRoot: over the headers.
// committeeRoot: over the committees. supply: of the network. epoch: the smallest of the cut. time: the newest, in
// microseconds. Any field elements; widths are the caller's duty. Rows: 414.
template PublicState() {
    signal input vkHash;
    signal input number;
    signal input genesis;
    signal input globalRoot;
    signal input committeeRoot;
    signal input supply;
    signal input epoch;
    signal input time;
    signal output hash;
    component state = PoseidonState(10, 2, 0x736d74207075626c6963207374617465);
    state.in[0] <== vkHash;
    state.in[1] <== number;
    state.in[2] <== genesis;
    state.in[3] <== globalRoot;
    state.in[4] <== committeeRoot;
    state.in[5] <== supply;
    state.in[6] <== epoch;
    state.in[7] <== time;
    hash <== state.out;
}

// What every node calls the genesis hash; smt-ledger's `GenesisState::hash_with`.
//
// file: the two halves of the genesis file's digest. Any field elements. Rows: 381.
template GenesisHash() {
    signal input network;
    signal input file[2];
    signal input globalRoot;
    signal input committeeRoot;
    signal input supply;
    signal input vkHash;
    signal output hash;
    component state = Poseidon(7);
    state.in[0] <== network;
    state.in[1] <== file[0];
    state.in[2] <== file[1];
    state.in[3] <== globalRoot;
    state.in[4] <== committeeRoot;
    state.in[5] <== supply;
    state.in[6] <== vkHash;
    hash <== state.out;
}
