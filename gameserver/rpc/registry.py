"""The dispatch table."""

from collections.abc import Iterable, Iterator

import msgspec

from gameserver.rpc.context import PlayerHooks
from gameserver.rpc.service import Operation, Service


class Registry:
    """All services of a server. Built once at start."""

    def __init__(self, services: Iterable[Service]) -> None:
        self.services = tuple(services)
        self.operations: dict[tuple[str, str], Operation] = {}
        for service in self.services:
            for name, operation in service.operations.items():
                if (service.name, name) in self.operations:
                    raise ValueError(f"two services declare {service.name}.{name}")
                self.operations[service.name, name] = operation
        self.player_hooks = PlayerHooks()
        for service in self.services:
            self.player_hooks.state += service.state_hooks
            self.player_hooks.reset += service.reset_hooks
            self.player_hooks.delete += service.delete_hooks

    def __iter__(self) -> Iterator[Operation]:
        return iter(self.operations.values())

    def sections(self) -> dict[str, type[msgspec.Struct]]:
        """The parts of `app.toml` that services declare, by name."""
        return {service.name: service.section for service in self.services if service.section is not None}

    def samples(self) -> dict[str, str]:
        """The texts that show those parts in the sample app."""
        return {service.name: service.sample for service in self.services if service.sample}
