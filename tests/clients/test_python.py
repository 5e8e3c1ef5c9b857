"""The Python client against a server in a process of its own: every typed method of every service.

A scenario for each service; the test that runs it fails when a method of the service's class is left out.
"""

import contextlib
import inspect
import queue
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from gameserver_client import Client, GameServerError, Settings, services
from gameserver_client.realtime import Realtime
from gameserver_client.service import Service
from gameserver_client.services.authentication_v2 import ServiceParams
from gameserver_client.services.mail import MailParams
from gameserver_client.services.player_statistics_event import Trigger

from tests.clients.game import Server, declare_app, family

READ, WRITE = {"other": 1}, {"other": 2}
HIGH_TO_LOW = "HIGH_TO_LOW"
Keys = dict[str, Any]  # arguments of several calls


class Players:
    """Makes players, and closes their clients at the end."""

    def __init__(self, stack: contextlib.ExitStack, server: Server) -> None:
        self._stack, self.server = stack, server

    def client(self) -> Client:
        """A client that has not logged in."""
        client = Client(
            self.server.url, self.server.app_id, self.server.secret, settings=Settings(heartbeats=False)
        )
        return self._stack.enter_context(client)

    def relative(self, app: str) -> Client:
        """A client that is logged in to an app of the family, and has the secrets of the others."""
        settings = Settings(heartbeats=False, secrets={one["id"]: one["secret"] for one in family().values()})
        one = family()[app]
        client = Client(self.server.url, one["id"], one["secret"], settings=settings)
        self._stack.enter_context(client).authenticate_anonymous()
        return client

    def __call__(self) -> Client:
        """A client that is logged in as a new player."""
        client = self.client()
        assert client.authenticate_anonymous()["newUser"] == "true"
        return client


@pytest.fixture(scope="module")
def players(tmp_path_factory: pytest.TempPathFactory, migrated: dict[str, str]) -> Iterator[Players]:
    """Players of a server on the backends of the test run."""
    with contextlib.ExitStack() as stack:
        folder = declare_app(tmp_path_factory.mktemp("python") / "server")
        yield Players(stack, Server(stack, folder, migrated))


def holds(actual: Any, **expected: Any) -> Any:
    """Check that an answer has at least these keys; returns it."""
    assert {key: actual.get(key) for key in expected} == expected
    return actual


def refused(call: Callable[..., Any], status: int, reason: int, **data: Any) -> None:
    """Check that a call is refused."""
    with pytest.raises(GameServerError) as refusal:
        call(**data)
    assert (refusal.value.status, refusal.value.reason_code) == (status, reason)
    assert refusal.value.message


def id_of(client: Client) -> str:
    """The profile id of a player that is logged in."""
    assert client.session is not None
    return client.session.profile_id


def unique(name: str) -> str:
    """A text that no other test uses."""
    return f"{name}-{uuid.uuid4()}"


# Scenarios


def authentication_v2(players: Players) -> None:
    client, name = players.client(), unique("ada")
    auth = client.authentication_v2
    assert auth.get_server_version()["serverVersion"]
    login: Keys = {
        "authentication_type": "Universal",
        "external_id": name,
        "profile_id": "",
        "anonymous_id": "",
    }
    refused(auth.authenticate, 202, 40208, **login, authentication_token="secret", force_create=False)
    made = auth.authenticate(**login, authentication_token="secret", force_create=True)
    holds(made, newUser="true")
    mail: ServiceParams = {"fromAddress": "game@example.com"}
    for by_mail in (auth.reset_email_password, auth.reset_email_password_advanced):
        by_mail(email_address=f"{name}@example.com", service_params=mail)
    for by_mail_soon in (
        auth.reset_email_password_with_expiry,
        auth.reset_email_password_advanced_with_expiry,
    ):
        by_mail_soon(email_address=f"{name}@example.com", service_params=mail, token_ttl_in_minutes=5)
    for by_name in (auth.reset_universal_id_password, auth.reset_universal_id_password_advanced):
        by_name(universal_id=name, service_params=mail)
    for by_name_soon in (
        auth.reset_universal_id_password_with_expiry,
        auth.reset_universal_id_password_advanced_with_expiry,
    ):
        by_name_soon(universal_id=name, service_params=mail, token_ttl_in_minutes=5)
    # The client's own ways lead to the same operation.
    holds(players.client().authenticate_universal(name, "secret"), profileId=made["profileId"])
    handoff = players.server.call("identity.CREATE_HANDOFF_ID", {}, made["profileId"])
    tablet = players.client()
    holds(
        tablet.authenticate_handoff(handoff["handoffId"], handoff["securityToken"]),
        profileId=made["profileId"],
        newUser="false",
    )
    refused(
        players.client().authenticate_handoff,
        202,
        40208,
        handoff_id=handoff["handoffId"],
        security_token=handoff["securityToken"],
    )


def data_stream(players: Players) -> None:
    mine = players().data_stream
    for call in (mine.custom_page_event, mine.custom_screen_event, mine.custom_track_event):
        assert call(event_name="Shop", event_properties={"price": 9.5}) == {}
        refused(call, 400, 40660, event_name="")
    assert mine.send_crash_report(crash_type="cpu", error_msg="Divide by zero error") == {}
    refused(mine.send_crash_report, 400, 40660, crash_type="")


