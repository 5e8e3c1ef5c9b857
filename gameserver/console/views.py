"""Saved views in the heads of lists: kept, shared, removed, each with how much it finds."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from starlette.responses import Response

from gameserver.admin.common import Refused
from gameserver.admin.declaring import Forbidden
from gameserver.console import activity, players
from gameserver.console.data import global_rows
from gameserver.console.social import group_rows
from gameserver.console.web import Choice, Page, View, declared, page
from gameserver.sessions import SessionsUnavailable
from gameserver.storage import StorageError

COUNTED_MAX = 100
"""Rows that are counted of a view; where there are more, it says so."""
COUNTING_SECONDS = 0.5
"""For all views of a page: what takes longer has no count."""

Rows = Callable[[View, int], Awaitable[Sequence[Any] | None]]
"""What a list finds for an address, at most so many; None: that is not worth counting."""

LISTS: Mapping[str, Rows] = {
    "/players": players.rows,
    "/data": global_rows,
    "/social/groups": group_rows,
    **activity.ROWS,
}
"""Lists that are asked for something, by their paths."""


@page("POST /apps/{app}/views")
async def save(view: View) -> Response:
    """Keep what a list is asked for."""
    form = view.form
    of = form.get("page", "")
    if of not in LISTS:
        raise Refused("there is no such list")
    saved = await view.do(
        "view_save", app=view.app_id, page=of, name=form.get("name", ""), query=form.get("query", "")
    )
    if form.get("shared"):
        await view.do("view_share", app=view.app_id, view=saved["view"], shared=True)
    return view.to(_path(view, saved), f"Saved as {saved['name']}.")


@page("POST /apps/{app}/views/{view}/remove")
async def remove(view: View) -> Response:
    """Remove a view; one of one's own comes back with a click."""
    gone = await view.do("view_remove", app=view.app_id, view=view.part("view"))
    again = {name: gone[name] for name in ("page", "name", "query")}
    if gone["is_shared"]:
        again["shared"] = "1"
    undo = Choice(view.url("/views"), again) if gone["staff"] == view.entered.member.name else None
    return view.to(_path(view, gone), f"The view {gone['name']} is removed.", undo)


def _path(view: View, saved: Mapping[str, Any]) -> str:
    of = saved["page"] if saved["page"] in LISTS else ""
    return view.url(of) + (f"?{saved['query']}" if of and saved["query"] else "")


def with_views(shown: Page) -> Page:
    """Return a page of a list, which finds the saved views before it is shown."""
    rows = LISTS.get(shown.path.removeprefix("/apps/{app}"))
    if rows is None or shown.method != "GET":
        return shown
    of, count_rows = shown.path.removeprefix("/apps/{app}"), rows

    async def show(view: View) -> Response:
        if not (view.request.headers.get("hx-request") or view.query.get("as")):
            view.saved = await _counted(view, of, count_rows)
        return await shown.show(view)

    return replace(shown, show=show)


async def _counted(view: View, of: str, rows: Rows) -> list[dict[str, Any]]:
    """Return the views of a list, with how much each finds as far as that is known soon."""
    found = await view.tried("view_list", app=view.app_id, page=of) or []
    for saved in found:
        saved["count"], saved["url"] = None, _path(view, saved)
    try:
        async with asyncio.timeout(COUNTING_SECONDS):
            for saved in found:
                saved["count"] = await _count(view.asking(saved["query"]), rows)
    except TimeoutError:
        pass
    return found


async def _count(asking: View, rows: Rows) -> str | None:
    try:
        some = await rows(asking, COUNTED_MAX + 1)
    except (Refused, Forbidden, SessionsUnavailable, StorageError):
        return None
    if some is None:
        return None
    return f"{COUNTED_MAX}+" if len(some) > COUNTED_MAX else str(len(some))


PAGES = declared(save, remove)
