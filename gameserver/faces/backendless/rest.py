"""Addresses and answers: which request is which call, who may make it, and how it is answered."""

import time
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPMethod
from typing import Any

import structlog
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import Scope

from gameserver.apps import App, LiveApps
from gameserver.faces.backendless import accounts, objects, settings
from gameserver.faces.backendless.call import FACE, Call
from gameserver.faces.backendless.errors import Code, Refused, from_game
from gameserver.faces.backendless.settings import AppVersion, BackendlessSettings
from gameserver.rpc import Core, metrics
from gameserver.sessions import SessionsUnavailable
from gameserver.storage import StorageError
from gameserver.wire import json
from gameserver.wire.errors import GameError
from gameserver.wire.http import beside_the_loop, read_body

log = structlog.get_logger(__name__)

Handler = Callable[[Call], Awaitable[Any]]

BY_KEY = "/{application_id}/{api_key}"
BY_DOMAIN = "/api"
ANYWHERE = "{rest:path}"
METHODS = (HTTPMethod.GET, HTTPMethod.POST, HTTPMethod.PUT, HTTPMethod.PATCH, HTTPMethod.DELETE)

_CORS = {"Access-Control-Allow-Origin": "*"}
_PREFLIGHT = {
    **_CORS,
    "Access-Control-Allow-Methods": "GET, POST, PUT, OPTIONS",
    "Access-Control-Allow-Headers": "Content-Type, user-token",
    "Access-Control-Max-Age": "86400",
}
_NO_STORE = {**_CORS, "Cache-Control": "no-store"}  # answers hold user-tokens, and say who is logged in

# The order matters where one path could be two calls.
CALLS: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "/info", accounts.info),
    ("POST", "/users/register", accounts.register),
    ("POST", "/users/register/guest", accounts.login_as_guest),
    ("POST", "/users/login", accounts.login),
    ("GET", "/users/logout", accounts.logout),
    ("GET", "/users/isvalidusertoken/{token}", accounts.is_valid_token),
    ("POST", "/users/verifypassowrd", accounts.verify_password),  # spelt like this by every client
    ("GET", "/users/restorepassword/{identity:path}", accounts.restore_password),
    ("POST", "/users/resendconfirmation/{identity:path}", accounts.resend_confirmation),
    ("POST", "/users/createEmailConfirmationURL/{identity:path}", accounts.create_confirmation_url),
    ("GET", "/users/userroles", objects.own_roles),
    ("GET", "/users/userroles/{id}", objects.user_roles),
    ("GET", "/users/role/{role}", objects.find_by_role),
    ("POST", "/users/assignRole", objects.assign_role),
    ("POST", "/users/unassignRole", objects.unassign_role),
    ("GET", "/users/userclassprops", objects.describe_class),
    ("PUT", "/users/{id}/status", objects.set_status),
    ("PUT", "/users/{id}", objects.change),
    ("GET", "/data/Users/{id}", objects.find_by_id),
)


def routes(core: Core, apps: LiveApps) -> list[Route]:
    """Every call under both forms of address, and a precise answer to what is no call."""
    rest = Rest(core, apps)
    found: list[Route] = []
    for prefix in (BY_DOMAIN, BY_KEY):
        found += [
            Route(prefix + path, rest.endpoint(handler), methods=[method]) for method, path, handler in CALLS
        ]
        for beside in ("/info", f"/users/{ANYWHERE}", f"/data/{ANYWHERE}"):
            found.append(Route(prefix + beside, preflight, methods=["OPTIONS"]))
            found.append(Route(prefix + beside, rest.endpoint(nothing_here), methods=list(METHODS)))
        found.append(NothingHere(prefix, rest))
    return found


