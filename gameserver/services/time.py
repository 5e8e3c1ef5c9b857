"""time: the server's clock."""

from gameserver.rpc import Access, Context, Service, Tx
from gameserver.wire.fields import ServerTime
from gameserver.wire.shapes import Reply, Request

service = Service("time")


class ReadTime(Request):
    pass


class ReadTimeReply(Reply, rename=None):
    server_time: ServerTime


@service.operation("READ", tx=Tx.NONE, access=Access.SIGNED_IN)
async def read(ctx: Context, request: ReadTime) -> ReadTimeReply:
    """Tell the server's time in milliseconds since 1970, UTC."""
    return ReadTimeReply(server_time=ctx.now_ms)
