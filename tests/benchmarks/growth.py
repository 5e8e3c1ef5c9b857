"""How cost grows with what is stored: rows of players that nobody plays, and a picture of what packets cost then."""

import asyncio
import json
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import httpx
from sqlalchemy import JSON, Boolean, Float, Integer, LargeBinary, Table

from gameserver.domain.leaderboards.stamps import seq_at
from gameserver.services import ALL
from gameserver.storage import Json, metadata
from tests.benchmarks.figures import FLOOR
from tests.benchmarks.measure import Running
from tests.benchmarks.packets import ADDRESS, APP_ID, AROUND, BOARD, encode

SIZES = (1_000, 10_000, 100_000, 1_000_000)
NAMES = (
    "log in, new",
    "log in, existing",
    "read state",
    "read an entity",
    "write an entity",
    "count a statistic",
    "post a score",
    "top 10",
    "around me",
    "match ends",
)
TABLES = ("players", "identities", "entities", "player_progress", "packet_answers", "leaderboard_entries")
CHUNK = 20_000
WIDTH, HEIGHT, MARGIN, NAMES_WIDTH = 760, 380, 60, 200
COLOURS = (
    "#1b6ca8",
    "#c0392b",
    "#27803b",
    "#8e44ad",
    "#b9770e",
    "#117a65",
    "#555555",
    "#d35400",
    "#2c3e50",
    "#7f8c00",
    "#a03070",
)

assert ALL, "importing the services declares their tables"


def rows(table: Table, board_uid: str, first: int, last: int) -> Iterator[tuple[Any, ...]]:
    """Rows of players that nobody plays: every column its simplest value, but for what tells them apart."""
    plain = {column.name: _plain(column) for column in table.columns}
    plain |= {
        "app_id": APP_ID,
        "type": "Anonymous",
        "entity_type": "address",
        "data": json.dumps(ADDRESS),
        "version": 1,
        "board_uid": board_uid,
        "stored_at": time.time_ns() // 1_000_000,  # not yet to be forgotten
    }
    names = [column.name for column in table.columns]
    for number in range(first, last):
        profile = f"{number:08x}-0000-4000-8000-000000000000"
        plain["profile_id"] = plain["owner_id"] = plain["entry_id"] = plain["member_id"] = profile
        plain["entity_id"] = f"{number:08x}-0000-4000-8000-000000000001"
        plain["external_key"] = plain["external_id"] = plain["session"] = f"seed-{number}"
        plain["rank_key"], plain["seq"] = -(number * 7919 % 1_000_003), seq_at(0) - number
        yield tuple(plain[name] for name in names)


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
        case LargeBinary():
            return b""
        case JSON() | Json():
            return "{}"
        case _:
            return ""


def fill(server: Running, first: int, last: int) -> None:
    """Add players, with all that a player has, and start the server anew: it knows nothing of the new rows."""
    uid = asyncio.run(_board_uid(server))
    server.stop()
    for name in TABLES:
        table = metadata.tables[name]
        for start in range(first, last, CHUNK):
            chunk = list(rows(table, uid, start, min(start + CHUNK, last)))
            if server.database:
                asyncio.run(_copy(server.database, table, chunk))
            else:
                _insert(_file(server), table, chunk)
    server.settle()
    server.restart()


def rank_all(server: Running, sessions: Path) -> None:
    """Ask for a rank, so that the index of the board is built, and wait until it is."""
    session = sessions.read_text().split()[0]
    body = f'{{"packetId":1,"sessionId":"{session}","gameId":"{APP_ID}","messages":[{encode(AROUND)}]}}'
    httpx.post(f"{server.url}/dispatcherv2", content=body, timeout=60)
    server.wait_until_idle()


def _file(server: Running) -> Path:
    return server.folder / "data" / "gameserver.db"


