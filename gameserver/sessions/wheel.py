"""What falls due when: entries by time span, in memory that the garbage collector does not look into."""

import heapq
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from struct import Struct

SPAN_MS = 8192
KEY_BYTES = 16
_MARK = Struct("<qqq")


class Wheel:
    """Entries of one width, each with the time at which somebody should look at it."""

    def __init__(self, width: int) -> None:
        self._width = width
        self._spans: dict[int, bytearray] = {}
        self._order: list[int] = []  # a heap of the spans: as many as one life has, however many entries

    def __len__(self) -> int:
        return sum(len(entries) for entries in self._spans.values()) // self._width

    def add(self, due_ms: int, entry: bytes) -> None:
        """Keep an entry until it is due. Raises `ValueError` for one of another width."""
        if len(entry) != self._width:
            raise ValueError(f"an entry has {self._width} bytes")
        span = due_ms // SPAN_MS
        entries = self._spans.get(span)
        if entries is None:
            entries = self._spans[span] = bytearray()
            heapq.heappush(self._order, span)
        entries += entry

    def take(self, now_ms: int, most: int | None) -> Iterable[bytes]:
        """Return entries that are due, at most so many of spans that are over; each is forgotten in its turn.

        `most` of None means all of them, and those of the present span that are not due yet, too: whoever
        takes an entry that is not due must add it again.
        """
        present = now_ms // SPAN_MS
        return self._take(present, most) if self._order and self._order[0] <= present else ()

    def _take(self, present: int, most: int | None) -> Iterator[bytes]:
        taken = 0
        while self._order and (self._order[0] < present or (most is None and self._order[0] == present)):
            if most is None:
                entries = self._spans.pop(heapq.heappop(self._order))
                for place in range(0, len(entries), self._width):
                    yield bytes(entries[place : place + self._width])
                if self._order and self._order[0] == present:  # put back while they were looked at
                    return
                continue
            entries = self._spans[self._order[0]]
            while entries:
                if taken == most:
                    return
                taken += 1
                entry = bytes(entries[-self._width :])
                del entries[-self._width :]
                yield entry
            del self._spans[heapq.heappop(self._order)]

    def clear(self) -> None:
        """Forget everything."""
        self._spans.clear()
        self._order.clear()


class Marks:
    """Pairs of numbers by a name, forgotten when they are due. Of a name only its digest is kept."""

    def __init__(self) -> None:
        self._kept: dict[bytes, bytes] = {}
        self._due = Wheel(KEY_BYTES)

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, name: str) -> tuple[int, int] | None:
        """Return what is kept of a name; it may be due already."""
        packed = self._kept.get(_key(name)) if self._kept else None
        if packed is None:
            return None
        first, second, _ = _MARK.unpack(packed)
        return first, second

    def put(self, name: str, first: int, second: int, due_ms: int) -> None:
        """Keep two numbers of a name until they are due."""
        key = _key(name)
        before = self._kept.get(key)
        if before is None or _MARK.unpack(before)[2] != due_ms:
            self._due.add(due_ms, key)
        self._kept[key] = _MARK.pack(first, second, due_ms)

    def pop(self, name: str) -> None:
        """Forget a name."""
        self._kept.pop(_key(name), None)

    def collect(self, now_ms: int, most: int | None) -> int:
        """Forget what is due, see `Wheel.take`; returns how many entries were looked at."""
        taken = 0
        for key in self._due.take(now_ms, most):
            taken += 1
            packed = self._kept.get(key)
            if packed is None:
                continue
            due: int = _MARK.unpack(packed)[2]
            if now_ms >= due:
                del self._kept[key]
            elif most is None:
                self._due.add(due, key)
        return taken

    def clear(self) -> None:
        """Forget everything."""
        self._kept.clear()
        self._due.clear()


def _key(name: str) -> bytes:
    return blake2b(name.encode(errors="surrogatepass"), digest_size=KEY_BYTES).digest()
