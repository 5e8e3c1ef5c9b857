"""Every packet of the corpus gets its documented answer, and leaves nothing behind."""

import contextlib
import gzip
import hashlib
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select

from gameserver.players.audit import audit_events
from gameserver.sessions import interface as sessions
from gameserver.storage import metadata
from gameserver.wire import json
from gameserver.wire.errors import GameError
from gameserver.wire.http import BODY_BYTES_MAX
from gameserver.wire.packet import UnreadablePacket, read_closely, read_packet
from tests.conftest import APP_ID, APP_TOML, SECRET, Game
from tests.hostile.corpus import GOOD, PROVIDERS, Case, cases, raw, slow_texts, spoiling_values
from tests.protocol.dialect import check_bundle, check_text

CASES = list(cases())


@pytest.fixture
def apps_folder(apps_folder: Path) -> Path:
    """An app that takes the several logins in a packet, the failures and the proofs that cases have."""
    settings = "[quotas]\nlogins_per_packet = 3\n[login]\nfailures_per_address = 1000\n"
    (apps_folder / "test" / "app.toml").write_text(APP_TOML + settings + PROVIDERS)
    return apps_folder


def own_address(game: Game) -> None:
    """Call from another network: the corpus is full of logins that fail, and Redis outlives a test."""
    transport: Any = game.http._transport
    transport.client = (f"2001:db8:{secrets.token_hex(2)}:{secrets.token_hex(2)}::1", 1)


async def send(game: Game, case: Case) -> httpx.Response:
    signature = hashlib.md5(case.signed + SECRET.encode()).hexdigest()
    headers: Any = {"X-SIG": signature, "Content-Type": "application/json", **case.headers}
    body = case.signed if case.sent is None else case.sent
    return await game.http.post("/dispatcherv2", content=body, headers=headers)


def test_the_corpus_names_each_case_once() -> None:
    names = [case.name for case in CASES]
    assert len(names) == len(set(names))


async def test_every_case_gets_its_documented_answer(game: Game) -> None:
    own_address(game)
    wrong = []
    for case in CASES:
        response = await send(game, case)
        answer = check_bundle(response.content)
        entries = [(entry["status"] == 200, entry.get("reason_code")) for entry in answer["responses"]]
        expected = [(reason is None, reason) for reason in case.reasons]
        if (response.status_code, answer["packetId"], entries) != (200, case.packet_id, expected):
            wrong.append(f"{case.name}: HTTP {response.status_code}, {response.text[:300]}")
    assert not wrong, "\n".join(wrong)


async def test_nothing_is_left_behind(game: Game) -> None:
    own_address(game)
    player = await game.player()
    await game.core.audit.flush()
    before = await traces(game)
    for case in CASES:
        await send(game, case)
    assert await traces(game) == before
    assert (await player.call("time", "READ"))["server_time"] == game.clock.ms()


HOLDERS = {
    "in its data": '{"service":"time","operation":"READ","data":{"steam":[%s]}}',
    "as its data": '{"service":"time","operation":"READ","data":%s}',
    "under another key": '{"service":"time","operation":"READ","data":{},"more":%s}',
    "in free data": '{"service":"entity","operation":"CREATE","data":{"entityType":"t","data":{"n":%s}}}',
    "without an operation": '{"service":"no","operation":"SUCH","data":{"n":%s}}',
}


@pytest.mark.parametrize("holder", HOLDERS.values(), ids=HOLDERS)
async def test_what_a_message_must_not_hold_spoils_no_other(game: Game, holder: str) -> None:
    player = await game.player()
    good = '{"service":"time","operation":"READ"}'
    for packet_id, (name, value) in enumerate(spoiling_values().items(), 10):
        messages = f"[{good},{holder % value},{good}]"
        body = player.body(packet_id=packet_id).replace(b'"messages":[]', b'"messages":' + messages.encode())
        answer = check_bundle((await player.send(body)).content, messages=3)
        assert answer["packetId"] == packet_id, name
        assert [entry["status"] for entry in answer["responses"]] == [200, 400, 200], name
        assert answer["responses"][1]["reason_code"] == 40408, name


@pytest.mark.parametrize(
    "number", ["9007199254740993", "-9007199254740993", "76561198000000001", "1" + "0" * 20, "-" + "9" * 30]
)
async def test_whole_numbers_beyond_2_53_spoil_only_a_message_that_has_no_use_for_them(
    game: Game, number: str
) -> None:
    player = await game.player()
    calls = [
        '{"service":"time","operation":"READ"}',
        '{"service":"time","operation":"READ","data":{"steam":%s}}',
        '{"service":"leaderboard","operation":"POST_SCORE","data":{"leaderboardId":"x","score":%s}}',
        '{"service":"entity","operation":"CREATE","data":{"entityType":"t","data":{"n":{"steam":%s}}}}',
        '{"service":"entity","operation":"UPDATE","data":{"entityId":"x","data":{},"version":%s}}',
        '{"service":"time","operation":"READ"}',
    ]
    messages = f"[{','.join(calls)}]".replace("%s", number).encode()
    body = player.body(packet_id=10).replace(b'"messages":[]', b'"messages":' + messages)
    answer = check_bundle((await player.send(body)).content, messages=6)
    assert answer["packetId"] == 10
    statuses = [entry["status"] for entry in answer["responses"]]
    assert statuses == [200, 400, 400, 200, 400, 200], answer
    for spoilt in (1, 2, 4):
        entry = answer["responses"][spoilt]
        assert entry["reason_code"] in {40660, 40359}, entry


