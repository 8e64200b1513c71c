pragma circom 2.1.6;

include "closing.circom";

// The point vk_x = IC0 + h IC1 of a key for one public input h, by a comb of signed bits.
//
// h is an odd number D = h mod r, written with digits +-1: D = 2 b - (2^n - 1) for n bits b. Any such D gives the same
// point, for IC1 has order r, so nothing asks for the least. The n bits are 8 teeth of `columns` columns; two tables of
// 8 points hold the sums of four teeth with the first digit -1, and the others are their negatives. Per column, highest
// first: acc = 2 acc + entry of table 0, acc = acc + entry of table 1. acc starts at O, so at the end IC0 - 2^columns O
// is added. The tables and that point are words of the key: their limbs go into the transcript one by one and have no
// range check, because who holds the key's digest knows limbs of 64 bits that give it, and there are no others.
//
// Slopes are hints, and a slope is free where two points of a sum are equal. acc is [a] O + [b] IC1 with a = a power of
// 2, and so are the sums within a column; an entry is [c] IC1 and the last point IC0 - [2^columns] O. Equal, they would
// give the discrete logarithm of O to the base IC1 (or a relation of O, IC0 and IC1). O is a hash of a public string,
// fixed before any key is made: nobody knows one, whatever he knows about the key. The same argument excludes a sum
// with its own negative, which has no solution.

// What relations weigh (closing.circom).
function doubleAddWeights() {
    return [0, 12, 10, 0];
}

function addWeights() {
    return [0, 7, 5, 0];
}

// V y = 1 and U + V x = 0.
function vkxWeights() {
    return [1, 1, 2, 0];
}

// Two coordinates of one of 8 points or of its negative: bit[0] = 1 says negative, and bits 1 to 3, or their
// complements then, the place.
//
// table: x, y at the transcript's y. bit: 0 or 1, the caller's duty, and fixed before y. Then x and y are the values of
// one entry's polynomials, not mixtures. Rows: 19.
template Select8() {
    signal input table[8][2];
    signal input bit[4];
    signal output x;
    signal output y;
    signal place[3];
    for (var i = 0; i < 3; i++) {
        var both = bit[i + 1] + bit[0];
        place[i] <== both - 2 * bit[i + 1] * bit[0];
    }
    signal low;
    low <== place[0] * place[1];
    signal term[2][6];
    signal chosen[2];
    for (var i = 0; i < 2; i++) {
        var half[2];
        for (var j = 0; j < 2; j++) {
            var o = 4 * j;
            term[i][3 * j] <== (table[o + 1][i] - table[o][i]) * place[0];
            term[i][3 * j + 1] <== (table[o + 2][i] - table[o][i]) * place[1];
            term[i][3 * j + 2] <== (table[o + 3][i] - table[o + 2][i] - table[o + 1][i] + table[o][i]) * low;
            half[j] = table[o][i] + term[i][3 * j] + term[i][3 * j + 1] + term[i][3 * j + 2];
        }
        chosen[i] <== half[0] + place[2] * (half[1] - half[0]);
    }
    x <== chosen[0];
    y <== chosen[1] * (1 - 2 * bit[0]);
}

// acc' = 2 acc + Q as (acc + Q) + acc.
//
// word: slope and x of acc + Q, slope, x and y of acc'. The second slope is -l - 2 y / (x3 - x). Rows: 10.
template DoubleAdd() {
    signal input acc[2];
    signal input q[2];
    signal input word[5];
    signal input nu[5];
    signal output weighted[5];
    signal product[5];
    product[0] <== word[0] * (q[0] - acc[0]);
    product[1] <== word[0] * word[0];
    product[2] <== (word[0] + word[2]) * (word[1] - acc[0]);
    product[3] <== word[2] * word[2];
    product[4] <== word[2] * (acc[0] - word[3]);
    weighted[0] <== nu[0] * (product[0] - q[1] + acc[1]);
    weighted[1] <== nu[1] * (product[1] - acc[0] - q[0] - word[1]);
    weighted[2] <== nu[2] * (product[2] + 2 * acc[1]);
    weighted[3] <== nu[3] * (product[3] - word[1] - acc[0] - word[3]);
    weighted[4] <== nu[4] * (product[4] - acc[1] - word[4]);
}

// acc' = acc + Q. word: slope, x and y of acc'. Rows: 6.
template Add() {
    signal input acc[2];
    signal input q[2];
    signal input word[3];
    signal input nu[3];
    signal output weighted[3];
    signal product[3];
    product[0] <== word[0] * (q[0] - acc[0]);
    product[1] <== word[0] * word[0];
    product[2] <== word[0] * (acc[0] - word[1]);
    weighted[0] <== nu[0] * (product[0] - q[1] + acc[1]);
    weighted[1] <== nu[1] * (product[1] - acc[0] - q[0] - word[1]);
    weighted[2] <== nu[2] * (product[2] - acc[1] - word[2]);
}

// A word of the key: bound by the key's digest alone. Rows: 3.
template KeyWord() {
    signal input limb[4];
    signal input power[3];
    signal output at;
    signal term[2];
    term[0] <== limb[1] * power[0];
    term[1] <== limb[2] * power[1];
    at <== limb[3] * power[2] + limb[0] + term[0] + term[1];
}

