"""What an operator does with a running server: look at players and sessions, end them, run an operation.

Every action takes and returns plain JSON values, because it may run in the server's process (`link`) or in
the command's own, over the Redis and the database that all processes share.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import msgspec
from sqlalchemy import String, and_, bindparam, or_, select, union

from gameserver.admin import webhooks
from gameserver.admin.common import Refused, app_of, columns_of, limit_of
from gameserver.app import GameServer
from gameserver.apps import LOGIN_TYPES, App
from gameserver.domain.leaderboards import Leaderboards
from gameserver.domain.leaderboards.boards import boards as leaderboards
from gameserver.domain.push import storage as pushes
from gameserver.faces.backendless import BackendlessSettings
from gameserver.jobs import JobBusy
from gameserver.players import accounts, app_log, audit, roles, users
from gameserver.players.app_log import AppLog
from gameserver.players.identities import identities
from gameserver.players.profiles import IS_NAMED, players
from gameserver.players.termination import Actor
from gameserver.rpc import Caller, Context, Origin
from gameserver.services import data_stream
from gameserver.services.mail import storage as letters
from gameserver.sessions import AllOf, AllOfApp, Ended, One, Selector, Session
from gameserver.storage import Transaction
from gameserver.storage.timeline import Timeline
from gameserver.wire import json
from gameserver.wire.errors import GameError, UnreadableJson
from gameserver.wire.packet import Message, check_message

FACE = "cli"
ORIGIN = Origin(FACE, "")
REPORT_FILTERS = frozenset({"profile_id", "kind", "name", "platform", "game_version"})
MAIL_FILTERS = frozenset({"sender_id", "receiver_id", "state", "reason"})
PUSH_FILTERS = frozenset({"profile_id", "state", "kind", "reason", "push_id"})
LOG_FILTERS = frozenset({"profile_id", "face", "source"})
AUDIT_FILTERS = frozenset({"profile_id", "kind", "session", "face", "address", "reason"})

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
        or_(
            _p.c.created_ms > bindparam("created"),
            and_(_p.c.created_ms == bindparam("created"), _p.c.profile_id > bindparam("profile")),
        ),
    )
    .order_by(*_OLDEST_FIRST)
    .limit(bindparam("most"))
)
_APP, _WANTED = _p.c.app_id == bindparam("app"), bindparam("wanted", type_=String)
# Each way has an index of its own; one condition with all of them would have none.
_WAYS = union(
    select(_p.c.profile_id).where(_APP, _p.c.profile_id == _WANTED),
    select(_p.c.profile_id).where(_APP, IS_NAMED, _p.c.name == _WANTED),
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
FIND_USER = select(*_SHOWN).where(_p.c.profile_id == bindparam("profile"), _p.c.app_id == bindparam("app"))
IDENTITIES = (
    select(identities.c.type, identities.c.external_id, identities.c.is_validated, identities.c.created_ms)
    .where(identities.c.profile_id == bindparam("profile"), identities.c.app_id == bindparam("app"))
    .order_by(identities.c.created_ms, identities.c.type)
)


LEADERBOARD_IDS = (
    select(leaderboards.c.board_id)
    .where(leaderboards.c.app_id == bindparam("app"))
    .order_by(leaderboards.c.board_id)
)


Action = Callable[..., Awaitable[Any]]
T = TypeVar("T")


async def player_list(server: GameServer, app: str, limit: int, after: str = "") -> list[dict[str, Any]]:
    """Return players of an app, the oldest first; `after` is the id of the last one already seen."""
    app_of(server, app)
    most = limit_of(limit)
    async with server.core.database.read() as tx:
        if not after:
            rows = await tx.all(FIRST_USERS, app=app, most=most)
        else:
            last = await _player(tx, app, after)
            rows = await tx.all(USERS_AFTER, app=app, created=last["created_ms"], profile=after, most=most)
    return [{column.name: row[column.name] for column in _LISTED} for row in rows]


async def player_find(server: GameServer, app: str, text: str, limit: int) -> list[dict[str, Any]]:
    """Return the players with this profile id, name, mail address or external id, the oldest first."""
    app_of(server, app)
    most, wanted = limit_of(limit), text.strip()
    keys = sorted({accounts.identity_key(type_, wanted) for type_ in LOGIN_TYPES})
    async with server.core.database.read() as tx:
        rows = await tx.all(
            FIND_PLAYERS, app=app, wanted=wanted, keys=keys, types=list(LOGIN_TYPES), most=most
        )
    return [{column.name: row[column.name] for column in _LISTED} for row in rows]


async def player_show(server: GameServer, app: str, profile: str) -> dict[str, Any]:
    """Return a player with identities and open sessions."""
    app_of(server, app)
    async with server.core.database.read() as tx:
        row = await _player(tx, app, profile)
        logins = await tx.all(IDENTITIES, profile=profile, app=app)
    shown: dict[str, Any] = {column.name: row[column.name] for column in _SHOWN}
    shown["identities"] = [
        {name: login[name] for name in ("type", "external_id", "is_validated", "created_ms")}
        for login in logins
    ]
    shown["sessions"] = [_shown(session) for session in await server.core.sessions.list(app, profile)]
    return shown


async def player_disable(server: GameServer, app: str, profile: str) -> dict[str, Any]:
    """Refuse a player's logins, and end their sessions on every process."""
    definition = app_of(server, app)
    epoch = await _set_disabled(server, app, profile, disabled=True)
    ended = await server.core.endings.end(
        definition, AllOf(app, profile), "disabled", Actor(FACE, why="disabled"), epoch=epoch
    )
    return {"profile_id": profile, "is_disabled": True, "sessions_ended": len(ended)}


