"""The process that runs scripts. It knows nothing but what it is sent, and can reach nothing but the pipe.

It is started as a file, without the rest of the server: `python -I -S worker.py FOLDER-OF-LIBRARIES`. Both
sides speak in frames: a length, a kind, and parts of bytes. What comes from here is untrusted; the server
checks it.
"""

import contextlib
import importlib.util
import json
import math
import os
import re
import signal
import struct
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

if __name__ == "__main__":
    sys.path += [sys.argv[1], str(Path(__file__).parent)]  # where the engine is; nothing else is to be found

Frame = tuple[bytes, list[bytes]]
"""A kind, and its parts."""

SECONDS_BEYOND = 5.0  # which the server has, to end the process itself
RUN, REPLY = b"R", b"A"  # what the server sends: run a script, what a call returned
PLAIN = "--plain"  # the word for a process that uses the Python module alone
CALL, DONE, READY = b"C", b"D", b"I"  # what the worker sends

_LENGTH = struct.Struct("<I")
_COUNT_AT = 5  # behind length and kind
PARTS_MAX = 8
_HEADS = [struct.Struct(f"<IcB{count}I") for count in range(PARTS_MAX + 1)]  # by the number of parts
RUN_HEAD = struct.Struct("<??qdQQQ")
"""Of what runs: whether to forget all programs before, whether it is a repeat, milliseconds since 1970,
seconds that it may take, and how many bytes its memory, the arguments of a call and its result may have."""


def pack(kind: bytes, *parts: bytes) -> bytes:
    """Make a frame: its length, the kind, how many parts, their lengths, and the parts."""
    head, sizes = _HEADS[len(parts)], [*map(len, parts)]
    return b"".join((head.pack(head.size - 4 + sum(sizes), kind, len(parts), *sizes), *parts))


def unpack(frame: bytes) -> Frame:
    """Take a frame apart. Raises ValueError for what is no frame."""
    count = frame[_COUNT_AT] if len(frame) > _COUNT_AT else PARTS_MAX + 1
    if count > PARTS_MAX or len(frame) < (at := _HEADS[count].size):
        raise ValueError("a frame has no head")
    _, kind, _, *sizes = _HEADS[count].unpack_from(frame)
    parts = []
    for size in sizes:
        end = at + size
        parts.append(frame[at:end])
        at = end
    if at != len(frame):
        raise ValueError("a frame has parts of other lengths")
    return kind, parts


class Frames:
    """Takes frames out of bytes as they come."""

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self._buffer: bytes | bytearray = b""

    def feed(self, data: bytes) -> None:
        """Take what came. Raises ValueError when more waits than a frame has, which nobody has asked for."""
        if len(self._buffer) + len(data) > self.bytes_max:
            raise ValueError(f"more than {self.bytes_max} bytes wait")
        if not self._buffer:
            self._buffer = data  # mostly a whole frame
            return
        if not isinstance(self._buffer, bytearray):
            self._buffer = bytearray(self._buffer)
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
        if len(buffer) == end:
            self._buffer = b""
            return unpack(bytes(buffer))
        self._buffer = buffer[end:]
        return unpack(bytes(buffer[:end]))


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
    """The names of the bridge, found in any case of letters. What they are is JSON."""

    def __init__(self, table: bytes) -> None:
        told = json.loads(table)
        self._getters = {f"bridge.{n}".lower(): json.dumps((0, f"bridge.{n}")) for n in told["functions"]}
        self._methods: dict[str, dict[str, str]] = {}
        for getter, (service, methods) in told["proxies"].items():
            self._getters[f"bridge.{getter}".lower()] = json.dumps((1, service))
            known = self._methods.setdefault(service, {})
            known.update((m.lower(), json.dumps(f"{service}.{m}")) for m in methods)

    def getter(self, name: str) -> str:
        """Return whether a name of `bridge` gives a proxy, and of what, or else what it calls."""
        found = self._getters.get(f"bridge.{name}".lower())
        if found is None:
            raise LookupError(f"bridge.{name}: the bridge has no such function")
        return found

    def method(self, service: str, name: str) -> str:
        """Return what a method of a proxy calls."""
        found = self._methods[service].get(name.lower())
        if found is None:
            raise LookupError(f"{service}.{name}: the proxy has no such method")
        return found


# Programs


class Program:
    """A script's text as it is run, and where its lines come from."""

    def __init__(self, text: str, lines: list[tuple[int, str, int]]) -> None:
        # Line 1 is that of the prelude. Behind a statement, "use strict" is no directive.
        self.text = f"void 0;\n{text}"
        self.lines = lines  # [first line, file, line there]
        self.needs = tuple(part for part, words in _NEEDS.items() if words.search(text) or _ANY.search(text))
        """The sections of `bridge.js` that it may come to."""
        self.code: Any = None  # what the engine has made of it

    def place(self, stack: str) -> tuple[str, int, int]:
        """Find the author's file, line and column at the top of a stack. Raises LookupError."""
        for found in _PLACE.finditer(stack):
            line, column = int(found[1]) - 1, int(found[2])
            for first, file, there in reversed(self.lines):
                if first <= line:
                    return file, there + line - first, column
        raise LookupError("no line of the script is on the stack")


