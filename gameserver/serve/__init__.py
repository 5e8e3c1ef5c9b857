"""`gameserver serve`: what is checked and told before, one process or several, until a signal comes."""

from gameserver.serve.errors import BadOptions, BrokenApps, CannotReach, CannotServe
from gameserver.serve.options import WORKERS_MAX, check_options
from gameserver.serve.start import first_app, serve

__all__ = [
    "WORKERS_MAX",
    "BadOptions",
    "BrokenApps",
    "CannotReach",
    "CannotServe",
    "check_options",
    "first_app",
    "serve",
]
