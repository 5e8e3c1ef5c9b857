r"""JSON as it travels: what is accepted from outside, and the dialect every client can read.

Out: compact, ASCII only, and a backslash inside a string as ``\u005c``. One official client scans answers by
hand and loses its place at a string that ends in an escaped backslash; another decodes bytes with the
charset of its platform.

In: UTF-8, at most `DEPTH_MAX` levels, numbers a double can hold, no lone surrogates, no NUL (PostgreSQL
cannot store it). Whole numbers of 64 bits are kept as they are; only free data takes those that a double
cannot hold exactly (`check_whole`). Of duplicate keys the last one counts.

Whatever looks at text takes time in proportion to its length, and no step in Python for each character.
"""

import json
import math
import re
from array import array
from collections.abc import Iterable, Mapping
from itertools import accumulate, chain, zip_longest
from typing import Any

import msgspec
import orjson

from gameserver.wire.errors import InvalidParameterValue, UnreadableJson

DEPTH_MAX = 32
INTEGER_MAX = 2**53  # beyond it a double, and so half of the clients, loses precision
INT64_MIN, UINT64_MAX = -(2**63), 2**64 - 1  # beyond them a whole number is taken for the nearest double

INT64_DIGITS = 19
STRETCH = 64 << 10  # bytes that are looked at in one go

JSON_NULL = b"null"

_encode = msgspec.json.Encoder().encode
_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_ON_ONE_LINE = bytes.maketrans(b"\t\n\r", b"   ")  # JSON has them between values alone
# What can hide trouble in JSON text: a NUL, half a surrogate pair, a number of 16 digits or a huge exponent.
_SUSPECT_ESCAPE = re.compile(rb"\\u0000|\\u[dD][89a-fA-F]")
_SUSPECT_NUMBER = re.compile(rb"(?:^|[\s\[:,])-?(?:\d{16}|\d++(?:\.\d*+)?[eE]\+?\d{3})")
_SHAPE = bytes.maketrans(b"123456789E", b"000000000e")
_LONG_NUMBER = b"0" * 16
# A number with many digits or a large exponent, without its sign, where there are no strings. It begins with
# a set of bytes, for which there is a fast search, and gives back nothing that it has taken (`++`).
_LARGE_NUMBER = re.compile(
    rb"[0-9](?<![+.\deE][0-9])(?<![eE]-[0-9])(?:\d{15}[-+.\deE]*+|\d*+(?:\.\d*+)?[eE]\+?\d{3}\d*+)"
)
_BRACKET_OR_STRING = re.compile(rb'[\[\]{}]|"(?:[^"\\]++|\\.)*+"?+', re.DOTALL)
_DEPTH_KEPT = 2 * DEPTH_MAX
_PAIR = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}")
_HALF_PAIR = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_BRACKETS_TO_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")  # up and down, as signed bytes


def encode(value: Any) -> bytes:
    """Encode a value the way every client reads it."""
    text = _encode(value)
    # `in` raises an exception inside, and takes it back, whenever it looks for bytes.
    return text if text.isascii() and text.find(b"\\\\") < 0 else _plain(text)


def encode_plain(value: Any) -> bytes:
    """Encode what is made of plain Python values the way every client reads it: faster than `encode`."""
    text = encode_free(value)
    return text if text.isascii() and text.find(b"\\\\") < 0 else _plain(text)


def encode_free(value: Any) -> bytes:
    """Encode free data as it is stored. `encode` makes fit for every client what an answer takes from it."""
    return orjson.dumps(value, default=msgspec.to_builtins)


def _plain(text: bytes) -> bytes:
    """Escape what not every client reads. Without a step for each character: an answer may have millions."""
    text = text.replace(b"\\\\", b"\\u005c")  # every run of backslashes begins with a whole escape
    if text.isascii():
        return text
    # As a string within JSON it is ASCII; then what made it a string is taken back.
    quoted = json.dumps(text.translate(_ON_ONE_LINE).decode())[1:-1]
    return quoted.replace("\\\\", "\0").replace('\\"', '"').replace("\0", "\\").encode()


