"""Incoming webhooks: others call an address of the app, and a script answers.

    /webhook/<appId>/<name>[/<secret>][/<rest>]

Any method is taken. Whoever calls gets what the script says, and no envelope. A secret stands in the address
or in the header `x-bc-secret`, as the app declares; without the right one no script runs.
"""

import hmac
from collections.abc import Mapping
from http import HTTPMethod, HTTPStatus
from itertools import islice
from typing import Any
from urllib.parse import parse_qsl

import msgspec
import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive

from gameserver.apps import App, LiveApps
from gameserver.apps.networks import admits
from gameserver.players.app_log import AppLog
from gameserver.players.lockout import LockedOut
from gameserver.players.webhooks.settings import IN_URL, SAMPLE, SECTION, Incoming, WebhookSettings
from gameserver.rpc import Caller, Face, Origin, PacketFailed, Packets
from gameserver.scripts.bridge import RUN
from gameserver.sessions import SessionsUnavailable
from gameserver.wire import json
from gameserver.wire.errors import GameError, PacketTooLarge, RateLimited
from gameserver.wire.http import read_body
from gameserver.wire.packet import Message, check_message

log = structlog.get_logger(__name__)

FACE = "webhook"
PROOF = "x-bc-secret"  # the header with the secret
METHODS = [str(method) for method in (HTTPMethod.GET, HTTPMethod.POST, HTTPMethod.PUT, HTTPMethod.PATCH)]
METHODS.append(str(HTTPMethod.DELETE))
PARAMETERS_MAX = 1000
HEADERS_MAX = 64  # that a script adds
NAME_MAX, VALUE_MAX = 128, 4096  # characters of a header
WITHOUT_BODY = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.RESET_CONTENT, HTTPStatus.NOT_MODIFIED})
FORM = "application/x-www-form-urlencoded"
CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": ", ".join(METHODS),
    "Access-Control-Allow-Headers": f"Content-Type, {PROOF}",
    "Access-Control-Max-Age": "86400",
}
OURS = frozenset(  # headers that a script does not decide about
    {
        *("connection", "content-encoding", "content-length", "date", "keep-alive", "proxy-authenticate"),
        *("server", "set-cookie", "te", "trailer", "transfer-encoding", "upgrade", "content-type"),
        *("strict-transport-security", "x-content-type-options", "clear-site-data"),
    }
)


class Webhooks:
    """What the routes do."""

    def __init__(self, apps: LiveApps, packets: Packets) -> None:
        self.apps = apps
        self.core = packets.core
        self.runner = packets.runner

    async def answer(self, request: Request) -> Response:
        """Answer one call."""
        if request.method == "OPTIONS":
            return Response(status_code=204, headers=CORS)
        app, hook, rest = self._find(request)
        if app is None or hook is None:
            return _refuse(404, "there is no such webhook")
        address = request.client.host if request.client else ""
        if not admits(hook.addresses, address):
            return _refuse(403, "this address may not call")
        name = request.path_params["name"]
        try:
            behind = await self._admit(app, hook, address, _past_secret(request, hook, rest))
            if behind is None:
                return _refuse(403, "the secret does not fit")
            await self._count(app, hook, name)
            body = await read_body(dict(request.scope["headers"]), _receive_of(request))
            said = await self._run(app, hook, name, address, _data(request, body, behind))
        except (RateLimited, LockedOut) as error:
            return _refuse(429, str(error))
        except PacketTooLarge as error:
            return _refuse(413, str(error))
        except GameError as error:
            return _refuse(400, str(error))
        except (PacketFailed, SessionsUnavailable) as error:
            log.warning("webhook_postponed", reason=str(error))
            return _refuse(503, "the server cannot answer just now")
        return _refuse(500, "the script of the webhook has failed") if said is None else _response(said.value)

    def _find(self, request: Request) -> tuple[App | None, Incoming | None, str]:
        app = self.apps.find(request.path_params["app_id"])
        if app is None or not app.enabled:
            return None, None, ""
        hook = app.section(WebhookSettings).incoming.get(request.path_params["name"])
        return app, hook, request.path_params.get("rest", "")

    async def _admit(self, app: App, hook: Incoming, address: str, behind: str | None) -> str | None:
        """Return what is behind a secret that fits, as `_past_secret` has found it.

        Wrong ones count as failed logins of the address do. Raises `LockedOut` for an address with many.
        """
        if hook.secret:
            attempt = self.core.accounts.attempt(app, "Webhook", None, address)
            await attempt.enter(charge=False)
            if behind is None:
                await attempt.fail(charged=False)
        return behind

    async def _count(self, app: App, hook: Incoming, name: str) -> None:
        if not await self.core.sessions.hit(f"webhook/{app.id}/{name}", hook.calls_per_minute, 60):
            raise RateLimited("too many calls in a minute")

    async def _run(
        self, app: App, hook: Incoming, name: str, address: str, data: dict[str, Any]
    ) -> "_Said | None":
        """Run the script; returns its result, None where it has failed. Raises what came before it ran."""
        text = json.encode_free({"scriptName": hook.script, "scriptData": data})
        message = check_message(Message(*RUN, msgspec.Raw(text)), text)
        entry = await self.runner.call(message, app, Origin(FACE, address, name), caller=Caller.SCRIPT)
        told = msgspec.json.decode(entry)
        if told["status"] == HTTPStatus.OK:
            return _Said(told["data"]["response"]) if told["data"]["success"] else None
        if told["reason_code"] == RateLimited.reason_code:
            raise RateLimited("too many scripts run just now")
        why = f"webhook {name}: {told['status_message']}"
        self.core.get(AppLog).note(app, "error", why, face=FACE, source=hook.script)
        return None


