"""The emulator: an ephemeral server that is put back to how it began, or to how it was, within milliseconds.

Games test against it. A change of all data is another server, opened beside the one that runs: what is kept
in memory of sessions, ranks, quotas and connections cannot be forgotten one by one, and so is not. Requests
that come from then on are the new one's; the old one answers what it has begun, and closes.
"""

import asyncio
import contextlib
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from gameserver import __version__
from gameserver.admin import moving, staff
from gameserver.admin.moving.lines import LINES_MAX
from gameserver.app import GameServer, open_server
from gameserver.jobs import storage as jobs
from gameserver.realtime import Connections
from gameserver.settings import Settings
from gameserver.storage import SqliteDatabase
from gameserver.storage.backups import content_of
from gameserver.wire import json
from gameserver.wire.clock import FixedClock

PREFIX = "/emulator"
BODY_BYTES_MAX = 4096
SEED_BYTES_MAX = 256 << 20
REASONS_MAX = 20  # why a seed is not taken, in one answer
ADVANCE_SECONDS_MAX = 10 * 366 * 86400
SNAPSHOTS_MAX = 100
SNAPSHOTS_BYTES_MAX = 1 << 30  # of all of them together, in memory
BEGUN_SECONDS_MAX = 5.0  # for what a server that is left has begun to answer


class Refused(Exception):
    """What was asked of the emulator cannot be done; nothing has changed."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All there is of a server but sessions: with it, it goes on as it would have gone on then."""

    database: bytes
    now_ms: int
    chance: Any  # the state of what `--seed` decides; None without


class Chance:
    """Ids and tokens that a seed decides, so that a run can be repeated. No secret is safe then."""

    def __init__(self, seed: int, state: Any = None) -> None:
        self._random = random.Random(seed)  # noqa: S311 - predictable on purpose
        if state is not None:
            self._random.setstate(state)

    @property
    def state(self) -> Any:
        """What decides all that comes."""
        return self._random.getstate()

    def options(self) -> dict[str, Any]:
        """Return the options of a server's core that it decides."""
        return {
            "random_bytes": self._random.randbytes,
            "new_id": lambda: str(uuid.UUID(bytes=self._random.randbytes(16), version=4)),
        }


