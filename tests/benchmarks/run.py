"""Measure what a packet costs: `python -m tests.benchmarks.run [--services] [--seconds 5] [names…]`.

Starts the server (embedded, or over PostgreSQL and Redis with --services), logs players in, sends packets over 32
keep-alive connections with wrk, and prints CPU microseconds a packet of the server, Redis and the database, read from
/proc before and after. A bare server that answers the same bytes is measured in the same run.
"""

import argparse
import asyncio
import contextlib
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests import servers
from tests.processes import serve

APP = 'id = "10001"\nsecret = "a-secret-for-benchmarks"\nsignature = "optional"\n[session]\nmost = 100\n'
CONNECTIONS, PLAYERS, THREADS = 32, 1000, 2
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def message(service: str, operation: str, data: object) -> str:
    return json.dumps({"service": service, "operation": operation, "data": data}, separators=(",", ":"))


HEARTBEAT = message("heartbeat", "READ", {})
READ = message("playerState", "READ", {})
RENAME = message("playerState", "UPDATE_NAME", {"playerName": "Player %N"})
LOGIN = message(
    "authenticationV2",
    "AUTHENTICATE",
    {"authenticationType": "Anonymous", "externalId": "bench-%P", "authenticationToken": "", "forceCreate": True},
)
NEW_LOGIN = LOGIN.replace("bench-%P", "new-%N-%R")
PACKETS = {
    "no-op": HEARTBEAT,
    "no-op ×10": ",".join([HEARTBEAT] * 10),
    "read state": READ,
    "read state ×10": ",".join([READ] * 10),
    "write name": RENAME,
    "write name ×10": ",".join([RENAME] * 10),
    "log in, new": NEW_LOGIN,
}


@dataclass
class Cost:
    """CPU seconds of a set of processes."""

    server: float
    redis: float
    sql: float

    def __sub__(self, other: "Cost") -> "Cost":
        return Cost(self.server - other.server, self.redis - other.redis, self.sql - other.sql)


def cpu_seconds(pid: int) -> float:
    """The CPU time of a process and its living descendants."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    own = (int(fields[11]) + int(fields[12]) + int(fields[13]) + int(fields[14])) / TICKS_PER_SECOND
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return own + sum(cpu_seconds(int(child)) for child in children)


def measure(pids: dict[str, int]) -> Cost:
    return Cost(*(cpu_seconds(pids[name]) if name in pids else 0.0 for name in ("server", "redis", "sql")))


async def log_in_players(url: str) -> list[str]:
    """Open a session for each player; returns the session ids."""
    async with httpx.AsyncClient(limits=httpx.Limits(max_connections=CONNECTIONS), timeout=30) as client:

        async def one(number: int) -> str:
            body = '{"packetId":0,"gameId":"10001","messages":[%s]}' % LOGIN.replace("%P", str(number))
            answer = (await client.post(f"{url}/dispatcherv2", content=body)).json()
            assert answer["responses"][0]["status"] == 200, answer
            session: str = answer["responses"][0]["data"]["sessionId"]
            return session

        return await asyncio.gather(*(one(number) for number in range(PLAYERS)))


def wrk(url: str, seconds: int, sessions: Path, messages: str, first_id: int) -> tuple[int, float, str, str, int]:
    """Send load; returns requests, requests a second, p50, p99 and errors."""
    script = str(Path(__file__).with_name("load.lua"))
    command = ["wrk", "-t", str(THREADS), "-c", str(CONNECTIONS), "-d", f"{seconds}s", "--latency", "-s", script]
    command += [f"{url}/dispatcherv2", "--", str(sessions), "10001", messages, str(THREADS), str(first_id)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    requests = re.search(r"(\d+) requests in", done.stdout)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    half, most = re.search(r"50%\s+(\S+)", done.stdout), re.search(r"99%\s+(\S+)", done.stdout)
    assert requests and rate and half and most, done.stdout
    errors = len(done.stderr.splitlines())
    if errors:
        sys.stderr.write(done.stderr)
    return int(requests[1]), float(rate[1]), half[1], most[1], errors


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--services", action="store_true", help="over PostgreSQL and Redis instead of embedded")
    parser.add_argument("--seconds", type=int, default=5, help="length of each measurement")
    parser.add_argument("names", nargs="*", help=f"which packets: {', '.join(PACKETS)} (all)")
    chosen = parser.parse_args()
    if shutil.which("wrk") is None:
        parser.error("wrk is not installed")
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / "apps" / "bench").mkdir(parents=True)
        (folder / "apps" / "bench" / "app.toml").write_text(APP)
        options, pids = [], {}
        if chosen.services:
            from gameserver.storage.schema import migrate

            database = stack.enter_context(servers.postgresql())
            redis = stack.enter_context(servers.redis())
            migrate(database)
            options = ["--database", database, "--redis", redis]
            data = database.partition("host=")[2] + "/data"
            pids = {"sql": int(Path(data, "postmaster.pid").read_text().split()[0]), "redis": pid_of("redis-server")}
        server = stack.enter_context(serve(folder, *options))
        pids["server"] = server.popen.pid
        sessions = folder / "sessions"
        sessions.write_text("\n".join(asyncio.run(log_in_players(server.url))) + "\n")
        print(f"{'packet':<18}{'req/s':>8}{'p50':>9}{'p99':>9}{'server':>9}{'redis':>7}{'sql':>7}{'total µs':>10}  errors")
        url, pid = stack.enter_context(bare())
        run("bare uvicorn", url, {"server": pid}, sessions, HEARTBEAT, 1000, chosen.seconds)
        for number, (name, messages) in enumerate(PACKETS.items()):
            if chosen.names and name not in chosen.names:
                continue
            messages = messages.replace("%R", hashlib.md5(os.urandom(8)).hexdigest()[:8])
            run(name, server.url, pids, sessions, messages, (number + 1) * 1_000_000, chosen.seconds)


def run(name: str, url: str, pids: dict[str, int], sessions: Path, messages: str, first_id: int, seconds: int) -> None:
    wrk(url, 1, sessions, messages, first_id)  # warm up
    before = measure(pids)
    requests, rate, half, most, errors = wrk(url, seconds, sessions, messages, first_id + 500_000)
    spent = measure(pids) - before
    server, redis, sql = (1e6 * part / requests for part in (spent.server, spent.redis, spent.sql))
    total = server + redis + sql
    print(
        f"{name:<18}{rate:>8.0f}{half:>9}{most:>9}{server:>9.0f}{redis:>7.0f}{sql:>7.0f}{total:>10.0f}  {errors}",
        flush=True,
    )


def pid_of(program: str) -> int:
    """The service that was just started below this process or handed to init."""
    newest = subprocess.run(["pgrep", "-n", "-f", program], capture_output=True, text=True, check=True)
    return int(newest.stdout.split()[0])


if __name__ == "__main__":
    main()