# What is accepted


def is_suspect(text: bytes, depth_max: int = DEPTH_MAX) -> bool:
    """Tell whether JSON text is worth a closer look, by searches that cost a tenth of what a pattern does.

    False is certain: no deeper than allowed, no NUL, no half of a surrogate pair, no number beyond 2^53.
    """
    if text.count(b"{") + text.count(b"[") > depth_max and is_deep(text, depth_max):
        return True
    if text.find(b"\\u") >= 0 and _SUSPECT_ESCAPE.search(text) is not None:
        return True
    shape = text.translate(_SHAPE)  # all digits alike
    # Ids are full of such digits, within quotes; fractions of JavaScript are long.
    return (
        shape.find(_LONG_NUMBER) >= 0
        or (shape.find(b"0e") >= 0 and (shape.find(b"0e000") >= 0 or shape.find(b"0e+000") >= 0))
    ) and _SUSPECT_NUMBER.search(text) is not None


def checked(text: bytes, depth_max: int = DEPTH_MAX) -> bytes:
    """Check JSON text, and return it with whole numbers beyond 64 bits as the doubles they stand for.

    Raises `UnreadableJson` for what no client sends: text that is too deep, NUL, half a surrogate pair, a
    number no double can hold. Whether the text is JSON at all is for the decoder to find.
    """
    if text.count(b"{") + text.count(b"[") > depth_max and is_deep(text, depth_max):
        raise UnreadableJson(f"JSON deeper than {depth_max} levels")
    if b"\\u" in text:
        escapes = text.replace(b"\\\\", b"__")
        if b"\\u0000" in escapes or _HALF_PAIR.search(_PAIR.sub(b"_", escapes)) is not None:
            raise UnreadableJson("text must not contain NUL or half a surrogate pair")
    return _checked_numbers(text) if _SUSPECT_NUMBER.search(text) is not None else text


def _checked_numbers(text: bytes) -> bytes:
    pieces = _split_at_quotes(text)
    numbers = _large_numbers(pieces)
    if math.isinf(max(map(float, numbers), default=0.0)):
        raise UnreadableJson("a number is too large")
    if any(len(number) >= INT64_DIGITS for number in filter(bytes.isdigit, numbers)):
        return _join(map(_within_64_bits, pieces[::2]), pieces[1::2])
    return text


def is_deep(text: bytes, depth_max: int = DEPTH_MAX) -> bool:
    """Tell whether JSON text has more levels of objects and arrays than `depth_max`."""
    outside = b"".join(_split_at_quotes(text)[::2])
    steps = outside.translate(_BRACKETS_TO_STEPS, _NOT_BRACKETS)
    level = 0
    for start in range(0, len(steps), STRETCH):  # other threads have their turn after each
        *levels, level = accumulate(array("b", steps[start : start + STRETCH]), initial=level)
        if max(levels, default=0) > depth_max:
            return True
    return level > depth_max


def without_half_pairs(text: bytes) -> bytes:
    """Write NUL, which is refused as well, instead of halves of surrogate pairs, which no decoder reads."""
    if _HALF_PAIR.search(text) is None:
        return text
    text = text.replace(b"\\\\", b"\0\0")  # what follows is the beginning of an escape, wherever it stands
    pairs = _PAIR.findall(text)
    halves = _HALF_PAIR.sub(b"\\\\u0000", _PAIR.sub(b"\1", text))
    parts = halves.split(b"\1")
    joined = b"".join(chain.from_iterable(zip(parts, pairs, strict=False))) + parts[-1]
    return joined.replace(b"\0\0", b"\\\\")


