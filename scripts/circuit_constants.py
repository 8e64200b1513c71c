#!/usr/bin/env python3
"""Recomputes the constants of the circuits from the written rules (standard library only).

    circuit_constants.py --check    compares with circuits/lib/, exits 1 on a difference
    circuit_constants.py --write    writes them

Poseidon. vectors_types.py draws round constants and matrix M with the Grain LFSR of the paper. The partial rounds change one
element by x^5 and the others only linearly, so they are written as what they are, a linear recurrence. Let
M = [[m, r], [w, A]] with m one number. With x the first element and p the others a partial round is

    y = (x + c0)^5,   x' = r (p + c) + m y,   p' = A (p + c) + w y.

Constants beside the S-box are pushed through A to the next round, which leaves one number e a round. In the basis
T = [w, A w, A^2 w, ...] of the others, p = T z, the matrix A is a companion matrix:

    x' = g z + m y,   z'[0] = y - a[0] z[last],   z'[i] = z[i-1] - a[i] z[last],   g[i] = r A^i w,   A^n w = -sum a[i] A^i w.

Per round 2 (t - 1) + 1 products instead of t^2, and the same constants in every round. Before the result is written the
generator holds it against the plain form of the paper on many states.

BabyJubJub. B' = B8 / 2 mod l. For k < 125: u of 4^k B' and of 3 4^k B', and v as a (2 b0 - 1) + b (2 b1 - 1), in Montgomery
coordinates (A = 168698, B = 1); then the two points (4^125 - 1) B' and that plus 2^250 B8, in Edwards coordinates.

Pairing. p = 36 x^4 + 36 x^3 + 24 x^2 + 6 x + 1, Fp2 = Fp[u]/(u^2 + 1), xi = 9 + u. The twist has b' = 3 / xi;
psi(x, y) = (xi^((p-1)/3) conj x, xi^((p-1)/2) conj y). Before they are written: no chord of the loop is degenerate at any
point of the twist, and what the loop's end annihilates is the subgroup of order r (check_twist).
"""

import random
import sys
import textwrap
from hashlib import sha256
from math import gcd

sys.dont_write_bytecode = True
import generated  # noqa: E402
from vectors_types import FIELD, FULL_ROUNDS, JUB, JUB_L, PARTIAL_ROUNDS, poseidon, poseidon_constants  # noqa: E402

WIDTHS = range(2, 14)
WINDOWS = 125

# --- linear algebra mod p ---------------------------------------------------------------------------------------------


def dot(row, column):
    return sum(a * b for a, b in zip(row, column, strict=True)) % FIELD


def apply(matrix, vector):
    return [dot(row, vector) for row in matrix]


def product(one, two):
    return [[dot(row, column) for column in zip(*two)] for row in one]


def solve(matrix, right):
    """X with matrix X = right, by elimination; fails where the matrix is singular."""
    size = len(matrix)
    rows = [list(a) + list(b) for a, b in zip(matrix, right, strict=True)]
    for i in range(size):
        pivot = next(j for j in range(i, size) if rows[j][i])
        rows[i], rows[pivot] = rows[pivot], rows[i]
        scale = pow(rows[i][i], -1, FIELD)
        rows[i] = [value * scale % FIELD for value in rows[i]]
        for j in range(size):
            if j != i and rows[j][i]:
                factor = rows[j][i]
                rows[j] = [(a - factor * b) % FIELD for a, b in zip(rows[j], rows[i])]
    return [row[size:] for row in rows]


# --- Poseidon ---------------------------------------------------------------------------------------------------------


