"""identity: parents, children and peers, and sessions that act for another app's player."""

import hashlib
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import select

from gameserver.admin import actions
from gameserver.apps import load_apps
from gameserver.players.identities import identities
from gameserver.players.profile_links import CHILDREN_MAX, profile_links
from gameserver.players.profiles import players
from gameserver.sessions import AllOf, AllOfApp, Session
from tests.conftest import APP_ID, Client, Game, Refusal
from tests.services.relatives import (
    ARCADE,
    KEYS,
    MASTER,
    PASSWORD,
    ROOT,
    apps_folder,
    attach_link,
    call_there,
    disable,
    identity,
    moved,
    parent,
    peers,
    to_child,
    to_parent,
)

__all__ = ["apps_folder"]  # a fixture


async def test_a_parent_plays_on_as_its_child(game: Game) -> None:
    client = await parent(game)
    master, session = client.profile_id, client.session_id
    answer = await to_child(client, countryCode="CA", timeZoneOffset=-5)
    assert (answer["newUser"], answer["switchToAppId"], answer["loginCount"]) == (True, APP_ID, 1)
    assert (answer["parentProfileId"], answer["countryCode"], answer["timeZoneOffset"]) == (master, "CA", -5)
    assert answer["profileId"] != master
    assert "sessionId" not in answer
    state = await client.call("playerState", "READ")
    assert (state["profileId"], state["parentProfileId"]) == (answer["profileId"], master)
    assert client.session_id == session
    assert await to_parent(client) == {"gameId": MASTER, "profileId": master, "switchToAppId": MASTER}
    assert (await client.call("playerState", "READ"))["profileId"] == master
    again = await to_child(client, profileId=answer["profileId"], forceCreate=False)
    assert (again["newUser"], again["loginCount"], again["profileId"]) == (False, 2, answer["profileId"])


async def test_events_that_came_while_a_session_acted_for_another_are_told_when_it_is_back(
    game: Game,
) -> None:
    client, friend, of_child = await parent(game), await parent(game), await game.player()

    async def told() -> list[str]:
        answer = (await client.send(client.body(("heartBeat", "HEARTBEAT", {})))).json()
        return [event["eventType"] for event in answer.get("events", [])]

    async def send(sender: Client, to: str, kind: str) -> None:
        await sender.call("event", "SEND", toId=to, eventType=kind, eventData={})

    master = client.profile_id
    child = (await to_child(client))["profileId"]
    await send(friend, master, "to the parent")
    assert await told() == []
    await to_parent(client)
    assert await told() == ["to the parent"]
    await send(of_child, child, "to the child")
    assert await told() == []
    await to_child(client, profileId=child)
    assert await told() == ["to the child"]
    assert await told() == []


async def test_there_are_several_children_or_a_single_one(game: Game) -> None:
    client = await parent(game)
    switch = {"gameId": APP_ID, "profileId": None}
    for force in ({"forceSingleton": True}, {}):
        none = await client.refused("identity", "SWITCH_TO_CHILD_PROFILE", **switch, **force)
        assert none.reason_code == 40379
    first = await to_child(client, forceSingleton=True)
    await to_parent(client)
    only = await to_child(client, forceSingleton=True)
    assert (only["profileId"], only["newUser"]) == (first["profileId"], False)
    await client.call("playerState", "UPDATE_NAME", playerName="Ada")
    await client.call("playerState", "UPDATE_SUMMARY", summaryFriendData={"level": 3})
    await to_parent(client)
    second = await to_child(client, profileId=None)
    assert second["newUser"]
    await to_parent(client)
    several = await client.refused("identity", "SWITCH_TO_CHILD_PROFILE", **switch, forceSingleton=True)
    assert several.reason_code == 40382
    plain = await client.call("identity", "GET_CHILD_PROFILES", includePlayerSummaryData=False)
    told = await client.call("identity", "GET_CHILD_PROFILES", includePlayerSummaryData=True)
    assert [child["summaryFriendData"] for child in plain["children"]] == [None, None]
    assert sorted(told["children"], key=lambda child: child["profileName"]) == [
        {
            "appId": APP_ID,
            "profileId": second["profileId"],
            "profileName": "",
            "summaryFriendData": None,
        },
        {
            "appId": APP_ID,
            "profileId": first["profileId"],
            "profileName": "Ada",
            "summaryFriendData": {"level": 3},
        },
    ]


