"""Times that people write into filters, and times of links, which are absolute."""

import re
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from gameserver.admin.common import Refused
from gameserver.console.web import View

HOW = "write a time as 14:05, as 2030-01-31, or as 2030-01-31 14:05"
AHEAD_MS_MAX = 60_000
_CLOCK = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?")


def zone_of(view: View) -> tzinfo:
    """The zone in which whoever looks writes times: their own, or the one that their browser names."""
    name = view.entered.member.settings.get("zone", "local")
    if name == "local":
        name = view.query.get("zone", "UTC")
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return UTC


def read(text: str, zone: tzinfo, now_ms: int) -> int | None:
    """Return the moment that a text names, in milliseconds; None for an empty one. Raises `Refused`.

    A time of the day without a date is the last one there was.
    """
    text = text.strip()
    if not text:
        return None
    now = datetime.fromtimestamp(now_ms / 1000, zone)
    try:
        if clock := _CLOCK.fullmatch(text):
            hour, minute, second = (int(part or 0) for part in clock.groups())
            moment = now.replace(hour=hour, minute=minute, second=second, microsecond=0)
            if moment.timestamp() * 1000 > now_ms + AHEAD_MS_MAX:
                moment -= timedelta(days=1)
        else:
            moment = datetime.fromisoformat(text)
            if moment.tzinfo is None:
                moment = moment.replace(tzinfo=zone)
        return int(moment.timestamp() * 1000)
    except (ValueError, OverflowError):
        raise Refused(HOW) from None


def is_absolute(text: str) -> bool:
    """Tell whether a text names the same moment for everybody, at any time."""
    return not text or text.endswith("Z")


def iso(ms: int | None) -> str:
    """Return a moment as links hold it."""
    if ms is None:
        return ""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
