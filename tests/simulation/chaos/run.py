"""A chaos run from its seed: players play, things break, and in the end everything is counted."""

import asyncio
import contextlib
import itertools
import os
import random
import signal
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from gameserver.storage.schema import migrate
from tests.simulation.chaos import orphans
from tests.simulation.chaos.ears import Ears
from tests.simulation.chaos.fleet import Fleet, fleet
from tests.simulation.chaos.ledger import Ledger
from tests.simulation.chaos.network import CALM, Network, Rates
from tests.simulation.chaos.players import Player
from tests.simulation.chaos.society import Society

PROGRESS_SECONDS = 30
FORGETFUL = Rates(lost_answer=0.25)  # makes players ask again, which is what breaks a broken server
CANCEL_SECONDS = 1
HEALING_SECONDS_MAX = 90  # of an index that a kill left behind its rows: they are looked at once a minute
LOG_LINES_MAX = 3  # of each server
CLOCK_SECONDS_MAX = 60.0
WORKERS_KILLED = 2  # times: a script that is cut off three times fails
COMMIT_SECONDS_MAX = 0.1  # more is not to be had from PostgreSQL


@dataclass(frozen=True)
class Plan:
    """What a run is made of. The seed decides what befalls whom; how fast machines are, it cannot."""

    services: bool
    seconds: float
    seed: int
    players: int = 24
    servers: int = 3
    lease_seconds: int = 3
    pause_seconds_max: float = 3.0  # between two mishaps of the fleet
    broken: str = ""


class Mishaps:
    """What befalls servers and what they stand on."""

    def __init__(self, fleet: Fleet, plan: Plan, ledger: Ledger) -> None:
        self.fleet = fleet
        self.plan = plan
        self.ledger = ledger
        self.chance = random.Random(f"mishaps {plan.seed}")

    async def go_on(self, stop: asyncio.Event) -> None:
        """Let one thing after the other go wrong: each kind once, then as chance will have it."""
        kinds = list(self._kinds())
        others = [kind for kind, _ in kinds[1:]]
        self.chance.shuffle(others)
        first = [kinds[0][0], *others]  # a short run sees a server die at least
        weights = [weight for _, weight in kinds]
        for number in itertools.count():
            pause_seconds = self.chance.uniform(0.3, self.plan.pause_seconds_max)
            if not (
                self.plan.services or self.plan.broken
            ):  # where starting takes long, the only server also gets time to work
                pause_seconds += self.fleet.slots[0].start_seconds
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_seconds):
                    await stop.wait()
            if stop.is_set():
                return
            kind = (
                first[number]
                if number < len(first)
                else self.chance.choices([k for k, _ in kinds], weights)[0]
            )
            self.ledger.befell(kind.__name__)
            try:
                await kind()
            except (AssertionError, TimeoutError) as error:
                self.ledger.violation(f"{kind.__name__} cannot be mended: {error}")
                return

    def _kinds(self) -> Iterator[tuple[Callable[[], Awaitable[None]], int]]:
        yield self.kill_server, 10
        yield self.kill_workers, 5
        if self.plan.broken:  # what was broken is what kills bring to light
            return
        yield self.step_clock, 3
        yield self.slow_disk, 3
        if self.plan.services:
            yield self.freeze_server, 5
            yield self.restart_redis, 2
            yield self.fail_over_redis, 2
            yield self.switch_over_redis, 1
            yield self.freeze_redis, 2
            yield self.crash_database, 1
            yield self.restart_database, 1

    async def kill_server(self) -> None:
        slot = self.chance.choice(self.fleet.slots)
        await self.fleet.crash(slot, self.chance.uniform(0, 1))

    async def kill_workers(self) -> None:
        """End the processes of a server that run scripts, in the middle of these, and once more."""
        server = self.fleet.any(self.chance)
        assert server is not None
        for _ in range(WORKERS_KILLED):
            for pid in server.children():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    self.ledger.counts["workers killed"] += 1
            await asyncio.sleep(self.chance.uniform(1, 2))

    async def freeze_server(self) -> None:
        """Let a server sleep, sometimes longer than its leases last."""
        server = self.fleet.any(self.chance)
        assert server is not None
        with self.fleet.held_up():
            server.signal(signal.SIGSTOP)
            await asyncio.sleep(self.chance.uniform(0.1, 1.5 * self.plan.lease_seconds))
            server.signal(signal.SIGCONT)

    async def step_clock(self) -> None:
        """Set the clock of one server wrong, ahead or behind, or right again."""
        controls = self.chance.choice(self.fleet.slots).controls
        wrong = self.chance.uniform(-CLOCK_SECONDS_MAX, CLOCK_SECONDS_MAX)
        controls.set(clock_seconds=0 if self.chance.random() < 0.2 else wrong)

    async def slow_disk(self) -> None:
        """Let every commit take long for a while."""
        seconds = self.chance.uniform(0.01, COMMIT_SECONDS_MAX)
        postgres, duration = self.fleet.postgres, self.chance.uniform(0.5, 4)
        if postgres is not None:
            await postgres.delay_commits(seconds)
            await asyncio.sleep(duration)
            await postgres.delay_commits(0)
            return
        for slot in self.fleet.slots:
            slot.controls.set(commit_seconds=seconds)
        await asyncio.sleep(duration)
        for slot in self.fleet.slots:
            slot.controls.set(commit_seconds=0)

    async def restart_redis(self) -> None:
        with self.fleet.held_up():
            await self.fleet.lose_sessions(self.chance.uniform(0, 1))

    async def freeze_redis(self) -> None:
        assert self.fleet.redis is not None
        with self.fleet.held_up():
            self.fleet.redis.master.signal(signal.SIGSTOP)
            await asyncio.sleep(self.chance.uniform(0.1, 3))
            self.fleet.redis.master.signal(signal.SIGCONT)

    async def fail_over_redis(self) -> None:
        """Kill the master; the replica takes over with all sessions."""
        await self._fail_over(crash=True)

    async def switch_over_redis(self) -> None:
        """Let master and replica change places, as for an upgrade."""
        await self._fail_over(crash=False)

    async def _fail_over(self, *, crash: bool) -> None:
        with self.fleet.held_up():
            if not await self.fleet.fail_over(crash=crash):
                self.ledger.counts["no replica to fail over to"] += 1

    async def crash_database(self) -> None:
        assert self.fleet.postgres is not None
        await asyncio.to_thread(self.fleet.postgres.restart, "immediate")

    async def restart_database(self) -> None:
        assert self.fleet.postgres is not None
        await asyncio.to_thread(self.fleet.postgres.restart, "fast")


