r"""JSON as it travels: what is accepted from outside, and the dialect every client can read.

Out: compact, ASCII only, and a backslash inside a string as ``\u005c``. One official client scans answers by
hand and loses its place at a string that ends in an escaped backslash; another decodes bytes with the
charset of its platform.

In: UTF-8, at most `DEPTH_MAX` levels, whole numbers a double can hold exactly, no lone surrogates, no NUL
(PostgreSQL cannot store it). Of duplicate keys the last one counts.
"""

import json
import re
from typing import Any

import msgspec

from gameserver.wire.errors import UnreadableJson

DEPTH_MAX = 32
INTEGER_MAX = 2**53  # beyond it a double, and so half of the clients, loses precision

JSON_NULL = b"null"

_encode = msgspec.json.Encoder().encode
_ON_ONE_LINE = bytes.maketrans(b"\t\n\r", b"   ")  # JSON has them between values alone
# What can hide trouble in JSON text: a NUL, half a surrogate pair, a number of 16 digits or a large exponent.
_SUSPECT_ESCAPE = re.compile(rb"\\u0000|\\u[dD][89a-fA-F]")
_SUSPECT_NUMBER = re.compile(rb"(?:^|[\s\[:,])-?(?:\d{16}|\d+(?:\.\d*)?[eE]\+?\d\d)")
_SHAPE = bytes.maketrans(b"123456789E", b"000000000e")
_LONG_NUMBER = b"0" * 16
_BRACKET_OR_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)


def encode(value: Any) -> bytes:
    """Encode a value the way every client reads it."""
    text = _encode(value)
    return text if text.isascii() and b"\\\\" not in text else _plain(text)


def _plain(text: bytes) -> bytes:
    """Escape what not every client reads. Without a step for each character: an answer may have millions."""
    text = text.replace(b"\\\\", b"\\u005c")  # every run of backslashes begins with a whole escape
    if text.isascii():
        return text
    # As a string within JSON it is ASCII; then what made it a string is taken back.
    quoted = json.dumps(text.translate(_ON_ONE_LINE).decode())[1:-1]
    return quoted.replace("\\\\", "\0").replace('\\"', '"').replace("\0", "\\").encode()


def check_text(text: bytes) -> None:
    """Refuse JSON text that is deeper or larger in its numbers than any client sends.

    Cheap for ordinary text: searches for short texts, which take a tenth of what a pattern takes. Raises
    `UnreadableJson`.
    """
    if text.count(b"{") + text.count(b"[") > DEPTH_MAX:
        _check_depth(text)
    if _is_suspect(text):
        _check_values(text)


def _is_suspect(text: bytes) -> bool:
    if b"\\u" in text and _SUSPECT_ESCAPE.search(text) is not None:
        return True
    shape = text.translate(_SHAPE)  # all digits alike
    # Ids are full of such digits, within quotes; fractions of JavaScript are long.
    return (
        _LONG_NUMBER in shape or (b"0e" in shape and (b"0e00" in shape or b"0e+00" in shape))
    ) and _SUSPECT_NUMBER.search(text) is not None


def _check_depth(text: bytes) -> None:
    depth = 0
    for match in _BRACKET_OR_STRING.finditer(text):
        first = match.group()[0]
        if first in b"{[":
            depth += 1
            if depth > DEPTH_MAX:
                raise UnreadableJson(f"JSON deeper than {DEPTH_MAX} levels")
        elif first in b"}]":
            depth -= 1


def _check_values(text: bytes) -> None:
    pending: list[tuple[str, Any]] = [("", decode_any(text))]
    while pending:
        path, value = pending.pop()
        match value:
            case dict():
                for key, item in value.items():
                    _check_string(f"a name in {path or 'the packet'}", key)
                    pending.append((f"{path}.{key}" if path else key, item))
            case list():
                pending.extend((f"{path}[{index}]", item) for index, item in enumerate(value))
            case str():
                _check_string(path, value)
            case int() if abs(value) > INTEGER_MAX:
                raise UnreadableJson(f"{path}: a whole number beyond 2^53 loses precision; send it as text")
            case _:
                pass


def _check_string(path: str, value: str) -> None:
    if "\x00" in value:
        raise UnreadableJson(f"{path}: text must not contain NUL")


def decode_any(text: bytes) -> Any:
    """Decode to plain Python values. Raises `UnreadableJson`."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableJson(f"not JSON: {error}") from None
