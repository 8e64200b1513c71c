pragma circom 2.1.6;

include "../lib/compare.circom";

component main = AssertLeast(3, 4);
