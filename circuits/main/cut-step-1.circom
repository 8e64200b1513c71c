pragma circom 2.1.6;

include "../lib/statement.circom";

component main {public [current, previous]} = CutStep(1);
