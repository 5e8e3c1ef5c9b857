"""Profiles of the caller in other apps: children, the parent, peers; and switching between them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

from msgspec import Meta

from gameserver.apps import App, LiveApps
from gameserver.apps.login_types import allows_type
from gameserver.documents.documents import data_out
from gameserver.players import logins, profile_links, profiles, users
from gameserver.players.accounts import (
    LOGIN_ERRORS,
    AccountDisabled,
    Login,
    MissingIdentity,
    ProfileNotNamed,
    SwitchingProfiles,
    UnknownAuthenticationType,
    Verified,
)
from gameserver.players.fields import LevelName, PeerCode, PlayerName
from gameserver.players.profile_links import PARENT, InvalidPeer, NoParent, NoPeer, UnknownLevel
from gameserver.players.quotas import QuotaReached
from gameserver.players.states import PeerProfile, PlayerState, create_player
from gameserver.players.webhooks import PlayerCreated, PlayerLoggedIn
from gameserver.rpc import PLAYER_MERGE, Caller, Context, Tx
from gameserver.services.identity.attaching import Credentials
from gameserver.services.identity.base import UnsupportedType, address, service
from gameserver.storage import Aborted, Row, locks
from gameserver.wire.errors import DisabledApp, GameError, NoSession, RateLimited
from gameserver.wire.shapes import Nothing, Reply, Request

# Errors


class NotAChildApp(GameError):
    """The app is no child of the caller's."""

    reason_code = 40378


class NoChild(GameError):
    """The caller has no such profile in the child app."""

    reason_code = 40379


class SeveralChildren(GameError):
    """The caller has several profiles in the child app: say which is meant."""

    reason_code = 40382


class ParentAttached(GameError):
    """The player has a profile in the parent app already: detach that one first."""

    reason_code = 40508


class PeerAttached(GameError):
    """The player has a profile in the peer app already: detach that one first."""

    reason_code = 40509


# Switching


class SwitchToChild(Request):
    """SDKs say `gameId` for the child app, the reference `appId`; the rest is as in a login."""

    game_id: Annotated[str | None, Meta(description="The id of the child app.")] = None
    app_id: Annotated[str | None, Meta(description="Another name of `gameId`; one of them is needed.")] = None
    profile_id: Annotated[
        str | None, Meta(description="Which of the profiles there; null or nothing as the next two say.")
    ] = None
    force_create: Annotated[
        bool | None, Meta(description="true makes a further profile where none is named.")
    ] = None
    force_singleton: Annotated[
        bool | None,
        Meta(
            description="true takes the only profile there, and makes it where there is none and "
            "`forceCreate` is true."
        ),
    ] = None
    release_platform: Annotated[
        Annotated[str, Meta(max_length=128)] | None,
        Meta(description="The platform, as in protocol/values.md."),
    ] = None
    language_code: Annotated[
        Annotated[str, Meta(max_length=32)] | None,
        Meta(description="The player's language, such as en or zh-Hant."),
    ] = None
    country_code: Annotated[
        Annotated[str, Meta(max_length=32)] | None,
        Meta(description="The player's country: two letters, or _LA_ for Latin America."),
    ] = None
    time_zone_offset: Annotated[
        Annotated[float, Meta(ge=-24, le=24)] | None,
        Meta(description="Hours east of UTC, such as -5 or 5.5."),
    ] = None


class ChildState(PlayerState, kw_only=True):
    """The child's whole state, and the app that the next packets go to."""

    new_user: Annotated[bool, Meta(description="Whether the profile was made.")]
    switch_to_app_id: Annotated[str, Meta(description="The app that the next packets go to, as `gameId`.")]


@service.operation(
    "SWITCH_TO_CHILD_PROFILE",
    tx=Tx.WRITE,
    errors=(NotAChildApp, NoChild, SeveralChildren, AccountDisabled, DisabledApp, QuotaReached, RateLimited),
)
async def switch_to_child(ctx: Context, request: SwitchToChild) -> ChildState:
    """Go on as one of the caller's profiles in a child app; the answer is that player's whole state.

    It counts as a login of theirs. Without a `profileId` and with `forceCreate` a further profile is made;
    with `forceSingleton` only where there is none, and else the only one is taken. The session stays, and
    acts for that player from the next packet on, which goes to the app `switchToAppId`. It ends when either
    player's sessions end.

    Refused: apps that are not children of the caller's, profiles that are not the caller's children, several
    of them where one is meant, and players and apps that are disabled.
    """
    child = _child_app(ctx, request.game_id or request.app_id or "")
    profile_links.check_open(child)
    if not await users.lock(ctx.tx, ctx.app.id, ctx.player_id):
        raise NoSession("the player is gone")
    there = await profile_links.children(ctx.tx, ctx.player_id)
    profile_id = _chosen(there, child, request)
    if profile_id is None:
        player = await _make_child(ctx, child, request, len(there))
    else:
        player = await _log_in_child(ctx, child, profile_id, request)
    ctx.switch(child, player["profile_id"], player["session_epoch"])
    shape = partial(ChildState, new_user=profile_id is None, switch_to_app_id=child.id)
    return ctx.core.player_hooks.states.of(child).show(
        shape, ctx.core.get(LiveApps), child, player, ctx.now_ms
    )


