"""Users: a player where accounts are described by properties, and what an operator decides of them.

A user is a player seen from another side: the same row, the same identities, the same sessions. Only the
properties are kept here.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Label,
    String,
    Table,
    bindparam,
    exists,
    or_,
    select,
    update,
)

from gameserver.apps import App
from gameserver.players import accounts, profiles, tokens
from gameserver.players.identities import ADD, RENAME, identities, new_row
from gameserver.players.lifecycle import PlayerTable
from gameserver.players.profiles import players
from gameserver.players.webhooks import PlayerCreated, emit
from gameserver.storage import Json, Row, Transaction, locks, metadata, upsert
from gameserver.storage.tables import StoredBy
from gameserver.wire import json

PROPERTIES_MAX = 100
UNDECLARED_MAX = 1000  # names of an app that are described to clients
PROPERTIES_BYTES_MAX = 64 << 10


class TooManyProperties(Exception):
    """A user has at most `PROPERTIES_MAX` properties, of at most `PROPERTIES_BYTES_MAX` bytes together."""


async def read(tx: Transaction, app_id: str, profile_id: str, type_: str) -> Row | None:
    """Return the columns of a user; None when there is no such player.

    `external_id` and `is_validated` are those of the user's oldest identity of the given type, and null when
    there is none. `is_guest` tells that nothing but the possession of a random id leads to the account.
    """
    return await tx.one(READ, app=app_id, profile=profile_id, type_=type_)


async def is_guest(tx: Transaction, app_id: str, profile_id: str) -> bool:
    """Tell whether nothing but the possession of a random id leads to a player's account."""
    row = await tx.one(IS_GUEST, app=app_id, profile=profile_id)
    return row is None or bool(row["is_guest"])


async def find(tx: Transaction, app_id: str, type_: str, text: str) -> str | None:
    """Return the profile id of the user with an identity, or of the one whose profile id the text is."""
    key = accounts.identity_key(type_, text)
    row = await tx.one(FIND, app=app_id, type_=type_, key=key, profile=text)
    return None if row is None else str(row["profile_id"])


async def lock(tx: Transaction, app_id: str, profile_id: str) -> bool:
    """Keep others from changing the user until the transaction ends; False when there is no such player."""
    await locks.take(tx, [locks.player_lock(profile_id)])
    return await tx.one(LOCK, app=app_id, profile=profile_id) is not None


async def change_properties(
    tx: Transaction, profile_id: str, stored: str | None, changes: Mapping[str, Any], now_ms: int
) -> None:
    """Set properties, and remove those that become None.

    `stored` are the present ones, as read after the user was locked. Raises `TooManyProperties`.
    """
    after = {**properties_of(stored), **changes}
    after = {name: value for name, value in after.items() if value is not None}
    text = json.encode_free(after).decode()
    if len(after) > PROPERTIES_MAX or len(text) > PROPERTIES_BYTES_MAX:
        raise TooManyProperties(
            f"a user has at most {PROPERTIES_MAX} properties and {PROPERTIES_BYTES_MAX} bytes of them"
        )
    await tx.defer(SET_PROPERTIES, profile_id=profile_id, properties=text, updated_ms=now_ms)


async def note_properties(tx: Transaction, app_id: str, kinds: Mapping[str, str]) -> None:
    """Note which properties users have that no app definition declares, and of what type each is.

    `kinds` are types by name. The first type that a name had stays; beyond `UNDECLARED_MAX` names of an app
    no more are noted.
    """
    if not kinds:
        return
    known = await undeclared_properties(tx, app_id)
    room = UNDECLARED_MAX - len(known)
    new = [name for name in sorted(kinds) if name not in known][: max(room, 0)]
    if new:
        rows = [{"app_id": app_id, "name": name, "kind": kinds[name]} for name in new]
        await tx.run_many(NOTE_PROPERTY, rows)


async def undeclared_properties(tx: Transaction, app_id: str) -> dict[str, str]:
    """Return the types of the properties that users of an app have had without a declaration, by name."""
    rows = await tx.all(UNDECLARED, app=app_id)
    return {row["name"]: row["kind"] for row in rows}


def properties_of(stored: str | None) -> dict[str, Any]:
    """Read the column `properties`."""
    properties: dict[str, Any] = json.read_stored(stored) if stored is not None else {}
    return properties


async def add_identity(
    tx: Transaction,
    app_id: str,
    profile_id: str,
    type_: str,
    external_id: str,
    digest: str | None,
    now_ms: int,
) -> bool:
    """Let a player be known by a name as well; False when somebody has that identity already.

    Without the digest of a password nobody can log in with it.
    """
    key = accounts.identity_key(type_, external_id)
    row = new_row(
        app_id, profile_id, type_, key, accounts.stored_id(type_, external_id), now_ms, digest=digest
    )
    return await tx.unless_taken(ADD, **row)


