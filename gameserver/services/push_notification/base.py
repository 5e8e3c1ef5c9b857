"""The service, its refusals, and what its operations share."""

from collections.abc import Collection
from typing import Annotated, Any

from msgspec import Meta

from gameserver.documents import documents
from gameserver.domain import push
from gameserver.domain.push import content
from gameserver.domain.push.content import Content, MissingBody
from gameserver.domain.push.settings import PushSettings
from gameserver.domain.social import friends
from gameserver.players.profiles import UnknownPlayer
from gameserver.rpc import Context, Service
from gameserver.wire.errors import GameError, MissingParameter, PacketTooLarge, RateLimited
from gameserver.wire.shapes import FREE, Reply, Request

service = Service("pushNotification", section=PushSettings, sample=push.SAMPLE)

# Errors


class PushNotConfigured(GameError):
    """Nobody delivers notifications for the app, and it wants such calls refused."""

    reason_code = 40438


class UnknownTemplate(GameError):
    """The app has no notification template of this number."""

    reason_code = 40375


CONTENT_ERRORS: tuple[type[GameError], ...] = (PacketTooLarge, PushNotConfigured, RateLimited)
TEXT_ERRORS: tuple[type[GameError], ...] = (MissingBody, *CONTENT_ERRORS)  # of what has to say something

# Shapes

ProfileId = Annotated[str, Meta(min_length=1, max_length=documents.TYPE_MAX)]
FreeOptional = Annotated[dict[str, Any] | None, FREE]


SEGMENTS_MAX = 100  # of one call
SegmentIds = Annotated[
    Annotated[list[int], Meta(max_length=SEGMENTS_MAX)] | None,
    Meta(description="The segments whose players get it, by number. Null or nothing: all players."),
]


class Targets(Reply):
    """Where a notification goes that is for many."""

    estimated_targets: Annotated[
        int,
        Meta(
            description="For how many players of the segments it is, or for how many devices where it is for "
            "all; about, and at most a million."
        ),
    ]


# SDKs say `toPlayerId`, the documents `toProfileId`.
ToProfileId = Annotated[ProfileId | None, Meta(description="The player who gets it.")]
ToPlayerId = Annotated[ProfileId | None, Meta(description="Another name of `toProfileId`.")]


class Alerting(Request, kw_only=True):
    """What people read, and data of the game beside it."""

    alert_content: Annotated[
        dict[str, Any],
        FREE,
        Meta(description="What people read: `{body, title}`; the body is required."),
    ]
    custom_data: Annotated[
        FreeOptional, Meta(description="Data that the game gets with it. Null or nothing: none.")
    ] = None

    def content(self) -> Content:
        """The notification. Raises `MissingBody`, `PacketTooLarge`, `InvalidParameterValue`."""
        return content.of_alert(self.alert_content, self.custom_data)


class Ready(Request, kw_only=True):
    """What is ready for each provider; at least one."""

    fcm_content: Annotated[
        FreeOptional,
        Meta(
            description="For Firebase: `notification`, `data` and `priority`, or the members of a message of "
            "its v1 API. What names receivers is left out."
        ),
    ] = None
    ios_content: Annotated[FreeOptional, Meta(description="For Apple: the whole payload, with `aps`.")] = None
    facebook_content: Annotated[
        FreeOptional, Meta(description="For Facebook, which takes no notifications any more: not sent.")
    ] = None
    web_content: Annotated[
        FreeOptional,
        Meta(
            description="For browsers: what the service worker gets. Null or nothing: `notification` and "
            "`data` of `fcmContent`."
        ),
    ] = None

    def content(self) -> Content:
        """The notification. Raises `MissingParameter`, `PacketTooLarge`, `InvalidParameterValue`."""
        forms = (self.fcm_content, self.ios_content, self.web_content, self.facebook_content)
        if all(form is None for form in forms):
            raise MissingParameter("data: one of fcmContent, iosContent and facebookContent is required")
        return content.raw(self.fcm_content, self.ios_content, self.web_content)


class Templated(Request, kw_only=True):
    """A template of the app, and what its placeholders stand for."""

    notification_template_id: Annotated[
        int, Meta(ge=0, le=999_999_999, description="The number of the template, as the app declares it.")
    ]
    substitutions: Annotated[
        FreeOptional,
        Meta(description='What placeholders stand for, by their name: `{"0": "Ada"}`. Null: nothing.'),
    ] = None

    def content(self, ctx: Context) -> Content:
        """The notification. Raises `UnknownTemplate`, `MissingBody`, `PacketTooLarge`, and the like."""
        number = self.notification_template_id
        template = ctx.section(PushSettings).templates.get(str(number))
        if template is None:
            raise UnknownTemplate(f"the app has no notification template {number}")
        return content.of_template(template, ctx.app.default_language, self.substitutions)


# Rules


def receiver(to_profile_id: str | None, to_player_id: str | None) -> str:
    """Return who gets it. Raises `MissingParameter`."""
    found = to_profile_id or to_player_id
    if found is None:
        raise MissingParameter("data.toProfileId: required")
    return found


def check_configured(ctx: Context) -> None:
    """Raise `PushNotConfigured` where the app says so: nobody delivers for it."""
    settings = ctx.section(PushSettings)
    if settings.refuse_unconfigured and not settings.is_configured:
        raise PushNotConfigured("the app declares nobody who delivers push notifications")


def count(ctx: Context, receivers: int) -> None:
    """Count what a player sends, or a visitor of an endpoint. Raises `RateLimited`."""
    if not ctx.caller.is_studio:
        who = ctx.profile_id or ctx.origin.address
        ctx.core.quotas.send_pushes(ctx.app, who, receivers, ctx.now_ms)


async def check_receiver(ctx: Context, profile_id: str) -> bool:
    """Tell whether a player hears of the caller, whom they may have blocked. Raises `UnknownPlayer`."""
    there, blocking = await friends.receivers(ctx.tx, ctx.app.id, ctx.profile_id or "", [profile_id])
    if not there:
        raise UnknownPlayer(f"there is no player {profile_id[:64]!r}")
    return not blocking


async def reachable(ctx: Context, sender_id: str, profile_ids: Collection[str]) -> list[str]:
    """Return who of some players hears of a sender: who exists, and has not blocked them."""
    there, blocking = await friends.receivers(ctx.tx, ctx.app.id, sender_id, profile_ids)
    return sorted(there - blocking)
