"""Which devices get a player's notifications."""

from functools import partial
from typing import Annotated

from msgspec import Meta

from gameserver.players import devices
from gameserver.players.devices import DeviceSettings
from gameserver.players.fields import ReleasePlatform
from gameserver.rpc import Context, Tx
from gameserver.services.push_notification.base import service
from gameserver.sessions import END_REASONS, Ended, One
from gameserver.wire.errors import GameError, MissingParameter
from gameserver.wire.shapes import Nothing, Request

# Errors


class InvalidDeviceToken(GameError):
    """The device token is empty, too long, or holds what no token holds."""

    reason_code = 40419


class InvalidDeviceType(GameError):
    """The device type is no platform id."""

    reason_code = 40557


# Operations


class Device(Request):
    """SDKs say `deviceType` and `deviceToken`; `platform`, `device` and `token` mean the same."""

    device_type: ReleasePlatform = None
    platform: Annotated[str | None, Meta(description="Another name of `deviceType`.")] = None
    device: Annotated[str | None, Meta(description="Another name of `deviceType`.")] = None
    device_token: Annotated[
        str | None,
        Meta(description="The device's token for notifications, as its platform gives it to the game."),
    ] = None
    token: Annotated[str | None, Meta(description="Another name of `deviceToken`.")] = None

    def read(self) -> tuple[str, str]:
        """The platform id, in capitals, and the token. Raises what is wrong with them."""
        kind = first(self.device_type, self.platform, self.device)
        token = first(self.device_token, self.token)
        if kind is None:
            raise MissingParameter("data.deviceType: required")
        if token is None:
            raise MissingParameter("data.deviceToken: required")
        if not 0 < len(kind) <= devices.TYPE_LENGTH_MAX or not is_name(kind):
            raise InvalidDeviceType("data.deviceType: expected a platform id such as IOS, ANG or WEB")
        if not 0 < len(token) <= devices.TOKEN_LENGTH_MAX or not token.isprintable():
            raise InvalidDeviceToken(
                f"data.deviceToken: expected 1 to {devices.TOKEN_LENGTH_MAX} printable characters"
            )
        return kind.upper(), token


@service.operation("REGISTER", tx=Tx.WRITE, errors=(InvalidDeviceToken, InvalidDeviceType))
async def register(ctx: Context, request: Device) -> None:
    """Let a device get the caller's notifications.

    A device belongs to the player who registered it last. A player has at most 20; a further one takes the
    place of the oldest. The app may want devices forgotten when the session that registered them ends.
    """
    kind, token = request.read()
    session = ctx.session.digest if ctx.session is not None else ""
    await devices.register(ctx.tx, ctx.app.id, ctx.player_id, session, kind, token, ctx.now_ms)
    if session and ctx.section(DeviceSettings).forget_at_logout:
        ctx.after_commit(partial(forget_if_ended, ctx, session))


@service.operation("DEREGISTER", tx=Tx.WRITE, errors=(InvalidDeviceToken, InvalidDeviceType))
async def deregister(ctx: Context, request: Device) -> None:
    """Stop the caller's notifications on a device. One that is not registered is no mistake."""
    kind, token = request.read()
    await devices.deregister(ctx.tx, ctx.app.id, ctx.player_id, kind, token)


@service.operation("DEREGISTER_ALL", tx=Tx.WRITE)
async def deregister_all(ctx: Context, request: Nothing) -> None:
    """Stop the caller's notifications on all devices."""
    await devices.forget_all(ctx.tx, ctx.app.id, ctx.player_id)


# A player's life

service.keeps(devices.KEPT)


# Rules


def first(*texts: str | None) -> str | None:
    """Return the first text that was sent."""
    return next((text for text in texts if text is not None), None)


def is_name(text: str) -> bool:
    """Tell whether a text has the form of a platform id: letters, digits and underscores, ASCII only."""
    return text.isascii() and text.replace("_", "a").isalnum()


async def forget_if_ended(ctx: Context, digest: str) -> None:
    """Take a registration back whose session was ended by somebody else while it was on its way."""
    if ctx.effects.endings:
        return  # this packet's own end has seen to the devices
    found = await ctx.core.sessions.peek_digest(digest)
    if isinstance(found, Ended) and found.reason in END_REASONS:
        await ctx.core.endings.forget_devices(One(digest=digest))
