"""How a service declares what it offers."""

import inspect
import re
from collections.abc import Awaitable, Callable, Iterable
from enum import IntEnum, StrEnum
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from gameserver.frame import Hook, Lifespan, Subscription
from gameserver.jobs import Job
from gameserver.players.lifecycle import PlayerTable
from gameserver.players.webhooks import EventData
from gameserver.rpc.context import Context
from gameserver.rpc.last import Last
from gameserver.wire.errors import GameError, InternalError
from gameserver.wire.shapes import Request, RequestReader


class Access(StrEnum):
    """Who may call an operation."""

    PLAYER = "player"  # a client with a session, or a server on a player's behalf
    OPEN = "open"  # anybody, also before login
    SIGNED_IN = (
        "signed_in"  # a client with a session, or a server or an endpoint of the operator, without a player
    )
    SERVER = "server"  # servers and operators; refused to clients


class Tx(IntEnum):
    """What an operation needs of the database. A packet opens the strongest its messages ask for."""

    NONE = 0
    READ = 1
    WRITE = 2


Handler = Callable[[Context, Any], Awaitable[Any]]
Prepare = Callable[[Context, Any], Awaitable[Any]]
Locks = Callable[[Context, Any], Iterable[str]]
AnyHandler = TypeVar("AnyHandler", bound=Handler)
AnyHook = TypeVar("AnyHook")
AnyEvent = TypeVar("AnyEvent", bound=type[EventData])

_NAME = re.compile(r"^[A-Z][A-Z0-9_]*$")


class Operation:
    """One entry of the dispatch table."""

    def __init__(
        self,
        service: str,
        name: str,
        handler: Handler,
        *,
        access: Access,
        tx: Tx,
        prepare: Prepare | None,
        locks: Locks | None,
        opens_session: bool,
        stepwise: bool,
        reaches_out: bool,
        errors: tuple[type[GameError], ...],
        failure: type[GameError],
    ) -> None:
        hints = get_type_hints(handler)
        shape, reply = hints.get("request"), hints.get("return")
        if get_origin(reply) is Last:
            [reply] = get_args(reply)
        if not (isinstance(shape, type) and issubclass(shape, Request)):
            raise TypeError(
                f"{service}.{name}: the handler's `request` must be annotated with a Request type"
            )
        if not handler.__doc__:
            raise TypeError(f"{service}.{name}: the handler needs a docstring; it becomes the description")
        self.service = service
        self.name = name
        self.wire_name = f"{service}.{name}"
        """Service and operation, as in `playerState.LOGOUT`."""
        self.handler = handler
        self.access = access
        self.tx = tx
        self.prepare = prepare
        self.locks = locks
        self.opens_session = opens_session
        self.has_to_prepare = prepare is not None or opens_session
        self.stepwise = stepwise
        self.reaches_out = reaches_out
        self.errors = errors
        self.failure = failure
        self.request = shape
        self.reply: Any = None if reply is type(None) else reply
        self.description = inspect.cleandoc(handler.__doc__)
        self.reader = RequestReader(shape)


class Service:
    """A named group of operations, and what it keeps of players.

    - `section`: the type of the service's part of `app.toml`, under the service's name; `sample` is the
      commented text that shows it in the sample app.
    - `keeps` declares the tables in which players have rows: these are deleted, exported and merged with
      their players.
    - `on` subscribes to a hook that somebody else declares, such as those of a player's life in `rpc.hooks`.
    - `lifespan` declares what lives as long as the server.
    - `runs` takes on jobs: work that is not the answer to a request, such as forgetting what is old.
    - `emits` declares an event that the service tells the app's webhooks with `webhooks.emit`.
    """

    def __init__(self, name: str, *, section: type[msgspec.Struct] | None = None, sample: str = "") -> None:
        self.name = name
        self.section = section
        self.sample = sample
        self.operations: dict[str, Operation] = {}
        self.subscriptions: list[Subscription] = []
        self.jobs: list[Job] = []
        self.lifespans: list[Lifespan] = []
        self.kept: list[PlayerTable] = []
        self.events: list[type[EventData]] = []

    def operation(
        self,
        *names: str,
        tx: Tx,
        access: Access = Access.PLAYER,
        prepare: Prepare | None = None,
        locks: Locks | None = None,
        opens_session: bool = False,
        stepwise: bool = False,
        reaches_out: bool = False,
        errors: tuple[type[GameError], ...] = (),
        failure: type[GameError] = InternalError,
    ) -> Callable[[AnyHandler], AnyHandler]:
        """Declare an operation under its wire name; further names are spellings that some SDK sends.

        `errors`: the refusals of its own, for the exported protocol. `prepare` runs before the packet's
        transaction opens, for work that must not hold a lock (password digests, calls to other servers); the
        handler finds its result in `ctx.prepared`. `locks` tells what the message will change that is not the
        caller's own, in the names of `storage.locks`: of packets with several messages they are taken first.
        `opens_session`: it is a login, which calls `ctx.log_in`. `stepwise`: it makes calls of its own, each
        committed by itself (see `rpc.steps`), and has no transaction. `reaches_out`: it changes something
        elsewhere, so that a run which is cut off must not forget what it answered, and another try of a
        packet takes what was prepared before. `failure`: what a fault of ours is answered with, which the log
        knows more about.
        """
        if stepwise and tx is not Tx.NONE:
            raise ValueError(f"{self.name}.{names[0]}: what runs in steps has no transaction around them")

        def declare(handler: AnyHandler) -> AnyHandler:
            for name in names:
                if name in self.operations or not _NAME.match(name):
                    raise ValueError(f"{self.name}.{name} is declared twice, or is no operation name")
                self.operations[name] = Operation(
                    self.name,
                    name,
                    handler,
                    access=access,
                    tx=tx,
                    prepare=prepare,
                    locks=locks,
                    opens_session=opens_session,
                    stepwise=stepwise,
                    reaches_out=reaches_out,
                    errors=errors,
                    failure=failure,
                )
            return handler

        return declare

    def on(self, hook: Hook[AnyHook]) -> Callable[[AnyHook], AnyHook]:
        """Subscribe a function to a hook."""

        def declare(subscriber: AnyHook) -> AnyHook:
            self.subscribe(hook, subscriber)
            return subscriber

        return declare

    def subscribe(self, hook: Hook[AnyHook], subscriber: AnyHook) -> None:
        """Subscribe to a hook."""
        self.subscriptions.append((hook, subscriber))

    def lifespan(self, lifespan: Lifespan) -> Lifespan:
        """Take on something that lives as long as the server; what it yields is found by its type.

        An async context manager that is given the parts of the server that are there already. Handlers find
        it with `ctx.core.get`, jobs with `run.get`.
        """
        self.lifespans.append(lifespan)
        return lifespan

    def runs(self, *jobs: Job) -> None:
        """Take on jobs."""
        self.jobs += jobs

    def keeps(self, *kept: PlayerTable) -> None:
        """Take on tables in which players have rows."""
        self.kept += kept

    def emits(self, event: AnyEvent) -> AnyEvent:
        """Declare an event, which the checker of apps knows then, and the exported protocol tells."""
        self.events.append(event)
        return event
