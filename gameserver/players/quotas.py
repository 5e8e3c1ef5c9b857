"""What one player, or one network address, may take of a server that all share.

The limits are those of the app's `[quotas]`. They are for clients; what servers of the studio do is not
counted, though what they make for a player is part of what the player has.

Nothing here costs a round trip of its own on the usual way: each process counts for itself. What is counted
in a window of time (logins, new players, new boards) is exact in each process. What players keep is
counted by what they add; when that may have come to a part of the limit, the database is asked how much there
is, under the player's lock. So a player may have more than the limit by no more than what each process lets
them add before it looks, which is a 32nd, and nothing at all where the limit is below 32.
"""

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated

import structlog
from msgspec import Meta

from gameserver.apps import App, Settings
from gameserver.players.lockout import network_of
from gameserver.storage import Payer, Statement, Transaction, locks
from gameserver.wire.errors import GameError, RateLimited

log = structlog.get_logger(__name__)

SECTION = "quotas"
SAMPLE = """\
# What one player, or one network address, may take of the server. Who takes more is refused, with the name
# of the limit. Servers of yours have no such limits. Each server process counts for itself.
[quotas]
# Packets and requests of a player in a minute, over all their sessions and ways to call.
#packets_per_minute = 1200
# Seconds of the database's time that a player's searches may take in a minute.
#search_seconds = 10.0
# Entities of a player, global entities that belong to one, and how many bytes they may come to.
#entities = 10000
#entity_bytes = 33554432
#global_entities = 1000
#global_entity_bytes = 16777216
# Entities of a group, and how many bytes they may come to.
#group_entities = 1000
#group_entity_bytes = 16777216
# Leaderboards that the scores of one player may make in a day.
#boards_per_day = 100
# Events that wait for a player, how many bytes they may come to, and events that a player sends in a minute.
#events = 500
#event_bytes = 1048576
#events_per_minute = 120
# Friends of a player, and players whom one may block.
#friends = 1000
#blocks = 1000
# Groups that a player is in, groups that one is invited to or waits to be let into, and how often in a minute
# one joins, leaves, invites and the like.
#groups = 100
#group_requests = 100
#group_changes_per_minute = 120
# Messages in a player's boxes, how many bytes they may come to, and messages that a player sends in a minute.
#messages = 1000
#message_bytes = 4194304
#messages_per_minute = 60
# Notifications that a player sends in a minute, one to each receiver or group; such as wait for their time,
# and how many bytes these may come to. Mails that a player sends in an hour, one to each address.
#pushes_per_minute = 120
#scheduled_pushes = 100
#scheduled_push_bytes = 262144
#mails_per_hour = 20
# Lines of a chat that a player posts and changes in a minute, and channels that a player makes in a day.
#chat_messages_per_minute = 60
#chat_channels_per_day = 100
# Logins of one network address in a minute, new players of one in an hour, and logins in one packet. All
# players behind a proxy that --proxies does not name have one address.
#logins_per_address = 3000
#new_players_per_address = 1000
#logins_per_packet = 1
"""

PARTS = 32  # of a limit, one of which may be added between two looks at what there is
OWNERS_MAX = 50_000  # players whose additions are remembered; of one who is forgotten it begins anew
WINDOWS_SWEPT = 10_000  # entries after which those whose time is over are looked for
MINUTE, HOUR, DAY = 60, 3600, 86_400

Number = Annotated[int, Meta(ge=0, le=2**53)]


