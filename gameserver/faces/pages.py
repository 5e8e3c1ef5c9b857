"""The pages behind links: a new password, proving a mail address, deleting one's account, no more mail.

Plain HTML that works without script. The token in the address is the whole authority, so the pages load
nothing from elsewhere, send no referrer, are kept by no cache and shown in no frame. Looking at a page
changes nothing: mail programs open links by themselves.
"""

import base64
import hashlib
import html
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, TypeVar
from urllib.parse import parse_qs

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from gameserver.apps import App, LiveApps
from gameserver.players import identities, links, profiles, tokens, unsubscribing, users
from gameserver.players.accounts import WeakPassword
from gameserver.players.lockout import network_of
from gameserver.players.passwords import PASSWORD_BYTES_MAX
from gameserver.players.termination import Actor
from gameserver.players.tokens import Kind, Token
from gameserver.rpc import Context, Core, Face, Origin, Runner
from gameserver.scripts.link_hooks import Button, after_link
from gameserver.sessions import AllOf, SessionsUnavailable
from gameserver.storage import Aborted, CommitUnknown, Transaction
from gameserver.wire.errors import GameError

log = structlog.get_logger(__name__)

FACE = "pages"
FORM_BYTES_MAX = 8 << 10
LOOKS_MAX = 30  # at pages of one kind that cost much, of one network
LOOKS_WINDOW_SECONDS = 900
_DELETION_TOKEN = "deletionToken"  # noqa: S105 - the name of a parameter
_ASK_AGAIN = "Ask for a new one where you got it."

_STYLE = """\
:root { color-scheme: light dark; }
body { font: 1.1rem/1.5 system-ui, sans-serif; max-width: 32rem; margin: 3rem auto; padding: 0 1rem;
  color: #1b1b1f; background: #ffffff; }
label { display: block; margin-top: 1rem; font-weight: 600; }
input { box-sizing: border-box; width: 100%; padding: .6rem; font: inherit; color: inherit;
  background: transparent; border: 2px solid #5c5f66; border-radius: .4rem; }
button, a { display: inline-block; margin-top: 1.5rem; padding: .7rem 1.4rem; font: inherit;
  font-weight: 600; color: #ffffff; background: #174ea6; border: 0; border-radius: .4rem;
  text-decoration: none; }
:focus-visible { outline: 3px solid #c26401; outline-offset: 2px; }
.error { padding: .6rem; border-left: .4rem solid #b3261e; color: #8c1d18; background: #fdeceb; }
@media (prefers-color-scheme: dark) { body { color: #f1f1f4; background: #16171b; }
  input { border-color: #a9acb3; } }
"""
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; "
        "frame-ancestors 'none'; base-uri 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-Robots-Tag": "noindex",
}

T = TypeVar("T")
Page = Callable[[Request], Awaitable[Response]]


class BadForm(Exception):
    """A posted form that is too large or no form."""


class TooOften(Exception):
    """Too many of these pages were asked for from one network."""


def routes(core: Core, apps: LiveApps, runner: Runner) -> list[Route]:
    """The pages of a server."""
    pages = Pages(core, apps, runner)
    return [
        Route(links.RESET_PATH + "{token}", _guarded(pages.show_reset), methods=["GET"]),
        Route(links.RESET_PATH + "{token}", _guarded(pages.reset), methods=["POST"]),
        Route(links.VALIDATE_PATH + "{token}", _guarded(pages.show_validation), methods=["GET"]),
        Route(links.VALIDATE_PATH + "{token}", _guarded(pages.validate), methods=["POST"]),
        Route(links.DELETE_PATH, _guarded(pages.show_deletion), methods=["GET"]),
        Route(links.DELETE_PATH, _guarded(pages.delete), methods=["POST"]),
        Route(unsubscribing.PATH + "{app}/{token}", _guarded(pages.show_unsubscribing), methods=["GET"]),
        Route(unsubscribing.PATH + "{app}/{token}", _guarded(pages.unsubscribe), methods=["POST"]),
    ]


face = Face(FACE, lambda core, apps, packets: routes(core, apps, packets.runner))


