"""Players' whole states: what READ answers with, and a login, in the very statement that notes it."""

from collections.abc import Callable, Iterable
from itertools import compress
from typing import Annotated, Any, NamedTuple, TypeVar

import msgspec
from msgspec import Meta, field
from sqlalchemy import Boolean, Update, bindparam, exists, or_, select
from sqlalchemy.sql.dml import ReturningUpdate
from sqlalchemy.sql.elements import Label

from gameserver.apps import App, LiveApps
from gameserver.documents.documents import data_out
from gameserver.players import pairs, profiles
from gameserver.players.identities import OF_PLAYER, THIS_IDENTITY, identities
from gameserver.players.profiles import Status
from gameserver.storage import Row, Transaction
from gameserver.wire.shapes import FreeValue, Reply

CREATE_PLAYER = profiles.CREATE.values(login_count=1, contact_email=bindparam("contact_email")).returning(
    *profiles.STATE
)
LOG_IN = profiles.LOG_IN.where(*profiles.THIS_PLAYER)
LOG_IN_BY_IDENTITY = profiles.LOG_IN.where(
    profiles.players.c.profile_id == select(identities.c.profile_id).where(*THIS_IDENTITY).scalar_subquery(),
    profiles.players.c.app_id == bindparam("app"),
)
LOG_IN_FROM_DEVICE = LOG_IN.where(or_(exists().where(*OF_PLAYER), pairs.is_known("possessed")))
LOG_IN_WITH_IDENTITY = LOG_IN.where(exists().where(*OF_PLAYER))
LOG_IN_WITH_PASSWORD = LOG_IN.where(exists().where(*OF_PLAYER, identities.c.digest == bindparam("digest")))

# What clients read at login and with READ


class Balance(Reply):
    """What a player has of a currency, and what it was added up from since the last reset."""

    purchased: Annotated[int, Meta(description="Bought since the last reset.")] = 0
    balance: Annotated[int, Meta(description="What the player has.")] = 0
    consumed: Annotated[int, Meta(description="Spent since the last reset.")] = 0
    awarded: Annotated[int, Meta(description="Awarded since the last reset.")] = 0
    revoked: Annotated[int, Meta(description="Taken back since the last reset.")] = 0


class LoginRewards(msgspec.Struct, rename="camel", frozen=True):
    """What the login itself has brought the player."""

    rewards: dict[str, Any] = field(default_factory=dict)
    reward_details: dict[str, Any] = field(default_factory=dict)
    currency: dict[str, Balance] = field(default_factory=dict)


class PlayerEvent(Reply):
    """An event that waits for a player. `from_player_id` is empty where the system has sent it."""

    ev_id: str
    event_type: str
    from_player_id: str
    to_player_id: str
    created_at: int
    event_data: FreeValue


class PlayerState(Reply, kw_only=True):
    """A player's whole state. Times are ms since 1970."""

    # As long as no service has something to say about it:
    parent_profile_id: str | None = None
    experience_points: int = 0
    experience_level: int = 0
    xp_capped: bool = False
    currency: dict[str, Balance] = field(default_factory=dict)
    statistics: dict[str, float] = field(default_factory=dict)
    amount_spent: int = 0
    refund_count: int = 0
    vc_purchased: int = 0
    vc_claimed: int = 0
    peer_profile_ids: dict[str, str] = field(default_factory=dict)
    parent_currency: dict[str, dict[str, Balance]] = field(default_factory=dict)
    peer_currency: dict[str, dict[str, Balance]] = field(default_factory=dict)
    incoming_events: list[PlayerEvent] = field(default_factory=list, name="incoming_events")
    sent_events: list[PlayerEvent] = field(default_factory=list, name="sent_events")
    rewards: LoginRewards = LoginRewards()
    # What the row of the player holds:
    id: str
    profile_id: str
    player_name: str
    picture_url: str | None
    email_address: str | None
    language_code: str | None
    country_code: str | None
    time_zone_offset: float
    created_at: int
    last_login: int
    previous_login: Annotated[int | None, Meta(description="Null until the second login.")]
    login_count: int
    is_tester: bool
    ab_testing_id: int
    summary_friend_data: FreeValue
    statuses: dict[str, Status]
    server_time: int = field(name="server_time")


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


class States:
    """Players' whole states, as the login answer and READ hold them. `parts` are what services add."""

    def __init__(self, parts: Iterable[StatePart] = ()) -> None:
        self._parts = tuple(parts)
        self._some: dict[tuple[bool, ...], States] = {}
        columns = (*profiles.STATE, *(part.column for part in self._parts))
        self._read = select(*columns).where(*profiles.THIS_PLAYER)
        is_known = pairs.is_known("device")

        def noting(login: Update) -> ReturningUpdate[Any]:
            """The login from any device, or only from one that the player is known by."""
            wanted = login.where(or_(bindparam("any_device", type_=Boolean), is_known))
            return wanted.returning(*columns, is_known.label("knows_device"))

        self.log_in = noting(LOG_IN)
        self.log_in_by_identity = noting(LOG_IN_BY_IDENTITY)
        self.log_in_from_device = noting(LOG_IN_FROM_DEVICE)
        self.log_in_with_identity = noting(LOG_IN_WITH_IDENTITY)
        self.log_in_with_password = noting(LOG_IN_WITH_PASSWORD)

    def of(self, app: App) -> "States":
        """Return the states of an app's players, with the parts that it wants."""
        wanted = tuple([part.wanted(app) for part in self._parts])
        if all(wanted):
            return self
        found = self._some.get(wanted)
        if found is None:
            found = self._some[wanted] = States(compress(self._parts, wanted))
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
        summary = row["summary_friend_data"]
        state = shape(
            id=row["profile_id"],
            profile_id=row["profile_id"],
            player_name=row["name"],
            picture_url=row["picture_url"],
            email_address=row["contact_email"],
            language_code=row["language_code"],
            country_code=row["country_code"],
            time_zone_offset=profiles.number(row["time_zone_offset"]),
            created_at=row["created_ms"],
            last_login=row["last_login_ms"],
            previous_login=row["previous_login_ms"],
            login_count=row["login_count"],
            is_tester=row["is_tester"],
            ab_testing_id=row["ab_testing_id"],
            summary_friend_data=None if summary is None else data_out(summary),
            statuses=profiles.active_statuses(row["statuses"], now_ms),
            server_time=now_ms,
        )
        for part in self._parts:
            part.fill(apps, app, None if is_new else row[part.column.name], state)
        return state


ROW_ALONE = States()
