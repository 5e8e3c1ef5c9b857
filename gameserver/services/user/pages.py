"""What is told of players: of one, and of all of an app, page by page."""

from collections.abc import Mapping
from typing import Annotated, Any

from msgspec import Meta, Raw
from sqlalchemy import ColumnElement, and_, literal, select

from gameserver.documents import query
from gameserver.documents.documents import data_out
from gameserver.documents.paging import (
    GetPage,
    GetPageOffset,
    InvalidContext,
    NextContext,
    Results,
    UnreadableContext,
    read_context,
    read_page,
)
from gameserver.documents.query import InvalidFieldInWhere, InvalidWhere
from gameserver.players import profiles
from gameserver.players.fields import CountryCode, PlayerName, TimeZoneOffset
from gameserver.players.profiles import UnknownPlayer, is_called, players
from gameserver.rpc import Access, Context, Tx
from gameserver.services.user.base import OfPlayer, read_player, service
from gameserver.storage import Row
from gameserver.wire.errors import PacketTooLarge
from gameserver.wire.fields import ProfileId
from gameserver.wire.shapes import FreeObjectOrText, Reply

_c = players.c
FIELDS = query.Fields(
    columns={
        "profileId": _c.profile_id,
        "playerName": _c.name,
        "emailAddress": _c.contact_email,
        "countryCode": _c.country_code,
        "languageCode": _c.language_code,
        "timeZoneOffset": _c.time_zone_offset,
        "createdAt": _c.created_ms,
        "lastLogin": _c.last_login_ms,
        "loginCount": _c.login_count,
        "isTester": _c.is_tester,
    },
    documents={},
    unique=_c.profile_id,
    default_order=(("createdAt", 1),),
)
COLUMNS = (
    _c.profile_id,
    _c.name,
    _c.country_code,
    _c.time_zone_offset,
    _c.summary_friend_data,
    _c.contact_email,
)
READER = "user"


class User(Reply):
    """A player, as servers see them."""

    profile_id: ProfileId
    player_name: PlayerName
    country_code: CountryCode
    time_zone_offset: TimeZoneOffset
    summary_friend_data: Annotated[Raw | None, Meta(description="What the player shows to friends, or null.")]
    email_address: Annotated[str | None, Meta(description="The contact address, or null.")]


class UserPage(Reply):
    """A page, and the context of the next call."""

    context: NextContext
    results: Annotated[Results, Meta(description="The page.")]


PAGE_ERRORS = (UnreadableContext, InvalidContext, InvalidWhere, InvalidFieldInWhere, PacketTooLarge)


@service.operation("SYS_GET_PAGE", tx=Tx.READ, access=Access.SERVER, errors=PAGE_ERRORS)
async def sys_get_page(ctx: Context, request: GetPage) -> UserPage:
    """Read a page of the app's players, the oldest first unless the context says otherwise. For servers.

    A search may ask for `profileId`, `playerName`, `emailAddress`, `countryCode`, `languageCode`,
    `timeZoneOffset`, `createdAt`, `lastLogin`, `loginCount` and `isTester`; by the first three and the time
    of creation an index finds players among millions. 500 rows at most.
    """
    return await _page(ctx, request.context, 0)


@service.operation("SYS_GET_PAGE_OFFSET", tx=Tx.READ, access=Access.SERVER, errors=PAGE_ERRORS)
async def sys_get_page_offset(ctx: Context, request: GetPageOffset) -> UserPage:
    """Read a page of players before or after one that was read earlier, found from its place. For servers."""
    return await _page(ctx, request.context, request.page_offset)


async def _page(ctx: Context, context: FreeObjectOrText | None, offset: int) -> UserPage:
    page = read_context(context, offset, READER)
    found = await read_page(ctx.tx, page, COLUMNS, _scope(ctx.app.id, page.search), FIELDS)
    ctx.reserve_bytes(row["summary_friend_data"] or "" for row in found.rows)
    return UserPage(context=found.context, results=found.results([user(row) for row in found.rows]))


def _scope(app_id: str, search: Any) -> ColumnElement[bool]:
    """Return the condition for an app's players, and for those with a name or address that a search names.

    Said in a query of its own, for which there is one index: SQLite would go through all players of the app
    instead, which another index has in the order of the page.
    """
    criteria: Mapping[str, Any] = query.as_object(search, "data.context.searchCriteria")
    of_app = _c.app_id == app_id
    name, address = criteria.get("playerName"), criteria.get("emailAddress")
    if isinstance(name, str) and name:
        named = select(_c.profile_id).where(of_app, is_called(literal(name)))
    elif isinstance(address, str):
        named = select(_c.profile_id).where(of_app, _c.contact_email == address)
    else:
        return of_app
    return and_(_c.app_id.concat("") == app_id, _c.profile_id.in_(named))


@service.operation("SYS_GET_USER_INFO", tx=Tx.READ, access=Access.SERVER, errors=(UnknownPlayer,))
async def sys_get_user_info(ctx: Context, request: OfPlayer) -> User:
    """Tell of one player what pages tell of many. For servers. Refused for an unknown player."""
    return user(await read_player(ctx.tx, ctx.app.id, request.profile_id))


def user(row: Row) -> User:
    """Return what is told of a player's row."""
    summary = row["summary_friend_data"]
    return User(
        profile_id=row["profile_id"],
        player_name=row["name"],
        country_code=row["country_code"],
        time_zone_offset=profiles.number(row["time_zone_offset"]),
        summary_friend_data=None if summary is None else data_out(summary),
        email_address=row["contact_email"],
    )
