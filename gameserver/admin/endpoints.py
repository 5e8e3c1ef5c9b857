"""Web endpoints as forms: looked at, written into the app's file, and asked as a browser would.

Files are changed only where the operator allows it (`serve --edit-apps`), letter by letter but for what is
meant, and only to what a server can read. Whoever saves says which text they saw: a file that somebody else
has changed meanwhile is not overwritten.
"""

import asyncio
import hashlib
import os
import re
import tempfile
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

import httpx
import msgspec
import tomlkit
from tomlkit.exceptions import TOMLKitError

from gameserver.admin.common import Refused, Server, app_of
from gameserver.admin.declaring import action
from gameserver.admin.definitions import loaded
from gameserver.admin.operators import CLI, Operator, note
from gameserver.admin.rights import Right
from gameserver.apps import App
from gameserver.faces.endpoints.declaration import Web

BODY_MAX = 1 << 20  # characters of an answer
EVENTS_MAX = 20
NAME = re.compile(r"[A-Za-z0-9_-](?:[A-Za-z0-9 _-]{0,62}[A-Za-z0-9_-])?")


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
    server.apps.replace(await asyncio.to_thread(loaded, server, definition.path.parent), {definition.name})
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
        "body": answer.text[:BODY_MAX],
        "cookies": jar,
    }


ACTIONS = (endpoint_list, endpoint_show, endpoint_save, endpoint_run)


def _told(web: Web, name: str) -> dict[str, Any]:
    endpoint = web.endpoints[name]
    actions = {key: each for key, each in web.actions.items() if each.trigger == name}
    events = [event for each in actions.values() for event in msgspec.to_builtins(each.events)]
    return {"name": name, **msgspec.to_builtins(endpoint), "actions": list(actions), "events": events}


# The file


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


def _mistakes(server: Server, home: Path, file: Path, text: str) -> list[str]:
    """Return what would be wrong with an app if a file had another text."""
    with tempfile.TemporaryDirectory() as folder:
        for other in home.parent.iterdir():
            if other != home and other.is_dir():
                (Path(folder) / other.name).symlink_to(other.resolve())
        copy = Path(folder) / home.name
        _mirror(home, copy, file)
        (copy / file.relative_to(home)).write_text(text, "utf-8")
        problems = loaded(server, Path(folder)).problems
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
