"""Logging out as SAP Mobile Services has it: the session cookie says who, the answer is always 204.

Version 1 ends the cookie's session, version 2 everything by which the user is logged in. No cookie, no
effect: nobody is guessed. While the session store is away no process accepts a session; the wish to end one
is kept in the database then, and fulfilled as soon as the store is back.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from http import HTTPMethod

import msgspec
import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gameserver.apps import App
from gameserver.jobs import Job, JobRun, enqueue
from gameserver.players import cookies, profiles, refresh_tokens
from gameserver.players.cookies import CookieSettings
from gameserver.players.termination import Actor
from gameserver.rpc import Core, Face, Runner
from gameserver.sessions import AllOf, Ended, One, Session, SessionsUnavailable
from gameserver.storage import StorageError

log = structlog.get_logger(__name__)

FACE = "sap"
PREFIX = "/mobileservices/sessions"
END_SECONDS_MAX = 2.0  # between two tries to end a session while the store is away
RETRY_SECONDS = 5.0  # between tries to revoke tokens while the database is away
SQL_SECONDS_MAX = 2.0  # how long an answer waits for it

_retrying: set[asyncio.Task[None]] = set()  # the event loop alone would forget them


def routes(core: Core, apps: Iterable[App]) -> list[Route]:
    """The four ways to log out."""
    logout = Logout(core, apps)
    calls = (
        (f"{PREFIX}/logout", logout.one, HTTPMethod.POST),
        (PREFIX, logout.one, HTTPMethod.DELETE),
        (f"{PREFIX}/v2/logout", logout.everything, HTTPMethod.POST),
        (f"{PREFIX}/v2", logout.everything, HTTPMethod.DELETE),
    )
    return [
        Route(path + slash, endpoint, methods=[method])
        for path, endpoint, method in calls
        for slash in ("", "/")
    ]


class Wish(msgspec.Struct, frozen=True):
    """What one app's cookie asks for. The address is that of whoever asks."""

    app_id: str
    digest: str
    everything: bool
    address: str


class Logout:
    """What the routes do."""

    def __init__(self, core: Core, apps: Iterable[App]) -> None:
        self.core = core
        self.apps = apps

    async def one(self, request: Request) -> Response:
        """Version 1: end the cookie's session, and the refresh token of the same login."""
        return await self._answer(request, everything=False)

    async def everything(self, request: Request) -> Response:
        """Version 2: end all sessions of the cookie's user, and revoke all their refresh tokens."""
        return await self._answer(request, everything=True)

    async def _answer(self, request: Request, *, everything: bool) -> Response:
        response = Response(status_code=204, headers={"Cache-Control": "no-store"})
        tls = request.url.scheme == "https"
        by = Actor(FACE, request.client.host if request.client else "")
        wishes: list[Wish] = []
        for app in self.apps:
            settings = app.section(CookieSettings)
            session_id = cookies.read_session_id(request.headers, settings)
            digest = self.core.sessions.digest(session_id)
            # A page of somebody else's is treated like a request without a cookie.
            if digest is None or cookies.is_foreign(request.headers, settings):
                continue
            wishes.append(Wish(app.id, digest, everything, by.address))
            response.headers.append("Set-Cookie", cookies.clear_cookie(settings, tls=tls))
        try:
            await self.fulfil(wishes)
        except SessionsUnavailable as error:
            log.warning("logout_postponed", reason=str(error))
            try:
                await self._keep(wishes)
            except (StorageError, TimeoutError):
                log.exception("logout_impossible")  # a 204 would not be true
                body = {"status": 503, "status_message": "the server cannot end sessions just now"}
                return JSONResponse(body, 503, {"Retry-After": "1"})
        return response

    async def fulfil(self, wishes: Sequence["Wish"]) -> None:
        """End what is wished. Raises `SessionsUnavailable` while the store is away."""
        done = set()
        for wish in wishes:
            app = next((app for app in self.apps if app.id == wish.app_id), None)
            if app is None or wish.digest in done:
                continue
            session = await self.core.sessions.peek_digest(wish.digest)
            if isinstance(session, Session) and session.home_app_id != app.id:
                continue  # apps may give their cookies the same name
            done.add(wish.digest)
            end = self._end_everything if wish.everything else self._end_one
            await end(app, wish.digest, session, Actor(FACE, wish.address))

    async def _keep(self, wishes: Sequence["Wish"]) -> None:
        """Have a job end it as soon as the store is back, whichever process is there then."""
        async with asyncio.timeout(SQL_SECONDS_MAX), self.core.database.write() as tx:
            key = f"{wishes[0].digest}/{2 if wishes[0].everything else 1}"
            await enqueue(
                tx, LOG_OUT, key, {"wishes": msgspec.to_builtins(wishes)}, at_ms=self.core.clock.ms()
            )

    async def _end_one(self, app: App, digest: str, session: Session | Ended, by: Actor) -> None:
        if isinstance(session, Session):
            by = msgspec.structs.replace(by, profile_id=session.home_profile_id)
        await self.core.endings.end(app, One(digest=digest), "logged_out", by)

    async def _end_everything(self, app: App, digest: str, session: Session | Ended, by: Actor) -> None:
        profile_id = await self._user(app, digest, session)
        if not profile_id:
            return
        everything = AllOf(app.id, profile_id)
        await self.core.endings.end(app, everything, "logged_out", by)

        async def revoke() -> None:
            async with self.core.database.write() as tx:
                epoch = await profiles.raise_epoch(tx, app.id, profile_id)
                await refresh_tokens.revoke_all(tx, app.id, profile_id)
            # Again, for logins and refreshes that were on their way.
            await self.core.endings.end(app, everything, "logged_out", by, epoch=epoch)

        await _persist(revoke)

    async def _user(self, app: App, digest: str, session: Session | Ended) -> str:
        """The player of a session; of one that has lapsed, if its refresh token works still. May be empty."""
        if isinstance(session, Session):
            return session.home_profile_id
        try:
            async with asyncio.timeout(SQL_SECONDS_MAX), self.core.database.read() as tx:
                owner = await refresh_tokens.owner_of_session(tx, digest)
        except (StorageError, TimeoutError) as error:
            log.warning("logout_without_database", error=str(error))
            return ""
        return owner[1] if owner is not None and owner[0] == app.id else ""


async def _persist(change: Callable[[], Awaitable[None]]) -> None:
    """Make a change in SQL. The answer does not wait for a database that is away; the change does."""
    task = asyncio.get_running_loop().create_task(_until_done(change))
    _retrying.add(task)
    task.add_done_callback(_retrying.discard)
    await asyncio.wait([task], timeout=SQL_SECONDS_MAX)


async def _until_done(change: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            await change()
        except (StorageError, SessionsUnavailable) as error:
            log.warning("revocation_postponed", error=str(error))
            await asyncio.sleep(RETRY_SECONDS)
        except Exception:
            log.exception("revocation_failed")
            return
        else:
            return


async def _log_out(run: JobRun) -> None:
    """End what could not be ended when it was asked for."""
    wishes = msgspec.convert(run.payload["wishes"], list[Wish])
    await Logout(run.get(Runner).core, run.apps).fulfil(wishes)


LOG_OUT = Job(
    "sap.logOut",
    _log_out,
    at_once=4,
    tries_max=1_000_000,  # until the store is back, however long that takes
    pause_seconds_max=END_SECONDS_MAX,
    expected=(SessionsUnavailable,),
)
face = Face(
    FACE,
    lambda core, apps, _: routes(core, apps),
    section=("cookie", CookieSettings, cookies.SAMPLE),
    jobs=(LOG_OUT,),
)
