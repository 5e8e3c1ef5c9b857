"""Server to server: both forms, their credentials and their sessions."""

import asyncio
import gzip
import itertools
import json
import random
import secrets
from typing import Any

import httpx
import pytest
from sqlalchemy import select

import gameserver
from gameserver.admin import actions
from gameserver.app import registry
from gameserver.apps import load_apps
from gameserver.faces.s2s import PATH, ServerDispatcher
from gameserver.http_server import Proxies, behind
from gameserver.rpc import Packets, unordered
from gameserver.sessions import Session, SessionsUnavailable
from gameserver.storage.answers import packet_answers
from tests.conftest import APP_ID, SECRET, Game

KEY = {"appId": APP_ID, "serverName": "room", "serverSecret": "a-room-secret-0123456789"}
LOBBY = {"serverName": "lobby", "serverSecret": "a-lobby-secret-0123456789"}
LIFE_SECONDS = 2400  # of a session without packets


@pytest.fixture(autouse=True)
def servers_of_the_app(apps_folder: Any) -> None:
    """Three servers that may call: two from anywhere, one from elsewhere."""
    file = apps_folder / "test" / "app.toml"
    file.write_text(
        file.read_text()
        + f'\n[servers.room]\nsecret = "{KEY["serverSecret"]}"\n'
        + f'\n[servers.lobby]\nsecret = "{LOBBY["serverSecret"]}"\n'
        + '\n[servers.far]\nsecret = "a-far-secret-0123456789"\naddresses = ["203.0.113.0/24"]\n'
        + "\n[group.types.clan]\n"
    )


@pytest.fixture(autouse=True)
async def open_doors(servers_of_the_app: None, game: Game) -> None:
    """Each test calls from its own network, and no server is locked: Redis outlives a test."""
    call_from(game, some_address())
    for name in ("room", "lobby", "far", "none"):
        await game.core.accounts.attempt(game.app, "Server", name, "").unlock()


def call_from(game: Game, address: str) -> None:
    transport: Any = game.http._transport
    transport.client = (address, 1)


def some_address() -> str:
    return f"2001:db8:{secrets.token_hex(2)}:{secrets.token_hex(2)}::1"


