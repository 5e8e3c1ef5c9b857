"""For whom a batch of scripts runs, and whose turn is next."""

import msgspec
from sqlalchemy import bindparam, select

from gameserver.apps import App
from gameserver.domain.segments import membership, refreshing
from gameserver.players.profiles import players
from gameserver.storage import Transaction

AT_ONCE = 100  # players


class OfSegments(msgspec.Struct, frozen=True):
    """The players of segments, and those who are named beside them."""

    segments: list[int]
    profiles: list[str]


Targets = list[str] | OfSegments
"""Players by their ids, in the order of these, or the players of segments. None in a table: all players."""
read_targets = msgspec.json.Decoder(Targets | None).decode

_THERE = select(players.c.profile_id).where(
    players.c.app_id == bindparam("app"), players.c.profile_id.in_(bindparam("ids", expanding=True))
)
_ALL = (
    select(players.c.profile_id)
    .where(players.c.app_id == bindparam("app"), players.c.profile_id > bindparam("after"))
    .order_by(players.c.profile_id)
    .limit(AT_ONCE)
)


async def are_known(tx: Transaction, app: App, targets: Targets | None) -> bool:
    """Tell whether it is known who they are: not while all are looked at because segments have changed."""
    return not isinstance(targets, OfSegments) or await refreshing.is_whole(tx, app)


async def next_of(tx: Transaction, app: App, targets: Targets | None, last: str) -> list[str]:
    """Return whose turn is next, in the order of their ids; nobody when all have had theirs."""
    match targets:
        case None:
            return [row[0] for row in await tx.all(_ALL, app=app.id, after=last)]
        case OfSegments(segments=segments, profiles=named):
            members = await membership.next_members(tx, app, segments, last, AT_ONCE, named)
            return [member.profile_id for member in members]
    left = [target for target in targets if target > last]
    for begin in range(0, len(left), AT_ONCE):
        ids = left[begin : begin + AT_ONCE]
        if there := {row[0] for row in await tx.all(_THERE, app=app.id, ids=ids)}:
            return [target for target in ids if target in there]
    return []
