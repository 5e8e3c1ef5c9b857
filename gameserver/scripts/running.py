"""Running a script: what it is allowed, where its calls go, and what becomes of its result."""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from gameserver.players.app_log import AppLog
from gameserver.rpc import Context
from gameserver.rpc.steps import BeginAgain, WentAnotherWay, steps_of
from gameserver.scripts.bridge import FACE, Bridge, Standing
from gameserver.scripts.engine import Engine, Failure, Result
from gameserver.scripts.programs import Program, ScriptSettings
from gameserver.scripts.proxies import proxies
from gameserver.wire import json
from gameserver.wire.errors import GameError, InvalidParameterType, RateLimited, UnreadableJson
from gameserver.wire.shapes import Reply

MESSAGE_MAX = 2000  # characters of what is said of a failure

# Errors


class MissingScript(GameError):
    """The app has no script of that path."""

    reason_code = 40363


class EmptyScript(GameError):
    """The script's file holds nothing to run."""

    reason_code = 40404


class ScriptNotCallable(GameError):
    """The script is not for this caller: its file, or the app, says who may call it from outside."""

    status = 403
    reason_code = 40364


class ScriptUnreadable(GameError):
    """The script cannot be read as JavaScript; the message names file and line."""

    reason_code = 40647


ERRORS: tuple[type[GameError], ...] = (
    MissingScript,
    EmptyScript,
    ScriptNotCallable,
    ScriptUnreadable,
    RateLimited,
)
"""What is answered before a script runs."""

_REASONS = {Failure.THROWN: 40911, Failure.TIMEOUT: 40910, Failure.UNSETTLED: 40910}
_OTHER_REASON = 40912


class Ran(Reply, kw_only=True):
    """What a script came to. `success` is false when it threw, or did not end; then the rest says why.

    What it did before that stays.
    """

    response: Annotated[Any, Meta(description="The value of the script's last expression.")]
    success: Annotated[bool, Meta(description="Whether the script came to its end.")]
    reason_code: Annotated[int | UnsetType, Meta(description="Why it did not, if it did not.")] = UNSET
    error_message: Annotated[str | UnsetType, Meta(description="The same in words.")] = UNSET


async def run_script(ctx: Context, standing: Standing, program: Program, data: bytes) -> Ran:
    """Run a script with its parameters, an object as JSON. Raises what cannot be said of the script."""
    steps = steps_of(ctx)
    bridge = Bridge(ctx, steps, standing, program)
    try:
        result = await ctx.core.get(Engine).run(
            program,
            data,
            bridge,
            proxies().surface,
            standing.app.section(ScriptSettings).limits(program),
            player=standing.profile_id or "",
            draws=steps.draws,
        )
    except Exception:
        if bridge.failure is None:
            raise
        result = Result(failure=Failure.KILLED)
    if isinstance(bridge.failure, WentAnotherWay):
        result = Result(failure=Failure.KILLED, message=f"{program.path}: {bridge.failure}")
    elif bridge.failure is not None:
        raise bridge.failure
    elif result.failure is Failure.KILLED and steps.cut_off():
        raise BeginAgain(f"{program.path}: the process that ran it ended")
    return _told(ctx, standing, program, result)


def _told(ctx: Context, standing: Standing, program: Program, result: Result) -> Ran:
    match result.failure:
        case None:
            try:
                value = json.checked(result.value) if json.is_suspect(result.value) else result.value
                return Ran(response=msgspec.Raw(value), success=True)
            except UnreadableJson as error:
                result = Result(failure=Failure.NOT_JSON, message=f"{program.path}: its result: {error}")
        case Failure.BUSY:
            raise RateLimited(result.message)
        case Failure.BROKEN:
            raise ScriptUnreadable(result.message)
        case _:
            pass
    assert result.failure is not None, "those without one have returned"
    message = result.message[:MESSAGE_MAX]
    ctx.core.get(AppLog).note(
        standing.app,
        "error",
        message,
        {"script": program.path, "failure": result.failure.value},
        face=FACE,
        source=program.path,
        profile_id=standing.profile_id or "",
    )
    return Ran(
        response=None,
        success=False,
        reason_code=_REASONS.get(result.failure, _OTHER_REASON),
        error_message=message,
    )


def data_of(value: Any, where: str = "data.scriptData") -> bytes:
    """Return a script's parameters as JSON: what clients send as null or as an empty text is an object."""
    if value is None or value == "":
        return b"{}"
    if isinstance(value, str):
        try:
            value = json.read_text(value.encode(), where)
        except UnreadableJson:
            raise InvalidParameterType(f"{where}: expected an object") from None
    if not isinstance(value, dict | list):
        raise InvalidParameterType(f"{where}: expected an object")
    return json.encode_free(value)
