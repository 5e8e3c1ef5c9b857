"""What was sent, and what became of it on each device."""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    SmallInteger,
    String,
    Table,
    and_,
    bindparam,
    delete,
    func,
    literal,
    select,
    update,
)

from gameserver.apps import App
from gameserver.documents.documents import StoredBytes
from gameserver.domain.push.settings import PushSettings
from gameserver.players.devices import TYPE_LENGTH_MAX, devices
from gameserver.players.lifecycle import PlayerTable
from gameserver.players.profiles import players
from gameserver.players.quotas import Kept
from gameserver.storage import Json, Transaction, insert_row, metadata, upsert
from gameserver.storage.expiry import Expiry
from gameserver.storage.tables import StoredBy
from gameserver.storage.timeline import DAY_MS, in_time

WAITING, SENT, FAILED, NOT_SENT = "waiting", "sent", "failed", "not_sent"
REASON_MAX = 64
SCHEDULED, TO_ALL, TO_SEGMENTS, IN_HAND = "scheduled", "all", "segments", "in_hand"  # states of a push

pushes = Table(
    "pushes",
    metadata,
    Column("app_id", String(64), primary_key=True),
    Column("push_id", String(36), primary_key=True),
    Column("sender_id", String(36), nullable=False),  # empty: the app itself
    Column("receiver_id", String(36), nullable=False),  # of one that is scheduled; else empty
    Column("state", String(16), nullable=False),
    Column("content", Json, nullable=False),
    # Of one to all the last device that it was made for, of one to segments the last player.
    Column("reached", String(64), nullable=False),
    Column("targets", Json),  # of one to many: which segments, and of which time zone; null: all players
    Column("created_ms", BigInteger, nullable=False),
    Column("due_ms", BigInteger, nullable=False),
    Index("pushes_by_sender", "sender_id", "state"),
    Index("pushes_by_receiver", "receiver_id"),
    Index("pushes_by_age", "app_id", "due_ms"),
    info={"stored_by": StoredBy.APP},
)
deliveries = Table(
    "push_deliveries",
    metadata,
    Column("app_id", String(64), primary_key=True),
    Column("push_id", String(36), primary_key=True),
    Column("device", String(64), primary_key=True),
    Column("profile_id", String(36), nullable=False),
    Column("kind", String(TYPE_LENGTH_MAX), nullable=False),
    Column("provider", String(8), nullable=False),
    Column("part", Integer, nullable=False),
    Column("state", String(8), nullable=False),
    Column("reason", String(REASON_MAX), nullable=False),
    Column("tries", SmallInteger, nullable=False),
    Column("ready_ms", BigInteger, nullable=False),  # when it may be tried
    Column("created_ms", BigInteger, nullable=False),
    Column("ended_ms", BigInteger, nullable=False),
    Index("push_deliveries_by_part", "app_id", "push_id", "provider", "part", "state", "ready_ms"),
    Index("push_deliveries_by_player", "profile_id"),
    Index("push_deliveries_by_age", "app_id", "created_ms"),
    info={"stored_by": StoredBy.APP},
)
_p, _d = pushes.c, deliveries.c
KEPT = (
    PlayerTable(
        pushes,
        ("sender_id", "receiver_id"),
        untold={"reached": "how far the server has come", "targets": "of the app's own, to many"},
    ),
    PlayerTable(
        deliveries,
        "profile_id",
        {
            "pushId": _d.push_id,
            "deviceType": _d.kind,
            "state": _d.state,
            "reason": _d.reason,
            "createdAt": _d.created_ms,
            "endedAt": _d.ended_ms,
        },
        untold={
            "device": "digest of kind and token",
            "provider": "told by the platform",
            "part": "how the server delivers",
            "tries": "how the server delivers",
            "ready_ms": "how the server delivers",
        },
    ),
)
PUSHES_EXPIRY = Expiry(_p.due_ms, _p.app_id == bindparam("app", type_=String))
DELIVERIES_EXPIRY = Expiry(_d.created_ms, _d.app_id == bindparam("app", type_=String))


def kept_ms(app: App) -> int:
    """How long an app wants to know what became of notifications."""
    return app.section(PushSettings).keep_days * DAY_MS


QUOTA = Kept(
    "scheduled notifications",
    "scheduled_pushes",
    "scheduled_push_bytes",
    select(func.count(), func.coalesce(func.sum(StoredBytes(_p.content)), 0)).where(
        _p.sender_id == bindparam("owner"),
        _p.state == SCHEDULED,
        _p.app_id.concat("") == bindparam("app", type_=String),
        _p.push_id != bindparam("but"),
    ),
)

