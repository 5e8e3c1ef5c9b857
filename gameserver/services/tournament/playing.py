"""Entering, leaving, and posting scores, as players."""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from gameserver.documents.documents import InvalidFieldName
from gameserver.domain.leaderboards import CURRENT, Board, EntryType, Leaderboards, NoLeaderboard, RankedPages
from gameserver.domain.leaderboards.boards import InvalidVersion
from gameserver.domain.leaderboards.fields import (
    After,
    Before,
    BoardId,
    ChangedAt,
    DataShown,
    Score,
    ScoreData,
    ScoreShown,
    VersionShown,
)
from gameserver.domain.leaderboards.periods import read_time
from gameserver.domain.leaderboards.tournaments import NotEnrolled, PlayEnded, PlayNotStarted
from gameserver.players import profiles
from gameserver.players.fields import Balances, FriendData
from gameserver.players.profiles import UnknownPlayer
from gameserver.rpc import Access, Context, Tx
from gameserver.services.tournament import storage, templates
from gameserver.services.tournament.base import (
    AlreadyEnrolled,
    InitialScore,
    IsInitial,
    NoTemplate,
    NotEnoughToJoin,
    NotOnBoard,
    NoTournament,
    OfBoard,
    OutOfTime,
    TemplateOnly,
    TooEarlyToJoin,
    TooLateToJoin,
    TournamentCode,
    UseDivisions,
    VersionId,
    WrongEntryType,
    score_data,
    service,
)
from gameserver.services.tournament.rules import (
    Entered,
    Mine,
    Part,
    Period,
    balances,
    check_entry_type,
    check_no_instance,
    check_posting,
    check_tournaments,
    enrol,
    find_mine,
    json_out,
    leave,
    not_enrolled,
    part_shown,
    period_of,
    post,
    read_part,
    result_shown,
    running,
)
from gameserver.services.tournament.templates import FeeReply, TournamentReply, fee_shown
from gameserver.storage import Row, locks
from gameserver.wire.fields import ServerTime
from gameserver.wire.shapes import Reply

ROWS_MAX = 500

# Entering and leaving


class JoinTournament(OfBoard, kw_only=True):
    tournament_code: TournamentCode
    initial_score: InitialScore = 0


class BalanceReply(Reply):
    currency: Balances


class JoinedReply(Reply):
    """`balance` is what the player has after the fee."""

    enrolled: Annotated[bool, Meta(description="Always true.")]
    entry_fee: Annotated[FeeReply, Meta(description="The fee that was taken.")]
    balance: Annotated[BalanceReply, Meta(description="What the player has after the fee.")]


JOINING = (
    NoLeaderboard,
    NoTournament,
    NotOnBoard,
    NoTemplate,
    AlreadyEnrolled,
    TooEarlyToJoin,
    TooLateToJoin,
    TemplateOnly,
    UseDivisions,
    WrongEntryType,
)


@service.operation("JOIN_TOURNAMENT", tx=Tx.WRITE, errors=(*JOINING, NotEnoughToJoin))
async def join(ctx: Context, request: JoinTournament) -> JoinedReply:
    """Enter the caller in a tournament that runs on a board, with an initial score; collects the entry fee.

    Refused outside of the time of enrolment, and when the fee is more than the caller has: nothing happens.
    """
    mine = await find_mine(ctx, request.leaderboard_id, ctx.player_id)
    check_entry_type(mine.board, EntryType.PLAYER)
    entered = await enrol(ctx, mine, ctx.player_id, request.tournament_code, request.initial_score)
    return await joined(ctx, entered)


async def joined(ctx: Context, entered: Entered) -> JoinedReply:
    """Return what a player is told who has entered."""
    return JoinedReply(
        enrolled=True,
        entry_fee=fee_shown(entered.template.entry_fee),
        balance=BalanceReply(currency=await balances(ctx, ctx.player_id)),
    )


class LeftReply(Reply):
    num_scores_removed: Annotated[int, Meta(description="How many scores were removed: 0 or 1.")]


LEAVING = (NoLeaderboard, NoTournament, UseDivisions, WrongEntryType)


