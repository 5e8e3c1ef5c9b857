"""The lines of an export: JSON objects, one on each line, that say of what `type` they are.

docs/moving-in.md describes them for who writes such a file. Names are those that clients know.
"""

from typing import Annotated, Any, ClassVar, Literal

from msgspec import Meta, field

from gameserver.documents import documents
from gameserver.domain.leaderboards import SCORE_MAX, BoardType, EntryType, Rotation
from gameserver.domain.leaderboards.boards import DAYS_MAX, ID_MAX, RETAINED_MAX
from gameserver.domain.progress.statistics import CHANGES_MAX, NAME_MAX, VALUE_MAX
from gameserver.players.accounts import EXTERNAL_ID_MAX
from gameserver.wire.shapes import FreeObject, Request

FORMAT = 1
LINE_BYTES_MAX = 4 << 20  # of one line, its end included
LINES_MAX = 500  # of one batch
BATCH_BYTES_MAX = 1 << 20  # of one batch, but for its last line

HEADER, END = "export", "end"

TIME_MAX = 2**53
ProfileId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,36}$")]
EntityId = ProfileId
GroupId = ProfileId
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
_Version = Annotated[int, Meta(ge=1, le=TIME_MAX)]
_ChannelCode = Annotated[str, Meta(min_length=1, max_length=64)]
_ChatNumber = Annotated[str, Meta(pattern=r"^[1-9][0-9]{0,15}$")]


class Line(Request):
    """What all lines have: they say what must be there before them, and what others may need of them."""

    PLAYERS: ClassVar[tuple[str, ...]] = ()
    """Members that are ids of players."""
    NEEDS: ClassVar[tuple[str, ...]] = ()
    """Members that are ids of what else must be there."""
    BRINGS: ClassVar[str] = ""
    """The member that is the id of what later lines may name."""

    def players(self) -> set[str]:
        """Return the ids of the players that it names."""
        return self._ids(self.PLAYERS)

    def needs(self) -> set[str]:
        """Return the ids of all that must be there before it."""
        return self.players() | self._ids(self.NEEDS)

    def brings(self) -> str | None:
        """Return the id of what later lines may name."""
        return getattr(self, self.BRINGS) if self.BRINGS else None

    def _ids(self, names: tuple[str, ...]) -> set[str]:
        return {found for name in names if (found := getattr(self, name)) is not None}


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


class Player(Line):
    """A player, with identities, statistics, experience and balances."""

    PLAYERS = ("profile_id",)
    BRINGS = "profile_id"

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


class Entity(Line):
    """An entity of a player."""

    PLAYERS = ("profile_id",)

    profile_id: ProfileId
    entity_id: EntityId
    entity_type: documents.Name
    data: FreeObject
    acl: dict[str, Any] | None = None
    version: _Version = 1
    is_singleton: bool = False
    created_at: _Time | None = None
    updated_at: _Time | None = None


class GlobalEntity(Line):
    """An entity of the app; without an owner it is the system's."""

    PLAYERS = ("owner_id",)

    entity_id: EntityId
    entity_type: documents.Name
    data: FreeObject
    owner_id: ProfileId | None = None
    entity_indexed_id: _Text | None = None
    acl: dict[str, Any] | None = None
    version: _Version = 1
    time_to_live: Annotated[int, Meta(ge=-1, le=TIME_MAX)] = -1
    expires_at: _Time | None = None
    created_at: _Time | None = None
    updated_at: _Time | None = None


class GlobalStatistics(Line):
    """Values that all players share."""

    statistics: _Statistics


class Leaderboard(Line):
    """A board. One that the app declares stays as it is declared."""

    BRINGS = "leaderboard_id"

    leaderboard_id: _BoardId
    leaderboard_type: BoardType
    entry_type: EntryType = EntryType.PLAYER
    rotation_type: Rotation = Rotation.NEVER
    num_days_to_rotate: Annotated[int, Meta(ge=0, le=DAYS_MAX)] = 0
    reset_at: _Time | None = None
    retained_count: Annotated[int, Meta(ge=1, le=RETAINED_MAX)] = 1
    data: FreeObject | None = None


class Score(Line):
    """A score of the version of a board that is running."""

    PLAYERS = ("profile_id",)
    NEEDS = ("leaderboard_id", "group_id")

    leaderboard_id: _BoardId
    score: Annotated[int, Meta(ge=-SCORE_MAX, le=SCORE_MAX)]
    profile_id: ProfileId | None = None
    group_id: GroupId | None = None
    """Whose it is, where groups have the scores."""
    entry_id: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,36}$")] | None = None
    """Where a player has many scores on the board: which of them it is."""
    data: FreeObject | None = None
    created_at: _Time | None = None
    updated_at: _Time | None = None


# Who belongs together


