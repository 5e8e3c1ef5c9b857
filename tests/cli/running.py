"""The program itself, as an operator starts it: a process of its own in a folder of its own."""

import contextlib
import json
import logging
import os
import re
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import structlog
from typer.testing import CliRunner

from gameserver.cli.commands import app
from tests import warm

ROOT = Path(__file__).parents[2]
READY_SECONDS_MAX = 60


@dataclass(frozen=True)
class Done:
    """What a command said."""

    returncode: int
    stdout: str
    stderr: str


def command(folder: Path, *words: str, typed: str = "") -> Done:
    """Run a command in this process, as if in a terminal that stands in `folder`; `typed` answers it."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        with contextlib.chdir(folder):
            result = CliRunner(env={"COLUMNS": "120", "NO_COLOR": "1"}).invoke(
                app, list(words), input=typed, prog_name="gameserver"
            )
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        structlog.reset_defaults()
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Done(result.exit_code, result.stdout, result.stderr)


def program(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command as a process of its own, to its end."""
    return warm.run("gameserver", *words, cwd=folder, env=environment(folder))


def environment(folder: Path) -> dict[str, str]:
    """Ours without settings of the server; what a killed server leaves behind stays in the tests' folder."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("GAMESERVER_", "PROMETHEUS_"))
    }
    return kept | {"PYTHONPATH": str(ROOT), "NO_COLOR": "1", "COLUMNS": "120", "TMPDIR": str(folder.parent)}


class Running:
    """A server that said it is ready."""

    def __init__(self, process: warm.Process, folder: Path, url: str, log: Path) -> None:
        self.process = process
        self.folder = folder
        self.url = url
        self._log = log

    @property
    def errors(self) -> str:
        return self._log.read_text()

    @property
    def admin_url(self) -> str:
        """Where operators ask."""
        found = re.search(r'^{"url": "(\S+)", "event": "admin_listening"', self.errors, re.MULTILINE)
        assert found is not None, self.errors
        return found[1]

    def post(self, body: dict[str, Any], path: str = "/dispatcher") -> httpx.Response:
        return httpx.post(self.url + path, json=body, verify=False, timeout=30)

    def log_in(self, external_id: str = "somebody", **data: Any) -> Any:
        """Log an anonymous player in; returns the entry of the answer."""
        login = {
            "authenticationType": "Anonymous",
            "externalId": external_id,
            "authenticationToken": "",
            "forceCreate": True,
            **data,
        }
        return self.call("", 0, "authenticationV2", "AUTHENTICATE", login)

    def call(self, session: str, packet_id: int, service: str, operation: str, data: Any = None) -> Any:
        message = {"service": service, "operation": operation, "data": data or {}}
        packet = {"packetId": packet_id, "sessionId": session, "gameId": "10001", "messages": [message]}
        return self.post(packet).json()["responses"][0]

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(60)


@contextmanager
def running(folder: Path, *options: str, anew: bool = False) -> Iterator[Running]:
    """Serve from a folder on a free port until the block ends; `anew` it is not forked."""
    folder.mkdir(parents=True, exist_ok=True)
    # A file, not a pipe: what was written before "ready" is in it by then.
    with (
        tempfile.NamedTemporaryFile("w", suffix=".log") as log,
        warm.start(
            "gameserver",
            "serve",
            "--port",
            "0",
            *options,
            cwd=folder,
            env=environment(folder),
            stdout=subprocess.PIPE,
            stderr=log,
            anew=anew,
        ) as process,
    ):
        assert process.stdout is not None
        late = threading.Timer(READY_SECONDS_MAX, process.kill)
        late.start()
        try:
            line = process.stdout.readline()
            late.cancel()
            found = re.fullmatch(r"ready (https?://\S+)\n", line)
            if found is None:
                raise AssertionError(f"not ready: {line!r} {Path(log.name).read_text()}")
            yield Running(process, folder, found[1], Path(log.name))
        finally:
            late.cancel()
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()


def json_of(done: Done) -> Any:
    """Return what a command printed for programs."""
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
