"""Sending at once: to a player, to several, to a group, to all."""

from collections.abc import Sequence
from typing import Annotated, Any

from msgspec import Meta

from gameserver.documents import documents
from gameserver.domain.push import audiences, content, sending
from gameserver.domain.push.audiences import UnknownEntityType
from gameserver.domain.push.content import Content, MissingBody
from gameserver.domain.segments.membership import UnknownSegment
from gameserver.domain.social import groups
from gameserver.domain.social.groups import NotGroupMember, UnknownGroup
from gameserver.players.profiles import UnknownPlayer
from gameserver.players.quotas import QuotaSettings
from gameserver.rpc import Access, Context, Tx
from gameserver.services.push_notification.base import (
    CONTENT_ERRORS,
    SEGMENTS_MAX,
    TEXT_ERRORS,
    Alerting,
    ProfileId,
    PushNotConfigured,
    Ready,
    Targets,
    Templated,
    ToPlayerId,
    ToProfileId,
    UnknownTemplate,
    check_configured,
    check_receiver,
    count,
    reachable,
    receiver,
    service,
)
from gameserver.services.push_notification.segments import to_many
from gameserver.wire.errors import GameError, PacketTooLarge
from gameserver.wire.shapes import FREE, Empty, Request, read_value

PLAYERS_MAX = 1000  # of one call


# To a player


class SendSimple(Request, kw_only=True):
    to_profile_id: ToProfileId = None
    to_player_id: ToPlayerId = None
    message: Annotated[str, Meta(description="What it says.")]
    segment_id_list: Annotated[
        Annotated[list[int], Meta(max_length=SEGMENTS_MAX)] | None,
        Meta(
            description="For servers, in place of a player: the segments whose players get it. Null or "
            "nothing, and no player named: all players of the app.",
        ),
    ] = None


@service.operation(
    "SEND_SIMPLE",
    tx=Tx.WRITE,
    access=Access.SIGNED_IN,
    errors=(UnknownPlayer, UnknownSegment, *TEXT_ERRORS),
)
async def send_simple(ctx: Context, request: SendSimple) -> Targets | None:
    """Send a text to a player; from a server that names none, to the players of segments or to all.

    Servers then learn for how many it is. Refused: unknown players and segments, no text or too much, more
    than a player may send.
    """
    told = content.of_text(request.message)
    is_wide = request.to_profile_id is None and request.to_player_id is None and ctx.caller.is_studio
    if is_wide:
        return await to_many(ctx, request.segment_id_list, told)
    await _to_player(ctx, receiver(request.to_profile_id, request.to_player_id), told)
    return None


class SendNormalized(Alerting, kw_only=True):
    to_profile_id: ToProfileId = None
    to_player_id: ToPlayerId = None


@service.operation("SEND_NORMALIZED", tx=Tx.WRITE, errors=(UnknownPlayer, *TEXT_ERRORS))
async def send_normalized(ctx: Context, request: SendNormalized) -> None:
    """Send a title, a text and data of the game to a player, in the form that each platform wants.

    Refused: unknown players, no text or too much, more than a player may send.
    """
    await _to_player(ctx, receiver(request.to_profile_id, request.to_player_id), request.content())


class SendRaw(Ready, kw_only=True):
    to_profile_id: ToProfileId = None
    to_player_id: ToPlayerId = None


@service.operation("SEND_RAW", tx=Tx.WRITE, errors=(UnknownPlayer, *CONTENT_ERRORS))
async def send_raw(ctx: Context, request: SendRaw) -> None:
    """Send a player what is ready for each platform.

    Refused: unknown players, nothing for any platform or too much, more than a player may send.
    """
    await _to_player(ctx, receiver(request.to_profile_id, request.to_player_id), request.content())


class SendRich(Templated, kw_only=True):
    to_profile_id: ToProfileId = None
    to_player_id: ToPlayerId = None


@service.operation("SEND_RICH", tx=Tx.WRITE, errors=(UnknownPlayer, UnknownTemplate, *TEXT_ERRORS))
async def send_rich(ctx: Context, request: SendRich) -> None:
    """Send a template of the app to a player, in their language.

    Refused: also unknown templates, and substitutions with which one says nothing.
    """
    await _to_player(ctx, receiver(request.to_profile_id, request.to_player_id), request.content(ctx))


# To several


ProfileIds = Annotated[
    list[ProfileId], Meta(min_length=1, max_length=PLAYERS_MAX, description="The players who get it.")
]


class NormalizedBatch(Alerting, kw_only=True):
    profile_ids: ProfileIds


@service.operation("SEND_NORMALIZED_BATCH", tx=Tx.WRITE, access=Access.SIGNED_IN, errors=TEXT_ERRORS)
async def send_normalized_batch(ctx: Context, request: NormalizedBatch) -> None:
    """Send a title, a text and data of the game to players. Whoever is no player gets nothing.

    Refused: no text or too much, more than a player may send.
    """
    await _to_players(ctx, ctx.profile_id or "", request.profile_ids, request.content())


class RawBatch(Ready, kw_only=True):
    profile_ids: ProfileIds


@service.operation("SEND_RAW_BATCH", tx=Tx.WRITE, access=Access.SIGNED_IN, errors=CONTENT_ERRORS)
async def send_raw_batch(ctx: Context, request: RawBatch) -> None:
    """Send players what is ready for each platform. Whoever is no player gets nothing."""
    await _to_players(ctx, ctx.profile_id or "", request.profile_ids, request.content())


