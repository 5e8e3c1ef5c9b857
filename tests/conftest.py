"""The `game` fixture: the real server in process, spoken to as a client would.

`GAMESERVER_TEST_BACKENDS` picks what lies below it: `embedded` (the default: SQLite and sessions in memory)
or `services` (PostgreSQL and Redis, started for the test run). On `services` run only the tests that ask for
the fixture of that name, be it through `game` or others: the rest does not depend on the choice.
"""

import asyncio
import functools
import gc
import hashlib
import importlib.util
import itertools
import os
import shutil
import sys
import tempfile
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import starlette.routing
from prometheus_client import REGISTRY
from sqlalchemy import Delete, Update, update

from gameserver.app import GameServer, open_server
from gameserver.jobs.storage import jobs
from gameserver.players.lockout import Attempt
from gameserver.players.passwords import Passwords
from gameserver.players.states import States
from gameserver.protocol_export import general_errors
from gameserver.rpc import Caller, Origin, metrics
from gameserver.rpc import registry as rpc_registry
from gameserver.rpc.runner import Outcome, _Run
from gameserver.rpc.service import Operation
from gameserver.settings import Settings
from gameserver.storage import Statement, open_database, postgresql, sqlite
from gameserver.storage.plans import Plan, Plans
from gameserver.storage.schema import migrate
from gameserver.storage.tables import Upsert
from gameserver.wire.clock import FixedClock
from gameserver.wire.packet import Message, Packet
from tests import servers
from tests.protocol import examples

if importlib.util.find_spec("sniffio") is None:
    # httpx imports it at every request, for which Python searches all folders anew: None tells it not to.
    sys.modules["sniffio"] = None  # type: ignore[assignment]  # the documented way to say so

# Each server has its own routes, to the same paths.
starlette.routing.compile_path = functools.cache(starlette.routing.compile_path)

BACKENDS = os.environ.get("GAMESERVER_TEST_BACKENDS", "embedded")
APP_ID, SECRET = "10001", "a-secret-for-tests-0123456789"
APP_TOML = f'id = "{APP_ID}"\nsecret = "{SECRET}"\ntitle = "Test"\n'
GENERAL_ERRORS = general_errors()
RUNNING: ContextVar[Operation | None] = ContextVar("running", default=None)
CHANGED: dict[str, set[str]] = defaultdict(set)  # by operation: tables in which it has changed rows
OUTCOMES: dict[str, set[str]] = defaultdict(set)  # by operation: what its messages have ended in


class NotingPlans(Plans):
    """Notes which tables operations change."""

    def __getitem__(self, statement: Statement) -> Plan:
        operation = RUNNING.get()
        if operation is not None:
            plain = statement.sqlite if isinstance(statement, Upsert) else statement
            if isinstance(plain, Update | Delete) or plain is not statement:
                CHANGED[operation.wire_name].add(plain.table.name)  # type: ignore[attr-defined]  # it has one
        return super().__getitem__(statement)


def outcomes() -> dict[str, set[str]]:
    """What the messages of this run ended in, by operation: the server counts them anyway."""
    metrics.settle()  # what was counted is passed on once a second
    for family in REGISTRY.collect():
        for sample in family.samples:
            if sample.name == "gameserver_messages_total" and sample.value > 0:
                OUTCOMES[sample.labels["operation"]].add(sample.labels["outcome"])
    return OUTCOMES


MEMORY, MEMORY_BYTES_MIN = Path("/dev/shm"), 2 << 30
"""Where thousands of short-lived databases wait for no disk, if there is room."""
PLANS = functools.cache(NotingPlans)  # by dialect: a run compiles a statement once, not for every test
STATES = functools.cache(States)  # by their parts: so do their statements
_run_message = _Run._run_message


async def run_noted(self: _Run, operation: Operation | None, message: Message, outcome: Outcome) -> bytes:
    """Let it be known which operation runs."""
    token = RUNNING.set(operation)
    try:
        return await _run_message(self, operation, message, outcome)
    finally:
        RUNNING.reset(token)


EXAMPLES: examples.Examples | None = None
DISPATCHER = httpx.URL("http://game.test/dispatcherv2")


class Refusal(Exception):
    """A message that was refused, as the client sees it."""

    def __init__(self, raw: dict[str, Any]) -> None:
        super().__init__(raw)
        self.raw = raw
        self.status: int = raw["status"]
        self.reason_code: int = raw["reason_code"]
        self.message: str = raw["status_message"]