async def player_enable(server: GameServer, app: str, profile: str) -> dict[str, Any]:
    """Allow a disabled player's logins again."""
    app_of(server, app)
    await _set_disabled(server, app, profile, disabled=False)
    return {"profile_id": profile, "is_disabled": False}


async def player_export(server: GameServer, app: str, profile: str) -> dict[str, Any]:
    """Return everything that is kept of a player, sessions too, under the names clients know."""
    definition, core = app_of(server, app), server.core
    await core.audit.flush()
    async with core.database.read() as tx:
        await _player(tx, app, profile)
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
    _note(server, definition, profile, "exported")
    return {
        "appId": app,
        "profileId": profile,
        "exportedAt": core.clock.ms(),
        "services": services,
        "sessions": sessions,
    }


async def player_reset(server: GameServer, app: str, profile: str) -> dict[str, Any]:
    """Remove a player's game data, as the client's own reset does."""

    async def work(ctx: Context) -> None:
        await _player(ctx.tx, app, profile)
        await server.core.player_hooks.reset_player(ctx, profile)

    await server.runner.do(work, app_of(server, app), ORIGIN)
    return {"profile_id": profile, "is_reset": True}


async def player_delete(server: GameServer, app: str, profile: str) -> dict[str, Any]:
    """Remove everything that is kept of a player, and end their sessions on every process."""

    async def work(ctx: Context) -> None:
        if not await server.core.player_hooks.delete_player(ctx, profile):
            raise Refused(f"app {app} has no player {profile}")

    definition = app_of(server, app)
    # Before and after: packets that still come in would write what nobody removes any more.
    await server.core.endings.end(definition, AllOf(app, profile), "revoked", Actor(FACE, why="deleted"))
    await server.runner.do(work, definition, ORIGIN)
    return {"profile_id": profile, "is_deleted": True}


