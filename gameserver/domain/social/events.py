"""Events: short notes that players, servers and the game itself send to a player, who reads and deletes them.

An event waits in the receiver's list until the receiver deletes it, or it gets too old. It is told by every
way there is, once by each: the list itself, the state that a login answers with, the answer to the next
packet of a session that is open when the event comes, and the sockets of the receiver.

The way into answers costs players without events nothing. After the commit the receiver's sessions get a
mark, which their next admission tells of; only then does a packet look for events that no answer has told.
The statement that finds them notes so, in the packet's own transaction.
"""

import asyncio
import secrets
from collections.abc import Callable, Collection, Sequence
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    String,
    Table,
    bindparam,
    delete,
    func,
    literal_column,
    select,
    update,
)

from gameserver.apps import App, Settings
from gameserver.documents.documents import StoredBytes, data_out
from gameserver.players import quotas
from gameserver.players.lifecycle import PlayerTable
from gameserver.players.profiles import players
from gameserver.players.states import PlayerEvent
from gameserver.sessions import SessionStore
from gameserver.storage import Json, Row, Transaction, insert_row, json_rows, metadata
from gameserver.storage.expiry import Expiry
from gameserver.storage.tables import StoredBy
from gameserver.storage.timeline import DAY_MS, first_id

TYPE_MAX = 256  # characters of an event's type
EVENT_SERVICE, GET_EVENTS = "event", "GET_EVENTS"  # so a message over real-time connections is called, too
SYSTEM = ""  # who events are from that no player sends
STATE_MAX = 100  # of the newest that a player's state tells of, each way
ANSWERED_MAX = 50  # events that one answer brings along
FRAME_DATA_MAX = 16 << 10  # bytes: written as ASCII it stays below the 64 KiB of a frame
SAMPLE = """\
# Events that players send each other. One that nobody deletes is kept for this many days; its data has so
# many bytes of JSON at most, and one call sends it to so many players. More limits are in [quotas].
[event]
#keep_days = 30
#data_bytes = 10240
#recipients = 50
# Whether answers to a player's packets bring along the events that have come for the player, under `events`,
# and how many of others' at once: some clients call back once for each, with all of them.
#in_answers = true
#per_answer = 1
"""


class EventSettings(Settings, kw_only=True):
    """Events that players send each other."""

    keep_days: Annotated[
        int, Meta(ge=1, le=3650, description="Days that an event is kept which nobody deletes.")
    ] = 30
    data_bytes: Annotated[
        int, Meta(ge=2, le=FRAME_DATA_MAX, description="Bytes of JSON that the data of an event may have.")
    ] = 10 << 10
    recipients: Annotated[
        int, Meta(ge=1, le=1000, description="Players that one call may send an event to.")
    ] = 50
    in_answers: Annotated[
        bool, Meta(description="Whether answers to packets bring along events that have come.")
    ] = True
    per_answer: Annotated[
        int,
        Meta(
            ge=1,
            le=ANSWERED_MAX,
            description="Events of others that one answer brings along; the next packet gets the next ones. "
            "The SDK for JavaScript calls back once for each, with the whole list.",
        ),
    ] = 1


class ToldEvent(PlayerEvent):
    """An event as an answer brings it along. Older clients know a number, and the app's id."""

    event_id: int
    game_id: str


class Event(NamedTuple):
    """An event as it is stored. `data` is JSON text; `from_id` is `SYSTEM` where no player has sent it."""

    ev_id: str
    app_id: str
    from_id: str
    owner_id: str
    event_type: str
    data: str
    created_ms: int

    def shown(self) -> PlayerEvent:
        """Return the event as clients read it."""
        return PlayerEvent(**self._members())

    def told(self) -> ToldEvent:
        """Return the event as an answer brings it along."""
        return ToldEvent(event_id=int(self.ev_id[-12:], 16), game_id=self.app_id, **self._members())

    def _members(self) -> dict[str, Any]:
        return {
            "ev_id": self.ev_id,
            "event_type": self.event_type,
            "from_player_id": self.from_id,
            "to_player_id": self.owner_id,
            "created_at": self.created_ms,
            "event_data": data_out(self.data),
        }


def of_row(row: Row) -> Event:
    """Return the event in a row of the table."""
    return Event(*(row[name] for name in Event._fields))


_State = list[tuple[str, str, str, str, str, msgspec.Raw, int]]
_read_state = msgspec.json.Decoder(_State).decode


def from_state(stored: str) -> list[PlayerEvent]:
    """Return the events in a value of the columns `INCOMING` and `SENT`, the oldest first."""
    rows = sorted(_read_state(stored), key=lambda row: row[0])
    return [Event(*row[:5], bytes(row[5]).decode(), row[6]).shown() for row in rows]


# Sending


async def send(
    tx: Transaction,
    app_id: str,
    from_id: str,
    to_ids: Sequence[str],
    event_type: str,
    data: str,
    now_ms: int,
    random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    *,
    place: int = 0,
    answered: Collection[str] = (),
) -> list[Event]:
    """Store an event for players who exist, one for each; returns them, for `wake` after the commit.

    `place` orders events of one time. Those who are `answered` get it by the very answer.
    """
    events = [
        Event(
            f"{first_id(now_ms)}{(place + index) & 0xFFFF:04x}{random_bytes(4).hex()}",
            app_id,
            from_id,
            owner_id,
            event_type,
            data,
            now_ms,
        )
        for index, owner_id in enumerate(to_ids)
    ]
    for event in events:
        await tx.defer(ADD, **event._asdict(), is_told=event.owner_id in answered)
    return events


