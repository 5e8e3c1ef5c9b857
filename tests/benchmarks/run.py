"""Measure what a packet costs: `python -m tests.benchmarks.run [--services] [--seconds 5] [--only TEXT …]`.

Starts the server (embedded, or over PostgreSQL and Redis with --services) the way it keeps every promise, fsync
included. 500 players send packets over 32 keep-alive connections of wrk. CPU microseconds a packet of the server,
Redis and the database come from /proc before and after. A bare uvicorn that answers the same bytes is measured in the
same run: it tells how fast the machine is just now. `--markdown` prints a table for a page, `--json` writes a file.
"""

import argparse
import json
import os
import secrets
import shutil
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.benchmarks.measure import Cost, Load, Running, bare, cpu_seconds, players, running, wrk
from tests.benchmarks.packets import NO_OP, Case, cases, encode

PLAYERS = 500
SESSIONS = 4000  # for what a session weighs, and to be logged out one by one
WARM_UP_SECONDS = 1
IDS_APART = 1_000_000
COMPLAINTS_MAX = 10


@dataclass(frozen=True)
class Result:
    """One line of the table; CPU in microseconds a packet, latencies in milliseconds."""

    name: str
    rate: float
    p50: float
    p99: float
    server: float
    redis: float
    sql: float
    total: float
    errors: int


@dataclass(frozen=True)
class Memory:
    """Seconds to the first packet, and bytes: server when fresh and after the load, an idle session in each."""

    start_seconds: float
    fresh_bytes: int
    loaded_bytes: int
    session_bytes: int
    session_redis_bytes: int


def result(name: str, load: Load, cost: Cost) -> Result:
    parts = [1e6 * part / load.requests for part in (cost.server, cost.redis, cost.sql)]
    return Result(name, load.rate, load.p50, load.p99, *parts, sum(parts), load.errors)


class Bench:
    """A server under load, case by case."""

    def __init__(self, server: Running, seconds: int) -> None:
        self.server = server
        self.seconds = seconds
        self.lines = {name: server.folder / name for name in ("players", "nobody", "once")}
        self._next_id = 0

    def floor(self) -> Result:
        """Measure the bare server."""
        with bare() as (url, pid):
            wrk(url, WARM_UP_SECONDS, self.lines["players"], encode(NO_OP), 0)
            before = cpu_seconds(pid)
            load = wrk(url, self.seconds, self.lines["players"], encode(NO_OP), 0)
            return result("bare uvicorn", load, Cost(cpu_seconds(pid) - before, 0, 0))

    def case(self, case: Case) -> Result:
        """Warm up, then measure."""
        once, lines = case.sessions == "once", self.lines[case.sessions]
        text = case.text.replace("%R", secrets.token_hex(4))
        if not once:
            wrk(self.server.url, WARM_UP_SECONDS, lines, text.replace("-%N", "-w%N"), self._id())
        before = self.server.cost()
        load = wrk(self.server.url, self.seconds, lines, text, self._id(), once=once)
        return result(case.name, load, self.server.cost().since(before))

    def _id(self) -> int:
        self._next_id += IDS_APART
        return self._next_id

    def prepare(self) -> None:
        """Make the players: those who play, with sessions, and those who log in again and again, without."""
        players(self.server.url, self.lines["players"], [f"bench-{n}" for n in range(PLAYERS)], entities=True)
        players(self.server.url, self.lines["nobody"], [f"again-{n}" for n in range(PLAYERS)])
        self.lines["nobody"].write_text("".join(f"- - {n}\n" for n in range(PLAYERS)))

    def weigh(self) -> Memory:
        """Open many sessions and see what they take; `loaded_bytes` is for later."""
        fresh = self.server.resident_bytes()
        self.prepare()
        before, before_redis = self.server.resident_bytes(), self.server.redis_bytes()
        players(self.server.url, self.lines["once"], [f"once-{n}" for n in range(SESSIONS)])
        return Memory(
            start_seconds=self.server.start_seconds,
            fresh_bytes=fresh,
            loaded_bytes=0,
            session_bytes=(self.server.resident_bytes() - before) // SESSIONS,
            session_redis_bytes=(self.server.redis_bytes() - before_redis) // SESSIONS,
        )


HEAD = f"{'packet':<22}{'req/s':>8}{'p50 ms':>8}{'p99 ms':>8}{'server':>8}{'redis':>7}{'sql':>7}{'µs':>7}  errors"


def line(r: Result) -> str:
    return (
        f"{r.name:<22}{r.rate:>8.0f}{r.p50:>8.1f}{r.p99:>8.1f}{r.server:>8.0f}{r.redis:>7.0f}{r.sql:>7.0f}"
        f"{r.total:>7.0f}  {r.errors}"
    )


def markdown(results: list[Result], memory: Memory) -> str:
    """A table for a page."""
    rows = ["| packet | req/s | p50 / p99 ms | CPU µs: server + Redis + SQL = total |", "|---|---|---|---|"]
    rows += [
        f"| {r.name} | {r.rate:,.0f} | {r.p50:.1f} / {r.p99:.0f} "
        f"| {r.server:.0f} + {r.redis:.0f} + {r.sql:.0f} = **{r.total:.0f}** |"
        for r in results
    ]
    rows += [
        "",
        f"Ready after {memory.start_seconds:.1f} s; {memory.fresh_bytes >> 20} MiB when fresh, "
        f"{memory.loaded_bytes >> 20} MiB after the load; an idle session takes {memory.session_bytes} bytes "
        f"of the server and {memory.session_redis_bytes} of Redis.",
    ]
    return "\n".join(rows)


def write(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--services", action="store_true", help="over PostgreSQL and Redis instead of embedded"
    )
    parser.add_argument("--seconds", type=int, default=5, help="length of each measurement")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown, too")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything that was measured")
    parser.add_argument("--only", nargs="+", default=[""], help="packets whose name contains one of these")
    chosen = parser.parse_args()
    if shutil.which("wrk") is None:
        parser.error("wrk is not installed")
    with (
        tempfile.TemporaryDirectory() as folder,
        running(Path(folder), services=chosen.services) as server,
    ):
        bench = Bench(server, chosen.seconds)
        memory = bench.weigh()
        server.settle()
        write(HEAD)
        results = []
        for case in [None, *cases()]:
            if case is not None and not any(text in case.name for text in chosen.only):
                continue
            results.append(bench.case(case) if case is not None else bench.floor())
            write(line(results[-1]))
        memory = Memory(**asdict(memory) | {"loaded_bytes": server.resident_bytes()})
        write(f"{memory}")
        for complaint in server.complaints()[:COMPLAINTS_MAX]:
            write(f"logged: {complaint}")
    if chosen.markdown:
        write(markdown(results, memory))
    if chosen.json:
        measured = {
            "services": chosen.services,
            "seconds": chosen.seconds,
            "processors": os.cpu_count(),
            "memory": asdict(memory),
            "packets": [asdict(each) for each in results],
        }
        chosen.json.write_text(json.dumps(measured, indent=1) + "\n")


if __name__ == "__main__":
    main()