class Client:
    """Speaks packets. Starts without a session."""

    def __init__(self, game: "Game", app_id: str = APP_ID, secret: str = SECRET) -> None:
        self.game = game
        self.app_id, self.secret = app_id, secret
        self.session_id = ""
        self.profile_id = ""
        self.packet_ids = itertools.count()
        self.last_body = b""

    def body(self, *messages: tuple[str, str, Any], packet_id: int | None = None) -> bytes:
        """The bytes of the next packet."""
        return msgspec.json.encode(
            {
                "packetId": next(self.packet_ids) if packet_id is None else packet_id,
                "sessionId": self.session_id,
                "gameId": self.app_id,
                "messages": [{"service": s, "operation": o, "data": d} for s, o, d in messages],
            }
        )

    async def send(self, body: bytes, **headers: str) -> httpx.Response:
        """Send bytes, signed."""
        self.last_body = body
        signature = hashlib.md5(body + self.secret.encode()).hexdigest()
        return await self.game.packet(
            body, **{"X-SIG": signature, "Content-Type": "application/json", **headers}
        )

    async def packet(
        self, *messages: tuple[str, str, Any], packet_id: int | None = None
    ) -> list[dict[str, Any]]:
        """Send messages as one packet; returns the entries of the answer."""
        response = await self.send(self.body(*messages, packet_id=packet_id))
        assert response.status_code == 200, response.text
        entries: list[dict[str, Any]] = response.json()["responses"]
        assert len(entries) == len(messages)
        for (service, operation, _), entry in zip(messages, entries, strict=True):
            self.game.check_declared(service, operation, entry)
        if EXAMPLES is not None:
            for (service, operation, data), entry in zip(messages, entries, strict=True):
                if entry["status"] == 200:
                    EXAMPLES.note(service, operation, data, entry["data"])
        return entries

    async def call(self, service: str, operation: str, **data: Any) -> Any:
        """Call one operation; returns its data. Raises `Refusal`."""
        [entry] = await self.packet((service, operation, data))
        if entry["status"] != 200:
            raise Refusal(entry)
        return entry["data"]

    async def refused(self, service: str, operation: str, **data: Any) -> Refusal:
        """Call one operation that must be refused."""
        try:
            answer = await self.call(service, operation, **data)
        except Refusal as refusal:
            return refusal
        raise AssertionError(f"{service}.{operation} was not refused: {answer}")

    async def log_in(
        self, type_: str = "Anonymous", external_id: str = "", token: str = "", **data: Any
    ) -> Any:
        """Authenticate, making the player unless told otherwise; later packets carry the session."""
        answer = await self.call(
            "authenticationV2",
            "AUTHENTICATE",
            **{
                "authenticationType": type_,
                "externalId": external_id or self.game.unique("id"),
                "authenticationToken": token,
                "forceCreate": True,
                "gameId": self.app_id,
                **data,
            },
        )
        self.session_id, self.profile_id = answer["sessionId"], answer["profileId"]
        return answer


class Server:
    """Calls operations as a server of the studio would."""

    def __init__(self, game: "Game") -> None:
        self.game = game

    async def call(self, service: str, operation: str, profile_id: str | None = None, **data: Any) -> Any:
        """Run one operation with a server's authority, on behalf of a player if one is named."""
        message = Message(service, operation, msgspec.Raw(msgspec.json.encode(data)))
        answer = await self.game.server_app.runner.call(
            message,
            self.game.app,
            Origin("test", "127.0.0.1"),
            caller=Caller.SERVER,
            profile_id=profile_id,
        )
        entry = msgspec.json.decode(answer)
        self.game.check_declared(service, operation, entry)
        if entry["status"] != 200:
            raise Refusal(entry)
        if EXAMPLES is not None:
            EXAMPLES.note(service, operation, data, entry["data"])
        return entry["data"]

    async def refused(
        self, service: str, operation: str, profile_id: str | None = None, **data: Any
    ) -> Refusal:
        """Call one operation that must be refused."""
        try:
            answer = await self.call(service, operation, profile_id, **data)
        except Refusal as refusal:
            return refusal
        raise AssertionError(f"{service}.{operation} was not refused: {answer}")


