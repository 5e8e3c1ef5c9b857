"""Letters, from the call until some time after they were sent."""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    SmallInteger,
    String,
    Table,
    Text,
    bindparam,
    select,
    update,
)

from gameserver.players.lifecycle import PlayerTable
from gameserver.players.profiles import players
from gameserver.storage import Json, Transaction, insert_row, metadata
from gameserver.storage.expiry import Expiry
from gameserver.storage.tables import StoredBy
from gameserver.storage.timeline import DAY_MS, in_time

WAITING, SENT, FAILED, NOT_SENT = "waiting", "sent", "failed", "not_sent"
KEPT_MS = 30 * DAY_MS

letters = Table(
    "letters",
    metadata,
    Column("app_id", String(64), primary_key=True),
    Column("letter_id", String(36), primary_key=True),
    Column("sender_id", String(36), nullable=False),  # empty: the app itself
    Column("receiver_id", String(36), nullable=False),  # empty: an address
    Column("address", Text),  # until it is sent, where no player is named
    Column("content", Json, nullable=False),  # until it is sent
    Column("state", String(8), nullable=False),
    Column("reason", String(64), nullable=False),
    Column("tries", SmallInteger, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("ended_ms", BigInteger, nullable=False),
    Index("letters_by_sender", "sender_id"),
    Index("letters_by_receiver", "receiver_id"),
    Index("letters_by_age", "created_ms"),
    Index("letters_of_app", "app_id", "created_ms"),
    info={"stored_by": StoredBy.APP},
)
_c = letters.c
KEPT = PlayerTable(letters, ("sender_id", "receiver_id"), untold={"tries": "how the server sends"})
EXPIRY = Expiry(_c.created_ms)

ADD = insert_row(letters)
_THIS = (_c.app_id == bindparam("app"), _c.letter_id == bindparam("letter"))
READ = (
    select(
        letters,
        players.c.contact_email,
        players.c.language_code,
        players.c.name,
    )
    .select_from(letters.outerjoin(players, players.c.profile_id == _c.receiver_id))
    .where(*_THIS, _c.state == WAITING)
)
END = (
    update(letters)
    .where(*_THIS)
    .values(
        state=bindparam("new_state"),
        reason=bindparam("new_reason"),
        tries=_c.tries + 1,
        ended_ms=bindparam("end_ms"),
        address=None,
        content="{}",
    )
)
TRIED = update(letters).where(*_THIS).values(tries=_c.tries + 1, reason=bindparam("new_reason"))
MAILBOXES = select(players.c.profile_id).where(
    players.c.app_id == bindparam("app"),
    players.c.profile_id.in_(bindparam("profiles", expanding=True)),
    players.c.contact_email.is_not(None),
)
CREATED = select(_c.created_ms).where(*_THIS)
LISTED = ("created_ms", "state", "reason", "tries", "ended_ms", "sender_id", "receiver_id", "letter_id")


async def listed(
    tx: Transaction,
    app_id: str,
    most: int,
    *,
    after: str = "",
    since_ms: int | None = None,
    until_ms: int | None = None,
    oldest: bool = False,
    **equal: str,
) -> list[dict[str, Any]]:
    """Return what became of an app's letters, the newest or the oldest first, without addresses.

    `after` is the id of the last one already seen; `equal` names columns.
    """
    statement = select(*(_c[name] for name in LISTED)).where(_c.app_id == app_id)
    for name, value in equal.items():
        statement = statement.where(_c[name] == value)
    last = None
    if after:
        seen = await tx.one(CREATED, app=app_id, letter=after)
        if seen is None:
            return []
        last = (seen["created_ms"], after)
    statement = in_time(
        statement, _c.created_ms, _c.letter_id, last=last, since_ms=since_ms, until_ms=until_ms, oldest=oldest
    )
    rows = await tx.all(statement.limit(most))
    return [{name: row[name] for name in LISTED} for row in rows]