def _child_app(ctx: Context, app_id: str) -> App:
    child = ctx.core.get(LiveApps).find(app_id)
    if child is None or child.parent is None or child.parent.app != ctx.app.id:
        raise NotAChildApp(f"the app {app_id[:64]!r} is no child of this one")
    return child


def _chosen(there: Sequence[Row], child: App, request: SwitchToChild) -> str | None:
    """Return which of the caller's children is meant; None for a new one."""
    mine = [str(row["profile_id"]) for row in there if row["app_id"] == child.id]
    if request.profile_id:
        if request.profile_id not in mine:
            raise NoChild("the player has no such profile in the child app")
        return request.profile_id
    if request.force_singleton and len(mine) > 1:
        raise SeveralChildren("the player has several profiles in the child app")
    if request.force_singleton and mine:
        return mine[0]
    if not request.force_create:
        raise NoChild("the player has no profile in the child app, or does not say which")
    return None


async def _log_in_child(ctx: Context, child: App, profile_id: str, request: SwitchToChild) -> Row:
    player = await ctx.tx.one(
        ctx.core.player_hooks.states.of(child).log_in.alone,
        profile=profile_id,
        app=child.id,
        now_ms=ctx.now_ms,
        new_language_code=request.language_code or None,
        new_country_code=request.country_code or None,
        new_time_zone_offset=request.time_zone_offset,
    )
    if player is None:
        raise Aborted("the child has just been deleted")
    if player["is_disabled"]:
        raise AccountDisabled("this account is disabled")
    await _logged_in(ctx, child, profile_id, is_new=False)
    return player


async def _logged_in(ctx: Context, child: App, profile_id: str, *, is_new: bool) -> None:
    there = ctx.at(child)
    if is_new:
        await there.emit(PlayerCreated(profile_id=profile_id))
    await there.emit(PlayerLoggedIn(profile_id=profile_id, authentication_type="", new_user=is_new))


async def _make_child(ctx: Context, child: App, request: SwitchToChild, count: int) -> Row:
    if ctx.caller is Caller.CLIENT:
        _check_children(count)
        ctx.core.accounts.count_new(child, address(ctx), ctx.now_ms)()
    profile_id = ctx.core.new_id()
    await create_player(
        ctx.tx,
        child.id,
        profile_id,
        ctx.now_ms,
        language_code=request.language_code or child.default_language or None,
        country_code=request.country_code or child.default_country or None,
        time_zone_offset=request.time_zone_offset or 0.0,
        contact_email=None,
    )
    await profile_links.add(ctx.tx, profile_id, PARENT, ctx.player_id, ctx.now_ms)
    state = await ctx.core.player_hooks.states.of(child).row(
        ctx.tx, child, profile_id
    )  # with whose child it is
    assert state is not None, "the player was just made"
    await _logged_in(ctx, child, profile_id, is_new=True)
    return state


def _check_children(count: int) -> None:
    if count >= profile_links.CHILDREN_MAX:
        raise QuotaReached(f"a player may have {profile_links.CHILDREN_MAX} profiles in child apps")


class SwitchToParent(Request):
    level_name: LevelName


class Switched(Reply):
    """Where the next packets go, and for whom."""

    game_id: Annotated[str, Meta(description="The id of the parent app.")]
    profile_id: Annotated[str, Meta(description="The id of the player there.")]
    switch_to_app_id: Annotated[str, Meta(description="The app that the next packets go to, as `gameId`.")]


@service.operation(
    "SWITCH_TO_PARENT_PROFILE",
    tx=Tx.WRITE,
    errors=(UnknownLevel, NoParent, AccountDisabled, DisabledApp),
)
async def switch_to_parent(ctx: Context, request: SwitchToParent) -> Switched:
    """Go on as the caller's profile in an app above, which `levelName` names.

    The session stays, and acts for that player from the next packet on. Refused: levels that the app does not
    have, players without a profile there, and players and apps that are disabled.
    """
    apps = ctx.core.get(LiveApps)
    parent, profile_id = await profile_links.at_level(
        ctx.tx, apps, ctx.app, ctx.player_id, request.level_name
    )
    profile_links.check_open(parent)
    player = await profiles.read(ctx.tx, parent.id, profile_id)
    if player is None:
        raise Aborted("the parent has just been deleted")
    if player["is_disabled"]:
        raise AccountDisabled("this account is disabled")
    ctx.switch(parent, profile_id, player["session_epoch"])
    return Switched(game_id=parent.id, profile_id=profile_id, switch_to_app_id=parent.id)


