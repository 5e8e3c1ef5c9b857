"""The benchmark in a form short enough for every test run: nothing is timed, and every packet must be answered."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests import servers
from tests.benchmarks import growth, pages, sessions
from tests.benchmarks.measure import cpu_seconds
from tests.benchmarks.packets import cases
from tests.benchmarks.run import BEGIN, END, FLOOR, SQL_FLOOR, Scale, measure, measure_growth, report
from tests.conftest import BACKENDS

pytestmark = pytest.mark.usefixtures("services")  # not the run's own, but of the same kind
SCALE = Scale(
    players=100,
    sessions=1000,
    seconds=0.2,
    warm_up_seconds=0,
    once_seconds=0.1,
    growth_seconds=0.1,
    sizes=(1000, 3000),
)


def test_every_packet_is_answered_and_told_of(tmp_path: Path) -> None:
    if shutil.which("wrk") is None:
        servers.missing("wrk")
    setup = "services" if BACKENDS == "services" else "embedded"
    measured = measure(setup, SCALE, [""])
    measured.growth, failed = measure_growth(setup, SCALE)
    floors = [FLOOR, SQL_FLOOR] if setup == "services" else [FLOOR]
    assert [each.name for each in measured.packets] == [*floors, *(case.name for case in cases())]
    assert {each.name: each.errors for each in measured.packets if each.errors} == {}
    assert failed == 0
    assert measured.complaints == []
    assert all(each.rate for each in measured.packets)
    assert measured.memory.session_bytes > 0 or setup == "services"
    assert measured.memory.session_redis_bytes > 0 or setup == "embedded"
    assert set(measured.growth) == {FLOOR, *growth.NAMES}
    assert all(len(curve) == len(SCALE.sizes) for curve in measured.growth.values())

    page = tmp_path / "README.md"
    page.write_text(f"before\n{BEGIN}old\n{END}after\n")
    report({setup: measured}, SCALE, tmp_path, page)
    assert page.read_text().startswith(f"before\n{BEGIN}")
    assert page.read_text().endswith(f"{END}after\n")
    assert "| match ends |" in page.read_text()
    assert "old" not in page.read_text()
    told = json.loads((tmp_path / "results.json").read_text())
    assert told["setups"][setup]["packets"][0]["name"] == FLOOR
    assert (tmp_path / "growth.svg").read_text().count("<polyline") == len(measured.growth)


def test_sessions_are_weighed_and_cost_the_collector_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    sessions.main(["--sizes", "0", "20000"])
    none, many = (line.split() for line in capsys.readouterr().out.splitlines()[1:])
    assert float(many[1]) < 1024  # bytes each
    assert float(many[4]) < float(none[4]) + 2  # ms of CPU of a full collection; 20,000 objects take longer


def test_pages_are_measured_at_each_size(capsys: pytest.CaptureFixture[str]) -> None:
    pages.main(["--sizes", "100", "300", *(["--services"] if BACKENDS == "services" else [])])
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