async def wake(sessions: SessionStore, events: Collection[Event]) -> None:
    """Mark the sessions of those who have got events, once these are committed.

    What a crash forgets is found by `sweep`.
    """
    # Together, which is one round trip for all of them.
    await asyncio.gather(*(sessions.mark(event.app_id, event.owner_id, event.created_ms) for event in events))


async def untold(tx: Transaction, app_id: str, profile_id: str, since_ms: int, most: int) -> list[Event]:
    """Return events since a time that no answer has told, the oldest first, and note that one tells them."""
    rows = await tx.all(TELL, profile=profile_id, app=app_id, since=since_ms, most=most)
    return sorted(map(of_row, rows))


# Storage

player_events = Table(
    "player_events",
    metadata,
    Column("owner_id", String(36), primary_key=True),
    Column("ev_id", String(24), primary_key=True),
    Column("app_id", String(64), nullable=False),
    Column("from_id", String(36), nullable=False),
    Column("event_type", String(TYPE_MAX), nullable=False),
    Column("data", Json, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("is_told", Boolean, nullable=False),  # by an answer
    Index("player_events_by_sender", "from_id", "ev_id"),
    Index("player_events_by_age", "app_id", "created_ms"),
    info={"stored_by": StoredBy.PLAYER},
)
_c = player_events.c
KEPT = PlayerTable(
    player_events,
    ("owner_id", "from_id"),
    {
        "evId": _c.ev_id,
        "eventType": _c.event_type,
        "fromPlayerId": _c.from_id,
        "toPlayerId": _c.owner_id,
        "createdAt": _c.created_ms,
        "eventData": _c.data,
    },
    untold={"is_told": "whether an answer has told of it means nothing to the player"},
    reset=True,
)
EXPIRY = Expiry(_c.created_ms, _c.app_id == bindparam("app", type_=String))


def kept_ms(app: App) -> int:
    """How long an app wants events to be kept."""
    return app.section(EventSettings).keep_days * DAY_MS


COLUMNS = tuple(_c[name] for name in Event._fields)
ADD = insert_row(player_events)
# Spelled so that no index of an app's events seems good for those of a player: SQLite would read them all.
_THIS_APP = _c.app_id.concat("") == bindparam("app", type_=String)
_TO = (_c.owner_id == bindparam("profile"), _THIS_APP)
_ONE = (*_TO, _c.ev_id == bindparam("event"))
_OLDER = (*_TO, _c.created_ms < bindparam("before", type_=BigInteger))
READ = select(*COLUMNS).where(*_TO).order_by(_c.ev_id)
READ_ONE = select(*COLUMNS).where(*_ONE)
SET_DATA = update(player_events).where(*_ONE).values(data=bindparam("new_data"))
DELETE_ONE = delete(player_events).where(*_ONE)
DELETE_SOME = delete(player_events).where(*_TO, _c.ev_id.in_(bindparam("events", expanding=True)))
DELETE_OLDER = delete(player_events).where(*_OLDER)
DELETE_OLDER_OF_TYPE = delete(player_events).where(*_OLDER, _c.event_type == bindparam("of_type"))
_SINCE = (*_TO, _c.is_told.is_(False), _c.created_ms >= bindparam("since", type_=BigInteger))
TELL = (
    update(player_events)
    .where(
        *_SINCE,
        _c.ev_id.in_(
            select(_c.ev_id).where(*_SINCE).order_by(_c.ev_id).limit(bindparam("most", type_=BigInteger))
        ),
    )
    .values(is_told=True)
    .returning(*COLUMNS)
)
NEW_ONES = (  # of a short time: the index by age finds them
    select(_c.owner_id, func.min(_c.created_ms).label("since"))
    .where(
        _c.app_id == bindparam("app"),
        _c.created_ms >= bindparam("since", type_=BigInteger),
        _c.created_ms < bindparam("until", type_=BigInteger),
        _c.is_told.is_(False),
        _c.owner_id > bindparam("after"),
    )
    .group_by(_c.owner_id)
    .order_by(_c.owner_id)
    .limit(bindparam("most", type_=BigInteger))
)
QUOTA = quotas.Kept(
    "events",
    "events",
    "event_bytes",
    select(func.count(), func.coalesce(func.sum(StoredBytes(_c.data)), literal_column("0")))
    .select_from(player_events)
    .where(_c.owner_id == bindparam("owner"), _THIS_APP, _c.ev_id != bindparam("but")),
)


def _newest(name: str, column: Column[Any]) -> Any:
    """The newest events of a player as a column beside the player's own."""
    some = (
        select(*COLUMNS)
        .where(
            column == players.c.profile_id,
            _c.app_id.concat(literal_column("''", String)) == players.c.app_id,
        )
        .order_by(_c.ev_id.desc())
        .limit(literal_column(str(STATE_MAX)))
        .correlate(players)
        .subquery()
    )
    return select(json_rows(*some.c)).scalar_subquery().label(name)


INCOMING = _newest("incoming_events", _c.owner_id)
SENT = _newest("sent_events", _c.from_id)
