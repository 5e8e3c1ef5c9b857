"""rttRegistration: how clients get a real-time connection, and whether they have one."""

from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta, field

from gameserver.domain.social.availability import SAMPLE, RealtimeDisabled, RealtimeSettings, check_enabled
from gameserver.realtime import (
    HEARTBEAT_SECONDS,
    Channels,
    Connections,
    Endpoint,
    Endpoints,
    player_channel,
)
from gameserver.rpc import Access, Context, Service, Tx
from gameserver.sessions import Session
from gameserver.wire.errors import NoSession
from gameserver.wire.shapes import Reply, Request

service = Service("rttRegistration", section=RealtimeSettings, sample=SAMPLE)

# Operations


class NoData(Request): ...


class EndpointReply(Reply):
    """One way to connect."""

    protocol: Annotated[str, Meta(description="`ws` or `tcp`.")]
    host: Annotated[str, Meta(description="A name or an address.")]
    port: Annotated[int, Meta(description="The port at that host.")]
    ssl: Annotated[bool, Meta(description="Whether TLS is spoken there.")]


class SystemEndpoint(EndpointReply):
    """One way to connect, for a server."""

    ca: Annotated[
        str, Meta(description="Who has issued the certificate; empty: an authority that is trusted.")
    ] = ""


class Auth(Reply):
    """What the first message, or the URL, brings."""

    app_id: Annotated[str, Meta(description="The app.")] = field(name="X-APPID")
    secret: Annotated[str, Meta(description="Opens one connection, within a minute.")] = field(
        name="X-RTT-SECRET"
    )


class Connection(Reply):
    """Where to connect, and with what."""

    endpoints: Annotated[
        list[EndpointReply], Meta(description="Ways to connect, in the order in which to try them.")
    ]
    auth: Annotated[Auth, Meta(description="What to bring.")]
    heartbeat_seconds: Annotated[int, Meta(description="How often to send a heartbeat, in seconds.")]


class SystemConnection(Reply):
    """Where a server connects, and with what."""

    endpoints: Annotated[
        list[SystemEndpoint], Meta(description="Ways to connect, in the order in which to try them.")
    ]
    auth: Annotated[Auth, Meta(description="What to bring.")]


@service.operation("REQUEST_CLIENT_CONNECTION", tx=Tx.NONE, errors=(RealtimeDisabled,))
async def request_client_connection(ctx: Context, request: NoData) -> Connection:
    """Ask for a real-time connection of the caller's session.

    The answer names the endpoints in the order in which to try them, and a secret. It opens one
    connection, within a minute, and belongs to the session.
    """
    return Connection(
        endpoints=[EndpointReply(**endpoint._asdict()) for endpoint in endpoints_for(ctx)],
        auth=await issue(ctx),
        heartbeat_seconds=HEARTBEAT_SECONDS,
    )


@service.operation("REQUEST_SYSTEM_CONNECTION", tx=Tx.NONE, access=Access.SERVER, errors=(RealtimeDisabled,))
async def request_system_connection(ctx: Context, request: NoData) -> SystemConnection:
    """Ask for a real-time connection of a server's session, which has to be authenticated."""
    return SystemConnection(
        endpoints=[SystemEndpoint(**endpoint._asdict()) for endpoint in endpoints_for(ctx)],
        auth=await issue(ctx),
    )


class Status(Reply):
    """Whether there is a connection."""

    connection_status: Annotated[str, Meta(description="`CONNECTED` or `DISCONNECTED`.")]


@service.operation("GET_CONNECTION_STATUS", tx=Tx.NONE, errors=(RealtimeDisabled,))
async def get_connection_status(ctx: Context, request: NoData) -> Status:
    """Tell whether the player has a real-time connection, on whichever device."""
    check_enabled(ctx.app)
    channel = player_channel(ctx.app.id, ctx.player_id)
    connected = await ctx.core.get(Channels).is_listening(channel)
    return Status(connection_status="CONNECTED" if connected else "DISCONNECTED")


# Rules


def endpoints_for(ctx: Context) -> Sequence[Endpoint]:
    """Return where the caller connects."""
    check_enabled(ctx.app)
    return ctx.core.get(Endpoints).told(ctx.origin.reached)


async def issue(ctx: Context) -> Auth:
    """Let the caller's session open a connection."""
    secret = await ctx.core.get(Connections).tickets.issue(session_of(ctx).digest)
    return Auth(app_id=ctx.app.id, secret=secret)


def session_of(ctx: Context) -> Session:
    """Return the session that is to have the connection. Raises `NoSession`: nobody else can have one."""
    if ctx.session is None:
        raise ctx.session_error or NoSession("only a session can have a connection: log in first")
    return ctx.session
