"""The scripts of an app: its files, what they say of themselves, and their texts as they are run.

A script is a file below `scripts/`, as teams export them: the source, and behind it perhaps a block of
comments with the script's settings. A mistake breaks the script that it stands in, and those that include it.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from posixpath import dirname, join, normpath
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from gameserver.apps import App, Mistake, Remark, Settings
from gameserver.apps.references import hint
from gameserver.scripts.checking import loosened, mistake_in
from gameserver.scripts.hook_settings import HOOK_SAMPLE, ApiHook, by_operation, hook_mistakes

SECTION = "scripts"
SAMPLE = """\
# Cloud code: the JavaScript files below scripts/ beside app.toml. A file is named by its path without the
# extension (.ccjs, .cloudcode.js or .js). Behind its source a file may say who can call it; one that
# says nothing is called by hooks, jobs and other scripts alone, until it is listed here.
[scripts]
# How long a script may run that does not say so itself, calls included, and any script whatever it says.
#seconds = 10.0
#most_seconds = 140.0
# What one run may take: memory, calls of the bridge, the arguments of one call, its result.
#memory_bytes = 33554432
#calls = 1000
#call_bytes = 1048576
#result_bytes = 1048576
# Longest script, with what it includes.
#script_bytes = 131072
# Scripts that run or wait at once in one server process, and those of one player. How long one waits for
# its turn before it is refused.
#runs = 64
#runs_per_player = 4
#wait_seconds = 5.0
# true looks for what bridge.callScript names from the root first, then beside the script that calls.
#root_paths = false

