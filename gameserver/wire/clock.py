"""Time, handed in: who needs to know the time gets a `Clock`, so that a test or a seed can decide."""

import time
from typing import Protocol


class Clock(Protocol):
    """Tells the time."""

    def ms(self) -> int:
        """Return the milliseconds since 1970-01-01 UTC."""


class SystemClock:
    """The time of this machine."""

    def ms(self) -> int:
        """Return the milliseconds since 1970-01-01 UTC."""
        return time.time_ns() // 1_000_000


class FixedClock:
    """Stands still until it is moved."""

    def __init__(self, ms: int = 1_700_000_000_000) -> None:
        self._ms = ms

    def ms(self) -> int:
        """Return the milliseconds since 1970-01-01 UTC."""
        return self._ms

    def advance(self, seconds: float) -> None:
        """Move forward by `seconds`; raises `ValueError` for a step back."""
        if seconds < 0:
            raise ValueError("a clock does not go back")
        self._ms += round(seconds * 1000)
