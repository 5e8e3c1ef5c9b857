"""What pages of entities cost, in a list of ten thousand and in one of a million.

`python -m tests.benchmarks.pages` runs the server in this process and calls operations on behalf of a player who owns
all entities of a list, one after another: a number is the time one call takes, with SQL but without HTTP and
sessions. `--services` starts PostgreSQL and Redis; without it everything is embedded. Prints ms per call, the fifth
that is fastest, and its ratio to the first size. With `--sizes 10000 100000` it takes a minute, otherwise five.
"""

import argparse
import asyncio
import gc
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from itertools import product
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Table, bindparam, func, insert, select, text

from gameserver.app import GameServer, open_server
from gameserver.documents.list_counts import LONG, tallies
from gameserver.rpc import Caller, Origin
from gameserver.settings import Settings
from gameserver.storage import metadata
from gameserver.storage.schema import migrate
from gameserver.wire.packet import Message
from tests import servers
from tests.benchmarks.packets import ADDRESS, QUOTAS

CREATED_FROM_MS = 1_700_000_000_000
SERVICES = {"entity": "entities", "globalEntity": "global_entities"}
CHUNK = 5000
CALLS = 50
ROWS = 50
ADDRESSES = {"entityType": "address"}
READY = select(func.count()).select_from(tallies).where(tallies.c.is_ready)


class Refused(Exception):
    """An operation was refused."""


def app_of(size: int) -> str:
    return f"of-{size}"


def profile_of(size: int) -> str:
    return f"00000000-0000-4000-8000-{size:012}"


async def call(server: GameServer, size: int, service: str, operation: str, data: dict[str, Any]) -> Any:
    message = Message(service, operation, msgspec.Raw(msgspec.json.encode(data)))
    app = server.apps.find(app_of(size))
    assert app is not None
    origin = Origin("bench", "127.0.0.1")
    profile = profile_of(size)
    answer = await server.runner.call(message, app, origin, caller=Caller.SERVER, profile_id=profile)
    entry = msgspec.json.decode(answer)
    if entry["status"] != 200:
        raise Refused(entry["status_message"])
    return entry["data"]


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def rows(size: int, first: int, last: int) -> Iterator[dict[str, Any]]:
    """Entities for both tables, some of the same time."""
    data = msgspec.json.encode(ADDRESS).decode()
    for number in range(first, last):
        created = CREATED_FROM_MS + number // 3
        yield {
            "owner_id": profile_of(size),
            "entity_id": str(uuid.uuid5(uuid.NAMESPACE_OID, f"{size} {number}")),
            "app_id": app_of(size),
            "entity_type": "address",
            "indexed_id": None,
            "version": 1,
            "acl_other": 1,
            "is_singleton": False,
            "data": data,
            "life_ms": -1,
            "expires_ms": 2**63 - 1,
            "created_ms": created,
            "updated_ms": created,
        }


async def fill(server: GameServer, table: Table, size: int) -> None:
    names = [column.name for column in table.columns]
    statement = insert(table).values({name: bindparam(name) for name in names})
    for start in range(0, size, CHUNK):
        chunk = [{name: row[name] for name in names} for row in rows(size, start, min(start + CHUNK, size))]
        async with server.core.database.write() as tx:
            await tx.run_many(statement, chunk)


async def settle(server: GameServer, sizes: list[int]) -> None:
    """Wait until the long lists have tallies."""
    if server.core.database.dialect == "postgresql":
        async with server.core.database.write() as tx:
            await tx.run(text("ANALYZE"))
    wanted = 2 * len(SERVICES) * sum(size > LONG for size in sizes)
    while True:
        async with server.core.database.read() as tx:
            ready = await tx.one(READY)
        if ready is not None and ready[0] == wanted:
            break
        for size, service, where in product(sizes, SERVICES, ({}, ADDRESSES)):
            with suppress(Refused):  # a list without a tally may be too long to be counted
                await call(server, size, service, "GET_LIST_COUNT", {"where": where})
        await asyncio.sleep(0.2)
    for size, service, where in product(sizes, SERVICES, ({}, ADDRESSES)):
        found = await call(server, size, service, "GET_LIST_COUNT", {"where": where})
        assert found["entityListCount"] == size, (size, found)


