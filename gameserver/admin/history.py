"""What the server counts, kept for two weeks by itself: one row for each minute and process.

`/metrics` says it to those who have something that keeps it; the console's charts need no such thing.
"""

import asyncio
import os
import secrets
import socket
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
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
from gameserver.jobs import Scheduler, forget
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
KEPT_MS = 14 * 24 * 3600 * 1000
ALIVE_MS = 150_000
"""How long a process counts as running after its last row."""
ASK_SECONDS_MAX = 5.0
PROCESSES_MAX = 500
APPS_MAX = 200
SERVER_ERROR = 500


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
_s, _a = server_minutes.c, app_minutes.c
ADD = upsert(server_minutes, ["minute_ms", "process"], None)
ADD_OF_APP = upsert(app_minutes, ["app_id", "minute_ms", "process"], None)

_STEP = bindparam("step", type_=BigInteger)
_SINCE = bindparam("since", type_=BigInteger)
_UNTIL = bindparam("until", type_=BigInteger)
_STEPS: ColumnElement[int] = literal_column("at_ms")  # PostgreSQL would take the parameter for another one
_AT = (_s.minute_ms - _s.minute_ms % _STEP).label("at_ms")
_AT_OF_APP = (_a.minute_ms - _a.minute_ms % _STEP).label("at_ms")
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
PROCESSES = (
    select(_s.process, _s.version, _s.started_ms, _s.minute_ms, _s.packets, _s.sockets, _s.job_late_ms)
    .where(_s.minute_ms >= _SINCE)
    .order_by(_s.minute_ms.desc(), _s.process)
    .limit(PROCESSES_MAX)
)
JOBS = (
    forget("history.forget", Expiry(_s.minute_ms), KEPT_MS, every_seconds=600),
    forget("history.forgetOfApps", Expiry(_a.minute_ms), KEPT_MS, every_seconds=600),
)


async def read(
    tx: Transaction, app_id: str, since_ms: int, until_ms: int, step_ms: int
) -> list[dict[str, Any]]:
    """Return what was counted between two times, in steps: of all apps, and what is of this one.

    Counts are per minute, so that steps of any length tell the same.
    """
    span = {"since": since_ms, "until": until_ms, "step": step_ms}
    server = {int(row["at_ms"]): row for row in await tx.all(OF_SERVER, **span)}
    of_app = {int(row["at_ms"]): row for row in await tx.all(OF_APP, app=app_id, **span)}
    return [_step(at_ms, server[at_ms], of_app.get(at_ms)) for at_ms in sorted(server)]


def _step(at_ms: int, row: Row, own: Row | None) -> dict[str, Any]:
    minutes = int(row["minutes"])
    buckets = [int(row[name]) for name in BUCKETS]
    return {
        "at_ms": at_ms,
        **{name: round(int(row[name]) / minutes, 2) for name in COUNTED if name not in BUCKETS},
        "p50_ms": quantile_ms(buckets, 0.5),
        "p95_ms": quantile_ms(buckets, 0.95),
        "sockets": round(int(row["sockets"]) / minutes, 1),
        "job_late_s": round(int(row["job_late_ms"]) / 1000, 1),
        "logins": 0.0 if own is None else round(int(own["logins"]) / minutes, 2),
        "refusals": 0.0 if own is None else round(int(own["refusals"]) / minutes, 2),
        "online": 0 if own is None else int(own["online"]),
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
