"""RFC 6962 Merkle trees over 256-wide tiles: roots, inclusion and consistency proofs, and their verification.

A node is (level, index): level 0 are the leaf hashes; node (l, i) covers leaves i·2^l … (i+1)·2^l − 1.
Tile (t, i) holds up to 256 nodes of level 8·t, from index 256·i on (the shape of C2SP tlog-tiles), 32 bytes each.
Hashes are SHA-256; leaves are hashed with prefix 0x00, nodes with 0x01 (RFC 6962, section 2.1).
"""

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256

EMPTY = sha256(b"").digest()
TILE = 256
NodeReader = Callable[[int, int], bytes]


def leaf_hash(data: bytes) -> bytes:
    """The hash of one leaf's bytes."""
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node."""
    return sha256(b"\x01" + left + right).digest()


def fold(hashes: Sequence[bytes]) -> bytes:
    """The root over 2^k hashes."""
    level = list(hashes)
    while len(level) > 1:
        level = [node_hash(level[i], level[i + 1]) for i in range(0, len(level), 2)]
    return level[0]


class Frontier:
    """The right edge of a growing tree: the roots of its complete subtrees, largest first. O(log n) memory."""

    __slots__ = ("peaks", "size")

    def __init__(self, size: int = 0, peaks: Iterable[bytes] = ()) -> None:
        self.size, self.peaks = size, list(peaks)

    def append(self, leaf: bytes) -> None:
        """Adds one leaf hash."""
        node, size = leaf, self.size
        while size & 1:
            node = sha256(b"\x01" + self.peaks.pop() + node).digest()
            size >>= 1
        self.peaks.append(node)
        self.size += 1

    def root(self) -> bytes:
        """The tree's root at this size."""
        if not self.peaks:
            return EMPTY
        node = self.peaks[-1]
        for peak in reversed(self.peaks[:-1]):
            node = node_hash(peak, node)
        return node


def peaks_of(size: int) -> list[tuple[int, int]]:
    """The complete subtrees of a tree of ``size`` leaves, as (level, index), largest first."""
    found, start = [], 0
    for level in range(size.bit_length() - 1, -1, -1):
        if size >> level & 1:
            found.append((level, start >> level))
            start += 1 << level
    return found


def subtree(read: NodeReader, start: int, end: int) -> bytes:
    """MTH(D[start:end]) of RFC 6962 for a range that begins at a multiple of its enclosing power of two."""
    if end - start == 1:
        return read(0, start)
    width = 1 << (end - start - 1).bit_length()
    if width == end - start:
        return read(width.bit_length() - 1, start // width)
    half = width >> 1
    return node_hash(subtree(read, start, start + half), subtree(read, start + half, end))


def inclusion_proof(read: NodeReader, index: int, size: int) -> list[bytes]:
    """PATH(index, D[size]) of RFC 6962, section 2.1.1, leaf side first."""
    proof: list[bytes] = []
    start, end = 0, size
    while end - start > 1:
        half = 1 << ((end - start - 1).bit_length() - 1)
        if index < start + half:
            proof.append(subtree(read, start + half, end))
            end = start + half
        else:
            proof.append(subtree(read, start, start + half))
            start += half
    return proof[::-1]


def root_from_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes]) -> bytes:
    """The root that an inclusion proof leads to (RFC 9162, section 2.1.3.2). Raises ValueError on a wrong length."""
    if not 0 <= index < size:
        raise ValueError(f"index {index} is not inside a tree of {size}")
    node, number, last = leaf, index, size - 1
    for step in proof:
        if last == 0:
            raise ValueError("the proof is too long")
        if number & 1 or number == last:
            node = node_hash(step, node)
            while not number & 1 and number:
                number, last = number >> 1, last >> 1
        else:
            node = node_hash(node, step)
        number, last = number >> 1, last >> 1
    if last:
        raise ValueError("the proof is too short")
    return node


def consistency_proof(read: NodeReader, old: int, new: int) -> list[bytes]:
    """PROOF(old, D[new]) of RFC 6962, section 2.1.2."""
    if not 0 < old < new:
        return []

    def walk(start: int, end: int, split: int, whole: bool) -> list[bytes]:
        if split == end - start:
            return [] if whole else [subtree(read, start, end)]
        half = 1 << ((end - start - 1).bit_length() - 1)
        if split <= half:
            return [*walk(start, start + half, split, whole), subtree(read, start + half, end)]
        return [*walk(start + half, end, split - half, False), subtree(read, start, start + half)]

    return walk(0, new, old, True)


def is_consistent(old: int, old_root: bytes, new: int, new_root: bytes, proof: Sequence[bytes]) -> bool:
    """Whether a proof shows that the tree of ``old`` leaves is a prefix of the one of ``new`` (RFC 9162, 2.1.4.2)."""
    if old == new:
        return old_root == new_root and not proof
    if old == 0:
        return not proof
    steps = list(proof)
    if old & (old - 1) == 0:
        steps.insert(0, old_root)
    if not steps or old > new:
        return False
    number, last = old - 1, new - 1
    while number & 1:
        number, last = number >> 1, last >> 1
    first = second = steps[0]
    for step in steps[1:]:
        if last == 0:
            return False
        if number & 1 or number == last:
            first, second = node_hash(step, first), node_hash(step, second)
            while not number & 1 and number:
                number, last = number >> 1, last >> 1
        else:
            second = node_hash(second, step)
        number, last = number >> 1, last >> 1
    return last == 0 and first == old_root and second == new_root


def node_from_tiles(tile: Callable[[int, int], bytes], level: int, index: int) -> bytes:
    """One node, computed from the tile that covers it; ``tile(t, i)`` answers a tile's bytes."""
    height, rest = divmod(level, 8)
    first = index << rest
    data = tile(height, first // TILE)
    offset = first % TILE * 32
    piece = data[offset : offset + (32 << rest)]
    if len(piece) != 32 << rest:
        raise ValueError(f"tile {height}/{first // TILE} is too short for node {level}/{index}")
    return fold([piece[i : i + 32] for i in range(0, len(piece), 32)])
