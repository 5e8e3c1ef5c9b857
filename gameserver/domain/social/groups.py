"""Groups, who is in them, and who may do what with what belongs to one.

A player and a group have at most one row between them: as a member with a role, as somebody invited, or as
somebody who asked to be let in. The group counts each kind; a count changes in the transaction of the row,
under the lock of the group's own row, so it always equals the rows. A unique index sees to it that no group
has two owners.

Services hang what they keep of a group on the hooks here: its entities, its chat, its boards.
"""

from collections.abc import Awaitable, Callable, Collection, Sequence
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Index,
    Integer,
    SmallInteger,
    String,
    Table,
    Text,
    and_,
    bindparam,
    exists,
    literal_column,
    or_,
    select,
    true,
)

from gameserver.apps import App
from gameserver.documents.documents import NOTHING, READABLE, WRITABLE
from gameserver.documents.query import Fields
from gameserver.frame import Hook
from gameserver.players.lifecycle import PlayerTable
from gameserver.storage import Json, Row, SearchedJson, Transaction, locks, metadata
from gameserver.storage.tables import StoredBy
from gameserver.wire import json
from gameserver.wire.errors import (
    GameError,
    InvalidParameterType,
    InvalidParameterValue,
    NotAllowed,
    UnreadableJson,
)


class UnknownGroup(GameError):
    """There is no such group."""

    reason_code = 40345


class NotGroupMember(GameError):
    """The caller is not a member of the group."""

    reason_code = 40453


class MemberAclMoreRestrictive(GameError):
    """An ACL allows members less than others."""

    reason_code = 40745


class MemberAclMissing(GameError):
    """An ACL of a group does not say what members may do."""

    reason_code = 40747


class Role(StrEnum):
    """What a member is in a group."""

    OWNER = "OWNER"
    ADMIN = "ADMIN"
    MEMBER = "MEMBER"

    @property
    def manages(self) -> bool:
        """Whether the member decides who else is in the group, and may change all that belongs to it."""
        return self is not Role.MEMBER


class Seat(StrEnum):
    """What a player has to do with a group."""

    MEMBER = "member"
    INVITED = "invited"
    REQUESTED = "requested"


class Acl(NamedTuple):
    """What members and others may do: `NOTHING`, `READABLE` or `WRITABLE`."""

    member: int
    other: int

    def shown(self) -> dict[str, int]:
        """Return the ACL as clients read it."""
        return {"member": self.member, "other": self.other}


DEFAULT_ACL = Acl(WRITABLE, NOTHING)


class Group(NamedTuple):
    """A group as others see it. `summary_data` is the JSON text it shows beside its name."""

    group_id: str
    name: str
    summary_data: str | None = None


class Member(NamedTuple):
    """A member of a group. `attributes` is JSON text."""

    profile_id: str
    role: Role
    attributes: str


class Standing(NamedTuple):
    """What a group allows a player. `role` is None for who is no member."""

    group_id: str
    acl: Acl
    role: Role | None

    def may(self, access: int, acl: Acl | None = None) -> bool:
        """Tell whether the player may do so much with what has this ACL; the group's own where none is named.

        Owner and admins may do everything.
        """
        if self.role is not None and self.role.manages:
            return True
        acl = acl or self.acl
        return (acl.other if self.role is None else acl.member) >= access

    def check(self, access: int, acl: Acl | None = None) -> None:
        """Raise `NotGroupMember`, or `NotAllowed` for a member, where `may` says no."""
        if not self.may(access, acl):
            self.refuse()

    def check_member(self) -> None:
        """Raise `NotGroupMember` for who is no member."""
        if self.role is None:
            self.refuse()

    def check_manages(self) -> None:
        """Raise `NotGroupMember`, or `NotAllowed`, for anybody but the owner and admins."""
        if self.role is None or not self.role.manages:
            self.refuse()

    def refuse(self) -> None:
        """Raise `NotGroupMember`, or `NotAllowed` for a member."""
        if self.role is None:
            raise NotGroupMember("the player is not a member of the group")
        raise NotAllowed("neither the player's role in the group nor its ACL allows this")


# What others hang on a group


