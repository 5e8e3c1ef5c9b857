"""Profiles of several apps that are one person's: a child's of its parent, and a player's of their peers.

A link leads from a profile to another one in an app that the first one's app names in its definition: one to
a profile of its parent app, which children share, and one to each of its peers. It goes when one of the two
players goes, the other stays. When two players become one, links that led to either lead to the survivor;
those of the other one end.
"""

from collections.abc import Iterator

from sqlalchemy import BigInteger, Column, Index, String, Table, bindparam, delete, func, select, update

from gameserver.apps import App, LiveApps
from gameserver.players.lifecycle import PlayerTable
from gameserver.players.profiles import players
from gameserver.storage import Row, Transaction, insert_row, metadata
from gameserver.storage.tables import StoredBy
from gameserver.wire.errors import DisabledApp, GameError

CHILDREN_MAX = 100
"""Children of one profile that clients may have made; in all apps together."""

PARENT = ""  # the name of the link to a parent; a peer's is its code

# Errors


class UnknownLevel(GameError):
    """The app has no parent at that level."""

    reason_code = 40377


class NoParent(GameError):
    """The player has no profile in a parent app."""

    reason_code = 40380


class InvalidPeer(GameError):
    """The app has no peer of that name."""

    reason_code = 40492


class NoPeer(GameError):
    """The player has no profile in the peer app."""

    reason_code = 40519


# Rules


def ancestors(apps: LiveApps, app: App) -> Iterator[tuple[str, App]]:
    """Yield the parent of an app, its parent, and so on, each with the name of its level."""
    seen = {app.id}
    while app.parent is not None:
        level, above = app.parent.level, apps.find(app.parent.app)
        if above is None or above.id in seen:  # a definition that was read a moment after the other one's
            return
        seen.add(above.id)
        yield level, above
        app = above


async def at_level(
    tx: Transaction, apps: LiveApps, app: App, profile_id: str, level: str | None
) -> tuple[App, str]:
    """Find the app of a level above, the nearest where none is named, and the player's profile there.

    Raises `UnknownLevel`, and `NoParent` where a profile on the way has no parent.
    """
    above = list(ancestors(apps, app))
    names = [name.casefold() for name, _ in above]
    if not above or (level and level.casefold() not in names):
        raise UnknownLevel(f"the app has no parent at the level {(level or '')[:64]!r}")
    for _, parent in above[: names.index(level.casefold()) + 1 if level else 1]:
        profile_id = await parent_of(tx, profile_id, parent)
        app = parent
    return app, profile_id


async def parent_of(tx: Transaction, profile_id: str, parent: App) -> str:
    """Return the profile in the parent app. Raises `NoParent`."""
    row = await tx.one(FIND, profile=profile_id, name=PARENT, app=parent.id)
    if row is None:
        raise NoParent("the player has no profile in a parent app")
    return str(row["target_id"])


def peer_app(apps: LiveApps, app: App, code: str | None) -> App:
    """Return the app of a peer. Raises `InvalidPeer`."""
    peer = app.peers.get(code or "")
    found = apps.find(peer.app) if peer is not None else None
    if found is None:
        raise InvalidPeer(f"the app has no peer {(code or '')[:64]!r}")
    return found


async def at_peer(
    tx: Transaction, apps: LiveApps, app: App, profile_id: str, code: str | None
) -> tuple[App, str]:
    """Find a peer's app and the player's profile there. Raises `InvalidPeer` and `NoPeer`."""
    peer = peer_app(apps, app, code)
    row = await tx.one(FIND, profile=profile_id, name=code, app=peer.id)
    if row is None:
        raise NoPeer("the player has no profile in the peer app")
    return peer, str(row["target_id"])


def check_open(app: App) -> None:
    """Refuse an app that lets nobody in. Raises `DisabledApp`."""
    if not app.enabled or not app.login.enabled:
        raise DisabledApp("the app is disabled", disabledReason=app.disabled_reason or {})


# Storage

profile_links = Table(
    "profile_links",
    metadata,
    Column("profile_id", String(36), primary_key=True),
    Column("name", String(64), primary_key=True),
    Column("target_id", String(36), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Index("profile_links_by_target", "target_id", "name", "profile_id"),
    info={"stored_by": StoredBy.PLAYER},
)
_c = profile_links.c
KEPT = PlayerTable(profile_links, ("profile_id", "target_id"), moves=False)

_target = players.alias("target")
_THIS = (_c.profile_id == bindparam("profile"), _c.name == bindparam("name"))
FIND = (
    select(_c.target_id)
    .join_from(profile_links, _target, _target.c.profile_id == _c.target_id)
    .where(*_THIS, _target.c.app_id == bindparam("app"))
)
ADD = insert_row(profile_links)
REMOVE = delete(profile_links).where(*_THIS)
PEERS = select(_c.name, _c.target_id).where(_c.profile_id == bindparam("profile"), _c.name != PARENT)
CHILDREN = (
    select(
        players.c.app_id,
        players.c.profile_id,
        players.c.name,
        players.c.summary_friend_data,
    )
    .join_from(profile_links, players, players.c.profile_id == _c.profile_id)
    .where(_c.target_id == bindparam("parent"), _c.name == PARENT)
    .order_by(_c.created_ms, _c.profile_id)
)
COUNT_CHILDREN = select(func.count()).where(_c.target_id == bindparam("parent"), _c.name == PARENT)
ADOPT = update(profile_links).where(_c.target_id == bindparam("player")).values(target_id=bindparam("heir"))


async def add(tx: Transaction, profile_id: str, name: str, target_id: str, now_ms: int) -> bool:
    """Link two profiles; False when there is a link of that name."""
    return await tx.unless_taken(
        ADD, profile_id=profile_id, name=name, target_id=target_id, created_ms=now_ms
    )


async def children(tx: Transaction, profile_id: str) -> list[Row]:
    """Return the children of a profile, the oldest first."""
    return list(await tx.all(CHILDREN, parent=profile_id))


async def descendants(tx: Transaction, profile_id: str) -> list[tuple[str, str]]:
    """Return apps and profile ids of the children, and of theirs, whose number a player's rights bound."""
    found, waiting = dict[str, str](), [profile_id]
    while waiting:
        rows = await children(tx, waiting.pop())
        new = {row["profile_id"]: row["app_id"] for row in rows if row["profile_id"] not in found}
        found |= new
        waiting += new
    return [(app_id, child) for child, app_id in found.items()]


async def adopt(tx: Transaction, profile_id: str, heir: str) -> None:
    """Let the links that lead to a profile lead to another one of the same app."""
    await tx.run(ADOPT, player=profile_id, heir=heir)
