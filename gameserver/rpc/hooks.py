"""What services may want to know of a player's life; asked before the rows of player tables are seen to."""

from collections.abc import Awaitable, Callable

from gameserver.frame import Hook
from gameserver.players.life import MergeHook, PlayerHook
from gameserver.players.states import StatePart
from gameserver.rpc.context import Context

PLAYER_STATE: Hook[StatePart] = Hook("player.state")
"""Adds keys to a player's state, as READ and the login's answer tell it."""
PLAYER_RESET: Hook[PlayerHook[Context]] = Hook("player.reset")
"""What a reset of the game data needs beside the rows it deletes."""
PLAYER_DELETE: Hook[PlayerHook[Context]] = Hook("player.delete")
"""What the end of a player needs beside the rows that go; also after a merge, for the one who goes."""
PLAYER_MERGE: Hook[MergeHook[Context]] = Hook("player.merge")
"""Gives what is kept of a player to another, where moving rows is not enough."""
MarkedHook = Callable[[Context], Awaitable[None]]
PACKET_MARKED: Hook[MarkedHook] = Hook("packet.marked")
"""What waits for the player of a marked session (`SessionStore.mark`): asked after the messages of a
packet, in its transaction. `ctx.mark` says since when; who leaves nothing for later takes the mark off."""
