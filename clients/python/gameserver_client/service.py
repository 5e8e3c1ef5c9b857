"""What the generated classes of `services` stand on."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Generic, TypeVar

R = TypeVar("R")
"""What a call hands back: the answer's data (blocking), or a future of it (asyncio, bundles)."""


class Service(Generic[R]):
    """The operations of one service, bound to something that can run a call."""

    wire_name: ClassVar[str]

    def __init__(self, invoke: Callable[[str, str, dict[str, Any]], R]) -> None:
        self._invoke = invoke

    def _call(self, operation: str, given: Mapping[str, Any], optional: Mapping[str, Any] | None = None) -> R:
        """Run an operation; optional parameters that are None do not travel."""
        data = dict(given)
        data.update((name, value) for name, value in (optional or {}).items() if value is not None)
        return self._invoke(self.wire_name, operation, data)


class Invoker(ABC, Generic[R]):
    """Anything that runs calls: a client, or a bundle in the making."""

    @abstractmethod
    def _invoke(self, service: str, operation: str, data: dict[str, Any]) -> R:
        """Run one call."""