class _Said(msgspec.Struct):
    """What a script has said, be it null."""

    value: Any


def _receive_of(request: Request) -> Receive:
    return request.receive


def _past_secret(request: Request, hook: Incoming, rest: str) -> str | None:
    """Return what is behind name and secret in the path; None where the secret does not fit."""
    given, behind = request.headers.get(PROOF, ""), rest
    if hook.secret and hook.secret_in == IN_URL:
        given, _, behind = rest.partition("/")
    if hook.secret and not hmac.compare_digest(hook.secret.encode(), given.encode()):
        return None
    return behind


# What a script is told


def _data(request: Request, body: bytes, rest: str) -> dict[str, Any]:
    query = request.scope["query_string"].decode("latin-1")
    parsed, text = _body(body)
    pairs = _pairs(query)
    if text is not None and request.headers.get("content-type", "").partition(";")[0].strip() == FORM:
        pairs += _pairs(text)
    headers = {name: _clean(value) for name, value in request.headers.items() if name != PROOF}
    return {
        "headers": headers,
        "parameters": {_clean(name): _clean(value) for name, value in pairs},
        "queryString": _clean(query),
        "jsonBody": parsed,
        "stringBody": text,
        "pathBalance": _clean(rest),
        "requestUrl": _clean(_url(request, query)),
    }


def _url(request: Request, query: str) -> str:
    """Return the address as it was called: who checks a signature of it needs it letter by letter."""
    scope = request.scope
    path = scope.get("raw_path") or scope["path"].encode()
    host = request.headers.get("host", "")
    return f"{scope['scheme']}://{host}{path.decode('latin-1')}" + (f"?{query}" if query else "")


def _body(body: bytes) -> tuple[Any, str | None]:
    """Return a body as JSON, or as text if it is none."""
    if not body.strip():
        return None, None
    try:
        return json.decode_any(json.checked(body)), None
    except GameError:
        return None, _clean(body.decode("utf-8", "replace"))


def _pairs(text: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(text, keep_blank_values=True, max_num_fields=PARAMETERS_MAX)
    except ValueError:
        raise PacketTooLarge(f"at most {PARAMETERS_MAX} parameters") from None


def _clean(text: str) -> str:
    """Leave out of a text what no JSON of ours may hold."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()


# What the caller is told


def _response(said: Any) -> Response:
    """Return what a script wants the caller to get; what it says besides is left out."""
    told: Mapping[str, Any] = said if isinstance(said, dict) else {}
    status = _status(told.get("statusOverride"))
    content, body = "", b""
    if told.get("jsonResponse") is not None:
        content, body = "application/json", json.encode(told["jsonResponse"])
    elif isinstance(told.get("stringResponse"), str):
        content, body = "text/plain; charset=utf-8", told["stringResponse"].encode()
    if _fits(told.get("contentType")):
        content = told["contentType"]
    if status in WITHOUT_BODY:  # the next answer on the connection would begin with what is sent behind it
        content, body = "", b""
    response = Response(body, status)
    response.headers.update(CORS | {"X-Content-Type-Options": "nosniff"})
    if content:
        response.headers["Content-Type"] = content
    given = told.get("responseHeaders")
    for name, value in islice(given.items(), HEADERS_MAX) if isinstance(given, dict) else ():
        text = value if isinstance(value, str) else json.encode_free(value).decode()
        if name.lower() not in OURS and name.isascii() and _is_name(name) and _fits(text):
            response.headers[name] = text
    return response


def _status(said: Any) -> int:
    is_status = isinstance(said, int | float) and said in range(200, 600)  # 200.0 is in it, true is not
    return int(said) if is_status else HTTPStatus.OK


def _is_name(name: str) -> bool:
    return 0 < len(name) <= NAME_MAX and all(c.isalnum() or c in "!#$%&'*+.^_`|~-" for c in name)


def _fits(value: Any) -> bool:
    """Tell whether a text fits on the line of a header."""
    return isinstance(value, str) and len(value) <= VALUE_MAX and value.isascii() and value.isprintable()


def _refuse(status: int, message: str) -> Response:
    return JSONResponse({"status": status, "status_message": message}, status, CORS)


def routes(apps: LiveApps, packets: Packets) -> list[Route]:
    """The addresses of all webhooks."""
    answer = Webhooks(apps, packets).answer
    methods = [*METHODS, "OPTIONS"]
    return [
        Route("/webhook/{app_id}/{name}", answer, methods=methods),
        Route("/webhook/{app_id}/{name}/{rest:path}", answer, methods=methods),
    ]


face = Face(
    FACE,
    lambda _, apps, packets: routes(apps, packets),
    section=(SECTION, WebhookSettings, SAMPLE),
)
