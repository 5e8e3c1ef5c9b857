"""What a leaderboard costs, on a board of a thousand and on one of a million.

`python -m tests.benchmarks.leaderboard` runs the server in this process and calls operations with a server's
authority, one after another: a number is the time one call takes, with SQL and index but without HTTP and
sessions. `--services` starts PostgreSQL and Redis; without it everything is embedded. Prints µs per call, the
fifth that is fastest, and the ratio of the two boards.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import insert

from gameserver.app import GameServer, open_server
from gameserver.domain.leaderboards import Leaderboards
from gameserver.domain.leaderboards.boards import entries
from gameserver.domain.leaderboards.ranked_pages import list_name
from gameserver.domain.leaderboards.stamps import seq_at
from gameserver.domain.leaderboards.store import FIND
from gameserver.rpc import Caller, Origin
from gameserver.settings import Settings
from gameserver.storage.schema import migrate
from gameserver.wire.packet import Message
from tests import servers
from tests.conftest import APP_ID, APP_TOML

INSERT = insert(entries)
CHUNK = 5000
CALLS = 400


async def call(server: GameServer, operation: str, profile: str | None, **data: Any) -> Any:
    message = Message("leaderboard", operation, msgspec.Raw(msgspec.json.encode(data)))
    app = server.apps.find(APP_ID)
    assert app is not None
    origin = Origin("bench", "127.0.0.1")
    answer = await server.runner.call(message, app, origin, caller=Caller.SERVER, profile_id=profile)
    entry = msgspec.json.decode(answer)
    assert entry["status"] == 200, entry
    return entry["data"]


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def profile_of(number: int) -> str:
    return f"00000000-0000-0000-0000-{number:012}"


async def seed(server: GameServer, board: str, size: int) -> None:
    config = {"entryType": "PLAYER", "leaderboardType": "LAST_VALUE", "rotationType": "NEVER"}
    await call(server, "SYS_CREATE_LEADERBOARD_CONFIG", None, leaderboardId=board, configJson=config)
    async with server.core.database.read() as tx:
        row = await tx.one(FIND, app=APP_ID, board=board)
    assert row is not None
    uid, chance, started = row["uid"], random.Random(1), time.perf_counter()
    for start in range(0, size, CHUNK):
        rows = [
            {
                "board_uid": uid,
                "version": 1,
                "entry_id": profile_of(number),
                "member_id": profile_of(number),
                "rank_key": -chance.randrange(size * 10),
                "seq": seq_at(0) - number,
                "data": None,
                "created_ms": 0,
                "updated_ms": 0,
            }
            for number in range(start, min(start + CHUNK, size))
        ]
        async with server.core.database.write() as tx:
            await tx.run_many(INSERT, rows)
    seeded = time.perf_counter()
    await server.core.get(Leaderboards).index.build(list_name(uid, 1))
    built = time.perf_counter()
    say(f"{size:>9,} entries: rows {seeded - started:.1f} s, ranks built in {built - seeded:.1f} s")


def steps_on(server: GameServer, board: str, size: int) -> dict[str, Callable[[], Awaitable[Any]]]:
    """What is measured, by name."""
    chance = random.Random(2)

    def somebody() -> str:
        return profile_of(chance.randrange(size))

    def page(first: int) -> Awaitable[Any]:
        data = {"leaderboardId": board, "sort": "HIGH_TO_LOW", "startIndex": first, "endIndex": first + 9}
        return call(server, "GET_GLOBAL_LEADERBOARD_PAGE", None, **data)

    def around() -> Awaitable[Any]:
        data = {"leaderboardId": board, "sort": "HIGH_TO_LOW", "beforeCount": 5, "afterCount": 5}
        return call(server, "GET_GLOBAL_LEADERBOARD_VIEW", somebody(), **data)

    def post() -> Awaitable[Any]:
        return call(server, "POST_SCORE", somebody(), leaderboardId=board, score=chance.randrange(size * 10))

    return {
        "post": post,
        "top 10": lambda: page(0),
        "10 in the middle": lambda: page(size // 2),
        "10 at a random depth": lambda: page(chance.randrange(size - 10)),
        "10 around somebody": around,
    }


async def measure(steps: list[Callable[[], Awaitable[Any]]]) -> list[float]:
    """Return the µs of each step's fifth of the calls that were fastest.

    The steps take turns, so that whoever else uses the machine slows all of them down alike.
    """
    taken: list[list[float]] = [[] for _ in steps]
    for _ in range(CALLS):
        for index, step in enumerate(steps):
            started = time.perf_counter()
            await step()
            taken[index].append(time.perf_counter() - started)
    return [sorted(times)[CALLS // 5] * 1e6 for times in taken]


async def run(sizes: list[int], services: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        (home / "apps" / "test").mkdir(parents=True)
        (home / "apps" / "test" / "app.toml").write_text(APP_TOML)
        if services:
            await asyncio.to_thread(migrate, services["database"])
        options = Settings(apps=home / "apps", data=home / "data", **services)
        async with open_server(options) as server:
            for size in sizes:
                await seed(server, f"of{size}", size)
            boards = [steps_on(server, f"of{size}", size) for size in sizes]
            say(f"{'':24}" + "".join(f"{size:>12,}" for size in sizes) + f"{'ratio':>8}")
            for name in boards[0]:
                taken = await measure([steps[name] for steps in boards])
                say(f"{name:24}" + "".join(f"{us:>12.0f}" for us in taken) + f"{taken[-1] / taken[0]:>8.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--services", action="store_true", help="PostgreSQL and Redis instead of embedded")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 1_000_000])
    arguments = parser.parse_args()
    with ExitStack() as stack:
        services = {}
        if arguments.services:
            services = {
                "database": stack.enter_context(servers.postgresql({"shared_buffers": "256MB"})),
                "redis": stack.enter_context(servers.redis()),
            }
        asyncio.run(run(arguments.sizes, services))


if __name__ == "__main__":
    main()
