"""What nobody would notice by looking: missing hooks, and statements that read the rows of all players."""

import re
from collections import Counter
from typing import Any

import pytest
from sqlalchemy import bindparam, select

from gameserver import services
from gameserver.admin import actions
from gameserver.app import registry
from gameserver.domain.leaderboards import Leaderboards
from gameserver.domain.leaderboards.ranked_pages import list_name
from gameserver.domain.leaderboards.store import FIND
from gameserver.frame import Hook
from gameserver.rpc import PLAYER_DELETE, PLAYER_MERGE, PLAYER_RESET
from tests.conftest import APP_ID, Game
from tests.plans import Plans, is_slow
from tests.services import test_player_life as life
from tests.services.test_player_life import apps_folder, full_players, game

__all__ = ["apps_folder", "game"]  # fixtures

LIFE: tuple[Hook[Any], ...] = (PLAYER_RESET, PLAYER_DELETE, PLAYER_MERGE)


@pytest.mark.parametrize(
    ("step", "slow"),
    [
        ("SCAN entities", True),
        ("SCAN entities USING INDEX entities_by_age", True),
        ("SEARCH entities USING INDEX entities_by_type (app_id=?)", True),
        ("SEARCH entities USING INDEX entities_by_owner (owner_id=?)", False),
        ("SEARCH entities USING COVERING INDEX x (app_id=? AND profile_id=?)", False),
        ("SCAN leaderboards", False),
    ],
)
def test_the_rule_itself(step: str, slow: bool) -> None:
    assert is_slow(step, "DELETE FROM entities WHERE app_id = ?") == slow


