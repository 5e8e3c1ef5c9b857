"""Searches that are as dear as a client can make them: only who sends them waits."""

import asyncio
import contextlib
import hashlib
from pathlib import Path
from typing import Any

import pytest

from gameserver.rpc import runs as running
from gameserver.storage import Payer
from tests.conftest import APP_TOML, Client, Game

DEAR = {"$or": [{"data.text": {"$regex": f"a.*a.*a.*a.*{letter}"}} for letter in "bcdefghijklm"]}
COUNT = ("entity", "GET_LIST_COUNT", {"where": DEAR})
WRITE = ("playerState", "UPDATE_SUMMARY", {"summaryFriendData": {"is": "written"}})
SPENT, TOO_DEAR, OUTDATED = 40823, 40349, 40566


@pytest.fixture
def apps_folder(apps_folder: Path) -> Path:
    (apps_folder / "test" / "app.toml").write_text(APP_TOML + "[quotas]\nsearch_seconds = 0.6\n")
    return apps_folder


async def attacker(game: Game) -> Client:
    """A player with data that is dear to search."""
    client = await game.player()
    text = {"text": "a" * 3000}
    for _ in range(10):
        await client.packet(*[("entity", "CREATE", {"entityType": "dear", "data": text})] * 50)
    return client


async def spent(game: Game) -> Client:
    """A player who has searched for hours."""
    client = await game.player()
    game.core.database.searches.charge(Payer(client.profile_id, 0.6), 3600)
    return client


async def outcomes(
    client: Client, *messages: tuple[str, str, Any], packet_id: int | None = None
) -> list[int | None]:
    entries = await client.packet(*messages, packet_id=packet_id)
    return [entry.get("reason_code") for entry in entries]


@pytest.mark.parametrize("more", [[], [WRITE]], ids=["reading", "writing"])
async def test_others_go_on_while_one_player_searches(game: Game, more: list[Any]) -> None:
    """However many packets the attacker sends at once, few of their queries fit between two heartbeats."""
    dear, victim = await attacker(game), await game.player()
    seen = game.statements()
    packets = [
        asyncio.create_task(outcomes(dear, *more, *[COUNT] * 49, packet_id=packet_id))
        for packet_id in range(1000, 1012)
    ]
    passed, before = list[int](), 0  # queries of the attacker from one heartbeat of the victim to the next
    while not all(packet.done() for packet in packets):
        await victim.call("heartbeat", "READ")
        passed.append(seen.count("search") - before)
        before = seen.count("search")
        await asyncio.sleep(0.002)
    codes = [code for packet in packets for code in packet.result()]
    assert SPENT in codes  # what one player may use ends
    assert set(codes) <= {None, SPENT, TOO_DEAR, *([OUTDATED] if more else [])}
    assert seen.count("search")
    assert max(passed) <= 4
    await victim.call("entity", "GET_LIST_COUNT", where={"data.text": {"$regex": "b"}})


async def test_the_refusal_names_the_limit(game: Game) -> None:
    dear = await spent(game)
    refusal = await dear.refused("entity", "GET_LIST_COUNT", where=DEAR)
    assert "0.6 s" in refusal.message
    assert "search_seconds" in refusal.message
    await dear.call("heartbeat", "READ")  # all else goes on


async def test_a_message_that_was_refused_for_its_time_leaves_the_others_alone(game: Game) -> None:
    dear = await spent(game)
    codes = await outcomes(dear, WRITE, COUNT, WRITE)
    assert codes == [None, SPENT, None]
    state = await dear.call("playerState", "READ")
    assert state["summaryFriendData"] == {"is": "written"}


async def test_no_message_begins_after_the_time_of_the_packet(
    game: Game, monkeypatch: pytest.MonkeyPatch
) -> None:
    player = await game.player()
    monkeypatch.setattr(running, "RUN_SECONDS_MAX", 0)
    response = await player.send(player.body(WRITE, ("heartbeat", "READ", {}), packet_id=7))
    assert response.status_code == 503  # the client repeats it
    assert response.json()["packetId"] == 7
    monkeypatch.undo()
    state = await player.packet(("playerState", "READ", {}), packet_id=8)
    assert state[0]["data"]["summaryFriendData"] is None  # nothing happened


async def test_no_message_begins_when_the_client_has_hung_up(
    game: Game, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What runs for long is watched; the message that runs ends, the packet does not go on."""
    player = await game.player()
    watched, hang_up = asyncio.Event(), asyncio.Event()
    body = player.body(WRITE, ("heartbeat", "READ", {}))
    signature = hashlib.md5(body + player.secret.encode()).hexdigest().encode()
    events = iter([{"type": "http.request", "body": body}])
    sent: list[dict[str, Any]] = []

    async def receive() -> Any:
        for event in events:
            return event
        watched.set()
        await hang_up.wait()
        return {"type": "http.disconnect"}

    async def send(event: Any) -> None:
        sent.append(event)

    real = game.core.database.write

    @contextlib.asynccontextmanager
    async def slowly(*args: Any) -> Any:
        async with real(*args) as tx:
            await watched.wait()
            hang_up.set()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            yield tx

    monkeypatch.setattr(running, "CLAIM_RENEWAL_SECONDS", 0)
    upkeep = asyncio.create_task(game.server_app.packets.runs.keep_running())
    monkeypatch.setattr(game.core.database, "write", slowly)
    scope = {"type": "http", "method": "POST", "path": "/dispatcherv2", "headers": [(b"x-sig", signature)]}
    await game.server_app(scope, receive, send)
    upkeep.cancel()
    assert sent[0]["status"] == 503
    monkeypatch.undo()
    assert (await player.call("playerState", "READ"))["summaryFriendData"] is None
