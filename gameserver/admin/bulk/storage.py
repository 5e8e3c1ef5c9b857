"""What is kept of bulk actions: each with its counts, its list in parts, and what came of each player."""

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
    or_,
    select,
    update,
)

from gameserver.jobs import forget
from gameserver.players.lifecycle import PlayerTable
from gameserver.players.profiles import players
from gameserver.storage import Json, insert_row, metadata
from gameserver.storage.expiry import Expiry
from gameserver.storage.tables import StoredBy
from gameserver.storage.timeline import DAY_MS

KEPT_MS = 90 * DAY_MS
RUNNING, DONE, CANCELLED = "running", "done", "cancelled"
CHANGED, SKIPPED, REFUSED = "changed", "skipped", "refused"

staff_bulks = Table(
    "staff_bulks",
    metadata,
    Column("app_id", String(64), primary_key=True),
    Column("id", String(32), primary_key=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("ended_ms", BigInteger),
    Column("staff", String(64), nullable=False),
    Column("address", String(64), nullable=False),
    Column("reason", Text, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("given", Json, nullable=False),
    Column("what", Json, nullable=False),  # whom was asked for
    Column("state", String(16), nullable=False),
    Column("total", Integer, nullable=False),
    Column("changed", Integer, nullable=False),
    Column("skipped", Integer, nullable=False),
    Column("refused", Integer, nullable=False),
    Column("undoes", String(32), nullable=False),
    Column("undone_by", String(32), nullable=False),
    Index("staff_bulks_by_age", "at_ms"),
    info={"stored_by": StoredBy.APP},
)
staff_bulk_parts = Table(
    "staff_bulk_parts",
    metadata,
    Column("app_id", String(64), primary_key=True),
    Column("bulk_id", String(32), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("ids", Json, nullable=False),
    info={"stored_by": StoredBy.APP},
)
staff_bulk_players = Table(
    "staff_bulk_players",
    metadata,
    Column("app_id", String(64), primary_key=True),
    Column("bulk_id", String(32), primary_key=True),
    Column("profile_id", String(36), primary_key=True),
    Column("outcome", String(16), nullable=False),
    Column("why", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("before", Json),  # what an undo has to know
    Index("staff_bulk_players_by_profile", "profile_id"),
    Index("staff_bulk_players_by_age", "at_ms"),
    info={"stored_by": StoredBy.APP},
)
_b, _r, _y, _p = staff_bulks.c, staff_bulk_parts.c, staff_bulk_players.c, players.c
KEPT = PlayerTable(
    staff_bulk_players,
    "profile_id",
    untold={
        "bulk_id": "it is the studio's",
        "why": "for whoever of the studio has begun it",
        "before": "what an undo has to know",
    },
    moves=False,
    stays="nobody gets anything twice, also who comes back; forgotten after 90 days",
)
_APP = bindparam("app", type_=String)
_ITS = (_b.app_id == _APP, _b.id == bindparam("id"))
_OF_BULK = (_y.app_id == _APP, _y.bulk_id == bindparam("bulk"))
ADD, ADD_PART, ADD_PLAYER = (
    insert_row(staff_bulks),
    insert_row(staff_bulk_parts),
    insert_row(staff_bulk_players),
)
READ = select(staff_bulks).where(*_ITS)
LIST = (
    select(staff_bulks)
    .where(_b.app_id == _APP, _b.id < bindparam("after", type_=String))
    .order_by(_b.id.desc())
    .limit(bindparam("most"))
)
END = (
    update(staff_bulks)
    .where(*_ITS, _b.state == RUNNING)
    .values(state=bindparam("new_state"), ended_ms=bindparam("now"))
)
SET_UNDONE = update(staff_bulks).where(*_ITS, _b.undone_by == "").values(undone_by=bindparam("undo"))
COUNT = {
    outcome: update(staff_bulks).where(*_ITS, _b.state == RUNNING).values({outcome: _b[outcome] + 1})
    for outcome in (CHANGED, SKIPPED, REFUSED)
}
_OF_PART = (_r.app_id == _APP, _r.bulk_id == bindparam("bulk"))
PART = select(staff_bulk_parts).where(*_OF_PART, _r.number == bindparam("number"))
FORGET_PART = delete(staff_bulk_parts).where(*_OF_PART, _r.number == bindparam("number"))
FORGET_PARTS = delete(staff_bulk_parts).where(*_OF_PART)
FIRST = select(_y.outcome, _y.before).where(*_OF_BULK, _y.profile_id == bindparam("profile"))
SET_BEFORE = (
    update(staff_bulk_players)
    .where(*_OF_BULK, _y.profile_id == bindparam("profile"))
    .values(before=bindparam("kept"))
)
PLAYERS = (
    select(staff_bulk_players)
    .where(*_OF_BULK, _y.profile_id > bindparam("after", type_=String))
    .order_by(_y.profile_id)
    .limit(bindparam("most"))
)
OF_OUTCOME = PLAYERS.where(_y.outcome == bindparam("outcome"))
IDS_AFTER = (
    select(_p.profile_id, _p.created_ms)
    .where(
        _p.app_id == _APP,
        _p.created_ms >= bindparam("created"),
        or_(
            _p.created_ms > bindparam("created"),
            and_(_p.created_ms == bindparam("created"), _p.profile_id > bindparam("last", type_=String)),
        ),
    )
    .order_by(_p.created_ms, _p.profile_id)
    .limit(bindparam("most"))
)
FORGET = (
    forget("staffBulks.forget", Expiry(_b.at_ms), KEPT_MS),
    forget("staffBulkPlayers.forget", Expiry(_y.at_ms), KEPT_MS),
)
