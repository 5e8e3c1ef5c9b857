"""What open sessions cost the server that keeps them in its memory: bytes each, and the tail of writes.

`python -m tests.benchmarks.sessions` runs the embedded server in this process, opens sessions in steps, and at each
step lets 16 players write, and log in now and then, one call after another each. It prints the memory of a
session, the median and the 99th percentile of a write with that many sessions, and the CPU that a full collection
of garbage takes then, for which any write may have to wait.
"""

import argparse
import asyncio
import gc
import json
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gameserver.app import open_server
from gameserver.sessions import NewSession
from gameserver.settings import Settings
from gameserver.wire.clock import FixedClock
from tests.benchmarks.figures import Open
from tests.benchmarks.packets import QUOTAS
from tests.benchmarks.tables import SESSION_BYTES_MAX, TAIL_MAX
from tests.conftest import APP_ID, APP_TOML, Client, Game

SIZES = (0, 65_000, 500_000)
PLAYERS = 16
WRITES = 400  # of each player
WRITES_PER_LOGIN = 10
LOGIN = "[login]\nanonymous_id_alone = true\n[session]\nlife_seconds = 86400\n"
FACTS: dict[str, Any] = {  # what the session of a login through an SDK remembers
    "authenticationType": "Universal",
    "releasePlatform": "WINDOWS",
    "gameVersion": "1.0.0",
    "clientLib": "csharp-unity",
    "clientLibVersion": "5.7.0",
    "languageCode": "en",
    "countryCode": "CA",
    "compressResponses": True,
    "address": "203.0.113.7",
}


def collection_ms() -> float:
    """The CPU of a full collection of garbage."""
    gc.collect()
    began = time.thread_time()
    gc.collect()
    return (time.thread_time() - began) * 1000


def resident_bytes() -> int:
    with Path("/proc/self/statm").open() as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def open_sessions(game: Game, first: int, last: int) -> float:
    """Open sessions of as many players; returns how many bytes each took."""
    before = resident_bytes()
    for number in range(first, last):
        new = NewSession(APP_ID, f"{number:08x}-0000-4000-8000-000000000000", "dispatcher", 86_400, FACTS)
        await game.core.sessions.open(new)
        if number % 1000 == 0:
            await asyncio.sleep(0)
    return (resident_bytes() - before) / max(1, last - first)


async def write_times(game: Game, clients: list[Client], writes: int) -> list[float]:
    """How long each write of players took who write at the same time, in ms."""
    taken: list[float] = []

    async def play(client: Client, name: str) -> None:
        for number in range(writes):
            if number % WRITES_PER_LOGIN == 0:
                await client.log_in("Anonymous", name)
            started = time.perf_counter()
            await client.call("playerState", "UPDATE_NAME", playerName=f"Player {number}")
            taken.append((time.perf_counter() - started) * 1000)

    await asyncio.gather(*(play(client, f"player-{place}") for place, client in enumerate(clients)))
    return sorted(taken)


async def run(sizes: Sequence[int], writes: int) -> AsyncIterator[Open]:
    """Measure at each size, the smallest first."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        (home / "apps" / "test").mkdir(parents=True)
        (home / "apps" / "test" / "app.toml").write_text(APP_TOML + LOGIN + QUOTAS)
        async with open_server(Settings(apps=home / "apps", data=home / "data")) as server:
            game = Game(server, FixedClock())
            clients = [game.client() for _ in range(PLAYERS)]
            await write_times(game, clients, writes)  # to warm up
            gc.collect()
            gc.freeze()  # as `gameserver serve` does
            opened = 0
            for size in sizes:
                each = await open_sessions(game, opened, size)
                opened = max(opened, size)
                taken = await write_times(game, clients, writes)
                median, p99 = taken[len(taken) // 2], taken[len(taken) * 99 // 100]
                yield Open(size, each, median, p99, collection_ms())
            await game.http.aclose()


async def show(sizes: Sequence[int], writes: int, *, as_json: bool) -> None:
    steps: list[Open] = []
    if not as_json:
        print(
            f"{'sessions':>10}{'bytes each':>12}{'median ms':>12}{'p99 ms':>10}{'full gc ms':>12}{'× p99':>8}"
        )
    async for step in run(sizes, writes):
        steps.append(step)
        if not as_json:
            print(
                f"{step.sessions:>10,}{step.bytes_each:>12.0f}{step.median_ms:>12.2f}{step.p99_ms:>10.2f}"
                f"{step.collection_ms:>12.2f}{step.p99_ms / steps[0].p99_ms:>8.2f}",
                flush=True,
            )
    if as_json:
        print(json.dumps([asdict(step) for step in steps]))
    else:
        print(f"Wanted: at most {SESSION_BYTES_MAX} bytes each, and {TAIL_MAX} × the p99 of the first line.")


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--writes", type=int, default=WRITES, help="of each player at each size")
    parser.add_argument("--json", action="store_true", help="for programs")
    options = parser.parse_args(words)
    asyncio.run(show(options.sizes, options.writes, as_json=options.json))


if __name__ == "__main__":
    main(sys.argv[1:])
