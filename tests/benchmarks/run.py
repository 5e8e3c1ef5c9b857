"""Measure everything: `python -m tests.benchmarks.run`; 12 minutes, on a machine that does nothing else.

For each set-up, embedded and over PostgreSQL and Redis, the server is started the way it keeps every promise, fsync
included. 500 players send packets over 32 keep-alive connections of wrk. CPU microseconds a packet of the server,
Redis and the database come from /proc before and after. A bare uvicorn that answers the bytes of a no-op is measured
in the same run, and bare asyncpg with one upsert to a transaction: they tell how fast the machine is just now. PostgreSQL
counts its rows before each measurement, as it does by itself once a minute: without, its plans are chance. Then the same at a thousand to a million rows: `growth`.

Writes results.json and growth.svg beside this file, and the tables of README.md; --dry writes nothing. --only and
--setup measure a part, and write nothing either.
"""

import argparse
import json
import os
import platform
import secrets
import shutil
import sys
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.benchmarks import growth
from tests.benchmarks.measure import (
    Cost,
    Load,
    Running,
    bare,
    bare_sql,
    cpu_seconds,
    players,
    running,
    wrk,
)
from tests.benchmarks.packets import NO_OP, Case, cases

HERE = Path(__file__).parent
README = HERE.parents[1] / "README.md"
BEGIN, END = "<!-- figures of the benchmark -->\n", "<!-- end of the figures -->\n"
SETUPS = {"embedded": "embedded", "services": "PostgreSQL and Redis"}
IDS_APART = 1_000_000
COMPLAINTS_MAX = 10
FLOOR, SQL_FLOOR = "bare uvicorn", "bare asyncpg, a write"


@dataclass(frozen=True)
class Scale:
    """How much of everything. `sessions` are for what one weighs, and to be logged out one by one."""

    players: int = 500
    sessions: int = 4000
    seconds: float = 3
    warm_up_seconds: float = 1
    once_seconds: float = 0.5  # sessions that log out run out
    growth_seconds: float = 2
    sizes: tuple[int, ...] = growth.SIZES


@dataclass(frozen=True)
class Result:
    """One line of the table; CPU in microseconds a packet, latencies in milliseconds."""

    name: str
    messages: int
    rate: float
    message_rate: float
    p50: float
    p99: float
    server: float
    redis: float
    sql: float
    total: float
    errors: int


@dataclass
class Memory:
    """Seconds to the first packet, and bytes: server when fresh and after the load, an idle session in each."""

    start_seconds: float
    fresh_bytes: int
    session_bytes: int
    session_redis_bytes: int
    loaded_bytes: int = 0


@dataclass
class Measured:
    """All of one set-up."""

    memory: Memory
    packets: list[Result] = field(default_factory=list)
    growth: dict[str, list[float]] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)

    @property
    def errors(self) -> int:
        """Packets that were refused or not answered."""
        return sum(each.errors for each in self.packets)


def result(case: Case, load: Load, cost: Cost) -> Result:
    parts = [1e6 * part / max(1, load.requests) for part in (cost.server, cost.redis, cost.sql)]
    count = len(case.messages)
    return Result(
        case.name, count, load.rate, load.rate * count, load.p50, load.p99, *parts, sum(parts), load.errors
    )