async def player_merge(server: GameServer, app: str, profile: str, target: str) -> dict[str, Any]:
    """Give what is kept of a player to another one, and delete the first."""
    if profile == target:
        raise Refused("a player cannot be merged with themself")

    async def work(ctx: Context) -> None:
        try:
            merged = await server.core.player_hooks.merge_players(ctx, profile, target)
        except GameError as error:
            raise Refused(f"the two players cannot be merged: {error}") from error
        if not merged:
            await _player(ctx.tx, app, target)
            raise Refused(f"app {app} has no player {profile}")

    definition = app_of(server, app)
    async with server.core.database.read() as tx:
        await _player(tx, app, target)
        is_gone = await tx.one(FIND_USER, profile=profile, app=app) is None
    if is_gone:  # an earlier command may have been cut short before it ended their sessions
        await server.core.endings.end(
            definition, AllOf(app, profile), "revoked", Actor(FACE, why="merged_into")
        )
    await server.runner.do(work, definition, ORIGIN)
    return {"profile_id": target, "merged": profile}


async def player_role_list(server: GameServer, app: str, profile: str) -> list[str]:
    """Return the roles that a player was given."""
    app_of(server, app)
    async with server.core.database.read() as tx:
        await _player(tx, app, profile)
        return await roles.of_player(tx, app, profile)


async def player_role_add(server: GameServer, app: str, profile: str, role: str) -> list[str]:
    """Give a player a role that the app declares; returns all they have then."""
    declared = app_of(server, app).section(BackendlessSettings).roles
    if role not in declared:
        known = ", ".join(declared) or "none"
        raise Refused(f"app {app} declares no role {role!r} in [backendless] roles; there are: {known}")

    async def change(tx: Transaction) -> list[str]:
        await _player(tx, app, profile)
        await roles.add(tx, app, profile, role, server.core.clock.ms())
        return await roles.of_player(tx, app, profile)

    return await server.core.database.transact(change)


async def player_role_remove(server: GameServer, app: str, profile: str, role: str) -> list[str]:
    """Take a role from a player, also one that is not declared any more; returns those they keep."""
    app_of(server, app)

    async def change(tx: Transaction) -> list[str]:
        await _player(tx, app, profile)
        if not await roles.remove(tx, app, profile, role):
            raise Refused(f"the player {profile} does not have the role {role!r}")
        return await roles.of_player(tx, app, profile)

    return await server.core.database.transact(change)


async def session_list(
    server: GameServer, app: str, limit: int, after: str = "", profile: str = ""
) -> list[dict[str, Any]]:
    """Return open sessions of an app or of one player, by digest; `after` is the last digest already seen."""
    app_of(server, app)
    most = limit_of(limit)
    found: dict[str, Session] = {}
    if profile:
        found = {s.digest: s for s in await server.core.sessions.list(app, profile) if s.digest > after}
    else:
        async for session in server.core.sessions.every(app):
            if session.digest > after:
                found[session.digest] = session
                if len(found) > 2 * most:  # keep no more than a page in memory, however many there are
                    found = {digest: found[digest] for digest in sorted(found)[:most]}
    return [_shown(found[digest]) for digest in sorted(found)[:most]]


async def session_end(
    server: GameServer, app: str, session: str = "", profile: str = "", *, all_of_app: bool = False
) -> dict[str, Any]:
    """End one session (by digest), all of a player, or all of an app. From then on nobody accepts them."""
    definition, by = app_of(server, app), Actor(FACE)
    selector: Selector
    if session:
        found = await server.core.sessions.peek_digest(session)
        if isinstance(found, Ended) or found.home_app_id != app:
            raise Refused(f"app {app} has no open session {session}")
        selector = One(digest=session)
        by = Actor(FACE, profile_id=found.home_profile_id, home_face=found.face)
    elif profile:
        selector = AllOf(app, profile)
    elif all_of_app:
        selector = AllOfApp(app)
    else:
        raise Refused("say which sessions: one, those of a player, or all of the app")
    return {"ended": await server.core.endings.end(definition, selector, "revoked", by)}


