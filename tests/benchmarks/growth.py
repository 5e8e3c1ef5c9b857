"""How cost grows with what is stored: `python -m tests.benchmarks.growth [--services] [--sizes 1000 … 1000000] [--svg FILE]`.

Fills the database with players, their identities and entities, and measures the same packets at each size. The bare
server is measured at each size, too: a machine that got slower is not a database that grew. For leaderboards see
`tests.benchmarks.leaderboard`.
"""

import argparse
import asyncio
import json
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
from sqlalchemy import JSON, Boolean, Float, Integer, Table

from gameserver.services import ALL
from gameserver.storage import metadata
from tests.benchmarks.measure import Running, running
from tests.benchmarks.packets import ADDRESS, APP_ID, cases
from tests.benchmarks.run import Bench

SIZES = (1_000, 10_000, 100_000, 1_000_000)
NAMES = ("log in, new", "log in, existing", "read state", "write name", "read an entity", "write an entity")
CHUNK = 20_000
WIDTH, HEIGHT, MARGIN = 760, 420, 60
COLOURS = ("#1b6ca8", "#c0392b", "#27803b", "#8e44ad", "#b9770e", "#117a65", "#555555")

assert ALL, "importing the services declares their tables"


def rows(table: Table, first: int, last: int) -> Iterator[tuple[Any, ...]]:
    """Rows of players that nobody plays: every column its simplest value, but for what tells them apart."""
    plain = {column.name: _plain(column) for column in table.columns}
    for number in range(first, last):
        profile = f"{number:08x}-0000-4000-8000-000000000000"
        own = {
            "profile_id": profile,
            "owner_id": profile,
            "entity_id": f"{number:08x}-0000-4000-8000-000000000001",
            "app_id": APP_ID,
            "type": "Anonymous",
            "external_key": f"seed-{number}",
            "external_id": f"seed-{number}",
            "entity_type": "address",
            "data": json.dumps(ADDRESS),
            "version": 1,
        }
        yield tuple(own.get(name, value) for name, value in plain.items())


def _plain(column: Any) -> Any:
    if column.nullable:
        return None
    match column.type:
        case Boolean():
            return False
        case Integer():
            return 0
        case Float():
            return 0.0
        case JSON():
            return "{}"
        case _:
            return ""


def fill(server: Running, first: int, last: int) -> None:
    """Add players, with all that a player has."""
    for name in ("players", "identities", "entities"):
        table = metadata.tables[name]
        for start in range(first, last, CHUNK):
            chunk = list(rows(table, start, min(start + CHUNK, last)))
            if server.database:
                asyncio.run(_copy(server.database, table, chunk))
            else:
                _insert(server.folder / "data" / "gameserver.db", table, chunk)
    server.settle()


def _insert(path: Path, table: Table, chunk: list[tuple[Any, ...]]) -> None:
    marks = ",".join("?" * len(table.columns))
    with sqlite3.connect(path, timeout=60) as connection:
        connection.executemany(f"INSERT INTO {table.name} VALUES ({marks})", chunk)
    connection.close()


async def _copy(url: str, table: Table, chunk: list[tuple[Any, ...]]) -> None:
    connection = await asyncpg.connect(url)
    try:
        names = [column.name for column in table.columns]
        await connection.copy_records_to_table(table.name, records=chunk, columns=names)
    finally:
        await connection.close()


def measure(server: Running, sizes: list[int], seconds: int) -> dict[str, list[float]]:
    """CPU microseconds of each packet at each size, and of the bare server."""
    bench = Bench(server, seconds)
    bench.prepare()
    chosen = [case for case in cases() if case.name in NAMES]
    curves: dict[str, list[float]] = {name: [] for name in ["bare uvicorn", *(case.name for case in chosen)]}
    filled = 0
    for size in sizes:
        fill(server, filled, size)
        filled = size
        results = [bench.floor(), *(bench.case(case) for case in chosen)]
        for each in results:
            curves[each.name].append(each.total)
        sys.stdout.write(
            f"{size:>9,} " + "  ".join(f"{each.name} {each.total:.0f}" for each in results) + "\n"
        )
        sys.stdout.flush()
    return curves


def picture(sizes: list[int], curves: dict[str, list[float]], title: str) -> str:
    """The curves as SVG: rows on a logarithmic axis, microseconds on a straight one."""
    top = max(max(values) for values in curves.values()) * 1.1
    step = (WIDTH - 3 * MARGIN) / max(1, len(sizes) - 1)

    def x(index: int) -> float:
        return MARGIN + index * step

    def y(value: float) -> float:
        return HEIGHT - MARGIN - value / top * (HEIGHT - 2 * MARGIN)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        f'font-size="12"><rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{MARGIN}" y="24" font-size="15">{title}</text>',
        f'<text x="{MARGIN}" y="44" fill="#555">CPU µs a packet, by rows of each table</text>',
    ]
    for index, size in enumerate(sizes):
        parts.append(
            f'<text x="{x(index):.0f}" y="{HEIGHT - MARGIN + 20}" text-anchor="middle">{size:,}</text>'
        )
    for tick in range(5):
        value = top * tick / 4
        parts.append(
            f'<line x1="{MARGIN}" x2="{x(len(sizes) - 1):.0f}" y1="{y(value):.0f}" y2="{y(value):.0f}" stroke="#ddd"/>'
            f'<text x="{MARGIN - 8}" y="{y(value) + 4:.0f}" text-anchor="end">{value:.0f}</text>'
        )
    for number, (name, values) in enumerate(sorted(curves.items(), key=lambda each: -each[1][-1])):
        colour = COLOURS[number % len(COLOURS)]
        points = " ".join(f"{x(index):.0f},{y(value):.1f}" for index, value in enumerate(values))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(
            f'<text x="{x(len(sizes) - 1) + 10:.0f}" y="{MARGIN + 20 * number}" fill="{colour}">'
            f"{name}: {values[0]:.0f} → {values[-1]:.0f}</text>"
        )
    return "\n".join([*parts, "</svg>\n"])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--services", action="store_true", help="over PostgreSQL and Redis instead of embedded"
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--seconds", type=int, default=3, help="length of each measurement")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="draw the curves")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the curves")
    chosen = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        running(Path(folder), services=chosen.services) as server,
    ):
        curves = measure(server, chosen.sizes, chosen.seconds)
    if chosen.json:
        chosen.json.write_text(json.dumps({"sizes": chosen.sizes, "cpu_us": curves}, indent=1) + "\n")
    if chosen.svg:
        where = "PostgreSQL and Redis" if chosen.services else "embedded"
        chosen.svg.write_text(picture(chosen.sizes, curves, f"Cost of a packet as the game grows ({where})"))


if __name__ == "__main__":
    main()
