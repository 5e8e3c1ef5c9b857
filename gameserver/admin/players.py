"""What staff do with players: find, look at, lock out, and decide over all that is kept of them."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from string import ascii_lowercase, ascii_uppercase
from typing import Any

from sqlalchemy import String, bindparam, func, or_, select, union

from gameserver.admin import bans
from gameserver.admin.common import FACE, LIMIT_MAX, ORIGIN, Refused, Server, app_of, limit_of
from gameserver.admin.declaring import Do, Rows, action, by_key
from gameserver.admin.operators import CLI, Operator, note
from gameserver.admin.rights import Right
from gameserver.admin.securing import identity_ref
from gameserver.admin.sessions import session_shown
from gameserver.apps import LOGIN_TYPES
from gameserver.faces.backendless import BackendlessSettings
from gameserver.players import accounts, roles, users
from gameserver.players.identities import identities
from gameserver.players.profiles import IS_NAMED, is_called, players
from gameserver.players.termination import Actor
from gameserver.rpc import Context
from gameserver.sessions import AllOf, SessionsUnavailable
from gameserver.storage import Row, Transaction
from gameserver.storage.beginnings import beginning, starts_with
from gameserver.storage.letters import behind, by_letters, not_before
from gameserver.wire.errors import GameError

_p = players
_LISTED = (
    _p.c.profile_id,
    _p.c.name,
    _p.c.created_ms,
    _p.c.last_login_ms,
    _p.c.login_count,
    _p.c.is_disabled,
)
_SHOWN = (
    *_LISTED,
    _p.c.contact_email,
    _p.c.picture_url,
    _p.c.language_code,
    _p.c.country_code,
    _p.c.time_zone_offset,
    _p.c.is_tester,
)
_OLDEST_FIRST = (_p.c.created_ms, _p.c.profile_id)

FIRST_USERS = (
    select(*_LISTED).where(_p.c.app_id == bindparam("app")).order_by(*_OLDEST_FIRST).limit(bindparam("most"))
)
USERS_AFTER = (
    select(*_LISTED)
    .where(
        _p.c.app_id == bindparam("app"),
        # Beside what is meant, what an index finds: or the engines go through all that were seen already.
        _p.c.created_ms >= bindparam("created"),
        or_(_p.c.created_ms > bindparam("created"), _p.c.profile_id > bindparam("profile")),
    )
    .order_by(*_OLDEST_FIRST)
    .limit(bindparam("most"))
)
_APP, _WANTED = _p.c.app_id == bindparam("app"), bindparam("wanted", type_=String)
# Each way has an index of its own; one condition with all of them would have none.
_WAYS = union(
    select(_p.c.profile_id).where(_APP, _p.c.profile_id == _WANTED),
    select(_p.c.profile_id).where(_APP, is_called(_WANTED)),
    select(_p.c.profile_id).where(_APP, _p.c.contact_email.is_not(None), _p.c.contact_email == _WANTED),
    select(identities.c.profile_id).where(
        identities.c.app_id == bindparam("app"),
        identities.c.type.in_(bindparam("types", expanding=True)),
        identities.c.external_key.in_(bindparam("keys", expanding=True)),
    ),
).subquery()
FIND_PLAYERS = (
    select(*_LISTED)
    # The app again, said so that SQLite does not go through all its players, which an index has in order.
    .where(_p.c.app_id.concat("") == bindparam("app"), _p.c.profile_id.in_(select(_WAYS.c.profile_id)))
    .order_by(*_OLDEST_FIRST)
    .limit(bindparam("most"))
)
_NEWEST = (_p.c.created_ms.desc(), _p.c.profile_id.desc())
NEWEST_PLAYERS = (
    select(*_LISTED).where(_p.c.app_id == bindparam("app")).order_by(*_NEWEST).limit(bindparam("most"))
)
PLAYERS_BEFORE = (
    select(*_LISTED)
    .where(
        _p.c.app_id == bindparam("app"),
        _p.c.created_ms <= bindparam("created"),
        or_(_p.c.created_ms < bindparam("created"), _p.c.profile_id < bindparam("profile")),
    )
    .order_by(*_NEWEST)
    .limit(bindparam("most"))
)
_NAME, _LOWER = func.lower(_p.c.name), bindparam("name", type_=String)
_BY_NAME = (by_letters(_NAME), _p.c.profile_id)
FIRST_BY_NAME = (
    select(*_LISTED)
    .where(_p.c.app_id == bindparam("app"), IS_NAMED)
    .order_by(*_BY_NAME)
    .limit(bindparam("most"))
)
BY_NAME_AFTER = FIRST_BY_NAME.where(
    not_before(_NAME, _LOWER), or_(behind(_NAME, _LOWER), _p.c.profile_id > bindparam("profile"))
)
LOWER_NAME = select(_NAME.label("name")).where(
    _p.c.profile_id == bindparam("profile"), _p.c.app_id == bindparam("app")
)
_LIKE = select(*_LISTED).limit(bindparam("most"))
BY_START_OF_NAME = _LIKE.where(_p.c.app_id == bindparam("app"), IS_NAMED, starts_with(func.lower(_p.c.name)))
BY_START_OF_ID = _LIKE.where(
    _p.c.app_id.concat("") == bindparam("app", type_=String),
    _p.c.profile_id >= bindparam("at_least"),
    _p.c.profile_id < bindparam("below"),
)
_SMALL = str.maketrans(ascii_uppercase, ascii_lowercase)
IDS_BY_START_OF_NAME = (
    select(_p.c.profile_id)
    .where(_p.c.app_id == bindparam("app"), IS_NAMED, starts_with(func.lower(_p.c.name)))
    .limit(bindparam("most"))
)
IDS_BY_START_OF_ID = (
    select(_p.c.profile_id)
    .where(
        _p.c.app_id.concat("") == bindparam("app", type_=String),
        _p.c.profile_id >= bindparam("at_least"),
        _p.c.profile_id < bindparam("below"),
    )
    .limit(bindparam("most"))
)
_WAYS_MOST = select(_WAYS.c.profile_id).limit(bindparam("most"))
SOME_PLAYERS = select(*_LISTED).where(
    _p.c.app_id.concat("") == bindparam("app", type_=String),
    _p.c.profile_id.in_(bindparam("ids", expanding=True)),
)
MEANT_MAX = 100_000  # players that a text may mean where all of them are wanted
SESSIONS_SECONDS_MAX = 1.0  # for what a player can be shown without
ID_LETTERS_MIN = 4  # of a profile id, to look for what it begins with
FIND_USER = select(*_SHOWN).where(_p.c.profile_id == bindparam("profile"), _p.c.app_id == bindparam("app"))
IDENTITIES = (
    select(
        *(identities.c[name] for name in ("type", "external_key", "external_id")),
        identities.c.is_validated,
        identities.c.created_ms,
    )
    .where(identities.c.profile_id == bindparam("profile"), identities.c.app_id == bindparam("app"))
    .order_by(identities.c.created_ms, identities.c.type)
)


@action(Right.PLAYERS_READ, "GET /apps/{app}/players", pages=by_key("profile_id"))
async def player_list(server: Server, app: str, limit: int = 50, after: str = "") -> list[dict[str, Any]]:
    """Return players of an app, the oldest first; `after` is the id of the last one already seen."""
    app_of(server, app)
    most = limit_of(limit)
    async with server.core.database.read() as tx:
        if not after:
            rows = await tx.all(FIRST_USERS, app=app, most=most)
        else:
            last = await player_row(tx, app, after)
            rows = await tx.all(USERS_AFTER, app=app, created=last["created_ms"], profile=after, most=most)
    return [{column.name: row[column.name] for column in _LISTED} for row in rows]


@action(Right.PLAYERS_READ, "GET /apps/{app}/players/find")
async def player_find(server: Server, app: str, text: str, limit: int = 50) -> list[dict[str, Any]]:
    """Return the players with this profile id, name, mail address or external id, the oldest first."""
    app_of(server, app)
    most, wanted = limit_of(limit), text.strip()
    keys = sorted({accounts.identity_key(type_, wanted) for type_ in LOGIN_TYPES})
    async with server.core.database.read() as tx:
        rows = await tx.all(
            FIND_PLAYERS, app=app, wanted=wanted, keys=keys, types=list(LOGIN_TYPES), most=most
        )
    return [{column.name: row[column.name] for column in _LISTED} for row in rows]


@action(Right.PLAYERS_READ, "GET /apps/{app}/players/newest", pages=by_key("profile_id"))
async def player_newest(server: Server, app: str, limit: int = 50, after: str = "") -> list[dict[str, Any]]:
    """Return players of an app, the newest first; `after` is the id of the last one already seen."""
    app_of(server, app)
    most = limit_of(limit)
    async with server.core.database.read() as tx:
        if not after:
            rows = await tx.all(NEWEST_PLAYERS, app=app, most=most)
        else:
            last = await player_row(tx, app, after)
            rows = await tx.all(PLAYERS_BEFORE, app=app, created=last["created_ms"], profile=after, most=most)
    return [{column.name: row[column.name] for column in _LISTED} for row in rows]


@action(Right.PLAYERS_READ, "GET /apps/{app}/players/by-name", pages=by_key("profile_id"))
async def player_by_name(server: Server, app: str, limit: int = 50, after: str = "") -> list[dict[str, Any]]:
    """Return those players of an app who have a name, by name; `after` is the id of the last one seen.

    Names stand in the order of their letters' numbers, capital letters among small ones.
    """
    app_of(server, app)
    most = limit_of(limit)
    async with server.core.database.read() as tx:
        if not after:
            rows = await tx.all(FIRST_BY_NAME, app=app, most=most)
        else:
            last = await tx.one(LOWER_NAME, profile=after, app=app)
            if last is None:
                raise Refused(f"app {app} has no player {after}")
            rows = await tx.all(BY_NAME_AFTER, app=app, name=last["name"], profile=after, most=most)
    return [{column.name: row[column.name] for column in _LISTED} for row in rows]


async def meant(server: Server, app: str, text: str) -> list[str]:
    """Return the ids of all players whom a text means, as `player_search` finds them. Raises `Refused`.

    Of more than 100 000 nobody gets the ids: those are as good as all.
    """
    wanted, most = text.strip(), MEANT_MAX + 1
    if not wanted:
        raise Refused("a text says which players are meant")
    keys = sorted({accounts.identity_key(type_, wanted) for type_ in LOGIN_TYPES})
    async with server.core.database.read() as tx:
        exact = {"app": app, "wanted": wanted, "keys": keys, "types": list(LOGIN_TYPES), "most": most}
        found = {row["profile_id"] for row in await tx.all(_WAYS_MOST, **exact)}
        if not found:
            ways = [(IDS_BY_START_OF_NAME, spelt) for spelt in _spelt(wanted)]
            if len(wanted) >= ID_LETTERS_MIN:
                ways.append((IDS_BY_START_OF_ID, wanted.lower()))
            for statement, start in ways:
                rows = await tx.all(statement, app=app, most=most, **beginning(start))
                found |= {row["profile_id"] for row in rows}
    if len(found) > MEANT_MAX:
        raise Refused(
            f"{wanted!r} means more than {MEANT_MAX} players: say more of the name, or take a segment"
        )
    return sorted(found)


async def _pages_of_search(ask: Do, server: Server, arguments: Mapping[str, Any]) -> AsyncIterator[Rows]:
    """Read all players whom a text means; where they are many, in the order of their ids."""
    rows = await ask(limit=LIMIT_MAX)
    if len(rows) < LIMIT_MAX:
        yield rows
        return
    ids = await meant(server, arguments["app"], arguments["text"])
    for start in range(0, len(ids), LIMIT_MAX):
        some = ids[start : start + LIMIT_MAX]
        async with server.core.database.read() as tx:
            rows = await tx.all(SOME_PLAYERS, app=arguments["app"], ids=some)
        named = {row["profile_id"]: row for row in rows}
        yield [{column.name: named[one][column.name] for column in _LISTED} for one in some if one in named]


@action(Right.PLAYERS_READ, "GET /apps/{app}/players/search", pages=_pages_of_search)
async def player_search(server: Server, app: str, text: str, limit: int = 50) -> list[dict[str, Any]]:
    """Return the players whom a text means: as `player_find` does, or else by how it begins.

    That is a name in whatever case, or a profile id.
    """
    exact = await player_find(server, app, text, limit)
    wanted = text.strip()
    if exact or not wanted:
        return exact
    found: dict[str, Row] = {}
    async with server.core.database.read() as tx:
        for spelt in _spelt(wanted):
            for row in await tx.all(BY_START_OF_NAME, app=app, most=limit, **beginning(spelt)):
                found.setdefault(row["profile_id"], row)
        if len(wanted) >= ID_LETTERS_MIN:
            for row in await tx.all(BY_START_OF_ID, app=app, most=limit, **beginning(wanted.lower())):
                found.setdefault(row["profile_id"], row)
    rows = sorted(found.values(), key=lambda row: (row["name"].casefold(), row["profile_id"]))[:limit]
    return [{column.name: row[column.name] for column in _LISTED} for row in rows]


@action(Right.PLAYERS_READ, "GET /apps/{app}/players/{profile}")
async def player_show(server: Server, app: str, profile: str, *, by: Operator = CLI) -> dict[str, Any]:
    """Return a player with identities and open sessions.

    Who may not read contacts gets None for the mail address and for what the player logs in with. `sessions`
    is None while Redis is away: everything else can be seen nevertheless.
    """
    app_of(server, app)
    async with server.core.database.read() as tx:
        row = await player_row(tx, app, profile)
        ban = await bans.read(tx, app, profile)
        logins = await tx.all(IDENTITIES, profile=profile, app=app)
    shown: dict[str, Any] = {column.name: row[column.name] for column in _SHOWN}
    shown["ban"] = bans.told(ban)
    shown["identities"] = [
        {"identity": identity_ref(login["type"], login["external_key"])}
        | {name: login[name] for name in ("type", "external_id", "is_validated", "created_ms")}
        for login in logins
    ]
    if not by.may(Right.CONTACTS_READ, app):
        shown["contact_email"] = None
        for login in shown["identities"]:
            login["external_id"] = None
    shown["sessions"] = await _open_sessions(server, app, profile)
    return shown


async def _open_sessions(server: Server, app: str, profile: str) -> list[dict[str, Any]] | None:
    try:
        async with asyncio.timeout(SESSIONS_SECONDS_MAX):
            return [session_shown(session) for session in await server.core.sessions.list(app, profile)]
    except (SessionsUnavailable, TimeoutError):
        return None


@action(Right.PLAYERS_CHANGE, "POST /apps/{app}/players/{profile}/disable", dangerous=True)
async def player_disable(
    server: Server, app: str, profile: str, until_ms: int | None = None, *, by: Operator = CLI
) -> dict[str, Any]:
    """Refuse a player's logins, and end their sessions on every process.

    `until_ms` lets them in again at a time, without anybody's doing.
    """
    definition = app_of(server, app)
    if until_ms is not None and until_ms <= server.core.clock.ms():
        raise Refused("the end of the ban is over already")

    async def change(tx: Transaction) -> int:
        epoch = await _set_disabled(tx, app, profile, disabled=True)
        before = await bans.read(tx, app, profile)
        ban = bans.Ban(by.reason, by.name, server.core.clock.ms(), until_ms)
        await bans.begin(tx, app, profile, ban)
        after = {"is_disabled": True, "until_ms": until_ms}
        await note(
            server, tx, by, "player_disable", app, profile=profile, before=bans.told(before), after=after
        )
        return epoch

    epoch = await server.core.database.transact(change)
    ended = await server.core.endings.end(
        definition, AllOf(app, profile), "disabled", Actor(FACE, why="disabled"), epoch=epoch
    )
    until = {} if until_ms is None else {"until_ms": until_ms}
    return {"profile_id": profile, "is_disabled": True, **until, "sessions_ended": len(ended)}


@action(Right.PLAYERS_CHANGE, "POST /apps/{app}/players/{profile}/enable")
async def player_enable(server: Server, app: str, profile: str, *, by: Operator = CLI) -> dict[str, Any]:
    """Allow a disabled player's logins again."""
    app_of(server, app)

    async def change(tx: Transaction) -> None:
        await _set_disabled(tx, app, profile, disabled=False)
        before = await bans.read(tx, app, profile)
        await bans.end(tx, app, profile)
        await note(server, tx, by, "player_enable", app, profile=profile, before=bans.told(before))

    await server.core.database.transact(change)
    return {"profile_id": profile, "is_disabled": False}


