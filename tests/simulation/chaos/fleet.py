"""What a chaos run breaks and repairs: server processes, Redis, PostgreSQL."""

import asyncio
import contextlib
import os
import random
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import redis

from tests import servers
from tests.processes import Process, serve
from tests.simulation.chaos.controls import Controls

LINE_LENGTH = 700
REPLY_SECONDS_MAX = 2.0
SWITCH_SECONDS_MAX = 30.0
MEND_SECONDS = 2.0  # after a mishap, for servers to connect again to what was away
SERVICE = "chaos"  # what the Sentinel calls the master
FORGETFUL = (
    "--save",
    "",
    "--appendonly",
    "no",
    "--rdb-del-sync-files",
    "yes",
    "--repl-diskless-sync-delay",
    "0",
)
DURABLE = {
    "fsync": "on",
    "full_page_writes": "on",
}  # a crash of the database must find everything on the disk
SERVER = "tests.simulation.chaos.server"
APP_ID, SECRET = "10001", "a-secret-for-chaos-0123456789"
APP_TOML = f"""\
id = "{APP_ID}"
secret = "{SECRET}"
title = "Chaos"
[login]
anonymous_id_alone = true
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
[leaderboard.boards.plays]
type = "ARCADE_HIGH"
rotation = "NEVER"
[scripts.files.walk]
client_callable = true
seconds = 60.0
[group.types.town]
members = 5000
pending = 10_000
[chat]
history = 500
[quotas]
chat_messages_per_minute = 1_000_000
messages = 1_000_000
message_bytes = 1_000_000_000
messages_per_minute = 1_000_000
group_changes_per_minute = 1_000_000
friends = 10_000
groups = 10_000
group_requests = 10_000
logins_per_address = 1_000_000_000
new_players_per_address = 1_000_000_000
"""

