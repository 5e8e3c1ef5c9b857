"""What tests of groups share, and those that need groups and not the service that makes them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from gameserver.domain.social import membership
from gameserver.domain.social.groups import DEFAULT_ACL, Acl, Role, Seat, UnknownGroup
from gameserver.storage import Transaction
from tests.conftest import APP_TOML, Client, Game, Refusal

SERVICE = "group"
TYPES = """
[group.types.team]
members = 4
[group.types.pair]
members = 2
owned = 1
joined = 2
pending = 1
[group.types.official]
made_by = "servers"
"""


@pytest.fixture
def apps_folder(apps_folder: Path) -> Path:
    (apps_folder / "test" / "app.toml").write_text(APP_TOML + TYPES)
    return apps_folder


# Through the public face


async def make(owner: Client, *others: Client, kind: str = "team", **data: Any) -> str:
    """Make a group; returns its id."""
    made = await owner.call(SERVICE, "CREATE_GROUP", **{"name": "A", "groupType": kind, **data})
    group_id: str = made["groupId"]
    for other in others:
        await add(owner, group_id, other)
    return group_id


async def add(owner: Client, group_id: str, other: Client, **data: Any) -> None:
    await owner.call(SERVICE, "ADD_GROUP_MEMBER", groupId=group_id, profileId=other.profile_id, **data)


async def read(player: Client, group_id: str) -> dict[str, Any]:
    found: dict[str, Any] = await player.call(SERVICE, "READ_GROUP", groupId=group_id)
    return found


async def refused(player: Client, operation: str, **data: Any) -> tuple[int, int]:
    refusal: Refusal = await player.refused(SERVICE, operation, **data)
    return refusal.status, refusal.reason_code


async def roles(player: Client, group_id: str) -> dict[str, str]:
    """The roles of a group's members by their ids."""
    members = (await read(player, group_id))["members"]
    return {profile_id: member["role"] for profile_id, member in members.items()}


async def mine(player: Client) -> dict[str, list[str]]:
    """The ids of the groups that a player has to do with."""
    found = await player.call(SERVICE, "GET_MY_GROUPS")
    return {name: [group["groupId"] for group in listed] for name, listed in found.items()}


# Without the service


class Work:
    """A packet that changes a group, for hooks."""

    def __init__(self, game: Game, tx: Transaction) -> None:
        self.app, self.now_ms, self.core, self.tx = game.app, game.clock.ms(), game.core, tx
        self.is_retry = False
        self.outbox: list[Any] = []

    def after_commit(self, effect: Any) -> None:
        """Nobody waits for what comes after."""


async def put_group(
    game: Game,
    group_id: str,
    members: Sequence[str],
    *,
    name: str = "",
    acl: Acl = DEFAULT_ACL,
    summary_data: str = "{}",
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
            acl=acl,
            summary_data=summary_data,
        )
        for other in others:
            await membership.put(work, group_id, other, None, Seat.MEMBER, Role.MEMBER, "{}")
    return group_id
