"""Where staff and what opens doors for them are kept."""

import hashlib
import secrets
from typing import Any, Literal

import msgspec
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    String,
    Table,
    Text,
    bindparam,
    delete,
    select,
    update,
)

from gameserver.admin.common import Refused
from gameserver.admin.rights import Grants
from gameserver.jobs import forget
from gameserver.storage import Json, Row, Transaction, insert_row, metadata
from gameserver.storage.expiry import Expiry
from gameserver.storage.tables import StoredBy
from gameserver.wire import json

Kind = Literal["session", "half", "invitation", "key", "trial"]
"""What a token opens: a session; one that still lacks its second factor; a first password; the API; nothing,
for it says as which player somebody tries things."""

NAME_MAX = 64
INVITATION_MS = 24 * 3600 * 1000
FIRST = ""  # whose invitation lets somebody name themselves


class Member(msgspec.Struct, frozen=True):
    """Somebody of the studio."""

    name: str
    grants: Grants
    has_second_factor: bool
    needs_second_factor: bool
    settings: dict[str, Any]


def name_of(text: str) -> str:
    """Return a name without the space around it. Raises `Refused` for what is no name."""
    name = text.strip()
    if not 0 < len(name) <= NAME_MAX or not name.isprintable() or "/" in name:
        raise Refused(f"a name has 1 to {NAME_MAX} characters, and no slash")
    return name


def member_of(row: Row) -> Member:
    """Return who a row is about."""
    return Member(
        row["name"],
        msgspec.json.decode(row["grants"], type=Grants),
        bool(row["second_factor"]),
        bool(row["needs_second_factor"]),
        json.read_stored(row["settings"]),
    )


def text_of(grants: Grants) -> str:
    """Return grants as they are stored."""
    return msgspec.json.encode(grants).decode()


