"""Who is whose friend, and who wants nothing of whom, in lines."""

from typing import Any

from sqlalchemy import BigInteger, String, bindparam, select, tuple_

from gameserver.admin.moving import lines
from gameserver.admin.moving.kinds import APP, MOST, Found, Kind, NotTaken, Page, Taking, after
from gameserver.domain.social.friends import PLATFORMS, blocks, friendships, shown_ways
from gameserver.players.profiles import players
from gameserver.rpc import Context
from gameserver.storage import Transaction, insert_row


async def tell_friends(page: Page, tx: Transaction, after: list[Any] | None) -> Found:
    """Tell two friends once, as a friend of the one with the lower id."""
    rows = await page.rows(tx, FRIENDS, after or [-1, "", ""])
    found = [
        {
            "profileId": row["owner_id"],
            "friendId": row["friend_id"],
            "platforms": shown_ways(row["ways"]),
            "createdAt": row["created_ms"],
        }
        for row in rows
    ]
    return found, page.following(rows, "player_ms", "owner_id", "friend_id")


async def take_friend(taking: Taking, ctx: Context, line: lines.Friend) -> bool:
    """Make two players friends, unless they are."""
    _two(taking, line.profile_id, line.friend_id)
    if unknown := set(line.platforms) - PLATFORMS.keys():
        raise NotTaken(f"platforms: expected {', '.join(PLATFORMS)}, got {min(unknown)[:64]!r}")
    row = {
        "app_id": taking.app.id,
        "ways": int(sum(PLATFORMS[name] for name in set(line.platforms))),
        "created_ms": ctx.now_ms if line.created_at is None else line.created_at,
    }
    pairs = ((line.profile_id, line.friend_id), (line.friend_id, line.profile_id))
    added = [
        await ctx.tx.unless_taken(ADD_FRIEND, owner_id=owner, friend_id=friend, **row)
        for owner, friend in sorted(pairs)
    ]
    return any(added)


async def tell_blocks(page: Page, tx: Transaction, after: list[Any] | None) -> Found:
    """Tell whom players have blocked."""
    rows = await page.rows(tx, BLOCKS, after or [-1, "", ""])
    found = [
        {"profileId": row["owner_id"], "blockedId": row["blocked_id"], "createdAt": row["created_ms"]}
        for row in rows
    ]
    return found, page.following(rows, "player_ms", "owner_id", "blocked_id")


async def take_block(taking: Taking, ctx: Context, line: lines.Block) -> bool:
    """Let a player block another one."""
    _two(taking, line.profile_id, line.blocked_id)
    return await ctx.tx.unless_taken(
        ADD_BLOCK,
        owner_id=line.profile_id,
        blocked_id=line.blocked_id,
        app_id=taking.app.id,
        created_ms=ctx.now_ms if line.created_at is None else line.created_at,
    )


def _two(taking: Taking, one: str, other: str) -> None:
    taking.must_be_here(one, other)
    if one == other:
        raise NotTaken("these are two players, not one")


# Storage

_p, _f, _b = players.c, friendships.c, blocks.c
_AGE = (_p.created_ms, _p.profile_id)
_OF_APP = (_p.app_id == APP, _p.created_ms >= bindparam("after0", type_=BigInteger()))
FRIENDS = (
    select(*_f, _p.created_ms.label("player_ms"))
    .select_from(players.join(friendships, _f.owner_id == _p.profile_id))
    .where(*_OF_APP, _f.app_id == APP, _f.owner_id < _f.friend_id)
    .where(tuple_(*_AGE, _f.friend_id) > after(BigInteger(), String(), String()))
    .order_by(*_AGE, _f.friend_id)
    .limit(MOST)
)
BLOCKS = (
    select(*_b, _p.created_ms.label("player_ms"))
    .select_from(players.join(blocks, _b.owner_id == _p.profile_id))
    .where(*_OF_APP, _b.app_id == APP)
    .where(tuple_(*_AGE, _b.blocked_id) > after(BigInteger(), String(), String()))
    .order_by(*_AGE, _b.blocked_id)
    .limit(MOST)
)
ADD_FRIEND, ADD_BLOCK = insert_row(friendships), insert_row(blocks)

FRIEND = Kind("friend", lines.Friend, ((int, str, str),), tell_friends, take_friend)
BLOCK = Kind("block", lines.Block, ((int, str, str),), tell_blocks, take_block)
