"""What the other files share: the refusal, strict JSON, hex and base64.

Everything that is wrong with the input is raised as `Refused`, whose text is
the one line the command prints.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import Any

HASH_SIZE = 32


class Refused(Exception):
    """The input does not verify; the text says what is wrong."""


def canonical_json(value: Any) -> str:
    """The one text of a JSON value: sorted keys, no white space, UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def parse_json_object(text: str) -> dict[str, Any]:
    """Parses a JSON object; a key given twice, NaN and the like are refused."""
    try:
        value = json.loads(
            text,
            object_pairs_hook=_object_without_repeats,
            parse_constant=_refuse_constant,
        )
    except (ValueError, RecursionError) as error:
        raise Refused(f"not JSON ({error})") from None
    if not isinstance(value, dict):
        raise Refused("not a JSON object")
    return value


def _object_without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise Refused("a JSON object has the same key twice")
    return value


def _refuse_constant(name: str) -> Any:
    raise Refused(f"{name} is not JSON")


def utf8(data: bytes) -> str:
    """Decodes UTF-8 strictly."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise Refused("not UTF-8") from None


def to_utf8(text: str) -> bytes:
    """Encodes UTF-8; half of a surrogate pair (possible in JSON) is refused."""
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        raise Refused("text that is not valid Unicode") from None


def whole_number(value: Any, what: str) -> int:
    """A JSON integer from 0 to 2^63 - 1."""
    if type(value) is not int or not 0 <= value < 1 << 63:
        raise Refused(f"{what} is not a whole number")
    return value


def hex_bytes(value: Any, size: int, what: str) -> bytes:
    """Exactly `size` bytes in lower-case hex."""
    if not isinstance(value, str) or not re.fullmatch(f"[0-9a-f]{{{2 * size}}}", value):
        raise Refused(f"{what} is not {2 * size} lower-case hex digits")
    return bytes.fromhex(value)


def base64_bytes(text: str, what: str) -> bytes:
    """Standard base64 with padding, in its one canonical spelling."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Refused(f"{what} is not base64") from None
    if base64.b64encode(data).decode() != text:
        raise Refused(f"{what} is not canonical base64")
    return data
