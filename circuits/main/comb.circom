pragma circom 2.1.6;

include "../lib/comb.circom";

component main = Comb(32);
