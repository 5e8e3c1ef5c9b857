"""globalGameStatistics, spoken to as clients and servers would."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete

from gameserver.apps import load_apps
from gameserver.domain.progress.statistics import global_statistics
from tests.conftest import Game

SERVICE = "globalGameStatistics"
STATISTICS = """
[globalGameStatistics.statistics.rounds]
category = "play"
[globalGameStatistics.statistics.stock]
initial = 5
minimum = 0
maximum = 10
"""


@pytest.fixture
def apps_folder(apps_folder: Path) -> Path:
    """The folder of apps, with shared statistics declared; a second app declares one of the same name."""
    file = apps_folder / "test" / "app.toml"
    file.write_text(file.read_text() + STATISTICS)
    other = apps_folder / "other"
    other.mkdir()
    other_text = (
        'id = "20002"\nsecret = "another-secret-for-tests"\n[globalGameStatistics.statistics.rounds]\n'
    )
    (other / "app.toml").write_text(other_text)
    return apps_folder


@pytest.fixture
async def game(game: Game) -> Game:
    """A game in which nobody has touched what all players share; the run's database may be older."""
    async with game.core.database.write() as tx:
        await tx.run(delete(global_statistics))
    return game


async def test_what_one_player_changes_all_players_see(game: Game) -> None:
    ada, bob = await game.player(), await game.player()
    assert await ada.call(SERVICE, "READ") == {"statistics": {"rounds": 0, "stock": 5}}
    assert await ada.call(SERVICE, "UPDATE_INCREMENT", statistics={"rounds": 2}) == {
        "statistics": {"rounds": 2}
    }
    assert await bob.call(SERVICE, "UPDATE_INCREMENT", statistics={"rounds": 1.5}) == {
        "statistics": {"rounds": 3.5}
    }
    assert await ada.call(SERVICE, "READ") == {"statistics": {"rounds": 3.5, "stock": 5}}


async def test_apps_share_nothing(game: Game) -> None:
    player = await game.player()
    await player.call(SERVICE, "UPDATE_INCREMENT", statistics={"rounds": 2})
    other = game.client("20002", "another-secret-for-tests")
    await other.log_in()
    assert await other.call(SERVICE, "READ") == {"statistics": {"rounds": 0}}


@pytest.mark.parametrize(
    ("operation", "result", "cut"),
    [
        (2, 7, None),
        (-0.5, 4.5, None),
        ("INC#5", 10, None),
        ("INC#6", 10, "maxApplied"),
        ("DEC#6", 0, "minApplied"),
        ("SET#10", 10, None),
        ("SET#11", 10, "maxApplied"),
        ("RESET", 5, None),
        ("INC_TO_LIMIT#9#8", 8, None),
        ("INC_TO_LIMIT#9#12", 10, "maxApplied"),
        ("DEC_TO_LIMIT#9#2", 2, None),
        ("MAX#3", 5, None),
        ("MAX#7", 7, None),
        ("MIN#3", 3, None),
        ("MIN#7", 5, None),
    ],
)
@pytest.mark.parametrize("stored", [False, True])
async def test_every_form_of_the_grammar(
    game: Game, operation: Any, result: float, cut: str | None, stored: bool
) -> None:
    """The first change inserts what Python worked out, a later one is the database's own arithmetic."""
    player = await game.player()
    if stored:
        await player.call(SERVICE, "PROCESS_STATISTICS", statistics={"stock": "SET#5"})
    expected: dict[str, Any] = {"statistics": {"stock": result}}
    if cut is not None:
        expected["statisticsExceptions"] = {"stock": cut}
    assert await player.call(SERVICE, "PROCESS_STATISTICS", statistics={"stock": operation}) == expected
    assert (await player.call(SERVICE, "READ"))["statistics"]["stock"] == result


async def test_a_hundred_at_once_lose_nothing(game: Game) -> None:
    players = [await game.player() for _ in range(20)]
    for _ in range(5):
        answers = [
            player.call(SERVICE, "UPDATE_INCREMENT", statistics={"stock": "SET#1", "rounds": 1})
            for player in players
        ]
        seen = [answer["statistics"]["rounds"] for answer in await asyncio.gather(*answers)]
        assert len(set(seen)) == len(seen), "two clients were told the same value"
    assert (await players[0].call(SERVICE, "READ"))["statistics"]["rounds"] == 100


