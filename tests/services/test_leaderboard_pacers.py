"""Pacers: pretended friends on boards."""

from pathlib import Path
from typing import Any

import pytest

from gameserver.apps import load_apps
from gameserver.domain import social
from tests.conftest import Client, Game

BOARD = "leaderboard"
PACERS = """
[leaderboard.boards.high]
[leaderboard.boards.low]
type = "LOW_VALUE"
[leaderboard.boards.teams]
entries = "GROUP"
[leaderboard.pacers.rollo]
name = "Rollo"
picture = "https://example.com/rollo.png"
tag = { team = "red" }
boards.high = { score = 100, tag = { car = "kart" } }
boards.low.score = 100
boards.made.score = 7
boards.teams.score = 1
[leaderboard.pacers.chirp]
name = "Chirp"
boards.high.score = 50
boards.low.score = 50
"""


@pytest.fixture
def apps_folder(apps_folder: Path) -> Path:
    """The folder of apps, with pacers declared."""
    file = apps_folder / "test" / "app.toml"
    file.write_text(file.read_text() + PACERS)
    return apps_folder


@pytest.fixture
async def game(game: Game) -> Game:
    """The server, without scores that other tests have left in a shared database."""
    boards = ["high", "low", "teams", "made"]
    await game.server.call(BOARD, "DELETE_LEADERBOARDS", leaderboardIds=boards)
    return game


async def post(player: Client, score: int, board: str = "high") -> None:
    await player.call(BOARD, "POST_SCORE", leaderboardId=board, score=score)


async def among_friends(player: Client, board: str = "high", **options: Any) -> list[Any]:
    data = {"leaderboardId": board, "replaceName": True, **options}
    found = await player.call(BOARD, "GET_SOCIAL_LEADERBOARD", **data)
    entries: list[Any] = found["social_leaderboard"]
    return entries


def placed(entries: list[Any]) -> list[tuple[str, int | None]]:
    return [(entry["name"], entry["score"]) for entry in entries]


async def test_pacers_stand_among_friends(game: Game) -> None:
    player = await game.player()
    assert placed(await among_friends(player)) == [("Rollo", 100), ("Chirp", 50), ("You", None)]
    await post(player, 70)
    found = await among_friends(player)
    assert placed(found) == [("Rollo", 100), ("You", 70), ("Chirp", 50)]
    assert found[0] == {
        "playerId": "rollo",
        "name": "Rollo",
        "pictureUrl": "https://example.com/rollo.png",
        "score": 100,
        "otherData": {"pacerTag": {"team": "red"}, "pacerLeaderboardTag": {"car": "kart"}},
        "createdAt": None,
        "updatedAt": None,
        "authenticationType": None,
        "externalId": "rollo",
        "summaryFriendData": None,
    }
    assert found[2]["otherData"] == {"pacerTag": None, "pacerLeaderboardTag": {}}
    assert set(found[1]) == set(found[0])


async def test_friends_and_pacers_stand_in_one_order(game: Game, monkeypatch: pytest.MonkeyPatch) -> None:
    ada, bob = await game.player(), await game.player()
    await post(ada, 50, "low")
    await post(bob, 120, "low")

    async def friends(*_: Any) -> list[str]:
        return [bob.profile_id]

    game.core.hooks.subscribe(social.FRIENDS, friends)
    found = await among_friends(ada, "low")
    assert placed(found) == [("You", 50), ("Chirp", 50), ("Rollo", 100), ("", 120)]


async def test_pacers_of_several_boards(game: Game) -> None:
    player = await game.player()
    await post(player, 70)
    asked = {"leaderboardIds": ["high", "low", "teams"], "leaderboardResultCount": 2, "replaceName": True}
    found = await player.call(BOARD, "GET_MULTI_SOCIAL_LEADERBOARD", **asked)
    high, low = found["leaderboards"]
    assert placed(high["leaderboard"]) == [("Rollo", 100), ("You", 70)]
    assert high["leaderboard"][0]["data"]["pacerTag"] == {"team": "red"}
    assert (high["selfIndex"], high["self"]["score"]) == (1, 70)
    assert placed(low["leaderboard"]) == [("Chirp", 50), ("Rollo", 100)]
    own = low["self"]
    assert low["selfIndex"] == -1
    assert (own["playerId"], own["name"], own["score"], own["createdAt"]) == (
        player.profile_id,
        "You",
        None,
        None,
    )
    assert "otherData" not in own


async def test_a_pacer_stands_on_boards_that_clients_make(game: Game) -> None:
    player = await game.player()
    config = {"leaderboardType": "HIGH_VALUE", "rotationType": "NEVER", "retainedCount": 1}
    await player.call(
        BOARD, "POST_SCORE_DYNAMIC_USING_CONFIG", leaderboardId="made", score=1, configJson=config
    )
    assert placed(await among_friends(player, "made")) == [("Rollo", 7), ("You", 1)]


async def test_pacers_stand_nowhere_else(game: Game) -> None:
    player = await game.player()
    await post(player, 70)
    page = await player.call(
        BOARD, "GET_GLOBAL_LEADERBOARD_PAGE", leaderboardId="high", startIndex=0, endIndex=9
    )
    assert [entry["score"] for entry in page["leaderboard"]] == [70]
    asked = {"leaderboardId": "high", "profileIds": [player.profile_id, "rollo"]}
    named = await player.call(BOARD, "GET_PLAYERS_SOCIAL_LEADERBOARD", **asked)
    assert [entry["score"] for entry in named["leaderboard"]] == [70]
    assert placed(await among_friends(player, versionId=0)) == [("You", None)]
    refusal = await player.refused(BOARD, "GET_SOCIAL_LEADERBOARD", leaderboardId="teams")
    assert refusal.reason_code == 40656


@pytest.mark.parametrize(
    "wrong",
    [
        "[leaderboard.pacers.a]\n",
        '[leaderboard.pacers.a]\nname = ""\n',
        '[leaderboard.pacers.a]\nname = "A"\nboards.b = {}\n',
        '[leaderboard.pacers.a]\nname = "A"\nboards.b.score = 1.5\n',
        '[leaderboard.pacers.a]\nname = "A"\nboards.b.score = 9007199254740993\n',
        '[leaderboard.pacers.a]\nname = "A"\npicture = "a.png"\n',
    ],
)
def test_pacers_that_are_none(apps_folder: Path, game: Game, wrong: str) -> None:
    file = apps_folder / "test" / "app.toml"
    sections = game.server_app.registry.sections()
    assert not load_apps(apps_folder, sections).problems
    file.write_text(file.read_text() + wrong)
    [problem] = load_apps(apps_folder, sections).problems
    assert "pacers" in str(problem)
