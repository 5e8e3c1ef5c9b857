"""The benchmark in a form short enough for every test run: nothing is timed, and every packet must be answered."""

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tests import servers
from tests.benchmarks import figures, growth, pages, run, sessions
from tests.benchmarks.figures import FLOOR, FLOOR_AGAIN, SQL_FLOOR, Measured, Memory, Open, Result
from tests.benchmarks.measure import cpu_seconds
from tests.benchmarks.packets import EITHER_ORDER, ONE_ORDER, cases
from tests.benchmarks.run import BEGIN, END, Scale, measure, measure_growth, measure_sessions, pick, report
from tests.benchmarks.tables import WANTED, WANTED_OF_TEN, compared, table
from tests.conftest import BACKENDS

on_services = pytest.mark.usefixtures("services")  # not the run's own, but of the same kind
SCALE = Scale(
    players=100,
    sessions=1000,
    seconds=0.05,
    warm_up_seconds=0,
    once_seconds=0.05,
    growth_seconds=0.05,
    sizes=(1000, 3000),
    session_sizes=(0, 20_000),
    session_writes=20,
    anew=False,
)
ONE_MS = Result("", 1, 1000.0, 1000.0, 1.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0)


def packet(name: str, server: float, sql: float = 0, *, messages: int = 1, rate: float = 1000) -> Result:
    """A packet of so many microseconds."""
    return replace(
        ONE_MS, name=name, server=server, sql=sql, total=server + sql, messages=messages, rate=rate
    )


def measured_of(*packets: Result) -> Measured:
    return Measured(Memory(1.5, 80 << 20, 900, 0, 90 << 20), list(packets))


@on_services
def test_every_packet_is_answered_and_told_of(tmp_path: Path) -> None:
    if shutil.which("wrk") is None:
        servers.missing("wrk")
    setup = "services" if BACKENDS == "services" else "embedded"
    measured = measure(setup, SCALE, cases())
    measured.growth, failed = measure_growth(setup, SCALE)
    floors = [FLOOR, SQL_FLOOR] if setup == "services" else [FLOOR]
    names = [*floors, *(case.name for case in cases()), FLOOR_AGAIN]
    assert [each.name for each in measured.packets] == names
    assert {each.name: each.errors for each in measured.packets if each.errors} == {}
    assert failed == 0
    assert measured.complaints == []
    assert all(each.rate for each in measured.packets)
    assert measured.memory.session_bytes > 0 or setup == "services"
    assert measured.memory.session_redis_bytes > 0 or setup == "embedded"
    assert set(measured.growth) == {FLOOR, *growth.NAMES}
    assert all(len(curve) == len(SCALE.sizes) for curve in measured.growth.values())

    page = tmp_path / "benchmarks.md"
    page.write_text(f"before\n{BEGIN}stale\n{END}after\n")
    report({setup: measured}, SCALE, tmp_path, page)
    assert page.read_text().startswith(f"before\n{BEGIN}")
    assert page.read_text().endswith(f"{END}after\n")
    assert "| match ends |" in page.read_text()
    assert "stale" not in page.read_text()
    told = json.loads((tmp_path / "results.json").read_text())
    assert told["setups"][setup]["packets"][0]["name"] == FLOOR
    assert (tmp_path / "growth.svg").read_text().count("<polyline") == len(growth.NAMES)
    assert figures.load(tmp_path / "results.json")[setup].floors() == pytest.approx(
        measured.floors(), rel=0.01
    )


def test_a_table_tells_multiples_of_the_floor_beside_what_is_wanted() -> None:
    """The floor is the mean of before and after; a packet of ten is told by the message."""
    measured = measured_of(
        packet(FLOOR, 30),
        packet("no-op", 80, rate=12_345),
        packet("read an entity", 66, 132),
        packet("read an entity ×10", 400, 360, messages=10),
        packet("log out ×10", 400, messages=10),
        packet(ONE_ORDER, 400, rate=3000),
        packet(EITHER_ORDER, 400, rate=1500),
        packet(FLOOR_AGAIN, 50),
    )
    assert table("embedded", measured).splitlines() == [
        "**Embedded**",
        "",
        "| packet | floors | wanted | of ten, each | wanted | packets/s | p50 / p99 ms |",
        "|---|--:|--:|--:|--:|--:|--:|",
        "| bare uvicorn | 0.8 |  |  |  | 1,000 | 1.0 / 2 |",
        "| no-op | 2.0 | ≤ 2.0 |  |  | 12,345 | 1.0 / 2 |",
        "| read an entity | **5.0** | ≤ 3.3 | **1.9** | ≤ 1.0 | 1,000 | 1.0 / 2 |",
        "| log out |  |  | 1.0 |  |  |  |",
        "| two shared rows | 10.0 |  |  |  | 3,000 | 1.0 / 2 |",
        "| two shared rows, either order | 10.0 |  |  |  | 1,500 | 1.0 / 2 |",
        "",
        "The floor changed by 67% meanwhile. Two shared rows in either order: 2.0 × the time of one order (wanted: ≤ 10). "
        "An idle session takes 900 bytes of the server. Ready after 1.5 s; 80 MiB when fresh, 90 MiB after the load.",
    ]
    assert "| read an entity | 5.0 | ≤ 6.1 | 1.9 | ≤ 2.0 | 1,000 | 1.0 / 2 | 1.6 + 0.0 + 3.3 |" in table(
        "services", measured
    )