async def cases(server: GameServer, service: str, size: int) -> dict[str, tuple[str, dict[str, Any]]]:
    """What is measured: pages in the declared order, with and without a type."""

    def page(number: int, sort: dict[str, int], **more: Any) -> tuple[str, dict[str, Any]]:
        pagination = {"rowsPerPage": ROWS, "pageNumber": number}
        return "GET_PAGE", {"context": {"sortCriteria": sort, "pagination": pagination, **more}}

    def by(found: Any, offset: int) -> tuple[str, dict[str, Any]]:
        return "GET_PAGE_BY_OFFSET", {"context": found["context"], "pageOffset": offset}

    middle, rising, falling = size // ROWS // 2, {"createdAt": 1}, {"createdAt": -1, "updatedAt": 1}
    first = await call(server, size, service, *page(1, rising, searchCriteria=ADDRESSES))
    there = await call(server, size, service, *page(middle, rising, searchCriteria=ADDRESSES))
    return {
        "first page": page(1, rising, searchCriteria=ADDRESSES),
        "first page, all types": page(1, rising),
        "next page": by(first, 1),
        "page before": by(there, -1),
        "jump": page(middle, rising, searchCriteria=ADDRESSES),
        "jump, all types": page(middle, rising),
        "jump, falling": page(middle, falling, searchCriteria=ADDRESSES),
        "jump by offset": by(first, middle - 1),
        "jump to the last": page(size // ROWS, rising, searchCriteria=ADDRESSES),
        "count": ("GET_LIST_COUNT", {"where": ADDRESSES}),
    }


async def measure(server: GameServer, service: str, sizes: list[int], calls: int) -> None:
    """Print the milliseconds of each call, the fifth that is fastest.

    The lists take turns, so that whoever else uses the machine slows all of them down alike.
    """
    of_sizes = {size: await cases(server, service, size) for size in sizes}
    for name in of_sizes[sizes[0]]:
        taken: dict[int, list[float]] = {size: [] for size in sizes}
        for _, size in product(range(calls), sizes):
            started = time.perf_counter()
            await call(server, size, service, *of_sizes[size][name])
            taken[size].append(1000 * (time.perf_counter() - started))
        fifths = [sorted(times)[calls // 5] for times in taken.values()]
        values = "".join(f"{each:12.2f}" for each in fifths)
        say(f"{f'{service}: {name}':36}{values}{fifths[-1] / fifths[0]:8.2f}")


async def run(settings: Settings, sizes: list[int], calls: int) -> None:
    async with open_server(settings) as server:
        for size, table in product(sizes, SERVICES.values()):
            await fill(server, metadata.tables[table], size)
        gc.collect()
        gc.freeze()  # as the server does when it starts
        await settle(server, sizes)
        say(f"{'ms per call':36}" + "".join(f"{size:>12,}" for size in sizes) + "   ratio")
        for service in SERVICES:
            await measure(server, service, sizes, calls)


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--services", action="store_true", help="over PostgreSQL and Redis instead of embedded"
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 1_000_000])
    parser.add_argument("--calls", type=int, default=CALLS, help="of each kind at each size")
    chosen = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        apps, data = Path(folder, "apps"), Path(folder, "data")
        data.mkdir()
        for app_id in map(app_of, chosen.sizes):
            (apps / app_id).mkdir(parents=True)
            text = f'id = "{app_id}"\nsecret = "a secret of benchmarks"\n{QUOTAS}'
            (apps / app_id / "app.toml").write_text(text)
        below: dict[str, Any] = {}
        if chosen.services:
            below = {
                "database": stack.enter_context(servers.postgresql({"shared_buffers": "128MB"})),
                "redis": stack.enter_context(servers.redis()),
            }
            migrate(below["database"])
        asyncio.run(run(Settings(apps=apps, data=data, **below), chosen.sizes, chosen.calls))


if __name__ == "__main__":
    main()