@action(Right.PLAYERS_ERASE, "POST /apps/{app}/players/{profile}/export", dangerous=True)
async def player_export(server: Server, app: str, profile: str, *, by: Operator = CLI) -> dict[str, Any]:
    """Return everything that is kept of a player, sessions too, under the names clients know."""
    definition, core = app_of(server, app), server.core
    await core.audit.flush()
    async with core.database.read() as tx:
        await player_row(tx, app, profile)
        services = await core.player_hooks.export_player(tx, app, profile)
    sessions = [
        {
            "face": session.face,
            "createdAt": session.created_ms,
            "lastUsedAt": session.last_used_ms,
            "facts": session.facts,
        }
        for session in await core.sessions.list(app, profile)
    ]
    core.audit.note(definition, "player", "exported", face=FACE, address="", profile_id=profile)
    async with core.database.write() as tx:
        await note(server, tx, by, "player_export", app, profile=profile)
    return {
        "appId": app,
        "profileId": profile,
        "exportedAt": core.clock.ms(),
        "services": services,
        "sessions": sessions,
    }


@action(Right.PLAYERS_ERASE, "POST /apps/{app}/players/{profile}/reset", dangerous=True)
async def player_reset(server: Server, app: str, profile: str, *, by: Operator = CLI) -> dict[str, Any]:
    """Remove a player's game data, as the client's own reset does."""

    async def work(ctx: Context) -> None:
        await player_row(ctx.tx, app, profile)
        await server.core.player_hooks.reset_player(ctx, profile)
        await note(server, ctx.tx, by, "player_reset", app, profile=profile)

    await server.runner.do(work, app_of(server, app), ORIGIN)
    return {"profile_id": profile, "is_reset": True}


