"""What an operator does with a running server: look at players and sessions, end them, run an operation.

Every action takes and returns plain JSON values, because it may run in the server's process (`link`) or in
the command's own, over the Redis and the database that all processes share.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
from sqlalchemy import and_, bindparam, or_, select, update

from gameserver.app import GameServer
from gameserver.apps import App
from gameserver.game.accounts import identities
from gameserver.game.players import players
from gameserver.rpc import Origin
from gameserver.sessions import AllOf, AllOfApp, Ended, One, Selector, Session
from gameserver.storage import Aborted, Transaction
from gameserver.wire import json
from gameserver.wire.packet import Message

LIMIT_MAX = 500
TRIES_MAX = 5  # of a change that the database aborts

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
FIND_USER = select(*_SHOWN).where(_p.c.profile_id == bindparam("profile"), _p.c.app_id == bindparam("app"))
SET_DISABLED = (
    update(_p)
    .where(_p.c.profile_id == bindparam("profile"), _p.c.app_id == bindparam("app"))
    .values(is_disabled=bindparam("disabled"))
)
IDENTITIES = (
    select(identities.c.type, identities.c.external_id, identities.c.is_validated, identities.c.created_ms)
    .where(identities.c.profile_id == bindparam("profile"), identities.c.app_id == bindparam("app"))
    .order_by(identities.c.created_ms, identities.c.type)
)


class Refused(Exception):
    """The action cannot be done as asked. The text is for the operator."""


Action = Callable[..., Awaitable[Any]]


async def user_list(server: GameServer, app: str, limit: int, after: str = "") -> list[dict[str, Any]]:
    """Return players of an app, the oldest first; `after` is the id of the last one already seen."""
    _app(server, app)
    most = _limit(limit)
    async with server.core.database.read() as tx:
        if not after:
            rows = await tx.all(FIRST_USERS, app=app, most=most)
        else:
            last = await _player(tx, app, after)
            rows = await tx.all(USERS_AFTER, app=app, created=last["created_ms"], profile=after, most=most)
    return [{column.name: row[column.name] for column in _LISTED} for row in rows]


async def user_show(server: GameServer, app: str, profile: str) -> dict[str, Any]:
    """Return a player with identities and open sessions."""
    _app(server, app)
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


async def user_disable(server: GameServer, app: str, profile: str) -> dict[str, Any]:
    """Refuse a player's logins, and end their sessions on every process."""
    _app(server, app)
    await _set_disabled(server, app, profile, disabled=True)
    ended = await server.core.sessions.end(AllOf(app, profile), "revoked")
    return {"profile_id": profile, "is_disabled": True, "sessions_ended": len(ended)}


async def user_enable(server: GameServer, app: str, profile: str) -> dict[str, Any]:
    """Allow a disabled player's logins again."""
    _app(server, app)
    await _set_disabled(server, app, profile, disabled=False)
    return {"profile_id": profile, "is_disabled": False}


async def session_list(
    server: GameServer, app: str, limit: int, after: str = "", profile: str = ""
) -> list[dict[str, Any]]:
    """Return open sessions of an app or of one player, by digest; `after` is the last digest already seen."""
    _app(server, app)
    most = _limit(limit)
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
    _app(server, app)
    selector: Selector
    if session:
        found = await server.core.sessions.peek_digest(session)
        if isinstance(found, Ended) or found.home_app_id != app:
            raise Refused(f"app {app} has no open session {session}")
        selector = One(digest=session)
    elif profile:
        selector = AllOf(app, profile)
    elif all_of_app:
        selector = AllOfApp(app)
    else:
        raise Refused("say which sessions: one, those of a player, or all of the app")
    return {"ended": await server.core.sessions.end(selector, "revoked")}


async def call(
    server: GameServer, app: str, operation: str, data: dict[str, Any], profile: str = ""
) -> dict[str, Any]:
    """Run `service.OPERATION` with a server's authority; returns the entry of the answer, refused or not."""
    service, _, name = operation.rpartition(".")
    if not service:
        raise Refused("the operation is of the form service.OPERATION, such as playerState.READ")
    definition = _app(server, app)
    if profile:
        async with server.core.database.read() as tx:
            await _player(tx, app, profile)
    message = Message(service, name, msgspec.Raw(json.encode(data)))
    answer = await server.packets.answer_server(
        [message], definition, Origin("cli", "127.0.0.1"), profile or None
    )
    entry: dict[str, Any] = msgspec.json.decode(answer)["responses"][0]
    return entry


ACTIONS: Mapping[str, Action] = {
    action.__name__: action
    for action in (user_list, user_show, user_disable, user_enable, session_list, session_end, call)
}


async def run(server: GameServer, action: str, arguments: dict[str, Any]) -> Any:
    """Run an action by its name. Raises `Refused`."""
    chosen = ACTIONS.get(action)
    if chosen is None:
        raise Refused(f"the server does not know the action {action[:64]!r}; is it older than this command?")
    return await chosen(server, **arguments)


def _app(server: GameServer, app_id: str) -> App:
    app = server.apps.find(app_id)
    if app is None:
        raise Refused(f"there is no app {app_id}; `gameserver app list` names them")
    return app


def _limit(limit: int) -> int:
    if not 1 <= limit <= LIMIT_MAX:
        raise Refused(f"the limit is a number from 1 to {LIMIT_MAX}")
    return limit


async def _player(tx: Transaction, app: str, profile: str) -> Any:
    row = await tx.one(FIND_USER, profile=profile, app=app)
    if row is None:
        raise Refused(f"app {app} has no player {profile}")
    return row


async def _set_disabled(server: GameServer, app: str, profile: str, *, disabled: bool) -> None:
    for attempt in range(1, TRIES_MAX + 1):
        try:
            async with server.core.database.write() as tx:
                if not await tx.run(SET_DISABLED, profile=profile, app=app, disabled=disabled):
                    raise Refused(f"app {app} has no player {profile}")
        except Aborted:
            if attempt == TRIES_MAX:
                raise
        else:
            return


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