def recurrence(width):
    """full (8 t), partial (RP), enter (t x t), feedback (t-1), taps (t-1), exit (t-1 x t-1), M (t x t), one list."""
    partial, constants, m = poseidon_constants(width)
    half, n = FULL_ROUNDS // 2, width - 1
    rounds = [constants[i * width : (i + 1) * width] for i in range(FULL_ROUNDS + partial)]
    a, w, r = [row[1:] for row in m[1:]], [row[0] for row in m[1:]], m[0][1:]

    columns = [w]
    for _ in range(n):
        columns.append(apply(a, columns[-1]))
    basis = [list(row) for row in zip(*columns[:n])]
    feedback = [-row[0] % FIELD for row in solve(basis, [[value] for value in columns[n]])]
    taps = [dot(r, column) for column in columns[:n]]
    enter = [m[0], *solve(basis, m[1:])]

    single, shift, first = [], [0] * n, 0
    for row in rounds[half : half + partial]:
        single.append((row[0] + first) % FIELD)
        moved = [(d + c) % FIELD for d, c in zip(shift, row[1:])]
        first, shift = dot(r, moved), apply(a, moved)
    full = rounds[:half] + rounds[half + partial :]
    full[half] = [(c + d) % FIELD for c, d in zip(full[half], [first, *shift])]

    flat = [value for row in full for value in row] + single
    for block in (enter, [feedback], [taps], basis, m):
        flat += [value for row in block for value in row]
    return partial, flat


def hash_by_recurrence(inputs):
    """What the circuit computes, from the flat list alone."""
    state = [0, *inputs]
    t, n = len(state), len(inputs)
    partial, k = recurrence(t)
    at = 8 * t + partial
    enter = [k[at + i * t : at + (i + 1) * t] for i in range(t)]
    at += t * t
    feedback, taps = k[at : at + n], k[at + n : at + 2 * n]
    at += 2 * n
    leave = [k[at + i * n : at + (i + 1) * n] for i in range(n)]
    at += n * n
    m = [k[at + i * t : at + (i + 1) * t] for i in range(t)]
    for turn in range(8):
        state = [pow(s + k[turn * t + i], 5, FIELD) for i, s in enumerate(state)]
        state = apply(enter if turn == 3 else m, state)
        if turn == 3:
            x, z = state[0], state[1:]
            for constant in k[8 * t : 8 * t + partial]:
                y = pow(x + constant, 5, FIELD)
                x = (dot(taps, z) + m[0][0] * y) % FIELD
                z = [((z[i - 1] if i else y) - feedback[i] * z[-1]) % FIELD for i in range(n)]
            state = [x, *apply(leave, z)]
    return state[0]


def numbers(values):
    return ",\n".join(f"        0x{value:064x}" for value in values)


def poseidon_file():
    out = [
        "pragma circom 2.1.6;\n",
        "// Written by scripts/circuit_constants.py, which says what the numbers are and recomputes them.\n",
        "// Partial rounds of Poseidon with a state of `t` elements.",
        "function poseidonPartialRounds(t) {",
        f"    var ROUNDS[{len(WIDTHS)}] = [{', '.join(str(PARTIAL_ROUNDS[t - 2]) for t in WIDTHS)}];",
        "    return ROUNDS[t - 2];",
        "}\n",
        "// In order: 8 t constants of the full rounds, one a partial round, the matrix into the partial rounds (t x t),",
        "// feedback (t-1), taps (t-1), the matrix out of them (t-1 x t-1), the matrix of a full round (t x t).",
        "function poseidonConstants(t) {",
    ]
    source = random.Random(1)
    for i, t in enumerate(WIDTHS):
        for _ in range(8):
            inputs = [source.choice([0, 1, FIELD - 1, source.randrange(FIELD)]) for _ in range(t - 1)]
            assert hash_by_recurrence(inputs) == poseidon(inputs), t
        out += [f"    {'} else ' if i else ''}if (t == {t}) {{", "        return [", numbers(recurrence(t)[1]), "        ];"]
    return "\n".join([*out, "    }", "    assert(0);", "    return [0];", "}", ""])


# --- BabyJubJub -------------------------------------------------------------------------------------------------------


def montgomery(point):
    x, y = point
    u = (1 + y) * pow(1 - y, -1, FIELD) % FIELD
    return u, u * pow(x, -1, FIELD) % FIELD


