"""The service, its part of `app.toml`, its refusals, and what its operations share."""

from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Any

from msgspec import UNSET, Meta, Raw, UnsetType
from sqlalchemy import String, bindparam, select

from gameserver.apps import Settings
from gameserver.domain.social import friends
from gameserver.players.fields import PictureUrl, PlayerName
from gameserver.players.profiles import players
from gameserver.realtime import Presence, Roster
from gameserver.rpc import Context, Service
from gameserver.storage import Row
from gameserver.wire import json
from gameserver.wire.errors import GameError, PacketTooLarge
from gameserver.wire.shapes import FreeObject, Reply

PROFILES_MAX = 500  # whom one call may ask for
SAMPLE = """\
# Who is there, what they are doing, and who hears of it. Needs [rttRegistration]. Without `realtime_updates`
# nobody hears by themselves; without `rich_activity` players show only that they are there. Servers let
# players without a connection be present for `stay_seconds`, and longer by so much at once.
[presence]
#enabled = true
#realtime_updates = true
#rich_activity = true
#activity_bytes = 1024
#stay_seconds = 300
#stay_more_seconds = 300
#listened_to = 150
"""


class PresenceSettings(Settings, kw_only=True):
    """Presence: who is there, and what they are doing."""

    enabled: Annotated[bool, Meta(description="Whether players may ask who is there.")] = True
    realtime_updates: Annotated[
        bool, Meta(description="Whether those who listen are told by themselves.")
    ] = True
    rich_activity: Annotated[bool, Meta(description="Whether players show what they are doing.")] = True
    activity_bytes: Annotated[
        int, Meta(ge=2, le=16384, description="Bytes of JSON that an activity may have.")
    ] = 1024
    stay_seconds: Annotated[
        int,
        Meta(ge=1, le=86400, description="Seconds that a server lets a player be present, unless it says."),
    ] = 300
    stay_more_seconds: Annotated[
        int, Meta(ge=1, le=86400, description="Seconds by which that may grow at once.")
    ] = 300
    listened_to: Annotated[
        int, Meta(ge=1, le=150, description="Players whom one call may let a connection listen to.")
    ] = 150


service = Service("presence", section=PresenceSettings, sample=SAMPLE)

# Errors


class InvalidGroupId(GameError):
    """There is no such group, or no such platform."""

    reason_code = 40462


class PresenceNotInitialized(GameError):
    """The player has no real-time connection, and no server lets them be present without."""

    reason_code = 40627


class PresenceNotConfigured(GameError):
    """The app has no presence."""

    reason_code = 40628


class ActivityNotEnabled(GameError):
    """Players of the app do not show what they are doing."""

    reason_code = 40634


class UpdatesNotEnabled(GameError):
    """Nobody is told of changes by themselves."""

    reason_code = 40635


class TooManyListeners(GameError):
    """A connection listens to as many players as it may."""

    reason_code = 40658


class TooManyProfileIds(GameError):
    """More profile ids than one call takes."""

    reason_code = 40471


# Shapes

IncludeOffline = Annotated[bool, Meta(description="true lists those who are not there, too.")]


class ShownUser(Reply):
    """Who it is about. Who is not there has no `cxs`."""

    id: Annotated[str, Meta(description="The id of the player.")]
    name: PlayerName
    pic: PictureUrl
    cxs: Annotated[
        list[str] | UnsetType,
        Meta(description="The ids of their connections, while they are there."),
    ] = UNSET


class ShownPresence(Reply):
    """A player's presence. Who hides looks as if they were not there."""

    user: Annotated[ShownUser, Meta(description="Who it is about.")]
    online: Annotated[bool, Meta(description="Whether the player is there.")]
    summary_friend_data: Annotated[
        Raw, Meta(description="What the player shows to friends: an object, empty where they show nothing.")
    ]
    activity: Annotated[
        FreeObject, Meta(description="What the player does, in the game's own words: an object, maybe empty.")
    ]