ADD = insert_row(pushes)
READ = select(pushes).where(_p.app_id == bindparam("app"), _p.push_id == bindparam("push"))
SET_STATE = (
    update(pushes)
    .where(_p.app_id == bindparam("app"), _p.push_id == bindparam("push"))
    .values(state=bindparam("new_state"), reached=bindparam("now_reached"))
)
ADD_DELIVERIES = upsert(deliveries, ["app_id", "push_id", "device"], None)
_DEVICE = (devices.c.device, devices.c.kind, devices.c.token, devices.c.profile_id)
DEVICES_OF = (
    select(*_DEVICE)
    .where(
        devices.c.app_id == bindparam("app"),
        devices.c.profile_id.in_(bindparam("profiles", expanding=True)),
    )
    .order_by(devices.c.device)
)
ALL_DEVICES = (
    select(*_DEVICE)
    .where(devices.c.app_id == bindparam("app"), devices.c.device > bindparam("after"))
    .order_by(devices.c.device)
    .limit(bindparam("most", type_=BigInteger))
)
ALL_DEVICES_AND_ZONES = (
    select(*_DEVICE, players.c.time_zone_offset)
    .select_from(devices.outerjoin(players, players.c.profile_id == devices.c.profile_id))
    .where(devices.c.app_id == bindparam("app"), devices.c.device > bindparam("after"))
    .order_by(devices.c.device)
    .limit(bindparam("most", type_=BigInteger))
)
COUNT_DEVICES = select(func.count()).select_from(
    select(literal(1))
    .where(devices.c.app_id == bindparam("app"))
    .limit(bindparam("most", type_=BigInteger))
    .subquery()
)
_OF_PART = and_(
    _d.app_id == bindparam("app"),
    _d.push_id == bindparam("push"),
    _d.provider == bindparam("by_provider"),
    _d.part == bindparam("of_part"),
    _d.state == WAITING,
)
READY = (
    select(
        _d.device,
        _d.tries,
        _d.kind,
        devices.c.token,
        players.c.language_code,
    )
    .select_from(
        # A device that was handed over, or taken away, since the push was made, gets nothing.
        deliveries.outerjoin(
            devices,
            and_(
                devices.c.app_id == _d.app_id,
                devices.c.device == _d.device,
                devices.c.profile_id == _d.profile_id,
            ),
        ).outerjoin(players, players.c.profile_id == _d.profile_id)
    )
    .where(_OF_PART, _d.ready_ms <= bindparam("now_ms"))
    .order_by(_d.ready_ms, _d.device)
    .limit(bindparam("most", type_=BigInteger))
)
NEXT = select(func.min(_d.ready_ms)).where(_OF_PART)
ENDED = (
    update(deliveries)
    .where(
        _d.app_id == bindparam("app"),
        _d.push_id == bindparam("push"),
        _d.device == bindparam("of_device"),
        _d.state == WAITING,
    )
    .values(
        state=bindparam("new_state"),
        reason=bindparam("new_reason"),
        tries=_d.tries + 1,
        ready_ms=bindparam("again_ms"),
        ended_ms=bindparam("end_ms"),
    )
)
END_PART = (
    update(deliveries)
    .where(_OF_PART)
    .values(state=bindparam("new_state"), reason=bindparam("new_reason"), ended_ms=bindparam("end_ms"))
)
FORGET_DEVICE = delete(devices).where(
    devices.c.app_id == bindparam("app"),
    devices.c.device == bindparam("of_device"),
    devices.c.registered_ms <= bindparam("until"),  # registered anew since: another token, or good again
)

CREATED = select(_d.created_ms).where(
    _d.app_id == bindparam("app"), _d.push_id == bindparam("push"), _d.device == bindparam("device")
)
LISTED = ("created_ms", "kind", "state", "reason", "tries", "ended_ms", "profile_id", "push_id")


async def listed(
    tx: Transaction,
    app_id: str,
    most: int,
    *,
    after: str = "",
    since_ms: int | None = None,
    until_ms: int | None = None,
    oldest: bool = False,
    **equal: str,
) -> list[dict[str, Any]]:
    """Return what became of an app's notifications, the newest or the oldest first.

    `after` is the `delivery` of the last one already seen; `equal` names columns.
    """
    statement = select(*(_d[name] for name in LISTED), _d.device).where(_d.app_id == app_id)
    for name, value in equal.items():
        statement = statement.where(_d[name] == value)
    last = None
    if after:
        push_id, _, device = after.partition("/")
        seen = await tx.one(CREATED, app=app_id, push=push_id, device=device)
        if seen is None:
            return []
        last = (seen["created_ms"], push_id, device)
    statement = in_time(
        statement,
        _d.created_ms,
        _d.push_id,
        _d.device,
        last=last,
        since_ms=since_ms,
        until_ms=until_ms,
        oldest=oldest,
    )
    rows = await tx.all(statement.limit(most))
    return [
        {name: row[name] for name in LISTED} | {"delivery": f"{row['push_id']}/{row['device']}"}
        for row in rows
    ]
