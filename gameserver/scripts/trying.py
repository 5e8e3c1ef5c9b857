"""Running scripts for their authors: at once, whoever may call them, with players that were made for it."""

import uuid
from dataclasses import dataclass
from typing import Any

import msgspec

from gameserver.apps import App
from gameserver.rpc import Caller, Context, Origin, PacketFailed, Runner
from gameserver.rpc.runner import Outcome
from gameserver.rpc.steps import Steps
from gameserver.scripts.bridge import DEBUG_LINES, FACE, Kind, Standing
from gameserver.scripts.programs import Program
from gameserver.scripts.running import Ran, run_script
from gameserver.wire import json
from gameserver.wire.packet import Message

PLAYERS = 3  # that a test is given


@dataclass(frozen=True)
class Tried:
    """What became of a test."""

    path: str
    file: str
    problem: str
    """What its script threw, or why it could not run; empty when it passed."""


async def try_script(
    runner: Runner,
    app: App,
    program: Program,
    data: bytes,
    profile_id: str | None = None,
    debug_lines: list[dict[str, Any]] | None = None,
) -> Ran:
    """Run a script for a player, or for a server. Raises `GameError` for one that cannot run.

    `debug_lines` gets what it logs by `logDebug`, with time, level, message and context.
    """
    ctx = Context(runner.core, app, Origin(FACE, "", program.path), caller=Caller.SCRIPT)
    ctx.profile_id = profile_id
    ctx.steps = steps = Steps(runner, ctx.effects, None)
    steps.shared[DEBUG_LINES] = debug_lines
    kind = Kind.SERVER if profile_id is None else Kind.CLIENT
    ran = await run_script(ctx, Standing(kind, app, profile_id), program, data)
    await runner.finish(ctx, Outcome())
    return ran


async def new_player(runner: Runner, app: App) -> str:
    """Make a player; returns the profile id. Raises `PacketFailed` when the app takes none."""
    data = {
        "authenticationType": "Universal",
        "externalId": f"player-{uuid.uuid4()}",
        "authenticationToken": str(uuid.uuid4()),
        "forceCreate": True,
        "gameId": app.id,
    }
    message = Message("authenticationV2", "AUTHENTICATE", msgspec.Raw(json.encode(data)))
    entry: dict[str, Any] = msgspec.json.decode(await runner.call(message, app, Origin(FACE, "127.0.0.1")))
    if "data" not in entry or not entry["data"]:
        raise PacketFailed(f"no player could be made: {entry.get('status_message')}")
    profile_id: str = entry["data"]["profileId"]
    return profile_id


async def try_test(runner: Runner, app: App, program: Program) -> Tried:
    """Run a script that tests others. It passes unless it throws, or its result is false."""
    if program.problem:
        return Tried(program.path, program.file, program.problem)
    players = [await new_player(runner, app) for _ in range(PLAYERS)]
    ran = await try_script(runner, app, program, json.encode({"players": players}))
    problem = "" if ran.success else str(ran.error_message)
    if not problem and json.encode(ran.response) == b"false":
        problem = f"{program.path}: its result is false"
    return Tried(program.path, program.file, problem)