@service.operation("LEAVE_TOURNAMENT", tx=Tx.WRITE, errors=LEAVING)
async def leave_tournament(ctx: Context, request: OfBoard) -> LeftReply:
    """Leave the tournament that runs on a board; the caller's score is removed, the entry fee is gone.

    Who has not entered leaves nothing. One may enter again, and pays again.
    """
    return await leave_board(ctx, request.leaderboard_id, ctx.player_id, EntryType.PLAYER)


async def leave_board(ctx: Context, board_id: str, member_id: str, entry_type: EntryType) -> LeftReply:
    """Take a member out of the tournament that runs on a board.

    Raises `NoTournament` for a board without tournaments, `WrongEntryType`, `UseDivisions`.
    """
    board, _ = await find_mine(ctx, board_id, member_id)
    check_entry_type(board, entry_type)
    check_tournaments(board)
    check_no_instance(board)
    return LeftReply(num_scores_removed=await leave(ctx, board, member_id))


# Status


class GetStatus(OfBoard):
    version_id: VersionId = CURRENT


class Timetable(Reply):
    """When the phases begin and end (ms since 1970). `t_state`: PENDING, ACTIVE or COMPLETE."""

    t_registration_start: Annotated[
        int, Meta(description="From when one may enter: ms since 1970-01-01 UTC.")
    ]
    t_registration_end: Annotated[int, Meta(description="Until when one may enter: ms since 1970-01-01 UTC.")]
    t_play_start: Annotated[int, Meta(description="From when scores count: ms since 1970-01-01 UTC.")]
    t_play_end: Annotated[int, Meta(description="Until when scores count: ms since 1970-01-01 UTC.")]
    t_state: Annotated[str, Meta(description="PENDING, ACTIVE or COMPLETE.")]


class StatusReply(Reply, kw_only=True):
    """The tournaments of a period; `leaderboard_enrollment` is there for who has entered."""

    enrolled: Annotated[bool, Meta(description="Whether the member has entered.")]
    version_id: VersionShown
    server_time: ServerTime = msgspec.field(name="server_time")
    tournament_timetable: Annotated[
        Timetable, Meta(description="When the phases of the period begin and end.")
    ]
    tournament_configs: Annotated[
        list[TournamentReply], Meta(description="The tournaments that one may enter.")
    ]
    leaderboard_enrollment: Annotated[
        Part | UnsetType, Meta(description="The member's part, if they have entered.")
    ] = UNSET


READING = (NoLeaderboard, NoTournament, InvalidVersion, WrongEntryType)


@service.operation("GET_TOURNAMENT_STATUS", tx=Tx.READ, errors=READING)
async def get_status(ctx: Context, request: GetStatus) -> StatusReply:
    """Read the tournaments of a board's running period, or of an earlier one, and the caller's part in it."""
    return await status(ctx, request.leaderboard_id, ctx.player_id, EntryType.PLAYER, request.version_id)


async def status(
    ctx: Context, board_id: str, member_id: str, entry_type: EntryType, version: int | None = CURRENT
) -> StatusReply:
    """Return the tournaments of a period and a member's part in it."""
    board, row = await find_mine(ctx, board_id, member_id)
    check_entry_type(board, entry_type)
    wanted = board.find_version(CURRENT if version is None else version)
    if wanted == board.version:
        period = running(board)
        part = None if row is None else part_shown(board, row, Part)
        state = period.state(ctx.now_ms)
    else:
        period = await ended(ctx, board, wanted)
        part = await _ended_part(ctx, board, wanted, member_id)
        state = "COMPLETE"
    found = await templates.of_period(
        ctx.tx, ctx.app, period.codes, period, now_ms=ctx.now_ms, over=wanted != board.version
    )
    return StatusReply(
        enrolled=part is not None,
        version_id=wanted,
        server_time=ctx.now_ms,
        tournament_timetable=Timetable(
            t_registration_start=period.times.t_registration_start,
            t_registration_end=period.times.t_registration_end,
            t_play_start=period.times.t_play_start,
            t_play_end=period.times.t_play_end,
            t_state=state,
        ),
        tournament_configs=[template.shown() for template in found.values()],
        leaderboard_enrollment=UNSET if part is None else part,
    )


