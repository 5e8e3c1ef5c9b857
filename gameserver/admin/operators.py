"""Who acts, and the journal of what they did: one row for each change, in the transaction of the change.

The journal is not the audit of players: that tells who got in, this tells what staff did to whom, and why.
"""

import secrets
from typing import Annotated, Any

import msgspec
from msgspec import Meta
from sqlalchemy import BigInteger, Column, Index, String, Table, Text, bindparam, select, update

from gameserver.admin.common import Server
from gameserver.admin.rights import EVERYTHING, Grants, Right
from gameserver.apps import App, Settings
from gameserver.jobs import forget_of_apps
from gameserver.players.lifecycle import PlayerTable
from gameserver.rpc import Context
from gameserver.storage import Json, Row, Transaction, insert_row, metadata
from gameserver.storage.tables import StoredBy
from gameserver.storage.timeline import DAY_MS, Timeline, first_id
from gameserver.wire import json

REASON_MAX = 500
TEXT_MAX = 256
DOCUMENT_BYTES_MAX = 64 << 10
SECTION = "staff"
SAMPLE = """\
# What staff did, in the console, over the API and on the command line, is kept for this many days.
[staff]
#keep_days = 400
"""


class StaffSettings(Settings, kw_only=True):
    """What is remembered of what staff did."""

    keep_days: Annotated[int, Meta(ge=1, le=3650, description="Days that the journal of staff is kept.")] = (
        400
    )


class Operator(msgspec.Struct, frozen=True):
    """Who does an action, through what, and why. Without a name it is whoever has the command line."""

    name: str = ""
    via: str = "cli"
    address: str = ""
    request_id: str = ""
    reason: str = ""
    grants: Grants = EVERYTHING

    def may(self, right: Right, app_id: str) -> bool:
        """Tell whether somebody has a right in an app."""
        return self.grants.may(right, app_id)


CLI = Operator()


async def note(
    server: Server | Context,
    tx: Transaction,
    by: Operator,
    action: str,
    app_id: str = "",
    *,
    profile: str = "",
    target: str = "",
    before: Any = None,
    after: Any = None,
    outcome: str = "done",
    whole: bool = False,
) -> str:
    """Write into the journal, as part of a transaction, what somebody did; returns the row's id.

    `target` names what was changed beside or instead of a player, such as a board. `before` and `after` are
    plain JSON values; what is too large is told by its size, unless it is to be kept `whole`: what can be put
    back from the journal.
    """
    now = server.core.clock.ms()
    row_id = f"{first_id(now)}{secrets.token_hex(8)}"
    await tx.run(
        ADD,
        id=row_id,
        app_id=app_id,
        at_ms=now,
        staff=by.name[:64],
        via=by.via[:16],
        address=by.address[:64],
        request_id=by.request_id[:64],
        action=action[:64],
        outcome=outcome[:16],
        profile_id=profile[:36],
        target=target[:TEXT_MAX],
        reason=by.reason[:REASON_MAX],
        before=_document(before, whole=whole),
        after=_document(after, whole=False),
    )
    return row_id


async def noted(tx: Transaction, app_id: str, row_id: str, *actions: str) -> Row | None:
    """Return a row of the journal, if it is of one of these actions and was done."""
    return await tx.one(READ_ONE, app=app_id, id=row_id, actions=list(actions))


def _document(value: Any, *, whole: bool) -> str | None:
    if value is None:
        return None
    text = json.encode_free(value)
    return text.decode() if whole or len(text) <= DOCUMENT_BYTES_MAX else f'{{"bytes":{len(text)}}}'


# Storage

staff_actions = Table(
    "staff_actions",
    metadata,
    Column("app_id", String(64), primary_key=True),  # empty: of no app
    Column("id", String(28), primary_key=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("staff", String(64), nullable=False),
    Column("via", String(16), nullable=False),
    Column("address", String(64), nullable=False),
    Column("request_id", String(64), nullable=False),
    Column("action", String(64), nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("profile_id", String(36), nullable=False),
    Column("target", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("before", Json),
    Column("after", Json),
    Index("staff_actions_by_profile", "profile_id", "id"),
    Index("staff_actions_by_staff", "app_id", "staff", "id"),
    # It is kept long, and looked through by each of these alone.
    *(Index(f"staff_actions_by_{name}", "app_id", name, "id") for name in ("action", "target", "outcome")),
    info={"stored_by": StoredBy.APP},
)
_c = staff_actions.c
KEPT = PlayerTable(
    staff_actions,
    "profile_id",
    untold={
        "id": "orders rows",
        "staff": "who of the studio it was",
        "via": "how staff came",
        "address": "of staff",
        "request_id": "for whoever reads the server's log",
        "outcome": "whether it was done",
        "target": "what else it was about, which need not be the player's",
    },
    stays="what staff did can be looked up until [staff] keep_days are over; what it was about is erased",
)
ADD = insert_row(staff_actions)
READ_ONE = select(staff_actions).where(
    _c.app_id == bindparam("app"),
    _c.id == bindparam("id"),
    _c.action.in_(bindparam("actions", expanding=True)),
    _c.outcome == "done",
)
BLANK = (
    update(staff_actions)
    .where(_c.profile_id == bindparam("player"), _c.app_id.concat("") == bindparam("app", type_=String))
    .values(before=None, after=None)
)
timeline = Timeline(staff_actions, {"before": DOCUMENT_BYTES_MAX})


async def blank(ctx: Context, profile_id: str) -> None:
    """Erase what the journal tells of a player who is deleted, but for what was done and by whom."""
    await ctx.tx.run(BLANK, player=profile_id, app=ctx.app.id)


def _kept_ms(app: App) -> int:
    return app.section(StaffSettings).keep_days * DAY_MS


FORGET = forget_of_apps("staffActions.forget", timeline.expiry, _kept_ms)
