"""Signed notes and checkpoints: C2SP signed-note and C2SP tlog-checkpoint.

Only Ed25519 keys (signature type 0x01) are known here. Signatures of other
keys are ignored, as the text asks.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Sequence

import ed25519
from common import HASH_SIZE, Refused, base64_bytes, to_utf8, utf8

ED25519_TYPE = b"\x01"
KEY_ID_SIZE = 4
MAX_NOTE_SIZE = 1 << 20
MAX_SIGNATURES = 100
SIGNATURE_PREFIX = "\u2014 "


@dataclass(frozen=True)
class VerifierKey:
    name: str
    key_id: bytes
    public: bytes


@dataclass(frozen=True)
class Signature:
    name: str
    key_id: bytes
    signature: bytes


@dataclass(frozen=True)
class Checkpoint:
    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...]


def key_id(name: str, public: bytes) -> bytes:
    return sha256(to_utf8(name) + b"\n" + ED25519_TYPE + public).digest()[:KEY_ID_SIZE]


def parse_verifier_key(text: str) -> VerifierKey:
    """Reads `<name>+<hex key id>+<base64(0x01 || key)>`."""
    parts = text.split("+", 2)
    if len(parts) != 3 or not _is_key_name(parts[0]):
        raise Refused("a verifier key is not <name>+<key id>+<base64 key>")
    name, hex_id, encoded = parts
    data = base64_bytes(encoded, "the key in a verifier key")
    if data[:1] != ED25519_TYPE or len(data) != 33:
        raise Refused("a verifier key is not an Ed25519 key of type 0x01")
    public = data[1:]
    if hex_id != key_id(name, public).hex():
        raise Refused("the key id in a verifier key does not belong to the key")
    return VerifierKey(name, bytes.fromhex(hex_id), public)


def _is_key_name(name: str) -> bool:
    return name != "" and "+" not in name and not any(c.isspace() for c in name)


def parse_note(data: bytes) -> tuple[str, list[Signature]]:
    """Splits a note into its text and its signatures, which stay unverified."""
    if len(data) > MAX_NOTE_SIZE:
        raise Refused("the note is too long")
    note = utf8(data)
    if any(c < " " and c != "\n" for c in note):
        raise Refused("the note has a control character")
    if not note.endswith("\n"):
        raise Refused("the note does not end in a newline")
    separator = note.rfind("\n\n")
    if separator < 0:
        raise Refused("the note has no blank line before its signatures")
    lines = note[separator + 2 :].split("\n")[:-1]
    if not lines:
        raise Refused("the note has no signature")
    if len(lines) > MAX_SIGNATURES:
        raise Refused("the note has too many signatures")
    return note[: separator + 1], [_parse_signature(line) for line in lines]


def _parse_signature(line: str) -> Signature:
    parts = line.removeprefix(SIGNATURE_PREFIX).split(" ")
    if not line.startswith(SIGNATURE_PREFIX) or len(parts) != 2 or not _is_key_name(parts[0]):
        raise Refused("a signature line of the note is malformed")
    data = base64_bytes(parts[1], "a signature of the note")
    if len(data) <= KEY_ID_SIZE:
        raise Refused("a signature of the note is too short")
    return Signature(parts[0], data[:KEY_ID_SIZE], data[KEY_ID_SIZE:])


def open_note(data: bytes, keys: Sequence[VerifierKey]) -> str:
    """The text of the note, once its signatures by the keys are verified."""
    text, signatures = parse_note(data)
    known = {(key.name, key.key_id): key.public for key in keys}
    verified = 0
    for signature in signatures:
        public = known.get((signature.name, signature.key_id))
        if public is None:
            continue
        if not ed25519.verify(public, text.encode(), signature.signature):
            raise Refused(f"the signature by {signature.name} is wrong")
        verified += 1
    if verified == 0:
        raise Refused("the note has no signature by a given key")
    return text


def parse_checkpoint(text: str) -> Checkpoint:
    """Reads the text of a checkpoint: origin, size, root, extension lines."""
    lines = text.removesuffix("\n").split("\n")
    if len(lines) < 3 or "" in lines:
        raise Refused("the checkpoint is not three or more non-empty lines")
    origin, size, root = lines[:3]
    if not re.fullmatch("0|[1-9][0-9]{0,18}", size) or int(size) >= 1 << 63:
        raise Refused("the size in the checkpoint is not a plain decimal number")
    root_hash = base64_bytes(root, "the root in the checkpoint")
    if len(root_hash) != HASH_SIZE:
        raise Refused("the root in the checkpoint is not 32 bytes")
    return Checkpoint(origin, int(size), root_hash, tuple(lines[3:]))


def read_checkpoint(path: str, keys: Sequence[VerifierKey]) -> Checkpoint:
    """Reads a checkpoint file and verifies its signatures."""
    with Path(path).open("rb") as file:
        data = file.read(MAX_NOTE_SIZE + 1)
    try:
        return parse_checkpoint(open_note(data, keys))
    except Refused as error:
        raise Refused(f"checkpoint {path}: {error}") from None
