"""Numbers for what happens: later is higher, within one process always, between processes by their clocks."""

_BITS = 20  # below the milliseconds: a million numbers each
_LIMIT = 2**63 - 1


def seq_at(ms: int) -> int:
    """Return the first number of a millisecond."""
    return ms << _BITS


class Sequence:
    """Gives out numbers of 63 bits, never the same one twice."""

    def __init__(self) -> None:
        self._last = 0

    def next(self, now_ms: int) -> int:
        """Return the next number; a clock that goes back does not turn the order around."""
        self._last = min(max(self._last + 1, seq_at(now_ms)), _LIMIT)
        return self._last
