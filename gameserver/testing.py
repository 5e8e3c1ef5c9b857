"""The emulator for tests of games: a server of its own on a free port, put back before each test.

    with emulator(apps="apps") as server:
        client = Client(server.url, server.app_id)
        ...
        server.reset()

`gameserver.pytest_plugin` makes a fixture of it; docs/emulator.md tells more.
"""

import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

START_SECONDS_MAX = 60
STOP_SECONDS_MAX = 30
ANSWER_SECONDS_MAX = 120  # a large seed, or many jobs that a step of the clock makes due


class CannotStart(RuntimeError):
    """The server has not started; the text is what it has said."""


class EmulatorRefused(RuntimeError):
    """The emulator has not done what was asked, and nothing has changed; the text says why."""


class Emulator:
    """A server that is running, and may be put back.

    `app_id` and `secret` are those of the app: of the sample one, or of the first folder of the apps given.
    `secret` is empty when `app.toml` does not tell it.
    """

    def __init__(self, url: str, app_id: str, secret: str) -> None:
        self.url = url
        self.app_id = app_id
        self.secret = secret

    def reset(self) -> None:
        """Put everything back to how the server began, or to the last seed; no session is left."""
        self._post("reset")

    def seed(self, lines: str | bytes | Iterable[Mapping[str, Any]]) -> dict[str, int]:
        """Begin anew with the data of an export, to which `reset` leads back from now on.

        `lines` are the text of such a file, or its lines. Returns how many there were of each type. Raises
        `EmulatorRefused` when not all can be taken.
        """
        if isinstance(lines, bytes):
            content = lines
        elif isinstance(lines, str):
            content = lines.encode()
        else:
            content = "\n".join(json.dumps(line) for line in lines).encode()
        taken: dict[str, int] = self._send("seed", content)["taken"]
        return taken

    def snapshot(self, name: str) -> None:
        """Keep all there is now, but sessions, under a name. An older one of that name is replaced."""
        self._post("snapshot", {"name": name})

    def restore(self, name: str) -> None:
        """Put everything back to a snapshot; no session is left. Raises `EmulatorRefused`: no such one."""
        self._post("restore", {"name": name})

    def forget(self, name: str) -> None:
        """Delete a snapshot. Raises `EmulatorRefused`: no such one."""
        self._post("forget", {"name": name})

    def advance(self, seconds: float) -> int:
        """Move the clock forward, and have done what is due by then; returns it, in ms since 1970."""
        now: int = self._post("clock", {"advanceSeconds": seconds})["now"]
        return now

    @property
    def now_ms(self) -> int:
        """The server's clock, which stands still: ms since 1970."""
        now: int = httpx.get(f"{self.url}/emulator", timeout=ANSWER_SECONDS_MAX).json()["now"]
        return now

    def _post(self, what: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        return self._send(what, json.dumps(body or {}).encode())

    def _send(self, what: str, content: bytes) -> dict[str, Any]:
        answer = httpx.post(f"{self.url}/emulator/{what}", content=content, timeout=ANSWER_SECONDS_MAX)
        told: dict[str, Any] = answer.json()
        if answer.is_error:
            raise EmulatorRefused(told["status_message"])
        return told


@contextlib.contextmanager
def emulator(apps: str | os.PathLike[str] | None = None, options: Sequence[str] = ()) -> Iterator[Emulator]:
    """Run a server on a free port until the end of the block; without `apps` it has the sample app.

    `options` are further words for `gameserver serve --ephemeral`. Raises `CannotStart`.
    """
    command = [sys.executable, "-m", "gameserver", "serve", "--ephemeral", "--until-eof", "--port", "0"]
    with tempfile.TemporaryDirectory(prefix="gameserver-emulator-") as folder:
        where = Path(apps) if apps is not None else Path(folder) / "apps"
        log = Path(folder) / "log"
        with (
            log.open("wb") as errors,
            subprocess.Popen(  # noqa: S603 - this interpreter
                [*command, "--apps", str(where), *options],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            ) as process,
        ):
            late = threading.Timer(START_SECONDS_MAX, process.kill)
            late.start()
            try:
                assert process.stdout is not None, "asked for above"
                line = process.stdout.readline()
                late.cancel()
                ready = re.fullmatch(r"ready (\S+)\n", line)
                if ready is None:
                    raise CannotStart(log.read_text("utf-8", "replace").strip() or "it has said nothing")
                app_id, secret = _app_in(where) or _app_told(log.read_text("utf-8"))
                yield Emulator(ready[1], app_id, secret)
            finally:
                late.cancel()
                process.terminate()
                try:
                    process.wait(STOP_SECONDS_MAX)
                except subprocess.TimeoutExpired:
                    process.kill()


def _app_in(apps: Path) -> tuple[str, str] | None:
    for file in sorted(apps.glob("*/app.toml")):
        told = tomllib.loads(file.read_text("utf-8"))
        return str(told["id"]), told.get("secret") or os.environ.get(told.get("secret_env", ""), "")
    return None


def _app_told(introduction: str) -> tuple[str, str]:
    """Return what a server says of the sample app that it has written."""
    found = re.search(r"^ +app id +(\S+)\n +secret +(\S+)$", introduction, re.MULTILINE)
    assert found is not None, "a server without apps says so"
    return found[1], found[2]