async def ended(ctx: Context, board: Board, version: int) -> Period:
    """Return a period that is over, also one whose end nobody has stored yet. Raises `NoTournament`."""
    boards = ctx.core.get(Leaderboards).boards
    stored = await boards.find(ctx, board.board_id)
    unstored = [] if stored is None else stored.at(ctx.now_ms)[1]
    for one in (*unstored, *await boards.ended_versions(ctx.tx, board)):
        if one.version == version:
            found = period_of(board, version, one.started_ms, one.ended_ms, one.t_period)
            if found is not None:
                return found
    raise NoTournament("this version was no tournament, or is no longer retained")


async def _ended_part(ctx: Context, board: Board, version: int, member_id: str) -> Part | None:
    """Return a member's part in a period that is over; without a rank while the results are not there yet."""

    async def read(board: Board) -> Row | None:
        return await read_part(ctx.tx, board, version, member_id)

    # In this order: the results take the place of what players entered at a moment in between.
    row = await ctx.core.get(Leaderboards).reading(ctx, board.board_id, read)
    if row is not None:
        return part_shown(board, row, Part)
    result = await ctx.tx.one(storage.RESULT, uid=board.uid, member=member_id, of_version=version)
    return None if result is None else result_shown(result, Part)


# Posting


class PostScore(OfBoard, kw_only=True):
    score: Score
    data: ScoreData = None
    round_started_epoch: Annotated[
        int | float | str | None,
        Meta(
            description="When the round began, as ms since 1970-01-01 UTC; a round counts that "
            "began during play."
        ),
    ] = None


POSTING = (
    NoLeaderboard,
    NoTournament,
    NotEnrolled,
    PlayNotStarted,
    PlayEnded,
    OutOfTime,
    WrongEntryType,
    InvalidFieldName,
)


class ScoreRow(Reply, kw_only=True):
    """A score with its place: of a player, with `name` and what belongs to it, or of a group.

    `score_updated_at`: when it was reached.
    """

    player_id: Annotated[str | UnsetType, Meta(description="The id of the player, where players enter.")] = (
        UNSET
    )
    group_id: Annotated[str | UnsetType, Meta(description="The id of the group, where groups enter.")] = UNSET
    score: ScoreShown
    data: DataShown
    created_at: Annotated[int, Meta(description="When the member entered: ms since 1970-01-01 UTC.")]
    updated_at: ChangedAt
    score_updated_at: Annotated[int, Meta(description="When the score was reached: ms since 1970-01-01 UTC.")]
    t_code: Annotated[str | None, Meta(description="The code of the tournament, or null.")]
    is_initial_t_score: IsInitial
    t_rank: Annotated[int, Meta(description="Always 0 while the tournament runs.")] = 0
    t_notified_at: Annotated[int, Meta(description="Always 0 while the tournament runs.")] = 0
    index: Annotated[int, Meta(description="The place in the order that was asked for, from 0.")]
    rank: Annotated[int, Meta(description="The place in the order that was asked for, from 1.")]
    name: Annotated[str | UnsetType, Meta(description="The player's name; empty if there is none.")] = UNSET
    picture_url: Annotated[
        str | UnsetType | None, Meta(description="Address of the player's picture, or null.")
    ] = UNSET
    summary_friend_data: FriendData = UNSET
    group_name: Annotated[str | UnsetType, Meta(description="The group's name.")] = UNSET
    group_summary_data: Annotated[Any, Meta(description="What the group shows to others.")] = UNSET


class PostReply(Part, kw_only=True):
    """A member's part after a post. `previous_score` is there if they had one.

    With results, `rank` is the new place, and `previous_leaderboard` where the member stood before.
    """

    leaderboard_id: BoardId
    version_id: VersionShown
    player_id: Annotated[str | UnsetType, Meta(description="The id of the player, where players enter.")] = (
        UNSET
    )
    group_id: Annotated[str | UnsetType, Meta(description="The id of the group, where groups enter.")] = UNSET
    previous_score: Annotated[
        int | UnsetType, Meta(description="The score before the post, if there was one.")
    ] = UNSET
    rank: Annotated[
        int | UnsetType, Meta(description="The place among all after the post, from 1; with results only.")
    ] = UNSET
    previous_leaderboard: Annotated[
        ScoreRow | UnsetType, Meta(description="Where the member stood before the post; with results only.")
    ] = UNSET


