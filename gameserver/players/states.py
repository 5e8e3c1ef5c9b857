"""Players' whole states: what READ answers with, and a login, in the very statement that notes it."""

from collections.abc import Callable, Iterable
from itertools import compress
from typing import Annotated, Any, NamedTuple, TypeVar, cast

import msgspec
from msgspec import Meta, field
from sqlalchemy import Boolean, Update, bindparam, exists, or_, select
from sqlalchemy.dialects import postgresql
from sqlalchemy.sql.dml import ReturningUpdate
from sqlalchemy.sql.elements import Label

from gameserver.apps import App, LiveApps
from gameserver.documents.documents import data_out
from gameserver.players import pairs, profiles
from gameserver.players.fields import (
    Balances,
    CountryCode,
    CurrenciesAfterRewards,
    ExperienceLevel,
    ExperiencePoints,
    FriendData,
    LanguageCode,
    PaidRewards,
    ParentBalances,
    PeerBalances,
    PictureUrl,
    PlayerName,
    RewardDetails,
    StatisticValues,
    TimeZoneOffset,
    XpCapped,
)
from gameserver.players.identities import ADD_FIRST, OF_PLAYER, THIS_IDENTITY, identities
from gameserver.players.profiles import Status
from gameserver.storage import MadeRow, Row, Transaction
from gameserver.wire.fields import ProfileId, ServerTime
from gameserver.wire.shapes import FreeValue, Reply

CREATE_PLAYER = profiles.CREATE.values(
    login_count=1, contact_email=bindparam("contact_email"), **profiles.COMES
)
# For a transaction that takes only one statement, and so for PostgreSQL.
CREATE_WITH_IDENTITY = CREATE_PLAYER.add_cte(
    cast("postgresql.Insert", ADD_FIRST.postgresql).cte("identity")
).returning(profiles.players.c.profile_id)
_SHOWN = (  # by `States.show`, in its order: a name costs SQLite's rows a search among all columns
    "profile_id",
    "name",
    "picture_url",
    "contact_email",
    "language_code",
    "country_code",
    "time_zone_offset",
    "created_ms",
    "last_login_ms",
    "previous_login_ms",
    "login_count",
    "is_tester",
    "ab_testing_id",
    "summary_friend_data",
    "statuses",
)
_NOT_SHOWN = tuple(column for column in profiles.STATE if column.name not in _SHOWN)
_COLUMNS = (*(profiles.players.c[name] for name in _SHOWN), *_NOT_SHOWN)
LOG_IN = profiles.LOG_IN.where(*profiles.THIS_PLAYER)
LOG_IN_BY_IDENTITY = profiles.LOG_IN.where(
    profiles.players.c.profile_id == select(identities.c.profile_id).where(*THIS_IDENTITY).scalar_subquery(),
    profiles.players.c.app_id == bindparam("app"),
)
LOG_IN_FROM_DEVICE = LOG_IN.where(or_(exists().where(*OF_PLAYER), pairs.is_known("possessed")))
LOG_IN_WITH_IDENTITY = LOG_IN.where(exists().where(*OF_PLAYER))
LOG_IN_WITH_PASSWORD = LOG_IN.where(exists().where(*OF_PLAYER, identities.c.digest == bindparam("digest")))

# What clients read at login and with READ


class LoginRewards(msgspec.Struct, rename="camel", frozen=True):
    """What the login itself has brought the player."""

    rewards: PaidRewards = field(default_factory=dict)
    reward_details: RewardDetails = field(default_factory=dict)
    currency: CurrenciesAfterRewards = field(default_factory=dict)


class PlayerEvent(Reply):
    """An event that waits for a player. `from_player_id` is empty where the system has sent it."""

    ev_id: Annotated[str, Meta(description="The id of the event.")]
    event_type: Annotated[str, Meta(description="The kind of event, in words of the game's own.")]
    from_player_id: Annotated[str, Meta(description="Who sent it; empty: the system.")]
    to_player_id: Annotated[str, Meta(description="For whom it is.")]
    created_at: Annotated[int, Meta(description="When it was sent: ms since 1970-01-01 UTC.")]
    event_data: Annotated[FreeValue, Meta(description="The object that was sent with it.")]


class PeerProfile(Reply):
    """A player's profile in a peer app."""

    profile_id: Annotated[str, Meta(description="The id of the player in the peer app.")]


