"""Refresh tokens over HTTP: RFC 6749, section 6, with tokens that work once, and RFC 7009.

Clients are public: who has the token may use it. There is no password grant; a first token comes from a
login whose profile asks for them.
"""

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from urllib.parse import parse_qsl

import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gameserver.apps import LiveApps
from gameserver.players import cookies, refresh_tokens
from gameserver.players.cookies import CookieSettings
from gameserver.players.refresh_tokens import (
    FACE,
    InvalidToken,
    NotNow,
    RefreshSettings,
    RefreshTokens,
    TokenAnswer,
)
from gameserver.rpc import Core, Face
from gameserver.sessions import SessionsUnavailable
from gameserver.storage import StorageError
from gameserver.wire import json
from gameserver.wire.errors import GameError
from gameserver.wire.http import read_body

log = structlog.get_logger(__name__)

TOKEN_PATH = "/oauth2/token"  # noqa: S105 - a path
REVOKE_PATH = "/oauth2/revoke"
FORM = "application/x-www-form-urlencoded"
FORM_BYTES_MAX = 8 << 10
FIELDS_MAX = 20

_HEADERS = {"Content-Type": "application/json", "Cache-Control": "no-store", "Pragma": "no-cache"}

Handler = Callable[[Request], Awaitable[Response]]


class OAuthError(Exception):
    """A refusal in the words of RFC 6749, section 5.2."""

    def __init__(self, code: str, description: str, status: HTTPStatus = HTTPStatus.BAD_REQUEST) -> None:
        super().__init__(description)
        self.code = code
        self.status = status


def routes(core: Core, apps: LiveApps) -> list[Route]:
    """The two endpoints."""
    oauth = OAuth(core, apps)
    return [
        Route(TOKEN_PATH, _guarded(oauth.token), methods=["POST"]),
        Route(REVOKE_PATH, _guarded(oauth.revoke), methods=["POST"]),
    ]


face = Face(
    FACE,
    lambda core, apps, _: routes(core, apps),
    section=("oauth", RefreshSettings, refresh_tokens.SAMPLE),
    keeps=(refresh_tokens.KEPT,),
)


class OAuth:
    """What the routes do."""

    def __init__(self, core: Core, apps: LiveApps) -> None:
        self.core = core
        self.apps = apps
        self.tokens = RefreshTokens(
            core.database, core.sessions, core.endings, apps, core.clock, core.random_bytes
        )

    async def token(self, request: Request) -> Response:
        """Exchange a refresh token for a session and the next token. A browser gets the cookie as well."""
        form = await _read_form(request)
        grant = _field(form, "grant_type")
        if grant != "refresh_token":
            raise OAuthError("unsupported_grant_type", "the one grant here is refresh_token")
        token = _field(form, "refresh_token")
        if self._is_foreign(request):
            raise OAuthError("invalid_request", "pages of this origin may not ask", HTTPStatus.FORBIDDEN)
        try:
            fresh = await self.tokens.refresh(token, form.get("client_id", ""), _address(request))
        except InvalidToken:
            raise OAuthError("invalid_grant", "the token is not valid any more: log in") from None
        except NotNow as error:
            raise _unavailable(str(error)) from None
        self.core.audit.note(
            fresh.app,
            "login",
            "refresh_token",
            face=FACE,
            address=_address(request),
            profile_id=fresh.profile_id,
            session=self.core.sessions.digest(fresh.session_id) or "",
        )
        answer = TokenAnswer(fresh.session_id, fresh.app.session.life_seconds, fresh.refresh_token)
        settings = fresh.app.section(CookieSettings)
        response = Response(
            json.encode(answer), headers={**_HEADERS, **cookies.cors_headers(request.headers, settings)}
        )
        if cookies.is_from_browser(request.headers):
            tls = request.url.scheme == "https"
            response.headers["Set-Cookie"] = cookies.set_cookie(settings, fresh.session_id, tls=tls)
        return response

    async def revoke(self, request: Request) -> Response:
        """End the login that a token comes from. A token that is none is as good as revoked."""
        form = await _read_form(request)
        await self.tokens.revoke(_field(form, "token"), _address(request))
        return Response(headers={"Cache-Control": "no-store"})

    def _is_foreign(self, request: Request) -> bool:
        """Tell whether no app admits the page that asks. Which app it is about, only the token knows."""
        return all(cookies.is_foreign(request.headers, app.section(CookieSettings)) for app in self.apps)


def _guarded(handler: Handler) -> Handler:
    """Turn what can go wrong into the answers of the standard."""

    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except OAuthError as error:
            refusal = error
        except (SessionsUnavailable, StorageError) as error:
            log.warning("refresh_postponed", error=str(error))
            refusal = _unavailable("the server cannot do this just now")
        body = json.encode({"error": refusal.code, "error_description": str(refusal)})
        headers = dict(_HEADERS)
        if refusal.status is HTTPStatus.SERVICE_UNAVAILABLE:
            headers["Retry-After"] = "1"
        return Response(body, refusal.status, headers)

    return answer


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


def _unavailable(why: str) -> OAuthError:
    return OAuthError("temporarily_unavailable", why, HTTPStatus.SERVICE_UNAVAILABLE)


async def _read_form(request: Request) -> dict[str, str]:
    """Read a form whose fields each come once. Raises `OAuthError`."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != FORM:
        raise OAuthError("invalid_request", f"the body is expected as {FORM}")
    try:
        body = await read_body(dict(request.scope["headers"]), request.receive)
        if len(body) > FORM_BYTES_MAX:
            raise OAuthError("invalid_request", f"a form has at most {FORM_BYTES_MAX} bytes")
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=bool(body),
            errors="strict",
            max_num_fields=FIELDS_MAX,
        )
    except (GameError, ValueError):
        raise OAuthError("invalid_request", "the form cannot be read") from None
    form = dict(pairs)
    if len(form) < len(pairs):
        raise OAuthError("invalid_request", "a field of the form came twice")
    return form


def _field(form: dict[str, str], name: str) -> str:
    if not form.get(name):
        raise OAuthError("invalid_request", f"{name}: required")
    return form[name]
