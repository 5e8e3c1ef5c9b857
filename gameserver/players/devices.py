"""Devices that get push notifications: each belongs to the player and the session that registered it last."""

from hashlib import sha256
from typing import Annotated, Literal

from msgspec import Meta, field
from sqlalchemy import BigInteger, Column, Index, String, Table, Text, bindparam, delete, select

from gameserver.apps import Settings
from gameserver.players.lifecycle import PlayerTable
from gameserver.sessions import AllBut, AllOf, AllOfApp, One, Selector
from gameserver.storage import Transaction, metadata, upsert
from gameserver.storage.tables import StoredBy

DEVICES_MAX = 20  # of a player; a further one takes the place of the oldest
TOKEN_LENGTH_MAX = 4096
TYPE_LENGTH_MAX = 32
FORGOTTEN_AT_ONCE = 500

Face = Literal["dispatcher", "s2s", "backendless", "sap", "endpoints", "oauth", "pages", "cli"]


class DeviceSettings(Settings, kw_only=True):
    """Devices that get push notifications."""

    forget_at_logout: Annotated[
        list[Face],
        Meta(
            description="A session that ends through one of these faces takes its devices along: they get no "
            "further notifications. Logouts through other faces leave devices registered."
        ),
    ] = field(default_factory=lambda: ["sap"])


async def register(
    tx: Transaction, app_id: str, profile_id: str, session: str, kind: str, token: str, now_ms: int
) -> None:
    """Bind a device to a player and a session (its digest, or nothing); it leaves whoever had it before."""
    device = _key(kind, token)
    await tx.defer(
        ADD,
        app_id=app_id,
        device=device,
        kind=kind,
        token=token,
        profile_id=profile_id,
        session=session,
        registered_ms=now_ms,
    )
    await tx.defer(FORGET_OLDEST, app=app_id, profile=profile_id, this=device)


async def deregister(tx: Transaction, app_id: str, profile_id: str, kind: str, token: str) -> bool:
    """Forget a device of a player; False when it is not registered, or another player's."""
    return await tx.run(FORGET_ONE, app=app_id, profile=profile_id, this=_key(kind, token)) > 0


async def forget_all(tx: Transaction, app_id: str, profile_id: str) -> int:
    """Forget all devices of a player; returns how many there were."""
    return await tx.run(FORGET_ALL, app=app_id, profile=profile_id)


async def forget_ended(tx: Transaction, selector: Selector, ended_ms: int) -> bool:
    """Forget the devices of sessions that ended at a time; True when nothing is left to do.

    What was registered later stays, so this may come late and more than once.
    """
    match selector:
        case One():
            await tx.run(FORGET_OF_SESSION, of_session=selector.resolve() or "none")
        case AllOf(app_id=app_id, profile_id=profile_id):
            await tx.run(FORGET_UNTIL, app=app_id, profile=profile_id, until=ended_ms)
        case AllBut(app_id=app_id, profile_id=profile_id, keep=keep):
            await tx.run(FORGET_OTHERS, app=app_id, profile=profile_id, keep=keep, until=ended_ms)
        case AllOfApp(app_id=app_id):
            most = FORGOTTEN_AT_ONCE
            return await tx.run(FORGET_OF_APP, app=app_id, until=ended_ms, most=most) < most
    return True


def _key(kind: str, token: str) -> str:
    return sha256(f"{kind}\n{token}".encode()).hexdigest()


# Storage

devices = Table(
    "devices",
    metadata,
    Column("app_id", String(64), primary_key=True),
    Column("device", String(64), primary_key=True),  # digest of kind and token, which may be long
    Column("kind", String(TYPE_LENGTH_MAX), nullable=False),
    Column("token", Text, nullable=False),
    Column("profile_id", String(36), nullable=False),
    Column("session", String(64), nullable=False),
    Column("registered_ms", BigInteger, nullable=False),
    Index("devices_by_player", "app_id", "profile_id"),
    Index("devices_by_session", "session"),
    Index("devices_by_age", "app_id", "registered_ms"),
    info={"stored_by": StoredBy.APP},
)
KEPT = PlayerTable(
    devices,
    "profile_id",
    {
        "deviceType": devices.c.kind,
        "deviceToken": devices.c.token,
        "registeredAt": devices.c.registered_ms,
    },
)

ADD = upsert(devices, ["app_id", "device"], ["profile_id", "session", "registered_ms"])
FORGET_ALL = delete(devices).where(
    devices.c.app_id == bindparam("app"), devices.c.profile_id == bindparam("profile")
)
FORGET_ONE = FORGET_ALL.where(devices.c.device == bindparam("this"))
FORGET_UNTIL = FORGET_ALL.where(devices.c.registered_ms <= bindparam("until"))
FORGET_OTHERS = FORGET_UNTIL.where(devices.c.session != bindparam("keep"))
FORGET_OF_SESSION = delete(devices).where(devices.c.session == bindparam("of_session"))
FORGET_OLDEST = FORGET_ALL.where(
    devices.c.device.in_(
        select(devices.c.device)
        .where(
            devices.c.app_id == bindparam("app"),
            devices.c.profile_id == bindparam("profile"),
            devices.c.device != bindparam("this"),
        )
        .order_by(devices.c.registered_ms.desc(), devices.c.device)
        .offset(DEVICES_MAX - 1)
    )
)
FORGET_OF_APP = delete(devices).where(
    devices.c.app_id == bindparam("app"),
    devices.c.registered_ms <= bindparam("until"),
    devices.c.device.in_(
        select(devices.c.device)
        .where(devices.c.app_id == bindparam("app"), devices.c.registered_ms <= bindparam("until"))
        .order_by(devices.c.registered_ms)
        .limit(bindparam("most"))
    ),
)
