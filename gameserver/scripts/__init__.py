"""Cloud code: the scripts of an app, the processes that run them, and what a script may ask of the server."""

from gameserver.rpc.registry import Floors
from gameserver.scripts import programs
from gameserver.scripts.engine import Engine, Failure, Host, Reply, Result, Surface
from gameserver.scripts.programs import Program, Programs, RunLimits, ScriptSettings

FLOOR = Floors(sections=((programs.SECTION, ScriptSettings, programs.SAMPLE),))

__all__ = [
    "FLOOR",
    "Engine",
    "Failure",
    "Host",
    "Program",
    "Programs",
    "Reply",
    "Result",
    "RunLimits",
    "ScriptSettings",
    "Surface",
]
