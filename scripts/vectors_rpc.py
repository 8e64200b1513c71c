#!/usr/bin/env python3
"""The worked example of node/RPC.md, computed a second time from the rules written there.

    scripts/vectors_rpc.py [FILE]   compares with FILE (default node/RPC.md); exits 1 on the first difference

Recomputed: keys, addresses, the payment and its signature, the receipt byte by byte. Verified as a
client would, offline, by the steps of RPC.md: the receipt, and proofs that an account is and is not
in a state; each must fail with a bit flipped. What is needed comes from the file itself (domains,
replicas) and from the text of its rules; nothing comes from the node's code. Standard library only.
"""

import argparse
import hashlib
import json
import pathlib
import re
import sys

sys.dont_write_bytecode = True
from blake3 import blake3, last_block  # noqa: E402

FILE = pathlib.Path(__file__).resolve().parent.parent / "node" / "RPC.md"


# ---- ed25519 (RFC 8032; checked by the rules of ZIP-215), in extended coordinates ------------------------------------

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT_OF_MINUS_ONE = pow(2, (P - 1) // 4, P)


class Refused(Exception):
    """What is checked does not hold."""


def need(holds, rule):
    if not holds:
        raise Refused(rule)


def x_of(y, odd):
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT_OF_MINUS_ONE % P
    need((x * x - square) % P == 0, "not a point of the curve")
    return P - x if x % 2 != odd else x


def point(x, y):
    return x, y, 1, x * y % P


NEUTRAL = point(0, 1)
BASE_Y = 4 * pow(5, P - 2, P) % P
BASE = point(x_of(BASE_Y, 0), BASE_Y)


def add(p, q):
    a, b = (p[1] - p[0]) * (q[1] - q[0]), (p[1] + p[0]) * (q[1] + q[0])
    c, d = 2 * D * p[3] * q[3], 2 * p[2] * q[2]
    e, f, g, h = (b - a) % P, (d - c) % P, (d + c) % P, (b + a) % P
    return e * f % P, g * h % P, f * g % P, e * h % P


def times(n, p):
    result = NEUTRAL
    while n:
        if n & 1:
            result = add(result, p)
        p, n = add(p, p), n >> 1
    return result


def pack(p):
    inverse = pow(p[2], P - 2, P)
    x, y = p[0] * inverse % P, p[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def unpack(data):
    number = int.from_bytes(data, "little")
    y = (number & (2**255 - 1)) % P
    return point(x_of(y, number >> 255), y)


def hash_mod_order(*parts):
    return int.from_bytes(hashlib.sha512(b"".join(parts)).digest(), "little") % ORDER


def secret(seed):
    wide = hashlib.sha512(seed).digest()
    scalar = int.from_bytes(wide[:32], "little") & (2**254 - 8) | 2**254
    return scalar, wide[32:], pack(times(scalar, BASE))


def sign(seed, message):
    scalar, prefix, public = secret(seed)
    nonce = hash_mod_order(prefix, message)
    commitment = pack(times(nonce, BASE))
    answer = (nonce + hash_mod_order(commitment, public, message) * scalar) % ORDER
    return commitment + answer.to_bytes(32, "little")


def check_signature(public, message, signature):
    answer = int.from_bytes(signature[32:], "little")
    need(answer < ORDER, "signature: S is not below the order")
    left = times(8 * answer, BASE)
    challenge = hash_mod_order(signature[:32], public, message)
    right = add(times(8, unpack(signature[:32])), times(8 * challenge, unpack(public)))
    same = (left[0] * right[2] - right[0] * left[2]) % P == 0 and (left[1] * right[2] - right[1] * left[2]) % P == 0
    need(same, "signature does not verify")


# ---- bytes -----------------------------------------------------------------------------------------------------------


def le(number, width):
    return number.to_bytes(width, "little")


class Reader:
    """Takes fields off bytes; every byte has to be taken."""

    def __init__(self, data):
        self.data = data
        self.at = 0

    def take(self, count):
        need(self.at + count <= len(self.data), "cut short")
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, width):
        return int.from_bytes(self.take(width), "little")

    def since(self, start):
        return self.data[start : self.at]

    def end(self):
        need(self.at == len(self.data), "bytes left over")


CHARACTERS = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"


def bech32m(prefix, data):
    bits = int.from_bytes(data, "big") << 4
    groups = [bits >> 5 * (51 - i) & 31 for i in range(52)]

    def checksum(values):
        value = 1
        for group in values:
            top = value >> 25
            value = (value & 0x1FFFFFF) << 5 ^ group
            for i, generator in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
                if top >> i & 1:
                    value ^= generator
        return value

    expanded = [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix]
    check = checksum(expanded + groups + [0] * 6) ^ 0x2BC830A3
    return prefix + "1" + "".join(CHARACTERS[v] for v in groups + [check >> 5 * (5 - i) & 31 for i in range(6)])


def trits(number, count):
    return [number // 3**i % 3 for i in reversed(range(count))]


def shard_of(address, level):
    return trits(int.from_bytes(address, "big") * 3**level >> 256, level)


# ---- the rules of RPC.md -------------------------------------------------------------------------------------------


def quorum(replicas):
    return 2 if replicas == 3 else 2 * replicas // 3 + 1


def verify_receipt(H, data, committee, shard, network, keys):
    """The steps of "Receipt": returns the id of the payment and the epoch it is final in."""
    need(len(data) <= 8192, "too long")
    r = Reader(data)
    need(r.number(4) == network and r.take(5) == shard and r.take(32) == committee, "another committee")
    need(r.number(1) in keys, "gateway")
    r.take(8)
    root, count = r.take(32), r.number(2)
    r.take(8 + 8 + 4 + 1 + 4)
    header = r.since(0)

    start = r.at
    need(r.number(4) == network, "payment for another network")
    payer = r.take(32)
    r.take(8 + 32 + 8)
    memo = r.number(4)
    need(memo <= 64, "memo too long")
    r.take(memo + 8)
    payment = r.since(start)
    signature = r.take(64)
    signed = r.since(start)
    level, index_in_base_3 = shard[0], int.from_bytes(shard[1:], "little")
    need(shard_of(H("Address", payer), level) == trits(index_in_base_3, level), "payer of another shard")

    index = r.number(2)
    length = r.number(4)
    need(length <= 10, "path too long")
    siblings = [r.take(32) for _ in range(length)]
    need(1 <= count <= 1024 and index < count, "place in the batch")
    node, place, width = H("BatchLeaf", signed), index, count
    while width > 1:
        if place % 2:
            need(siblings, "path too short")
            node = H("BatchNode", siblings.pop(0) + node)
        elif place < width - 1:
            need(siblings, "path too short")
            node = H("BatchNode", node + siblings.pop(0))
        place, width = place // 2, -(-width // 2)
    need(not siblings and node == root, "path does not lead to the root")
    check_signature(payer, H("Payment", payment), signature)

    need(r.number(4) == quorum(len(keys)), "number of parts")
    last, epoch = -1, 0
    for _ in range(quorum(len(keys))):
        replica = r.number(1)
        need(replica > last and replica in keys, "replicas ascend")
        last = replica
        start = r.at
        need(r.number(2) == count, "bits")
        bits = r.take(-(-count // 8))
        need(bits[index // 8] >> index % 8 & 1 == 1, "bit of the payment")
        need(count % 8 == 0 or bits[-1] >> count % 8 == 0, "spare bits")
        encoded = r.since(start)
        open_epoch = r.take(8)
        message = H("Applied", committee + H("BatchHeader", header) + bytes([replica]) + encoded + open_epoch)
        check_signature(keys[replica][:32], message, r.take(64))
        epoch = max(epoch, int.from_bytes(open_epoch, "little"))
    r.end()
    return H("Payment", payment), epoch


PATH = 162
SKIP = 105
VALUE_INLINE = 64
EMPTY = bytes(32)
MIDSTATE = 128


def pack_trits(values):
    padded = values + [0] * (-len(values) % 5)
    return bytes(
        81 * a + 27 * b + 9 * c + 3 * d + e
        for a, b, c, d, e in (padded[i : i + 5] for i in range(0, len(padded), 5))
    )


def inner_end(depth, skip, total):
    """Bytes 96 to 127 of an inner node."""
    return bytes([1, depth, len(skip)]) + le(total, 8) + pack_trits(skip).ljust(21, b"\0")


def leaf_hash(key, stands, length, depth, total):
    return blake3(key + stands.ljust(64, b"\0") + bytes([2, depth, 0]) + le(total, 8) + le(length, 2) + bytes(19))


def read_children(r, flags, count):
    need(flags >> count == 0, "flags")
    children = [r.take(32) if flags >> i & 1 else EMPTY for i in range(count)]
    need(all(children[i] != EMPTY for i in range(count) if flags >> i & 1), "an empty child")
    return children


def verify_account(H, data, state_root, supply, address, value_key):
    """The steps of "Account proof": returns (balance, next seq), or None if the address is shown to be absent."""
    r = Reader(data)
    accounts, stated = r.take(32), r.number(8)
    r.take(96)
    need(H("State", data[:136]) == state_root and stated == supply, "state root")
    need(r.number(4) == len(data) - 140, "length of the trie proof")

    path = trits(int.from_bytes(address, "big") * 3**PATH >> 256, PATH)
    root_depth, count = r.number(1), r.number(1)
    need(count <= PATH, "levels")
    levels, depth = [], root_depth
    for _ in range(count):
        skip, flags = r.number(1), r.number(1)
        total = r.number(8)
        need(skip <= SKIP and depth + skip < PATH, "skip")
        need((flags == MIDSTATE) == (path[depth + skip] == 2), "form of a level")
        hashes = [r.take(32)] if flags == MIDSTATE else read_children(r, flags, 2)
        levels.append((depth, skip, total, hashes))
        depth += skip + 1

    tag = r.number(1)
    shown, below_is_inner = None, False
    if tag == 0:
        need(count > 0 or root_depth == 0, "root depth")
        reached, total = EMPTY, 0
    elif tag == 1:
        total, length = r.number(8), r.number(2)
        need(length <= 1024, "value too long")
        value = r.take(length)
        stands = value if length <= VALUE_INLINE else blake3(value, key=value_key)
        reached = leaf_hash(address, stands, length, depth, total)
        need(length == 16 and int.from_bytes(value[:8], "little") == total, "leaf is no account")
        shown = int.from_bytes(value[:8], "little"), int.from_bytes(value[8:], "little")
    elif tag == 2:
        other = r.take(32)
        total, length = r.number(8), r.number(2)
        need(length <= 1024, "value too long")
        stands = r.take(length if length <= VALUE_INLINE else 32)
        other_path = trits(int.from_bytes(other, "big") * 3**PATH >> 256, PATH)
        need(other != address and other_path[root_depth:depth] == path[root_depth:depth], "other leaf")
        reached = leaf_hash(other, stands, length, depth, total)
    else:
        need(tag == 3, "tag")
        length = r.number(1)
        need(length <= SKIP and depth + length < PATH, "skip")
        packed = r.take(-(-length // 5))
        need(all(byte < 243 for byte in packed), "trits")
        skip = [t for byte in packed for t in trits(byte, 5)]
        need(not any(skip[length:]), "spare trits")
        skip = skip[:length]
        need(skip != path[depth : depth + length], "the skip does not part from the key")
        flags = r.number(1)
        total = r.number(8)
        children = read_children(r, flags, 3)
        present = sum(child != EMPTY for child in children)
        need(present >= 2 or (present == 1 and length == SKIP), "children")
        reached, below_is_inner = blake3(b"".join(children) + inner_end(depth, skip, total)), True
    r.end()

    for depth, skip, level_total, hashes in reversed(levels):
        need(total <= level_total, "sums")
        turn, last = path[depth + skip], inner_end(depth, path[depth : depth + skip], level_total)
        if turn == 2:
            reached = last_block(hashes[0], reached + last)
        else:
            others = sum(sibling != EMPTY for sibling in hashes)
            alone = others == 0 or (reached == EMPTY and others == 1)
            need(not alone or (below_is_inner and reached != EMPTY and skip == SKIP), "children")
            need(not alone or total == level_total, "sum of an only child")
            children = list(hashes)
            children.insert(turn, reached)
            reached = blake3(b"".join(children) + last)
        total, below_is_inner = level_total, True
    need(reached == accounts and total == supply, "another root")
    return shown


# ---- comparison -----------------------------------------------------------------------------------------------------


def flipped(data, bit):
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def must_fail(name, data, bits, check):
    for bit in bits:
        try:
            check(flipped(data, bit))
        except Refused:
            continue
        sys.exit(f"{name}: with bit {bit} flipped it still verifies")
    print(f"ok {name}: {len(bits)} flipped bits are refused")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="?", default=FILE, type=pathlib.Path, metavar="FILE")
    text = parser.parse_args().file.read_text()

    contexts = dict(re.findall(r"^\| `(\w+)` \| `(smt 2026[^`]*)` \|$", text, re.M))
    values = dict(re.findall(r"^\| ([^|`]+) \| `([^`]*)` \|$", text, re.M))
    replicas = json.loads(re.search(r'```json\n(\{\s*"0": "[^}]*\})', text).group(1))
    keys = {int(index): bytes.fromhex(record) for index, record in replicas.items()}
    value_key = re.search(r"with the 32 ASCII bytes `([^`]{32})` as key", text).group(1).encode()

    def H(domain, data):
        return blake3(data, context=contexts[domain])

    def same(name, got):
        got = got.hex() if isinstance(got, bytes) else got
        if values[name] != got:
            sys.exit(f"{name}: the file says {values[name]}, the rules give {got}")
        print("ok", name)

    # The payment.
    seed = bytes([1]) * 32
    payer_key, payee_key = secret(seed)[2], secret(bytes([2]) * 32)[2]
    payer, payee = H("Address", payer_key), H("Address", payee_key)
    same("payer's public key", payer_key)
    same("payer's address", payer)
    same("payee's address", payee)
    same("payer's address, text", bech32m("smtdev", payer))
    same("the same, prefix of a main network", bech32m("smt", payer))
    same("payee's address, text", bech32m("smtdev", payee))
    words = [".".join(map(str, shard_of(payer, level))) or "root" for level in (0, 1, 2, 9)]
    same("payer's shard at levels 0, 1, 2, 9", ", ".join(words))

    def payment(seq):
        return le(7, 4) + payer_key + le(seq, 8) + payee + le(1000, 8) + le(3, 4) + b"tea" + le(0, 8)

    unsigned = payment(0)
    identity = H("Payment", unsigned)
    signed = unsigned + sign(seed, identity)
    same("payment", unsigned)
    same("id", identity)
    same("signature", signed[-64:])
    same("signed payment", signed)

    # The receipt, made.
    shard = le(0, 1) + le(0, 4)
    committee = H("Committee", le(7, 4) + shard + le(len(keys), 4) + b"".join(keys[i] for i in sorted(keys)))
    same("committee digest", committee)
    leaf = H("BatchLeaf", signed)
    other = H("BatchLeaf", payment(1) + sign(seed, H("Payment", payment(1))))
    root = H("BatchNode", leaf + other)
    same("leaf", leaf)
    same("batch root", root)
    dense = le(1_000_000, 8) + le(0, 4) + le(1, 1) + le(0, 4)
    header = le(7, 4) + shard + committee + le(1, 1) + le(3, 8) + root + le(2, 2) + le(9, 8) + dense
    digest = H("BatchHeader", header)
    same("batch header digest", digest)
    bits = le(2, 2) + b"\x03"
    receipt = header + signed + le(0, 2) + le(1, 4) + other + le(2, 4)
    for replica, epoch in ((0, 4), (2, 5)):
        replica_seed = bytes([16 + replica]) * 32
        part = le(replica, 1) + bits + le(epoch, 8)
        receipt += part + sign(replica_seed, H("Applied", committee + digest + part))
    same("receipt", receipt)

    # The receipt as given, verified.
    given = bytes.fromhex(values["receipt"])

    def check_receipt(data):
        return verify_receipt(H, data, committee, shard, 7, keys)

    if check_receipt(given) != (identity, 5):
        sys.exit("the receipt shows another payment or epoch")
    print("ok the receipt verifies offline: final in epoch 5")
    must_fail("receipt", given, range(0, len(given) * 8, 131), check_receipt)
    for index, record in keys.items():
        check_signature(record[:32], H("Possession", record[:64]), record[64:128])
        print(f"ok replica {index} possesses its ed25519 key")

    # Account proofs as given, verified.
    state_root = bytes.fromhex(values["state root"])
    for name, address, account in (
        ("account proof", payer, (5000, 1)),
        ("absence proof", bytes([0xEE]) * 32, None),
    ):
        data = bytes.fromhex(values[name])

        def check_account(data, address=address):
            return verify_account(H, data, state_root, 6007, address, value_key)

        if check_account(data) != account:
            sys.exit(f"{name}: it shows another account")
        print(f"ok {name} verifies: {account}")
        must_fail(name, data, range(0, len(data) * 8, 7), check_account)


if __name__ == "__main__":
    try:
        main()
    except Refused as refused:
        sys.exit(f"refused: {refused}")
