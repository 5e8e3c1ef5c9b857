"""event: told once by each way, kept until deleted or too old, within limits."""

from pathlib import Path
from typing import Any

import pytest

from gameserver.services import event
from tests.conftest import APP_TOML, Client, Game
from tests.services.listening import ear

DAY = 24 * 3600


async def answer(client: Client, *messages: tuple[str, str, Any], packet_id: int | None = None) -> Any:
    """The whole answer to a packet: its responses, and its events if there are any."""
    response = await client.send(client.body(*messages or (("time", "READ", {}),), packet_id=packet_id))
    return response.json()


async def told(client: Client) -> list[dict[str, Any]]:
    """The events in the answer to a packet that asks for nothing."""
    events: list[dict[str, Any]] = (await answer(client)).get("events", [])
    return events


async def waiting(client: Client) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = (await client.call("event", "GET_EVENTS"))["incoming_events"]
    return events


async def send(sender: Client, to: Client, kind: str = "ping", **data: Any) -> str:
    ev_id: str = (await sender.call("event", "SEND", toId=to.profile_id, eventType=kind, eventData=data))[
        "evId"
    ]
    return ev_id


async def log_in_again(game: Game, player: Client) -> tuple[Client, Any]:
    """Another session of a player, and what its login has answered."""
    universal = game.unique("name")
    await player.call(
        "identity", "ATTACH", authenticationType="Universal", externalId=universal, authenticationToken="pass"
    )
    client = game.client()
    state = await client.log_in("Universal", universal, "pass", forceCreate=False)
    return client, state


# Delivery


async def test_an_event_to_oneself_is_in_that_very_answer_once_and_waits(game: Game) -> None:
    ada = await game.player()
    message = ("event", "SEND", {"toId": ada.profile_id, "eventType": "note", "eventData": {"n": 1}})
    got = await answer(ada, message)
    ev_id = got["responses"][0]["data"]["evId"]
    [event] = got["events"]
    assert event == {
        "evId": ev_id,
        "eventId": event["eventId"],
        "eventType": "note",
        "fromPlayerId": ada.profile_id,
        "toPlayerId": ada.profile_id,
        "createdAt": game.clock.ms(),
        "eventData": {"n": 1},
        "gameId": ada.app_id,
    }
    assert isinstance(event["eventId"], int)
    assert await told(ada) == []
    assert [each["evId"] for each in await waiting(ada)] == [ev_id]


async def test_an_event_comes_with_the_next_packet_of_the_receiver_once(game: Game) -> None:
    ada, bob = await game.player(), await game.player()
    ev_id = await send(ada, bob, n=1)
    assert await told(ada) == []
    [event] = await told(bob)
    assert (event["evId"], event["fromPlayerId"], event["eventData"]) == (ev_id, ada.profile_id, {"n": 1})
    assert await told(bob) == []
    [listed] = await waiting(bob)  # reading does not delete
    assert {**listed, "eventId": event["eventId"], "gameId": bob.app_id} == event


async def test_an_event_comes_with_an_answer_that_one_statement_stores_elsewhere(game: Game) -> None:
    """The statement that changes a row may commit the answer as well: not where more belongs to it."""
    ada, bob = await game.player(), await game.player()
    ev_id = await send(ada, bob)
    got = await answer(bob, ("playerState", "UPDATE_NAME", {"playerName": "Bob"}))
    assert got["responses"][0]["data"]["playerName"] == "Bob"
    assert [event["evId"] for event in got["events"]] == [ev_id]
    assert await told(bob) == []


async def test_the_repeat_of_a_packet_brings_the_same_event_and_the_next_none(game: Game) -> None:
    ada, bob = await game.player(), await game.player()
    await send(ada, bob)
    body = bob.body(("event", "GET_EVENTS", {}))
    first, again = await bob.send(body), await bob.send(body)
    assert first.content == again.content
    assert len(first.json()["events"]) == 1
    assert await told(bob) == []


async def test_one_event_of_others_comes_with_each_answer_in_their_order(game: Game) -> None:
    ada, bob = await game.player(), await game.player()
    sent = []
    for n in range(3):
        sent.append(await send(ada, bob, n=n))
        game.clock.advance(0.001)
    got = [await told(bob) for _ in range(4)]
    assert [[event["evId"] for event in events] for events in got] == [[sent[0]], [sent[1]], [sent[2]], []]


