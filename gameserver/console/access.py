"""How staff get in and out: passwords, links for the first one, second factors, and how they see things."""

import hmac
import secrets
from collections.abc import Awaitable, Callable
from functools import partial
from http import HTTPStatus
from urllib.parse import quote, unquote
from zoneinfo import available_timezones

import segno
import structlog
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from gameserver.admin import staff
from gameserver.admin.common import Refused, Server
from gameserver.admin.staff import PASSWORD_MIN, SESSION_MS_MAX, Away, NoWayIn, SignOn, WrongLogin
from gameserver.admin.staff.provider import derived
from gameserver.console import opened
from gameserver.console.web import (
    BASE,
    COOKIE,
    HEADERS,
    TEMPLATES,
    BadForm,
    View,
    address_of,
    at,
    declared,
    is_secure,
    page,
    read_form,
)
from gameserver.players.passwords import Busy
from gameserver.sessions import SessionsUnavailable
from gameserver.storage import StorageError

log = structlog.get_logger(__name__)

HALF_COOKIE = "console_half"
SIGN_ON_COOKIE = "console_sign_on"
SIGN_ON_SECONDS_MAX = 600  # that somebody may stay at the provider
TO_MAX = 1000  # characters of where one wants to go after it
CODE_MAX = 4096  # characters of a code
AWAY = "The studio's login does not answer just now. Try again in a moment, or log in with a password."
WRONG = "Name, password or code is wrong, or there were too many tries. Wait a while, or ask an admin."


def routes(server: Server) -> list[BaseRoute]:
    """The pages for who is not logged in yet."""
    pages: list[tuple[str, str, Callable[[Server, Request], Awaitable[Response]]]] = [
        ("GET", "/login", _show_login),
        ("POST", "/login", _log_in),
        ("GET", "/sign-on", _sign_on),
        ("GET", "/sign-on/callback", _signed_on),
        ("GET", "/code", _show_code),
        ("POST", "/code", _confirm),
        ("GET", "/welcome/{token}", _show_welcome),
        ("POST", "/welcome/{token}", _accept),
    ]
    return [Route(BASE + path, _open(server, show), methods=[method]) for method, path, show in pages]


def _open(
    server: Server, show: Callable[[Server, Request], Awaitable[Response]]
) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        try:
            return await show(server, request)
        except BadForm:
            return _page(
                "trouble_open.html", HTTPStatus.BAD_REQUEST, text="This form did not come from here."
            )
        except (SessionsUnavailable, StorageError, Busy):
            text = "Redis or the database does not answer, or is busy. Try again in a moment."
            return _page("trouble_open.html", HTTPStatus.SERVICE_UNAVAILABLE, text=text)

    return answer


def _page(template: str, status: int = 200, **known: object) -> Response:
    return HTMLResponse(TEMPLATES.get_template(template).render(base=BASE, **known), status, HEADERS)


def _inside(to: str) -> str:
    """Return where to go after the login: only within the console."""
    return to if to.startswith(f"{BASE}/") and "\\" not in to and to.isprintable() else at()


def _entered(
    request: Request, token: str, to: str, seconds: int = SESSION_MS_MAX // 1000, *, secure: bool = False
) -> Response:
    """Begin a session: with a token that was made for it, whatever the browser brought."""
    answer = RedirectResponse(to, HTTPStatus.SEE_OTHER, HEADERS)
    set_cookie = partial(answer.set_cookie, path=BASE, httponly=True, secure=secure or is_secure(request))
    set_cookie(COOKIE, token, max_age=seconds, samesite="lax")
    answer.delete_cookie(HALF_COOKIE, path=BASE)
    answer.delete_cookie(opened.COOKIE, path=BASE)  # of whoever was there before
    return answer


async def _show_login(server: Server, request: Request) -> Response:
    return _login(server, _inside(request.query_params.get("to", "")))


