"""The caller's friends and what they show, at once or page by page."""

import asyncio
from collections.abc import Collection, Sequence
from typing import Annotated, Any

from msgspec import UNSET, Meta, Raw, UnsetType, field

from gameserver.documents import documents
from gameserver.documents.documents import AclShown, EntityId, EntityType, VersionShown
from gameserver.documents.paging import (
    InvalidContext,
    NextContext,
    PageContext,
    PageOffset,
    Results,
    UnreadableContext,
    read_context,
    read_page,
)
from gameserver.documents.query import InvalidFieldInWhere, InvalidWhere
from gameserver.domain import social
from gameserver.domain.social import SharedEntity, friends
from gameserver.domain.social.friends import PLATFORMS, Ways
from gameserver.players.fields import PictureUrl, PlayerName
from gameserver.realtime import Roster
from gameserver.rpc import Context, Tx
from gameserver.services.friend import storage
from gameserver.services.friend.base import UnsupportedPlatform, platform_ways, service, summary
from gameserver.services.friend.linking import TYPES
from gameserver.storage import Row, Transaction
from gameserver.wire import json
from gameserver.wire.errors import NoSession, PacketTooLarge
from gameserver.wire.fields import CreatedAt, ServerTime, UpdatedAt
from gameserver.wire.fields import ProfileId as PlayerId
from gameserver.wire.shapes import Reply, Request

# Shapes


class ExternalData(Reply):
    """What a platform tells of a player: null where it has not. Nothing of it for friends of the game."""

    external_id: Annotated[
        str | UnsetType | None, Meta(description="The id of the player at the platform.")
    ] = UNSET
    name: Annotated[str | UnsetType | None, Meta(description="The name there, or null.")] = UNSET
    picture_url: Annotated[
        str | UnsetType | None, Meta(description="Address of the picture there, or null.")
    ] = UNSET


class Friend(Reply):
    """A friend. Summary data only where it was asked for."""

    player_id: PlayerId
    name: PlayerName
    picture_url: PictureUrl
    external_data: Annotated[
        dict[str, ExternalData], Meta(description="What platforms know of the player, by platform.")
    ]
    friend_platforms: Annotated[
        list[str],
        Meta(
            description="By which ways the two are friends: brainCloud (the game), Facebook, "
            "Steam, PlaystationNetwork."
        ),
    ]
    is_online: Annotated[bool, Meta(description="Whether the player has an open session, and does not hide.")]
    summary_friend_data: Annotated[
        Raw | UnsetType | None,
        Meta(description="What the player shows to friends, or null; where it was asked for."),
    ] = UNSET


class FriendList(Reply):
    friends: Annotated[list[Friend], Meta(description="The friends, those first who came first.")]
    server_time: ServerTime = field(name="server_time")


class OfPlatform(Request):
    """`friend_platform`: All, brainCloud, Facebook, Steam or PlaystationNetwork."""

    friend_platform: Annotated[
        str,
        Meta(
            description="By which way they are friends: All, brainCloud (the game), Facebook, "
            "Steam or PlaystationNetwork."
        ),
    ] = "All"
    include_summary_data: Annotated[
        bool, Meta(description="true tells what players show to friends, too.")
    ] = False


@service.operation("LIST_FRIENDS", tx=Tx.READ, errors=(UnsupportedPlatform, PacketTooLarge))
async def list_friends(ctx: Context, request: OfPlatform) -> FriendList:
    """List the caller's friends, or those who came by a platform, those first who came first.

    Refused: a platform that is none, and more data than an answer holds: ask for pages.
    """
    ways = int(platform_ways(request.friend_platform))
    rows = await ctx.tx.all(storage.FRIENDS, owner=ctx.player_id, app=ctx.app.id, way=ways)
    shown = await _shown(ctx, rows, with_summary=request.include_summary_data)
    return FriendList(friends=shown, server_time=ctx.now_ms)


class FriendPage(Reply):
    """A page, and the context of the next call."""

    context: NextContext
    results: Annotated[Results, Meta(description="The page.")]


