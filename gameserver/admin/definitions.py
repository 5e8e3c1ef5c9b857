"""How an app is defined: the files as they lie on disk, what is wrong with them, and web endpoints as forms.

Files are changed only where the operator allows it (`serve --edit-apps`), letter by letter but for what is
meant, and only to what a server can read. Whoever saves says which text they saw: a file that somebody else
has changed meanwhile is not overwritten.
"""

import asyncio
import difflib
import hashlib
import json
import os
import re
import tempfile
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

import httpx
import msgspec
import tomlkit
from tomlkit.exceptions import TOMLKitError

from gameserver.admin.common import Refused, Server, app_of
from gameserver.admin.declaring import action
from gameserver.admin.operators import CLI, Operator, note
from gameserver.admin.rights import Right
from gameserver.apps import App, Apps, load_apps
from gameserver.apps.loading import dotted
from gameserver.faces.endpoints.declaration import Web

FILES_MAX = 100
FILE_BYTES_MAX = 1 << 20
EVENTS_MAX = 20
DIFF_LINES_MAX = 4000  # of both texts of a file
KEYS_MAX = 500
VALUE_MAX = 200
NAME = re.compile(r"[A-Za-z0-9_-](?:[A-Za-z0-9 _-]{0,62}[A-Za-z0-9_-])?")
_SECRET = re.compile(
    # Of a text that is not closed, which is no TOML, the rest.
    r"""(?mx) ( \b [a-z0-9_]* (?: secret | password | key | token ) ["']? \s* = \s* )
    ( \"{3} .*? \"{3} | '{3} .*? '{3} | (?: \"{3} | '{3} ) .*
    | \"(?:\\.|[^\"\\\n])*\" | '[^'\n]*' | ["'] [^\n]* )""",
    re.DOTALL,
)
_TOKENS = re.compile(r"(?ms)^(\[[^\]\n]*dev_tokens[^\]\n]*\]\n)(.*?)(?=^\[|\Z)")
HIDDEN = '"(hidden)"'


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
    loaded = server.apps.loaded(definition)
    changes = await asyncio.to_thread(_changes, server, definition, loaded.texts)
    return {"loaded_ms": loaded.at_ms, **changes}


@action(Right.APP_READ, "GET /apps/{app}/endpoints")
async def endpoint_list(server: Server, app: str) -> list[dict[str, Any]]:
    """Return the web endpoints of an app, with what they trigger."""
    web = app_of(server, app).section(Web)
    return [_told(web, name) for name in sorted(web.endpoints)]


@action(Right.APP_READ, "GET /apps/{app}/endpoints/{name}")
async def endpoint_show(server: Server, app: str, name: str) -> dict[str, Any]:
    """Return a web endpoint; `version` is what `endpoint_save` wants to hear."""
    definition = app_of(server, app)
    web = definition.section(Web)
    if name not in web.endpoints:
        raise Refused(f"app {app} declares no endpoint {name!r} in [web.endpoints]")
    _, _, text = await asyncio.to_thread(_place, definition.path, name)
    return {**_told(web, name), "version": _version(text), "profiles": sorted(web.profiles)}


@action(Right.APP_CHANGE, "PUT /apps/{app}/endpoints/{name}")
async def endpoint_save(
    server: Server,
    app: str,
    name: str,
    path: str,
    method: str = "POST",
    description: str = "",
    version: str = "",
    *,
    requires_login: bool = False,
    get_changes_state: bool = False,
    events: list[dict[str, Any]] | None = None,
    by: Operator = CLI,
) -> dict[str, Any]:
    """Write a web endpoint, and the action that it triggers, into the app's file; comments there are kept.

    A login by a profile that is not declared yet declares it: its logins make players. Everything else of
    the file stays as it is. It counts as soon as it is written.
    """
    definition = app_of(server, app)
    if not server.settings.edit_apps:
        raise Refused("apps are edited as files here: start the server with --edit-apps to allow it")
    if not NAME.fullmatch(name) or len(events or []) > EVENTS_MAX:
        raise Refused(
            f"a name has letters, digits, blanks, - and _; an action has at most {EVENTS_MAX} events"
        )
    endpoint = {
        "path": path,
        "method": method.upper(),
        "description": description,
        "requires_login": requires_login,
        "get_changes_state": get_changes_state,
    }
    before = definition.section(Web).endpoints.get(name)
    edit = await asyncio.to_thread(
        _edited, server, definition, name, endpoint, events or [], version, is_new=before is None
    )
    was = None if before is None else msgspec.to_builtins(before)
    wanted = {**endpoint, "events": events or []}
    async with server.core.database.write() as tx:  # before: a file is in no transaction
        await note(server, tx, by, "endpoint_save", app, target=name, before=was, after=wanted)
    await asyncio.to_thread(_write, edit)
    server.apps.replace(await asyncio.to_thread(_loaded, server, definition.path.parent), {definition.name})
    return {**_told(app_of(server, app).section(Web), name), "version": _version(edit.text)}


