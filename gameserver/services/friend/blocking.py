"""Blocking players, which the reference does not have: nothing that they send reaches the caller."""

from typing import Annotated

from msgspec import Meta

from gameserver.domain.social import friends
from gameserver.frame import Hook, Hooks
from gameserver.jobs import Job, JobRun, enqueue
from gameserver.players.fields import PictureUrl, PlayerName
from gameserver.players.profiles import UnknownPlayer
from gameserver.players.quotas import QuotaReached, QuotaSettings
from gameserver.rpc import Caller, Context, Tx
from gameserver.services.friend.base import (
    ProfileIds,
    SelfFriend,
    TooManyProfileIds,
    of_both,
    of_named,
    service,
)
from gameserver.storage import locks
from gameserver.wire.fields import ProfileId
from gameserver.wire.shapes import Nothing, Reply


@service.operation(
    "BLOCK_USERS",
    tx=Tx.WRITE,
    locks=of_named,
    errors=(SelfFriend, UnknownPlayer, TooManyProfileIds, QuotaReached),
)
async def block_users(ctx: Context, request: ProfileIds) -> None:
    """Let nothing that some players send reach the caller: no event, no message, no friendship.

    Those who were friends are so no longer. Refused: oneself, players who do not exist, and more than a
    player may block.
    """
    wanted = request.wanted()
    if ctx.player_id in wanted:
        raise SelfFriend("a player does not block themselves")
    await locks.take(ctx.tx, of_both(ctx, wanted))
    there = await friends.look(ctx.tx, ctx.app.id, ctx.player_id, wanted)
    if missing := [one for one in wanted if one not in there]:
        raise UnknownPlayer(f"there is no player {missing[0][:64]!r}")
    counted = await ctx.tx.one(friends.COUNT_BLOCKS, owner=ctx.player_id, app=ctx.app.id)
    assert counted is not None, "a count is always there"
    most = ctx.section(QuotaSettings).blocks
    if ctx.caller is Caller.CLIENT and counted[0] + len(wanted) > most:
        raise QuotaReached(f"a player may block {most} players (blocks)")
    await friends.unlink(ctx.tx, ctx.app.id, ctx.player_id, wanted)
    await friends.block(ctx.tx, ctx.app.id, ctx.player_id, wanted, ctx.now_ms)
    if wanted:
        part = {"app": ctx.app.id, "profile": ctx.player_id, "others": wanted}
        await enqueue(ctx.tx, PART, ctx.core.new_id(), part, at_ms=ctx.now_ms)
    _tell(ctx, friends.PLAYER_BLOCKED, wanted)


@service.operation("UNBLOCK_USERS", tx=Tx.WRITE, errors=(TooManyProfileIds,))
async def unblock_users(ctx: Context, request: ProfileIds) -> None:
    """Let what some players send reach the caller again. Those who are not blocked are no mistake."""
    wanted = request.wanted()
    await friends.unblock(ctx.tx, ctx.app.id, ctx.player_id, wanted)
    _tell(ctx, friends.PLAYER_UNBLOCKED, wanted)


async def part(run: JobRun) -> None:
    """See to it that players hear nothing more of those whom they block.

    That is done right after the commit, too; but then a crash may forget it, or Redis may be away.
    """
    app_id, profile_id, others = (run.payload[name] for name in ("app", "profile", "others"))
    async with run.database.read() as tx:
        blocked = set(others).intersection(await friends.blocked(tx, app_id, profile_id))
    if blocked:
        for subscriber in run.get(Hooks).of(friends.PLAYER_BLOCKED):
            await subscriber(run.parts, app_id, profile_id, sorted(blocked))


PART = Job("friend.part", part, at_once=10)
service.runs(PART)


def _tell(ctx: Context, hook: Hook[friends.BlockedHook], others: list[str]) -> None:
    """Tell those who hear of blocks, once the packet is committed."""

    async def tell() -> None:
        for subscriber in ctx.core.hooks.of(hook):
            await subscriber(ctx.core.parts, ctx.app.id, ctx.player_id, others)

    ctx.after_commit(tell)


class BlockedUser(Reply):
    profile_id: ProfileId
    profile_name: PlayerName
    picture_url: PictureUrl


class BlockedUsers(Reply):
    blocked: Annotated[
        list[BlockedUser], Meta(description="The players, those first who were blocked first.")
    ]


@service.operation("LIST_BLOCKED_USERS", tx=Tx.READ)
async def list_blocked_users(ctx: Context, request: Nothing) -> BlockedUsers:
    """List the players whom the caller has blocked, those first who were blocked first."""
    rows = await ctx.tx.all(friends.BLOCKED, owner=ctx.player_id, app=ctx.app.id)
    return BlockedUsers(
        blocked=[
            BlockedUser(
                profile_id=row["blocked_id"], profile_name=row["name"], picture_url=row["picture_url"]
            )
            for row in rows
        ]
    )
