"""Why a player is disabled, by whom, and until when; a job ends what has an end."""

from typing import Any

import msgspec
from sqlalchemy import BigInteger, Column, String, Table, Text, bindparam, delete, select

from gameserver.jobs import Job, JobRun, enqueue
from gameserver.players import users
from gameserver.players.lifecycle import PlayerTable
from gameserver.storage import Transaction, metadata, upsert
from gameserver.storage.tables import StoredBy


class Ban(msgspec.Struct, frozen=True):
    """A player is disabled."""

    reason: str
    staff: str
    """Who did so; empty for whoever has the command line."""
    at_ms: int
    until_ms: int | None
    """None: until somebody enables the player."""


async def begin(tx: Transaction, app_id: str, profile_id: str, ban: Ban) -> None:
    """Note a ban, in the transaction that disables the player; one that was there is replaced."""
    await tx.run(SET, app_id=app_id, profile_id=profile_id, **msgspec.structs.asdict(ban))
    if ban.until_ms is not None:
        key, payload = f"{profile_id}/{ban.until_ms}", {"app": app_id, "profile": profile_id}
        await enqueue(tx, END_JOB, key, payload, at_ms=ban.until_ms)


async def end(tx: Transaction, app_id: str, profile_id: str) -> None:
    """Forget a ban, in the transaction that enables the player."""
    await tx.run(FORGET, app=app_id, profile=profile_id)


async def read(tx: Transaction, app_id: str, profile_id: str) -> Ban | None:
    """Return a player's ban."""
    row = await tx.one(READ, app=app_id, profile=profile_id)
    return None if row is None else Ban(row["reason"], row["staff"], row["at_ms"], row["until_ms"])


def told(ban: Ban | None) -> dict[str, Any] | None:
    """Return a ban as plain JSON."""
    return None if ban is None else msgspec.structs.asdict(ban)


async def _end(run: JobRun) -> None:
    app_id, profile_id = run.payload["app"], run.payload["profile"]

    async def let_in(tx: Transaction) -> None:
        ban = await read(tx, app_id, profile_id)
        # Another ban may have taken this one's place, or somebody has enabled the player before.
        if ban is not None and ban.until_ms is not None and ban.until_ms <= run.now_ms:
            await users.set_disabled(tx, app_id, profile_id, disabled=False)
            await end(tx, app_id, profile_id)
        await run.done(tx)

    await run.database.transact(let_in)


END_JOB = Job("bans.end", _end)

# Storage

staff_bans = Table(
    "staff_bans",
    metadata,
    Column("profile_id", String(36), primary_key=True),
    Column("app_id", String(64), nullable=False),
    Column("reason", Text, nullable=False),
    Column("staff", String(64), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("until_ms", BigInteger),
    info={"stored_by": StoredBy.PLAYER},
)
_c = staff_bans.c
KEPT = PlayerTable(
    staff_bans, "profile_id", untold={"profile_id": "whose it is", "staff": "who of the studio did so"}
)
_ITS = (_c.profile_id == bindparam("profile"), _c.app_id.concat("") == bindparam("app", type_=String))
SET = upsert(staff_bans, ["profile_id"], ["reason", "staff", "at_ms", "until_ms"])
READ = select(staff_bans).where(*_ITS)
FORGET = delete(staff_bans).where(*_ITS)
