"""Real servers for tests: PostgreSQL and Redis, started on unix sockets in a directory of their own.

    with postgresql() as url: ...     # postgresql://game@/game?host=<directory>
    with standby(url) as (other, promote): ...    # follows the one at `url` until it is promoted
    with redis() as url: ...          # unix://<directory>/redis.sock

Nothing listens on the network unless `settings` say so. When a program is missing the test is skipped; in
CI (`CI=true`) that is an error, so that nothing is skipped there unnoticed. `PG_BIN` names the directory of
PostgreSQL's programs when they are neither on the PATH nor where Debian puts them.
"""

import os
import random
import shutil
import socket
import subprocess
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, NoReturn

import pytest

POSTGRES_SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "60",
    "shared_buffers": "32MB",
}


@contextmanager
def postgresql(settings: Mapping[str, str] | None = None) -> Iterator[str]:
    """A fresh cluster with an empty database `game`, owned by the superuser `game`; removed at the end.

    `settings` go over the defaults of tests, which do not survive a power cut (`fsync=off`).
    """
    with _directory("pg-") as directory:
        run = _programs(directory)
        data = directory / "data"
        run("initdb", "-D", str(data), "-U", "game", "--auth=trust", "-E", "UTF8", "--locale=C", "--no-sync")
        options = {**POSTGRES_SETTINGS, "listen_addresses": "", **(settings or {})}
        with _started(run, directory, options):
            run("createdb", "-h", str(directory), "-p", options.get("port", "5432"), "-U", "game", "game")
            yield f"postgresql://game@/game?host={directory}"


@contextmanager
def standby(url: str) -> Iterator[tuple[str, Callable[[], None]]]:
    """A replica of a cluster of `postgresql()`, and what makes a primary of it."""
    with _directory("pg-") as directory:
        run = _programs(directory)
        data = directory / "data"
        run("pg_basebackup", "-d", url, "-D", str(data), "-R", "-c", "fast", "--no-sync")
        with _started(run, directory, {}):
            yield (
                f"postgresql://game@/game?host={directory}",
                lambda: run("pg_ctl", "-D", str(data), "-w", "promote"),
            )


def _programs(directory: Path) -> Callable[..., None]:
    """What runs PostgreSQL's programs in a directory."""
    binaries = postgres_binaries()
    user = _hand_to_postgres(directory)

    def run(program: str, *arguments: str) -> None:
        command = [str(binaries / program), *arguments]
        done = subprocess.run(  # noqa: PLW1510 - the output makes a better message than the exception
            command, cwd=directory, stdin=subprocess.DEVNULL, capture_output=True, text=True, **user
        )
        if done.returncode:
            log = directory / "log"
            raise RuntimeError(
                f"{program} failed: {done.stdout}{done.stderr}{log.read_text() if log.exists() else ''}"
            )

    return run


@contextmanager
def _started(run: Callable[..., None], directory: Path, options: Mapping[str, str]) -> Iterator[None]:
    data = directory / "data"
    with (data / "postgresql.auto.conf").open("a") as conf:
        conf.writelines(f"{name} = '{value}'\n" for name, value in options.items())
        conf.write(f"unix_socket_directories = '{directory}'\n")
    # A log file, not a pipe: the server would keep a pipe open and `run` would wait for its end.
    run("pg_ctl", "-D", str(data), "-w", "-l", str(directory / "log"), "start")
    try:
        yield
    finally:
        run("pg_ctl", "-D", str(data), "-w", "-m", "immediate", "stop")


@contextmanager
def redis(*options: str) -> Iterator[str]:
    """An empty Redis that keeps nothing on disk; `options` are further command line words."""
    program = shutil.which("redis-server")
    if program is None:
        missing("redis-server")
    with _directory("redis-") as directory:
        socket = directory / "redis.sock"
        words = [
            "--port",
            "0",
            "--unixsocket",
            str(socket),
            "--save",
            "",
            "--appendonly",
            "no",
            "--dir",
            str(directory),
        ]
        with subprocess.Popen(
            [program, *words, *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            try:
                _wait_for(process, "eady to accept connections")
                yield f"unix://{socket}"
            finally:
                process.terminate()


def free_port() -> int:
    """A port of this machine that nobody listens on, for a program that cannot be told to choose one.

    It is below those that the kernel hands out: one of these may be taken by any outgoing connection
    before the program listens on it.
    """
    while True:
        port = random.randrange(10_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def missing(program: str) -> NoReturn:
    """Skip the test that needs a program which is not installed; an error in CI."""
    if os.environ.get("CI") == "true":
        raise RuntimeError(f"{program} is not installed, and CI must not skip what needs it")
    pytest.skip(f"{program} is not installed")


def _wait_for(process: subprocess.Popen[str], line_with: str) -> None:
    assert process.stdout is not None
    seen = []
    for line in process.stdout:
        seen.append(line)
        if line_with in line:
            # Somebody has to go on reading, or the server stops when the pipe is full.
            threading.Thread(target=_read_on, args=(process.stdout,), daemon=True).start()
            return
    raise RuntimeError(f"{process.args!r} ended early: {''.join(seen)}")


def _read_on(output: IO[str]) -> None:
    with suppress(ValueError):  # closed at the end of the test
        deque(output, 0)


def postgres_binaries() -> Path:
    places = (
        [os.environ["PG_BIN"]] if "PG_BIN" in os.environ else os.environ.get("PATH", "").split(os.pathsep)
    )
    if "PG_BIN" not in os.environ:
        places += sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin")), reverse=True)
    for place in places:
        if all((Path(place) / program).exists() for program in ("initdb", "pg_ctl", "createdb")):
            return Path(place)
    missing("PostgreSQL")
    raise AssertionError


def _hand_to_postgres(directory: Path) -> dict[str, Any]:
    """PostgreSQL refuses to run as root: as root, run it as the system's user `postgres`."""
    if os.geteuid() != 0:
        return {}
    shutil.chown(directory, "postgres", "postgres")
    return {"user": "postgres", "group": "postgres", "extra_groups": []}


@contextmanager
def _directory(prefix: str) -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix=prefix))
    try:
        yield directory
    finally:
        with suppress(FileNotFoundError):
            shutil.rmtree(directory)
