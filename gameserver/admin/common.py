"""What actions have in common: what they work on, how they refuse, how they read what they are given."""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Protocol

from starlette.types import ASGIApp

from gameserver.apps import App, LiveApps
from gameserver.jobs import Scheduler
from gameserver.players import users
from gameserver.rpc import Caller, Context, Core, Origin, Registry, Runner
from gameserver.settings import Settings
from gameserver.storage import Payer, Transaction

LIMIT_MAX = 500
FACE = "cli"
ORIGIN = Origin(FACE, "")


class Server(Protocol):
    """The server that actions work on."""

    @property
    def core(self) -> Core:
        """Its floors."""

    @property
    def settings(self) -> Settings:
        """What it was started with."""

    @property
    def site(self) -> ASGIApp:
        """What players reach."""

    @property
    def apps(self) -> LiveApps:
        """Its apps, as they are defined now."""

    @property
    def registry(self) -> Registry:
        """What it offers."""

    @property
    def runner(self) -> Runner:
        """What runs operations."""

    @property
    def jobs(self) -> Scheduler:
        """Its work without a packet."""


class Refused(Exception):
    """The action cannot be done as asked. The text is for the operator."""


class Changed(Refused):
    """Somebody else has changed meanwhile what was to be changed. Nothing was written.

    `data` is the text that is stored now, `version` its version.
    """

    def __init__(self, data: str, version: int) -> None:
        super().__init__(f"somebody has changed this meanwhile: it is at version {version} now")
        self.data = data
        self.version = version


class Spent(Refused):
    """Whoever asks has searched as long as they may in a minute; a little later they may again."""


SEARCH_SECONDS = 10.0
"""Seconds of the database's time that one of the staff may search with in a minute."""


@asynccontextmanager
async def reading(server: Server, app: App, reader: str = "") -> AsyncIterator[Context]:
    """Read as an operation does that changes nothing, with a server's authority.

    `reader` names who of the staff searches: their searches take turns, and have a budget of their own.
    """
    ctx = Context(server.core, app, ORIGIN, caller=Caller.SERVER)
    payer = Payer(f"staff/{reader}", SEARCH_SECONDS) if reader else None
    async with server.core.database.read(payer) as tx:
        ctx.use(tx)
        yield ctx
    await ctx.effects.run_outbox()


def app_of(server: Server, app_id: str) -> App:
    """Return an app by its id. Raises `Refused`."""
    app = server.apps.find(app_id)
    if app is None:
        raise Refused(f"there is no app {app_id}; `gameserver app list` names them")
    return app


async def lock_player(tx: Transaction, app_id: str, profile_id: str) -> None:
    """Keep others from changing a player until the transaction ends. Raises `Refused` when there is none."""
    if not await users.lock(tx, app_id, profile_id):
        raise Refused(f"app {app_id} has no player {profile_id}")


def limit_of(limit: int) -> int:
    """Return how many rows are wanted at most. Raises `Refused`."""
    if not 1 <= limit <= LIMIT_MAX:
        raise Refused(f"the limit is a number from 1 to {LIMIT_MAX}")
    return limit


def columns_of(equal: dict[str, str] | None, columns: Collection[str]) -> dict[str, str]:
    """Return what must be in columns of the rows that are wanted. Raises `Refused` for others than these."""
    if equal is None:
        return {}
    if unknown := equal.keys() - set(columns):
        raise Refused(f"rows cannot be picked by {', '.join(sorted(unknown))}")
    return equal