def entity(players: Players) -> None:
    ada, bob = players(), players()
    mine, others = ada.entity, bob.entity
    made = holds(mine.create(entity_type="book", data={"visits": 1}, acl=WRITE), version=1, acl=WRITE)
    key: Keys = {"entity_id": made["entityId"]}
    holds(mine.read(**key), data={"visits": 1})
    holds(mine.update(**key, data={"visits": 2}, entity_type="book", acl=WRITE, version=1), version=2)
    holds(mine.increment_user_entity_data(**key, data={"visits": 1}), data={"visits": 3}, version=3)
    holds(mine.read_by_type(entity_type="book"), entityListCount=1)
    found = mine.get_list(where={"data.visits": 3}, order_by={"createdAt": 1}, max_return=5)
    assert [listed["entityId"] for listed in found["entityList"]] == [made["entityId"]]
    holds(mine.get_list_count(where={"entityType": "book"}), entityListCount=1)
    page = mine.get_page(context={"pagination": {"rowsPerPage": 5, "pageNumber": 1}, "searchCriteria": {}})
    assert page["results"]["count"] == 1
    assert mine.get_page_by_offset(context=page["context"], page_offset=1)["results"]["items"] == []

    owner: Keys = {"target_profile_id": id_of(ada)}
    holds(others.read_shared_entity(**key, **owner), version=3)
    holds(others.read_shared(**owner), entityListCount=1)
    holds(others.read_shared_entities_list(**owner, where={"entityType": "book"}), entityListCount=1)
    holds(others.update_shared(**key, **owner, data={"visits": 4}, version=3), version=4)
    holds(others.increment_shared_user_entity_data(**key, **owner, data={"visits": 1}), version=5)
    refused(others.update, 404, 40332, **key, data={})

    assert dict(mine.read_singleton(entity_type="settings")) == {}
    holds(mine.update_singleton(entity_type="settings", data={"sound": True}, version=-1), version=1)
    refused(mine.update_singleton, 400, 40344, entity_type="settings", data={}, version=7)
    assert mine.delete_singleton(entity_type="settings", version=1) == {}
    assert mine.delete(**key, version=5) == {}
    refused(mine.read, 400, 40345, **key)


def global_entity(players: Players) -> None:
    ada, bob = players(), players()
    mine, others = ada.global_entity, bob.global_entity
    kind, region = unique("island"), unique("region")
    made = mine.create(entity_type=kind, time_to_live=-1, acl=READ, data={"trees": 1})
    key: Keys = {"entity_id": made["entityId"]}
    holds(others.read(**key), data={"trees": 1}, ownerId=id_of(ada))
    holds(mine.update(**key, version=1, data={"trees": 2}), version=2)
    holds(mine.increment_global_entity_data(**key, data={"trees": 5}), version=3, data={"trees": 7})
    holds(mine.update_time_to_live(**key, version=3, time_to_live=60_000), version=4, timeToLive=60_000)
    holds(mine.update_indexed_id(**key, version=4, entity_indexed_id=region), version=5)
    holds(mine.update_acl(**key, version=5, acl=WRITE), version=6, acl=WRITE)
    new = mine.create_with_indexed_id(entity_type=kind, entity_indexed_id=region, acl=READ, data={"trees": 1})
    holds(new, version=1)

    both = {"entityType": kind}
    for count in (
        mine.get_list(where=both, max_return=5, order_by={"data.trees": 1}),
        mine.get_list_with_hint(where=both, max_return=5, hint_json={}),
        mine.get_list_by_indexed_id(entity_indexed_id=region, max_return=5),
        mine.get_list_count(where=both),
        mine.get_list_count_with_hint(where=both, hint_json={}),
        mine.get_random_entities_matching(where=both, max_return=5),
        mine.get_random_entities_matching_with_hint(where=both, max_return=5, hint_json={}),
    ):
        holds(count, entityListCount=2)
    holds(mine.get_system_entity_list_with_hint(where=both, max_return=5, hint_json={}), entityListCount=0)
    page = mine.get_page(context={"pagination": {"rowsPerPage": 1, "pageNumber": 1}, "searchCriteria": both})
    assert mine.get_page_by_offset(context=page["context"], page_offset=1)["results"]["page"] == 2

    owner = id_of(bob)
    holds(mine.update_entity_owner_and_acl(**key, version=6, owner_id=owner, acl=READ), ownerId=owner)
    refused(mine.update, 403, 40346, **key, data={})
    holds(others.make_system_entity(**key, version=7, acl=WRITE), ownerId=None)
    holds(mine.get_system_entity_list_count_with_hint(where=both, hint_json={}), entityListCount=1)
    assert mine.delete(**key, version=8) == {}
    refused(mine.read, 400, 40345, **key)


def global_game_statistics(players: Players) -> None:
    shared = players().global_game_statistics
    before = shared.read()["statistics"]["monsters"]
    holds(shared.process_statistics(statistics={"monsters": "INC#2"}), statistics={"monsters": before + 2})
    holds(shared.update_increment(statistics={"monsters": 1}), statistics={"monsters": before + 3})
    holds(shared.read_subset(statistics=["monsters"]), statistics={"monsters": before + 3})
    assert set(shared.read_for_category(category="rounds")["statistics"]) == {"rounds"}
    refused(shared.update_increment, 400, 40369, statistics={"typos": 1})


def heartbeat(players: Players) -> None:
    client = players()
    assert client.heartbeat.read() == {}
    assert client.heartbeat.heartbeat() == {}
    client.logout()
    refused(client.heartbeat.read, 403, 40304)


def identity(players: Players) -> None:
    ada, name, email = players(), unique("ada"), f"{unique('ada')}@example.com"
    mine, secret = ada.identity, {"authentication_token": "secret"}
    by_name = {"authentication_type": "Universal", "external_id": name}
    by_mail = {"authentication_type": "Email", "external_id": email}
    mine.attach(**by_name, **secret)
    mine.attach(**by_mail, **secret)
    refused(mine.attach, 202, 40211, **by_mail, **secret)
    refused(players().identity.attach, 202, 40212, **by_mail, **secret)
    assert mine.get_identities() == {"identities": {"Universal": name, "Email": email}}
    assert mine.get_expired_identities() == {"identities": {}}
    assert mine.get_identity_status(authentication_type="Email")["identities"]["Email"]["externalId"] == email
    refused(mine.get_identity_status, 400, 40315, authentication_type="Nonsense")
    refused(mine.refresh_identity, 400, 40464, **by_name, **secret)
    new = {"authentication_token": "secret", "new_email_address": f"{unique('bob')}@example.com"}
    refused(mine.change_email_identity, 400, 40584, old_email_address="x@example.com", **new)
    assert mine.change_email_identity(old_email_address=email, **new, update_contact_email=True) == {}
    mine.update_universal_login(external_id=unique("eve"))
    refused(mine.update_universal_login, 400, 40660, external_id="")
    refused(mine.detach, 202, 40206, **by_name)
    mine.detach(authentication_type="Email", external_id=new["new_email_address"])
    mine.attach_blockchain_identity(blockchain_config="main", public_key=unique("key"))
    refused(mine.attach_blockchain_identity, 400, 40678, blockchain_config="x", public_key="x")
    mine.detach_blockchain_identity(blockchain_config="main")
    refused(mine.detach_blockchain_identity, 202, 40206, blockchain_config="main")

    other, bob, named = players(), players(), unique("bob")
    bob.identity.attach_nonlogin_universal(external_id=named)
    refused(other.identity.attach_nonlogin_universal, 400, 40583, external_id=named)
    refused(other.identity.merge, 403, 40307, **{**by_name, "external_id": named}, **secret)
    with_mail = {"authentication_type": "Email", "external_id": f"{unique('bob')}@example.com"}
    bob.identity.attach(**with_mail, **secret)
    players.server.call("playerStatistics.UPDATE", {"statistics": {}, "xp_points": 9}, id_of(bob))
    stays = other.identity.merge(**with_mail, **secret)["profileId"]
    assert stays == id_of(bob) == id_of(other)
    holds(other.player_state.read(), profileId=stays)  # with the session from the answer
    holds(other.authenticate_anonymous(force_create=False), profileId=stays)
    _switching(players)
    _peers(players)


