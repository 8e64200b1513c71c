pragma circom 2.1.6;

include "../lib/ternary.circom";

component main = TernaryRoot(0);
