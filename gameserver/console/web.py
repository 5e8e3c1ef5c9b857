"""How a page of the console is declared, who may open it, and how it is rendered.

A page is a function of a `View`: it asks for actions, as whoever looks at it, and renders a template. What
somebody may not do is not shown; whoever asks for it nevertheless is refused by the action itself. Every form
carries a token of its session, and comes from this very address.
"""

import asyncio
import contextlib
import copy
import hashlib
import hmac
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from typing import Any, NamedTuple, TypeVar
from urllib.parse import parse_qsl, quote, unquote, urlencode
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import jinja2
import structlog
from markupsafe import Markup, escape
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from gameserver.admin import staff
from gameserver.admin.actions import ACTIONS
from gameserver.admin.common import Refused, Server
from gameserver.admin.declaring import Forbidden, TooSlow, perform
from gameserver.admin.downloads import download
from gameserver.admin.operators import Operator, note
from gameserver.admin.rights import Right
from gameserver.admin.staff import Entered
from gameserver.admin.trials import trial_of
from gameserver.apps import App
from gameserver.sessions import SessionsUnavailable
from gameserver.storage import StorageError

log = structlog.get_logger(__name__)

BASE = "/console"
COOKIE = "console_session"
SAID_COOKIE = "console_said"
FORM_BYTES_MAX = 1 << 20
FIELDS_MAX = 200
PAGE_SECONDS_MAX = 2.4  # for what a page only looks at
PART_SECONDS_MAX = 2.0  # for what it can do without
WHOLE_MAX = 2**53  # of numbers that somebody writes
PASSING = frozenset({"after", "as", "newest", "follow", "zone", "span"})
"""What is no part of what a list is asked for: where it is read, and how it is shown."""
CELL_MAX = 200  # characters of a value in a list
VIA = "console"
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "Vary": "HX-Request, Cookie",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-Robots-Tag": "noindex",
}

F = TypeVar("F", bound=Callable[..., Awaitable[Response]])


@dataclass(frozen=True)
class Page:
    """A page: `path` is below the console's address; `right` opens it, and None is for all staff.

    `form_bytes`: how large its form may be.
    """

    show: Callable[["View"], Awaitable[Response]]
    method: str
    path: str
    right: Right | None
    form_bytes: int = FORM_BYTES_MAX


_PAGES: dict[Callable[..., Awaitable[Response]], Page] = {}
"""What is declared of functions, by them."""


def page(where: str, right: Right | None = None, *, form_bytes: int = FORM_BYTES_MAX) -> Callable[[F], F]:
    """Declare a function as a page. `where` is method and path, such as `GET /apps/{app}/players`."""
    method, _, path = where.partition(" ")

    def declare(function: F) -> F:
        _PAGES[function] = Page(function, method, path, right, form_bytes)
        return function

    return declare


def declared(*functions: Callable[..., Awaitable[Response]]) -> list[Page]:
    """Return pages, as they were declared."""
    return [_PAGES[function] for function in functions]


class Place(NamedTuple):
    """An entry of the menu."""

    label: str
    path: str
    right: Right


MENU = (
    Place("Home", "", Right.PLAYERS_READ),
    Place("Players", "/players", Right.PLAYERS_READ),
    Place("Data", "/data", Right.DATA_READ),
    Place("Boards", "/boards", Right.DATA_READ),
    Place("Social", "/social", Right.DATA_READ),
    Place("Activity", "/activity", Right.RECORDS_READ),
    Place("Jobs", "/jobs", Right.RECORDS_READ),
    Place("Live", "/live", Right.SYSTEM_READ),
    Place("Explorer", "/explorer", Right.APP_READ),
    Place("App", "/definition", Right.APP_READ),
    Place("Staff", "/staff", Right.STAFF_MANAGE),
)
"""What one finds on the left, of an app, as far as one may open it."""


PLAYER_TABS = [
    ("Overview", ""),
    ("Timeline", "/timeline"),
    ("Currencies", "/currencies"),
    ("Progress", "/progress"),
    ("Data", "/data"),
    ("Boards", "/boards"),
    ("Friends", "/friends"),
    ("Social", "/social"),
    ("Devices", "/devices"),
    ("Mail", "/mail"),
    ("Notes", "/notes"),
]
"""What there is to see of a player, by label and path."""


class BadForm(Exception):
    """A posted form that is too large, no form, or from another place than this console."""


class Choice(NamedTuple):
    """Something that can be undone with one click: the page that does so, and its form."""

    path: str
    fields: dict[str, str]


