"""The stored answers of packets: what makes a repeated packet return its first answer.

A packet that writes stores its answer in the same transaction. One row per session is enough: a client sends
its packets one after the other, and the row holds the last one.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Executable,
    Index,
    LargeBinary,
    String,
    Table,
    Text,
    Update,
    bindparam,
    cast,
    func,
    literal_column,
    select,
    update,
)
from sqlalchemy.dialects import postgresql

from gameserver.storage.errors import Conflict
from gameserver.storage.expiry import Expiry
from gameserver.storage.tables import StoredBy, excluded, fail_unless, metadata, upsert
from gameserver.storage.transaction import Transaction

HOUR_MS = 3600 * 1000
KEPT_MS = 24 * HOUR_MS
"""How long an answer is kept: SDKs repeat a packet minutes later at most."""

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
    info={"stored_by": StoredBy.KEY},
)


class StoredAnswer(NamedTuple):
    """The answer of a packet; `note` is what must still be done outside of the database, or None."""

    body_hash: str
    answer: bytes
    note: str | None


_packet_id, _new = packet_answers.c.packet_id, excluded(packet_answers)
_REPLACED = {
    "packet_id": fail_unless(_packet_id, _packet_id < _new.packet_id, _new.packet_id),
    **{name: _new[name] for name in ("body_hash", "answer", "note", "stored_at")},
}
_STORE = upsert(packet_answers, ["session"], _REPLACED)
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
expiry = Expiry(packet_answers.c.stored_at)


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
    raises an `Conflict` that `is_fenced` knows. So only one of two runs of a packet commits; the other has
    to return the answer that is there.
    """
    await tx.defer(
        _STORE,
        session=session,
        packet_id=packet_id,
        body_hash=body_hash,
        answer=answer,
        note=note,
        stored_at=_end_of_hour(now_ms),
    )


async def commit_with_answer(
    tx: Transaction,
    change: Update,
    params: dict[str, Any],
    columns: tuple[str, ...],
    texts: Sequence[str],
    session: str,
    packet_id: int,
    body_hash: str,
    now_ms: int,
) -> bytes | None:
    """Change one row and store the answer that tells of it, in one statement that is the whole transaction.

    `texts` are the parts of the answer around the values of `columns`, which are numbers of the changed row.
    Returns the answer; None when there was no row to change: then nothing has happened, and the transaction
    goes on. Raises what `store` raises, and what the end of a transaction does. On PostgreSQL only.
    """
    row = await tx.only(
        _changing(change, columns),
        **params,
        **{f"answer_{number}": text for number, text in enumerate(texts)},
        answer_session=session,
        answer_packet_id=packet_id,
        answer_body_hash=body_hash,
        answer_stored_at=_end_of_hour(now_ms),
    )
    return None if row is None else row[0]


@lru_cache(maxsize=1000)
def _changing(change: Update, columns: tuple[str, ...]) -> Executable:
    changed = change.cte("changed")
    parts: list[Any] = [bindparam("answer_0", type_=Text())]
    for number, name in enumerate(columns, 1):
        parts += [cast(changed.c[name], Text), bindparam(f"answer_{number}", type_=Text())]
    values: dict[str, ColumnElement[Any]] = {
        "session": bindparam("answer_session", type_=String(128)),
        "packet_id": bindparam("answer_packet_id", type_=BigInteger()),
        "body_hash": bindparam("answer_body_hash", type_=Text()),
        "answer": func.convert_to(func.concat(*parts), literal_column("'UTF8'")),
        "stored_at": bindparam("answer_stored_at", type_=BigInteger()),
    }
    row = select(*(value.label(name) for name, value in values.items())).select_from(changed)
    insert = postgresql.insert(packet_answers).from_select(list(values), row)
    stored = insert.on_conflict_do_update(index_elements=["session"], set_=_REPLACED)
    return stored.returning(packet_answers.c.answer)


def _end_of_hour(now_ms: int) -> int:
    """Rarely another value, so that PostgreSQL can change the row without touching its indexes."""
    return now_ms - now_ms % HOUR_MS + HOUR_MS


def is_fenced(error: Exception) -> bool:
    """Tell whether a transaction failed because the packet, or a later one of its session, is stored."""
    return isinstance(error, Conflict) and error.column == str(_packet_id)


async def find(tx: Transaction, session: str, packet_id: int) -> StoredAnswer | None:
    """Return the stored answer of a packet; None when it has none, or a later packet has replaced it."""
    row = await tx.one(_FIND, session=session, packet_id=packet_id)
    return None if row is None else StoredAnswer(row[0], row[1], row[2])


async def note_done(tx: Transaction, session: str, packet_id: int) -> None:
    """Take the note off an answer: what it asked for has been done."""
    await tx.run(_NOTE_DONE, of_session=session, of_packet_id=packet_id)
