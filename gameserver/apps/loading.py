"""Reads the folder of app definitions.

Each app is a folder with an `app.toml`, and sections may stand in files of their own beside it. Every mistake
of every file is collected; an app with a mistake is left out, the others are served.
"""

import ast
import json
import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, get_args, get_origin

import msgspec
from msgspec import NODEFAULT, Struct

from gameserver.apps.checking import Checker
from gameserver.apps.definition import App, Definition, Settings
from gameserver.apps.references import fields, hint
from gameserver.apps.relations import relation_mistakes
from gameserver.apps.toml_lines import KeyPath, key_lines, nearest_line

FILE_NAME = "app.toml"
FILE_BYTES_MAX = 4 * 1024 * 1024


class Sections(dict[str, type[Struct]]):
    """What services declare: the name of a table of `app.toml` and the type of what it holds.

    `offered` are the names that settings may refer to though no app declares them, by kind: operations.
    """

    def __init__(
        self, sections: Mapping[str, type[Struct]] = {}, offered: Mapping[str, Iterable[str]] = {}
    ) -> None:
        super().__init__(sections)
        self.offered = {kind: frozenset(names) for kind, names in offered.items()}


_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_TWICE = re.compile(r"Cannot declare (?P<path>\(.*\)) twice")
_AT_LINE = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")


@dataclass(frozen=True, order=True)
class Problem:
    """A mistake in a definition. As text: `apps/demo/app.toml:12 session.life_seconds: expected …`."""

    file: str
    line: int
    key: str
    message: str

    def __str__(self) -> str:
        key = f" {self.key}" if self.key else ""
        return f"{self.file}:{self.line}{key}: {self.message}"


class Apps:
    """The apps of a folder, found by id."""

    def __init__(
        self,
        apps: Iterable[App] = (),
        problems: Iterable[Problem] = (),
        broken: Iterable[str] | None = (),
        remarks: Iterable[Problem] = (),
        texts: Mapping[str, Mapping[str, str]] = {},
    ) -> None:
        """Hold `apps`; `broken` names the folders with problems, None means that nothing could be read.

        `remarks` are mistakes that keep no app from being served: in a script. `texts` are what the files of
        each folder said, by their paths in it.
        """
        self.by_id = {app.id: app for app in apps}
        self.problems = sorted(problems)
        self.remarks = sorted(remarks)
        self.broken = None if broken is None else frozenset(broken)
        self.texts = texts

    def find(self, app_id: str) -> App | None:
        """Find an app by its id."""
        return self.by_id.get(app_id)

    def __iter__(self) -> Iterator[App]:
        return iter(self.by_id.values())

    def __len__(self) -> int:
        return len(self.by_id)


def definition_type(sections: Mapping[str, type[Struct]]) -> type[Definition]:
    """Build the type of a whole file: the settings of every app and the parts that services declared.

    Raises ValueError for two sections that cannot live side by side: a mistake of ours.
    """
    return _definition_type(tuple(sections.items()))


@lru_cache(maxsize=8)  # a server loads again and again, with the same parts
def _definition_type(sections: tuple[tuple[str, type[Struct]], ...]) -> type[Definition]:
    names, kinds = [name for name, _ in sections], [kind for _, kind in sections]
    if taken := sorted(set(names) & {f.encode_name for f in fields(Definition)}):
        raise ValueError(f"sections with the names of settings: {', '.join(taken)}")
    if len(set(kinds)) < len(kinds):
        raise ValueError("two sections share one type; app.section(type) could not tell them apart")
    parts = [
        (f"section_{i}", kind, _default(kind)) if _has_defaults(kind) else (f"section_{i}", kind)
        for i, kind in enumerate(kinds)
    ]
    made = msgspec.defstruct(
        "AppFile",
        parts,
        bases=(Definition,),
        kw_only=True,
        forbid_unknown_fields=True,
        rename={f"section_{i}": name for i, name in enumerate(names)},
    )
    assert issubclass(made, Definition)
    made.__doc__ = Definition.__doc__
    return made


def _has_defaults(kind: type[Struct]) -> bool:
    return all(f.default is not NODEFAULT or f.default_factory is not NODEFAULT for f in fields(kind))


def _default(kind: type[Struct]) -> Any:
    return msgspec.field(default_factory=kind)


def load_apps(
    folder: Path,
    sections: Mapping[str, type[Struct]] | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Apps:
    """Load every app of a folder. Never raises for what an operator wrote: see `Apps.problems`.

    Folders whose names start with "." or "_" are passed over, and so are files beside the app folders.
    """
    loader = _Loader(sections if isinstance(sections, Sections) else Sections(sections or {}), environ)
    try:
        homes = sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith((".", "_")))
    except OSError as error:
        problem = Problem(str(folder), 1, "", f"the folder of apps cannot be read: {error.strerror}")
        return Apps(problems=[problem], broken=None)
    for home in homes:
        loader.load(home)
    return loader.result()


