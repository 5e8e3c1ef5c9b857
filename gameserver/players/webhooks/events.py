"""What may be told of what happens: the base of all events, and those of a player's life.

An event tells ids, amounts and kinds, no names, addresses or texts of players: whoever needs more reads it
from the server, and what is gone by then is gone.
"""

from typing import Annotated, ClassVar

from msgspec import Meta

from gameserver.players.fields import AuthenticationType
from gameserver.wire.fields import ProfileId
from gameserver.wire.shapes import Reply

EVERY = "*"
CUSTOM = "custom."
"""What the names of events begin with that an app declares for its own scripts and servers."""
TEST = "webhook.test"
"""The event that an operator has sent to see whether a target answers. No target asks for it."""


class EventData(Reply):
    """The `data` of an event, whose docstring says when it happens; `event` is its name."""

    event: ClassVar[str]

    profile_id: ProfileId


def patterns(names: list[str]) -> list[str]:
    """Return what a target may ask for: each name, all that begin alike, everything."""
    groups = {f"{name.partition('.')[0]}.{EVERY}" for name in names}
    return [EVERY, *sorted({*groups, *names})]


def fits(pattern: str, name: str) -> bool:
    """Tell whether a target that asks for a pattern wants an event."""
    return pattern in (name, EVERY) or (pattern.endswith(f".{EVERY}") and name.startswith(pattern[:-1]))


class PlayerCreated(EventData):
    """A player was made: by a first login, by a server, or as a profile in a child app."""

    event = "player.created"

    authentication_type: Annotated[
        AuthenticationType,
        Meta(description="The type of the identity it was made with; empty: without one."),
    ] = ""


class PlayerLoggedIn(EventData):
    """A player has logged in with right credentials."""

    event = "player.logged_in"

    authentication_type: AuthenticationType
    new_user: Annotated[bool, Meta(description="Whether this login has made the player.")]


class SessionEnded(EventData):
    """Sessions were ended, not such that lapsed.

    All sessions of an app at once are one event, without a player.
    """

    event = "session.ended"

    reason: Annotated[
        str,
        Meta(
            description="logged_out, replaced (by a newer login), disabled, deleted, merged_into, revoked, or"
            " what else the audit tells."
        ),
    ]
    sessions: Annotated[int, Meta(description="How many have ended.")]
    face: Annotated[str, Meta(description="Through what they were ended, such as dispatcher or cli.")]


class IdentityAttached(EventData):
    """A player can be known by a further identity."""

    event = "identity.attached"

    authentication_type: AuthenticationType


class IdentityDetached(EventData):
    """An identity was taken from a player."""

    event = "identity.detached"

    authentication_type: AuthenticationType


class PlayerReset(EventData):
    """The game data of a player was deleted; the player stays."""

    event = "player.reset"


class PlayerDeleted(EventData):
    """A player was deleted, with everything that was kept of them. Delete what you keep of them, too."""

    event = "player.deleted"


class PlayerMerged(EventData):
    """A player became one with another, and is gone."""

    event = "player.merged"

    into_profile_id: Annotated[
        ProfileId, Meta(description="The player who has got everything that was theirs.")
    ]


ALL: tuple[type[EventData], ...] = (
    PlayerCreated,
    PlayerLoggedIn,
    SessionEnded,
    IdentityAttached,
    IdentityDetached,
    PlayerReset,
    PlayerDeleted,
    PlayerMerged,
)