def _fastest(work: Callable[[], object]) -> float:
    """Take the processor's time of the fastest of some runs."""
    taken = []
    for _ in range(3):
        started = time.thread_time()
        with contextlib.suppress(UnreadablePacket, GameError):
            work()
        taken.append(time.thread_time() - started)
    return min(taken)


SMALL = 1 << 15


@pytest.mark.parametrize("name", slow_texts(SMALL))
def test_time_to_look_at_text_grows_with_its_size_alone(name: str) -> None:
    def looks(text: bytes) -> list[Callable[[], object]]:
        body = raw(f'[{{"service":"time","operation":"READ","data":{text.decode()}}}]')
        return [
            lambda: read_packet(body),
            lambda: read_closely(body),
            lambda: json.is_suspect(text),
            lambda: json.checked(text),
            lambda: json.check_whole(text, "data"),
            lambda: json.without_half_pairs(text),
            lambda: json.without_depths(text),
        ]

    small, large = looks(slow_texts(SMALL)[name]), looks(slow_texts(8 * SMALL)[name])
    for of_small, of_large in zip(small, large, strict=True):
        taken = _fastest(of_large)
        assert taken < 0.001 or taken < 8 * 4 * _fastest(of_small)


async def test_a_packet_that_a_careless_check_takes_long_for_keeps_nobody_waiting(game: Game) -> None:
    """106 bytes of gzip that held the server up for 16 seconds, and its like, signed and unsigned."""
    other = await game.player()
    for text in slow_texts(64 << 10).values():
        for secret in (SECRET, "another"):
            signature = hashlib.md5(text + secret.encode()).hexdigest()
            headers = {"X-SIG": signature, "Content-Encoding": "gzip"}
            started = time.thread_time()
            response = await game.packet(gzip.compress(text), **headers)
            assert time.thread_time() - started < 1
            assert check_bundle(response.content)["responses"][0]["status"] == 400
    await other.call("time", "READ")


async def test_a_small_packet_gets_no_huge_answer(game: Game) -> None:
    """Refusing each of very many messages must not cost more than the packet did."""
    client = game.client()
    for packet_id in (7, -1):
        text = client.body(*[(f"{n:x}", "B", None) for n in range(80_000)], packet_id=packet_id)
        packed = gzip.compress(text)
        signature = hashlib.md5(text + SECRET.encode()).hexdigest()
        headers = {"X-SIG": signature, "Content-Encoding": "gzip"}
        response = await game.packet(packed, **headers)
        answer = check_bundle(response.content)
        assert {entry["reason_code"] for entry in answer["responses"]} <= {40600, 40001}
        assert len(response.content) <= BODY_BYTES_MAX


async def test_refused_packets_use_up_no_packet_id(game: Game) -> None:
    """Nothing that could not be run stands in the way of the packet that was meant."""
    player = await game.player()
    good = player.body(("time", "READ", {}), packet_id=1)
    spoilt = [
        (good[:-1], 40408),
        (good.replace(b'"messages"', b'"massages"'), 40001),
        (good.replace(b'"data":{}', b'"data":{"n":NaN}'), 40408),
        (player.body(*[("time", "READ", {})] * 51, packet_id=1), 40600),
    ]
    for body, reason in spoilt:
        answer = check_bundle((await player.send(body)).content)
        assert {entry["reason_code"] for entry in answer["responses"]} == {reason}
    answer = check_bundle((await player.send(good, **{"X-SIG": "0" * 32})).content)
    assert answer["responses"][0]["reason_code"] == 40301
    answer = check_bundle((await player.send(good)).content, messages=1)
    assert answer["responses"][0]["status"] == 200


async def test_another_players_session_does_not_help_without_the_signature(game: Game) -> None:
    victim = await game.player()
    thief = game.client(secret="not the secret of the app")
    thief.session_id = victim.session_id
    refusal = await thief.refused("playerState", "READ")
    assert refusal.reason_code == 40301
    await victim.call("playerState", "READ")


