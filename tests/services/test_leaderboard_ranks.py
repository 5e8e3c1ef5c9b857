"""The index of ranks mends itself."""

from typing import Any

import pytest

from gameserver.domain.leaderboards import Leaderboards
from gameserver.domain.leaderboards.stamps import seq_at
from gameserver.ranks import Change, MemoryRanks, Place, RanksAway
from tests.conftest import BACKENDS, Game
from tests.services.boards import BOARD, create, fill, game, post, scores, settled, view, with_ranks

__all__ = ["game"]  # fixtures


# The index of ranks mends itself


async def test_a_lost_index_is_built_again(game: Game) -> None:
    await create(game)
    players = await fill(game, 3)
    name = await with_ranks(game, players[0])
    await game.core.get(Leaderboards).index.ranks.forget(name)
    assert await scores(players[0]) == [100, 99, 98]
    await settled(game)
    found = await game.core.get(Leaderboards).index.ranks.page(name, 0, 9)
    assert found is not None
    assert [place.id for place in found.places] == [player.profile_id for player in players]


@pytest.mark.skipif(BACKENDS != "embedded", reason="elsewhere a reader would hold a connection meanwhile")
async def test_readers_wait_for_a_list_that_is_being_built(game: Game) -> None:
    """Counting the rows for each of them would leave the builder no time."""
    await create(game)
    players = await fill(game, 3)
    index = game.core.get(Leaderboards).index
    name = await with_ranks(game, players[0])
    await index.ranks.forget(name)
    assert [await scores(player) for player in players] == [[100, 99, 98]] * 3
    assert await index.ranks.page(name, 0, 9) is not None
    await index.ranks.forget(name)
    count = await players[0].call("leaderboard", "GET_GLOBAL_LEADERBOARD_ENTRY_COUNT", leaderboardId="b")
    assert count == {"entryCount": 3}
    assert await index.ranks.page(name, 0, 9) is not None


async def test_lists_that_were_built_since_the_index_began_anew_stay(
    game: Game, monkeypatch: pytest.MonkeyPatch
) -> None:
    await create(game)
    players = await fill(game, 3)
    leaderboards = game.core.get(Leaderboards)
    await game.run_jobs("leaderboard.index")
    if BACKENDS == "embedded":
        leaderboards.index.ranks = MemoryRanks()  # as after a restart
    else:

        async def another() -> str:
            return "another Redis"

        monkeypatch.setattr(leaderboards.index.ranks, "identity", another)
        name = await with_ranks(game, players[0])
        await game.server_app.jobs.tick()  # at once, though its turn is not over
        await game.server_app.jobs.settled()
        assert await leaderboards.index.ranks.page(name, 0, 9) is None, "what the old one had is not trusted"
    name = await with_ranks(game, players[0])
    game.clock.advance(61)
    await game.run_jobs("leaderboard.index")
    assert await leaderboards.index.ranks.page(name, 0, 9) is not None


@pytest.mark.parametrize("wrong", ["missing", "stale", "ghost", "future"])
async def test_a_wrong_place_is_never_shown_and_put_right(game: Game, wrong: str) -> None:
    await create(game)
    players = await fill(game, 3)
    ranks = game.core.get(Leaderboards).index.ranks
    name = await with_ranks(game, players[0])
    whole = await ranks.page(name, 0, 9)
    assert whole is not None
    last = whole.places[-1]
    match wrong:
        case "missing":
            await ranks.repair(name, last.id, last.seq, None)
        case "stale":
            await ranks.repair(name, last.id, last.seq, Place(last.id, last.seq - 5, -999))
        case "future":
            await ranks.repair(name, last.id, last.seq, Place(last.id, last.seq + 5, -999))
        case "ghost":
            await ranks.change(name, [Change("nobody", 1, -999)])
    for _ in range(2):
        answer = await view(players[2], 9, 9)  # the caller's own row tells that a place is missing
        assert [entry["score"] for entry in answer["leaderboard"]] == [100, 99, 98]
        assert answer["leaderboardSize"] == 3
    assert await ranks.page(name, 0, 9) == whole


async def test_ranks_come_from_sql_while_the_index_is_away(
    game: Game, monkeypatch: pytest.MonkeyPatch
) -> None:
    await create(game)
    players = await fill(game, 3)
    await with_ranks(game, players[0])

    async def away(*_: Any, **__: Any) -> Any:
        raise RanksAway

    for step in ("page", "around", "change"):
        monkeypatch.setattr(game.core.get(Leaderboards).index.ranks, step, away)
    await post(players[2], 500)
    assert await scores(players[0]) == [500, 100, 99]
    assert [entry["index"] for entry in (await view(players[0]))["leaderboard"]] == [0, 1, 2]
    count = await players[0].call(BOARD, "GET_GLOBAL_LEADERBOARD_ENTRY_COUNT", leaderboardId="b")
    assert count == {"entryCount": 3}


async def test_upkeep_puts_in_what_a_dead_process_did_not(
    game: Game, monkeypatch: pytest.MonkeyPatch
) -> None:
    await create(game)
    players = await fill(game, 3)
    board, ranks = game.core.get(Leaderboards), game.core.get(Leaderboards).index.ranks
    name = await with_ranks(game, players[0])

    async def dead(*_: Any) -> Any:
        raise RanksAway

    with monkeypatch.context() as patch:
        patch.setattr(ranks, "change", dead)
        await post(players[2], 500)
        await players[1].call(BOARD, "REMOVE_PLAYER_SCORE", leaderboardId="b")
    before = await ranks.page(name, 0, 9)
    assert before is not None
    assert [place.key for place in before.places] == [-100, -99, -98]
    await board.upkeep.repair_index(seq_at(0), await ranks.identity())
    after = await ranks.page(name, 0, 9)
    assert after is not None
    assert [place.key for place in after.places] == [-500, -100]


async def test_another_index_than_before_is_built_again(game: Game) -> None:
    await create(game)
    [player] = await fill(game, 1)
    name = await with_ranks(game, player)
    await game.core.get(Leaderboards).upkeep.repair_index(seq_at(0), "another run of the server")
    assert await game.core.get(Leaderboards).index.ranks.page(name, 0, 9) is None
