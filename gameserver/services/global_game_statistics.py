"""globalGameStatistics: statistics that all players of an app share."""

from typing import Annotated

from msgspec import UNSET, Meta

from gameserver.domain.progress import statistics
from gameserver.domain.progress.statistics import (
    GlobalStatisticsSettings,
    InvalidStatisticName,
    Process,
    ProcessReply,
    StatisticsReply,
)
from gameserver.rpc import Access, Context, Service, Tx
from gameserver.wire.errors import InvalidParameterValue
from gameserver.wire.shapes import Nothing, Request

SAMPLE = """\
# Statistics that all players share, by name; they are declared like those of a player.
[globalGameStatistics]
#create_unknown = false

[globalGameStatistics.statistics.rounds_played]
category = "rounds"
"""

service = Service("globalGameStatistics", section=GlobalStatisticsSettings, sample=SAMPLE)

# Operations


@service.operation(
    "PROCESS_STATISTICS",
    "UPDATE_INCREMENT",
    tx=Tx.WRITE,
    access=Access.SIGNED_IN,
    locks=lambda ctx, request: statistics.global_locks(ctx.app.id, request.statistics),
    errors=(InvalidStatisticName, InvalidParameterValue),
)
async def process(ctx: Context, request: Process) -> ProcessReply:
    """Change statistics of the app, all of them or none, and return their new values.

    A result outside of a statistic's minimum and maximum is cut to it. Refused: names that are not declared,
    and text that is not in the grammar.
    """
    settings = ctx.section(GlobalStatisticsSettings)
    planned = statistics.plan(settings, request.statistics)
    await statistics.check_generated(ctx.tx, settings, ctx.app.id, planned)
    new, cuts = await statistics.change_global(ctx.tx, ctx.app.id, planned.items())
    return ProcessReply(
        statistics=settings.shown_of(new, new), statistics_exceptions=statistics.cuts_shown(cuts) or UNSET
    )


@service.operation("READ", tx=Tx.READ, access=Access.SIGNED_IN)
async def read(ctx: Context, request: Nothing) -> StatisticsReply:
    """Read all statistics of the app."""
    stored = await statistics.read_global(ctx.tx, ctx.app.id)
    return StatisticsReply(statistics=ctx.section(GlobalStatisticsSettings).shown(stored))


class ReadSubset(Request):
    statistics: Annotated[
        list[str], Meta(max_length=statistics.CHANGES_MAX, description="Names of statistics.")
    ]


@service.operation("READ_SUBSET", tx=Tx.READ, access=Access.SIGNED_IN)
async def read_subset(ctx: Context, request: ReadSubset) -> StatisticsReply:
    """Read some statistics of the app. Names that do not exist are left out."""
    stored = await statistics.read_global(ctx.tx, ctx.app.id)
    settings = ctx.section(GlobalStatisticsSettings)
    return StatisticsReply(statistics=settings.shown_of(stored, request.statistics))


class ReadForCategory(Request):
    category: Annotated[str, Meta(description="The category, as the app declares it.")]


@service.operation("READ_FOR_CATEGORY", tx=Tx.READ, access=Access.SIGNED_IN)
async def read_for_category(ctx: Context, request: ReadForCategory) -> StatisticsReply:
    """Read the app's statistics of a category. One that does not exist is empty."""
    stored = await statistics.read_global(ctx.tx, ctx.app.id)
    settings = ctx.section(GlobalStatisticsSettings)
    return StatisticsReply(statistics=settings.shown_in(stored, request.category))
