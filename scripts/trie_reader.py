"""Reads the trie's encodings in Python; used by `trie_multi.py` and `trie_chunks.py`."""

from trie_format import EMPTY


class Refused(Exception):
    """Bytes that are not what they should be."""


def need(holds, rule):
    if not holds:
        raise Refused(rule)


class Reader:
    """Takes fields off bytes; every byte has to be taken."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        need(self.at + count <= len(self.data), "cut short")
        self.at += count
        return self.data[self.at - count : self.at]

    def byte(self):
        return self.take(1)[0]

    def integer(self, width):
        return int.from_bytes(self.take(width), "little")

    def number(self):
        """Unsigned LEB128 of a u64, in its one form."""
        value, shift, byte = 0, 0, 128
        while byte >= 128:
            byte = self.byte()
            value |= (byte & 127) << shift
            shift += 7
        need(byte or shift == 7, "a needless last byte")
        need(value < 2**64, "a number beyond u64")
        return value

    def children(self, bits, count):
        need(bits >> count == 0, "bits without a child")
        hashes = [self.take(32) if bits >> i & 1 else EMPTY for i in range(count)]
        need(all(h != EMPTY for i, h in enumerate(hashes) if bits >> i & 1), "a child that is empty")
        return hashes

    def trits(self, count):
        packed = self.take(-(-count // 5))
        trits = [byte // 3**i % 3 for byte in packed for i in (4, 3, 2, 1, 0)]
        need(all(byte < 243 for byte in packed) and not any(trits[count:]), "packed trits")
        return trits[:count]

    def end(self):
        need(self.at == len(self.data), "bytes left over")
