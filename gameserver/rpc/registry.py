"""The dispatch table."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

import msgspec

from gameserver.apps import Sections
from gameserver.frame import Hooks, Lifespan, Subscription
from gameserver.jobs import Job
from gameserver.players import audit, providers, quotas
from gameserver.players.life import PlayerHooks
from gameserver.players.lifecycle import PlayerTable
from gameserver.players.states import States
from gameserver.players.webhooks import EventData
from gameserver.players.webhooks.events import patterns
from gameserver.rpc.context import Context
from gameserver.rpc.hooks import PLAYER_DELETE, PLAYER_MERGE, PLAYER_RESET, PLAYER_STATE
from gameserver.rpc.service import Operation, Service

Section = tuple[str, type[msgspec.Struct], str]
"""A part of `app.toml`: its name, its type, and the commented text that shows it in the sample app."""


EVERY_MESSAGE = "Dispatcher.ProcessMessage"
"""Names, as an operation with hooks, each message there is."""
MAIL_LINK = "EmailAuth.VALIDATE"
"""Names, as an operation with hooks, the page that proves a mail address."""
NEVER_HOOKED = frozenset({"heartbeat", "rttRegistration"})
"""Services that keep sessions and connections alive, and nothing else."""


class Declares(Protocol):
    """What a registry needs to know of a face."""

    @property
    def name(self) -> str:
        """What the face is called."""

    @property
    def section(self) -> Section | None:
        """The face's part of `app.toml`."""

    @property
    def keeps(self) -> Sequence[PlayerTable]:
        """The tables that the face keeps of players."""

    @property
    def lifespans(self) -> Sequence[Lifespan]:
        """What the face opens when the server starts, and closes when it ends."""

    @property
    def jobs(self) -> Sequence[Job]:
        """The work of the face that is not the answer to a request."""


class Floors(NamedTuple):
    """What the floors declare. `lifespans` are opened in their order, before those of services and faces.

    `kept` are tables of players, by the name under which an export tells them.
    """

    lifespans: Sequence[Lifespan] = ()
    subscriptions: Sequence[Subscription] = ()
    jobs: Sequence[Job] = ()
    sections: Sequence[Section] = ()
    events: Sequence[type[EventData]] = ()
    kept: Mapping[str, Sequence[PlayerTable]] = {}

    def below(self, others: "Floors") -> "Floors":
        """Return what both declare; the lifespans of `others` are opened after these."""
        return Floors(
            (*self.lifespans, *others.lifespans),
            (*self.subscriptions, *others.subscriptions),
            (*self.jobs, *others.jobs),
            (*self.sections, *others.sections),
            (*self.events, *others.events),
            {**self.kept, **others.kept},
        )


NO_FLOORS = Floors()


class Registry:
    """All services of a server, what its faces declare, and its floors. Built once at start."""

    def __init__(
        self, services: Iterable[Service], faces: Iterable[Declares] = (), floors: Floors = NO_FLOORS
    ) -> None:
        self.services = tuple(services)
        faces = tuple(faces)
        self._sections: list[Section] = [
            (service.name, service.section, service.sample)
            for service in self.services
            if service.section is not None
        ]
        self._sections += [face.section for face in faces if face.section is not None]
        self._sections += floors.sections
        self._sections.append((audit.SECTION, audit.AuditSettings, audit.SAMPLE))  # nobody's own
        self._sections.append((quotas.SECTION, quotas.QuotaSettings, quotas.SAMPLE))
        self._sections.append((providers.SECTION, providers.ProviderSettings, providers.SAMPLE))
        self.operations: dict[tuple[str, str], Operation] = {}
        for service in self.services:
            for name, operation in service.operations.items():
                if (service.name, name) in self.operations:
                    raise ValueError(f"two services declare {service.name}.{name}")
                self.operations[service.name, name] = operation
        self.events: dict[str, type[EventData]] = {}
        for event in (*floors.events, *(event for service in self.services for event in service.events)):
            if self.events.setdefault(event.event, event) is not event:
                raise ValueError(f"two events have the name {event.event}")
        self.lifespans, self.jobs = list(floors.lifespans), list(floors.jobs)
        for service in self.services:
            self.lifespans += service.lifespans
            self.jobs += service.jobs
        for face in faces:
            self.lifespans += face.lifespans
            self.jobs += face.jobs
        self.hooks = hooks = Hooks(floors.subscriptions)
        for service in self.services:
            for hook, subscriber in service.subscriptions:
                hooks.subscribe(hook, subscriber)
        self.player_hooks = life = PlayerHooks[Context](
            States(hooks.of(PLAYER_STATE)),
            reset=hooks.of(PLAYER_RESET),
            delete=hooks.of(PLAYER_DELETE),
            merge=hooks.of(PLAYER_MERGE),
        )
        for service in self.services:
            life.keep(service.name, service.kept)
        for face in faces:
            life.keep(face.name, face.keeps)
        for name, kept in floors.kept.items():
            life.keep(name, kept)
        life.keep(audit.SECTION, [audit.KEPT])

    def __iter__(self) -> Iterator[Operation]:
        return iter(self.operations.values())

    def sections(self) -> Sections:
        """The parts of `app.toml` that services and faces declare, and the operations they may call."""
        operations = [operation.wire_name for operation in self]
        hooked = [name for name in operations if name.partition(".")[0] not in NEVER_HOOKED]
        offered = {
            "webhook event": patterns(list(self.events)),
            "operation with hooks": [EVERY_MESSAGE, MAIL_LINK, *hooked],
            "operation": operations,
            "service or operation": [*(service.name for service in self.services), *operations],
        }
        return Sections({name: shape for name, shape, _ in self._sections}, offered)

    def samples(self) -> dict[str, str]:
        """The texts that show those parts in the sample app."""
        return {name: sample for name, _, sample in self._sections if sample}
