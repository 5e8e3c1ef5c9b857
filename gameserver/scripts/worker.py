"""The process that runs scripts. It knows nothing but what it is sent, and can reach nothing but the pipe.

It is started as a file, without the rest of the server: `python -I -S worker.py FOLDER-OF-LIBRARIES`. Both
sides speak in frames: a length, a kind, and parts of bytes. What comes from here is untrusted; the server
checks it.
"""

import contextlib
import importlib
import json
import math
import os
import re
import signal
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

if __name__ == "__main__":
    sys.path += [sys.argv[1], str(Path(__file__).parent)]  # where the engine is; nothing else is to be found
import quickjs

Frame = tuple[bytes, list[bytes]]
"""A kind, and its parts."""

SECONDS_BEYOND = 5.0  # which the server has, to end the process itself
RUN, REPLY = b"R", b"A"  # what the server sends: run a script, what a call returned
PLAIN = "--plain"  # the word for a process that uses the Python module alone
CALL, DONE, READY = b"C", b"D", b"I"  # what the worker sends

_LENGTH = struct.Struct("<I")


def pack(kind: bytes, *parts: bytes) -> bytes:
    """Make a frame."""
    body = [kind]
    for part in parts:
        body += (_LENGTH.pack(len(part)), part)
    joined = b"".join(body)
    return _LENGTH.pack(len(joined)) + joined


def unpack(body: bytes | memoryview) -> Frame:
    """Take a frame apart, its length aside. Raises ValueError for what is no frame."""
    at, parts = 1, []
    while at < len(body):
        if at + 4 > len(body):
            raise ValueError("a frame ends within a length")
        (size,) = _LENGTH.unpack_from(body, at)
        at += 4 + size
        if at > len(body):
            raise ValueError("a frame ends within a part")
        parts.append(bytes(body[at - size : at]))
    return bytes(body[:1]), parts


class Frames:
    """Takes frames out of bytes as they come."""

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        """Take what came."""
        self._buffer += data

    def take(self) -> Frame | None:
        """Return the next frame, or None while it is not whole. Raises ValueError for what is no frame."""
        buffer = self._buffer
        if len(buffer) < _LENGTH.size:
            return None
        end = _LENGTH.size + _LENGTH.unpack_from(buffer)[0]
        if end > self.bytes_max:
            raise ValueError(f"a frame has more than {self.bytes_max} bytes")
        if len(buffer) < end:
            return None
        frame = unpack(bytes(buffer[_LENGTH.size : end]))
        del buffer[:end]
        return frame


# Time and chance