class ResultsReply(Reply):
    post_score: Annotated[PostReply, Meta(description="The member's part after the post.")]
    scores: Annotated[list[ScoreRow], Meta(description="The scores around it, in order.")]


@service.operation("POST_TOURNAMENT_SCORE", tx=Tx.WRITE, errors=POSTING)
async def post_score(ctx: Context, request: PostScore) -> PostReply:
    """Post a score to a tournament the caller has entered. The board's type says what becomes of it.

    `roundStartedEpoch` is when the round began (ms since 1970): it must have begun during play. A board with
    automatic enrolment enters the caller first, if there is no fee.
    """
    return shown_post(*await post_for(ctx, request, ctx.player_id, EntryType.PLAYER))


Posted = tuple[Board, str, Row, Row | None]
"""The board, the member, and their part after and before."""


async def post_for(
    ctx: Context,
    request: PostScore,
    member_id: str,
    entry_type: EntryType,
    *,
    initial_score: int | None = None,
    create: bool = True,
) -> Posted:
    """Post a score for a member."""
    data = score_data(request.data)
    began = read_time(request.round_started_epoch, "data.roundStartedEpoch")
    mine = await find_mine(ctx, request.leaderboard_id, member_id)
    check_entry_type(mine.board, entry_type)
    period = running(mine.board)
    if mine.row is None and not (period.settings.t_auto_join and create):
        raise not_enrolled()
    check_posting(period, ctx.now_ms, began or None)
    if mine.row is None:
        stored = await _auto_join(ctx, mine, period, member_id, request.score, data, initial_score)
    else:
        stored = await post(ctx, mine.board, member_id, request.score, data)
        if not mine.row["posted"]:
            await ctx.tx.defer(storage.POSTED, uid=stored.uid, of_version=stored.version, member=member_id)
    after = await read_part(ctx.tx, stored, stored.version, member_id)
    assert after is not None
    return stored, member_id, after, mine.row


async def _auto_join(
    ctx: Context,
    mine: Mine,
    period: Period,
    member_id: str,
    score: int,
    data: str | None,
    initial_score: int | None,
) -> Board:
    first = score if initial_score is None else initial_score
    [code] = period.codes
    entered = await enrol(ctx, mine, member_id, code, first, data, posted=True, asked=False)
    if initial_score is None:
        return entered.board
    return await post(ctx, entered.board, member_id, score, data)


def shown_post(board: Board, member_id: str, after: Row, before: Row | None) -> PostReply:
    """Return what is told after a post."""
    is_group = board.entry_type is EntryType.GROUP
    had_score = before is not None and before["rank_key"] is not None
    return part_shown(
        board,
        after,
        PostReply,
        leaderboard_id=board.board_id,
        version_id=board.version,
        player_id=UNSET if is_group else member_id,
        group_id=member_id if is_group else UNSET,
        previous_score=board.key(before["rank_key"]) if before is not None and had_score else UNSET,
    )


class PostWithResults(PostScore, kw_only=True):
    sort: Annotated[
        str,
        Meta(
            pattern="^(HIGH_TO_LOW|LOW_TO_HIGH)$",
            description="Which scores come first: HIGH_TO_LOW or LOW_TO_HIGH.",
        ),
    ] = "HIGH_TO_LOW"
    before_count: Before = 5
    after_count: After = 5
    initial_score: Annotated[
        Score | None,
        Meta(
            description="The score to enter with, if the post enters the caller; null or nothing: "
            "the posted one."
        ),
    ] = None

    def is_backwards(self, board: Board) -> bool:
        """Tell whether the order that was asked for is the opposite of the board's own."""
        return (self.sort == "LOW_TO_HIGH") != board.lowest_first