def _switching(players: Players) -> None:
    client, chapter = players.relative("studio"), family()["chapter"]["id"]
    studio, mine = id_of(client), client.identity
    refused(mine.switch_to_parent_profile, 400, 40377, level_name="Studio")
    child = mine.switch_to_child_profile(game_id=chapter, force_create=True)
    holds(child, newUser=True, parentProfileId=studio, switchToAppId=chapter)
    assert id_of(client) == child["profileId"]
    client.player_state.update_name(player_name="Child")
    holds(mine.switch_to_parent_profile(level_name="Studio"), profileId=studio)
    [found] = mine.get_child_profiles()["children"]
    holds(found, appId=chapter, profileId=child["profileId"], profileName="Child")
    mine.switch_to_child_profile(game_id=chapter, force_singleton=True)
    holds(mine.detach_parent(), profileId=studio)
    refused(mine.switch_to_parent_profile, 400, 40380, level_name="Studio")


def _peers(players: Players) -> None:
    mine = players.relative("chapter").identity
    who: Keys = {
        "authentication_type": "Universal",
        "external_id": unique("ada"),
        "authentication_token": "secret",
        "force_create": True,
    }
    parent = mine.attach_parent_with_identity(**who)
    holds(parent, newUser=True)
    refused(mine.attach_parent_with_identity, 400, 40508, **who)
    holds(mine.detach_parent(), profileId=parent["profileId"])
    peer = mine.attach_peer_profile(peer="arcade", **who)["profileId"]
    assert mine.get_peer_profiles() == {"arcade": {"profileId": peer}}
    refused(mine.attach_peer_profile, 400, 40509, peer="arcade", **who)
    holds(mine.detach_peer(peer="arcade"), profileId=peer)
    refused(mine.detach_peer, 400, 40519, peer="arcade")


def leaderboard(players: Players) -> None:
    ada, bob, board = players(), players(), unique("board")
    mine, others = ada.leaderboard, bob.leaderboard
    on: Keys = {"leaderboard_id": board}
    reset = int(time.time() * 1000) + 3_600_000
    mine.post_score_dynamic(
        **on, score=10, data={"lap": 1}, leaderboard_type="HIGH_VALUE", rotation_type="WEEKLY",
        rotation_reset_time=reset, retained_count=2,
    )  # fmt: skip
    mine.post_score(**on, score=30)
    others.post_score_dynamic_using_config(**on, score=20, score_data={"lap": 2}, config_json={})
    adas, bobs = {"playerId": id_of(ada)}, {"playerId": id_of(bob)}

    page: Keys = {"start_index": 0, "end_index": 9, "sort": HIGH_TO_LOW}
    view: Keys = {"before_count": 1, "after_count": 1, "sort": HIGH_TO_LOW}
    names: Keys = {"profile_ids": [adas["playerId"], bobs["playerId"], "nobody"]}
    for found in (
        mine.get_global_leaderboard_page(**on, **page),
        mine.get_global_leaderboard_page_if_exists(**on, **page),
        mine.get_global_leaderboard_page_by_version_if_exists(**on, **page, version_id=1),
        mine.get_global_leaderboard_view(**on, **view),
        mine.get_global_leaderboard_view_if_exists(**on, **view),
        mine.get_global_leaderboard_view_by_version_if_exists(**on, **view, version_id=1),
        mine.get_players_social_leaderboard(**on, **names),
        mine.get_players_social_leaderboard_if_exists(**on, **names),
        mine.get_players_social_leaderboard_by_version(**on, **names, version_id=1),
        mine.get_players_social_leaderboard_by_version_if_exists(**on, **names, version_id=1),
    ):
        holds(found, leaderboardId=board, versionId=1)
        assert [(e["playerId"], e["score"]) for e in found["leaderboard"]] == [
            (adas["playerId"], 30),
            (bobs["playerId"], 20),
        ]
    for social in (
        mine.get_social_leaderboard(**on, replace_name=True),
        mine.get_social_leaderboard_if_exists(**on, replace_name=True),
        mine.get_social_leaderboard_by_version(**on, replace_name=True, version_id=1),
        mine.get_social_leaderboard_by_version_if_exists(**on, replace_name=True, version_id=1),
    ):
        [alone] = social["social_leaderboard"]
        holds(alone, **adas, name="You", score=30)
    several = mine.get_multi_social_leaderboard(leaderboard_ids=[board, "none"], leaderboard_result_count=3)
    assert [found["leaderboardId"] for found in several["leaderboards"]] == [board]
    nowhere: Keys = {"leaderboard_id": "none"}
    assert dict(mine.get_global_leaderboard_page_if_exists(**nowhere, **page)) == {}
    refused(mine.get_global_leaderboard_page, 500, 40499, **nowhere, **page)

    holds(mine.get_global_leaderboard_entry_count(**on, version_id=1), entryCount=2)
    assert [v["versionId"] for v in mine.get_global_leaderboard_versions(**on)["versions"]] == [1]
    assert board in [b["leaderboardId"] for b in mine.list_all_leaderboards()["leaderboardList"]]
    holds(mine.get_player_score(**on)["score"], score=30, data={"lap": 1})
    holds(mine.get_player_scores(**on, max_results=5)["scores"][0], score=30)
    [score] = mine.get_player_scores_from_leaderboards(leaderboard_ids=[board])["scores"]
    holds(score, leaderboardId=board, score=30)
    holds(mine.remove_player_score(**on), numScoresRemoved=1)
    refused(mine.get_player_score, 400, 40528, **on)

    group = ada.group.create_group(name="Reds", group_type="crew", summary_data={"flag": "red"})
    reds: Keys = {"group_id": group["groupId"]}
    teams: Keys = {"leaderboard_id": "teams", **reds}
    assert not mine.post_group_score(**teams, score=5)
    [entry] = mine.get_group_leaderboard_view(**teams, **{**view, "before_count": 0, "after_count": 0})[
        "leaderboard"
    ]
    holds(entry, score=5, groupName="Reds", groupSummaryData={"flag": "red"})
    config: Keys = {"leaderboardType": "HIGH_VALUE", "rotationType": "NEVER"}
    new = {"leaderboard_id": unique("teams"), **reds, "score": 1}
    assert not mine.post_group_score_dynamic(**new, leaderboard_type="HIGH_VALUE", rotation_type="NEVER")
    assert not mine.post_group_score_dynamic_using_config(**new, config_json=config)
    for members in (
        mine.get_group_social_leaderboard(**on, **reds),
        mine.get_group_social_leaderboard_by_version(**on, **reds, version_id=1),
    ):
        assert members["leaderboard"] == []  # the player's score was removed
    holds(mine.remove_group_score(**teams), numScoresRemoved=1)
    refused(mine.post_group_score, 400, 40345, leaderboard_id="teams", group_id="none", score=1)