class GroupWork(Protocol):
    """What subscribers get of the packet that changes a group."""

    app: App
    now_ms: int
    is_retry: bool

    @property
    def outbox(self) -> list[Callable[[], Awaitable[None]]]:
        """What happens after the commit."""

    @property
    def core(self) -> Any:
        """The parts of the server: `core.get(Channels)`."""

    @property
    def tx(self) -> Transaction:
        """The packet's transaction. The row of the group is locked."""

    def after_commit(self, effect: Callable[[], Awaitable[None]]) -> None:
        """Queue an effect outside SQL."""


GroupHook = Callable[[GroupWork, str, Sequence[str]], Awaitable[None]]
"""The packet, the id of the group, and the profiles of all members."""
MemberHook = Callable[[GroupWork, str, str], Awaitable[None]]
"""The packet, the id of the group, and a profile."""

GROUP_DELETE: Hook[GroupHook] = Hook("social.group_delete")
"""A group goes, and with it what belongs to it. Its rows are still there. `MEMBER_GONE` is not asked then."""
MEMBER_JOINED: Hook[MemberHook] = Hook("social.member_joined")
"""A player has become a member of a group."""
MEMBER_GONE: Hook[MemberHook] = Hook("social.member_gone")
"""A player is no member of a group any more: left, removed, deleted, or become one with another."""


# Reading


async def some(tx: Transaction, app_id: str, group_ids: Collection[str]) -> dict[str, Group]:
    """Return the groups that exist among these, by id."""
    rows = await tx.all(SHOWN, app=app_id, groups=sorted(set(group_ids)))
    return {row["group_id"]: Group(*row) for row in rows}


async def one(tx: Transaction, app_id: str, group_id: str) -> Group:
    """Return a group. Raises `UnknownGroup`."""
    found = (await some(tx, app_id, [group_id])).get(group_id)
    if found is None:
        raise unknown(group_id)
    return found


async def member_ids(tx: Transaction, app_id: str, group_id: str) -> list[str]:
    """Return the profiles of a group's members, in the order of their ids. Raises `UnknownGroup`."""
    found = [row["profile_id"] for row in await tx.all(MEMBER_IDS, app=app_id, group=group_id)]
    if not found:  # a group without members is gone
        raise unknown(group_id)
    return found


async def members_page(
    tx: Transaction, app_id: str, group_id: str, *, after: str = "", most: int = 500
) -> list[Member]:
    """Return so many members behind a profile id, in the order of these ids; for groups with many members."""
    rows = await tx.all(MEMBERS_AFTER, app=app_id, group=group_id, after=after, most=most)
    return [Member(row["profile_id"], Role(row["role"]), row["attributes"]) for row in rows]


async def role_of(tx: Transaction, app_id: str, group_id: str, profile_id: str) -> Role | None:
    """Return a member's role; None for who is no member, and where there is no such group."""
    row = await tx.one(ROLE, app=app_id, group=group_id, profile=profile_id)
    return None if row is None else Role(row["role"])


async def hold(tx: Transaction, app_id: str, group_id: str, profile_id: str | None) -> Standing:
    """Return what a group allows a player, as `standing` does; the group stays until the transaction ends.

    Whoever adds what goes with the group holds it: or it would be left behind by a deletion meanwhile.
    Raises `UnknownGroup`.
    """
    return _standing(group_id, await tx.one(HOLD, app=app_id, group=group_id, profile=profile_id or ""))


async def check_member(tx: Transaction, app_id: str, group_id: str, profile_id: str) -> None:
    """Raise `UnknownGroup`, or `NotGroupMember` when the player is no member of the group."""
    (await standing(tx, app_id, group_id, profile_id)).check_member()


async def ids_of(tx: Transaction, app_id: str, profile_id: str) -> list[str]:
    """Return the ids of the groups that a player is a member of."""
    return [row["group_id"] for row in await tx.all(IDS_OF, app=app_id, profile=profile_id)]


async def standing(tx: Transaction, app_id: str, group_id: str, profile_id: str | None) -> Standing:
    """Return what a group allows a player, in one statement; None stands for anybody.

    Raises `UnknownGroup`.
    """
    return _standing(group_id, await tx.one(STANDING, app=app_id, group=group_id, profile=profile_id or ""))


def _standing(group_id: str, row: Row | None) -> Standing:
    if row is None:
        raise unknown(group_id)
    role = None if row["role"] is None else Role(row["role"])
    return Standing(group_id, Acl(row["acl_member"], row["acl_other"]), role)


