"""What staff do with open sessions: see and end them."""

from typing import Any

from gameserver.admin.common import FACE, Refused, Server, app_of, limit_of
from gameserver.admin.declaring import action
from gameserver.admin.operators import CLI, Operator, note
from gameserver.admin.rights import Right
from gameserver.players.termination import Actor
from gameserver.sessions import AllOf, AllOfApp, Ended, One, Selector, Session


@action(Right.PLAYERS_READ, "GET /apps/{app}/sessions")
async def session_list(
    server: Server, app: str, limit: int = 50, after: str = "", profile: str = ""
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
    return [session_shown(found[digest]) for digest in sorted(found)[:most]]


@action(Right.PLAYERS_CHANGE, "POST /apps/{app}/sessions/end")
async def session_end(
    server: Server,
    app: str,
    session: str = "",
    profile: str = "",
    *,
    all_of_app: bool = False,
    by: Operator = CLI,
) -> dict[str, Any]:
    """End one session (by digest), all of a player, or all of an app. From then on nobody accepts them."""
    definition, actor, whose = app_of(server, app), Actor(FACE), profile
    selector: Selector
    if session:
        found = await server.core.sessions.peek_digest(session)
        if isinstance(found, Ended) or found.home_app_id != app:
            raise Refused(f"app {app} has no open session {session}")
        selector = One(digest=session)
        whose = found.home_profile_id
        actor = Actor(FACE, profile_id=found.home_profile_id, home_face=found.face)
    elif profile:
        selector = AllOf(app, profile)
    elif all_of_app:
        selector = AllOfApp(app)
    else:
        raise Refused("say which sessions: one, those of a player, or all of the app")
    ended = await server.core.endings.end(definition, selector, "revoked", actor)
    async with server.core.database.write() as tx:  # afterwards: their end must not wait for SQL
        await note(server, tx, by, "session_end", app, profile=whose, after={"ended": len(ended)})
    return {"ended": ended}


def session_shown(session: Session) -> dict[str, Any]:
    """Return what staff see of a session."""
    return {
        "session": session.digest,
        "profile_id": session.home_profile_id,
        "face": session.face,
        "created_ms": session.created_ms,
        "last_used_ms": session.last_used_ms,
        "life_seconds": session.life_seconds,
        "facts": session.facts,
    }