def group(players: Players) -> None:
    owner = players()
    made = owner.group.create_group(name="Crew", group_type="crew")
    group_entities(owner, made["groupId"])
    group_changes(owner, made["groupId"])
    group_members(players, owner, made["groupId"])
    groups_found(players, owner)


def group_changes(owner: Client, group_id: str) -> None:
    """Every method that reads or changes a group."""
    mine = owner.group
    here: Keys = {"group_id": group_id}
    mine.update_group_name(**here, name="Reds")
    holds(mine.update_group_data(**here, version=2, data={"n": 1}), version=3, data={"n": 1})
    refused(mine.update_group_data, 400, 40460, **here, version=2)
    mine.increment_group_data(**here, data={"n": 2})
    assert mine.read_group_data(**here) == {"data": {"n": 3}}
    holds(mine.update_group_summary_data(**here, summary_data={"flag": 1}), summaryData={"flag": 1})
    holds(mine.update_group_acl(**here, acl={"member": 1, "other": 1}), acl={"member": 1, "other": 1})
    mine.set_group_open(**here, is_open_group=False)
    holds(mine.read_group(**here), name="Reds", isOpenGroup=False, memberCount=1)
    for members in (mine.read_group_members(**here), mine.read_members_of_group(**here)):
        holds(members[id_of(owner)], role="OWNER", emailAddress=None)


def group_members(players: Players, owner: Client, group_id: str) -> None:
    """Every method by which players come in and go."""
    bob, cleo = players(), players()
    mine, theirs = owner.group, bob.group
    here: Keys = {"group_id": group_id}
    of_bob, of_cleo = ({**here, "profile_id": id_of(player)} for player in (bob, cleo))
    theirs.join_member_to_group(**here)
    [asked] = theirs.get_my_groups()["requested"]
    holds(asked, groupId=group_id, requestingPendingMemberCount=1)
    theirs.delete_group_join_request(**here)
    theirs.join_group(**here)
    mine.reject_group_join_request(**of_bob)
    theirs.join_group(**here)
    mine.approve_group_join_request(**of_bob, role="ADMIN")
    refused(mine.approve_group_join_request, 400, 40734, **of_bob)
    mine.invite_group_member(**of_cleo)
    mine.cancel_group_invitation(**of_cleo)
    mine.invite_member_to_group(**of_cleo)
    cleo.group.reject_group_invitation(**here)
    refused(cleo.group.accept_group_invitation, 400, 40456, **here)
    mine.invite_group_member(**of_cleo)
    cleo.group.accept_group_invitation(**here)
    mine.remove_group_member(**of_cleo)
    for add in (mine.add_group_member, mine.add_member_to_group):
        add(**of_cleo, role="MEMBER")
    mine.update_group_member(**of_cleo, attributes={"rank": 1})
    mine.update_member_of_group(**of_cleo, role="ADMIN")
    refused(mine.add_group_member, 400, 40749, **of_cleo, role="MEMBER")
    cleo.group.leave_group(**here)
    refused(mine.leave_group, 400, 40458, **here)
    assert mine.leave_group_auto(**here) == {}
    holds(theirs.read_group(**here), ownerId=id_of(bob), memberCount=1)
    theirs.delete_group(**here, version=-1)
    refused(theirs.read_group, 400, 40345, **here)


def groups_found(players: Players, owner: Client) -> None:
    """Every method that finds groups."""
    bob, tag = players(), unique("tag")
    for name in "ab":
        owner.group.create_group(name=name, group_type="crew", is_open_group=True, data={"indexedId": tag})
    where = {"data.indexedId": tag}
    page = bob.group.list_groups_page(
        context={"pagination": {"rowsPerPage": 1}, "searchCriteria": where, "sortCriteria": {"name": 1}}
    )
    assert [item["name"] for item in page["results"]["items"]] == ["a"]
    after = bob.group.list_groups_page_by_offset(context=page["context"], page_offset=1)
    assert [item["name"] for item in after["results"]["items"]] == ["b"]
    assert bob.group.get_random_groups_matching(where=where, max_return=1)["count"] == 1
    first = bob.group.auto_join_group(group_type="crew", auto_join_strategy="JoinFirstGroup", where=where)
    second = bob.group.auto_join_group_multi(
        group_types=["crew"], auto_join_strategy="JoinRandomGroup", where=where
    )
    assert first["groupId"] != second["groupId"]
    assert len(bob.group.list_groups_with_member(profile_id=id_of(owner))["groups"]) == 2