WALKED = 5
"""How many steps the script takes, each committed by itself."""
SCRIPT = f"""\
var statistics = bridge.getPlayerStatisticsServiceProxy(), counts = [];
for (var i = 0; i < {WALKED}; i++) {{
    counts.push(statistics.incrementUserStats({{walked: 1}}).data.statistics.walked);
}}
({{counts: counts, chance: Math.random(), now: Date.now(), guid: bridge.utils().generateGuid()}});
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

    def children(self) -> list[int]:
        """The processes that it has started: those that run scripts."""
        found = Path(f"/proc/{self.pid}/task").glob("*/children")
        return [int(pid) for children in found for pid in children.read_text().split()]


class Slot:
    """A place for a server, with a folder of its own; one server after the other lives there."""

    def __init__(self, folder: Path, options: list[str], environment: dict[str, str]) -> None:
        self.folder = folder
        self.server: Server | None = None
        self.start_seconds = 0.0  # what the last start took
        (folder / "apps" / "chaos" / "scripts").mkdir(parents=True)
        (folder / "apps" / "chaos" / "app.toml").write_text(APP_TOML)
        (folder / "apps" / "chaos" / "scripts" / "walk.js").write_text(SCRIPT)
        self.controls = Controls(folder / "controls")
        self._options = options
        self._environment = environment | {"CHAOS_CONTROLS": str(folder / "controls")}

    async def start(self) -> None:
        stack = contextlib.ExitStack()
        running = serve(self.folder, *self._options, environment=self._environment, module=SERVER)
        began = time.monotonic()
        process = await asyncio.to_thread(stack.enter_context, running)
        self.start_seconds = time.monotonic() - began
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


class Program:
    """A Redis, or a Sentinel, on a port of its own."""

    def __init__(self, directory: Path, name: str, *words: str) -> None:
        program = shutil.which("redis-server") or servers.missing("redis-server")
        self.port = servers.free_port()
        self._home = directory / name
        self._home.mkdir()
        self._command = [str(program), *words]
        self._popen: subprocess.Popen[str] | None = None

    def start(self, *words: str) -> None:
        command = [*self._command, "--port", str(self.port), "--bind", "127.0.0.1", *words]
        self._popen = subprocess.Popen(
            [*command, "--dir", str(self._home)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        servers._wait_for(self._popen, "eady to accept connections" if words else "+monitor")

    def kill(self) -> None:
        """End it at once, also when it is stopped; does nothing when it has not been started."""
        if self._popen is None:
            return
        self._popen.kill()
        self._popen.wait()
        assert self._popen.stdout is not None
        self._popen.stdout.close()

    def signal(self, number: int) -> None:
        assert self._popen is not None
        self._popen.send_signal(number)

    def ask(self, *words: str) -> Any:
        """Run one command."""
        with redis.Redis(port=self.port, socket_timeout=REPLY_SECONDS_MAX, decode_responses=True) as client:
            return client.execute_command(*words)


class Redis:
    """A Redis that forgets everything when it is restarted, its replica, and the Sentinel that names the master.

    The Sentinel finds nobody dead by itself: who fails over, and when, is the run's to say.
    """

    def __init__(self, directory: Path) -> None:
        self.master, self._replica = (Program(directory, name) for name in ("one", "two"))
        conf = directory / "sentinel.conf"
        conf.write_text(
            f"sentinel monitor {SERVICE} 127.0.0.1 {self.master.port} 1\n"
            f"sentinel down-after-milliseconds {SERVICE} 3600000\n"
        )
        self._sentinel = Program(directory, "sentinel", str(conf), "--sentinel")
        self.url = f"redis+sentinel://127.0.0.1:{self._sentinel.port}/{SERVICE}"

    def start(self) -> None:
        self.start_data()
        self._sentinel.start()
        _until(lambda: self._sentinel.ask("SENTINEL", "REPLICAS", SERVICE), "the Sentinel sees the replica")

    def start_data(self) -> None:
        """Start both, empty."""
        self.master.start(*FORGETFUL)
        self._replica.start(*FORGETFUL, *self._follow())

    def kill_data(self) -> None:
        """Kill both: what they knew is gone."""
        self._replica.kill()
        self.master.kill()

    def kill(self) -> None:
        """End everything."""
        self.kill_data()
        self._sentinel.kill()

    def has_replica(self) -> bool:
        """Tell whether the replica follows: only then does a failover lose nothing."""
        return "master_link_status:up" in self._replication(self._replica)

    def fail_over(self, *, crash: bool) -> None:
        """Promote the replica: after the master's death, or once it has all of a master that writes no more."""
        if crash:
            self.master.kill()
            _until(lambda: not self.has_replica(), "the replica sees that the master is gone")
        else:
            self.master.ask("CLIENT", "PAUSE", str(round(SWITCH_SECONDS_MAX * 1000)), "WRITE")
            written = self._offset(self.master, "master_repl_offset")
            _until(
                lambda: self._offset(self._replica, "slave_repl_offset") >= written, "the replica has it all"
            )
        self._sentinel.ask("SENTINEL", "FAILOVER", SERVICE)
        _until(lambda: "role:master" in self._replication(self._replica), "the replica is promoted")
        self.master, self._replica = self._replica, self.master
        if crash:
            self._replica.start(*FORGETFUL, *self._follow())
        _until(self._is_settled, "the Sentinel names the new master")
        if not crash:  # the Sentinel would do so too, later
            self._replica.ask("REPLICAOF", "127.0.0.1", str(self.master.port))
        _until(self.has_replica, "the old master follows")
        self._replica.ask("CLIENT", "UNPAUSE")

    def _is_settled(self) -> bool:
        names = self._sentinel.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)
        return int(names[1]) == self.master.port

    def _follow(self) -> tuple[str, ...]:
        return ("--replicaof", "127.0.0.1", str(self.master.port))

    @staticmethod
    def _replication(program: Program) -> str:
        with redis.Redis(port=program.port, socket_timeout=REPLY_SECONDS_MAX) as client:
            return "\n".join(f"{name}:{value}" for name, value in client.info("replication").items())

    def _offset(self, program: Program, name: str) -> int:
        found = re.search(rf"^{name}:(\d+)$", self._replication(program), re.MULTILINE)
        assert found is not None
        return int(found[1])


def _until(holds: Callable[[], object], what: str) -> None:
    """Wait for something that another process does."""
    until = time.monotonic() + SWITCH_SECONDS_MAX
    while True:
        with contextlib.suppress(redis.RedisError):
            if holds():
                return
        if time.monotonic() > until:
            raise TimeoutError(f"not within {SWITCH_SECONDS_MAX:.0f} s: {what}")
        time.sleep(0.02)