# A script by its path. What stands here goes before what the file says.
#[scripts.files."gifts/Send"]
#client_callable = true
#s2s_callable = false
#peer_callable = false
#seconds = 20.0
"""
SAMPLE += HOOK_SAMPLE

FOLDER = "scripts"
EXTENSIONS = (".cloudcode.js", ".ccjs", ".js")
TEST = ".test"  # at the end of the name of a script that tests others
FILES_MAX = 5000
BLOCK_BYTES_MAX = 256 * 1024
SCRIPT_SECONDS_MAX = 600
"""The longest that an app may let a script run."""
PACKET_SECONDS_MORE = 30.0  # than its longest script, for what else is in it

Lines = tuple[tuple[int, str, int], ...]
"""Where the lines of a text come from: first line, file, line there; each until the next."""


@dataclass(frozen=True, slots=True)
class RunLimits:
    """What a run may take. Where a limit is passed, the run fails."""

    seconds: float = 10.0
    """From its beginning to its end, the calls included; the wait for a process aside."""
    memory_bytes: int = 32 * 1024 * 1024
    calls: int = 1000
    argument_bytes: int = 1024 * 1024
    """Of one call. What is longer throws an error in the script."""
    result_bytes: int = 1024 * 1024
    runs_per_app: int = 64
    """That run or wait at once; of a player below."""
    runs_per_player: int = 4
    wait_seconds: float = 5.0
    """For a process."""


class ScriptFlags(Settings, kw_only=True):
    """Who may run a script from outside, and how long it may take; goes before what the file says."""

    client_callable: Annotated[bool | None, Meta(description="true lets clients run it.")] = None
    s2s_callable: Annotated[bool | None, Meta(description="true lets servers of yours run it.")] = None
    peer_callable: Annotated[bool | None, Meta(description="true lets scripts of peer apps run it.")] = None
    seconds: (
        Annotated[
            float, Meta(ge=0.1, le=SCRIPT_SECONDS_MAX, description="How long it may run, calls included.")
        ]
        | None
    ) = None


class ScriptSettings(Settings, kw_only=True, dict=True):
    """What scripts may take, and what does not stand in their files."""

    seconds: Annotated[
        float,
        Meta(
            ge=0.1,
            le=SCRIPT_SECONDS_MAX,
            description="How long a script may run that does not say so itself.",
        ),
    ] = 10.0
    most_seconds: Annotated[
        float,
        Meta(
            ge=0.1, le=SCRIPT_SECONDS_MAX, description="How long any script may run, whatever its file says."
        ),
    ] = 140.0
    memory_bytes: Annotated[int, Meta(ge=2_097_152, le=536_870_912, description="Memory of one run.")] = (
        33_554_432
    )
    calls: Annotated[
        int, Meta(ge=1, le=100_000, description="Calls of the bridge that one run may make.")
    ] = 1000
    call_bytes: Annotated[
        int, Meta(ge=1024, le=4_194_304, description="Longest arguments of one call, as JSON.")
    ] = 1_048_576
    result_bytes: Annotated[
        int, Meta(ge=1024, le=4_194_304, description="Longest result of a script, as JSON.")
    ] = 1_048_576
    script_bytes: Annotated[
        int, Meta(ge=1024, le=4_194_304, description="Longest script, with what it includes.")
    ] = 131_072
    runs: Annotated[
        int, Meta(ge=1, le=10_000, description="Scripts of the app that run or wait at once, in one process.")
    ] = 64
    runs_per_player: Annotated[int, Meta(ge=1, le=1000, description="Of those, scripts of one player.")] = 4
    wait_seconds: Annotated[
        float, Meta(ge=0.1, le=60, description="How long a script waits for its turn before it is refused.")
    ] = 5.0
    root_paths: Annotated[
        bool,
        Meta(
            description="true looks for what bridge.callScript names from the root first, then beside the "
            "calling script, for apps that are older than such paths."
        ),
    ] = False
    files: Annotated[
        dict[str, ScriptFlags], Meta(description="Scripts by their paths, such as gifts/Send.")
    ] = msgspec.field(default_factory=dict)

    hooks: Annotated[
        list[ApiHook], Meta(max_length=500, description="Scripts that run before or after operations.")
    ] = msgspec.field(default_factory=list)

    @property
    def hooked(self) -> Mapping[str, tuple[ApiHook, ...]]:
        """The hooks by their operations, in the order in which they are declared."""
        found: Mapping[str, tuple[ApiHook, ...]] = self.__dict__.get("_hooked", {})
        return found

    @property
    def programs(self) -> "Programs":
        """The scripts of the app as they were when it was loaded."""
        found: Programs = self.__dict__.get("_programs", _NONE)
        return found

    @property
    def packet_seconds(self) -> float:
        """How long a packet may take that runs scripts: after that, none of its messages begins."""
        return self.most_seconds + PACKET_SECONDS_MORE

    def limits(self, program: "Program") -> "RunLimits":
        """Return what a run of a script may take."""
        seconds = min(program.seconds or self.seconds, self.most_seconds)
        known: dict[float, RunLimits] = self.__dict__.setdefault("_limits_known", {})
        if seconds not in known:
            known[seconds] = self._limits(seconds)
        return known[seconds]

    def _limits(self, seconds: float) -> "RunLimits":
        return RunLimits(
            seconds=seconds,
            memory_bytes=self.memory_bytes,
            calls=self.calls,
            argument_bytes=self.call_bytes,
            result_bytes=self.result_bytes,
            runs_per_app=self.runs,
            runs_per_player=self.runs_per_player,
            wait_seconds=self.wait_seconds,
        )

    def mistakes(self, folder: Path) -> Iterator[Mistake]:
        """Yield times that exclude each other."""
        if self.seconds > self.most_seconds:
            yield "seconds", f"more than most_seconds, which is {self.most_seconds:g}"
        yield from hook_mistakes(self.hooks)
        yield from super().mistakes(folder)

    def read_beside(self, app: App) -> Iterator[Remark]:
        """Read the scripts; yield what is wrong with each."""
        reader = _Reader(app, self)
        self.__dict__["_programs"] = Programs(reader.read(), root_first=self.root_paths)
        yield from dict.fromkeys(reader.remarks)  # what is included is read for each that includes it
        for index, hook in enumerate(self.hooks):
            if self.programs.find(hook.script) is None:
                message = f"there is no script {hook.script!r}: the operation will be refused"
                yield Remark("", 0, message, ("hooks", index, "script"))
        self.__dict__["_hooked"] = hooked = by_operation(self.hooks)
        app.has_hooks = bool(hooked)
        app.stepwise_seconds = self.packet_seconds


@dataclass(frozen=True, slots=True)
class Program:
    """A script as it is run. It never changes; a file that was saved again is another one."""

    app_id: str
    path: str
    """Folders and name, without a "/" in front and without extension: `gifts/Send`."""
    text: str
    lines: Lines
    client_callable: bool = False
    s2s_callable: bool = False
    peer_callable: bool = False
    seconds: float | None = None
    """How long it may run, where it or the app says so."""
    description: str = ""
    test_data: Any = None
    """The parameters that its author tries it with."""
    file: str = ""
    problem: str = ""
    """Why it cannot run, with file and line; empty for most."""
    key: str = ""
    """Names the text: two programs of one key do the same."""

    def __post_init__(self) -> None:
        """Name the text."""
        told = repr((self.text, self.lines)).encode("utf-8", "surrogatepass")
        object.__setattr__(self, "key", hashlib.blake2b(told, digest_size=12).hexdigest())


class Programs(Mapping[str, Program]):
    """The scripts of an app, by their paths."""

    def __init__(self, by_path: dict[str, Program], *, root_first: bool = False) -> None:
        self._by_path = by_path
        self._root_first = root_first

    def __getitem__(self, path: str) -> Program:
        return self._by_path[path]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_path)

    def __len__(self) -> int:
        return len(self._by_path)

    def find(self, path: str, beside: Program | None = None) -> Program | None:
        """Find a script by how callers name it: from the root, or beside the script that calls.

        A "/" in front and an extension make no difference; a path beside a script is looked for from the
        root, too.
        """
        if beside is None and (found := self._by_path.get(path)) is not None:
            return found
        from_root = self._by_path.get(canonical(path))
        if beside is None or path.startswith("/") or (self._root_first and from_root):
            return from_root
        return self._by_path.get(canonical(path, dirname(beside.path))) or from_root


def canonical(path: str, folder: str = "") -> str:
    """Return a script's path as `Program.path` is written; one that leaves the root begins there."""
    whole = path if path.startswith("/") else join(folder, path)
    return without_extension(normpath("/" + whole.lstrip("/")).lstrip("/"))


