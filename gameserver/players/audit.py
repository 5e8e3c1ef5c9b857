"""The audit: who got in, who was refused, whose sessions ended, through which face and why.

Noting an event costs its caller nothing but memory; `storage.batches` writes what has come together.
"""

import secrets
from collections import Counter as Counts
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Annotated, Any, Literal

from msgspec import Meta
from prometheus_client import Counter
from sqlalchemy import BigInteger, Column, Index, Integer, String, Table

from gameserver.apps import App, Settings
from gameserver.frame import Parts, running
from gameserver.jobs import forget_of_apps
from gameserver.players.lifecycle import PlayerTable
from gameserver.storage import Database, metadata, upsert
from gameserver.storage.batches import Batches
from gameserver.storage.tables import StoredBy
from gameserver.storage.timeline import DAY_MS, Timeline, first_id
from gameserver.wire.clock import Clock

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


class Audit(Batches):
    """Takes events and writes them. One for each process."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._clock = clock
        self._refusals: dict[tuple[str, ...], dict[str, Any]] = {}  # those that may be met again
        self.logins: Counts[str] = Counts()
        """How many logins this process has noted so far, by app."""
        super().__init__(database, ADD, "audit_events", LOST, before_writing=self._refusals.clear)
        self._process = secrets.token_hex(4)
        self._numbers = count()

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
        if kind == "login":
            self.logins[app.id] += 1
        if app.section(AuditSettings).keep_days == 0:
            return
        profile_id, address, reason = profile_id[:36], address[:64], reason[:64]
        refused = None
        if kind == "refusal":
            refused = app.id, profile_id, session, face, address, reason
            if (same := self._refusals.get(refused)) is not None:
                same["times"] += times
                return
        now = self._clock.ms()
        event = {
            "id": f"{first_id(now)}{self._process}{next(self._numbers) & 0xFFFFFFFF:08x}",
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
        if self.put(event) and refused is not None:
            self._refusals[refused] = event


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
    Index("audit_events_by_session", "app_id", "session", "id", info={"concurrently": True}),
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