class Draws:
    """What a run takes of time and chance, in a form that a second run can be given.

    Each stretch between two calls has a list of its own: the seed, if it began to throw dice there, or 0;
    then pairs `n, ms`: the clock was read n more times before it had gone on by ms. A clock that is read
    all the time goes on in steps that grow, so that the list stays short.
    """

    CHANGES = 256  # of the clock in one stretch, before its steps double

    def __init__(self, start_ms: int, given: bytes | None) -> None:
        self.ms = 0
        self.random: Random | None = None
        self._ahead = start_ms - _monotonic_ms()
        self.begin(given)

    def begin(self, given: bytes | None) -> None:
        """Begin a stretch, with what it was given the first time; None: there was no first time."""
        self._given: list[Any] | None = None if given is None else json.loads(given or b"[0]")
        self._drawn: list[Any] = [0] if self._given is None else self._given
        self._at = 1
        self._reads = 0

    def now(self) -> int:
        """Return the milliseconds since 1970."""
        self._reads += 1
        if self._given is not None:
            if self._at < len(self._given) and self._reads > self._given[self._at]:
                self.ms += self._given[self._at + 1]
                self._at += 2
                self._reads = 1
            return self.ms
        passed = self._ahead + _monotonic_ms() - self.ms
        if passed >= 1 << (len(self._drawn) // 2 // self.CHANGES):
            self._drawn += (self._reads - 1, passed)
            self.ms += passed
            self._reads = 1  # this one sees the new time
        return self.ms

    def chance(self) -> float:
        """Return a number from 0 up to 1."""
        if self.random is None:
            self._drawn[0] = self._drawn[0] or os.urandom(8).hex()
            self.random = Random(self._drawn[0])  # noqa: S311 - a game's dice; ids and keys come from the server
        return self.random.random()

    def drawn(self) -> bytes:
        """Return what this stretch took; nothing when it took nothing."""
        if self._drawn == [0]:
            return b""
        return json.dumps(self._drawn, separators=(",", ":")).encode()


def _monotonic_ms() -> int:
    return time.monotonic_ns() // 1_000_000


# The bridge: which names there are


class Surface:
    """The names of the bridge, found in any case of letters."""

    def __init__(self, table: bytes) -> None:
        told = json.loads(table)
        self._getters: dict[str, tuple[int, str]] = {
            f"bridge.{n}".lower(): (0, f"bridge.{n}") for n in told["functions"]
        }
        self._methods: dict[str, dict[str, str]] = {}
        for getter, (service, methods) in told["proxies"].items():
            self._getters[f"bridge.{getter}".lower()] = (1, service)
            self._methods.setdefault(service, {}).update((m.lower(), f"{service}.{m}") for m in methods)

    def getter(self, name: str) -> str:
        """Return, as JSON, whether a name of `bridge` gives a proxy, and of what, or else what it calls."""
        found = self._getters.get(f"bridge.{name}".lower())
        if found is None:
            raise LookupError(f"bridge.{name}: the bridge has no such function")
        return json.dumps(found)

    def method(self, service: str, name: str) -> str:
        """Return, as JSON, what a method of a proxy calls."""
        found = self._methods[service].get(name.lower())
        if found is None:
            raise LookupError(f"{service}.{name}: the proxy has no such method")
        return json.dumps(found)


# Programs


class Program:
    """A script's text as it is run, and where its lines come from."""

    def __init__(self, text: str, lines: list[tuple[int, str, int]]) -> None:
        # Line 1 is that of the prelude. Behind a statement, "use strict" is no directive.
        self.text = f"void 0;\n{text}"
        self.lines = lines  # [first line, file, line there]
        self.needs_bridge = _NEEDS_BRIDGE.search(text) is not None
        self.code: bytes | None = None
        self.is_compiled = False

    def where(self, line: int, column: int) -> tuple[str, int, int]:
        """Find the author's file, line and column of a line of the text. Raises LookupError."""
        for first, file, there in reversed(self.lines):
            if first <= line - 1:
                return file, there + line - 1 - first, column
        raise LookupError("this is no line of the script")


# Words without which a script comes to neither the bridge, nor time and chance, nor a caught error.
_NEEDS_BRIDGE = re.compile(
    r"bridge|Date|Math|Error|catch|eval|Function|constructor|globalThis|\bthis\b|import|async|Promise|\\u"
)

# Running


class Pipe:
    """The way to the server."""

    def __init__(self, receive: Callable[[int], bytes], send: Callable[[memoryview], int]) -> None:
        self._receive = receive
        self._send = send
        self._frames = Frames(1 << 31)

    def read(self) -> Frame:
        """Wait for a frame. Raises EOFError when the server has gone."""
        while True:
            frame = self._frames.take()
            if frame is not None:
                return frame
            chunk = self._receive(1 << 16)
            if not chunk:
                raise EOFError
            self._frames.feed(chunk)

    def write(self, frame: bytes) -> None:
        """Send a frame."""
        view = memoryview(frame)
        while view:
            view = view[self._send(view) :]


class Realm:
    """A context in which no script was ever run, and the functions of the prelude there."""

    def __init__(self, worker: "Worker") -> None:
        self.context = context = quickjs.Context()
        context.add_callable("__ask", worker.ask)
        self.worker = worker
        self.native = native = worker.native
        if native is None:
            worker.load(self, PRELUDE)
        else:
            self.at = native.place(context)
            native.stop_when(self.at.context, worker.is_over)
            worker.load(self, PRELUDE)
            self.end = native.variable(self.at.context, b"__end")
        self.boot = context.get("__boot")

    def run(self, program: Program, data: str) -> None:
        """Run a script."""
        if program.needs_bridge:
            self.worker.load(self, BRIDGE)
        self.boot("begin", self.context.parse_json(data))
        if self.native is not None and not program.is_compiled:
            program.is_compiled = True
            program.code = self.native.compile(self.at.context, program.text.encode(), SCRIPT)
        if self.native is not None and program.code is not None:
            if not self.native.run(self.at, program.code, self.end):
                raise quickjs.JSException("the run could not be ended")
        else:
            self.boot("evaluate", None, program.text)
        while self.context.execute_pending_job():
            pass

    def result(self) -> str:
        """Return the JSON of the result, of a run that has not failed."""
        result: str = self.boot("end")
        return result

    def place(self, program: Program, stack: str) -> tuple[str, int, int]:
        """Find the author's file, line and column at the top of a stack. Raises LookupError."""
        for found in (_IN_TEXT if self.native is None else _IN_SCRIPT).finditer(stack):
            line, column = int(found[1]), int(found[2])
            if line > 1:
                return program.where(line, column)
        raise LookupError("no line of the script is on the stack")

    def close(self) -> None:
        """Give the context back."""
        if self.native is not None:
            self.native.free(self.at.context, self.end)


PRELUDE, BRIDGE = "prelude.js", "bridge.js"
SCRIPT = b"script"  # as a file on a stack
_IN_SCRIPT = re.compile(r"\bscript:(\d{1,9}):(\d{1,9})\b")
_IN_TEXT = re.compile(r"<input>:(\d{1,9}):(\d{1,9})\b")


class Worker:
    """Runs one script after another; while one waits for a call, another may run that the call began."""

    def __init__(self, pipe: Pipe, native: Any = None) -> None:
        self.pipe = pipe
        self.programs: dict[str, Program] = {}
        self.surfaces: dict[str, Surface] = {}
        self.running: list[Run] = []
        self.is_loading = False  # scripts of our own, which nothing stops
        self.native = native
        if native is not None:
            self.is_over = native.handler(self._is_over)
        self._own = {name: self._read(name) for name in (PRELUDE, BRIDGE)}

    def _read(self, name: str) -> Any:
        """Read a script of our own; compiled where that can be."""
        lines = (Path(__file__).parent / name).read_text("utf-8").splitlines()
        # In one line, to be told apart from scripts in a stack.
        text = " ".join(line.strip() for line in lines if not line.lstrip().startswith("//"))
        if self.native is None:
            return text
        context = quickjs.Context()
        return self.native.compile(self.native.place(context).context, text.encode(), name.encode())

    def load(self, realm: Realm, name: str) -> None:
        """Run a script of our own in a context."""
        self.is_loading = True
        if self.native is None:
            realm.context.eval(self._own[name])
        else:
            self.native.load(realm.at.context, self._own[name])
        self.is_loading = False

    def serve(self) -> None:
        """Run what comes, until the server goes."""
        while True:
            realm = Realm(self)  # for the next script, while nobody waits
            kind, parts = self.pipe.read()
            self.run(kind, parts, realm)

    def rehearse(self) -> None:
        """Run a script that uses everything, so that all is loaded that is ever read from a file."""
        surface, program = Surface(b'{"functions": [], "proxies": {}}'), Program(_REHEARSAL, [(1, "", 1)])
        run = Run(Realm(self), program, surface, Draws(0, None), 0, 60)
        self.running.append(run)
        run.run("{}", 1 << 26, 1 << 10)
        self.running.pop()

    def _is_over(self) -> bool:
        return bool(self.running) and not self.is_loading and self.running[-1].is_over()

    def run(self, kind: bytes, parts: list[bytes], realm: Realm) -> None:
        """Run a script and tell its result."""
        if kind != RUN:
            raise ValueError(f"expected a script to run, got {kind!r}")
        head, data, draws, text, table = parts
        told = json.loads(head)
        if told["forget"]:
            self.programs.clear()
        if told["lines"] is not None:
            self.programs[told["program"]] = Program(text.decode(), told["lines"])
        if told["surface"] not in self.surfaces:
            self.surfaces[told["surface"]] = Surface(table)
        program, surface = self.programs[told["program"]], self.surfaces[told["surface"]]
        given = draws if told["repeats"] else None
        draw = Draws(told["ms"], given)
        run = Run(realm, program, surface, draw, told["argument_bytes"], told["seconds"])
        if self.running:
            run.over_at = min(
                run.over_at, self.running[-1].over_at
            )  # it is in the time of the one that waits
        else:
            _end_after(told["seconds"] + SECONDS_BEYOND)
        self.running.append(run)
        frame = run.run(data.decode(), told["memory_bytes"], told["result_bytes"])
        self.running.pop()
        if not self.running:
            _end_after(0)
        self.pipe.write(frame)

    def ask(self, kind: str, text: str = "", more: str = "", session: str = "") -> Any:
        """Answer what the prelude asks. Raises nothing: that would end the process."""
        run = self.running[-1]
        if kind == "now":
            return float(run.draws.now())  # whole numbers arrive there in 32 bits
        if kind == "random":
            return run.draws.chance()
        if kind == "failed":
            what, message, stack = json.loads(text)
            run.failed = (what, message, stack)
            return 0.0
        try:
            return run.realm.context.parse_json(f"[0,{self._answer(run, kind, text, more, session)}]")
        except LookupError as error:
            return run.realm.context.parse_json(f"[1,{json.dumps(error.args[0])}]")
        except quickjs.JSException:
            return None  # no memory is left for the answer

    def _answer(self, run: "Run", kind: str, text: str, more: str, session: str) -> str:
        if kind == "getter":
            return run.surface.getter(json.loads(text))
        if kind == "method":
            return run.surface.method(text, json.loads(more))
        if kind == "place":
            return json.dumps(run.realm.place(run.program, json.loads(text)))
        return self._call(run, text, more, session)

    def _call(self, run: "Run", name: str, args: str, session: str) -> str:
        told, who = args.encode(), session.encode()
        if len(told) + len(who) > run.argument_bytes:
            raise LookupError(f"{name}: the arguments are longer than {run.argument_bytes} bytes")
        self.pipe.write(pack(CALL, name.encode(), told, who, run.draws.drawn()))
        while True:
            kind, parts = self.pipe.read()
            if kind == REPLY:
                break
            self.run(kind, parts, Realm(self))  # a script that the call runs
        value, thrown, draws, repeats = parts
        run.draws.begin(draws if repeats else None)
        if thrown:
            raise LookupError(thrown.decode())
        return value.decode()


class Run:
    """One run of a script, in a context of its own."""

    def __init__(
        self,
        realm: Realm,
        program: Program,
        surface: Surface,
        draws: Draws,
        argument_bytes: int,
        seconds: float,
    ) -> None:
        self.realm = realm
        self.program = program
        self.surface = surface
        self.draws = draws
        self.argument_bytes = argument_bytes
        self.seconds = seconds
        self.over_at = time.monotonic() + seconds
        self.failed: tuple[str, str, str] | None = None

    def is_over(self) -> bool:
        """Tell whether the run's time is over; once, for what comes afterwards is the end of the run."""
        if time.monotonic() < self.over_at:
            return False
        self.over_at = math.inf
        return True

    def run(self, data: str, memory_bytes: int, result_bytes: int) -> bytes:
        """Run the script; returns the frame with its result."""
        self.realm.context.set_memory_limit(memory_bytes)
        result = ""
        try:
            self.realm.run(self.program, data)
            if not self.failed:
                result = self.realm.result()
        except quickjs.JSException as error:  # which the prelude could not catch, or it was stopped itself
            self.failed = self.failed or (
                "thrown",
                str(error).partition("\n")[0] if self.over_at < math.inf else INTERRUPTED,
                str(error),
            )
        is_full = self.failed is not None and self.realm.context.memory()["malloc_size"] > memory_bytes * FULL
        self.realm.close()
        if self.failed:
            return self._failed(*self.failed, is_full=is_full)
        value = result.encode()
        if len(value) > result_bytes:
            said = f"the result has {len(value)} bytes; {result_bytes} are allowed"
            return self._failed("too_large", said, "")
        return pack(DONE, b"", value, b"", self.draws.drawn())

    def _failed(self, kind: str, message: str, stack: str, *, is_full: bool = False) -> bytes:
        if kind == "thrown" and (message in OUT_OF_MEMORY or (is_full and message == "null")):
            kind, message = "memory", OUT_OF_MEMORY[0]
        if INTERRUPTED in message:
            kind, message = "timeout", f"it ran for longer than {self.seconds:g} seconds"
        if _JAVA.fullmatch(message):
            message += ": scripts run without Java; use JavaScript and the bridge"
        try:
            place = json.dumps(self.realm.place(self.program, stack)).encode()
        except LookupError:
            place = b""
        return pack(DONE, kind.encode(), message.encode("utf-8", "replace"), place, self.draws.drawn())


_JAVA = re.compile(
    r"ReferenceError: (java|javax|Packages|JavaImporter|importClass|importPackage) is not defined"
)
FULL = 0.3  # of the memory: null that is thrown then stands for an error that found no room
_REHEARSAL = (
    "new Date(); Math.random(); try { bridge.none } catch (e) { e.lineNumber } throw new Error(Date())"
)
INTERRUPTED = "InternalError: interrupted"
OUT_OF_MEMORY = ("InternalError: out of memory", "Error: out of memory")


# The process


def main() -> None:
    """Serve the pipe that is this process's standard input and output."""
    os.environ["TZ"] = "UTC"
    if hasattr(time, "tzset"):
        time.tzset()
    # Here these are files beside this one, in no package.
    confinement, native = importlib.import_module("confinement"), importlib.import_module("native")
    library = None if PLAIN in sys.argv else native.Native.of(sys.modules["_quickjs"].__file__)
    worker = Worker(Pipe(_receive, _send), library)
    worker.rehearse()
    confinement.confine()
    worker.pipe.write(pack(READY))
    with contextlib.suppress(EOFError, BrokenPipeError):
        worker.serve()
    os._exit(0)


def _end_after(seconds: float) -> None:
    """Let the system end this process after a time, for the case that the server has died; 0: never."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, seconds)


def _receive(most: int) -> bytes:
    return os.read(0, most)


def _send(frame: memoryview) -> int:
    return os.write(1, frame)


if __name__ == "__main__":
    if sys.platform == "win32":
        import msvcrt

        msvcrt.setmode(0, os.O_BINARY)
        msvcrt.setmode(1, os.O_BINARY)
    main()
