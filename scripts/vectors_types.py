#!/usr/bin/env python3
"""Recomputes the test vectors of consensus/types from the written rules (standard library only).

    vectors_types.py --check    compares with consensus/types/vectors/, exits 1 on a difference
    vectors_types.py --write    writes them; a change is a change of format and belongs in the changelog

Nothing here is taken from the Rust code: BLAKE3 is scripts/blake3.py, ed25519 follows RFC 8032 and ZIP-215, Poseidon
draws its constants with the Grain LFSR of its paper, BabyJubJub is EIP-2494, bech32m is BIP-350. poseidon.json and
babyjub.json in the same folder come from circomlibjs; --check recomputes those too.
"""

import json
import sys
from functools import lru_cache
from hashlib import sha512

sys.dont_write_bytecode = True
import generated  # noqa: E402
from blake3 import blake3  # noqa: E402

FOLDER = "consensus/types/vectors"
VECTORS = generated.ROOT / FOLDER

# The table of hash domains, name and context.
DOMAINS = {
    "Address": "account address",
    "Payment": "payment",
    "BatchLeaf": "batch leaf",
    "BatchNode": "batch node",
    "BatchHeader": "batch header",
    "Vote": "vote",
    "Applied": "applied",
    "Report": "report",
    "CutValue": "cut value",
    "CutVote": "cut vote",
    "Proposal": "cut proposal",
    "ViewChange": "view change",
    "Header": "snapshot header",
    "State": "shard state",
    "Links": "link changes",
    "Vector": "vector clock",
    "OutboxChain": "outbox chain",
    "OutboxKey": "outbox key",
    "CursorKey": "cursor key",
    "TransactionKey": "transaction key",
    "EpochTransactions": "epoch transactions",
    "History": "history root",
    "CutPlan": "cut plan",
    "Committee": "committee",
    "Possession": "key possession",
    "GenesisFile": "genesis file",
    "DevelopmentSeed": "insecure development seed",
    "GossipId": "gossip id",
    "Evidence": "evidence",
    "Handshake": "handshake",
    "AddressRecord": "address record",
}


def context(text):
    return "smt 2026-11-20 " + text


def digest(domain, data):
    return blake3(data, context=context(DOMAINS[domain]))


# --- the canonical byte form: fixed width, little endian, lists with a u32 count -------------------------------------


