"""The operations: each sends one kind of body and takes one kind of answer.

The call is made before the packet's transaction opens, and once for all tries of the packet. A packet that is
repeated later gets the answer it got; one whose server died in between calls the service again.
"""

import secrets
from collections.abc import Awaitable, Callable
from http import HTTPMethod
from typing import Annotated, Any, TypedDict
from urllib.parse import urlencode

import msgspec
from msgspec import UNSET, Meta, UnsetType

from gameserver.jobs import Job, JobRun, enqueue
from gameserver.players.app_log import AppLog
from gameserver.rpc import Access, Context, Tx
from gameserver.services.http_client.base import HttpClientSettings, NoAnswer, UnknownService, service
from gameserver.services.http_client.calling import (
    Call,
    address,
    headers_of,
    is_good,
    json_of,
    send,
    text_of,
)
from gameserver.wire import json
from gameserver.wire.errors import GameError, InvalidParameterValue
from gameserver.wire.outgoing import Answer, Outgoing
from gameserver.wire.shapes import FREE, FreeValue, Reply, Request

S2S = "s2s"
PARTS_MAX = 64  # of a multipart form
JSON_ACCEPT, TEXT_ACCEPT = "application/json, */*;q=0.8", "text/plain, */*;q=0.8"
Fields = Annotated[dict[str, Any] | str | None, FREE]  # old scripts send "" for none

# Requests and replies


class To(Request):
    service_code: Annotated[str, Meta(description="The code under which the app declares the service.")]
    path: Annotated[
        str | None, Meta(description="What comes behind the declared address; it may bring a query.")
    ] = None
    query: Annotated[Fields, Meta(description="Values of a query, by name.")] = None
    headers: Annotated[Fields, Meta(description="Headers, which go before those that the app declares.")] = (
        None
    )


class ToJson(To):
    json: Annotated[FreeValue, Meta(description="The body; without it there is none.")] = None


class ToText(To):
    text: Annotated[str | None, Meta(description="The body.")] = None


class ToForm(To):
    form: Annotated[Fields, Meta(description="Fields of the form, by name.")] = None
    form_data: Annotated[Fields, Meta(description="The same as form.")] = None


class Part(Request):
    """A field of a multipart form."""

    key: Annotated[str, Meta(min_length=1, max_length=256, description="The field's name.")]
    value: Annotated[FreeValue, Meta(description="The field's value.")] = None
    value_type: Annotated[str | None, Meta(description="string, the one kind that can be sent.")] = None


class ToParts(To):
    form: Annotated[
        list[Part] | dict[str, Any] | None,
        FREE,
        Meta(description="Fields of the form: a list in their order, or values by name."),
    ] = None
    form_data: Annotated[list[Part] | dict[str, Any] | None, FREE, Meta(description="The same as form.")] = (
        None
    )


class Parse(Request):
    path: Annotated[str | None, Meta(description="What Parse was asked for.")] = None
    query: Annotated[Fields, Meta(description="What Parse was asked for.")] = None
    session_token: Annotated[str | None, Meta(description="A session at Parse.")] = None


Status = Annotated[int, Meta(description="The HTTP status that the service answered with.")]


class JsonAnswer(Reply):
    status_code: Status
    json: Annotated[FreeValue, Meta(description="What the service answered; null where it is no JSON.")]
    response: Annotated[
        FreeValue | UnsetType, Meta(description="The same, under its older name, for servers.")
    ] = UNSET


class TextAnswer(Reply):
    status_code: Status
    text: Annotated[str, Meta(description="What the service answered.")]
    json: Annotated[
        FreeValue | UnsetType,
        Meta(description="The same as JSON, of POST_FORM_RESPONSE_TEXT alone."),
    ] = UNSET
    response: Annotated[str | UnsetType, Meta(description="The same, under its older name, for servers.")] = (
        UNSET
    )


class HeadAnswer(Reply):
    status_code: Status


# Rules


def prepared(method: str, accept: str = "*/*") -> Callable[[Context, Any], Awaitable[Answer]]:
    """Make what calls a service, for an operation's `prepare`."""

    async def call(ctx: Context, request: To) -> Answer:
        return await send(ctx.core.get(Outgoing), ctx.app, call_of(request, method, accept))

    return call


