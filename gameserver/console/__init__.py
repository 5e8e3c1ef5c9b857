"""The console: pages from which a studio runs its game. Each module has the pages of one subject."""

from importlib import resources

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from gameserver.admin.common import Server
from gameserver.console import access, activity, bulk, definition, explorer, home, live, players, staff, work
from gameserver.console.boards import PAGES as OF_BOARDS
from gameserver.console.data import PAGES as OF_DATA
from gameserver.console.opened import with_opened
from gameserver.console.segments import PAGES as OF_SEGMENTS
from gameserver.console.social import PAGES as OF_SOCIAL
from gameserver.console.views import PAGES as OF_VIEWS
from gameserver.console.views import with_views
from gameserver.console.web import BASE, HEADERS, guarded

PAGES = (
    *home.PAGES,
    *access.PAGES,
    *players.PAGES,
    *bulk.PAGES,
    *activity.PAGES,
    *work.PAGES,
    *live.PAGES,
    *definition.PAGES,
    *OF_SEGMENTS,  # before data, where they stand among ids of entities
    *OF_DATA,
    *OF_BOARDS,
    *OF_SOCIAL,
    *explorer.PAGES,
    *staff.PAGES,
    *OF_VIEWS,
)
_KINDS = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


def routes(server: Server) -> list[BaseRoute]:
    """The console's pages, scripts and styles."""
    return [
        Route("/", _to_console, methods=["GET"]),
        Route(BASE, _to_console, methods=["GET"]),
        Route(f"{BASE}/static/{{name}}", _static, methods=["GET"]),
        *access.routes(server),
        *(
            Route(BASE + page.path, guarded(server, with_opened(with_views(page))), methods=[page.method])
            for page in PAGES
        ),
    ]


async def _to_console(_: Request) -> Response:
    return RedirectResponse(f"{BASE}/", headers=HEADERS)


async def _static(request: Request) -> Response:
    found = _FILES.get(request.path_params["name"])
    if found is None:
        return Response("there is no such file", 404, HEADERS)
    body, kind = found
    headers = {**HEADERS, "Cache-Control": "public, max-age=3600"}
    return Response(body, headers=headers, media_type=kind)


_FILES = {
    file.name: (file.read_bytes(), kind)
    for file in resources.files("gameserver.console").joinpath("static").iterdir()
    for ending, kind in _KINDS.items()
    if file.name.endswith(ending)
}


__all__ = ["BASE", "routes"]