@action(Right.OPERATIONS_CALL, "POST /apps/{app}/endpoints/{name}/run")
async def endpoint_run(
    server: Server,
    app: str,
    name: str,
    body: str = "",
    query: dict[str, str] | None = None,
    values: dict[str, str] | None = None,
    cookies: dict[str, str] | None = None,
    *,
    by: Operator = CLI,
) -> dict[str, Any]:
    """Ask a web endpoint as a browser would; returns status, headers, body and the cookies that follow.

    `values` are those of the path's parameters, `cookies` what the answers before have left.
    """
    web = app_of(server, app).section(Web)
    if name not in web.endpoints:
        raise Refused(f"app {app} declares no endpoint {name!r} in [web.endpoints]")
    endpoint = web.endpoints[name]
    path = endpoint.path
    for each in endpoint.parameters:
        path = path.replace(f"{{{each}}}", quote((values or {}).get(each, ""), safe=""))
    transport = httpx.ASGITransport(server.site, raise_app_exceptions=False, client=(by.address or "::1", 1))
    url = "http://console.invalid" + path + (f"?{urlencode(query)}" if query else "")
    async with httpx.AsyncClient(transport=transport, cookies=cookies or {}) as client:
        content = None if endpoint.method == "GET" or not body else body.encode()
        headers = {"Content-Type": "application/json"} if content is not None else {}
        answer = await client.request(endpoint.method, url, content=content, headers=headers)
        jar = {cookie.name: cookie.value or "" for cookie in client.cookies.jar}
    async with server.core.database.write() as tx:
        await note(server, tx, by, "endpoint_run", app, target=f"{endpoint.method} {path}")
    return {
        "status": answer.status_code,
        "headers": [[key, value] for key, value in answer.headers.multi_items()],
        "body": answer.text[:FILE_BYTES_MAX],
        "cookies": jar,
    }


ACTIONS = (definition_show, definition_changes, endpoint_list, endpoint_show, endpoint_save, endpoint_run)


def _told(web: Web, name: str) -> dict[str, Any]:
    endpoint = web.endpoints[name]
    actions = {key: each for key, each in web.actions.items() if each.trigger == name}
    events = [event for each in actions.values() for event in msgspec.to_builtins(each.events)]
    return {"name": name, **msgspec.to_builtins(endpoint), "actions": list(actions), "events": events}


# Files


def _files(home: Path) -> list[tuple[str, str]]:
    """Return the text of each file that defines an app, without secrets, by its path below the folder."""
    found = sorted(home.glob("*.toml"), key=lambda path: (path.name != "app.toml", path.name))
    found += sorted(home.glob("*/*.toml"))
    return [(str(path.relative_to(home)), _without_secrets(_text(path))) for path in found[:FILES_MAX]]


def _text(path: Path) -> str:
    try:
        return path.read_bytes()[:FILE_BYTES_MAX].decode("utf-8-sig", "replace")
    except OSError as error:
        return f"# cannot be read: {error.strerror}"


def _without_secrets(text: str) -> str:
    hidden = _TOKENS.sub(lambda found: f"{found[1]}# (hidden)\n", text)
    return _SECRET.sub(lambda found: found[1] + HIDDEN, hidden)


# What runs, and what lies on disk


def _changes(server: Server, app: App, running: Mapping[str, str]) -> dict[str, Any]:
    fresh = _loaded(server, app.path.parent)
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

    def number(secret: str) -> str:
        return seen.setdefault(secret, f"(hidden {len(seen) + 1})")

    hidden = _TOKENS.sub(lambda found: f'{found[1]}"{number(found[2])}" = ""\n', text)
    return _SECRET.sub(lambda found: f'{found[1]}"{number(found[2])}"', hidden)


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