# Attaching

ATTACH_ERRORS: tuple[type[GameError], ...] = (
    UnsupportedType,
    *(error for error in LOGIN_ERRORS if error not in (MissingIdentity, SwitchingProfiles, ProfileNotNamed)),
)
"""What a login is refused with that names no profile and is not anonymous."""


@dataclass(frozen=True, slots=True)
class There:
    """A login at another app that may take place."""

    app: App
    login: Login
    verified: Verified


class AttachParent(Credentials):
    force_create: Annotated[
        bool | None, Meta(description="true makes the profile in the parent app where there is none.")
    ] = None


class Attached(Reply):
    """The player's profile in the other app, and whether it was made."""

    profile_id: Annotated[str, Meta(description="The id of the player in the other app.")]
    new_user: Annotated[bool, Meta(description="Whether that player was made.")]


class Detached(Reply):
    """The profile in the other app that was the player's."""

    profile_id: Annotated[str, Meta(description="The id of the player in the other app.")]


async def _verify_at(ctx: Context, app: App, request: Credentials, *, force_create: bool) -> There:
    profile_links.check_open(app)
    login = request.login(force_create=force_create)
    verified = await ctx.core.accounts.verify(app, login, address(ctx), ctx.now_ms, face=ctx.origin.face)
    return There(app, login, verified)


async def verify_parent(ctx: Context, request: AttachParent) -> There:
    """Check the credentials at the parent app."""
    above = next(profile_links.ancestors(ctx.core.get(LiveApps), ctx.app), None)
    if above is None:
        raise UnknownLevel("the app has no parent")
    return await _verify_at(ctx, above[1], request, force_create=bool(request.force_create))


def of_there(ctx: Context, _: Credentials | None = None) -> list[str]:
    """Return the lock of the other app's player."""
    there: There = ctx.prepared
    return [locks.player_lock(there.verified.profile_id)] if there.verified.profile_id else []


@service.operation(
    "ATTACH_PARENT_WITH_IDENTITY",
    tx=Tx.WRITE,
    prepare=verify_parent,
    locks=of_there,
    errors=(UnknownLevel, ParentAttached, QuotaReached, *ATTACH_ERRORS),
)
async def attach_parent(ctx: Context, request: AttachParent) -> Attached:
    """Make the caller a child of the profile in the parent app that the credentials lead to.

    They are checked as at a login there, and with `forceCreate` that profile is made where there is none.
    Refused: what a login there is refused with, callers who have a parent, and apps without one.
    """
    return await _attach(ctx, PARENT, ParentAttached("the player has a profile in the parent app already"))


async def _attach(ctx: Context, name: str, refusal: GameError) -> Attached:
    there: There = ctx.prepared
    await locks.take(ctx.tx, [locks.player_lock(ctx.player_id), *of_there(ctx)])
    if not await users.lock(ctx.tx, ctx.app.id, ctx.player_id):
        raise NoSession("the player is gone")
    player, is_new = await logins.log_in(
        ctx.tx, there.app, there.login, there.verified, ctx.now_ms, ctx.core.new_id
    )
    target: str = player["profile_id"]
    if name == PARENT:
        row = await ctx.tx.one(profile_links.COUNT_CHILDREN, parent=target)
        assert row is not None, "a count is always there"
        _check_children(row[0])
    if not await profile_links.add(ctx.tx, ctx.player_id, name, target, ctx.now_ms):
        raise refusal
    return Attached(profile_id=target, new_user=is_new)


@service.operation("DETACH_PARENT", tx=Tx.WRITE, errors=(NoParent,))
async def detach_parent(ctx: Context, request: Nothing) -> Detached:
    """Make the caller nobody's child. Both players stay, and sessions that are open.

    Refused: callers without a parent. A profile that was only ever switched to has no login of its own then;
    attach an identity first.
    """
    above = next(profile_links.ancestors(ctx.core.get(LiveApps), ctx.app), None)
    if above is None:
        raise NoParent("the app has no parent, and so no player has")
    parent = await profile_links.parent_of(ctx.tx, ctx.player_id, above[1])
    await ctx.tx.run(profile_links.REMOVE, profile=ctx.player_id, name=PARENT)
    return Detached(profile_id=parent)


class AttachPeer(Credentials, kw_only=True):
    peer: PeerCode
    force_create: Annotated[
        bool | None,
        Meta(description="true makes the profile in the peer app where there is none, if the app allows it."),
    ] = None


