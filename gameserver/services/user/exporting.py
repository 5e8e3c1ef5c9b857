"""Everything that is kept of a player, under the names of the reference and under those of the tables."""

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Annotated, Any

import msgspec
from msgspec import Meta, field

from gameserver.apps import LiveApps
from gameserver.domain import social
from gameserver.players.fields import (
    AuthenticationType,
    CountryCode,
    ExperienceLevel,
    ExperiencePoints,
    FriendData,
    LanguageCode,
    PictureUrl,
    PlayerName,
    TimeZoneOffset,
)
from gameserver.players.profiles import UnknownPlayer
from gameserver.players.states import PlayerState
from gameserver.rpc import Access, Context, Tx
from gameserver.services.user.base import OfPlayer, read_player, service, unknown
from gameserver.sessions import Session
from gameserver.wire import json
from gameserver.wire.errors import PacketTooLarge
from gameserver.wire.shapes import Reply

Rows = list[dict[str, Any]]


class Credential(Reply):
    """What the player logs in with."""

    external_id: Annotated[str, Meta(description="What the player logs in with.")]
    authentication_type: AuthenticationType
    auth_sub_type: Annotated[str, Meta(description="Always empty.")] = ""


class MailAccount(Reply):
    """An address that the player logs in with."""

    email_address: Annotated[str, Meta(description="The address that the player logs in with.")]


class Groups(Reply):
    """Groups that the player is in, was invited to and asked for: empty as long as there are none here."""

    requested: Annotated[Rows, Meta(description="Always empty.")] = field(default_factory=list)
    invited: Annotated[Rows, Meta(description="Always empty.")] = field(default_factory=list)
    groups: Annotated[Rows, Meta(description="Always empty.")] = field(default_factory=list)


class Currency(Reply):
    """Balances by the name of the currency. The times are those of the first and the last change."""

    created_at: Annotated[int, Meta(description="When a balance first changed: ms since 1970-01-01 UTC.")]
    updated_at: Annotated[int, Meta(description="When a balance last changed: ms since 1970-01-01 UTC.")]
    sync_timestamp: Annotated[int, Meta(description="When this was read: ms since 1970-01-01 UTC.")]
    items: Annotated[dict[str, dict[str, Any]], Meta(description="Balances by the name of the currency.")]


class Profile(Reply):
    """The player. What has a value here keeps it as long as this server has no matches."""

    player_name: PlayerName
    picture_url: PictureUrl
    platforms: Annotated[list[str], Meta(description="The platforms of sessions that are open.")]
    country_code: CountryCode
    language_code: LanguageCode
    time_zone_offset: TimeZoneOffset
    created_at: Annotated[int, Meta(description="When the player was made: ms since 1970-01-01 UTC.")]
    updated_at: Annotated[int, Meta(description="When the player last logged in: ms since 1970-01-01 UTC.")]
    amount_spent: Annotated[int, Meta(description="Always 0.")]
    refund_count: Annotated[int, Meta(description="Always 0.")]
    vc_claimed: Annotated[int, Meta(description="Always 0.")]
    vc_purchased: Annotated[int, Meta(description="Always 0.")]
    summary_friend_data: FriendData
    is_tester: Annotated[bool, Meta(description="Whether the player is a tester.")]
    ab_testing_id: Annotated[
        int, Meta(description="A number that stays with the player, to try things with some.")
    ] = field(name="ab_testing_id")
    login_count: Annotated[int, Meta(description="How often the player has logged in.")]
    last_login: Annotated[int, Meta(description="When the player last logged in: ms since 1970-01-01 UTC.")]
    previous_login: Annotated[
        int | None,
        Meta(description="When the player logged in before that: ms since 1970-01-01 UTC, or null."),
    ]
    random_attribute: Annotated[float, Meta(description="A number from 0 to 1 that stays with the player.")]
    active_sessions: Annotated[list[str], Meta(description="Digests of sessions, which open nothing.")]
    attributes: Annotated[dict[str, Any], Meta(description="The attributes by name.")]
    email_address: Annotated[str | None, Meta(description="The contact address, or null.")]
    home: Annotated[None, Meta(description="Always null.")] = None
    player_rating: Annotated[int, Meta(description="Always 0.")] = 0
    shield_expiry: Annotated[int, Meta(description="Always 0.")] = 0
    matches_played: Annotated[int, Meta(description="Always 0.")] = 0
    last_match: Annotated[int, Meta(description="Always 0.")] = 0
    match_attack_expiry: Annotated[None, Meta(description="Always null.")] = None
    match_enabled: Annotated[bool, Meta(description="Always false.")] = False
    automated_promotions: Annotated[Rows, Meta(description="Always empty.")] = field(default_factory=list)
    friend_profile_ids: Annotated[list[str], Meta(description="The player's friends.")] = field(
        default_factory=list
    )