class _Loader:
    def __init__(self, sections: Sections, environ: Mapping[str, str]) -> None:
        self.sections = sections
        self.environ = environ
        self.file_type = definition_type(sections)
        self.tables = frozenset(f.encode_name for f in fields(self.file_type) if _is_table(f.type))
        self.loaded: list[tuple[App, int]] = []  # with the line of the id
        self.claims: dict[tuple[str, str], list[tuple[App, Place, str]]] = {}  # with the key
        self.sources: dict[str, _Sources] = {}
        self.problems: list[Problem] = []
        self.remarks: list[Problem] = []
        self.broken: set[str] = set()
        self.texts: dict[str, dict[str, str]] = {}

    def result(self) -> Apps:
        by_id: dict[str, list[tuple[App, int]]] = {}
        for app, line in self.loaded:
            by_id.setdefault(app.id, []).append((app, line))
        for places in by_id.values():
            for app, line in places if len(places) > 1 else ():
                others = ", ".join(f"{a.path / FILE_NAME}:{n}" for a, n in places if a is not app)
                message = f"{json.dumps(app.id)} is the id of another app too: {others}"
                self.report(app.path, line, "id", message)
        for (section, claim), claimants in self.claims.items():
            for app, (file, line), key in claimants if len(claimants) > 1 else ():
                others = ", ".join(f"{f}:{n} {k}" for a, (f, n), k in claimants if a is not app)
                message = f"another app claims {claim} of {section} too: {others}"
                self.report(app.path, line, key, message, file)
        self.check_relations({app.id: app for app, _ in self.loaded})
        good = [app for app, _ in self.loaded if app.name not in self.broken]
        return Apps(good, self.problems, self.broken, self.remarks, self.texts)

    def check_relations(self, apps: dict[str, App]) -> None:
        """Check what apps say of each other: parents and peers."""
        for app in apps.values():
            for path, message in relation_mistakes(apps, app):
                file, line = self.sources[app.name].place(path)
                self.report(app.path, line, dotted(path), message, file)

    def report(self, home: Path, line: int, key: str, message: str, file: Path | None = None) -> None:
        self.problems.append(Problem(str(file or home / FILE_NAME), line, key, message))
        self.broken.add(home.name)

    def load(self, home: Path) -> None:
        sources = self.sources[home.name] = _Sources(home / FILE_NAME)
        texts = self.texts[home.name] = {}

        def report(path: KeyPath, message: str) -> None:
            file, line = sources.place(path)
            self.report(home, line, dotted(path), message, file)

        is_whole = True
        for file, own_name in self.files(home):
            text = self.read(home, file)
            if text is not None:
                texts[str(file.relative_to(home))] = text
            table = None if text is None else self.parse(home, file, text)
            if text is None or table is None:
                is_whole = False
                continue
            for path, line, message in sources.add(file, own_name, table, key_lines(text)):
                self.report(home, line, dotted(path), message, file)
        if not is_whole:
            return  # what a file would have said is missing elsewhere
        checker = Checker(home, self.environ, report, self.sections.offered)
        if checker.check_file(sources.table, self.file_type):
            app = self.build(home, msgspec.convert(sources.table, self.file_type))
            self.loaded.append((app, sources.place(("id",))[1]))
            for name, kind in self.sections.items():
                section = app.section(kind)
                if not isinstance(section, Settings):
                    continue
                for key, message in section.mistakes_beside(app):
                    report((name, *((key,) if isinstance(key, str) else key)), message)
                for remark in section.read_beside(app):
                    path = (name, *remark.key) if remark.key else ()
                    file, line = sources.place(path) if path else (home / remark.file, remark.line)
                    self.remarks.append(Problem(str(file), line, dotted(path), remark.message))
                for key, claim in section.claims():
                    place = (app, sources.place((name, *key)), dotted((name, *key)))
                    self.claims.setdefault((name, claim), []).append(place)

    def files(self, home: Path) -> Iterator[tuple[Path, str]]:
        """Yield the files of an app, `app.toml` first, each with the section that it is named after."""
        yield home / FILE_NAME, ""
        for file in sorted(home.glob("*.toml")):
            if file.stem in self.tables:
                yield file, file.stem
            elif file.name != FILE_NAME and not file.name.startswith((".", "_")):
                message = f'no section is called "{file.stem}"{hint(file.stem, self.tables)}'
                self.report(home, 1, "", message, file)
        for name in sorted(self.tables):
            yield from ((file, name) for file in sorted((home / name).glob("*.toml")))

    def read(self, home: Path, path: Path) -> str | None:
        try:
            with path.open("rb") as file:
                raw = file.read(FILE_BYTES_MAX + 1)
        except FileNotFoundError:
            message = 'missing; every folder here is an app, unless its name starts with "_" or "."'
            self.report(home, 1, "", message, path)
            return None
        except OSError as error:
            self.report(home, 1, "", f"cannot be read: {error.strerror}", path)
            return None
        if len(raw) > FILE_BYTES_MAX:
            self.report(home, 1, "", f"larger than {FILE_BYTES_MAX} bytes", path)
            return None
        try:
            # Some editors on Windows put a byte order mark in front, which TOML does not know.
            return raw.decode("utf-8-sig").replace("\r\n", "\n")
        except UnicodeDecodeError as error:
            line = raw.count(b"\n", 0, error.start) + 1
            self.report(home, line, "", "this is not UTF-8 text; save the file as UTF-8", path)
            return None

    def parse(self, home: Path, file: Path, text: str) -> dict[str, Any] | None:
        try:
            return tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            message = str(error)
            place = _AT_LINE.search(message)
            last_line = text.count("\n") + 1
            line = int(place[1]) if place and place[1] else last_line
            said = _twice(text, line, message) or f"not TOML: {_AT_LINE.sub('', message)}"
            self.report(home, line, "", said, file)
        except (RecursionError, ValueError) as error:  # e.g. a number of thousands of digits, a 13th month
            what = "nested too deeply" if isinstance(error, RecursionError) else str(error)
            self.report(home, 1, "", f"not TOML: {what}", file)
        return None

    def build(self, home: Path, definition: Definition) -> App:
        settings = {name: getattr(definition, name) for name in Definition.__struct_fields__}
        parts: dict[type[Struct], Struct] = {}
        for i, kind in enumerate(
            self.sections.values()
        ):  # a room below may know only what it is derived from
            known_as = (each for each in kind.__mro__ if issubclass(each, Settings) and each is not Settings)
            parts |= dict.fromkeys((kind, *known_as), getattr(definition, f"section_{i}"))
        settings["title"] = settings["title"] or home.name
        return App(name=home.name, path=home, sections=parts, **settings)