class View:
    """A request for a page, by somebody of the studio."""

    def __init__(self, server: Server, request: Request, entered: Entered) -> None:
        self.server = server
        self.request = request
        self.entered = entered
        self.form: dict[str, str] = {}
        self.trial: dict[str, Any] | None = None  # as which player whoever looks tries things just now
        app_id = request.path_params.get("app", "")
        self.app: App | None = server.apps.find(app_id) if app_id else None
        self.app_id = app_id
        self.saved: list[dict[str, Any]] = []
        """Saved views of the list that the page shows."""
        self._asked: Mapping[str, str] | None = None

    @property
    def query(self) -> Mapping[str, str]:
        """What follows the question mark."""
        return self.request.query_params if self._asked is None else self._asked

    def asking(self, query: str) -> "View":
        """Return this request as if something else followed the question mark."""
        other = copy.copy(self)
        other._asked = dict(parse_qsl(query, max_num_fields=FIELDS_MAX))  # noqa: SLF001 - of its own kind
        return other

    @property
    def asked(self) -> str:
        """What the page's list is asked for, as a saved view keeps it; empty: for everything."""
        return urlencode([each for each in self.query.items() if each[1] and each[0] not in PASSING])

    @property
    def within(self) -> str:
        """The page's path within the app."""
        return self.request.url.path.removeprefix(self.url())

    @property
    def tabs(self) -> list[tuple[str, str]]:
        """What there is to see of a player."""
        return PLAYER_TABS

    @property
    def now_ms(self) -> int:
        """The time."""
        return self.server.core.clock.ms()

    def part(self, name: str) -> str:
        """Return a part of the page's path."""
        text = str(self.request.path_params[name])
        return unquote(text) if "%" in text else text

    def may(self, right: Right, app_id: str | None = None) -> bool:
        """Tell whether whoever looks has a right, by default in the app of the page."""
        return self.entered.member.grants.may(right, self.app_id if app_id is None else app_id)

    async def do(self, name: str, /, **arguments: Any) -> Any:
        """Do an action as whoever looks. Raises `Refused` and `Forbidden`."""
        return await perform(self.server, ACTIONS[name], arguments, self.by)

    @property
    def by(self) -> Operator:
        """Whoever looks, as the one who acts."""
        return Operator(
            self.entered.member.name,
            VIA,
            address_of(self.request),
            self.request.headers.get("x-request-id", ""),
            self.form.get("reason", "").strip(),
            self.entered.member.grants,
        )

    async def file(self, called: str, name: str, /, **arguments: Any) -> Response | None:
        """Return all rows of a list as a file, when the page is asked for one; `name` is the action."""
        kind = self.query.get("as", "")
        if not kind:
            return None
        return await download(self.server, ACTIONS[name], arguments, self.by, kind, called, HEADERS)

    async def tried(self, name: str, /, **arguments: Any) -> Any:
        """Do an action that a page can do without; None when what it needs is away, or takes long."""
        try:
            async with asyncio.timeout(PART_SECONDS_MAX):
                return await self.do(name, **arguments)
        except (SessionsUnavailable, StorageError, TimeoutError, TooSlow):
            return None

    def url(self, path: str = "", **query: Any) -> str:
        """Return an address within the app of the page."""
        return at(f"/apps/{quote(self.app_id, safe='')}{path}", **query)

    def here(self, **changed: Any) -> str:
        """Return this page's address with other words behind the question mark; None takes one away."""
        query = {**dict(self.query), **changed}
        kept = {name: value for name, value in query.items() if value not in (None, "")}
        return self.request.url.path + (f"?{urlencode(kept)}" if kept else "")

    def render(self, template: str, *, status: int = 200, **known: Any) -> Response:
        """Render a template, with the frame around it."""
        text = TEMPLATES.get_template(template).render(
            view=self, said=_said(self.request), **_frame(self), **known
        )
        answer = HTMLResponse(text, status, HEADERS)
        if SAID_COOKIE in self.request.cookies:
            answer.delete_cookie(SAID_COOKIE, path=BASE)
        return answer

    def to(self, path: str, said: str = "", undo: Choice | None = None) -> Response:
        """Send the browser to another page, which says what was done, and how to undo it."""
        answer = RedirectResponse(path, HTTPStatus.SEE_OTHER, HEADERS)
        if said:
            told = json.dumps({"said": said, "undo": undo and [undo.path, undo.fields]})
            answer.set_cookie(
                SAID_COOKIE, quote(told), max_age=60, path=BASE, httponly=True, samesite="strict",
                secure=is_secure(self.request),
            )  # fmt: skip
        return answer

    def back(self, said: str = "", undo: Choice | None = None) -> Response:
        """Send the browser to where the form stood, which the form names, or to the app's first page."""
        to = self.form.get("back", "")
        inside = to.startswith(f"{BASE}/") and "\\" not in to and "\n" not in to
        return self.to(to if inside else self.url(), said, undo)

    @property
    def csrf(self) -> str:
        """The token that forms carry."""
        return csrf_of(self.request.cookies.get(COOKIE, ""))