class Statistics(Reply):
    """The player's progress; milestones, quests and achievements are empty as long as there are none here."""

    sync_timestamp: Annotated[int, Meta(description="When this was read: ms since 1970-01-01 UTC.")]
    statistics: Annotated[dict[str, Any], Meta(description="The player's statistics by name.")]
    experience_level: ExperienceLevel
    experience_points: ExperiencePoints
    milestones_status: Annotated[dict[str, Any], Meta(description="Always empty.")] = field(
        default_factory=dict
    )
    quests_status: Annotated[dict[str, Any], Meta(description="Always empty.")] = field(default_factory=dict)
    player_achievements: Annotated[Rows, Meta(description="Always empty.")] = field(default_factory=list)


class UserExport(Reply):
    """Everything that is kept of a player. `services`: the rows of each service by the name of a table."""

    app_email_accounts: Annotated[
        list[MailAccount], Meta(description="Addresses that the player logs in with.")
    ]
    child_entities: Annotated[Rows, Meta(description="The player's entities.")]
    credentials: Annotated[list[Credential], Meta(description="What the player logs in with.")]
    groups: Annotated[Groups, Meta(description="Groups of the player.")]
    leaderboard_scores: Annotated[Rows, Meta(description="The player's scores.")]
    player_currency: Annotated[Currency, Meta(description="The player's balances.")]
    player_profile: Annotated[list[Profile], Meta(description="The player, in a list of one.")]
    player_statistics: Annotated[Statistics, Meta(description="The player's progress.")]
    services: Annotated[
        dict[str, dict[str, Any]], Meta(description="The rows of each service by the name of a table.")
    ]


class CustomEntities(msgspec.Struct):
    """Which types of custom entities to tell, or which to leave out."""

    include: Annotated[list[str] | None, Meta(description="Types to tell.")] = None
    exclude: Annotated[list[str] | None, Meta(description="Types to leave out.")] = None


class ExportOptions(msgspec.Struct, rename="camel"):
    """`includeEntities`: whether the player's entities are told."""

    include_entities: Annotated[bool, Meta(description="Whether the player's entities are told.")]
    custom_entities: Annotated[
        CustomEntities | None, Meta(description="Which types of custom entities to tell; without effect.")
    ] = None


class GetUserExport(OfPlayer):
    """Which player, and how much."""

    options_json: Annotated[ExportOptions, Meta(description="How much to tell.")]


async def find_sessions(ctx: Context, request: GetUserExport) -> list[Session]:
    """Find the player's sessions, and write down what the audit has seen so far."""
    await ctx.core.audit.flush()
    return list(await ctx.core.sessions.list(ctx.app.id, request.profile_id))


