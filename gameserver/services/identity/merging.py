"""Making one player of two, in the caller's app or in a peer of it."""

from dataclasses import dataclass
from typing import Annotated

from msgspec import UNSET, Meta, UnsetType

from gameserver.apps import App, LiveApps
from gameserver.apps.login_types import allows_type
from gameserver.domain.progress import experience
from gameserver.players import identities, profile_links, profiles, users
from gameserver.players.accounts import (
    AccountDisabled,
    MissingIdentity,
    MissingProfile,
    UnknownAuthenticationType,
    Verified,
    WeakPassword,
)
from gameserver.players.fields import PeerCode
from gameserver.players.profile_links import InvalidPeer, NoPeer
from gameserver.rpc import Access, Context, Tx
from gameserver.services.identity.attaching import CREDENTIAL_ERRORS, Credentials
from gameserver.services.identity.base import DuplicateIdentityType, UnsupportedType, address, service
from gameserver.storage import Aborted, Row, locks
from gameserver.wire.errors import GameError, NoSession, SessionLimitReached
from gameserver.wire.shapes import Reply


async def verify_known(ctx: Context, request: Credentials, app: App | None = None) -> Verified:
    """Check the credentials of an identity that is somebody's; of the caller's app, or of another one."""
    login, app = request.login(force_create=False), app or ctx.app
    try:
        return await ctx.core.accounts.verify(app, login, address(ctx), ctx.now_ms, face=ctx.origin.face)
    except MissingProfile:
        raise MissingIdentity("nobody has this identity: attach it") from None


def of_other(ctx: Context, _: Credentials) -> list[str]:
    """Return the lock of the player whom the credentials lead to."""
    verified: Verified = ctx.prepared
    return [locks.player_lock(verified.profile_id)] if verified.profile_id else []


MERGE_ERRORS: tuple[type[GameError], ...] = (
    DuplicateIdentityType,
    MissingIdentity,
    AccountDisabled,
    UnsupportedType,
    *(error for error in CREDENTIAL_ERRORS if error is not WeakPassword),
)
"""What merging two players of an app is refused with."""


class Merged(Reply):
    """Who stays, and the caller's new session where that is the other player: clients take up both."""

    profile_id: Annotated[str, Meta(description="The id of the player who stays.")]
    session_id: Annotated[
        str | UnsetType, Meta(description="The session to go on with, if the other player stays.")
    ] = UNSET


@service.operation(
    "MERGE",
    tx=Tx.WRITE,
    prepare=verify_known,
    locks=of_other,
    opens_session=True,
    errors=(SessionLimitReached, *MERGE_ERRORS),
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
    caller = ctx.player_id
    stays = await _make_one(ctx, caller, verified)
    return Merged(profile_id=stays, session_id=await _session_of(ctx, stays) if stays != caller else UNSET)


class MergePeer(Credentials, kw_only=True):
    peer: PeerCode


class MergedPeer(Reply):
    """Who stays in the peer app."""

    profile_id: Annotated[str, Meta(description="The id of the player of the peer app who stays.")]


@dataclass(frozen=True, slots=True)
class InPeer:
    """The caller's profile in a peer app, and the identity there that is to lead to the same player."""

    app: App
    profile_id: str
    verified: Verified


async def verify_in_peer(ctx: Context, request: MergePeer) -> InPeer:
    """Find the caller's profile in the peer app, and check the credentials there."""
    async with ctx.core.database.read() as tx:
        app, profile_id = await profile_links.at_peer(
            tx, ctx.core.get(LiveApps), ctx.app, ctx.player_id, request.peer
        )
    profile_links.check_open(app)
    if not allows_type(ctx.app.peers[request.peer].types, request.authentication_type):
        raise UnknownAuthenticationType("profiles in this peer are not attached with that type of identity")
    return InPeer(app, profile_id, await verify_known(ctx, request, app))


def of_peers(ctx: Context, _: Credentials | None = None) -> list[str]:
    """Return the locks of the two players of the peer app."""
    there: InPeer = ctx.prepared
    return [locks.player_lock(each) for each in (there.profile_id, there.verified.profile_id) if each]


@service.operation(
    "MERGE_PEER_PROFILE",
    tx=Tx.WRITE,
    access=Access.SERVER,
    prepare=verify_in_peer,
    locks=of_peers,
    errors=(InvalidPeer, NoPeer, *MERGE_ERRORS),
)
async def merge_peer(ctx: Context, request: MergePeer) -> MergedPeer:
    """Make one player of the caller's profile in a peer app and of the one there that credentials lead to.

    It is what `MERGE` does, in the peer app: tells who stays, and that is the caller's profile there from
    then on. Refused: callers who have no profile in the peer app, peers that the app does not have, login
    types that it does not allow for this peer, and what `MERGE` there is refused with. A refusal changes
    nothing.
    """
    there: InPeer = ctx.prepared
    await locks.take(ctx.tx, [locks.player_lock(ctx.player_id), *of_peers(ctx)])
    if not await users.lock(ctx.tx, ctx.app.id, ctx.player_id):
        raise NoSession("the player is gone")
    _, profile_id = await profile_links.at_peer(
        ctx.tx, ctx.core.get(LiveApps), ctx.app, ctx.player_id, request.peer
    )
    if profile_id != there.profile_id:
        raise Aborted("the player was attached to another profile meanwhile")
    return MergedPeer(profile_id=await _make_one(ctx.at(there.app), profile_id, there.verified))


async def _make_one(ctx: Context, profile_id: str, verified: Verified) -> str:
    """Make one player of two of the app: the first, and the one the identity leads to. Returns who stays."""
    other = verified.profile_id
    assert other is not None, "an identity that is nobody's was refused"
    if other == profile_id:
        raise DuplicateIdentityType("the identity is the player's own already")
    await _lock_both(ctx, profile_id, verified)
    mine = await experience.read(ctx.tx, ctx.app, profile_id)
    theirs = await experience.read(ctx.tx, ctx.app, other)
    assert mine is not None, "the first player is locked"
    assert theirs is not None, "the other player is locked"
    stays, goes = (other, profile_id) if theirs.experience > mine.experience else (profile_id, other)
    await ctx.core.player_hooks.merge_players(ctx, goes, stays)
    return stays


async def _lock_both(ctx: Context, profile_id: str, verified: Verified) -> None:
    """Lock both players, and see whether they may become one."""
    other = verified.profile_id or ""
    there = {each: await users.lock(ctx.tx, ctx.app.id, each) for each in sorted((profile_id, other))}
    if not there[profile_id]:
        raise NoSession("the player is gone")
    identity = await identities.find(ctx.tx, ctx.app.id, verified.type, verified.key)
    if identity is None or (identity["profile_id"], identity["digest"]) != (other, verified.digest):
        raise Aborted("the identity has changed since it was verified")
    for each in (profile_id, other):
        if (await _player(ctx, each))["is_disabled"]:
            raise AccountDisabled("one of the two players is disabled")
    types = [
        {row["type"] for row in await identities.all_of(ctx.tx, ctx.app.id, each)} - {"Anonymous"}
        for each in (profile_id, other)
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