def digest_of(token: str) -> str:
    """Return what is kept of a text that opens a door."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


async def add_member(
    tx: Transaction,
    name: str,
    grants: Grants,
    now_ms: int,
    *,
    needs_second_factor: bool = False,
    subject: str | None = None,
) -> None:
    """Add somebody who has no password yet; with a subject they need none."""
    await tx.run(
        ADD,
        name=name,
        password=None,
        grants=text_of(grants),
        second_factor=None,
        needs_second_factor=needs_second_factor,
        used_step=0,
        recovery="[]",
        settings="{}",
        created_ms=now_ms,
        subject=subject,
        disabled_ms=None,
    )


async def give(
    tx: Transaction,
    kind: Kind,
    name: str,
    now_ms: int,
    life_ms: int,
    address: str,
    *,
    label: str = "",
    data: str = "{}",
) -> str:
    """Make a token that opens something for a time; returns it, for what is kept is its digest."""
    token = secrets.token_urlsafe(32)
    await tx.run(
        GIVE,
        digest=digest_of(token),
        kind=kind,
        name=name,
        began_ms=now_ms,
        used_ms=now_ms,
        until_ms=now_ms + life_ms,
        address=address[:64],
        label=label,
        data=data,
    )
    return token


async def carry_over(before: Transaction, now: Transaction) -> None:
    """Let the staff of one database be those of another one: they belong to the studio, not to the data."""
    for table, every, clear, add in (
        (staff, ALL, FORGET_STAFF, ADD),
        (staff_tokens, ALL_TOKENS, FORGET_TOKENS, GIVE),
    ):
        rows = [{each.name: row[each.name] for each in table.c} for row in await before.all(every)]
        await now.run(clear)
        if rows:
            await now.run_many(add, rows)


# Storage

staff = Table(
    "staff",
    metadata,
    Column("name", String(NAME_MAX), primary_key=True),
    Column("password", Text),
    Column("grants", Json, nullable=False),
    Column("second_factor", String(64)),  # the secret of the authenticator; null: none is asked for
    Column("needs_second_factor", Boolean, nullable=False),
    Column("used_step", BigInteger, nullable=False),  # the last thirty seconds whose code was used
    Column("recovery", Json, nullable=False),  # digests of the codes that are left
    Column("settings", Json, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("subject", String(64)),  # digest of who it is to the studio's provider; null: they have a password
    Column("disabled_ms", BigInteger),  # since when nothing opens any more; null: they may come in
    Index("staff_by_subject", "subject", unique=True),
    info={"stored_by": StoredBy.KEY},
)
staff_tokens = Table(
    "staff_tokens",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("name", String(NAME_MAX), nullable=False),
    Column("began_ms", BigInteger, nullable=False),
    Column("used_ms", BigInteger, nullable=False),
    Column("until_ms", BigInteger, nullable=False),
    Column("address", String(64), nullable=False),
    Column("label", String(NAME_MAX), nullable=False),
    Column("data", Json, nullable=False),
    Index("staff_tokens_by_name", "name"),
    Index("staff_tokens_by_end", "until_ms"),
    info={"stored_by": StoredBy.KEY},
)
_s, _t = staff.c, staff_tokens.c
_NAMED, _DIGEST = _s.name == bindparam("name", type_=String), _t.digest == bindparam("digest", type_=String)
_OF = _t.name == bindparam("name", type_=String)
_LIVES = _t.until_ms > bindparam("now")

READ = select(staff).where(_NAMED)
LOCK = READ.with_for_update()
ALL = select(staff).order_by(_s.name).limit(1000)
# Whoever comes by the studio's provider may be gone with it: that is why they do not count.
ANYBODY = select(_s.name).where(_s.subject.is_(None)).limit(1)
LOCK_SUBJECT = select(staff).where(_s.subject == bindparam("subject", type_=String)).with_for_update()
SET_DISABLED = update(staff).where(_s.name == bindparam("name")).values(disabled_ms=bindparam("at"))
ADD = insert_row(staff)
REMOVE = delete(staff).where(_s.name == bindparam("name"))
SET_PASSWORD = update(staff).where(_s.name == bindparam("name")).values(password=bindparam("password"))
SET_SETTINGS = update(staff).where(_s.name == bindparam("name")).values(settings=bindparam("settings"))
SET_GRANTS = (
    update(staff)
    .where(_s.name == bindparam("name"))
    .values(grants=bindparam("grants"), needs_second_factor=bindparam("needs"))
)
CHANGE_GRANTS = update(staff).where(_s.name == bindparam("name")).values(grants=bindparam("grants"))
RESET = (
    update(staff).where(_s.name == bindparam("name")).values(password=None, second_factor=None, recovery="[]")
)
SET_SECOND_FACTOR = (
    update(staff)
    .where(_s.name == bindparam("name"))
    .values(second_factor=bindparam("secret"), recovery=bindparam("recovery"))
)
USE_STEP = (
    update(staff)
    .where(_s.name == bindparam("name"), _s.used_step < bindparam("step"))
    .values(used_step=bindparam("step"))
)
USE_CODE = (
    update(staff)
    .where(_s.name == bindparam("name"), _s.recovery == bindparam("was"))
    .values(recovery=bindparam("left"))
)
GIVE = insert_row(staff_tokens)
ALL_TOKENS = select(staff_tokens).order_by(_t.until_ms.desc()).limit(1000)
FORGET_STAFF, FORGET_TOKENS = delete(staff), delete(staff_tokens)
TOKEN = select(staff_tokens).where(_DIGEST, _LIVES)
WHOSE = (
    select(staff, *(column for column in _t if column.name != "name"))
    .join(staff_tokens, _t.name == _s.name)
    .where(_DIGEST, _LIVES, _s.disabled_ms.is_(None))
)
TOUCH = update(staff_tokens).where(_DIGEST).values(used_ms=bindparam("now"), until_ms=bindparam("until"))
END = delete(staff_tokens).where(_DIGEST)
END_KEY = delete(staff_tokens).where(_DIGEST, _t.kind == "key")
END_ALL = delete(staff_tokens).where(_OF, _t.kind.in_(["session", "half", "invitation", "trial"]))
END_OTHERS = delete(staff_tokens).where(
    _OF, _t.kind.in_(["session", "half"]), _t.digest != bindparam("digest")
)
END_INVITATIONS = delete(staff_tokens).where(_OF, _t.kind == "invitation")
END_TRIALS = delete(staff_tokens).where(_OF, _t.kind == "trial")
TRIAL = select(staff_tokens).where(_OF, _t.kind == "trial", _LIVES).limit(1)
REMOVE_TOKENS = delete(staff_tokens).where(_OF)
KEY = select(staff_tokens).where(_DIGEST, _t.kind == "key")
KEYS = select(staff_tokens).where(_t.kind == "key").order_by(_t.name, _t.label).limit(1000)

FORGET = forget("staffTokens.forget", Expiry(_t.until_ms))