def uint(bits):
    return lambda value: value.to_bytes(bits // 8, "little")


u8, u16, u32, u64, u128 = map(uint, (8, 16, 32, 64, 128))


def many(items):
    items = list(items)
    return u32(len(items)) + b"".join(items)


def bitmap(bits):
    data = bytearray((len(bits) + 7) // 8)
    for i, bit in enumerate(bits):
        data[i // 8] |= bit << (i % 8)
    return u16(len(bits)) + bytes(data)


def shard(word):
    return u8(len(word)) + u32(int("".join(map(str, word)) or "0", 3))


def dense(time_us, shard_index, replica, counter):
    return u64(time_us) + u32(shard_index) + u8(replica) + u32(counter)


# --- twisted Edwards curves a x^2 + y^2 = 1 + d x^2 y^2 mod p ---------------------------------------------------------


class Curve:
    def __init__(self, p, a, d, order, base):
        self.p, self.a, self.d, self.order, self.base = p, a % p, d % p, order, base

    def add(self, one, two):
        p, (x1, y1), (x2, y2) = self.p, one, two
        t = self.d * x1 * x2 * y1 * y2 % p
        return (
            (x1 * y2 + y1 * x2) * pow(1 + t, -1, p) % p,
            (y1 * y2 - self.a * x1 * x2) * pow(1 - t, -1, p) % p,
        )

    def mul(self, scalar, point):
        result = (0, 1)
        while scalar:
            if scalar & 1:
                result = self.add(result, point)
            point, scalar = self.add(point, point), scalar >> 1
        return result

    def x_squared(self, y):
        return (1 - y * y) * pow(self.a - self.d * y * y, -1, self.p) % self.p


def sqrt(n, p):
    """A square root mod p by Tonelli and Shanks, or None."""
    if n % p == 0:
        return 0
    if pow(n, (p - 1) // 2, p) != 1:
        return None
    q, s = p - 1, 0
    while q % 2 == 0:
        q, s = q // 2, s + 1
    z = next(z for z in range(2, 100) if pow(z, (p - 1) // 2, p) == p - 1)
    c, t, r, m = pow(z, q, p), pow(n, q, p), pow(n, (q + 1) // 2, p), s
    while t != 1:
        i, t2 = 0, t
        while t2 != 1:
            i, t2 = i + 1, t2 * t2 % p
        b = pow(c, 1 << (m - i - 1), p)
        m, c = i, b * b % p
        t, r = t * c % p, r * b % p
    return r


# --- ed25519: RFC 8032 signing, ZIP-215 verification ------------------------------------------------------------------

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
ED_D = -121665 * pow(121666, -1, P) % P
ED_Y = 4 * pow(5, -1, P) % P


def ed_x(y, odd):
    x2 = (y * y - 1) * pow(ED_D * y * y + 1, -1, P) % P
    x = sqrt(x2, P)
    if x is None:
        return None
    return P - x if x and x % 2 != odd else x


ED = Curve(P, -1, ED_D, L, (ed_x(ED_Y, 0), ED_Y))


def ed_pack(point):
    return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")


def ed_unpack(data):
    """ZIP-215: y may be p or more, and the sign may be set where x is 0."""
    number = int.from_bytes(data, "little")
    y = (number & (2**255 - 1)) % P
    x = ed_x(y, number >> 255)
    return None if x is None else (x, y)


def ed_secret(seed):
    wide = sha512(seed).digest()
    scalar = int.from_bytes(wide[:32], "little") & ((1 << 254) - 8) | (1 << 254)
    return scalar, wide[32:]


def hash_mod_l(*parts):
    return int.from_bytes(sha512(b"".join(parts)).digest(), "little") % L


@lru_cache(None)
def ed_public(seed):
    return ed_pack(ED.mul(ed_secret(seed)[0], ED.base))


def ed_sign(seed, message):
    scalar, prefix = ed_secret(seed)
    nonce = hash_mod_l(prefix, message)
    r = ed_pack(ED.mul(nonce, ED.base))
    k = hash_mod_l(r, ed_public(seed), message)
    return r + ((nonce + k * scalar) % L).to_bytes(32, "little")


def ed_verify(public, message, signature):
    a, r = ed_unpack(public), ed_unpack(signature[:32])
    s = int.from_bytes(signature[32:], "little")
    if a is None or r is None or s >= L:
        return False
    k = hash_mod_l(signature[:32], public, message)
    right = ED.add(r, ED.mul(k, a))
    return ED.mul(8 * s, ED.base) == ED.mul(8, right)


def small_order():
    """All encodings of the 8 points of small order, the ones that are not canonical included."""
    y8 = next(
        y
        for n in range(2, 100)
        for x in [ed_x(n, 0)]
        if x is not None
        for (_, y) in [ED.mul(L, (x, n))]
        if ED.mul(4, (ed_x(y, 0), y)) == (0, P - 1)
    )
    ys = [0, 1, P - 1, P, P + 1, y8, P - y8]
    return sorted((y | sign << 255).to_bytes(32, "little") for y in ys for sign in (0, 1))


# --- Poseidon over BN254 and EdDSA on BabyJubJub ----------------------------------------------------------------------

FIELD = 21888242871839275222246405745257275088548364400416034343698204186575808495617
PARTIAL_ROUNDS = [56, 57, 56, 60, 60, 63, 64, 63, 60, 66, 60, 65, 70, 60, 64, 68]
FULL_ROUNDS = 8


def grain(width, partial):
    """Bits of the Grain LFSR, self-shrunk, as the Poseidon paper's appendix says."""
    bits = []
    for value, size in ((1, 2), (0, 4), (254, 12), (width, 12), (FULL_ROUNDS, 10), (partial, 10), (2**30 - 1, 30)):
        bits += [int(b) for b in f"{value:0{size}b}"]

    def step():
        new = bits[62] ^ bits[51] ^ bits[38] ^ bits[23] ^ bits[13] ^ bits[0]
        bits.pop(0)
        bits.append(new)
        return new

    for _ in range(160):
        step()
    while True:
        keep, bit = step(), step()
        if keep:
            yield bit


@lru_cache(None)
def poseidon_constants(width):
    partial = PARTIAL_ROUNDS[width - 2]
    stream = grain(width, partial)

    def number():
        value = 0
        for _ in range(254):
            value = value << 1 | next(stream)
        return value

    constants = []
    while len(constants) < (FULL_ROUNDS + partial) * width:
        value = number()
        if value < FIELD:
            constants.append(value)
    while True:
        drawn = [number() % FIELD for _ in range(2 * width)]
        if len(set(drawn)) == 2 * width:
            break
    matrix = [[pow(x + y, -1, FIELD) for y in drawn[width:]] for x in drawn[:width]]
    return partial, constants, matrix


def poseidon(inputs):
    state = [0, *inputs]
    width = len(state)
    partial, constants, matrix = poseidon_constants(width)
    for turn in range(FULL_ROUNDS + partial):
        state = [(s + constants[turn * width + i]) % FIELD for i, s in enumerate(state)]
        full = turn < FULL_ROUNDS // 2 or turn >= FULL_ROUNDS // 2 + partial
        state = [pow(s, 5, FIELD) if full or i == 0 else s for i, s in enumerate(state)]
        state = [sum(m * s for m, s in zip(row, state)) % FIELD for row in matrix]
    return state[0]


def poseidon_many(inputs):
    """The length first, then 11 at a time."""
    state = len(inputs)
    if not inputs:
        return poseidon([0])
    for start in range(0, len(inputs), 11):
        state = poseidon([state, *inputs[start : start + 11]])
    return state


JUB_L = 2736030358979909402780800718157159386076813972158567259200215660948447373041
JUB = Curve(
    FIELD,
    168700,
    168696,
    JUB_L,
    (
        5299619240641551281634865583518297030282874472190772894086521144482721001553,
        16950150798460657717958625567821834550301663161624707787222815936182638968203,
    ),
)


def jub_pack(point):
    return (point[1] | (point[0] > (FIELD - 1) // 2) << 255).to_bytes(32, "little")


def jub_unpack(data):
    number = int.from_bytes(data, "little")
    y, negative = number & (2**255 - 1), number >> 255
    if y >= FIELD or (negative and y in (1, FIELD - 1)):
        return None
    x = sqrt(JUB.x_squared(y), FIELD)
    if x is None:
        return None
    return ((FIELD - x) % FIELD if (x > (FIELD - 1) // 2) != negative else x, y)


def jub_wide(text, data):
    return int.from_bytes(blake3(data, context=context(text), length=64), "little") % JUB_L


def jub_secret(seed):
    return jub_wide("babyjubjub secret scalar", seed + b"\0")


@lru_cache(None)
def jub_public(seed):
    return jub_pack(JUB.mul(jub_secret(seed), JUB.base))


def jub_challenge(r, a, message):
    return poseidon([*r, *a, message])


def jub_sign(seed, message):
    nonce = jub_wide("babyjubjub nonce", seed + message.to_bytes(32, "big"))
    r, a = JUB.mul(nonce, JUB.base), JUB.mul(jub_secret(seed), JUB.base)
    s = (nonce + 8 * jub_challenge(r, a, message) * jub_secret(seed)) % JUB_L
    return jub_pack(r) + s.to_bytes(32, "little")


def jub_verify(public, message, signature):
    a, r = jub_unpack(public), jub_unpack(signature[:32])
    s = int.from_bytes(signature[32:], "little")
    if a is None or r is None or s >= JUB_L:
        return False
    a8 = JUB.mul(8, a)
    return a8 != (0, 1) and JUB.mul(s, JUB.base) == JUB.add(r, JUB.mul(jub_challenge(r, a, message), a8))


def halves(data):
    return [int.from_bytes(data[:16], "big"), int.from_bytes(data[16:], "big")]


# --- addresses --------------------------------------------------------------------------------------------------------


def bech32m(prefix, data):
    charset = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
    number, size = int.from_bytes(data, "big") << 4, 52
    values = [number >> 5 * (size - 1 - i) & 31 for i in range(size)]
    check = 1
    expanded = [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix]
    for value in expanded + values + [0] * 6:
        top, check = check >> 25, (check & 0x1FFFFFF) << 5 ^ value
        for i, g in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            check ^= g if top >> i & 1 else 0
    check ^= 0x2BC830A3
    return prefix + "1" + "".join(charset[v] for v in values + [check >> 5 * (5 - i) & 31 for i in range(6)])


def trits(address, level):
    number = int.from_bytes(address, "big") * 3**level >> 256
    return [number // 3 ** (level - 1 - i) % 3 for i in range(level)]


def word_text(word):
    return ".".join(map(str, word)) or "root"


# --- the files --------------------------------------------------------------------------------------------------------

ORIGIN = "scripts/vectors_types.py"


def domains_file():
    inputs = [b"", b"x", bytes(i % 251 for i in range(1500))]
    rows = [
        {"name": name, "context": context(text), "digests": [digest(name, data).hex() for data in inputs]}
        for name, text in DOMAINS.items()
    ]
    return {"origin": ORIGIN, "inputs": [data.hex() for data in inputs], "domains": rows}


def addresses_file():
    def row(address, public=None):
        words = [word_text(trits(address, level)) for level in range(10)]
        texts = {"smt": bech32m("smt", address), "smtdev": bech32m("smtdev", address)}
        return {"public": public and public.hex(), "address": address.hex(), **texts, "words": words}

    rows = []
    for i in range(1, 9):
        public = ed_public(bytes([i]) * 32)
        rows.append(row(digest("Address", public), public))
    borders = [0, 2**256 - 1]
    for level, index in ((1, 1), (1, 2), (3, 7), (9, 1), (9, 9999), (9, 19682)):
        first = -(-(index << 256) // 3**level)
        borders += [first - 1, first]
    rows += [row(number.to_bytes(32, "big")) for number in borders]
    return {"origin": ORIGIN, "addresses": rows}


def ed25519_file():
    weak = small_order()
    torsion = next(p for p in map(ed_unpack, weak) if ED.mul(4, p) != (0, 1))
    rows = []

    def add(what, public, message, signature):
        valid = ed_verify(public, message, signature)
        rows.append(
            {
                "what": what,
                "public": public.hex(),
                "digest": message.hex(),
                "signature": signature.hex(),
                "valid": valid,
            }
        )

    def made(scalar, a, r_bytes, nonce, message):
        k = hash_mod_l(r_bytes, a, message)
        return r_bytes + ((nonce + k * scalar) % L).to_bytes(32, "little")

    seed = bytes([0x33]) * 32
    scalar, plain = ed_secret(seed)[0], ed_public(seed)
    twisted = ed_pack(ED.add(ed_unpack(plain), torsion))
    message = blake3(b"zip 215")
    add("plain", plain, message, ed_sign(seed, message))
    add("another message", plain, blake3(b"other"), ed_sign(seed, message))
    add("another key", ed_public(bytes([0x34]) * 32), message, ed_sign(seed, message))
    signature = ed_sign(seed, message)
    s = int.from_bytes(signature[32:], "little")
    add("S + l", plain, message, signature[:32] + (s + L).to_bytes(32, "little"))
    add("S = l - 1", plain, message, signature[:32] + (L - 1).to_bytes(32, "little"))
    nonce = 424242
    r = ED.mul(nonce, ED.base)
    add("key with torsion", twisted, message, made(scalar, twisted, ed_pack(r), nonce, message))
    r_twisted = ed_pack(ED.add(r, torsion))
    add("R with torsion", plain, message, made(scalar, plain, r_twisted, nonce, message))
    add("key and R with torsion", twisted, message, made(scalar, twisted, r_twisted, nonce, message))
    for r_bytes in weak:
        add(f"small-order R {r_bytes.hex()}", plain, message, made(scalar, plain, r_bytes, 0, message))
        add(f"key with torsion, small-order R {r_bytes.hex()}", twisted, message, made(scalar, twisted, r_bytes, 0, message))
    off = next(n for n in range(2, 99) if ed_x(n, 0) is None).to_bytes(32, "little")
    add("R is no curve point", plain, message, off + signature[32:])
    add("key is no curve point", off, message, signature)
    # y = p + 3 and the like: encodings above p of points of large order; nobody knows their secret.
    large = next(n for n in range(3, 19) if ed_x(n, 0) is not None)
    above = (P + large).to_bytes(32, "little")
    add(f"key y = p + {large}", above, message, signature)
    add(f"R y = p + {large}", plain, message, above + signature[32:])
    keys = [{"seed": (bytes([i]) * 32).hex(), "public": ed_public(bytes([i]) * 32).hex()} for i in range(1, 9)]
    return {"origin": ORIGIN, "weak": [data.hex() for data in weak], "keys": keys, "signatures": rows}


def jub_file():
    rows = []
    for i in range(4):
        seed = bytes([0x70 + i]) * 32
        message = [0, FIELD - 1, 1234, 2**200 + 5][i]
        rows.append(
            {
                "seed": seed.hex(),
                "public": jub_public(seed).hex(),
                "message": str(message),
                "signature": jub_sign(seed, message).hex(),
            }
        )
    lists = [list(range(1, n + 1)) for n in (0, 1, 10, 11, 12, 22, 23, 40)]
    return {
        "origin": ORIGIN,
        "keys": rows,
        "lists": [{"inputs": list(map(str, items)), "hash": str(poseidon_many(items))} for items in lists],
    }


NETWORK = 7


def payments():
    """Three payers of one shard of level 1."""
    seeds = [bytes([i]) * 32 for i in range(1, 40)]
    home = trits(digest("Address", ed_public(seeds[0])), 1)
    payers = [seed for seed in seeds if trits(digest("Address", ed_public(seed)), 1) == home][:3]
    fields = [(0, 1, b"", 0), (3, 2**64 - 1, bytes(range(64)), 2**40), (2**63, 1_000_000, "für 7 €".encode(), 17)]
    rows = []
    for seed, (seq, amount, memo, after) in zip(payers, fields):
        payee = digest("Address", ed_public(bytes([0x55]) * 32))
        body = u32(NETWORK) + ed_public(seed) + u64(seq) + payee + u64(amount) + many(map(u8, memo)) + u64(after)
        name = digest("Payment", body)
        signature = ed_sign(seed, name)
        rows.append(
            {
                "seed": seed.hex(),
                "network": NETWORK,
                "payer": ed_public(seed).hex(),
                "seq": str(seq),
                "payee": payee.hex(),
                "amount": str(amount),
                "memo": memo.hex(),
                "after": str(after),
                "id": name.hex(),
                "bytes": (body + signature).hex(),
                "leaf": digest("BatchLeaf", body + signature).hex(),
            }
        )
    return home, rows


def replica_keys(i):
    ed, jub = ed_public(bytes([0x10 + i]) * 32), jub_public(bytes([0x20 + i]) * 32)
    possession = digest("Possession", ed + jub)
    field = poseidon(halves(possession))
    return ed + jub + ed_sign(bytes([0x10 + i]) * 32, possession) + jub_sign(bytes([0x20 + i]) * 32, field)


def records_file():
    home, rows = payments()
    signed = [bytes.fromhex(row["bytes"]) for row in rows]
    leaves = [bytes.fromhex(row["leaf"]) for row in rows]
    members = many(replica_keys(i) for i in range(3))
    committee = digest("Committee", u32(NETWORK) + shard(home) + members)
    pair = digest("BatchNode", leaves[0] + leaves[1])
    root = digest("BatchNode", pair + leaves[2])
    stamp = u64(99) + dense(1_770_000_000_000_000, home[0], 1, 3)
    header = u32(NETWORK) + shard(home) + committee + u8(1) + u64(5) + root + u16(3) + stamp
    header_digest = digest("BatchHeader", header)
    batch = header + ed_sign(bytes([0x11]) * 32, header_digest) + many(signed)
    votes, parts = [], []
    for replica, bits in ((0, [1, 1, 1]), (2, [0, 1, 1])):
        key = bytes([0x10 + replica]) * 32
        body = committee + u8(1) + u64(5) + header_digest + u8(replica) + bitmap(bits)
        vote = digest("Vote", body)
        votes.append({"digest": vote.hex(), "bytes": (body + ed_sign(key, vote)).hex()})
        body = committee + header_digest + u8(replica) + bitmap(bits) + u64(4 + replica)
        applied = digest("Applied", body)
        signature = ed_sign(key, applied)
        parts.append((applied, u8(replica) + bitmap(bits) + u64(4 + replica) + signature, body + signature))
    receipts = []
    for index, siblings in ((1, [leaves[0], leaves[2]]), (2, [pair])):
        path = u16(index) + many(siblings)
        data = header + signed[index] + path + many(part for _, part, _ in parts)
        receipts.append({"index": index, "epoch": 6, "payment": rows[index]["id"], "bytes": data.hex()})
    return {
        "origin": ORIGIN,
        "payments": rows,
        "committee": {"shard": word_text(home), "members": members.hex(), "digest": committee.hex()},
        "batch": {"root": root.hex(), "digest": header_digest.hex(), "bytes": batch.hex()},
        "votes": votes,
        "applied": [{"digest": d.hex(), "bytes": whole.hex()} for d, _, whole in parts],
        "receipts": receipts,
        "header": snapshot_header(home, committee),
    }


def snapshot_header(home, committee):
    names = {name: blake3(name.encode()) for name in ("predecessor", "state", "vector")}
    entries = [(2**64 + 1, 5, 2), (0, 2**127, 1)]
    time = (1_770_000_001_000_000, home[0], 2, 9)
    links = digest("Links", many([]))
    data = u32(NETWORK) + shard(home) + u64(3) + names["predecessor"] + names["state"] + u64(10**15) + names["vector"]
    data += u64(1234) + dense(*time) + committee
    # One level; a level is two entries without a count of their own.
    data += u32(1) + b"".join(u128(sent) + u128(received) + u64(epoch) for sent, received, epoch in entries)
    data += links
    fields = [NETWORK, 1, home[0], 3, *halves(names["predecessor"]), *halves(names["state"]), 10**15]
    fields += [*halves(names["vector"]), 1234, *time, *halves(committee)]
    for entry in entries:
        fields += entry
    fields += halves(links)
    digest_blake3, digest_poseidon = digest("Header", data), poseidon_many(fields)
    signatures = [
        u8(i) + ed_sign(bytes([0x10 + i]) * 32, digest_blake3) + jub_sign(bytes([0x20 + i]) * 32, digest_poseidon)
        for i in (0, 1)
    ]
    certified = data + many([]) + many(signatures)
    return {"bytes": data.hex(), "digest": digest_blake3.hex(), "poseidon": str(digest_poseidon), "certified": certified.hex()}


FILES = {
    "domains.json": domains_file,
    "addresses.json": addresses_file,
    "ed25519.json": ed25519_file,
    "jub.json": jub_file,
    "records.json": records_file,
}


def check_circomlib():
    """Recomputes what circomlibjs wrote; yields what differs."""
    for row in json.loads((VECTORS / "poseidon.json").read_text())["hashes"]:
        if poseidon(list(map(int, row["inputs"]))) != int(row["hash"]):
            yield f"poseidon.json {row['inputs']}"
    jub = json.loads((VECTORS / "babyjub.json").read_text())
    for row in jub["points"]:
        point = (int(row["x"]), int(row["y"]))
        packed = bytes.fromhex(row["packed"])
        if jub_pack(point) != packed or jub_unpack(packed) != point:
            yield f"babyjub.json point {row['what']}"
        if (JUB.mul(JUB_L, point) == (0, 1)) != row["in_subgroup"]:
            yield f"babyjub.json subgroup {row['what']}"
    for row in jub["signatures"] + jub["verdicts"]:
        public, signature = bytes.fromhex(row["public"]), bytes.fromhex(row["signature"])
        if jub_verify(public, int(row["message"]), signature) != row.get("valid", True):
            yield f"babyjub.json signature {row}"


def files():
    return {name: json.dumps(make(), indent=1, ensure_ascii=False) + "\n" for name, make in FILES.items()}


if __name__ == "__main__":
    sys.exit(generated.run(__doc__, FOLDER, files, check_circomlib))
