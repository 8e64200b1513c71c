pragma circom 2.1.6;

include "babyjub.circom";
include "poseidon.circom";

// For enabled != 0: (r, s) is a valid EdDSA-Poseidon signature of message under the key a, just as smt-types'
// `JubPublicKey::verify` decides for a key and an R in canonical packed form: a is a point of the curve with 8 A != 0,
// s < l, and s B8 = R + Poseidon(R, A, message) 8 A. For enabled = 0: a and s are as before, and R is free.
//
// All inputs: any field elements. enabled: 0 or 1, or any number. Rows: 2,835 at O1 (2,832 at O2).
//
// Why. R' = s B8 - e 8 A is computed, e being the number below p that Poseidon gives, and compared with r by its
// coordinates. So an R that is accepted is on the curve, and neither it nor s has a second form. With P = 4 A, of order
// l or 2 l, e 8 A = (2 e + 1) P - P: two complete additions give R' = (s B8 + P) - (2 e + 1) P.
// The one difference from the native check: 60 challenges that MinusKeyTimesOdd refuses.
template EdDSAPoseidon() {
    signal input enabled;
    signal input ax;
    signal input ay;
    signal input rx;
    signal input ry;
    signal input s;
    signal input message;

    component challenge = Poseidon(5);
    challenge.in[0] <== rx;
    challenge.in[1] <== ry;
    challenge.in[2] <== ax;
    challenge.in[3] <== ay;
    challenge.in[4] <== message;

    component key = KeyTimesFour();
    key.ax <== ax;
    key.ay <== ay;
    component base = BaseTimes();
    base.scalar <== s;
    component chain = MinusKeyTimesOdd();
    chain.challenge <== challenge.out;
    chain.u <== key.u;
    chain.v <== key.v;

    component one = EdwardsAdd();
    one.x1 <== base.x;
    one.y1 <== base.y;
    one.x2 <== key.x;
    one.y2 <== key.y;
    component two = EdwardsAdd();
    two.x1 <== one.x;
    two.y1 <== one.y;
    two.x2 <== chain.x;
    two.y2 <== chain.y;
    enabled * (two.x - rx) === 0;
    enabled * (two.y - ry) === 0;
}