class GetFriendsPage(Request):
    """`context`: of the first page an object, as for pages of entities, then the text of the last answer.

    `page_offset` counts pages from the one that the context stands for.
    """

    context: PageContext = None
    page_offset: PageOffset = 0
    include_summary_data: Annotated[
        bool, Meta(description="true tells what players show to friends, too.")
    ] = False


@service.operation(
    "GET_FRIENDS_PAGE",
    tx=Tx.READ,
    errors=(UnreadableContext, InvalidContext, InvalidWhere, InvalidFieldInWhere, PacketTooLarge),
)
async def get_friends_page(ctx: Context, request: GetFriendsPage) -> FriendPage:
    """Read a page of the caller's friends, which the reference does not have. 500 rows at most.

    A search may ask for `playerId`, `name` and `createdAt`, when the two became friends.
    """
    page = read_context(request.context, request.page_offset, f"friends/{ctx.player_id}")
    scope = storage.of_owner(ctx.app.id, ctx.player_id)
    found = await read_page(ctx.tx, page, storage.FRIEND, scope, storage.FIELDS)
    shown = await _shown(ctx, found.rows, with_summary=request.include_summary_data)
    return FriendPage(context=found.context, results=found.results(shown))


class SocialInfo(Reply):
    player_id: PlayerId
    name: PlayerName
    picture_url: PictureUrl
    external_data: Annotated[
        dict[str, ExternalData], Meta(description="What platforms know of the player, by platform.")
    ]
    server_time: ServerTime = field(name="server_time")
    summary_friend_data: Annotated[
        Raw | UnsetType | None,
        Meta(description="What the player shows to friends, or null; where it was asked for."),
    ] = UNSET


@service.operation("GET_MY_SOCIAL_INFO", tx=Tx.READ, errors=(UnsupportedPlatform, NoSession))
async def get_my_social_info(ctx: Context, request: OfPlatform) -> SocialInfo:
    """Tell of the caller what friends are told, and what platforms know of them. Refused: no platform."""
    ways = platform_ways(request.friend_platform)
    row = await ctx.tx.one(storage.READ, app=ctx.app.id, profile=ctx.player_id)
    if row is None:
        raise NoSession("the player is gone")
    known = await _external_data(ctx, {ctx.player_id: int(ways)})
    text = row["summary_friend_data"]
    return SocialInfo(
        player_id=row["profile_id"],
        name=row["name"],
        picture_url=row["picture_url"],
        external_data=known[ctx.player_id],
        server_time=ctx.now_ms,
        summary_friend_data=summary(text) if request.include_summary_data else UNSET,
    )


# Entities of friends


class FriendEntity(Reply):
    entity_id: EntityId
    entity_type: EntityType
    version: VersionShown
    acl: AclShown
    created_at: CreatedAt
    updated_at: UpdatedAt
    data: Annotated[Raw, Meta(description="The object of the game's own, as it was sent.")]


class EntitiesOfFriend(Reply):
    user_id: Annotated[str, Meta(description="The id of the friend.")]
    entities: Annotated[list[FriendEntity], Meta(description="The entities of the friend.")]


class FriendsEntities(Reply):
    results: Annotated[list[EntitiesOfFriend], Meta(description="The friends who let others read something.")]


class ReadFriendsEntities(Request):
    entity_type: Annotated[
        str | None, Meta(description="Only entities of this kind; null, empty or nothing: of every kind.")
    ] = None


@service.operation("READ_FRIENDS_ENTITIES", tx=Tx.READ, errors=(PacketTooLarge,))
async def read_friends_entities(ctx: Context, request: ReadFriendsEntities) -> FriendsEntities:
    """Read the entities, of a type if one is named, that friends of the caller let others read.

    Refused: more than an answer holds.
    """
    owners = await friends.of_player(ctx.tx, ctx.app.id, ctx.player_id)
    found = await social.shared_entities(
        ctx.core.hooks, ctx.tx, ctx.app.id, owners, entity_type=request.entity_type or None
    )
    ctx.reserve_bytes(entity.data for entity in found)
    of_owner: dict[str, list[FriendEntity]] = {}
    for entity in found:
        of_owner.setdefault(entity.owner_id, []).append(friend_entity(entity))
    return FriendsEntities(
        results=[EntitiesOfFriend(user_id=owner, entities=those) for owner, those in of_owner.items()]
    )