def _login(server: Server, to: str, wrong: str = "", name: str = "", status: int = HTTPStatus.OK) -> Response:
    label = server.core.get(SignOn).label
    return _page("login.html", status, to=to, wrong=wrong, name=name, sign_on=label)


async def _log_in(server: Server, request: Request) -> Response:
    form = await read_form(request)
    to, name = _inside(form.get("to", "")), form.get("name", "").strip()
    try:
        token, is_half = await staff.log_in(server, name, form.get("password", ""), address_of(request))
    except WrongLogin:
        return _login(server, to, WRONG, name, HTTPStatus.FORBIDDEN)
    if not is_half:
        return _entered(request, token, to)
    answer = RedirectResponse(at("/code", to=to), HTTPStatus.SEE_OTHER, HEADERS)
    answer.set_cookie(
        HALF_COOKIE,
        token,
        max_age=300,
        path=BASE,
        httponly=True,
        secure=is_secure(request),
        samesite="strict",
    )
    return answer


# With the studio's own account: the browser keeps a secret while it is at the provider, and from it come the
# state, the nonce and the verifier. Who comes back without the secret has not begun here.


async def _sign_on(server: Server, request: Request) -> Response:
    to, secret = _inside(request.query_params.get("to", "")), secrets.token_urlsafe(32)
    to = to if len(to) <= TO_MAX else at()  # or the cookie would be one that browsers drop
    try:
        address = await staff.begin_sign_on(server, secret)
    except Away:
        return _login(server, to, AWAY, status=HTTPStatus.SERVICE_UNAVAILABLE)
    answer = RedirectResponse(address, HTTPStatus.SEE_OTHER, HEADERS)
    answer.set_cookie(
        SIGN_ON_COOKIE, f"{secret}.{quote(to, safe='')}", max_age=SIGN_ON_SECONDS_MAX,
        path=f"{BASE}/sign-on", httponly=True,
        secure=is_secure(request) or server.core.get(SignOn).is_secure,
        samesite="lax",  # it comes along when the provider sends the browser back
    )  # fmt: skip
    return answer