def group_entities(owner: Client, group_id: str) -> None:
    """Every method for the entities of a group."""
    mine = owner.group
    here: Keys = {"group_id": group_id}
    made = mine.create_group_entity(**here, entity_type="castle", data={"walls": 1})
    holds(made, ownerId=None, version=1, acl={"member": 2, "other": 0})
    one: Keys = {**here, "entity_id": made["entityId"]}
    assert not mine.update_group_entity_data(**one, version=1, data={"walls": 2})
    refused(mine.update_group_entity_data, 400, 40461, **one, version=1)
    assert not mine.increment_group_entity_data(**one, data={"walls": 3})
    holds(mine.read_group_entity(**one), version=3, data={"walls": 5})
    holds(mine.update_group_entity_acl(**one, acl={"member": 2, "other": 1}), version=4)
    page = mine.read_group_entities_page(context={"searchCriteria": {"groupId": group_id}})
    assert [item["entityId"] for item in page["results"]["items"]] == [made["entityId"]]
    after = mine.read_group_entities_page_by_offset(context=page["context"], page_offset=1)
    assert after["results"]["items"] == []
    assert not mine.delete_group_entity(**one, version=4)
    refused(mine.read_group_entity, 400, 40345, **one)


def player_state(players: Players) -> None:
    client = players()
    me = client.player_state
    holds(me.update_name(player_name="Ada 🚀 \\"), playerName="Ada 🚀 \\")
    holds(me.update_picture_url(player_picture_url="https://example.com/a.png"))
    holds(me.update_contact_email(contact_email="ada@example.com"), contactEmail="ada@example.com")
    holds(me.update_language_code(language_code="fr"), languageCode="fr")
    holds(me.update_timezone_offset(time_zone_offset=5.5), timeZoneOffset=5.5)
    assert me.update_summary(summary_friend_data={"badge": "gold"}) == {}
    holds(
        me.read(), playerName="Ada 🚀 \\", emailAddress="ada@example.com", summaryFriendData={"badge": "gold"}
    )
    refused(me.update_contact_email, 400, 40221, contact_email="no address")

    me.update_attributes(attributes={"colour": "red", "size": 4}, wipe_existing=True)
    me.remove_attributes(attributes=["size"])
    assert me.get_attributes() == {"attributes": {"colour": "red"}}
    me.set_user_status(status_name="boost", duration_secs=60, details={"power": 2})
    holds(me.extend_user_status(status_name="boost", additional_secs=60, details={}), details={"power": 2})
    me.extend_user_status_with_max(status_name="boost", additional_secs=60, max_active_secs=100)
    assert set(me.get_user_status(status_name="boost")) == {"boost"}
    assert me.clear_user_status(status_name="boost") == {}
    assert me.get_user_status() == {}
    assert me.game_data_reset() == {}
    assert me.get_attributes() == {"attributes": {}}
    assert me.logout() == {}
    refused(me.read, 403, 40304)
    client.reconnect()
    assert me.full_player_reset() == {}
    refused(client.reconnect, 202, 40208)  # the client has forgotten the profile


def player_statistics(players: Players) -> None:
    mine = players().player_statistics
    holds(mine.read(), statistics={"wins": 0, "lives": 3})
    holds(mine.process_statistics(statistics={"wins": 2}), statistics={"wins": 2})
    holds(mine.update(statistics={"wins": 1}, xp_points=40), experiencePoints=40)
    levelled = mine.update_increment(statistics={"wins": 1}, xp_points=60)
    holds(levelled, experienceLevel=1, rewards={"experienceLevels": [1], "currency": {"coins": 10}})
    holds(mine.read_subset(statistics=["wins"]), statistics={"wins": 4})
    holds(mine.read_for_category(category="round"), statistics={"lives": 3})
    holds(mine.read_next_xplevel()["xp_level"], numericLevel=2, statusTitle="Knight")
    assert mine.set_xppoints(xp_points=250) == {}
    assert mine.read_next_xplevel() == {"xp_level": None}
    holds(mine.reset(), statistics={"wins": 0, "lives": 3}, experiencePoints=250)
    refused(mine.update, 400, 40369, statistics={"typos": 1})


def player_statistics_event(players: Players) -> None:
    client = players()
    events = client.player_statistics_event
    holds(events.trigger(event_name="found", event_multiplier=2), rewards={"currency": {"gems": 4}})
    several: list[Trigger] = [
        {"eventName": "won", "eventMultiplier": 1},
        {"eventName": "found", "eventMultiplier": 1},
    ]
    holds(events.trigger_multiple(events=several), rewards={"currency": {"gems": 2}})
    holds(client.player_state.read(), statistics={"wins": 1, "lives": 3}, experiencePoints=60)
    refused(events.trigger, 400, 40321, event_name="unheard of")


def push_notification(players: Players) -> None:
    client = players()
    mine, me = client.push_notification, client.stored_identity.profile_id
    device, alert = {"device_type": "IOS", "device_token": unique("device")}, {"body": "b"}
    raw, to_nobody = {"aps": {"alert": "b"}}, {"group_id": "none"}
    assert mine.register(**device) == {}
    assert not mine.send_simple(message="m", to_profile_id=me)
    assert mine.send_normalized(alert_content=alert, to_profile_id=me) == {}
    assert mine.send_normalized_batch(alert_content=alert, profile_ids=[me]) == {}
    assert mine.send_raw(ios_content=raw, to_profile_id=me) == {}
    assert mine.send_raw_batch(ios_content=raw, profile_ids=[me]) == {}
    assert mine.send_rich(notification_template_id=1, to_profile_id=me) == {}
    refused(mine.send_normalized_to_group, 400, 40345, alert_content=alert, **to_nobody)
    refused(mine.send_raw_to_group, 400, 40345, ios_content=raw, **to_nobody)
    refused(mine.send_templated_to_group, 400, 40345, notification_template_id=1, **to_nobody)
    later: dict[str, Any] = {"profile_id": me, "minutes_from_now": 5}
    assert mine.schedule_normalized_notification(alert_content=alert, **later) == {}
    assert mine.schedule_raw_notification(ios_content=raw, **later) == {}
    assert mine.schedule_rich_notification(notification_template_id=1, **later) == {}
    assert mine.deregister(**device) == {}
    assert mine.deregister_all() == {}
    refused(mine.send_simple, 400, 40374, to_profile_id="nobody", message="x")
    refused(mine.register, 400, 40419, device_type="IOS", device_token="")


