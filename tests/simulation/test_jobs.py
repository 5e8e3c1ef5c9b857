"""Three processes and one job: one of them runs it, and when that one is killed another one does."""

import os
import signal
import time
from pathlib import Path

import pytest

from tests import warm

KILLED = 2  # of three processes
SECONDS_MAX = 60


def test_one_of_three_processes_runs_a_job_whoever_is_killed(
    services: dict[str, str], migrated: object, tmp_path: Path
) -> None:
    if not services:
        pytest.skip("one process is all there is without services")
    log = tmp_path / "log"
    log.touch()
    command = ("tests.simulation.job_worker", services["database"], str(log))
    processes = {(one := warm.start(*command)).pid: one for _ in range(3)}
    try:
        lines = run_on(log, 10)
        for _ in range(KILLED):
            while lines[-1].startswith("end"):  # in the middle of a run
                lines = run_on(log, len(lines) + 1)
            pid = int(lines[-1].split()[1])
            os.kill(pid, signal.SIGKILL)
            processes.pop(pid).wait()
            lines = run_on(log, len(log.read_text().splitlines()) + 10)
    finally:
        for process in processes.values():
            process.kill()
            process.wait()
    running, cut_off = None, 0
    for line in lines:
        event, worker = line.split()
        if event == "begin":
            if running is not None:
                assert running not in map(str, processes), "two processes run the job at the same time"
                cut_off += 1
            running = worker
        else:
            assert worker == running
            running = None
    assert cut_off <= KILLED
    assert lines[-1].split()[1] in map(str, processes), "who is left runs it"


def run_on(log: Path, lines: int) -> list[str]:
    """Wait until so many lines are there; returns them."""
    end = time.monotonic() + SECONDS_MAX
    while len(found := log.read_text().splitlines()) < lines:
        assert time.monotonic() < end, found
        time.sleep(0.01)  # another process writes them
    return found
