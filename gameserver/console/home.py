"""The first page of an app, and the search box of every page."""

import asyncio

from starlette.responses import Response

from gameserver.admin.common import Refused
from gameserver.admin.rights import Right
from gameserver.console import live
from gameserver.console.activity import refusals_meant
from gameserver.console.web import View, at, declared, page

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
    newest, shown = await asyncio.gather(
        view.tried("player_newest", app=view.app_id, limit=10), live.around(view)
    )
    is_new = newest is not None and len(newest) < FEW
    return view.render("home.html", newest=newest, is_new=is_new, **shown)


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
    found = await view.do("player_search", app=view.app_id, text=text, limit=50)
    if len(found) == 1:
        return view.to(view.url(f"/players/{found[0]['profile_id']}"))
    return view.render("search.html", text=text, found=found)


@page("GET /go")
async def go(view: View) -> Response:
    """Go to another app."""
    app_id = view.query.get("app", "")
    if view.server.apps.find(app_id) is None:
        raise Refused(f"there is no app {app_id}")
    return view.to(at(f"/apps/{app_id}"))


PAGES = declared(start, home, sample, search, go)