async def run(plan: Plan, folder: Path, out: TextIO | None = None, rates: Rates | None = None) -> Ledger:
    """Run to the end, or to the first broken promise. The ledger says what was seen."""
    environment = {"CHAOS_LEASE_SECONDS": str(plan.lease_seconds), "CHAOS_BREAK": plan.broken}
    with fleet(folder, services=plan.services, count=plan.servers, environment=environment) as all_of_it:
        if plan.services:
            await asyncio.to_thread(migrate, all_of_it.database)
        await all_of_it.start()
        try:
            return await _run(plan, all_of_it, out, rates or (FORGETFUL if plan.broken else Rates()))
        finally:
            for slot in all_of_it.slots:
                if slot.server is not None:
                    slot.server.signal(signal.SIGCONT)
                    await slot.kill()


async def _run(plan: Plan, fleet: Fleet, out: TextIO | None, rates: Rates) -> Ledger:
    ledger = Ledger(fleet)
    async with contextlib.AsyncExitStack() as stack:
        network = Network(ledger, random.Random(f"network {plan.seed}"), rates)
        stack.push_async_callback(network.close)
        society = Society(ears=Ears(ledger, random.Random(f"ears {plan.seed}")))
        players = [
            Player(n, network, random.Random(f"player {n} {plan.seed}"), society) for n in range(plan.players)
        ]
        for player in players:
            stack.push_async_callback(player.close)
        stack.push_async_callback(society.ears.close)
        watching = asyncio.create_task(society.ears.watch())
        stack.callback(watching.cancel)
        await _play(plan, ledger, network, players, watching, out)
        if not ledger.violations:
            await society.ears.settle()
            await _verify_presence(players, society.ears, ledger)
    if not ledger.violations:
        await orphans.check(fleet, ledger, players=len(players))
    else:
        for slot in fleet.slots:
            ledger.log += slot.complaints()[:LOG_LINES_MAX]
    return ledger


