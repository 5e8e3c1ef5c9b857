"""What is told of one player, or of players whose ids are known."""

from typing import Annotated

from msgspec import UNSET, Meta, Raw, UnsetType, field, structs

from gameserver.apps import LiveApps
from gameserver.documents.documents import MissingRecord
from gameserver.domain import social
from gameserver.domain.social import friends
from gameserver.players.accounts import UnknownAuthenticationType, canonical_type, identity_key
from gameserver.players.external import UnknownExternalLogin
from gameserver.players.fields import (
    AuthenticationType,
    Balances,
    CountryCode,
    ExperienceLevel,
    ExperiencePoints,
    ExternalIdField,
    PictureUrl,
    PlayerName,
    StatisticValues,
    XpCapped,
)
from gameserver.players.profiles import UnknownPlayer
from gameserver.rpc import Access, Caller, Context, Tx
from gameserver.services.friend import storage
from gameserver.services.friend.base import (
    NotFriends,
    ProfileId,
    ProfileIds,
    TooManyProfileIds,
    service,
    summary,
)
from gameserver.services.friend.listing import FriendEntity, friend_entity, online
from gameserver.storage import Row
from gameserver.wire.errors import PacketTooLarge
from gameserver.wire.fields import ProfileId as PlayerId
from gameserver.wire.fields import ServerTime
from gameserver.wire.shapes import Reply, Request

SECRET = frozenset({"Anonymous", "Handoff", "SettopHandoff"})
"""Types whose ids open an account, or nearly: they are told to nobody, and find nobody."""
PRIVATE = frozenset({"Email"})
"""Types whose ids clients are not told of others, and by which they find nobody: servers may."""

# By credentials


class Credential(Request):
    external_id: ExternalIdField
    authentication_type: AuthenticationType


class CredentialProfile(Reply, kw_only=True):
    """`email` is always null: mail addresses are not told."""

    profile_id: PlayerId
    player_name: PlayerName
    email: Annotated[str | None, Meta(description="Always null.")] = None
    summary_friend_data: Annotated[
        Raw | None,
        Meta(description="What the player shows to friends (`playerState.UPDATE_SUMMARY`), or null."),
    ]


@service.operation(
    "GET_PROFILE_INFO_FOR_CREDENTIAL",
    tx=Tx.READ,
    access=Access.SIGNED_IN,
    errors=(UnknownPlayer, UnknownAuthenticationType),
)
async def get_profile_for_credential(ctx: Context, request: Credential) -> CredentialProfile:
    """Tell of the player with an identity. Clients find nobody by a mail address, and nobody by a device.

    Refused: an identity of nobody, a type of logins that is none.
    """
    row = await _by_credential(ctx, request)
    if row is None:
        raise UnknownPlayer("there is no player with this identity")
    return _credential_profile(row)


class CredentialProfileIfExists(Reply):
    """The same, or an object without members."""

    profile_id: Annotated[str | UnsetType, Meta(description="The id of the player, if there is one.")] = UNSET
    player_name: Annotated[
        str | UnsetType, Meta(description="The player's name; empty if there is none.")
    ] = UNSET
    email: Annotated[str | UnsetType | None, Meta(description="Always null.")] = UNSET
    summary_friend_data: Annotated[
        Raw | UnsetType | None,
        Meta(description="What the player shows to friends (`playerState.UPDATE_SUMMARY`), or null."),
    ] = UNSET


@service.operation(
    "GET_PROFILE_INFO_FOR_CREDENTIAL_IF_EXISTS",
    tx=Tx.READ,
    access=Access.SIGNED_IN,
    errors=(UnknownAuthenticationType,),
)
async def get_profile_for_credential_if_exists(
    ctx: Context, request: Credential
) -> CredentialProfileIfExists:
    """Tell of the player with an identity, and nothing where there is none."""
    row = await _by_credential(ctx, request)
    if row is None:
        return CredentialProfileIfExists()
    return CredentialProfileIfExists(**structs.asdict(_credential_profile(row)))


class ExternalCredential(Request):
    """`external_auth_type`: the name of the external login, as the app declares it."""

    external_id: Annotated[str, Meta(description="The id of the player at the external login.")]
    external_auth_type: Annotated[
        str, Meta(description="The name of an external login that the app declares.")
    ]


class ExternalProfile(Reply, kw_only=True):
    """`email` is always null: mail addresses are not told."""

    player_id: PlayerId
    player_name: PlayerName
    email: Annotated[str | None, Meta(description="Always null.")] = None
    player_summary_data: Annotated[
        Raw | None,
        Meta(description="What the player shows to friends (`playerState.UPDATE_SUMMARY`), or null."),
    ]


