"""Logs: JSON lines for programs, or coloured lines when a person looks at a terminal.

Everything goes to standard error, the web server's own messages included. What players and operators send
never appears: values under telling names are masked, and exceptions show where they happened but not their
text, which often repeats the value they tripped over.
"""

import logging
import re
import sys
import traceback
from collections.abc import Awaitable, Mapping, MutableMapping
from types import TracebackType
from typing import Any, TextIO

import structlog
from starlette.types import ASGIApp, Receive, Scope, Send

from gameserver.wire import request_ids

LEVELS = ("debug", "info", "warning", "error")
MASK = "***"
DEPTH_MAX = 8  # of nested values that are looked into; deeper ones are masked whole

_TELLING = re.compile(
    r"pass(word|phrase|wd)?$|passwd|password|secret|token|credential|cookie|authorization|api_?key|private_?key"
    r"|session_?id|signature|digest|external_?id|anonymous_?id|x-sig",
    re.IGNORECASE,
)
_TEXT_IS_SAFE = (OSError,)  # says which file or address, which operators need; never what a player sent

Event = MutableMapping[str, Any]


def configure(level: str = "info", *, console: bool | None = None, stream: TextIO | None = None) -> None:
    """Route every log of this process to `stream` (standard error). Raises `ValueError` for an unknown level.

    `console`: lines for people instead of JSON; by default when the stream is a terminal.
    """
    if level not in LEVELS:
        raise ValueError(f"a log level is one of {', '.join(LEVELS)}")
    stream = stream or sys.stderr
    if console is None:
        console = stream.isatty()
    before: list[structlog.typing.Processor] = [
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        add_request_id,
        render_exception,
        redact,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *before,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,  # tests and worker processes configure again
    )
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        if console
        else structlog.processors.JSONRenderer()
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=before,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name, least in {"uvicorn.error": logging.WARNING, "uvicorn.access": logging.ERROR}.items():
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(max(least, root.level))
    for name in ("asyncio", "httpx", "httpcore", "alembic", "watchfiles"):
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))


def with_request_ids(app: ASGIApp) -> ASGIApp:
    """Give each request an id, which every line logged on its behalf carries."""

    def numbered(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        request_ids.begin()  # each request runs in a context of its own
        return app(scope, receive, send)

    return numbered


# Processors


def add_request_id(_: Any, __: str, event: Event) -> Event:
    """Name the request a line belongs to; unique among processes."""
    if request_id := request_ids.current():
        event["request_id"] = request_id
    return event


def redact(_: Any, __: str, event: Event) -> Event:
    """Mask the values of telling keys, at any depth."""
    for key, value in event.items():
        event[key] = MASK if _TELLING.search(key) else _redacted(value, DEPTH_MAX)
    return event


def _redacted(value: Any, depth: int) -> Any:
    if isinstance(value, Mapping):
        if not depth:
            return MASK
        return {
            key: MASK if isinstance(key, str) and _TELLING.search(key) else _redacted(item, depth - 1)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [_redacted(item, depth - 1) for item in value] if depth else MASK
    return value


def render_exception(_: Any, __: str, event: Event) -> Event:
    """Turn the exception of a line into text: where it happened and of which type."""
    info = event.pop("exc_info", None)
    if info is True:
        info = sys.exc_info()
    if isinstance(info, tuple):
        info = info[1]
    if isinstance(info, BaseException):
        event["exception"] = describe(info)
    return event


def describe(error: BaseException) -> str:
    """Tell an exception and its causes without local values, and without texts that may repeat input."""
    parts: list[str] = []
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        parts.append(_frames(current.__traceback__) + _name(current))
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    return "\n\ncaused by:\n".join(parts)


def _frames(trace: TracebackType | None) -> str:
    return "".join(traceback.format_tb(trace))


def _name(error: BaseException) -> str:
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return f"{name}: {error}" if isinstance(error, _TEXT_IS_SAFE) else name