class PlayerState(Reply, kw_only=True):
    """A player's whole state. Times are ms since 1970."""

    # As long as no service has something to say about it:
    parent_profile_id: Annotated[
        str | None, Meta(description="The id of the player's profile in the parent app, or null.")
    ] = None
    experience_points: ExperiencePoints = 0
    experience_level: ExperienceLevel = 0
    xp_capped: XpCapped = False
    currency: Balances = field(default_factory=dict)
    statistics: StatisticValues = field(default_factory=dict)
    amount_spent: Annotated[int, Meta(description="Always 0: this server sells nothing.")] = 0
    refund_count: Annotated[int, Meta(description="Always 0: this server sells nothing.")] = 0
    vc_purchased: Annotated[int, Meta(description="Always 0: this server sells nothing.")] = 0
    vc_claimed: Annotated[int, Meta(description="Always 0: this server sells nothing.")] = 0
    peer_profile_ids: Annotated[
        dict[str, PeerProfile], Meta(description="The player's profiles in peer apps, by peer.")
    ] = field(default_factory=dict)
    parent_currency: ParentBalances = field(default_factory=dict)
    peer_currency: PeerBalances = field(default_factory=dict)
    incoming_events: Annotated[list[PlayerEvent], Meta(description="Events that wait for the player.")] = (
        field(default_factory=list, name="incoming_events")
    )
    sent_events: Annotated[
        list[PlayerEvent], Meta(description="Events of the player that wait for others.")
    ] = field(default_factory=list, name="sent_events")
    rewards: Annotated[LoginRewards, Meta(description="What the login itself has brought the player.")] = (
        LoginRewards()
    )
    # What the row of the player holds:
    id: Annotated[str, Meta(description="The same as `profileId`.")]
    profile_id: ProfileId
    player_name: PlayerName
    picture_url: PictureUrl
    email_address: Annotated[
        str | None, Meta(description="The contact address, or null; nobody logs in with it.")
    ]
    language_code: LanguageCode
    country_code: CountryCode
    time_zone_offset: TimeZoneOffset
    created_at: Annotated[int, Meta(description="When the player was made: ms since 1970-01-01 UTC.")]
    last_login: Annotated[int, Meta(description="When the player last logged in: ms since 1970-01-01 UTC.")]
    previous_login: Annotated[
        int | None, Meta(description="The login before: ms since 1970-01-01 UTC; or null.")
    ]
    login_count: Annotated[int, Meta(description="How often the player has logged in.")]
    is_tester: Annotated[bool, Meta(description="Whether servers have marked the player as a tester.")]
    ab_testing_id: Annotated[
        int, Meta(description="A number from 1 to 100 that stays with the player, to try things with some.")
    ]
    summary_friend_data: FriendData
    statuses: Annotated[dict[str, Status], Meta(description="Timed statuses that hold, by name.")]
    server_time: ServerTime = field(name="server_time")


AnyState = TypeVar("AnyState", bound=PlayerState)


class StatePart(NamedTuple):
    """What a service adds to a player's state.

    `column` is a labelled scalar subquery on `players`, so that the state takes one statement however many
    services there are. `fill` sets members of the state from its value, which is None for a new player; it
    is given all apps and the player's. Who does not want it does not pay for it.
    """

    column: Label[Any]
    fill: Callable[[LiveApps, App, Any, PlayerState], None]
    wanted: Callable[[App], bool] = lambda _: True


class Noting(NamedTuple):
    """What notes a login: of a client that names no device of its own, and of one that does.

    The latter is for any device, or only for one that the player is known by, and tells whether they are.
    """

    alone: ReturningUpdate[Any]
    with_device: ReturningUpdate[Any]