@service.operation(
    "GET_PROFILE_INFO_FOR_EXTERNAL_AUTH_ID",
    tx=Tx.READ,
    access=Access.SIGNED_IN,
    errors=(UnknownPlayer, UnknownExternalLogin),
)
async def get_profile_for_external_id(ctx: Context, request: ExternalCredential) -> ExternalProfile:
    """Tell of the player with an identity of an external login.

    Refused: an identity of nobody, an external login that the app does not have.
    """
    if request.external_auth_type not in ctx.app.external:
        raise UnknownExternalLogin(f"the app has no external login {request.external_auth_type[:64]!r}")
    row = await _by_external_id(ctx, request)
    if row is None:
        raise UnknownPlayer("there is no player with this identity")
    return _external_profile(row)


class ExternalProfileIfExists(Reply):
    """The same, or an object without members."""

    player_id: Annotated[str | UnsetType, Meta(description="The id of the player, if there is one.")] = UNSET
    player_name: Annotated[
        str | UnsetType, Meta(description="The player's name; empty if there is none.")
    ] = UNSET
    email: Annotated[str | UnsetType | None, Meta(description="Always null.")] = UNSET
    player_summary_data: Annotated[
        Raw | UnsetType | None,
        Meta(description="What the player shows to friends (`playerState.UPDATE_SUMMARY`), or null."),
    ] = UNSET


@service.operation("GET_PROFILE_INFO_FOR_EXTERNAL_AUTH_ID_IF_EXISTS", tx=Tx.READ, access=Access.SIGNED_IN)
async def get_profile_for_external_id_if_exists(
    ctx: Context, request: ExternalCredential
) -> ExternalProfileIfExists:
    """Tell of the player with an identity of an external login, and nothing where there is none."""
    row = await _by_external_id(ctx, request)
    if row is None:
        return ExternalProfileIfExists()
    return ExternalProfileIfExists(**structs.asdict(_external_profile(row)))


# By profile ids


class OfProfile(Request):
    profile_id: ProfileId


class ExternalIdOf(OfProfile, kw_only=True):
    authentication_type: AuthenticationType


class ExternalId(Reply):
    external_id: ExternalIdField


@service.operation(
    "GET_EXTERNAL_ID_FOR_PROFILE_ID",
    tx=Tx.READ,
    access=Access.SIGNED_IN,
    errors=(UnknownPlayer, UnknownAuthenticationType, MissingRecord),
)
async def get_external_id(ctx: Context, request: ExternalIdOf) -> ExternalId:
    """Tell under which id of a type a player is known, the oldest of several.

    Ids of devices are told to nobody, and to clients no mail address but their own. Refused: an unknown
    player, one without such an id, a type of logins that is none.
    """
    type_ = canonical_type(request.authentication_type)
    if await ctx.tx.one(storage.READ, app=ctx.app.id, profile=request.profile_id) is None:
        raise UnknownPlayer(f"there is no player {request.profile_id[:64]!r}")
    row = None
    if _is_told(ctx, type_, request.profile_id):
        row = await ctx.tx.one(storage.IDENTITY_OF, app=ctx.app.id, type_=type_, profile=request.profile_id)
    if row is None:
        raise MissingRecord(f"the player has no id of the type {type_} that is told")
    return ExternalId(external_id=row["external_id"])


class Summary(Reply, kw_only=True):
    """`email` is always null: mail addresses are not told."""

    profile_id: PlayerId
    profile_name: PlayerName
    picture_url: PictureUrl
    email: Annotated[str | None, Meta(description="Always null.")] = None
    player_summary_data: Annotated[
        Raw | None,
        Meta(description="What the player shows to friends (`playerState.UPDATE_SUMMARY`), or null."),
    ]


@service.operation(
    "GET_SUMMARY_DATA_FOR_PROFILE_ID", tx=Tx.READ, access=Access.SIGNED_IN, errors=(UnknownPlayer,)
)
async def get_summary_data(ctx: Context, request: OfProfile) -> Summary:
    """Tell what a player shows to everybody. Refused: an unknown player."""
    row = await ctx.tx.one(storage.READ, app=ctx.app.id, profile=request.profile_id)
    if row is None:
        raise UnknownPlayer(f"there is no player {request.profile_id[:64]!r}")
    return Summary(
        profile_id=row["profile_id"],
        profile_name=row["name"],
        picture_url=row["picture_url"],
        player_summary_data=summary(row["summary_friend_data"]),
    )


class OnlineStatus(Reply):
    profile_id: Annotated[str, Meta(description="The id that was asked for.")]
    is_online: Annotated[
        bool,
        Meta(
            description="Whether the player has an open session. Not of who hides or has blocked the caller."
        ),
    ]
    user_valid: Annotated[bool, Meta(description="Whether there is such a player.")]


class OnlineStatuses(Reply):
    online_status: Annotated[
        list[OnlineStatus], Meta(description="The players, in the order that was asked for.")
    ]


