from pathlib import Path

import pytest

from gameserver.admin import actions
from gameserver.admin.common import Refused
from tests.cli.running import command
from tests.conftest import Game


async def test_ranks_are_built_again(game: Game) -> None:
    board = game.unique("board")
    config = {
        "entryType": "PLAYER",
        "leaderboardType": "ARCADE_HIGH",
        "rotationType": "NEVER",
        "retainedCount": 2,
    }
    await game.server.call(
        "leaderboard", "SYS_CREATE_LEADERBOARD_CONFIG", leaderboardId=board, configJson=config
    )
    player = await game.player()
    for version in (1, 2):
        for score in (1, 2):
            await player.call("leaderboard", "POST_SCORE", leaderboardId=board, score=score)
        if version == 1:
            await game.server.call("leaderboard", "SYS_RESET_NEVER_LEADERBOARD", leaderboardId=board)
    built = await actions.run(game.server_app, "leaderboard_rebuild", {"app": game.app.id, "board": board})
    assert built == {"leaderboard": board, "entries": 4}
    assert board in await actions.run(game.server_app, "leaderboard_list", {"app": game.app.id})


async def test_a_board_that_is_not_there(game: Game) -> None:
    with pytest.raises(Refused, match="no leaderboard none"):
        await actions.run(game.server_app, "leaderboard_rebuild", {"app": game.app.id, "board": "none"})


def test_the_command_wants_one_board_or_all(tmp_path: Path) -> None:
    for words in ((), ("board", "--all")):
        done = command(tmp_path, "leaderboard", "rebuild", "10001", *words)
        assert (done.returncode, "name a leaderboard, or say --all" in done.stderr) == (2, True)
