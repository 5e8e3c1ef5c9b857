"""Cloud code: the scripts of an app, the processes that run them, and what a script may ask of the server."""

from gameserver.rpc.registry import Floors
from gameserver.scripts.engine import Engine, Failure, Host, Reply, Result, RunLimits, Surface
from gameserver.scripts.programs import Program

FLOOR = Floors()

__all__ = ["FLOOR", "Engine", "Failure", "Host", "Program", "Reply", "Result", "RunLimits", "Surface"]
