"""What all stored documents have in common: who may see them, their versions, what their data may hold."""

import math
import re
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta
from sqlalchemy import BigInteger, Column, ColumnElement, bindparam, or_
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from gameserver.wire import json
from gameserver.wire.errors import (
    GameError,
    InvalidParameterType,
    InvalidParameterValue,
    PacketTooLarge,
    UnreadableJson,
)
from gameserver.wire.shapes import FreeObject

LARGEST_DATA_BYTES = 3 << 20  # that an app may allow
DATA_BYTES_MAX = 100 << 10  # of JSON text, as it is stored; where an app does not say otherwise
DataBytes = Annotated[
    int,
    Meta(ge=1 << 10, le=LARGEST_DATA_BYTES, description="Most bytes of the data of one, as compact JSON."),
]
DATA_DEPTH_MAX = 24  # a list of documents in an answer stays well within what any JSON reader allows
TYPE_MAX = 256  # characters of an entity type or an indexed id
VERSION_ANY = -1

_NAME_IN_JSON = re.compile(
    rb'"(?=([^"\\]*)":)'
)  # looks ahead, so that text which ends like a name hides none

NOTHING, READABLE, WRITABLE = 0, 1, 2  # what an ACL allows others

# Types for requests

Name = Annotated[str, Meta(min_length=1, max_length=TYPE_MAX)]
Id = Annotated[str, Meta(min_length=1, max_length=TYPE_MAX)]
EntityType = Annotated[Name, Meta(description="The kind of entity, in words of the game's own.")]
NewEntityType = Annotated[
    Name | None, Meta(description="The kind of entity from now on; null or nothing: as it is.")
]
EntityId = Annotated[Id, Meta(description="The id of the entity, as CREATE answers it.")]
Version = (
    Annotated[
        int,
        Meta(
            ge=-1,
            le=2**53,
            description="The version that the caller has seen. If another one is stored the call is refused,"
            " and changes nothing. -1, null or nothing: no check.",
        ),
    ]
    | None
)
"""`version_wanted` makes a number of it."""
Data = Annotated[
    FreeObject,
    Meta(description="An object of the game's own. Names in it hold neither `$` nor a dot."),
]
NewData = Annotated[
    FreeObject | None,
    Meta(
        description="An object of the game's own; null or nothing: {}. Names in it hold neither `$` nor a"
        " dot."
    ),
]
Increments = Annotated[
    FreeObject,
    Meta(
        description="What to add to numbers of the data, also below zero, as an object of the data's shape. A"
        " number that is not there starts at 0."
    ),
]
AclField = Annotated[
    dict[str, Any] | str | None,
    Meta(
        description='What others than the owner may do: `{"other": 0}` nothing, `{"other": 1}` read,'
        ' `{"other": 2}` read and write. Null, "" or nothing: `{"other": 0}`.'
    ),
]
"""An ACL as clients send it; `read_acl` makes a number of it."""

# Types for answers

VersionShown = Annotated[
    int, Meta(description="How often it was written: 1 when it is made, one more for each change.")
]
AclShown = Annotated[
    dict[str, int],
    Meta(description='What others than the owner may do: `{"other": 0}` nothing, 1 read, 2 read and write.'),
]
DataShown = Annotated[msgspec.Raw, Meta(description="The object of the game's own, as it was sent.")]

# Errors


class MissingRecord(GameError):
    """There is no such document, or not for this caller."""

    reason_code = 40345


class VersionMismatch(GameError):
    """The document has changed since the caller read it. Nothing was written."""

    reason_code = 40344


class InvalidFieldName(GameError):
    """A field name contains `$` or a dot."""

    reason_code = 40347


# ACLs


def read_acl(acl: AclField, where: str = "data.acl") -> int:
    """Return what an ACL allows others: `NOTHING`, `READABLE` or `WRITABLE`.

    `{"other": n}`; null and "" are the default, which is nothing. An ACL may come as JSON text. Any other
    name in it is refused: an `Other` that is passed over would share nothing, and nobody would know why.
    Raises `InvalidParameterType`, `InvalidParameterValue`.
    """
    found: Any = acl
    if isinstance(found, str) and found.strip():
        try:
            found = json.decode_any(found.encode())
        except UnreadableJson:
            raise InvalidParameterType(f"{where}: expected an object") from None
    if found is None or found == "":
        return NOTHING
    if not isinstance(found, dict):
        raise InvalidParameterType(f"{where}: expected an object")
    for name in found:
        if name != "other":
            raise InvalidParameterValue(
                f'{where}.{name[:64]}: expected {{"other": 0, 1 or 2}} and nothing else'
            )
    other = found.get("other")
    if other is None:
        return NOTHING
    if isinstance(other, bool) or not isinstance(other, int | float) or other != int(other):
        raise InvalidParameterType(f"{where}.other: expected a whole number")
    if not NOTHING <= other <= WRITABLE:
        raise InvalidParameterValue(f"{where}.other: expected 0, 1 or 2")
    return int(other)


def acl_of(other: int) -> dict[str, int]:
    """Return an ACL as clients read it."""
    return {"other": other}


