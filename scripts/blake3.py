#!/usr/bin/env python3
"""BLAKE3 in pure Python (standard library only), written from the BLAKE3 paper.

All three modes and any output length:

    blake3(data)                       plain hash
    blake3(data, key=k)                keyed hash, k of exactly 32 bytes
    blake3(data, context="...")        derive-key mode, `data` is the key material

An input of exactly two blocks can be hashed in two steps, which is plain BLAKE3 of both:

    cv = first_block(data[:64])        the chaining value after the first block, 32 bytes
    last_block(cv, data[64:])          the hash

It is the second origin of the project's test vectors: slow (about 10,000 compressions
a second) and plain. Running this file checks it against published test vectors and
exits 1 on a difference.
"""

import struct
import sys

IV = (
    0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A,
    0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19,
)  # fmt: skip
PERMUTATION = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
ROUNDS = 7
BLOCK = 64
CHUNK = 1024
MASK = 0xFFFFFFFF

CHUNK_START = 1
CHUNK_END = 2
PARENT = 4
ROOT = 8
KEYED_HASH = 16
DERIVE_KEY_CONTEXT = 32
DERIVE_KEY_MATERIAL = 64

# State words mixed by the eight quarter-rounds of a round: four columns, four diagonals.
LANES = (
    (0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
    (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14),
)  # fmt: skip


def compress(cv, block, counter, length, flags):
    """The compression function: the 16 words of output for one block of up to 64 bytes."""
    m = list(struct.unpack("<16I", block.ljust(BLOCK, b"\0")))
    v = [*cv, *IV[:4], counter & MASK, (counter >> 32) & MASK, length, flags]
    for _ in range(ROUNDS):
        for i, (a, b, c, d) in enumerate(LANES):
            va, vb, vc, vd = v[a], v[b], v[c], v[d]
            va = (va + vb + m[2 * i]) & MASK
            vd ^= va
            vd = (vd >> 16 | vd << 16) & MASK
            vc = (vc + vd) & MASK
            vb ^= vc
            vb = (vb >> 12 | vb << 20) & MASK
            va = (va + vb + m[2 * i + 1]) & MASK
            vd ^= va
            vd = (vd >> 8 | vd << 24) & MASK
            vc = (vc + vd) & MASK
            vb ^= vc
            vb = (vb >> 7 | vb << 25) & MASK
            v[a], v[b], v[c], v[d] = va, vb, vc, vd
        m = [m[p] for p in PERMUTATION]
    return tuple(v[i] ^ v[i + 8] for i in range(8)) + tuple(v[i + 8] ^ cv[i] for i in range(8))


class _Output:
    """The last compression of a chunk or parent, still to be used as chaining value or as root."""

    def __init__(self, cv, block, counter, length, flags):
        self.args = (cv, block, counter, length, flags)

    def chaining_value(self):
        return compress(*self.args)[:8]

    def root_bytes(self, length):
        cv, block, _, block_length, flags = self.args
        out = bytearray()
        counter = 0
        while len(out) < length:
            words = compress(cv, block, counter, block_length, flags | ROOT)
            out += struct.pack("<16I", *words)
            counter += 1
        return bytes(out[:length])


def _chunk(key_words, chunk, counter, flags):
    """The output of one chunk of up to 1024 bytes; the empty input is one empty block."""
    blocks = [chunk[i : i + BLOCK] for i in range(0, len(chunk), BLOCK)] or [b""]
    cv = key_words
    for i, block in enumerate(blocks[:-1]):
        start = CHUNK_START if i == 0 else 0
        cv = compress(cv, block, counter, BLOCK, flags | start)[:8]
    start = CHUNK_START if len(blocks) == 1 else 0
    return _Output(cv, blocks[-1], counter, len(blocks[-1]), flags | start | CHUNK_END)


def _tree(key_words, data, first_chunk, flags):
    """The output of the subtree over `data`, whose first chunk has number `first_chunk`."""
    chunks = max(1, -(-len(data) // CHUNK))
    if chunks == 1:
        return _chunk(key_words, data, first_chunk, flags)
    # The left subtree is the largest complete tree that leaves at least one chunk on the right.
    left_chunks = 1 << ((chunks - 1).bit_length() - 1)
    cut = left_chunks * CHUNK
    left = _tree(key_words, data[:cut], first_chunk, flags).chaining_value()
    right = _tree(key_words, data[cut:], first_chunk + left_chunks, flags).chaining_value()
    return _Output(key_words, struct.pack("<16I", *left, *right), 0, BLOCK, flags | PARENT)


def blake3(data, *, key=None, context=None, length=32):
    """BLAKE3 of `data`: plain, keyed (`key`, 32 bytes) or derive-key (`context`, a str)."""
    if key is not None and context is not None:
        raise ValueError("key and context exclude each other")
    key_words, flags = IV, 0
    if key is not None:
        if len(key) != 32:
            raise ValueError(f"a key has 32 bytes, not {len(key)}")
        key_words, flags = struct.unpack("<8I", key), KEYED_HASH
    elif context is not None:
        derived = _tree(IV, context.encode(), 0, DERIVE_KEY_CONTEXT).root_bytes(32)
        key_words, flags = struct.unpack("<8I", derived), DERIVE_KEY_MATERIAL
    return _tree(key_words, bytes(data), 0, flags).root_bytes(length)


def first_block(block):
    """Chaining value, as 32 bytes, after the first of two blocks of 64 bytes: words little-endian."""
    if len(block) != BLOCK:
        raise ValueError(f"a full block has {BLOCK} bytes, not {len(block)}")
    return struct.pack("<8I", *compress(IV, block, 0, BLOCK, CHUNK_START)[:8])


def last_block(cv, block):
    """Plain BLAKE3 of two blocks of 64 bytes, from the chaining value after the first one."""
    if len(block) != BLOCK:
        raise ValueError(f"a full block has {BLOCK} bytes, not {len(block)}")
    words = compress(struct.unpack("<8I", cv), block, 0, BLOCK, CHUNK_END | ROOT)
    return struct.pack("<8I", *words[:8])


# Published by BLAKE3's authors (test_vectors.json): input length, then plain, keyed and
# derive-key output. The input is 0, 1, ..., 250 repeated.
TEST_KEY = b"whats the Elvish word for friend"
TEST_CONTEXT = "BLAKE3 2019-12-27 16:29:52 test vectors context"
TEST_VECTORS = (
    (
        0,  # the extended output of 131 bytes, that is three root blocks
        "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262e00f03e7b69af26b7faaf09fcd333050"
        "338ddfe085b8cc869ca98b206c08243a26f5487789e8f660afe6c99ef9e0c52b92e7393024a80459cf91f476f9ffdbda"
        "7001c22e159b402631f277ca96f2defdf1078282314e763699a31c5363165421cce14d",
        "92b2b75604ed3c761f9d6f62392c8a9227ad0ea3f09573e783f1498a4ed60d26b18171a2f22a4b94822c701f107153db"
        "a24918c4bae4d2945c20ece13387627d3b73cbf97b797d5e59948c7ef788f54372df45e45e4293c7dc18c1d41144a975"
        "8be58960856be1eabbe22c2653190de560ca3b2ac4aa692a9210694254c371e851bc8f",
        "2cc39783c223154fea8dfb7c1b1660f2ac2dcbd1c1de8277b0b0dd39b7e50d7d905630c8be290dfcf3e6842f13bddd57"
        "3c098c3f17361f1f206b8cad9d088aa4a3f746752c6b0ce6a83b0da81d59649257cdf8eb3e9f7d4998e41021fac119de"
        "efb896224ac99f860011f73609e6e0e4540f93b273e56547dfd3aa1a035ba6689d89a0",
    ),
    (
        1,
        "2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213",
        "6d7878dfff2f485635d39013278ae14f1454b8c0a3a2d34bc1ab38228a80c95b",
        "b3e2e340a117a499c6cf2398a19ee0d29cca2bb7404c73063382693bf66cb06c",
    ),
    (
        1023,
        "10108970eeda3eb932baac1428c7a2163b0e924c9a9e25b35bba72b28f70bd11",
        "c951ecdf03288d0fcc96ee3413563d8a6d3589547f2c2fb36d9786470f1b9d6e",
        "74a16c1c3d44368a86e1ca6df64be6a2f64cce8f09220787450722d85725dea5",
    ),
    (
        1024,
        "42214739f095a406f3fc83deb889744ac00df831c10daa55189b5d121c855af7",
        "75c46f6f3d9eb4f55ecaaee480db732e6c2105546f1e675003687c31719c7ba4",
        "7356cd7720d5b66b6d0697eb3177d9f8d73a4a5c5e968896eb6a689684302706",
    ),
    (
        1025,
        "d00278ae47eb27b34faecf67b4fe263f82d5412916c1ffd97c8cb7fb814b8444",
        "357dc55de0c7e382c900fd6e320acc04146be01db6a8ce7210b7189bd664ea69",
        "effaa245f065fbf82ac186839a249707c3bddf6d3fdda22d1b95a3c970379bcb",
    ),
    (
        3073,
        "7124b49501012f81cc7f11ca069ec9226cecb8a2c850cfe644e327d22d3e1cd3",
        "68dede9bef00ba89e43f31a6825f4cf433389fedae75c04ee9f0cf16a427c95a",
        "72613c9ec9ff7e40f8f5c173784c532ad852e827dba2bf85b2ab4b76f7079081",
    ),
    (
        6145,
        "f1323a8631446cc50536a9f705ee5cb619424d46887f3c376c695b70e0f0507f",
        "9ac301e9e39e45e3250a7e3b3df701aa0fb6889fbd80eeecf28dbc6300fbc539",
        "379bcc61d0051dd489f686c13de00d5b14c505245103dc040d9e4dd1facab8e5",
    ),
)


def self_check():
    """The failures among the published vectors, one line each; empty when all agree."""
    failures = []
    for size, plain, keyed, derived in TEST_VECTORS:
        data = bytes(i % 251 for i in range(size))
        modes = (
            ("plain", plain, {}),
            ("keyed", keyed, {"key": TEST_KEY}),
            ("derive-key", derived, {"context": TEST_CONTEXT}),
        )
        for mode, want, arguments in modes:
            got = blake3(data, length=len(want) // 2, **arguments).hex()
            if got != want:
                failures.append(f"{mode} of {size} bytes: got {got}, want {want}")
    # The published vectors have no input of two blocks; the whole hash is checked above at other lengths.
    data = bytes(range(2 * BLOCK))
    steps = last_block(first_block(data[:BLOCK]), data[BLOCK:])
    if steps != blake3(data):
        failures.append(f"two blocks in two steps: got {steps.hex()}, want {blake3(data).hex()}")
    return failures


if __name__ == "__main__":
    found = self_check()
    for line in found:
        print(line, file=sys.stderr)
    print("blake3.py:", f"{len(found)} differences" if found else "agrees with the published vectors")
    sys.exit(1 if found else 0)
