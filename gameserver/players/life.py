"""The life of a player's data: exported, reset, made another's, deleted, with all that is kept of them.

What services and faces keep is declared beside their tables (see `lifecycle`) and gathered here.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator
from itertools import chain
from typing import Any, Generic, Protocol, TypeVar

from gameserver.apps import App
from gameserver.players import profiles, users
from gameserver.players.lifecycle import PlayerTable
from gameserver.players.states import States
from gameserver.players.webhooks import PlayerDeleted, PlayerMerged, PlayerReset, emit
from gameserver.sessions import AllOf, Selector
from gameserver.storage import Transaction


class PlayerWork(Protocol):
    """What the end of a player needs of the packet it is part of."""

    app: App
    now_ms: int

    @property
    def tx(self) -> Transaction:
        """The packet's transaction."""

    def end_sessions(
        self, selector: Selector, reason: str, *, epoch: int | None = None, why: str = ""
    ) -> None:
        """End sessions when the packet is committed."""

    def note_player(self, profile_id: str, reason: str) -> None:
        """Let the audit know, once the packet is committed, what happened to all that is kept of a player."""


AnyWork = TypeVar("AnyWork", bound=PlayerWork)
PlayerHook = Callable[[AnyWork, str], Awaitable[None]]
"""The packet, the player."""
MergeHook = Callable[[AnyWork, str, str], Awaitable[None]]
"""The packet, the player whose data goes, the player who gets it."""


class PlayerHooks(Generic[AnyWork]):
    """What services and faces together keep of players, and what becomes of it in a player's life."""

    def __init__(
        self,
        states: States,
        *,
        reset: Iterable[PlayerHook[AnyWork]] = (),
        delete: Iterable[PlayerHook[AnyWork]] = (),
        merge: Iterable[MergeHook[AnyWork]] = (),
    ) -> None:
        self.states = states
        self._on_reset, self._on_delete, self._on_merge = tuple(reset), tuple(delete), tuple(merge)
        self.kept: dict[str, tuple[PlayerTable, ...]] = {}
        self._names: set[str] = set()

    def keep(self, name: str, kept: Iterable[PlayerTable]) -> None:
        """Add what a service or a face keeps. Raises `ValueError` when somebody keeps a table already."""
        added = tuple(kept)
        for table in chain.from_iterable(one.tables for one in added):
            if table.name in self._names:
                raise ValueError(f"declared twice: what is kept of players in {table.name}")
            self._names.add(table.name)
        self.kept[name] = (*self.kept.get(name, ()), *added)

    def tables(self) -> Iterator[PlayerTable]:
        """All tables in which players have rows."""
        return chain.from_iterable(self.kept.values())

    async def reset_player(self, ctx: AnyWork, profile_id: str) -> None:
        """Remove the player's game data; the player and their identities stay."""
        for hook in self._on_reset:
            await hook(ctx, profile_id)
        for kept in self.tables():
            if kept.reset:
                await kept.remove(ctx.tx, ctx.app.id, profile_id)
        ctx.note_player(profile_id, "reset")
        await emit(ctx.tx, ctx.app, PlayerReset(profile_id=profile_id), ctx.now_ms)

    async def delete_player(self, ctx: AnyWork, profile_id: str, *, reason: str = "revoked") -> bool:
        """Remove everything that is kept of a player, and end their sessions; False when there was nothing.

        `reason` is what clients are told of the end. What an earlier call has left behind, because a packet
        of the player was still running, goes as well.
        """
        epoch = await profiles.raise_epoch(ctx.tx, ctx.app.id, profile_id)  # holds the row until the end
        if epoch is None and await profiles.is_elsewhere(ctx.tx, ctx.app.id, profile_id):
            return False
        removed = await self._remove(ctx, profile_id, epoch, reason, "deleted")
        if epoch is not None:  # not what a second time finds of them
            await emit(ctx.tx, ctx.app, PlayerDeleted(profile_id=profile_id), ctx.now_ms)
        return removed

    async def merge_players(self, ctx: AnyWork, profile_id: str, target: str) -> bool:
        """Give what is kept of a player to another one, who stays; the first one's sessions end.

        False when there was nothing, or there is no such target. Raises what the rules of a service raise
        when the two do not go together; nothing may stay of the attempt then.
        """
        # In one order, or two of these wait for each other.
        there = {each: await users.lock(ctx.tx, ctx.app.id, each) for each in sorted((profile_id, target))}
        if not there[target]:
            return False
        epoch = await profiles.raise_epoch(ctx.tx, ctx.app.id, profile_id)
        if epoch is None and await profiles.is_elsewhere(ctx.tx, ctx.app.id, profile_id):
            return False
        for hook in self._on_merge:
            await hook(ctx, profile_id, target)
        moved = [
            await kept.move(ctx.tx, ctx.app.id, profile_id, target)
            for kept in self.tables()
            if kept.moves and not kept.stays
        ]
        if await self._remove(ctx, profile_id, epoch, "revoked", f"merged_into:{target}") or any(moved):
            ctx.note_player(target, f"merged_from:{profile_id}")
            if epoch is not None:
                merged = PlayerMerged(profile_id=profile_id, into_profile_id=target)
                await emit(ctx.tx, ctx.app, merged, ctx.now_ms)
            return True
        return False

    async def _remove(self, ctx: AnyWork, profile_id: str, epoch: int | None, reason: str, why: str) -> bool:
        for hook in self._on_delete:
            await hook(ctx, profile_id)
        rows = [await kept.remove(ctx.tx, ctx.app.id, profile_id) for kept in self.tables() if not kept.stays]
        ctx.end_sessions(AllOf(ctx.app.id, profile_id), reason, epoch=epoch, why=why.partition(":")[0])
        if any(rows):
            ctx.note_player(profile_id, why)
        return any(rows)

    async def export_player(self, tx: Transaction, app_id: str, profile_id: str) -> dict[str, dict[str, Any]]:
        """Return everything that is kept of a player: for each service and face, its tables by name."""
        return {
            name: {one.name: await one.export(tx, app_id, profile_id) for one in kept if one.shown}
            for name, kept in self.kept.items()
            if kept
        }
