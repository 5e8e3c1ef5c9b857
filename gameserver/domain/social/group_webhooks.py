"""What outgoing webhooks are told of groups."""

from typing import Annotated

from msgspec import Meta

from gameserver.players.webhooks import EventData
from gameserver.wire.fields import GroupId


class GroupEvent(EventData):
    """What events of a group tell."""

    event = ""

    group_id: GroupId


class GroupCreated(GroupEvent):
    """A player has a new group. That they are its first member is an event of its own."""

    event = "group.created"

    group_type: Annotated[str, Meta(description="The type of the group, as the app declares it.")]


class GroupJoined(GroupEvent):
    """A player has become a member of a group."""

    event = "group.joined"


class GroupLeft(GroupEvent):
    """A player is no member of a group any more: left, removed, deleted, or become one with another."""

    event = "group.left"


class GroupDeleted(GroupEvent):
    """A group is gone. It is no single player's event, and its members have not left one by one."""

    event = "group.deleted"

    member_ids: Annotated[list[str], Meta(description="Who was a member, by profile id.")]


ALL: tuple[type[EventData], ...] = (GroupCreated, GroupJoined, GroupLeft, GroupDeleted)