async def require(
    tx: Transaction,
    app_id: str,
    group_id: str,
    profile_id: str | None,
    access: int = READABLE,
    acl: Acl | None = None,
) -> Standing:
    """Return what a group allows a player who may do so much with what belongs to it.

    `acl` is that of the thing itself; without one the group's own counts. Owner and admins may do
    everything. Raises `UnknownGroup`, `NotGroupMember`, `NotAllowed`.
    """
    found = await standing(tx, app_id, group_id, profile_id)
    found.check(access, acl)
    return found


def unknown(group_id: str) -> UnknownGroup:
    """Return the refusal that tells there is no such group."""
    return UnknownGroup(f"there is no group {group_id[:64]!r}")


def group_lock(app_id: str, group_id: str) -> str:
    """Return the lock of a group, which packets with several messages take before the first of them."""
    return locks.shared_lock(app_id, "group", group_id)


# ACLs


def read_acl(acl: dict[str, Any] | str | None, where: str = "data.acl") -> Acl:
    """Return an ACL `{"member": 0-2, "other": 0-2}` as a client sends it; null and "" are the default.

    Without `other`, others may do nothing. Raises `MemberAclMissing`, `MemberAclMoreRestrictive`,
    `InvalidParameterType`, `InvalidParameterValue`.
    """
    found: Any = acl
    if isinstance(found, str) and found.strip():
        try:
            found = json.decode_any(found.encode())
        except UnreadableJson:
            raise InvalidParameterType(f"{where}: expected an object") from None
    if found is None or found == "":
        return DEFAULT_ACL
    if not isinstance(found, dict):
        raise InvalidParameterType(f"{where}: expected an object")
    if unknown_names := found.keys() - {"member", "other"}:
        name = min(unknown_names)
        raise InvalidParameterValue(f"{where}.{name[:64]}: expected member and other, and nothing else")
    if found.get("member") is None:
        raise MemberAclMissing(f"{where}.member: required")
    read = Acl(_level(found["member"], f"{where}.member"), _level(found.get("other"), f"{where}.other"))
    if read.member < read.other:
        raise MemberAclMoreRestrictive(f"{where}: members may not be allowed less than others")
    return read


def _level(value: Any, where: str) -> int:
    if value is None:
        return NOTHING
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
        raise InvalidParameterType(f"{where}: expected a whole number")
    if not NOTHING <= value <= WRITABLE:
        raise InvalidParameterValue(f"{where}: expected 0, 1 or 2")
    return int(value)


# Storage

