"""The order of messages that are numbered where they are stored, whichever process publishes them first.

Two processes that have committed one after the other may publish in the other order. So each process that
receives puts the messages of a channel into the order of their numbers before it hands them on.
"""

import asyncio
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

import msgspec
from prometheus_client import Counter

WAITING_MAX = 100  # messages that wait for one before them
HELD_MAX = 500  # messages that are kept for a listener that is held

LATE = Counter(
    "gameserver_realtime_late", "Numbered messages left out, for those behind them had been sent already."
)
GAPS = Counter("gameserver_realtime_gaps", "Gaps in the numbers of a channel that did not close in time.")


class Place(NamedTuple):
    """Where a message stands among those of its channel.

    Numbers of a channel go up by one. `is_first` says that the channel begins with it: what came before, with
    whatever numbers, was another channel of the name. `author` is the player whom it is from, whom some
    listeners have muted; empty for nobody.
    """

    number: int
    is_first: bool = False
    author: str = ""


class Numbered(msgspec.Struct, array_like=True, tag="n"):
    """A message on its way between processes, with its `Place`."""

    number: int
    is_first: bool
    author: str
    frame: bytes


class _Hold(NamedTuple):
    """What is kept for a listener that is held, and what lets it go should nobody release it."""

    kept: deque[Numbered]
    end: asyncio.TimerHandle


class Ordering:
    """The numbered messages of a channel in one process, as long as somebody listens to them here.

    A listener is *held* from when it joins until it is known which message its reader has seen last: what
    comes meanwhile is kept for it. Before the first release nothing is known of the numbers, and all wait.
    """

    def __init__(self) -> None:
        self.is_watched = False  # for a gap that does not close
        self._next = 0  # the number that is to be sent next; 0: nobody has said so yet
        self._waiting: dict[int, Numbered] = {}
        self._held: dict[object, _Hold] = {}
        self._after: dict[object, int] = {}  # of those whose readers are ahead of this process

    @property
    def awaited(self) -> int:
        """The number that others wait for; 0 when none do."""
        return self._next if self._waiting and self._next else 0

    def take(self, message: Numbered) -> Iterator[Numbered]:
        """Take what was published; returns what can be sent now, in order."""
        if message.is_first and message.number > self._next:
            self._next = message.number
        if message.number < self._next:
            LATE.inc()
            return
        self._waiting[message.number] = message
        yield from self._ready()
        if len(self._waiting) > WAITING_MAX:
            yield from self.skip()

    def skip(self) -> Iterator[Numbered]:
        """Wait no longer for what is missing; returns what can be sent now, in order."""
        if self._waiting:
            GAPS.inc()
            self._next = min(self._waiting)
            yield from self._ready()

    def _ready(self) -> Iterator[Numbered]:
        while self._next and (message := self._waiting.pop(self._next, None)) is not None:
            self._next += 1
            yield message

    # Listeners

    def hold(self, listener: object, end: asyncio.TimerHandle) -> None:
        """Keep for a listener what is sent from now on. `end` is cancelled when it is held no longer."""
        before = self._held.get(listener)
        if before is not None:
            before.end.cancel()
        self._held[listener] = _Hold(deque(maxlen=HELD_MAX) if before is None else before.kept, end)

    def is_for_all(self) -> bool:
        """Tell whether nobody needs to be asked what they want."""
        return not self._held and not self._after

    def wants(self, listener: object, message: Numbered) -> bool:
        """Tell whether a listener is to be sent a message now; keeps it for one that is held."""
        hold = self._held.get(listener)
        if hold is not None:
            hold.kept.append(message)
            return False
        after = self._after.get(listener, 0)
        if after and message.number >= after:  # the process has caught up with the reader
            del self._after[listener]
        return message.number > after

    def release(self, listener: object, after: int) -> tuple[list[Numbered], list[Numbered]]:
        """Let a listener, if it is held, be sent what comes after a number.

        Returns what was kept for it, and what can be sent to all now, in order.
        """
        hold = self._held.pop(listener, None)
        if hold is None:
            return [], []
        hold.end.cancel()
        if not self._next:
            self._next = after + 1
            self._waiting = {number: each for number, each in self._waiting.items() if number > after}
        elif self._next <= after:
            self._after[listener] = after
        return [each for each in hold.kept if each.number > after], list(self._ready())

    def forget(self, listener: object) -> None:
        """Know nothing more of a listener."""
        if (hold := self._held.pop(listener, None)) is not None:
            hold.end.cancel()
        self._after.pop(listener, None)