def babyjub_file():
    half_base = JUB.mul(pow(2, -1, JUB_L), JUB.base)
    two = pow(2, -1, FIELD)
    table = []
    for k in range(WINDOWS):
        one = JUB.mul(4**k, half_base)
        (u1, v1), (u3, v3) = montgomery(one), montgomery(JUB.mul(3, one))
        table += [u1, u3, (v3 - v1) * two % FIELD, (v3 + v1) * two % FIELD]
    low = JUB.mul((4**WINDOWS - 1) % JUB_L, half_base)
    high = JUB.add(low, JUB.mul(2 ** (2 * WINDOWS), JUB.base))
    return "\n".join(
        [
            "pragma circom 2.1.6;\n",
            "// Written by scripts/circuit_constants.py, which says what the numbers are and recomputes them.\n",
            "// Per window of two bits: u for digit 1, u for digit 3, and v's factors of 2 b0 - 1 and 2 b1 - 1.",
            "function babyJubWindows() {",
            "    return [",
            numbers(table),
            "    ];",
            "}\n",
            "// What the windows leave out, x and y: the shift of the digits; the same with bit 250 of the scalar.",
            "function babyJubShift() {",
            "    return [",
            numbers([*low, *high]),
            "    ];",
            "}",
            "",
        ]
    )


# --- the pairing's curves ---------------------------------------------------------------------------------------------

X = 4965661367192848881
BASE = 36 * X**4 + 36 * X**3 + 24 * X**2 + 6 * X + 1
XI = (9, 1)


def fp2_mul(one, two):
    (a, b), (c, d) = one, two
    return (a * c - b * d) % BASE, (a * d + b * c) % BASE


def fp2_inverse(value):
    a, b = value
    norm = pow(a * a + b * b, -1, BASE)
    return a * norm % BASE, -b * norm % BASE


def fp2_pow(base, exponent):
    result = (1, 0)
    for bit in f"{exponent:b}":
        result = fp2_mul(result, result)
        if bit == "1":
            result = fp2_mul(result, base)
    return result


def signed_digits(value):
    """The form with no two neighbours but for the top, as ark-bn254 writes it: highest first, without the leading 1."""
    digits = []
    while value:
        digit = 2 - value % 4 if value % 2 else 0
        digits.append(digit)
        value = (value - digit) // 2
    # The leading 1, 0, -1 is written 1, 1: one doubling less.
    assert digits[-3:] == [-1, 0, 1]
    digits[-3:] = [1, 1]
    return digits[-2::-1]


