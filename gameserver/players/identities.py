"""Identities: by what a player is known when they log in, one row for each."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    String,
    Table,
    Text,
    bindparam,
    select,
    update,
)

from gameserver.players import profiles
from gameserver.players.lifecycle import PlayerTable
from gameserver.storage import Row, Transaction, insert_row, metadata
from gameserver.storage.tables import StoredBy

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
    Index("identities_by_profile", "profile_id"),
    info={"stored_by": StoredBy.APP},
)
KEPT = PlayerTable(
    identities,
    "profile_id",
    {
        "authenticationType": identities.c.type,
        "externalId": identities.c.external_id,
        "isValidated": identities.c.is_validated,
        "createdAt": identities.c.created_ms,
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
OF_PLAYER = (*THIS_IDENTITY, identities.c.profile_id == bindparam("profile"))
SET_DIGEST = update(identities).where(*OF_PLAYER).values(digest=bindparam("new_digest"))
SET_VALIDATED = update(identities).where(*OF_PLAYER).values(is_validated=True)


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