async def test_a_flood_of_packets_is_slowed_down_and_forgiven(game: Game) -> None:
    player = await game.player()
    for _ in range(sessions.PACKETS_PER_MINUTE_MAX):
        await player.call("heartbeat", "READ")
    entries = await player.packet(("time", "READ", {}), ("time", "READ", {}))
    assert [entry["reason_code"] for entry in entries] == [40823, 40823]
    game.clock.advance(sessions.RATE_WINDOW_SECONDS)
    await player.call("time", "READ")


async def test_unknown_names_do_not_become_metrics(game: Game) -> None:
    client = game.client()
    await client.packet(("first", "UNKNOWN", {}))
    before = len(await _series(game))
    for number in range(100):
        await client.packet((f"service{number}", f"OPERATION{number}", {}))
    assert len(await _series(game)) == before


async def test_what_is_refused_still_renews_and_counts_for_the_session(game: Game) -> None:
    """A packet that could be read is a sign of life, even if every message of it is refused."""
    player = await game.player()
    life = game.app.session.life_seconds
    for _ in range(3):
        game.clock.advance(life - 1)
        [entry] = await player.packet(("no", "SUCH", {}))
        assert entry["reason_code"] == 40333


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "TRACE", "BREW"])
async def test_other_methods_are_refused(game: Game, method: str) -> None:
    response = await game.http.request(method, "/dispatcherv2", content=GOOD)
    assert response.status_code == 405
    assert response.headers["allow"] == "POST, OPTIONS"
    assert check_text(response.content)["status"] == 405


async def test_browsers_may_ask_whether_they_may(game: Game) -> None:
    response = await game.http.options("/dispatcherv2", headers={"Origin": "https://game.example"})
    assert (response.status_code, response.content) == (204, b"")
    assert "X-SIG" in response.headers["access-control-allow-headers"]


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/dispatcherv3",
        "/dispatcherv2x",
        "/dispatcherv2/more",
        "/DISPATCHERV2",
        "/%00",
        "/..%2fdispatcherv2",
    ],
)
async def test_other_paths_are_no_dispatcher(game: Game, path: str) -> None:
    response = await game.http.post(path, content=GOOD)
    assert response.status_code in (404, 405)
    assert b"responses" not in response.content


@pytest.mark.parametrize("path", ["/dispatcher", "/dispatcherv2", "//dispatcherv2", "/dispatcherv2/"])
async def test_spellings_of_the_path_that_clients_use(game: Game, path: str) -> None:
    signature = hashlib.md5(GOOD + SECRET.encode()).hexdigest()
    response = await game.http.post(f"http://game.test{path}", content=GOOD, headers={"X-SIG": signature})
    assert check_bundle(response.content, messages=1)["responses"][0]["reason_code"] == 40304


async def test_a_client_that_goes_away_in_the_middle_of_its_body(game: Game) -> None:
    events = iter(
        [{"type": "http.request", "body": GOOD[:10], "more_body": True}, {"type": "http.disconnect"}]
    )
    sent: list[dict[str, Any]] = []

    async def receive() -> Any:
        return next(events)

    async def answer(event: Any) -> None:
        sent.append(event)

    scope: dict[str, Any] = {
        "type": "http",
        "method": "POST",
        "path": "/dispatcherv2",
        "headers": [],
        "scheme": "http",
        "client": None,
    }
    await game.server_app(scope, receive, answer)
    assert [event.get("status") for event in sent if event["type"] == "http.response.start"] in ([], [200])


async def test_an_endless_body_is_not_read_to_its_end(game: Game) -> None:
    read = 0

    async def endless() -> Any:
        nonlocal read
        while True:
            read += 1 << 16
            assert read < 1 << 24, "the server reads on and on"
            yield b" " * (1 << 16)

    scope: dict[str, Any] = {
        "type": "http",
        "method": "POST",
        "path": "/dispatcherv2",
        "headers": [],
        "scheme": "http",
        "client": None,
    }
    chunks = endless()
    sent: list[dict[str, Any]] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": await anext(chunks), "more_body": True}

    async def answer(event: Any) -> None:
        sent.append(event)

    await game.server_app(scope, receive, answer)
    body = b"".join(event.get("body", b"") for event in sent)
    assert check_bundle(body)["responses"][0]["reason_code"] == 40600
    assert read <= (1 << 20) + (1 << 16)


async def traces(game: Game) -> dict[str, int]:
    """What a packet could leave behind: sessions, and rows. The audit tells of refusals, too: not of it."""
    found = {"sessions": await game.core.sessions.count(APP_ID)}
    async with game.core.database.read() as tx:
        for table in set(metadata.sorted_tables) - {audit_events}:
            row = await tx.one(select(func.count().label("rows")).select_from(table))
            assert row is not None
            found[table.name] = row["rows"]
    return found


async def _series(game: Game) -> set[str]:
    """The messages that are counted apart."""
    lines = (await game.http.get("/metrics")).text.splitlines()
    return {line.rpartition(" ")[0] for line in lines if line.startswith("gameserver_messages_total")}
