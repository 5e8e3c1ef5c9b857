"""Saved views: what staff ask a list of the console for, under a name, for themselves or all staff of an app.

A view is an address of a list without its beginning: the list's path, and what follows the question mark.
"""

import re
import secrets
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    String,
    Table,
    Text,
    bindparam,
    delete,
    or_,
    select,
    update,
)

from gameserver.admin.common import Refused, Server, app_of
from gameserver.admin.declaring import action, at_once
from gameserver.admin.operators import CLI, Operator, note
from gameserver.admin.rights import Right
from gameserver.storage import Row, Transaction, insert_row, metadata
from gameserver.storage.tables import StoredBy
from gameserver.storage.timeline import first_id

NAME_MAX, QUERY_MAX = 64, 2000
VIEWS_MAX = 200
"""Views that one of the staff may keep in an app, shared ones included."""
LISTED_MAX = 50
_PAGE = re.compile(r"/[a-z]{1,30}(?:/[a-z]{1,30}){0,2}")
_TOLD = ("view", "page", "name", "query", "staff", "is_shared", "created_ms")


@action(Right.PLAYERS_READ, "GET /apps/{app}/views", pages=at_once)
async def view_list(server: Server, app: str, page: str = "", *, by: Operator = CLI) -> list[dict[str, Any]]:
    """Return one's own saved views of an app, and those that others share, by their names.

    `page` is the list that they are of, such as `/players`; empty: of all. At most 50 are told.
    """
    app_of(server, app)
    async with server.core.database.read() as tx:
        asked = {"app": app, "staff": by.name, "most": LISTED_MAX}
        rows = await (tx.all(LISTED_OF_PAGE, page=page, **asked) if page else tx.all(LISTED, **asked))
    return [_told(row) | {"is_own": row["staff"] == by.name} for row in rows]


@action(Right.PLAYERS_READ, "POST /apps/{app}/views")
async def view_save(
    server: Server, app: str, page: str, name: str, query: str, *, by: Operator = CLI
) -> dict[str, Any]:
    """Keep what a list is asked for under a name, for oneself; one's own view of that name is replaced.

    `query` is what follows the question mark. A view that is replaced stays shared if it was.
    """
    app_of(server, app)
    name = name.strip()
    if not 0 < len(name) <= NAME_MAX or not name.isprintable():
        raise Refused(f"a view's name has 1 to {NAME_MAX} characters")
    if not _PAGE.fullmatch(page):
        raise Refused("a view is of a list, such as /players")
    if len(query) > QUERY_MAX or not query.isascii() or not query.isprintable():
        raise Refused(f"what a view asks for has at most {QUERY_MAX} characters")
    now = server.core.clock.ms()
    row = {
        "view": f"{first_id(now)}{secrets.token_hex(8)}",
        "page": page,
        "name": name,
        "query": query,
        "staff": by.name[:64],
        "is_shared": False,
        "created_ms": now,
    }

    async def change(tx: Transaction) -> dict[str, Any]:
        own = await tx.all(OWN, app=app, staff=by.name, most=VIEWS_MAX)
        same = next((each for each in own if (each["page"], each["name"]) == (page, name)), None)
        if same is None:
            if len(own) >= VIEWS_MAX:
                raise Refused(f"you have {VIEWS_MAX} views here; remove one first")
            await tx.run(ADD, app_id=app, **row)
            return row
        before = _told(same)
        await tx.run(REPLACE, app=app, view=same["view"], query=query)
        after = before | {"query": query}
        if same["is_shared"]:
            await note(server, tx, by, "view_save", app, target=name, before=before, after=after)
        return after

    return await server.core.database.transact(change)


@action(Right.VIEWS_SHARE, "PUT /apps/{app}/views/{view}")
async def view_share(
    server: Server, app: str, view: str, *, shared: bool = True, by: Operator = CLI
) -> dict[str, Any]:
    """Show a view of one's own to all staff of the app, or to nobody else any more."""
    app_of(server, app)

    async def change(tx: Transaction) -> dict[str, Any]:
        row = await _found(tx, app, view, by)
        if row["staff"] != by.name:
            raise Refused(f"the view is {row['staff'] or 'an operator'}'s, and only they share it")
        before, after = _told(row), _told(row) | {"is_shared": shared}
        await tx.run(SHARE, app=app, view=view, shared=shared)
        await note(server, tx, by, "view_share", app, target=row["name"], before=before, after=after)
        return after

    return await server.core.database.transact(change)


@action(Right.PLAYERS_READ, "DELETE /apps/{app}/views/{view}")
async def view_remove(server: Server, app: str, view: str, *, by: Operator = CLI) -> dict[str, Any]:
    """Remove a view of one's own; whoever manages staff removes shared ones of others, too."""
    app_of(server, app)

    async def change(tx: Transaction) -> dict[str, Any]:
        row = await _found(tx, app, view, by)
        if row["staff"] != by.name and not by.may(Right.STAFF_MANAGE, app):
            raise Refused(f"the view is {row['staff'] or 'an operator'}'s, and only they remove it")
        await tx.run(REMOVE, app=app, view=view)
        if row["is_shared"]:
            await note(server, tx, by, "view_remove", app, target=row["name"], before=_told(row))
        return _told(row)

    return await server.core.database.transact(change)


async def forget_of(tx: Transaction, staff: str) -> None:
    """Remove the views of somebody who has left, in all apps; those that are shared stay."""
    await tx.run(FORGET, staff=staff)


async def _found(tx: Transaction, app: str, view: str, by: Operator) -> Row:
    row = await tx.one(FIND, app=app, view=view)
    if row is None or not (row["is_shared"] or row["staff"] == by.name):
        raise Refused("there is no such view any more")
    return row


def _told(row: Row) -> dict[str, Any]:
    told = {name: row[name] for name in _TOLD}
    return told | {"is_shared": bool(row["is_shared"])}


ACTIONS = (view_list, view_save, view_share, view_remove)

# Storage

staff_views = Table(
    "staff_views",
    metadata,
    Column("app_id", String(64), primary_key=True),
    Column("view", String(28), primary_key=True),
    Column("staff", String(64), nullable=False),
    Column("page", String(96), nullable=False),
    Column("name", String(NAME_MAX), nullable=False),
    Column("query", Text, nullable=False),
    Column("is_shared", Boolean, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Index("staff_views_by_page", "app_id", "page", "name", "view"),
    Index("staff_views_by_staff", "staff"),
    info={"stored_by": StoredBy.APP},
)
_c = staff_views.c
_APP, _STAFF = _c.app_id == bindparam("app", type_=String), _c.staff == bindparam("staff", type_=String)
_THIS = (_APP, _c.view == bindparam("view", type_=String))
ADD = insert_row(staff_views)
_SEEN = select(staff_views).where(_APP, or_(_STAFF, _c.is_shared.is_(True))).limit(bindparam("most"))
LISTED = _SEEN.order_by(_c.page, _c.name, _c.view)
LISTED_OF_PAGE = _SEEN.where(_c.page == bindparam("page", type_=String)).order_by(_c.name, _c.view)
OWN = select(staff_views).where(_APP, _STAFF).limit(bindparam("most"))
FIND = select(staff_views).where(*_THIS)
REPLACE = update(staff_views).where(*_THIS).values(query=bindparam("query"))
SHARE = update(staff_views).where(*_THIS).values(is_shared=bindparam("shared"))
REMOVE = delete(staff_views).where(*_THIS)
FORGET = delete(staff_views).where(_STAFF, _c.is_shared.is_(False))
