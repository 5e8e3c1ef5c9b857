"""Deliveries as they are stored: an event for a target, how often it was tried, and what came of it.

A delivery's id is that of its event, which begins with the time, and the target's name behind it.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    String,
    Table,
    Text,
    and_,
    bindparam,
    delete,
    func,
    literal_column,
    select,
    text,
    update,
)

from gameserver.players.lifecycle import PlayerTable
from gameserver.players.webhooks.events import CUSTOM
from gameserver.storage import Json, Transaction, metadata, upsert
from gameserver.storage.tables import StoredBy
from gameserver.storage.timeline import Timeline
from gameserver.wire import json

PENDING, DELIVERED, FAILED = "pending", "delivered", "failed"
STATES = (PENDING, DELIVERED, FAILED)
ID_MAX = 28 + 1 + 64
ANSWER_MAX = 500  # characters of an answer that are kept
NEVER_TRIED = {"state": PENDING, "attempts": 0, "status": 0, "answer": "", "error": "", "tried_ms": 0}

deliveries = Table(
    "webhook_deliveries",
    metadata,
    Column("app_id", String(64), primary_key=True),
    Column("id", String(ID_MAX), primary_key=True),
    Column("target", String(64), nullable=False),
    Column("event", String(64), nullable=False),
    Column("profile_id", String(36), nullable=False),
    Column("data", Json, nullable=False),
    Column("at_ms", BigInteger, nullable=False),  # of the event
    Column("state", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("status", Integer, nullable=False),  # of the last answer; 0: there was none
    Column("answer", Text, nullable=False),  # how it began
    Column("error", Text, nullable=False),  # why the last try has failed
    Column("tried_ms", BigInteger, nullable=False),
    Index("webhook_deliveries_by_profile", "app_id", "profile_id", "id"),
    Index(
        "webhook_deliveries_open",
        "app_id",
        "target",
        "state",
        sqlite_where=text("state <> 'delivered'"),
        postgresql_where=text("state <> 'delivered'"),
    ),
    info={"stored_by": StoredBy.APP},
)
targets = Table(
    "webhook_targets",
    metadata,
    Column("app_id", String(64), primary_key=True),
    Column("name", String(64), primary_key=True),
    Column("failing_since_ms", BigInteger),  # the first failure after the last success
    Column("disabled_ms", BigInteger),
    Column("reason", Text, nullable=False),  # why it is disabled
    info={"stored_by": StoredBy.APP},
)
_d, _t = deliveries.c, targets.c
timeline = Timeline(deliveries)
KEPT = PlayerTable(
    deliveries,
    "profile_id",
    {
        "event": _d.event,
        "at": _d.at_ms,
        "target": _d.target,
        "data": _d.data,
        "state": _d.state,
    },
    untold={
        "id": "orders deliveries",
        **dict.fromkeys(
            ("attempts", "status", "answer", "error", "tried_ms"), "of the target, not the player"
        ),
    },
    stays="what waits is delivered still, of the app's own events without their values; the rest goes",
)

ADD = upsert(deliveries, ["app_id", "id"], None)
_APP = _d.app_id == bindparam("app", type_=String)
_THIS = (_APP, _d.id == bindparam("delivery", type_=String))
FIND = (
    select(*_d, _t.failing_since_ms, _t.disabled_ms)
    .select_from(deliveries.outerjoin(targets, and_(_t.app_id == _d.app_id, _t.name == _d.target)))
    .where(*_THIS)
)
TRIED = (
    update(deliveries)
    .where(*_THIS)
    .values(
        state=bindparam("now_state"),
        attempts=_d.attempts + bindparam("tries"),
        status=bindparam("now_status"),
        answer=bindparam("now_answer"),
        error=bindparam("now_error"),
        tried_ms=bindparam("now_ms"),
    )
)
AGAIN = update(deliveries).where(*_THIS).values(state=PENDING, attempts=0)
COUNT_OPEN = (
    select(_d.target, _d.state, func.count().label("rows"), func.min(_d.at_ms).label("oldest_ms"))
    .where(_APP, literal_column("state <> 'delivered'"))
    .group_by(_d.target, _d.state)
)

OF_APP = select(targets).where(_t.app_id == bindparam("app"))
FAILS = upsert(targets, ["app_id", "name"], None)
"""Note that a target fails, unless that is known."""
_TARGET = (_t.app_id == bindparam("app"), _t.name == bindparam("target"))
FAILS_AGAIN = (
    update(targets)
    .where(*_TARGET, _t.failing_since_ms.is_(None))
    .values(failing_since_ms=bindparam("since_ms"))
)
WORKS = update(targets).where(*_TARGET, _t.failing_since_ms.is_not(None)).values(failing_since_ms=None)
DISABLE = (
    update(targets)
    .where(*_TARGET, _t.disabled_ms.is_(None), _t.failing_since_ms <= bindparam("since_ms"))
    .values(disabled_ms=bindparam("now_ms"), reason=bindparam("now_reason"))
)
"""Tell a target no more, unless it has taken something since a failure was read."""
ENABLE = update(targets).where(*_TARGET).values(disabled_ms=None, failing_since_ms=None, reason="")

_OF_PLAYER = (_APP, _d.profile_id == bindparam("player", type_=String))
_FORGET = delete(deliveries).where(*_OF_PLAYER, _d.state != PENDING)
_EMPTY = (
    update(deliveries)
    .where(*_OF_PLAYER, _d.state == PENDING, _d.event.startswith(CUSTOM))
    .values(data=bindparam("now_data"))
)


async def forget_player(tx: Transaction, app_id: str, profile_id: str) -> None:
    """Delete what was delivered of a player, or has failed. What waits is delivered still.

    The server's own events hold nothing but ids, kinds and amounts; those of the app lose their values.
    """
    of_player: dict[str, Any] = {"app": app_id, "player": profile_id}
    await tx.defer(_FORGET, **of_player)
    empty = {"profileId": profile_id, "values": {}}
    await tx.defer(_EMPTY, **of_player, now_data=json.encode_free(empty).decode())
