"""Ranks in this process's memory, for the server that runs alone."""

# ruff: noqa: ARG002, D102 - what the methods promise stands at `Ranks`; rights end with this process, not in time

from collections.abc import Sequence

from sortedcontainers import SortedList

from gameserver.ranks.interface import Change, Page, Place

_Row = tuple[int, int, str]  # key, seq, id


class _List:
    """One list. `seqs` also remembers what was removed, so that a late change does not revive it."""

    __slots__ = ("builder", "keys", "rows", "seqs", "whole")

    def __init__(self, builder: str) -> None:
        self.rows: SortedList[_Row] = SortedList()
        self.keys: dict[str, int] = {}
        self.seqs: dict[str, int] = {}
        self.whole = False
        self.builder = builder

    def change(self, change: Change) -> tuple[Place | None, int | None] | None:
        """Apply a change; returns the place and the number that were there, None when it came too late."""
        place, seq, key = change
        old_seq, old_key = self.seqs.get(place), self.keys.get(place)
        if old_seq is not None and old_seq <= seq:
            return None
        self.put(place, seq, key)
        old = None if old_seq is None or old_key is None else Place(place, old_seq, old_key)
        return old, old_seq

    def put(self, place: str, seq: int | None, key: int | None) -> None:
        old_seq, old_key = self.seqs.pop(place, None), self.keys.pop(place, None)
        if old_seq is not None and old_key is not None:
            self.rows.remove((old_key, old_seq, place))
        if seq is not None:
            self.seqs[place] = seq
            if key is not None:
                self.keys[place] = key
                self.rows.add((key, seq, place))

    def page(self, first: int, last: int, *, backwards: bool) -> Page:
        size = len(self.rows)
        first, last = max(first, 0), min(last, size - 1)
        if last < first:
            return Page(size, first, [])
        if backwards:
            rows = self.rows.islice(size - 1 - last, size - first, reverse=True)
        else:
            rows = self.rows.islice(first, last + 1)
        return Page(size, first, [Place(place, seq, key) for key, seq, place in rows])

    def around(self, place: str, before: int, after: int, *, backwards: bool) -> Page:
        seq, key = self.seqs.get(place), self.keys.get(place)
        if seq is None or key is None:
            return Page(len(self.rows), -1, [])
        index = self.rows.index((key, seq, place))
        if backwards:
            index = len(self.rows) - 1 - index
        return self.page(index - before, index + after, backwards=backwards)


class MemoryRanks:
    """All lists of a server."""

    def __init__(self) -> None:
        self._lists: dict[str, _List] = {}

    async def page(
        self, name: str, first: int, last: int, *, backwards: bool = False, pending: Sequence[Change] = ()
    ) -> Page | None:
        found = self._whole(name)
        if found is None:
            return None
        undo = _apply(found, pending)
        answer = found.page(first, last, backwards=backwards)
        _undo(found, undo)
        return answer

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
        found = self._whole(name)
        if found is None:
            return None
        undo = _apply(found, pending)
        answer = found.around(place, before, after, backwards=backwards)
        _undo(found, undo)
        return answer

    async def change(self, name: str, changes: Sequence[Change]) -> bool:
        found = self._lists.get(name)
        if found is None:
            return False
        for change in changes:
            found.change(change)
        return True

    async def repair(self, name: str, place: str, seen: int | None, truth: Place | None) -> None:
        found = self._lists.get(name)
        if found is not None and (found.seqs.get(place) if place in found.keys else None) == seen:
            if truth is None:
                found.put(place, None, None)
            else:
                found.put(place, truth.seq, truth.key)

    async def begin(self, name: str, token: str, life_seconds: int) -> bool:
        # A builder of this process that fails forgets the list.
        if name in self._lists:
            return False
        self._lists[name] = _List(token)
        return True

    async def extend(self, name: str, token: str, life_seconds: int) -> bool:
        found = self._lists.get(name)
        return found is not None and found.builder == token and not found.whole

    async def finish(self, name: str, token: str) -> bool:
        found = self._lists.get(name)
        if found is None or found.builder != token:
            return False
        found.whole = True
        return True

    async def forget(self, name: str) -> None:
        self._lists.pop(name, None)

    async def identity(self) -> str:
        return "memory"  # what it knows goes with the process, so it is never older than that

    def _whole(self, name: str) -> _List | None:
        found = self._lists.get(name)
        return found if found is not None and found.whole else None


def _apply(to: _List, pending: Sequence[Change]) -> list[tuple[str, Place | None, int | None]]:
    undo = []
    for change in pending:
        before = to.change(change)
        if before is not None:
            undo.append((change.id, *before))
    return undo


def _undo(to: _List, undo: list[tuple[str, Place | None, int | None]]) -> None:
    for place, old, old_seq in reversed(undo):
        to.put(place, old_seq, None if old is None else old.key)
