"""What an answer shows of a global entity, who may do what, and why something is refused."""

from enum import IntEnum
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from gameserver.apps import Settings
from gameserver.documents.documents import (
    DATA_BYTES_MAX,
    AclShown,
    DataBytes,
    DataShown,
    EntityId,
    EntityType,
    MissingRecord,
    VersionMismatch,
    VersionShown,
    acl_of,
    data_out,
)
from gameserver.rpc import Context, Service
from gameserver.storage import Row
from gameserver.wire.errors import GameError, NotAllowed
from gameserver.wire.fields import AppId, CreatedAt, ServerTime, UpdatedAt
from gameserver.wire.shapes import Reply

SAMPLE = """\
# Entities of the app.
[globalEntity]
# Most bytes of the data of one, as compact JSON; up to 3145728.
#data_bytes_max = 102400
# Whether clients may give entities of their player to another one, and make them belong to nobody, so that
# they outlive the player and count for nobody. Servers of yours always may.
#players_may_give_away = false
#players_may_make_system = false
"""


class GlobalEntitySettings(Settings, kw_only=True):
    """Entities of the app."""

    data_bytes_max: DataBytes = DATA_BYTES_MAX
    players_may_give_away: Annotated[
        bool, Meta(description="Whether clients may give their player's entities to another player.")
    ] = False
    players_may_make_system: Annotated[
        bool, Meta(description="Whether clients may make their player's entities belong to nobody.")
    ] = False


service = Service("globalEntity", section=GlobalEntitySettings, sample=SAMPLE)

NEVER_MS = 2**63 - 1  # what clients read as `expiresAt` of an entity that stays
NO_LIFE = -1  # the time to live of an entity that stays

# Errors


class Expired(GameError):
    """The entity's time to live is over."""

    reason_code = 40348


class AclNotReadable(GameError):
    """A system entity must at least be readable for others."""

    reason_code = 40531


class InvalidOwner(GameError):
    """The new owner is no player of this app."""

    reason_code = 40532


class NotASystemEntity(GameError):
    """The entity belongs to a player."""

    reason_code = 40537


# Who may do what


class Authority(IntEnum):
    """What a caller may do beside what ACLs allow the player."""

    NONE = 0
    SYSTEM = 1  # a server on a player's behalf: everything with entities that belong to nobody
    ALL = 2  # a server by itself


def authority(ctx: Context) -> Authority:
    """Return the caller's."""
    if not ctx.caller.is_studio:
        return Authority.NONE
    return Authority.ALL if ctx.profile_id is None else Authority.SYSTEM


def why_not(ctx: Context, entity_id: str, version: int, found: Row | None) -> GameError:
    """Return why an entity could not be changed, from what there is of it."""
    if found is None:
        return MissingRecord(f"there is no entity {entity_id!r}")
    if found["expires_ms"] <= ctx.now_ms:
        return Expired(f"the entity {entity_id!r} has expired")
    if not found["allowed"]:
        return NotAllowed(f"the ACL of the entity {entity_id!r} does not allow this")
    return VersionMismatch(f"the entity {entity_id!r} has version {found['version']}, not {version}")


def expiry_ms(now_ms: int, life_ms: int) -> int:
    """Return when an entity with this time to live expires."""
    return now_ms + life_ms if life_ms > 0 else NEVER_MS


# Replies


class EntityHead(Reply):
    """A global entity without its data. Times in ms since 1970, the time to live in ms.

    Without an owner it is a system entity. One that does not expire has 2^63 - 1 as `expiresAt`.
    """

    game_id: AppId
    entity_id: EntityId
    owner_id: Annotated[
        str | None,
        Meta(description="The id of the player who owns the entity; null: a system entity, of nobody."),
    ]
    entity_type: EntityType
    entity_indexed_id: Annotated[
        str | None, Meta(description="The id of the game's own choice, if it has one.")
    ]
    version: VersionShown
    acl: AclShown
    expires_at: Annotated[
        int,
        Meta(description="When it expires: ms since 1970-01-01 UTC. 9223372036854775807 (2^63 - 1): never."),
    ]
    time_to_live: Annotated[
        int, Meta(description="How long it lives after each change, in ms; 0 or less: until it is deleted.")
    ]
    created_at: CreatedAt
    updated_at: UpdatedAt


class Entity(EntityHead):
    data: DataShown


class ReadEntity(Entity):
    server_time: ServerTime = msgspec.field(name="_serverTime")


class EntityList(Reply):
    entity_list: Annotated[list[Entity], Meta(description="The entities, each with its data.")]
    entity_list_count: Annotated[
        int, Meta(description="How many entities there are: in this answer, or counted.")
    ]
    server_time: ServerTime = msgspec.field(name="_serverTime")


class EntityCount(Reply):
    entity_list_count: Annotated[
        int, Meta(description="How many entities there are: in this answer, or counted.")
    ]


def _head(row: Row) -> dict[str, Any]:
    return {
        "game_id": row["app_id"],
        "entity_id": row["entity_id"],
        "owner_id": row["owner_id"],
        "entity_type": row["entity_type"],
        "entity_indexed_id": row["indexed_id"],
        "version": row["version"],
        "acl": acl_of(row["acl_other"]),
        "expires_at": row["expires_ms"],
        "time_to_live": row["life_ms"],
        "created_at": row["created_ms"],
        "updated_at": row["updated_ms"],
    }


def head(row: Row) -> EntityHead:
    """Return what a change of other things than data answers."""
    return EntityHead(**_head(row))


def entity(row: Row) -> Entity:
    """Return an entity with its data."""
    return Entity(data=data_out(row["data"]), **_head(row))


def read_entity(row: Row, ctx: Context) -> ReadEntity:
    """Return an entity that was asked for by its id."""
    return ReadEntity(data=data_out(row["data"]), server_time=ctx.now_ms, **_head(row))
