"""Snapshot chunks of the trie in Python, cut and verified by the written rules.

The rules are those in the header of `trie/proof/src/chunk/mod.rs`; nothing here comes from its
code. Used by `vectors_trie.py`.
"""

from blake3 import blake3, last_block
from trie_format import MIDSTATE, Slot, inner_end, level, path_of, u16, u32, u64
from trie_reader import Reader, need

ID_KEY = b"smt-trie state chunk id BLAKE3 1"


def cut(slot, entries_max, levels=()):
    """Slots of the chunks, in key order, each with the encoded levels that lead to it."""
    if slot.kind == "empty":
        return []
    if len(slot.entries) <= entries_max:
        return [(levels, slot)]
    chunks = []
    for turn, child in enumerate(slot.children):
        chunks += cut(child, entries_max, (*levels, level(slot, turn)))
    return chunks


def chunks_of(root, entries_max):
    """Encodings of all chunks."""
    encoded = []
    for levels, slot in cut(root, entries_max):
        entries = [key + u64(total) + u16(len(value)) + value for key, value, total in slot.entries]
        head = bytes([root.depth, len(levels)]) + b"".join(levels)
        encoded.append(head + u32(len(entries)) + b"".join(entries))
    return encoded


def index_of(root, chunks):
    """Encoding of the index of these chunks."""
    ids = [blake3(chunk, key=ID_KEY) for chunk in chunks]
    return root.hash + u64(root.sum) + u64(len(root.entries)) + u32(len(ids)) + b"".join(ids)


def verify(encoded):
    """Hash and sum of the root that a chunk leads to."""
    reader = Reader(encoded)
    root_depth, count = reader.byte(), reader.byte()
    heads = []
    for _ in range(count):
        skip, bits, total = reader.byte(), reader.byte(), reader.integer(8)
        hashes = [reader.take(32)] if bits == MIDSTATE else reader.children(bits, 2)
        heads.append((skip, bits, total, hashes))
    entries = []
    for _ in range(reader.integer(4)):
        key, total = reader.take(32), reader.integer(8)
        entries.append((key, reader.take(reader.integer(2)), total))
    reader.end()

    keys = [key for key, _, _ in entries]
    need(keys and all(a < b for a, b in zip(keys, keys[1:])), "keys")
    depths = [root_depth]
    for skip, *_ in heads:
        depths.append(depths[-1] + skip + 1)
    path = path_of(keys[0])
    need(all(path_of(key)[: depths[-1]] == path[: depths[-1]] for key in keys), "keys of one slot")
    slot = Slot(depths[-1], entries)
    reached, total = slot.hash, slot.sum
    for depth, (skip, bits, level_sum, hashes) in zip(reversed(depths[:-1]), reversed(heads)):
        turn, end = path[depth + skip], inner_end(depth, path[depth : depth + skip], level_sum)
        need((bits == MIDSTATE) == (turn == 2), "form")
        need(total <= level_sum, "sums")
        if turn == 2:
            reached = last_block(hashes[0], reached + end)
        else:
            hashes.insert(turn, reached)
            reached = blake3(b"".join(hashes) + end)
        total = level_sum
    return reached, total
