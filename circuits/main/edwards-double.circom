pragma circom 2.1.6;

include "../lib/babyjub.circom";

component main = EdwardsDouble();
