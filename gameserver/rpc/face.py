"""How a face declares itself: one published contract under which clients reach the server."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from starlette.routing import Route
from starlette.types import ASGIApp

from gameserver.apps import LiveApps
from gameserver.frame import Lifespan
from gameserver.jobs import Job
from gameserver.players.lifecycle import PlayerTable
from gameserver.rpc.context import Core
from gameserver.rpc.packets import Packets
from gameserver.rpc.registry import Section

Mounted = Mapping[str, ASGIApp] | Sequence[Route]
"""Bare ASGI applications by their exact path, for what must be fast; or routes of the framework."""


@dataclass(frozen=True)
class Face:
    """One contract. `mount` is called once, at start.

    `mount_admin` returns the pages that are for operators and their tools. They have an address of their own.
    `section` is the face's part of `app.toml`: its name, its type, and the commented text that shows it in
    the sample app. `keeps` are the tables that the face keeps of players, `jobs` its work without a request,
    `lifespans` what it opens when the server starts.
    """

    name: str
    mount: Callable[[Core, LiveApps, Packets], Mounted]
    section: Section | None = None
    keeps: tuple[PlayerTable, ...] = ()
    jobs: tuple[Job, ...] = ()
    lifespans: tuple[Lifespan, ...] = ()
    mount_admin: Callable[[Core, LiveApps, Packets], Sequence[Route]] | None = None
