pragma circom 2.1.6;

include "../lib/g1-point.circom";

component main = G1Points(2);
