"""How staff get in and out: passwords, links for the first one, second factors, and how they see things."""

from collections.abc import Awaitable, Callable
from functools import partial
from http import HTTPStatus
from zoneinfo import available_timezones

import segno
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from gameserver.admin import staff
from gameserver.admin.common import Refused, Server
from gameserver.admin.staff import PASSWORD_MIN, SESSION_MS_MAX, WrongLogin
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

HALF_COOKIE = "console_half"
WRONG = "Name, password or code is wrong, or there were too many tries. Wait a while, or ask an admin."


def routes(server: Server) -> list[BaseRoute]:
    """The pages for who is not logged in yet."""
    pages: list[tuple[str, str, Callable[[Server, Request], Awaitable[Response]]]] = [
        ("GET", "/login", _show_login),
        ("POST", "/login", _log_in),
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


def _entered(request: Request, token: str, to: str) -> Response:
    """Begin a session: with a token that was made for it, whatever the browser brought."""
    answer = RedirectResponse(to, HTTPStatus.SEE_OTHER, HEADERS)
    set_cookie = partial(answer.set_cookie, path=BASE, httponly=True, secure=is_secure(request))
    set_cookie(COOKIE, token, max_age=SESSION_MS_MAX // 1000, samesite="lax")
    answer.delete_cookie(HALF_COOKIE, path=BASE)
    return answer


async def _show_login(_: Server, request: Request) -> Response:
    return _page("login.html", to=_inside(request.query_params.get("to", "")), wrong="", name="")


async def _log_in(server: Server, request: Request) -> Response:
    form = await read_form(request)
    to, name = _inside(form.get("to", "")), form.get("name", "").strip()
    try:
        token, is_half = await staff.log_in(server, name, form.get("password", ""), address_of(request))
    except WrongLogin:
        return _page("login.html", HTTPStatus.FORBIDDEN, to=to, wrong=WRONG, name=name)
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