async def _play(
    plan: Plan, ledger: Ledger, network: Network, players: list[Player], watching: asyncio.Task[None],
    out: TextIO | None,
) -> None:  # fmt: skip
    """Let them play until time is up, and compare what they know with what the servers know."""
    fleet = ledger.fleet
    stop = asyncio.Event()
    mishaps = asyncio.create_task(Mishaps(fleet, plan, ledger).go_on(stop))
    playing = [asyncio.create_task(player.play(stop)) for player in players]
    try:
        await _watch(plan, ledger, [mishaps, watching, *playing], out)
        stop.set()
        if not ledger.violations:
            await asyncio.gather(mishaps, *playing)
    finally:
        stop.set()  # mishaps are not cancelled: one may be starting a server
        going_on = {mishaps, *playing}
        while going_on:  # a wish to cancel that comes at the very end of a wait is lost with it
            for task in going_on - {mishaps}:
                task.cancel()
            _, going_on = await asyncio.wait(going_on, timeout=CANCEL_SECONDS)
        await asyncio.gather(mishaps, *playing, return_exceptions=True)
    network.rates = CALM
    if not ledger.violations:
        await network.settle()
        await fleet.start()
        await _verify(players, ledger)


async def _watch(plan: Plan, ledger: Ledger, tasks: list[asyncio.Task[None]], out: TextIO | None) -> None:
    """Return when time is up or a promise is broken."""
    until = time.monotonic() + plan.seconds
    progress = time.monotonic() + PROGRESS_SECONDS
    while time.monotonic() < until and not ledger.violations:
        done, _ = await asyncio.wait(tasks, timeout=0.2, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()  # a mistake of ours
        if out is not None and time.monotonic() > progress:
            progress += PROGRESS_SECONDS
            out.write(f"{until - time.monotonic():.0f} s left, {ledger.counts['packets']} packets\n")
            out.flush()


async def _verify(players: list[Player], ledger: Ledger) -> None:
    await asyncio.gather(*(player.verify() for player in players))
    for name, read in (("shared", players[0].read_shared), ("plays", players[0].count_plays)):
        least = sum(player.sure[name] for player in players)
        most = least + sum(player.maybe[name] for player in players)
        until = time.monotonic() + HEALING_SECONDS_MAX
        while not least <= (found := await read()) <= most:
            if name == "shared" or time.monotonic() > until:
                ledger.violation(f"there are {found} of {name}, expected {least} to {most}")
                break
            await asyncio.sleep(0.2)
    board = await players[0].read_board()
    scores = {player.profile_id: player.score for player in players if player.score}
    if board != scores or list(board.values()) != sorted(board.values(), reverse=True):
        ledger.violation(f"the board shows {board}, the players have {scores}")
    for citizen in [player.citizen for player in players if player.citizen is not None]:
        await citizen.verify()
    ledger.counts["steps"] = sum(player.sure.total() for player in players)
    ledger.counts["steps in doubt"] = sum(player.maybe.total() for player in players)


async def _verify_presence(players: list[Player], ears: Ears, ledger: Ledger) -> None:
    """Let a server die with connections, and see who is present then."""
    await asyncio.gather(*(ears.listen(player, []) for player in players))
    slot = ears.chance.choice(ledger.fleet.slots)
    ledger.befell("kill_server")
    await slot.kill()
    crashed_at = time.monotonic()
    await slot.start()
    if ledger.fleet.redis is None:  # nobody has a session any more
        crashed_at += slot.start_seconds  # there was nobody to ask
        await players[0].log_in()
    await ears.check_presence(players, crashed_at)


def report(ledger: Ledger) -> str:
    """Tell what was seen, and the broken promises."""
    lines = [f"{name:<18}{count:>9}" for name, count in sorted(ledger.counts.items())]
    if ledger.violations:
        lines += [f"mishap: {text}" for text in ledger.mishaps]
    lines += [f"BROKEN: {text}" for text in ledger.violations]
    lines += [f"log: {text}" for text in ledger.log]
    return "\n".join([*lines, "every promise was kept" if not ledger.violations else ""])
