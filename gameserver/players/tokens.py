"""Tokens that work once: links that set a password, prove an address or delete, and handoffs of devices.

Only their digests are stored, so a copy of the database opens no account. A token is worth something only
while its player's epoch is the one in which it was made: a new password ends it, and disabling, merging or
deleting the player does, as they end sessions.
"""

from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from secrets import token_urlsafe
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    String,
    Table,
    Text,
    bindparam,
    delete,
    exists,
    insert,
    select,
)

from gameserver.jobs import forget
from gameserver.players.lifecycle import PlayerTable
from gameserver.players.profiles import players
from gameserver.storage import Json, Row, Transaction, metadata
from gameserver.storage.expiry import Expiry
from gameserver.storage.tables import StoredBy
from gameserver.wire import json

TOKEN_BYTES = 32
TOKEN_LENGTH_MAX = 1024  # of what is looked up; longer texts are no tokens


class Kind(StrEnum):
    """What a token is good for. A token of one kind is worth nothing as another."""

    PASSWORD_RESET = "password_reset"  # noqa: S105 - a name
    EMAIL_VALIDATION = "email_validation"
    ACCOUNT_DELETION = "account_deletion"
    HANDOFF = "handoff"
    SETTOP_CODE = "settop_code"


@dataclass(frozen=True, slots=True)
class Token:
    """What a token stands for. `subject` is the profile it concerns, whose tokens can be revoked at once."""

    app_id: str
    subject: str
    data: Any
    expires_ms: int


async def issue(
    tx: Transaction,
    kind: Kind,
    app_id: str,
    subject: str,
    *,
    now_ms: int,
    life_seconds: int,
    data: Any = None,
) -> str:
    """Make a token of 256 random bits, URL-safe, that works once within `life_seconds`; returns it."""
    text = token_urlsafe(TOKEN_BYTES)
    issued = await issue_as(
        tx, kind, app_id, subject, text, now_ms=now_ms, life_seconds=life_seconds, data=data
    )
    assert issued, "256 random bits do not repeat"
    return text


async def issue_as(
    tx: Transaction,
    kind: Kind,
    app_id: str,
    subject: str,
    text: str,
    *,
    now_ms: int,
    life_seconds: int,
    data: Any = None,
) -> bool:
    """Make a token of a given text, such as a code that people type. False when the text is a live token."""
    digest = _digest(kind, text)
    await tx.defer(FORGET_EXPIRED_ONE, digest=digest, now_ms=now_ms)
    return await tx.unless_taken(
        ADD,
        digest=digest,
        kind=kind.value,
        app_id=app_id,
        subject=subject,
        data=None if data is None else json.encode_free(data).decode(),
        expires_ms=now_ms + life_seconds * 1000,
    )


async def look(tx: Transaction, kind: Kind, text: str, now_ms: int) -> Token | None:
    """Return what a token stands for without using it up; None when it is unknown, used, expired or ended."""
    if len(text) > TOKEN_LENGTH_MAX:
        return None
    row = await tx.one(FIND, digest=_digest(kind, text))
    return None if row is None or row["expires_ms"] <= now_ms else _token(row)


async def whose(tx: Transaction, kind: Kind, text: str) -> Token | None:
    """Return what a token stood for that may have expired; None when it is unknown or was used."""
    row = await tx.one(FIND, digest=_digest(kind, text)) if len(text) <= TOKEN_LENGTH_MAX else None
    return None if row is None else _token(row)


async def redeem(tx: Transaction, kind: Kind, text: str, now_ms: int) -> Token | None:
    """Use a token up; None when it is unknown, used, expired or ended. Of two callers only one gets it."""
    if len(text) > TOKEN_LENGTH_MAX:
        return None
    row = await tx.one(TAKE, digest=_digest(kind, text))
    return None if row is None or row["expires_ms"] <= now_ms else _token(row)


async def revoke(tx: Transaction, kind: Kind, app_id: str, subject: str) -> int:
    """Make the tokens of a subject worthless; returns how many there were."""
    return await tx.run(REVOKE, kind=kind.value, app=app_id, subject=subject)


async def revoke_all(tx: Transaction, app_id: str, subject: str) -> None:
    """Make all tokens of a subject worthless, whatever they are good for."""
    await tx.defer(REVOKE_ALL, app=app_id, subject=subject)


def security_digest(security_token: str) -> str:
    """What is kept of the second part of a handoff, which proves that the first was not just overheard."""
    return sha256(security_token.encode(errors="surrogatepass")).hexdigest()


def settop_text(app_id: str, code: str) -> str:
    """A code that people type, as a token: codes are short, so each app has its own."""
    return f"{app_id}/{code}"


def _digest(kind: Kind, text: str) -> str:
    return sha256(f"{kind.value}\n{text}".encode()).hexdigest()


def _token(row: Row) -> Token:
    data = row["data"]
    return Token(
        row["app_id"],
        row["subject"],
        None if data is None else json.decode_any(data.encode()),
        row["expires_ms"],
    )


# Storage

one_time_tokens = Table(
    "one_time_tokens",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("kind", String(32), nullable=False),
    Column("app_id", String(64), nullable=False),
    Column("subject", Text, nullable=False),
    Column("data", Json),
    Column("expires_ms", BigInteger, nullable=False),
    Column("epoch", BigInteger),  # the player's when it was made; null where there was no such player
    Index("one_time_tokens_by_subject", "app_id", "subject"),
    Index("one_time_tokens_by_expiry", "expires_ms"),
    info={"stored_by": StoredBy.KEY},
)
KEPT = PlayerTable(  # of somebody who is another player now, links and handoffs lead nowhere
    one_time_tokens,
    "subject",
    {"kind": one_time_tokens.c.kind, "expiresAt": one_time_tokens.c.expires_ms},
    moves=False,
)

_columns = (
    one_time_tokens.c.app_id,
    one_time_tokens.c.subject,
    one_time_tokens.c.data,
    one_time_tokens.c.expires_ms,
)
_subject = bindparam("subject", type_=Text)
ADD = insert(one_time_tokens).values(
    {column.name: bindparam(column.name) for column in one_time_tokens.c if column.name != "epoch"}
    | {
        "subject": _subject,
        "epoch": select(players.c.session_epoch)
        .where(players.c.profile_id == _subject, players.c.app_id == bindparam("app_id"))
        .scalar_subquery(),
    }
)
_STILL_GOOD = (
    one_time_tokens.c.digest == bindparam("digest"),
    exists().where(
        players.c.profile_id == one_time_tokens.c.subject,
        players.c.app_id == one_time_tokens.c.app_id,
        players.c.session_epoch == one_time_tokens.c.epoch,
    ),
)
FIND = select(*_columns).where(*_STILL_GOOD)
TAKE = delete(one_time_tokens).where(*_STILL_GOOD).returning(*_columns)
REVOKE_ALL = delete(one_time_tokens).where(
    one_time_tokens.c.app_id == bindparam("app"), one_time_tokens.c.subject == bindparam("subject")
)
REVOKE = REVOKE_ALL.where(one_time_tokens.c.kind == bindparam("kind"))
FORGET_EXPIRED_ONE = delete(one_time_tokens).where(
    one_time_tokens.c.digest == bindparam("digest"), one_time_tokens.c.expires_ms <= bindparam("now_ms")
)
FORGET = forget("tokens.forget", Expiry(one_time_tokens.c.expires_ms))