class Game:
    """A server in process, its clock, and clients for it."""

    def __init__(self, server: GameServer, clock: FixedClock, app_id: str = APP_ID) -> None:
        self.server_app = server
        self.app_id = app_id
        self.clock = clock
        self.core = server.core
        self.apps = server.apps
        self._transport = httpx.ASGITransport(server)
        self.http = httpx.AsyncClient(transport=self._transport, base_url="http://game.test")
        self.server = Server(self)
        self._numbers = itertools.count(1)

    @property
    def app(self) -> Any:
        """The test app's definition."""
        return self.apps.find(self.app_id)

    def unique(self, prefix: str) -> str:
        """A text no other test uses."""
        return f"{prefix}-{uuid.uuid4()}"

    def client(self, app_id: str = "", secret: str = SECRET) -> Client:
        """A client that has not logged in: of the test app, unless another is named."""
        return Client(self, app_id or self.app_id, secret)

    async def player(self, **data: Any) -> Client:
        """A client that has."""
        client = self.client()
        await client.log_in(**data)
        return client

    async def run_jobs(self, *names: str) -> None:
        """Run jobs now: those named, and else all that have a schedule, whatever it says.

        Of a job without one: the work that was enqueued and is due. Servers of other tests, whose clocks are
        elsewhere, may have left a lease behind in a database that tests share.
        """
        scheduler = self.server_app.jobs
        assert scheduler.jobs.keys() >= set(names), f"no such job: {set(names) - scheduler.jobs.keys()}"
        async with self.core.database.write() as tx:
            await tx.run(update(jobs).where(jobs.c.holder != "").values(holder=""))
        for job in scheduler.jobs.values():
            if job.every_seconds is not None and (not names or job.name in names):
                await scheduler.run_now(job.name)
            elif job.name in names:
                async with self.core.database.read() as tx:
                    await scheduler._begin_enqueued(tx, job, self.clock.ms())
                await scheduler.settled()

    def check_declared(self, service: str, operation: str, entry: dict[str, Any]) -> None:
        """A refusal is one of those that the operation declares, or of those that any operation may answer.

        Or what clients read in `protocol/` is not all that may happen to them.
        """
        declared = self.server_app.registry.operations.get((service, operation))
        if entry["status"] == 200 or declared is None:
            return
        kinds = [*declared.errors, *GENERAL_ERRORS]
        assert entry["reason_code"] in {kind.reason_code for kind in kinds}, (
            f"{service}.{operation} is refused with {entry['reason_code']}, which its errors= do not list"
        )

    def statements(self) -> list[str]:
        """The kinds of the statements that run from here on, without those of the server's upkeep."""
        seen: list[str] = []
        others = asyncio.all_tasks() - {asyncio.current_task()}

        def observe(kind: str, _seconds: float) -> None:
            if asyncio.current_task() not in others:
                seen.append(kind)

        self.core.database.observe = observe
        return seen

    async def packet(self, body: bytes, **headers: str) -> httpx.Response:
        """Send bytes as they are: no signature, no session, unless given."""
        # Without the client, which takes longer than the server does: packets know no cookies and redirects.
        request = httpx.Request("POST", DISPATCHER, content=body, headers=headers)
        response = await self._transport.handle_async_request(request)
        await response.aread()
        response.request = request
        return response


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let a run write the examples that it has seen."""
    parser.addoption(
        "--record-examples", action="store_true", help="add to protocol/examples what is missing"
    )
    parser.addoption(
        "--screenshots", action="store_true", help="write pictures of the console into docs/images"
    )
    parser.addoption(
        "--judge",
        default="",
        metavar="SERVICES",
        help="let tests/tidy/test_operations.py judge what this run has seen of these services",
    )
    parser.addoption(
        "--write-found", default="", metavar="FOLDER", help="write what the tests have seen operations do"
    )
    parser.addoption(
        "--read-found", default="", metavar="FOLDER", help="judge what the tests of a run before have seen"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Look at all calls when their examples are wanted."""
    global EXAMPLES  # noqa: PLW0603 - one for the run, which every client tells
    if "TMPDIR" not in os.environ and MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > MEMORY_BYTES_MIN:
        os.environ["TMPDIR"] = str(MEMORY)
        tempfile.tempdir = None
    gc.disable()  # what is imported now stays: to look for garbage in it takes a third of all the collecting
    if config.getoption("--record-examples", default=False):
        EXAMPLES = examples.Examples()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write what a process of the run has seen; a run has several under `pytest -n`."""
    name = session.config.getoption("--write-found")
    if name and getattr(session, "items", None):
        folder = session.config.invocation_params.dir / name
        folder.mkdir(exist_ok=True)
        found = {"changed": CHANGED, "outcomes": outcomes()}
        (folder / f"{os.getpid()}.json").write_bytes(msgspec.json.encode(found, enc_hook=str))


def found_before(folder: Path) -> None:
    """Take over what all processes of a run have seen."""
    for path in folder.iterdir():
        read = msgspec.json.decode(path.read_bytes(), type=dict[str, dict[str, set[str]]])
        for known, found in ((CHANGED, read["changed"]), (OUTCOMES, read["outcomes"])):
            for name, values in found.items():
                known[name] |= values


def pytest_unconfigure() -> None:
    """Write the examples."""
    if EXAMPLES is not None:
        print("examples added:", *EXAMPLES.write() or ["none"])  # noqa: T201 - for who asked for them


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out of the run on services what does not ask for them: the other run has it."""
    if BACKENDS == "embedded":
        return
    kept = [item for item in items if "services" in getattr(item, "fixturenames", ())]
    rest = set(items) - set(kept)
    config.hook.pytest_deselected(items=list(rest))
    items[:] = kept


