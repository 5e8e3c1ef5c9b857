"""Numbers for what happens: they count down, within one process always, between processes by their clocks.

Of two that are the same otherwise, what happened last has the lower number, and so comes first in ascending
order: that is how equal scores are sorted.
"""

_BITS = 20  # below the milliseconds: a million numbers each
_TOP = 2**63 - 1


def seq_at(ms: int) -> int:
    """Return the first number of a millisecond, which is its highest."""
    return _TOP - (ms << _BITS)


def seq_before(seq: int, ms: int) -> int:
    """Return a number from so many milliseconds before another."""
    return min(seq + (ms << _BITS), _TOP)


class Stamps:
    """Gives out numbers of 63 bits, never the same one twice."""

    def __init__(self) -> None:
        self._last = _TOP

    def next(self, now_ms: int) -> int:
        """Return the next number; a clock that goes back does not turn the order around."""
        self._last = max(min(self._last - 1, seq_at(now_ms)), 0)
        return self._last