class States:
    """Players' whole states, as the login answer and READ hold them. `parts` are what services add."""

    def __init__(self, parts: Iterable[StatePart] = ()) -> None:
        self._parts = tuple(parts)
        self._fills = [(part.fill, place) for place, part in enumerate(self._parts, len(_NOT_SHOWN))]
        self._some: dict[tuple[bool, ...], States] = {}
        self._of: dict[str, tuple[App, States]] = {}  # by app, as it was defined when somebody asked
        columns = (*_COLUMNS, *(part.column for part in self._parts))
        self._read = select(*columns).where(*profiles.THIS_PLAYER)
        is_known = pairs.is_known("device")

        def noting(login: Update) -> Noting:
            known = login.where(or_(bindparam("any_device", type_=Boolean), is_known))
            return Noting(
                login.returning(*columns), known.returning(*columns, is_known.label("knows_device"))
            )

        self.log_in = noting(LOG_IN)
        self.log_in_by_identity = noting(LOG_IN_BY_IDENTITY)
        self.log_in_from_device = noting(LOG_IN_FROM_DEVICE)
        self.log_in_with_identity = noting(LOG_IN_WITH_IDENTITY)
        self.log_in_with_password = noting(LOG_IN_WITH_PASSWORD)

    def of(self, app: App) -> "States":
        """Return the states of an app's players, with the parts that it wants."""
        known = self._of.get(app.id)
        if known is not None and known[0] is app:
            return known[1]
        wanted = tuple([part.wanted(app) for part in self._parts])
        found = self if all(wanted) else self._some.get(wanted)
        if found is None:
            found = self._some[wanted] = States(compress(self._parts, wanted))
        self._of[app.id] = app, found
        return found

    async def read(
        self, tx: Transaction, apps: LiveApps, app: App, profile_id: str, now_ms: int
    ) -> PlayerState | None:
        """Return a player's state; None when there is no such player."""
        row = await self.row(tx, app, profile_id)
        return None if row is None else self.show(PlayerState, apps, app, row, now_ms)

    async def row(self, tx: Transaction, app: App, profile_id: str) -> Row | None:
        """Return what `show` needs of a player; None when there is no such player."""
        return await tx.one(self._read, profile=profile_id, app=app.id)

    def show(
        self,
        shape: Callable[..., AnyState],
        apps: LiveApps,
        app: App,
        row: Row,
        now_ms: int,
        *,
        is_new: bool = False,
    ) -> AnyState:
        """Return the state in a row of a login. The row of a new player has nothing of the services' yet.

        `shape` makes the reply, `PlayerState` or one with more members, from those that the row holds.
        """
        (
            profile_id,
            name,
            picture_url,
            email_address,
            language_code,
            country_code,
            time_zone_offset,
            created_ms,
            last_login_ms,
            previous_login_ms,
            login_count,
            is_tester,
            ab_testing_id,
            summary,
            statuses,
            *others,
        ) = row
        state = shape(
            id=profile_id,
            profile_id=profile_id,
            player_name=name,
            picture_url=picture_url,
            email_address=email_address,
            language_code=language_code,
            country_code=country_code,
            time_zone_offset=profiles.number(time_zone_offset),
            created_at=created_ms,
            last_login=last_login_ms,
            previous_login=previous_login_ms,
            login_count=login_count,
            is_tester=is_tester,
            ab_testing_id=ab_testing_id,
            summary_friend_data=None if summary is None else data_out(summary),
            statuses={} if statuses is None else profiles.active_statuses(statuses, now_ms),
            server_time=now_ms,
        )
        for fill, place in self._fills:
            fill(apps, app, None if is_new else others[place], state)
        return state


ROW_ALONE = States()
_NEW: dict[str, Any] = {  # in the order of a row
    **dict.fromkeys(column.name for column in _COLUMNS),
    "name": "",
    "login_count": 1,
    "is_tester": False,
    "is_disabled": False,
    "session_epoch": 0,
}


async def create_player(
    tx: Transaction,
    app_id: str,
    profile_id: str,
    now_ms: int,
    *,
    identity: dict[str, Any] | None = None,
    is_whole: bool = False,
    **said: Any,
) -> Row:
    """Make a player who logs in for the first time; returns their row, which nobody has to wait for.

    `identity` is the row of what they log in with; where it is taken the transaction ends with `Conflict`.
    `is_whole`: it `takes_only` this, which ends it. `said` are the language, the country, the distance from
    UTC, and the contact address.
    """
    known = {
        "profile_id": profile_id,
        "app_id": app_id,
        "ab_testing_id": profiles.ab_testing_id(profile_id),
        **said,
    }
    if identity is None:
        await tx.defer(CREATE_PLAYER, now_ms=now_ms, **known)
    elif is_whole:
        await tx.only(CREATE_WITH_IDENTITY, now_ms=now_ms, **(identity | known))
    else:
        await tx.defer(ADD_FIRST, **identity)
        await tx.defer(CREATE_PLAYER, now_ms=now_ms, **known)
    return MadeRow({**_NEW, **known, "created_ms": now_ms, "last_login_ms": now_ms})
