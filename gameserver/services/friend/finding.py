"""Finding players by what they are called. Nobody needs to be a friend, and no mail address is told."""

from collections.abc import Sequence
from typing import Annotated, Any

from msgspec import UNSET, Meta, Raw, UnsetType
from sqlalchemy import select

from gameserver.documents import query
from gameserver.documents.query import InvalidFieldInWhere, InvalidWhere, WhereField
from gameserver.players.accounts import identity_key
from gameserver.players.fields import PictureUrl, PlayerName
from gameserver.rpc import Access, Context, Tx
from gameserver.services.friend import storage
from gameserver.services.friend.base import ShortSearchText, service, summary
from gameserver.storage import BudgetSpent, QueryTooSlow, Row, Statement
from gameserver.storage.beginnings import beginning, beginning_by_lower
from gameserver.wire.fields import ProfileId as PlayerId
from gameserver.wire.shapes import Reply, Request

FOUND_MAX = 100
FOUND_DEFAULT = 50
TEXT_LEAST = 3  # characters of a part of something

# Shapes


class Match(Reply):
    """A player. Some calls name the summary data `summaryFriendData`, some `playerSummaryData`."""

    profile_id: PlayerId
    profile_name: PlayerName
    picture_url: PictureUrl
    summary_friend_data: Annotated[
        Raw | UnsetType | None,
        Meta(description="What the player shows to friends (`playerState.UPDATE_SUMMARY`), or null."),
    ] = UNSET
    player_summary_data: Annotated[
        Raw | UnsetType | None, Meta(description="The same, in other searches.")
    ] = UNSET


class Matches(Reply):
    """`message` is there when there are more than were asked for."""

    matches: Annotated[list[Match], Meta(description="The players who were found.")]
    matched_count: Annotated[int, Meta(description="How many they are.")]
    message: Annotated[
        str | UnsetType, Meta(description="Says that there are more than were wanted, if there are.")
    ] = UNSET


class SearchText(Request):
    search_text: Annotated[str, Meta(min_length=1, max_length=256, description="What to look for.")]


class Search(SearchText):
    max_results: Annotated[
        int, Meta(ge=1, le=2**53, description=f"How many players are wanted; {FOUND_MAX} at most.")
    ] = FOUND_DEFAULT

    @property
    def most(self) -> int:
        """How many players are told."""
        return min(self.max_results, FOUND_MAX)


# Operations


@service.operation("FIND_USERS_BY_EXACT_NAME", tx=Tx.READ, access=Access.SIGNED_IN)
async def find_by_exact_name(ctx: Context, request: Search) -> Matches:
    """Find players who are called just so. 100 at most."""
    rows = await ctx.tx.all(storage.BY_NAME, app=ctx.app.id, text=request.search_text, most=request.most + 1)
    return _by_player(rows, request.most)


@service.operation("FIND_USERS_BY_NAME_STARTING_WITH", tx=Tx.READ, access=Access.SIGNED_IN)
async def find_by_start_of_name(ctx: Context, request: Search) -> Matches:
    """Find players whose name begins so, letter by letter. 100 at most."""
    start = beginning_by_lower(request.search_text)
    rows = await ctx.tx.all(storage.BY_START_OF_NAME, app=ctx.app.id, most=request.most + 1, **start)
    return _by_friend(rows, request.most)


async def find_part_of_name(ctx: Context, request: Search) -> Sequence[Row]:
    """Return players whose name holds a text; none when that takes too long."""
    _check_length(request)
    return await _within_time(
        ctx,
        storage.BY_PART_OF_NAME,
        part=request.search_text,
        text=request.search_text,
        most=request.most + 1,
    )


@service.operation(
    "FIND_USERS_BY_SUBSTR_NAME",
    tx=Tx.READ,
    access=Access.SIGNED_IN,
    prepare=find_part_of_name,
    errors=(ShortSearchText,),
)
async def find_by_part_of_name(ctx: Context, request: Search) -> Matches:
    """Find players who are called just so, and after them those whose name holds the text somewhere.

    The latter, for whom no index helps, within the time that a query may take: nobody is found when it is
    over. The case of a to z does not matter. 100 at most. Refused: fewer than three characters.
    """
    exact = await ctx.tx.all(storage.BY_NAME, app=ctx.app.id, text=request.search_text, most=request.most + 1)
    return _by_player([*exact, *ctx.prepared], request.most)


@service.operation(
    "FIND_PLAYER_BY_EXACT_UNIVERSAL_ID",
    "FIND_USER_BY_EXACT_UNIVERSAL_ID",
    tx=Tx.READ,
    access=Access.SIGNED_IN,
)
async def find_by_exact_universal_id(ctx: Context, request: SearchText) -> Matches:
    """Find the player with a universal id."""
    key = identity_key("Universal", request.search_text)
    return _by_friend(await ctx.tx.all(storage.BY_UNIVERSAL_ID, app=ctx.app.id, text=key, most=1), 1)


