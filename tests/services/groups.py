"""What tests share that need groups, and not the service that makes them."""

from collections.abc import Sequence
from typing import Any

from gameserver.domain.social import membership
from gameserver.domain.social.groups import DEFAULT_ACL, Role, Seat, UnknownGroup
from gameserver.storage import Transaction
from tests.conftest import Game


class Work:
    """A packet that changes a group, for hooks."""

    def __init__(self, game: Game, tx: Transaction) -> None:
        self.app, self.now_ms, self.core, self.tx = game.app, game.clock.ms(), game.core, tx
        self.is_retry = False
        self.outbox: list[Any] = []

    def after_commit(self, effect: Any) -> None:
        """Nobody waits for what comes after."""


async def put_group(
    game: Game, group_id: str, members: Sequence[str], *, name: str = "", summary_data: str = "{}"
) -> str:
    """Let there be a group with just these members, the first of whom owns it, if there are any; its id."""
    async with game.core.database.write() as tx:
        work = Work(game, tx)
        try:
            await membership.lock(tx, game.app.id, group_id)
        except UnknownGroup:
            pass
        else:
            await membership.end(work, group_id)
        owner, *others = members or [game.core.new_id()]
        await membership.create(
            work,
            group_id,
            owner,
            name=name or group_id,
            group_type="team",
            acl=DEFAULT_ACL,
            summary_data=summary_data,
        )
        for other in others:
            await membership.put(work, group_id, other, None, Seat.MEMBER, Role.MEMBER, "{}")
    return group_id