def call_of(request: To, method: str, accept: str) -> Call:
    """Return the call that a request is for. Raises `InvalidParameterValue`."""
    content, content_type = body_of(request)
    return Call(
        request.service_code,
        method,
        request.path or "",
        fields(request.query, "data.query"),
        fields(request.headers, "data.headers"),
        content,
        content_type,
        accept,
    )


def body_of(request: To) -> tuple[str | None, str]:
    """Return the body of a call and its type."""
    match request:
        case ToJson(json=None):
            return None, ""
        case ToJson(json=value):
            return json.encode_free(value).decode(), "application/json"
        case ToText(text=text):
            return text or "", "text/plain; charset=utf-8"
        case ToForm():
            form = fields(request.form if request.form is not None else request.form_data, "data.form")
            return urlencoded(form or {}), "application/x-www-form-urlencoded"
        case ToParts():
            parts = request.form if request.form is not None else request.form_data
            return multipart(parts or [])
    return None, ""


def fields(value: dict[str, Any] | str | None, where: str) -> dict[str, Any] | None:
    """Return an object that may be missing or empty text. Raises `InvalidParameterValue`."""
    if isinstance(value, str):
        if value.strip():
            raise InvalidParameterValue(f"{where}: expected an object")
        return None
    return value


def urlencoded(form: dict[str, Any]) -> str:
    """Return a form as it travels. Lists are fields that come several times; null is none."""
    pairs = []
    for name, value in form.items():
        values = value if isinstance(value, list) else [value]
        pairs += [(name, plain(one)) for one in values if one is not None]
    return urlencode(pairs)


def multipart(form: list[Part] | dict[str, Any]) -> tuple[str, str]:
    """Return a multipart form and its type. Raises `InvalidParameterValue` for fields that it cannot have."""
    if isinstance(form, dict):
        form = [Part(key=name, value=value) for name, value in form.items()]
    if len(form) > PARTS_MAX:
        raise InvalidParameterValue(f"data.form: at most {PARTS_MAX} fields")
    boundary = secrets.token_hex(16)
    text = ""
    for index, part in enumerate(form):
        if part.value_type not in (None, "", "string"):
            raise InvalidParameterValue(f"data.form[{index}].valueType: only text can be sent")
        name = "".join(f"%{ord(c):02X}" if c in '"\r\n' else c for c in part.key)
        value = plain(part.value) if part.value is not None else ""
        text += f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
    return f"{text}--{boundary}--\r\n", f"multipart/form-data; boundary={boundary}"


def plain(value: Any) -> str:
    """Return a value of a form as text."""
    return value if isinstance(value, str) else json.encode_free(value).decode()


# Operations


class _Calls(TypedDict):
    tx: Tx
    access: Access
    reaches_out: bool
    errors: tuple[type[GameError], ...]


CALLS: _Calls = {
    "tx": Tx.NONE,
    "access": Access.SERVER,
    "reaches_out": True,
    "errors": (UnknownService, NoAnswer),
}


def as_json(ctx: Context) -> JsonAnswer:
    """Return the answer of the service, as JSON."""
    value = json_of(ctx.prepared)
    reply = JsonAnswer(status_code=ctx.prepared.status, json=value)
    if ctx.origin.face == S2S:
        reply.response = value
    return reply


def as_text(ctx: Context) -> TextAnswer:
    """Return the answer of the service, as text."""
    text = text_of(ctx.prepared)
    reply = TextAnswer(status_code=ctx.prepared.status, text=text)
    if ctx.origin.face == S2S:
        reply.response = text
    return reply


@service.operation("GET_RESPONSE_JSON", prepare=prepared(HTTPMethod.GET, JSON_ACCEPT), **CALLS)
async def get_to_json(ctx: Context, request: To) -> JsonAnswer:
    """Get JSON from a web service.

    Refused: a code that the app does not declare; a service that does not answer.
    """
    return as_json(ctx)


