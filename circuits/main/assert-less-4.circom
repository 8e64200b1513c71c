pragma circom 2.1.6;

include "../lib/compare.circom";

component main = AssertLess(4);
