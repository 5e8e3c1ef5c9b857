"""Mail with a link in it: how often one may ask for it, what the link is, and sending it after the answer.

Nothing here lets a caller learn whether an account exists: the mail leaves after the answer, not before it.
"""

import asyncio
from collections.abc import Callable, Mapping
from hashlib import blake2b
from urllib.parse import quote

import structlog

from gameserver.apps import App, LinkSettings
from gameserver.players.lockout import network_of
from gameserver.players.mail import Letter, Mailer, MailNotSent, MailRefused, compose
from gameserver.sessions import SessionStore

log = structlog.get_logger(__name__)

RESET_PATH = "/reset/"
VALIDATE_PATH = "/validate/"

# A mailbox is not a toy: whoever asks more often gets the same answer, and no mail.
MAILS_PER_ACCOUNT = 3
MAILS_PER_ADDRESS = 30
MAILS_WINDOW_SECONDS = 900

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
    """Compose and send a mail in a task of its own; what goes wrong is logged, for nobody waits for it."""
    task = asyncio.get_running_loop().create_task(_post(mailer, app, template, to, values, language, change))
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