# Rules


@service.on(social.FRIENDS)
async def friends_of(tx: Transaction, app_id: str, profile_id: str) -> list[str]:
    """Tell others who a player's friends are."""
    return await friends.of_player(tx, app_id, profile_id)


def friend_entity(entity: SharedEntity) -> FriendEntity:
    """Return an entity as clients read it."""
    return FriendEntity(
        entity_id=entity.entity_id,
        entity_type=entity.entity_type,
        version=entity.version,
        acl=documents.acl_of(entity.acl_other),
        created_at=entity.created_ms,
        updated_at=entity.updated_ms,
        data=documents.data_out(entity.data),
    )


async def online(ctx: Context, profile_ids: Collection[str]) -> set[str]:
    """Return those among players who are online: who have an open session, and let others see it.

    Not who hides (see `presence`), and not whose client has fallen silent on its real-time connection, until
    it sends a packet again. All are asked for in one round trip.
    """
    roster, app_id = ctx.core.get(Roster), ctx.app.id
    known, opened = await asyncio.gather(
        roster.look(app_id, profile_ids),
        asyncio.gather(*(ctx.core.sessions.list(app_id, each) for each in profile_ids)),
    )
    unseen = {  # by a session that has no connection
        session.digest: session.last_used_ms
        for each, sessions in zip(profile_ids, opened, strict=True)
        for session in sessions
        if not known[each].cx_ids
    }
    silent = await roster.silent_since(unseen) if unseen else {}
    return {
        each
        for each, sessions in zip(profile_ids, opened, strict=True)
        if known[each].is_visible
        and any(session.last_used_ms > silent.get(session.digest, -1) for session in sessions)
    }


async def _shown(ctx: Context, rows: Sequence[Row], *, with_summary: bool) -> list[Friend]:
    """Return friends as the caller reads them. Raises `PacketTooLarge`."""
    if with_summary:
        ctx.reserve_bytes(row["summary_friend_data"] or "" for row in rows)
    ids = [row["friend_id"] for row in rows]
    are_online = await online(ctx, ids)
    known = await _external_data(ctx, {row["friend_id"]: row["ways"] for row in rows})
    return [
        Friend(
            player_id=row["friend_id"],
            name=row["name"],
            picture_url=row["picture_url"],
            external_data=known[row["friend_id"]],
            friend_platforms=friends.shown_ways(row["ways"]),
            is_online=row["friend_id"] in are_online,
            summary_friend_data=summary(row["summary_friend_data"]) if with_summary else UNSET,
        )
        for row in rows
    ]


async def _external_data(ctx: Context, ways: dict[str, int]) -> dict[str, dict[str, ExternalData]]:
    """Return what platforms know of players, by which they are friends."""
    known: dict[str, dict[str, ExternalData]] = {
        profile_id: {"brainCloud": ExternalData()} if some & Ways.GAME else {}
        for profile_id, some in ways.items()
    }
    outside = [profile_id for profile_id, some in ways.items() if some & ~int(Ways.GAME)]
    if not outside:
        return known
    types = {type_: way for way, those in TYPES.items() for type_ in those}
    names = {way: name for name, way in PLATFORMS.items()}
    rows = await ctx.tx.all(storage.EXTERNAL_IDS, app=ctx.app.id, profiles=outside, types=list(types))
    for row in rows:
        way = types[row["type"]]
        if ways[row["profile_id"]] & way:
            known[row["profile_id"]].setdefault(names[way], _external(row))
    return known


def _external(row: Row) -> ExternalData:
    data: Any = json.read_stored(row["data"]) if row["data"] else {}
    name, picture = data.get("name"), data.get("pictureUrl")
    return ExternalData(
        external_id=row["external_id"],
        name=name if isinstance(name, str) else None,
        picture_url=picture if isinstance(picture, str) else None,
    )