async def test_events_of_one_packet_keep_their_order(game: Game) -> None:
    ada, bob = await game.player(), await game.player()
    data = {"toId": bob.profile_id, "eventType": "ping"}
    entries = await ada.packet(*(("event", "SEND", {**data, "eventData": {"n": n}}) for n in range(5)))
    assert [event["evId"] for event in await waiting(bob)] == [entry["data"]["evId"] for entry in entries]
    assert [event["eventData"]["n"] for event in await waiting(bob)] == list(range(5))


async def test_a_message_that_is_refused_after_sending_sends_nothing(game: Game) -> None:
    ada, bob = await game.player(), await game.player()
    await ada.packet(
        ("event", "SEND", {"toId": ada.profile_id, "eventType": "a"}),
        ("event", "SEND", {"toId": "nobody", "eventType": "b"}),
    )
    assert [event["eventType"] for event in await waiting(ada)] == ["a"]
    assert await waiting(bob) == []


async def test_a_player_without_events_pays_no_statement_for_them(game: Game) -> None:
    ada, bob = await game.player(), await game.player()
    await told(bob)
    seen = game.statements()
    await told(bob)
    assert not seen
    await send(ada, bob)
    seen.clear()
    assert len(await told(bob)) == 1
    assert seen
    await told(bob)  # takes the mark off
    seen.clear()
    assert await told(bob) == []
    assert not seen


async def test_events_that_wait_are_in_the_state_at_login_and_not_in_the_next_answer(game: Game) -> None:
    ada, bob = await game.player(), await game.player()
    ev_id = await send(ada, bob, n=1)
    later, state = await log_in_again(game, bob)
    assert [event["evId"] for event in state["incoming_events"]] == [ev_id]
    assert await told(later) == []
    assert state["incoming_events"] == await waiting(later)
    assert state["sent_events"] == []
    _, state = await log_in_again(game, ada)
    assert [event["evId"] for event in state["sent_events"]] == [ev_id]
    read = await later.call("playerState", "READ")
    assert [event["evId"] for event in read["incoming_events"]] == [ev_id]


async def test_real_time_connections_hear_of_an_event_once_it_can_be_read(game: Game) -> None:
    ada, bob = await game.player(), await game.player()
    adas, bobs = await ear(ada), await ear(bob)
    ev_id = await send(ada, bob, n=1)
    heard = await bobs.next()
    [listed] = await waiting(bob)
    assert heard == {"service": "event", "operation": "GET_EVENTS", "data": listed}
    assert listed["evId"] == ev_id
    await ada.packet(
        ("event", "SEND", {"toId": bob.profile_id, "eventType": "second"}),
        ("event", "SEND", {"toId": "nobody", "eventType": "refused"}),
    )
    assert (await bobs.next())["data"]["eventType"] == "second"
    await send(ada, ada, "own")
    assert (await adas.next())["data"]["eventType"] == "own"
    assert bobs.heard.empty()


async def test_an_event_for_connections_alone_is_not_kept(game: Game) -> None:
    ada, bob = await game.player(), await game.player()
    bobs = await ear(bob)
    data: dict[str, Any] = {"toId": bob.profile_id, "eventType": "flash", "eventData": {"n": 1}}
    assert await game.server.call("event", "SYS_SEND_RTT_ONLY", **data) == {"evId": ""}
    assert await game.server.call("event", "SYS_SEND_RTT_ONLY", ada.profile_id, **data) == {"evId": ""}
    for sender in ("", ada.profile_id):
        heard = (await bobs.next())["data"]
        assert (heard["evId"], heard["fromPlayerId"], heard["eventData"]) == ("", sender, {"n": 1})
    assert await waiting(bob) == []
    assert await told(bob) == []
    refusal = await game.server.refused("event", "SYS_SEND_RTT_ONLY", toId="nobody", eventType="flash")
    assert refusal.reason_code == 40374
    refusal = await game.server.refused(
        "event", "SYS_SEND_RTT_ONLY", **{**data, "eventData": {"x": "y" * 10_240}}
    )
    assert refusal.reason_code == 40600
    assert (await ada.refused("event", "SYS_SEND_RTT_ONLY", **data)).reason_code == 40346


