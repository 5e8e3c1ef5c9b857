"""Runs scripts: a pool of processes, in each of which one script runs at a time.

A script's process has no secret, no network and no file; what it wants, it asks of the `Host` over the pipe,
one call after the other. A process that dies, hangs or grows is one failed run, and another takes its place.
"""

import asyncio
import contextlib
import errno
import hashlib
import logging
import os
import sys
from asyncio.subprocess import PIPE
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any, Protocol, Self, cast

import msgspec
import quickjs

from gameserver.frame import Parts
from gameserver.scripts import worker as wire
from gameserver.scripts.pipes import Pipes
from gameserver.scripts.programs import Program, RunLimits
from gameserver.scripts.times import TaskTime, Times
from gameserver.wire.clock import Clock

log = logging.getLogger(__name__)

PROCESSES_MAX = 256
STDERR = 2
START_SECONDS = 20.0
GRACE_SECONDS = 0.25  # for a process to stop a script by itself, or for a call to end; up to twice as long
PROGRAMS_KEPT = 200
FRAME_BYTES_MAX = 8 * 1024 * 1024
COMPLAINT_BYTES = 2000
_LIBRARIES = Path(quickjs.__file__).parents[1]
COMMAND = (sys.executable, "-I", "-S", str(Path(wire.__file__)), str(_LIBRARIES))
_ENVIRONMENT = {name: os.environ[name] for name in ("SYSTEMROOT",) if name in os.environ}  # Windows needs it
_ROOT = Path(sys.executable).anchor or "/"

DEPTH_MAX = 8
"""Scripts that run because another waits for them, one below the other."""


class Failure(StrEnum):
    """Why a run has no result."""

    THROWN = "thrown"  # by the script
    TIMEOUT = "timeout"
    MEMORY = "memory"
    KILLED = "killed"  # its process ended
    UNSETTLED = "unsettled"  # the result is a promise that nothing will settle
    NOT_JSON = "not_json"  # the result has no form in JSON: it contains itself, or a BigInt
    TOO_LARGE = "too_large"  # the result
    TOO_MANY_CALLS = "too_many_calls"
    TOO_DEEP = "too_deep"  # scripts that call scripts
    BROKEN = "broken"  # the script cannot be read as JavaScript
    BUSY = "busy"  # it did not begin: too many run, or wait


class Result(msgspec.Struct, frozen=True):  # every run makes one: a dataclass takes ten times as long
    """How a run ended: with a value, or with a failure."""

    value: bytes = b"null"
    """JSON."""
    failure: Failure | None = None
    message: str = ""
    """What happened, for the author of the script: with its file, line and column where they are known."""
    drawn: bytes = b""
    """What the script took of time and chance after its last call."""


class Reply(msgspec.Struct, frozen=True):  # as above, every call
    """What a call gives back to the script: a value, or an error that the call throws there."""

    value: bytes = b"null"
    """JSON."""
    thrown: str | None = None
    """The message of the error."""
    draws: bytes | None = None
    """In a repeated run: what the script took of time and chance after this call, the first time. None: the
    first time did not get further; it takes what there is."""


class Host(Protocol):
    """What a run may ask of the server."""

    async def call(self, name: str, args: bytes, session: bytes, drawn: bytes) -> Reply:
        """Do what the script asks for, and answer.

        `name` is `entity.createEntity`, service and method of a proxy, or `bridge.getProfileId`, as the
        surface spells them. `args` is a JSON list. `session` is the JSON of what the script asked the proxy
        with, empty when it did without one. `drawn` is what the script took of time and chance since the
        call before, for a second run (see `Reply.draws`). All of it is untrusted. The call is cancelled when
        the run's time is over, or its caller gone.
        """


