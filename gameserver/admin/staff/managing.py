"""What may be done with staff and with the keys of their programs."""

from typing import Any

from gameserver.admin import views
from gameserver.admin.common import Refused, Server
from gameserver.admin.declaring import action
from gameserver.admin.operators import CLI, Operator, note
from gameserver.admin.rights import EVERY_APP, ROLES, Grants, Right
from gameserver.admin.staff.storage import (
    ALL,
    CHANGE_GRANTS,
    END_ALL,
    END_KEY,
    INVITATION_MS,
    KEY,
    KEYS,
    LOCK,
    NAME_MAX,
    REMOVE,
    REMOVE_TOKENS,
    RESET,
    SET_DISABLED,
    SET_GRANTS,
    add_member,
    digest_of,
    give,
    member_of,
    name_of,
    text_of,
)
from gameserver.storage import Row, Transaction
from gameserver.wire import json

KEY_DAYS_MAX = 3650


@action(Right.STAFF_MANAGE, "GET /staff")
async def staff_list(server: Server, app: str = "") -> list[dict[str, Any]]:
    """Return everybody of the studio, or those who have a role in an app, by name."""
    async with server.core.database.read() as tx:
        rows = await tx.all(ALL)
    return [_told(row) for row in rows if not app or member_of(row).grants.role_in(app)]


@action(Right.STAFF_MANAGE, "POST /staff")
async def staff_add(
    server: Server,
    name: str,
    role: str,
    app: str = EVERY_APP,
    *,
    also: list[str] | None = None,
    needs_second_factor: bool = False,
    by: Operator = CLI,
) -> dict[str, Any]:
    """Add somebody, or give them a role in another app; returns the token of a link for a password.

    `also` are rights beside the role, such as `contacts.read`; they hold in each of somebody's apps. Who is
    there already keeps their password, and gets no link.
    """
    name, role = name_of(name), _role(role)
    if also and not by.may(Right.STAFF_MANAGE, ""):
        raise Refused("only an admin of every app gives rights that hold in every app")
    more = tuple(_right(each) for each in also or ())
    _check_app(server, app)
    now = server.core.clock.ms()
    async with server.core.database.write() as tx:
        row = await tx.one(LOCK, name=name)
        _check_local(row)
        before = None if row is None else member_of(row).grants
        grants = Grants(
            {**(before.roles if before else {}), app: role}, more or (before.also if before else ())
        )
        if row is None:
            await add_member(tx, name, grants, now, needs_second_factor=needs_second_factor)
        else:
            needs = needs_second_factor or row["needs_second_factor"]
            await tx.run(SET_GRANTS, name=name, grants=text_of(grants), needs=needs)
        told = {"name": name, "roles": grants.roles, "also": list(grants.also)}
        await note(server, tx, by, "staff_add", target=name, before=before and before.roles, after=told)
        token = None
        if row is None:
            token = await give(tx, "invitation", name, now, INVITATION_MS, "")
    return {**told, "invitation": token}


@action(Right.STAFF_MANAGE, "POST /staff/{name}/reset")
async def staff_reset(server: Server, name: str, *, by: Operator = CLI) -> dict[str, Any]:
    """Take password and second factor from somebody, end their sessions, and return a link's token."""
    now = server.core.clock.ms()
    async with server.core.database.write() as tx:
        _check_local(await _found(tx, name))
        await tx.run(RESET, name=name)
        await tx.run(END_ALL, name=name)
        token = await give(tx, "invitation", name, now, INVITATION_MS, "")
        await note(server, tx, by, "staff_reset", target=name)
    return {"name": name, "invitation": token}


@action(Right.STAFF_MANAGE, "DELETE /staff/{name}")
async def staff_remove(server: Server, name: str, app: str = "", *, by: Operator = CLI) -> dict[str, Any]:
    """Take the role in an app from somebody, or remove them; their sessions and keys end."""
    async with server.core.database.write() as tx:
        grants = member_of(await _found(tx, name)).grants
        if by.name == name:
            raise Refused("nobody removes themselves; another admin can")
        left = {each: role for each, role in grants.roles.items() if app and each != app}
        if app and left == grants.roles:
            raise Refused(f"{name} has no role in {app}")
        if left:
            after = Grants(left, grants.also)
            await tx.run(CHANGE_GRANTS, name=name, grants=text_of(after))
        else:
            await tx.run(REMOVE, name=name)
            await tx.run(REMOVE_TOKENS, name=name)
            await views.forget_of(tx, name)
        await tx.run(END_ALL, name=name)
        await note(server, tx, by, "staff_remove", target=name, before=grants.roles, after=left)
    return {"name": name, "roles": left}