def pytest_collection_finish() -> None:
    """Look for garbage only in what the tests make, as a server does: most of what there is now stays."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)
    gc.enable()


@pytest.fixture(scope="session")
def services() -> Iterator[dict[str, str]]:
    """URLs of what the run's backends need."""
    if BACKENDS == "embedded":
        yield {}
        return
    with servers.postgresql() as database, servers.redis() as redis:
        yield {"database": database, "redis": redis}


@pytest.fixture(scope="session")
def migrated(services: dict[str, str]) -> dict[str, str]:
    """The services, with the schema in place."""
    if services:
        migrate(services["database"])
    return services


@pytest.fixture
def app_id() -> str:
    """The test app's id; a test file that has to be alone with its players gives its own."""
    return APP_ID


@pytest.fixture
def apps_folder(tmp_path: Path, app_id: str) -> Path:
    """The folder of app definitions; a test may write more before it asks for `game`."""
    folder = tmp_path / "apps"
    (folder / "test").mkdir(parents=True)
    (folder / "test" / "app.toml").write_text(APP_TOML.replace(APP_ID, app_id))
    return folder


@pytest.fixture(scope="session")
def schema_template(tmp_path_factory: pytest.TempPathFactory) -> Path | None:
    """A migrated SQLite file: copying it is cheaper than migrating for each test."""
    if BACKENDS != "embedded":
        return None
    path = tmp_path_factory.mktemp("template") / "gameserver.db"
    migrate(f"sqlite:///{path}")
    return path


async def forgiven(game: Game) -> None:
    """Forget the failed logins of other tests from this machine: their sessions may lie in the same Redis.

    All clocks of tests begin at one moment, so what they count falls into one window.
    """
    if game.app is not None:
        name = Attempt(game.core.sessions, game.app, "", None, "127.0.0.1")._network()
        await game.core.sessions.forget_hits(f"{name}/failures")
        await game.core.sessions.unlock(name)


@pytest.fixture
async def game(
    migrated: dict[str, Any], schema_template: Path | None, apps_folder: Path, tmp_path: Path, app_id: str
) -> AsyncIterator[Game]:
    """The real server on the run's backends, with a clock that stands still."""
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    if schema_template is not None:
        shutil.copy(schema_template, data / "gameserver.db")
    clock = FixedClock()
    settings = Settings(apps=apps_folder, data=data, **migrated)
    with pytest.MonkeyPatch.context() as patch:
        for engine in (sqlite, postgresql):
            patch.setattr(engine, "Plans", PLANS)
        patch.setattr(rpc_registry, "States", STATES)
        patch.setattr(_Run, "_run_message", run_noted)
        async with open_server(
            settings,
            clock=clock,
            passwords=Passwords(memory_kib=8, passes=1),
            database=await open_database(settings.database_url),  # whose tables need no look at each time
            with_jobs=False,
        ) as server:
            game = Game(server, clock, app_id)
            await forgiven(game)
            yield game
            await game.http.aclose()


__all__ = ["APP_ID", "SECRET", "Caller", "Client", "Game", "Packet", "Refusal", "Server"]
