"""When a board rotates: calendar arithmetic in UTC, on milliseconds since 1970.

The times at which a board rotates are its anchor and every whole number of periods after it. They are worked
out from the anchor each time, so a board that rotates on the 31st comes back to the 31st after February.
"""

import calendar
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from gameserver.wire.errors import InvalidParameterValue

DAY_MS = 24 * 3600 * 1000
MINUTE_MS = 60_000
TIME_MS_MAX = 4102444800000  # the year 2100: a later time is a mistake
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MONTHS = 12


class Rotation(StrEnum):
    """How often a board begins anew."""

    NEVER = "NEVER"
    DAILY = "DAILY"
    WEEKLY = "WEEKLY"
    MONTHLY = "MONTHLY"
    YEARLY = "YEARLY"
    DAYS = "DAYS"
    ADHOC = "ADHOC"  # when a tournament begins or ends


ROTATIONS = {
    Rotation.NEVER: "never by itself; a server may begin it anew",
    Rotation.DAILY: "every day, at the time of the day of its reset time",
    Rotation.WEEKLY: "every seven days",
    Rotation.MONTHLY: "every month, on the day of its reset time, or on the last of a month that is shorter",
    Rotation.YEARLY: "every year",
    Rotation.DAYS: "after as many days as `numDaysToRotate` says, 2 to 14",
    Rotation.ADHOC: "when a tournament begins or ends that a server has scheduled",
}
"""When a board begins anew, in words for clients."""

RECURRING = frozenset({Rotation.DAILY, Rotation.WEEKLY, Rotation.MONTHLY, Rotation.YEARLY, Rotation.DAYS})
_FIXED_DAYS = {Rotation.DAILY: 1, Rotation.WEEKLY: 7}
_MONTHS_EACH = {Rotation.MONTHLY: 1, Rotation.YEARLY: _MONTHS}


def boundary(rotation: Rotation, days: int, anchor_ms: int, number: int) -> int:
    """Return the time of a rotation; number 0 is the anchor."""
    if rotation in _MONTHS_EACH:
        return _add_months(anchor_ms, number * _MONTHS_EACH[rotation])
    return anchor_ms + number * _FIXED_DAYS.get(rotation, days) * DAY_MS


def next_number(rotation: Rotation, days: int, anchor_ms: int, now_ms: int) -> int:
    """Return the number of the first rotation after a moment; 0 as long as the anchor lies ahead."""
    if now_ms < anchor_ms:
        return 0
    if rotation not in _MONTHS_EACH:
        return (now_ms - anchor_ms) // (_FIXED_DAYS.get(rotation, days) * DAY_MS) + 1
    first, now = _date(anchor_ms), _date(now_ms)
    months = (now.year - first.year) * _MONTHS + now.month - first.month
    number = months // _MONTHS_EACH[rotation]
    while boundary(rotation, days, anchor_ms, number) <= now_ms:
        number += 1
    return number


def next_reset(rotation: Rotation, days: int, anchor_ms: int, now_ms: int) -> int:
    """Return the time of the first rotation after a moment."""
    return boundary(rotation, days, anchor_ms, next_number(rotation, days, anchor_ms, now_ms))


def period_minutes(rotation: Rotation, days: int, started_ms: int, ended_ms: int) -> int:
    """Return the length of a period in minutes; of one that was longer than usual, the usual length.

    A minute that has begun counts: nobody is too early for a period that runs.
    """
    actual = -((started_ms - ended_ms) // MINUTE_MS)
    if rotation not in RECURRING:
        return actual
    usual = (ended_ms - boundary(rotation, days, ended_ms, -1)) // MINUTE_MS
    return min(actual, usual)


def read_time(value: float | str | None, where: str) -> int | None:
    """Read a time as clients write it: a number, also as text, ISO 8601, `dd-MM-yyyy` or `dd-MM-yyyy HH:mm`.

    Returns milliseconds since 1970; None for null and empty text. Raises `InvalidParameterValue`.
    """
    if value is None or value == "":
        return None
    wrong = InvalidParameterValue(f"{where}: expected milliseconds since 1970, or a date and time")
    if isinstance(value, str):
        value = _read_text(value.strip())
        if value is None:
            raise wrong
    if not 0 <= value <= TIME_MS_MAX:
        raise wrong
    return int(value)


def _read_text(text: str) -> int | None:
    if text.isascii() and text.isdigit():
        return int(text[:16])
    for form in ("%d-%m-%Y %H:%M", "%d-%m-%Y"):
        try:
            return _ms(datetime.strptime(text, form).replace(tzinfo=UTC))
        except ValueError:
            continue
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        return None
    return _ms(read if read.tzinfo is not None else read.replace(tzinfo=UTC))


def _ms(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def _date(ms: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=ms)


def _add_months(ms: int, months: int) -> int:
    """Add months to a time; a day the month does not have becomes its last."""
    start = _date(ms)
    count = start.year * _MONTHS + start.month - 1 + months
    year, month = divmod(count, _MONTHS)
    day = min(start.day, calendar.monthrange(year, month + 1)[1])
    return _ms(start.replace(year=year, month=month + 1, day=day))
