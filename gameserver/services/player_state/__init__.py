"""playerState: what signed-in players read and change about themselves, and how their sessions end."""

from gameserver.services.player_state import invalidating
from gameserver.services.player_state.operations import service

__all__ = ["invalidating", "service"]
