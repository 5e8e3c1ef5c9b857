"""Who is whose friend, and who wants nothing of whom.

Friends are linked both ways at once: each of the two has a row. How they came together, within the game or by
the list of a platform, is a number with a bit for each. Whoever blocks a player has no link with them, and
gets nothing that they send.
"""

from collections.abc import Awaitable, Callable, Collection, Iterable
from enum import IntFlag
from typing import Any

from sqlalchemy import (
    BigInteger,
    BindParameter,
    Column,
    ColumnElement,
    Index,
    Integer,
    Select,
    SmallInteger,
    String,
    Table,
    and_,
    bindparam,
    delete,
    exists,
    func,
    literal_column,
    select,
    update,
)

from gameserver.frame import Hook, Parts
from gameserver.players.lifecycle import PlayerTable
from gameserver.players.profiles import players
from gameserver.storage import Row, Transaction, excluded, metadata, upsert
from gameserver.storage.tables import StoredBy
from gameserver.wire.errors import GameError


class UserBlocked(GameError):
    """One of the two players has blocked the other."""

    reason_code = 40790


class Ways(IntFlag):
    """How two players came to be friends."""

    GAME = 1
    FACEBOOK = 2
    STEAM = 4
    PLAYSTATION = 8


PLATFORMS = {
    "brainCloud": Ways.GAME,
    "Facebook": Ways.FACEBOOK,
    "Steam": Ways.STEAM,
    "PlaystationNetwork": Ways.PLAYSTATION,
}
"""The names that clients have for them."""


BlockedHook = Callable[[Parts, str, str, Collection[str]], Awaitable[None]]
"""The parts of the server, the app, who blocks, and whom."""

PLAYER_BLOCKED: Hook[BlockedHook] = Hook("social.player_blocked")
"""A player has blocked others, and that is committed. Each block is told twice: at once, and by a job."""

PLAYER_UNBLOCKED: Hook[BlockedHook] = Hook("social.player_unblocked")
"""A player blocks others no longer, and that is committed."""


# Friends


async def of_player(tx: Transaction, app_id: str, profile_id: str, ways: Ways | None = None) -> list[str]:
    """Return a player's friends, by some ways alone if these are named, in the order of their ids."""
    wanted = ALL_WAYS if ways is None else int(ways)
    return [row["friend_id"] for row in await tx.all(OF_PLAYER, owner=profile_id, app=app_id, ways=wanted)]


async def are_friends(tx: Transaction, app_id: str, profile_id: str, other: str) -> bool:
    """Tell whether two players are friends."""
    return await tx.one(IS_FRIEND, owner=profile_id, other=other, app=app_id) is not None


async def look(tx: Transaction, app_id: str, profile_id: str, others: Collection[str]) -> dict[str, Row]:
    """Return what a player has to do with others who exist, by their ids.

    `ways`: how they are friends, 0 where they are not; `is_blocked`: one has blocked the other; `friends`:
    how many friends the other one has.
    """
    rows = await tx.all(LOOK, owner=profile_id, others=sorted(set(others)), app=app_id)
    return {row["profile_id"]: row for row in rows}


async def link(
    tx: Transaction, app_id: str, profile_id: str, others: Iterable[str], ways: Ways, now_ms: int
) -> None:
    """Make a player and others friends, both ways. Who are friends already came together this way, too."""
    for other in others:
        for owner, friend in ((profile_id, other), (other, profile_id)):
            await tx.defer(
                LINK, owner_id=owner, friend_id=friend, app_id=app_id, ways=int(ways), created_ms=now_ms
            )


async def unlink(tx: Transaction, app_id: str, profile_id: str, others: Collection[str]) -> int:
    """Let a player and others be friends no longer; returns how many they were."""
    both = {"owner": profile_id, "others": sorted(set(others)), "app": app_id}
    await tx.run(UNLINK_OTHERS, **both)
    return await tx.run(UNLINK, **both)


async def unlink_way(
    tx: Transaction, app_id: str, profile_id: str, others: Collection[str], way: Ways
) -> None:
    """Forget a way in which a player and others came together; without another they are friends no longer."""
    both = {"owner": profile_id, "others": sorted(set(others)), "app": app_id}
    for statement in (UNLINK_ONE_WAY, UNLINK_ONE_WAY_OTHERS):
        await tx.run(statement, **both, way=int(way))
    for change in (FORGET_WAY, FORGET_WAY_OTHERS):
        await tx.run(change, **both, keep=~int(way) & ALL_WAYS)


# Blocks


async def block(tx: Transaction, app_id: str, profile_id: str, others: Iterable[str], now_ms: int) -> None:
    """Let nothing that others send reach a player."""
    for other in others:
        await tx.defer(BLOCK, owner_id=profile_id, blocked_id=other, app_id=app_id, created_ms=now_ms)


async def unblock(tx: Transaction, app_id: str, profile_id: str, others: Collection[str]) -> None:
    """Let what others send reach a player again."""
    await tx.run(UNBLOCK, owner=profile_id, others=sorted(set(others)), app=app_id)


async def blocked(tx: Transaction, app_id: str, profile_id: str) -> list[str]:
    """Return those whom a player has blocked."""
    return [row["blocked_id"] for row in await tx.all(BLOCKED_IDS, owner=profile_id, app=app_id)]


