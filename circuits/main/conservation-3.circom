pragma circom 2.1.6;

include "../lib/conservation.circom";

component main = Conservation(3);
