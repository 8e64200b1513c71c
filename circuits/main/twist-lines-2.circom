pragma circom 2.1.6;

include "../lib/twist.circom";

component main = TwistLines(2, [1, -1], 0);