Place = tuple[Path, int]
"""A file and a line of it."""


class _Sources:
    """The files of an app: what they say together, and where each key stands."""

    def __init__(self, first: Path) -> None:
        self.first = first
        self.table: dict[str, Any] = {}
        self.places: dict[KeyPath, Place] = {}

    def place(self, path: KeyPath) -> Place:
        """Find where a key stands or, when no file holds it, the closest table around it."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.places:
                return self.places[path[:length]]
        return self.first, 1

    def add(
        self, file: Path, section: str, table: dict[str, Any], lines: dict[KeyPath, int]
    ) -> Iterator[tuple[KeyPath, int, str]]:
        """Add what a file says; yield the keys that another file says too.

        The file of a section says what `app.toml` would say, so that moving lines changes nothing.
        """
        if section and table and section not in table:
            yield (), 1, f"expected [{section}] above its keys, as in {self.first.name}"
            return
        yield from self._join(self.table, table, (), lines)
        for path, line in lines.items():
            self.places.setdefault(path, (file, line))

    def _join(
        self, into: dict[str, Any], table: dict[str, Any], path: KeyPath, lines: dict[KeyPath, int]
    ) -> Iterator[tuple[KeyPath, int, str]]:
        for key, value in table.items():
            here = (*path, key)
            if key not in into:
                into[key] = value
            elif isinstance(value, dict) and isinstance(into[key], dict):
                yield from self._join(into[key], value, here, lines)
            else:
                file, line = self.place(here)
                message = f"stands in {file.relative_to(self.first.parent)}:{line} too; keep one of them"
                yield here, nearest_line(lines, here), message


def _is_table(kind: Any) -> bool:
    """Tell whether a setting is a table, which may stand in a file of its own."""
    if isinstance(kind, type):
        return issubclass(kind, Struct)
    return get_origin(kind) is dict or any(_is_table(part) for part in get_args(kind))


def _twice(text: str, line: int, message: str) -> str:
    """Say what to do about a key or a table that comes twice; empty for other complaints."""
    if found := _TWICE.match(message):
        path = ast.literal_eval(found["path"])
        first = nearest_line(key_lines("\n".join(text.split("\n")[: line - 1])), path)
        return f"[{dotted(path)}] begins on line {first} already: put its keys there, under one header"
    if message.startswith(("Cannot overwrite a value", "Duplicate inline table key")):
        return "this key has a value already: keep one of the two"
    return ""


def dotted(path: KeyPath) -> str:
    """Write a path as TOML does: `servers."room 1".addresses[0]`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            shown = part if _BARE_KEY.fullmatch(part) else json.dumps(part, ensure_ascii=False)
            text += f".{shown}" if text else shown
    return text