def without_extension(name: str) -> str:
    """Cut off what tells a script's file from others."""
    return next((name.removesuffix(e) for e in EXTENSIONS if name.endswith(e)), name)


# Reading files


class _Mistake(Exception):
    """What is wrong, and where."""

    def __init__(self, file: str, line: int, message: str) -> None:
        super().__init__(f"{file}:{line}: {message}")
        self.file, self.line, self.message = file, line, message


@dataclass
class _Source:
    """A file: its source without the block behind it, and what the block says."""

    file: str
    path: str
    lines: list[str]
    told: "_Told"
    has_block: bool = False
    mistake: _Mistake | None = None


class _Told(msgspec.Struct, rename="camel"):
    """What the block behind a script says. Numbers and flags occur as texts, too."""

    script_name: str = ""
    folder_path: str | None = None
    client_callable: bool = False
    s2s_callable: bool = msgspec.field(default=False, name="s2sCallable")
    peer_callable: bool = False
    script_timeout: float | None = None
    description: str | None = None
    parms: Any = None


def read_tests(app: App) -> list[Program]:
    """Read the scripts that test others, such as `gifts/Send.test.js`; a running server leaves them out."""
    programs = _Reader(app, app.section(ScriptSettings), with_tests=True).read()
    return [program for path, program in programs.items() if path.endswith(TEST)]