async def create(
    tx: Transaction, app: App, profile_id: str, identity: Mapping[str, Any], name: str, contact: str | None
) -> bool:
    """Make a player who has not logged in yet, of an identity's row; False when somebody has that identity.

    Such a player has logged in no time, and their first login is that of a known player.
    """
    if not await tx.unless_taken(ADD, **identity):
        return False
    await tx.defer(
        CREATE,
        profile_id=profile_id,
        app_id=app.id,
        now_ms=identity["created_ms"],
        language_code=app.default_language or None,
        country_code=app.default_country or None,
        time_zone_offset=0.0,
        ab_testing_id=profiles.ab_testing_id(profile_id),
        new_name=name,
        new_contact=contact,
    )
    created = PlayerCreated(profile_id=profile_id, authentication_type=identity["type"])
    await emit(tx, app, created, identity["created_ms"])
    return True


async def rename_identity(
    tx: Transaction, app_id: str, profile_id: str, type_: str, old: str, new: str
) -> bool:
    """Give an identity of a player another name, not proven yet; False when somebody has that one.

    Links that were mailed before it are worth nothing any more.
    """
    await tokens.revoke_all(tx, app_id, profile_id)
    return await tx.unless_taken(
        RENAME,
        app=app_id,
        profile=profile_id,
        type_=type_,
        key=accounts.identity_key(type_, old),
        new_key=accounts.identity_key(type_, new),
        new_id=accounts.stored_id(type_, new),
    )


async def set_disabled(
    tx: Transaction, app_id: str, profile_id: str, *, disabled: bool, through: str | None = None
) -> int | None:
    """Refuse or allow a player's logins; None when there is no such player.

    `through` is the face that does so where it is not the operator. Returns the epoch that begins with it,
    for the end of the sessions, which is up to the caller.
    """
    row = await tx.one(
        SET_DISABLED,
        app=app_id,
        profile=profile_id,
        disabled=disabled,
        through=through if disabled else None,
    )
    return None if row is None else row["session_epoch"]


# Storage

user_properties = Table(
    "user_properties",
    metadata,
    Column("profile_id", String(36), primary_key=True),
    Column("properties", Json, nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
    info={"stored_by": StoredBy.PLAYER},
)
user_property_names = Table(
    "user_property_names",
    metadata,
    Column("app_id", String(64), primary_key=True),
    Column("name", String(64), primary_key=True),
    Column("kind", String(16), nullable=False),
    info={"stored_by": StoredBy.APP},
)
UNDECLARED = (
    select(user_property_names.c.name, user_property_names.c.kind)
    .where(user_property_names.c.app_id == bindparam("app"))
    .order_by(user_property_names.c.name)
    .limit(UNDECLARED_MAX)
)
NOTE_PROPERTY = upsert(user_property_names, ["app_id", "name"], None)
KEPT = PlayerTable(
    user_properties,
    "profile_id",
    {"properties": user_properties.c.properties, "updated": user_properties.c.updated_ms},
)

_PLAYER = (players.c.profile_id == bindparam("profile"), players.c.app_id == bindparam("app"))
_ITS_IDENTITIES = (
    identities.c.profile_id == players.c.profile_id,
    identities.c.app_id == players.c.app_id,
)


def _of_identity(name: str) -> Label[Any]:
    """A column of the player's oldest identity of the wanted type."""
    return (
        select(identities.c[name])
        .where(*_ITS_IDENTITIES, identities.c.type == bindparam("type_"))
        .order_by(identities.c.created_ms, identities.c.external_key)
        .limit(1)
        .scalar_subquery()
        .label(name)
    )


_IS_GUEST = (~exists().where(*_ITS_IDENTITIES, identities.c.type != "Anonymous")).label("is_guest")
COLUMNS = (
    players.c.profile_id,
    players.c.contact_email,
    players.c.language_code,
    players.c.created_ms,
    players.c.last_login_ms,
    players.c.is_disabled,
    players.c.disabled_through,
    players.c.session_epoch,
    user_properties.c.properties,
    user_properties.c.updated_ms,
    _IS_GUEST,
    _of_identity("external_id"),
    _of_identity("is_validated"),
)
USERS = players.outerjoin(user_properties, user_properties.c.profile_id == players.c.profile_id)
IS_GUEST = select(_IS_GUEST).where(*_PLAYER)
READ = select(*COLUMNS).select_from(USERS).where(*_PLAYER)
_by_identity = (
    select(identities.c.profile_id)
    .where(
        identities.c.app_id == bindparam("app"),
        identities.c.type == bindparam("type_"),
        identities.c.external_key == bindparam("key"),
    )
    .scalar_subquery()
)
FIND = select(players.c.profile_id).where(
    players.c.app_id == bindparam("app"),
    or_(players.c.profile_id == bindparam("profile"), players.c.profile_id == _by_identity),
)
LOCK = select(players.c.profile_id).where(*_PLAYER).with_for_update()
CREATE = profiles.CREATE.values(name=bindparam("new_name"), contact_email=bindparam("new_contact"))
SET_PROPERTIES = upsert(user_properties, ["profile_id"], ["properties", "updated_ms"])
SET_DISABLED = (
    update(players)
    .where(*_PLAYER)
    .values(
        is_disabled=bindparam("disabled"),
        disabled_through=bindparam("through"),
        session_epoch=players.c.session_epoch + 1,
    )
    .returning(players.c.session_epoch)
)
