"""Mail with a link in it: how often one may ask for it, what the link may do, and sending it afterwards.

Nothing here lets a caller learn whether an account exists: the mail leaves after the answer, not before it.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from hashlib import blake2b
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

import structlog

from gameserver.apps import App, LinkSettings, is_mail_address
from gameserver.players import identities, tokens
from gameserver.players.lockout import network_of
from gameserver.players.mail import Letter, Mailer, MailNotSent, MailRefused, compose
from gameserver.players.tokens import Kind, Token
from gameserver.sessions import SessionStore, SessionsUnavailable
from gameserver.storage import Row, Transaction
from gameserver.wire.errors import GameError

log = structlog.get_logger(__name__)

RESET_PATH = "/reset/"
VALIDATE_PATH = "/validate/"
DELETE_PATH = "/self-service/delete-account"

# A mailbox is not a toy: whoever asks more often gets the same answer, and no mail.
MAILS_PER_ACCOUNT = 3
MAILS_PER_ADDRESS = 30
MAILS_WINDOW_SECONDS = 900


class PublicUrl(NamedTuple):
    """What links in mails begin with; never taken from a request, which could name any host."""

    text: str


class NoEmailIdentity(GameError):
    """The player does not log in with a mail address."""

    reason_code = 550015


_posting: set[asyncio.Task[None]] = set()  # the event loop alone would forget them


async def may_mail(sessions: SessionStore, app: App, what: str, key: str, address: str) -> bool:
    """Count a request for mail about an account; False when there were too many of late.

    `address` is the network address of who asks; empty when a server of the studio does.
    """
    account = blake2b(f"{app.id}\0{what}\0{key}".encode(), digest_size=16).hexdigest()
    allowed = await sessions.hit(f"mail/account/{account}", MAILS_PER_ACCOUNT, MAILS_WINDOW_SECONDS)
    if address:
        network = blake2b(f"{app.id}\0{network_of(address)}".encode(), digest_size=16).hexdigest()
        allowed &= await sessions.hit(f"mail/address/{network}", MAILS_PER_ADDRESS, MAILS_WINDOW_SECONDS)
    if not allowed:
        log.info("mail_withheld", app=app.id, about=what)
    return allowed


async def issue(
    tx: Transaction,
    kind: Kind,
    app: App,
    identity: tuple[str, str],
    contact: Row | None,
    *,
    now_ms: int,
    minutes: int,
) -> str:
    """Make the token of a link that acts for an identity, a type and a key; returns it.

    `contact` is where the mail goes, as `identities.find_contact` found it. None: there is no such account,
    and the token, which nobody is told, keeps the work the same.
    """
    type_, key = identity
    return await tokens.issue(
        tx,
        kind,
        app.id,
        contact["profile_id"] if contact is not None else "",
        now_ms=now_ms,
        life_seconds=minutes * 60,
        data={"type": type_, "key": key, "mailboxes": None if contact is None else _mailboxes(contact)},
    )


async def may_act(tx: Transaction, token: Token) -> bool:
    """Tell whether a link may still act for its identity.

    The identity must still be that of the token's player, and mail must still go where it went: a link does
    not follow a name to whoever took it next, and does not outlive the address that it was mailed to.
    """
    contact = await identities.find_contact(tx, token.app_id, token.data["type"], token.data["key"])
    return (
        contact is not None
        and contact["profile_id"] == token.subject
        and token.data.get("mailboxes") == _mailboxes(contact)
    )


def _mailboxes(contact: Row) -> str:
    addresses = f"{contact['external_id']}\0{contact['contact_email'] or ''}"
    return blake2b(addresses.encode(), digest_size=16).hexdigest()


async def issue_deletion(
    tx: Transaction, app: App, profile_id: str, public_url: str, *, now_ms: int, minutes: int
) -> str:
    """Return the address of a page where whoever opens it may delete a player. It ends an earlier one's."""
    await tokens.revoke(tx, Kind.ACCOUNT_DELETION, app.id, profile_id)
    token = await tokens.issue(
        tx, Kind.ACCOUNT_DELETION, app.id, profile_id, now_ms=now_ms, life_seconds=minutes * 60
    )
    query = urlencode({"appId": app.id, "deletionToken": token, "profileId": profile_id})
    return f"{public_url}{DELETE_PATH}?{query}"


def link(settings: LinkSettings, public_url: str, path: str, token: str) -> str:
    """The address that a mail shows: the operator's page, or one of this server's."""
    if settings.url:
        return f"{settings.url}{'&' if '?' in settings.url else '?'}token={quote(token, safe='')}"
    return f"{public_url}{path}{quote(token, safe='')}"


def post(
    mailer: Mailer,
    app: App,
    template: str,
    to: str,
    values: Mapping[str, str],
    *,
    language: str = "",
    change: Callable[[Letter], Letter] = lambda letter: letter,
) -> None:
    """Compose and send a mail in a task of its own; what goes wrong is logged, for nobody waits for it.

    An id that is no mail address gets none: people may log in with such ids, too.
    """
    if not is_mail_address(to):
        return
    _start(_post(mailer, app, template, to, values, language, change))


def notify(
    mailer: Mailer,
    sessions: SessionStore,
    app: App,
    template: str,
    to: str | None,
    language: str | None = None,
) -> None:
    """Tell the owner of a mailbox of a change of their account, in a task of its own; None has no mailbox."""
    if to and is_mail_address(to):
        _start(_notify(mailer, sessions, app, template, to, language or ""))


def mailbox(contact: Row | None, type_: str) -> str | None:
    """Where mail about an identity goes, as `identities.find_contact` found it."""
    if contact is None:
        return None
    to: str | None = contact["external_id"] if type_ == "Email" else contact["contact_email"]
    return to or None


async def _notify(
    mailer: Mailer, sessions: SessionStore, app: App, template: str, to: str, language: str
) -> None:
    try:
        # Nobody has proven most addresses: changing them back and forth must not fill somebody's mailbox.
        allowed = await may_mail(sessions, app, template, to, "")
    except SessionsUnavailable as error:
        log.warning("mail_not_sent", app=app.id, template=template, error=str(error))
        return
    if allowed:
        await _post(mailer, app, template, to, {}, language, lambda letter: letter)


def _start(sending: Coroutine[Any, Any, None]) -> None:
    task = asyncio.get_running_loop().create_task(sending)
    _posting.add(task)
    task.add_done_callback(_posting.discard)


async def _post(
    mailer: Mailer,
    app: App,
    template: str,
    to: str,
    values: Mapping[str, str],
    language: str,
    change: Callable[[Letter], Letter],
) -> None:
    try:
        letter = await asyncio.to_thread(compose, app, template, to, values, language)
        await mailer.send(app, change(letter))
    except (MailRefused, MailNotSent) as error:
        log.warning("mail_not_sent", app=app.id, template=template, error=str(error))
    except Exception:
        log.exception("mail_not_sent", app=app.id, template=template)
