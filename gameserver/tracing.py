"""OpenTelemetry traces: a span for each request, each message, and each trip to SQL and Redis.

Off unless asked for, and then nothing of it is in the way of a packet: what traces is put around the server's
parts when it starts. The packages are those of the extra `otel`.
"""

import asyncio
import contextlib
import importlib.util
import os
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gameserver import __version__
from gameserver.app import GameServer
from gameserver.rpc.runner import RunMessage, messages_wrapped
from gameserver.sessions import Sessions
from gameserver.wire.errors import GameError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

NEEDED = "opentelemetry.exporter.otlp.proto.http"
PATHS = frozenset({"/dispatcher", "/dispatcherv2", "/s2sdispatcher"})
"""Paths that give a span its name; others are told beside it, for there is no end of them."""
PATH_MAX = 256
_CARRIED = (b"traceparent", b"tracestate")


def is_installed() -> bool:
    """Tell whether the packages are there that traces need."""
    try:
        return importlib.util.find_spec(NEEDED) is not None
    except ModuleNotFoundError:
        return False


@contextlib.contextmanager
def traced(server: GameServer, exporter: "SpanExporter | None" = None) -> Iterator[ASGIApp]:
    """Trace what a server does, until the end of the block; yields the application that is traced.

    Without an exporter spans go to where the variables of OpenTelemetry say, `OTEL_EXPORTER_OTLP_ENDPOINT`
    and its like, in batches.
    """
    tracing = _Tracing(exporter)
    database, sessions = server.core.database, server.core.sessions
    observe = database.observe

    def observed(kind: str, seconds: float) -> None:
        if observe is not None:
            observe(kind, seconds)
        tracing.trip(f"SQL {kind}", database.dialect, seconds)

    database.observe = observed
    calls = sessions.calls if isinstance(sessions, Sessions) else None
    if calls is not None:
        calls.command = tracing.command(calls.command)  # type: ignore[method-assign]  # in this one server
    try:
        with messages_wrapped(tracing.message):
            yield tracing.around(server.site)
    finally:
        database.observe = observe
        if calls is not None:
            del calls.command  # what the class has is there again
        tracing.close()


class _Tracing:
    def __init__(self, exporter: "SpanExporter | None") -> None:
        from opentelemetry import trace  # noqa: PLC0415 - an extra
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - as above
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - as above
        from opentelemetry.sdk.trace.export import (  # noqa: PLC0415 - as above
            BatchSpanProcessor,
            SimpleSpanProcessor,
        )
        from opentelemetry.trace.propagation.tracecontext import (  # noqa: PLC0415 - as above
            TraceContextTextMapPropagator,
        )

        self._trace = trace
        name = os.environ.get("OTEL_SERVICE_NAME", "gameserver")
        self._provider = TracerProvider(
            resource=Resource.create({"service.name": name, "service.version": __version__})
        )
        if exporter is None:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415 - as above
                OTLPSpanExporter,
            )

            self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        else:
            self._provider.add_span_processor(SimpleSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("gameserver", __version__)
        self._extract = TraceContextTextMapPropagator().extract

    def close(self) -> None:
        """Send what has not been sent."""
        self._provider.shutdown()

    def around(self, application: ASGIApp) -> ASGIApp:
        """Make a span of each request, below the one that its `traceparent` names."""

        async def traced(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await application(scope, receive, send)
                return
            headers = scope["headers"]
            carried = {name.decode(): text.decode("latin-1") for name, text in headers if name in _CARRIED}
            method, path = scope["method"][:16], scope["path"]
            with self._tracer.start_as_current_span(
                f"{method} {path}" if path in PATHS else method,
                context=self._extract(carried),
                kind=self._trace.SpanKind.SERVER,
                attributes={"http.request.method": method, "url.path": path[:PATH_MAX]},
            ) as span:

                async def noted(message: Message) -> None:
                    if message["type"] == "http.response.start":
                        span.set_attribute("http.response.status_code", message["status"])
                    await send(message)

                await application(scope, receive, noted)

        return traced

    def message(self, run: RunMessage) -> RunMessage:
        """Make a span of each message."""

        async def traced(running: Any, operation: Any, message: Any, outcome: Any) -> bytes:
            name = "unknown operation" if operation is None else operation.wire_name
            with self._tracer.start_as_current_span(
                name, record_exception=False, set_status_on_exception=False
            ) as span:
                try:
                    return await run(running, operation, message, outcome)
                except GameError as refusal:  # the words may name what players have sent
                    span.set_attribute("gameserver.reason_code", refusal.reason_code)
                    raise

        return traced

    def command(self, run: Callable[..., "asyncio.Future[Any]"]) -> Callable[..., "asyncio.Future[Any]"]:
        """Make a span of each command of Redis, from when it is wanted: those of a moment travel together."""

        def traced(*words: Any) -> "asyncio.Future[Any]":
            reply, span = run(*words), self._trace.get_current_span()
            if span.is_recording():
                trip = self._tracer.start_span(
                    f"Redis {words[0]}",
                    kind=self._trace.SpanKind.CLIENT,
                    attributes={"db.system.name": "redis"},
                )
                reply.add_done_callback(lambda _: trip.end())
            return reply

        return traced

    def trip(self, name: str, system: str, seconds: float) -> None:
        """Make a span of a trip that has just ended. One that no request waits for is left out."""
        if not self._trace.get_current_span().is_recording():
            return
        end_ns = time.time_ns()
        span = self._tracer.start_span(
            name,
            kind=self._trace.SpanKind.CLIENT,
            attributes={"db.system.name": system},
            start_time=end_ns - int(seconds * 1e9),
        )
        span.end(end_ns)
