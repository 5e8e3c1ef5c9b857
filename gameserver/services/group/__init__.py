"""group: players who belong together, their roles, and what they share."""

from gameserver.services.group import (
    changing,
    entities,
    inviting,
    joining,
    listing,
    lives,
    making,
    managing,
    reading,
    telling,
)
from gameserver.services.group.base import service

__all__ = [
    "changing",
    "entities",
    "inviting",
    "joining",
    "listing",
    "lives",
    "making",
    "managing",
    "reading",
    "service",
    "telling",
]
