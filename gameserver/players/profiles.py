"""Players: one row for each profile of an app."""

import re
from hashlib import blake2b
from typing import Annotated, Any

import msgspec
from msgspec import Meta
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Float,
    Index,
    Integer,
    String,
    Table,
    Text,
    and_,
    bindparam,
    case,
    cast,
    func,
    insert,
    literal_column,
    or_,
    select,
    text,
    update,
)

from gameserver.players.lifecycle import PlayerTable
from gameserver.storage import Json, Row, Transaction, metadata
from gameserver.storage.tables import StoredBy
from gameserver.wire.errors import GameError, InvalidParameterValue
from gameserver.wire.shapes import Reply


class UnknownPlayer(GameError):
    """There is no player with that profile id."""

    reason_code = 40374


TEXT_MAX = 64  # characters of a name of anything
# What would break out of the line that shows it: controls, line ends, changes of direction that do not end.
_UNRULY = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")

players = Table(
    "players",
    metadata,
    Column("profile_id", String(36), primary_key=True),
    Column("app_id", String(64), nullable=False),
    Column("name", Text, nullable=False),
    Column("picture_url", Text),
    Column("contact_email", Text),
    Column("language_code", String(32)),
    Column("country_code", String(32)),
    Column("time_zone_offset", Float, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("last_login_ms", BigInteger, nullable=False),
    Column("previous_login_ms", BigInteger),
    Column("login_count", Integer, nullable=False),
    # Days of UTC, counted from 1970, on which the player logged in: the last one, and as bits how many days
    # before it others were, the lowest bit the last one itself. Null: not since such days are noted.
    Column("active_day", Integer),
    Column("active_days", BigInteger),
    Column("is_tester", Boolean, nullable=False),
    Column("is_disabled", Boolean, nullable=False),
    Column("disabled_through", String(16)),  # the face that did so; null: the operator
    # Raised by whoever ends all sessions of the player for good; logins that saw a lower one are late.
    Column("session_epoch", BigInteger, nullable=False, server_default="0"),
    Column("ab_testing_id", Integer, nullable=False),
    Column("summary_friend_data", Json),
    Column("statuses", Json),  # here and not in a table of their own: every login answers with them
    Column("attributes", Json),
    Index("players_by_app", "app_id", "created_ms"),
    Index(
        "players_by_contact",
        "app_id",
        "contact_email",
        sqlite_where=text("contact_email IS NOT NULL"),
        postgresql_where=text("contact_email IS NOT NULL"),
    ),
    info={"stored_by": StoredBy.PLAYER, "former_indexes": ["players_by_start_of_name"]},
)
_c = players.c
Index(  # people are looked for by what they are called, or how that begins; most have no name
    "players_by_start_of_lower_name",
    _c.app_id,
    func.lower(_c.name).label("lower_name"),
    sqlite_where=text("name != ''"),
    postgresql_where=text("name != ''"),
    postgresql_ops={"lower_name": "text_pattern_ops"},
    info={"concurrently": True},
)
IS_NAMED = _c.name != literal_column("''", String)
"""The condition of `players_by_start_of_lower_name`, as text: SQLite knows an index by how it reads."""


def is_called(name: ColumnElement[str]) -> ColumnElement[bool]:
    """Tell whether a player is called just so. The one index of names leads to it, whatever the case."""
    # Spelled so that SQLite does not put the name into the lower case, too, and then finds no index for it.
    return and_(IS_NAMED, func.lower(_c.name) == func.lower(name), _c.name.concat("") == name)


KEPT = PlayerTable(
    players,
    "profile_id",
    {
        "profileId": _c.profile_id,
        "playerName": _c.name,
        "pictureUrl": _c.picture_url,
        "contactEmail": _c.contact_email,
        "languageCode": _c.language_code,
        "countryCode": _c.country_code,
        "timeZoneOffset": _c.time_zone_offset,
        "createdAt": _c.created_ms,
        "lastLogin": _c.last_login_ms,
        "previousLogin": _c.previous_login_ms,
        "loginCount": _c.login_count,
        "isTester": _c.is_tester,
        "isDisabled": _c.is_disabled,
        "abTestingId": _c.ab_testing_id,
        "summaryFriendData": _c.summary_friend_data,
        "statuses": _c.statuses,
        "attributes": _c.attributes,
    },
    untold=dict.fromkeys(("active_day", "active_days"), "counts players by day; the audit tells of logins"),
    moves=False,
)

THIS_PLAYER = (players.c.profile_id == bindparam("profile"), players.c.app_id == bindparam("app"))

# What a login and a read of the whole state answer with; attributes are asked for by themselves.
STATE = tuple(
    column for column in players.c if column.name not in ("attributes", "active_day", "active_days")
)

DAY_MS = 86_400_000
ACTIVE_DAYS = 62
"""Of how many days a player's row tells whether they logged in, up to the last such day."""
_TODAY = cast(bindparam("now_ms", type_=BigInteger) // literal_column(str(DAY_MS), BigInteger), Integer)
_DAYS_SINCE = cast(_TODAY - _c.active_day, Integer)
_NONE, _ONE, _ALL = (literal_column(str(number), Integer) for number in (0, 1, ACTIVE_DAYS))
_SHIFTED = _c.active_days.bitwise_lshift(_DAYS_SINCE).bitwise_and(literal_column(str(2**ACTIVE_DAYS - 1)))
_ACTIVE: dict[str, Any] = {
    "active_day": case((_c.active_day > _TODAY, _c.active_day), else_=_TODAY),
    "active_days": case(
        (_NONE >= _DAYS_SINCE, _c.active_days),
        (_ALL > _DAYS_SINCE, _SHIFTED.bitwise_or(_ONE)),
        else_=_ONE,
    ),
}
"""What a login makes of the days, in the statement that notes it anyway."""


def active_on(day: ColumnElement[int]) -> ColumnElement[bool]:
    """Tell whether a player logged in on a day, counted from 1970; of the last `ACTIVE_DAYS` alone."""
    age = _c.active_day - day
    bit = _c.active_days.bitwise_rshift(age).bitwise_and(literal_column("1"))
    return and_(age >= 0, age < ACTIVE_DAYS, bit == 1)


def active_within(day: ColumnElement[int], days: int) -> ColumnElement[bool]:
    """Tell whether a player logged in on a day or one of those before it, `days` in all."""
    age = _c.active_day - day
    bits = _c.active_days.bitwise_rshift(age).bitwise_and(literal_column(str(2**days - 1)))
    return or_(and_(age <= 0, age > -days), and_(age > 0, age < ACTIVE_DAYS, bits != 0))


_VALUES = ("language_code", "country_code", "time_zone_offset")

CREATE = insert(players).values(
    {
        name: bindparam(name)
        for name in (
            "profile_id",
            "app_id",
            "language_code",
            "country_code",
            "time_zone_offset",
            "ab_testing_id",
        )
    }
    | {
        "created_ms": bindparam("now_ms"),
        "last_login_ms": bindparam("now_ms"),
        "name": "",
        "login_count": 0,
        "is_tester": False,
        "is_disabled": False,
    }
)

# A login keeps what the client does not say; previous_login_ms is null until the second one, and takes the
# old last_login_ms: the right-hand sides of one UPDATE see the row as it was. Of somebody who is disabled
# nothing is noted: the statement may be the whole transaction, and only its row tells that they are.
_LOGGED_IN: dict[str, Any] = {
    "previous_login_ms": players.c.last_login_ms,
    "last_login_ms": bindparam("now_ms", type_=BigInteger),
    "login_count": players.c.login_count + literal_column("1", Integer),
    **_ACTIVE,
    **{
        name: func.coalesce(bindparam(f"new_{name}", type_=players.c[name].type), players.c[name])
        for name in _VALUES
    },
}
COMES = {"active_day": _TODAY, "active_days": literal_column("1", BigInteger)}
"""The days of whoever is made by logging in."""
LOG_IN = update(players).values(
    {name: case((players.c.is_disabled, players.c[name]), else_=value) for name, value in _LOGGED_IN.items()}
)

READ = select(*STATE).where(*THIS_PLAYER)

ELSEWHERE = select(players.c.app_id).where(
    players.c.profile_id == bindparam("profile"), players.c.app_id != bindparam("app")
)

RAISE_EPOCH = (
    update(players)
    .where(*THIS_PLAYER)
    .values(session_epoch=players.c.session_epoch + 1)
    .returning(players.c.session_epoch)
)

# What may be set by itself, one statement for each column.
SET = {
    name: update(players).where(*THIS_PLAYER).values({name: bindparam("value")})
    for name in (
        "name",
        "picture_url",
        "contact_email",
        "language_code",
        "country_code",
        "time_zone_offset",
        "is_tester",
        "summary_friend_data",
        "statuses",
        "attributes",
    )
}
READ_STATUSES = select(players.c.statuses).where(*THIS_PLAYER)
READ_ATTRIBUTES = select(players.c.attributes).where(*THIS_PLAYER)
LOCK_STATUSES = READ_STATUSES.with_for_update()
LOCK_ATTRIBUTES = READ_ATTRIBUTES.with_for_update()

RESET = update(players).where(*THIS_PLAYER).values(summary_friend_data=None, statuses=None, attributes=None)


async def read(tx: Transaction, app_id: str, profile_id: str) -> Row | None:
    """Return the columns of `STATE`; None when there is no such player."""
    return await tx.one(READ, profile=profile_id, app=app_id)


async def raise_epoch(tx: Transaction, app_id: str, profile_id: str) -> int | None:
    """Begin a new epoch of a player, in the transaction after which all older sessions and logins must end.

    Returns it, for the end of the sessions; None when there is no such player.
    """
    row = await tx.one(RAISE_EPOCH, profile=profile_id, app=app_id)
    return None if row is None else row["session_epoch"]


async def is_elsewhere(tx: Transaction, app_id: str, profile_id: str) -> bool:
    """Tell whether a player is one of another app."""
    return await tx.one(ELSEWHERE, profile=profile_id, app=app_id) is not None


async def set_value(tx: Transaction, app_id: str, profile_id: str, column: str, value: Any) -> bool:
    """Set one column of `SET`; False when there is no such player."""
    return await tx.run(SET[column], profile=profile_id, app=app_id, value=value) > 0


def check_line(where: str, text: str, most: int) -> str:
    """Return text that fits into one line and a limit of characters. Raises `InvalidParameterValue`."""
    if len(text) > most:
        raise InvalidParameterValue(f"{where}: at most {most} characters, got {len(text)}")
    if found := _UNRULY.search(text):
        raise InvalidParameterValue(f"{where}: the character U+{ord(found[0]):04X} is not allowed")
    return text


class Status(Reply):
    """A timed status of a player, from `active_start` until `active_until` (ms since 1970)."""

    active_start: Annotated[int, Meta(description="From when it holds: ms since 1970-01-01 UTC.")]
    status_name: Annotated[str, Meta(description="The name of the status.")]
    details: Annotated[dict[str, Any], Meta(description="An object of the game's own.")]
    active_until: Annotated[int, Meta(description="Until when it holds: ms since 1970-01-01 UTC.")]


_read_statuses = msgspec.json.Decoder(dict[str, Status]).decode


def active_statuses(stored: str | None, now_ms: int) -> dict[str, Status]:
    """Return the statuses of a stored text that have not expired, by name."""
    if stored is None:
        return {}
    return {name: status for name, status in _read_statuses(stored).items() if status.active_until > now_ms}


def ab_testing_id(profile_id: str) -> int:
    """Return a number from 1 to 100 that stays with the player."""
    return 1 + int.from_bytes(blake2b(profile_id.encode(), digest_size=4).digest()) % 100


def number(value: float) -> float:
    """Return a number as clients write it: -5 and not -5.0."""
    return int(value) if float(value).is_integer() else value