PSI_X = fp2_pow(XI, (BASE - 1) // 3)
PSI_Y = fp2_pow(XI, (BASE - 1) // 2)
PSI2_X, REST = fp2_pow(XI, (BASE**2 - 1) // 3)
assert REST == 0 and fp2_pow(XI, (BASE**2 - 1) // 2) == (BASE - 1, 0)
LOOP = signed_digits(6 * X + 2)
assert len(LOOP) == 64 and sum(map(abs, LOOP)) == 21


def is_prime(n):
    """Miller and Rabin with the first 40 odd bases."""
    odd, twos = n - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for base in range(3, 83, 2):
        value = pow(base, odd, n)
        if value not in (1, n - 1) and all((value := value * value % n) != n - 1 for _ in range(twos - 1)):
            return False
    return True


def norm(a, b):
    """Of a + b psi modulo psi^2 - t psi + p, t = 6 x^2 + 1: 0 mod q iff an eigenvalue of psi mod q is a root."""
    return a * a + a * b * (6 * X**2 + 1) + b * b * BASE


def check_twist():
    """What twist.circom says about chords and about the end of the loop, for these digits."""
    t, loop = 6 * X**2 + 1, 6 * X + 2
    cofactor = 2 * BASE - FIELD
    small = [10069, 5864401, 1875725156269]
    large, rest = divmod(cofactor, small[0] * small[1] * small[2])
    factors = [*small, large, FIELD]
    assert rest == 0 and large.bit_length() == 178 and all(map(is_prime, factors)) and len(set(factors)) == 5
    for q in factors:
        multiple = 1
        for digit in LOOP:
            multiple *= 2
            assert digit == 0 or (multiple - 1) % q and (multiple + 1) % q
            multiple += digit
        assert multiple == loop
        # T = +-psi(B), then T + psi(B) = +-psi^2(B), with psi^2 = t psi - p.
        for a, b in ((loop, 1), (loop, -1), (loop + BASE, 1 - t), (loop - BASE, 1 + t)):
            assert norm(a, b) % q
    # 6 x + 2 + psi - psi^2 + psi^3, with psi^3 = (t^2 - p) psi - t p.
    assert gcd(norm(loop + BASE - t * BASE, 1 - t + t * t - BASE), FIELD * cofactor) == FIELD


def transcript_file():
    source = random.Random(2)
    for _ in range(8):
        inputs = [source.choice([0, 1, FIELD - 1, source.randrange(FIELD)]) for _ in range(16)]
        assert hash_by_recurrence(inputs) == poseidon(inputs)
    return "\n".join(
        [
            "pragma circom 2.1.6;\n",
            "// Written by scripts/circuit_constants.py, which says what the numbers are and recomputes them.\n",
            "// Poseidon with a state of 17 elements; what poseidonConstants(t) says, in its order.",
            "function poseidon17Constants() {",
            "    return [",
            numbers(recurrence(17)[1]),
            "    ];",
            "}",
            "",
        ]
    )


def limbs(value):
    return [value >> 64 * i & 2**64 - 1 for i in range(4)]


def word_function(comment, name, words):
    """A function that gives the limbs of each word, lowest first."""
    rows = ",\n".join("        [" + ", ".join(f"0x{limb:016x}" for limb in limbs(word)) + "]" for word in words)
    return [f"// {comment}", f"function {name}() {{", "    return [", rows, "    ];", "}\n"]


def comb_origin():
    """A point of G1 that nobody knows a logarithm of: the first SHA-256(string, count) mod p with an ordinate, the even one."""
    for count in range(256):
        x = int.from_bytes(sha256(b"smt-node groth16 verifier comb origin " + bytes([count])).digest()) % BASE
        y = pow(x**3 + 3, (BASE + 1) // 4, BASE)
        if y * y % BASE == (x**3 + 3) % BASE:
            return x, y if y % 2 == 0 else BASE - y
    raise AssertionError("no point")


def pairing_file():
    check_twist()
    out = ["pragma circom 2.1.6;\n", "// Written by scripts/circuit_constants.py, which says what the numbers are."]
    out += ["// Four limbs of 64 bits a number, lowest first; an element of Fp2 is two numbers, the real one first.\n"]
    out += word_function("The modulus p of the base field.", "pairingModulus", [BASE])
    out += word_function("b' of the twist y^2 = x^3 + b'.", "twistB", fp2_mul((3, 0), fp2_inverse(XI)))
    psi = [*PSI_X, *PSI_Y, PSI2_X, *(c * PSI2_X % BASE for c in PSI_X), *(-c % BASE for c in PSI_Y)]
    comment = "psi(x, y) = ([0, 1] conj x, [2, 3] conj y); psi^2 x = [4] x; psi^3(x, y) = ([5, 6] conj x, [7, 8] conj y)."
    out += word_function(comment, "twistPsi", psi)
    out += word_function("O of comb.circom, x and y.", "combOrigin", comb_origin())
    digits = ", ".join(str(digit) for digit in LOOP)
    out += ["// Signed digits of 6 x + 2 below the leading 1, highest first.", "function loopDigits() {"]
    out += ["    return [", textwrap.fill(digits, 116, initial_indent=" " * 8, subsequent_indent=" " * 8), "    ];", "}", ""]
    return "\n".join(out)


FILES = {
    "poseidon-constants.circom": poseidon_file,
    "poseidon-17-constants.circom": transcript_file,
    "babyjub-constants.circom": babyjub_file,
    "pairing-constants.circom": pairing_file,
}


def files():
    return {name: make() for name, make in FILES.items()}


if __name__ == "__main__":
    sys.exit(generated.run(__doc__, "circuits/lib", files))
