"""When each of some things lapses."""

from heapq import heapify, heappop, heappush
from typing import Generic, TypeVar

SPARE = 64  # entries that have been overtaken, besides as many as there are things

Key = TypeVar("Key", bound=str | tuple[str, str])


class Lapses(Generic[Key]):
    """Times by keys, of which the last that was noted counts. It takes memory for what there is alone."""

    def __init__(self) -> None:
        self._at: dict[Key, int] = {}
        self._heap: list[tuple[int, Key]] = []  # also with times that have been overtaken

    def __len__(self) -> int:
        return len(self._heap)

    def note(self, key: Key, at_ms: int) -> None:
        """Note when something lapses."""
        self._at[key] = at_ms
        heappush(self._heap, (at_ms, key))
        if len(self._heap) > 2 * len(self._at) + SPARE:
            self._heap = [(at, each) for each, at in self._at.items()]
            heapify(self._heap)

    def forget(self, key: Key) -> None:
        """Forget when something lapses."""
        self._at.pop(key, None)

    def take(self, now_ms: int, most: int) -> list[Key]:
        """Return what has lapsed, the earliest first, and forget it."""
        found: list[Key] = []
        while self._heap and self._heap[0][0] <= now_ms and len(found) < most:
            at_ms, key = heappop(self._heap)
            if self._at.get(key) == at_ms:
                del self._at[key]
                found.append(key)
        return found
