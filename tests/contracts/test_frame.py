"""What a server gathers: hooks and the parts that live as long as it does. Two servers share nothing."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import pytest

from gameserver import services
from gameserver.app import open_server, registry
from gameserver.domain import social
from gameserver.frame import Hook, Hooks, Parts, running
from gameserver.frame.lifespans import Lifespans
from gameserver.jobs import Job, JobRun
from gameserver.rpc import Access, Context, Service, Tx
from gameserver.storage import Database, Transaction
from gameserver.wire.clock import FixedClock
from gameserver.wire.shapes import Request
from tests.conftest import APP_ID, Game

ASKED: Hook[Callable[[], str]] = Hook("test.asked")


def test_subscribers_are_asked_in_their_order() -> None:
    hooks = Hooks([(ASKED, lambda: "a")])
    hooks.subscribe(ASKED, lambda: "b")
    assert [each() for each in hooks.of(ASKED)] == ["a", "b"]
    assert Hooks().of(ASKED) == ()


def test_every_server_gathers_anew() -> None:
    first, second = registry(), registry()
    first.hooks.subscribe(ASKED, lambda: "a")
    assert second.hooks.of(ASKED) == ()
    assert first.player_hooks is not second.player_hooks


async def test_two_servers_in_a_process_share_no_subscribers(game: Game) -> None:
    async def friends(*_: object) -> list[str]:
        return ["a-friend"]

    game.core.hooks.subscribe(social.FRIENDS, friends)
    async with open_server(game.server_app.settings, clock=FixedClock(), with_jobs=False) as other:
        for core, expected in ((game.core, ["a-friend"]), (other.core, [])):
            async with core.database.read() as tx:
                assert await social.friends_of(core.hooks, tx, "app", "somebody") == expected


class Engine:
    """A part."""


class Wheel:
    """A part that needs another."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine


async def test_parts_are_found_by_their_types_and_closed_in_the_opposite_order() -> None:
    closed: list[str] = []

    @contextlib.asynccontextmanager
    async def engine(_: Parts) -> AsyncIterator[Engine]:
        yield Engine()
        closed.append("engine")

    @contextlib.asynccontextmanager
    async def wheel(parts: Parts) -> AsyncIterator[Wheel]:
        yield Wheel(parts.get(Engine))
        closed.append("wheel")

    @contextlib.asynccontextmanager
    async def loop(_: Parts) -> AsyncIterator[None]:
        yield None
        closed.append("loop")

    async with Lifespans() as lifespans:
        for each in (engine, wheel, loop):
            await lifespans.open(each)
        assert lifespans.parts.get(Wheel).engine is lifespans.parts.get(Engine)
        with pytest.raises(ValueError, match="two parts"):
            await lifespans.open(engine)
        with pytest.raises(LookupError, match="FixedClock"):
            lifespans.parts.get(FixedClock)
    assert closed == ["engine", "loop", "wheel", "engine"]


async def test_a_service_adds_a_part_a_job_and_a_subscriber_by_itself(
    game: Game, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing outside of its file speaks of it, but the list of services."""
    service, seen = Service("throwaway"), list[str]()

    @service.lifespan
    @contextlib.asynccontextmanager
    async def engine(parts: Parts) -> AsyncIterator[Engine]:
        assert parts.get(Database) is not None
        yield Engine()
        seen.append("closed")

    async def work(run: JobRun) -> None:
        assert isinstance(run.get(Engine), Engine)
        seen.append("job")

    service.runs(Job("throwaway.work", work, every_seconds=60))

    @service.on(social.FRIENDS)
    async def friends(tx: Transaction, app_id: str, profile_id: str) -> list[str]:
        seen.append(f"asked for {app_id} {profile_id}")
        return []

    class Ask(Request): ...

    @service.operation("ASK", tx=Tx.READ, access=Access.OPEN)
    async def ask(ctx: Context, request: Ask) -> None:
        """Ask."""
        assert isinstance(ctx.core.get(Engine), Engine)
        await social.friends_of(ctx.core.hooks, ctx.tx, ctx.app.id, "somebody")

    monkeypatch.setattr(services, "ALL", (*services.ALL, service))
    clock = FixedClock()
    async with open_server(game.server_app.settings, clock=clock, with_jobs=False) as server:
        other = Game(server, clock)
        await other.client().call("throwaway", "ASK")
        await other.run_jobs("throwaway.work")
        await other.http.aclose()
    assert seen == [f"asked for {APP_ID} somebody", "job", "closed"]


async def test_work_beside_the_server_ends_though_a_library_loses_its_cancellation() -> None:
    begun = asyncio.Event()

    async def forgetful() -> None:
        begun.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Future()
        await asyncio.Future()

    async with asyncio.timeout(30):
        async with running(forgetful()):
            await begun.wait()


async def test_what_ends_with_a_failure_tells_of_it() -> None:
    async def fails() -> None:
        raise ValueError("it broke")

    with pytest.raises(ValueError, match="it broke"):
        async with running(fails()):
            await asyncio.sleep(0)
