"""Entities of players and of the app, in lines."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import BigInteger, String, bindparam, select, tuple_

from gameserver.admin.moving import lines
from gameserver.admin.moving.kinds import APP, MOST, Found, Kind, NotTaken, Page, Taking, after, span
from gameserver.documents import documents
from gameserver.documents.documents import acl_of
from gameserver.players.profiles import players
from gameserver.rpc import Context
from gameserver.services.entity.storage import entities
from gameserver.services.global_entity import rules as global_rules
from gameserver.services.global_entity.rules import NEVER_MS
from gameserver.services.global_entity.storage import entities as global_entities
from gameserver.storage import Row, Transaction, insert_row
from gameserver.wire import json


async def tell_entities(page: Page, tx: Transaction, after: list[Any] | None) -> Found:
    """Tell entities of players."""
    rows = await page.rows(tx, ENTITIES, after or [-1, "", ""])
    found = [
        {
            "profileId": row["owner_id"],
            **_document(row),
            **({"isSingleton": True} if row["is_singleton"] else {}),
        }
        for row in rows
    ]
    return found, page.following(rows, "player_ms", "owner_id", "entity_id")


async def take_entity(taking: Taking, ctx: Context, line: lines.Entity) -> bool:
    """Add an entity of a player."""
    taking.must_be_here(line.profile_id)
    made = span(ctx, line.created_at, line.updated_at)
    return await ctx.tx.unless_taken(
        ADD_ENTITY,
        owner_id=line.profile_id,
        entity_id=line.entity_id,
        app_id=taking.app.id,
        entity_type=line.entity_type,
        version=line.version,
        acl_other=documents.read_acl(line.acl),
        is_singleton=line.is_singleton,
        data=documents.data_text(line.data, bytes_max=documents.LARGEST_DATA_BYTES),
        created_ms=made.created_ms,
        updated_ms=made.updated_ms,
    )


async def tell_global_entities(page: Page, tx: Transaction, after: list[Any] | None) -> Found:
    """Tell entities of the app that have not lapsed."""
    rows = await page.rows(tx, GLOBAL_ENTITIES, after or [-1, ""])
    found = [
        {
            "ownerId": row["owner_id"],
            "entityIndexedId": row["indexed_id"],
            **_document(row),
            "timeToLive": row["life_ms"],
            **({"expiresAt": row["expires_ms"]} if row["expires_ms"] < NEVER_MS else {}),
        }
        for row in rows
        if row["expires_ms"] > page.now_ms
    ]
    return found, page.following(rows, "created_ms", "entity_id")


async def take_global_entity(taking: Taking, ctx: Context, line: lines.GlobalEntity) -> bool:
    """Add an entity of the app."""
    if line.owner_id is not None:
        taking.must_be_here(line.owner_id)
    made = span(ctx, line.created_at, line.updated_at)
    life = line.time_to_live if line.time_to_live > 0 else global_rules.NO_LIFE
    expires = global_rules.expiry_ms(ctx.now_ms, life) if line.expires_at is None else line.expires_at
    if expires <= ctx.now_ms:
        raise NotTaken("expiresAt: its time to live is over")
    return await ctx.tx.unless_taken(
        ADD_GLOBAL_ENTITY,
        entity_id=line.entity_id,
        app_id=taking.app.id,
        owner_id=line.owner_id,
        entity_type=line.entity_type,
        indexed_id=line.entity_indexed_id or None,
        version=line.version,
        acl_other=documents.read_acl(line.acl),
        data=documents.data_text(line.data, bytes_max=documents.LARGEST_DATA_BYTES),
        life_ms=life,
        expires_ms=expires,
        created_ms=made.created_ms,
        updated_ms=made.updated_ms,
    )


def _document(row: Row) -> Mapping[str, Any]:
    return {
        "entityId": row["entity_id"],
        "entityType": row["entity_type"],
        "data": json.read_stored(row["data"]),
        "acl": acl_of(row["acl_other"]),
        "version": row["version"],
        "createdAt": row["created_ms"],
        "updatedAt": row["updated_ms"],
    }


def text_of(data: Mapping[str, Any] | None) -> str | None:
    """Return data of a line as it is stored. Raises what `documents.data_text` raises."""
    return None if data is None else documents.data_text(data, bytes_max=documents.DATA_BYTES_MAX)


# Storage

_p = players.c
_AGE = (_p.created_ms, _p.profile_id)
_e = entities.c
ENTITIES = (
    select(*entities.c, _p.created_ms.label("player_ms"))
    .select_from(players.join(entities, _e.owner_id == _p.profile_id))
    .where(_p.app_id == APP, _e.app_id == APP, _p.created_ms >= bindparam("after0", type_=BigInteger()))
    .where(tuple_(*_AGE, _e.entity_id) > after(BigInteger(), String(), String()))
    .order_by(*_AGE, _e.entity_id)
    .limit(MOST)
)
_g = global_entities.c
GLOBAL_ENTITIES = (
    select(global_entities)
    .where(_g.app_id == APP, tuple_(_g.created_ms, _g.entity_id) > after(BigInteger(), String()))
    .order_by(_g.created_ms, _g.entity_id)
    .limit(MOST)
)
ADD_ENTITY = insert_row(entities)
ADD_GLOBAL_ENTITY = insert_row(global_entities)

ENTITY = Kind("entity", lines.Entity, ((int, str, str),), tell_entities, take_entity)
GLOBAL_ENTITY = Kind(
    "globalEntity", lines.GlobalEntity, ((int, str),), tell_global_entities, take_global_entity
)