@service.operation("GET_RESPONSE_TEXT", prepare=prepared(HTTPMethod.GET, TEXT_ACCEPT), **CALLS)
async def get_to_text(ctx: Context, request: To) -> TextAnswer:
    """Get text from a web service.

    Refused: a code that the app does not declare; a service that does not answer.
    """
    return as_text(ctx)


@service.operation("HEAD", prepare=prepared(HTTPMethod.HEAD), **CALLS)
async def head(ctx: Context, request: To) -> HeadAnswer:
    """Ask a web service how it would answer a GET.

    Refused: a code that the app does not declare; a service that does not answer.
    """
    return HeadAnswer(status_code=ctx.prepared.status)


@service.operation("POST_JSON_RESPONSE_JSON", prepare=prepared(HTTPMethod.POST, JSON_ACCEPT), **CALLS)
async def post_json_to_json(ctx: Context, request: ToJson) -> JsonAnswer:
    """Post JSON to a web service; the answer is JSON.

    Refused: a code that the app does not declare; a service that does not answer.
    """
    return as_json(ctx)


@service.operation(
    "POST_JSON_RESPONSE_TEXT",
    "POSRESPONSE_TEXT",
    "POSTEXT",
    prepare=prepared(HTTPMethod.POST, TEXT_ACCEPT),
    **CALLS,
)
async def post_json_to_text(ctx: Context, request: ToJson) -> TextAnswer:
    """Post JSON to a web service; the answer is text.

    Refused: a code that the app does not declare; a service that does not answer.
    """
    return as_text(ctx)


@service.operation("POST_FORM_RESPONSE_JSON", prepare=prepared(HTTPMethod.POST, JSON_ACCEPT), **CALLS)
async def post_form_to_json(ctx: Context, request: ToForm) -> JsonAnswer:
    """Post a form to a web service; the answer is JSON.

    Refused: a code that the app does not declare; a service that does not answer.
    """
    return as_json(ctx)


@service.operation("POST_FORM_RESPONSE_TEXT", prepare=prepared(HTTPMethod.POST, TEXT_ACCEPT), **CALLS)
async def post_form_to_text(ctx: Context, request: ToForm) -> TextAnswer:
    """Post a form to a web service; the answer is text.

    Refused: a code that the app does not declare; a service that does not answer.
    """
    reply = as_text(ctx)
    if (value := json_of(ctx.prepared)) is not None:  # as the reference shows it
        reply.json = value
    return reply


@service.operation("POST_MULTIPART_RESPONSE_JSON", prepare=prepared(HTTPMethod.POST, JSON_ACCEPT), **CALLS)
async def post_multipart_to_json(ctx: Context, request: ToParts) -> JsonAnswer:
    """Post a multipart form to a web service; the answer is JSON.

    Refused: a code that the app does not declare; a service that does not answer.
    """
    return as_json(ctx)


@service.operation("POST_TEXT_RESPONSE_JSON", prepare=prepared(HTTPMethod.POST, JSON_ACCEPT), **CALLS)
async def post_text_to_json(ctx: Context, request: ToText) -> JsonAnswer:
    """Post text to a web service; the answer is JSON.

    Refused: a code that the app does not declare; a service that does not answer.
    """
    return as_json(ctx)


@service.operation("POST_TEXT_RESPONSE_TEXT", prepare=prepared(HTTPMethod.POST, TEXT_ACCEPT), **CALLS)
async def post_text_to_text(ctx: Context, request: ToText) -> TextAnswer:
    """Post text to a web service; the answer is text.

    Refused: a code that the app does not declare; a service that does not answer.
    """
    return as_text(ctx)


@service.operation("PUT_JSON_RESPONSE_JSON", prepare=prepared(HTTPMethod.PUT, JSON_ACCEPT), **CALLS)
async def put_json_to_json(ctx: Context, request: ToJson) -> JsonAnswer:
    """Put JSON to a web service; the answer is JSON.

    Refused: a code that the app does not declare; a service that does not answer.
    """
    return as_json(ctx)