@service.operation("POST_TOURNAMENT_SCORE_WITH_RESULTS", tx=Tx.WRITE, errors=POSTING)
async def post_with_results(ctx: Context, request: PostWithResults) -> ResultsReply:
    """Post a score, and read the scores around it. `initialScore` is for automatic enrolment.

    `postScore` tells the new place as `rank`, and in `previousLeaderboard` where the caller stood before.
    """
    return await with_results(ctx, request, ctx.player_id, EntryType.PLAYER)


async def with_results(
    ctx: Context, request: PostWithResults, member_id: str, entry_type: EntryType
) -> ResultsReply:
    """Post a score for a member, and return what is told after that, with the scores around it."""
    boards = ctx.core.get(Leaderboards)

    async def own(board: Board) -> RankedPages:
        backwards = request.is_backwards(board)
        return await boards.around(ctx, board, board.version, member_id, 0, 0, backwards=backwards)

    stood = await boards.reading(ctx, request.leaderboard_id, own)
    done = await post_for(ctx, request, member_id, entry_type, initial_score=request.initial_score)
    board, _, now, earlier = done
    before = min(request.before_count, ROWS_MAX)
    after = min(request.after_count, ROWS_MAX - before)
    backwards = request.is_backwards(board)
    found = await boards.around(ctx, board, board.version, member_id, before, after, backwards=backwards)
    members = [standing.row["member_id"] for standing in found.entries]
    rows = await ctx.tx.all(
        storage.CODES, uid=board.uid, of_version=board.version, members=members or [member_id]
    )
    shown = shown_post(*done)
    for place, row in found.entries:
        if row["entry_id"] == now["entry_id"]:
            shown.rank = place + 1
    if earlier is not None and stood is not None:
        for entry in _scores(board, stood, {member_id: earlier}):
            shown.previous_leaderboard = entry
    parts = {row["member_id"]: row for row in rows}
    return ResultsReply(post_score=shown, scores=_scores(board, found, parts))


def _scores(board: Board, found: RankedPages, parts: dict[str, Row]) -> list[ScoreRow]:
    """Return standings with what their members have entered: rows with `code` and `posted`."""
    shown = []
    for place, row in found.entries:
        part = parts.get(row["member_id"])
        entry = ScoreRow(
            score=board.key(row["rank_key"]),
            data=json_out(row["data"]),
            created_at=row["created_ms"],
            updated_at=row["updated_ms"],
            score_updated_at=row["updated_ms"],
            t_code=None if part is None else part["code"],
            is_initial_t_score=part is not None and not part["posted"],
            index=place,
            rank=place + 1,
        )
        if board.entry_type is EntryType.GROUP:
            entry.group_id = row["member_id"]
        else:
            entry.player_id = row["member_id"]
            entry.name = row["name"] or ""
            entry.picture_url = row["picture_url"]
            entry.summary_friend_data = json_out(row["summary_friend_data"])
        shown.append(entry)
    return shown


class PostOnBehalfOf(PostScore, kw_only=True):
    profile_id: Annotated[str, Meta(description="The id of the player whose score it is.")]
    force_create: Annotated[
        bool,
        Meta(
            description="false refuses the score of a player who has not entered; true enters them where the"
            " board enters players by itself."
        ),
    ] = True


@service.operation(
    "POST_TOURNAMENT_SCORE_ON_BEHALF_OF",
    tx=Tx.WRITE,
    locks=lambda _, request: [locks.player_lock(request.profile_id)],
    access=Access.SERVER,
    errors=(*POSTING, UnknownPlayer),
)
async def post_on_behalf_of(ctx: Context, request: PostOnBehalfOf) -> PostReply:
    """Post a score for a player who has entered.

    With `forceCreate`, a board with automatic enrolment enters them first.
    """
    if await profiles.read(ctx.tx, ctx.app.id, request.profile_id) is None:
        raise UnknownPlayer("data.profileId: there is no such player")
    create = request.force_create
    return shown_post(*await post_for(ctx, request, request.profile_id, EntryType.PLAYER, create=create))


# A player's life. Rewards that nobody has claimed go with the player.

service.keeps(*storage.KEPT)