class Pages:
    """What the routes do. Each looks its token up anew: the link may have been used in another window."""

    def __init__(self, core: Core, apps: LiveApps, runner: Runner) -> None:
        self.core = core
        self.apps = apps
        self.runner = runner

    async def show_reset(self, request: Request) -> Response:
        """Show the form for a new password."""
        found = await self._look(Kind.PASSWORD_RESET, request)
        return _lapsed() if found is None else _reset_form(found[1])

    async def reset(self, request: Request) -> Response:
        """Set the password, end the player's sessions, and use up this link and the account's others."""
        found = await self._look(Kind.PASSWORD_RESET, request)
        if found is None:
            return _lapsed()
        token, app = found
        form = await _read_form(request)
        password = form.get("password", "")
        if "repeat" in form and form["repeat"] != password:
            return _reset_form(app, "The two passwords differ.")
        if not password:
            return _reset_form(app, "Enter a new password.")
        try:
            digest = await self.core.accounts.new_digest(app, password, address=_address(request))
        except WeakPassword as error:
            return _reset_form(app, f"{str(error)[0].upper()}{str(error)[1:]}.")
        by = Actor(FACE, _address(request), why="password_reset")
        everything = AllOf(token.app_id, token.subject)

        async def change(tx: Transaction) -> int | None:
            epoch = await self._set_password(tx, request.path_params["token"], token, digest)
            if epoch is not None:
                # Before the commit: should the server die right after it, nobody is left logged in.
                await self.core.endings.end(app, everything, "revoked", by, in_transaction=True)
            return epoch

        epoch = await self.core.database.transact(change)
        if epoch is None:
            return _lapsed()
        # Again, for logins with the old password that were on their way.
        await self.core.endings.end(app, everything, "revoked", by, epoch=epoch)
        key = str(token.data["key"])
        await self.core.accounts.attempt(app, token.data["type"], key, _address(request)).unlock()
        async with self.core.database.read() as tx:
            contact = await identities.find_contact(tx, app.id, token.data["type"], key)
        to = links.mailbox(contact, token.data["type"])
        language = contact["language_code"] if contact is not None else None
        links.notify(self.core.mailer, self.core.sessions, app, "password_changed", to, language)
        return _page(app, "Your password is changed", "<p>Log in to the game with your new password.</p>")

    async def _set_password(self, tx: Transaction, text: str, token: Token, digest: str) -> int | None:
        """Set the password and return the player's new epoch; None when the link does not work any more."""
        owner = (token.app_id, token.subject, token.data["type"], token.data["key"])
        if await tokens.redeem(tx, Kind.PASSWORD_RESET, text, self.core.clock.ms()) is None:
            return None
        if not await links.may_act(tx, token) or not await identities.set_digest(tx, *owner, digest):
            return None
        if token.data["type"] == "Email":  # whoever got the mail owns the address
            await identities.set_validated(tx, *owner)
        await tokens.revoke(tx, Kind.PASSWORD_RESET, token.app_id, token.subject)
        return await profiles.raise_epoch(tx, token.app_id, token.subject)

    async def show_validation(self, request: Request) -> Response:
        """Show the button that proves the address."""
        found = await self._look(Kind.EMAIL_VALIDATION, request)
        if found is None:
            return await self._unproven(request)
        form = '<form method="post"><button type="submit">Yes, this is my address</button></form>'
        return _page(found[1], "Is this your mail address?", form)

    async def validate(self, request: Request) -> Response:
        """Note that the address is proven, and let the app's scripts know."""
        found = await self._look(Kind.EMAIL_VALIDATION, request)
        text = request.path_params["token"]
        if found is None or not await self.core.database.transact(lambda tx: self._set_validated(tx, text)):
            return await self._unproven(request)
        token, app = found
        origin = Origin(FACE, _address(request))
        button = await after_link(self.runner, app, origin, "post", {"message": _owner(token)})
        content = "<p>You can go back to the game.</p>" + _link(button)
        return _page(app, "Your address is confirmed", content)

    async def _unproven(self, request: Request) -> Response:
        """Say that a link proves nothing; scripts are told where it is known whose it was."""
        async with self.core.database.read() as tx:
            token = await tokens.whose(tx, Kind.EMAIL_VALIDATION, request.path_params["token"])
        app = self.apps.find(token.app_id) if token is not None else None
        if token is None or app is None:
            return _lapsed()
        await self._count_look(request, "validation")  # each runs scripts
        failed = {"status": 400, "reasonCode": None, "errorMessage": "the link does not work any more"}
        data = {"callingMessage": _owner(token), "errorData": failed}
        button = await after_link(self.runner, app, Origin(FACE, _address(request)), "post_fail", data)
        return _lapsed(content=_link(button))

    async def _set_validated(self, tx: Transaction, text: str) -> bool:
        token = await tokens.redeem(tx, Kind.EMAIL_VALIDATION, text, self.core.clock.ms())
        if token is None or not await links.may_act(tx, token):
            return False
        await tokens.revoke(tx, Kind.EMAIL_VALIDATION, token.app_id, token.subject)
        return await identities.set_validated(
            tx, token.app_id, token.subject, token.data["type"], token.data["key"]
        )

    async def show_deletion(self, request: Request) -> Response:
        """Show the button that deletes the account, and whose it is."""
        found = await self._look_deletion(request)
        if found is None:
            return _lapsed(_ASK_AGAIN)
        token, app = found
        async with self.core.database.read() as tx:
            player = await profiles.read(tx, app.id, token.subject)
        name = f" of <b>{html.escape(player['name'])}</b>" if player is not None and player["name"] else ""
        form = f"""<p>This deletes the account{name} with everything in it. It cannot be undone.</p>
<form method="post">
<button type="submit" name="confirm" value="delete">Delete the account for ever</button>
</form>"""
        return _page(app, "Delete your account?", form)

    async def delete(self, request: Request) -> Response:
        """Delete the player of a link, and end their sessions."""
        found = await self._look_deletion(request)
        if found is None:
            return _lapsed(_ASK_AGAIN)
        token, app = found
        if (await _read_form(request)).get("confirm") != "delete":
            raise BadForm
        by = Actor(FACE, _address(request), why="deleted")
        # Before and after: packets that still come in would write what nobody removes any more.
        await self.core.endings.end(app, AllOf(app.id, token.subject), "revoked", by)

        async def work(ctx: Context) -> bool:
            text = request.query_params[_DELETION_TOKEN]
            await users.lock(ctx.tx, app.id, token.subject)
            if await tokens.redeem(ctx.tx, Kind.ACCOUNT_DELETION, text, self.core.clock.ms()) is None:
                return False
            return await self.core.player_hooks.delete_player(ctx, token.subject)

        if not await self.runner.do(work, app, Origin(FACE, _address(request))):
            return _lapsed(_ASK_AGAIN)
        return _page(app, "Your account is deleted", "<p>Nothing of it is left. You can close this page.</p>")

    async def _look_deletion(self, request: Request) -> tuple[Token, App] | None:
        await self._count_look(request, "deletion")
        async with self.core.database.read() as tx:
            text = request.query_params.get(_DELETION_TOKEN, "")
            token = await tokens.look(tx, Kind.ACCOUNT_DELETION, text, self.core.clock.ms())
        app = self.apps.find(token.app_id) if token is not None else None
        return (token, app) if token is not None and app is not None else None

    async def _count_look(self, request: Request, page: str) -> None:
        """Raise `TooOften` for a network that looks at a page all the time."""
        network = network_of(_address(request))
        if not await self.core.sessions.hit(f"page/{page}/{network}", LOOKS_MAX, LOOKS_WINDOW_SECONDS):
            raise TooOften

    async def show_unsubscribing(self, request: Request) -> Response:
        """Ask whether an address is to get no more mail: programs that look into mail open links, too."""
        app = self.apps.find(request.path_params["app"])
        async with self.core.database.read() as tx:
            if app is None or not await unsubscribing.is_known(tx, app.id, request.path_params["token"]):
                return _lapsed("Open the link in a newer mail.")
        form = """<p>You will get no more mail of this kind. Mail that you ask for still comes.</p>
<form method="post">
<input type="hidden" name="List-Unsubscribe" value="One-Click">
<button type="submit">Unsubscribe</button>
</form>"""
        return _page(app, "No more mail?", form)

    async def unsubscribe(self, request: Request) -> Response:
        """Send an address no more mail; mail programs post the same by themselves (RFC 8058)."""
        app, token = self.apps.find(request.path_params["app"]), request.path_params["token"]
        if (await _read_form(request)).get("List-Unsubscribe") != "One-Click":
            raise BadForm
        if app is None:
            return _lapsed("Open the link in a newer mail.")
        now_ms = self.core.clock.ms()
        async with self.core.database.write() as tx:
            is_done = await unsubscribing.unsubscribe(tx, app.id, token, now_ms)
        if not is_done:
            return _lapsed("Open the link in a newer mail.")
        return _page(app, "You are unsubscribed", "<p>No more mail of this kind will come.</p>")

    async def _look(self, kind: Kind, request: Request) -> tuple[Token, App] | None:
        async with self.core.database.read() as tx:
            token = await tokens.look(tx, kind, request.path_params["token"], self.core.clock.ms())
            if token is not None and not await links.may_act(tx, token):
                return None
        app = self.apps.find(token.app_id) if token is not None else None
        return (token, app) if token is not None and app is not None else None


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