class Postgres:
    """Restarts the PostgreSQL of a test, and slows it down."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._directory = Path(url.partition("host=")[2])

    def restart(self, mode: str) -> None:
        user: dict[str, Any] = {}
        if os.geteuid() == 0:
            user = {"user": "postgres", "group": "postgres", "extra_groups": []}
        command = [str(servers.postgres_binaries() / "pg_ctl"), "-D", str(self._directory / "data")]
        command += ["-w", "-l", str(self._directory / "log"), "-m", mode, "restart"]
        subprocess.run(
            command, cwd=self._directory, stdin=subprocess.DEVNULL, capture_output=True, check=True, **user
        )

    async def delay_commits(self, seconds: float) -> None:
        """Let each flush of the log take longer; 0 is as fast as the disk."""
        connection = await asyncpg.connect(self._url)
        try:
            await connection.execute(f"ALTER SYSTEM SET commit_delay = {round(seconds * 1e6)}")
            await connection.execute("ALTER SYSTEM SET commit_siblings = 0")
            await connection.execute("SELECT pg_reload_conf()")
        finally:
            await connection.close()


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
        self._calm_since: float | None = 0.0  # None while something holds servers up
        self.someone_runs = asyncio.Condition()

    @property
    def servers(self) -> list[Server]:
        return [slot.server for slot in self.slots if slot.server is not None]

    def any(self, chance: random.Random) -> Server | None:
        running = self.servers
        return chance.choice(running) if running else None

    @contextlib.contextmanager
    def held_up(self) -> Iterator[None]:
        """While a server or Redis sleeps, or Redis is away, and a little longer, nobody is held to seconds."""
        self._calm_since = None
        try:
            yield
        finally:
            self._calm_since = time.monotonic() + MEND_SECONDS

    def is_calm(self, now: float) -> bool:
        """Tell whether everybody is held to seconds."""
        return self._calm_since is not None and now >= self._calm_since

    async def start(self) -> None:
        await asyncio.gather(*(slot.start() for slot in self.slots if slot.server is None))

    async def lose_sessions(self, pause_seconds: float) -> None:
        """Restart Redis, replica and all."""
        assert self.redis is not None
        self.epoch += 1  # before and after: a session that is opened in between may be lost or not
        await asyncio.to_thread(self.redis.kill_data)
        await asyncio.sleep(pause_seconds)
        await asyncio.to_thread(self.redis.start_data)
        self.epoch += 1

    async def fail_over(self, *, crash: bool) -> bool:
        """Promote the replica of Redis. No session may be lost. False when there is none to promote just now."""
        assert self.redis is not None
        if not await asyncio.to_thread(self.redis.has_replica):
            return False
        await asyncio.to_thread(self.redis.fail_over, crash=crash)
        return True

    async def crash(self, slot: Slot, pause_seconds: float) -> None:
        """Kill a server and start its successor."""
        if self.redis is None:
            self.epoch += 1
        await slot.kill()
        await asyncio.sleep(pause_seconds)
        await slot.start()
        if self.redis is None:
            self.epoch += 1
        async with self.someone_runs:
            self.someone_runs.notify_all()

    async def wait_for_server(self, seconds: float) -> None:
        """Wait while no server runs, as a balancer holds a request back. Returns early when one does."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds), self.someone_runs:
                await self.someone_runs.wait_for(lambda: self.servers)


@contextlib.contextmanager
def fleet(folder: Path, *, services: bool, count: int, environment: dict[str, str]) -> Iterator[Fleet]:
    """What is needed for a run; the servers are not started yet."""
    if not services:
        slot = Slot(folder / "server-0", [], environment)
        database = f"sqlite:///{folder / 'server-0' / 'data' / 'gameserver.db'}"
        yield Fleet([slot], None, None, database)
        return
    with servers.postgresql(DURABLE) as database, servers._directory("redis-") as directory:
        store = Redis(directory)
        options = ["--database", database, "--redis", store.url]
        slots = [Slot(folder / f"server-{number}", options, environment) for number in range(count)]
        try:
            store.start()
            yield Fleet(slots, store, Postgres(database), database)
        finally:
            store.kill()
