"""What players are to be told, for the services that can reach them: by push, by mail, by an event.

These services subscribe. Without any nobody is told, and nobody counts as told.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import NamedTuple

from gameserver.domain.social import groups
from gameserver.frame import Hook, Hooks
from gameserver.storage import Transaction


class TournamentOver(NamedTuple):
    """A tournament is over, and its results are there.

    `member_ids` took part: players, or groups on a board of groups. `push_id` is the push template to use,
    `mail` are mail templates by language; none unless the tournament wants its end to be pushed or mailed.
    `now_ms` is when they are told.
    """

    app_id: str
    board_id: str
    version: int
    code: str
    of_groups: bool
    member_ids: Sequence[str]
    push_id: int | None
    mail: Mapping[str, str]
    now_ms: int


OverHook = Callable[[Transaction, TournamentOver], Awaitable[Collection[str]]]
"""Transaction, what is over: returns those it tells once the transaction is committed. Each comes once."""

TOURNAMENT_OVER: Hook[OverHook] = Hook("notices.tournament_over")


async def tell_over(hooks: Hooks, tx: Transaction, over: TournamentOver) -> set[str]:
    """Tell of the end of a tournament; returns those who are told by somebody."""
    told: set[str] = set()
    for hook in hooks.of(TOURNAMENT_OVER):
        told |= set(await hook(tx, over))
    return told


async def players_of(tx: Transaction, over: TournamentOver) -> dict[str, list[str]]:
    """Return the players to tell for each that took part: themselves, or the members of the group."""
    if not over.of_groups:
        return {member: [member] for member in over.member_ids}
    return {group_id: await _members(tx, over.app_id, group_id) for group_id in over.member_ids}


async def _members(tx: Transaction, app_id: str, group_id: str) -> list[str]:
    try:
        return await groups.member_ids(tx, app_id, group_id)
    except groups.UnknownGroup:  # gone meanwhile
        return []