def _version(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _place(home: Path, name: str) -> tuple[Path, bool, str]:
    """Return the file of an endpoint, whether it is one of [web] alone, and its text.

    A new one goes to `web.toml` where there is one, else to `app.toml`.
    """
    own = [*sorted((home / "web").glob("*.toml")), home / "web.toml"]
    places: list[tuple[Path, bool]] = [(path, True) for path in own if path.exists()]
    places.append((home / "app.toml", False))
    for path, is_own in places:
        try:
            text = path.read_text("utf-8")
            document = tomlkit.parse(text).unwrap()
        except (OSError, UnicodeDecodeError, TOMLKitError) as error:
            raise Refused(f"{path.name} cannot be read: mend it first ({type(error).__name__})") from None
        web = document if is_own else document.get("web", {})
        if name in web.get("endpoints", {}):
            return path, is_own, text
    path, is_own = next((each for each in places if each[0].name == "web.toml"), places[-1])
    return path, is_own, path.read_text("utf-8")


class _Edit(NamedTuple):
    """What is to become of a file."""

    path: Path
    was: str
    text: str


def _edited(
    server: Server,
    app: App,
    name: str,
    endpoint: dict[str, Any],
    events: list[dict[str, Any]],
    version: str,
    *,
    is_new: bool,
) -> _Edit:
    """Put an endpoint into the text of its file. Raises `Refused` for what no server could serve."""
    path, is_own, text = _place(app.path, name)
    if not is_new and version != _version(text):
        raise Refused(f"{path.name} was changed meanwhile; open the endpoint again and look")
    document = tomlkit.parse(text)
    web: Any = document if is_own else _table(document, "web")
    _set(_table(_table(web, "endpoints"), name), endpoint, {"method": "POST"})
    trigger = _action_of(app.section(Web), name)
    if events:
        _set(_table(_table(web, "actions"), trigger), {"trigger": name, "events": _inline(events)}, {})
    elif trigger in web.get("actions", {}):
        del web["actions"][trigger]
    known = app.section(Web).profiles
    for profile in {str(each.get("profile")) for each in events if each.get("do") == "login"} - set(known):
        if not NAME.fullmatch(profile):
            raise Refused("a profile's name has letters, digits, - and _")
        _set(_table(_table(web, "profiles"), profile), {"create": True}, {})
    fresh = tomlkit.dumps(document)
    if mistakes := _mistakes(server, app.path, path, fresh):
        raise Refused("; ".join(mistakes))
    return _Edit(path, text, fresh)


def _action_of(web: Web, endpoint: str) -> str:
    """Return the name of the action that an endpoint triggers, or one that is free."""
    free = endpoint
    for name, each in web.actions.items():
        if each.trigger == endpoint:
            return name
        if name == free:
            free = f"{free[:60]} do"
    return free


def _table(parent: Any, name: str) -> Any:
    if name not in parent:
        parent[name] = tomlkit.table(is_super_table=True)
    return parent[name]


def _set(table: Any, values: dict[str, Any], defaults: dict[str, Any]) -> None:
    """Set values; those that say nothing are taken out, or not written."""
    for key, value in values.items():
        if value in ("", False) or defaults.get(key) == value:
            table.pop(key, None)
        elif key not in table or table[key] != value:
            table[key] = value


def _inline(events: list[dict[str, Any]]) -> Any:
    """Return events as a list with a line for each."""
    rows = tomlkit.array()
    for event in events:
        row = tomlkit.inline_table()
        for key, value in event.items():
            if value not in ("", {}, None):
                row[key] = _inline_value(value)
        rows.append(row)
    return rows.multiline(len(events) > 1)


def _inline_value(value: Any) -> Any:
    if isinstance(value, dict):
        table = tomlkit.inline_table()
        for key, each in value.items():
            table[key] = _inline_value(each)
        return table
    if value is None:
        raise Refused("null cannot be written into the file; leave the member out")
    return value


def _loaded(server: Server, folder: Path) -> Apps:
    return load_apps(folder, server.registry.sections())


def _mistakes(server: Server, home: Path, file: Path, text: str) -> list[str]:
    """Return what would be wrong with an app if a file had another text."""
    with tempfile.TemporaryDirectory() as folder:
        for other in home.parent.iterdir():
            if other != home and other.is_dir():
                (Path(folder) / other.name).symlink_to(other.resolve())
        copy = Path(folder) / home.name
        _mirror(home, copy, file)
        (copy / file.relative_to(home)).write_text(text, "utf-8")
        problems = _loaded(server, Path(folder)).problems
        return [
            f"{each.key}: {each.message}" if each.key else each.message
            for each in problems
            if Path(each.file).is_relative_to(copy)
        ]


def _mirror(home: Path, copy: Path, but: Path) -> None:
    """Make a folder that looks like another one, without one of its files."""
    copy.mkdir()
    for child in home.iterdir():
        if child == but:
            continue
        if child in but.parents:
            _mirror(child, copy / child.name, but)
        else:
            (copy / child.name).symlink_to(child.resolve())


def _write(edit: _Edit) -> None:
    """Put a text in the place of a file's, at once, with the same rights. Raises `Refused`."""
    path, was, text = edit
    if path.read_text("utf-8") != was:
        raise Refused(f"{path.name} was changed meanwhile; open the endpoint again and look")
    try:
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", dir=path.parent, prefix=".edit-", delete=False
        ) as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        fresh = Path(file.name)
        try:
            fresh.chmod(path.stat().st_mode & 0o777)
            fresh.replace(path)
        finally:
            fresh.unlink(missing_ok=True)
    except OSError as error:
        raise Refused(f"{path.name} cannot be written: {error.strerror}") from None
