#!/usr/bin/env python3
"""Test vectors of the trie, computed a second time from the written rules.

    scripts/vectors_trie.py --check   compares with trie/vectors/*.json; exits 1 on a difference
    scripts/vectors_trie.py --write   writes them; that is approving a change of format

The rules are those in the header of `trie/src/lib.rs`; nothing here comes from its code. Python's
integers do the key path in one multiplication, and a trie is a recursion over its set of keys.
Standard library only.
"""

import argparse
import json
import pathlib
import sys

sys.dont_write_bytecode = True
from blake3 import blake3  # noqa: E402

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "trie" / "vectors"
PATH_TRITS = 162
SKIP_MAX = 105
EMPTY = bytes(32)
VALUE_KEY = b"smt-trie leaf value BLAKE3 key 1"


def path_of(key):
    number = int.from_bytes(key, "big") * 3**PATH_TRITS >> 256
    trits = []
    for _ in range(PATH_TRITS):
        number, trit = divmod(number, 3)
        trits.append(trit)
    return trits[::-1]


def key_of(number):
    return number.to_bytes(32, "big")


def shared(a, b):
    """How many leading trits two different keys share."""
    return next(i for i, (x, y) in enumerate(zip(path_of(a), path_of(b))) if x != y)


# --- nodes ---------------------------------------------------------------------------------------


def pack(trits):
    packed = bytearray()
    for i in range(0, len(trits), 5):
        byte = 0
        for trit in (trits[i : i + 5] + [0] * 5)[:5]:
            byte = 3 * byte + trit
        packed.append(byte)
    return bytes(packed)


def leaf_block(depth, key, value, total):
    meta = bytes([2, depth, 0]) + total.to_bytes(8, "little") + len(value).to_bytes(2, "little")
    return key + blake3(value, key=VALUE_KEY) + EMPTY + meta.ljust(32, b"\0")


def inner_block(depth, skip, children, total):
    meta = bytes([1, depth, len(skip)]) + total.to_bytes(8, "little") + pack(skip).ljust(21, b"\0")
    return b"".join(children) + meta


class Slot:
    """The slot at `depth` for `entries`, a list of (key, value, sum)."""

    def __init__(self, depth, entries):
        self.depth, self.entries = depth, entries
        self.sum = sum(entry[2] for entry in entries)
        assert self.sum < 2**64
        self.children = []
        if not entries:
            self.kind, self.block, self.hash = "empty", None, EMPTY
            return
        if len(entries) == 1:
            self.kind = "leaf"
            self.block = leaf_block(depth, *entries[0])
        else:
            self.kind = "inner"
            paths = [path_of(entry[0]) for entry in entries]
            common = 0
            while all(p[depth + common] == paths[0][depth + common] for p in paths):
                common += 1
            skip = min(common, SKIP_MAX)
            self.skip = paths[0][depth : depth + skip]
            branch = depth + skip
            for trit in range(3):
                chosen = [e for e, p in zip(entries, paths) if p[branch] == trit]
                self.children.append(Slot(branch + 1, chosen))
            hashes = [child.hash for child in self.children]
            self.block = inner_block(depth, self.skip, hashes, self.sum)
        assert len(self.block) == 128
        self.hash = blake3(self.block)


# --- proofs --------------------------------------------------------------------------------------


def flags(hashes):
    return bytes([sum(1 << i for i, h in enumerate(hashes) if h != EMPTY)])


def present(hashes):
    return b"".join(h for h in hashes if h != EMPTY)


def u64(number):
    return number.to_bytes(8, "little")


