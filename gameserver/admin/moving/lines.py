"""The lines of an export: JSON objects, one on each line, that say of what `type` they are.

docs/moving-in.md describes them for who writes such a file. Names are those that clients know.
"""

from typing import Annotated, Any

from msgspec import Meta, field

from gameserver.documents import documents
from gameserver.domain.leaderboards import SCORE_MAX, BoardType, EntryType, Rotation
from gameserver.domain.leaderboards.boards import DAYS_MAX, ID_MAX, RETAINED_MAX
from gameserver.domain.progress.statistics import CHANGES_MAX, NAME_MAX, VALUE_MAX
from gameserver.players.accounts import EXTERNAL_ID_MAX
from gameserver.wire.shapes import FreeObject, Request, RequestReader

FORMAT = 1
LINE_BYTES_MAX = 4 << 20  # of one line, its end included
LINES_MAX = 500  # of one batch
BATCH_BYTES_MAX = 1 << 20  # of one batch, but for its last line

HEADER, END = "export", "end"

TIME_MAX = 2**53
ProfileId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,36}$")]
EntityId = ProfileId
_Text = Annotated[str, Meta(max_length=256)]
_Url = Annotated[str, Meta(max_length=1024)]
_Code = Annotated[str, Meta(max_length=32)]
_Time = Annotated[int, Meta(ge=0, le=TIME_MAX)]
_Count = Annotated[int, Meta(ge=0, le=TIME_MAX)]
_StatisticName = Annotated[str, Meta(min_length=1, max_length=NAME_MAX)]
_Value = Annotated[float, Meta(ge=-VALUE_MAX, le=VALUE_MAX)]
_Statistics = Annotated[dict[_StatisticName, _Value], Meta(max_length=CHANGES_MAX * 2)]
_Digest = Annotated[str, Meta(max_length=512)]
_BoardId = Annotated[str, Meta(min_length=1, max_length=ID_MAX)]


class Identity(Request):
    """What a player logs in with. Without a digest no password leads to it."""

    authentication_type: Annotated[str, Meta(max_length=32)]
    external_id: Annotated[str, Meta(min_length=1, max_length=EXTERNAL_ID_MAX)]
    external_auth_name: Annotated[str, Meta(max_length=64)] = ""
    is_validated: bool = False
    created_at: _Time | None = None
    password_digest: _Digest | None = None


class Counts(Request):
    """A balance, and what it was added up from."""

    balance: Annotated[int, Meta(ge=-TIME_MAX, le=TIME_MAX)]
    purchased: _Count = 0
    awarded: _Count = 0
    consumed: _Count = 0
    revoked: _Count = 0


class Player(Request):
    """A player, with identities, statistics, experience and balances."""

    profile_id: ProfileId
    player_name: _Text = ""
    picture_url: _Url | None = None
    contact_email: _Text | None = None
    language_code: _Code | None = None
    country_code: _Code | None = None
    time_zone_offset: Annotated[float, Meta(ge=-24, le=24)] = 0.0
    created_at: _Time | None = None
    last_login: _Time | None = None
    previous_login: _Time | None = None
    login_count: Annotated[int, Meta(ge=0, le=2**31 - 1)] = 0
    is_tester: bool = False
    is_disabled: bool = False
    summary_friend_data: FreeObject | None = None
    attributes: FreeObject | None = None
    properties: FreeObject | None = None
    identities: Annotated[list[Identity], Meta(max_length=100)] = field(default_factory=list)
    statistics: _Statistics = field(default_factory=dict)
    experience_points: _Count = 0
    currency: Annotated[dict[_StatisticName, Counts], Meta(max_length=1000)] = field(default_factory=dict)


class Entity(Request):
    """An entity of a player."""

    profile_id: ProfileId
    entity_id: EntityId
    entity_type: documents.Name
    data: FreeObject
    acl: dict[str, Any] | None = None
    version: Annotated[int, Meta(ge=1, le=TIME_MAX)] = 1
    is_singleton: bool = False
    created_at: _Time | None = None
    updated_at: _Time | None = None


class GlobalEntity(Request):
    """An entity of the app; without an owner it is the system's."""

    entity_id: EntityId
    entity_type: documents.Name
    data: FreeObject
    owner_id: ProfileId | None = None
    entity_indexed_id: _Text | None = None
    acl: dict[str, Any] | None = None
    version: Annotated[int, Meta(ge=1, le=TIME_MAX)] = 1
    time_to_live: Annotated[int, Meta(ge=-1, le=TIME_MAX)] = -1
    expires_at: _Time | None = None
    created_at: _Time | None = None
    updated_at: _Time | None = None


class GlobalStatistics(Request):
    """Values that all players share."""

    statistics: _Statistics


class Leaderboard(Request):
    """A board. One that the app declares stays as it is declared."""

    leaderboard_id: _BoardId
    leaderboard_type: BoardType
    entry_type: EntryType = EntryType.PLAYER
    rotation_type: Rotation = Rotation.NEVER
    num_days_to_rotate: Annotated[int, Meta(ge=0, le=DAYS_MAX)] = 0
    reset_at: _Time | None = None
    retained_count: Annotated[int, Meta(ge=1, le=RETAINED_MAX)] = 1
    data: FreeObject | None = None


class Score(Request):
    """A score of the version of a board that is running."""

    leaderboard_id: _BoardId
    profile_id: ProfileId
    score: Annotated[int, Meta(ge=-SCORE_MAX, le=SCORE_MAX)]
    entry_id: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,36}$")] | None = None
    """Where a player has many scores on the board: which of them it is."""
    data: FreeObject | None = None
    created_at: _Time | None = None
    updated_at: _Time | None = None


SHAPES: dict[str, type[Request]] = {
    "globalStatistics": GlobalStatistics,
    "player": Player,
    "entity": Entity,
    "globalEntity": GlobalEntity,
    "leaderboard": Leaderboard,
    "score": Score,
}
READERS = {name: RequestReader(shape) for name, shape in SHAPES.items()}
ELSEWHERE = {
    "globalProperty": "this server has no global properties; put what they say into a global entity",
    "customEntity": "this server has no custom entities; a global entity keeps its data",
}
"""Types of lines that other services' data may have, and why nothing is taken of them."""
