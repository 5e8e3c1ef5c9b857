"""How an app is defined: the files as they lie on disk, what is wrong with them, and what runs instead."""

import asyncio
import difflib
import json
import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from gameserver.admin.common import Server, app_of
from gameserver.admin.declaring import action
from gameserver.admin.rights import Right
from gameserver.apps import App, Apps, load_apps
from gameserver.apps.loading import dotted
from gameserver.apps.toml_lines import KeyPath, text_values

FILES_MAX = 100
FILE_BYTES_MAX = 1 << 20
DIFF_LINES_MAX = 4000  # of both texts of a file
KEYS_MAX = 500
VALUE_MAX = 200
_SECRET = re.compile(r"[\w.-]*(?:secret|password|key|token|service_account)s?", re.IGNORECASE)
SECRETS_WITHIN = frozenset({"dev_tokens", "secret_headers"})
"""Tables whose texts are secrets, whatever they are called."""
NOT_SHOWN = (
    "This is no TOML, so nobody knows where its secrets are, and it is not shown. The mistakes say why."
)


@action(Right.APP_READ, "GET /apps/{app}/definition")
async def definition_show(server: Server, app: str) -> dict[str, Any]:
    """Return the files that define an app, without their secrets, and what is wrong with them."""
    definition = app_of(server, app)
    files = await asyncio.to_thread(_files, definition.path)
    problems = (*server.apps.problems, *server.apps.remarks)
    return {
        "folder": definition.path.name,
        "may_edit": server.settings.edit_apps,
        "files": [{"name": name, "text": text} for name, text in files],
        "mistakes": [
            {"file": Path(each.file).name, "line": each.line, "key": each.key, "message": each.message}
            for each in problems
            if Path(each.file).is_relative_to(definition.path)
        ],
    }


@action(Right.APP_READ, "GET /apps/{app}/definition/changes")
async def definition_changes(server: Server, app: str) -> dict[str, Any]:
    """Return how the files that lie on disk differ from what this process serves, and since when it does.

    `files` are those that differ, line by line; `keys` are the settings, by their dotted paths. Secrets are
    hidden under numbers: the same one says that it is the same secret. `mistakes` are those of the files as
    they are now: as long as there are any, nothing of them is taken over.
    """
    definition = app_of(server, app)
    running = server.apps.loaded(definition)
    changes = await asyncio.to_thread(_changes, server, definition, running.texts)
    return {"loaded_ms": running.at_ms, **changes}


ACTIONS = (definition_show, definition_changes)


def loaded(server: Server, folder: Path) -> Apps:
    """Return the apps of a folder as they lie on disk."""
    return load_apps(folder, server.registry.sections())


# Files


def _files(home: Path) -> list[tuple[str, str]]:
    """Return the text of each file that defines an app, without secrets, by its path below the folder."""
    found = sorted(home.glob("*.toml"), key=lambda path: (path.name != "app.toml", path.name))
    found += sorted(home.glob("*/*.toml"))
    return [(str(path.relative_to(home)), without_secrets(_text(path))) for path in found[:FILES_MAX]]


def _text(path: Path) -> str:
    try:
        return path.read_bytes()[:FILE_BYTES_MAX].decode("utf-8-sig", "replace")
    except OSError as error:
        return f"# cannot be read: {error.strerror}"


def without_secrets(text: str, told: Callable[[str], str] = lambda _: "(hidden)") -> str:
    """Return a text of TOML in which each secret is replaced; `told` says by what.

    Of a text that is no TOML nobody knows where its secrets are, so it is not shown.
    """
    try:
        tomllib.loads(text)
        values = text_values(text)
    except (tomllib.TOMLDecodeError, RecursionError):
        return NOT_SHOWN
    parts, end = [], 0
    for path, first, last in values:
        if _is_secret(path):
            parts += [text[end:first], f'"{told(text[first:last])}"']
            end = last
    return "".join((*parts, text[end:]))


def _is_secret(path: KeyPath) -> bool:
    names = [part for part in path if isinstance(part, str)]
    return _SECRET.fullmatch(names[-1]) is not None or not SECRETS_WITHIN.isdisjoint(names)


# What runs, and what lies on disk


def _changes(server: Server, app: App, running: Mapping[str, str]) -> dict[str, Any]:
    fresh = loaded(server, app.path.parent)
    stored = fresh.texts.get(app.name, {})
    seen: dict[str, str] = {}  # secrets by how they are told
    files: list[dict[str, Any]] = []
    shown: tuple[dict[str, str], dict[str, str]] = ({}, {})
    for name in dict.fromkeys((*running, *stored)):
        was, now = (_numbered(texts.get(name, ""), seen) for texts in (running, stored))
        for texts, text in zip(shown, (was, now), strict=True):
            texts[name] = text
        if running.get(name) != stored.get(name):
            state = "new" if name not in running else "gone" if name not in stored else "changed"
            files.append({"name": name, "state": state, "lines": _lines(was, now)})
    places = (app.path, *(app.path / name for name in stored))
    return {
        "files": files,
        "keys": _keys(*shown),
        "mistakes": [
            {"file": Path(each.file).name, "line": each.line, "key": each.key, "message": each.message}
            for each in fresh.problems
            if any(Path(each.file).is_relative_to(place) for place in places)
        ],
    }


def _numbered(text: str, seen: dict[str, str]) -> str:
    """Return a text in which secrets are numbers: whoever compares two texts sees which have changed."""
    return without_secrets(text, lambda secret: seen.setdefault(secret, f"(hidden {len(seen) + 1})"))


def _lines(was: str, now: str) -> list[list[str]]:
    """Return what differs, line by line, as marks (`-`, `+`, `@` or none) and lines."""
    old, new = was.split("\n"), now.split("\n")
    if len(old) + len(new) > DIFF_LINES_MAX:
        return [["", f"{len(old)} lines became {len(new)}: too many to show which"]]
    lines = list(difflib.unified_diff(old, new, lineterm="", n=2))[2:]
    return [[line[:1].strip(), line[1:] if line[:1] in " +-" else line] for line in lines]


def _keys(*sides: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the settings that differ, as what runs and what lies on disk have them; None: not at all."""
    tables = []
    for texts in sides:
        leaves: dict[str, Any] = {}
        for text in texts.values():
            try:
                leaves |= _leaves(tomllib.loads(text), ())
            except (tomllib.TOMLDecodeError, RecursionError, ValueError):
                return []  # the mistakes say so
        tables.append(leaves)
    was, now = tables
    different = [key for key in dict.fromkeys((*was, *now)) if was.get(key) != now.get(key)]
    return [
        {
            "section": key.partition(".")[0],
            "key": key,
            "running": _short(was.get(key)),
            "disk": _short(now.get(key)),
        }
        for key in sorted(different)[:KEYS_MAX]
    ]


def _leaves(value: Any, path: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(value, dict) or not value:
        return {dotted(path): value} if path else {}
    return {
        place: leaf for name, part in value.items() for place, leaf in _leaves(part, (*path, name)).items()
    }


def _short(value: Any) -> str | None:
    if value is None:
        return None
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= VALUE_MAX else f"{text[: VALUE_MAX - 1]}…"