async def audit_list(
    server: GameServer,
    app: str,
    limit: int,
    after: str = "",
    since_ms: int | None = None,
    until_ms: int | None = None,
    equal: dict[str, str] | None = None,
) -> list[dict[str, Any]]:
    """Return audit events of an app, the newest first; `after` is the id of the last one already seen.

    `equal` says what must be in columns, such as `profile_id`.
    """
    await server.core.audit.flush()
    span = {"after": after, "since_ms": since_ms, "until_ms": until_ms}
    return await _found(server, app, audit.timeline, limit, span, equal, AUDIT_FILTERS)


async def datastream_list(
    server: GameServer,
    app: str,
    limit: int,
    after: str = "",
    since_ms: int | None = None,
    until_ms: int | None = None,
    equal: dict[str, str] | None = None,
) -> list[dict[str, Any]]:
    """Return reports of an app's clients, the newest first; `after` is the id of the last one already seen.

    `equal` says what must be in columns, such as `kind`.
    """
    span = {"after": after, "since_ms": since_ms, "until_ms": until_ms}
    rows = await _found(server, app, data_stream.timeline, limit, span, equal, REPORT_FILTERS)
    return [row | {"data": msgspec.json.decode(row["data"])} for row in rows]


async def log_list(
    server: GameServer,
    app: str,
    limit: int,
    after: str = "",
    since_ms: int | None = None,
    until_ms: int | None = None,
    level: str = "",
    text: str = "",
    equal: dict[str, str] | None = None,
) -> list[dict[str, Any]]:
    """Return lines of an app's log, the newest first; `after` is the id of the last one already seen.

    `level` is the least bad one, `text` a part of the message, `equal` what must be in columns.
    """
    await server.core.get(AppLog).flush()
    span = {"after": after, "since_ms": since_ms, "until_ms": until_ms, "also": app_log.picked(level, text)}
    rows = await _found(server, app, app_log.timeline, limit, span, equal, LOG_FILTERS)
    return [row | {"context": row["context"] and msgspec.json.decode(row["context"])} for row in rows]


async def push_list(
    server: GameServer,
    app: str,
    limit: int,
    since_ms: int | None = None,
    until_ms: int | None = None,
    equal: dict[str, str] | None = None,
) -> list[dict[str, Any]]:
    """Return what became of an app's push notifications on each device, the newest first.

    `equal` says what must be in columns, such as `state`.
    """
    app_of(server, app)
    most, equal = limit_of(limit), columns_of(equal, PUSH_FILTERS)
    async with server.core.database.read() as tx:
        return await pushes.listed(tx, app, most, since_ms=since_ms, until_ms=until_ms, **equal)


async def mail_list(
    server: GameServer,
    app: str,
    limit: int,
    since_ms: int | None = None,
    until_ms: int | None = None,
    equal: dict[str, str] | None = None,
) -> list[dict[str, Any]]:
    """Return what became of an app's letters, the newest first, without addresses.

    `equal` says what must be in columns, such as `state`.
    """
    app_of(server, app)
    most, equal = limit_of(limit), columns_of(equal, MAIL_FILTERS)
    async with server.core.database.read() as tx:
        return await letters.listed(tx, app, most, since_ms=since_ms, until_ms=until_ms, **equal)


async def _found(
    server: GameServer,
    app: str,
    timeline: Timeline,
    limit: int,
    span: dict[str, Any],
    equal: dict[str, str] | None,
    filters: frozenset[str],
) -> list[dict[str, Any]]:
    """Return rows of what has happened in an app, the newest first, picked by columns among `filters`."""
    app_of(server, app)
    most, equal = limit_of(limit), columns_of(equal, filters)
    async with server.core.database.read() as tx:
        rows = await timeline.find(tx, app, most, **{**span, **equal})
    return [{name: row[name] for name in timeline.columns} for row in rows]


async def job_list(server: GameServer) -> list[dict[str, Any]]:
    """Return what there is to know of each job, by name."""
    return await server.jobs.list()


async def job_run(server: GameServer, job: str) -> dict[str, Any]:
    """Run a job that has a schedule, out of turn, and wait for it."""
    try:
        await server.jobs.run_now(job)
    except (LookupError, JobBusy) as error:
        raise Refused(error.args[0]) from None
    return {"job": job, "done": True}


