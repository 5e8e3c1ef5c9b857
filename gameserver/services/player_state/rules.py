"""What players may say of themselves: the limits of texts, attributes and timed statuses."""

from typing import Annotated, Any
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from gameserver.players.profiles import TEXT_MAX, Status, check_line
from gameserver.wire import json
from gameserver.wire.errors import GameError, InvalidParameterValue, PacketTooLarge

URL_MAX = 2048
SUMMARY_BYTES_MAX = 10 << 10
ATTRIBUTES_MAX = 100
ATTRIBUTE_BYTES_MAX = 1 << 10
STATUSES_MAX = 50  # active ones of a player: every login answers with them
DETAILS_BYTES_MAX = 2 << 10
STATUS_SECONDS_MAX = 10 * 366 * 24 * 3600
TIME_ZONE_HOURS_MAX = 14
Hours = (
    Annotated[
        float,
        Meta(ge=-TIME_ZONE_HOURS_MAX, le=TIME_ZONE_HOURS_MAX, description="Hours east of UTC, such as 5.5."),
    ]
    | Annotated[str, Meta(pattern=r"^[+-]?[0-9]{1,2}([.,][0-9]{1,16})?$(?!\n)", description='Such as "5.5".')]
)
"""One SDK sends the hours as text, as numbers are written where the player lives."""

# Errors


class InvalidAttributes(GameError):
    """An attribute's name or value does not fit, or there are too many."""

    reason_code = 40351


class TooManyStatuses(GameError):
    """The player has as many active statuses as a player may have."""

    reason_code = 40371


# Rules


def check_web_address(where: str, text: str) -> str:
    """Return the address of something on the web, or nothing. Raises `InvalidParameterValue`."""
    check_line(where, text, URL_MAX)
    if not text:
        return text
    try:
        address = urlsplit(text)
        is_web = address.scheme in ("http", "https") and bool(address.hostname)
    except ValueError:  # brackets that hold no address
        is_web = False
    if not is_web or text != text.strip() or " " in text or "\\" in text:
        raise InvalidParameterValue(f"{where}: expected an address that begins with https:// or http://")
    return text


def check_size(where: str, value: Any, bytes_max: int) -> str:
    """Return a value as JSON text. Raises `PacketTooLarge` when that is larger than allowed."""
    text = to_text(value)
    if (size := len(text.encode())) > bytes_max:
        raise PacketTooLarge(f"{where}: at most {bytes_max} bytes of JSON, got {size}")
    return text


def check_attribute_name(name: str) -> str:
    """Return the name of an attribute. Raises `InvalidAttributes` when it is none."""
    if not 0 < len(name) <= TEXT_MAX:
        raise InvalidAttributes(f"data.attributes: a name has 1 to {TEXT_MAX} characters")
    return name


def attribute_text(name: str, value: Any) -> str:
    """Return the value of an attribute as the text that is kept. Raises `InvalidAttributes`."""
    if value is None or isinstance(value, list | dict):
        raise InvalidAttributes(f"data.attributes.{name}: expected text, a number, true or false")
    text = value if isinstance(value, str) else json.encode(value).decode()
    if len(text.encode()) > ATTRIBUTE_BYTES_MAX:
        raise InvalidAttributes(f"data.attributes.{name}: at most {ATTRIBUTE_BYTES_MAX} bytes")
    return text


def extended(
    name: str,
    now_ms: int,
    seconds: int,
    seconds_max: int | None,
    details: dict[str, Any] | None,
    old: Status | None,
) -> Status:
    """Make a status that lasts longer than `old` does, or starts now when there is no old one.

    `seconds_max` counts from now and does not cut what lasts longer already.
    """
    old = old or Status(active_start=now_ms, status_name=name, details={}, active_until=now_ms)
    until = old.active_until + seconds * 1000
    if seconds_max is not None:
        until = max(old.active_until, min(until, now_ms + seconds_max * 1000))
    if until > now_ms + STATUS_SECONDS_MAX * 1000:
        raise InvalidParameterValue(
            f"data.additionalSecs: a status lasts {STATUS_SECONDS_MAX} seconds at most"
        )
    details = old.details | (details or {})
    return Status(active_start=old.active_start, status_name=name, details=details, active_until=until)


def to_text(value: Any) -> str:
    """Return a value as the JSON text that is stored."""
    return msgspec.json.encode(value).decode()


def read_hours(hours: float | str, where: str) -> float:
    """Return a distance from UTC, which may have come as text. Raises `InvalidParameterValue`."""
    number = float(hours.replace(",", ".")) if isinstance(hours, str) else hours
    if abs(number) > TIME_ZONE_HOURS_MAX:
        raise InvalidParameterValue(f"{where}: expected -{TIME_ZONE_HOURS_MAX} to {TIME_ZONE_HOURS_MAX}")
    return number
