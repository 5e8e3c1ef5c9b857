"""Players' whole states: what READ answers with, and a login, in the very statement that notes it."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from sqlalchemy import bindparam, exists, func, or_, select
from sqlalchemy.sql.elements import Label

from gameserver.apps import App
from gameserver.players import pairs, profiles
from gameserver.players.identities import OF_PLAYER, THIS_IDENTITY, identities
from gameserver.storage import Row, Transaction

# A login keeps what the client does not say. previous_login_ms is null until the second login.
CREATE_PLAYER = profiles.CREATE.values(login_count=1, contact_email=bindparam("contact_email")).returning(
    *profiles.STATE
)
_KEPT_UNLESS_SAID = {
    name: func.coalesce(
        bindparam(f"new_{name}", type_=profiles.players.c[name].type), profiles.players.c[name]
    )
    for name in ("language_code", "country_code", "time_zone_offset")
}
LOG_IN = profiles.LOG_IN.where(*profiles.THIS_PLAYER).values(_KEPT_UNLESS_SAID)
LOG_IN_BY_IDENTITY = profiles.LOG_IN.where(
    profiles.players.c.profile_id == select(identities.c.profile_id).where(*THIS_IDENTITY).scalar_subquery(),
    profiles.players.c.app_id == bindparam("app"),
).values(_KEPT_UNLESS_SAID)
LOG_IN_FROM_DEVICE = LOG_IN.where(or_(exists().where(*OF_PLAYER), pairs.is_known("possessed")))
LOG_IN_WITH_IDENTITY = LOG_IN.where(exists().where(*OF_PLAYER))
LOG_IN_WITH_PASSWORD = LOG_IN.where(exists().where(*OF_PLAYER, identities.c.digest == bindparam("digest")))

# What clients read at login and with READ, as long as no service has something to say about it.
STATE_DEFAULTS: Mapping[str, Any] = {
    "parentProfileId": None,
    "experiencePoints": 0,
    "experienceLevel": 0,
    "xpCapped": False,
    "currency": {},
    "statistics": {},
    "amountSpent": 0,
    "refundCount": 0,
    "vcPurchased": 0,
    "vcClaimed": 0,
    "peerProfileIds": {},
    "peerCurrency": {},
    "incoming_events": [],
    "sent_events": [],
    "rewards": {"rewards": {}, "rewardDetails": {}, "currency": {}},
}


class StatePart(NamedTuple):
    """What a service adds to a player's state.

    `column` is a labelled scalar subquery on `players`, so that the state takes one statement however many
    services there are. `show` makes the keys of the answer from its value, which is None for a new player.
    """

    column: Label[Any]
    show: Callable[[App, Any], dict[str, Any]]


class States:
    """Players' whole states, as the login answer and READ hold them. `parts` are what services add."""

    def __init__(self, parts: Iterable[StatePart] = ()) -> None:
        self._parts = tuple(parts)
        columns = (*profiles.STATE, *(part.column for part in self._parts))
        self._read = select(*columns).where(*profiles.THIS_PLAYER)
        knows_device = pairs.is_known("device").label("knows_device")
        self.log_in = LOG_IN.returning(*columns, knows_device)
        self.log_in_by_identity = LOG_IN_BY_IDENTITY.returning(*columns, knows_device)
        self.log_in_from_device = LOG_IN_FROM_DEVICE.returning(*columns, knows_device)
        self.log_in_with_identity = LOG_IN_WITH_IDENTITY.returning(*columns, knows_device)
        self.log_in_with_password = LOG_IN_WITH_PASSWORD.returning(*columns, knows_device)

    async def read(self, tx: Transaction, app: App, profile_id: str, now_ms: int) -> dict[str, Any] | None:
        """Return a player's state; None when there is no such player."""
        row = await tx.one(self._read, profile=profile_id, app=app.id)
        return None if row is None else self.show(app, row, now_ms)

    def show(self, app: App, row: Row, now_ms: int, *, is_new: bool = False) -> dict[str, Any]:
        """Return the state in a row of a login. The row of a new player has nothing of the services' yet."""
        state = {**STATE_DEFAULTS, **profiles.state(row, now_ms), "server_time": now_ms}
        for part in self._parts:
            state |= part.show(app, None if is_new else row[part.column.name])
        return state


ROW_ALONE = States()
