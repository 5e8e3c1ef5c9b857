"""Who wants no more mail of an app: by address, with a link that every such mail has (RFC 8058).

Mails that somebody asked for, such as links that set a password, are not meant. Addresses are kept as
digests alone.
"""

import secrets
from hashlib import sha256
from typing import NamedTuple

from sqlalchemy import BigInteger, Column, Index, String, Table, bindparam, select, update

from gameserver.apps import App
from gameserver.storage import Transaction, metadata, upsert
from gameserver.storage.expiry import Expiry
from gameserver.storage.tables import StoredBy
from gameserver.storage.timeline import DAY_MS

PATH = "/unsubscribe/"
KEPT_MS = 400 * DAY_MS  # after the last mail to an address; the wish for none is kept for good
TOKEN_MAX = 64


class Mailbox(NamedTuple):
    """An address, as an app knows it."""

    token: str
    is_unsubscribed: bool


def digest(app_id: str, address: str) -> str:
    """Return what an address is known by."""
    return sha256(f"{app_id}\0{address.strip().lower()}".encode()).hexdigest()


def link(public_url: str, app: App, token: str) -> str:
    """Return the address of the page that unsubscribes."""
    return f"{public_url.rstrip('/')}{PATH}{app.id}/{token}"


async def mailbox(tx: Transaction, app: App, address: str, now_ms: int) -> Mailbox:
    """Return what is known of an address that is about to get mail."""
    params = {"app_id": app.id, "address": digest(app.id, address), "mailed_ms": now_ms}
    row = await tx.one(NOTE, **params, token=secrets.token_urlsafe(24), unsubscribed_ms=0)
    assert row is not None, "an upsert returns its row"
    return Mailbox(row["token"], row["unsubscribed_ms"] > 0)


async def is_known(tx: Transaction, app_id: str, token: str) -> bool:
    """Tell whether a link is one of the app's."""
    return await tx.one(FIND, app=app_id, of_token=token[:TOKEN_MAX]) is not None


async def unsubscribe(tx: Transaction, app_id: str, token: str, now_ms: int) -> bool:
    """Send an address no more mail; False where the link is none. Twice does no harm."""
    return await tx.run(UNSUBSCRIBE, app=app_id, of_token=token[:TOKEN_MAX], now_ms=now_ms) > 0


# Storage

mail_addresses = Table(
    "mail_addresses",
    metadata,
    Column("app_id", String(64), primary_key=True),
    Column("address", String(64), primary_key=True),  # a digest
    Column("token", String(TOKEN_MAX), nullable=False),
    Column("unsubscribed_ms", BigInteger, nullable=False),  # 0: not
    Column("mailed_ms", BigInteger, nullable=False),
    Index("mail_addresses_by_token", "app_id", "token"),
    Index("mail_addresses_by_age", "unsubscribed_ms", "mailed_ms"),
    info={"stored_by": StoredBy.APP},
)
_c = mail_addresses.c
EXPIRY = Expiry(_c.mailed_ms, _c.unsubscribed_ms == 0)
NOTE = upsert(
    mail_addresses,
    ["app_id", "address"],
    ["mailed_ms"],
    returning=[_c.token, _c.unsubscribed_ms],
)
_OF_TOKEN = (_c.app_id == bindparam("app"), _c.token == bindparam("of_token"))
FIND = select(_c.address).where(*_OF_TOKEN)
UNSUBSCRIBE = update(mail_addresses).where(*_OF_TOKEN).values(unsubscribed_ms=bindparam("now_ms"))