class QuotaSettings(Settings, kw_only=True):
    """What one player, or one network address, may take of the server."""

    packets_per_minute: Annotated[
        int,
        Meta(
            ge=1,
            le=2**53,
            description="Packets and requests of a player in a minute, over all sessions and faces. One "
            "session sends at most 1200 packets, whatever this says.",
        ),
    ] = 1200
    search_seconds: Annotated[
        float,
        Meta(
            ge=0.1,
            le=3600,
            description="Seconds of the database's time that a player's searches may take in a minute.",
        ),
    ] = 10.0
    entities: Annotated[Number, Meta(description="Entities that a player may have.")] = 10_000
    entity_bytes: Annotated[
        Number, Meta(description="Bytes that the data of a player's entities may come to, as stored.")
    ] = 32 << 20
    global_entities: Annotated[Number, Meta(description="Global entities that may belong to one player.")] = (
        1000
    )
    global_entity_bytes: Annotated[
        Number, Meta(description="Bytes that the data of a player's global entities may come to, as stored.")
    ] = 16 << 20
    group_entities: Annotated[Number, Meta(description="Entities that a group may have.")] = 1000
    group_entity_bytes: Annotated[
        Number, Meta(description="Bytes that the data of a group's entities may come to, as stored.")
    ] = 16 << 20
    boards_per_day: Annotated[
        Number, Meta(description="Leaderboards that the scores of one player may make in a day.")
    ] = 100
    events: Annotated[Number, Meta(description="Events that may wait for a player.")] = 500
    event_bytes: Annotated[
        Number, Meta(description="Bytes that the data of the events of a player may come to, as stored.")
    ] = 1 << 20
    events_per_minute: Annotated[
        Number, Meta(description="Events that a player may send in a minute, one to each receiver or group.")
    ] = 120
    friends: Annotated[int, Meta(ge=0, le=10_000, description="Friends that a player may have.")] = 1000
    blocks: Annotated[int, Meta(ge=0, le=10_000, description="Players that a player may block.")] = 1000
    groups: Annotated[int, Meta(ge=0, le=10_000, description="Groups that a player may be in.")] = 100
    group_requests: Annotated[
        int,
        Meta(ge=0, le=10_000, description="Groups that a player may be invited to, or wait to be let into."),
    ] = 100
    group_changes_per_minute: Annotated[
        Number,
        Meta(description="How often in a minute a player may join, leave, invite, add and the like."),
    ] = 120
    messages: Annotated[Number, Meta(description="Messages that a player may have in their boxes.")] = 1000
    message_bytes: Annotated[
        Number, Meta(description="Bytes that a player's messages may come to, as stored.")
    ] = 4 << 20
    messages_per_minute: Annotated[
        Number, Meta(description="Messages that a player may send in a minute.")
    ] = 60
    pushes_per_minute: Annotated[
        Number,
        Meta(
            description="Notifications that a player may send in a minute: one for each receiver. A group "
            "counts as its members, and as one minute's at most."
        ),
    ] = 120
    scheduled_pushes: Annotated[
        Number, Meta(description="Notifications of a player that may wait for their time.")
    ] = 100
    scheduled_push_bytes: Annotated[Number, Meta(description="Bytes that these may come to, as stored.")] = (
        256 << 10
    )
    mails_per_hour: Annotated[
        Number, Meta(description="Mails that a player may send in an hour, one to each address.")
    ] = 20
    chat_messages_per_minute: Annotated[
        Number, Meta(description="Lines of a chat that a player may post and change in a minute.")
    ] = 60
    chat_channels_per_day: Annotated[
        Number, Meta(description="Channels of the chat that a player may make in a day.")
    ] = 100
    logins_per_address: Annotated[
        int, Meta(ge=1, le=2**53, description="Logins of one network address in a minute.")
    ] = 3000
    new_players_per_address: Annotated[
        Number, Meta(description="New players of one network address in an hour.")
    ] = 1000
    logins_per_packet: Annotated[int, Meta(ge=1, le=50, description="Logins in one packet.")] = 1


# Errors


class QuotaReached(GameError):
    """The player, or the group, has as much of something as `[quotas]` allow; the message names the limit."""

    status = HTTPStatus.FORBIDDEN
    reason_code = 40371


# Rules


_UNLIMITED = 1e9
_NOT_COUNTED = (0, 0)