@action(Right.PLAYERS_ERASE, "DELETE /apps/{app}/players/{profile}", dangerous=True)
async def player_delete(server: Server, app: str, profile: str, *, by: Operator = CLI) -> dict[str, Any]:
    """Remove everything that is kept of a player, and end their sessions on every process."""

    async def work(ctx: Context) -> None:
        if not await server.core.player_hooks.delete_player(ctx, profile):
            raise Refused(f"app {app} has no player {profile}")
        await note(server, ctx.tx, by, "player_delete", app, profile=profile)

    definition = app_of(server, app)
    # Before and after: packets that still come in would write what nobody removes any more.
    await server.core.endings.end(definition, AllOf(app, profile), "revoked", Actor(FACE, why="deleted"))
    await server.runner.do(work, definition, ORIGIN)
    return {"profile_id": profile, "is_deleted": True}


@action(Right.PLAYERS_ERASE, "POST /apps/{app}/players/{profile}/merge", dangerous=True)
async def player_merge(
    server: Server, app: str, profile: str, target: str, *, by: Operator = CLI
) -> dict[str, Any]:
    """Give what is kept of a player to another one, and delete the first."""
    if profile == target:
        raise Refused("a player cannot be merged with themself")

    async def work(ctx: Context) -> None:
        try:
            merged = await server.core.player_hooks.merge_players(ctx, profile, target)
        except GameError as error:
            raise Refused(f"the two players cannot be merged: {error}") from error
        if not merged:
            await player_row(ctx.tx, app, target)
            raise Refused(f"app {app} has no player {profile}")
        await note(server, ctx.tx, by, "player_merge", app, profile=target, target=profile)

    definition = app_of(server, app)
    async with server.core.database.read() as tx:
        await player_row(tx, app, target)
        is_gone = await tx.one(FIND_USER, profile=profile, app=app) is None
    if is_gone:  # an earlier command may have been cut short before it ended their sessions
        await server.core.endings.end(
            definition, AllOf(app, profile), "revoked", Actor(FACE, why="merged_into")
        )
    await server.runner.do(work, definition, ORIGIN)
    return {"profile_id": target, "merged": profile}