def proof(root, key):
    """Kind and encoding of the proof for `key`."""
    if root.kind == "empty":
        return "empty slot", bytes(3)
    path = path_of(key)
    levels, slot = [], root
    while slot.kind == "inner":
        branch = slot.depth + len(slot.skip)
        hashes = [child.hash for child in slot.children]
        if path[slot.depth : branch] != slot.skip:
            kind = "diverging skip"
            end = b"\3" + bytes([len(slot.skip)]) + pack(slot.skip)
            end += flags(hashes) + u64(slot.sum) + present(hashes)
            break
        others = hashes[: path[branch]] + hashes[path[branch] + 1 :]
        levels.append(bytes([len(slot.skip)]) + flags(others) + u64(slot.sum) + present(others))
        slot = slot.children[path[branch]]
    else:
        if slot.kind == "empty":
            kind, end = "empty slot", b"\0"
        else:
            found, value, total = slot.entries[0]
            length = len(value).to_bytes(2, "little")
            if found == key:
                kind, end = "included", b"\1" + u64(total) + length + value
            else:
                kind = "other leaf"
                end = b"\2" + found + blake3(value, key=VALUE_KEY) + u64(total) + length
    return kind, bytes([root.depth, len(levels)]) + b"".join(levels) + end


# --- the cases -----------------------------------------------------------------------------------


def random_key(label):
    return blake3(label.encode(), context="smt-trie vectors: keys")