# To a group


GroupId = Annotated[documents.Id, Meta(description="The group whose members get it.")]
SenderId = Annotated[
    ProfileId | None,
    Meta(description="For servers: the player who sends it, and does not get it. Null: nobody."),
]
GROUP_ERRORS: tuple[type[GameError], ...] = (UnknownGroup, NotGroupMember, *CONTENT_ERRORS)


class NormalizedToGroup(Alerting, kw_only=True):
    group_id: GroupId
    sender_id: SenderId = None


@service.operation(
    "SEND_NORMALIZED_TO_GROUP",
    tx=Tx.WRITE,
    access=Access.SIGNED_IN,
    errors=(MissingBody, *GROUP_ERRORS),
)
async def send_normalized_to_group(ctx: Context, request: NormalizedToGroup) -> None:
    """Send a title, a text and data of the game to the members of a group, but for the sender.

    Refused: unknown groups, groups that the calling player is no member of, no text or too much.
    """
    await _to_group(ctx, request.group_id, request.sender_id, request.content())


class RawToGroup(Ready, kw_only=True):
    group_id: GroupId
    sender_id: SenderId = None


@service.operation("SEND_RAW_TO_GROUP", tx=Tx.WRITE, access=Access.SIGNED_IN, errors=GROUP_ERRORS)
async def send_raw_to_group(ctx: Context, request: RawToGroup) -> None:
    """Send the members of a group what is ready for each platform, but for the sender."""
    await _to_group(ctx, request.group_id, request.sender_id, request.content())


class TemplatedToGroup(Templated, kw_only=True):
    group_id: GroupId
    sender_id: SenderId = None


@service.operation(
    "SEND_TEMPLATED_TO_GROUP",
    tx=Tx.WRITE,
    access=Access.SIGNED_IN,
    errors=(UnknownTemplate, MissingBody, *GROUP_ERRORS),
)
async def send_templated_to_group(ctx: Context, request: TemplatedToGroup) -> None:
    """Send a template of the app to the members of a group, each in their language, but for the sender."""
    await _to_group(ctx, request.group_id, request.sender_id, request.content(ctx))


# To whom custom entities name


class ToQuery(Request, kw_only=True):
    custom_entity_type: Annotated[
        str, Meta(min_length=1, max_length=documents.TYPE_MAX, description="The type of the entities.")
    ]
    custom_query_json: Annotated[dict[str, Any], FREE, Meta(description="Which entities: a where-clause.")]
    profile_id_field: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=documents.TYPE_MAX,
            description="The field that names the player, such as `ownerId` or `data.playerId`.",
        ),
    ]
    content_json: Annotated[
        dict[str, Any],
        FREE,
        Meta(description="`fcmContent`, `iosContent`, `facebookContent`: one at least, as in SEND_RAW."),
    ]


@service.operation(
    "SEND_RAW_PUSH_TO_CUSTOM_QUERY",
    tx=Tx.WRITE,
    access=Access.SERVER,
    errors=(UnknownEntityType, PacketTooLarge, PushNotConfigured),
)
async def send_raw_to_query(ctx: Context, request: ToQuery) -> Empty:
    """Send what is ready for each platform to the players whom custom entities name.

    Refused: types that the app does not have, nothing for any platform or too much.
    """
    told = read_value(request.content_json, Ready, "data.contentJson").content()
    found = await audiences.named_by_query(
        ctx.core.hooks,
        ctx.tx,
        ctx.app.id,
        request.custom_entity_type,
        request.custom_query_json,
        request.profile_id_field,
    )
    await _to_players(ctx, "", found, told)
    return Empty()


# Rules


async def _to_player(ctx: Context, profile_id: str, told: Content) -> None:
    check_configured(ctx)
    count(ctx, 1)
    if await check_receiver(ctx, profile_id):
        await _send(ctx, ctx.profile_id or "", [profile_id], told)


async def _to_players(ctx: Context, sender_id: str, profile_ids: Sequence[str], told: Content) -> int:
    check_configured(ctx)
    wanted = sorted(set(profile_ids))
    count(ctx, len(wanted))
    return await _send(ctx, sender_id, await reachable(ctx, sender_id, wanted), told)


async def _to_group(ctx: Context, group_id: str, sender: str | None, told: Content) -> None:
    check_configured(ctx)
    sender_id = sender or ""
    members = await groups.member_ids(ctx.tx, ctx.app.id, group_id)
    if not ctx.caller.is_studio:
        sender_id = ctx.player_id
        if sender_id not in members:
            raise NotGroupMember("the player is not a member of the group")
    others = await reachable(ctx, sender_id, [member for member in members if member != sender_id])
    # A group may be larger than what is sent in a minute: then it takes all of that.
    count(ctx, max(1, min(len(others), ctx.section(QuotaSettings).pushes_per_minute)))
    await _send(ctx, sender_id, others, told)


async def _send(ctx: Context, sender_id: str, profile_ids: list[str], told: Content) -> int:
    devices = 0
    for start in range(0, len(profile_ids), PLAYERS_MAX):
        some = profile_ids[start : start + PLAYERS_MAX]
        devices += await sending.send(ctx.tx, ctx.app, ctx.core.new_id(), sender_id, some, told, ctx.now_ms)
    return devices
