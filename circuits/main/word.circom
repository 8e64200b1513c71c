pragma circom 2.1.6;

include "../lib/word.circom";

component main = Word();