class _Reader:
    """Reads the scripts of one app."""

    def __init__(self, app: App, settings: ScriptSettings, *, with_tests: bool = False) -> None:
        self.app = app
        self.with_tests = with_tests
        self.settings = settings
        self.home = app.path / FOLDER
        self.remarks: list[Remark] = []
        self.sources: dict[str, _Source] = {}

    def read(self) -> dict[str, Program]:
        for file in self.files():
            source = self.source(file)
            if source.path in self.sources:
                other = self.sources[source.path].file
                self.remark(source.file, 1, f"{other} is the script {source.path}, too; this one is left out")
                continue
            self.sources[source.path] = source
        for path in self.settings.files.keys() - self.sources.keys():
            message = f"there is no script {path}{hint(path, self.sources)}"
            self.remarks.append(Remark("", 0, message, key=("files", path)))
        return {path: self.program(source) for path, source in sorted(self.sources.items())}

    def files(self) -> list[Path]:
        if not self.home.is_dir():
            return []
        found = sorted(
            path
            for path in self.home.rglob("*")
            if path.name.endswith(EXTENSIONS)
            and (self.with_tests or not without_extension(path.name).endswith(TEST))
            and not any(part.startswith(".") for part in path.relative_to(self.home).parts)
            and path.is_file()
        )
        if len(found) > FILES_MAX:
            self.remark(FOLDER, 1, f"{len(found)} scripts; those after the first {FILES_MAX} are left out")
        return found[:FILES_MAX]

    def remark(self, file: str, line: int, message: str) -> None:
        self.remarks.append(Remark(file, line, message))

    def source(self, path: Path) -> _Source:
        relative = path.relative_to(self.home).as_posix()
        file = f"{FOLDER}/{relative}"
        source = _Source(file, without_extension(relative), [], _Told())
        try:
            text = self.text(path, file)
            source.lines, block = split_block(text)
            if block:
                source.has_block = True
                source.told = _told(file, len(source.lines) + 1, block)
        except _Mistake as mistake:
            source.mistake = mistake
        told = source.told
        name = told.script_name.strip("/") or source.path.rpartition("/")[2]
        folder = dirname(source.path) if told.folder_path is None else told.folder_path.strip("/")
        source.path = canonical(join(folder, name))
        return source

    def text(self, path: Path, file: str) -> str:
        most = self.settings.script_bytes + BLOCK_BYTES_MAX
        try:
            with path.open("rb") as opened:
                raw = opened.read(most + 1)
        except OSError as error:
            raise _Mistake(file, 1, f"cannot be read: {error.strerror}") from None
        if len(raw) > most:
            raise _Mistake(file, 1, self.too_long())
        try:
            return re.sub("\r\n?", "\n", raw.decode("utf-8-sig"))
        except UnicodeDecodeError as error:
            line = raw.count(b"\n", 0, error.start) + 1
            raise _Mistake(file, line, "this is not UTF-8 text; save the file as UTF-8") from None

    def too_long(self) -> str:
        return f"longer than {self.settings.script_bytes} bytes, which script_bytes of [scripts] allows"

    def program(self, source: _Source) -> Program:
        told, flags = source.told, self.settings.files.get(source.path, ScriptFlags())
        seconds = told.script_timeout if flags.seconds is None else flags.seconds
        program = Program(
            app_id=self.app.id,
            path=source.path,
            text="",
            lines=(),
            client_callable=_first(flags.client_callable, told.client_callable),
            s2s_callable=_first(flags.s2s_callable, told.s2s_callable),
            peer_callable=_first(flags.peer_callable, told.peer_callable),
            seconds=seconds,
            description=told.description or "",
            test_data=told.parms,
            file=source.file,
        )
        try:
            rendered = _Rendered()
            self.render(source, rendered, ())
            text = "\n".join(rendered.lines)
            if len(text.encode("utf-8", "surrogatepass")) > self.settings.script_bytes:
                raise _Mistake(source.file, 1, self.too_long())  # noqa: TRY301 - as all others
            text = loosened(text)
            if found := mistake_in(text):
                file, line = rendered.where(found[0])
                raise _Mistake(file, line, found[1])  # noqa: TRY301 - as all others
        except _Mistake as mistake:
            self.remark(mistake.file, mistake.line, mistake.message)
            return replace(program, problem=str(mistake))
        return replace(program, text=text, lines=tuple(rendered.segments))

    def render(self, source: _Source, rendered: "_Rendered", within: tuple[str, ...]) -> None:
        """Write a script's text, and in front of it those that it includes and that are not there yet."""
        if source.mistake:
            raise source.mistake
        top = _Top()
        for number, line in enumerate(source.lines, 1):
            included, rest = top.includes(line) if top.goes_on else ([], line)
            for path in included:
                self.include(source, number, path, rendered, (*within, source.path))
            rendered.add(source.file, number, rest)

    def include(
        self, source: _Source, line: int, path: str, rendered: "_Rendered", within: tuple[str, ...]
    ) -> None:
        wanted = canonical(path, dirname(source.path))
        found = self.sources.get(wanted)
        if found is None:
            message = f"there is no script {wanted} to include{hint(wanted, self.sources)}"
            raise _Mistake(source.file, line, message)
        if found.path in within:
            raise _Mistake(
                source.file, line, f"{found.path} includes itself: {' > '.join((*within, found.path))}"
            )
        if found.path not in rendered.included:
            rendered.included.add(found.path)
            self.render(found, rendered, within)