# Around each page

Show = Callable[[Request], Awaitable[Response]]


def guarded(server: Server, declared_page: Page) -> Show:
    """Return what answers requests for a page: whoever may not open it does not get that far."""

    async def show(request: Request) -> Response:
        entered = await _entered(server, request)
        if isinstance(entered, Response):
            return entered
        view = View(server, request, entered)
        try:
            if not request.headers.get("hx-request"):
                view.trial = await trial_of(server, entered.member.name)
            return await _shown(view, declared_page)
        except BadForm:
            return _trouble(
                view, HTTPStatus.BAD_REQUEST, "This form did not come from here. Open the page again."
            )
        except Forbidden as error:
            return _trouble(
                view, HTTPStatus.FORBIDDEN, f"{_sentence(error)} An admin of the app can give it to you."
            )
        except Refused as error:
            return _trouble(view, HTTPStatus.UNPROCESSABLE_ENTITY, _sentence(error))
        except TimeoutError:
            return _trouble(
                view,
                HTTPStatus.GATEWAY_TIMEOUT,
                "This took too long, so it was given up. Redis or the database may be away; Live says which.",
            )
        except SessionsUnavailable:
            return _trouble(
                view, HTTPStatus.SERVICE_UNAVAILABLE, "Redis is away. The rest of the console works."
            )
        except StorageError:
            return _trouble(view, HTTPStatus.SERVICE_UNAVAILABLE, "The database is away.")

    return show


async def _entered(server: Server, request: Request) -> Entered | Response:
    token = request.cookies.get(COOKIE, "")
    try:
        entered = await staff.enter(server, token, ("session",)) if token else None
    except StorageError:
        return HTMLResponse("<p>The database is away.</p>", HTTPStatus.SERVICE_UNAVAILABLE, HEADERS)
    if entered is None:
        path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        if request.headers.get("hx-request"):  # a part of a page must not become the login
            return Response(status_code=204, headers={**HEADERS, "HX-Redirect": at("/login")})
        to = at("/login", to=path) if request.method == "GET" else at("/login")
        return RedirectResponse(to, HTTPStatus.SEE_OTHER, HEADERS)
    member = entered.member
    second = at("/account/second-factor")
    if (
        member.needs_second_factor
        and not member.has_second_factor
        and not request.url.path.startswith(second)
    ):
        return RedirectResponse(second, HTTPStatus.SEE_OTHER, HEADERS)
    return entered


async def _shown(view: View, declared_page: Page) -> Response:
    if view.app_id and view.app is None:
        raise Refused(f"there is no app {view.app_id}")
    if declared_page.right is not None and not view.may(declared_page.right):
        if view.request.method == "POST":
            await _note_denied(view, declared_page)
        raise Forbidden(declared_page.right, view.app_id)
    if view.request.method == "POST":
        view.form = await read_form(view.request, declared_page.form_bytes)
        if not hmac.compare_digest(view.form.pop("csrf", "").encode(), view.csrf.encode()):
            raise BadForm
        return await declared_page.show(view)
    async with asyncio.timeout(PAGE_SECONDS_MAX):
        return await declared_page.show(view)


async def _note_denied(view: View, declared_page: Page) -> None:
    """Write into the journal what somebody has tried who may not: what is not shown was asked for by hand."""
    async with view.server.core.database.write() as tx:
        await note(
            view.server,
            tx,
            view.by,
            f"page {declared_page.show.__name__}",
            view.app_id,
            profile=str(view.request.path_params.get("profile", "")),
            outcome="denied",
        )


def _trouble(view: View, status: HTTPStatus, text: str) -> Response:
    if view.request.headers.get("hx-request"):  # what is shown stays; the next try may do better
        return Response(status_code=HTTPStatus.NO_CONTENT, headers=HEADERS)
    back = view.request.headers.get("referer", "")
    inside = back.startswith(str(view.request.base_url).rstrip("/") + BASE + "/")
    return view.render(
        "trouble.html", status=status, title=status.phrase, text=text, back=back if inside else at()
    )


def _sentence(error: Exception) -> str:
    text = str(error)
    return f"{text[0].upper()}{text[1:]}{'' if text.endswith('.') else '.'}"


async def read_form(request: Request, bytes_max: int = FORM_BYTES_MAX) -> dict[str, str]:
    """Return the fields of a form that was posted from this very address. Raises `BadForm`."""
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    host = request.headers.get("host", "")
    if site not in (None, "same-origin") or (origin is not None and origin.partition("://")[2] != host):
        raise BadForm
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > bytes_max:
                raise BadForm
        read = partial(
            parse_qsl,
            body.decode("ascii"),
            keep_blank_values=True,
            max_num_fields=FIELDS_MAX,
            errors="strict",
        )
        # A large one takes a while, and others have their turn meanwhile.
        fields = await asyncio.to_thread(read) if len(body) > FORM_BYTES_MAX // 8 else read()
    except (ValueError, ClientDisconnect):
        raise BadForm from None
    return dict(fields)


