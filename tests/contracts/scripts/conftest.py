"""An engine without a server: scripts run, and the test answers what they call."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from gameserver.scripts.engine import Engine, Reply, Result, Surface
from gameserver.scripts.programs import Program, RunLimits
from gameserver.wire.clock import FixedClock

SURFACE = Surface(
    ["getProfileId", "callScript", "include"],
    {
        "getEntityServiceProxy": ("entity", ["createEntity", "readEntity"]),
        "utils": ("utils", ["generateGuid"]),
    },
)
Answer = Callable[[str, list[Any]], Awaitable[Any]]


class Calls:
    """A host that notes what is called, and answers as the test says."""

    def __init__(self, answer: Answer | None = None) -> None:
        self.answer = answer
        self.made: list[tuple[str, list[Any]]] = []
        self.sessions: list[Any] = []
        self.drawn: list[bytes] = []
        self.draws: list[bytes | None] = []

    async def call(self, name: str, args: bytes, session: bytes, drawn: bytes) -> Reply:
        told = json.loads(args)
        self.made.append((name, told))
        self.sessions.append(json.loads(session) if session else None)
        self.drawn.append(drawn)
        value = None if self.answer is None else await self.answer(name, told)
        draws = self.draws.pop(0) if self.draws else None
        if isinstance(value, Exception):
            return Reply(thrown=str(value), draws=draws)
        return Reply(json.dumps(value).encode(), draws=draws)


def program(text: str, path: str = "folder/Name", app_id: str = "app") -> Program:
    return Program(app_id, path, text, ((1, f"{path}.ccjs", 1),))


class Scripts:
    """Runs the texts of scripts."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    async def run(self, text: str | Program, data: Any = None, host: Any = None, **options: Any) -> Result:
        script = program(text) if isinstance(text, str) else text
        limits = options.pop("limits", RunLimits(seconds=20))
        return await self.engine.run(
            script, json.dumps(data or {}).encode(), host or Calls(), SURFACE, limits, **options
        )

    async def value(self, text: str | Program, data: Any = None, host: Any = None, **options: Any) -> Any:
        result = await self.run(text, data, host, **options)
        assert result.failure is None, result
        return json.loads(result.value)


@pytest.fixture(params=["compiled", "plain"])
async def scripts(request: pytest.FixtureRequest) -> AsyncIterator[Scripts]:
    """Scripts as they run where the engine's library is as expected, and where it is not."""
    engine = Engine(FixedClock(), workers=2, plain=request.param == "plain")
    try:
        yield Scripts(engine)
    finally:
        await engine.close()