class NothingHere(Route):
    """Every other path under the address of an app: refused in the words that its clients read."""

    def __init__(self, prefix: str, rest: "Rest") -> None:
        super().__init__(f"{prefix}/{ANYWHERE}", rest.endpoint(nothing_here), methods=list(METHODS))
        self._rest = rest

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Match where the address is that of an app; other faces may have paths of the same shape."""
        match, child = super().matches(scope)
        if match is Match.NONE or self._rest.knows(child.get("path_params", {}), Headers(scope=scope)):
            return match, child
        return Match.NONE, {}


async def preflight(_: Request) -> Response:
    """Tell a browser that pages from anywhere may call, with a user-token."""
    return Response(status_code=204, headers=_PREFLIGHT)


async def nothing_here(_: Call) -> None:
    """Refuse what this server does not have."""
    raise Refused(Code.NOTHING_HERE, "There is no such call here.")


class Rest:
    """Turns requests into calls, and what comes of them into answers."""

    def __init__(self, core: Core, apps: LiveApps) -> None:
        self.core = core
        self.apps = apps

    def endpoint(self, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        """Return what the framework runs for a call."""
        name = f"{FACE}.{handler.__name__}"

        async def answer(request: Request) -> Response:
            started = time.perf_counter()
            outcome = "ok"
            try:
                result = await handler(await self._admit(request, handler))
                body = b"" if result is None else json.encode(result)
                return Response(body, media_type="application/json", headers=_NO_STORE)
            except Exception as error:  # noqa: BLE001 - every failure has an answer clients can read
                refused = _refusal(handler, error)
                outcome = str(int(refused.code))
                return Response(refused.body(), refused.status, _NO_STORE, "application/json")
            finally:
                metrics.MESSAGES.observe((name, outcome), time.perf_counter() - started)

        return answer

    def knows(self, path: Mapping[str, str], headers: Headers) -> bool:
        """Tell whether the address of a request is that of an app."""
        application_id = path.get("application_id")
        if application_id is None:
            return settings.find_domain(self.apps, headers.get("host", "")) is not None
        return any(True for _ in settings.find_versions(self.apps, application_id))

    async def _admit(self, request: Request, handler: Handler) -> Call:
        app, settings_, version, kind = self._find(request, handler)
        if not app.enabled or not version.enabled:
            raise Refused(Code.BAD_APPLICATION, "This version of the app is disabled.")
        if any("\0" in part for part in request.path_params.values()):
            raise Refused(Code.NOTHING_HERE, "No address holds a NUL.")  # which PostgreSQL cannot look for
        body = await read_body(dict(request.scope["headers"]), request.receive)
        body = await beside_the_loop(json.checked, body)
        return Call(
            core=self.core,
            app=app,
            settings=settings_,
            version=version,
            kind=kind,
            token=request.headers.get("user-token", ""),
            address=request.client.host if request.client else "",
            path=request.path_params,
            query=request.query_params,
            body=body,
            now_ms=self.core.clock.ms(),
        )

    def _find(self, request: Request, handler: Handler) -> tuple[App, BackendlessSettings, AppVersion, str]:
        """Find the version of an app that is meant, and whose key it was called with."""
        application_id = request.path_params.get("application_id")
        if application_id is None:
            found = settings.find_domain(self.apps, request.headers.get("host", ""))
            if found is None:
                raise Refused(_bad_application(handler), "This host is the domain of no app.")
            return *found, "domain"
        if handler is accounts.login and application_id in ("null", "undefined"):
            raise Refused(Code.MISSING, "The application id is missing.")
        known = False
        for app, settings_, version in settings.find_versions(self.apps, application_id):
            known = True
            kind = version.kind_of(request.path_params["api_key"])
            if kind is not None:
                return app, settings_, version, kind
        if known:
            raise Refused(Code.BAD_APPLICATION, "The API key does not belong to this application id.")
        raise Refused(_bad_application(handler), "There is no app with this application id.")


def _bad_application(handler: Handler) -> Code:
    return Code.BAD_APPLICATION_AT_LOGOUT if handler is accounts.logout else Code.BAD_APPLICATION


def _refusal(handler: Handler, error: Exception) -> Refused:
    """Say what went wrong, in a form that every client reads."""
    match error:
        case Refused():
            return error
        case GameError():
            return from_game(error)
        case SessionsUnavailable() | StorageError():
            log.warning("call_postponed", call=handler.__name__, reason=str(error))
            refused = Refused(Code.AWAY, "The server cannot do this at the moment. Try again.")
        case _:
            log.error("call_failed", call=handler.__name__, exc_info=error)
            refused = Refused(Code.OUR_FAULT, "Internal error.")
    if handler is accounts.logout:
        # Clients keep believing that they are logged in unless the code is one of a few.
        return Refused(Code.LOGOUT_FAILED, str(refused))
    return refused
