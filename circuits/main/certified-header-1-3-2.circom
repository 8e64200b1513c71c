pragma circom 2.1.6;

include "../lib/certified.circom";

component main = CertifiedHeader(1, 3, 2);
