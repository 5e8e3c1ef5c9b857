"""Asking over HTTPS who vouches for players: bounded in time and in bytes, and only where we mean to ask."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Protocol, TypeVar
from urllib.parse import urlencode

import httpx
import msgspec
import structlog

from gameserver.apps import Settings
from gameserver.players.providers.settings import ProviderSettings
from gameserver.players.providers.vouching import ProviderUnavailable, UnknownAuthenticationError
from gameserver.wire.outgoing import Caller, Outgoing, TooLarge, Unanswered

log = structlog.get_logger(__name__)

ANSWER_BYTES_MAX = 64 << 10
SERVER_ERROR = HTTPStatus.INTERNAL_SERVER_ERROR
USER_AGENT = "gameserver"
PROVIDERS = Caller("providers")  # the operator has declared where they are
_decode = msgspec.json.Decoder(dict[str, Any]).decode


S = TypeVar("S", bound=Settings)


class Asker(Protocol):
    """On whose behalf somebody is asked, such as an app: how long they have, and a stand-in in tests."""

    def section(self, kind: type[S]) -> S:
        """Return the settings of a kind."""


class Web:
    """Asks providers and services of the studio."""

    def __init__(self, outgoing: Outgoing) -> None:
        self._outgoing = outgoing

    async def ask(
        self,
        app: Asker,
        url: str,
        *,
        query: Mapping[str, str] | None = None,
        form: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, bytes]:
        """Send a GET, or a POST of a form, and return status and body. The address never gets into a log.

        Raises `ProviderUnavailable`, also for a failure of the provider, and `UnknownAuthenticationError` for
        an answer that is too large.
        """
        host = httpx.URL(url).host
        method = "GET" if form is None else "POST"
        sent = {"Accept": "application/json, */*", "Accept-Encoding": "identity", **(headers or {})}
        seconds = app.section(ProviderSettings).timeout_seconds
        try:
            status, body = await self.exchange(
                method, where(app, url), seconds, query=query, form=form, headers=sent
            )
        except TooLarge as error:
            raise unclear(host, str(error)) from None
        except Unanswered as error:
            raise away(host, str(error)) from None
        if has_failed(status):
            raise away(host, f"status {status}")
        return status, body

    async def ask_json(
        self,
        app: Asker,
        url: str,
        *,
        query: Mapping[str, str] | None = None,
        form: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, dict[str, Any]]:
        """Like `ask`, for an answer that is a JSON object; any other is as unclear as one too large."""
        status, body = await self.ask(app, url, query=query, form=form, headers=headers)
        try:
            return status, _decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise unclear(httpx.URL(url).host, f"status {status}, and no JSON object") from None

    async def exchange(
        self,
        method: str,
        url: str,
        seconds: float,
        *,
        query: Mapping[str, str] | None = None,
        form: Mapping[str, str] | None = None,
        content: bytes | None = None,
        headers: Mapping[str, str],
    ) -> tuple[int, bytes]:
        """Send a request, and return status and body.

        Raises `Unanswered` when there is no answer in `seconds`, and `TooLarge`.
        """
        sent = {"User-Agent": USER_AGENT, **headers}
        if form is not None:
            sent = {"Content-Type": "application/x-www-form-urlencoded", **sent}
            content = urlencode(form).encode()
        if query:
            url = str(httpx.URL(url).copy_merge_params(dict(query)))
        answer = await self._outgoing.exchange(
            PROVIDERS,
            method,
            url,
            headers=sent.items(),
            content=content,
            seconds=seconds,
            bytes_max=ANSWER_BYTES_MAX,
        )
        return answer.status, answer.body


def where(app: Asker, url: str) -> str:
    """Return the address to ask: the provider's, or that of the stand-in that the app declares for tests."""
    stand_in = app.section(ProviderSettings).stand_in
    return f"{stand_in}/{url.split('://', 1)[1]}" if stand_in else url


def has_failed(status: int) -> bool:
    """Tell whether who was asked says that they cannot answer now."""
    return status >= SERVER_ERROR or status == HTTPStatus.TOO_MANY_REQUESTS


def away(host: str, reason: str) -> ProviderUnavailable:
    """Return the refusal for a provider that does not answer, and tell the operator."""
    log.warning("provider_unavailable", host=host, reason=reason)
    return ProviderUnavailable(
        "the platform that vouches for the player cannot be asked now: try again later"
    )


def unclear(host: str, reason: str) -> UnknownAuthenticationError:
    """Return the refusal for a provider whose answer says neither yes nor no, and tell the operator."""
    log.warning("provider_unclear", host=host, reason=reason)
    return UnknownAuthenticationError(
        "the platform that vouches for the player gave no clear answer: try again later"
    )