class Presences(Reply):
    presence: Annotated[list[ShownPresence], Meta(description="The players, by their ids.")]


# Rules

PROFILES = (
    select(players.c.profile_id, players.c.name, players.c.picture_url, players.c.summary_friend_data)
    .where(
        players.c.profile_id.in_(bindparam("profiles", expanding=True)),
        players.c.app_id.concat("") == bindparam("app", type_=String),  # not the index of all of an app
    )
    .order_by(players.c.profile_id)
)
ABSENT = Presence()


def presence_channel(app_id: str, profile_id: str) -> str:
    """Return the channel by which others hear of a player."""
    return f"{channels_of_app(app_id)}{profile_id}"


def channels_of_app(app_id: str) -> str:
    """Return how the names of all these channels begin."""
    return f"presence:{app_id}:"


def check_enabled(ctx: Context) -> PresenceSettings:
    """Return the app's settings. Raises `PresenceNotConfigured`."""
    settings = ctx.section(PresenceSettings)
    if not settings.enabled:
        raise PresenceNotConfigured(f"app {ctx.app.id} has no presence")
    return settings


def check_updates(ctx: Context) -> PresenceSettings:
    """Return the app's settings. Raises `PresenceNotConfigured`, `UpdatesNotEnabled`."""
    settings = check_enabled(ctx)
    if not settings.realtime_updates:
        raise UpdatesNotEnabled(f"nobody is told of changes by themselves in app {ctx.app.id}")
    return settings


def activity_text(ctx: Context, activity: Mapping[str, Any] | None) -> str | None:
    """Return an activity as it is kept. Raises `ActivityNotEnabled`, `PacketTooLarge`."""
    if activity is None:
        return None
    settings = ctx.section(PresenceSettings)
    if not settings.rich_activity:
        raise ActivityNotEnabled(f"players of app {ctx.app.id} do not show what they are doing")
    text = json.encode_free(activity)
    if len(text) > settings.activity_bytes:
        raise PacketTooLarge(
            f"data.activity: at most {settings.activity_bytes} bytes of JSON, got {len(text)}"
        )
    return text.decode()


async def seen_by(ctx: Context, profile_ids: Collection[str], *, with_offline: bool) -> Presences:
    """Return what the caller sees of players; who blocks the caller looks as if they were not there."""
    wanted = sorted(set(profile_ids))
    if not wanted:
        return Presences(presence=[])
    rows = await ctx.tx.all(PROFILES, profiles=wanted, app=ctx.app.id)
    _, blocking = await friends.receivers(ctx.tx, ctx.app.id, ctx.profile_id or "", wanted)
    known = await ctx.core.get(Roster).look(ctx.app.id, [row["profile_id"] for row in rows])
    known |= dict.fromkeys(blocking, ABSENT)
    found = [shown(row, known[row["profile_id"]], ctx.now_ms) for row in rows]
    return Presences(presence=[each for each in found if each.online or with_offline])


def shown(row: Row, presence: Presence, now_ms: int) -> ShownPresence:
    """Return a player's presence as others see it."""
    is_online = presence.is_online(now_ms)
    summary = row["summary_friend_data"]
    return ShownPresence(
        user=ShownUser(
            id=row["profile_id"],
            name=row["name"],
            pic=row["picture_url"],
            cxs=list(presence.cx_ids) if is_online else UNSET,
        ),
        online=is_online,
        summary_friend_data=Raw(b"{}" if summary is None else summary.encode()),
        activity=json.decode_any(presence.activity.encode()) if is_online else {},
    )


def listed(profile_ids: Sequence[str]) -> list[str]:
    """Return ids, each once. Raises `TooManyProfileIds`."""
    found = sorted(set(profile_ids))
    if len(found) > PROFILES_MAX:
        raise TooManyProfileIds(f"data.profileIds: at most {PROFILES_MAX} profiles, got {len(found)}")
    return found
