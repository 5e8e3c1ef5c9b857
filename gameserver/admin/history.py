"""What the server counts, kept by itself: rows for each minute and process, later one for each hour.

`/metrics` says it to those who have something that keeps it; the console's charts need no such thing. A job
adds up each hour that is over. Charts of two weeks read those sums, so that they cost the same however many
processes there are. Hours are kept for two weeks; minutes go when they are added up and two days old.
"""

import asyncio
import os
import secrets
import socket
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import structlog
from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Index,
    Integer,
    String,
    Table,
    bindparam,
    func,
    literal_column,
    select,
)

from gameserver import __version__
from gameserver.apps import LiveApps
from gameserver.frame import Parts
from gameserver.jobs import Job, JobRun, Scheduler, forget
from gameserver.players.audit import Audit
from gameserver.players.refusals import Refusals
from gameserver.realtime.connections import Connections
from gameserver.rpc import metrics
from gameserver.sessions import SessionStore, SessionsUnavailable
from gameserver.storage import Database, Row, StorageError, Transaction, metadata, upsert
from gameserver.storage.expiry import Expiry
from gameserver.storage.tables import StoredBy
from gameserver.wire.clock import Clock

log = structlog.get_logger(__name__)

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
MINUTES_KEPT_MS = 48 * HOUR_MS
KEPT_MS = 14 * 24 * HOUR_MS
GRACE_MS = 5 * MINUTE_MS
"""For processes that write the last minute of an hour late, or whose clocks are a little behind."""
ALIVE_MS = 150_000
"""How long a process counts as running after its last row."""
ASK_SECONDS_MAX = 5.0
PROCESSES_MAX = 500
APPS_MAX = 200
SERVER_ERROR = 500
AT_ONCE = 1000  # minutes that are deleted


