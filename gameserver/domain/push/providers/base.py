"""What a provider is asked, and what its answers mean."""

import email.utils
import uuid
from enum import StrEnum, auto
from http import HTTPStatus
from typing import Any, NamedTuple

from gameserver.apps import App
from gameserver.domain.push.content import Content
from gameserver.wire.outgoing import Answer

SECONDS = 15.0  # for an answer of a provider
ANSWER_BYTES = 64 << 10
PAUSE_SECONDS_MAX = 6 * 3600.0


class Provider(StrEnum):
    """Who delivers. The names stand in the database."""

    FCM = auto()
    APNS = auto()
    WEB = auto()
    NONE = auto()


class Meaning(StrEnum):
    """What becomes of a notification for a device."""

    SENT = auto()
    REFUSED = auto()  # it will never be taken; the device stays
    GONE = auto()  # the device has no such token any more
    BAD_TOKEN = auto()  # the token is wrong, or the settings are
    LATER = auto()  # the provider will take it for this device later
    PAUSE = auto()  # the provider takes nothing of the app for a while
    BROKEN = auto()  # the provider does not accept the app's credentials


class Outcome(NamedTuple):
    """What a provider has answered.

    `seconds` is how long to wait, if it says so; `gone_ms` since when a token is none.
    """

    meaning: Meaning
    reason: str = ""
    seconds: float = 0.0
    gone_ms: int | None = None


class Notification(NamedTuple):
    """A notification for a device. `kind` is the device's platform, in capitals."""

    app: App
    push_id: str
    device: str
    kind: str
    token: str
    language: str
    content: Content

    @property
    def id(self) -> uuid.UUID:
        """The same whenever this notification is sent to this device."""
        return uuid.uuid5(uuid.NAMESPACE_OID, f"{self.push_id}/{self.device}")


def is_passing(status: int) -> bool:
    """Tell whether a status is of trouble of the provider's own, or of too many calls, which both pass."""
    return status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR


def reason_of(told: Any, answer: Answer) -> str:
    """Return a provider's own word for what is wrong, or the status where it says none that can be kept."""
    return told[:64] if isinstance(told, str) and told.isprintable() and told else f"Status{answer.status}"


def retry_after(answer: Answer, now_ms: int) -> float:
    """Return for how many seconds a provider wants to be left alone; 0 where it does not say."""
    text = answer.header(b"retry-after").strip()
    if text.isascii() and text.isdecimal():
        return min(float(text[:9]), PAUSE_SECONDS_MAX)
    try:
        at = email.utils.parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return 0.0
    return min(max(0.0, at.timestamp() - now_ms / 1000), PAUSE_SECONDS_MAX)