async def test_the_largest_event_fits_into_a_frame(game: Game) -> None:
    ada = await game.player()
    adas = await ear(ada)
    text = "\U0001f600" * 2555
    await send(ada, ada, "e" * 256, x=text)
    assert (await adas.next())["data"]["eventData"] == {"x": text}


@pytest.fixture
def quiet(apps_folder: Path) -> None:
    (apps_folder / "test" / "app.toml").write_text(APP_TOML + "[event]\nin_answers = false\n")


@pytest.mark.usefixtures("quiet")
async def test_an_app_may_keep_events_out_of_answers(game: Game) -> None:
    ada, bob = await game.player(), await game.player()
    await send(ada, bob)
    await send(bob, bob)
    assert await told(bob) == []
    assert len(await waiting(bob)) == 2


async def test_a_job_marks_sessions_for_events_whose_sender_died(game: Game) -> None:
    ada, bob = await game.player(), await game.player()
    await game.run_jobs("event.sweep")
    game.clock.advance(1)
    marks = type(game.core.sessions).mark
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(game.core.sessions), "mark", _lost)
        ev_id = await send(ada, bob)
    assert type(game.core.sessions).mark is marks
    assert await told(bob) == []
    game.clock.advance(20)
    await game.run_jobs("event.sweep")
    assert [event["evId"] for event in await told(bob)] == [ev_id]


async def test_the_job_marks_the_sessions_of_all_receivers(
    game: Game, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event, "SWEPT_AT_ONCE", 2)
    ada, receivers = await game.player(), [await game.player() for _ in range(5)]
    await game.run_jobs("event.sweep")
    game.clock.advance(1)
    with monkeypatch.context() as patch:
        patch.setattr(type(game.core.sessions), "mark", _lost)
        sent = [await send(ada, receiver) for receiver in receivers]
    game.clock.advance(20)
    await game.run_jobs("event.sweep")
    assert [[event["evId"] for event in await told(receiver)] for receiver in receivers] == [
        [ev_id] for ev_id in sent
    ]


async def _lost(*_: Any) -> None:
    """The process died before it had done so."""


# Refusals and limits


async def test_what_has_no_receiver_is_refused(game: Game) -> None:
    ada = await game.player()
    refusal = await ada.refused("event", "SEND", toId="nobody", eventType="ping", eventData={})
    assert (refusal.status, refusal.reason_code) == (400, 40374)
    for data in ({"toId": "", "eventType": "a"}, {"toId": ada.profile_id, "eventType": "a" * 257}):
        assert (await ada.refused("event", "SEND", **data)).reason_code == 40660
    assert (await ada.refused("event", "SEND", eventType="a")).reason_code == 40358
    assert (
        await ada.refused("event", "SEND", toId=ada.profile_id, eventType="a", eventData=[])
    ).reason_code == 40359


async def test_a_client_without_session_sends_and_reads_nothing(game: Game) -> None:
    ada, stranger = await game.player(), game.client()
    assert (await stranger.refused("event", "GET_EVENTS")).reason_code == 40304
    refusal = await stranger.refused("event", "SEND", toId=ada.profile_id, eventType="a")
    assert refusal.reason_code == 40304


async def test_an_app_limits_data_and_receivers(game: Game) -> None:
    ada = await game.player()
    for operation, receiver in (
        ("SEND", {"toId": ada.profile_id}),
        ("SEND_EVENT_TO_PROFILES", {"toIds": [ada.profile_id]}),
    ):
        refusal = await ada.refused(
            "event", operation, **receiver, eventType="a", eventData={"x": "y" * 10_240}
        )
        assert refusal.reason_code == 40600
    ids = [game.unique("p") for _ in range(51)]
    refusal = await ada.refused("event", "SEND_EVENT_TO_PROFILES", toIds=ids, eventType="a")
    assert refusal.reason_code == 40735
    refusal = await game.server.refused("event", "SYS_SEND_EVENT_TO_PROFILES", toIds=ids, eventType="a")
    assert refusal.reason_code == 40735


@pytest.fixture
def few(apps_folder: Path) -> None:
    text = "[quotas]\nevents = 2\nevents_per_minute = 5\n"
    (apps_folder / "test" / "app.toml").write_text(APP_TOML + text)


