pragma circom 2.1.6;

include "../lib/bits.circom";

component main = DigitsBound(6, 0, 0, 38, 1);