async def _signed_on(server: Server, request: Request) -> Response:
    query = request.query_params
    secret, _, kept = request.cookies.get(SIGN_ON_COOKIE, "").partition(".")
    to, wrong, status = _inside(unquote(kept)), "", HTTPStatus.FORBIDDEN
    state, expected = query.get("state", ""), derived(secret, "state")
    if not secret or not hmac.compare_digest(state.encode(), expected.encode()):
        wrong = "This sign-on did not begin in this browser, or took too long. Begin again."
    elif "error" in query or not query.get("code"):
        log.info("sign_on_not_done", error=query.get("error", "")[:80])
        wrong = "The sign-on was not done to its end. Begin again, or ask whoever runs the server."
    else:
        try:
            token, life_ms = await staff.finish_sign_on(
                server, secret, query["code"][:CODE_MAX], address_of(request)
            )
        except Away:
            wrong, status = AWAY, HTTPStatus.SERVICE_UNAVAILABLE
        except NoWayIn as error:
            wrong = str(error)
        else:
            answer = _entered(request, token, to, life_ms // 1000, secure=server.core.get(SignOn).is_secure)
            answer.delete_cookie(SIGN_ON_COOKIE, path=f"{BASE}/sign-on")
            return answer
    answer = _login(server, to, wrong, status=status)
    answer.delete_cookie(SIGN_ON_COOKIE, path=f"{BASE}/sign-on")
    return answer


async def _show_code(_: Server, request: Request) -> Response:
    return _page("code.html", to=_inside(request.query_params.get("to", "")), wrong="")


async def _confirm(server: Server, request: Request) -> Response:
    form = await read_form(request)
    to, half = _inside(form.get("to", "")), request.cookies.get(HALF_COOKIE, "")
    try:
        token = await staff.confirm(server, half, form.get("code", ""), address_of(request))
    except WrongLogin:
        return _page("code.html", HTTPStatus.FORBIDDEN, to=to, wrong=WRONG)
    return _entered(request, token, to)


async def _show_welcome(server: Server, request: Request) -> Response:
    name = await staff.invited(server, request.path_params["token"])
    if name is None:
        text = "This link does not work any more. `gameserver staff` makes a new one."
        return _page("trouble_open.html", HTTPStatus.NOT_FOUND, text=text)
    return _page("welcome.html", name=name, wrong="", least=PASSWORD_MIN)


async def _accept(server: Server, request: Request) -> Response:
    form = await read_form(request)
    name, password = form.get("name", ""), form.get("password", "")
    token = request.path_params["token"]
    try:
        _check_same(password, form.get("repeat"))
        session = await staff.accept(server, token, name, password, address_of(request))
    except Refused as error:
        known = await staff.invited(server, token)
        if known is None:
            return await _show_welcome(server, request)
        wrong = f"{str(error)[0].upper()}{str(error)[1:]}."
        return _page(
            "welcome.html", HTTPStatus.UNPROCESSABLE_ENTITY, name=known, wrong=wrong, least=PASSWORD_MIN
        )
    return _entered(request, session, at())


def _check_same(password: str | None, again: str | None) -> None:
    if password != again:
        raise Refused("the two passwords differ")


# For who is logged in


@page("POST /logout")
async def log_out(view: View) -> Response:
    """End the session."""
    await staff.log_out(view.server, view.entered.digest)
    answer = RedirectResponse(at("/login"), HTTPStatus.SEE_OTHER, HEADERS)
    answer.delete_cookie(COOKIE, path=BASE)
    answer.delete_cookie(opened.COOKIE, path=BASE)
    return answer


@page("GET /account")
async def account(view: View) -> Response:
    """Show how somebody sees the console, and how they prove who they are."""
    return view.render("account.html", zones=sorted(available_timezones()), least=PASSWORD_MIN)


@page("POST /account")
async def save_account(view: View) -> Response:
    """Keep how somebody wants to see the console."""
    zone, theme = view.form.get("zone", "local"), view.form.get("theme", "auto")
    if zone not in ("local", "UTC") and zone not in available_timezones():
        raise Refused("there is no such time zone")
    if theme not in ("auto", "light", "dark"):
        raise Refused("a theme is auto, light or dark")
    member = view.entered.member
    await staff.set_settings(view.server, member.name, {**member.settings, "zone": zone, "theme": theme})
    return view.to(at("/account"), "Saved.")


@page("POST /account/password")
async def change_password(view: View) -> Response:
    """Set another password."""
    form = view.form
    _check_same(form.get("new"), form.get("repeat"))
    await staff.change_password(
        view.server, view.entered, form.get("old", ""), form.get("new", ""), address_of(view.request)
    )
    return view.to(at("/account"), "The password is changed, and your other sessions are over.")


@page("GET /account/second-factor")
async def second_factor(view: View) -> Response:
    """Show the picture that an authenticator reads."""
    secret = staff.new_secret()
    return _second_factor(view, secret, "")


def _second_factor(view: View, secret: str, wrong: str) -> Response:
    uri = staff.provisioning_uri(view.entered.member.name, secret)
    picture = segno.make(uri, micro=False).png_data_uri(scale=5)
    return view.render("second_factor.html", secret=secret, picture=picture, wrong=wrong)


@page("POST /account/second-factor")
async def set_second_factor(view: View) -> Response:
    """Begin to ask for codes, and show the recovery codes this once."""
    secret = view.form.get("secret", "")
    try:
        codes = await staff.set_second_factor(view.server, view.entered, secret, view.form.get("code", ""))
    except (Refused, ValueError):
        return _second_factor(
            view, staff.new_secret(), "That was not the code of this picture. Here is a new one."
        )
    return view.render("recovery.html", codes=codes)


PAGES = declared(log_out, account, save_account, change_password, second_factor, set_second_factor)