@pytest.mark.usefixtures("few")
async def test_a_full_list_takes_no_more_until_there_is_room(game: Game) -> None:
    ada, bob = await game.player(), await game.player()
    first = await send(ada, bob)
    await send(ada, bob)
    refusal = await ada.refused("event", "SEND", toId=bob.profile_id, eventType="a")
    assert refusal.reason_code == 40371
    to_many = {"toIds": [bob.profile_id, ada.profile_id], "eventType": "a"}
    assert await ada.call("event", "SEND_EVENT_TO_PROFILES", **to_many) == {
        "errorProfiles": [bob.profile_id],
        "errorCount": 1,
        "sentCount": 1,
    }
    await bob.call("event", "DELETE_INCOMING", evId=first)
    game.clock.advance(60)
    await send(ada, bob)
    # The studio's own servers have no such limit.
    await game.server.call("event", "SEND", toId=bob.profile_id, eventType="a")
    assert len(await waiting(bob)) == 3


@pytest.mark.usefixtures("few")
async def test_a_player_sends_so_many_events_in_a_minute(game: Game) -> None:
    ada, others = await game.player(), [await game.player() for _ in range(3)]
    ids = [other.profile_id for other in others]
    assert (await ada.call("event", "SEND_EVENT_TO_PROFILES", toIds=ids, eventType="a"))["sentCount"] == 3
    assert (
        await ada.refused("event", "SEND_EVENT_TO_PROFILES", toIds=ids, eventType="a")
    ).reason_code == 40823
    game.clock.advance(60)
    for _ in range(5):
        await send(ada, ada)
        await ada.call("event", "DELETE_INCOMING_EVENTS_OLDER_THAN", dateMillis=game.clock.ms() + 1)
    assert (await ada.refused("event", "SEND", toId=ids[0], eventType="a")).reason_code == 40823
    game.clock.advance(60)
    await send(ada, others[1])


# To several


async def test_an_event_to_several_names_those_who_cannot_get_it(game: Game) -> None:
    ada, bob, cid = await game.player(), await game.player(), await game.player()
    ids = [bob.profile_id, cid.profile_id, "nobody", bob.profile_id]
    sent = await ada.call("event", "SEND_EVENT_TO_PROFILES", toIds=ids, eventType="a", evemtData={"n": 1})
    assert sent == {"errorProfiles": ["nobody"], "errorCount": 1, "sentCount": 2}
    for each in (bob, cid):
        [event] = await told(each)
        assert (event["eventData"], event["fromPlayerId"]) == ({"n": 1}, ada.profile_id)
    assert (await ada.refused("event", "SEND_EVENT_TO_PROFILES", eventType="a")).reason_code == 40358


async def test_servers_send_for_the_system_or_for_a_player(game: Game) -> None:
    ada, bob = await game.player(), await game.player()
    for sender, told_from in ((None, ""), ("System", ""), (ada.profile_id, ada.profile_id)):
        sent = await game.server.call(
            "event", "SYS_SEND_EVENT_TO_PROFILES", toIds=[bob.profile_id], eventType="a", fromProfileId=sender
        )
        assert sent["sentCount"] == 1
        [event] = await told(bob)
        assert event["fromPlayerId"] == told_from
        await told(bob)
    refusal = await game.server.refused(
        "event", "SYS_SEND_EVENT_TO_PROFILES", toIds=[bob.profile_id], eventType="a", fromProfileId="nobody"
    )
    assert refusal.reason_code == 40374
    await game.server.call("event", "SEND", toId=bob.profile_id, eventType="b")
    assert {"b": ""}.items() <= {
        event["eventType"]: event["fromPlayerId"] for event in await waiting(bob)
    }.items()
    refusal = await ada.refused("event", "SYS_SEND_EVENT_TO_PROFILES", toIds=[bob.profile_id], eventType="a")
    assert (refusal.status, refusal.reason_code) == (403, 40346)


# Changing and deleting


