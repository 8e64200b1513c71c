pragma circom 2.1.6;

include "../lib/header.circom";

component main = HeaderRanges(1);
