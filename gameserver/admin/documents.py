"""Documents that staff edit: the text as it is stored, letter by letter, and nothing written by accident.

A shelf is a table of such documents. Text that a person has typed is stored as they have typed it, but for
blanks between its parts: a number that went through a program would come out as another one.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from sqlalchemy import BigInteger, ColumnElement, String, Table, and_, bindparam, delete, func, select

from gameserver.admin.common import Changed, Refused
from gameserver.admin.operators import Operator, note, noted
from gameserver.admin.players import player_row
from gameserver.apps import App
from gameserver.documents.documents import DATA_DEPTH_MAX, VERSION_ANY, check_names
from gameserver.domain.social import groups
from gameserver.rpc import Context
from gameserver.storage import Row, Statement, insert_row, locks
from gameserver.wire import json as wire_json
from gameserver.wire.errors import GameError

IS_GROUP = select(groups.social_groups.c.group_id).where(
    groups.social_groups.c.group_id == bindparam("group"), groups.OF_APP
)
HEAD_CHARACTERS = 201  # of a document in a list


@dataclass(frozen=True)
class Shelf:
    """A table with the columns `entity_id`, `app_id`, `version` and `data`.

    - `noun`: what one of its documents is called, and what its actions begin with.
    - `owner`: the column of the player who owns a document.
    - `keyed`: whether the owner belongs to a document's key.
    - `of_group`: whether its group does, in the column `group_id`.
    - `set_data`: takes the key, `new_data` and `now_ms`; the version goes up by one.
    - `bytes_max`: how large an app lets a document be.
    """

    noun: str
    table: Table
    owner: str
    keyed: bool
    set_data: Statement
    bytes_max: Callable[[App], int]
    of_group: bool = False
    lock: Statement = field(init=False)
    read: Statement = field(init=False)
    insert: Statement = field(init=False)
    delete: Statement = field(init=False)

    def __post_init__(self) -> None:
        """Describe the statements."""
        c = self.table.c
        one: ColumnElement[bool] = and_(
            c.entity_id == bindparam("entity"), c.app_id.concat("") == bindparam("app", type_=String)
        )
        if self.keyed:
            one = and_(c[self.owner] == bindparam("owner"), one)
        if self.of_group:
            one = and_(c.group_id == bindparam("group"), one)
        set_ = object.__setattr__
        set_(self, "read", select(self.table).where(one))
        set_(self, "lock", select(self.table).where(one).with_for_update())
        set_(self, "insert", insert_row(self.table))
        set_(self, "delete", delete(self.table).where(one))

    def key(self, app: str, entity: str, owner: str = "", group: str = "") -> dict[str, str]:
        """Return the parameters that find a document."""
        key = {"app": app, "entity": entity}
        key |= {"owner": owner} if self.keyed else {}
        return key | ({"group": group} if self.of_group else {})

    @property
    def listed(self) -> tuple[ColumnElement[Any], ...]:
        """The columns of a list: all but the data, of which there are the first characters and the length."""
        c = self.table.c
        return (
            *(column for column in c if column.name not in ("data", "app_id")),
            func.substr(c.data, 1, HEAD_CHARACTERS).label("head"),
            func.length(c.data, type_=BigInteger).label("characters"),
        )

    def head_of(self, row: Row) -> dict[str, Any]:
        """Return a row of a list as plain JSON."""
        return {str(each.name): row[each.name] for each in self.listed}

    def whole(self, row: Row) -> dict[str, Any]:
        """Return a document as it is stored, as plain JSON; its data is text."""
        return {str(column.name): row[column.name] for column in self.table.c}


async def row_of(ctx: Context, shelf: Shelf, key: Mapping[str, str]) -> Row:
    """Return a document as it is stored. Raises `Refused` where there is none."""
    row = await ctx.tx.one(shelf.read, **key)
    if row is None:
        raise Refused("there is no such entity any more")
    return row


async def save(
    ctx: Context, by: Operator, shelf: Shelf, key: Mapping[str, str], typed: str, version: int
) -> dict[str, Any]:
    """Replace the data of a document with what somebody has typed who has seen a version of it.

    Text that means what is stored writes nothing. Raises `Changed` when another version is stored.
    """
    row = await _lock(ctx, shelf, key)
    stored = compact(row["data"].encode())
    text = compact(_bytes(typed))
    if text == stored:
        return {"changed": False, "version": row["version"]}
    if version not in (VERSION_ANY, row["version"]):
        raise Changed(row["data"], row["version"])
    new = checked(text, shelf.bytes_max(ctx.app))
    await ctx.tx.run(shelf.set_data, **key, new_data=new, now_ms=ctx.now_ms)
    before, after = shelf.whole(row), {"version": row["version"] + 1, "data": new}
    change = await _note(ctx, by, f"{shelf.noun}_save", shelf, before, after)
    return {"changed": True, "version": after["version"], "change": change}


async def remove(ctx: Context, by: Operator, shelf: Shelf, key: Mapping[str, str]) -> dict[str, Any]:
    """Delete a document; `change` in the answer is what `restore` takes."""
    row = await _lock(ctx, shelf, key)
    await ctx.tx.run(shelf.delete, **key)
    change = await _note(ctx, by, f"{shelf.noun}_delete", shelf, shelf.whole(row), None)
    return {"deleted": key["entity"], "version": row["version"], "change": change}


async def restore(ctx: Context, by: Operator, shelf: Shelf, change: str) -> dict[str, Any]:
    """Undo a save or a deletion: the document is again as it was before.

    One that was deleted comes back with its version; one that was saved goes on to the next. Raises
    `Changed` when somebody has changed it since.
    """
    saved, deleted = f"{shelf.noun}_save", f"{shelf.noun}_delete"
    row = await noted(ctx.tx, ctx.app.id, change, saved, deleted)
    if row is None or row["before"] is None:
        raise Refused("the journal has no such change any more")
    before = msgspec.json.decode(row["before"])
    group = before["group_id"] if shelf.of_group else ""
    key = shelf.key(ctx.app.id, before["entity_id"], before[shelf.owner] or "", group)
    if row["action"] == deleted:
        owner = before[shelf.owner]
        held = [locks.player_lock(owner)] if owner else []
        held += [groups.group_lock(ctx.app.id, group)] if group else []
        await locks.take(ctx.tx, held)  # or a player, or a group, that goes would leave it behind
        if owner:
            await player_row(ctx.tx, ctx.app.id, owner)
        if group and await ctx.tx.one(IS_GROUP, group=group, app=ctx.app.id) is None:
            raise Refused("the group is gone, so nothing was put back")
        if not await ctx.tx.unless_taken(shelf.insert, **before):
            raise Refused("there is one in its place by now, so nothing was put back")
        after = before
    else:
        there = await _lock(ctx, shelf, key)
        if there["version"] != before["version"] + 1:
            raise Changed(there["data"], there["version"])
        await ctx.tx.run(shelf.set_data, **key, new_data=before["data"], now_ms=ctx.now_ms)
        after = {"version": there["version"] + 1, "data": before["data"]}
    await _note(ctx, by, f"{shelf.noun}_restore", shelf, before, after)
    told = {"entity_id": before["entity_id"], "owner": before[shelf.owner], "version": after["version"]}
    return told | ({"group": group} if group else {})


async def _lock(ctx: Context, shelf: Shelf, key: Mapping[str, str]) -> Row:
    row = await ctx.tx.one(shelf.lock, **key)
    if row is None:
        raise Refused("there is no such entity any more")
    return row


async def _note(
    ctx: Context,
    by: Operator,
    action: str,
    shelf: Shelf,
    before: dict[str, Any],
    after: dict[str, Any] | None,
) -> str:
    return await note(
        ctx, ctx.tx, by, action, ctx.app.id,
        profile=before[shelf.owner] or "", before=before, after=after, whole=True,
        target=f"{before['entity_type'] or ''} {before['entity_id']}".strip(),
    )  # fmt: skip


# What somebody has typed


def _bytes(typed: str) -> bytes:
    try:
        return typed.encode()
    except UnicodeEncodeError:
        raise Refused("the text holds half of a character") from None


def compact(text: bytes) -> bytes:
    """Return JSON text without the blanks between its parts, each part letter by letter. Raises `Refused`."""
    try:
        wire_json.checked(text, DATA_DEPTH_MAX)
        return msgspec.json.format(text, indent=-1)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refused(f"this is no JSON: {error}") from None
    except GameError as error:
        raise Refused(str(error)) from None


def checked(text: bytes, bytes_max: int) -> str:
    """Return the text of a document that clients can be given. Raises `Refused`."""
    text = wire_json.checked(
        text
    )  # whole numbers beyond 64 bits become the doubles that clients make of them
    if len(text) > bytes_max:
        raise Refused(f"the data may have {bytes_max} bytes as compact JSON, and this has {len(text)}")
    try:
        data = json.loads(text, object_pairs_hook=_once)
        if not isinstance(data, dict):
            raise Refused("the data is an object: {…}")
        check_names(data, "data")
    except (ValueError, RecursionError) as error:
        raise Refused(f"this is no JSON: {error}") from None
    except GameError as error:
        raise Refused(str(error)) from None
    return text.decode()


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise Refused(f"the name {name[:64]!r} stands twice in one object")
        found[name] = value
    return found
