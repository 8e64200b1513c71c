pragma circom 2.1.6;

include "../lib/statement.circom";

component main {public [current, previous]} = Statement(1, 3, 2);