def time_(players: Players) -> None:
    client = players()
    assert abs(client.time.read()["server_time"] - time.time() * 1000) < 60_000
    client.logout()
    refused(client.time.read, 403, 40304)


def tournament(players: Players) -> None:
    client, set_id = players(), unique("gold")
    mine = client.tournament
    arena: Keys = {"leaderboard_id": "arena"}
    refused(mine.join_tournament, 400, 40507, **arena, tournament_code="cup")
    client.virtual_currency.award_vc(vc_id="coins", vc_amount=10)
    holds(mine.get_tournament_status(**arena), enrolled=False)
    holds(mine.join_tournament(**arena, tournament_code="cup", initial_score=0), enrolled=True)
    began = int(time.time() * 1000)
    holds(mine.post_tournament_score(**arena, score=7, data={"lap": 1}, round_started_epoch=began), score=7)
    around: Keys = {"sort": HIGH_TO_LOW, "before_count": 0, "after_count": 0}
    posted = mine.post_tournament_score_with_results(**arena, score=9, **around)
    holds(posted["postScore"], score=9, previousScore=7)
    holds(mine.view_current_reward(**arena), score=9, tCode="cup")
    refused(mine.view_reward, 400, 40505, **arena)
    refused(mine.claim_tournament_reward, 400, 40505, **arena, version_id=-1)
    holds(mine.leave_tournament(**arena), numScoresRemoved=1)

    config = {"divSetId": set_id, "configJson": {"templateLeaderboardId": "model", "maxPlayers": 2}}
    players.server.call("tournament.SYS_CREATE_DIVISION_SET_CONFIG", config)
    holds(mine.get_division_info(div_set_id=set_id), enrolled=False)
    board = mine.join_division(div_set_id=set_id, tournament_code="cup", initial_score=3)["leaderboardId"]
    holds(mine.get_my_divisions(), ACTIVE={set_id: [board]})
    holds(mine.leave_division_instance(leaderboard_id=board), numScoresRemoved=1)

    crew = client.group.create_group(name="Crew", group_type="crew")
    group: Keys = {"group_id": crew["groupId"]}
    crews: Keys = {"leaderboard_id": "crews", **group}
    holds(mine.join_group_tournament(**crews, tournament_code="crews"), enrolled=True)
    holds(mine.post_group_tournament_score(**crews, score=5), score=5, groupId=crew["groupId"])
    posted = mine.post_group_tournament_score_with_results(**crews, score=6, **around)
    holds(posted["scores"][0], score=6, groupName="Crew")
    holds(mine.get_group_tournament_status(**crews)["leaderboardEnrollment"], score=6, tNotifiedAt=0)
    holds(mine.leave_group_tournament(**crews), numScoresRemoved=1)
    set_id = unique("crews")
    config = {"divSetId": set_id, "configJson": {"templateLeaderboardId": "crews", "entryType": "GROUP"}}
    players.server.call("tournament.SYS_CREATE_DIVISION_SET_CONFIG", config)
    board = mine.join_group_division(**group, div_set_id=set_id, tournament_code="crews")["leaderboardId"]
    holds(mine.get_group_division_info(**group, div_set_id=set_id), enrolled=True)
    holds(mine.get_group_divisions(**group), ACTIVE={set_id: [board]})
    holds(mine.leave_group_division_instance(**group, leaderboard_id=board), numScoresRemoved=1)
    refused(mine.get_group_divisions, 400, 40345, group_id="none")


def virtual_currency(players: Players) -> None:
    mine = players().virtual_currency
    assert mine.award_vc(vc_id="coins", vc_amount=30)["currencyMap"]["coins"]["balance"] == 30
    assert mine.consume_vc(vc_id="coins", vc_amount=12)["currencyMap"]["coins"]["balance"] == 18
    assert set(mine.get_player_vc(vc_id="coins")["currencyMap"]) == {"coins"}
    assert set(mine.get_player_vc()["currencyMap"]) == {"coins", "gems"}
    refused(mine.consume_vc, 400, 40660, vc_id="coins", vc_amount=19)
    assert mine.reset_player_vc() == {}
    # This app has no parent and no peers.
    refused(mine.get_parent_vc, 400, 40380, vc_id="coins", level_name="Master")
    refused(mine.get_peer_vc, 400, 40519, vc_id="coins", peer_code="peer")


def script(players: Players) -> None:
    mine, data = players().script, {"a": 1, "b": 2}
    app = players.server.app_id
    assert mine.run(script_name="sum", script_data=data) == {
        "response": {"sum": 3, "app": app},
        "success": True,
    }
    holds(mine.run(script_name="/sum", script_data={"fail": True}), success=False, reasonCode=40911)
    refused(mine.run, 400, 40363, script_name="nowhere")
    refused(mine.run_parent_script, 400, 40377, script_name="sum", parent_level="Studio")
    refused(mine.run_peer_script, 400, 40492, script_name="sum", peer="arcade")
    refused(mine.run_peer_script_async, 400, 40492, script_name="sum", peer="arcade")
    soon = mine.schedule_cloud_script(script_name="sum", script_data=data, minutes_from_now=60)
    holds(soon, runState="Scheduled", parameters=data, scriptName="sum")
    until = soon["scheduledStartTime"]
    [listed] = mine.get_scheduled_cloud_scripts(start_date_utc=until)["scheduledJobs"]
    assert listed["jobId"] == soon["jobId"]
    assert mine.get_running_or_queued_cloud_scripts()["runningOrQueuedJobs"] == []
    holds(mine.cancel_scheduled_script(job_id=soon["jobId"]), runState="Cancelled")
    refused(mine.cancel_scheduled_script, 400, 40466, job_id=soon["jobId"])


def event(players: Players) -> None:
    ada, bob = players(), players()
    mine, to_bob = ada.event, {"to_id": id_of(bob), "event_type": "ping"}
    first = mine.send(**to_bob, event_data={"n": 1})["evId"]
    many = mine.send_event_to_profiles(to_ids=[id_of(bob), "nobody"], event_type="ping", event_data={"n": 2})
    holds(many, errorProfiles=["nobody"], errorCount=1, sentCount=1)
    refused(mine.send, 400, 40374, to_id="nobody", event_type="ping")
    one, two = bob.event.get_events()["incoming_events"]
    holds(
        one, evId=first, fromPlayerId=id_of(ada), toPlayerId=id_of(bob), eventType="ping", eventData={"n": 1}
    )
    bob.event.update_event_data(ev_id=first, event_data={"n": 3})
    bob.event.update_event_data_if_exists(ev_id="unknown", event_data={})
    refused(bob.event.update_event_data, 400, 40539, ev_id="unknown", event_data={})
    holds(bob.event.get_events()["incoming_events"][0], eventData={"n": 3})
    bob.event.delete_incoming(ev_id=first)
    refused(bob.event.delete_incoming, 400, 40539, ev_id=first)
    holds(bob.event.delete_incoming_events(ev_ids=[two["evId"], first]), deleted=True, deletedCount=1)
    later = int(time.time() * 1000) + 3_600_000
    holds(bob.event.delete_incoming_events_older_than(date_millis=later), deleted=False, deletedCount=0)
    older_of_type = bob.event.delete_incoming_events_by_type_older_than
    holds(older_of_type(event_type="ping", date_millis=later), deleted=False, deletedCount=0)


def friend(players: Players) -> None:
    ada, bob, name = players(), players(), unique("Bob")
    mine, universal = ada.friend, unique("universal")
    bob.player_state.update_name(player_name=name)
    bob.identity.attach(authentication_type="Universal", external_id=universal, authentication_token="secret")
    refused(mine.read_friend_player_state, 400, 40310, friend_id=id_of(bob))
    mine.add_friends(profile_ids=[id_of(bob)])
    refused(mine.add_friends, 400, 40448, profile_ids=[id_of(ada)])
    [listed] = mine.list_friends(friend_platform="All", include_summary_data=True)["friends"]
    holds(listed, playerId=id_of(bob), name=name, friendPlatforms=["brainCloud"], isOnline=True)
    [paged] = mine.get_friends_page()["results"]["items"]
    holds(paged, playerId=id_of(bob))
    holds(mine.read_friend_player_state(friend_id=id_of(bob)), playerName=name)
    holds(mine.get_my_social_info(friend_platform="All"), playerId=id_of(ada))
    added = mine.add_friends_from_platform(friend_platform="Steam", mode="ADD", external_ids=[])
    holds(added, numNewAdded=0)
    card = bob.entity.create(entity_type="card", data={}, acl={"other": 1})["entityId"]
    assert len(mine.read_friends_entities(entity_type="card")["results"]) == 1
    holds(mine.read_friend_entity(friend_id=id_of(bob), entity_id=card), entityId=card)

    for found in (
        mine.find_users_by_exact_name(search_text=name, max_results=5),
        mine.find_users_by_name_starting_with(search_text=name[:-2], max_results=5),
        mine.find_users_by_substr_name(search_text=name[2:], max_results=5),
        mine.find_user_by_exact_universal_id(search_text=universal),
        mine.find_player_by_exact_universal_id(search_text=universal),
        mine.find_users_by_universal_id_starting_with(search_text=universal[:-2], max_results=5),
        mine.find_player_by_universal_id(search_text=universal[2:], max_results=5),
    ):
        assert [match["profileId"] for match in found["matches"]] == [id_of(bob)]
    credential: Keys = {"external_id": universal, "authentication_type": "Universal"}
    holds(mine.get_profile_info_for_credential(**credential), profileId=id_of(bob), email=None)
    holds(mine.get_profile_info_for_credential_if_exists(**credential), profileId=id_of(bob))
    outside: Keys = {"external_id": "nobody", "external_auth_type": "studio"}
    refused(mine.get_profile_info_for_external_auth_id, 400, 40374, **outside)
    assert mine.get_profile_info_for_external_auth_id_if_exists(**outside) == {}
    of_bob: Keys = {"profile_id": id_of(bob)}
    holds(
        mine.get_external_id_for_profile_id(**of_bob, authentication_type="Universal"), externalId=universal
    )
    holds(mine.get_summary_data_for_profile_id(**of_bob), profileName=name)
    [status] = mine.get_users_online_status(profile_ids=[id_of(bob)])["onlineStatus"]
    holds(status, isOnline=True, userValid=True)

    mine.remove_friends(profile_ids=[id_of(bob)])
    mine.block_users(profile_ids=[id_of(bob)])
    assert len(mine.list_blocked_users()["blocked"]) == 1
    refused(bob.friend.add_friends, 400, 40790, profile_ids=[id_of(ada)])
    mine.unblock_users(profile_ids=[id_of(bob)])


def mail(players: Players) -> None:
    client, to = players(), f"{unique('to')}@example.com"
    params: MailParams = {"subject": "s", "body": "b"}
    mine, me = client.mail, client.stored_identity.profile_id
    assert mine.send_basic_email(profile_id=me, subject="s", body="b") == {}
    assert mine.send_advanced_email(profile_id=me, service_params=params) == {}
    assert mine.send_advanced_email_by_address(email_address=to, service_params=params) == {}
    assert mine.send_advanced_email_by_addresses(email_addresses=[to], service_params=params) == {}
    refused(mine.send_basic_email, 400, 40374, profile_id="nobody", subject="s", body="b")


def messaging(players: Players) -> None:
    ada, bob = players(), players()
    mine = ada.messaging
    to_bob: Keys = {"to_profile_ids": [id_of(bob)]}
    first = mine.send_message(**to_bob, content_json={"text": "one"})
    assert (first["requested"], first["actual"]) == (1, 1)
    mine.send_message_simple(**to_bob, text="two")
    refused(mine.send_message_simple, 400, 40621, to_profile_ids=[str(n) for n in range(6)], text="x")
    assert mine.get_message_boxes()["items"] == ["inbox", "sent"]
    theirs = bob.messaging
    these: Keys = {"msgbox": "inbox", "msg_ids": [first["msgId"]]}
    holds(theirs.get_message_counts()["inbox"], total=2, unread=2)
    [item] = theirs.get_messages(**these, mark_as_read=True)["items"]
    holds(item, msgId=first["msgId"], read=True)
    assert theirs.mark_messages_read(**these)["actual"] == 1
    page = theirs.get_messages_page(context={"pagination": {"rowsPerPage": 1}})
    assert len(page["results"]["items"]) == 1
    after = theirs.get_messages_page_offset(context=page["context"], page_offset=1)
    assert len(after["results"]["items"]) == 1
    refused(theirs.get_messages_page_offset, 400, 40383, context="no context", page_offset=1)
    assert theirs.delete_messages(**these)["actual"] == 1
    refused(theirs.get_messages, 400, 40595, **these)