def csrf_of(token: str) -> str:
    """Return what the forms of a session carry."""
    return hmac.new(token.encode(), b"console form", hashlib.sha256).hexdigest()


def address_of(request: Request) -> str:
    """Return the address of whoever asks."""
    return request.client.host if request.client else ""


def is_secure(request: Request) -> bool:
    """Tell whether the browser reached us over TLS, be it at a proxy."""
    return request.url.scheme == "https" or request.headers.get("origin", "").startswith("https://")


def whole(text: str, what: str) -> int:
    """Return the whole number that somebody wrote. Raises `Refused`."""
    try:
        number = int(text[:20])
    except ValueError:
        raise Refused(f"{what} is a whole number") from None
    if abs(number) > WHOLE_MAX:
        raise Refused(f"{what} is a whole number up to {WHOLE_MAX}")
    return number


def segment(text: str) -> str:
    """Return an id as one part of a path, whatever is in it; `View.part` reads it.

    Servers and proxies take `%2F` for a slash, so what holds one is written twice.
    """
    once = quote(text, safe="")
    return quote(once, safe="") if "/" in text or "%" in text else once


def at(path: str = "/", **query: Any) -> str:
    """Return an address of the console."""
    kept = {name: value for name, value in query.items() if value not in (None, "")}
    return f"{BASE}{path}" + (f"?{urlencode(kept)}" if kept else "")


def as_document(name: str, value: Any) -> Response:
    """Return one JSON document as a file."""
    headers = {**HEADERS, "Content-Disposition": f'attachment; filename="{name}.json"'}
    text = json.dumps(value, ensure_ascii=False, indent=1)
    return Response(text.encode("utf-8", "replace"), headers=headers, media_type="application/json")


# Templates


def _frame(view: View) -> dict[str, Any]:
    apps = [app for app in view.server.apps if view.entered.member.grants.role_in(app.id)]
    inside = view.app is not None
    return {
        "base": BASE,
        "apps": sorted(apps, key=lambda app: app.title.casefold()),
        "environment": view.server.settings.environment[:32],
        "is_production": view.server.settings.environment.lower().startswith("prod"),
        "menu": [place for place in MENU if inside and view.may(place.right)],
        "member": view.entered.member,
        "zone": view.entered.member.settings.get("zone", "local"),
        "theme": view.entered.member.settings.get("theme", "auto"),
        "Right": Right,
    }


def _said(request: Request) -> dict[str, Any] | None:
    try:
        told = json.loads(dict(parse_qsl("t=" + request.cookies[SAID_COOKIE]))["t"])
    except (KeyError, ValueError):
        return None
    return told if isinstance(told, dict) and isinstance(told.get("said"), str) else None


def time_tag(ms: int | None, zone: str = "local") -> Markup:
    """Return a moment; `local` ones are put into the browser's zone by its script, and are UTC without."""
    if not ms:
        return Markup('<span class="none">never</span>')
    moment = datetime.fromtimestamp(ms / 1000, UTC)
    iso = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    shown, name = moment, "UTC"
    if zone not in ("local", "UTC"):
        with contextlib.suppress(ZoneInfoNotFoundError, ValueError):
            shown, name = moment.astimezone(ZoneInfo(zone)), zone
    local = ' data-local=""' if zone == "local" else ""
    # `Markup.format` takes as long as a row of a list does: nothing here but the zone needs escaping.
    text = f'<time datetime="{iso}" title="{iso}"{local}>{shown:%Y-%m-%d %H:%M:%S} {escape(name)}</time>'
    return Markup(text)  # noqa: S704 - see above


def short(value: Any, most: int = CELL_MAX) -> str:
    """Return a value as a cell of a list shows it; what is longer is cut, visibly."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= most else text[: most - 1] + "…"


def named(text: str, most: int = 60) -> Markup:
    """Return a name that a player has chosen: whichever way it is written, what stands around it stays."""
    return Markup("<bdi>{}</bdi>").format(short(text or "(no name)", most))


def plain(value: Any) -> str:
    """Return JSON on one line."""
    return json.dumps(value, ensure_ascii=False)


def pretty(value: Any) -> str:
    """Return JSON as a person reads it."""
    return json.dumps(value, ensure_ascii=False, indent=2)


TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader("gameserver.console"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
TEMPLATES.filters.update(time=time_tag, short=short, named=named, pretty=pretty, plain=plain, path=segment)
TEMPLATES.globals.update(at=at)
