"""What is stored: who has entered, results, templates, division sets and their instances."""

from typing import Any

from sqlalchemy import (
    BigInteger,
    BindParameter,
    Boolean,
    Column,
    ColumnElement,
    Index,
    Integer,
    Label,
    String,
    Table,
    Text,
    and_,
    bindparam,
    case,
    delete,
    exists,
    func,
    literal,
    literal_column,
    null,
    or_,
    select,
    tuple_,
    union_all,
    update,
)

from gameserver.domain.leaderboards.boards import boards, entries
from gameserver.players.lifecycle import PlayerTable
from gameserver.storage import Json, insert_row, metadata, upsert
from gameserver.storage.expiry import Expiry
from gameserver.storage.tables import StoredBy

enrolments = Table(  # of periods that run; those of a period that has ended become results
    "tournament_enrolments",
    metadata,
    Column("board_uid", String(36), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("member_id", String(36), primary_key=True),
    Column("app_id", String(64), nullable=False),
    Column("board_id", Text, nullable=False),
    Column("div_set_id", Text),
    Column("code", Text, nullable=False),
    Column("posted", Boolean, nullable=False),  # a score of their own, beyond the initial one
    Column("joined_ms", BigInteger, nullable=False),
    Index("tournament_enrolments_by_member", "member_id"),
    info={"stored_by": StoredBy.BOARD},
)

results = Table(
    "tournament_results",
    metadata,
    Column("board_uid", String(36), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("member_id", String(36), primary_key=True),
    Column("app_id", String(64), nullable=False),
    Column("board_id", Text, nullable=False),
    Column("div_set_id", Text),
    Column("code", Text, nullable=False),
    Column("posted", Boolean, nullable=False),
    Column("started_ms", BigInteger, nullable=False),  # of the period
    Column("ended_ms", BigInteger, nullable=False),
    Column("score", BigInteger, nullable=False),
    Column("data", Json),
    Column("created_ms", BigInteger, nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
    Column("rank", BigInteger, nullable=False),  # within the tournament; equal scores share one
    Column("size", BigInteger, nullable=False),  # of the tournament
    Column("claimed_ms", BigInteger, nullable=False),  # 0: not yet
    Column("last_version", Integer),  # of its template to take; null: any
    Column("notified_ms", BigInteger),  # null: nobody has told the player
    Column("pay_ms", BigInteger),  # since when it waits to be paid without asking
    Index("tournament_results_by_member", "member_id", "board_uid", "version"),
    Index("tournament_results_to_pay", "pay_ms"),
    Index("tournament_results_by_end", "ended_ms"),
    info={"stored_by": StoredBy.BOARD},
)

KEPT = (
    PlayerTable(
        enrolments,
        "member_id",
        {
            "leaderboardId": enrolments.c.board_id,
            "divSetId": enrolments.c.div_set_id,
            "tCode": enrolments.c.code,
            "joinedAt": enrolments.c.joined_ms,
        },
        reset=True,
    ),
    PlayerTable(
        results,
        "member_id",
        {
            "leaderboardId": results.c.board_id,
            "divSetId": results.c.div_set_id,
            "tCode": results.c.code,
            "startedAt": results.c.started_ms,
            "endedAt": results.c.ended_ms,
            "score": results.c.score,
            "data": results.c.data,
            "rank": results.c.rank,
            "tClaimedAt": results.c.claimed_ms,
            "tNotifiedAt": results.c.notified_ms,
        },
        reset=True,
    ),
)

closings = Table(  # periods that have ended and whose results are being made
    "tournament_closings",
    metadata,
    Column("board_uid", String(36), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("app_id", String(64), nullable=False),
    Column("board_id", Text, nullable=False),
    Column("started_ms", BigInteger, nullable=False),
    Column("ended_ms", BigInteger, nullable=False),
    Column("sign", Integer, nullable=False),  # what makes a score of what entries are sorted by
    Column("pays", Boolean, nullable=False),  # without asking
    Column("reached", Json, nullable=False),
    info={"stored_by": StoredBy.BOARD},
)

templates = Table(  # every version of a template stays: results are paid by the one of their period
    "tournament_templates",
    metadata,
    Column("app_id", String(64), primary_key=True),
    Column("code", Text, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("config", Json, nullable=False),
    Column("live", Boolean, nullable=False),  # holds for periods that had begun, too
    Column("deleted", Boolean, nullable=False),
    Column("created_ms", BigInteger, nullable=False),  # of the first version
    Column("updated_ms", BigInteger, nullable=False),
    info={"stored_by": StoredBy.APP},
)

division_sets = Table(
    "tournament_division_sets",
    metadata,
    Column("app_id", String(64), primary_key=True),
    Column("div_set_id", Text, primary_key=True),
    Column("config", Json, nullable=False),
    Column("version", Integer, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
    info={"stored_by": StoredBy.APP},
)

instances = Table(
    "tournament_division_instances",
    metadata,
    Column("app_id", String(64), primary_key=True),
    Column("div_set_id", Text, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("board_id", Text, nullable=False),
    Column("board_uid", String(36), nullable=False),
    Column("started_ms", BigInteger, nullable=False),
    Column("play_ms", BigInteger, nullable=False),  # when play begins
    Column("ended_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("members", Integer, nullable=False),
    Index("tournament_division_instances_by_board", "app_id", "board_id"),
    Index("tournament_division_instances_by_expiry", "expires_ms"),
    info={"stored_by": StoredBy.APP},
)

_uid: BindParameter[str] = bindparam("uid")
_version: BindParameter[int] = bindparam("of_version")
_member: BindParameter[str] = bindparam("member")

# Enrolment

_THIS = (enrolments.c.board_uid == _uid, enrolments.c.version == _version, enrolments.c.member_id == _member)
_E, _S = enrolments.c, entries.c
# The board's stamp comes along, so that a board that was remembered is known to be as it was.
MINE = (
    select(
        boards.c.stamp,
        _E.code,
        _E.posted,
        _E.div_set_id,
        _S.entry_id,
        _S.rank_key,
        _S.data,
        _S.created_ms,
        _S.updated_ms,
    )
    .select_from(
        boards.outerjoin(
            enrolments, and_(_E.board_uid == boards.c.uid, _E.version == _version, _E.member_id == _member)
        ).outerjoin(
            entries,
            and_(_S.board_uid == _E.board_uid, _S.version == _E.version, _S.member_id == _E.member_id),
        )
    )
    .where(boards.c.uid == _uid)
    .order_by(_S.rank_key, _S.seq, _S.entry_id)
    .limit(1)
)
ENROL = insert_row(enrolments)
POSTED = update(enrolments).where(*_THIS, _E.posted.is_(False)).values(posted=True)
LEAVE = delete(enrolments).where(*_THIS)
IS_ENROLLED = select(_E.posted).where(*_THIS)
CODES = select(_E.member_id, _E.code, _E.posted).where(
    _E.board_uid == _uid, _E.version == _version, _E.member_id.in_(bindparam("members", expanding=True))
)
CLAIMED = select(results.c.member_id).where(
    results.c.board_uid == _uid,
    results.c.version == _version,
    results.c.claimed_ms > 0,
    results.c.member_id.in_(bindparam("members", expanding=True)),
)
_orphans = (
    select(*enrolments.primary_key)
    .where(
        ~exists().where(boards.c.uid == _E.board_uid),
        ~exists().where(closings.c.board_uid == _E.board_uid, closings.c.version == _E.version),
    )
    .limit(bindparam("most", type_=Integer))
)
ORPHANS = delete(enrolments).where(tuple_(*enrolments.primary_key).in_(_orphans))

_bests = (
    select(func.min(_S.rank_key).label("rank_key"))
    .select_from(
        enrolments.join(
            entries,
            and_(_S.board_uid == _E.board_uid, _S.version == _E.version, _S.member_id == _E.member_id),
        )
    )
    .where(_E.board_uid == _uid, _E.version == _version, _E.code == bindparam("of_code"))
    .group_by(_E.member_id)
    .subquery("b")
)
# Where a score stands among those who entered the same tournament.
STANDING = select(
    func.coalesce(func.sum(case((_bests.c.rank_key < bindparam("key", type_=BigInteger()), 1), else_=0)), 0),
    func.count(),
).select_from(_bests)

# Results, so many at a time

# Values are looked up one by one, not joined: as long as PostgreSQL has not counted the rows of a period,
# it takes them for a handful, and would go through all of them for each. So it would through the scores of a
# board to find those of one member, if they could be looked up by the board.

CHUNK = 250
_PERIOD = (_E.board_uid == _uid, _E.version == _version)
_chunk: ColumnElement[int] = literal_column(str(CHUNK))
_score = (
    select(literal(1))
    .where(_S.member_id == _E.member_id, _S.board_uid.concat("") == _uid, _S.version == _version)
    .limit(literal_column("1"))
    .scalar_subquery()
)
COUNTED = (
    select(_E.member_id, _E.code, _score.label("scored"))
    .where(*_PERIOD, _E.member_id > bindparam("after"))
    .order_by(_E.member_id)
    .limit(_chunk)
)
_place = (_S.rank_key, _S.seq, _S.entry_id)
_after = tuple_(
    bindparam("key", type_=BigInteger()),
    bindparam("seq", type_=BigInteger()),
    bindparam("entry_id", type_=Text()),
)
_next = (
    select(*_place, _S.member_id, _S.data, _S.created_ms, _S.updated_ms)
    .where(_S.board_uid == _uid, _S.version == _version, tuple_(*_place) > _after)
    .order_by(*_place)
    .limit(_chunk)
    .subquery("n")
)
_N = _next.c


def _entered(column: Column[Any]) -> Label[Any]:
    found = select(column).where(*_PERIOD, _E.member_id == _N.member_id)
    return found.scalar_subquery().label(column.name)


# Scores in their order, each with what its member has entered; null for who has not, or has a result.
RANKED = select(_next, *map(_entered, (_E.code, _E.posted, _E.div_set_id))).order_by(
    _N.rank_key, _N.seq, _N.entry_id
)
ADD_RESULT = upsert(results, ["board_uid", "version", "member_id"], None)
DONE_WITH = delete(enrolments).where(*_PERIOD, _E.member_id.in_(bindparam("members", expanding=True)))
CLEAR = delete(enrolments).where(
    *_PERIOD, _E.member_id.in_(select(_E.member_id).where(*_PERIOD).limit(_chunk))
)

_C = closings.c
_THIS_CLOSING = (_C.board_uid == _uid, _C.version == _version)
ANY_CLOSING = select(_C.version).limit(1)
IS_CLOSING = select(_C.version).where(*_THIS_CLOSING)
ADD_CLOSING = insert_row(closings)
CLOSINGS = select(_C.board_uid, _C.version).order_by(_C.ended_ms).limit(1000)
THIS_CLOSING = select(closings).where(*_THIS_CLOSING).with_for_update(skip_locked=True)
REACHED = update(closings).where(*_THIS_CLOSING).values(reached=bindparam("now_reached"))
CLOSED = delete(closings).where(*_THIS_CLOSING)
# The last period of a board whose results a member waits for.
AWAITED = (
    select(_E.version)
    .select_from(enrolments.join(closings, and_(_C.board_uid == _E.board_uid, _C.version == _E.version)))
    .where(_E.board_uid == _uid, _E.member_id == _member)
    .order_by(_E.version.desc())
    .limit(1)
)

_R = results.c
_OWN = (_R.board_uid == _uid, _R.member_id == _member)
LATEST = select(results).where(*_OWN).order_by(_R.version.desc()).limit(1)
RESULT = select(results).where(*_OWN, _R.version == _version)
CLAIM = (
    update(results)
    .where(*_OWN, _R.version == _version, _R.claimed_ms == 0)
    .values(claimed_ms=bindparam("now_ms"), pay_ms=None)
)
TO_PAY = (
    select(results)
    .where(_R.pay_ms <= bindparam("now_ms"), _R.app_id.in_(bindparam("apps", expanding=True)))
    .order_by(_R.pay_ms)
    .limit(bindparam("most"))
)
PAY_LATER = update(results).where(*_OWN, _R.version == _version).values(pay_ms=bindparam("later_ms"))
NOT_PAID = update(results).where(*_OWN, _R.version == _version).values(pay_ms=None)
old_results = Expiry(_R.ended_ms, _R.pay_ms.is_(None))  # what waits to be paid is paid first

# Templates

_T = templates.c
_OF_APP = _T.app_id == bindparam("app")
TEMPLATE_VERSIONS = (
    select(templates).where(_OF_APP, _T.code == bindparam("of_code")).order_by(_T.version.desc())
)
TEMPLATES_OF = (
    select(templates)
    .where(_OF_APP, _T.code.in_(bindparam("codes", expanding=True)))
    .order_by(_T.code, _T.version.desc())
)
_newer = templates.alias("newer")
ALL_TEMPLATES = (
    select(templates)
    .where(
        _OF_APP,
        _T.deleted.is_(False),
        ~exists().where(
            _newer.c.app_id == _T.app_id, _newer.c.code == _T.code, _newer.c.version > _T.version
        ),
    )
    .order_by(_T.code)
    .limit(bindparam("most"))
)
ADD_TEMPLATE = insert_row(templates)
DELETE_TEMPLATE = (
    update(templates)
    .where(_OF_APP, _T.code == bindparam("of_code"), _T.deleted.is_(False))
    .values(deleted=True)
)

# Division sets

_D = division_sets.c
_SET = (_D.app_id == bindparam("app"), _D.div_set_id == bindparam("set_id"))
DIVISION_SET = select(division_sets).where(*_SET)
DIVISION_SETS = (
    select(division_sets)
    .where(_D.app_id == bindparam("app"))
    .order_by(_D.div_set_id)
    .limit(bindparam("most"))
)
USES_BOARD = (
    select(_D.div_set_id)
    .where(
        _D.app_id == bindparam("app"),
        _D.config.op("->>", return_type=Text())("templateLeaderboardId") == bindparam("board"),
    )
    .limit(1)
)
ADD_SET = insert_row(division_sets)
EDIT_SET = (
    update(division_sets)
    .where(*_SET, _D.version == bindparam("seen"))
    .values(config=bindparam("config"), version=_D.version + 1, updated_ms=bindparam("now_ms"))
)
DELETE_SET = delete(division_sets).where(*_SET, _D.version == bindparam("seen"))

# Instances of divisions

_I = instances.c
_OF_SET = (_I.app_id == bindparam("app"), _I.div_set_id == bindparam("set_id"))
ROOM = (
    select(_I.number, _I.board_id)
    .where(
        *_OF_SET,
        _I.started_ms == bindparam("started"),
        _I.ended_ms > bindparam("now_ms"),
        _I.members < bindparam("most"),
        exists().where(boards.c.uid == _I.board_uid),
    )
    .order_by(_I.number)
    .limit(1)
)
LAST_NUMBER = select(func.coalesce(func.max(_I.number), 0)).where(*_OF_SET)
ADD_INSTANCE = insert_row(instances)
ENTER = (
    update(instances)
    .where(*_OF_SET, _I.number == bindparam("of_number"), _I.members < bindparam("most"))
    .values(members=_I.members + 1)
)
INSTANCE = select(instances).where(_I.app_id == bindparam("app"), _I.board_id == bindparam("board"))
EXIT = (
    update(instances)
    .where(*_OF_SET, _I.number == bindparam("of_number"), _I.members > 0)
    .values(members=_I.members - 1)
)
ANY_INSTANCE = select(_I.number).where(*_OF_SET, or_(_I.expires_ms > bindparam("now_ms"))).limit(1)
old_instances = Expiry(_I.expires_ms)
# Boards of instances that a server has deleted are no divisions any more.
_in_division = enrolments.join(boards, boards.c.uid == _E.board_uid).join(
    instances,
    and_(_I.app_id == _E.app_id, _I.board_id == _E.board_id, _I.board_uid == _E.board_uid),
)
ACTIVE_IN = (
    select(_I.board_id)
    .select_from(_in_division)
    .where(_E.member_id == _member, *_OF_SET, _I.ended_ms > bindparam("now_ms"))
    .limit(1)
)
# Divisions of a member: those that run first, then results until their board expires. `claimed_ms` is null as
# long as it runs.
DIVISIONS = union_all(
    select(
        _I.div_set_id,
        _I.board_id,
        _I.play_ms,
        _I.ended_ms,
        literal(None, BigInteger()).label("claimed_ms"),
    )
    .select_from(_in_division)
    .where(_E.member_id == _member),
    select(_R.div_set_id, _R.board_id, _R.started_ms, _R.ended_ms, _R.claimed_ms)
    .select_from(results.join(boards, boards.c.uid == _R.board_uid))
    .where(_R.member_id == _member, _R.div_set_id.is_not(null()), boards.c.expires_ms > bindparam("now_ms")),
)