async def test_only_ones_own_children_are_switched_to(game: Game) -> None:
    ada, bob = await parent(game), await parent(game)
    child = await to_child(ada)
    for profile in (child["profileId"], bob.profile_id, "nobody"):
        refusal = await bob.refused(
            "identity", "SWITCH_TO_CHILD_PROFILE", gameId=APP_ID, profileId=profile, forceCreate=True
        )
        assert refusal.reason_code == 40379
        assert "no such profile" in refusal.message
    for app in (ARCADE, ROOT, MASTER, "nobody", ""):
        refusal = await bob.refused("identity", "SWITCH_TO_CHILD_PROFILE", gameId=app, forceCreate=True)
        assert refusal.reason_code == 40378
    assert (await bob.call("playerState", "READ"))["profileId"] == bob.profile_id


async def test_a_switch_up_names_a_level_and_needs_a_profile_there(game: Game) -> None:
    client = await game.player()
    assert (
        await client.refused("identity", "SWITCH_TO_PARENT_PROFILE", levelName="Best")
    ).reason_code == 40377
    assert (
        await client.refused("identity", "SWITCH_TO_PARENT_PROFILE", levelName="Master")
    ).reason_code == 40380
    root = game.client(ROOT, KEYS[ROOT])
    await root.log_in()
    top = root.profile_id
    assert (await root.refused("identity", "SWITCH_TO_PARENT_PROFILE", levelName="Top")).reason_code == 40377
    await to_child(root, gameId=MASTER)
    await to_child(root)
    assert await to_parent(root, "top") == {"gameId": ROOT, "profileId": top, "switchToAppId": ROOT}


async def test_a_repeated_switch_gets_the_first_answer(game: Game) -> None:
    client = await parent(game)
    body = client.body(
        ("identity", "SWITCH_TO_CHILD_PROFILE", {"gameId": APP_ID, "profileId": None, "forceCreate": True})
    )
    first = await client.send(body)
    again = await client.send(body)  # to the app it has left, signed with that one's secret
    assert first.json() == again.json()
    assert first.json()["responses"][0]["status"] == 200
    moved(client, first.json()["responses"][0]["data"])
    body = client.body(("identity", "SWITCH_TO_PARENT_PROFILE", {"levelName": "Master"}))
    first, again = await client.send(body), await client.send(body)
    assert first.json() == again.json()
    assert first.json()["responses"][0]["status"] == 200
    moved(client, first.json()["responses"][0]["data"])
    assert len((await client.call("identity", "GET_CHILD_PROFILES"))["children"]) == 1


