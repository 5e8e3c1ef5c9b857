"""The instruments: a server with what it stands on, load, and what both cost."""

import asyncio
import contextlib
import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import redis as redis_client

from gameserver.storage.schema import migrate
from tests import servers
from tests.benchmarks.packets import APP, APP_ID, CREATE, SCRIPTS, encode, login
from tests.processes import serve

CONNECTIONS, THREADS = 32, 2
IDS_APART = 1_000_000  # between the packetIds of two measurements
PATIENCE_SECONDS = 10
IDLE_SECONDS, IDLE_SHARE = 0.5, 0.1
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
DURABLE = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on", "shared_buffers": "128MB"}


@dataclass(frozen=True)
class Cost:
    """CPU seconds of a server, its Redis and its database."""

    server: float
    redis: float
    sql: float

    def since(self, before: "Cost") -> "Cost":
        return Cost(self.server - before.server, self.redis - before.redis, self.sql - before.sql)


@dataclass(frozen=True)
class Load:
    """What a load generator saw; latencies in milliseconds."""

    requests: int
    rate: float
    p50: float
    p99: float
    errors: int


@dataclass
class Running:
    """A server under test. `database` and `redis` are empty when it is embedded."""

    folder: Path
    database: str = ""
    redis: str = ""
    anew: bool = True  # from nothing, as an operator starts it; forked otherwise (see `tests.warm`)
    pids: dict[str, int] = field(default_factory=dict)
    url: str = ""
    start_seconds: float = 0
    _stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def start(self) -> None:
        options = ["--database", self.database, "--redis", self.redis] if self.database else []
        started = time.perf_counter()
        process = self._stack.enter_context(serve(self.folder, *options, anew=self.anew))
        self.start_seconds = time.perf_counter() - started
        self.url, self.pids["server"] = process.url, process.popen.pid

    def stop(self) -> None:
        self._stack.close()

    def restart(self) -> None:
        """Start the server anew, with nothing but its database."""
        self.stop()
        if self.redis:
            with redis_client.Redis.from_url(self.redis) as client:
                client.flushall()
        self.start()

    def wait_until_idle(self) -> None:
        """Return when nothing goes on in the background any more."""
        while True:
            before = self.cost()
            time.sleep(IDLE_SECONDS)
            cost = self.cost().since(before)
            if cost.server + cost.redis + cost.sql < IDLE_SHARE * IDLE_SECONDS:
                return

    def cost(self) -> Cost:
        return Cost(
            *(
                cpu_seconds(self.pids[name]) if name in self.pids else 0.0
                for name in ("server", "redis", "sql")
            )
        )

    def resident_bytes(self) -> int:
        """Memory of the server process."""
        return int(Path(f"/proc/{self.pids['server']}/statm").read_text().split()[1]) * PAGE_BYTES

    def settle(self) -> None:
        """Let the database count its rows, as it does by itself once a minute where there are many new ones."""
        if self.database:
            asyncio.run(_analyze(self.database))

    def complaints(self) -> list[str]:
        """What the server has logged so far above information."""
        logs = sorted(self.folder.glob("server-*.log"))
        lines = [line for log in logs for line in log.read_text().splitlines()]
        return [line for line in lines if '"level": "warning"' in line or '"level": "error"' in line]

    def redis_bytes(self) -> int:
        """Memory that Redis says its data takes."""
        if not self.redis:
            return 0
        with redis_client.Redis.from_url(self.redis) as client:
            return int(client.info("memory")["used_memory"])