class _Rendered:
    """A text as it grows, with where its lines come from."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.segments: list[tuple[int, str, int]] = []
        self.included: set[str] = set()
        self._next = ("", 0)

    def add(self, file: str, number: int, line: str) -> None:
        self.lines.append(line)
        if (file, number) != self._next:
            self.segments.append((len(self.lines), file, number))
        self._next = (file, number + 1)

    def where(self, line: int) -> tuple[str, int]:
        """Find the file and the line there of a line of the text."""
        first, file, there = next(s for s in reversed(self.segments) if s[0] <= max(line, 1))
        return file, there + line - first


def _first(flag: bool | None, otherwise: bool) -> bool:
    return otherwise if flag is None else flag


_ONE_INCLUDE = r"""bridge\s*\.\s*include\s*\(\s*(?:"([^"\\]+)"|'([^'\\]+)')\s*\)\s*;?"""
_AT_TOP = re.compile(rf"""\s+|//.*|/\*.*?(?:\*/|$)|(?:"use strict"|'use strict')\s*;?|{_ONE_INCLUDE}""")


@dataclass
class _Top:
    """The beginning of a file, where includes may stand: among empty lines, comments and "use strict"."""

    goes_on: bool = True
    in_comment: bool = False

    def includes(self, line: str) -> tuple[list[str], str]:
        """Return what a line includes, and the line without that."""
        at, included, rest = 0, list[str](), line
        if self.in_comment:
            end = line.find("*/")
            if end < 0:
                return [], line
            at, self.in_comment = end + 2, False
        while found := _AT_TOP.match(line, at):
            at = found.end()
            if path := found[1] or found[2]:
                included.append(path)
                rest = rest[: found.start()] + " " * len(found[0]) + rest[at:]
            self.in_comment = found[0].startswith("/*") and not found[0].endswith("*/")
        self.goes_on = at == len(line)
        return included, rest


# The block behind a script

_MARKER = re.compile(r"//\*+ *-+ .*meta-data begins now.*")


def split_block(text: str) -> tuple[list[str], str]:
    """Return the lines of the source, and the text of the block behind it; empty when there is none."""
    lines = text.split("\n")
    at = next((i for i, line in enumerate(lines) if _MARKER.match(line.strip())), len(lines))
    block = [line.strip().removeprefix("//").strip() for line in lines[at + 1 :]]
    return lines[:at], "\n".join(block).strip()


def _told(file: str, line: int, block: str) -> _Told:
    """Read a block. Its values are escaped once more than JSON's; a few are not."""
    wrong = ""
    for text in (_unescaped(block), block):
        try:
            told = json.loads("{" + text.rstrip().removesuffix(",") + "}", strict=False)
            return _with_parameters(msgspec.convert(told, _Told, strict=False))
        except (ValueError, RecursionError) as error:  # also msgspec's
            wrong = wrong or str(error)
    raise _Mistake(file, line, f"the block of settings cannot be read: {wrong}")


def _with_parameters(told: _Told) -> _Told:
    if isinstance(told.parms, str):
        try:
            told.parms = json.loads(told.parms)
        except (ValueError, RecursionError):
            told.parms = None  # a draft of its author
    if told.script_timeout is not None and not 0 < told.script_timeout < SECONDS_WRITTEN_MAX:
        told.script_timeout = None
    return told


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(lambda m: chr(int(m[1], 16)) if m[1] else _ESCAPED.get(m[2], m[2]), text)


_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
SECONDS_WRITTEN_MAX = 86_400


_NONE = Programs({})
