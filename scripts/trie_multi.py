"""Multi-proofs of the trie in Python, built and verified from the written rules.

The rules are those in the header of `trie/proof/src/multi/mod.rs`; nothing here comes from its
code. Verifying shows that an encoding says all a verifier needs. Used by `vectors_trie.py`.
"""

from blake3 import blake3, first_block, last_block
from trie_format import (
    EMPTY, PATH_TRITS, SKIP_MAX, VALUE_INLINE_MAX, VALUE_MAX, content, end_of, flags, inner_block, inner_end,
    leaf_block, pack, path_of, present, u32,
)  # fmt: skip
from trie_reader import Reader, need

EMPTY_SLOT, ONLY_KEY, ONE_OF_KEYS, OTHER_KEY, DIVERGING = range(5)
PLAIN, SKIPPING = 5, 10
MIDSTATE = 4  # above PLAIN or SKIPPING; 0 to 3 are the presence bits of the sibling form


def number(value):
    """Unsigned LEB128."""
    encoded = bytearray()
    while value >= 128:
        encoded.append(value & 127 | 128)
        value >>= 7
    return bytes(encoded + bytes([value]))


def order(root_depth):
    """The order of keys in a set: by their trits from the root depth on, then as bytes."""
    return lambda key: (path_of(key)[root_depth:], key)


def shares_skip(keys, depth, skip):
    return all(path_of(key)[depth : depth + len(skip)] == skip for key in keys)


def turns(keys, branch):
    """The keys that turn to each child."""
    return [[key for key in keys if path_of(key)[branch] == turn] for turn in range(3)]


# --- building ------------------------------------------------------------------------------------


def leaf_element(slot, keys):
    found, value, total = slot.entries[0]
    head = number(total) + number(len(value))
    if found not in keys:
        return OTHER_KEY, found + head + content(value)
    if len(keys) == 1:
        return ONLY_KEY, head + value
    return ONE_OF_KEYS, number(keys.index(found)) + head + value


def diverging_element(slot):
    skip = bytes([len(slot.skip)]) + pack(slot.skip)
    return DIVERGING, skip + flags(slot.hashes) + number(slot.sum) + present(slot.hashes)


def inner_element(slot, keys, by_turn):
    rest = sum(child.sum for child, chosen in zip(slot.children, by_turn) if not chosen)
    code, skip = PLAIN, b""
    if slot.skip:
        code, skip = SKIPPING, bytes([len(slot.skip)])
        if not shares_skip(keys, slot.depth, slot.skip):
            skip = bytes([128 + len(slot.skip)]) + pack(slot.skip)
    if not by_turn[0] and not by_turn[1]:
        return code + MIDSTATE, skip + number(rest) + first_block(slot.block[:64])
    others = [h for h, chosen in zip(slot.hashes, by_turn) if not chosen]
    presence = flags(others)[0]
    return code + presence, skip + (number(rest) + present(others) if presence else b"")


def multi_proof(root, keys):
    """Kinds by key, in the order of `keys`, and encoding of the proof for these keys."""
    elements, kinds = [], {}

    def visit(slot, keys):
        kinds.update((key, end_of(slot, key)[0]) for key in keys)
        if slot.kind == "empty":
            return elements.append((EMPTY_SLOT, b""))
        if slot.kind == "leaf":
            return elements.append(leaf_element(slot, keys))
        inside = [key for key in keys if slot.agrees(path_of(key))]
        if not inside:
            return elements.append(diverging_element(slot))
        by_turn = turns(inside, slot.branch)
        elements.append(inner_element(slot, keys, by_turn))
        for child, chosen in zip(slot.children, by_turn):
            if chosen:
                visit(child, chosen)

    visit(root, sorted(keys, key=order(root.depth)))
    codes = [code for code, _ in elements] + [0]
    packed = bytes(low | high << 4 for low, high in zip(codes[0:-1:2], codes[1::2]))
    root_depth = 0 if root.kind == "empty" else root.depth
    bodies = b"".join(body for _, body in elements)
    return [kinds[key] for key in keys], bytes([root_depth]) + u32(len(elements)) + packed + bodies


# --- verifying -----------------------------------------------------------------------------------


