pragma circom 2.1.6;

include "../lib/bits.circom";

component main = ToBits(6);
