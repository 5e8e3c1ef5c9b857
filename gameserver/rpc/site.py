"""All faces under one address, and the pages for operators under another."""

from collections.abc import Awaitable, Iterable, Mapping, Sequence

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from gameserver.apps import LiveApps
from gameserver.rpc.context import Core
from gameserver.rpc.face import Face
from gameserver.rpc.packets import Packets
from gameserver.wire.clock import FixedClock


class Site:
    """An ASGI application. The hot paths are plain ASGI callables in front of the framework.

    `staff` are pages at the address of operators beside those that faces have there.
    """

    def __init__(
        self,
        faces: Iterable[Face],
        core: Core,
        apps: LiveApps,
        packets: Packets,
        staff: Sequence[BaseRoute] = (),
    ) -> None:
        self._mounted: dict[str, ASGIApp] = {}
        routes: list[BaseRoute] = []
        admin_routes: list[BaseRoute] = [*staff]
        for face in faces:
            mounted = face.mount(core, apps, packets)
            if isinstance(mounted, Mapping):
                self._mounted |= mounted
            else:
                routes += mounted
            if face.mount_admin is not None:
                admin_routes += face.mount_admin(core, apps, packets)
        if isinstance(core.clock, FixedClock):  # a server for tests: one address is enough
            routes[:0] = admin_routes
        self._pages = _pages(routes)
        self.admin: ASGIApp = _pages(admin_routes)

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Hand a request to the face that claims its path."""
        if scope["type"] == "http":
            mounted = self._mounted.get(scope["path"]) or self._mounted.get(_plain(scope["path"]))
            if mounted is not None:
                return mounted(scope, receive, send)
        return self._pages(scope, receive, send)


def _plain(path: str) -> str:
    """One client doubles the slash of a path, another may end with one."""
    return "/" + "/".join(part for part in path.split("/") if part)


def _pages(routes: list[BaseRoute]) -> Starlette:
    return Starlette(routes=routes, exception_handlers={404: _not_found})


async def _not_found(request: Request, _: Exception) -> Response:
    return JSONResponse({"status": 404, "status_message": f"there is nothing at {request.url.path}"}, 404)
