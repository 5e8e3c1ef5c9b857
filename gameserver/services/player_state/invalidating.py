"""Operations for servers that end sessions of players."""

from typing import Annotated

from msgspec import Meta

from gameserver.players.profiles import TEXT_MAX
from gameserver.rpc import Access, Context, Tx
from gameserver.services.player_state.operations import service
from gameserver.sessions import SERVER_PROFILE_ID, AllBut, AllOf, One, Selector, Session
from gameserver.wire.errors import NoSession
from gameserver.wire.shapes import Nothing, Reply, Request


class InvalidatedReply(Reply):
    """Which sessions ended, by the digests the server knows them by.

    `verification`: none of them is accepted from here on; a server that cannot promise that does not answer.
    """

    invalidated_count: Annotated[int, Meta(description="How many sessions ended.")]
    invalidated: Annotated[list[str], Meta(description="The digests of the sessions, which open nothing.")]
    verification: Annotated[bool, Meta(description="true: none of them is accepted from here on.")]


class SessionsOfPlayer(Request):
    profile_id: Annotated[str, Meta(min_length=1, max_length=TEXT_MAX, description="The id of the player.")]


class SessionOfPlayer(SessionsOfPlayer):
    """`session_id`: the id of a session, or the digest the server knows it by."""

    session_id: Annotated[
        str, Meta(min_length=1, max_length=128, description="The id of the session, or its digest.")
    ]


@service.operation("SYS_INVALIDATE_CURRENT_SESSION", tx=Tx.NONE, access=Access.SERVER)
async def invalidate_current(ctx: Context, request: Nothing) -> InvalidatedReply:
    """End the session that the call belongs to. Refused without one.

    That is the player's on whose behalf a server calls, or a server's own. That server has to log in again.
    """
    current = _current(ctx)
    return _invalidate(ctx, [One(digest=current.digest)], [current.digest])


@service.operation("SYS_INVALIDATE_ALL_SESSIONS", tx=Tx.NONE, access=Access.SERVER)
async def invalidate_all(ctx: Context, request: Nothing) -> InvalidatedReply:
    """End all sessions of the player on whose behalf the server calls. Refused without a player."""
    digests = await _sessions_of(ctx, ctx.player_id)
    return _invalidate(ctx, [AllOf(ctx.app.id, ctx.player_id)], digests)


@service.operation("SYS_INVALIDATE_ALL_BUT_CURRENT_SESSION", tx=Tx.NONE, access=Access.SERVER)
async def invalidate_all_but_current(ctx: Context, request: Nothing) -> InvalidatedReply:
    """End all sessions of the caller except the one that the call belongs to. Refused without one.

    The caller is the player on whose behalf a server calls, or a server: then all sessions of its name.
    """
    current = _current(ctx)
    if current.profile_id != SERVER_PROFILE_ID:
        return await _invalidate_all_but(ctx, current.profile_id, current.digest)
    name = current.facts.get("serverName")
    digests = [
        session.digest
        for session in await ctx.core.sessions.list(ctx.app.id, SERVER_PROFILE_ID)
        if session.facts.get("serverName") == name and session.digest != current.digest
    ]
    return _invalidate(ctx, [One(digest=digest) for digest in digests], digests)


@service.operation("SYS_INVALIDATE_ALL_SESSIONS_FOR_USER", tx=Tx.NONE, access=Access.SERVER)
async def invalidate_all_of(ctx: Context, request: SessionsOfPlayer) -> InvalidatedReply:
    """End all sessions of a player. An unknown player has none."""
    digests = await _sessions_of(ctx, request.profile_id)
    return _invalidate(ctx, [AllOf(ctx.app.id, request.profile_id)], digests)


@service.operation("SYS_INVALIDATE_ALL_SESSIONS_FOR_USER_EXCEPT", tx=Tx.NONE, access=Access.SERVER)
async def invalidate_all_of_except(ctx: Context, request: SessionOfPlayer) -> InvalidatedReply:
    """End all sessions of a player except one, named by its id or its digest."""
    keep = _digest_of(request.session_id)
    return await _invalidate_all_but(ctx, request.profile_id, keep)


@service.operation("SYS_INVALIDATE_SESSION_FOR_USER", tx=Tx.NONE, access=Access.SERVER)
async def invalidate_one_of(ctx: Context, request: SessionOfPlayer) -> InvalidatedReply:
    """End one session of a player, named by its id or its digest. One that is not this player's stays."""
    digest = _digest_of(request.session_id)
    found = digest in await _sessions_of(ctx, request.profile_id)
    return _invalidate(ctx, [One(digest=digest)], [digest] if found else [])


# Rules


def _current(ctx: Context) -> Session:
    """Return the session that a server's call belongs to: a player's, or the server's own."""
    if ctx.session is None:
        raise NoSession("this call belongs to no session")
    return ctx.session


def _digest_of(text: str) -> str:
    """Return the digest of a session id, a digest as it is, and for anything else what no session has."""
    return One(digest=text).resolve() or One(session_id=text).resolve() or "none"


async def _sessions_of(ctx: Context, profile_id: str) -> list[str]:
    return [session.digest for session in await ctx.core.sessions.list(ctx.app.id, profile_id)]


async def _invalidate_all_but(ctx: Context, profile_id: str, keep: str) -> InvalidatedReply:
    digests = [digest for digest in await _sessions_of(ctx, profile_id) if digest != keep]
    return _invalidate(ctx, [AllBut(ctx.app.id, profile_id, keep)], digests)


def _invalidate(ctx: Context, selectors: list[Selector], digests: list[str]) -> InvalidatedReply:
    if digests:
        for selector in selectors:
            ctx.end_sessions(selector, "revoked")
    return InvalidatedReply(invalidated_count=len(digests), invalidated=digests, verification=True)