class _Stage:
    """A server that is open, and how many requests it answers at the moment."""

    def __init__(self, server: GameServer, clock: FixedClock, chance: Chance | None) -> None:
        self.server = server
        self.clock = clock
        self.chance = chance
        self.closing = contextlib.AsyncExitStack()
        self._answering = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._answering += 1
        self._idle.clear()
        try:
            await self.server(scope, receive, send)
        finally:
            self._answering -= 1
            if not self._answering:
                self._idle.set()

    async def close(self) -> None:
        """Answer what has begun, and close."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(BEGUN_SECONDS_MAX):
                await self._idle.wait()
        await self.closing.aclose()

    async def snapshot(self) -> Snapshot:
        """Return what there is now."""
        await self.server.core.audit.flush()
        file = Path(self.server.core.database.url.removeprefix("sqlite:///"))
        content = await asyncio.to_thread(content_of, file)
        return Snapshot(content, self.clock.ms(), self.chance and self.chance.state)


class Emulator:
    """An ASGI application: the server of the moment, and below `/emulator` what changes it."""

    def __init__(self, settings: Settings, opened: Callable[[GameServer], None] = lambda _: None) -> None:
        """Each server is shown to `opened` before it answers."""
        self._settings = settings
        self._opened = opened
        self._number = 0
        self._stage: _Stage
        self._empty: Snapshot
        self._beginning: Snapshot
        self._snapshots: dict[str, Snapshot] = {}
        self._changing = asyncio.Lock()
        self._pages: ASGIApp = Starlette(
            routes=[
                Route(PREFIX, self._show),
                *(
                    Route(f"{PREFIX}/{name}", page, methods=["POST"])
                    for name, page in (
                        ("reset", self._reset),
                        ("snapshot", self._keep),
                        ("restore", self._restore),
                        ("forget", self._forget),
                        ("clock", self._move_clock),
                        ("seed", self._plant),
                    )
                ),
            ],
            exception_handlers={Refused: _refused, 404: _not_found},
        )

    @property
    def server(self) -> GameServer:
        """The server of the moment."""
        return self._stage.server

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Answer a request."""
        path = scope["path"]
        if path.startswith(PREFIX) and path[len(PREFIX) :][:1] in {"", "/"}:
            return self._pages(scope, receive, send)
        return self._stage(scope, receive, send)

    async def open(self) -> None:
        """Open the first server. Raises what `open_server` raises, and `Refused` for the file of the seed."""
        self._stage = await self._open(None)
        try:
            self._empty = self._beginning = await self._stage.snapshot()
            if (file := self._settings.seed_file) is not None:
                await self.seed(await asyncio.to_thread(file.read_bytes))
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Close the server of the moment."""
        await self._stage.closing.aclose()

    async def seed(self, content: bytes, app_id: str = "") -> dict[str, int]:
        """Begin anew with the lines of an export, and from now on after each reset.

        Returns how many lines there were of each type. Raises `Refused` when not all can be taken; then
        nothing has changed.
        """
        stage = await self._open(self._empty)
        try:
            taken = await _plant(stage.server, content, app_id)
            beginning = await stage.snapshot()
        except BaseException:
            await stage.close()
            raise
        self._beginning = beginning
        await self._make_way_for(stage)
        return taken

    # Changing all data

    async def _open(self, snapshot: Snapshot | None) -> _Stage:
        self._number += 1
        data = Path(self._settings.data) / str(self._number)
        seed = self._settings.seed
        clock = FixedClock() if snapshot is None else FixedClock(snapshot.now_ms)
        chance = Chance(seed, snapshot and snapshot.chance) if seed else None
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(shutil.rmtree, data, ignore_errors=True)
            server = await stack.enter_async_context(
                open_server(
                    replace(self._settings, data=data),
                    clock=clock,
                    core_options=chance.options() if chance else None,
                    database=await _database_of(snapshot) if snapshot else None,
                )
            )
            self._opened(server)
            stage = _Stage(server, clock, chance)
            stage.closing = stack.pop_all()
            return stage
        raise AssertionError("unreachable")

    async def _change_to(self, snapshot: Snapshot) -> None:
        await self._make_way_for(await self._open(snapshot))

    async def _make_way_for(self, stage: _Stage) -> None:
        """Let another server be the one of the moment. Whoever looks at it in the console stays logged in."""
        before = self._stage
        async with before.server.core.database.read() as old, stage.server.core.database.write() as new:
            await staff.carry_over(old, new)
        self._stage = stage
        await before.close()

    # Pages

    async def _show(self, _: Request) -> Response:
        return JSONResponse(
            {
                "version": __version__,
                "now": self._stage.clock.ms(),
                "apps": sorted(app.id for app in self.server.apps),
                "snapshots": sorted(self._snapshots),
            }
        )

    async def _reset(self, request: Request) -> Response:
        await _read(request, _Nothing)
        async with self._changing:
            await self._change_to(self._beginning)
        return await self._show(request)

    async def _keep(self, request: Request) -> Response:
        name = (await _read(request, _Named)).name
        async with self._changing:
            snapshot = await self._stage.snapshot()
            others = [kept for known, kept in self._snapshots.items() if known != name]
            if len(others) >= SNAPSHOTS_MAX:
                raise Refused(409, f"there are {SNAPSHOTS_MAX} snapshots; /emulator/forget one of them")
            if sum(len(kept.database) for kept in others) + len(snapshot.database) > SNAPSHOTS_BYTES_MAX:
                raise Refused(409, "the snapshots take too much memory; /emulator/forget some of them")
            self._snapshots[name] = snapshot
        return await self._show(request)

    async def _plant(self, request: Request) -> Response:
        content = await _body(request, SEED_BYTES_MAX)
        async with self._changing:
            taken = await self.seed(content, request.query_params.get("app", ""))
        shown = await self._show(request)
        return JSONResponse({**json.decode_any(bytes(shown.body)), "taken": taken})

    async def _restore(self, request: Request) -> Response:
        name = (await _read(request, _Named)).name
        async with self._changing:
            await self._change_to(self._find(name))
        return await self._show(request)

    async def _forget(self, request: Request) -> Response:
        name = (await _read(request, _Named)).name
        self._find(name)
        del self._snapshots[name]
        return await self._show(request)

    def _find(self, name: str) -> Snapshot:
        if name not in self._snapshots:
            raise Refused(404, f"there is no snapshot {name!r}")
        return self._snapshots[name]

    async def _move_clock(self, request: Request) -> Response:
        seconds = (await _read(request, _Advance)).advance_seconds
        async with self._changing:
            self._stage.clock.advance(seconds)
            await self.server.jobs.catch_up()
        return await self._show(request)


async def _plant(server: GameServer, content: bytes, app_id: str) -> dict[str, int]:
    """Take the lines of an export into an app: the one that is named, or of the first line, or the only one.

    Raises `Refused` when not all can be taken.
    """
    try:
        lines = content.decode("utf-8-sig").split("\n")
    except UnicodeDecodeError:
        raise Refused(400, "the seed is no UTF-8") from None
    with contextlib.suppress(IndexError, msgspec.DecodeError):
        app_id = app_id or _read_first(lines[0]).app_id
    app_ids = [app_id] if app_id else [app.id for app in server.apps]
    app = server.apps.find(app_ids[0])
    if app is None or len(app_ids) > 1:
        known = ", ".join(sorted(app.id for app in server.apps))
        raise Refused(400, f"?app= names the app that the seed is for; there are {known}")
    importer = moving.Importer(server, app)
    taken: Counter[str] = Counter()
    for start in range(0, len(lines), LINES_MAX):
        report = await importer.take(lines[start : start + LINES_MAX], start + 1)
        if report.skipped:
            told = [f"line {each['line']}: {each['reason']}" for each in report.skipped[:REASONS_MAX]]
            raise Refused(400, "\n".join(["the seed is not taken:", *told]))
        taken += report.taken
    return dict(taken)


async def _database_of(snapshot: Snapshot) -> SqliteDatabase:
    folder = Path(tempfile.mkdtemp(prefix="gameserver-"))
    file = folder / "game.db"
    file.write_bytes(snapshot.database)
    database = SqliteDatabase(file, folder)
    async with database.write() as tx:  # jobs that ran then do so no more
        await tx.run(jobs.RELEASE_ALL, now_ms=snapshot.now_ms)
    return database


def stop_at_eof() -> None:
    """Wish to stop, as SIGTERM does, when standard input ends: with the program at its other end."""

    def wait() -> None:
        with contextlib.suppress(OSError):
            while os.read(sys.stdin.fileno(), 1 << 16):
                pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, daemon=True).start()


class EmulatorRealtime:
    """Gives connections to the server of the moment."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator

    def greet(
        self, target: str, headers: list[tuple[bytes, bytes]], leave: Callable[[], None]
    ) -> tuple[bytes, asyncio.Protocol | None]:
        """Answer a request for a WebSocket."""
        return self._connections.greet(target, headers, leave)

    def take_tcp(self, leave: Callable[[], None]) -> asyncio.Protocol:
        """Take over a connection that did not begin with HTTP."""
        return self._connections.take_tcp(leave)

    async def move(self) -> None:
        """Ask all to connect elsewhere."""
        await self._connections.move()

    @property
    def _connections(self) -> Connections:
        return self._emulator.server.core.get(Connections)


