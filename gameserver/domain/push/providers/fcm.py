"""Firebase Cloud Messaging, HTTP v1: an access token of a service account, one request for each device."""

import asyncio
from hashlib import sha256
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlencode

import jwt
import msgspec

from gameserver.domain.push.content import for_fcm
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
from gameserver.domain.push.settings import FcmSettings
from gameserver.wire.outgoing import Answer, Caller, Outgoing, Unanswered

SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
ASSERTION_SECONDS = 3600
EARLY_SECONDS = 120  # before it ends an access token is replaced
PAUSE_SECONDS = 60.0  # when a quota is used up, unless Firebase says how long
_UNREGISTERED, _OF_TOKEN = "UNREGISTERED", frozenset({"SENDER_ID_MISMATCH", "THIRD_PARTY_AUTH_ERROR"})


class Denied(Exception):
    """There is no access token; the text says why."""


class AccessTokens:
    """The access tokens of service accounts. One for each process."""

    def __init__(self, outgoing: Outgoing) -> None:
        self._outgoing = outgoing
        self._known: dict[str, tuple[str, int]] = {}  # the token, and until when
        self._asking: dict[str, asyncio.Lock] = {}

    async def get(self, app_id: str, settings: FcmSettings, trust: str, now_ms: int) -> str:
        """Return a token that still works for a while. Raises `Denied`, and `Unanswered`."""
        key = _key(settings)
        async with self._asking.setdefault(key, asyncio.Lock()):
            token, until = self._known.get(key, ("", 0))
            if now_ms < until:
                return token
            self._known = {name: known for name, known in self._known.items() if known[1] > now_ms}
            token, seconds = await self._ask(app_id, settings, trust, now_ms)
            self._known[key] = (token, now_ms + max(0, seconds - EARLY_SECONDS) * 1000)
            return token

    def forget(self, settings: FcmSettings) -> None:
        """Forget a token that is not accepted."""
        self._known.pop(_key(settings), None)

    async def _ask(self, app_id: str, settings: FcmSettings, trust: str, now_ms: int) -> tuple[str, int]:
        account, now = settings.account(), now_ms // 1000
        claims = {
            "iss": account["client_email"],
            "scope": SCOPE,
            "aud": account["token_uri"],
            "iat": now,
            "exp": now + ASSERTION_SECONDS,
        }
        headers = {"kid": account["private_key_id"]} if account["private_key_id"] else {}
        signed = await asyncio.to_thread(jwt.encode, claims, account["private_key"], "RS256", headers)
        answer = await self._outgoing.exchange(
            Caller(f"{app_id}/fcm", authorities=trust),
            "POST",
            account["token_uri"],
            headers=[("Content-Type", "application/x-www-form-urlencoded")],
            content=urlencode({"grant_type": GRANT, "assertion": signed}).encode(),
            seconds=SECONDS,
            bytes_max=ANSWER_BYTES,
        )
        told = _object(answer)
        token, seconds = told.get("access_token"), told.get("expires_in")
        if is_passing(answer.status):
            raise Unanswered(f"Status{answer.status}")
        if answer.status != HTTPStatus.OK or not isinstance(token, str) or not token.isprintable():
            raise Denied(reason_of(told.get("error"), answer))
        return token, seconds if isinstance(seconds, int) else ASSERTION_SECONDS


def _key(settings: FcmSettings) -> str:
    return sha256(settings.service_account.encode()).hexdigest()


async def send(
    outgoing: Outgoing,
    tokens: AccessTokens,
    settings: FcmSettings,
    trust: str,
    note: Notification,
    now_ms: int,
) -> Outcome:
    """Send a notification to a device."""
    message = for_fcm(note.content, note.language, str(note.id))
    if message is None:
        return Outcome(Meaning.REFUSED, "NoContent")
    project = quote(settings.account()["project_id"], safe="")
    for is_last in (False, True):
        try:
            access = await tokens.get(note.app.id, settings, trust, now_ms)
            answer = await outgoing.exchange(
                Caller(f"{note.app.id}/fcm", authorities=trust),
                "POST",
                f"{settings.url.rstrip('/')}/v1/projects/{project}/messages:send",
                headers=[("Authorization", f"Bearer {access}"), ("Content-Type", "application/json")],
                content=msgspec.json.encode({"message": {**message, "token": note.token}}),
                seconds=SECONDS,
                bytes_max=ANSWER_BYTES,
            )
        except Denied as error:
            return Outcome(Meaning.BROKEN, str(error))
        except Unanswered as error:
            return Outcome(Meaning.PAUSE, str(error))
        outcome = meaning(answer, now_ms)
        is_denied = answer.status == HTTPStatus.UNAUTHORIZED and outcome.meaning is Meaning.BROKEN
        if is_last or not is_denied:
            break
        tokens.forget(settings)  # taken back before its time
    return outcome


def meaning(answer: Answer, now_ms: int) -> Outcome:
    """Read an answer."""
    if answer.status == HTTPStatus.OK:
        return Outcome(Meaning.SENT)
    reason, seconds = _reason(answer), retry_after(answer, now_ms)
    if reason in _OF_TOKEN:
        return Outcome(Meaning.REFUSED, reason)
    match answer.status:
        case 404 if reason == _UNREGISTERED:
            return Outcome(Meaning.GONE, reason)
        case 401 | 403 | 404:
            return Outcome(Meaning.BROKEN, reason)
        case 429:
            return Outcome(Meaning.PAUSE, reason, seconds or PAUSE_SECONDS)
        case 500:  # it may be this notification that Firebase does not get on with
            return Outcome(Meaning.LATER, reason, seconds)
        case status if is_passing(status):
            return Outcome(Meaning.PAUSE, reason, seconds)
    return Outcome(Meaning.REFUSED, reason)


def _reason(answer: Answer) -> str:
    """Return Firebase's own code, or the general one."""
    error = _object(answer).get("error")
    if not isinstance(error, dict):
        return reason_of(None, answer)
    details = error.get("details")
    for detail in details if isinstance(details, list) else ():
        if isinstance(detail, dict) and isinstance(detail.get("errorCode"), str):
            return reason_of(detail["errorCode"], answer)
    return reason_of(error.get("status"), answer)


def _object(answer: Answer) -> dict[str, Any]:
    try:
        told = msgspec.json.decode(answer.body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}
    return told if isinstance(told, dict) else {}
