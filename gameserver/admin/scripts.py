"""What staff see of an app's scripts, and how they run one."""

from typing import Any

import msgspec

from gameserver.admin.common import Refused, Server, app_of
from gameserver.admin.declaring import action, at_once
from gameserver.admin.operators import CLI, Operator, note
from gameserver.admin.players import player_row
from gameserver.admin.rights import Right
from gameserver.rpc import PacketFailed
from gameserver.scripts import Program, ScriptSettings
from gameserver.scripts.running import data_of
from gameserver.scripts.trying import try_script
from gameserver.services.script import storage
from gameserver.services.script.base import SchedulingSettings
from gameserver.wire import json
from gameserver.wire.errors import GameError


@action(Right.APP_READ, "GET /apps/{app}/scripts", pages=at_once)
async def script_list(server: Server, app: str) -> list[dict[str, Any]]:
    """Return the scripts of an app: who may call them from outside, how long they may run, what is wrong."""
    settings = app_of(server, app).section(ScriptSettings)
    return [
        {
            "path": program.path,
            "description": program.description,
            "callers": _callers(program),
            "seconds": settings.limits(program).seconds,
            "problem": program.problem,
        }
        for program in settings.programs.values()
    ]


@action(Right.APP_READ, "GET /apps/{app}/scripts/source")
async def script_show(server: Server, app: str, script: str) -> dict[str, Any]:
    """Return the text of a script as it is run, with what it includes, and the parameters of its author."""
    program = _program(server, app, script)
    return {
        "path": program.path,
        "description": program.description,
        "callers": _callers(program),
        "problem": program.problem,
        "text": program.text,
        "test_data": program.test_data,
    }


@action(Right.APP_READ, "GET /apps/{app}/schedules", pages=at_once)
async def schedule_list(server: Server, app: str) -> list[dict[str, Any]]:
    """Return the schedules of an app's scripts, with the turn that came last."""
    declared = app_of(server, app).section(SchedulingSettings).schedules
    async with server.core.database.read() as tx:
        last = {row["name"]: row["last_ms"] for row in await tx.all(storage.SCHEDULES, app=app)}
    return [
        {
            "name": name,
            "script": schedule.script,
            "when": schedule.cron or f"every {schedule.every_minutes} minutes",
            "data": schedule.data,
            "last_ms": last.get(name),
        }
        for name, schedule in declared.items()
    ]


@action(Right.OPERATIONS_CALL, "POST /apps/{app}/scripts/run")
async def script_run(
    server: Server, app: str, script: str, data: dict[str, Any], profile: str = "", *, by: Operator = CLI
) -> dict[str, Any]:
    """Run a script now, whoever may call it, for a player or for nobody; what it does stays.

    Returns what it came to, and what it logged by `logDebug`.
    """
    program = _program(server, app, script)
    if profile:
        async with server.core.database.read() as tx:
            await player_row(tx, app, profile)
    async with server.core.database.write() as tx:  # before: whatever comes of it was asked for
        await note(server, tx, by, "script_run", app, profile=profile, target=program.path, after=data)
    lines: list[dict[str, Any]] = []
    try:
        given = data_of(data, "data")
        ran = await try_script(server.runner, app_of(server, app), program, given, profile or None, lines)
    except (GameError, PacketFailed) as error:
        raise Refused(f"the script cannot run: {error}") from None
    told: dict[str, Any] = msgspec.json.decode(json.encode(ran))
    return {**told, "lines": lines}


def _callers(program: Program) -> list[str]:
    may = {
        "clients": program.client_callable,
        "servers": program.s2s_callable,
        "peers": program.peer_callable,
    }
    return [whom for whom, allowed in may.items() if allowed]


def _program(server: Server, app: str, script: str) -> Program:
    program = app_of(server, app).section(ScriptSettings).programs.find(script)
    if program is None:
        raise Refused(f"app {app} has no script {script[:128]!r}")
    return program


ACTIONS = (script_list, script_show, schedule_list, script_run)