@service.operation(
    "GET_USERS_ONLINE_STATUS", tx=Tx.READ, access=Access.SIGNED_IN, errors=(TooManyProfileIds,)
)
async def get_online_status(ctx: Context, request: ProfileIds) -> OnlineStatuses:
    """Tell of players whether they have an open session. `userValid` is false for who is no player.

    Who hides, or has blocked the caller, looks as if they had none; so does who was cut off for their silence
    on a real-time connection, until they send something again.
    """
    wanted = request.wanted()
    valid, blocking = await friends.receivers(ctx.tx, ctx.app.id, ctx.profile_id or "", wanted)
    are_online = await online(ctx, sorted(valid - blocking))
    return OnlineStatuses(
        online_status=[
            OnlineStatus(profile_id=one, is_online=one in are_online, user_valid=one in valid)
            for one in dict.fromkeys(request.profile_ids)
        ]
    )


# What friends are told


class EntityOf(Request):
    friend_id: ProfileId
    entity_id: Annotated[str, Meta(description="The id of the entity.")]


@service.operation("READ_FRIEND_ENTITY", tx=Tx.READ, errors=(MissingRecord,))
async def read_friend_entity(ctx: Context, request: EntityOf) -> FriendEntity:
    """Read an entity of a player that others may read. Refused: there is none."""
    found = await social.shared_entities(
        ctx.core.hooks, ctx.tx, ctx.app.id, [request.friend_id], entity_id=request.entity_id
    )
    if not found:
        raise MissingRecord(f"the player shares no entity {request.entity_id[:64]!r}")
    return friend_entity(found[0])


class FriendState(Reply):
    """A friend's state, without what is nobody's business: mail address, events, attributes, purchases."""

    id: Annotated[str, Meta(description="The same as `profileId`.")]
    profile_id: PlayerId
    player_name: PlayerName
    picture_url: PictureUrl
    summary_friend_data: Annotated[
        Raw | None,
        Meta(description="What the player shows to friends (`playerState.UPDATE_SUMMARY`), or null."),
    ]
    country_code: CountryCode
    parent_profile_id: Annotated[
        str | None, Meta(description="The id of the player's profile in the parent app, or null.")
    ]
    login_count: Annotated[int, Meta(description="How often the player has logged in.")]
    ab_testing_id: Annotated[int, Meta(description="A number from 1 to 100 that stays with the player.")]
    experience_points: ExperiencePoints
    experience_level: ExperienceLevel
    xp_capped: XpCapped
    vc_purchased: Annotated[int, Meta(description="Always 0.")]
    vc_claimed: Annotated[int, Meta(description="Always 0.")]
    currency: Balances
    statistics: StatisticValues
    entities: Annotated[
        list[FriendEntity], Meta(description="The entities that the friend lets others read.")
    ]
    server_time: ServerTime = field(name="server_time")


class OfFriend(Request):
    friend_id: ProfileId


@service.operation("READ_FRIEND_PLAYER_STATE", tx=Tx.READ, errors=(NotFriends, PacketTooLarge))
async def read_friend_state(ctx: Context, request: OfFriend) -> FriendState:
    """Read a friend's state, and the entities that the friend lets others read. Refused: who is no friend."""
    app, friend_id = ctx.app, request.friend_id
    if not await friends.are_friends(ctx.tx, app.id, ctx.player_id, friend_id):
        raise NotFriends("the two players are not friends")
    state = await ctx.core.player_hooks.states.of(app).read(
        ctx.tx, ctx.core.get(LiveApps), app, friend_id, ctx.now_ms
    )
    if state is None:
        raise NotFriends("the friend is gone")
    found = await social.shared_entities(ctx.core.hooks, ctx.tx, app.id, [friend_id])
    ctx.reserve_bytes(entity.data for entity in found)
    members = {name: getattr(state, name) for name in _TOLD}
    return FriendState(**members, entities=[friend_entity(entity) for entity in found])


_TOLD = tuple(name for name in FriendState.__struct_fields__ if name != "entities")

# Rules


def _is_told(ctx: Context, type_: str, owner: str) -> bool:
    if type_ in SECRET:
        return False
    return type_ not in PRIVATE or ctx.caller is Caller.SERVER or owner == ctx.profile_id


async def _by_credential(ctx: Context, request: Credential) -> Row | None:
    type_ = canonical_type(request.authentication_type)
    if type_ in SECRET or (type_ in PRIVATE and ctx.caller is not Caller.SERVER):
        return None
    key = identity_key(type_, request.external_id)
    return await ctx.tx.one(storage.BY_IDENTITY, app=ctx.app.id, type_=type_, key=key)


async def _by_external_id(ctx: Context, request: ExternalCredential) -> Row | None:
    key = identity_key("External", request.external_id, request.external_auth_type)
    return await ctx.tx.one(storage.BY_IDENTITY, app=ctx.app.id, type_="External", key=key)


def _credential_profile(row: Row) -> CredentialProfile:
    return CredentialProfile(
        profile_id=row["profile_id"],
        player_name=row["name"],
        summary_friend_data=summary(row["summary_friend_data"]),
    )


def _external_profile(row: Row) -> ExternalProfile:
    return ExternalProfile(
        player_id=row["profile_id"],
        player_name=row["name"],
        player_summary_data=summary(row["summary_friend_data"]),
    )