# Versions


def version_wanted(version: int | None) -> int:
    """Return the version a request names; absent and null are the same as -1, which skips the check."""
    return VERSION_ANY if version is None else version


def version_fits(column: Column[int]) -> ColumnElement[bool]:
    """Return the condition of an UPDATE or DELETE that takes the version as parameter `version`."""
    wanted = bindparam("version", type_=BigInteger)
    return or_(wanted == VERSION_ANY, column == wanted)


# Data


class StoredBytes(FunctionElement[int]):
    """How many bytes a `Json` column takes, without reading it where the database knows."""

    type = BigInteger()
    inherit_cache = True


@compiles(StoredBytes, "postgresql")
def _bytes_on_postgresql(asked: StoredBytes, compiler: SQLCompiler, **words: Any) -> str:
    return f"pg_column_size({compiler.process(asked.clauses, **words)})"


@compiles(StoredBytes, "sqlite")
def _bytes_on_sqlite(asked: StoredBytes, compiler: SQLCompiler, **words: Any) -> str:
    return f"length(CAST({compiler.process(asked.clauses, **words)} AS BLOB))"


def data_text(data: Mapping[str, Any], where: str = "data.data", bytes_max: int = DATA_BYTES_MAX) -> str:
    """Check the data of a document and return it as the JSON text that is stored.

    Raises `InvalidFieldName` for `$` or a dot in a field name, `InvalidParameterValue` for data that is too
    deep, `PacketTooLarge` for data that is too large.
    """
    text = json.encode_free(data)
    if _may_have_bad_names(text):
        check_names(data, where)
    if len(text) > bytes_max:
        raise PacketTooLarge(f"{where}: at most {bytes_max} bytes of JSON, got {len(text)}")
    return text.decode()


def _may_have_bad_names(text: bytes) -> bool:
    """Tell cheaply whether compact JSON is worth a look at each of its names and levels."""
    if text.find(b"\\") >= 0:  # `in` costs more: see `json.encode`
        return True
    if text.count(b"{") + text.count(b"[") > DATA_DEPTH_MAX and json.is_deep(text, DATA_DEPTH_MAX):
        return True
    names = b"".join(_NAME_IN_JSON.findall(text))
    return names.find(b"$") >= 0 or names.find(b".") >= 0


def check_names(data: Mapping[str, Any], where: str) -> None:
    """Check names and depth of data. Raises `InvalidFieldName`, `InvalidParameterValue`."""
    pending: list[tuple[int, Any]] = [(1, data)]
    while pending:
        depth, value = pending.pop()
        if depth > DATA_DEPTH_MAX:
            raise InvalidParameterValue(f"{where}: deeper than {DATA_DEPTH_MAX} levels")
        children = value.values() if isinstance(value, Mapping) else value
        pending += [(depth + 1, child) for child in children if isinstance(child, dict | list)]
        if isinstance(value, Mapping):
            for name in value:
                if "$" in name or "." in name:
                    raise InvalidFieldName(f"{where}: the field name {name[:64]!r} contains $ or a dot")


def data_out(text: str) -> msgspec.Raw:
    """Return stored JSON text as a part of an answer, without the blanks that older versions stored."""
    return msgspec.Raw(msgspec.json.format(text.encode(), indent=-1))


def incremented(
    text: str, by: Mapping[str, Any], where: str = "data.data", bytes_max: int = DATA_BYTES_MAX
) -> str:
    """Add numbers to the numbers of stored data, and return the new text.

    `by` has the shape of the data: numbers, and objects that hold numbers. What is missing starts at 0.
    Raises `InvalidParameterType` where one of the two is no number, `InvalidParameterValue` for a sum that a
    double cannot hold exactly, and what `data_text` raises.
    """
    return data_text(_added(json.read_stored(text), by, where), where, bytes_max)


def _added(old: Any, by: Mapping[str, Any], where: str) -> dict[str, Any]:
    if not isinstance(old, dict):
        raise InvalidParameterType(f"{where}: the stored value is no object")
    result: dict[str, Any] = dict(old)
    for name, change in by.items():
        place = f"{where}.{name[:64]}"
        stored = old.get(name)
        if isinstance(change, Mapping):
            result[name] = _added({} if stored is None else stored, change, place)
        else:
            result[name] = _sum(0 if stored is None else stored, change, place)
    return result


def _sum(stored: Any, change: Any, place: str) -> float:
    if isinstance(change, bool) or not isinstance(change, int | float):
        raise InvalidParameterType(f"{place}: expected a number")
    if isinstance(stored, bool) or not isinstance(stored, int | float):
        raise InvalidParameterType(f"{place}: the stored value is no number")
    # Beyond 2^53 it was no whole number when it came, but PostgreSQL writes all of its digits.
    result: float = (stored if abs(stored) <= json.INTEGER_MAX else float(stored)) + change
    if isinstance(result, int):
        if abs(result) > json.INTEGER_MAX:
            raise InvalidParameterValue(f"{place}: the sum is beyond 2^53")
    elif not math.isfinite(result):
        raise InvalidParameterValue(f"{place}: the sum is too large")
    return result
