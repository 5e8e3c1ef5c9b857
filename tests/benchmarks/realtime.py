"""What real-time connections cost: memory and heartbeats of idle ones, opening them, a message to many listeners.

`python -m tests.benchmarks.realtime` runs the server in this process and its clients in another; two minutes, with
10,000 connections of which 1,000 listen to one channel: first embedded, then with sessions in Redis and messages through it.
Writes the table of docs/benchmarks.md; --dry writes nothing.
"""

import argparse
import asyncio
import gc
import json
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from gameserver.app import GameServer, open_server
from gameserver.http_server import CONNECTIONS_PER_ADDRESS_MAX, Places, raise_descriptor_limit, web_server
from gameserver.realtime import Channels, Connections, encode_frame
from gameserver.rpc import Caller, Origin
from gameserver.sessions import NewSession, Opened
from gameserver.settings import Settings
from gameserver.wire.packet import Message
from tests import servers
from tests.benchmarks.sessions import FACTS, resident_bytes
from tests.conftest import APP_ID, APP_TOML

WARM_UP = 200  # connections, before anything is measured
AT_ONCE = 100  # connections that are being made
HEARTBEAT_SECONDS = 30
BODY = "x" * 200  # of a message
PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"
BEGIN, END = "<!-- figures of connections -->\n", "<!-- end of these figures -->\n"


@dataclass(frozen=True)
class Scale:
    """How much of everything."""

    idle: int = 10_000
    seconds: float = 30
    listeners: int = 1000
    messages: int = 100


@dataclass(frozen=True)
class Figures:
    """What was measured.

    `heartbeats_percent` is what heartbeats of all idle connections take of a core, `line_cpu_ms` what a line of a
    chat takes in all: it is posted, stored, and sent to all listeners.
    """

    connections: int
    kb_each: float
    connects_per_second: float
    connect_cpu_us: float
    heartbeats_percent: float
    listeners: int
    fan_out_p50_ms: float
    fan_out_p99_ms: float
    fan_out_cpu_us_each: float
    line_p99_ms: float
    line_cpu_ms: float


class Clients:
    """The process of the clients."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def do(self, what: str, **order: Any) -> Any:
        """Let them do something; returns what they tell."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"do": what, **order}).encode() + b"\n")
        told = json.loads(await self._process.stdout.readline())
        assert not told.pop("lost"), "connections were lost"
        assert not told.get("refused"), "connections were refused"
        return told


async def tickets(server: GameServer, first: int, last: int) -> list[tuple[str, str]]:
    """Open sessions of as many players, each with a secret for a connection."""
    made = []
    issue = server.core.get(Connections).tickets.issue
    for number in range(first, last):
        player = f"{number:08x}-0000-4000-8000-000000000000"
        opened = await server.core.sessions.open(NewSession(APP_ID, player, "dispatcher", 86_400, FACTS))
        assert isinstance(opened, Opened)
        made.append((opened.session_id, await issue(opened.session.digest)))
    return made


async def measure(scale: Scale, redis: str = "") -> Figures:
    """Measure everything."""
    most = scale.idle + WARM_UP + 1000
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        socket.create_server(("127.0.0.1", 0)) as bound,
    ):
        apps = Path(folder) / "apps" / "test"
        apps.mkdir(parents=True)
        (apps / "app.toml").write_text(APP_TOML + "[chat.channels.main]\n")
        settings = Settings(apps=apps.parent, data=Path(folder) / "data", redis=redis)
        async with open_server(settings, with_jobs=False) as server:
            ready = asyncio.Event()
            web = web_server(
                server,
                Places(most, CONNECTIONS_PER_ADDRESS_MAX),
                ready=ready.set,
                takes_signals=False,
                realtime=server.core.get(Connections),
            )
            serving = asyncio.create_task(web.serve([bound]))
            await ready.wait()
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "tests.benchmarks.realtime_client",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                limit=64 << 20,
                cwd=Path(__file__).parents[2],
            )
            try:
                figures = await measure_with(server, Clients(process), bound.getsockname(), scale)
            finally:
                process.kill()
                await process.wait()
            web.should_exit = True
            await serving
    return figures


