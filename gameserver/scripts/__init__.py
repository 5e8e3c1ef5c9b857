"""Cloud code: the scripts of an app, the processes that run them, and what a script may ask of the server."""

from gameserver.players.external import SCRIPT_VOUCHES
from gameserver.rpc.hooks import MESSAGE_HOOKS
from gameserver.rpc.registry import Floors
from gameserver.scripts import engine, logins, programs, session_cache
from gameserver.scripts.engine import Engine, Failure, Host, Processes, Reply, Result, Surface
from gameserver.scripts.hooks import ApiHooks
from gameserver.scripts.programs import Program, Programs, RunLimits, ScriptSettings

FLOOR = Floors(
    lifespans=(engine.lifespan,),
    subscriptions=((MESSAGE_HOOKS, ApiHooks()), (SCRIPT_VOUCHES, logins.vouch)),
    sections=((programs.SECTION, ScriptSettings, programs.SAMPLE),),
    jobs=(session_cache.FORGET,),
)

__all__ = [
    "FLOOR",
    "Engine",
    "Failure",
    "Host",
    "Processes",
    "Program",
    "Programs",
    "Reply",
    "Result",
    "RunLimits",
    "ScriptSettings",
    "Surface",
]