def pair_sharing(trits, label):
    """Two keys that share exactly so many leading trits: the smallest of two sister intervals."""
    if trits == PATH_TRITS - 1:
        # Intervals of 162 trits hold 0.6 keys; look for neighbours that part in the last trit.
        number = int.from_bytes(random_key(label), "big")
        while shared(key_of(number), key_of(number + 1)) != trits:
            number += 1
        return key_of(number), key_of(number + 1)
    prefix = int.from_bytes(random_key(label), "big") * 3**trits >> 256
    ends = []
    for trit in (0, 2):
        interval = 3 * prefix + trit
        ends.append(key_of(-(-interval * 2**256 // 3 ** (trits + 1))))
    assert shared(*ends) == trits
    return tuple(ends)


def shard_keys(depth, count, label):
    """Keys that share their first `depth` trits."""
    prefix = int.from_bytes(random_key(label), "big") * 3**depth >> 256
    low, high = (-(-(prefix + i) * 2**256 // 3**depth) for i in (0, 1))
    keys = []
    for i in range(count):
        keys.append(key_of(low + int.from_bytes(random_key(f"{label} {i}"), "big") % (high - low)))
    return keys


def entries_of(keys, label):
    """Entries with values of many lengths and sums of many sizes, zero included."""
    entries = []
    for i, key in enumerate(sorted(keys)):
        value = blake3(f"{label} value {i}".encode(), length=(0, 1, 31, 32, 33, 64, 100)[i % 7])
        number = int.from_bytes(blake3(f"{label} sum {i}".encode(), length=8), "little")
        entries.append((key, value, (number >> (8 + 7 * i % 50)) if i % 5 else 0))
    return entries


def tries():
    zero, ones = bytes(32), b"\xff" * 32
    yield "empty", 0, []
    yield "empty, root depth 3", 3, []
    yield "one leaf", 0, [(random_key("one"), b"value", 7)]
    yield "one leaf, root depth 3", 3, [(random_key("one"), b"value", 7)]
    yield "key zero, empty value, sum zero", 0, [(zero, b"", 0)]
    yield "smallest and largest key", 0, [(zero, b"a", 1), (ones, b"b", 2)]
    yield "largest sum", 0, [(zero, b"a", 2**64 - 2), (random_key("s"), b"", 1), (ones, b"", 0)]
    yield "longest value", 0, [(random_key("long"), bytes(i % 251 for i in range(1024)), 1)]
    for trits in (1, 4, 5, 6, 100, 104, 105, 106, 107, 150, 160, 161):
        keys = pair_sharing(trits, f"pair {trits}")
        yield f"two keys sharing {trits} trits", 0, entries_of(keys, f"pair {trits}")
    keys = pair_sharing(161, "pair 161")
    yield "two keys sharing 161 trits, root depth 9", 9, entries_of(keys, "deep")
    yield "two keys sharing 161 trits, root depth 161", 161, entries_of(keys, "deepest")
    many = [*keys, *pair_sharing(100, "pair 100"), *pair_sharing(130, "pair 130"), zero, ones]
    many += [random_key(f"many {i}") for i in range(20)]
    yield "long skips among random keys", 0, entries_of(many, "many")
    step = 2**256 // 3**3
    yield "neighbours", 0, entries_of([key_of(step * 7 + i) for i in range(-9, 10)], "near")
    yield "full top of three levels", 0, entries_of([key_of(step * i + 1) for i in range(27)], "top")
    yield "random keys", 0, entries_of([random_key(f"random {i}") for i in range(100)], "random")
    yield "a shard, root depth 4", 4, entries_of(shard_keys(4, 40, "shard"), "shard")


def queries(entries):
    """Keys to prove: some that are there, their neighbours, and some that are not."""
    keys = [entry[0] for entry in entries]
    picked = keys[:3] + keys[-2:]
    for key in keys[:4] + keys[-1:]:
        number = int.from_bytes(key, "big")
        picked += [key_of(n) for n in (number + 1, number ^ 1 << 90) if n < 2**256]
        picked.append(key_of(number ^ 1 << 200))
    picked += [random_key(f"absent {i}") for i in range(3)] + [bytes(32), b"\xff" * 32]
    return sorted(set(picked))


def vectors():
    """The content of every file, by name."""
    keys = [bytes(32), key_of(1), b"\xff" * 32, b"\x80" + bytes(31), key_of(2**256 // 3)]
    keys += [key_of(2**256 // 3 + 1), *pair_sharing(100, "pair 100"), *pair_sharing(161, "pair 161")]
    keys += [random_key(f"path {i}") for i in range(10)]
    paths = [{"key": k.hex(), "trits": "".join(map(str, path_of(k)))} for k in keys]

    nodes, roots, proofs, kinds = [], [], [], set()
    for name, depth, entries in tries():
        root = Slot(depth, entries)
        listed = [{"key": k.hex(), "value": v.hex(), "sum": str(s)} for k, v, s in entries]
        roots.append(
            {
                "name": name,
                "root_depth": depth,
                "entries": listed,
                "hash": root.hash.hex(),
                "sum": str(root.sum),
            }
        )
        if name in ("two keys sharing 5 trits", "two keys sharing 161 trits"):
            walk = [root]
            for slot in walk:
                walk += slot.children
                if slot.block:
                    nodes.append({"preimage": slot.block.hex(), "hash": slot.hash.hex()})
        for key in queries(entries):
            kind, encoded = proof(root, key)
            kinds.add(kind)
            proofs.append(
                {"trie": name, "key": key.hex(), "kind": kind, "encoded": encoded.hex()}
            )
    assert kinds == {"included", "empty slot", "other leaf", "diverging skip"}, kinds
    return {
        "key_path.json": paths,
        "nodes.json": nodes,
        "roots.json": roots,
        "proofs.json": proofs,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    mode = parser.add_mutually_exclusive_group(required=True)
    mode.add_argument("--check", action="store_true", help="compare; exit 1 on a difference")
    mode.add_argument("--write", action="store_true", help="write the files anew")
    arguments = parser.parse_args()

    files = {name: json.dumps(cases, indent=1) + "\n" for name, cases in vectors().items()}
    if arguments.write:
        FOLDER.mkdir(exist_ok=True)
        for name, text in files.items():
            (FOLDER / name).write_text(text)
        print(f"vectors_trie.py: wrote {len(files)} files")
        return 0
    different = [n for n in files if not (FOLDER / n).is_file() or (FOLDER / n).read_text() != files[n]]
    different += [p.name for p in FOLDER.glob("*") if p.name not in files]
    for name in sorted(different):
        print(f"trie/vectors/{name} differs from what the rules give", file=sys.stderr)
    if not different:
        print(f"vectors_trie.py: {len(files)} files agree with the rules")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
