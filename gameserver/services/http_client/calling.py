"""A call to a declared web service: where it goes, what is sent, and what an answer says."""

import asyncio
import codecs
import re
import time
import zlib
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlencode

import httpx
import msgspec

from gameserver.apps import App
from gameserver.services.http_client.base import HttpClientSettings, NoAnswer, UnknownService, WebService
from gameserver.wire import json
from gameserver.wire.errors import GameError, InvalidParameterValue
from gameserver.wire.outgoing import SAFE, Answer, Caller, Outgoing, Unanswered

REDIRECTS_MAX = 3
HEADERS_MAX = 64
PATH_MAX = 8000  # characters
USER_AGENT = "gameserver"
REDIRECTS = frozenset({301, 302, 303, 307, 308})
OURS = frozenset(  # what the connection needs; a caller's are left out
    {"connection", "content-length", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
)
NO_CHARSET = "punycode"  # though Python reads texts so, in a time that grows with the square of their length
_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}")
_UNFIT = re.compile("[\x00-\x08\x0a-\x1f\x7f]")
_BOUNDARIES = re.compile(r"[/\\]")


class Call(msgspec.Struct):
    """What a caller wants of a web service. Travels as the payload of a job where nobody waits."""

    service_code: str
    method: str
    path: str
    query: dict[str, Any] | None
    headers: dict[str, Any] | None
    content: str | None = None
    content_type: str = ""
    accept: str = "*/*"


async def send(outgoing: Outgoing, app: App, call: Call) -> Answer:
    """Call a service. Raises `UnknownService`, `InvalidParameterValue` and `NoAnswer`.

    A GET or a HEAD goes where the service redirects it, if that is the declared host.
    """
    known = app.section(HttpClientSettings).services.get(call.service_code)
    if known is None:
        raise UnknownService(f"the app declares no web service {call.service_code[:64]!r}")
    url = address(known, call.path, call.query)
    headers = headers_of(known, call)
    content = None if call.content is None else call.content.encode()
    caller = Caller(
        f"{app.id}/{call.service_code}",
        tuple(known.networks),
        await asyncio.to_thread(_authorities, known, app.path) if known.authorities_file else "",
    )
    until = time.monotonic() + known.timeout_seconds
    for _ in range(REDIRECTS_MAX + 1):
        try:
            answer = await outgoing.exchange(
                caller,
                call.method,
                str(url),
                headers=headers,
                content=content,
                seconds=max(0.0, until - time.monotonic()),
                bytes_max=known.answer_bytes,
            )
        except Unanswered as error:
            raise NoAnswer(f"the web service {call.service_code!r} gave no answer: {error}") from None
        further = _redirected(url, call.method, answer)
        if further is None:
            break
        url = further
    return answer


def _authorities(known: WebService, folder: Path) -> str:
    try:
        return known.authorities(folder)
    except (OSError, ValueError):
        raise NoAnswer("the certificates that vouch for the web service cannot be read") from None


# Where to


def address(known: WebService, path: str, query: Mapping[str, Any] | None) -> httpx.URL:
    """Join the address of a service and a path. Raises `InvalidParameterValue` for one that leaves it."""
    if len(path) > PATH_MAX or _UNFIT.search(path):
        raise InvalidParameterValue(f"data.path: expected at most {PATH_MAX} characters, without line ends")
    place = path.partition("?")[0].partition("#")[0]
    if any(unquote(unquote(part)) in (".", "..") for part in _BOUNDARIES.split(place)):
        raise InvalidParameterValue("data.path: it leads out of the declared address")
    base = known.url.rstrip("/")
    text = base if not path else base + path if path.startswith("?") else f"{base}/{path.lstrip('/')}"
    if pairs := [(name, _text(value)) for name, value in (query or {}).items() if value is not None]:
        text, _, _ = text.partition("#")
        text += ("&" if "?" in text else "?") + urlencode(pairs, quote_via=quote)
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        raise InvalidParameterValue("data.path: with the declared address it makes no address") from None
    if _origin(url) != _origin(httpx.URL(known.url)):
        raise InvalidParameterValue("data.path: it leads out of the declared address")
    return url


def _redirected(url: httpx.URL, method: str, answer: Answer) -> httpx.URL | None:
    """Return where a redirect leads, if that is where we are; elsewhere it is an answer like any other."""
    if answer.status not in REDIRECTS or method not in SAFE:
        return None
    try:
        further = url.join(answer.header(b"location"))
    except httpx.InvalidURL:
        return None
    return further if answer.header(b"location") and _origin(further) == _origin(url) else None


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.encode_free(value).decode()


# What is sent


def headers_of(known: WebService, call: Call) -> list[tuple[str, str]]:
    """Return the headers of a call: the caller's own go before declared ones, and those before ours.

    Raises `InvalidParameterValue` for what would break out of its line.
    """
    own = call.headers or {}
    if len(own) > HEADERS_MAX:
        raise InvalidParameterValue(f"data.headers: at most {HEADERS_MAX}")
    layers: list[Iterable[tuple[str, str]]] = [
        ((name, _text(value)) for name, value in own.items() if value is not None),
        ((name, secret.value) for name, secret in known.secret_headers.items()),
        known.headers.items(),
        [("Content-Type", call.content_type)] if call.content_type else [],
        [("Accept", call.accept)] if known.default_accept else [],
        [("Accept-Encoding", "identity"), ("User-Agent", USER_AGENT)],
    ]
    found: dict[str, tuple[str, str]] = {}
    for layer in layers:
        for name, value in layer:
            if not _NAME.fullmatch(name) or _UNFIT.search(value):
                raise InvalidParameterValue("data.headers: expected names and values that fit on a line")
            if name.lower() not in OURS:
                found.setdefault(name.lower(), (name, value.strip(" \t")))
    return list(found.values())


# What comes back


def text_of(answer: Answer) -> str:
    """Return the text of an answer, in the charset that it names; what cannot be read is marked."""
    named = re.search(r"charset=\"?([\w.:-]+)", answer.header(b"content-type"), re.IGNORECASE)
    body = unpacked(answer)
    try:
        charset = codecs.lookup(named[1] if named else "utf-8").name
        text = body.decode("utf-8" if charset == NO_CHARSET else charset, "replace")
    except (LookupError, UnicodeError):  # no such charset
        text = body.decode("utf-8", "replace")
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()


def json_of(answer: Answer) -> Any:
    """Return the JSON of an answer; None where it is none, or none that clients could read."""
    body = unpacked(answer).removeprefix(b"\xef\xbb\xbf")
    try:
        return json.decode_any(json.checked(body)) if body.strip() else None
    except (GameError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def unpacked(answer: Answer) -> bytes:
    """Return the body, unpacked if the service packs without being asked to; no more than is usual."""
    if answer.header(b"content-encoding").strip().lower() not in ("gzip", "x-gzip"):
        return answer.body
    try:
        return zlib.decompressobj(wbits=31).decompress(answer.body, 8 << 20)
    except zlib.error:
        return answer.body


def is_good(answer: Answer) -> bool:
    """Tell whether the service has done what it was asked to."""
    return HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES
