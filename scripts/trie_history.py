"""The history accumulator in Python: roots and proofs, from the written rules.

The rules are those in the header of `trie/proof/src/history/mod.rs`; nothing here comes from its
code. Everything is the recursion of RFC 6962, section 2.1. Used by `vectors_trie.py`.
"""

import functools

from blake3 import blake3
from trie_format import EMPTY, u64

LEAF_KEY = b"smt-trie history leaf BLAKE3 k 1"
NODE_KEY = b"smt-trie history node BLAKE3 k 1"


def split(size):
    """The largest power of two below a size of two or more."""
    return 1 << (size - 1).bit_length() - 1


@functools.cache
def tree_hash(entries):
    """H(D) of a tuple of entries."""
    if not entries:
        return EMPTY
    if len(entries) == 1:
        return blake3(entries[0], key=LEAF_KEY)
    k = split(len(entries))
    return blake3(tree_hash(entries[:k]) + tree_hash(entries[k:]), key=NODE_KEY)


def root(entries):
    return u64(len(entries)) + tree_hash(entries)


def path(m, entries):
    if len(entries) == 1:
        return []
    k = split(len(entries))
    left, right = entries[:k], entries[k:]
    return path(m, left) + [tree_hash(right)] if m < k else path(m - k, right) + [tree_hash(left)]


def subproof(m, entries, whole):
    if m == len(entries):
        return [] if whole else [tree_hash(entries)]
    k = split(len(entries))
    left, right = entries[:k], entries[k:]
    if m <= k:
        return subproof(m, left, whole) + [tree_hash(right)]
    return subproof(m - k, right, False) + [tree_hash(left)]


def inclusion(m, entries):
    """Encoding of the proof that entry `m` is in the history."""
    return u64(m) + u64(len(entries)) + b"".join(path(m, entries))


def consistency(m, entries):
    """Encoding of the proof that the history begins with its first `m` entries."""
    return u64(m) + u64(len(entries)) + b"".join(subproof(m, entries, True) if m else [])
