"""What the service reads of players and their identities. Friendships are in `domain.social.friends`."""

from typing import Any, cast

from sqlalchemy import Column, ColumnElement, String, and_, bindparam, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import BigInteger, SmallInteger

from gameserver.documents.query import Fields
from gameserver.domain.social.friends import friendships
from gameserver.players.identities import UNIVERSAL, identities
from gameserver.players.profiles import IS_NAMED, is_called, players
from gameserver.storage import Json
from gameserver.storage.beginnings import holds, starts_with, starts_with_by_lower
from gameserver.storage.tables import TWIN

_p, _i, _f = players.c, identities.c, friendships.c
_MOST = bindparam("most", type_=BigInteger)

# Players as others see them

PLAYER = (_p.profile_id, _p.name, _p.picture_url, _p.summary_friend_data)
# Spelled so that no index of an app's players seems good for one or some: SQLite would read them all.
_OF_APP = _p.app_id.concat("") == bindparam("app", type_=String)
READ = select(*PLAYER).where(_p.profile_id == bindparam("profile"), _OF_APP)

_BY_NAME = select(*PLAYER).where(_p.app_id == bindparam("app"), IS_NAMED).limit(_MOST)
BY_NAME = _BY_NAME.where(is_called(bindparam("text", type_=String))).order_by(_p.profile_id)
BY_START_OF_NAME = _BY_NAME.where(starts_with_by_lower(_p.name))
BY_PART_OF_NAME = _BY_NAME.where(holds(_p.name), _p.name != bindparam("text"))

_BY_UNIVERSAL_ID = (
    select(*PLAYER)
    .join(identities, _i.profile_id == _p.profile_id)
    .where(_i.app_id == bindparam("app"), UNIVERSAL, _OF_APP)
    .limit(_MOST)
)
BY_UNIVERSAL_ID = _BY_UNIVERSAL_ID.where(_i.external_key == bindparam("text"))
BY_START_OF_UNIVERSAL_ID = _BY_UNIVERSAL_ID.where(starts_with(_i.external_key))
BY_PART_OF_UNIVERSAL_ID = _BY_UNIVERSAL_ID.where(holds(_i.external_key))

_OF_TYPE = (_i.app_id == bindparam("app"), _i.type == bindparam("type_"))
BY_IDENTITY = (
    select(*PLAYER)
    .join(identities, _i.profile_id == _p.profile_id)
    .where(*_OF_TYPE, _i.external_key == bindparam("key"), _OF_APP)
)
IDENTITY_OF = (
    select(_i.external_id)
    .where(*_OF_TYPE, _i.profile_id == bindparam("profile"))
    .order_by(_i.created_ms, _i.external_key)
    .limit(1)
)

# Friends

FRIEND = (_f.friend_id, _f.ways, _f.created_ms, _p.name, _p.picture_url, _p.summary_friend_data)
FRIENDS = (
    select(*FRIEND)
    .join(players, _p.profile_id == _f.friend_id)
    .where(
        _f.owner_id == bindparam("owner"),
        _f.app_id == bindparam("app"),
        _f.ways.bitwise_and(bindparam("way", type_=SmallInteger)) != 0,
    )
    .order_by(_f.created_ms, _f.friend_id)
)
FRIENDS_BY_WAY = select(_f.friend_id).where(
    _f.owner_id == bindparam("owner"),
    _f.app_id == bindparam("app"),
    _f.ways.bitwise_and(bindparam("way", type_=SmallInteger)) != 0,
)


def of_owner(app_id: str, profile_id: str) -> ColumnElement[bool]:
    """Return the condition for a player's friends, whose rows in `players` are joined."""
    return and_(_f.owner_id == profile_id, _f.app_id == app_id, _p.profile_id == _f.friend_id)


FIELDS = Fields(
    columns={"playerId": _f.friend_id, "name": _p.name, "createdAt": _f.created_ms},
    documents={},
    unique=_f.friend_id,
    default_order=(("createdAt", 1),),
)
BY_EXTERNAL_IDS = select(_i.external_key, _i.profile_id).where(
    _i.app_id == bindparam("app"),
    _i.type.in_(bindparam("types", expanding=True)),
    _i.external_key.in_(bindparam("keys", expanding=True)),
)
EXTERNAL_IDS = (
    select(_i.profile_id, _i.type, _i.external_id, _i.data)
    .where(
        _i.profile_id.in_(bindparam("profiles", expanding=True)),
        _i.app_id == bindparam("app"),
        _i.type.in_(bindparam("types", expanding=True)),
    )
    .order_by(_i.created_ms, _i.external_key)
)

# Where-clauses on what players show


class _Parsed(FunctionElement[str]):
    """JSON that is stored as text, for where-clauses."""

    type = Json()
    inherit_cache = True


@compiles(_Parsed, "sqlite")
def _parsed_on_sqlite(element: Any, compiler: SQLCompiler, **words: Any) -> str:
    return compiler.process(element.clauses, **words)


@compiles(_Parsed, "postgresql")
def _parsed_on_postgresql(element: Any, compiler: SQLCompiler, **words: Any) -> str:
    return f"({compiler.process(element.clauses, **words)})::jsonb"


_SHOWN = (*PLAYER, _p.language_code, _p.country_code, _p.created_ms)
LOOKED_AT = (
    select(*_SHOWN, _Parsed(_p.summary_friend_data).label(f"summary_friend_data{TWIN}"))
    .where(_p.app_id == bindparam("app", type_=String))
    .subquery("shown")
)
_s = LOOKED_AT.c
SUMMARY_FIELDS = Fields(
    columns=cast(
        "dict[str, Column[Any]]",
        {
            "profileId": _s.profile_id,
            "profileName": _s.name,
            "playerName": _s.name,
            "languageCode": _s.language_code,
            "countryCode": _s.country_code,
            "createdAt": _s.created_ms,
        },
    ),
    documents=cast("dict[str, Column[str]]", {"summaryFriendData": _s.summary_friend_data}),
    unique=cast("Column[Any]", _s.profile_id),
)
