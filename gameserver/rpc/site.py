"""All faces under one address, and the pages for operators under another."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import cached_property

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

    `staff` gives the pages at the address of operators beside those that faces have there. They are hundreds,
    made ready when the first is asked for: of the servers that tests and commands open, few are.
    """

    def __init__(
        self,
        faces: Iterable[Face],
        core: Core,
        apps: LiveApps,
        packets: Packets,
        staff: Callable[[], Sequence[BaseRoute]] = tuple,
    ) -> None:
        self._mounted: dict[str, ASGIApp] = {}
        self._routes: list[BaseRoute] = []
        self._of_faces_for_staff: list[BaseRoute] = []
        self._staff = staff
        for face in faces:
            mounted = face.mount(core, apps, packets)
            if isinstance(mounted, Mapping):
                self._mounted |= mounted
            else:
                self._routes += mounted
            if face.mount_admin is not None:
                self._of_faces_for_staff += face.mount_admin(core, apps, packets)
        self._for_tests = isinstance(core.clock, FixedClock)

    @cached_property
    def admin(self) -> ASGIApp:
        """The pages for operators and their tools, which have an address of their own."""
        return _pages(self._admin_routes)

    @cached_property
    def _pages(self) -> ASGIApp:
        # One address is enough for a server of tests.
        return _pages([*self._admin_routes, *self._routes] if self._for_tests else self._routes)

    @cached_property
    def _admin_routes(self) -> list[BaseRoute]:
        return [*self._staff(), *self._of_faces_for_staff]

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
