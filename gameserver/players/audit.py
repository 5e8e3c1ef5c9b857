"""The audit: who got in, who was refused, whose sessions ended, through which face and why.

Noting an event costs its caller nothing but memory. A background task writes what has come together, once a
second; a server that stops writes the rest first. While SQL is away events wait, up to a limit; those beyond
it are counted as lost.
"""

import asyncio
import contextlib
import secrets
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import islice
from typing import Annotated, Any, Literal

import structlog
from msgspec import Meta
from prometheus_client import Counter
from sqlalchemy import BigInteger, Column, Index, Integer, String, Table

from gameserver.apps import App, Settings
from gameserver.frame import Parts, running
from gameserver.jobs import forget_of_apps
from gameserver.players.lifecycle import PlayerTable
from gameserver.storage import Database, StorageError, metadata, upsert
from gameserver.storage.tables import StoredBy
from gameserver.storage.timeline import DAY_MS, Timeline, first_id
from gameserver.wire.clock import Clock

log = structlog.get_logger(__name__)

FLUSH_SECONDS = 1.0
RETRY_SECONDS = 5.0
BATCH_ROWS = 500
WAITING_MAX = 20_000  # events kept in memory while SQL is away

LOST = Counter("gameserver_audit_lost", "Audit events that could not be written.")

Kind = Literal["login", "refusal", "logout", "revocation", "player"]
KINDS: tuple[Kind, ...] = ("login", "refusal", "logout", "revocation", "player")


class AuditSettings(Settings, kw_only=True):
    """What is remembered of logins, refused logins and ended sessions."""

    keep_days: Annotated[
        int, Meta(ge=0, le=3650, description="Days that events are kept; 0 records nothing.")
    ] = 30


SECTION = "audit"
SAMPLE = """\
# Logins, refused logins and ended sessions, for `gameserver audit list`. Events are kept for this many days;
# 0 records nothing.
[audit]
#keep_days = 30
"""


class Audit:
    """Takes events and writes them. One for each process."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._waiting: deque[dict[str, Any]] = deque()
        self._refusals: dict[tuple[str, ...], dict[str, Any]] = {}  # those that may be met again
        self._process = secrets.token_hex(4)
        self._number = 0
        self._some, self._many = asyncio.Event(), asyncio.Event()
        self._writing = asyncio.Lock()

    def note(
        self,
        app: App,
        kind: Kind,
        reason: str,
        *,
        face: str,
        address: str,
        profile_id: str = "",
        session: str = "",
        times: int = 1,
    ) -> None:
        """Remember an event that happened now. Never waits and never fails.

        `reason` is the type of a login, the reason code of a refusal, why a session ended, and what happened
        to all that is kept of a player; `session` a digest. `times` is how many sessions ended. A refusal
        like one that is not written yet only raises that one's count, so that somebody who guesses passwords
        does not fill the table.
        """
        if app.section(AuditSettings).keep_days == 0:
            return
        profile_id, address, reason = profile_id[:36], address[:64], reason[:64]
        refused = (app.id, profile_id, session, face, address, reason) if kind == "refusal" else None
        if refused is not None and (same := self._refusals.get(refused)) is not None:
            same["times"] += times
            return
        if len(self._waiting) >= WAITING_MAX:
            LOST.inc()
            return
        now = self._clock.ms()
        self._number = (self._number + 1) % (1 << 32)
        event = {
            "id": f"{first_id(now)}{self._process}{self._number:08x}",
            "app_id": app.id,
            "kind": kind,
            "profile_id": profile_id,
            "session": session,
            "face": face,
            "address": address,
            "reason": reason,
            "at_ms": now,
            "times": times,
        }
        self._waiting.append(event)
        if refused is not None:
            self._refusals[refused] = event
        self._some.set()
        if len(self._waiting) >= BATCH_ROWS:
            self._many.set()

    async def keep_writing(self) -> None:
        """Write what was noted, at most a second later. Runs for ever."""
        while True:
            await self._some.wait()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._many.wait(), FLUSH_SECONDS)
            try:
                await self.flush()
            except StorageError as error:
                log.warning("audit_postponed", waiting=len(self._waiting), reason=str(error))
                await asyncio.sleep(RETRY_SECONDS)

    async def flush(self) -> None:
        """Write what was noted so far. Raises `StorageError` when SQL is away; the events wait then."""
        async with self._writing:
            self._some.clear()
            self._many.clear()
            while self._waiting:
                self._refusals.clear()  # what is being written does not change any more
                batch = list(islice(self._waiting, BATCH_ROWS))
                try:
                    async with self._database.write() as tx:
                        await tx.run_many(ADD, batch)
                except StorageError:
                    self._some.set()
                    raise
                except Exception:
                    # What the database will never take must not keep the others waiting.
                    log.exception("audit_events_lost", events=len(batch))
                    LOST.inc(len(batch))
                for _ in batch:
                    self._waiting.popleft()

    async def close(self) -> None:
        """Write the rest; what cannot be written now is lost."""
        try:
            await self.flush()
        except StorageError as error:
            LOST.inc(len(self._waiting))
            log.error("audit_events_lost", events=len(self._waiting), reason=str(error))  # noqa: TRY400 - expected


@asynccontextmanager
async def lifespan(parts: Parts) -> AsyncIterator[Audit]:
    """Write what is noted as long as the server lives."""
    audit = Audit(parts.get(Database), parts.get(Clock))
    try:
        async with running(audit.keep_writing()):
            yield audit
    finally:
        await audit.close()


# Storage

audit_events = Table(
    "audit_events",
    metadata,
    Column("id", String(28), primary_key=True),
    Column("app_id", String(64), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("profile_id", String(36), nullable=False),
    Column("session", String(64), nullable=False),
    Column("face", String(32), nullable=False),
    Column("address", String(64), nullable=False),
    Column("reason", String(64), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("times", Integer, nullable=False),
    Index("audit_events_by_app", "app_id", "id"),
    Index("audit_events_by_profile", "app_id", "profile_id", "id"),
    info={"stored_by": StoredBy.APP},
)
KEPT = PlayerTable(
    audit_events,
    "profile_id",
    {
        "at": audit_events.c.at_ms,
        "event": audit_events.c.kind,
        "reason": audit_events.c.reason,
        "face": audit_events.c.face,
        "address": audit_events.c.address,
        "times": audit_events.c.times,
    },
    stays="who got in, and what was done, can be looked up until [audit] keep_days are over",
)

# A batch whose commit ended in doubt is written again.
ADD = upsert(audit_events, ["id"], None)
timeline = Timeline(audit_events)
find = timeline.find


def _kept_ms(app: App) -> int:
    return app.section(AuditSettings).keep_days * DAY_MS


FORGET = forget_of_apps("audit.forget", timeline.expiry, _kept_ms)
