"""Making friends, one by one or by the list of a platform, and parting from them."""

from typing import Annotated, Literal

from msgspec import Meta, field

from gameserver.domain.social import friends
from gameserver.domain.social.friends import UserBlocked, Ways
from gameserver.players.profiles import UnknownPlayer
from gameserver.players.quotas import QuotaReached, QuotaSettings
from gameserver.players.webhooks import EventData
from gameserver.rpc import Caller, Context, Tx
from gameserver.services.friend.base import (
    ProfileIds,
    SelfFriend,
    TooManyProfileIds,
    UnsupportedPlatform,
    of_both,
    of_named,
    platform_ways,
    service,
)
from gameserver.services.friend.storage import BY_EXTERNAL_IDS, FRIENDS_BY_WAY
from gameserver.storage import locks
from gameserver.wire.fields import ServerTime
from gameserver.wire.shapes import Reply, Request

IMPORTED_MAX = 1000  # ids of one list
TYPES = {
    Ways.FACEBOOK: ["Facebook", "FacebookLimited"],
    Ways.STEAM: ["Steam"],
    Ways.PLAYSTATION: ["PlaystationNetwork", "PlaystationNetwork5"],
}
"""By what identities players of a platform are known."""


@service.emits
class FriendsAdded(EventData):
    """A player and others have become friends. One event for all who came by one call."""

    event = "friend.added"

    friend_ids: Annotated[list[str], Meta(description="The others, by their profile ids.")]


@service.operation(
    "ADD_FRIENDS",
    tx=Tx.WRITE,
    locks=of_named,
    errors=(SelfFriend, UnknownPlayer, UserBlocked, TooManyProfileIds, QuotaReached),
)
async def add_friends(ctx: Context, request: ProfileIds) -> None:
    """Make the caller and other players friends, both ways and at once.

    Refused, and then nobody becomes a friend: oneself, players who do not exist, who have blocked the caller
    or whom the caller has blocked, and more friends than either may have.
    """
    wanted = request.wanted()
    if ctx.player_id in wanted:
        raise SelfFriend("a player is not their own friend")
    await locks.take(ctx.tx, of_both(ctx, wanted))
    there = await friends.look(ctx.tx, ctx.app.id, ctx.player_id, wanted)
    for profile_id in wanted:
        if profile_id not in there:
            raise UnknownPlayer(f"there is no player {profile_id[:64]!r}")
        if there[profile_id]["is_blocked"]:
            raise UserBlocked(f"the player {profile_id!r} and the caller: one has blocked the other")
    new = [profile_id for profile_id in wanted if not there[profile_id]["ways"]]
    room = await _room(ctx)
    if len(new) > room or any(_is_full(ctx, there[profile_id]["friends"]) for profile_id in new):
        raise QuotaReached(f"a player may have {_most(ctx)} friends (friends)")
    await friends.link(ctx.tx, ctx.app.id, ctx.player_id, wanted, Ways.GAME, ctx.now_ms)
    await _tell(ctx, new)


@service.operation("REMOVE_FRIENDS", tx=Tx.WRITE, locks=of_named, errors=(TooManyProfileIds,))
async def remove_friends(ctx: Context, request: ProfileIds) -> None:
    """Let the caller and other players be friends no longer, whichever way they came together.

    Those who are not friends are no mistake.
    """
    wanted = request.wanted()
    await locks.take(ctx.tx, of_both(ctx, wanted))
    await friends.unlink(ctx.tx, ctx.app.id, ctx.player_id, wanted)


class Imported(Reply):
    """`rejected`: external ids of nobody in the app, of the caller, or of whom the caller cannot befriend."""

    server_time: ServerTime = field(name="server_time")
    rejected: Annotated[list[str], Meta(description="Ids under which no player is known.")]
    num_rejected: Annotated[int, Meta(description="How many these are.")]
    num_new_added: Annotated[int, Meta(description="How many friends are new.")]
    num_deleted: Annotated[int, Meta(description="How many are friends no longer.")]
    num_existing: Annotated[int, Meta(description="How many were friends before.")]


class AddFromPlatform(Request):
    friend_platform: Annotated[str, Meta(description="Facebook, Steam or PlaystationNetwork.")]
    mode: Annotated[
        Literal["ADD", "SYNC"],
        Meta(
            description="ADD: make friends of these; SYNC: and let others who came by the platform"
            " be friends no longer."
        ),
    ]
    external_ids: Annotated[
        list[Annotated[str, Meta(max_length=256)]],
        Meta(max_length=IMPORTED_MAX, description="The ids under which the platform knows the friends."),
    ]


@service.operation("ADD_FRIENDS_FROM_PLATFORM", tx=Tx.WRITE, errors=(UnsupportedPlatform,))
async def add_from_platform(ctx: Context, request: AddFromPlatform) -> Imported:
    """Make friends of players whom a platform lists as the caller's: Facebook, Steam or PlaystationNetwork.

    SYNC also parts from those who came by the platform and are not listed any more. Who cannot become a
    friend is told in `rejected`. Refused: other platforms.
    """
    way = platform_ways(request.friend_platform)
    if way not in TYPES:
        raise UnsupportedPlatform(f"data.friendPlatform: expected one of {', '.join(_platforms())}")
    wanted = sorted(set(request.external_ids))
    app, me = ctx.app.id, ctx.player_id
    found = await ctx.tx.all(BY_EXTERNAL_IDS, app=app, types=TYPES[way], keys=wanted)
    owners = {row["external_key"]: row["profile_id"] for row in found}
    before = {row["friend_id"] for row in await ctx.tx.all(FRIENDS_BY_WAY, owner=me, app=app, way=int(way))}
    listed = set(owners.values())
    gone = before - listed if request.mode == "SYNC" else set[str]()
    await locks.take(ctx.tx, of_both(ctx, listed | gone))
    there = await friends.look(ctx.tx, app, me, listed - {me})
    if gone:
        await friends.unlink_way(ctx.tx, app, me, gone, way)
    room = await _room(ctx)
    new, existing = list[str](), list[str]()
    for profile_id, row in there.items():
        if row["ways"]:
            existing.append(profile_id)
        elif not row["is_blocked"] and len(new) < room and not _is_full(ctx, row["friends"]):
            new.append(profile_id)
    await friends.link(ctx.tx, app, me, [*existing, *new], way, ctx.now_ms)
    await _tell(ctx, new)
    rejected = [one for one in wanted if owners.get(one) not in {*new, *existing}]
    return Imported(
        server_time=ctx.now_ms,
        rejected=rejected,
        num_rejected=len(rejected),
        num_new_added=len(new),
        num_deleted=len(gone),
        num_existing=len(existing),
    )


async def _tell(ctx: Context, new: list[str]) -> None:
    if new:
        await ctx.emit(FriendsAdded(profile_id=ctx.player_id, friend_ids=new))


def _platforms() -> list[str]:
    return [name for name, way in friends.PLATFORMS.items() if way in TYPES]


def _most(ctx: Context) -> int:
    return ctx.section(QuotaSettings).friends


async def _room(ctx: Context) -> int:
    """Return how many friends more the caller may have. Servers are free, as of every quota."""
    counted = await ctx.tx.one(friends.COUNT, owner=ctx.player_id, app=ctx.app.id)
    assert counted is not None, "a count is always there"
    return max(0, _most(ctx) - counted[0]) if ctx.caller is Caller.CLIENT else IMPORTED_MAX


def _is_full(ctx: Context, count: int) -> bool:
    return ctx.caller is Caller.CLIENT and count >= _most(ctx)