@pytest.mark.parametrize("what", ["reset", "delete", "merge", "export"])
async def test_a_players_life_reads_no_rows_of_others(
    game: Game, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    if game.core.database.dialect != "sqlite":
        pytest.skip("PostgreSQL chooses by the size of the table")
    player, target = await full_players(game, 2)
    await life.post(player, 5)
    plans = Plans(game, monkeypatch)
    words = [player.profile_id, target.profile_id] if what == "merge" else [player.profile_id]
    await getattr(actions, f"player_{what}")(game.server_app, APP_ID, *words)
    assert len(plans.statements) > 5
    slow = plans.slow()
    assert not slow, "\n".join(slow)


async def test_rows_of_two_players_are_of_two(game: Game) -> None:
    """A row that names one player twice would hide what becomes of it when only one of the two goes."""
    [player] = await full_players(game, 1)
    of_two = [one for one in game.core.player_hooks.tables() if len(one.players) > 1]
    assert of_two
    async with game.core.database.read() as tx:
        for one in of_two:
            for column in one.players:
                rows = await tx.all(
                    select(*one.players).where(column == bindparam("player")), player=player.profile_id
                )
                assert rows, f"the filled player is in no {one.table.name}.{column.name}"
                alone = [row for row in rows if len(set(row)) < len(row)]
                assert not alone, f"{one.table.name} names one player twice: fill it with somebody else"


def test_every_hook_of_a_players_life_is_named_in_its_services_test() -> None:
    """Who takes a hook away breaks this, and finds the test of what it was for."""
    subscribed = Counter(
        (service.name, hook.name)
        for service in services.ALL
        for hook, _ in service.subscriptions
        if hook in LIFE
    )
    assert dict(subscribed) == dict.fromkeys(MISSED, 1), "MISSED says what each hook is for"
    assert {hook for _, hook in subscribed} == {hook.name for hook in LIFE}


BOARD = "HIGH_VALUE"
LUCK = {"abTestingId"}
MISSED = {
    ("group", "player.delete"): "a deleted player's group has another owner",
    ("group", "player.merge"): "the target has the higher of two roles in a group",
    ("identity", "player.merge"): "children in other apps become the target's",
    ("leaderboard", "player.delete"): "a deleted player has no score and no rank",
    ("leaderboard", "player.merge"): "scores become the target's",
    ("leaderboard", "player.reset"): "a reset player has no score and no rank",
    ("messaging", "player.delete"): "messages of others name a deleted player no more",
    ("messaging", "player.merge"): "messages are from and to the target",
    ("playerState", "player.reset"): "attributes and statuses are gone",
    ("playerStatistics", "player.merge"): "experience and statistics add up",
    ("playerStatistics", "player.reset"): "experience and statistics begin anew",
    ("segment", "player.merge"): "the target belongs where their values together lead",
    ("segment", "player.reset"): "a reset player belongs where new ones do",
    ("virtualCurrency", "player.merge"): "balances add up",
    ("webhook", "player.delete"): "what was told of a deleted player is forgotten",
}


async def picture(game: Game, *profiles: str) -> Any:
    """What is kept of players, and what the index of ranks has of them."""
    await game.core.audit.flush()
    tables = game.core.player_hooks
    async with game.core.database.read() as tx:
        exports = [await tables.export_player(tx, APP_ID, profile) for profile in profiles]
        row = await tx.one(FIND, app=APP_ID, board=BOARD)
    assert row is not None
    index = await game.core.get(Leaderboards).index.ranks.page(list_name(row["uid"], row["version"]), 0, 499)
    assert index is not None
    return exports, [(place.id, place.key) for place in index.places if place.id in profiles]


async def build_index(game: Game) -> None:
    data: dict[str, Any] = {"leaderboardId": BOARD, "sort": "HIGH_TO_LOW", "startIndex": 0, "endIndex": 499}
    await game.server.call("leaderboard", "GET_GLOBAL_LEADERBOARD_PAGE", **data)


@pytest.mark.parametrize(("service", "hook"), MISSED)
async def test_a_hook_that_is_missing_is_missed(game: Game, service: str, hook: str) -> None:
    """With it and without it, what is left of players like each other is not the same."""
    unseen = f"nothing shows that {MISSED[service, hook]}: `differs` has to make what the hook is about"
    assert await differs(game, hook, service), unseen


@pytest.mark.parametrize("hook", [hook.name for hook in LIFE])
async def test_with_all_hooks_nothing_differs(game: Game, hook: str) -> None:
    """Or the test above could not fail."""
    assert not await differs(game, hook, "")


async def differs(game: Game, hook: str, without: str) -> bool:
    """Have what a hook is about happen to two pairs of players, to the second without a service's hook."""
    first, second, third, fourth = await full_players(game, 4)
    pairs = [(first, second), (third, fourth)]
    for player, target in pairs:
        await life.post(player, 5)
        await player.call("playerState", "UPDATE_ATTRIBUTES", attributes={"hair": "grey"})
        to = {"toProfileIds": [player.profile_id], "text": "x"}
        await target.call("messaging", "SEND_MESSAGE_SIMPLE", **to)
        made = await player.call("group", "CREATE_GROUP", name="Blues", groupType="team")
        adding = {"groupId": made["groupId"], "profileId": target.profile_id}
        await player.call("group", "ADD_GROUP_MEMBER", **adding)
        if hook != "player.merge":
            await game.server.call("virtualCurrency", "AWARD_VC", target.profile_id, vcId="coins", vcAmount=1)
    await build_index(game)
    jobs = [job for job in game.server_app.jobs.jobs.values() if job.every_seconds is None]
    enqueued = [job.name for job in jobs if job.name.startswith(f"{without}.")]
    shown = []
    for (player, target), has_hook in zip(pairs, (True, False), strict=True):
        if without and not has_hook:
            take_away(game, without, hook)
        words = [player.profile_id, target.profile_id] if hook == "player.merge" else [player.profile_id]
        await getattr(actions, hook.replace(".", "_"))(game.server_app, APP_ID, *words)
        for name in enqueued:
            await game.run_jobs(name)
        shown.append(blank(await picture(game, player.profile_id, target.profile_id), player, target))
    return shown[0] != shown[1]


def take_away(game: Game, service: str, hook: str) -> None:
    [declared] = [each for each in services.ALL if each.name == service]
    gone = {subscriber for each, subscriber in declared.subscriptions if each.name == hook}
    life_hooks = game.core.player_hooks
    name = f"_on_{hook.removeprefix('player.')}"
    setattr(life_hooks, name, tuple(each for each in getattr(life_hooks, name) if each not in gone))


def blank(shown: Any, *players: Any) -> str:
    """Take out what differs between any two players, and the order of lists, which goes by ids."""
    match shown:
        case dict():
            return repr({name: blank(value, *players) for name, value in shown.items() if name not in LUCK})
        case list() | tuple():
            return repr(sorted(blank(value, *players) for value in shown))
    text = repr(shown)
    for number, player in enumerate(players):
        text = text.replace(player.profile_id, f"player {number}")
    text = re.sub(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "id", text)
    text = re.sub(r"[0-9a-f]{24}", "event", text)
    return re.sub(r"\b1[67]\d{11}\b", "time", text)


def test_registries_gather_the_same_hooks() -> None:
    assert all(registry().hooks.of(hook) for hook in LIFE)
