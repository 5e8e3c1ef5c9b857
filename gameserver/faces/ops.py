"""For operators and their tools: is the server alive, is it ready, what does it count."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import NamedTuple

import msgspec
import structlog
from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gameserver.apps import App, LiveApps
from gameserver.jobs import Scheduler
from gameserver.realtime import Channels
from gameserver.rpc import Core, Face, metrics
from gameserver.sessions import Sessions, SessionsUnavailable
from gameserver.storage import StorageError
from gameserver.wire.clock import FixedClock

log = structlog.get_logger(__name__)

READY_SECONDS_MAX = 2.0  # longest wait for Redis and for SQL; orchestrators ask every few seconds
ADVANCE_SECONDS_MAX = 10 * 366 * 86400
BODY_BYTES_MAX = 1024


async def healthz(_: Request) -> Response:
    """Say that the process is alive."""
    return JSONResponse({"status": "alive"})


def routes(core: Core, apps: LiveApps) -> list[Route]:
    """Return the pages for operators. `/_clock` is among them only where time stands still."""

    async def readyz(_: Request) -> Response:
        asked = _ask("sql", core.database.check), _ask("sessions", core.sessions.ping)
        sql, sessions = await asyncio.gather(*asked)
        ready = sql.trouble == sessions.trouble == ""
        shown = {"sql": sql.trouble or "ok", "sessions": sessions.trouble or "ok"}
        shown["realtime"] = core.get(Channels).trouble() or "ok"  # packets are answered nevertheless
        if sessions.warning:
            shown["warning"] = sessions.warning
        if apps.problems:  # no reason to take the server away from players of the other apps
            shown["apps"] = f"mistakes: {len(apps.problems)}; see `gameserver check`"
        return JSONResponse({"status": "ready" if ready else "not ready", **shown}, 200 if ready else 503)

    async def exposition(_: Request) -> Response:
        return Response(await _exposition(core, apps), media_type=CONTENT_TYPE_LATEST)

    pages = [Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", exposition)]
    if isinstance(core.clock, FixedClock):
        pages.append(_clock_route(core.clock))
    return pages


face = Face(
    "ops",
    lambda _, __, ___: [Route("/healthz", healthz)],
    mount_admin=lambda core, apps, _: routes(core, apps),
)


# Readiness


class _Part(NamedTuple):
    """Why a part cannot work, and what an operator should mend although it does; both may be empty."""

    trouble: str
    warning: str = ""


async def _ask(part: str, ask: Callable[[], Awaitable[str | None]]) -> _Part:
    try:
        async with asyncio.timeout(READY_SECONDS_MAX):
            return _Part("", await ask() or "")
    except (StorageError, SessionsUnavailable) as error:
        trouble = str(error).partition("\n")[0] or "away"
    except TimeoutError:
        trouble = f"no answer within {READY_SECONDS_MAX:g} s"
    except Exception as error:  # noqa: BLE001 - whatever the reason: not ready
        trouble = f"away ({type(error).__name__})"
    log.warning("not_ready", part=part, reason=trouble)
    return _Part(trouble)


# Metrics


def observe(core: Core) -> None:
    """Time the work of SQL and of Redis from now on."""
    core.database.observe = metrics.SQL_SECONDS.observe
    if isinstance(core.sessions, Sessions):
        core.sessions.calls.observe = partial(metrics.REDIS_SECONDS.observe, "")


async def _exposition(core: Core, apps: LiveApps) -> bytes:
    """Everything counted: by this process, or by all worker processes together when there are several."""
    metrics.settle()
    counted = REGISTRY
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        counted = CollectorRegistry()
        MultiProcessCollector(counted)  # type: ignore[no-untyped-call]
    # What is asked for goes beside it: it is the same whichever process answers, so it must not be added up.
    asked = CollectorRegistry()
    gauges = [await _session_counts(core, apps), *await _job_gauges(core), _app_mistakes(apps)]
    asked.register(_Gauges(gauges))
    text: bytes = await asyncio.to_thread(generate_latest, counted)
    return text + generate_latest(asked)


class _Gauges:
    """Figures known at the time of asking only."""

    def __init__(self, families: list[GaugeMetricFamily]) -> None:
        self._families = families

    def collect(self) -> list[GaugeMetricFamily]:
        return self._families


async def _session_counts(core: Core, apps: Iterable[App]) -> GaugeMetricFamily:
    gauge = GaugeMetricFamily("gameserver_sessions", "Sessions that are open, by app.", labels=["app"])
    try:
        async with asyncio.timeout(READY_SECONDS_MAX):
            for app in apps:
                gauge.add_metric([app.id], await core.sessions.count(app.id))
    except (SessionsUnavailable, TimeoutError) as error:  # metrics are wanted most when something is away
        log.warning("sessions_not_counted", reason=type(error).__name__)
    return gauge


_JOB_GAUGES = (
    (
        "late_ms",
        "gameserver_job_late_seconds",
        "How long ago the oldest work of a job was due.",
        1000,
    ),
    ("failures", "gameserver_job_failures", "Failures in a row of a job.", 1),
    ("overdue", "gameserver_job_overdue_rows", "Rows that a job should have seen to, after its last run.", 1),
    ("waiting", "gameserver_job_waiting", "Enqueued work of a job.", 1),
    ("given_up", "gameserver_job_given_up", "Enqueued work that is not tried again by itself.", 1),
)


async def _job_gauges(core: Core) -> list[GaugeMetricFamily]:
    gauges = [GaugeMetricFamily(name, words, labels=["job"]) for _, name, words, _ in _JOB_GAUGES]
    try:
        async with asyncio.timeout(READY_SECONDS_MAX):
            rows = await core.get(Scheduler).list()
    except (StorageError, TimeoutError) as error:
        log.warning("jobs_not_counted", reason=type(error).__name__)
        return gauges
    for row in rows:
        for gauge, (fact, _, _, unit) in zip(gauges, _JOB_GAUGES, strict=True):
            gauge.add_metric([row["name"]], row[fact] / unit)
    return gauges


def _app_mistakes(apps: LiveApps) -> GaugeMetricFamily:
    gauge = GaugeMetricFamily(
        "gameserver_app_mistakes", "Mistakes in files of apps, which keep them from being taken over."
    )
    gauge.add_metric([], len(apps.problems))
    return gauge


# The clock of an ephemeral server


class _Advance(msgspec.Struct, forbid_unknown_fields=True):
    advance_seconds: float


_read_advance = msgspec.json.Decoder(_Advance).decode


def _clock_route(clock: FixedClock) -> Route:
    async def move(request: Request) -> Response:
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > BODY_BYTES_MAX:
                return _refused(f"the body has at most {BODY_BYTES_MAX} bytes")
        try:
            seconds = _read_advance(bytes(body)).advance_seconds
        except (msgspec.DecodeError, UnicodeDecodeError):
            return _refused('expected {"advance_seconds": number}')
        if not 0 <= seconds <= ADVANCE_SECONDS_MAX:
            return _refused(f"advance_seconds: expected 0 to {ADVANCE_SECONDS_MAX}; time does not go back")
        clock.advance(seconds)
        return JSONResponse({"now_ms": clock.ms()})

    return Route("/_clock", move, methods=["POST"])


def _refused(message: str) -> Response:
    return JSONResponse({"status": 400, "status_message": message}, 400)
