"""Measure everything: `python -m tests.benchmarks.run`; 13 minutes, on a machine that does nothing else.

For each set-up, embedded and over PostgreSQL and Redis, the server is started the way it keeps every promise, fsync
included. 500 players send packets over 32 keep-alive connections of wrk. CPU microseconds a packet of the server,
Redis and the database come from /proc before and after. The unit is the floor: a bare uvicorn that answers the bytes of
a no-op, measured before and after the packets of a set-up. Bare asyncpg with one upsert to a transaction is measured
too. PostgreSQL counts its rows before each measurement, as it does by itself once a minute: without, its plans are
chance. Then the same at a thousand to a million rows: `growth`; and what open sessions cost: `sessions`.

Writes results.json beside this file, and tables and picture of docs/benchmarks.md; --dry writes nothing. --only and
--setup measure a part, and write none of these. To compare two versions:

  python -m tests.benchmarks.run --only no-op,write --save before.json
  python -m tests.benchmarks.run --only no-op,write --against before.json
"""

import argparse
import json
import secrets
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.benchmarks import figures, growth
from tests.benchmarks.figures import FLOOR, FLOOR_AGAIN, SQL_FLOOR, Measured, Memory, Open, Result, machine
from tests.benchmarks.measure import (
    IDS_APART,
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
from tests.benchmarks.sessions import SIZES as SESSION_SIZES
from tests.benchmarks.sessions import WRITES as SESSION_WRITES
from tests.benchmarks.tables import HEAD, SETUPS, compared, line, table

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "benchmarks.md"
BEGIN, END = "<!-- figures of the benchmark -->\n", "<!-- end of the figures -->\n"
COMPLAINTS_MAX = 10


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
    session_sizes: tuple[int, ...] = SESSION_SIZES
    session_writes: int = SESSION_WRITES
    anew: bool = True  # servers are started from nothing


def result(case: Case, load: Load, cost: Cost) -> Result:
    server, redis, sql = (1e6 * part / max(1, load.requests) for part in (cost.server, cost.redis, cost.sql))
    count = len(case.messages)
    return Result(
        case.name,
        count,
        load.rate,
        load.rate * count,
        load.p50,
        load.p99,
        server,
        redis,
        sql,
        server + redis + sql,
        load.errors,
    )


class Bench:
    """A server under load, case by case."""

    def __init__(self, server: Running, scale: Scale) -> None:
        self.server = server
        self.scale = scale
        self.lines = {name: server.folder / name for name in ("players", "nobody", "once")}
        self._next_id = 0
        self._once_used = False

    def floor(self, seconds: float, name: str = FLOOR) -> Result:
        """Measure the bare server."""
        case = Case(name, (NO_OP,))
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


def measure(setup: str, scale: Scale, chosen: list[Case]) -> Measured:
    """Measure one set-up, and print each line as it is known."""
    write(f"\n{SETUPS[setup]}\n{HEAD}")
    with (
        tempfile.TemporaryDirectory() as name,
        running(Path(name), services=setup == "services", anew=scale.anew) as server,
    ):
        bench = Bench(server, scale)
        measured = Measured(bench.weigh())

        def keep(result: Result) -> None:
            measured.packets.append(result)
            write(line(result))

        server.settle()
        keep(bench.floor(scale.seconds))
        if server.database:
            keep(bench.floor_of_writes(scale.seconds))
        for case in chosen:
            keep(bench.case(case, scale.seconds))
        keep(bench.floor(scale.seconds, FLOOR_AGAIN))
        measured.memory.loaded_bytes = server.resident_bytes()
        measured.complaints += server.complaints()
    return measured


def measure_growth(setup: str, scale: Scale) -> tuple[dict[str, list[float]], int]:
    """Measure one set-up at each size: CPU microseconds of each packet, and how many packets failed."""
    write(f"\n{SETUPS[setup]}, by rows of each table")
    curves: dict[str, list[float]] = {}
    errors = 0
    with (
        tempfile.TemporaryDirectory() as name,
        running(Path(name), services=setup == "services", anew=scale.anew) as server,
    ):
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


def measure_sessions(scale: Scale) -> list[Open]:
    """Measure what open sessions cost an embedded server, in a process that has done nothing else."""
    sizes = [str(size) for size in scale.session_sizes]
    command = [sys.executable, "-m", "tests.benchmarks.sessions", "--json", "--sizes", *sizes]
    command += ["--writes", str(scale.session_writes)]
    told = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return [Open(**step) for step in told]


def pick(words: list[str]) -> list[Case]:
    """The packets whose name contains one of the words; words may be joined by commas, names have some too.

    Raises ValueError for a word that no name contains.
    """
    every = cases()
    wanted: list[str] = []
    for word in words:
        whole = any(word in case.name for case in every)
        wanted += [word] if whole else [part.strip() for part in word.split(",")]
    for word in wanted:
        if not any(word in case.name for case in every):
            names = ", ".join(f'"{case.name}"' for case in every)
            raise ValueError(f'no packet is called "{word}"; there are {names}')
    return [case for case in every if not wanted or any(word in case.name for word in wanted)]


def report(measured: dict[str, Measured], scale: Scale, folder: Path, page: Path) -> None:
    """Write results.json, put the tables between the marks of the page, and the picture beside it."""
    figures.save(folder / "results.json", measured, asdict(scale))
    panels = {SETUPS[setup]: each.growth for setup, each in measured.items()}
    page.with_name("growth.svg").write_text(growth.picture(list(scale.sizes), panels))
    on = machine()
    words = (
        f"Load, server and databases shared {on['processors']} processors and {on['memory_gib']} GiB "
        f"({on['system']}, Python {on['python']}). Columns: the floors of a packet with one message, or with those that its name "
        'tells; "of ten, each": the floors of each message in a packet of ten. Bold takes more than is wanted. '
        "Packets/s and latencies are those of one message.\n\n"
    )
    text = page.read_text()
    head, found, rest = text.partition(BEGIN)
    _, ended, tail = rest.partition(END)
    if not (found and ended):
        raise SystemExit(f"{page.name} has no place for the figures")
    tables = "\n".join(table(setup, each) for setup, each in measured.items())
    page.write_text(f"{head}{BEGIN}\n{words}{tables}\n{END}{tail}")


def write(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--setup", choices=SETUPS, help="one of the two, without growth and sessions")
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="TEXT", help="packets whose name contains one of these"
    )
    parser.add_argument("--seconds", type=float, default=Scale.seconds, help="length of each measurement")
    parser.add_argument("--dry", action="store_true", help="write neither results.json nor the page")
    parser.add_argument("--save", type=Path, metavar="FILE", help="write the figures to this file too")
    parser.add_argument(
        "--read", type=Path, metavar="FILE", help="take figures that were saved; measure nothing"
    )
    parser.add_argument(
        "--against", type=Path, metavar="FILE", help="compare packet by packet with figures that were saved"
    )
    options = parser.parse_args(words)
    try:
        chosen = pick(options.only)
        before = figures.load(options.against) if options.against else None
        measured = figures.load(options.read) if options.read else None
    except (ValueError, OSError) as problem:
        parser.error(str(problem))
    if measured is None:
        if shutil.which("wrk") is None:
            parser.error("wrk is not installed")
        scale = Scale(seconds=options.seconds)
        whole = not (options.setup or options.only)
        setups = [options.setup] if options.setup else list(SETUPS)
        measured = measure_all(setups, scale, chosen, whole=whole)
        if options.save:
            figures.save(options.save, measured, asdict(scale))
        if whole and not options.dry:
            report(measured, scale, HERE, PAGE)
    for setup, each in measured.items():
        write(f"\n{table(setup, each)}")
    if before is not None:
        write(compared(before, measured))
    return 1 if any(each.errors for each in measured.values()) else 0


def measure_all(setups: list[str], scale: Scale, chosen: list[Case], *, whole: bool) -> dict[str, Measured]:
    """Measure packets, and when it is the whole also growth and sessions."""
    measured = {}
    for setup in setups:
        measured[setup] = measure(setup, scale, chosen)
        for complaint in measured[setup].complaints[:COMPLAINTS_MAX]:
            write(f"logged: {complaint}")
    if whole:
        for setup, each in measured.items():
            each.growth, each.growth_errors = measure_growth(setup, scale)
        measured["embedded"].sessions = measure_sessions(scale)
    return measured


if __name__ == "__main__":
    sys.exit(main())