# Requests


class _Nothing(msgspec.Struct, forbid_unknown_fields=True):
    pass


class _First(msgspec.Struct, rename="camel"):
    """The first line of an export."""

    app_id: str = ""


_read_first = msgspec.json.Decoder(_First).decode


class _Named(msgspec.Struct, forbid_unknown_fields=True):
    name: Annotated[str, Meta(min_length=1, max_length=64)]


class _Advance(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    advance_seconds: Annotated[float, Meta(ge=0, le=ADVANCE_SECONDS_MAX)]


async def _read(request: Request, shape: type[Any]) -> Any:
    """Return what a request asks for; no body at all is an empty object. Raises `Refused`."""
    body = await _body(request, BODY_BYTES_MAX)
    try:
        return msgspec.json.decode(body or b"{}", type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refused(400, f"the body: {error}") from None


async def _body(request: Request, most: int) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            raise Refused(413, f"the body has at most {most} bytes")
    return bytes(body)


async def _refused(_: Request, refused: Exception) -> Response:
    assert isinstance(refused, Refused), "it is registered for that"
    return JSONResponse({"status": refused.status, "status_message": str(refused)}, refused.status)


async def _not_found(request: Request, _: Exception) -> Response:
    return JSONResponse({"status": 404, "status_message": f"there is nothing at {request.url.path}"}, 404)
