"""Making one player of two."""

from msgspec import UNSET, UnsetType

from gameserver.domain.progress import experience
from gameserver.players import identities, profiles, users
from gameserver.players.accounts import (
    AccountDisabled,
    MissingIdentity,
    MissingProfile,
    Verified,
    WeakPassword,
)
from gameserver.rpc import Context, Tx
from gameserver.services.identity.attaching import CREDENTIAL_ERRORS, Credentials
from gameserver.services.identity.base import DuplicateIdentityType, UnsupportedType, address, service
from gameserver.storage import Aborted, Row, locks
from gameserver.wire.errors import NoSession, SessionLimitReached
from gameserver.wire.shapes import Reply


async def verify_known(ctx: Context, request: Credentials) -> Verified:
    """Check the credentials of an identity that is somebody's."""
    login = request.login(force_create=False)
    try:
        return await ctx.core.accounts.verify(ctx.app, login, address(ctx), ctx.now_ms, face=ctx.origin.face)
    except MissingProfile:
        raise MissingIdentity("nobody has this identity: attach it") from None


def of_other(ctx: Context, _: Credentials) -> list[str]:
    """Return the lock of the player whom the credentials lead to."""
    verified: Verified = ctx.prepared
    return [locks.player_lock(verified.profile_id)] if verified.profile_id else []


class Merged(Reply):
    """Who stays, and the caller's new session where that is the other player: clients take up both."""

    profile_id: str
    session_id: str | UnsetType = UNSET


@service.operation(
    "MERGE",
    tx=Tx.WRITE,
    prepare=verify_known,
    locks=of_other,
    opens_session=True,
    errors=(
        DuplicateIdentityType,
        MissingIdentity,
        AccountDisabled,
        UnsupportedType,
        SessionLimitReached,
        *(error for error in CREDENTIAL_ERRORS if error is not WeakPassword),
    ),
)
async def merge(ctx: Context, request: Credentials) -> Merged:
    """Make one player of the caller and of the one whom the credentials lead to; tells who stays.

    The one with more experience points stays, the caller where both have as many. All identities lead to
    that player, balances and statistics add up as the app says, and of what there can be only one of, theirs
    stays. The other player is deleted, and their sessions end. When that is the caller, the answer has the
    `sessionId` of a session of the player who stays, which takes the place of the caller's.

    Refused: an identity that is nobody's, or the caller's own, two players who have an identity of the same
    type each, and a player who is disabled. A refusal changes nothing.
    """
    verified: Verified = ctx.prepared
    caller, other = ctx.player_id, verified.profile_id
    assert other is not None, "an identity that is nobody's was refused"
    if other == caller:
        raise DuplicateIdentityType("the identity is the player's own already")
    await _lock_both(ctx, verified)
    mine = await experience.read(ctx.tx, ctx.app, caller)
    theirs = await experience.read(ctx.tx, ctx.app, other)
    assert mine is not None, "the caller is locked"
    assert theirs is not None, "the other player is locked"
    stays, goes = (other, caller) if theirs.experience > mine.experience else (caller, other)
    await ctx.core.player_hooks.merge_players(ctx, goes, stays)
    return Merged(profile_id=stays, session_id=await _session_of(ctx, stays) if goes == caller else UNSET)


async def _lock_both(ctx: Context, verified: Verified) -> None:
    """Lock both players, and see whether they may become one."""
    caller, other = ctx.player_id, verified.profile_id or ""
    there = {each: await users.lock(ctx.tx, ctx.app.id, each) for each in sorted((caller, other))}
    if not there[caller]:
        raise NoSession("the player is gone")
    identity = await identities.find(ctx.tx, ctx.app.id, verified.type, verified.key)
    if identity is None or (identity["profile_id"], identity["digest"]) != (other, verified.digest):
        raise Aborted("the identity has changed since it was verified")
    for each in (caller, other):
        if (await _player(ctx, each))["is_disabled"]:
            raise AccountDisabled("one of the two players is disabled")
    types = [
        {row["type"] for row in await identities.all_of(ctx.tx, ctx.app.id, each)} - {"Anonymous"}
        for each in (caller, other)
    ]
    if twice := set.intersection(*types):
        raise DuplicateIdentityType(f"both players have an identity of type {min(twice)}: detach one first")


async def _player(ctx: Context, profile_id: str) -> Row:
    row = await profiles.read(ctx.tx, ctx.app.id, profile_id)
    assert row is not None, "the player is locked"
    return row


async def _session_of(ctx: Context, profile_id: str) -> str | UnsetType:
    """Give the caller, whose own session ends, one of the player who stays. A server's call has none."""
    session = ctx.session
    if session is None or session.profile_id != ctx.profile_id:
        ctx.profile_id = profile_id
        return UNSET
    player = await _player(ctx, profile_id)
    return await ctx.log_in(profile_id, session.facts, player["session_epoch"])
