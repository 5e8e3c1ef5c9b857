"""Who belongs to which segment, the records of segments, and how far a refresh of all players has come."""

from functools import cache

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    Select,
    String,
    Table,
    Text,
    and_,
    bindparam,
    delete,
    func,
    literal,
    select,
    union,
)

from gameserver.domain.economy import wallet
from gameserver.domain.progress import experience
from gameserver.players.lifecycle import PlayerTable
from gameserver.players.profiles import players
from gameserver.storage import StoredBy, excluded, json_rows, metadata, upsert

FACT_MAX = 128

memberships = Table(
    "segment_members",
    metadata,
    Column("profile_id", String(36), primary_key=True),
    Column("segment_id", Integer, primary_key=True),
    Column("app_id", String(64), nullable=False),
    Column("definition", String(32), nullable=False),  # by which it was worked out; others do not count
    Column("since_ms", BigInteger, nullable=False),
    Index("segment_members_by_segment", "app_id", "definition", "profile_id"),
    info={"stored_by": StoredBy.PLAYER},
)
clients = Table(  # only of apps whose segments speak of clients
    "segment_clients",
    metadata,
    Column("profile_id", String(36), primary_key=True),
    Column("app_id", String(64), nullable=False),
    Column("platform", String(FACT_MAX), nullable=False),
    Column("version", String(FACT_MAX), nullable=False),
    info={"stored_by": StoredBy.PLAYER},
)
records = Table(
    "segments",
    metadata,
    Column("app_id", String(64), primary_key=True),
    Column("segment_id", Integer, primary_key=True),
    Column("name", Text, nullable=False),
    Column("said", Text, nullable=False),  # the description, and a digest of the rest
    Column("testers_only", Boolean, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
    info={"stored_by": StoredBy.APP},
)
refreshes = Table(
    "segment_refreshes",
    metadata,
    Column("app_id", String(64), primary_key=True),
    Column("digest", String(16), nullable=False),  # the definitions that it works with
    Column("last_profile_id", String(36), nullable=False),  # who has had their turn
    Column("players", BigInteger, nullable=False),  # who have had their turn
    Column("changed", BigInteger, nullable=False),
    Column("started_ms", BigInteger, nullable=False),
    Column("ended_ms", BigInteger, nullable=False),  # 0 while it runs
    Column("whole_digest", String(16), nullable=False),  # of the last one that came to its end
    Column("whole_ms", BigInteger, nullable=False),
    info={"stored_by": StoredBy.APP},
)
_m, _c, _r, _f = memberships.c, clients.c, records.c, refreshes.c

KEPT = (
    PlayerTable(
        memberships,
        "profile_id",
        {"segmentId": _m.segment_id, "since": _m.since_ms},
        untold={"definition": "how the server works it out"},
        moves=False,
    ),
    PlayerTable(clients, "profile_id", {"platform": _c.platform, "version": _c.version}, moves=False),
)

# Facts

_PROGRESS = experience.player_progress
_members = (
    select(json_rows(_m.segment_id, _m.definition))
    .where(_m.profile_id == players.c.profile_id)
    .correlate(players)
    .scalar_subquery()
    .label("members")
)
FACTS = (
    select(
        players.c.profile_id,
        players.c.created_ms,
        players.c.last_login_ms,
        players.c.login_count,
        players.c.ab_testing_id,
        players.c.is_tester,
        players.c.country_code,
        players.c.language_code,
        players.c.attributes,
        _PROGRESS.c.statistics,
        _PROGRESS.c.experience,
        _PROGRESS.c.level,
        _c.platform,
        _c.version,
        wallet.STATE,
        _members,
    )
    .select_from(
        players.outerjoin(_PROGRESS, _PROGRESS.c.profile_id == players.c.profile_id).outerjoin(
            clients, _c.profile_id == players.c.profile_id
        )
    )
    .where(
        players.c.app_id.concat("") == bindparam("app"),  # found by their ids
        players.c.profile_id.in_(bindparam("profiles", expanding=True)),
    )
)

# Members

JOIN = upsert(memberships, ("profile_id", "segment_id"), ("definition",))
LEAVE = delete(memberships).where(
    _m.profile_id == bindparam("profile"), _m.segment_id == bindparam("segment")
)
SET_CLIENT = upsert(clients, ("profile_id",), ("platform", "version"))
OF_PLAYER = (
    select(_m.segment_id, _m.definition, _m.since_ms)
    .where(_m.profile_id == bindparam("profile"), _m.app_id.concat("") == bindparam("app"))
    .order_by(_m.segment_id)
)
_OF_SEGMENT = and_(_m.app_id == bindparam("app"), _m.definition == bindparam("definition"))
_AFTER = _m.profile_id > bindparam("after")
_MOST = bindparam("most", type_=BigInteger)


@cache
def next_members(segments: int, *, named: bool = False) -> Select[tuple[str, float]]:
    """Describe: the next players by their ids who belong to any of so many segments, each once.

    Those of each segment come by an index, as few as are wanted; the definitions are `definition_0` and so
    on. `named`: or who is among `profiles`.
    """
    parts = [
        select(_m.profile_id)
        .where(_m.app_id == bindparam("app"), _m.definition == bindparam(f"definition_{number}"), _AFTER)
        .order_by(_m.profile_id)
        .limit(_MOST)
        .subquery()
        for number in range(segments)
    ]
    if named:
        wanted = players.c.profile_id.in_(bindparam("profiles", expanding=True))
        mine = (players.c.app_id.concat("") == bindparam("app"), players.c.profile_id > bindparam("after"))
        chosen = select(players.c.profile_id).where(wanted, *mine)
        parts.append(chosen.order_by(players.c.profile_id).limit(_MOST).subquery())
    found = union(*(select(part.c.profile_id) for part in parts)).subquery()
    return (
        select(found.c.profile_id, players.c.time_zone_offset)
        .select_from(found.join(players, players.c.profile_id == found.c.profile_id))
        .order_by(found.c.profile_id)
        .limit(_MOST)
    )


LISTED = (
    select(_m.profile_id, _m.since_ms, players.c.name)
    .select_from(memberships.join(players, players.c.profile_id == _m.profile_id))
    .where(_OF_SEGMENT, _AFTER)
    .order_by(_m.profile_id)
    .limit(bindparam("most", type_=BigInteger))
)
COUNT = select(func.count()).select_from(
    select(literal(1))
    .select_from(memberships)
    .where(_OF_SEGMENT)
    .limit(bindparam("most", type_=BigInteger))
    .subquery()
)
_ANY = and_(_m.app_id == bindparam("app"), _m.definition.in_(bindparam("definitions", expanding=True)))
COUNT_ANY = select(func.count()).select_from(
    select(_m.profile_id).where(_ANY).distinct().limit(bindparam("most", type_=BigInteger)).subquery()
)
ZONES = (
    select(players.c.time_zone_offset)
    .select_from(memberships.join(players, players.c.profile_id == _m.profile_id))
    .where(_ANY)
    .distinct()
)
ZONES_OF_ALL = select(players.c.time_zone_offset).where(players.c.app_id == bindparam("app")).distinct()

# Records

_new = excluded(records)
RECORD = upsert(
    records,
    ("app_id", "segment_id"),
    {
        "name": _new.name,
        "said": _new.said,
        "testers_only": _new.testers_only,
        "version": _r.version + 1,
        "updated_ms": _new.updated_ms,
    },
    where=(_r.said != _new.said) | (_r.name != _new.name) | (_r.testers_only != _new.testers_only),
)
RECORDS = select(records).where(_r.app_id == bindparam("app"))

# Refreshes of all

REFRESHES = select(refreshes)
REFRESH = select(refreshes).where(_f.app_id == bindparam("app"))
_OF = _f.app_id == bindparam("of_app")
BEGIN_REFRESH = upsert(
    refreshes, ("app_id",), ("digest", "last_profile_id", "players", "changed", "started_ms", "ended_ms")
)
_SEEN = and_(
    _OF, _f.started_ms == bindparam("seen_ms"), _f.last_profile_id == bindparam("seen"), _f.ended_ms == 0
)
GO_ON = (
    refreshes.update()
    .where(_SEEN)
    .values(
        last_profile_id=bindparam("now_last"),
        players=_f.players + bindparam("more", type_=BigInteger),
        changed=_f.changed + bindparam("more_changed", type_=BigInteger),
    )
)
END_REFRESH = (
    refreshes.update()
    .where(_SEEN)
    .values(
        players=_f.players + bindparam("more", type_=BigInteger),
        changed=_f.changed + bindparam("more_changed", type_=BigInteger),
        ended_ms=bindparam("now_ms"),
        whole_digest=_f.digest,
        whole_ms=bindparam("now_ms"),
    )
)
NEXT_PLAYERS = (
    select(players.c.profile_id)
    .where(players.c.app_id == bindparam("app"), players.c.profile_id > bindparam("after"))
    .order_by(players.c.profile_id)
    .limit(bindparam("most", type_=BigInteger))
)
