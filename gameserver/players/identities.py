"""Identities: by what a player is known when they log in, one row for each."""

from collections.abc import Sequence
from typing import Any

from msgspec import UNSET
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
    false,
    literal_column,
    select,
    text,
    update,
)

from gameserver.players import profiles
from gameserver.players.lifecycle import PlayerTable
from gameserver.players.providers import Vouched
from gameserver.storage import Aborted, Json, Row, Transaction, insert_row, metadata, upsert
from gameserver.storage.tables import StoredBy, fail_unless

identities = Table(
    "identities",
    metadata,
    Column("app_id", String(64), primary_key=True),
    Column("type", String(32), primary_key=True),
    Column("external_key", Text, primary_key=True),
    Column("external_id", Text, nullable=False),
    Column("profile_id", String(36), nullable=False),
    Column("digest", Text),
    Column("created_ms", BigInteger, nullable=False),
    Column("is_validated", Boolean, nullable=False),
    # What the system that vouches for the identity said last: until when its token is good, and more of it.
    Column("token_expires_ms", BigInteger),
    Column("data", Json),
    Column("login_type", String(32)),  # of the last login, where it is another one of the same person
    Index("identities_by_profile", "profile_id"),
    Index(
        "identities_by_start_of_universal_id",
        "app_id",
        "external_key",
        sqlite_where=text("type = 'Universal'"),
        postgresql_where=text("type = 'Universal'"),
        postgresql_ops={"external_key": "text_pattern_ops"},
        info={"concurrently": True},
    ),
    info={"stored_by": StoredBy.APP},
)
UNIVERSAL = identities.c.type == literal_column("'Universal'", String)
"""The condition of `identities_by_start_of_universal_id`, as text, so that it is known again."""
KEPT = PlayerTable(
    identities,
    "profile_id",
    {
        "authenticationType": identities.c.type,
        "externalId": identities.c.external_id,
        "isValidated": identities.c.is_validated,
        "createdAt": identities.c.created_ms,
        "tokenExpiresAt": identities.c.token_expires_ms,
        "identityData": identities.c.data,
        "loginAuthType": identities.c.login_type,
    },
)

THIS_IDENTITY = (
    identities.c.app_id == bindparam("app"),
    identities.c.type == bindparam("type_"),
    identities.c.external_key == bindparam("key"),
)
FIND = select(identities.c.profile_id, identities.c.digest, identities.c.is_validated).where(*THIS_IDENTITY)
FIND_CONTACT = (
    select(
        identities.c.profile_id,
        identities.c.external_id,
        profiles.players.c.contact_email,
        profiles.players.c.language_code,
    )
    .join(profiles.players, profiles.players.c.profile_id == identities.c.profile_id)
    .where(*THIS_IDENTITY)
)
ADD = insert_row(identities)
ADD_FIRST = upsert(  # for who makes the player at the same time: ends with `Conflict` where it is taken
    identities,
    ("app_id", "type", "external_key"),
    {"created_ms": fail_unless(identities.c.created_ms, false(), identities.c.created_ms)},
    values={column.name: bindparam(column.name) for column in identities.c},
)
OF_PLAYER = (*THIS_IDENTITY, identities.c.profile_id == bindparam("profile"))
SET_DIGEST = update(identities).where(*OF_PLAYER).values(digest=bindparam("new_digest"))
SET_VALIDATED = update(identities).where(*OF_PLAYER).values(is_validated=True)
SET_VOUCHED = (
    update(identities)
    .where(*OF_PLAYER)
    .values(token_expires_ms=bindparam("expires_ms"), login_type=bindparam("new_login_type"))
)
RENAME = (
    update(identities)
    .where(*OF_PLAYER)
    .values(external_key=bindparam("new_key"), external_id=bindparam("new_id"), is_validated=False)
)
SET_DATA = update(identities).where(*OF_PLAYER).values(data=bindparam("new_data"))
REMOVE = delete(identities).where(*OF_PLAYER)
ALL_OF = (
    select(*(identities.c[name] for name in ("type", "external_key", "external_id", "digest")))
    .add_columns(identities.c.token_expires_ms, identities.c.data, identities.c.login_type)
    .where(identities.c.profile_id == bindparam("profile"), identities.c.app_id == bindparam("app"))
    .order_by(identities.c.created_ms, identities.c.type, identities.c.external_key)
)