@service.operation("PUT_TEXT_RESPONSE_TEXT", prepare=prepared(HTTPMethod.PUT, TEXT_ACCEPT), **CALLS)
async def put_text_to_text(ctx: Context, request: ToText) -> TextAnswer:
    """Put text to a web service; the answer is text.

    Refused: a code that the app does not declare; a service that does not answer.
    """
    return as_text(ctx)


@service.operation("PATCH_JSON_RESPONSE_JSON", prepare=prepared(HTTPMethod.PATCH, JSON_ACCEPT), **CALLS)
async def patch_json_to_json(ctx: Context, request: ToJson) -> JsonAnswer:
    """Patch with JSON at a web service; the answer is JSON.

    Refused: a code that the app does not declare; a service that does not answer.
    """
    return as_json(ctx)


@service.operation("PATCH_TEXT_RESPONSE_TEXT", prepare=prepared(HTTPMethod.PATCH, TEXT_ACCEPT), **CALLS)
async def patch_text_to_text(ctx: Context, request: ToText) -> TextAnswer:
    """Patch with text at a web service; the answer is text.

    Refused: a code that the app does not declare; a service that does not answer.
    """
    return as_text(ctx)


@service.operation("DELETE", prepare=prepared(HTTPMethod.DELETE, TEXT_ACCEPT), **CALLS)
async def delete(ctx: Context, request: ToJson) -> TextAnswer:
    """Delete at a web service; the answer is text.

    Refused: a code that the app does not declare; a service that does not answer.
    """
    return as_text(ctx)


@service.operation("DELETE_JSON_RESPONSE_JSON", prepare=prepared(HTTPMethod.DELETE, JSON_ACCEPT), **CALLS)
async def delete_json_to_json(ctx: Context, request: ToJson) -> JsonAnswer:
    """Delete at a web service; the answer is JSON.

    Refused: a code that the app does not declare; a service that does not answer.
    """
    return as_json(ctx)


@service.operation("POST_JSON_OFFBOARD", tx=Tx.WRITE, access=Access.SERVER, errors=(UnknownService,))
async def post_json_offboard(ctx: Context, request: ToJson) -> None:
    """Have JSON posted to a web service, soon after and without waiting for its answer.

    It is posted once the packet is committed, at least once. Whatever comes back but success stands in the
    app's log. Refused: a code that the app does not declare.
    """
    call = call_of(request, HTTPMethod.POST, JSON_ACCEPT)
    known = ctx.app.section(HttpClientSettings).services.get(call.service_code)
    if known is None:
        raise UnknownService(f"the app declares no web service {call.service_code[:64]!r}")
    address(known, call.path, call.query)
    headers_of(known, call)
    payload = {"app": ctx.app.id, "source": ctx.origin.name, "call": msgspec.to_builtins(call)}
    lane = f"{ctx.app.id}/{call.service_code}"
    await enqueue(ctx.tx, OFFBOARD, ctx.core.new_id(), payload, at_ms=ctx.now_ms, lane=lane)


@service.operation("PARSE_REQUEST", tx=Tx.NONE, access=Access.SERVER, errors=(UnknownService,))
async def parse_request(ctx: Context, request: Parse) -> JsonAnswer:
    """Ask Parse, a service that is no more. Refused, always."""
    raise UnknownService("Parse is no more; declare your own server as a web service")


# Work without a packet


async def post(run: JobRun) -> None:
    """Post what nobody waits for. A failure is told in the app's log, and nothing is posted again for it."""
    app = next((app for app in run.apps if app.id == run.payload["app"]), None)
    if app is None:
        return
    call = msgspec.convert(run.payload["call"], Call)
    try:
        answer = await send(run.get(Outgoing), app, call)
        failure = None if is_good(answer) else f"it answered {answer.status}"
    except GameError as error:
        failure = str(error)
    if failure is None:
        return
    run.get(AppLog).note(
        app,
        "error",
        f"POST_JSON_OFFBOARD to {call.service_code!r}: {failure}",
        {"path": call.path},
        face=service.name,
        source=run.payload["source"],
    )


OFFBOARD = Job("httpClient.offboard", post, seconds_max=70.0, at_once=64, at_once_in_lane=4)
service.runs(OFFBOARD)