class Bench:
    """A server under load, case by case."""

    def __init__(self, server: Running, scale: Scale) -> None:
        self.server = server
        self.scale = scale
        self.lines = {name: server.folder / name for name in ("players", "nobody", "once")}
        self._next_id = 0
        self._once_used = False

    def floor(self, seconds: float) -> Result:
        """Measure the bare server."""
        case = Case(FLOOR, (NO_OP,))
        with bare() as (url, pid):
            self._warm_up(url, self.lines["players"], case.text)
            before = cpu_seconds(pid)
            load = wrk(url, seconds, self.lines["players"], case.text, 0)
            return result(case, load, Cost(cpu_seconds(pid) - before, 0, 0))

    def floor_of_writes(self, seconds: float) -> Result:
        """Measure the driver of PostgreSQL alone, one upsert to a transaction."""
        return result(Case(SQL_FLOOR, (NO_OP,)), *bare_sql(self.server, seconds))

    def case(self, case: Case, seconds: float) -> Result:
        """Warm up, then measure."""
        once, lines = case.sessions == "once", self.lines[case.sessions]
        text = case.text.replace("%R", secrets.token_hex(4))
        if once:
            seconds = self.scale.once_seconds
            if self._once_used:
                self.open_sessions()
            self._once_used = True
        else:
            self._warm_up(self.server.url, lines, text.replace("-%N", "-w%N"))
        self.server.settle()
        before = self.server.cost()
        load = wrk(self.server.url, seconds, lines, text, self._id(), once=once)
        return result(case, load, self.server.cost().since(before))

    def _warm_up(self, url: str, lines: Path, text: str) -> None:
        if self.scale.warm_up_seconds:
            wrk(url, self.scale.warm_up_seconds, lines, text, self._id())

    def _id(self) -> int:
        self._next_id += IDS_APART
        return self._next_id

    def prepare(self) -> None:
        """Make the players: those who play, with sessions, and those who log in again and again, without."""
        numbers = range(self.scale.players)
        players(self.server.url, self.lines["players"], [f"bench-{n}" for n in numbers], entities=True)
        players(self.server.url, self.lines["nobody"], [f"again-{n}" for n in numbers])
        self.lines["nobody"].write_text("".join(f"- - {n}\n" for n in numbers))

    def open_sessions(self) -> None:
        """Open the sessions that do nothing but log out."""
        players(self.server.url, self.lines["once"], [f"once-{n}" for n in range(self.scale.sessions)])

    def weigh(self) -> Memory:
        """Open many sessions and see what they take."""
        fresh = self.server.resident_bytes()
        self.prepare()
        before, before_redis = self.server.resident_bytes(), self.server.redis_bytes()
        self.open_sessions()
        return Memory(
            start_seconds=self.server.start_seconds,
            fresh_bytes=fresh,
            session_bytes=(self.server.resident_bytes() - before) // self.scale.sessions,
            session_redis_bytes=(self.server.redis_bytes() - before_redis) // self.scale.sessions,
        )


HEAD = (
    f"{'packet':<22}{'req/s':>8}{'msg/s':>8}{'p50 ms':>8}{'p99 ms':>8}"
    f"{'server':>8}{'redis':>7}{'sql':>7}{'µs':>7}  errors"
)


def line(r: Result) -> str:
    return (
        f"{r.name:<22}{r.rate:>8.0f}{r.message_rate:>8.0f}{r.p50:>8.1f}{r.p99:>8.1f}"
        f"{r.server:>8.0f}{r.redis:>7.0f}{r.sql:>7.0f}{r.total:>7.0f}  {r.errors}"
    )


def measure(setup: str, scale: Scale, only: list[str]) -> Measured:
    """Measure one set-up, and print each line as it is known."""
    write(f"\n{SETUPS[setup]}\n{HEAD}")
    with tempfile.TemporaryDirectory() as name, running(Path(name), services=setup == "services") as server:
        bench = Bench(server, scale)
        measured = Measured(bench.weigh())
        server.settle()
        measured.packets.append(bench.floor(scale.seconds))
        write(line(measured.packets[-1]))
        if server.database:
            measured.packets.append(bench.floor_of_writes(scale.seconds))
            write(line(measured.packets[-1]))
        for case in cases():
            if any(text in case.name for text in only):
                measured.packets.append(bench.case(case, scale.seconds))
                write(line(measured.packets[-1]))
        measured.memory.loaded_bytes = server.resident_bytes()
        write(f"{measured.memory}")
        measured.complaints += server.complaints()
    return measured


def measure_growth(setup: str, scale: Scale) -> tuple[dict[str, list[float]], int]:
    """Measure one set-up at each size: CPU microseconds of each packet, and how many packets failed."""
    write(f"\n{SETUPS[setup]}, by rows of each table")
    curves: dict[str, list[float]] = {}
    errors = 0
    with tempfile.TemporaryDirectory() as name, running(Path(name), services=setup == "services") as server:
        for filled, size in zip((0, *scale.sizes), scale.sizes, strict=False):
            growth.fill(server, filled, size)
            bench = Bench(server, scale)
            bench.prepare()
            growth.rank_all(server, bench.lines["players"])
            chosen = [case for case in cases() if case.name in growth.NAMES]
            results = [bench.floor(scale.growth_seconds)]
            results += [bench.case(case, scale.growth_seconds) for case in chosen]
            for each in results:
                curves.setdefault(each.name, []).append(round(each.total, 1))
                errors += each.errors
            write(f"{size:>9,} " + ", ".join(f"{each.name} {each.total:.0f}" for each in results))
    return curves, errors


