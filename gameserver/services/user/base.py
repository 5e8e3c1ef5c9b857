"""The service, its part of `app.toml`, its refusals, and what its operations share."""

from typing import Annotated

from msgspec import Meta

from gameserver.apps import Settings
from gameserver.players import profiles
from gameserver.players.profiles import UnknownPlayer
from gameserver.players.resets import LIFE_MINUTES_MAX
from gameserver.rpc import Service
from gameserver.storage import Row, Transaction, locks
from gameserver.wire.errors import GameError
from gameserver.wire.fields import ProfileId
from gameserver.wire.shapes import Request

SAMPLE = """\
# How long the address works that a server of yours asks for, so that a player may delete their own account.
[user]
#deletion_minutes = 60
"""


class UserSettings(Settings, kw_only=True):
    """What servers do with players."""

    deletion_minutes: Annotated[
        int,
        Meta(
            ge=1,
            le=LIFE_MINUTES_MAX,
            description="How long the address works at which a player deletes their account.",
        ),
    ] = 60


service = Service("user", section=UserSettings, sample=SAMPLE)

# Errors


class UserAlreadyExists(GameError):
    """A player has that identity already."""

    reason_code = 40683


class NoMailbox(GameError):
    """Mail cannot reach the player: there is no contact address, or it is none."""

    reason_code = 40361


# Rules


class OfPlayer(Request):
    """Which player is meant."""

    profile_id: ProfileId


def lock_named(_: object, request: OfPlayer) -> list[str]:
    """Return the lock of the player whom the request names."""
    return [locks.player_lock(request.profile_id)]


async def read_player(tx: Transaction, app_id: str, profile_id: str) -> Row:
    """Return the row of a player. Raises `UnknownPlayer`."""
    row = await profiles.read(tx, app_id, profile_id)
    if row is None:
        raise unknown()
    return row


def unknown() -> UnknownPlayer:
    """Return the refusal of a profile id that is nobody's in this app."""
    return UnknownPlayer("data.profileId: the app has no player with this profile id")
