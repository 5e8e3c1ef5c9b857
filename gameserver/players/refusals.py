"""The record of refusals: which message was refused to whom, when, and with which reason code.

It answers "error 40304 at 14:05". A message that succeeds costs nothing here; one that is refused costs its
caller memory, and `storage.batches` writes what has come together. What was refused alike within a second is
one row that counts, so a flood fills nothing.
"""

import secrets
from collections import Counter as Counts
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from msgspec import Meta
from prometheus_client import Counter
from sqlalchemy import BigInteger, Column, Index, Integer, String, Table, bindparam, delete, func, select

from gameserver.apps import App, Settings
from gameserver.frame import Parts, running
from gameserver.jobs import Job, JobRun, forget_of_apps
from gameserver.players.lifecycle import PlayerTable
from gameserver.storage import Database, Row, Transaction, metadata, upsert
from gameserver.storage.batches import Batches
from gameserver.storage.tables import StoredBy
from gameserver.storage.timeline import DAY_MS, Timeline, first_id
from gameserver.wire import request_ids
from gameserver.wire.clock import Clock
from gameserver.wire.errors import GameError

LOST = Counter("gameserver_refusals_lost", "Refusals of which no record could be written.")
ALIKE_MAX = 2000
"""Different refusals that wait to be written; those beyond are told by app and reason code alone."""
OPERATION_MAX = 96
AT_ONCE = 1000  # rows
COUNTED_MAX = 50_000
"""Rows that are looked at, at most, to count reason codes."""

SECTION = "refusals"
SAMPLE = """\
# Messages that were refused, for the console: by player, operation and reason code. Kept for this many days,
# 0 keeps nothing, and no more rows than this.
[refusals]
#keep_days = 3
#rows_most = 100000
"""


class RefusalSettings(Settings, kw_only=True):
    """What is kept of messages that were refused."""

    keep_days: Annotated[
        int, Meta(ge=0, le=365, description="Days that refusals are kept; 0 keeps nothing.")
    ] = 3
    rows_most: Annotated[
        int,
        Meta(
            ge=100, le=10_000_000, description="Most rows that are kept; the oldest go first, once a minute."
        ),
    ] = 100_000


class Refusals(Batches):
    """Takes refusals and writes them. One for each process."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._clock = clock
        self._alike: dict[tuple[Any, ...], dict[str, Any]] = {}  # those that may be met again
        self.counted: Counts[str] = Counts()
        """How many refusals this process has noted so far, by app."""
        super().__init__(database, ADD, "refusals", LOST, before_writing=self._alike.clear)
        self._process = secrets.token_hex(4)
        self._number = 0

    def note(
        self,
        app: App,
        error: GameError,
        *,
        face: str,
        operation: str = "",
        profile_id: str = "",
        session: str = "",
    ) -> None:
        """Remember a message, or a whole packet, that is refused now. Never waits and never fails.

        `operation` is `service.OPERATION` as the client wrote it, `session` a digest.
        """
        self.counted[app.id] += 1
        if app.section(RefusalSettings).keep_days == 0:
            return
        code = error.reason_code
        operation = operation[:OPERATION_MAX].replace("\0", "?")
        if len(self._alike) >= ALIKE_MAX:
            profile_id = session = operation = ""
        alike = (app.id, profile_id, session, face, operation, code)
        if (same := self._alike.get(alike)) is not None:
            same["times"] += 1
            return
        now = self._clock.ms()
        self._number = (self._number + 1) % (1 << 32)
        row = {
            "app_id": app.id,
            "id": f"{first_id(now)}{self._process}{self._number:08x}",
            "at_ms": now,
            "profile_id": profile_id[:36],
            "session": session[:64],
            "face": face[:32],
            "operation": operation,
            "status": int(error.status),
            "reason_code": code,
            "request_id": request_ids.current(),
            "times": 1,
        }
        if self.put(row):
            self._alike[alike] = row


@asynccontextmanager
async def lifespan(parts: Parts) -> AsyncIterator[Refusals]:
    """Write what is noted as long as the server lives."""
    refusals = Refusals(parts.get(Database), parts.get(Clock))
    try:
        async with running(refusals.keep_writing()):
            yield refusals
    finally:
        await refusals.close()


# Storage

refusals_table = Table(
    "refusals",
    metadata,
    Column("app_id", String(64), primary_key=True),
    Column("id", String(28), primary_key=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("profile_id", String(36), nullable=False),
    Column("session", String(64), nullable=False),
    Column("face", String(32), nullable=False),
    Column("operation", String(OPERATION_MAX), nullable=False),
    Column("status", Integer, nullable=False),
    Column("reason_code", Integer, nullable=False),
    Column("request_id", String(32), nullable=False),
    Column("times", Integer, nullable=False),
    Index("refusals_by_profile", "app_id", "profile_id", "id"),
    Index("refusals_by_reason", "app_id", "reason_code", "id"),
    info={"stored_by": StoredBy.APP},
)
_c = refusals_table.c
KEPT = PlayerTable(
    refusals_table,
    "profile_id",
    {
        "at": _c.at_ms,
        "operation": _c.operation,
        "status": _c.status,
        "reasonCode": _c.reason_code,
        "face": _c.face,
        "times": _c.times,
    },
    untold={
        "id": "orders rows",
        "session": "of a session",
        "request_id": "for whoever reads the server's log",
    },
)

# A batch whose commit ended in doubt is written again.
ADD = upsert(refusals_table, ["app_id", "id"], None)
timeline = Timeline(refusals_table)

_APP = _c.app_id == bindparam("app", type_=String)
_NEWEST = (
    select(_c.reason_code, _c.times)
    .where(_APP, _c.id >= bindparam("since", type_=String))
    .order_by(_c.id.desc())
    .limit(COUNTED_MAX)
    .subquery()
)
COUNT = (
    select(_NEWEST.c.reason_code, func.sum(_NEWEST.c.times).label("times"))
    .group_by(_NEWEST.c.reason_code)
    .order_by(func.sum(_NEWEST.c.times).desc(), _NEWEST.c.reason_code)
    .limit(bindparam("most", type_=Integer))
)
NTH_NEWEST = (
    select(_c.id).where(_APP).order_by(_c.id.desc()).offset(bindparam("most", type_=Integer)).limit(1)
)
_FIRST = (
    select(_c.id)
    .where(_APP, _c.id <= bindparam("last", type_=String))
    .order_by(_c.id)
    .limit(bindparam("at_once", type_=Integer))
)
DELETE_FIRST = delete(refusals_table).where(_APP, _c.id.in_(_FIRST))


async def counted(tx: Transaction, app_id: str, since_ms: int, most: int) -> list[Row]:
    """Return how often each reason code was given since a time, the most frequent first."""
    return list(await tx.all(COUNT, app=app_id, since=first_id(since_ms), most=most))


def _kept_ms(app: App) -> int:
    return app.section(RefusalSettings).keep_days * DAY_MS


async def _trim(run: JobRun) -> None:
    async def of_app(app: App) -> None:
        async with run.database.read() as tx:
            row = await tx.one(NTH_NEWEST, app=app.id, most=app.section(RefusalSettings).rows_most)
        if row is not None:
            last = row["id"]
            await run.catch_up(
                lambda tx: tx.run(DELETE_FIRST, app=app.id, last=last, at_once=AT_ONCE), AT_ONCE
            )

    await run.for_each_app(of_app)


JOBS = (
    forget_of_apps("refusals.forget", timeline.expiry, _kept_ms),
    Job("refusals.trim", _trim, every_seconds=60),
)
