"""Scores in SQL: what a post stores, what a removal removes, and reading entries."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    Integer,
    Select,
    Text,
    Tuple,
    bindparam,
    case,
    delete,
    desc,
    exists,
    func,
    literal_column,
    select,
    tuple_,
)
from sqlalchemy.sql.elements import ColumnElement

from gameserver.domain.leaderboards.boards import SCORE_MAX, Board, BoardType, boards, entries
from gameserver.domain.leaderboards.store import Stale
from gameserver.players.profiles import players
from gameserver.storage import Row, Transaction, Upsert, excluded, fail_unless, insert_row, upsert

# Posting. The statement fails when the board has changed since it was read. The lock that it is sent with
# keeps the board from rotating until the score is committed, so that no score comes into a version that has
# ended.

_old, _new = entries.c, excluded(entries)
_FIELDS = ("board_uid", "entry_id", "member_id", "rank_key", "seq", "data")
_IS_CURRENT = exists().where(boards.c.uid == bindparam("board_uid"), boards.c.stamp == bindparam("stamp"))
_VALUES = {
    **{name: bindparam(name) for name in _FIELDS},
    "version": fail_unless(entries.c.version, _IS_CURRENT, bindparam("version", type_=Integer())),
    "created_ms": bindparam("now_ms"),
    "updated_ms": bindparam("now_ms"),
}
_KEY = ["board_uid", "version", "entry_id"]
# What is returned of an entry that was stored: where its place is.
PLACED = (entries.c.board_uid, entries.c.version, entries.c.entry_id, entries.c.seq, entries.c.rank_key)
# Of two changes of an entry the later one has the lower seq, whatever the clocks of processes say.
_NEXT_SEQ = case((_old.seq <= _new.seq, _old.seq - 1), else_=_new.seq)


def _post(changes: dict[str, Any] | None, where: ColumnElement[bool] | None = None) -> Upsert:
    if changes is not None:
        changes = changes | {"data": func.coalesce(_new.data, _old.data), "updated_ms": _new.updated_ms}
    return upsert(entries, _KEY, changes, values=_VALUES, where=where, returning=PLACED)


_SUM = _old.rank_key + _new.rank_key
_BEST = _post({"rank_key": _new.rank_key, "seq": _NEXT_SEQ}, _new.rank_key < _old.rank_key)
_LAST = _post({"rank_key": _new.rank_key, "seq": _NEXT_SEQ})
_ADDED = _post({"rank_key": _SUM, "seq": _NEXT_SEQ}, _SUM.between(-SCORE_MAX, SCORE_MAX))
_EACH = _post(None)

POST = {
    BoardType.HIGH_VALUE: _BEST,
    BoardType.LOW_VALUE: _BEST,
    BoardType.LAST_VALUE: _LAST,
    BoardType.CUMULATIVE: _ADDED,
    BoardType.ARCADE_HIGH: _EACH,
    BoardType.ARCADE_LOW: _EACH,
}

_AS_IT_WAS = _VALUES | {"created_ms": bindparam("created_ms"), "updated_ms": bindparam("updated_ms")}
PLACE = upsert(entries, _KEY, None, values=_AS_IT_WAS, returning=PLACED)

# Removing

REMOVE = (
    delete(entries)
    .where(
        entries.c.board_uid == bindparam("uid"),
        entries.c.version == bindparam("of_version"),
        entries.c.member_id == bindparam("member"),
    )
    .returning(*entries.c)
)
REMOVE_ONE = REMOVE.where(entries.c.entry_id == bindparam("entry"))
PUT_BACK = insert_row(entries)
REMOVE_MEMBER = delete(entries).where(entries.c.member_id == bindparam("member")).returning(*PLACED)

# Reading. Every row carries the stamp of its board: who remembers a board sees when it has changed.

_ENTRY = (
    entries.c.entry_id,
    entries.c.member_id,
    entries.c.rank_key,
    entries.c.seq,
    entries.c.data,
    entries.c.created_ms,
    entries.c.updated_ms,
)
_FACTS = (players.c.name, players.c.picture_url, players.c.summary_friend_data)
_ORDER = (entries.c.rank_key, entries.c.seq, entries.c.entry_id)
_OF_VERSION = (entries.c.board_uid == bindparam("uid"), entries.c.version == bindparam("version"))


def _beside_board(source: Any) -> Select[Any]:
    """Entries, what is shown of their players, and the board's stamp, which comes even without entries."""
    c = source.c
    return (
        select(boards.c.stamp, *(c[column.name] for column in _ENTRY), *_FACTS)
        .select_from(
            boards.outerjoin(source, c.board_uid == boards.c.uid).outerjoin(
                players, players.c.profile_id == c.member_id
            )
        )
        .where(boards.c.uid == bindparam("uid"))
    )


_in_order = {False: _ORDER, True: tuple(desc(column) for column in _ORDER)}
_columns = (entries.c.board_uid, *_ENTRY)


