"""Who belongs together, what players send each other, and which words they may not use."""

from gameserver.domain.social.ties import (
    FRIENDS,
    GROUPS,
    MEMBERS,
    SHARED_ENTITIES,
    Group,
    NotGroupMember,
    SharedEntity,
    UnknownGroup,
    check_member,
    friends_of,
    group,
    group_members,
    groups,
    shared_entities,
)

__all__ = [
    "FRIENDS",
    "GROUPS",
    "MEMBERS",
    "SHARED_ENTITIES",
    "Group",
    "NotGroupMember",
    "SharedEntity",
    "UnknownGroup",
    "check_member",
    "friends_of",
    "group",
    "group_members",
    "groups",
    "shared_entities",
]
