"""Types looked into: JSON that says the same in another way is made to fit, a place in a type is found."""

import enum
import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from msgspec import inspect

from gameserver.wire import json

_STEP = re.compile(r"\.(?P<name>[^.\[]+)|\[[^\]]*\]")


@cache  # as many as there are types of requests
def type_info(kind: type[Any]) -> inspect.Type:
    """Describe a type."""
    return inspect.type_info(kind)


def fit(value: Any, info: inspect.Type) -> Any:
    """Return decoded JSON as a type takes it. What cannot be made to fit, and free data, stays as it is.

    Null where a field may be absent and takes no null is left out; JavaScript has one kind of number, so 5.0
    is as good as 5.
    """
    match value:
        case float() if value.is_integer() and abs(value) <= json.INTEGER_MAX and _takes_whole_only(info):
            return int(value)
        case dict():
            return _fit_object(value, info)
        case list():
            listed = _first(info, inspect.ListType)
            return value if listed is None else [fit(item, listed.item_type) for item in value]
        case _:
            return value


def _fit_object(value: dict[str, Any], info: inspect.Type) -> dict[str, Any]:
    struct = _first(info, inspect.StructType)
    if struct is not None:
        known = {field.encode_name: field for field in struct.fields}
        return {
            name: fit(item, known[name].type) if name in known else item
            for name, item in value.items()
            if item is not None or name not in known or known[name].required or _takes_null(known[name].type)
        }
    table = _first(info, inspect.DictType)
    return value if table is None else {name: fit(item, table.value_type) for name, item in value.items()}


def values_at(info: inspect.Type, path: str) -> Iterable[object]:
    """Return the values that an enum allows which stands at a path such as `.messages[0].kind`."""
    for step in _STEP.finditer(path):
        if step["name"] is not None and (struct := _first(info, inspect.StructType)) is not None:
            found = [field.type for field in struct.fields if field.encode_name == step["name"]]
        elif (listed := _first(info, inspect.ListType)) is not None:
            found = [listed.item_type]
        elif (table := _first(info, inspect.DictType)) is not None:
            found = [table.value_type]
        else:
            found = []
        if not found:
            return ()
        info = found[0]
    for option in _options(info):
        if isinstance(option, inspect.EnumType):
            members: Mapping[str, enum.Enum] = option.cls.__members__
            return [member.value for member in members.values()]
        if isinstance(option, inspect.LiteralType):
            return option.values
    return ()


def _options(info: inspect.Type) -> Iterable[inspect.Type]:
    """Yield the types that a value may have, without what is said about them."""
    match info:
        case inspect.Metadata(type=inner):
            yield from _options(inner)
        case inspect.UnionType(types=types):
            for one in types:
                yield from _options(one)
        case _:
            yield info


def _first(info: inspect.Type, kind: type[Any]) -> Any:
    return next((option for option in _options(info) if isinstance(option, kind)), None)


def _takes_null(info: inspect.Type) -> bool:
    return any(isinstance(option, inspect.NoneType | inspect.AnyType) for option in _options(info))


def _takes_whole_only(info: inspect.Type) -> bool:
    options = list(_options(info))
    return any(isinstance(option, inspect.IntType) for option in options) and not any(
        isinstance(option, inspect.FloatType | inspect.AnyType) for option in options
    )
