"""The API for operators' programs: every action over HTTP, with a key, described as OpenAPI.

`GET` looks and takes arguments from the query, `DELETE` as well; the others take a JSON body. Keys are made
with `gameserver staff key add`, or in the console. There are no cookies here, so nothing to forge.
"""

import functools
import inspect
from collections.abc import Awaitable, Callable
from http import HTTPMethod, HTTPStatus
from typing import Any, get_type_hints

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from gameserver import __version__
from gameserver.admin import staff
from gameserver.admin.actions import ACTIONS
from gameserver.admin.common import Changed, Refused, Server
from gameserver.admin.declaring import Action, Forbidden, perform
from gameserver.admin.downloads import KINDS, download
from gameserver.admin.operators import Operator
from gameserver.admin.rights import MEANINGS
from gameserver.sessions import SessionsUnavailable
from gameserver.storage import StorageError
from gameserver.wire import json

PATH = "/api/v1"
BODY_BYTES_MAX = 1 << 20
VIA = "api"
AS = "as"
"""The member of the query that has a list as a file."""
IN_QUERY = (HTTPMethod.GET, HTTPMethod.DELETE)
"""Methods whose arguments are in the query."""


TAKEN = ("reason", AS)
"""What is in a query beside arguments and columns."""


class ApiError(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why a call was not done."""

    code: str
    """`unauthorized`, `forbidden`, `invalid`, `refused`, `conflict` or `away`."""
    message: str
    stored: str = ""
    """Of a conflict: the text that is stored now."""


class Problem(msgspec.Struct, frozen=True):
    """The body of every answer that is no success."""

    error: ApiError


class _BadArguments(Exception):
    """The arguments are not those of the action."""


def routes(server: Server) -> list[BaseRoute]:
    """The pages of the API."""
    # Paths with fewer arguments first: `players/find` is no player.
    actions = sorted(ACTIONS.values(), key=lambda each: each.path.count("{"))
    return [
        Route(f"{PATH}/openapi.json", _describe, methods=["GET"]),
        *(Route(PATH + each.path, _page(server, each), methods=[each.method]) for each in actions),
    ]


async def _describe(_: Request) -> Response:
    return Response(_description(), media_type="application/json")


@functools.cache
def _description() -> bytes:
    return _json(openapi())


def _page(server: Server, action: Action) -> Callable[[Request], Awaitable[Response]]:
    shape = arguments_of(action)
    names = set(action.parameters)

    async def page(request: Request) -> Response:
        try:
            by = await _who(server, request)
            if by is None:
                return _problem(
                    HTTPStatus.UNAUTHORIZED, "unauthorized", "send a key: Authorization: Bearer …"
                )
            given, reason = await _arguments(request, names)
            kind = str(given.pop(AS, "")) if action.pages else ""
            arguments = _converted(shape, given, from_text=request.method in IN_QUERY)
            by = msgspec.structs.replace(by, reason=reason)
            if kind:
                return await download(server, action, arguments, by, kind, action.name, {})
            return Response(
                _json(await perform(server, action, arguments, by)), media_type="application/json"
            )
        except Forbidden as error:
            return _problem(HTTPStatus.FORBIDDEN, "forbidden", str(error))
        except Changed as error:
            return _problem(HTTPStatus.CONFLICT, "conflict", str(error), error.data)
        except Refused as error:
            return _problem(HTTPStatus.UNPROCESSABLE_ENTITY, "refused", str(error))
        except _BadArguments as error:
            return _problem(HTTPStatus.BAD_REQUEST, "invalid", str(error))
        except (SessionsUnavailable, StorageError):
            return _problem(HTTPStatus.SERVICE_UNAVAILABLE, "away", "Redis or the database does not answer")

    return page


async def _who(server: Server, request: Request) -> Operator | None:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not key:
        return None
    entered = await staff.enter(server, key.strip(), ("key",))
    if entered is None:
        return None
    address = request.client.host if request.client else ""
    return Operator(
        entered.member.name,
        VIA,
        address,
        request.headers.get("x-request-id", ""),
        grants=entered.member.grants,
    )


async def _arguments(request: Request, names: set[str]) -> tuple[dict[str, Any], str]:
    """Return the arguments of a request as they came, and the reason."""
    given: dict[str, Any]
    if request.method in IN_QUERY:
        given = dict(request.query_params)
        if "equal" in names:  # rows are picked by their columns: ?profile_id=…
            equal = {name: given.pop(name) for name in list(given) if name not in names and name not in TAKEN}
            given = {**given, "equal": equal}
    else:
        given = await _body(request)
    reason = given.pop("reason", "")
    return {**given, **request.path_params}, str(reason)


async def _body(request: Request) -> dict[str, Any]:
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > BODY_BYTES_MAX:
                raise _BadArguments(f"a body has at most {BODY_BYTES_MAX} bytes")
    except ClientDisconnect:
        raise _BadArguments("the body has no end") from None
    try:
        return msgspec.json.decode(bytes(body), type=dict[str, Any]) if body.strip() else {}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise _BadArguments("the body is a JSON object with the arguments") from None


def _converted(shape: type[msgspec.Struct], given: dict[str, Any], *, from_text: bool) -> dict[str, Any]:
    try:
        arguments = msgspec.convert(given, shape, strict=not from_text)
    except (msgspec.ValidationError, RecursionError) as error:
        raise _BadArguments(str(error)) from None
    return {name: getattr(arguments, name) for name in shape.__struct_fields__}


@functools.cache
def arguments_of(action: Action) -> type[msgspec.Struct]:
    """Return what an action takes, as a type that decodes it."""
    hints = get_type_hints(action.do)
    fields: list[Any] = [
        (name, hints[name])
        if parameter.default is inspect.Parameter.empty
        else (name, hints[name], parameter.default)
        for name, parameter in action.parameters.items()
    ]
    return msgspec.defstruct(action.name, fields, forbid_unknown_fields=True, kw_only=True)


def _problem(status: HTTPStatus, code: str, message: str, stored: str = "") -> Response:
    headers = {"WWW-Authenticate": "Bearer"} if status == HTTPStatus.UNAUTHORIZED else None
    return Response(_json(Problem(ApiError(code, message, stored))), status, headers, "application/json")


def _json(value: Any) -> bytes:
    return json.encode(value)


# What describes it


def openapi() -> dict[str, Any]:
    """Describe the API as OpenAPI 3.1."""
    shapes = [arguments_of(action) for action in ACTIONS.values()]
    _, components = msgspec.json.schema_components(
        [*shapes, Problem], ref_template="#/components/schemas/{name}"
    )
    paths: dict[str, dict[str, Any]] = {}
    for action, shape in zip(ACTIONS.values(), shapes, strict=True):
        described = components.pop(shape.__name__)
        paths.setdefault(action.path, {})[action.method.lower()] = _described(action, described)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "gameserver: the API for operators",
            "version": __version__,
            "description": (inspect.getdoc(inspect.getmodule(openapi)) or ""),
        },
        "servers": [{"url": PATH}],
        "security": [{"key": []}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


def _described(action: Action, shape: dict[str, Any]) -> dict[str, Any]:
    properties, required = dict(shape.get("properties", {})), set(shape.get("required", []))
    in_path = [name for name in properties if f"{{{name}}}" in action.path]
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": properties.pop(name)} for name in in_path
    ]
    reason = {"type": "string", "description": "Why; kept in the journal of staff."}
    described: dict[str, Any] = {
        "operationId": action.name,
        "tags": [
            action.path.split("/")[3] if action.path.startswith("/apps/{app}/") else action.path.split("/")[1]
        ],
        "summary": action.summary,
        "description": f"Needs the right `{action.right}`: {MEANINGS[action.right]}.\n\n"
        + (inspect.getdoc(action.do) or ""),
        "responses": {
            "200": {"description": "What the action gives.", "content": {"application/json": {"schema": {}}}},
            "default": {
                "description": "It was not done.",
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
            },
        },
    }
    if action.method in IN_QUERY:
        if action.changes:
            properties["reason"] = reason
        if action.pages:
            properties[AS] = {"enum": list(KINDS), "description": "All rows, as a file that is streamed."}
        parameters += [
            {"name": name, "in": "query", "required": name in required, "schema": schema}
            for name, schema in properties.items()
        ]
    else:
        body = {"type": "object", "properties": {**properties, "reason": reason}}
        needed = sorted((required - set(in_path)) | ({"reason"} if action.dangerous else set()))
        described["requestBody"] = {
            "content": {"application/json": {"schema": body | ({"required": needed} if needed else {})}}
        }
    return {**described, "parameters": parameters}
