"""Apple Push Notification service: HTTP/2, a token of the team, one request for each device."""

import re
from typing import Any

import msgspec

from gameserver.domain.push.content import for_apns
from gameserver.domain.push.providers.base import (
    ANSWER_BYTES,
    SECONDS,
    Meaning,
    Notification,
    Outcome,
    is_passing,
    reason_of,
    retry_after,
)
from gameserver.domain.push.providers.signing import es256
from gameserver.domain.push.settings import ApnsSettings, elliptic_key
from gameserver.wire.outgoing import Answer, Caller, Outgoing, Unanswered

WINDOW_SECONDS = 30 * 60  # Apple wants a token for 20 minutes at least, and takes it for 60
_TOKEN = re.compile(r"[0-9A-Fa-f]{1,200}")
_SETTINGS = frozenset(
    {"BadTopic", "DeviceTokenNotForTopic", "MissingTopic", "TopicDisallowed", "BadEnvironmentKeyIdInToken"}
)


class TeamTokens:
    """The tokens of teams. One for each process; all processes make the same ones."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str, str], tuple[int, str]] = {}

    def get(self, settings: ApnsSettings, now_ms: int) -> str:
        """Return the token of a team, the same for half an hour."""
        issued = now_ms // 1000 // WINDOW_SECONDS * WINDOW_SECONDS
        key = (settings.team_id, settings.key_id, settings.key)
        known = self._known.get(key)
        if known is None or known[0] != issued:
            claims = {"iss": settings.team_id, "iat": issued}
            known = issued, es256(elliptic_key(settings.key), {"kid": settings.key_id}, claims)
            self._known[key] = known
        return known[1]


async def send(
    outgoing: Outgoing,
    tokens: TeamTokens,
    settings: ApnsSettings,
    trust: str,
    note: Notification,
    now_ms: int,
) -> Outcome:
    """Send a notification to a device."""
    payload = for_apns(note.content, note.language)
    if payload is None:
        return Outcome(Meaning.REFUSED, "NoContent")
    if not _TOKEN.fullmatch(note.token):
        return Outcome(Meaning.REFUSED, "NoToken")  # not one of Apple's, whatever the device says
    is_silent = _is_silent(payload)
    headers = [
        ("authorization", f"bearer {tokens.get(settings, now_ms)}"),
        ("apns-id", str(note.id)),
        ("apns-collapse-id", str(note.id)),
        ("apns-topic", settings.topic_of(note.kind)),
        ("apns-push-type", "background" if is_silent else "alert"),
        ("apns-priority", "5" if is_silent else "10"),
        ("content-type", "application/json"),
    ]
    try:
        answer = await outgoing.exchange(
            Caller(f"{note.app.id}/apns", authorities=trust, http2=True),
            "POST",
            f"{settings.address}/3/device/{note.token}",
            headers=headers,
            content=msgspec.json.encode(payload),
            seconds=SECONDS,
            bytes_max=ANSWER_BYTES,
        )
    except Unanswered as error:
        return Outcome(Meaning.PAUSE, str(error))
    return meaning(answer, now_ms)


def meaning(answer: Answer, now_ms: int) -> Outcome:
    """Read an answer."""
    reason, since = _reason(answer)
    match answer.status:
        case 200:
            return Outcome(Meaning.SENT)
        case 410:
            return Outcome(Meaning.GONE, reason, gone_ms=since)
        case 400 if reason == "BadDeviceToken":
            return Outcome(Meaning.BAD_TOKEN, reason)
        case 400 if reason in _SETTINGS:
            return Outcome(Meaning.BROKEN if reason != "DeviceTokenNotForTopic" else Meaning.REFUSED, reason)
        case 403:
            return Outcome(Meaning.BROKEN, reason)
        case 429 if reason == "TooManyProviderTokenUpdates":
            return Outcome(Meaning.PAUSE, reason, retry_after(answer, now_ms) or 20 * 60.0)
        case 429:  # of this device alone
            return Outcome(Meaning.LATER, reason, retry_after(answer, now_ms))
        case 500:  # it may be this notification that Apple does not get on with
            return Outcome(Meaning.LATER, reason, retry_after(answer, now_ms))
        case status if is_passing(status):
            return Outcome(Meaning.PAUSE, reason, retry_after(answer, now_ms))
    return Outcome(Meaning.REFUSED, reason)


def _reason(answer: Answer) -> tuple[str, int | None]:
    try:
        told: Any = msgspec.json.decode(answer.body) if answer.body else {}
    except (msgspec.DecodeError, UnicodeDecodeError):
        told = {}
    if not isinstance(told, dict):
        told = {}
    since = told.get("timestamp")
    return reason_of(told.get("reason"), answer), since if isinstance(since, int) else None


def _is_silent(payload: dict[str, Any]) -> bool:
    aps = payload.get("aps")
    return (
        isinstance(aps, dict)
        and aps.get("content-available") == 1
        and not any(name in aps for name in ("alert", "badge", "sound"))
    )