class Surface:
    """The names that scripts can use: the functions of `bridge`, and the methods of its proxies.

    `functions` are called as `bridge.NAME`; `proxies` name for each getter of `bridge` the service that goes
    before its methods in the name of a call, and the methods. Scripts may write all names in any case.
    """

    def __init__(self, functions: list[str], proxies: dict[str, tuple[str, list[str]]]) -> None:
        self.table = msgspec.json.encode({"functions": functions, "proxies": proxies})
        self.key = hashlib.blake2b(self.table, digest_size=12).hexdigest()


@dataclass(slots=True)
class _Place:
    """A process with the script that runs in it, and how deep that is below the first."""

    worker: "_Worker"
    depth: int
    turn: asyncio.Lock | None = None  # of the scripts that its calls run, if a call runs several at once


_PLACE: ContextVar[_Place | None] = ContextVar("script", default=None)


@dataclass(frozen=True, slots=True)
class Processes:
    """How many processes run scripts, at most; 0: by the number of CPUs."""

    most: int = 0


class Engine:
    """Runs scripts in processes of their own, which start when they are needed."""

    def __init__(self, clock: Clock, workers: int = 0, *, plain: bool = False) -> None:
        """Run scripts in so many processes at most, 0: by the number of CPUs.

        `plain` ones do with what there is everywhere: the engine's Python module, and the event loop's pipes.
        """
        self._clock = clock
        self._plain = plain or sys.platform == "win32"
        self._has_started = False  # whether a process did, in the way that is used
        self._most = workers or max(4, 2 * (os.cpu_count() or 1))
        self._all: set[_Worker] = set()
        self._free: list[_Worker] = []
        self._taken = 0
        self._closed = False
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        self._runs: dict[tuple[str, str], int] = {}
        self._times = Times()

    async def run(
        self,
        program: Program,
        data: bytes,
        host: Host,
        surface: Surface,
        limits: RunLimits,
        *,
        player: str = "",
        draws: bytes | None = None,
    ) -> Result:
        """Run a script with `data`, JSON, as its parameters.

        `player` is who counts for the limit of runs of one player; nobody when empty. `draws` is for a
        repeated run: what the script took of time and chance before its first call, the first time. A script
        that runs because of a call of another's runs in the same process, and in its time.
        """
        if program.problem:
            return Result(failure=Failure.BROKEN, message=program.problem)
        outer = _PLACE.get()
        if outer is not None:
            if outer.depth >= DEPTH_MAX:
                message = f"{program.path}: scripts call each other {DEPTH_MAX} deep"
                return Result(failure=Failure.TOO_DEEP, message=message)
            outer.turn = outer.turn or asyncio.Lock()
            async with outer.turn:
                return await self._run(
                    outer.worker, program, data, host, surface, limits, draws, outer.depth + 1
                )
        keys = [("", program.app_id), *([(program.app_id, player)] if player else [])]
        for key, most in zip(keys, (limits.runs_per_app, limits.runs_per_player), strict=False):
            if self._runs.get(key, 0) >= most:
                whose = "this player" if key[0] else "this app"
                return Result(failure=Failure.BUSY, message=f"{most} scripts of {whose} run already")
        for key in keys:
            self._runs[key] = self._runs.get(key, 0) + 1
        try:
            return await self._run_alone(program, data, host, surface, limits, draws)
        finally:
            for key in keys:
                self._runs[key] -= 1
                if not self._runs[key]:
                    del self._runs[key]

    async def _run_alone(
        self,
        program: Program,
        data: bytes,
        host: Host,
        surface: Surface,
        limits: RunLimits,
        draws: bytes | None,
    ) -> Result:
        try:
            worker = await self._take(program.app_id, limits.wait_seconds)
        except TimeoutError:
            message = f"no script ended within {limits.wait_seconds} seconds, so that this one could begin"
            return Result(failure=Failure.BUSY, message=message)
        except OSError as error:
            message = f"no process could be started: {error.strerror}"
            log.error(message)  # noqa: TRY400 - its words say all: a traceback would end in asyncio
            return Result(failure=Failure.KILLED, message=message)
        try:
            return await self._run(worker, program, data, host, surface, limits, draws, 0)
        finally:
            self._give_back(worker)

    async def _run(
        self,
        worker: "_Worker",
        program: Program,
        data: bytes,
        host: Host,
        surface: Surface,
        limits: RunLimits,
        draws: bytes | None,
        depth: int,
    ) -> Result:
        done = False
        time = TaskTime()
        token = _PLACE.set(_Place(worker, depth))
        self._times.end_after(limits.seconds + GRACE_SECONDS, time.end)
        try:
            worker.begin(program, data, surface, limits, self._clock.ms(), draws)
            result = await self._serve(worker, program, host, limits)
            done = result.failure not in _BEFORE_THE_END
        except asyncio.CancelledError:
            if not time.has_ended_it():
                raise
            result = Result(
                failure=Failure.TIMEOUT,
                message=f"{program.path}: it ran for longer than {limits.seconds:g} seconds",
            )
        except _Ended:
            result = Result(failure=Failure.KILLED, message=f"{program.path}: the process that ran it ended")
        finally:
            self._times.drop(time.end)
            _PLACE.reset(token)
            if not done:
                worker.kill()
        return result

    async def _serve(self, worker: "_Worker", program: Program, host: Host, limits: RunLimits) -> Result:
        calls = 0
        while True:
            kind, parts = await worker.frame()
            if kind == wire.CALL:
                name, args, session, drawn = _four(parts)
                calls += 1
                if calls > limits.calls:
                    message = f"{program.path}: it made more than {limits.calls} calls"
                    return Result(failure=Failure.TOO_MANY_CALLS, message=message)
                reply = await host.call(name.decode("utf-8", "replace"), args, session, drawn)
                worker.reply(reply)
            elif kind == wire.DONE:
                return _result(program, parts)
            else:
                raise _Ended("a frame of an unknown kind")

    async def _take(self, app_id: str, seconds: float) -> "_Worker":
        """Take a process, or wait for one in the line of the app. Raises TimeoutError, OSError."""
        if self._taken >= self._most:
            turn = asyncio.get_running_loop().create_future()
            self._waiting.setdefault(app_id, deque()).append(turn)
            give_up = partial(self._give_up, app_id, turn)
            self._times.end_after(seconds, give_up)
            try:
                await turn
            except asyncio.CancelledError:
                if turn.cancelled():
                    self._give_up(app_id, turn)
                elif turn.exception() is None:
                    self._leave()
                raise
            finally:
                self._times.drop(give_up)
        else:
            self._taken += 1
        try:
            while self._free:
                worker = self._free.pop()
                if worker.alive:
                    return worker
            return await self._start()
        except BaseException:
            self._leave()
            raise

    def _give_back(self, worker: "_Worker") -> None:
        if worker.alive:
            self._free.append(worker)
        self._leave()

    def _leave(self) -> None:
        """Let the next one take a process: of the app whose turn it is."""
        while self._waiting:
            app_id = next(iter(self._waiting))
            line = self._waiting.pop(app_id)
            turn = line.popleft()
            if line:
                self._waiting[app_id] = line  # behind the others
            if not turn.done():  # it was not cancelled just now
                turn.set_result(None)
                return
        self._taken -= 1

    def _give_up(self, app_id: str, turn: asyncio.Future[None]) -> None:
        """Take somebody out of the line, who is told that the wait was too long."""
        line = self._waiting.get(app_id)
        if line is not None and turn in line:
            line.remove(turn)
            if not line:
                del self._waiting[app_id]
        if not turn.done():
            turn.set_exception(TimeoutError())

    async def _start(self) -> "_Worker":
        try:
            worker = await _Worker.start(self._all, plain=self._plain)
        except OSError:
            if self._closed or (self._plain and not self._has_started):
                raise
            # One that was killed while it started says nothing of the library, where others have started.
            plain = self._plain or not self._has_started
            worker = await _Worker.start(self._all, plain=plain)
            if plain and not self._plain:
                log.warning("scripts run uncompiled: the engine's library has another form than was expected")
            self._plain = plain
        self._has_started = True
        if self._closed:
            worker.kill()
            raise OSError(errno.ESHUTDOWN, "the server is closing")
        return worker

    @property
    def workers(self) -> list["_Worker"]:
        """The processes there are, those included that are about to end."""
        return list(self._all)

    async def close(self) -> None:
        """End all processes."""
        self._closed = True
        self._times.close()
        workers = self.workers
        for worker in workers:
            worker.kill()
        for worker in workers:
            await worker.gone.wait()


