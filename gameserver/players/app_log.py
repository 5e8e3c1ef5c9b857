"""The log of an app: what its scripts and servers have to say, and what went wrong in scripts.

A line is written in the transaction of whoever writes it (`add`), or a second later (`note`), where there is
none and nobody waits for it.
"""

import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal

from msgspec import Meta
from prometheus_client import Counter
from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Index,
    Integer,
    String,
    Table,
    Text,
    bindparam,
    delete,
    select,
)

from gameserver.apps import App, Settings
from gameserver.frame import Parts, running
from gameserver.jobs import Job, JobRun, forget_of_apps
from gameserver.players.lifecycle import PlayerTable
from gameserver.storage import Database, Json, StoredBy, Transaction, metadata, upsert
from gameserver.storage.batches import Batches
from gameserver.storage.timeline import DAY_MS, Timeline, first_id
from gameserver.wire import json
from gameserver.wire.clock import Clock

MESSAGE_MAX = 4000  # characters; what is longer is cut
CONTEXT_MAX = 16_384  # characters of JSON; what is longer is kept as the text it begins with
SOURCE_MAX = 256
AT_ONCE = 1000  # rows
CUT = "…"

LOST = Counter("gameserver_app_log_lost", "Lines of apps' logs that could not be written.")

Level = Literal["info", "warning", "error"]
LEVELS: tuple[Level, ...] = ("info", "warning", "error")  # each is worse than those before it
SAMPLE = """\
# What scripts and servers log, for `gameserver logs`: kept for this many days, 0 keeps nothing, and no more
# lines than this.
[log]
#keep_days = 30
#lines_most = 100000
"""


class LogSettings(Settings, kw_only=True):
    """What is kept of the lines that scripts and servers log."""

    keep_days: Annotated[
        int, Meta(ge=0, le=3650, description="Days that lines are kept; 0 keeps nothing.")
    ] = 30
    lines_most: Annotated[
        int,
        Meta(
            ge=100, le=10_000_000, description="Most lines that are kept; the oldest go first, once a minute."
        ),
    ] = 100_000


class AppLog(Batches):
    """Takes lines and writes them. One for each process."""

    def __init__(self, database: Database, clock: Clock) -> None:
        super().__init__(database, ADD, "app_log_lines", LOST)
        self._clock = clock
        self._process = secrets.token_hex(4)
        self._number = 0

    def note(
        self,
        app: App,
        level: Level,
        message: str,
        context: Any = None,
        *,
        face: str,
        source: str = "",
        profile_id: str = "",
    ) -> None:
        """Log a line that happened now. Never waits and never fails; a crash may lose it.

        `context` is text or anything that is JSON; `face` through what the writer came, such as `s2s` or
        `script`, and `source` is a server's name or a script's path. Texts that are too long are cut.
        """
        if app.section(LogSettings).keep_days:
            self.put(self._row(app, level, message, context, face, source, profile_id))

    async def add(
        self,
        tx: Transaction,
        app: App,
        level: Level,
        message: str,
        context: Any = None,
        *,
        face: str,
        source: str = "",
        profile_id: str = "",
    ) -> None:
        """Log a line as part of a transaction, with the same words as `note`."""
        if app.section(LogSettings).keep_days:
            await tx.defer(ADD, **self._row(app, level, message, context, face, source, profile_id))

    def _row(
        self, app: App, level: Level, message: str, context: Any, face: str, source: str, profile_id: str
    ) -> dict[str, Any]:
        now = self._clock.ms()
        self._number = (self._number + 1) % (1 << 32)
        text = None if context is None else json.encode_free(context).decode()
        if text is not None and len(text) > CONTEXT_MAX:
            text = json.encode_free(cut(text, CONTEXT_MAX // 2)).decode()
        return {
            "id": f"{first_id(now)}{self._process}{self._number:08x}",
            "app_id": app.id,
            "at_ms": now,
            "level": level,
            "message": cut(message, MESSAGE_MAX),
            "context": text,
            "face": face[:32],
            "source": source[:SOURCE_MAX],
            "profile_id": profile_id[:36],
        }


def cut(text: str, most: int) -> str:
    """Return a text in no more characters than that, with a mark where something is missing."""
    return text if len(text) <= most else text[: most - len(CUT)] + CUT


@asynccontextmanager
async def lifespan(parts: Parts) -> AsyncIterator[AppLog]:
    """Write what is noted as long as the server lives."""
    app_log = AppLog(parts.get(Database), parts.get(Clock))
    try:
        async with running(app_log.keep_writing()):
            yield app_log
    finally:
        await app_log.close()


# Storage

app_log_lines = Table(
    "app_log_lines",
    metadata,
    Column("app_id", String(64), primary_key=True),
    Column("id", String(28), primary_key=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("level", String(8), nullable=False),
    Column("message", Text, nullable=False),
    Column("context", Json),
    Column("face", String(32), nullable=False),
    Column("source", String(SOURCE_MAX), nullable=False),
    Column("profile_id", String(36), nullable=False),
    Index("app_log_lines_by_profile", "app_id", "profile_id", "id"),
    info={"stored_by": StoredBy.APP},
)
_l = app_log_lines.c
KEPT = PlayerTable(
    app_log_lines,
    "profile_id",
    {
        "at": _l.at_ms,
        "level": _l.level,
        "message": _l.message,
        "context": _l.context,
        "face": _l.face,
        "source": _l.source,
    },
)

ADD = upsert(app_log_lines, ["app_id", "id"], None)
timeline = Timeline(app_log_lines)

_APP = _l.app_id == bindparam("app", type_=String)
NTH_NEWEST = (
    select(_l.id).where(_APP).order_by(_l.id.desc()).offset(bindparam("most", type_=Integer)).limit(1)
)
_FIRST = (
    select(_l.id)
    .where(_APP, _l.id <= bindparam("last", type_=String))
    .order_by(_l.id)
    .limit(bindparam("at_once", type_=Integer))
)
DELETE_FIRST = delete(app_log_lines).where(_APP, _l.id.in_(_FIRST))


def picked(level: str, text: str) -> Sequence[ColumnElement[bool]]:
    """Return the conditions for lines of a level, or worse, whose message contains a text."""
    conditions: list[ColumnElement[bool]] = []
    if level:
        conditions.append(_l.level.in_(LEVELS[LEVELS.index(level) :]))
    if text:
        conditions.append(_l.message.contains(text, autoescape=True))
    return conditions


def _kept_ms(app: App) -> int:
    return app.section(LogSettings).keep_days * DAY_MS


async def _trim(run: JobRun) -> None:
    async def of_app(app: App) -> None:
        most = app.section(LogSettings).lines_most
        async with run.database.read() as tx:
            row = await tx.one(NTH_NEWEST, app=app.id, most=most)
        if row is not None:
            last = row["id"]
            await run.catch_up(
                lambda tx: tx.run(DELETE_FIRST, app=app.id, last=last, at_once=AT_ONCE), AT_ONCE
            )

    await run.for_each_app(of_app)


JOBS = (forget_of_apps("log.forget", timeline.expiry, _kept_ms), Job("log.trim", _trim, every_seconds=60))