@action(Right.STAFF_MANAGE, "POST /staff/{name}/disable")
async def staff_disable(server: Server, name: str, *, by: Operator = CLI) -> dict[str, Any]:
    """Shut somebody out, whatever way they come: sessions end, and keys open nothing until they may again."""
    async with server.core.database.write() as tx:
        await _found(tx, name)
        if by.name == name:
            raise Refused("nobody shuts themselves out; another admin can")
        await tx.run(SET_DISABLED, name=name, at=server.core.clock.ms())
        await tx.run(END_ALL, name=name)
        await note(server, tx, by, "staff_disable", target=name)
    return {"name": name, "is_disabled": True}


@action(Right.STAFF_MANAGE, "POST /staff/{name}/enable")
async def staff_enable(server: Server, name: str, *, by: Operator = CLI) -> dict[str, Any]:
    """Let somebody in again who was shut out."""
    async with server.core.database.write() as tx:
        await _found(tx, name)
        await tx.run(SET_DISABLED, name=name, at=None)
        await note(server, tx, by, "staff_enable", target=name)
    return {"name": name, "is_disabled": False}


@action(Right.STAFF_MANAGE, "GET /keys")
async def key_list(server: Server, app: str = "") -> list[dict[str, Any]]:
    """Return the keys of programs, all or those of an app, without what opens the door."""
    async with server.core.database.read() as tx:
        rows = [row for row in await tx.all(KEYS) if not app or _is_of(row, app)]
    return [
        {
            "key": row["digest"],
            "owner": row["name"],
            "label": row["label"],
            "roles": json.read_stored(row["data"]).get("roles", {}),
            "began_ms": row["began_ms"],
            "until_ms": row["until_ms"],
        }
        for row in rows
    ]


@action(Right.STAFF_MANAGE, "POST /keys")
async def key_add(
    server: Server,
    label: str,
    role: str,
    app: str = EVERY_APP,
    days: int = 365,
    owner: str = "",
    *,
    by: Operator = CLI,
) -> dict[str, Any]:
    """Make a key with which a program uses the API; it is shown this once.

    It may do what its role may, as long as its owner may do so too.
    """
    _role(role)
    _check_app(server, app)
    if not 1 <= days <= KEY_DAYS_MAX or not 0 < len(label) <= NAME_MAX:
        raise Refused(f"a key lasts 1 to {KEY_DAYS_MAX} days and has a label of 1 to 64 characters")
    owner, now = owner or by.name, server.core.clock.ms()
    async with server.core.database.write() as tx:
        await _found(tx, owner)
        grants = Grants({app: role})
        token = await give(tx, "key", owner, now, days * 86_400_000, "", label=label, data=text_of(grants))
        await note(server, tx, by, "key_add", target=label, after={"owner": owner, **grants.roles})
    return {"key": digest_of(token), "label": label, "owner": owner, "token": token}


@action(Right.STAFF_MANAGE, "DELETE /keys/{key}")
async def key_remove(server: Server, key: str, app: str = "", *, by: Operator = CLI) -> dict[str, Any]:
    """End a key; with an app only one that is of that app alone."""
    async with server.core.database.write() as tx:
        row = await tx.one(KEY, digest=key)
        if row is None or (app and not _is_of(row, app)) or not await tx.run(END_KEY, digest=key):
            raise Refused("there is no such key")
        await note(server, tx, by, "key_remove", target=key[:16])
    return {"key": key}


ACTIONS = (
    staff_list,
    staff_add,
    staff_reset,
    staff_remove,
    staff_disable,
    staff_enable,
    key_list,
    key_add,
    key_remove,
)


def _check_local(row: Row | None) -> None:
    """Refuse what is the provider's to decide."""
    if row is not None and row["subject"] is not None:
        raise Refused(f"{row['name']} comes by single sign-on: roles and password are the provider's")


def _role(text: str) -> str:
    if text not in ROLES:
        raise Refused(f"a role is one of {', '.join(ROLES)}")
    return text


def _right(text: str) -> Right:
    try:
        return Right(text)
    except ValueError:
        raise Refused(f"a right is one of {', '.join(Right)}") from None


def _check_app(server: Server, app_id: str) -> None:
    if app_id != EVERY_APP and server.apps.find(app_id) is None:
        raise Refused(f"there is no app {app_id}; `gameserver app list` names them")


def _is_of(key: Row, app_id: str) -> bool:
    return list(json.read_stored(key["data"]).get("roles", {})) == [app_id]


def _told(row: Row) -> dict[str, Any]:
    member = member_of(row)
    return {
        "name": member.name,
        "roles": member.grants.roles,
        "also": list(member.grants.also),
        "has_password": row["password"] is not None,
        "signs_on": row["subject"] is not None,
        "is_disabled": row["disabled_ms"] is not None,
        "has_second_factor": member.has_second_factor,
        "needs_second_factor": member.needs_second_factor,
        "created_ms": row["created_ms"],
    }


async def _found(tx: Transaction, name: str) -> Row:
    row = await tx.one(LOCK, name=name)
    if row is None:
        raise Refused(f"nobody of the studio is called {name!r}; `gameserver staff list` names them")
    return row