def payer(app: App, profile_id: str | None, address: str, *, is_server: bool) -> Payer:
    """Return who pays for what a packet reads: the player, who is at the address, or the app's servers."""
    if is_server:
        return Payer(f"{app.id}/servers", _UNLIMITED)
    return Payer(profile_id or f"{app.id}/{address}", app.section(QuotaSettings).search_seconds)


@dataclass(frozen=True)
class Kept:
    """A kind of things that players keep: the names of its settings, and the statement that counts them.

    `measure` takes `owner`, `app` and `but`, the id of one that is left out, and returns how many there are
    and how many bytes they come to. `lock` is taken meanwhile: from the app and the owner to its name. `of`
    is what owns them, for the words of a refusal.
    """

    name: str
    count: str
    size: str
    measure: Statement
    of: str = "player"
    lock: Callable[[str, str], str] = lambda _app_id, owner: locks.player_lock(owner)


_Added = tuple[int, int, int, int]
"""Things and bytes that a player has added since the last look, and may add before the next one."""


class Quotas:
    """The counts of one process."""

    def __init__(self) -> None:
        self._windows: dict[tuple[str, ...], tuple[int, int]] = {}  # until when, in ms; how many
        self._sweep_at = WINDOWS_SWEPT
        self._added: dict[tuple[str, str], _Added] = {}

    # What happens in a window of time

    def call(self, app: App, profile_id: str, now_ms: int) -> None:
        """Count a packet or a request of a player, whichever session it came by. Raises `RateLimited`.

        The session's own count begins anew with each login; this one does not.
        """
        most = app.section(QuotaSettings).packets_per_minute
        key = (app.id, "packets_per_minute", profile_id)
        until, count = self._windows.get(key, _NOT_COUNTED)
        if now_ms < until and count < most and profile_id:  # as `_count` does, for what every packet pays
            self._windows[key] = until, count + 1
        else:
            self._count(app, "packets_per_minute", profile_id, most, MINUTE, now_ms)

    def log_in(self, app: App, address: str, now_ms: int) -> None:
        """Count a login. Raises `RateLimited`."""
        most = app.section(QuotaSettings).logins_per_address
        self._count(app, "logins_per_address", network_of(address), most, MINUTE, now_ms)

    def make_player(self, app: App, address: str, now_ms: int) -> Callable[[], None]:
        """Return what counts a new player, when it turns out that there will be one. Raises `RateLimited`."""

        def count() -> None:
            most = app.section(QuotaSettings).new_players_per_address
            self._count(app, "new_players_per_address", network_of(address), most, HOUR, now_ms)

        return count

    def make_board(self, app: App, profile_id: str, now_ms: int) -> None:
        """Count a leaderboard that a player's score makes. Raises `RateLimited`."""
        most = app.section(QuotaSettings).boards_per_day
        self._count(app, "boards_per_day", profile_id, most, DAY, now_ms)

    def send_events(self, app: App, profile_id: str, count: int, now_ms: int) -> None:
        """Count events that a player sends. Raises `RateLimited`."""
        most = app.section(QuotaSettings).events_per_minute
        self._count(app, "events_per_minute", profile_id, most, MINUTE, now_ms, count)

    def send_message(self, app: App, profile_id: str, now_ms: int) -> None:
        """Count a message that a player sends. Raises `RateLimited`."""
        most = app.section(QuotaSettings).messages_per_minute
        self._count(app, "messages_per_minute", profile_id, most, MINUTE, now_ms)

    def send_pushes(self, app: App, profile_id: str, count: int, now_ms: int) -> None:
        """Count notifications that a player sends. Raises `RateLimited`."""
        most = app.section(QuotaSettings).pushes_per_minute
        self._count(app, "pushes_per_minute", profile_id, most, MINUTE, now_ms, count)

    def send_mails(self, app: App, profile_id: str, count: int, now_ms: int) -> None:
        """Count mails that a player sends. Raises `RateLimited`."""
        most = app.section(QuotaSettings).mails_per_hour
        self._count(app, "mails_per_hour", profile_id, most, HOUR, now_ms, count)

    def change_group(self, app: App, profile_id: str, now_ms: int) -> None:
        """Count a change that a player makes to who is in a group. Raises `RateLimited`."""
        most = app.section(QuotaSettings).group_changes_per_minute
        self._count(app, "group_changes_per_minute", profile_id, most, MINUTE, now_ms)

    def post_chat(self, app: App, profile_id: str, now_ms: int) -> None:
        """Count a line of a chat that a player posts or changes. Raises `RateLimited`."""
        most = app.section(QuotaSettings).chat_messages_per_minute
        self._count(app, "chat_messages_per_minute", profile_id, most, MINUTE, now_ms)

    def make_chat(self, app: App, profile_id: str, now_ms: int) -> None:
        """Count a channel of the chat that a player makes. Raises `RateLimited`."""
        most = app.section(QuotaSettings).chat_channels_per_day
        self._count(app, "chat_channels_per_day", profile_id, most, DAY, now_ms)

    def _count(
        self, app: App, name: str, who: str, most: int, seconds: int, now_ms: int, cost: int = 1
    ) -> None:
        if not who:  # no address is known: nobody to count for
            return
        key = (app.id, name, who)
        until, count = self._windows.get(key, _NOT_COUNTED)
        if now_ms >= until:
            if len(self._windows) >= self._sweep_at:
                self._windows = {k: v for k, v in self._windows.items() if v[0] > now_ms}
                self._sweep_at = 2 * max(WINDOWS_SWEPT, len(self._windows))
            until, count = now_ms + seconds * 1000, 0
        self._windows[key] = until, count + cost
        if count <= most < count + cost:  # once in a window
            log.warning("quota_reached", app=app.id, quota=name, limit=most)
        if count + cost > most:
            raise RateLimited(f"the app allows {most} in {_words(seconds)} ({name}); try again later")

    # What is kept

    async def add(
        self,
        tx: Transaction,
        app: App,
        kept: Kept,
        owner: str,
        *,
        count: int = 0,
        size: int = 0,
        instead_of: str = "",
    ) -> None:
        """Count what a player adds, before it is written: things, and bytes. Raises `QuotaReached`.

        A change adds all its new bytes, for nobody knows the old ones, and that only brings the next look
        nearer; `instead_of` is the id of what changes, whose old bytes do not count then.
        """
        settings, key = app.section(QuotaSettings), (kept.name, owner)
        count_max, size_max = getattr(settings, kept.count), getattr(settings, kept.size)
        added = self._added.get(key)
        if added is None:
            if len(self._added) >= OWNERS_MAX:
                del self._added[next(iter(self._added))]
            added = (0, 0, count_max // PARTS, size_max // PARTS)
        things, stored, free_things, free_bytes = added
        if things + count <= free_things and stored + size <= free_bytes:
            self._added[key] = (things + count, stored + size, free_things, free_bytes)
            return
        self._added[key] = (0, 0, 0, 0)  # whoever comes meanwhile, or after a refusal, looks as well
        await tx.lock(kept.lock(app.id, owner))
        there = await tx.one(kept.measure, owner=owner, app=app.id, but=instead_of)
        assert there is not None, "a count is always there"
        if count and there[0] + count > count_max:
            raise QuotaReached(f"a {kept.of} may have {count_max} {kept.name} ({kept.count})")
        if size and there[1] + size > size_max:
            raise QuotaReached(
                f"data of a {kept.of}'s {kept.name} may come to {size_max} bytes ({kept.size})"
            )
        self._added[key] = (
            count,
            size,
            min(count_max // PARTS, count_max - there[0]),
            min(size_max // PARTS, size_max - there[1]),
        )


def _words(seconds: int) -> str:
    return {MINUTE: "a minute", HOUR: "an hour", DAY: "a day"}[seconds]
