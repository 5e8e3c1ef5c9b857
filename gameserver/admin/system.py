"""What staff see of the server itself: how it does, what it counted, and what needs attention."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from gameserver import __version__
from gameserver.admin import history
from gameserver.admin.common import Refused, Server, app_of
from gameserver.admin.declaring import action
from gameserver.admin.rights import Right
from gameserver.players.webhooks import deliveries
from gameserver.realtime import Channels
from gameserver.realtime.connections import Connections
from gameserver.sessions import SessionsUnavailable
from gameserver.storage import StorageError
from gameserver.storage.schema import newest_step, oldest_compatible, schema_version

ASK_SECONDS_MAX = 1.0
HOUR_MS = 3_600_000
STEPS_MAX = 2000
MINUTE_MS = history.MINUTE_MS
LATE_MS = 60_000


@action(Right.SYSTEM_READ, "GET /apps/{app}/metrics")
async def metrics_show(
    server: Server, app: str, since_ms: int | None = None, step_ms: int = MINUTE_MS
) -> list[dict[str, Any]]:
    """Return what was counted, in steps of whole minutes, the oldest first; without a time, of the last hour.

    Counts are per minute. Packets, messages, latency, sockets and lateness are those of all apps; logins,
    refusals and who is online are those of this one. Minutes are kept for two days, hours for
    two weeks: steps that begin further back than two days are whole hours.
    """
    app_of(server, app)
    now = server.core.clock.ms()
    since = now - HOUR_MS if since_ms is None else max(since_ms, now - history.KEPT_MS)
    if step_ms < MINUTE_MS or step_ms % MINUTE_MS or (now - since) // step_ms > STEPS_MAX:
        raise Refused(f"step_ms is a multiple of {MINUTE_MS}, and there are at most {STEPS_MAX} steps")
    if since < now - history.MINUTES_KEPT_MS and step_ms % HOUR_MS:
        raise Refused(f"minutes are kept for two days; further back step_ms is a multiple of {HOUR_MS}")
    async with server.core.database.read() as tx:
        return await history.read(tx, app, since, now, step_ms)


@action(Right.SYSTEM_READ, "GET /system")
async def system_show(server: Server) -> dict[str, Any]:
    """Return the server's version and step of tables, what is away, its processes and sessions by app.

    `away` says in words what does not answer; of what is away nothing else is told. `tables` is the last step
    that they have taken, `tables_wanted` the last one that this server knows, `tables_told` what that means.
    """
    core = server.core
    away: dict[str, str] = {}

    async def told(part: str, ask: Callable[[], Awaitable[Any]]) -> Any:
        try:
            async with asyncio.timeout(ASK_SECONDS_MAX):
                return await ask()
        except (StorageError, SessionsUnavailable) as error:
            away.setdefault(part, str(error).partition("\n")[0] or "does not answer")
        except TimeoutError:
            away.setdefault(part, f"no answer within {ASK_SECONDS_MAX:g} s")
        return None

    async def running() -> list[dict[str, Any]]:
        async with core.database.read() as tx:
            return await history.processes(tx, core.clock.ms())

    async def open_sessions() -> dict[str, int]:
        return {app.id: await core.sessions.count(app.id) for app in server.apps}

    async def step() -> tuple[str | None, str | None]:
        url = core.database.url
        if url == "sqlite://":  # nobody keeps it, and nobody else sees it
            return newest_step(), None
        version = await asyncio.to_thread(schema_version, url)
        is_newest = version == newest_step()
        return version, None if is_newest else await asyncio.to_thread(oldest_compatible, url)

    _, warning, processes, sessions, tables = await asyncio.gather(
        told("database", core.database.check),
        told("sessions", core.sessions.ping),
        told("database", running),
        told("sessions", open_sessions),
        told("database", step),
    )
    trouble = core.get(Channels).trouble()
    if trouble:
        away["realtime"] = trouble
    return {
        "version": __version__,
        "database": core.database.dialect,
        "tables": tables[0] if tables else None,
        "tables_wanted": newest_step(),
        "tables_told": "" if tables is None else _told_of_tables(*tables),
        "away": away,
        "warning": warning or "",
        "mistakes": [str(problem) for problem in server.apps.problems],
        "sockets": len(core.get(Connections)),
        "processes": processes,
        "sessions": sessions,
    }


def _told_of_tables(version: str | None, oldest: str | None) -> str:
    """Say what the step of the tables means to this server."""
    wanted = newest_step()
    if version == wanted:
        return "the tables are those of this server"
    if version is None or version < wanted:
        return f"the tables are older than this server, which wants {wanted}: run `gameserver migrate`"
    since = f"servers since {oldest} go on working with them" if oldest else "old servers must be stopped"
    return f"the tables are newer than this server: an upgrade is under way, and {since}"


@action(Right.SYSTEM_READ, "GET /apps/{app}/attention")
async def attention_list(server: Server, app: str) -> list[dict[str, str]]:
    """Return what needs attention, in words: what is away, late or failing jobs, webhooks that are disabled.

    `page` is where the console shows more.
    """
    app_of(server, app)
    found: list[dict[str, str]] = []
    shown = await system_show(server)
    for part, words in shown["away"].items():
        name = {"sessions": "Redis", "database": "The database"}.get(part, part.capitalize())
        found.append({"text": f"{name} is away: {words}", "page": "/live"})
    if shown["warning"]:
        found.append({"text": shown["warning"], "page": "/live"})
    if shown["mistakes"]:
        found.append(
            {
                "text": f"{len(shown['mistakes'])} mistakes in files of apps keep them as they were",
                "page": "/live",
            }
        )
    if "database" in shown["away"]:
        return found
    for job in await server.jobs.list():
        if job["given_up"]:
            found.append(
                {"text": f"{job['given_up']} pieces of {job['name']} were given up", "page": "/jobs"}
            )
        elif job["failures"]:
            words = f"{job['name']} has failed {job['failures']} times in a row: {job['error'][:120]}"
            found.append({"text": words, "page": "/jobs"})
        elif job["late_ms"] > LATE_MS:
            found.append({"text": f"{job['name']} is {job['late_ms'] // 1000} s late", "page": "/jobs"})
    async with server.core.database.read() as tx:
        rows = await tx.all(deliveries.OF_APP, app=app)
    disabled = [row["name"] for row in rows if row["disabled_ms"] is not None]
    return [*found, *({"text": f"the webhook {name} is disabled", "page": "/webhooks"} for name in disabled)]


ACTIONS = (metrics_show, system_show, attention_list)
