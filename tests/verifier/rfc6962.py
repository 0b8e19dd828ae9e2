"""Merkle trees of RFC 6962 with SHA-256.

Roots and proofs are built by the recursive definitions of RFC 6962 section
2.1 (MTH, PATH, PROOF and SUBPROOF). Proofs are verified by the iterative
algorithms of RFC 9162 sections 2.1.3.2 and 2.1.4.2, so that building and
verifying share no code but the two hash functions.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Sequence

EMPTY_ROOT = sha256(b"").digest()


def leaf_hash(leaf: bytes) -> bytes:
    return sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


def root_of(leaf_hashes: Sequence[bytes]) -> bytes:
    """The root of the tree with exactly these leaf hashes."""
    return Tree(leaf_hashes).root(len(leaf_hashes))


def _split(size: int) -> int:
    """The largest power of two smaller than `size`, which is at least 2."""
    return 1 << ((size - 1).bit_length() - 1)


class Tree:
    """Roots and proofs of every size up to the number of leaf hashes.

    The list may grow at its end while the tree is in use. The roots of
    subtrees are kept, by their first leaf and the leaf after their last.
    """

    def __init__(self, leaf_hashes: Sequence[bytes]) -> None:
        self._leaves = leaf_hashes
        self._roots: dict[tuple[int, int], bytes] = {}

    def root(self, size: int) -> bytes:
        """MTH(D[0:size])."""
        return EMPTY_ROOT if size == 0 else self._mth(0, size)

    def inclusion_proof(self, index: int, size: int) -> list[bytes]:
        """PATH(index, D[0:size])."""
        return self._path(index, 0, size)

    def consistency_proof(self, first: int, second: int) -> list[bytes]:
        """PROOF(first, D[0:second]); empty from size 0 and to the same size."""
        if first in (0, second):
            return []
        return self._subproof(first, 0, second, True)

    def _mth(self, start: int, end: int) -> bytes:
        if end - start == 1:
            return self._leaves[start]
        root = self._roots.get((start, end))
        if root is None:
            middle = start + _split(end - start)
            root = node_hash(self._mth(start, middle), self._mth(middle, end))
            self._roots[start, end] = root
        return root

    def _path(self, index: int, start: int, end: int) -> list[bytes]:
        """PATH; `index` counts from leaf 0, not from `start`."""
        if end - start == 1:
            return []
        middle = start + _split(end - start)
        if index < middle:
            proof = self._path(index, start, middle)
            proof.append(self._mth(middle, end))
        else:
            proof = self._path(index, middle, end)
            proof.append(self._mth(start, middle))
        return proof

    def _subproof(self, first: int, start: int, end: int, whole: bool) -> list[bytes]:
        """SUBPROOF; `first` counts from leaf 0, not from `start`."""
        if first == end:
            return [] if whole else [self._mth(start, end)]
        middle = start + _split(end - start)
        if first <= middle:
            proof = self._subproof(first, start, middle, whole)
            proof.append(self._mth(middle, end))
        else:
            proof = self._subproof(first, middle, end, False)
            proof.append(self._mth(start, middle))
        return proof


def verify_inclusion(
    index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes
) -> bool:
    """RFC 9162 section 2.1.3.2; `leaf` is the leaf's hash."""
    if not 0 <= index < size:
        return False
    fn, sn = index, size - 1
    computed = leaf
    for sibling in proof:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            computed = node_hash(sibling, computed)
            while not fn & 1 and fn != 0:
                fn, sn = fn >> 1, sn >> 1
        else:
            computed = node_hash(computed, sibling)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and computed == root


def verify_consistency(
    first: int,
    second: int,
    first_root: bytes,
    second_root: bytes,
    proof: Sequence[bytes],
) -> bool:
    """RFC 9162 section 2.1.4.2, and the empty proofs that section leaves out."""
    if not 0 <= first <= second:
        return False
    if first == second:
        return not proof and first_root == second_root
    if first == 0:
        return not proof and first_root == EMPTY_ROOT
    if not proof:
        return False
    path = list(proof)
    if first & (first - 1) == 0:
        path.insert(0, first_root)
    fn, sn = first - 1, second - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    first_computed = second_computed = path[0]
    for value in path[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            first_computed = node_hash(value, first_computed)
            second_computed = node_hash(value, second_computed)
            while not fn & 1 and fn != 0:
                fn, sn = fn >> 1, sn >> 1
        else:
            second_computed = node_hash(second_computed, value)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and first_computed == first_root and second_computed == second_root
