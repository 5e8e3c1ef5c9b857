"""The notation by which a call takes values from a request: `{path.x}`, `{query.x}`, `{body.x}`.

- Text that is one placeholder takes the value as it is: `{body.score}` keeps a number a number.
- Text around or between placeholders makes text: `"{path.club}/{path.member}"`.
- `{body.address.city}` looks into objects of a JSON body.
- `{query.page:number}` and `{query.all:bool}` read text as a number, or as true or false.
- `{body.nick?}` may be absent; then the key that would hold it is left out.
- `{{` and `}}` are braces.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

from gameserver.wire.errors import InvalidParameterType, MissingParameter

_TOKEN = re.compile(r"\{\{|\}\}|\{[^{}]*\}|[{}]|[^{}]+")
_PLACEHOLDER = re.compile(
    r"\{(?P<source>path|query|body)\.(?P<name>[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*)"
    r"(?::(?P<kind>number|bool|text))?(?P<optional>\?)?\}"
)
_NUMBER = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,15})?")

_ABSENT = object()


@dataclass(frozen=True, slots=True)
class Placeholder:
    """A place in a request: `source` is path, query or body."""

    source: str
    name: str
    kind: str  # number, bool, text; empty: as it is
    is_optional: bool

    @property
    def place(self) -> str:
        """How it is named to whoever sent the request."""
        return f"{self.source}.{self.name}"


Sources = Mapping[str, Mapping[str, Any]]
"""What a request holds, by source."""


def parse(text: str) -> list[str | Placeholder]:
    """Split a text into what is literal and what is taken. Raises `ValueError` with words for an operator."""
    parts: list[str | Placeholder] = []
    for token in _TOKEN.findall(text):
        if token in ("{{", "}}"):
            parts.append(token[0])
        elif token[0] not in "{}":
            parts.append(token)
        elif found := _PLACEHOLDER.fullmatch(token):
            parts.append(
                Placeholder(found["source"], found["name"], found["kind"] or "", bool(found["optional"]))
            )
        else:
            raise ValueError(
                f"{token} is no placeholder; expected such as {{path.x}}, {{query.x:number}} or {{body.x?}}, "
                "and {{ for a brace"
            )
    return parts


def placeholders(value: Any) -> Iterator[Placeholder]:
    """Find all placeholders in a value. Raises `ValueError` with words for an operator."""
    match value:
        case str():
            yield from (part for part in parse(value) if isinstance(part, Placeholder))
        case dict():
            for item in value.values():
                yield from placeholders(item)
        case list():
            for item in value:
                yield from placeholders(item)
        case _:
            pass


def fill(value: Any, sources: Sources) -> Any:
    """Fill a request's values into a value. Raises the refusal that names what is missing or does not fit."""
    filled = _fill(value, sources)
    return None if filled is _ABSENT else filled


def _fill(value: Any, sources: Sources) -> Any:
    match value:
        case str():
            return _fill_text(value, sources)
        case dict():
            filled = ((key, _fill(item, sources)) for key, item in value.items())
            return {key: item for key, item in filled if item is not _ABSENT}
        case list():
            return [item for item in (_fill(item, sources) for item in value) if item is not _ABSENT]
        case _:
            return value


def _fill_text(text: str, sources: Sources) -> Any:
    parts = parse(text)
    if len(parts) == 1 and isinstance(parts[0], Placeholder):
        return _take(parts[0], sources)
    taken = []
    for part in parts:
        value = part if isinstance(part, str) else _take(part, sources)
        if isinstance(part, Placeholder) and isinstance(value, dict | list):
            raise InvalidParameterType(f"{part.place}: expected text or a number")
        taken.append("" if value is _ABSENT or value is None else _as_text(value))
    return "".join(taken)


def _as_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _take(wanted: Placeholder, sources: Sources) -> Any:
    value: Any = sources[wanted.source]
    for name in wanted.name.split("."):
        value = value.get(name, _ABSENT) if isinstance(value, Mapping) else _ABSENT
    if value is _ABSENT:
        if wanted.is_optional:
            return _ABSENT
        raise MissingParameter(f"{wanted.place}: required")
    return _converted(wanted, value)


def _converted(wanted: Placeholder, value: Any) -> Any:
    match wanted.kind:
        case "number":
            if isinstance(value, str) and _NUMBER.fullmatch(value):
                return float(value) if "." in value else int(value)
            if isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value):
                return value
            raise InvalidParameterType(f"{wanted.place}: expected a number")
        case "bool":
            if value in ("true", "false"):
                return value == "true"
            if isinstance(value, bool):
                return value
            raise InvalidParameterType(f"{wanted.place}: expected true or false")
        case "text":
            if isinstance(value, str | int | float):
                return _as_text(value)
            raise InvalidParameterType(f"{wanted.place}: expected text")
        case _:
            return value
