"""Tiled logs of C2SP tlog-tiles, in a folder of static files or over HTTP.

The root is computed from the level-0 tiles alone. The tiles of higher levels
and the entry bundles are then compared with the level-0 tiles.
"""

from __future__ import annotations

import urllib.error
import urllib.request
import zlib
from pathlib import Path
from typing import Iterator, Protocol

from common import HASH_SIZE, Refused
from rfc6962 import leaf_hash, root_of

TILE_WIDTH = 256
MAX_TILE_SIZE = TILE_WIDTH * HASH_SIZE
MAX_BUNDLE_SIZE = TILE_WIDTH * (2 + 0xFFFF)
HTTP_TIMEOUT_SECONDS = 30
# Compression makes hashes longer, not shorter.
GZIP_OVERHEAD = 1 << 16


class Source(Protocol):
    def read(self, path: str, limit: int) -> bytes | None:
        """The bytes at the path, None when there are none."""


class Folder:
    def __init__(self, base: str) -> None:
        self._base = Path(base)

    def read(self, path: str, limit: int) -> bytes | None:
        try:
            with (self._base / path).open("rb") as file:
                data = file.read(limit + 1)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None
        return _within(data, path, limit)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect could carry the token to another host."""

    def redirect_request(self, *_: object) -> None:
        return None


class Http:
    def __init__(self, base: str, token: str | None) -> None:
        self._base = base.rstrip("/")
        self._headers = {"Accept-Encoding": "gzip, identity"}
        if token is not None:
            self._headers["Authorization"] = f"Bearer {token}"
        self._opener = urllib.request.build_opener(_NoRedirect)

    def read(self, path: str, limit: int) -> bytes | None:
        request = urllib.request.Request(f"{self._base}/{path}", headers=self._headers)
        try:
            with self._opener.open(request, timeout=HTTP_TIMEOUT_SECONDS) as response:
                body: bytes = response.read(limit + GZIP_OVERHEAD)
                encoding = response.headers.get("Content-Encoding", "identity")
        except urllib.error.HTTPError as error:
            if error.code in (404, 410):
                return None
            raise Refused(f"{path}: the server answered {error.code}") from None
        if encoding == "gzip":
            body = _gunzip(body, path, limit)
        elif encoding != "identity":
            raise Refused(f"{path}: unknown content encoding {encoding}")
        return _within(body, path, limit)


def _gunzip(data: bytes, path: str, limit: int) -> bytes:
    decoder = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    try:
        plain = decoder.decompress(data, limit + 1)
    except zlib.error:
        raise Refused(f"{path}: the compressed body is damaged") from None
    if len(plain) <= limit and not decoder.eof:
        raise Refused(f"{path}: the compressed body is cut off")
    return plain


def _within(data: bytes, path: str, limit: int) -> bytes:
    if len(data) > limit:
        raise Refused(f"{path}: longer than the format allows")
    return data


def open_source(base: str, token: str | None) -> Source:
    if base.startswith(("http://", "https://")):
        return Http(base, token)
    return Folder(base)


def index_path(index: int) -> str:
    """1234067 becomes x001/x234/067."""
    path = f"{index % 1000:03}"
    index //= 1000
    while index:
        path = f"x{index % 1000:03}/{path}"
        index //= 1000
    return path


def tile_path(level: int | str, index: int, width: int = TILE_WIDTH) -> str:
    """The path of a tile; the level `entries` gives that of an entry bundle."""
    suffix = "" if width == TILE_WIDTH else f".p/{width}"
    return f"tile/{level}/{index_path(index)}{suffix}"


def tiles_of_level(size: int, level: int) -> Iterator[tuple[int, int]]:
    """Index and width of each tile at a level of a tree of this size."""
    hashes = size // TILE_WIDTH**level
    for index in range(hashes // TILE_WIDTH):
        yield index, TILE_WIDTH
    if hashes % TILE_WIDTH:
        yield hashes // TILE_WIDTH, hashes % TILE_WIDTH


def read_tile(source: Source, level: int, index: int, width: int) -> list[bytes]:
    """The first `width` hashes of a tile, of the full tile if only that is there."""
    path = tile_path(level, index, width)
    data = source.read(path, MAX_TILE_SIZE)
    expected = width
    if data is None and width < TILE_WIDTH:
        path, expected = tile_path(level, index), TILE_WIDTH
        data = source.read(path, MAX_TILE_SIZE)
    if data is None:
        raise Refused(f"{tile_path(level, index, width)}: missing")
    if len(data) != expected * HASH_SIZE:
        raise Refused(f"{path}: not {expected} hashes long")
    return [data[i * HASH_SIZE : (i + 1) * HASH_SIZE] for i in range(width)]


def read_bundle(source: Source, index: int, width: int) -> list[bytes]:
    """The first `width` entries of a bundle, of the full one if only that is there."""
    path = tile_path("entries", index, width)
    data = source.read(path, MAX_BUNDLE_SIZE)
    expected = width
    if data is None and width < TILE_WIDTH:
        path, expected = tile_path("entries", index), TILE_WIDTH
        data = source.read(path, MAX_BUNDLE_SIZE)
    if data is None:
        raise Refused(f"{tile_path('entries', index, width)}: missing")
    entries = parse_bundle(data, path)
    if len(entries) != expected:
        raise Refused(f"{path}: {len(entries)} entries instead of {expected}")
    return entries[:width]


def parse_bundle(data: bytes, path: str) -> list[bytes]:
    entries = []
    position = 0
    while position < len(data):
        start = position + 2
        position = start + int.from_bytes(data[start - 2 : start], "big")
        if position > len(data) or start > len(data):
            raise Refused(f"{path}: the bundle is cut off")
        entries.append(data[start:position])
    return entries


def read_leaf_hashes(source: Source, size: int) -> list[bytes]:
    leaves: list[bytes] = []
    for index, width in tiles_of_level(size, 0):
        leaves += read_tile(source, 0, index, width)
    return leaves


def check_higher_levels(source: Source, leaves: list[bytes]) -> None:
    """Compares the tiles above level 0 with what the leaf hashes give."""
    hashes = leaves
    level = 0
    while len(hashes) >= TILE_WIDTH:
        level += 1
        starts = range(0, len(hashes) - TILE_WIDTH + 1, TILE_WIDTH)
        hashes = [root_of(hashes[start : start + TILE_WIDTH]) for start in starts]
        for index, width in tiles_of_level(len(leaves), level):
            first = index * TILE_WIDTH
            tile = read_tile(source, level, index, width)
            if tile != hashes[first : first + width]:
                path = tile_path(level, index, width)
                raise Refused(f"{path}: does not agree with the level-0 tiles")


def check_entries(source: Source, leaves: list[bytes]) -> None:
    """Compares the entry bundles with the leaf hashes."""
    for index, width in tiles_of_level(len(leaves), 0):
        entries = read_bundle(source, index, width)
        for number, entry in enumerate(entries, index * TILE_WIDTH):
            if leaf_hash(entry) != leaves[number]:
                raise Refused(f"entry {number}: does not hash to its level-0 tile")


def verify_tiles(source: Source, size: int, root: bytes, with_entries: bool) -> None:
    """Verifies every tile of a tree, and its entry bundles if asked."""
    leaves = read_leaf_hashes(source, size)
    if root_of(leaves) != root:
        raise Refused("the level-0 tiles do not give the root of the checkpoint")
    check_higher_levels(source, leaves)
    if with_entries:
        check_entries(source, leaves)
