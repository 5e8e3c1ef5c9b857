"""What pages of entities cost, in a list of ten thousand and in one of a million.

`python -m tests.benchmarks.pages` runs the server in this process and calls operations on behalf of the player who
owns the entities of both lists, one after another: a number is the time one call takes, with SQL but without HTTP and
sessions. `--services` starts PostgreSQL and Redis; without it everything is embedded. Prints ms per call, the fifth
that is fastest, and its ratio to the first size. With `--sizes 10000 100000` it takes a minute, otherwise ten.
"""

import argparse
import asyncio
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Table, bindparam, func, insert, select, text

from gameserver.app import GameServer, open_server
from gameserver.game.tallies import LONG, tallies, tally_rows
from gameserver.rpc import Origin
from gameserver.settings import Settings
from gameserver.storage import metadata
from gameserver.storage.schema import migrate
from gameserver.wire.packet import Message
from tests import servers
from tests.benchmarks.packets import ADDRESS
from tests.conftest import APP_ID, APP_TOML

PROFILE = "00000000-0000-4000-8000-000000000000"
CREATED_FROM_MS = 1_700_000_000_000
SERVICES = {"entity": "entities", "globalEntity": "global_entities"}
CHUNK = 5000
CALLS = 50
ROWS = 50
ADDRESSES = {"entityType": "address"}
CHANGES = select(func.count()).select_from(tally_rows).where(tally_rows.c.is_change)
READY = select(func.count()).select_from(tallies).where(tallies.c.is_ready)


async def call(server: GameServer, service: str, operation: str, data: dict[str, Any]) -> Any:
    message = Message(service, operation, msgspec.Raw(msgspec.json.encode(data)))
    app = server.apps.find(APP_ID)
    assert app is not None
    answer = await server.packets.answer_server([message], app, Origin("bench", "127.0.0.1"), PROFILE)
    [entry] = msgspec.json.decode(answer)["responses"]
    assert entry["status"] == 200, entry["status_message"]
    return entry["data"]


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def rows(first: int, last: int) -> Iterator[dict[str, Any]]:
    """Entities for both tables, some of the same time."""
    data = msgspec.json.encode(ADDRESS).decode()
    for number in range(first, last):
        created = CREATED_FROM_MS + number // 3
        yield {
            "owner_id": PROFILE,
            "entity_id": str(uuid.uuid5(uuid.NAMESPACE_OID, str(number))),
            "app_id": APP_ID,
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


async def fill(server: GameServer, table: Table, first: int, last: int) -> None:
    names = [column.name for column in table.columns]
    statement = insert(table).values({name: bindparam(name) for name in names})
    for start in range(first, last, CHUNK):
        chunk = [{name: row[name] for name in names} for row in rows(start, min(start + CHUNK, last))]
        async with server.core.database.write() as tx:
            await tx.run_many(statement, chunk)


async def settle(server: GameServer, size: int) -> None:
    """Wait until the lists have tallies, with what has changed since in them."""
    if server.core.database.dialect == "postgresql":
        async with server.core.database.write() as tx:
            await tx.run(text("ANALYZE"))
    for service in SERVICES:
        for where in ({}, ADDRESSES):
            for _ in range(2):
                await server.core.tallies.work()
                found = await call(server, service, "GET_PAGE", {"context": {"searchCriteria": where}})
            assert found["results"]["count"] == size, found["results"]["count"]
    async with server.core.database.read() as tx:
        [ready], [changes] = await tx.one(READY) or [], await tx.one(CHANGES) or []
    assert size <= LONG or (ready, changes) == (2 * len(SERVICES), 0), (ready, changes)


async def cases(server: GameServer, service: str, size: int) -> dict[str, tuple[str, dict[str, Any]]]:
    """What is measured: pages in the declared order, with and without a type."""

    def page(number: int, sort: dict[str, int], **more: Any) -> tuple[str, dict[str, Any]]:
        pagination = {"rowsPerPage": ROWS, "pageNumber": number}
        return "GET_PAGE", {"context": {"sortCriteria": sort, "pagination": pagination, **more}}

    def by(found: Any, offset: int) -> tuple[str, dict[str, Any]]:
        return "GET_PAGE_BY_OFFSET", {"context": found["context"], "pageOffset": offset}

    middle, rising, falling = size // ROWS // 2, {"createdAt": 1}, {"createdAt": -1, "updatedAt": 1}
    first = await call(server, service, *page(1, rising, searchCriteria=ADDRESSES))
    there = await call(server, service, *page(middle, rising, searchCriteria=ADDRESSES))
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


async def measure(server: GameServer, size: int) -> dict[str, float]:
    """Milliseconds of each call, the fifth that is fastest."""
    found = {}
    for service in SERVICES:
        for name, (operation, data) in (await cases(server, service, size)).items():
            times = []
            for _ in range(CALLS):
                started = time.perf_counter()
                await call(server, service, operation, data)
                times.append(1000 * (time.perf_counter() - started))
            found[f"{service}: {name}"] = sorted(times)[CALLS // 5]
    return found


async def run(settings: Settings, sizes: list[int]) -> None:
    measured: dict[int, dict[str, float]] = {}
    async with open_server(settings) as server:
        for filled, size in zip((0, *sizes), sizes, strict=False):
            for table in SERVICES.values():
                await fill(server, metadata.tables[table], filled, size)
            await settle(server, size)
            measured[size] = await measure(server, size)
            say(f"{size:,} entities done")
    say(f"{'ms per call':36}" + "".join(f"{size:>12,}" for size in sizes) + "   ratio")
    for name, first in measured[sizes[0]].items():
        last = measured[sizes[-1]][name]
        values = "".join(f"{measured[size][name]:12.2f}" for size in sizes)
        say(f"{name:36}{values}{last / first:8.2f}")


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--services", action="store_true", help="over PostgreSQL and Redis instead of embedded"
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 1_000_000])
    chosen = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        apps, data = Path(folder, "apps", "bench"), Path(folder, "data")
        apps.mkdir(parents=True)
        data.mkdir()
        (apps / "app.toml").write_text(APP_TOML)
        below = {}
        if chosen.services:
            below = {
                "database": stack.enter_context(servers.postgresql({"shared_buffers": "128MB"})),
                "redis": stack.enter_context(servers.redis()),
            }
            migrate(below["database"])
        asyncio.run(run(Settings(apps=apps.parent, data=data, **below), chosen.sizes))


if __name__ == "__main__":
    main()
