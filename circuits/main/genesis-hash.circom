pragma circom 2.1.6;

include "../lib/state.circom";

component main = GenesisHash();