class Verifier:
    """Reads a multi-proof for `keys`: goes down the union of the paths and comes back with hashes.

    `root` is what it leads to, (hash, sum); `shown` the (value, sum) by key, None for an absent key;
    `codes` the codes of all elements, `skips` the bytes that begin the skips of inner nodes.
    """

    def __init__(self, encoded, keys):
        self.shown, self.skips = dict.fromkeys(keys), []
        self.reader = Reader(encoded)
        self.root_depth = self.reader.byte()
        need(self.root_depth < PATH_TRITS, "root depth")
        count = self.reader.integer(4)
        packed = self.reader.take(-(-count // 2))
        self.codes = [code for byte in packed for code in (byte & 15, byte >> 4)]
        need(not any(self.codes[count:]), "an unused half that is not zero")
        del self.codes[count:]
        need(self.codes != [EMPTY_SLOT] or self.root_depth == 0, "root depth of the empty trie")
        self.unread = iter(self.codes)
        self.root = self.element(self.root_depth, sorted(keys, key=order(self.root_depth)))[:2]
        need(next(self.unread, None) is None, "elements left over")
        self.reader.end()

    def element(self, depth, keys):
        """Hash and sum of the slot at `depth` that `keys` lead to, and whether it holds an inner node."""
        code = next(self.unread, None)
        need(code is not None and code < 15, "code")
        if code == EMPTY_SLOT:
            return EMPTY, 0, False
        if code < DIVERGING:
            return *self.leaf(code, depth, keys), False
        return *(self.diverging(depth, keys) if code == DIVERGING else self.inner(code, depth, keys)), True

    def leaf(self, code, depth, keys):
        reader = self.reader
        need(code == OTHER_KEY or code == (ONLY_KEY if len(keys) == 1 else ONE_OF_KEYS), "number of keys")
        index = reader.number() if code == ONE_OF_KEYS else 0
        need(index < len(keys), "index of a key")
        found = reader.take(32) if code == OTHER_KEY else keys[index]
        total, length = reader.number(), reader.number()
        need(length <= VALUE_MAX, "value too long")
        if code == OTHER_KEY:
            way = slice(self.root_depth, depth)
            need(found not in keys and path_of(found)[way] == path_of(keys[0])[way], "another key's leaf")
            stands = reader.take(length if length <= VALUE_INLINE_MAX else 32)
        else:
            value = reader.take(length)
            stands = content(value)
            self.shown[found] = value, total
        return blake3(leaf_block(depth, found, stands, length, total)), total

    def diverging(self, depth, keys):
        reader = self.reader
        length = reader.byte()
        need(length <= SKIP_MAX and depth + length < PATH_TRITS, "skip")
        skip, bits, total = reader.trits(length), reader.byte(), reader.number()
        children = reader.children(bits, 3)
        need(not any(shares_skip([key], depth, skip) for key in keys), "a key agrees with the skip")
        need(bits.bit_count() >= 2 or (bits and length == SKIP_MAX), "too few children")
        return blake3(inner_block(depth, skip, children, total)), total

    def skip(self, depth, keys):
        head = self.reader.byte()
        self.skips.append(head)
        sent, length = head >= 128, head % 128
        need(1 <= length <= SKIP_MAX, "skip")
        skip = self.reader.trits(length) if sent else path_of(keys[0])[depth : depth + length]
        need(shares_skip(keys, depth, skip) != sent, "skipped trits are sent exactly if they must be")
        return skip

    def inner(self, code, depth, keys):
        reader = self.reader
        skip = self.skip(depth, keys) if code >= SKIPPING else []
        need(depth + len(skip) < PATH_TRITS, "past the path's end")
        presence = code - (SKIPPING if code >= SKIPPING else PLAIN)
        inside = [key for key in keys if shares_skip([key], depth, skip)]
        need(inside, "no key agrees with the skip")
        by_turn = turns(inside, depth + len(skip))
        need((presence == MIDSTATE) == (not by_turn[0] and not by_turn[1]), "form")
        rest = reader.number() if presence else 0
        midstate = reader.take(32) if presence == MIDSTATE else None
        off_path = iter([] if midstate else reader.children(presence, by_turn.count([])))

        below = [self.element(depth + len(skip) + 1, chosen) for chosen in by_turn if chosen]
        total = rest + sum(part for _, part, _ in below)
        need(total < 2**64, "sum")
        end = inner_end(depth, skip, total)
        if midstate:
            return last_block(midstate, below[0][0] + end), total
        there = [is_inner for child, _, is_inner in below if child != EMPTY]
        chain = len(skip) == SKIP_MAX and there == [True]
        need(len(there) + presence.bit_count() >= 2 or chain, "too few children")
        on_path = iter(below)
        children = [next(on_path)[0] if chosen else next(off_path) for chosen in by_turn]
        return blake3(b"".join(children) + end), total