@action(Right.PLAYERS_READ, "GET /apps/{app}/players/{profile}/roles")
async def player_role_list(server: Server, app: str, profile: str) -> list[str]:
    """Return the roles that a player was given."""
    app_of(server, app)
    async with server.core.database.read() as tx:
        await player_row(tx, app, profile)
        return await roles.of_player(tx, app, profile)


@action(Right.PLAYERS_CHANGE, "PUT /apps/{app}/players/{profile}/roles/{role}")
async def player_role_add(
    server: Server, app: str, profile: str, role: str, *, by: Operator = CLI
) -> list[str]:
    """Give a player a role that the app declares; returns all they have then."""
    declared = app_of(server, app).section(BackendlessSettings).roles
    if role not in declared:
        known = ", ".join(declared) or "none"
        raise Refused(f"app {app} declares no role {role!r} in [backendless] roles; there are: {known}")

    async def change(tx: Transaction) -> list[str]:
        await player_row(tx, app, profile)
        await roles.add(tx, app, profile, role, server.core.clock.ms())
        await note(server, tx, by, "player_role_add", app, profile=profile, target=role)
        return await roles.of_player(tx, app, profile)

    return await server.core.database.transact(change)


@action(Right.PLAYERS_CHANGE, "DELETE /apps/{app}/players/{profile}/roles/{role}")
async def player_role_remove(
    server: Server, app: str, profile: str, role: str, *, by: Operator = CLI
) -> list[str]:
    """Take a role from a player, also one that is not declared any more; returns those they keep."""
    app_of(server, app)

    async def change(tx: Transaction) -> list[str]:
        await player_row(tx, app, profile)
        if not await roles.remove(tx, app, profile, role):
            raise Refused(f"the player {profile} does not have the role {role!r}")
        await note(server, tx, by, "player_role_remove", app, profile=profile, target=role)
        return await roles.of_player(tx, app, profile)

    return await server.core.database.transact(change)


def _spelt(wanted: str) -> list[str]:
    """Return how a name may begin in the index: SQLite makes only A to Z small, PostgreSQL all letters."""
    cases = (wanted, wanted.title(), wanted.upper())
    return list(dict.fromkeys([wanted.lower(), *(case.translate(_SMALL) for case in cases)]))


async def player_row(tx: Transaction, app: str, profile: str) -> Row:
    """Return the row of a player. Raises `Refused` when the app has none of this id."""
    row = await tx.one(FIND_USER, profile=profile, app=app)
    if row is None:
        raise Refused(f"app {app} has no player {profile}")
    return row


async def _set_disabled(tx: Transaction, app: str, profile: str, *, disabled: bool) -> int:
    """Change the player; returns the epoch that begins with it."""
    epoch = await users.set_disabled(tx, app, profile, disabled=disabled)
    if epoch is None:
        raise Refused(f"app {app} has no player {profile}")
    return epoch
