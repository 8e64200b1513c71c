pragma circom 2.1.6;

include "../lib/challenge.circom";

component main = Challenges(1);
