"""heartbeat: keeps a session alive."""

from gameserver.rpc import Access, Context, Service, Tx
from gameserver.wire.shapes import Request

service = Service("heartbeat")


class Heartbeat(Request):
    pass


@service.operation("READ", "HEARTBEAT", tx=Tx.NONE, access=Access.SIGNED_IN)
async def read(ctx: Context, request: Heartbeat) -> None:
    """Keep the session alive. Any packet does; this one asks for nothing else."""