async def post(game: Game, body: Any, **headers: str) -> Any:
    """Send a body to the face; returns what it answers with HTTP 200."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    response = await game.http.post(PATH, content=content, headers=headers)
    assert response.status_code == 200, response.text
    return response.json()


async def call(game: Game, service: str, operation: str, data: Any = None, changes: Any = None) -> Any:
    """Call in the simple form."""
    body = {**KEY, "service": service, "operation": operation, "data": data}
    return await post(game, body | (changes or {}))


async def log_in(game: Game, **changes: Any) -> Any:
    """Authenticate; returns the whole answer."""
    message = {"service": "authenticationV2", "operation": "AUTHENTICATE", "data": {**KEY, **changes}}
    return await post(game, {"packetId": 0, "messages": [message]})


async def session_id(game: Game) -> str:
    text: str = (await log_in(game))["messageResponses"][0]["data"]["sessionId"]
    return text


def packet(session: str | None, packet_id: int, *messages: tuple[str, str, Any]) -> bytes:
    return json.dumps(
        {
            "packetId": packet_id,
            "sessionId": session,
            "messages": [{"service": s, "operation": o, "data": d} for s, o, d in messages],
        }
    ).encode()


HEARTBEAT = ("heartbeat", "HEARTBEAT", None)
VERSION: tuple[str, str, Any] = ("authenticationV2", "GET_SERVER_VERSION", {})


def ends_all_of(profile_id: str) -> tuple[str, str, Any]:
    return "playerState", "SYS_INVALIDATE_ALL_SESSIONS_FOR_USER", {"profileId": profile_id}


# The simple form


async def test_a_simple_call_gets_the_entry_of_its_call(game: Game) -> None:
    player = await game.player()
    answer = await call(game, *ends_all_of(player.profile_id))
    assert answer["status"] == 200
    assert answer["data"]["invalidatedCount"] == 1
    assert (await player.refused("playerState", "READ")).reason_code == 40356


async def test_a_simple_call_that_is_refused_gets_the_bare_refusal(game: Game) -> None:
    answer = await call(game, "playerState", "SYS_INVALIDATE_ALL_SESSIONS_FOR_USER", {})
    assert set(answer) == {"status", "reason_code", "status_message", "severity"}
    assert (answer["status"], answer["reason_code"], answer["severity"]) == (400, 40358, "ERROR")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"serverSecret": "a-wrong-secret-0123456789"}, 40307),
        ({"serverSecret": ""}, 40307),
        ({"serverSecret": SECRET}, 40307),
        ({"serverName": "nobody"}, 40307),
        ({"appId": "99999"}, 40316),
        ({"appId": None}, 40316),
        ({"serverName": "far", "serverSecret": "a-far-secret-0123456789"}, 40444),
        ({"serverName": None}, 40001),
        ({"service": "x" * 65}, 40001),
        ({"operation": 5}, 40001),
    ],
)
async def test_who_may_not_call_is_told_and_nothing_happens(game: Game, changes: Any, reason: int) -> None:
    player = await game.player()
    answer = await call(game, *ends_all_of(player.profile_id), changes)
    assert answer["reason_code"] == reason
    assert answer["severity"] == "ERROR"
    await player.call("playerState", "READ")


async def test_the_other_spelling_of_credentials_is_understood(game: Game) -> None:
    body = {
        "gameId": int(APP_ID),
        "serverName": KEY["serverName"],
        "gameSecret": KEY["serverSecret"],
        "service": VERSION[0],
        "operation": VERSION[1],
    }
    assert (await post(game, body))["data"]["serverVersion"]


@pytest.mark.parametrize("operation", ["READ", "UPDATE_NAME", "LOGOUT", "FULL_PLAYER_RESET"])
async def test_players_operations_are_refused_without_a_player(game: Game, operation: str) -> None:
    simple = await call(game, "playerState", operation, {"playerName": "x"})
    assert (simple["status"], simple["reason_code"]) == (403, 40304)
    message = ("playerState", operation, {"playerName": "x"})
    answer = await post(game, packet(await session_id(game), 1, message, VERSION))
    assert answer["messageResponses"][0]["reason_code"] == 40304
    assert answer["messageResponses"][1]["status"] == 200


async def test_a_disabled_app_is_closed_to_servers_too(game: Game, apps_folder: Any) -> None:
    session = await session_id(game)
    file = apps_folder / "test" / "app.toml"
    file.write_text("enabled = false\n" + file.read_text())
    game.apps.replace(load_apps(apps_folder, game.server_app.registry.sections()))
    assert (await call(game, *VERSION))["reason_code"] == 40330
    assert (await post(game, packet(session, 1, VERSION)))["reason_code"] == 40365


# The session form


async def test_a_session_is_longer_than_the_clients_heartbeat(game: Game) -> None:
    answer = await log_in(game)
    [entry] = answer["messageResponses"]
    assert (answer["packetId"], entry["status"]) == (0, 200)
    assert entry["data"]["heartbeatSeconds"] > 1800
    session = entry["data"]["sessionId"]
    for packet_id in (1, 2, 3):
        game.clock.advance(entry["data"]["heartbeatSeconds"])
        beat = await post(game, packet(session, packet_id, HEARTBEAT))
        assert beat == {"packetId": packet_id, "messageResponses": [{"status": 200, "data": None}]}


async def test_authenticating_in_the_simple_form_opens_a_session_as_well(game: Game) -> None:
    answer = await call(game, "authenticationV2", "AUTHENTICATE", KEY)
    session = answer["messageResponses"][0]["data"]["sessionId"]
    assert (await post(game, packet(session, 1, HEARTBEAT)))["messageResponses"][0]["status"] == 200


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"serverSecret": "a-wrong-secret-0123456789"}, 40307),
        ({"appId": "99999"}, 40316),
        ({"serverName": None}, 40358),
        ({"serverName": "far", "serverSecret": "a-far-secret-0123456789"}, 40444),
    ],
)
async def test_wrong_credentials_open_no_session(game: Game, changes: Any, reason: int) -> None:
    before = await game.core.sessions.count(APP_ID)
    answer = await log_in(game, **changes)
    assert answer["packetId"] == 0
    [entry] = answer["messageResponses"]
    assert entry["reason_code"] == reason
    assert await game.core.sessions.count(APP_ID) == before


async def test_every_message_is_answered_in_order(game: Game) -> None:
    answer = await post(game, packet(await session_id(game), 1, VERSION, ("time", "NEVER", {}), HEARTBEAT))
    assert [entry["status"] for entry in answer["messageResponses"]] == [200, 400, 200]
    assert answer["messageResponses"][1]["reason_code"] == 40333


async def test_an_expired_session_is_told_at_the_top(game: Game) -> None:
    session = await session_id(game)
    game.clock.advance(LIFE_SECONDS)
    answer = await post(game, packet(session, 7, HEARTBEAT))
    assert answer.pop("status_message") == answer["messageResponses"][0].pop("status_message")
    told = {"status": 403, "reason_code": 40365, "severity": "ERROR"}
    assert answer == {"packetId": 7, **told, "messageResponses": [told]}  # some clients look here, some there
    again = await post(game, packet(session, 8, ("authenticationV2", "AUTHENTICATE", KEY)))  # and carry it on
    assert again["messageResponses"][0]["data"]["sessionId"] not in ("", session)


@pytest.mark.parametrize("session", ["no session", "0000-" + "a" * 24])
async def test_an_unknown_session_is_told_at_the_top(game: Game, session: str) -> None:
    answer = await post(game, packet(session, 7, HEARTBEAT))
    assert (answer["packetId"], answer["reason_code"]) == (7, 40365)


@pytest.mark.parametrize("session", [None, ""])
async def test_no_session_is_told_in_the_answers(game: Game, session: str | None) -> None:
    answer = await post(game, packet(session, 3, VERSION, VERSION))
    assert answer["packetId"] == 3
    assert [entry["reason_code"] for entry in answer["messageResponses"]] == [40304, 40304]


async def test_a_repeated_packet_gets_its_first_answer(game: Game) -> None:
    session, player = await session_id(game), await game.player()
    body = packet(session, 1, ends_all_of(player.profile_id))
    first = await game.http.post(PATH, content=body)
    assert first.json()["messageResponses"][0]["data"]["invalidatedCount"] == 1
    assert (await game.http.post(PATH, content=body)).content == first.content
    later = await post(game, packet(session, 2, ends_all_of(player.profile_id)))
    assert later["messageResponses"][0]["data"]["invalidatedCount"] == 0


async def test_a_packet_id_is_used_once(game: Game) -> None:
    session = await session_id(game)
    await post(game, packet(session, 5, VERSION))
    reused = await post(game, packet(session, 5, HEARTBEAT))
    assert reused["messageResponses"][0]["reason_code"] == 40953
    other = await post(game, packet(session, 4, HEARTBEAT))
    assert other["messageResponses"][0]["status"] == 200


# Packets that do not wait for each other


def logs(text: str) -> tuple[str, str, Any]:
    return "log", "LOG_INFO", {"errorMessage": text}


async def logged(game: Game, text: str) -> list[str]:
    found = await actions.log_list(game.server_app, APP_ID, 500, text=text)
    return sorted(line["message"] for line in found)


async def test_packets_in_flight_run_once_each_in_whatever_order(game: Game) -> None:
    session, text = await session_id(game), game.unique("flight")
    bodies = [packet(session, number, logs(f"{text} {number:02}"), VERSION) for number in range(1, 21)]
    order = [body for body in bodies for _ in range(3)]
    random.Random(7).shuffle(order)
    answers = await asyncio.gather(*(game.http.post(PATH, content=body) for body in order))
    assert {answer.status_code for answer in answers} == {200}
    late = [await game.http.post(PATH, content=body) for body in bodies]
    for number, answer in enumerate(late, 1):
        told = answer.json()
        assert (told["packetId"], [e["status"] for e in told["messageResponses"]]) == (number, [200, 200])
    assert await logged(game, text) == [f"{text} {number:02}" for number in range(1, 21)]


async def test_a_packet_that_reads_gets_its_first_answer_too(game: Game) -> None:
    session = await session_id(game)
    body = packet(session, 1, ("time", "READ", {}))
    first = await game.http.post(PATH, content=body)
    game.clock.advance(5)
    assert (await game.http.post(PATH, content=body)).content == first.content


async def test_another_process_gives_the_same_answer_and_runs_nothing_again(game: Game) -> None:
    session, text = await session_id(game), game.unique("other")
    other = httpx.AsyncClient(
        transport=httpx.ASGITransport(ServerDispatcher(game.apps, Packets(game.server_app.runner))),
        base_url="http://other.test",
    )
    body = packet(session, 9, logs(text))
    first, second = await asyncio.gather(game.http.post(PATH, content=body), other.post(PATH, content=body))
    ran, waited = sorted((first, second), key=lambda answer: b"40606" in answer.content)
    assert ran.json()["messageResponses"] == [{"status": 200, "data": None}]
    assert waited.content == ran.content or waited.json()["messageResponses"][0]["reason_code"] == 40606
    for client in (game.http, other):
        assert (await client.post(PATH, content=body)).content == ran.content
    assert await logged(game, text) == [text]
    await other.aclose()


async def test_a_packet_whose_process_died_runs_when_its_claim_has_lapsed(game: Game) -> None:
    session, text = await session_id(game), game.unique("died")
    claim = f"packet/{game.core.sessions.digest(session)}/4"
    assert await game.core.sessions.hit(claim, 1, unordered.claim_seconds(game.app))
    body = packet(session, 4, logs(text))
    refused = (await post(game, body))["messageResponses"]
    assert (refused[0]["status"], refused[0]["reason_code"]) == (503, 40606)
    assert await logged(game, text) == []
    await game.core.sessions.forget_hits(claim)
    assert (await post(game, body))["messageResponses"][0]["status"] == 200
    # And once more, when the claim of the run that was committed is gone as well.
    await game.core.sessions.forget_hits(claim)
    assert (await post(game, body))["messageResponses"][0]["status"] == 200
    assert await logged(game, text) == [text]


async def test_an_answer_that_is_committed_while_it_is_looked_for_is_given(
    game: Game, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, text = await session_id(game), game.unique("between")
    body, find, looks = packet(session, 5, logs(text)), unordered._Record.find, itertools.count()
    first = await post(game, body)

    async def too_early(record: unordered._Record) -> Any:
        return None if next(looks) == 0 else await find(record)

    monkeypatch.setattr(unordered._Record, "find", too_early)
    assert await post(game, body) == first
    assert next(looks) == 2
    assert await logged(game, text) == [text]


async def test_answers_are_forgotten_after_an_hour_or_two(game: Game) -> None:
    session = await session_id(game)
    await post(game, packet(session, 1, logs(game.unique("kept"))))
    of_session = packet_answers.c.session == f"{game.core.sessions.digest(session)}/1"
    for hours, kept in ((1, 1), (1.01, 0)):
        game.clock.advance(hours * 3600)
        await game.run_jobs("packets.forget")
        async with game.core.database.read() as tx:
            rows = await tx.all(select(packet_answers.c.packet_id).where(of_session))
        assert len(rows) == kept


async def test_whatever_happens_is_http_200(game: Game, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: Any, **__: Any) -> Any:
        raise SessionsUnavailable("away for the test")

    session = await session_id(game)
    for name in ("touch", "hit"):
        with monkeypatch.context() as patch:
            patch.setattr(game.core.sessions, name, away)
            answer = await post(game, packet(session, 3, HEARTBEAT))
            assert answer["messageResponses"][0]["status"] == 503
    with monkeypatch.context() as patch:
        patch.setattr(game.server_app.runner, "call", away)
        answer = await call(game, "heartbeat", "HEARTBEAT")
        assert (answer["status"], answer["reason_code"]) == (503, 40606)


async def test_a_login_answers_without_what_clients_take_for_a_failure(game: Game) -> None:
    response = await log_in(game)
    [entry] = response["messageResponses"]
    assert "reason_code" not in json.dumps(response)
    assert isinstance(entry["data"]["heartbeatSeconds"], int)
    assert 1.2 * entry["data"]["heartbeatSeconds"] <= LIFE_SECONDS


# What a server may call


def redefine(game: Game, apps_folder: Any, old: str, new: str) -> None:
    """Change the app while the server runs."""
    file = apps_folder / "test" / "app.toml"
    file.write_text(file.read_text().replace(old, new, 1))
    game.apps.replace(load_apps(apps_folder, game.server_app.registry.sections()))


async def test_a_server_is_limited_to_what_its_key_lists(game: Game, apps_folder: Any) -> None:
    limits = '[servers.room]\nservices = ["log", "time.READ"]'
    redefine(game, apps_folder, "[servers.room]", limits)
    session = await session_id(game)
    mine: list[tuple[str, str, Any]] = [logs("x"), ("time", "READ", {}), HEARTBEAT]
    others: list[tuple[str, str, Any]] = [VERSION, ends_all_of("s"), ("time", "NEVER", {})]
    answer = await post(game, packet(session, 1, *mine, *others))
    assert [entry.get("reason_code") for entry in answer["messageResponses"]] == [
        *(None, None, None),
        *(40346, 40346, 40333),
    ]
    for message, reason in (*((m, None) for m in mine), (VERSION, 40346)):
        assert (await call(game, *message)).get("reason_code") == reason
    assert (await call(game, *VERSION, LOBBY))["status"] == 200


def test_limits_name_services_and_operations_that_there_are(apps_folder: Any) -> None:
    file = apps_folder / "test" / "app.toml"
    file.write_text(
        file.read_text() + '[servers.new]\nsecret = "a-new-secret-0123456789"\nservices = ["lob"]\n'
    )
    [problem] = load_apps(apps_folder, registry().sections()).problems
    assert "lob" in str(problem)
    assert "servers.new.services" in str(problem)


async def test_an_app_may_want_bare_answers(game: Game, apps_folder: Any) -> None:
    redefine(game, apps_folder, "[servers.room]", "[s2s]\nbare_answers = true\n[servers.room]")
    assert await call(game, *VERSION) == {"serverVersion": gameserver.__version__}
    assert await call(game, *HEARTBEAT) is None
    assert (await call(game, "time", "NEVER"))["reason_code"] == 40333
    wrong = {"serverSecret": "a-wrong-secret-0123456789"}
    assert (await call(game, *HEARTBEAT, wrong))["status"] == 403
    assert (await log_in(game))["messageResponses"][0]["status"] == 200


async def test_addresses_count_that_trusted_proxies_name(game: Game) -> None:
    far = {"serverName": "far", "serverSecret": "a-far-secret-0123456789"}
    body = {**KEY, **far, "service": "heartbeat", "operation": "HEARTBEAT"}
    app = behind(Proxies("10.0.0.0/8"), game.server_app)
    for peer, named, reason in (
        ("10.0.0.1", "203.0.113.9", None),
        ("10.0.0.1", "203.0.113.9, 198.51.100.1", 40444),
        ("198.51.100.1", "203.0.113.9", 40444),  # whoever is no proxy may claim anything
    ):
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app, client=(peer, 1)), base_url="http://x.test"
        ) as client:
            answer = await client.post(PATH, json=body, headers={"X-Forwarded-For": named})
        assert answer.json().get("reason_code") == reason


async def test_a_players_session_has_no_authority_here(game: Game) -> None:
    player = await game.player()
    answer = await post(game, packet(player.session_id, 9, ends_all_of(player.profile_id)))
    assert answer["reason_code"] == 40365
    await player.call("playerState", "READ")


async def test_a_servers_session_is_no_players_session(game: Game) -> None:
    client = game.client()
    client.session_id = await session_id(game)
    client.packet_ids = itertools.count(1)
    for operation, data in (("READ", {}), ("UPDATE_ATTRIBUTES", {"attributes": {"a": "1"}})):
        assert (await client.refused("playerState", operation, **data)).reason_code == 40304
    assert (await client.refused("heartbeat", "READ")).reason_code == 40304
    assert (await client.refused(*ends_all_of("p")[:2], profileId="p")).reason_code == 40346


async def test_authentication_travels_alone(game: Game) -> None:
    session = await session_id(game)
    before = await game.core.sessions.count(APP_ID)
    login = ("authenticationV2", "AUTHENTICATE", KEY)
    player = ("authenticationV2", "AUTHENTICATE", {"authenticationType": "Anonymous", "forceCreate": True})
    for body in (packet(None, 0, login, VERSION), packet(session, 1, VERSION, player)):
        answer = await post(game, body)
        assert [entry["reason_code"] for entry in answer["messageResponses"]] == [40001, 40001]
    assert await game.core.sessions.count(APP_ID) == before


async def test_a_withdrawn_key_ends_what_it_opened(game: Game, apps_folder: Any) -> None:
    session = await session_id(game)
    file = apps_folder / "test" / "app.toml"
    file.write_text(file.read_text().replace("[servers.room]", "[servers.other]"))
    game.apps.replace(load_apps(apps_folder, game.server_app.registry.sections()))
    assert (await post(game, packet(session, 1, HEARTBEAT)))["reason_code"] == 40365


async def test_an_ended_session_is_dead(game: Game) -> None:
    session = await session_id(game)
    found = await game.core.sessions.peek(session)
    assert isinstance(found, Session)
    assert (found.face, found.profile_id) == ("s2s", "s")
    await call(game, *ends_all_of("s"))
    assert (await post(game, packet(session, 1, HEARTBEAT)))["reason_code"] == 40365


# Bodies


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", 40408),
        (b"{", 40408),
        (b"[]", 40001),
        (b'{"messages":5,"packetId":3}', 40001),
        (b'{"messages":[],"packetId":3}', 40001),
        (b"x" * ((1 << 20) + 1), 40600),
    ],
)
async def test_what_is_no_packet_is_refused(game: Game, body: bytes, reason: int) -> None:
    answer = await post(game, body)
    assert [entry["reason_code"] for entry in answer["messageResponses"]] == [reason]


async def test_deep_json_is_refused_in_the_simple_form(game: Game) -> None:
    deep: Any = []
    for _ in range(40):
        deep = [deep]
    assert (await call(game, "time", "READ", {"x": deep}))["reason_code"] == 40408


async def test_bodies_may_be_compressed(game: Game) -> None:
    body = {**KEY, "service": VERSION[0], "operation": VERSION[1]}
    answer = await post(game, gzip.compress(json.dumps(body).encode()), **{"Content-Encoding": "gzip"})
    assert answer["status"] == 200


async def test_calls_are_sent_with_post(game: Game) -> None:
    response = await game.http.get(PATH)
    assert (response.status_code, response.headers["allow"]) == (405, "POST")
    assert response.json()["status"] == 405


# The server's own sessions


async def test_a_server_ends_its_own_session(game: Game) -> None:
    session = await session_id(game)
    own = packet(session, 1, ("playerState", "SYS_INVALIDATE_CURRENT_SESSION", None))
    answer = await post(game, own)
    [entry] = answer["messageResponses"]
    assert (entry["status"], entry["data"]["invalidatedCount"]) == (200, 1)
    assert (await post(game, packet(session, 2, HEARTBEAT)))["reason_code"] == 40365


async def test_a_server_ends_its_other_sessions_and_nobody_elses(game: Game) -> None:
    one, two, other = [await session_id(game) for _ in range(3)]
    message = {"service": "authenticationV2", "operation": "AUTHENTICATE", "data": {**KEY, **LOBBY}}
    login = await post(game, {"packetId": 0, "messages": [message]})
    lobby = login["messageResponses"][0]["data"]["sessionId"]
    player = await game.player()
    rest = packet(one, 1, ("playerState", "SYS_INVALIDATE_ALL_BUT_CURRENT_SESSION", None))
    [entry] = (await post(game, rest))["messageResponses"]
    assert (entry["status"], entry["data"]["invalidatedCount"]) == (200, 2)
    for gone in (two, other):
        assert (await post(game, packet(gone, 1, HEARTBEAT)))["reason_code"] == 40365
    for alive in (one, lobby):
        answer = await post(game, packet(alive, 2, HEARTBEAT))
        assert answer["messageResponses"][0]["status"] == 200
    await player.call("playerState", "READ")


async def test_a_call_without_a_session_has_no_current_one(game: Game) -> None:
    for operation in ("SYS_INVALIDATE_CURRENT_SESSION", "SYS_INVALIDATE_ALL_BUT_CURRENT_SESSION"):
        answer = await call(game, "playerState", operation)
        assert (answer["status"], answer["reason_code"]) == (403, 40304)


# Guessing


async def test_secrets_are_locked_after_failures(game: Game) -> None:
    own, guesser = some_address(), some_address()
    call_from(game, own)
    assert (await call(game, "heartbeat", "HEARTBEAT"))["status"] == 200
    call_from(game, guesser)
    wrong = {"serverSecret": "a-wrong-secret-0123456789"}
    for _ in range(5):
        assert (await call(game, "heartbeat", "HEARTBEAT", changes=wrong))["reason_code"] == 40307
    for changes in (wrong, {}):
        assert (await call(game, "heartbeat", "HEARTBEAT", changes=changes))["reason_code"] == 40788
        locked = await log_in(game, **changes)
        assert locked["messageResponses"][0]["reason_code"] == 40788
    game.clock.advance(61)
    for _ in range(5):
        await call(game, "heartbeat", "HEARTBEAT", changes=wrong)
    call_from(game, own)  # the studio's server is not locked out by it, also not when it comes back
    game.clock.advance(30)
    assert (await call(game, "heartbeat", "HEARTBEAT"))["status"] == 200
    assert (await log_in(game))["messageResponses"][0]["status"] == 200
    call_from(game, guesser)
    game.clock.advance(61)
    assert (await call(game, "heartbeat", "HEARTBEAT"))["reason_code"] == 40788  # for longer, the second time


async def test_a_server_that_has_proved_itself_costs_no_look_for_locks(
    game: Game, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks, is_locked = [], game.core.sessions.is_locked

    async def counted(key: str) -> bool:
        looks.append(key)
        return await is_locked(key)

    monkeypatch.setattr(game.core.sessions, "is_locked", counted)
    for _ in range(10):
        assert (await call(game, "heartbeat", "HEARTBEAT"))["status"] == 200
    assert len(looks) == 3  # the network's, the server's and that of both
    game.clock.advance(61)
    await call(game, "heartbeat", "HEARTBEAT")
    assert len(looks) == 6


async def test_servers_that_make_groups_for_the_same_players_do_not_meet_head_on(game: Game) -> None:
    """A database would end a deadlock by rolling one of the two back, and the packet would run again."""
    owners = [(await game.player()).profile_id for _ in range(2)]
    makes = [
        ("group", "SYS_CREATE_GROUP", {"name": "A", "groupType": "clan", "ownerId": owner})
        for owner in owners
    ]
    sessions = [await session_id(game) for _ in range(6)]
    seen: list[str] = []
    game.core.database.observe = lambda kind, _: seen.append(kind)
    for number in (1, 2):
        packets = [
            post(game, packet(session, number, *(makes if index % 2 else makes[::-1])))
            for index, session in enumerate(sessions)
        ]
        for answer in await asyncio.gather(*packets):
            assert [entry["status"] for entry in answer["messageResponses"]] == [200, 200]
    assert "rollback" not in seen
