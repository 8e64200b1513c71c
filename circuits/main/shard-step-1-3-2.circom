pragma circom 2.1.6;

include "../lib/shard.circom";

component main = ShardStep(1, 3, 2);