class _Ended(Exception):
    """The process has ended, or talks nonsense, which comes to the same."""


def _four(parts: list[bytes]) -> list[bytes]:
    if len(parts) != len("four"):
        raise _Ended("a frame has other parts")
    return parts


_BEFORE_THE_END = frozenset({Failure.TOO_MANY_CALLS})
"""Failures that leave the process in the middle of the script."""


def _result(program: Program, parts: list[bytes]) -> Result:
    failure, said, place, drawn = _four(parts)
    if not failure:
        return Result(value=said, drawn=drawn)
    try:
        kind = Failure(failure.decode("utf-8", "replace"))
        where = msgspec.json.decode(place, type=tuple[str, int, int]) if place else None
    except (ValueError, msgspec.DecodeError) as error:
        raise _Ended("a failure of an unknown kind") from error
    message = said.decode("utf-8", "replace")
    message = (
        f"{program.path}: {message}" if where is None else f"{where[0]}:{where[1]}:{where[2]}: {message}"
    )
    return Result(failure=kind, message=message, drawn=drawn)


class _Worker(asyncio.SubprocessProtocol):
    """A process, seen from the server."""

    def __init__(self, pipes: Pipes | None) -> None:
        self.alive = True
        self.gone = asyncio.Event()
        self.on_gone: Callable[[Any], None] = _nothing
        self._transport: asyncio.SubprocessTransport | None = None
        self._pipes = pipes  # None: those of the event loop
        self._write: Callable[[bytes], object] = _nothing
        self._loop = asyncio.get_running_loop()
        self._frames = wire.Frames(FRAME_BYTES_MAX)
        self._reader: asyncio.Future[None] | None = None
        self._programs: set[str] = set()
        self._surfaces: set[str] = set()
        self._complaint = b""

    @classmethod
    async def start(cls, among: set[Self], *, plain: bool) -> Self:
        """Start a process and wait until it is ready; it is `among` them until it is gone. Raises OSError."""
        loop = asyncio.get_running_loop()
        pipes = None if plain else Pipes()
        words = [wire.PLAIN] if plain else []
        ends = (PIPE, PIPE) if pipes is None else (pipes.input, pipes.output)
        try:
            _, worker = await loop.subprocess_exec(
                lambda: cls(pipes),
                *(*COMMAND, *words),
                stdin=ends[0],
                stdout=ends[1],
                stderr=PIPE,
                env=_ENVIRONMENT,
                cwd=_ROOT,
            )
        except BaseException:
            if pipes is not None:
                pipes.close()
            raise
        among.add(worker)
        worker.on_gone = among.discard
        try:
            async with asyncio.timeout(START_SECONDS):
                await worker.frame()  # READY
        except (TimeoutError, _Ended) as error:
            worker.kill()
            log.warning("a process of scripts did not start: %s", worker.complaint() or error)
            raise OSError(errno.ECHILD, "the process that runs scripts did not start") from error
        except BaseException:
            worker.kill()
            raise
        return worker

    @property
    def pid(self) -> int:
        """The number of the process."""
        assert self._transport is not None
        return self._transport.get_pid()

    def complaint(self) -> str:
        """Return the end of what the process has said of its troubles."""
        return self._complaint.decode("utf-8", "replace")

    def begin(
        self,
        program: Program,
        data: bytes,
        surface: Surface,
        limits: RunLimits,
        ms: int,
        draws: bytes | None,
    ) -> None:
        """Send a script to run; what the process has it is not sent again."""
        forget = len(self._programs) >= PROGRAMS_KEPT and program.key not in self._programs
        if forget:
            self._programs.clear()
        is_new, has_table = program.key not in self._programs, surface.key in self._surfaces
        self._programs.add(program.key)
        self._surfaces.add(surface.key)
        head = wire.RUN_HEAD.pack(
            forget,
            draws is not None,
            ms,
            limits.seconds,
            limits.memory_bytes,
            limits.argument_bytes,
            limits.result_bytes,
        )
        text, lines = (program.text.encode(), msgspec.json.encode(program.lines)) if is_new else (b"", b"")
        table = b"" if has_table else surface.table
        names = program.key.encode(), surface.key.encode()
        self._send(wire.pack(wire.RUN, head, *names, data, draws or b"", text, lines, table))

    def reply(self, reply: Reply) -> None:
        """Answer the call that the process waits for."""
        thrown = b"" if reply.thrown is None else (reply.thrown or "Error").encode("utf-8", "replace")
        repeats = b"" if reply.draws is None else b"1"
        self._send(wire.pack(wire.REPLY, reply.value, thrown, reply.draws or b"", repeats))

    def _send(self, frame: bytes) -> None:
        if not self.alive:
            raise _Ended("the process has ended")
        try:
            self._write(frame)
        except (OSError, RuntimeError) as error:  # its end is noted at the next turn of the loop
            raise _Ended("the pipe to the process is closed") from error

    async def frame(self) -> wire.Frame:
        """Wait for the next frame. Raises `_Ended` when none will come."""
        try:
            while (frame := self._frames.take()) is None:
                if not self.alive:
                    raise _Ended("the process has ended")
                self._reader = self._loop.create_future()
                await self._reader
        except ValueError as error:
            raise _Ended(str(error)) from error
        return frame

    def kill(self) -> None:
        """End the process, whatever it does."""
        self._end()
        if self._transport is not None:
            with contextlib.suppress(ProcessLookupError):
                self._transport.kill()

    def _end(self) -> None:
        self.alive = False
        self._wake()

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the process over."""
        self._transport = cast("asyncio.SubprocessTransport", transport)  # uvloop's is not derived from it
        if self._pipes is not None:
            self._pipes.begin(self._receive)
            self._write = self._pipes.write
        else:
            self._write = cast("asyncio.WriteTransport", self._transport.get_pipe_transport(0)).write

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """Gather what it says."""
        if fd == STDERR:
            self._complaint = (self._complaint + data)[-COMPLAINT_BYTES:]
        else:
            self._receive(data)

    def _receive(self, data: bytes) -> None:
        """Gather the frames of its output; nothing is its end."""
        if not data:
            self._end()
            return
        try:
            self._frames.feed(data)
        except ValueError:
            self.kill()
        else:
            self._wake()

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:  # noqa: ARG002 - the base's signature
        """Note that no more will come."""
        if fd != STDERR:
            self._end()

    def process_exited(self) -> None:
        """Note the end of the process, once what it has said is read."""
        if self._pipes is not None:
            self._pipes.read()
        self._end()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the base's signature
        """Note that the process is gone, and its pipes are closed."""
        if self._transport is not None:
            self._transport.close()
        if self._pipes is not None:
            self._pipes.close()
        self.gone.set()
        self.on_gone(self)


def _nothing(_: object) -> None: ...


@contextlib.asynccontextmanager
async def lifespan(parts: Parts) -> AsyncIterator[Engine]:
    """The engine of one server."""
    engine = Engine(parts.get(Clock), parts.get(Processes).most)
    try:
        yield engine
    finally:
        await engine.close()