def _at(prefix: str = "") -> Tuple:
    return tuple_(
        bindparam(f"{prefix}rank_key", type_=BigInteger()),
        bindparam(f"{prefix}seq", type_=BigInteger()),
        bindparam(f"{prefix}entry_id", type_=Text()),
    )


def _from_place(most: int) -> Select[Any]:
    capped = (
        select(*_columns)
        .where(*_OF_VERSION, tuple_(*_ORDER) >= _at())
        .order_by(*_ORDER)
        .limit(literal_column(str(most)))
        .subquery("f")
    )
    return _beside_board(select(capped).limit(bindparam("most")).subquery("e"))


# So many entries from a place on, by the most there can be: for a number that it does not know PostgreSQL
# expects a tenth of all there is, and goes through all players instead of looking up ten.
FROM_PLACE = {most: _from_place(most) for most in (16, 128, 1024)}
ONE = _beside_board(
    select(*_columns).where(*_OF_VERSION, entries.c.entry_id == bindparam("entry_id")).subquery("e")
)
_best_of_members = (
    select(
        *_columns,
        func.row_number().over(partition_by=entries.c.member_id, order_by=_ORDER).label("nth"),
    )
    .where(*_OF_VERSION, entries.c.member_id.in_(bindparam("members", expanding=True)))
    .subquery("b")
)
BY_MEMBER = _beside_board(
    select(*(_best_of_members.c[c.name] for c in _columns)).where(_best_of_members.c.nth == 1).subquery("e")
)
OF_MEMBER = _beside_board(
    select(*_columns)
    .where(*_OF_VERSION, entries.c.member_id == bindparam("member"))
    .order_by(*_ORDER)
    .limit(bindparam("most"))
    .subquery("e")
)
# Without the index of ranks: right, but slower the deeper the page is.
SLICE = {
    backwards: _beside_board(
        select(*_columns)
        .where(*_OF_VERSION)
        .order_by(*order)
        .limit(bindparam("most"))
        .offset(bindparam("skip"))
        .subquery("e")
    )
    for backwards, order in _in_order.items()
}
SIZE = select(func.count()).select_from(entries).where(*_OF_VERSION)
AHEAD = (
    select(func.count())
    .select_from(entries)
    .where(
        *_OF_VERSION,
        tuple_(*_ORDER) < _at(),
    )
)
_best_of_versions = (
    select(
        entries,
        func.row_number()
        .over(partition_by=(entries.c.board_uid, entries.c.version), order_by=_ORDER)
        .label("nth"),
    )
    .where(
        entries.c.member_id == bindparam("member"),
        entries.c.board_uid.in_(bindparam("uids", expanding=True)),
    )
    .subquery("b")
)
# Where a member has scores, on any board of an app: few, however many boards and scores there are.
ENTRIES_OF = (
    select(boards, entries.c.entry_id, entries.c.version.label("of_version"))
    .join(boards, boards.c.uid == entries.c.board_uid)
    .where(
        entries.c.member_id == bindparam("member"), boards.c.app_id.concat("") == bindparam("app", type_=Text)
    )
    .order_by(entries.c.board_uid, entries.c.version.desc(), entries.c.rank_key, entries.c.seq)
    .limit(bindparam("most"))
)
BEST_ON_BOARDS = select(_best_of_versions).where(_best_of_versions.c.nth == 1)

# For the index of ranks
CHUNK = (
    select(entries.c.entry_id, entries.c.seq, entries.c.rank_key)
    .where(*_OF_VERSION, tuple_(*_ORDER) > _at())
    .order_by(*_ORDER)
    .limit(bindparam("most"))
)
# The time makes SQLite look entries up by id: it would rather scan the index that covers all the rest.
TRUTH = select(entries.c.entry_id, entries.c.seq, entries.c.rank_key, entries.c.updated_ms).where(
    *_OF_VERSION, entries.c.entry_id.in_(bindparam("ids", expanding=True))
)
RECENT = (
    select(entries.c.board_uid, entries.c.version, entries.c.entry_id, entries.c.seq, entries.c.rank_key)
    .where(entries.c.seq < bindparam("below"))
    .order_by(entries.c.seq.desc())
    .limit(bindparam("most"))
)


async def read(tx: Transaction, statement: Any, board: Board, version: int, **params: Any) -> list[Row]:
    """Run one of the statements that carry the stamp; returns the entries found. Raises `Stale`."""
    if not board.uid:
        return []
    rows = await tx.all(statement, uid=board.uid, version=version, **params)
    if not rows or rows[0]["stamp"] != board.stamp:
        raise Stale
    return [row for row in rows if row["entry_id"] is not None]


def best_first(rows: Sequence[Row]) -> list[Row]:
    """Sort entries as their board does."""
    return sorted(rows, key=lambda row: (row["rank_key"], row["seq"], row["entry_id"]))