// (U, V) = (-x / y, 1 / y) of vk_x = IC0 + h IC1 for the key with this digest; the last two words are V and U.
//
// columns: 32 for every h; fewer take only |D| < 2^(8 columns), for tests. h: the public input. bit: hints, the 8
// columns bits of b, lowest first. key: 32 words of tables, by table, place, x and y, then the last point's x and y.
// word: 8 a column, 3, V and U. y, k, c: as Closing has them. keyDigest: of the key's limbs, first in the transcript.
// Rows: 258 a word; per column 38 to choose, 16 for the sums and 8 for bits; the transcript's; 102 for the key's words.
template Comb(columns) {
    var bits = 8 * columns;
    var words = 8 * columns + 5;
    var relations = 8 * columns + 5;
    var packs = (bits + 127) \ 128;
    var spills = (words + 252) \ 253;
    signal input h;
    signal input bit[bits];
    signal input key[34][4];
    signal input word[words][4];
    signal input k[16];
    signal input c[36];
    signal input y;
    signal output keyDigest;
    assert(1 <= columns && columns <= 32);
    var O[2][4] = combOrigin();
    var DOUBLE[4] = doubleAddWeights();
    var ADD[4] = addWeights();
    var LAST[4] = vkxWeights();

    var sum = 0;
    var pack[packs];
    for (var i = 0; i < bits; i++) {
        bit[i] * (bit[i] - 1) === 0;
        sum += bit[i] * 2**i;
        pack[i \ 128] = (i % 128 == 0 ? 0 : pack[i \ 128]) + bit[i] * 2**(i % 128);
    }
    2 * sum === h + 2**bits - 1;

    component powers = Powers(36);
    powers.y <== y;
    component all = Words(words);
    all.limb <== word;
    component keyWord[34];
    component keySection = TranscriptSection(4 * 34, 3);
    for (var i = 0; i < 34; i++) {
        keyWord[i] = KeyWord();
        keyWord[i].limb <== key[i];
        for (var j = 0; j < 3; j++) {
            keyWord[i].power[j] <== powers.out[2 * j + 2];
        }
        for (var j = 0; j < 4; j++) {
            keySection.in[4 * i + j] <== key[i][j];
        }
    }
    for (var j = 0; j < 3; j++) {
        all.power[j] <== powers.out[2 * j + 2];
    }
    component squeezed = Squeezed(1);
    squeezed.state <== keySection.out;
    keyDigest <== squeezed.out[0];
    component section = TranscriptSection(words + spills + 1 + packs, 0);
    section.state <== keySection.out;
    for (var i = 0; i < words + spills; i++) {
        section.in[i] <== all.element[i];
    }
    section.in[words + spills] <== h;
    for (var i = 0; i < packs; i++) {
        section.in[words + spills + 1 + i] <== pack[i];
    }
    component multipliers = ClosingMultipliers(relations);
    multipliers.state <== section.out;
    for (var i = 0; i < 7; i++) {
        multipliers.power[i] <== powers.out[i + 1];
    }

    var t[4];
    for (var i = 0; i < 4; i++) {
        t[i] = columns * (DOUBLE[i] + ADD[i]) + ADD[i] + LAST[i];
    }
    component closing = Closing(relations, t[0], t[1], t[2], t[3]);
    closing.mu <== multipliers.mu;
    closing.state <== multipliers.next;
    closing.k <== k;
    closing.c <== c;
    closing.power <== powers.out;

    component select[columns][2];
    component doubleAdd[columns];
    component add[columns + 1];
    for (var i = 0; i <= columns; i++) {
        if (i < columns) {
            for (var table = 0; table < 2; table++) {
                select[i][table] = Select8();
                for (var j = 0; j < 16; j++) {
                    select[i][table].table[j \ 2][j % 2] <== keyWord[16 * table + j].at;
                }
                for (var j = 0; j < 4; j++) {
                    select[i][table].bit[j] <== bit[columns * (4 * table + j) + columns - 1 - i];
                }
            }
            doubleAdd[i] = DoubleAdd();
            for (var j = 0; j < 2; j++) {
                var origin = O[j][0] + O[j][1] * powers.out[2] + O[j][2] * powers.out[4] + O[j][3] * powers.out[6];
                doubleAdd[i].acc[j] <== i == 0 ? origin : all.at[8 * (i == 0 ? 1 : i) - 2 + j];
            }
            doubleAdd[i].q[0] <== select[i][0].x;
            doubleAdd[i].q[1] <== select[i][0].y;
            for (var j = 0; j < 5; j++) {
                doubleAdd[i].word[j] <== all.at[8 * i + j];
                doubleAdd[i].nu[j] <== multipliers.nu[(8 * i + j) % 36];
            }
            for (var j = 0; j < 5; j++) {
                closing.weighted[8 * i + j] <== doubleAdd[i].weighted[j];
            }
        }
        // The sum within a column, and after the columns the last one.
        var at = i < columns ? 8 * i + 5 : 8 * columns;
        add[i] = Add();
        add[i].q[0] <== i < columns ? select[i < columns ? i : 0][1].x : keyWord[32].at;
        add[i].q[1] <== i < columns ? select[i < columns ? i : 0][1].y : keyWord[33].at;
        for (var j = 0; j < 2; j++) {
            add[i].acc[j] <== all.at[at - 2 + j];
        }
        for (var j = 0; j < 3; j++) {
            add[i].word[j] <== all.at[at + j];
            add[i].nu[j] <== multipliers.nu[(at + j) % 36];
        }
        for (var j = 0; j < 3; j++) {
            closing.weighted[at + j] <== add[i].weighted[j];
        }
    }
    // V y = 1, U + V x = 0.
    var end = 8 * columns + 1;
    signal last[2];
    last[0] <== all.at[end + 2] * all.at[end + 1];
    last[1] <== all.at[end + 2] * all.at[end];
    signal lastWeighted[2];
    lastWeighted[0] <== multipliers.nu[(end + 2) % 36] * (last[0] - 1);
    lastWeighted[1] <== multipliers.nu[(end + 3) % 36] * (last[1] + all.at[end + 3]);
    closing.weighted[end + 2] <== lastWeighted[0];
    closing.weighted[end + 3] <== lastWeighted[1];
}