async def _analyze(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("ANALYZE")
    finally:
        await connection.close()


def cpu_seconds(pid: int) -> float:
    """The CPU time of a process and its descendants, those that have ended included."""
    while Path(f"/proc/{pid}").exists():
        # One may end between two looks: its file is missing then, or can't be read any more. Its parent has its time.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            return _cpu_seconds(pid)
    raise ProcessLookupError(f"there is no process {pid}")


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    own = sum(int(field) for field in fields[11:15]) / TICKS_PER_SECOND
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return own + sum(_cpu_seconds(int(child)) for child in children)


@contextlib.contextmanager
def running(folder: Path, *, services: bool, anew: bool = True) -> Iterator[Running]:
    """A server as an operator starts it: embedded, or over PostgreSQL and Redis. Everything is durable."""
    (folder / "apps" / "bench").mkdir(parents=True)
    (folder / "apps" / "bench" / "app.toml").write_text(APP)
    (folder / "apps" / "bench" / "scripts").mkdir()
    for name, source in SCRIPTS.items():
        (folder / "apps" / "bench" / "scripts" / f"{name}.js").write_text(source)
    with contextlib.ExitStack() as stack:
        server = Running(folder, anew=anew)
        if services:
            server.database = stack.enter_context(servers.postgresql(DURABLE))
            server.redis = stack.enter_context(servers.redis())
            migrate(server.database)
            data = Path(server.database.partition("host=")[2], "data")
            server.pids["sql"] = int((data / "postmaster.pid").read_text().split()[0])
            with redis_client.Redis.from_url(server.redis) as client:
                server.pids["redis"] = int(client.info("server")["process_id"])
        server.start()
        stack.callback(server.stop)
        yield server


@contextlib.contextmanager
def bare() -> Iterator[tuple[str, int]]:
    """A uvicorn that answers every request with the bytes of a no-op's answer: the floor."""
    command = [sys.executable, "-m", "tests.benchmarks.bare"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().split()[1], process.pid
        finally:
            process.terminate()


def bare_sql(server: Running, seconds: float) -> tuple[Load, Cost]:
    """Upserts of asyncpg alone, one to a transaction, on the server's database: the floor of what writes there."""
    command = [sys.executable, "-m", "tests.benchmarks.bare_sql", server.database, str(seconds)]
    before = server.cost()
    told = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    cost = server.cost().since(before)
    load = Load(told["count"], told["count"] / seconds, told["p50"], told["p99"], 0)
    return load, Cost(told["cpu_seconds"], 0, cost.sql)


def players(url: str, path: Path, names: list[str], *, entities: bool = False) -> None:
    """Log players in; `path` gets a line "session entity number" for each."""
    # Without a client library: it takes longer than the server does.
    found = [""] * len(names)
    waiting, where = iter(enumerate(names)), urlsplit(url)

    async def all_of_them() -> None:
        await asyncio.gather(*(work() for _ in range(CONNECTIONS)))

    async def work() -> None:
        reader, writer = await asyncio.open_connection(where.hostname, where.port)
        for number, name in waiting:
            found[number] = await one(reader, writer, number, name)
        writer.close()

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int, name: str) -> str:
        messages = [encode(login(name)), *([encode(CREATE)] if entities else [])]
        body = f'{{"packetId":0,"gameId":"{APP_ID}","messages":[{",".join(messages)}]}}'
        head = f"POST /dispatcherv2 HTTP/1.1\r\nhost: {where.netloc}\r\ncontent-length: {len(body)}\r\n\r\n"
        writer.write((head + body).encode())
        told = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(told.partition("content-length: ")[2].partition("\r\n")[0])
        answer = json.loads(await reader.readexactly(length))
        assert all(entry["status"] == 200 for entry in answer["responses"]), answer
        data = [entry["data"] for entry in answer["responses"]]
        return f"{data[0]['sessionId']} {data[1]['entityId'] if entities else '-'} {number}"

    asyncio.run(all_of_them())
    path.write_text("\n".join(found) + "\n")


def wrk(
    url: str, seconds: float, lines: Path, messages: str, first_id: int, *, once: bool = False,
    apart: int = IDS_APART // 2,
) -> Load:  # fmt: skip
    """Send packets over keep-alive connections; `apart` are the packetIds of another try, if one is needed."""
    script = str(Path(__file__).with_name("load.lua"))
    command = [
        "wrk",
        "-t",
        str(THREADS),
        "-c",
        str(CONNECTIONS),
        "-d",
        f"{math.ceil(seconds) + PATIENCE_SECONDS}s",  # it ends by itself, should nobody be left to end it
        "--latency",
        "-s",
        script,
    ]
    command += [f"{url}/dispatcherv2", "--", str(lines), APP_ID, messages, str(THREADS), str(first_id)]
    command += ["once" if once else "on"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            out, err = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)  # its own -d takes whole seconds only
            out, err = process.communicate()
    requests = re.search(r"(\d+) requests in", out)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", out)
    latency = re.search(r"Latency Distribution.*?50%\s+(\S+).*?99%\s+(\S+)", out, re.DOTALL)
    if (requests is None or requests[1] == "0") and seconds < PATIENCE_SECONDS:
        # The machine is busy and the time was short; perhaps wrk had not even begun.
        # With other ids, however many tries it takes: what it has sent may still run.
        return wrk(url, seconds * 4, lines, messages, first_id + apart, once=once, apart=apart // 2)
    assert requests, out + err
    assert rate, out
    assert latency, out
    refused = err.splitlines()
    sys.stderr.writelines(f"{line}\n" for line in refused[:3])
    broken = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", out)
    errors = len(refused) + (sum(map(int, broken.groups())) if broken else 0)
    return Load(int(requests[1]), float(rate[1]), _ms(latency[1]), _ms(latency[2]), errors)


def _ms(text: str) -> float:
    """Read wrk's way of writing a time: 310.00us, 2.45ms, 1.02s."""
    for unit, factor in (("us", 0.001), ("ms", 1.0), ("s", 1000.0), ("m", 60_000.0)):
        if text.endswith(unit):
            return float(text.removesuffix(unit)) * factor
    raise ValueError(text)
