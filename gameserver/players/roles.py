"""Roles that an operator gives to players. What a role allows is up to who asks for it."""

from collections.abc import Sequence

from sqlalchemy import BigInteger, Column, Index, String, Table, bindparam, delete, select

from gameserver.players import users
from gameserver.players.lifecycle import PlayerTable
from gameserver.players.profiles import players
from gameserver.storage import Row, Transaction, metadata, upsert
from gameserver.storage.tables import StoredBy

ROLE_LENGTH_MAX = 64


async def add(tx: Transaction, app_id: str, profile_id: str, role: str, now_ms: int) -> bool:
    """Give a player a role; False when they have it. Whether there is such a player is for the caller."""
    return await tx.run(ADD, app_id=app_id, role=role, profile_id=profile_id, created_ms=now_ms) > 0


async def remove(tx: Transaction, app_id: str, profile_id: str, role: str) -> bool:
    """Take a role away; False when the player did not have it."""
    return await tx.run(REMOVE, app=app_id, role=role, profile=profile_id) > 0


async def of_player(tx: Transaction, app_id: str, profile_id: str) -> list[str]:
    """Return a player's roles, in order."""
    return [row["role"] for row in await tx.all(OF_PLAYER, app=app_id, profile=profile_id)]


async def users_with(
    tx: Transaction, app_id: str, role: str, type_: str, *, most: int, offset: int
) -> Sequence[Row]:
    """Return the users with a role, in order of their profile ids: columns as in `users.read`."""
    return await tx.all(USERS_WITH, app=app_id, role=role, type_=type_, most=most, skipped=offset)


async def of_players(tx: Transaction, app_id: str, profile_ids: Sequence[str]) -> dict[str, list[str]]:
    """Return the roles of several players."""
    found: dict[str, list[str]] = {profile_id: [] for profile_id in profile_ids}
    if found:
        for row in await tx.all(OF_PLAYERS, app=app_id, profiles=list(found)):
            found[row["profile_id"]].append(row["role"])
    return found


# Storage

player_roles = Table(
    "player_roles",
    metadata,
    Column("app_id", String(64), primary_key=True),
    Column("role", String(ROLE_LENGTH_MAX), primary_key=True),
    Column("profile_id", String(36), primary_key=True),
    Column("created_ms", BigInteger, nullable=False),
    Index("player_roles_by_profile", "profile_id"),
    info={"stored_by": StoredBy.APP},
)
KEPT = PlayerTable(
    player_roles, "profile_id", {"role": player_roles.c.role, "createdAt": player_roles.c.created_ms}
)

_r = player_roles
ADD = upsert(player_roles, ["app_id", "role", "profile_id"], None)
REMOVE = delete(player_roles).where(
    _r.c.app_id == bindparam("app"), _r.c.role == bindparam("role"), _r.c.profile_id == bindparam("profile")
)
# Spelled so that no index of an app's roles seems good for those of some players: SQLite would read them all.
_OF_APP = _r.c.app_id.concat("") == bindparam("app", type_=String)
OF_PLAYER = select(_r.c.role).where(_r.c.profile_id == bindparam("profile"), _OF_APP).order_by(_r.c.role)
OF_PLAYERS = (
    select(_r.c.profile_id, _r.c.role)
    .where(_r.c.profile_id.in_(bindparam("profiles", expanding=True)), _OF_APP)
    .order_by(_r.c.profile_id, _r.c.role)
)
USERS_WITH = (
    select(*users.COLUMNS)
    .select_from(users.USERS.join(player_roles, _r.c.profile_id == players.c.profile_id))
    .where(
        _r.c.app_id == bindparam("app"), players.c.app_id == bindparam("app"), _r.c.role == bindparam("role")
    )
    .order_by(_r.c.profile_id)
    .limit(bindparam("most"))
    .offset(bindparam("skipped"))
)
