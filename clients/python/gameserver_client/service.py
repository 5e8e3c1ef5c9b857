"""What the generated classes of `services` stand on."""

import asyncio
import concurrent.futures
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Concatenate, Generic, ParamSpec, TypeVar, overload

R = TypeVar("R")
"""What a call hands back: the answer's data (blocking), or a future of it (asyncio, bundles)."""
P = ParamSpec("P")
Reply = TypeVar("Reply")
Data = dict[str, Any]

if TYPE_CHECKING:

    class _Typed(Generic[P, Reply]):
        """A method whose answer is a `Reply`, or a future of one: that depends on who makes the calls."""

        @overload
        def __get__(self, service: "Service[Data]", owner: Any) -> Callable[P, Reply]: ...
        @overload
        def __get__(
            self, service: "Service[asyncio.Future[Data]]", owner: Any
        ) -> Callable[P, asyncio.Future[Reply]]: ...
        @overload
        def __get__(
            self, service: "Service[concurrent.futures.Future[Data]]", owner: Any
        ) -> Callable[P, concurrent.futures.Future[Reply]]: ...
        def __get__(self, service: Any, owner: Any) -> Any: ...

    def typed(method: Callable[Concatenate[Any, P], Reply]) -> _Typed[P, Reply]:
        """Let type checkers see what a call hands back; at run time the method is as it is."""
        raise NotImplementedError

else:

    def typed(method: Any) -> Any:
        """Let type checkers see what a call hands back; at run time the method is as it is."""
        return method


class Service(Generic[R]):
    """The operations of one service, bound to something that can run a call."""

    wire_name: ClassVar[str]

    def __init__(self, invoke: Callable[[str, str, dict[str, Any]], R]) -> None:
        self._invoke = invoke

    def _call(
        self, operation: str, given: Mapping[str, Any], optional: Mapping[str, Any] | None = None
    ) -> Any:
        """Run an operation; optional parameters that are None do not travel."""
        data = dict(given)
        data.update((name, value) for name, value in (optional or {}).items() if value is not None)
        return self._invoke(self.wire_name, operation, data)


class Invoker(ABC, Generic[R]):
    """Anything that runs calls: a client, or a bundle in the making."""

    @abstractmethod
    def _invoke(self, service: str, operation: str, data: dict[str, Any]) -> R:
        """Run one call."""