async def receivers(
    tx: Transaction, app_id: str, sender: str, profile_ids: Collection[str]
) -> tuple[set[str], set[str]]:
    """Return who among some profiles is a player of the app, and who of these blocks a sender."""
    rows = await tx.all(RECEIVERS, app=app_id, sender=sender, others=sorted(set(profile_ids)))
    there = {row["profile_id"] for row in rows}
    return there, {row["profile_id"] for row in rows if row["is_blocked"]}


# Storage

friendships = Table(
    "friendships",
    metadata,
    Column("owner_id", String(36), primary_key=True),
    Column("friend_id", String(36), primary_key=True),
    Column("app_id", String(64), nullable=False),
    Column("ways", SmallInteger, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Index("friendships_by_friend", "friend_id"),
    Index("friendships_by_age", "owner_id", "created_ms", "friend_id"),
    info={"stored_by": StoredBy.PLAYER},
)
blocks = Table(
    "blocks",
    metadata,
    Column("owner_id", String(36), primary_key=True),
    Column("blocked_id", String(36), primary_key=True),
    Column("app_id", String(64), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Index("blocks_by_blocked", "blocked_id"),
    info={"stored_by": StoredBy.PLAYER},
)
_c, _b = friendships.c, blocks.c
ALL_WAYS = sum(Ways)
KEPT = (
    PlayerTable(friendships, ("owner_id", "friend_id")),
    PlayerTable(blocks, ("owner_id", "blocked_id")),
)

_OWN = and_(_c.owner_id == bindparam("owner"), _c.app_id == bindparam("app"))
_SOME: BindParameter[Any] = bindparam("others", expanding=True)
_MINE = (_OWN, _c.friend_id.in_(_SOME))
_THEIRS = (
    _c.owner_id.in_(_SOME),
    _c.friend_id == bindparam("owner"),
    _c.app_id == bindparam("app"),
)
OF_PLAYER = (
    select(_c.friend_id)
    .where(_OWN, _c.ways.bitwise_and(bindparam("ways", type_=SmallInteger)) != 0)
    .order_by(_c.friend_id)
)
IS_FRIEND: Select[Any] = select(literal_column("1")).where(_OWN, _c.friend_id == bindparam("other"))
COUNT = select(func.count()).select_from(friendships).where(_OWN)
COUNT_BLOCKS = (
    select(func.count())
    .select_from(blocks)
    .where(_b.owner_id == bindparam("owner"), _b.app_id == bindparam("app"))
)
LINK = upsert(
    friendships,
    ["owner_id", "friend_id"],
    {"ways": _c.ways.bitwise_or(excluded(friendships).ways)},
)
UNLINK = delete(friendships).where(*_MINE)
UNLINK_OTHERS = delete(friendships).where(*_THEIRS)
_ONE_WAY = _c.ways == bindparam("way", type_=SmallInteger)
UNLINK_ONE_WAY, UNLINK_ONE_WAY_OTHERS = UNLINK.where(_ONE_WAY), UNLINK_OTHERS.where(_ONE_WAY)
_KEEP: dict[str, Any] = {"ways": _c.ways.bitwise_and(bindparam("keep", type_=SmallInteger))}
FORGET_WAY = update(friendships).where(*_MINE).values(_KEEP)
FORGET_WAY_OTHERS = update(friendships).where(*_THEIRS).values(_KEEP)
BLOCK = upsert(blocks, ["owner_id", "blocked_id"], None)
UNBLOCK = delete(blocks).where(
    _b.owner_id == bindparam("owner"), _b.blocked_id.in_(_SOME), _b.app_id == bindparam("app")
)
BLOCKED_IDS = select(_b.blocked_id).where(_b.owner_id == bindparam("owner"), _b.app_id == bindparam("app"))
BLOCKED = (
    select(_b.blocked_id, players.c.name, players.c.picture_url)
    .join(players, players.c.profile_id == _b.blocked_id)
    .where(_b.owner_id == bindparam("owner"), _b.app_id == bindparam("app"))
    .order_by(_b.created_ms, _b.blocked_id)
)


def _blocks(owner: ColumnElement[str], blocked: ColumnElement[str]) -> ColumnElement[bool]:
    """Tell in a statement on `players` whether one player blocks another."""
    return exists().where(_b.owner_id == owner, _b.blocked_id == blocked).correlate(players)


_me: ColumnElement[str] = bindparam("owner", type_=String)
_sender: ColumnElement[str] = bindparam("sender", type_=String)
_p = players.c
_its = friendships.alias("its")
# Spelled so that no index of an app's players seems good for some of them: SQLite would read them all.
_OF_APP = _p.app_id.concat("") == bindparam("app", type_=String)
LOOK = (
    select(
        _p.profile_id,
        func.coalesce(
            select(_c.ways)
            .where(_c.owner_id == _me, _c.friend_id == _p.profile_id)
            .correlate(players)
            .scalar_subquery(),
            literal_column("0", Integer),
        ).label("ways"),
        (_blocks(_p.profile_id, _me) | _blocks(_me, _p.profile_id)).label("is_blocked"),
        select(func.count())
        .select_from(_its)
        .where(_its.c.owner_id == _p.profile_id)
        .correlate(players)
        .scalar_subquery()
        .label("friends"),
    )
    .where(_p.profile_id.in_(_SOME), _OF_APP)
    .order_by(_p.profile_id)
)
RECEIVERS = select(_p.profile_id, _blocks(_p.profile_id, _sender).label("is_blocked")).where(
    _p.profile_id.in_(_SOME), _OF_APP
)


def shown_ways(ways: int) -> list[str]:
    """Return the names of ways, as clients know them."""
    return [name for name, way in PLATFORMS.items() if ways & way]
