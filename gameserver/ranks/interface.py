"""What an index of ranks does, whatever keeps it.

A list is sorted by `key`, ascending, then by `seq`, ascending, then by `id`. Who wants the highest first
makes the key the negative score. `seq` numbers the changes of a place, counting down: of two changes of one
place, the one with the lower number counts, in whichever order they arrive, and of two places with equal keys
the one that was changed last comes first.

An index may lose everything at any time. It knows whether a list is whole: reads of one that is not
answer None, until somebody has built it again between `begin` and `finish`. Changes go into a list that is
being built as well; into one that nobody has begun they do not, because whoever begins will read them in SQL.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class RanksAway(Exception):
    """The index cannot be reached now; the truth is in SQL."""


class Place(NamedTuple):
    """One place of a list. `key` is a whole number that a double holds exactly, `seq` one of 63 bits."""

    id: str
    seq: int
    key: int


class Change(NamedTuple):
    """A new key for a place; None removes it. Ignored when the list knows a later change."""

    id: str
    seq: int
    key: int | None


class Page(NamedTuple):
    """Places that follow each other, in a list of `size` places.

    `first` is the index of the first one, from 0; -1 when the place that was asked for is not in the list.
    """

    size: int
    first: int
    places: list[Place]


class Ranks(Protocol):
    """An index of many lists, each with a name.

    Every method raises `RanksAway`. `pending` are changes that the caller has made but not committed: the
    answer is what it would be with them, and nobody else sees them. `backwards` turns the whole list
    around, ties included.
    """

    async def page(
        self, name: str, first: int, last: int, *, backwards: bool = False, pending: Sequence[Change] = ()
    ) -> Page | None:
        """Return the places from index `first` to index `last`, both included; none when last < first."""

    async def around(
        self,
        name: str,
        place: str,
        before: int,
        after: int,
        *,
        backwards: bool = False,
        pending: Sequence[Change] = (),
    ) -> Page | None:
        """Return a place with up to so many before and after it."""

    async def change(self, name: str, changes: Sequence[Change]) -> bool:
        """Change places; False when the list is lost, and so are the changes."""

    async def repair(self, name: str, place: str, seen: int | None, truth: Place | None) -> None:
        """Put in what SQL says of a place, or take the place out.

        Happens only if the place is still as it was seen: with the `seq` of then, or None for absent.
        """

    async def begin(self, name: str, token: str, life_seconds: int) -> bool:
        """Begin to build a list, under a token of the builder; False when it is whole or another one builds.

        The right to build ends after `life_seconds`, each `extend` renews it.
        """

    async def extend(self, name: str, token: str, life_seconds: int) -> bool:
        """Renew the right to build; False when it is lost."""

    async def finish(self, name: str, token: str) -> bool:
        """Declare a list whole; False when the right to build was lost meanwhile."""

    async def forget(self, name: str) -> None:
        """Remove a list."""

    async def identity(self) -> str:
        """Return what changes when lists may have missed something: the run of the server that keeps them.

        An index that goes away with its lists always answers the same.
        """
