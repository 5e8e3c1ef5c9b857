"""What services may want to know of a player's life; asked before the rows of player tables are seen to."""

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