class Friend(Line):
    """Two players who are friends, both ways; one line is enough for the two."""

    PLAYERS = ("profile_id", "friend_id")

    profile_id: ProfileId
    friend_id: ProfileId
    platforms: Annotated[list[str], Meta(min_length=1, max_length=8)] = field(
        default_factory=lambda: ["brainCloud"]
    )
    created_at: _Time | None = None


class Block(Line):
    """A player who wants nothing of another one."""

    PLAYERS = ("profile_id", "blocked_id")

    profile_id: ProfileId
    blocked_id: ProfileId
    created_at: _Time | None = None


class Group(Line):
    """A group, with one member, its owner."""

    PLAYERS = ("owner_id",)
    BRINGS = "group_id"

    group_id: GroupId
    group_type: Annotated[str, Meta(min_length=1, max_length=64)]
    owner_id: ProfileId
    name: _Text = ""
    is_open_group: bool = False
    acl: dict[str, Any] | None = None
    version: _Version = 1
    data: FreeObject | None = None
    summary_data: FreeObject | None = None
    default_member_attributes: FreeObject | None = None
    owner_attributes: FreeObject | None = None
    owner_since: _Time | None = None
    created_at: _Time | None = None
    updated_at: _Time | None = None


class GroupMember(Line):
    """A member of a group; with a reason, somebody who is invited, or waits to be let in."""

    PLAYERS = ("profile_id",)
    NEEDS = ("group_id",)

    group_id: GroupId
    profile_id: ProfileId
    role: Literal["ADMIN", "MEMBER"] = "MEMBER"
    attributes: FreeObject | None = None
    pending_reason: Literal["INVITED_TO_JOIN", "ASKED_TO_JOIN"] | None = None
    since: _Time | None = None


class GroupEntity(Line):
    """An entity of a group; without an owner it is the group's own."""

    PLAYERS = ("owner_id",)
    NEEDS = ("group_id",)

    group_id: GroupId
    entity_id: EntityId
    data: FreeObject
    entity_type: documents.Name | None = None
    owner_id: ProfileId | None = None
    acl: dict[str, Any] | None = None
    version: _Version = 1
    created_at: _Time | None = None
    updated_at: _Time | None = None


# What they say to each other


class Sender(Request):
    """Who a message is from, as they were called then; without an id it is the system."""

    id: ProfileId | None = None
    name: _Text | None = None
    pic: Annotated[str, Meta(max_length=2048)] | None = None


class ChatChannel(Line):
    """A channel of a chat that somebody has posted to, or a server has made."""

    NEEDS = ("channel_code",)

    channel_type: Literal["gl", "gr", "dy", "sy"]
    channel_code: _ChannelCode
    last_msg_id: _ChatNumber | None = None
    """The last id that a message or a change of one has had: the next one is greater."""
    used_at: _Time | None = None


class ChatMessage(Line):
    """A message that a channel keeps."""

    NEEDS = ("channel_code",)

    channel_type: Literal["gl", "gr", "dy", "sy"]
    channel_code: _ChannelCode
    msg_id: _ChatNumber
    content: FreeObject
    date: _Time
    from_: Sender = field(name="from", default_factory=Sender)
    ver: _Version = 1
    updated_at: _Time | None = None

    def players(self) -> set[str]:
        """Return who it is from."""
        return set() if self.from_.id is None else {self.from_.id}


class Boxed(Request):
    """A message as it lies in a box of a player. Who has deleted it has it no longer, and is named in it."""

    profile_id: ProfileId
    msgbox: Literal["inbox", "sent"] = "inbox"
    read: bool = False
    is_deleted: bool = False
    mb_ver: _Version = 1
    mb_cr: _Time | None = None
    mb_up: _Time | None = None


class Message(Line):
    """A message, and the boxes that it lies in: that of the sender, and those it went to, in their order."""

    msg_id: EntityId
    content: FreeObject
    boxes: Annotated[list[Boxed], Meta(min_length=1, max_length=1000)]
    msg_cr: _Time
    from_: Sender = field(name="from", default_factory=Sender)
    msg_ver: _Version = 1
    msg_up: _Time | None = None

    def players(self) -> set[str]:
        """Return who it is from, and in whose boxes it lies."""
        sender = set() if self.from_.id is None else {self.from_.id}
        return sender | {box.profile_id for box in self.boxes}


class Event(Line):
    """An event that waits for a player."""

    PLAYERS = ("to_player_id", "from_player_id")

    ev_id: Annotated[str, Meta(pattern=r"^[0-9a-f]{24}$")]
    to_player_id: ProfileId
    created_at: _Time
    event_type: _Text = ""
    event_data: FreeObject | None = None
    from_player_id: ProfileId | None = None


# What is not here

ELSEWHERE = {
    "globalProperty": "this server has no global properties; put what they say into a global entity",
    "customEntity": "this server has no custom entities; a global entity keeps its data",
}
"""Types of lines that other services' data may have, and why nothing is taken of them."""
