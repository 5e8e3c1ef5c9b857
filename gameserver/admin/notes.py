"""What staff note about a player for each other. The player is not told, and it goes with them."""

import secrets
from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, String, Table, Text, bindparam, delete, select, update

from gameserver.admin.common import Refused, Server, app_of, limit_of, lock_player
from gameserver.admin.declaring import action, by_key
from gameserver.admin.operators import CLI, Operator, note
from gameserver.admin.rights import Right
from gameserver.players.lifecycle import PlayerTable
from gameserver.storage import Row, Transaction, insert_row, metadata
from gameserver.storage.tables import StoredBy
from gameserver.storage.timeline import first_id

TEXT_MAX = 4000
TOLD = ("note_id", "staff", "text", "is_pinned", "at_ms")


@action(Right.PLAYERS_READ, "GET /apps/{app}/players/{profile}/notes", pages=by_key("note_id"))
async def player_note_list(
    server: Server, app: str, profile: str, limit: int = 50, after: str = "", *, pinned: bool = False
) -> list[dict[str, Any]]:
    """Return what staff have noted about a player, the newest first; `after` is the id of the last one seen.

    `pinned`: only what is to be seen first of all.
    """
    app_of(server, app)
    most = limit_of(limit)
    async with server.core.database.read() as tx:
        rows = await tx.all(
            LISTED_PINNED if pinned else LISTED, app=app, profile=profile, most=most, after=after or "~"
        )
    return [{name: row[name] for name in TOLD} for row in rows]


@action(Right.PLAYERS_CHANGE, "POST /apps/{app}/players/{profile}/notes")
async def player_note_add(
    server: Server, app: str, profile: str, text: str, *, pinned: bool = False, by: Operator = CLI
) -> dict[str, Any]:
    """Note something about a player, for others of the studio."""
    app_of(server, app)
    text = text.strip()
    if not 0 < len(text) <= TEXT_MAX:
        raise Refused(f"a note has 1 to {TEXT_MAX} characters")
    now = server.core.clock.ms()
    note_id = f"{first_id(now)}{secrets.token_hex(8)}"
    row = {"note_id": note_id, "staff": by.name[:64], "text": text, "is_pinned": pinned, "at_ms": now}

    async def change(tx: Transaction) -> None:
        await lock_player(tx, app, profile)
        await tx.run(ADD, app_id=app, profile_id=profile, **row)
        # Without its text: a player is told what the journal holds.
        await note(server, tx, by, "player_note_add", app, profile=profile, target=note_id)

    await server.core.database.transact(change)
    return row


@action(Right.PLAYERS_CHANGE, "PUT /apps/{app}/players/{profile}/notes/{note_id}")
async def player_note_pin(
    server: Server, app: str, profile: str, note_id: str, *, pinned: bool = True, by: Operator = CLI
) -> dict[str, Any]:
    """Let a note be seen first of all, or no longer."""
    app_of(server, app)

    async def change(tx: Transaction) -> Row:
        row = await _found(tx, app, profile, note_id)
        await tx.run(PIN, app=app, profile=profile, note=note_id, pinned=pinned)
        before, after = {"is_pinned": bool(row["is_pinned"])}, {"is_pinned": pinned}
        await note(
            server, tx, by, "player_note_pin", app, profile=profile, target=note_id,
            before=before, after=after,
        )  # fmt: skip
        return row

    row = await server.core.database.transact(change)
    return {name: row[name] for name in TOLD} | {"is_pinned": pinned}


@action(Right.PLAYERS_CHANGE, "DELETE /apps/{app}/players/{profile}/notes/{note_id}")
async def player_note_remove(
    server: Server, app: str, profile: str, note_id: str, *, by: Operator = CLI
) -> dict[str, Any]:
    """Remove a note of one's own; whoever may erase players removes any."""
    app_of(server, app)

    async def change(tx: Transaction) -> None:
        row = await _found(tx, app, profile, note_id)
        if row["staff"] != by.name and not by.may(Right.PLAYERS_ERASE, app):
            raise Refused(f"the note is {row['staff'] or 'an operator'}'s, and only they remove it")
        await tx.run(REMOVE, app=app, profile=profile, note=note_id)
        before = {"characters": len(row["text"])}
        await note(server, tx, by, "player_note_remove", app, profile=profile, target=note_id, before=before)

    await server.core.database.transact(change)
    return {"note_id": note_id, "is_removed": True}


async def _found(tx: Transaction, app: str, profile: str, note_id: str) -> Row:
    row = await tx.one(FIND, app=app, profile=profile, note=note_id)
    if row is None:
        raise Refused("there is no such note")
    return row


ACTIONS = (player_note_list, player_note_add, player_note_pin, player_note_remove)

# Storage

staff_notes = Table(
    "staff_notes",
    metadata,
    Column("profile_id", String(36), primary_key=True),
    Column("note_id", String(28), primary_key=True),
    Column("app_id", String(64), nullable=False),
    Column("staff", String(64), nullable=False),
    Column("text", Text, nullable=False),
    Column("is_pinned", Boolean, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    info={"stored_by": StoredBy.PLAYER},
)
_c = staff_notes.c
KEPT = PlayerTable(
    staff_notes,
    "profile_id",
    {},
    untold=dict.fromkeys(("note_id", *TOLD), "what staff tell each other, until the player goes"),
)
_ITS = (_c.profile_id == bindparam("profile"), _c.app_id.concat("") == bindparam("app", type_=String))
_THIS = (*_ITS, _c.note_id == bindparam("note"))
ADD = insert_row(staff_notes)
LISTED = (
    select(staff_notes)
    .where(*_ITS, _c.note_id < bindparam("after"))
    .order_by(_c.note_id.desc())
    .limit(bindparam("most"))
)
LISTED_PINNED = LISTED.where(_c.is_pinned.is_(True))
FIND = select(staff_notes).where(*_THIS)
PIN = update(staff_notes).where(*_THIS).values(is_pinned=bindparam("pinned"))
REMOVE = delete(staff_notes).where(*_THIS)
