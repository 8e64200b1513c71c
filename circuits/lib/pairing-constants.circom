pragma circom 2.1.6;

// Written by scripts/circuit_constants.py, which says what the numbers are.
// Four limbs of 64 bits a number, lowest first; an element of Fp2 is two numbers, the real one first.

// The modulus p of the base field.
function pairingModulus() {
    return [
        [0x3c208c16d87cfd47, 0x97816a916871ca8d, 0xb85045b68181585d, 0x30644e72e131a029]
    ];
}

// b' of the twist y^2 = x^3 + b'.
function twistB() {
    return [
        [0x3267e6dc24a138e5, 0xb5b4c5e559dbefa3, 0x81be18991be06ac3, 0x2b149d40ceb8aaae],
        [0xe4a2bd0685c315d2, 0xa74fa084e52d1852, 0xcd2cafadeed8fdf4, 0x009713b03af0fed4]
    ];
}

// psi(x, y) = ([0, 1] conj x, [2, 3] conj y); psi^2 x = [4] x; psi^3(x, y) = ([5, 6] conj x, [7, 8] conj y).
function twistPsi() {
    return [
        [0x99e39557176f553d, 0xb78cc310c2c3330c, 0x4c0bec3cf559b143, 0x2fb347984f7911f7],
        [0x1665d51c640fcba2, 0x32ae2a1d0b7c9dce, 0x4ba4cc8bd75a0794, 0x16c9e55061ebae20],
        [0xdc54014671a0135a, 0xdbaae0eda9c95998, 0xdc5ec698b6e2f9b9, 0x063cf305489af5dc],
        [0x82d37f632623b0e3, 0x21807dc98fa25bd2, 0x0704b5a7ec796f2b, 0x07c03cbcac41049a],
        [0xe4bd44e5607cfd48, 0xc28f069fbb966e3d, 0x5e6dd9e7e0acccb0, 0x30644e72e131a029],
        [0x7b746ee87bdcfb6d, 0x805ffd3d5d6942d3, 0xbaff1c77959f25ac, 0x0856e078b755ef0a],
        [0x380cab2baaa586de, 0x0fdf31bf98ff2631, 0xa9f30e6dec26094f, 0x04f1de41b3d1766f],
        [0x5fcc8ad066dce9ed, 0xbbd689a3bea870f4, 0xdbf17f1dca9e5ea3, 0x2a275b6d9896aa4c],
        [0xb94d0cb3b2594c64, 0x7600ecc7d8cf6eba, 0xb14b900e9507e932, 0x28a411b634f09b8f]
    ];
}

// O of comb.circom, x and y.
function combOrigin() {
    return [
        [0xe5fe538eb6fd096b, 0x8c9fc5dcb3fe58ad, 0x001e5ea547f25f3e, 0x0b8a17176b9acf06],
        [0xd3b357cccc7c73fc, 0x1e8c1b63f3d8e99b, 0x9f977c20173f8918, 0x1e37aea4bd615c3e]
    ];
}

// Signed digits of 6 x + 2 below the leading 1, highest first.
function loopDigits() {
    return [
        1, 0, 1, 0, 0, 0, -1, 0, -1, 0, 0, 0, -1, 0, 1, 0, -1, 0, 0, -1, 0, 0, 0, 0, 0, 1, 0, 0, -1, 0, 1, 0, 0, -1,
        0, 0, 0, 0, -1, 0, 1, 0, 0, 0, -1, 0, -1, 0, 0, 1, 0, 0, 0, -1, 0, 0, -1, 0, 1, 0, 1, 0, 0, 0
    ];
}