@service.operation(
    "SYS_GET_USER_EXPORT",
    tx=Tx.READ,
    access=Access.SERVER,
    prepare=find_sessions,
    errors=(UnknownPlayer, PacketTooLarge),
)
async def sys_get_user_export(ctx: Context, request: GetUserExport) -> dict[str, list[UserExport]]:
    """Tell everything that is kept of a player, in a list under their profile id. For servers.

    Beside what the reference tells, `services` holds the rows of every service by the name of their table.
    Sessions are told by digests that open nothing. Without `includeEntities` entities are left out. Refused
    for an unknown player, and where it would be more than an answer holds.
    """
    sessions: list[Session] = ctx.prepared
    app_id, profile_id = ctx.app.id, request.profile_id
    player = await read_player(ctx.tx, app_id, profile_id)
    kept = await ctx.core.player_hooks.export_player(ctx.tx, app_id, profile_id)
    if not request.options_json.include_entities:
        kept.pop("entity", None)
        kept.pop("globalEntity", None)
    ctx.reserve_bytes([json.encode_free(kept).decode()])
    states, apps = ctx.core.player_hooks.states.of(ctx.app), ctx.core.get(LiveApps)
    state = await states.read(ctx.tx, apps, ctx.app, profile_id, ctx.now_ms)
    if state is None:
        raise unknown()
    tables = {name: rows for service_tables in kept.values() for name, rows in service_tables.items()}
    friends = await social.friends_of(ctx.core.hooks, ctx.tx, app_id, profile_id)
    ctx.note_player(profile_id, "exported")
    progress = tables.get("playerProgress") or {}
    told = UserExport(
        app_email_accounts=_addresses(tables),
        child_entities=tables.get("entities", []),
        credentials=_credentials(tables),
        groups=Groups(),
        leaderboard_scores=tables.get("leaderboardEntries", []),
        player_currency=_currency(tables, player["created_ms"], ctx.now_ms),
        player_profile=[_profile(state, tables.get("players") or {}, sessions, friends)],
        player_statistics=Statistics(
            sync_timestamp=ctx.now_ms,
            statistics=progress.get("statistics") or {},
            experience_level=progress.get("experienceLevel", 0),
            experience_points=progress.get("experiencePoints", 0),
        ),
        services=kept,
    )
    return {profile_id: [told]}


def _addresses(tables: Mapping[str, Any]) -> list[MailAccount]:
    return [
        MailAccount(email_address=row["externalId"])
        for row in tables.get("identities", [])
        if row["authenticationType"] == "Email"
    ]


def _credentials(tables: Mapping[str, Any]) -> list[Credential]:
    return [
        Credential(external_id=row["externalId"], authentication_type=row["authenticationType"])
        for row in tables.get("identities", [])
    ]


def _currency(tables: Mapping[str, Any], created_ms: int, now_ms: int) -> Currency:
    entries: Sequence[Mapping[str, Any]] = tables.get("walletEntries", [])
    times = [entry["at"] for entry in entries] or [created_ms]
    return Currency(
        created_at=min(times),
        updated_at=max(times),
        sync_timestamp=now_ms,
        items={
            row["currency"]: {name: value for name, value in row.items() if name != "currency"}
            for row in tables.get("wallets", [])
        },
    )


def _profile(
    state: PlayerState, row: Mapping[str, Any], sessions: Sequence[Session], friends: list[str]
) -> Profile:
    platforms = {
        str(session.facts["releasePlatform"]) for session in sessions if "releasePlatform" in session.facts
    }
    return Profile(
        player_name=state.player_name,
        picture_url=state.picture_url,
        platforms=sorted(platforms),
        country_code=state.country_code,
        language_code=state.language_code,
        time_zone_offset=state.time_zone_offset,
        created_at=state.created_at,
        updated_at=state.last_login,
        amount_spent=state.amount_spent,
        refund_count=state.refund_count,
        vc_claimed=state.vc_claimed,
        vc_purchased=state.vc_purchased,
        summary_friend_data=state.summary_friend_data,
        is_tester=state.is_tester,
        ab_testing_id=state.ab_testing_id,
        login_count=state.login_count,
        last_login=state.last_login,
        previous_login=state.previous_login,
        random_attribute=_random_attribute(state.profile_id),
        active_sessions=sorted(session.digest for session in sessions),
        attributes=row.get("attributes") or {},
        email_address=state.email_address,
        friend_profile_ids=friends,
    )


def _random_attribute(profile_id: str) -> float:
    """Return a number from 0 to 1 that stays with the player."""
    return int.from_bytes(blake2b(profile_id.encode(), digest_size=6).digest()) / 2**48
