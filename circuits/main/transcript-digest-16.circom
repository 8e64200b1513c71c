pragma circom 2.1.6;

include "../lib/transcript.circom";

component main = TranscriptDigest(16, 7, 16);
