"""log: lines that servers and scripts write into the log of the app, for operators to read."""

from typing import Annotated

from msgspec import Meta

from gameserver.players import app_log
from gameserver.players.app_log import AppLog, Level
from gameserver.rpc import Access, Context, Service, Tx
from gameserver.wire.shapes import FreeObjectOrText, Request

service = Service("log", section=app_log.LogSettings, sample=app_log.SAMPLE)
service.lifespan(app_log.lifespan)
service.runs(*app_log.JOBS)
service.keeps(app_log.KEPT)

# Operations


class Line(Request):
    error_message: Annotated[str, Meta(description="The message, of 4,000 characters at most.")]
    json_context: Annotated[
        FreeObjectOrText | None, Meta(description="What helps to understand it, of 16 KiB at most.")
    ] = None
    context: Annotated[FreeObjectOrText | None, Meta(description="The same as jsonContext.")] = None


@service.operation("LOG_ERROR", tx=Tx.WRITE, access=Access.SERVER)
async def log_error(ctx: Context, request: Line) -> None:
    """Log that something has gone wrong. A message or a context that is too long is cut."""
    await add(ctx, "error", request)


@service.operation("LOG_WARNING", tx=Tx.WRITE, access=Access.SERVER)
async def log_warning(ctx: Context, request: Line) -> None:
    """Log what may go wrong. A message or a context that is too long is cut."""
    await add(ctx, "warning", request)


@service.operation("LOG_INFO", tx=Tx.WRITE, access=Access.SERVER)
async def log_info(ctx: Context, request: Line) -> None:
    """Log what is good to know. A message or a context that is too long is cut."""
    await add(ctx, "info", request)


# Rules


async def add(ctx: Context, level: Level, request: Line) -> None:
    """Write a line with what is known of its writer."""
    context = request.json_context if request.json_context is not None else request.context
    await ctx.core.get(AppLog).add(
        ctx.tx,
        ctx.app,
        level,
        request.error_message,
        context,
        face=ctx.origin.face,
        source=ctx.origin.name,
        profile_id=ctx.profile_id or "",
    )