async def job_retry(server: GameServer, job: str) -> dict[str, Any]:
    """Have work tried again that was given up after many tries."""
    return {"job": job, "tried_again": await server.jobs.retry(job)}


async def leaderboard_list(server: GameServer, app: str) -> list[str]:
    """Return the ids of all leaderboards of an app."""
    app_of(server, app)
    async with server.core.database.read() as tx:
        return [row["board_id"] for row in await tx.all(LEADERBOARD_IDS, app=app)]


async def leaderboard_rebuild(server: GameServer, app: str, board: str) -> dict[str, Any]:
    """Build the ranks of a leaderboard again, from the scores in SQL."""
    app_of(server, app)
    entries = await server.core.get(Leaderboards).rebuild(app, board)
    if entries is None:
        raise Refused(f"app {app} has no leaderboard {board}")
    return {"leaderboard": board, "entries": entries}


async def call(
    server: GameServer, app: str, operation: str, data: dict[str, Any], profile: str = ""
) -> dict[str, Any]:
    """Run `service.OPERATION` with a server's authority; returns the entry of the answer, refused or not."""
    service, _, name = operation.rpartition(".")
    if not service:
        raise Refused("the operation is of the form service.OPERATION, such as playerState.READ")
    definition = app_of(server, app)
    if profile:
        async with server.core.database.read() as tx:
            await _player(tx, app, profile)
    text = json.encode(data)
    try:
        json.checked(text)  # as everybody's data is
    except UnreadableJson as error:
        raise Refused(str(error)) from None
    message = check_message(Message(service, name, msgspec.Raw(text)), text)
    entry = await server.runner.call(
        message, definition, ORIGIN, caller=Caller.SERVER, profile_id=profile or None
    )
    told: dict[str, Any] = msgspec.json.decode(entry)
    return told


ACTIONS: Mapping[str, Action] = {
    action.__name__: action
    for action in (
        player_list,
        player_find,
        player_show,
        player_disable,
        player_enable,
        player_export,
        player_reset,
        player_delete,
        player_merge,
        player_role_list,
        player_role_add,
        player_role_remove,
        session_list,
        session_end,
        audit_list,
        datastream_list,
        log_list,
        push_list,
        mail_list,
        job_list,
        job_run,
        job_retry,
        leaderboard_list,
        leaderboard_rebuild,
        call,
        *webhooks.ACTIONS,
    )
}


async def run(server: GameServer, action: str, arguments: dict[str, Any]) -> Any:
    """Run an action by its name. Raises `Refused`."""
    chosen = ACTIONS.get(action)
    if chosen is None:
        raise Refused(f"the server does not know the action {action[:64]!r}; is it older than this command?")
    return await chosen(server, **arguments)


async def _player(tx: Transaction, app: str, profile: str) -> Any:
    row = await tx.one(FIND_USER, profile=profile, app=app)
    if row is None:
        raise Refused(f"app {app} has no player {profile}")
    return row


async def _set_disabled(server: GameServer, app: str, profile: str, *, disabled: bool) -> int:
    """Change the player; returns the epoch that begins with it."""

    async def change(tx: Transaction) -> int:
        epoch = await users.set_disabled(tx, app, profile, disabled=disabled)
        if epoch is None:
            raise Refused(f"app {app} has no player {profile}")
        return epoch

    return await server.core.database.transact(change)


def _note(server: GameServer, app: App, profile: str, reason: str) -> None:
    server.core.audit.note(app, "player", reason, face=FACE, address="", profile_id=profile)


def _shown(session: Session) -> dict[str, Any]:
    return {
        "session": session.digest,
        "profile_id": session.home_profile_id,
        "face": session.face,
        "created_ms": session.created_ms,
        "last_used_ms": session.last_used_ms,
        "life_seconds": session.life_seconds,
        "facts": session.facts,
    }