class History:
    """Writes what this process counted, once a minute."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._clock = parts.get(Clock)
        self._process = f"{socket.gethostname()[:32]}/{os.getpid()}/{secrets.token_hex(2)}"
        self._started_ms = self._clock.ms()
        self._before: Counter[Any] = Counter()
        self._before.update(self._counted())

    async def keep_writing(self) -> None:
        """Write a row when a minute ends. Runs for ever."""
        while True:
            await asyncio.sleep((MINUTE_MS - self._clock.ms() % MINUTE_MS) / 1000 or MINUTE_MS / 1000)
            try:
                await self.write()
            except (StorageError, SessionsUnavailable) as error:
                log.info("history_postponed", reason=str(error))
            except Exception:
                log.exception("history_postponed")

    async def write(self) -> None:
        """Write what was counted since the last row. What cannot be written is told with the next one."""
        now = self._counted()
        new = {name: now[name] - self._before[name] for name in now}
        # The minute that has just ended, for who comes a little late.
        minute_ms = (self._clock.ms() - MINUTE_MS // 2) // MINUTE_MS * MINUTE_MS
        row = {
            "minute_ms": minute_ms,
            "process": self._process,
            "version": __version__[:32],
            "started_ms": self._started_ms,
            "sockets": len(self._parts.get(Connections)),
            "job_late_ms": await self._late_ms(),
            **{name: new[name] for name in COUNTED},
        }
        rows = await self._of_apps(new, minute_ms)
        async with self._parts.get(Database).write() as tx:
            await tx.run(ADD, **row)
            if rows:
                await tx.run_many(ADD_OF_APP, rows)
        self._before = now

    def _counted(self) -> Counter[Any]:
        metrics.settle()
        packets, messages = metrics.PACKETS, metrics.MESSAGES
        counted: Counter[Any] = Counter()
        for place, name in enumerate(BUCKETS):
            counted[name] = int(packets.counted[place])
        outcomes = messages.outcomes
        counted["packets"] = int(sum(packets.outcomes.values()))
        counted["packets_failed"] = int(
            sum(count for status, count in packets.outcomes.items() if int(status) >= SERVER_ERROR)
        )
        counted["messages"] = int(sum(outcomes.values()))
        counted["messages_failed"] = int(outcomes.get("failed", 0))
        counted["messages_refused"] = counted["messages"] - int(
            sum(outcomes.get(name, 0) for name in ("ok", "failed", "aborted"))
        )
        for app_id, count in self._parts.get(Audit).logins.items():
            counted["logins", app_id] = count
        for app_id, count in self._parts.get(Refusals).counted.items():
            counted["refusals", app_id] = count
        return counted

    async def _late_ms(self) -> int:
        try:
            return max((job["late_ms"] for job in await self._parts.get(Scheduler).list()), default=0)
        except LookupError:  # nothing runs jobs here
            return 0

    async def _of_apps(self, new: dict[Any, int], minute_ms: int) -> list[dict[str, Any]]:
        rows = []
        for app in list(self._parts.get(LiveApps))[:APPS_MAX]:
            row = {
                "app_id": app.id,
                "minute_ms": minute_ms,
                "process": self._process,
                "logins": new.get(("logins", app.id), 0),
                "refusals": new.get(("refusals", app.id), 0),
                "online": 0,
            }
            try:
                async with asyncio.timeout(ASK_SECONDS_MAX):
                    row["online"] = await self._parts.get(SessionStore).count(app.id)
            except (SessionsUnavailable, TimeoutError):
                pass
            if row["logins"] or row["refusals"] or row["online"]:
                rows.append(row)
        return rows


@asynccontextmanager
async def lifespan(parts: Parts) -> AsyncIterator[History]:
    """Count from now on; who runs a server has it written (`keep_writing`)."""
    yield History(parts)


async def _roll_up(run: JobRun) -> None:
    """Add up the hours that are over, the oldest first, and forget minutes that are old.

    An hour that is over does not change: who adds it up a second time leaves what is there.
    """
    while True:
        async with run.database.read() as tx:
            done_ms = await _rolled_up_to(tx, run.now_ms)
            first = await tx.one(FIRST_MINUTE, since=done_ms)
            hour_ms = run.now_ms if first is None else first["minute_ms"] // HOUR_MS * HOUR_MS
            if hour_ms + HOUR_MS + GRACE_MS > run.now_ms:
                break
            span = {"since": hour_ms, "until": hour_ms + HOUR_MS - 1}
            server = await tx.all(OF_SERVER, **span, step=HOUR_MS)
            apps = await tx.all(OF_APPS, **span)
        async with run.database.write() as tx:
            for row in server:
                await tx.run(ADD_HOUR, hour_ms=hour_ms, **{name: int(row[name]) for name in SUMMED})
            if apps:
                await tx.run_many(
                    ADD_HOUR_OF_APP,
                    [
                        {
                            "hour_ms": hour_ms,
                            **{name: int(row[name]) for name in OF_ONE_APP},
                            "app_id": row["app_id"],
                        }
                        for row in apps
                    ],
                )
        if run.is_over:
            run.is_unfinished = True
            return
        await asyncio.sleep(0)
    before = min(done_ms, run.now_ms - MINUTES_KEPT_MS)
    for old in (OLD_MINUTES, OLD_MINUTES_OF_APPS):
        await run.catch_up(partial(old.forget, before_ms=before, most=AT_ONCE), AT_ONCE)


async def _rolled_up_to(tx: Transaction, now_ms: int) -> int:
    """Return when the last hour ended that is added up."""
    newest = await tx.one(NEWEST_HOUR, now=now_ms)
    return 0 if newest is None else int(newest["hour_ms"]) + HOUR_MS


ROLL_UP = Job("history.rollUp", _roll_up, every_seconds=300)

# Storage

BUCKETS = tuple(f"bucket_{number}" for number in range(len(metrics.PACKETS.bounds) + 1))
COUNTED = ("packets", "packets_failed", "messages", "messages_refused", "messages_failed", *BUCKETS)

server_minutes = Table(
    "server_minutes",
    metadata,
    Column("minute_ms", BigInteger, primary_key=True),
    Column("process", String(64), primary_key=True),
    Column("version", String(32), nullable=False),
    Column("started_ms", BigInteger, nullable=False),
    Column("sockets", Integer, nullable=False),
    Column("job_late_ms", BigInteger, nullable=False),
    *(Column(name, BigInteger, nullable=False) for name in COUNTED),
    info={"stored_by": StoredBy.SERVER},
)
app_minutes = Table(
    "app_minutes",
    metadata,
    Column("app_id", String(64), primary_key=True),
    Column("minute_ms", BigInteger, primary_key=True),
    Column("process", String(64), primary_key=True),
    Column("logins", BigInteger, nullable=False),
    Column("refusals", BigInteger, nullable=False),
    Column("online", BigInteger, nullable=False),
    Index("app_minutes_by_time", "minute_ms"),
    info={"stored_by": StoredBy.APP},
)
# Of all processes together.
server_hours = Table(
    "server_hours",
    metadata,
    Column("hour_ms", BigInteger, primary_key=True, autoincrement=False),
    Column("minutes", Integer, nullable=False),  # of which there is something
    Column("sockets", BigInteger, nullable=False),  # of each minute, added up
    Column("job_late_ms", BigInteger, nullable=False),  # at most
    *(Column(name, BigInteger, nullable=False) for name in COUNTED),
    info={"stored_by": StoredBy.SERVER},
)
app_hours = Table(
    "app_hours",
    metadata,
    Column("app_id", String(64), primary_key=True),
    Column("hour_ms", BigInteger, primary_key=True),
    Column("logins", BigInteger, nullable=False),
    Column("refusals", BigInteger, nullable=False),
    Column("online", BigInteger, nullable=False),  # at most
    Index("app_hours_by_time", "hour_ms"),
    info={"stored_by": StoredBy.APP},
)
HIGHEST = frozenset({"job_late_ms", "online"})
"""Of these the highest number is told; the others are added up."""
SUMMED = ("minutes", "sockets", "job_late_ms", *COUNTED)
OF_ONE_APP = ("logins", "refusals", "online")
_s, _a, _h, _ah = server_minutes.c, app_minutes.c, server_hours.c, app_hours.c
ADD = upsert(server_minutes, ["minute_ms", "process"], None)
ADD_OF_APP = upsert(app_minutes, ["app_id", "minute_ms", "process"], None)
ADD_HOUR = upsert(server_hours, ["hour_ms"], None)
ADD_HOUR_OF_APP = upsert(app_hours, ["app_id", "hour_ms"], None)

_STEP = bindparam("step", type_=BigInteger)
_SINCE = bindparam("since", type_=BigInteger)
_UNTIL = bindparam("until", type_=BigInteger)
_STEPS: ColumnElement[int] = literal_column("at_ms")  # PostgreSQL would take the parameter for another one
_AT = (_s.minute_ms - _s.minute_ms % _STEP).label("at_ms")
_AT_OF_APP = (_a.minute_ms - _a.minute_ms % _STEP).label("at_ms")
_AT_HOUR = (_h.hour_ms - _h.hour_ms % _STEP).label("at_ms")
_AT_HOUR_OF_APP = (_ah.hour_ms - _ah.hour_ms % _STEP).label("at_ms")
OF_SERVER = (
    select(
        _AT,
        func.count(_s.minute_ms.distinct()).label("minutes"),
        func.sum(_s.sockets).label("sockets"),
        func.max(_s.job_late_ms).label("job_late_ms"),
        *(func.sum(_s[name]).label(name) for name in COUNTED),
    )
    .where(_s.minute_ms.between(_SINCE, _UNTIL))
    .group_by(_STEPS)
    .order_by(_STEPS)
)
HOURS_OF_SERVER = (
    select(
        _AT_HOUR,
        func.max(_h.job_late_ms).label("job_late_ms"),
        *(func.sum(_h[name]).label(name) for name in SUMMED if name != "job_late_ms"),
    )
    .where(_h.hour_ms.between(_SINCE, _UNTIL))
    .group_by(_STEPS)
    .order_by(_STEPS)
)
OF_APP = (
    select(
        _AT_OF_APP,
        func.sum(_a.logins).label("logins"),
        func.sum(_a.refusals).label("refusals"),
        func.max(_a.online).label("online"),
    )
    .where(_a.app_id == bindparam("app", type_=String), _a.minute_ms.between(_SINCE, _UNTIL))
    .group_by(_STEPS)
    .order_by(_STEPS)
)
HOURS_OF_APP = (
    select(
        _AT_HOUR_OF_APP,
        func.sum(_ah.logins).label("logins"),
        func.sum(_ah.refusals).label("refusals"),
        func.max(_ah.online).label("online"),
    )
    .where(_ah.app_id == bindparam("app", type_=String), _ah.hour_ms.between(_SINCE, _UNTIL))
    .group_by(_STEPS)
    .order_by(_STEPS)
)
OF_APPS = (
    select(
        _a.app_id,
        func.sum(_a.logins).label("logins"),
        func.sum(_a.refusals).label("refusals"),
        func.max(_a.online).label("online"),
    )
    .where(_a.minute_ms.between(_SINCE, _UNTIL))
    .group_by(_a.app_id)
)
FIRST_MINUTE = select(_s.minute_ms).where(_s.minute_ms >= _SINCE).order_by(_s.minute_ms).limit(1)
NEWEST_HOUR = (
    # A clock that was ahead has added up what is not over yet.
    select(_h.hour_ms)
    .where(_h.hour_ms <= bindparam("now", type_=BigInteger))
    .order_by(_h.hour_ms.desc())
    .limit(1)
)
PROCESSES = (
    select(_s.process, _s.version, _s.started_ms, _s.minute_ms, _s.packets, _s.sockets, _s.job_late_ms)
    .where(_s.minute_ms >= _SINCE)
    .order_by(_s.minute_ms.desc(), _s.process)
    .limit(PROCESSES_MAX)
)
OLD_MINUTES, OLD_MINUTES_OF_APPS = Expiry(_s.minute_ms), Expiry(_a.minute_ms)
JOBS = (
    ROLL_UP,
    forget("history.forget", Expiry(_h.hour_ms), KEPT_MS, every_seconds=600),
    forget("history.forgetOfApps", Expiry(_ah.hour_ms), KEPT_MS, every_seconds=600),
)


async def read(
    tx: Transaction, app_id: str, since_ms: int, until_ms: int, step_ms: int
) -> list[dict[str, Any]]:
    """Return what was counted between two times, in steps: of all apps, and what is of this one.

    Counts are per minute, so that steps of any length tell the same. Steps of whole hours are read from the
    hours that are added up, beginning with that of `since_ms`, and only what came after them from minutes.
    """
    added_up_to = await _rolled_up_to(tx, until_ms) if step_ms % HOUR_MS == 0 else 0
    spans = [(OF_SERVER, OF_APP, max(since_ms, added_up_to), until_ms)]
    if added_up_to:
        spans.append((HOURS_OF_SERVER, HOURS_OF_APP, since_ms // HOUR_MS * HOUR_MS, added_up_to - 1))
    server: dict[int, Counter[str]] = {}
    own: dict[int, Counter[str]] = {}
    for of_server, of_app, first, last in spans:
        span = {"since": first, "until": last, "step": step_ms}
        _add_up(server, await tx.all(of_server, **span), SUMMED)
        _add_up(own, await tx.all(of_app, app=app_id, **span), OF_ONE_APP)
    return [_step(at_ms, server[at_ms], own.get(at_ms, Counter())) for at_ms in sorted(server)]


def _add_up(steps: dict[int, Counter[str]], rows: Sequence[Row], names: Sequence[str]) -> None:
    for row in rows:
        known = steps.setdefault(int(row["at_ms"]), Counter())
        for name in names:
            if name in HIGHEST:
                known[name] = max(known[name], int(row[name]))
            else:
                known[name] += int(row[name])


def _step(at_ms: int, row: Counter[str], own: Counter[str]) -> dict[str, Any]:
    minutes = row["minutes"]
    buckets = [row[name] for name in BUCKETS]
    return {
        "at_ms": at_ms,
        **{name: round(row[name] / minutes, 2) for name in COUNTED if name not in BUCKETS},
        "p50_ms": quantile_ms(buckets, 0.5),
        "p95_ms": quantile_ms(buckets, 0.95),
        "sockets": round(row["sockets"] / minutes, 1),
        "job_late_s": round(row["job_late_ms"] / 1000, 1),
        "logins": round(own["logins"] / minutes, 2),
        "refusals": round(own["refusals"] / minutes, 2),
        "online": own["online"],
    }


def quantile_ms(buckets: Sequence[int], share: float) -> float | None:
    """Return below which time a share of packets was answered, as well as buckets tell; None for none."""
    wanted, below, lower = sum(buckets) * share, 0, 0.0
    if not wanted:
        return None
    for count, upper in zip(buckets, metrics.PACKETS.bounds, strict=False):
        if below + count >= wanted:
            return round(1000 * (lower + (upper - lower) * (wanted - below) / count), 2)
        below, lower = below + count, upper
    return round(1000 * lower, 2)  # longer than the last bound


async def processes(tx: Transaction, now_ms: int) -> list[dict[str, Any]]:
    """Return the processes that have written lately, each with its newest row."""
    found: dict[str, dict[str, Any]] = {}
    for row in await tx.all(PROCESSES, since=now_ms - ALIVE_MS):
        found.setdefault(
            row["process"],
            {
                "process": row["process"],
                "version": row["version"],
                "started_ms": row["started_ms"],
                "seen_ms": row["minute_ms"] + MINUTE_MS,
                "packets_per_minute": row["packets"],
                "sockets": row["sockets"],
            },
        )
    return sorted(found.values(), key=lambda each: str(each["process"]))
