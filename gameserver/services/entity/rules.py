"""What an answer shows of an entity, and why one is refused."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from gameserver.documents.documents import (
    NOTHING,
    READABLE,
    WRITABLE,
    AclShown,
    DataShown,
    EntityId,
    EntityType,
    VersionShown,
    acl_of,
    data_out,
)
from gameserver.rpc import Context
from gameserver.storage import Row
from gameserver.wire.errors import GameError, NotAllowed, PacketTooLarge
from gameserver.wire.fields import AppId, CreatedAt, ServerTime, UpdatedAt
from gameserver.wire.shapes import Reply

ALL_MAX = 1000  # entities that one answer without pages may hold

# Errors


class UpdateFailed(GameError):
    """There is no such entity to change."""

    status = HTTPStatus.NOT_FOUND
    reason_code = 40332


# Replies


class EntityHead(Reply):
    """An entity without its data. Times in ms since 1970."""

    entity_id: EntityId
    entity_type: EntityType
    version: VersionShown
    acl: AclShown
    created_at: CreatedAt
    updated_at: UpdatedAt


class Entity(EntityHead):
    data: DataShown


class ReadEntity(Entity):
    server_time: ServerTime = msgspec.field(name="_serverTime")


class ListedEntity(Entity):
    game_id: AppId
    owner_id: Annotated[str, Meta(description="The id of the player who owns the entity.")]


class IncrementedEntity(Entity):
    game_id: AppId
    player_id: Annotated[str, Meta(description="The id of the player who owns the entity.")]


class Entities(Reply):
    entities: Annotated[list[Entity], Meta(description="The entities, each with its data.")]
    entity_list_count: Annotated[
        int, Meta(description="How many entities there are: in this answer, or counted.")
    ]
    server_time: ServerTime = msgspec.field(name="_serverTime")


class EntityList(Reply):
    entity_list: Annotated[list[ListedEntity], Meta(description="The entities, each with its data.")]
    entity_list_count: Annotated[
        int, Meta(description="How many entities there are: in this answer, or counted.")
    ]
    server_time: ServerTime = msgspec.field(name="_serverTime")


class EntityCount(Reply):
    entity_list_count: Annotated[
        int, Meta(description="How many entities there are: in this answer, or counted.")
    ]


# Rules


def least(ctx: Context, owner: str) -> int:
    """Return what an ACL must at least allow others for the caller to see an entity of `owner`."""
    return NOTHING if owner == ctx.player_id else READABLE


def _head(row: Row) -> dict[str, Any]:
    return {
        "entity_id": row["entity_id"],
        "entity_type": row["entity_type"],
        "version": row["version"],
        "acl": acl_of(row["acl_other"]),
        "created_at": row["created_ms"],
        "updated_at": row["updated_ms"],
    }


def _data(row: Row) -> msgspec.Raw:
    data = data_out(row["data"])
    assert data is not None, "the column is never null"
    return data


def entity(row: Row, text: str) -> Entity:
    """Return an entity with the data that was just stored."""
    return Entity(**_head(row), data=msgspec.Raw(text.encode()))


def stored_entity(row: Row) -> Entity:
    """Return an entity as it is stored."""
    return Entity(**_head(row), data=_data(row))


def read_entity(row: Row, ctx: Context) -> ReadEntity:
    """Return an entity as it is stored, for an answer of its own."""
    return ReadEntity(**_head(row), data=_data(row), server_time=ctx.now_ms)


def listed(row: Row, ctx: Context) -> ListedEntity:
    """Return an entity as it is stored, with its owner."""
    return ListedEntity(**_head(row), data=_data(row), game_id=ctx.app.id, owner_id=row["owner_id"])


def incremented_entity(row: Row, text: str, ctx: Context) -> IncrementedEntity:
    """Return an entity after its data became `text`; `row` is the one before."""
    changed = {"version": row["version"] + 1, "updated_at": ctx.now_ms}
    data = msgspec.Raw(text.encode())
    return IncrementedEntity(**_head(row) | changed, data=data, game_id=ctx.app.id, player_id=row["owner_id"])


def entities(rows: Sequence[Row], ctx: Context) -> Entities:
    """Return entities as they are stored."""
    found = [stored_entity(row) for row in rows]
    return Entities(entities=found, entity_list_count=len(found), server_time=ctx.now_ms)


def all_of(rows: Sequence[Row], ctx: Context) -> Entities:
    """Answer with all entities there are. Raises `PacketTooLarge` when there is too much for that."""
    if len(rows) > ALL_MAX:
        raise PacketTooLarge(f"there are more than {ALL_MAX} entities; read them in pages")
    ctx.reserve_bytes(row["data"] for row in rows)
    return entities(rows, ctx)


def forbidden(ctx: Context, owner: str, entity_id: str, other: int) -> NotAllowed | None:
    """Return the refusal for a caller who may not change an entity with such an ACL."""
    if owner == ctx.player_id or other >= WRITABLE:
        return None
    return NotAllowed(f"the entity {entity_id!r} is not the caller's to change")
