"""What somebody has opened last: players and boards, for the first page of the app.

The browser keeps it, as ids alone, until the logout: it is nobody else's business, and no table's.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, unquote

import msgspec
from starlette.responses import Response

from gameserver.admin.rights import Right
from gameserver.console.web import BASE, Page, View, is_secure, segment

COOKIE = "console_opened"
OPENED_MAX = 8
"""Things that are kept, of all apps together."""
BYTES_MAX = 2000
KINDS = {"profile": "/apps/{app}/players/{profile}", "board": "/apps/{app}/boards/{board}"}
"""The part of the path that says which it was, by kind, and pages about one."""

Opened = tuple[str, str, str]
"""The app, the kind of thing, and its id."""


def with_opened(shown: Page) -> Page:
    """Return a page that is noted as opened, if it is about something that there is."""
    kind = next((kind for kind, path in KINDS.items() if f"{shown.path}/".startswith(f"{path}/")), None)
    if kind is None or shown.method != "GET":
        return shown
    part = kind

    async def show(view: View) -> Response:
        answer = await shown.show(view)
        if answer.status_code == HTTPStatus.OK and not view.query.get("as"):
            _note(view, answer, (view.app_id, part, view.part(part)))
        return answer

    return replace(shown, show=show)


def _note(view: View, answer: Response, what: Opened) -> None:
    before = read(view.request.cookies)
    if before[:1] == [what]:
        return
    kept = [what, *(each for each in before if each != what)][:OPENED_MAX]
    text = quote(json.dumps(kept))
    while len(text) > BYTES_MAX:
        kept.pop()
        text = quote(json.dumps(kept))
    answer.set_cookie(
        COOKIE, text, path=BASE, httponly=True, samesite="strict", secure=is_secure(view.request)
    )


def read(cookies: Mapping[str, str]) -> list[Opened]:
    """Return what was opened, the last first, as far as the browser tells it well."""
    try:
        return msgspec.json.decode(unquote(cookies[COOKIE]), type=list[Opened])[:OPENED_MAX]
    except (KeyError, msgspec.DecodeError, RecursionError):
        return []


async def last(view: View) -> Sequence[Mapping[str, Any]]:
    """Return what was opened of an app, by what it is called, with its address; what is gone is left out."""
    found: list[dict[str, Any]] = []
    for app_id, kind, name in read(view.request.cookies):
        if app_id != view.app_id or kind not in KINDS:
            continue
        if kind == "board" and view.may(Right.DATA_READ):
            found.append({"label": name, "kind": "board", "url": view.url(f"/boards/{segment(name)}")})
        elif kind == "profile":
            rows = await view.tried("player_find", app=view.app_id, text=name, limit=2) or []
            row = next((row for row in rows if row["profile_id"] == name), None)
            if row is not None:
                url = view.url(f"/players/{segment(name)}")
                found.append({"label": row["name"] or name, "kind": "player", "url": url})
    return found
