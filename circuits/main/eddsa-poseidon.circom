pragma circom 2.1.6;

include "../lib/eddsa.circom";

component main = EdDSAPoseidon();
