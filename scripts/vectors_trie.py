#!/usr/bin/env python3
"""Test vectors of the trie, computed a second time from the written rules.

    scripts/vectors_trie.py --check   compares with trie/vectors/*.json; exits 1 on a difference
    scripts/vectors_trie.py --write   writes them; that is approving a change of format

The rules are those in the headers of `lib.rs`, `multi/mod.rs`, `chunk/mod.rs` and `history/mod.rs` in
`trie/proof/src`; nothing here comes from their code. This file chooses the cases; the rules in Python are
in `trie_format.py`, `trie_multi.py`, `trie_chunks.py` and `trie_history.py`. Standard library only.
"""

import json
import sys

sys.dont_write_bytecode = True
import generated  # noqa: E402
import trie_chunks  # noqa: E402
import trie_history  # noqa: E402
from blake3 import blake3  # noqa: E402
from trie_format import PATH_TRITS, Slot, path_of, proof  # noqa: E402
from trie_multi import Verifier, multi_proof  # noqa: E402

VALUE_LENGTHS = (0, 1, 16, 32, 63, 64, 65, 100, 1023, 1024)
KINDS = {"included", "empty slot", "other leaf", "diverging skip"}
# Tries whose nodes are listed one by one.
OPENED = {"two keys sharing 5 trits", "two keys sharing 161 trits", "values of every form"}


def key_of(number):
    return number.to_bytes(32, "big")


def shared(a, b):
    """How many leading trits two different keys share."""
    return next(i for i, (x, y) in enumerate(zip(path_of(a), path_of(b))) if x != y)


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
        value = blake3(f"{label} value {i}".encode(), length=(0, 1, 16, 63, 64, 65, 100)[i % 7])
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
    lengths = [(random_key(f"length {n}"), bytes(i % 251 for i in range(n)), n) for n in VALUE_LENGTHS]
    yield "values of every form", 0, sorted(lengths)
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
    """Keys to prove: some that are there (all of a few), their neighbours, and some that are not."""
    keys = [entry[0] for entry in entries]
    few = len(keys) <= len(VALUE_LENGTHS)
    picked = list(keys) if few else keys[:3] + keys[-2:]
    for key in keys if few else keys[:4] + keys[-1:]:
        number = int.from_bytes(key, "big")
        picked += [key_of(n) for n in (number + 1, number ^ 1 << 90) if n < 2**256]
        picked.append(key_of(number ^ 1 << 200))
    picked += [random_key(f"absent {i}") for i in range(3)] + [bytes(32), b"\xff" * 32]
    return sorted(set(picked))


def key_sets(entries):
    """Sets of keys for multi-proofs: one, all, some, and absent ones beside those that are there."""
    keys = [entry[0] for entry in entries]
    asked = queries(entries)
    absent = [key for key in asked if key not in keys]
    yield keys[:1] or absent[:1]
    yield absent[-1:]
    yield asked
    yield absent
    yield keys[1::3]
    if len(keys) <= 50:
        yield keys
        yield sorted({*keys, *absent})


def path_vectors():
    keys = [bytes(32), key_of(1), b"\xff" * 32, b"\x80" + bytes(31), key_of(2**256 // 3)]
    keys += [key_of(2**256 // 3 + 1), *pair_sharing(100, "pair 100"), *pair_sharing(161, "pair 161")]
    keys += [random_key(f"path {i}") for i in range(10)]
    return [{"key": k.hex(), "trits": "".join(map(str, path_of(k)))} for k in keys]


def root_vector(name, root):
    return {
        "name": name,
        "root_depth": root.depth,
        "entries": [{"key": k.hex(), "value": v.hex(), "sum": str(s)} for k, v, s in root.entries],
        "hash": root.hash.hex(),
        "sum": str(root.sum),
    }


def node_vectors(root):
    walk = [root]
    for slot in walk:
        walk += slot.children
        if slot.block:
            yield {"preimage": slot.block.hex(), "hash": slot.hash.hex()}


def proof_vectors(name, root):
    for key in queries(root.entries):
        kind, encoded = proof(root, key)
        yield {"trie": name, "key": key.hex(), "kind": kind, "encoded": encoded.hex()}


def multi_vectors(roots):
    """Every proof is verified too, and all of them together have every form the encoding knows."""
    codes, skips = set(), set()
    for name, root in roots:
        entries = {key: (value, total) for key, value, total in root.entries}
        sets = {tuple(keys) for keys in key_sets(root.entries) if keys}
        for keys in sorted(sets, key=lambda keys: (len(keys), keys)):
            kinds, encoded = multi_proof(root, keys)
            verified = Verifier(encoded, keys)
            assert verified.root == (root.hash, root.sum), name
            assert verified.shown == {key: entries.get(key) for key in keys}, name
            codes.update(verified.codes)
            skips.update(verified.skips)
            yield {"trie": name, "keys": [k.hex() for k in keys], "kinds": kinds, "encoded": encoded.hex()}
    assert codes == set(range(15)), codes
    assert {skip >= 128 for skip in skips} == {True, False}


def chunk_vectors(roots):
    """Tries in chunks of one entry, of a few, and whole; every chunk is verified too."""
    for name, root in roots:
        count = len(root.entries)
        for entries_max in (1, 4, 10_000):
            if entries_max > 1 and count <= 1 or entries_max == 4 >= count or entries_max == 1 and count > 40:
                continue
            chunks = trie_chunks.chunks_of(root, entries_max)
            assert all(trie_chunks.verify(chunk) == (root.hash, root.sum) for chunk in chunks), name
            yield {
                "trie": name,
                "entries_max": entries_max,
                "chunks": [chunk.hex() for chunk in chunks],
                "index": trie_chunks.index_of(root, chunks).hex(),
            }


def history_vectors():
    """Histories around powers of two: every proof of the short ones, some of the long ones."""
    for size in (*range(10), 15, 16, 17, 33, 64, 100):
        entries = tuple(blake3(f"history {i}".encode()) for i in range(size))
        some = [m for m in range(size + 1) if size < 10 or m in (0, 1, 8, 15, size // 2, size - 1, size)]
        yield {
            "entries": [entry.hex() for entry in entries],
            "root": trie_history.root(entries).hex(),
            "inclusion": [trie_history.inclusion(m, entries).hex() for m in some if m < size],
            "consistency": [trie_history.consistency(m, entries).hex() for m in some],
        }


def vectors():
    """The content of every file, by name."""
    roots = [(name, Slot(depth, entries)) for name, depth, entries in tries()]
    files = {
        "key_path.json": path_vectors(),
        "nodes.json": [v for name, root in roots if name in OPENED for v in node_vectors(root)],
        "roots.json": [root_vector(name, root) for name, root in roots],
        "proofs.json": [v for name, root in roots for v in proof_vectors(name, root)],
        "multi.json": list(multi_vectors(roots)),
        "chunks.json": list(chunk_vectors(roots)),
        "history.json": list(history_vectors()),
    }
    assert {v["kind"] for v in files["proofs.json"]} == KINDS
    assert {kind for v in files["multi.json"] for kind in v["kinds"]} == KINDS
    return files


def files():
    return {name: json.dumps(cases, indent=1) + "\n" for name, cases in vectors().items()}


if __name__ == "__main__":
    sys.exit(generated.run(__doc__, "trie/vectors", files, whole=True))
