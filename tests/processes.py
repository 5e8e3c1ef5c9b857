"""The server as an operator runs it: a process of its own, started with the real command (see `warm`)."""

import contextlib
import functools
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests import warm

READY_SECONDS = 30
START_SECONDS_MAX = 90  # a machine that does much else at the same time is slow

request = functools.partial(httpx.request, timeout=30, verify=False)
"""A request of its own connection. Without TLS: to load the authorities takes far longer than the request."""


@dataclass
class Process:
    """A running server."""

    popen: warm.Process
    url: str

    def kill(self) -> None:
        """End it without a chance to tidy up, as a crash does."""
        self.popen.send_signal(signal.SIGKILL)
        self.popen.wait()

    def stop(self) -> int:
        """Ask it to finish; returns its exit code."""
        if self.popen.poll() is None:
            self.popen.send_signal(signal.SIGTERM)
        return self.popen.wait(READY_SECONDS)


@contextlib.contextmanager
def serve(
    folder: Path,
    *options: str,
    environment: dict[str, str] | None = None,
    module: str = "gameserver",
    anew: bool = False,
) -> Iterator[Process]:
    """Run `gameserver serve` on a free port, with apps and data in `folder`; stopped at the end."""
    log = (folder / f"server-{len(list(folder.glob('server-*.log')))}.log").open("w+")
    popen = warm.start(
        module,
        "serve",
        "--port",
        "0",
        "--apps",
        str(folder / "apps"),
        "--data",
        str(folder / "data"),
        *options,
        env={**os.environ, **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=log,
        anew=anew,
    )
    process = Process(popen, _ready_url(popen, log.name))
    try:
        yield process
    finally:
        process.stop()
        log.close()
        assert popen.stdout is not None
        popen.stdout.close()


def _ready_url(popen: warm.Process, log: str) -> str:
    assert popen.stdout is not None
    timer = threading.Timer(START_SECONDS_MAX, popen.kill)
    timer.start()
    try:
        for line in popen.stdout:
            if line.startswith("ready "):
                return line.split()[1]
    finally:
        timer.cancel()
    code = popen.wait()
    popen.stdout.close()
    raise AssertionError(f"the server did not start, it ended with {code}: {Path(log).read_text()}")
