"""The service, its part of `app.toml`, its refusals, and what its operations share."""

from typing import Annotated

from msgspec import Meta, field

from gameserver.apps import App, LiveApps, Settings
from gameserver.rpc import Caller, Context, Service
from gameserver.scripts import Program, ScriptSettings
from gameserver.scripts.running import EmptyScript, MissingScript, ScriptNotCallable
from gameserver.services.script.schedules import Schedule
from gameserver.wire.errors import GameError
from gameserver.wire.shapes import FreeValue, Request

SAMPLE = """\
# When scripts run by themselves, and how many players of the game may put on the list. The scripts themselves
# have a part of their own, [scripts].
[script]
# Scripts that one player may have scheduled at a time. Servers and scripts have no such limit.
#scheduled_per_player = 100
# Days for which what has become of a scheduled script is kept.
#keep_days = 7

# A script that runs again and again, at times of UTC: minute, hour, day of the month, month, day of the week.
# Or every_minutes = 15 instead of cron. Turns that were missed while no server ran are made up for once.
#[script.schedules.nightly]
#script = "jobs/Nightly"
#cron = "30 3 * * *"
#data = { reason = "the night" }
"""


class SchedulingSettings(Settings, kw_only=True):
    """When scripts run by themselves."""

    scheduled_per_player: Annotated[
        int, Meta(ge=0, le=10_000, description="Scripts that one player may have scheduled at a time.")
    ] = 100
    keep_days: Annotated[
        int, Meta(ge=1, le=365, description="Days for which what has become of a scheduled script is kept.")
    ] = 7
    schedules: Annotated[
        dict[Annotated[str, Meta(min_length=1, max_length=64)], Schedule],
        Meta(description="Scripts that run again and again, by names of their schedules."),
    ] = field(default_factory=dict)


service = Service("script", section=SchedulingSettings, sample=SAMPLE)

# Errors


class JobNotFound(GameError):
    """There is no such job, or it is another player's."""

    reason_code = 40465


class JobNotScheduled(GameError):
    """The job has begun, is over, or was cancelled."""

    reason_code = 40466


class WrongJobType(GameError):
    """The job is no batch."""

    reason_code = 40719


class JobNotRunning(GameError):
    """The batch is over, or was cancelled."""

    reason_code = 40720


FIND_ERRORS: tuple[type[GameError], ...] = (MissingScript, EmptyScript, ScriptNotCallable)

# Rules


class Named(Request, kw_only=True):
    """A script by its path from the root, and its parameters: an object, also as JSON text."""

    script_name: Annotated[
        str,
        Meta(
            min_length=1, max_length=512, description="The path of the script from the root of the scripts."
        ),
    ]
    script_data: Annotated[
        FreeValue,
        Meta(
            description="What the script finds in `data`: an object, or the same as JSON text. "
            "Null, empty or nothing: {}."
        ),
    ] = None


def find(app: App, path: str) -> Program:
    """Return a script by its path from the root. Raises `MissingScript` and `EmptyScript`."""
    program = app.section(ScriptSettings).programs.find(path)
    if program is None:
        raise MissingScript(f"there is no script {path[:128]!r}")
    if not program.problem and not program.text.strip():
        raise EmptyScript(f"the script {program.path!r} is empty")
    return program


def find_callable(ctx: Context, path: str) -> Program:
    """Return a script that the caller may run. Raises `ScriptNotCallable`, and what `find` does."""
    program = find(ctx.app, path)
    match ctx.caller:
        case Caller.SCRIPT:
            return program
        case Caller.SERVER:
            may, whom = program.s2s_callable, "servers"
        case _:
            may, whom = program.client_callable, "clients"
    if not may:
        raise ScriptNotCallable(f"the script {program.path!r} is not callable by {whom}")
    return program


def owner_of(ctx: Context) -> str | None:
    """Return the player to whom a job belongs that a client schedules; None for the studio's."""
    return None if ctx.caller.is_studio else ctx.player_id


def live_app(ctx: Context, app_id: str) -> App | None:
    """Return an app by its id."""
    return ctx.core.get(LiveApps).find(app_id)