def new_row(
    app_id: str,
    profile_id: str,
    type_: str,
    key: str,
    external_id: str,
    now_ms: int,
    digest: str | None = None,
    vouched: Vouched | None = None,
) -> dict[str, Any]:
    """Return the parameters of `ADD`. Without a digest no password leads to the identity."""
    vouched = vouched or Vouched()
    return {
        "app_id": app_id,
        "type": type_,
        "external_key": key,
        "external_id": external_id,
        "profile_id": profile_id,
        "digest": digest,
        "created_ms": now_ms,
        "is_validated": False,
        "token_expires_ms": vouched.token_expires_ms,
        "data": vouched.data or None,
        "login_type": None,
    }


async def find(tx: Transaction, app_id: str, type_: str, key: str) -> Row | None:
    """The `profile_id`, `digest` and `is_validated` of an identity; None when nobody has it."""
    return await tx.one(FIND, app=app_id, type_=type_, key=key)


async def find_contact(tx: Transaction, app_id: str, type_: str, key: str) -> Row | None:
    """Where mail about an identity goes: `profile_id`, `external_id`, `contact_email`, `language_code`."""
    return await tx.one(FIND_CONTACT, app=app_id, type_=type_, key=key)


async def set_digest(
    tx: Transaction, app_id: str, profile_id: str, type_: str, key: str, digest: str
) -> bool:
    """Give an identity of a player another password digest; False when the player has no such identity."""
    identity = {"app": app_id, "profile": profile_id, "type_": type_, "key": key}
    return await tx.run(SET_DIGEST, **identity, new_digest=digest) > 0


async def set_validated(tx: Transaction, app_id: str, profile_id: str, type_: str, key: str) -> bool:
    """Note that a player has proven the address of an identity; False when they have no such identity."""
    return await tx.run(SET_VALIDATED, app=app_id, profile=profile_id, type_=type_, key=key) > 0


async def all_of(tx: Transaction, app_id: str, profile_id: str) -> Sequence[Row]:
    """All identities of a player, the oldest first: what may be told of them, and their digests."""
    return await tx.all(ALL_OF, app=app_id, profile=profile_id)


async def remove(tx: Transaction, app_id: str, profile_id: str, type_: str, key: str) -> bool:
    """Take an identity from a player; False when they have no such identity."""
    return await tx.run(REMOVE, app=app_id, profile=profile_id, type_=type_, key=key) > 0


async def note_vouched(
    tx: Transaction,
    app_id: str,
    profile_id: str,
    type_: str,
    key: str,
    external_id: str,
    vouched: Vouched | None,
) -> None:
    """Keep what the system that vouches for a player's identity has said; None where there is no such.

    An identity that is found by what the player was called before (`key`) is called `external_id` from then
    on. Raises `Aborted` when somebody has taken that meanwhile.
    """
    if vouched is None:
        return
    identity = {"app": app_id, "profile": profile_id, "type_": type_, "key": key}
    values = {"expires_ms": vouched.token_expires_ms, "new_login_type": vouched.login_type}
    await tx.defer(SET_VOUCHED, **identity, **values)
    if vouched.data is not UNSET:
        await tx.defer(SET_DATA, **identity, new_data=vouched.data)
    if key == vouched.former_id and not await tx.unless_taken(
        RENAME, **identity, new_key=external_id, new_id=external_id
    ):
        raise Aborted("the identity has just got its new name")
