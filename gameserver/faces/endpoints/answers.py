"""Answers requests for declared endpoints."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl

import msgspec
import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import Scope

from gameserver.apps import App, LiveApps
from gameserver.faces.endpoints import openapi, values
from gameserver.faces.endpoints.declaration import (
    Action,
    CallEvent,
    Endpoint,
    Event,
    LoginEvent,
    LogoutEvent,
    Web,
)
from gameserver.faces.endpoints.login import FACE, log_in
from gameserver.players import accounts, cookies, users
from gameserver.players.cookies import CookieSettings
from gameserver.players.lockout import LockedOut
from gameserver.players.refresh_tokens import TokenAnswer
from gameserver.players.refusals import Refusals
from gameserver.players.termination import Actor
from gameserver.rpc import Caller, Core, Origin, PacketFailed, Packets, Runner, Tx
from gameserver.sessions import SERVER_PROFILE_ID, One, Session, SessionsUnavailable, session_error
from gameserver.storage import StorageError
from gameserver.wire import errors, json
from gameserver.wire.errors import GameError
from gameserver.wire.http import beside_the_loop, read_body
from gameserver.wire.packet import Message, check_message, refusal, success

log = structlog.get_logger(__name__)

FIELDS_MAX = 100

_FORM = "application/x-www-form-urlencoded"

# The HTTP status of a refusal where it is another than the status inside it.
_STATUSES = {
    kind.reason_code: status
    for status, kinds in {
        401: (
            errors.NoSession,
            errors.SessionExpired,
            errors.SessionReplaced,
            accounts.WrongCredentials,
        ),
        413: (errors.PacketTooLarge,),
        429: (errors.RateLimited, LockedOut),
    }.items()
    for kind in kinds
}
_SESSION_CODES = frozenset(
    kind.reason_code for kind in (errors.NoSession, errors.SessionExpired, errors.SessionReplaced)
)


class _Entry(msgspec.Struct):
    status: int
    reason_code: int = 0


_decode_entry = msgspec.json.Decoder(_Entry).decode


def routes(core: Core, apps: LiveApps, packets: Packets) -> list[Route]:
    """The declared endpoints of all apps, as one route that knows which paths are theirs."""
    return [_DeclaredRoute(Endpoints(core, apps, packets.runner))]


def admin_routes(core: Core, apps: LiveApps, packets: Packets) -> list[Route]:
    """Return the OpenAPI documents of all apps: who may call the endpoints need not know of all of them."""
    face = Endpoints(core, apps, packets.runner)

    async def describe(request: Request) -> Response:
        return face.describe(request)

    return [Route("/apps/{app_id}/openapi.json", describe, methods=["GET"])]


@dataclass(slots=True)
class Table:
    """The endpoints of one app, as its definition had them."""

    web: Web
    actions: dict[str, Action]
    by_length: dict[int, list[tuple[tuple[str, ...], str, Endpoint]]] = field(default_factory=dict)

    @classmethod
    def of(cls, web: Web) -> "Table":
        """Sort the endpoints for looking up; of two that fit, the one with the earlier literal goes first."""
        table = cls(web, {action.trigger: action for action in web.actions.values()})
        for name, endpoint in web.endpoints.items():
            table.by_length.setdefault(len(endpoint.shape), []).append((endpoint.shape, name, endpoint))
        for entries in table.by_length.values():
            entries.sort(key=lambda entry: [part == "" for part in entry[0]])
        return table

    def fitting(self, segments: tuple[str, ...]) -> list[tuple[str, Endpoint]]:
        """The endpoints that claim a path, whatever their method."""
        return [
            (name, endpoint)
            for shape, name, endpoint in self.by_length.get(len(segments), ())
            if all(mine in ("", theirs) for mine, theirs in zip(shape, segments, strict=True))
            and all(segments)
        ]


@dataclass(frozen=True, slots=True)
class Found:
    """An endpoint that a path leads to."""

    app: App
    name: str
    endpoint: Endpoint
    action: Action | None


class _DeclaredRoute(Route):
    """A route whose paths are those that apps declare at this moment."""

    def __init__(self, face: "Endpoints") -> None:
        super().__init__("/{path:path}", face.answer, include_in_schema=False)
        self.methods = None
        self._face = face

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Match what an app claims, with any method."""
        if scope["type"] != "http" or not self._face.claims(scope["path"]):
            return Match.NONE, {}
        return Match.FULL, {"endpoint": self.endpoint, "path_params": {}}