def without_depths(text: bytes) -> bytes:
    """Leave out what stands so deep that it is refused, but deeper than a decoder goes to find its end."""
    parts: list[bytes] = []
    depth = end = 0
    for found in _BRACKET_OR_STRING.finditer(text):
        first = found.group()[:1]
        if first in b"[{":
            depth += 1
            if depth == _DEPTH_KEPT + 1:
                parts.append(text[end : found.end()])
        elif first in b"]}":
            if depth == _DEPTH_KEPT + 1:
                end = found.start()
            depth -= 1
    return b"".join((*parts, text[end:])) if depth == 0 else text


def _split_at_quotes(text: bytes) -> list[bytes]:
    """Split JSON text at the quotes of its strings: what stands outside and inside, by turns.

    Inside, escaped backslashes and quotes are written with control characters, which JSON text cannot have.
    """
    return text.replace(b"\\\\", b"\0\0").replace(b'\\"', b"\1\1").split(b'"')


def _join(outside: Iterable[bytes], inside: list[bytes]) -> bytes:
    """Undo `_split_at_quotes`."""
    pieces = chain.from_iterable(zip_longest(outside, inside, fillvalue=None))
    text = b'"'.join(piece for piece in pieces if piece is not None)
    return text.replace(b"\1\1", b'\\"').replace(b"\0\0", b"\\\\")


def _large_numbers(pieces: list[bytes]) -> list[bytes]:
    """Find the numbers of many digits or a large exponent, without their signs, in text split at quotes."""
    outside = b",".join(pieces[::2])
    found: list[bytes] = []
    end = 0
    while end < len(outside):  # other threads have their turn after each stretch
        start, end = end, outside.find(b",", end + STRETCH)
        end = end if end >= 0 else len(outside)
        found += _LARGE_NUMBER.findall(outside, start, end)
    return found


def _within_64_bits(outside: bytes) -> bytes:
    """Write whole numbers beyond 64 bits as doubles."""
    if len(outside) < INT64_DIGITS:
        return outside
    parts: list[bytes] = []
    end = 0
    for found in _LARGE_NUMBER.finditer(outside):
        start = found.start()
        start -= outside[start - 1 : start] == b"-"
        number = outside[start : found.end()]
        if found.group().isdigit() and not (
            len(number) <= INT64_DIGITS + 1 and INT64_MIN <= int(number) <= UINT64_MAX
        ):
            parts += outside[end:start], repr(float(number)).encode()
            end = found.end()
    return b"".join((*parts, outside[end:]))


# Whole numbers beyond 2^53

Free = bool | Mapping[str, "Free"]
"""What of a value is free data: all of it, nothing, or some members of an object."""


def check_whole(text: bytes, where: str, free: Free = False) -> None:
    """Refuse whole numbers that a double cannot hold exactly, but in free data.

    Clients take scores, balances and counters for doubles, and so does the server. Raises
    `InvalidParameterValue` with the place of the number.
    """
    if free is True or _SUSPECT_NUMBER.search(text) is None:
        return
    if free is not False and text.lstrip()[:1] == b"{":
        for name, value in _decode_members(text).items():
            check_whole(bytes(value), f"{where}.{name[:64]}", free.get(name, False))
        return
    whole = filter(bytes.isdigit, _large_numbers(_split_at_quotes(text)))
    if any(len(number) > INT64_DIGITS or int(number) > INTEGER_MAX for number in whole):
        raise InvalidParameterValue(f"{where}: a whole number beyond 2^53 loses precision")


def decode_any(text: bytes) -> Any:
    """Decode to plain Python values. Raises `UnreadableJson`."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableJson(f"not JSON: {error}") from None


def read_stored(text: str) -> Any:
    """Decode free data that was stored. Older versions stored some doubles with all of their digits."""
    return decode_any(checked(text.encode()))


def read_text(text: bytes, where: str = "", free: Free = True) -> Any:
    """Check and decode JSON text that came inside a string. Raises `UnreadableJson`, and as `check_whole`."""
    value = decode_any(checked(text))
    check_whole(text, where, free)
    return value