def test_a_table_tells_what_failed_and_what_open_sessions_cost() -> None:
    measured = measured_of(packet(FLOOR, 30), replace(packet("no-op", 60), errors=3))
    measured.sessions = [Open(0, 0, 1, 8, 1), Open(500_000, 812.4, 1, 10, 1)]
    told = table("embedded", measured)
    assert "The floor changed" not in told  # it was measured once
    assert "**3 packets were refused or not answered.**" in told
    assert (
        "With 0, 500,000 open sessions the 99th percentile of writes is 1.0, 1.2 × that of none (wanted: ≤ 1.5), "
        "and a session takes 812 bytes (wanted: ≤ 1024)."
    ) in told


def test_what_is_wanted_is_measured() -> None:
    names = {case.name for case in cases()}
    assert names >= {*WANTED, *(f"{name} ×10" for name in WANTED_OF_TEN)}


def test_runs_are_compared_packet_by_packet_in_floors(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A machine that is half as fast changes nothing; a packet that only one run has is left out."""
    before = measured_of(packet(FLOOR, 30), packet("no-op", 60), packet("top 10", 120), packet("old", 1))
    now = measured_of(packet(FLOOR, 60), packet("no-op", 120), packet("top 10", 270), packet("new", 1))
    told = [line.split() for line in compared({"embedded": before}, {"embedded": now}).splitlines()]
    assert told[3:6] == [
        ["no-op", "2.0", "2.0", "1.00"],
        ["top", "10", "4.0", "4.5", "1.12"],
        ["mean", "of", "2", "1.06"],
    ]
    assert compared({"embedded": before}, {"services": now}) == "the two runs have no set-up in common"

    for name, measured in (("before", before), ("now", now)):
        figures.save(tmp_path / name, {"embedded": measured}, {})
    assert run.main(["--read", str(tmp_path / "now"), "--against", str(tmp_path / "before")]) == 0
    assert compared({"embedded": before}, {"embedded": now}) in capsys.readouterr().out


def test_packets_are_picked_by_parts_of_their_names(capsys: pytest.CaptureFixture[str]) -> None:
    every = [case.name for case in cases()]
    assert [case.name for case in pick([])] == every
    assert [case.name for case in pick(["log in, new"])] == ["log in, new"]
    assert [case.name for case in pick(["top 10,write name"])] == [
        name for name in every if "top 10" in name or "write name" in name
    ]
    assert pick(["top 10", "write name"]) == pick(["write name, top 10"])
    with pytest.raises(SystemExit):
        run.main(["--only", "no-op,nothing like it"])
    assert 'no packet is called "nothing like it"; there are "log in, new", ' in capsys.readouterr().err


def test_sessions_are_weighed_and_cost_the_collector_nothing() -> None:
    none, many = measure_sessions(SCALE)
    assert (none.sessions, many.sessions) == (0, 20_000)
    assert many.bytes_each < 1024
    assert many.collection_ms < none.collection_ms + 2  # 20,000 objects take longer
    assert min(none.p99_ms, many.p99_ms) > 0


def test_what_sessions_cost_is_told_at_each_size(capsys: pytest.CaptureFixture[str]) -> None:
    sessions.main(["--sizes", "0", "1000", "--writes", "10"])
    _, none, many, wanted = capsys.readouterr().out.splitlines()
    assert (none.split()[0], none.split()[-1], many.split()[0]) == ("0", "1.00", "1,000")
    assert wanted == "Wanted: at most 1024 bytes each, and 1.5 × the p99 of the first line."


@on_services
def test_pages_are_measured_at_each_size(capsys: pytest.CaptureFixture[str]) -> None:
    pages.main(["--sizes", "100", "300", "--calls", "5", *(["--services"] if BACKENDS == "services" else [])])
    told = capsys.readouterr().out
    assert [told.count(f"{service}: ") for service in pages.SERVICES] == [10, 10]


def test_the_cpu_time_of_a_process_is_told_while_its_children_come_and_go() -> None:
    """As PostgreSQL's helpers do: one may end between two looks at it."""
    script = "i=0; while [ $i -lt 500 ]; do /bin/true; i=$((i+1)); done"
    with subprocess.Popen(["/bin/sh", "-c", script]) as process:
        spent = [cpu_seconds(process.pid)]
        while process.poll() is None:
            spent.append(cpu_seconds(process.pid))
    assert spent[-1] > 0
