"""What the floors below declare: what lives as long as the server, in the order it is opened; hooks, jobs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gameserver import realtime
from gameserver.apps import App
from gameserver.documents import list_counts
from gameserver.domain import leaderboards
from gameserver.frame import Parts
from gameserver.jobs import Job, JobRun, forget
from gameserver.players import accounts, audit, refresh_tokens, refusals, termination, tokens
from gameserver.players.webhooks import events
from gameserver.rpc import orphans, steps
from gameserver.rpc.registry import Floors
from gameserver.sessions import SessionStore, SessionsUnavailable
from gameserver.storage import answers
from gameserver.wire.outgoing import Outgoing


@asynccontextmanager
async def _calls_out(_: Parts) -> AsyncIterator[Outgoing]:
    outgoing = Outgoing()
    try:
        yield outgoing
    finally:
        await outgoing.close()


async def _sweep_sessions(run: JobRun) -> None:
    sessions = run.get(SessionStore)

    async def of_app(app: App) -> None:
        await sessions.sweep(app.id)

    await run.for_each_app(of_app)


async def _forget_list_counts(run: JobRun) -> None:
    await run.database.transact(list_counts.forget_unread)


FLOORS = Floors(
    lifespans=(
        _calls_out,
        audit.lifespan,
        refusals.lifespan,
        termination.lifespan,
        accounts.lifespan,
        leaderboards.lifespan,
        list_counts.lifespan,
        *realtime.LIFESPANS,
    ),
    subscriptions=((termination.SESSIONS_END, refresh_tokens.LISTENER),),
    jobs=(
        Job("sessions.sweep", _sweep_sessions, every_seconds=60, expected=(SessionsUnavailable,)),
        forget("packets.forget", answers.expiry, answers.KEPT_MS),
        forget("runs.forget", steps.expiry),
        Job("listCounts.forget", _forget_list_counts, every_seconds=60),
        tokens.FORGET,
        refresh_tokens.FORGET,
        audit.FORGET,
        *refusals.JOBS,
        orphans.SWEEP,
        *leaderboards.JOBS,
    ),
    events=events.ALL,
    sections=((refusals.SECTION, refusals.RefusalSettings, refusals.SAMPLE),),
    kept={refusals.SECTION: (refusals.KEPT,)},
)
