"""superRtt: what the studio's servers do with all real-time connections of the app."""

from typing import Annotated

from msgspec import Meta

from gameserver.realtime import Channels
from gameserver.rpc import Access, Context, Service, Tx
from gameserver.wire.shapes import Reply, Request

service = Service("superRtt")

# Operations


class NoData(Request): ...


class Disconnected(Reply):
    processed: Annotated[int, Meta(description="How many connections were ended.")]


@service.operation("DISCONNECT_ALL_APP_SESSIONS", tx=Tx.NONE, access=Access.SERVER)
async def disconnect_all(ctx: Context, request: NoData) -> Disconnected:
    """End all real-time connections of the app: of players and servers, on every process.

    Each is told 49125, and may connect again. Sessions stay.
    """
    return Disconnected(processed=await ctx.core.get(Channels).end_all(ctx.app.id))


class RealtimeServer(Request):
    """A server process."""

    server_id: Annotated[str, Meta(max_length=64, description="Its `process_id` in the log.")]
    server_type: Annotated[str | None, Meta(description="Means nothing here.")] = None


class ServersToLog(Request):
    servers: Annotated[
        Annotated[list[RealtimeServer], Meta(max_length=100)] | None,
        Meta(description="Which processes; null or nothing: all."),
    ] = None


class Nothing(Reply): ...


@service.operation("LOG_STATE", tx=Tx.NONE, access=Access.SERVER)
async def log_state(ctx: Context, request: ServersToLog) -> Nothing:
    """Let server processes write into their logs how many connections and channels they have.

    The line is called `realtime_state`.
    """
    ctx.core.get(Channels).log_state([server.server_id for server in request.servers or []])
    return Nothing()
