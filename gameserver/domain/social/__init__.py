"""Who belongs together, what players send each other, and which words they may not use."""

from gameserver.domain.social.ties import (
    FRIENDS,
    SHARED_ENTITIES,
    SharedEntity,
    friends_of,
    shared_entities,
)

__all__ = [
    "FRIENDS",
    "SHARED_ENTITIES",
    "SharedEntity",
    "friends_of",
    "shared_entities",
]
