"""The first page of an app, and the search box of every page."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.responses import Response

from gameserver.admin.common import Refused
from gameserver.admin.retention import AGES
from gameserver.admin.rights import Right
from gameserver.console import live, opened
from gameserver.console.activity import refusals_meant
from gameserver.console.web import View, at, declared, page, segment

FOUND_MAX, OTHERS_MAX = 50, 20  # shown by a search: of players, and of each other kind
RETENTION_DAYS = 60  # shown on a page
WEEK_DAYS = 7
FEW = 3  # players; with as many nobody needs to be told how to begin


@page("GET /")
async def start(view: View) -> Response:
    """Go to the first page of the only app, or of the one last opened; else show them."""
    mine = [app for app in view.server.apps if view.entered.member.grants.role_in(app.id)]
    if len(mine) == 1:
        return view.to(at(f"/apps/{mine[0].id}"))
    return view.render("apps.html")


@page("GET /apps/{app}", Right.PLAYERS_READ)
async def home(view: View) -> Response:
    """Show what needs attention, charts, and the newest players."""
    newest, last, days, shown = await asyncio.gather(
        view.tried("player_newest", app=view.app_id, limit=10),
        opened.last(view),
        view.tried("retention_show", app=view.app_id, days=max(AGES) + WEEK_DAYS + 1),
        live.around(view),
    )
    is_new = newest is not None and len(newest) < FEW
    back = None if days is None else came_back(days)
    return view.render("home.html", newest=newest, is_new=is_new, back=back, last=last, **shown)


def came_back(days: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return who came back, of the last seven days of which it is known, and who was there the day before."""
    shares = []
    for age in AGES:
        known = [day for day in days if day[f"of_{age}"] is not None][:WEEK_DAYS]
        of, back = (sum(day[f"{name}_{age}"] for day in known) for name in ("of", "back"))
        shares.append({"age": age, "days": len(known), "of": of, "share": share(back, of)})
    last = next((day for day in days if day["active"] is not None), None)
    return {"shares": shares, "last": last}


def share(part: int | None, whole: int | None) -> str:
    """Return a part of a whole in percent; empty where there is none, or nobody knows."""
    return f"{100 * part / whole:.1f} %" if part is not None and whole else ""


@page("GET /apps/{app}/retention", Right.PLAYERS_READ)
async def retention(view: View) -> Response:
    """Show day by day who came, who came back, and who was there."""
    asked = {"app": view.app_id, "days": RETENTION_DAYS}
    if file := await view.file("retention", "retention_show", **asked):
        return file
    rows = await view.do("retention_show", **asked)
    return view.render("retention.html", rows=rows, ages=AGES, share=share)


@page("POST /apps/{app}/sample", Right.PLAYERS_CHANGE)
async def sample(view: View) -> Response:
    """Make a player to try things with."""
    done = await view.do("player_sample", app=view.app_id)
    return view.to(view.url(), f"{done['name']} is there.")


@page("GET /apps/{app}/search", Right.PLAYERS_READ)
async def search(view: View) -> Response:
    """Go straight to the one that is meant, or show what may be."""
    text = view.query.get("q", "").strip()
    if not text:
        return view.to(view.url())
    if (meant := refusals_meant(view, text)) is not None:
        return meant
    found = await view.do("player_find", app=view.app_id, text=text, limit=FOUND_MAX)
    others: dict[str, list[dict[str, str]]] = {}
    if len(found) != 1:  # nobody, or several, whose name, id, mail address or login this is
        found = found or await view.do("player_search", app=view.app_id, text=text, limit=FOUND_MAX)
        others = await _others(view, text)
    if len(found) == 1 and not others:
        return view.to(view.url(f"/players/{found[0]['profile_id']}"))
    return view.render("search.html", text=text, found=found, others=others)


async def _others(view: View, text: str) -> dict[str, list[dict[str, str]]]:
    """Return what else begins with a text, or is of that id: boards, groups, operations."""
    found: dict[str, list[dict[str, str]]] = {}
    if view.may(Right.DATA_READ):
        boards = await view.tried("board_search", app=view.app_id, text=text, limit=OTHERS_MAX) or []
        found["Boards"] = [{"label": board, "url": view.url(f"/boards/{segment(board)}")} for board in boards]
        groups = await view.tried("group_list", app=view.app_id, name=text, limit=OTHERS_MAX) or []
        found["Groups"] = [
            {"label": row["name"] or row["group_id"], "url": view.url(f"/social/groups/{row['group_id']}")}
            for row in groups
        ]
    return {kind: rows for kind, rows in found.items() if rows}


@page("GET /go")
async def go(view: View) -> Response:
    """Go to another app."""
    app_id = view.query.get("app", "")
    if view.server.apps.find(app_id) is None:
        raise Refused(f"there is no app {app_id}")
    return view.to(at(f"/apps/{app_id}"))


PAGES = declared(start, home, retention, sample, search, go)
