"""How boards are stored: found, made, changed, rotated, deleted."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

import msgspec
from sqlalchemy import ColumnElement, bindparam, delete, func, insert, select, true, update

from gameserver.apps import App
from gameserver.domain.leaderboards.boards import (
    Board,
    BoardConfig,
    LeaderboardSettings,
    NoLeaderboard,
    Version,
    boards,
    check_id,
    entries,
    new_board,
    read_board,
    row_of,
    versions,
)
from gameserver.domain.leaderboards.hooks import after_rotation
from gameserver.domain.leaderboards.periods import RECURRING, Rotation, next_reset
from gameserver.frame import Hooks
from gameserver.storage import Aborted, Row, Transaction, upsert
from gameserver.wire.errors import GameError

PAGE_MAX = 500
TRIES_MAX = 3
KNOWN_MAX = 10_000  # boards that are remembered


class DuplicateLeaderboard(GameError):
    """There is a board with this id already."""

    reason_code = 40561


class TooManyLeaderboards(GameError):
    """The app has as many boards as it may have."""

    reason_code = 40560


class ScoresExist(GameError):
    """What would turn the order of scores around cannot be changed once there are some."""

    reason_code = 40842


class Stale(Exception):
    """The board has changed since it was read."""


class Kind(NamedTuple):
    """Some of an app's boards: a condition for those that are stored, and one for those only declared."""

    stored: ColumnElement[bool]
    declared: Callable[[Board], bool]


ALL = Kind(true(), lambda _: True)


class Work(Protocol):
    """What a packet's context offers to rules below it.

    `is_retry` is set when the database gave up an earlier try of the packet: what is remembered may be old.
    """

    app: App
    now_ms: int
    is_retry: bool

    @property
    def tx(self) -> Transaction:
        """The packet's transaction."""

    @property
    def outbox(self) -> list[Callable[[], Awaitable[None]]]:
        """What happens after its commit."""


FIND = select(boards).where(boards.c.app_id == bindparam("app"), boards.c.board_id == bindparam("board"))
LOCK = FIND.with_for_update()
FIND_MANY = select(boards).where(
    boards.c.app_id == bindparam("app"), boards.c.board_id.in_(bindparam("boards", expanding=True))
)
PAGE = (
    select(boards)
    .where(boards.c.app_id == bindparam("app"))
    .order_by(boards.c.board_id)
    .limit(bindparam("most"))
)
PAGE_AFTER = PAGE.where(boards.c.board_id > bindparam("after"))
COUNT = select(func.count()).select_from(boards).where(boards.c.app_id == bindparam("app"))
INSERT = insert(boards)
_FIXED = {"uid", "app_id", "board_id", "div_set", "created_ms"}
_CHANGED = [column.name for column in boards.c if column.name not in _FIXED]
CHANGE = (
    update(boards)
    .where(boards.c.uid == bindparam("of_uid"), boards.c.stamp == bindparam("of_stamp"))
    .values({name: bindparam(name) for name in _CHANGED})
)
DELETE = delete(boards).where(boards.c.uid == bindparam("of_uid"))
END_VERSION = upsert(versions, ["board_uid", "version"], None)
VERSIONS = (
    select(versions)
    .where(versions.c.board_uid == bindparam("uid"), versions.c.version > bindparam("above"))
    .order_by(versions.c.version.desc())
)
ANY_ENTRY = select(entries.c.entry_id).where(entries.c.board_uid == bindparam("uid")).limit(1)


def lock_name(uid: str) -> str:
    """Return the name of the lock that posts share and whoever changes the board has alone.

    It is taken after the board's row is written, and before a score is: so posts that have seen the board as
    it was are committed before the change is.
    """
    return f"leaderboard/{uid}"


def declared(app: App) -> Mapping[str, BoardConfig]:
    """Return what the boards that the operator declared are made from, by id."""
    kind = LeaderboardSettings
    return app.section(kind).configs if kind in app.sections else {}


def expired(board: Board, now_ms: int) -> bool:
    """Tell whether a board has outlived the time its maker gave it."""
    return board.expires_ms is not None and board.expires_ms <= now_ms


def _alive(rows: Sequence[Row], now_ms: int) -> dict[str, Board]:
    found = (read_board(row) for row in rows)
    return {board.board_id: board for board in found if not expired(board, now_ms)}