def _guarded(page: Page) -> Page:
    """Turn what can go wrong into a page that says what to do."""

    async def answer(request: Request) -> Response:
        try:
            return await page(request)
        except BadForm:
            text = "<p>The form could not be read. Open the link in the mail again.</p>"
            return _page(None, "That did not work", text, HTTPStatus.BAD_REQUEST)
        except TooOften:
            text = "<p>Too many pages were opened from here. Wait a quarter of an hour, then reload.</p>"
            return _page(None, "Please wait", text, HTTPStatus.TOO_MANY_REQUESTS)
        except (GameError, Aborted, CommitUnknown, SessionsUnavailable) as error:
            log.warning("page_postponed", path=request.scope["route"].path, error=str(error))
            text = "<p>The server is busy at this moment. Wait a little, then reload this page.</p>"
            return _page(None, "Please try again", text, HTTPStatus.SERVICE_UNAVAILABLE)

    return answer


async def _read_form(request: Request) -> dict[str, str]:
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > FORM_BYTES_MAX:
                raise BadForm
        fields = parse_qs(
            body.decode("ascii"),
            keep_blank_values=True,
            max_num_fields=10,
            errors="strict",
            strict_parsing=bool(body),
        )
    except (ValueError, ClientDisconnect):
        raise BadForm from None
    return {name: values[0] for name, values in fields.items()}