async def _board_uid(server: Running) -> str:
    """The server has made the board when it was ready, or does so within a moment."""
    sql = f"SELECT uid FROM leaderboards WHERE app_id = '{APP_ID}' AND board_id = '{BOARD}'"
    while True:
        if server.database:
            connection = await asyncpg.connect(server.database)
            uid = await connection.fetchval(sql)
            await connection.close()
        else:
            with sqlite3.connect(_file(server)) as file:
                uid = (file.execute(sql).fetchone() or [None])[0]
            file.close()
        if uid is not None:
            return str(uid)
        await asyncio.sleep(0.05)


def _insert(path: Path, table: Table, chunk: list[tuple[Any, ...]]) -> None:
    names = ",".join(
        column.name for column in table.columns
    )  # a migrated table may have them in another order
    marks = ",".join("?" * len(table.columns))
    with sqlite3.connect(path, timeout=60) as connection:
        connection.executemany(f"INSERT INTO {table.name} ({names}) VALUES ({marks})", chunk)
    connection.close()


async def _copy(url: str, table: Table, chunk: list[tuple[Any, ...]]) -> None:
    connection = await asyncpg.connect(url)
    try:
        names = [column.name for column in table.columns]
        await connection.copy_records_to_table(table.name, records=chunk, columns=names)
    finally:
        await connection.close()


def picture(sizes: list[int], panels: dict[str, dict[str, list[float]]]) -> str:
    """The curves of each set-up as SVG, one below the other: rows on a logarithmic axis, floors on a straight one."""
    height = HEIGHT * len(panels)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" '
        f'font-size="12"><rect width="{WIDTH}" height="{height}" fill="white"/>'
    ]
    for number, (title, curves) in enumerate(panels.items()):
        parts += [
            f'<g transform="translate(0 {number * HEIGHT})">',
            *_panel(sizes, in_floors(curves), title),
            "</g>",
        ]
    return "\n".join([*parts, "</svg>\n"])


def in_floors(curves: dict[str, list[float]]) -> dict[str, list[float]]:
    """Each packet as a multiple of the floor that was measured at the same size."""
    floor = curves[FLOOR]
    return {
        name: [value / each for value, each in zip(values, floor, strict=True)]
        for name, values in curves.items()
        if name != FLOOR
    }


def _panel(sizes: list[int], curves: dict[str, list[float]], title: str) -> Iterator[str]:
    top = max(max(values) for values in curves.values()) * 1.1
    step = (WIDTH - MARGIN - NAMES_WIDTH - 20) / max(1, len(sizes) - 1)

    def x(index: int) -> float:
        return MARGIN + index * step

    def y(value: float) -> float:
        return HEIGHT - MARGIN - value / top * (HEIGHT - 2 * MARGIN)

    yield f'<text x="{MARGIN}" y="24" font-size="15">Cost of a packet as the game grows: {title}</text>'
    yield f'<text x="{MARGIN}" y="44" fill="#555">CPU of a packet in multiples of bare uvicorn, by rows of each table</text>'
    for index, size in enumerate(sizes):
        yield f'<text x="{x(index):.0f}" y="{HEIGHT - MARGIN + 20}" text-anchor="middle">{size:,}</text>'
    for tick in range(5):
        value = top * tick / 4
        yield f'<line x1="{MARGIN}" x2="{x(len(sizes) - 1):.0f}" y1="{y(value):.0f}" y2="{y(value):.0f}" stroke="#ddd"/>'
        yield f'<text x="{MARGIN - 8}" y="{y(value) + 4:.0f}" text-anchor="end">{value:.1f}</text>'
    for number, (name, values) in enumerate(sorted(curves.items(), key=lambda each: -each[1][-1])):
        colour = COLOURS[number % len(COLOURS)]
        points = " ".join(f"{x(index):.0f},{y(value):.1f}" for index, value in enumerate(values))
        yield f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>'
        yield (
            f'<text x="{x(len(sizes) - 1) + 10:.0f}" y="{MARGIN + 22 * number}" fill="{colour}">'
            f"{name}: {values[0]:.1f} → {values[-1]:.1f}</text>"
        )