def presence(players: Players) -> None:
    ada, bob = players(), players()
    mine, theirs = ada.presence, bob.presence
    ada.friend.add_friends(profile_ids=[id_of(bob)])
    these: Keys = {"profile_ids": [id_of(bob)]}
    heard: queue.Queue[Any] = queue.Queue()
    with Realtime(ada, heard.put), Realtime(bob, print):
        both_ways = mine.register_listeners_for_friends(platform="all", bidirectional=True)
        [listened] = both_ways["presence"]
        holds(listened, online=True)
        theirs.update_activity(activity={"at": 7})
        said = heard.get(timeout=10)
        holds(said, service="presence", operation="INCOMING")
        holds(said["data"], online=True, activity={"at": 7})
        theirs.set_visibility(visible=False)
        holds(heard.get(timeout=10)["data"], online=False)
        theirs.force_push()
        assert mine.get_presence_of_users(**these) == {"presence": []}
        theirs.set_visibility(visible=True)
        for told in (
            mine.get_presence_of_friends(platform="all"),
            mine.get_presence_of_users(**these),
            mine.register_listeners_for_profiles(**these),
        ):
            assert [each["user"]["id"] for each in told["presence"]] == [id_of(bob)]
        group = ada.group.create_group(name="Crew", group_type="crew")
        here: Keys = {"group_id": group["groupId"]}
        for told in (mine.get_presence_of_group(**here), mine.register_listeners_for_group(**here)):
            assert [each["user"]["id"] for each in told["presence"]] == [id_of(ada)]
        mine.stop_listening()
        refused(mine.get_presence_of_friends, 400, 40462, platform="Orkut")
    refused(players().presence.force_push, 400, 40627)


def chat(players: Players) -> None:
    ada, bob = players(), players()
    mine, theirs = ada.chat, bob.chat
    code = unique("room")
    room: Keys = {"channel_id": mine.get_channel_id(channel_type="dy", channel_sub_id=code)["channelId"]}
    heard: queue.Queue[Any] = queue.Queue()
    with Realtime(bob, heard.put):
        assert theirs.channel_connect(**room, max_return=25) == {"messages": []}
        first = mine.post_chat_message(**room, content={"text": "one"}, record_in_history=True)
        holds(heard.get(timeout=10), service="chat", operation="INCOMING")
        mine.post_chat_message_simple(**room, text="two")
        holds(heard.get(timeout=10)["data"], content={"text": "two"})
        assert theirs.channel_disconnect(**room) == {}
    lines = theirs.get_recent_messages(**room, max_return=25)["messages"]
    assert lines == theirs.get_recent_chat_messages(**room, max_return=25)["messages"]
    assert [line["content"]["text"] for line in lines] == ["one", "two"]
    one: Keys = {**room, "msg_id": first["msgId"]}
    holds(theirs.get_chat_message(**one), ver=1, msgId=first["msgId"])
    refused(theirs.update_chat_message, 403, 40346, **one, version=1, content={})
    assert mine.update_chat_message(**one, version=1, content={"text": "uno"}) == {}
    refused(mine.delete_chat_message, 400, 40598, **one, version=1)
    assert mine.delete_chat_message(**one, version=2) == {"deleted": 1}
    holds(mine.get_channel_info(**room), type="dy", code=code)
    channels = mine.get_subscribed_channels(channel_type="all")["channels"]
    assert [channel["name"] for channel in channels] == ["Main"]
    refused(mine.get_channel_id, 400, 40603, channel_type="gl", channel_sub_id="none")


def rtt_registration(players: Players) -> None:
    client = players()
    offered = client.rtt_registration.request_client_connection()
    assert offered["endpoints"][0]["protocol"] == "ws"
    assert offered["auth"]["X-APPID"] == players.server.app_id
    assert client.rtt_registration.get_connection_status() == {"connectionStatus": "DISCONNECTED"}
    with Realtime(client, print) as connection:
        assert connection.connection_id.split(":")[1] == id_of(client)
        assert client.rtt_registration.get_connection_status() == {"connectionStatus": "CONNECTED"}


def profanity(players: Players) -> None:
    mine = players().profanity
    text: Keys = {"text": "Scunthorpe is sh1t", "languages": "en"}
    assert mine.profanity_check(**text) == {"foundCount": "1"}
    assert mine.profanity_identify_bad_words(**text)["foundList"] == ["sh1t"]
    hidden = mine.profanity_replace_text(**text, replace_symbol="#")
    assert hidden["replacedString"] == "Scunthorpe is ####"
    refused(mine.profanity_check, 400, 40421, text="x", languages="xx")


SERVICES: dict[str, type[Service[Any]]] = {
    kind.__module__.rpartition(".")[2]: kind
    for _, kind in inspect.getmembers(services, inspect.isclass)
    if issubclass(kind, Service) and "wire_name" in vars(kind)
}
# The scenario of a service is the function that has its name.
SCENARIOS = {kind: globals().get(f"{name}_") or globals().get(name) for name, kind in SERVICES.items()}


def test_every_service_has_a_scenario() -> None:
    assert [kind.wire_name for kind, scenario in SCENARIOS.items() if not inspect.isfunction(scenario)] == []


@pytest.mark.parametrize("service", SCENARIOS, ids=lambda service: service.wire_name)
def test_every_method_of_a_service(
    service: type[Service[Any]], players: Players, monkeypatch: pytest.MonkeyPatch
) -> None:
    methods = {name: method for name, method in vars(service).items() if inspect.isfunction(method)}
    called = set()

    def noted(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **data: Any) -> Any:
            called.add(name)
            return method(*args, **data)

        return call

    for name, method in methods.items():
        monkeypatch.setattr(service, name, noted(name, method))
    scenario = SCENARIOS[service]
    assert scenario is not None
    scenario(players)
    assert methods.keys() - called == set()
