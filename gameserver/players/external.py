"""External logins: a system of the studio vouches for a player, as a web service or by signed tokens."""

import hmac
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

import jwt
import msgspec
import structlog
from msgspec import UNSET, UnsetType

from gameserver.apps import App, DiscordLogin, OpenIdLogin, ScriptLogin, TokenLogin, WebhookLogin
from gameserver.frame import Hook, Hooks, Parts
from gameserver.players.providers import Claimed, Providers, UnableToValidate, Vouched
from gameserver.players.providers.tokens import expiry_ms, is_current
from gameserver.players.providers.web import away, has_failed, unclear
from gameserver.wire import json
from gameserver.wire.errors import GameError
from gameserver.wire.outgoing import TooLarge, Unanswered

log = structlog.get_logger(__name__)

SIGNATURE_HEADER = "X-Signature"
REFUSALS = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)


class UnknownExternalLogin(GameError):
    """The app has no external login of that name."""

    reason_code = 40684


class Question(msgspec.Struct, rename="camel"):
    """What a web service is asked: do this id and this token belong together? `timestamp`: ms since 1970."""

    app_id: str
    external_auth_name: str
    external_id: str
    token: str
    timestamp: int


class Verdict(msgspec.Struct, rename="camel"):
    """What it answers, with status 200.

    `identity_data` is kept with the identity for servers to read, in place of what was kept; empty or null,
    and nothing is kept.
    """

    valid: bool
    identity_data: dict[str, Any] | UnsetType | None = UNSET


_decode_verdict = msgspec.json.Decoder(Verdict).decode


ScriptVouches = Callable[[Parts, ScriptLogin, str, Claimed], Awaitable[Vouched | None]]
SCRIPT_VOUCHES: Hook[ScriptVouches] = Hook("external.script")
"""Asks a script of the app, of the login with a name. Raises `Unproven` where the client is told more."""


class ExternalLogins:
    """Asks whoever vouches."""

    def __init__(self, providers: Providers, parts: Parts) -> None:
        self._parts = parts
        self._providers = providers
        self._web = providers.web

    async def vouch(self, name: str, claimed: Claimed) -> Vouched | None:
        """Tell whether an id and a token belong together; None when they do not.

        Raises `UnknownExternalLogin` for a name the app does not declare, and `UnableToValidate`,
        `ProviderUnavailable` and `UnknownAuthenticationError` when nobody can tell.
        """
        app, now_ms, external_id, token = claimed.app, claimed.now_ms, claimed.external_id, claimed.token
        login = app.external.get(name)
        match login:
            case TokenLogin():
                return _token_holds(app, name, login, external_id, token, now_ms)
            case WebhookLogin():
                question = Question(app.id, name, external_id, token, now_ms)
                return await self._ask(login, question)
            case ScriptLogin():
                for ask in self._parts.get(Hooks).of(SCRIPT_VOUCHES):
                    return await ask(self._parts, login, name, claimed)
                raise UnableToValidate("this server runs no scripts")
            case OpenIdLogin() | DiscordLogin():
                return await self._providers.vouch_external(claimed, login)
            case _:
                raise UnknownExternalLogin(f"the app has no external login {name[:64]!r}")

    async def _ask(self, login: WebhookLogin, question: Question) -> Vouched | None:
        body = msgspec.json.encode(question)
        headers = {
            "Content-Type": "application/json",
            SIGNATURE_HEADER: "sha256=" + hmac.digest(login.secret.encode(), body, "sha256").hex(),
        }
        try:
            status, answer = await self._web.exchange(
                "POST", login.url, login.timeout_seconds, content=body, headers=headers
            )
        except TooLarge as error:
            raise unclear(question.external_auth_name, str(error)) from None
        except Unanswered as error:
            raise away(question.external_auth_name, str(error)) from None
        if has_failed(status):
            raise away(question.external_auth_name, f"status {status}")
        if status in REFUSALS:
            return None
        try:
            verdict = _decode_verdict(answer) if status == HTTPStatus.OK else None
        except (msgspec.MsgspecError, UnicodeDecodeError):
            verdict = None
        if verdict is None:
            raise unclear(question.external_auth_name, f"status {status}, and no verdict")
        if not verdict.valid:
            return None
        data = verdict.identity_data
        if isinstance(data, dict):
            return Vouched(data=json.encode(data).decode() if data else None)
        return Vouched(data=data)


def _token_holds(
    app: App, name: str, login: TokenLogin, external_id: str, token: str, now_ms: int
) -> Vouched | None:
    """Check signature, issuer, audience, times and the claim that names the player."""
    try:
        claims: dict[str, Any] = jwt.decode(
            token,
            login.verification_key(app.path),
            algorithms=[login.algorithm],
            issuer=login.issuer,
            audience=login.audience,
            options={
                "require": ["exp", "iss", "aud", login.claim],
                # The times are compared with the server's clock, below.
                "verify_exp": False,
                "verify_nbf": False,
                "verify_iat": False,
            },
        )
    except jwt.InvalidTokenError:
        return None
    except (OSError, ValueError, jwt.PyJWTError) as error:
        log.warning("external_login_key_unusable", name=name, error=str(error)[:200])
        raise UnableToValidate("the key that verifies the player's token cannot be used") from None
    if not is_current(claims, now_ms, login.leeway_seconds):
        return None
    vouched = claims[login.claim]
    if not isinstance(vouched, str | int) or isinstance(vouched, bool) or str(vouched) != external_id:
        return None
    return Vouched(token_expires_ms=expiry_ms(claims["exp"]))
