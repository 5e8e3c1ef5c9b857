"""What players are told of groups while they are connected.

An event comes over the real-time connections of those whom it concerns, and is not kept: what has become of a
group, and who is invited or waits, is read at any time. A game that listens for events needs nothing else.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import Any

from sqlalchemy import bindparam, exists, select

from gameserver.domain.social.events import EVENT_SERVICE, GET_EVENTS, SYSTEM
from gameserver.domain.social.friends import blocks
from gameserver.domain.social.groups import IN_GROUP, IS_MEMBER, Role, members
from gameserver.players.states import PlayerEvent
from gameserver.realtime import player_channel
from gameserver.rpc import Context
from gameserver.services.group.base import GroupSettings
from gameserver.storage import Row


class Told(StrEnum):
    """Types of events. Whom they are told to stands behind."""

    INVITED = "GROUP_INVITED"  # who is invited
    INVITATION_CANCELLED = "GROUP_INVITATION_CANCELLED"  # who was invited
    INVITATION_REJECTED = "GROUP_INVITATION_REJECTED"  # owner and admins
    REQUESTED = "GROUP_REQUESTED"  # owner and admins
    REQUEST_REJECTED = "GROUP_REQUEST_REJECTED"  # who has asked
    MEMBER_JOINED = "GROUP_MEMBER_JOINED"  # the new member, owner and admins
    MEMBER_GONE = "GROUP_MEMBER_GONE"  # who was a member, owner and admins
    MEMBER_CHANGED = "GROUP_MEMBER_CHANGED"  # who has another role or other attributes
    DELETED = "GROUP_DELETED"  # all members


async def tell(ctx: Context, what: Told, group: Row, of_id: str, *, managers: bool = False) -> None:
    """Tell a player, or also those who manage a group, what has happened to that player; not the caller.

    Nobody is told where the app does not want it, and no manager who has blocked the player.
    """
    if not ctx.section(GroupSettings).events:
        return
    to = {of_id} if what not in {Told.REQUESTED, Told.INVITATION_REJECTED} else set[str]()
    if managers:
        rows = await ctx.tx.all(MANAGERS, app=ctx.app.id, group=group["group_id"], profile=of_id)
        to |= {row["profile_id"] for row in rows}
    push(ctx, what, group, of_id, to)


def push(ctx: Context, what: Told, group: Row, of_id: str | None, to_ids: Iterable[str]) -> None:
    """Send an event to the connections of players, but the caller, when the packet is committed."""
    data: dict[str, Any] = {
        "groupId": group["group_id"],
        "groupType": group["group_type"],
        "groupName": group["name"],
    }
    if of_id is not None:
        data["profileId"] = of_id
    for to_id in sorted(set(to_ids) - {ctx.profile_id}):
        event = PlayerEvent(
            ev_id="",
            event_type=what,
            from_player_id=SYSTEM,
            to_player_id=to_id,
            created_at=ctx.now_ms,
            event_data=data,
        )
        ctx.publish(player_channel(ctx.app.id, to_id), EVENT_SERVICE, GET_EVENTS, event)


# Storage

_b = blocks.c
_BLOCKS = exists().where(_b.owner_id == members.c.profile_id, _b.blocked_id == bindparam("profile"))
MANAGERS = select(members.c.profile_id).where(
    IN_GROUP, IS_MEMBER, members.c.role != Role.MEMBER.value, ~_BLOCKS.correlate(members)
)
