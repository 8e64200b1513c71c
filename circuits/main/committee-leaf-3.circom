pragma circom 2.1.6;

include "../lib/quorum.circom";

component main = CommitteeLeaf(3);
