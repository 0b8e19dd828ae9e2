"""Compares the roots and proofs of the program under test with our own.

Both sides know the trees: leaf i is the ASCII text `entry <i>`. Each input
line speaks of all proofs of one size, of one inclusion proof, or of one
consistency proof:

    {"size":n,"root":"<hex>","inclusion":"<hex>","consistency":"<hex>"}
    {"size":n,"index":i,"proof":["<hex>",...],"root":"<hex>"}
    {"from":m,"size":n,"proof":["<hex>",...],"root":"<hex>"}

`inclusion` is SHA-256 over (one byte: number of hashes || the hashes) of the
proofs of 0 to n-1 in n, `consistency` the same of the proofs from 0 to n to n.
The single proofs are also put to the verification of RFC 9162, which must
accept them and refuse every altered one.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any, Callable, Iterable, Iterator

from common import HASH_SIZE, Refused, hex_bytes, parse_json_object, utf8, whole_number
from rfc6962 import Tree, leaf_hash, verify_consistency, verify_inclusion

MAX_SIZE = 1 << 20
SIZE_KEYS = {"size", "root", "inclusion", "consistency"}
INCLUSION_KEYS = {"size", "index", "proof", "root"}
CONSISTENCY_KEYS = {"size", "from", "proof", "root"}

Proof = list[bytes]


class Agreement:
    def __init__(self) -> None:
        self._leaves: list[bytes] = []
        self._tree = Tree(self._leaves)
        self.roots = 0
        self.proofs = 0

    def check_line(self, line: bytes) -> None:
        value = parse_json_object(utf8(line))
        size = whole_number(value.get("size"), "size")
        if size > MAX_SIZE:
            raise Refused(f"size {size} is more than {MAX_SIZE}")
        self._grow(size)
        if hex_bytes(value.get("root"), HASH_SIZE, "root") != self._tree.root(size):
            raise Refused(f"the root of size {size} differs")
        self.roots += 1
        if value.keys() == SIZE_KEYS:
            self._check_size(value, size)
        elif value.keys() == INCLUSION_KEYS:
            self._check_inclusion(value, size)
        elif value.keys() == CONSISTENCY_KEYS:
            self._check_consistency(value, size)
        else:
            raise Refused("the line has fields missing or unknown")

    def _grow(self, size: int) -> None:
        for index in range(len(self._leaves), size):
            self._leaves.append(leaf_hash(b"entry %d" % index))

    def _check_size(self, value: dict[str, Any], size: int) -> None:
        tree = self._tree
        inclusion = _digest(tree.inclusion_proof(index, size) for index in range(size))
        if value["inclusion"] != inclusion:
            raise Refused(f"the inclusion proofs of size {size} differ")
        consistency = _digest(tree.consistency_proof(m, size) for m in range(size + 1))
        if value["consistency"] != consistency:
            raise Refused(f"the consistency proofs to size {size} differ")
        self.proofs += size + size + 1

    def _check_inclusion(self, value: dict[str, Any], size: int) -> None:
        index = whole_number(value["index"], "index")
        what = f"the inclusion proof of {index} in {size}"
        if index >= size:
            raise Refused(f"{what} cannot exist")
        proof = _hashes(value["proof"])
        if proof != self._tree.inclusion_proof(index, size):
            raise Refused(f"{what} differs")
        leaf, root = self._leaves[index], self._tree.root(size)

        def accepted(index: int, proof: Proof, root: bytes) -> bool:
            return verify_inclusion(index, size, leaf, proof, root)

        _check_verification(what, accepted, index, proof, root)
        self.proofs += 1

    def _check_consistency(self, value: dict[str, Any], size: int) -> None:
        first = whole_number(value["from"], "from")
        what = f"the consistency proof from {first} to {size}"
        if first > size:
            raise Refused(f"{what} cannot exist")
        proof = _hashes(value["proof"])
        if proof != self._tree.consistency_proof(first, size):
            raise Refused(f"{what} differs")
        first_root, root = self._tree.root(first), self._tree.root(size)

        def accepted(first: int, proof: Proof, first_root: bytes) -> bool:
            return verify_consistency(first, size, first_root, root, proof)

        _check_verification(what, accepted, first, proof, first_root)
        if first > 0 and verify_consistency(first, size, first_root, _flip(root, 0), proof):
            raise Refused(f"{what} is accepted for another root")
        self.proofs += 1


def _digest(proofs: Iterator[Proof]) -> str:
    digest = sha256()
    for proof in proofs:
        digest.update(bytes([len(proof)]) + b"".join(proof))
    return digest.hexdigest()


def _hashes(value: Any) -> Proof:
    if not isinstance(value, list):
        raise Refused("proof is not a list")
    return [hex_bytes(item, HASH_SIZE, "a hash of the proof") for item in value]


def _check_verification(
    what: str,
    accepted: Callable[[int, Proof, bytes], bool],
    index: int,
    proof: Proof,
    root: bytes,
) -> None:
    """The proof is accepted; no altered proof, index or root is."""
    if not accepted(index, proof, root):
        raise Refused(f"{what} does not verify")
    if accepted(index, proof, _flip(root, 0)):
        raise Refused(f"{what} is accepted for another root")
    if accepted(index - 1, proof, root) or accepted(index + 1, proof, root):
        raise Refused(f"{what} is accepted for another index")
    if any(accepted(index, altered, root) for altered in _altered(proof)):
        raise Refused(f"{what} is accepted after it was altered")


def _altered(proof: Proof) -> Iterator[Proof]:
    """One bit flipped, one hash dropped, one hash added: at each place."""
    for place, value in enumerate(proof):
        before, after = proof[:place], proof[place + 1 :]
        yield before + [_flip(value, 37 * place % (8 * HASH_SIZE))] + after
        yield before + after
    for place in range(len(proof) + 1):
        yield proof[:place] + [bytes(HASH_SIZE)] + proof[place:]


def _flip(data: bytes, bit: int) -> bytes:
    flipped = bytearray(data)
    flipped[bit // 8] ^= 1 << bit % 8
    return bytes(flipped)


def check_agreement(lines: Iterable[bytes]) -> str:
    """Checks every line; returns what agreed in one line."""
    agreement = Agreement()
    for number, line in enumerate(lines, 1):
        try:
            agreement.check_line(line)
        except Refused as error:
            raise Refused(f"line {number}: {error}") from None
    if agreement.roots == 0:
        raise Refused("the input is empty")
    return f"{agreement.roots} roots, {agreement.proofs} proofs"