def table(setup: str, measured: Measured) -> str:
    """A table for a page."""
    memory = measured.memory
    rows = [
        f"**{SETUPS[setup].capitalize() if setup == 'embedded' else SETUPS[setup]}**",
        "",
        "| packet | packets/s | messages/s | p50 / p99 ms | CPU µs a packet: server + Redis + SQL | errors |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    rows += [
        f"| {r.name} | {r.rate:,.0f} | {r.message_rate:,.0f} | {r.p50:.1f} / {r.p99:.0f} "
        f"| {r.server:.0f} + {r.redis:.0f} + {r.sql:.0f} = **{r.total:.0f}** | {r.errors} |"
        for r in measured.packets
    ]
    of_redis = f" and {memory.session_redis_bytes} of Redis" if setup == "services" else ""
    rows += [
        "",
        f"Ready after {memory.start_seconds:.1f} s; {memory.fresh_bytes >> 20} MiB when fresh, "
        f"{memory.loaded_bytes >> 20} MiB after the load; an idle session takes {memory.session_bytes} bytes "
        f"of the server{of_redis}.",
        "",
    ]
    return "\n".join(rows)


def machine() -> dict[str, Any]:
    """What it ran on, in general words."""
    gibibytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    return {
        "processors": os.cpu_count(),
        "memory_gib": round(gibibytes),
        "system": platform.system(),
        "python": ".".join(platform.python_version_tuple()[:2]),
    }


def report(measured: dict[str, Measured], scale: Scale, folder: Path, readme: Path) -> None:
    """Write results.json and growth.svg, and put the tables between the marks of the page."""
    told = {setup: asdict(each) for setup, each in measured.items()}
    for each in told.values():
        del each["complaints"]
    everything = {"machine": machine(), "scale": asdict(scale), "setups": told}
    (folder / "results.json").write_text(
        json.dumps(_rounded(everything), indent=1, ensure_ascii=False) + "\n"
    )
    panels = {SETUPS[setup]: each.growth for setup, each in measured.items()}
    (folder / "growth.svg").write_text(growth.picture(list(scale.sizes), panels))
    on = machine()
    words = (
        f"Load, server and databases shared {on['processors']} processors and {on['memory_gib']} GiB "
        f"({on['system']}, Python {on['python']}).\n\n"
    )
    page = readme.read_text()
    head, found, rest = page.partition(BEGIN)
    _, ended, tail = rest.partition(END)
    if not (found and ended):
        raise SystemExit(f"{readme.name} has no place for the figures")
    tables = "\n".join(table(setup, each) for setup, each in measured.items())
    readme.write_text(f"{head}{BEGIN}\n{words}{tables}\n{END}{tail}")


def _rounded(value: Any) -> Any:
    match value:
        case float():
            return round(value, 3)
        case dict():
            return {name: _rounded(each) for name, each in value.items()}
        case list() | tuple():
            return [_rounded(each) for each in value]
        case _:
            return value


def write(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--setup", choices=SETUPS, help="one of the two, without growth")
    parser.add_argument("--only", nargs="+", metavar="TEXT", help="packets whose name contains one of these")
    parser.add_argument("--seconds", type=float, default=Scale.seconds, help="length of each measurement")
    parser.add_argument("--dry", action="store_true", help="write no files")
    chosen = parser.parse_args()
    if shutil.which("wrk") is None:
        parser.error("wrk is not installed")
    scale = Scale(seconds=chosen.seconds)
    whole = not (chosen.setup or chosen.only)
    measured, failed = {}, 0
    for setup in [chosen.setup] if chosen.setup else SETUPS:
        measured[setup] = measure(setup, scale, chosen.only or [""])
        failed += measured[setup].errors
        for complaint in measured[setup].complaints[:COMPLAINTS_MAX]:
            write(f"logged: {complaint}")
    if whole:
        for setup, each in measured.items():
            each.growth, errors = measure_growth(setup, scale)
            failed += errors
        if not chosen.dry:
            report(measured, scale, HERE, README)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
