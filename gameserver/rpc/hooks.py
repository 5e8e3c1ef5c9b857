"""What others may want to know of a player's life, and of messages before and after they run."""

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from gameserver.frame import Hook
from gameserver.players.life import MergeHook, PlayerHook
from gameserver.players.states import StatePart
from gameserver.rpc.context import Context
from gameserver.sessions import Mark
from gameserver.wire.packet import Message

PLAYER_STATE: Hook[StatePart] = Hook("player.state")
"""Adds keys to a player's state, as READ and the login's answer tell it."""
PLAYER_RESET: Hook[PlayerHook[Context]] = Hook("player.reset")
"""What a reset of the game data needs beside the rows it deletes."""
PLAYER_DELETE: Hook[PlayerHook[Context]] = Hook("player.delete")
"""What the end of a player needs beside the rows that go; also after a merge, for the one who goes."""
PLAYER_MERGE: Hook[MergeHook[Context]] = Hook("player.merge")
"""Gives what is kept of a player to another, where moving rows is not enough."""
MarkedHook = Callable[[Context, Mark], Awaitable[None]]
PACKET_MARKED: Hook[MarkedHook] = Hook("packet.marked")
"""What waits for the player of a marked session (`SessionStore.mark`): asked after the messages of a
packet, in its transaction. The mark says since when; who leaves nothing for later takes it off."""


class MessageHooks(Protocol):
    """What an app wants done around messages. Asked only where `App.has_hooks`."""

    def of(self, ctx: Context, message: Message) -> Any | None:
        """Return what is declared for a message; None where it runs by itself."""

    async def around(
        self, declared: Any, ctx: Context, message: Message, run: Callable[[Message], Awaitable[bytes]]
    ) -> bytes:
        """Run a message with what is declared for it; returns its entry. `ctx.steps` is the journal."""


MESSAGE_HOOKS: Hook[MessageHooks] = Hook("messages.around")
"""Runs a message in steps: what goes before it, the message, and what comes after."""
