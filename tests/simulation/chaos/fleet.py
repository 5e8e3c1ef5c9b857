"""What a chaos run breaks and repairs: server processes, Redis, PostgreSQL."""

import asyncio
import contextlib
import os
import random
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests import servers
from tests.processes import Process, serve

LINE_LENGTH = 700
SERVER = "tests.simulation.chaos.server"
APP_ID, SECRET = "10001", "a-secret-for-chaos-0123456789"
APP_TOML = f"""\
id = "{APP_ID}"
secret = "{SECRET}"
title = "Chaos"
[playerStatistics]
create_unknown = true
[globalGameStatistics]
create_unknown = true
[virtualCurrency]
clients_may_change = true
[virtualCurrency.currencies.coins]
[leaderboard.boards.steps]
type = "CUMULATIVE"
rotation = "NEVER"
"""


class Server:
    """One life of a server process. Once dead it stays dead: its successor is another `Server`."""

    def __init__(self, process: Process, close: Callable[[], None]) -> None:
        self.process = process
        self.url = process.url
        self.pid = process.popen.pid
        self.is_alive = True
        self.close = close

    def signal(self, number: int) -> None:
        self.process.popen.send_signal(number)


class Slot:
    """A place for a server, with a folder of its own; one server after the other lives there."""

    def __init__(self, folder: Path, options: list[str], environment: dict[str, str]) -> None:
        self.folder = folder
        self.server: Server | None = None
        self._options = options
        self._environment = environment
        (folder / "apps" / "chaos").mkdir(parents=True)
        (folder / "apps" / "chaos" / "app.toml").write_text(APP_TOML)

    async def start(self) -> None:
        stack = contextlib.ExitStack()
        running = serve(self.folder, *self._options, environment=self._environment, module=SERVER)
        process = await asyncio.to_thread(stack.enter_context, running)
        self.server = Server(process, stack.close)

    async def kill(self) -> None:
        """End the server as a crash does."""
        server, self.server = self.server, None
        assert server is not None
        await asyncio.to_thread(server.process.kill)
        server.is_alive = False  # only now: until it is gone it may finish what it does
        server.close()

    async def stop(self) -> int:
        server, self.server = self.server, None
        assert server is not None
        code = await asyncio.to_thread(server.process.stop)
        server.is_alive = False
        server.close()
        return code

    def complaints(self, *levels: str) -> list[str]:
        """What its servers have logged at these levels: by default as their own fault."""
        marks = [f'"level": "{level}"' for level in levels or ["error"]]
        lines = [
            line for log in sorted(self.folder.glob("server-*.log")) for line in log.read_text().splitlines()
        ]
        return [_shortened(line) for line in lines if any(mark in line for mark in (*marks, "Traceback"))]


def _shortened(line: str) -> str:
    """The beginning says what it was, the end which exception."""
    return line if len(line) <= 2 * LINE_LENGTH else f"{line[:LINE_LENGTH]} … {line[-LINE_LENGTH:]}"


class Redis:
    """A Redis that forgets everything when it is restarted."""

    def __init__(self, directory: Path) -> None:
        self.url = f"unix://{directory / 'redis.sock'}"
        program = shutil.which("redis-server") or servers.missing("redis-server")
        self._command = [str(program), "--port", "0", "--unixsocket", str(directory / "redis.sock")]
        self._command += ["--save", "", "--appendonly", "no", "--dir", str(directory)]
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        servers._wait_for(self._process, "eady to accept connections")

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)


class Postgres:
    """Restarts the PostgreSQL of a test."""

    def __init__(self, url: str) -> None:
        self._directory = Path(url.partition("host=")[2])

    def restart(self, mode: str) -> None:
        user: dict[str, Any] = {}
        if os.geteuid() == 0:
            user = {"user": "postgres", "group": "postgres", "extra_groups": []}
        command = [str(servers._postgres_binaries() / "pg_ctl"), "-D", str(self._directory / "data")]
        command += ["-w", "-l", str(self._directory / "log"), "-m", mode, "restart"]
        subprocess.run(
            command, cwd=self._directory, stdin=subprocess.DEVNULL, capture_output=True, check=True, **user
        )


class Fleet:
    """All of it together. `epoch` counts how often all sessions were lost."""

    def __init__(
        self, slots: list[Slot], redis: Redis | None, postgres: Postgres | None, database: str
    ) -> None:
        self.slots = slots
        self.redis = redis
        self.postgres = postgres
        self.database = database
        self.epoch = 0

    @property
    def servers(self) -> list[Server]:
        return [slot.server for slot in self.slots if slot.server is not None]

    def any(self, chance: random.Random) -> Server | None:
        running = self.servers
        return chance.choice(running) if running else None

    async def start(self) -> None:
        await asyncio.gather(*(slot.start() for slot in self.slots if slot.server is None))

    async def lose_sessions(self, pause_seconds: float) -> None:
        """Restart Redis."""
        assert self.redis is not None
        self.epoch += 1  # before and after: a session that is opened in between may be lost or not
        await asyncio.to_thread(self.redis.kill)
        await asyncio.sleep(pause_seconds)
        await asyncio.to_thread(self.redis.start)
        self.epoch += 1

    async def crash(self, slot: Slot, pause_seconds: float) -> None:
        """Kill a server and start its successor."""
        if self.redis is None:
            self.epoch += 1
        await slot.kill()
        await asyncio.sleep(pause_seconds)
        await slot.start()
        if self.redis is None:
            self.epoch += 1


@contextlib.contextmanager
def fleet(folder: Path, *, services: bool, count: int, environment: dict[str, str]) -> Iterator[Fleet]:
    """What is needed for a run; the servers are not started yet."""
    if not services:
        slot = Slot(folder / "server-0", [], environment)
        database = f"sqlite:///{folder / 'server-0' / 'data' / 'gameserver.db'}"
        yield Fleet([slot], None, None, database)
        return
    with servers.postgresql() as database, servers._directory("redis-") as directory:
        redis = Redis(directory)
        redis.start()
        options = ["--database", database, "--redis", redis.url]
        slots = [Slot(folder / f"server-{number}", options, environment) for number in range(count)]
        try:
            yield Fleet(slots, redis, Postgres(database), database)
        finally:
            redis.signal(signal.SIGCONT)
            redis.kill()
