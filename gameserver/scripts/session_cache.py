"""Objects that scripts keep with a player's session: few, small, and of no use after it."""

from typing import Any

from sqlalchemy import BigInteger, Column, Index, String, Table, bindparam, select

from gameserver.jobs import forget
from gameserver.storage import Json, StoredBy, Transaction, metadata, upsert
from gameserver.storage.expiry import Expiry
from gameserver.wire import json

OBJECTS_MAX = 5
OBJECT_MAX = 512  # characters of its JSON
KEPT_MS = 31 * 24 * 3600 * 1000  # longer than any session lives after its last packet


class CacheFull(Exception):
    """The object is too large, or there are too many."""


async def get(tx: Transaction, session: str, key: str) -> Any:
    """Return an object of the session with that digest; None where there is none."""
    return (await _read(tx, session)).get(key)


async def put(tx: Transaction, session: str, key: str, value: Any, now_ms: int) -> None:
    """Keep an object instead of the one of that name. Raises `CacheFull`."""
    if len(json.encode_free(value).decode()) > OBJECT_MAX:
        raise CacheFull(f"CACHE_OBJECT_TOO_LARGE (40650): an object has at most {OBJECT_MAX} characters")
    await tx.lock(f"session_objects/{session}")
    objects = await _read(tx, session)
    if key not in objects and len(objects) >= OBJECTS_MAX:
        raise CacheFull(f"TOO_MANY_CACHE_OBJECTS (40654): a session keeps at most {OBJECTS_MAX} objects")
    await _write(tx, session, objects | {key: value}, now_ms)


async def take(tx: Transaction, session: str, key: str, now_ms: int) -> Any:
    """Forget an object; returns it, or None where there is none."""
    await tx.lock(f"session_objects/{session}")
    objects = await _read(tx, session)
    if key not in objects:
        return None
    value = objects.pop(key)
    await _write(tx, session, objects, now_ms)
    return value


# Storage

session_objects = Table(
    "session_objects",
    metadata,
    Column("session", String(128), primary_key=True),
    Column("objects", Json, nullable=False),
    Column("stored_ms", BigInteger, nullable=False),
    Index(None, "stored_ms"),
    info={"stored_by": StoredBy.KEY},
)
_c = session_objects.c
_STORE = upsert(session_objects, ["session"], ["objects", "stored_ms"])
_READ = select(_c.objects).where(_c.session == bindparam("session"))
FORGET = forget("sessionObjects.forget", Expiry(_c.stored_ms), KEPT_MS)


async def _read(tx: Transaction, session: str) -> dict[str, Any]:
    row = await tx.one(_READ, session=session)
    objects: dict[str, Any] = {} if row is None else json.read_stored(row["objects"])
    return objects


async def _write(tx: Transaction, session: str, objects: dict[str, Any], now_ms: int) -> None:
    text = json.encode_free(objects).decode()
    await tx.run(_STORE, session=session, objects=text, stored_ms=now_ms)
