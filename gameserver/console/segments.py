"""Segments: how many players belong to each, who they are, and a refresh of all players."""

from starlette.responses import Response

from gameserver.admin.rights import Right
from gameserver.console.web import View, declared, page, whole

PAGE_ROWS = 50


@page("GET /apps/{app}/data/segments", Right.DATA_READ)
async def segments(view: View) -> Response:
    """List the segments, and tell how far the last refresh of all players has come."""
    rows = await view.do("segment_list", app=view.app_id)
    progress = await view.do("segment_progress", app=view.app_id)
    return view.render("segments.html", rows=rows, progress=progress)


@page("POST /apps/{app}/data/segments/refresh", Right.JOBS_RUN)
async def refresh(view: View) -> Response:
    """Begin a refresh of all players."""
    await view.do("segment_refresh", app=view.app_id)
    return view.to(
        view.url("/data/segments"), "All players are being looked at; this page tells how far it is."
    )


@page("GET /apps/{app}/data/segments/{segment}", Right.DATA_READ)
async def members(view: View) -> Response:
    """List the players of a segment."""
    number = whole(view.part("segment"), "a segment")
    asked = {"app": view.app_id, "segment": number}
    if file := await view.file("segment", "segment_members", **asked):
        return file
    rows = await view.do("segment_members", **asked, limit=PAGE_ROWS, after=view.query.get("after", ""))
    [shown] = [row for row in await view.do("segment_list", app=view.app_id) if row["segment"] == number]
    after = rows[-1]["profile"] if len(rows) == PAGE_ROWS else ""
    return view.render("segment.html", rows=rows, segment=shown, after=after)


PAGES = declared(segments, refresh, members)
