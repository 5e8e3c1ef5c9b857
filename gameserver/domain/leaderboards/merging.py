"""How scores join those of another player, and what an export tells of them."""

from collections.abc import Sequence

from sqlalchemy import bindparam, case, func, select

from gameserver.domain.leaderboards.boards import SCORE_MAX, BoardType, boards, entries
from gameserver.players.lifecycle import PlayerTable
from gameserver.storage import Row, Transaction, excluded, upsert

_ON_BOARD = entries.join(boards, boards.c.uid == entries.c.board_uid)
KEPT = PlayerTable(
    entries,
    "member_id",
    {
        "leaderboardId": boards.c.board_id,
        "versionId": entries.c.version,
        "score": case(
            (boards.c.board_type.in_([kind for kind in BoardType if kind.lowest_first]), entries.c.rank_key),
            else_=-entries.c.rank_key,
        ),
        "data": entries.c.data,
        "createdAt": entries.c.created_ms,
        "updatedAt": entries.c.updated_ms,
    },
    source=_ON_BOARD,
    moves=False,
)

OF_MEMBER = (
    select(entries, boards.c.board_type)
    .select_from(_ON_BOARD)
    .where(entries.c.member_id == bindparam("member"))
    .order_by(entries.c.board_uid, entries.c.version, entries.c.entry_id)
)

_old, _new = entries.c, excluded(entries)
_KEY = ("board_uid", "version", "entry_id")
_TAKEN = {name: _new[name] for name in ("rank_key", "data", "created_ms", "updated_ms")}
# As with posts: of two changes of an entry the later one has the lower seq.
_NEXT = {"seq": case((_old.seq <= _new.seq, _old.seq - 1), else_=_new.seq)}
_SUM = _old.rank_key + _new.rank_key
_RETURNED = (entries.c.rank_key, entries.c.seq)

_BEST = upsert(entries, _KEY, _TAKEN | _NEXT, where=_new.rank_key < _old.rank_key, returning=_RETURNED)
_LAST = upsert(entries, _KEY, _TAKEN | _NEXT, where=_new.updated_ms > _old.updated_ms, returning=_RETURNED)
_ADDED = upsert(
    entries,
    _KEY,
    _NEXT
    | {
        "rank_key": case((_SUM > SCORE_MAX, SCORE_MAX), (_SUM < -SCORE_MAX, -SCORE_MAX), else_=_SUM),
        "data": func.coalesce(_old.data, _new.data),
    },
    returning=_RETURNED,
)
_EACH = upsert(entries, _KEY, None, returning=_RETURNED)

JOIN = {
    BoardType.HIGH_VALUE: _BEST,
    BoardType.LOW_VALUE: _BEST,
    BoardType.LAST_VALUE: _LAST,
    BoardType.CUMULATIVE: _ADDED,
    BoardType.ARCADE_HIGH: _EACH,
    BoardType.ARCADE_LOW: _EACH,
}


async def of_member(tx: Transaction, member_id: str) -> Sequence[Row]:
    """Return a member's entries on all boards that exist, with the type of the board."""
    return await tx.all(OF_MEMBER, member=member_id)


async def join(tx: Transaction, row: Row, target: str, seq: int) -> tuple[str, Row] | None:
    """Let an entry count as the target's, beside or together with what the target has on that board.

    Of two scores the board's type decides: the better one, the later one, or their sum. Returns where the
    target's entry is, with its `rank_key` and `seq`; None when it stays as it was.
    """
    kind = BoardType(row["board_type"])
    place = target + row["entry_id"].removeprefix(row["member_id"])
    changed = await tx.one(
        JOIN[kind],
        **{name: row[name] for name in ("board_uid", "version", "rank_key", "data")},
        entry_id=place,
        member_id=target,
        seq=seq,
        created_ms=row["created_ms"],
        updated_ms=row["updated_ms"],
    )
    return None if changed is None else (place, changed)
