"""webhook: telling addresses of the studio what happens, and events that an app declares for itself."""

from typing import Annotated

from msgspec import Meta

from gameserver.players import webhooks
from gameserver.players.webhooks import deliveries, delivering
from gameserver.players.webhooks.events import CUSTOM, EventData
from gameserver.players.webhooks.settings import WebhookSettings
from gameserver.rpc import PLAYER_DELETE, Access, Context, Service, Tx
from gameserver.wire import json
from gameserver.wire.errors import GameError, PacketTooLarge
from gameserver.wire.fields import ProfileId
from gameserver.wire.shapes import FreeObject, Reply, Request

VALUES_BYTES_MAX = 16 << 10

service = Service("webhook")
service.runs(delivering.DELIVER, delivering.FORGET)
service.keeps(deliveries.KEPT)

# Errors


class UnknownEvent(GameError):
    """The app declares no event of this name in [webhooks.events]."""

    reason_code = 49130


# Operations


@service.emits
class CustomEvent(EventData):
    """What the app's own scripts and servers say, under each name that [webhooks.events] declares."""

    event = f"{CUSTOM}*"

    values: Annotated[FreeObject, Meta(description="What they have sent with it.")]


class SendEvent(Request):
    name: Annotated[str, Meta(description="The event, as the app declares it: custom.boss_defeated.")]
    values: Annotated[
        FreeObject | None, Meta(description="What is told of it, up to 16 KiB of JSON; nothing: `{}`.")
    ] = None
    profile_id: Annotated[
        ProfileId | None,
        Meta(description="Whose event it is; nothing: the player on whose behalf it is sent."),
    ] = None


class EventSent(Reply):
    targets: Annotated[int, Meta(description="How many targets of the app are told.")]


@service.operation("SEND_EVENT", tx=Tx.WRITE, access=Access.SERVER, errors=(UnknownEvent, PacketTooLarge))
async def send_event(ctx: Context, request: SendEvent) -> EventSent:
    """Tell the outgoing webhooks of the app of an event of its own. For servers and scripts.

    They are told exactly if the call is committed. Refused: events that the app does not declare, and values
    of more than 16 KiB.
    """
    settings = ctx.section(WebhookSettings)
    if request.name not in settings.events:
        raise UnknownEvent(f"data.name: the app declares no event {request.name[:64]!r} in [webhooks.events]")
    values = request.values or {}
    if len(json.encode_free(values)) > VALUES_BYTES_MAX:
        raise PacketTooLarge(f"data.values: at most {VALUES_BYTES_MAX} bytes of JSON")
    event = CustomEvent(profile_id=request.profile_id or ctx.profile_id or "", values=values)
    await webhooks.emit(ctx.tx, ctx.app, event, ctx.now_ms, name=request.name)
    return EventSent(targets=len(settings.targets(request.name)))


# A player's life


@service.on(PLAYER_DELETE)
async def forget_player(ctx: Context, profile_id: str) -> None:
    """Delete what was delivered of a player; what waits of the app's own events loses its values."""
    await deliveries.forget_player(ctx.tx, ctx.app.id, profile_id)
