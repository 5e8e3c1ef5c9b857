"""The base types of requests and replies, their JSON Schemas, and a request's mistakes in words."""

import re
from collections.abc import Iterable
from inspect import cleandoc
from typing import Annotated, Any, TypeVar, get_args, get_type_hints

import msgspec

from gameserver.wire import fitting, json
from gameserver.wire.errors import (
    GameError,
    InvalidParameterType,
    InvalidParameterValue,
    MissingParameter,
    UnreadableJson,
)


class Request(msgspec.Struct, rename="camel", kw_only=True):
    """The `data` of a message. Unknown fields are ignored: old and new builds of a game meet one server."""


class Nothing(Request):
    """A request without parameters."""


class Reply(msgspec.Struct, rename="camel", kw_only=True, omit_defaults=False):
    """The `data` of an answer."""


class Empty(Reply):
    """An object without members: there is nothing to tell."""


AnyRequest = TypeVar("AnyRequest", bound=Request)
Value = TypeVar("Value", bound=msgspec.Struct)

_WORDS = {
    "str": "text",
    "int": "whole number",
    "float": "number",
    "bool": "true or false",
    "object": "object",
    "array": "array",
    "null": "null",
}
_EXPECTED = re.compile(r"^Expected `(?P<expected>[^`]+)`(?:, got `(?P<got>[^`]+)`)?")
_FORGIVABLE = re.compile(r"^Expected `(?:int\b[^`]*`, got `float`|[^`]+`, got `null`)")
_ENUM = re.compile(r"^Invalid enum value (?P<got>.*?)(?: - at `|$)")
_MISSING = re.compile(r"^Object missing required field `(?P<field>[^`]+)`")
_PATH = re.compile(r" - at `\$(?P<path>[^`]*)`$")


FREE = msgspec.Meta(extra={"free": True})
"""Marks a field as free data: what clients put there is kept, and given back as it was sent."""
FreeObject = Annotated[dict[str, Any], FREE]
FreeObjectOrText = Annotated[dict[str, Any] | str, FREE]
FreeValue = Annotated[Any, FREE]


def free_members(*names: str) -> msgspec.Meta:
    """Mark some members of an object as free data."""
    return msgspec.Meta(extra={"free": dict.fromkeys(names, True)})


class RequestReader:
    """Reads the raw `data` of one operation into its request type."""

    def __init__(self, shape: type[Request]) -> None:
        self.shape = shape
        self._decode = msgspec.json.Decoder(shape).decode
        self._optional = not any(field.required for field in msgspec.structs.fields(shape))
        hints = get_type_hints(shape, include_extras=True)
        self.free = {
            field.encode_name: free
            for field in msgspec.structs.fields(shape)
            if (free := _free_of(hints[field.name])) is not False
        }

    def read(self, data: bytes | msgspec.Raw) -> Any:
        """Decode; absent, null and {} are the same. Raises a `GameError` that names the field."""
        if bytes(data) == json.JSON_NULL:
            if self._optional:
                return self.shape()
            data = b"{}"
        try:
            return self._decode(data)
        except msgspec.ValidationError as error:
            if _FORGIVABLE.match(str(error)):
                return read_value(json.decode_any(bytes(data)), self.shape)
            raise explain(error, kind=self.shape) from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise UnreadableJson(f"data: not JSON: {error}") from None

    def read_long_numbers(self, data: bytes, kept: bytes) -> Any:
        """Read data with whole numbers beyond 2^53, which are refused where they are not free data.

        `kept` is the data with what is beyond 64 bits written as doubles. Raises a `GameError`.
        """
        request = self.read(kept)
        json.check_whole(data, "data", self.free)
        return request


def read_value(value: Any, kind: type[Value], where: str = "data") -> Value:
    """Read decoded JSON into a type, as forgiving as a request is. Raises a `GameError` that names the field.

    Null counts as absent where a field is optional, and 5.0 as 5 where a whole number is wanted.
    """
    try:
        return msgspec.convert(fitting.fit(value, fitting.type_info(kind)), kind)
    except msgspec.ValidationError as error:
        raise explain(error, where, kind) from None


def _free_of(kind: Any) -> json.Free:
    """Return what of a field is marked as free data."""
    for extra in getattr(kind, "__metadata__", ()):
        if isinstance(extra, msgspec.Meta) and extra.extra and "free" in extra.extra:
            free: json.Free = extra.extra["free"]
            return free
    return next((free for part in get_args(kind) if (free := _free_of(part)) is not False), False)


def json_schemas(
    kinds: Iterable[Any], reference: str
) -> tuple[list[dict[str, Any]], dict[str, dict[str, Any]]]:
    """Describe types as JSON Schema: one schema for each, and the definitions they refer to, by name.

    `reference` is what a reference begins with. Docstrings become descriptions, without the indentation they
    have in the code, whichever version of msgspec reads them. Fields are described by `Meta` of their types.
    """
    schemas, definitions = msgspec.json.schema_components(list(kinds), ref_template=reference + "{name}")
    for definition in definitions.values():
        if "description" in definition:
            definition["description"] = cleandoc(definition["description"])
        for name, field in definition.get("properties", {}).items():
            definition["properties"][name] = _described(field)
    return list(schemas), definitions


def _described(field: dict[str, Any]) -> dict[str, Any]:
    """Move what is said about the value of a field that may be null from the value to the field.

    A type that many fields share carries its own description, and they say `Version | None`.
    """
    options = field.get("anyOf", ())
    said = [option["description"] for option in options if "description" in option]
    if "description" in field or not said:
        return field
    bare = [{key: part for key, part in option.items() if key != "description"} for option in options]
    return {"description": " ".join(said)} | field | {"anyOf": bare}


def explain(error: msgspec.ValidationError, root: str = "data", kind: Any = None) -> GameError:
    """Put a decoder's complaint into words: `data.playerName: expected text, got null`.

    `kind` is the type that was read; with it the values of an enum are listed.
    """
    text = str(error)
    place = _PATH.search(text)
    where = root + (place["path"] if place else "")
    if missing := _MISSING.match(text):
        return MissingParameter(f"{where}.{missing['field']}: required")
    if kind is not None and (enum := _ENUM.match(text)):
        listed = fitting.values_at(fitting.type_info(kind), place["path"] if place else "")
        return InvalidParameterValue(f"{where}: expected {' or '.join(map(str, listed))}, got {enum['got']}")
    if (found := _EXPECTED.match(text)) is None:
        return InvalidParameterValue(f"{where}: {_PATH.sub('', text)}")
    if found["got"] is None:  # the type is right, its size or range is not
        return InvalidParameterValue(
            f"{where}: {_in_words(_PATH.sub('', text)[0].lower() + _PATH.sub('', text)[1:])}"
        )
    if found["got"] == "null":
        return MissingParameter(f"{where}: expected {_in_words(found['expected'])}, got null")
    return InvalidParameterType(
        f"{where}: expected {_in_words(found['expected'])}, got {_in_words(found['got'])}"
    )


def _in_words(types: str) -> str:
    return re.sub(
        r"`?\b(str|int|float|bool|object|array|null)\b`?", lambda found: _WORDS[found[1]], types
    ).replace(" | ", " or ")