def _only_if(exist_ok: bool, board: Board) -> Board:
    if not exist_ok:
        raise DuplicateLeaderboard(f"there is a leaderboard {board.board_id[:64]!r} already")
    return board


def no_board(board_id: str) -> NoLeaderboard:
    """Make the refusal."""
    return NoLeaderboard(f"there is no leaderboard {board_id[:64]!r}")


class Boards:
    """Finds boards, and remembers them: whoever uses one checks its stamp in the statement that uses it."""

    def __init__(self, new_id: Callable[[], str], new_stamp: Callable[[], int], hooks: Hooks) -> None:
        self._hooks = hooks
        self._new_id = new_id
        self._new_stamp = new_stamp
        self._known: dict[tuple[str, str], Board] = {}

    def forget(self, board: Board) -> None:
        """Read the board again when it is needed next."""
        self._known.pop((board.app_id, board.board_id), None)

    async def find(self, work: Work, board_id: str, *, fresh: bool = False) -> Board | None:
        """Return a board as stored, maybe as it was some time ago; None when there is none.

        A declared board that is not stored yet has no `uid`.
        """
        known = None if fresh or work.is_retry else self._known.get((work.app.id, board_id))
        if known is not None and not expired(known, work.now_ms):
            return known
        row = await work.tx.one(FIND, app=work.app.id, board=board_id)
        if row is not None and not expired(board := read_board(row), work.now_ms):
            if not work.tx.writes:  # what this packet has changed may be undone
                self._remember(board)
            return board
        return self._unstored(work, board_id)

    async def find_many(self, work: Work, board_ids: Sequence[str]) -> dict[str, Board]:
        """Return those of several boards that exist, as they are stored now."""
        rows = await work.tx.all(FIND_MANY, app=work.app.id, boards=list(board_ids)) if board_ids else []
        found = _alive(rows, work.now_ms)
        for board_id in board_ids:
            if board_id not in found and (unstored := self._unstored(work, board_id)) is not None:
                found[board_id] = unstored
        return {board_id: found[board_id] for board_id in dict.fromkeys(board_ids) if board_id in found}

    async def page(self, work: Work, kind: Kind = ALL, most: int = PAGE_MAX) -> tuple[list[Board], int]:
        """Return boards of the app by id, and how many there are, of one kind."""
        rows = await work.tx.all(PAGE.where(kind.stored), app=work.app.id, most=most)
        found = _alive(rows, work.now_ms)
        count = len(found)
        if len(rows) == most:
            counted = await work.tx.one(COUNT.where(kind.stored), app=work.app.id)
            count = counted[0] if counted is not None else count
        missing = [board_id for board_id in declared(work.app) if board_id not in found]
        for board_id, board in (await self.find_many(work, missing)).items():
            if not board.uid and kind.declared(board):
                count += 1
                found[board_id] = board
        return [found[board_id] for board_id in sorted(found)][:most], count

    async def store(self, work: Work, board_id: str) -> Board:
        """Return a board as it is stored now, storing it first when it is only declared.

        Locks it against rotation until the packet is committed. Raises `NoLeaderboard`.
        """
        row = await work.tx.one(LOCK, app=work.app.id, board=board_id)
        if row is not None and not expired(board := read_board(row), work.now_ms):
            return board
        config = declared(work.app).get(board_id)
        if config is None:
            raise no_board(board_id)
        return await self.create(work, board_id, config, exist_ok=True)

    async def create(
        self, work: Work, board_id: str, config: BoardConfig, *, exist_ok: bool = False
    ) -> Board:
        """Make a board. Raises `DuplicateLeaderboard` unless that is no mistake, `TooManyLeaderboards`."""
        check_id(board_id)
        row = await work.tx.one(LOCK, app=work.app.id, board=board_id)
        if row is not None:
            there = read_board(row)
            if not expired(there, work.now_ms):
                return _only_if(exist_ok, there)
            await self.delete(work.tx, there, work.now_ms)
        await self._check_room(work, config)
        board = new_board(self._new_id(), work.app.id, board_id, config, work.now_ms, self._new_stamp())
        if await work.tx.unless_taken(INSERT, **row_of(board)):
            return board
        row = await work.tx.one(LOCK, app=work.app.id, board=board_id)
        if row is None:
            raise Aborted("the board was made and deleted meanwhile")
        return _only_if(exist_ok, read_board(row))

    async def _check_room(self, work: Work, config: BoardConfig) -> None:
        kind = LeaderboardSettings
        most = work.app.section(kind).boards_max if kind in work.app.sections else kind().boards_max
        counted = await work.tx.one(COUNT, app=work.app.id)
        if counted is not None and counted[0] >= most and config.declared is None:
            raise TooManyLeaderboards(f"the app has {most} leaderboards, as many as it may have")

    async def change(
        self, tx: Transaction, before: Board, after: Board, ended: Sequence[Version] = (), now_ms: int = 0
    ) -> Board:
        """Store a changed board, and versions that have ended. Raises `Stale` when somebody was faster."""
        stored = msgspec.structs.replace(after, stamp=self._new_stamp())
        values = row_of(stored)
        changed = {name: values[name] for name in _CHANGED}
        if not await tx.run(CHANGE, of_uid=before.uid, of_stamp=before.stamp, **changed):
            self.forget(before)
            raise Stale
        await tx.lock(lock_name(before.uid))
        self.forget(before)
        for version in ended:
            await tx.run(END_VERSION, board_uid=before.uid, **version._asdict())
        if ended:
            await after_rotation(self._hooks, tx, stored, ended, now_ms)
        return stored

    async def edit(self, tx: Transaction, board: Board, config: BoardConfig, now_ms: int) -> Board:
        """Give a board another configuration; its running version goes on. Raises `ScoresExist`, `Stale`."""
        current, ended = board.at(now_ms)
        recurring = config.rotation in RECURRING
        anchor = config.reset_ms if recurring else None
        adhoc = config.rotation is current.rotation is Rotation.ADHOC
        after = msgspec.structs.replace(
            current,
            board_type=config.board_type,
            rotation=config.rotation,
            days=config.days,
            anchor_ms=anchor,
            reset_ms=current.reset_ms
            if adhoc
            else None
            if anchor is None
            else next_reset(config.rotation, config.days, anchor, now_ms),
            retained=config.retained,
            data=config.data,
            t_enabled=config.t_enabled,
            t_template_only=config.t_template_only,
            t_settings=current.t_settings if config.declared is None else config.t_settings,
            t_schedule=current.t_schedule if adhoc else None,
            declared=config.declared or current.declared,
            db_version=current.db_version + 1,
        )
        await self.check_order(tx, current, after)
        return await self.change(tx, board, after, ended, now_ms)

    async def rotate(self, tx: Transaction, board: Board, now_ms: int) -> Board:
        """Store the rotations that are due. Of any number of callers one does, for others it is `Stale`."""
        after, ended = board.at(now_ms)
        return await self.change(tx, board, after, ended, now_ms) if ended else board

    async def delete(self, tx: Transaction, board: Board, now_ms: int) -> None:
        """Delete a board. Its scores are out of reach at once, and removed by and by."""
        self.forget(board)
        ending = Version(board.version, board.started_ms, now_ms, None)
        await tx.run(END_VERSION, board_uid=board.uid, **ending._asdict())
        await tx.run(DELETE, of_uid=board.uid)
        await tx.lock(lock_name(board.uid))

    async def ended_versions(self, tx: Transaction, board: Board) -> list[Version]:
        """Return the versions that have ended and can be read, the newest first."""
        rows = await tx.all(VERSIONS, uid=board.uid, above=board.version - board.retained)
        return [Version(row["version"], row["started_ms"], row["ended_ms"], row["t_period"]) for row in rows]

    async def check_order(self, tx: Transaction, before: Board, after: Board) -> None:
        """Raise `ScoresExist` when a change would make stored scores mean something else."""
        kinds = before.board_type, after.board_type
        if kinds[0].lowest_first == kinds[1].lowest_first and kinds[0].is_arcade == kinds[1].is_arcade:
            return
        if await tx.one(ANY_ENTRY, uid=before.uid) is not None:
            raise ScoresExist(f"the leaderboard has scores of {kinds[0]}; they cannot become {kinds[1]}")

    def _unstored(self, work: Work, board_id: str) -> Board | None:
        config = declared(work.app).get(board_id)
        return None if config is None else new_board("", work.app.id, board_id, config, work.now_ms, 0)

    def _remember(self, board: Board) -> None:
        if len(self._known) >= KNOWN_MAX:
            self._known.clear()
        self._known[board.app_id, board.board_id] = board