@service.operation(
    "FIND_USERS_BY_UNIVERSAL_ID_STARTING_WITH",
    tx=Tx.READ,
    access=Access.SIGNED_IN,
    errors=(ShortSearchText,),
)
async def find_by_start_of_universal_id(ctx: Context, request: Search) -> Matches:
    """Find players whose universal id begins so. 100 at most. Refused: fewer than three characters."""
    _check_length(request)
    start = beginning(identity_key("Universal", request.search_text))
    rows = await ctx.tx.all(storage.BY_START_OF_UNIVERSAL_ID, app=ctx.app.id, most=request.most + 1, **start)
    return _by_friend(rows, request.most)


async def find_part_of_universal_id(ctx: Context, request: Search) -> Sequence[Row]:
    """Return players whose universal id holds a text; none when that takes too long."""
    _check_length(request)
    part = identity_key("Universal", request.search_text)
    return await _within_time(ctx, storage.BY_PART_OF_UNIVERSAL_ID, part=part, most=request.most + 1)


@service.operation(
    "FIND_PLAYER_BY_UNIVERSAL_ID", tx=Tx.NONE, prepare=find_part_of_universal_id, errors=(ShortSearchText,)
)
async def find_by_part_of_universal_id(ctx: Context, request: Search) -> Matches:
    """Find players whose universal id holds the text somewhere, within the time that a query may take.

    Better ask for the beginning, which an index finds. 100 at most. Refused: fewer than three characters.
    """
    return _by_friend(ctx.prepared, request.most)


class SummarySearch(Request):
    where: WhereField = None
    max_results: Annotated[int, Meta(ge=1, le=2**53, description="How many players are wanted.")] = (
        FOUND_DEFAULT
    )


@service.operation(
    "FIND_USERS_BY_USER_SUMMARY",
    tx=Tx.READ,
    access=Access.SERVER,
    errors=(InvalidWhere, InvalidFieldInWhere),
)
async def find_by_summary(ctx: Context, request: SummarySearch) -> Matches:
    """Find players by what they show of themselves. For servers.

    A clause may ask for `profileId`, `profileName`, `languageCode`, `countryCode`, `createdAt` and members of
    `summaryFriendData`. No index helps: beyond some ten thousand players it takes too long. 100 at most.
    """
    most = min(request.max_results, FOUND_MAX)
    condition = query.where(request.where, storage.SUMMARY_FIELDS)
    shown = storage.LOOKED_AT.c
    columns = [shown[column.name] for column in storage.PLAYER]
    statement = select(*columns).where(condition).order_by(shown.profile_id).limit(most + 1)
    return _by_player(await ctx.tx.search(statement, app=ctx.app.id), most)


# Rules


def _check_length(request: Search) -> None:
    if len(request.search_text) < TEXT_LEAST:
        raise ShortSearchText(f"data.searchText: at least {TEXT_LEAST} characters")


async def _within_time(ctx: Context, statement: Statement, **params: Any) -> Sequence[Row]:
    """Search, and find nobody when it takes too long. What is cut off would spoil what comes after."""
    try:
        return await search_apart(ctx, statement, **params)
    except (QueryTooSlow, BudgetSpent):
        return []


async def search_apart(ctx: Context, statement: Statement, **params: Any) -> Sequence[Row]:
    """Run a search in a transaction of its own. Raises `QueryTooSlow`, `BudgetSpent`."""
    async with ctx.core.database.read(ctx.payer) as tx:
        return await tx.search(statement, app=ctx.app.id, **params)


def _by_friend(rows: Sequence[Row], most: int) -> Matches:
    """Return players with their data as `summaryFriendData`."""
    shown = [
        Match(
            profile_id=row["profile_id"],
            profile_name=row["name"],
            picture_url=row["picture_url"],
            summary_friend_data=summary(row["summary_friend_data"]),
        )
        for row in rows[:most]
    ]
    return _matches(shown, is_more=len(rows) > most)


def _by_player(rows: Sequence[Row], most: int) -> Matches:
    """Return players with their data as `playerSummaryData`."""
    shown = [
        Match(
            profile_id=row["profile_id"],
            profile_name=row["name"],
            picture_url=row["picture_url"],
            player_summary_data=summary(row["summary_friend_data"]),
        )
        for row in rows[:most]
    ]
    return _matches(shown, is_more=len(rows) > most)


def _matches(shown: list[Match], *, is_more: bool) -> Matches:
    message = "Result count exceeds maximum." if is_more else UNSET
    return Matches(matches=shown, matched_count=len(shown), message=message)