@dataclass(slots=True)
class WebRequest:
    """A request on its way through the events of an action."""

    found: Found
    request: Request
    sources: dict[str, Mapping[str, Any]]
    session_id: str = ""
    session: Session | None = None
    refused: GameError | None = None  # why there is no session
    entry: bytes = field(default_factory=success)
    cookie: str | None = None  # the header that sets it or takes it away

    @property
    def address(self) -> str:
        """Where the request came from."""
        return self.request.client.host if self.request.client else ""


class Endpoints:
    """The face itself."""

    def __init__(self, core: Core, apps: LiveApps, runner: Runner) -> None:
        self.core = core
        self.apps = apps
        self.runner = runner
        self._tables: dict[str, Table] = {}

    # Finding

    def claims(self, path: str) -> bool:
        """Tell whether an app claims a path."""
        segments = _segments(path)
        return any(self._table(app).fitting(segments) for app in self.apps)

    def _table(self, app: App) -> Table:
        web = app.section(Web)
        table = self._tables.get(app.id)
        if table is None or table.web is not web:
            table = self._tables[app.id] = Table.of(web)
        return table

    def _find(self, path: str, method: str) -> tuple[list[Found], set[str]]:
        """The endpoints that claim a path with a method, one for each app, and the methods the path has."""
        segments = _segments(path)
        fitting: list[Found] = []
        methods: set[str] = set()
        for app in self.apps:
            table = self._table(app)
            claimed = table.fitting(segments)
            methods |= {endpoint.method for _, endpoint in claimed}
            for name, endpoint in claimed:
                if endpoint.method == method:
                    fitting.append(Found(app, name, endpoint, table.actions.get(name)))
                    break
        return fitting, methods

    # Answering

    async def answer(self, request: Request) -> Response:
        """Answer one request."""
        method = request.method
        if method == "OPTIONS":
            return self._preflight(request)
        if method == "HEAD":  # the answer of a GET, but for its body
            response = await self._answer(request, "GET", is_head=True)
            return Response(status_code=response.status_code, headers=dict(response.headers))
        return await self._answer(request, method)

    async def _answer(self, request: Request, method: str, *, is_head: bool = False) -> Response:
        fitting, methods = self._find(request.scope["path"], method)
        if is_head:  # programs ask so to look without touching
            fitting = [found for found in fitting if not found.endpoint.get_changes_state]
        if len(fitting) != 1:
            if fitting:  # the apps disagree since one of them was changed; neither can be meant
                claims = [f"{found.app.name}: {found.name}" for found in fitting]
                log.error("endpoint_claimed_twice", path=request.scope["path"], claimed_by=claims)
                return _respond(404, refusal(errors.InvalidOperation("two apps claim this path")))
            entry = refusal(
                errors.InvalidOperation(f"{request.method} is not among the methods of this path")
            )
            return _respond(405, entry, {"Allow": _allowed(methods)})
        [found] = fitting
        settings = found.app.section(CookieSettings)
        visit = WebRequest(found, request, {})
        try:
            await self._run(visit)
        except GameError as error:
            visit.entry = refusal(error)
            self.core.get(Refusals).note(found.app, error, face=FACE, operation=found.name)
        except (PacketFailed, StorageError, SessionsUnavailable) as error:
            log.warning("endpoint_postponed", endpoint=found.name, reason=str(error))
            visit.entry = json.encode({"status": 503, "status_message": "the server cannot do this just now"})
        except Exception:
            log.exception("endpoint_failed", endpoint=found.name)
            visit.entry = refusal(errors.InternalError("internal error"))
        return self._respond(visit, settings)

    def _respond(self, visit: WebRequest, settings: CookieSettings) -> Response:
        entry = _decode_entry(visit.entry)
        status = _STATUSES.get(
            entry.reason_code, max(entry.status, 400) if entry.reason_code else entry.status
        )
        headers = cookies.cors_headers(visit.request.headers, settings)
        if status == HTTPStatus.UNAUTHORIZED:
            headers["WWW-Authenticate"] = "Bearer"
        if status in (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS):
            headers["Retry-After"] = "1" if status == HTTPStatus.SERVICE_UNAVAILABLE else "60"
        if visit.cookie is None and entry.reason_code in _SESSION_CODES:
            self._take_cookie(visit)
        if visit.cookie is not None:
            headers["Set-Cookie"] = visit.cookie
        return _respond(status, visit.entry, headers)

    def _preflight(self, request: Request) -> Response:
        """Tell browsers which methods pages of the origins that an app names may use."""
        asked = request.headers.get("access-control-request-method", "")
        fitting, methods = self._find(request.scope["path"], asked)
        headers = {"Allow": _allowed(methods)}
        if len(fitting) == 1:
            settings = fitting[0].app.section(CookieSettings)
            headers |= cookies.cors_headers(request.headers, settings)
            if "Access-Control-Allow-Origin" in headers:
                headers["Access-Control-Allow-Methods"] = asked
                headers["Access-Control-Allow-Headers"] = "Authorization, Content-Type"
                headers["Access-Control-Max-Age"] = "600"
        return Response(status_code=204, headers=headers)

    async def _run(self, visit: WebRequest) -> None:
        """Admit the request and run the events in order, up to the first refusal."""
        found, request = visit.found, visit.request
        settings = found.app.section(CookieSettings)
        if not found.app.enabled:
            reason = found.app.disabled_reason or {}
            raise errors.DisabledApp("the app is disabled", disabledReason=reason)
        bearer = _bearer(request)
        if found.endpoint.may_change and not bearer and cookies.is_foreign(request.headers, settings):
            raise errors.NotAllowed("a page of another origin may not ask this")
        visit.session_id = bearer or cookies.read_session_id(request.headers, settings)
        events = found.action.events if found.action is not None else []
        if visit.session_id and (found.endpoint.requires_login or events):
            await self._find_session(visit)
        if found.endpoint.requires_login and (visit.session is None or await self._is_guest(visit.session)):
            raise visit.refused or errors.NoSession("nobody is logged in")
        visit.sources = {
            "path": _path_values(found.endpoint, request.scope["path"]),
            "query": _query_values(request),
            "body": await _body_values(request),
        }
        for event in events:
            await self._run_event(visit, event)
            if _decode_entry(visit.entry).reason_code:
                return

    async def _find_session(self, visit: WebRequest) -> None:
        session = await self.core.sessions.touch(visit.session_id)
        if not isinstance(session, Session):
            visit.refused = session_error(session.reason)
        elif session.app_id != visit.found.app.id or session.profile_id == SERVER_PROFILE_ID:
            visit.session_id, visit.refused = "", errors.NoSession("the session is for something else")
        else:
            self.core.quotas.call(visit.found.app, session.home_profile_id, self.core.clock.ms())
            visit.session = session

    async def _is_guest(self, session: Session) -> bool:
        """Tell whether a session is a guest's, who has not said yet who they are."""
        if not session.facts.get("isGuest"):
            return False
        async with self.core.database.read() as tx:
            return await users.is_guest(tx, session.app_id, session.profile_id)

    async def _run_event(self, visit: WebRequest, event: Event) -> None:
        match event:
            case LoginEvent(profile=profile):
                await self._log_in(visit, profile)
            case LogoutEvent():
                await self._log_out(visit)
                visit.entry = success()
            case CallEvent():
                await self._call(visit, event)

    async def _log_in(self, visit: WebRequest, profile_name: str) -> None:
        app, request = visit.found.app, visit.request
        profile = app.section(Web).profiles[profile_name]
        done = await log_in(self.runner, app, profile, visit.sources["body"], visit.address)
        if visit.session is not None:  # whoever was logged in here before
            await self._end(visit, visit.session.digest, "replaced")
        visit.session_id, visit.refused = done.session_id, None
        opened = await self.core.sessions.peek(done.session_id)
        visit.session = opened if isinstance(opened, Session) else None
        tls = request.url.scheme == "https"
        visit.cookie = cookies.set_cookie(app.section(CookieSettings), done.session_id, tls=tls)
        data: dict[str, Any] = {
            "profileId": done.profile_id,
            "newUser": done.is_new,
            "sessionExpirySeconds": app.session.life_seconds,
        }
        if done.refresh_token is not None:
            answer = TokenAnswer(done.session_id, app.session.life_seconds, done.refresh_token)
            data |= msgspec.to_builtins(answer)
        visit.entry = success(json.encode(data))

    async def _log_out(self, visit: WebRequest) -> None:
        """End the session; one that is over already leaves only the cookie to take away."""
        digest = self.core.sessions.digest(visit.session_id)
        if digest is not None and (visit.session is not None or visit.refused is not None):
            await self._end(visit, digest, "logged_out")
        self._take_cookie(visit)
        visit.session, visit.session_id, visit.refused = None, "", None

    async def _end(self, visit: WebRequest, digest: str, reason: str) -> None:
        profile_id = visit.session.home_profile_id if visit.session is not None else ""
        by = Actor(FACE, visit.address, profile_id)
        await self.core.endings.end(visit.found.app, One(digest=digest), reason, by)

    def _take_cookie(self, visit: WebRequest) -> None:
        settings = visit.found.app.section(CookieSettings)
        if cookies.read_session_id(visit.request.headers, settings):
            visit.cookie = cookies.clear_cookie(settings, tls=visit.request.url.scheme == "https")

    async def _call(self, visit: WebRequest, event: CallEvent) -> None:
        found = visit.found
        service, _, name = event.operation.partition(".")
        by_server = event.authority == "server"
        operation = self.runner.registry.operations.get((service, name))
        if operation is None:
            log.error(
                "endpoint_calls_nothing", endpoint=found.name, app=found.app.id, operation=event.operation
            )
        elif (operation.tx is Tx.WRITE or by_server) and not found.endpoint.may_change:
            words = f"{event.operation} may change something, and this endpoint does not let a GET do that"
            raise errors.NotAllowed(words)
        caller = Caller.CLIENT if visit.session is not None else Caller.VISITOR
        if by_server:
            caller = Caller.SERVER
        data = json.encode(values.fill(event.data, visit.sources))
        message = check_message(Message(service, name, msgspec.Raw(data)), data)
        visit.entry = await self.runner.call(
            message,
            found.app,
            Origin(FACE, visit.address),
            caller=caller,
            session=visit.session,
            session_error=visit.refused,
        )

    # Describing

    def describe(self, request: Request) -> Response:
        """Answer with the OpenAPI document of an app's endpoints."""
        app = self.apps.find(request.path_params["app_id"])
        web = app.section(Web) if app is not None else Web()
        if app is None or not web.openapi or not web.endpoints:
            return _respond(404, refusal(errors.InvalidOperation("there is no such document")))
        document = openapi.document(app, web, self.core.public_url)
        return Response(json.encode(document), media_type="application/json")


