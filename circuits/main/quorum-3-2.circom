pragma circom 2.1.6;

include "../lib/quorum.circom";

component main = Quorum(3, 2);