# As `native` names a script on a stack, and as `plain` does.
_PLACE = re.compile(r"(?:\bscript|<input>):(\d{1,9}):(\d{1,9})\b")
# Words without one of which a script does not come to time and chance, to a caught error, to the bridge.
_NEEDS = {
    "time": re.compile(r"Date|Math"),
    "errors": re.compile(r"Error|catch|Promise|[aA]sync"),
    "bridge": re.compile(r"bridge"),
}
_ANY = re.compile(
    r"eval|Function|constructor|globalThis|\bthis\b|import|\\u"
)  # by which it comes to all of them

# Running


class Pipe:
    """The way to the server."""

    def __init__(self, receive: Callable[[int], bytes], send: Callable[[bytes], int]) -> None:
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
        while (sent := self._send(frame)) < len(frame):
            frame = frame[sent:]


class Worker:
    """Runs one script after another; while one waits for a call, another may run that the call began."""

    def __init__(self, pipe: Pipe) -> None:
        self.pipe = pipe
        self.engine: Any = None  # `native.Engine` or `plain.Engine`
        self.programs: dict[bytes, Program] = {}
        self.surfaces: dict[bytes, Surface] = {}
        self.running: list[Run] = []
        self._refusal = ""

    def serve(self) -> None:
        """Run what comes, until the server goes."""
        while True:
            realm = self.engine.realm()  # for the next script, while nobody waits
            kind, parts = self.pipe.read()
            self.run(kind, parts, realm)

    def rehearse(self) -> None:
        """Run a script that uses everything, so that all is loaded that is ever read from a file.

        Raises ValueError when it does not end as it should.
        """
        surface, program = Surface(b'{"functions": [], "proxies": {}}'), Program(_REHEARSAL, [(1, "", 1)])
        run = Run(self.engine.realm(), program, surface, Draws(0, None), 0, 60)
        self.running.append(run)
        ended = run.run(b"{}", 1 << 26, 1 << 10)
        self.running.pop()
        if unpack(ended)[1][:2] != [b"thrown", b"Error: 7.5"]:
            raise ValueError("the engine has another form")

    def is_over(self) -> bool:
        """Tell whether the time of the run is over."""
        return bool(self.running) and self.running[-1].is_over()

    def run(self, kind: bytes, parts: list[bytes], realm: Any) -> None:
        """Run a script and tell its result."""
        if kind != RUN:
            raise ValueError(f"expected a script to run, got {kind!r}")
        head, key, surface_key, data, draws, text, lines, table = parts
        forgets, repeats, ms, seconds, memory_bytes, argument_bytes, result_bytes = RUN_HEAD.unpack(head)
        if forgets:
            self.programs.clear()
        if lines:
            self.programs[key] = Program(text.decode(), json.loads(lines))
        if table:
            self.surfaces[surface_key] = Surface(table)
        draw = Draws(ms, draws if repeats else None)
        run = Run(realm, self.programs[key], self.surfaces[surface_key], draw, argument_bytes, seconds)
        if self.running:
            run.over_at = min(
                run.over_at, self.running[-1].over_at
            )  # it is in the time of the one that waits
        else:
            _end_after(seconds + SECONDS_BEYOND)
        self.running.append(run)
        frame = run.run(data, memory_bytes, result_bytes)
        self.running.pop()
        if not self.running:
            _end_after(0)
        self.pipe.write(frame)
        realm.close()

    def ask(self, asked: bytes) -> bytes | None:
        """Answer what `bridge.js` asks, by JSON; None when that is refused."""
        run = self.running[-1]
        try:
            if asked.startswith(b"call"):
                return self._call(run, *asked[4:].split(b"\n"))
            return self._told(run, asked.decode("utf-8", "replace")).encode()
        except LookupError as error:
            self._refusal = error.args[0]
            return None

    def _told(self, run: "Run", asked: str) -> str:
        match asked:
            case "now":
                return str(run.draws.now())
            case "random":
                return repr(run.draws.chance())
            case "refusal":
                return json.dumps(self._refusal)
        if asked.startswith("getter"):
            return run.surface.getter(json.loads(asked.removeprefix("getter")))
        if asked.startswith("method"):
            service, _, name = asked.removeprefix("method").partition("\n")
            return run.surface.method(service, json.loads(name))
        return json.dumps(run.program.place(json.loads(asked.removeprefix("place"))))

    def _call(self, run: "Run", name: bytes, args: bytes, session: bytes) -> bytes:
        if len(args) + len(session) > run.argument_bytes:
            raise LookupError(f"{name.decode()}: the arguments are longer than {run.argument_bytes} bytes")
        self.pipe.write(pack(CALL, name, args, session, run.draws.drawn()))
        while True:
            kind, parts = self.pipe.read()
            if kind == REPLY:
                break
            self.run(kind, parts, self.engine.realm())  # a script that the call runs
        value, thrown, draws, repeats = parts
        run.draws.begin(draws if repeats else None)
        if thrown:
            raise LookupError(thrown.decode())
        return value