social_groups = Table(
    "social_groups",
    metadata,
    Column("group_id", String(36), primary_key=True),
    Column("app_id", String(64), nullable=False),
    Column("owner_id", String(36), nullable=False),
    Column("name", Text, nullable=False),
    Column("group_type", String(64), nullable=False),
    Column("is_open", Boolean, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("acl_member", SmallInteger, nullable=False),
    Column("acl_other", SmallInteger, nullable=False),
    Column("data", SearchedJson, nullable=False),
    Column("indexed_id", Text),  # text in `data.indexedId`
    Column("summary_data", SearchedJson, nullable=False),
    Column("default_attributes", Json, nullable=False),
    Column("member_count", Integer, nullable=False),
    Column("invited_count", Integer, nullable=False),
    Column("requested_count", Integer, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
    Index("social_groups_by_age", "app_id", "created_ms", "group_id"),
    Index("social_groups_by_type", "app_id", "group_type", "created_ms", "group_id"),
    Index("social_groups_by_indexed_id", "app_id", "indexed_id", "created_ms", "group_id"),
    Index("social_groups_by_chance", "app_id", "group_id"),
    Index(
        "social_groups_by_name",
        "app_id",
        "name",
        postgresql_ops={"name": "text_pattern_ops"},
        info={"concurrently": True},
    ),
    info={"stored_by": StoredBy.GROUP},
)
members = Table(
    "group_members",
    metadata,
    Column("group_id", String(36), primary_key=True),
    Column("profile_id", String(36), primary_key=True),
    Column("app_id", String(64), nullable=False),
    Column("seat", String(16), nullable=False),
    Column("role", String(16), nullable=False),
    Column("attributes", Json, nullable=False),
    Column("since_ms", BigInteger, nullable=False),
    Index("group_members_by_player", "profile_id", "seat", "since_ms", "group_id"),
    info={"stored_by": StoredBy.GROUP},
)
_g, _m = social_groups.c, members.c
IS_OPEN = _g.is_open.is_(true())
Index(
    "social_groups_to_join",
    _g.app_id,
    _g.group_type,
    _g.member_count,
    _g.created_ms,
    sqlite_where=IS_OPEN,
    postgresql_where=IS_OPEN,
)
_IS_OWNER = _m.role == literal_column("'OWNER'")
Index(
    "group_members_owner",
    _m.group_id,
    unique=True,
    sqlite_where=_IS_OWNER,
    postgresql_where=_IS_OWNER,
)
KEPT = (
    PlayerTable(
        members,
        "profile_id",
        {
            "groupId": _m.group_id,
            "groupName": _g.name,
            "groupType": _g.group_type,
            "seat": _m.seat,
            "role": _m.role,
            "attributes": _m.attributes,
            "since": _m.since_ms,
        },
        source=members.join(social_groups, _g.group_id == _m.group_id),
    ),
)

FIELDS = Fields(  # what clauses and orders may speak of, under the names clients know
    columns={
        "gameId": _g.app_id,
        "groupId": _g.group_id,
        "groupType": _g.group_type,
        "name": _g.name,
        "ownerId": _g.owner_id,
        "isOpenGroup": _g.is_open,
        "memberCount": _g.member_count,
        "invitedPendingMemberCount": _g.invited_count,
        "requestingPendingMemberCount": _g.requested_count,
        "version": _g.version,
        "createdAt": _g.created_ms,
        "updatedAt": _g.updated_ms,
        "data.indexedId": _g.indexed_id,
    },
    documents={"data": _g.data, "summaryData": _g.summary_data},
    unique=_g.group_id,
    default_order=(("createdAt", 1),),
)

# Spelled so that no index of an app's rows seems good for some of them: SQLite would read them all.
OF_APP = _g.app_id.concat("") == bindparam("app", type_=String)
MEMBER_OF_APP = _m.app_id.concat("") == bindparam("app", type_=String)
IS_GROUP = and_(_g.group_id == bindparam("group"), OF_APP)
IN_GROUP = and_(_m.group_id == bindparam("group"), MEMBER_OF_APP)
IS_MEMBER = _m.seat == literal_column("'member'")
SHOWN = select(_g.group_id, _g.name, _g.summary_data).where(
    _g.group_id.in_(bindparam("groups", expanding=True)), OF_APP
)
MEMBER_IDS = select(_m.profile_id).where(IN_GROUP, IS_MEMBER).order_by(_m.profile_id)
MEMBERS_AFTER = (
    select(_m.profile_id, _m.role, _m.attributes)
    .where(IN_GROUP, IS_MEMBER, _m.profile_id > bindparam("after"))
    .order_by(_m.profile_id)
    .limit(bindparam("most", type_=BigInteger))
)
ROLE = select(_m.role).where(IN_GROUP, IS_MEMBER, _m.profile_id == bindparam("profile"))
IDS_OF = (
    select(_m.group_id)
    .where(_m.profile_id == bindparam("profile"), IS_MEMBER, MEMBER_OF_APP)
    .order_by(_m.since_ms, _m.group_id)
)
_ITS_ROLE = (
    select(_m.role)
    .where(_m.group_id == _g.group_id, _m.profile_id == bindparam("profile"), IS_MEMBER)
    .correlate(social_groups)
    .scalar_subquery()
)
STANDING = select(_g.acl_member, _g.acl_other, _ITS_ROLE.label("role")).where(IS_GROUP)
HOLD = STANDING.with_for_update(read=True, key_share=True, of=social_groups)


def readable_by(profile_id: str | None) -> ColumnElement[bool]:
    """Return the condition for the groups whose data a player may read; without a player, anybody."""
    if profile_id is None:
        return _g.acl_other >= READABLE
    mine = and_(_m.group_id == _g.group_id, _m.profile_id == profile_id, IS_MEMBER)
    as_member = or_(_g.acl_member >= READABLE, _m.role != literal_column("'MEMBER'"))
    return or_(_g.acl_other >= READABLE, exists().where(mine, as_member).correlate(social_groups))