def _respond(status: int, entry: bytes, headers: Mapping[str, str] | None = None) -> Response:
    return Response(
        entry,
        status,
        {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", **(headers or {})},
        "application/json",
    )


def _allowed(methods: set[str]) -> str:
    also = {"OPTIONS", "HEAD"} if "GET" in methods else {"OPTIONS"}
    return ", ".join(sorted(methods | also))


def _segments(path: str) -> tuple[str, ...]:
    return tuple(path[1:].split("/"))


def _path_values(endpoint: Endpoint, path: str) -> dict[str, Any]:
    taken = (value for part, value in zip(endpoint.shape, _segments(path), strict=True) if not part)
    return _checked(dict(zip(endpoint.parameters, taken, strict=True)), "path")


def _query_values(request: Request) -> dict[str, Any]:
    """The query's values; of a name that comes twice the last one counts."""
    try:
        pairs = parse_qsl(
            request.url.query, keep_blank_values=True, errors="strict", max_num_fields=FIELDS_MAX
        )
    except ValueError:
        raise errors.InvalidRequest(f"query: not UTF-8, or more than {FIELDS_MAX} values") from None
    return _checked(dict(pairs), "query")


async def _body_values(request: Request) -> dict[str, Any]:
    """The body's values: a JSON object or a form. An empty body has none. Raises a `GameError`."""
    body = await read_body(dict(request.scope["headers"]), request.receive)
    if not body:
        return {}
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == _FORM:
        try:
            pairs = parse_qsl(
                body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=FIELDS_MAX
            )
        except ValueError:
            raise errors.InvalidRequest(f"body: no form of at most {FIELDS_MAX} values") from None
        return _checked(dict(pairs), "body")
    if kind != "application/json":
        raise errors.InvalidRequest(f"body: expected application/json or {_FORM}")
    read = await beside_the_loop(json.read_text, body)
    if not isinstance(read, dict):
        raise errors.InvalidParameterType("body: expected an object")
    return read


def _checked(read: dict[str, str], source: str) -> dict[str, Any]:
    for name, value in read.items():
        if "\0" in name or "\0" in value:
            raise errors.InvalidParameterValue(f"{source}: text must not contain NUL")
    return read


def _bearer(request: Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
