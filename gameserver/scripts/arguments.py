"""The arguments of a function of the bridge."""

from typing import Any

import msgspec

from gameserver.wire import json


class Thrown(Exception):
    """What the script made of the bridge is no use of it: it is thrown there."""


class Arguments:
    """The arguments of a function of the bridge."""

    def __init__(self, name: str, values: list[bytes]) -> None:
        self._name = name
        self._values = values

    def raw(self, index: int) -> bytes:
        """Return an argument as JSON; null where it was left out."""
        return self._values[index] if index < len(self._values) else json.JSON_NULL

    def any(self, index: int) -> Any:
        """Return an argument. Raises `Thrown`."""
        try:
            return msgspec.json.decode(self.raw(index))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise Thrown(f"{self._name}: argument {index + 1} cannot be read") from None

    def text(self, index: int) -> str:
        """Return a text. Raises `Thrown`."""
        value = self.any(index)
        if not isinstance(value, str):
            raise Thrown(f"{self._name}: argument {index + 1} is a text")
        return value

    def number(self, index: int) -> float:
        """Return a number. Raises `Thrown`."""
        value = self.any(index)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise Thrown(f"{self._name}: argument {index + 1} is a number")
        return value
