"""What always holds of groups, whoever does what at once: right counts, one owner, never too many."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import func, select

from gameserver.admin import actions
from gameserver.domain.social import groups
from gameserver.domain.social.groups import GROUP_DELETE, MEMBER_GONE, MEMBER_JOINED, members, social_groups
from gameserver.rpc import Caller, Origin
from gameserver.wire.packet import Message
from tests.conftest import APP_ID, APP_TOML, Client, Game
from tests.services.groups import SERVICE, TYPES, add, make, mine, read, refused, roles
from tests.services.listening import ear

NOTHING: dict[str, list[str]] = {"groups": [], "invited": [], "requested": []}


@pytest.fixture
def apps_folder(apps_folder: Path) -> Path:
    (apps_folder / "test" / "app.toml").write_text(APP_TOML + TYPES)
    return apps_folder


async def check(game: Game, group_id: str, most: int) -> bool:
    """Whether there is the group; its counts equal its rows, and it has one owner."""
    async with game.core.database.read() as tx:
        rows = await tx.all(select(*members.c).where(members.c.group_id == group_id))
        group = await tx.one(select(*social_groups.c).where(social_groups.c.group_id == group_id))
    if group is None:
        assert not rows
        return False
    counted = Counter(row["seat"] for row in rows)
    counts = tuple(group[f"{name}_count"] for name in ("member", "invited", "requested"))
    assert counts == tuple(counted[name] for name in ("member", "invited", "requested"))
    assert 1 <= counted["member"] <= most
    owners = [row["profile_id"] for row in rows if row["role"] == "OWNER"]
    assert owners == [group["owner_id"]]
    return True


async def outcome(player: Client, operation: str, **data: Any) -> int:
    [entry] = await player.packet((SERVICE, operation, data))
    code: int = entry.get("reason_code", 200)
    return code


async def test_a_group_takes_no_more_than_it_has_room_for(game: Game) -> None:
    owner = await game.player()
    group = await make(owner, *[await game.player() for _ in range(2)], isOpenGroup=True)
    players = [await game.player() for _ in range(10)]
    outcomes = await asyncio.gather(*(outcome(player, "JOIN_GROUP", groupId=group) for player in players))
    assert Counter(outcomes) == {200: 1, 40457: 9}
    assert await check(game, group, 4)


async def test_counts_equal_rows_whatever_happens_at_once(game: Game) -> None:
    """Every player does by chance what they may do or not; nothing fails or is miscounted."""
    dice = random.Random(7)
    players = [await game.player() for _ in range(6)]
    groups_ = [await make(players[0]), await make(players[1], isOpenGroup=True)]
    of_group = ["JOIN_GROUP", "LEAVE_GROUP", "LEAVE_GROUP_AUTO", "ACCEPT_GROUP_INVITATION"]
    of_group += ["REJECT_GROUP_INVITATION", "DELETE_GROUP_JOIN_REQUEST"]
    of_member = ["ADD_GROUP_MEMBER", "INVITE_GROUP_MEMBER", "APPROVE_GROUP_JOIN_REQUEST"]
    of_member += [
        "REMOVE_GROUP_MEMBER",
        "REJECT_GROUP_JOIN_REQUEST",
        "CANCEL_GROUP_INVITATION",
        "UPDATE_GROUP_MEMBER",
    ]

    def step() -> tuple[str, str, dict[str, Any]]:
        operation = dice.choice(of_group + of_member)
        data = {"groupId": dice.choice(groups_)}
        if operation in of_member:
            data["profileId"] = dice.choice(players).profile_id
        if operation in {"ADD_GROUP_MEMBER", "INVITE_GROUP_MEMBER", "UPDATE_GROUP_MEMBER"}:
            data["role"] = dice.choice(["ADMIN", "MEMBER", "OWNER"])
        return SERVICE, operation, data

    async def play(player: Client) -> set[int]:
        entries = await player.packet(*(step() for _ in range(dice.randint(1, 3))))
        return {entry["status"] for entry in entries}

    for _ in range(12):
        statuses = await asyncio.gather(*(play(player) for player in players))
        assert set[int]().union(*statuses) <= {200, 400, 403}
        for place, group in enumerate(groups_):
            if not await check(game, group, 4):
                groups_[place] = await make(dice.choice(players), isOpenGroup=bool(place))


async def test_all_leave_at_once(game: Game) -> None:
    for _ in range(5):
        owner, other = await game.player(), await game.player()
        group = await make(owner, other)
        promoting = {"groupId": group, "profileId": other.profile_id, "role": "ADMIN"}
        await owner.call(SERVICE, "UPDATE_GROUP_MEMBER", **promoting)
        leaving = (outcome(player, "LEAVE_GROUP_AUTO", groupId=group) for player in (owner, other))
        assert await asyncio.gather(*leaving) == [200, 200]
        assert not await check(game, group, 4)


async def test_the_owner_leaves_while_the_last_other_member_is_removed(game: Game) -> None:
    for _ in range(5):
        owner, other = await game.player(), await game.player()
        group = await make(owner, other)
        of_other = {"groupId": group, "profileId": other.profile_id}
        await asyncio.gather(
            remove(game, of_other, 40455),  # unless the owner has left before, and the other one owns it
            outcome(owner, "LEAVE_GROUP_AUTO", groupId=group),
        )
        await check(game, group, 4)


async def remove(game: Game, of_other: dict[str, Any], reason: int) -> None:
    """Let a server remove a member, unless that is refused for a reason."""
    message = Message(SERVICE, "SYS_REMOVE_GROUP_MEMBER", msgspec.Raw(msgspec.json.encode(of_other)))
    call = game.server_app.runner.call
    answer = await call(message, game.app, Origin("test", "127.0.0.1"), caller=Caller.SERVER, profile_id=None)
    assert msgspec.json.decode(answer).get("reason_code", reason) == reason


async def test_crossing_invitations_and_requests_leave_nothing_pending(game: Game) -> None:
    owner, other = await game.player(), await game.player()
    for _ in range(10):
        group = await make(owner)
        of_other = {"groupId": group, "profileId": other.profile_id}
        crossing = [
            outcome(owner, "INVITE_GROUP_MEMBER", **of_other),
            outcome(other, "JOIN_GROUP", groupId=group),
            outcome(other, "ACCEPT_GROUP_INVITATION", groupId=group),
            outcome(owner, "APPROVE_GROUP_JOIN_REQUEST", **of_other),
        ]
        assert set(await asyncio.gather(*crossing)) <= {200, 40456, 40734}
        assert await check(game, group, 4)
        found = await read(owner, group)
        assert (found["memberCount"], found["pendingMembers"]) == (2, {})


async def test_a_group_is_deleted_while_it_is_joined(game: Game) -> None:
    owner = await game.player()
    for _ in range(5):
        group, players = await make(owner, isOpenGroup=True), [await game.player() for _ in range(2)]
        outcomes = await asyncio.gather(
            *(outcome(player, "JOIN_GROUP", groupId=group) for player in players),
            outcome(owner, "DELETE_GROUP", groupId=group, version=-1),
        )
        assert set(outcomes) <= {200, 40345}
        assert not await check(game, group, 4)
        for player in players:
            assert await mine(player) == NOTHING


# A player's life


async def test_groups_of_a_deleted_player_go_on(game: Game) -> None:
    owner, admin, member, pending = [await game.player() for _ in range(4)]
    group = await make(owner, member)
    await add(owner, group, admin, role="ADMIN")
    alone = await make(owner)
    await pending.call(SERVICE, "JOIN_GROUP", groupId=group)
    for player in (owner, pending):
        await actions.player_delete(game.server_app, APP_ID, player.profile_id)
    assert await check(game, group, 4)
    assert not await check(game, alone, 4)
    found = await read(member, group)
    assert (found["ownerId"], found["memberCount"]) == (admin.profile_id, 2)
    assert found["requestingPendingMemberCount"] == 0


async def test_two_players_become_one_in_their_groups(game: Game) -> None:
    player, target, other = [await game.player() for _ in range(3)]
    own = await make(player, target)  # the owner and a member: the owner stays
    theirs = await make(other, target)  # a member and one who is invited: a member stays
    await other.call(SERVICE, "INVITE_GROUP_MEMBER", groupId=theirs, profileId=player.profile_id)
    asked = await make(other)  # one who has asked and one who is invited: invited
    await target.call(SERVICE, "JOIN_GROUP", groupId=asked)
    await other.call(SERVICE, "INVITE_GROUP_MEMBER", groupId=asked, profileId=player.profile_id)
    moved = await make(other)
    await add(other, moved, player, role="ADMIN", attributes={"n": 1})
    await actions.player_merge(game.server_app, APP_ID, player.profile_id, target.profile_id)
    for group in (own, theirs, asked, moved):
        assert await check(game, group, 4)
    assert await roles(target, own) == {target.profile_id: "OWNER"}
    assert await roles(other, theirs) == {other.profile_id: "OWNER", target.profile_id: "MEMBER"}
    assert (await read(other, asked))["invitedPendingMemberCount"] == 1
    found = await read(target, moved)
    assert found["members"][target.profile_id] == {"role": "ADMIN", "attributes": {"n": 1}}


# What others are told


async def test_hooks_tell_who_comes_and_goes_and_what_ends(game: Game) -> None:
    told: list[tuple[str, ...]] = []

    def note(what: str) -> Callable[..., Any]:
        async def hook(work: Any, group_id: str, who: Any) -> None:
            assert work.app is game.app
            who = [who] if isinstance(who, str) else who
            told.append((what, group_id, *(names[each] for each in who)))

        return hook

    game.core.hooks.subscribe(MEMBER_JOINED, note("joined"))
    game.core.hooks.subscribe(MEMBER_GONE, note("gone"))
    game.core.hooks.subscribe(GROUP_DELETE, note("end"))
    owner, member = await game.player(), await game.player()
    names = {owner.profile_id: "owner", member.profile_id: "member"}
    group = await make(owner, isOpenGroup=True)
    await member.call(SERVICE, "JOIN_GROUP", groupId=group)
    await member.call(SERVICE, "LEAVE_GROUP", groupId=group)
    await owner.call(SERVICE, "INVITE_GROUP_MEMBER", groupId=group, profileId=member.profile_id)
    await member.call(SERVICE, "REJECT_GROUP_INVITATION", groupId=group)
    await owner.call(SERVICE, "LEAVE_GROUP", groupId=group)
    expected = [("joined", "owner"), ("joined", "member"), ("gone", "member"), ("end", "owner")]
    assert [(what, who) for what, group_id, who in told if group_id == group] == expected


async def test_connections_hear_what_concerns_their_player(game: Game) -> None:
    owner, other = await game.player(), await game.player()
    owners, others = await ear(owner), await ear(other)
    group = await make(owner, name="Reds")
    of_other = {"groupId": group, "profileId": other.profile_id}
    told = {"groupId": group, "groupType": "team", "groupName": "Reds"}

    async def heard(listening: Any, event_type: str, **more: Any) -> None:
        frame = await listening.next()
        assert (frame["service"], frame["operation"]) == ("event", "GET_EVENTS")
        event = frame["data"]
        assert (event["eventType"], event["evId"], event["fromPlayerId"]) == (event_type, "", "")
        assert event["eventData"] == told | more

    of_them = {"profileId": other.profile_id}
    await owner.call(SERVICE, "INVITE_GROUP_MEMBER", **of_other)
    await heard(others, "GROUP_INVITED", **of_them)
    await owner.call(SERVICE, "CANCEL_GROUP_INVITATION", **of_other)
    await heard(others, "GROUP_INVITATION_CANCELLED", **of_them)
    await owner.call(SERVICE, "INVITE_GROUP_MEMBER", **of_other)
    await heard(others, "GROUP_INVITED", **of_them)
    await other.call(SERVICE, "REJECT_GROUP_INVITATION", groupId=group)
    await heard(owners, "GROUP_INVITATION_REJECTED", **of_them)
    await other.call(SERVICE, "JOIN_GROUP", groupId=group)
    await heard(owners, "GROUP_REQUESTED", **of_them)
    await owner.call(SERVICE, "REJECT_GROUP_JOIN_REQUEST", **of_other)
    await heard(others, "GROUP_REQUEST_REJECTED", **of_them)
    await owner.call(SERVICE, "ADD_GROUP_MEMBER", **of_other)
    await heard(others, "GROUP_MEMBER_JOINED", **of_them)
    await owner.call(SERVICE, "UPDATE_GROUP_MEMBER", **of_other, attributes={"n": 1})
    await heard(others, "GROUP_MEMBER_CHANGED", **of_them)
    await other.call(SERVICE, "LEAVE_GROUP", groupId=group)
    await heard(owners, "GROUP_MEMBER_GONE", **of_them)
    await owner.call(SERVICE, "ADD_GROUP_MEMBER", **of_other)
    await heard(others, "GROUP_MEMBER_JOINED", **of_them)
    await game.server.call(SERVICE, "SYS_DELETE_GROUP", groupId=group)
    for listening in (owners, others):
        await heard(listening, "GROUP_DELETED")
        assert listening.heard.empty()


# What others ask


async def test_the_members_of_a_large_group_come_in_pages(game: Game) -> None:
    owner, *others = [await game.player() for _ in range(4)]
    group = await make(owner, *others[:3])
    found: list[Any] = []
    async with game.core.database.read() as tx:
        while page := await groups.members_page(
            tx, APP_ID, group, after=found[-1].profile_id if found else "", most=3
        ):
            found += page
        assert [one.profile_id for one in found] == sorted(one.profile_id for one in (owner, *others))
        assert await groups.ids_of(tx, APP_ID, owner.profile_id) == [group]
        [row] = await tx.all(select(func.count()).select_from(members).where(members.c.group_id == group))
        assert row[0] == len(found)
    assert await refused(owner, "LEAVE_GROUP", groupId=group) == (400, 40458)