async def test_opposite_orders_do_not_meet_head_on(game: Game) -> None:
    """A database would end a deadlock by rolling one of the two back, and the packet would run again."""
    players = [await game.player() for _ in range(12)]
    changes = [{"rounds": 1, "stock": "SET#1"}, {"stock": "SET#2", "rounds": 1}]
    seen: list[str] = []
    game.core.database.observe = lambda kind, _: seen.append(kind)
    for _ in range(3):
        calls = [
            player.call(SERVICE, "UPDATE_INCREMENT", statistics=changes[i % 2])
            for i, player in enumerate(players)
        ]
        await asyncio.gather(*calls)
    assert "rollback" not in seen
    assert (await players[0].call(SERVICE, "READ"))["statistics"]["rounds"] == 36


async def test_all_or_nothing(game: Game) -> None:
    player = await game.player()
    refusal = await player.refused(SERVICE, "UPDATE_INCREMENT", statistics={"rounds": 1, "losses": 1})
    assert (refusal.status, refusal.reason_code) == (400, 40369)
    assert "losses" in refusal.message
    refusal = await player.refused(SERVICE, "PROCESS_STATISTICS", statistics={"rounds": 1, "stock": "INC"})
    assert refusal.reason_code == 40660
    assert "stock" in refusal.message
    assert (await player.call(SERVICE, "READ"))["statistics"]["rounds"] == 0


async def test_a_repeated_packet_counts_once(game: Game) -> None:
    player = await game.player()
    body = player.body((SERVICE, "UPDATE_INCREMENT", {"statistics": {"rounds": 1}}))
    first, second = await player.send(body), await player.send(body)
    assert first.content == second.content
    assert (await player.call(SERVICE, "READ"))["statistics"]["rounds"] == 1


async def test_reading_some_and_a_category(game: Game) -> None:
    player = await game.player()
    some = await player.call(SERVICE, "READ_SUBSET", statistics=["stock", "losses"])
    assert some == {"statistics": {"stock": 5}}
    assert await player.call(SERVICE, "READ_FOR_CATEGORY", category="play") == {"statistics": {"rounds": 0}}
    assert await player.call(SERVICE, "READ_FOR_CATEGORY", category="none") == {"statistics": {}}


async def test_servers_need_no_player(game: Game) -> None:
    answer = await game.server.call(SERVICE, "UPDATE_INCREMENT", statistics={"rounds": 1})
    assert answer == {"statistics": {"rounds": 1}}
    assert await game.server.call(SERVICE, "READ") == {"statistics": {"rounds": 1, "stock": 5}}


@pytest.mark.parametrize(
    ("operation", "data"),
    [
        ("READ", {}),
        ("READ_SUBSET", {"statistics": []}),
        ("READ_FOR_CATEGORY", {"category": ""}),
        ("UPDATE_INCREMENT", {"statistics": {}}),
        ("PROCESS_STATISTICS", {"statistics": {}}),
    ],
)
async def test_clients_need_a_session(game: Game, operation: str, data: dict[str, Any]) -> None:
    assert (await game.client().refused(SERVICE, operation, **data)).reason_code == 40304


async def test_an_app_may_create_statistics_as_they_come(game: Game, apps_folder: Path) -> None:
    file = apps_folder / "test" / "app.toml"
    file.write_text(file.read_text() + "[globalGameStatistics]\ncreate_unknown = true\n")
    game.apps.replace(load_apps(apps_folder, game.server_app.registry.sections()))
    player = await game.player()
    await player.call(SERVICE, "UPDATE_INCREMENT", statistics={str(i): 1 for i in range(300)})
    refusal = await player.refused(SERVICE, "UPDATE_INCREMENT", statistics={f"x{i}": 1 for i in range(201)})
    assert refusal.reason_code == 40369
    await player.call(SERVICE, "UPDATE_INCREMENT", statistics={f"x{i}": 1 for i in range(200)})
    found = await player.call(SERVICE, "READ_FOR_CATEGORY", category="generated")
    assert len(found["statistics"]) == 500
