"""Verification of an exported audit log against a checkpoint.

The export is JSON Lines in UTF-8. The first line is the header:

    {"format":"keywright-audit-export","version":1,"origin":"...","size":21,"from":0,"scope":""}

The others stand in order of index without gap. Each is a leaf, or the root of
a complete, aligned subtree of 2^height leaves that is not shown:

    {"index":12,"hash":"<64 hex>","leaf":"{...}","clear":{"actor":"...",...},"salts":{"actor":"<32 hex>",...}}
    {"index":256,"height":8,"hash":"<64 hex>"}

`leaf` is canonical JSON; its UTF-8 bytes are the leaf of the tree, `hash` is its leaf hash. Its fields
actor, sourceIp, userAgent, target and details are commitments,
"sha256:" + hex(SHA-256(salt || field name || 0x00 || clear value)), where the
value of details is its object as canonical JSON. Erased fields are missing from
both `clear` and `salts`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO, Iterator

from common import (
    HASH_SIZE,
    Refused,
    canonical_json,
    hex_bytes,
    parse_json_object,
    to_utf8,
    utf8,
    whole_number,
)
from note import Checkpoint
from rfc6962 import EMPTY_ROOT, leaf_hash, node_hash, root_of
from tiles import Source, read_leaf_hashes

FORMAT = "keywright-audit-export"
VERSION = 1
HEADER_KEYS = {"format", "version", "origin", "size", "from", "scope"}
LEAF_KEYS = {"index", "hash", "leaf", "clear", "salts"}
SUBTREE_KEYS = {"index", "height", "hash"}
COMMITTED_FIELDS = ("actor", "sourceIp", "userAgent", "target", "details")
SALT_SIZE = 16
MAX_HEIGHT = 62
MAX_LINE_SIZE = 1 << 22


@dataclass(frozen=True)
class Header:
    origin: str
    size: int
    start: int
    scope: str


@dataclass(frozen=True)
class Entry:
    """A leaf (height 0) or a subtree that is not shown."""

    index: int
    height: int
    hash: bytes
    shown: bool
    erased: int = 0

    @property
    def end(self) -> int:
        return self.index + (1 << self.height)


class CompactRange:
    """The roots of the complete subtrees that make up a growing tree."""

    def __init__(self) -> None:
        self._stack: list[tuple[int, bytes]] = []

    def add(self, height: int, subtree: bytes) -> None:
        while self._stack and self._stack[-1][0] == height:
            subtree = node_hash(self._stack.pop()[1], subtree)
            height += 1
        self._stack.append((height, subtree))

    def root(self) -> bytes:
        if not self._stack:
            return EMPTY_ROOT
        root = self._stack[-1][1]
        for _, left in reversed(self._stack[:-1]):
            root = node_hash(left, root)
        return root


@dataclass
class Summary:
    """What one pass over the entries found."""

    roots: dict[int, bytes]
    leaves: int = 0
    subtrees: int = 0
    erased: int = 0


def verify_export(
    path: str, checkpoint: Checkpoint, since: Checkpoint | None, tiles: Source | None
) -> str:
    """Verifies the export; returns what was verified in one line."""
    checkpoints = [checkpoint] if since is None else [since, checkpoint]
    _check_checkpoints(checkpoint, since)
    with Path(path).open("rb") as file:
        header = read_header(file)
        _check_header(header, checkpoint)
        summary = summarise(read_entries(file, header.size), {c.size for c in checkpoints})
    if summary.roots[checkpoint.size] != checkpoint.root:
        if tiles is not None:
            _name_first_difference(path, checkpoint, tiles)
        raise Refused("the entries do not give the root of the checkpoint")
    if since is not None and summary.roots[since.size] != since.root:
        raise Refused(
            f"the entries do not give the root of the older checkpoint of size {since.size}: "
            "the log was rewritten or forked since"
        )
    return _describe(header, checkpoint, since, summary)


def _check_checkpoints(checkpoint: Checkpoint, since: Checkpoint | None) -> None:
    if since is None:
        return
    # The log may have had another name then; the older checkpoint's own key vouches for it.
    if since.size > checkpoint.size:
        raise Refused("the older checkpoint is the larger one")


def _check_header(header: Header, checkpoint: Checkpoint) -> None:
    if header.origin != checkpoint.origin:
        raise Refused(
            f"header: the origin is {header.origin}, that of the checkpoint {checkpoint.origin}"
        )
    if header.start != 0:
        raise Refused(
            f"header: the export begins at entry {header.start}; only a whole export verifies"
        )
    if header.size < checkpoint.size:
        raise Refused(
            f"header: the export has {header.size} entries, the checkpoint {checkpoint.size}"
        )


def read_header(file: BinaryIO) -> Header:
    try:
        line = next(_lines(file), None)
        if line is None:
            raise Refused("the export is empty")
        return _parse_header(parse_json_object(utf8(line)))
    except Refused as error:
        raise Refused(f"header: {error}") from None


def _parse_header(value: dict[str, Any]) -> Header:
    if value.get("format") != FORMAT:
        raise Refused(f"the format is not {FORMAT}")
    if type(value.get("version")) is not int or value["version"] != VERSION:
        raise Refused(f"the version is not {VERSION}")
    if value.keys() != HEADER_KEYS:
        raise Refused("fields are missing or unknown")
    origin, scope = value["origin"], value["scope"]
    if not isinstance(origin, str) or origin == "":
        raise Refused("the origin is not a text")
    if not isinstance(scope, str) or not (scope == "" or scope.startswith("ten_")):
        raise Refused("the scope is neither empty nor a tenant")
    size = whole_number(value["size"], "the size")
    return Header(origin, size, whole_number(value["from"], "from"), scope)


def read_entries(file: BinaryIO, size: int) -> Iterator[Entry]:
    """The entries after the header, each checked by itself and for its place."""
    position = 0
    for line in _lines(file):
        try:
            entry = _parse_entry(parse_json_object(utf8(line)), position, size)
        except Refused as error:
            raise Refused(f"entry {position}: {error}") from None
        yield entry
        position = entry.end
    if position < size:
        raise Refused(f"entry {position}: missing, the export ends before its size of {size}")


def _lines(file: BinaryIO) -> Iterator[bytes]:
    while line := file.readline(MAX_LINE_SIZE + 1):
        if len(line) > MAX_LINE_SIZE:
            raise Refused("a line of the export is too long")
        yield line


def _parse_entry(value: dict[str, Any], position: int, size: int) -> Entry:
    index = whole_number(value.get("index"), "the index")
    if index > position:
        raise Refused(f"missing or out of order, the next line holds entry {index}")
    if index < position:
        raise Refused(f"the line holds entry {index} instead, which came before")
    if value.keys() == LEAF_KEYS:
        entry = _parse_leaf(value)
    elif value.keys() == SUBTREE_KEYS:
        entry = _parse_subtree(value)
    else:
        raise Refused("the line is neither a leaf nor a subtree")
    if entry.end > size:
        raise Refused(f"beyond the size of the export, {size}")
    return entry


def _parse_subtree(value: dict[str, Any]) -> Entry:
    index = value["index"]
    height = whole_number(value["height"], "the height")
    if height > MAX_HEIGHT:
        raise Refused("the height is too large")
    if index % (1 << height) != 0:
        raise Refused(f"a subtree of height {height} cannot begin at this index")
    return Entry(index, height, hex_bytes(value["hash"], HASH_SIZE, "the hash"), shown=False)


def _parse_leaf(value: dict[str, Any]) -> Entry:
    text = value["leaf"]
    if not isinstance(text, str):
        raise Refused("the leaf is not a text")
    data = to_utf8(text)
    try:
        leaf = parse_json_object(text)
    except Refused as error:
        raise Refused(f"the leaf is {error}") from None
    if canonical_json(leaf) != text:
        raise Refused("the leaf is not canonical JSON")
    erased = _check_commitments(leaf, value["clear"], value["salts"])
    hashed = leaf_hash(data)
    if hex_bytes(value["hash"], HASH_SIZE, "the hash") != hashed:
        raise Refused("the leaf does not have the hash beside it")
    return Entry(value["index"], 0, hashed, shown=True, erased=erased)


def _check_commitments(leaf: dict[str, Any], clear: Any, salts: Any) -> int:
    """Opens the commitments of a leaf; returns how many fields are erased."""
    if not isinstance(clear, dict) or not isinstance(salts, dict):
        raise Refused("clear or salts is not an object")
    if clear.keys() != salts.keys():
        raise Refused("clear and salts do not have the same fields")
    for field in clear:
        if field not in COMMITTED_FIELDS or field not in leaf:
            raise Refused(f"the leaf commits to no field {field}")
    erased = 0
    for field in COMMITTED_FIELDS:
        if field not in leaf:
            continue
        if not isinstance(leaf[field], str) or not re.fullmatch(
            "sha256:[0-9a-f]{64}", leaf[field]
        ):
            raise Refused(f"{field} in the leaf is not a commitment")
        if field not in clear:
            erased += 1
            continue
        salt = hex_bytes(salts[field], SALT_SIZE, f"the salt of {field}")
        if commitment(salt, field, _clear_text(field, clear[field])) != leaf[field]:
            raise Refused(f"the clear value and salt of {field} do not give its commitment")
    return erased


def _clear_text(field: str, value: Any) -> str:
    """The text that the commitment of a field covers."""
    if field != "details":
        if not isinstance(value, str):
            raise Refused(f"the clear value of {field} is not a text")
        return value
    if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
        raise Refused("the clear value of details is not an object of texts")
    return canonical_json(value)


def commitment(salt: bytes, field: str, value: str) -> str:
    digest = sha256(salt + field.encode() + b"\x00" + to_utf8(value))
    return f"sha256:{digest.hexdigest()}"


def summarise(entries: Iterator[Entry], sizes: set[int]) -> Summary:
    """Goes through all entries and takes the root at each of the sizes."""
    compact = CompactRange()
    summary = Summary({0: EMPTY_ROOT})
    for entry in entries:
        for size in sizes:
            if entry.index < size < entry.end:
                raise Refused(
                    f"entry {entry.index}: the subtree crosses size {size} of a checkpoint; "
                    f"export again with a cut at {size}"
                )
        compact.add(entry.height, entry.hash)
        if entry.end in sizes:
            summary.roots[entry.end] = compact.root()
        summary.leaves += entry.shown
        summary.subtrees += not entry.shown
        summary.erased += entry.erased
    return summary


def _name_first_difference(path: str, checkpoint: Checkpoint, tiles: Source) -> None:
    """Raises the refusal that names the first entry differing from the tiles."""
    leaves = read_leaf_hashes(tiles, checkpoint.size)
    if root_of(leaves) != checkpoint.root:
        raise Refused("neither the entries nor the tiles give the root of the checkpoint")
    with Path(path).open("rb") as file:
        header = read_header(file)
        for entry in read_entries(file, header.size):
            if entry.end > checkpoint.size:
                break
            if root_of(leaves[entry.index : entry.end]) != entry.hash:
                what = "the leaf" if entry.shown else f"the subtree of height {entry.height}"
                raise Refused(f"entry {entry.index}: {what} differs from the level-0 tiles")


def _describe(
    header: Header, checkpoint: Checkpoint, since: Checkpoint | None, summary: Summary
) -> str:
    scope = f", scope {header.scope}" if header.scope else ""
    text = (
        f"{header.origin} at size {checkpoint.size}{scope}: {summary.leaves} entries shown, "
        f"{summary.subtrees} subtrees not shown, {summary.erased} fields erased"
    )
    if since is not None:
        text += f", consistent with size {since.size}"
    if header.size > checkpoint.size:
        beyond = header.size - checkpoint.size
        text += f"; the last {beyond} entries are newer than the checkpoint and not verified"
    return text