def _reset_form(app: App, mistake: str = "") -> Response:
    least = app.login.password_min_length
    error = f'<p class="error" role="alert" id="mistake">{html.escape(mistake)}</p>' if mistake else ""
    described = ' aria-describedby="mistake" aria-invalid="true"' if mistake else ""
    field = (
        f'type="password" autocomplete="new-password" required minlength="{least}" '
        f'maxlength="{PASSWORD_BYTES_MAX}"'
    )
    rule = f"<p>It needs at least {least} characters.</p>" if least > 1 else ""
    form = f"""{error}{rule}<form method="post">
<label for="password">New password</label>
<input id="password" name="password" {field}{described}>
<label for="repeat">New password, once more</label>
<input id="repeat" name="repeat" {field}>
<button type="submit">Set the password</button>
</form>"""
    status = HTTPStatus.UNPROCESSABLE_ENTITY if mistake else HTTPStatus.OK
    return _page(app, "Choose a new password", form, status)


def _owner(token: Token) -> dict[str, Any]:
    """Return what a script is told of the owner of a link."""
    address = token.data["key"] if token.data["type"] == "Email" else None
    return {"profileId": token.subject, "emailAddress": address}


def _link(button: Button | None) -> str:
    if button is None:
        return ""
    title = f' title="{html.escape(button.hover)}"' if button.hover else ""
    return f'\n<p><a href="{html.escape(button.url)}"{title}>{html.escape(button.label)}</a></p>'


def _lapsed(advice: str = "Ask for a new mail in the game.", content: str = "") -> Response:
    text = f"<p>The link was used already, it is too old, or the account has changed since. {advice}</p>"
    return _page(None, "This link does not work any more", text + content, HTTPStatus.GONE)


def _page(app: App | None, title: str, content: str, status: HTTPStatus = HTTPStatus.OK) -> Response:
    game = html.escape(app.title or app.name) if app is not None else ""
    name = f"<p>{game}</p>" if game else ""
    page = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}{f" - {game}" if game else ""}</title>
<style>{_STYLE}</style>
</head>
<body>
<main>
{name}<h1>{title}</h1>
{content}
</main>
</body>
</html>
"""
    return HTMLResponse(page, status, headers=_HEADERS)
