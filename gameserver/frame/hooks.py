"""Hooks: the owner of a thing declares what others may want to know of it; others subscribe."""

from collections.abc import Iterable
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Hook(Generic[T]):
    """A moment, or a question, of which others may want to know. `T` is what they bring: mostly a function.

    Declared once, in the owner's file. Who subscribes is known to a server alone, by its `Hooks`.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"<hook {self.name}>"


Subscription = tuple[Hook[Any], Any]


class Hooks:
    """Who has subscribed to what, in one server. Two servers of a process share nothing."""

    def __init__(self, subscriptions: Iterable[Subscription] = ()) -> None:
        self._subscribed: dict[Hook[Any], tuple[Any, ...]] = {}
        for hook, subscriber in subscriptions:
            self.subscribe(hook, subscriber)

    def subscribe(self, hook: Hook[T], subscriber: T) -> None:
        """Add a subscriber. They are asked in the order in which they came."""
        self._subscribed[hook] = (*self._subscribed.get(hook, ()), subscriber)

    def of(self, hook: Hook[T]) -> tuple[T, ...]:
        """Return the subscribers of a hook."""
        return self._subscribed.get(hook, ())