async def measure_with(
    server: GameServer, clients: Clients, address: tuple[str, int], scale: Scale
) -> Figures:
    where = {"host": address[0], "port": address[1], "at_once": AT_ONCE}
    await clients.do("connect", tickets=await tickets(server, 0, WARM_UP), **where)
    gc.collect()
    before = resident_bytes()
    wanted = await tickets(server, WARM_UP, WARM_UP + scale.idle)
    cpu = time.process_time()
    seconds = (await clients.do("connect", tickets=wanted, **where))["seconds"]
    connect_cpu = time.process_time() - cpu
    del wanted
    gc.collect()
    each = (resident_bytes() - before) / scale.idle

    cpu = time.process_time()
    await asyncio.sleep(scale.seconds / 3)
    idle_core = (time.process_time() - cpu) / (scale.seconds / 3)
    cpu = time.process_time()
    await clients.do("beat", seconds=scale.seconds, every_seconds=HEARTBEAT_SECONDS)
    core = (time.process_time() - cpu) / scale.seconds

    channels, connections = server.core.get(Channels), server.core.get(Connections)
    for connection in list(connections._open)[: scale.listeners]:
        assert await channels.add(connection, "crowd")
    cpu = time.process_time()
    for _ in range(scale.messages):
        data = {"text": BODY, "sent": time.monotonic()}
        channels.publish("crowd", encode_frame("chat", "INCOMING", data))
        await asyncio.sleep(0.15)
    deliveries = scale.messages * scale.listeners
    taken = (await clients.do("received", count=deliveries))["taken_ms"]
    fan_out_cpu = time.process_time() - cpu - idle_core * 0.15 * scale.messages

    room = f"chat:{APP_ID}:gl:main"
    for connection in list(connections._open)[: scale.listeners]:
        assert await channels.add(connection, room, held=True)
        channels._release(connection, room, 0)
    cpu = time.process_time()
    for _ in range(scale.messages):
        await post(server)
        await asyncio.sleep(0.15)
    lines = (await clients.do("received", count=deliveries))["taken_ms"]
    line_cpu = time.process_time() - cpu - idle_core * 0.15 * scale.messages
    return Figures(
        connections=scale.idle,
        kb_each=each / 1000,
        connects_per_second=scale.idle / seconds,
        connect_cpu_us=1e6 * connect_cpu / scale.idle,
        heartbeats_percent=100 * core,
        listeners=scale.listeners,
        fan_out_p50_ms=taken[len(taken) // 2],
        fan_out_p99_ms=taken[len(taken) * 99 // 100],
        fan_out_cpu_us_each=1e6 * fan_out_cpu / deliveries,
        line_p99_ms=lines[len(lines) * 99 // 100],
        line_cpu_ms=1e3 * line_cpu / scale.messages,
    )


async def post(server: GameServer) -> None:
    """Post a line to the chat."""
    content = {"text": BODY, "sent": time.monotonic()}
    data = {"channelId": f"{APP_ID}:gl:main", "content": content, "from": {"name": "Homer"}}
    message = Message("chat", "SYS_POST_CHAT_MESSAGE", msgspec.Raw(msgspec.json.encode(data)))
    app = server.apps.find(APP_ID)
    assert app is not None
    answer = await server.runner.call(message, app, Origin("bench", "127.0.0.1"), caller=Caller.SERVER)
    assert b'"status":200' in answer


ROWS = (
    ("an idle connection, session and channel included", "kB", "kb_each", 15.0),
    ("heartbeats of all connections, of a core", "%", "heartbeats_percent", 20.0),
    ("connections opened in a second", "", "connects_per_second", 1000.0),
    ("CPU of opening one, in µs", "", "connect_cpu_us", None),
    ("a message to 1,000 listeners, 99 of 100 have it after", "ms", "fan_out_p99_ms", 100.0),
    ("CPU of each of these deliveries, in µs", "", "fan_out_cpu_us_each", None),
    ("a posted chat line to 1,000 listeners, 99 of 100 have it after", "ms", "line_p99_ms", 100.0),
    ("CPU of such a line in all, in ms", "", "line_cpu_ms", None),
)


def table(embedded: Figures, redis: Figures) -> str:
    """Return the figures as a table for people; bold is worse than wanted."""
    lines = ["| what | wanted | embedded | over Redis |", "|---|--:|--:|--:|"]
    for words, unit, name, wanted in ROWS:
        at_least = name == "connects_per_second"
        limit = "" if wanted is None else f"{'≥' if at_least else '≤'} {wanted:,.0f}{unit and ' ' + unit}"
        cells = []
        for figures in (embedded, redis):
            value: float = getattr(figures, name)
            cell = f"{value:,.0f}" if value >= 100 else f"{value:.1f}"
            bad = wanted is not None and (value < wanted if at_least else value > wanted)
            cells.append(f"**{cell}**" if bad else cell)
        lines.append(f"| {words} | {limit} | {cells[0]} | {cells[1]} |")
    return "\n".join(lines) + "\n"


def write(text: str) -> None:
    """Put the table into the page."""
    before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", "utf-8")


def apart(scale: Scale, redis: str) -> Figures:
    """Measure one set-up in a process of its own: memory that another has left behind would be used again."""
    words = [sys.executable, "-m", "tests.benchmarks.realtime", "--idle", str(scale.idle), "--json"]
    if redis:
        words += ["--redis", redis]
    done = subprocess.run(words, stdout=subprocess.PIPE, check=True, cwd=Path(__file__).parents[2])
    return Figures(**json.loads(done.stdout))


def main() -> None:
    """Measure both set-ups, or one for who has started this process."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--idle", type=int, default=Scale.idle, help="connections")
    parser.add_argument("--dry", action="store_true", help="write nothing")
    parser.add_argument("--redis", default="", help="with --json: sessions are there")
    parser.add_argument("--json", action="store_true", help="measure one set-up, and print what was measured")
    words = parser.parse_args()
    scale = Scale(idle=words.idle)
    if words.json:
        raise_descriptor_limit()
        sys.stdout.write(json.dumps(asdict(uvloop.run(measure(scale, words.redis)))))
        return
    with servers.redis() as redis:
        text = table(apart(scale, ""), apart(scale, redis))
    sys.stdout.write(f"{scale.idle:,} connections\n\n{text}")
    if not words.dry:
        write(text)


if __name__ == "__main__":
    main()