async def verify_peer(ctx: Context, request: AttachPeer) -> There:
    """Check the credentials at the peer app."""
    app = profile_links.peer_app(ctx.core.get(LiveApps), ctx.app, request.peer)
    peer = ctx.app.peers[request.peer]
    if not allows_type(peer.types, request.authentication_type):
        raise UnknownAuthenticationType("profiles in this peer are not attached with that type of identity")
    return await _verify_at(ctx, app, request, force_create=peer.may_create and bool(request.force_create))


@service.operation(
    "ATTACH_PEER_PROFILE",
    tx=Tx.WRITE,
    prepare=verify_peer,
    locks=of_there,
    errors=(InvalidPeer, PeerAttached, *ATTACH_ERRORS),
)
async def attach_peer(ctx: Context, request: AttachPeer) -> Attached:
    """Note which profile the caller has in a peer app: the one that the credentials lead to.

    They are checked as at a login there. With `forceCreate` that profile is made where there is none, if the
    app says `may_create`. Refused: what a login there is refused with, login types that the app does not
    allow for this peer, callers who have a profile there, and peers that the app does not have.
    """
    return await _attach(ctx, request.peer, PeerAttached("the player has a profile in this peer already"))


class DetachPeer(Request):
    peer: PeerCode


@service.operation("DETACH_PEER", tx=Tx.WRITE, errors=(InvalidPeer, NoPeer))
async def detach_peer(ctx: Context, request: DetachPeer) -> Detached:
    """Forget which profile the caller has in a peer app; both players stay. Refused: callers without one."""
    apps = ctx.core.get(LiveApps)
    _, target = await profile_links.at_peer(ctx.tx, apps, ctx.app, ctx.player_id, request.peer)
    await ctx.tx.run(profile_links.REMOVE, profile=ctx.player_id, name=request.peer)
    return Detached(profile_id=target)


# Reading


class GetChildren(Request):
    """SDKs say `includePlayerSummaryData`, the reference `includeProfileSummaryData`."""

    include_profile_summary_data: Annotated[
        bool | None, Meta(description="true tells what the profiles show to friends.")
    ] = None
    include_player_summary_data: Annotated[
        bool | None, Meta(description="Another name of `includeProfileSummaryData`.")
    ] = None
    include_summary_data: Annotated[
        bool | None, Meta(description="Another name of `includeProfileSummaryData`.")
    ] = None


class ChildProfile(Reply):
    app_id: Annotated[str, Meta(description="The id of the child app.")]
    profile_id: Annotated[str, Meta(description="The id of the profile there.")]
    profile_name: PlayerName
    summary_friend_data: Annotated[
        Any, Meta(description="What the profile shows to friends, if it was asked for; else null.")
    ]


class Children(Reply):
    children: Annotated[list[ChildProfile], Meta(description="The profiles, the oldest first.")]


@service.operation("GET_CHILD_PROFILES", tx=Tx.READ)
async def get_children(ctx: Context, request: GetChildren) -> Children:
    """List the caller's profiles in child apps, the oldest first; with their summary data where asked for."""
    asked = (
        request.include_profile_summary_data,
        request.include_player_summary_data,
        request.include_summary_data,
    )
    apps, mine = ctx.core.get(LiveApps), []
    for row in await profile_links.children(ctx.tx, ctx.player_id):
        app = apps.find(row["app_id"])
        if app is not None and app.parent is not None and app.parent.app == ctx.app.id:
            mine.append(row)
    summaries = [row["summary_friend_data"] if any(asked) else None for row in mine]
    ctx.reserve_bytes(text for text in summaries if text is not None)
    return Children(
        children=[
            ChildProfile(
                app_id=row["app_id"],
                profile_id=row["profile_id"],
                profile_name=row["name"],
                summary_friend_data=None if summary is None else data_out(summary),
            )
            for row, summary in zip(mine, summaries, strict=True)
        ]
    )


@service.operation("GET_PEER_PROFILES", tx=Tx.READ)
async def get_peers(ctx: Context, request: Nothing) -> dict[str, PeerProfile]:
    """Tell the caller's profiles in peer apps, by the code of the peer."""
    rows = await ctx.tx.all(profile_links.PEERS, profile=ctx.player_id)
    found = {row["name"]: row["target_id"] for row in rows}
    return {code: PeerProfile(profile_id=found[code]) for code in ctx.app.peers if code in found}


# A player's life

service.keeps(profile_links.KEPT)


@service.on(PLAYER_MERGE)
async def merge_links(ctx: Context, profile_id: str, target: str) -> None:
    """Give the player's children to the target, who is the peer of whose peer the player was."""
    await profile_links.adopt(ctx.tx, profile_id, target)
