"""Data: entities of players and of the app, seen in lists and edited one at a time as they are stored."""

import asyncio
import difflib
import json
import time
from itertools import takewhile
from typing import Any, NoReturn

import msgspec
from starlette.responses import Response

from gameserver.admin.common import Changed, Refused
from gameserver.admin.rights import Right
from gameserver.console.players import above_tabs
from gameserver.console.web import HEADERS, Choice, View, declared, page, segment

PAGE_ROWS = 50
SHOWN_MAX = 64 << 10  # characters of a document on the page that only shows it
READABLE_MAX = 300 << 10  # characters of a document that is put on lines of its own
FORM_BYTES_MAX = 12 << 20  # a document of 3 MB, as a form writes it
DIFF_LINES_MAX = 1500
OPERATORS = ("$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$exists", "$regex", "$size")
CONDITIONS = 3


# Of players


@page("GET /apps/{app}/players/{profile}/data", Right.DATA_READ)
async def of_player(view: View) -> Response:
    """List a player's entities."""
    profile, kind_of = view.part("profile"), view.query.get("type", "").strip()
    asked = {"app": view.app_id, "profile": profile, "entity_type": kind_of}
    if file := await view.file("entities", "entity_export", **asked):
        return file
    player = await view.do("player_show", app=view.app_id, profile=profile)
    rows = await view.do("entity_list", **asked, limit=PAGE_ROWS, after=view.query.get("after", ""))
    after = rows[-1]["entity_id"] if len(rows) == PAGE_ROWS else ""
    here = view.url(f"/players/{profile}/data")
    return view.render(
        "player_data.html", **await above_tabs(view, player), rows=rows, after=after, type=kind_of, here=here
    )


class _Place:
    """Where a document is, and which actions are about it."""

    def __init__(self, view: View) -> None:
        self.view = view
        self.entity = view.part("entity")
        self.profile = str(view.request.path_params.get("profile", ""))
        self.group = str(view.request.path_params.get("group", ""))
        self.noun = "entity" if self.profile else "group_entity" if self.group else "global_entity"
        whose = f"/players/{self.profile}" if self.profile else ""
        whose = f"/social/groups/{segment(self.group)}" if self.group else whose
        self.list = view.url(f"{whose}/data")
        self.here = f"{self.list}/{segment(self.entity)}"
        self.key = {"app": view.app_id, "entity": self.entity}
        if self.profile:
            self.key["profile"] = self.profile
        if self.group:
            self.key["group"] = self.group

    async def render(self, template: str, status: int = 200, **known: Any) -> Response:
        above: dict[str, Any] = {"player": None}
        if self.profile:
            player = await self.view.do("player_show", app=self.view.app_id, profile=self.profile)
            above = await above_tabs(self.view, player)
        frame = "player_layout.html" if self.profile else "layout.html"
        return self.view.render(template, status=status, frame=frame, place=self, **above, **known)

    def undo(self, change: str) -> Choice:
        return Choice(f"{self.here}/undo", {"change": change})


async def show(view: View) -> Response:
    """Show a document; of a large one the beginning."""
    place = _Place(view)
    found = await view.do(f"{place.noun}_show", **place.key)
    if view.query.get("as"):
        name = f'attachment; filename="{place.noun}.json"'
        headers = {**HEADERS, "Content-Disposition": name}
        return Response(found["data"].encode(), headers=headers, media_type="application/json")
    diff = None
    if change := view.query.get("change", ""):
        was = await view.do("entity_change_show", app=view.app_id, change=change)
        if was["entity_id"] == place.entity:
            diff = await asyncio.to_thread(differences, was["data"], found["data"])
    text = readable(found["data"])
    return await place.render(
        "document.html", found=found, text=text[:SHOWN_MAX], is_cut=len(text) > SHOWN_MAX, diff=diff
    )


async def edit(view: View) -> Response:
    """Show the whole text of a document, to be edited."""
    place = _Place(view)
    found = await view.do(f"{place.noun}_show", **place.key)
    return await place.render(
        "document_edit.html",
        text=readable(found["data"]),
        version=found["version"],
        wrong="",
        stored=None,
        diff=None,
    )


async def save(view: View) -> Response:
    """Store what was typed, unless somebody else was faster: then show both."""
    place, typed = _Place(view), view.form.get("data", "")
    try:
        version = int(view.form.get("version", "")[:20])
    except ValueError:
        raise Refused("the form names no version") from None
    try:
        done = await view.do(f"{place.noun}_save", **place.key, data=typed, version=version)
    except Changed as error:
        diff = await asyncio.to_thread(differences, error.data, typed)
        return await place.render(
            "document_edit.html",
            409,
            text=typed,
            version=error.version,
            wrong=f"Nothing was saved: {error}.",
            stored=readable(error.data),
            diff=diff,
        )
    except Refused as error:
        return await place.render(
            "document_edit.html",
            422,
            text=typed,
            version=version,
            wrong=f"Nothing was saved: {error}.",
            stored=None,
            diff=None,
        )
    if not done["changed"]:
        return view.to(place.here, "This is what is stored already, so nothing was written.")
    said = f"Saved as version {done['version']}."
    return view.to(f"{place.here}?change={done['change']}", said, place.undo(done["change"]))


async def delete(view: View) -> Response:
    """Delete a document; the page that follows offers to put it back."""
    place = _Place(view)
    done = await view.do(f"{place.noun}_delete", **place.key)
    return view.to(place.list, "Deleted.", place.undo(done["change"]))


async def undo(view: View) -> Response:
    """Undo a save or a deletion."""
    place = _Place(view)
    change = view.form.get("change", "")
    try:
        done = await view.do(f"{place.noun}_restore", app=view.app_id, change=change)
    except Changed as error:
        raise Refused(f"{error}, so nothing was undone") from error
    return view.to(place.here, f"It is as it was before, at version {done['version']}.")


