"""Schedules that an app declares: scripts that run again and again."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from cronsim import CronSim, CronSimError
from msgspec import Meta, field

from gameserver.apps import Mistake, Settings


class Schedule(Settings, kw_only=True):
    """A script that runs again and again, for nobody in particular."""

    script: Annotated[str, Meta(min_length=1, max_length=512, description="Its path from the root.")]
    cron: Annotated[
        str,
        Meta(max_length=128, description="When, in UTC: minute, hour, day of month, month, day of week."),
    ] = ""
    every_minutes: (
        Annotated[int, Meta(ge=1, le=527_040, description="Instead of cron: so often, counted from 1970.")]
        | None
    ) = None
    data: Annotated[dict[str, Any], Meta(description="What the script finds in `data`.")] = field(
        default_factory=dict
    )

    def mistakes(self, folder: Path) -> Iterator[Mistake]:
        """Yield a time that cannot be read, and two of them or none."""
        if bool(self.cron) == (self.every_minutes is not None):
            yield "cron", "expected exactly one of cron and every_minutes"
        elif self.cron:
            try:
                next(CronSim(self.cron, datetime(2026, 1, 1, tzinfo=UTC)))
            except (CronSimError, StopIteration):
                yield "cron", f'"{self.cron}" is no time: five fields, such as "30 3 * * *", that come true'
        yield from super().mistakes(folder)

    def last_turn(self, since_ms: int, now_ms: int) -> int | None:
        """Return the last time, after one and not after now, at which the script was to run."""
        if self.every_minutes is not None:
            every_ms = self.every_minutes * 60_000
            turn = now_ms // every_ms * every_ms
            return turn if turn > since_ms else None
        times = CronSim(self.cron, datetime.fromtimestamp((now_ms + 60_000) / 1000, UTC), reverse=True)
        for time in times:
            turn = round(time.timestamp() * 1000)
            if turn <= now_ms:
                return turn if turn > since_ms else None
        return None
