"""The stored answers of packets: what makes a repeated packet return its first answer.

A packet that writes stores its answer in the same transaction. One row per session is enough: a client sends
its packets one after the other, and the row holds the last one.
"""

from typing import NamedTuple

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    LargeBinary,
    String,
    Table,
    Text,
    bindparam,
    delete,
    select,
    update,
)

from gameserver.storage.errors import Overtaken
from gameserver.storage.tables import excluded, guarded, metadata, upsert
from gameserver.storage.transaction import Transaction

HOUR_MS = 3600 * 1000

packet_answers = Table(
    "packet_answers",
    metadata,
    Column("session", String(128), primary_key=True),
    Column("packet_id", BigInteger, nullable=False),
    Column("body_hash", Text, nullable=False),
    Column("answer", LargeBinary, nullable=False),
    Column("note", Text),
    Column("stored_at", BigInteger, nullable=False),  # the end of the hour: see `store`
    Index(None, "stored_at"),
)


class StoredAnswer(NamedTuple):
    """The answer of a packet; `note` is what must still be done outside of the database, or None."""

    body_hash: str
    answer: bytes
    note: str | None


_packet_id, _new = packet_answers.c.packet_id, excluded(packet_answers)
_STORE = upsert(
    packet_answers,
    ["session"],
    {
        "packet_id": guarded(_packet_id, _packet_id < _new.packet_id, _new.packet_id),
        **{name: _new[name] for name in ("body_hash", "answer", "note", "stored_at")},
    },
)
_FIND = select(packet_answers.c.body_hash, packet_answers.c.answer, packet_answers.c.note).where(
    packet_answers.c.session == bindparam("session"), packet_answers.c.packet_id == bindparam("packet_id")
)
_NOTE_DONE = (
    update(packet_answers)
    .where(
        packet_answers.c.session == bindparam("of_session"),
        packet_answers.c.packet_id == bindparam("of_packet_id"),
    )
    .values(note=None)
)
_FORGET_BEFORE = delete(packet_answers).where(
    packet_answers.c.session.in_(
        select(packet_answers.c.session)
        .where(packet_answers.c.stored_at < bindparam("before"))
        .order_by(packet_answers.c.stored_at)
        .limit(bindparam("at_most"))
    ),
    # Again, for an answer that was stored while this statement waited for its row.
    packet_answers.c.stored_at < bindparam("before"),
)


async def store(
    tx: Transaction,
    session: str,
    packet_id: int,
    body_hash: str,
    answer: bytes,
    note: str | None,
    now_ms: int,
) -> None:
    """Store the answer of a packet, as the last thing its transaction does.

    When this packet, or a later one of the session, is stored already, this or the end of the transaction
    raises an `Overtaken` that `is_fenced` knows. So only one of two runs of a packet commits; the other has
    to return the answer that is there.
    """
    await tx.later(
        _STORE,
        session=session,
        packet_id=packet_id,
        body_hash=body_hash,
        answer=answer,
        note=note,
        # Rarely another value, so that PostgreSQL can change the row without touching its indexes.
        stored_at=now_ms - now_ms % HOUR_MS + HOUR_MS,
    )


def is_fenced(error: Exception) -> bool:
    """Tell whether a transaction failed because the packet, or a later one of its session, is stored."""
    return isinstance(error, Overtaken) and error.column == str(_packet_id)


async def find(tx: Transaction, session: str, packet_id: int) -> StoredAnswer | None:
    """Return the stored answer of a packet; None when it has none, or a later packet has replaced it."""
    row = await tx.one(_FIND, session=session, packet_id=packet_id)
    return None if row is None else StoredAnswer(row[0], row[1], row[2])


async def note_done(tx: Transaction, session: str, packet_id: int) -> None:
    """Take the note off an answer: what it asked for has been done."""
    await tx.run(_NOTE_DONE, of_session=session, of_packet_id=packet_id)


async def forget_before(tx: Transaction, ms: int, limit: int) -> int:
    """Delete answers of the hours before a time, at most `limit`, the oldest first; return how many."""
    return await tx.run(_FORGET_BEFORE, before=ms, at_most=limit)
