"""The trie's format in Python: paths, nodes and proofs of one key, from the written rules.

The rules are those in the header of `trie/proof/src/lib.rs`; nothing here comes from its code.
Python's integers do the key path in one multiplication, and a trie is a recursion over its set of
keys. Used by `vectors_trie.py`. Standard library only.
"""

from blake3 import blake3, first_block

PATH_TRITS = 162
SKIP_MAX = 105
VALUE_MAX = 1024
VALUE_INLINE_MAX = 64
EMPTY = bytes(32)
VALUE_KEY = b"smt-trie leaf value BLAKE3 key 1"
# Flags of a level in midstate form.
MIDSTATE = 128


def path_of(key):
    number = int.from_bytes(key, "big") * 3**PATH_TRITS >> 256
    trits = []
    for _ in range(PATH_TRITS):
        number, trit = divmod(number, 3)
        trits.append(trit)
    return trits[::-1]


def u16(number):
    return number.to_bytes(2, "little")


def u32(number):
    return number.to_bytes(4, "little")


def u64(number):
    return number.to_bytes(8, "little")


# --- nodes ---------------------------------------------------------------------------------------


def pack(trits):
    packed = bytearray()
    for i in range(0, len(trits), 5):
        byte = 0
        for trit in (trits[i : i + 5] + [0] * 5)[:5]:
            byte = 3 * byte + trit
        packed.append(byte)
    return bytes(packed)


def content(value):
    """What stands for a value: the value itself where a leaf has room for it, else its digest."""
    return value if len(value) <= VALUE_INLINE_MAX else blake3(value, key=VALUE_KEY)


def leaf_block(depth, key, stands, length, total):
    """The preimage of a leaf; `stands` is the `content` of its value of `length` bytes."""
    meta = bytes([2, depth, 0]) + u64(total) + u16(length)
    return key + stands.ljust(64, b"\0") + meta.ljust(32, b"\0")


def inner_end(depth, skip, total):
    """Bytes 96 to 127 of an inner node's preimage."""
    return bytes([1, depth, len(skip)]) + u64(total) + pack(skip).ljust(21, b"\0")


def inner_block(depth, skip, children, total):
    return b"".join(children) + inner_end(depth, skip, total)


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
            key, value, total = entries[0]
            self.block = leaf_block(depth, key, content(value), len(value), total)
        else:
            self.kind = "inner"
            paths = [path_of(entry[0]) for entry in entries]
            common = 0
            while all(p[depth + common] == paths[0][depth + common] for p in paths):
                common += 1
            skip = min(common, SKIP_MAX)
            self.skip = paths[0][depth : depth + skip]
            self.branch = depth + skip
            for trit in range(3):
                chosen = [e for e, p in zip(entries, paths) if p[self.branch] == trit]
                self.children.append(Slot(self.branch + 1, chosen))
            self.hashes = [child.hash for child in self.children]
            self.block = inner_block(depth, self.skip, self.hashes, self.sum)
        assert len(self.block) == 128
        self.hash = blake3(self.block)

    def agrees(self, path):
        """Whether a path enters this inner node."""
        return path[self.depth : self.branch] == self.skip


# --- proofs of one key ---------------------------------------------------------------------------


def flags(hashes):
    return bytes([sum(1 << i for i, h in enumerate(hashes) if h != EMPTY)])


def present(hashes):
    return b"".join(h for h in hashes if h != EMPTY)


def level(slot, turn):
    """The inner node `slot` on the way to its child `turn`."""
    head = bytes([len(slot.skip)])
    if turn == 2:
        return head + bytes([MIDSTATE]) + u64(slot.sum) + first_block(slot.block[:64])
    others = [h for trit, h in enumerate(slot.hashes) if trit != turn]
    return head + flags(others) + u64(slot.sum) + present(others)


def end_of(slot, key):
    """Kind and encoding of what stands in the slot that the levels lead to."""
    if slot.kind == "empty":
        return "empty slot", b"\0"
    if slot.kind == "inner":
        body = bytes([len(slot.skip)]) + pack(slot.skip)
        return "diverging skip", b"\3" + body + flags(slot.hashes) + u64(slot.sum) + present(slot.hashes)
    found, value, total = slot.entries[0]
    if found == key:
        return "included", b"\1" + u64(total) + u16(len(value)) + value
    return "other leaf", b"\2" + found + u64(total) + u16(len(value)) + content(value)


def proof(root, key):
    """Kind and encoding of the proof for `key`."""
    if root.kind == "empty":
        return "empty slot", bytes(3)
    path = path_of(key)
    levels, slot = [], root
    while slot.kind == "inner" and slot.agrees(path):
        levels.append(level(slot, path[slot.branch]))
        slot = slot.children[path[slot.branch]]
    kind, end = end_of(slot, key)
    return kind, bytes([root.depth, len(levels)]) + b"".join(levels) + end