class Run:
    """One run of a script, in a context of its own."""

    def __init__(
        self,
        realm: Any,
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

    def is_over(self) -> bool:
        """Tell whether the run's time is over; once, for what comes afterwards is the end of the run."""
        if time.monotonic() < self.over_at:
            return False
        self.over_at = math.inf
        return True

    def run(self, data: bytes, memory_bytes: int, result_bytes: int) -> bytes:
        """Run the script; returns the frame with its result."""
        failure, text, stack = self.realm.run(self.program, data, memory_bytes)
        if failure:
            is_full = self.realm.memory_used > memory_bytes * FULL
            return self._failed(failure, text.decode("utf-8", "replace"), stack, is_full=is_full)
        if len(text) > result_bytes:
            said = f"the result has {len(text)} bytes; {result_bytes} are allowed"
            return self._failed("too_large", said, "")
        return pack(DONE, b"", text, b"", self.draws.drawn())

    def _failed(self, kind: str, message: str, stack: str, *, is_full: bool = False) -> bytes:
        if kind == "thrown" and (message in OUT_OF_MEMORY or (is_full and message == "null")):
            kind, message = "memory", OUT_OF_MEMORY[0]
        if self.over_at == math.inf:
            kind, message = "timeout", f"it ran for longer than {self.seconds:g} seconds"
        if _JAVA.fullmatch(message):
            message += ": scripts run without Java; use JavaScript and the bridge"
        try:
            place = json.dumps(self.program.place(stack)).encode()
        except LookupError:
            place = b""
        return pack(DONE, kind.encode(), message.encode("utf-8", "replace"), place, self.draws.drawn())


_JAVA = re.compile(
    r"ReferenceError: (java|javax|Packages|JavaImporter|importClass|importPackage) is not defined"
)
FULL = 0.3  # of the memory: null that is thrown then stands for an error that found no room
_REHEARSAL = """
    new Date(); Date(); Math.random(); /x/.test("x"); new Map([[new Uint8Array(5)]]);
    try { bridge.none } catch (e) { e.lineNumber }
    throw new Error(7.5)
"""
OUT_OF_MEMORY = ("InternalError: out of memory", "Error: out of memory")


# The process


def main() -> None:
    """Serve the pipe that is this process's standard input and output."""
    os.environ["TZ"] = "UTC"
    if hasattr(time, "tzset"):
        time.tzset()
    worker = Worker(Pipe(_receive, _send))
    bridge = partial(bridge_of, _text("bridge.js"))
    # Here these are files beside this one, in no package.
    if PLAIN in sys.argv:
        plain = importlib.import_module("plain")
        worker.engine = plain.Engine(worker.ask, _text("prelude.js")[""], bridge)
    else:
        native, library = importlib.import_module("native"), importlib.util.find_spec("_quickjs")
        assert library is not None, "the Python module holds it"
        worker.engine = native.Engine(library.origin, worker.ask, worker.is_over, bridge)
    worker.rehearse()
    importlib.import_module("confinement").confine()
    worker.pipe.write(pack(READY))
    with contextlib.suppress(EOFError, BrokenPipeError):
        worker.serve()
    os._exit(0)


def _text(name: str) -> dict[str, str]:
    """Read a script of our own by its sections, in one line: to be told apart from scripts in a stack."""
    section, read = "", dict[str, str]()
    for line in map(str.strip, (Path(__file__).parent / name).read_text("utf-8").splitlines()):
        if line.startswith(_SECTION):
            section = line.removeprefix(_SECTION)
        elif not line.startswith("//"):
            read[section] = f"{read.get(section, '')} {line}"
    return read


_SECTION = "// section: "


def bridge_of(sections: dict[str, str], needs: tuple[str, ...]) -> str:
    """Return the text of `bridge.js` with the sections that a script needs."""
    return " ".join(sections[section] for section in ("", *needs, "end"))


def _end_after(seconds: float) -> None:
    """Let the system end this process after a time, for the case that the server has died; 0: never.

    Linux ends it together with the server (see `confinement`), which saves each run two calls of the system.
    """
    if sys.platform != "linux" and hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, seconds)


def _receive(most: int) -> bytes:
    return os.read(0, most)


def _send(frame: bytes) -> int:
    return os.write(1, frame)


if __name__ == "__main__":
    if sys.platform == "win32":
        import msvcrt

        msvcrt.setmode(0, os.O_BINARY)
        msvcrt.setmode(1, os.O_BINARY)
    main()