async def test_a_switch_that_was_committed_takes_place_when_the_packet_is_repeated(
    game: Game, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await parent(game)
    body = client.body(
        ("identity", "SWITCH_TO_CHILD_PROFILE", {"gameId": APP_ID, "profileId": None, "forceCreate": True})
    )

    async def die(*_: Any, **__: Any) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(game.core.sessions, "switch", die)
        await client.send(body)
    answer = (await client.send(body)).json()["responses"][0]
    assert answer["status"] == 200
    moved(client, answer["data"])
    assert (await client.call("playerState", "READ"))["profileId"] == client.profile_id
    await to_parent(client)
    assert len((await client.call("identity", "GET_CHILD_PROFILES"))["children"]) == 1


UP = """
[web.endpoints.up]
path = "/v1/up"
requires_login = true
[web.actions.up]
trigger = "up"
events = [{ do = "call", operation = "identity.SWITCH_TO_PARENT_PROFILE", data = { levelName = "Master" } }]
"""


async def test_a_web_endpoint_switches_the_session_as_well(game: Game, apps_folder: Path) -> None:
    """No packet is recorded there; the session acts for the parent from then on all the same."""
    file = apps_folder / "test" / "app.toml"
    file.write_text(file.read_text() + UP)
    game.apps.replace(load_apps(apps_folder, game.server_app.registry.sections()))
    client = await parent(game)
    master = client.profile_id
    await to_child(client)
    bearer = {"Authorization": f"Bearer {client.session_id}"}
    answer = await game.http.post("/v1/up", headers=bearer)
    assert (answer.status_code, answer.json()["data"]["switchToAppId"]) == (200, MASTER)
    moved(client, answer.json()["data"])
    assert (await client.call("playerState", "READ"))["profileId"] == master


async def test_secrets_of_the_app_and_of_the_one_before_sign(game: Game) -> None:
    client = await parent(game)
    await to_child(client)
    await to_parent(client)
    body = client.body(("playerState", "READ", {}))

    async def signed(secret: str, content: bytes) -> int:
        signature = hashlib.md5(content + secret.encode()).hexdigest()
        response = await game.packet(content, **{"X-SIG": signature})
        code: int = response.json()["responses"][0].get("reason_code", 200)
        return code

    mangled = body.replace(b'"%s"' % MASTER.encode(), b'"null\\n"')  # as one SDK does after a refused switch
    assert mangled != body
    assert await signed(KEYS[ROOT], mangled) == 40301
    assert await signed(KEYS[APP_ID], mangled) == 200  # of the app it has left


async def test_a_session_ends_wherever_it_has_been_switched_to(game: Game) -> None:
    client = await parent(game)
    await to_child(client)
    await client.call("playerState", "LOGOUT")
    assert (await client.refused("playerState", "READ")).reason_code == 40304
    client.app_id, client.secret = MASTER, KEYS[MASTER]
    assert (await client.refused("playerState", "READ")).reason_code == 40304


async def test_ends_of_either_players_sessions_end_it(game: Game) -> None:
    for which in ("parent", "child", "app of the child"):
        client = await parent(game)
        master = client.profile_id
        child = (await to_child(client))["profileId"]
        selector: Any = {
            "parent": AllOf(MASTER, master),
            "child": AllOf(APP_ID, child),
            "app of the child": AllOfApp(APP_ID),
        }[which]
        assert len(await game.core.sessions.end(selector, "revoked")) >= 1
        assert (await client.refused("playerState", "READ")).reason_code == 40356


async def test_a_session_that_switched_back_is_not_the_childs_any_more(game: Game) -> None:
    client = await parent(game)
    child = (await to_child(client))["profileId"]
    await to_parent(client)
    await client.call("playerState", "READ")
    assert await game.core.sessions.end(AllOf(APP_ID, child), "revoked") == []
    await client.call("playerState", "READ")


async def test_whom_a_session_acts_for_is_noted_for_as_long_as_it_lives(
    game: Game, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await parent(game)
    await to_child(client)
    noted = []
    switch = game.core.sessions.switch

    async def seen(*arguments: Any) -> Any:
        noted.append(game.clock.ms())
        return await switch(*arguments)

    monkeypatch.setattr(game.core.sessions, "switch", seen)
    session = await game.core.sessions.peek(client.session_id or "")
    assert isinstance(session, Session)
    kept = 10 * session.life_seconds
    monkeypatch.setattr("gameserver.rpc.packets.SWITCHED_SECONDS", kept)
    began = game.clock.ms()
    while game.clock.ms() - began < kept * 1000:
        game.clock.advance(session.life_seconds * 0.9)
        await client.call("heartbeat", "HEARTBEAT")
    gaps = [after - before for before, after in pairwise([began, *noted])]
    assert len(gaps) >= 2
    assert max(gaps) < kept * 1000 / 2


async def test_a_deleted_child_leaves_no_session(game: Game) -> None:
    client, other = await parent(game), None
    child = (await to_child(client))["profileId"]
    other = game.client(MASTER, KEYS[MASTER])
    other.session_id, other.profile_id = client.session_id, client.profile_id
    await client.call("playerState", "FULL_PLAYER_RESET")
    assert (await client.refused("playerState", "READ")).reason_code == 40304
    async with game.core.database.read() as tx:
        assert await tx.all(select(profile_links).where(profile_links.c.profile_id == child)) == []


async def test_children_go_with_their_parent_where_a_server_says_so(game: Game) -> None:
    root = game.client(ROOT, KEYS[ROOT])
    await root.log_in()
    top = root.profile_id
    await to_child(root, gameId=MASTER)
    middle = root.profile_id
    child = (await to_child(root))["profileId"]
    other = await game.player()
    everything: dict[str, Any] = {"optionsJson": {"deleteChildren": True}}
    # From an app that the player is not of nobody goes.
    foreign = await game.server.refused("user", "SYS_DELETE_USER", profileId=top, **everything)
    assert foreign.reason_code == 40374
    assert (await root.call("playerState", "READ"))["profileId"] == child
    await call_there(game, ROOT, "", "user", "SYS_DELETE_USER", {"profileId": top, **everything})
    async with game.core.database.read() as tx:
        left = await tx.all(
            select(players.c.profile_id).where(players.c.profile_id.in_([top, middle, child]))
        )
    assert left == []
    assert (await root.refused("playerState", "READ")).reason_code == 40356
    assert (await other.call("playerState", "READ"))["profileId"] == other.profile_id


async def test_a_deleted_parent_leaves_its_children(game: Game) -> None:
    client = await parent(game)
    child = (await to_child(client))["profileId"]
    await to_parent(client)
    await client.call("playerState", "FULL_PLAYER_RESET")
    state = await game.server.call("playerState", "READ", child)
    assert (state["profileId"], state["parentProfileId"]) == (child, None)


async def test_a_switch_to_a_player_whose_sessions_are_being_ended_ends_the_session(
    game: Game, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await parent(game)
    child = (await to_child(client))["profileId"]
    await to_parent(client)
    switch = game.core.sessions.switch

    async def late(*args: Any) -> Any:
        await disable(game, APP_ID, child)
        return await switch(*args)

    monkeypatch.setattr(game.core.sessions, "switch", late)
    await to_child(client, profileId=child)
    assert (await client.refused("playerState", "READ")).reason_code == 40356


async def test_disabled_players_and_apps_are_not_switched_to(game: Game, apps_folder: Path) -> None:
    client = await parent(game)
    master = client.profile_id
    child = (await to_child(client))["profileId"]
    await to_parent(client)
    await disable(game, APP_ID, child)
    switch = {"gameId": APP_ID, "profileId": child}
    assert (await client.refused("identity", "SWITCH_TO_CHILD_PROFILE", **switch)).reason_code == 40790
    app = game.apps.find(APP_ID)
    assert app is not None
    closed = msgspec.structs.replace(app, enabled=False, disabled_reason={"message": "noon"})
    game.apps._by_id[APP_ID] = closed
    refusal = await client.refused("identity", "SWITCH_TO_CHILD_PROFILE", gameId=APP_ID, forceCreate=True)
    assert (refusal.reason_code, refusal.raw["disabledReason"]) == (40330, {"message": "noon"})
    game.apps._by_id[APP_ID] = app
    second = await to_child(client)
    parents = game.apps.find(MASTER)
    assert parents is not None
    game.apps._by_id[MASTER] = msgspec.structs.replace(parents, enabled=False)
    # Whoever has logged in to the parent is not let in at the child either.
    assert (await client.refused("playerState", "READ")).reason_code == 40330
    straight = await game.player()
    await attach_link(game, straight.profile_id, master)
    refusal = await straight.refused("identity", "SWITCH_TO_PARENT_PROFILE", levelName="Master")
    assert refusal.reason_code == 40330
    game.apps._by_id[MASTER] = parents
    await disable(game, MASTER, master)
    refusal = await straight.refused("identity", "SWITCH_TO_PARENT_PROFILE", levelName="Master")
    assert refusal.reason_code == 40790
    assert second["newUser"]


async def test_clients_make_no_children_without_end(game: Game) -> None:
    client = await parent(game)
    for number in range(CHILDREN_MAX):
        await attach_link(game, f"{number}-{client.profile_id}"[:36], client.profile_id)
    async with game.core.database.read() as tx:
        assert len(await tx.all(select(profile_links).where(profile_links.c.target_id == client.profile_id)))
    # Rows without a player do not count where children are listed, so ask as an attachment does.
    name = game.unique("ada")
    await client.call(
        "identity", "ATTACH", authenticationType="Universal", externalId=name, authenticationToken=PASSWORD
    )
    child = await game.player()
    refusal = await child.refused(
        "identity",
        "ATTACH_PARENT_WITH_IDENTITY",
        externalId=name,
        authenticationToken=PASSWORD,
        authenticationType="Universal",
        forceCreate=False,
    )
    assert refusal.reason_code == 40371


# Attaching


async def test_a_parent_is_attached_and_detached(game: Game) -> None:
    client, name = await game.player(), game.unique("ada")
    assert (await client.refused("identity", "DETACH_PARENT")).reason_code == 40380
    none = await client.refused(
        "identity", "ATTACH_PARENT_WITH_IDENTITY", **identity(name, forceCreate=False)
    )
    assert none.reason_code == 40208
    attached = await client.call("identity", "ATTACH_PARENT_WITH_IDENTITY", **identity(name))
    assert attached["newUser"] is True
    assert (await client.call("playerState", "READ"))["parentProfileId"] == attached["profileId"]
    twice = await client.refused("identity", "ATTACH_PARENT_WITH_IDENTITY", **identity(game.unique("bob")))
    assert twice.reason_code == 40508
    assert await client.call("identity", "DETACH_PARENT") == {"profileId": attached["profileId"]}
    assert (await client.call("playerState", "READ"))["parentProfileId"] is None
    again = await client.call("identity", "ATTACH_PARENT_WITH_IDENTITY", **identity(name))
    assert again == {"profileId": attached["profileId"], "newUser": False}
    wrong = await (await game.player()).refused(
        "identity", "ATTACH_PARENT_WITH_IDENTITY", **identity(name, authenticationToken="wrong-password")
    )
    assert wrong.reason_code == 40307
    device = await (await game.player()).refused(
        "identity", "ATTACH_PARENT_WITH_IDENTITY", **identity(name, authenticationType="Anonymous")
    )
    assert device.reason_code == 40464
    root = game.client(ROOT, KEYS[ROOT])
    await root.log_in()
    refusal = await root.refused("identity", "ATTACH_PARENT_WITH_IDENTITY", **identity(name))
    assert refusal.reason_code == 40377
    assert (await root.refused("identity", "DETACH_PARENT")).reason_code == 40380


async def test_a_peer_is_attached_and_detached(game: Game) -> None:
    client, name = await game.player(), game.unique("ada")
    for code in ("", "nobody"):
        refusal = await client.refused("identity", "ATTACH_PEER_PROFILE", peer=code, **identity(name))
        assert refusal.reason_code == 40492
        assert (await client.refused("identity", "DETACH_PEER", peer=code)).reason_code == 40492
    assert (await client.refused("identity", "DETACH_PEER", peer="arcade")).reason_code == 40519
    other = await client.refused(
        "identity",
        "ATTACH_PEER_PROFILE",
        peer="arcade",
        **identity("ada@example.com", authenticationType="Email"),
    )
    assert other.reason_code == 40315
    strict = await client.refused("identity", "ATTACH_PEER_PROFILE", peer="strict", **identity(name))
    assert strict.reason_code == 40208  # it may not create
    attached = await client.call("identity", "ATTACH_PEER_PROFILE", peer="arcade", **identity(name))
    assert attached["newUser"] is True
    peer = attached["profileId"]
    twice = await client.refused("identity", "ATTACH_PEER_PROFILE", peer="arcade", **identity(name))
    assert twice.reason_code == 40509
    assert await client.call("identity", "GET_PEER_PROFILES") == {"arcade": {"profileId": peer}}
    assert (await client.call("playerState", "READ"))["peerProfileIds"] == {"arcade": {"profileId": peer}}
    assert await client.call("identity", "DETACH_PEER", peer="arcade") == {"profileId": peer}
    assert await client.call("identity", "GET_PEER_PROFILES") == {}


async def test_a_refused_attachment_changes_nothing_there(game: Game) -> None:
    client, name = await game.player(), game.unique("ada")
    await client.call("identity", "ATTACH_PEER_PROFILE", peer="arcade", **identity(game.unique("bob")))
    await client.refused("identity", "ATTACH_PEER_PROFILE", peer="arcade", **identity(name))
    there = game.client(ARCADE, KEYS[ARCADE])
    with pytest.raises(Refusal) as refused:
        await there.log_in("Universal", name, PASSWORD, forceCreate=False)
    assert refused.value.reason_code == 40208


# A player's life


async def test_children_of_both_are_the_survivors_after_a_merge(game: Game) -> None:
    ada, bob, name = await parent(game), await parent(game), game.unique("bob")
    first = (await to_child(ada))["profileId"]
    await to_parent(ada)
    await bob.call("identity", "ATTACH", **identity(name))
    second = (await to_child(bob))["profileId"]
    merged = await ada.call("identity", "MERGE", **identity(name))
    assert merged["profileId"] == ada.profile_id
    found = (await ada.call("identity", "GET_CHILD_PROFILES"))["children"]
    assert {child["profileId"] for child in found} == {first, second}
    assert (await bob.refused("playerState", "READ")).reason_code == 40356


async def merge_peer(game: Game, client: Client, name: str, **data: Any) -> Any:
    return await game.server.call(
        "identity", "MERGE_PEER_PROFILE", client.profile_id, **identity(name, peer="arcade", **data)
    )


@pytest.mark.parametrize("more", ["mine", "theirs"])
async def test_two_players_of_a_peer_become_one(game: Game, more: str) -> None:
    client, mine, other = await peers(game)
    theirs = other.profile_id
    stays, goes = (mine, theirs) if more == "mine" else (theirs, mine)
    for profile, vc_amount, points in ((mine, 3, more == "mine"), (theirs, 4, more == "theirs")):
        await call_there(
            game, ARCADE, profile, "virtualCurrency", "AWARD_VC", {"vcId": "tickets", "vcAmount": vc_amount}
        )
        await call_there(
            game, ARCADE, profile, "playerStatistics", "UPDATE", {"statistics": {}, "xp_points": int(points)}
        )
    [name] = await names_of(game, theirs)
    assert await merge_peer(game, client, name) == {"profileId": stays}
    assert await client.call("identity", "GET_PEER_PROFILES") == {"arcade": {"profileId": stays}}
    read = await client.call("virtualCurrency", "GET_PEER_VC", peer="arcade")
    assert read["currencyMap"]["tickets"]["balance"] == 7
    assert await names_of(game, stays) == [name]
    if goes == theirs:
        assert (await other.refused("playerState", "READ")).reason_code == 40356
    else:
        await other.call("playerState", "READ")
    await client.call("playerState", "READ")
    await game.core.audit.flush()
    assert len(await actions.audit_list(game.server_app, ARCADE, 10, equal={"profile_id": goes})) >= 1
    assert await actions.audit_list(game.server_app, APP_ID, 10, equal={"profile_id": goes}) == []
    again = await game.server.refused(
        "identity", "MERGE_PEER_PROFILE", client.profile_id, **identity(name, peer="arcade")
    )
    assert again.reason_code == 40211


async def names_of(game: Game, profile: str) -> list[str]:
    async with game.core.database.read() as tx:
        rows = await tx.all(select(identities.c.external_id).where(identities.c.profile_id == profile))
    return [row[0] for row in rows]


async def test_a_merge_in_a_peer_is_refused(game: Game) -> None:
    client, mine, other = await peers(game)
    [name] = await names_of(game, other.profile_id)

    async def code(profile: str = client.profile_id, **data: Any) -> int:
        refusal = await game.server.refused(
            "identity", "MERGE_PEER_PROFILE", profile, **identity(name, **{"peer": "arcade", **data})
        )
        return refusal.reason_code

    assert await code(peer="nowhere") == 40492
    assert await code(peer="strict") == 40519
    assert await code((await game.player()).profile_id) == 40519
    assert await code(authenticationType="Email") == 40315
    assert await code(authenticationToken="wrong-password") == 40307
    assert await code(externalId=game.unique("nobody")) == 40206
    forbidden = await client.refused("identity", "MERGE_PEER_PROFILE", **identity(name, peer="arcade"))
    assert forbidden.status == 403
    await disable(game, ARCADE, mine)
    assert await code() == 40790
    assert await client.call("identity", "GET_PEER_PROFILES") == {"arcade": {"profileId": mine}}


async def test_who_becomes_one_with_another_stays_the_peer_of_others(game: Game) -> None:
    client, there, other = await peers(game)
    [name] = await names_of(game, other.profile_id)
    await call_there(
        game,
        ARCADE,
        other.profile_id,
        "playerStatistics",
        "UPDATE",
        {"statistics": {}, "xp_points": 1},
    )
    merged = await call_there(game, ARCADE, there, "identity", "MERGE", identity(name))
    assert merged["data"]["profileId"] == other.profile_id
    assert await client.call("identity", "GET_PEER_PROFILES") == {"arcade": {"profileId": other.profile_id}}


async def test_an_export_tells_both_of_their_link(game: Game) -> None:
    client = await parent(game)
    master = client.profile_id
    child = (await to_child(client))["profileId"]
    async with game.core.database.read() as tx:
        for app, profile in ((MASTER, master), (APP_ID, child)):
            told = await game.core.player_hooks.export_player(tx, app, profile)
            [link] = told["identity"]["profileLinks"]
            assert (link["profileId"], link["targetId"]) == (child, master)