def _both(method: str, rest: str, right: Right, show_it: Any) -> Any:
    """Declare a page for entities of players, of groups, and of the app."""
    for where in (
        "/players/{profile}/data/{entity}",
        "/social/groups/{group}/data/{entity}",
        "/data/{entity}",
    ):

        async def shown(view: View) -> Response:
            answer: Response = await show_it(view)
            return answer

        yield page(f"{method} /apps/{{app}}{where}{rest}", right, form_bytes=FORM_BYTES_MAX)(shown)


# Of groups


@page("GET /apps/{app}/social/groups/{group}/data", Right.DATA_READ)
async def of_group(view: View) -> Response:
    """List a group's entities."""
    asked = {"app": view.app_id, "group": view.part("group")}
    if file := await view.file("entities", "group_entity_export", **asked):
        return file
    rows = await view.do("group_entity_list", **asked, limit=PAGE_ROWS, after=view.query.get("after", ""))
    group = await view.do("group_show", **asked, limit=1)
    after = rows[-1]["entity_id"] if len(rows) == PAGE_ROWS else ""
    here = view.url(f"/social/groups/{segment(view.part('group'))}")
    return view.render("group_data.html", group=group, rows=rows, after=after, here=here)


# Of the app


@page("GET /apps/{app}/data", Right.DATA_READ)
async def data(view: View) -> Response:
    """List global entities, those that a clause finds."""
    kind_of, where = view.query.get("type", "").strip(), _where(view)
    asked = {"app": view.app_id, "entity_type": kind_of, "where": where}
    began, wrong, rows = time.perf_counter(), "", []
    try:
        if file := await view.file("entities", "global_entity_export", **asked):
            return file
        rows = await view.do(
            "global_entity_list", **asked, limit=PAGE_ROWS, after=view.query.get("after", "")
        )
    except Refused as error:
        wrong = str(error)
    return view.render(
        "data.html",
        rows=rows,
        after=rows[-1]["entity_id"] if len(rows) == PAGE_ROWS else "",
        type=kind_of,
        where=where,
        wrong=wrong,
        took_ms=round((time.perf_counter() - began) * 1000, 1),
        operators=OPERATORS,
        conditions=range(CONDITIONS),
        status=422 if wrong else 200,
    )


async def global_rows(view: View, limit: int) -> list[dict[str, Any]] | None:
    """Return global entities of a type; None where a clause would have to be searched for."""
    if _where(view):
        return None
    kind_of = view.query.get("type", "").strip()
    found: list[dict[str, Any]] = await view.do(
        "global_entity_list", app=view.app_id, entity_type=kind_of, limit=limit
    )
    return found


@page("GET /apps/{app}/data/statistics", Right.DATA_READ)
async def statistics(view: View) -> Response:
    """Show what all players of the app share in numbers."""
    if file := await view.file("statistics", "global_statistic_list", app=view.app_id):
        return file
    found = await view.do("global_statistic_list", app=view.app_id)
    rows = [{"statistic": name, "value": value} for name, value in sorted(found.items())]
    return view.render("data_statistics.html", rows=rows)


def _where(view: View) -> str:
    """Return the clause that was typed, or put together from fields, operators and values."""
    if where := view.query.get("where", "").strip():
        return where
    parts: list[dict[str, Any]] = []
    for number in range(CONDITIONS):
        name = view.query.get(f"field{number}", "").strip()
        operator = view.query.get(f"operator{number}", "$eq")
        if name and operator in OPERATORS:
            parts.append({name: {operator: _value(view.query.get(f"value{number}", ""))}})
    if not parts:
        return ""
    return json.dumps(parts[0] if len(parts) == 1 else {"$and": parts}, ensure_ascii=False)


def _value(text: str) -> Any:
    """Return what somebody means: a number, true, null, a list, or else the text itself."""
    try:
        return json.loads(text, parse_constant=_no_json)
    except (ValueError, RecursionError):
        return text


def _no_json(name: str) -> NoReturn:
    """Refuse NaN and the infinities, which Python reads and JSON does not have."""
    raise ValueError(name)


# Texts


def readable(text: str) -> str:
    """Return a document on lines of its own, each part letter by letter; a very large one as it is."""
    if len(text) > READABLE_MAX:
        return text
    return msgspec.json.format(text.encode(), indent=2).decode()


def differences(before: str, after: str) -> list[tuple[str, str]]:
    """Return what differs between two documents, line by line, as marks (`-`, `+` or none) and lines."""
    try:
        old, new = (
            msgspec.json.format(text.encode(), indent=2).decode().split("\n") for text in (before, after)
        )
    except (msgspec.DecodeError, UnicodeError):
        return [("", "What was typed is no JSON.")]
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(old, new, strict=False)))
    old, new = old[same:], new[same:]
    tail = sum(
        1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(reversed(old), reversed(new), strict=False))
    )
    if tail:
        old, new = old[:-tail], new[:-tail]
    if len(old) + len(new) > DIFF_LINES_MAX:
        return [("", f"{len(old)} lines became {len(new)}: too many to show which.")]
    lines = difflib.unified_diff(old, new, lineterm="", n=2)
    return [(line[:1].strip(), line[1:201]) for line in lines if not line.startswith(("---", "+++", "@@"))]


PAGES = declared(
    of_player,
    of_group,
    data,
    statistics,
    *_both("GET", "", Right.DATA_READ, show),
    *_both("GET", "/edit", Right.DATA_CHANGE, edit),
    *_both("POST", "", Right.DATA_CHANGE, save),
    *_both("POST", "/delete", Right.DATA_CHANGE, delete),
    *_both("POST", "/undo", Right.DATA_CHANGE, undo),
)