async def test_the_data_of_an_event_can_be_replaced(game: Game) -> None:
    ada, bob = await game.player(), await game.player()
    ev_id = await send(ada, bob, n=1)
    await bob.call("event", "UPDATE_EVENT_DATA", evId=ev_id, eventData={"n": 2})
    assert [event["eventData"] for event in await waiting(bob)] == [{"n": 2}]
    await bob.call("event", "UPDATE_EVENT_DATA_IF_EXISTS", evId=ev_id, eventData={"n": 3})
    assert [event["eventData"] for event in await waiting(bob)] == [{"n": 3}]
    for operation in ("UPDATE_EVENT_DATA", "UPDATE_EVENT_DATA_IF_EXISTS"):
        refusal = await bob.refused("event", operation, evId=ev_id, eventData={"x": "y" * 10_240})
        assert refusal.reason_code == 40600


async def test_only_the_receiver_changes_and_deletes(game: Game) -> None:
    ada, bob = await game.player(), await game.player()
    ev_id = await send(ada, bob, n=1)
    refusal = await ada.refused("event", "UPDATE_EVENT_DATA", evId=ev_id, eventData={})
    assert (refusal.status, refusal.reason_code) == (400, 40539)
    assert (await ada.refused("event", "DELETE_INCOMING", evId=ev_id)).reason_code == 40539
    assert await ada.call("event", "UPDATE_EVENT_DATA_IF_EXISTS", evId=ev_id, eventData={}) is None
    deleted = await ada.call("event", "DELETE_INCOMING_EVENTS", evIds=[ev_id])
    assert deleted == {"deleted": False, "deletedCount": 0}
    assert [event["eventData"] for event in await waiting(bob)] == [{"n": 1}]


async def test_an_event_is_deleted_once_and_no_update_brings_it_back(game: Game) -> None:
    ada, bob = await game.player(), await game.player()
    ev_id = await send(ada, bob)
    await bob.call("event", "DELETE_INCOMING", evId=ev_id)
    assert (await bob.refused("event", "DELETE_INCOMING", evId=ev_id)).reason_code == 40539
    await bob.call("event", "UPDATE_EVENT_DATA_IF_EXISTS", evId=ev_id, eventData={"n": 1})
    assert await waiting(bob) == []
    assert await told(bob) == []


async def test_events_are_deleted_by_ids_by_age_and_by_type(game: Game) -> None:
    ada, bob = await game.player(), await game.player()
    sent = []
    for kind in ("a", "b", "a", "b", "c"):
        sent.append(await send(ada, bob, kind))
        game.clock.advance(1)
    now = game.clock.ms()
    deleted = await bob.call("event", "DELETE_INCOMING_EVENTS", evIds=[sent[4], sent[4], "unknown"])
    assert deleted == {"deleted": True, "deletedCount": 1}
    by_type = "DELETE_INCOMING_EVENTS_BY_TYPE_OLDER_THAN"
    deleted = await bob.call("event", by_type, eventType="a", dateMillis=now - 3000)
    assert deleted == {"deleted": True, "deletedCount": 1}
    # One SDK names the type here as well.
    deleted = await bob.call("event", "DELETE_INCOMING_EVENTS_OLDER_THAN", dateMillis=now, eventType="a")
    assert deleted == {"deleted": True, "deletedCount": 1}
    deleted = await bob.call("event", "DELETE_INCOMING_EVENTS_OLDER_THAN", dateMillis=now - 2000)
    assert deleted == {"deleted": True, "deletedCount": 1}
    assert [event["evId"] for event in await waiting(bob)] == [sent[3]]
    assert (await bob.refused("event", by_type, dateMillis=now)).reason_code == 40358
    for operation in (by_type, "DELETE_INCOMING_EVENTS_OLDER_THAN"):
        refusal = await bob.refused("event", operation, eventType="a", dateMillis=-1)
        assert refusal.reason_code == 40660
    ids = [str(n) for n in range(1001)]
    assert (await bob.refused("event", "DELETE_INCOMING_EVENTS", evIds=ids)).reason_code == 40660


async def test_old_events_are_forgotten(game: Game) -> None:
    ada, bob = await game.player(), await game.player()
    await send(ada, bob)
    await game.server.call("event", "SEND", toId=bob.profile_id, eventType="b")
    game.clock.advance(30 * DAY)
    await game.server.call("event", "SEND", toId=bob.profile_id, eventType="c")
    game.clock.advance(1)
    await game.run_jobs("event.forget")
    events = await game.server.call("event", "GET_EVENTS", bob.profile_id)
    assert [event["eventType"] for event in events["incoming_events"]] == ["c"]
