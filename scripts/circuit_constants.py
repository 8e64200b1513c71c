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
"""

import random
import sys

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


FILES = {"poseidon-constants.circom": poseidon_file, "babyjub-constants.circom": babyjub_file}


def files():
    return {name: make() for name, make in FILES.items()}


if __name__ == "__main__":
    sys.exit(generated.run(__doc__, "circuits/lib", files))
